"""RDS restores, from snapshots and to moments: what comes back, and what a restored instance is like."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import psycopg
import pytest
from botocore.exceptions import ClientError

from local.emulator import start, stop
from local.processes import identity
from tests.local.emulator.conftest import make_client, wait_until
from tests.local.emulator.test_rds import BASIC, available, instance, login, managed, snapshot_is_there

Clients = Callable[..., Any]


def numbers(connection: psycopg.Connection[Any]) -> list[int]:
    return [row[0] for row in connection.execute("select number from t order by 1")]


def write(connection: psycopg.Connection[Any], number: int) -> datetime:
    """Writes a number, and gives the moment after that."""
    connection.execute("create table if not exists t (number int)")
    connection.execute("insert into t values (%s)", [number])
    time.sleep(0.01)
    return datetime.now(UTC)


@pytest.fixture
def database(client: Clients, request: pytest.FixtureRequest, subnets: list[str]) -> Iterator[Any]:
    rds = client("rds")
    name = request.node.name.removeprefix("test_").replace("_", "-")[:40].rstrip("-")
    rds.create_db_subnet_group(DBSubnetGroupName=name, DBSubnetGroupDescription="d", SubnetIds=subnets)
    rds.create_db_parameter_group(
        DBParameterGroupName=name, DBParameterGroupFamily="postgres16", Description="d"
    )
    rds.create_db_instance(
        DBInstanceIdentifier=name,
        DBSubnetGroupName=name,
        DBParameterGroupName=name,
        DeletionProtection=True,
        MultiAZ=True,
        CopyTagsToSnapshot=True,
        BackupRetentionPeriod=7,
        Tags=[{"Key": "made", "Value": "first"}],
        **{**BASIC, "AllocatedStorage": 50},
    )
    yield available(client, name)
    for row in rds.describe_db_instances()["DBInstances"]:
        identifier = row["DBInstanceIdentifier"]
        if row["DeletionProtection"]:
            rds.modify_db_instance(DBInstanceIdentifier=identifier, DeletionProtection=False)
        rds.delete_db_instance(DBInstanceIdentifier=identifier, SkipFinalSnapshot=True)
    for row in rds.describe_db_snapshots()["DBSnapshots"]:
        rds.delete_db_snapshot(DBSnapshotIdentifier=row["DBSnapshotIdentifier"])
    rds.delete_db_parameter_group(DBParameterGroupName=name)
    rds.delete_db_subnet_group(DBSubnetGroupName=name)


def code(caught: pytest.ExceptionInfo[ClientError]) -> str:
    return str(caught.value.response["Error"]["Code"])


def to_moment(client: Clients, source: Any, name: str, moment: datetime | None, **more: Any) -> Any:
    wanted: dict[str, Any] = {"UseLatestRestorableTime": True} if moment is None else {"RestoreTime": moment}
    return client("rds").restore_db_instance_to_point_in_time(
        SourceDBInstanceIdentifier=source["DBInstanceIdentifier"],
        TargetDBInstanceIdentifier=name,
        **wanted,
        **more,
    )["DBInstance"]


def test_an_instance_goes_back_to_any_moment_of_its_window(client: Clients, database: Any) -> None:
    with login(client, database) as connection:
        moments = [write(connection, number) for number in range(3)]
        latest = instance(client, database["DBInstanceIdentifier"])["LatestRestorableTime"]
        assert moments[-1] <= latest <= datetime.now(UTC)
        for name, moment, expected in (
            ("second", moments[1], [0, 1]),
            ("latest", None, [0, 1, 2]),
            ("first", moments[0], [0]),
        ):
            to_moment(client, database, name, moment)
            restored = managed(client, name)
            with login(client, restored) as other:
                assert numbers(other) == expected
            assert restored["DbiResourceId"] != database["DbiResourceId"]
            assert "ReadReplicaSourceDBInstanceIdentifier" not in restored
        assert numbers(connection) == [0, 1, 2]


def test_a_moment_outside_the_window_is_refused(client: Clients, database: Any) -> None:
    rds, name = client("rds"), database["DBInstanceIdentifier"]
    (backup,) = rds.describe_db_instance_automated_backups(DBInstanceIdentifier=name)[
        "DBInstanceAutomatedBackups"
    ]
    window = backup["RestoreWindow"]
    assert (backup["Status"], backup["BackupRetentionPeriod"]) == ("active", 7)
    assert window["EarliestTime"] <= window["LatestTime"] <= datetime.now(UTC)
    for moment in (window["EarliestTime"] - timedelta(seconds=1), datetime.now(UTC) + timedelta(seconds=60)):
        with pytest.raises(ClientError, match="outside the restorable window") as caught:
            to_moment(client, database, "never", moment)
        assert code(caught) == "InvalidParameterValue"
    for wrong in ({}, {"UseLatestRestorableTime": True, "RestoreTime": window["LatestTime"]}):
        with pytest.raises(ClientError) as caught:
            rds.restore_db_instance_to_point_in_time(
                SourceDBInstanceIdentifier=name, TargetDBInstanceIdentifier="never", **wrong
            )
        assert code(caught) == "InvalidParameterCombination"
    with pytest.raises(ClientError) as caught:
        to_moment(client, database, name, None)
    assert code(caught) == "DBInstanceAlreadyExists"
    with pytest.raises(ClientError) as caught:
        to_moment(client, {"DBInstanceIdentifier": "nobody"}, "never", None)
    assert code(caught) == "DBInstanceNotFound"


def test_without_automated_backups_there_is_no_way_back_until_they_are_turned_on(
    client: Clients, database: Any, emulator_home: Path
) -> None:
    rds, name = client("rds"), database["DBInstanceIdentifier"]
    archive = emulator_home / "postgres" / f"{name}.eu-west-1" / "archive"
    assert archive.exists()
    rds.modify_db_instance(DBInstanceIdentifier=name, BackupRetentionPeriod=0, ApplyImmediately=True)
    found = available(client, name)
    assert "LatestRestorableTime" not in found and not archive.exists()
    with pytest.raises(ClientError) as caught:
        to_moment(client, database, "never", None)
    assert code(caught) == "PointInTimeRestoreNotEnabled"
    rds.modify_db_instance(DBInstanceIdentifier=name, BackupRetentionPeriod=3, ApplyImmediately=True)
    wait_until(lambda: "LatestRestorableTime" in available(client, name))
    with login(client, instance(client, name)) as connection:
        moment = write(connection, 1)
        write(connection, 2)
    to_moment(client, database, "again", moment)
    with login(client, managed(client, "again")) as connection:
        assert numbers(connection) == [1]


@pytest.mark.parametrize("kind", ["snapshot", "moment"])
def test_a_restored_instance_has_what_was_asked_for_and_little_of_its_source(
    client: Clients, database: Any, kind: str, subnets: list[str]
) -> None:
    rds, ec2, name = client("rds"), client("ec2"), database["DBInstanceIdentifier"]
    rds.create_db_snapshot(DBInstanceIdentifier=name, DBSnapshotIdentifier="kept")
    snapshot_is_there(client, "kept")

    def restore(target: str, **more: Any) -> Any:
        if kind == "moment":
            return to_moment(client, database, target, None, **more)
        return rds.restore_db_instance_from_db_snapshot(
            DBInstanceIdentifier=target, DBSnapshotIdentifier="kept", **more
        )["DBInstance"]

    restore("plain")
    plain = available(client, "plain")
    assert (plain["DeletionProtection"], plain["MultiAZ"]) == (False, False)
    assert "MasterUserSecret" not in plain
    assert plain["AllocatedStorage"] == 50 and plain["BackupRetentionPeriod"] == 7
    assert plain["DBInstanceClass"] == database["DBInstanceClass"]
    assert plain["DBParameterGroups"][0]["DBParameterGroupName"] == "default.postgres16"
    assert plain["TagList"] == [{"Key": "made", "Value": "first"}]

    vpc = ec2.describe_subnets(SubnetIds=subnets)["Subnets"][0]["VpcId"]
    group = ec2.create_security_group(GroupName=f"drill-{kind}", Description="d", VpcId=vpc)["GroupId"]
    restore(
        "asked",
        DBSubnetGroupName=name,
        DBParameterGroupName=name,
        VpcSecurityGroupIds=[group],
        AllocatedStorage=60,
        DeletionProtection=True,
        MultiAZ=True,
        Tags=[{"Key": "purpose", "Value": "drill"}],
    )
    asked = available(client, "asked")
    assert (asked["DeletionProtection"], asked["MultiAZ"], asked["AllocatedStorage"]) == (True, True, 60)
    assert asked["DBSubnetGroup"]["DBSubnetGroupName"] == name
    assert asked["DBParameterGroups"][0]["DBParameterGroupName"] == name
    assert [row["VpcSecurityGroupId"] for row in asked["VpcSecurityGroups"]] == [group]
    assert asked["TagList"] == [{"Key": "purpose", "Value": "drill"}]

    for wrong, says in (
        ({"AllocatedStorage": 49}, "49 GiB .* 50 GiB"),
        ({"AllocatedStorage": 70000}, "65536"),
    ):
        with pytest.raises(ClientError, match=says) as caught:
            restore("never", **wrong)
        assert code(caught) == "InvalidParameterValue"
    with pytest.raises(ClientError, match="modify the instance") as caught:
        restore("never", ManageMasterUserPassword=True)
    assert code(caught) == "InvalidParameterCombination"
    with pytest.raises(ClientError) as caught:
        restore("never", DBParameterGroupName="nobody")
    assert code(caught) in ("DBParameterGroupNotFound", "DBParameterGroupNotFoundFault")


def test_a_restored_masters_password_is_that_of_the_source_until_it_is_changed(
    client: Clients, database: Any
) -> None:
    rds, name = client("rds"), database["DBInstanceIdentifier"]
    secret = client("secretsmanager").get_secret_value(SecretId=database["MasterUserSecret"]["SecretArn"])
    to_moment(client, database, "same", None)
    restored = {**available(client, "same"), "MasterUserSecret": database["MasterUserSecret"]}
    login(client, restored).close()
    assert secret["SecretString"]
    rds.modify_db_instance(DBInstanceIdentifier="same", MasterUserPassword="a-new-one", ApplyImmediately=True)
    port = available(client, "same")["Endpoint"]["Port"]
    with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
        login(client, {**restored, "Endpoint": {"Address": "127.0.0.1", "Port": port}})
    psycopg.connect(
        host="127.0.0.1", port=port, user="openerp_admin", password="a-new-one", dbname="postgres"
    ).close()
    assert instance(client, name)["DBInstanceStatus"] == "available"


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Path]:
    yield tmp_path / "home"
    stop(tmp_path / "home")


def test_a_kill_of_the_emulator_loses_neither_the_way_back_nor_a_restore_under_way(home: Path) -> None:
    emulator = start(home)

    def client(service: str) -> Any:
        return make_client(emulator, service)

    def killed() -> None:
        nonlocal emulator
        os.kill(emulator.pid, signal.SIGKILL)
        wait_until(lambda: identity(emulator.pid) is None)
        emulator = start(home)
        assert emulator.lost == 0

    client("rds").create_db_instance(DBInstanceIdentifier="source", **BASIC)
    source = available(client, "source")
    with login(client, source) as connection:
        moment = write(connection, 1)
        write(connection, 2)
    killed()
    with login(client, available(client, "source")) as connection:
        write(connection, 3)
    to_moment(client, source, "restored", moment)
    to_moment(client, source, "latest", None)
    killed()
    for name, expected in (("restored", [1]), ("latest", [1, 2, 3])):
        with login(client, managed(client, name)) as connection:
            assert numbers(connection) == expected
    # A moment that was asked for stays what it was, though the source is gone by now.
    client("rds").delete_db_instance(DBInstanceIdentifier="source", SkipFinalSnapshot=True)
    wait_until(lambda: not (home / "postgres" / "source.eu-west-1").exists())
    killed()
    with login(client, available(client, "restored")) as connection:
        assert numbers(connection) == [1]
    wait_until(lambda: "LatestRestorableTime" in instance(client, "restored"))
