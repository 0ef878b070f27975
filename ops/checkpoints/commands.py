"""The command line of `ops checkpoint`, `ops checkpoints` and `ops restore`."""

from __future__ import annotations

import dataclasses
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated

import typer

from ops.console import DryRun, Json, Yes, command, confirm, print_json, typed_name
from ops.errors import OpsError
from ops.site import Authority, FileSystems, StackName, Through, open_site

if TYPE_CHECKING:
    from ops.checkpoints.restore import Choices, Plan, Result
    from ops.site import Site

KEEP_DAYS = 365


def register(app: typer.Typer) -> None:
    """Add the commands to `app`."""
    app.command()(checkpoint)
    app.command()(checkpoints)
    app.command()(restore)


def checkpoint(
    label: Annotated[str, typer.Argument(help="Its name: lower-case letters, digits, single hyphens.")],
    stack: StackName,
    note: Annotated[str, typer.Option("--note", help="What it is for, in a few words.")] = "",
    keep_days: Annotated[
        int, typer.Option(min=1, max=36500, help="Days that its files are kept; the snapshot stays.")
    ] = KEEP_DAYS,
    quick: Annotated[
        bool, typer.Option("--quick", help="Do not read every stored file to see which are damaged already.")
    ] = False,
    ca: Authority = None,
    through: Through = None,
    file_systems: FileSystems = None,
    dry_run: DryRun = False,
    as_json: Json = False,
) -> None:
    """Keep the present of database and files together, as a point to go back to.

    For example: `python -m ops checkpoint opening-2027 --stack prod --note "before the inventory"`.

    People go on working. The database server first (an RDS snapshot), then the file store (AWS Backup), then
    a manifest of what both held: a checkpoint without one is none. A label is never used twice. Killed at any
    moment: the same command goes on, and makes nothing twice.
    """
    from ops.checkpoints import show, take
    from ops.lock import held

    with command(as_json) as reporter:
        site = open_site(stack, reporter, ca=ca, through=through, file_systems=file_systems)
        if dry_run:
            plan = take.plan(site, label, keep_days=keep_days)
        else:
            take.check_label(label)
            with held(site.store, stack, f"checkpoint {label}"):
                taken = take.take(site, label, note=note, keep_days=keep_days, read_files=not quick)
    if dry_run:
        show.values(dataclasses.asdict(plan), as_json)
    elif as_json:
        print_json({**taken.manifest.model_dump(mode="json"), "warnings": taken.warnings})
    else:
        show.taken(taken)


def checkpoints(
    stack: StackName,
    as_json: Json = False,
) -> None:
    """List the checkpoints of a stack: age, size, release, and whether a drill has proven them.

    For example: `python -m ops checkpoints --stack prod`. What is missing in AWS is said.
    """
    from ops.checkpoints import listing, show

    with command(as_json) as reporter:
        rows = listing.rows(open_site(stack, reporter))
    now = datetime.now(UTC)
    if as_json:
        print_json({"stack": stack, "checkpoints": [row.document(now) for row in rows]})
    elif rows:
        show.rows(rows, now)
    else:
        typer.echo(f"{stack} has no checkpoint yet: python -m ops checkpoint LABEL --stack {stack}")


def restore(
    stack: StackName,
    label: Annotated[str | None, typer.Argument(help="Checkpoint to return to.", show_default=False)] = None,
    at: Annotated[
        str | None,
        typer.Option(
            "--at",
            metavar="TIME",
            help="A moment instead: `2026-11-28T10:12:00` (UTC unless an offset follows), `10 minutes ago`.",
        ),
    ] = None,
    confirmed: Annotated[
        str | None,
        typer.Option("--confirm", metavar="STACK", help="The stack's name once more, for production."),
    ] = None,
    no_checkpoint: Annotated[
        bool, typer.Option("--no-checkpoint", help="Do not keep the present: where it cannot be reached.")
    ] = False,
    accept_differences: Annotated[
        bool,
        typer.Option(
            "--accept-differences", help="Go on though what was restored differs from the manifest."
        ),
    ] = False,
    ca: Authority = None,
    through: Through = None,
    file_systems: FileSystems = None,
    dry_run: DryRun = False,
    yes: Yes = False,
    as_json: Json = False,
) -> None:
    """Return a stack to a checkpoint, or to a moment: database and files together.

    For example: `python -m ops restore opening-2027 --stack prod --dry-run`.

    Shows what a preview says will be replaced, and asks. The files are restored beside the running stack;
    then the servers end, the present is kept as a checkpoint `before-…`, `pulumi up` makes the database
    server anew and goes on with the restored files, everything is compared with the manifest, and the servers
    come back. Killed at any moment: the same command goes on. A failure says what state everything is in.
    """
    from ops.checkpoints import restore as restoring
    from ops.checkpoints import show

    with command(as_json) as reporter:
        if (label is None) == (at is None):
            raise OpsError("to what? name a checkpoint, or a moment with --at")
        site = open_site(stack, reporter, ca=ca, through=through, file_systems=file_systems)

        def agree(plan: Plan) -> None:
            show.plan(reporter, plan)
            _ask(site, plan, yes=yes, confirmed=confirmed)

        choices = restoring.Choices(
            keep_present=not no_checkpoint, accept_differences=accept_differences, agree=agree
        )
        if dry_run:
            done: Plan | Result = _plan(site, label, at, choices)
        else:
            done = _restore(site, label, at, choices)
    if as_json:
        print_json(dataclasses.asdict(done))
    elif isinstance(done, restoring.Plan):
        show.plan(reporter, done)
        typer.echo("nothing was changed")
    else:
        show.result(done)


def _plan(site: Site, label: str | None, at: str | None, choices: Choices) -> Plan:
    """Look at everything that a restore needs, and change nothing."""
    from ops.checkpoints import past as moments
    from ops.checkpoints import restore as restoring

    if at is not None:
        moment = moments.find(site, at)
        site.reporter.say(f"{moment.label}: {moment.pair}")
        label = moment.label
        target = moment.target() if moment.manifest is None else None
    else:
        target = None
    if target is None:
        target = restoring.target_of(restoring.find(site, str(label)))
    site.reporter.step("preview the return to it")
    return restoring.plan(site, target, choices)


def _restore(site: Site, label: str | None, at: str | None, choices: Choices) -> Result:
    from ops.checkpoints import past as moments
    from ops.checkpoints import restore as restoring
    from ops.lock import held

    if label is not None:
        return restoring.restore(site, label, choices)
    moment = moments.find(site, str(at))
    site.reporter.say(f"{moment.label}: {moment.pair}")
    with held(site.store, site.name, f"restore {moment.label}"):
        agreed = None
        if moment.manifest is None:
            site.reporter.step("preview the return to that moment")
            agreed = restoring.plan(site, moment.target(), choices)
            choices.agree(agreed)
            moments.make(site, moment)
        return restoring.restore_held(site, moment.label, choices, agreed=agreed)


def _ask(site: Site, plan: Plan, *, yes: bool, confirmed: str | None) -> None:
    if site.production:
        typed_name(site.name, confirmed, what=f"{site.name} is production.")
    else:
        confirm(f"Return {site.name} to {plan.label}?", yes=yes)
