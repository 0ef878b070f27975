"""`ops bootstrap`: what must exist in an AWS account before the first `pulumi up`.

A versioned, encrypted state bucket, the KMS key of the state's secrets, and, for a GitHub repository, its
identity provider with three roles: one that previews, one that deploys inside a permissions boundary, one
for drills on a schedule. Every step looks first and changes only what differs, so that a second run changes
nothing.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Final

from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    NoCredentialsError,
    NoRegionError,
    PartialCredentialsError,
)

from core.names import PROJECT
from ops import bootstrap_policies as policies
from ops import drill_policies
from ops.bootstrap_policies import Account, Document, Names

TAGS: Final = [{"Key": policies.PROJECT_TAG, "Value": PROJECT}]

_NOT_THERE: Final = frozenset(
    {
        "404",
        "NoSuchBucket",
        "NoSuchBucketPolicy",
        "NoSuchEntity",
        "NoSuchLifecycleConfiguration",
        "NoSuchPublicAccessBlockConfiguration",
        "OwnershipControlsNotFoundError",
        "ServerSideEncryptionConfigurationNotFoundError",
    }
)
_EXPIRED: Final = frozenset(
    {"ExpiredToken", "ExpiredTokenException", "InvalidClientTokenId", "UnrecognizedClientException"}
)


class BootstrapError(Exception):
    """Bootstrap cannot go on; the message says why and what to do."""


@dataclass(frozen=True, kw_only=True)
class Request:
    """What to make. `repository`: `owner/name` on GitHub, or None for no roles."""

    region: str
    bucket: str | None = None
    repository: str | None = None
    environments: tuple[str, ...] = ("dev", "training", "prod")
    regions: tuple[str, ...] = ()
    """Further regions in which the deploy role may work, for copies of backups."""
    old_version_days: int = 90
    bound_workloads: bool = False

    def check(self) -> None:
        """Raise BootstrapError where a value cannot be what it should be."""
        for region in (self.region, *self.regions):
            if not re.fullmatch(r"[a-z]{2}(-[a-z]+)+-\d", region):
                raise BootstrapError(f"--region: {region!r} is no AWS region; one looks like eu-west-1")
        if self.bucket is not None and not re.fullmatch(r"[a-z0-9][a-z0-9-]{1,61}[a-z0-9]", self.bucket):
            raise BootstrapError(
                f"--bucket: {self.bucket!r} is no bucket name for this: 3 to 63 lower-case letters, digits "
                "and hyphens, with a letter or digit at both ends"
            )
        if self.repository is not None and not re.fullmatch(r"[\w.-]+/[\w.-]+", self.repository):
            raise BootstrapError(f"--github: {self.repository!r} is not owner/name")
        if wrong := [name for name in self.environments if not re.fullmatch(r"[\w.-]+", name)]:
            raise BootstrapError(f"--environment: {wrong[0]!r} is no name of a GitHub environment")
        if drill_policies.ENVIRONMENT in self.environments:
            raise BootstrapError(
                f"--environment: {drill_policies.ENVIRONMENT!r} is that of scheduled drills, which nobody "
                "approves: a deployment needs another one"
            )
        if not self.environments:
            raise BootstrapError("--environment: at least one is needed for the deploy role")
        if not 1 <= self.old_version_days <= 3650:
            raise BootstrapError(f"--old-version-days: {self.old_version_days} is not between 1 and 3650")


@dataclass(frozen=True, kw_only=True)
class Action:
    """One thing that was looked at. `state`: unchanged, created, changed, or `would …` in a dry run."""

    what: str
    name: str
    state: str


@dataclass(frozen=True, kw_only=True)
class Result:
    """What exists now (or would, in a dry run)."""

    account: str
    region: str
    bucket: str
    key_alias: str
    preview_role_arn: str | None
    deploy_role_arn: str | None
    drill_role_arn: str | None
    workload_boundary_arn: str | None
    actions: tuple[Action, ...]
    next_commands: tuple[str, ...]


@dataclass
class _Run:
    """The clients, and the record of what was done."""

    client: Callable[[str], Any]
    dry_run: bool
    progress: Callable[[Action], None]
    actions: list[Action] = field(default_factory=list)

    def record(self, what: str, name: str, state: str) -> None:
        said = f"would be {state}" if self.dry_run and state != "unchanged" else state
        action = Action(what=what, name=name, state=said)
        self.actions.append(action)
        self.progress(action)

    def ensure(
        self, what: str, name: str, current: object, wanted: object, change: Callable[[], object]
    ) -> None:
        """Call `change` where `current` is not `wanted`; None as `current` means: not there."""
        if current == wanted:
            self.record(what, name, "unchanged")
            return
        if not self.dry_run:
            change()
        self.record(what, name, "created" if current is None else "changed")


def bootstrap(
    request: Request,
    client: Callable[[str], Any],
    *,
    dry_run: bool = False,
    progress: Callable[[Action], None] = lambda action: None,
) -> Result:
    """Make what `request` asks for, and return what there is now.

    `client`: service name to boto3 client of `request.region`. Raises BootstrapError with one clear
    message; what was made until then stays, and the next run goes on from there.
    """
    request.check()
    run = _Run(client=client, dry_run=dry_run, progress=progress)
    with explained():
        account = _account(client("sts"), request.region)
        names = Names(bucket=request.bucket or f"{PROJECT}-state-{account.number}-{request.region}")
        key_arn = _key(run, account, names)
        _bucket(run, account, names, key_arn, request)
        if request.repository is not None:
            _roles(run, account, names, key_arn, request, request.repository)
    return _result(request, account, names, run)


def _account(sts: Any, region: str) -> Account:
    identity = sts.get_caller_identity()
    return Account(number=identity["Account"], partition=identity["Arn"].split(":")[1], region=region)


def _key(run: _Run, account: Account, names: Names) -> str:
    """Ensure the KMS key of the state and its yearly rotation; return its ARN."""
    kms = run.client("kms")
    found = [
        alias
        for page in kms.get_paginator("list_aliases").paginate()
        for alias in page["Aliases"]
        if alias["AliasName"] == names.key_alias
    ]
    if found:
        key = kms.describe_key(KeyId=found[0]["TargetKeyId"])["KeyMetadata"]
        if key["KeyState"] != "Enabled":
            raise BootstrapError(
                f"the key {names.key_alias} is {key['KeyState']}: without it the secrets in the state cannot "
                "be read; cancel its deletion or enable it in the KMS console"
            )
        run.record("KMS key", names.key_alias, "unchanged")
        arn = str(key["Arn"])
    elif run.dry_run:
        run.record("KMS key", names.key_alias, "created")
        return f"arn:{account.partition}:kms:{account.region}:{account.number}:key/to-be-created"
    else:
        made = kms.create_key(
            Description="Secrets in the Pulumi state of OpenERP",
            Tags=[{"TagKey": tag["Key"], "TagValue": tag["Value"]} for tag in TAGS],
        )
        arn = str(made["KeyMetadata"]["Arn"])
        kms.create_alias(AliasName=names.key_alias, TargetKeyId=arn)
        run.record("KMS key", names.key_alias, "created")
    rotates = bool(kms.get_key_rotation_status(KeyId=arn)["KeyRotationEnabled"])
    run.ensure(
        "yearly rotation", names.key_alias, rotates or None, True, lambda: kms.enable_key_rotation(KeyId=arn)
    )
    return arn


def _bucket(run: _Run, account: Account, names: Names, key_arn: str, request: Request) -> None:
    """Ensure the state bucket with versions, encryption, no public access, TLS only and a lifecycle."""
    s3 = run.client("s3")
    bucket = names.bucket
    exists = _own_bucket_exists(s3, bucket, account)
    location = {} if account.region == "us-east-1" else {"LocationConstraint": account.region}

    def create() -> None:
        try:
            s3.create_bucket(Bucket=bucket, **({"CreateBucketConfiguration": location} if location else {}))
        except ClientError as error:
            if _code(error) in ("BucketAlreadyExists", "OperationAborted"):
                raise _foreign_bucket(bucket) from error
            raise

    run.ensure("state bucket", bucket, exists or None, True, create)
    there = exists or not run.dry_run
    owner = {"Bucket": bucket, "ExpectedBucketOwner": account.number}

    def current(read: Callable[[], Any]) -> Any:
        return _or_none(read) if there else None

    versions = current(lambda: s3.get_bucket_versioning(**owner).get("Status"))
    run.ensure(
        "versions of every state file",
        bucket,
        versions,
        "Enabled",
        lambda: s3.put_bucket_versioning(**owner, VersioningConfiguration={"Status": "Enabled"}),
    )
    encryption = {
        "Rules": [
            {
                "ApplyServerSideEncryptionByDefault": {"SSEAlgorithm": "aws:kms", "KMSMasterKeyID": key_arn},
                "BucketKeyEnabled": True,
            }
        ]
    }
    held = current(lambda: s3.get_bucket_encryption(**owner)["ServerSideEncryptionConfiguration"])
    run.ensure(
        "encryption with the key",
        bucket,
        _encryption(held),
        _encryption(encryption),
        lambda: s3.put_bucket_encryption(**owner, ServerSideEncryptionConfiguration=encryption),
    )
    closed = dict.fromkeys(
        ("BlockPublicAcls", "IgnorePublicAcls", "BlockPublicPolicy", "RestrictPublicBuckets"), True
    )
    run.ensure(
        "no public access",
        bucket,
        current(lambda: s3.get_public_access_block(**owner)["PublicAccessBlockConfiguration"]),
        closed,
        lambda: s3.put_public_access_block(**owner, PublicAccessBlockConfiguration=closed),
    )
    ownership = {"Rules": [{"ObjectOwnership": "BucketOwnerEnforced"}]}
    run.ensure(
        "no access lists",
        bucket,
        current(lambda: {"Rules": s3.get_bucket_ownership_controls(**owner)["OwnershipControls"]["Rules"]}),
        ownership,
        lambda: s3.put_bucket_ownership_controls(**owner, OwnershipControls=ownership),
    )
    policy = policies.bucket_policy(account, bucket)
    run.ensure(
        "TLS only",
        bucket,
        current(lambda: json.loads(s3.get_bucket_policy(**owner)["Policy"])),
        policy,
        lambda: s3.put_bucket_policy(**owner, Policy=json.dumps(policy)),
    )
    rules = _lifecycle(request.old_version_days)
    run.ensure(
        "lifecycle of old versions",
        bucket,
        current(lambda: s3.get_bucket_lifecycle_configuration(**owner)["Rules"]),
        rules,
        lambda: s3.put_bucket_lifecycle_configuration(**owner, LifecycleConfiguration={"Rules": rules}),
    )


def _lifecycle(days: int) -> list[dict[str, Any]]:
    return [
        {
            "ID": "old-versions",
            "Filter": {"Prefix": ""},
            "Status": "Enabled",
            "NoncurrentVersionExpiration": {"NoncurrentDays": days},
            "AbortIncompleteMultipartUpload": {"DaysAfterInitiation": 7},
        }
    ]


def _encryption(configuration: Any) -> object:
    """Return what matters of an encryption configuration: AWS adds fields of its own to what was put."""
    if configuration is None:
        return None
    rule = configuration["Rules"][0]
    default = rule["ApplyServerSideEncryptionByDefault"]
    return default["SSEAlgorithm"], default.get("KMSMasterKeyID"), bool(rule.get("BucketKeyEnabled"))


def _own_bucket_exists(s3: Any, bucket: str, account: Account) -> bool:
    try:
        s3.head_bucket(Bucket=bucket)
    except ClientError as error:
        status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode")
        if _code(error) in _NOT_THERE:
            return False
        if status == 301:
            raise BootstrapError(
                f"the bucket {bucket} exists in another region than {account.region}: run this for that "
                "region, or name another bucket with --bucket"
            ) from error
        if status == 403:
            raise _foreign_bucket(bucket) from error
        raise
    try:
        s3.head_bucket(Bucket=bucket, ExpectedBucketOwner=account.number)
    except ClientError as error:
        raise _foreign_bucket(bucket) from error
    return True


def _foreign_bucket(bucket: str) -> BootstrapError:
    return BootstrapError(
        f"the bucket {bucket} belongs to another AWS account, or your rights do not reach it: names of "
        "buckets are shared by all accounts, so name another with --bucket"
    )


def _roles(
    run: _Run, account: Account, names: Names, key_arn: str, request: Request, repository: str
) -> None:
    """Ensure GitHub's identity provider, the boundary, and the roles: preview, deploy, drill."""
    iam = run.client("iam")
    _identity_provider(run, iam, account)
    if request.bound_workloads:
        _managed_policy(
            run, iam, account, names.workload_boundary, policies.workload_boundary(account, names)
        )
    boundary = policies.deploy_boundary(
        account,
        names,
        key_arn,
        regions=sorted({account.region, *request.regions}),
        bound_workloads=request.bound_workloads,
    )
    _managed_policy(run, iam, account, names.boundary, boundary)
    _role(
        run,
        iam,
        names.preview_role,
        description="GitHub Actions: previews of pull requests, reads only",
        trust=policies.preview_trust(account, repository),
        policy=policies.preview_policy(account, names, key_arn),
    )
    _role(
        run,
        iam,
        names.deploy_role,
        description="GitHub Actions: deploys, within a permissions boundary",
        trust=policies.deploy_trust(account, repository, request.environments),
        policy=policies.deploy_policy(),
        boundary=account.iam(f"policy/{names.boundary}"),
    )
    _role(
        run,
        iam,
        names.drill_role,
        description="GitHub Actions: drills on a schedule, changes nothing that people work with",
        trust=drill_policies.drill_trust(account, repository),
        policy=drill_policies.drill_policy(account, names, key_arn),
    )


def _identity_provider(run: _Run, iam: Any, account: Account) -> None:
    arn = account.iam(f"oidc-provider/{policies.OIDC_HOST}")
    held = _or_none(lambda: iam.get_open_id_connect_provider(OpenIDConnectProviderArn=arn))

    def change() -> None:
        if held is None:
            iam.create_open_id_connect_provider(
                Url=f"https://{policies.OIDC_HOST}", ClientIDList=[policies.OIDC_AUDIENCE], Tags=TAGS
            )
        else:
            iam.add_client_id_to_open_id_connect_provider(
                OpenIDConnectProviderArn=arn, ClientID=policies.OIDC_AUDIENCE
            )

    known = None if held is None else policies.OIDC_AUDIENCE in held["ClientIDList"]
    run.ensure("identity provider", policies.OIDC_HOST, known, True, change)


def _managed_policy(run: _Run, iam: Any, account: Account, name: str, document: Document) -> None:
    arn = account.iam(f"policy/{name}")
    held = _or_none(lambda: iam.get_policy(PolicyArn=arn)["Policy"])
    current = None
    if held is not None:
        version = iam.get_policy_version(PolicyArn=arn, VersionId=held["DefaultVersionId"])
        current = version["PolicyVersion"]["Document"]

    def change() -> None:
        text = json.dumps(document, separators=(",", ":"))
        if held is None:
            iam.create_policy(PolicyName=name, PolicyDocument=text, Tags=TAGS)
            return
        versions = iam.list_policy_versions(PolicyArn=arn)["Versions"]
        old = sorted((v for v in versions if not v["IsDefaultVersion"]), key=lambda v: v["CreateDate"])
        if len(versions) >= 5:  # IAM keeps five versions of a policy
            iam.delete_policy_version(PolicyArn=arn, VersionId=old[0]["VersionId"])
        iam.create_policy_version(PolicyArn=arn, PolicyDocument=text, SetAsDefault=True)

    run.ensure("policy", name, current, document, change)


def _role(
    run: _Run,
    iam: Any,
    name: str,
    *,
    description: str,
    trust: Document,
    policy: Document,
    boundary: str | None = None,
) -> None:
    held = _or_none(lambda: iam.get_role(RoleName=name)["Role"])

    def create() -> None:
        bounded = {"PermissionsBoundary": boundary} if boundary else {}
        iam.create_role(
            RoleName=name,
            Description=description,
            AssumeRolePolicyDocument=json.dumps(trust),
            MaxSessionDuration=3600 * 2,
            Tags=TAGS,
            **bounded,
        )

    if held is None:
        run.ensure("role", name, None, trust, create)
        current = None
    else:
        bound = held.get("PermissionsBoundary", {}).get("PermissionsBoundaryArn")
        if boundary is not None:
            # Before the trust: the role must at no moment be usable without its boundary.
            run.ensure(
                "boundary of the role",
                name,
                bound,
                boundary,
                lambda: iam.put_role_permissions_boundary(RoleName=name, PermissionsBoundary=boundary),
            )
        run.ensure(
            "role",
            name,
            held["AssumeRolePolicyDocument"],
            trust,
            lambda: iam.update_assume_role_policy(RoleName=name, PolicyDocument=json.dumps(trust)),
        )
        current = _or_none(lambda: iam.get_role_policy(RoleName=name, PolicyName=name)["PolicyDocument"])
    run.ensure(
        "permissions of the role",
        name,
        current,
        policy,
        lambda: iam.put_role_policy(RoleName=name, PolicyName=name, PolicyDocument=json.dumps(policy)),
    )


def _result(request: Request, account: Account, names: Names, run: _Run) -> Result:
    with_roles = request.repository is not None
    bounded = with_roles and request.bound_workloads
    preview = account.iam(f"role/{names.preview_role}") if with_roles else None
    deploy = account.iam(f"role/{names.deploy_role}") if with_roles else None
    drill = account.iam(f"role/{names.drill_role}") if with_roles else None
    boundary = account.iam(f"policy/{names.workload_boundary}") if bounded else None
    backend = f"s3://{names.bucket}?region={account.region}&awssdk=v2"
    secrets_provider = f"awskms://{names.key_alias}?region={account.region}"
    commands = [
        f"pulumi login '{backend}'",
        *(
            f"pulumi stack init {stack} --secrets-provider='{secrets_provider}'"
            for stack in request.environments
        ),
    ]
    if request.repository is not None:
        variables = {
            "AWS_REGION": account.region,
            "PULUMI_BACKEND_URL": backend,
            "AWS_PREVIEW_ROLE": preview,
            "AWS_DEPLOY_ROLE": deploy,
            "AWS_DRILL_ROLE": drill,
        }
        commands += [
            f"gh variable set {name} --repo {request.repository} --body '{value}'"
            for name, value in variables.items()
        ]
        commands += [
            f"gh api --method PUT repos/{request.repository}/environments/{name}"
            for name in request.environments
        ]
        # Nobody approves a scheduled run: the branches that count must be the ones that reviewers guard.
        policy = "deployment_branch_policy"
        commands.append(
            f"gh api --method PUT repos/{request.repository}/environments/{drill_policies.ENVIRONMENT} "
            f"-F '{policy}[protected_branches]=true' -F '{policy}[custom_branch_policies]=false'"
        )
    return Result(
        account=account.number,
        region=account.region,
        bucket=names.bucket,
        key_alias=names.key_alias,
        preview_role_arn=preview,
        deploy_role_arn=deploy,
        drill_role_arn=drill,
        workload_boundary_arn=boundary,
        actions=tuple(run.actions),
        next_commands=tuple(commands),
    )


def _or_none(read: Callable[[], Any]) -> Any:
    """Return what `read` gives, or None where AWS says that there is no such thing."""
    try:
        return read()
    except ClientError as error:
        if _code(error) in _NOT_THERE:
            return None
        raise


def _code(error: ClientError) -> str:
    details: Mapping[str, Any] = error.response.get("Error", {})
    return str(details.get("Code", ""))


@contextmanager
def explained() -> Iterator[None]:
    """Turn what boto3 raises into one sentence for the operator."""
    try:
        yield
    except (NoCredentialsError, PartialCredentialsError) as error:
        raise BootstrapError(
            "no AWS credentials: sign in with `aws sso login` and set AWS_PROFILE, or set AWS_ACCESS_KEY_ID "
            "and AWS_SECRET_ACCESS_KEY, for an administrator of the empty account"
        ) from error
    except NoRegionError as error:
        raise BootstrapError("no region: give --region, for example --region eu-west-1") from error
    except ClientError as error:
        code, call = _code(error), error.operation_name
        if code in _EXPIRED:
            raise BootstrapError(f"AWS does not accept the credentials ({code}): sign in again") from error
        said = error.response.get("Error", {}).get("Message", "")
        raise BootstrapError(f"AWS refused {call}: {code}: {said}") from error
    except BotoCoreError as error:
        raise BootstrapError(f"AWS cannot be reached or asked: {error}") from error
