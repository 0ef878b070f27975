"""What a person sees of a run: progress while it lasts, then the changes, outputs and errors."""

from __future__ import annotations

import os
import sys
import threading
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import IO, Any, Final, Protocol

from core.property_diff import changes
from local.engine import urn as urns
from local.engine.preview_json import step_to_json
from local.engine.steps import Op, Step
from local.engine.values import mask

SYMBOLS: Final[Mapping[Op, str]] = {
    Op.SAME: " ",
    Op.CREATE: "+",
    Op.UPDATE: "~",
    Op.DELETE: "-",
    Op.REPLACE: "+-",
    Op.CREATE_REPLACEMENT: "++",
    Op.DELETE_REPLACED: "--",
    Op.READ: ">",
    Op.READ_REPLACEMENT: ">>",
    Op.READ_DISCARD: "<",
    Op.DISCARD_REPLACED: "<<",
    Op.REMOVE_PENDING_REPLACE: "~",
}
_DOING: Final[Mapping[Op, str]] = {
    Op.CREATE: "creating",
    Op.UPDATE: "updating",
    Op.DELETE: "deleting",
    Op.CREATE_REPLACEMENT: "creating replacement",
    Op.DELETE_REPLACED: "deleting original",
    Op.READ: "reading",
}
_DONE: Final[Mapping[Op, str]] = {
    Op.CREATE: "created",
    Op.UPDATE: "updated",
    Op.DELETE: "deleted",
    Op.CREATE_REPLACEMENT: "replacement created",
    Op.DELETE_REPLACED: "original deleted",
    Op.READ: "read",
    Op.READ_DISCARD: "forgotten",
}
_COUNTED: Final = (
    ("create", "+", "create", "created"),
    ("update", "~", "update", "updated"),
    ("replace", "+-", "replace", "replaced"),
    ("delete", "-", "delete", "deleted"),
)
_COLOURS: Final = {
    "+": "32",
    "++": "32",
    "~": "33",
    "-": "31",
    "--": "31",
    "+-": "35",
    "error": "1;31",
    "dim": "2",
}
_BOLD: Final = "1"
_LINES_OF_WORK: Final = 6
"""Running operations that are listed by name; more are counted."""


def colours_wanted(stream: IO[str] | None) -> bool:
    """Whether the stream is a terminal that may be coloured (https://no-color.org); None: it is closed."""
    return (
        stream is not None
        and stream.isatty()
        and "NO_COLOR" not in os.environ
        and os.environ.get("TERM") != "dumb"
    )


class Paint:
    """Colours texts, or leaves them as they are."""

    def __init__(self, on: bool) -> None:
        self.on = on

    def __call__(self, text: str, kind: str) -> str:
        code = _COLOURS.get(kind, kind if kind == _BOLD else "")
        return f"\x1b[{code}m{text}\x1b[0m" if self.on and code else text


class Display(Protocol):
    """The events of a run (local.engine.deployment.Events), and the frame around them."""

    def started(self, step: Step) -> None: ...
    def finished(self, step: Step) -> None: ...
    def failed(self, step: Step, message: str) -> None: ...
    def outputs(self, step: Step) -> None: ...
    def log(self, severity: str, message: str, urn: str) -> None: ...
    def close(self) -> None: ...


@dataclass
class Quiet:
    """Keeps messages and shows nothing: for `--json` and `--markdown`."""

    def __post_init__(self) -> None:
        self.messages: list[tuple[str, str, str]] = []

    def started(self, step: Step) -> None:
        """Nothing to show."""

    def finished(self, step: Step) -> None:
        """Nothing to show."""

    def failed(self, step: Step, message: str) -> None:
        """Keep the error."""
        self.messages.append(("error", message, step.urn))

    def outputs(self, step: Step) -> None:
        """Nothing to show."""

    def log(self, severity: str, message: str, urn: str) -> None:
        """Keep the message."""
        self.messages.append((severity, message, urn))

    def close(self) -> None:
        """Nothing to close."""


def label(urn: str) -> str:
    """A resource for people: its type without the module path, and its name."""
    type_ = urns.type_of(urn)
    parts = type_.split(":")
    short = f"{parts[0]}:{parts[-1]}" if len(parts) == 3 else type_
    return f"{short} {urns.name_of(urn)}"


class Lines:
    """A line for each operation when it is done: for logs and pipes."""

    def __init__(self, stream: IO[str], *, preview: bool) -> None:
        self._stream = stream
        self._preview = preview
        self._paint = Paint(colours_wanted(stream))
        self._began: dict[Step, float] = {}
        self._lock = threading.Lock()

    def _write(self, text: str) -> None:
        print(text, file=self._stream, flush=True)

    def started(self, step: Step) -> None:
        """Note the time."""
        self._began[step] = time.monotonic()

    def finished(self, step: Step) -> None:
        """Say what was done."""
        with self._lock:
            took = time.monotonic() - self._began.pop(step, time.monotonic())
            silent = not step.resource.custom or urns.is_provider_type(step.resource.type)
            if self._preview or silent or step.op not in _DONE:
                return
            symbol = SYMBOLS[step.op]
            kept = step.op is Op.DELETE and step.before.retain_on_delete
            done = "retained, only forgotten" if kept else _DONE[step.op]
            self._write(
                f" {self._paint(f'{symbol:2}', symbol)} {label(step.urn)} {done} "
                + self._paint(f"({took:.1f} s)", "dim")
            )

    def failed(self, step: Step, message: str) -> None:
        """Say what failed; why comes at the end."""
        with self._lock:
            self._began.pop(step, None)
            verb = _DOING.get(step.op, step.op.value)
            self._write(f" {self._paint('x', 'error')}  {label(step.urn)} {verb} failed")

    def outputs(self, step: Step) -> None:
        """Nothing to show."""

    def log(self, severity: str, message: str, urn: str) -> None:
        """Show a message."""
        with self._lock:
            about = f"{label(urn)}: " if urn and not urns.is_root_stack(urn) else ""
            head = "" if severity == "info" else f"{severity}: "
            self._write(f"    {head}{about}" + message.replace("\n", "\n    "))

    def close(self) -> None:
        """Nothing to close."""


class Live(Lines):
    """Lines for what is done, and below them, kept up to date, what is running."""

    def __init__(self, stream: IO[str], *, preview: bool, title: str) -> None:
        super().__init__(stream, preview=preview)
        self._title = title
        self._start = time.monotonic()
        self._done = 0
        self._drawn = 0
        self._closed = threading.Event()
        self._thread = threading.Thread(target=self._redraw, daemon=True)
        self._thread.start()

    def _write(self, text: str) -> None:
        self._erase()
        super()._write(text)
        self._draw()

    def _erase(self) -> None:
        if self._drawn:
            self._stream.write(f"\x1b[{self._drawn}F\x1b[J")
            self._drawn = 0

    def _draw(self) -> None:
        if self._closed.is_set():
            return
        columns = max(20, _columns(self._stream))
        seconds = time.monotonic() - self._start
        running = [step for step in self._began if step.op in _DOING]
        head = f"{self._title}  {self._done} done, {len(running)} running, {seconds:.0f} s"
        lines = [self._paint(head[: columns - 1], _BOLD)]
        now = time.monotonic()
        if not self._preview:
            for step in running[:_LINES_OF_WORK]:
                text = f"    {label(step.urn)} {_DOING[step.op]} ({now - self._began[step]:.0f} s)"
                lines.append(self._paint(text[: columns - 1], "dim"))
            if len(running) > _LINES_OF_WORK:
                lines.append(self._paint(f"    and {len(running) - _LINES_OF_WORK} more", "dim"))
        self._stream.write("\n".join(lines) + "\n")
        self._stream.flush()
        self._drawn = len(lines)

    def _redraw(self) -> None:
        while not self._closed.wait(0.15):
            with self._lock:
                self._erase()
                self._draw()

    def finished(self, step: Step) -> None:
        """Count it, and say what was done."""
        self._done += 1
        super().finished(step)

    def close(self) -> None:
        """Take the progress away; what was said stays."""
        self._closed.set()
        self._thread.join()
        with self._lock:
            self._erase()
            self._stream.flush()


def _columns(stream: IO[str]) -> int:
    try:
        return os.get_terminal_size(stream.fileno()).columns or 80
    except (OSError, ValueError):
        return 80


def progress(*, preview: bool, title: str, stream: IO[str] | None = None) -> Lines:
    """The display for the stream (standard output): live on a terminal, lines elsewhere."""
    stream = stream or sys.stdout
    if colours_wanted(stream):
        return Live(stream, preview=preview, title=title)
    return Lines(stream, preview=preview)


# After a run


def counted(counts: Mapping[str, int], *, preview: bool) -> str:
    """The summary of a run: `+ 12 to create, 84 unchanged`."""
    parts = [
        f"{symbol} {counts[op]} {'to ' + future if preview else past}"
        for op, symbol, future, past in _COUNTED
        if counts.get(op)
    ]
    unchanged = counts.get("same", 0)
    if not parts:
        return f"no changes: {unchanged} resources are as described"
    if unchanged:
        parts.append(f"{unchanged} unchanged")
    return ", ".join(parts)


def changed_steps(steps: Iterable[Step]) -> list[Step]:
    """The steps to show, one a resource: a replacement stands for its creation and deletion."""
    return [
        step
        for step in steps
        if step.logical and step.op not in (Op.SAME, Op.READ) and not urns.is_default_provider(step.urn)
    ]


def as_tree(steps: Iterable[Step]) -> list[tuple[int, Step]]:
    """The steps with each below its parent's, where that is listed, and how deep it is below the stack."""
    listed = list(steps)
    known = {step.urn for step in listed if not urns.is_root_stack(step.urn)}
    children: dict[str, list[Step]] = {}
    for step in listed:
        parent = step.resource.parent
        children.setdefault(parent if parent in known else "", []).append(step)
    ordered: list[tuple[int, Step]] = []

    def walk(urn: str, depth: int) -> None:
        for step in children.get(urn, []):
            ordered.append((depth, step))
            walk(step.urn, depth + 1)

    walk("", 0)
    return ordered


def describe(steps: Iterable[Step], *, details: bool, paint: Paint) -> list[str]:
    """Lines that say what each step changes: `old => new` for every property, masked."""
    lines: list[str] = []
    for depth, step in as_tree(changed_steps(steps)):
        indent = "  " * depth
        symbol = SYMBOLS[step.op]
        reasons = f"  [{', '.join(step.replace_keys)} forces replacement]" if step.replace_keys else ""
        notes = (
            "  [retained: only forgotten]" if step.op is Op.DELETE and step.before.retain_on_delete else ""
        )
        lines.append(f" {paint(f'{symbol:2}', symbol)} {indent}{label(step.urn)}{reasons}{notes}")
        if step.op in (Op.UPDATE, Op.REPLACE) or (details and step.op is Op.CREATE):
            lines += [indent + line for line in _properties(step, paint)]
    return lines


def _properties(step: Step, paint: Paint) -> list[str]:
    data = step_to_json(step)
    old: Mapping[str, Any] = data.get("oldState", {}).get("inputs", {})
    new: Mapping[str, Any] = data.get("newState", {}).get("inputs", {})
    secret = {key for state in (step.old, step.new) if state for key in state.additional_secret_outputs}
    lines = []
    seen = set()
    for change in changes(old, new, secret_names=secret):
        seen.add(change.path.split(".")[0].split("[")[0])
        if change.lines:
            lines.append(f"        {change.path}:")
            lines += [f"            {line}" for line in change.lines]
        elif change.old is None:
            lines.append(f"      {paint('+', '+')} {change.path}: {change.new}")
        elif change.new is None:
            lines.append(f"      {paint('-', '-')} {change.path}: {change.old}")
        else:
            lines.append(f"      {paint('~', '~')} {change.path}: {change.old} => {change.new}")
    for path in step.detailed or {}:
        top = path.split(".")[0].split("[")[0]
        if top not in seen:
            seen.add(top)
            lines.append(f"      {paint('~', '~')} {path}: differs from what is deployed, or is secret")
    return lines


def output_lines(outputs: Mapping[str, Any], *, secrets: bool, paint: Paint) -> list[str]:
    """The stack's outputs, one a line; without `secrets`, secret ones are masked."""
    import json

    from local.engine.values import reveal

    shown = reveal(dict(outputs)) if secrets else mask(dict(outputs))
    width = max((len(name) for name in shown), default=0)
    lines = []
    for name in sorted(shown):
        value = shown[name]
        text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)
        if not secrets and len(text) > 160:
            text = text[:157] + "…"
        if not secrets and "\n" in text:
            text = text.splitlines()[0] + " …"
        lines.append(f"    {paint(name.ljust(width), _BOLD)}  {text}")
    return lines


def error_lines(errors: Iterable[tuple[str, str]], *, paint: Paint) -> list[str]:
    """Each error once: about which resource, and what it says."""
    lines = []
    for urn, message in dict.fromkeys(errors):
        about = f"{label(urn)}: " if urn and urns.is_urn(urn) else ""
        lines.append(f"{paint('error', 'error')}: {about}{message}")
    return lines
