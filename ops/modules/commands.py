"""The command line of `ops modules`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console

from ops.console import DryRun, Json, command, print_json, print_table
from ops.site import Authority, StackName, Through, open_site

if TYPE_CHECKING:
    from ops.modules.listing import Row
    from ops.modules.verify import Plan, Result

modules = typer.Typer(
    name="modules",
    no_args_is_help=True,
    help="Data modules: proven on development, then loaded where they are wanted.",
)


def register(app: typer.Typer) -> None:
    """Add the commands to `app`."""
    app.add_typer(modules)


@modules.command()
def verify(
    module: Annotated[
        str, typer.Argument(metavar="PATH|NAME", help="Its folder, or its name in `data_modules/`.")
    ],
    stack: StackName,
    up: Annotated[
        bool, typer.Option("--up", help="Let `pulumi up` export the ledger at once, for the other stacks.")
    ] = False,
    ca: Authority = None,
    through: Through = None,
    dry_run: DryRun = False,
    as_json: Json = False,
) -> None:
    """Prove a data module on development: import it, and again to see that nothing changes.

    For example: `python -m ops modules verify colours --stack dev --up`.

    It goes into a scratch copy of the working database, with the files, on one app server, and reaches nobody
    from there. People go on working: while the copy is made, their new connections wait for seconds. What the
    module made is counted; a second import that changes anything is refused. What is proven is written into
    `provenModules` of the settings, by name, version, hash and release; commit that. Nothing else is left,
    not even of a trial that failed or was killed.
    """
    from ops.modules import verify as verifying

    with command(as_json) as reporter:
        site = open_site(stack, reporter, ca=ca, through=through)
        if dry_run:
            planned = verifying.plan(site, module)
        else:
            result = verifying.verify(site, module, up=up)
    if dry_run:
        _show_plan(planned, as_json)
    else:
        _show_result(result, stack, as_json)


def _show_plan(plan: Plan, as_json: bool) -> None:
    module = plan.module
    if as_json:
        print_json(
            {
                "name": module.name,
                "version": module.version,
                "sha256": module.sha256,
                "release": plan.release,
                "database": plan.database,
                "updated_from": plan.updated_from,
                "proven": plan.proven,
            }
        )
        return
    typer.echo(f"would try {module.name} {module.version} in a copy of {plan.database}")
    typer.echo(f"sha256 {module.sha256}")
    if plan.updated_from:
        typer.echo(f"as an update of {plan.updated_from}, which is installed there")
    if plan.proven:
        typer.echo(f"it is in the ledger already, for {plan.release}")


def _show_result(result: Result, stack: str, as_json: bool) -> None:
    found = result.evidence
    if as_json:
        print_json(
            {
                **found.entry(),
                "result": found.result,
                "updated_from": found.updated_from,
                "import_seconds": [one.seconds for one in found.imports],
                "copy_seconds": found.copy_seconds,
                "evidence": result.key,
                "exported": result.exported,
            }
        )
        return
    typer.echo(f"proven: {found.name} {found.version} on {found.release}, imported twice, nothing changed")
    typer.echo(f"sha256 {found.files_sha256}")
    for model, count in sorted(found.created.items()):
        typer.echo(f"  {count:>6,} {model}")
    first, second = found.imports
    typer.echo(
        f"imports took {first.seconds:.0f} s and {second.seconds:.0f} s; new connections to the working "
        f"database waited for {found.copy_seconds:.1f} s at most"
    )
    typer.echo(f"evidence: {result.key}")
    if not result.exported:
        typer.echo(f"in provenModules of Pulumi.{stack}.yaml; `pulumi up --stack {stack}` exports it")


@modules.command(name="list")
def list_modules(
    stack: StackName, ca: Authority = None, through: Through = None, as_json: Json = False
) -> None:
    """List the data modules of a stack: what is proven, on the servers, and installed.

    For example: `python -m ops modules list --stack prod`.
    """
    from ops.modules import listing

    with command(as_json) as reporter:
        rows = listing.rows(open_site(stack, reporter, ca=ca, through=through))
    if as_json:
        print_json({"stack": stack, "modules": [row.document() for row in rows]})
    elif rows:
        _show_rows(rows)
    else:
        typer.echo(f"{stack} has no data modules")


def _show_rows(rows: list[Row]) -> None:
    columns = ["module", "version", "sha256", "proven", "on the servers", "installed", "records"]
    table = [
        [
            row.name,
            row.version,
            row.sha256[:12],
            row.proven or "no",
            "yes" if row.on_servers else "no",
            row.installed or "no",
            "" if row.records is None else f"{row.records:,}",
        ]
        for row in rows
    ]
    print_table(Console(soft_wrap=True, highlight=False), columns, table)
