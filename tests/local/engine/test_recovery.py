"""Runs that are killed at each point around an operation: the next one finishes it and does nothing twice."""

from __future__ import annotations

import signal

import pytest

from local.engine import recovery, state
from local.engine.errors import EngineError
from local.engine.state import Operation, Resource, Snapshot
from tests.local.engine.test_interruption import pending, start
from tests.local.engine.world import World


def killed(world: World, program: str) -> None:
    """Run a program that kills its engine."""
    world.write(program)
    process = start(world)
    printed, errors = process.communicate(timeout=60)
    assert process.returncode == -signal.SIGKILL, printed + errors


def warnings(world: World) -> list[str]:
    return [message for severity, message, _ in world.watch.messages if severity == "warning"]


def valid(world: World) -> Snapshot:
    return state.snapshot_from_json(world.deployment, None, "the state")


@pytest.mark.parametrize("when", ["before", "after"])
def test_a_creation_that_a_kill_interrupted_happens_once(world: World, when: str) -> None:
    program = f'Thing("a", {{"dies": "{when} create", "fixed": "name"}})\nThing("b", {{"value": 1}})'
    killed(world, program)
    assert "a" in pending(world)

    shown = world.preview()
    assert "`up` and `destroy` finish them first; nothing is made twice" in warnings(world)[0]
    assert shown.counts["create"] >= 1
    assert "a" in pending(world)

    result = world.up()
    assert result.succeeded, result.errors
    assert "They are finished first" in warnings(world)[0]
    assert ("create", "a") in world.done
    assert len(world.things) == 2
    assert pending(world) == []
    assert world.resources["a"]["id"] == "thing-name"
    assert world.resources["a"]["outputs"]["serial"] == world.things["thing-name"]["serial"]
    assert world.up().counts == {"same": 3}


def test_a_creation_without_a_fixed_name_leaves_no_orphan(world: World) -> None:
    killed(world, 'Thing("a", {"dies": "after create"})')
    (orphan,) = world.things
    assert world.up().succeeded
    assert world.resources["a"]["id"] == orphan
    assert list(world.things) == [orphan]


def test_what_was_begun_is_finished_with_its_old_inputs_and_then_changed(world: World) -> None:
    killed(world, 'Thing("a", {"dies": "after create", "value": 1})')
    (id_,) = world.things
    result = world.up('Thing("a", {"value": 2})')
    assert result.succeeded, result.errors
    assert world.done == [("create", "a"), ("update", "a")]
    assert world.things[id_]["value"] == 2
    assert world.resources["a"]["inputs"] == {"value": 2}


def test_what_was_begun_and_is_no_longer_wanted_is_deleted(world: World) -> None:
    killed(world, 'Thing("a", {"dies": "after create"})')
    result = world.up('Thing("b")')
    assert result.succeeded, result.errors
    assert ("delete", "a") in world.done
    assert len(world.things) == 1
    assert "a" not in world.resources


def test_destroy_finishes_first_and_leaves_nothing(world: World) -> None:
    killed(world, 'Thing("a", {"dies": "after create"})')
    assert world.destroy().succeeded
    assert world.things == {}
    assert world.deployment.get("resources", []) == []
    assert "pending_operations" not in world.deployment


@pytest.mark.parametrize(("key", "order"), [("kind", "new first"), ("fixed", "old first")])
@pytest.mark.parametrize("when", ["before", "after"])
def test_a_replacement_that_a_kill_interrupted_happens_once(
    world: World, key: str, order: str, when: str
) -> None:
    dependent = '\nThing("b", {"value": a.serial})'
    world.up(f'a = Thing("a", {{"{key}": "one"}})' + dependent)
    killed(world, f'a = Thing("a", {{"{key}": "two", "dies": "{when} create"}})' + dependent)
    valid(world)
    result = world.up()
    assert result.succeeded, (order, result.errors)
    valid(world)
    assert len(world.things) == 2
    assert world.things[world.resources["a"]["id"]][key] == "two"
    assert world.resources["b"]["inputs"]["value"] == world.resources["a"]["outputs"]["serial"]
    assert world.up().counts == {"same": 3}


@pytest.mark.parametrize("when", ["before", "after"])
def test_an_update_that_a_kill_interrupted_is_finished(world: World, when: str) -> None:
    world.up('Thing("a", {"value": 1})')
    killed(world, f'Thing("a", {{"value": 2, "dies": "{when} update"}})')
    result = world.up('Thing("a", {"value": 1})')
    assert result.succeeded, result.errors
    assert world.done == [("update", "a"), ("update", "a")]
    assert [thing["value"] for thing in world.things.values()] == [1]


@pytest.mark.parametrize("when", ["before", "after"])
def test_a_deletion_that_a_kill_interrupted_is_finished_and_what_is_wanted_again_is_made_again(
    world: World, when: str
) -> None:
    both = f'a = Thing("a", {{"fixed": "x", "dies": "{when} delete"}})\nThing("b", {{"value": a.serial}})'
    world.up(both)
    killed(world, "")
    assert pending(world)
    assert world.preview(both).counts.get("replace", 0) + world.preview().counts.get("create", 0) >= 1
    result = world.up()
    assert result.succeeded, result.errors
    assert set(world.resources) >= {"a", "b"}
    assert {item["id"] for name, item in world.resources.items() if name in "ab"} == set(world.things)
    valid(world)
    assert world.up().counts == {"same": 3}


def test_a_destroy_goes_on_after_a_deletion_was_interrupted(world: World) -> None:
    world.up('a = Thing("a", {"dies": "after delete"})\nThing("b", {"value": a.serial})')
    killed(world, "")
    assert world.destroy().succeeded
    assert world.things == {}
    assert world.deployment.get("resources", []) == []


def test_what_is_refused_when_it_is_finished_is_given_up(world: World) -> None:
    killed(world, 'Thing("a", {"dies": "before create", "fails": "create"})')
    result = world.up('Thing("a", {"value": 1})')
    assert result.succeeded, result.errors
    assert "was refused and is given up: the cloud has no room" in warnings(world)[1]
    assert len(world.things) == 1
    assert pending(world) == []


def test_where_no_answer_comes_the_operation_stays_pending_and_is_finished_later(world: World) -> None:
    (world.cloud / ".silent").touch()
    result = world.up('Thing("a", {"value": 1})')
    assert [message for _, message in result.errors] == ["the cloud does not answer"]
    assert pending(world) == ["a"]
    with pytest.raises(EngineError, match="the cloud does not answer"):
        world.up()
    assert pending(world) == ["a"]
    assert len(world.things) == 1
    (world.cloud / ".silent").unlink()
    assert world.up().succeeded
    assert len(world.things) == 1
    assert pending(world) == []


def test_a_creation_that_another_engine_began_is_left_to_the_person() -> None:
    foreign = Operation(Resource("urn:pulumi:dev::p::a:b:C::a", "a:b:C", True), "creating")
    base = Snapshot(pending=[foreign])
    assert not recovery.can_finish(base, foreign)
    assert "Another engine began them" in recovery.message(base)
    assert recovery.message(Snapshot()) == ""
