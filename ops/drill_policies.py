"""What the role of scheduled drills may do: read what a stack is, and make and remove a drill's own parts.

Nobody approves a scheduled run, so the role can change nothing that people work with. What a drill makes is
known by its name (`openerp-<stack>-drill-…`) and by its tag; only that can be changed and deleted.
"""

from __future__ import annotations

from typing import Final

from core.names import OPERATIONS_NAMESPACE, PROJECT
from ops.bootstrap_policies import (
    PROJECT_TAG,
    READ,
    Account,
    Document,
    Names,
    allow,
    deny,
    document,
    reads_state,
    trust,
)
from ops.drills import own

ENVIRONMENT: Final = "drill"
"""GitHub environment of the scheduled drills: without reviewers, and for protected branches only."""
BUCKET: Final = "operations-store-bucket-*"
"""Pulumi names the bucket of the operations store of each stack so."""


def drill_trust(account: Account, repository: str) -> Document:
    """Return who may take the role: jobs in the environment `drill` of the repository."""
    return trust(account, [f"repo:{repository}:environment:{ENVIRONMENT}"])


def drill_policy(account: Account, names: Names, key_arn: str) -> Document:
    """Return what `ops drill` and `ops drills --report-age` need.

    Who can take this role can read the secrets in the state, as with the preview role.
    """

    def arn(service: str, resource: str) -> str:
        return f"arn:{account.partition}:{service}:*:{account.number}:{resource}"

    servers = arn("rds", f"db:{own.name('*', '*')}")
    of_a_drill = {"StringLike": {f"aws:ResourceTag/{own.TAG}": "?*"}}
    for_a_drill = {"StringLike": {f"aws:RequestTag/{own.TAG}": "?*"}}
    of_the_project = {"StringEquals": {f"aws:ResourceTag/{PROJECT_TAG}": PROJECT}}
    bucket = account.bucket(BUCKET)
    state = account.bucket(names.bucket)
    return document(
        allow("Describe", READ, ["*"]),
        *reads_state(account, names, key_arn),
        allow(
            "OwnSecrets",
            ["secretsmanager:GetSecretValue"],
            [arn("secretsmanager", "secret:*")],
            of_the_project,
        ),
        # RDS makes the secret of a restored server's master user on behalf of whoever restores it.
        allow(
            "MasterSecrets",
            [
                "secretsmanager:CreateSecret",
                "secretsmanager:GetSecretValue",
                "secretsmanager:PutResourcePolicy",
                "secretsmanager:TagResource",
            ],
            [arn("secretsmanager", "secret:rds!*")],
        ),
        allow(
            "KeysThroughServices",
            ["kms:CreateGrant", "kms:Decrypt", "kms:DescribeKey", "kms:GenerateDataKey*"],
            [arn("kms", "key/*")],
            {
                "StringLike": {
                    "kms:ViaService": [
                        f"{service}.*.amazonaws.com"
                        for service in ("ec2", "elasticfilesystem", "rds", "secretsmanager")
                    ]
                }
            },
        ),
        allow(
            "RestoreDatabase",
            ["rds:RestoreDBInstanceFromDBSnapshot"],
            [servers, *(arn("rds", f"{kind}:*") for kind in ("og", "pg", "snapshot", "subgrp"))],
        ),
        # By a change RDS makes a password for the master user; with the restore it does for Oracle only.
        allow(
            "OwnDatabase",
            ["rds:AddTagsToResource", "rds:DeleteDBInstance", "rds:ModifyDBInstance"],
            [servers],
        ),
        allow("RestoreFiles", ["backup:StartRestoreJob"], ["*"]),
        allow(
            "PassBackupRole",
            ["iam:PassRole"],
            [account.iam("role/backup-role-*")],
            {"StringEquals": {"iam:PassedToService": "backup.amazonaws.com"}},
        ),
        allow(
            "PassServerRole",
            ["iam:PassRole"],
            [account.iam("role/app-servers-*")],
            {"StringEquals": {"iam:PassedToService": "ec2.amazonaws.com"}},
        ),
        # AWS Backup gives a restored file system no tags; one that has them is somebody's.
        allow(
            "MarkFiles",
            ["elasticfilesystem:TagResource"],
            [arn("elasticfilesystem", "*")],
            {"Null": {f"aws:ResourceTag/{PROJECT_TAG}": "true"}},
        ),
        allow(
            "Files",
            [
                "elasticfilesystem:CreateAccessPoint",
                "elasticfilesystem:CreateMountTarget",
                "elasticfilesystem:DeleteAccessPoint",
                "elasticfilesystem:DeleteFileSystem",
                "elasticfilesystem:DeleteMountTarget",
                "elasticfilesystem:PutFileSystemPolicy",
                "elasticfilesystem:TagResource",
            ],
            [arn("elasticfilesystem", "*")],
            of_a_drill,
        ),
        allow(
            "MountTargets",
            ["ec2:CreateNetworkInterface", "ec2:DeleteNetworkInterface"],
            [arn("ec2", f"{kind}/*") for kind in ("network-interface", "security-group", "subnet")],
        ),
        allow(
            "MakeServer",
            ["ec2:RunInstances"],
            [arn("ec2", "instance/*"), arn("ec2", "volume/*")],
            for_a_drill,
        ),
        allow("MakeGroup", ["ec2:CreateSecurityGroup"], [arn("ec2", "security-group/*")], for_a_drill),
        allow("InNetwork", ["ec2:CreateSecurityGroup"], [arn("ec2", "vpc/*")]),
        allow(
            "RunWith",
            ["ec2:RunInstances"],
            [
                f"arn:{account.partition}:ec2:*::image/*",
                *(
                    arn("ec2", f"{kind}/*")
                    for kind in ("image", "launch-template", "network-interface", "security-group", "subnet")
                ),
            ],
        ),
        allow(
            "MarkWhatIsMade",
            ["ec2:CreateTags"],
            [arn("ec2", "*")],
            {"StringEquals": {"ec2:CreateAction": ["CreateSecurityGroup", "RunInstances"]}},
        ),
        allow(
            "OwnParts",
            [
                "ec2:AuthorizeSecurityGroupEgress",
                "ec2:AuthorizeSecurityGroupIngress",
                "ec2:DeleteSecurityGroup",
                "ec2:RevokeSecurityGroupEgress",
                "ec2:TerminateInstances",
            ],
            [arn("ec2", "*")],
            of_a_drill,
        ),
        allow(
            "RunCommand",
            ["ssm:SendCommand"],
            [arn("ec2", "instance/*")],
            {"StringLike": {f"ssm:resourceTag/{own.TAG}": "?*"}},
        ),
        allow(
            "ShellScript",
            ["ssm:SendCommand"],
            [f"arn:{account.partition}:ssm:*::document/AWS-RunShellScript"],
        ),
        allow("CommandResults", ["ssm:CancelCommand", "ssm:GetCommandInvocation"], ["*"]),
        allow("ListStore", ["s3:GetBucketLocation", "s3:ListBucket"], [bucket]),
        allow("Store", ["s3:DeleteObject", "s3:GetObject", "s3:PutObject"], [f"{bucket}/*"]),
        allow(
            "ReportAge",
            ["cloudwatch:PutMetricData"],
            ["*"],
            {"StringEquals": {"cloudwatch:namespace": OPERATIONS_NAMESPACE}},
        ),
        deny("NeverWriteState", ["s3:Put*", "s3:Delete*"], [state, f"{state}/*"]),
    )
