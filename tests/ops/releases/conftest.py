"""Both stacks for the room."""

from __future__ import annotations

from tests.ops.changes.stacks import both, stacks

__all__ = ["both", "stacks"]
