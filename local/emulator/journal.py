"""The history of a home's emulator: one line a request that changed something, replayed at the next start.

moto keeps its state in memory. A request is written down before its answer is sent, so what a client was told
survives a kill.
"""

from __future__ import annotations

import json
from base64 import b64decode, b64encode
from collections.abc import Iterator
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

READING = (
    "describe", "get", "list", "head", "lookup", "search", "batchget", "filter", "query", "scan", "test",
    "simulate", "validate", "check", "preview", "estimate", "generate", "decrypt", "encrypt", "verify",
)  # fmt: skip
"""How the name of an operation begins that changes nothing worth keeping."""


MOMENTARY = frozenset({"AmazonSSM.SendCommand", "AmazonSSM.CancelCommand"})
"""Operations on processes of this moment: a replay would run a command on a server for a second time."""


@dataclass(frozen=True)
class Entry:
    """One request in the form in which a WSGI server hands it over."""

    number: int
    time: float
    """Seconds since 1970 when it was answered."""
    environ: dict[str, Any]
    body: bytes


def operation(environ: dict[str, Any], body: bytes) -> str:
    """The name of the AWS operation, or the HTTP method where only moto's router knows the name."""
    target = environ.get("HTTP_X_AMZ_TARGET")
    if target:
        return str(target).rpartition(".")[2]
    if str(environ.get("CONTENT_TYPE", "")).startswith("application/x-www-form-urlencoded"):
        names = parse_qs(body.decode("utf-8", "replace")).get("Action")
        if names:
            return names[0]
    return str(environ["REQUEST_METHOD"])


def changes_something(environ: dict[str, Any], body: bytes) -> bool:
    """Whether the request must be replayed to restore the state after it. In doubt, yes."""
    name = operation(environ, body)
    return name not in {"GET", "HEAD", "OPTIONS"} and not name.lower().startswith(READING)


def momentary(environ: dict[str, Any]) -> bool:
    """Whether the request is never to be replayed, although it does something."""
    return environ.get("HTTP_X_AMZ_TARGET") in MOMENTARY


def _portable(environ: dict[str, Any]) -> dict[str, Any]:
    kept: dict[str, Any] = {
        key: value
        for key, value in environ.items()
        if isinstance(value, str) and not key.startswith(("wsgi.", "werkzeug."))
    }
    for key in environ:
        if isinstance(environ[key], dict) and not key.startswith(("wsgi.", "werkzeug.")):
            kept[key] = environ[key]
    return kept


class Journal:
    """The file, append only."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._file: Any = None

    def entries(self) -> Iterator[Entry]:
        """What was recorded. A last line cut short by a kill is a request that nobody got an answer to."""
        if not self.path.exists():
            return
        with self.path.open() as lines:
            for line in lines:
                if not line.endswith("\n"):
                    return
                row = json.loads(line)
                yield Entry(row["n"], row["t"], row["environ"], b64decode(row["body"]))

    def _open(self) -> Any:
        if self._file is None:
            self.path.touch(mode=0o600)
            data = self.path.read_bytes() if self.path.stat().st_size else b""
            if data and not data.endswith(b"\n"):
                with self.path.open("r+b") as file:
                    file.truncate(data.rfind(b"\n") + 1)
            self._file = self.path.open("a")
        return self._file

    def append(self, entry: Entry) -> None:
        """Writes ``entry`` through to the operating system: a kill of this process does not lose it."""
        row = {
            "n": entry.number,
            "t": entry.time,
            "environ": _portable(entry.environ),
            "body": b64encode(entry.body).decode(),
        }
        file = self._open()
        file.write(json.dumps(row, separators=(",", ":")) + "\n")
        file.flush()


def replayable(entry: Entry) -> dict[str, Any]:
    """A WSGI environment that makes an application handle ``entry`` again."""
    return {
        **entry.environ,
        "wsgi.version": (1, 0),
        "wsgi.url_scheme": "http",
        "wsgi.input": BytesIO(entry.body),
        "wsgi.errors": BytesIO(),
        "wsgi.multithread": True,
        "wsgi.multiprocess": False,
        "wsgi.run_once": False,
        "CONTENT_LENGTH": str(len(entry.body)),
    }
