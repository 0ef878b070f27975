"""Which settings a return to a checkpoint changes: where the data come from, and what the servers run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import ValidationError

from core.checkpoint import Code
from core.continuity import SNAPSHOT_PREFIX
from core.origins import MARK
from core.settings_model import Database, DataModule, Package

Changes = dict[str, Any]
"""Dotted path below the namespace -> new value; None takes the setting out."""


def data_changes(snapshot: str, mark: str, file_system_id: str, path: str) -> Changes:
    """Return the settings that make a database server from a snapshot and go on with another file system.

    `mark` tells this return from an earlier one to the same snapshot.
    """
    return {
        "database.restoreFrom": f"{SNAPSHOT_PREFIX}{snapshot}{MARK}{mark}",
        "fileStore.restored": {"fileSystemId": file_system_id, "path": path},
    }


def code_changes(code: Code, current: Mapping[str, Any]) -> Changes:
    """Return the settings that have the servers run what they ran, as far as the present ones differ.

    `current`: the settings file, by key without namespace. Data of an older release below newer code, or the
    other way round, is no return.
    """
    changes: Changes = {}
    if str(current.get("release")) != code.release:
        changes["release"] = code.release
    if _package(current.get("package")) != _package(code.package):
        changes["package"] = dict(code.package)
    if (current.get("serverImage") or None) != code.server_image:
        changes["serverImage"] = code.server_image
    wanted = [dict(module) for module in code.data_modules]
    if _modules(current.get("dataModules")) != _modules(wanted):
        changes["dataModules"] = wanted or None
    # A permission to upgrade is one to another release than this, which the settings would refuse.
    if str(current.get("allowUpgradeTo") or code.release) != code.release:
        changes |= {"allowUpgradeTo": None, "upgradeCheckpoint": None}
    database = current.get("database")
    engine = (database if isinstance(database, Mapping) else {}).get("engineVersion")
    engine = str(engine or Database.model_fields["engine_version"].default)
    if engine.partition(".")[0] != code.engine_version.partition(".")[0]:
        changes["database.engineVersion"] = code.engine_version
    return changes


def _package(value: object) -> object:
    try:
        return Package.model_validate(value or {})
    except ValidationError:
        return value


def _modules(value: object) -> object:
    if not isinstance(value, Sequence) or isinstance(value, str):
        return []
    try:
        return sorted(
            (module.name, module.version, module.sha256) for module in map(DataModule.model_validate, value)
        )
    except ValidationError:
        return list(value)


def storage(asked: object, least: int) -> str | None:
    """Return why a server of `asked` GiB cannot be made from a snapshot of `least` GiB; None where it can."""
    if not isinstance(asked, int | float) or isinstance(asked, bool) or asked >= least:
        return None
    return (
        f"openerp:database.storageGb is {asked:g} GiB, and the database server of the checkpoint had {least} "
        f"GiB: RDS makes no smaller one of it. Write `storageGb: {least}` or more"
    )
