"""A small world for engine tests: a program in a directory, a cloud of files, a state."""

from __future__ import annotations

import json
import shutil
import textwrap
from pathlib import Path
from typing import Any

from local.display import Quiet
from local.engine import run
from local.engine.errors import EngineError
from local.engine.run import Result, Target
from local.engine.steps import Op, Step
from tests.local.engine import tiny

HEAD = """
import pulumi
from pulumi import ResourceOptions as Options, Output

class Thing(pulumi.CustomResource):
    serial: Output[str]

    def __init__(self, name, props=None, opts=None):
        opts = Options.merge(Options(version="1.2.3"), opts)
        super().__init__("tiny:index:Thing", name, {"serial": None, **(props or {})}, opts)

class Tiny(pulumi.ProviderResource):
    def __init__(self, name, props=None, opts=None):
        opts = Options.merge(Options(version="1.2.3"), opts)
        super().__init__("tiny", name, props or {}, opts)

class Group(pulumi.ComponentResource):
    def __init__(self, name, opts=None):
        super().__init__("things:index:Group", name, None, opts)
"""


class Watch(Quiet):
    """Keeps every step in the order in which it was done."""

    def __init__(self) -> None:
        super().__init__()
        self.done: list[tuple[str, str]] = []

    def finished(self, step: Step) -> None:
        name = step.urn.rpartition("::")[2]
        if step.op not in (Op.SAME, Op.REPLACE) and not step.urn.count("pulumi:providers:"):
            self.done.append((step.op.value, name))


def loader(package: str) -> Any:
    if package != "tiny":
        raise EngineError(f"there is no local plugin for the package {package!r}")
    return tiny.provider()


class World:
    """One project with one stack."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory / "project"
        self.cloud = directory / "cloud"
        self.state = directory / "state"
        for path in (self.directory, self.cloud, self.state):
            path.mkdir()
        self.project = "name: things\nruntime: python\n"
        self.config = "config: {}\n"
        self.watch = Watch()
        self.passphrase = "correct horse"

    @property
    def target(self) -> Target:
        return Target(self.directory, "dev", self.state, lambda: self.passphrase)

    def write(self, program: str) -> None:
        """Make `program` the program; what it may use is in HEAD."""
        # Python takes a cached program for the new one when size and second of both are the same.
        shutil.rmtree(self.directory / "__pycache__", ignore_errors=True)
        (self.directory / "__main__.py").write_text(HEAD + textwrap.dedent(program))
        (self.directory / "Pulumi.yaml").write_text(self.project)
        (self.directory / "Pulumi.dev.yaml").write_text(self.config)

    def up(self, program: str | None = None, *, preview: bool = False) -> Result:
        """Run the program."""
        if program is not None:
            self.write(program)
        self.watch = Watch()
        return run.update(self.target, loader=loader, events=self.watch, preview=preview)

    def preview(self, program: str | None = None) -> Result:
        """Preview the program."""
        return self.up(program, preview=True)

    def destroy(self) -> Result:
        """Destroy the stack."""
        self.watch = Watch()
        return run.destroy(self.target, loader=loader, events=self.watch)

    @property
    def done(self) -> list[tuple[str, str]]:
        """What the last run did: operation and name, without the stack and providers."""
        return [item for item in self.watch.done if item[1] != "things-dev"]

    @property
    def things(self) -> dict[str, dict[str, Any]]:
        """What exists in the cloud."""
        return {path.name: json.loads(path.read_text()) for path in tiny.things()}

    @property
    def checkpoint(self) -> Path:
        """The state's file."""
        return self.state / ".pulumi" / "stacks" / "things" / "dev.json"

    @property
    def deployment(self) -> dict[str, Any]:
        """The state as it is written."""
        latest: dict[str, Any] = json.loads(self.checkpoint.read_text())["checkpoint"]["latest"]
        return latest

    @property
    def resources(self) -> dict[str, dict[str, Any]]:
        """The state's resources by name."""
        return {item["urn"].rpartition("::")[2]: item for item in self.deployment.get("resources", [])}


def error_of(result: Result) -> str:
    """The one error of a run that failed."""
    assert not result.succeeded
    assert len(result.errors) == 1, result.errors
    return result.errors[0][1]
