"""AWS Backup: backup, restore and copy jobs, recovery points.

A job on an RDS instance takes a real snapshot, and its restore makes a real instance; a job on a file system
copies what it holds (``local.emulator.files``), and a restore puts a copy of that below
``aws-backup-restore_<time>`` of its root, of a new file system's too. The state of a job is that of what it
makes. Job and recovery point are records from the first: what a kill keeps from being made has failed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from typing import Any

from moto.backup import models
from moto.backup.responses import BackupResponse
from moto.core.utils import unix_time
from moto.efs.models import efs_backends
from moto.moto_api._internal import mock_random
from moto.rds.models import rds_backends

from local.emulator.extensions import Context
from local.emulator.extensions.backup import error, missing, vault_of
from local.emulator.extensions.toolkit import Operation, Parameters, add
from local.emulator.files import Files

TYPES = {"rds": "RDS", "elasticfilesystem": "EFS", "ec2": "EC2", "dynamodb": "DynamoDB", "s3": "S3"}
STATES = {"creating": "RUNNING", "available": "COMPLETED", "failed": "FAILED"}
"""From the status of a snapshot or instance to that of the job that makes it; any other is ``RUNNING``."""
POINT_STATES = {"RUNNING": "CREATING", "COMPLETED": "COMPLETED"}
DAY = 24 * 3600
COLD_DAYS = 90
"""What is in cold storage stays there for so many days at least."""


@dataclass(frozen=True)
class Progress:
    """How far a job is."""

    state: str
    size: int | None = None
    """Bytes, where they are known by now."""
    finished: float | None = None
    """Seconds since 1970, where it is known."""
    message: str | None = None


Look = Callable[[], Progress]
"""What tells how far a job is now."""


def _completed() -> Progress:
    return Progress("COMPLETED")


class Store:
    """What this extension keeps for a region; on moto's backend."""

    def __init__(self) -> None:
        self.jobs: dict[str, dict[str, Any]] = {}
        self.points: dict[str, dict[str, Any]] = {}
        self.restores: dict[str, dict[str, Any]] = {}
        self.copies: dict[str, dict[str, Any]] = {}
        self.looks: dict[str, Look] = {}
        """How far a job, or what makes a recovery point, is, by id or ARN."""
        self.answers: dict[tuple[str, str], dict[str, Any]] = {}
        """What was answered to an operation with an idempotency token."""

    def progress(self, name: str) -> Progress:
        return self.looks.get(name, _completed)()


def store(backend: Any) -> Store:
    """The extension's state of a region."""
    if not hasattr(backend, "local_jobs"):
        backend.local_jobs = Store()
    found: Store = backend.local_jobs
    return found


def _once(operation: Operation) -> Operation:
    """Gives a request whose idempotency token was seen before the answer of that time, and does nothing."""

    def asked(response: Any, given: Parameters) -> dict[str, Any] | None:
        answers = store(response.backup_backend).answers
        key = (operation.__name__, given.get("IdempotencyToken") or "")
        if key in answers:
            return answers[key]
        answer = operation(response, given)
        if key[1] and answer is not None:
            answers[key] = answer
        return answer

    asked.__name__ = operation.__name__
    return asked


def _prefix(backend: Any) -> str:
    return f"arn:{backend.partition}:backup:{backend.region_name}:{backend.account_id}"


# Retention


def _check_lifecycle(lifecycle: dict[str, Any] | None) -> None:
    days, cold = ((lifecycle or {}).get(f"{name}Days") for name in ("DeleteAfter", "MoveToColdStorageAfter"))
    if days is not None and days < 1:
        raise error("InvalidParameterValueException", "DeleteAfterDays must be 1 at least")
    if days is not None and cold is not None and days < cold + COLD_DAYS:
        raise error(
            "InvalidParameterValueException",
            f"DeleteAfterDays must be {COLD_DAYS} days more than MoveToColdStorageAfterDays at least",
        )


def _outside_lock(vault: Any, lifecycle: dict[str, Any] | None) -> str | None:
    """Why a locked vault takes nothing with this retention. Without one it is kept for ever."""
    if not vault.locked:
        return None
    days = (lifecycle or {}).get("DeleteAfterDays")
    least, most = vault.min_retention_days, vault.max_retention_days
    if (days is None or least is None or days >= least) and (
        most is None or (days is not None and days <= most)
    ):
        return None
    kept = "for ever" if days is None else f"for {days} days"
    return (
        f"The recovery point would be kept {kept}, and the lock of the vault {vault.backup_vault_name} "
        f"permits {least or 1} to {most or 'any number of'} days"
    )


def _calculated(row: dict[str, Any]) -> dict[str, Any]:
    """When a recovery point is moved and deleted, from its lifecycle."""
    lifecycle = row.get("Lifecycle") or {}
    names = {"MoveToColdStorageAt": "MoveToColdStorageAfterDays", "DeleteAt": "DeleteAfterDays"}
    found = {
        name: row["CreationDate"] + lifecycle[days] * DAY
        for name, days in names.items()
        if lifecycle.get(days) is not None
    }
    return {"CalculatedLifecycle": found} if found else {}


# Backup jobs


def _of_resource(resource: Any) -> Look:
    """A job that is over when a snapshot or instance is there."""

    def look() -> Progress:
        message = getattr(resource, "local_failure", None)
        return Progress(STATES.get(resource.status, "RUNNING"), message=message)

    return look


def _of_files(files: Files, job: str) -> Look:
    """A job that is over when a copy of files is."""

    def look() -> Progress:
        ended = files.outcome(job)
        if ended is None:
            return Progress("RUNNING")
        state = "FAILED" if ended.error else "COMPLETED"
        return Progress(state, ended.size, ended.finished, ended.error)

    return look


def _take_snapshot(response: Any, arn: str, job: str) -> tuple[str, Look, int]:
    region, name = arn.split(":")[3], arn.rpartition(":")[2]
    backend = rds_backends[response.current_account][region]
    if name not in backend.databases:
        raise error("InvalidParameterValueException", f"The resource {arn} does not exist")
    snapshot = backend.create_db_snapshot(name, f"awsbackup:job-{job}", snapshot_type="awsbackup")
    size = int(backend.databases[name].allocated_storage or 0) << 30
    return snapshot.db_snapshot_arn, _of_resource(snapshot), size


def _check_resource(response: Any, arn: str) -> str:
    """The service of a resource that can be backed up."""
    service = arn.split(":")[2]
    if service not in TYPES:
        raise error("InvalidParameterValueException", f"The resource {arn} cannot be backed up")
    if service == "elasticfilesystem":
        _file_system(response, arn)
    return service


def _start_backup(files: Files, response: Any, given: Parameters) -> dict[str, Any]:
    backend = response.backup_backend
    own, vault, arn = store(backend), vault_of(backend, given["BackupVaultName"]), given["ResourceArn"]
    service, lifecycle = _check_resource(response, arn), given.get("Lifecycle")
    _check_lifecycle(lifecycle)
    job, now = str(mock_random.uuid4()).upper(), unix_time()
    point, look, size = f"{_prefix(backend)}:recovery-point:{job.lower()}", _completed, 0
    refused = _outside_lock(vault, lifecycle)
    if refused:
        look = partial(Progress, "FAILED", finished=now, message=refused)
    elif service == "rds":
        point, look, size = _take_snapshot(response, arn, job.lower())
    elif service == "elasticfilesystem":
        files.back_up(job, arn.rpartition("/")[2], job.lower())
        look = _of_files(files, job)
    own.looks[job] = own.looks[point] = look
    common = {
        "BackupVaultName": vault.backup_vault_name,
        "BackupVaultArn": vault.backup_vault_arn,
        "ResourceArn": arn,
        "ResourceType": TYPES[service],
        "RecoveryPointArn": point,
        "IamRoleArn": given["IamRoleArn"],
        "AccountId": backend.account_id,
        "BackupSizeInBytes": size,
        "CreationDate": now,
        "IsEncrypted": True,
        "EncryptionKeyArn": vault.encryption_key_arn,
    }
    own.jobs[job] = {
        **common, "BackupJobId": job, "StartBy": now + 3600, "BackupType": "FULL",
        "RecoveryPointLifecycle": lifecycle, "RecoveryPointArn": None if refused else point,
    }  # fmt: skip
    answer = {"BackupJobId": job, "CreationDate": now, "IsParent": False}
    if not refused:
        _add_point(backend, {**common, "Lifecycle": lifecycle}, given.get("RecoveryPointTags"))
        answer["RecoveryPointArn"] = point
    return answer


def _add_point(backend: Any, row: dict[str, Any], tags: dict[str, str] | None) -> None:
    store(backend).points[row["RecoveryPointArn"]] = row
    if tags:
        backend.tag_resource(row["RecoveryPointArn"], tags)


def _shown(row: dict[str, Any], progress: Progress) -> dict[str, Any]:
    """A row with what is known of its job by now."""
    found = dict(row)
    if progress.size is not None:
        found["BackupSizeInBytes"] = progress.size
    if progress.state != "RUNNING":
        found["CompletionDate"] = progress.finished or row["CreationDate"]
    found["StatusMessage"] = progress.message
    return {key: value for key, value in found.items() if value is not None}


def _shown_job(own: Store, row: dict[str, Any], identifier: str) -> dict[str, Any]:
    progress = own.progress(row[identifier])
    done = "100.0" if progress.state == "COMPLETED" else "0.0"
    return {**_shown(row, progress), "PercentDone": done, "State": progress.state}


def describe_backup_job(response: Any, given: Parameters) -> dict[str, Any]:
    """One job, with its present state."""
    own = store(response.backup_backend)
    if given["BackupJobId"] not in own.jobs:
        raise missing("Backup job", given["BackupJobId"])
    return _shown_job(own, own.jobs[given["BackupJobId"]], "BackupJobId")


def list_backup_jobs(response: Any, given: Parameters) -> dict[str, Any]:
    """The jobs of a region, the newest first."""
    own = store(response.backup_backend)
    rows = [_shown_job(own, row, "BackupJobId") for row in reversed(own.jobs.values())]
    filters = {
        "ByResourceArn": "ResourceArn", "ByState": "State", "ByBackupVaultName": "BackupVaultName",
        "ByResourceType": "ResourceType",
    }  # fmt: skip
    return {"BackupJobs": _filtered(rows, given, filters)}


def _filtered(rows: list[dict[str, Any]], given: Parameters, filters: dict[str, str]) -> list[dict[str, Any]]:
    for name, key in filters.items():
        if given.get(name) is not None:
            rows = [row for row in rows if row.get(key) == given[name]]
    if given.get("ByCreatedAfter") is not None:
        rows = [row for row in rows if row["CreationDate"] >= _seconds(given["ByCreatedAfter"])]
    if given.get("ByCreatedBefore") is not None:
        rows = [row for row in rows if row["CreationDate"] <= _seconds(given["ByCreatedBefore"])]
    return rows


def _seconds(moment: Any) -> float:
    return float(moment.timestamp()) if hasattr(moment, "timestamp") else float(moment)


# Recovery points


def _points(backend: Any) -> Iterator[dict[str, Any]]:
    """The recovery points of a region, the newest first; one that could not be made is none."""
    own = store(backend)
    for arn, row in reversed(own.points.items()):
        if own.progress(arn).state != "FAILED":
            yield row


def _shown_point(own: Store, row: dict[str, Any]) -> dict[str, Any]:
    progress = own.progress(row["RecoveryPointArn"])
    status = POINT_STATES.get(progress.state, "PARTIAL")
    return {**_shown(row, progress), **_calculated(row), "Status": status}


def list_recovery_points_by_backup_vault(response: Any, given: Parameters) -> dict[str, Any]:
    """What a vault holds, the newest first."""
    backend = response.backup_backend
    own, vault = store(backend), vault_of(backend, given["BackupVaultName"])
    rows = [row for row in _points(backend) if row["BackupVaultName"] == vault.backup_vault_name]
    shown = [_shown_point(own, row) for row in rows]
    filters = {"ByResourceArn": "ResourceArn", "ByResourceType": "ResourceType"}
    return {"RecoveryPoints": _filtered(shown, given, filters)}


def list_recovery_points_by_resource(response: Any, given: Parameters) -> dict[str, Any]:
    """The recovery points of one resource, the newest first."""
    backend = response.backup_backend
    rows = [row for row in _points(backend) if row["ResourceArn"] == given["ResourceArn"]]
    return {"RecoveryPoints": [_shown_point(store(backend), row) for row in rows]}


def _point(backend: Any, arn: str, vault: str | None = None) -> dict[str, Any]:
    found = next((row for row in _points(backend) if row["RecoveryPointArn"] == arn), None)
    if found is None or vault not in (None, found["BackupVaultName"]):
        raise missing("Recovery point", arn)
    return found


def _whole_point(backend: Any, arn: str, vault: str | None = None) -> dict[str, Any]:
    """A recovery point that is complete."""
    found = _point(backend, arn, vault)
    if store(backend).progress(arn).state != "COMPLETED":
        raise error("InvalidRequestException", f"Recovery point {arn} is not complete yet")
    return found


def describe_recovery_point(response: Any, given: Parameters) -> dict[str, Any]:
    """One recovery point."""
    backend = response.backup_backend
    row = _point(backend, given["RecoveryPointArn"], given["BackupVaultName"])
    return _shown_point(store(backend), row)


def _delete_point(files: Files, response: Any, given: Parameters) -> None:
    backend = response.backup_backend
    vault = vault_of(backend, given["BackupVaultName"])
    row = _whole_point(backend, given["RecoveryPointArn"], vault.backup_vault_name)
    if vault.locked:
        raise error(
            "InvalidRequestException",
            "Recovery point cannot be deleted: the backup vault is locked and its retention is not over",
        )
    del store(backend).points[row["RecoveryPointArn"]]
    if row["ResourceType"] == "EFS":
        files.remove_point(_folder(row))
    snapshots = rds_backends[backend.account_id][backend.region_name]
    name = row["RecoveryPointArn"].partition(":snapshot:")[2]
    if name in snapshots.database_snapshots:
        snapshots.delete_db_snapshot(name)


def _folder(row: dict[str, Any]) -> str:
    """The name of the folder that holds a recovery point of a file system."""
    return str(row["RecoveryPointArn"].rpartition(":")[2])


def _file_system(response: Any, arn: str) -> Any:
    region, name = arn.split(":")[3], arn.rpartition("/")[2]
    found = efs_backends[response.current_account][region].file_systems_by_id.get(name)
    if found is None:
        raise error("InvalidParameterValueException", f"The resource {arn} does not exist")
    return found


def get_recovery_point_restore_metadata(response: Any, given: Parameters) -> dict[str, Any]:
    """What a restore of this recovery point is given unless it says otherwise."""
    backend = response.backup_backend
    row = _point(backend, given["RecoveryPointArn"], given["BackupVaultName"])
    metadata = {"newFileSystem": "true", "Encrypted": "true", "PerformanceMode": "generalPurpose"}
    if row["ResourceType"] == "EFS":
        metadata["file-system-id"] = row["ResourceArn"].rpartition("/")[2]
    else:
        name = row["RecoveryPointArn"].partition(":snapshot:")[2]
        snapshots = rds_backends[backend.account_id][backend.region_name].database_snapshots
        database = snapshots[name].database if name in snapshots else None
        metadata = {"DBSnapshotIdentifier": name}
        if database is not None:
            metadata |= {
                "DBInstanceIdentifier": database.db_instance_identifier,
                "DBInstanceClass": database.db_instance_class,
                "DBSubnetGroupName": _subnet_group(database),
                "Engine": database.engine,
                "MultiAZ": str(bool(database.multi_az)).lower(),
            }
    return {
        "BackupVaultArn": row["BackupVaultArn"],
        "RecoveryPointArn": row["RecoveryPointArn"],
        "RestoreMetadata": metadata,
        "ResourceType": row["ResourceType"],
    }


def _subnet_group(database: Any) -> str:
    # moto's own name of it can be written and not read.
    group = getattr(database, "db_subnet_group", None)
    return str(group.name) if group is not None else ""


# Restores


def _restore_database(response: Any, row: dict[str, Any], metadata: dict[str, str]) -> tuple[str, Look]:
    backend = rds_backends[response.current_account][response.region]
    overrides: dict[str, Any] = {
        "db_instance_identifier": metadata["DBInstanceIdentifier"],
        "db_instance_class": metadata.get("DBInstanceClass"),
        "db_subnet_group_name": metadata.get("DBSubnetGroupName") or None,
        "db_parameter_group_name": metadata.get("DBParameterGroupName"),
        "vpc_security_group_ids": list(filter(None, metadata.get("VpcSecurityGroupIds", "").split(","))),
    }
    name = row["RecoveryPointArn"].partition(":snapshot:")[2]
    instance = backend.restore_db_instance_from_db_snapshot(name, overrides)
    return instance.db_instance_arn, _of_resource(instance)


def _restore_files(
    files: Files, response: Any, row: dict[str, Any], metadata: dict[str, str], job: str
) -> tuple[str, Look]:
    if metadata.get("itemsToRestore"):
        raise error("InvalidParameterValueException", "The emulator restores whole recovery points only")
    if metadata.get("newFileSystem", "true").lower() == "true":
        target = _new_file_system(response, row, metadata)
    else:
        wanted = metadata.get("file-system-id")
        prefix = row["ResourceArn"].rpartition("/")[0]
        target = _file_system(response, f"{prefix}/{wanted}" if wanted else row["ResourceArn"])
    moment = datetime.fromtimestamp(unix_time(), UTC).strftime("%Y-%m-%dT%H-%M-%S-%f")[:-3]
    files.restore(job, _folder(row), target.file_system_id, f"aws-backup-restore_{moment}Z")
    return target.file_system_arn, _of_files(files, job)


def _new_file_system(response: Any, row: dict[str, Any], metadata: dict[str, str]) -> Any:
    backend: Any = efs_backends[response.current_account][response.region]
    source = backend.file_systems_by_id.get(row["ResourceArn"].rpartition("/")[2])
    return backend.create_file_system(
        creation_token=metadata.get("CreationToken") or str(mock_random.uuid4()),
        performance_mode=metadata.get("PerformanceMode", "generalPurpose"),
        encrypted=metadata.get("Encrypted", "true").lower() == "true",
        kms_key_id=metadata.get("KmsKeyId") or (source.kms_key_id if source else None),
        throughput_mode=source.throughput_mode if source else "bursting",
        provisioned_throughput_in_mibps=None,
        availability_zone_name=None,
        backup=False,
        tags=[],
    )


def _start_restore(files: Files, response: Any, given: Parameters) -> dict[str, Any]:
    backend = response.backup_backend
    row, own = _whole_point(backend, given["RecoveryPointArn"]), store(backend)
    metadata, kind = given.get("Metadata", {}), row["ResourceType"]
    job, now = str(mock_random.uuid4()).upper(), unix_time()
    if kind == "RDS":
        created, own.looks[job] = _restore_database(response, row, metadata)
    elif kind == "EFS":
        created, own.looks[job] = _restore_files(files, response, row, metadata, job)
    else:
        raise error("InvalidParameterValueException", f"{kind} cannot be restored in the emulator")
    size = own.progress(row["RecoveryPointArn"]).size
    own.restores[job] = {
        "RestoreJobId": job,
        "AccountId": backend.account_id,
        "RecoveryPointArn": row["RecoveryPointArn"],
        "RecoveryPointCreationDate": row["CreationDate"],
        "SourceResourceArn": row["ResourceArn"],
        "BackupVaultArn": row["BackupVaultArn"],
        "CreationDate": now,
        "BackupSizeInBytes": row["BackupSizeInBytes"] if size is None else size,
        "IamRoleArn": given.get("IamRoleArn"),
        "CreatedResourceArn": created,
        "ResourceType": kind,
    }
    return {"RestoreJobId": job}


def _shown_restore(own: Store, row: dict[str, Any]) -> dict[str, Any]:
    shown = _shown_job(own, row, "RestoreJobId")
    shown["Status"] = shown.pop("State")
    return shown


def describe_restore_job(response: Any, given: Parameters) -> dict[str, Any]:
    """One restore, with its present state."""
    own = store(response.backup_backend)
    if given["RestoreJobId"] not in own.restores:
        raise missing("Restore job", given["RestoreJobId"])
    return _shown_restore(own, own.restores[given["RestoreJobId"]])


def list_restore_jobs(response: Any, given: Parameters) -> dict[str, Any]:
    """The restores of a region, the newest first."""
    own = store(response.backup_backend)
    rows = [_shown_restore(own, row) for row in reversed(own.restores.values())]
    filters = {"ByStatus": "Status", "ByResourceType": "ResourceType"}
    return {"RestoreJobs": _filtered(rows, given, filters)}


# Copies


def _start_copy(files: Files, response: Any, given: Parameters) -> dict[str, Any]:
    backend = response.backup_backend
    row = _whole_point(backend, given["RecoveryPointArn"], given["SourceBackupVaultName"])
    target_arn, lifecycle = given["DestinationBackupVaultArn"], given.get("Lifecycle")
    _check_lifecycle(lifecycle)
    region, name = target_arn.split(":")[3], target_arn.rpartition(":")[2]
    target = models.backup_backends[response.current_account][region]
    vault = vault_of(target, name)
    job, now = str(mock_random.uuid4()).upper(), unix_time()
    point: str | None = f"{_prefix(target)}:recovery-point:{job.lower()}"
    look: Look = _completed
    if refused := _outside_lock(vault, lifecycle):
        point, look = None, partial(Progress, "FAILED", finished=now, message=refused)
    elif row["ResourceType"] == "RDS":
        snapshots = rds_backends[response.current_account][region]
        copied = snapshots.copy_db_snapshot(row["RecoveryPointArn"], f"awsbackup:copyjob-{job.lower()}")
        point, look = copied.db_snapshot_arn, _of_resource(copied)
    elif row["ResourceType"] == "EFS":
        files.copy(job, _folder(row), job.lower())
        look = _of_files(files, job)
    store(backend).looks[job] = look
    if point is not None:
        store(target).looks[point] = look
        fresh = {
            **row,
            "RecoveryPointArn": point,
            "BackupVaultName": name,
            "BackupVaultArn": vault.backup_vault_arn,
            "EncryptionKeyArn": vault.encryption_key_arn,
            "SourceBackupVaultArn": row["BackupVaultArn"],
            "CreationDate": now,
            "Lifecycle": lifecycle,
        }
        _add_point(target, fresh, None)
    store(backend).copies[job] = {
        "CopyJobId": job,
        "AccountId": backend.account_id,
        "SourceBackupVaultArn": row["BackupVaultArn"],
        "SourceRecoveryPointArn": row["RecoveryPointArn"],
        "DestinationBackupVaultArn": target_arn,
        "DestinationRecoveryPointArn": point,
        "ResourceArn": row["ResourceArn"],
        "ResourceType": row["ResourceType"],
        "IamRoleArn": given["IamRoleArn"],
        "CreationDate": now,
    }
    return {"CopyJobId": job, "CreationDate": now, "IsParent": False}


def describe_copy_job(response: Any, given: Parameters) -> dict[str, Any]:
    """One copy, with its present state."""
    own = store(response.backup_backend)
    if given["CopyJobId"] not in own.copies:
        raise missing("Copy job", given["CopyJobId"])
    return {"CopyJob": _shown_job(own, own.copies[given["CopyJobId"]], "CopyJobId")}


def list_copy_jobs(response: Any, given: Parameters) -> dict[str, Any]:
    """The copies made from a region, the newest first."""
    own = store(response.backup_backend)
    rows = [_shown_job(own, row, "CopyJobId") for row in reversed(own.copies.values())]
    filters = {"ByResourceArn": "ResourceArn", "ByState": "State", "ByResourceType": "ResourceType"}
    return {"CopyJobs": _filtered(rows, given, filters)}


def _patch_vault() -> None:
    def number(self: Any) -> int:
        """How many recovery points a vault holds; moto knows of none."""
        _, _, _, region, account, _, name = self.backup_vault_arn.split(":")
        points = _points(models.backup_backends[account][region])
        return sum(row["BackupVaultName"] == name for row in points)

    # By this name DescribeBackupVault finds it.
    models.Vault.number_of_recovery_points = property(number)  # type: ignore[attr-defined]
    models.Vault.num_of_recovery_points = property(  # type: ignore[assignment]
        number, lambda _self, _value: None
    )


def install(context: Context) -> None:
    """Puts the extension in place."""
    _patch_vault()

    @_once
    def start_backup_job(response: Any, given: Parameters) -> dict[str, Any]:
        """Backs one resource up, at once."""
        return _start_backup(context.files, response, given)

    @_once
    def start_restore_job(response: Any, given: Parameters) -> dict[str, Any]:
        """Restores a recovery point."""
        return _start_restore(context.files, response, given)

    @_once
    def start_copy_job(response: Any, given: Parameters) -> dict[str, Any]:
        """Copies a recovery point to another vault, of this region or another."""
        return _start_copy(context.files, response, given)

    def delete_recovery_point(response: Any, given: Parameters) -> None:
        """Deletes a recovery point with its copy or snapshot."""
        _delete_point(context.files, response, given)

    add(
        BackupResponse,
        start_backup_job, describe_backup_job, list_backup_jobs,
        list_recovery_points_by_backup_vault, list_recovery_points_by_resource, describe_recovery_point,
        delete_recovery_point, get_recovery_point_restore_metadata,
        start_restore_job, describe_restore_job, list_restore_jobs,
        start_copy_job, describe_copy_job, list_copy_jobs,
    )  # fmt: skip
