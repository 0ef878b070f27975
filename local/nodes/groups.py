"""Auto Scaling as the servers of this machine make it true: which are replaced, and in which order a refresh
goes on. The decisions are pure; `carry_out` tells the emulator.

The emulator keeps the number of instances; what it cannot know is how the servers are.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from local.nodes.model import AutoScalingGroup, Cloud

Health = Mapping[str, Mapping[str, str]]
"""The state of each instance in each target group (by ARN): `healthy`, `unhealthy`, `initial`,
`draining`."""


@dataclass(frozen=True)
class Condition:
    """How a server of a group is."""

    alive: bool
    """Its container runs, or is about to. Without one the instance counts as impaired, as on EC2."""
    seconds: float
    """Since it was started."""
    answered: bool = True
    """Whether the load balancer has ever found it healthy; until then its state is `initial`."""


@dataclass(frozen=True)
class Replace:
    """Terminate an instance; its group launches another."""

    group: str
    instance_id: str
    why: str


@dataclass(frozen=True)
class LaunchOneMore:
    """Launch the instance that takes over from an old one during a refresh."""

    group: str


@dataclass(frozen=True)
class TerminateOld:
    """Terminate an old instance during a refresh: another has taken over."""

    group: str
    instance_id: str


@dataclass(frozen=True)
class Finish:
    """End a refresh."""

    group: str
    status: Literal["Successful"] = "Successful"


Decision = Replace | LaunchOneMore | TerminateOld | Finish


def healthy(group: AutoScalingGroup, instance_id: str, health: Health) -> bool:
    """Whether an instance is healthy in every target group of its group."""
    return all(health.get(arn, {}).get(instance_id) == "healthy" for arn in group.target_group_arns)


def decide(cloud: Cloud, conditions: Mapping[str, Condition], health: Health) -> list[Decision]:
    """What the groups have to do next; at most one step a group, which the next round sees the effect of."""
    states = {instance.id: instance.state for instance in cloud.instances}
    decisions: list[Decision] = []
    for group in cloud.groups:
        step = next(_replacements(group, states, conditions, health), None) or _refresh(
            group, conditions, health
        )
        if step is not None:
            decisions.append(step)
    return decisions


def _replacements(
    group: AutoScalingGroup,
    states: Mapping[str, str],
    conditions: Mapping[str, Condition],
    health: Health,
) -> Iterator[Replace]:
    for name in group.instance_ids:
        condition = conditions.get(name)
        if states.get(name) in ("stopping", "stopped"):
            yield Replace(group.name, name, "it is stopped")
        elif condition is None:
            continue
        elif not condition.alive:
            yield Replace(group.name, name, "its server is gone")
        elif (
            group.health_check_type == "ELB"
            and condition.seconds > group.grace_seconds
            and (
                not condition.answered
                or any(health.get(arn, {}).get(name) == "unhealthy" for arn in group.target_group_arns)
            )
        ):
            yield Replace(group.name, name, "the load balancer finds it unhealthy")


def _refresh(group: AutoScalingGroup, conditions: Mapping[str, Condition], health: Health) -> Decision | None:
    """The next step of a refresh: one more, wait until it answers, let an old one go."""
    if group.refresh_id is None:
        return None
    old = [name for name in group.instance_ids if name in group.refresh_old_ids]
    new = [name for name in group.instance_ids if name not in group.refresh_old_ids]
    if not all(
        name in conditions and conditions[name].alive and healthy(group, name, health) for name in new
    ):
        return None
    if not old:
        return Finish(group.name) if len(new) >= group.desired else None
    if len(group.instance_ids) <= group.desired:
        return LaunchOneMore(group.name)
    # What does not answer anyway goes first.
    going = min(old, key=lambda name: (healthy(group, name, health), old.index(name)))
    answering = [name for name in group.instance_ids if name != going and healthy(group, name, health)]
    return TerminateOld(group.name, going) if answering or group.desired == 0 else None


def carry_out(decisions: Iterable[Decision], autoscaling: Any, ask: Any, region: str) -> None:
    """Tells the emulator, by AWS's API where that has a call for it, else by `ask` (`Endpoint.ask`)."""
    for decision in decisions:
        if isinstance(decision, Replace | TerminateOld):
            autoscaling.terminate_instance_in_auto_scaling_group(
                InstanceId=decision.instance_id, ShouldDecrementDesiredCapacity=False
            )
        elif isinstance(decision, LaunchOneMore):
            ask("POST", "refresh/launch", {"region": region, "group": decision.group})
        else:
            ask(
                "POST",
                "refresh/finish",
                {"region": region, "group": decision.group, "status": decision.status},
            )
