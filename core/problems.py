"""What is wrong with the settings, said so that the person who wrote them can put it right."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

NAMESPACE = "openerp"


@dataclass(frozen=True)
class Problem:
    """One thing that is wrong: the configuration key, what is wrong, and what would be right."""

    key: str
    wrong: str
    right: str

    def __str__(self) -> str:
        return f"{self.key}: {self.wrong}. {self.right}" + ("" if self.right.endswith((".", "?")) else ".")


class Invalid(ValueError):  # noqa: N818  (an answer of a rule, not a failure of the program)
    """A value that a rule refuses; `wrong` says why and `right` what would be accepted."""

    def __init__(self, wrong: str, right: str) -> None:
        super().__init__(f"{wrong}. {right}")
        self.wrong = wrong
        self.right = right


class SettingsError(Exception):
    """The settings cannot be used; the message lists every problem at once."""

    def __init__(self, problems: Sequence[Problem], *, stack: str) -> None:
        self.problems = tuple(problems)
        self.stack = stack
        count = "one thing is" if len(self.problems) == 1 else f"{len(self.problems)} things are"
        lines = [f"The settings of stack '{stack}' cannot be used: {count} wrong. Nothing was touched."]
        lines += [f"  - {problem}" for problem in self.problems]
        super().__init__("\n".join(lines))


def printable(text: str, length: int = 60) -> str:
    """Return `text` fit for a message: one line, no control characters, at most `length` characters."""
    return "".join(c if c.isprintable() else "?" for c in text[:length])


def full_key(*path: str | int) -> str:
    """Return the key as an operator writes it: `("tenants", 2, "name")` -> `openerp:tenants[2].name`."""
    text = ""
    for part in path:
        name = f"[{part}]" if isinstance(part, int) else printable(part)
        text += f".{name}" if text and not isinstance(part, int) else name
    return f"{NAMESPACE}:{text}"


def nearest(word: str, known: Iterable[str]) -> str:
    """Return a sentence that points at the known word nearest to `word`, or lists all of them."""
    words = list(known)
    folded = {w.lower(): w for w in words}
    close = difflib.get_close_matches(word.lower(), folded, n=1, cutoff=0.6)
    if close:
        return f"Did you mean `{folded[close[0]]}`?"
    return "Known: " + ", ".join(f"`{w}`" for w in words)
