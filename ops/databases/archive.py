"""Many files as one stream: a tar archive compressed with zstd, as `tar --zstd` reads it."""

from __future__ import annotations

import errno
import hashlib
import io
import os
import re
import tarfile
import threading
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import IO, Any, Final, Protocol, cast

from core.dump_manifest import Piece
from ops.databases.errors import DatabaseError, StoppedError

LEVEL: Final = 1
"""Of zstd. Attachments are mostly compressed already: level 1 passes these on at 1.1 GB/s a core, and text
shrinks at level 1 nearly as far as at 3."""
CHUNK: Final = 1 << 20
"""Bytes that are read, compressed and written at once."""
BLOCK: Final = tarfile.BLOCKSIZE
STORED_NAME: Final = re.compile(r"[0-9a-f]{2}/[0-9a-f]{40}")
"""Odoo's name of an attachment's file: its SHA-1 behind its first two digits."""


class Sink(Protocol):
    """Where compressed bytes go."""

    def write(self, data: bytes, /) -> object: ...


class Stream(Protocol):
    """Where compressed bytes come from."""

    def read(self, size: int, /) -> bytes: ...


@dataclass(frozen=True, kw_only=True)
class Contents:
    """What was packed or unpacked."""

    files: int
    unpacked: int
    damaged: tuple[str, ...]
    """Names of attachments' files with another SHA-1 than their name."""
    gone: tuple[str, ...] = ()
    """Names of files that were to be packed and were not there any more."""


@dataclass
class _Tally:
    files: int = 0
    unpacked: int = 0
    damaged: list[str] = field(default_factory=list)
    gone: list[str] = field(default_factory=list)

    def contents(self) -> Contents:
        return Contents(
            files=self.files, unpacked=self.unpacked, damaged=tuple(self.damaged), gone=tuple(self.gone)
        )


def header(name: str, size: int) -> bytes:
    """Return the tar header of one file. Raises DatabaseError for a name that tar cannot hold."""
    entry = tarfile.TarInfo(name)
    entry.size, entry.mode = size, 0o600
    try:
        return entry.tobuf(tarfile.USTAR_FORMAT, "utf-8", "surrogateescape")
    except ValueError as error:
        raise DatabaseError(f"the file {name} cannot be packed: {error}") from error


def pack(
    files: Iterable[tuple[str, Path]],
    sink: Sink,
    *,
    stop: threading.Event,
    moved: Callable[[int], None] = lambda count: None,
) -> Contents:
    """Write `files`, each by its name in the archive, to `sink`; a file that is gone is left out.

    `moved` hears of each chunk of content. Raises DatabaseError for a file that shrinks meanwhile, and
    StoppedError soon after `stop` is set.
    """
    import zstandard

    squeeze = zstandard.ZstdCompressor(level=LEVEL, write_checksum=True).compressobj()
    pending = bytearray()
    tally = _Tally()

    def flush() -> None:
        if stop.is_set():
            raise StoppedError
        moved(len(pending))
        if squeezed := squeeze.compress(bytes(pending)):
            sink.write(squeezed)
        pending.clear()

    for name, path in files:
        try:
            descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW)
        except FileNotFoundError:
            tally.gone.append(name)
            continue
        try:
            size = os.fstat(descriptor).st_size
            pending += header(name, size)
            digest = hashlib.sha1(usedforsecurity=False) if STORED_NAME.fullmatch(name) else None
            left = size
            while left:
                data = os.read(descriptor, min(CHUNK, left))
                if not data:
                    raise DatabaseError(f"{path} became smaller while it was read")
                if digest:
                    digest.update(data)
                pending += data
                left -= len(data)
                if len(pending) >= CHUNK:
                    flush()
        finally:
            os.close(descriptor)
        pending += bytes(-size % BLOCK)
        tally.files += 1
        tally.unpacked += size
        if digest and name[3:] != digest.hexdigest():
            tally.damaged.append(name)
    pending += bytes(2 * BLOCK)
    flush()
    sink.write(squeeze.flush())
    return tally.contents()


class _Checked(io.RawIOBase):
    """A stream that counts and hashes what is read from it."""

    def __init__(self, stream: Stream, stop: threading.Event, moved: Callable[[int], None]) -> None:
        self._stream, self._stop, self._moved = stream, stop, moved
        self.digest = hashlib.sha256()
        self.count = 0

    def readable(self) -> bool:
        return True

    def read(self, size: int = -1) -> bytes:
        if self._stop.is_set():
            raise StoppedError
        data = self._stream.read(CHUNK if size < 0 else size)
        self.digest.update(data)
        self.count += len(data)
        self._moved(len(data))
        return data

    def verify(self, piece: Piece) -> None:
        """Read on to the end and raise DatabaseError unless these were the bytes that were dumped."""
        while self.count <= piece.bytes and self.read(CHUNK):
            pass
        if self.count < piece.bytes:
            raise DatabaseError(
                f"{piece.name} is truncated: {self.count} of {piece.bytes} bytes are there; nothing was "
                "loaded"
            )
        if self.count > piece.bytes or self.digest.hexdigest() != piece.sha256:
            raise DatabaseError(
                f"{piece.name} was altered: its SHA-256 is not that of the manifest; nothing was loaded"
            )


def verify(
    piece: Piece,
    stream: Stream,
    *,
    stop: threading.Event,
    moved: Callable[[int], None] = lambda count: None,
) -> None:
    """Read a piece and raise DatabaseError unless it is the one that was dumped."""
    _Checked(stream, stop, moved).verify(piece)


def unpack(
    piece: Piece,
    stream: Stream,
    target: Path,
    *,
    stop: threading.Event,
    owner: tuple[int, int] | None = None,
    moved: Callable[[int], None] = lambda count: None,
) -> Contents:
    """Write the files of a piece below `target`, and check the piece's hash while it is read.

    What was written of an altered piece is there when DatabaseError is raised: `target` is the caller's to
    remove. `owner`: user and group that the files get. `moved` hears of the compressed bytes.
    """
    import zstandard

    checked = _Checked(stream, stop, moved)
    reader: io.BufferedReader[Any] = io.BufferedReader(
        zstandard.ZstdDecompressor().stream_reader(
            cast(IO[bytes], checked), read_size=CHUNK, read_across_frames=False
        ),
        CHUNK,
    )
    try:
        contents = _unpack(reader, target, owner)
    except (zstandard.ZstdError, tarfile.TarError, EOFError) as error:
        checked.verify(piece)
        raise DatabaseError(f"{piece.name} holds no archive: {error}") from error
    checked.verify(piece)
    if (contents.files, contents.unpacked) != (piece.files, piece.unpacked):
        raise DatabaseError(f"{piece.name} holds {contents.files} files, the manifest says {piece.files}")
    return contents


def _unpack(reader: io.BufferedReader[Any], target: Path, owner: tuple[int, int] | None) -> Contents:
    tally = _Tally()
    known: set[str] = set()
    while (block := reader.read(BLOCK)) != bytes(BLOCK):
        if len(block) < BLOCK:
            raise EOFError("the archive ends within a file")
        entry = tarfile.TarInfo.frombuf(block, "utf-8", "surrogateescape")
        inside = PurePosixPath(entry.name)
        if inside.is_absolute() or ".." in inside.parts or not entry.isreg():
            raise tarfile.ReadError(f"{entry.name!r} is no file below the target")
        parent = str(inside.parent)
        if parent not in known:
            _make_directories(target, inside.parent, owner)
            known.add(parent)
        if _copy(reader, entry.size, target / inside, owner) != entry.name[3:] and STORED_NAME.fullmatch(
            entry.name
        ):
            tally.damaged.append(entry.name)
        tally.files += 1
        tally.unpacked += entry.size
    return tally.contents()


def _make_directories(target: Path, inside: PurePosixPath, owner: tuple[int, int] | None) -> None:
    for directory in [*reversed(inside.parents), inside]:
        path = target / directory
        try:
            path.mkdir(mode=0o755)
        except FileExistsError:
            continue
        if owner:
            os.chown(path, *owner)


def _copy(reader: io.BufferedReader[Any], size: int, path: Path, owner: tuple[int, int] | None) -> str:
    """Write the next `size` bytes to the new file `path`; return their SHA-1."""
    digest = hashlib.sha1(usedforsecurity=False)
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        left = size
        while left:
            data = reader.read(min(CHUNK, left))
            if not data:
                raise EOFError("the archive ends within a file")
            digest.update(data)
            left -= len(data)
            view = memoryview(data)
            while view:
                view = view[os.write(descriptor, view) :]
        if owner:
            os.fchown(descriptor, *owner)
    except OSError as error:
        raise full(error, path.parent) from error
    finally:
        os.close(descriptor)
    reader.read(-size % BLOCK)
    return digest.hexdigest()


def full(error: OSError, directory: Path) -> Exception:
    """Return the error to raise for one that writing met: one clear line where the disk is full."""
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return DatabaseError(f"the disk is full: {directory} takes no more")
    return error
