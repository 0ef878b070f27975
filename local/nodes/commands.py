"""Run Command's side of the servers: fetches commands from the emulator, runs each, says what became of it.

The emulator (`local.emulator.commands`) keeps the books. What ended is remembered here for a while and said
again to an emulator that was started anew, which has forgotten what commands printed.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any, Final

from local.nodes.cloud import CloudError, Endpoint
from local.nodes.shell import Ended, Script, undeliverable

log = logging.getLogger("nodes")

WAIT: Final = 10.0
"""Seconds that the emulator may take to answer when there is no command."""
AGAIN: Final = 0.2
"""Seconds after which an emulator that gave no answer is asked again."""
KEPT: Final = 50
"""Ends of commands that are remembered."""

Run = Callable[[str, Script, threading.Event], Ended]
"""Runs a script in an instance's server, until it ends or the event says that it is to end."""
Key = tuple[str, str]
"""Command and instance."""


class Commands:
    """The commands that servers of a home run."""

    def __init__(self, home: Path, region: str, run: Run) -> None:
        self._home = home
        self._region = region
        self._run = run
        self._stopping = threading.Event()
        self._lock = threading.Lock()
        self._in_hand: dict[Key, threading.Event] = {}
        """Until the emulator knows the end; set: it is to end."""
        self._ended: dict[Key, dict[str, Any]] = {}
        self._endpoint: Endpoint | None = None
        self._thread = threading.Thread(target=self._work, name="commands", daemon=True)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def stop(self) -> None:
        """End every command, and ask for no more; the emulator notices that nobody is there."""
        self._stopping.set()
        with self._lock:
            for event in self._in_hand.values():
                event.set()

    def _work(self) -> None:
        while not self._stopping.is_set():
            try:
                self._look()
            except CloudError:
                self._stopping.wait(AGAIN)
            except Exception:
                log.exception("commands failed")
                self._stopping.wait(AGAIN)

    def _look(self) -> None:
        endpoint = Endpoint.of(self._home)
        if endpoint != self._endpoint:
            # A new run of the emulator: what ended before is news to it.
            with self._lock:
                known = [*self._ended.values()]
            for report in known:
                endpoint.ask("POST", "commands/ended", report)
            self._endpoint = endpoint
        with self._lock:
            running = [{"command": command, "instance": instance} for command, instance in self._in_hand]
        due = endpoint.ask(
            "POST", "commands/due", {"region": self._region, "running": running, "seconds": WAIT}
        )
        for row in due["end"]:
            with self._lock:
                event = self._in_hand.get((row["command"], row["instance"]))
            if event is not None:
                event.set()
        for row in due["run"]:
            self._begin((row["command"], row["instance"]), row)

    def _begin(self, key: Key, row: dict[str, Any]) -> None:
        script = Script(text=row["text"], seconds=row["seconds"], directory=row["directory"])
        cancelled = threading.Event()
        with self._lock:
            if key in self._in_hand or key in self._ended:
                return
            self._in_hand[key] = cancelled
        log.info("%s: command %s begins", key[1], key[0])
        threading.Thread(
            target=self._carry_out, args=(key, script, cancelled), name=f"command {key[0]}", daemon=True
        ).start()

    def _carry_out(self, key: Key, script: Script, cancelled: threading.Event) -> None:
        try:
            ended = self._run(key[1], script, cancelled)
        except Exception:
            log.exception("command %s failed", key[0])
            ended = undeliverable()
        log.info("%s: command %s ended: %s %d", key[1], key[0], ended.details, ended.code)
        report = {"command": key[0], "instance": key[1], **asdict(ended)}
        with self._lock:
            self._ended[key] = report
            for old in [*self._ended][:-KEPT]:
                del self._ended[old]
        while not self._stopping.is_set():
            try:
                Endpoint.of(self._home).ask("POST", "commands/ended", report)
                break
            except CloudError:
                self._stopping.wait(AGAIN)
        with self._lock:
            del self._in_hand[key]
