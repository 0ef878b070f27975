"""Alarms, notifications, dashboard and budget as a graph. That CloudWatch measures is not proven here."""

from __future__ import annotations

import json
from decimal import Decimal
from typing import Any

import pytest

from components.monitoring import MonitoredDatabase, MonitoredServers, Monitoring, MonitoringArgs
from tests.components.conftest import ACCOUNT, Deploy, Graph

ALARM = "aws:cloudwatch/metricAlarm:MetricAlarm"
RULE = "aws:cloudwatch/eventRule:EventRule"
TARGET = "aws:cloudwatch/eventTarget:EventTarget"
ELB = f"arn:aws:elasticloadbalancing:eu-west-1:{ACCOUNT}:"

ALWAYS = {
    "database-free-storage",
    "database-connections",
    "load-balancer-5xx",
    *(f"{role}-{what}" for role in ("app", "web-client") for what in ("unhealthy", "none-healthy", "5xx")),
    "certificate-server-expires",
}


def servers(role: str, *, burstable: bool) -> MonitoredServers:
    return MonitoredServers(
        autoscaling_group_name=f"asg-{role}",
        target_group_arn=f"{ELB}targetgroup/{role}/1",
        burstable=burstable,
    )


def make(deploy: Deploy, *, burstable: bool = False, **changes: Any) -> Graph:
    arguments: dict[str, Any] = {
        "account_id": ACCOUNT,
        "region": "eu-west-1",
        "dashboard_name": "openerp-test",
        "database": MonitoredDatabase(
            instance_identifier="database-1",
            burstable=burstable,
            allocated_storage_gb=100,
            connection_budget=180,
        ),
        "load_balancer_arn": f"{ELB}loadbalancer/app/lb/1",
        "servers": {role: servers(role, burstable=burstable) for role in ("app", "web-client")},
        "certificate_arns": {"server": "arn:certificate"},
        "file_system_id": "fs-1",
        "file_system_throughput": "elastic",
        "backup_vault_name": "vault-1",
        "backup_vault_arn": "arn:vault",
        "backup_role_arn": "arn:role",
        "stack": "test",
        **changes,
    }
    return deploy(lambda: Monitoring("monitoring", MonitoringArgs(**arguments)) and None)


def alarms(graph: Graph) -> dict[str, dict[str, Any]]:
    return {r.name.removeprefix("monitoring-"): r.inputs for r in graph.of(ALARM)}


def test_the_smallest_monitoring_has_no_credit_alarms_no_email_and_no_budget(deploy: Deploy) -> None:
    graph = make(deploy)

    assert graph.children("monitoring") == {
        ("aws:sns/topic:Topic", "monitoring-alarms"),
        ("aws:sns/topicPolicy:TopicPolicy", "monitoring-alarms-policy"),
        ("aws:cloudwatch/dashboard:Dashboard", "monitoring-dashboard"),
        (RULE, "monitoring-backup-failed"),
        (TARGET, "monitoring-backup-failed-topic"),
        (RULE, "monitoring-restore-failed"),
        (TARGET, "monitoring-restore-failed-topic"),
        *((ALARM, f"monitoring-{key}") for key in ALWAYS),
    }


def test_burstable_classes_bursting_files_email_copies_and_budget_add_what_they_need(deploy: Deploy) -> None:
    small, large = (
        make(deploy),
        make(
            deploy,
            burstable=True,
            file_system_throughput="bursting",
            email="operator@example.com",
            monthly_budget_usd=Decimal("250.50"),
            copies=True,
            drill_max_age_days=35,
        ),
    )
    assert large.children("monitoring") - small.children("monitoring") == {
        (ALARM, "monitoring-database-cpu-credits"),
        (ALARM, "monitoring-app-cpu-credits"),
        (ALARM, "monitoring-web-client-cpu-credits"),
        (ALARM, "monitoring-file-store-burst-credits"),
        (ALARM, "monitoring-drill-too-old"),
        ("aws:sns/topicSubscription:TopicSubscription", "monitoring-email"),
        ("aws:budgets/budget:Budget", "monitoring-budget"),
        (RULE, "monitoring-copy-failed"),
        (TARGET, "monitoring-copy-failed-topic"),
    }
    subscription = large.one("aws:sns/topicSubscription:TopicSubscription").inputs
    assert (subscription["protocol"], subscription["endpoint"]) == ("email", "operator@example.com")


def test_every_alarm_reaches_the_topic_and_says_what_to_do(deploy: Deploy) -> None:
    graph = make(deploy, burstable=True, file_system_throughput="bursting", drill_max_age_days=35)

    topic = graph.outputs_of("monitoring")["topic_arn"]
    found = alarms(graph)
    assert len(found) == len(ALWAYS) + 5
    for key, alarm in found.items():
        assert alarm["alarmActions"] == alarm["okActions"] == [topic], key
        assert len(alarm["alarmDescription"].split(". ")) >= 2, key
        assert len(alarm["alarmDescription"]) <= 1024, key
        assert all(alarm["dimensions"].values()), key


@pytest.mark.parametrize(
    ("key", "metric", "comparison", "threshold"),
    [
        ("database-free-storage", "FreeStorageSpace", "LessThanThreshold", 5 * 1024**3),
        ("database-connections", "DatabaseConnections", "GreaterThanThreshold", 153),
        ("app-unhealthy", "UnHealthyHostCount", "GreaterThanThreshold", 0),
        ("web-client-none-healthy", "HealthyHostCount", "LessThanThreshold", 1),
        ("load-balancer-5xx", "HTTPCode_ELB_5XX_Count", "GreaterThanThreshold", 10),
        ("web-client-5xx", "HTTPCode_Target_5XX_Count", "GreaterThanThreshold", 10),
        ("certificate-server-expires", "DaysToExpiry", "LessThanThreshold", 30),
    ],
)
def test_alarms_measure_the_right_thing(
    deploy: Deploy, key: str, metric: str, comparison: str, threshold: int
) -> None:
    alarm = alarms(make(deploy))[key]
    assert (alarm["metricName"], alarm["comparisonOperator"], alarm["threshold"]) == (
        metric,
        comparison,
        threshold,
    )


def test_target_groups_are_named_as_cloudwatch_names_them(deploy: Deploy) -> None:
    found = alarms(make(deploy))
    assert found["app-unhealthy"]["dimensions"] == {
        "TargetGroup": "targetgroup/app/1",
        "LoadBalancer": "app/lb/1",
    }
    assert found["load-balancer-5xx"]["dimensions"] == {"LoadBalancer": "app/lb/1"}


def test_no_server_at_all_is_an_alarm_even_when_nothing_is_measured(deploy: Deploy) -> None:
    assert alarms(make(deploy))["app-none-healthy"]["treatMissingData"] == "breaching"


def test_an_old_drill_is_an_alarm_and_so_is_silence(deploy: Deploy) -> None:
    alarm = alarms(make(deploy, drill_max_age_days=35))["drill-too-old"]
    assert (alarm["namespace"], alarm["metricName"]) == ("OpenERP/Operations", "DaysSinceGoodDrill")
    assert alarm["dimensions"] == {"Stack": "test"}
    assert (alarm["comparisonOperator"], alarm["threshold"]) == ("GreaterThanThreshold", 35)
    assert alarm["treatMissingData"] == "breaching"
    assert alarm["period"] * alarm["evaluationPeriods"] <= 7 * 86_400, "CloudWatch's limit"
    assert "python -m ops drill" in alarm["alarmDescription"]


def test_failed_backups_restores_and_copies_of_this_stack_are_told(deploy: Deploy) -> None:
    graph = make(deploy, copies=True)

    patterns = {r.name: json.loads(r.inputs["eventPattern"]) for r in graph.of(RULE)}
    assert patterns == {
        "monitoring-backup-failed": {
            "source": ["aws.backup"],
            "detail-type": ["Backup Job State Change"],
            "detail": {"state": ["FAILED", "ABORTED", "EXPIRED"], "backupVaultName": ["vault-1"]},
        },
        "monitoring-restore-failed": {
            "source": ["aws.backup"],
            "detail-type": ["Restore Job State Change"],
            "detail": {"status": ["FAILED", "ABORTED"], "iamRoleArn": ["arn:role"]},
        },
        "monitoring-copy-failed": {
            "source": ["aws.backup"],
            "detail-type": ["Copy Job State Change"],
            "detail": {"state": ["FAILED"], "sourceBackupVaultArn": ["arn:vault"]},
        },
    }
    for target in graph.of(TARGET):
        assert target.inputs["arn"] == graph.outputs_of("monitoring")["topic_arn"]
        transformer = target.inputs["inputTransformer"]
        text = json.loads(transformer["inputTemplate"])
        assert all(f"<{name}>" in text for name in transformer["inputPaths"])
        called = "status" if "restore" in target.name else "state"
        assert transformer["inputPaths"]["state"] == f"$.detail.{called}"


def test_only_alarms_budgets_and_events_may_publish(deploy: Deploy) -> None:
    graph = make(deploy)

    statements = json.loads(graph.one("aws:sns/topicPolicy:TopicPolicy").inputs["policy"])["Statement"]
    assert {s["Principal"]["Service"]: s.get("Condition") for s in statements} == {
        "cloudwatch.amazonaws.com": {"StringEquals": {"aws:SourceAccount": ACCOUNT}},
        "budgets.amazonaws.com": {"StringEquals": {"aws:SourceAccount": ACCOUNT}},
        "events.amazonaws.com": None,
    }
    assert {s["Action"] for s in statements} == {"sns:Publish"}


def test_the_budget_speaks_up_at_80_percent_spent_and_100_percent_foreseen(deploy: Deploy) -> None:
    graph = make(deploy, monthly_budget_usd=Decimal("250.50"))

    budget = graph.one("aws:budgets/budget:Budget")
    assert (budget.inputs["limitAmount"], budget.inputs["limitUnit"]) == ("250.50", "USD")
    assert (budget.inputs["budgetType"], budget.inputs["timeUnit"]) == ("COST", "MONTHLY")
    assert {
        (n["notificationType"], n["threshold"], n["thresholdType"], n["comparisonOperator"])
        for n in budget.inputs["notifications"]
    } == {("ACTUAL", 80, "PERCENTAGE", "GREATER_THAN"), ("FORECASTED", 100, "PERCENTAGE", "GREATER_THAN")}
    assert "monitoring-alarms-policy" in budget.depends_on_names


def test_the_dashboard_shows_this_deployment(deploy: Deploy) -> None:
    dashboard = make(deploy).one("aws:cloudwatch/dashboard:Dashboard").inputs
    assert dashboard["dashboardName"] == "openerp-test"
    for part in ("database-1", "app/lb/1", "targetgroup/app/1", "asg-web-client", "fs-1"):
        assert f'"{part}"' in dashboard["dashboardBody"]
    assert json.loads(dashboard["dashboardBody"])["widgets"]
