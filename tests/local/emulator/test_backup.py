"""AWS Backup over boto3: jobs on databases are real snapshots, those on file systems copy their folders."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
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


def folder(home: Path, arn: str) -> Path:
    """What a file system holds."""
    return home / "nodes" / "file-systems" / arn.rpartition("/")[2]


def completed(find: Callable[[], Any]) -> Any:
    """A job when it is over."""
    state = "State" if "State" in find() else "Status"
    wait_until(lambda: find()[state] not in ("PENDING", "RUNNING"))
    found = find()
    assert found[state] == "COMPLETED", found.get("StatusMessage")
    return found


def back_up(client: Clients, vault: str, arn: str, **more: Any) -> Any:
    """A backup job that is over."""
    backup = client("backup")
    job = backup.start_backup_job(BackupVaultName=vault, ResourceArn=arn, IamRoleArn=ROLE, **more)
    return completed(lambda: backup.describe_backup_job(BackupJobId=job["BackupJobId"]))


def restore(client: Clients, point: str, **metadata: str) -> Any:
    """A restore job that is over."""
    backup = client("backup")
    job = backup.start_restore_job(
        RecoveryPointArn=point, Metadata=metadata, IamRoleArn=ROLE, ResourceType="EFS"
    )["RestoreJobId"]
    return completed(lambda: backup.describe_restore_job(RestoreJobId=job))


def test_a_file_systems_backup_is_listed_restored_copied_and_deleted(
    client: Clients, vault: str, file_system: str, emulator_home: Path
) -> None:
    backup = client("backup")
    store = folder(emulator_home, file_system) / "odoo" / "filestore"
    store.mkdir(parents=True)
    (store / "attachment").write_bytes(b"x" * 12_345)
    found = back_up(client, vault, file_system, RecoveryPointTags={"checkpoint": "one"})
    assert (found["ResourceType"], found["PercentDone"]) == ("EFS", "100.0")
    assert found["BackupSizeInBytes"] == 12_345
    assert found["CompletionDate"] >= found["CreationDate"]
    assert (
        backup.list_backup_jobs(ByResourceArn=file_system)["BackupJobs"][0]["BackupJobId"]
        == found["BackupJobId"]
    )
    point = found["RecoveryPointArn"]
    (row,) = backup.list_recovery_points_by_backup_vault(BackupVaultName=vault)["RecoveryPoints"]
    assert (row["RecoveryPointArn"], row["Status"]) == (point, "COMPLETED")
    assert row["BackupSizeInBytes"] == 12_345
    (row,) = backup.list_recovery_points_by_resource(ResourceArn=file_system)["RecoveryPoints"]
    assert row["RecoveryPointArn"] == point
    assert backup.list_tags(ResourceArn=point)["Tags"] == {"checkpoint": "one"}
    assert backup.describe_backup_vault(BackupVaultName=vault)["NumberOfRecoveryPoints"] == 1
    with pytest.raises(ClientError) as caught:
        backup.delete_backup_vault(BackupVaultName=vault)
    assert code(caught) == "InvalidRequestException"

    (store / "attachment").write_bytes(b"damaged")
    metadata = backup.get_recovery_point_restore_metadata(BackupVaultName=vault, RecoveryPointArn=point)
    assert metadata["RestoreMetadata"]["file-system-id"] == file_system.rpartition("/")[2]
    done = restore(client, point, newFileSystem="true")
    assert done["CreatedResourceArn"] != file_system
    assert done["BackupSizeInBytes"] == 12_345
    fresh = folder(emulator_home, done["CreatedResourceArn"])
    (below,) = fresh.iterdir()
    assert re.fullmatch(r"aws-backup-restore_\d{4}-\d\d-\d\dT\d\d-\d\d-\d\d-\d{3}Z", below.name)
    assert (below / "odoo/filestore/attachment").read_bytes() == b"x" * 12_345
    assert backup.list_restore_jobs()["RestoreJobs"][0]["RestoreJobId"] == done["RestoreJobId"]

    far = client("backup", "eu-central-1")
    target = far.create_backup_vault(BackupVaultName=vault)["BackupVaultArn"]
    copied = backup.start_copy_job(
        RecoveryPointArn=point,
        SourceBackupVaultName=vault,
        DestinationBackupVaultArn=target,
        IamRoleArn=ROLE,
    )
    shown = completed(lambda: backup.describe_copy_job(CopyJobId=copied["CopyJobId"])["CopyJob"])
    (row,) = far.list_recovery_points_by_backup_vault(BackupVaultName=vault)["RecoveryPoints"]
    assert row["RecoveryPointArn"] == shown["DestinationRecoveryPointArn"]

    points = emulator_home / "nodes" / "recovery-points"
    kept = points / point.rpartition(":")[2]
    assert kept.exists()
    backup.delete_recovery_point(BackupVaultName=vault, RecoveryPointArn=point)
    with pytest.raises(ClientError) as caught:
        backup.describe_recovery_point(BackupVaultName=vault, RecoveryPointArn=point)
    assert code(caught) == "ResourceNotFoundException"
    wait_until(lambda: not kept.exists())
    assert (points / row["RecoveryPointArn"].rpartition(":")[2] / "odoo/filestore/attachment").exists()
    backup.delete_backup_vault(BackupVaultName=vault)
    client("efs").delete_file_system(FileSystemId=fresh.name)
    wait_until(lambda: not fresh.exists())


def test_a_restore_into_the_same_file_system_leaves_what_is_there(
    client: Clients, vault: str, file_system: str, emulator_home: Path
) -> None:
    place = folder(emulator_home, file_system)
    (place / "odoo").mkdir(parents=True)
    (place / "odoo" / "file").write_text("before")
    point = back_up(client, vault, file_system)["RecoveryPointArn"]
    (place / "odoo" / "file").write_text("after")
    identifier = file_system.rpartition("/")[2]
    done = restore(client, point, **{"newFileSystem": "false", "file-system-id": identifier})
    assert done["CreatedResourceArn"] == file_system
    assert (place / "odoo" / "file").read_text() == "after"
    (below,) = place.glob("aws-backup-restore_*")
    assert (below / "odoo" / "file").read_text() == "before"
    with pytest.raises(ClientError) as caught:
        restore(client, point, **{"newFileSystem": "false", "file-system-id": "fs-00000000"})
    assert code(caught) == "InvalidParameterValueException"


def test_a_file_system_that_no_server_has_mounted_is_an_empty_one(
    client: Clients, vault: str, file_system: str, emulator_home: Path
) -> None:
    found = back_up(client, vault, file_system)
    assert found["BackupSizeInBytes"] == 0
    done = restore(client, found["RecoveryPointArn"], newFileSystem="true")
    (below,) = folder(emulator_home, done["CreatedResourceArn"]).iterdir()
    assert list(below.iterdir()) == []
    client("efs").delete_file_system(FileSystemId=done["CreatedResourceArn"].rpartition("/")[2])


def test_the_same_token_gives_the_same_job(client: Clients, vault: str, file_system: str) -> None:
    backup = client("backup")
    first = back_up(client, vault, file_system, IdempotencyToken="checkpoint-one")
    again = backup.start_backup_job(
        BackupVaultName=vault, ResourceArn=file_system, IamRoleArn=ROLE, IdempotencyToken="checkpoint-one"
    )
    other = back_up(client, vault, file_system, IdempotencyToken="checkpoint-two")
    assert again["BackupJobId"] == first["BackupJobId"] != other["BackupJobId"]
    assert again["RecoveryPointArn"] == first["RecoveryPointArn"]
    assert len(backup.list_recovery_points_by_backup_vault(BackupVaultName=vault)["RecoveryPoints"]) == 2
    wanted = {
        "RecoveryPointArn": first["RecoveryPointArn"],
        "Metadata": {"newFileSystem": "true"},
        "IamRoleArn": ROLE,
        "IdempotencyToken": "checkpoint-one",
    }
    before = len(client("efs").describe_file_systems()["FileSystems"])
    jobs = {backup.start_restore_job(**wanted)["RestoreJobId"] for _ in range(2)}
    assert len(jobs) == 1
    assert len(client("efs").describe_file_systems()["FileSystems"]) == before + 1
    done = completed(lambda: backup.describe_restore_job(RestoreJobId=jobs.copy().pop()))
    client("efs").delete_file_system(FileSystemId=done["CreatedResourceArn"].rpartition("/")[2])


def test_a_recovery_point_says_when_it_is_deleted(client: Clients, vault: str, file_system: str) -> None:
    backup = client("backup")
    point = back_up(client, vault, file_system, Lifecycle={"DeleteAfterDays": 35})["RecoveryPointArn"]
    (row,) = backup.list_recovery_points_by_backup_vault(BackupVaultName=vault)["RecoveryPoints"]
    found = backup.describe_recovery_point(BackupVaultName=vault, RecoveryPointArn=point)
    for shown in (row, found):
        assert shown["Lifecycle"] == {"DeleteAfterDays": 35}
        assert shown["CalculatedLifecycle"]["DeleteAt"] - shown["CreationDate"] == timedelta(days=35)
    for wrong in ({"DeleteAfterDays": 0}, {"DeleteAfterDays": 100, "MoveToColdStorageAfterDays": 30}):
        with pytest.raises(ClientError) as caught:
            back_up(client, vault, file_system, Lifecycle=wrong)
        assert code(caught) == "InvalidParameterValueException"


def test_a_locked_vault_takes_only_what_is_kept_for_as_long_as_its_lock_says(
    client: Clients, vault: str, file_system: str
) -> None:
    backup = client("backup")
    free = f"{vault}-"[:40]
    backup.create_backup_vault(BackupVaultName=free)
    backup.put_backup_vault_lock_configuration(BackupVaultName=vault, MinRetentionDays=3, MaxRetentionDays=9)
    lock = backup.describe_backup_vault(BackupVaultName=vault)["BackupVaultArn"]
    source = back_up(client, free, file_system)["RecoveryPointArn"]
    for lifecycle in ({"DeleteAfterDays": 2}, {"DeleteAfterDays": 10}, {}):
        job = backup.start_backup_job(
            BackupVaultName=vault, ResourceArn=file_system, IamRoleArn=ROLE, Lifecycle=lifecycle
        )
        found = backup.describe_backup_job(BackupJobId=job["BackupJobId"])
        assert found["State"] == "FAILED" and "permits 3 to 9 days" in found["StatusMessage"]
        copy = backup.start_copy_job(
            RecoveryPointArn=source,
            SourceBackupVaultName=free,
            DestinationBackupVaultArn=lock,
            IamRoleArn=ROLE,
            Lifecycle=lifecycle,
        )
        assert backup.describe_copy_job(CopyJobId=copy["CopyJobId"])["CopyJob"]["State"] == "FAILED"
    assert backup.list_recovery_points_by_backup_vault(BackupVaultName=vault)["RecoveryPoints"] == []
    for days in (3, 9):
        back_up(client, vault, file_system, Lifecycle={"DeleteAfterDays": days})
    assert backup.describe_backup_vault(BackupVaultName=vault)["NumberOfRecoveryPoints"] == 2


def test_a_locked_vault_keeps_its_recovery_points(client: Clients, vault: str, file_system: str) -> None:
    backup = client("backup")
    backup.put_backup_vault_lock_configuration(BackupVaultName=vault, MinRetentionDays=1, MaxRetentionDays=9)
    point = back_up(client, vault, file_system, Lifecycle={"DeleteAfterDays": 5})["RecoveryPointArn"]
    with pytest.raises(ClientError) as caught:
        backup.delete_recovery_point(BackupVaultName=vault, RecoveryPointArn=point)
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
