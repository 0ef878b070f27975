"""EFS: the backup policy can be set, the file-system policy deleted; what a file system held and its access
points go with it."""

from __future__ import annotations

from typing import Any

from moto.efs import urls
from moto.efs.models import EFSBackend
from moto.efs.responses import EFSResponse

from local.emulator.extensions import Context
from local.emulator.extensions.toolkit import Parameters, add, errors, route_all

error = errors("efs")


def _file_system(response: Any, given: Parameters) -> Any:
    name = given["FileSystemId"]
    found = response.efs_backend.file_systems_by_id.get(name)
    if found is None:
        raise error("FileSystemNotFound", f"File system '{name}' does not exist.")
    return found


def put_backup_policy(response: Any, given: Parameters) -> dict[str, Any]:
    """Turns automatic backups on or off."""
    status = given["BackupPolicy"]["Status"]
    if status not in ("ENABLED", "DISABLED"):
        raise error("ValidationException", f"Status {status} must be ENABLED or DISABLED")
    file_system = _file_system(response, given)
    file_system._backup = status == "ENABLED"
    file_system.local_backup_status = status
    return {"BackupPolicy": {"Status": status}}


def describe_backup_policy(response: Any, given: Parameters) -> dict[str, Any]:
    """What was set; one that was never set is absent, as on AWS."""
    file_system = _file_system(response, given)
    status = getattr(file_system, "local_backup_status", "ENABLED" if file_system._backup else None)
    if status is None:
        raise error("PolicyNotFound", "None of the backup policies is set for this file system.")
    return {"BackupPolicy": {"Status": status}}


def delete_file_system_policy(response: Any, given: Parameters) -> None:
    """Takes the policy away; the default one applies again."""
    _file_system(response, given).file_system_policy = None


def update_file_system_protection(response: Any, given: Parameters) -> dict[str, Any]:
    """Whether replication may overwrite the file system."""
    value = given.get("ReplicationOverwriteProtection", "ENABLED")
    _file_system(response, given).local_protection = value
    return {"ReplicationOverwriteProtection": value}


def _patch_delete(context: Context) -> None:
    delete = EFSBackend.delete_file_system

    def delete_file_system(self: Any, file_system_id: str) -> None:
        delete(self, file_system_id)
        for name, access in list(self.access_points.items()):
            if access.file_system_id == file_system_id:
                self.delete_access_point(name)
        context.files.remove_file_system(file_system_id)

    setattr(EFSBackend, delete.__name__, delete_file_system)


def install(context: Context) -> None:
    """Puts the extension in place."""
    _patch_delete(context)
    route_all(urls)
    add(
        EFSResponse,
        put_backup_policy,
        describe_backup_policy,
        delete_file_system_policy,
        update_file_system_protection,
    )
