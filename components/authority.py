"""A certificate authority of one's own, made and kept by pulumi-tls."""

from __future__ import annotations

from dataclasses import dataclass

import pulumi
import pulumi_tls as tls

AUTHORITY_VALIDITY_HOURS = 10 * 365 * 24
AUTHORITY_EARLY_RENEWAL_HOURS = 365 * 24
"""In its last year the authority gets a new certificate for the same key and name, so that whatever
trusts the old one goes on working while the new one is handed out."""


@dataclass(frozen=True, kw_only=True)
class AuthorityArgs:
    """Name of the authority; `domain` (64 characters at most) tells one deployment's from another's."""

    common_name: str
    domain: str


class Authority(pulumi.ComponentResource):
    """Key and self-signed certificate that may sign certificates and revocation lists, nothing else.

    Keys are ECDSA on P-256 here and in what the authorities sign: ACM imports it, the load balancer
    serves and verifies it, every TLS 1.2 client of the last decade knows it, signatures can be made
    deterministic (the revocation list needs that), and a key takes a millisecond, not RSA's hundreds.
    """

    certificate_pem: pulumi.Output[str]
    private_key_pem: pulumi.Output[str]

    def __init__(self, name: str, args: AuthorityArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("openerp:index:Authority", name, {}, opts)
        child = pulumi.ResourceOptions(parent=self)
        key = tls.PrivateKey(f"{name}-key", algorithm="ECDSA", ecdsa_curve="P256", opts=child)
        certificate = tls.SelfSignedCert(
            f"{name}-certificate",
            private_key_pem=key.private_key_pem,
            is_ca_certificate=True,
            allowed_uses=["cert_signing", "crl_signing"],
            subject=tls.SelfSignedCertSubjectArgs(
                common_name=args.common_name, organization="OpenERP", organizational_unit=args.domain
            ),
            # Clients with strict checks (Python 3.13's default) want both identifiers.
            set_subject_key_id=True,
            set_authority_key_id=True,
            validity_period_hours=AUTHORITY_VALIDITY_HOURS,
            early_renewal_hours=AUTHORITY_EARLY_RENEWAL_HOURS,
            opts=child,
        )
        self.certificate_pem = certificate.cert_pem
        self.private_key_pem = pulumi.Output.secret(key.private_key_pem)
        self.register_outputs({"certificate_pem": self.certificate_pem})
