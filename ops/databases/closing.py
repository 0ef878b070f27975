"""Hears which files of a directory their writer has closed."""

from __future__ import annotations

import ctypes
import os
import select
import struct
import time
from pathlib import Path
from types import TracebackType
from typing import Final

IN_CLOSE_WRITE: Final = 0x8
_EVENT: Final = struct.Struct("iIII")


class Closing:
    """Watches one directory by Linux' inotify.

    Elsewhere it hears nothing, and the end of the writer has to do. A file that it does not name may be
    closed nevertheless: the kernel forgets events when too many wait.
    """

    def __init__(self, directory: Path) -> None:
        libc = ctypes.CDLL(None, use_errno=True)
        self._descriptor = -1
        if hasattr(libc, "inotify_init1"):
            self._descriptor = libc.inotify_init1(os.O_NONBLOCK | os.O_CLOEXEC)
            if libc.inotify_add_watch(self._descriptor, os.fsencode(directory), IN_CLOSE_WRITE) < 0:
                self.close()

    def names(self, seconds: float) -> list[str]:
        """Return the names of files that were closed, after `seconds` at most."""
        if self._descriptor < 0:
            time.sleep(seconds)
            return []
        if not select.select([self._descriptor], [], [], seconds)[0]:
            return []
        data, found, offset = os.read(self._descriptor, 1 << 16), [], 0
        while offset < len(data):
            _, _, _, length = _EVENT.unpack_from(data, offset)
            offset += _EVENT.size
            if name := os.fsdecode(data[offset : offset + length].rstrip(b"\0")):
                found.append(name)
            offset += length
        return found

    def close(self) -> None:
        """Watch no longer."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
        self._descriptor = -1

    def __enter__(self) -> Closing:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
