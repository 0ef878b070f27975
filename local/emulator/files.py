"""What EFS file systems hold on this machine, and the copies of it that AWS Backup keeps.

A recovery point is a copy of a file system's folder. A copy is made beside its place and renamed into it, so
that there is all of it or nothing; how each job ended is written to a record, from which the next start of
the emulator knows it. While the history is replayed nothing here touches a disk.
"""

from __future__ import annotations

import contextlib
import errno
import json
import logging
import os
import queue
import shutil
import stat
import threading
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path

from local.nodes import directory
from local.nodes.file_systems import ROOT_PERMISSIONS, folder

log = logging.getLogger("emulator")

GONE = {errno.ENOENT, errno.ENOTDIR, errno.ELOOP, errno.ESTALE}
"""What a file says that somebody removed or replaced since its folder was listed."""
BLOCK, BUFFER = 1 << 30, 1 << 20
"""Bytes that the kernel is asked to copy at a time, and that go through this process where it cannot."""
CANNOT = {errno.EXDEV, errno.EINVAL, errno.EOPNOTSUPP, errno.ENOSYS}
"""What the kernel says of disks between which it cannot copy by itself."""
ENDED = "the emulator ended before the copy was complete"
PATIENCE = 5.0
"""Seconds for the copy under way to notice that the emulator ends."""
PARTIAL, DELETED = ".partial.", ".deleted."


class AbandonedError(Exception):
    """The emulator ends while a copy is under way."""


@dataclass(frozen=True)
class Outcome:
    """How a job ended."""

    size: int
    """Bytes that were copied."""
    finished: float
    """Seconds since 1970."""
    error: str | None = None


def _transfer(reading: int, writing: int) -> int:
    """Copies all of an open file to another one, and gives how many bytes that are."""
    size = 0
    if hasattr(os, "copy_file_range"):
        try:
            while copied := os.copy_file_range(reading, writing, BLOCK):
                size += copied
            return size
        except OSError as error:
            if size or error.errno not in CANNOT:
                raise
    while block := os.read(reading, BUFFER):
        size += len(block)
        while block:
            block = block[os.write(writing, block) :]
    return size


class Tree:
    """Copies a folder that may change meanwhile: what vanishes is left out. Counts the bytes of its files.

    Owners are kept where the one who copies may give files away, which is root alone.
    """

    def __init__(self, given_up: Callable[[], bool]) -> None:
        self.size = 0
        self._given_up = given_up
        self._may_give = os.geteuid() == 0
        self._folders: list[tuple[str, os.stat_result]] = []

    def copy(self, source: Path, target: Path) -> None:
        """Copies ``source``, nothing if it is not there, to ``target``, which is not."""
        target.mkdir()
        target.chmod(ROOT_PERMISSIONS)
        waiting = [(str(source), str(target))]
        while waiting:
            if self._given_up():
                raise AbandonedError
            waiting += self._folder(*waiting.pop())
        # The deepest first: what is made in a folder changes its time.
        for path, found in reversed(self._folders):
            self._keep(path, found)

    def _folder(self, source: str, target: str) -> list[tuple[str, str]]:
        """Copies what is in one folder, and gives the folders that are in it."""
        inside: list[tuple[str, str]] = []
        try:
            found = os.lstat(source)
            with os.scandir(source) as listing:
                entries = list(listing)
        except OSError as error:
            if error.errno in GONE:
                return inside
            raise
        self._folders.append((target, found))
        for entry in entries:
            path, copy = entry.path, f"{target}/{entry.name}"
            if entry.is_dir(follow_symlinks=False):
                os.mkdir(copy, 0o700)  # noqa: PTH102  one of a hundred thousand
                inside.append((path, copy))
            elif entry.is_symlink():
                self._link(path, copy)
            elif entry.is_file(follow_symlinks=False):
                self._file(path, copy)
        return inside

    def _file(self, source: str, target: str) -> None:
        try:
            reading = os.open(source, os.O_RDONLY | os.O_NOFOLLOW)
        except OSError as error:
            if error.errno in GONE:
                return
            raise
        try:
            writing = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            try:
                self.size += _transfer(reading, writing)
                found = os.fstat(reading)
                if self._may_give:
                    os.fchown(writing, found.st_uid, found.st_gid)
                os.fchmod(writing, stat.S_IMODE(found.st_mode))
                os.utime(writing, ns=(found.st_atime_ns, found.st_mtime_ns))
            finally:
                os.close(writing)
        finally:
            os.close(reading)

    def _link(self, source: str, target: str) -> None:
        try:
            found, leads_to = os.lstat(source), os.readlink(source)  # noqa: PTH115
        except OSError as error:
            if error.errno in {*GONE, errno.EINVAL}:
                return
            raise
        os.symlink(leads_to, target)  # noqa: PTH211
        if self._may_give:
            os.chown(target, found.st_uid, found.st_gid, follow_symlinks=False)

    def _keep(self, path: str, found: os.stat_result) -> None:
        if self._may_give:
            os.chown(path, found.st_uid, found.st_gid)
        os.chmod(path, stat.S_IMODE(found.st_mode))  # noqa: PTH101
        os.utime(path, ns=(found.st_atime_ns, found.st_mtime_ns))


class Files:
    """The file systems and recovery points of one home. What takes time is done in one thread, in order."""

    def __init__(self, home: Path) -> None:
        self.file_systems = folder(home)
        self.points = directory(home) / "recovery-points"
        self.live = False
        """Whether requests have effects; not so while the history is replayed."""
        self._record = home / "emulator" / "copies"
        self._outcomes = self._recorded()
        """Known from the start: what the history says later depends on how its jobs ended."""
        self._asked: dict[str, Path] = {}
        """The jobs of the history, and what each makes."""
        self._removed: list[Path] = []
        """What the history says was deleted."""
        self._closing = False
        self._work: queue.SimpleQueue[Callable[[], None] | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._run, name="files", daemon=True)

    # What requests ask for

    def back_up(self, job: str, file_system: str, point: str) -> None:
        """Makes a recovery point of a file system as it is now; one that no server has mounted is empty."""
        self._start(job, self.file_systems / file_system, self.points / point)

    def copy(self, job: str, source: str, target: str) -> None:
        """Copies a recovery point."""
        self._start(job, self.points / source, self.points / target)

    def restore(self, job: str, point: str, file_system: str, name: str) -> None:
        """Puts what a recovery point holds into a folder of a file system's root."""
        self._start(job, self.points / point, self.file_systems / file_system / name)

    def outcome(self, job: str) -> Outcome | None:
        """How a job ended; None while it is under way."""
        return self._outcomes.get(job)

    def remove_point(self, point: str) -> None:
        """Deletes a recovery point's copy."""
        self._remove(self.points / point)

    def remove_file_system(self, file_system: str) -> None:
        """Deletes what a file system holds."""
        self._remove(self.file_systems / file_system)

    # How it is done

    def _start(self, job: str, source: Path, target: Path) -> None:
        self._asked[job] = target
        if self.live:
            self._work.put(lambda: self._do(job, source, target))

    def _do(self, job: str, source: Path, target: Path) -> None:
        fresh = self._beside(target) / f"{PARTIAL}{job}"
        tree, began = Tree(lambda: self._closing), time.monotonic()
        try:
            if not target.parent.exists():
                target.parent.mkdir(parents=True)
                target.parent.chmod(0o700 if target.parent == self.points else ROOT_PERMISSIONS)
            tree.copy(source, fresh)
            fresh.rename(target)
        except AbandonedError:
            return
        except OSError as error:
            log.error("the copy to %s failed: %s", target, error)
            self._ended(job, Outcome(0, time.time(), str(error)))
        else:
            log.info("%s is copied: %d bytes, %.1f s", target, tree.size, time.monotonic() - began)
            self._ended(job, Outcome(tree.size, time.time()))
        finally:
            shutil.rmtree(fresh, ignore_errors=True)

    def _ended(self, job: str, outcome: Outcome) -> None:
        self._record.parent.mkdir(parents=True, exist_ok=True)
        with self._record.open("a") as record:
            record.write(json.dumps({"job": job, **asdict(outcome)}) + "\n")
        self._outcomes[job] = outcome

    def _remove(self, path: Path) -> None:
        if self.live:
            self._work.put(lambda: shutil.rmtree(self._put_aside(path), ignore_errors=True))
        else:
            self._removed.append(path)

    def _put_aside(self, path: Path) -> Path:
        """Takes a folder out of its place, where nothing finds it."""
        aside = self._beside(path) / f"{DELETED}{path.name}"
        with contextlib.suppress(OSError):
            path.rename(aside)
        return aside

    def _beside(self, path: Path) -> Path:
        """Where what is not whole may be: not in a file system, where a server would see it."""
        return self.points if path.parent == self.points else self.file_systems

    def _run(self) -> None:
        while (work := self._work.get()) is not None:
            if self._closing:
                return
            try:
                work()
            except Exception:
                log.exception("work on files failed")

    # Start and end

    def _recorded(self) -> dict[str, Outcome]:
        """What the record says; a last line that a kill cut short says nothing and goes."""
        if not self._record.exists():
            return {}
        text = self._record.read_text()
        whole = text[: text.rfind("\n") + 1]
        if whole != text:
            self._record.write_text(whole)
        rows = [json.loads(line) for line in whole.splitlines()]
        return {row.pop("job"): Outcome(**row) for row in rows}

    def attach(self) -> None:
        """After the replay: what a kill has cut short is said to have failed, what is left of it and what
        was deleted goes; from here on requests have effects."""
        unfinished = [job for job in self._asked if job not in self._outcomes]
        for path in [*self._removed, *(self._asked[job] for job in unfinished)]:
            self._put_aside(path)
        for job in unfinished:
            self._ended(job, Outcome(0, time.time(), ENDED))
        for place in (self.points, self.file_systems):
            for path in [*place.glob(f"{PARTIAL}*"), *place.glob(f"{DELETED}*")]:
                self._work.put(partial(shutil.rmtree, path, ignore_errors=True))
        self.live = True
        self._thread.start()

    def close(self) -> None:
        """Gives up the copy under way: the next start says that it failed."""
        self.live, self._closing = False, True
        self._work.put(None)
        if self._thread.is_alive():
            self._thread.join(PATIENCE)
