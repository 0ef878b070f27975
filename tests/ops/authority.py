"""A certificate authority for tests, and the outputs of a stack that has one."""

from __future__ import annotations

import ipaddress
from datetime import UTC, datetime, timedelta
from functools import cached_property
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

DAY = timedelta(days=1)


def _name(text: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])


class Authority:
    """Signs server and client certificates with a key of its own."""

    def __init__(self, name: str = "OpenERP test CA") -> None:
        self.key = ec.generate_private_key(ec.SECP256R1())
        self.name = _name(name)
        now = datetime.now(UTC)
        self.certificate = (
            x509.CertificateBuilder()
            .subject_name(self.name)
            .issuer_name(self.name)
            .public_key(self.key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - 2 * DAY)
            .not_valid_after(now + 3650 * DAY)
            .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
            .add_extension(_usage(signing=True), critical=True)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(self.key.public_key()), critical=False)
            .sign(self.key, hashes.SHA256())
        )

    @cached_property
    def clients(self) -> Authority:
        """The authority of client certificates: another than the servers', as in a deployment."""
        return Authority("OpenERP test client CA")

    @property
    def pem(self) -> str:
        return self.certificate.public_bytes(Encoding.PEM).decode()

    def issue(
        self, name: str, *, server: bool = False, start: datetime | None = None, days: int = 365
    ) -> tuple[str, str]:
        """Return certificate and private key in PEM; a server's is for `localhost` and 127.0.0.1."""
        key = ec.generate_private_key(ec.SECP256R1())
        begin = start or datetime.now(UTC) - DAY
        usage = ExtendedKeyUsageOID.SERVER_AUTH if server else ExtendedKeyUsageOID.CLIENT_AUTH
        builder = (
            x509.CertificateBuilder()
            .subject_name(_name(name))
            .issuer_name(self.name)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(begin)
            .not_valid_after(begin + days * DAY)
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(_usage(signing=False), critical=True)
            .add_extension(x509.ExtendedKeyUsage([usage]), critical=False)
            .add_extension(
                x509.AuthorityKeyIdentifier.from_issuer_public_key(self.key.public_key()), critical=False
            )
        )
        if server:
            names: list[x509.GeneralName] = [
                x509.DNSName("localhost"),
                x509.IPAddress(ipaddress.ip_address("127.0.0.1")),
            ]
            builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
        certificate = builder.sign(self.key, hashes.SHA256())
        return (
            certificate.public_bytes(Encoding.PEM).decode(),
            key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode(),
        )


def _usage(*, signing: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not signing,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=signing,
        crl_sign=signing,
        encipher_only=False,
        decipher_only=False,
    )


def stack_outputs(authority: Authority, **changed: Any) -> dict[str, Any]:
    """Return what `pulumi stack output --json --show-secrets` gives, two client certificates in it."""
    certificates = {}
    for number, name in ((1, "anna"), (2, "warehouse scanner")):
        certificate, key = authority.clients.issue(name)
        certificates[str(number)] = {
            "name": name,
            "certificate_pem": certificate,
            "private_key_pem": key,
            "serial": str(x509.load_pem_x509_certificate(certificate.encode()).serial_number),
        }
    outputs: dict[str, Any] = {
        "web_url": "https://erp.example.com/",
        "rpc_host": "erp.example.com",
        "rpc_port": 443.0,
        "rpc_protocol": "xmlrpcs",
        "client_certificate_url": "https://erp.example.com:8443/",
        "client_certificate_port": 8443,
        "ca_certificate": authority.pem,
        "client_certificates": certificates,
        "database_names": ["openerp", "openerp_test"],
        "working_database": "openerp",
        "test_database": "openerp_test",
        "tenants": {},
        "region": "eu-west-1",
        "release": "19.0",
        "environment": "development",
        "offer": "hosted",
        "vpc_id": "vpc-1",
    }
    return outputs | changed
