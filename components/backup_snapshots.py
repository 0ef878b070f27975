"""Backups that outlive mistakes: AWS Backup's vault, plan, copies and tests, and labelled checkpoints."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import pulumi
import pulumi_aws as aws
import pulumi_tls as tls

from components.iam import trust_service
from components.outputs import all_of
from core.backup_rules import lifecycle
from core.names import checkpoint_snapshot_identifier, told_apart

SERVICE_POLICIES = {
    "backup": "arn:aws:iam::aws:policy/service-role/AWSBackupServiceRolePolicyForBackup",
    "restore": "arn:aws:iam::aws:policy/service-role/AWSBackupServiceRolePolicyForRestores",
}
START_WINDOW_MINUTES = 60
COMPLETION_WINDOW_MINUTES = 480
"""A job that has not started within the first, or ended within the second, is cancelled and reported."""
TEST_START_WINDOW_HOURS = 8
"""AWS Backup starts the tests at a time of its own choice within these hours."""
TEST_SELECTION_WINDOW_DAYS = 7
"""What is older is no proof that today's backups can be restored."""
KEY_DELETION_DAYS = 30
"""The longest wait that KMS offers: without its key a recovery point is lost."""


@dataclass(frozen=True, kw_only=True)
class BackupRule:
    """When to back up (`cron(…)` in UTC) and for how many days to keep it."""

    schedule: str
    retention_days: int


@dataclass(frozen=True, kw_only=True)
class VaultLock:
    """Retention limits in days that nobody can shorten.

    With `changeable_for_days` (3 at least) the lock becomes final when they are over: after that neither
    the account's owner nor AWS can remove the lock, shorten a retention or delete the vault with what is
    in it. None keeps the lock removable by whoever has the permission.
    """

    min_retention_days: int
    max_retention_days: int
    changeable_for_days: int | None


@dataclass(frozen=True, kw_only=True)
class RestoreTests:
    """When AWS Backup restores the newest recovery points, and what the restored ones need.

    `plan_name` is physical: letters, digits and `_`. A restored database server stands in the subnets of
    `database_subnet_group_name`, in the VPC's default security group, which lets nothing through.
    """

    plan_name: str
    schedule: str
    database_subnet_group_name: pulumi.Input[str]
    file_store_kms_key_arn: pulumi.Input[str]


@dataclass(frozen=True, kw_only=True)
class BackupSnapshotsArgs:
    """What is backed up, when, for how long and where to.

    `rules` by a stable name (`daily`, `weekly`, `monthly`). `file_system_arn` None leaves the file store
    out. `copy_provider` is an AWS provider for the second region; with it everything is copied there.
    `checkpoints` are labels: each is one snapshot of the database, taken when the label is first seen,
    after the resources in `checkpoints_after` are there. `stack` is part of the snapshots' names.
    `tests` None restores nothing. `protect` refuses to take vaults and keys out of the stack; in AWS they
    always stay.
    """

    stack: str
    rules: Mapping[str, BackupRule]
    database_instance_identifier: pulumi.Input[str]
    database_arn: pulumi.Input[str]
    file_system_arn: pulumi.Input[str] | None
    checkpoints: Sequence[str] = ()
    checkpoints_after: Sequence[pulumi.Resource] = ()
    vault_lock: VaultLock | None = None
    copy_provider: pulumi.ProviderResource | None = None
    tests: RestoreTests | None = None
    protect: bool = False


class BackupSnapshots(pulumi.ComponentResource):
    """Vault with its own key and lock, plan, selection and role; a second vault abroad; checkpoints."""

    vault_name: pulumi.Output[str]
    vault_arn: pulumi.Output[str]
    copy_vault_arn: pulumi.Output[str | None]
    plan_id: pulumi.Output[str]
    role_arn: pulumi.Output[str]
    """The role that backup and restore jobs run as; `ops` starts jobs with it."""
    snapshot_identifiers: pulumi.Output[dict[str, str]]
    """Label -> RDS snapshot identifier."""

    def __init__(
        self, name: str, args: BackupSnapshotsArgs, opts: pulumi.ResourceOptions | None = None
    ) -> None:
        super().__init__("openerp:index:BackupSnapshots", name, {}, opts)
        child = pulumi.ResourceOptions(parent=self)

        vault = self._vault(name, args, None)
        self.vault_name = vault.name
        self.vault_arn = vault.arn
        copy = None
        self.copy_vault_arn = pulumi.Output.from_input(None)
        if args.copy_provider is not None:
            copy = self._vault(f"{name}-copy", args, args.copy_provider)
            self.copy_vault_arn = copy.arn.apply(lambda arn: arn)

        plan = aws.backup.Plan(
            f"{name}-plan",
            rules=[_plan_rule(key, rule, vault, copy) for key, rule in args.rules.items()],
            opts=child,
        )
        self.plan_id = plan.id
        role = aws.iam.Role(
            f"{name}-role",
            description="AWS Backup: takes and restores the backups of OpenERP",
            assume_role_policy=trust_service("backup.amazonaws.com"),
            opts=child,
        )
        self.role_arn = role.arn
        attached = [
            aws.iam.RolePolicyAttachment(f"{name}-{key}-policy", role=role.name, policy_arn=arn, opts=child)
            for key, arn in SERVICE_POLICIES.items()
        ]
        resources: list[pulumi.Input[str]] = [args.database_arn]
        if args.file_system_arn is not None:
            resources.append(args.file_system_arn)
        aws.backup.Selection(
            f"{name}-selection",
            plan_id=plan.id,
            iam_role_arn=role.arn,
            resources=resources,
            opts=pulumi.ResourceOptions(parent=self, depends_on=attached),
        )
        if args.tests is not None:
            self._test(name, args, args.tests, vault, role, attached)

        identifiers = {}
        for label in args.checkpoints:
            # RDS takes no second snapshot of a name, and these outlive whatever made them. A key that nobody
            # uses is new whenever the label is: after a destroy, and when it comes back to the settings.
            mark = tls.PrivateKey(f"{name}-checkpoint-{label}", algorithm="ED25519", opts=child)
            snapshot = aws.rds.Snapshot(
                f"{name}-checkpoint-{label}",
                db_instance_identifier=args.database_instance_identifier,
                db_snapshot_identifier=mark.public_key_pem.apply(
                    partial(told_apart, checkpoint_snapshot_identifier(args.stack, label))
                ),
                opts=pulumi.ResourceOptions(
                    parent=self,
                    # Retained, and so not protected: taking a label out of the settings must be possible.
                    retain_on_delete=True,
                    # What was taken stays what it was: a database restored under another identifier
                    # must not replace the checkpoints of the one before it.
                    ignore_changes=["db_instance_identifier"],
                    depends_on=list(args.checkpoints_after),
                ),
            )
            identifiers[label] = snapshot.db_snapshot_identifier
        self.snapshot_identifiers = all_of(identifiers)
        self.register_outputs(
            {
                "vault_name": self.vault_name,
                "vault_arn": self.vault_arn,
                "copy_vault_arn": self.copy_vault_arn,
                "plan_id": self.plan_id,
                "role_arn": self.role_arn,
                "snapshot_identifiers": self.snapshot_identifiers,
            }
        )

    def _test(
        self,
        name: str,
        args: BackupSnapshotsArgs,
        tests: RestoreTests,
        vault: aws.backup.Vault,
        role: aws.iam.Role,
        attached: Sequence[pulumi.Resource],
    ) -> None:
        plan = aws.backup.RestoreTestingPlan(
            f"{name}-tests",
            name=tests.plan_name,
            schedule_expression=tests.schedule,
            schedule_expression_timezone="UTC",
            start_window_hours=TEST_START_WINDOW_HOURS,
            recovery_point_selection=aws.backup.RestoreTestingPlanRecoveryPointSelectionArgs(
                algorithm="LATEST_WITHIN_WINDOW",
                include_vaults=[vault.arn],
                recovery_point_types=["SNAPSHOT"],
                selection_window_days=TEST_SELECTION_WINDOW_DAYS,
            ),
            opts=pulumi.ResourceOptions(parent=self),
        )
        wanted = {
            "database": (
                "RDS",
                args.database_arn,
                {"dbSubnetGroupName": tests.database_subnet_group_name},
            ),
        }
        if args.file_system_arn is not None:
            wanted["files"] = ("EFS", args.file_system_arn, {"kmsKeyId": tests.file_store_kms_key_arn})
        for key, (kind, arn, overrides) in wanted.items():
            aws.backup.RestoreTestingSelection(
                f"{name}-tests-{key}",
                name=key,
                restore_testing_plan_name=plan.name,
                protected_resource_type=kind,
                protected_resource_arns=[arn],
                iam_role_arn=role.arn,
                restore_metadata_overrides=overrides,
                opts=pulumi.ResourceOptions(parent=self, depends_on=list(attached)),
            )

    def _vault(
        self, name: str, args: BackupSnapshotsArgs, provider: pulumi.ProviderResource | None
    ) -> aws.backup.Vault:
        # AWS deletes no vault that holds a backup, and no lock once it holds for good; and a backup without
        # its key is lost. What a destroyed stack had backed up stays.
        kept = pulumi.ResourceOptions(
            parent=self, provider=provider, protect=args.protect, retain_on_delete=True
        )
        key = aws.kms.Key(
            f"{name}-key",
            description="OpenERP backups",
            enable_key_rotation=True,
            deletion_window_in_days=KEY_DELETION_DAYS,
            opts=kept,
        )
        vault = aws.backup.Vault(f"{name}-vault", kms_key_arn=key.arn, force_destroy=False, opts=kept)
        if args.vault_lock is not None:
            aws.backup.VaultLockConfiguration(
                f"{name}-lock",
                backup_vault_name=vault.name,
                min_retention_days=args.vault_lock.min_retention_days,
                max_retention_days=args.vault_lock.max_retention_days,
                changeable_for_days=args.vault_lock.changeable_for_days,
                opts=pulumi.ResourceOptions(parent=self, provider=provider, retain_on_delete=True),
            )
        return vault


def _plan_rule(
    key: str, rule: BackupRule, vault: aws.backup.Vault, copy: aws.backup.Vault | None
) -> aws.backup.PlanRuleArgs:
    cold_after, delete_after = lifecycle(rule.retention_days)
    return aws.backup.PlanRuleArgs(
        rule_name=key,
        target_vault_name=vault.name,
        schedule=rule.schedule,
        start_window=START_WINDOW_MINUTES,
        completion_window=COMPLETION_WINDOW_MINUTES,
        lifecycle=aws.backup.PlanRuleLifecycleArgs(cold_storage_after=cold_after, delete_after=delete_after),
        copy_actions=None
        if copy is None
        else [
            aws.backup.PlanRuleCopyActionArgs(
                destination_vault_arn=copy.arn,
                lifecycle=aws.backup.PlanRuleCopyActionLifecycleArgs(
                    cold_storage_after=cold_after, delete_after=delete_after
                ),
            )
        ],
    )
