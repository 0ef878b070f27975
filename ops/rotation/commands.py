"""The command line of `ops rotate`."""

from __future__ import annotations

import dataclasses
from typing import Annotated

import typer

from ops.console import DryRun, Json, Yes, command, confirm, print_json
from ops.errors import OpsError
from ops.site import Authority, StackName, Through, open_site


def register(app: typer.Typer) -> None:
    """Add the command to `app`."""
    app.command()(rotate)


def rotate(
    stack: StackName,
    kinds: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[application|reporting|administrator|master]...",
            help="Whose passwords; all of them without.",
            show_default=False,
        ),
    ] = None,
    ca: Authority = None,
    through: Through = None,
    dry_run: DryRun = False,
    yes: Yes = False,
    as_json: Json = False,
) -> None:
    """Change passwords while people work: those of the databases' logins, and of OpenERP's administrator.

    For example: `python -m ops rotate --stack prod`, or `python -m ops rotate administrator --stack prod`.

    New passwords are made by the program (a higher `passwordVersions` in the settings, to be committed) and
    kept in Secrets Manager; nobody sees them here. Servers fetch theirs at once, connections go on, and a
    login in the second between is tried again. OpenERP's administrator gets the password of the new secret.
    Killed in the middle: the same command goes on.
    """
    from ops.rotation import rotate as rotating

    with command(as_json) as reporter:
        unknown = sorted(set(kinds or ()) - set(rotating.KINDS))
        if unknown:
            raise OpsError(f"{unknown[0]!r} has no password here: name {', '.join(rotating.KINDS)}")
        chosen = tuple(kind for kind in rotating.KINDS if not kinds or kind in kinds)
        site = open_site(stack, reporter, ca=ca, through=through)
        work = rotating.plan(site, chosen)
        if not dry_run:
            confirm(f"Change the passwords of {', '.join(work.kinds)} of {stack}?", yes=yes)
            result = rotating.rotate(site, chosen)
    if dry_run:
        if as_json:
            print_json(dataclasses.asdict(work))
            return
        typer.echo(f"would change the passwords of {', '.join(work.kinds)}")
        for kind, version in work.versions.items():
            typer.echo(f"passwordVersions.{kind}: {version}")
        return
    if as_json:
        print_json(dataclasses.asdict(result))
        return
    typer.echo(f"rotated: {', '.join(result.kinds)}")
    if result.servers:
        typer.echo(f"servers that have theirs: {', '.join(result.servers)}")
    if result.administrators:
        typer.echo(f"administrator's new password in: {', '.join(result.administrators)}")
    for warning in result.warnings:
        typer.echo(f"warning: {warning}")
