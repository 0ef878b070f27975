"""How checkpoints and restores are shown to a person."""

from __future__ import annotations

from datetime import datetime
from functools import partial
from typing import Any

import typer
from rich.console import Console
from rich.markup import escape

from core.drill_report import duration
from ops.checkpoints.listing import Row
from ops.checkpoints.restore import Plan, Result
from ops.checkpoints.take import Taken
from ops.console import Reporter, print_json, print_table

WIDE = 200
"""Columns where nobody's terminal says how many there are."""
HEADINGS = ["label", "taken (UTC)", "age", "database", "files", "release", "drill", "files until", ""]


def taken(found: Taken) -> None:
    made, console = found.manifest, _console()
    held = [database.files for database in made.databases if database.files is not None]
    files = f"{sum(one.count[1] for one in held):,} files of " if held else "files of "
    console.print(
        f"[green]checkpoint[/] {made.label} of {made.stack}: {made.taken:%Y-%m-%d %H:%M:%S} UTC, release "
        f"{made.release}, {len(made.databases)} databases of {_size(made.database_bytes)}, "
        f"{files}{_size(made.recovery_point.bytes)}"
    )
    console.print(f"took {_seconds(made.seconds)}")
    if made.recovery_point.expires:
        console.print(f"its files are kept until {made.recovery_point.expires:%Y-%m-%d}")
    _warn(console, found.warnings)


def _cells(row: Row, now: datetime) -> list[str]:
    made, drill = row.manifest, row.proven
    problems = "; ".join(row.problems)
    if made is None:
        return [row.label, *[""] * 7, problems]
    proven = "not tried"
    if drill is not None:
        proven = f"{'proven' if drill.ok else 'NOT GOOD'} {drill.finished:%Y-%m-%d}"
    return [
        row.label,
        f"{made.taken:%Y-%m-%d %H:%M}",
        duration((now - made.taken).total_seconds()),
        _size(made.database_bytes),
        _size(made.recovery_point.bytes),
        made.release,
        proven,
        f"{made.recovery_point.expires:%Y-%m-%d}" if made.recovery_point.expires else "for ever",
        problems or made.note,
    ]


def plan(reporter: Reporter, found: Plan) -> None:
    reporter.finish()
    say = partial(reporter.say, markup=True)
    goes_on = f" (goes on with what was begun {found.continues})" if found.continues else ""
    say(
        f"[bold]{escape(found.stack)}[/] returns to [bold]{escape(found.label)}[/], "
        f"{found.taken:%Y-%m-%d %H:%M:%S} UTC{goes_on}:"
    )
    for text in found.replaced:
        say(f"  [yellow]±[/] {escape(text)}")
    if not found.replaced:
        say("  nothing is replaced any more")
    say(f"    {found.others} others change in place or are new; {found.servers} servers end and come back")
    for setting, value in found.settings.items():
        say(f"  [cyan]~[/] openerp:{escape(setting)}: {escape(str(value))}")
    for text in found.stays:
        say(f"  [green]=[/] {escape(text)}")
    kept = (
        f"the present is kept as checkpoint {found.present}" if found.present else "the present is not kept"
    )
    say(f"  [green]=[/] {escape(kept)}")
    for text in found.warnings:
        reporter.warn(text)


def result(found: Result) -> None:
    console = _console()
    console.print(
        f"[green]restored[/] {escape(found.stack)} to {escape(found.label)}, {found.taken:%Y-%m-%d %H:%M:%S} "
        "UTC"
    )
    console.print(f"took {_seconds(found.seconds)}")
    for text in found.stays:
        console.print(escape(text.replace("the present", "the former", 1)))
    if found.present:
        console.print(f"what was there before is checkpoint {escape(found.present)}")
    console.print(f"commit Pulumi.{escape(found.stack)}.yaml, which says where the data come from")
    for text in found.differences:
        console.print(f"[yellow]differs:[/] {escape(text)}")
    _warn(console, found.warnings)


def _console() -> Console:
    return Console(soft_wrap=True, highlight=False)


def _warn(console: Console, warnings: list[str]) -> None:
    for text in warnings:
        console.print(f"[yellow]warning:[/] {escape(text)}")


def _size(count: int) -> str:
    for unit, size in (("TB", 1e12), ("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if count >= size:
            return f"{count / size:,.1f} {unit}"
    return f"{count} B"


def _seconds(parts: dict[str, float]) -> str:
    total = duration(sum(parts.values()))
    return f"{total}: " + ", ".join(f"{part} {duration(seconds)}" for part, seconds in parts.items())


def values(found: dict[str, Any], as_json: bool) -> None:
    if as_json:
        print_json(found)
        return
    for key, value in found.items():
        shown = ", ".join(map(str, value)) if isinstance(value, list | tuple) else value
        typer.echo(f"{key.replace('_', ' '):<14} {'none' if shown in (None, '') else shown}")


def rows(found: list[Row], now: datetime) -> None:
    """Show a list of checkpoints."""
    console = _console()
    if not console.is_terminal:
        console.width = WIDE
    print_table(console, HEADINGS, [_cells(row, now) for row in found])
