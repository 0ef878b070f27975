"""The ledger of client certificates and the revocation list made from it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from functools import cache

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.x509.oid import NameOID
from hypothesis import given, settings
from hypothesis import strategies as st

from core.revocation import (
    REVOKED_PREFIX,
    certificate_label,
    certificate_revocation_list,
    certificate_serial,
    ledger,
    revocation_list_of_authority,
    revoked_serials,
)

START = datetime(2026, 11, 1, tzinfo=UTC)
END = START + timedelta(days=3650)

serials = st.integers(min_value=1, max_value=2**159 - 1).map(str)
"""RFC 5280, 4.1.2.2: positive, 20 octets at most."""
names = st.text("abcdefgh .@-", min_size=1, max_size=20)
labels = st.builds(certificate_label, st.integers(1, 30), names)
ledgers = st.dictionaries(
    serials, st.one_of(labels, labels.map(lambda label: REVOKED_PREFIX + label)), max_size=8
)


@cache
def authority(kind: str, *, key_identifier: bool = True, serial: int = 77) -> tuple[str, str]:
    """Return certificate and key of an authority in PEM."""
    key: ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey = (
        rsa.generate_private_key(65537, 2048) if kind == "rsa" else ec.generate_private_key(ec.SECP256R1())
    )
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "Test CA")])
    builder = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(serial)
        .not_valid_before(START)
        .not_valid_after(END)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
    )
    if key_identifier:
        builder = builder.add_extension(
            x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False
        )
    certificate = builder.sign(key, hashes.SHA256())
    return (
        certificate.public_bytes(serialization.Encoding.PEM).decode(),
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.TraditionalOpenSSL,
            serialization.NoEncryption(),
        ).decode(),
    )


def read(pem: str) -> x509.CertificateRevocationList:
    return x509.load_pem_x509_crl(pem.encode())


@pytest.mark.parametrize("kind", ["ec", "rsa"])
@given(revoked=st.lists(serials, max_size=8))
@settings(max_examples=25, deadline=None)
def test_a_list_holds_exactly_the_revoked_serials_signed_by_the_authority(
    kind: str, revoked: list[str]
) -> None:
    certificate, key = authority(kind)
    crl = read(certificate_revocation_list(certificate, key, revoked, START, END, 5))

    issuer = x509.load_pem_x509_certificate(certificate.encode())
    public_key = issuer.public_key()
    assert isinstance(public_key, rsa.RSAPublicKey | ec.EllipticCurvePublicKey)
    assert crl.is_signature_valid(public_key)
    assert crl.issuer == issuer.subject
    assert {entry.serial_number for entry in crl} == {int(serial) for serial in revoked}
    assert len(crl) == len(set(revoked))
    assert crl.last_update_utc == START
    assert crl.next_update_utc == END


@pytest.mark.parametrize("kind", ["ec", "rsa"])
@given(revoked=st.lists(serials, max_size=8), seed=st.randoms())
@settings(max_examples=25, deadline=None)
def test_the_same_revocations_give_the_same_bytes_in_any_order(
    kind: str, revoked: list[str], seed: object
) -> None:
    certificate, key = authority(kind)
    shuffled = list(revoked)
    seed.shuffle(shuffled)  # type: ignore[attr-defined]  # Hypothesis gives it no public type
    assert revocation_list_of_authority(certificate, key, revoked) == revocation_list_of_authority(
        certificate, key, shuffled
    )


@given(revoked=st.sets(serials, min_size=1, max_size=6))
@settings(max_examples=20, deadline=None)
def test_a_list_is_not_valid_for_another_authority(revoked: set[str]) -> None:
    certificate, key = authority("ec")
    stranger = x509.load_pem_x509_certificate(authority("ec", serial=78)[0].encode()).public_key()
    assert isinstance(stranger, ec.EllipticCurvePublicKey)
    assert not read(revocation_list_of_authority(certificate, key, revoked)).is_signature_valid(stranger)


@given(revoked=st.sets(serials, max_size=6), one_more=serials)
@settings(max_examples=20, deadline=None)
def test_the_number_of_a_list_grows_with_each_revocation(revoked: set[str], one_more: str) -> None:
    certificate, key = authority("ec")

    def number(serials: set[str]) -> int:
        crl = read(revocation_list_of_authority(certificate, key, serials))
        return crl.extensions.get_extension_for_class(x509.CRLNumber).value.crl_number

    assert number(revoked | {one_more}) == number(revoked) + (one_more not in revoked)


def test_a_list_is_valid_for_as_long_as_its_authority() -> None:
    crl = read(revocation_list_of_authority(*authority("ec"), ["9"]))
    assert (crl.last_update_utc, crl.next_update_utc) == (START, END)


@pytest.mark.parametrize("key_identifier", [True, False])
def test_a_list_names_the_key_that_signed_it(key_identifier: bool) -> None:
    certificate, key = authority("ec", key_identifier=key_identifier)
    crl = read(revocation_list_of_authority(certificate, key, ["9"]))
    public_key = x509.load_pem_x509_certificate(certificate.encode()).public_key()
    assert isinstance(public_key, ec.EllipticCurvePublicKey)
    expected = x509.SubjectKeyIdentifier.from_public_key(public_key).digest
    found = crl.extensions.get_extension_for_class(x509.AuthorityKeyIdentifier).value
    assert found.key_identifier == expected


def test_a_key_that_cannot_sign_the_same_list_twice_is_refused() -> None:
    certificate, _ = authority("ec")
    key = ed25519.Ed25519PrivateKey.generate().private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    with pytest.raises(ValueError, match="RSA or elliptic-curve"):
        revocation_list_of_authority(certificate, key.decode(), ["9"])


def test_a_list_that_ends_before_it_begins_is_refused() -> None:
    with pytest.raises(ValueError, match="next update"):
        certificate_revocation_list(*authority("ec"), ["9"], END, START, 1)


def test_a_serial_number_is_decimal_text() -> None:
    assert certificate_serial(authority("ec", serial=2**140)[0]) == str(2**140)


@given(before=ledgers, current=st.sets(labels))
def test_revoked_is_who_has_left_and_who_ever_left(before: dict[str, str], current: set[str]) -> None:
    revoked = revoked_serials(before, current)
    assert list(revoked) == sorted(revoked, key=int)
    for serial, label in before.items():
        assert (serial in revoked) == (label.startswith(REVOKED_PREFIX) or label not in current)


@given(before=ledgers, current=st.dictionaries(serials, labels, max_size=5))
def test_the_ledger_never_forgets_a_serial_and_never_forgives_one(
    before: dict[str, str], current: dict[str, str]
) -> None:
    current = {serial: label for serial, label in current.items() if serial not in before}
    after = ledger(before, current)

    assert set(after) == {*before, *current}
    revoked = set(revoked_serials(before, set(current.values())))
    assert {serial for serial, label in after.items() if label.startswith(REVOKED_PREFIX)} == revoked
    assert all(after[serial] == label for serial, label in current.items())
    # A second run with the same settings changes nothing.
    assert ledger(after, current) == after
    # Even when everybody comes back.
    everybody = {label.removeprefix(REVOKED_PREFIX) for label in after.values()}
    assert revoked <= set(revoked_serials(after, everybody))


def test_a_renewed_certificate_and_its_predecessor_are_both_revoked_when_the_holder_leaves() -> None:
    after_renewal = ledger({"100": "1 Anna"}, {"200": "1 Anna"})
    assert after_renewal == {"100": "1 Anna", "200": "1 Anna"}
    assert revoked_serials(after_renewal, ["1 Anna"]) == ()
    assert revoked_serials(after_renewal, []) == ("100", "200")


def test_a_number_given_to_somebody_else_revokes_the_one_before() -> None:
    assert revoked_serials({"100": "1 Anna"}, ["1 Berta"]) == ("100",)
