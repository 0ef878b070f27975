"""What a drill makes on AWS: a security group, a database server, a file system, a server."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from core import names as constants
from core import outputs as names
from core.drill_server import DrillServerError, Restored, drill_user_data
from core.servers import UserDataTooLargeError
from ops.aws import explained
from ops.checkpoints.parts import file_system_arn
from ops.drills import own
from ops.errors import OpsError
from ops.site import Site

WAYS_OUT: Final = frozenset({constants.HTTP_PORT, constants.HTTPS_PORT})
"""To AWS, and to Debian's packages where no image brings them. Odoo has no way out: its unit is fenced."""
POLICY: Final = "2012-10-17"


@dataclass(frozen=True, kw_only=True)
class Template:
    """The launch template of the stack's app servers, in the version that they run."""

    id: str
    version: str
    user_data: str
    """As AWS gives it, base64."""
    profile: str
    """Name of the instance profile."""


@dataclass(frozen=True, kw_only=True)
class Place:
    """What the stack's outputs and its database server say: looked up before anything is made."""

    vpc_id: str
    vpc_cidr: str
    data_subnets: tuple[str, ...]
    server_subnet: str
    instance_class: str
    engine_version: str
    database_arn: str
    latest_restorable: Any
    """The last moment to which the database server can be taken back; None where that is off."""
    storage_gb: int
    template: Template | None


def place(site: Site, *, with_server: bool) -> Place:
    """Look up where a drill is to be. Raises OpsError where the stack is of an earlier version."""
    output = site.stack.output
    identifier = str(output(names.DATABASE_INSTANCE_IDENTIFIER))
    with explained(f"the database server {identifier}"):
        row = site.aws.client("rds").describe_db_instances(DBInstanceIdentifier=identifier)["DBInstances"][0]
    return Place(
        vpc_id=str(output(names.VPC_ID)),
        vpc_cidr=str(output(names.VPC_CIDR)),
        data_subnets=tuple(map(str, output(names.DATA_SUBNET_IDS))),
        server_subnet=str(output(names.SERVER_SUBNET_IDS)[0]),
        instance_class=row["DBInstanceClass"],
        engine_version=row["EngineVersion"],
        database_arn=row["DBInstanceArn"],
        latest_restorable=row.get("LatestRestorableTime"),
        storage_gb=int(row.get("AllocatedStorage") or 0),
        template=_template(site) if with_server else None,
    )


def _template(site: Site) -> Template:
    identifier = str(site.stack.output(names.APP_LAUNCH_TEMPLATE_ID))
    with explained(f"the launch template {identifier}"):
        row = site.aws.client("ec2").describe_launch_template_versions(
            LaunchTemplateId=identifier, Versions=["$Latest"]
        )["LaunchTemplateVersions"][0]
    data = row["LaunchTemplateData"]
    profile = data.get("IamInstanceProfile") or {}
    return Template(
        id=identifier,
        version=str(row["VersionNumber"]),
        user_data=data.get("UserData", ""),
        profile=profile.get("Name") or str(profile.get("Arn", "")).rpartition("/")[2],
    )


def make_group(site: Site, drill: str, at: Place, *, admit_operators: bool) -> str:
    """Make the drill's own security group and return its id.

    Whatever is in it reaches the database server and the file system in it, and nothing else does, unless
    operators compare the data from where they are: then as from there they reach the stack's own database.
    """
    ec2 = site.aws.client("ec2")
    title = own.name(site.name, drill)
    with explained(f"the security group {title}"):
        group: str = ec2.create_security_group(
            GroupName=title,
            Description="A drill: restored data, and the one server that reaches it",
            VpcId=at.vpc_id,
            TagSpecifications=[{"ResourceType": "security-group", "Tags": own.tags(site.name, drill)}],
        )["GroupId"]
        made = ec2.describe_security_groups(GroupIds=[group])["SecurityGroups"][0]
        if made["IpPermissionsEgress"]:  # EC2 lets a new group reach everything
            ec2.revoke_security_group_egress(GroupId=group, IpPermissions=made["IpPermissionsEgress"])
        within = [
            _tcp(port, UserIdGroupPairs=[{"GroupId": group}])
            for port in (constants.POSTGRES_PORT, constants.NFS_PORT)
        ]
        ways_in, ways_out = list(within), list(within)
        if admit_operators:
            theirs = _rules(site, names.DATABASE_SECURITY_GROUP_ID, "IpPermissions")
            ways_in += [rule for row in theirs for rule in _open(row, {constants.POSTGRES_PORT})]
        servers = _rules(site, names.APP_SECURITY_GROUP_ID, "IpPermissionsEgress")
        ways_out += [rule for row in servers for rule in _open(row, WAYS_OUT)]
        ec2.authorize_security_group_ingress(GroupId=group, IpPermissions=ways_in)
        ec2.authorize_security_group_egress(GroupId=group, IpPermissions=ways_out)
    return group


def _rules(site: Site, output: str, key: str) -> list[dict[str, Any]]:
    groups = site.aws.client("ec2").describe_security_groups(GroupIds=[str(site.stack.output(output))])
    found: list[dict[str, Any]] = groups["SecurityGroups"][0][key]
    return found


def _tcp(port: int, **peers: Any) -> dict[str, Any]:
    return {"IpProtocol": "tcp", "FromPort": port, "ToPort": port, **peers}


def _open(row: Mapping[str, Any], ports: frozenset[int] | set[int]) -> list[dict[str, Any]]:
    """Return a rule as far as it is about addresses, not groups, and about one of `ports`."""
    port = row.get("FromPort")
    if row["IpProtocol"] != "tcp" or port is None or port not in ports or port != row.get("ToPort"):
        return []
    peers = {key: row[key] for key in ("IpRanges", "Ipv6Ranges", "PrefixListIds") if row.get(key)}
    return [_tcp(port, **peers)] if peers else []


def restore_database(site: Site, drill: str, at: Place, snapshot: str, group: str) -> list[str]:
    """Begin to restore the database server; return what a person should know of it.

    Raises OpsError, as for a snapshot that is gone.
    """
    rds, output = site.aws.client("rds"), site.stack.output
    notes: list[str] = []
    with explained(f"the snapshot {snapshot}"):
        row = rds.describe_db_snapshots(DBSnapshotIdentifier=snapshot)["DBSnapshots"][0]
    parameters = {"DBParameterGroupName": str(output(names.DATABASE_PARAMETER_GROUP_NAME))}
    then, now = (str(version).partition(".")[0] for version in (row["EngineVersion"], at.engine_version))
    if then != now:
        parameters = {}
        notes.append(
            f"the snapshot is of PostgreSQL {then}, the stack's server of {now}: restored with RDS's own "
            "parameters"
        )
    with explained(f"a restore of the snapshot {snapshot}"):
        rds.restore_db_instance_from_db_snapshot(
            DBInstanceIdentifier=own.name(site.name, drill),
            DBSnapshotIdentifier=snapshot,
            DBInstanceClass=at.instance_class,
            DBSubnetGroupName=str(output(names.DATABASE_SUBNET_GROUP_NAME)),
            **parameters,
            VpcSecurityGroupIds=[group],
            MultiAZ=False,
            PubliclyAccessible=False,
            AutoMinorVersionUpgrade=False,
            CopyTagsToSnapshot=False,
            DeletionProtection=False,
            BackupRetentionPeriod=0,
            Tags=own.tags(site.name, drill),
        )
    return notes


@dataclass(frozen=True, kw_only=True)
class DatabaseServer:
    """The restored database server."""

    address: str
    port: int
    master_secret_arn: str


def database(site: Site, drill: str) -> DatabaseServer | None:
    """Return the restored database server when it can be used; None before. Raises OpsError if never.

    Its master user gets a password of its own by a change: RDS takes that with a restore for Oracle only.
    """
    rds, identifier = site.aws.client("rds"), own.name(site.name, drill)
    with explained(f"the database server {identifier}"):
        row = rds.describe_db_instances(DBInstanceIdentifier=identifier)["DBInstances"][0]
        status, secret = row["DBInstanceStatus"], row.get("MasterUserSecret") or {}
        if status in ("failed", "storage-full") or status.startswith("incompatible"):
            raise OpsError(f"RDS could not restore {identifier}: its status is {status}")
        if status != "available" or "Endpoint" not in row:
            return None
        if not secret and not row.get("PendingModifiedValues"):
            rds.modify_db_instance(
                DBInstanceIdentifier=identifier,
                ManageMasterUserPassword=True,
                MasterUserSecretKmsKeyId=str(site.stack.output(names.DATABASE_KMS_KEY_ARN)),
                ApplyImmediately=True,
            )
            return None
    if secret.get("SecretStatus") != "active":
        return None
    return DatabaseServer(
        address=row["Endpoint"]["Address"],
        port=int(row["Endpoint"]["Port"]),
        master_secret_arn=secret["SecretArn"],
    )


def restore_files(site: Site, drill: str, recovery_point: str, source: str) -> str:
    """Begin to restore the file store to a new file system; return the job.

    `source`: the file system that the recovery point is of.
    """
    output = site.stack.output
    with explained(f"a restore of the recovery point {recovery_point}"):
        job: str = site.aws.client("backup").start_restore_job(
            RecoveryPointArn=recovery_point,
            ResourceType="EFS",
            IamRoleArn=str(output(names.BACKUP_ROLE_ARN)),
            IdempotencyToken=own.name(site.name, drill),
            Metadata={
                "file-system-id": source,
                "newFileSystem": "true",
                "CreationToken": own.name(site.name, drill),
                "Encrypted": "true",
                "KmsKeyId": str(output(names.FILE_STORE_KMS_KEY_ARN)),
                "PerformanceMode": "generalPurpose",
            },
        )["RestoreJobId"]
    return job


def files(site: Site, drill: str, job: str) -> str | None:
    """Return the restored file system when all is in it; None before. Raises OpsError if never."""
    with explained(f"the restore job {job}"):
        row = site.aws.client("backup").describe_restore_job(RestoreJobId=job)
    if made := row.get("CreatedResourceArn"):
        own.mark_file_system(site.aws, str(made).rpartition("/")[2], site.name, drill)
    if row["Status"] in ("PENDING", "RUNNING"):
        return None
    if row["Status"] != "COMPLETED" or not made:
        said = row.get("StatusMessage") or f"its status is {row['Status']}"
        raise OpsError(f"AWS Backup could not restore the files (job {job}): {said}")
    return str(made).rpartition("/")[2]


def make_access_point(site: Site, drill: str, file_system: str) -> str:
    """Make the way into the restored file system, at its root, and return its id.

    Only over TLS, only by this access point and through a mount target, which only the drill's own group
    reaches; a role needs no permission of its own for it. Users are who they are on the drill's server: its
    root looks for what AWS Backup restored, and OpenERP's user has the number that owns the files.
    """
    efs = site.aws.client("efs")
    with explained(f"the access point of {file_system}"):
        made = efs.create_access_point(
            ClientToken=own.name(site.name, drill),
            FileSystemId=file_system,
            RootDirectory={"Path": "/"},
            Tags=own.tags(site.name, drill),
        )
        actions = [f"elasticfilesystem:Client{what}" for what in ("Mount", "RootAccess", "Write")]
        statement = {
            "Sid": "ByTheDrillsAccessPoint",
            "Effect": "Allow",
            "Principal": {"AWS": "*"},
            "Action": actions,
            "Resource": file_system_arn(site.aws, file_system),
            "Condition": {
                "Bool": {
                    "aws:SecureTransport": "true",
                    "elasticfilesystem:AccessedViaMountTarget": "true",
                },
                "StringEquals": {"elasticfilesystem:AccessPointArn": made["AccessPointArn"]},
            },
        }
        efs.put_file_system_policy(
            FileSystemId=file_system,
            Policy=json.dumps({"Version": POLICY, "Statement": [statement]}),
        )
    return str(made["AccessPointId"])


def make_mount_targets(site: Site, file_system: str, at: Place, group: str) -> None:
    """Let the restored file system be reached from every zone."""
    for subnet in at.data_subnets:
        with explained(f"a mount target of {file_system} in {subnet}"):
            site.aws.client("efs").create_mount_target(
                FileSystemId=file_system, SubnetId=subnet, SecurityGroups=[group]
            )


def mounted(site: Site, file_system: str) -> bool | None:
    """Return True when every mount target can be used; None before."""
    with explained(f"the mount targets of {file_system}"):
        rows = site.aws.client("efs").describe_mount_targets(FileSystemId=file_system)["MountTargets"]
    return True if rows and all(row["LifeCycleState"] == "available" for row in rows) else None


def open_master_secret(site: Site, at: Place, server: DatabaseServer) -> None:
    """Let the drill's server read the password of the restored database server's master user.

    It is the drill's own secret, which goes with that server; the app servers' role has no other way to it.
    """
    template = _needed(at.template)
    with explained("the role of the app servers"):
        profile = site.aws.client("iam").get_instance_profile(InstanceProfileName=template.profile)
    roles = profile["InstanceProfile"]["Roles"]
    if not roles:
        raise OpsError(f"the instance profile {template.profile} has no role")
    policy = {
        "Version": POLICY,
        "Statement": [
            {
                "Effect": "Allow",
                "Principal": {"AWS": roles[0]["Arn"]},
                "Action": ["secretsmanager:GetSecretValue"],
                "Resource": "*",
            }
        ],
    }
    with explained("the secret of the restored database server"):
        site.aws.client("secretsmanager").put_resource_policy(
            SecretId=server.master_secret_arn, ResourcePolicy=json.dumps(policy), BlockPublicPolicy=True
        )


def make_server(site: Site, drill: str, at: Place, restored: Restored, group: str) -> str:
    """Begin to make the drill's server and return its id."""
    template = _needed(at.template)
    try:
        user_data = drill_user_data(template.user_data, restored)
    except (DrillServerError, UserDataTooLargeError) as error:
        raise OpsError(f"the drill's server cannot be described: {error}") from error
    kinds = ("instance", "volume", "network-interface")
    with explained("the drill's server"):
        made = site.aws.client("ec2").run_instances(
            LaunchTemplate={"LaunchTemplateId": template.id, "Version": template.version},
            MinCount=1,
            MaxCount=1,
            UserData=user_data,
            SecurityGroupIds=[group],
            SubnetId=at.server_subnet,
            ClientToken=own.name(site.name, drill),
            TagSpecifications=[{"ResourceType": kind, "Tags": own.tags(site.name, drill)} for kind in kinds],
        )
    return str(made["Instances"][0]["InstanceId"])


def check_server(site: Site, instance: str) -> None:
    """Raise OpsError where the drill's server has ended."""
    with explained(f"the drill's server {instance}"):
        found = site.aws.client("ec2").describe_instances(InstanceIds=[instance])
    row = found["Reservations"][0]["Instances"][0]
    if row["State"]["Name"] in ("shutting-down", "terminated", "stopping", "stopped"):
        why = (row.get("StateReason") or {}).get("Message") or row.get("StateTransitionReason") or ""
        raise OpsError(f"the drill's server {instance} is {row['State']['Name']}{f': {why}' if why else ''}")


def _needed(template: Template | None) -> Template:
    if template is None:
        raise OpsError("this drill makes no server")
    return template
