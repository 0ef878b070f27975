"""Where a dump lies: a folder, or a prefix in an S3 bucket."""

from __future__ import annotations

import re
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Protocol

from core import dump_manifest
from core.dump_manifest import Manifest
from ops.databases.archive import Stream
from ops.databases.errors import DatabaseError

CLAIM: Final = "in-progress.json"
"""What marks a dump that is being written, or whose writer was killed."""
PIECE: Final = re.compile(r"(database|files)-\d{6}\.tar\.zst")


@dataclass(frozen=True, kw_only=True)
class Stored:
    """What a finished writer has written."""

    bytes: int
    sha256: str


class Writer(Protocol):
    """One piece on its way. Left without `finish`, it leaves nothing that counts."""

    def write(self, data: bytes, /) -> object: ...

    def finish(self) -> Stored: ...


class Place(Protocol):
    """A folder or a prefix; every error that a person can cause is a DatabaseError."""

    @property
    def name(self) -> str:
        """How messages call it."""

    @property
    def label(self) -> str:
        """Its last part, which is the label of a dump that is given none."""

    @property
    def scratch(self) -> Path | None:
        """Where a dump may put its scratch files, if this is a place for these."""

    def entries(self) -> list[str]:
        """Return the names of what is there already."""

    def claim(self) -> AbstractContextManager[None]:
        """Hold the place for the one dump that writes to it, by a mark.

        The mark goes with the end of the block, unless pieces without a manifest are there: it then says
        that these are leftovers.
        """

    def writer(self, name: str) -> AbstractContextManager[Writer]:
        """Open a new piece."""

    def reader(self, name: str) -> AbstractContextManager[Stream]:
        """Open a piece."""

    def manifest(self) -> bytes | None:
        """Return the manifest, or None where there is none."""

    def publish(self, manifest: bytes) -> None:
        """Write the manifest, unless there is one, which is an error."""

    def remove(self, names: list[str]) -> None:
        """Remove pieces of a dump that did not end well."""


def refuse_or_leftovers(place: Place) -> list[str]:
    """Return the leftovers of a dump that did not end well. Raises DatabaseError where something else is."""
    entries = place.entries()
    if dump_manifest.NAME in entries:
        raise DatabaseError(
            f"{place.name} holds a complete dump, which is never overwritten: name another place"
        )
    foreign = [name for name in entries if name != CLAIM and not PIECE.fullmatch(name)]
    if foreign or (entries and CLAIM not in entries):
        raise DatabaseError(
            f"{place.name} is not empty and holds no dump of this program ({(foreign or entries)[0]} is "
            "there): name an empty or a new place"
        )
    return [name for name in entries if name != CLAIM]


def read_manifest(place: Place) -> Manifest:
    """Return the manifest of the dump at `place`. Raises DatabaseError where there is no whole dump."""
    text = place.manifest()
    if text is None:
        entries = place.entries()
        if CLAIM in entries:
            raise DatabaseError(
                f"{place.name} holds a dump that was not finished (it has no {dump_manifest.NAME}): run the "
                "dump again"
            )
        raise DatabaseError(f"there is no dump at {place.name}: it has no {dump_manifest.NAME}")
    try:
        return dump_manifest.read(text)
    except dump_manifest.ManifestError as error:
        raise DatabaseError(f"{place.name}: {error}") from error
