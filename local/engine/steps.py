"""Goals (what the program asks for) and steps (what is done about it)."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum

from local.engine.state import Resource
from local.engine.values import Properties, Value


class Op(StrEnum):
    """The kinds of steps, by the names that previews and histories use (pkg/resource/deploy/step.go)."""

    SAME = "same"
    CREATE = "create"
    UPDATE = "update"
    DELETE = "delete"
    REPLACE = "replace"
    CREATE_REPLACEMENT = "create-replacement"
    DELETE_REPLACED = "delete-replaced"
    READ = "read"
    READ_REPLACEMENT = "read-replacement"
    READ_DISCARD = "discard"
    DISCARD_REPLACED = "discard-replaced"
    REMOVE_PENDING_REPLACE = "remove-pending-replace"


@dataclass(frozen=True)
class Alias:
    """Another name by which the state may know a resource: a URN, or what differs from the resource's own."""

    urn: str = ""
    name: str = ""
    type: str = ""
    stack: str = ""
    project: str = ""
    parent: str = ""
    no_parent: bool = False


@dataclass
class Goal:
    """A resource as the program registers it."""

    type: str
    name: str
    custom: bool
    properties: Properties = field(default_factory=dict)
    parent: str = ""
    protect: bool | None = None
    dependencies: list[str] = field(default_factory=list)
    provider: str = ""
    property_dependencies: dict[str, list[str]] = field(default_factory=dict)
    delete_before_replace: bool | None = None
    ignore_changes: list[str] = field(default_factory=list)
    additional_secret_outputs: list[str] = field(default_factory=list)
    aliases: list[Alias] = field(default_factory=list)
    custom_timeouts: dict[str, float] = field(default_factory=dict)
    replace_on_changes: list[str] = field(default_factory=list)
    retain_on_delete: bool | None = None
    deleted_with: str = ""
    replace_with: list[str] = field(default_factory=list)
    replacement_trigger: Value = None
    hide_diff: list[list[str | int]] = field(default_factory=list)
    source_position: str = ""
    stack_trace: list[str] = field(default_factory=list)


@dataclass(eq=False)
class Step:
    """One thing to do about one resource."""

    op: Op
    urn: str
    old: Resource | None = None
    new: Resource | None = None
    replace_keys: list[str] = field(default_factory=list)
    changed_keys: list[str] = field(default_factory=list)
    detailed: dict[str, tuple[str, bool]] | None = None
    ignore_changes: list[str] = field(default_factory=list)
    replacing: bool = False
    """Part of a replacement, so not counted by itself."""
    pending_delete: bool = False
    """A creation that leaves the old resource to be deleted at the end."""
    pending_replacement: bool = False
    """A deletion before the creation that replaces it."""

    @property
    def resource(self) -> Resource:
        """The resource as it will be, or as it was where nothing will be."""
        return self.new or self.before

    @property
    def before(self) -> Resource:
        """The resource as it was; only for steps that have one."""
        if self.old is None:
            raise ValueError(f"the step {self.op} of {self.urn} has no old state")
        return self.old

    @property
    def after(self) -> Resource:
        """The resource as it will be; only for steps that have one."""
        if self.new is None:
            raise ValueError(f"the step {self.op} of {self.urn} has no new state")
        return self.new

    @property
    def logical(self) -> bool:
        """Whether the step counts as a change of its own."""
        return not self.replacing


def summary(steps: list[Step]) -> dict[str, int]:
    """How many changes of each kind the steps make up."""
    counts: dict[str, int] = {}
    for step in steps:
        if step.logical:
            counts[step.op.value] = counts.get(step.op.value, 0) + 1
    return counts


def step_changes(counts: dict[str, int]) -> int:
    """How many of the counted steps change anything."""
    return sum(count for op, count in counts.items() if op not in (Op.SAME, Op.READ))
