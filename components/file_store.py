"""The file store: an encrypted EFS file system that all servers share for attachments and sessions."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

import pulumi
import pulumi_aws as aws

from components.data_key import data_key
from components.iam import VERSION
from core import names

ROOT_DIRECTORY = "/odoo"


@dataclass(frozen=True, kw_only=True)
class RestoredFiles:
    """A file system that exists and was made by others, and the directory in it that the servers see."""

    file_system_id: str
    path: str


@dataclass(frozen=True, kw_only=True)
class FileStoreArgs:
    """What a `FileStore` is made from."""

    vpc_id: pulumi.Input[str]
    subnet_ids: Mapping[str, pulumi.Input[str]]
    """The data subnet of each zone by the zone's name, which is the stable key of its mount target.

    Each is an input of its own: in the preview of one more zone, the ids of the others are known.
    """
    key_alias: str
    """Alias of the KMS key without `alias/`, for example `openerp-prod-file-store`."""
    throughput: Literal["elastic", "bursting"] = "elastic"
    backup: bool = True
    """EFS's own daily backup, beside the plan of `BackupSnapshots`."""
    restored: RestoredFiles | None = None
    """Go on with this file system in place of one of its own."""
    protect: bool = False
    """Pulumi refuses to delete the file system and its key. Without it both may leave the program, and stay
    where they are: files are never deleted from here."""
    tags: Mapping[str, str] = field(default_factory=dict)


class FileStore(pulumi.ComponentResource):
    """EFS with a mount target a zone and one access point that enforces Odoo's uid and gid."""

    file_system_id: pulumi.Output[str]
    file_system_arn: pulumi.Output[str]
    path: str
    """Directory of the file system that the access point shows as the root."""
    access_point_id: pulumi.Output[str]
    access_point_arn: pulumi.Output[str]
    security_group_id: pulumi.Output[str]
    kms_key_arn: pulumi.Output[str]

    def __init__(self, name: str, args: FileStoreArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("openerp:index:FileStore", name, None, opts)
        self._name = name
        self._args = args
        self.path = args.restored.path if args.restored else ROOT_DIRECTORY
        self._child = pulumi.ResourceOptions(parent=self)
        self._kept = pulumi.ResourceOptions(parent=self, protect=args.protect, retain_on_delete=True)

        key = data_key(
            name,
            description="File store",
            alias=args.key_alias,
            tags=args.tags,
            kept=self._kept,
            child=self._child,
        )
        file_system = self._file_system(key)
        group = aws.ec2.SecurityGroup(
            f"{name}-access",
            description="Who may mount the file store: servers open the way in themselves",
            vpc_id=args.vpc_id,
            tags={"Name": f"{name}-access", **args.tags},
            opts=self._child,
        )
        for zone, subnet_id in args.subnet_ids.items():
            aws.efs.MountTarget(
                f"{name}-{zone}",
                file_system_id=file_system.id,
                subnet_id=subnet_id,
                security_groups=[group.id],
                opts=self._child,
            )
        access_point = self._access_point(file_system)
        self._policies(file_system)

        self.file_system_id = file_system.id
        self.file_system_arn = file_system.arn
        self.access_point_id = access_point.id
        self.access_point_arn = access_point.arn
        self.security_group_id = group.id
        self.kms_key_arn = key.arn
        self.register_outputs(
            {
                "file_system_id": self.file_system_id,
                "file_system_arn": self.file_system_arn,
                "path": self.path,
                "access_point_id": self.access_point_id,
                "access_point_arn": self.access_point_arn,
                "security_group_id": self.security_group_id,
                "kms_key_arn": self.kms_key_arn,
            }
        )

    def _file_system(self, key: aws.kms.Key) -> aws.efs.FileSystem:
        """Make the file system, or read the one that takes its place.

        Under one name, so that the engine replaces the one by the other: what is made for a file system is
        made for the new one before that of the former goes.
        """
        name = f"{self._name}-files"
        if self._args.restored is not None:
            return aws.efs.FileSystem.get(name, self._args.restored.file_system_id, opts=self._child)
        return aws.efs.FileSystem(
            name,
            encrypted=True,
            kms_key_id=key.arn,
            performance_mode="generalPurpose",
            throughput_mode=self._args.throughput,
            lifecycle_policies=[
                # Attachments are read in their first days and rarely afterwards; one that is read again
                # comes back at once.
                aws.efs.FileSystemLifecyclePolicyArgs(transition_to_ia="AFTER_30_DAYS"),
                aws.efs.FileSystemLifecyclePolicyArgs(transition_to_primary_storage_class="AFTER_1_ACCESS"),
            ],
            tags={"Name": name, **self._args.tags},
            opts=self._kept,
        )

    def _access_point(self, file_system: aws.efs.FileSystem) -> aws.efs.AccessPoint:
        return aws.efs.AccessPoint(
            f"{self._name}-odoo",
            file_system_id=file_system.id,
            posix_user=aws.efs.AccessPointPosixUserArgs(uid=names.ODOO_UID, gid=names.ODOO_GID),
            root_directory=aws.efs.AccessPointRootDirectoryArgs(
                path=self.path,
                # A directory that a restore should have brought, and did not, is not to be made empty.
                creation_info=None
                if self._args.restored
                else aws.efs.AccessPointRootDirectoryCreationInfoArgs(
                    owner_uid=names.ODOO_UID, owner_gid=names.ODOO_GID, permissions="0750"
                ),
            ),
            tags={"Name": f"{self._name}-odoo", **self._args.tags},
            opts=self._child,
        )

    def _policies(self, file_system: aws.efs.FileSystem) -> None:
        aws.efs.BackupPolicy(
            f"{self._name}-backup",
            file_system_id=file_system.id,
            backup_policy=aws.efs.BackupPolicyBackupPolicyArgs(
                status="ENABLED" if self._args.backup else "DISABLED"
            ),
            opts=self._child,
        )
        aws.efs.FileSystemPolicy(
            f"{self._name}-policy",
            file_system_id=file_system.id,
            # A policy without an Allow ends anonymous mounting: only a role whose own policy allows it
            # (the servers', for this access point) gets in.
            policy=pulumi.Output.json_dumps(
                {
                    "Version": VERSION,
                    "Statement": [
                        {
                            "Sid": "TlsOnly",
                            "Effect": "Deny",
                            "Principal": {"AWS": "*"},
                            "Action": "*",
                            "Resource": file_system.arn,
                            "Condition": {"Bool": {"aws:SecureTransport": "false"}},
                        },
                    ],
                }
            ),
            opts=self._child,
        )
