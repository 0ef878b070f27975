"""Pulumi's passphrase secrets manager: AES-256-GCM under a key from PBKDF2.

Formats and numbers: pkg/secrets/passphrase/manager.go and sdk/go/common/resource/config/crypt.go of Pulumi 3.
A salt (`encryptionsalt` of a stack's config, `secrets_providers.state.salt` of its state) is `v1:<base64 of 8
bytes>:<ciphertext of the word pulumi>`; a ciphertext is `v1:<base64 nonce>:<base64 ct and tag>`.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import os
import secrets
from concurrent.futures import Future
from pathlib import Path
from threading import Thread
from typing import Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from local.engine.errors import EngineError

ITERATIONS: Final = 1_000_000
KEY_BYTES: Final = 32
SALT_BYTES: Final = 8
NONCE_BYTES: Final = 12
_PROOF: Final = "pulumi"


class Crypter:
    """Encrypts and decrypts texts under one passphrase and salt.

    The key (about 0.4 s of computing) is derived on a thread of its own from the first moment, and never
    stored. What was once encrypted or decrypted keeps its ciphertext, so an unchanged secret leaves the state
    unchanged.
    """

    def __init__(self, passphrase: str, state: str | None = None) -> None:
        """A crypter for the salt `state`, or for a fresh one. Raises EngineError where `state` is
        malformed."""
        if state is None:
            salt = secrets.token_bytes(SALT_BYTES)
        else:
            version, _, rest = state.partition(":")
            encoded, _, proof = rest.partition(":")
            if version != "v1" or not proof:
                raise EngineError("the encryption salt is malformed: expected v1:<salt>:<proof>")
            try:
                salt = base64.b64decode(encoded, validate=True)
            except binascii.Error:
                raise EngineError("the encryption salt is malformed: its second part is not base64") from None
        self._salt = salt
        self._state = state
        self._verified = False
        self._ciphertexts: dict[str, str] = {}
        self._key: Future[AESGCM] = Future()
        Thread(target=self._derive, args=(passphrase,), daemon=True).start()

    def _derive(self, passphrase: str) -> None:
        try:
            key = hashlib.pbkdf2_hmac("sha256", passphrase.encode(), self._salt, ITERATIONS, KEY_BYTES)
            self._key.set_result(AESGCM(key))
        except BaseException as error:
            self._key.set_exception(error)

    def _cipher(self) -> AESGCM:
        cipher = self._key.result()
        if not self._verified and self._state is not None:
            try:
                proven = _open(cipher, self._state.split(":", 2)[2]) == _PROOF
            except (InvalidTag, ValueError):
                proven = False
            if not proven:
                raise EngineError(
                    "incorrect passphrase: it does not fit the encryption salt of this stack; restore "
                    "the file `passphrase` of this state, or set PULUMI_CONFIG_PASSPHRASE_FILE"
                )
        self._verified = True
        return cipher

    @property
    def state(self) -> str:
        """The salt with the proof of the passphrase, as config and state hold it."""
        if self._state is None:
            self._state = f"v1:{base64.b64encode(self._salt).decode()}:{_seal(self._cipher(), _PROOF)}"
        return self._state

    def encrypt(self, plaintext: str) -> str:
        """The ciphertext of a text; the same one for the same text."""
        known = self._ciphertexts.get(plaintext)
        if known is None:
            known = self._ciphertexts[plaintext] = _seal(self._cipher(), plaintext)
        return known

    def decrypt(self, ciphertext: str) -> str:
        """The text of a ciphertext. Raises EngineError where it was not made under this key."""
        try:
            plaintext = _open(self._cipher(), ciphertext)
        except (InvalidTag, ValueError):
            raise EngineError(
                "a secret cannot be decrypted: it was not encrypted with this stack's key"
            ) from None
        self._ciphertexts.setdefault(plaintext, ciphertext)
        return plaintext


def _seal(cipher: AESGCM, plaintext: str) -> str:
    nonce = secrets.token_bytes(NONCE_BYTES)
    sealed = cipher.encrypt(nonce, plaintext.encode(), None)
    return f"v1:{base64.b64encode(nonce).decode()}:{base64.b64encode(sealed).decode()}"


def _open(cipher: AESGCM, ciphertext: str) -> str:
    parts = ciphertext.split(":")
    if len(parts) != 3 or parts[0] != "v1":
        raise ValueError("not a v1 ciphertext")
    nonce = base64.b64decode(parts[1], validate=True)
    if len(nonce) != NONCE_BYTES:
        raise ValueError("the nonce has the wrong length")
    return cipher.decrypt(nonce, base64.b64decode(parts[2], validate=True), None).decode()


def passphrase(home: Path) -> str:
    """The passphrase for state in `home`: PULUMI_CONFIG_PASSPHRASE, the file that
    PULUMI_CONFIG_PASSPHRASE_FILE names, or `<home>/passphrase`, which is made (mode 0600) at first use."""
    given = os.environ.get("PULUMI_CONFIG_PASSPHRASE")
    if given is not None:
        return given
    path = passphrase_file(home)
    try:
        return path.read_text().strip()
    except FileNotFoundError:
        if path != home / "passphrase":
            raise EngineError(f"PULUMI_CONFIG_PASSPHRASE_FILE names {path}, which does not exist") from None
    home.mkdir(parents=True, exist_ok=True)
    fresh = secrets.token_urlsafe(32)
    temporary = home / f".passphrase.{os.getpid()}"
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write(fresh + "\n")
    try:
        os.link(temporary, path)
    except FileExistsError:
        fresh = path.read_text().strip()
    finally:
        temporary.unlink()
    return fresh


def passphrase_file(home: Path) -> Path:
    """Where the passphrase is read from when the environment does not hold it itself."""
    given = os.environ.get("PULUMI_CONFIG_PASSPHRASE_FILE")
    return Path(given) if given else home / "passphrase"
