"""The child process in which the program runs."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Mapping
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

    def __init__(self, environment: Mapping[str, str] | None = None) -> None:
        # -P keeps this directory, with its modules of common names, off the program's import path.
        self._process = subprocess.Popen(
            [sys.executable, "-P", "-u", str(HOST)],
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
        stdin = self._process.stdin
        assert stdin is not None
        try:
            stdin.write(json.dumps(asdict(run)) + "\n")
            stdin.flush()
        except BrokenPipeError:
            pass

    async def wait(self, line: Callable[[str], None]) -> int:
        """Wait for the end; `line` gets each line that the program prints. Returns the exit status."""
        assert self._process.stdout is not None and self._process.stderr is not None
        await asyncio.gather(
            asyncio.to_thread(_read, self._process.stdout, line),
            asyncio.to_thread(_read, self._process.stderr, line),
        )
        return await asyncio.to_thread(self._process.wait)

    def end(self) -> None:
        """Make sure that the child is gone."""
        if self._process.poll() is None:
            self._process.send_signal(signal.SIGKILL)
        self._process.wait()
        for stream in (self._process.stdin, self._process.stdout, self._process.stderr):
            if stream is not None:
                try:
                    stream.close()
                except BrokenPipeError:
                    pass


def _read(stream: IO[str], line: Callable[[str], None]) -> None:
    for text in stream:
        line(text.rstrip("\n"))
