"""The state of a stack: resources, pending operations, and Pulumi's checkpoint form of them (deployment
version 3).

Form and rules: sdk/go/common/apitype/core.go, pkg/resource/stack/deployment.go and pkg/backend/snapshot.go of
Pulumi 3.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any, Final

from local.engine import urn as urns
from local.engine.crypto import Crypter
from local.engine.errors import EngineError
from local.engine.values import Properties, Secret, Value, from_json, to_json

VERSION: Final = "v3.272.0"
"""The CLI version that the manifest names: the one whose format this is."""

SUPPORTED_FEATURES: Final = frozenset({"replaceWith"})
"""Features of a version-4 checkpoint that this engine understands."""


@dataclass(slots=True, eq=False)
class Resource:
    """One resource as the state records it; compared by identity."""

    urn: str
    type: str
    custom: bool
    delete: bool = False
    id: str = ""
    inputs: Properties = field(default_factory=dict)
    outputs: Properties = field(default_factory=dict)
    parent: str = ""
    protect: bool = False
    external: bool = False
    dependencies: list[str] = field(default_factory=list)
    init_errors: list[str] = field(default_factory=list)
    provider: str = ""
    property_dependencies: dict[str, list[str]] = field(default_factory=dict)
    pending_replacement: bool = False
    additional_secret_outputs: list[str] = field(default_factory=list)
    alias: str = ""
    custom_timeouts: dict[str, float] = field(default_factory=dict)
    import_id: str = ""
    retain_on_delete: bool = False
    deleted_with: str = ""
    replace_with: list[str] = field(default_factory=list)
    created: str = ""
    modified: str = ""
    source_position: str = ""
    stack_trace: list[str] = field(default_factory=list)
    ignore_changes: list[str] = field(default_factory=list)
    hide_diff: list[list[str | int]] = field(default_factory=list)
    replace_on_changes: list[str] = field(default_factory=list)
    replacement_trigger: Value = None

    def references(self) -> Iterable[str]:
        """URNs of everything this resource needs: parent, dependencies, provider."""
        if self.parent:
            yield self.parent
        if self.provider:
            yield urns.split_reference(self.provider)[0]
        yield from self.dependencies
        for listed in self.property_dependencies.values():
            yield from listed
        if self.deleted_with:
            yield self.deleted_with
        yield from self.replace_with


@dataclass(slots=True)
class Operation:
    """An operation that was under way when the state was written."""

    resource: Resource
    type: str
    """`creating`, `updating`, `deleting`, `reading` or `importing`."""


@dataclass(slots=True)
class Snapshot:
    """All that is known of a stack."""

    resources: list[Resource] = field(default_factory=list)
    pending: list[Operation] = field(default_factory=list)
    salt: str | None = None
    """The passphrase secrets manager's state, or None where there is none yet."""

    def root(self) -> Resource | None:
        """The stack's own resource, which carries the stack's outputs."""
        return next((item for item in self.resources if item.type == urns.ROOT_STACK_TYPE), None)


def now() -> str:
    """The time as Go writes it: RFC 3339 with a fraction, in UTC."""
    return datetime.now(UTC).isoformat().replace("+00:00", "Z")


# (attribute, key): the order of keys and which are left out when empty are those of apitype.ResourceV3.
_PLAIN: Final = (
    ("protect", "protect"),
    ("external", "external"),
    ("dependencies", "dependencies"),
    ("init_errors", "initErrors"),
    ("provider", "provider"),
    ("property_dependencies", "propertyDependencies"),
    ("pending_replacement", "pendingReplacement"),
    ("additional_secret_outputs", "additionalSecretOutputs"),
    ("custom_timeouts", "customTimeouts"),
    ("import_id", "importID"),
    ("retain_on_delete", "retainOnDelete"),
    ("deleted_with", "deletedWith"),
    ("replace_with", "replaceWith"),
    ("created", "created"),
    ("modified", "modified"),
    ("source_position", "sourcePosition"),
    ("ignore_changes", "ignoreChanges"),
    ("hide_diff", "hideDiff"),
    ("replace_on_changes", "replaceOnChanges"),
)


def resource_to_json(resource: Resource, crypter: Crypter | None) -> dict[str, Any]:
    """A resource in checkpoint form; without a crypter, secrets are written in plain text."""
    encrypt = crypter.encrypt if crypter else None
    data: dict[str, Any] = {"urn": resource.urn, "custom": resource.custom}
    if resource.delete:
        data["delete"] = True
    if resource.id:
        data["id"] = resource.id
    data["type"] = resource.type
    if resource.inputs:
        data["inputs"] = to_json(resource.inputs, encrypt)
    if resource.outputs:
        data["outputs"] = to_json(resource.outputs, encrypt)
    if resource.parent:
        data["parent"] = resource.parent
    for attribute, key in _PLAIN:
        value = getattr(resource, attribute)
        if value:
            data[key] = value
    if resource.stack_trace:
        data["stackTrace"] = [
            {"sourcePosition": position} if position else {} for position in resource.stack_trace
        ]
    if resource.replacement_trigger is not None:
        data["replacementTrigger"] = to_json(resource.replacement_trigger, encrypt)
    return data


class _Lazy:
    """Decrypts only where a secret is met, so that a state without secrets costs no key derivation."""

    def __init__(self, crypter: Crypter | None) -> None:
        self._crypter = crypter

    def __call__(self, ciphertext: str) -> str:
        if self._crypter is None:
            raise EngineError("the state holds secrets, but names no passphrase secrets provider")
        return self._crypter.decrypt(ciphertext)


def resource_from_json(data: Mapping[str, Any], crypter: Crypter | None) -> Resource:
    """A resource from its checkpoint form."""
    decrypt = _Lazy(crypter)
    resource = Resource(urn=data["urn"], type=data["type"], custom=bool(data.get("custom")))
    resource.delete = bool(data.get("delete"))
    resource.id = data.get("id", "")
    resource.inputs = from_json(data.get("inputs") or {}, decrypt)
    resource.outputs = from_json(data.get("outputs") or {}, decrypt)
    resource.parent = data.get("parent", "")
    for attribute, key in _PLAIN:
        if data.get(key):
            setattr(resource, attribute, data[key])
    resource.stack_trace = [frame.get("sourcePosition", "") for frame in data.get("stackTrace") or []]
    if "replacementTrigger" in data:
        resource.replacement_trigger = from_json(data["replacementTrigger"], decrypt)
    return resource


def manifest() -> dict[str, str]:
    """The manifest of a deployment: when it was written and by which version's rules."""
    return {"time": now(), "magic": hashlib.sha256(VERSION.encode()).hexdigest(), "version": VERSION}


def checkpoint_text(stack: str, resources: Iterable[str], pending: Iterable[str], salt: str | None) -> str:
    """A whole checkpoint file from resources and operations that are JSON already.

    `stack` is the fully qualified name, `organization/<project>/<stack>`.
    """
    listed = list(resources)
    features = ["replaceWith"] if any('"replaceWith":' in text for text in listed) else []
    head: dict[str, Any] = {"manifest": manifest()}
    if salt is not None:
        head["secrets_providers"] = {"type": "passphrase", "state": {"salt": salt}}
    latest = json.dumps(head, separators=(",", ":"))[:-1]
    if listed:
        latest += ',"resources":[' + ",".join(listed) + "]"
    operations = list(pending)
    if operations:
        latest += ',"pending_operations":[' + ",".join(operations) + "]"
    latest += ',"metadata":{}}'
    version = 4 if features else 3
    extra = f',"features":{json.dumps(features)}' if features else ""
    return f'{{"version":{version}{extra},"checkpoint":{{"stack":{json.dumps(stack)},"latest":{latest}}}}}'


def compact(data: Any) -> str:
    """JSON without spaces."""
    return json.dumps(data, separators=(",", ":"), ensure_ascii=False)


def parse_checkpoint(text: str, where: str) -> dict[str, Any]:
    """The deployment in a checkpoint file, `{}` where there was none yet.

    Raises EngineError, naming `where`, for what is no checkpoint or one of a kind this engine cannot read.
    """
    try:
        data = json.loads(text)
        version, checkpoint = data["version"], data["checkpoint"]
    except (ValueError, KeyError, TypeError):
        raise EngineError(
            f"{where} is not a Pulumi checkpoint; a copy of the one before is {where}.bak"
        ) from None
    unknown = sorted(set(data.get("features") or []) - SUPPORTED_FEATURES)
    if version not in (3, 4) or unknown:
        detail = f"uses the features {', '.join(unknown)}" if unknown else f"has version {version}"
        raise EngineError(f"{where} {detail}, which the offline engine cannot read: use the Pulumi CLI")
    latest: dict[str, Any] = checkpoint.get("latest") or {}
    return latest


def salt_of(deployment: Mapping[str, Any], where: str) -> str | None:
    """The passphrase salt that a deployment names, or None. Raises EngineError for another secrets
    provider."""
    provider = deployment.get("secrets_providers") or {}
    kind = provider.get("type")
    if kind in (None, ""):
        return None
    if kind != "passphrase":
        raise EngineError(
            f"{where} encrypts its secrets with {kind!r}; the offline engine knows passphrases only: "
            "use the Pulumi CLI for this stack"
        )
    salt: str = provider["state"]["salt"]
    return salt


def snapshot_from_json(deployment: Mapping[str, Any], crypter: Crypter | None, where: str) -> Snapshot:
    """The snapshot of a deployment, its integrity checked."""
    snapshot = Snapshot(salt=salt_of(deployment, where))
    for data in deployment.get("resources") or []:
        if data.get("viewOf") or data.get("taint") or data.get("resourceHooks"):
            raise EngineError(
                f"{where}: {data['urn']} uses views, taint or hooks, which the offline engine does not "
                "support: use the Pulumi CLI"
            )
        snapshot.resources.append(resource_from_json(data, crypter))
    for data in deployment.get("pending_operations") or []:
        snapshot.pending.append(Operation(resource_from_json(data["resource"], crypter), data["type"]))
    verify(snapshot.resources, where)
    return snapshot


def verify(resources: Iterable[Resource], where: str) -> None:
    """Raise EngineError unless every resource comes after what it needs, as the real CLI demands of a
    state."""
    seen: set[str] = set()
    for resource in resources:
        missing = next((urn for urn in resource.references() if urn not in seen), None)
        if missing is not None:
            raise EngineError(
                f"{where} is damaged: {resource.urn} needs {missing}, which is not before it; "
                f"a copy of the state before is {where}.bak"
            )
        seen.add(resource.urn)


def mark_secrets(state: Resource) -> None:
    """Make secret what the program says is, and every output whose input of the same name is."""
    for key in state.additional_secret_outputs:
        value = state.outputs.get(key)
        if key in state.outputs and not isinstance(value, Secret):
            state.outputs[key] = Secret(value)
    for key, value in state.outputs.items():
        if not isinstance(value, Secret) and isinstance(state.inputs.get(key), Secret):
            state.outputs[key] = Secret(value)


def renamed(resource: Resource, names: Mapping[str, str]) -> Resource:
    """The resource with every URN in it replaced by its new name (after a rename by alias)."""

    def new(urn: str) -> str:
        return names.get(urn, urn)

    provider = resource.provider
    if provider:
        provider_urn, id_ = urns.split_reference(provider)
        provider = urns.provider_reference(new(provider_urn), id_)
    return replace(
        resource,
        urn=new(resource.urn),
        parent=new(resource.parent),
        provider=provider,
        dependencies=[new(item) for item in resource.dependencies],
        property_dependencies={
            key: [new(item) for item in listed] for key, listed in resource.property_dependencies.items()
        },
        deleted_with=new(resource.deleted_with),
        replace_with=[new(item) for item in resource.replace_with],
    )
