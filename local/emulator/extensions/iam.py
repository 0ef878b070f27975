"""IAM: the policies that AWS manages, read when they are first asked for.

moto reads all of them for each of six partitions with the first request of any service: 1 s at every start.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any

from moto.iam import models
from moto.iam.aws_managed_policies import aws_managed_policies_data
from moto.moto_api._internal import mock_random

from local.emulator.extensions import Context


class Policies(dict[str, Any]):
    """The policies of an account by ARN; those of AWS join when the whole or one of them is asked for."""

    def __init__(self, load: Callable[[], dict[str, Any]]) -> None:
        super().__init__()
        self._load: Callable[[], dict[str, Any]] | None = load

    def _complete(self) -> None:
        load, self._load = self._load, None
        if load is not None:
            own = dict(self)
            self.clear()
            self.update(load())
            self.update(own)

    def __missing__(self, arn: str) -> Any:
        if self._load is None:
            raise KeyError(arn)
        self._complete()
        return self[arn]

    def __contains__(self, arn: object) -> bool:
        if super().__contains__(arn):
            return True
        self._complete()
        return super().__contains__(arn)

    def __iter__(self) -> Iterator[str]:
        self._complete()
        return super().__iter__()

    def __len__(self) -> int:
        self._complete()
        return super().__len__()

    def keys(self) -> Any:
        self._complete()
        return super().keys()

    def values(self) -> Any:
        self._complete()
        return super().values()

    def items(self) -> Any:
        self._complete()
        return super().items()


def install(_context: Context) -> None:
    """Puts the extension in place."""

    def managed(backend: Any) -> Policies:
        def load() -> dict[str, Any]:
            state = mock_random.getstate()
            mock_random.seed(0)
            try:
                policies = [
                    models.AWSManagedPolicy.from_data(name, backend.account_id, backend.region_name, data)
                    for name, data in json.loads(aws_managed_policies_data).items()
                ]
            finally:
                mock_random.setstate(state)
            return {policy.arn: policy for policy in policies}

        return Policies(load)

    def none_yet(_backend: Any) -> list[Any]:
        return []

    setattr(models.IAMBackend, models.IAMBackend._init_aws_policies.__name__, none_yet)
    setattr(models.IAMBackend, models.IAMBackend._init_managed_policies.__name__, managed)
