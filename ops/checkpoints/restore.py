"""Returning a stack to a checkpoint: database and files together, the present kept as a checkpoint first.

What takes long and disturbs nobody comes first: the files are restored beside the running stack. Then the
servers end, the present is kept, and an ordinary `pulumi up` of changed settings makes the database server
anew and has the servers mount the other file system. How far it came is written to the operations bucket at
each step: killed anywhere, the same command goes on.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Final

from core import checkpoint, returning
from core import outputs as names
from core.checkpoint import Code, Manifest
from core.dump_manifest import some
from core.preview_report import losses, planned
from ops import run as runs
from ops.checkpoints import check, closing, files, look, manifests, parts, take
from ops.errors import OpsError
from ops.lock import held
from ops.run import Run
from ops.site import Site

CURRENT: Final = "runs/restore/current.json"
INSTANCE: Final = "aws:rds/instance:Instance"
PLACEHOLDER: Final = "restored"


@dataclass(frozen=True, kw_only=True)
class Target:
    """What a stack is to return to, as far as it is known before it is looked at."""

    label: str
    taken: datetime
    snapshot: str
    storage_gb: int
    code: Code | None
    """What the servers ran; None where it is not known yet: then they run what they run now."""
    databases: tuple[str, ...] | None
    files: str
    """Which files come with it."""
    administrator_version: int | None


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What a restore will do."""

    stack: str
    label: str
    taken: datetime
    continues: str | None
    """When the run that this one goes on with was begun."""
    settings: Mapping[str, Any]
    """Settings that change, beside where the data come from."""
    replaced: tuple[str, ...]
    """What `pulumi up` replaces or deletes, as a preview says, a sentence each."""
    others: int
    """Resources that change in place or are new."""
    stays: tuple[str, ...]
    """What is kept, a sentence each."""
    present: str | None
    """Label of the checkpoint of the present; None where none is taken."""
    servers: int
    """Servers that end, and come back."""
    warnings: tuple[str, ...]

    @property
    def agreed(self) -> tuple[Any, ...]:
        """What a person agrees to."""
        return self.replaced, dict(self.settings), self.present is None


@dataclass
class Result:
    """What a restore did."""

    stack: str
    label: str
    taken: datetime
    present: str | None
    """Label of the checkpoint of what was there before."""
    differences: list[str] = field(default_factory=list)
    """How the stack differs from the checkpoint; accepted where there are any."""
    stays: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    seconds: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Choices:
    """How a restore is to go about it."""

    keep_present: bool = True
    """Take a checkpoint of the present first."""
    accept_differences: bool = False
    """Go on though what was restored differs from the manifest."""
    agree: Callable[[Plan], None] = lambda plan: None
    """Asks a person; raises OpsError where the answer is no."""


def target_of(manifest: Manifest) -> Target:
    """Return a checkpoint as something to return to."""
    return Target(
        label=manifest.label,
        taken=manifest.taken,
        snapshot=manifest.snapshot.identifier,
        storage_gb=manifest.snapshot.storage_gb,
        code=manifest.code,
        databases=tuple(database.name for database in manifest.databases),
        files=checkpoint.gap(manifest.taken, manifest.recovery_point.created),
        administrator_version=manifest.administrator_version,
    )


def find(site: Site, label: str) -> Manifest:
    """Return the manifest of a checkpoint that can be restored. Raises OpsError, with nothing touched."""
    alone = frozenset(site.stack.outputs().get(names.CHECKPOINT_SNAPSHOTS) or ())
    manifest = manifests.get(site.store, site.name, label, databases_alone=alone)
    parts.check_snapshot(site.aws, manifest.snapshot, label)
    parts.check_point(site.aws, manifest.recovery_point, label)
    return manifest


# The plan


def plan(site: Site, target: Target, choices: Choices) -> Plan:
    """Look at everything that a restore needs, with a preview of it; changes nothing.

    Raises OpsError where it would fail: a smaller disk, settings that are refused.
    """
    run = _begun(site, target.label)
    settings = site.stack.settings()
    asked = site.stack.setting("database.storageGb")
    if too_small := returning.storage(asked, target.storage_gb):
        raise OpsError(f"{target.label} cannot be restored: {too_small}; nothing was touched")
    if run is None or run.get("files") is None:
        files.check_way(site)
    changes = returning.code_changes(target.code, settings) if target.code else {}
    changes, preview = _preview(site, target, changes, run)
    lost, others = losses(preview)
    if refused := [loss.name for loss in lost if loss.protected]:
        raise OpsError(f"Pulumi would refuse: {some(refused)} are protected; nothing was touched")
    return Plan(
        stack=site.name,
        label=target.label,
        taken=target.taken,
        continues=str(run["began"]) if run else None,
        settings=changes,
        replaced=tuple(
            f"{loss.name} ({loss.type}): {loss.what}{'; the present one stays' if loss.stays else ''}"
            for loss in lost
        ),
        others=others,
        stays=_stays(site, any(loss.type == INSTANCE and not loss.stays for loss in lost), run),
        present=_present(site, run, target.label) if choices.keep_present else None,
        servers=closing.wished(site, run),
        warnings=_warnings(site, target),
    )


def _preview(
    site: Site, target: Target, changes: returning.Changes, run: Run | None
) -> tuple[returning.Changes, Mapping[str, Any]]:
    """Return the settings that change, and the preview of them with a stand-in for what is not there yet.

    The new file system is not there before the restore: the present one takes its place in the preview.
    """
    restored = (run and run.get("files")) or {
        "file_system_id": str(site.stack.output(names.FILE_SYSTEM_ID)),
        "path": f"/{PLACEHOLDER}",
    }
    data = returning.data_changes(
        target.snapshot,
        str(run["id"]) if run else PLACEHOLDER,
        restored["file_system_id"],
        restored["path"],
    )
    preview = site.stack.preview({**changes, **data})
    sizes = [inputs.get("allocatedStorage") for inputs in planned(preview, INSTANCE)]
    if any(returning.storage(size, target.storage_gb) for size in sizes):
        # Sizing asks for less than RDS had grown to by then.
        changes = {**changes, "database.storageGb": target.storage_gb}
        preview = site.stack.preview({**changes, **data})
    return changes, preview


def _stays(site: Site, server_goes: bool, run: Run | None) -> tuple[str, ...]:
    if run is not None and is_applied(site, run):
        return ("the database server and the file system of the checkpoint are in their places already",)
    outputs = site.stack.outputs()
    server = f"the present database server {outputs.get(names.DATABASE_INSTANCE_IDENTIFIER)}"
    if server_goes:
        server += f" is deleted, after a last snapshot openerp-{site.name}-final-…"
    else:
        server += " stays, used by nothing"
    return server, f"the present file system {outputs.get(names.FILE_SYSTEM_ID)} stays, used by nothing"


def _warnings(site: Site, target: Target) -> tuple[str, ...]:
    warnings = []
    now = [str(name) for name in site.stack.output(names.DATABASE_NAMES)]
    if target.databases is not None:
        new = sorted(set(now) - set(target.databases))
        if new:
            warnings.append(
                f"databases that the checkpoint does not have, and that are gone then: {some(new)}"
            )
    versions = site.stack.outputs().get(names.PASSWORD_VERSIONS) or {}
    if target.administrator_version not in (None, versions.get("administrator", 1)):
        warnings.append(
            "OpenERP's administrator gets an older password back than its secret has: `python -m ops rotate "
            f"administrator --stack {site.name}` afterwards"
        )
    other = site.store.read(CURRENT)
    if other and other["state"] == "begun" and other["label"] != target.label:
        warnings.append(
            f"a restore of {other['label']}, begun {other['began']}, was not finished: it is given up"
        )
    return tuple(warnings)


# The run


def _begun(site: Site, label: str) -> Run | None:
    """Return the run of this restore that was cut short."""
    content = site.store.read(CURRENT)
    if content is None or content["state"] != "begun" or content["label"] != label:
        return None
    return Run(site.store, CURRENT, content)


def _present(site: Site, run: Run | None, label: str) -> str | None:
    """Return the label of the checkpoint of the present; None where nothing is lost without one."""
    if run is not None and (run.get("present") or run.get("closed")):
        kept: str | None = run.get("present")
        return kept
    other = site.store.read(CURRENT)
    if other and other["state"] == "begun" and other.get("closed") and other.get("present") == label:
        # Back to what the unfinished restore kept; nobody has worked since.
        return None
    return checkpoint.label_before(label, datetime.now(UTC))


def _begin(site: Site, agreed: Plan) -> Run:
    """Return the run of this restore: the one that was cut short, or a new one."""
    run = _begun(site, agreed.label)
    if run is not None:
        run.note(present=agreed.present, settings=dict(agreed.settings))
        return run
    content: dict[str, Any] = {
        "id": f"{datetime.now(UTC):%y%m%d%H%M%S}-{secrets.token_hex(2)}",
        "label": agreed.label,
        "state": "begun",
        "began": runs.now(),
        "by": runs.operator(),
        "settings": dict(agreed.settings),
    }
    if agreed.present:
        content["present"] = agreed.present
    other = site.store.read(CURRENT)
    if other is not None:
        site.store.write(f"runs/restore/{other['id']}.json", other)
        if other["state"] == "begun":
            # Another restore was cut short; the servers that it took away are to come back after this one.
            content |= {key: other[key] for key in ("sizes", "closed", "applying") if key in other}
    site.store.write(CURRENT, content)
    return Run(site.store, CURRENT, content)


def is_applied(site: Site, run: Run) -> bool:
    """Whether the stack has the data of this run: its outputs say so when `pulumi up` has succeeded."""
    try:
        outputs = site.stack.outputs()
    except OpsError:
        return False
    return bool(outputs.get(names.DATABASE_RESTORE_MARK) == run["id"])


def restore(site: Site, label: str, choices: Choices) -> Result:
    """Return a stack to a checkpoint. Raises OpsError, which says what state everything is in.

    The same call again goes on.
    """
    with held(site.store, site.name, f"restore {label}"):
        return restore_held(site, label, choices)


def restore_held(site: Site, label: str, choices: Choices, *, agreed: Plan | None = None) -> Result:
    """As `restore`, where the caller holds the stack's mark. `agreed`: what a person agreed to already."""
    site.reporter.step("look at the checkpoint, and preview the return to it")
    manifest = find(site, label)
    wanted = plan(site, target_of(manifest), choices)
    if agreed is None or agreed.agreed != wanted.agreed:
        choices.agree(wanted)
    run = _begin(site, wanted)
    try:
        return _restore(site, manifest, run, wanted, choices)
    except OpsError as error:
        given_up = "" if is_applied(site, run) or run.get("applying") else _given_up(site, run)
        raise OpsError(f"{error}. {given_up or _state(site, run)}; {_ways(site, run, error)}") from error
    except KeyboardInterrupt:
        site.reporter.warn(f"{_state(site, run)}; {_ways(site, run, None)}")
        raise


def _restore(site: Site, manifest: Manifest, run: Run, wanted: Plan, choices: Choices) -> Result:
    result = Result(
        stack=site.name,
        label=manifest.label,
        taken=manifest.taken,
        present=run.get("present"),
        stays=list(run.get("stays") or wanted.stays),
        warnings=list(wanted.warnings),
    )
    if not is_applied(site, run):
        _replace(site, manifest, run, wanted, choices)
    site.reporter.step("give the logins the passwords of the stack's secrets")
    site.databases.align_logins()
    with run.timed("check"):
        result.differences = check.databases(site, manifest)
        read = check.files(site, manifest, closed=True) if look.is_mounted(site.files) else None
    _refuse(result.differences + (read or []), choices)
    with run.timed("servers"):
        _reopen(site, run, result)
    if read is None:
        with run.timed("check"):
            read = check.files(site, manifest, closed=False)
        if read is None:
            result.warnings.append(
                "the files were not read: they are not mounted here, and no server is reached"
            )
        _refuse(read or [], choices)
    result.differences += read or []
    site.reporter.step("protect the stack again (pulumi up)")
    with run.timed("protect"):
        site.stack.apply({}, site.reporter)
    run.note(state="done", ended=runs.now(), closed=None)
    result.seconds = dict(run.get("seconds") or {})
    return result


def _replace(site: Site, manifest: Manifest, run: Run, wanted: Plan, choices: Choices) -> None:
    with run.timed("restore files"):
        restored = files.restore_files(site, manifest, run)
    differ = check.restored_files(site, manifest, restored)
    _refuse(differ or [], choices)
    with run.timed("close"):
        site.reporter.step("let the servers end")
        closing.close(site, run)
        run.note(closed=True)
    if run.get("present"):
        with run.timed("checkpoint of the present"):
            _keep_present(site, run, manifest)
    site.reporter.step("make the database server anew, and go on with the restored files (pulumi up)")
    run.note(applying=True, stays=list(wanted.stays))
    with run.timed("pulumi up"):
        data = returning.data_changes(
            manifest.snapshot.identifier, run["id"], restored.file_system_id, restored.path
        )
        site.stack.apply({**run["settings"], **data}, site.reporter)


def _keep_present(site: Site, run: Run, manifest: Manifest) -> None:
    if manifests.find(site.store, run["present"]) is not None:
        return  # by the run that was cut short
    note = f"before the return to {manifest.label}"
    try:
        take.take(site, run["present"], note=note, keep_days=take.KEEP_DAYS_BEFORE, read_files=False)
    except OpsError as error:
        raise OpsError(f"{error}; the present can be given up with --no-checkpoint") from error


class DiffersError(OpsError):
    """What was restored is not what the manifest says."""


def _refuse(differences: list[str], choices: Choices) -> None:
    if differences and not choices.accept_differences:
        raise DiffersError(
            f"what was restored differs from the checkpoint in {len(differences)} points: "
            f"{'; '.join(differences[:3])}{' …' if len(differences) > 3 else ''}"
        )


def _reopen(site: Site, run: Run, result: Result) -> None:
    site.reporter.step("bring the servers back")
    if not closing.reopen(site, run):
        result.warnings.append("no servers were brought back: none ran before")
        return
    closing.await_servers(site, run)


# What a failure leaves


def _state(site: Site, run: Run) -> str:
    """Say what state everything is in."""
    servers = "its servers have ended" if run.get("closed") else "its servers run"
    if is_applied(site, run):
        return f"{site.name} has the data of {run['label']}, and {servers}"
    if run.get("applying"):
        preview = f"`pulumi preview --stack {site.name}`"
        return f"The update of {site.name} was begun ({preview} shows how far it came), and {servers}"
    return f"Nothing of {site.name} was replaced, and {servers}"


def _ways(site: Site, run: Run, error: OpsError | None) -> str:
    """Say how to go on, and how to go back."""
    despite = " --accept-differences" if isinstance(error, DiffersError) else ""
    on = f"`python -m ops restore {run['label']} --stack {site.name}{despite}` goes on"
    if run.get("present") is None or not (run.get("applying") or is_applied(site, run)):
        return on
    return f"{on}, `python -m ops restore {run['present']} --stack {site.name}` goes back"


def _given_up(site: Site, run: Run) -> str:
    """Bring the servers back where nothing was replaced yet, and say so."""
    if run.get("sizes") is None:
        return f"Nothing of {site.name} was changed"
    try:
        closing.reopen(site, run)
    except OpsError as error:
        return f"Nothing was replaced, but the servers have ended and could not be brought back ({error})"
    # They will be asked to end again, and what people do now belongs to another checkpoint of the present.
    run.note(closed=None, sizes=None, present=None)
    return f"Nothing of {site.name} was replaced, and its servers come back"
