"""An ordinary Pulumi file backend: `<root>/.pulumi/` with stacks, locks, history and backups.

Layout: pkg/backend/diy (meta version 1, stacks by project). Every file is written beside its place and
renamed into it, so that a process killed at any moment leaves the old file or the new one.
"""

from __future__ import annotations

import json
import os
import socket
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from local.engine import state
from local.engine.errors import EngineError

ORGANIZATION: Final = "organization"
"""The one organization that a file backend has."""


def write_atomically(path: Path, text: str, *, durable: bool = False) -> None:
    """Replace the file at `path`; `durable` also waits until the disk has it."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    with temporary.open("w", encoding="utf-8") as file:
        file.write(text)
        if durable:
            file.flush()
            os.fsync(file.fileno())
    temporary.replace(path)


@dataclass(frozen=True)
class Backend:
    """The backend below the directory `root` for the project `project`."""

    root: Path
    project: str

    @property
    def directory(self) -> Path:
        """Where Pulumi keeps its books."""
        return self.root / ".pulumi"

    @property
    def url(self) -> str:
        """The URL of this backend for PULUMI_BACKEND_URL."""
        return f"file://{self.root}"

    def prepare(self) -> None:
        """Make the backend where there is none."""
        meta = self.directory / "meta.yaml"
        if not meta.exists():
            self.directory.mkdir(parents=True, exist_ok=True)
            write_atomically(meta, "version: 1\n")

    def qualified(self, stack: str) -> str:
        """The fully qualified name of a stack."""
        return f"{ORGANIZATION}/{self.project}/{stack}"

    def path(self, stack: str) -> Path:
        """The checkpoint file of a stack."""
        return self.directory / "stacks" / self.project / f"{stack}.json"

    def exists(self, stack: str) -> bool:
        """Whether the stack has a checkpoint."""
        return self.path(stack).exists()

    def stacks(self) -> list[str]:
        """The stacks of this project."""
        return sorted(path.stem for path in self.path("any").parent.glob("*.json"))

    def read(self, stack: str) -> dict[str, Any]:
        """The deployment of a stack, `{}` where it has none."""
        path = self.path(stack)
        compressed = [path.with_name(path.name + suffix) for suffix in (".gz", ".zst")]
        if any(other.exists() for other in compressed):
            raise EngineError(
                f"the state of stack {stack} is compressed ({path}.gz or .zst): use the Pulumi CLI"
            )
        try:
            text = path.read_text(encoding="utf-8")
        except FileNotFoundError:
            return {}
        return state.parse_checkpoint(text, str(path))

    def write(self, stack: str, text: str, *, durable: bool = False) -> None:
        """Replace a stack's checkpoint."""
        path = self.path(stack)
        try:
            write_atomically(path, text, durable=durable)
        except FileNotFoundError:
            path.parent.mkdir(parents=True, exist_ok=True)
            write_atomically(path, text, durable=durable)

    def back_up(self, stack: str) -> None:
        """Keep the checkpoint as it is now as `.bak`: the state before the run that begins."""
        path = self.path(stack)
        if path.exists():
            # A hard link made beside and renamed: neither file is ever absent or half written.
            temporary = path.with_name(f".{path.name}.{os.getpid()}.bak")
            with suppress(FileNotFoundError):
                temporary.unlink()
            os.link(path, temporary)
            temporary.replace(path.with_name(path.name + ".bak"))

    def create(self, stack: str, salt: str | None) -> None:
        """Make an empty stack, as `pulumi stack init` does, where there is none."""
        if not self.exists(stack):
            self.prepare()
            self.write(stack, state.checkpoint_text(self.qualified(stack), [], [], salt))

    def add_history(self, stack: str, entry: dict[str, Any]) -> None:
        """Record an update, and the checkpoint that it left."""
        directory = self.directory / "history" / self.project / stack
        directory.mkdir(parents=True, exist_ok=True)
        prefix = f"{stack}-{time.time_ns()}"
        write_atomically(directory / f"{prefix}.history.json", json.dumps(entry, separators=(",", ":")))
        copy = directory / f"{prefix}.checkpoint.json"
        try:
            os.link(self.path(stack), copy)
        except OSError:
            write_atomically(copy, self.path(stack).read_text(encoding="utf-8"))

    @contextmanager
    def lock(self, stack: str) -> Iterator[list[str]]:
        """Hold the stack's lock, so that no second update runs. Yields notes on stale locks that were
        removed.

        Raises EngineError while another process that still lives holds it.
        """
        directory = self.directory / "locks" / ORGANIZATION / self.project / stack
        directory.mkdir(parents=True, exist_ok=True)
        notes = _check_locks(directory, stack, own=None)
        own = directory / f"{uuid.uuid4()}.json"
        content = {
            "pid": os.getpid(),
            "username": _user(),
            "hostname": socket.gethostname(),
            "timestamp": datetime.now(UTC).isoformat(),
        }
        write_atomically(own, json.dumps(content))
        try:
            _check_locks(directory, stack, own=own)
            yield notes
        finally:
            with suppress(FileNotFoundError):
                own.unlink()


def _user() -> str:
    import pwd

    try:
        return pwd.getpwuid(os.getuid()).pw_name
    except KeyError:
        return str(os.getuid())


def _check_locks(directory: Path, stack: str, own: Path | None) -> list[str]:
    notes = []
    for path in sorted(directory.glob("*.json")):
        if path == own or path.name.startswith("."):
            continue
        try:
            content = json.loads(path.read_text())
        except FileNotFoundError:
            continue
        except ValueError:
            content = {}
        if _is_stale(content):
            with suppress(FileNotFoundError):
                path.unlink()
            notes.append(f"removed the lock of process {content.get('pid')}, which no longer runs")
            continue
        holder = f"{content.get('username')}@{content.get('hostname')} (pid {content.get('pid')})"
        raise EngineError(
            f"stack {stack} is locked by {holder} since {content.get('timestamp')}: "
            f"wait until that update ends, or delete {path} if it will not"
        )
    return notes


def _is_stale(content: dict[str, Any]) -> bool:
    """Whether the lock's process is known to be gone: same machine, and no such process or a younger one."""
    pid = content.get("pid")
    if content.get("hostname") != socket.gethostname() or not isinstance(pid, int):
        return False
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    except PermissionError:
        pass
    return _started_after(pid, str(content.get("timestamp", "")))


def _started_after(pid: int, timestamp: str) -> bool:
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        boot = next(
            int(line.split()[1])
            for line in Path("/proc/stat").read_text().splitlines()
            if line.startswith("btime")
        )
        started = boot + int(fields[19]) / os.sysconf("SC_CLK_TCK")
        head, _, fraction = timestamp.replace("Z", "+00:00").partition(".")
        if fraction:
            digits = fraction[: len(fraction) - 6] if fraction[-6:-5] in "+-" else fraction
            head += f".{digits[:6]:0<6}{fraction[len(digits) :]}"
        locked = datetime.fromisoformat(head).timestamp()
    except (OSError, StopIteration, ValueError, IndexError):
        return False
    # Both clocks are exact to the second at best.
    return started > locked + 2
