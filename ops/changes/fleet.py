"""The servers of a stack while their code is changed: replaced one after the other, all well in the end."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from ops.aws import explained, wait
from ops.errors import OpsError
from ops.site import Site
from ops.site.servers import GROUPS, Role

PATIENCE: Final = 4 * 3600.0
"""Seconds for all servers to be replaced one after the other; each installs OpenERP first."""
UNDER_WAY: Final = frozenset({"Pending", "InProgress", "Cancelling", "RollbackInProgress", "Baking"})
"""States of an instance refresh that will become another one (Auto Scaling API, InstanceRefresh)."""


def _group(site: Site, role: Role) -> Mapping[str, Any]:
    name = str(site.stack.output(GROUPS[role]))
    with explained(f"the servers of {name}"):
        found = site.aws.client("autoscaling").describe_auto_scaling_groups(AutoScalingGroupNames=[name])
    if not found["AutoScalingGroups"]:
        raise OpsError(f"there is no Auto Scaling group {name}: run `pulumi up --stack {site.name}` first")
    row: Mapping[str, Any] = found["AutoScalingGroups"][0]
    return row


def _refresh(site: Site, group: str) -> Mapping[str, Any] | None:
    with explained(f"the replacement of the servers of {group}"):
        rows = site.aws.client("autoscaling").describe_instance_refreshes(
            AutoScalingGroupName=group, MaxRecords=1
        )["InstanceRefreshes"]
    return rows[0] if rows else None


def _healthy(site: Site, group: Mapping[str, Any]) -> set[str]:
    """Return the servers of a group that the load balancer sends requests to."""
    elbv2 = site.aws.client("elbv2")
    found: set[str] | None = None
    for arn in group["TargetGroupARNs"]:
        with explained(f"the health of {group['AutoScalingGroupName']}"):
            rows = elbv2.describe_target_health(TargetGroupArn=arn)["TargetHealthDescriptions"]
        well = {row["Target"]["Id"] for row in rows if row["TargetHealth"]["State"] == "healthy"}
        found = well if found is None else found & well
    return found or set()


def _state(site: Site, role: Role) -> str | None:
    """Return what a role's servers still wait for; None when all are of the present template, and well.

    Raises OpsError where new servers did not come up, and AWS gave up.
    """
    group = _group(site, role)
    refresh = _refresh(site, str(group["AutoScalingGroupName"]))
    if refresh is not None and refresh["Status"] in UNDER_WAY:
        return f"{refresh.get('PercentageComplete', 0)} % of the {role} servers are new"
    version = str(group["LaunchTemplate"]["Version"])
    instances = group["Instances"]
    old = [row for row in instances if str(row["LaunchTemplate"]["Version"]) != version]
    if old:
        ended = f"ended as {refresh['Status']}" if refresh else "was not begun"
        why = f": {refresh['StatusReason']}" if refresh and refresh.get("StatusReason") else ""
        raise OpsError(
            f"{len(old)} {role} servers are not of the present launch template, and their replacement "
            f"{ended}{why}"
        )
    well = len(_healthy(site, group) & {row["InstanceId"] for row in instances})
    if well < group["DesiredCapacity"]:
        return f"{well} of {group['DesiredCapacity']} {role} servers answer the load balancer"
    return None


def await_new(site: Site) -> None:
    """Wait until every server is of the present launch template, and answers the load balancer."""

    def look() -> bool | None:
        waiting = [text for role in GROUPS if (text := _state(site, role)) is not None]
        if waiting:
            site.reporter.note(", ".join(waiting))
        return None if waiting else True

    wait(f"the new servers of {site.name}", look, site.reporter, seconds=PATIENCE, every=10)


def all_reached(site: Site) -> list[str]:
    """Return every server of the stack. Raises OpsError where Run Command does not reach one."""
    instances = [instance for role in GROUPS for instance in site.servers.instances(role)]
    if not instances:
        raise OpsError(f"{site.name} has no servers: bring them up first")
    reached = set(site.servers.reached(instances))
    if lost := sorted(set(instances) - reached):
        raise OpsError(
            f"SSM Run Command does not reach {', '.join(lost)} of {site.name}: nothing can be closed as long "
            "as a server that is not reached may go on serving"
        )
    return instances
