"""AWS Backup: selections, jobs, recovery points, restores and copies, vault policies and notifications, tags.

A job on an RDS instance takes a real snapshot, and its restore makes a real instance; the state of the job
is that of the snapshot or instance. A file system holds no data here: its recovery points are records.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from moto.backup import models, urls
from moto.backup.responses import BackupResponse
from moto.core.utils import unix_time
from moto.efs.models import efs_backends
from moto.moto_api._internal import mock_random
from moto.rds.models import rds_backends

from local.emulator.extensions import Context
from local.emulator.extensions.toolkit import Parameters, add, errors, route_all

error = errors("backup")

TYPES = {"rds": "RDS", "elasticfilesystem": "EFS", "ec2": "EC2", "dynamodb": "DynamoDB", "s3": "S3"}
STATES = {"creating": "RUNNING", "available": "COMPLETED", "failed": "FAILED"}
"""From the status of a snapshot or instance to that of the job that makes it; any other is ``RUNNING``."""


State = Callable[[], str]
"""What tells the present state of a job."""


def _completed() -> str:
    return "COMPLETED"


class Store:
    """What this extension keeps for a region; on moto's backend."""

    def __init__(self) -> None:
        self.selections: dict[str, dict[str, Any]] = {}
        self.jobs: dict[str, dict[str, Any]] = {}
        self.points: dict[str, dict[str, Any]] = {}
        self.restores: dict[str, dict[str, Any]] = {}
        self.copies: dict[str, dict[str, Any]] = {}
        self.states: dict[str, State] = {}
        """The present state of what a job or recovery point, by id or ARN, is about."""

    def state(self, name: str) -> str:
        return self.states.get(name, _completed)()


def store(backend: Any) -> Store:
    """The extension's state of a region."""
    if not hasattr(backend, "local_store"):
        backend.local_store = Store()
    found: Store = backend.local_store
    return found


def _prefix(backend: Any) -> str:
    return f"arn:{backend.partition}:backup:{backend.region_name}:{backend.account_id}"


def _missing(what: str, name: str) -> Exception:
    return error("ResourceNotFoundException", f"{what} {name} not found")


def _vault(backend: Any, name: str) -> Any:
    if name not in backend.vaults:
        raise _missing("Backup vault", name)
    return backend.vaults[name]


def _plan(backend: Any, identifier: str) -> Any:
    if identifier not in backend.plans:
        raise _missing("Backup plan", identifier)
    return backend.plans[identifier]


# Plans and selections


def update_backup_plan(response: Any, given: Parameters) -> dict[str, Any]:
    """Replaces the document; the plan gets a new version."""
    backend = response.backup_backend
    plan = _plan(backend, given["BackupPlanId"])
    fresh = models.Plan(given["BackupPlan"], plan.creator_request_id, backend)
    plan.backup_plan, plan.version_id = fresh.backup_plan, fresh.version_id
    plan.advanced_backup_settings = fresh.advanced_backup_settings
    return dict(plan.to_dict())


def create_backup_selection(response: Any, given: Parameters) -> dict[str, Any]:
    """Assigns resources to a plan."""
    backend = response.backup_backend
    plan, selection = _plan(backend, given["BackupPlanId"]), given["BackupSelection"]
    own = [row for row in store(backend).selections.values() if row["BackupPlanId"] == plan.backup_plan_id]
    if any(row["BackupSelection"]["SelectionName"] == selection["SelectionName"] for row in own):
        raise error("AlreadyExistsException", f"Backup selection {selection['SelectionName']} already exists")
    row = {
        "BackupPlanId": plan.backup_plan_id,
        "SelectionId": str(mock_random.uuid4()),
        "CreationDate": unix_time(),
        "CreatorRequestId": given.get("CreatorRequestId"),
        "BackupSelection": selection,
    }
    store(backend).selections[row["SelectionId"]] = row
    return {key: row[key] for key in ("BackupPlanId", "SelectionId", "CreationDate")}


def _selection(response: Any, given: Parameters) -> dict[str, Any]:
    found = store(response.backup_backend).selections.get(given["SelectionId"])
    if found is None or found["BackupPlanId"] != given["BackupPlanId"]:
        raise _missing("Backup selection", given["SelectionId"])
    return found


def get_backup_selection(response: Any, given: Parameters) -> dict[str, Any]:
    """One selection."""
    return _selection(response, given)


def list_backup_selections(response: Any, given: Parameters) -> dict[str, Any]:
    """The selections of a plan."""
    backend = response.backup_backend
    plan = _plan(backend, given["BackupPlanId"]).backup_plan_id
    rows = [row for row in store(backend).selections.values() if row["BackupPlanId"] == plan]
    names = ("SelectionName", "IamRoleArn")
    return {
        "BackupSelectionsList": [
            {**{key: row["BackupSelection"].get(key) for key in names}, **row} for row in rows
        ]
    }


def delete_backup_selection(response: Any, given: Parameters) -> None:
    """Takes resources from a plan."""
    del store(response.backup_backend).selections[_selection(response, given)["SelectionId"]]


def delete_backup_plan(response: Any, given: Parameters) -> dict[str, Any]:
    """Deletes a plan that has no selections."""
    backend = response.backup_backend
    plan = _plan(backend, given["BackupPlanId"])
    if any(row["BackupPlanId"] == plan.backup_plan_id for row in store(backend).selections.values()):
        raise error(
            "InvalidRequestException",
            "Related backup plan selections must be deleted prior to backup plan deletion",
        )
    del backend.plans[plan.backup_plan_id]
    return {
        "BackupPlanId": plan.backup_plan_id,
        "BackupPlanArn": plan.backup_plan_arn,
        "DeletionDate": unix_time(),
        "VersionId": plan.version_id,
    }


# Vaults


def delete_backup_vault(response: Any, given: Parameters) -> None:
    """Deletes an empty vault."""
    backend = response.backup_backend
    vault = _vault(backend, given["BackupVaultName"])
    if vault.num_of_recovery_points:
        raise error(
            "InvalidRequestException",
            f"Backup vault cannot be deleted: it contains {vault.num_of_recovery_points} recovery points",
        )
    del backend.vaults[vault.backup_vault_name]


def put_backup_vault_access_policy(response: Any, given: Parameters) -> None:
    """Sets the resource policy."""
    _vault(response.backup_backend, given["BackupVaultName"]).local_policy = given.get("Policy")


def get_backup_vault_access_policy(response: Any, given: Parameters) -> dict[str, Any]:
    """The resource policy."""
    vault = _vault(response.backup_backend, given["BackupVaultName"])
    policy = getattr(vault, "local_policy", None)
    if policy is None:
        raise _missing("The access policy of vault", vault.backup_vault_name)
    return {
        "BackupVaultName": vault.backup_vault_name,
        "BackupVaultArn": vault.backup_vault_arn,
        "Policy": policy,
    }


def delete_backup_vault_access_policy(response: Any, given: Parameters) -> None:
    """Takes the resource policy away."""
    _vault(response.backup_backend, given["BackupVaultName"]).local_policy = None


def put_backup_vault_notifications(response: Any, given: Parameters) -> None:
    """Sends a vault's events to a topic."""
    vault = _vault(response.backup_backend, given["BackupVaultName"])
    vault.local_notifications = {key: given[key] for key in ("SNSTopicArn", "BackupVaultEvents")}


def get_backup_vault_notifications(response: Any, given: Parameters) -> dict[str, Any]:
    """Where a vault's events go."""
    vault = _vault(response.backup_backend, given["BackupVaultName"])
    found = getattr(vault, "local_notifications", None)
    if found is None:
        raise _missing("The notifications of vault", vault.backup_vault_name)
    names = {"BackupVaultName": vault.backup_vault_name, "BackupVaultArn": vault.backup_vault_arn}
    return {**names, **found}


def delete_backup_vault_notifications(response: Any, given: Parameters) -> None:
    """Ends the sending of events."""
    _vault(response.backup_backend, given["BackupVaultName"]).local_notifications = None


# Tags


def list_tags(response: Any, given: Parameters) -> dict[str, Any]:
    """A resource's tags."""
    return {"Tags": response.backup_backend.list_tags(given["ResourceArn"])}


def tag_resource(response: Any, given: Parameters) -> None:
    """Adds tags."""
    response.backup_backend.tag_resource(given["ResourceArn"], given["Tags"])


def untag_resource(response: Any, given: Parameters) -> None:
    """Takes tags away."""
    response.backup_backend.untag_resource(given["ResourceArn"], given["TagKeyList"])


# Jobs and recovery points


def _state_of(find: Callable[[], Any]) -> State:
    def state() -> str:
        found = find()
        return STATES.get(found.status, "RUNNING") if found is not None else "COMPLETED"

    return state


def _take_snapshot(response: Any, arn: str, job: str) -> tuple[str, State, int]:
    region, name = arn.split(":")[3], arn.rpartition(":")[2]
    backend = rds_backends[response.current_account][region]
    if name not in backend.databases:
        raise error("InvalidParameterValueException", f"The resource {arn} does not exist")
    snapshot = backend.create_db_snapshot(name, f"awsbackup:job-{job}", snapshot_type="awsbackup")
    size = int(backend.databases[name].allocated_storage or 0) << 30
    return snapshot.db_snapshot_arn, _state_of(lambda: snapshot), size


def start_backup_job(response: Any, given: Parameters) -> dict[str, Any]:
    """Backs one resource up, at once."""
    backend = response.backup_backend
    own, vault, arn = store(backend), _vault(backend, given["BackupVaultName"]), given["ResourceArn"]
    service = arn.split(":")[2]
    if service not in TYPES:
        raise error("InvalidParameterValueException", f"The resource {arn} cannot be backed up")
    job, now = str(mock_random.uuid4()).upper(), unix_time()
    point, state, size = (
        f"{_prefix(backend)}:recovery-point:{job.lower()}",
        _completed,
        0,
    )
    if service == "rds":
        point, state, size = _take_snapshot(response, arn, job.lower())
    elif service == "elasticfilesystem":
        _file_system(response, arn)
    own.states[job] = own.states[point] = state
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
        "CompletionDate": now,
        "IsEncrypted": True,
    }
    own.jobs[job] = {**common, "BackupJobId": job, "StartBy": now + 3600, "BackupType": "FULL"}
    kept = {**common, "Lifecycle": given.get("Lifecycle")}
    _add_point(backend, vault, kept, given.get("RecoveryPointTags"))
    return {"BackupJobId": job, "RecoveryPointArn": point, "CreationDate": now, "IsParent": False}


def _add_point(backend: Any, vault: Any, row: dict[str, Any], tags: dict[str, str] | None) -> None:
    store(backend).points[row["RecoveryPointArn"]] = row
    vault.num_of_recovery_points += 1
    if tags:
        backend.tag_resource(row["RecoveryPointArn"], tags)


def _shown_job(own: Store, row: dict[str, Any], identifier: str) -> dict[str, Any]:
    state = own.state(row[identifier])
    done = {"PercentDone": "100.0" if state == "COMPLETED" else "0.0", "State": state}
    return {key: value for key, value in {**row, **done}.items() if value is not None}


def describe_backup_job(response: Any, given: Parameters) -> dict[str, Any]:
    """One job, with its present state."""
    own = store(response.backup_backend)
    if given["BackupJobId"] not in own.jobs:
        raise _missing("Backup job", given["BackupJobId"])
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


def _shown_point(own: Store, row: dict[str, Any]) -> dict[str, Any]:
    state = own.state(row["RecoveryPointArn"])
    status = {"RUNNING": "PARTIAL", "FAILED": "EXPIRED"}.get(state, "COMPLETED")
    return {key: value for key, value in {**row, "Status": status}.items() if value is not None}


def list_recovery_points_by_backup_vault(response: Any, given: Parameters) -> dict[str, Any]:
    """What a vault holds, the newest first."""
    backend = response.backup_backend
    own, vault = store(backend), _vault(backend, given["BackupVaultName"])
    rows = [row for row in own.points.values() if row["BackupVaultName"] == vault.backup_vault_name]
    shown = [_shown_point(own, row) for row in reversed(rows)]
    filters = {"ByResourceArn": "ResourceArn", "ByResourceType": "ResourceType"}
    return {"RecoveryPoints": _filtered(shown, given, filters)}


def list_recovery_points_by_resource(response: Any, given: Parameters) -> dict[str, Any]:
    """The recovery points of one resource, the newest first."""
    own = store(response.backup_backend)
    rows = [row for row in own.points.values() if row["ResourceArn"] == given["ResourceArn"]]
    return {"RecoveryPoints": [_shown_point(own, row) for row in reversed(rows)]}


def _point(backend: Any, arn: str, vault: str | None = None) -> dict[str, Any]:
    found = store(backend).points.get(arn)
    if found is None or vault not in (None, found["BackupVaultName"]):
        raise _missing("Recovery point", arn)
    return found


def describe_recovery_point(response: Any, given: Parameters) -> dict[str, Any]:
    """One recovery point."""
    backend = response.backup_backend
    row = _point(backend, given["RecoveryPointArn"], given["BackupVaultName"])
    return _shown_point(store(backend), row)


def delete_recovery_point(response: Any, given: Parameters) -> None:
    """Deletes a recovery point and, for RDS, its snapshot."""
    backend = response.backup_backend
    vault = _vault(backend, given["BackupVaultName"])
    row = _point(backend, given["RecoveryPointArn"], vault.backup_vault_name)
    if vault.locked:
        raise error(
            "InvalidRequestException",
            "Recovery point cannot be deleted: the backup vault is locked and its retention is not over",
        )
    del store(backend).points[row["RecoveryPointArn"]]
    vault.num_of_recovery_points -= 1
    snapshots = rds_backends[backend.account_id][backend.region_name]
    name = row["RecoveryPointArn"].partition(":snapshot:")[2]
    if name in snapshots.database_snapshots:
        snapshots.delete_db_snapshot(name)


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


def _restore_database(response: Any, row: dict[str, Any], metadata: dict[str, str]) -> tuple[str, State]:
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
    return instance.db_instance_arn, _state_of(lambda: instance)


def _restore_file_system(response: Any, row: dict[str, Any], metadata: dict[str, str]) -> str:
    if metadata.get("newFileSystem", "true").lower() != "true":
        return str(row["ResourceArn"])
    backend: Any = efs_backends[response.current_account][response.region]
    source = backend.file_systems_by_id.get(row["ResourceArn"].rpartition("/")[2])
    made = backend.create_file_system(
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
    return str(made.file_system_arn)


def start_restore_job(response: Any, given: Parameters) -> dict[str, Any]:
    """Restores a recovery point to a new resource."""
    backend = response.backup_backend
    row, own = _point(backend, given["RecoveryPointArn"]), store(backend)
    metadata = given.get("Metadata", {})
    job, now = str(mock_random.uuid4()).upper(), unix_time()
    if row["ResourceType"] == "RDS":
        created, own.states[job] = _restore_database(response, row, metadata)
    elif row["ResourceType"] == "EFS":
        created = _restore_file_system(response, row, metadata)
    else:
        kind = row["ResourceType"]
        raise error("InvalidParameterValueException", f"{kind} cannot be restored in the emulator")
    own.restores[job] = {
        "RestoreJobId": job,
        "AccountId": backend.account_id,
        "RecoveryPointArn": row["RecoveryPointArn"],
        "CreationDate": now,
        "CompletionDate": now,
        "BackupSizeInBytes": row["BackupSizeInBytes"],
        "IamRoleArn": given.get("IamRoleArn"),
        "CreatedResourceArn": created,
        "ResourceType": row["ResourceType"],
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
        raise _missing("Restore job", given["RestoreJobId"])
    return _shown_restore(own, own.restores[given["RestoreJobId"]])


def list_restore_jobs(response: Any, _given: Parameters) -> dict[str, Any]:
    """The restores of a region, the newest first."""
    own = store(response.backup_backend)
    return {"RestoreJobs": [_shown_restore(own, row) for row in reversed(own.restores.values())]}


def start_copy_job(response: Any, given: Parameters) -> dict[str, Any]:
    """Copies a recovery point to another vault, of this region or another."""
    backend = response.backup_backend
    row = _point(backend, given["RecoveryPointArn"], given["SourceBackupVaultName"])
    target_arn = given["DestinationBackupVaultArn"]
    region, name = target_arn.split(":")[3], target_arn.rpartition(":")[2]
    target = models.backup_backends[response.current_account][region]
    vault = _vault(target, name)
    job, now = str(mock_random.uuid4()).upper(), unix_time()
    point = f"{_prefix(target)}:recovery-point:{job.lower()}"
    state = _completed
    if row["ResourceType"] == "RDS":
        snapshots = rds_backends[response.current_account][region]
        copied = snapshots.copy_db_snapshot(row["RecoveryPointArn"], f"awsbackup:copyjob-{job.lower()}")
        point, state = copied.db_snapshot_arn, _state_of(lambda: copied)
    store(backend).states[job] = store(target).states[point] = state
    copy = {
        **row,
        "RecoveryPointArn": point,
        "BackupVaultName": name,
        "BackupVaultArn": vault.backup_vault_arn,
        "SourceBackupVaultArn": row["BackupVaultArn"],
        "CreationDate": now,
        "Lifecycle": given.get("Lifecycle"),
    }
    _add_point(target, vault, copy, None)
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
        "CompletionDate": now,
    }
    return {"CopyJobId": job, "CreationDate": now, "IsParent": False}


def describe_copy_job(response: Any, given: Parameters) -> dict[str, Any]:
    """One copy, with its present state."""
    own = store(response.backup_backend)
    if given["CopyJobId"] not in own.copies:
        raise _missing("Copy job", given["CopyJobId"])
    return {"CopyJob": _shown_job(own, own.copies[given["CopyJobId"]], "CopyJobId")}


def list_copy_jobs(response: Any, given: Parameters) -> dict[str, Any]:
    """The copies made from a region, the newest first."""
    own = store(response.backup_backend)
    rows = [_shown_job(own, row, "CopyJobId") for row in reversed(own.copies.values())]
    filters = {"ByResourceArn": "ResourceArn", "ByState": "State", "ByResourceType": "ResourceType"}
    return {"CopyJobs": _filtered(rows, given, filters)}


def install(_context: Context) -> None:
    """Puts the extension in place."""
    route_all(urls)
    add(
        BackupResponse,
        update_backup_plan, delete_backup_plan,
        create_backup_selection, get_backup_selection, list_backup_selections, delete_backup_selection,
        delete_backup_vault,
        put_backup_vault_access_policy, get_backup_vault_access_policy, delete_backup_vault_access_policy,
        put_backup_vault_notifications, get_backup_vault_notifications, delete_backup_vault_notifications,
        list_tags, tag_resource, untag_resource,
        start_backup_job, describe_backup_job, list_backup_jobs,
        list_recovery_points_by_backup_vault, list_recovery_points_by_resource, describe_recovery_point,
        delete_recovery_point, get_recovery_point_restore_metadata,
        start_restore_job, describe_restore_job, list_restore_jobs,
        start_copy_job, describe_copy_job, list_copy_jobs,
    )  # fmt: skip
