"""Writes the state after each step, from what the run has done so far and what remains of the state before.

The rules for the order (what the run registered first, then what it has not touched) are those of
pkg/backend/snapshot.go: each list is a valid order, and nothing new depends on anything that only remains.
"""

from __future__ import annotations

import asyncio
import hashlib

from local.engine.backend import Backend
from local.engine.crypto import Crypter
from local.engine.state import (
    Operation,
    Resource,
    Snapshot,
    checkpoint_text,
    compact,
    renamed,
    resource_to_json,
)


def token(resource: Resource, operation: str) -> str:
    """The name of an operation on a resource. It holds the time at which it began, which the state keeps
    while the operation is pending: begun again, it has the same name."""
    began = resource.created if operation == "creating" else resource.modified
    return hashlib.sha256(f"{operation} {resource.urn} {began}".encode()).hexdigest()


class Journal:
    """The state of one stack during one run. In a preview (`backend` None) nothing is written."""

    def __init__(self, backend: Backend | None, stack: str, base: Snapshot, crypter: Crypter | None) -> None:
        self._backend = backend
        self._stack = stack
        self._base = base
        self._crypter = crypter
        self._new: list[Resource] = []
        self._done: set[Resource] = set()
        self._pending: list[Operation] = []
        self._interrupted = [item for item in base.pending if item.type == "creating"]
        self._names: dict[str, str] = {}
        self._texts: dict[Resource, str] = {}
        self._stale = True
        self._wanted = self._written = 0
        self._writing: asyncio.Future[None] | None = None

    def rename(self, old: str, new: str) -> None:
        """From now on write the URN `new` wherever the state before says `old`."""
        self._names[old] = new
        self._texts.clear()

    async def begin(self, resource: Resource, operation: str) -> None:
        """Record that `operation` on a resource is about to start; returns when that is written."""
        self._pending.append(Operation(resource, operation))
        await self.save()

    def end(self, resource: Resource) -> None:
        """Forget the pending operation on a resource."""
        self._pending = [item for item in self._pending if item.resource is not resource]
        self._stale = True

    def add(self, resource: Resource) -> None:
        """A resource that this run registered; one of its interrupted creations is settled with it."""
        self._new.append(resource)
        self._texts.pop(resource, None)
        self._interrupted = [item for item in self._interrupted if item.resource.urn != resource.urn]
        self._stale = True

    def remove(self, resource: Resource) -> None:
        """A resource (of this run, or of the state before) that is no longer part of the state."""
        self._done.add(resource)
        self._texts.pop(resource, None)
        self._stale = True

    def changed(self, resource: Resource) -> None:
        """A resource's record was changed in place."""
        self._texts.pop(resource, None)
        self._stale = True

    def forget_interrupted(self) -> None:
        """Drop the creations that an earlier run left unsettled: nothing of the stack is left."""
        self._interrupted.clear()
        self._stale = True

    def snapshot(self) -> Snapshot:
        """The state as it stands."""
        resources = [item for item in (*self._new, *self._base.resources) if item not in self._done]
        return Snapshot(resources, [*self._pending, *self._interrupted], self._base.salt)

    async def save(self) -> None:
        """Write the state as it stands; returns when it is written.

        Writing happens on a thread. What changes meanwhile is written next, all at once: while many
        operations run side by side, one write serves several.
        """
        self._stale = True
        self._wanted += 1
        wanted = self._wanted
        while self._written < wanted:
            if self._writing is None:
                self._writing = asyncio.ensure_future(self._write())
            await asyncio.shield(self._writing)

    async def _write(self) -> None:
        try:
            version = self._wanted
            backend, text = self._backend, self._current()
            if backend is not None and text is not None:
                await asyncio.to_thread(backend.write, self._stack, text)
            self._written = version
        finally:
            self._writing = None

    def flush(self) -> None:
        """Write the state, at the end of a run, where something changed since the last time; the disk has
        it then."""
        text = self._current()
        if self._backend is not None and text is not None:
            self._backend.write(self._stack, text, durable=True)

    def _current(self) -> str | None:
        """The checkpoint's text, or None where nothing changed since it was last asked for."""
        if self._backend is None or not self._stale:
            return None
        self._stale = False
        if self._base.salt is None and self._crypter is not None:
            self._base.salt = self._crypter.state
        snapshot = self.snapshot()
        operations = [
            compact({"resource": self._json(item.resource), "type": item.type}) for item in snapshot.pending
        ]
        return checkpoint_text(
            self._backend.qualified(self._stack),
            [self._text(resource) for resource in snapshot.resources],
            operations,
            self._base.salt,
        )

    def _text(self, resource: Resource) -> str:
        text = self._texts.get(resource)
        if text is None:
            text = self._texts[resource] = compact(self._json(resource))
        return text

    def _json(self, resource: Resource) -> dict[str, object]:
        return resource_to_json(renamed(resource, self._names) if self._names else resource, self._crypter)
