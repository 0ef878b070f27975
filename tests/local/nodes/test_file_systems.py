"""What an access point leads to on this machine."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from local.nodes.file_systems import MountError, provide
from local.nodes.model import AccessPoint, CreationInfo

OURS = CreationInfo(uid=os.getuid(), gid=os.getgid(), permissions=0o750)
needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="gives folders to others")


def point(path: str, creation: CreationInfo | None = OURS) -> AccessPoint:
    return AccessPoint(id="fsap-1", file_system_id="fs-1", path=path, creation=creation)


@needs_root
def test_the_first_mount_makes_the_root_directory_as_the_creation_info_says(tmp_path: Path) -> None:
    wanted = CreationInfo(uid=10001, gid=10002, permissions=0o750)
    store = provide(tmp_path, point("/a/b", wanted))
    assert store == tmp_path / "fs-1/a/b"
    for made in (store, store.parent):
        found = made.stat()
        assert (found.st_uid, found.st_gid, found.st_mode & 0o7777) == (10001, 10002, 0o750)
    root = (tmp_path / "fs-1").stat()
    assert (root.st_uid, root.st_mode & 0o7777) == (0, 0o755)


@needs_root
def test_a_root_directory_that_is_there_is_left_as_it_is(tmp_path: Path) -> None:
    place = tmp_path / "fs-1" / "restored" / "odoo"
    place.mkdir(parents=True)
    place.chmod(0o700)
    os.chown(place, 7, 8)
    for creation in (OURS, None):
        assert provide(tmp_path, point("/restored/odoo", creation)) == place
        found = place.stat()
        assert (found.st_uid, found.st_gid, found.st_mode & 0o7777) == (7, 8, 0o700)


def test_an_access_point_of_the_whole_file_system_leads_to_its_root(tmp_path: Path) -> None:
    assert provide(tmp_path, point("/", None)) == tmp_path / "fs-1"


def test_a_mount_fails_where_there_is_no_directory_and_no_creation_info(tmp_path: Path) -> None:
    with pytest.raises(MountError, match="fs-1 has no directory /odoo, and the access point has no creation"):
        provide(tmp_path, point("/odoo", None))
    assert list((tmp_path / "fs-1").iterdir()) == []


def test_nothing_in_a_file_system_leads_out_of_it(tmp_path: Path) -> None:
    root = tmp_path / "fs-1"
    root.mkdir()
    (tmp_path / "outside").mkdir()
    (root / "link").symlink_to(tmp_path / "outside")
    (root / "file").touch()
    for path in ("/link", "/link/deeper", "/../outside", "/file"):
        with pytest.raises(MountError, match="is no directory"):
            provide(tmp_path, point(path))
    assert list((tmp_path / "outside").iterdir()) == []


@needs_root
@pytest.mark.parametrize("killed", [False, True])
def test_what_an_earlier_release_mounted_is_found_below_the_access_point(
    tmp_path: Path, *, killed: bool
) -> None:
    root, wanted = tmp_path / "fs-1", CreationInfo(uid=10001, gid=10001, permissions=0o750)
    (root / "filestore").mkdir(parents=True)
    root.chmod(0o750)
    os.chown(root, 10001, 10001)
    if killed:
        root.rename(tmp_path / ".fs-1.earlier")
    for _ in range(2):
        store = provide(tmp_path, point("/odoo", wanted))
        assert [path.name for path in store.iterdir()] == ["filestore"]
        assert [path.name for path in root.iterdir()] == ["odoo"]
        assert (store.stat().st_uid, root.stat().st_uid) == (10001, 0)
    assert [path.name for path in tmp_path.iterdir()] == ["fs-1"]
