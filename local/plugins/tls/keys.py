"""Private keys and what is derived from them."""

from __future__ import annotations

import hashlib
from base64 import b64encode
from typing import Any

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
    ssh_key_fingerprint,
)

from local.plugins.table_provider import PluginError

PrivateKey = rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey
PublicKey = rsa.RSAPublicKey | ec.EllipticCurvePublicKey | ed25519.Ed25519PublicKey

CURVES: dict[str, type[ec.EllipticCurve]] = {
    "P224": ec.SECP224R1,
    "P256": ec.SECP256R1,
    "P384": ec.SECP384R1,
    "P521": ec.SECP521R1,
}
ALGORITHMS = ("RSA", "ECDSA", "ED25519")
MINIMUM_RSA_BITS = 1024
"""The least that the library generates."""


def generate(algorithm: str, rsa_bits: int, ecdsa_curve: str) -> PrivateKey:
    """A new key from the system's random source. ``rsa_bits`` is for RSA alone, ``ecdsa_curve`` for ECDSA."""
    if algorithm == "RSA":
        return rsa.generate_private_key(65537, rsa_bits)
    if algorithm == "ECDSA":
        return ec.generate_private_key(CURVES[ecdsa_curve]())
    return ed25519.Ed25519PrivateKey.generate()


def parse(pem: str, what: str) -> PrivateKey:
    """The key in ``pem``; ``what`` names the input for the error."""
    try:
        key = load_pem_private_key(pem.encode(), password=None)
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise PluginError(f"{what} is not an unencrypted private key in PEM: {error}") from None
    if not isinstance(key, PrivateKey):
        raise PluginError(f"{what} is of an unsupported type; use one of {', '.join(ALGORITHMS)}")
    return key


def algorithm_of(key: PrivateKey | PublicKey) -> str:
    """``RSA``, ``ECDSA`` or ``ED25519``."""
    if isinstance(key, rsa.RSAPrivateKey | rsa.RSAPublicKey):
        return "RSA"
    return "ECDSA" if isinstance(key, ec.EllipticCurvePrivateKey | ec.EllipticCurvePublicKey) else "ED25519"


def signature_hash(key: PrivateKey) -> hashes.SHA256 | hashes.SHA384 | hashes.SHA512 | None:
    """The hash that Go's crypto/x509 chooses for a key: by the curve's size; none for Ed25519."""
    if isinstance(key, ed25519.Ed25519PrivateKey):
        return None
    if isinstance(key, ec.EllipticCurvePrivateKey) and key.key_size > 256:
        return hashes.SHA384() if key.key_size == 384 else hashes.SHA512()
    return hashes.SHA256()


def _private_pem(key: PrivateKey, form: PrivateFormat) -> str:
    return key.private_bytes(Encoding.PEM, form, NoEncryption()).decode()


def _has_ssh_form(key: PrivateKey) -> bool:
    """OpenSSH knows no P-224."""
    return not (isinstance(key, ec.EllipticCurvePrivateKey) and key.key_size == 224)


def outputs(key: PrivateKey) -> tuple[str, dict[str, Any]]:
    """The id (SHA-1 of the public key in DER, as the official provider's) and the outputs."""
    public = key.public_key()
    der = public.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    plain_form = PrivateFormat.PKCS8 if algorithm_of(key) == "ED25519" else PrivateFormat.TraditionalOpenSSL
    found = {
        "privateKeyPem": _private_pem(key, plain_form),
        "privateKeyPemPkcs8": _private_pem(key, PrivateFormat.PKCS8),
        "privateKeyOpenssh": "",
        "publicKeyPem": public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode(),
        "publicKeyOpenssh": "",
        "publicKeyFingerprintMd5": "",
        "publicKeyFingerprintSha256": "",
    }
    if _has_ssh_form(key):
        line = public.public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH).decode()
        # MD5 is what the output is named for; it identifies a key to a person and protects nothing.
        md5 = ssh_key_fingerprint(public, hashes.MD5()).hex(":")  # noqa: S303
        sha256 = ssh_key_fingerprint(public, hashes.SHA256())
        found["privateKeyOpenssh"] = _private_pem(key, PrivateFormat.OpenSSH)
        found["publicKeyOpenssh"] = line + "\n"
        found["publicKeyFingerprintMd5"] = md5
        found["publicKeyFingerprintSha256"] = "SHA256:" + b64encode(sha256).decode().rstrip("=")
    return hashlib.sha1(der.strip(b" \t\n\v\f\r"), usedforsecurity=False).hexdigest(), found
