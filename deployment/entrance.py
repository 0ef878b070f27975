"""The way in: certificates, the numbered client certificates, and the load balancer."""

from __future__ import annotations

from dataclasses import dataclass

from components.certificate import Certificate, CertificateArgs
from components.client_certificates import ClientCertificates, ClientCertificatesArgs
from components.load_balancer import LoadBalancer, LoadBalancerArgs, Target
from components.network import Network
from core import names
from deployment.context import Context
from deployment.servers import Servers


@dataclass(frozen=True, kw_only=True)
class Entrance:
    """`clients` is None as long as nobody was ever given a client certificate."""

    certificate: Certificate
    clients: ClientCertificates | None
    balancer: LoadBalancer


def entrance(context: Context, network: Network, servers: Servers) -> Entrance:
    """Make the load balancer and what it needs to be trusted and to trust."""
    settings = context.settings
    certificate = Certificate(
        "certificate",
        CertificateArgs(
            domain=settings.access.domain,
            kind=settings.access.certificate,
            wildcard=settings.offer == "saas",
            zone_id=context.zone_id,
        ),
        context.opts,
    )
    clients = _clients(context)
    return Entrance(
        certificate=certificate,
        clients=clients,
        balancer=_balancer(context, network, servers, certificate, clients),
    )


def _clients(context: Context) -> ClientCertificates | None:
    """Make the client certificates; once there was one, the listener stays and refuses who has left."""
    wanted, issued = context.settings.client_certificates, context.before.issued_client_certificates
    if not wanted and not issued:
        return None
    return ClientCertificates(
        "client-certificates",
        ClientCertificatesArgs(
            certificates={c.number: c.name for c in wanted},
            issued_before=issued,
            domain=context.settings.access.domain,
            trust_store_name=f"{context.prefix}-clients",
        ),
        context.opts,
    )


def _balancer(
    context: Context,
    network: Network,
    servers: Servers,
    certificate: Certificate,
    clients: ClientCertificates | None,
) -> LoadBalancer:
    settings, access = context.settings, context.settings.access
    internal = settings.offer == "internal"
    app, web_client = servers.app, servers.web_client
    return LoadBalancer(
        "load-balancer",
        LoadBalancerArgs(
            vpc_id=network.vpc_id,
            subnet_ids=network.server_subnet_ids if internal else network.public_subnet_ids,
            account_id=context.account_id,
            internal=internal,
            allowed_cidrs=settings.client_cidrs,
            domain=access.domain,
            certificate_arn=certificate.certificate_arn,
            app=Target(
                target_group_arn=app.target_group_arn,
                security_group_id=app.security_group_id,
                port=names.APP_TARGET_PORT,
            ),
            web_client=Target(
                target_group_arn=web_client.target_group_arn,
                security_group_id=web_client.security_group_id,
                port=names.WEB_CLIENT_TARGET_PORT,
            ),
            trust_store_arn=clients.trust_store_arn if clients else None,
            trust_store_after=[clients] if clients else [],
            access_log_retention_days=access.access_log_retention_days,
            waf_login_requests_per_5_minutes=access.login_requests_per5_minutes if access.waf else None,
            zone_id=context.zone_id,
            wildcard=settings.offer == "saas",
            deletion_protection=settings.database.deletion_protection,
            protect=settings.protect,
        ),
        context.opts,
    )
