"""What a training system may be made from, and what it says of itself."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any, Final

from core import release as releases
from core.checkpoint import Manifest

PREFIX: Final = "refreshes/"
"""Where reports of refreshes are in the operations bucket: `<time>.json`, in UTC."""
NEWEST: Final = "newest"
OWN_DATABASES: Final = frozenset({"postgres", "rdsadmin"})
"""Databases of the server itself."""


def why_not_between(source: str, source_environment: str, target: str, target_environment: str) -> str | None:
    """Return why data of `source` must not go to `target`; None where it may.

    Whatever else is said: nothing is ever put in the place of production, and only servers of a training
    system are fenced and refuse what was not neutralised.
    """
    if target_environment == "production":
        return (
            f"{target} is production: a training refresh would put a neutralised copy in its place. "
            "Production is returned to a checkpoint by `ops restore`"
        )
    if target_environment != "training":
        return (
            f"{target} is for {target_environment}, and only the servers of a training system are fenced: "
            "name a stack with `openerp:environment: training`"
        )
    if source == target:
        return f"{target} cannot be made from itself: to return it to a checkpoint there is `ops restore`"
    if source_environment == "training":
        return (
            f"{source} is for training as {target} is: its databases would be served before they are "
            "checked. Name the production that it came from"
        )
    return None


def chosen(
    checkpoints: Mapping[str, datetime], proven: Collection[str], wanted: str | None
) -> tuple[str | None, str]:
    """Return the label to refresh from, and what a person should know of the choice.

    `checkpoints`: when each was taken. `wanted`: a label, `NEWEST`, or None for the newest that a drill has
    proven, else the newest. The label is None where there is none to choose.
    """
    if wanted is not None and wanted != NEWEST:
        return wanted, ""
    known = [label for label in checkpoints if label in proven] if wanted is None else []
    newest = max(known or checkpoints, key=lambda label: checkpoints[label], default=None)
    if wanted is None and newest is not None and not known:
        return newest, "no drill has proven a checkpoint yet: this is the newest"
    return newest, ""


def why_not_from(
    manifest: Manifest,
    *,
    release: str,
    engine_version: str,
    databases: Sequence[str],
    data_modules: Iterable[Mapping[str, Any]],
) -> str | None:
    """Return why a checkpoint does not fit a system with this release, these databases and data modules."""
    wanted, had = releases.parse(release), releases.parse(manifest.release)
    if wanted.a != had.a or wanted < had:
        return (
            f"checkpoint {manifest.label} is of release {manifest.release}, and the system runs {release}: "
            f'write `openerp:release: "{manifest.release}"` first'
        )
    if engine_version.partition(".")[0] != manifest.snapshot.engine_version.partition(".")[0]:
        return (
            f"checkpoint {manifest.label} is of PostgreSQL {manifest.snapshot.engine_version}, and the "
            f"system has {engine_version}: RDS restores to the same major version alone"
        )
    there = {database.name: database for database in manifest.databases}
    for name in databases:
        if name not in there:
            return (
                f"checkpoint {manifest.label} has no database {name}; it has {', '.join(sorted(there))}: "
                "give the databases of both stacks the same names (`openerp:database`, `openerp:tenants`)"
            )
    if databases and there[databases[0]].release is None:
        return f"checkpoint {manifest.label} has no Odoo in its working database {databases[0]}"
    hashes = {module["name"]: module["sha256"] for module in data_modules}
    for module in manifest.code.data_modules:
        if hashes.get(module["name"]) != module["sha256"]:
            return (
                f"{manifest.stack} has the data module {module['name']} with the hash {module['sha256']}: "
                "its data needs the same one here, in `openerp:dataModules`"
            )
    return None


def banner(stack: str, source: str, label: str, taken: datetime) -> str:
    """Return what every page says."""
    of = f"a copy of {source} of {taken:%Y-%m-%d} (checkpoint {label})"
    return f"TRAINING: {stack}, {of}. Nothing here is real."


def strangers(there: Iterable[str], own: Iterable[str]) -> list[str]:
    """Return the databases that came along and that the system does not have."""
    return sorted(set(there) - set(own) - OWN_DATABASES)
