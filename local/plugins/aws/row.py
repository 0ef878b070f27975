"""The language of the table: what a row can say about a resource type."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from local.plugins.aws.context import Context

Values = dict[str, Any]


@dataclass(frozen=True)
class Call:
    """One API call.

    ``arguments`` are filled in first: ``"{subnetId}"`` is that input or output; ``{id}``, ``{region}``,
    ``{account}``, ``{partition}``, ``{tags}``, ``{added.x}`` and ``{removed.x}`` (what a list gained and
    lost) and ``{old.x}`` are understood in any string; ``"{@.Path}"`` is a JMESPath into what was read last.
    An argument whose value is missing is left out. Then every input that has an argument of its name is
    passed.
    """

    operation: str
    arguments: Mapping[str, Any] = field(default_factory=dict)
    result: str = "@"
    """JMESPath into the answer; placeholders as in ``arguments``."""
    inputs: str | None = None
    """The inputs to pass by name, by default all; ``""`` passes none."""
    changed: bool = False
    """Pass only inputs that changed."""
    service: str | None = None


Action = Call | Callable[["Context"], Any]
"""What a row does: an API call, or a plain function where one call is not enough."""


@dataclass(frozen=True)
class Step:
    """A setting with a call of its own, made after creation if it is given and at an update if it changed."""

    inputs: str
    put: Action
    remove: Action | None = None
    """Made instead of ``put`` when an update finds none of the inputs any more."""
    create: bool = True
    """Whether creation makes it as well."""


@dataclass(frozen=True)
class Name:
    """The automatic physical name: ``<logical name>-<7 hex digits>``, shortened to what the service takes."""

    property: str = "name"
    longest: int = 255
    lower: bool = False
    prefix: str = ""
    replaces: bool = True
    """Whether another name needs a new resource."""


@dataclass(frozen=True)
class Tagging:
    """How tags are written; creation passes them along where the call takes them."""

    add: Action
    remove: Action
    read: Call | None = None
    """The call that tells the tags, where reading the resource does not."""
    kind: str = ""
    """The resource type in EC2's ``TagSpecifications``."""


@dataclass(frozen=True)
class Wait:
    """What the emulator has to be waited for: a JMESPath that becomes true, and one that means failure."""

    until: str
    failed: str = "`false`"
    seconds: float = 120.0


@dataclass(frozen=True, kw_only=True)
class Row:
    """One resource type."""

    type: str
    service: str
    inputs: str
    """The inputs that reach an API call or a function, separated by spaces."""
    local: str = ""
    """Further inputs, which only the provider itself acts on."""
    create: Action
    id: str
    """The resource's id: a JMESPath into what creation gave, or a template as in ``Call``."""
    read: Action
    """Gives what exists, or ``None``."""
    gone: str = "`false`"
    """JMESPath that is true of a resource that still answers but exists no longer."""
    update: Action | None = None
    steps: tuple[Step, ...] = ()
    delete: tuple[Action, ...] = ()
    outputs: Mapping[str, str] = field(default_factory=dict)
    """Computed outputs: a JMESPath into what was read, or a template."""
    lookups: Mapping[str, Action] = field(default_factory=dict)
    """Computed outputs that need a call of their own, made once after creation and on refresh."""
    constants: Mapping[str, Any] = field(default_factory=dict)
    """Outputs whose value is always the same on the emulator."""
    computed: str = ""
    """Inputs that the service chooses when they are not given."""
    watched: str = ""
    """Inputs that are read back even if they are not given: what another hand adds is drift."""
    replace: str = ""
    """Inputs of which a change needs a new resource."""
    slot: str = ""
    """Inputs that together can exist only once: while they stay, a replacement deletes first."""
    volatile: Mapping[str, str] = field(default_factory=dict)
    """Outputs that an update makes unknown, and by which inputs."""
    rename: Mapping[str, str] = field(default_factory=dict)
    reads: Mapping[str, str | Callable[[Context], Any]] = field(default_factory=dict)
    """Where to read an input back, if not by its name: a JMESPath or a function; ``""`` cannot be read."""
    defaults: Mapping[str, Any] = field(default_factory=dict)
    """What pulumi-aws fills in for an input that is not given."""
    unset: Mapping[str, Any] = field(default_factory=dict)
    """What to send for an input that was removed."""
    name: Name | None = None
    tags: Tagging | None = None
    wait: Wait | None = None
    regional: bool = True
    check: Callable[[Values], Mapping[str, str]] | None = None
    """Gives what is wrong with the inputs, by input."""
    examine_delete: Callable[[Values], str] | None = None
    """Why a resource with this state must not be deleted, or an empty string."""

    def names(self, text: str) -> frozenset[str]:
        return frozenset(text.split())

    @property
    def accepted(self) -> frozenset[str]:
        """Every input a program may give."""
        extra = {"tags"} if self.tags else set()
        if self.regional:
            extra.add("region")
        if self.name and self.name.property + "Prefix" in self.local.split():
            extra.add(self.name.property)
        return self.names(self.inputs) | self.names(self.local) | extra

    @property
    def unknown_until_created(self) -> frozenset[str]:
        """Outputs that a preview of the creation cannot know."""
        return frozenset(self.outputs) | frozenset(self.lookups) | self.names(self.computed)
