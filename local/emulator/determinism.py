"""Makes what the emulator draws at random a function of a secret seed and of the request that drew it.

moto draws ids, passwords and keys from one generator. Seeding that for each request by the request's number
makes a replay of the requests give the same ids, whatever was read in between.
"""

from __future__ import annotations

import hmac
import os
import random
import secrets
import sys
import threading
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder
from pathlib import Path
from types import ModuleType
from typing import Any

_real_urandom = os.urandom
_drawing = threading.local()


def load_seed(path: Path) -> bytes:
    """The home's own 32 random bytes, made at the first start. Master passwords follow from them: 0600."""
    try:
        return path.read_bytes()
    except FileNotFoundError:
        seed = secrets.token_bytes(32)
        with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
            file.write(seed)
        return seed


class _MotoFinder(MetaPathFinder):
    """Finds moto's modules as always; what one draws while it is imported follows from its name."""

    def __init__(self, determinism: Determinism) -> None:
        self._determinism = determinism

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> ModuleSpec | None:
        if not name.startswith("moto."):
            return None
        spec = PathFinder.find_spec(name, path, target)
        if spec is not None and spec.loader is not None:
            loader: Any = spec.loader
            run = loader.exec_module

            def exec_module(module: ModuleType) -> None:
                with self._determinism.of(f"import {name}"):
                    run(module)

            loader.exec_module = exec_module
        return spec


class Determinism:
    """Holds the seed; ``install`` once, then draw within ``of(label)``."""

    def __init__(self, seed: bytes) -> None:
        from moto.moto_api._internal import mock_random

        self._seed = seed
        self._generators: tuple[random.Random, ...] = (mock_random,)

    def _set(self, label: str) -> None:
        number = int.from_bytes(hmac.digest(self._seed, label.encode(), "sha256"))
        for generator in self._generators:
            generator.seed(number)
        random.seed(number)

    @contextmanager
    def of(self, label: str) -> Iterator[None]:
        """What is drawn inside depends on the seed and ``label`` alone. Nests; the outer stream continues."""
        states = [generator.getstate() for generator in self._generators]
        global_state = random.getstate()
        outer = getattr(_drawing, "active", False)
        self._set(label)
        _drawing.active = True
        try:
            yield
        finally:
            _drawing.active = outer
            for generator, state in zip(self._generators, states, strict=True):
                generator.setstate(state)
            random.setstate(global_state)

    def install(self) -> None:
        """Brings more under control: the sources of randomness that moto uses beside its own, and what
        draws when it is first needed, whichever request that is: modules, and each region's backend
        (default VPC and so on).
        """
        from moto.core.base_backend import AccountSpecificBackend
        from moto.moto_api._internal import mock_random

        real_uuid4 = uuid.uuid4

        def urandom(size: int) -> bytes:
            return mock_random.randbytes(size) if getattr(_drawing, "active", False) else _real_urandom(size)

        def uuid4() -> uuid.UUID:
            return mock_random.uuid4() if getattr(_drawing, "active", False) else real_uuid4()

        make_backends = AccountSpecificBackend.__init__

        def init(self: Any, *_: Any, **named: Any) -> None:
            service, account = named["service_name"], named["account_id"]
            with within(f"backends {service} {account}"):
                make_backends(self, **{**named, "backend": seeded(service, named["backend"])})

        seeded, within = self._seeded, self.of
        sys.meta_path.insert(0, _MotoFinder(self))
        os.urandom = urandom
        uuid.uuid4 = uuid4
        AccountSpecificBackend.__init__ = init  # type: ignore[method-assign]  # moto has no hook here

    def _seeded(self, service: str, backend: Callable[..., Any]) -> Callable[..., Any]:
        def make(region: str, account_id: str) -> Any:
            with self.of(f"backend {service} {account_id} {region}"):
                return backend(region, account_id=account_id)

        return make
