"""Certificate requests and certificates, with the extensions that the official provider writes."""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID, ObjectIdentifier

from local.plugins.table_provider import PluginError
from local.plugins.tls import keys

KEY_USES = (
    "digital_signature", "content_commitment", "key_encipherment", "data_encipherment", "key_agreement",
    "cert_signing", "crl_signing", "encipher_only", "decipher_only",
)  # fmt: skip

EXTENDED_USES: dict[str, ObjectIdentifier] = {
    "any_extended": ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE,
    "server_auth": ExtendedKeyUsageOID.SERVER_AUTH,
    "client_auth": ExtendedKeyUsageOID.CLIENT_AUTH,
    "code_signing": ExtendedKeyUsageOID.CODE_SIGNING,
    "email_protection": ExtendedKeyUsageOID.EMAIL_PROTECTION,
    "ipsec_end_system": ObjectIdentifier("1.3.6.1.5.5.7.3.5"),
    "ipsec_tunnel": ObjectIdentifier("1.3.6.1.5.5.7.3.6"),
    "ipsec_user": ObjectIdentifier("1.3.6.1.5.5.7.3.7"),
    "timestamping": ExtendedKeyUsageOID.TIME_STAMPING,
    "ocsp_signing": ExtendedKeyUsageOID.OCSP_SIGNING,
    "microsoft_server_gated_crypto": ObjectIdentifier("1.3.6.1.4.1.311.10.3.3"),
    "netscape_server_gated_crypto": ObjectIdentifier("2.16.840.1.113730.4.1"),
    "microsoft_commercial_code_signing": ObjectIdentifier("1.3.6.1.4.1.311.2.1.22"),
    "microsoft_kernel_code_signing": ObjectIdentifier("1.3.6.1.4.1.311.61.1.1"),
}
"""RFC 5280, 4.2.1.12, and the vendors' registrations that Go's crypto/x509 names."""

SUBJECT_PARTS: dict[str, ObjectIdentifier] = {
    "country": NameOID.COUNTRY_NAME,
    "organization": NameOID.ORGANIZATION_NAME,
    "organizationalUnit": NameOID.ORGANIZATIONAL_UNIT_NAME,
    "locality": NameOID.LOCALITY_NAME,
    "province": NameOID.STATE_OR_PROVINCE_NAME,
    "streetAddresses": NameOID.STREET_ADDRESS,
    "postalCode": NameOID.POSTAL_CODE,
    "commonName": NameOID.COMMON_NAME,
    "serialNumber": NameOID.SERIAL_NUMBER,
    "emailAddress": NameOID.EMAIL_ADDRESS,
}
"""In the order in which Go's pkix.Name writes them."""

Values = Mapping[str, Any]


def name(subject: Values | None) -> x509.Name:
    """The distinguished name of an input ``subject``; empty if there is none."""
    given = subject or {}
    parts = []
    for key, oid in SUBJECT_PARTS.items():
        value = given.get(key)
        texts = value if isinstance(value, list) else [value]
        try:
            parts += [x509.NameAttribute(oid, text) for text in texts if text]
        except ValueError as error:
            raise PluginError(f"subject.{key}: {error}") from None
    return x509.Name(parts)


def alternative_names(inputs: Values) -> x509.SubjectAlternativeName | None:
    """The subject's alternative names: DNS names, addresses, URIs."""
    found: list[x509.GeneralName] = []
    try:
        found += [x509.DNSName(text) for text in inputs.get("dnsNames") or ()]
        found += [x509.IPAddress(ip_address(text)) for text in inputs.get("ipAddresses") or ()]
        found += [x509.UniformResourceIdentifier(text) for text in inputs.get("uris") or ()]
    except ValueError as error:
        raise PluginError(f"the certificate's alternative names: {error}") from None
    return x509.SubjectAlternativeName(found) if found else None


def request(inputs: Values) -> str:
    """A signed request (PKCS #10) in PEM from ``subject``, the alternative names and the private key."""
    key = keys.parse(private_key_pem(inputs), "privateKeyPem")
    builder = x509.CertificateSigningRequestBuilder().subject_name(name(inputs.get("subject")))
    names = alternative_names(inputs)
    if names is not None:
        builder = builder.add_extension(names, critical=False)
    return builder.sign(key, keys.signature_hash(key)).public_bytes(Encoding.PEM).decode()


def private_key_pem(inputs: Values, prefix: str = "privateKeyPem") -> str:
    """The key from the ordinary input, or from its write-only twin."""
    return str(inputs.get(prefix) or inputs.get(f"{prefix}Wo") or "")


def _with_uses(builder: x509.CertificateBuilder, uses: list[str]) -> x509.CertificateBuilder:
    chosen = {use for use in uses if use in KEY_USES}
    if chosen:
        builder = builder.add_extension(
            x509.KeyUsage(
                digital_signature="digital_signature" in chosen,
                content_commitment="content_commitment" in chosen,
                key_encipherment="key_encipherment" in chosen,
                data_encipherment="data_encipherment" in chosen,
                key_agreement="key_agreement" in chosen,
                key_cert_sign="cert_signing" in chosen,
                crl_sign="crl_signing" in chosen,
                # RFC 5280: these two mean nothing without key agreement, and the library refuses them.
                encipher_only="encipher_only" in chosen and "key_agreement" in chosen,
                decipher_only="decipher_only" in chosen and "key_agreement" in chosen,
            ),
            critical=True,
        )
    extended = [EXTENDED_USES[use] for use in uses if use in EXTENDED_USES]
    return builder.add_extension(x509.ExtendedKeyUsage(extended), critical=False) if extended else builder


def _basic_constraints(inputs: Values) -> x509.BasicConstraints:
    length = inputs.get("maxPathLength")
    # As the official provider: 0 and -1 write no limit (Go needs MaxPathLenZero for a limit of 0).
    limit = length if inputs.get("isCaCertificate") and length is not None and length > 0 else None
    return x509.BasicConstraints(ca=bool(inputs.get("isCaCertificate")), path_length=limit)


def _issue(
    inputs: Values,
    *,
    subject: x509.Name,
    names: x509.SubjectAlternativeName | None,
    public_key: keys.PublicKey,
    issuer: x509.Name,
    issuer_key: keys.PrivateKey,
    authority: x509.AuthorityKeyIdentifier | None,
) -> tuple[str, dict[str, Any]]:
    if inputs.get("isCaCertificate") and not list(subject):
        raise PluginError("subject: a certificate authority needs at least one distinguished name")
    start = datetime.now(UTC).replace(microsecond=0)
    end = start + timedelta(hours=inputs["validityPeriodHours"])
    serial = secrets.randbits(127) + 1
    builder = (
        x509.CertificateBuilder()
        .serial_number(serial)
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(public_key)
        .not_valid_before(start)
        .not_valid_after(end)
    )
    builder = _with_uses(builder, inputs["allowedUses"])
    builder = builder.add_extension(_basic_constraints(inputs), critical=True)
    if inputs.get("isCaCertificate") or inputs.get("setSubjectKeyId"):
        builder = builder.add_extension(x509.SubjectKeyIdentifier.from_public_key(public_key), critical=False)
    if authority is not None:
        builder = builder.add_extension(authority, critical=False)
    if names is not None:
        builder = builder.add_extension(names, critical=not list(subject))
    certificate = builder.sign(issuer_key, keys.signature_hash(issuer_key))
    return str(serial), {
        "certPem": certificate.public_bytes(Encoding.PEM).decode(),
        "validityStartTime": rfc3339(start),
        "validityEndTime": rfc3339(end),
        "readyForRenewal": False,
    }


def self_signed(inputs: Values) -> tuple[str, dict[str, Any]]:
    """The id (the serial number in decimal) and the outputs of a certificate that signs itself."""
    key = keys.parse(private_key_pem(inputs), "privateKeyPem")
    public = key.public_key()
    authority = None
    if inputs.get("setAuthorityKeyId"):
        if not (inputs.get("isCaCertificate") or inputs.get("setSubjectKeyId")):
            raise PluginError("setAuthorityKeyId: a self-signed certificate also needs setSubjectKeyId")
        authority = x509.AuthorityKeyIdentifier.from_issuer_public_key(public)
        authority = x509.AuthorityKeyIdentifier(authority.key_identifier, None, None)
    subject = name(inputs.get("subject"))
    serial, outputs = _issue(
        inputs,
        subject=subject,
        names=alternative_names(inputs),
        public_key=public,
        issuer=subject,
        issuer_key=key,
        authority=authority,
    )
    return serial, {**outputs, "keyAlgorithm": keys.algorithm_of(key)}


def locally_signed(inputs: Values) -> tuple[str, dict[str, Any]]:
    """The id (the serial number in decimal) and the outputs of a certificate signed by a given authority."""
    try:
        asked = x509.load_pem_x509_csr(inputs["certRequestPem"].encode())
    except ValueError as error:
        raise PluginError(f"certRequestPem is not a certificate request in PEM: {error}") from None
    if not asked.is_signature_valid:
        raise PluginError("certRequestPem: the request is not signed by its own key")
    public = asked.public_key()
    if not isinstance(public, keys.PublicKey):
        raise PluginError(f"certRequestPem: its key must be one of {', '.join(keys.ALGORITHMS)}")
    try:
        authority = x509.load_pem_x509_certificate(inputs["caCertPem"].encode())
    except ValueError as error:
        raise PluginError(f"caCertPem is not a certificate in PEM: {error}") from None
    authority_key = keys.parse(private_key_pem(inputs, "caPrivateKeyPem"), "caPrivateKeyPem")
    if authority.public_key() != authority_key.public_key():
        raise PluginError("caPrivateKeyPem is not the private key of caCertPem")
    serial, outputs = _issue(
        inputs,
        subject=asked.subject,
        names=_requested_names(asked),
        public_key=public,
        issuer=authority.subject,
        issuer_key=authority_key,
        authority=_authority_identifier(authority),
    )
    return serial, {**outputs, "caKeyAlgorithm": keys.algorithm_of(authority_key)}


def _requested_names(asked: x509.CertificateSigningRequest) -> x509.SubjectAlternativeName | None:
    try:
        return asked.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return None


def _authority_identifier(authority: x509.Certificate) -> x509.AuthorityKeyIdentifier | None:
    """Written whenever the authority's certificate carries its own identifier."""
    try:
        own = authority.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value
    except x509.ExtensionNotFound:
        return None
    return x509.AuthorityKeyIdentifier(own.digest, None, None)


def rfc3339(moment: datetime) -> str:
    """UTC, to the second: ``2026-11-23T01:02:03Z``."""
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def ready_for_renewal(end_time: str, early_renewal_hours: int, now: datetime) -> bool:
    """Whether ``now`` is within ``early_renewal_hours`` of the end of validity, or past it."""
    return now >= datetime.fromisoformat(end_time) - timedelta(hours=early_renewal_hours)
