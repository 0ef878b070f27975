"""Any input gives settings or an answer, never another exception."""

from __future__ import annotations

import copy
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.problems import SettingsError
from core.settings_model import TOP_LEVEL_KEYS
from core.settings_page import keys
from settings import Settings, parse
from tests.settings.conftest import PRODUCTION, SOUND, TODAY

scalars = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=20)
    | st.sampled_from(["10.0.0.0/16", "19.0", "saas", "private", "cron(0 3 * * ? *)", "final", "{}", "[]"])
)
anything = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=12), inner, max_size=4),
    max_leaves=12,
)
paths = sorted(key.removeprefix("openerp:").replace("[]", ".0") for key in keys())


def answer(raw: dict[str, Any], stack: str = "dev", region: str = "eu-central-1") -> None:
    try:
        settings = parse(raw, stack=stack, region=region, today=TODAY)
    except SettingsError as error:
        assert error.problems
        for problem in error.problems:
            assert problem.key
            assert problem.wrong
            assert problem.right
            assert "Error" not in str(problem) or "Error" in repr((raw, stack, region))
            assert str(problem).isprintable()
            assert len(str(problem)) < 1500
    else:
        assert isinstance(settings, Settings)


@given(st.dictionaries(st.sampled_from(sorted(TOP_LEVEL_KEYS)) | st.text(max_size=12), anything, max_size=8))
def test_any_configuration_is_accepted_or_answered(raw: dict[str, Any]) -> None:
    answer(raw)


@given(st.dictionaries(st.sampled_from(sorted(TOP_LEVEL_KEYS)), st.text(max_size=60), max_size=8))
def test_any_texts_are_accepted_or_answered(raw: dict[str, Any]) -> None:
    answer({**SOUND, **raw})


@given(st.sampled_from([SOUND, PRODUCTION]), st.sampled_from(paths), anything, st.booleans())
def test_any_value_at_any_key_is_accepted_or_answered(
    base: dict[str, Any], path: str, value: Any, as_texts: bool
) -> None:
    raw = copy.deepcopy(base)
    place: Any = raw
    *parents, last = path.split(".")
    for depth, parent in enumerate(parents, start=1):
        if parent == "0":
            place = place[0]
        else:
            place = place.setdefault(parent, [{}] if path.split(".")[depth] == "0" else {})
    if isinstance(place, list):
        place[0] = value
    else:
        place[last] = value
    if as_texts:
        raw = {k: v if isinstance(v, str) else json.dumps(v) for k, v in raw.items()}
    answer(raw)


@given(st.text(max_size=30), st.text(max_size=30))
def test_any_stack_and_region_are_accepted_or_answered(stack: str, region: str) -> None:
    answer(SOUND, stack, region)


def test_deep_nesting_is_answered() -> None:
    deep: Any = []
    for _ in range(200):
        deep = [deep]
    answer({**SOUND, "modules": deep})
    answer({**SOUND, "modules": "[" * 100_000})


@pytest.mark.parametrize("path", paths)
def test_a_number_too_large_to_print_is_answered(path: str) -> None:
    number = 10**5000
    top, _, rest = path.partition(".")
    for part in reversed(rest.split(".") if rest else []):
        number = [number] if part == "0" else {part: number}  # type: ignore[assignment]  # any shape
    answer({**SOUND, top: number})
