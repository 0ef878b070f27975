"""AWS Backup: vaults with lock and notifications, plans, selections, restore testing."""

from __future__ import annotations

import re
from collections.abc import Mapping

from local.plugins.aws.context import Context
from local.plugins.aws.row import Call, Name, Row, Values
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

TESTING_NAME = re.compile(r"[A-Za-z0-9_]{1,50}")


def _testing_name(inputs: Values) -> Mapping[str, str]:
    """An automatic name has a hyphen, which AWS Backup refuses here: a program must give one."""
    name = inputs.get("name")
    if isinstance(name, str) and TESTING_NAME.fullmatch(name):
        return {}
    if name is not None and not isinstance(name, str):  # unknown yet
        return {}
    return {"name": "give a name of 1 to 50 letters, digits and underscores: AWS Backup takes no other"}


TESTING_PLAN = Row(
    type="aws:backup/restoreTestingPlan:RestoreTestingPlan",
    service="backup",
    inputs="name recoveryPointSelection scheduleExpression scheduleExpressionTimezone startWindowHours",
    check=_testing_name,
    rename={"name": "RestoreTestingPlanName", "tagsAll": "Tags"},
    create=Call(
        "CreateRestoreTestingPlan",
        {
            "RestoreTestingPlan": {
                "RestoreTestingPlanName": "{name}",
                "RecoveryPointSelection": "{recoveryPointSelection}",
                "ScheduleExpression": "{scheduleExpression}",
                "ScheduleExpressionTimezone": "{scheduleExpressionTimezone}",
                "StartWindowHours": "{startWindowHours}",
            }
        },
        inputs="",
    ),
    id="{name}",
    read=Call("GetRestoreTestingPlan", {"RestoreTestingPlanName": "{name}"}, "RestoreTestingPlan", inputs=""),
    update=Call(
        "UpdateRestoreTestingPlan",
        {
            "RestoreTestingPlanName": "{name}",
            "RestoreTestingPlan": {
                "RecoveryPointSelection": "{recoveryPointSelection}",
                "ScheduleExpression": "{scheduleExpression}",
                "ScheduleExpressionTimezone": "{scheduleExpressionTimezone}",
                "StartWindowHours": "{startWindowHours}",
            },
        },
        inputs="",
    ),
    delete=(Call("DeleteRestoreTestingPlan", {"RestoreTestingPlanName": "{name}"}, inputs=""),),
    outputs={"arn": "RestoreTestingPlanArn"},
    computed="scheduleExpressionTimezone startWindowHours",
    replace="name",
    slot="name",
    tags=TAGS,
)

TESTING_SELECTION = Row(
    type="aws:backup/restoreTestingSelection:RestoreTestingSelection",
    service="backup",
    inputs="name restoreTestingPlanName iamRoleArn protectedResourceType protectedResourceArns "
    "protectedResourceConditions restoreMetadataOverrides validationWindowHours",
    check=_testing_name,
    rename={"name": "RestoreTestingSelectionName"},
    create=Call(
        "CreateRestoreTestingSelection",
        {
            "RestoreTestingPlanName": "{restoreTestingPlanName}",
            "RestoreTestingSelection": {
                "RestoreTestingSelectionName": "{name}",
                "IamRoleArn": "{iamRoleArn}",
                "ProtectedResourceType": "{protectedResourceType}",
                "ProtectedResourceArns": "{protectedResourceArns}",
                "ProtectedResourceConditions": "{protectedResourceConditions}",
                "RestoreMetadataOverrides": "{restoreMetadataOverrides}",
                "ValidationWindowHours": "{validationWindowHours}",
            },
        },
        inputs="",
    ),
    id="{restoreTestingPlanName}:{name}",
    read=Call(
        "GetRestoreTestingSelection",
        {"RestoreTestingPlanName": "{restoreTestingPlanName}", "RestoreTestingSelectionName": "{name}"},
        "RestoreTestingSelection",
        inputs="",
    ),
    update=Call(
        "UpdateRestoreTestingSelection",
        {
            "RestoreTestingPlanName": "{restoreTestingPlanName}",
            "RestoreTestingSelectionName": "{name}",
            "RestoreTestingSelection": {
                "IamRoleArn": "{iamRoleArn}",
                "ProtectedResourceArns": "{protectedResourceArns}",
                "ProtectedResourceConditions": "{protectedResourceConditions}",
                "RestoreMetadataOverrides": "{restoreMetadataOverrides}",
                "ValidationWindowHours": "{validationWindowHours}",
            },
        },
        inputs="",
    ),
    delete=(
        Call(
            "DeleteRestoreTestingSelection",
            {"RestoreTestingPlanName": "{restoreTestingPlanName}", "RestoreTestingSelectionName": "{name}"},
            inputs="",
        ),
    ),
    computed="protectedResourceArns restoreMetadataOverrides validationWindowHours",
    replace="name restoreTestingPlanName protectedResourceType",
    slot="restoreTestingPlanName name",
)

ROWS = (VAULT, VAULT_LOCK, VAULT_NOTIFICATIONS, PLAN, SELECTION, TESTING_PLAN, TESTING_SELECTION)
