"""The load balancers of a home: one HAProxy each, on a loopback address of its own."""

from __future__ import annotations

import hashlib
import logging
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from local.nodes import addresses, balancer, directory
from local.nodes.groups import Health
from local.nodes.haproxy import Haproxy
from local.nodes.model import Cloud, LoadBalancer
from local.nodes.status import BalancerStatus

log = logging.getLogger("nodes")

IN_MEMORY = Path("/run/openerp")
"""Where certificates with their keys are: in the process's own mount namespace, never on a disk."""


@dataclass
class Served:
    """One load balancer that is served."""

    name: str
    haproxy: Haproxy
    bind: str
    files: Path
    ports: tuple[int, ...] = ()
    error: str = ""


class Balancers:
    """All load balancers of the emulator whose networks are there."""

    def __init__(self, home: Path, namespace: Callable[[str], str | None]) -> None:
        """`namespace` gives the network namespace of a VPC, None: it is not made yet."""
        self._directory = directory(home) / "balancers"
        self._namespace = namespace
        self._served: dict[str, Served] = {}

    def apply(self, cloud: Cloud) -> None:
        """Serve each load balancer as the cloud has it. What fails with one is in its status."""
        known = {item.arn: item for item in cloud.load_balancers}
        for arn in self._served.keys() - known.keys():
            log.info("load balancer %s ends", self._served[arn].name)
            self._served.pop(arn).haproxy.stop()
            for place in (self._directory, IN_MEMORY):
                shutil.rmtree(place / _short(arn), ignore_errors=True)
        for arn, item in known.items():
            namespace = self._namespace(item.vpc_id)
            if namespace is None or not item.listeners:
                continue
            served = self._served.get(arn) or self._begin(item, namespace)
            try:
                self._apply(served, item, cloud)
            except Exception as error:
                if served.error != str(error):
                    log.error("load balancer %s: %s", item.name, error)
                served.error = str(error)
            else:
                served.error = ""

    def _begin(self, item: LoadBalancer, namespace: str) -> Served:
        short = _short(item.arn)
        ports = [listener.port for listener in item.listeners]
        files = IN_MEMORY / short
        haproxy = Haproxy(self._directory / short, files, namespace)
        served = Served(item.name, haproxy, addresses.free(ports), files)
        self._served[item.arn] = served
        log.info("load balancer %s begins on %s", item.name, served.bind)
        return served

    def _apply(self, served: Served, item: LoadBalancer, cloud: Cloud) -> None:
        machine = served.haproxy.machine
        text = balancer.render(item, cloud, bind=served.bind, files=served.files, machine=machine)
        served.haproxy.apply(text, balancer.files(item, cloud))
        served.ports = tuple(listener.port for listener in item.listeners)

    def health(self) -> Health:
        """How all targets are, by ARN of the target group and by instance."""
        found: dict[str, dict[str, str]] = {}
        for served in self._served.values():
            for arn, states in served.haproxy.health().items():
                found.setdefault(arn, {}).update(states)
        return found

    def drain(self, target_group: str, instance_id: str) -> None:
        """Send a target nothing new."""
        for served in self._served.values():
            if served.haproxy.running:
                served.haproxy.drain(target_group, instance_id)

    def sessions(self, instance_id: str) -> int:
        """How many requests are on an instance."""
        return sum(served.haproxy.sessions(instance_id) for served in self._served.values())

    def status(self) -> tuple[BalancerStatus, ...]:
        """Where each is, and what is wrong with it."""
        return tuple(
            BalancerStatus(name=served.name, bind=served.bind, ports=served.ports, error=served.error)
            for served in self._served.values()
        )

    def stop(self) -> None:
        """End them all."""
        for served in self._served.values():
            served.haproxy.stop()


def _short(arn: str) -> str:
    """A name of a directory for a load balancer."""
    return hashlib.sha256(arn.encode()).hexdigest()[:12]
