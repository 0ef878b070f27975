"""Auto Scaling decides by what the servers of this machine are like."""

from __future__ import annotations

import dataclasses
from typing import Any

from local.nodes.groups import (
    Condition,
    Finish,
    LaunchOneMore,
    Replace,
    TerminateOld,
    carry_out,
    decide,
)
from local.nodes.model import AutoScalingGroup, Cloud
from tests.local.nodes.simulation import ARN, World, instance

WELL = Condition(alive=True, seconds=1000)


def cloud(*names: str, **more: Any) -> Cloud:
    group = AutoScalingGroup(
        name="g",
        desired=1,
        instance_ids=names,
        target_group_arns=(ARN,),
        launch_template_version="1",
        health_check_type="ELB",
        grace_seconds=900,
    )
    return Cloud(
        instances=tuple(instance(name) for name in names), groups=(dataclasses.replace(group, **more),)
    )


def test_a_server_that_ended_is_replaced_at_once() -> None:
    (step,) = decide(cloud("i-1"), {"i-1": Condition(alive=False, seconds=1)}, {})
    assert step == Replace("g", "i-1", "its server is gone")


def test_a_server_that_is_not_there_yet_is_waited_for() -> None:
    assert decide(cloud("i-1"), {}, {}) == []


def test_a_server_that_does_not_answer_is_replaced_after_the_grace_period() -> None:
    unhealthy = {ARN: {"i-1": "unhealthy"}}
    assert decide(cloud("i-1"), {"i-1": Condition(alive=True, seconds=899)}, unhealthy) == []
    (step,) = decide(cloud("i-1"), {"i-1": Condition(alive=True, seconds=901)}, unhealthy)
    assert isinstance(step, Replace)
    assert decide(cloud("i-1", health_check_type="EC2"), {"i-1": WELL}, unhealthy) == []


def test_a_server_that_never_answered_is_replaced_after_the_grace_period() -> None:
    initial = {ARN: {"i-1": "initial"}}
    silent = Condition(alive=True, seconds=901, answered=False)
    (step,) = decide(cloud("i-1"), {"i-1": silent}, initial)
    assert isinstance(step, Replace)
    assert decide(cloud("i-1"), {"i-1": dataclasses.replace(silent, seconds=899)}, initial) == []
    # The load balancer was started anew and has not looked yet.
    assert decide(cloud("i-1"), {"i-1": WELL}, initial) == []


def test_a_stopped_instance_of_a_group_is_replaced() -> None:
    stopped = dataclasses.replace(cloud("i-1"), instances=(instance("i-1", state="stopped"),))
    (step,) = decide(stopped, {"i-1": WELL}, {})
    assert step == Replace("g", "i-1", "it is stopped")


def refreshing(*names: str, old: tuple[str, ...] = ("i-1",), **more: Any) -> Cloud:
    return cloud(*names, refresh_id="r", refresh_old_ids=old, **more)


def test_a_refresh_goes_from_one_more_to_the_end() -> None:
    healthy = {ARN: {"i-1": "healthy", "i-2": "healthy"}}
    conditions = {"i-1": WELL, "i-2": WELL}
    assert decide(refreshing("i-1"), conditions, healthy) == [LaunchOneMore("g")]
    assert decide(refreshing("i-1", "i-2"), {"i-1": WELL}, healthy) == []
    waiting = {ARN: {"i-1": "healthy", "i-2": "initial"}}
    assert decide(refreshing("i-1", "i-2"), conditions, waiting) == []
    assert decide(refreshing("i-1", "i-2"), conditions, healthy) == [TerminateOld("g", "i-1")]
    assert decide(refreshing("i-2"), conditions, healthy) == [Finish("g")]


def test_a_refresh_lets_a_server_go_first_that_does_not_answer() -> None:
    health = {ARN: {"i-1": "healthy", "i-2": "unhealthy", "i-3": "healthy"}}
    conditions = dict.fromkeys(("i-1", "i-2", "i-3"), Condition(alive=True, seconds=1))
    names = ("i-1", "i-2", "i-3")
    (step,) = decide(refreshing(*names, old=("i-1", "i-2"), desired=2), conditions, health)
    assert step == TerminateOld("g", "i-2")


def test_a_refresh_to_something_that_never_answers_keeps_the_old_server() -> None:
    world = World(1)
    for _ in range(5):
        world.step()
    world.refresh()
    world.unhealthy = {f"i-{number}" for number in range(2, 100)}
    for _ in range(20):
        world.step()
        assert world.serving() == 1
    assert "i-1" in world.instances and world.old is not None


def test_the_emulator_is_told_each_decision() -> None:
    calls: list[Any] = []

    class AutoScaling:
        def terminate_instance_in_auto_scaling_group(self, **given: Any) -> None:
            calls.append(given)

    def ask(*given: Any) -> None:
        calls.append(given)

    carry_out(
        [Replace("g", "i-1", "why"), TerminateOld("g", "i-2"), LaunchOneMore("g"), Finish("g")],
        AutoScaling(),
        ask,
        "eu-central-1",
    )
    asked = {"region": "eu-central-1", "group": "g"}
    assert calls == [
        {"InstanceId": "i-1", "ShouldDecrementDesiredCapacity": False},
        {"InstanceId": "i-2", "ShouldDecrementDesiredCapacity": False},
        ("POST", "refresh/launch", asked),
        ("POST", "refresh/finish", {**asked, "status": "Successful"}),
    ]
