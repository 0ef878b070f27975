"""The certificate with which stunnel enters the file store.

EFS takes the access point, and the IAM identity that enters, from extensions of the TLS client
certificate; AWS's mount helper (efs-utils, MIT licence, `efs_utils_common/certificate_utils.py`) shows
the form. It has no package for Debian 13, hence these lines; docs/adr/0005-efs-mount.md tells the rest.
"""

from __future__ import annotations

import hmac
from datetime import UTC, datetime, timedelta
from hashlib import sha1, sha256
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from . import common

ALGORITHM = "AWS4-HMAC-SHA256"
FOLDER = Path("/run/openerp-files")
VALID = timedelta(hours=3)
"""As efs-utils; the timer renews every hour."""


def signature(server: common.Server, key_hash: str, credentials: Any, now: datetime) -> str:
    """Return the signature of «Connect», bound to the key whose SHA-1 is `key_hash`.

    SigV4 but for one thing, which is why botocore cannot make it: EFS leaves out the empty line that ends
    the headers of a canonical request.
    """
    time = f"{now:%Y%m%dT%H%M%SZ}"
    scope = f"{now:%Y%m%d}/{server['region']}/elasticfilesystem/aws4_request"
    query = {
        "Action": "Connect",
        "PublicKeyHash": key_hash,
        "X-Amz-Algorithm": ALGORITHM,
        "X-Amz-Credential": f"{credentials.access_key}/{scope}",
        "X-Amz-Date": time,
        "X-Amz-Expires": "86400",
        **({"X-Amz-Security-Token": credentials.token} if credentials.token else {}),
        "X-Amz-SignedHeaders": "host",
    }
    request = "\n".join(
        ["GET", "/", urlencode(query), f"host:{server['file_system_id']}", "host", sha256(b"").hexdigest()]
    )
    to_sign = "\n".join([ALGORITHM, time, scope, sha256(request.encode()).hexdigest()])
    key = f"AWS4{credentials.secret_key}".encode()
    for part in (*scope.split("/"), to_sign):
        key = hmac.digest(key, part.encode(), "sha256")
    return key.hex()


def openssl_configuration(
    server: common.Server, folder: Path, credentials: Any, key_hash: str, now: datetime
) -> str:
    """Return the configuration from which `openssl ca` makes the certificate."""
    token = f"\nsessionToken = EXPLICIT:0,UTF8String:{credentials.token}" if credentials.token else ""
    return f"""[ca]
default_ca = local
[local]
database = {folder}/index.txt
serial = {folder}/serial
new_certs_dir = {folder}
private_key = {folder}/key.pem
default_md = sha256
policy = policy
x509_extensions = extensions
unique_subject = no
[policy]
CN = supplied
[req]
prompt = no
distinguished_name = subject
[subject]
CN = {server["file_system_id"]}
[extensions]
subjectKeyIdentifier = hash
1.3.6.1.4.1.4843.7.1 = ASN1:UTF8String:{server["access_point_id"]}
1.3.6.1.4.1.4843.7.2 = ASN1:SEQUENCE:authentication
1.3.6.1.4.1.4843.7.3 = ASN1:UTF8String:{server["file_system_id"]}
[authentication]
accessKeyId = UTF8String:{credentials.access_key}
signature = OCTETSTRING:{signature(server, key_hash, credentials, now)}
sigv4DateTime = UTCTIME:{now:%y%m%d%H%M%SZ}{token}
"""


def openssl(*arguments: str | Path) -> None:
    """Run one openssl command."""
    common.run(["openssl", *map(str, arguments)])


def make_certificate(server: common.Server, folder: Path, credentials: Any, now: datetime) -> None:
    """Write `key.pem` (once) and `certificate.pem` (valid from 15 minutes ago) to `folder`."""
    key, configuration, request = folder / "key.pem", folder / "openssl.cnf", folder / "request.pem"
    if not key.exists():
        openssl("genpkey", "-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:3072", "-out", key)
    public = folder / "public.der"
    openssl("rsa", "-in", key, "-RSAPublicKey_out", "-outform", "DER", "-out", public)
    key_hash = sha1(public.read_bytes(), usedforsecurity=False).hexdigest()
    configuration.touch(0o600)
    configuration.write_text(openssl_configuration(server, folder, credentials, key_hash, now))
    (folder / "index.txt").write_text("")
    (folder / "serial").write_text("01\n")
    openssl("req", "-new", "-config", configuration, "-key", key, "-out", request)
    new = folder / "certificate.new"
    start, end = (f"{moment:%y%m%d%H%M%SZ}" for moment in (now - timedelta(minutes=15), now + VALID))
    openssl(
        *("ca", "-selfsign", "-batch", "-notext", "-config", configuration),
        *("-startdate", start, "-enddate", end, "-in", request, "-out", new),
    )
    configuration.unlink()
    new.replace(folder / "certificate.pem")


def sign_certificate(server: common.Server) -> None:
    """Make the certificate with the credentials of the instance's role."""

    def attempt() -> None:
        import botocore.session

        credentials = botocore.session.get_session().get_credentials()
        if credentials is None:
            raise RuntimeError("the instance has no role, or its metadata cannot be reached")
        make_certificate(server, FOLDER, credentials.get_frozen_credentials(), datetime.now(UTC))

    common.keep_trying("entry to the file store", attempt, seconds=600)
