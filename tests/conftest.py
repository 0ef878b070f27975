"""Files whose tests take minutes come first, so that no worker is left with one of them at the end."""

from __future__ import annotations

from pathlib import Path

import pytest

HERE = Path(__file__).resolve().parent
FIRST = ("ops", "integration")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Bring the rooms of FIRST to the front; everything else stays in its order."""
    items.sort(key=lambda item: item.path.relative_to(HERE).parts[0] not in FIRST)
