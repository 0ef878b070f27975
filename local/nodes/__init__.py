"""Servers made real: what the emulator holds runs as systemd containers on this machine.

``start``, ``stop`` and ``running`` are all that others need; this module imports nothing heavy. The process
that does it is ``local.nodes.__main__``.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from local.processes import is_same


@dataclass(frozen=True)
class Nodes:
    """The running process."""

    pid: int
    identity: str
    fingerprint: str
    region: str


def running(home: Path) -> Nodes | None:
    """The process that runs the servers of this home, or None."""
    try:
        record = json.loads((home / "nodes" / "process.json").read_text())
        found = Nodes(int(record["pid"]), record["identity"], record["fingerprint"], record["region"])
    except (OSError, ValueError, KeyError):
        return None
    return found if is_same(found.pid, found.identity) else None
