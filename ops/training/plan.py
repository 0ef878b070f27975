"""What a training refresh will do, and from which checkpoint: looked at before anything is touched."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from core import drill_report, returning
from core import outputs as names
from core import training as rules
from core.checkpoint import Manifest
from core.dump_manifest import some
from core.preview_report import Loss, losses, planned
from ops.checkpoints import closing, files, manifests, parts
from ops.errors import OpsError
from ops.run import Run
from ops.site import Site

CURRENT: Final = "runs/training-refresh/current.json"
"""Where a refresh is remembered."""
INSTANCE: Final = "aws:rds/instance:Instance"
PLACEHOLDER: Final = "restored"


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What a refresh will do."""

    stack: str
    source: str
    label: str
    taken: datetime
    release: str
    databases: tuple[str, ...]
    continues: str | None
    """When the run that this one goes on with was begun."""
    settings: Mapping[str, Any]
    """Settings that change, beside where the data come from."""
    replaced: tuple[str, ...]
    """What `pulumi up` replaces or deletes, a sentence each."""
    others: int
    """Resources that change in place or are new."""
    stays: tuple[str, ...]
    servers: int
    """Servers that end, and come back when all is proven."""
    by_odoo: bool
    """Whether Odoo itself updates and neutralises, by a server; else the system stays closed at the end."""
    warnings: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class Choices:
    """How a refresh is to go about it."""

    checkpoint: str | None = None
    """A label, `newest`, or None: the newest that a drill has proven."""
    by_odoo: bool = True
    accept_differences: bool = False
    agree: Callable[[Plan], None] = lambda plan: None
    """Asks a person; raises OpsError where the answer is no."""


# Whether, and from what


def refuse_wrong(site: Site, source: Site) -> None:
    """Raise OpsError unless data of `source` may go to `site`; no option says otherwise."""
    reason = rules.why_not_between(
        source.name,
        str(source.stack.output(names.ENVIRONMENT)),
        site.name,
        str(site.stack.output(names.ENVIRONMENT)),
    )
    if reason:
        raise OpsError(f"{reason}; nothing was touched")


def choose(source: Site, wanted: str | None) -> tuple[Manifest, str]:
    """Return the checkpoint to refresh from, and what a person should know of the choice."""
    if wanted is None or wanted == rules.NEWEST:
        known = {label: manifests.find(source.store, label) for label in manifests.labels(source.store)}
        taken = {label: found.taken for label, found in known.items() if found and found.stack == source.name}
        label, note = rules.chosen(taken, _proven(source), wanted)
        if label is None:
            raise OpsError(
                f"{source.name} has no checkpoint: `python -m ops checkpoint LABEL --stack {source.name}` "
                "takes one; nothing was touched"
            )
    else:
        label, note = wanted, ""
    alone = frozenset(source.stack.outputs().get(names.CHECKPOINT_SNAPSHOTS) or ())
    return manifests.get(source.store, source.name, label, databases_alone=alone), note


def _proven(source: Site) -> set[str]:
    """Return the checkpoints that a drill has proven."""
    drills = [
        drill_report.read(document)
        for key in source.store.list(drill_report.PREFIX)
        if key.endswith(".json") and (document := source.store.read(key)) is not None
    ]
    return {drill.checkpoint for drill in drills if drill is not None and drill.ok}


def _check(site: Site, manifest: Manifest) -> None:
    """Raise OpsError where the checkpoint does not fit the system, or is not there any more."""
    output = site.stack.output
    reason = rules.why_not_from(
        manifest,
        release=str(output(names.RELEASE)),
        engine_version=str(output(names.DATABASE_ENGINE_VERSION)),
        databases=site.databases.names(),
        data_modules=output(names.DATA_MODULES),
    )
    reason = reason or returning.storage(
        site.stack.setting("database.storageGb"), manifest.snapshot.storage_gb
    )
    if reason:
        raise OpsError(f"{reason}; nothing was touched")
    parts.check_snapshot(site.aws, manifest.snapshot, manifest.label)


def plan(site: Site, source: Site, choices: Choices) -> tuple[Plan, Manifest]:
    """Look at everything that a refresh needs, with a preview of it; changes nothing."""
    refuse_wrong(site, source)
    wanted = choices.checkpoint
    if wanted == rules.NEWEST:
        wanted = choose(source, wanted)[0].label
    run = begun(site, source.name, wanted)
    manifest, note = choose(source, str(run["label"]) if run else wanted)
    _check(site, manifest)
    if run is None or run.get("files") is None:
        parts.check_point(site.aws, manifest.recovery_point, manifest.label)
        files.check_way(site)
    settings: returning.Changes
    lost: list[Loss]
    if run is not None and is_applied(site, run):
        settings, lost, others = dict(run["settings"]), [], 0
    else:
        settings, preview = _preview(site, manifest, run)
        lost, others = losses(preview)
    if refused := [loss.name for loss in lost if loss.protected]:
        raise OpsError(f"Pulumi would refuse: {some(refused)} are protected; nothing was touched")
    server_goes = any(loss.type == INSTANCE and not loss.stays for loss in lost)
    return (
        Plan(
            stack=site.name,
            source=source.name,
            label=manifest.label,
            taken=manifest.taken,
            release=manifest.release,
            databases=tuple(site.databases.names()),
            continues=str(run["began"]) if run else None,
            settings=settings,
            replaced=tuple(
                f"{loss.name} ({loss.type}): {loss.what}{'; the present one stays' if loss.stays else ''}"
                for loss in lost
            ),
            others=others,
            stays=_stays(site, server_goes),
            servers=closing.wished(site, run),
            by_odoo=choices.by_odoo,
            warnings=(note,) if note else (),
        ),
        manifest,
    )


def _preview(site: Site, manifest: Manifest, run: Run | None) -> tuple[returning.Changes, Mapping[str, Any]]:
    """Return the settings that change beside where the data come from, and the preview of all of them.

    The present file system stands in for one that is not there yet.
    """
    restored = (run and run.get("files")) or {
        "file_system_id": str(site.stack.output(names.FILE_SYSTEM_ID)),
        "path": f"/{PLACEHOLDER}",
    }
    mark = str(run["id"]) if run else PLACEHOLDER
    snapshot = manifest.snapshot
    data = returning.data_changes(snapshot.identifier, mark, restored["file_system_id"], restored["path"])
    changes: returning.Changes = dict(run["settings"]) if run else {}
    preview = site.stack.preview({**changes, **data})
    sizes = [inputs.get("allocatedStorage") for inputs in planned(preview, INSTANCE)]
    if any(returning.storage(size, snapshot.storage_gb) for size in sizes):
        # A training system is sized for less than production, and RDS makes no smaller server of a snapshot.
        changes["database.storageGb"] = snapshot.storage_gb
        preview = site.stack.preview({**changes, **data})
    return changes, preview


def _stays(site: Site, server_goes: bool) -> tuple[str, ...]:
    present = site.stack.outputs().get(names.DATABASE_INSTANCE_IDENTIFIER)
    database = f"the present database server {present} stays"
    if server_goes:
        database = (
            f"the present database server {present} is deleted after a last snapshot "
            f"(openerp-{site.name}-final-…), which is all that is kept of what was practised"
        )
    present = site.stack.outputs().get(names.FILE_SYSTEM_ID)
    return database, f"the present file system {present} stays, with everything in it"


# The run that was begun


def begun(site: Site, source: str, wanted: str | None) -> Run | None:
    """Return the run that was cut short; one from another checkpoint is not gone on with."""
    content = site.store.read(CURRENT)
    if content is None or content["state"] != "begun" or content["source"] != source:
        return None
    if wanted not in (None, content["label"]):
        return None
    return Run(site.store, CURRENT, content)


def is_applied(site: Site, run: Run) -> bool:
    """Return whether the stack has the data of this run, as its outputs say."""
    return bool(site.stack.outputs().get(names.DATABASE_RESTORE_MARK) == run["id"])
