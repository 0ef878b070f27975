"""What the data of a stack was made from, and whether this run makes it anew.

A restore is a change of settings: `database.restoreFrom` names another snapshot than the one that the
server was made from, `fileStore.restored` another file system. What was done is remembered in the stack's
outputs, so that taking a setting out again changes nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from core import names
from core.continuity import RESTORE_KEY, SNAPSHOT_PREFIX, Continuity, restore_snapshot
from core.problems import Problem, SettingsError
from core.settings_model import ConfiguredSettings

MARK: Final = "@"
"""What is behind it in `database.restoreFrom` tells one restore of a snapshot from an earlier one."""
FILES_KEY: Final = "openerp:fileStore.restored"


@dataclass(frozen=True, kw_only=True)
class DatabaseOrigin:
    """Where the database server comes from."""

    snapshot: str | None
    """RDS snapshot that it is made from; None for one that began empty."""
    mark: str | None
    remembered: bool
    """Nothing new is asked for: what the server was made from is to replace nothing, whatever it is."""
    replaces: bool
    """This run replaces a server that is there by one from the snapshot."""
    databases_brought_by: str | None
    """Snapshot that brought databases and roles which this stack's state does not know."""


@dataclass(frozen=True, kw_only=True)
class FilesOrigin:
    """The file system that the stack goes on with in place of its own."""

    file_system_id: str
    path: str


def database_origin(
    settings: ConfiguredSettings,
    before: Continuity,
    outputs_of: Callable[[str], Mapping[str, Any]],
    *,
    stack: str,
) -> DatabaseOrigin:
    """Decide from the settings and the last run; `outputs_of` as for `core.continuity.restore_snapshot`.

    Raises:
        SettingsError: no such checkpoint; or another stack's snapshot for a protected stack whose state knows
            databases, which Pulumi would refuse to forget.
    """
    source, _, mark = (settings.database.restore_from or "").partition(MARK)
    wanted = restore_snapshot(source or None, before, outputs_of, stack=stack)
    if wanted is None or (wanted == before.restored_from and mark in ("", before.restore_mark)):
        return DatabaseOrigin(
            snapshot=before.restored_from,
            mark=before.restore_mark,
            remembered=True,
            replaces=False,
            databases_brought_by=before.databases_brought_by,
        )
    known = before.manages_databases and _is_own(wanted, source, before, stack)
    if before.manages_databases and not known and settings.protect:
        problem = Problem(
            RESTORE_KEY,
            f"names a snapshot of another stack ({wanted}), and this one is protected and has databases of "
            "its own, which Pulumi would have to forget",
            "Restore one of this stack's own, or bring up a new stack from it",
        )
        raise SettingsError([problem], stack=stack)
    return DatabaseOrigin(
        snapshot=wanted,
        mark=mark or None,
        remembered=False,
        # A version of this program that remembered nothing has made the server from what the settings say.
        replaces=before.remembers and before.instance_identifier is not None,
        databases_brought_by=None if known else wanted,
    )


def _is_own(snapshot: str, source: str, before: Continuity, stack: str) -> bool:
    """Say whether a snapshot was taken of this stack: by its name, where the settings do not say it."""
    if not source.startswith(SNAPSHOT_PREFIX):
        return source.rpartition("/")[0] in ("", stack)
    return snapshot.startswith((f"{names.resource_prefix(stack)}-", f"rds:{before.instance_identifier}-"))


def databases_left_out_because(settings: ConfiguredSettings, origin: DatabaseOrigin) -> str | None:
    """Return why logical databases, roles and grants are not made; None when they are."""
    if settings.database.admin_access.mode == "none":
        return "openerp:database.adminAccess.mode is `none`"
    if origin.databases_brought_by is None:
        return None
    if origin.remembered:
        return f"the snapshot that the server was made from ({origin.databases_brought_by}) brought its own"
    return f"the snapshot of {RESTORE_KEY} ({settings.database.restore_from}) brings its own"


def files_origin(settings: ConfiguredSettings, before: Continuity, *, stack: str) -> FilesOrigin | None:
    """Return the file system to go on with; None for the stack's own.

    Raises:
        SettingsError: the last run was one of a version that deletes the former file system.
    """
    wanted = settings.file_store.restored
    if wanted is None:
        remembered = before.file_store_restored
        return FilesOrigin(**remembered) if remembered else None
    if before.file_system_id is not None and not before.remembers:
        problem = Problem(
            FILES_KEY,
            "is set, and the last update was made by a version of this program that would delete the former "
            "file system now",
            "Run `pulumi up` once without it: from then on a file system is never deleted",
        )
        raise SettingsError([problem], stack=stack)
    return FilesOrigin(file_system_id=wanted.file_system_id, path=wanted.path)
