"""Drives the provider as an engine does: check, diff, create, read, update, delete."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Coroutine, Mapping
from typing import Any, TypeVar

from pulumi.provider.experimental import provider as rpc
from pulumi.provider.experimental.property_value import PropertyValue

from local.plugins.aws.provider import AwsProvider, row_of
from local.plugins.plain import plain, property_value

T = TypeVar("T")
SEED = b"seed"


def run(work: Coroutine[Any, Any, T]) -> T:
    return asyncio.run(work)


def wrap(values: Mapping[str, Any]) -> dict[str, PropertyValue]:
    return {
        key: value if isinstance(value, PropertyValue) else property_value(value)
        for key, value in values.items()
    }


def unwrap(values: Mapping[str, PropertyValue] | None) -> dict[str, Any]:
    return {key: plain(value) for key, value in (values or {}).items()}


def urn(token: str, name: str) -> str:
    return f"urn:pulumi:local::openerp::openerp:index:Network${token}::{name}"


class Engine:
    """One provider and what is known of its resources."""

    def __init__(self, region: str = "eu-west-1", tags: Mapping[str, str] | None = None) -> None:
        self.provider = AwsProvider()
        config: dict[str, Any] = {"region": region}
        if tags:
            config["defaultTags"] = {"tags": dict(tags)}
        run(self.provider.configure(rpc.ConfigureRequest({}, wrap(config), True, True)))

    def check(
        self,
        token: str,
        name: str,
        inputs: Mapping[str, Any],
        old: Mapping[str, PropertyValue] | None = None,
        seed: bytes = SEED,
    ) -> rpc.CheckResponse:  # fmt: skip
        request = rpc.CheckRequest(urn(token, name), dict(old or {}), wrap(inputs), seed)
        return run(self.provider.check(request))

    def create(self, token: str, name: str, inputs: Mapping[str, Any], *, preview: bool = False) -> Resource:
        checked = self.check(token, name, inputs, seed=os.urandom(16))
        assert not checked.failures, [failure.reason for failure in checked.failures]
        assert checked.inputs is not None
        made = run(self.provider.create(rpc.CreateRequest(urn(token, name), checked.inputs, 0, preview)))
        return Resource(self, token, name, made.resource_id or "", checked.inputs, made.properties)


class Resource:
    """A resource as the state file knows it."""

    def __init__(
        self,
        engine: Engine,
        token: str,
        name: str,
        resource_id: str,
        inputs: dict[str, PropertyValue],
        outputs: dict[str, PropertyValue],
    ) -> None:
        self.engine, self.token, self.name = engine, token, name
        self.id, self.inputs, self.outputs = resource_id, inputs, outputs
        self.row = row_of(token)
        self.given: dict[str, Any] = {}

    @property
    def values(self) -> dict[str, Any]:
        return unwrap(self.outputs)

    def checked(self, inputs: Mapping[str, Any]) -> dict[str, PropertyValue]:
        checked = self.engine.check(self.token, self.name, inputs, self.inputs)
        assert not checked.failures, [failure.reason for failure in checked.failures]
        assert checked.inputs is not None
        return checked.inputs

    def diff(self, inputs: Mapping[str, Any]) -> rpc.DiffResponse:
        request = rpc.DiffRequest(urn(self.token, self.name), self.id, self.outputs, self.checked(inputs), [])
        return run(self.engine.provider.diff(request))

    def update(self, inputs: Mapping[str, Any], *, preview: bool = False) -> Resource:
        news = self.checked(inputs)
        request = rpc.UpdateRequest(
            urn(self.token, self.name),
            self.id,
            self.outputs,
            news,
            timeout=0,
            ignore_changes=[],
            preview=preview,
        )
        answer = run(self.engine.provider.update(request))
        return Resource(self.engine, self.token, self.name, self.id, news, answer.properties)

    def read(self) -> rpc.ReadResponse:
        request = rpc.ReadRequest(urn(self.token, self.name), self.id, self.outputs, self.inputs)
        return run(self.engine.provider.read(request))

    def refreshed(self) -> Resource | None:
        found = self.read()
        if not found.resource_id:
            return None
        return Resource(self.engine, self.token, self.name, self.id, found.inputs, found.properties)

    def delete(self) -> None:
        request = rpc.DeleteRequest(urn(self.token, self.name), self.id, self.outputs, 0)
        run(self.engine.provider.delete(request))
