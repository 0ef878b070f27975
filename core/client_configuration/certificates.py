"""What a certificate says, and whether a client can use it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from cryptography import x509
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_private_key

from core.client_configuration.outputs import ClientCertificate, ClientConfigurationError


@dataclass(frozen=True, kw_only=True)
class CertificateFacts:
    """The part of a certificate that is shown to people."""

    subject: str
    valid_from: datetime
    valid_until: datetime
    fingerprint: str
    """SHA-256 in pairs of upper-case digits, as browsers and `openssl x509 -fingerprint` show it."""


def facts(certificate_pem: str) -> CertificateFacts:
    """Return what `certificate_pem` says. Raises ValueError where it is not a certificate."""
    certificate = x509.load_pem_x509_certificate(certificate_pem.encode())
    return CertificateFacts(
        subject=certificate.subject.rfc4514_string(),
        valid_from=certificate.not_valid_before_utc,
        valid_until=certificate.not_valid_after_utc,
        fingerprint=certificate.fingerprint(SHA256()).hex(":").upper(),
    )


def refuse_unusable(certificate: ClientCertificate, *, now: datetime) -> CertificateFacts:
    """Return what `certificate` says, or raise ClientConfigurationError where a server would refuse it.

    Refused are: what is no certificate or key, a key of another certificate, and a certificate that is
    expired or not yet valid at `now`. The authority of client certificates is not the one in the output
    `ca_certificate`, which is the server's: only the load balancer needs to know it.
    """
    who = f"client certificate {certificate.number} ({certificate.name})"
    again = "run `pulumi up` for this stack and export the outputs again"
    try:
        parsed = x509.load_pem_x509_certificate(certificate.certificate_pem.encode())
        key = load_pem_private_key(certificate.private_key_pem.encode(), password=None)
    except (ValueError, TypeError) as error:
        raise ClientConfigurationError(f"{who}: its certificate or key is not PEM: {again}") from error
    form = (Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    if parsed.public_key().public_bytes(*form) != key.public_key().public_bytes(*form):
        raise ClientConfigurationError(f"{who}: the key belongs to another certificate: {again}")
    if now > parsed.not_valid_after_utc:
        raise ClientConfigurationError(
            f"{who} expired on {parsed.not_valid_after_utc:%Y-%m-%d}: {again}; a certificate that is past "
            "its early renewal is issued anew"
        )
    if now < parsed.not_valid_before_utc:
        raise ClientConfigurationError(
            f"{who} is not valid before {parsed.not_valid_before_utc:%Y-%m-%d %H:%M} UTC, and it is "
            f"{now:%Y-%m-%d %H:%M} here: check this machine's clock"
        )
    return facts(certificate.certificate_pem)
