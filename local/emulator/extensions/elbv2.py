"""Elastic Load Balancing v2: trust stores, their revocation lists, a listener's mutual authentication, and
the health of targets that run for real."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from moto.core.exceptions import ServiceException
from moto.elbv2 import models
from moto.elbv2.responses import ELBV2Response
from moto.moto_api._internal import mock_random
from moto.s3.exceptions import S3ClientError
from moto.s3.models import s3_backends

from local.emulator.extensions import Context
from local.emulator.extensions.toolkit import Parameters, add, errors, parameters

error = errors("elbv2")


class TrustStore:
    """One trust store; its attributes are those of the API in snake case."""

    def __init__(self, name: str, arn: str) -> None:
        self.name = name
        self.trust_store_arn = arn
        self.status = "ACTIVE"
        self.bundle: dict[str, str] = {}
        self.number_of_ca_certificates = 0
        self.revocations: dict[int, dict[str, Any]] = {}
        self.next_revocation_id = 1

    @property
    def total_revoked_entries(self) -> int:
        return sum(row["NumberOfRevokedEntries"] for row in self.revocations.values())


def _stores(backend: Any) -> dict[str, TrustStore]:
    """A region's trust stores by ARN."""
    if not hasattr(backend, "local_trust_stores"):
        backend.local_trust_stores = {}
    found: dict[str, TrustStore] = backend.local_trust_stores
    return found


def _store(response: Any, arn: str) -> TrustStore:
    found = _stores(response.elbv2_backend).get(arn)
    if found is None:
        raise error("TrustStoreNotFound", f"Trust store '{arn}' not found")
    return found


def _described(store: TrustStore) -> dict[str, Any]:
    return {
        "Name": store.name,
        "TrustStoreArn": store.trust_store_arn,
        "Status": store.status,
        "NumberOfCaCertificates": store.number_of_ca_certificates,
        "TotalRevokedEntries": store.total_revoked_entries,
    }


def _object(response: Any, bucket: str, name: str, version: str | None, missing: str) -> bytes:
    """What S3 holds; ``missing`` is the error code if it holds nothing of that name."""
    backend = s3_backends[response.current_account][response.partition]
    try:
        found = backend.get_object(bucket, name, version_id=version)
    except (S3ClientError, ServiceException):
        found = None
    if found is None:
        raise error(missing, f"The object s3://{bucket}/{name} does not exist")
    return bytes(found.value)


def _read_bundle(response: Any, given: Parameters) -> tuple[dict[str, str], int]:
    bucket, name = given["CaCertificatesBundleS3Bucket"], given["CaCertificatesBundleS3Key"]
    version = given.get("CaCertificatesBundleS3ObjectVersion")
    data = _object(response, bucket, name, version, "CaCertificatesBundleNotFound")
    try:
        certificates = x509.load_pem_x509_certificates(data)
    except ValueError as reason:
        raise error(
            "InvalidCaCertificatesBundle", f"s3://{bucket}/{name} holds no certificates: {reason}"
        ) from None
    return {"bucket": bucket, "key": name}, len(certificates)


def _location(response: Any, bucket: str, name: str) -> str:
    return f"http://{response.normalized_request.headers['Host']}/{bucket}/{name}"


def create_trust_store(response: Any, given: Parameters) -> dict[str, Any]:
    """Makes a trust store from a bundle of certificates in S3."""
    backend = response.elbv2_backend
    name = given["Name"]
    if any(store.name == name for store in _stores(backend).values()):
        raise error("DuplicateTrustStoreName", f"A trust store with the name '{name}' already exists")
    bundle, count = _read_bundle(response, given)
    arn = (
        f"arn:{backend.partition}:elasticloadbalancing:{backend.region_name}:{backend.account_id}"
        f":truststore/{name}/{mock_random.get_random_hex(16)}"
    )
    store = TrustStore(name, arn)
    store.bundle, store.number_of_ca_certificates = bundle, count
    _stores(backend)[arn] = store
    if given.get("Tags"):
        backend.tagging_service.tag_resource(arn, given["Tags"])
    return {"TrustStores": [_described(store)]}


def describe_trust_stores(response: Any, given: Parameters) -> dict[str, Any]:
    """All trust stores, or those of given ARNs or names."""
    stores = _stores(response.elbv2_backend)
    arns, names = given.get("TrustStoreArns"), given.get("Names")
    if arns:
        return {"TrustStores": [_described(_store(response, arn)) for arn in arns]}
    if names:
        found = [store for store in stores.values() if store.name in names]
        missing = sorted(set(names) - {store.name for store in found})
        if missing:
            raise error("TrustStoreNotFound", f"Trust store '{missing[0]}' not found")
        return {"TrustStores": [_described(store) for store in found]}
    return {"TrustStores": [_described(store) for store in stores.values()]}


def modify_trust_store(response: Any, given: Parameters) -> dict[str, Any]:
    """Replaces the bundle."""
    store = _store(response, given["TrustStoreArn"])
    store.bundle, store.number_of_ca_certificates = _read_bundle(response, given)
    return {"TrustStores": [_described(store)]}


def _listeners_of(backend: Any, arn: str) -> list[str]:
    return [
        listener.arn
        for balancer in backend.load_balancers.values()
        for listener in balancer.listeners.values()
        if (getattr(listener, "mutual_authentication", None) or {}).get("TrustStoreArn") == arn
    ]


def delete_trust_store(response: Any, given: Parameters) -> None:
    """Deletes a trust store that no listener uses."""
    backend = response.elbv2_backend
    store = _store(response, given["TrustStoreArn"])
    users = _listeners_of(backend, store.trust_store_arn)
    if users:
        raise error("TrustStoreInUse", f"Trust store '{store.trust_store_arn}' is in use by {users[0]}")
    del _stores(backend)[store.trust_store_arn]
    backend.tagging_service.delete_all_tags_for_resource(store.trust_store_arn)


def get_trust_store_ca_certificates_bundle(response: Any, given: Parameters) -> dict[str, Any]:
    """Where the bundle can be read."""
    bundle = _store(response, given["TrustStoreArn"]).bundle
    return {"Location": _location(response, bundle["bucket"], bundle["key"])}


def describe_trust_store_associations(response: Any, given: Parameters) -> dict[str, Any]:
    """The listeners that use a trust store."""
    arn = _store(response, given["TrustStoreArn"]).trust_store_arn
    users = _listeners_of(response.elbv2_backend, arn)
    return {"TrustStoreAssociations": [{"ResourceArn": user} for user in users]}


def _count_revoked(data: bytes, where: str) -> int:
    try:
        pem = data.lstrip().startswith(b"-----BEGIN")
        crl = x509.load_pem_x509_crl(data) if pem else x509.load_der_x509_crl(data)
    except ValueError as reason:
        raise error("InvalidRevocationContent", f"{where} is not a revocation list: {reason}") from None
    expiry = crl.next_update_utc
    if expiry is not None and expiry < datetime.now(UTC):
        raise error("InvalidRevocationContent", f"{where} expired on {expiry:%Y-%m-%d}")
    return len(crl)


def add_trust_store_revocations(response: Any, given: Parameters) -> dict[str, Any]:
    """Adds revocation lists from S3."""
    store = _store(response, given["TrustStoreArn"])
    added = []
    for content in given.get("RevocationContents", []):
        bucket, name = content["S3Bucket"], content["S3Key"]
        version = content.get("S3ObjectVersion")
        data = _object(response, bucket, name, version, "RevocationContentNotFound")
        row = {
            "TrustStoreArn": store.trust_store_arn,
            "RevocationId": store.next_revocation_id,
            "RevocationType": content.get("RevocationType", "CRL"),
            "NumberOfRevokedEntries": _count_revoked(data, f"s3://{bucket}/{name}"),
            "Location": _location(response, bucket, name),
        }
        store.revocations[store.next_revocation_id] = row
        store.next_revocation_id += 1
        added.append(row)
    return {"TrustStoreRevocations": [_shown(row) for row in added]}


def _shown(row: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in row.items() if name != "Location"}


def _revocation(store: TrustStore, number: Any) -> dict[str, Any]:
    found = store.revocations.get(int(number))
    if found is None:
        raise error("RevocationIdNotFound", f"Revocation '{number}' not found in '{store.trust_store_arn}'")
    return found


def describe_trust_store_revocations(response: Any, given: Parameters) -> dict[str, Any]:
    """All revocation lists of a trust store, or given ones."""
    store = _store(response, given["TrustStoreArn"])
    wanted = given.get("RevocationIds")
    rows = [_revocation(store, number) for number in wanted] if wanted else list(store.revocations.values())
    return {"TrustStoreRevocations": [_shown(row) for row in rows]}


def remove_trust_store_revocations(response: Any, given: Parameters) -> None:
    """Removes revocation lists."""
    store = _store(response, given["TrustStoreArn"])
    for number in given["RevocationIds"]:
        _revocation(store, number)
        del store.revocations[int(number)]


def get_trust_store_revocation_content(response: Any, given: Parameters) -> dict[str, Any]:
    """Where a revocation list can be read."""
    row = _revocation(_store(response, given["TrustStoreArn"]), given["RevocationId"])
    return {"Location": row["Location"]}


def _mutual_authentication(response: Any, given: Parameters) -> dict[str, Any] | None:
    """The setting of a request, checked; ``None`` if it has none."""
    found = given.get("MutualAuthentication")
    if found is None:
        return None
    mode, arn = found.get("Mode", "off"), found.get("TrustStoreArn")
    if mode == "verify":
        if not arn:
            raise error("ValidationError", "A trust store ARN must be specified with mode 'verify'")
        _store(response, arn)
    elif arn:
        raise error("ValidationError", f"A trust store ARN cannot be specified with mode '{mode}'")
    shown = {"Mode": mode}
    if arn:
        shown |= {
            "TrustStoreArn": arn,
            "IgnoreClientCertificateExpiry": found.get("IgnoreClientCertificateExpiry", False),
            "TrustStoreAssociationStatus": "active",
            "AdvertiseTrustStoreCaNames": found.get("AdvertiseTrustStoreCaNames", "off"),
        }
    return shown


def _patch_listeners() -> None:
    originals = (ELBV2Response.create_listener, ELBV2Response.modify_listener)

    def wrapped(original: Any) -> Any:
        def method(response: Any) -> Any:
            setting = _mutual_authentication(response, parameters(response))
            result = original(response)
            (listener,) = result.result["Listeners"]
            if setting is not None:
                listener.mutual_authentication = setting
            elif listener.protocol == "HTTPS" and not hasattr(listener, "mutual_authentication"):
                listener.mutual_authentication = {"Mode": "off"}
            return result

        method.__name__ = original.__name__
        return method

    for original in originals:
        setattr(ELBV2Response, original.__name__, wrapped(original))


def _patch_tags() -> None:
    find = models.ELBv2Backend._get_resource_by_arn

    def get(self: Any, arn: str) -> Any:
        if ":truststore/" not in arn:
            return find(self, arn)
        if arn not in _stores(self):
            raise error("TrustStoreNotFound", f"Trust store '{arn}' not found")
        return _stores(self)[arn]

    setattr(models.ELBv2Backend, find.__name__, get)


def trust_store_contents(backend: Any) -> dict[str, dict[str, Any]]:
    """The certificates and revocation lists of a region's trust stores, as PEM, by ARN."""
    buckets = s3_backends[backend.account_id][backend.partition]

    def read(bucket: str, key: str) -> bytes:
        found = buckets.get_object(bucket, key)
        return b"" if found is None else bytes(found.value)

    found = {}
    for arn, store in _stores(backend).items():
        lists = []
        for row in store.revocations.values():
            bucket, _, key = str(row["Location"]).partition("://")[2].partition("/")[2].partition("/")
            data = read(bucket, key)
            if data and not data.lstrip().startswith(b"-----BEGIN"):
                data = x509.load_der_x509_crl(data).public_bytes(Encoding.PEM)
            lists.append(data.decode())
        bundle = read(store.bundle["bucket"], store.bundle["key"]).decode()
        found[arn] = {"certificates": bundle, "revocation_lists": lists}
    return found


_REASONS = {
    "healthy": (None, None),
    "initial": ("Elb.RegistrationInProgress", "Target registration is in progress"),
    "unhealthy": ("Target.FailedHealthChecks", "Health checks failed"),
    "draining": ("Target.DeregistrationInProgress", "Target deregistration is in progress"),
}
"""Codes and texts of the API (TargetHealth)."""


def _patch_health(context: Context) -> None:
    health = models.FakeTargetGroup.health_for

    def health_for(self: Any, target: dict[str, Any], ec2_backend: Any) -> Any:
        """What the load balancer of this machine finds, where one runs; else every target is healthy."""
        own = self.targets.get(target["Id"])
        if own is None or not context.nodes.attached():
            return health(self, target, ec2_backend)
        state = context.nodes.health(self.arn, target["Id"])
        return models.FakeHealthStatus(
            target["Id"], own["Port"], self.health_check_port, state, *_REASONS.get(state, (None, None))
        )

    setattr(models.FakeTargetGroup, health.__name__, health_for)


def install(context: Context) -> None:
    """Puts the extension in place."""
    _patch_listeners()
    _patch_tags()
    _patch_health(context)
    add(
        ELBV2Response,
        create_trust_store,
        describe_trust_stores,
        modify_trust_store,
        delete_trust_store,
        get_trust_store_ca_certificates_bundle,
        describe_trust_store_associations,
        add_trust_store_revocations,
        describe_trust_store_revocations,
        remove_trust_store_revocations,
        get_trust_store_revocation_content,
    )
