"""RDS: what an instance is made with that is restored, from a snapshot or to a moment."""

from __future__ import annotations

import copy
import math
from datetime import UTC, datetime
from typing import Any

from moto.core.utils import unix_time

from local.emulator.extensions.toolkit import errors

error = errors("rds")

DAY = 24 * 3600
LATEST = math.inf
LARGEST_STORAGE = 65_536
"""GiB."""
NOT_INHERITED = {
    "backend", "db_subnet_group", "db_parameter_group_name", "vpc_security_group_ids", "port", "tags",
    "max_allocated_storage", "deletion_protection", "multi_az", "source_db_instance_identifier", "replicas",
    "manage_master_user_password", "master_user_password", "master_user_secret",
}  # fmt: skip
"""What of an instance its restore has only if it is asked for: as on RDS, which gives it the default
parameter group and security group, no protection, one zone, and the password that is in the data."""
OF_THE_REQUEST = {
    "db_snapshot_identifier", "source_db_instance_identifier", "target_db_instance_identifier",
    "source_dbi_resource_id", "restore_time", "use_latest_restorable_time", "tag_specifications",
    "manage_master_user_password",
}  # fmt: skip
"""What a request says of the restore and not of the instance."""


def restore_values(
    source: Any, overrides: dict[str, Any], size: int, tags: list[dict[str, str]]
) -> dict[str, Any]:
    """The arguments of the instance that is restored from ``source``, as it was then, with ``size`` GiB."""
    if overrides.get("manage_master_user_password") and source.engine == "postgres":
        raise error(
            "InvalidParameterCombination",
            "ManageMasterUserPassword applies to RDS for Oracle only when an instance is restored: modify "
            "the instance when it is available.",
        )
    _check_storage(overrides.get("allocated_storage"), size)
    values = {}
    for name, value in source.__dict__.items():
        plain = name.removeprefix("_")
        if plain not in NOT_INHERITED and not plain.startswith("local_"):
            values[plain] = copy.copy(value)
    if not source.option_group_supplied:
        # It is the default one, which cannot be asked for.
        del values["option_group_name"]
    given = {name: value for name, value in overrides.items() if value is not None}
    values |= {name: value for name, value in given.items() if name not in OF_THE_REQUEST}
    values["tags"] = given.get("tags") or list(tags)
    return values


def _check_storage(wanted: Any, size: int) -> None:
    if wanted is None:
        return
    if int(wanted) < size:
        raise error(
            "InvalidParameterValue",
            f"The allocated storage size of {wanted} GiB can't be less than the source snapshot or backup "
            f"size of {size} GiB.",
        )
    if int(wanted) > LARGEST_STORAGE:
        raise error(
            "InvalidParameterValue",
            f"Invalid storage size: {wanted} GiB are more than the {LARGEST_STORAGE} GiB that are possible.",
        )


def restore_source(backend: Any, name: str | None, overrides: dict[str, Any]) -> Any:
    """The instance that a request to restore to a moment names, by identifier or resource id."""
    if name:
        return backend.describe_db_instances(name)[0]
    resource = overrides.get("source_dbi_resource_id")
    for instance in backend.databases.values():
        if instance.dbi_resource_id == resource:
            return instance
    if resource:
        raise error("DBInstanceNotFound", f"DBInstance {resource} not found.")
    raise error("InvalidParameterCombination", "You must specify the source DB instance.")


def restore_moment(source: Any, overrides: dict[str, Any], earliest: float | None) -> float:
    """The moment that a request asks for: seconds since 1970, or ``LATEST``."""
    name, wanted = source.db_instance_identifier, overrides.get("restore_time")
    latest = bool(overrides.get("use_latest_restorable_time"))
    if latest == (wanted is not None):
        raise error(
            "InvalidParameterCombination",
            "You must specify exactly one of RestoreTime and UseLatestRestorableTime.",
        )
    if not source.backup_retention_period:
        raise error(
            "PointInTimeRestoreNotEnabled",
            f"Point-in-time restore is not enabled for {name}: its BackupRetentionPeriod is 0.",
        )
    if earliest is None:
        raise error("InvalidDBInstanceState", f"DB instance {name} has no automated backup yet.")
    if latest:
        return LATEST
    moment, now = _seconds(wanted), unix_time()
    if not earliest <= moment <= now:
        raise error(
            "InvalidParameterValue",
            f"The RestoreTime {_told(moment)} is outside the restorable window of {name}, which is from "
            f"{_told(earliest)} to {_told(now)}.",
        )
    return moment


def _seconds(moment: Any) -> float:
    if isinstance(moment, str):
        moment = datetime.fromisoformat(moment)
    if isinstance(moment, datetime):
        return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
    return float(moment)


def _told(moment: float) -> str:
    return datetime.fromtimestamp(moment, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
