"""A provider of things: each is a JSON file in the directory TINY_CLOUD, so that a test can look what exists.

Inputs of `tiny:index:Thing`: `value` (updated in place), `kind` (replaces, new before old), `fixed`
(replaces, old before new), `fails` (`create`, `update` or `delete`: that operation fails), `slow` (seconds a
creation takes), `refused` (check refuses it), `dies` (`before create`, `after update` and so on: kills this
process then, once). An operation that is repeated under its name gets its first answer; while there is a file
`.silent`, things are done and no answer comes. Outputs: the inputs, and `serial`, which only the cloud knows.
"""

from __future__ import annotations

import asyncio
import json
import os
import secrets
import signal
import time
from pathlib import Path
from typing import Any

from pulumi.provider.experimental import provider as rpc

from local.plugins.operation import Unanswered, current
from local.plugins.plain import UNKNOWN, plain_map, property_map

REPLACING = ("kind", "fixed")


def comparable(values: dict[str, Any]) -> dict[str, Any]:
    """Values in which an asset equals another of the same text."""
    return {key: getattr(value, "text", value) for key, value in values.items()}


def cloud() -> Path:
    """Where the things are."""
    return Path(os.environ["TINY_CLOUD"])


def things() -> list[Path]:
    """The files of all things."""
    return [path for path in cloud().iterdir() if path.name != "deleted" and not path.name.startswith(".")]


def put(id_: str, values: dict[str, Any]) -> None:
    """Write a thing, whole or not at all: a killed test leaves no half of one."""
    fresh = cloud() / f".{id_}"
    fresh.write_text(json.dumps(comparable(values)))
    fresh.replace(cloud() / id_)


def die(inputs: dict[str, Any], moment: str) -> None:
    """Kill this process, where the thing says so and it has not done so before."""
    mark = cloud() / f".died {moment}"
    if inputs.get("dies") == moment and not mark.exists():
        mark.touch()
        os.kill(os.getpid(), signal.SIGKILL)


class SilentError(RuntimeError, Unanswered):
    """What was asked for was done, and nobody was told."""


def make_once(id_: str, outputs: dict[str, Any]) -> tuple[str, dict[str, Any]]:
    """Make a thing, or the one that the operation under way has made already; which it is."""
    operation = current()
    known = cloud() / f".{operation.token if operation else 'nobody knows'}"
    if known.exists():
        id_, outputs = json.loads(known.read_text())
    elif (cloud() / id_).exists():
        raise RuntimeError(f"{id_} exists already")
    elif operation is not None:
        fresh = known.with_suffix(".new")
        fresh.write_text(json.dumps([id_, comparable(outputs)]))
        fresh.replace(known)
    put(id_, outputs)
    if (cloud() / ".silent").exists():
        raise SilentError("the cloud does not answer")
    return id_, outputs


class TinyProvider(rpc.Provider):
    """Things, kept as files."""

    def __init__(self) -> None:
        self.prefix = "thing"

    async def configure(self, request: rpc.ConfigureRequest) -> rpc.ConfigureResponse:
        self.prefix = plain_map(request.args).get("prefix", "thing")
        return await super().configure(request)

    async def check(self, request: rpc.CheckRequest) -> rpc.CheckResponse:
        if "refused" in request.new_inputs:
            failure = rpc.CheckFailure("refused", "a thing cannot have this; leave it out")
            return rpc.CheckResponse(inputs=request.new_inputs, failures=[failure])
        return rpc.CheckResponse(inputs=request.new_inputs)

    async def diff(self, request: rpc.DiffRequest) -> rpc.DiffResponse:
        old, new = comparable(plain_map(request.old_state)), comparable(plain_map(request.new_inputs))
        old.pop("serial", None)
        keys = sorted(key for key in old.keys() | new.keys() if old.get(key) != new.get(key))
        keys = [key for key in keys if key not in (*request.ignore_changes, "dies")]
        return rpc.DiffResponse(
            changes=bool(keys),
            diffs=keys,
            replaces=[key for key in keys if key in REPLACING],
            delete_before_replace="fixed" in keys,
        )

    async def create(self, request: rpc.CreateRequest) -> rpc.CreateResponse:
        inputs = plain_map(request.properties)
        hidden = [key for key, value in request.properties.items() if value.contains_secret()]
        if request.preview:
            return rpc.CreateResponse("", property_map({**inputs, "serial": UNKNOWN}, hidden))
        die(inputs, "before create")
        if inputs.get("fails") == "create":
            raise RuntimeError("the cloud has no room for another thing")
        id_ = f"{self.prefix}-{secrets.token_hex(4)}"
        if "fixed" in inputs:
            id_ = f"{self.prefix}-{inputs['fixed']}"
        id_, outputs = make_once(id_, {**inputs, "serial": secrets.token_hex(4)})
        die(inputs, "after create")
        await asyncio.to_thread(time.sleep, inputs.get("slow", 0))
        return rpc.CreateResponse(id_, property_map(outputs, hidden))

    async def update(self, request: rpc.UpdateRequest) -> rpc.UpdateResponse:
        inputs = plain_map(request.news)
        hidden = [key for key, value in request.news.items() if value.contains_secret()]
        outputs = {**inputs, "serial": plain_map(request.olds)["serial"]}
        if not request.preview:
            if inputs.get("fails") == "update":
                raise RuntimeError("the thing resists")
            die(inputs, "before update")
            put(request.resource_id, outputs)
            die(inputs, "after update")
        return rpc.UpdateResponse(property_map(outputs, hidden))

    async def delete(self, request: rpc.DeleteRequest) -> None:
        path = cloud() / request.resource_id
        if plain_map(request.properties).get("fails") == "delete":
            raise RuntimeError("the thing clings to life")
        with (cloud() / "deleted").open("a") as log:
            log.write(f"{request.name}\n")
        die(plain_map(request.properties), "before delete")
        path.unlink(missing_ok=True)
        die(plain_map(request.properties), "after delete")

    async def read(self, request: rpc.ReadRequest) -> rpc.ReadResponse:
        path = cloud() / request.resource_id
        if not path.exists():
            return rpc.ReadResponse()
        return rpc.ReadResponse(request.resource_id, property_map(json.loads(path.read_text())))

    async def invoke(self, request: rpc.InvokeRequest) -> rpc.InvokeResponse:
        if request.tok == "tiny:index:count":
            return rpc.InvokeResponse(property_map({"count": len(things())}))
        raise RuntimeError(f"there is no function {request.tok}")


def provider() -> TinyProvider:
    """A new provider."""
    return TinyProvider()


if __name__ == "__main__":
    from local.plugins.serving import serve

    serve(provider(), "1.2.3")
