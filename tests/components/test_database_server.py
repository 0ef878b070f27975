"""What a `DatabaseServer` registers. Not proven: that RDS accepts it."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest

from components.database_server import (
    BACKUP_WINDOW,
    MAINTENANCE_WINDOW,
    DatabaseServer,
    DatabaseServerArgs,
    parameter_group_family,
)
from tests.components.conftest import Deploy, Graph, Registration


def server(deploy: Deploy, *, preview: bool = False, outputs: Any = None, **changes: Any) -> Graph:
    values: dict[str, Any] = {
        "vpc_id": "vpc-1",
        "subnet_ids": ["subnet-1", "subnet-2"],
        "key_alias": "openerp-test-database",
        "engine_version": "16",
        "instance_class": "db.t4g.micro",
        "allocated_storage_gb": 20,
        "max_allocated_storage_gb": 100,
        "parameters": {"max_connections": "120", "work_mem": "8192"},
        "final_snapshot_identifier": "openerp-test-final",
        **changes,
    }
    return deploy(
        lambda: DatabaseServer("database", DatabaseServerArgs(**values)), preview=preview, outputs=outputs
    )


def instance(graph: Graph) -> Registration:
    return graph.one("aws:rds/instance:Instance")


def test_a_database_server_has_exactly_these_children(deploy: Deploy) -> None:
    assert server(deploy).children("database") == {
        ("aws:kms/key:Key", "database-key"),
        ("aws:kms/alias:Alias", "database-key"),
        ("aws:ec2/securityGroup:SecurityGroup", "database-access"),
        ("aws:rds/subnetGroup:SubnetGroup", "database-subnets"),
        ("aws:rds/parameterGroup:ParameterGroup", "database-parameters"),
        ("aws:rds/instance:Instance", "database-instance"),
    }


def test_data_is_encrypted_with_a_key_that_rotates_and_outlives_the_stack(deploy: Deploy) -> None:
    graph = server(deploy)
    key = graph.one("aws:kms/key:Key")
    assert key.inputs["enableKeyRotation"] is True
    assert key.retain_on_delete
    inputs = instance(graph).inputs
    assert inputs["storageEncrypted"] is True
    assert inputs["kmsKeyId"].endswith(":database-key")
    assert inputs["performanceInsightsKmsKeyId"].endswith(":database-key")
    assert inputs["masterUserSecretKmsKeyId"] == "database-key-key-id"
    assert graph.one("aws:kms/alias:Alias").inputs["name"] == "alias/openerp-test-database"


def test_the_server_is_private_has_tls_only_and_no_password_in_the_program(deploy: Deploy) -> None:
    graph = server(deploy)
    inputs = instance(graph).inputs
    assert inputs["publiclyAccessible"] is False
    assert inputs["manageMasterUserPassword"] is True
    assert "password" not in inputs
    parameters = {
        p["name"]: p for p in graph.one("aws:rds/parameterGroup:ParameterGroup").inputs["parameters"]
    }
    assert parameters["rds.force_ssl"]["value"] == "1"
    assert inputs["enabledCloudwatchLogsExports"] == ["postgresql", "upgrade"]


def test_sizing_cannot_switch_tls_off(deploy: Deploy) -> None:
    graph = server(deploy, parameters={"rds.force_ssl": "0"})
    parameters = graph.one("aws:rds/parameterGroup:ParameterGroup").inputs["parameters"]
    assert [p["value"] for p in parameters if p["name"] == "rds.force_ssl"] == ["1"]


def test_static_parameters_wait_for_a_restart_and_dynamic_ones_apply_at_once(deploy: Deploy) -> None:
    group = server(deploy).one("aws:rds/parameterGroup:ParameterGroup")
    methods = {p["name"]: p["applyMethod"] for p in group.inputs["parameters"]}
    assert methods["max_connections"] == "pending-reboot"
    assert methods["work_mem"] == "immediate"
    assert methods["log_min_duration_statement"] == "immediate"
    assert group.inputs["family"] == "postgres16"


def test_only_the_named_ranges_may_connect_and_nothing_may_go_out(deploy: Deploy) -> None:
    graph = server(deploy, admin_cidrs=["10.9.0.0/24"])
    rules = graph.of("aws:vpc/securityGroupIngressRule:SecurityGroupIngressRule")
    assert {r.name: r.inputs["cidrIpv4"] for r in rules} == {"database-from-10.9.0.0-24": "10.9.0.0/24"}
    assert {(r.inputs["fromPort"], r.inputs["toPort"], r.inputs["ipProtocol"]) for r in rules} == {
        (5432, 5432, "tcp")
    }
    group = graph.one("aws:ec2/securityGroup:SecurityGroup")
    assert "ingress" not in group.inputs
    assert "egress" not in group.inputs
    assert graph.of("aws:vpc/securityGroupEgressRule:SecurityGroupEgressRule") == []


def test_a_protected_server_is_protected_everywhere(deploy: Deploy) -> None:
    graph = server(deploy, protect=True, deletion_protection=True, multi_az=True)
    assert instance(graph).protect
    assert instance(graph).retain_on_delete
    assert graph.one("aws:kms/key:Key").protect
    assert instance(graph).inputs["deletionProtection"] is True
    assert instance(graph).inputs["deleteAutomatedBackups"] is False
    assert instance(graph).inputs["multiAz"] is True


def test_an_unprotected_server_can_go_but_leaves_a_named_snapshot(deploy: Deploy) -> None:
    graph = server(deploy)
    assert not instance(graph).protect
    assert not instance(graph).retain_on_delete
    assert instance(graph).inputs["skipFinalSnapshot"] is False
    assert instance(graph).inputs["finalSnapshotIdentifier"].startswith("openerp-test-final-")


def final_name(graph: Graph) -> str:
    return str(instance(graph).inputs["finalSnapshotIdentifier"])


def test_the_final_snapshot_has_another_name_in_each_life_of_the_server(deploy: Deploy) -> None:
    lives: list[dict[str, Any]] = [
        {},
        {"snapshot_identifier": "openerp-prod-go-live"},
        {"snapshot_identifier": "openerp-prod-go-live", "restore_mark": "again"},
        {"snapshot_identifier": "openerp-prod-march"},
    ]
    names = {final_name(server(deploy, **life)) for life in lives}
    assert len(names) == len(lives)
    assert all(re.fullmatch("openerp-test-final-[0-9a-f]{8}", name) for name in names)


def test_a_server_that_is_restored_to_the_same_snapshot_later_gets_a_new_name_again(deploy: Deploy) -> None:
    """The mark of its life went when another snapshot took its place; a key that is made anew is another."""

    def life(number: int) -> str:
        pem = f"-----BEGIN PUBLIC KEY-----\n{number}\n-----END PUBLIC KEY-----\n"
        keys = {"tls:index/privateKey:PrivateKey": lambda name, inputs: {"publicKeyPem": pem}}
        return final_name(server(deploy, outputs=keys, snapshot_identifier="openerp-test-monday"))

    assert life(1) != life(2)


def test_a_restored_server_keeps_the_key_of_its_snapshot(deploy: Deploy) -> None:
    restored = instance(server(deploy, snapshot_identifier="openerp-prod-go-live", restores=True))
    assert restored.inputs["snapshotIdentifier"] == "openerp-prod-go-live"
    assert restored.ignore_changes == ("kmsKeyId",)
    assert "snapshotIdentifier" not in instance(server(deploy)).inputs


def test_a_protected_server_can_be_replaced_by_a_restore_and_stays_beside_it(deploy: Deploy) -> None:
    """The engine looks whether both the former and the new one are protected; what becomes of the former
    one was said when it was registered last."""
    graph = server(deploy, protect=True, snapshot_identifier="openerp-prod-go-live", restores=True)
    assert not instance(graph).protect
    assert instance(graph).retain_on_delete
    assert instance(graph).replace_on_changes == ("finalSnapshotIdentifier",)
    assert graph.one("aws:kms/key:Key").protect


def test_a_server_stays_what_it_was_made_from_as_long_as_no_restore_is_asked_for(deploy: Deploy) -> None:
    remembered = instance(server(deploy, protect=True, snapshot_identifier="a", snapshot_remembered=True))
    assert remembered.ignore_changes == ("kmsKeyId", "snapshotIdentifier", "finalSnapshotIdentifier")
    assert remembered.replace_on_changes == ()
    assert remembered.protect


def test_what_rds_refuses_to_delete_does_not_make_a_restore_fail(deploy: Deploy) -> None:
    assert instance(server(deploy, deletion_protection=True)).retain_on_delete


def test_a_version_pinned_to_its_minor_is_not_updated_behind_the_programs_back(deploy: Deploy) -> None:
    assert instance(server(deploy, engine_version="16")).inputs["autoMinorVersionUpgrade"] is True
    assert instance(server(deploy, engine_version="16.9")).inputs["autoMinorVersionUpgrade"] is False
    assert parameter_group_family("16.9") == "postgres16"


@pytest.mark.parametrize("interval", [0, 60])
def test_enhanced_monitoring_has_a_role_only_when_it_is_on(deploy: Deploy, interval: int) -> None:
    graph = server(deploy, monitoring_interval_seconds=interval)
    roles = graph.of("aws:iam/role:Role")
    assert len(roles) == (1 if interval else 0)
    if interval:
        trust = json.loads(roles[0].inputs["assumeRolePolicy"])
        assert trust["Statement"][0]["Principal"] == {"Service": "monitoring.rds.amazonaws.com"}
        assert instance(graph).inputs["monitoringRoleArn"].endswith(":database-monitoring")


def test_without_performance_insights_nothing_of_it_is_set(deploy: Deploy) -> None:
    inputs = instance(server(deploy, performance_insights=False)).inputs
    assert inputs["performanceInsightsEnabled"] is False
    assert "performanceInsightsKmsKeyId" not in inputs


def test_the_windows_of_rds_leave_the_usual_backup_time_free() -> None:
    assert BACKUP_WINDOW < "03:00"
    assert MAINTENANCE_WINDOW.partition(":")[2] > "04:00"


def test_the_outputs_name_what_others_need_and_no_password(deploy: Deploy) -> None:
    outputs = server(deploy).outputs_of("database")
    assert outputs["address"] == "database-instance.example.internal"
    assert outputs["port"] == 5432
    assert outputs["instance_identifier"] == "database-instance-identifier"
    assert outputs["master_secret_arn"].endswith("secret:rds-database-instance")
    assert outputs["log_group_name"] == "/aws/rds/instance/database-instance-identifier/postgresql"
    assert set(outputs) == {
        "instance_identifier",
        "instance_arn",
        "address",
        "port",
        "master_secret_arn",
        "kms_key_arn",
        "security_group_id",
        "subnet_group_name",
        "parameter_group_name",
        "log_group_name",
        "final_snapshot_identifier",
    }


def test_a_first_preview_needs_no_value_that_only_rds_knows(deploy: Deploy) -> None:
    assert len(server(deploy, preview=True).children("database")) == 6
