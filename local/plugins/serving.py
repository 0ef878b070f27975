"""Serves a provider plugin to the real Pulumi CLI by gRPC.

The SDK's own server (``pulumi.provider.experimental.server``) does the work. Added here: unknown values
travel as the engine's sentinels, which that server neither reads nor writes, an error reaches the person as
its message alone, without a traceback, and the process ends with its engine.
"""

from __future__ import annotations

import asyncio
import os
import socket
import sys
import threading
import time
from collections.abc import Mapping
from typing import Any

import grpc
import grpc.aio
from pulumi.provider.experimental.property_value import Computed, PropertyValue
from pulumi.provider.experimental.provider import Provider
from pulumi.provider.experimental.server import ProviderServicer
from pulumi.runtime._grpc_settings import _GRPC_CHANNEL_OPTIONS
from pulumi.runtime.proto import provider_pb2_grpc

STRING_SENTINEL = "04da6b54-80e4-46f7-96ec-b56ff0331ba9"
"""An unknown value of string or unspecified type in Pulumi's wire format (sdk/go/common/resource/plugin)."""

SENTINELS = frozenset(
    {
        STRING_SENTINEL,
        "1c4a061d-8072-4f0a-a4cb-0ff528b18fe7",
        "3eeb2bf0-c639-47a8-9e75-3b44932eb421",
        "6a19a0b0-7e62-4c92-b797-7f8e31da9cc2",
        "030794c1-ac77-496b-92df-f27374a8bd58",
        "e48ece36-62e2-4504-bad9-02848725956a",
        "dd056dcd-154b-4c76-9bd3-c8f88648b5ff",
    }
)
"""The unknown values of every type: string, bool, number, array, asset, archive, object."""

REQUEST_MAPS = ("old_inputs", "new_inputs", "old_state", "properties", "inputs", "olds", "news", "args")
RESPONSE_MAPS = ("properties", "inputs", "return_value")


def _replaced(value: PropertyValue, *, reading: bool) -> PropertyValue:
    inner = value.value
    if reading and isinstance(inner, str) and inner in SENTINELS:
        return value.with_value(Computed())
    if not reading and isinstance(inner, Computed):
        return value.with_value(STRING_SENTINEL)
    if isinstance(inner, Mapping):
        return value.with_value({key: _replaced(item, reading=reading) for key, item in inner.items()})
    if isinstance(inner, tuple):
        return value.with_value([_replaced(item, reading=reading) for item in inner])
    return value


def _replace_maps(message: Any, names: tuple[str, ...], *, reading: bool) -> None:
    for name in names:
        values = getattr(message, name, None)
        if isinstance(values, Mapping):
            setattr(message, name, {key: _replaced(value, reading=reading) for key, value in values.items()})


METHODS = (
    "parameterize", "get_schema", "check_config", "diff_config", "configure", "invoke", "create", "read",
    "check", "diff", "update", "delete", "call",
)  # fmt: skip
"""Every method of ``Provider`` that the engine calls on a plugin for resources and functions."""

RPC_NAMES = {"".join(word.capitalize() for word in name.split("_")): name for name in METHODS}


class _Wire(Provider):
    """Translates unknown values on their way to and from ``inner``, and remembers its last error by task."""

    def __init__(self, inner: Provider) -> None:
        self._inner = inner
        self.errors: dict[asyncio.Task[Any] | None, Exception] = {}

    async def _forward(self, name: str, request: Any) -> Any:
        _replace_maps(request, REQUEST_MAPS, reading=True)
        try:
            response = await getattr(self._inner, name)(request)
        except Exception as error:
            self.errors[asyncio.current_task()] = error
            raise
        if response is not None:
            _replace_maps(response, RESPONSE_MAPS, reading=False)
        return response

    async def cancel(self) -> None:
        await self._inner.cancel()


def _forwarder(name: str) -> Any:
    async def method(self: _Wire, request: Any) -> Any:
        return await self._forward(name, request)

    return method


for _name in METHODS:
    setattr(_Wire, _name, _forwarder(_name))


class _Servicer(ProviderServicer):
    """The SDK's servicer; an error becomes a gRPC status with the message alone."""

    def __init__(self, provider: Provider, version: str, engine_address: str) -> None:
        self._wire = _Wire(provider)
        super().__init__([], version, self._wire, engine_address)


def _rpc(name: str) -> Any:
    inner = getattr(ProviderServicer, name)

    async def method(self: _Servicer, request: Any, context: grpc.aio.ServicerContext[Any, Any]) -> Any:
        try:
            return await inner(self, request, context)
        except NotImplementedError as error:
            await context.abort(grpc.StatusCode.UNIMPLEMENTED, str(error))
        except Exception as error:
            own = self._wire.errors.get(asyncio.current_task(), error)
            await context.abort(grpc.StatusCode.UNKNOWN, str(own) or type(own).__name__)
        finally:
            self._wire.errors.pop(asyncio.current_task(), None)

    return method


for _name in RPC_NAMES:
    setattr(_Servicer, _name, _rpc(_name))


WATCH_INTERVAL = 1.0
"""Seconds between two looks at the engine."""
REFUSALS = 3
"""So many refused connections in a row mean that no engine listens any more."""


def _refuses(address: str) -> bool:
    """Whether nothing listens at ``address``; an engine that is only slow or stopped does not refuse."""
    host, _, port = address.rpartition(":")
    try:
        with socket.create_connection((host.strip("[]"), int(port)), timeout=WATCH_INTERVAL):
            return False
    except ConnectionRefusedError:
        return True
    except (OSError, ValueError):
        return False


def _end_with(engine: str, parent: int) -> None:
    """Ends this process when ``parent`` has ended or nothing listens at the address ``engine`` any more.

    A closed engine kills its plugins; one that was killed itself cannot. What is under way is cut off, as
    nobody is left to hear of it. The parent alone would not do (a wrapper may stand between), nor would
    PR_SET_PDEATHSIG, which follows the engine's thread and not its process.
    """
    refusals = 0
    while os.getppid() == parent and refusals < REFUSALS:
        time.sleep(WATCH_INTERVAL)
        refusals = refusals + 1 if engine and _refuses(engine) else 0
    os._exit(1)


def serve(provider: Provider, version: str) -> None:
    """Serves ``provider`` on a free loopback port, which is printed for the engine, until the engine goes.

    ``sys.argv[1]`` is the engine's address, as the CLI passes it; ``version`` is that of the Python package.
    """
    engine = next((argument for argument in sys.argv[1:] if not argument.startswith("-")), "")
    threading.Thread(target=_end_with, args=(engine, os.getppid()), name="engine watch", daemon=True).start()

    async def run() -> None:
        server = grpc.aio.server(options=_GRPC_CHANNEL_OPTIONS)
        provider_pb2_grpc.add_ResourceProviderServicer_to_server(_Servicer(provider, version, engine), server)
        port = server.add_insecure_port("127.0.0.1:0")
        await server.start()
        print(port, flush=True)
        await server.wait_for_termination()

    try:
        asyncio.run(run())
    except KeyboardInterrupt:
        return
