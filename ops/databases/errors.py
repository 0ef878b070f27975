"""What ends a dump or a load."""

from __future__ import annotations

from ops.errors import OpsError


class DatabaseError(OpsError):
    """A dump or load cannot go on; the message says why and, where one can, what to do."""


class StoppedError(Exception):
    """A part of the work ends because another part failed; the other part's error is the one to show."""
