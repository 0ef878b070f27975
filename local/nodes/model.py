"""What the emulator holds and servers are made from, as plain data: read by `cloud`, obeyed by the rest.

Names are AWS's. Nothing here does anything; a test can write down a whole cloud by hand.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal


@dataclass(frozen=True, kw_only=True)
class SecurityGroupRule:
    """One way in or out. Exactly one of `cidr` and `peer_group_id` is set."""

    direction: Literal["ingress", "egress"]
    protocol: str
    """`tcp`, `udp`, `icmp`, or `-1` for all of them."""
    from_port: int
    to_port: int
    """The last port of the range; -1 for all."""
    cidr: str | None = None
    peer_group_id: str | None = None


@dataclass(frozen=True, kw_only=True)
class SecurityGroup:
    """A set of rules; what no rule permits is refused."""

    id: str
    rules: tuple[SecurityGroupRule, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Instance:
    """One EC2 instance that runs or is about to."""

    id: str
    state: str
    """`pending`, `running`, `stopping`, `stopped`, `shutting-down` or `terminated`."""
    image_name: str
    """Name of its image, such as `debian-13-arm64-…` or `openerp-19.0`."""
    instance_type: str
    private_ip: str
    subnet_cidr: str
    availability_zone: str
    vpc_id: str
    role_name: str | None
    """Role of its instance profile."""
    user_data: bytes
    """As EC2 hands it out: decoded from base64, perhaps gzip."""
    group_name: str | None
    """Its Auto Scaling group."""
    launch_template_version: str | None = None
    security_group_ids: tuple[str, ...] = ()
    metadata_hop_limit: int = 1
    metadata_tokens_required: bool = True
    tags: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class AutoScalingGroup:
    """A group and its wishes. Times in seconds."""

    name: str
    desired: int
    instance_ids: tuple[str, ...]
    target_group_arns: tuple[str, ...]
    launch_template_version: str | None
    health_check_type: str = "EC2"
    grace_seconds: int = 0
    refresh_id: str | None = None
    """The instance refresh that is under way."""
    refresh_old_ids: tuple[str, ...] = ()
    """The instances that it has still to replace."""
    instance_versions: Mapping[str, str | None] = field(default_factory=dict)
    """The version of the launch template that each instance was launched from."""


@dataclass(frozen=True, kw_only=True)
class HealthCheck:
    """How a target group looks after its targets. Times in seconds."""

    path: str
    matcher: str
    """Status codes of success: `200`, `200-299` or `200,302`."""
    interval: int
    timeout: int
    healthy_threshold: int
    unhealthy_threshold: int


@dataclass(frozen=True, kw_only=True)
class Target:
    """One registered instance."""

    instance_id: str
    address: str
    port: int


@dataclass(frozen=True, kw_only=True)
class TargetGroup:
    """Where a listener or rule forwards to. Times in seconds."""

    arn: str
    name: str
    health_check: HealthCheck
    targets: tuple[Target, ...] = ()
    sticky_seconds: int | None = None
    """How long a browser stays with its server (`lb_cookie`); None: not sticky."""
    deregistration_delay: int = 300
    slow_start: int = 0


@dataclass(frozen=True, kw_only=True)
class Action:
    """What becomes of a request. `fixed-response` has `status` and `body`."""

    type: Literal["forward", "redirect", "fixed-response"]
    target_group_arns: Mapping[str, int] = field(default_factory=dict)
    """Weight of each target group, for `forward`."""
    redirect: Mapping[str, str] = field(default_factory=dict)
    """Protocol, Port, Host, Path, Query, StatusCode as the API has them, for `redirect`."""
    status: int = 503
    content_type: str = "text/plain"
    body: str = ""


@dataclass(frozen=True, kw_only=True)
class Rule:
    """Conditions, all of which must hold, and what happens then."""

    arn: str
    priority: int
    action: Action
    paths: tuple[str, ...] = ()
    """Patterns with `*` and `?`; one of them must match."""
    hosts: tuple[str, ...] = ()
    methods: tuple[str, ...] = ()
    headers: Mapping[str, tuple[str, ...]] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Certificate:
    """A certificate with its private key, as PEM. `repr` shows neither."""

    arn: str
    certificate: str = field(repr=False)
    chain: str = field(repr=False, default="")
    private_key: str = field(repr=False)


@dataclass(frozen=True, kw_only=True)
class TrustStore:
    """Whose client certificates a listener takes, as PEM, and which of them no longer."""

    arn: str
    certificates: str = field(repr=False)
    revocation_lists: tuple[str, ...] = field(repr=False, default=())


@dataclass(frozen=True, kw_only=True)
class Listener:
    """One port of the load balancer."""

    arn: str
    port: int
    protocol: Literal["HTTP", "HTTPS"]
    default_action: Action
    rules: tuple[Rule, ...] = ()
    """By priority, without the default."""
    tls_policy: str | None = None
    certificate_arns: tuple[str, ...] = ()
    """The default first; the others are chosen by host name."""
    trust_store_arn: str | None = None


@dataclass(frozen=True, kw_only=True)
class LoadBalancer:
    """One application load balancer."""

    arn: str
    name: str
    vpc_id: str
    listeners: tuple[Listener, ...] = ()
    security_group_ids: tuple[str, ...] = ()
    idle_timeout: int = 60
    """Seconds."""


@dataclass(frozen=True, kw_only=True)
class Database:
    """An RDS instance: where its real server is on this machine."""

    identifier: str
    status: str
    host: str
    port: int
    security_group_ids: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class CreationInfo:
    """How the root directory of an access point is made at the first mount."""

    uid: int
    gid: int
    permissions: int


@dataclass(frozen=True, kw_only=True)
class AccessPoint:
    """A way into a file system: what mounts it sees one directory of it."""

    id: str
    file_system_id: str
    path: str = "/"
    creation: CreationInfo | None = None


@dataclass(frozen=True, kw_only=True)
class Vpc:
    """One network."""

    id: str
    cidr: str


@dataclass(frozen=True, kw_only=True)
class Cloud:
    """Everything at one moment."""

    vpcs: tuple[Vpc, ...] = ()
    instances: tuple[Instance, ...] = ()
    groups: tuple[AutoScalingGroup, ...] = ()
    load_balancers: tuple[LoadBalancer, ...] = ()
    target_groups: Mapping[str, TargetGroup] = field(default_factory=dict)
    """By ARN."""
    certificates: Mapping[str, Certificate] = field(default_factory=dict)
    """By ARN."""
    trust_stores: Mapping[str, TrustStore] = field(default_factory=dict)
    """By ARN."""
    security_groups: Mapping[str, SecurityGroup] = field(default_factory=dict)
    """By id."""
    databases: tuple[Database, ...] = ()
    access_points: tuple[AccessPoint, ...] = ()
