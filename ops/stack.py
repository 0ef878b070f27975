"""One stack as the commands see it: its outputs, its settings file, and what Pulumi does with both.

Everything goes through the `pulumi` on PATH, in the project's directory: what a command changes is a change
of `Pulumi.<stack>.yaml`, which a person finds in the next diff, and an ordinary `pulumi up`.
"""

from __future__ import annotations

import contextlib
import json
import re
import signal
import subprocess
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

from core.names import PROJECT
from ops.console import Reporter
from ops.errors import OpsError
from ops.files import write_atomically
from ops.stack_outputs import of_stack

Changes = Mapping[str, Any]
"""Dotted path below the namespace (`database.restoreFrom`) -> new value; None takes the setting out."""

NAME: Final = re.compile(r"[A-Za-z0-9_.-]{1,100}")
SAID: Final = 12
"""So many of the last lines of a failed `pulumi` are shown."""


class Stack:
    """A stack of the project in `directory`."""

    def __init__(self, name: str, *, directory: Path | None = None, outputs_file: str | None = None) -> None:
        """`outputs_file`: JSON of `pulumi stack output --json --show-secrets`, in place of asking Pulumi."""
        if not NAME.fullmatch(name) or not name.strip("."):
            raise OpsError(f"--stack: {name!r} is no name of a stack: letters, digits, hyphens, dots")
        self.name = name
        self.directory = directory or _project(Path.cwd())
        self._file = outputs_file
        self._outputs: Mapping[str, Any] | None = None

    # Outputs

    def outputs(self) -> Mapping[str, Any]:
        """Return the outputs, secrets in plain; asked once."""
        if self._outputs is None:
            self._outputs = of_stack(self.name, self._file)
        return self._outputs

    def refresh(self) -> None:
        """Ask for the outputs anew when they are needed next."""
        self._outputs = None

    def output(self, name: str) -> Any:
        """Return one output. Raises OpsError where the stack has none of that name, or it is null."""
        value = self.outputs().get(name)
        if value is None:
            raise OpsError(
                f"the stack {self.name} has no output {name}: run `pulumi up --stack {self.name}` with this "
                "version first"
            )
        return value

    # Settings

    @property
    def settings_file(self) -> Path:
        """`Pulumi.<stack>.yaml`."""
        return self.directory / f"Pulumi.{self.name}.yaml"

    def settings(self) -> dict[str, Any]:
        """Return the settings as they stand in the file, by key without namespace."""
        import yaml

        try:
            document = yaml.safe_load(self.settings_file.read_text(encoding="utf-8")) or {}
        except OSError as error:
            raise OpsError(f"{self.settings_file} cannot be read: {error.strerror}") from error
        except yaml.YAMLError as error:
            said = " ".join(str(error).split())
            raise OpsError(f"{self.settings_file} is no YAML: {said}") from error
        config = document.get("config") if isinstance(document, Mapping) else None
        if not isinstance(config, Mapping):
            raise OpsError(f"{self.settings_file} has no `config`")
        start = f"{PROJECT}:"
        return {key.removeprefix(start): value for key, value in config.items() if key.startswith(start)}

    def setting(self, path: str) -> Any:
        """Return the setting at a dotted path as it stands in the file; None where it is not set."""
        value: Any = self.settings()
        for part in path.split("."):
            value = value.get(part) if isinstance(value, Mapping) else None
        return value

    def changed(self, changes: Changes) -> bytes:
        """Return the text of the settings file with `changes`; comments and order stay."""
        from io import StringIO

        from ruamel.yaml import YAML
        from ruamel.yaml.error import YAMLError

        yaml = YAML()
        yaml.preserve_quotes = True
        yaml.width = 10_000
        yaml.indent(mapping=2, sequence=4, offset=2)
        try:
            document = yaml.load(self.settings_file.read_text(encoding="utf-8"))
            config = document["config"]
        except (OSError, YAMLError, KeyError, TypeError) as error:
            raise OpsError(f"{self.settings_file} cannot be changed: {error}") from error
        for path, value in changes.items():
            _put(config, path, value)
        text = StringIO()
        yaml.dump(document, text)
        return text.getvalue().encode()

    def write_settings(self, changes: Changes) -> None:
        """Write `changes` into the settings file, all or nothing."""
        content = self.changed(changes)
        mode = self.settings_file.stat().st_mode & 0o777
        write_atomically(self.settings_file, content, mode=mode)

    # Pulumi

    def preview(self, changes: Changes | None = None) -> Mapping[str, Any]:
        """Return `pulumi preview --json` of the settings with `changes`; the file itself is not touched.

        Raises OpsError with what Pulumi says where the preview fails.
        """
        with self._with(changes or {}) as arguments:
            done = self._pulumi("preview", "--json", *arguments)
        try:
            found: Mapping[str, Any] = json.loads(done.stdout)
        except ValueError:
            raise OpsError(f"pulumi preview of {self.name} failed: {_said(done)}") from None
        errors = [
            str(item.get("message", "")).strip()
            for item in found.get("diagnostics") or []
            if item.get("severity") == "error"
        ]
        if done.returncode != 0 or errors:
            raise OpsError(f"pulumi preview of {self.name} failed: {' '.join(errors) or _said(done)}")
        return found

    def apply(self, changes: Changes, reporter: Reporter) -> None:
        """Write `changes` into the settings file and run `pulumi up`; then the outputs are asked anew."""
        if changes:
            self.write_settings(changes)
        reporter.note("pulumi up")
        done = self._pulumi("up", "--yes", "--skip-preview")
        self.refresh()
        if done.returncode != 0:
            raise OpsError(f"pulumi up of {self.name} failed: {_said(done)}")

    @contextlib.contextmanager
    def _with(self, changes: Changes) -> Iterator[list[str]]:
        if not changes:
            yield []
            return
        with tempfile.TemporaryDirectory(prefix="openerp-settings-") as directory:
            path = Path(directory) / self.settings_file.name
            path.touch(mode=0o600)
            path.write_bytes(self.changed(changes))
            yield ["--config-file", str(path)]

    def _pulumi(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run `pulumi`. When this command is stopped, Pulumi is asked to end, and waited for.

        Cut off, it would not know what it was making.
        """
        command = ["pulumi", *arguments, "--stack", self.name]
        pipe = subprocess.PIPE
        try:
            # In a group of its own, so that Ctrl-C reaches it once: a second one ends it at once.
            process = subprocess.Popen(
                command,
                cwd=self.directory,
                stdin=subprocess.DEVNULL,
                stdout=pipe,
                stderr=pipe,
                text=True,
                start_new_session=True,
            )
        except FileNotFoundError:
            raise OpsError(
                "there is no `pulumi` on PATH: install it, or on one machine run this as "
                "`python -m local ops …`"
            ) from None
        stopped: KeyboardInterrupt | None = None
        with process:
            while True:
                try:
                    out, err = process.communicate()
                    break
                except KeyboardInterrupt as stop:
                    stopped = stop
                    process.send_signal(signal.SIGINT)
        if stopped is not None:
            raise stopped
        return subprocess.CompletedProcess(command, process.returncode, out, err)


def _project(directory: Path) -> Path:
    for candidate in (directory, *directory.parents):
        if (candidate / "Pulumi.yaml").is_file():
            return candidate
    raise OpsError(f"{directory} is not in the project: there is no Pulumi.yaml here or above")


def _put(config: Any, path: str, value: Any) -> None:
    first, *rest = path.split(".")
    key = f"{PROJECT}:{first}"
    if not rest:
        if value is None:
            config.pop(key, None)
        else:
            config[key] = value
        return
    if config.get(key) is None:
        if value is None:
            return
        config[key] = {}
    place = config[key]
    for part in rest[:-1]:
        if place.get(part) is None:
            place[part] = {}
        place = place[part]
    if value is None:
        place.pop(rest[-1], None)
    else:
        place[rest[-1]] = value


def _said(done: subprocess.CompletedProcess[str]) -> str:
    """Return the last lines of what a failed command said."""
    lines = [line.strip() for line in (done.stderr or done.stdout).splitlines() if line.strip()]
    telling = [line for line in lines if "error" in line.lower()]
    return " / ".join((telling or lines)[-SAID:]) or f"exit status {done.returncode}"
