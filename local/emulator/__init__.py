"""The AWS emulator of one machine: moto with the missing services filled in, as one detached process.

``start``, ``stop`` and ``running`` are all that others need; this module imports nothing heavy. What the
process does is in ``local.emulator.server``.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from local.processes import ROOT, code_fingerprint, end, end_within, identity, is_same, tail

START_TIMEOUT = 120.0
"""Seconds until the emulator must answer; replaying a long history counts."""
STOP_TIMEOUT = 20.0
"""Seconds for PostgreSQL's fast shutdown before the process is killed."""


class EmulatorError(Exception):
    """The emulator cannot do what was asked; the message says why and what to do."""


@dataclass(frozen=True)
class Emulator:
    """A running emulator."""

    endpoint_url: str
    """For ``AWS_ENDPOINT_URL``: ``http://127.0.0.1:<port>``."""
    pid: int
    lost: int = 0
    """Requests of its history that could not be repeated at the start (another release of moto or of this
    code); what they made is gone, and the log names them."""


def _directory(home: Path) -> Path:
    return home.resolve() / "emulator"


def _record(home: Path) -> dict[str, str] | None:
    try:
        record = json.loads((_directory(home) / "process.json").read_text())
    except (FileNotFoundError, ValueError):
        return None
    return record if is_same(record["pid"], record["identity"]) else None


def _emulator(record: dict[str, str]) -> Emulator:
    return Emulator(record["endpoint_url"], int(record["pid"]), int(record.get("lost", 0)))


def running(home: Path) -> Emulator | None:
    """The emulator of this home if it is up and answering, else ``None``."""
    record = _record(home)
    return _emulator(record) if record else None


@contextlib.contextmanager
def _locked(home: Path) -> Iterator[Path]:
    """One start or stop at a time for one home, whichever process asks."""
    directory = _directory(home)
    try:
        directory.mkdir(parents=True, exist_ok=True)
        directory.chmod(0o700)
        descriptor = os.open(directory / "lock", os.O_RDWR | os.O_CREAT, 0o600)
    except OSError as error:
        raise EmulatorError(f"{directory} cannot be used for the emulator: {error.strerror}") from None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield directory
    finally:
        os.close(descriptor)


def _spawn(home: Path, directory: Path, fingerprint: str) -> int:
    """Starts the process and gives its pid. A short-lived parent in between makes it nobody's child."""
    log = directory / "log"
    if log.exists() and log.stat().st_size > 5_000_000:
        log.replace(directory / "log.1")
    search = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH", "")]))
    with log.open("ab") as output:
        launched = subprocess.run(
            [sys.executable, "-m", "local.emulator", str(home.resolve()), fingerprint],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=output,
            cwd=directory,
            env={**os.environ, "PYTHONPATH": search},
            start_new_session=True,
            check=False,
        )
    if launched.returncode != 0 or not launched.stdout:
        raise EmulatorError(f"the emulator did not start; the end of {log} says:\n{tail(log)}")
    return int(launched.stdout)


def start(home: Path) -> Emulator:
    """Starts the emulator of ``home`` unless it runs; waits until it answers and its databases accept logins.

    Its state is that of the last time, also after a kill. Raises ``EmulatorError``.
    """
    with _locked(home) as directory:
        fingerprint = code_fingerprint("local/emulator", "local/postgres")
        record = _record(home)
        if record and record["fingerprint"] == fingerprint:
            return _emulator(record)
        if record:
            end_within(int(record["pid"]), record["identity"], STOP_TIMEOUT)
        (directory / "process.json").unlink(missing_ok=True)
        pid = _spawn(home, directory, fingerprint)
        own = identity(pid)
        deadline = time.monotonic() + START_TIMEOUT
        while time.monotonic() < deadline:
            found = running(home)
            if found:
                return found
            if own is None or not is_same(pid, own):
                break
            time.sleep(0.01)
        else:
            end(pid, own or "", signal.SIGKILL)
        log = directory / "log"
        raise EmulatorError(f"the emulator did not start; the end of {log} says:\n{tail(log)}")


def stop(home: Path) -> None:
    """Ends the emulator of ``home``, if it runs, and its databases; what they hold stays on disk."""
    if not _directory(home).exists():
        return
    from local.postgres.processes import end_stale

    with _locked(home) as directory:
        record = _record(home)
        if record:
            end_within(int(record["pid"]), record["identity"], STOP_TIMEOUT)
        (directory / "process.json").unlink(missing_ok=True)
        end_stale(home.resolve() / "postgres")
