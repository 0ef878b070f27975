"""What the data centre says about itself: `<home>/nodes/status.json`, written as a whole each time."""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

CONSOLE_LINES = 12
"""Lines of a console that are kept in the status."""
TAIL = 16 * 1024
"""Bytes of a console that are looked at for these."""
_CONTROL = re.compile(r"\x1b\[[0-9;?]*[ -/]*[@-~]|\x1b[@-_]|[\x00-\x08\x0b-\x1f\x7f]")
"""Escape sequences of a terminal and other characters that a line of text has no use for."""


@dataclass(frozen=True)
class ServerStatus:
    """One server."""

    id: str
    name: str
    """Its tag `Name`: `app` or `web-client`."""
    group: str
    address: str
    phase: str
    """As in `local.nodes.reconcile`, or `image` while its image is being made."""
    seconds: float
    """Since it is in that phase."""
    age: float
    """Seconds since it was started."""
    health: Mapping[str, str] = field(default_factory=dict)
    """By name of the target group."""
    template: str = ""
    """Version of its launch template."""
    error: str = ""
    """Why it could not be started."""
    console: tuple[str, ...] = ()
    """The last lines that it wrote."""
    stack: str = ""
    """Its tag `Stack`."""

    @property
    def serving(self) -> bool:
        """Whether the load balancer sends it requests wherever it is registered."""
        return bool(self.health) and all(state == "healthy" for state in self.health.values())


@dataclass(frozen=True)
class BalancerStatus:
    """One load balancer."""

    name: str
    bind: str
    """The loopback address."""
    ports: tuple[int, ...] = ()
    error: str = ""

    def answers_to(self, dns_name: str) -> bool:
        """Whether a load balancer's DNS name is this one's: `<name>-<number>.<region>.elb.amazonaws.com`."""
        label = dns_name.partition(".")[0].removeprefix("internal-")
        return label.rpartition("-")[0] == self.name


@dataclass(frozen=True)
class Status:
    """The whole data centre at one moment."""

    written: float
    """Seconds since 1970."""
    emulator: str = ""
    """Its address, or why it does not answer."""
    servers: tuple[ServerStatus, ...] = ()
    balancers: tuple[BalancerStatus, ...] = ()
    refreshes: tuple[str, ...] = ()
    """Groups with an instance refresh under way."""
    wanted: int = 0
    """Servers that the groups are to have in all."""
    groups: Mapping[str, int] = field(default_factory=dict)
    """Servers that each group is to have."""
    replaced: tuple[str, ...] = ()
    """What was replaced, and why: the last ones."""
    errors: tuple[str, ...] = ()
    """What failed in the last round."""

    @property
    def serving(self) -> bool:
        """Whether every server that is wanted is there and serves, and nothing is being replaced."""
        serving = [server for server in self.servers if server.serving and server.phase == "running"]
        balanced = bool(self.balancers) and not any(item.error for item in self.balancers)
        return len(serving) >= self.wanted and not self.refreshes and not self.errors and balanced

    def of(self, groups: Collection[str], balancer: str) -> Status | None:
        """The part of it that one stack is, by its groups and the DNS name of its load balancer; None where
        the data centre has not yet seen all of its groups."""
        if not self.groups.keys() >= set(groups):
            return None
        others = [server.id for server in self.servers if server.group not in groups]
        return replace(
            self,
            servers=tuple(server for server in self.servers if server.group in groups),
            balancers=tuple(item for item in self.balancers if item.answers_to(balancer)),
            refreshes=tuple(name for name in self.refreshes if name in groups),
            wanted=sum(self.groups[name] for name in groups),
            groups={name: self.groups[name] for name in groups},
            replaced=tuple(line for line in self.replaced if any(f" of {name}: " in line for name in groups)),
            errors=tuple(line for line in self.errors if line.partition(":")[0] not in others),
        )


def write(path: Path, status: Status) -> None:
    """Write the status at once."""
    fresh = path.with_suffix(".new")
    fresh.write_text(json.dumps(asdict(status), indent=1))
    fresh.replace(path)


def read(path: Path) -> Status | None:
    """The status last written, or None."""
    try:
        data: dict[str, Any] = json.loads(path.read_text())
        return Status(
            **{
                **data,
                "servers": tuple(
                    ServerStatus(**{**row, "console": tuple(row["console"])}) for row in data["servers"]
                ),
                "balancers": tuple(
                    BalancerStatus(**{**row, "ports": tuple(row["ports"])}) for row in data["balancers"]
                ),
                **{name: tuple(data[name]) for name in ("refreshes", "replaced", "errors")},
            }
        )
    except (OSError, ValueError, KeyError, TypeError):
        return None


ASIDE = ("openerp-agents", "openerp: agents")
"""Amazon's agents cannot be had on this machine; nothing waits for them, and nobody is to look there."""


def last_lines(path: Path, count: int = CONSOLE_LINES) -> tuple[str, ...]:
    """The last lines of a console, without what only a terminal understands, and without what ASIDE names."""
    try:
        with path.open("rb") as file:
            file.seek(0, 2)
            file.seek(max(0, file.tell() - TAIL))
            text = file.read().decode("utf-8", "replace")
    except OSError:
        return ()
    lines = (_CONTROL.sub("", line.replace("\r", "\n").strip("\n")).strip() for line in text.split("\n"))
    return tuple(line for line in lines if line and not any(word in line for word in ASIDE))[-count:]
