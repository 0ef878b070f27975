"""A database and its files, out and in again, on a real PostgreSQL; and everything that may go wrong."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import json
import os
import signal
import stat
import subprocess
import sys
import tarfile
import tempfile
import textwrap
import threading
from dataclasses import replace
from pathlib import Path

import pytest

from core import dump_manifest
from ops.databases import archive, facts
from ops.databases import load as loading
from ops.databases.dump import dump, plan
from ops.databases.errors import DatabaseError
from ops.databases.folder import Folder
from ops.databases.load import check, load
from ops.databases.place import CLAIM
from ops.databases.progress import Progress
from tests.bench_dump import attach
from tests.ops.databases.conftest import BINARIES, Place

ROOT = Path(__file__).parents[3]
needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="mounts a small disk")
UUID = "select value from ir_config_parameter where key = 'database.uuid'"


class At(Progress):
    """Does something when a step begins."""

    def __init__(self, wanted: str, action: object) -> None:
        self.wanted, self.action = wanted, action
        self.steps: list[str] = []

    def step(self, name: str) -> None:
        self.steps.append(name)
        if name == self.wanted and callable(self.action):
            self.action()


def tree(store: Path) -> dict[str, bytes]:
    return {str(p.relative_to(store)): p.read_bytes() for p in store.rglob("*") if p.is_file()}


def content(place: Place, database: str) -> list[object]:
    return [
        place.sql(
            database, 'select count(*), md5(string_agg(id || text, \',\' order by id)) from "Odd ""name"'
        ),
        place.sql(database, "select name, store_fname, checksum from ir_attachment order by id"),
    ]


@pytest.mark.parametrize("name", ['My "odd" Näme', "it's \\ 1; drop", "UPPER lower", "数据库", "plain"])
def test_a_database_of_any_name_comes_back_with_its_files(place: Place, tmp_path: Path, name: str) -> None:
    place.make(name)
    target = f"{name} 2"
    manifest = dump(place.dump_request(name), place.server, Folder(tmp_path / "dump"))
    assert manifest.release == "19.0"
    assert manifest.file_count == 20
    assert manifest.rows['public."Odd ""name"'] == 3000
    try:
        result = load(place.load_request(target), place.server, Folder(tmp_path / "dump"))
        assert content(place, target) == content(place, name)
        assert tree(place.files / target) == tree(place.files / name)
        assert result.warnings == ()
        assert not [p for p in place.files.iterdir() if p.name not in (name, target)]
        assert not [n for n in place.databases() if n.startswith("loading_")]
    finally:
        place.sql("postgres", f'drop database "{name.replace(chr(34), chr(34) * 2)}"')
        place.sql("postgres", f'drop database if exists "{target.replace(chr(34), chr(34) * 2)}"')


def test_a_copy_gets_a_uuid_and_a_secret_of_its_own_and_a_move_keeps_them(
    place: Place, tmp_path: Path
) -> None:
    name, copied, moved = place.make(), place.new_name(), place.new_name()
    dump(place.dump_request(name), place.server, Folder(tmp_path / "dump"))
    result = load(place.load_request(copied), place.server, Folder(tmp_path / "dump"))
    kept = load(place.load_request(moved, new_uuid=False), place.server, Folder(tmp_path / "dump"))
    assert place.sql(moved, UUID) == place.sql(name, UUID) == [(kept.database_uuid,)]
    assert place.sql(copied, UUID) == [(result.database_uuid,)] != place.sql(name, UUID)
    secret = "select value from ir_config_parameter where key = 'database.secret'"
    assert place.sql(moved, secret) == [("old secret",)] != place.sql(copied, secret)


def test_the_owner_is_the_one_that_is_asked_for(place: Place, tmp_path: Path) -> None:
    name, target, role = place.make(), place.new_name(), f"Role {place.new_name()}"
    dump(place.dump_request(name), place.server, Folder(tmp_path / "dump"))
    request = place.load_request(target, owner=role)
    with pytest.raises(DatabaseError, match="has no role"):
        load(request, place.server, Folder(tmp_path / "dump"))
    with place.cluster.connect() as superuser:
        superuser.execute(f'create role "{role}"')
    with pytest.raises(DatabaseError, match=f'GRANT "{role}" TO "master"'):
        load(request, place.server, Folder(tmp_path / "dump"))
    with place.cluster.connect() as superuser:
        superuser.execute(f'grant "{role}" to master')
    load(request, place.server, Folder(tmp_path / "dump"))
    owners = (
        "select distinct pg_get_userbyid(relowner) from pg_class where relnamespace = 'public'::regnamespace"
    )
    assert place.sql(target, owners) == [(role,)]
    assert place.sql(
        target, "select pg_get_userbyid(datdba) from pg_database where datname = current_database()"
    ) == [(role,)]


def test_an_attachment_made_meanwhile_is_an_extra_file_and_rows_are_those_of_the_snapshot(
    place: Place, tmp_path: Path
) -> None:
    name, target = place.make(), place.new_name()

    def meanwhile() -> None:
        with place.server.connect(name) as connection:
            attach(connection, place.files / name, 1, [777_777])
            connection.execute('delete from "Odd ""name" where id > 10')

    manifest = dump(
        place.dump_request(name), place.server, Folder(tmp_path / "dump"), At("dump database", meanwhile)
    )
    assert manifest.file_count == 21
    assert manifest.rows['public."Odd ""name"'] == 3000
    load(place.load_request(target), place.server, Folder(tmp_path / "dump"))
    assert place.sql(target, "select count(*) from ir_attachment") == [(20,)]
    assert len(tree(place.files / target)) == 21


def test_files_that_were_missing_or_damaged_before_are_said_and_do_not_stop_a_load(
    place: Place, tmp_path: Path
) -> None:
    name, target = place.make(), place.new_name()
    gone, bad, *_ = sorted(p for p in (place.files / name).rglob("*") if p.is_file())
    gone.unlink()
    bad.write_bytes(b"something else")
    manifest = dump(place.dump_request(name), place.server, Folder(tmp_path / "dump"))
    assert manifest.missing_files == (f"{gone.parent.name}/{gone.name}",)
    assert manifest.damaged_files == (f"{bad.parent.name}/{bad.name}",)
    result = load(place.load_request(target), place.server, Folder(tmp_path / "dump"))
    assert len(result.warnings) == 2


def test_the_database_alone(place: Place, tmp_path: Path) -> None:
    name, target = place.make(), place.new_name()
    manifest = dump(place.dump_request(name, files=None), place.server, Folder(tmp_path / "dump"))
    assert not manifest.with_files
    with pytest.raises(DatabaseError, match="--no-files"):
        load(place.load_request(target), place.server, Folder(tmp_path / "dump"))
    load(place.load_request(target, files=None), place.server, Folder(tmp_path / "dump"))
    assert content(place, target) == content(place, name)


def test_an_index_on_unaccent_comes_back(place: Place, tmp_path: Path) -> None:
    """As a superuser: RDS's master user may not mark the function immutable, which Odoo only warns of."""
    name, target = place.make(), place.new_name()
    cluster = place.cluster
    with cluster.connect(name) as superuser:
        superuser.execute("create extension unaccent")
        superuser.execute("alter function unaccent(text) immutable")
        superuser.execute("create index on ir_attachment (unaccent(name))")
    superuser_server = replace(
        place.server, user="rdsadmin", password=(cluster.directory / "password").read_text()
    )
    assert dump(place.dump_request(name), superuser_server, Folder(tmp_path / "dump")).immutable_unaccent
    load(place.load_request(target), superuser_server, Folder(tmp_path / "dump"))
    assert place.sql(
        target, "select provolatile from pg_proc where proname = 'unaccent' and pronargs = 1"
    ) == [("i",)]


def test_any_tar_reads_the_archives(place: Place, tmp_path: Path) -> None:
    import zstandard

    name = place.make()
    dump(place.dump_request(name), place.server, Folder(tmp_path / "dump"))
    with (
        (tmp_path / "dump" / "files-000001.tar.zst").open("rb") as packed,
        zstandard.ZstdDecompressor().stream_reader(packed) as stream,
        tarfile.open(fileobj=stream, mode="r|") as opened,
    ):
        names = {member.name for member in opened}
    assert names == tree(place.files / name).keys()


def test_a_dump_is_for_its_operator_alone(place: Place, tmp_path: Path) -> None:
    dump(place.dump_request(place.make()), place.server, Folder(tmp_path / "dump"))
    assert stat.S_IMODE((tmp_path / "dump").stat().st_mode) == 0o700
    assert {stat.S_IMODE(p.stat().st_mode) for p in (tmp_path / "dump").iterdir()} == {0o600}
    assert sorted(p.name for p in (tmp_path / "dump").iterdir()) == [
        "database-000001.tar.zst",
        "files-000001.tar.zst",
        "manifest.json",
    ]


def test_nothing_is_ever_overwritten(place: Place, tmp_path: Path) -> None:
    name, target = place.make(), place.new_name()
    dumped, foreign = tmp_path / "dump", tmp_path / "foreign"
    dump(place.dump_request(name), place.server, Folder(dumped))
    before = tree(dumped)
    with pytest.raises(DatabaseError, match="never overwritten"):
        dump(place.dump_request(name), place.server, Folder(dumped))
    foreign.mkdir()
    (foreign / "letter.txt").write_text("mine")
    with pytest.raises(DatabaseError, match=r"letter\.txt is there"):
        dump(place.dump_request(name), place.server, Folder(foreign))
    assert tree(dumped) == before
    assert tree(foreign) == {"letter.txt": b"mine"}
    with pytest.raises(DatabaseError, match="exists, and a load never goes over one"):
        load(place.load_request(name), place.server, Folder(dumped))
    (place.files / target).mkdir()
    (place.files / target / "kept").write_text("mine")
    with pytest.raises(DatabaseError, match=r"the file store .* exists"):
        load(place.load_request(target), place.server, Folder(dumped))
    assert tree(place.files / target) == {"kept": b"mine"}
    assert target not in place.databases()


def test_a_dry_run_writes_nothing(place: Place, tmp_path: Path) -> None:
    name, target = place.make(), place.new_name()
    seen = plan(place.dump_request(name), place.server, Folder(tmp_path / "dump"))
    assert seen.files == 20
    assert not (tmp_path / "dump").exists()
    dump(place.dump_request(name), place.server, Folder(tmp_path / "dump"))
    check(place.load_request(target), place.server, Folder(tmp_path / "dump"))
    assert target not in place.databases()
    assert not (place.files / target).exists()


def spoil(dumped: Path, how: str, piece: str) -> None:
    path = dumped / f"{piece}-000001.tar.zst"
    data = bytearray(path.read_bytes())
    if how == "truncated":
        path.write_bytes(data[:-1])
    elif how == "cut to nothing":
        path.write_bytes(b"")
    elif how == "longer":
        path.write_bytes(bytes(data) + b"\0")
    elif how == "altered":
        data[len(data) // 2] ^= 1
        path.write_bytes(data)
    elif how == "missing":
        path.unlink()


@pytest.mark.parametrize("piece", ["database", "files"])
@pytest.mark.parametrize("how", ["truncated", "cut to nothing", "longer", "altered", "missing"])
def test_a_dump_that_is_not_whole_is_refused_and_leaves_nothing(
    place: Place, tmp_path: Path, piece: str, how: str
) -> None:
    name, target = place.make(), place.new_name()
    dump(place.dump_request(name), place.server, Folder(tmp_path / "dump"))
    spoil(tmp_path / "dump", how, piece)
    said = {"cut to nothing": "truncated", "longer": "altered"}.get(how, how)
    for attempt in (check, load):
        with pytest.raises(DatabaseError, match=f"{piece}-000001.tar.zst (is|was) {said}"):
            attempt(place.load_request(target), place.server, Folder(tmp_path / "dump"))
    assert_nothing_of(place, target)


def assert_nothing_of(place: Place, target: str) -> None:
    assert target not in place.databases()
    assert not [name for name in place.databases() if name.startswith("loading_")]
    assert not (place.files / target).exists()
    assert not list(place.files.glob(".loading*"))


def test_a_dump_without_a_manifest_or_with_an_altered_one_is_none(place: Place, tmp_path: Path) -> None:
    name, target, dumped = place.make(), place.new_name(), tmp_path / "dump"
    with pytest.raises(DatabaseError, match="there is no dump"):
        load(place.load_request(target), place.server, Folder(dumped))
    dump(place.dump_request(name), place.server, Folder(dumped))
    text = (dumped / "manifest.json").read_text()
    (dumped / "manifest.json").write_text(text.replace(": 3000", ": 3001"))
    with pytest.raises(DatabaseError, match="the manifest was altered"):
        load(place.load_request(target), place.server, Folder(dumped))


def test_rows_that_are_not_those_of_the_manifest_stop_a_load(place: Place, tmp_path: Path) -> None:
    name, target, dumped = place.make(), place.new_name(), tmp_path / "dump"
    manifest = dump(place.dump_request(name), place.server, Folder(dumped))
    other = manifest.model_copy(update={"rows": manifest.rows | {'public."Odd ""name"': 2999}})
    (dumped / "manifest.json").write_text(other.text())
    with pytest.raises(DatabaseError, match="3000, in the dump 2999 rows"):
        load(place.load_request(target), place.server, Folder(dumped))
    assert_nothing_of(place, target)


def test_an_archive_cannot_write_outside_its_target(tmp_path: Path) -> None:
    """Even one whose manifest was forged with it."""
    import zstandard

    data = zstandard.compress(archive.header("../escaped", 0) + bytes(1024))
    piece = dump_manifest.Piece(
        name="files-000001.tar.zst",
        bytes=len(data),
        unpacked=0,
        files=1,
        sha256=hashlib.sha256(data).hexdigest(),
    )
    (tmp_path / "packed").write_bytes(data)
    (tmp_path / "target").mkdir()
    with (tmp_path / "packed").open("rb") as stream, pytest.raises(DatabaseError, match="no file below"):
        archive.unpack(piece, stream, tmp_path / "target", stop=threading.Event())
    assert not (tmp_path / "escaped").exists()


KILLED = textwrap.dedent("""
    import json, os, signal, sys
    from pathlib import Path
    from ops.databases import dump, load
    from ops.databases.connection import Server
    from ops.databases.folder import Folder
    from ops.databases.progress import Progress

    values = json.loads(sys.stdin.read())

    class Killed(Progress):
        def step(self, name):
            print(name, flush=True)
            if name == values["step"]:
                os.kill(os.getpid(), values["signal"])

    server = Server(**values["server"])
    module = {"dump": dump, "load": load}[values["command"]]
    request = module.Request(**values["request"] | {"files": Path(values["request"]["files"])})
    getattr(module, values["command"])(request, server, Folder(Path(values["where"])), Killed())
""")


def killed_at(place: Place, command: str, request: dict[str, object], where: Path, step: str) -> list[str]:
    server = place.server
    values = {
        "command": command,
        "step": step,
        "signal": signal.SIGKILL,
        "where": str(where),
        "request": request | {"files": str(place.files), "postgres_bin": BINARIES},
        "server": {
            "host": server.host,
            "port": server.port,
            "user": server.user,
            "password": server.password,
        },
    }
    ended = subprocess.run(
        [sys.executable, "-c", KILLED], input=json.dumps(values), cwd=ROOT, capture_output=True, text=True
    )
    assert ended.returncode == -signal.SIGKILL, ended.stderr
    return ended.stdout.split("\n")


@pytest.mark.parametrize(
    "step", ["remove leftovers", "take snapshot", "dump database", "pack files", "write manifest", "done"]
)
def test_a_dump_that_was_killed_is_run_again(place: Place, tmp_path: Path, step: str) -> None:
    name, dumped = place.make(), tmp_path / "dump"
    killed_at(place, "dump", {"database": name}, dumped, step)
    if step == "done":
        with pytest.raises(DatabaseError, match="never overwritten"):
            dump(place.dump_request(name), place.server, Folder(dumped))
    else:
        with pytest.raises(DatabaseError, match="was not finished"):
            load(place.load_request(place.new_name()), place.server, Folder(dumped))
        dump(place.dump_request(name), place.server, Folder(dumped))
        assert len(list(dumped.iterdir())) == 3
    target = place.new_name()
    load(place.load_request(target), place.server, Folder(dumped))
    assert content(place, target) == content(place, name)


@pytest.mark.parametrize(
    "step",
    [
        "remove leftovers",
        "create database",
        "verify and unpack database",
        "restore database",
        "unpack files",
        "compare",
        "give new uuid",
        "name files",
        "name database",
        "finish",
        "done",
    ],
)
def test_a_load_that_was_killed_leaves_no_half_database_and_is_run_again(
    place: Place, tmp_path: Path, step: str
) -> None:
    name, target, dumped = place.make(), place.new_name(), tmp_path / "dump"
    dump(place.dump_request(name), place.server, Folder(dumped))
    killed_at(place, "load", {"database": target, "new_uuid": True}, dumped, step)
    if step in ("finish", "done"):
        assert content(place, target) == content(place, name)
        with pytest.raises(DatabaseError, match="exists, and a load never goes over one"):
            load(place.load_request(target), place.server, Folder(dumped))
    else:
        assert target not in place.databases()
        load(place.load_request(target), place.server, Folder(dumped))
    assert content(place, target) == content(place, name)
    assert tree(place.files / target) == tree(place.files / name)
    assert not list(place.files.glob(".loading*"))
    assert not [found for found in place.databases() if found.startswith("loading_")]


def test_two_operators_at_once_are_kept_apart(place: Place, tmp_path: Path) -> None:
    name, target, dumped = place.make(), place.new_name(), tmp_path / "dump"
    refused: list[str] = []

    def second_dump() -> None:
        with pytest.raises(DatabaseError) as error:
            dump(place.dump_request(name), place.server, Folder(dumped))
        refused.append(str(error.value))

    def second_load() -> None:
        with pytest.raises(DatabaseError) as error:
            load(place.load_request(target), place.server, Folder(dumped))
        refused.append(str(error.value))

    dump(place.dump_request(name), place.server, Folder(dumped), At("pack files", second_dump))
    load(place.load_request(target), place.server, Folder(dumped), At("compare", second_load))
    assert f"another dump writes to {dumped} at this moment (process {os.getpid()}" in refused[0]
    assert f"another load to '{target}' runs at this moment" in refused[1]
    assert content(place, target) == content(place, name)


def test_what_fails_in_the_middle_leaves_nothing_behind(place: Place, tmp_path: Path) -> None:
    name, target, dumped = place.make(), place.new_name(), tmp_path / "dump"

    def fail() -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        dump(place.dump_request(name), place.server, Folder(dumped), At("pack files", fail))
    assert list(dumped.iterdir()) == []
    dump(place.dump_request(name), place.server, Folder(dumped))
    for step in ("restore database", "unpack files", "compare", "name files", "name database"):
        with pytest.raises(KeyboardInterrupt):
            load(place.load_request(target), place.server, Folder(dumped), At(step, fail))
        assert_nothing_of(place, target)


def test_a_full_disk_of_the_file_store_is_one_clear_line(
    place: Place, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The error is put in place of the write; a real small disk is in another test."""
    name, target, dumped = place.make(), place.new_name(), tmp_path / "dump"
    dump(place.dump_request(name), place.server, Folder(dumped))
    written = os.write

    def write(descriptor: int, data: bytes) -> int:
        if len(data) == 3004:
            raise OSError(errno.ENOSPC, "No space left on device")
        return written(descriptor, data)

    monkeypatch.setattr("ops.databases.archive.os.write", write)
    with pytest.raises(DatabaseError, match=r"^the disk is full: .* takes no more$"):
        load(place.load_request(target), place.server, Folder(dumped))
    monkeypatch.undo()
    assert_nothing_of(place, target)


@needs_root
@pytest.mark.parametrize("checked", [True, False])
def test_a_small_disk_of_the_file_store_is_noticed_before_or_when_it_is_full(
    place: Place, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, checked: bool
) -> None:
    name, target, dumped = place.make(), place.new_name(), tmp_path / "dump"
    dump(place.dump_request(name), place.server, Folder(dumped))
    small = tmp_path / "small"
    small.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=100k", "tmpfs", str(small)], check=True)
    try:
        if not checked:
            monkeypatch.setattr(loading, "_refuse_small_disk", lambda *_: None)
        said = "too small: .* 0 MB left" if checked else "the disk is full"
        with pytest.raises(DatabaseError, match=said):
            load(place.load_request(target, files=small), place.server, Folder(dumped))
        assert list(small.iterdir()) == []
        if not checked:
            with pytest.raises(DatabaseError, match="the disk is full"):
                dump(place.dump_request(name), place.server, Folder(small / "dump"))
            assert list((small / "dump").iterdir()) == []
    finally:
        subprocess.run(["umount", str(small)], check=True)
    assert_nothing_of(place, target)


@needs_root
def test_a_full_disk_of_the_server_is_one_clear_line(place: Place, tmp_path: Path) -> None:
    """A tablespace on a small disk stands for the server's; the dump says that the table belongs there."""
    name, target, dumped = place.make(), place.new_name(), tmp_path / "dump"
    small = place.cluster.directory / "small"
    small.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", str(small)], check=True)
    try:
        inside = small / "tablespace"
        inside.mkdir(mode=0o700)
        os.chown(inside, place.cluster.data.stat().st_uid, place.cluster.data.stat().st_gid)
        with place.cluster.connect() as superuser:
            superuser.execute(f"create tablespace small location '{inside}'")
            superuser.execute("grant create on tablespace small to public")
        try:
            place.sql(name, 'alter table "Odd ""name" set tablespace small')
            dump(place.dump_request(name), place.server, Folder(dumped))
            with contextlib.suppress(OSError), (small / "filler").open("wb", buffering=0) as filler:
                while True:
                    filler.write(bytes(4096))
            with pytest.raises(DatabaseError, match="the disk of the database server is full"):
                load(place.load_request(target), place.server, Folder(dumped))
            assert_nothing_of(place, target)
        finally:
            with place.cluster.connect() as superuser:
                superuser.execute(f"drop database {name} with (force)")
                superuser.execute("drop tablespace small")
    finally:
        subprocess.run(["umount", str(small)], check=True)


def test_a_hundred_thousand_attachments_are_few_archives(place: Place, tmp_path: Path) -> None:
    memory = Path("/dev/shm")
    with tempfile.TemporaryDirectory(dir=memory if os.access(memory, os.W_OK) else tmp_path) as files:
        here = replace(place, files=Path(files))
        name, target = here.make(attachments=100_000, sizes=(40,)), here.new_name()
        manifest = dump(here.dump_request(name), here.server, Folder(tmp_path / "dump"))
        assert manifest.file_count == 100_000
        assert len(manifest.pieces) < 15
        load(here.load_request(target), here.server, Folder(tmp_path / "dump"))
        assert here.sql(target, "select count(*) from ir_attachment") == [(100_000,)]
        assert sum(1 for path in (here.files / target).rglob("*") if path.is_file()) == 100_000


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"database": "x" * 64}, "1 to 63 bytes"),
        ({"database": "ä" * 32}, "1 to 63 bytes"),
        ({"database": ""}, "1 to 63 bytes"),
        ({"database": "a/b"}, "no folder of its name"),
        ({"database": ".."}, "no folder of its name"),
        ({"files": Path("/nowhere")}, "is the file store mounted"),
        ({"jobs": 0}, "--jobs"),
    ],
)
def test_what_cannot_be_is_refused_before_anything_is_read(
    place: Place, tmp_path: Path, changed: dict[str, object], said: str
) -> None:
    with pytest.raises(DatabaseError, match=said):
        load(replace(place.load_request("x"), **changed), place.server, Folder(tmp_path))  # type: ignore[arg-type]


def test_a_wrong_file_store_is_noticed(place: Place, tmp_path: Path) -> None:
    name = place.make()
    (tmp_path / "other").mkdir()
    with pytest.raises(DatabaseError, match="the database has 20 stored files, and there is no file store"):
        dump(place.dump_request(name, files=tmp_path / "other"), place.server, Folder(tmp_path / "dump"))
    assert not (tmp_path / "dump" / CLAIM).exists()


def test_counting_leaves_out_what_is_not_there(place: Place) -> None:
    name = place.make()
    assert facts.count(place.server, name, ["public.nothing", "public.ir_attachment"], None, 2) == {
        "public.ir_attachment": 20
    }


@pytest.mark.parametrize(
    ("shared_buffers", "jobs", "memory"),
    [(128 << 20, 2, "128MB"), (1 << 30, 2, "256MB"), (16 << 30, 2, "1024MB"), (2 << 30, 8, "128MB")],
)
def test_indexes_are_built_in_memory_that_the_server_has(shared_buffers: int, jobs: int, memory: str) -> None:
    assert loading.session_settings(shared_buffers, jobs)["maintenance_work_mem"] == memory
