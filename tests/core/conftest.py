"""Property tests have no time limit for one example: on a busy machine it would fail at random."""

from __future__ import annotations

from hypothesis import settings

settings.register_profile("unhurried", deadline=None)
settings.load_profile("unhurried")
