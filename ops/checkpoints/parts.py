"""The parts of a checkpoint in AWS: RDS's snapshots and AWS Backup's recovery points."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

from botocore.exceptions import ClientError

from core import outputs as names
from core.backup_rules import lifecycle
from core.checkpoint import RecoveryPoint, Snapshot
from core.names import PROJECT
from ops.aws import Aws, code, explained, wait
from ops.console import Reporter
from ops.errors import OpsError
from ops.site import Site

HOUR: Final = 3600.0
SNAPSHOT_SECONDS: Final = 6 * HOUR
BACKUP_SECONDS: Final = 24 * HOUR
"""EFS backups of many small files take hours."""
FAILED: Final = frozenset({"FAILED", "ABORTED", "EXPIRED", "PARTIAL"})


class FailedError(OpsError):
    """AWS could not make something; another attempt is another one."""


def tags(stack: str, label: str) -> dict[str, str]:
    """Return the tags of what belongs to a checkpoint."""
    return {"Project": PROJECT, "Stack": stack, f"{PROJECT}:checkpoint": label}


def as_list(found: Mapping[str, str]) -> list[dict[str, str]]:
    """Return tags in the form that most of AWS's services take."""
    return [{"Key": key, "Value": value} for key, value in found.items()]


def rows(aws: Aws, service: str, operation: str, key: str, **options: Any) -> Iterator[Mapping[str, Any]]:
    """Return the rows of all pages of a listing."""
    with explained(f"a listing of {key}"):
        for page in aws.client(service).get_paginator(operation).paginate(**options):
            yield from page[key]


# Database server


def instance(aws: Aws, identifier: str) -> Mapping[str, Any] | None:
    """Return what RDS says of a database server; None where there is none."""
    with explained(f"the database server {identifier}"):
        try:
            found = aws.client("rds").describe_db_instances(DBInstanceIdentifier=identifier)
        except ClientError as error:
            if code(error) in ("DBInstanceNotFound", "DBInstanceNotFoundFault"):
                return None
            raise
    row: Mapping[str, Any] = found["DBInstances"][0]
    return row


def await_instance(
    aws: Aws, identifier: str, reporter: Reporter, *, seconds: float = HOUR
) -> Mapping[str, Any]:
    """Wait until a database server can be used. Raises OpsError where it is gone or failed."""

    def look() -> Mapping[str, Any] | None:
        row = instance(aws, identifier)
        if row is None:
            raise OpsError(f"there is no database server {identifier} in RDS")
        status = str(row["DBInstanceStatus"])
        if status in ("failed", "storage-full") or status.startswith("incompatible"):
            raise OpsError(f"the database server {identifier} cannot be used: its status is {status}")
        if status == "stopped":
            raise OpsError(f"the database server {identifier} is stopped: start it first")
        return row if status == "available" and "Endpoint" in row else None

    return wait(f"the database server {identifier}", look, reporter, seconds=6 * HOUR)


def snapshot_row(aws: Aws, identifier: str) -> Mapping[str, Any] | None:
    """Return what RDS says of a snapshot; None where there is none."""
    with explained(f"the snapshot {identifier}"):
        try:
            found = aws.client("rds").describe_db_snapshots(DBSnapshotIdentifier=identifier)
        except ClientError as error:
            if code(error) in ("DBSnapshotNotFound", "DBSnapshotNotFoundFault"):
                return None
            raise
    row: Mapping[str, Any] = found["DBSnapshots"][0]
    return row


def begin_snapshot(aws: Aws, server: str, identifier: str, stack: str, label: str) -> None:
    """Let RDS take a snapshot; one of that name that failed is removed first."""
    rds = aws.client("rds")
    with explained(f"the snapshot {identifier}"):
        found = snapshot_row(aws, identifier)
        if found is not None and found["Status"] == "failed":
            rds.delete_db_snapshot(DBSnapshotIdentifier=identifier)
            found = None
        if found is None:
            rds.create_db_snapshot(
                DBInstanceIdentifier=server,
                DBSnapshotIdentifier=identifier,
                Tags=as_list({"Name": identifier, **tags(stack, label)}),
            )


def await_snapshot(aws: Aws, identifier: str, reporter: Reporter) -> Mapping[str, Any]:
    """Wait until a snapshot is complete."""

    def look() -> Mapping[str, Any] | None:
        row = snapshot_row(aws, identifier)
        if row is None:
            raise OpsError(f"there is no snapshot {identifier} any more")
        if row["Status"] == "failed":
            raise FailedError(f"RDS could not take the snapshot {identifier}; the same command tries again")
        if row["Status"] != "available" and row.get("PercentProgress"):
            reporter.note(f"{row['PercentProgress']} %")
        return row if row["Status"] == "available" else None

    return wait(f"the snapshot {identifier}", look, reporter, seconds=SNAPSHOT_SECONDS)


def described_snapshot(aws: Aws, row: Mapping[str, Any]) -> Snapshot:
    """Return what a manifest says of a snapshot."""
    return Snapshot(
        identifier=row["DBSnapshotIdentifier"],
        arn=row["DBSnapshotArn"],
        region=aws.region,
        engine_version=row["EngineVersion"],
        storage_gb=int(row["AllocatedStorage"]),
    )


def check_snapshot(aws: Aws, wanted: Snapshot, label: str) -> None:
    """Raise OpsError where the snapshot of a checkpoint is gone, or cannot be used."""
    if wanted.region != aws.region:
        raise OpsError(f"checkpoint {label} is in {wanted.region}, and this stack is in {aws.region}")
    row = snapshot_row(aws, wanted.identifier)
    if row is None:
        raise OpsError(
            f"checkpoint {label} cannot be restored: its snapshot {wanted.identifier} is missing in RDS; "
            "nothing was touched"
        )
    if row["Status"] != "available":
        raise OpsError(
            f"checkpoint {label} cannot be restored: its snapshot {wanted.identifier} is {row['Status']}; "
            "nothing was touched"
        )


# File store


def file_system_arn(aws: Aws, identifier: str) -> str:
    """Return the ARN of a file system."""
    with explained(f"the file system {identifier}"):
        found = aws.client("efs").describe_file_systems(FileSystemId=identifier)["FileSystems"]
    return str(found[0]["FileSystemArn"])


def kept_days(site: Site, wanted: int) -> int:
    """Return for how many days a recovery point is kept, within what the vault's lock permits."""
    limits = site.stack.outputs().get(names.BACKUP_RETENTION_LIMITS)
    if not isinstance(limits, Mapping):
        return wanted
    return max(int(limits["min_days"]), min(wanted, int(limits["max_days"])))


def begin_backup(site: Site, token: str, days: int, label: str) -> str:
    """Let AWS Backup make a recovery point of the stack's file system, once a token; return the job."""
    cold, delete = lifecycle(days)
    keep = {"DeleteAfterDays": delete, **({"MoveToColdStorageAfterDays": cold} if cold else {})}
    file_system = str(site.stack.output(names.FILE_SYSTEM_ID))
    with explained(f"a backup of the file system {file_system}"):
        job = site.aws.client("backup").start_backup_job(
            BackupVaultName=str(site.stack.output(names.BACKUP_VAULT_NAME)),
            ResourceArn=file_system_arn(site.aws, file_system),
            IamRoleArn=str(site.stack.output(names.BACKUP_ROLE_ARN)),
            IdempotencyToken=token,
            Lifecycle=keep,
            RecoveryPointTags={"Name": token, **tags(site.name, label)},
        )
    return str(job["BackupJobId"])


def await_backup(aws: Aws, job: str, reporter: Reporter) -> str:
    """Wait until a backup job is done, and return its recovery point. Raises FailedError where it fails."""

    def look() -> str | None:
        with explained(f"the backup job {job}"):
            row = aws.client("backup").describe_backup_job(BackupJobId=job)
        if row["State"] in FAILED:
            said = row.get("StatusMessage") or f"its state is {row['State']}"
            raise FailedError(f"AWS Backup could not back the file store up (job {job}): {said}")
        if row["State"] != "COMPLETED":
            _note_job(reporter, row)
            return None
        return str(row["RecoveryPointArn"])

    return wait(f"the backup of the file store (job {job})", look, reporter, seconds=BACKUP_SECONDS)


def _note_job(reporter: Reporter, row: Mapping[str, Any]) -> None:
    if (done := row.get("PercentDone")) not in (None, "0.0"):
        reporter.note(f"{done} %")


@dataclass(frozen=True, kw_only=True)
class Point:
    """A recovery point of the file store."""

    arn: str
    vault: str
    created: datetime
    expires: datetime | None
    bytes: int
    status: str


def _point(row: Mapping[str, Any]) -> Point:
    expires = (row.get("CalculatedLifecycle") or {}).get("DeleteAt")
    return Point(
        arn=row["RecoveryPointArn"],
        vault=row["BackupVaultName"],
        created=row["CreationDate"].astimezone(UTC),
        expires=expires.astimezone(UTC) if expires else None,
        bytes=int(row.get("BackupSizeInBytes") or row.get("BackupSizeBytes") or 0),
        status=row["Status"],
    )


def point(aws: Aws, vault: str, arn: str) -> Point | None:
    """Return a recovery point; None where there is none (any more)."""
    with explained(f"the recovery point {arn}"):
        try:
            return _point(
                aws.client("backup").describe_recovery_point(BackupVaultName=vault, RecoveryPointArn=arn)
            )
        except ClientError as error:
            if code(error) == "ResourceNotFoundException":
                return None
            raise


def points(site: Site) -> list[Point]:
    """Return the complete recovery points of the stack's file system in its own vault."""
    vault = str(site.stack.output(names.BACKUP_VAULT_NAME))
    arn = file_system_arn(site.aws, str(site.stack.output(names.FILE_SYSTEM_ID)))
    found = rows(
        site.aws,
        "backup",
        "list_recovery_points_by_backup_vault",
        "RecoveryPoints",
        BackupVaultName=vault,
        ByResourceArn=arn,
    )
    return [_point({"BackupVaultName": vault, **row}) for row in found if row["Status"] == "COMPLETED"]


def described_point(site: Site, found: Point) -> RecoveryPoint:
    """Return what a manifest says of a recovery point of the stack's file store as it is now."""
    return RecoveryPoint(
        arn=found.arn,
        vault=found.vault,
        file_system_id=str(site.stack.output(names.FILE_SYSTEM_ID)),
        path=str(site.stack.output(names.FILE_SYSTEM_PATH)),
        created=found.created,
        expires=found.expires,
        bytes=found.bytes,
    )


def check_point(aws: Aws, wanted: RecoveryPoint, label: str) -> None:
    """Raise OpsError where the recovery point of a checkpoint is gone, or cannot be used."""
    found = point(aws, wanted.vault, wanted.arn)
    if found is None:
        why = f"; it was kept until {wanted.expires:%Y-%m-%d}" if wanted.expires else ""
        raise OpsError(
            f"checkpoint {label} cannot be restored: its recovery point {wanted.arn} is missing in the vault "
            f"{wanted.vault}{why}; nothing was touched"
        )
    if found.status not in ("COMPLETED", "AVAILABLE"):
        raise OpsError(
            f"checkpoint {label} cannot be restored: its recovery point {wanted.arn} is {found.status}; "
            "nothing was touched"
        )
