"""The load balancer: the only door of the deployment, and everything that hangs on it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import pulumi
import pulumi_aws as aws

from components.private_bucket import PrivateBucket, PrivateBucketArgs, Writer
from components.web_acl import WebAcl, WebAclArgs
from core.names import CLIENT_CERTIFICATE_PORT, HTTP_PORT, HTTPS_PORT, RPC_PATHS

TLS_POLICY = "ELBSecurityPolicy-TLS13-1-2-Res-2021-06"
"""TLS 1.3, and TLS 1.2 with forward secrecy and authenticated encryption only. Its elder sister without
`Res` also offers CBC ciphers, which no client of the last ten years needs."""
IDLE_TIMEOUT_SECONDS = 725
"""Odoo may work on one request for 720 s (nginx's timeout): nginx is to give up first, with a page."""
RPC_RULE_PRIORITY = 10


@dataclass(frozen=True, kw_only=True)
class Target:
    """A group of servers: where requests go, the servers' security group, and the TCP port they listen on."""

    target_group_arn: pulumi.Input[str]
    security_group_id: pulumi.Input[str]
    port: int


@dataclass(frozen=True, kw_only=True)
class LoadBalancerArgs:
    """Where the load balancer stands, whom it admits and where it sends them.

    `additional_certificate_arns` are served by host name (SNI), by a stable key. With `trust_store_arn`
    there is a second listener that asks for a client certificate; it is made after `trust_store_after`,
    so that it never admits by the store without its revocation list. `waf_login_requests_per_5_minutes`
    None means no firewall. `zone_id` None means no DNS record; with `wildcard` there is one for
    `*.domain` too. `protect` keeps the access logs when the stack is destroyed; `deletion_protection`
    makes AWS refuse to delete the load balancer.
    """

    vpc_id: pulumi.Input[str]
    subnet_ids: pulumi.Input[Sequence[pulumi.Input[str]]]
    account_id: pulumi.Input[str]
    internal: bool
    allowed_cidrs: Sequence[str]
    domain: str
    certificate_arn: pulumi.Input[str]
    additional_certificate_arns: Mapping[str, pulumi.Input[str]] = field(default_factory=dict)
    app: Target
    web_client: Target
    trust_store_arn: pulumi.Input[str] | None = None
    trust_store_after: Sequence[pulumi.Resource] = ()
    access_log_retention_days: int
    waf_login_requests_per_5_minutes: int | None = None
    zone_id: pulumi.Input[str] | None = None
    wildcard: bool = False
    deletion_protection: bool = False
    protect: bool = False


class LoadBalancer(pulumi.ComponentResource):
    """Application load balancer, listeners and rules, security group, access logs; firewall and DNS by args.

    It opens the way on both sides: out of its own security group and into the servers', so that servers
    need to know nothing of it.
    """

    arn: pulumi.Output[str]
    dns_name: pulumi.Output[str]
    zone_id: pulumi.Output[str]
    """Route 53 zone of `dns_name`, for alias records."""
    security_group_id: pulumi.Output[str]
    https_listener_arn: pulumi.Output[str]
    client_certificate_listener_arn: pulumi.Output[str | None]
    access_log_bucket: pulumi.Output[str]

    def __init__(self, name: str, args: LoadBalancerArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("openerp:index:LoadBalancer", name, {}, opts)
        child = pulumi.ResourceOptions(parent=self)
        self._name = name

        group = aws.ec2.SecurityGroup(
            f"{name}-security-group",
            description="OpenERP load balancer",
            vpc_id=args.vpc_id,
            opts=child,
        )
        self.security_group_id = group.id
        ports = {"http": HTTP_PORT, "https": HTTPS_PORT}
        if args.trust_store_arn is not None:
            ports["client-certificate"] = CLIENT_CERTIFICATE_PORT
        self._admit(args.allowed_cidrs, ports)
        self._open_the_way_to("app", args.app)
        self._open_the_way_to("web-client", args.web_client)

        logs = PrivateBucket(
            f"{name}-access-logs",
            PrivateBucketArgs(
                expire_after_days=args.access_log_retention_days,
                force_destroy=not args.protect,
                writers=[
                    Writer(
                        service="logdelivery.elasticloadbalancing.amazonaws.com",
                        prefix=pulumi.Output.concat("AWSLogs/", args.account_id),
                    )
                ],
            ),
            child,
        )
        self.access_log_bucket = logs.bucket
        balancer = aws.lb.LoadBalancer(
            f"{name}-alb",
            load_balancer_type="application",
            internal=args.internal,
            subnets=args.subnet_ids,
            security_groups=[group.id],
            idle_timeout=IDLE_TIMEOUT_SECONDS,
            drop_invalid_header_fields=True,
            desync_mitigation_mode="defensive",
            enable_deletion_protection=args.deletion_protection,
            access_logs=aws.lb.LoadBalancerAccessLogsArgs(bucket=logs.bucket, enabled=True),
            # AWS writes a test object before it accepts the bucket.
            opts=pulumi.ResourceOptions(parent=self, depends_on=[logs.policy]),
        )
        self.arn = balancer.arn
        self.dns_name = balancer.dns_name
        self.zone_id = balancer.zone_id

        aws.lb.Listener(
            f"{name}-http",
            load_balancer_arn=balancer.arn,
            port=HTTP_PORT,
            protocol="HTTP",
            default_actions=[
                aws.lb.ListenerDefaultActionArgs(
                    type="redirect",
                    redirect=aws.lb.ListenerDefaultActionRedirectArgs(
                        protocol="HTTPS", port=str(HTTPS_PORT), status_code="HTTP_301"
                    ),
                )
            ],
            opts=child,
        )
        https = self._tls_listener("https", HTTPS_PORT, args.certificate_arn, args.web_client)
        self.https_listener_arn = https.arn
        aws.lb.ListenerRule(
            f"{name}-rpc",
            listener_arn=https.arn,
            priority=RPC_RULE_PRIORITY,
            conditions=[
                aws.lb.ListenerRuleConditionArgs(
                    path_pattern=aws.lb.ListenerRuleConditionPathPatternArgs(values=list(RPC_PATHS))
                )
            ],
            actions=[
                aws.lb.ListenerRuleActionArgs(type="forward", target_group_arn=args.app.target_group_arn)
            ],
            opts=child,
        )
        listeners = {"https": https}
        self.client_certificate_listener_arn = pulumi.Output.from_input(None)
        if args.trust_store_arn is not None:
            listeners["client-certificate"] = self._tls_listener(
                "client-certificate",
                CLIENT_CERTIFICATE_PORT,
                args.certificate_arn,
                args.app,
                aws.lb.ListenerMutualAuthenticationArgs(
                    mode="verify",
                    trust_store_arn=args.trust_store_arn,
                    ignore_client_certificate_expiry=False,
                    # A client with several certificates is told which authority is asked for.
                    advertise_trust_store_ca_names="on",
                ),
                args.trust_store_after,
            )
            self.client_certificate_listener_arn = listeners["client-certificate"].arn.apply(lambda arn: arn)
        for listener_key, listener in listeners.items():
            for key, arn in args.additional_certificate_arns.items():
                aws.lb.ListenerCertificate(
                    f"{name}-{listener_key}-certificate-{key}",
                    listener_arn=listener.arn,
                    certificate_arn=arn,
                    opts=child,
                )

        if args.waf_login_requests_per_5_minutes is not None:
            WebAcl(
                f"{name}-web-acl",
                WebAclArgs(
                    resource_arn=balancer.arn,
                    login_requests_per_5_minutes=args.waf_login_requests_per_5_minutes,
                ),
                child,
            )
        if args.zone_id is not None:
            for host in [args.domain, f"*.{args.domain}"] if args.wildcard else [args.domain]:
                aws.route53.Record(
                    f"{name}-record-{host}",
                    zone_id=args.zone_id,
                    name=host,
                    type="A",
                    aliases=[
                        aws.route53.RecordAliasArgs(
                            name=balancer.dns_name, zone_id=balancer.zone_id, evaluate_target_health=True
                        )
                    ],
                    opts=child,
                )
        self.register_outputs(
            {
                "arn": self.arn,
                "dns_name": self.dns_name,
                "zone_id": self.zone_id,
                "security_group_id": self.security_group_id,
                "https_listener_arn": self.https_listener_arn,
                "client_certificate_listener_arn": self.client_certificate_listener_arn,
                "access_log_bucket": self.access_log_bucket,
            }
        )

    def _admit(self, cidrs: Sequence[str], ports: Mapping[str, int]) -> None:
        for cidr in cidrs:
            for key, port in ports.items():
                aws.vpc.SecurityGroupIngressRule(
                    f"{self._name}-{key}-from-{cidr.replace('/', '-')}",
                    security_group_id=self.security_group_id,
                    description=f"{key} from {cidr}",
                    ip_protocol="tcp",
                    from_port=port,
                    to_port=port,
                    cidr_ipv4=cidr,
                    opts=pulumi.ResourceOptions(parent=self),
                )

    def _open_the_way_to(self, key: str, target: Target) -> None:
        aws.vpc.SecurityGroupEgressRule(
            f"{self._name}-to-{key}",
            security_group_id=self.security_group_id,
            referenced_security_group_id=target.security_group_id,
            description=f"requests and health checks to the {key} servers",
            ip_protocol="tcp",
            from_port=target.port,
            to_port=target.port,
            opts=pulumi.ResourceOptions(parent=self),
        )
        aws.vpc.SecurityGroupIngressRule(
            f"{self._name}-into-{key}",
            security_group_id=target.security_group_id,
            referenced_security_group_id=self.security_group_id,
            description="requests and health checks from the load balancer",
            ip_protocol="tcp",
            from_port=target.port,
            to_port=target.port,
            opts=pulumi.ResourceOptions(parent=self),
        )

    def _tls_listener(
        self,
        key: str,
        port: int,
        certificate_arn: pulumi.Input[str],
        target: Target,
        mutual_authentication: aws.lb.ListenerMutualAuthenticationArgs | None = None,
        after: Sequence[pulumi.Resource] = (),
    ) -> aws.lb.Listener:
        return aws.lb.Listener(
            f"{self._name}-{key}",
            load_balancer_arn=self.arn,
            port=port,
            protocol="HTTPS",
            ssl_policy=TLS_POLICY,
            certificate_arn=certificate_arn,
            mutual_authentication=mutual_authentication,
            default_actions=[
                aws.lb.ListenerDefaultActionArgs(type="forward", target_group_arn=target.target_group_arn)
            ],
            opts=pulumi.ResourceOptions(parent=self, depends_on=list(after)),
        )
