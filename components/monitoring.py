"""What tells an operator that something is wrong, and what to do about it."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any, Literal

import pulumi
import pulumi_aws as aws

from components.iam import policy_document
from core import names
from core.dashboard import DashboardSubject, ServersOnDashboard, arn_suffix, dashboard_body

GIB = 1024**3
FREE_STORAGE_SHARE = 0.05
"""RDS enlarges the storage when less than a tenth is free (RDS user guide, storage autoscaling): half of
that left means that it did not, or not fast enough."""
CONNECTION_SHARE = 0.85
LEAST_CPU_CREDITS = 30
"""Half an hour of one full vCPU; one credit is one minute of one vCPU at 100 %."""
LEAST_BURST_CREDITS_BYTES = 200 * GIB
"""A tenth of the 2.1 TiB that a new EFS file system starts with."""
SERVER_ERRORS = 10
"""Answers 5xx in five minutes that pass as one person's bad luck."""
CERTIFICATE_DAYS = 30
DRILL_REPORT_DAYS = 2
"""Daily reports that must say so, or be missing: a workflow that starts late is no alarm. (CloudWatch looks
back 7 days at most when a period is an hour or longer.)"""
BUDGET_NOTIFICATIONS = (("ACTUAL", 80), ("FORECASTED", 100))
"""(kind of spending, percent of the budget)."""


@dataclass(frozen=True, kw_only=True)
class MonitoredDatabase:
    """The database server; `connection_budget` (core/sizing) is how many connections clients may hold."""

    instance_identifier: pulumi.Input[str]
    burstable: bool
    allocated_storage_gb: int
    connection_budget: int


@dataclass(frozen=True, kw_only=True)
class MonitoredServers:
    """A group of servers and the target group through which they get their requests."""

    autoscaling_group_name: pulumi.Input[str]
    target_group_arn: pulumi.Input[str]
    burstable: bool


@dataclass(frozen=True, kw_only=True)
class MonitoringArgs:
    """What is watched and who is told.

    `dashboard_name` is physical: a person looks for it. `servers` and `certificate_arns` by a stable key.
    `copies` says that backups are copied to a second region. `backup_role_arn` is the role of restore jobs,
    by which those of this stack are known. `drill_max_age_days` None watches no drills. `monthly_budget_usd`
    is for the whole AWS account; None makes no budget. `email` None leaves the topic to be subscribed to by
    other means.
    """

    account_id: pulumi.Input[str]
    region: str
    stack: str
    dashboard_name: str
    database: MonitoredDatabase
    load_balancer_arn: pulumi.Input[str]
    servers: Mapping[str, MonitoredServers]
    certificate_arns: Mapping[str, pulumi.Input[str]] = field(default_factory=dict)
    file_system_id: pulumi.Input[str]
    file_system_throughput: Literal["elastic", "bursting"]
    backup_vault_name: pulumi.Input[str]
    backup_vault_arn: pulumi.Input[str]
    backup_role_arn: pulumi.Input[str]
    copies: bool = False
    drill_max_age_days: int | None = None
    email: str | None = None
    monthly_budget_usd: Decimal | None = None


@dataclass(frozen=True, kw_only=True)
class _Alarm:
    """One alarm. `text` says what has happened and what to do; `periods` of `seconds` must all be bad."""

    text: str
    namespace: str
    metric: str
    dimensions: Mapping[str, pulumi.Input[str]]
    statistic: Literal["Average", "Maximum", "Minimum", "Sum"]
    bad: Literal["GreaterThanThreshold", "LessThanThreshold"]
    threshold: float
    seconds: int = 300
    periods: int = 2
    missing: Literal["notBreaching", "breaching", "ignore"] = "notBreaching"


@dataclass(frozen=True, kw_only=True)
class _Job:
    """A kind of job of AWS Backup: how its events are known, and what to do when one ends badly.

    Some events call what a job came to its `state`, others its `status` (AWS Backup developer guide,
    "Monitoring AWS Backup events using Amazon EventBridge").
    """

    bad: Sequence[str]
    known_by: str
    value: pulumi.Input[str]
    advice: str
    state: Literal["state", "status"] = "state"
    resource: str = "resourceArn"


class Monitoring(pulumi.ComponentResource):
    """Topic, alarms, backup notifications, dashboard; e-mail subscription and budget by args."""

    topic_arn: pulumi.Output[str]
    dashboard_name: pulumi.Output[str]

    def __init__(self, name: str, args: MonitoringArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("openerp:index:Monitoring", name, {}, opts)
        child = pulumi.ResourceOptions(parent=self)
        # Not under a KMS key: AWS's own key does not let alarms publish, and a message holds no secret.
        topic = aws.sns.Topic(f"{name}-alarms", display_name="OpenERP alarms", opts=child)
        policy = aws.sns.TopicPolicy(
            f"{name}-alarms-policy",
            arn=topic.arn,
            policy=policy_document(_publishers(topic.arn, args.account_id)),
            opts=child,
        )
        self.topic_arn = topic.arn
        if args.email is not None:
            aws.sns.TopicSubscription(
                f"{name}-email", topic=topic.arn, protocol="email", endpoint=args.email, opts=child
            )
        for key, alarm in _alarms(args).items():
            aws.cloudwatch.MetricAlarm(
                f"{name}-{key}",
                alarm_description=alarm.text,
                namespace=alarm.namespace,
                metric_name=alarm.metric,
                dimensions=dict(alarm.dimensions),
                statistic=alarm.statistic,
                comparison_operator=alarm.bad,
                threshold=alarm.threshold,
                period=alarm.seconds,
                evaluation_periods=alarm.periods,
                treat_missing_data=alarm.missing,
                alarm_actions=[topic.arn],
                ok_actions=[topic.arn],
                opts=child,
            )
        self._tell_of_failed_backups(name, args, topic)
        dashboard = aws.cloudwatch.Dashboard(
            f"{name}-dashboard",
            dashboard_name=args.dashboard_name,
            dashboard_body=_dashboard(args),
            opts=child,
        )
        self.dashboard_name = dashboard.dashboard_name
        if args.monthly_budget_usd is not None:
            aws.budgets.Budget(
                f"{name}-budget",
                budget_type="COST",
                time_unit="MONTHLY",
                limit_amount=str(args.monthly_budget_usd),
                limit_unit="USD",
                notifications=[
                    aws.budgets.BudgetNotificationArgs(
                        comparison_operator="GREATER_THAN",
                        notification_type=kind,
                        threshold=percent,
                        threshold_type="PERCENTAGE",
                        subscriber_sns_topic_arns=[topic.arn],
                    )
                    for kind, percent in BUDGET_NOTIFICATIONS
                ],
                # AWS Budgets checks that it may publish before it accepts the topic.
                opts=pulumi.ResourceOptions(parent=self, depends_on=[policy]),
            )
        self.register_outputs({"topic_arn": self.topic_arn, "dashboard_name": self.dashboard_name})

    def _tell_of_failed_backups(self, name: str, args: MonitoringArgs, topic: aws.sns.Topic) -> None:
        for key, job in _jobs(args).items():
            rule = aws.cloudwatch.EventRule(
                f"{name}-{key}-failed",
                description=f"A {key} job of OpenERP did not complete",
                event_pattern=pulumi.Output.json_dumps(
                    {
                        "source": ["aws.backup"],
                        "detail-type": [f"{key.capitalize()} Job State Change"],
                        "detail": {job.state: list(job.bad), job.known_by: [job.value]},
                    }
                ),
                opts=pulumi.ResourceOptions(parent=self),
            )
            aws.cloudwatch.EventTarget(
                f"{name}-{key}-failed-topic",
                rule=rule.name,
                arn=topic.arn,
                input_transformer=aws.cloudwatch.EventTargetInputTransformerArgs(
                    input_paths={
                        "state": f"$.detail.{job.state}",
                        "resource": f"$.detail.{job.resource}",
                        "reason": "$.detail.statusMessage",
                    },
                    input_template=json.dumps(
                        f"OpenERP: a {key} job ended as <state>. Resource: <resource>. Reason: <reason>. "
                        + job.advice
                    ),
                ),
                opts=pulumi.ResourceOptions(parent=self),
            )


def _jobs(args: MonitoringArgs) -> dict[str, _Job]:
    """Return the jobs to tell of, by the word that AWS Backup has for them."""
    late = (
        "Until one succeeds the last recovery point is older than planned: look at the job in AWS Backup, "
        "remove the cause, and start the job again by hand."
    )
    jobs = {
        "backup": _Job(
            bad=("FAILED", "ABORTED", "EXPIRED"),
            known_by="backupVaultName",
            value=args.backup_vault_name,
            advice=late,
        ),
        "restore": _Job(
            bad=("FAILED", "ABORTED"),
            known_by="iamRoleArn",
            value=args.backup_role_arn,
            state="status",
            resource="resourceType",
            advice="It was a test, a drill or a restore of this stack. Until one succeeds nothing proves "
            "that the backups can be restored: look at the job in AWS Backup, remove the cause, and run "
            "`python -m ops drill`.",
        ),
    }
    if args.copies:
        jobs["copy"] = _Job(
            bad=("FAILED",), known_by="sourceBackupVaultArn", value=args.backup_vault_arn, advice=late
        )
    return jobs


def _publishers(topic: pulumi.Output[str], account: pulumi.Input[str]) -> list[dict[str, Any]]:
    def may_publish(sid: str, service: str, condition: dict[str, Any] | None) -> dict[str, Any]:
        statement: dict[str, Any] = {
            "Sid": sid,
            "Effect": "Allow",
            "Principal": {"Service": service},
            "Action": "sns:Publish",
            "Resource": topic,
        }
        return statement if condition is None else {**statement, "Condition": condition}

    of_this_account = {"StringEquals": {"aws:SourceAccount": account}}
    return [
        may_publish("Alarms", "cloudwatch.amazonaws.com", of_this_account),
        may_publish("Budgets", "budgets.amazonaws.com", of_this_account),
        # EventBridge does not send the account with it: a condition would drop every message in silence.
        may_publish("Events", "events.amazonaws.com", None),
    ]


def _alarms(args: MonitoringArgs) -> dict[str, _Alarm]:
    load_balancer = {
        "LoadBalancer": pulumi.Output.from_input(args.load_balancer_arn).apply(arn_suffix),
    }
    alarms = _database_alarms(args.database)
    alarms["load-balancer-5xx"] = _Alarm(
        text="The load balancer itself answers 5xx. See that each target group has healthy servers; "
        "the access logs say for which requests.",
        namespace="AWS/ApplicationELB",
        metric="HTTPCode_ELB_5XX_Count",
        dimensions=load_balancer,
        statistic="Sum",
        bad="GreaterThanThreshold",
        threshold=SERVER_ERRORS,
    )
    for key, servers in args.servers.items():
        alarms |= _server_alarms(key, servers, load_balancer)
    for key, arn in args.certificate_arns.items():
        alarms[f"certificate-{key}-expires"] = _Alarm(
            text=f"The certificate '{key}' ends in less than {CERTIFICATE_DAYS} days. A private one is "
            "renewed by the next update of the stack: run it. One of ACM renews itself: see in ACM why it "
            "did not; usually its validation record is gone from DNS.",
            namespace="AWS/CertificateManager",
            metric="DaysToExpiry",
            dimensions={"CertificateArn": arn},
            statistic="Minimum",
            bad="LessThanThreshold",
            threshold=CERTIFICATE_DAYS,
            seconds=86_400,
            periods=1,
            missing="ignore",
        )
    if args.drill_max_age_days is not None:
        alarms["drill-too-old"] = _Alarm(
            text=f"For more than {args.drill_max_age_days} days nobody has proven that the backups of the "
            f"stack {args.stack} can be restored, or for {DRILL_REPORT_DAYS} days nobody has said when that "
            "was last done. Look at the workflow `drill`, then run `python -m ops drill`.",
            namespace=names.OPERATIONS_NAMESPACE,
            metric=names.DRILL_AGE_METRIC,
            dimensions={"Stack": args.stack},
            statistic="Minimum",
            bad="GreaterThanThreshold",
            threshold=args.drill_max_age_days,
            seconds=86_400,
            periods=DRILL_REPORT_DAYS,
            missing="breaching",
        )
    if args.file_system_throughput == "bursting":
        alarms["file-store-burst-credits"] = _Alarm(
            text="The file store is running out of burst credits and will become slow. Find what reads or "
            "writes so much, or set openerp:fileStore.throughput to elastic.",
            namespace="AWS/EFS",
            metric="BurstCreditBalance",
            dimensions={"FileSystemId": args.file_system_id},
            statistic="Minimum",
            bad="LessThanThreshold",
            threshold=LEAST_BURST_CREDITS_BYTES,
            periods=3,
        )
    return alarms


def _database_alarms(database: MonitoredDatabase) -> dict[str, _Alarm]:
    dimensions = {"DBInstanceIdentifier": database.instance_identifier}
    alarms = {
        "database-free-storage": _Alarm(
            text="The database server is nearly out of storage, and stops when it is. Raise "
            "openerp:database.maxStorageGb, or storageGb, and update the stack.",
            namespace="AWS/RDS",
            metric="FreeStorageSpace",
            dimensions=dimensions,
            statistic="Minimum",
            bad="LessThanThreshold",
            threshold=max(GIB, int(database.allocated_storage_gb * GIB * FREE_STORAGE_SHARE)),
        ),
        "database-connections": _Alarm(
            text=f"More than {CONNECTION_SHARE:.0%} of the {database.connection_budget} connections that the "
            "servers share are in use. See in Performance Insights who holds them; then fewer servers or "
            "workers, or a larger openerp:database.instanceClass.",
            namespace="AWS/RDS",
            metric="DatabaseConnections",
            dimensions=dimensions,
            statistic="Maximum",
            bad="GreaterThanThreshold",
            threshold=int(database.connection_budget * CONNECTION_SHARE),
        ),
    }
    if database.burstable:
        alarms["database-cpu-credits"] = _Alarm(
            text="The database server has used up its CPU credits; from now on bursts are billed. If it "
            "lasts, set openerp:database.instanceClass to a class that does not burst.",
            namespace="AWS/RDS",
            metric="CPUCreditBalance",
            dimensions=dimensions,
            statistic="Minimum",
            bad="LessThanThreshold",
            threshold=LEAST_CPU_CREDITS,
            periods=3,
        )
    return alarms


def _server_alarms(
    key: str, servers: MonitoredServers, load_balancer: Mapping[str, pulumi.Input[str]]
) -> dict[str, _Alarm]:
    target_group = {
        "TargetGroup": pulumi.Output.from_input(servers.target_group_arn).apply(arn_suffix),
        **load_balancer,
    }
    alarms = {
        f"{key}-unhealthy": _Alarm(
            text=f"A {key} server has failed its health check for a quarter of an hour. It should have been "
            "replaced by now: see the activity of the Auto Scaling group, and the server's log.",
            namespace="AWS/ApplicationELB",
            metric="UnHealthyHostCount",
            dimensions=target_group,
            statistic="Maximum",
            bad="GreaterThanThreshold",
            threshold=0,
            periods=3,
        ),
        f"{key}-none-healthy": _Alarm(
            text=f"No {key} server is healthy: nobody is served. See the activity of the Auto Scaling group, "
            "the servers' logs, and whether the database server is up.",
            namespace="AWS/ApplicationELB",
            metric="HealthyHostCount",
            dimensions=target_group,
            statistic="Maximum",
            bad="LessThanThreshold",
            threshold=1,
            seconds=60,
            periods=3,
            missing="breaching",
        ),
        f"{key}-5xx": _Alarm(
            text=f"The {key} servers answer 5xx. The log group of the servers has the traceback.",
            namespace="AWS/ApplicationELB",
            metric="HTTPCode_Target_5XX_Count",
            dimensions=target_group,
            statistic="Sum",
            bad="GreaterThanThreshold",
            threshold=SERVER_ERRORS,
        ),
    }
    if servers.burstable:
        alarms[f"{key}-cpu-credits"] = _Alarm(
            text=f"A {key} server has used up its CPU credits; from now on bursts are billed. If it lasts, "
            "choose an instance type that does not burst, or more servers.",
            namespace="AWS/EC2",
            metric="CPUCreditBalance",
            dimensions={"AutoScalingGroupName": servers.autoscaling_group_name},
            statistic="Minimum",
            bad="LessThanThreshold",
            threshold=LEAST_CPU_CREDITS,
            periods=3,
        )
    return alarms


def _dashboard(args: MonitoringArgs) -> pulumi.Output[str]:
    def body(known: dict[str, Any]) -> str:
        return dashboard_body(
            DashboardSubject(
                title=args.dashboard_name,
                region=args.region,
                database=known["database"],
                connection_budget=args.database.connection_budget,
                load_balancer=arn_suffix(known["load_balancer"]),
                servers={
                    key: ServersOnDashboard(
                        autoscaling_group=group["autoscaling_group"],
                        target_group=arn_suffix(group["target_group"]),
                    )
                    for key, group in known["servers"].items()
                },
                file_system=known["file_system"],
            )
        )

    return pulumi.Output.all(
        database=args.database.instance_identifier,
        load_balancer=args.load_balancer_arn,
        servers={
            key: {
                "autoscaling_group": servers.autoscaling_group_name,
                "target_group": servers.target_group_arn,
            }
            for key, servers in args.servers.items()
        },
        file_system=args.file_system_id,
    ).apply(body)
