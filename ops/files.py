"""Writing files that are whole or not there, and whose secrets nobody else can read."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path


def write_atomically(path: Path, content: bytes, *, mode: int) -> None:
    """Write `content` to `path` with permission bits `mode`; a reader sees the old file or the new one.

    A file that is the same already keeps its time stamp. The permission bits are set before the content
    is written, so that a secret is at no moment readable by others.
    """
    if path.is_file() and not path.is_symlink() and path.read_bytes() == content:
        path.chmod(mode)
        return
    descriptor, temporary = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    try:
        with os.fdopen(descriptor, "wb") as file:
            os.fchmod(file.fileno(), mode)
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        Path(temporary).replace(path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise
