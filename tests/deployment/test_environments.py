"""How production differs from development and training: by its settings alone."""

from __future__ import annotations

import json

from tests.components.conftest import Graph
from tests.deployment.conftest import GraphOf
from tests.deployment.looking import (
    ALARM,
    AWS_PROVIDER,
    BALANCER,
    GROUP,
    INSTANCE,
    KEY,
    LISTENER,
    LOCK,
    SECRET,
    SNAPSHOT,
    VAULT,
    by_name,
    component,
    names,
    shape,
)
from tests.deployment.program import run_stack, stack_settings


def protected(graph: Graph) -> set[str]:
    return {r.name for r in graph.registrations if r.protect}


def test_production_protects_everything_that_holds_data_and_every_key_to_it(graph_of: GraphOf) -> None:
    graph = graph_of("prod")
    assert protected(graph) == {
        "database-instance",
        "database-key",
        "databases-seed",
        "databases-working",
        "databases-test",
        "file-store-files",
        "file-store-key",
        "backup-vault",
        "backup-key",
        "backup-copy-vault",
        "backup-copy-key",
        "operations-store-bucket",
    }
    for type_ in (INSTANCE, KEY, VAULT, "aws:efs/fileSystem:FileSystem"):
        assert all(r.protect for r in graph.of(type_)), type_
    kept = {r.name for r in graph.registrations if r.retain_on_delete and r.type.startswith("aws:")}
    assert {"database-instance", "file-store-files", "file-store-key", "database-key"} <= kept
    assert "operations-store-bucket" in kept


def test_nothing_is_protected_elsewhere_and_only_files_backups_and_their_keys_outlive_the_stack(
    graph_of: GraphOf,
) -> None:
    for stack in ("dev", "training", "local"):
        graph = graph_of(stack)
        assert protected(graph) == set()
        kept = {r.name for r in graph.registrations if r.retain_on_delete and r.type.startswith("aws:")}
        files, vault = {"file-store-files", "file-store-key"}, {"backup-vault", "backup-key"}
        assert kept == {"database-key"} | files | vault | names(graph, SNAPSHOT)


def test_production_survives_the_loss_of_a_zone(graph_of: GraphOf) -> None:
    graph = graph_of("prod")
    assert graph.one(INSTANCE).inputs["multiAz"] is True
    assert len(graph.of("aws:ec2/natGateway:NatGateway")) == 3
    assert {g.inputs["minSize"] for g in graph.of(GROUP)} == {2}
    assert {len(g.inputs["vpcZoneIdentifiers"]) for g in graph.of(GROUP)} == {3}
    assert len(graph.one(BALANCER).inputs["subnets"]) == 3


def test_aws_itself_refuses_to_delete_productions_data(graph_of: GraphOf) -> None:
    graph = graph_of("prod")
    assert graph.one(INSTANCE).inputs["deletionProtection"] is True
    assert graph.one(BALANCER).inputs["enableDeletionProtection"] is True
    assert {s.inputs["recoveryWindowInDays"] for s in graph.of(SECRET)} == {30}
    assert {b.inputs["forceDestroy"] for b in graph.of("aws:s3/bucket:Bucket") if "logs" in b.name} == {False}


def test_productions_vaults_are_locked_for_good_after_three_days(graph_of: GraphOf) -> None:
    graph = graph_of("prod")
    assert names(graph, LOCK) == {"backup-lock", "backup-copy-lock"}
    for lock in graph.of(LOCK):
        assert lock.inputs["minRetentionDays"] == 7
        assert lock.inputs["maxRetentionDays"] == 400
        assert lock.inputs["changeableForDays"] == 3
    for rule in graph.one("aws:backup/plan:Plan").inputs["rules"]:
        assert 7 <= rule["lifecycle"]["deleteAfter"] <= 400


def test_productions_backups_are_copied_to_a_vault_in_the_second_region(graph_of: GraphOf) -> None:
    graph = graph_of("prod")
    providers = by_name(graph, AWS_PROVIDER)
    assert providers["aws-copies"]["region"] == "eu-west-1"
    assert providers["aws"]["region"] == "eu-central-1"
    abroad = {r.name for r in graph.registrations if r.provider_name == "aws-copies"}
    assert abroad == {"backup-copy-key", "backup-copy-vault", "backup-copy-lock"}
    for rule in graph.one("aws:backup/plan:Plan").inputs["rules"]:
        (copy,) = rule["copyActions"]
        assert copy["destinationVaultArn"].endswith(":backup-copy-vault")
        assert copy["lifecycle"] == rule["lifecycle"]
    told = json.loads(
        graph.one("aws:cloudwatch/eventRule:EventRule", "monitoring-copy-failed").inputs["eventPattern"]
    )
    assert told["detail-type"] == ["Copy Job State Change"]


def test_production_proves_its_backups_and_tells_when_nobody_did(graph_of: GraphOf) -> None:
    graph = graph_of("prod")
    plan = graph.one("aws:backup/restoreTestingPlan:RestoreTestingPlan").inputs
    assert plan["name"] == "openerp_prod"
    assert plan["scheduleExpression"] == "cron(0 8 ? * SUN *)"
    alarm = graph.one(ALARM, "monitoring-drill-too-old").inputs
    assert (alarm["dimensions"], alarm["threshold"]) == ({"Stack": "prod"}, 35)
    assert graph.stack_outputs["drill"] == {"max_age_days": 35}
    for stack in ("dev", "training", "local"):
        assert "monitoring-drill-too-old" not in names(graph_of(stack), ALARM)


def test_production_has_a_firewall_a_client_certificate_listener_alarms_and_somebody_to_tell(
    graph_of: GraphOf,
) -> None:
    graph = graph_of("prod")
    assert len(graph.of("aws:wafv2/webAclAssociation:WebAclAssociation")) == 1
    assert graph.one(LISTENER, "load-balancer-client-certificate").inputs["port"] == 8443
    assert len(graph.of(ALARM)) == 11
    assert len(graph.of("aws:sns/topicSubscription:TopicSubscription")) == 1
    assert len(graph.of("aws:budgets/budget:Budget")) == 1


def test_development_and_training_are_cheap(graph_of: GraphOf) -> None:
    for stack in ("dev", "training"):
        graph = graph_of(stack)
        instance = graph.one(INSTANCE).inputs
        assert instance["instanceClass"].startswith("db.t4g.")
        assert instance["multiAz"] is False
        assert instance["backupRetentionPeriod"] == 1
        assert instance["monitoringInterval"] == 0
        templates = graph.of("aws:ec2/launchTemplate:LaunchTemplate")
        assert all(t.inputs["instanceType"].startswith("t4g.") for t in templates)
        assert {g.inputs["minSize"] for g in graph.of(GROUP)} == {1}
        assert len(graph.of("aws:ec2/natGateway:NatGateway")) == 1
        assert {e.inputs["vpcEndpointType"] for e in graph.of("aws:ec2/vpcEndpoint:VpcEndpoint")} == {
            "Gateway"
        }
        for absent in (
            component("WebAcl"),
            component("ClientCertificates"),
            LOCK,
            "aws:lb/trustStore:TrustStore",
            "aws:budgets/budget:Budget",
        ):
            assert graph.of(absent) == [], absent
        assert len(graph.of(VAULT)) == 1
        (rule,) = graph.one("aws:backup/plan:Plan").inputs["rules"]
        assert rule["lifecycle"] == {"deleteAfter": 7}
        assert {s.inputs["recoveryWindowInDays"] for s in graph.of(SECRET)} == {0}


def test_development_never_has_more_than_one_server_a_role(graph_of: GraphOf) -> None:
    assert {g.inputs["maxSize"] for g in graph_of("dev").of(GROUP)} == {1}


def test_the_networks_of_the_stacks_do_not_overlap(graph_of: GraphOf) -> None:
    ranges = {stack_settings(s)[0]["network"]["cidr"] for s in ("dev", "training", "prod", "local")}
    assert len(ranges) == 4
    for stack in ("dev", "training", "prod", "local"):
        own = stack_settings(stack)[0]["network"]["cidr"]
        assert graph_of(stack).one("aws:ec2/vpc:Vpc").inputs["cidrBlock"] == own


def test_nothing_depends_on_what_a_stack_is_called(graph_of: GraphOf) -> None:
    """The same settings under another name give the same resources with another name in them."""
    for stack in ("dev", "prod"):
        renamed = run_stack(stack, name="elsewhere")
        before = {urn.split("::", 2)[2] for urn in shape(graph_of(stack))}
        assert {urn.split("::", 2)[2] for urn in shape(renamed)} == before
        assert {r.name for r in renamed.registrations if r.protect} == protected(graph_of(stack))
        assert len(renamed.stack_outputs) == len(graph_of(stack).stack_outputs)
