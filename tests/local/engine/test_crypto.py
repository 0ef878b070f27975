"""Passphrase secrets: Pulumi's format, byte for byte."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from local.engine import crypto
from local.engine.crypto import Crypter
from local.engine.errors import EngineError

KNOWN_SALT = "v1:JsyNsvSs270=:v1:BeQqfXRF8sJJoXzE:6sr1PtakvnB2HMrvVgnkyb/8rILncA=="
KNOWN_CIPHERTEXT = "v1:UD8P5lW6W+OzvVor:tNm4dxeCxoGuwv7sKhfvGVMtm3Rl247A0JQqWs59vXbYGK4="
"""Written by the Pulumi CLI 3.272.0 with the passphrase `pw`, for the secret `{"a":[1,true,null]}`."""


def test_what_the_real_cli_encrypted_is_decrypted() -> None:
    assert Crypter("pw", KNOWN_SALT).decrypt(KNOWN_CIPHERTEXT) == '{"a":[1,true,null]}'


def test_a_wrong_passphrase_is_refused_in_words() -> None:
    with pytest.raises(EngineError, match="incorrect passphrase"):
        Crypter("other", KNOWN_SALT).decrypt(KNOWN_CIPHERTEXT)


@pytest.fixture(scope="module")
def crypter() -> Crypter:
    """A crypter under a fresh salt, derived at full cost once."""
    return Crypter("correct horse")


@settings(deadline=None)  # the first use waits for the key
@given(text=st.text())
def test_a_text_survives_and_keeps_its_ciphertext(crypter: Crypter, text: str) -> None:
    ciphertext = crypter.encrypt(text)
    assert crypter.decrypt(ciphertext) == text
    assert crypter.encrypt(text) == ciphertext


def test_the_salt_opens_for_the_next_process(crypter: Crypter) -> None:
    ciphertext = crypter.encrypt("hush")
    assert Crypter("correct horse", crypter.state).decrypt(ciphertext) == "hush"


@pytest.mark.parametrize("salt", ["", "v1", "v2:AAAA:v1:x:y", "v1:?:v1:x:y", "v1:AAAA"])
def test_a_malformed_salt_is_refused_in_words(salt: str) -> None:
    with pytest.raises(EngineError, match="salt is malformed"):
        Crypter("pw", salt)


@pytest.mark.parametrize("text", ["", "plain", "v1:x", "v2:a:b", "v1:AAAA:AAAA", "v1:AAAAAAAAAAAAAAAA:AAAA"])
def test_a_damaged_ciphertext_is_refused_in_words(crypter: Crypter, text: str) -> None:
    with pytest.raises(EngineError, match="cannot be decrypted"):
        crypter.decrypt(text)


def test_the_passphrase_is_made_once_and_for_the_owner_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("PULUMI_CONFIG_PASSPHRASE", raising=False)
    monkeypatch.delenv("PULUMI_CONFIG_PASSPHRASE_FILE", raising=False)
    home = tmp_path / "home"
    first = crypto.passphrase(home)
    assert len(first) >= 32
    assert crypto.passphrase(home) == first
    assert stat.S_IMODE((home / "passphrase").stat().st_mode) == 0o600
    assert sorted(path.name for path in home.iterdir()) == ["passphrase"]


def test_the_environment_s_passphrase_comes_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "elsewhere"
    file.write_text("from a file\n")
    monkeypatch.delenv("PULUMI_CONFIG_PASSPHRASE", raising=False)
    monkeypatch.setenv("PULUMI_CONFIG_PASSPHRASE_FILE", str(file))
    assert crypto.passphrase(tmp_path) == "from a file"
    monkeypatch.setenv("PULUMI_CONFIG_PASSPHRASE", "given")
    assert crypto.passphrase(tmp_path) == "given"
    monkeypatch.delenv("PULUMI_CONFIG_PASSPHRASE")
    file.unlink()
    with pytest.raises(EngineError, match="does not exist"):
        crypto.passphrase(tmp_path)
