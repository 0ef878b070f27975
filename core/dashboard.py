"""The CloudWatch dashboard of one deployment, as the JSON that CloudWatch takes."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

COLUMNS = 24
"""Width of a dashboard in CloudWatch's grid."""
HEIGHT = 6
PERIOD_SECONDS = 300

Metric = list[Any]
"""CloudWatch's own form: namespace, metric, dimension name and value by turns, and rendering properties."""


@dataclass(frozen=True, kw_only=True)
class ServersOnDashboard:
    """One group of servers: the name of its Auto Scaling group, and its target group's ARN suffix."""

    autoscaling_group: str
    target_group: str


@dataclass(frozen=True, kw_only=True)
class DashboardSubject:
    """What the dashboard shows. `load_balancer` is an ARN suffix, `connection_budget` counts connections."""

    title: str
    region: str
    database: str
    connection_budget: int
    load_balancer: str
    servers: Mapping[str, ServersOnDashboard]
    file_system: str


def arn_suffix(arn: str) -> str:
    """Return how CloudWatch names a load balancer or target group: the end of its ARN.

    `…:loadbalancer/app/name/0123` gives `app/name/0123`; `…:targetgroup/name/0123` keeps `targetgroup/`.
    Raises ValueError for anything that is no ARN.
    """
    parts = arn.split(":", 5)
    if len(parts) != 6:
        raise ValueError(f"{arn!r} is not an ARN")
    return parts[5].removeprefix("loadbalancer/")


def dashboard_body(subject: DashboardSubject) -> str:
    """Return the dashboard: requests and errors above, servers in the middle, database and files below."""
    lb = ["LoadBalancer", subject.load_balancer]
    db = ["DBInstanceIdentifier", subject.database]
    files = ["FileSystemId", subject.file_system]
    targets = {
        role: ["TargetGroup", group.target_group, *lb] for role, group in sorted(subject.servers.items())
    }
    rows: list[list[dict[str, Any]]] = [
        [
            _graph("Requests", _each("AWS/ApplicationELB", "RequestCount", targets), "Sum"),
            _graph("Response time (s)", _each("AWS/ApplicationELB", "TargetResponseTime", targets), "p95"),
            _graph(
                "Errors (5xx)",
                [
                    ["AWS/ApplicationELB", "HTTPCode_ELB_5XX_Count", *lb, {"label": "load balancer"}],
                    *_each("AWS/ApplicationELB", "HTTPCode_Target_5XX_Count", targets),
                ],
                "Sum",
            ),
        ],
        [
            _graph("Healthy servers", _each("AWS/ApplicationELB", "HealthyHostCount", targets), "Minimum"),
            _graph(
                "Unhealthy servers", _each("AWS/ApplicationELB", "UnHealthyHostCount", targets), "Maximum"
            ),
            _graph(
                "Servers' CPU (%)",
                [
                    [
                        "AWS/EC2",
                        "CPUUtilization",
                        "AutoScalingGroupName",
                        group.autoscaling_group,
                        {"label": role},
                    ]
                    for role, group in sorted(subject.servers.items())
                ],
                "Average",
            ),
        ],
        [
            _graph("Database CPU (%)", [["AWS/RDS", "CPUUtilization", *db]], "Average"),
            _graph(
                "Database connections",
                [["AWS/RDS", "DatabaseConnections", *db]],
                "Maximum",
                limit=("budget", subject.connection_budget),
            ),
            _graph("Free storage (bytes)", [["AWS/RDS", "FreeStorageSpace", *db]], "Minimum"),
        ],
        [
            _graph(
                "Database latency (s)",
                [["AWS/RDS", "ReadLatency", *db], ["AWS/RDS", "WriteLatency", *db]],
                "Average",
            ),
            _graph("File store traffic (bytes)", [["AWS/EFS", "TotalIOBytes", *files]], "Sum"),
            _graph("File store size (bytes)", [_file_store_size(files)], "Average"),
        ],
    ]
    return json.dumps({"widgets": _lay_out(subject, rows)}, sort_keys=True)


def _each(namespace: str, metric: str, targets: Mapping[str, Sequence[str]]) -> list[Metric]:
    return [[namespace, metric, *dimensions, {"label": role}] for role, dimensions in targets.items()]


def _file_store_size(dimensions: Sequence[str]) -> Metric:
    return ["AWS/EFS", "StorageBytes", "StorageClass", "Total", *dimensions]


def _graph(
    title: str, metrics: Sequence[Metric], statistic: str, *, limit: tuple[str, int] | None = None
) -> dict[str, Any]:
    properties: dict[str, Any] = {
        "title": title,
        "metrics": list(metrics),
        "stat": statistic,
        "period": PERIOD_SECONDS,
        "view": "timeSeries",
        "yAxis": {"left": {"min": 0}},
    }
    if limit is not None:
        properties["annotations"] = {"horizontal": [{"label": limit[0], "value": limit[1]}]}
    return properties


def _lay_out(subject: DashboardSubject, rows: Sequence[Sequence[dict[str, Any]]]) -> list[dict[str, Any]]:
    header = {
        "type": "text",
        "x": 0,
        "y": 0,
        "width": COLUMNS,
        "height": 1,
        "properties": {"markdown": f"# {subject.title}"},
    }
    widgets = [header]
    for row_number, row in enumerate(rows):
        width = COLUMNS // len(row)
        widgets += [
            {
                "type": "metric",
                "x": column * width,
                "y": 1 + row_number * HEIGHT,
                "width": width,
                "height": HEIGHT,
                "properties": {**graph, "region": subject.region},
            }
            for column, graph in enumerate(row)
        ]
    return widgets
