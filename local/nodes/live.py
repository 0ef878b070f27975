"""Bringing servers up so that a person can watch it: the image beside the deployment, then the wait."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from core.outputs import APP_AUTOSCALING_GROUP, LOAD_BALANCER_DNS_NAME, WEB_CLIENT_AUTOSCALING_GROUP
from local import nodes
from local.nodes import NodesError
from local.nodes.progress import Progress, title
from local.nodes.status import BalancerStatus, ServerStatus, Status, read

LOOK = 0.3
"""Seconds between two looks at the status."""
SETTLED = 1.5
"""Seconds until a status can be of what was deployed just now."""
TROUBLE = 60.0
"""Seconds for which the data centre may report an error that it gets over by itself."""
GAVE_UP = "FAILED: this server does not serve"
"""What a server writes on its console when it gives up (core/servers/files/openerp_server/report.py)."""
RESOLVED_HERE = "resolve:ssm:/openerp/images/"
"""How a setting begins that names an image with OpenERP in it which is made here."""


def require() -> None:
    """Raise NodesError where this machine cannot run servers: one line with what is missing."""
    from local.nodes.requirements import missing

    found = missing()
    if found:
        raise NodesError("servers cannot run on this machine: " + "; ".join(found))


class Image(threading.Thread):
    """Makes the image of a stack's servers, or finds it made, while something else goes on."""

    def __init__(self, recipe: str, cache: Path) -> None:
        super().__init__(name="image", daemon=True)
        self.recipe = recipe
        self.line = ""
        """What it does now, in its own words."""
        self._cache = cache
        self._error: Exception | None = None
        self.seconds = 0.0

    def run(self) -> None:
        from local.nodes import images

        began = time.monotonic()
        try:
            images.ensure(self.recipe, self._cache, self._say)
        except Exception as error:
            self._error = error
        self.seconds = time.monotonic() - began

    def _say(self, line: str) -> None:
        self.line = line

    def wait(self, progress: Progress) -> None:
        """Wait for it, showing what it does. Raises NodesError."""
        while self.is_alive():
            if self.line:
                progress.note("image", self.line)
            self.join(LOOK)
        if self._error is not None:
            raise NodesError(f"the image {self.recipe} cannot be made: {self._error}")


def recipe_of(values: Mapping[str, Any], project: str) -> str:
    """The recipe of the image that a stack's configuration names for its servers."""
    from local.nodes.hardware import BARE

    image = str(values.get(f"{project}:serverImage") or "")
    return image.removeprefix(RESOLVED_HERE) if image.startswith(RESOLVED_HERE) else BARE


@dataclass(frozen=True)
class Own:
    """How a stack knows what is its own among all that this machine runs."""

    groups: frozenset[str]
    """Its Auto Scaling groups."""
    balancer: str
    """The DNS name of its load balancer."""

    @classmethod
    def of(cls, outputs: Mapping[str, Any]) -> Own:
        """From the stack's outputs."""
        named = (outputs.get(name) for name in (APP_AUTOSCALING_GROUP, WEB_CLIENT_AUTOSCALING_GROUP))
        return cls(frozenset(map(str, filter(None, named))), str(outputs.get(LOAD_BALANCER_DNS_NAME, "")))


def wait(home: Path, own: Own, progress: Progress, seconds: float) -> Status:
    """Wait until every server of a stack serves, showing how they are, and return the stack's part of the
    status. Raises NodesError where a server fails."""
    began = time.time()
    before: tuple[str, ...] | None = None
    trouble: float | None = None
    while True:
        if nodes.running(home) is None:
            log = nodes.directory(home) / "log"
            raise NodesError(f"the servers' process ended; {log} says why")
        whole = read(nodes.directory(home) / "status.json")
        status = whole.of(own.groups, own.balancer) if whole is not None else None
        progress.show(status)
        if status is not None and status.written - began > SETTLED:
            if status.serving:
                return status
            before = status.replaced if before is None else before
            _check(status, before, home)
            trouble = (trouble or time.time()) if status.errors else None
            if trouble is not None and time.time() - trouble > TROUBLE:
                raise NodesError("; ".join(status.errors))
        if time.time() - began > seconds:
            raise NodesError(_late(status, home, seconds))
        time.sleep(LOOK)


def _check(status: Status, before: tuple[str, ...], home: Path) -> None:
    """Raise NodesError when a server has failed."""
    for server in status.servers:
        if server.error or any(GAVE_UP in line for line in server.console):
            raise NodesError(_failed(server, home))
    fresh = [line for line in status.replaced if line not in before]
    if fresh:
        raise NodesError(f"a server failed and was replaced: {fresh[-1]}")


def _failed(server: ServerStatus, home: Path) -> str:
    lines = "".join(f"\n    {line}" for line in server.console)
    log = nodes.directory(home) / "instances" / server.id / "console.log"
    why = f" ({server.error})" if server.error else ""
    return f"the server {title(server)} failed{why}; its console ({log}) ends:{lines or ' without a word'}"


def _late(status: Status | None, home: Path, seconds: float) -> str:
    waiting = [server for server in status.servers if not server.serving] if status else []
    if waiting:
        return f"after {seconds:.0f} s not every server serves; " + _failed(waiting[0], home)
    return f"after {seconds:.0f} s not every server serves; {nodes.directory(home) / 'log'} says why"


@dataclass(frozen=True)
class Address:
    """Where a deployment is served."""

    url: str
    host: str
    bind: str
    """The loopback address of the load balancer."""
    ports: tuple[int, ...]
    resolves: bool
    """Whether the host name leads there on this machine."""
    ca: Path | None
    """The certificate authority to trust, where it is a private one."""

    def curl(self) -> str:
        """A command that reaches it whatever the name resolves to."""
        trust = f" --cacert {self.ca}" if self.ca else ""
        return f"curl --resolve {self.host}:443:{self.bind}{trust} {self.url}web/login"


def address(outputs: Mapping[str, Any], status: Status, distribution: Path) -> Address:
    """Find the load balancer of a stack. Raises NodesError where there is none."""
    url = str(outputs["web_url"])
    host = url.removeprefix("https://").partition("/")[0].partition(":")[0]
    balancer = _balancer(str(outputs.get(LOAD_BALANCER_DNS_NAME, "")), status)
    ca = distribution / "ca.pem"
    return Address(
        url=url,
        host=host,
        bind=balancer.bind,
        ports=balancer.ports,
        resolves=balancer.bind in _addresses(host),
        ca=ca if ca.exists() else None,
    )


def _balancer(dns_name: str, status: Status) -> BalancerStatus:
    for balancer in status.balancers:
        if balancer.answers_to(dns_name):
            return balancer
    raise NodesError("no load balancer of this stack is served on this machine")


def _addresses(host: str) -> set[str]:
    try:
        return {str(entry[4][0]) for entry in socket.getaddrinfo(host, 443, socket.AF_INET)}
    except OSError:
        return set()
