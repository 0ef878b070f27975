"""What the engine itself provides: references to other stacks, and the `pulumi` package's functions and
stash.

Rules: pkg/resource/deploy/builtins.go of Pulumi 3.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable
from typing import Final

from pulumi.provider.experimental.provider import (
    CheckFailure,
    CheckRequest,
    CheckResponse,
    DiffRequest,
    DiffResponse,
    Provider,
)

from local.engine.errors import EngineError
from local.engine.values import Properties, Value, has_secret

STACK_REFERENCE: Final = "pulumi:pulumi:StackReference"

StackOutputs = Callable[[str], Properties | None]
"""The outputs of a stack by its name, or None where there is no such stack."""


class BuiltinProvider(Provider):
    """The plugin of the package `pulumi`, which only checks; the engine reads and creates for itself."""

    async def check(self, request: CheckRequest) -> CheckResponse:
        """Inputs as they are; a stack reference takes nothing but a name."""
        failures = []
        if request.type == STACK_REFERENCE:
            failures = [
                CheckFailure(key, "a stack reference has no such property")
                for key in request.new_inputs
                if key != "name"
            ]
        return CheckResponse(inputs=request.new_inputs, failures=failures)

    async def diff(self, request: DiffRequest) -> DiffResponse:
        """A reference to another stack is another resource."""
        key = "name" if request.type == STACK_REFERENCE else "input"
        changed = request.new_inputs.get(key) != request.old_state.get(key)
        replaces = ["name"] if changed and key == "name" else []
        return DiffResponse(changes=changed, replaces=replaces)


class Builtins:
    """The engine's own resources and functions."""

    def __init__(self, stack_outputs: StackOutputs) -> None:
        self._stack_outputs = stack_outputs

    def create(self, type_: str, inputs: Properties, preview: bool) -> tuple[str, Properties]:
        """The id and outputs of a new resource of the engine's own."""
        if type_ == STACK_REFERENCE:
            outputs = self._reference(inputs.get("name"))
        elif type_ == "pulumi:index:Stash":
            outputs = {"input": inputs.get("input"), "output": inputs.get("input")}
        else:
            raise EngineError(f"the offline engine has no resource type {type_}")
        return "" if preview else str(uuid.uuid4()), outputs

    def read(self, type_: str, inputs: Properties) -> Properties:
        """The outputs of a resource of the engine's own that is read."""
        if type_ != STACK_REFERENCE:
            raise EngineError(f"the offline engine cannot read the resource type {type_}")
        return self._reference(inputs.get("name"))

    def invoke(self, token: str, arguments: Properties) -> Properties:
        """The result of a function of the engine's own."""
        if token == "pulumi:pulumi:readStackOutputs":  # noqa: S105
            return self._reference(arguments.get("name"))
        raise EngineError(f"the offline engine has no function {token}")

    def _reference(self, name: Value) -> Properties:
        if not isinstance(name, str):
            raise EngineError("a stack reference needs the name of a stack")
        outputs = self._stack_outputs(name)
        if outputs is None:
            raise EngineError(f"unknown stack {name!r}: bring it up first, or correct the name")
        secret = sorted(key for key, value in outputs.items() if has_secret(value))
        return {"name": name, "outputs": outputs, "secretOutputNames": secret}
