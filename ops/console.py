"""How a command speaks: steps while it works, one sentence when it cannot, JSON for machines."""

from __future__ import annotations

import contextlib
import json
import signal
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from types import FrameType
from typing import Annotated, Any, Final

import typer
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, SpinnerColumn, TaskID, TextColumn, TimeElapsedColumn
from rich.progress import Progress as Bars

from ops.errors import OpsError

STOPPED: Final = 130
"""Exit status of a command that Ctrl-C or SIGTERM ended, as a shell gives it."""

Json = Annotated[bool, typer.Option("--json", help="The result as JSON; progress to standard error.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Look and say what would be done; change nothing.")]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask whether to go on.")]


class Reporter:
    """Says what is being done, one step after the other. Silent by itself; tests listen to it."""

    def step(self, sentence: str) -> None:
        """A step begins; the one before it is done."""

    def note(self, text: str) -> None:
        """How far the present step is, in a few words that replace the ones before."""

    def progress(self, done: int, total: int) -> None:
        """How much of the present step is done."""

    def say(self, text: str, *, markup: bool = False) -> None:
        """Something that stays on the screen; `markup`: rich's is in it."""

    def warn(self, text: str) -> None:
        """Something that a person should know, and that stops nothing."""

    def finish(self) -> None:
        """The last step is done."""


class Shown(Reporter):
    """On a terminal a line with a spinner for each step; elsewhere a plain line when a step begins."""

    def __init__(self, console: Console) -> None:
        self.console = console
        self._live = console.is_terminal
        self._bars = Bars(
            SpinnerColumn(finished_text="[green]✓[/]"),
            TextColumn("{task.description}"),
            BarColumn(bar_width=20),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TextColumn("[dim]{task.fields[note]}[/]"),
            console=console,
        )
        self._plain = Bars(
            SpinnerColumn(finished_text="[green]✓[/]"),
            TextColumn("{task.description}"),
            TimeElapsedColumn(),
            TextColumn("[dim]{task.fields[note]}[/]"),
            console=console,
        )
        self._shown: Bars | None = None
        self._task: TaskID | None = None
        self._began = time.monotonic()
        self._lock = threading.RLock()

    def _end(self) -> None:
        """Leave the line of the present step on the screen, with its time."""
        if self._shown is not None and self._task is not None:
            self._shown.update(self._task, note="", total=1, completed=1)
            self._shown.stop()
            self._shown.remove_task(self._task)
        self._shown, self._task = None, None

    def step(self, sentence: str) -> None:
        with self._lock:
            self._end()
            if not self._live:
                self.console.print(escape(sentence))
                return
            self._shown = self._plain
            self._task = self._plain.add_task(escape(sentence), total=None, note="")
            self._plain.start()

    def note(self, text: str) -> None:
        with self._lock:
            if self._shown is not None and self._task is not None:
                self._shown.update(self._task, note=escape(text))

    def progress(self, done: int, total: int) -> None:
        self.note(f"{done:,} of {total:,}")

    def say(self, text: str, *, markup: bool = False) -> None:
        self._print(text if markup else escape(text))

    def warn(self, text: str) -> None:
        self._print(f"[yellow]warning:[/] {escape(text)}")

    def _print(self, markup: str) -> None:
        with self._lock:
            (self._shown.console if self._shown else self.console).print(markup)

    def finish(self) -> None:
        with self._lock:
            self._end()

    def abandon(self) -> None:
        """The present step ended badly: its line stays, without a tick."""
        with self._lock:
            if self._shown is not None and self._task is not None:
                self._shown.update(self._task, visible=True, note="not done")
                self._shown.stop()
            self._shown, self._task = None, None


@contextlib.contextmanager
def command(as_json: bool = False) -> Iterator[Reporter]:
    """Run a command's work: every error that a person can cause ends it with one sentence and status 1.

    Ctrl-C and SIGTERM end it with status 130. With `as_json` what is said goes to standard error.
    """

    def stop(_number: int, _frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    reporter = Shown(Console(stderr=as_json, soft_wrap=True, highlight=False))
    errors = Console(stderr=True, soft_wrap=True, highlight=False)
    in_main = threading.current_thread() is threading.main_thread()
    before = signal.signal(signal.SIGTERM, stop) if in_main else None
    try:
        yield reporter
        reporter.finish()
    except OpsError as error:
        reporter.abandon()
        errors.print(f"[bold red]error:[/] {escape(' '.join(str(error).split()))}")
        raise typer.Exit(1) from None
    except OSError as error:
        reporter.abandon()
        where, said = str(error.filename or "file"), error.strerror or str(error)
        errors.print(f"[bold red]error:[/] {escape(f'{where}: {said}')}")
        raise typer.Exit(1) from None
    except KeyboardInterrupt:
        reporter.abandon()
        errors.print("[bold red]stopped[/]: the same command again goes on where this one was")
        raise typer.Exit(STOPPED) from None
    finally:
        if before is not None:
            signal.signal(signal.SIGTERM, before)


def confirm(question: str, *, yes: bool) -> None:
    """Ask before something is changed. Raises OpsError where the answer is no, or nobody can be asked."""
    if yes:
        return
    if not sys.stdin.isatty():
        raise OpsError(f"{question} Nobody can be asked here: say --yes")
    if not typer.confirm(question, err=True):
        raise OpsError("nothing was changed, as you said")


def typed_name(stack: str, given: str | None, *, what: str) -> None:
    """Have the stack's name typed before something that loses the present state of production.

    `given`: from the command line (`--confirm NAME`). Raises OpsError where it is another.
    """
    if given is None and sys.stdin.isatty():
        given = typer.prompt(f"{what} Type the stack's name to go on", err=True)
    if given is None:
        raise OpsError(f"{what} Nobody can be asked here: type the stack's name as --confirm {stack}")
    if given.strip() != stack:
        raise OpsError(f"{given.strip()!r} is not {stack!r}: nothing was changed")


def print_unfinished(begun: str, as_json: bool) -> None:
    """Print what a dry run found unfinished: what the same command goes on with, or takes back."""
    if as_json:
        print_json({"unfinished": begun})
    else:
        typer.echo(begun)


def print_json(content: Mapping[str, Any]) -> None:
    """Print a command's result for machines."""
    typer.echo(json.dumps(content, indent=2, ensure_ascii=False, default=str))


def print_table(console: Console, columns: list[str], rows: list[list[str]]) -> None:
    """Print rows below their headings; what is on a terminal is cut to its width, nothing elsewhere."""
    from rich.table import Table

    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in columns:
        table.add_column(column, overflow="fold")
    for row in rows:
        table.add_row(*(escape(cell) for cell in row))
    console.print(table)
