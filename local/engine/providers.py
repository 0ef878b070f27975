"""Providers: plugins in this process, their configuration, and the resources that stand for them.

A plugin is a `pulumi.provider.experimental.Provider`; the requests it gets are those that the SDK's own gRPC
server would give it (which passes a resource's old outputs as `old_state`, `olds` and `properties`). Rules
for provider resources: pkg/resource/deploy/providers/registry.go and
sdk/go/common/resource/plugin/provider_plugin.go.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Any

import pulumi
from pulumi.provider.experimental.property_value import Computed, PropertyValue, ResourceReference
from pulumi.provider.experimental.provider import (
    CheckFailure,
    CheckRequest,
    ConfigureRequest,
    CreateRequest,
    DeleteRequest,
    DiffRequest,
    DiffResponse,
    InvokeRequest,
    PropertyDiffKind,
    Provider,
    ReadRequest,
    UpdateRequest,
)

from local.engine import urn as urns
from local.engine.errors import EngineError, StepError
from local.engine.state import Resource
from local.engine.values import (
    ASSET,
    RESOURCE,
    SIGNATURE,
    UNKNOWN,
    UNKNOWN_TEXT,
    UNKNOWN_TEXTS,
    Properties,
    Secret,
    Value,
    annotate_secrets,
    equal,
    has_unknown,
    number,
    reveal,
)

Loader = Callable[[str], Provider]
"""Makes the plugin of a package. Raises EngineError for a package it does not have."""

INTERNAL_KEY = "__internal"


def to_property(value: Value) -> PropertyValue:
    """The SDK's form of a value."""
    if isinstance(value, Secret):
        return to_property(value.element).with_secret(True)
    if value is UNKNOWN:
        return PropertyValue(Computed())
    if isinstance(value, int | float) and not isinstance(value, bool):
        return PropertyValue(float(value))
    if isinstance(value, dict):
        signature = value.get(SIGNATURE)
        if signature == ASSET:
            return PropertyValue(_asset(value))
        if signature == RESOURCE:
            id_ = value.get("id")
            return PropertyValue(
                ResourceReference(
                    urn=str(value["urn"]), resource_id=None if id_ is None else to_property(id_)
                )
            )
        return PropertyValue({key: to_property(item) for key, item in value.items()})
    if isinstance(value, list):
        return PropertyValue([to_property(item) for item in value])
    return PropertyValue(value)


def _asset(value: Properties) -> pulumi.Asset:
    if "path" in value:
        return pulumi.FileAsset(str(value["path"]))
    return pulumi.StringAsset(str(value.get("text", "")))


def from_property(value: PropertyValue) -> Value:
    """A value from the SDK's form."""
    inner = value.value
    result: Value
    if inner is None or isinstance(inner, bool):
        result = inner
    elif isinstance(inner, str):
        result = UNKNOWN if inner in UNKNOWN_TEXTS else inner
    elif isinstance(inner, float):
        result = number(inner)
    elif isinstance(inner, Computed):
        result = UNKNOWN
    elif isinstance(inner, Mapping):
        result = {key: from_property(item) for key, item in inner.items()}
    elif isinstance(inner, tuple):
        result = [from_property(item) for item in inner]
    elif isinstance(inner, pulumi.FileAsset):
        result = {SIGNATURE: ASSET, "path": str(inner.path)}
    elif isinstance(inner, pulumi.StringAsset):
        result = {SIGNATURE: ASSET, "text": inner.text}
    elif isinstance(inner, ResourceReference):
        result = {SIGNATURE: RESOURCE, "urn": inner.urn, "packageVersion": inner.package_version or ""}
        if inner.resource_id is not None:
            result["id"] = from_property(inner.resource_id)
    else:
        raise EngineError(
            f"a plugin returned a {type(inner).__name__}, which the offline engine does not support"
        )
    return Secret(result) if value.is_secret else result


def to_properties(properties: Mapping[str, Value]) -> dict[str, PropertyValue]:
    """The SDK's form of properties."""
    return {key: to_property(value) for key, value in properties.items()}


def from_properties(properties: Mapping[str, PropertyValue]) -> Properties:
    """Properties from the SDK's form."""
    return {key: from_property(value) for key, value in properties.items()}


class Changes(Enum):
    """What a diff says."""

    UNKNOWN = 0
    NONE = 1
    SOME = 2


@dataclass
class Diff:
    """What differs between a resource's state and its new inputs."""

    changes: Changes = Changes.NONE
    replace_keys: list[str] = field(default_factory=list)
    changed_keys: list[str] = field(default_factory=list)
    detailed: dict[str, tuple[str, bool]] = field(default_factory=dict)
    """Property path → (kind: add, delete or update, with `-replace` where it forces replacement; input
    diff)."""
    delete_before_replace: bool = False
    warning: str = ""

    def replace(self) -> bool:
        """Whether the resource must be replaced."""
        return bool(self.replace_keys) or any(kind.endswith("-replace") for kind, _ in self.detailed.values())


_KINDS = {
    PropertyDiffKind.ADD: "add",
    PropertyDiffKind.ADD_REPLACE: "add-replace",
    PropertyDiffKind.DELETE: "delete",
    PropertyDiffKind.DELETE_REPLACE: "delete-replace",
    PropertyDiffKind.UPDATE: "update",
    PropertyDiffKind.UPDATE_REPLACE: "update-replace",
}


def _diff(response: DiffResponse) -> Diff:
    changes = {None: Changes.UNKNOWN, True: Changes.SOME, False: Changes.NONE}[response.changes]
    return Diff(
        changes=changes,
        replace_keys=list(response.replaces),
        changed_keys=list(response.diffs),
        detailed={key: (_KINDS[each.kind], each.input_diff) for key, each in response.detailed_diff.items()},
        delete_before_replace=response.delete_before_replace,
    )


def object_diff(old: Properties, new: Properties) -> dict[str, tuple[str, bool]]:
    """Which top-level properties differ: the diff of an engine that gets none from the plugin."""
    detailed: dict[str, tuple[str, bool]] = {}
    for key in sorted(old.keys() | new.keys()):
        if key not in new:
            detailed[key] = ("delete", True)
        elif key not in old:
            detailed[key] = ("add", True)
        elif not equal(reveal(old[key]), reveal(new[key])):
            detailed[key] = ("update", True)
    return detailed


@dataclass(frozen=True)
class Checked:
    """Inputs as a provider completed them, and what it refuses of them: (property, reason)."""

    inputs: Properties
    failures: list[tuple[str, str]]


def _failures(failures: Iterable[CheckFailure] | None) -> list[tuple[str, str]]:
    return [(failure.property, failure.reason) for failure in failures or ()]


class Plugin:
    """One plugin, configured once or not at all (in a preview whose provider configuration is unknown)."""

    def __init__(self, provider: Provider) -> None:
        self._provider = provider
        self.known = True
        self._secrets = True
        self._previews = True

    def _out(self, properties: Mapping[str, Value]) -> dict[str, PropertyValue]:
        return to_properties(properties if self._secrets else reveal(dict(properties)))

    def _in(self, properties: Mapping[str, PropertyValue], given: Properties) -> Properties:
        values = from_properties(properties)
        return values if self._secrets else annotate_secrets(values, given)

    async def check_config(self, urn: str, olds: Properties, news: Properties) -> Checked:
        """The provider's configuration as the plugin completes it."""
        request = CheckRequest(urn, to_properties(reveal(olds)), to_properties(reveal(news)), b"")
        response = await self._provider.check_config(request)
        inputs = from_properties(response.inputs) if response.inputs is not None else dict(news)
        return Checked(annotate_secrets(inputs, news), _failures(response.failures))

    async def diff_config(self, urn: str, id_: str, old_outputs: Properties, news: Properties) -> Diff:
        """What differs in the provider's configuration."""
        request = DiffRequest(urn, id_, to_properties(old_outputs), to_properties(news), [])
        result = _diff(await self._provider.diff_config(request))
        if result.changes is Changes.UNKNOWN:
            same = equal(reveal(old_outputs), reveal(news))
            result.changes = Changes.NONE if same else Changes.SOME
        return result

    async def configure(self, package: str, inputs: Properties) -> None:
        """Give the plugin its configuration; where that is not known yet, the plugin is not asked
        anything."""
        if has_unknown(inputs):
            self.known = False
            return
        self.known = True
        variables = {
            f"{package}:config:{key}": value if isinstance(value, str) else json.dumps(value)
            for key, value in reveal(inputs).items()
            if key != "version"
        }
        response = await self._provider.configure(
            ConfigureRequest(variables, to_properties(inputs), True, True)
        )
        self._secrets = response.accept_secrets
        self._previews = response.supports_preview

    async def check(self, urn: str, olds: Properties, news: Properties, seed: bytes) -> Checked:
        """Inputs as the plugin completes them, from the old ones where there are any."""
        if not self.known:
            return Checked(news, [])
        response = await self._provider.check(CheckRequest(urn, self._out(olds), self._out(news), seed))
        inputs = self._in(response.inputs, news) if response.inputs is not None else {}
        return Checked(inputs, _failures(response.failures))

    async def diff(self, old: Resource, news: Properties, ignore_changes: list[str]) -> Diff:
        """What differs between a resource and its new inputs."""
        if not self.known:
            return Diff(
                changes=Changes.SOME,
                warning="its provider's configuration is not known during preview: "
                "this may not be what happens",
            )
        request = DiffRequest(old.urn, old.id, self._out(old.outputs), self._out(news), ignore_changes)
        result = _diff(await self._provider.diff(request))
        if result.changes is Changes.UNKNOWN:
            result.detailed = object_diff(old.inputs, news)
            result.changed_keys = list(result.detailed)
            result.changes = Changes.SOME if result.detailed else Changes.NONE
        return result

    async def create(
        self, urn: str, inputs: Properties, timeout: float, preview: bool
    ) -> tuple[str, Properties]:
        """The id and the outputs of a new resource (in a preview the id is empty)."""
        if preview and not self.known:
            return "", {}
        if preview and not self._previews:
            return "", dict(inputs)
        response = await self._provider.create(CreateRequest(urn, self._out(inputs), timeout, preview))
        return response.resource_id or "", self._in(response.properties, inputs)

    async def update(
        self, old: Resource, news: Properties, timeout: float, ignore_changes: list[str], preview: bool
    ) -> Properties:
        """The outputs of a resource after an update in place."""
        if preview and not self.known:
            return {}
        if preview and not self._previews:
            return dict(news)
        request = UpdateRequest(
            old.urn, old.id, self._out(old.outputs), self._out(news), timeout, ignore_changes, preview
        )
        return self._in((await self._provider.update(request)).properties, news)

    async def delete(self, old: Resource, timeout: float) -> None:
        """Delete a resource."""
        await self._provider.delete(DeleteRequest(old.urn, old.id, self._out(old.outputs), timeout))

    async def read(self, urn: str, id_: str, inputs: Properties) -> tuple[str, Properties] | None:
        """The id and outputs of a resource that exists already, or None where it does not."""
        if not self.known:
            return id_, {}
        response = await self._provider.read(ReadRequest(urn, id_, self._out(inputs), self._out(inputs)))
        if not response.resource_id:
            return None
        return response.resource_id, self._in(response.properties, inputs)

    async def invoke(self, token: str, arguments: Properties) -> tuple[Properties, list[tuple[str, str]]]:
        """The result of a provider function, and what it refuses of its arguments."""
        response = await self._provider.invoke(InvokeRequest(token, self._out(arguments)))
        return from_properties(response.return_value or {}), _failures(response.failures)


def _filtered(inputs: Properties) -> Properties:
    return {key: value for key, value in inputs.items() if key != INTERNAL_KEY}


class Registry:
    """The plugins of this run, by provider reference."""

    def __init__(self, loader: Loader, ready: Callable[[], Awaitable[None]] | None = None) -> None:
        """`ready` is awaited before a plugin is configured: until then nothing that it talks to need run."""
        self._loader = loader
        self._ready = ready
        self._configured: dict[str, Plugin] = {}
        self._unconfigured: dict[str, Plugin] = {}

    def _load(self, urn: str) -> Plugin:
        return Plugin(self._loader(urns.package_of(urns.type_of(urn))))

    def get(self, reference: str) -> Plugin:
        """The plugin behind a provider reference. Raises EngineError where the reference is not
        registered."""
        plugin = self._configured.get(reference)
        if plugin is None:
            raise EngineError(f"unknown provider {reference}")
        return plugin

    def has(self, reference: str) -> bool:
        """Whether the provider is registered and configured."""
        return reference in self._configured

    async def check(self, urn: str, olds: Properties, news: Properties) -> Checked:
        """A provider resource's inputs, completed by the plugin, which stays ready to be configured."""
        plugin = self._unconfigured[urn] = self._load(urn)
        checked = await plugin.check_config(urn, _filtered(olds), _filtered(news))
        inputs = dict(checked.inputs)
        for key in ("version", INTERNAL_KEY):
            if key in news:
                inputs[key] = news[key]
        return Checked(inputs, checked.failures)

    async def diff(self, urn: str, old: Resource, news: Properties) -> Diff:
        """What differs in a provider resource's configuration."""
        plugin = self._unconfigured.get(urn) or self._load(urn)
        return await plugin.diff_config(urn, old.id, old.outputs, _filtered(news))

    async def create(self, urn: str, inputs: Properties, preview: bool) -> tuple[str, Properties]:
        """Configure a new provider; its id is a fresh UUID, unknown in a preview."""
        id_ = UNKNOWN_TEXT if preview else str(uuid.uuid4())
        await self._configure(urn, id_, inputs)
        return id_, _filtered(inputs)

    async def update(self, urn: str, id_: str, inputs: Properties) -> Properties:
        """Configure a provider that keeps its id, with changed inputs."""
        await self._configure(urn, id_, inputs)
        return _filtered(inputs)

    async def same(self, urn: str, id_: str, inputs: Properties) -> None:
        """Configure an unchanged provider, from the inputs in state, where that has not happened yet."""
        if not self.has(urns.provider_reference(urn, id_)):
            await self._configure(urn, id_, inputs)

    async def from_state(self, reference: str, resources: Iterable[Resource]) -> None:
        """Make sure that a provider which the state names is there, configured from the state."""
        if self.has(reference):
            return
        urn, id_ = urns.split_reference(reference)
        known = next((item for item in resources if item.urn == urn and item.id == id_), None)
        if known is None:
            raise StepError(urn, f"the state names the provider {reference}, but does not hold it")
        await self.same(urn, id_, known.inputs)

    async def _configure(self, urn: str, id_: str, inputs: Properties) -> None:
        plugin = self._unconfigured.pop(urn, None) or self._load(urn)
        try:
            if self._ready is not None:
                await self._ready()
            await plugin.configure(urns.package_of(urns.type_of(urn)), _filtered(inputs))
        except Exception as error:
            raise StepError(urn, f"the provider cannot be configured: {message_of(error)}") from error
        self._configured[urns.provider_reference(urn, id_)] = plugin


def message_of(error: BaseException) -> str:
    """An error as one message for a person, without a traceback."""
    text = str(error).strip()
    if isinstance(error, NotImplementedError) and not text:
        return "the plugin does not implement this"
    return text or type(error).__name__


def version_name(version: str) -> str:
    """The name of a default provider of this version: `default_7_51_1`, or `default` without a version."""
    if not version:
        return "default"
    return "default_" + version.replace(".", "_").replace("-", "_").replace("+", "_")


def default_inputs(config: Mapping[str, tuple[str, bool]], version: str) -> dict[str, Any]:
    """The inputs of a package's default provider: its configuration namespace, and the version of the SDK."""
    inputs: dict[str, Any] = {
        name: Secret(text) if secret else text for name, (text, secret) in config.items()
    }
    set_version(inputs, version)
    return inputs


def set_version(inputs: Properties, version: str) -> None:
    """Note in a provider's inputs which version of its SDK registered it, where that is known."""
    if version:
        inputs["version"] = version
        inputs[INTERNAL_KEY] = {}
