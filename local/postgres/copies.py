"""Copies of the directory of a stopped cluster, all or nothing."""

from __future__ import annotations

import os
import secrets
import shutil
from pathlib import Path

NOT_COPIED = ("process.json", "log", "server.*", "archive", "restore")
"""What belongs to a running server, or to its history and not to its data."""


def remove(directory: Path) -> None:
    """Deletes a directory, if it is there."""
    shutil.rmtree(directory, ignore_errors=True)


def beside(target: Path) -> Path:
    """Where something is made that is to be renamed to ``target``."""
    return target.with_name(f".{target.name}.{secrets.token_hex(4)}")


def copy(source: Path, target: Path) -> None:
    """Copies the directory of a stopped cluster."""
    _copy(source, target, linked=False)


def link(source: Path, target: Path) -> None:
    """As ``copy``, at no cost: the files are those of ``source``, of which nobody may change one."""
    _copy(source, target, linked=True)


def link_or_copy(source: str, target: str) -> None:
    try:
        os.link(source, target)
    except OSError:
        # On another disk, or where the system forbids it.
        shutil.copy2(source, target)


def _copy(source: Path, target: Path, *, linked: bool) -> None:
    partial = beside(target)
    target.parent.mkdir(parents=True, exist_ok=True)
    try:
        shutil.copytree(
            source,
            partial,
            symlinks=True,
            ignore=shutil.ignore_patterns(*NOT_COPIED),
            copy_function=link_or_copy if linked else shutil.copy2,
        )
        for stale in ("postmaster.pid", "local.conf"):
            (partial / "data" / stale).unlink(missing_ok=True)
        partial.rename(target)
    finally:
        remove(partial)
