"""Secrets Manager: secrets and their versions."""

from __future__ import annotations

import base64
from typing import Any

from local.plugins.aws.context import Context
from local.plugins.aws.row import Call, Name, Row, Step
from local.plugins.aws.services import _tagging as tagging


def _delete_secret(context: Context) -> None:
    """Deletes with the recovery window of the program; none (0 days) removes the secret at once."""
    days = context.state.get("recoveryWindowInDays")
    if days is None:
        days = 30
    extra: dict[str, Any] = (
        {"RecoveryWindowInDays": int(days)} if days else {"ForceDeleteWithoutRecovery": True}
    )
    context.call("DeleteSecret", SecretId=context.id, **extra)


SECRET = Row(
    type="aws:secretsmanager/secret:Secret",
    service="secretsmanager",
    inputs="name description kmsKeyId policy",
    local="namePrefix recoveryWindowInDays forceOverwriteReplicaSecret",
    defaults={"recoveryWindowInDays": 30, "forceOverwriteReplicaSecret": False},
    name=Name(longest=512),
    create=Call("CreateSecret"),
    id="ARN",
    read=Call("DescribeSecret", {"SecretId": "{id}"}, inputs=""),
    gone="DeletedDate != null",
    update=Call("UpdateSecret", {"SecretId": "{id}"}, inputs="description kmsKeyId", changed=True),
    unset={"description": ""},
    steps=(
        Step(
            "policy",
            Call("PutResourcePolicy", {"SecretId": "{id}", "ResourcePolicy": "{policy}"}, inputs=""),
            Call("DeleteResourcePolicy", {"SecretId": "{id}"}, inputs=""),
        ),
    ),
    delete=(_delete_secret,),
    outputs={"arn": "ARN"},
    computed="policy",
    reads={"policy": ""},
    replace="name namePrefix",
    tags=tagging.by_resource(
        "SecretId", "{id}", verbs=("TagResource", "UntagResource", "DescribeSecret"), listed="Tags"
    ),
)


def _content(context: Context) -> dict[str, Any]:
    if context.inputs.get("secretBinary") is not None:
        return {"SecretBinary": base64.b64decode(context.inputs["secretBinary"])}
    return {"SecretString": context.inputs.get("secretString") or ""}


def _put_version(context: Context) -> Any:
    stages = context.inputs.get("versionStages")
    extra = {"VersionStages": stages} if stages else {}
    return context.call("PutSecretValue", SecretId=context.inputs["secretId"], **_content(context), **extra)


def _find_version(context: Context) -> Any:
    secret, _, version = context.id.rpartition("|")
    answer = context.call("GetSecretValue", SecretId=secret, VersionId=version)
    if answer.get("SecretBinary") is not None:
        answer["SecretBinary"] = base64.b64encode(answer["SecretBinary"]).decode()
    return answer


def _withdraw_version(context: Context) -> None:
    """Takes the version's stages away; the current version of a secret cannot go, as on AWS."""
    secret, _, version = context.id.rpartition("|")
    stages = context.call("DescribeSecret", SecretId=secret).get("VersionIdsToStages", {}).get(version, [])
    for stage in stages:
        if stage != "AWSCURRENT":
            context.call(
                "UpdateSecretVersionStage", SecretId=secret, VersionStage=stage, RemoveFromVersionId=version
            )


SECRET_VERSION = Row(
    type="aws:secretsmanager/secretVersion:SecretVersion",
    service="secretsmanager",
    inputs="secretId secretString secretBinary versionStages",
    create=_put_version,
    id="{@.ARN}|{@.VersionId}",
    read=_find_version,
    delete=(_withdraw_version,),
    outputs={"arn": "ARN", "secretArn": "ARN", "versionId": "VersionId"},
    computed="versionStages",
    reads={"secretId": "ARN"},
    replace="secretId secretString secretBinary",
    update=_put_version,
)

ROWS = (SECRET, SECRET_VERSION)
