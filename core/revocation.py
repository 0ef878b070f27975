"""Client certificates that were issued and must no longer be accepted: the ledger and the revocation list.

The ledger is the stack output `issued_client_certificates`, a map of serial number (decimal, as text) to
`"<number> <name>"`; a revoked one reads `"revoked: <number> <name>"`. It is keyed by serial number and
not by name, because one person has several over the years: a renewal issues a second certificate while
the first is still valid, and both must be refused on the day the person leaves. It only ever grows.

The revocation list is an X.509 CRL (RFC 5280). No pulumi-tls resource makes one. Everything in it comes
from its arguments, and the signature is deterministic, so that two previews of the same settings agree
byte for byte.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from datetime import datetime
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa

REVOKED_PREFIX: Final = "revoked: "
"""How the ledger marks a serial number for good. A label begins with a digit: no name can look like it."""


def certificate_label(number: int, name: str) -> str:
    """Return how the ledger names the holder of a client certificate: `"7 Anna Berg"`."""
    return f"{number} {name}"


def certificate_serial(certificate_pem: str) -> str:
    """Return the serial number of a PEM certificate as decimal digits.

    Text and not a number: X.509 allows 20 octets, and JSON numbers are exact to 53 bits only.
    """
    return str(x509.load_pem_x509_certificate(certificate_pem.encode()).serial_number)


def revoked_serials(issued_before: Mapping[str, str], current_labels: Collection[str]) -> tuple[str, ...]:
    """Return the serial numbers to refuse, in ascending order.

    Those the ledger already marks as revoked stay revoked, also when their holder is in the settings
    again (who then has a new certificate); beside them all whose holder has left the settings.
    """
    return tuple(
        sorted(
            (
                serial
                for serial, label in issued_before.items()
                if label.startswith(REVOKED_PREFIX) or label not in current_labels
            ),
            key=int,
        )
    )


def ledger(issued_before: Mapping[str, str], current: Mapping[str, str]) -> dict[str, str]:
    """Return the new ledger: everything issued before, marked where revoked, and the current certificates.

    Both maps go from serial number to label; `current` holds what the settings ask for now.
    """
    revoked = set(revoked_serials(issued_before, set(current.values())))
    before = {
        serial: REVOKED_PREFIX + label.removeprefix(REVOKED_PREFIX) if serial in revoked else label
        for serial, label in issued_before.items()
    }
    return dict(sorted({**before, **current}.items(), key=lambda entry: int(entry[0])))


def certificate_revocation_list(
    ca_certificate_pem: str,
    ca_private_key_pem: str,
    revoked: Collection[str],
    this_update: datetime,
    next_update: datetime,
    number: int,
) -> str:
    """Return the PEM revocation list of an authority with RSA or elliptic-curve key.

    `revoked` are decimal serial numbers; `number` must grow from one list to the next (RFC 5280, 5.2.3).
    Both times need a time zone and are given to the second. RSA signs by PKCS #1 v1.5 and an elliptic
    curve by RFC 6979: the same arguments give the same bytes. Raises ValueError for another kind of key,
    for text that is no PEM, and for a `next_update` before `this_update`.
    """
    authority = x509.load_pem_x509_certificate(ca_certificate_pem.encode())
    key = serialization.load_pem_private_key(ca_private_key_pem.encode(), password=None)
    builder = (
        x509.CertificateRevocationListBuilder()
        .issuer_name(authority.subject)
        .last_update(this_update)
        .next_update(next_update)
        .add_extension(_authority_key_identifier(authority), critical=False)
        .add_extension(x509.CRLNumber(number), critical=False)
    )
    for serial in sorted({int(text) for text in revoked}):
        builder = builder.add_revoked_certificate(
            x509.RevokedCertificateBuilder().serial_number(serial).revocation_date(this_update).build()
        )
    if isinstance(key, rsa.RSAPrivateKey):
        signed = builder.sign(key, hashes.SHA256(), rsa_padding=padding.PKCS1v15())
    elif isinstance(key, ec.EllipticCurvePrivateKey):
        signed = builder.sign(key, hashes.SHA256(), ecdsa_deterministic=True)
    else:
        raise ValueError("a certificate authority needs an RSA or elliptic-curve key to sign revocations")
    return signed.public_bytes(serialization.Encoding.PEM).decode()


def revocation_list_of_authority(
    ca_certificate_pem: str, ca_private_key_pem: str, revoked: Collection[str]
) -> str:
    """Return the revocation list of an authority, with everything that is not in `revoked` taken from it.

    Its validity is the authority's own: a list that ran out earlier would have to be signed anew by the
    calendar, and one that nobody renewed might stop being enforced. Its number is the authority's first
    second (Unix time) plus the count of entries, which grows with every revocation and every renewal of
    the authority.
    """
    authority = x509.load_pem_x509_certificate(ca_certificate_pem.encode())
    valid_from = authority.not_valid_before_utc
    return certificate_revocation_list(
        ca_certificate_pem,
        ca_private_key_pem,
        revoked,
        this_update=valid_from,
        next_update=authority.not_valid_after_utc,
        number=int(valid_from.timestamp()) + len(set(revoked)),
    )


def _authority_key_identifier(authority: x509.Certificate) -> x509.AuthorityKeyIdentifier:
    try:
        extension = authority.extensions.get_extension_for_class(x509.SubjectKeyIdentifier)
    except x509.ExtensionNotFound:
        key = authority.public_key()
        if not isinstance(key, rsa.RSAPublicKey | ec.EllipticCurvePublicKey):
            raise ValueError("a certificate authority needs an RSA or elliptic-curve key") from None
        return x509.AuthorityKeyIdentifier.from_issuer_public_key(key)
    return x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(extension.value)
