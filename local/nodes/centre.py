"""The data centre: reads the emulator again and again, and makes servers, networks and load balancers so.

One loop, twice a second. What takes time is done in threads, one thing at a time for each server; what fails
with one server or load balancer is in the status and is tried again, and stops nothing else.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from local.nodes import groups, reconcile, status
from local.nodes.balancers import Balancers
from local.nodes.cloud import CloudError, Endpoint, Reader
from local.nodes.commands import Commands
from local.nodes.hardware import Hardware
from local.nodes.model import Cloud, Instance, Target
from local.nodes.reconcile import UP, Actual, Phase, Server, Settings

log = logging.getLogger("nodes")

ROUND = 0.5
"""Seconds between two looks."""
REREAD = 5.0
"""Seconds after which everything is read although no request changed it: databases change by themselves."""
REPORT = 2.0
"""Seconds between two reports to the emulator that say the same: how targets are, who takes commands."""
AGAIN = 20.0
"""Seconds before a group's next server is replaced, and before a boot that failed is tried again."""
POWER_OFF = 20.0
"""Seconds for a clean power-off."""
AT_ONCE = 8.0
"""Seconds for it when the whole data centre is stopped."""
KEPT = 10
"""Replacements that the status names."""


@dataclass
class Slot:
    """One server and all that is known of it."""

    instance: Instance
    phase: Phase = "booting"
    since: float = field(default_factory=time.monotonic)
    started: float = field(default_factory=time.monotonic)
    busy: bool = False
    settings: Settings | None = None
    targets: Mapping[str, Target] = field(default_factory=dict)
    drained: bool = False
    error: str = ""
    image: bool = False
    """Whether its image is being made."""
    gone: bool = False
    """Removed; to be forgotten in the next round."""

    def enter(self, phase: Phase) -> None:
        """Go over to another phase."""
        if phase != self.phase:
            log.info("%s: %s -> %s", self.instance.id, self.phase, phase)
            self.phase = phase
            self.since = time.monotonic()


class Centre:
    """The loop and what it remembers."""

    def __init__(self, home: Path, region: str, hardware: Hardware, balancers: Balancers) -> None:
        self._home = home
        self._region = region
        self._hardware = hardware
        self._balancers = balancers
        self._commands = Commands(home, region, hardware.script)
        self._reader: Reader | None = None
        self._cloud: Cloud | None = None
        self._changes = -1
        self._read_at = 0.0
        self._slots: dict[str, Slot] = {}
        self._pool = ThreadPoolExecutor(max_workers=16, thread_name_prefix="server")
        self._health: dict[str, dict[str, str]] = {}
        self._reported: tuple[float, object] = (0.0, None)
        self._replaced_at: dict[str, float] = {}
        self._replaced: list[str] = []
        self._errors: dict[str, str] = {}

    def run(self, stopping: threading.Event) -> None:
        """Work until told to stop, or until the home is deleted."""
        self._commands.start()
        while not stopping.is_set() and self._hardware.directory.exists():
            began = time.monotonic()
            self._errors = {}
            self.round()
            with self._trouble("status"):
                status.write(self._hardware.directory / "status.json", self.status())
            stopping.wait(max(0.0, ROUND - (time.monotonic() - began)))

    def round(self) -> None:
        """Look once, and do what is to be done next."""
        with self._trouble("emulator"):
            self._look()
        if self._cloud is None or self._reader is None:
            return
        with self._trouble("health"):
            self._health = {arn: dict(found) for arn, found in self._balancers.health().items()}
        self._advance(self._cloud)
        with self._trouble("emulator"):
            self._tell(self._cloud, self._reader)
        self._act(self._cloud)
        with self._trouble("load balancer"):
            self._balancers.apply(reconcile.with_draining(self._cloud, self._actual()))

    def close(self) -> None:
        """Shut every server down, shortly, and end."""
        self._commands.stop()
        self._pool.shutdown(wait=False, cancel_futures=True)
        running = [name for name, slot in self._slots.items() if slot.phase in UP]
        if running:
            with ThreadPoolExecutor(max_workers=len(running)) as pool:
                list(pool.map(self._power_off_at_once, running))
        self._balancers.stop()

    def _power_off_at_once(self, name: str) -> None:
        with self._trouble(name):
            self._hardware.power_off(name, AT_ONCE)

    @contextmanager
    def _trouble(self, what: str) -> Iterator[None]:
        """Keeps an error where it belongs: it is noted, and the rest goes on."""
        try:
            yield
        except CloudError as error:
            self._errors[what] = str(error)
        except Exception as error:
            log.exception("%s failed", what)
            self._errors[what] = f"{type(error).__name__}: {error}"

    # Looking

    def _look(self) -> None:
        endpoint = Endpoint.of(self._home)
        if self._reader is None or self._reader.endpoint != endpoint:
            self._reader = Reader(endpoint, self._region)
            self._changes = -1
            self._reported = (0.0, None)
            self._hardware.endpoint_moved(endpoint.port)
        changes = endpoint.changes()
        now = time.monotonic()
        if changes != self._changes or now - self._read_at > REREAD:
            self._cloud = self._reader.read()
            self._changes, self._read_at = changes, now
            for instance in self._cloud.instances:
                slot = self._slots.get(instance.id)
                if slot is not None:
                    slot.instance = instance
                    slot.targets = reconcile.targets_of(self._cloud, instance.id) or slot.targets

    def _advance(self, cloud: Cloud) -> None:
        """Notice what changed by itself: servers that answer now, that died, that nobody is on any more."""
        now = time.monotonic()
        self._slots = {name: slot for name, slot in self._slots.items() if not slot.gone}
        for name, slot in self._slots.items():
            if slot.busy:
                continue
            if slot.phase in ("booting", "running", "draining") and not self._hardware.alive(name):
                slot.error = "the server ended by itself"
                slot.enter("dead")
                # At once, and before anybody is told: a worker of HAProxy that is replaced meanwhile would
                # go on sending it those who have its cookie.
                for arn in slot.targets:
                    self._balancers.drain(arn, name)
            elif slot.phase == "booting" and all(
                self._health.get(arn, {}).get(name) == "healthy" for arn in slot.targets
            ):
                slot.enter("running")
            elif slot.phase == "draining":
                over = now - slot.since > _delay(cloud, slot)
                slot.drained = over or (now - slot.since > ROUND and self._balancers.sessions(name) == 0)

    def _tell(self, cloud: Cloud, reader: Reader) -> None:
        """Report to the emulator how the servers are, and take the next step of each group."""
        now = time.monotonic()
        online = sorted(
            name
            for name, slot in self._slots.items()
            if slot.phase in ("booting", "running", "draining") and self._hardware.booted(name)
        )
        if (self._health, online) != self._reported[1] or now - self._reported[0] > REPORT:
            reader.endpoint.ask("POST", "health", self._health)
            reader.endpoint.ask("POST", "online", {"region": self._region, "instances": online})
            self._reported = (now, (self._health, online))
        conditions = {
            name: groups.Condition(
                alive=slot.phase in UP, seconds=now - slot.started, answered=slot.phase != "booting"
            )
            for name, slot in self._slots.items()
        }
        decisions = [
            decision
            for decision in groups.decide(cloud, conditions, self._health)
            if self._not_too_soon(decision, now)
        ]
        if decisions:
            for decision in decisions:
                log.info("%s", decision)
            groups.carry_out(decisions, reader.clients["autoscaling"], reader.endpoint.ask, self._region)
            self._look()

    def _not_too_soon(self, decision: groups.Decision, now: float) -> bool:
        """A server that dies again and again is not replaced again and again without a pause."""
        if not isinstance(decision, groups.Replace):
            return True
        if now - self._replaced_at.get(decision.group, -AGAIN) < AGAIN:
            return False
        self._replaced_at[decision.group] = now
        slot = self._slots.get(decision.instance_id)
        why = slot.error if slot is not None and slot.error else decision.why
        self._replaced.append(f"{decision.instance_id} of {decision.group}: {why}")
        del self._replaced[:-KEPT]
        return True

    # Doing

    def _actual(self) -> Actual:
        return Actual(
            servers={
                name: Server(
                    instance=slot.instance,
                    phase=slot.phase,
                    busy=slot.busy,
                    settings=slot.settings,
                    targets=slot.targets,
                    drained=slot.drained,
                )
                for name, slot in self._slots.items()
            },
            networks=self._hardware.networks(),
        )

    def _act(self, cloud: Cloud) -> None:
        with self._trouble("reconcile"):
            for action in reconcile.reconcile(
                cloud, self._actual(), lambda instance: self._hardware.settings(instance, cloud)
            ):
                with self._trouble(str(getattr(action, "instance_id", "network"))):
                    self._do(action, cloud)

    def _do(self, action: reconcile.Action, cloud: Cloud) -> None:
        if isinstance(action, reconcile.CreateNetwork):
            self._hardware.create_network(action.vpc)
        elif isinstance(action, reconcile.RemoveNetwork):
            self._hardware.remove_network(action.vpc_id)
        elif isinstance(action, reconcile.Boot):
            self._boot(action, cloud)
        elif isinstance(action, reconcile.Configure):
            self._hardware.configure(action.instance_id, action.settings)
            self._slots[action.instance_id].settings = action.settings
        elif isinstance(action, reconcile.Drain):
            slot = self._slots[action.instance_id]
            slot.drained = False
            slot.enter("draining")
            for arn in slot.targets:
                self._balancers.drain(arn, action.instance_id)
        elif isinstance(action, reconcile.PowerOff):
            self._slots[action.instance_id].enter("stopping")
            self._start(action.instance_id, "stopped", lambda: self._off(action.instance_id))
        else:
            self._start(action.instance_id, None, lambda: self._hardware.remove(action.instance_id))

    def _off(self, name: str) -> None:
        self._hardware.power_off(name, POWER_OFF)

    def _boot(self, action: reconcile.Boot, cloud: Cloud) -> None:
        name = action.instance.id
        targets = reconcile.targets_of(cloud, name)
        slot = Slot(instance=action.instance, settings=action.settings, targets=targets)
        self._slots[name] = slot

        def boot() -> None:
            slot.image = True
            root = self._hardware.image(action.instance)
            slot.image = False
            slot.started = slot.since = time.monotonic()
            self._hardware.boot(action.instance, root, action.settings, cloud)

        self._start(name, "booting", boot)

    def _start(self, name: str, then: Phase | None, job: Callable[[], None]) -> None:
        """Do something with a server in a thread; `then` is its phase afterwards, None: it is gone."""
        slot = self._slots[name]
        slot.busy = True

        def work() -> None:
            try:
                job()
            except Exception as error:
                log.exception("%s failed", name)
                slot.error = f"{type(error).__name__}: {error}"
                slot.image = False
                slot.enter("dead")
            else:
                slot.gone = then is None
                if then is not None:
                    slot.enter(then)
            finally:
                slot.busy = False

        self._pool.submit(work)

    # Telling people

    def status(self) -> status.Status:
        """What people and other processes are told."""
        cloud = self._cloud or Cloud()
        now = time.monotonic()
        names = {arn: group.name for arn, group in cloud.target_groups.items()}
        return status.Status(
            written=time.time(),
            emulator=self._reader.endpoint.url if self._reader else "",
            servers=tuple(
                status.ServerStatus(
                    id=name,
                    name=slot.instance.tags.get("Name", ""),
                    group=slot.instance.group_name or "",
                    address=slot.instance.private_ip,
                    phase="image" if slot.image else slot.phase,
                    seconds=round(now - slot.since, 1),
                    age=round(now - slot.started, 1),
                    health={
                        names.get(arn, arn): self._health.get(arn, {}).get(name, "initial")
                        for arn in slot.targets
                    },
                    template=slot.instance.launch_template_version or "",
                    error=slot.error,
                    console=self._hardware.console(name),
                    stack=slot.instance.tags.get("Stack", ""),
                )
                for name, slot in sorted(self._slots.items())
            ),
            balancers=self._balancers.status(),
            refreshes=tuple(group.name for group in cloud.groups if group.refresh_id),
            wanted=sum(group.desired for group in cloud.groups),
            groups={group.name: group.desired for group in cloud.groups},
            replaced=tuple(self._replaced),
            errors=tuple(f"{what}: {why}" for what, why in self._errors.items()),
        )


def _delay(cloud: Cloud, slot: Slot) -> float:
    """Seconds that the requests on a server have to come to an end."""
    found = (cloud.target_groups.get(arn) for arn in slot.targets)
    return max((group.deregistration_delay for group in found if group is not None), default=0)
