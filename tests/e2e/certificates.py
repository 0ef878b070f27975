"""Certificates of an authority that only a test knows."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID


@dataclass(frozen=True, kw_only=True)
class Issued:
    """A certificate with its key."""

    certificate_pem: bytes
    key_pem: bytes
    serial: int

    @property
    def pem(self) -> bytes:
        """Both in one file."""
        return self.certificate_pem + self.key_pem


@dataclass(frozen=True, kw_only=True)
class Authority:
    """Somebody who signs."""

    certificate: x509.Certificate
    key: ec.EllipticCurvePrivateKey

    @property
    def certificate_pem(self) -> bytes:
        """What a client must trust."""
        return self.certificate.public_bytes(Encoding.PEM)

    def issue(self, name: str, *, days: tuple[float, float] = (-1, 30)) -> Issued:
        """Sign a certificate for a host (or person), valid between these days from now."""
        key = ec.generate_private_key(ec.SECP256R1())
        alternative = x509.SubjectAlternativeName([x509.DNSName(name.replace(" ", "-"))])
        signed = (
            _builder(name, self.certificate.subject, key, days)
            .add_extension(alternative, critical=False)
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(
                x509.AuthorityKeyIdentifier.from_issuer_public_key(self.key.public_key()), critical=False
            )
            .sign(self.key, hashes.SHA256())
        )
        return Issued(
            certificate_pem=signed.public_bytes(Encoding.PEM),
            key_pem=key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()),
            serial=signed.serial_number,
        )


def authority(name: str) -> Authority:
    """Make an authority."""
    key = ec.generate_private_key(ec.SECP256R1())
    own = (
        _builder(name, _name(name), key, (-60, 60))
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .sign(key, hashes.SHA256())
    )
    return Authority(certificate=own, key=key)


def _name(text: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])


def _builder(
    name: str, issuer: x509.Name, key: ec.EllipticCurvePrivateKey, days: tuple[float, float]
) -> x509.CertificateBuilder:
    now, (first, last) = datetime.now(UTC), days
    return (
        x509.CertificateBuilder()
        .subject_name(_name(name))
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now + timedelta(days=first))
        .not_valid_after(now + timedelta(days=last))
    )
