"""The dashboard's JSON; that CloudWatch draws it is not proven here."""

from __future__ import annotations

import json
from typing import Any

import pytest

from core.dashboard import COLUMNS, DashboardSubject, ServersOnDashboard, arn_suffix, dashboard_body

SUBJECT = DashboardSubject(
    title="openerp-prod",
    region="eu-west-1",
    database="database-1",
    connection_budget=180,
    load_balancer="app/lb/1",
    servers={
        "web-client": ServersOnDashboard(autoscaling_group="web-asg", target_group="targetgroup/web/1"),
        "app": ServersOnDashboard(autoscaling_group="app-asg", target_group="targetgroup/app/1"),
    },
    file_system="fs-1",
)


def widgets() -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(dashboard_body(SUBJECT))["widgets"]
    return found


def test_widgets_neither_overlap_nor_leave_the_grid() -> None:
    covered: set[tuple[int, int]] = set()
    for widget in widgets():
        cells = {
            (x, y)
            for x in range(widget["x"], widget["x"] + widget["width"])
            for y in range(widget["y"], widget["y"] + widget["height"])
        }
        assert not cells & covered
        assert all(x < COLUMNS for x, _ in cells)
        covered |= cells


def test_every_graph_names_the_region_a_title_and_at_least_one_metric() -> None:
    graphs = [w["properties"] for w in widgets() if w["type"] == "metric"]
    assert len({graph["title"] for graph in graphs}) == len(graphs)
    assert all(graph["region"] == "eu-west-1" and graph["metrics"] for graph in graphs)


def test_database_servers_load_balancer_and_files_are_on_it() -> None:
    text = dashboard_body(SUBJECT)
    for part in (
        "database-1",
        "app/lb/1",
        "targetgroup/web/1",
        "targetgroup/app/1",
        "app-asg",
        "web-asg",
        "fs-1",
    ):
        assert f'"{part}"' in text


def test_connections_are_drawn_against_their_budget() -> None:
    (graph,) = [w["properties"] for w in widgets() if w["properties"].get("title") == "Database connections"]
    assert graph["annotations"]["horizontal"] == [{"label": "budget", "value": 180}]


def test_the_order_of_server_groups_does_not_change_the_dashboard() -> None:
    reversed_servers = dict(reversed(list(SUBJECT.servers.items())))
    other = DashboardSubject(
        title=SUBJECT.title,
        region=SUBJECT.region,
        database=SUBJECT.database,
        connection_budget=SUBJECT.connection_budget,
        load_balancer=SUBJECT.load_balancer,
        servers=reversed_servers,
        file_system=SUBJECT.file_system,
    )
    assert dashboard_body(other) == dashboard_body(SUBJECT)


def test_cloudwatch_names_load_balancers_and_target_groups_by_the_end_of_their_arn() -> None:
    start = "arn:aws:elasticloadbalancing:eu-west-1:123456789012:"
    assert arn_suffix(f"{start}loadbalancer/app/lb/50dc6c495c0c9188") == "app/lb/50dc6c495c0c9188"
    assert arn_suffix(f"{start}targetgroup/web/73e2d6bc24d8a067") == "targetgroup/web/73e2d6bc24d8a067"


def test_what_is_no_arn_has_no_end() -> None:
    with pytest.raises(ValueError, match="not an ARN"):
        arn_suffix("app/lb/1")
