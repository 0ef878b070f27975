"""Fixtures of the engine's tests."""

from __future__ import annotations

from pathlib import Path

import pytest

from local.engine import crypto
from tests.local.engine.world import World


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> World:
    """A world in which a key is derived in no time."""
    monkeypatch.setattr(crypto, "ITERATIONS", 10)
    made = World(tmp_path)
    monkeypatch.setenv("TINY_CLOUD", str(made.cloud))
    return made
