"""What is to be done so that what runs becomes what the emulator holds. Pure: no clock, no process.

Each round of the data centre (`local.nodes.centre`) asks anew; what is under way (`busy`) is left alone. What
nobody is to lose is a request: a server that goes is drained first, and groups (`local.nodes.groups`) say
when one may go.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Literal

from local.nodes.model import Cloud, Instance, Target, TargetGroup, Vpc

Phase = Literal["booting", "running", "draining", "stopping", "stopped", "dead"]
"""`booting` lasts until the server first answered its health check (or for good, where it has none);
`stopped` is a power-off that was asked for, `dead` one that was not, or a boot that failed."""

UP = ("booting", "running", "draining", "stopping")
"""Phases with a container."""


@dataclass(frozen=True)
class Settings:
    """What can change about a server while it runs."""

    firewall: str
    """Its rules, in nftables' own language."""
    databases: frozenset[int] = frozenset()
    """Ports on 127.0.0.1 at which it reaches a database server."""
    outside: frozenset[int] = frozenset()
    """Ports of any address that it may reach."""


@dataclass(frozen=True)
class Server:
    """One server of this machine."""

    instance: Instance
    """As the emulator described it last."""
    phase: Phase
    busy: bool = False
    """Whether something is being done with it."""
    settings: Settings | None = None
    """What it was given."""
    targets: Mapping[str, Target] = field(default_factory=dict)
    """Where the load balancer knows it: by ARN of the target group."""
    drained: bool = False
    """Nobody is on it any more, or the time for that is over. Means something while it is draining."""


@dataclass(frozen=True)
class Actual:
    """What runs on this machine."""

    servers: Mapping[str, Server] = field(default_factory=dict)
    networks: frozenset[str] = frozenset()
    """Ids of the VPCs that have a network."""


@dataclass(frozen=True)
class CreateNetwork:
    """Make a VPC's network."""

    vpc: Vpc


@dataclass(frozen=True)
class RemoveNetwork:
    """Take it away."""

    vpc_id: str


@dataclass(frozen=True)
class Boot:
    """Start a server; one that has a disk starts from it."""

    instance: Instance
    settings: Settings


@dataclass(frozen=True)
class Configure:
    """Change a running server's firewall, and its ways to databases and outside."""

    instance_id: str
    settings: Settings


@dataclass(frozen=True)
class Drain:
    """Send a server nobody new."""

    instance_id: str


@dataclass(frozen=True)
class PowerOff:
    """Shut a server down; its disk stays."""

    instance_id: str


@dataclass(frozen=True)
class Remove:
    """Forget a server that is off, its disk too."""

    instance_id: str


Action = CreateNetwork | RemoveNetwork | Boot | Configure | Drain | PowerOff | Remove


def reconcile(cloud: Cloud, actual: Actual, settings: Callable[[Instance], Settings]) -> list[Action]:
    """The next steps. None of them waits for another one of the same list."""
    wanted = {
        instance.id: instance
        for instance in cloud.instances
        if instance.state not in ("terminated", "shutting-down")
    }
    actions: list[Action] = [
        CreateNetwork(vpc)
        for vpc in cloud.vpcs
        if vpc.id not in actual.networks and any(item.vpc_id == vpc.id for item in wanted.values())
    ]
    for instance in wanted.values():
        server = actual.servers.get(instance.id)
        if server is None:
            if instance.state in ("pending", "running") and instance.vpc_id in actual.networks:
                actions.append(Boot(instance, settings(instance)))
        elif not server.busy:
            actions += _keep(instance, server, settings)
    for name, server in actual.servers.items():
        if name not in wanted and not server.busy:
            actions += _let_go(name, server)
    used = {instance.vpc_id for instance in wanted.values()}
    used |= {server.instance.vpc_id for server in actual.servers.values()}
    known = {vpc.id for vpc in cloud.vpcs}
    actions += [RemoveNetwork(vpc_id) for vpc_id in sorted(actual.networks - used - known)]
    return actions


def _keep(instance: Instance, server: Server, settings: Callable[[Instance], Settings]) -> Iterator[Action]:
    """Steps for an instance that is to be there, running or not."""
    if instance.state in ("stopping", "stopped"):
        if server.phase in UP:
            yield PowerOff(instance.id)
    elif server.phase == "stopped":
        yield Boot(instance, settings(instance))
    elif server.phase in ("booting", "running"):
        wanted = settings(instance)
        if wanted != server.settings:
            yield Configure(instance.id, wanted)


def _let_go(name: str, server: Server) -> Iterator[Action]:
    """Steps for a server whose instance is terminated: nobody new, nobody, off, gone."""
    if server.phase == "running" and server.targets:
        yield Drain(name)
    elif server.phase == "draining":
        if server.drained:
            yield PowerOff(name)
    elif server.phase in UP:
        yield PowerOff(name)
    else:
        yield Remove(name)


def with_draining(cloud: Cloud, actual: Actual) -> Cloud:
    """The cloud as the load balancer has to see it: with the servers that are being drained, which the
    target groups themselves do not list any more."""
    groups = dict(cloud.target_groups)
    for server in actual.servers.values():
        if server.phase != "draining":
            continue
        for arn, target in server.targets.items():
            group = groups.get(arn)
            if group is not None and target not in group.targets:
                groups[arn] = _with(group, target)
    return dataclasses.replace(cloud, target_groups=groups)


def _with(group: TargetGroup, target: Target) -> TargetGroup:
    targets = sorted((*group.targets, target), key=lambda item: item.instance_id)
    return dataclasses.replace(group, targets=tuple(targets))


def targets_of(cloud: Cloud, instance_id: str) -> dict[str, Target]:
    """Where an instance is registered, by ARN of the target group."""
    return {
        arn: target
        for arn, group in cloud.target_groups.items()
        for target in group.targets
        if target.instance_id == instance_id
    }
