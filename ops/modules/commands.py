"""The command line of `ops modules`."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console

from ops.console import DryRun, Json, Yes, command, confirm, print_json, print_table, print_unfinished
from ops.site import Authority, FileSystems, StackName, Through, open_site

if TYPE_CHECKING:
    from ops.modules.listing import Row
    from ops.modules.load import Plan as LoadPlan
    from ops.modules.load import Result as Loaded
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


@modules.command()
def load(
    name: Annotated[str, typer.Argument(help="The data module.")],
    stack: StackName,
    source: Annotated[
        str | None,
        typer.Option(
            "--from",
            metavar="STACK",
            help="Development stack whose newest proof is taken into the settings; without it they name it.",
        ),
    ] = None,
    version: Annotated[str | None, typer.Option("--version", help="That version of it.")] = None,
    while_people_work: Annotated[
        bool,
        typer.Option(
            "--while-people-work",
            help="Do not close the databases: a return would lose what people do after the checkpoint.",
        ),
    ] = False,
    give_up: Annotated[bool, typer.Option("--give-up", help="Take back a load that was cut short.")] = False,
    ca: Authority = None,
    through: Through = None,
    file_systems: FileSystems = None,
    dry_run: DryRun = False,
    yes: Yes = False,
    as_json: Json = False,
) -> None:
    """Load a proven data module into the working database; a failure returns to the checkpoint from before.

    For example: `python -m ops modules load colours --from dev --stack prod --dry-run`.

    The servers get the module, one after the other, while people work. Then the databases are closed (503
    with Retry-After), a checkpoint `before-…` is taken, the module is imported, its state, version and
    records are compared with what was proven, and the databases are opened. A new version is loaded the same
    way. Killed at any moment: the same command goes on.
    """
    from ops.modules import load as loading

    with command(as_json) as reporter:
        site = open_site(stack, reporter, ca=ca, through=through, file_systems=file_systems)
        planned = None
        if give_up:
            question = f"Take back {loading.given_up(site, name)}?"
        else:
            planned = loading.plan(site, name, source=source, version=version)
            question = _question(planned, stack, while_people_work=while_people_work)
        if not dry_run:
            if planned is None or not planned.loaded:
                confirm(question, yes=yes)
            result = loading.load(
                site,
                name,
                source=source,
                version=version,
                while_people_work=while_people_work,
                give_up=give_up,
                agreed=planned,
            )
    if not dry_run:
        _show_loaded(result, stack, as_json)
    elif planned is None:
        print_unfinished(question, as_json)
    else:
        _show_load(planned, as_json)


def _question(plan: LoadPlan, stack: str, *, while_people_work: bool) -> str:
    if plan.continues:
        return f"Go on with the load of {plan.name} {plan.version} begun {plan.continues}?"
    said = f"Load {plan.name} {plan.version} into {plan.database} of {stack}"
    if plan.updated_from:
        said += f", an update of {plan.updated_from}"
    if plan.installs:
        said += f", and install {', '.join(plan.installs)}, on which it depends"
    if while_people_work:
        return f"{said}, while people work?"
    took = f" ({plan.seconds:.0f} s the last time)" if plan.seconds is not None else ""
    return f"{said}? The databases are closed from the checkpoint on{took}."


def _show_load(plan: LoadPlan, as_json: bool) -> None:
    if as_json:
        print_json(dataclasses.asdict(plan))
        return
    if plan.loaded:
        typer.echo(f"{plan.name} {plan.version} is loaded already")
        return
    typer.echo(
        _question(plan, "this stack", while_people_work=False)
        .replace("?", "")
        .replace("Load", "would load", 1)
    )
    typer.echo(f"sha256 {plan.sha256}, proven by {plan.source or 'nobody'}")
    for model, count in sorted((plan.created or {}).items()):
        typer.echo(f"  {count:>6,} {model}")
    for path in plan.changes:
        typer.echo(f"setting: {path}")


def _show_loaded(result: Loaded, stack: str, as_json: bool) -> None:
    if as_json:
        print_json(dataclasses.asdict(result))
        return
    if result.already:
        typer.echo(f"{result.name} {result.version} is loaded already, with the records that were proven")
        return
    typer.echo(f"loaded: {result.name} {result.version} into {result.database} of {stack}")
    for model, count in sorted(result.created.items()):
        typer.echo(f"  {count:>6,} {model}")
    if result.closed_seconds is not None:
        typer.echo(f"the databases were closed for {result.closed_seconds:.0f} s")
    typer.echo(f"the checkpoint from before: {result.label}")
    typer.echo(f"commit Pulumi.{stack}.yaml where it changed")


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
