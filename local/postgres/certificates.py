"""TLS of the local clusters: one certificate authority for each home, one certificate for each cluster.

The authority stands in for that of RDS: ``ca.pem`` beside the clusters is what a client that verifies the
server (``sslmode=verify-full``) is given as ``sslrootcert``.
"""

from __future__ import annotations

import ipaddress
import os
import secrets
import threading
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from cryptography import x509
    from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey

AUTHORITY, AUTHORITY_KEY = "ca.pem", "ca.key"
CERTIFICATE, KEY = "server.crt", "server.key"
"""Names in a cluster's directory."""
AUTHORITY_LIFE = timedelta(days=3650)
LIFE = timedelta(days=397)
"""Of a server's certificate, which each start makes anew; the longest that every client accepts."""
BACKDATED = timedelta(days=1)
"""For clocks that are set back."""

_lock = threading.Lock()
"""Clusters of one home start at the same time."""


def _write(path: Path, content: bytes, mode: int) -> None:
    """Write all or nothing; nobody reads a key before it is closed to them."""
    fresh = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)
    fresh.replace(path)


def _key_pem(key: EllipticCurvePrivateKey) -> bytes:
    from cryptography.hazmat.primitives import serialization

    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


def _signed(
    subject: str,
    key: EllipticCurvePrivateKey,
    signer: tuple[x509.Certificate, EllipticCurvePrivateKey] | None,
    life: timedelta,
    alternatives: list[x509.GeneralName],
) -> x509.Certificate:
    """A certificate of a server, or of an authority that signs itself where there is no signer."""
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes
    from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, subject)])
    now = datetime.now(UTC)
    issuer_key = signer[1] if signer else key
    builder = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(signer[0].subject if signer else name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - BACKDATED)
        .not_valid_after(now + life)
        .add_extension(x509.BasicConstraints(ca=signer is None, path_length=None), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer_key.public_key()), critical=False
        )
        .add_extension(
            x509.KeyUsage(
                digital_signature=True, key_cert_sign=signer is None, crl_sign=signer is None,
                content_commitment=False, key_encipherment=False, data_encipherment=False,
                key_agreement=False, encipher_only=False, decipher_only=False,
            ),
            critical=True,
        )
    )  # fmt: skip
    if signer:
        builder = builder.add_extension(
            x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False
        ).add_extension(x509.SubjectAlternativeName(alternatives), critical=False)
    return builder.sign(issuer_key, hashes.SHA256())


def _known_authority(root: Path) -> tuple[x509.Certificate, EllipticCurvePrivateKey] | None:
    """The authority of an earlier start, if its files are whole and it outlives what it would sign."""
    from cryptography import x509
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey

    with suppress(FileNotFoundError, ValueError):
        certificate = x509.load_pem_x509_certificate((root / AUTHORITY).read_bytes())
        key = serialization.load_pem_private_key((root / AUTHORITY_KEY).read_bytes(), None)
        if (
            isinstance(key, EllipticCurvePrivateKey)
            and certificate.public_key() == key.public_key()
            and certificate.not_valid_after_utc > datetime.now(UTC) + LIFE
        ):
            return certificate, key
    return None


def _authority(root: Path) -> tuple[x509.Certificate, EllipticCurvePrivateKey]:
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    with _lock:
        known = _known_authority(root)
        if known:
            return known
        key = ec.generate_private_key(ec.SECP256R1())
        certificate = _signed(f"Local databases {secrets.token_hex(4)}", key, None, AUTHORITY_LIFE, [])
        _write(root / AUTHORITY_KEY, _key_pem(key), 0o600)
        _write(root / AUTHORITY, certificate.public_bytes(serialization.Encoding.PEM), 0o644)
        return certificate, key


def provide(root: Path, directory: Path, host: str) -> tuple[Path, Path]:
    """Makes a certificate and key in ``directory`` of the authority in ``root``, which is made if it is not
    there. The certificate is for 127.0.0.1, localhost and ``host``."""
    from cryptography import x509
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    signer = _authority(root)
    key = ec.generate_private_key(ec.SECP256R1())
    alternatives: list[x509.GeneralName] = [
        x509.IPAddress(ipaddress.IPv4Address("127.0.0.1")),
        x509.DNSName("localhost"),
        x509.DNSName(host),
    ]
    certificate = _signed("PostgreSQL", key, signer, LIFE, alternatives)
    _write(directory / KEY, _key_pem(key), 0o600)
    _write(directory / CERTIFICATE, certificate.public_bytes(serialization.Encoding.PEM), 0o644)
    return directory / CERTIFICATE, directory / KEY
