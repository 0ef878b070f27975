"""What `AppServer` and `WebClientServer` register. Not proven: that a server boots (`core.servers`)."""

from __future__ import annotations

import base64
import contextlib
import functools
import gzip
import json
import re
from typing import Any

import pytest

from components.app_server import AppServer, AppServerArgs
from components.databases import Databases, DatabasesArgs
from components.server_group import DatabaseAccess, FileStoreAccess, ModulesAccess, SecretAccess
from components.web_client_server import WebClientServer, WebClientServerArgs
from core.outbound import outbound_ports
from core.servers import ServerConfiguration
from core.servers.configuration import ServerRole
from tests.components.conftest import Deploy, Graph, Registration

ARN = "arn:aws:secretsmanager:eu-west-1:123456789012:secret:"


def values(role: ServerRole, **changes: Any) -> dict[str, Any]:
    return {
        "vpc_id": "vpc-1",
        "subnet_ids": ["subnet-a", "subnet-b"],
        "region": "eu-west-1",
        "vpc_cidr": "10.20.0.0/16",
        "outbound_ports": outbound_ports("production", "debian", interface_endpoints=False),
        "configure": functools.partial(
            ServerConfiguration,
            role=role,
            stack="test",
            environment="production",
            offer="hosted",
            region="eu-west-1",
            release="19.0",
            workers=3,
            cron_threads=2 if role == "app" else 0,
            database_name="openerp",
            test_database_name="openerp_test",
            public_host="erp.example.com",
            vpc_cidr="10.20.0.0/16",
        ),
        "database": DatabaseAccess(host="db.example.internal", port=5432, security_group_id="sg-database"),
        "file_store": FileStoreAccess(
            file_system_id="fs-0123456789abcdef0",
            file_system_arn="arn:aws:elasticfilesystem:eu-west-1:123456789012:file-system/fs-1",
            access_point_id="fsap-0123456789abcdef0",
            access_point_arn="arn:aws:elasticfilesystem:eu-west-1:123456789012:access-point/fsap-1",
            security_group_id="sg-files",
        ),
        "secrets": SecretAccess(
            database_secret_arn=f"{ARN}application-AbCdEf",
            administrator_secret_arn=f"{ARN}administrator-AbCdEf",
            kms_key_arn="arn:aws:kms:eu-west-1:123456789012:key/1",
        ),
        "modules": ModulesAccess(bucket="operations", bucket_arn="arn:aws:s3:::operations"),
        "instance_type": "t4g.medium",
        "image_id": "ami-0123456789abcdef0",
        "min_servers": 2,
        "max_servers": 4,
        "tags": {"environment": "production"},
        **changes,
    }


def app(deploy: Deploy, **changes: Any) -> Graph:
    return deploy(lambda: AppServer("app-server", AppServerArgs(**values("app", **changes))))


def web_client(deploy: Deploy, **changes: Any) -> Graph:
    args = values("web-client", **changes)
    return deploy(lambda: WebClientServer("web-client-server", WebClientServerArgs(**args)))


BOTH = pytest.mark.parametrize(
    ("make", "name"), [(app, "app-server"), (web_client, "web-client-server")], ids=["app", "web-client"]
)


def template(graph: Graph) -> dict[str, Any]:
    return graph.one("aws:ec2/launchTemplate:LaunchTemplate").inputs


def group(graph: Graph) -> Registration:
    return graph.one("aws:autoscaling/group:Group")


def statements(graph: Graph) -> dict[str, dict[str, Any]]:
    document = json.loads(graph.one("aws:iam/rolePolicy:RolePolicy").inputs["policy"])
    return {s["Sid"]: s for s in document["Statement"]}


@BOTH
def test_a_group_of_servers_has_exactly_these_children(deploy: Deploy, make: Any, name: str) -> None:
    graph = make(deploy)
    outside = ("https", "http", "smtps", "submission", "imaps")
    ingress = "aws:vpc/securityGroupIngressRule:SecurityGroupIngressRule"
    egress = "aws:vpc/securityGroupEgressRule:SecurityGroupEgressRule"
    assert graph.children(name) == {
        ("aws:cloudwatch/logGroup:LogGroup", f"{name}-logs"),
        ("aws:lb/targetGroup:TargetGroup", f"{name}-http"),
        ("aws:ec2/securityGroup:SecurityGroup", f"{name}-servers"),
        *((egress, f"{name}-to-{key}") for key in (*outside, "database", "file-store")),
        *((ingress, f"{name}-to-{key}") for key in ("database", "file-store")),
        ("aws:iam/role:Role", f"{name}-servers"),
        ("aws:iam/rolePolicy:RolePolicy", f"{name}-servers"),
        ("aws:iam/rolePolicyAttachment:RolePolicyAttachment", f"{name}-session-manager"),
        ("aws:iam/instanceProfile:InstanceProfile", f"{name}-servers"),
        ("aws:ec2/launchTemplate:LaunchTemplate", f"{name}-servers"),
        ("aws:autoscaling/group:Group", f"{name}-servers"),
        ("aws:autoscaling/policy:Policy", f"{name}-cpu"),
    }


def test_the_two_roles_are_two_components_with_types_of_their_own(deploy: Deploy) -> None:
    app(deploy).one("openerp:index:AppServer", "app-server")
    web_client(deploy).one("openerp:index:WebClientServer", "web-client-server")


@BOTH
def test_instances_answer_no_unsigned_metadata_request_and_have_encrypted_disks(
    deploy: Deploy, make: Any, name: str
) -> None:
    inputs = template(make(deploy, root_volume_gb=30))
    assert inputs["metadataOptions"] == {
        "httpEndpoint": "enabled",
        "httpTokens": "required",
        "httpPutResponseHopLimit": 1,
        "instanceMetadataTags": "disabled",
    }
    (disk,) = inputs["blockDeviceMappings"]
    assert disk == {
        "deviceName": "/dev/xvda",
        "ebs": {
            "volumeType": "gp3",
            "volumeSize": 30,
            "encrypted": "true",
            "deleteOnTermination": "true",
        },
    }
    assert "keyName" not in inputs


@BOTH
def test_instances_and_volumes_carry_the_tags_that_default_tags_do_not_reach(
    deploy: Deploy, make: Any, name: str
) -> None:
    graph = make(deploy)
    wanted = {"Name": name, "environment": "production"}
    tagged = {t["resourceType"]: t["tags"] for t in template(graph)["tagSpecifications"]}
    assert tagged == {"instance": wanted, "volume": wanted, "network-interface": wanted}
    assert {(t["key"], t["value"]) for t in group(graph).inputs["tags"] if t["propagateAtLaunch"]} == set(
        wanted.items()
    )


@BOTH
def test_user_data_names_the_secrets_and_holds_none(deploy: Deploy, make: Any, name: str) -> None:
    """The values of secrets never reach the component; what is asserted is the form of what it renders."""
    decoded = base64.b64decode(template(make(deploy))["userData"])
    assert decoded[:2] == b"\x1f\x8b" or decoded.startswith(b"#cloud-config")
    assert "userData" not in make(deploy).one("aws:ec2/launchTemplate:LaunchTemplate").secret_inputs


def test_what_only_the_deployment_knows_reaches_the_user_data(deploy: Deploy) -> None:
    seen: list[dict[str, Any]] = []
    usual = values("app")["configure"]

    def configure(**known: Any) -> ServerConfiguration:
        seen.append(known)
        configuration: ServerConfiguration = usual(**known)
        return configuration

    app(deploy, configure=configure)
    assert seen[-1] == {
        "database_host": "db.example.internal",
        "database_port": 5432,
        "database_secret_arn": f"{ARN}application-AbCdEf",
        "administrator_secret_arn": f"{ARN}administrator-AbCdEf",
        "file_system_id": "fs-0123456789abcdef0",
        "access_point_id": "fsap-0123456789abcdef0",
        "log_group_name": "app-server-logs-1234567",
        "operations_bucket": "operations",
    }


def test_a_wrong_configuration_is_found_before_anything_is_registered(deploy: Deploy) -> None:
    def configure(**known: Any) -> ServerConfiguration:
        raise ValueError("workers: 0 is too few")

    with pytest.raises(ValueError, match="0 is too few"):
        app(deploy, configure=configure)


@BOTH
def test_a_server_may_do_only_what_it_needs(deploy: Deploy, make: Any, name: str) -> None:
    graph = make(deploy)
    found = statements(graph)
    logs = f"arn:aws:cloudwatch:eu-west-1:123456789012:{name}-logs"
    assert found["ReadOwnSecrets"]["Resource"] == [f"{ARN}application-AbCdEf", f"{ARN}administrator-AbCdEf"]
    assert found["OpenOwnSecrets"]["Resource"] == ["arn:aws:kms:eu-west-1:123456789012:key/1"]
    assert found["OpenOwnSecrets"]["Condition"] == {
        "StringEquals": {"kms:ViaService": "secretsmanager.eu-west-1.amazonaws.com"}
    }
    assert found["WriteOwnLogs"]["Resource"] == [logs, f"{logs}:*"]
    mount = found["MountThroughTheAccessPoint"]
    assert mount["Condition"]["StringEquals"]["elasticfilesystem:AccessPointArn"].endswith("/fsap-1")
    assert set(found) == {
        "ReadOwnSecrets",
        "OpenOwnSecrets",
        "WriteOwnLogs",
        "MountThroughTheAccessPoint",
        "FetchModules",
    }
    assert found["FetchModules"]["Action"] == ["s3:GetObject"]
    assert found["FetchModules"]["Resource"] == ["arn:aws:s3:::operations/modules/*"]
    for statement in found.values():
        assert "*" not in statement["Resource"]
        assert all("*" not in action for action in statement["Action"])
    (attachment,) = graph.of("aws:iam/rolePolicyAttachment:RolePolicyAttachment")
    assert attachment.inputs["policyArn"] == "arn:aws:iam::aws:policy/AmazonSSMManagedInstanceCore"


def test_servers_that_reach_nothing_else_outside_can_be_let_to_s3(deploy: Deploy) -> None:
    closed = outbound_ports("training", "image", interface_endpoints=True)
    modules = ModulesAccess(
        bucket="operations", bucket_arn="arn:aws:s3:::operations", s3_prefix_list_id="pl-1"
    )
    graph = app(deploy, outbound_ports=closed, modules=modules)
    egress = graph.of("aws:vpc/securityGroupEgressRule:SecurityGroupEgressRule")
    to_s3 = [rule.inputs for rule in egress if "prefixListId" in rule.inputs]
    assert [(rule["prefixListId"], rule["fromPort"], rule["toPort"]) for rule in to_s3] == [
        ("pl-1", 443, 443)
    ]
    assert not [rule for rule in egress if rule.inputs.get("cidrIpv4") == "0.0.0.0/0"]


def test_servers_of_many_tenants_read_tenants_by_pattern(deploy: Deploy) -> None:
    secrets = SecretAccess(
        database_secret_arn=f"{ARN}application-AbCdEf",
        administrator_secret_arn=f"{ARN}administrator-AbCdEf",
        tenant_secret_arns=[f"{ARN}databases-tenant-*"],
        kms_key_arn="arn:aws:kms:eu-west-1:123456789012:key/1",
    )
    found = statements(web_client(deploy, secrets=secrets, tenants_parameter_path="/openerp/test/tenants"))
    assert f"{ARN}databases-tenant-*" in found["ReadOwnSecrets"]["Resource"]
    assert found["ReadTenants"]["Resource"] == [
        "arn:aws:ssm:eu-west-1:123456789012:parameter/openerp/test/tenants",
        "arn:aws:ssm:eu-west-1:123456789012:parameter/openerp/test/tenants/*",
    ]


@BOTH
def test_servers_are_replaced_one_by_one_without_a_loss_of_capacity(
    deploy: Deploy, make: Any, name: str
) -> None:
    servers = group(make(deploy))
    refresh = servers.inputs["instanceRefresh"]
    assert refresh["strategy"] == "Rolling"
    assert refresh["preferences"]["minHealthyPercentage"] == 100
    assert refresh["preferences"]["maxHealthyPercentage"] > 100
    assert servers.inputs["launchTemplate"] == {"id": f"{name}-servers-id", "version": "3"}
    assert servers.inputs["healthCheckType"] == "ELB"
    assert servers.inputs["vpcZoneIdentifiers"] == ["subnet-a", "subnet-b"]


def test_aws_goes_back_by_itself_only_where_the_image_is_named(deploy: Deploy) -> None:
    def goes_back(image: str) -> bool:
        refresh = group(app(deploy, image_id=image)).inputs["instanceRefresh"]
        return bool(refresh["preferences"]["autoRollback"])

    assert goes_back("ami-0123456789abcdef0")
    assert not goes_back("resolve:ssm:/aws/service/debian/release/13/latest/arm64")


def test_an_update_does_not_fight_scaling(deploy: Deploy) -> None:
    graph = app(deploy)
    servers = group(graph)
    assert "desiredCapacity" not in servers.inputs
    assert (servers.inputs["minSize"], servers.inputs["maxSize"]) == (2, 4)
    policy = graph.one("aws:autoscaling/policy:Policy").inputs
    assert policy["policyType"] == "TargetTrackingScaling"
    assert policy["targetTrackingConfiguration"]["targetValue"] == 60


def test_a_server_starts_only_when_its_ways_and_permissions_are_there(deploy: Deploy) -> None:
    graph = app(deploy)
    needed = group(graph).depends_on_names
    assert {"app-server-to-database", "app-server-to-file-store", "app-server-servers"} <= needed
    assert "app-server-session-manager" in needed


def test_health_is_asked_where_the_servers_listen(deploy: Deploy) -> None:
    rpc = app(deploy).one("aws:lb/targetGroup:TargetGroup").inputs
    web = web_client(deploy).one("aws:lb/targetGroup:TargetGroup").inputs
    assert (rpc["port"], web["port"]) == (8069, 8080)
    for targets in (rpc, web):
        assert targets["healthCheck"]["path"] == "/web/health"
        assert targets["healthCheck"]["matcher"] == "200"
        # Odoo's restart after an outage of the database takes up to 20 s; a dead server is found in 50 s.
        unanswered = targets["healthCheck"]["interval"] * targets["healthCheck"]["unhealthyThreshold"]
        assert 40 <= unanswered <= 60
    assert rpc["stickiness"]["enabled"] is False
    assert web["stickiness"]["enabled"] is True


@BOTH
def test_the_name_of_the_target_group_fits_aws(deploy: Deploy, make: Any, name: str) -> None:
    (targets,) = make(deploy).of("aws:lb/targetGroup:TargetGroup")
    assert len(targets.name) + 8 <= 32


def test_a_component_name_that_gives_too_long_a_target_group_is_refused(deploy: Deploy) -> None:
    with pytest.raises(ValueError, match="at most 19 characters"):
        deploy(lambda: AppServer("a-very-long-server-name", AppServerArgs(**values("app"))))


def test_the_way_to_database_and_files_is_open_on_both_sides(deploy: Deploy) -> None:
    graph = app(deploy)
    into = {
        r.name: (r.inputs["securityGroupId"], r.inputs["referencedSecurityGroupId"], r.inputs["fromPort"])
        for r in graph.of("aws:vpc/securityGroupIngressRule:SecurityGroupIngressRule")
    }
    assert into == {
        "app-server-to-database": ("sg-database", "app-server-servers-id", 5432),
        "app-server-to-file-store": ("sg-files", "app-server-servers-id", 2049),
    }
    out = {
        r.inputs["toPort"]
        for r in graph.of("aws:vpc/securityGroupEgressRule:SecurityGroupEgressRule")
        if r.inputs.get("cidrIpv4") == "0.0.0.0/0"
    }
    assert out == {80, 443, 465, 587, 993}


def test_the_outputs_are_registered(deploy: Deploy) -> None:
    outputs = app(deploy).outputs_of("app-server")
    assert outputs["autoscaling_group_name"] == "app-server-servers-1234567"
    assert set(outputs) == {
        "autoscaling_group_name",
        "launch_template_id",
        "target_group_arn",
        "target_group_arn_suffix",
        "security_group_id",
        "role_arn",
        "log_group_name",
    }


def test_no_password_of_the_deployment_is_in_any_user_data(deploy: Deploy) -> None:
    """Databases and both kinds of servers together, as the program wires them."""

    def program() -> None:
        databases = Databases(
            "databases",
            DatabasesArgs(
                server_host="db.example.internal",
                server_port=5432,
                master_secret_arn=f"{ARN}rds-master",
                engine_version="16",
                kms_key_arn="arn:aws:kms:eu-west-1:123456789012:key/1",
                working_database="openerp",
                test_database="openerp_test",
            ),
        )
        secrets = SecretAccess(
            database_secret_arn=databases.application_secret_arn,
            administrator_secret_arn=databases.administrator_secret_arn,
            tenant_secret_arns=databases.tenant_secret_arns,
            kms_key_arn="arn:aws:kms:eu-west-1:123456789012:key/1",
        )
        AppServer("app-server", AppServerArgs(**values("app", secrets=secrets)))
        WebClientServer("web-client-server", WebClientServerArgs(**values("web-client", secrets=secrets)))

    graph = deploy(program)
    passwords = {
        json.loads(v.inputs["secretString"])["password"]
        for v in graph.of("aws:secretsmanager/secretVersion:SecretVersion")
    } | {"mock-master-password"}
    assert len(passwords) == 4
    templates = graph.of("aws:ec2/launchTemplate:LaunchTemplate")
    assert len(templates) == 2
    for launched in templates:
        text = readable(launched.inputs["userData"])
        assert "databases-application" in text
        assert not any(password in text for password in passwords)


def readable(user_data: str) -> str:
    """Return everything in the user data as text, with what is compressed or base64 inside it unpacked."""
    raw = base64.b64decode(user_data)
    text = (gzip.decompress(raw) if raw[:2] == b"\x1f\x8b" else raw).decode()
    inner = []
    for found in re.findall(r"[A-Za-z0-9+/]{40,}={0,2}", re.sub(r"\n +", "", text)):
        with contextlib.suppress(ValueError, OSError, EOFError):
            packed = base64.b64decode(found, validate=True)
            unpacked = gzip.decompress(packed) if packed[:2] == b"\x1f\x8b" else packed
            inner.append(unpacked.decode(errors="replace"))
    return "\n".join([text, *inner])


@BOTH
def test_servers_without_a_way_out_reach_aws_inside_the_network_alone(
    deploy: Deploy, make: Any, name: str
) -> None:
    graph = make(deploy, outbound_ports={})
    egress = graph.of("aws:vpc/securityGroupEgressRule:SecurityGroupEgressRule")
    assert {rule.name for rule in egress} == {
        f"{name}-to-{key}" for key in ("endpoints", "database", "file-store")
    }
    (endpoints,) = (rule.inputs for rule in egress if rule.name == f"{name}-to-endpoints")
    assert (endpoints["fromPort"], endpoints["toPort"], endpoints["cidrIpv4"]) == (443, 443, "10.20.0.0/16")
