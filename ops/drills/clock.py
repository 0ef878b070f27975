"""How long the parts of a drill take."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator
from dataclasses import dataclass, field

from core.drill_report import Part


@dataclass
class Clock:
    """Measures the parts of a drill, in seconds from the beginning of the restore."""

    began: float = field(default_factory=time.monotonic)
    parts: list[Part] = field(default_factory=list)

    def now(self) -> float:
        """Seconds by now."""
        return time.monotonic() - self.began

    def ended(self, name: str, began: float, *, waits_only_here: bool = False) -> None:
        """Note a part that ends now."""
        self.parts.append(
            Part(name=name, began=began, took=self.now() - began, waits_only_here=waits_only_here)
        )

    @contextlib.contextmanager
    def part(self, name: str, *, waits_only_here: bool = False) -> Iterator[None]:
        """Measure a part, also one that ends badly."""
        began = self.now()
        try:
            yield
        finally:
            self.ended(name, began, waits_only_here=waits_only_here)
