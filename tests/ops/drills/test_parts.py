"""What a drill makes, and how it goes again, against the emulator."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from core import outputs as names
from core.drill_server import Restored
from ops.aws import wait
from ops.console import Reporter
from ops.drills import own, parts
from ops.errors import OpsError
from ops.site import Site
from tests.ops.drills.conftest import STACK, Clients, Deployment

DRILL = "270131020000-1a2b"


@pytest.fixture
def site(deployment: Deployment, tmp_path: Path) -> Site:
    return deployment.site(tmp_path)


@pytest.fixture
def mine(site: Site) -> Iterator[own.Own]:
    made = own.Own(site.stack, site.aws, Reporter())
    yield made
    for drill in made.look():  # of a test that failed
        made.remove(drill)


@pytest.fixture
def snapshot(client: Clients, request: pytest.FixtureRequest) -> str:
    name = f"s-{abs(hash(request.node.name))}"
    client("rds").create_db_snapshot(DBSnapshotIdentifier=name, DBInstanceIdentifier="openerp-prod")

    def there() -> bool | None:
        row = client("rds").describe_db_snapshots(DBSnapshotIdentifier=name)["DBSnapshots"][0]
        return True if row["Status"] == "available" else None

    wait("the snapshot", there, Reporter(), seconds=60)
    return name


@pytest.fixture
def point(client: Clients, deployment: Deployment) -> str:
    outputs = deployment.outputs
    arn = client("efs").describe_file_systems(FileSystemId=outputs[names.FILE_SYSTEM_ID])["FileSystems"][0]
    job = client("backup").start_backup_job(
        BackupVaultName="vault",
        ResourceArn=arn["FileSystemArn"],
        IamRoleArn=outputs[names.BACKUP_ROLE_ARN],
    )

    def done() -> str | None:
        row = client("backup").describe_backup_job(BackupJobId=job["BackupJobId"])
        return str(row["RecoveryPointArn"]) if row["State"] == "COMPLETED" else None

    return wait("the recovery point", done, Reporter(), seconds=60)


def rules(client: Clients, group: str, key: str) -> set[tuple[int, str]]:
    row = client("ec2").describe_security_groups(GroupIds=[group])["SecurityGroups"][0]
    found = set()
    for rule in row[key]:
        peers = [item["CidrIp"] for item in rule["IpRanges"]]
        peers += [item["GroupId"] for item in rule["UserIdGroupPairs"]]
        found |= {(rule["FromPort"], peer) for peer in peers}
    return found


def test_only_what_is_in_the_drills_group_reaches_the_restored_data(
    site: Site, client: Clients, mine: own.Own
) -> None:
    at = parts.place(site, with_server=True)
    group = parts.make_group(site, DRILL, at, admit_operators=False)
    assert rules(client, group, "IpPermissions") == {(5432, group), (2049, group)}
    # Not the mail ports of the app servers, and nothing else of the stack.
    assert rules(client, group, "IpPermissionsEgress") == {
        (5432, group), (2049, group), (80, "0.0.0.0/0"), (443, "0.0.0.0/0"),
    }  # fmt: skip
    assert mine.remove(DRILL) == []


def test_operators_who_compare_from_where_they_are_come_in_as_to_the_stacks_own_database(
    site: Site, client: Clients, mine: own.Own
) -> None:
    at = parts.place(site, with_server=False)
    group = parts.make_group(site, DRILL, at, admit_operators=True)
    assert rules(client, group, "IpPermissions") == {
        (5432, group), (2049, group), (5432, "192.0.2.0/24"),
    }  # fmt: skip
    assert mine.remove(DRILL) == []


def test_the_database_server_is_like_the_stacks_own_but_unprotected_and_alone(
    site: Site, client: Clients, mine: own.Own, snapshot: str
) -> None:
    at = parts.place(site, with_server=False)
    group = parts.make_group(site, DRILL, at, admit_operators=False)
    assert parts.restore_database(site, DRILL, at, snapshot, group) == []
    server = wait("it", lambda: parts.database(site, DRILL), Reporter(), seconds=60)
    row = client("rds").describe_db_instances(DBInstanceIdentifier=f"openerp-{STACK}-drill-{DRILL}")
    row = row["DBInstances"][0]
    assert row["DBInstanceClass"] == "db.t4g.micro"
    assert (row["MultiAZ"], row["DeletionProtection"]) == (False, False)
    assert [item["VpcSecurityGroupId"] for item in row["VpcSecurityGroups"]] == [group]
    assert row["DBSubnetGroup"]["DBSubnetGroupName"] == "data"
    assert row["DBParameterGroups"][0]["DBParameterGroupName"] == "parameters"
    # Its master user has a password of its own, and the stack's logins work on it.
    assert server.master_secret_arn != site.stack.output(names.MASTER_SECRET_ARN)
    databases = site.databases.at(server.address, server.port, server.master_secret_arn)
    with databases.master().connect("postgres") as connection:
        assert connection.execute("select 1").fetchone() == (1,)
    with databases.application("openerp").connect("openerp") as connection:
        assert connection.execute("select count(*) from res_partner").fetchone() == (2000,)
    assert mine.remove(DRILL) == []
    left = client("rds").describe_db_instances()["DBInstances"]
    assert [item["DBInstanceIdentifier"] for item in left] == ["openerp-prod"]


def test_a_missing_snapshot_is_said_and_nothing_is_made(site: Site, mine: own.Own) -> None:
    at = parts.place(site, with_server=False)
    with pytest.raises(OpsError, match=r"the snapshot gone: .*DBSnapshotNotFound"):
        parts.restore_database(site, DRILL, at, "gone", "sg-1")
    assert DRILL not in mine.look()


def test_the_files_come_back_into_a_file_system_that_only_the_drill_enters(
    site: Site, client: Clients, mine: own.Own, point: str, deployment: Deployment
) -> None:
    at = parts.place(site, with_server=False)
    group = parts.make_group(site, DRILL, at, admit_operators=False)
    source = str(site.stack.output(names.FILE_SYSTEM_ID))
    job = parts.restore_files(site, DRILL, point, source)
    file_system = wait("it", lambda: parts.files(site, DRILL, job), Reporter(), seconds=60)
    assert file_system != source
    access = parts.make_access_point(site, DRILL, file_system)
    parts.make_mount_targets(site, file_system, at, group)
    assert wait("it", lambda: parts.mounted(site, file_system), Reporter(), seconds=60)

    efs = client("efs")
    row = efs.describe_access_points(AccessPointId=access)["AccessPoints"][0]
    assert row["RootDirectory"] == {"Path": "/"}
    policy = json.loads(efs.describe_file_system_policy(FileSystemId=file_system)["Policy"])
    (statement,) = policy["Statement"]
    assert statement["Effect"] == "Allow"
    assert statement["Condition"]["StringEquals"] == {
        "elasticfilesystem:AccessPointArn": row["AccessPointArn"]
    }
    targets = efs.describe_mount_targets(FileSystemId=file_system)["MountTargets"]
    assert {item["SubnetId"] for item in targets} == set(site.stack.output(names.DATA_SUBNET_IDS))
    for target in targets:
        groups = efs.describe_mount_target_security_groups(MountTargetId=target["MountTargetId"])
        assert groups["SecurityGroups"] == [group]
    restored = list((deployment.file_systems / file_system).glob("aws-backup-restore_*/odoo/filestore/*"))
    assert {path.name for path in restored} == {"openerp", "openerp_test"}
    assert mine.remove(DRILL, job=job) == []
    left = [item["FileSystemId"] for item in efs.describe_file_systems()["FileSystems"]]
    assert left == [source]


def test_the_server_stands_alone_with_the_drills_group_and_user_data(
    site: Site, client: Clients, mine: own.Own
) -> None:
    at = parts.place(site, with_server=True)
    group = parts.make_group(site, DRILL, at, admit_operators=False)
    restored = Restored(
        database_host="10.20.1.9",
        database_port=5432,
        file_system_id="fs-00000001",
        access_point_id="fsap-00000001",
        vpc_cidr=at.vpc_cidr,
    )
    instance = parts.make_server(site, DRILL, at, restored, group)
    assert parts.make_server(site, DRILL, at, restored, group) == instance, "one server for one drill"
    parts.check_server(site, instance)
    ec2 = client("ec2")
    row = ec2.describe_instances(InstanceIds=[instance])["Reservations"][0]["Instances"][0]
    assert [item["GroupId"] for item in row["SecurityGroups"]] == [group]
    tags = {tag["Key"]: tag["Value"] for tag in row["Tags"]}
    assert (tags[own.TAG], tags["Name"]) == (DRILL, f"openerp-{STACK}-drill-{DRILL}")
    assert "aws:autoscaling:groupName" not in tags
    value = ec2.describe_instance_attribute(InstanceId=instance, Attribute="userData")["UserData"]["Value"]
    assert value != at.template.user_data if at.template else False
    assert mine.remove(DRILL) == []
    with pytest.raises(OpsError, match=f"{instance} is terminated"):
        parts.check_server(site, instance)


def test_the_master_users_secret_is_opened_to_the_app_servers_role_alone(
    site: Site, client: Clients, mine: own.Own, snapshot: str
) -> None:
    at = parts.place(site, with_server=True)
    parts.restore_database(
        site, DRILL, at, snapshot, parts.make_group(site, DRILL, at, admit_operators=False)
    )
    server = wait("it", lambda: parts.database(site, DRILL), Reporter(), seconds=60)
    parts.open_master_secret(site, at, server)
    found = client("secretsmanager").get_resource_policy(SecretId=server.master_secret_arn)
    (statement,) = json.loads(found["ResourcePolicy"])["Statement"]
    assert statement["Principal"]["AWS"].endswith(":role/app-servers")
    assert statement["Action"] == ["secretsmanager:GetSecretValue"]
    assert mine.remove(DRILL) == []


# What is there already


def test_nothing_of_others_is_taken_for_a_drills(
    deployment: Deployment, client: Clients, mine: own.Own
) -> None:
    """Other names, other stacks, and tags that say less than a drill's."""
    ec2, efs = client("ec2"), client("efs")
    vpc = deployment.outputs[names.VPC_ID]
    title = own.name(STACK, DRILL)

    def group(name: str, tags: list[dict[str, str]]) -> str:
        specification = [{"ResourceType": "security-group", "Tags": tags}] if tags else []
        return str(
            ec2.create_security_group(
                GroupName=name, Description="x", VpcId=vpc, TagSpecifications=specification
            )["GroupId"]
        )

    groups = [
        group(title, []),  # the name alone
        group("a", own.tags("dev", DRILL)),  # another stack's drill
        group("b", [{"Key": own.TAG, "Value": DRILL}]),  # no stack
        group("c", [{"Key": own.TAG, "Value": "mine"}, {"Key": "Stack", "Value": STACK}]),  # no drill's id
    ]
    systems = [
        efs.create_file_system(CreationToken=token, Tags=tags)["FileSystemId"]
        for token, tags in (
            (own.name("dev", DRILL), []),
            (f"{title}-more", []),
            (title, [{"Key": "Name", "Value": "precious"}]),  # somebody marked it as theirs
        )
    ]
    try:
        assert mine.look() == {}
        assert mine.remove(DRILL) == []
        assert {row["FileSystemId"] for row in efs.describe_file_systems()["FileSystems"]} >= set(systems)
        assert len(ec2.describe_security_groups(GroupIds=groups)["SecurityGroups"]) == len(groups)
    finally:
        for name in groups:
            ec2.delete_security_group(GroupId=name)
        for name in systems:
            efs.delete_file_system(FileSystemId=name)


def test_two_drills_are_told_apart(site: Site, mine: own.Own) -> None:
    at = parts.place(site, with_server=False)
    other = "270131020000-ffff"
    parts.make_group(site, DRILL, at, admit_operators=False)
    theirs = parts.make_group(site, other, at, admit_operators=False)
    assert mine.remove(DRILL) == []
    assert list(mine.look()) == [other]
    assert list(mine.look()[other].groups) == [theirs]
    assert mine.remove(other) == []


def test_what_cannot_be_removed_is_named_with_the_reason(client: Clients, mine: own.Own) -> None:
    """Somebody protected what a drill made."""
    name = own.name(STACK, DRILL)
    client("rds").create_db_instance(
        DBInstanceIdentifier=name,
        DBInstanceClass="db.t4g.micro",
        Engine="mysql",
        DeletionProtection=True,
        Tags=own.tags(STACK, DRILL),
    )
    (left,) = mine.remove(DRILL, seconds=0)
    assert left.startswith(f"database server {name} (available): InvalidParameterCombination: ")
    client("rds").modify_db_instance(DBInstanceIdentifier=name, DeletionProtection=False)
    assert mine.remove(DRILL) == []


def test_identifiers_differ_and_sort_by_time() -> None:
    from datetime import UTC, datetime

    now = datetime(2027, 1, 31, 2, 0, tzinfo=UTC)
    made = {own.new_identifier(now) for _ in range(50)}
    assert len(made) > 40
    assert all(identifier.startswith("270131020000-") for identifier in made)
