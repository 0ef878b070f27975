"""What a person sees while servers start: lines, and below them on a terminal one a server, kept fresh."""

from __future__ import annotations

import os
import time
from typing import IO

from local.display import Paint, colours_wanted
from local.nodes.status import ServerStatus, Status

EVERY = 15.0
"""Seconds between two lines about a server of which nothing changed, where there is no terminal."""
_SAYS = {
    "image": "its image is being made",
    "booting": "starts",
    "running": "serves",
    "draining": "finishes its requests",
    "stopping": "shuts down",
    "stopped": "is off",
    "dead": "ended",
}


def title(server: ServerStatus) -> str:
    """A server in a few words."""
    return f"{server.name or server.id} {server.address}"


OURS = "openerp: "
"""How a sentence of our own scripts begins (core/servers/files/openerp_server/common.py)."""
LONGEST = 100
"""Characters of what a server says that are shown."""


def last_words(server: ServerStatus) -> str:
    """What a server that starts last said: in a sentence of our own, if there is one."""
    if server.error or not server.console:
        return server.error
    sentences = [said.partition(OURS)[2] for said in server.console if OURS in said]
    said = (sentences or [*server.console])[-1]
    return said if len(said) <= LONGEST else said[: LONGEST - 1] + "…"


def line(server: ServerStatus) -> str:
    """How a server is, and what it last said."""
    state = _SAYS.get(server.phase, server.phase)
    if server.phase == "running" and not server.serving:
        state = "runs, " + ", ".join(sorted(set(server.health.values())))
    said = last_words(server) if server.error or server.phase != "running" else ""
    return f"{title(server):24} {state} ({server.seconds:.0f} s)" + (f": {said}" if said else "")


class Progress:
    """Shows one status after the other on a stream."""

    def __init__(self, stream: IO[str]) -> None:
        self._stream = stream
        self._live = colours_wanted(stream)
        self._paint = Paint(self._live)
        self._drawn = 0
        self._said: dict[str, tuple[str, float]] = {}

    def say(self, text: str) -> None:
        """Write a line that stays."""
        self._erase()
        print(text, file=self._stream, flush=True)

    def note(self, key: str, text: str) -> None:
        """Tell how something goes that has no status yet."""
        if self._live:
            self._draw([text])
        else:
            self._line(key, text, text)

    def show(self, status: Status | None) -> None:
        """Show how the servers are."""
        if status is None:
            return
        if self._live:
            notes = [f"    {error}" for error in status.errors]
            self._draw([f"    {line(server)}" for server in status.servers] + notes)
            return
        for server in status.servers:
            self._line(server.id, f"{server.phase} {server.serving} {server.error}", line(server))

    def _line(self, key: str, state: str, text: str) -> None:
        now = time.monotonic()
        known, when = self._said.get(key, ("", 0.0))
        if state != known or now - when >= EVERY:
            self._said[key] = (state, now)
            print(f"    {text}", file=self._stream, flush=True)

    def _erase(self) -> None:
        if self._drawn:
            self._stream.write(f"\x1b[{self._drawn}F\x1b[J")
            self._drawn = 0

    def _draw(self, lines: list[str]) -> None:
        self._erase()
        try:
            columns = os.get_terminal_size(self._stream.fileno()).columns or 80
        except (OSError, ValueError):
            columns = 80
        if lines:
            text = "\n".join(self._paint(item[: columns - 1], "dim") for item in lines)
            self._stream.write(text + "\n")
        self._stream.flush()
        self._drawn = len(lines)

    def close(self) -> None:
        """Take away what was only for the moment."""
        self._erase()
        self._stream.flush()
