"""What EFS holds, on this machine: a folder for each file system, which is its root, and in it the root
directories of its access points. An access point makes its own at the first mount, if it says how.
"""

from __future__ import annotations

import os
from pathlib import Path

from local.nodes import directory
from local.nodes.model import AccessPoint

ROOT_PERMISSIONS = 0o755
"""Of a file system's root, which is root's, as EFS makes it."""


class MountError(Exception):
    """An access point cannot be mounted; the message says why."""


def folder(home: Path) -> Path:
    """Where the file systems of a home are, each under its id."""
    return directory(home) / "file-systems"


def provide(file_systems: Path, access: AccessPoint) -> Path:
    """The root directory of an access point, made as its creation info says if it is not there. Raises
    MountError."""
    root = file_systems / access.file_system_id
    _from_earlier(root, access)
    if not root.exists():
        root.mkdir(parents=True)
        root.chmod(ROOT_PERMISSIONS)
    place = root
    for name in access.path.strip("/").split("/"):
        place = place / name if name else place
        if place.is_symlink() or (place.exists() and not place.is_dir()) or name in (".", ".."):
            raise MountError(f"{access.id} cannot be mounted: {access.path} of {root.name} is no directory")
        if not place.exists():
            _make(place, access)
    return place


def _make(place: Path, access: AccessPoint) -> None:
    made = access.creation
    if made is None:
        raise MountError(
            f"{access.id} cannot be mounted: {access.file_system_id} has no directory {access.path}, and the "
            "access point has no creation info to make it by"
        )
    place.mkdir(mode=0o700)
    os.chown(place, made.uid, made.gid)
    place.chmod(made.permissions)


def _from_earlier(root: Path, access: AccessPoint) -> None:
    """An earlier release mounted a file system's folder itself, which it gave to the servers' user: puts what
    is in it where the access point has it. Goes on where a kill left it."""
    aside = root.with_name(f".{root.name}.earlier")
    first = access.path.strip("/").partition("/")[0]
    if access.creation is None or not first:
        return
    if not aside.exists() and root.exists() and root.stat().st_uid == access.creation.uid != os.geteuid():
        root.rename(aside)
    if aside.exists():
        root.mkdir(exist_ok=True)
        root.chmod(ROOT_PERMISSIONS)
        aside.rename(root / first)
