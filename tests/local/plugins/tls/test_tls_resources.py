"""The tls plugin, called as the engine in this process calls it. The reference for names and defaults is
pulumi-tls 5.6; certificates are read back with ``cryptography``, which also made them."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID
from pulumi.provider.experimental import provider as rpc

from local.plugins.plain import UNKNOWN, plain_map, property_map
from local.plugins.table_provider import PluginError
from local.plugins.tls import certificates, provider

PRIVATE_KEY = "tls:index/privateKey:PrivateKey"
SELF_SIGNED = "tls:index/selfSignedCert:SelfSignedCert"
REQUEST = "tls:index/certRequest:CertRequest"
LOCALLY_SIGNED = "tls:index/locallySignedCert:LocallySignedCert"

CA_INPUTS: dict[str, Any] = {
    "allowedUses": ["cert_signing", "crl_signing"],
    "validityPeriodHours": 87600,
    "isCaCertificate": True,
    "setSubjectKeyId": True,
    "setAuthorityKeyId": True,
    "subject": {"commonName": "Test CA", "organization": "OpenERP", "country": "BE"},
}


def urn(token: str) -> str:
    return f"urn:pulumi:local::openerp::openerp:index:Certificate${token}::name"


def create(token: str, inputs: dict[str, Any], *, preview: bool = False) -> rpc.CreateResponse:
    request = rpc.CreateRequest(urn(token), property_map(inputs), 0, preview)
    return asyncio.run(provider().create(request))


def created(token: str, inputs: dict[str, Any]) -> dict[str, Any]:
    return plain_map(create(token, inputs).properties)


def failures(token: str, inputs: dict[str, Any]) -> dict[str, str]:
    request = rpc.CheckRequest(urn(token), {}, property_map(inputs), b"")
    response = asyncio.run(provider().check(request))
    return {failure.property: failure.reason for failure in response.failures or []}


def diff(token: str, old: dict[str, Any], new: dict[str, Any]) -> rpc.DiffResponse:
    request = rpc.DiffRequest(urn(token), "id", property_map(old), property_map(new), [])
    return asyncio.run(provider().diff(request))


@pytest.fixture(scope="module")
def authority() -> dict[str, Any]:
    key = created(PRIVATE_KEY, {"algorithm": "ECDSA", "ecdsaCurve": "P256"})
    return created(SELF_SIGNED, {**CA_INPUTS, "privateKeyPem": key["privateKeyPem"]})


@pytest.fixture(scope="module")
def signed(authority: dict[str, Any]) -> dict[str, Any]:
    key = created(PRIVATE_KEY, {"algorithm": "ECDSA", "ecdsaCurve": "P384"})
    asked = created(
        REQUEST,
        {
            "privateKeyPem": key["privateKeyPem"],
            "dnsNames": ["erp.example.com"],
            "ipAddresses": ["127.0.0.1", "::1"],
            "uris": ["https://erp.example.com/web"],
            "subject": {"commonName": "erp.example.com", "emailAddress": "a@example.com"},
        },
    )
    return created(
        LOCALLY_SIGNED,
        {
            "caCertPem": authority["certPem"],
            "caPrivateKeyPem": authority["privateKeyPem"],
            "certRequestPem": asked["certRequestPem"],
            "allowedUses": ["digital_signature", "server_auth", "client_auth"],
            "validityPeriodHours": 48,
            "earlyRenewalHours": 24,
        },
    )


@pytest.mark.parametrize("algorithm", ["RSA", "ECDSA", "ED25519"])
def test_a_private_key_has_every_official_output_and_its_private_forms_are_secret(algorithm: str) -> None:
    response = create(PRIVATE_KEY, {"algorithm": algorithm, "ecdsaCurve": "P256"})
    found = plain_map(response.properties)
    assert response.resource_id and len(response.resource_id) == 40
    secret = {key for key, value in response.properties.items() if value.is_secret}
    assert secret == {"privateKeyPem", "privateKeyPemPkcs8", "privateKeyOpenssh"}
    assert found["rsaBits"] == 2048
    assert found["privateKeyOpenssh"].startswith("-----BEGIN OPENSSH PRIVATE KEY-----")
    assert found["publicKeyOpenssh"].endswith("\n")
    assert found["publicKeyFingerprintSha256"].startswith("SHA256:")
    assert len(found["publicKeyFingerprintMd5"].split(":")) == 16
    beginning = {"RSA": "RSA PRIVATE KEY", "ECDSA": "EC PRIVATE KEY", "ED25519": "PRIVATE KEY"}[algorithm]
    assert found["privateKeyPem"].startswith(f"-----BEGIN {beginning}-----")
    keys = [
        load_pem_private_key(found[name].encode(), None) for name in ("privateKeyPem", "privateKeyPemPkcs8")
    ]
    assert keys[0].public_key() == keys[1].public_key()


def test_the_curve_that_openssh_does_not_know_has_empty_ssh_forms() -> None:
    found = created(PRIVATE_KEY, {"algorithm": "ECDSA"})
    assert found["ecdsaCurve"] == "P224"
    assert found["publicKeyOpenssh"] == found["publicKeyFingerprintMd5"] == found["privateKeyOpenssh"] == ""


def test_a_preview_knows_the_inputs_and_leaves_the_rest_unknown() -> None:
    found = plain_map(create(PRIVATE_KEY, {"algorithm": "RSA"}, preview=True).properties)
    assert found["algorithm"] == "RSA"
    assert found["privateKeyPem"] is UNKNOWN
    response = create(SELF_SIGNED, {**CA_INPUTS, "privateKeyPem": UNKNOWN}, preview=True)
    assert plain_map(response.properties)["certPem"] is UNKNOWN


def test_a_certificate_authority_signs_itself_with_the_identifiers_asked_for(
    authority: dict[str, Any],
) -> None:
    certificate = x509.load_pem_x509_certificate(authority["certPem"].encode())
    certificate.verify_directly_issued_by(certificate)
    assert certificate.subject.rfc4514_string() == "CN=Test CA,O=OpenERP,C=BE"
    constraints = certificate.extensions.get_extension_for_class(x509.BasicConstraints)
    assert constraints.critical and constraints.value.ca and constraints.value.path_length is None
    uses = certificate.extensions.get_extension_for_class(x509.KeyUsage)
    assert uses.critical and uses.value.key_cert_sign and uses.value.crl_sign
    assert not uses.value.digital_signature
    own = certificate.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value.digest
    issuer = certificate.extensions.get_extension_for_class(x509.AuthorityKeyIdentifier).value.key_identifier
    assert own == issuer
    assert authority["keyAlgorithm"] == "ECDSA"


def test_a_locally_signed_certificate_carries_what_was_requested(
    authority: dict[str, Any], signed: dict[str, Any]
) -> None:
    certificate = x509.load_pem_x509_certificate(signed["certPem"].encode())
    certificate.verify_directly_issued_by(x509.load_pem_x509_certificate(authority["certPem"].encode()))
    names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert names.get_values_for_type(x509.DNSName) == ["erp.example.com"]
    assert [str(name) for name in names.get_values_for_type(x509.IPAddress)] == ["127.0.0.1", "::1"]
    assert names.get_values_for_type(x509.UniformResourceIdentifier) == ["https://erp.example.com/web"]
    assert certificate.subject.get_attributes_for_oid(NameOID.EMAIL_ADDRESS)[0].value == "a@example.com"
    extended = certificate.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    assert list(extended) == [ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH]
    assert certificate.not_valid_after_utc - certificate.not_valid_before_utc == timedelta(hours=48)
    assert signed["validityEndTime"] == certificates.rfc3339(certificate.not_valid_after_utc)
    assert certificate.extensions.get_extension_for_class(x509.AuthorityKeyIdentifier)
    assert signed["readyForRenewal"] is False


def test_an_unchanged_certificate_shows_no_difference(signed: dict[str, Any]) -> None:
    inputs = {
        key: value
        for key, value in signed.items()
        if key not in {"certPem", "caKeyAlgorithm", "readyForRenewal", "validityStartTime", "validityEndTime"}
    }
    assert diff(LOCALLY_SIGNED, signed, inputs).changes is False
    assert diff(LOCALLY_SIGNED, signed, {**inputs, "isCaCertificate": False}).changes is False


@pytest.mark.parametrize(
    ("change", "replaces"),
    [
        ({"validityPeriodHours": 96}, ["validityPeriodHours"]),
        ({"allowedUses": ["server_auth"]}, ["allowedUses"]),
        ({"certRequestPem": UNKNOWN}, ["certRequestPem"]),
        ({"setSubjectKeyId": True}, ["setSubjectKeyId"]),
        ({"earlyRenewalHours": 12}, []),
        ({"earlyRenewalHours": 49}, ["readyForRenewal"]),
    ],
)
def test_every_change_replaces_a_certificate_except_the_renewal_window(
    signed: dict[str, Any], change: dict[str, Any], replaces: list[str]
) -> None:
    found = diff(LOCALLY_SIGNED, signed, {**signed, **change})
    assert found.changes is True
    assert found.replaces == replaces
    assert found.delete_before_replace is False


def test_a_certificate_in_its_renewal_window_is_replaced_though_nothing_else_changed(
    signed: dict[str, Any],
) -> None:
    soon = certificates.rfc3339(datetime.now(UTC) + timedelta(hours=23))
    found = diff(LOCALLY_SIGNED, {**signed, "validityEndTime": soon}, signed)
    assert found.replaces == ["readyForRenewal"]


def test_a_refresh_marks_a_certificate_in_its_renewal_window(signed: dict[str, Any]) -> None:
    soon = certificates.rfc3339(datetime.now(UTC) + timedelta(hours=23))
    state = property_map({**signed, "validityEndTime": soon})
    response = asyncio.run(provider().read(rpc.ReadRequest(urn(LOCALLY_SIGNED), "1", state, {})))
    assert plain_map(response.properties)["readyForRenewal"] is True


def test_changing_the_renewal_window_keeps_the_certificate(signed: dict[str, Any]) -> None:
    request = rpc.UpdateRequest(
        urn(LOCALLY_SIGNED),
        "1",
        property_map(signed),
        property_map({**signed, "earlyRenewalHours": 2}),
        0,
        [],
        False,
    )
    found = plain_map(asyncio.run(provider().update(request)).properties)
    assert (found["certPem"], found["earlyRenewalHours"]) == (signed["certPem"], 2)


@pytest.mark.parametrize(
    ("token", "inputs", "key", "words"),
    [
        (PRIVATE_KEY, {}, "algorithm", "required"),
        (PRIVATE_KEY, {"algorithm": "DSA"}, "algorithm", "RSA, ECDSA, ED25519"),
        (PRIVATE_KEY, {"algorithm": "RSA", "rsaBit": 2048}, "rsaBit", "rsaBits"),
        (PRIVATE_KEY, {"algorithm": "RSA", "rsaBits": 512}, "rsaBits", "1024"),
        (PRIVATE_KEY, {"algorithm": "ECDSA", "ecdsaCurve": "P1"}, "ecdsaCurve", "P256"),
        (REQUEST, {}, "privateKeyPem", "exactly one"),
        (REQUEST, {"privateKeyPem": "x", "ipAddresses": ["300.1.1.1"]}, "ipAddresses", "300.1.1.1"),
        (REQUEST, {"privateKeyPem": "x", "subject": {"country": "BEL"}}, "subject.country", "two letters"),
        (
            SELF_SIGNED,
            {**CA_INPUTS, "privateKeyPem": "x", "allowedUses": ["sign"]},
            "allowedUses",
            "cert_signing",
        ),
        (
            SELF_SIGNED,
            {**CA_INPUTS, "privateKeyPem": "x", "validityPeriodHours": -1},
            "validityPeriodHours",
            "0",
        ),
    ],
)
def test_a_wrong_input_fails_the_check_with_what_would_be_right(
    token: str, inputs: dict[str, Any], key: str, words: str
) -> None:
    assert words in failures(token, inputs)[key]


def test_unknown_inputs_pass_the_check() -> None:
    assert not failures(SELF_SIGNED, {**CA_INPUTS, "privateKeyPem": UNKNOWN, "allowedUses": UNKNOWN})
    assert not failures(REQUEST, {"privateKeyPem": UNKNOWN, "ipAddresses": UNKNOWN, "subject": UNKNOWN})


def test_a_key_that_is_not_the_authoritys_is_refused(authority: dict[str, Any]) -> None:
    other = created(PRIVATE_KEY, {"algorithm": "ECDSA", "ecdsaCurve": "P256"})["privateKeyPem"]
    asked = created(REQUEST, {"privateKeyPem": other, "subject": {"commonName": "x"}})["certRequestPem"]
    with pytest.raises(PluginError, match="caPrivateKeyPem is not the private key of caCertPem"):
        create(
            LOCALLY_SIGNED,
            {
                "caCertPem": authority["certPem"],
                "caPrivateKeyPem": other,
                "certRequestPem": asked,
                "allowedUses": [],
                "validityPeriodHours": 1,
            },
        )


def test_a_resource_that_is_not_implemented_is_named_in_the_error() -> None:
    with pytest.raises(PluginError, match="tls:index/other:Other is not implemented"):
        create("tls:index/other:Other", {})
