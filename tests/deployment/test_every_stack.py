"""What holds for each of the four stacks. That AWS accepts it is not proven here."""

from __future__ import annotations

import json
from typing import Any

import pytest
import yaml

from core import names, outputs
from tests.components.conftest import Graph, Registration
from tests.components.tls_answers import TLS_ANSWERS
from tests.deployment.looking import (
    AWS_PROVIDER,
    BALANCER,
    DATABASE,
    EGRESS,
    GROUP,
    INGRESS,
    INSTANCE,
    KEY,
    LISTENER,
    ROLE,
    SECRET,
    TEMPLATE,
    by_name,
    component,
    texts,
    user_data,
)
from tests.deployment.looking import names as names_of
from tests.deployment.program import STACKS, run_stack, stack_settings

PARTS = {
    (component("Network"), "network"),
    (component("DatabaseServer"), "database"),
    (component("Databases"), "databases"),
    (component("FileStore"), "file-store"),
    (component("OperationsStore"), "operations-store"),
    (component("AppServer"), "app"),
    (component("WebClientServer"), "web-client"),
    (component("Certificate"), "certificate"),
    (component("LoadBalancer"), "load-balancer"),
    (component("BackupSnapshots"), "backup"),
    (component("Monitoring"), "monitoring"),
}
WITH_CLIENT_CERTIFICATES = {(component("ClientCertificates"), "client-certificates")}
PROVIDERS = {(AWS_PROVIDER, "aws")}
MAY_BE_LEFT_OUT = {
    outputs.CA_CERTIFICATE,
    outputs.CLIENT_CERTIFICATE_URL,
    outputs.CLIENT_CERTIFICATE_PORT,
    outputs.REPORTING_SECRET_ARN,
    outputs.BACKUP_RETENTION_LIMITS,
    outputs.DATABASE_RESTORED_FROM,
    outputs.DATABASE_RESTORE_MARK,
    outputs.DATABASES_BROUGHT_BY,
    outputs.FILE_STORE_RESTORED,
    outputs.DRILL,
}
EXPECTED_NODES = {
    "dev": PARTS | PROVIDERS,
    "training": PARTS | PROVIDERS,
    "prod": PARTS | WITH_CLIENT_CERTIFICATES | PROVIDERS | {(AWS_PROVIDER, "aws-copies")},
    "local": PARTS | WITH_CLIENT_CERTIFICATES | PROVIDERS,
}


def test_the_stack_consists_of_these_components_and_providers(graph: Graph, stack: str) -> None:
    assert graph.children(f"openerp-{stack}") == EXPECTED_NODES[stack]


def test_every_resource_has_a_component_as_its_parent(graph: Graph, stack: str) -> None:
    components = {r.urn for r in graph.registrations if not r.custom}
    orphans = [
        r.name
        for r in graph.registrations
        if r.parent not in components and (r.type, r.name) not in EXPECTED_NODES[stack]
    ]
    assert orphans == []


def test_every_component_registers_its_outputs(graph: Graph) -> None:
    components = {r.urn for r in graph.registrations if not r.custom}
    assert components <= set(graph.outputs_by_urn)


def test_every_aws_resource_goes_through_a_provider_with_region_and_default_tags(
    graph: Graph, stack: str
) -> None:
    environment = stack_settings(stack)[0]["environment"]
    providers = graph.of(AWS_PROVIDER)
    for provider in providers:
        assert json.loads(provider.inputs["defaultTags"])["tags"] == {
            "Project": "openerp",
            "Stack": stack,
            "Environment": environment,
        }
    assert by_name(graph, AWS_PROVIDER)["aws"]["region"] == stack_settings(stack)[1]["aws:region"]
    through = {r.provider_name for r in graph.registrations if r.type.startswith("aws:")}
    assert through == {p.name for p in providers}


def test_logical_databases_go_through_a_provider_of_their_own(graph: Graph) -> None:
    through = {r.provider_name for r in graph.registrations if r.type.startswith("postgresql:")}
    assert through == {"databases-admin"}


def test_the_outputs_are_the_documented_ones(graph: Graph, stack: str) -> None:
    """An output that is null is not there at all: Pulumi leaves it out."""
    documented = {o.name for o in outputs.OUTPUTS}
    assert documented >= set(graph.stack_outputs) >= documented - MAY_BE_LEFT_OUT
    own = stack_settings(stack)[0]
    assert (outputs.CA_CERTIFICATE in graph.stack_outputs) == (own["access"]["certificate"] == "private")
    for name in (outputs.CLIENT_CERTIFICATE_URL, outputs.CLIENT_CERTIFICATE_PORT):
        assert (name in graph.stack_outputs) == ("clientCertificates" in own)
    assert outputs.REPORTING_SECRET_ARN in graph.stack_outputs
    for name in (outputs.DATABASE_RESTORED_FROM, outputs.FILE_STORE_RESTORED, outputs.DATABASES_BROUGHT_BY):
        assert name not in graph.stack_outputs
    assert (outputs.DRILL in graph.stack_outputs) == ("drill" in own["backup"])
    locked = "vaultLock" in own["backup"]
    assert (outputs.BACKUP_RETENTION_LIMITS in graph.stack_outputs) == locked


def test_exactly_the_outputs_that_are_said_to_be_secret_are(graph: Graph) -> None:
    assert graph.secret_stack_outputs == outputs.SECRET_OUTPUTS


def test_outputs_say_what_the_settings_said(graph: Graph, stack: str) -> None:
    own, rest = stack_settings(stack)
    domain = own["access"]["domain"]
    said: dict[str, Any] = {
        outputs.WEB_URL: f"https://{domain}/",
        outputs.RPC_HOST: domain,
        outputs.RPC_PORT: 443,
        outputs.RPC_PROTOCOL: "xmlrpcs",
        outputs.DATABASE_NAMES: ["openerp", "openerp_test"],
        outputs.WORKING_DATABASE: "openerp",
        outputs.TEST_DATABASE: "openerp_test",
        outputs.TENANTS: {},
        outputs.REGION: rest["aws:region"],
        outputs.RELEASE: own["release"],
        outputs.ENVIRONMENT: own["environment"],
        outputs.OFFER: own["offer"],
        outputs.DASHBOARD_NAME: f"openerp-{stack}",
    }
    assert {name: graph.stack_outputs[name] for name in said} == said
    assert set(graph.stack_outputs[outputs.LOG_GROUPS]) == {"app", "web_client", "database", "flow_logs"}
    assert domain in graph.stack_outputs[outputs.SERVICE_SHEET]["markdown"]


def secret_values(graph: Graph, keys: list[str]) -> set[str]:
    """Return every secret of a run that has a form of its own: passwords, and lines of private keys."""
    passwords = {
        json.loads(version.inputs["secretString"])["password"]
        for version in graph.of("aws:secretsmanager/secretVersion:SecretVersion")
    }
    lines = {max(pem.splitlines(), key=len) for pem in keys}
    return passwords | lines | {"mock-master-password"}


@pytest.mark.parametrize("stack", STACKS)
def test_no_secret_is_in_user_data_in_a_plain_output_or_in_a_plain_input(stack: str) -> None:
    private_key, keys = "tls:index/privateKey:PrivateKey", []

    def answer(name: str, inputs: dict[str, Any]) -> Any:
        made = TLS_ANSWERS[private_key](name, inputs)
        keys.append(str(made["privateKeyPem"]))
        return made

    graph = run_stack(stack, outputs={private_key: answer})

    secrets = secret_values(graph, keys)
    assert len(secrets) == len(graph.of(SECRET)) + len(graph.of(private_key)) + 1
    plain: dict[str, Any] = {
        f"{r.type} {r.name} {key}": value
        for r in graph.registrations
        for key, value in r.inputs.items()
        if key not in r.secret_inputs
    }
    plain |= {f"user data of {t.name}": user_data(t) for t in graph.of(TEMPLATE)}
    for urn, values in graph.outputs_by_urn.items():
        hidden = graph.secret_outputs_by_urn[urn]
        plain |= {f"output {key} of {urn}": v for key, v in values.items() if key not in hidden}
    told = [
        where
        for where, value in plain.items()
        if any(secret in text for text in texts(value) for secret in secrets)
    ]
    assert told == []


def test_user_data_is_a_cloud_config_with_the_names_that_the_server_looks_up(graph: Graph) -> None:
    """That it is valid and complete is held in tests/core/servers."""
    stored = graph.stack_outputs
    assert names_of(graph, TEMPLATE) == {"app-servers", "web-client-servers"}
    for template in graph.of(TEMPLATE):
        text = user_data(template)
        assert text.startswith("#cloud-config\n")
        assert isinstance(yaml.safe_load(text), dict)
        for name in (
            stored[outputs.DATABASE_ADDRESS],
            stored[outputs.APPLICATION_SECRET_ARNS]["openerp"],
            stored[outputs.ADMINISTRATOR_SECRET_ARN],
            stored[outputs.FILE_SYSTEM_ID],
            stored[outputs.ACCESS_POINT_ID],
        ):
            assert name in text, name
        assert stored[outputs.MASTER_SECRET_ARN] not in text


def test_servers_answer_metadata_by_token_only_and_have_encrypted_discs(graph: Graph) -> None:
    for template in graph.of(TEMPLATE):
        metadata = template.inputs["metadataOptions"]
        assert metadata["httpTokens"] == "required"
        assert metadata["httpPutResponseHopLimit"] == 1
        for mapping in template.inputs["blockDeviceMappings"]:
            assert mapping["ebs"]["encrypted"] == "true"
            assert mapping["ebs"]["volumeType"] == "gp3"


def test_servers_and_their_discs_get_the_tags_that_default_tags_do_not_reach(
    graph: Graph, stack: str
) -> None:
    expected = {
        "Project": "openerp",
        "Stack": stack,
        "Environment": stack_settings(stack)[0]["environment"],
    }
    for template in graph.of(TEMPLATE):
        tagged = {s["resourceType"]: s["tags"] for s in template.inputs["tagSpecifications"]}
        assert set(tagged) == {"instance", "volume", "network-interface"}
        for tags in tagged.values():
            assert expected.items() <= tags.items()
    for group in graph.of(GROUP):
        assert all(tag["propagateAtLaunch"] for tag in group.inputs["tags"])
        assert expected.items() <= {t["key"]: t["value"] for t in group.inputs["tags"]}.items()


def test_everything_that_stores_data_is_encrypted(graph: Graph) -> None:
    assert {"database-key", "file-store-key", "backup-key"} <= names_of(graph, KEY)
    assert all(key.inputs["enableKeyRotation"] for key in graph.of(KEY))
    instance = graph.one(INSTANCE).inputs
    assert instance["storageEncrypted"]
    assert instance["kmsKeyId"] == instance["performanceInsightsKmsKeyId"]
    assert instance["kmsKeyId"].endswith(instance["masterUserSecretKmsKeyId"])
    files = graph.one("aws:efs/fileSystem:FileSystem").inputs
    assert files["encrypted"]
    assert files["kmsKeyId"] != instance["kmsKeyId"]
    assert all(v.inputs["kmsKeyArn"] for v in graph.of("aws:backup/vault:Vault"))
    assert {s.inputs["kmsKeyId"] for s in graph.of(SECRET)} == {instance["kmsKeyId"]}
    buckets = names_of(graph, "aws:s3/bucket:Bucket")
    encryption = graph.of(
        "aws:s3/bucketServerSideEncryptionConfiguration:BucketServerSideEncryptionConfiguration"
    )
    assert {r.inputs["bucket"] for r in encryption} == {f"{bucket}-id" for bucket in buckets}


def test_no_bucket_is_public_and_none_answers_without_tls(graph: Graph) -> None:
    buckets = {f"{name}-id" for name in names_of(graph, "aws:s3/bucket:Bucket")}
    blocks = graph.of("aws:s3/bucketPublicAccessBlock:BucketPublicAccessBlock")
    assert {b.inputs["bucket"] for b in blocks} == buckets
    for block in blocks:
        assert all(v for key, v in block.inputs.items() if key != "bucket")
        assert len(block.inputs) == 5
    policies = graph.of("aws:s3/bucketPolicy:BucketPolicy")
    assert {p.inputs["bucket"] for p in policies} == buckets
    for policy in policies:
        first = json.loads(policy.inputs["policy"])["Statement"][0]
        assert (first["Effect"], first["Condition"]) == ("Deny", {"Bool": {"aws:SecureTransport": "false"}})


def test_only_the_listeners_of_the_load_balancer_are_open_to_the_world(graph: Graph, stack: str) -> None:
    world = {
        (rule.inputs["securityGroupId"], rule.inputs["fromPort"], rule.inputs["toPort"])
        for rule in graph.of(INGRESS)
        if "0.0.0.0/0" in rule.inputs.values() or "::/0" in rule.inputs.values()
    }
    ports = {listener.inputs["port"] for listener in graph.of(LISTENER)}
    assert world == {("load-balancer-security-group-id", port, port) for port in ports}
    assert ports == ({80, 443, 8443} if "clientCertificates" in stack_settings(stack)[0] else {80, 443})


def test_the_ways_between_security_groups_are_these_and_no_others(graph: Graph, stack: str) -> None:
    """Inline rules would be ways that no rule resource tells of; there are none."""
    balancer, app, web = "load-balancer-security-group-id", "app-servers-id", "web-client-servers-id"
    database, files = "database-access-id", "file-store-access-id"
    ways = {
        (balancer, app, names.APP_TARGET_PORT),
        (balancer, web, names.WEB_CLIENT_TARGET_PORT),
        *((server, database, names.POSTGRES_PORT) for server in (app, web)),
        *((server, files, names.NFS_PORT) for server in (app, web)),
    }

    def between(rules: list[Registration], source: str, target: str) -> set[tuple[str, str, int]]:
        peers = [r.inputs for r in rules if "referencedSecurityGroupId" in r.inputs]
        assert all(r["fromPort"] == r["toPort"] for r in peers)
        return {(r[source], r[target], r["fromPort"]) for r in peers}

    assert between(graph.of(INGRESS), "referencedSecurityGroupId", "securityGroupId") == ways
    assert between(graph.of(EGRESS), "securityGroupId", "referencedSecurityGroupId") == ways

    by_range = {
        (r.inputs["securityGroupId"], r.inputs["cidrIpv4"])
        for r in graph.of(INGRESS)
        if "cidrIpv4" in r.inputs
    }
    endpoints = stack_settings(stack)[0]["network"].get("interfaceEndpoints", False)
    inside = {("network-endpoints-id", stack_settings(stack)[0]["network"]["cidr"])} if endpoints else set()
    assert by_range == {(balancer, "0.0.0.0/0")} | inside
    outward = {r.inputs["securityGroupId"] for r in graph.of(EGRESS) if "cidrIpv4" in r.inputs}
    assert outward == {app, web}
    for group in graph.of("aws:ec2/securityGroup:SecurityGroup"):
        assert not {"ingress", "egress"} & set(group.inputs)
    closed = graph.one("aws:ec2/defaultSecurityGroup:DefaultSecurityGroup").inputs
    assert closed["ingress"] == closed["egress"] == []


def test_database_server_and_servers_have_no_public_address(graph: Graph) -> None:
    assert graph.one(INSTANCE).inputs["publiclyAccessible"] is False
    assert all(not s.inputs["mapPublicIpOnLaunch"] for s in graph.of("aws:ec2/subnet:Subnet"))
    assert all("networkInterfaces" not in t.inputs for t in graph.of(TEMPLATE))
    subnets = set(graph.one("aws:rds/subnetGroup:SubnetGroup").inputs["subnetIds"])
    assert subnets == {f"{s}-id" for s in names_of(graph, "aws:ec2/subnet:Subnet") if "-data-" in s}
    balancer = graph.one(BALANCER).inputs
    assert all("-public-" in subnet for subnet in balancer["subnets"])
    for group in graph.of(GROUP):
        assert all("-server-" in subnet for subnet in group.inputs["vpcZoneIdentifiers"])


def test_the_application_is_no_superuser_and_what_holds_data_is_not_dropped(graph: Graph, stack: str) -> None:
    roles = by_name(graph, ROLE)
    assert {r["name"] for r in roles.values()} == {names.APPLICATION_ROLE, names.REPORTING_ROLE}
    assert not any(r["superuser"] or r["createRole"] or r["replication"] for r in roles.values())
    development = stack_settings(stack)[0]["environment"] == "development"
    assert roles["databases-application"]["createDatabase"] is development
    assert roles["databases-reporting"]["createDatabase"] is False
    assert all(r.retain_on_delete for r in graph.registrations if r.type.startswith("postgresql:"))
    assert {d.inputs["name"] for d in graph.of(DATABASE)} == {"openerp", "openerp_test"}


def test_servers_wait_for_their_databases(graph: Graph) -> None:
    """Their components wait, and a child is not registered before its parent is."""
    logical = {r.urn for r in graph.registrations if r.type.startswith("postgresql:")}
    for part in (component("AppServer"), component("WebClientServer")):
        assert graph.one(part).depends_on >= logical
    order = [r.urn for r in graph.registrations]
    last = max(order.index(urn) for urn in logical)
    assert all(order.index(group.urn) > last for group in graph.of(GROUP))


def test_a_stack_without_warnings(graph: Graph) -> None:
    assert graph.warnings == []


def test_nothing_is_asked_of_aws_but_account_zone_and_master_password(graph: Graph, stack: str) -> None:
    asked = [token for token, _ in graph.invokes]
    zone = ["aws:route53/getZone:getZone"] if "hostedZone" in stack_settings(stack)[0]["access"] else []
    assert asked == [
        "pulumi:pulumi:readStackOutputs",
        "aws:index/getCallerIdentity:getCallerIdentity",
        *zone,
        "aws:secretsmanager/getSecretVersion:getSecretVersion",
    ]
    assert {graph.invoke_providers[token] for token in asked if token.startswith("aws:")} == {"aws"}


def test_a_first_preview_declares_the_same_resources_as_the_update(graph: Graph, stack: str) -> None:
    """Each decision about the shape falls on what is known before; revocation lists come later."""
    preview = run_stack(stack, preview=True)
    assert {r.urn for r in preview.registrations} == {r.urn for r in graph.registrations}
    assert {r.urn: r.protect for r in preview.registrations} == {
        r.urn: r.protect for r in graph.registrations
    }
