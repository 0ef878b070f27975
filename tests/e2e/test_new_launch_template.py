"""A change of the settings reaches the web-client servers one after the other, while people work."""

from __future__ import annotations

from typing import Any

from tests.e2e.deployment import Deployment
from tests.e2e.test_certificates import QUICK
from tests.load.crowd import working
from tests.load.users import Entrance, reasons

LARGER = "t4g.medium"


def change(config: dict[str, Any]) -> None:
    """Twice the memory: another instance type and another odoo.conf, so another launch template."""
    config.setdefault("openerp:webClientServer", {})["instanceType"] = LARGER


def limit(live: Deployment, server: str) -> str:
    """The memory that a worker may take, as Odoo was told."""
    return live.inside(server, "grep", "^limit_memory_soft", "/etc/openerp/odoo.conf").stdout


def test_a_rolling_refresh_replaces_every_server_and_no_request_fails(
    two: Deployment, entrance: Entrance, people: list[tuple[str, str]]
) -> None:
    before = set(two.servers("web-client"))
    limits = {limit(two, server) for server in before}
    autoscaling, group = two.aws("autoscaling"), two.group_name("web-client")

    def latest() -> dict[str, Any]:
        refreshes = autoscaling.describe_instance_refreshes(AutoScalingGroupName=group)["InstanceRefreshes"]
        return dict(refreshes[0]) if refreshes else {}

    known = latest().get("InstanceRefreshId")
    with working(entrance, people, think=QUICK) as record:
        two.change_settings(change)
        two.run("up")
        two.wait("refresh that was started", lambda: latest().get("InstanceRefreshId") != known, 30)
        two.wait(
            "end of the refresh",
            lambda: latest()["Status"] in ("Successful", "Failed", "Cancelled", "RollbackSuccessful"),
            420,
        )
    print(f"{record.count()} requests, {record.resent} sent again on a new connection")
    assert latest()["Status"] == "Successful"
    after = set(two.servers("web-client"))
    assert len(after) == len(before)
    assert not after & before
    assert two.healthy("web-client") == after
    assert not record.failures(), reasons(record.failures())
    assert {limit(two, server) for server in after}.isdisjoint(limits)
