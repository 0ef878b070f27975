"""The command line of `ops drill` and `ops drills`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ops.console import DryRun, Json, Yes, command, confirm, print_json, print_table
from ops.errors import OpsError
from ops.site import Authority, FileSystems, StackName, Through, open_site

if TYPE_CHECKING:
    from core.drill_report import Report
    from ops.drills.plan import Plan
    from ops.site import Site


def register(app: typer.Typer) -> None:
    """Add the commands to `app`."""
    app.command()(drill)
    app.command()(drills)


def drill(
    stack: StackName,
    label: Annotated[
        str | None,
        typer.Argument(metavar="[LABEL]", help="The checkpoint; the newest without.", show_default=False),
    ] = None,
    ca: Authority = None,
    through: Through = None,
    file_systems: FileSystems = None,
    data_only: Annotated[
        bool, typer.Option("--data-only", help="Make no server: compare from here, and start nothing.")
    ] = False,
    keep: Annotated[
        bool, typer.Option("--keep", help="Leave what the drill made, to look at it. It costs.")
    ] = False,
    clean: Annotated[
        bool,
        typer.Option("--clean", help="Drill nothing: remove what earlier drills left behind, kept ones too."),
    ] = False,
    output: Annotated[
        Path | None, typer.Option("--output", metavar="DIR", help="Put the report there, too.")
    ] = None,
    dry_run: DryRun = False,
    yes: Yes = False,
    as_json: Json = False,
) -> None:
    """Prove that a checkpoint can be restored: beside the running system, which notices nothing of it.

    For example: `python -m ops drill --stack prod`.

    Restores the database server and the files of the checkpoint to new ones that nothing reaches but the
    drill's own server; counts rows, reads every attachment's file and compares both with the manifest; starts
    OpenERP on it, with no way out and no scheduled jobs, and logs in as the administrator. Measures how long
    a restore takes and how old its data would be, writes a report, and removes what it made. Ends with status
    1 when the drill is not good. What a killed one leaves, the next one removes.
    """
    from ops.drills import drill as drilling
    from ops.drills import leftovers
    from ops.drills.plan import plan

    report: Report | None = None
    with command(as_json) as reporter:
        site = open_site(stack, reporter, ca=ca, through=through, file_systems=file_systems)
        if clean:
            _clean(site, leftovers.leftovers(site, kept_too=True) if dry_run else None, as_json=as_json)
            return
        work = plan(site, label, data_only=data_only)
        if dry_run:
            reporter.finish()
            _would(work, leftovers.leftovers(site, kept_too=False), as_json=as_json)
            return
        confirm(
            f"Restore {work.manifest.label} beside {stack}? It costs a second database server, file store "
            "and app server for an hour or so.",
            yes=yes,
        )
        report = drilling.drill(site, work, keep=keep)
        if output is not None:
            _put(report, output)
    _print(report, as_json=as_json)
    if not report.ok:
        raise typer.Exit(1)


def _print(report: Report, *, as_json: bool) -> None:
    from core.drill_report import markdown

    if as_json:
        print_json(report.document())
    else:
        typer.echo(markdown(report), nl=False)


def _put(report: Report, directory: Path) -> None:
    import json

    from core.drill_report import key, markdown
    from ops.files import write_atomically

    directory.mkdir(parents=True, exist_ok=True)
    name = Path(key(report.started, report.drill)).name
    text = json.dumps(report.document(), indent=1, ensure_ascii=False) + "\n"
    write_atomically(directory / f"{name}.json", text.encode(), mode=0o644)
    write_atomically(directory / f"{name}.md", markdown(report).encode(), mode=0o644)


def _would(work: Plan, left: dict[str, list[str]], *, as_json: bool) -> None:
    manifest = work.manifest
    found: dict[str, Any] = {
        "checkpoint": manifest.label,
        "taken": manifest.taken.isoformat(timespec="seconds"),
        "snapshot": manifest.snapshot.identifier,
        "recovery_point": manifest.recovery_point.arn,
        "databases": [database.name for database in manifest.databases],
        "application": work.application or "started, and logged in to",
        "removes_first": left,
    }
    if as_json:
        print_json(found)
        return
    for key, value in found.items():
        shown = value
        if isinstance(value, list):
            shown = ", ".join(value)
        elif isinstance(value, dict):
            shown = "; ".join(
                f"drill {drill}: {', '.join(text) or 'its record'}" for drill, text in value.items()
            )
        typer.echo(f"{key.replace('_', ' '):<16} {shown or 'nothing'}")


def _clean(site: Site, would: dict[str, list[str]] | None, *, as_json: bool) -> None:
    from ops.drills import leftovers

    if would is not None:
        rows: list[dict[str, Any]] = [{"drill": drill, "found": found} for drill, found in would.items()]
    else:
        removals = leftovers.clean(site, kept_too=True)
        site.reporter.finish()
        rows = [{"drill": row.drill, "found": row.found, "left": row.left} for row in removals]
    if as_json:
        print_json({"drills": rows})
    else:
        word = "removed" if would is None else "would remove"
        for row in rows:
            typer.echo(f"drill {row['drill']}: {word} {', '.join(row['found']) or 'its record'}")
        if not rows:
            typer.echo(f"no drill of {site.name} left anything behind")
    stuck = [text for row in rows for text in row.get("left", [])]
    if stuck:
        raise OpsError(f"not removed: {'; '.join(stuck)}")


def drills(
    stack: StackName,
    max_age: Annotated[
        float | None,
        typer.Option(
            "--max-age", metavar="DAYS", min=0, help="End with status 1 when the last good one is older."
        ),
    ] = None,
    report_age: Annotated[
        bool, typer.Option("--report-age", help="Put the age where the alarm looks for it; once a day.")
    ] = False,
    as_json: Json = False,
) -> None:
    """List the drills of a stack, and say how old the last good one is.

    For example: `python -m ops drills --stack prod --max-age 35`. A stack that was never drilled is as old as
    its backup plan.
    """
    from core.drill_report import duration, last_good
    from ops.drills import past

    with command(as_json) as reporter:
        site = open_site(stack, reporter)
        found = past.drills(site)
        days = past.age(site, found)
        if report_age:
            past.tell(site, days)
    good = last_good(found)
    too_old = max_age is not None and days > max_age
    if as_json:
        rows = [
            {
                "drill": one.drill,
                "checkpoint": one.checkpoint,
                "ok": one.ok,
                "data": one.data,
                "application": one.application,
                "started": one.started.isoformat(timespec="seconds"),
                "finished": one.finished.isoformat(timespec="seconds"),
                "rto_seconds": one.rto,
                "rpo_seconds": one.rpo,
                "error": one.error,
            }
            for one in found
        ]
        print_json({"days_since_good": round(days, 3), "too_old": too_old, "drills": rows})
    else:
        from rich.console import Console

        if found:
            print_table(
                Console(),
                ["when (UTC)", "checkpoint", "result", "application", "RTO", "RPO"],
                [
                    [
                        f"{one.started:%Y-%m-%d %H:%M}",
                        one.checkpoint,
                        "good" if one.ok else "NOT GOOD",
                        one.application,
                        duration(one.rto),
                        duration(one.rpo),
                    ]
                    for one in found
                ],
            )
        since = "the last good drill ended" if good else "no good drill yet; the backup plan was made"
        typer.echo(f"{since} {duration(days * 86400)} ago{': too old' if too_old else ''}")
    if too_old:
        raise typer.Exit(1)
