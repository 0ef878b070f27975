"""The load balancer's server certificate: from ACM by DNS validation, or from an authority of one's own."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import pulumi
import pulumi_aws as aws
import pulumi_tls as tls

from components.authority import Authority, AuthorityArgs

LONGEST_COMMON_NAME = 64
"""Characters; X.509 (RFC 5280, ub-common-name) and ACM's RequestCertificate agree."""
SERVER_VALIDITY_HOURS = 397 * 24
"""397 days, what browsers accept from public authorities; Apple's limit for private ones is 825."""
SERVER_EARLY_RENEWAL_HOURS = 60 * 24
"""An update in the last 60 days issues a new certificate; the alarm on expiry speaks up 30 days before."""


@dataclass(frozen=True, kw_only=True)
class CertificateArgs:
    """What the certificate is for.

    `kind` is `acm` (needs `zone_id`, the Route 53 zone that holds `domain`) or `private`. With `wildcard`
    it also covers `*.domain`, one host name a tenant.
    """

    domain: str
    kind: Literal["acm", "private"]
    wildcard: bool = False
    zone_id: pulumi.Input[str] | None = None


class Certificate(pulumi.ComponentResource):
    """A certificate in ACM, ready to be used by a listener.

    Raises ValueError for a domain longer than a common name may be, and for `acm` without a zone.
    """

    certificate_arn: pulumi.Output[str]
    """ARN; with `acm` it is known only when the certificate has been validated."""
    ca_certificate_pem: pulumi.Output[str | None]
    """What clients must trust; None with `acm`, whose authority every client knows."""

    def __init__(self, name: str, args: CertificateArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("openerp:index:Certificate", name, {}, opts)
        if len(args.domain) > LONGEST_COMMON_NAME:
            raise ValueError(
                f"openerp:access.domain has {len(args.domain)} characters; "
                f"a certificate allows {LONGEST_COMMON_NAME}"
            )
        if args.kind == "acm":
            self.certificate_arn = self._validated_by_dns(name, args)
            self.ca_certificate_pem = pulumi.Output.from_input(None)
        else:
            self.certificate_arn, self.ca_certificate_pem = self._issued_by_own_authority(name, args)
        self.register_outputs(
            {"certificate_arn": self.certificate_arn, "ca_certificate_pem": self.ca_certificate_pem}
        )

    def _validated_by_dns(self, name: str, args: CertificateArgs) -> pulumi.Output[str]:
        if args.zone_id is None:
            raise ValueError(
                "openerp:access.certificate is 'acm', which is validated by a DNS record: "
                "set openerp:access.hostedZone to the Route 53 zone that holds the domain, or use 'private'"
            )
        child = pulumi.ResourceOptions(parent=self)
        domain = args.domain
        certificate = aws.acm.Certificate(
            f"{name}-certificate",
            domain_name=domain,
            subject_alternative_names=[f"*.{domain}"] if args.wildcard else None,
            validation_method="DNS",
            opts=child,
        )

        # The domain and its wildcard are validated by one and the same record, so the number of records
        # is known without asking ACM. What the record says is not.
        def option(key: str) -> pulumi.Output[str]:
            def pick(options: Sequence[Any]) -> str:
                found = next(o for o in options if o.domain_name == domain)
                return str(getattr(found, key))

            return certificate.domain_validation_options.apply(pick)

        # A record of an earlier life of this stack has the same name and value: ACM derives both from
        # account and domain. Taking it over beats failing on it.
        record = aws.route53.Record(
            f"{name}-validation-{domain}",
            zone_id=args.zone_id,
            name=option("resource_record_name"),
            type=option("resource_record_type"),
            records=[option("resource_record_value")],
            ttl=300,
            allow_overwrite=True,
            opts=child,
        )
        validation = aws.acm.CertificateValidation(
            f"{name}-validated",
            certificate_arn=certificate.arn,
            validation_record_fqdns=[record.fqdn],
            opts=child,
        )
        return validation.certificate_arn

    def _issued_by_own_authority(
        self, name: str, args: CertificateArgs
    ) -> tuple[pulumi.Output[str], pulumi.Output[str | None]]:
        child = pulumi.ResourceOptions(parent=self)
        authority = Authority(
            f"{name}-ca", AuthorityArgs(common_name="OpenERP server CA", domain=args.domain), child
        )
        key = tls.PrivateKey(f"{name}-key", algorithm="ECDSA", ecdsa_curve="P256", opts=child)
        names = [args.domain, f"*.{args.domain}"] if args.wildcard else [args.domain]
        request = tls.CertRequest(
            f"{name}-request",
            private_key_pem=key.private_key_pem,
            dns_names=names,
            subject=tls.CertRequestSubjectArgs(common_name=args.domain, organization="OpenERP"),
            opts=child,
        )
        signed = tls.LocallySignedCert(
            f"{name}-signed",
            cert_request_pem=request.cert_request_pem,
            ca_cert_pem=authority.certificate_pem,
            ca_private_key_pem=authority.private_key_pem,
            allowed_uses=["digital_signature", "server_auth"],
            validity_period_hours=SERVER_VALIDITY_HOURS,
            early_renewal_hours=SERVER_EARLY_RENEWAL_HOURS,
            set_subject_key_id=True,
            opts=child,
        )
        certificate = aws.acm.Certificate(
            f"{name}-certificate",
            certificate_body=signed.cert_pem,
            certificate_chain=authority.certificate_pem,
            private_key=_secret(key.private_key_pem),
            opts=child,
        )
        return certificate.arn, authority.certificate_pem.apply(lambda pem: pem)


def _secret(value: pulumi.Output[str]) -> pulumi.Output[str]:
    """Return `value` as a secret, whether or not the provider marked it as one."""
    return pulumi.Output.secret(value)
