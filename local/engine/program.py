"""The child process in which the program runs."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import IO

HOST = Path(__file__).with_name("host.py")


@dataclass(frozen=True)
class Run:
    """What the child is told: which program, for which stack, and where the engine answers."""

    monitor: str
    project: str
    stack: str
    organization: str
    root: str
    directory: str
    program: str
    config: dict[str, str]
    secret_keys: list[str]
    preview: bool
    parallel: int


class Program:
    """A child that has started and imports the SDK while it waits to be told what to run."""

    def __init__(self, notes: Path | None = None, environment: Mapping[str, str] | None = None) -> None:
        """Start a child. `notes` is a file in which it keeps what the program imports, to begin with that."""
        # -P keeps this directory, with its modules of common names, off the program's import path.
        self._process = subprocess.Popen(
            [sys.executable, "-P", "-u", str(HOST), *([str(notes)] if notes else [])],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env={**os.environ, **(environment or {})},
            text=True,
            # Ctrl-C goes to the engine alone, which ends the program when what is under way is recorded.
            start_new_session=True,
        )

    def start(self, run: Run) -> None:
        """Let the program run."""
        with suppress(BrokenPipeError):
            print(json.dumps(asdict(run)), file=self._process.stdin, flush=True)

    async def wait(self, line: Callable[[str], None]) -> int:
        """Wait for the end; `line` gets each line that the program prints. Returns the exit status."""
        streams = [self._process.stdout, self._process.stderr]
        await asyncio.gather(*(asyncio.to_thread(_read, stream, line) for stream in streams if stream))
        return await asyncio.to_thread(self._process.wait)

    def end(self) -> None:
        """Make sure that the child is gone."""
        if self._process.poll() is None:
            self._process.send_signal(signal.SIGKILL)
        self._process.wait()
        for stream in (self._process.stdin, self._process.stdout, self._process.stderr):
            if stream is not None:
                with suppress(BrokenPipeError):
                    stream.close()


def _read(stream: IO[str], line: Callable[[str], None]) -> None:
    for text in stream:
        line(text.rstrip("\n"))
