"""Processes that outlive the command that started them, known by pid and start time.

A pid alone is not enough: the kernel gives it away again, and nothing here may end a stranger's process.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import time
from hashlib import sha256
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]


def _linux_identity(pid: int) -> str | None:
    try:
        # The name in parentheses may hold spaces and parentheses: what counts comes after the last one.
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError, PermissionError):
        return None
    state, started = fields[0], fields[19]
    if state in "ZX":
        return None
    boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    return f"{boot} {started}"


def _other_identity(pid: int) -> str | None:
    shown = subprocess.run(
        ["ps", "-o", "stat=,lstart=", "-p", str(pid)], capture_output=True, text=True, check=False
    ).stdout.split()
    return None if not shown or shown[0].startswith("Z") else " ".join(shown[1:])


def identity(pid: int) -> str | None:
    """When the process ``pid`` started, in a form that no other process shares; ``None`` if it has ended."""
    return _linux_identity(pid) if Path("/proc/self/stat").exists() else _other_identity(pid)


def is_same(pid: int | str, known: str) -> bool:
    """Whether ``pid`` still is the process whose identity was ``known``."""
    return identity(int(pid)) == known


def end(pid: int, known: str, how: int) -> None:
    """Sends the signal ``how``, unless the process has ended or the pid is another's now."""
    if is_same(pid, known):
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, how)


def end_within(pid: int, known: str, seconds: float) -> None:
    """Asks the process to end, and ends it after ``seconds`` if it has not; returns when it is gone."""
    end(pid, known, signal.SIGTERM)
    deadline = time.monotonic() + seconds
    while is_same(pid, known) and time.monotonic() < deadline:
        time.sleep(0.01)
    end(pid, known, signal.SIGKILL)
    while is_same(pid, known):
        time.sleep(0.01)


def code_fingerprint(*packages: str) -> str:
    """Changes whenever the code in these packages does: a process started from older code is replaced."""
    digest = sha256()
    for package in packages:
        for path in sorted((ROOT / package).rglob("*.py")):
            status = path.stat()
            digest.update(f"{path.relative_to(ROOT)} {status.st_size} {status.st_mtime_ns}\n".encode())
    return digest.hexdigest()


def tail(log: Path) -> str:
    """The last five lines of a log; nothing if there is none."""
    try:
        return "\n".join(log.read_text(errors="replace").splitlines()[-5:])
    except FileNotFoundError:
        return ""
