"""Numbered client certificates, and the trust store by which the load balancer knows and refuses them."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field

import pulumi
import pulumi_aws as aws
import pulumi_tls as tls

from components.authority import Authority, AuthorityArgs
from components.outputs import all_of
from components.private_bucket import PrivateBucket, PrivateBucketArgs
from core.revocation import (
    certificate_label,
    certificate_serial,
    ledger,
    revocation_list_of_authority,
    revoked_serials,
)

VALIDITY_HOURS = 2 * 365 * 24
EARLY_RENEWAL_HOURS = 90 * 24
"""An update in the last 90 days issues a new certificate; the old one stays valid while it is handed over."""
PEM = "application/x-pem-file"


@dataclass(frozen=True, kw_only=True)
class ClientCertificatesArgs:
    """Who has a client certificate, and who ever had one.

    `certificates` maps number to name (64 characters at most). `issued_before` is the ledger that this
    stack exported last (see core/revocation.py). `domain` tells one deployment's authority from
    another's. `trust_store_name` is physical: 32 characters at most, of letters, digits and hyphens; AWS
    allows no longer one, which auto-naming does not know.
    """

    certificates: Mapping[int, str]
    issued_before: Mapping[str, str] = field(default_factory=dict)
    domain: str
    trust_store_name: str


class ClientCertificates(pulumi.ComponentResource):
    """An authority for clients only, a certificate for each number and name, a trust store.

    A trust store that anybody was ever admitted by must stay, with an empty list of certificates too:
    create the component while `certificates` or `issued_before` holds anything.
    """

    trust_store_arn: pulumi.Output[str]
    ca_certificate_pem: pulumi.Output[str]
    certificates: pulumi.Output[dict[str, dict[str, str]]]
    """Secret; number (as text) -> name, certificate_pem, private_key_pem, serial (decimal)."""
    issued: pulumi.Output[dict[str, str]]
    """The new ledger: serial -> label, "revoked: " before the label where that is so."""

    def __init__(
        self, name: str, args: ClientCertificatesArgs, opts: pulumi.ResourceOptions | None = None
    ) -> None:
        super().__init__("openerp:index:ClientCertificates", name, {}, opts)
        child = pulumi.ResourceOptions(parent=self)
        authority = Authority(
            f"{name}-ca", AuthorityArgs(common_name="OpenERP client CA", domain=args.domain), child
        )
        self.ca_certificate_pem = authority.certificate_pem

        certificates: dict[str, pulumi.Output[dict[str, str]]] = {}
        serials: dict[str, pulumi.Output[str]] = {}
        for number, holder in args.certificates.items():
            label = certificate_label(number, holder)
            key, signed = _issue(f"{name}-{label}", number, holder, authority, child)
            serial = signed.cert_pem.apply(certificate_serial)
            serials[label] = serial
            certificates[str(number)] = pulumi.Output.all(
                name=holder,
                certificate_pem=signed.cert_pem,
                private_key_pem=key.private_key_pem,
                serial=serial,
            ).apply(lambda values: dict(values))

        bucket = PrivateBucket(
            # Everything in it can be made again from the state.
            f"{name}-trust",
            PrivateBucketArgs(versioned=True, force_destroy=True),
            child,
        )
        bundle = aws.s3.BucketObjectv2(
            f"{name}-ca-bundle",
            bucket=bucket.bucket,
            key="ca-bundle.pem",
            content=authority.certificate_pem,
            content_type=PEM,
            opts=pulumi.ResourceOptions(parent=self, depends_on=[bucket]),
        )
        store = aws.lb.TrustStore(
            f"{name}-store",
            name=args.trust_store_name,
            ca_certificates_bundle_s3_bucket=bucket.bucket,
            ca_certificates_bundle_s3_key=bundle.key,
            ca_certificates_bundle_s3_object_version=bundle.version_id,
            opts=child,
        )
        revoked = revoked_serials(args.issued_before, set(serials))
        self.trust_store_arn = store.arn
        if revoked:
            _revoke(name, revoked, authority, bucket, store, self)

        self.certificates = pulumi.Output.secret(all_of(certificates))
        self.issued = _ledger(args.issued_before, serials)
        self.register_outputs(
            {
                "trust_store_arn": self.trust_store_arn,
                "ca_certificate_pem": self.ca_certificate_pem,
                "certificates": self.certificates,
                "issued": self.issued,
            }
        )


def _issue(
    name: str, number: int, holder: str, authority: Authority, opts: pulumi.ResourceOptions
) -> tuple[tls.PrivateKey, tls.LocallySignedCert]:
    """Make key and certificate: common name the holder's, organizational unit the number."""
    key = tls.PrivateKey(f"{name}-key", algorithm="ECDSA", ecdsa_curve="P256", opts=opts)
    request = tls.CertRequest(
        f"{name}-request",
        private_key_pem=key.private_key_pem,
        subject=tls.CertRequestSubjectArgs(
            common_name=holder, organizational_unit=str(number), organization="OpenERP"
        ),
        opts=opts,
    )
    signed = tls.LocallySignedCert(
        f"{name}-certificate",
        cert_request_pem=request.cert_request_pem,
        ca_cert_pem=authority.certificate_pem,
        ca_private_key_pem=authority.private_key_pem,
        allowed_uses=["digital_signature", "client_auth"],
        validity_period_hours=VALIDITY_HOURS,
        early_renewal_hours=EARLY_RENEWAL_HOURS,
        set_subject_key_id=True,
        opts=opts,
    )
    return key, signed


def _revoke(
    name: str,
    revoked: tuple[str, ...],
    authority: Authority,
    bucket: PrivateBucket,
    store: aws.lb.TrustStore,
    parent: pulumi.Resource,
) -> None:
    """Put the revocation list in force, the new one before the old one goes.

    Its key has a hash of what it says: a new list is a new object and a new revocation, and Pulumi
    creates replacements before it deletes what they replace.
    """
    # Signed with a secret, but made to be read by anyone.
    pem = pulumi.Output.unsecret(
        pulumi.Output.all(authority.certificate_pem, authority.private_key_pem).apply(
            lambda pair: revocation_list_of_authority(pair[0], pair[1], revoked)
        )
    )
    content = aws.s3.BucketObjectv2(
        f"{name}-revocation-list",
        bucket=bucket.bucket,
        key=pem.apply(lambda text: f"revoked-{hashlib.sha256(text.encode()).hexdigest()[:16]}.pem"),
        content=pem,
        content_type=PEM,
        opts=pulumi.ResourceOptions(parent=parent, depends_on=[bucket]),
    )
    aws.lb.TrustStoreRevocation(
        f"{name}-revocation",
        trust_store_arn=store.arn,
        revocations_s3_bucket=bucket.bucket,
        revocations_s3_key=content.key,
        opts=pulumi.ResourceOptions(parent=parent),
    )


def _ledger(
    issued_before: Mapping[str, str], serials: Mapping[str, pulumi.Output[str]]
) -> pulumi.Output[dict[str, str]]:
    """Return the ledger; serial numbers are in every handshake, so it is not secret."""
    return pulumi.Output.unsecret(
        all_of(serials).apply(
            lambda by_label: ledger(issued_before, {s: label for label, s in by_label.items()})
        )
    )
