"""Client certificates, trust store and revocation. That a load balancer heeds them is not proven here."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pulumi
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from components.client_certificates import ClientCertificates, ClientCertificatesArgs
from tests.components.conftest import Deploy, Graph
from tests.components.tls_answers import TLS_ANSWERS

OBJECT = "aws:s3/bucketObjectv2:BucketObjectv2"
REVOCATION = "aws:lb/trustStoreRevocation:TrustStoreRevocation"


def make(
    deploy: Deploy,
    certificates: Mapping[int, str],
    issued_before: Mapping[str, str] | None = None,
    outputs: Mapping[str, Any] | None = None,
) -> Graph:
    def program() -> None:
        made = ClientCertificates(
            "clients",
            ClientCertificatesArgs(
                certificates=certificates,
                issued_before=issued_before or {},
                domain="erp.example.com",
                trust_store_name="openerp-test",
            ),
        )
        pulumi.export("certificates", made.certificates)
        pulumi.export("issued", made.issued)
        pulumi.export("store", made.trust_store_arn)

    return deploy(
        program,
        outputs={
            **TLS_ANSWERS,
            OBJECT: lambda n, i: {"versionId": f"version-of-{n}"},
            **(outputs or {}),
        },
    )


def revocation_list(graph: Graph) -> x509.CertificateRevocationList:
    content = graph.one(OBJECT, "clients-revocation-list").inputs["content"]
    return x509.load_pem_x509_crl(content.encode())


def test_each_number_and_name_has_a_key_a_request_and_a_certificate(deploy: Deploy) -> None:
    graph = make(deploy, {1: "Anna Berg", 7: "scanner"})

    assert graph.children("clients") == {
        ("openerp:index:Authority", "clients-ca"),
        ("openerp:index:PrivateBucket", "clients-trust"),
        (OBJECT, "clients-ca-bundle"),
        ("aws:lb/trustStore:TrustStore", "clients-store"),
        *(
            (f"tls:index/{kind[0].lower()}{kind[1:]}:{kind}", f"clients-{label}-{suffix}")
            for label in ("1 Anna Berg", "7 scanner")
            for kind, suffix in (
                ("PrivateKey", "key"),
                ("CertRequest", "request"),
                ("LocallySignedCert", "certificate"),
            )
        ),
    }


def test_a_certificate_names_its_holder_and_number_and_is_for_clients_only(deploy: Deploy) -> None:
    graph = make(deploy, {7: "Anna Berg"})

    issued = graph.stack_outputs["certificates"]["7"]
    assert graph.secret_stack_outputs == {"certificates"}
    assert issued["name"] == "Anna Berg"
    certificate = x509.load_pem_x509_certificate(issued["certificate_pem"].encode())
    subject = {attribute.oid: attribute.value for attribute in certificate.subject}
    assert subject[NameOID.COMMON_NAME] == "Anna Berg"
    assert subject[NameOID.ORGANIZATIONAL_UNIT_NAME] == "7"
    uses = certificate.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    assert list(uses) == [ExtendedKeyUsageOID.CLIENT_AUTH]
    assert issued["serial"] == str(certificate.serial_number)
    assert issued["private_key_pem"].startswith("-----BEGIN EC PRIVATE KEY-----")
    bundle = graph.one(OBJECT).inputs["content"]
    certificate.verify_directly_issued_by(x509.load_pem_x509_certificate(bundle.encode()))


def test_the_trust_store_reads_one_version_of_a_private_versioned_encrypted_bundle(deploy: Deploy) -> None:
    graph = make(deploy, {1: "Anna"})

    assert graph.children("clients-trust") == {
        ("aws:s3/bucket:Bucket", "clients-trust-bucket"),
        ("aws:s3/bucketPublicAccessBlock:BucketPublicAccessBlock", "clients-trust-public-access"),
        (
            "aws:s3/bucketServerSideEncryptionConfiguration:BucketServerSideEncryptionConfiguration",
            "clients-trust-encryption",
        ),
        ("aws:s3/bucketVersioning:BucketVersioning", "clients-trust-versioning"),
        ("aws:s3/bucketPolicy:BucketPolicy", "clients-trust-policy"),
    }
    store = graph.one("aws:lb/trustStore:TrustStore").inputs
    assert store == {
        "name": "openerp-test",
        "caCertificatesBundleS3Bucket": "clients-trust-bucket-id",
        "caCertificatesBundleS3Key": "ca-bundle.pem",
        "caCertificatesBundleS3ObjectVersion": "version-of-clients-ca-bundle",
    }
    # Before versioning is on, an object has no version to name.
    assert "clients-trust-versioning" in graph.one(OBJECT).depends_on_names


def test_nothing_is_revoked_while_nobody_has_left(deploy: Deploy) -> None:
    first = make(deploy, {1: "Anna"})
    assert first.of(REVOCATION) == []
    assert [r.name for r in first.of(OBJECT)] == ["clients-ca-bundle"]

    second = make(deploy, {1: "Anna"}, first.stack_outputs["issued"])
    assert second.of(REVOCATION) == []


def test_who_leaves_the_settings_is_on_the_list_signed_by_the_clients_authority(deploy: Deploy) -> None:
    graph = make(deploy, {1: "Anna"}, {"1001": "1 Anna", "2002": "2 Berta"})

    crl = revocation_list(graph)
    assert [entry.serial_number for entry in crl] == [2002]
    authority = x509.load_pem_x509_certificate(
        graph.one(OBJECT, "clients-ca-bundle").inputs["content"].encode()
    )
    key = authority.public_key()
    assert isinstance(key, ec.EllipticCurvePublicKey)
    assert crl.is_signature_valid(key)
    revocation = graph.one(REVOCATION)
    content = graph.one(OBJECT, "clients-revocation-list")
    assert revocation.inputs["revocationsS3Key"] == content.inputs["key"]
    assert revocation.inputs["revocationsS3Bucket"] == "clients-trust-bucket-id"
    assert content.secret_inputs == revocation.secret_inputs == frozenset()
    assert "clients-2 Berta-key" not in {r.name for r in graph.registrations}


def test_the_ledger_grows_marks_the_revoked_and_is_no_secret(deploy: Deploy) -> None:
    graph = make(deploy, {1: "Anna"}, {"1001": "1 Anna", "2002": "2 Berta", "3003": "revoked: 1 Anna"})

    serial = graph.stack_outputs["certificates"]["1"]["serial"]
    assert graph.stack_outputs["issued"] == {
        "1001": "1 Anna",
        "2002": "revoked: 2 Berta",
        "3003": "revoked: 1 Anna",
        serial: "1 Anna",
    }
    assert "issued" not in graph.secret_stack_outputs


def test_the_last_certificate_stays_revoked_after_everybody_has_left(deploy: Deploy) -> None:
    graph = make(deploy, {}, {"1001": "1 Anna"})

    assert [entry.serial_number for entry in revocation_list(graph)] == [1001]
    assert len(graph.of("aws:lb/trustStore:TrustStore")) == 1
    assert graph.stack_outputs["issued"] == {"1001": "revoked: 1 Anna"}
    assert graph.stack_outputs["certificates"] == {}


def test_another_list_is_another_object_so_that_the_old_one_goes_last(deploy: Deploy) -> None:
    first = make(deploy, {}, {"1001": "1 Anna"})
    fixed = {
        "tls:index/privateKey:PrivateKey": lambda n, i: first_outputs(
            first, "privateKeyPem", "ca-certificate"
        ),
        "tls:index/selfSignedCert:SelfSignedCert": lambda n, i: {
            "certPem": first.one(OBJECT, "clients-ca-bundle").inputs["content"]
        },
    }
    again = make(deploy, {}, {"1001": "1 Anna"}, fixed)
    more = make(deploy, {}, {"1001": "1 Anna", "2002": "2 Berta"}, fixed)

    def key(graph: Graph) -> str:
        return str(graph.one(OBJECT, "clients-revocation-list").inputs["key"])

    assert key(again) == key(first)
    assert key(more) != key(first)


def first_outputs(graph: Graph, key: str, suffix: str) -> dict[str, Any]:
    """Return the private key that an earlier run gave to its authority."""
    return {key: graph.one("tls:index/selfSignedCert:SelfSignedCert", f"clients-{suffix}").inputs[key]}
