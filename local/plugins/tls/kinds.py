"""The resources of pulumi-tls 5.6 as rows: inputs, defaults and outputs under the official names."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from datetime import UTC, datetime
from ipaddress import ip_address
from typing import Any

from local.plugins.plain import UNKNOWN, has_unknown
from local.plugins.table_provider import Failures, Kind, Values
from local.plugins.tls import certificates, keys


def _one_of(inputs: Values, key: str, allowed: Iterable[str]) -> Failures:
    value = inputs.get(key)
    known = list(allowed)
    if value is None or value is UNKNOWN or value in known:
        return []
    return [(key, f"{key} is {value!r}; it must be one of {', '.join(known)}")]


def _at_least(inputs: Values, key: str, least: int) -> Failures:
    value = inputs.get(key)
    if value is None or value is UNKNOWN:
        return []
    if isinstance(value, int) and not isinstance(value, bool) and value >= least:
        return []
    return [(key, f"{key} is {value!r}; it must be a whole number, at least {least}")]


def _exactly_one(inputs: Values, key: str) -> Failures:
    if (inputs.get(key) is None) != (inputs.get(f"{key}Wo") is None):
        return []
    return [(key, f"give exactly one of {key} and {key}Wo")]


def _subject(inputs: Values) -> Failures:
    subject = inputs.get("subject")
    if subject is None or subject is UNKNOWN:
        return []
    parts = ", ".join(certificates.SUBJECT_PARTS)
    failures = [
        (f"subject.{key}", f"subject.{key} is not a part of a name; use {parts}")
        for key in subject
        if key not in certificates.SUBJECT_PARTS
    ]
    country = subject.get("country", "")
    if country is not UNKNOWN and len(country) not in (0, 2):
        failures.append(("subject.country", f"subject.country is {country!r}; it must have two letters"))
    return failures


def _addresses(inputs: Values) -> Failures:
    failures = []
    for text in inputs.get("ipAddresses") or () if inputs.get("ipAddresses") is not UNKNOWN else ():
        try:
            if text is not UNKNOWN:
                ip_address(text)
        except ValueError:
            failures.append(("ipAddresses", f"ipAddresses: {text!r} is not an IP address"))
    return failures


def _uses(inputs: Values) -> Failures:
    if has_unknown(inputs["allowedUses"]):
        return []
    known = {*certificates.KEY_USES, *certificates.EXTENDED_USES}
    return [
        ("allowedUses", f"allowedUses: {use!r} is none of {', '.join(sorted(known))}")
        for use in inputs["allowedUses"]
        if use not in known
    ]


def _certificate_checks(inputs: Values) -> Failures:
    return [
        *_uses(inputs),
        *_at_least(inputs, "validityPeriodHours", 0),
        *_at_least(inputs, "earlyRenewalHours", 0),
        *_at_least(inputs, "maxPathLength", -1),
    ]


def _check_private_key(inputs: Values) -> Failures:
    return [
        *_one_of(inputs, "algorithm", keys.ALGORITHMS),
        *_one_of(inputs, "ecdsaCurve", keys.CURVES),
        *_at_least(inputs, "rsaBits", keys.MINIMUM_RSA_BITS),
    ]


def _check_request(inputs: Values) -> Failures:
    return [*_exactly_one(inputs, "privateKeyPem"), *_subject(inputs), *_addresses(inputs)]


def _check_self_signed(inputs: Values) -> Failures:
    return [*_check_request(inputs), *_certificate_checks(inputs)]


def _check_locally_signed(inputs: Values) -> Failures:
    return [*_exactly_one(inputs, "caPrivateKeyPem"), *_certificate_checks(inputs)]


def _create_private_key(_config: Any, inputs: Values) -> tuple[str, Values]:
    key = keys.generate(inputs["algorithm"], inputs["rsaBits"], inputs["ecdsaCurve"])
    resource_id, outputs = keys.outputs(key)
    return resource_id, {**inputs, **outputs}


def _create_request(_config: Any, inputs: Values) -> tuple[str, Values]:
    pem = certificates.request(inputs)
    key = keys.parse(certificates.private_key_pem(inputs), "privateKeyPem")
    resource_id = hashlib.sha1(pem.encode(), usedforsecurity=False).hexdigest()
    return resource_id, {**inputs, "certRequestPem": pem, "keyAlgorithm": keys.algorithm_of(key)}


def _create_self_signed(_config: Any, inputs: Values) -> tuple[str, Values]:
    serial, outputs = certificates.self_signed(inputs)
    return serial, {**inputs, **outputs}


def _create_locally_signed(_config: Any, inputs: Values) -> tuple[str, Values]:
    serial, outputs = certificates.locally_signed(inputs)
    return serial, {**inputs, **outputs}


def _renewal_due(old: Values, new: Values) -> bool:
    end, hours = old.get("validityEndTime"), new.get("earlyRenewalHours", 0)
    if not end or hours is UNKNOWN:
        return False
    return certificates.ready_for_renewal(end, hours, datetime.now(UTC))


def _expired(old: Values, new: Values) -> frozenset[str]:
    return frozenset({"readyForRenewal"}) if _renewal_due(old, new) else frozenset()


def _read_certificate(_config: Any, resource_id: str, last: Values) -> tuple[str, Values]:
    return resource_id, {**last, "readyForRenewal": _renewal_due(last, last)}


_CERTIFICATE_OPTIONS: Values = {
    "earlyRenewalHours": 0,
    "isCaCertificate": False,
    "maxPathLength": None,
    "setSubjectKeyId": False,
}
_REQUEST_OPTIONS: Values = {
    "dnsNames": None,
    "ipAddresses": None,
    "uris": None,
    "subject": None,
    "privateKeyPem": None,
    "privateKeyPemWo": None,
    "privateKeyPemWoVersion": None,
}
_CERTIFICATE_OUTPUTS = frozenset({"certPem", "validityStartTime", "validityEndTime", "readyForRenewal"})

KINDS: dict[str, Kind] = {
    "tls:index/privateKey:PrivateKey": Kind(
        required=frozenset({"algorithm"}),
        optional={"rsaBits": 2048, "ecdsaCurve": "P224"},
        computed=frozenset(
            {
                "privateKeyPem",
                "privateKeyPemPkcs8",
                "privateKeyOpenssh",
                "publicKeyPem",
                "publicKeyOpenssh",
                "publicKeyFingerprintMd5",
                "publicKeyFingerprintSha256",
            }
        ),
        secrets=frozenset({"privateKeyPem", "privateKeyPemPkcs8", "privateKeyOpenssh"}),
        validate=_check_private_key,
        create=_create_private_key,
    ),
    "tls:index/certRequest:CertRequest": Kind(
        required=frozenset(),
        optional=_REQUEST_OPTIONS,
        computed=frozenset({"certRequestPem", "keyAlgorithm"}),
        secrets=frozenset({"privateKeyPem"}),
        write_only=frozenset({"privateKeyPemWo"}),
        validate=_check_request,
        create=_create_request,
    ),
    "tls:index/selfSignedCert:SelfSignedCert": Kind(
        required=frozenset({"allowedUses", "validityPeriodHours"}),
        optional={**_REQUEST_OPTIONS, **_CERTIFICATE_OPTIONS, "setAuthorityKeyId": False},
        computed=_CERTIFICATE_OUTPUTS | {"keyAlgorithm"},
        secrets=frozenset({"privateKeyPem"}),
        write_only=frozenset({"privateKeyPemWo"}),
        in_place=frozenset({"earlyRenewalHours"}),
        validate=_check_self_signed,
        create=_create_self_signed,
        read=_read_certificate,
        expired=_expired,
    ),
    "tls:index/locallySignedCert:LocallySignedCert": Kind(
        required=frozenset({"allowedUses", "validityPeriodHours", "certRequestPem", "caCertPem"}),
        optional={
            **_CERTIFICATE_OPTIONS,
            "caPrivateKeyPem": None,
            "caPrivateKeyPemWo": None,
            "caPrivateKeyPemWoVersion": None,
        },
        computed=_CERTIFICATE_OUTPUTS | {"caKeyAlgorithm"},
        secrets=frozenset({"caPrivateKeyPem"}),
        write_only=frozenset({"caPrivateKeyPemWo"}),
        in_place=frozenset({"earlyRenewalHours"}),
        validate=_check_locally_signed,
        create=_create_locally_signed,
        read=_read_certificate,
        expired=_expired,
    ),
}
