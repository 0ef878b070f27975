"""`ops bootstrap` on an AWS that moto stands in for; nothing here reaches a network.

What moto accepts is not what AWS accepts: that IAM enforces these policies as meant is not proven here.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError, EndpointConnectionError, NoCredentialsError
from botocore.stub import Stubber
from moto import mock_aws

from ops import bootstrap_policies as policies
from ops.bootstrap import Action, BootstrapError, Request, bootstrap
from ops.bootstrap_policies import Account, Names
from ops.drill_policies import drill_policy

REGION = "eu-west-1"
ACCOUNT = "123456789012"
BUCKET = f"openerp-state-{ACCOUNT}-{REGION}"
Client = Callable[[str], Any]


@pytest.fixture
def client(monkeypatch: pytest.MonkeyPatch) -> Iterator[Client]:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"):
        monkeypatch.setenv(name, "testing")
    for name in ("AWS_PROFILE", "AWS_ENDPOINT_URL"):
        monkeypatch.delenv(name, raising=False)
    with mock_aws():
        yield lambda service: boto3.client(service, region_name=REGION)


def request(**changed: Any) -> Request:
    return Request(**{"region": REGION, "repository": "acme/openerp"} | changed)


def states(actions: tuple[Action, ...]) -> set[str]:
    return {action.state for action in actions}


def test_an_empty_account_gets_bucket_key_and_roles(client: Client) -> None:
    result = bootstrap(request(), client)
    assert states(result.actions) == {"created"}
    assert result.bucket == BUCKET
    assert result.deploy_role_arn == f"arn:aws:iam::{ACCOUNT}:role/openerp-deploy"
    assert result.drill_role_arn == f"arn:aws:iam::{ACCOUNT}:role/openerp-drill"


def test_a_second_run_changes_nothing(client: Client) -> None:
    bootstrap(request(bound_workloads=True), client)
    assert states(bootstrap(request(bound_workloads=True), client).actions) == {"unchanged"}


def test_a_dry_run_makes_nothing_and_says_what_it_would_make(client: Client) -> None:
    result = bootstrap(request(), client, dry_run=True)
    assert states(result.actions) == {"would be created"}
    assert client("s3").list_buckets()["Buckets"] == []
    assert client("iam").list_roles()["Roles"] == []
    assert all(
        not alias["AliasName"].startswith("alias/openerp")
        for alias in client("kms").list_aliases()["Aliases"]
    )


def test_a_dry_run_names_the_same_things_as_the_run_itself(client: Client) -> None:
    planned = bootstrap(request(), client, dry_run=True)
    done = bootstrap(request(), client)
    assert {(a.what, a.name) for a in planned.actions} <= {(a.what, a.name) for a in done.actions}


def test_the_bucket_keeps_versions_is_encrypted_closed_and_takes_tls_only(client: Client) -> None:
    bootstrap(request(), client)
    s3 = client("s3")
    key = client("kms").describe_key(KeyId="alias/openerp-state")["KeyMetadata"]
    assert s3.get_bucket_versioning(Bucket=BUCKET)["Status"] == "Enabled"
    rule = s3.get_bucket_encryption(Bucket=BUCKET)["ServerSideEncryptionConfiguration"]["Rules"][0]
    assert rule["ApplyServerSideEncryptionByDefault"] == {
        "SSEAlgorithm": "aws:kms",
        "KMSMasterKeyID": key["Arn"],
    }
    assert set(s3.get_public_access_block(Bucket=BUCKET)["PublicAccessBlockConfiguration"].values()) == {True}
    policy = json.loads(s3.get_bucket_policy(Bucket=BUCKET)["Policy"])
    assert policy["Statement"][0]["Condition"] == {"Bool": {"aws:SecureTransport": "false"}}
    assert {statement["Effect"] for statement in policy["Statement"]} == {"Deny"}
    lifecycle = s3.get_bucket_lifecycle_configuration(Bucket=BUCKET)["Rules"][0]
    assert lifecycle["NoncurrentVersionExpiration"]["NoncurrentDays"] == 90
    assert "Expiration" not in lifecycle
    assert s3.get_bucket_location(Bucket=BUCKET)["LocationConstraint"] == REGION


def test_the_key_rotates(client: Client) -> None:
    bootstrap(request(), client)
    key = client("kms").describe_key(KeyId="alias/openerp-state")["KeyMetadata"]["Arn"]
    assert client("kms").get_key_rotation_status(KeyId=key)["KeyRotationEnabled"] is True


def test_what_someone_changed_is_set_right_again(client: Client) -> None:
    bootstrap(request(), client)
    client("s3").put_bucket_versioning(Bucket=BUCKET, VersioningConfiguration={"Status": "Suspended"})
    client("iam").delete_role_permissions_boundary(RoleName="openerp-deploy")
    client("iam").put_role_policy(
        RoleName="openerp-preview",
        PolicyName="openerp-preview",
        PolicyDocument=json.dumps(policies.deploy_policy()),
    )
    again = bootstrap(request(), client)
    changed = [action.what for action in again.actions if action.state != "unchanged"]
    assert changed == ["versions of every state file", "permissions of the role", "boundary of the role"]


def test_the_boundary_can_be_changed_more_often_than_iam_keeps_versions(client: Client) -> None:
    for number in range(1, 8):
        bootstrap(request(regions=(f"eu-central-{number}",)), client)
    arn = f"arn:aws:iam::{ACCOUNT}:policy/openerp-deploy-boundary"
    assert len(client("iam").list_policy_versions(PolicyArn=arn)["Versions"]) == 5


def test_the_deploy_role_carries_its_boundary_and_the_preview_role_cannot_write(client: Client) -> None:
    bootstrap(request(), client)
    iam = client("iam")
    deploy = iam.get_role(RoleName="openerp-deploy")["Role"]
    assert deploy["PermissionsBoundary"]["PermissionsBoundaryArn"].endswith(":policy/openerp-deploy-boundary")
    document = iam.get_role_policy(RoleName="openerp-preview", PolicyName="openerp-preview")["PolicyDocument"]
    allowed = [a for s in document["Statement"] if s["Effect"] == "Allow" for a in s["Action"]]
    verbs = ("Describe", "Get", "List", "View", "Decrypt")
    assert [action for action in allowed if not action.split(":")[1].startswith(verbs)] == []


def test_without_a_repository_no_role_is_made(client: Client) -> None:
    result = bootstrap(request(repository=None), client)
    assert client("iam").list_roles()["Roles"] == []
    assert result.preview_role_arn is None
    assert not any("gh " in command for command in result.next_commands)


def test_the_next_commands_log_in_and_make_each_stack(client: Client) -> None:
    commands = bootstrap(request(), client).next_commands
    assert commands[0] == f"pulumi login 's3://{BUCKET}?region={REGION}&awssdk=v2'"
    assert (
        "pulumi stack init prod --secrets-provider='awskms://alias/openerp-state?region=eu-west-1'"
        in commands
    )
    assert any(
        command.startswith("gh variable set AWS_PREVIEW_ROLE --repo acme/openerp") for command in commands
    )


def test_progress_is_told_step_by_step(client: Client) -> None:
    told: list[Action] = []
    result = bootstrap(request(), client, progress=told.append)
    assert tuple(told) == result.actions


def test_a_bucket_of_another_account_is_refused_with_what_to_do(client: Client) -> None:
    s3 = client("s3")
    with Stubber(s3) as stub:
        stub.add_client_error("head_bucket", "403", "Forbidden", http_status_code=403)
        with pytest.raises(BootstrapError, match=r"belongs to another AWS account.*--bucket"):
            bootstrap(request(), lambda service: s3 if service == "s3" else client(service))


def test_a_bucket_in_another_region_is_refused(client: Client) -> None:
    s3 = client("s3")
    with Stubber(s3) as stub:
        stub.add_client_error("head_bucket", "301", "Moved Permanently", http_status_code=301)
        with pytest.raises(BootstrapError, match="another region than eu-west-1"):
            bootstrap(request(), lambda service: s3 if service == "s3" else client(service))


def test_a_readable_bucket_of_another_account_is_refused_too(client: Client) -> None:
    s3 = client("s3")
    with Stubber(s3) as stub:
        stub.add_response("head_bucket", {}, {"Bucket": BUCKET})
        stub.add_client_error("head_bucket", "403", "Forbidden", http_status_code=403)
        with pytest.raises(BootstrapError, match="another AWS account"):
            bootstrap(request(), lambda service: s3 if service == "s3" else client(service))


def test_a_name_that_was_taken_in_between_is_refused(client: Client) -> None:
    s3 = client("s3")
    with Stubber(s3) as stub:
        stub.add_client_error("head_bucket", "404", "Not Found", http_status_code=404)
        stub.add_client_error("create_bucket", "BucketAlreadyExists", "taken", http_status_code=409)
        with pytest.raises(BootstrapError, match="another AWS account"):
            bootstrap(request(), lambda service: s3 if service == "s3" else client(service))


def test_a_key_that_is_being_deleted_is_refused_and_nothing_else_is_made(client: Client) -> None:
    bootstrap(request(repository=None), client)
    key = client("kms").describe_key(KeyId="alias/openerp-state")["KeyMetadata"]["Arn"]
    client("kms").schedule_key_deletion(KeyId=key.rsplit("/", 1)[1])
    with pytest.raises(BootstrapError, match="PendingDeletion"):
        bootstrap(request(), client)
    assert client("iam").list_roles()["Roles"] == []


class Failing:
    """A client whose every call fails with `error`."""

    def __init__(self, error: Exception) -> None:
        self.error = error

    def get_caller_identity(self) -> None:
        raise self.error


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (NoCredentialsError(), "no AWS credentials.*AWS_PROFILE"),
        (ClientError({"Error": {"Code": "ExpiredToken"}}, "GetCallerIdentity"), "sign in again"),
        (
            ClientError({"Error": {"Code": "AccessDenied", "Message": "not allowed"}}, "CreateKey"),
            "AWS refused CreateKey: AccessDenied: not allowed",
        ),
        (EndpointConnectionError(endpoint_url="https://sts"), "cannot be reached"),
    ],
)
def test_what_aws_refuses_is_one_sentence(error: Exception, said: str) -> None:
    with pytest.raises(BootstrapError, match=said):
        bootstrap(request(), lambda service: Failing(error))


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"region": "Ireland"}, "--region"),
        ({"regions": ("eu west 1",)}, "--region"),
        ({"bucket": "Not_A_Bucket"}, "--bucket"),
        ({"repository": "acme"}, "--github"),
        ({"repository": "acme/*"}, "--github"),
        ({"environments": ("*",)}, "--environment"),
        ({"environments": ()}, "--environment"),
        ({"environments": ("dev", "drill")}, "--environment: 'drill' is that of scheduled drills"),
        ({"old_version_days": 0}, "--old-version-days"),
    ],
)
def test_a_wrong_option_is_refused_by_name_before_any_call(changed: dict[str, Any], said: str) -> None:
    def no_client(service: str) -> Any:
        raise AssertionError(service)

    with pytest.raises(BootstrapError, match=said):
        bootstrap(request(**changed), no_client)


HERE = Account(number=ACCOUNT, partition="aws", region=REGION)
NAMES = Names(bucket=BUCKET)


def test_only_pull_requests_of_the_repository_may_preview() -> None:
    condition = policies.preview_trust(HERE, "acme/openerp")["Statement"][0]["Condition"]
    assert condition == {
        "StringEquals": {
            "token.actions.githubusercontent.com:aud": "sts.amazonaws.com",
            "token.actions.githubusercontent.com:sub": ["repo:acme/openerp:pull_request"],
        }
    }


def test_only_the_named_environments_may_deploy() -> None:
    trust = policies.deploy_trust(HERE, "acme/openerp", ["dev", "prod"])
    subjects = trust["Statement"][0]["Condition"]["StringEquals"]["token.actions.githubusercontent.com:sub"]
    assert subjects == ["repo:acme/openerp:environment:dev", "repo:acme/openerp:environment:prod"]


@pytest.mark.parametrize("bound", [True, False])
def test_the_boundary_fits_into_what_iam_accepts(bound: bool) -> None:
    """IAM's quotas, without spaces: 6,144 characters a managed policy, 10,240 for a role's inline ones."""
    boundary = policies.deploy_boundary(
        HERE,
        NAMES,
        "arn:aws:kms:eu-west-1:123456789012:key/" + "0" * 36,
        regions=["r"] * 4,
        bound_workloads=bound,
    )
    for document, most in (
        (boundary, 6144),
        (policies.workload_boundary(HERE, NAMES), 6144),
        (policies.preview_policy(HERE, NAMES, "key"), 10240),
        (drill_policy(HERE, NAMES, "arn:aws:kms:eu-west-1:123456789012:key/" + "0" * 36), 10240),
    ):
        assert len(json.dumps(document, separators=(",", ":")).replace(" ", "")) <= most


def denied(document: policies.Document, action: str, resource: str) -> bool:
    """Say whether an unconditional statement denies `action` on `resource` (`*` at the end only)."""

    def matches(pattern: str, text: str) -> bool:
        return text == pattern or (pattern.endswith("*") and text.startswith(pattern[:-1]))

    return any(
        statement["Effect"] == "Deny"
        and "Condition" not in statement
        and any(matches(pattern, action) for pattern in statement["Action"])
        and any(matches(pattern, resource) for pattern in statement["Resource"])
        for statement in document["Statement"]
    )


def test_the_deploy_role_can_end_neither_the_state_nor_its_own_limits() -> None:
    key = f"arn:aws:kms:{REGION}:{ACCOUNT}:key/1"
    boundary = policies.deploy_boundary(HERE, NAMES, key, regions=[REGION], bound_workloads=True)
    bucket = f"arn:aws:s3:::{BUCKET}"
    for action, resource in (
        ("s3:DeleteBucket", bucket),
        ("s3:PutBucketPolicy", bucket),
        ("s3:PutBucketVersioning", bucket),
        ("s3:PutLifecycleConfiguration", bucket),
        ("s3:DeleteObjectVersion", f"{bucket}/.pulumi/stacks/openerp/prod.json"),
        ("kms:ScheduleKeyDeletion", key),
        ("kms:DisableKey", key),
        ("iam:PutRolePolicy", f"arn:aws:iam::{ACCOUNT}:role/openerp-deploy"),
        ("iam:UpdateAssumeRolePolicy", f"arn:aws:iam::{ACCOUNT}:role/openerp-preview"),
        ("iam:CreatePolicyVersion", f"arn:aws:iam::{ACCOUNT}:policy/openerp-deploy-boundary"),
        ("iam:DeleteRolePermissionsBoundary", f"arn:aws:iam::{ACCOUNT}:role/anything"),
        ("iam:PassRole", f"arn:aws:iam::{ACCOUNT}:role/openerp-deploy"),
        ("iam:PutRolePolicy", f"arn:aws:iam::{ACCOUNT}:role/openerp-drill"),
    ):
        assert denied(boundary, action, resource), action
    assert not denied(boundary, "s3:PutObject", f"{bucket}/.pulumi/stacks/openerp/prod.json")
    assert not denied(boundary, "s3:DeleteObject", f"{bucket}/.pulumi/locks/openerp/prod/1.json")


def test_the_deploy_role_gets_no_users_no_keys_and_no_organisation() -> None:
    boundary = policies.deploy_boundary(HERE, NAMES, "key", regions=[REGION], bound_workloads=False)
    allowed = {a for s in boundary["Statement"] if s["Effect"] == "Allow" for a in s["Action"]}
    assert not {"*", "iam:*", "organizations:*"} & allowed
    assert not [action for action in allowed if "User" in action or "AccessKey" in action or "SAML" in action]


def test_the_regional_services_are_allowed_in_the_named_regions_only() -> None:
    boundary = policies.deploy_boundary(
        HERE, NAMES, "key", regions=[REGION, "eu-central-1"], bound_workloads=False
    )
    first = boundary["Statement"][0]
    assert first["Condition"] == {"StringEquals": {"aws:RequestedRegion": [REGION, "eu-central-1"]}}
    elsewhere = {a for s in boundary["Statement"][1:] if s["Effect"] == "Allow" for a in s["Action"]}
    assert {action.split(":")[0] for action in elsewhere} == {"budgets", "iam", "route53", "sts", "tag"}
