"""AWS Backup: vaults with lock and notifications, plans, selections."""

from __future__ import annotations

from local.plugins.aws.context import Context
from local.plugins.aws.row import Call, Name, Row
from local.plugins.aws.services import _tagging as tagging

TAGS = tagging.by_resource(
    "ResourceArn", verbs=("TagResource", "UntagResource", "ListTags"), keys="TagKeyList"
)


def _empty_vault(context: Context) -> None:
    """With forceDestroy, removes the recovery points first."""
    if not context.state.get("forceDestroy"):
        return
    listed = context.call("ListRecoveryPointsByBackupVault", BackupVaultName=context.id)
    for point in listed.get("RecoveryPoints") or []:
        context.call(
            "DeleteRecoveryPoint", BackupVaultName=context.id, RecoveryPointArn=point["RecoveryPointArn"]
        )


VAULT = Row(
    type="aws:backup/vault:Vault",
    service="backup",
    inputs="name kmsKeyArn",
    local="forceDestroy",
    defaults={"forceDestroy": False},
    name=Name(longest=50),
    rename={"name": "BackupVaultName", "kmsKeyArn": "EncryptionKeyArn", "tagsAll": "BackupVaultTags"},
    create=Call("CreateBackupVault"),
    id="BackupVaultName",
    read=Call("DescribeBackupVault", {"BackupVaultName": "{id}"}, inputs=""),
    delete=(_empty_vault, Call("DeleteBackupVault", {"BackupVaultName": "{id}"}, inputs="")),
    outputs={"arn": "BackupVaultArn", "recoveryPoints": "NumberOfRecoveryPoints || `0`"},
    computed="kmsKeyArn",
    replace="name kmsKeyArn",
    tags=TAGS,
)

VAULT_LOCK = Row(
    type="aws:backup/vaultLockConfiguration:VaultLockConfiguration",
    service="backup",
    inputs="backupVaultName minRetentionDays maxRetentionDays changeableForDays",
    create=Call("PutBackupVaultLockConfiguration"),
    id="{backupVaultName}",
    read=Call("DescribeBackupVault", {"BackupVaultName": "{id}"}, inputs=""),
    gone="Locked == `false`",
    delete=(Call("DeleteBackupVaultLockConfiguration", {"BackupVaultName": "{id}"}, inputs=""),),
    outputs={"backupVaultArn": "BackupVaultArn"},
    replace="backupVaultName minRetentionDays maxRetentionDays changeableForDays",
    slot="backupVaultName",
)

VAULT_NOTIFICATIONS = Row(
    type="aws:backup/vaultNotifications:VaultNotifications",
    service="backup",
    inputs="backupVaultName snsTopicArn backupVaultEvents",
    create=Call("PutBackupVaultNotifications"),
    id="{backupVaultName}",
    read=Call("GetBackupVaultNotifications", {"BackupVaultName": "{id}"}, inputs=""),
    delete=(Call("DeleteBackupVaultNotifications", {"BackupVaultName": "{id}"}, inputs=""),),
    outputs={"backupVaultArn": "BackupVaultArn"},
    replace="backupVaultName snsTopicArn backupVaultEvents",
    slot="backupVaultName",
)

PLAN_ARGUMENT = {
    "BackupPlanName": "{name}",
    "Rules": "{rules}",
    "AdvancedBackupSettings": "{advancedBackupSettings}",
}

PLAN = Row(
    type="aws:backup/plan:Plan",
    service="backup",
    inputs="name rules advancedBackupSettings",
    name=Name(longest=50),
    rename={
        "name": "BackupPlanName",
        "tagsAll": "BackupPlanTags",
        "targetVaultName": "TargetBackupVaultName",
        "destinationVaultArn": "DestinationBackupVaultArn",
        "schedule": "ScheduleExpression",
        "startWindow": "StartWindowMinutes",
        "completionWindow": "CompletionWindowMinutes",
        "coldStorageAfter": "MoveToColdStorageAfterDays",
        "deleteAfter": "DeleteAfterDays",
    },
    create=Call("CreateBackupPlan", {"BackupPlan": PLAN_ARGUMENT}, inputs=""),
    id="BackupPlanId",
    read=Call("GetBackupPlan", {"BackupPlanId": "{id}"}, inputs=""),
    gone="DeletionDate != null",
    update=Call("UpdateBackupPlan", {"BackupPlanId": "{id}", "BackupPlan": PLAN_ARGUMENT}, inputs=""),
    delete=(Call("DeleteBackupPlan", {"BackupPlanId": "{id}"}, inputs=""),),
    outputs={"arn": "BackupPlanArn", "version": "VersionId"},
    reads={
        "name": "BackupPlan.BackupPlanName",
        "rules": "BackupPlan.Rules",
        "advancedBackupSettings": "BackupPlan.AdvancedBackupSettings",
    },
    replace="name",
    volatile={"version": "rules advancedBackupSettings"},
    tags=TAGS,
)

SELECTION = Row(
    type="aws:backup/selection:Selection",
    service="backup",
    inputs="planId name iamRoleArn resources notResources selectionTags conditions",
    name=Name(longest=50),
    rename={
        "name": "SelectionName",
        "ListOfTags.type": "ConditionType",
        "stringLikes": "StringLike",
        "stringNotLikes": "StringNotLike",
        "key": "ConditionKey",
        "value": "ConditionValue",
    },
    create=Call(
        "CreateBackupSelection",
        {
            "BackupPlanId": "{planId}",
            "BackupSelection": {
                "SelectionName": "{name}",
                "IamRoleArn": "{iamRoleArn}",
                "Resources": "{resources}",
                "NotResources": "{notResources}",
                "ListOfTags": "{selectionTags}",
                "Conditions": "{conditions}",
            },
        },
        inputs="",
    ),
    id="SelectionId",
    read=Call("GetBackupSelection", {"BackupPlanId": "{planId}", "SelectionId": "{id}"}, inputs=""),
    delete=(Call("DeleteBackupSelection", {"BackupPlanId": "{planId}", "SelectionId": "{id}"}, inputs=""),),
    computed="notResources",
    reads={
        "planId": "",
        "name": "BackupSelection.SelectionName",
        "iamRoleArn": "BackupSelection.IamRoleArn",
        "resources": "BackupSelection.Resources",
        "notResources": "BackupSelection.NotResources",
        "selectionTags": "",
        "conditions": "",
    },
    replace="planId name iamRoleArn resources notResources selectionTags conditions",
)

ROWS = (VAULT, VAULT_LOCK, VAULT_NOTIFICATIONS, PLAN, SELECTION)
