"""RDS instances that are real PostgreSQL servers, over boto3 and psycopg."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any

import psycopg
import pytest
from botocore.exceptions import ClientError

from tests.local.emulator.conftest import wait_until

Clients = Callable[..., Any]
BASIC = {
    "DBInstanceClass": "db.t4g.micro",
    "Engine": "postgres",
    "EngineVersion": "16.4",
    "AllocatedStorage": 20,
    "MasterUsername": "openerp_admin",
    "ManageMasterUserPassword": True,
}


def instance(client: Clients, name: str) -> Any:
    return client("rds").describe_db_instances(DBInstanceIdentifier=name)["DBInstances"][0]


def available(client: Clients, name: str) -> Any:
    wait_until(lambda: instance(client, name)["DBInstanceStatus"] in ("available", "failed"))
    found = instance(client, name)
    assert found["DBInstanceStatus"] == "available"
    return found


def managed(client: Clients, name: str) -> Any:
    """A restored instance, whose master has the password of its source until it is given one of its own."""
    restored = available(client, name)
    assert "MasterUserSecret" not in restored
    client("rds").modify_db_instance(
        DBInstanceIdentifier=name, ManageMasterUserPassword=True, ApplyImmediately=True
    )
    return available(client, name)


def snapshot_is_there(client: Clients, name: str) -> None:
    def status() -> Any:
        found = client("rds").describe_db_snapshots(DBSnapshotIdentifier=name)["DBSnapshots"]
        return found[0]["Status"]

    wait_until(lambda: status() in ("available", "failed"))
    assert status() == "available"


def login(client: Clients, found: Any, database: str = "postgres") -> psycopg.Connection[Any]:
    secret = client("secretsmanager").get_secret_value(SecretId=found["MasterUserSecret"]["SecretArn"])
    values = json.loads(secret["SecretString"])
    return psycopg.connect(
        host=found["Endpoint"]["Address"],
        port=found["Endpoint"]["Port"],
        user=values["username"],
        password=values["password"],
        dbname=database,
        autocommit=True,
    )


@pytest.fixture
def group(client: Clients, request: pytest.FixtureRequest) -> str:
    name = "group-" + request.node.name.removeprefix("test_").replace("_", "-")[:40]
    rds = client("rds")
    rds.create_db_parameter_group(
        DBParameterGroupName=name, DBParameterGroupFamily="postgres16", Description="d"
    )
    rds.modify_db_parameter_group(
        DBParameterGroupName=name,
        Parameters=[
            {"ParameterName": "work_mem", "ParameterValue": "9999", "ApplyMethod": "immediate"},
            {"ParameterName": "rds.force_ssl", "ParameterValue": "1", "ApplyMethod": "pending-reboot"},
        ],
    )
    return str(name)


@pytest.fixture
def database(client: Clients, group: str, request: pytest.FixtureRequest) -> Iterator[Any]:
    name = request.node.name.removeprefix("test_").replace("_", "-")[:50].rstrip("-")
    client("rds").create_db_instance(
        DBInstanceIdentifier=name,
        DBParameterGroupName=group,
        DBName="first",
        StorageEncrypted=True,
        EnablePerformanceInsights=True,
        **BASIC,
    )
    assert instance(client, name)["DBInstanceStatus"] in ("creating", "available")
    yield available(client, name)
    for row in client("rds").describe_db_instances()["DBInstances"]:
        client("rds").delete_db_instance(
            DBInstanceIdentifier=row["DBInstanceIdentifier"], SkipFinalSnapshot=True
        )


def test_an_available_instance_accepts_its_masters_login(client: Clients, database: Any) -> None:
    assert database["Endpoint"]["Address"] == "127.0.0.1"
    assert database["PerformanceInsightsEnabled"] is True
    assert database["PerformanceInsightsRetentionPeriod"] == 7
    secret = database["MasterUserSecret"]["SecretArn"]
    assert ":secret:rds!db-" in secret
    value = json.loads(client("secretsmanager").get_secret_value(SecretId=secret)["SecretString"])
    assert value["username"] == "openerp_admin"
    assert len(value["password"]) == 28
    with login(client, database, "first") as connection:
        assert connection.execute("show work_mem").fetchone() == ("9999kB",)
        row = connection.execute("select rolsuper, rolcreaterole from pg_roles where rolname = current_user")
        assert row.fetchone() == (False, True)


def test_two_instances_differ_in_resource_id_port_and_secret(client: Clients, database: Any) -> None:
    client("rds").create_db_instance(DBInstanceIdentifier="second", **BASIC)
    second = available(client, "second")
    assert second["DbiResourceId"] != database["DbiResourceId"]
    assert second["Endpoint"]["Port"] != database["Endpoint"]["Port"]
    assert second["MasterUserSecret"]["SecretArn"] != database["MasterUserSecret"]["SecretArn"]
    with pytest.raises(ClientError, match="DBInstanceAlreadyExists"):
        client("rds").create_db_instance(DBInstanceIdentifier="second", **BASIC)


def test_parameters_read_back_change_a_running_server_and_are_reset(
    client: Clients, database: Any, group: str
) -> None:
    rds, name = client("rds"), database["DBInstanceIdentifier"]
    found = rds.describe_db_parameters(DBParameterGroupName=group, Source="user")["Parameters"]
    assert {row["ParameterName"]: row["ParameterValue"] for row in found} == {
        "work_mem": "9999",
        "rds.force_ssl": "1",
    }
    change = [{"ParameterName": "work_mem", "ParameterValue": "8888", "ApplyMethod": "immediate"}]
    rds.modify_db_parameter_group(DBParameterGroupName=group, Parameters=change)
    with login(client, available(client, name)) as connection:
        assert connection.execute("show work_mem").fetchone() == ("8888kB",)
    rds.reset_db_parameter_group(
        DBParameterGroupName=group,
        Parameters=[{"ParameterName": "work_mem", "ApplyMethod": "pending-reboot"}],
    )
    rds.reboot_db_instance(DBInstanceIdentifier=name)
    with login(client, available(client, name)) as connection:
        assert connection.execute("show work_mem").fetchone() == ("4MB",)
    (row,) = rds.describe_db_parameters(DBParameterGroupName=group)["Parameters"]
    assert row["ParameterName"] == "rds.force_ssl"


def test_a_snapshot_restores_what_was_there_when_it_was_taken(client: Clients, database: Any) -> None:
    rds, name = client("rds"), database["DBInstanceIdentifier"]
    with login(client, database) as connection:
        connection.execute("create table t as select 1 as a")
        rds.create_db_snapshot(DBInstanceIdentifier=name, DBSnapshotIdentifier="labelled")
        snapshot_is_there(client, "labelled")
        connection.execute("insert into t values (2)")
    rds.copy_db_snapshot(SourceDBSnapshotIdentifier="labelled", TargetDBSnapshotIdentifier="copied")
    snapshot_is_there(client, "copied")
    rds.delete_db_snapshot(DBSnapshotIdentifier="labelled")
    rds.restore_db_instance_from_db_snapshot(
        DBInstanceIdentifier="restored", DBSnapshotIdentifier="copied", DBInstanceClass="db.t4g.micro"
    )
    with login(client, managed(client, "restored")) as connection:
        assert connection.execute("select a from t").fetchall() == [(1,)]
    rds.restore_db_instance_to_point_in_time(
        SourceDBInstanceIdentifier=name, TargetDBInstanceIdentifier="now", UseLatestRestorableTime=True
    )
    with login(client, managed(client, "now")) as connection:
        assert connection.execute("select count(*) from t").fetchone() == (2,)
    rds.delete_db_snapshot(DBSnapshotIdentifier="copied")
    with pytest.raises(ClientError, match="DBSnapshotNotFound"):
        rds.restore_db_instance_from_db_snapshot(
            DBInstanceIdentifier="never", DBSnapshotIdentifier="copied", DBInstanceClass="db.t4g.micro"
        )


def test_a_deletion_needs_a_final_snapshot_or_the_word_that_none_is_wanted(
    client: Clients, database: Any
) -> None:
    rds, name = client("rds"), database["DBInstanceIdentifier"]
    for arguments in ({}, {"SkipFinalSnapshot": True, "FinalDBSnapshotIdentifier": "x"}):
        with pytest.raises(ClientError, match="InvalidParameterCombination"):
            rds.delete_db_instance(DBInstanceIdentifier=name, **arguments)
    with login(client, database) as connection:
        connection.execute("create table t as select 7 as a")
        rds.delete_db_instance(DBInstanceIdentifier=name, FinalDBSnapshotIdentifier="final")
    snapshot_is_there(client, "final")
    with pytest.raises(ClientError, match="DBInstanceNotFound"):
        instance(client, name)
    rds.restore_db_instance_from_db_snapshot(DBInstanceIdentifier=name, DBSnapshotIdentifier="final")
    with login(client, managed(client, name)) as connection:
        assert connection.execute("select a from t").fetchone() == (7,)
    rds.delete_db_snapshot(DBSnapshotIdentifier="final")


def test_an_instance_can_be_renamed_stopped_and_started(client: Clients, database: Any) -> None:
    rds, name = client("rds"), database["DBInstanceIdentifier"]
    with login(client, database) as connection:
        connection.execute("create table t as select 3 as a")
    rds.modify_db_instance(
        DBInstanceIdentifier=name, NewDBInstanceIdentifier="renamed", ApplyImmediately=True
    )
    with login(client, available(client, "renamed")) as connection:
        assert connection.execute("select a from t").fetchone() == (3,)
    rds.stop_db_instance(DBInstanceIdentifier="renamed")
    wait_until(lambda: instance(client, "renamed")["DBInstanceStatus"] == "stopped")
    rds.start_db_instance(DBInstanceIdentifier="renamed")
    with login(client, available(client, "renamed")) as connection:
        assert connection.execute("select a from t").fetchone() == (3,)


def test_a_given_password_is_the_masters_and_is_changed_under_sessions_that_go_on(client: Clients) -> None:
    rds = client("rds")
    values = {key: value for key, value in BASIC.items() if key != "ManageMasterUserPassword"}
    rds.create_db_instance(DBInstanceIdentifier="given", MasterUserPassword="first-one", **values)

    def connect(password: str) -> psycopg.Connection[Any]:
        port = available(client, "given")["Endpoint"]["Port"]
        return psycopg.connect(
            host="127.0.0.1", port=port, user="openerp_admin", password=password, dbname="postgres"
        )

    with connect("first-one") as first:
        rds.modify_db_instance(
            DBInstanceIdentifier="given", MasterUserPassword="second-one", ApplyImmediately=True
        )
        with connect("second-one"):
            assert first.execute("select 1").fetchone() == (1,)
    with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
        connect("first-one")
    rds.delete_db_instance(DBInstanceIdentifier="given", SkipFinalSnapshot=True)


def test_replicated_automated_backups_are_started_described_and_stopped(
    client: Clients, database: Any
) -> None:
    far, arn = client("rds", "eu-central-1"), database["DBInstanceArn"]
    made = far.start_db_instance_automated_backups_replication(
        SourceDBInstanceArn=arn, BackupRetentionPeriod=9
    )
    own = made["DBInstanceAutomatedBackup"]["DBInstanceAutomatedBackupsArn"]
    (found,) = far.describe_db_instance_automated_backups(DBInstanceAutomatedBackupsArn=own)[
        "DBInstanceAutomatedBackups"
    ]
    assert (found["Status"], found["BackupRetentionPeriod"], found["Region"]) == (
        "replicating",
        9,
        "eu-west-1",
    )
    far.stop_db_instance_automated_backups_replication(SourceDBInstanceArn=arn)
    with pytest.raises(ClientError, match="DBInstanceAutomatedBackupNotFound"):
        far.describe_db_instance_automated_backups(DBInstanceAutomatedBackupsArn=own)


def test_a_subnet_group_survives_its_modification(client: Clients, subnets: list[str]) -> None:
    rds = client("rds")
    rds.create_db_subnet_group(DBSubnetGroupName="data", DBSubnetGroupDescription="d", SubnetIds=subnets)
    rds.modify_db_subnet_group(DBSubnetGroupName="data", SubnetIds=subnets[:1])
    (found,) = rds.describe_db_subnet_groups(DBSubnetGroupName="data")["DBSubnetGroups"]
    assert [subnet["SubnetIdentifier"] for subnet in found["Subnets"]] == subnets[:1]
