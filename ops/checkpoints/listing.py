"""The checkpoints of a stack, and what each is still good for."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from core import drill_report
from core import outputs as names
from core.checkpoint import Manifest
from core.drill_report import Past
from ops.checkpoints import manifests, parts
from ops.errors import OpsError
from ops.site import Site
from ops.store import Store


@dataclass(frozen=True, kw_only=True)
class Row:
    """One checkpoint, or what was begun as one."""

    label: str
    manifest: Manifest | None
    problems: tuple[str, ...]
    """Why it cannot be restored; none is good."""
    proven: Past | None
    """The last drill that tried it."""

    def document(self, now: datetime) -> dict[str, Any]:
        """Return what is printed as JSON."""
        made, drill = self.manifest, self.proven
        content: dict[str, Any] = {"label": self.label, "problems": list(self.problems)}
        if made is not None:
            content |= {
                "taken": made.taken,
                "age_seconds": round((now - made.taken).total_seconds()),
                "note": made.note,
                "by": made.by,
                "release": made.release,
                "past": made.past,
                "databases": {database.name: database.bytes for database in made.databases},
                "database_bytes": made.database_bytes,
                "file_bytes": made.recovery_point.bytes,
                "files_expire": made.recovery_point.expires,
                "snapshot": made.snapshot.identifier,
                "recovery_point": made.recovery_point.arn,
            }
        content["drill"] = drill and {"ok": drill.ok, "finished": drill.finished, "drill": drill.drill}
        return content


def rows(site: Site) -> list[Row]:
    """Return every checkpoint of the stack, the newest first, then what was never completed."""
    store = site.store
    snapshots, points = _snapshots(site), _points(site)
    tried = _drills(store)
    complete = []
    for label in manifests.labels(store):
        try:
            manifest = manifests.find(store, label)
        except OpsError as error:
            complete.append(Row(label=label, manifest=None, problems=(str(error),), proven=None))
            continue
        if manifest is not None:
            problems = tuple(_problems(manifest, snapshots, points))
            proven = _of(tried, label)
            complete.append(Row(label=label, manifest=manifest, problems=problems, proven=proven))
    complete.sort(key=lambda row: row.manifest.taken.timestamp() if row.manifest else 0.0, reverse=True)
    begun = [
        Row(label=label, manifest=None, problems=("it was begun and not completed",), proven=None)
        for label in manifests.unfinished(store)
    ]
    return [*complete, *begun]


def _problems(manifest: Manifest, snapshots: dict[str, str], points: dict[str, str]) -> Iterable[str]:
    snapshot = snapshots.get(manifest.snapshot.identifier)
    if snapshot is None:
        yield "its snapshot is missing"
    elif snapshot != "available":
        yield f"its snapshot is {snapshot}"
    point = points.get(manifest.recovery_point.arn)
    if point is None:
        yield "the recovery point of its files is missing"
    elif point not in ("COMPLETED", "AVAILABLE"):
        yield f"the recovery point of its files is {point}"


def _snapshots(site: Site) -> dict[str, str]:
    found = parts.rows(site.aws, "rds", "describe_db_snapshots", "DBSnapshots", SnapshotType="manual")
    return {row["DBSnapshotIdentifier"]: row["Status"] for row in found}


def _points(site: Site) -> dict[str, str]:
    found = parts.rows(
        site.aws,
        "backup",
        "list_recovery_points_by_backup_vault",
        "RecoveryPoints",
        BackupVaultName=str(site.stack.output(names.BACKUP_VAULT_NAME)),
        ByResourceType="EFS",
    )
    return {row["RecoveryPointArn"]: row["Status"] for row in found}


def _drills(store: Store) -> list[Past]:
    keys = [key for key in store.list(drill_report.PREFIX) if key.endswith(".json")]
    documents = (store.read(key) for key in keys)
    found = [drill_report.read(document) for document in documents if document is not None]
    return [drill for drill in found if drill is not None]


def _of(tried: list[Past], label: str) -> Past | None:
    """Return the last drill of a checkpoint."""
    return max(
        (drill for drill in tried if drill.checkpoint == label),
        key=lambda drill: drill.finished,
        default=None,
    )
