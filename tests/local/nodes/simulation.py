"""An emulator and a machine in a few lines, for tests of what the data centre decides."""

from __future__ import annotations

import dataclasses
import itertools

from local.nodes import groups
from local.nodes.model import AutoScalingGroup, Cloud, HealthCheck, Instance, Target, TargetGroup, Vpc
from local.nodes.reconcile import (
    UP,
    Action,
    Actual,
    Boot,
    Configure,
    CreateNetwork,
    Drain,
    PowerOff,
    Remove,
    RemoveNetwork,
    Server,
    Settings,
    reconcile,
    targets_of,
)

VPC = Vpc(id="vpc-1", cidr="10.0.0.0/16")
ARN = "arn:targets"
CHECK = HealthCheck(
    path="/web/health", matcher="200", interval=15, timeout=5, healthy_threshold=2, unhealthy_threshold=4
)


def instance(name: str, *, state: str = "running", version: str = "1", group: str | None = "g") -> Instance:
    return Instance(
        id=name,
        state=state,
        image_name="debian-13",
        instance_type="t4g.small",
        private_ip="10.0.0.9",
        subnet_cidr="10.0.0.0/24",
        availability_zone="a",
        vpc_id=VPC.id,
        role_name=None,
        user_data=b"",
        group_name=group,
        launch_template_version=version,
    )


def settings(_instance: Instance) -> Settings:
    return Settings(firewall="rules")


class World:
    """One group, as the emulator keeps it, and servers that boot, answer and drain in a round each."""

    def __init__(self, desired: int) -> None:
        self.names = (f"i-{number}" for number in itertools.count(1))
        self.instances: dict[str, Instance] = {}
        self.desired = desired
        self.version = 1
        self.old: tuple[str, ...] | None = None
        self.servers: dict[str, Server] = {}
        self.networks: frozenset[str] = frozenset()
        self.health: dict[str, str] = {}
        self.unhealthy: set[str] = set()
        self.refreshes = 0
        self.fill()

    def fill(self) -> None:
        """What the emulator does by itself: as many instances as are desired, and one more in a refresh."""
        more = 1 if self.old and len(self.instances) > self.desired else 0
        while len(self.instances) < self.desired:
            self.launch()
        while len(self.instances) > self.desired + more:
            del self.instances[next(iter(self.instances))]

    def launch(self) -> None:
        name = next(self.names)
        self.instances[name] = instance(name, version=str(self.version))

    def scale(self, desired: int) -> None:
        more = 1 if desired and self.old and len(self.instances) > self.desired else 0
        self.desired = desired
        while len(self.instances) > desired + more:
            del self.instances[next(iter(self.instances))]
        self.fill()

    def refresh(self) -> None:
        self.version += 1
        self.old = tuple(self.instances)

    def cloud(self) -> Cloud:
        targets = tuple(Target(instance_id=name, address="10.0.0.9", port=80) for name in self.instances)
        group = AutoScalingGroup(
            name="g",
            desired=self.desired,
            instance_ids=tuple(self.instances),
            target_group_arns=(ARN,),
            launch_template_version=str(self.version),
            health_check_type="ELB",
            refresh_id="r" if self.old is not None else None,
            refresh_old_ids=tuple(name for name in self.old or () if name in self.instances),
        )
        return Cloud(
            vpcs=(VPC,),
            instances=tuple(self.instances.values()),
            groups=(group,),
            target_groups={ARN: TargetGroup(arn=ARN, name="t", health_check=CHECK, targets=targets)},
        )

    def actual(self) -> Actual:
        return Actual(servers=dict(self.servers), networks=self.networks)

    def serving(self) -> int:
        """Servers that a new request can go to."""
        return sum(
            self.health.get(name) == "healthy" and server.phase == "running"
            for name, server in self.servers.items()
        )

    def kill(self, name: str) -> None:
        self._change(name, phase="dead")
        self.health.pop(name, None)

    def _change(self, name: str, **changes: object) -> None:
        self.servers[name] = dataclasses.replace(self.servers[name], **changes)  # type: ignore[arg-type]

    def step(self) -> list[Action]:
        """One round; gives what was done to servers and networks."""
        for name, server in self.servers.items():
            if server.phase == "booting" and name in self.instances:
                self._change(name, phase="running", targets=targets_of(self.cloud(), name))
                self.health[name] = "unhealthy" if name in self.unhealthy else "healthy"
            elif server.phase == "draining":
                self._change(name, drained=True)
        conditions = {
            name: groups.Condition(alive=server.phase in UP, seconds=60.0)
            for name, server in self.servers.items()
        }
        for decision in groups.decide(self.cloud(), conditions, {ARN: self.health}):
            self._carry_out(decision)
        actions = reconcile(self.cloud(), self.actual(), settings)
        for action in actions:
            self._do(action)
        return actions

    def _carry_out(self, decision: groups.Decision) -> None:
        if isinstance(decision, groups.Replace | groups.TerminateOld):
            del self.instances[decision.instance_id]
            self.fill()
        elif isinstance(decision, groups.LaunchOneMore):
            self.launch()
        else:
            self.old = None
            self.refreshes += 1
            self.fill()

    def _do(self, action: Action) -> None:
        if isinstance(action, CreateNetwork):
            self.networks |= {action.vpc.id}
        elif isinstance(action, RemoveNetwork):
            self.networks -= {action.vpc_id}
        elif isinstance(action, Boot):
            self.servers[action.instance.id] = Server(
                instance=action.instance, phase="booting", settings=action.settings
            )
        elif isinstance(action, Configure):
            self._change(action.instance_id, settings=action.settings)
        elif isinstance(action, Drain):
            self._change(action.instance_id, phase="draining")
        elif isinstance(action, PowerOff):
            self._change(action.instance_id, phase="stopped")
            self.health.pop(action.instance_id, None)
        elif isinstance(action, Remove):
            del self.servers[action.instance_id]
