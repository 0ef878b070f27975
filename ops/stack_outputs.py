"""The outputs of a stack: from a file, from standard input, or from Pulumi itself."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

from ops.errors import OpsError


class OutputsError(OpsError):
    """The outputs cannot be had; the message says why and what to do."""


def read_json(source: str, what: str) -> Mapping[str, object]:
    """Return the JSON object in the file `source`, or on standard input for `-`.

    `what` names it in the message of an OutputsError.
    """
    try:
        text = sys.stdin.read() if source == "-" else Path(source).read_text(encoding="utf-8")
    except OSError as error:
        raise OutputsError(f"{source} cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise OutputsError(f"{source} is not a text file: {what} was expected") from error
    try:
        value = json.loads(text)
    except ValueError as error:
        where = "standard input" if source == "-" else source
        empty = " (it is empty)" if not text.strip() else ""
        raise OutputsError(f"{where} holds no JSON{empty}: {what} was expected") from error
    if not isinstance(value, Mapping):
        raise OutputsError(f"{source} holds no JSON object: {what} was expected")
    return value


def read_preview(source: str, errors: str | None) -> Mapping[str, object]:
    """Return the JSON of `pulumi preview --json` in `source`.

    A preview that stops early prints none; what it wrote to the file `errors` is then its one diagnostic.
    """
    try:
        return read_json(source, "the output of `pulumi preview --json`")
    except OutputsError:
        try:
            said = Path(errors).read_text(encoding="utf-8", errors="replace") if errors else ""
        except OSError as error:
            raise OutputsError(f"{errors} cannot be read: {error.strerror}") from error
        if not said.strip():
            raise
        return {"diagnostics": [{"severity": "error", "message": said}]}


def of_stack(stack: str, source: str | None) -> Mapping[str, object]:
    """Return the outputs of `stack`, secrets in plain: from `source`, or else from `pulumi` on PATH."""
    if source is not None:
        return read_json(source, "the output of `pulumi stack output --json --show-secrets`")
    if shutil.which("pulumi") is None:
        raise OutputsError(
            "there is no `pulumi` on PATH to ask: give the outputs with --outputs <file>, or pipe them in: "
            f"make --silent output STACK={stack} ARGS='--json --show-secrets' | "
            f"python -m ops clients --stack {stack} --outputs -"
        )
    asked = subprocess.run(
        ["pulumi", "stack", "output", "--json", "--show-secrets", "--stack", stack],
        capture_output=True,
        text=True,
        check=False,
    )
    if asked.returncode != 0:
        said = (asked.stderr or asked.stdout).strip() or f"exit status {asked.returncode}"
        raise OutputsError(f"pulumi does not give the outputs of the stack {stack}: {said}")
    try:
        value = json.loads(asked.stdout)
    except ValueError as error:
        raise OutputsError(f"pulumi's answer for the stack {stack} is no JSON") from error
    if not isinstance(value, Mapping) or not value:
        raise OutputsError(f"the stack {stack} has no outputs yet: run `pulumi up --stack {stack}` first")
    return value
