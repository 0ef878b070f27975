"""A command of SSM Run Command within a server, as Amazon's agent runs it (aws:runShellScript).

A script of root's, in a process group of its own, without input. What it wrote is kept in memory alone and
cut as there; the end of the group is SIGKILL. It has ended when nobody holds its output open any more: a
script that leaves something running has to redirect that.
"""

from __future__ import annotations

import contextlib
import os
import selectors
import signal
import subprocess
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Literal

DIRECTORY: Final = "/usr/bin"
"""Where scripts begin that name no directory: the agent's own."""
STDOUT, STDERR = 24_000, 8_000
"""Characters that are kept (API reference, GetCommandInvocation)."""
KILLED: Final = 137
"""Exit status of what took too long, or was cancelled."""
LOOK: Final = 0.1
"""Seconds between two looks at whether it is to end."""
WIDEST: Final = 4
"""Bytes of a character in UTF-8, at most."""
START: Final = """\
cd -- "$1" || exit 1
unset OLDPWD
read -r first < "$2"
case "$first" in '#!'*) exec "$2";; *) exec /bin/sh "$2";; esac
"""


@dataclass(frozen=True, kw_only=True)
class Script:
    """What is to be run."""

    text: str
    seconds: float
    """How long it may take."""
    directory: str = ""


@dataclass(frozen=True, kw_only=True)
class Ended:
    """What became of it. Times in seconds since 1970."""

    status: Literal["Success", "Failed", "TimedOut", "Cancelled"]
    details: str
    code: int
    started: float
    ended: float
    stdout: str = ""
    stderr: str = ""


def undeliverable(started: float | None = None) -> Ended:
    """The server does not run, or ended under the command."""
    now = time.time()
    return Ended(status="Failed", details="Undeliverable", code=-1, started=started or now, ended=now)


def run(
    enter: Sequence[str], script: Script, environment: dict[str, str], cancelled: threading.Event
) -> Ended:
    """Run a script below `enter`, a command that enters the server, until it ends or is to end."""
    started = time.time()
    (out, stdout), (err, stderr), file = os.pipe(), os.pipe(), _in_memory(script.text)
    try:
        try:
            process = subprocess.Popen(
                [
                    *enter,
                    "/bin/sh",
                    "-c",
                    START,
                    "sh",
                    script.directory or DIRECTORY,
                    f"/proc/self/fd/{file}",
                ],
                stdin=subprocess.DEVNULL,
                stdout=stdout,
                stderr=stderr,
                pass_fds=(file,),
                env=environment,
                process_group=0,
            )
        finally:
            for descriptor in (stdout, stderr, file):
                os.close(descriptor)
        printed = {out: _Kept(STDOUT), err: _Kept(STDERR)}
        why = _follow(printed, time.monotonic() + script.seconds, cancelled)
        if why is not None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
        code = process.wait()
    finally:
        os.close(out)
        os.close(err)
    said = printed[err].text()
    if why is None and code:
        how = f"exit status {code}" if code > 0 else f"signal: {signal.strsignal(-code)}".lower()
        said = said + ("\n" if said and not said.endswith("\n") else "") + f"failed to run commands: {how}"
    status: Literal["Success", "Failed"] = "Failed" if code else "Success"
    return Ended(
        status=why or status,
        details="ExecutionTimedOut" if why == "TimedOut" else why or status,
        code=KILLED if why else max(code, -1),
        started=started,
        ended=time.time(),
        stdout=printed[out].text(),
        stderr=said[:STDERR],
    )


def _in_memory(text: str) -> int:
    """A descriptor of a file that no disk has, open for reading alone: else it could not be executed."""
    writing = os.memfd_create("script")
    try:
        with open(writing, "wb", closefd=False) as file:
            file.write(text.encode())
        return os.open(f"/proc/self/fd/{writing}", os.O_RDONLY)
    finally:
        os.close(writing)


class _Kept:
    """The beginning of what a script wrote."""

    def __init__(self, characters: int) -> None:
        self._characters = characters
        self._bytes = bytearray()

    def take(self, block: bytes) -> None:
        """Keep of it what there is room for."""
        self._bytes += block[: max(0, self._characters * WIDEST - len(self._bytes))]

    def text(self) -> str:
        """As many characters as are kept."""
        return self._bytes.decode("utf-8", "replace")[: self._characters]


def _follow(
    printed: Mapping[int, _Kept], deadline: float, cancelled: threading.Event
) -> Literal["TimedOut", "Cancelled"] | None:
    """Read until the end of all streams; why that is not waited for, else None."""
    with selectors.DefaultSelector() as selector:
        for stream in printed:
            selector.register(stream, selectors.EVENT_READ)
        while selector.get_map():
            if cancelled.is_set():
                return "Cancelled"
            if time.monotonic() > deadline:
                return "TimedOut"
            for key, _ in selector.select(LOOK):
                block = os.read(key.fd, 65536)
                if not block:
                    selector.unregister(key.fd)
                printed[key.fd].take(block)
    return None
