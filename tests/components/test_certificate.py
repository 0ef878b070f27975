"""The server certificate in both kinds. That ACM validates or imports it is not proven here."""

from __future__ import annotations

from typing import Any

import pulumi
import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from components.certificate import Certificate, CertificateArgs
from tests.components.conftest import Deploy, Graph
from tests.components.tls_answers import TLS_ANSWERS

DOMAIN = "erp.example.com"


def _acm(name: str, inputs: dict[str, Any]) -> dict[str, Any]:
    """Answer as ACM: one option a name, apex and wildcard with the same record."""
    option = {
        "resourceRecordName": f"_abc.{DOMAIN}.",
        "resourceRecordType": "CNAME",
        "resourceRecordValue": "_def.acm-validations.aws.",
    }
    domains = [f"*.{DOMAIN}", DOMAIN] if inputs.get("subjectAlternativeNames") else [DOMAIN]
    return {"domainValidationOptions": [{"domainName": domain, **option} for domain in domains]}


def make(deploy: Deploy, *, preview: bool = False, **changes: Any) -> Graph:
    arguments: dict[str, Any] = {"domain": DOMAIN, "kind": "private", **changes}

    def program() -> None:
        certificate = Certificate("certificate", CertificateArgs(**arguments))
        pulumi.export("arn", certificate.certificate_arn)
        pulumi.export("ca", certificate.ca_certificate_pem)

    return deploy(
        program,
        preview=preview,
        outputs={
            **TLS_ANSWERS,
            "aws:acm/certificate:Certificate": _acm if arguments["kind"] == "acm" else lambda n, i: {},
            "aws:route53/record:Record": lambda n, i: {"fqdn": i["name"].rstrip(".")},
        },
    )


def pem(text: str) -> x509.Certificate:
    return x509.load_pem_x509_certificate(text.encode())


@pytest.mark.parametrize("wildcard", [False, True])
def test_an_acm_certificate_is_validated_by_one_record(deploy: Deploy, wildcard: bool) -> None:
    graph = make(deploy, kind="acm", zone_id="Z1", wildcard=wildcard)

    assert graph.children("certificate") == {
        ("aws:acm/certificate:Certificate", "certificate-certificate"),
        ("aws:route53/record:Record", f"certificate-validation-{DOMAIN}"),
        ("aws:acm/certificateValidation:CertificateValidation", "certificate-validated"),
    }
    certificate = graph.one("aws:acm/certificate:Certificate").inputs
    assert certificate["domainName"] == DOMAIN
    assert certificate["validationMethod"] == "DNS"
    assert certificate.get("subjectAlternativeNames") == ([f"*.{DOMAIN}"] if wildcard else None)
    assert graph.one("aws:route53/record:Record").inputs == {
        "zoneId": "Z1",
        "name": f"_abc.{DOMAIN}.",
        "type": "CNAME",
        "records": ["_def.acm-validations.aws."],
        "ttl": 300,
        "allowOverwrite": True,
    }
    validation = graph.one("aws:acm/certificateValidation:CertificateValidation").inputs
    assert validation["validationRecordFqdns"] == [f"_abc.{DOMAIN}"]
    assert graph.stack_outputs["arn"] == validation["certificateArn"]
    assert graph.stack_outputs.get("ca") is None


def test_the_records_are_planned_before_acm_has_said_what_is_in_them(deploy: Deploy) -> None:
    graph = make(deploy, kind="acm", zone_id="Z1", wildcard=True, preview=True)
    assert len(graph.of("aws:route53/record:Record")) == 1


def test_acm_without_a_zone_is_refused_with_what_to_set(deploy: Deploy) -> None:
    with pytest.raises(ValueError, match=r"openerp:access\.hostedZone"):
        make(deploy, kind="acm")


def test_a_domain_that_no_certificate_can_carry_is_refused(deploy: Deploy) -> None:
    with pytest.raises(ValueError, match=r"openerp:access\.domain has 65 characters"):
        make(deploy, domain="a" * 61 + ".com")


def test_a_private_certificate_comes_from_an_authority_of_its_own(deploy: Deploy) -> None:
    graph = make(deploy, wildcard=True)

    assert graph.children("certificate") == {
        ("openerp:index:Authority", "certificate-ca"),
        ("tls:index/privateKey:PrivateKey", "certificate-key"),
        ("tls:index/certRequest:CertRequest", "certificate-request"),
        ("tls:index/locallySignedCert:LocallySignedCert", "certificate-signed"),
        ("aws:acm/certificate:Certificate", "certificate-certificate"),
    }
    assert graph.children("certificate-ca") == {
        ("tls:index/privateKey:PrivateKey", "certificate-ca-key"),
        ("tls:index/selfSignedCert:SelfSignedCert", "certificate-ca-certificate"),
    }
    imported = graph.one("aws:acm/certificate:Certificate")
    assert imported.secret_inputs == {"privateKey"}
    server, authority = pem(imported.inputs["certificateBody"]), pem(imported.inputs["certificateChain"])
    server.verify_directly_issued_by(authority)
    assert graph.stack_outputs["ca"] == imported.inputs["certificateChain"]
    assert "ca" not in graph.secret_stack_outputs

    names = server.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert names.get_values_for_type(x509.DNSName) == [DOMAIN, f"*.{DOMAIN}"]
    uses = server.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    assert list(uses) == [ExtendedKeyUsageOID.SERVER_AUTH]
    key = server.public_key()
    assert isinstance(key, ec.EllipticCurvePublicKey)
    assert key.curve.name == "secp256r1"


def test_the_authority_may_sign_certificates_and_revocation_lists_and_serve_nothing(deploy: Deploy) -> None:
    graph = make(deploy)

    authority = pem(graph.one("aws:acm/certificate:Certificate").inputs["certificateChain"])
    assert authority.extensions.get_extension_for_class(x509.BasicConstraints).value.ca
    usage = authority.extensions.get_extension_for_class(x509.KeyUsage).value
    assert (usage.key_cert_sign, usage.crl_sign, usage.digital_signature) == (True, True, False)
    (unit,) = authority.subject.get_attributes_for_oid(NameOID.ORGANIZATIONAL_UNIT_NAME)
    assert unit.value == DOMAIN


def test_no_private_key_is_in_a_plain_input(deploy: Deploy) -> None:
    for registration in make(deploy).registrations:
        plain = {k: v for k, v in registration.inputs.items() if k not in registration.secret_inputs}
        assert "PRIVATE KEY" not in str(plain), registration.name


def test_certificates_are_renewed_before_the_alarm_on_expiry(deploy: Deploy) -> None:
    graph = make(deploy)

    server = graph.one("tls:index/locallySignedCert:LocallySignedCert").inputs
    assert server["validityPeriodHours"] == 397 * 24
    assert server["earlyRenewalHours"] == 60 * 24
    authority = graph.one("tls:index/selfSignedCert:SelfSignedCert").inputs
    assert authority["earlyRenewalHours"] == 365 * 24
