"""The pages that people read: README.md, CHANGELOG.md and everything in docs/."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).resolve().parents[2]
DOCS: Final = ROOT / "docs"
PAGES: Final = [ROOT / "README.md", ROOT / "CHANGELOG.md", *sorted(DOCS.rglob("*.md"))]

_FENCE = re.compile(r"^\s*```(\w*)\n(.*?)^\s*```", re.MULTILINE | re.DOTALL)


def name(page: Path) -> str:
    return str(page.relative_to(ROOT))


def prose(page: Path) -> str:
    """Return a page without its blocks of code."""
    return _FENCE.sub("", page.read_text())


def everything() -> str:
    return "\n".join(page.read_text() for page in PAGES)


def links(page: Path) -> list[str]:
    """Return the targets of links and pictures."""
    return re.findall(r"\]\(([^)\s]+)(?:\s+\"[^\"]*\")?\)", prose(page))


def anchors(page: Path) -> set[str]:
    """Return what `#…` may name, by GitHub's rule for headings."""
    headings = re.findall(r"^#{1,6}\s+(.*?)\s*$", prose(page), re.MULTILINE)
    found: set[str] = set()
    for heading in headings:
        text = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading).lower()
        slug = re.sub(r"[^\w\- ]", "", text).replace(" ", "-")
        number = 0
        while (unique := slug if number == 0 else f"{slug}-{number}") in found:
            number += 1
        found.add(unique)
    return found


def shell_lines(page: Path) -> list[str]:
    """Return the commands in the page's blocks of shell code, without comments and prompts."""
    blocks = _FENCE.findall(page.read_text())
    joined = "\n".join(code for language, code in blocks if language in ("", "sh", "bash")).replace(
        "\\\n", " "
    )
    stripped = (re.sub(r"(^|\s)#.*$", "", line).strip().removeprefix("$ ") for line in joined.splitlines())
    return [line for line in stripped if line]
