"""What the emulator knows of the servers that run for it (`local.nodes`): where they are, and how they are,
and what they are to run.

Nothing of this is in the journal: it is about processes of this moment.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from pathlib import Path

from local.emulator.commands import Commands
from local.nodes import directory, running

LOOK = 1.0
"""Seconds for which it is taken as known whether servers run for this emulator."""


class Nodes:
    """The servers of a home, seen from the emulator."""

    def __init__(self, home: Path) -> None:
        self._home = home
        self._looked = -LOOK
        self._attached = False
        self._health: Mapping[str, Mapping[str, str]] = {}
        self._online: dict[str, frozenset[str]] = {}
        self.commands = Commands(home / "emulator" / "commands.json", self.attached)

    def attached(self) -> bool:
        """Whether somebody makes instances real. Without, every instance is taken for a healthy server."""
        now = time.monotonic()
        if now - self._looked >= LOOK:
            self._attached = running(self._home) is not None
            self._looked = now
        return self._attached

    def report(self, health: Mapping[str, Mapping[str, str]]) -> None:
        """Keeps what was reported: the state of each instance in each target group, by ARN."""
        self._health = health

    def health(self, target_group: str, instance: str) -> str:
        """`initial`, `healthy`, `unhealthy` or `draining`."""
        return self._health.get(target_group, {}).get(instance, "initial")

    def report_online(self, region: str, instances: Iterable[str]) -> None:
        """Keeps which instances of a region take commands."""
        self._online[region] = frozenset(instances)

    def online(self, region: str) -> frozenset[str]:
        """The instances of a region whose servers take commands."""
        return self._online.get(region, frozenset()) if self.attached() else frozenset()

    def console(self, instance: str) -> bytes:
        """What an instance has written on its console so far."""
        try:
            return (directory(self._home) / "instances" / instance / "console.log").read_bytes()
        except OSError:
            return b""
