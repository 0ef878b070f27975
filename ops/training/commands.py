"""The command line of `ops training`."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.markup import escape

from ops.console import DryRun, Json, Reporter, Yes, command, confirm, print_json
from ops.errors import OpsError
from ops.site import Authority, FileSystems, StackName, Through, open_site

if TYPE_CHECKING:
    from ops.training.checking import Found
    from ops.training.plan import Plan
    from ops.training.refresh import Result

training = typer.Typer(
    name="training",
    no_args_is_help=True,
    help="A system to practise on: production's data, neutralised and fenced before anyone reaches it.",
)


def register(app: typer.Typer) -> None:
    """Add the commands to `app`."""
    app.add_typer(training)


@training.command()
def refresh(
    stack: StackName,
    source: Annotated[str, typer.Option("--from", metavar="STACK", help="Whose data: `prod`.")],
    label: Annotated[
        str | None,
        typer.Option(
            "--checkpoint",
            metavar="LABEL|newest",
            help="Checkpoint of that stack; without it the newest that a drill has proven.",
        ),
    ] = None,
    no_servers: Annotated[
        bool,
        typer.Option(
            "--no-servers",
            help="Stop before what Odoo itself must do: the system stays closed. Where no server can run.",
        ),
    ] = False,
    accept_differences: Annotated[
        bool,
        typer.Option("--accept-differences", help="Go on though what was restored is not what was kept."),
    ] = False,
    ca: Authority = None,
    through: Through = None,
    file_systems: FileSystems = None,
    dry_run: DryRun = False,
    yes: Yes = False,
    as_json: Json = False,
) -> None:
    """Make a training system anew from a checkpoint of production. Production itself is only read.

    For example: `python -m ops training refresh --stack training --from prod`.

    The data are restored, updated, neutralised by Odoo and scrubbed while every server refuses them; when
    every rule holds in every database they are given to training, and its servers come back. Users keep their
    passwords, the administrator gets the training stack's own; API keys, second factors and sessions of
    production let nobody in. What was practised so far is in a last snapshot of the old database server.
    Killed or failed anywhere: nobody gets in, and the same command goes on.
    """
    from ops.training import plan as planning
    from ops.training import refresh as refreshing

    with command(as_json) as reporter:
        target = open_site(stack, reporter, ca=ca, through=through, file_systems=file_systems)
        choices = planning.Choices(
            checkpoint=label,
            by_odoo=not no_servers,
            accept_differences=accept_differences,
            agree=lambda plan: _agree(reporter, plan, yes=yes),
        )
        production = open_site(source, reporter)
        if dry_run:
            plan, _ = planning.plan(target, production, choices)
        else:
            result = refreshing.refresh(target, production, choices)
    if dry_run:
        if as_json:
            print_json(dataclasses.asdict(plan))
            return
        for line in _told(plan):
            typer.echo(line)
    elif as_json:
        print_json(dataclasses.asdict(result))
    else:
        _show(result)


def _agree(reporter: Reporter, plan: Plan, *, yes: bool) -> None:
    reporter.finish()
    for line in _told(plan):
        reporter.say(line)
    verb = "Go on with" if plan.continues else "Begin"
    confirm(
        f"{verb} the refresh of {plan.stack}, which loses what people practised in it since its last?",
        yes=yes,
    )


def _told(plan: Plan) -> list[str]:
    lines = [
        f"{plan.stack} gets the data of {plan.source}: checkpoint {plan.label} of "
        f"{plan.taken:%Y-%m-%d %H:%M} UTC, release {plan.release}, databases {', '.join(plan.databases)}"
    ]
    if plan.continues:
        lines.append(f"goes on with the refresh begun at {plan.continues}")
    lines += [f"replaced: {what}" for what in plan.replaced]
    lines += [f"setting: {key}: {value}" for key, value in plan.settings.items()]
    lines.append(f"other resources that change or are new: {plan.others}")
    lines += [f"kept: {what}" for what in plan.stays]
    lines.append(f"servers that end, and come back when all is proven: {plan.servers}")
    if not plan.by_odoo:
        lines.append(
            "no server is made, none comes back: Odoo neutralises nothing, and the system stays closed"
        )
    return [*lines, *(f"warning: {warning}" for warning in plan.warnings)]


def _show(result: Result) -> None:
    taken = f"{result.taken:%Y-%m-%d %H:%M} UTC"
    typer.echo(f"{result.stack} has the data of {result.source}: checkpoint {result.label} of {taken}")
    for judged in result.judged:
        left = f", {len(judged.offences)} wait for Odoo" if judged.offences else ""
        typer.echo(f"{judged.database}: {judged.rules - len(judged.offences)} rules hold{left}")
    for database in result.made_here:
        typer.echo(f"{database}: there was no Odoo in it; the servers make it")
    for database, login in result.administrators.items():
        typer.echo(f"{database}: {login} logs in with the password in the stack's own secret")
    if result.removed:
        typer.echo(f"removed, as it came along and is not of {result.stack}: {', '.join(result.removed)}")
    if result.logins:
        typer.echo(f"logins that came along and let nobody in any more: {', '.join(result.logins)}")
    for warning in result.warnings:
        typer.echo(f"warning: {warning}")
    typer.echo(f"report: {result.report}")
    typer.echo("people can work with it" if result.served else "nobody can work with it")


@training.command()
def check(
    stack: StackName,
    ca: Authority = None,
    through: Through = None,
    as_json: Json = False,
) -> None:
    """Check that a training system is still neutralised in every database, and that its servers reach nobody.

    For example: `python -m ops training check --stack training`. Ends with status 1 when a rule does not
    hold, or cannot be judged. Changes nothing. What people add while they practise, as an API key, is their
    own and not asked for; what acts on its own or reaches out is.
    """
    from ops.training import checking

    with command(as_json) as reporter:
        site = open_site(stack, reporter, ca=ca, through=through)
        found = checking.check(site)
        reporter.finish()
        if as_json:
            print_json(dataclasses.asdict(found))
        else:
            _show_check(found)
        if found.offences:
            console = Console(stderr=True, soft_wrap=True, highlight=False)
            for offence in found.offences:
                console.print(f"[red]✗[/] {escape(offence)}")
            raise OpsError(
                f"{stack} is not neutralised and fenced, see the {len(found.offences)} lines above; "
                "`python -m ops training refresh` makes it anew"
            )


def _show_check(found: Found) -> None:
    for judged in found.judged:
        held = judged.rules - len(judged.offences)
        typer.echo(f"{judged.database}: {held} of the {judged.rules} rules for a system in use hold")
    for name in found.made_here:
        typer.echo(f"{name}: made here, nothing of production is in it")
    for note in found.fences.notes:
        typer.echo(f"note: {note}")
    if not found.offences:
        typer.echo(f"{found.stack} is neutralised, and its servers reach nobody")
