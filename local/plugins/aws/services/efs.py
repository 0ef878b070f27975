"""EFS: file systems, mount targets, access points, policies."""

from __future__ import annotations

from local.plugins.aws.context import Context
from local.plugins.aws.row import Call, Row, Step
from local.plugins.aws.services import _tagging as tagging

TAGS = tagging.by_resource("ResourceId", "{id}")


def _set_lifecycle(context: Context) -> None:
    shape = context.shape("PutLifecycleConfiguration").members["LifecyclePolicies"]
    policies = context.convert(shape, context.inputs.get("lifecyclePolicies") or [])
    context.call("PutLifecycleConfiguration", FileSystemId=context.id, LifecyclePolicies=policies)


FILE_SYSTEM = Row(
    type="aws:efs/fileSystem:FileSystem",
    service="efs",
    inputs="creationToken encrypted kmsKeyId performanceMode throughputMode provisionedThroughputInMibps "
    "availabilityZoneName lifecyclePolicies protection",
    create=Call("CreateFileSystem"),
    id="FileSystemId",
    read=Call("DescribeFileSystems", {"FileSystemId": "{id}"}, "FileSystems[0]", inputs=""),
    update=Call(
        "UpdateFileSystem",
        {"FileSystemId": "{id}"},
        inputs="throughputMode provisionedThroughputInMibps",
        changed=True,
    ),
    defaults={"throughputMode": "bursting"},
    steps=(
        Step("lifecyclePolicies", _set_lifecycle),
        Step(
            "protection",
            Call(
                "UpdateFileSystemProtection",
                {
                    "FileSystemId": "{id}",
                    "ReplicationOverwriteProtection": "{protection.replicationOverwrite}",
                },
                inputs="",
            ),
        ),
    ),
    delete=(Call("DeleteFileSystem", {"FileSystemId": "{id}"}, inputs=""),),
    outputs={
        "arn": "FileSystemArn",
        "dnsName": "{id}.efs.{region}.amazonaws.com",
        "name": "Name",
        "numberOfMountTargets": "NumberOfMountTargets",
        "ownerId": "OwnerId",
        "availabilityZoneId": "AvailabilityZoneId",
    },
    computed="creationToken encrypted kmsKeyId performanceMode availabilityZoneName protection",
    reads={"lifecyclePolicies": "", "protection": ""},
    replace="creationToken encrypted kmsKeyId performanceMode availabilityZoneName",
    tags=TAGS,
)

MOUNT_TARGET = Row(
    type="aws:efs/mountTarget:MountTarget",
    service="efs",
    inputs="fileSystemId subnetId securityGroups ipAddress",
    create=Call("CreateMountTarget"),
    id="MountTargetId",
    read=Call("DescribeMountTargets", {"MountTargetId": "{id}"}, "MountTargets[0]", inputs=""),
    update=Call("ModifyMountTargetSecurityGroups", {"MountTargetId": "{id}"}, inputs="securityGroups"),
    delete=(Call("DeleteMountTarget", {"MountTargetId": "{id}"}, inputs=""),),
    outputs={
        "availabilityZoneId": "AvailabilityZoneId",
        "availabilityZoneName": "AvailabilityZoneName",
        "dnsName": "{fileSystemId}.efs.{region}.amazonaws.com",
        "fileSystemArn": "arn:{partition}:elasticfilesystem:{region}:{account}:file-system/{fileSystemId}",
        "mountTargetDnsName": "{@.AvailabilityZoneName}.{fileSystemId}.efs.{region}.amazonaws.com",
        "networkInterfaceId": "NetworkInterfaceId",
        "ownerId": "OwnerId",
    },
    computed="securityGroups ipAddress",
    reads={"securityGroups": lambda context: _security_groups(context)},
    replace="fileSystemId subnetId ipAddress",
    slot="fileSystemId subnetId",
)


def _security_groups(context: Context) -> list[str]:
    answer = context.call("DescribeMountTargetSecurityGroups", MountTargetId=context.id)
    return list(answer["SecurityGroups"])


ACCESS_POINT = Row(
    type="aws:efs/accessPoint:AccessPoint",
    service="efs",
    inputs="fileSystemId posixUser rootDirectory",
    create=Call("CreateAccessPoint"),
    id="AccessPointId",
    read=Call("DescribeAccessPoints", {"AccessPointId": "{id}"}, "AccessPoints[0]", inputs=""),
    delete=(Call("DeleteAccessPoint", {"AccessPointId": "{id}"}, inputs=""),),
    outputs={
        "arn": "AccessPointArn",
        "fileSystemArn": "arn:{partition}:elasticfilesystem:{region}:{account}:file-system/{fileSystemId}",
        "ownerId": "OwnerId || ''",
    },
    computed="rootDirectory",
    replace="fileSystemId posixUser rootDirectory",
    tags=TAGS,
)

BACKUP_POLICY = Row(
    type="aws:efs/backupPolicy:BackupPolicy",
    service="efs",
    inputs="fileSystemId backupPolicy",
    create=Call("PutBackupPolicy"),
    id="{fileSystemId}",
    read=Call("DescribeBackupPolicy", {"FileSystemId": "{id}"}, inputs=""),
    update=Call("PutBackupPolicy"),
    delete=(
        Call("PutBackupPolicy", {"FileSystemId": "{id}", "BackupPolicy": {"Status": "DISABLED"}}, inputs=""),
    ),
    reads={"fileSystemId": ""},
    replace="fileSystemId",
    slot="fileSystemId",
)

FILE_SYSTEM_POLICY = Row(
    type="aws:efs/fileSystemPolicy:FileSystemPolicy",
    service="efs",
    inputs="fileSystemId policy bypassPolicyLockoutSafetyCheck",
    defaults={"bypassPolicyLockoutSafetyCheck": False},
    create=Call("PutFileSystemPolicy"),
    id="{fileSystemId}",
    read=Call("DescribeFileSystemPolicy", {"FileSystemId": "{id}"}, inputs=""),
    update=Call("PutFileSystemPolicy"),
    delete=(Call("DeleteFileSystemPolicy", {"FileSystemId": "{id}"}, inputs=""),),
    replace="fileSystemId",
    slot="fileSystemId",
)

ROWS = (FILE_SYSTEM, MOUNT_TARGET, ACCESS_POINT, BACKUP_POLICY, FILE_SYSTEM_POLICY)
