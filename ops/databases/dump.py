"""`ops dump`: one database and its file store, packed, hashed and stored.

The snapshot comes first, and what the files are read for is in it: an attachment that is made meanwhile is an
extra file in the dump, never a missing one. The database is dumped and the files are packed side by side, in
parallel. The manifest is written last.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import tempfile
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, Final, Literal

from core.dump_manifest import Manifest, Piece
from ops.databases import facts, programs
from ops.databases.archive import Contents, pack
from ops.databases.closing import Closing
from ops.databases.connection import Server
from ops.databases.errors import DatabaseError
from ops.databases.place import Place, refuse_or_leftovers
from ops.databases.progress import Progress
from ops.databases.work import Work

if TYPE_CHECKING:
    import psycopg

TARGET: Final = 64 << 20
"""Bytes of files that go into one archive; a larger file has one of its own."""
TARGET_FILES: Final = 10_000
"""Files that go into one archive."""
SCRATCH_LIMIT: Final = 2 << 30
"""Bytes of finished tables that may wait on disk before pg_dump has to wait for the destination."""


@dataclass(frozen=True, kw_only=True)
class Request:
    """What to dump. `files`: the folder that holds each database's file store by its name, or None."""

    database: str
    files: Path | None
    label: str | None = None
    jobs: int = 2
    scratch: Path | None = None
    postgres_bin: str | None = None

    @property
    def store(self) -> Path | None:
        """The file store of the database."""
        return None if self.files is None else self.files / self.database

    def check(self) -> None:
        """Raise DatabaseError where something cannot be as asked."""
        if self.files is not None and not self.files.is_dir():
            raise DatabaseError(f"--files: there is no folder {self.files}; is the file store mounted?")
        if self.files is not None and self.database != Path(self.database).name:
            raise DatabaseError(f"the database {self.database!r} can have no folder of its name")
        if not 1 <= self.jobs <= 64:
            raise DatabaseError(f"--jobs: {self.jobs} is not between 1 and 64")


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What a dump would do."""

    database: str
    database_bytes: int
    destination: str
    leftovers: int
    postgres: str
    pg_dump: str
    compression: Literal["zstd", "none"]
    scratch: str
    files: int | None
    file_bytes: int | None


@dataclass
class _Collected:
    """The pieces so far, from several threads."""

    lock: threading.Lock = field(default_factory=threading.Lock)
    pieces: list[Piece] = field(default_factory=list)
    damaged: list[str] = field(default_factory=list)
    numbers: dict[str, int] = field(default_factory=dict)

    def name(self, kind: str) -> str:
        with self.lock:
            number = self.numbers[kind] = self.numbers.get(kind, 0) + 1
        return f"{kind}-{number:06}.tar.zst"

    def add(self, piece: Piece, contents: Contents) -> None:
        with self.lock:
            self.pieces.append(piece)
            self.damaged.extend(contents.damaged)


@dataclass(frozen=True, kw_only=True)
class _Run:
    """What all parts of one dump share."""

    request: Request
    place: Place
    progress: Progress
    collected: _Collected = field(default_factory=_Collected)
    stop: threading.Event = field(default_factory=threading.Event)

    def store(self, kind: Literal["database", "files"], files: list[tuple[str, Path]]) -> Contents:
        """Pack `files` into one new piece."""
        moved = self.progress.database if kind == "database" else self.progress.files
        name = self.collected.name(kind)
        with self.place.writer(name) as writer:
            contents = pack(files, writer, stop=self.stop, moved=moved)
            stored = writer.finish()
        self.collected.add(
            Piece(
                name=name,
                bytes=stored.bytes,
                unpacked=contents.unpacked,
                files=contents.files,
                sha256=stored.sha256,
            ),
            contents,
        )
        return contents


def plan(request: Request, server: Server, place: Place) -> Plan:
    """Look at everything that a dump needs, and write nothing."""
    request.check()
    server.check()
    with server.connect(request.database) as connection:
        major, version = facts.version(connection)
        found = facts.read(connection)
    tools = programs.find(major, request.postgres_bin)
    leftovers = refuse_or_leftovers(place)
    sizes = None
    if request.store is not None:
        sizes = [size for _, _, size in listed(request.store)]
    return Plan(
        database=request.database,
        database_bytes=found.size,
        destination=place.name,
        leftovers=len(leftovers),
        postgres=version,
        pg_dump=tools.path("pg_dump"),
        compression="zstd" if tools.zstd else "none",
        scratch=str(request.scratch or place.scratch or tempfile.gettempdir()),
        files=None if sizes is None else len(sizes),
        file_bytes=None if sizes is None else sum(sizes),
    )


def dump(request: Request, server: Server, place: Place, progress: Progress | None = None) -> Manifest:
    """Dump as asked and return the manifest. Raises DatabaseError; then nothing is left that counts."""
    request.check()
    server.check()
    run = _Run(request=request, place=place, progress=progress or Progress())
    run.progress.step("connect")
    with server.connect(request.database) as connection:
        major, _ = facts.version(connection)
        tools = programs.find(major, request.postgres_bin)
        run.progress.step("claim")
        with place.claim():
            leftovers = refuse_or_leftovers(place)
            run.progress.step("remove leftovers")
            place.remove(leftovers)
            try:
                manifest = _dump(run, server, connection, tools)
                run.progress.step("write manifest")
                place.publish(manifest.text().encode())
                run.progress.step("done")
            except BaseException:
                run.stop.set()
                with contextlib.suppress(DatabaseError, OSError):
                    if place.manifest() is None:
                        place.remove([name for name in place.entries() if name.endswith(".tar.zst")])
                raise
    return manifest


@contextlib.contextmanager
def _scratch(request: Request, place: Place) -> Iterator[Path]:
    """Give an empty folder for pg_dump, and take it away again."""
    if request.scratch is None and place.scratch is not None:
        shutil.rmtree(place.scratch, ignore_errors=True)
        place.scratch.mkdir(mode=0o700)
        directory = place.scratch
    else:
        directory = Path(tempfile.mkdtemp(prefix="openerp-dump-", dir=request.scratch))
    try:
        yield directory
    finally:
        shutil.rmtree(directory, ignore_errors=True)


def _dump(
    run: _Run, server: Server, connection: psycopg.Connection[Any], tools: programs.Programs
) -> Manifest:
    request = run.request
    connection.execute("set statement_timeout = 0")
    connection.execute("set idle_in_transaction_session_timeout = 0")
    connection.execute("begin transaction isolation level repeatable read, read only")
    run.progress.step("take snapshot")
    row = connection.execute("select pg_export_snapshot(), now()").fetchone()
    if row is None:
        raise DatabaseError("PostgreSQL gives no snapshot")
    snapshot, taken = row
    found = facts.read(connection)
    wanted = facts.stored_files(connection) if request.files is not None else set()
    rows: dict[str, int] = {}

    def count() -> None:
        for table in found.largest:
            rows[table] = facts.rows_of(connection, table) or 0

    with _scratch(request, run.place) as scratch, contextlib.ExitStack() as stack:
        said = stack.enter_context(tempfile.TemporaryFile())
        outlet = _Outlet(run, scratch / "database")
        packing = stack.enter_context(Work(request.jobs, run.stop))
        filing = stack.enter_context(Work(request.jobs, run.stop, backlog=2 * request.jobs))
        others = stack.enter_context(Work(2, run.stop))
        stack.push(lambda kind, _error, _trace: connection.cancel() if kind else None)
        environment, descriptors = stack.enter_context(server.environment(statement_timeout="0"))
        watch = stack.enter_context(Closing(outlet.directory))
        run.progress.step("dump database")
        process = stack.enter_context(
            programs.running(
                _command(request, server, tools, snapshot, outlet), environment, said, descriptors
            )
        )
        others.do(count)
        packed: set[str] = set()
        if request.store is not None:
            others.do(_files, run, filing, request.store, wanted, packed)
        while process.poll() is None:
            for name in watch.names(0.1):
                outlet.closed(name, packing)
            outlet.hold_back(process)
            for work in (packing, filing, others):
                work.check()
        _ended(process, said)
        outlet.rest(packing)
        run.progress.step("pack files")
        for work in (others, filing, packing):
            work.finish()
        missing = sorted(wanted - packed)
        if request.store is not None and missing:
            # A shared file system may list a file late that another machine has just written.
            late = [(name, path) for name in missing if (path := request.store / name).is_file()]
            if late:
                gone = run.store("files", late).gone
                missing = sorted(set(missing) - {name for name, _ in late} | set(gone))
    pieces = tuple(sorted(run.collected.pieces, key=lambda piece: piece.name))
    return Manifest(
        label=request.label or run.place.label,
        database=request.database,
        taken=taken.astimezone(UTC),
        release=found.release,
        server_version=facts.version(connection)[1],
        database_uuid=found.database_uuid,
        locale=found.locale,
        immutable_unaccent=found.immutable_unaccent,
        modules=found.modules,
        rows=rows,
        compression="zstd" if tools.zstd else "none",
        with_files=request.files is not None,
        file_count=sum(piece.files for piece in pieces if not piece.holds_database),
        file_bytes=sum(piece.unpacked for piece in pieces if not piece.holds_database),
        missing_files=tuple(missing),
        damaged_files=tuple(sorted(run.collected.damaged)),
        pieces=pieces,
    )


def _command(
    request: Request, server: Server, tools: programs.Programs, snapshot: str, outlet: _Outlet
) -> list[str]:
    return [
        tools.path("pg_dump"),
        "--format=directory",
        f"--jobs={request.jobs}",
        f"--snapshot={snapshot}",
        f"--compress={'zstd:1' if tools.zstd else 'none'}",
        "--no-sync",
        "--no-password",
        f"--file={outlet.directory}",
        f"--dbname={server.conninfo(request.database)}",
    ]


def _ended(process: subprocess.Popen[bytes], said: IO[bytes]) -> None:
    if process.returncode != 0:
        said.seek(0)
        text = said.read().decode(errors="replace")
        if "No space left on device" in text:
            raise DatabaseError("the disk is full: pg_dump has no room for its scratch files; see --scratch")
        raise DatabaseError(programs.complaint("pg_dump", text))


class _Outlet:
    """Takes the tables that pg_dump has finished to the place, so that few wait on disk."""

    def __init__(self, run: _Run, directory: Path) -> None:
        self.directory = directory
        directory.mkdir(mode=0o700)
        self._run = run
        self._group: list[tuple[str, Path]] = []
        self._group_size = 0
        self._taken: set[str] = set()
        self._lock = threading.Lock()
        self._waiting = 0
        self._held = False

    def closed(self, name: str, packing: Work) -> None:
        """Take a file that is complete; small ones are collected."""
        # The table of contents comes last: nothing says that pg_dump will not open it again.
        if name == "toc.dat" or name in self._taken:
            return
        self._take(name, packing)

    def _take(self, name: str, packing: Work) -> None:
        self._taken.add(name)
        path = self.directory / name
        self._group.append((name, path))
        size = path.stat().st_size
        self._group_size += size
        with self._lock:
            self._waiting += size
        if self._group_size >= TARGET or len(self._group) >= TARGET_FILES:
            self._send(packing)

    def _send(self, packing: Work) -> None:
        if self._group:
            packing.do(self._store, self._group, self._group_size)
        self._group, self._group_size = [], 0

    def rest(self, packing: Work) -> None:
        """Take what is left when pg_dump has ended."""
        for name in sorted(path.name for path in self.directory.iterdir()):
            if name not in self._taken:
                self._take(name, packing)
        self._send(packing)

    def _store(self, group: list[tuple[str, Path]], size: int) -> None:
        if self._run.store("database", group).files != len(group):
            raise DatabaseError(
                "a file of pg_dump vanished from the scratch folder: is another dump using it?"
            )
        for _, path in group:
            path.unlink()
        with self._lock:
            self._waiting -= size

    def hold_back(self, process: subprocess.Popen[bytes]) -> None:
        """Let pg_dump pause while too much waits for the place."""
        with self._lock:
            waiting = self._waiting
        if not self._held and waiting > SCRATCH_LIMIT + self._group_size:
            self._signal(process, signal.SIGSTOP)
        elif self._held and waiting <= SCRATCH_LIMIT // 2 + self._group_size:
            self._signal(process, signal.SIGCONT)

    def _signal(self, process: subprocess.Popen[bytes], number: signal.Signals) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, number)
        self._held = number == signal.SIGSTOP


def listed(store: Path) -> Iterator[tuple[str, Path, int]]:
    """Return name, path and size in bytes of every regular file below `store`, in the order of names."""
    if not store.is_dir():
        return
    waiting = [("", store)]
    while waiting:
        prefix, directory = waiting.pop()
        with contextlib.suppress(FileNotFoundError), os.scandir(directory) as entries:
            for entry in sorted(entries, key=lambda entry: entry.name):
                if entry.is_dir(follow_symlinks=False):
                    waiting.append((f"{prefix}{entry.name}/", Path(entry.path)))
                elif entry.is_file(follow_symlinks=False):
                    with contextlib.suppress(FileNotFoundError):
                        size = entry.stat(follow_symlinks=False).st_size
                        yield f"{prefix}{entry.name}", Path(entry.path), size


def _files(run: _Run, filing: Work, store: Path, wanted: set[str], packed: set[str]) -> None:
    """Pack the file store, so many files at a time; `packed` gets the names of what was packed."""
    if wanted and not store.is_dir():
        raise DatabaseError(
            f"the database has {len(wanted)} stored files, and there is no file store at {store}: is --files "
            "the right folder?"
        )

    def store_batch(batch: list[tuple[str, Path]]) -> None:
        contents = run.store("files", batch)
        with run.collected.lock:
            packed.update({name for name, _ in batch}.difference(contents.gone))

    batch: list[tuple[str, Path]] = []
    size = 0
    for name, path, length in listed(store):
        batch.append((name, path))
        size += length
        if size >= TARGET or len(batch) >= TARGET_FILES:
            filing.do(store_batch, batch)
            batch, size = [], 0
    if batch:
        filing.do(store_batch, batch)
