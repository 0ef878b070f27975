"""A preview as a comment on a pull request: Markdown from the JSON of `pulumi preview --json`.

A reviewer must not be able to miss a database that is replaced, and must not see a secret. So what is
replaced or deleted comes first, with what it means for the data; every value passes a mask; and where the
comment would be longer than GitHub accepts, details are left out before anything else is, and it says so.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from core.property_diff import SECRET, UNKNOWN, PropertyChange, changes, show

COMMENT_LIMIT: Final = 65_536
"""Characters GitHub accepts in one comment (its API answers 422 `body is too long` above)."""

_DETAIL_LIMIT: Final = 12_000
"""Characters one resource may take of the details, so that the first does not displace all others."""
_ROWS_LIMIT: Final = 30_000
"""Characters that the tables may take; above it the quiet rows are counted instead of listed."""

COMPONENT_PREFIX: Final = "openerp:index:"

DATA_TYPES: Final[Mapping[str, str]] = {
    "aws:backup/vault:Vault": "backups in it are lost, or the vault refuses to go while it holds any",
    "aws:dynamodb/table:Table": "every item in it is lost",
    "aws:ebs/volume:Volume": "every file on it is lost",
    "aws:efs/fileSystem:FileSystem": "attachments and sessions of every database are lost",
    "aws:kms/key:Key": "everything encrypted with it, snapshots included, becomes unreadable",
    "aws:rds/cluster:Cluster": "every database in it is lost",
    "aws:rds/instance:Instance": "every database in it is lost but for its snapshots",
    "aws:rds/snapshot:Snapshot": "the checkpoint is lost",
    "aws:s3/bucket:Bucket": "every object in it is lost",
    "aws:secretsmanager/secret:Secret": "the password in it is lost; servers that read it cannot log in",
    "postgresql:index/database:Database": "every record in it is lost",
}
"""Types that hold data or keys, with what losing one means."""

KEY_TYPES: Final[Mapping[str, str]] = {
    "tls:index/privateKey:PrivateKey": "what the old one signed or derived is worthless: certificates are "
    "issued again, passwords change",
}
"""Types of which a replacement is a loss, but not a deletion: what used the key goes with it (a client
certificate that is revoked, say)."""

_REPLACING: Final = ("replace", "create-replacement", "delete-replaced", "import-replacement")
_DELETING: Final = ("delete", "discard")
_LABELS: Final[Mapping[str, tuple[str, str]]] = {
    "replace": ("±", "to replace"),
    "delete": ("−", "to delete"),
    "create": ("+", "to create"),
    "update": ("~", "to update"),
    "import": ("=", "to import"),
    "read": (">", "to read"),
    "refresh": ("~", "to refresh"),
    "discard": ("<", "to discard"),
}
_QUIET: Final = ("same", "read", "refresh", "discard", "remove-pending-replace")


@dataclass(frozen=True, kw_only=True)
class _Step:
    op: str
    urn: str
    type: str
    name: str
    component: str
    reasons: tuple[str, ...]
    changed: tuple[str, ...]
    properties: tuple[PropertyChange, ...]
    protected: bool
    retained: bool
    successor: str
    """What takes the place of something that is replaced."""


def marker(stack: str) -> str:
    """Return the hidden line by which the comment of `stack` is found again, to edit it in place."""
    return f"<!-- openerp-preview:{re.sub(r'[^A-Za-z0-9_./-]', '_', stack)} -->"


def render(preview: Mapping[str, object], *, stack: str) -> str:
    """Return the Markdown of `preview` (JSON of `pulumi preview --json`) for the stack `stack`.

    Never longer than `COMMENT_LIMIT` characters. Raises ValueError where `preview` is something else.
    """
    steps = _steps(preview)
    errors, warnings = _diagnostics(preview)
    head = [marker(stack), _headline(preview, steps, errors, stack=stack)]
    head += _fenced_list("Errors", errors)
    head += _loud(steps)
    head += _tables(steps)
    head += _fenced_list("Warnings", warnings, collapsed=True)
    text = "\n\n".join(head)
    return _with_details(text, _details(steps), stack=stack)


@dataclass(frozen=True, kw_only=True)
class Loss:
    """Something that is replaced or deleted."""

    name: str
    type: str
    what: str
    """`replaced`, `deleted`, or that it is kept in the cloud."""
    holds_data: bool
    stays: bool
    """Whether the one that is there now stays in the cloud, used by nothing."""
    protected: bool
    """Whether Pulumi will refuse."""


def losses(preview: Mapping[str, object]) -> tuple[list[Loss], int]:
    """Return what `preview` replaces and deletes, data first, and how many other resources change.

    Raises ValueError where `preview` is not the JSON of `pulumi preview --json`.
    """
    steps = _steps(preview)
    lost = sorted((step for step in steps if step.op in ("replace", *_DELETING)), key=_gravity)
    others = sum(step.op in ("create", "update", "import") for step in steps)
    return [
        Loss(
            name=step.name,
            type=step.type,
            what=_verb(step),
            holds_data=step.type in DATA_TYPES,
            stays=step.retained,
            protected=step.protected,
        )
        for step in lost
    ], others


def planned(preview: Mapping[str, object], type_: str) -> list[Mapping[str, object]]:
    """Return the inputs that resources of a type are to have, of those that `preview` changes."""
    found = []
    for raw in map(_mapping, _sequence(preview.get("steps"))):
        chain = str(raw.get("urn", "")).split("::")
        if len(chain) > 3 and chain[2].rpartition("$")[2] == type_ and raw.get("newState"):
            found.append(_mapping(_mapping(raw["newState"]).get("inputs")))
    return found


def _steps(preview: Mapping[str, object]) -> list[_Step]:
    if not ({"steps", "changeSummary", "diagnostics", "duration"} & set(preview)):
        raise ValueError(
            "this is not the JSON of `pulumi preview --json`: it has neither `steps` nor `changeSummary`"
        )
    listed = preview.get("steps")
    if listed is None:
        return []
    if not isinstance(listed, Sequence) or not all(isinstance(step, Mapping) for step in listed):
        raise ValueError("this is not the JSON of `pulumi preview --json`: `steps` is not a list of objects")
    # A replacement can come as three steps of one URN (create, replace, delete the old one): one for people.
    chosen: dict[str, tuple[int, _Step]] = {}
    for raw in listed:
        step = _step(raw)
        telling = {"replace": 3, "same": 0, "delete-replaced": 0}.get(str(raw.get("op")), 1)
        if step.urn not in chosen or telling > chosen[step.urn][0]:
            chosen[step.urn] = (telling, step)
    steps = [step for _, step in chosen.values() if step.type != "pulumi:pulumi:Stack"]
    # The engine works in parallel: without an order of our own, each push would shuffle the comment.
    return sorted(steps, key=lambda step: (step.component, step.name, step.type))


def _step(raw: Mapping[str, object]) -> _Step:
    urn, op = str(raw.get("urn", "")), str(raw.get("op", ""))
    if urn.count("::") < 3 or not op:
        raise ValueError("this is not the JSON of `pulumi preview --json`: a step has no `op` or no `urn`")
    chain, name = urn.split("::", 3)[2:]
    types = chain.split("$")
    old, new = _mapping(raw.get("oldState")), _mapping(raw.get("newState"))
    kind = "replace" if op in _REPLACING else op
    secret_names = {
        str(key) for state in (old, new) for key in _sequence(state.get("additionalSecretOutputs"))
    }
    return _Step(
        op=kind,
        urn=urn,
        type=types[-1],
        name=name,
        component=_component(types),
        reasons=tuple(map(str, _sequence(raw.get("replaceReasons")))),
        changed=tuple(map(str, _sequence(raw.get("diffReasons")))),
        properties=() if kind in _QUIET else tuple(_properties(raw, kind, old, new, secret_names)),
        # Pulumi replaces what the new one does not protect: that is how a protected server is restored.
        protected=bool(old.get("protect")) and (kind in _DELETING or bool(new.get("protect"))),
        retained=bool(old.get("retainOnDelete")),
        successor=_successor(new),
    )


def _successor(new: Mapping[str, object]) -> str:
    snapshot = _mapping(new.get("inputs")).get("snapshotIdentifier")
    if snapshot:
        return f"one made from the snapshot {_code(show(snapshot).strip(chr(34)))} takes its place"
    if new.get("external"):
        return f"{_code(str(new.get('id') or 'one'))}, which exists, takes its place"
    return "a new, empty one takes its place"


def _properties(
    raw: Mapping[str, object],
    kind: str,
    old: Mapping[str, object],
    new: Mapping[str, object],
    secret_names: set[str],
) -> list[PropertyChange]:
    """Return what changes in the resource's inputs, and what drifted away from them outside."""
    before, after = _mapping(old.get("inputs")), _mapping(new.get("inputs"))
    if kind in _DELETING:
        return []
    found = changes({} if kind in ("create", "import") else before, after, secret_names=secret_names)
    if kind == "create":
        # Defaults that say nothing: what a provider adds empty, and the tags once more.
        found = [change for change in found if change.path != "tagsAll" and change.new not in ("{}", "[]")]
    seen = {change.path for change in found}
    named = [
        *_mapping(raw.get("detailedDiff")),
        *map(str, _sequence(raw.get("diffReasons"))),
        *map(str, _sequence(raw.get("replaceReasons"))),
    ]
    for top in sorted({_top(path) for path in named} - {_top(path) for path in seen}):
        # A secret that changes is `[secret]` on both sides: that it changes must still be seen.
        if show({top: before.get(top)}) == show({top: after.get(top)}) == show({top: SECRET}):
            found.append(PropertyChange(path=top, old=SECRET, new=f"{SECRET} (another value)"))
            seen.add(top)
    outputs = _mapping(old.get("outputs"))
    for path, difference in sorted(_mapping(raw.get("detailedDiff")).items()):
        top = _top(path)
        if _mapping(difference).get("inputDiff") or any(p == path or p.startswith(path) for p in seen):
            continue
        if top in outputs and top in after and not any(_top(p) == top for p in seen):
            drift = changes({top: outputs[top]}, {top: after[top]}, secret_names=secret_names)
            found += [change for change in drift if change.path not in seen]
            seen |= {change.path for change in drift}
    return found


def _top(path: str) -> str:
    """Return the first name of a property path such as `listeners[0].port`."""
    return re.split(r"[.\[]", path, maxsplit=1)[0]


def _component(types: Sequence[str]) -> str:
    for token in types:
        if token.startswith(COMPONENT_PREFIX):
            return token.removeprefix(COMPONENT_PREFIX)
    return "Providers" if types[-1].startswith("pulumi:providers:") else "Stack"


def _headline(
    preview: Mapping[str, object], steps: Sequence[_Step], errors: Sequence[str], *, stack: str
) -> str:
    counts: dict[str, int] = defaultdict(int)
    for op, number in _mapping(preview.get("changeSummary")).items():
        if isinstance(number, int):
            counts["replace" if op in _REPLACING else op] += number
    if "changeSummary" not in preview:
        for step in steps:
            counts[step.op] += 1
    said = [f"{counts[op]} {label}" for op, (_, label) in _LABELS.items() if counts[op]]
    unchanged = f"{counts['same']} unchanged" if counts["same"] else ""
    title = f"### Preview of {_code(stack)}: "
    if errors:
        return f"{title}failed\n\nThe preview stopped with an error: what is listed may be incomplete."
    if not said:
        return f"{title}no changes\n\nWhat is deployed is what this branch describes{_count(counts['same'])}."
    return title + ", ".join(said) + (f" ({unchanged})" if unchanged else "")


def _count(resources: int) -> str:
    return f": {resources} resources unchanged" if resources else ""


def _loud(steps: Sequence[_Step]) -> list[str]:
    """Return the warning block and the table of everything that is replaced or deleted."""
    lost = [step for step in steps if step.op in ("replace", *_DELETING)]
    if not lost:
        return []
    at_stake = [
        step
        for step in lost
        if (step.type in DATA_TYPES and (step.op == "replace" or not step.retained))
        or (step.type in KEY_TYPES and step.op == "replace")
    ]
    blocks = []
    if at_stake:
        lines = ["> [!CAUTION]", "> **This change destroys data or keys.**", ">"]
        lines += [
            f"> - {_code(step.name)} ({_code(step.type)}) is **{_verb(step)}**: "
            f"{_consequence(step)}.{_protected(step)}"
            for step in at_stake[:50]
        ]
        if len(at_stake) > 50:
            lines.append(f"> - … and {len(at_stake) - 50} more, listed below.")
        blocks.append("\n".join(lines))
    rows = [
        f"| {_LABELS[step.op][0]} | {_code(step.name)} | {_code(step.type)} | {_verb(step)} | {_why(step)} |"
        for step in sorted(lost, key=_gravity)
    ]
    blocks.append(
        _table(
            "Replaced and deleted",
            ["| | resource | type | what happens | because of |", "|---|---|---|---|---|"],
            rows,
        )
    )
    return blocks


def _gravity(step: _Step) -> tuple[bool, bool, str, str]:
    """Order of what is lost: data first, and a cause before the replacements that only follow from it."""
    decisive = [change for change in step.properties if _top(change.path) in step.reasons]
    follows = bool(decisive) and all(change.new == UNKNOWN for change in decisive)
    return step.type not in DATA_TYPES, follows, step.component, step.name


def _verb(step: _Step) -> str:
    if step.op == "replace":
        return "replaced"
    return "kept in the cloud, forgotten by Pulumi" if step.retained else "deleted"


def _consequence(step: _Step) -> str:
    if step.type in KEY_TYPES:
        return KEY_TYPES[step.type]
    if step.retained:
        return f"{step.successor}; the old one stays in the cloud, used by nothing"
    if step.op == "replace":
        return f"{step.successor}; {DATA_TYPES[step.type]}"
    return DATA_TYPES[step.type]


def _protected(step: _Step) -> str:
    return " It is protected: Pulumi will refuse." if step.protected else ""


def _why(step: _Step) -> str:
    if step.reasons:
        return ", ".join(map(_code, step.reasons[:6])) + (" …" if len(step.reasons) > 6 else "")
    return "no longer in the program" if step.op in _DELETING else ""


def _tables(steps: Sequence[_Step]) -> list[str]:
    groups: dict[str, list[_Step]] = defaultdict(list)
    for step in steps:
        if step.op in _LABELS and step.op not in ("replace", *_DELETING, "read", "refresh"):
            groups[step.component].append(step)
    tables: list[str] = []
    used = 0
    for component, members in sorted(groups.items()):
        rows = [
            f"| {_LABELS[step.op][0]} | {_code(step.name)} | {_code(step.type)} | {_what(step)} |"
            for step in members
        ]
        size = sum(map(len, rows))
        if used + size > _ROWS_LIMIT:
            tables.append(
                f"**{component}**: {len(members)} resources change (not listed: too many for a comment)."
            )
            continue
        used += size
        tables.append(_table(component, ["| | resource | type | what changes |", "|---|---|---|---|"], rows))
    return tables


def _what(step: _Step) -> str:
    if step.op != "update":
        return _LABELS[step.op][1]
    tops = list(dict.fromkeys(_top(change.path) for change in step.properties))
    names = tops or list(step.changed)
    if not names:
        return "nothing that can be shown: a secret, or its provider"
    return ", ".join(map(_code, names[:6])) + (" …" if len(names) > 6 else "")


def _table(title: str, header: Sequence[str], rows: Sequence[str]) -> str:
    kept, used = [], 0
    for row in rows:
        used += len(row) + 1
        if used > _ROWS_LIMIT:
            break
        kept.append(row)
    table = "\n".join([f"**{title}**", "", *header, *kept])
    return table if len(kept) == len(rows) else f"{table}\n\n… and {len(rows) - len(kept)} more."


def _details(steps: Sequence[_Step]) -> list[str]:
    """Return one block a changed resource, the replaced ones first."""
    order = {"replace": 0, "update": 1, "create": 2}
    changed = [step for step in steps if step.properties and step.op in order]
    return [_detail(step) for step in sorted(changed, key=lambda step: order[step.op])]


def _detail(step: _Step) -> str:
    lines: list[str] = []
    for change in step.properties:
        note = " (forces replacement)" if _top(change.path) in step.reasons else ""
        if change.lines:
            lines += [f"  {_one_line(change.path)}:{note}", *map(_one_line, change.lines)]
            continue
        if change.old is not None:
            lines.append(
                f"- {_one_line(change.path)}: {_one_line(change.old)}{note if change.new is None else ''}"
            )
        if change.new is not None:
            lines.append(f"+ {_one_line(change.path)}: {_one_line(change.new)}{note}")
    kept: list[str] = []
    used = 0
    for line in lines:
        used += len(line) + 1
        if used > _DETAIL_LIMIT:
            kept.append(f"  … and {len(lines) - len(kept)} more lines")
            break
        kept.append(line)
    title = f"**{_LABELS[step.op][0]}** {_code(step.name)} {_code(step.type)}"
    return f"{title}\n\n{_fence(kept, 'diff')}"


def _with_details(text: str, details: Sequence[str], *, stack: str) -> str:
    if not details:
        return _cut(text) + "\n"
    opening = "\n\n<details><summary>Properties, old and new</summary>\n"
    closing = "\n\n</details>\n"
    note = (
        "\n\n_{left} of {all} resources are left out of the details: the comment would be longer than "
        "GitHub accepts. All of it: `pulumi preview --diff --stack " + stack.replace("`", "") + "`._"
    )
    room = COMMENT_LIMIT - len(text) - len(opening) - len(closing) - len(note) - 2 * len(str(len(details)))
    kept: list[str] = []
    for block in details:
        room -= len(block) + 2
        if room < 0:
            break
        kept.append(block)
    said = note.format(left=len(details) - len(kept), all=len(details)) if len(kept) < len(details) else ""
    if not kept:
        return _cut(text + said) + "\n"
    return (
        text
        + opening
        + "".join(f"\n\n{block}" for block in kept).removeprefix("\n")
        + closing.rstrip("\n")
        + said
        + "\n"
    )


def _cut(text: str) -> str:
    note = "\n\n_The rest is left out: the comment would be longer than GitHub accepts._"
    return text if len(text) < COMMENT_LIMIT else text[: COMMENT_LIMIT - len(note) - 1] + note


def _diagnostics(preview: Mapping[str, object]) -> tuple[list[str], list[str]]:
    """Return errors and warnings. What the program wrote to stderr is the reason where there are errors."""
    errors: list[str] = []
    warnings: list[str] = []
    written: list[str] = []
    kinds = {"error": errors, "warning": warnings, "info#err": written}
    for entry in map(_mapping, _sequence(preview.get("diagnostics"))):
        text = _unquoted(show(str(entry.get("message", "")).strip()))
        name = str(entry.get("urn", "")).rsplit("::", 1)[-1]
        kinds.get(str(entry.get("severity")), []).append(f"{name}: {text}" if name else text)
    return ([*written, *errors], warnings) if errors else ([], [*warnings, *written])


def _unquoted(shown: str) -> str:
    """Undo the quoting of `show`, which is for values: a message is a text of its own lines."""
    if not shown.startswith('"'):
        return shown
    return (
        shown.strip('"').replace("\\n", "\n").replace('\\"', '"').replace("\\t", "    ").replace("\\\\", "\\")
    )


def _fenced_list(title: str, messages: Iterable[str], *, collapsed: bool = False) -> list[str]:
    said = dict.fromkeys(messages)
    lines = [line for message in said for line in message.splitlines() if line.strip()]
    if not lines:
        return []
    if len(lines) > 60:
        lines = [*lines[:60], f"… and {len(lines) - 60} more lines"]
    block = _fence([line[:500] for line in lines], "text")
    if collapsed:
        return [f"<details><summary>{title} ({len(lines)})</summary>\n\n{block}\n\n</details>"]
    return [f"**{title}**\n\n{block}"]


def _fence(lines: Sequence[str], language: str) -> str:
    """Return a fenced block whose fence is longer than any run of backticks in it."""
    longest = max((len(run) for line in lines for run in re.findall(r"`+", line)), default=0)
    fence = "`" * max(3, longest + 1)
    return "\n".join([f"{fence}{language}", *lines, fence])


def _code(text: str) -> str:
    """Return `text` as inline code that a table cell holds: no markup, mention or link comes alive in it."""
    clean = _one_line(text).replace("|", "\\|")
    longest = max((len(run) for run in re.findall(r"`+", clean)), default=0)
    ticks = "`" * (longest + 1)
    pad = " " if "`" in clean else ""
    return f"{ticks}{pad}{clean}{pad}{ticks}" if clean else ""


def _one_line(text: str) -> str:
    """Return `text` without line breaks, control characters and those that turn the direction of writing."""
    return re.sub(r"[\x00-\x1f\x7f\u2028\u2029\u202a-\u202e\u2066-\u2069]+", " ", text)


def _mapping(value: object) -> Mapping[str, object]:
    return value if isinstance(value, Mapping) else {}


def _sequence(value: object) -> Sequence[object]:
    return value if isinstance(value, Sequence) and not isinstance(value, str | bytes) else ()
