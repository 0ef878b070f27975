"""RDS on real PostgreSQL.

Each PostgreSQL instance is a cluster of the supervisor, at a loopback address that answers; each of its
manual snapshots is a copy, and automated backups lead back to any moment. Beside this: a resource id of its
own for each instance, the managed master secret under the name and with the content that RDS gives it,
parameters that read back, performance insights, and replicated automated backups.
"""

from __future__ import annotations

import base64
import hashlib
import json
import string
import uuid
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from typing import Any

from moto.core.responses import PaginatedResult
from moto.core.utils import unix_time, utcnow
from moto.moto_api._internal import mock_random
from moto.rds import models
from moto.rds.responses import RDSResponse

from local.emulator.extensions import Context
from local.emulator.extensions.rds_restores import DAY, restore_moment, restore_source, restore_values
from local.emulator.extensions.toolkit import Parameters, add, errors, parameters
from local.postgres.cluster import Master
from local.postgres.supervisor import Supervisor, Wanted

error = errors("rds")

PASSWORD_LENGTH = 28
"""As RDS makes it."""
PASSWORD_CHARACTERS = string.ascii_letters + string.digits + "!#$%&()*+,-.:;<=>?[]^_{|}~"
"""Printable ASCII without what RDS excludes (``/``, ``"``, ``@``, space) and without quotes and backslash."""
INSIGHTS_RETENTION_DAYS = 7
"""The free retention, AWS's default."""


def key(resource: Any) -> str:
    """The name of an instance's or snapshot's directory."""
    return f"{resource.resource_id}.{resource.region}".replace(":", "_")


def _runs_here(instance: Any) -> bool:
    return instance.engine == "postgres" and instance.db_cluster_identifier is None


def _password(instance: Any) -> str | None:
    """The master's; None leaves the one that came with the data of a snapshot."""
    if instance.manage_master_user_password:
        secret = instance.master_user_secret.secret
        return str(json.loads(secret.versions[secret.default_version_id]["secret_string"])["password"])
    # moto gives the password back to nobody but itself.
    return instance._master_user_password or None


def _parameters(instance: Any) -> dict[str, str]:
    values: dict[str, str] = {}
    for group in instance.db_parameter_groups():
        for name, parameter in group.parameters.items():
            value = _own_names(parameter).get("ParameterValue")
            if value is not None:
                values[name] = str(value)
    return values


def _own_names(row: Any) -> dict[str, Any]:
    """A parameter in AWS's names; moto keeps them in snake case."""
    return {"".join(part[:1].upper() + part[1:] for part in name.split("_")): row[name] for name in row}


def _wanted(instance: Any, source: str | None = None) -> Wanted:
    return Wanted(
        key=key(instance),
        master=Master(instance.master_username or "postgres", _password(instance), instance.db_name or None),
        parameters=_parameters(instance),
        source=source,
        until=getattr(instance, "local_until", None) if source else None,
        archived=bool(instance.backup_retention_period),
    )


class _Clusters:
    """Keeps the supervisor in step with moto's instances, and the instances' status with the clusters."""

    def __init__(self, supervisor: Supervisor, lock: Any) -> None:
        self.supervisor = supervisor
        self.lock = lock

    def _settle(self, resource: Any, status: str, port: int | None, failure: str | None) -> None:
        with self.lock:
            resource.status = "failed" if failure else status
            resource.local_failure = failure
            if port is not None:
                resource.port = port

    def settled(self, resource: Any, status: str = "available") -> Callable[[int | None, str | None], None]:
        return partial(self._settle, resource, status)

    def create(self, instance: Any, source: str | None = None, until: float | None = None) -> None:
        instance.local_source, instance.local_until = source, until
        if self.supervisor.live:
            instance.status = "creating"
        self.supervisor.create(_wanted(instance, source), self.settled(instance))

    def restart(self, instance: Any, status: str) -> None:
        if self.supervisor.live:
            instance.status = status
        self.supervisor.restart(_wanted(instance), self.settled(instance))

    def apply(self, instance: Any) -> None:
        self.supervisor.apply(_wanted(instance), self._modifying(instance))

    def provide(self, instance: Any) -> None:
        self.supervisor.provide(_wanted(instance), self._modifying(instance))

    def _modifying(self, instance: Any) -> Callable[[int | None, str | None], None]:
        after = "stopped" if instance.status == "stopped" else "available"
        if self.supervisor.live:
            instance.status = "modifying"
        return self.settled(instance, after)

    def rename(self, old: str, instance: Any) -> None:
        if self.supervisor.live:
            instance.status = "renaming"
        self.supervisor.rename(old, _wanted(instance), self.settled(instance))

    def snapshot(self, snapshot: Any, source: Any) -> None:
        if self.supervisor.live:
            snapshot.status = "creating"
        self.supervisor.snapshot(key(source), key(snapshot), self.settled(snapshot))

    def earliest(self, instance: Any) -> float | None:
        """The first moment to which an instance can be restored, in seconds since 1970; None: to none."""
        if not (_runs_here(instance) and instance.backup_retention_period):
            return None
        kept = unix_time() - instance.backup_retention_period * DAY
        found = self.supervisor.earliest(key(instance))
        return None if found is None else max(found, kept)

    def restore_moment(self, instance: Any, overrides: dict[str, Any]) -> float:
        """The moment to which an instance is to be restored. What was possible when it was asked for may be
        so no longer when the history is replayed."""
        earliest = self.earliest(instance) if self.supervisor.live and _runs_here(instance) else 0.0
        return restore_moment(instance, overrides, earliest)

    def attach(self) -> None:
        """After a replay: every instance runs, and a snapshot whose copy a kill prevented says so."""
        for _account, _region, found in models.rds_backends.iter_backends():
            backend: Any = found
            for instance in backend.databases.values():
                if _runs_here(instance) and instance.status != "stopped":
                    instance.status = "starting"
                    source = getattr(instance, "local_source", None)
                    self.supervisor.run(_wanted(instance, source), self.settled(instance))
            for snapshot in backend.database_snapshots.values():
                if _runs_here(snapshot.database):
                    there = self.supervisor.has_snapshot(key(snapshot))
                    snapshot.status = "available" if there else "failed"


def _patch_instance(clusters: _Clusters) -> None:
    original = models.DBInstance.__init__

    def init(self: Any, backend: Any, *args: Any, **named: Any) -> None:
        self.local_resource_id = "db-" + mock_random.get_random_string(26).upper()
        original(self, backend, *args, **named)
        self.dbi_resource_id = self.local_resource_id
        _set_insights(self, named)

    def address(self: Any) -> str:
        if _runs_here(self):
            return "127.0.0.1"
        return f"{self.db_instance_identifier}.{self.region}.rds.amazonaws.com"

    def latest_restorable_time(self: Any) -> Any:
        """Now: the log is archived up to the moment of a restore, however little was written."""
        return utcnow() if clusters.earliest(self) is not None else None

    models.DBInstance.latest_restorable_time = property(  # type: ignore[assignment,method-assign]
        latest_restorable_time
    )
    models.DBInstance.__init__ = init  # type: ignore[method-assign]  # moto has no hook here
    models.DBInstance.address = property(address)  # type: ignore[assignment,method-assign]
    # An automated snapshot would claim a copy that nobody made.
    models.DBInstance.save_automated_backup = lambda self: None  # type: ignore[method-assign]


def _set_insights(instance: Any, named: dict[str, Any]) -> None:
    if named.get("enable_performance_insights") is not None:
        instance.performance_insights_enabled = bool(named["enable_performance_insights"])
    if not getattr(instance, "performance_insights_enabled", False):
        return
    retention = named.get("performance_insights_retention_period")
    instance.performance_insights_retention_period = int(retention or INSIGHTS_RETENTION_DAYS)
    instance.performance_insights_kms_key_id = (
        named.get("performance_insights_kms_key_id") or instance.kms_key_id
    )


def _patch_secret() -> None:
    def name(self: Any) -> str:
        return f"rds!db-{_uuid_of(self.resource)}"

    def content(self: Any) -> str:
        password = "".join(mock_random.choice(PASSWORD_CHARACTERS) for _ in range(PASSWORD_LENGTH))
        return json.dumps({"username": self.resource.master_username, "password": password})

    def rotate(self: Any) -> None:
        self.secretsmanager.put_secret_value(
            self.secret.arn, content(self), None, str(mock_random.uuid4()), ["AWSCURRENT"]
        )
        self._status = "rotating"

    models.MasterUserSecret._generate_secret_name = name  # type: ignore[method-assign]
    models.MasterUserSecret._generate_secret_string = content  # type: ignore[method-assign]
    models.MasterUserSecret.rotate_secret = rotate  # type: ignore[method-assign]


def _uuid_of(instance: Any) -> str:
    """A UUID that belongs to the instance, as in the names of RDS's secrets."""
    own = getattr(instance, "local_resource_id", None) or instance.arn
    return str(uuid.UUID(bytes=hashlib.sha256(own.encode()).digest()[:16], version=4))


def _patch_backend(clusters: _Clusters) -> None:
    backend = models.RDSBackend
    create = backend.create_db_instance
    modify, reboot, delete = (
        backend.modify_db_instance,
        backend.reboot_db_instance,
        backend.delete_db_instance,
    )
    modify_group = backend.modify_db_parameter_group
    stop, start = backend.stop_db_instance, backend.start_db_instance
    snapshot, copy, delete_snapshot = (
        backend.create_db_snapshot,
        backend.copy_db_snapshot,
        backend.delete_db_snapshot,
    )
    describe, modify_subnets = backend.describe_db_snapshots, backend.modify_db_subnet_group

    def create_db_instance(self: Any, db_kwargs: Any) -> Any:
        instance = create(self, db_kwargs)
        if _runs_here(instance):
            clusters.create(instance)
        return instance

    def restored(self: Any, values: dict[str, Any], source: str, until: float | None) -> Any:
        instance = create(self, values)
        if _runs_here(instance):
            clusters.create(instance, source, until)
        return instance

    def restore_db_instance_from_db_snapshot(self: Any, from_snapshot_id: str, overrides: Any) -> Any:
        name = (
            from_snapshot_id.rpartition(":")[2] if from_snapshot_id.startswith("arn:") else from_snapshot_id
        )
        found = self.get_db_snapshot(name)
        if found.status != "available":
            raise error("InvalidDBSnapshotState", f"The snapshot {name} is {found.status}.")
        values = restore_values(found.database, overrides, int(found.allocated_storage), found.tags)
        values |= {"kms_key_id": found.kms_key_id, "storage_encrypted": found.encrypted}
        return restored(self, values, key(found), None)

    def restore_db_instance_to_point_in_time(
        self: Any, source: str | None, target: str, overrides: Any
    ) -> Any:
        found = restore_source(self, source, overrides)
        until = clusters.restore_moment(found, overrides)
        values = restore_values(found, overrides, int(found.allocated_storage), found.tags)
        values["db_instance_identifier"] = target
        if not overrides.get("db_subnet_group_name"):
            # RDS puts it into the default one, from a snapshot alone into that of the source.
            values.pop("db_subnet_group_name", None)
        return restored(self, values, key(found), until)

    def modify_db_instance(self: Any, db_instance_identifier: str, db_kwargs: Any) -> Any:
        before = self.describe_db_instances(db_instance_identifier)[0]
        old = _wanted(before) if _runs_here(before) else None
        instance = modify(self, db_instance_identifier, db_kwargs)
        _set_insights(instance, dict(db_kwargs))
        if old is not None and key(instance) != old.key:
            clusters.rename(old.key, instance)
        elif old is not None and (wanted := _wanted(instance)) != old:
            if replace(wanted, master=old.master) == old:
                clusters.provide(instance)
            else:
                clusters.restart(instance, "modifying")
        return instance

    def modify_db_parameter_group(self: Any, db_parameter_group_name: str, *args: Any, **named: Any) -> Any:
        group = modify_group(self, db_parameter_group_name, *args, **named)
        for instance in self.databases.values():
            if _runs_here(instance) and instance.db_parameter_group_name == group.name:
                clusters.apply(instance)
        return group

    def reboot_db_instance(self: Any, db_instance_identifier: str) -> Any:
        instance = reboot(self, db_instance_identifier)
        if _runs_here(instance):
            clusters.restart(instance, "rebooting")
        return instance

    def stop_db_instance(self: Any, db_instance_identifier: str, *rest: Any) -> Any:
        instance = stop(self, db_instance_identifier, *rest)
        if _runs_here(instance):
            clusters.supervisor.stop(key(instance), clusters.settled(instance, "stopped"))
        return instance

    def start_db_instance(self: Any, db_instance_identifier: str) -> Any:
        instance = start(self, db_instance_identifier)
        if _runs_here(instance):
            clusters.restart(instance, "starting")
        return instance

    def delete_db_instance(self: Any, db_instance_identifier: str, *args: Any, **named: Any) -> Any:
        final = named.get("final_db_snapshot_identifier")
        skip = named.get("skip_final_snapshot")
        if db_instance_identifier in self.databases and bool(final) == bool(skip):
            raise error(
                "InvalidParameterCombination",
                "FinalDBSnapshotIdentifier is required unless SkipFinalSnapshot is specified."
                if not final
                else "FinalDBSnapshotIdentifier can not be specified when deleting with SkipFinalSnapshot.",
            )
        instance = delete(self, db_instance_identifier, *args, **named)
        if _runs_here(instance):
            clusters.supervisor.delete(key(instance))
        return instance

    def create_db_snapshot(self: Any, db_instance_identifier: str, *args: Any, **named: Any) -> Any:
        made = snapshot(self, db_instance_identifier, *args, **named)
        source = self.databases[db_instance_identifier]
        if _runs_here(source):
            clusters.snapshot(made, source)
        return made

    def copy_db_snapshot(self: Any, source_db_snapshot_identifier: str, *args: Any, **named: Any) -> Any:
        name = source_db_snapshot_identifier
        if name.startswith("arn:"):
            region, name = name.split(":")[3], name.rpartition(":")[2]
        else:
            region = self.region_name
        source = models.rds_backends[self.account_id][region].get_db_snapshot(name)
        made = copy(self, source_db_snapshot_identifier, *args, **named)
        if _runs_here(source.database):
            if clusters.supervisor.live:
                made.status = "creating"
            clusters.supervisor.copy_snapshot(key(source), key(made), clusters.settled(made))
        return made

    def describe_db_snapshots(
        self: Any,
        db_instance_identifier: str | None,
        db_snapshot_identifier: str | None = None,
        snapshot_type: str | None = None,
        filters: Any = None,
    ) -> Any:
        """Those of AWS Backup are listed with the others unless one type is asked for, as on AWS."""
        if snapshot_type is None and "snapshot-type" not in (filters or {}):
            filters = {**(filters or {}), "snapshot-type": ["automated", "manual", "awsbackup"]}
        return describe(self, db_instance_identifier, db_snapshot_identifier, snapshot_type, filters)

    def modify_db_subnet_group(self: Any, subnet_name: str, *args: Any, **named: Any) -> Any:
        """moto takes the group out and does not put it back."""
        if subnet_name not in self.subnet_groups:
            raise error("DBSubnetGroupNotFoundFault", f"Subnet group {subnet_name} not found.")
        group = modify_subnets(self, subnet_name, *args, **named)
        self.subnet_groups[subnet_name] = group
        return group

    def delete_db_snapshot(self: Any, db_snapshot_identifier: str) -> Any:
        gone = delete_snapshot(self, db_snapshot_identifier)
        if _runs_here(gone.database):
            clusters.supervisor.delete_snapshot(key(gone))
        return gone

    for method in (
        create_db_instance, restore_db_instance_from_db_snapshot, restore_db_instance_to_point_in_time,
        modify_db_instance, modify_db_parameter_group, reboot_db_instance, stop_db_instance,
        start_db_instance, delete_db_instance, create_db_snapshot, copy_db_snapshot, describe_db_snapshots,
        delete_db_snapshot, modify_db_subnet_group,
    ):  # fmt: skip
        setattr(backend, method.__name__, method)


def describe_db_parameters(response: Any, given: Parameters) -> dict[str, Any]:
    """The parameters of a group that were set; moto answers with none."""
    groups = response.backend.db_parameter_groups
    name = given["DBParameterGroupName"]
    if name not in groups:
        raise error("DBParameterGroupNotFound", f"DBParameterGroup not found: {name}")
    defaults = {"Source": "user", "IsModifiable": True, "ApplyMethod": "pending-reboot"}
    rows = [
        {"ParameterName": parameter, **defaults, **_own_names(row)}
        for parameter, row in sorted(groups[name].parameters.items())
    ]
    return {"Parameters": [] if given.get("Source") not in (None, "user") else rows}


def reset_db_parameter_group(response: Any, given: Parameters) -> dict[str, Any]:
    """Takes parameters back to the engine's defaults."""
    groups = response.backend.db_parameter_groups
    name = given["DBParameterGroupName"]
    if name not in groups:
        raise error("DBParameterGroupNotFound", f"DBParameterGroup not found: {name}")
    if given.get("ResetAllParameters"):
        groups[name].parameters.clear()
    for parameter in given.get("Parameters", []):
        groups[name].parameters.pop(parameter["ParameterName"], None)
    return {"DBParameterGroupName": name}


def _replications(backend: Any) -> dict[str, dict[str, Any]]:
    """Replicated automated backups of a region by their ARN."""
    if not hasattr(backend, "local_replications"):
        backend.local_replications = {}
    found: dict[str, dict[str, Any]] = backend.local_replications
    return found


def start_db_instance_automated_backups_replication(response: Any, given: Parameters) -> dict[str, Any]:
    """Notes that another region's automated backups are replicated to this one."""
    source_arn = given["SourceDBInstanceArn"]
    source_region, name = source_arn.split(":")[3], source_arn.rpartition(":")[2]
    source = models.rds_backends[response.current_account][source_region].databases.get(name)
    if source is None:
        raise error("DBInstanceNotFound", f"DBInstance {name} not found.")
    backend = response.backend
    for row in _replications(backend).values():
        if row["DBInstanceArn"] == source_arn:
            raise error("InvalidDBInstanceState", f"{source_arn} is replicated to this region already.")
    own = base64.b32encode(mock_random.randbytes(16)).decode().rstrip("=").lower()
    arn = f"arn:{backend.partition}:rds:{backend.region_name}:{backend.account_id}:auto-backup:ab-{own}"
    row = {
        "DBInstanceArn": source_arn,
        "DbiResourceId": source.dbi_resource_id,
        "Region": source_region,
        "DBInstanceIdentifier": name,
        "Status": "replicating",
        "Engine": source.engine,
        "EngineVersion": source.engine_version,
        "AllocatedStorage": source.allocated_storage,
        "Encrypted": source.storage_encrypted,
        "KmsKeyId": given.get("KmsKeyId"),
        "MasterUsername": source.master_username,
        "BackupRetentionPeriod": given.get("BackupRetentionPeriod", 7),
        "DBInstanceAutomatedBackupsArn": arn,
    }
    _replications(backend)[arn] = row
    return {"DBInstanceAutomatedBackup": row}


def stop_db_instance_automated_backups_replication(response: Any, given: Parameters) -> dict[str, Any]:
    """Ends a replication; its backups go."""
    rows = _replications(response.backend)
    for arn, row in list(rows.items()):
        if row["DBInstanceArn"] == given["SourceDBInstanceArn"]:
            return {"DBInstanceAutomatedBackup": {**rows.pop(arn), "Status": "deleting"}}
    raise error("DBInstanceNotFound", f"{given['SourceDBInstanceArn']} is not replicated to this region.")


def _automated_backup(instance: Any, clusters: _Clusters) -> dict[str, Any]:
    """The row of an instance's own automated backups."""
    own = hashlib.sha256(instance.dbi_resource_id.encode()).hexdigest()[:26]
    window = {}
    if (earliest := clusters.earliest(instance)) is not None:
        window = {"EarliestTime": datetime.fromtimestamp(earliest, UTC), "LatestTime": utcnow()}
    return {
        "DBInstanceArn": instance.db_instance_arn,
        "DbiResourceId": instance.dbi_resource_id,
        "Region": instance.region,
        "DBInstanceIdentifier": instance.db_instance_identifier,
        "RestoreWindow": window,
        "Status": "active" if window else "creating",
        "Engine": instance.engine,
        "EngineVersion": instance.engine_version,
        "AllocatedStorage": instance.allocated_storage,
        "Encrypted": instance.storage_encrypted,
        "KmsKeyId": instance.kms_key_id,
        "MasterUsername": instance.master_username,
        "BackupRetentionPeriod": instance.backup_retention_period,
        "DBInstanceAutomatedBackupsArn": instance.arn.replace(
            f":db:{instance.db_instance_identifier}", f":auto-backup:ab-{own}"
        ),
    }


def _patch_describe_automated_backups(clusters: _Clusters) -> None:
    original = RDSResponse.describe_db_instance_automated_backups

    def describe_db_instance_automated_backups(response: Any) -> Any:
        given = parameters(response)
        rows = list(_replications(response.backend).values())
        rows += [
            _automated_backup(instance, clusters)
            for instance in response.backend.databases.values()
            if _runs_here(instance) and instance.backup_retention_period
        ]
        for name in ("DBInstanceAutomatedBackupsArn", "DbiResourceId", "DBInstanceIdentifier"):
            if given.get(name) is not None:
                rows = [row for row in rows if row[name] == given[name]]
        arn = given.get("DBInstanceAutomatedBackupsArn")
        if arn is not None and not rows:
            raise error("DBInstanceAutomatedBackupNotFound", f"Automated backup {arn} not found.")
        return PaginatedResult({"DBInstanceAutomatedBackups": rows})

    setattr(RDSResponse, original.__name__, describe_db_instance_automated_backups)


def install(context: Context) -> None:
    """Puts the extension in place."""
    clusters = _Clusters(context.supervisor, context.lock)
    _patch_instance(clusters)
    _patch_secret()
    _patch_backend(clusters)
    _patch_describe_automated_backups(clusters)
    add(
        RDSResponse,
        describe_db_parameters,
        reset_db_parameter_group,
        start_db_instance_automated_backups_replication,
        stop_db_instance_automated_backups_replication,
    )
    context.supervisor.before_attach.append(clusters.attach)
