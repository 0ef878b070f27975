"""ELBv2 trust stores over boto3. That a load balancer would verify anything is not shown: none runs here."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from botocore.exceptions import ClientError
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID

Clients = Callable[..., Any]
NOW = datetime.now(UTC)


def authority() -> tuple[bytes, ec.EllipticCurvePrivateKey, x509.Name]:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "CA")])
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(NOW)
        .not_valid_after(NOW + timedelta(days=1))
        .sign(key, hashes.SHA256())
    )
    return certificate.public_bytes(Encoding.PEM), key, name


def revocations(key: ec.EllipticCurvePrivateKey, name: x509.Name, *serials: int) -> bytes:
    builder = (
        x509.CertificateRevocationListBuilder()
        .issuer_name(name)
        .last_update(NOW)
        .next_update(NOW + timedelta(days=1))
    )
    for serial in serials:
        revoked = x509.RevokedCertificateBuilder().serial_number(serial).revocation_date(NOW).build()
        builder = builder.add_revoked_certificate(revoked)
    return builder.sign(key, hashes.SHA256()).public_bytes(Encoding.PEM)


@pytest.fixture(scope="module")
def bucket(client: Clients) -> str:
    pem, key, name = authority()
    s3 = client("s3")
    s3.create_bucket(Bucket="trust", CreateBucketConfiguration={"LocationConstraint": "eu-west-1"})
    s3.put_object(Bucket="trust", Key="ca.pem", Body=pem)
    s3.put_object(Bucket="trust", Key="two.pem", Body=pem + authority()[0])
    s3.put_object(Bucket="trust", Key="crl.pem", Body=revocations(key, name, 7, 8))
    s3.put_object(Bucket="trust", Key="nonsense", Body=b"nonsense")
    return "trust"


@pytest.fixture
def store(client: Clients, bucket: str, request: pytest.FixtureRequest) -> str:
    name = "store-" + format(abs(hash(request.node.name)) % 10**8)
    made = client("elbv2").create_trust_store(
        Name=name,
        CaCertificatesBundleS3Bucket=bucket,
        CaCertificatesBundleS3Key="ca.pem",
        Tags=[{"Key": "owner", "Value": "test"}],
    )["TrustStores"][0]
    return str(made["TrustStoreArn"])


def code(caught: pytest.ExceptionInfo[ClientError]) -> str:
    return str(caught.value.response["Error"]["Code"])


def test_a_trust_store_is_described_with_the_number_of_its_certificates(client: Clients, store: str) -> None:
    elbv2 = client("elbv2")
    (found,) = elbv2.describe_trust_stores(TrustStoreArns=[store])["TrustStores"]
    assert (found["Status"], found["NumberOfCaCertificates"], found["TotalRevokedEntries"]) == (
        "ACTIVE",
        1,
        0,
    )
    assert elbv2.describe_trust_stores(Names=[found["Name"]])["TrustStores"] == [found]
    (tags,) = elbv2.describe_tags(ResourceArns=[store])["TagDescriptions"]
    assert tags["Tags"] == [{"Key": "owner", "Value": "test"}]
    elbv2.add_tags(ResourceArns=[store], Tags=[{"Key": "a", "Value": "b"}])
    elbv2.remove_tags(ResourceArns=[store], TagKeys=["owner"])
    (tags,) = elbv2.describe_tags(ResourceArns=[store])["TagDescriptions"]
    assert tags["Tags"] == [{"Key": "a", "Value": "b"}]


def test_a_trust_stores_bundle_can_be_replaced_and_located(client: Clients, store: str, bucket: str) -> None:
    elbv2 = client("elbv2")
    changed = elbv2.modify_trust_store(
        TrustStoreArn=store, CaCertificatesBundleS3Bucket=bucket, CaCertificatesBundleS3Key="two.pem"
    )["TrustStores"][0]
    assert changed["NumberOfCaCertificates"] == 2
    assert elbv2.get_trust_store_ca_certificates_bundle(TrustStoreArn=store)["Location"].endswith(
        "/trust/two.pem"
    )


def test_revocation_lists_are_counted_described_and_removed(client: Clients, store: str, bucket: str) -> None:
    elbv2 = client("elbv2")
    contents = [{"S3Bucket": bucket, "S3Key": "crl.pem", "RevocationType": "CRL"}]
    (added,) = elbv2.add_trust_store_revocations(TrustStoreArn=store, RevocationContents=contents)[
        "TrustStoreRevocations"
    ]
    assert (added["NumberOfRevokedEntries"], added["RevocationType"]) == (2, "CRL")
    assert elbv2.describe_trust_store_revocations(TrustStoreArn=store)["TrustStoreRevocations"] == [added]
    assert elbv2.describe_trust_stores(TrustStoreArns=[store])["TrustStores"][0]["TotalRevokedEntries"] == 2
    number = added["RevocationId"]
    where = elbv2.get_trust_store_revocation_content(TrustStoreArn=store, RevocationId=number)
    assert where["Location"].endswith("/trust/crl.pem")
    elbv2.remove_trust_store_revocations(TrustStoreArn=store, RevocationIds=[number])
    assert elbv2.describe_trust_store_revocations(TrustStoreArn=store)["TrustStoreRevocations"] == []
    with pytest.raises(ClientError) as caught:
        elbv2.remove_trust_store_revocations(TrustStoreArn=store, RevocationIds=[number])
    assert code(caught).startswith("RevocationIdNotFound")


@pytest.mark.parametrize(
    ("key", "expected"),
    [("absent", "CaCertificatesBundleNotFound"), ("nonsense", "InvalidCaCertificatesBundle")],
)
def test_a_bundle_that_is_absent_or_holds_no_certificates_is_refused(
    client: Clients, bucket: str, key: str, expected: str
) -> None:
    with pytest.raises(ClientError) as caught:
        client("elbv2").create_trust_store(
            Name="never", CaCertificatesBundleS3Bucket=bucket, CaCertificatesBundleS3Key=key
        )
    assert code(caught).startswith(expected)


@pytest.mark.parametrize(
    ("key", "expected"), [("absent", "RevocationContentNotFound"), ("nonsense", "InvalidRevocationContent")]
)
def test_a_revocation_list_that_is_absent_or_none_is_refused(
    client: Clients, store: str, bucket: str, key: str, expected: str
) -> None:
    with pytest.raises(ClientError) as caught:
        client("elbv2").add_trust_store_revocations(
            TrustStoreArn=store, RevocationContents=[{"S3Bucket": bucket, "S3Key": key}]
        )
    assert code(caught).startswith(expected)


def test_a_listener_keeps_its_mutual_authentication_and_holds_the_trust_store(
    client: Clients, store: str, subnets: list[str]
) -> None:
    elbv2, acm = client("elbv2"), client("acm")
    certificate = acm.request_certificate(DomainName="erp.example.com")["CertificateArn"]
    balancer = elbv2.create_load_balancer(Name="mutual", Subnets=subnets)["LoadBalancers"][0]
    with pytest.raises(ClientError) as caught:
        elbv2.create_listener(
            LoadBalancerArn=balancer["LoadBalancerArn"],
            Protocol="HTTPS",
            Port=8443,
            Certificates=[{"CertificateArn": certificate}],
            DefaultActions=[{"Type": "fixed-response", "FixedResponseConfig": {"StatusCode": "404"}}],
            MutualAuthentication={"Mode": "verify", "TrustStoreArn": store + "x"},
        )
    assert code(caught).startswith("TrustStoreNotFound")
    listener = elbv2.create_listener(
        LoadBalancerArn=balancer["LoadBalancerArn"],
        Protocol="HTTPS",
        Port=8443,
        Certificates=[{"CertificateArn": certificate}],
        DefaultActions=[{"Type": "fixed-response", "FixedResponseConfig": {"StatusCode": "404"}}],
        MutualAuthentication={
            "Mode": "verify",
            "TrustStoreArn": store,
            "IgnoreClientCertificateExpiry": False,
        },
    )["Listeners"][0]
    arn = listener["ListenerArn"]
    expected = {
        "Mode": "verify",
        "TrustStoreArn": store,
        "IgnoreClientCertificateExpiry": False,
        "TrustStoreAssociationStatus": "active",
        "AdvertiseTrustStoreCaNames": "off",
    }
    assert listener["MutualAuthentication"] == expected
    assert elbv2.describe_listeners(ListenerArns=[arn])["Listeners"][0]["MutualAuthentication"] == expected
    associations = elbv2.describe_trust_store_associations(TrustStoreArn=store)["TrustStoreAssociations"]
    assert associations == [{"ResourceArn": arn}]
    with pytest.raises(ClientError) as caught:
        elbv2.delete_trust_store(TrustStoreArn=store)
    assert code(caught).startswith("TrustStoreInUse")
    changed = elbv2.modify_listener(ListenerArn=arn, MutualAuthentication={"Mode": "off"})["Listeners"][0]
    assert changed["MutualAuthentication"] == {"Mode": "off"}
    elbv2.delete_trust_store(TrustStoreArn=store)
    with pytest.raises(ClientError) as caught:
        elbv2.describe_trust_stores(TrustStoreArns=[store])
    assert code(caught).startswith("TrustStoreNotFound")
