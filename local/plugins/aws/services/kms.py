"""KMS: keys and aliases."""

from __future__ import annotations

from typing import Any

from local.plugins.aws.context import Context
from local.plugins.aws.row import Call, Name, Row, Step
from local.plugins.aws.services import _tagging as tagging


def _set_rotation(context: Context) -> None:
    if context.inputs.get("enableKeyRotation"):
        days = context.inputs.get("rotationPeriodInDays")
        extra: dict[str, Any] = {"RotationPeriodInDays": int(days)} if days else {}
        context.call("EnableKeyRotation", KeyId=context.id, **extra)
    elif not context.creating:
        context.call("DisableKeyRotation", KeyId=context.id)


def _set_enabled(context: Context) -> None:
    if not context.creating or context.inputs.get("isEnabled") is False:
        enabled = context.inputs.get("isEnabled") is not False
        context.call("EnableKey" if enabled else "DisableKey", KeyId=context.id)


def _find_key(context: Context) -> dict[str, Any]:
    key = context.call("DescribeKey", KeyId=context.id)["KeyMetadata"]
    if key["KeyState"] == "PendingDeletion":
        return {}
    rotation = context.call("GetKeyRotationStatus", KeyId=context.id)
    policy = context.call("GetKeyPolicy", KeyId=context.id, PolicyName="default")["Policy"]
    return {**key, "KeyRotationEnabled": rotation["KeyRotationEnabled"], "Policy": policy}


KEY = Row(
    type="aws:kms/key:Key",
    service="kms",
    inputs="description keyUsage customerMasterKeySpec customKeyStoreId multiRegion policy enableKeyRotation "
    "rotationPeriodInDays isEnabled",
    local="deletionWindowInDays bypassPolicyLockoutSafetyCheck",
    defaults={
        "keyUsage": "ENCRYPT_DECRYPT",
        "customerMasterKeySpec": "SYMMETRIC_DEFAULT",
        "isEnabled": True,
        "bypassPolicyLockoutSafetyCheck": False,
    },
    rename={"customerMasterKeySpec": "KeySpec"},
    create=Call("CreateKey", result="KeyMetadata"),
    id="KeyId",
    read=_find_key,
    steps=(
        Step(
            "description",
            Call("UpdateKeyDescription", {"KeyId": "{id}"}, inputs="description"),
            Call("UpdateKeyDescription", {"KeyId": "{id}", "Description": ""}, inputs=""),
            create=False,
        ),
        Step(
            "policy",
            Call("PutKeyPolicy", {"KeyId": "{id}", "PolicyName": "default"}, inputs="policy"),
            create=False,
        ),
        Step("enableKeyRotation rotationPeriodInDays", _set_rotation),
        Step("isEnabled", _set_enabled),
    ),
    delete=(
        Call(
            "ScheduleKeyDeletion",
            {"KeyId": "{id}", "PendingWindowInDays": "{deletionWindowInDays}"},
            inputs="",
        ),
    ),
    outputs={"arn": "Arn", "keyId": "KeyId"},
    computed="description policy multiRegion rotationPeriodInDays",
    reads={
        "customerMasterKeySpec": "KeySpec",
        "isEnabled": "Enabled",
        "enableKeyRotation": "KeyRotationEnabled",
        "rotationPeriodInDays": "",
    },
    replace="keyUsage customerMasterKeySpec customKeyStoreId multiRegion",
    tags=tagging.by_resource("KeyId", "{id}", verbs=("TagResource", "UntagResource", "ListResourceTags")),
)

ALIAS = Row(
    type="aws:kms/alias:Alias",
    service="kms",
    inputs="name targetKeyId",
    local="namePrefix",
    name=Name(longest=256, prefix="alias/"),
    rename={"name": "AliasName"},
    create=Call("CreateAlias"),
    id="{name}",
    read=Call("ListAliases", {}, "Aliases[?AliasName=='{id}'] | [0]", inputs=""),
    update=Call("UpdateAlias", {"AliasName": "{id}"}),
    delete=(Call("DeleteAlias", {"AliasName": "{id}"}, inputs=""),),
    outputs={
        "arn": "arn:{partition}:kms:{region}:{account}:{id}",
        "targetKeyArn": "arn:{partition}:kms:{region}:{account}:key/{@.TargetKeyId}",
    },
    reads={"targetKeyId": "TargetKeyId"},
    replace="name namePrefix",
)

ROWS = (KEY, ALIAS)
