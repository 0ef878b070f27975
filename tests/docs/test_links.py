"""Links between the pages, and the list of decisions."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.docs.pages import DOCS, PAGES, ROOT, anchors, links, name

DECISIONS = sorted((DOCS / "adr").glob("[0-9]*.md"))


def broken(page: Path) -> list[str]:
    found = []
    for link in links(page):
        if re.match(r"[a-z]+:", link):
            continue
        path, _, anchor = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        if not target.exists() or (anchor and target.suffix == ".md" and anchor not in anchors(target)):
            found.append(link)
    return found


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_every_link_leads_somewhere(page: Path) -> None:
    """Links to other sites are not followed."""
    assert broken(page) == []


def test_a_broken_link_would_be_found(tmp_path: Path) -> None:
    page, other = tmp_path / "page.md", tmp_path / "other.md"
    other.write_text("# A `heading`, twice\n\n# A heading twice\n")
    page.write_text(
        "[a](other.md#a-heading-twice-1) [b](other.md#nowhere) [c](gone.md) [d](https://x.test)\n"
    )
    assert broken(page) == ["other.md#nowhere", "gone.md"]


def test_every_page_can_be_reached_from_the_readme() -> None:
    seen: set[Path] = set()
    waiting = [ROOT / "README.md"]
    while waiting:
        page = waiting.pop()
        if page in seen:
            continue
        seen.add(page)
        for link in links(page):
            target = (page.parent / link.partition("#")[0]).resolve()
            if target.is_dir():
                waiting += sorted(target.glob("*.md"))
            elif target.suffix == ".md" and target.exists():
                waiting.append(target)
    assert [name(page) for page in PAGES if page not in seen] == []


def test_the_list_of_decisions_names_each_by_its_title() -> None:
    index = (DOCS / "adr" / "README.md").read_text()
    missing = []
    for decision in DECISIONS:
        title = decision.read_text().splitlines()[0].removeprefix("# ").partition(". ")[2]
        if f"[{title}]({decision.name})" not in index:
            missing.append(f"[{title}]({decision.name})")
    assert missing == []


def test_each_decision_has_a_number_of_its_own_in_name_and_title() -> None:
    numbers = [int(decision.name.partition("-")[0]) for decision in DECISIONS]
    assert len(set(numbers)) == len(numbers)
    for number, decision in zip(numbers, DECISIONS, strict=True):
        assert decision.read_text().startswith(f"# {number}. "), decision.name
