"""AWS Backup over boto3: jobs on databases are real snapshots, those on file systems are records."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from botocore.exceptions import ClientError

from tests.local.emulator.conftest import wait_until

Clients = Callable[..., Any]
ROLE = "arn:aws:iam::123456789012:role/backup"


def code(caught: pytest.ExceptionInfo[ClientError]) -> str:
    return str(caught.value.response["Error"]["Code"])


@pytest.fixture
def vault(client: Clients, request: pytest.FixtureRequest) -> str:
    name = request.node.name.removeprefix("test_")[:45]
    client("backup").create_backup_vault(BackupVaultName=name, BackupVaultTags={"stage": "test"})
    return str(name)


@pytest.fixture
def plan(client: Clients, vault: str) -> str:
    document = {
        "BackupPlanName": vault,
        "Rules": [
            {"RuleName": "daily", "TargetBackupVaultName": vault, "ScheduleExpression": "cron(0 3 * * ? *)"}
        ],
    }
    made = client("backup").create_backup_plan(BackupPlan=document, BackupPlanTags={"a": "b"})
    return str(made["BackupPlanId"])


@pytest.fixture
def file_system(client: Clients) -> Iterator[str]:
    made = client("efs").create_file_system(Encrypted=True)
    yield made["FileSystemArn"]
    client("efs").delete_file_system(FileSystemId=made["FileSystemId"])


def test_a_plan_is_updated_in_place_and_its_tags_read_back(client: Clients, plan: str, vault: str) -> None:
    backup = client("backup")
    before = backup.get_backup_plan(BackupPlanId=plan)
    rules = [{"RuleName": "weekly", "TargetBackupVaultName": vault, "Lifecycle": {"DeleteAfterDays": 35}}]
    changed = backup.update_backup_plan(
        BackupPlanId=plan, BackupPlan={"BackupPlanName": vault, "Rules": rules}
    )
    after = backup.get_backup_plan(BackupPlanId=plan)
    assert after["BackupPlanArn"] == before["BackupPlanArn"]
    assert changed["VersionId"] == after["VersionId"] != before["VersionId"]
    assert [rule["RuleName"] for rule in after["BackupPlan"]["Rules"]] == ["weekly"]
    arn = before["BackupPlanArn"]
    assert backup.list_tags(ResourceArn=arn)["Tags"] == {"a": "b"}
    backup.tag_resource(ResourceArn=arn, Tags={"c": "d"})
    backup.untag_resource(ResourceArn=arn, TagKeyList=["a"])
    assert backup.list_tags(ResourceArn=arn)["Tags"] == {"c": "d"}


def test_a_selection_lives_in_its_plan_and_keeps_the_plan_from_being_deleted(
    client: Clients, plan: str, vault: str
) -> None:
    backup = client("backup")
    selection = {"SelectionName": "all", "IamRoleArn": ROLE, "Resources": ["arn:aws:rds:*:*:db:*"]}
    made = backup.create_backup_selection(BackupPlanId=plan, BackupSelection=selection)
    identifier = made["SelectionId"]
    found = backup.get_backup_selection(BackupPlanId=plan, SelectionId=identifier)
    assert found["BackupSelection"] == selection
    (row,) = backup.list_backup_selections(BackupPlanId=plan)["BackupSelectionsList"]
    assert (row["SelectionId"], row["SelectionName"], row["IamRoleArn"]) == (identifier, "all", ROLE)
    with pytest.raises(ClientError) as caught:
        backup.delete_backup_plan(BackupPlanId=plan)
    assert code(caught) == "InvalidRequestException"
    backup.delete_backup_selection(BackupPlanId=plan, SelectionId=identifier)
    with pytest.raises(ClientError) as caught:
        backup.get_backup_selection(BackupPlanId=plan, SelectionId=identifier)
    assert code(caught) == "ResourceNotFoundException"
    backup.delete_backup_plan(BackupPlanId=plan)
    rules = [{"RuleName": "daily", "TargetBackupVaultName": vault}]
    backup.create_backup_plan(BackupPlan={"BackupPlanName": vault, "Rules": rules})


def test_a_vaults_policy_and_notifications_read_back_until_they_are_deleted(
    client: Clients, vault: str
) -> None:
    backup = client("backup")
    policy = json.dumps({"Version": "2012-10-17", "Statement": []})
    with pytest.raises(ClientError) as caught:
        backup.get_backup_vault_access_policy(BackupVaultName=vault)
    assert code(caught) == "ResourceNotFoundException"
    backup.put_backup_vault_access_policy(BackupVaultName=vault, Policy=policy)
    assert backup.get_backup_vault_access_policy(BackupVaultName=vault)["Policy"] == policy
    backup.delete_backup_vault_access_policy(BackupVaultName=vault)
    topic = "arn:aws:sns:eu-west-1:123456789012:t"
    backup.put_backup_vault_notifications(
        BackupVaultName=vault, SNSTopicArn=topic, BackupVaultEvents=["BACKUP_JOB_FAILED"]
    )
    found = backup.get_backup_vault_notifications(BackupVaultName=vault)
    assert (found["SNSTopicArn"], found["BackupVaultEvents"]) == (topic, ["BACKUP_JOB_FAILED"])
    backup.delete_backup_vault_notifications(BackupVaultName=vault)
    with pytest.raises(ClientError) as caught:
        backup.get_backup_vault_notifications(BackupVaultName=vault)
    assert code(caught) == "ResourceNotFoundException"


def test_a_file_systems_backup_is_listed_restored_copied_and_deleted(
    client: Clients, vault: str, file_system: str
) -> None:
    backup = client("backup")
    job = backup.start_backup_job(BackupVaultName=vault, ResourceArn=file_system, IamRoleArn=ROLE)
    found = backup.describe_backup_job(BackupJobId=job["BackupJobId"])
    assert (found["State"], found["ResourceType"], found["PercentDone"]) == ("COMPLETED", "EFS", "100.0")
    assert (
        backup.list_backup_jobs(ByResourceArn=file_system)["BackupJobs"][0]["BackupJobId"]
        == job["BackupJobId"]
    )
    point = job["RecoveryPointArn"]
    (row,) = backup.list_recovery_points_by_backup_vault(BackupVaultName=vault)["RecoveryPoints"]
    assert (row["RecoveryPointArn"], row["Status"]) == (point, "COMPLETED")
    (row,) = backup.list_recovery_points_by_resource(ResourceArn=file_system)["RecoveryPoints"]
    assert row["RecoveryPointArn"] == point
    with pytest.raises(ClientError) as caught:
        backup.delete_backup_vault(BackupVaultName=vault)
    assert code(caught) == "InvalidRequestException"

    metadata = backup.get_recovery_point_restore_metadata(BackupVaultName=vault, RecoveryPointArn=point)
    assert metadata["RestoreMetadata"]["file-system-id"] == file_system.rpartition("/")[2]
    restore = backup.start_restore_job(
        RecoveryPointArn=point, Metadata={"newFileSystem": "true"}, IamRoleArn=ROLE, ResourceType="EFS"
    )
    done = backup.describe_restore_job(RestoreJobId=restore["RestoreJobId"])
    assert done["Status"] == "COMPLETED"
    assert done["CreatedResourceArn"] != file_system
    assert backup.list_restore_jobs()["RestoreJobs"][0]["RestoreJobId"] == restore["RestoreJobId"]
    client("efs").delete_file_system(FileSystemId=done["CreatedResourceArn"].rpartition("/")[2])

    far = client("backup", "eu-central-1")
    target = far.create_backup_vault(BackupVaultName=vault)["BackupVaultArn"]
    copied = backup.start_copy_job(
        RecoveryPointArn=point,
        SourceBackupVaultName=vault,
        DestinationBackupVaultArn=target,
        IamRoleArn=ROLE,
    )
    shown = backup.describe_copy_job(CopyJobId=copied["CopyJobId"])["CopyJob"]
    (row,) = far.list_recovery_points_by_backup_vault(BackupVaultName=vault)["RecoveryPoints"]
    assert row["RecoveryPointArn"] == shown["DestinationRecoveryPointArn"]

    backup.delete_recovery_point(BackupVaultName=vault, RecoveryPointArn=point)
    with pytest.raises(ClientError) as caught:
        backup.describe_recovery_point(BackupVaultName=vault, RecoveryPointArn=point)
    assert code(caught) == "ResourceNotFoundException"
    backup.delete_backup_vault(BackupVaultName=vault)


def test_a_locked_vault_keeps_its_recovery_points(client: Clients, vault: str, file_system: str) -> None:
    backup = client("backup")
    backup.put_backup_vault_lock_configuration(BackupVaultName=vault, MinRetentionDays=1, MaxRetentionDays=9)
    job = backup.start_backup_job(BackupVaultName=vault, ResourceArn=file_system, IamRoleArn=ROLE)
    with pytest.raises(ClientError) as caught:
        backup.delete_recovery_point(BackupVaultName=vault, RecoveryPointArn=job["RecoveryPointArn"])
    assert code(caught) == "InvalidRequestException"


def test_a_databases_backup_is_a_snapshot_and_its_restore_an_instance(client: Clients, vault: str) -> None:
    backup, rds = client("backup"), client("rds")
    made = rds.create_db_instance(
        DBInstanceIdentifier="backed-up",
        DBInstanceClass="db.t4g.micro",
        Engine="postgres",
        AllocatedStorage=20,
        MasterUsername="master",
        MasterUserPassword="long-enough",
    )["DBInstance"]

    def status(name: str) -> Any:
        return rds.describe_db_instances(DBInstanceIdentifier=name)["DBInstances"][0]["DBInstanceStatus"]

    wait_until(lambda: status("backed-up") == "available")
    job = backup.start_backup_job(BackupVaultName=vault, ResourceArn=made["DBInstanceArn"], IamRoleArn=ROLE)
    assert ":snapshot:awsbackup:" in job["RecoveryPointArn"]
    wait_until(lambda: backup.describe_backup_job(BackupJobId=job["BackupJobId"])["State"] == "COMPLETED")
    metadata = backup.get_recovery_point_restore_metadata(
        BackupVaultName=vault, RecoveryPointArn=job["RecoveryPointArn"]
    )["RestoreMetadata"]
    restore = backup.start_restore_job(
        RecoveryPointArn=job["RecoveryPointArn"],
        Metadata={**metadata, "DBInstanceIdentifier": "restored"},
        IamRoleArn=ROLE,
    )["RestoreJobId"]
    wait_until(lambda: backup.describe_restore_job(RestoreJobId=restore)["Status"] == "COMPLETED")
    assert status("restored") == "available"
    for name in ("backed-up", "restored"):
        rds.delete_db_instance(DBInstanceIdentifier=name, SkipFinalSnapshot=True)
    backup.delete_recovery_point(BackupVaultName=vault, RecoveryPointArn=job["RecoveryPointArn"])
    assert rds.describe_db_snapshots()["DBSnapshots"] == []


def test_what_does_not_exist_cannot_be_backed_up(client: Clients, vault: str) -> None:
    for arn in ("arn:aws:rds:eu-west-1:123456789012:db:no", "arn:aws:sqs:eu-west-1:123456789012:queue"):
        with pytest.raises(ClientError) as caught:
            client("backup").start_backup_job(BackupVaultName=vault, ResourceArn=arn, IamRoleArn=ROLE)
        assert code(caught) == "InvalidParameterValueException"


def test_restore_testing_plans_and_selections_are_kept_and_checked(client: Clients) -> None:
    backup = client("backup")
    points = {
        "Algorithm": "LATEST_WITHIN_WINDOW",
        "IncludeVaults": ["*"],
        "RecoveryPointTypes": ["SNAPSHOT"],
    }
    document = {
        "RestoreTestingPlanName": "monthly",
        "ScheduleExpression": "cron(0 5 1 * ? *)",
        "RecoveryPointSelection": points,
    }
    made = backup.create_restore_testing_plan(RestoreTestingPlan=document, Tags={"a": "b"})
    found = backup.get_restore_testing_plan(RestoreTestingPlanName="monthly")["RestoreTestingPlan"]
    assert found["RestoreTestingPlanArn"] == made["RestoreTestingPlanArn"]
    assert (found["StartWindowHours"], found["ScheduleExpressionTimezone"]) == (24, "Etc/UTC")
    assert found["RecoveryPointSelection"]["SelectionWindowDays"] == 30
    assert backup.list_tags(ResourceArn=made["RestoreTestingPlanArn"])["Tags"] == {"a": "b"}
    for wrong in ({"RestoreTestingPlanName": "with-hyphen"}, {"StartWindowHours": 169}):
        with pytest.raises(ClientError) as caught:
            backup.create_restore_testing_plan(
                RestoreTestingPlan={**document, "RestoreTestingPlanName": "x", **wrong}
            )
        assert code(caught) == "InvalidParameterValueException"
    with pytest.raises(ClientError) as caught:
        backup.create_restore_testing_plan(RestoreTestingPlan=document)
    assert code(caught) == "AlreadyExistsException"

    selection = {
        "RestoreTestingSelectionName": "files",
        "IamRoleArn": ROLE,
        "ProtectedResourceType": "EFS",
        "ProtectedResourceArns": ["*"],
    }
    backup.create_restore_testing_selection(
        RestoreTestingPlanName="monthly", RestoreTestingSelection=selection
    )
    (row,) = backup.list_restore_testing_selections(RestoreTestingPlanName="monthly")[
        "RestoreTestingSelections"
    ]
    assert (row["RestoreTestingSelectionName"], row["ValidationWindowHours"]) == ("files", 0)
    with pytest.raises(ClientError) as caught:
        backup.update_restore_testing_selection(
            RestoreTestingPlanName="monthly",
            RestoreTestingSelectionName="files",
            RestoreTestingSelection={"ProtectedResourceArns": []},
        )
    assert code(caught) == "InvalidParameterValueException"
    with pytest.raises(ClientError) as caught:
        backup.delete_restore_testing_plan(RestoreTestingPlanName="monthly")
    assert code(caught) == "InvalidRequestException"
    backup.delete_restore_testing_selection(
        RestoreTestingPlanName="monthly", RestoreTestingSelectionName="files"
    )
    backup.delete_restore_testing_plan(RestoreTestingPlanName="monthly")
    with pytest.raises(ClientError) as caught:
        backup.get_restore_testing_plan(RestoreTestingPlanName="monthly")
    assert code(caught) == "ResourceNotFoundException"
