"""What an engine lets its plugins know of the operation under way, so that one begun again is done once.

An engine that kept its record of an operation over a kill repeats it under the same token. A plugin that
finds a token here passes it on (to the emulator), or takes what exists for its own (in PostgreSQL). Engines
that give no token, as the Pulumi CLI, get what they always got.
"""

from __future__ import annotations

import hashlib
import secrets
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field


class Unanswered(Exception):  # noqa: N818  it is mixed into errors
    """Nobody knows whether what was asked for was carried out."""


@dataclass
class Operation:
    """One creation or update of one resource."""

    token: str
    """The same each time the operation is carried out; another for every other operation."""
    repeated: bool = False
    """Whether it was begun before, by a run that did not see its end."""
    answered: Counter[str] = field(default_factory=Counter)
    """How often each call succeeded so far, this time."""

    def key(self, call: str) -> str:
        """The name of the next such call: the same when the operation is repeated, however often it has
        failed or was polled for in between."""
        return f"{self.token}:{call}:{self.answered[call]}"


_current: ContextVar[Operation | None] = ContextVar("operation", default=None)


def current() -> Operation | None:
    """The operation under way, or None where the engine names none."""
    return _current.get()


def repeated() -> bool:
    """Whether the operation under way was begun before."""
    operation = _current.get()
    return operation is not None and operation.repeated


@contextmanager
def under_way(token: str, *, again: bool = False) -> Iterator[None]:
    """Name the operation; what is called inside, also on threads, finds it."""
    before = _current.set(Operation(token, again))
    try:
        yield
    finally:
        _current.reset(before)


def random_hex(size: int, purpose: str) -> str:
    """Hexadecimal digits of `size` (up to 32) bytes, random, but the same in a repeated operation."""
    operation = _current.get()
    if operation is None:
        return secrets.token_hex(size)
    return hashlib.sha256(f"{operation.token} {purpose}".encode()).hexdigest()[: 2 * size]
