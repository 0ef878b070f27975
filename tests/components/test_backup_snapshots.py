"""Vault, plan and checkpoints as a graph. That AWS Backup runs the jobs is not proven here."""

from __future__ import annotations

import json
import re
from typing import Any

import pulumi_aws as aws
import pytest

from components.backup_snapshots import (
    BackupRule,
    BackupSnapshots,
    BackupSnapshotsArgs,
    RestoreTests,
    VaultLock,
)
from core.names import checkpoint_snapshot_identifier, told_apart
from tests.components.conftest import Deploy, Graph

SNAPSHOT = "aws:rds/snapshot:Snapshot"
VAULT = "aws:backup/vault:Vault"
LOCK = "aws:backup/vaultLockConfiguration:VaultLockConfiguration"
PLAN = "aws:backup/restoreTestingPlan:RestoreTestingPlan"
SELECTION = "aws:backup/restoreTestingSelection:RestoreTestingSelection"
TESTS = RestoreTests(
    plan_name="openerp_prod",
    schedule="cron(0 8 ? * SUN *)",
    database_subnet_group_name="data-subnets",
    file_store_kms_key_arn="arn:files-key",
)
DAILY = BackupRule(schedule="cron(0 3 * * ? *)", retention_days=35)

ALWAYS = {
    ("aws:kms/key:Key", "backup-key"),
    (VAULT, "backup-vault"),
    ("aws:backup/plan:Plan", "backup-plan"),
    ("aws:iam/role:Role", "backup-role"),
    ("aws:iam/rolePolicyAttachment:RolePolicyAttachment", "backup-backup-policy"),
    ("aws:iam/rolePolicyAttachment:RolePolicyAttachment", "backup-restore-policy"),
    ("aws:backup/selection:Selection", "backup-selection"),
}


def make(deploy: Deploy, *, copy_region: str | None = None, **changes: Any) -> Graph:
    def program() -> None:
        first = aws.ssm.Parameter("databases", type="String", value="made")
        provider = aws.Provider("second", region=copy_region) if copy_region else None
        arguments: dict[str, Any] = {
            "stack": "prod",
            "rules": {"daily": DAILY},
            "database_instance_identifier": "database-1",
            "database_arn": "arn:database",
            "file_system_arn": "arn:files",
            "checkpoints_after": [first],
            "copy_provider": provider,
            **changes,
        }
        BackupSnapshots("backup", BackupSnapshotsArgs(**arguments))

    return deploy(program)


def test_a_plain_backup_has_one_vault_without_lock_copy_or_checkpoint(deploy: Deploy) -> None:
    graph = make(deploy)

    assert graph.children("backup") == ALWAYS
    outputs = graph.outputs_of("backup")
    assert outputs["snapshot_identifiers"] == {}
    assert outputs.get("copy_vault_arn") is None
    assert outputs["vault_name"] == graph.one("aws:backup/plan:Plan").inputs["rules"][0]["targetVaultName"]


def test_a_locked_backup_with_a_copy_locks_both_vaults_under_keys_of_their_own(deploy: Deploy) -> None:
    lock = VaultLock(min_retention_days=7, max_retention_days=400, changeable_for_days=3)
    graph = make(deploy, copy_region="eu-central-1", vault_lock=lock)

    assert graph.children("backup") == ALWAYS | {
        (LOCK, "backup-lock"),
        ("aws:kms/key:Key", "backup-copy-key"),
        (VAULT, "backup-copy-vault"),
        (LOCK, "backup-copy-lock"),
    }
    for registration in graph.of(LOCK):
        assert {k: v for k, v in registration.inputs.items() if k != "backupVaultName"} == {
            "minRetentionDays": 7,
            "maxRetentionDays": 400,
            "changeableForDays": 3,
        }
    abroad = {r.name for r in graph.registrations if r.provider_name == "second"}
    assert abroad == {"backup-copy-key", "backup-copy-vault", "backup-copy-lock"}
    for vault, key in (("backup-vault", "backup-key"), ("backup-copy-vault", "backup-copy-key")):
        inputs = graph.one(VAULT, vault).inputs
        assert inputs["kmsKeyArn"].endswith(f":{key}")
        assert inputs["forceDestroy"] is False
        assert graph.one("aws:kms/key:Key", key).inputs["enableKeyRotation"] is True


def test_a_lock_without_days_of_grace_stays_removable(deploy: Deploy) -> None:
    lock = VaultLock(min_retention_days=7, max_retention_days=400, changeable_for_days=None)
    assert "changeableForDays" not in make(deploy, vault_lock=lock).one(LOCK).inputs


def test_each_rule_keeps_and_copies_for_its_own_retention(deploy: Deploy) -> None:
    rules = {"daily": DAILY, "monthly": BackupRule(schedule="cron(0 5 1 * ? *)", retention_days=365)}
    graph = make(deploy, copy_region="eu-central-1", rules=rules)

    daily, monthly = graph.one("aws:backup/plan:Plan").inputs["rules"]
    assert (daily["ruleName"], daily["schedule"]) == ("daily", "cron(0 3 * * ? *)")
    assert daily["lifecycle"] == {"deleteAfter": 35}
    assert monthly["lifecycle"] == {"coldStorageAfter": 30, "deleteAfter": 365}
    for rule in (daily, monthly):
        (copy,) = rule["copyActions"]
        assert copy["lifecycle"] == rule["lifecycle"]
        assert copy["destinationVaultArn"].endswith(":backup-copy-vault")
        assert rule["completionWindow"] > rule["startWindow"] >= 60


def test_nothing_is_copied_without_a_second_region(deploy: Deploy) -> None:
    (rule,) = make(deploy).one("aws:backup/plan:Plan").inputs["rules"]
    assert "copyActions" not in rule


@pytest.mark.parametrize(
    ("files", "selected"), [("arn:files", ["arn:database", "arn:files"]), (None, ["arn:database"])]
)
def test_the_selection_names_database_and_file_store_and_has_the_rights_first(
    deploy: Deploy, files: str | None, selected: list[str]
) -> None:
    graph = make(deploy, file_system_arn=files)

    selection = graph.one("aws:backup/selection:Selection")
    assert selection.inputs["resources"] == selected
    assert {"backup-backup-policy", "backup-restore-policy"} <= selection.depends_on_names
    trust = json.loads(graph.one("aws:iam/role:Role").inputs["assumeRolePolicy"])
    assert trust["Statement"][0]["Principal"] == {"Service": "backup.amazonaws.com"}
    policies = {
        r.inputs["policyArn"].rpartition("/")[2]
        for r in graph.of("aws:iam/rolePolicyAttachment:RolePolicyAttachment")
    }
    assert policies == {"AWSBackupServiceRolePolicyForBackup", "AWSBackupServiceRolePolicyForRestores"}


def test_the_newest_recovery_points_are_restored_on_a_schedule_where_nothing_reaches_them(
    deploy: Deploy,
) -> None:
    """Restored servers get the VPC's default security group, which has no rule (test_network.py)."""
    graph = make(deploy, tests=TESTS)

    assert graph.children("backup") - ALWAYS == {
        (PLAN, "backup-tests"),
        (SELECTION, "backup-tests-database"),
        (SELECTION, "backup-tests-files"),
    }
    plan = graph.one(PLAN).inputs
    assert plan["name"] == "openerp_prod"
    assert plan["scheduleExpression"] == "cron(0 8 ? * SUN *)"
    assert plan["recoveryPointSelection"] == {
        "algorithm": "LATEST_WITHIN_WINDOW",
        "includeVaults": [graph.outputs_of("backup")["vault_arn"]],
        "recoveryPointTypes": ["SNAPSHOT"],
        "selectionWindowDays": 7,
    }
    tested = {s.name: s for s in graph.of(SELECTION)}
    for selection in tested.values():
        assert re.fullmatch("[a-z_]+", selection.inputs["name"]), "AWS takes no hyphen"
        assert selection.inputs["restoreTestingPlanName"] == "openerp_prod"
        assert selection.inputs["iamRoleArn"] == graph.outputs_of("backup")["role_arn"]
        assert {"backup-backup-policy", "backup-restore-policy"} <= selection.depends_on_names
    database, files = tested["backup-tests-database"].inputs, tested["backup-tests-files"].inputs
    assert (database["protectedResourceType"], database["protectedResourceArns"]) == ("RDS", ["arn:database"])
    assert database["restoreMetadataOverrides"] == {"dbSubnetGroupName": "data-subnets"}
    assert (files["protectedResourceType"], files["protectedResourceArns"]) == ("EFS", ["arn:files"])
    assert files["restoreMetadataOverrides"] == {"kmsKeyId": "arn:files-key"}


def test_without_a_file_store_only_the_database_is_tested(deploy: Deploy) -> None:
    graph = make(deploy, tests=TESTS, file_system_arn=None)
    assert [s.name for s in graph.of(SELECTION)] == ["backup-tests-database"]


@pytest.mark.parametrize("protect", [False, True])
def test_each_checkpoint_is_a_snapshot_that_outlives_the_stack_and_its_database(
    deploy: Deploy, protect: bool
) -> None:
    graph = make(deploy, checkpoints=["before-19", "go-live"], protect=protect)

    assert [r.name for r in graph.of(SNAPSHOT)] == [
        "backup-checkpoint-before-19",
        "backup-checkpoint-go-live",
    ]
    for snapshot in graph.of(SNAPSHOT):
        assert snapshot.retain_on_delete
        assert not snapshot.protect, "a label must be removable from the settings"
        assert snapshot.ignore_changes == ("dbInstanceIdentifier",)
        assert snapshot.depends_on_names == {"databases", snapshot.name}, "all in place, and its mark"
        assert snapshot.inputs["dbInstanceIdentifier"] == "database-1"
    identifiers = graph.outputs_of("backup")["snapshot_identifiers"]
    assert re.fullmatch("openerp-prod-before-19-[0-9a-f]{8}", identifiers["before-19"])
    assert re.fullmatch("openerp-prod-go-live-[0-9a-f]{8}", identifiers["go-live"])


def test_a_label_that_comes_back_takes_a_snapshot_of_a_new_name() -> None:
    """RDS refuses a second snapshot of one name, and the first one was only forgotten."""
    name = checkpoint_snapshot_identifier("prod", "go-live")
    assert told_apart(name, "one key") == told_apart(name, "one key") != told_apart(name, "another key")


def test_vaults_their_keys_and_locks_outlive_the_stack(deploy: Deploy) -> None:
    """With backups in it AWS deletes none, and a destroy would stop there."""
    lock = VaultLock(min_retention_days=7, max_retention_days=400, changeable_for_days=3)
    graph = make(deploy, copy_region="eu-central-1", vault_lock=lock)
    kept = graph.of(VAULT) + graph.of("aws:kms/key:Key") + graph.of(LOCK)
    assert len(kept) == 6
    assert all(r.retain_on_delete for r in kept)


@pytest.mark.parametrize("protect", [False, True])
def test_vaults_and_their_keys_are_protected_by_settings(deploy: Deploy, protect: bool) -> None:
    graph = make(deploy, copy_region="eu-central-1", protect=protect)
    kept = graph.of(VAULT) + graph.of("aws:kms/key:Key")
    assert len(kept) == 4
    assert all(r.protect is protect for r in kept)


def test_a_removed_checkpoint_leaves_the_graph_alone(deploy: Deploy) -> None:
    two = make(deploy, checkpoints=["a", "b"])
    one = make(deploy, checkpoints=["b"])
    assert {r.urn for r in two.registrations} - {r.urn for r in one.registrations} == {
        r.urn for r in two.registrations if r.name == "backup-checkpoint-a"
    }


def test_the_plan_stays_in_the_first_region(deploy: Deploy) -> None:
    graph = make(deploy, copy_region="eu-central-1")
    assert graph.one("aws:backup/plan:Plan").provider_name != "second"
