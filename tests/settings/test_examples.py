"""The settings files that the pages show can be used as they stand."""

from __future__ import annotations

import re
from datetime import date
from pathlib import Path
from typing import Any, Final

import pytest
import yaml

from settings import parse

ROOT: Final = Path(__file__).resolve().parents[2]
PAGES: Final = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
EXAMPLES: Final[dict[str, dict[str, Any]]] = {
    f"{page.name}-{number}": yaml.safe_load(block)["config"]
    for page in PAGES
    for number, block in enumerate(re.findall(r"```yaml\n(config:.*?)```", page.read_text(), re.DOTALL))
}


def test_each_offer_that_no_stack_has_is_shown() -> None:
    assert {config["openerp:offer"] for config in EXAMPLES.values()} >= {"internal", "saas"}


@pytest.mark.parametrize("config", EXAMPLES.values(), ids=EXAMPLES)
def test_an_example_is_accepted_without_a_warning(config: dict[str, Any]) -> None:
    raw = {key.removeprefix("openerp:"): value for key, value in config.items() if key != "aws:region"}
    settings = parse(raw, stack="example", region=config["aws:region"], today=date(2026, 11, 23))
    assert settings.offer == config["openerp:offer"]
    assert settings.warnings == ()
