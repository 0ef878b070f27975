"""`ops load`: a dump becomes a database of a new name, with its file store.

Everything is built under a temporary name and compared with the manifest; the new name is given last, to the
files first and then to the database. A load that is killed at any moment leaves no half database under the
new name, and the next one removes what it left.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import shutil
import subprocess
import tempfile
import threading
import uuid
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, Final

from core.dump_manifest import Loaded, Manifest, Piece, differences
from ops.databases import facts, programs
from ops.databases.archive import Contents, unpack, verify
from ops.databases.connection import Server
from ops.databases.errors import DatabaseError
from ops.databases.place import Place, read_manifest
from ops.databases.progress import Progress
from ops.databases.work import Work

if TYPE_CHECKING:
    import psycopg

MARK: Final = ".openerp-loading"
"""A file in a file store that is not complete, whatever the store is called."""
LONGEST_NAME: Final = 63
"""Bytes of a database's name; PostgreSQL cuts a longer one off without an error."""
SESSION: Final = {
    "statement_timeout": "0",
    "lock_timeout": "0",
    "synchronous_commit": "off",
    # The jobs keep the processors busy already; workers that share one index cost more than they save.
    "max_parallel_maintenance_workers": "0",
    "work_mem": "32MB",
}
"""Settings of pg_restore's sessions: no statement waits for the disk; what a crash of the server loses is a
database that has no name yet."""
INDEX_MEMORY: Final = (128, 1024)
"""MB for building one index, at least and at most: sorted in memory, it takes two thirds of the time."""


def session_settings(shared_buffers: int, jobs: int) -> dict[str, str]:
    """Return the settings of pg_restore's sessions for a server with so many bytes of `shared_buffers`.

    That is a quarter of its memory (core/sizing.py); the jobs together take half as much for indexes.
    """
    least, most = INDEX_MEMORY
    share = shared_buffers // (2 * jobs) >> 20
    return {**SESSION, "maintenance_work_mem": f"{min(max(least, share), most)}MB"}


@dataclass(frozen=True, kw_only=True)
class Request:
    """What to load. `files`: the folder that holds each database's file store by its name, or None."""

    database: str
    files: Path | None
    new_uuid: bool
    """A copy gets a uuid of its own, as Odoo gives one; a database that moves keeps its uuid."""
    owner: str | None = None
    locale: str | None = None
    """Instead of the source's, where this server's machine does not know that one."""
    jobs: int = 2
    scratch: Path | None = None
    postgres_bin: str | None = None

    @property
    def _key(self) -> str:
        return hashlib.sha256(self.database.encode()).hexdigest()[:20]

    @property
    def building(self) -> str:
        """The name that the database has until it is complete."""
        return f"loading_{self._key}"

    @property
    def lock(self) -> int:
        """Key of the advisory lock that keeps two loads to one name apart."""
        return int.from_bytes(hashlib.sha256(f"load {self.database}".encode()).digest()[:8], signed=True)

    @property
    def store(self) -> Path | None:
        """The file store that the database gets."""
        return None if self.files is None else self.files / self.database

    @property
    def building_store(self) -> Path | None:
        """Where the file store is until the database is complete."""
        return None if self.files is None else self.files / f".loading_{self._key}"

    def check(self) -> None:
        """Raise DatabaseError where something cannot be as asked."""
        name = self.database
        if not name or "\0" in name or len(name.encode()) > LONGEST_NAME:
            raise DatabaseError(f"{name!r} is no name of a database: 1 to {LONGEST_NAME} bytes")
        if self.files is not None and (name != Path(name).name or name.startswith(".")):
            raise DatabaseError(f"the database {name!r} can have no folder of its name")
        if self.files is not None and not self.files.is_dir():
            raise DatabaseError(f"--files: there is no folder {self.files}; is the file store mounted?")
        if not 1 <= self.jobs <= 64:
            raise DatabaseError(f"--jobs: {self.jobs} is not between 1 and 64")


@dataclass(frozen=True, kw_only=True)
class Result:
    """What a load made, or would make."""

    database: str
    owner: str | None
    database_uuid: str | None
    manifest: Manifest = field(repr=False)
    warnings: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class _Run:
    request: Request
    server: Server
    place: Place
    progress: Progress
    manifest: Manifest
    tools: programs.Programs
    administration: psycopg.Connection[Any]
    stop: threading.Event = field(default_factory=threading.Event)

    def unpack(self, piece: Piece, target: Path, owner: tuple[int, int] | None = None) -> Contents:
        moved = self.progress.database if piece.holds_database else self.progress.files
        with self.place.reader(piece.name) as stream:
            return unpack(piece, stream, target, stop=self.stop, owner=owner, moved=moved)


def check(request: Request, server: Server, place: Place, progress: Progress | None = None) -> Result:
    """Verify the whole dump and everything that a load of it needs; make nothing."""
    progress = progress or Progress()
    with _ready(request, server, place, progress) as run:
        _refuse_what_is_there(run)
        progress.step("verify")
        with Work(request.jobs, run.stop) as work:
            for piece in run.manifest.pieces:
                if _wanted(request, piece):
                    work.do(_verify, run, piece)
            work.finish()
        return _result(run, None if request.new_uuid else run.manifest.database_uuid)


def _verify(run: _Run, piece: Piece) -> None:
    moved = run.progress.database if piece.holds_database else run.progress.files
    with run.place.reader(piece.name) as stream:
        verify(piece, stream, stop=run.stop, moved=moved)


def load(request: Request, server: Server, place: Place, progress: Progress | None = None) -> Result:
    """Load as asked. Raises DatabaseError; then nothing of it is left."""
    import psycopg

    progress = progress or Progress()
    with _ready(request, server, place, progress) as run:
        _lock(run)
        progress.step("remove leftovers")
        _remove(run)
        _refuse_what_is_there(run)
        try:
            identity = _build(run)
        except BaseException:
            run.stop.set()
            # What cannot be removed now, the next load removes; the error to show is the first one.
            with contextlib.suppress(psycopg.Error, OSError):
                _remove(run)
            raise
        return _result(run, identity)


@contextlib.contextmanager
def _ready(request: Request, server: Server, place: Place, progress: Progress) -> Iterator[_Run]:
    """Check everything that can be checked before anything is made."""
    request.check()
    server.check()
    progress.step("read manifest")
    manifest = read_manifest(place)
    if request.files is not None and not manifest.with_files:
        raise DatabaseError("the dump holds no files: give --no-files to load it without")
    there = set(place.entries())
    if missing := [p.name for p in manifest.pieces if _wanted(request, p) and p.name not in there]:
        raise DatabaseError(f"{missing[0]} is missing in {place.name}; nothing was loaded")
    progress.step("connect")
    with server.connect(server.maintenance) as administration:
        major, version = facts.version(administration)
        if major < int(manifest.server_version.split(".")[0]):
            raise DatabaseError(
                f"the dump is of PostgreSQL {manifest.server_version} and the server runs {version}: load it "
                "into a server of the same release or a newer one"
            )
        tools = programs.find(major, request.postgres_bin)
        if manifest.compression == "zstd" and not tools.zstd:
            raise DatabaseError(
                f"{tools.path('pg_restore')} was built without zstd, which this dump needs: install "
                f"postgresql-client-{major}, or name a directory with --postgres-bin"
            )
        _refuse_owner(administration, request.owner)
        yield _Run(
            request=request,
            server=server,
            place=place,
            progress=progress,
            manifest=manifest,
            tools=tools,
            administration=administration,
        )


def _wanted(request: Request, piece: Piece) -> bool:
    return piece.holds_database or request.files is not None


def _refuse_owner(connection: psycopg.Connection[Any], owner: str | None) -> None:
    if owner is None:
        return
    row = connection.execute(
        "select r.oid is not null, r.oid is not null and pg_has_role(r.oid, 'member') "
        "from (select 1) one left join pg_roles r on r.rolname = %s",
        [owner],
    ).fetchone()
    exists, member = row or (False, False)
    if not exists:
        raise DatabaseError(f"--owner: the server has no role {owner!r}")
    if not member:
        raise DatabaseError(
            f"--owner: {connection.info.user} may not act for {owner}: let it with "
            f'GRANT "{owner}" TO "{connection.info.user}"'
        )


def _lock(run: _Run) -> None:
    row = run.administration.execute("select pg_try_advisory_lock(%s)", [run.request.lock]).fetchone()
    if not row or not row[0]:
        raise DatabaseError(f"another load to {run.request.database!r} runs at this moment: wait for it")


def _exists(run: _Run, database: str) -> bool:
    found = run.administration.execute("select 1 from pg_database where datname = %s", [database])
    return found.fetchone() is not None


def _refuse_what_is_there(run: _Run) -> None:
    request = run.request
    if _exists(run, request.database):
        raise DatabaseError(
            f"the database {request.database!r} exists, and a load never goes over one: name a new one"
        )
    store = request.store
    if store is not None and (store.is_symlink() or store.exists()) and not (store / MARK).is_file():
        raise DatabaseError(f"the file store {store} exists, and a load never goes over one: name a new one")


def _remove(run: _Run) -> None:
    """Remove what this load, or an earlier one that was killed, made and did not complete."""
    from psycopg import sql

    request = run.request
    run.administration.execute(
        sql.SQL("drop database if exists {} with (force)").format(sql.Identifier(request.building))
    )
    if request.building_store is not None:
        shutil.rmtree(request.building_store, ignore_errors=True)
    store = request.store
    if store is not None and (store / MARK).is_file():
        if _exists(run, request.database):
            (store / MARK).unlink()  # killed after its last step but one
        else:
            # The mark goes last: without it, nothing would say that this is a leftover.
            for path in list(store.iterdir()):
                if path.name != MARK:
                    shutil.rmtree(path) if path.is_dir() else path.unlink()
            shutil.rmtree(store)


def _build(run: _Run) -> str | None:
    request, manifest, progress = run.request, run.manifest, run.progress
    with contextlib.ExitStack() as stack:
        scratch = Path(
            stack.enter_context(tempfile.TemporaryDirectory(prefix="openerp-load-", dir=request.scratch))
        )
        _refuse_small_disk(scratch, manifest.database_bytes, "--scratch names another folder")
        work = stack.enter_context(Work(request.jobs, run.stop))
        filing = stack.enter_context(Work(request.jobs, run.stop))
        unpacked: list[Contents] = []
        for piece in manifest.pieces:
            if piece.holds_database:
                work.do(run.unpack, piece, scratch)
        progress.step("create database")
        _create(run)
        progress.step("verify and unpack database")
        work.finish()
        if request.building_store is not None:
            _begin_files(run, request.building_store, filing, unpacked)
        progress.step("restore database")
        _restore(run, scratch, filing)
        progress.step("unpack files")
        filing.finish()
    progress.step("compare")
    warnings = _compare(run, unpacked)
    if warnings:
        raise DatabaseError("what was loaded is not what was dumped: " + "; ".join(warnings))
    identity = _identify(run)
    _name(run)
    return identity


def _refuse_small_disk(directory: Path, needed: int, advice: str) -> None:
    free = shutil.disk_usage(directory).free
    if free < needed:
        raise DatabaseError(
            f"the disk is too small: {directory} has {free / 1e6:,.0f} MB left and {needed / 1e6:,.0f} MB "
            f"are needed; {advice}"
        )


def _create(run: _Run) -> None:
    import psycopg
    from psycopg import sql

    request, locale = run.request, run.manifest.locale
    owner = sql.SQL("owner {}").format(sql.Identifier(request.owner)) if request.owner else sql.SQL("")
    text = "create database {} {} template template0 encoding 'UTF8' lc_collate {} lc_ctype {}"
    try:
        run.administration.execute(
            sql.SQL(text).format(
                sql.Identifier(request.building),
                owner,
                sql.Literal(request.locale or locale.collate),
                sql.Literal(request.locale or locale.ctype),
            )
        )
    except psycopg.Error as error:
        raise DatabaseError(f"the database cannot be made: {_said(error)}; see --locale, --owner") from error
    if run.manifest.immutable_unaccent:
        _provide_unaccent(run)


def _provide_unaccent(run: _Run) -> None:
    """Make `unaccent` what Odoo makes of it before indexes that need it so are restored."""
    import psycopg

    with run.server.connect(run.request.building) as connection:
        facts.act_as(connection, run.request.owner)
        try:
            connection.execute("create extension if not exists unaccent")
            connection.execute("alter function unaccent(text) immutable")
        except psycopg.Error as error:
            raise DatabaseError(
                f"indexes of this database need unaccent(text) to be immutable, and {_said(error)}: load it "
                "as a role that may alter it"
            ) from error


def _said(error: Exception) -> str:
    return str(error).strip().splitlines()[0]


def _begin_files(run: _Run, target: Path, filing: Work, unpacked: list[Contents]) -> None:
    """Have the files unpacked, beside whatever else goes on."""
    request, manifest = run.request, run.manifest
    _refuse_small_disk(target.parent, manifest.file_bytes, "it must hold the file store")
    target.mkdir(mode=0o755)
    (target / MARK).touch(mode=0o600)
    owner = None
    if os.geteuid() == 0:
        # As the folder that the servers can write to.
        of = target.parent.stat()
        if (of.st_uid, of.st_gid) != (os.geteuid(), os.getegid()):
            owner = (of.st_uid, of.st_gid)
            os.chown(target, *owner)

    def one(piece: Piece) -> None:
        unpacked.append(run.unpack(piece, target, owner))

    for piece in manifest.pieces:
        if not piece.holds_database and _wanted(request, piece):
            filing.do(one, piece)


def _restore(run: _Run, scratch: Path, filing: Work) -> None:
    request = run.request
    settings = session_settings(facts.shared_buffers(run.administration), request.jobs)
    command = [
        run.tools.path("pg_restore"),
        "--format=directory",
        f"--jobs={request.jobs}",
        "--no-owner",
        "--no-privileges",
        "--exit-on-error",
        "--no-password",
        *([f"--role={request.owner}"] if request.owner else []),
        f"--dbname={run.server.conninfo(request.building)}",
        str(scratch),
    ]
    with (
        tempfile.TemporaryFile() as said,
        run.server.environment(**settings) as (environment, descriptors),
        programs.running(command, environment, said, descriptors) as process,
    ):
        while process.poll() is None:
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(0.1)
            filing.check()
        _ended(process, said)


def _ended(process: subprocess.Popen[bytes], said: IO[bytes]) -> None:
    if process.returncode != 0:
        said.seek(0)
        text = said.read().decode(errors="replace")
        if "No space left on device" in text or "53100" in text:
            raise DatabaseError("the disk of the database server is full: the database was removed again")
        raise DatabaseError(programs.complaint("pg_restore", text))


def _compare(run: _Run, unpacked: list[Contents]) -> list[str]:
    request, manifest = run.request, run.manifest
    rows = facts.count(run.server, request.building, manifest.rows, request.owner, request.jobs)
    with run.server.connect(request.building) as connection:
        facts.act_as(connection, request.owner)
        modules = facts.modules_of(connection)
        wanted = facts.stored_files(connection) if request.files is not None else set()
    target = request.building_store
    with_files = target is not None
    return differences(
        manifest,
        Loaded(
            rows=rows,
            modules=modules,
            file_count=sum(contents.files for contents in unpacked) if with_files else None,
            file_bytes=sum(contents.unpacked for contents in unpacked) if with_files else None,
            missing_files={name for name in wanted if target is not None and not (target / name).is_file()},
            damaged_files={name for contents in unpacked for name in contents.damaged},
        ),
    )


def _identify(run: _Run) -> str | None:
    """Give a copy an identity of its own, as Odoo does; return the uuid that the database has."""
    if run.manifest.database_uuid is None or not run.request.new_uuid:
        return run.manifest.database_uuid
    run.progress.step("give new uuid")
    fresh = {
        "database.uuid": str(uuid.uuid1()),
        # What signs links and sessions: those of the original must not hold here.
        "database.secret": str(uuid.uuid4()),
        "database.create_date": datetime.now(UTC).strftime("%Y-%m-%d %H:%M:%S"),
    }
    with run.server.connect(run.request.building) as connection:
        facts.act_as(connection, run.request.owner)
        for key, value in fresh.items():
            connection.execute(
                "update public.ir_config_parameter set value = %s where key = %s", [value, key]
            )
    return fresh["database.uuid"]


def _name(run: _Run) -> None:
    """Give files and database their name, the database last: it is what makes the rest visible."""
    import psycopg
    from psycopg import sql

    request = run.request
    _refuse_what_is_there(run)
    if request.building_store is not None and request.store is not None:
        run.progress.step("name files")
        request.building_store.rename(request.store)
    run.progress.step("name database")
    try:
        run.administration.execute(
            sql.SQL("alter database {} rename to {}").format(
                sql.Identifier(request.building), sql.Identifier(request.database)
            )
        )
    except psycopg.Error as error:
        raise DatabaseError(f"the database cannot be given its name: {_said(error)}") from error
    run.progress.step("finish")
    if request.store is not None:
        (request.store / MARK).unlink()
    run.progress.step("done")


def _result(run: _Run, identity: str | None) -> Result:
    manifest = run.manifest
    warnings = []
    if manifest.missing_files:
        warnings.append(f"{len(manifest.missing_files)} stored files were missing when the dump was taken")
    if manifest.damaged_files:
        warnings.append(f"{len(manifest.damaged_files)} stored files were damaged when the dump was taken")
    if run.request.files is None and manifest.with_files:
        warnings.append("the files of the dump were left out, as asked")
    return Result(
        database=run.request.database,
        owner=run.request.owner,
        database_uuid=identity,
        manifest=manifest,
        warnings=tuple(warnings),
    )
