"""The command line of `ops release`."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Annotated

import typer

from ops.console import DryRun, Json, Yes, command, confirm, print_json, print_unfinished
from ops.site import Authority, FileSystems, StackName, Through, open_site

if TYPE_CHECKING:
    from core.release_plan import Plan
    from ops.releases.update import Result

release = typer.Typer(
    name="release",
    no_args_is_help=True,
    help="Releases of OpenERP: what a new one means, and updates that go back by themselves when they fail.",
)
Sha256 = Annotated[
    str | None, typer.Option("--sha256", metavar="HEX", help="SHA-256 of the nightly package.")
]
Image = Annotated[
    str | None,
    typer.Option("--image", metavar="AMI", help="Image of the servers: `ami-…`, `resolve:ssm:/…`."),
]


def register(app: typer.Typer) -> None:
    """Add the commands to `app`."""
    app.add_typer(release)


@release.command()
def plan(
    target: Annotated[
        str, typer.Argument(help="`19.0`, `20.0`, a day (`20261101`), `19.0.20261101`, or an image.")
    ],
    stack: StackName,
    sha256: Sha256 = None,
    image: Image = None,
    as_json: Json = False,
) -> None:
    """Say what a release means for a stack: update or upgrade, what is needed, the steps, the downtime.

    For example: `python -m ops release plan 20.0 --stack prod`. Changes nothing.
    """
    from ops.releases import planning

    with command(as_json) as reporter:
        wanted = planning.target(target, sha256=sha256, image=image)
        found = planning.plan(open_site(stack, reporter), wanted)
    _show_plan(found, as_json)


def _show_plan(found: Plan, as_json: bool) -> None:
    if as_json:
        print_json(dataclasses.asdict(found))
        return
    typer.echo(f"{found.kind}: {found.says}")
    typer.echo(f"support: {found.support}")
    for path, value in found.settings.items():
        typer.echo(f"setting: {path}: {value}")
    for need in found.needs:
        typer.echo(f"needed: {need.what} {'(there)' if need.met else '(missing)'}")
    for number, step in enumerate(found.steps, 1):
        waits = " [people wait]" if step.closed else ""
        typer.echo(f"{number}. {step.what}{waits}")
        if step.command:
            typer.echo(f"     {step.command}")
    typer.echo(f"expected downtime: {found.downtime}")
    for warning in found.warnings:
        typer.echo(f"warning: {warning}")


@release.command()
def update(
    stack: StackName,
    to: Annotated[
        str | None, typer.Option("--release", metavar="A.B", help="Another release of the same series A.")
    ] = None,
    day: Annotated[
        str | None, typer.Option("--date", metavar="YYYYMMDD", help="Day of the nightly package.")
    ] = None,
    sha256: Sha256 = None,
    image: Image = None,
    modules: Annotated[
        str, typer.Option("--modules", metavar="A,B", help="Modules to update, instead of all of them.")
    ] = "all",
    without_test: Annotated[
        bool, typer.Option("--without-test", help="Leave the test database as it is.")
    ] = False,
    give_up: Annotated[
        bool, typer.Option("--give-up", help="Take back an update that was cut short.")
    ] = False,
    ca: Authority = None,
    through: Through = None,
    file_systems: FileSystems = None,
    dry_run: DryRun = False,
    yes: Yes = False,
    as_json: Json = False,
) -> None:
    """Update code and modules of a stack; a failure returns code, database and files to what they were.

    For example: `python -m ops release update --date 20261101 --sha256 … --stack prod --dry-run`.

    The servers get the new code one after the other, while people work. Then the databases are closed (503
    with Retry-After), a checkpoint is taken, every module of every database is updated, versions are
    compared, the administrator logs in, and the databases are opened. Where that fails, the stack returns to
    the checkpoint by itself, and nobody has worked since: nothing is lost. Killed at any moment: the same
    command goes on. A step in A is an upgrade, which Odoo's upgrade service does: see `ops release plan`.
    """
    from ops.releases import planning
    from ops.releases import update as updating

    with command(as_json) as reporter:
        site = open_site(stack, reporter, ca=ca, through=through, file_systems=file_systems)
        text = ".".join(part for part in (to, day) if part) or None
        wanted = planning.target(text, sha256=sha256, image=image)
        chosen = tuple(part.strip() for part in modules.split(",") if part.strip())
        found = None
        if give_up:
            question = f"Take back {updating.given_up(site)}?"
        elif begun := updating.unfinished(site):
            question = begun
        else:
            found = updating.planned(site, wanted, chosen)
            question = f"{found.says} {stack} will be closed for {found.downtime}. Go on?"
        if not dry_run:
            confirm(question, yes=yes)
            result = updating.update(
                site, wanted, modules=chosen, give_up=give_up, test_too=not without_test, agreed=found
            )
    if not dry_run:
        _show_result(result, stack, as_json)
    elif found is None:
        print_unfinished(question, as_json)
    else:
        _show_plan(found, as_json)


def _show_result(result: Result, stack: str, as_json: bool) -> None:
    if as_json:
        print_json(dataclasses.asdict(result))
        return
    typer.echo(f"done: {result.what} of {stack}")
    for database, count in result.databases.items():
        typer.echo(f"  {database}: {count} modules")
    if result.closed_seconds is not None:
        typer.echo(f"the databases were closed for {result.closed_seconds:.0f} s")
    typer.echo(f"the checkpoint from before: {result.label}")
    for warning in result.warnings:
        typer.echo(f"warning: {warning}")
    typer.echo(f"commit Pulumi.{stack}.yaml where it changed")
