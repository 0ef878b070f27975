"""Commands of SSM Run Command, from the request until what the server made of it.

The data centre (`local.nodes.commands`) asks for them and says what became of each; this process cannot enter
a server. Nothing of this is in the journal, which would run commands again: it is about processes of this
moment. After a kill of the emulator a record says which commands there were, without their texts and what
they printed; the data centre says again what became of them. What it does not know was not delivered.
"""

from __future__ import annotations

import json
import threading
import time
import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

KEPT: Final = 200
"""Commands that are remembered."""
LATE: Final = 60.0
"""Seconds beyond its own limit after which a command is given up that nobody has said the end of."""
OPEN: Final = frozenset({"Pending", "InProgress", "Cancelling"})
UNDELIVERABLE: Final = ("Failed", "Undeliverable")
"""Status and its details where the server, or whoever runs it, is gone."""
NOBODY: Final = ("Success", "NoInstancesInTag")
"""How a command stands whose targets were no server at all."""
WORST: Final = ("Failed", "TimedOut", "Cancelled", "Success")


@dataclass
class Invocation:
    """A command on one server. Times in seconds since 1970."""

    instance: str
    status: str = "Pending"
    details: str = "Pending"
    code: int = -1
    started: float | None = None
    ended: float | None = None
    stdout: str = ""
    stderr: str = ""
    otherwise: tuple[str, str] = UNDELIVERABLE
    """How it stands if nobody has it in hand."""

    @property
    def open(self) -> bool:
        """Whether there is something to come."""
        return self.status in OPEN

    def end(self, status: str, details: str) -> None:
        """It is over, without a word from the server."""
        self.status, self.details, self.ended = status, details, self.ended or time.time()


@dataclass(frozen=True)
class Command:
    """One request. Times in seconds."""

    region: str
    document: str
    requested: float
    """Since 1970."""
    delivery: int
    """How long it may wait for a server."""
    execution: int
    """How long it may take there."""
    comment: str = ""
    parameters: Mapping[str, Any] = field(default_factory=dict)
    """As they were given; not in the record."""
    targets: tuple[Mapping[str, Any], ...] = ()
    given: tuple[str, ...] = ()
    """The instances that were named."""
    id: str = field(default_factory=lambda: str(uuid.uuid4()))
    invocations: dict[str, Invocation] = field(default_factory=dict)
    """By instance."""

    def stands(self) -> tuple[str, str]:
        """Status and its details, over all servers."""
        states = {row.status: row.details for row in self.invocations.values()}
        if not states:
            return NOBODY
        if "Cancelling" in states:
            return "Cancelling", "Cancelling"
        if states.keys() & OPEN:
            return ("Pending", "Pending") if states.keys() == {"Pending"} else ("InProgress", "InProgress")
        return next((status, states[status]) for status in WORST if status in states)

    def for_server(self, instance: str) -> dict[str, Any]:
        """What the data centre needs to run it."""
        return {
            "command": self.id,
            "instance": instance,
            "text": "\n".join(self.parameters.get("commands", [])) + "\n",
            "directory": "".join(self.parameters.get("workingDirectory", [])[:1]),
            "seconds": self.execution,
        }


class Commands:
    """All commands of a home. `attached` says whether somebody runs servers."""

    def __init__(self, record: Path, attached: Callable[[], bool]) -> None:
        self._record = record
        self._attached = attached
        self._changed = threading.Condition()
        self._asking: dict[str, object] = {}
        """Who asks for the commands of a region: the last one that did."""
        self._commands = {command.id: command for command in self._read()}

    # For the API

    def send(self, command: Command, instances: Iterable[str]) -> Command:
        """Take a command for these servers."""
        with self._changed:
            command.invocations.update({name: Invocation(name) for name in instances})
            self._commands[command.id] = command
            self._write()
            self._changed.notify_all()
        return command

    def cancel(self, command: Command, instances: Iterable[str]) -> None:
        """End it: at once where no server has it yet."""
        with self._changed:
            for row in command.invocations.values():
                if row.instance in instances and row.status == "Pending":
                    row.end("Cancelled", "Cancelled")
                elif row.instance in instances and row.status == "InProgress":
                    row.status = row.details = "Cancelling"
            self._changed.notify_all()

    def find(self, region: str, identifier: str) -> Command | None:
        """A command of a region, as it stands."""
        return next((command for command in self.all(region) if command.id == identifier), None)

    def all(self, region: str) -> list[Command]:
        """The commands of a region as they stand, the newest first."""
        with self._changed:
            self._settle()
            return [command for command in reversed(self._commands.values()) if command.region == region]

    # For the data centre

    def due(self, region: str, running: Iterable[tuple[str, str]], seconds: float) -> dict[str, Any]:
        """Give the commands that servers are to run, and those they are to end; wait for one if need be.

        `running`: command and instance of all that the data centre has in hand.
        """
        asker = object()
        with self._changed:
            self._asking[region] = asker
            self._compare(region, set(running))
            self._changed.notify_all()

            def found() -> bool:
                return self._asking[region] is not asker or any(
                    row.status in ("Pending", "Cancelling") for _, row in self._open(region)
                )

            self._changed.wait_for(found, seconds)
            if self._asking[region] is not asker:
                # The data centre asks on another connection: this one is not read any more.
                return {"run": [], "end": []}
            run, end = [], []
            for command, row in self._open(region):
                if row.status == "Pending":
                    row.status = row.details = "InProgress"
                    row.started = time.time()
                    run.append(command.for_server(row.instance))
                elif row.status == "Cancelling":
                    end.append({"command": command.id, "instance": row.instance})
        if end and not run:
            # They are told until they have ended, but not all the time.
            time.sleep(0.1)
        return {"run": run, "end": end}

    def ended(self, report: Mapping[str, Any]) -> None:
        """Take the end of a command on a server; more than once does no harm."""
        with self._changed:
            command = self._commands.get(report["command"])
            row = command.invocations.get(report["instance"]) if command else None
            if row is None or not row.open:
                return
            row.status, row.details, row.code = report["status"], report["details"], int(report["code"])
            row.started, row.ended = report["started"], report["ended"]
            row.stdout, row.stderr = report["stdout"], report["stderr"]
            self._write()
            self._changed.notify_all()

    # With the lock held

    def _open(self, region: str | None = None) -> Iterator[tuple[Command, Invocation]]:
        for command in self._commands.values():
            if region in (None, command.region):
                yield from ((command, row) for row in command.invocations.values() if row.open)

    def _compare(self, region: str, running: set[tuple[str, str]]) -> None:
        """The data centre has these in hand; whatever else it was given is lost."""
        for command, row in [*self._open(region)]:
            if row.status != "Pending" and (command.id, row.instance) not in running:
                row.end(*row.otherwise)

    def _settle(self) -> None:
        """End what nobody will say the end of."""
        attached, now = self._attached(), time.time()
        for command, row in [*self._open()]:
            latest = command.requested + command.delivery
            if not attached:
                row.end(*row.otherwise)
            elif row.status == "Pending" and now > latest:
                row.end("TimedOut", "DeliveryTimedOut")
            elif row.status != "Pending" and now > (row.started or latest) + command.execution + LATE:
                row.end("TimedOut", "ExecutionTimedOut")

    def _write(self) -> None:
        """Keep the record: which commands there are, and how they stand."""
        for name in [*self._commands][:-KEPT]:
            if not any(row.open for row in self._commands[name].invocations.values()):
                del self._commands[name]
        rows = [
            {
                "id": command.id,
                "region": command.region,
                "document": command.document,
                "requested": command.requested,
                "delivery": command.delivery,
                "execution": command.execution,
                "comment": command.comment,
                "targets": command.targets,
                "given": command.given,
                "invocations": [
                    {
                        name: getattr(row, name)
                        for name in ("instance", "status", "details", "code", "started", "ended")
                    }
                    for row in command.invocations.values()
                ],
            }
            for command in self._commands.values()
        ]
        fresh = self._record.with_suffix(".new")
        fresh.touch(mode=0o600)
        fresh.write_text(json.dumps(rows))
        fresh.replace(self._record)

    def _read(self) -> Iterator[Command]:
        try:
            rows = json.loads(self._record.read_text())
        except (OSError, ValueError):
            return
        for row in rows:
            row |= {name: tuple(row[name]) for name in ("targets", "given")}
            row["invocations"] = {item["instance"]: _recorded(item) for item in row["invocations"]}
            yield Command(**row)


def _recorded(item: dict[str, Any]) -> Invocation:
    """What the record says of an invocation is not all: who has it in hand tells the rest."""
    row = Invocation(**item)
    if not row.open:
        row.otherwise = (row.status, row.details)
    row.status = row.details = "InProgress"
    return row
