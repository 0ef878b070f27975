"""A provider whose resources are rows of a table.

A row says what the inputs are, which of them a change can be applied to in place, and which functions create,
read, update and delete. Check and diff work on the row alone: they open no connection.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any

from pulumi.provider.experimental import provider as rpc
from pulumi.provider.experimental.property_value import PropertyValue

from local.plugins.plain import UNKNOWN, has_unknown, plain_map, property_map

Values = dict[str, Any]
Failures = list[tuple[str, str]]


class PluginError(Exception):
    """What a person must read: what is wrong, where, and what would be right."""


def _no_failures(_inputs: Values) -> Failures:
    return []


def _nothing_expired(_old: Values, _new: Values) -> frozenset[str]:
    return frozenset()


@dataclass(frozen=True, kw_only=True)
class Kind:
    """One type of resource."""

    required: frozenset[str]
    """Inputs without which check fails."""
    optional: Mapping[str, Any]
    """Further inputs with their defaults; ``None`` is «not set»."""
    computed: frozenset[str]
    """Outputs that are unknown until the resource exists."""
    create: Callable[[Any, Values], tuple[str, Values]]
    """From the provider's configuration and the inputs (defaults filled in) to the id and the outputs."""
    read: Callable[[Any, str, Values], tuple[str, Values] | None] | None = None
    """From configuration, id and last outputs to what is there now, or ``None`` if it is gone.

    A row without it keeps what was written last.
    """
    update: Callable[[Any, str, Values, Values], Values] | None = None
    """From configuration, id, old outputs and new inputs to the new outputs.

    A row without it copies the new inputs over the old outputs.
    """
    delete: Callable[[Any, str, Values], None] | None = None
    """A row without it has nothing to delete outside the state."""
    in_place: frozenset[str] = frozenset()
    """Inputs that an update can change; a change of any other input replaces the resource."""
    secrets: frozenset[str] = frozenset()
    """Outputs that are secret whatever the inputs are."""
    write_only: frozenset[str] = frozenset()
    """Inputs that never reach the outputs; a change of one alone is not seen."""
    unordered: frozenset[str] = frozenset()
    """Lists whose order means nothing."""
    filled_in: frozenset[str] = frozenset()
    """Inputs for which the server chooses a value if they are left out; leaving one out changes nothing."""
    delete_before_replace: bool = False
    """Whether the replacement cannot exist beside what it replaces."""
    validate: Callable[[Values], Failures] = _no_failures
    """Checks of values; unknown ones are ``UNKNOWN``. Each failure is an input and what is wrong with it."""
    expired: Callable[[Values, Values], frozenset[str]] = _nothing_expired
    """Outputs that time has made stale, from old outputs and new inputs: each forces a replacement."""
    default_name: Callable[[str, str], str] | None = None
    """The input ``name`` of a resource to which the program gave none, from its logical name and a random
    suffix."""

    @property
    def inputs(self) -> frozenset[str]:
        return self.required | frozenset(self.optional)

    def with_defaults(self, inputs: Values) -> Values:
        """The inputs with each default that is not ``None`` filled in."""
        defaults = {key: value for key, value in self.optional.items() if value is not None}
        return {**defaults, **inputs}


def _missing(kind: Kind, inputs: Values) -> Failures:
    return [(key, f"{key} is required and missing") for key in sorted(kind.required - inputs.keys())]


def _unknown_keys(kind: Kind, inputs: Values) -> Failures:
    failures = []
    for key in sorted(inputs.keys() - kind.inputs):
        near = get_close_matches(key, kind.inputs, n=1)
        hint = f"; did you mean {near[0]}?" if near else ""
        failures.append((key, f"{key} is not an input of this resource{hint}"))
    return failures


def _same(kind: Kind, key: str, old: Any, new: Any) -> bool:
    if has_unknown(new):
        return False
    if new is None and key in kind.filled_in:
        return True
    if key in kind.unordered and isinstance(old, list) and isinstance(new, list):
        return sorted(map(str, old)) == sorted(map(str, new))
    return bool(old == new) and isinstance(old, bool) == isinstance(new, bool)


def _difference(kind: Kind, key: str, old: Any, new: Any) -> rpc.PropertyDiff:
    replaces = key not in kind.in_place
    kinds = rpc.PropertyDiffKind
    if old is None:
        what = kinds.ADD_REPLACE if replaces else kinds.ADD
    elif new is None:
        what = kinds.DELETE_REPLACE if replaces else kinds.DELETE
    else:
        what = kinds.UPDATE_REPLACE if replaces else kinds.UPDATE
    return rpc.PropertyDiff(what, input_diff=True)


def difference(kind: Kind, old: Values, new_inputs: Values) -> rpc.DiffResponse:
    """What must happen so that ``old`` (the outputs of the last write) becomes ``new_inputs``."""
    new = kind.with_defaults(new_inputs)
    detailed = {
        key: _difference(kind, key, old.get(key), new.get(key))
        for key in sorted(kind.inputs - kind.write_only)
        if not _same(kind, key, old.get(key), new.get(key))
    }
    replaces = [key for key in detailed if key not in kind.in_place]
    diffs = list(detailed)
    for key in sorted(kind.expired(old, new)):
        detailed[key] = rpc.PropertyDiff(rpc.PropertyDiffKind.UPDATE_REPLACE, input_diff=False)
        replaces.append(key)
        diffs.append(key)
    return rpc.DiffResponse(
        changes=bool(diffs),
        replaces=replaces,
        diffs=diffs,
        detailed_diff=detailed,
        delete_before_replace=bool(replaces) and kind.delete_before_replace,
    )


class TableProvider(rpc.Provider):
    """Serves the rows of ``kinds`` (by type token). ``self.config`` is what ``read_config`` made of the
    provider's configuration; functions of the rows receive it."""

    def __init__(self, package: str, kinds: Mapping[str, Kind]) -> None:
        self.package = package
        self.kinds = kinds
        self.config: Any = None

    def read_config(self, args: Values) -> Any:
        """The configuration for the rows' functions; raises ``PluginError`` for one that cannot be used."""
        return args

    def _kind(self, qualified: str) -> Kind:
        # A child's URN carries the types of its parents too: openerp:index:Certificate$tls:index/….
        token = qualified.rpartition("$")[2]
        # The SDK gives the type as a URN has it: with the types of all parents before it (`parent$child`).
        token = token.rpartition("$")[2]
        if token not in self.kinds:
            raise PluginError(
                f"{token} is not implemented by the local stand-in for pulumi-{self.package}; "
                f"it has {', '.join(sorted(self.kinds))}"
            )
        return self.kinds[token]

    async def configure(self, request: rpc.ConfigureRequest) -> rpc.ConfigureResponse:
        self.config = self.read_config(plain_map(request.args))
        return rpc.ConfigureResponse(accept_secrets=True, supports_preview=True, accept_resources=True)

    async def check(self, request: rpc.CheckRequest) -> rpc.CheckResponse:
        kind = self._kind(request.type)
        given = dict(request.new_inputs)
        if kind.default_name and given.get("name", PropertyValue.null()).value is None:
            given["name"] = request.old_inputs.get("name") or PropertyValue(
                kind.default_name(request.name, request.random_seed.hex()[:7])
            )
        inputs = plain_map(given)
        failures = _missing(kind, inputs) + _unknown_keys(kind, inputs) or kind.validate(inputs)
        return rpc.CheckResponse(
            inputs=given, failures=[rpc.CheckFailure(key, reason) for key, reason in failures] or None
        )

    async def diff(self, request: rpc.DiffRequest) -> rpc.DiffResponse:
        return difference(
            self._kind(request.type), plain_map(request.old_state), plain_map(request.new_inputs)
        )

    def _outputs(
        self, kind: Kind, outputs: Values, given: Mapping[str, PropertyValue]
    ) -> dict[str, PropertyValue]:
        hidden = kind.secrets | {key for key, value in given.items() if value.contains_secret()}
        shown = {key: value for key, value in outputs.items() if key not in kind.write_only}
        return property_map(shown, hidden)

    async def create(self, request: rpc.CreateRequest) -> rpc.CreateResponse:
        kind = self._kind(request.type)
        inputs = kind.with_defaults(plain_map(request.properties))
        if request.preview:
            unknown = {*kind.computed, *(kind.filled_in - inputs.keys())}
            outputs = {**inputs, **dict.fromkeys(unknown, UNKNOWN)}
            return rpc.CreateResponse(properties=self._outputs(kind, outputs, request.properties))
        resource_id, outputs = await asyncio.to_thread(kind.create, self.config, inputs)
        return rpc.CreateResponse(resource_id, self._outputs(kind, outputs, request.properties))

    async def read(self, request: rpc.ReadRequest) -> rpc.ReadResponse:
        kind = self._kind(request.type)
        if kind.read is None:
            return rpc.ReadResponse(request.resource_id, request.properties, request.inputs)
        last = plain_map(request.properties)
        found = await asyncio.to_thread(kind.read, self.config, request.resource_id, last)
        if found is None:
            return rpc.ReadResponse()
        resource_id, outputs = found
        properties = self._outputs(kind, outputs, request.properties)
        inputs = {
            key: properties[key]
            for key in kind.inputs & properties.keys()
            if key in request.inputs or (not request.inputs and outputs[key] != kind.optional.get(key))
        }
        return rpc.ReadResponse(resource_id, properties, inputs)

    async def update(self, request: rpc.UpdateRequest) -> rpc.UpdateResponse:
        kind = self._kind(request.type)
        old = plain_map(request.olds)
        new = kind.with_defaults(plain_map(request.news))
        kept = {key: value for key, value in old.items() if key not in kind.inputs - kind.filled_in}
        if request.preview or kind.update is None:
            outputs = {**kept, **new}
        else:
            new = {**kept, **new}
            outputs = await asyncio.to_thread(kind.update, self.config, request.resource_id, old, new)
        given = {**{key: value for key, value in request.olds.items() if key in kept}, **request.news}
        return rpc.UpdateResponse(self._outputs(kind, outputs, given))

    async def delete(self, request: rpc.DeleteRequest) -> None:
        kind = self._kind(request.type)
        if kind.delete is not None:
            await asyncio.to_thread(
                kind.delete, self.config, request.resource_id, plain_map(request.properties)
            )
