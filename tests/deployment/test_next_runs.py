"""What the last run of a stack, or of another one, decides in the next: its outputs are fed back."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pulumi
import pytest
from cryptography import x509

from core import outputs
from core.revocation import REVOKED_PREFIX
from tests.components.conftest import Graph, InvokeRefused
from tests.components.tls_answers import TLS_ANSWERS
from tests.deployment.conftest import GraphOf
from tests.deployment.looking import (
    DATABASE,
    GRANT,
    INSTANCE,
    LISTENER,
    ROLE,
    SECRET,
    SNAPSHOT,
    component,
    shape,
)
from tests.deployment.program import run_stack

REVOCATION = "aws:lb/trustStoreRevocation:TrustStoreRevocation"
LIST = "client-certificates-revocation-list"
FIRST = {"number": 1, "name": "accounting-desktop"}
POSTGRESQL = "pulumi:providers:postgresql"


def revoked(graph: Graph) -> set[str]:
    content = graph.one("aws:s3/bucketObjectv2:BucketObjectv2", LIST).inputs["content"]
    return {str(entry.serial_number) for entry in x509.load_pem_x509_crl(content.encode())}


def refusal(stack: str, changes: dict[str, Any], **more: Any) -> str:
    """Return the message of a run that must be refused, with nothing registered."""
    graph = Graph()
    with pytest.raises(pulumi.RunError) as caught:
        run_stack(stack, changes, graph=graph, **more)
    assert graph.registrations == []
    return str(caught.value)


def test_the_same_settings_again_change_nothing(graph: Graph, stack: str) -> None:
    again = run_stack(stack, before=graph.stack_outputs)
    assert shape(again) == shape(graph)
    assert again.stack_outputs == graph.stack_outputs


def test_a_removed_client_certificate_is_on_the_revocation_list(graph_of: GraphOf) -> None:
    before = graph_of("prod").stack_outputs
    assert graph_of("prod").of(REVOCATION) == []
    left = before[outputs.CLIENT_CERTIFICATES]["2"]["serial"]

    graph = run_stack("prod", {"clientCertificates": [FIRST]}, before=before)

    assert revoked(graph) == {left}
    assert graph.one(REVOCATION).inputs["revocationsS3Key"].startswith("revoked-")
    ledger = graph.stack_outputs[outputs.ISSUED_CLIENT_CERTIFICATES]
    assert ledger[left] == f"{REVOKED_PREFIX}2 webshop-integration"
    assert set(graph.stack_outputs[outputs.CLIENT_CERTIFICATES]) == {"1"}
    listener = graph.one(LISTENER, "load-balancer-client-certificate")
    assert any(urn.endswith("-revocation") for urn in listener.depends_on)
    preview = run_stack("prod", {"clientCertificates": [FIRST]}, before=before, preview=True)
    assert {r.urn for r in preview.registrations} == {r.urn for r in graph.registrations}


def test_a_revoked_certificate_stays_revoked_when_its_name_comes_back(graph_of: GraphOf) -> None:
    before = graph_of("prod").stack_outputs
    left = before[outputs.CLIENT_CERTIFICATES]["2"]["serial"]
    without = run_stack("prod", {"clientCertificates": [FIRST]}, before=before)
    renewed = {"tls:index/locallySignedCert:LocallySignedCert": _newly_signed}

    again = run_stack("prod", before=without.stack_outputs, outputs=renewed)

    assert revoked(again) == {left}
    assert again.stack_outputs[outputs.CLIENT_CERTIFICATES]["2"]["serial"] != left


def _newly_signed(name: str, inputs: dict[str, Any]) -> Mapping[str, Any]:
    return TLS_ANSWERS["tls:index/locallySignedCert:LocallySignedCert"](name, inputs)


def test_the_last_client_certificate_leaves_a_listener_that_refuses_it(graph_of: GraphOf) -> None:
    before = graph_of("prod").stack_outputs

    graph = run_stack("prod", {"clientCertificates": []}, before=before)

    assert revoked(graph) == set(before[outputs.ISSUED_CLIENT_CERTIFICATES])
    assert graph.one(LISTENER, "load-balancer-client-certificate")
    assert graph.stack_outputs[outputs.CLIENT_CERTIFICATES] == {}


def test_a_stack_that_never_had_client_certificates_has_no_listener_for_them() -> None:
    graph = run_stack("prod", {"clientCertificates": []})
    assert graph.of(component("ClientCertificates")) == []
    assert {x.inputs["port"] for x in graph.of(LISTENER)} == {80, 443}
    assert graph.stack_outputs[outputs.CLIENT_CERTIFICATES] == {}
    assert graph.secret_stack_outputs == {outputs.CLIENT_CERTIFICATES}
    assert outputs.CLIENT_CERTIFICATE_URL not in graph.stack_outputs


def test_a_database_server_starts_from_a_checkpoint_of_its_own_stack(graph_of: GraphOf) -> None:
    before = graph_of("training").stack_outputs
    snapshot = before[outputs.CHECKPOINT_SNAPSHOTS]["course-start"]

    graph = run_stack("training", {"database.restoreFrom": "course-start"}, before=before)

    instance = graph.one(INSTANCE)
    assert instance.inputs["snapshotIdentifier"] == snapshot
    assert "kmsKeyId" in instance.ignore_changes
    final = graph_of("training").one(INSTANCE).inputs["finalSnapshotIdentifier"]
    assert instance.inputs["finalSnapshotIdentifier"].startswith(f"{final}-")
    assert len(graph.of(DATABASE)) == 2
    assert graph.warnings == []


def test_a_database_server_starts_from_a_checkpoint_of_another_stack(graph_of: GraphOf) -> None:
    production = graph_of("prod").stack_outputs

    graph = run_stack("training", {"database.restoreFrom": "prod/opening"}, others={"prod": production})

    snapshot = production[outputs.CHECKPOINT_SNAPSHOTS]["opening"]
    assert graph.one(INSTANCE).inputs["snapshotIdentifier"] == snapshot
    assert graph.of(DATABASE) == graph.of(ROLE) == graph.of(GRANT) == graph.of(POSTGRESQL) == []
    (warning,) = graph.warnings
    assert "prod/opening" in warning
    assert "brings its own" in warning


def test_a_database_server_starts_from_a_snapshot_by_its_name() -> None:
    graph = run_stack("training", {"database.restoreFrom": "snapshot:openerp-prod-final-12345678"})
    assert graph.one(INSTANCE).inputs["snapshotIdentifier"] == "openerp-prod-final-12345678"
    assert len(graph.warnings) == 1


def test_an_unknown_checkpoint_is_refused_with_those_that_there_are(graph_of: GraphOf) -> None:
    before = graph_of("training").stack_outputs
    text = refusal("training", {"database.restoreFrom": "course-end"}, before=before)
    assert "openerp:database.restoreFrom" in text
    assert "(it has: course-start)" in text
    text = refusal("training", {"database.restoreFrom": "prod/closing"}, others={"prod": {}})
    assert "stack prod does not have (it has: none)" in text


def test_a_checkpoint_of_an_unknown_stack_is_refused_in_plain_words() -> None:
    text = refusal("training", {"database.restoreFrom": "prdo/opening"})
    assert "openerp:database.restoreFrom: names stack 'prdo', which cannot be read" in text


BEFORE_UPGRADE = {
    outputs.RELEASE: "18.0",
    outputs.CHECKPOINT_SNAPSHOTS: {"opening": "openerp-prod-opening-12345678"},
}
PERMITTED = {"allowUpgradeTo": "19.0", "upgradeCheckpoint": "opening"}


def test_an_upgrade_is_refused_until_it_is_permitted() -> None:
    text = refusal("prod", {}, before=BEFORE_UPGRADE)
    assert "openerp:release: 18.0 to 19.0 is an upgrade, and `openerp:allowUpgradeTo` is not set" in text


def test_an_upgrade_is_refused_while_its_checkpoint_is_only_in_the_settings() -> None:
    text = refusal("prod", PERMITTED, before={outputs.RELEASE: "18.0"})
    assert "checkpoint 'opening' does not exist" in text


def test_an_upgrade_with_permission_and_checkpoint_changes_the_servers(graph_of: GraphOf) -> None:
    graph = run_stack("prod", PERMITTED, before=BEFORE_UPGRADE)
    assert graph.stack_outputs[outputs.RELEASE] == "19.0"
    assert {r.urn for r in graph.registrations} == {r.urn for r in graph_of("prod").registrations}


def test_a_downgrade_is_refused_whatever_is_permitted() -> None:
    text = refusal("prod", PERMITTED, before={**BEFORE_UPGRADE, outputs.RELEASE: "20.0"})
    assert "19.0 is older than 20.0, which is running" in text


def test_without_access_to_the_server_logical_databases_are_left_out_with_a_warning() -> None:
    graph = run_stack("dev", {"database.adminAccess": {"mode": "none"}})
    assert [r.name for r in graph.registrations if r.type.startswith("postgresql:")] == []
    assert graph.of(POSTGRESQL) == []
    assert all(token != "aws:secretsmanager/getSecretVersion:getSecretVersion" for token, _ in graph.invokes)
    assert any("adminAccess.mode" in warning for warning in graph.warnings)
    assert {s.name for s in graph.of(SECRET)} == {"databases-application", "databases-administrator"}
    assert outputs.REPORTING_SECRET_ARN not in graph.stack_outputs
    assert graph.stack_outputs[outputs.DATABASE_NAMES] == ["openerp", "openerp_test"]


def test_through_a_tunnel_the_engine_goes_to_its_near_end_and_servers_do_not(graph_of: GraphOf) -> None:
    tunnel = {"mode": "tunnel", "host": "127.0.0.1", "port": 15432}
    graph = run_stack("dev", {"database.adminAccess": tunnel})
    provider = graph.one(POSTGRESQL).inputs
    assert (provider["host"], provider["port"]) == ("127.0.0.1", "15432")
    direct = graph_of("dev")
    assert direct.one(POSTGRESQL).inputs["host"] == direct.stack_outputs[outputs.DATABASE_ADDRESS]
    changed = {urn for urn, inputs in shape(graph).items() if inputs != shape(direct)[urn]}
    assert changed == {graph.one(POSTGRESQL).urn}
    assert graph.warnings == []


def test_a_removed_checkpoint_is_forgotten_and_not_deleted(graph_of: GraphOf) -> None:
    before = graph_of("training").stack_outputs
    (snapshot,) = graph_of("training").of(SNAPSHOT)
    assert snapshot.retain_on_delete
    graph = run_stack("training", {"backup.checkpoints": []}, before=before)
    assert graph.of(SNAPSHOT) == []
    assert graph.stack_outputs[outputs.CHECKPOINT_SNAPSHOTS] == {}


def test_a_hosted_zone_that_is_not_there_is_refused_in_plain_words() -> None:
    def no_zone(arguments: dict[str, Any]) -> Mapping[str, Any]:
        raise InvokeRefused("no matching Route 53 Hosted Zone found")

    graph = Graph()
    with pytest.raises(pulumi.RunError) as caught:
        run_stack("dev", invokes={"aws:route53/getZone:getZone": no_zone}, graph=graph)
    assert "openerp:access.hostedZone: example.com was not found" in str(caught.value)
    assert {r.type for r in graph.registrations} == {"pulumi:providers:aws"}
