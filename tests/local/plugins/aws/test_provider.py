"""What the provider decides: names, defaults, differences, refusals; and that it cleans up after itself."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import boto3
import pytest
from pulumi.provider.experimental import provider as rpc
from pulumi.provider.experimental.property_value import Computed, PropertyValue

from local.plugins.aws.clients import Clients, endpoint_from, refuse_unless_loopback
from local.plugins.aws.context import Context
from local.plugins.aws.provider import AwsProvider, row_of, rows
from local.plugins.plain import UNKNOWN, plain
from local.plugins.table_provider import PluginError
from tests.local.plugins.aws.harness import Engine, unwrap, urn, wrap

VPC = "aws:ec2/vpc:Vpc"
ROLE = "aws:iam/role:Role"
BUCKET = "aws:s3/bucket:Bucket"
GROUP = "aws:lb/targetGroup:TargetGroup"
INSTANCE = "aws:rds/instance:Instance"
RULE = "aws:vpc/securityGroupIngressRule:SecurityGroupIngressRule"
ASSUME = json.dumps(
    {
        "Version": "2012-10-17",
        "Statement": [
            {
                "Effect": "Allow",
                "Action": ["sts:AssumeRole"],
                "Principal": {"Service": "ec2.amazonaws.com"},
            }
        ],
    }
)


@pytest.fixture
def engine() -> Engine:
    return Engine(tags={"Stack": "local"})


def failures(engine: Engine, token: str, inputs: dict[str, Any]) -> list[str]:
    return [failure.reason for failure in engine.check(token, "it", inputs).failures or []]


# -- check -------------------------------------------------------------------------------------------------


def test_a_misspelt_input_is_refused_with_the_nearest_key(engine: Engine) -> None:
    (reason,) = failures(engine, VPC, {"cidrBlok": "10.0.0.0/16"})
    assert "did you mean cidrBlock?" in reason


def test_a_resource_type_that_the_table_lacks_is_named(engine: Engine) -> None:
    with pytest.raises(PluginError, match="aws:ec2/vpx:Vpx; the nearest is aws:ec2/vpc:Vpc"):
        engine.check("aws:ec2/vpx:Vpx", "it", {})


@pytest.mark.parametrize("token", sorted(token for token, row in rows().items() if row.name))
def test_an_automatic_name_is_the_logical_name_and_seven_digits_within_the_limit(
    engine: Engine, token: str
) -> None:
    name = row_of(token).name
    assert name is not None
    short = unwrap(engine.check(token, "Web", {}).inputs or {})[name.property]
    stem = f"{name.prefix}{'web' if name.lower else 'Web'}"
    assert short[: len(stem)] == stem and len(short) == len(stem) + 8
    long = unwrap(engine.check(token, "x" * 2000, {}).inputs or {})[name.property]
    assert len(long) == name.longest


def test_an_automatic_name_is_kept_at_the_next_check_and_remembered_as_automatic(engine: Engine) -> None:
    first = engine.check(GROUP, "web", {"port": 80}, seed=b"one").inputs or {}
    second = engine.check(GROUP, "web", {"port": 81}, first, seed=b"two").inputs or {}
    assert plain(first["name"]) == plain(second["name"])
    assert "name" in plain(second["__defaults"])


def test_a_name_that_was_given_and_is_given_no_more_is_replaced_by_an_automatic_one(engine: Engine) -> None:
    first = engine.check(GROUP, "web", {"port": 80, "name": "fixed"}).inputs or {}
    second = unwrap(engine.check(GROUP, "web", {"port": 80}, first).inputs)
    assert second["name"].startswith("web-")


def test_the_same_seed_gives_the_same_name_and_another_seed_another(engine: Engine) -> None:
    names = [
        unwrap(engine.check(GROUP, "web", {}, seed=seed).inputs)["name"] for seed in (b"one", b"one", b"two")
    ]
    assert names[0] == names[1] != names[2]


def test_default_tags_of_the_provider_come_under_the_tags_of_the_resource(engine: Engine) -> None:
    inputs = unwrap(engine.check(VPC, "net", {"tags": {"Name": "net", "Stack": "own"}}).inputs)
    assert inputs["tagsAll"] == {"Name": "net", "Stack": "own"}
    assert unwrap(engine.check(VPC, "net", {}).inputs)["tagsAll"] == {"Stack": "local"}


def test_defaults_and_region_are_filled_in_and_named_as_such(engine: Engine) -> None:
    inputs = unwrap(engine.check(VPC, "net", {"cidrBlock": "10.0.0.0/16"}).inputs)
    assert inputs["enableDnsSupport"] is True
    assert inputs["region"] == "eu-west-1"
    assert set(inputs["__defaults"]) == {"enableDnsSupport", "instanceTenancy", "region"}


def test_a_secret_input_stays_secret_through_check_and_create(engine: Engine) -> None:
    secret = engine.create("aws:secretsmanager/secret:Secret", "s", {"recoveryWindowInDays": 0})
    version = engine.create(
        "aws:secretsmanager/secretVersion:SecretVersion",
        "s",
        {"secretId": secret.id, "secretString": PropertyValue("sesame", is_secret=True)},
    )
    assert version.inputs["secretString"].is_secret
    assert version.outputs["secretString"].is_secret
    refreshed = version.refreshed()
    assert refreshed is not None and refreshed.outputs["secretString"].is_secret
    secret.delete()


def test_a_security_group_rule_needs_exactly_one_peer(engine: Engine) -> None:
    both = {"cidrIpv4": "10.0.0.0/8", "referencedSecurityGroupId": "sg-1"}
    (reason,) = failures(engine, RULE, {"securityGroupId": "sg-2", "ipProtocol": "tcp", **both})
    assert "exactly one" in reason


@pytest.mark.parametrize(
    "token",
    [
        "aws:backup/restoreTestingPlan:RestoreTestingPlan",
        "aws:backup/restoreTestingSelection:RestoreTestingSelection",
    ],
)
def test_restore_testing_needs_a_name_that_aws_takes(engine: Engine, token: str) -> None:
    for inputs in ({}, {"name": "monthly-drill"}, {"name": "x" * 51}):
        (reason,) = failures(engine, token, inputs)
        assert "letters, digits and underscores" in reason
    assert failures(engine, token, {"name": "monthly_drill"}) == []
    assert failures(engine, token, {"name": UNKNOWN}) == []


# -- preview -----------------------------------------------------------------------------------------------


def test_a_preview_knows_the_inputs_and_nothing_that_the_service_decides(engine: Engine) -> None:
    made = engine.create(VPC, "net", {"cidrBlock": "10.0.0.0/16"}, preview=True)
    assert made.id == ""
    assert made.values["cidrBlock"] == "10.0.0.0/16"
    assert made.values["tagsAll"] == {"Stack": "local"}
    for name in ("arn", "mainRouteTableId", "defaultSecurityGroupId", "ownerId"):
        assert isinstance(made.outputs[name].value, Computed)


def test_a_preview_passes_unknown_inputs_on(engine: Engine) -> None:
    made = engine.create(
        "aws:ec2/subnet:Subnet", "net", {"vpcId": UNKNOWN, "cidrBlock": "10.0.0.0/24"}, preview=True
    )
    assert made.values["vpcId"] is UNKNOWN
    assert made.values["availabilityZone"] is UNKNOWN


def test_the_version_of_a_template_is_unknown_in_a_preview_only_if_its_data_changes(engine: Engine) -> None:
    token = "aws:ec2/launchTemplate:LaunchTemplate"
    made = engine.create(token, "server", {"imageId": "ami-12c6146b", "instanceType": "t3.micro"})
    changed = made.update({"imageId": "ami-12c6146b", "instanceType": "t3.small"}, preview=True)
    assert changed.values["latestVersion"] is UNKNOWN
    tagged = made.update(
        {"imageId": "ami-12c6146b", "instanceType": "t3.micro", "tags": {"a": "b"}}, preview=True
    )
    assert tagged.values["latestVersion"] == 1


def test_check_diff_and_preview_import_no_part_of_boto() -> None:
    program = """
import sys
from tests.local.plugins.aws.harness import Engine
engine = Engine(tags={"a": "b"})
made = engine.create("aws:ec2/vpc:Vpc", "net", {"cidrBlock": "10.0.0.0/16"}, preview=True)
assert not made.diff({"cidrBlock": "10.0.0.0/16"}).replaces
assert not {"boto3", "botocore", "pulumi_aws", "jmespath"} & set(sys.modules), "too much was imported"
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


# -- diff --------------------------------------------------------------------------------------------------


def previewed(engine: Engine, token: str, inputs: dict[str, Any]) -> Any:
    return engine.create(token, "it", inputs, preview=True)


def test_policies_that_say_the_same_do_not_differ(engine: Engine) -> None:
    role = previewed(engine, ROLE, {"assumeRolePolicy": ASSUME})
    document = json.loads(ASSUME)
    document["Statement"][0]["Action"] = "sts:AssumeRole"
    document["Statement"][0]["Principal"]["Service"] = ["ec2.amazonaws.com"]
    assert not role.diff({"assumeRolePolicy": json.dumps(document, indent=2)}).changes
    document["Statement"][0]["Effect"] = "Deny"
    assert role.diff({"assumeRolePolicy": json.dumps(document)}).diffs == ["assumeRolePolicy"]


def test_numbers_and_their_texts_do_not_differ_and_neither_does_the_order_of_a_set(engine: Engine) -> None:
    balancer = "aws:lb/loadBalancer:LoadBalancer"
    made = previewed(engine, balancer, {"subnets": ["a", "b"], "idleTimeout": 60})
    assert not made.diff({"subnets": ["b", "a"], "idleTimeout": "60"}).changes
    assert set(made.diff({"subnets": ["b", "c"], "idleTimeout": 61}).diffs) == {"subnets", "idleTimeout"}


def test_an_empty_object_is_not_the_same_as_none(engine: Engine) -> None:
    made = previewed(engine, "aws:wafv2/webAcl:WebAcl", {"scope": "REGIONAL", "defaultAction": {"allow": {}}})
    assert made.diff({"scope": "REGIONAL", "defaultAction": {"block": {}}}).diffs == ["defaultAction"]


def test_an_unknown_input_counts_as_a_change_and_replaces_where_a_change_would(engine: Engine) -> None:
    made = previewed(engine, "aws:ec2/subnet:Subnet", {"vpcId": "vpc-1", "cidrBlock": "10.0.0.0/24"})
    difference = made.diff({"vpcId": UNKNOWN, "cidrBlock": "10.0.0.0/24"})
    assert difference.replaces == ["vpcId"]


def test_an_input_that_the_service_chooses_is_no_change_when_it_is_no_longer_given(engine: Engine) -> None:
    made = previewed(engine, INSTANCE, {"instanceClass": "db.t4g.micro", "engineVersion": "16"})
    assert not made.diff({"instanceClass": "db.t4g.micro"}).changes


def test_other_default_tags_change_every_tagged_resource(engine: Engine) -> None:
    made = previewed(engine, VPC, {"cidrBlock": "10.0.0.0/16"})
    made.engine = Engine(tags={"Stack": "other"})
    assert made.diff({"cidrBlock": "10.0.0.0/16"}).diffs == ["tagsAll"]


def test_another_region_replaces(engine: Engine) -> None:
    made = previewed(engine, VPC, {"cidrBlock": "10.0.0.0/16"})
    made.engine = Engine(region="eu-central-1", tags={"Stack": "local"})
    assert made.diff({"cidrBlock": "10.0.0.0/16"}).replaces == ["region"]


def test_a_name_of_the_program_is_deleted_before_its_replacement_and_an_automatic_one_after(
    engine: Engine,
) -> None:
    fixed = previewed(engine, GROUP, {"port": 80, "name": "fixed"})
    difference = fixed.diff({"port": 81, "name": "fixed"})
    assert difference.replaces == ["port"] and difference.delete_before_replace
    automatic = previewed(engine, GROUP, {"port": 80})
    difference = automatic.diff({"port": 81})
    assert difference.replaces == ["port"] and not difference.delete_before_replace


def test_what_can_exist_once_in_its_place_is_deleted_before_its_replacement(engine: Engine) -> None:
    token = "aws:ec2/routeTableAssociation:RouteTableAssociation"
    made = previewed(engine, token, {"routeTableId": "rtb-1", "subnetId": "subnet-1"})
    assert made.diff({"routeTableId": "rtb-2", "subnetId": "subnet-1"}).delete_before_replace
    assert not made.diff({"routeTableId": "rtb-1", "subnetId": "subnet-2"}).delete_before_replace


def test_a_difference_is_told_by_its_path(engine: Engine) -> None:
    made = previewed(engine, GROUP, {"port": 80, "healthCheck": {"path": "/a"}, "tags": {"a.b": "1"}})
    detailed = made.diff({"port": 80, "healthCheck": {"path": "/b"}, "tags": {"a.b": "2"}}).detailed_diff
    assert set(detailed) == {"healthCheck.path", 'tags["a.b"]', 'tagsAll["a.b"]'}


# -- the emulator ------------------------------------------------------------------------------------------


def test_drift_is_seen_by_a_refresh_and_is_a_difference_afterwards(engine: Engine) -> None:
    inputs = {"cidrBlock": "10.0.0.0/16", "tags": {"Name": "net"}}
    vpc = engine.create(VPC, "net", inputs)
    client = boto3.client("ec2")
    client.create_tags(Resources=[vpc.id], Tags=[{"Key": "Name", "Value": "another hand"}])
    refreshed = vpc.refreshed()
    assert refreshed is not None
    assert refreshed.values["tags"] == {"Name": "another hand"}
    assert set(refreshed.diff(inputs).diffs) == {"tags", "tagsAll"}
    repaired = refreshed.update(inputs)
    again = repaired.refreshed()
    assert again is not None and not again.diff(inputs).changes
    vpc.delete()


def test_drift_of_a_policy_of_a_role_and_of_a_retention_is_seen(engine: Engine) -> None:
    group = engine.create("aws:cloudwatch/logGroup:LogGroup", "logs", {"retentionInDays": 30})
    boto3.client("logs").put_retention_policy(logGroupName=group.id, retentionInDays=7)
    refreshed = group.refreshed()
    assert refreshed is not None
    assert refreshed.diff({"retentionInDays": 30}).diffs == ["retentionInDays"]
    role = engine.create(ROLE, "role", {"assumeRolePolicy": ASSUME})
    other = ASSUME.replace("ec2.amazonaws.com", "lambda.amazonaws.com")
    boto3.client("iam").update_assume_role_policy(RoleName=role.id, PolicyDocument=other)
    refreshed = role.refreshed()
    assert refreshed is not None
    assert refreshed.diff({"assumeRolePolicy": ASSUME}).diffs == ["assumeRolePolicy"]
    role.delete()
    group.delete()


def test_a_rule_that_another_hand_adds_to_the_default_group_is_drift_and_is_removed(engine: Engine) -> None:
    vpc = engine.create(VPC, "net", {"cidrBlock": "10.0.0.0/16"})
    group = engine.create("aws:ec2/defaultSecurityGroup:DefaultSecurityGroup", "none", {"vpcId": vpc.id})
    rule = {"IpProtocol": "tcp", "FromPort": 22, "ToPort": 22, "IpRanges": [{"CidrIp": "0.0.0.0/0"}]}
    client = boto3.client("ec2")
    client.authorize_security_group_ingress(GroupId=group.id, IpPermissions=[rule])
    refreshed = group.refreshed()
    assert refreshed is not None
    assert refreshed.diff({"vpcId": vpc.id}).diffs == ["ingress"]
    refreshed.update({"vpcId": vpc.id})
    (found,) = client.describe_security_groups(GroupIds=[group.id])["SecurityGroups"]
    assert found["IpPermissions"] == []
    vpc.delete()


def test_a_refresh_adds_nothing_to_the_inputs(engine: Engine) -> None:
    vpc = engine.create(VPC, "net", {"cidrBlock": "10.0.0.0/16"})
    inputs = {"vpcId": vpc.id, "cidrBlock": "10.0.0.0/24", "availabilityZone": "eu-west-1a"}
    subnet = engine.create("aws:ec2/subnet:Subnet", "net", inputs)
    refreshed = subnet.refreshed()
    assert refreshed is not None
    assert refreshed.inputs == subnet.inputs
    assert refreshed.values["availabilityZoneId"]
    subnet.delete()
    vpc.delete()


def test_a_resource_is_imported_by_its_id(engine: Engine) -> None:
    vpc = engine.create(VPC, "net", {"cidrBlock": "10.3.0.0/16", "tags": {"Name": "net"}})
    request = rpc.ReadRequest(f"urn:pulumi:local::openerp::{VPC}::net", vpc.id, {}, {})
    found = asyncio.run(engine.provider.read(request))
    inputs = unwrap(found.inputs)
    assert inputs["cidrBlock"] == "10.3.0.0/16"
    assert inputs["tags"] == {"Name": "net"}
    vpc.delete()


def test_a_half_made_resource_is_removed_again_and_the_error_is_one_line(engine: Engine) -> None:
    groups = boto3.client("ec2")
    before = len(groups.describe_security_groups()["SecurityGroups"])
    bad = [{"protocol": "tcp", "fromPort": 80, "toPort": 80, "cidrBlocks": ["not a network"]}]
    vpc = engine.create(VPC, "net", {"cidrBlock": "10.0.0.0/16"})
    with pytest.raises(PluginError) as caught:
        engine.create("aws:ec2/securityGroup:SecurityGroup", "it", {"vpcId": vpc.id, "ingress": bad})
    assert "\n" not in str(caught.value)
    assert str(caught.value).startswith("ec2.AuthorizeSecurityGroupIngress on it (aws:ec2/securityGroup")
    vpc.delete()
    assert len(groups.describe_security_groups()["SecurityGroups"]) == before


def test_what_a_function_of_a_row_had_made_when_it_failed_is_removed(engine: Engine) -> None:
    removed = []

    def create(context: Context) -> None:
        context.id = "made"
        raise PluginError("the second call failed")

    row = replace(row_of(VPC), create=create, delete=(lambda context: removed.append(context.id),))
    context = Context(row, "it", engine.provider.clients(), region="eu-west-1", inputs={})
    with pytest.raises(PluginError, match="the second call failed"):
        context.create()
    assert removed == ["made"]


def test_a_protected_database_and_one_without_a_final_snapshot_are_not_deleted(engine: Engine) -> None:
    made = previewed(engine, INSTANCE, {"instanceClass": "db.t4g.micro", "deletionProtection": True})
    with pytest.raises(PluginError, match="deletionProtection is on"):
        made.delete()
    made = previewed(engine, INSTANCE, {"instanceClass": "db.t4g.micro"})
    with pytest.raises(PluginError, match="finalSnapshotIdentifier is required"):
        made.delete()


def test_resources_of_two_providers_lie_in_two_regions(engine: Engine) -> None:
    near = engine.create("aws:backup/vault:Vault", "near", {})
    far = Engine(region="eu-central-1").create("aws:backup/vault:Vault", "far", {})
    assert near.values["arn"].startswith("arn:aws:backup:eu-west-1:")
    assert far.values["arn"].startswith("arn:aws:backup:eu-central-1:")
    near.delete()
    far.delete()


def test_many_resources_are_made_at_the_same_time_over_one_client_for_each_service(engine: Engine) -> None:
    names = [f"many-{index}" for index in range(12)]
    checked = [engine.check(BUCKET, name, {"forceDestroy": True}).inputs or {} for name in names]

    async def all_of_them() -> list[str]:
        requests = [
            engine.provider.create(rpc.CreateRequest(urn(BUCKET, name), inputs, 0, False))
            for name, inputs in zip(names, checked, strict=True)
        ]
        return [made.resource_id or "" for made in await asyncio.gather(*requests)]

    ids = asyncio.run(all_of_them())
    assert len(set(ids)) == 12
    client = boto3.client("s3")
    for bucket in ids:
        client.delete_bucket(Bucket=bucket)


def test_a_client_is_made_once_however_many_ask_for_it(emulator: str) -> None:
    clients = Clients(emulator, {})
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda _: clients.get("sqs", "eu-west-1"), range(16)))
    assert len({id(client) for client in found}) == 1


# -- where it may connect to -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "url", ["https://ec2.amazonaws.com", "http://10.0.0.1:5000", "http://example.org", "ftp://127.0.0.1", "x"]
)
def test_an_address_beyond_this_machine_is_refused(url: str) -> None:
    with pytest.raises(PluginError, match="not an address of this machine"):
        refuse_unless_loopback(url, "AWS_ENDPOINT_URL")


@pytest.mark.parametrize("url", ["http://127.0.0.1:5000", "http://localhost:1", "http://[::1]:5000"])
def test_an_address_of_this_machine_is_accepted(url: str) -> None:
    assert refuse_unless_loopback(url, "AWS_ENDPOINT_URL") == url


def test_without_an_address_the_provider_refuses_to_be_configured(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AWS_ENDPOINT_URL")
    request = rpc.ConfigureRequest({}, wrap({"region": "eu-west-1"}), True, True)
    with pytest.raises(PluginError, match="AWS_ENDPOINT_URL is not set"):
        asyncio.run(AwsProvider().configure(request))


def test_an_endpoint_of_the_provider_beyond_this_machine_is_refused_at_check_config() -> None:
    args = {"region": "eu-west-1", "endpoints": json.dumps([{"s3": "https://s3.amazonaws.com"}])}
    checked = asyncio.run(AwsProvider().check_config(rpc.CheckRequest("urn", {}, wrap(args), b"")))
    assert checked.failures and "endpoints.s3" in checked.failures[0].reason


def test_an_endpoint_of_one_service_is_used_for_that_service_alone(emulator: str) -> None:
    clients = Clients("http://127.0.0.1:9", {"s3": emulator})
    assert clients.get("s3", "eu-west-1").meta.endpoint_url == emulator
    assert clients.get("sqs", "eu-west-1").meta.endpoint_url == "http://127.0.0.1:9"


def test_endpoints_alone_are_enough(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AWS_ENDPOINT_URL")
    assert endpoint_from({"s3": "http://127.0.0.1:1"}) == ""
    with pytest.raises(PluginError, match="where ec2 is"):
        Clients("", {"s3": "http://127.0.0.1:1"}).get("ec2", "eu-west-1")


def test_without_a_region_the_provider_says_how_to_set_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AWS_DEFAULT_REGION")
    monkeypatch.delenv("AWS_REGION", raising=False)
    with pytest.raises(PluginError, match="pulumi config set aws:region"):
        asyncio.run(AwsProvider().configure(rpc.ConfigureRequest({}, {}, True, True)))


def test_credentials_of_a_real_account_are_never_used(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIAREAL")
    client = engine.provider.clients().get("sqs", "eu-west-1")
    assert client._get_credentials().access_key == "local"
    assert os.environ["AWS_ACCESS_KEY_ID"] == "AKIAREAL"


# -- functions ---------------------------------------------------------------------------------------------


def invoke(engine: Engine, token: str, args: dict[str, Any]) -> dict[str, Any]:
    return unwrap(asyncio.run(engine.provider.invoke(rpc.InvokeRequest(token, wrap(args)))).return_value)


def test_functions_answer_from_the_emulator(engine: Engine) -> None:
    assert invoke(engine, "aws:index/getCallerIdentity:getCallerIdentity", {})["accountId"] == "123456789012"
    assert invoke(engine, "aws:index/getRegion:getRegion", {})["region"] == "eu-west-1"
    assert invoke(engine, "aws:index/getPartition:getPartition", {})["dnsSuffix"] == "amazonaws.com"
    zones = invoke(engine, "aws:index/getAvailabilityZones:getAvailabilityZones", {"state": "available"})
    assert zones["names"][:2] == ["eu-west-1a", "eu-west-1b"]
    image = invoke(engine, "aws:ec2/getAmi:getAmi", {"owners": ["amazon"], "mostRecent": True})
    assert image["id"].startswith("ami-")


def test_a_secret_version_is_read_as_a_secret(engine: Engine) -> None:
    secret = engine.create("aws:secretsmanager/secret:Secret", "s", {"recoveryWindowInDays": 0})
    engine.create(
        "aws:secretsmanager/secretVersion:SecretVersion", "s", {"secretId": secret.id, "secretString": "open"}
    )
    token = "aws:secretsmanager/getSecretVersion:getSecretVersion"
    answer = asyncio.run(engine.provider.invoke(rpc.InvokeRequest(token, wrap({"secretId": secret.id}))))
    assert answer.return_value is not None
    assert answer.return_value["secretString"] == PropertyValue("open", is_secret=True)
    secret.delete()


def test_a_zone_is_found_by_its_name(engine: Engine) -> None:
    client = boto3.client("route53")
    zone = client.create_hosted_zone(Name="zone.example.org.", CallerReference="one")["HostedZone"]["Id"]
    found = invoke(engine, "aws:route53/getZone:getZone", {"name": "zone.example.org"})
    assert found["zoneId"] == zone.rpartition("/")[2]
    client.delete_hosted_zone(Id=zone)
    with pytest.raises(PluginError, match="no hosted zone found"):
        invoke(engine, "aws:route53/getZone:getZone", {"name": "zone.example.org"})


def test_a_function_that_the_plugin_lacks_is_named(engine: Engine) -> None:
    with pytest.raises(PluginError, match="does not have the function aws:index/getRegio:getRegio"):
        invoke(engine, "aws:index/getRegio:getRegio", {})
