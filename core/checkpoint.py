"""What a checkpoint says of itself: its manifest, and how what is found differs from it.

A checkpoint is one point of database and file store together: a snapshot of the database server, then a
recovery point of the file system, then the manifest. A checkpoint without its manifest is none.

People work while it is taken. What is counted before the snapshot and after it therefore gives a range, from
the fewest that the snapshot can hold to the most (docs/adr/0014-ranges-in-a-manifest.md).
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any, Final, Literal, Protocol, TypeVar

from pydantic import (
    AfterValidator,
    AwareDatetime,
    BaseModel,
    ConfigDict,
    Field,
    ValidationError,
    model_validator,
)

from core import checks, sealed
from core.dump_manifest import some
from core.problems import Invalid

FORMAT: Final = 1
PREFIX: Final = "checkpoints/"
"""Where manifests are in the operations bucket: `<label>.json`, and `<label>.claim` from the first moment."""
NAMED: Final = 1000
"""So many missing or damaged files are named in a manifest; the rest is counted."""
LONGEST_LABEL: Final = 63


class ManifestError(ValueError):
    """A manifest cannot be used; the message says why."""


def _ordered(value: tuple[int, int]) -> tuple[int, int]:
    if not 0 <= value[0] <= value[1]:
        raise ValueError("a range is from the fewest to the most")
    return value


Range = Annotated[tuple[int, int], AfterValidator(_ordered)]
"""From the fewest to the most; equal where nothing was written meanwhile."""


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Snapshot(_Frozen):
    """The snapshot of the database server, in RDS."""

    identifier: str
    arn: str
    region: str
    engine_version: str
    storage_gb: int = Field(ge=0)
    """GiB that the server had; a server from it cannot have less."""


class RecoveryPoint(_Frozen):
    """The recovery point of the file system, in AWS Backup."""

    arn: str
    vault: str
    file_system_id: str
    """The file system that it is of."""
    path: str
    """Directory in it that the servers saw as the root, as `/odoo`."""
    created: AwareDatetime
    """What it holds is as of this moment or later."""
    expires: AwareDatetime | None
    bytes: int = Field(ge=0)


class Broken(_Frozen):
    """Stored files that attachments name and that are not as they should be."""

    count: int = Field(ge=0)
    names: tuple[str, ...]
    """At most `NAMED` of them."""


NONE: Final = Broken(count=0, names=())


class Files(_Frozen):
    """What the file store of a database held."""

    count: Range
    bytes: Range
    folders: dict[str, str]
    """A digest of the names and sizes in each folder in which nothing changed meanwhile."""
    moving: tuple[str, ...]
    """Folders in which something changed meanwhile: nothing is claimed of what they hold."""
    missing: Broken | None
    """Named by an attachment and not there, already then; None where nobody looked."""
    damaged: Broken | None
    """There with another SHA-1 than their name, already then; None where files were not read."""


class Database(_Frozen):
    """One database of the server."""

    name: str
    release: str | None
    """Series of Odoo in it, as `19.0`; None where no Odoo is in it."""
    uuid: str | None
    bytes: int = Field(ge=0)
    """What it took on the server."""
    modules: dict[str, str]
    """Installed modules and their versions."""
    changing: tuple[str, ...] = ()
    """Modules that were installed, updated or removed meanwhile: nothing is claimed of them."""
    rows: dict[str, Range]
    """Of the largest tables, by `schema.table` as SQL writes it."""
    attachments: Range
    """Stored files that attachments name."""
    files: Files | None
    """None where the file store was not looked at."""


class Code(_Frozen):
    """What the servers ran, as the settings say it: a return to the data returns to this, too."""

    release: str
    package: dict[str, Any]
    server_image: str | None
    data_modules: tuple[dict[str, str], ...]
    engine_version: str
    """PostgreSQL, `16` or `16.9`."""


class Manifest(_Frozen):
    """Everything that a restore needs to know, and everything that it is compared with."""

    format: Literal[1] = 1
    label: str
    note: str
    stack: str
    environment: str
    offer: str
    taken: AwareDatetime
    """The moment of the database."""
    past: bool
    """Whether that moment was gone by when the checkpoint was made of it."""
    completed: AwareDatetime
    by: str
    snapshot: Snapshot
    recovery_point: RecoveryPoint
    databases: tuple[Database, ...]
    code: Code
    administrator_version: int
    """Version of the password of OpenERP's administrator that is in the databases."""
    seconds: dict[str, float]
    """How long each part took."""

    @model_validator(mode="after")
    def _consistent(self) -> Manifest:
        if self.recovery_point.created < self.taken:
            raise ValueError("the file store is older than the database: attachments may lack their files")
        names = [database.name for database in self.databases]
        if len(set(names)) != len(names):
            raise ValueError("a database is named twice")
        return self

    @property
    def release(self) -> str:
        """Release of OpenERP that the servers ran."""
        return self.code.release

    @property
    def database_bytes(self) -> int:
        """Bytes of all databases."""
        return sum(database.bytes for database in self.databases)

    def database(self, name: str) -> Database | None:
        """Return what is said of one database."""
        return next((database for database in self.databases if database.name == name), None)

    def text(self) -> str:
        """Return the manifest's document."""
        return sealed.text(self)


def key(label: str) -> str:
    """Return where the manifest of a label is in the operations bucket."""
    return f"{PREFIX}{label}.json"


def claim_key(label: str) -> str:
    """Return where the claim of a label is: whoever makes it first takes the checkpoint."""
    return f"{PREFIX}{label}.claim"


def read(text: str | bytes, label: str) -> Manifest:
    """Return the manifest of `label`. Raises ManifestError where it is not whole and unaltered."""
    what = f"the manifest of checkpoint {label}"
    try:
        content = json.loads(text)
    except ValueError as error:
        raise ManifestError(f"{what} is not whole: it is no JSON") from error
    if not isinstance(content, dict) or "format" not in content:
        raise ManifestError(f"{what} is not one of a checkpoint")
    if content["format"] != FORMAT:
        raise ManifestError(
            f"{what} has format {content['format']!r}; this version reads format {FORMAT}: use the version "
            "that wrote it"
        )
    if not sealed.is_whole(content):
        raise ManifestError(f"{what} was altered: its hash is not that of its content")
    try:
        manifest = Manifest.model_validate(content)
    except ValidationError as error:
        raise ManifestError(f"{what} is not one of a checkpoint: {sealed.first_problem(error)}") from error
    if manifest.label != label:
        raise ManifestError(f"{what} is that of {manifest.label}: it was put under another name")
    return manifest


# Labels


def check_label(label: str) -> str:
    """Return a label as it may be given. Raises ManifestError where it is none."""
    try:
        checks.checkpoint_label(label)
    except Invalid as invalid:
        raise ManifestError(f"{invalid.wrong}. {invalid.right}") from None
    return label


def label_before(label: str, now: datetime) -> str:
    """Return the label of the checkpoint that is taken before a return to `label`."""
    time = f"{now.astimezone(UTC):%Y%m%d-%H%M%S}"
    room = LONGEST_LABEL - len(f"before--{time}")
    return f"before-{label[:room].strip('-')}-{time}"


def label_past(moment: datetime) -> str:
    """Return the label of the checkpoint of a past moment."""
    return f"at-{moment.astimezone(UTC):%Y%m%d-%H%M%S}"


# Moments and pairs

_AGO: Final = re.compile(r"([0-9]{1,5}) ?(second|minute|hour|day)s? ago")


def moment(text: str, now: datetime) -> datetime:
    """Return the moment that a person means: ISO 8601 (UTC unless it has an offset), or `10 minutes ago`.

    Raises ManifestError where it is none, or has not come yet.
    """
    ago = _AGO.fullmatch(text.strip().lower())
    try:
        if ago:
            found = now - timedelta(**{f"{ago[2]}s": int(ago[1])})
        else:
            found = datetime.fromisoformat(text.strip())
            found = found if found.tzinfo else found.replace(tzinfo=UTC)
        found = found.astimezone(UTC).replace(microsecond=0)
    except (ValueError, OverflowError):
        raise ManifestError(
            f"{text!r} is no time: write it as 2026-11-28T10:12:00, in UTC unless an offset is behind it "
            "(+01:00), or as `10 minutes ago`"
        ) from None
    if found >= now:
        raise ManifestError(f"{text!r} is {found:%Y-%m-%d %H:%M:%S} UTC, which has not come yet")
    return found


class _Created(Protocol):
    @property
    def created(self) -> datetime: ...


_P = TypeVar("_P", bound=_Created)


def choose_files(database: datetime, points: Iterable[_P]) -> _P | None:
    """Return the file store's first point at or after the moment of the database; None where there is none.

    Files are made before the attachment that names them is committed, and are never changed: files of a later
    moment are more than the database names, never fewer but for attachments that were deleted meanwhile.
    """
    return min(
        (point for point in points if point.created >= database),
        key=lambda point: point.created,
        default=None,
    )


def gap(database: datetime, files: datetime) -> str:
    """Say why a pair is consistent."""
    seconds = (files - database).total_seconds()
    return (
        f"database of {database.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC, files of "
        f"{files.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC, {_length(seconds)} later: what the database names "
        "was there by then, and files made since are extra"
    )


def _length(seconds: float) -> str:
    minutes, hours = seconds / 60, seconds / 3600
    if seconds < 120:
        return f"{seconds:.0f} s"
    return f"{minutes:.0f} min" if minutes < 120 else f"{hours:.0f} h"


# What was counted


def span(before: int, after: int, inserted: int = 0, deleted: int = 0) -> tuple[int, int]:
    """Return how many there can have been at any moment between two counts.

    `inserted` and `deleted`: rows that came and went meanwhile, where the server counts them.
    """
    return max(0, min(before, after, before - deleted)), max(before, after, before + inserted)


def files_between(
    before: Mapping[str, Any], after: Mapping[str, Any], *, missing: Broken | None, damaged: Broken | None
) -> Files:
    """Return what can be claimed of a file store that was looked at twice (`ops.site.files.look`)."""
    names = sorted({*before["folders"], *after["folders"]})
    steady = {
        name: before["folders"][name]
        for name in names
        if before["folders"].get(name) == after["folders"].get(name)
    }
    return Files(
        count=span(before["count"], after["count"]),
        bytes=span(before["bytes"], after["bytes"]),
        folders=steady,
        moving=tuple(name for name in names if name not in steady),
        missing=missing,
        damaged=damaged,
    )


@dataclass(frozen=True, kw_only=True)
class FoundFiles:
    """What is in a file store now."""

    folders: Mapping[str, str] | None
    """None where people work with it already: then only what attachments name is compared."""
    missing: Broken
    damaged: Broken


@dataclass(frozen=True, kw_only=True)
class Found:
    """What is in a database now. Each part may be None where it was not looked at."""

    rows: Mapping[str, int] | None = None
    modules: Mapping[str, str] | None = None
    uuid: str | None = None
    attachments: int | None = None
    files: FoundFiles | None = None


def differences(manifest: Manifest, found: Mapping[str, Found]) -> list[str]:
    """Return how what was found differs from the checkpoint, one sentence each; none is right.

    `found`: by database; one of the manifest that is not in it is a difference. What was missing or damaged
    when the checkpoint was taken is none.
    """
    sentences = []
    for database in manifest.databases:
        now = found.get(database.name)
        if now is None:
            sentences.append(f"{database.name}: the database is not there")
            continue
        sentences += [f"{database.name}: {text}" for text in _of_database(database, now)]
        if now.files is not None:
            sentences += [f"{database.name}: {text}" for text in _of_files(database.files, now.files)]
    return sentences


def _of_database(database: Database, now: Found) -> list[str]:
    sentences = []
    if now.rows is not None:
        for table, wanted in sorted(database.rows.items()):
            rows = now.rows.get(table)
            if rows is None:
                sentences.append(f"table {table} is not there")
            elif not wanted[0] <= rows <= wanted[1]:
                sentences.append(f"table {table} has {rows:,} rows, in the checkpoint {_said(wanted)}")
    if now.modules is not None:
        names = (database.modules.keys() | now.modules.keys()) - set(database.changing)
        differ = sorted(name for name in names if database.modules.get(name) != now.modules.get(name))
        if differ:
            sentences.append(f"modules that differ: {some(differ)}")
        if database.uuid != now.uuid:
            sentences.append(f"database.uuid is {now.uuid}, in the checkpoint {database.uuid}")
    low, high = database.attachments
    if now.attachments is not None and not low <= now.attachments <= high:
        sentences.append(
            f"attachments name {now.attachments:,} files, in the checkpoint {_said(database.attachments)}"
        )
    return sentences


def _said(wanted: tuple[int, int]) -> str:
    low, high = wanted
    return f"{low:,}" if low == high else f"{low:,} to {high:,}"


def _of_files(then: Files | None, now: FoundFiles) -> list[str]:
    known = {"missing": then.missing, "damaged": then.damaged} if then else {}
    sentences = []
    for what, kind, current in (
        ("attachments are without their stored file", "missing", now.missing),
        ("stored files are damaged (their SHA-1 is not their name)", "damaged", now.damaged),
    ):
        before = known.get(kind)
        unseen = (
            "" if before is not None else " (whether it was so when the checkpoint was taken is not known)"
        )
        sentences += [f"{text}{unseen}" for text in _broken(what, before or NONE, current)]
    if then is not None and now.folders is not None:
        steady = {name for name in {*then.folders, *now.folders} if name not in then.moving}
        differ = sorted(name for name in steady if then.folders.get(name) != now.folders.get(name))
        if differ:
            sentences.append(f"folders of the file store that hold something else: {some(differ)}")
    return sentences


def _broken(what: str, then: Broken, now: Broken) -> list[str]:
    new = sorted(set(now.names) - set(then.names))
    if now.count <= then.count and not new:
        return []
    if len(now.names) == now.count and len(then.names) == then.count:
        return [f"{len(new):,} {what}: {some(new)}"] if new else []
    # More than are named: which of them are new cannot be said.
    return [f"{now.count:,} {what}, in the checkpoint {then.count:,}"] if now.count > then.count else []
