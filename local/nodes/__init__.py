"""Servers made real: what the emulator holds runs as systemd containers on this machine.

``start``, ``stop`` and ``running`` are all that others need; this module imports nothing heavy. The process
that does it is ``local.nodes.__main__``: the first of a process namespace of its own, so that whatever it
started ends with it, in whichever way it ends.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import shutil
import sys
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

from local.processes import code_fingerprint, end_within, identity, is_same, tail

STOP_TIMEOUT = 20.0
"""Seconds for the servers to be shut down before everything is killed."""


class NodesError(Exception):
    """The servers cannot be run; the message says why and what to do."""


@dataclass(frozen=True)
class Nodes:
    """The running process."""

    pid: int
    identity: str
    fingerprint: str
    region: str


def directory(home: Path) -> Path:
    """Where everything of the servers is: consoles, disks, file systems, status and log."""
    return home / "nodes"


def running(home: Path) -> Nodes | None:
    """The process that runs the servers of this home, or None."""
    try:
        record = json.loads((directory(home) / "process.json").read_text())
        found = Nodes(int(record["pid"]), record["identity"], record["fingerprint"], record["region"])
    except (OSError, ValueError, KeyError):
        return None
    return found if is_same(found.pid, found.identity) else None


@contextlib.contextmanager
def _locked(home: Path) -> Iterator[Path]:
    """One start or stop at a time for one home, whichever process asks."""
    place = directory(home)
    try:
        place.mkdir(parents=True, exist_ok=True)
        place.chmod(0o711)
        descriptor = os.open(place / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise NodesError(f"{place} cannot be used for the servers: {error.strerror}") from None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield place
    finally:
        os.close(descriptor)


def refuse_another_region(home: Path, region: str) -> None:
    """Raises ``NodesError`` where servers of another region run: they are one data centre, of one region."""
    found = running(home)
    if found is not None and found.region != region:
        raise NodesError(
            f"servers in {found.region} run on this machine, which can be the data centre of one region at a "
            f"time, and this stack is in {region}: `down` stops them"
        )


def start(home: Path, region: str) -> Nodes:
    """Starts the process that runs the servers of ``home``, unless it runs. Returns at once: the servers
    are still to be booted. What a killed one left behind is removed first. Raises ``NodesError``.
    """
    with _locked(home) as place:
        refuse_another_region(home, region)
        fingerprint = code_fingerprint("local/nodes")
        found = running(home)
        if found and found.fingerprint == fingerprint:
            return found
        if found:
            end_within(found.pid, found.identity, STOP_TIMEOUT)
        _sweep(home, place)
        from local.nodes.namespaces import launch

        log = place / "log"
        if log.exists() and log.stat().st_size > 5_000_000:
            log.replace(place / "log.1")
        command = [sys.executable, "-m", "local.nodes", str(home.resolve()), region]
        pid = launch(command, home.resolve(), log)
        own = identity(pid)
        if own is None:
            raise NodesError(f"the servers' process ended at once; the end of {log} says:\n{tail(log)}")
        nodes = Nodes(pid, own, fingerprint, region)
        fresh = place / "process.json.new"
        fresh.write_text(json.dumps(asdict(nodes)))
        fresh.replace(place / "process.json")
        return nodes


def stop(home: Path) -> bool:
    """Shuts the servers of ``home`` down and removes all of them but the contents of file systems, the
    images and the log. Says whether they ran. After a crash it removes what that left behind.
    """
    if not directory(home).exists():
        return False
    with _locked(home) as place:
        found = running(home)
        if found:
            end_within(found.pid, found.identity, STOP_TIMEOUT)
        _sweep(home, place)
        return found is not None


def _sweep(home: Path, place: Path) -> None:
    """Removes what no process can remove for itself: files, and control groups that are empty."""
    from local.nodes.namespaces import sweep

    sweep(home)
    for name in ("process.json", "status.json"):
        (place / name).unlink(missing_ok=True)
    for name in ("instances", "balancers"):
        shutil.rmtree(place / name, ignore_errors=True)
