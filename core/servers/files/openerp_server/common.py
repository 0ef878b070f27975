"""What every step needs: the server's settings, patience, and a way to say what is wrong."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    Server = dict[str, Any]
    Result = TypeVar("Result")

CONFIG_DIR = Path("/etc/openerp")
RUN_DIR = Path("/run/openerp")
FOREVER = float("inf")


class StepError(Exception):
    """A step cannot be done; the text says why, for the person who reads the console."""


def read_server(path: Path | None = None) -> Server:
    """Return the settings of this server, as cloud-init wrote them."""
    try:
        server: Server = json.loads((path or CONFIG_DIR / "server.json").read_text())
    except (OSError, ValueError) as error:
        raise StepError(f"the settings of this server cannot be read: {error}") from error
    return server


def tell(sentence: str) -> None:
    """Say `sentence` to standard error, which the units lead to the journal and to the console."""
    print(f"openerp: {sentence}", file=sys.stderr, flush=True)


def keep_trying(
    what: str,
    action: Callable[[], Result],
    *,
    seconds: float,
    pause: float = 5,
    sleep: Callable[[float], None] = time.sleep,
    now: Callable[[], float] = time.monotonic,
) -> Result:
    """Return what `action` returns; after an error try again, for `seconds` at most.

    The first error is told at once, so that the console shows what a waiting server waits for. Raises
    `StepError` with the last error. A `StepError` of `action` itself is final.
    """
    end = now() + seconds
    told = False
    while True:
        try:
            return action()
        except StepError:
            raise
        except Exception as error:
            reason = " ".join(f"{type(error).__name__}: {error}".split())
            if not told:
                until = "it works" if seconds == FOREVER else f"{seconds / 60:.0f} minutes are over"
                tell(f"{what}: not yet ({reason}); trying until {until}")
                told = True
            if now() + pause > end:
                raise StepError(f"{what}: {reason}") from error
        sleep(pause)


def run(command: Sequence[str], *, text: str | None = None, **options: Any) -> str:
    """Run `command`, with `text` on its standard input, and return what it printed.

    Raises `StepError` with the end of its error output when it fails; never with `text`.
    """
    try:
        done = subprocess.run(
            command,
            input=text,
            stdin=subprocess.DEVNULL if text is None else None,
            capture_output=True,
            text=True,
            check=False,
            **options,
        )
    except OSError as error:
        raise StepError(f"{command[0]}: {error}") from error
    if done.returncode != 0:
        last = " | ".join((done.stderr or done.stdout).strip().splitlines()[-5:])
        raise StepError(f"{command[0]} ended with status {done.returncode}: {last}")
    return str(done.stdout)


def write(path: Path, text: str, *, owner: int | None = None) -> bool:
    """Write `text` all at once, for `owner`'s eyes alone where one is given; return whether it changed."""
    with contextlib.suppress(OSError):
        if path.read_text() == text:
            return False
    beside = path.with_name(f".{path.name}.new")
    beside.unlink(missing_ok=True)
    handle = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o644 if owner is None else 0o600)
    with os.fdopen(handle, "w") as file:
        if owner is not None:
            os.fchown(handle, owner, owner)
        file.write(text)
    beside.replace(path)
    return True
