"""Restoring a file store: a new file system by AWS Backup, with what was restored in its place."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from botocore.exceptions import ClientError

from core import outputs as names
from core.checkpoint import Manifest
from core.names import PROJECT
from ops.aws import Aws, code, explained, wait
from ops.checkpoints import on_server, parts
from ops.errors import OpsError
from ops.run import Run
from ops.site import Site

RESTORE_SECONDS: Final = 48 * 3600.0
"""AWS Backup restores large file stores for hours."""
MOUNT_SECONDS: Final = 600.0


@dataclass(frozen=True, kw_only=True)
class Restored:
    """A file system that holds what a checkpoint did."""

    file_system_id: str
    path: str
    """Directory in it that the servers are to see as the root."""


def check_way(site: Site) -> None:
    """Raise OpsError where nobody here can look into a file system that AWS Backup makes."""
    if site.file_systems is None and not site.servers.online("app"):
        raise OpsError(
            f"no app server of {site.name} is reached by SSM Run Command, and no file system is mounted here "
            "(--file-systems): nobody could find what AWS Backup restores; nothing was touched"
        )


def restore_files(site: Site, manifest: Manifest, run: Run) -> Restored:
    """Restore the files of a checkpoint to a new file system of `site`, once a run.

    `manifest` may be one of another stack of the same account. The new file system is encrypted with the key
    of the site's file store and set up as its present one; nothing uses it yet.
    """
    if run.get("files") is None:
        file_system = _restored(site, manifest, run)
        _set_up(site, file_system, run)
        site.reporter.step("put the restored files in their place")
        path = _settle(site, file_system, manifest.recovery_point.path)
        run.note(files={"file_system_id": file_system, "path": path})
    return Restored(**run["files"])


def _restored(site: Site, manifest: Manifest, run: Run) -> str:
    point = manifest.recovery_point
    attempt = run.get("files_attempt") or 1
    if run.get("files_job") is None:
        parts.check_point(site.aws, point, manifest.label)
        site.reporter.step("restore the files to a new file system")
        token = f"{PROJECT}-{site.name}-restore-{run['id']}-{attempt}"
        with explained(f"a restore of the recovery point {point.arn}"):
            job = site.aws.client("backup").start_restore_job(
                RecoveryPointArn=point.arn,
                ResourceType="EFS",
                IamRoleArn=str(site.stack.output(names.BACKUP_ROLE_ARN)),
                IdempotencyToken=token,
                Metadata={
                    "file-system-id": point.file_system_id,
                    "newFileSystem": "true",
                    "CreationToken": token,
                    "Encrypted": "true",
                    "KmsKeyId": str(site.stack.output(names.FILE_STORE_KMS_KEY_ARN)),
                    "PerformanceMode": "generalPurpose",
                },
            )["RestoreJobId"]
        run.note(files_job=job)
    else:
        site.reporter.step("wait for the files in the new file system")
    try:
        return _await(site, run["files_job"])
    except parts.FailedError as failed:
        run.note(files_job=None, files_attempt=attempt + 1)
        raise OpsError(f"{failed}; the same command tries again") from None


def _await(site: Site, job: str) -> str:
    def look() -> str | None:
        with explained(f"the restore job {job}"):
            row = site.aws.client("backup").describe_restore_job(RestoreJobId=job)
        if row["Status"] in ("PENDING", "RUNNING"):
            return None
        made = str(row.get("CreatedResourceArn") or "").rpartition("/")[2]
        if row["Status"] != "COMPLETED" or not made:
            said = row.get("StatusMessage") or f"its status is {row['Status']}"
            left = f" (it left the file system {made}, which nothing uses)" if made else ""
            raise parts.FailedError(f"AWS Backup could not restore the files (job {job}): {said}{left}")
        return made

    return wait(f"the restored files (job {job})", look, site.reporter, seconds=RESTORE_SECONDS)


def _set_up(site: Site, file_system: str, run: Run) -> None:
    """Give the new file system its name, and throughput and lifecycle of the present one."""
    efs = site.aws.client("efs")
    present = str(site.stack.output(names.FILE_SYSTEM_ID))
    with explained(f"setting the file system {file_system} up"):
        tags = {"Name": f"file-store-{run['id']}", **parts.tags(site.name, str(run["label"]))}
        efs.tag_resource(ResourceId=file_system, Tags=parts.as_list(tags))
        mode = _mode(efs, present)
        if mode in ("elastic", "bursting") and mode != _mode(efs, file_system):
            efs.update_file_system(FileSystemId=file_system, ThroughputMode=mode)
        policies = efs.describe_lifecycle_configuration(FileSystemId=present)["LifecyclePolicies"]
        efs.put_lifecycle_configuration(FileSystemId=file_system, LifecyclePolicies=policies)


def _mode(efs: Any, file_system: str) -> str:
    row: Mapping[str, Any] = efs.describe_file_systems(FileSystemId=file_system)["FileSystems"][0]
    return str(row.get("ThroughputMode"))


def _settle(site: Site, file_system: str, path: str) -> str:
    """Find what was restored and move it to where a stack has it; by a mount here, or by a server."""
    folder = None if site.file_systems is None else site.file_systems / file_system
    if folder is not None and folder.is_dir():
        try:
            return on_server.settle(str(folder), path)
        except RuntimeError as error:
            raise OpsError(f"{file_system}: {error}") from None
    if not site.servers.online("app"):
        raise OpsError(
            f"{file_system} is not mounted at {folder}, and no app server of {site.name} is reached by SSM "
            "Run Command: mount it there, or bring a server up, and give the same command again"
        )
    address = _open(site, file_system)
    try:
        found = site.servers.python(
            site.servers.one("app"),
            Path(on_server.__file__),
            "settle_on_server",
            {"file_system": file_system, "address": address, "path": path, "seconds": 180},
            what="find the restored files",
            seconds=900,
        )
    finally:
        _shut(site.aws, file_system, site)
    return str(found)


def _targets(aws: Aws, file_system: str) -> list[Mapping[str, Any]]:
    found: list[Mapping[str, Any]] = aws.client("efs").describe_mount_targets(FileSystemId=file_system)[
        "MountTargets"
    ]
    return found


def _open(site: Site, file_system: str) -> str:
    """Make a mount target for the one look, which servers of all zones reach; return its address."""
    with explained(f"a mount target of {file_system}"):
        if not _targets(site.aws, file_system):
            site.aws.client("efs").create_mount_target(
                FileSystemId=file_system,
                SubnetId=str(site.stack.output(names.DATA_SUBNET_IDS)[0]),
                SecurityGroups=[str(site.stack.output(names.FILE_STORE_SECURITY_GROUP_ID))],
            )

    def look() -> str | None:
        with explained(f"the mount target of {file_system}"):
            rows = _targets(site.aws, file_system)
        return str(rows[0]["IpAddress"]) if rows and rows[0]["LifeCycleState"] == "available" else None

    return wait(f"a mount target of {file_system}", look, site.reporter, seconds=MOUNT_SECONDS)


def _shut(aws: Aws, file_system: str, site: Site) -> None:
    """Take the mount target away again: the stack makes its own."""

    def gone() -> bool | None:
        with explained(f"the mount target of {file_system}"):
            for row in _targets(aws, file_system):
                if row["LifeCycleState"] not in ("deleting", "deleted"):
                    try:
                        aws.client("efs").delete_mount_target(MountTargetId=row["MountTargetId"])
                    except ClientError as error:
                        if code(error) != "MountTargetNotFound":
                            raise
            return None if _targets(aws, file_system) else True

    wait(f"the end of the mount target of {file_system}", gone, site.reporter, seconds=MOUNT_SECONDS)
