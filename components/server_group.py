"""What app servers and web-client servers have in common: an Auto Scaling group and all that it needs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, Protocol

import pulumi
import pulumi_aws as aws

from components import iam
from components.operations_store import MODULES_PREFIX
from core import names
from core.servers import ServerConfiguration, user_data_base64

CPU_TARGET_PERCENT: Final = 60
"""Average CPU use that scaling holds. An Odoo worker is bound by CPU; the rest is for what comes at once
while a further server starts."""
TARGET_NAME_LIMIT: Final = 32
"""Longest name of a target group (Elastic Load Balancing API, CreateTargetGroup)."""
RANDOM_SUFFIX: Final = 8
"""What Pulumi's auto-naming adds: a hyphen and seven hexadecimal digits."""


class Configure(Protocol):
    """Completes the configuration of a server with what only the deployment knows.

    `functools.partial(ServerConfiguration, role="app", …)` is one.
    """

    def __call__(
        self,
        *,
        database_host: str,
        database_port: int,
        database_secret_arn: str,
        administrator_secret_arn: str,
        file_system_id: str,
        access_point_id: str,
        log_group_name: str,
        operations_bucket: str,
    ) -> ServerConfiguration:
        """Return the whole configuration; raises `InvalidServerConfiguration`."""


@dataclass(frozen=True, kw_only=True)
class DatabaseAccess:
    """The way to the database server."""

    host: pulumi.Input[str]
    port: pulumi.Input[int]
    security_group_id: pulumi.Input[str]


@dataclass(frozen=True, kw_only=True)
class FileStoreAccess:
    """The way to the file store."""

    file_system_id: pulumi.Input[str]
    file_system_arn: pulumi.Input[str]
    access_point_id: pulumi.Input[str]
    access_point_arn: pulumi.Input[str]
    security_group_id: pulumi.Input[str]


@dataclass(frozen=True, kw_only=True)
class SecretAccess:
    """The secrets that a server fetches at boot; never a value, only names and the key that opens them."""

    database_secret_arn: pulumi.Input[str]
    administrator_secret_arn: pulumi.Input[str]
    tenant_secret_arns: pulumi.Input[Sequence[str]] = ()
    """Patterns of the tenants' secrets, so that a new tenant changes no server's role."""
    kms_key_arn: pulumi.Input[str]


@dataclass(frozen=True, kw_only=True)
class ModulesAccess:
    """The way to the packages of data modules: what is below `modules/` in the operations store."""

    bucket: pulumi.Input[str]
    bucket_arn: pulumi.Input[str]
    s3_prefix_list_id: pulumi.Input[str] | None = None
    """Addresses of S3 in the region, for servers that fetch packages and may reach nothing else outside."""


@dataclass(frozen=True, kw_only=True)
class ServerGroupArgs:
    """What a group of servers is made from."""

    vpc_id: pulumi.Input[str]
    subnet_ids: pulumi.Input[Sequence[str]]
    """Server subnets, one a zone; the group spreads over all of them."""
    region: str
    vpc_cidr: str
    outbound_ports: Mapping[str, int]
    """TCP ports on the internet, by a stable name. DNS and time come from the VPC itself, which no security
    group filters."""
    configure: Configure
    database: DatabaseAccess
    file_store: FileStoreAccess
    secrets: SecretAccess
    modules: ModulesAccess
    tenants_parameter_path: str | None = None
    """SSM path of the tenants (`saas` only), readable by the servers."""
    instance_type: str
    image_id: str
    """`ami-…`, or `resolve:ssm:/aws/…`, which EC2 looks up anew at each launch."""
    root_volume_gb: int = 20
    """GiB of the encrypted gp3 root volume."""
    root_device: str = "/dev/xvda"
    """Name of the root device in the image; Debian's images use this one."""
    min_servers: int
    max_servers: int
    boot_seconds: int = 900
    """How long a new server may take until it must answer the health check: it installs OpenERP first."""
    log_retention_days: int = 30
    tags: Mapping[str, str] = field(default_factory=dict)
    """Tags of instances and volumes, which the provider's default tags do not reach."""


@dataclass(frozen=True, kw_only=True)
class ServerTraits:
    """What tells one role's servers from the other's."""

    target_port: int
    sticky: bool
    """Whether the load balancer keeps a browser on the server that it began with."""
    slow_start_seconds: int
    """Time over which a new server's share of requests grows; 0, or 30 to 900."""


class ServerGroup(pulumi.ComponentResource):
    """Base of `AppServer` and `WebClientServer`.

    It opens the way on both sides: out of its own security group, and into those of the database server
    and the file store, so that these need to know nothing of it. The load balancer does the same for it.
    """

    autoscaling_group_name: pulumi.Output[str]
    launch_template_id: pulumi.Output[str]
    target_group_arn: pulumi.Output[str]
    target_group_arn_suffix: pulumi.Output[str]
    security_group_id: pulumi.Output[str]
    role_arn: pulumi.Output[str]
    log_group_name: pulumi.Output[str]

    def __init__(
        self,
        type_token: str,
        name: str,
        args: ServerGroupArgs,
        traits: ServerTraits,
        opts: pulumi.ResourceOptions | None,
    ) -> None:
        super().__init__(type_token, name, None, opts)
        self._name = name
        self._args = args
        self._traits = traits
        self._child = pulumi.ResourceOptions(parent=self)
        check_user_data(args.configure)

        logs = aws.cloudwatch.LogGroup(
            f"{name}-logs", retention_in_days=args.log_retention_days, opts=self._child
        )
        targets = self._target_group()
        group = aws.ec2.SecurityGroup(
            f"{name}-servers",
            description="Servers of one role",
            vpc_id=args.vpc_id,
            tags={"Name": f"{name}-servers", **args.tags},
            opts=self._child,
        )
        ways = self._open_ways(group)
        role = aws.iam.Role(
            f"{name}-servers",
            description="What a server of this role may do",
            assume_role_policy=iam.trust_service("ec2.amazonaws.com"),
            opts=self._child,
        )
        permissions = self._permissions(role, logs)
        template = self._launch_template(role, group, logs)
        servers = self._servers(template, targets, [*ways, *permissions])

        self.autoscaling_group_name = servers.name
        self.launch_template_id = template.id
        self.target_group_arn = targets.arn
        self.target_group_arn_suffix = targets.arn_suffix
        self.security_group_id = group.id
        self.role_arn = role.arn
        self.log_group_name = logs.name
        self.register_outputs(
            {
                "autoscaling_group_name": self.autoscaling_group_name,
                "launch_template_id": self.launch_template_id,
                "target_group_arn": self.target_group_arn,
                "target_group_arn_suffix": self.target_group_arn_suffix,
                "security_group_id": self.security_group_id,
                "role_arn": self.role_arn,
                "log_group_name": self.log_group_name,
            }
        )

    def _target_group(self) -> aws.lb.TargetGroup:
        key = f"{self._name}-http"
        if len(key) + RANDOM_SUFFIX > TARGET_NAME_LIMIT:
            raise ValueError(
                f"the component name {self._name!r} is too long for its target group: "
                f"at most {TARGET_NAME_LIMIT - RANDOM_SUFFIX - len('-http')} characters"
            )
        return aws.lb.TargetGroup(
            key,
            vpc_id=self._args.vpc_id,
            target_type="instance",
            protocol="HTTP",
            port=self._traits.target_port,
            # Longer than nearly every request; what takes longer (reports) is retried by the user.
            deregistration_delay=120,
            slow_start=self._traits.slow_start_seconds,
            health_check=aws.lb.TargetGroupHealthCheckArgs(
                path=names.HEALTH_PATH,
                protocol="HTTP",
                matcher="200",
                # Odoo's restart when the database is back takes up to 20 s, in which nothing answers.
                interval=10,
                timeout=5,
                healthy_threshold=2,
                unhealthy_threshold=5,
            ),
            stickiness=aws.lb.TargetGroupStickinessArgs(
                type="lb_cookie", enabled=self._traits.sticky, cookie_duration=86400
            ),
            tags=dict(self._args.tags),
            opts=self._child,
        )

    def _open_ways(self, group: aws.ec2.SecurityGroup) -> list[pulumi.Resource]:
        ways: list[pulumi.Resource] = [
            aws.vpc.SecurityGroupEgressRule(
                f"{self._name}-to-{key}",
                security_group_id=group.id,
                description=f"{key} to the internet",
                ip_protocol="tcp",
                from_port=port,
                to_port=port,
                cidr_ipv4="0.0.0.0/0",
                opts=self._child,
            )
            for key, port in self._args.outbound_ports.items()
        ]
        if "https" not in self._args.outbound_ports:
            ways.append(
                aws.vpc.SecurityGroupEgressRule(
                    f"{self._name}-to-endpoints",
                    security_group_id=group.id,
                    description="AWS's endpoints in this network",
                    ip_protocol="tcp",
                    from_port=names.HTTPS_PORT,
                    to_port=names.HTTPS_PORT,
                    cidr_ipv4=self._args.vpc_cidr,
                    opts=self._child,
                )
            )
        if self._args.modules.s3_prefix_list_id is not None:
            ways.append(
                aws.vpc.SecurityGroupEgressRule(
                    f"{self._name}-to-s3",
                    security_group_id=group.id,
                    description="Packages of data modules",
                    ip_protocol="tcp",
                    from_port=names.HTTPS_PORT,
                    to_port=names.HTTPS_PORT,
                    prefix_list_id=self._args.modules.s3_prefix_list_id,
                    opts=self._child,
                )
            )
        peers = {
            "database": (names.POSTGRES_PORT, self._args.database.security_group_id),
            "file-store": (names.NFS_PORT, self._args.file_store.security_group_id),
        }
        for key, (port, peer) in peers.items():
            ways.append(
                aws.vpc.SecurityGroupEgressRule(
                    f"{self._name}-to-{key}",
                    security_group_id=group.id,
                    description=f"To the {key}",
                    ip_protocol="tcp",
                    from_port=port,
                    to_port=port,
                    referenced_security_group_id=peer,
                    opts=self._child,
                )
            )
            ways.append(
                aws.vpc.SecurityGroupIngressRule(
                    f"{self._name}-to-{key}",
                    security_group_id=peer,
                    description=f"From {self._name}",
                    ip_protocol="tcp",
                    from_port=port,
                    to_port=port,
                    referenced_security_group_id=group.id,
                    opts=self._child,
                )
            )
        return ways

    def _permissions(self, role: aws.iam.Role, logs: aws.cloudwatch.LogGroup) -> list[pulumi.Resource]:
        secrets = self._args.secrets
        store = self._args.file_store
        statements = [
            iam.allow(
                "ReadOwnSecrets",
                ["secretsmanager:DescribeSecret", "secretsmanager:GetSecretValue"],
                pulumi.Output.all(
                    secrets.database_secret_arn,
                    secrets.administrator_secret_arn,
                    secrets.tenant_secret_arns,
                ).apply(lambda arns: [arns[0], arns[1], *arns[2]]),
            ),
            iam.allow(
                "OpenOwnSecrets",
                ["kms:Decrypt"],
                [secrets.kms_key_arn],
                condition={
                    "StringEquals": {"kms:ViaService": f"secretsmanager.{self._args.region}.amazonaws.com"}
                },
            ),
            iam.allow(
                "WriteOwnLogs",
                ["logs:CreateLogStream", "logs:DescribeLogStreams", "logs:PutLogEvents"],
                [logs.arn, pulumi.Output.concat(logs.arn, ":*")],
            ),
            iam.allow(
                "MountThroughTheAccessPoint",
                ["elasticfilesystem:ClientMount", "elasticfilesystem:ClientWrite"],
                [store.file_system_arn],
                condition={
                    "StringEquals": {"elasticfilesystem:AccessPointArn": store.access_point_arn},
                },
            ),
        ]
        statements.append(
            iam.allow(
                "FetchModules",
                ["s3:GetObject"],
                [pulumi.Output.concat(self._args.modules.bucket_arn, f"/{MODULES_PREFIX}*")],
            )
        )
        path = self._args.tenants_parameter_path
        if path is not None:
            statements.append(
                iam.allow(
                    "ReadTenants",
                    ["ssm:GetParameter", "ssm:GetParameters", "ssm:GetParametersByPath"],
                    [
                        logs.arn.apply(lambda arn: iam.sibling_arn(arn, "ssm", f"parameter{path}")),
                        logs.arn.apply(lambda arn: iam.sibling_arn(arn, "ssm", f"parameter{path}/*")),
                    ],
                )
            )
        own = aws.iam.RolePolicy(
            f"{self._name}-servers",
            role=role.id,
            policy=iam.policy_document(statements),
            opts=self._child,
        )
        session_manager = aws.iam.RolePolicyAttachment(
            f"{self._name}-session-manager",
            role=role.name,
            policy_arn="arn:aws:iam::aws:policy/AmazonSSMManagedInstanceCore",
            opts=self._child,
        )
        return [own, session_manager]

    def _user_data(self, logs: aws.cloudwatch.LogGroup) -> pulumi.Output[str]:
        args = self._args
        return pulumi.Output.all(
            database_host=args.database.host,
            database_port=args.database.port,
            database_secret_arn=args.secrets.database_secret_arn,
            administrator_secret_arn=args.secrets.administrator_secret_arn,
            file_system_id=args.file_store.file_system_id,
            access_point_id=args.file_store.access_point_id,
            log_group_name=logs.name,
            operations_bucket=args.modules.bucket,
        ).apply(
            lambda known: user_data_base64(
                args.configure(**{**known, "database_port": int(known["database_port"])})
            )
        )

    def _launch_template(
        self, role: aws.iam.Role, group: aws.ec2.SecurityGroup, logs: aws.cloudwatch.LogGroup
    ) -> aws.ec2.LaunchTemplate:
        profile = aws.iam.InstanceProfile(f"{self._name}-servers", role=role.name, opts=self._child)
        tags = {"Name": self._name, **self._args.tags}
        return aws.ec2.LaunchTemplate(
            f"{self._name}-servers",
            description=f"Servers of {self._name}",
            image_id=self._args.image_id,
            instance_type=self._args.instance_type,
            iam_instance_profile=aws.ec2.LaunchTemplateIamInstanceProfileArgs(arn=profile.arn),
            vpc_security_group_ids=[group.id],
            user_data=self._user_data(logs),
            update_default_version=True,
            ebs_optimized="true",
            instance_initiated_shutdown_behavior="terminate",
            monitoring=aws.ec2.LaunchTemplateMonitoringArgs(enabled=True),
            metadata_options=aws.ec2.LaunchTemplateMetadataOptionsArgs(
                http_endpoint="enabled",
                http_tokens="required",
                http_put_response_hop_limit=1,
                instance_metadata_tags="disabled",
            ),
            block_device_mappings=[
                aws.ec2.LaunchTemplateBlockDeviceMappingArgs(
                    device_name=self._args.root_device,
                    ebs=aws.ec2.LaunchTemplateBlockDeviceMappingEbsArgs(
                        volume_type="gp3",
                        volume_size=self._args.root_volume_gb,
                        encrypted="true",
                        delete_on_termination="true",
                    ),
                )
            ],
            tag_specifications=[
                aws.ec2.LaunchTemplateTagSpecificationArgs(resource_type=kind, tags=tags)
                for kind in ("instance", "volume", "network-interface")
            ],
            tags=tags,
            opts=self._child,
        )

    def _servers(
        self,
        template: aws.ec2.LaunchTemplate,
        targets: aws.lb.TargetGroup,
        needed_at_boot: Sequence[pulumi.Resource],
    ) -> aws.autoscaling.Group:
        args = self._args
        servers = aws.autoscaling.Group(
            f"{self._name}-servers",
            min_size=args.min_servers,
            max_size=args.max_servers,
            # No desired_capacity: each update of the stack would undo what scaling has decided.
            vpc_zone_identifiers=args.subnet_ids,
            target_group_arns=[targets.arn],
            health_check_type="ELB",
            health_check_grace_period=args.boot_seconds,
            default_instance_warmup=args.boot_seconds,
            launch_template=aws.autoscaling.GroupLaunchTemplateArgs(
                id=template.id, version=template.latest_version.apply(str)
            ),
            # A change of the launch template always starts a refresh; no further trigger is needed.
            instance_refresh=aws.autoscaling.GroupInstanceRefreshArgs(
                strategy="Rolling",
                preferences=aws.autoscaling.GroupInstanceRefreshPreferencesArgs(
                    # The new server answers before the old one goes, with one server as well.
                    min_healthy_percentage=100,
                    max_healthy_percentage=110,
                    instance_warmup=str(args.boot_seconds),
                    # AWS can go back only to a template that names its image.
                    auto_rollback=not args.image_id.startswith("resolve:"),
                ),
            ),
            enabled_metrics=[
                aws.autoscaling.Metric.GROUP_DESIRED_CAPACITY,
                aws.autoscaling.Metric.GROUP_IN_SERVICE_INSTANCES,
            ],
            metrics_granularity="1Minute",
            # Servers install OpenERP for minutes; the health check and the alarms watch that, not `up`.
            wait_for_capacity_timeout="0",
            tags=[
                aws.autoscaling.GroupTagArgs(key=key, value=value, propagate_at_launch=True)
                for key, value in sorted({"Name": self._name, **args.tags}.items())
            ],
            opts=pulumi.ResourceOptions(parent=self, depends_on=list(needed_at_boot)),
        )
        aws.autoscaling.Policy(
            f"{self._name}-cpu",
            autoscaling_group_name=servers.name,
            policy_type="TargetTrackingScaling",
            target_tracking_configuration=aws.autoscaling.PolicyTargetTrackingConfigurationArgs(
                target_value=CPU_TARGET_PERCENT,
                predefined_metric_specification=(
                    aws.autoscaling.PolicyTargetTrackingConfigurationPredefinedMetricSpecificationArgs(
                        predefined_metric_type="ASGAverageCPUUtilization"
                    )
                ),
            ),
            opts=self._child,
        )
        return servers


def check_user_data(configure: Configure) -> None:
    """Render the user data once with invented values of the longest usual form.

    A first preview does not know the real ones; what is wrong with the configuration, or too long for
    EC2, is to be said then and not after half of the deployment stands.

    Raises:
        InvalidServerConfiguration: see `core.servers`.
        UserDataTooLarge: more than EC2 takes, even compressed.
    """
    arn = "arn:aws:secretsmanager:eu-central-1:123456789012:secret:" + "x" * 40
    user_data_base64(
        configure(
            database_host="database.abcdefghijkl.eu-central-1.rds.amazonaws.com",
            database_port=names.POSTGRES_PORT,
            database_secret_arn=arn,
            administrator_secret_arn=arn,
            file_system_id="fs-0123456789abcdef0",
            access_point_id="fsap-0123456789abcdef0",
            log_group_name="log-group-1234567",
            operations_bucket="operations-store-bucket-1234567",
        )
    )
