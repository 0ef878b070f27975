"""What the folder's `pulumi` understands: the commands of the real CLI that `ops` runs, and no other.

The script there calls `python -m local pulumi` (`local.operations`).
"""

from __future__ import annotations

import importlib.metadata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from local.engine.errors import EngineError

MARK: Final = b"# Stands for the pulumi CLI"
"""How a program on PATH is known to be this one, from whichever checkout."""

BELOW_CLI: Final = "OPENERP_BELOW_CLI"
"""Set for the real CLI: a program that calls the stand-in again would else be taken for it for ever."""

WORDS: Final[Mapping[str, tuple[frozenset[str], frozenset[str]]]] = {
    "version": (frozenset(), frozenset()),
    "stack ls": (frozenset({"--json"}), frozenset()),
    "stack output": (frozenset({"--json"}), frozenset({"--show-secrets", "--stack"})),
    "preview": (frozenset({"--json"}), frozenset({"--stack", "--config-file"})),
    "up": (frozenset({"--yes", "--skip-preview"}), frozenset({"--stack", "--config-file"})),
    "destroy": (frozenset({"--yes", "--skip-preview"}), frozenset({"--stack"})),
}
"""Each command, with the options that it needs and those that it may have."""
VALUES: Final = frozenset({"--stack", "--config-file"})
"""Options with a value. What is run for one stack needs --stack: none is selected here."""
SHORT: Final = {"-s": "--stack", "-y": "--yes", "-f": "--skip-preview", "-j": "--json"}


@dataclass(frozen=True)
class Request:
    """What was asked for."""

    command: str
    stack: str = ""
    config_file: Path | None = None
    """In place of the stack's own settings file."""
    show_secrets: bool = False


def is_stand_in(path: Path) -> bool:
    """Whether a program is this folder's, or that of another checkout."""
    try:
        with path.open("rb") as file:
            return MARK in file.read(400)
    except OSError:
        return False


def parse(arguments: Sequence[str]) -> Request:
    """Understand a command line of the real CLI. Raises EngineError where it is not one of those above."""
    words = [word for word in arguments[:2] if not word.startswith("-")]
    command = next((name for name in (" ".join(words), *words[:1]) if name in WORDS), None)
    if command is None:
        known = ", ".join(f"`{name}`" for name in WORDS)
        raise EngineError(
            f"`pulumi {' '.join(arguments)}`: on this machine `ops` is answered {known} and nothing else; "
            "`python -m local --help` names what people use"
        )
    needed, allowed = WORDS[command]
    given: dict[str, str] = {}
    rest = list(arguments[len(command.split()) :])
    while rest:
        name, equals, value = rest.pop(0).partition("=")
        name = SHORT.get(name, name)
        if name not in needed | allowed or bool(equals) > (name in VALUES):
            raise EngineError(f"`pulumi {command}` takes no {name} on this machine")
        if name in VALUES and not equals:
            if not rest:
                raise EngineError(f"`pulumi {command}`: {name} needs a value")
            value = rest.pop(0)
        given[name] = value
    missing = [name for name in sorted(needed | (allowed & {"--stack"})) if name not in given]
    if missing:
        raise EngineError(f"`pulumi {command}` needs {' '.join(missing)} on this machine")
    path = given.get("--config-file")
    return Request(
        command=command,
        stack=given.get("--stack", ""),
        config_file=Path(path).absolute() if path else None,
        show_secrets="--show-secrets" in given,
    )


def stack_of(arguments: Sequence[str], *, default: str) -> str:
    """The stack that a command line of `ops` names."""
    for place, word in enumerate(arguments):
        if word == "--":
            break
        name, equals, value = word.partition("=")
        if name == "--stack" and equals:
            return value
        if word in ("--stack", "-s") and place + 1 < len(arguments):
            return arguments[place + 1]
        if word.startswith("-s") and not word.startswith("--") and len(word) > 2:
            return word[2:]
    return default


def version() -> str:
    """What `pulumi version` prints: here, of the SDK that the program runs under."""
    return f"v{importlib.metadata.version('pulumi')}"


def listed(stack: str, deployment: Mapping[str, Any]) -> dict[str, Any]:
    """A stack as `pulumi stack ls --json` shows it."""
    row: dict[str, Any] = {"name": stack, "current": False}
    time = str((deployment.get("manifest") or {}).get("time", ""))
    if time:
        row["lastUpdate"] = f"{time[:19]}.000Z"
    return {**row, "updateInProgress": False, "resourceCount": len(deployment.get("resources") or [])}
