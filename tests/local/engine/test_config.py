"""The configuration files, read as the real CLI reads them."""

from __future__ import annotations

from pathlib import Path

import pytest

from local.engine.config import load_project, load_stack, load_yaml
from local.engine.errors import EngineError

PROJECT = "name: p\nruntime: python\n"


def values(directory: Path, config: str) -> dict[str, str]:
    (directory / "Pulumi.yaml").write_text(PROJECT)
    (directory / "Pulumi.s.yaml").write_text(f"config:\n{config}")
    return load_stack(load_project(directory), "s", lambda text: text).values


@pytest.mark.parametrize(
    ("written", "handed_over"),
    [
        ("19.0", "19"),
        ("19.5", "19.5"),
        ('"19.0"', "19.0"),
        ("yes", "yes"),
        ("1:20", "1:20"),
        ("true", "true"),
        ("-3", "-3"),
        ("falsehood", "falsehood"),
        ("12monkeys", "12monkeys"),
        ("[off, 2]", '["off",2]'),
    ],
)
def test_plain_words_mean_what_they_mean_to_the_real_cli(
    tmp_path: Path, written: str, handed_over: str
) -> None:
    assert values(tmp_path, f"  p:key: {written}\n") == {"p:key": handed_over}


def test_a_file_that_is_not_utf_8_is_said_to_be_so_with_its_line(tmp_path: Path) -> None:
    path = tmp_path / "Pulumi.s.yaml"
    path.write_bytes(b"config:\n  p:name: Fr\xe4nkel\n")
    with pytest.raises(EngineError, match=r"Pulumi\.s\.yaml, line 2 is not UTF-8"):
        load_yaml(path)


def test_an_anchor_that_holds_itself_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "Pulumi.s.yaml"
    path.write_text("config:\n  p:list: &a\n    - *a\n")
    with pytest.raises(EngineError, match="an anchor holds itself"):
        load_yaml(path)
