"""Taking a checkpoint: the database server first, then the file store, the manifest last.

An attachment that is made in between is one file more in the recovery point, never one less. The label is
claimed by a document that only one can create, and everything that is made is named after what that says:
whoever goes on after a kill finds it, and makes nothing twice.
"""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Final

from core import checkpoint
from core import names as constants
from core import outputs as names
from core.checkpoint import Code, Database, Manifest, ManifestError, RecoveryPoint, Snapshot
from core.dump_manifest import some
from ops import run as runs
from ops.checkpoints import look, manifests, parts
from ops.checkpoints.look import Access
from ops.errors import OpsError
from ops.run import Run
from ops.site import Site

KEEP_DAYS: Final = 365
"""How long the files of a checkpoint are kept, within what the vault's lock permits; snapshots stay."""
KEEP_DAYS_BEFORE: Final = 35
"""How long those of a checkpoint are kept that a command takes before it changes something."""


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What a checkpoint will be."""

    label: str
    stack: str
    continues: bool
    databases: tuple[str, ...]
    not_there: tuple[str, ...]
    """Databases of the stack that are not on the server."""
    keep_days: int
    file_store: str | None
    """Its id; None where it cannot be looked at, and so is backed up without being counted."""


@dataclass
class Taken:
    """A checkpoint that is complete."""

    manifest: Manifest
    continued: bool = False
    """Whether it was begun by a run before this one."""
    warnings: list[str] = field(default_factory=list)


def check_label(label: str) -> str:
    """Return a label as it may be given. Raises OpsError where it is none."""
    try:
        return checkpoint.check_label(label)
    except ManifestError as error:
        raise OpsError(str(error)) from None


def plan(site: Site, label: str, *, keep_days: int = KEEP_DAYS) -> Plan:
    """Look at everything that a checkpoint needs. Raises OpsError where it cannot be taken."""
    check_label(label)
    begun = site.store.read(checkpoint.claim_key(label))
    if begun is None:
        refuse_taken(site, label)
    code_of(site)
    access = look.access(site)
    here, gone = look.there(access.databases)
    return Plan(
        label=label,
        stack=site.name,
        continues=begun is not None,
        databases=tuple(here),
        not_there=tuple(gone),
        keep_days=parts.kept_days(site, keep_days),
        file_store=access.files.file_system_id if access.files else None,
    )


def refuse_taken(site: Site, label: str) -> None:
    """Raise OpsError where the label has a checkpoint."""
    found = manifests.find(site.store, label)
    if found is not None:
        raise OpsError(
            f"{site.name} has a checkpoint {label}, of {found.taken:%Y-%m-%d %H:%M} UTC by {found.by}: a "
            "label is never used twice; choose another"
        )


def take(
    site: Site,
    label: str,
    *,
    note: str = "",
    keep_days: int = KEEP_DAYS,
    read_files: bool = True,
    code: Code | None = None,
) -> Taken:
    """Take the checkpoint `label`, or go on with it; the caller holds the stack's mark (`ops.lock`).

    `read_files`: read every stored file, to know which are damaged already. `code`: what a return is to run,
    where that is not what the servers run now. Raises OpsError; the same call again goes on.
    """
    check_label(label)
    code = code or code_of(site)
    begun = site.store.read(checkpoint.claim_key(label))
    if begun is None:
        refuse_taken(site, label)
    run, new = Run.claim(site.store, checkpoint.claim_key(label), _claim(site, label, note, keep_days))
    complete = manifests.find(site.store, label)
    if complete is not None:
        run.forget()
        return Taken(manifest=complete, continued=True)
    warnings: list[str] = []
    access = look.access(site)
    if access.files is None:
        warnings.append(
            f"the file store was backed up and not looked at: it is not mounted here, and no server of "
            f"{site.name} is reached"
        )
    with run.timed("snapshot"):
        snapshot, moment = _snapshot(site, run, access, warnings)
    with run.timed("files"):
        checked, point = _files(site, run, access, read_files)
    site.reporter.step("count again what the databases and the file store hold")
    with run.timed("count"):
        databases = _claimed(site, run, access, checked, warnings)
    site.reporter.step("write the manifest")
    manifest = write(
        site, run, code=code, taken=moment, past=False, snapshot=snapshot, point=point, databases=databases
    )
    return Taken(manifest=manifest, continued=not new, warnings=warnings + broken(manifest))


def _claim(site: Site, label: str, note: str, keep_days: int) -> dict[str, Any]:
    """Return what claims a label; its random mark makes the names of all that is made."""
    identifier = constants.told_apart(
        constants.checkpoint_snapshot_identifier(site.name, label), secrets.token_hex(16)
    )
    return {
        "label": label,
        "stack": site.name,
        "identifier": identifier,
        "note": note,
        "keep_days": parts.kept_days(site, keep_days),
        "by": runs.operator(),
        "began": runs.now(),
    }


def code_of(site: Site) -> Code:
    """Return what the servers run, as it was deployed last."""
    output = site.stack.output
    package = dict(output(names.PACKAGE))
    image = package.pop("server_image", None)
    return Code(
        release=str(output(names.RELEASE)),
        package={key: value for key, value in package.items() if value is not None},
        server_image=image,
        data_modules=tuple(dict(module) for module in output(names.DATA_MODULES)),
        engine_version=str(output(names.DATABASE_ENGINE_VERSION)),
    )


def _snapshot(site: Site, run: Run, access: Access, warnings: list[str]) -> tuple[Snapshot, datetime]:
    identifier = str(run["identifier"])
    row = parts.snapshot_row(site.aws, identifier)
    if row is None or row["Status"] == "failed" or run.get("before") is None:
        site.reporter.step("look at what the databases and the file store hold")
        server = str(site.stack.output(names.DATABASE_INSTANCE_IDENTIFIER))
        parts.await_instance(site.aws, server, site.reporter)
        here, gone = look.there(access.databases)
        warnings += [f"the database {name} is not on the server, and not in the checkpoint" for name in gone]
        counted = {}
        for number, database in enumerate(here):
            site.reporter.progress(number, len(here))
            counted[database] = look.before(access, database)
        # A backup that was begun after a snapshot that is gone is older than the next one.
        stale = {"job": None, "attempt": (run.get("attempt") or 1) + 1} if run.get("job") else {}
        run.note(before=counted, **stale)
        site.reporter.step("take a snapshot of the database server")
        parts.begin_snapshot(site.aws, server, identifier, site.name, run["label"])
    else:
        site.reporter.step("wait for the snapshot of the database server")
    row = parts.await_snapshot(site.aws, identifier, site.reporter)
    return parts.described_snapshot(site.aws, row), row["SnapshotCreateTime"].astimezone(UTC)


def _files(site: Site, run: Run, access: Access, read_files: bool) -> tuple[Mapping[str, Any], RecoveryPoint]:
    site.reporter.step("back the file store up")
    backup(site, run)
    if read_files:
        site.reporter.step("read every file that attachments name")
    checked: dict[str, Any] = {}
    for number, database in enumerate(run["before"]):
        site.reporter.progress(number, len(run["before"]))
        checked[database] = (
            look.read_files(access, database) if read_files else look.missing_files(access, database)
        )
    site.reporter.step("wait for the backup of the file store")
    return checked, await_backup(site, run)


def backup(site: Site, run: Run) -> None:
    """Begin the backup of the file store, unless it was begun."""
    if run.get("job") is None:
        token = f"{run['identifier']}-{run.get('attempt') or 1}"
        run.note(job=parts.begin_backup(site, token, run["keep_days"], run["label"]))


def await_backup(site: Site, run: Run) -> RecoveryPoint:
    """Wait for the backup of the file store; a failed one is tried anew the next time."""
    try:
        arn = parts.await_backup(site.aws, run["job"], site.reporter)
    except parts.FailedError as failed:
        run.note(job=None, attempt=(run.get("attempt") or 1) + 1)
        raise OpsError(f"{failed}; the same command tries again") from None
    vault = str(site.stack.output(names.BACKUP_VAULT_NAME))
    point = parts.point(site.aws, vault, arn)
    if point is None:
        raise OpsError(f"the recovery point {arn} is not in the vault {vault}, where it was made just now")
    return parts.described_point(site, point)


def _claimed(
    site: Site, run: Run, access: Access, checked: Mapping[str, Any], warnings: list[str]
) -> tuple[Database, ...]:
    databases = []
    for number, (database, then) in enumerate(run["before"].items()):
        site.reporter.progress(number, len(run["before"]))
        now = look.after(access, database, list(then["rows"]))
        if now["modules"] != then["modules"]:
            warnings.append(f"modules of {database} changed while the checkpoint was taken")
        databases.append(look.claimed(database, then, now, checked[database]))
    return tuple(databases)


def write(
    site: Site,
    run: Run,
    *,
    code: Code,
    taken: datetime,
    past: bool,
    snapshot: Snapshot,
    point: RecoveryPoint,
    databases: tuple[Database, ...],
) -> Manifest:
    """Write the manifest, with which the checkpoint is one, and give the claim up."""
    versions = site.stack.output(names.PASSWORD_VERSIONS)
    try:
        manifest = Manifest(
            label=run["label"],
            note=run["note"],
            stack=site.name,
            environment=str(site.stack.output(names.ENVIRONMENT)),
            offer=str(site.stack.output(names.OFFER)),
            taken=taken,
            past=past,
            completed=datetime.now(UTC),
            by=run["by"],
            snapshot=snapshot,
            recovery_point=point,
            databases=databases,
            code=code,
            administrator_version=int(versions.get("administrator", 1)),
            seconds=run.get("seconds") or {},
        )
    except ValueError as error:
        raise OpsError(f"checkpoint {run['label']} is none: {error}") from error
    site.store.create(checkpoint.key(run["label"]), manifest.text().encode())
    run.forget()
    return manifest


def broken(manifest: Manifest) -> list[str]:
    """Return what a person should know of files that were not whole when the checkpoint was taken."""
    warnings = []
    for database in manifest.databases:
        held = database.files
        if held is None:
            continue
        if held.missing is not None and held.missing.count:
            warnings.append(
                f"{database.name}: {held.missing.count:,} attachments had no stored file already: "
                f"{some(held.missing.names)}"
            )
        if held.damaged is not None and held.damaged.count:
            warnings.append(
                f"{database.name}: {held.damaged.count:,} stored files were damaged already: "
                f"{some(held.damaged.names)}"
            )
    return warnings
