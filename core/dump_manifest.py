"""What a dump of one database says of itself: its manifest, and how a loaded database differs from it.

The manifest is written last: a dump without one is no dump. It carries a hash of itself beside the hashes of
the pieces, so that an altered manifest is noticed as an altered piece is.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Final, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from core import sealed

FORMAT: Final = 1
"""Version of the layout: tar archives compressed with zstd, and this manifest."""
NAME: Final = "manifest.json"
NAMED: Final = 10
"""So many files or tables are named in a message; the rest is counted."""


class ManifestError(ValueError):
    """A manifest cannot be used; the message says why."""


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Piece(_Frozen):
    """One archive of a dump."""

    name: str = Field(pattern=r"^(database|files)-\d{6}\.tar\.zst$")
    bytes: int = Field(ge=0)
    """Bytes as stored, compressed."""
    unpacked: int = Field(ge=0)
    """Bytes of the files in it."""
    files: int = Field(ge=0)
    sha256: str = Field(pattern=r"^[0-9a-f]{64}$")
    """Of the bytes as stored."""

    @property
    def holds_database(self) -> bool:
        """Whether it is a part of pg_dump's directory; else it is a part of the file store."""
        return self.name.startswith("database-")


class Locale(_Frozen):
    """How the source database sorts and classifies text."""

    collate: str
    ctype: str


class Manifest(_Frozen):
    """Everything that a load needs to know, and everything that it is compared with."""

    format: Literal[1] = 1
    label: str
    database: str
    taken: datetime
    """Moment of the snapshot, by the database server's clock, UTC."""
    release: str | None
    """Series of Odoo in the database, e.g. `19.0`; None where no Odoo is in it."""
    server_version: str
    """PostgreSQL, e.g. `17.6`."""
    database_uuid: str | None
    locale: Locale
    immutable_unaccent: bool
    """Odoo marks `unaccent(text)` immutable to index by it; pg_dump does not carry that over."""
    modules: dict[str, str]
    """Installed modules and their versions."""
    rows: dict[str, int]
    """Rows of the largest tables in the snapshot, by `schema.table` as SQL writes it."""
    compression: Literal["zstd", "none"]
    """What pg_dump did by itself; the archives are compressed in any case."""
    with_files: bool
    file_count: int
    file_bytes: int
    missing_files: tuple[str, ...] = ()
    """Stored files that attachments of the snapshot name and that were not there when it was taken."""
    damaged_files: tuple[str, ...] = ()
    """Stored files whose SHA-1 was not their name already."""
    pieces: tuple[Piece, ...]

    @property
    def bytes(self) -> int:
        """Bytes of all pieces as stored."""
        return sum(piece.bytes for piece in self.pieces)

    @property
    def database_bytes(self) -> int:
        """Bytes that the database's pieces take when unpacked."""
        return sum(piece.unpacked for piece in self.pieces if piece.holds_database)

    def text(self) -> str:
        """Return what is written to `manifest.json`."""
        return sealed.text(self)


def read(text: str | bytes) -> Manifest:
    """Return the manifest in `text`. Raises ManifestError where it is not whole and unaltered."""
    try:
        content = json.loads(text)
    except ValueError as error:
        raise ManifestError("the manifest is not whole: it is no JSON") from error
    if not isinstance(content, dict) or "format" not in content:
        raise ManifestError("the manifest is not one of a dump")
    if content["format"] != FORMAT:
        raise ManifestError(
            f"the dump has format {content['format']!r}; this version reads format {FORMAT}: use the version "
            "that wrote it"
        )
    if not sealed.is_whole(content):
        raise ManifestError("the manifest was altered: its hash is not that of its content")
    try:
        manifest = Manifest.model_validate(content)
    except ValidationError as error:
        raise ManifestError(f"the manifest is not one of a dump: {sealed.first_problem(error)}") from error
    if len({piece.name for piece in manifest.pieces}) != len(manifest.pieces):
        raise ManifestError("the manifest names a piece twice")
    return manifest


@dataclass(frozen=True, kw_only=True)
class Loaded:
    """What is there after a load."""

    rows: Mapping[str, int]
    modules: Mapping[str, str]
    file_count: int | None
    """None where files were left out on purpose."""
    file_bytes: int | None
    missing_files: Collection[str]
    """Named by an attachment, and not there."""
    damaged_files: Collection[str]
    """There, with another SHA-1 than their name."""


def differences(manifest: Manifest, loaded: Loaded) -> list[str]:
    """Return how what was loaded differs from what was dumped, one sentence each; none is right.

    Files that were missing or damaged when the dump was taken are no difference.
    """
    found = [
        f"table {table}: {loaded.rows.get(table, 'not there')}, in the dump {rows} rows"
        for table, rows in sorted(manifest.rows.items())
        if loaded.rows.get(table) != rows
    ]
    changed = sorted(
        name
        for name in manifest.modules.keys() | loaded.modules.keys()
        if manifest.modules.get(name) != loaded.modules.get(name)
    )
    if changed:
        found.append(f"modules that differ: {some(changed)}")
    if loaded.file_count is None:
        return found
    if (loaded.file_count, loaded.file_bytes) != (manifest.file_count, manifest.file_bytes):
        found.append(
            f"files: {loaded.file_count} of {loaded.file_bytes} bytes, in the dump {manifest.file_count} of "
            f"{manifest.file_bytes} bytes"
        )
    if missing := sorted(set(loaded.missing_files) - set(manifest.missing_files)):
        found.append(f"attachments without their stored file: {some(missing)}")
    if damaged := sorted(set(loaded.damaged_files) - set(manifest.damaged_files)):
        found.append(f"stored files whose SHA-1 is not their name: {some(damaged)}")
    return found


def some(names: Collection[str]) -> str:
    """Return the first names and how many more there are."""
    first = ", ".join(list(names)[:NAMED])
    return first if len(names) <= NAMED else f"{first} and {len(names) - NAMED} more"
