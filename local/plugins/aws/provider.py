"""The provider: answers the engine from the table. Check and diff open no connection."""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import Iterable, Mapping
from difflib import get_close_matches
from functools import cache
from typing import Any

from pulumi.provider.experimental import provider as rpc
from pulumi.provider.experimental.property_value import PropertyValue

from local.plugins.aws import table
from local.plugins.aws.clients import ApiError, Clients, endpoint_from
from local.plugins.aws.compare import REPLACING, differences, top
from local.plugins.aws.context import Context
from local.plugins.aws.naming import automatic_name
from local.plugins.aws.row import Row, Values
from local.plugins.aws.shapes import pairs_as_map
from local.plugins.plain import UNKNOWN, has_unknown, plain, plain_map, property_value
from local.plugins.table_provider import PluginError

Properties = dict[str, PropertyValue]

REGION_VARIABLES = ("AWS_REGION", "AWS_DEFAULT_REGION")
DEFAULTS = "__defaults"
"""The key under which pulumi-aws's bridge remembers which inputs it chose itself."""


@cache
def rows() -> dict[str, Row]:
    """The table, loaded once."""
    return table.load()


def row_of(token: str) -> Row:
    """The row of a type; raises PluginError for a type that the table does not have.

    The SDK gives the type as a URN has it, with the types of all parents before it (``parent$child``).
    """
    token = token.rpartition("$")[2]
    if token not in rows():
        near = get_close_matches(token, rows(), n=1)
        hint = f"; the nearest is {near[0]}" if near else ""
        raise PluginError(f"the local aws plugin does not have the resource type {token}{hint}")
    return rows()[token]


def _decoded(value: Any) -> Any:
    """Provider configuration travels as text: lists and objects are JSON."""
    if isinstance(value, str) and value[:1] in ("{", "["):
        return json.loads(value)
    return value


class AwsProvider(rpc.Provider):
    """The local stand-in for pulumi-aws; one instance for each provider resource."""

    def __init__(self) -> None:
        self.region: Any = None
        self.default_tags: Any = {}
        self._endpoints: dict[str, str] = {}
        self._clients: Clients | None = None

    # -- configuration -------------------------------------------------------------------------------------

    def _read_config(self, args: Values) -> None:
        values = {key: _decoded(value) for key, value in args.items()}
        self.region = values.get("region") or next(
            (os.environ[name] for name in REGION_VARIABLES if os.environ.get(name)), None
        )
        if self.region is None:
            raise PluginError("aws:region is not set: set it with `pulumi config set aws:region eu-west-1`")
        tags = values.get("defaultTags") or {}
        self.default_tags = tags.get("tags") or {} if isinstance(tags, Mapping) else tags
        self._endpoints = {
            service: url
            for entry in _known_list(values.get("endpoints"))
            for service, url in entry.items()
            if isinstance(url, str) and url
        }
        endpoint_from(self._endpoints)

    async def check_config(self, request: rpc.CheckRequest) -> rpc.CheckResponse:
        failures = []
        try:
            self._read_config(plain_map(request.new_inputs))
        except PluginError as error:
            failures.append(rpc.CheckFailure("", str(error)))
        return rpc.CheckResponse(inputs=request.new_inputs, failures=failures or None)

    async def configure(self, request: rpc.ConfigureRequest) -> rpc.ConfigureResponse:
        variables = {key.rpartition(":")[2]: value for key, value in request.variables.items()}
        self._read_config({**variables, **plain_map(request.args)})
        return rpc.ConfigureResponse(accept_secrets=True, supports_preview=True)

    def clients(self) -> Clients:
        """The clients of this provider; raises PluginError when the emulator's address is not usable."""
        if self._clients is None:
            self._clients = Clients(endpoint_from(self._endpoints), self._endpoints)
        return self._clients

    # -- decisions without a connection --------------------------------------------------------------------

    async def check(self, request: rpc.CheckRequest) -> rpc.CheckResponse:
        row = row_of(request.type)
        inputs = {
            key: value
            for key, value in request.new_inputs.items()
            if value.value is not None and not key.startswith("__")
        }
        failures = _unknown_inputs(row, inputs)
        if row.check and not failures:
            found = row.check(plain_map(inputs))
            failures = [rpc.CheckFailure(key, reason) for key, reason in found.items()]
        if failures:
            return rpc.CheckResponse(inputs=inputs, failures=failures)
        chosen = self._fill_in(row, inputs, request)
        if chosen:
            inputs[DEFAULTS] = property_value(sorted(chosen))
        return rpc.CheckResponse(inputs=inputs)

    def _fill_in(self, row: Row, inputs: Properties, request: rpc.CheckRequest) -> list[str]:
        """Adds name, defaults, region and all tags to ``inputs``; gives the keys that were chosen here."""
        chosen = []
        name = row.name
        if name and name.property not in inputs and name.property + "Prefix" not in inputs:
            inputs[name.property] = _kept_name(name.property, request.old_inputs) or PropertyValue(
                automatic_name(name, request.name, request.random_seed, request.urn)
            )
            chosen.append(name.property)
        for key, value in row.defaults.items():
            if key not in inputs:
                inputs[key] = property_value(value)
                chosen.append(key)
        if row.regional and "region" not in inputs:
            inputs["region"] = property_value(self.region)
            chosen.append("region")
        if row.tags:
            tags_all = self._all_tags(inputs.get("tags"))
            if tags_all is not None:
                inputs["tagsAll"] = tags_all
        return chosen

    def _all_tags(self, tags: PropertyValue | None) -> PropertyValue | None:
        given = {} if tags is None else plain(tags)
        if given is UNKNOWN or self.default_tags is UNKNOWN:
            return property_value(UNKNOWN)
        merged = {**self.default_tags, **{key: value for key, value in given.items() if value is not None}}
        if not merged:
            return None
        return property_value(merged, secret=tags is not None and tags.contains_secret())

    async def diff(self, request: rpc.DiffRequest) -> rpc.DiffResponse:
        row = row_of(request.type)
        chosen = plain(request.new_inputs.get(DEFAULTS, PropertyValue([])))
        old, new = plain_map(request.old_state), plain_map(request.new_inputs)
        found = differences(row, old, new, frozenset(request.ignore_changes))
        replacing = row.names(row.replace) | {"region"}
        if row.name and row.name.replaces:
            replacing |= {row.name.property}
        detailed = {
            path: rpc.PropertyDiff(REPLACING[kind] if top(path) in replacing else kind, input_diff=False)
            for path, kind in found.items()
        }
        changed = sorted({top(path) for path in found})
        replaces = [key for key in changed if key in replacing]
        return rpc.DiffResponse(
            changes=bool(changed),
            replaces=replaces,
            diffs=changed,
            detailed_diff=detailed,
            delete_before_replace=bool(replaces) and _slot_stays(row, changed, chosen, new),
            stables=["arn", "id"] if not replaces else [],
        )

    # -- operations ----------------------------------------------------------------------------------------

    def _context(self, row: Row, request: Any, inputs: Values, **more: Any) -> Context:
        region = inputs.get("region") or (more.get("state") or {}).get("region") or self.region
        name = f"{request.name} ({row.type})" if request.name else row.type
        return Context(row, name, self.clients(), region=region, inputs=inputs, **more)

    async def create(self, request: rpc.CreateRequest) -> rpc.CreateResponse:
        row = row_of(request.type)
        inputs = _visible(request.properties)
        if request.preview:
            unknown = {key: property_value(UNKNOWN) for key in row.unknown_until_created if key not in inputs}
            constants = {key: property_value(value) for key, value in row.constants.items()}
            return rpc.CreateResponse(properties={**constants, **unknown, **inputs})
        context = self._context(row, request, plain_map(inputs))
        outputs = await asyncio.to_thread(context.create)
        return rpc.CreateResponse(context.id, {**_wrapped(outputs, {}), **inputs})

    async def update(self, request: rpc.UpdateRequest) -> rpc.UpdateResponse:
        row = row_of(request.type)
        old, inputs = plain_map(request.olds), _visible(request.news)
        new = plain_map(inputs)
        changed = frozenset(map(top, differences(row, old, new, frozenset(request.ignore_changes))))
        kept = {
            key: value
            for key, value in request.olds.items()
            if key not in row.accepted | {"tagsAll"}
            or key in row.names(row.computed) | _name(row) | {"region"}
        }
        if request.preview:
            unknown = {
                output: property_value(UNKNOWN)
                for output, causes in row.volatile.items()
                if output not in inputs and changed & row.names(causes)
            }
            return rpc.UpdateResponse({**kept, **unknown, **inputs})
        context = self._context(
            row, request, new, state=dict(old), resource_id=request.resource_id, changed=changed
        )
        outputs = await asyncio.to_thread(context.update)
        return rpc.UpdateResponse({**kept, **_wrapped(outputs, request.olds), **inputs})

    async def read(self, request: rpc.ReadRequest) -> rpc.ReadResponse:
        row = row_of(request.type)
        known, inputs = plain_map(request.properties), _visible(request.inputs)
        context = self._context(
            row, request, plain_map(inputs), state=dict(known), resource_id=request.resource_id
        )
        found = await asyncio.to_thread(self._found, context)
        if found is None:
            return rpc.ReadResponse()
        computed, told = found
        outputs = {
            **{key: value for key, value in request.properties.items() if not key.startswith("__")},
            **_wrapped(computed, request.properties),
            **_wrapped(told, {**request.properties, **inputs}),
        }
        outputs = {key: value for key, value in outputs.items() if value.value is not None}
        importing = not request.inputs
        shown = {key: outputs[key] for key in told if key in outputs and (importing or key in inputs)}
        new_inputs = {**{key: value for key, value in inputs.items() if key not in told}, **shown}
        if DEFAULTS in request.inputs:
            new_inputs[DEFAULTS] = request.inputs[DEFAULTS]
        return rpc.ReadResponse(request.resource_id, outputs, new_inputs)

    def _found(self, context: Context) -> tuple[Values, Values] | None:
        """Computed outputs, and the inputs as the service tells them; ``None`` if the resource is gone."""
        row, importing = context.row, not context.state
        if context.find() is None:
            return None
        computed = context.outputs(lookups=True)
        told: Values = {}
        for name in sorted(row.names(row.inputs) - set(row.outputs)):
            last = context.inputs.get(name, context.state.get(name))
            if last is None and not importing and name not in row.names(row.watched):
                continue
            value = context.read_back(name, last)
            if value is not None or last is not None:
                told[name] = value
        if row.tags:
            told.update(_tags_told(context, self.default_tags))
        return computed, told

    async def delete(self, request: rpc.DeleteRequest) -> None:
        row = row_of(request.type)
        state = plain_map(request.properties)
        refusal = row.examine_delete(state) if row.examine_delete else ""
        if refusal:
            raise PluginError(f"{request.name} ({row.type}): {refusal}")
        context = self._context(row, request, {}, state=state, resource_id=request.resource_id)
        await asyncio.to_thread(context.delete)

    async def invoke(self, request: rpc.InvokeRequest) -> rpc.InvokeResponse:
        from local.plugins.aws.invokes import INVOKES, SECRET_RESULTS

        if request.tok not in INVOKES:
            near = get_close_matches(request.tok, INVOKES, n=1)
            hint = f"; the nearest is {near[0]}" if near else ""
            raise PluginError(f"the local aws plugin does not have the function {request.tok}{hint}")
        args = plain_map(request.args)
        region = args.pop("region", None) or self.region
        result = await asyncio.to_thread(INVOKES[request.tok], self.clients(), region, args)
        secret = SECRET_RESULTS.get(request.tok, set())
        return rpc.InvokeResponse(
            {key: property_value(value, secret=key in secret) for key, value in result.items()}
        )


def _known_list(value: Any) -> Iterable[Mapping[str, Any]]:
    if isinstance(value, Mapping):
        return [value]
    return [entry for entry in value if isinstance(entry, Mapping)] if isinstance(value, list) else []


def _name(row: Row) -> set[str]:
    return {row.name.property} if row.name else set()


def _visible(properties: Mapping[str, PropertyValue]) -> Properties:
    """Properties without null values and without the bridge's own keys."""
    return {
        key: value
        for key, value in properties.items()
        if value.value is not None and not key.startswith("__")
    }


def _wrapped(values: Values, like: Mapping[str, PropertyValue]) -> Properties:
    """Property values of plain data, secret where ``like`` was."""
    return {
        key: property_value(value, secret=key in like and like[key].contains_secret())
        for key, value in values.items()
    }


def _unknown_inputs(row: Row, inputs: Properties) -> list[rpc.CheckFailure]:
    failures = []
    for key in sorted(inputs.keys() - row.accepted):
        near = get_close_matches(key, row.accepted, n=1)
        hint = f"; did you mean {near[0]}?" if near else ""
        failures.append(
            rpc.CheckFailure(
                key, f"{key} is not an input of {row.type} that the local aws plugin knows{hint}"
            )
        )
    return failures


def _kept_name(key: str, old: Mapping[str, PropertyValue]) -> PropertyValue | None:
    """The automatic name of last time; ``None`` if there was none or it was given by the program."""
    chosen = plain(old[DEFAULTS]) if DEFAULTS in old else []
    return old[key] if key in chosen and key in old else None


def _slot_stays(row: Row, changed: list[str], chosen: list[str], new: Values) -> bool:
    """Whether old and new cannot exist side by side: same name given by the program, or same place."""
    if row.name and row.name.property not in [*chosen, *changed] and row.name.property in new:
        return True
    slot = row.names(row.slot)
    return bool(slot) and not (slot & set(changed)) and not any(has_unknown(new.get(key)) for key in slot)


def _tags_told(context: Context, defaults: Any) -> Values:
    """``tags`` and ``tagsAll`` as the service tells them, without AWS's own."""
    found = _tags_of(context)
    if found is None:
        return {}
    everything = {key: str(value) for key, value in found.items() if not key.startswith("aws:")}
    known = context.state.get("tags") or {}
    common = defaults if isinstance(defaults, Mapping) else {}
    own = {key: value for key, value in everything.items() if key in known or common.get(key) != value}
    return {"tags": own or None, "tagsAll": everything or None}


def _tags_of(context: Context) -> dict[str, Any] | None:
    tagging = context.row.tags
    thing = context.thing if isinstance(context.thing, Mapping) else {}
    key = next((name for name in ("Tags", "tags", "TagList", "TagSet") if name in thing), None)
    found: Any = thing[key] if key else None
    if key is None and tagging and tagging.read:
        try:
            found = context.run(tagging.read)
        except ApiError as error:
            if error.unimplemented:
                return None
            raise
    elif key is None:
        return None
    pairs = pairs_as_map(found or [])
    return pairs if isinstance(pairs, dict) else {}
