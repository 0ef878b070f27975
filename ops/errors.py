"""What ends a command with one sentence."""

from __future__ import annotations


class OpsError(Exception):
    """A command cannot go on; the message says what is wrong, where, and what would be right."""
