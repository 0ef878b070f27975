"""Client configuration on disk: `dist/<stack>/`, from the outputs of a stack."""

from __future__ import annotations

import json
import secrets
import string
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
    pkcs12,
)

from core.client_configuration import (
    CertificateFacts,
    ClientCertificate,
    ClientConfigurationError,
    ClientOutputs,
    facts,
    refuse_unusable,
    render,
)
from ops.files import write_atomically

MANIFEST: Final = ".manifest.json"
"""List of the files that `write` made, so that it removes its own and nothing else."""

PASSWORD_CHARACTERS: Final = "".join(c for c in string.ascii_letters + string.digits if c not in "0O1lI")
"""Without those that people mix up when they type a password from paper."""

PASSWORD_LENGTH: Final = 24
"""Characters: 24 of 57 are 139 bits, beyond guessing even for one who has the file."""

_PUBLIC: Final = 0o644
_SECRET: Final = 0o600


def write(
    outputs: Mapping[str, object], target: Path, *, stack: str | None = None, now: datetime | None = None
) -> list[Path]:
    """Write the client configuration of `stack` (without it: `target.name`) to the directory `target`.

    `outputs`: name to value, secrets in plain. The directory gets mode 0700; passwords, keys and `.p12`
    files 0600. A `.p12` that holds the same certificate already keeps its password and its bytes. Files of
    certificates that are gone are removed; a file that this function did not write is never touched.
    Returns the files in the order of their names. Raises ClientConfigurationError before anything is
    written where the outputs do not allow it.
    """
    parsed = ClientOutputs.read(outputs)
    moment = now or datetime.now(UTC)
    if parsed.ca_certificate is not None:
        _ca_facts(parsed.ca_certificate)
    known = {
        certificate.number: refuse_unusable(certificate, now=moment) for certificate in parsed.certificates
    }
    content = {
        name: (text.encode(), _PUBLIC)
        for name, text in render(parsed, stack=stack or target.name, client_certificates=known).items()
    }
    _make_private_directory(target)
    for certificate in parsed.certificates:
        for name, data in _certificate_files(certificate, target).items():
            content[name] = (data, _SECRET)
    previous = _manifest(target)
    # The manifest first, of old and new: a run that is interrupted leaves no file behind that nobody owns.
    _write_manifest(target, {*previous, *content})
    for name, (data, mode) in sorted(content.items()):
        write_atomically(target / name, data, mode=mode)
    for name in sorted(previous - set(content)):
        (target / name).unlink(missing_ok=True)
    _write_manifest(target, set(content))
    return [target / name for name in sorted(content)]


def _ca_facts(ca_pem: str) -> CertificateFacts:
    try:
        return facts(ca_pem)
    except ValueError as error:
        raise ClientConfigurationError("the output ca_certificate is not a certificate in PEM") from error


def _make_private_directory(target: Path) -> None:
    if target.is_symlink() or (target.exists() and not target.is_dir()):
        raise ClientConfigurationError(f"{target} is not a directory: name another, or remove it")
    target.mkdir(parents=True, exist_ok=True, mode=0o700)
    target.chmod(0o700)


def _certificate_files(certificate: ClientCertificate, target: Path) -> dict[str, bytes]:
    """Return the `.p12`, its password and the PEM for scripts (the same password protects its key)."""
    stem = certificate.file_stem
    kept = _kept(certificate, target)
    if kept is not None:
        return kept
    password = "".join(secrets.choice(PASSWORD_CHARACTERS) for _ in range(PASSWORD_LENGTH))
    key = load_pem_private_key(certificate.private_key_pem.encode(), password=None)
    own = x509.load_pem_x509_certificate(certificate.certificate_pem.encode())
    encryption = BestAvailableEncryption(password.encode())
    if not isinstance(key, RSAPrivateKey | EllipticCurvePrivateKey | Ed25519PrivateKey):
        raise ClientConfigurationError(
            f"client certificate {certificate.number} ({certificate.name}): no .p12 for this kind of key"
        )
    return {
        f"{stem}.p12": pkcs12.serialize_key_and_certificates(
            name=f"{certificate.number} {certificate.name}".encode(),
            key=key,
            cert=own,
            cas=None,
            encryption_algorithm=encryption,
        ),
        f"{stem}.pem": own.public_bytes(Encoding.PEM)
        + key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, encryption),
        f"{stem}.password": f"{password}\n".encode(),
    }


def _kept(certificate: ClientCertificate, target: Path) -> dict[str, bytes] | None:
    """Return the files that are there already, where they hold this certificate and key; else None."""
    paths = [target / f"{certificate.file_stem}.{suffix}" for suffix in ("p12", "pem", "password")]
    try:
        p12, pem, password = (path.read_bytes() for path in paths)
        word = password.strip()
        store = pkcs12.load_pkcs12(p12, word)
        keys = [store.key, load_pem_private_key(pem, word)]
        held = [store.cert.certificate if store.cert else None, x509.load_pem_x509_certificate(pem)]
    except (OSError, ValueError, TypeError):
        return None
    own = x509.load_pem_x509_certificate(certificate.certificate_pem.encode())
    wanted = _plain_key(load_pem_private_key(certificate.private_key_pem.encode(), password=None))
    same = all(item == own for item in held) and all(
        key is not None and _plain_key(key) == wanted for key in keys
    )
    return {path.name: data for path, data in zip(paths, (p12, pem, password), strict=True)} if same else None


def _plain_key(key: PrivateKeyTypes) -> bytes:
    return key.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption())


def _manifest(target: Path) -> set[str]:
    """Return the names of the files that an earlier run wrote; only plain names in this directory count."""
    try:
        names = json.loads((target / MANIFEST).read_text(encoding="utf-8"))["files"]
    except (OSError, ValueError, KeyError, TypeError):
        return set()
    return {
        name
        for name in names
        if isinstance(name, str) and name == Path(name).name and name not in ("", ".", "..")
    }


def _write_manifest(target: Path, names: set[str]) -> None:
    text = json.dumps({"files": sorted(names)}, indent=2, ensure_ascii=False) + "\n"
    write_atomically(target / MANIFEST, text.encode(), mode=_SECRET)
