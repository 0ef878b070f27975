"""The data centre's loop against the real emulator, with machines and load balancers that only pretend."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, cast

import pytest

from local import nodes
from local.emulator import Emulator, running, start, stop
from local.nodes import NodesError, shell
from local.nodes.balancers import Balancers
from local.nodes.centre import Centre
from local.nodes.hardware import Hardware
from local.nodes.model import Cloud, Instance, Vpc
from local.nodes.reconcile import Settings
from local.nodes.status import BalancerStatus, Status, read
from local.processes import identity
from tests.local.emulator.conftest import REGION, make_client, wait_until
from tests.local.emulator.test_nodes import attach, make_group, members, refresh, targets


class Machines:
    """Stands for `Hardware`: a server is a word in a dictionary."""

    def __init__(self, home: Path) -> None:
        self.directory = home / "nodes"
        self.servers: dict[str, str] = {}
        self.vpcs: set[str] = set()
        self.fail: str | None = None
        self.off: list[str] = []

    def endpoint_moved(self, port: int) -> None:
        """Nothing here reaches it."""

    def networks(self) -> frozenset[str]:
        return frozenset(self.vpcs)

    def create_network(self, vpc: Vpc) -> None:
        self.vpcs.add(vpc.id)

    def remove_network(self, vpc_id: str) -> None:
        self.vpcs.remove(vpc_id)

    def image(self, instance: Instance) -> Path:
        return Path("/")

    def settings(self, instance: Instance, cloud: Cloud) -> Settings:
        return Settings(firewall="")

    def boot(self, instance: Instance, root: Path, settings: Settings, cloud: Cloud) -> None:
        if self.fail:
            raise RuntimeError(self.fail)
        self.servers[instance.id] = "on"

    def configure(self, name: str, settings: Settings) -> None:
        """Nothing to configure."""

    def alive(self, name: str) -> bool:
        return self.servers.get(name) == "on"

    def booted(self, name: str) -> bool:
        return self.alive(name)

    def script(self, name: str, script: shell.Script, cancelled: threading.Event) -> shell.Ended:
        """On this machine, as if it were the server."""
        if not self.alive(name):
            return shell.undeliverable()
        return shell.run([], script, {"PATH": os.environ["PATH"], "SERVER": name}, cancelled)

    def power_off(self, name: str, seconds: float) -> None:
        self.servers[name] = "off"
        self.off.append(name)

    def remove(self, name: str) -> None:
        self.servers.pop(name, None)

    def console(self, name: str) -> tuple[str, ...]:
        return (f"{name} says hello",)


class Balanced:
    """Stands for `Balancers`: whoever is on is healthy, unless it is said otherwise."""

    def __init__(self, machines: Machines) -> None:
        self.machines = machines
        self.cloud = Cloud()
        self.busy: set[str] = set()
        self.drained: list[str] = []
        self.sick: set[str] = set()

    def health(self) -> dict[str, dict[str, str]]:
        return {
            arn: {
                target.instance_id: "healthy"
                if self.machines.alive(target.instance_id) and target.instance_id not in self.sick
                else "unhealthy"
                for target in group.targets
            }
            for arn, group in self.cloud.target_groups.items()
        }

    def apply(self, cloud: Cloud) -> None:
        self.cloud = cloud

    def drain(self, target_group: str, instance_id: str) -> None:
        self.drained.append(instance_id)

    def sessions(self, instance_id: str) -> int:
        return int(instance_id in self.busy)

    def status(self) -> tuple[BalancerStatus, ...]:
        return (BalancerStatus(name="lb", bind="127.0.0.1"),)

    def stop(self) -> None:
        """Nothing runs."""


class Place:
    """An emulator with a group of two, and a data centre for it."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.arn = make_group(start(home))
        attach(home)
        self.machines = Machines(home)
        self.balanced = Balanced(self.machines)
        self.stopping = threading.Event()
        self.centre = Centre(home, REGION, cast(Hardware, self.machines), cast(Balancers, self.balanced))
        self.thread = threading.Thread(target=self.centre.run, args=(self.stopping,))
        self.thread.start()

    @property
    def emulator(self) -> Emulator:
        found = running(self.home)
        assert found is not None
        return found

    def client(self, service: str) -> Any:
        return make_client(self.emulator, service)

    def status(self) -> Status:
        found = read(self.home / "nodes" / "status.json")
        assert found is not None
        return found

    def serves(self, *names: str) -> Callable[[], bool]:
        """Whether exactly these servers run and are healthy in the emulator's own words."""
        return lambda: (
            {name for name, state in self.machines.servers.items() if state == "on"} == set(names)
            and targets(self.emulator, self.arn) == dict.fromkeys(names, "healthy")
        )

    def settled(self) -> bool:
        return self.serves(*members(self.emulator))()

    def close(self) -> None:
        self.stopping.set()
        self.thread.join()
        self.centre.close()


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    made = Place(tmp_path / "home")
    try:
        wait_until(made.settled)
        yield made
    finally:
        made.close()
        stop(tmp_path / "home")


def test_every_instance_becomes_a_server_and_its_health_is_told(place: Place) -> None:
    wait_until(lambda: read(place.home / "nodes" / "status.json") is not None)
    wait_until(lambda: place.status().serving)
    status = place.status()
    assert [server.phase for server in status.servers] == ["running", "running"]
    assert status.servers[0].console == (f"{status.servers[0].id} says hello",)
    assert status.wanted == 2 and len(place.machines.vpcs) == 1


def test_a_server_that_dies_is_replaced_and_the_other_one_stays(place: Place) -> None:
    gone, stays = members(place.emulator)
    place.machines.servers[gone] = "dead"
    wait_until(lambda: gone not in members(place.emulator))
    wait_until(place.settled)
    assert stays in members(place.emulator) and gone not in place.machines.servers
    assert any(gone in line for line in place.status().replaced)
    assert gone in place.balanced.drained


def test_a_server_is_drained_before_it_goes_and_shut_down_when_nobody_is_on_it(place: Place) -> None:
    first, second = members(place.emulator)
    place.balanced.busy = {first, second}
    place.client("autoscaling").set_desired_capacity(AutoScalingGroupName="g", DesiredCapacity=1)
    (stays,) = members(place.emulator)
    (going,) = {first, second} - {stays}
    wait_until(lambda: going in place.balanced.drained)
    time.sleep(2)
    assert place.machines.alive(going)
    assert going in {target.instance_id for target in place.balanced.cloud.target_groups[place.arn].targets}
    place.balanced.busy = set()
    wait_until(lambda: going not in place.machines.servers)
    assert place.machines.off == [going]
    wait_until(place.settled)


def test_a_refresh_goes_on_after_a_kill_of_the_emulator_and_never_leaves_fewer(place: Place) -> None:
    before = members(place.emulator)
    place.client("autoscaling").start_instance_refresh(AutoScalingGroupName="g")
    wait_until(lambda: len(members(place.emulator)) == 3)
    emulator = place.emulator
    os.kill(emulator.pid, signal.SIGKILL)
    wait_until(lambda: identity(emulator.pid) is None)
    start(place.home)
    fewest = [2]

    def done() -> bool:
        fewest.append(sum(state == "on" for state in place.machines.servers.values()))
        return bool(refresh(place.emulator)["Status"] == "Successful")

    wait_until(done)
    assert min(fewest) >= 2
    wait_until(place.settled)
    assert set(before).isdisjoint(members(place.emulator)) and len(members(place.emulator)) == 2


def test_a_server_that_cannot_be_started_says_why_and_does_not_stop_the_others(place: Place) -> None:
    place.machines.fail = "no room"
    place.client("autoscaling").set_desired_capacity(AutoScalingGroupName="g", DesiredCapacity=3)
    wait_until(lambda: any("RuntimeError: no room" in line for line in place.status().replaced))
    assert sum(state == "on" for state in place.machines.servers.values()) == 2
    place.machines.fail = None


def test_a_stopped_instance_without_a_group_keeps_its_disk_and_starts_again(place: Place) -> None:
    ec2 = place.client("ec2")
    subnet = ec2.describe_instances(InstanceIds=members(place.emulator)[:1])["Reservations"][0]["Instances"][
        0
    ]["SubnetId"]
    made = ec2.run_instances(MinCount=1, MaxCount=1, ImageId="ami-1", SubnetId=subnet)["Instances"][0]
    name = made["InstanceId"]
    wait_until(lambda: place.machines.alive(name))
    ec2.stop_instances(InstanceIds=[name])
    wait_until(lambda: place.machines.servers.get(name) == "off")
    ec2.start_instances(InstanceIds=[name])
    wait_until(lambda: place.machines.alive(name))
    ec2.terminate_instances(InstanceIds=[name])
    wait_until(lambda: name not in place.machines.servers)


def test_a_server_of_no_group_is_booted_from_a_template_and_gone_when_it_is_terminated(place: Place) -> None:
    ec2 = place.client("ec2")
    group = place.client("autoscaling").describe_auto_scaling_groups()["AutoScalingGroups"][0]
    made = ec2.run_instances(
        MinCount=1,
        MaxCount=1,
        LaunchTemplate={"LaunchTemplateId": group["LaunchTemplate"]["LaunchTemplateId"]},
        SubnetId=group["VPCZoneIdentifier"].split(",")[0],
        UserData="#cloud-config of a drill",
    )["Instances"][0]
    name = made["InstanceId"]
    wait_until(lambda: place.machines.alive(name))
    wait_until(
        lambda: {server.phase for server in place.status().servers if server.id == name} == {"running"}
    )
    assert place.status().serving and len(members(place.emulator)) == 2
    ec2.terminate_instances(InstanceIds=[name])
    wait_until(lambda: name not in place.machines.servers)
    assert place.settled()


def test_servers_of_another_region_are_refused_while_some_run(tmp_path: Path) -> None:
    attach(tmp_path)
    with pytest.raises(NodesError, match=f"servers in {REGION} run .* this stack is in eu-central-1: `down`"):
        nodes.start(tmp_path, "eu-central-1")


def test_a_command_runs_on_a_server_and_is_lost_with_it(place: Place) -> None:
    ssm, (first, second) = place.client("ssm"), members(place.emulator)

    def online() -> list[str]:
        rows = ssm.describe_instance_information()["InstanceInformationList"]
        return sorted(row["InstanceId"] for row in rows)

    wait_until(lambda: online() == sorted((first, second)))
    sent = ssm.send_command(
        DocumentName="AWS-RunShellScript",
        InstanceIds=[first, second],
        Parameters={"commands": ["echo $SERVER"]},
    )["Command"]["CommandId"]

    def ended(name: str) -> bool:
        return bool(found(name)["Status"] not in ("Pending", "InProgress"))

    def found(name: str) -> Any:
        return ssm.get_command_invocation(CommandId=sent, InstanceId=name)

    wait_until(lambda: ended(first) and ended(second))
    assert found(first)["StandardOutputContent"] == f"{first}\n"
    place.machines.servers[first] = "dead"
    wait_until(lambda: first not in online())
    wait_until(place.settled)


def test_it_waits_for_an_emulator_that_is_stopped_and_keeps_the_servers(place: Place) -> None:
    names = members(place.emulator)
    stop(place.home)
    wait_until(lambda: any("emulator" in error for error in place.status().errors))
    assert all(place.machines.alive(name) for name in names)
    start(place.home)
    wait_until(lambda: not place.status().errors)
    assert members(place.emulator) == names
