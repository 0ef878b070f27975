"""Copies of file systems, without an emulator."""

from __future__ import annotations

import errno
import os
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from local.emulator.files import ENDED, AbandonedError, Files, Tree
from tests.local.emulator.conftest import wait_until

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="gives files away")


def copied(source: Path, target: Path, given_up: Callable[[], bool] = lambda: False) -> int:
    tree = Tree(given_up)
    tree.copy(source, target)
    return tree.size


def listed(root: Path) -> dict[str, tuple[int, int, int, int, bytes]]:
    """All that is below a folder: mode, owner, group, time and content of each."""
    found = {}
    for path in [root, *sorted(root.rglob("*"))]:
        status = path.lstat()
        content = b""
        if path.is_symlink():
            content = os.fsencode(path.readlink())
        elif path.is_file():
            content = path.read_bytes()
        times = 0 if path.is_symlink() else status.st_mtime_ns
        name = str(path.relative_to(root))
        found[name] = (status.st_mode, status.st_uid, status.st_gid, times, content)
    return found


@needs_root
def test_a_copy_is_the_same_in_every_respect_and_shares_no_file(tmp_path: Path) -> None:
    source = tmp_path / "source"
    deep = source / "odoo/filestore/db/ab"
    deep.mkdir(parents=True)
    (deep / "file").write_bytes(b"x" * 100_000)
    (deep / "empty").touch()
    (deep / "file").chmod(0o640)
    os.chown(deep / "file", 10001, 10002)
    (source / "odoo").chmod(0o2750)
    os.chown(source / "odoo", 10001, 10001, follow_symlinks=False)
    (source / "link").symlink_to("/somewhere/else")
    (source / "broken name \udcff").write_bytes(b"12345")
    os.utime(deep, ns=(1, 2_000_000_001))
    os.mkfifo(source / "pipe")
    before = listed(source)
    assert copied(source, tmp_path / "copy") == 100_005
    del before["pipe"]
    assert listed(tmp_path / "copy") == before
    with (deep / "file").open("r+b") as file:
        file.write(b"changed in place")
    assert (tmp_path / "copy/odoo/filestore/db/ab/file").read_bytes() == b"x" * 100_000


def test_a_copy_to_a_disk_of_another_kind_goes_through_this_process(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> int:
        raise OSError(errno.EXDEV, "Invalid cross-device link")

    monkeypatch.setattr(os, "copy_file_range", refuse)
    content = os.urandom(3_000_001)
    (tmp_path / "source").mkdir()
    (tmp_path / "source/file").write_bytes(content)
    assert copied(tmp_path / "source", tmp_path / "copy") == len(content)
    assert (tmp_path / "copy/file").read_bytes() == content


def test_what_is_not_there_is_copied_as_an_empty_folder(tmp_path: Path) -> None:
    assert copied(tmp_path / "nothing", tmp_path / "copy") == 0
    assert list((tmp_path / "copy").iterdir()) == []


def test_files_and_folders_that_come_and_go_do_not_disturb_a_copy(tmp_path: Path) -> None:
    source, stop = tmp_path / "source", threading.Event()
    for folder in range(40):
        place = source / f"{folder:02x}"
        place.mkdir(parents=True)
        for number in range(25):
            (place / f"kept-{number}").write_bytes(b"kept")

    def disturb() -> None:
        while not stop.is_set():
            for folder in range(40):
                place = source / f"{folder:02x}"
                (place / "fresh").write_bytes(b"fresh")
                (place / "fresh").rename(place / "renamed")
                (place / "renamed").unlink()
                (place / "sub").mkdir()
                (place / "sub" / "file").write_bytes(b"")
                (place / "sub" / "file").unlink()
                (place / "sub").rmdir()

    disturbing = threading.Thread(target=disturb)
    disturbing.start()
    try:
        for attempt in range(10):
            assert copied(source, tmp_path / f"copy-{attempt}") >= 40 * 25 * 4
            kept = list((tmp_path / f"copy-{attempt}").glob("*/kept-*"))
            assert len(kept) == 40 * 25
            assert all(path.read_bytes() == b"kept" for path in kept)
    finally:
        stop.set()
        disturbing.join()


def test_a_copy_is_given_up_when_the_emulator_ends(tmp_path: Path) -> None:
    (tmp_path / "source").mkdir()
    with pytest.raises(AbandonedError):
        copied(tmp_path / "source", tmp_path / "copy", lambda: True)


@pytest.fixture
def home(tmp_path: Path) -> Path:
    place = tmp_path / "nodes/file-systems/fs-1"
    place.mkdir(parents=True)
    (place / "a").write_bytes(b"one")
    return tmp_path


@pytest.fixture
def files(home: Path) -> Iterator[Files]:
    made = Files(home)
    made.attach()
    yield made
    made.close()


def ended(files: Files, job: str) -> tuple[int, str | None]:
    wait_until(lambda: files.outcome(job) is not None)
    found = files.outcome(job)
    assert found is not None and found.finished <= time.time()
    return found.size, found.error


def test_a_file_system_goes_into_a_recovery_point_and_out_of_it(files: Files, home: Path) -> None:
    files.back_up("J1", "fs-1", "p1")
    assert ended(files, "J1") == (3, None)
    (home / "nodes/file-systems/fs-1/a").write_bytes(b"two")
    files.copy("J2", "p1", "p2")
    files.restore("J3", "p2", "fs-2", "restored")
    assert ended(files, "J3") == (3, None)
    assert (home / "nodes/file-systems/fs-2/restored/a").read_bytes() == b"one"
    assert (home / "nodes/file-systems/fs-2").stat().st_mode & 0o7777 == 0o755
    assert files.points.stat().st_mode & 0o7777 == 0o700
    files.restore("J4", "p1", "fs-1", "restored")
    assert ended(files, "J4") == (3, None)
    assert (home / "nodes/file-systems/fs-1/restored/a").read_bytes() == b"one"
    files.remove_point("p1")
    files.remove_file_system("fs-1")
    wait_until(lambda: [path.name for path in files.points.iterdir()] == ["p2"])
    wait_until(lambda: [path.name for path in files.file_systems.iterdir()] == ["fs-2"])


def test_a_copy_that_cannot_be_made_leaves_nothing_and_says_why(files: Files, home: Path) -> None:
    (home / "nodes/file-systems/fs-2").write_text("no folder")
    files.back_up("J1", "fs-1", "p1")
    files.restore("J2", "p1", "fs-2", "restored")
    size, error = ended(files, "J2")
    assert size == 0 and "Not a directory" in str(error)
    assert sorted(path.name for path in files.file_systems.iterdir()) == ["fs-1", "fs-2"]


def test_nothing_touches_the_disk_while_a_history_is_replayed(tmp_path: Path) -> None:
    made = Files(tmp_path)
    made.back_up("J1", "fs-1", "p1")
    made.restore("J2", "p1", "fs-2", "restored")
    made.remove_point("p1")
    made.remove_file_system("fs-1")
    assert list(tmp_path.iterdir()) == []


def test_the_next_start_knows_how_each_copy_ended_and_sweeps_what_a_kill_left(home: Path) -> None:
    first = Files(home)
    first.attach()
    first.back_up("J1", "fs-1", "p1")
    assert ended(first, "J1") == (3, None)
    before = first.outcome("J1")
    first.close()
    # As if it had been killed: between a rename and its record, in the middle of a copy, of a removal, and of
    # the record itself.
    (home / "nodes/recovery-points/p2").mkdir()
    (home / "nodes/recovery-points/.partial.J3/deep").mkdir(parents=True)
    (home / "nodes/file-systems/.partial.J4").mkdir()
    (home / "nodes/file-systems/.deleted.fs-9").mkdir()
    (home / "nodes/recovery-points/unknown").mkdir()
    for name in ("fs-7", "fs-8"):
        (home / "nodes/file-systems" / name).mkdir()
    with (home / "emulator/copies").open("a") as record:
        record.write('{"job": "J2", "si')

    again = Files(home)
    assert again.outcome("J1") == before
    again.back_up("J1", "fs-1", "p1")
    again.back_up("J2", "fs-1", "p2")
    again.back_up("J3", "fs-1", "p3")
    again.remove_file_system("fs-7")
    again.attach()
    assert again.outcome("J1") == before
    assert [ended(again, job) for job in ("J2", "J3")] == [(0, ENDED)] * 2
    wait_until(lambda: {path.name for path in again.points.iterdir()} == {"p1", "unknown"})
    wait_until(lambda: {path.name for path in again.file_systems.iterdir()} == {"fs-1", "fs-8"})
    again.back_up("J5", "fs-1", "p5")
    assert ended(again, "J5") == (3, None)
    again.close()

    third = Files(home)
    assert [third.outcome(job) for job in ("J1", "J2", "J5")] == [
        again.outcome(job) for job in ("J1", "J2", "J5")
    ]
