"""The policy documents of `ops bootstrap`, as plain data: who may do what before and beside Pulumi.

The preview role reads. The deploy role may use AWS, but only inside a permissions boundary: the project's
regions, resources that carry the project's tag where something is destroyed, no users, no way to more
rights, and neither the state bucket nor its key nor these roles.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from core.names import PROJECT

Document = dict[str, Any]

VERSION: Final = "2012-10-17"
OIDC_HOST: Final = "token.actions.githubusercontent.com"
OIDC_AUDIENCE: Final = "sts.amazonaws.com"
PROJECT_TAG: Final = "Project"
"""Key of the tag, with the project's name as value, that every resource carries (provider default tags)."""

GLOBAL_REGION: Final = "us-east-1"
"""Where AWS serves IAM, Route 53 and Budgets from, whatever the stack's region."""

_REGIONAL_SERVICES: Final = (
    "acm:*",
    "autoscaling:*",
    "backup-storage:*",
    "backup:*",
    "cloudwatch:*",
    "ec2:*",
    "elasticfilesystem:*",
    "elasticloadbalancing:*",
    "events:*",
    "kms:*",
    "logs:*",
    "rds:*",
    "s3:*",
    "secretsmanager:*",
    "sns:*",
    "ssm:*",
    "wafv2:*",
)
_GLOBAL_SERVICES: Final = ("budgets:*", "route53:*", "sts:GetCallerIdentity", "tag:Get*")
_ROLE_ACTIONS: Final = (
    "iam:AddRoleToInstanceProfile",
    "iam:AttachRolePolicy",
    "iam:CreateInstanceProfile",
    "iam:CreatePolicy",
    "iam:CreatePolicyVersion",
    "iam:CreateRole",
    "iam:CreateServiceLinkedRole",
    "iam:DeleteInstanceProfile",
    "iam:DeletePolicy",
    "iam:DeletePolicyVersion",
    "iam:DeleteRole",
    "iam:DeleteRolePolicy",
    "iam:DetachRolePolicy",
    "iam:Get*",
    "iam:List*",
    "iam:PassRole",
    "iam:PutRolePermissionsBoundary",
    "iam:PutRolePolicy",
    "iam:RemoveRoleFromInstanceProfile",
    "iam:Tag*",
    "iam:Untag*",
    "iam:UpdateAssumeRolePolicy",
    "iam:UpdateRole",
    "iam:UpdateRoleDescription",
)
_PASSED_TO: Final = (
    "backup.amazonaws.com",
    "ec2.amazonaws.com",
    "events.amazonaws.com",
    "monitoring.rds.amazonaws.com",
    "vpc-flow-logs.amazonaws.com",
)
_DESTRUCTIVE: Final = (
    "autoscaling:DeleteAutoScalingGroup",
    "backup:DeleteBackupVault",
    "ec2:DeleteSecurityGroup",
    "ec2:DeleteSubnet",
    "ec2:DeleteVolume",
    "ec2:DeleteVpc",
    "ec2:TerminateInstances",
    "elasticfilesystem:DeleteFileSystem",
    "elasticloadbalancing:DeleteLoadBalancer",
    "kms:DisableKey",
    "kms:ScheduleKeyDeletion",
    "rds:DeleteDBInstance",
    "rds:DeleteDBSnapshot",
    "rds:ModifyDBInstance",
    "secretsmanager:DeleteSecret",
)
"""Refused on resources without the project's tag: those of other projects in the account."""

READ: Final = (
    "acm:Describe*",
    "acm:Get*",
    "acm:List*",
    "autoscaling:Describe*",
    "backup:Describe*",
    "backup:Get*",
    "backup:List*",
    "budgets:View*",
    "cloudwatch:Describe*",
    "cloudwatch:Get*",
    "cloudwatch:List*",
    "ec2:Describe*",
    "ec2:GetManagedPrefixListEntries",
    "elasticfilesystem:Describe*",
    "elasticloadbalancing:Describe*",
    "events:Describe*",
    "events:List*",
    "iam:Get*",
    "iam:List*",
    "kms:Describe*",
    "kms:GetKeyPolicy",
    "kms:GetKeyRotationStatus",
    "kms:List*",
    "logs:Describe*",
    "logs:List*",
    "rds:Describe*",
    "rds:List*",
    "route53:Get*",
    "route53:List*",
    "s3:GetAccountPublicAccessBlock",
    "s3:GetBucket*",
    "s3:GetEncryptionConfiguration",
    "s3:GetLifecycleConfiguration",
    "s3:ListAllMyBuckets",
    "secretsmanager:Describe*",
    "secretsmanager:GetResourcePolicy",
    "secretsmanager:List*",
    "sns:Get*",
    "sns:List*",
    "ssm:Describe*",
    "ssm:List*",
    "sts:GetCallerIdentity",
    "wafv2:Describe*",
    "wafv2:Get*",
    "wafv2:List*",
)


@dataclass(frozen=True, kw_only=True)
class Account:
    """Where the policies apply. `partition`: `aws`, `aws-cn` or `aws-us-gov`."""

    number: str
    partition: str
    region: str

    def iam(self, path: str) -> str:
        """Return the ARN of an IAM resource, for example `role/openerp-deploy`."""
        return f"arn:{self.partition}:iam::{self.number}:{path}"

    def bucket(self, name: str) -> str:
        """Return the ARN of a bucket."""
        return f"arn:{self.partition}:s3:::{name}"


@dataclass(frozen=True, kw_only=True)
class Names:
    """Names of what bootstrap makes; one place, since the boundary must forbid exactly these."""

    bucket: str
    key_alias: str = f"alias/{PROJECT}-state"
    preview_role: str = f"{PROJECT}-preview"
    deploy_role: str = f"{PROJECT}-deploy"
    drill_role: str = f"{PROJECT}-drill"
    boundary: str = f"{PROJECT}-deploy-boundary"
    workload_boundary: str = f"{PROJECT}-workload-boundary"


def bucket_policy(account: Account, bucket: str) -> Document:
    """Return the policy of the state bucket: TLS 1.2 or newer only."""
    arn = account.bucket(bucket)
    resources = [arn, f"{arn}/*"]
    return document(
        deny("TlsOnly", ["s3:*"], resources, {"Bool": {"aws:SecureTransport": "false"}}, anyone=True),
        deny("Tls12", ["s3:*"], resources, {"NumericLessThan": {"s3:TlsVersion": "1.2"}}, anyone=True),
    )


def preview_trust(account: Account, repository: str) -> Document:
    """Return who may take the preview role: pull requests of the repository's own branches.

    GitHub gives no identity token to the workflow of a fork's pull request.
    """
    return trust(account, [f"repo:{repository}:pull_request"])


def deploy_trust(account: Account, repository: str, environments: Sequence[str]) -> Document:
    """Return who may take the deploy role: jobs in one of the protected environments of the repository."""
    return trust(account, [f"repo:{repository}:environment:{name}" for name in environments])


def preview_policy(account: Account, names: Names, key_arn: str) -> Document:
    """Return what a preview needs: reading descriptions, the state, and the key of its secrets.

    `pulumi preview` takes no lock on an S3 backend, so nothing is written. Who can decrypt the state can
    read the secrets in it: a preview cannot do without (docs/bootstrap.md says what follows from that).
    """
    bucket = account.bucket(names.bucket)
    secret = f"arn:{account.partition}:secretsmanager:*:{account.number}:secret:rds!*"
    parameters = f"arn:{account.partition}:ssm:*::parameter/aws/service/*"
    return document(
        allow("Describe", READ, ["*"]),
        allow("PublicParameters", ["ssm:GetParameter", "ssm:GetParameters"], [parameters]),
        *reads_state(account, names, key_arn),
        # The master password that RDS manages, which configures the PostgreSQL provider.
        allow("MasterSecret", ["secretsmanager:GetSecretValue"], [secret]),
        allow(
            "MasterSecretKey",
            ["kms:Decrypt"],
            [f"arn:{account.partition}:kms:*:{account.number}:key/*"],
            {"StringLike": {"kms:ViaService": "secretsmanager.*.amazonaws.com"}},
        ),
        deny("NeverWriteState", ["s3:Put*", "s3:Delete*"], [bucket, f"{bucket}/*"]),
    )


def reads_state(account: Account, names: Names, key_arn: str) -> list[Document]:
    """Return the statements that let a role read every stack's state, and the secrets in it."""
    bucket = account.bucket(names.bucket)
    return [
        allow("ReadState", ["s3:GetObject", "s3:GetObjectVersion"], [f"{bucket}/*"]),
        allow("ListState", ["s3:ListBucket", "s3:GetBucketLocation"], [bucket]),
        allow("DecryptState", ["kms:Decrypt", "kms:DescribeKey"], [key_arn]),
    ]


def deploy_policy() -> Document:
    """Return the permissions of the deploy role: all of AWS, which its boundary then cuts down."""
    return document(allow("WithinTheBoundary", ["*"], ["*"]))


def deploy_boundary(
    account: Account, names: Names, key_arn: str, *, regions: Sequence[str], bound_workloads: bool
) -> Document:
    """Return the permissions boundary of the deploy role.

    `regions`: where stacks and their copies may be. With `bound_workloads` it may create and change only
    roles that carry the workload boundary; without it, no role can be given a policy of AWS beyond those
    for services, which still leaves inline policies to the reviewers of a pull request.
    """
    bucket = account.bucket(names.bucket)
    own = [
        account.iam(f"role/{names.preview_role}"),
        account.iam(f"role/{names.deploy_role}"),
        account.iam(f"role/{names.drill_role}"),
        account.iam(f"policy/{names.boundary}"),
        account.iam(f"policy/{names.workload_boundary}"),
        account.iam("oidc-provider/*"),
    ]
    statements = [
        allow(
            "ProjectRegions",
            _REGIONAL_SERVICES,
            ["*"],
            {"StringEquals": {"aws:RequestedRegion": list(regions)}},
        ),
        allow("GlobalServices", _GLOBAL_SERVICES, ["*"]),
        allow("Roles", _ROLE_ACTIONS, ["*"]),
        deny(
            "KeepStateBucket",
            ["s3:DeleteBucket*", "s3:PutBucket*", "s3:PutEncryption*", "s3:PutLifecycle*"],
            [bucket],
        ),
        deny("KeepStateHistory", ["s3:DeleteObjectVersion", "s3:PutObjectVersionAcl"], [f"{bucket}/*"]),
        deny(
            "KeepStateKey",
            ["kms:Disable*", "kms:PutKeyPolicy", "kms:ScheduleKeyDeletion", "kms:CreateGrant"],
            [key_arn],
        ),
        deny("KeepBootstrap", _writes(), own),
        deny(
            "PassOnlyToServices",
            ["iam:PassRole"],
            ["*"],
            {"StringNotEquals": {"iam:PassedToService": list(_PASSED_TO)}},
        ),
        deny(
            "NoBroadPolicies",
            ["iam:AttachRolePolicy"],
            ["*"],
            {
                "ArnNotLike": {
                    "iam:PolicyARN": [
                        f"arn:{account.partition}:iam::aws:policy/AmazonSSMManagedInstanceCore",
                        f"arn:{account.partition}:iam::aws:policy/CloudWatchAgentServerPolicy",
                        f"arn:{account.partition}:iam::aws:policy/service-role/*",
                        account.iam("policy/*"),
                    ]
                }
            },
        ),
        deny(
            "OtherProjects",
            _DESTRUCTIVE,
            ["*"],
            {"StringNotEquals": {f"aws:ResourceTag/{PROJECT_TAG}": PROJECT}},
        ),
    ]
    if bound_workloads:
        boundary = account.iam(f"policy/{names.workload_boundary}")
        statements += [
            deny(
                "BoundedRolesOnly",
                [
                    "iam:CreateRole",
                    "iam:PutRolePolicy",
                    "iam:AttachRolePolicy",
                    "iam:PutRolePermissionsBoundary",
                ],
                ["*"],
                {"StringNotEquals": {"iam:PermissionsBoundary": boundary}},
            ),
            deny("KeepBoundaries", ["iam:DeleteRolePermissionsBoundary"], ["*"]),
        ]
    return document(*statements)


def workload_boundary(account: Account, names: Names) -> Document:
    """Return the boundary of the roles that the program creates: no IAM, no roles, not the state."""
    bucket = account.bucket(names.bucket)
    return document(
        allow("Services", [s for s in _REGIONAL_SERVICES if s != "s3:*"], ["*"]),
        allow("Objects", ["s3:*"], ["*"]),
        allow(
            "SystemsManager", ["ec2messages:*", "ssmmessages:*", "tag:GetResources", "iam:PassRole"], ["*"]
        ),
        deny("NotTheState", ["s3:*"], [bucket, f"{bucket}/*"]),
    )


def _writes() -> list[str]:
    return [
        "iam:Add*",
        "iam:Attach*",
        "iam:Create*",
        "iam:Delete*",
        "iam:Detach*",
        "iam:PassRole",
        "iam:Put*",
        "iam:Remove*",
        "iam:Set*",
        "iam:Tag*",
        "iam:Untag*",
        "iam:Update*",
    ]


def trust(account: Account, subjects: Sequence[str]) -> Document:
    """Return who may take a role: GitHub's identities with one of `subjects`."""
    return document(
        {
            "Effect": "Allow",
            "Principal": {"Federated": account.iam(f"oidc-provider/{OIDC_HOST}")},
            "Action": "sts:AssumeRoleWithWebIdentity",
            "Condition": {
                "StringEquals": {f"{OIDC_HOST}:aud": OIDC_AUDIENCE, f"{OIDC_HOST}:sub": list(subjects)}
            },
        }
    )


def document(*statements: Mapping[str, Any]) -> Document:
    """Return a policy of these statements."""
    return {"Version": VERSION, "Statement": [dict(statement) for statement in statements]}


def allow(
    sid: str,
    actions: Sequence[str],
    resources: Sequence[str],
    condition: Mapping[str, Mapping[str, Any]] | None = None,
) -> Document:
    """Return a statement that allows; `condition` is in IAM's own form."""
    return _statement("Allow", sid, actions, resources, condition)


def deny(
    sid: str,
    actions: Sequence[str],
    resources: Sequence[str],
    condition: Mapping[str, Mapping[str, Any]] | None = None,
    *,
    anyone: bool = False,
) -> Document:
    """Return a statement that denies; of a bucket's own policy with `anyone`."""
    statement = _statement("Deny", sid, actions, resources, condition)
    return {**statement, "Principal": "*"} if anyone else statement


def _statement(
    effect: str,
    sid: str,
    actions: Sequence[str],
    resources: Sequence[str],
    condition: Mapping[str, Mapping[str, Any]] | None,
) -> Document:
    statement: Document = {"Sid": sid, "Effect": effect, "Action": list(actions), "Resource": list(resources)}
    if condition:
        statement["Condition"] = {operator: dict(keys) for operator, keys in condition.items()}
    return statement
