"""A dump in a folder."""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from core import dump_manifest
from ops.databases.archive import Stream, full
from ops.databases.errors import DatabaseError
from ops.databases.place import CLAIM, Stored, Writer
from ops.files import write_atomically

SCRATCH: Final = ".scratch"


class _FileWriter:
    def __init__(self, path: Path) -> None:
        self._path = path
        self._file = os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb", buffering=0)
        self._digest = hashlib.sha256()
        self._count = 0

    def write(self, data: bytes, /) -> None:
        self._digest.update(data)
        view = memoryview(data)
        try:
            while view:
                view = view[self._file.write(view) :]
        except OSError as error:
            raise full(error, self._path.parent) from error
        self._count += len(data)

    def finish(self) -> Stored:
        try:
            os.fsync(self._file.fileno())
        except OSError as error:
            raise full(error, self._path.parent) from error
        return Stored(bytes=self._count, sha256=self._digest.hexdigest())

    def close(self) -> None:
        self._file.close()


class Folder:
    """A folder of this machine, or of a file system that it has mounted."""

    def __init__(self, path: Path) -> None:
        self._path = path

    @property
    def name(self) -> str:
        return str(self._path)

    @property
    def label(self) -> str:
        return self._path.absolute().name

    @property
    def scratch(self) -> Path | None:
        return self._path / SCRATCH

    def entries(self) -> list[str]:
        try:
            return sorted(path.name for path in self._path.iterdir() if path.name != SCRATCH)
        except FileNotFoundError:
            return []
        except NotADirectoryError as error:
            raise DatabaseError(f"{self._path} is a file: a folder is needed") from error

    @contextlib.contextmanager
    def claim(self) -> Iterator[None]:
        """Lock the mark: the kernel gives the lock back when its holder dies, so a leftover is not locked."""
        mark = self._path / CLAIM
        if self.entries() and not mark.exists():
            yield  # not this program's to claim: what is there says so
            return
        self._path.mkdir(parents=True, exist_ok=True, mode=0o700)
        descriptor = os.open(mark, os.O_RDWR | os.O_CREAT, 0o600)
        try:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                holder = os.read(descriptor, 4096).decode(errors="replace").strip() or "it does not say who"
                raise DatabaseError(
                    f"another dump writes to {self._path} at this moment ({holder}): wait for it, or name "
                    "another place"
                ) from None
            os.ftruncate(descriptor, 0)
            os.write(descriptor, f"process {os.getpid()} on {os.uname().nodename}".encode())
            try:
                yield
            finally:
                entries = self.entries()
                if dump_manifest.NAME in entries or entries == [CLAIM]:
                    mark.unlink(missing_ok=True)
        finally:
            os.close(descriptor)

    @contextlib.contextmanager
    def writer(self, name: str) -> Iterator[Writer]:
        opened = _FileWriter(self._path / name)
        try:
            yield opened
        finally:
            opened.close()

    @contextlib.contextmanager
    def reader(self, name: str) -> Iterator[Stream]:
        try:
            opened = (self._path / name).open("rb", buffering=0)
        except FileNotFoundError as error:
            raise DatabaseError(f"{name} is missing in {self._path}; nothing was loaded") from error
        with opened:
            yield opened

    def manifest(self) -> bytes | None:
        try:
            return (self._path / dump_manifest.NAME).read_bytes()
        except (FileNotFoundError, NotADirectoryError):
            return None

    def publish(self, manifest: bytes) -> None:
        directory = os.open(self._path, os.O_RDONLY)
        try:
            os.fsync(directory)  # the names of the pieces, before the one that makes them a dump
            if (self._path / dump_manifest.NAME).exists():
                raise DatabaseError(f"{self._path} holds a complete dump meanwhile, which is not overwritten")
            write_atomically(self._path / dump_manifest.NAME, manifest, mode=0o600)
            os.fsync(directory)
        finally:
            os.close(directory)

    def remove(self, names: list[str]) -> None:
        for name in names:
            (self._path / name).unlink(missing_ok=True)
        shutil.rmtree(self._path / SCRATCH, ignore_errors=True)
