"""What runs becomes what the emulator holds, step by step, and nobody's request is lost on the way."""

from __future__ import annotations

import dataclasses

from hypothesis import example, given
from hypothesis import strategies as st

from local.nodes.model import Cloud, Target
from local.nodes.reconcile import (
    Actual,
    Boot,
    Configure,
    CreateNetwork,
    Drain,
    Phase,
    PowerOff,
    Remove,
    RemoveNetwork,
    Server,
    Settings,
    reconcile,
    with_draining,
)
from tests.local.nodes.simulation import ARN, VPC, World, instance, settings

PHASES = st.sampled_from(["booting", "running", "draining", "stopping", "stopped", "dead"])
STATES = st.sampled_from(["pending", "running", "stopping", "stopped", "shutting-down", "terminated"])
TARGET = Target(instance_id="i-1", address="10.0.0.9", port=80)


def only(phase: Phase, **more: object) -> Actual:
    server = Server(instance=instance("i-1"), phase=phase, settings=settings(instance("i-1")))
    server = dataclasses.replace(server, **more)  # type: ignore[arg-type]
    return Actual(servers={"i-1": server}, networks=frozenset({VPC.id}))


def holding(state: str) -> Cloud:
    return Cloud(vpcs=(VPC,), instances=(instance("i-1", state=state),))


def test_a_network_comes_before_the_servers_in_it() -> None:
    assert reconcile(holding("running"), Actual(), settings) == [CreateNetwork(VPC)]
    ready = Actual(networks=frozenset({VPC.id}))
    assert reconcile(holding("running"), ready, settings) == [
        Boot(instance("i-1"), settings(instance("i-1")))
    ]


def test_a_network_goes_when_its_vpc_and_its_last_server_are_gone() -> None:
    assert reconcile(Cloud(vpcs=(VPC,)), Actual(networks=frozenset({VPC.id})), settings) == []
    assert reconcile(Cloud(), Actual(networks=frozenset({VPC.id})), settings) == [RemoveNetwork(VPC.id)]
    assert RemoveNetwork(VPC.id) not in reconcile(Cloud(), only("stopping", busy=True), settings)


def test_a_server_that_serves_is_drained_before_it_is_shut_down_and_then_removed() -> None:
    assert reconcile(Cloud(), only("running", targets={ARN: TARGET}), settings) == [Drain("i-1")]
    assert reconcile(Cloud(), only("draining"), settings) == []
    assert reconcile(Cloud(), only("draining", drained=True), settings) == [PowerOff("i-1")]
    assert reconcile(Cloud(), only("stopped"), settings) == [Remove("i-1")]


def test_a_server_that_nobody_was_sent_to_is_shut_down_at_once() -> None:
    assert reconcile(Cloud(), only("booting", targets={ARN: TARGET}), settings) == [PowerOff("i-1")]
    assert reconcile(Cloud(), only("running"), settings) == [PowerOff("i-1")]


def test_a_stopped_instance_keeps_its_disk_and_starts_from_it() -> None:
    assert reconcile(holding("stopped"), only("running"), settings) == [PowerOff("i-1")]
    assert reconcile(holding("stopped"), only("stopped"), settings) == []
    assert reconcile(holding("running"), only("stopped"), settings) == [
        Boot(instance("i-1"), settings(instance("i-1")))
    ]


def test_a_dead_server_is_not_started_again_by_itself() -> None:
    """Its group replaces it (`test_groups`); an instance without a group stays as it is, as on EC2."""
    assert reconcile(holding("running"), only("dead"), settings) == []


def test_other_rules_of_a_security_group_reach_a_server_that_runs() -> None:
    new = Settings(firewall="other rules", databases=frozenset({5432}))
    assert reconcile(holding("running"), only("running"), lambda _: new) == [Configure("i-1", new)]


@given(PHASES, STATES, st.booleans(), st.booleans())
def test_what_is_under_way_is_left_alone(phase: Phase, state: str, drained: bool, registered: bool) -> None:
    targets = {ARN: TARGET} if registered else {}
    actual = only(phase, busy=True, drained=drained, targets=targets)
    assert reconcile(holding(state), actual, settings) == []


@given(PHASES, STATES, st.booleans(), st.booleans())
def test_one_step_a_server_and_the_same_one_however_often_it_is_asked(
    phase: Phase, state: str, drained: bool, registered: bool
) -> None:
    actual = only(phase, drained=drained, targets={ARN: TARGET} if registered else {})
    actions = reconcile(holding(state), actual, settings)
    assert len(actions) <= 1
    assert actions == reconcile(holding(state), actual, settings)


def test_the_load_balancer_still_knows_a_server_that_is_drained() -> None:
    world = World(1)
    for _ in range(4):
        world.step()
    empty = dataclasses.replace(world.cloud().target_groups[ARN], targets=())
    cloud = Cloud(target_groups={ARN: empty})
    server = dataclasses.replace(world.servers["i-1"], phase="draining")
    seen = with_draining(cloud, Actual(servers={"i-1": server}))
    assert [target.instance_id for target in seen.target_groups[ARN].targets] == ["i-1"]
    gone = with_draining(cloud, Actual(servers={"i-1": dataclasses.replace(server, phase="stopped")}))
    assert gone == cloud


EVENTS = st.lists(
    st.one_of(
        st.tuples(st.just("scale"), st.integers(0, 4)),
        st.tuples(st.just("kill"), st.integers(0, 5)),
        st.tuples(st.just("refresh"), st.just(0)),
        st.tuples(st.just("wait"), st.integers(1, 4)),
    ),
    max_size=12,
)


@given(st.integers(0, 4), EVENTS)
@example(1, [("refresh", 0), ("wait", 1), ("scale", 0)])
def test_it_converges_whatever_happened_and_then_does_nothing(
    desired: int, events: list[tuple[str, int]]
) -> None:
    world = World(desired)
    for what, number in events:
        if what == "scale":
            world.scale(number)
        elif what == "kill" and world.servers:
            world.kill(sorted(world.servers)[number % len(world.servers)])
        elif what == "refresh" and world.old is None:
            world.refresh()
        elif what == "wait":
            for _ in range(number):
                world.step()
    for _ in range(80):
        world.step()
    assert set(world.servers) == set(world.instances)
    assert len(world.instances) == world.desired == world.serving()
    assert world.old is None
    assert {item.launch_template_version for item in world.instances.values()} <= {str(world.version)}
    assert world.step() == []


@given(st.integers(1, 4))
def test_a_refresh_never_leaves_fewer_servers_than_the_group_is_to_have(desired: int) -> None:
    world = World(desired)
    for _ in range(5):
        world.step()
    world.refresh()
    before = set(world.instances)
    for _ in range(60):
        world.step()
        assert world.serving() >= desired
        assert len(world.instances) <= desired + 1
    assert world.refreshes == 1 and before.isdisjoint(world.instances)
