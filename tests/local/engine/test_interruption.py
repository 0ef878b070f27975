"""Runs that are cut short: by kill -9, by Ctrl-C, by a second run."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from local.engine import state
from local.engine.errors import EngineError
from tests.local.engine.world import World

ROOT = Path(__file__).resolve().parents[3]

SLOW = """
    first = Thing("first", {"slow": 0.2})
    for i in range(8):
        Thing(f"t{i}", {"slow": 0.2 * i, "value": first.serial})
    pulumi.export("done", True)
"""


def start(world: World) -> subprocess.Popen[str]:
    """Begin an up in a process of its own."""
    return subprocess.Popen(
        [sys.executable, "-m", "tests.local.engine.runner", str(world.directory.parent)],
        cwd=ROOT,
        env={**os.environ, "TINY_CLOUD": str(world.cloud)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def wait_until(condition: Callable[[], bool], process: subprocess.Popen[str]) -> None:
    """Wait until something is so; fails when the process ends first or after a minute."""
    deadline = time.monotonic() + 60
    while not condition():
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.005)


def pending(world: World) -> list[str]:
    """The names of what is being created according to the state."""
    if not world.checkpoint.exists():
        return []
    listed = world.deployment.get("pending_operations", [])
    return [item["resource"]["urn"].rpartition("::")[2] for item in listed]


@pytest.mark.parametrize("reached", [1, 4, 7])
def test_a_killed_run_leaves_a_valid_state_and_the_next_one_goes_on(world: World, reached: int) -> None:
    world.write(SLOW)
    process = start(world)
    wait_until(lambda: len(world.things) >= reached and bool(pending(world)), process)
    process.send_signal(signal.SIGKILL)
    process.communicate()

    snapshot = state.snapshot_from_json(world.deployment, None, "the state")
    recorded = {item.id for item in snapshot.resources if item.id and "Thing" in item.type}
    assert recorded <= set(world.things)
    left = {item.resource.urn.rpartition("::")[2] for item in snapshot.pending}
    assert left

    result = world.up()
    assert result.succeeded, result.errors
    warnings = [message for severity, message, _ in world.watch.messages if severity == "warning"]
    assert len(warnings) == 1
    for name in left:
        assert f"::{name}, interrupted while creating" in warnings[0]
    notes = [message for severity, message, _ in world.watch.messages if severity == "info"]
    assert any("which no longer runs" in note for note in notes)
    assert "pending_operations" not in world.deployment
    assert recorded <= {item.get("id") for item in world.deployment["resources"]}
    assert world.up().counts == {"same": 10}


def test_the_first_interrupt_finishes_what_is_under_way(world: World) -> None:
    world.write(SLOW)
    process = start(world)
    wait_until(lambda: len(pending(world)) >= 5, process)
    process.send_signal(signal.SIGINT)
    printed, errors = process.communicate(timeout=60)
    assert process.returncode == 1
    assert "interrupted" in printed, errors
    assert "Traceback" not in errors
    assert pending(world) == []
    recorded = {item["id"] for item in world.deployment["resources"] if "Thing" in item["type"]}
    assert recorded == set(world.things)
    assert world.up().succeeded


def test_a_second_run_is_refused_while_the_first_goes_on(world: World) -> None:
    world.write(SLOW)
    process = start(world)
    wait_until(lambda: bool(pending(world)), process)
    before = world.watch
    with pytest.raises(EngineError, match=f"locked by .*pid {process.pid}"):
        world.up()
    assert world.preview().succeeded
    process.communicate(timeout=60)
    assert process.returncode == 0
    assert before is not world.watch
    locks = list((world.state / ".pulumi" / "locks").rglob("*.json"))
    assert locks == []


def test_a_state_that_another_program_broke_is_refused_with_the_place_of_the_one_before(world: World) -> None:
    world.up('Thing("a")')
    world.checkpoint.write_text(json.dumps({"version": 3, "checkpoint": {}})[:-4])
    with pytest.raises(EngineError, match=r"not a Pulumi checkpoint; .*dev\.json\.bak"):
        world.up()
