"""What the last run of a stack, or of another one, decides in the next: its outputs are fed back."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pulumi
import pytest
from cryptography import x509

from core import outputs
from core.revocation import REVOKED_PREFIX
from tests.components.conftest import Graph, InvokeRefused, Registration
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
    TEMPLATE,
    component,
    shape,
    texts,
    user_data,
)
from tests.deployment.program import run_stack

REVOCATION = "aws:lb/trustStoreRevocation:TrustStoreRevocation"
LIST = "client-certificates-revocation-list"
FIRST = {"number": 1, "name": "accounting-desktop"}
FILE_SYSTEM = "aws:efs/fileSystem:FileSystem"
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
    assert "snapshotIdentifier" not in instance.ignore_changes
    final = graph_of("training").one(INSTANCE).inputs["finalSnapshotIdentifier"]
    assert instance.inputs["finalSnapshotIdentifier"] != final
    assert len(graph.of(DATABASE)) == 2
    assert graph.stack_outputs[outputs.DATABASE_RESTORED_FROM] == snapshot
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


OWN = {"database.restoreFrom": "snapshot:openerp-prod-before-20270101"}


def by_urn(graph: Graph) -> dict[str, Registration]:
    """Return everything with its options: what an engine compares a run with the last one by."""
    return {registration.urn: registration for registration in graph.registrations}


def test_a_protected_stack_is_restored_in_one_run_and_protected_again_in_the_next(graph_of: GraphOf) -> None:
    before = graph_of("prod")
    assert before.one(INSTANCE).protect
    assert before.one(INSTANCE).retain_on_delete, "what the restore replaces is kept"

    restored = run_stack("prod", OWN, before=before.stack_outputs)

    instance = restored.one(INSTANCE)
    assert (instance.protect, instance.retain_on_delete) == (False, True)
    assert instance.replace_on_changes == ("finalSnapshotIdentifier",)
    others = {r.urn for r in restored.registrations if r.protect} | {instance.urn}
    assert others == {r.urn for r in before.registrations if r.protect}
    for ending in ("instance", "working", "test"):
        assert any(urn.endswith(f"-{ending}") for urn in others)
    assert restored.stack_outputs[outputs.DATABASE_RESTORED_FROM] == "openerp-prod-before-20270101"
    again = run_stack("prod", OWN, before=restored.stack_outputs)
    assert again.one(INSTANCE).protect
    assert "snapshotIdentifier" in again.one(INSTANCE).ignore_changes
    assert again.stack_outputs == restored.stack_outputs
    assert shape(again) == shape(restored)


def test_taking_the_restore_out_of_the_settings_changes_nothing(graph_of: GraphOf) -> None:
    restored = run_stack("prod", OWN, before=graph_of("prod").stack_outputs)
    again = run_stack("prod", OWN, before=restored.stack_outputs)

    without = run_stack("prod", before=again.stack_outputs)

    assert by_urn(without) == by_urn(again)
    assert without.stack_outputs == again.stack_outputs


def test_the_same_snapshot_is_restored_again_by_another_mark(graph_of: GraphOf) -> None:
    before = graph_of("training").stack_outputs
    names = []
    for mark in ("monday", "tuesday"):
        wanted = {"database.restoreFrom": f"course-start@{mark}"}
        graph = run_stack("training", wanted, before=before)
        instance = graph.one(INSTANCE)
        assert instance.replace_on_changes == ("finalSnapshotIdentifier",)
        names.append(instance.inputs["finalSnapshotIdentifier"])
        before = graph.stack_outputs
        assert before[outputs.DATABASE_RESTORE_MARK] == mark
        assert run_stack("training", wanted, before=before).one(INSTANCE).replace_on_changes == ()
    assert len(set(names)) == 2


def test_databases_that_a_snapshot_brought_stay_out_when_it_leaves_the_settings(graph_of: GraphOf) -> None:
    production = graph_of("prod").stack_outputs
    changes = {"database.restoreFrom": "prod/opening"}
    before = run_stack("training", changes, others={"prod": production})

    graph = run_stack("training", before=before.stack_outputs)

    assert graph.of(DATABASE) == graph.of(POSTGRESQL) == []
    assert shape(graph) == shape(before)
    (warning,) = graph.warnings
    assert "brought its own" in warning
    course = {"database.restoreFrom": "snapshot:openerp-training-course-start"}
    own = run_stack("training", course, before=graph.stack_outputs)
    assert own.one(INSTANCE).inputs["snapshotIdentifier"] == "openerp-training-course-start"
    assert own.of(DATABASE) == []


def test_another_stacks_snapshot_does_not_replace_protected_databases(graph_of: GraphOf) -> None:
    changes = {"database.restoreFrom": "snapshot:openerp-staging-final-12345678"}
    text = refusal("prod", changes, before=graph_of("prod").stack_outputs)
    assert "openerp:database.restoreFrom: names a snapshot of another stack" in text


FILES = {"fileSystemId": "fs-0123456789abcdef0", "path": "/aws-backup-restore_2027-01-01T10-11-12Z/odoo"}


def test_everything_follows_a_restored_file_system(graph_of: GraphOf) -> None:
    before = graph_of("prod")
    old = before.stack_outputs[outputs.FILE_SYSTEM_ID]
    assert before.one(FILE_SYSTEM).retain_on_delete, "what the restore replaces is kept"

    graph = run_stack("prod", {"fileStore.restored": FILES}, before=before.stack_outputs)

    assert {r.urn for r in graph.registrations} == {r.urn for r in before.registrations}
    assert graph.one(FILE_SYSTEM).read_id == FILES["fileSystemId"]
    said = [text for r in graph.registrations for text in texts(r.inputs)]
    said += [user_data(template) for template in graph.of(TEMPLATE)]
    assert not [text for text in said if old in text]
    (_, selected) = graph.one("aws:backup/selection:Selection").inputs["resources"]
    assert selected.endswith(FILES["fileSystemId"])
    stored = graph.stack_outputs
    assert stored[outputs.FILE_SYSTEM_ID] == FILES["fileSystemId"]
    assert stored[outputs.FILE_SYSTEM_PATH] == FILES["path"]
    kept = {"file_system_id": FILES["fileSystemId"], "path": FILES["path"]}
    assert stored[outputs.FILE_STORE_RESTORED] == kept
    without = run_stack("prod", before=stored)
    assert by_urn(without) == by_urn(graph)
    assert without.stack_outputs == stored


def test_a_way_back_to_the_former_file_system_is_another_restore(graph_of: GraphOf) -> None:
    before = graph_of("prod").stack_outputs
    own = before[outputs.FILE_SYSTEM_ID]
    there = run_stack("prod", {"fileStore.restored": FILES}, before=before).stack_outputs
    back = {"fileStore.restored": {"fileSystemId": own, "path": "/odoo"}}
    graph = run_stack("prod", back, before=there)
    assert graph.stack_outputs[outputs.FILE_SYSTEM_ID] == own
    assert graph.one(FILE_SYSTEM).read_id == own


def test_a_higher_version_of_a_password_changes_that_one_alone(graph_of: GraphOf) -> None:
    before = graph_of("prod")
    graph = run_stack("prod", {"passwordVersions": {"application": 2}}, before=before.stack_outputs)
    changed = {urn for urn, inputs in shape(graph).items() if inputs != shape(before)[urn]}
    assert {urn.rpartition("::")[2] for urn in changed} == {"databases-application"}
    assert {urn.split("::")[2].rpartition("$")[2] for urn in changed} == {
        "postgresql:index/role:Role",
        "aws:secretsmanager/secretVersion:SecretVersion",
    }
    assert graph.stack_outputs[outputs.PASSWORD_VERSIONS]["application"] == 2
    text = refusal("prod", {}, before=graph.stack_outputs)
    assert "openerp:passwordVersions.application: is 1, and was 2" in text


def test_a_release_goes_back_only_with_the_database(graph_of: GraphOf) -> None:
    before = {**graph_of("prod").stack_outputs, outputs.RELEASE: "20.0"}
    assert "19.0 is older than 20.0" in refusal("prod", {}, before=before)
    assert run_stack("prod", OWN, before=before).stack_outputs[outputs.RELEASE] == "19.0"


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
