"""What the roles of `ops bootstrap` let the day-2 commands do, by a small reading of IAM's rules.

AWS's own evaluation is not proven here; which permissions a service asks for beside that of the call is taken
from its documentation.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from fnmatch import fnmatchcase
from typing import Any

import pytest

from core import names
from ops import bootstrap_policies as policies
from ops.bootstrap_policies import Account, Document, Names
from ops.drill_policies import drill_policy, drill_trust
from ops.drills import own

ACCOUNT = "123456789012"
HERE = Account(number=ACCOUNT, partition="aws", region="eu-west-1")
NAMES = Names(bucket="openerp-state")
KEY = f"arn:aws:kms:eu-west-1:{ACCOUNT}:key/state"


def listed(value: str | Sequence[str]) -> Sequence[str]:
    return [value] if isinstance(value, str) else value


def like(had: str | None, wanted: str | Sequence[str]) -> bool:
    return had is not None and any(fnmatchcase(had, pattern) for pattern in listed(wanted))


OPERATORS: Mapping[str, Callable[[str | None, Any], bool]] = {
    "StringEquals": lambda had, wanted: had is not None and had in listed(wanted),
    "StringNotEquals": lambda had, wanted: had is None or had not in listed(wanted),
    "StringLike": like,
    "ArnNotLike": lambda had, wanted: not like(had, wanted),
    "Null": lambda had, wanted: (had is None) == (wanted == "true"),
}
"""Those that these policies use; another one is a KeyError."""


def may(document: Document, action: str, resource: str, context: Mapping[str, str]) -> bool:
    """Say whether a policy allows a call, of which `context` holds IAM's condition keys."""
    effects = {
        statement["Effect"]
        for statement in document["Statement"]
        if any(fnmatchcase(action, pattern) for pattern in statement["Action"])
        and any(fnmatchcase(resource, pattern) for pattern in statement["Resource"])
        and all(
            OPERATORS[operator](context.get(key), wanted)
            for operator, keys in statement.get("Condition", {}).items()
            for key, wanted in keys.items()
        )
    }
    return effects == {"Allow"}


def arn(service: str, resource: str) -> str:
    return f"arn:aws:{service}:eu-west-1:{ACCOUNT}:{resource}"


DRILL = drill_policy(HERE, NAMES, KEY)
MINE = own.name("prod", "261128101112-abcd")
TAGGED = {f"aws:ResourceTag/{own.TAG}": "261128101112-abcd", "aws:ResourceTag/Project": "openerp"}
THEIRS = {"aws:ResourceTag/Project": "openerp", "aws:ResourceTag/Stack": "prod"}
MARKED = {f"aws:RequestTag/{own.TAG}": "261128101112-abcd"}


def test_only_the_environment_of_drills_takes_their_role() -> None:
    subjects = drill_trust(HERE, "acme/openerp")["Statement"][0]["Condition"]["StringEquals"]
    assert subjects[f"{policies.OIDC_HOST}:sub"] == ["repo:acme/openerp:environment:drill"]


@pytest.mark.parametrize(
    ("action", "resource", "context"),
    [
        ("rds:DescribeDBSnapshots", "*", {}),
        ("rds:RestoreDBInstanceFromDBSnapshot", arn("rds", "snapshot:openerp-prod-opening-1"), {}),
        ("rds:RestoreDBInstanceFromDBSnapshot", arn("rds", f"db:{MINE}"), {}),
        ("rds:RestoreDBInstanceFromDBSnapshot", arn("rds", "subgrp:database-subnets-1234567"), {}),
        ("rds:AddTagsToResource", arn("rds", f"db:{MINE}"), {}),
        ("rds:DeleteDBInstance", arn("rds", f"db:{MINE}"), {}),
        ("rds:ModifyDBInstance", arn("rds", f"db:{MINE}"), {}),
        ("secretsmanager:CreateSecret", arn("secretsmanager", "secret:rds!db-1"), {}),
        ("secretsmanager:PutResourcePolicy", arn("secretsmanager", "secret:rds!db-1"), {}),
        ("secretsmanager:GetSecretValue", arn("secretsmanager", "secret:databases-application-1"), THEIRS),
        ("kms:CreateGrant", arn("kms", "key/1"), {"kms:ViaService": "rds.eu-west-1.amazonaws.com"}),
        ("backup:StartRestoreJob", arn("backup", "recovery-point:1"), {}),
        ("backup:DescribeRestoreJob", "*", {}),
        (
            "iam:PassRole",
            HERE.iam("role/backup-role-1234567"),
            {"iam:PassedToService": "backup.amazonaws.com"},
        ),
        ("iam:PassRole", HERE.iam("role/app-servers-1234567"), {"iam:PassedToService": "ec2.amazonaws.com"}),
        ("iam:GetInstanceProfile", "*", {}),
        ("elasticfilesystem:TagResource", arn("elasticfilesystem", "file-system/fs-1"), {}),
        ("elasticfilesystem:CreateAccessPoint", arn("elasticfilesystem", "file-system/fs-1"), TAGGED),
        ("elasticfilesystem:CreateMountTarget", arn("elasticfilesystem", "file-system/fs-1"), TAGGED),
        ("elasticfilesystem:PutFileSystemPolicy", arn("elasticfilesystem", "file-system/fs-1"), TAGGED),
        ("elasticfilesystem:DeleteFileSystem", arn("elasticfilesystem", "file-system/fs-1"), TAGGED),
        ("elasticfilesystem:DeleteAccessPoint", arn("elasticfilesystem", "access-point/fsap-1"), TAGGED),
        ("ec2:CreateNetworkInterface", arn("ec2", "subnet/subnet-1"), {}),
        ("ec2:CreateSecurityGroup", arn("ec2", "security-group/sg-1"), MARKED),
        ("ec2:CreateSecurityGroup", arn("ec2", "vpc/vpc-1"), {}),
        ("ec2:CreateTags", arn("ec2", "security-group/sg-1"), {"ec2:CreateAction": "CreateSecurityGroup"}),
        ("ec2:AuthorizeSecurityGroupIngress", arn("ec2", "security-group/sg-1"), TAGGED),
        ("ec2:RunInstances", arn("ec2", "instance/i-1"), MARKED),
        ("ec2:RunInstances", arn("ec2", "volume/vol-1"), MARKED),
        ("ec2:RunInstances", arn("ec2", "launch-template/lt-1"), {}),
        ("ec2:RunInstances", "arn:aws:ec2:eu-west-1::image/ami-1", {}),
        ("ec2:TerminateInstances", arn("ec2", "instance/i-1"), TAGGED),
        ("ssm:SendCommand", arn("ec2", "instance/i-1"), {f"ssm:resourceTag/{own.TAG}": "1"}),
        ("ssm:SendCommand", "arn:aws:ssm:eu-west-1::document/AWS-RunShellScript", {}),
        ("ssm:GetCommandInvocation", "*", {}),
        ("s3:PutObject", "arn:aws:s3:::operations-store-bucket-1234567/drills/1.json", {}),
        ("s3:ListBucket", "arn:aws:s3:::operations-store-bucket-1234567", {}),
        ("cloudwatch:PutMetricData", "*", {"cloudwatch:namespace": names.OPERATIONS_NAMESPACE}),
        ("s3:GetObject", "arn:aws:s3:::openerp-state/.pulumi/stacks/openerp/prod.json", {}),
        ("kms:Decrypt", KEY, {}),
    ],
)
def test_a_scheduled_drill_may_make_and_remove_what_is_its_own(
    action: str, resource: str, context: dict[str, str]
) -> None:
    assert may(DRILL, action, resource, context)


@pytest.mark.parametrize(
    ("action", "resource", "context"),
    [
        ("rds:DeleteDBInstance", arn("rds", "db:database-instance-1234567"), THEIRS),
        ("rds:ModifyDBInstance", arn("rds", "db:database-instance-1234567"), THEIRS),
        ("rds:DeleteDBSnapshot", arn("rds", "snapshot:openerp-prod-opening-1"), THEIRS),
        ("rds:RestoreDBInstanceFromDBSnapshot", arn("rds", "db:database-instance-1234567"), {}),
        ("secretsmanager:GetSecretValue", arn("secretsmanager", "secret:another-project"), {}),
        ("secretsmanager:PutSecretValue", arn("secretsmanager", "secret:databases-application-1"), THEIRS),
        ("kms:Decrypt", arn("kms", "key/1"), {}),
        ("iam:PassRole", HERE.iam("role/openerp-deploy"), {"iam:PassedToService": "ec2.amazonaws.com"}),
        ("iam:PutRolePolicy", HERE.iam("role/app-servers-1234567"), {}),
        ("elasticfilesystem:TagResource", arn("elasticfilesystem", "file-system/fs-1"), THEIRS),
        ("elasticfilesystem:DeleteFileSystem", arn("elasticfilesystem", "file-system/fs-1"), THEIRS),
        ("elasticfilesystem:PutFileSystemPolicy", arn("elasticfilesystem", "file-system/fs-1"), {}),
        ("ec2:RunInstances", arn("ec2", "instance/i-1"), {}),
        ("ec2:TerminateInstances", arn("ec2", "instance/i-1"), THEIRS),
        ("ec2:AuthorizeSecurityGroupIngress", arn("ec2", "security-group/sg-1"), THEIRS),
        ("ec2:CreateTags", arn("ec2", "instance/i-1"), {}),
        ("ssm:SendCommand", arn("ec2", "instance/i-1"), {"ssm:resourceTag/Project": "openerp"}),
        ("autoscaling:UpdateAutoScalingGroup", "*", {}),
        ("backup:DeleteRecoveryPoint", "*", {}),
        ("s3:GetObject", "arn:aws:s3:::somebody-elses/secret", {}),
        ("s3:DeleteObjectVersion", "arn:aws:s3:::operations-store-bucket-1234567/drills/1.json", {}),
        ("s3:PutObject", "arn:aws:s3:::openerp-state/.pulumi/stacks/openerp/prod.json", {}),
        ("cloudwatch:PutMetricData", "*", {"cloudwatch:namespace": "AWS/RDS"}),
    ],
)
def test_a_scheduled_drill_touches_nothing_else(action: str, resource: str, context: dict[str, str]) -> None:
    assert not may(DRILL, action, resource, context)


REQUESTED = {"aws:RequestedRegion": "eu-west-1"}
OPERATIONS = (
    "autoscaling:UpdateAutoScalingGroup",
    "backup:DescribeRecoveryPoint",
    "backup:DescribeRestoreJob",
    "backup:ListRecoveryPointsByBackupVault",
    "backup:StartBackupJob",
    "backup:StartRestoreJob",
    "cloudwatch:PutMetricData",
    "ec2:AuthorizeSecurityGroupIngress",
    "ec2:CreateSecurityGroup",
    "ec2:CreateTags",
    "ec2:RunInstances",
    "elasticfilesystem:CreateAccessPoint",
    "elasticfilesystem:CreateMountTarget",
    "elasticfilesystem:DeleteAccessPoint",
    "elasticfilesystem:DeleteMountTarget",
    "elasticfilesystem:PutFileSystemPolicy",
    "elasticfilesystem:PutLifecycleConfiguration",
    "elasticfilesystem:TagResource",
    "elasticfilesystem:UpdateFileSystem",
    "rds:AddTagsToResource",
    "rds:CreateDBSnapshot",
    "rds:RestoreDBInstanceFromDBSnapshot",
    "rds:RestoreDBInstanceToPointInTime",
    "s3:GetObject",
    "s3:PutObject",
    "secretsmanager:GetSecretValue",
    "secretsmanager:PutResourcePolicy",
    "ssm:GetCommandInvocation",
    "ssm:SendCommand",
)


@pytest.mark.parametrize("bound", [True, False])
def test_the_deploy_role_may_do_what_the_day_2_commands_do(bound: bool) -> None:
    boundary = policies.deploy_boundary(HERE, NAMES, KEY, regions=["eu-west-1"], bound_workloads=bound)
    assert [action for action in OPERATIONS if not may(boundary, action, "*", REQUESTED)] == []
    backup = {"iam:PassedToService": "backup.amazonaws.com"}
    assert may(boundary, "iam:PassRole", HERE.iam("role/backup-role-1234567"), backup)
    own_part = {**REQUESTED, "aws:ResourceTag/Project": "openerp"}
    for action in (
        "ec2:TerminateInstances",
        "elasticfilesystem:DeleteFileSystem",
        "rds:DeleteDBInstance",
        "rds:ModifyDBInstance",
    ):
        assert may(boundary, action, "*", own_part), action
        assert not may(boundary, action, "*", REQUESTED), f"{action} of what has no tag"
