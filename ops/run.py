"""What a command remembers of its run in the operations bucket, so that it goes on after a kill."""

from __future__ import annotations

import contextlib
import getpass
import os
import time
from collections.abc import Iterator, Mapping
from typing import Any

from ops.store import AlreadyThereError, Store


def operator() -> str:
    """Return who works here, as `anna@host`."""
    try:
        user = getpass.getuser()
    except (KeyError, OSError):
        user = str(os.getuid())
    return f"{user}@{os.uname().nodename}"


def now() -> str:
    """Return the time, UTC, to the second."""
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())


class Run:
    """One document, whose every change is written at once."""

    def __init__(self, store: Store, key: str, content: Mapping[str, Any]) -> None:
        self._store = store
        self.key = key
        self._content = dict(content)

    @classmethod
    def claim(cls, store: Store, key: str, fresh: Mapping[str, Any]) -> tuple[Run, bool]:
        """Return the run at `key`, and whether it is new; of two that begin it at once, one does."""
        found = store.read(key)
        if found is not None:
            return cls(store, key, found), False
        try:
            store.create(key, fresh)
        except AlreadyThereError:
            return cls(store, key, store.read(key) or {}), False
        return cls(store, key, fresh), True

    def __getitem__(self, name: str) -> Any:
        return self._content[name]

    def get(self, name: str) -> Any:
        """Return what is remembered under `name`; None where nothing is."""
        return self._content.get(name)

    @property
    def content(self) -> dict[str, Any]:
        """Everything that is remembered."""
        return dict(self._content)

    def note(self, **changes: Any) -> None:
        """Remember something; None forgets it."""
        merged = {**self._content, **changes}
        self._content = {name: value for name, value in merged.items() if value is not None}
        self._store.write(self.key, self._content)

    @contextlib.contextmanager
    def timed(self, part: str) -> Iterator[None]:
        """Remember how many seconds a part took; those of an earlier try are added."""
        began = time.monotonic()
        yield
        seconds = dict(self._content.get("seconds") or {})
        seconds[part] = round(seconds.get(part, 0.0) + time.monotonic() - began, 1)
        self.note(seconds=seconds)

    def forget(self) -> None:
        """Take the document away."""
        self._store.delete(self.key)
