"""Starts PostgreSQL programs, and ends those that a killed emulator left behind."""

from __future__ import annotations

import json
import os
import queue
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from concurrent.futures import Future
from pathlib import Path
from typing import Any

from local.processes import end, identity, is_same

NO_NAMESPACE = "OPENERP_NO_USER_NAMESPACE"
"""Set to anything, it makes root take the other way to an ordinary user (``launch.py``)."""
LAUNCH = Path(__file__).with_name("launch.py")
FRONT = Path(__file__).with_name("front.py")


def _environment() -> dict[str, str]:
    """What PostgreSQL may see of ours: no ``PG…`` variable of the person who runs this."""
    passed = {name: value for name, value in os.environ.items() if name in {"PATH", "TZ", NO_NAMESPACE}}
    return {**passed, "LC_ALL": "C"}


def command(directory: Path | None, program: Sequence[str], *, bound: bool = False) -> list[str]:
    """The command line that runs ``program`` as a user whom PostgreSQL accepts.

    ``directory`` is what the program must own; ``bound`` ties its life to the thread that starts it.
    """
    parent = str(os.getpid()) if bound else "0"
    return [sys.executable, "-I", "-S", str(LAUNCH), parent, str(directory or "-"), *program]


def front_command(listener: int, server: int, certificate: Path, key: Path, *, forced: bool) -> list[str]:
    """The command line of the front (``front.py``) of the server at the port ``server``."""
    end_with = [str(listener), str(server), str(certificate), str(key), str(int(forced))]
    return [sys.executable, "-I", "-S", str(FRONT), str(os.getpid()), *end_with]


def run(
    directory: Path | None, program: Sequence[str], **environment: str
) -> subprocess.CompletedProcess[str]:
    """Runs ``program`` to its end; raises ``RuntimeError`` with what it said if it fails."""
    done = subprocess.run(
        command(directory, program),
        capture_output=True,
        text=True,
        cwd="/",
        env={**_environment(), **environment},
        check=False,
    )
    if done.returncode != 0:
        said = (done.stderr or done.stdout).strip() or f"exit status {done.returncode}"
        raise RuntimeError(f"{Path(program[0]).name}: {said}")
    return done


_Job = tuple[list[str], Path, Sequence[int], "Future[subprocess.Popen[bytes]]"]


class Spawner:
    """One thread that starts the servers and lives as long as the emulator.

    The kernel ties a child to the thread that made it, so a thread of a single request would not do.
    """

    def __init__(self) -> None:
        self._jobs: queue.SimpleQueue[_Job] = queue.SimpleQueue()
        threading.Thread(target=self._work, name="postgres-spawner", daemon=True).start()

    def _work(self) -> None:
        while True:
            arguments, log, kept, result = self._jobs.get()
            try:
                with log.open("ab") as output:
                    process = subprocess.Popen(
                        arguments,
                        stdin=subprocess.DEVNULL,
                        stdout=output,
                        stderr=output,
                        cwd="/",
                        env=_environment(),
                        start_new_session=True,
                        pass_fds=kept,
                    )
                result.set_result(process)
            except OSError as error:
                result.set_exception(error)

    def spawn(self, arguments: list[str], log: Path, *, kept: Sequence[int] = ()) -> subprocess.Popen[bytes]:
        """Starts a process whose output goes to ``log``; it gets the open file descriptors ``kept``."""
        result: Future[subprocess.Popen[bytes]] = Future()
        self._jobs.put((arguments, log, kept, result))
        return result.result()


def record(path: Path, pid: int, **more: Any) -> None:
    """Notes in ``path`` which process runs, so that a later command can end it."""
    path.write_text(json.dumps({"pid": pid, "identity": identity(pid), **more}))


def end_stale(root: Path, patience: float = 5.0) -> int:
    """Ends every server that a file ``<root>/*/process.json`` names and that still runs; gives how many.

    On Linux there are none, unless a kill and this call come within the same moment.
    """
    stale: list[tuple[int, str]] = []
    for path in root.glob("*/process.json"):
        try:
            known = json.loads(path.read_text())
        except ValueError:
            known = {}
        if known.get("identity") and is_same(known["pid"], known["identity"]):
            stale.append((known["pid"], known["identity"]))
        path.unlink(missing_ok=True)
    for pid, own in stale:
        end(pid, own, signal.SIGQUIT)
    deadline = time.monotonic() + patience
    while any(is_same(pid, own) for pid, own in stale) and time.monotonic() < deadline:
        time.sleep(0.02)
    for pid, own in stale:
        end(pid, own, signal.SIGKILL)
    return len(stale)
