"""What a dump and a load tell of their progress."""

from __future__ import annotations


class Progress:
    """Hears of it and says nothing. Its methods are called from several threads."""

    def step(self, name: str) -> None:
        """A step begins."""

    def database(self, count: int) -> None:
        """So many more bytes of the database went through."""

    def files(self, count: int) -> None:
        """So many more bytes of the file store went through."""
