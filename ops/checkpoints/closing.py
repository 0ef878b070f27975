"""Nobody works while data are replaced: both groups of servers have none, and get theirs back."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from ops.aws import explained, wait
from ops.errors import OpsError
from ops.run import Run
from ops.site import Site
from ops.site.servers import GROUPS, Role

SCALING: Final = ["AlarmNotification", "ScheduledActions"]
"""What starts servers without being asked."""
PATIENCE: Final = 3600.0
"""Seconds for connections to drain, and for servers to install OpenERP and answer."""


def _group(site: Site, role: Role) -> Mapping[str, Any]:
    name = str(site.stack.output(GROUPS[role]))
    with explained(f"the servers of {name}"):
        found = site.aws.client("autoscaling").describe_auto_scaling_groups(AutoScalingGroupNames=[name])
    if not found["AutoScalingGroups"]:
        raise OpsError(f"there is no Auto Scaling group {name}: run `pulumi up --stack {site.name}` first")
    row: Mapping[str, Any] = found["AutoScalingGroups"][0]
    return row


def close(site: Site, run: Run) -> None:
    """Take all servers away and wait until they are gone; their numbers are remembered in the run."""
    if run.get("sizes") is None:
        groups = {role: _group(site, role) for role in GROUPS}
        run.note(
            sizes={
                role: {"least": group["MinSize"], "wished": group["DesiredCapacity"]}
                for role, group in groups.items()
            }
        )
    scaling = site.aws.client("autoscaling")
    for role in GROUPS:
        name = _group(site, role)["AutoScalingGroupName"]
        with explained(f"closing {name}"):
            scaling.suspend_processes(AutoScalingGroupName=name, ScalingProcesses=SCALING)
            scaling.update_auto_scaling_group(AutoScalingGroupName=name, MinSize=0, DesiredCapacity=0)

    def gone() -> bool | None:
        left = sum(len(_group(site, role)["Instances"]) for role in GROUPS)
        site.reporter.note(f"{left} servers left")
        return None if left else True

    wait(f"the servers of {site.name} to end", gone, site.reporter, seconds=PATIENCE)


def wished(site: Site, run: Run | None) -> int:
    """Return how many servers there are to be, or were before a run took them away."""
    sizes = run.get("sizes") if run else None
    if sizes is not None:
        return sum(int(size["wished"]) for size in sizes.values())
    return sum(int(_group(site, role)["DesiredCapacity"]) for role in GROUPS)


def reopen(site: Site, run: Run) -> int:
    """Give each group its servers back, and return how many that are; they need minutes to serve."""
    sizes = run.get("sizes") or {}
    scaling = site.aws.client("autoscaling")
    for role, size in sizes.items():
        name = _group(site, role)["AutoScalingGroupName"]
        with explained(f"reopening {name}"):
            scaling.update_auto_scaling_group(
                AutoScalingGroupName=name, MinSize=size["least"], DesiredCapacity=size["wished"]
            )
            scaling.resume_processes(AutoScalingGroupName=name, ScalingProcesses=SCALING)
    return sum(int(size["wished"]) for size in sizes.values())


def await_servers(site: Site, run: Run) -> None:
    """Wait until as many servers of each role are healthy as there were."""
    sizes = run.get("sizes") or {}

    def healthy() -> bool | None:
        counts = {role: _healthy(site, role) for role in GROUPS}
        site.reporter.note(", ".join(f"{count} of {role}" for role, count in counts.items()))
        return all(counts[role] >= size["wished"] for role, size in sizes.items()) or None

    wait("healthy servers", healthy, site.reporter, seconds=PATIENCE)


def _healthy(site: Site, role: Role) -> int:
    """Return how many servers of a role the load balancer sends requests to."""
    with explained(f"the health of the {role} servers"):
        counts = [
            sum(
                row["TargetHealth"]["State"] == "healthy"
                for row in site.aws.client("elbv2").describe_target_health(TargetGroupArn=arn)[
                    "TargetHealthDescriptions"
                ]
            )
            for arn in _group(site, role)["TargetGroupARNs"]
        ]
    return min(counts, default=0)
