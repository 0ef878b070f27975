"""The database server: RDS for PostgreSQL, encrypted with a key of its own."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Final

import pulumi
import pulumi_aws as aws
import pulumi_tls as tls

from components import iam
from components.data_key import data_key
from core import names

FIXED_PARAMETERS: Final[Mapping[str, str]] = {
    "rds.force_ssl": "1",
    "log_min_duration_statement": "1000",
    "log_lock_waits": "1",
    "log_temp_files": "10240",
}
"""Set on every server: no connection without TLS; log what takes over 1,000 ms, what waits for a lock for
longer than `deadlock_timeout`, and what spills more than 10,240 kB to disk."""

DYNAMIC_PARAMETERS: Final = frozenset(
    {
        "effective_cache_size",
        "idle_in_transaction_session_timeout",
        "log_autovacuum_min_duration",
        "log_lock_waits",
        "log_min_duration_statement",
        "log_temp_files",
        "maintenance_work_mem",
        "random_page_cost",
        "statement_timeout",
        "work_mem",
    }
)
"""Parameters that RDS applies at once. All others wait for the next restart, which RDS demands of static
ones and allows for any (Amazon RDS user guide, "DB instance parameters for RDS for PostgreSQL")."""

CA_CERTIFICATE: Final = "rds-ca-rsa2048-g1"
"""Valid until 2061 (Amazon RDS user guide, "Using SSL/TLS to encrypt a connection")."""
BACKUP_WINDOW: Final = "00:15-00:45"
MAINTENANCE_WINDOW: Final = "sun:05:30-sun:06:30"
"""UTC. AWS Backup makes no RDS backup during these windows nor in the hour before the maintenance window;
the plan's usual start is 03:00 (AWS Backup developer guide, "Amazon RDS backups")."""


@dataclass(frozen=True, kw_only=True)
class DatabaseServerArgs:
    """What a `DatabaseServer` is made from."""

    vpc_id: pulumi.Input[str]
    subnet_ids: pulumi.Input[Sequence[pulumi.Input[str]]]
    """At least two subnets in different zones, also for a server in one zone (a rule of RDS)."""
    admin_cidrs: Sequence[str] = ()
    """Ranges from which an operator's or a runner's connection is admitted. Servers need none: they open
    the way into `security_group_id` themselves."""
    key_alias: str
    """Alias of the KMS key without `alias/`, for example `openerp-prod-database`."""
    engine_version: str
    """`16`: RDS picks and updates the minor version; `16.9`: it stays at this one."""
    instance_class: str
    allocated_storage_gb: int
    """GiB, at least 20 (minimum of gp3)."""
    max_allocated_storage_gb: int
    """GiB; RDS enlarges the storage up to here by itself."""
    multi_az: bool = False
    retention_days: int = 7
    """Days of point-in-time recovery, 0 to 35; 0 switches it off."""
    deletion_protection: bool = False
    protect: bool = False
    """Pulumi refuses to delete the server, and leaves it alone when its component is removed or a restore
    takes its place."""
    performance_insights: bool = True
    monitoring_interval_seconds: int = 0
    """0, 1, 5, 10, 15, 30 or 60: interval of enhanced monitoring; 0 is off."""
    parameters: Mapping[str, str] = field(default_factory=dict)
    """PostgreSQL parameters from sizing, in the units RDS uses; they come on top of `FIXED_PARAMETERS`."""
    apply_immediately: bool = False
    """Apply changes at once instead of in the maintenance window; some of them restart the server."""
    allow_major_version_upgrade: bool = False
    snapshot_identifier: str | None = None
    """Start from this snapshot."""
    restore_mark: str | None = None
    """Tells one start from a snapshot from an earlier one."""
    snapshot_remembered: bool = False
    """Nothing new is asked for: a server that is there stays, whatever it was made from."""
    restores: bool = False
    """This run replaces a server that is there by one from the snapshot. It is not protected in this run, or
    the engine would refuse; the next run protects it again."""
    final_snapshot_identifier: str
    """Start of the name of the snapshot taken when the server is deleted; see `final_snapshot_identifier`
    among the outputs."""
    backup_window: str = BACKUP_WINDOW
    maintenance_window: str = MAINTENANCE_WINDOW
    tags: Mapping[str, str] = field(default_factory=dict)


class DatabaseServer(pulumi.ComponentResource):
    """An RDS instance with its key, parameters, subnets and security group.

    The master password is made, kept and rotated by RDS in Secrets Manager: it is not in Pulumi's state.
    The KMS key stays when the stack is destroyed, because the snapshots that stay (the final one and the
    checkpoints) cannot be read without it.
    """

    instance_identifier: pulumi.Output[str]
    instance_arn: pulumi.Output[str]
    address: pulumi.Output[str]
    port: pulumi.Output[int]
    master_secret_arn: pulumi.Output[str]
    kms_key_arn: pulumi.Output[str]
    security_group_id: pulumi.Output[str]
    subnet_group_name: pulumi.Output[str]
    parameter_group_name: pulumi.Output[str]
    log_group_name: pulumi.Output[str]
    final_snapshot_identifier: pulumi.Output[str]

    def __init__(
        self, name: str, args: DatabaseServerArgs, opts: pulumi.ResourceOptions | None = None
    ) -> None:
        super().__init__("openerp:index:DatabaseServer", name, None, opts)
        self._name = name
        self._args = args
        self._child = pulumi.ResourceOptions(parent=self)

        key = data_key(
            name,
            description="Database server, its snapshots and the secrets of its users",
            alias=args.key_alias,
            tags=args.tags,
            kept=pulumi.ResourceOptions(parent=self, protect=args.protect, retain_on_delete=True),
            child=self._child,
        )
        group = self._security_group()
        subnets, parameters = self._subnets(), self._parameters()
        instance = self._instance(key, group, subnets, parameters)

        self.final_snapshot_identifier = instance.final_snapshot_identifier.apply(str)
        self.instance_identifier = instance.identifier
        self.instance_arn = instance.arn
        self.address = instance.address
        self.port = instance.port
        self.master_secret_arn = instance.master_user_secrets.apply(_secret_arn)
        self.kms_key_arn = key.arn
        self.security_group_id = group.id
        self.subnet_group_name = subnets.name
        self.parameter_group_name = parameters.name
        self.log_group_name = pulumi.Output.concat("/aws/rds/instance/", instance.identifier, "/postgresql")
        self.register_outputs(
            {
                "instance_identifier": self.instance_identifier,
                "instance_arn": self.instance_arn,
                "address": self.address,
                "port": self.port,
                "master_secret_arn": self.master_secret_arn,
                "kms_key_arn": self.kms_key_arn,
                "security_group_id": self.security_group_id,
                "subnet_group_name": self.subnet_group_name,
                "parameter_group_name": self.parameter_group_name,
                "log_group_name": self.log_group_name,
                "final_snapshot_identifier": self.final_snapshot_identifier,
            }
        )

    def _security_group(self) -> aws.ec2.SecurityGroup:
        group = aws.ec2.SecurityGroup(
            f"{self._name}-access",
            description="Who may connect to the database server",
            vpc_id=self._args.vpc_id,
            tags={"Name": f"{self._name}-access", **self._args.tags},
            opts=self._child,
        )
        for cidr in self._args.admin_cidrs:
            aws.vpc.SecurityGroupIngressRule(
                f"{self._name}-from-{cidr.replace('/', '-')}",
                security_group_id=group.id,
                description="PostgreSQL for administration",
                ip_protocol="tcp",
                from_port=names.POSTGRES_PORT,
                to_port=names.POSTGRES_PORT,
                cidr_ipv4=cidr,
                opts=self._child,
            )
        return group

    def _subnets(self) -> aws.rds.SubnetGroup:
        return aws.rds.SubnetGroup(
            f"{self._name}-subnets",
            description="Data subnets",
            subnet_ids=self._args.subnet_ids,
            tags=dict(self._args.tags),
            opts=self._child,
        )

    def _parameters(self) -> aws.rds.ParameterGroup:
        values = {**self._args.parameters, **FIXED_PARAMETERS}
        return aws.rds.ParameterGroup(
            f"{self._name}-parameters",
            family=parameter_group_family(self._args.engine_version),
            description="PostgreSQL for OpenERP",
            parameters=[
                aws.rds.ParameterGroupParameterArgs(
                    name=key,
                    value=values[key],
                    apply_method="immediate" if key in DYNAMIC_PARAMETERS else "pending-reboot",
                )
                for key in sorted(values)
            ],
            tags=dict(self._args.tags),
            opts=self._child,
        )

    def _monitoring_role(self) -> aws.iam.Role | None:
        if self._args.monitoring_interval_seconds == 0:
            return None
        role = aws.iam.Role(
            f"{self._name}-monitoring",
            description="Lets RDS write enhanced monitoring to CloudWatch Logs",
            assume_role_policy=iam.trust_service("monitoring.rds.amazonaws.com"),
            opts=self._child,
        )
        aws.iam.RolePolicyAttachment(
            f"{self._name}-monitoring",
            role=role.name,
            policy_arn="arn:aws:iam::aws:policy/service-role/AmazonRDSEnhancedMonitoringRole",
            opts=self._child,
        )
        return role

    def _final_snapshot_identifier(self, key: aws.kms.Key) -> pulumi.Output[str]:
        """Name the snapshot that is taken at the end, so that no other life of this server has used the name.

        RDS refuses to delete a server when a snapshot of that name exists, which it would after the second
        `destroy` of a stack or the second restore. The key is another one in each new stack; a server that
        was made from a snapshot has a mark of its own, as new as its restore is.
        """
        args, mark = self._args, key.key_id
        if args.snapshot_identifier is not None:
            life = names.digits_of(f"{args.snapshot_identifier}@{args.restore_mark or ''}")
            mark = tls.PrivateKey(
                f"{self._name}-life-{life}", algorithm="ED25519", opts=self._child
            ).public_key_pem
        return mark.apply(partial(names.told_apart, args.final_snapshot_identifier))

    def _ignored_changes(self) -> list[str]:
        # A restored server keeps the key of its snapshot, which RDS cannot change on the way; what the
        # settings say about the key must not replace it again. Storage that RDS enlarged needs no such rule:
        # the provider ignores a smaller figure while autoscaling is on.
        ignored = ["kmsKeyId"]
        if self._args.snapshot_remembered:
            ignored.append("snapshotIdentifier")
        if not self._args.restores:
            # The name belongs to the life that the server has.
            ignored.append("finalSnapshotIdentifier")
        return ignored

    def _instance(
        self,
        key: aws.kms.Key,
        group: aws.ec2.SecurityGroup,
        subnets: aws.rds.SubnetGroup,
        parameters: aws.rds.ParameterGroup,
    ) -> aws.rds.Instance:
        args = self._args
        monitoring_role = self._monitoring_role()
        return aws.rds.Instance(
            f"{self._name}-instance",
            engine="postgres",
            engine_version=args.engine_version,
            # A server pinned to a minor version would be "downgraded" by the next update of the stack.
            auto_minor_version_upgrade="." not in args.engine_version,
            allow_major_version_upgrade=args.allow_major_version_upgrade,
            instance_class=args.instance_class,
            storage_type="gp3",
            allocated_storage=args.allocated_storage_gb,
            max_allocated_storage=args.max_allocated_storage_gb,
            storage_encrypted=True,
            kms_key_id=key.arn,
            username=names.MASTER_USERNAME,
            manage_master_user_password=True,
            master_user_secret_kms_key_id=key.key_id,
            db_subnet_group_name=subnets.name,
            vpc_security_group_ids=[group.id],
            publicly_accessible=False,
            multi_az=args.multi_az,
            parameter_group_name=parameters.name,
            ca_cert_identifier=CA_CERTIFICATE,
            backup_retention_period=args.retention_days,
            backup_window=args.backup_window,
            maintenance_window=args.maintenance_window,
            apply_immediately=args.apply_immediately,
            copy_tags_to_snapshot=True,
            delete_automated_backups=not args.protect,
            deletion_protection=args.deletion_protection,
            skip_final_snapshot=False,
            final_snapshot_identifier=self._final_snapshot_identifier(key),
            snapshot_identifier=args.snapshot_identifier,
            enabled_cloudwatch_logs_exports=["postgresql", "upgrade"],
            performance_insights_enabled=args.performance_insights,
            performance_insights_kms_key_id=key.arn if args.performance_insights else None,
            performance_insights_retention_period=7 if args.performance_insights else None,
            monitoring_interval=args.monitoring_interval_seconds,
            monitoring_role_arn=monitoring_role.arn if monitoring_role else None,
            tags=dict(args.tags),
            opts=pulumi.ResourceOptions(
                parent=self,
                protect=args.protect and not args.restores,
                # What RDS refuses to delete would make a restore fail at its end.
                retain_on_delete=args.protect or args.deletion_protection,
                ignore_changes=self._ignored_changes(),
                # Another life is another server, also when it begins from the same snapshot.
                replace_on_changes=["finalSnapshotIdentifier"] if args.restores else None,
            ),
        )


def _secret_arn(secrets: Sequence[aws.rds.outputs.InstanceMasterUserSecret]) -> str:
    arn = secrets[0].secret_arn if secrets else None
    if arn is None:
        raise ValueError("RDS gave the database server no secret for its master user")
    return arn


def parameter_group_family(engine_version: str) -> str:
    """Return the family of the parameter group: `postgres16` for `16` and `16.9`."""
    return f"postgres{engine_version.partition('.')[0]}"
