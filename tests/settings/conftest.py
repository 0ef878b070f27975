"""What the tests of the settings share: a sound configuration to change, and the reading of it."""

from __future__ import annotations

import copy
from collections.abc import Callable
from datetime import date
from typing import Any

import pytest
from hypothesis import settings as hypothesis_settings

from core.problems import SettingsError
from settings import Settings, parse

hypothesis_settings.register_profile("unhurried", deadline=None)
hypothesis_settings.load_profile("unhurried")

TODAY = date(2026, 11, 23)
SOUND: dict[str, Any] = {
    "environment": "development",
    "release": "19.0",
    "users": {"total": 20, "simultaneous": 8},
    "access": {"domain": "erp.example.com", "hostedZone": "example.com"},
}
PRODUCTION: dict[str, Any] = {
    **SOUND,
    "environment": "production",
    "database": {"multiAz": True, "deletionProtection": True},
    "backup": {
        "vaultLock": {"minRetentionDays": 7, "maxRetentionDays": 400},
        "copyRegion": "eu-west-1",
    },
    "protect": True,
}

Read = Callable[..., Settings]
Refuse = Callable[..., list[str]]


def merged(base: dict[str, Any], changes: dict[str, Any]) -> dict[str, Any]:
    """Return `base` with `changes`: dotted keys reach into objects, None takes a key away."""
    result = copy.deepcopy(base)
    for path, value in changes.items():
        *parents, last = path.split(".")
        place = result
        for parent in parents:
            place = place.setdefault(parent, {})
        if value is None:
            place.pop(last, None)
        else:
            place[last] = value
    return result


def read_settings(
    changes: dict[str, Any] | None = None,
    *,
    base: dict[str, Any] | None = None,
    stack: str = "dev",
    region: str = "eu-central-1",
    today: date = TODAY,
) -> Settings:
    raw = merged(SOUND if base is None else base, changes or {})
    return parse(raw, stack=stack, region=region, today=today)


@pytest.fixture
def read() -> Read:
    return read_settings


@pytest.fixture
def refuse() -> Refuse:
    """Return the problems, as texts, of settings that must not be accepted."""

    def refused(changes: dict[str, Any] | None = None, **options: Any) -> list[str]:
        with pytest.raises(SettingsError) as caught:
            read_settings(changes, **options)
        return [str(problem) for problem in caught.value.problems]

    return refused


@pytest.fixture
def production() -> dict[str, Any]:
    return copy.deepcopy(PRODUCTION)
