"""AWS as the commands see it: clients of one region, errors in one sentence, and patience."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator, Mapping
from functools import cache
from typing import Any, Final, TypeVar

from botocore.exceptions import BotoCoreError, ClientError

from ops.console import Reporter
from ops.errors import OpsError

LOOK: Final = 5.0
"""Seconds between two looks at something that AWS takes minutes for."""
_T = TypeVar("_T")


def code(error: ClientError) -> str:
    """Return AWS's own word for an error, as `DBSnapshotNotFound`."""
    details: Mapping[str, Any] = error.response.get("Error", {})
    return str(details.get("Code", ""))


@contextlib.contextmanager
def explained(what: str) -> Iterator[None]:
    """Turn what boto3 raises into one sentence that begins with `what` could not be done."""
    try:
        yield
    except ClientError as error:
        said = error.response.get("Error", {}).get("Message", "")
        raise OpsError(f"{what}: AWS refused {error.operation_name}: {code(error)}: {said}") from error
    except BotoCoreError as error:
        raise OpsError(f"{what}: AWS cannot be asked: {error}") from error


class Aws:
    """Clients of one region, made when they are first needed."""

    def __init__(self, region: str, make: Callable[[str, str], Any] | None = None) -> None:
        """`make`: service and region to a client; boto3's own unless a test brings another."""
        self.region = region
        self._make = cache(make or boto3_client)

    def client(self, service: str, region: str | None = None) -> Any:
        """Return the boto3 client of a service, in this region unless another is named."""
        return self._make(service, region or self.region)


def boto3_client(service: str, region: str | None) -> Any:
    """Return a boto3 client that tries again for a while; raises OpsError where there are no credentials."""
    import boto3
    from botocore.config import Config

    with explained(f"a client of {service}"):
        return boto3.session.Session(region_name=region).client(
            service,
            config=Config(max_pool_connections=64, retries={"mode": "standard", "total_max_attempts": 5}),
        )


def wait(
    what: str,
    look: Callable[[], _T | None],
    reporter: Reporter,
    *,
    seconds: float,
    every: float = LOOK,
) -> _T:
    """Look again and again until `look` gives something, and return that.

    The first looks come quickly: what is there already costs no wait. Raises OpsError after `seconds`.
    """
    began = time.monotonic()
    pause = min(0.2, every)
    while True:
        found = look()
        if found is not None:
            return found
        waited = time.monotonic() - began
        if waited > seconds:
            raise OpsError(
                f"{what}: not there after {seconds / 60:.0f} minutes; the same command again goes on waiting"
            )
        reporter.note(f"waiting {waited:.0f} s")
        time.sleep(pause)
        pause = min(every, pause * 1.5)
