"""Property values: every way in and out gives back what went in."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from local.engine import values
from local.engine.errors import EngineError
from local.engine.providers import from_property, to_property
from local.engine.values import UNKNOWN, Secret, equal

TEXT = st.text(st.characters(codec="utf-8", exclude_characters="\x00"), max_size=12)
PLAIN = st.none() | st.booleans() | st.integers(-(2**52), 2**52) | TEXT
NUMBERS = st.floats(allow_nan=False, allow_infinity=False).map(values.number)


def nested(leaves: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.recursive(
        leaves | leaves.map(Secret),
        lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXT, inner, max_size=4),
        max_leaves=12,
    )


VALUES = nested(PLAIN | NUMBERS | st.just(UNKNOWN))
KNOWN = nested(PLAIN | NUMBERS)


@given(VALUES)
def test_a_value_survives_the_wire(value: Any) -> None:
    assert equal(values.from_wire(values.to_wire(value)), value)


@given(VALUES)
def test_a_value_survives_the_way_to_a_plugin(value: Any) -> None:
    assert equal(from_property(to_property(value)), value)


@given(KNOWN)
def test_a_value_survives_the_checkpoint_but_for_secrets_inside_secrets(value: Any) -> None:
    vault: dict[str, str] = {}

    def encrypt(plaintext: str) -> str:
        vault[f"c{len(vault)}"] = plaintext
        return f"c{len(vault) - 1}"

    text = json.dumps(values.to_json(value, encrypt))
    back = values.from_json(json.loads(text), vault.__getitem__)
    assert equal(values.reveal(back), values.reveal(value))
    assert values.has_secret(back) == values.has_secret(value)


@given(st.text(min_size=6, alphabet="qzxj"), VALUES)
def test_no_secret_is_left_in_a_masked_value(secret: str, value: Any) -> None:
    assume(secret not in repr(value))
    masked = values.mask({"a": value, "b": [Secret({"c": secret})]})
    assert secret not in repr(masked)
    assert not values.has_secret(masked)


def test_true_is_not_one_and_a_secret_is_not_its_content() -> None:
    assert not equal(True, 1)
    assert not equal({"a": [0]}, {"a": [False]})
    assert not equal(Secret("x"), "x")
    assert equal(Secret({"a": 1}), Secret({"a": 1.0}))


def test_whole_numbers_are_written_without_a_fraction() -> None:
    assert json.dumps(values.to_json({"a": 5.0, "b": 0.5}, None)) == '{"a": 5, "b": 0.5}'


def test_numbers_that_json_does_not_know_survive_the_checkpoint() -> None:
    written = values.to_json(float("inf"), None)
    assert values.from_json(json.loads(json.dumps(written)), str) == float("inf")


def test_an_asset_gets_the_hash_of_its_content(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"abc")
    expected = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    by_path = values.hash_asset({values.SIGNATURE: values.ASSET, "path": "file"}, tmp_path)
    by_text = values.hash_asset({values.SIGNATURE: values.ASSET, "text": "abc"}, tmp_path)
    assert by_path["hash"] == by_text["hash"] == expected
    with pytest.raises(EngineError, match="cannot read the file of an asset"):
        values.hash_asset({values.SIGNATURE: values.ASSET, "path": "missing"}, tmp_path)


def test_secret_marks_follow_the_inputs_of_a_plugin_that_knows_none() -> None:
    outputs = values.annotate_secrets(
        {"a": 1, "b": {"c": 2, "d": 3}}, {"a": Secret(1), "b": {"c": Secret(2)}}
    )
    assert values.mask(outputs) == {"a": "[secret]", "b": {"c": "[secret]", "d": 3}}
