"""The definition of correct: the real Pulumi CLI takes over the same backend and previews no change.

Needs `pulumi` 3.272 on PATH; says so where it is absent. Nothing here proves anything about AWS, or about
assets: the SDK's plugin server cannot read those that the real CLI sends it for a diff.
"""

from __future__ import annotations

import json
import os
import shutil
import stat
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from local.engine import state
from local.engine.values import reveal
from local.real_cli import copy_with_salt
from tests.local.engine.world import World

ROOT = Path(__file__).resolve().parents[3]

pytestmark = pytest.mark.skipif(
    shutil.which("pulumi") is None, reason="the real `pulumi` CLI is not on PATH to compare with"
)

PROGRAM = """
    group = Group("group")
    a = Thing("a", {"value": 1.5, "list": [1, "x", None, True, {"y": {}}]}, Options(parent=group))
    b = Thing("b", {"value": a.serial, "deep": {"s": Output.secret("hush")}}, Options(
        parent=group, additional_secret_outputs=["serial"], protect=True, ignore_changes=["deep.s"],
    ))
    group.register_outputs({"thing": a, "serial": b.serial})
    other = Tiny("other", {"prefix": a.id})
    c = Thing("c", {"kind": a.serial}, Options(
        provider=other, depends_on=[group], retain_on_delete=True, delete_before_replace=True,
        custom_timeouts=pulumi.CustomTimeouts(create="1m30s"), replace_on_changes=["value"],
        deleted_with=a,
    ))
    d = Thing("d", {"text": "some text"})
    last = pulumi.runtime.invoke(
        "pulumi:pulumi:readStackOutputs", {"name": "organization/things/dev"}
    ).value["outputs"]
    count = pulumi.runtime.invoke_output(
        "tiny:index:count", {}, pulumi.InvokeOutputOptions(depends_on=[c], version="1.2.3")
    )
    pulumi.export("serials", [a.serial, {"secret": b.serial}])
    pulumi.export("known", "known" in last or True)
    pulumi.export("empty", {})
    pulumi.export("count", count["count"])
"""


class RealCli:
    """The real CLI on a world's backend, with the tiny provider on its PATH."""

    def __init__(self, world: World) -> None:
        self._world = world
        top = world.directory.parent
        self._bin = top / "bin"
        self._bin.mkdir()
        plugin = self._bin / "pulumi-resource-tiny"
        plugin.write_text(
            f"#!/bin/sh\ncd '{ROOT}' && exec '{sys.executable}' -m tests.local.engine.tiny \"$@\"\n"
        )
        plugin.chmod(plugin.stat().st_mode | stat.S_IXUSR)
        self._home = top / "pulumi-home"
        self._copies = top / "copies"

    def __call__(self, *arguments: str) -> str:
        """What `pulumi <arguments>` prints on standard output; it must succeed."""
        world = self._world
        salt = state.salt_of(world.deployment, "the state")
        assert salt is not None
        copy = copy_with_salt(world.directory, self._copies, "dev", salt)
        path = os.pathsep.join([str(self._bin), str(Path(sys.executable).parent), os.environ["PATH"]])
        copied = ["--config-file", str(copy)] if arguments[0] != "stack" else []
        done = subprocess.run(
            ["pulumi", "--non-interactive", *arguments, "--stack", "dev", *copied],
            cwd=world.directory,
            env={
                **os.environ,
                "PATH": path,
                "PULUMI_BACKEND_URL": f"file://{world.state}",
                "PULUMI_CONFIG_PASSPHRASE": world.passphrase,
                "PULUMI_HOME": str(self._home),
                "PULUMI_SKIP_UPDATE_CHECK": "true",
                "PULUMI_DISABLE_AUTOMATIC_PLUGIN_ACQUISITION": "true",
            },
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout


@pytest.fixture
def real_key(monkeypatch: pytest.MonkeyPatch, world: World) -> World:
    """The world with keys derived as the real CLI derives them."""
    monkeypatch.undo()
    monkeypatch.setenv("TINY_CLOUD", str(world.cloud))
    return world


def comparable(world: World) -> dict[str, Any]:
    """The state without what differs from run to run."""
    result = {}
    for item in world.deployment["resources"]:
        item = {**item, "dependencies": sorted(item.get("dependencies", []))}
        for key in ("modified", "created", "sourcePosition", "stackTrace"):
            item.pop(key, None)
        by_property = item.get("propertyDependencies", {})
        item["propertyDependencies"] = {key: sorted(listed or []) for key, listed in by_property.items()}
        result[item["urn"]] = json.loads(json.dumps(item), object_hook=_without_ciphertext)
    return result


def _without_ciphertext(data: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in data.items() if key != "ciphertext"}


def test_the_real_cli_takes_over_and_previews_no_change(real_key: World) -> None:
    world = real_key
    assert world.up(PROGRAM).succeeded
    real = RealCli(world)
    real("preview", "--expect-no-changes", "--diff")
    before = comparable(world)
    real("up", "--yes", "--skip-preview", "--expect-no-changes")
    assert comparable(world) == before
    outputs = json.loads(real("stack", "output", "--json", "--show-secrets"))
    result = world.up()
    assert set(result.counts) == {"same"}
    assert reveal(result.outputs) == outputs


def test_the_engine_takes_over_from_the_real_cli_and_back(real_key: World) -> None:
    world = real_key
    assert world.up("pulumi.export('x', Output.secret(1))").succeeded
    real = RealCli(world)
    world.write(PROGRAM)
    real("up", "--yes", "--skip-preview")
    before = comparable(world)
    result = world.up()
    assert result.succeeded
    assert set(result.counts) == {"same"}
    assert comparable(world) == before
    world.write(PROGRAM.replace("protect=True", "protect=False"))
    assert world.up().succeeded
    real("destroy", "--yes", "--skip-preview")
    assert "resources" not in world.deployment


def test_a_preview_s_json_has_the_shape_of_the_real_cli_s(real_key: World) -> None:
    from local.engine.preview_json import preview_to_json

    world = real_key
    assert world.up(PROGRAM).succeeded
    changed = PROGRAM.replace('"value": 1.5', '"value": 2, "more": 1').replace('"some text"', '"other"')
    changed = changed.replace('{"kind": a.serial}', '{"kind": "another"}')
    result = world.preview(changed)
    ours = preview_to_json(result.steps, counts=result.counts, seconds=result.seconds, config=result.config)
    theirs = json.loads(RealCli(world)("preview", "--json"))
    assert ours["changeSummary"] == theirs["changeSummary"]

    def keyed(preview: dict[str, Any]) -> dict[tuple[str, str], Any]:
        return {(step["op"], step["urn"]): _comparable_step(step) for step in preview["steps"]}

    assert keyed(ours) == keyed(theirs)


def _comparable_step(step: dict[str, Any]) -> dict[str, Any]:
    step = json.loads(json.dumps(step))
    for name in ("oldState", "newState"):
        data = step.get(name, {})
        for key in ("modified", "created", "sourcePosition", "stackTrace"):
            data.pop(key, None)
        data["dependencies"] = sorted(data.get("dependencies", []))
        by_property = data.get("propertyDependencies") or {}
        data["propertyDependencies"] = {key: sorted(listed or []) for key, listed in by_property.items()}
    step["diffReasons"] = sorted(step.get("diffReasons") or [])
    return dict(step)
