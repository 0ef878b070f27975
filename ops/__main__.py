"""`python -m ops`: the commands of whoever runs a deployment."""

from __future__ import annotations

import dataclasses
import json
import re
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.markup import escape

from core import outputs as names
from core.client_configuration import ClientConfigurationError
from core.preview_report import render
from ops.checkpoints import commands as checkpoints
from ops.databases import commands as databases
from ops.drills import commands as drills
from ops.modules import commands as modules
from ops.releases import commands as releases
from ops.rotation import commands as rotation
from ops.stack_outputs import OutputsError, of_stack, read_preview
from ops.training import commands as training

app = typer.Typer(
    name="ops",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="markdown",
    help="""Day-2 commands of an OpenERP deployment.

In the order in which an operator meets them:

1. `bootstrap`: once an AWS account, before the first `pulumi up`.

2. `preview-report`: what a pull request would change, as its reviewers read it.

3. `clients`: after `pulumi up`, what people and programs need to connect.

4. `service-sheet`: what the deployment offers, for the customer.

5. `checkpoint`, `checkpoints`: a point of database and files together to go back to, and which there are.

6. `restore`: back to one of them, or to a moment.

7. `drill`, `drills`: proof that a checkpoint can be restored, and how old it is.

8. `training`: production's data to practise on, neutralised and fenced.

9. `dump`, `load`: one database with its files, out of a server and into another.

10. `rotate`: new passwords, while people work.

Commands read the outputs of a stack. They ask `pulumi` on PATH for them, or take them with
`--outputs FILE` (`-` for standard input) as `pulumi stack output --json --show-secrets` prints them.
""",
)

Stack = Annotated[
    str, typer.Option("--stack", "-s", help="Stack: `dev`, `training`, `prod`, `local`, or one of your own.")
]
OutputsFile = Annotated[
    str | None,
    typer.Option(
        "--outputs",
        metavar="FILE|-",
        help="JSON of `pulumi stack output --json --show-secrets`; without it `pulumi` is asked.",
    ),
]


@contextmanager
def _one_clear_message() -> Iterator[None]:
    """End with one sentence and exit status 1 on every error that a user can cause."""
    # boto3 is slow to import (0.3 s): only bootstrap needs it, and its error with it.
    try:
        yield
    except (OutputsError, ClientConfigurationError, ValueError) as error:
        _fail(str(error))
    except OSError as error:
        _fail(f"{error.filename or 'file'}: {error.strerror or error}")


def _fail(message: str) -> None:
    Console(stderr=True, soft_wrap=True).print(f"[bold red]error:[/] {escape(message)}")
    raise typer.Exit(1)


def _stack_name(stack: str) -> str:
    """Check that a stack's name can be the name of a directory too."""
    if not re.fullmatch(r"[A-Za-z0-9_.-]{1,100}", stack) or stack.strip(".") == "":
        _fail(f"--stack: {stack!r} is no name of a stack: letters, digits, hyphens, underscores, dots")
    return stack


@app.command()
def bootstrap(
    region: Annotated[
        str, typer.Option(help="Region of the state bucket and of the stacks, e.g. `eu-west-1`.")
    ],
    github: Annotated[
        str | None,
        typer.Option("--github", metavar="OWNER/NAME", help="Repository whose workflows preview and deploy."),
    ] = None,
    environment: Annotated[
        list[str] | None,
        typer.Option(help="Stack and GitHub environment; repeat it. Without it: dev, training, prod."),
    ] = None,
    also_region: Annotated[
        list[str] | None,
        typer.Option(help="Further region the deploy role may use: that of `backup.copyRegion`."),
    ] = None,
    bucket: Annotated[
        str | None, typer.Option(help="Name of the bucket; else `openerp-state-ACCOUNT-REGION`.")
    ] = None,
    old_version_days: Annotated[int, typer.Option(help="Days that old versions of the state are kept.")] = 90,
    bound_workloads: Annotated[
        bool, typer.Option(help="Let the deploy role create only roles that carry a permissions boundary.")
    ] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Look, make nothing, say what would be made.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="The result as JSON; progress to stderr.")] = False,
) -> None:
    """Make what an empty AWS account needs: state bucket, key, and GitHub's roles.

    It looks before it makes: run it again at any time, nothing changes that is right already. Try it with
    `--dry-run` first. Needs the credentials of an administrator, this once; deployments use the roles.
    """
    from ops.bootstrap import Action, BootstrapError, Request, explained
    from ops.bootstrap import bootstrap as run

    console = Console(stderr=as_json, soft_wrap=True, highlight=False)
    colours = {"unchanged": "dim", "created": "green", "changed": "yellow"}

    def progress(action: Action) -> None:
        colour = colours.get(action.state, "cyan")
        console.print(
            f"  [{colour}]{action.state:<16}[/] {escape(action.what)} [dim]{escape(action.name)}[/]"
        )

    request = Request(
        region=region,
        bucket=bucket,
        repository=github,
        environments=tuple(environment or ("dev", "training", "prod")),
        regions=tuple(also_region or ()),
        old_version_days=old_version_days,
        bound_workloads=bound_workloads,
    )
    with _one_clear_message():
        try:
            with explained():
                aws = _aws_clients(region)
            result = run(request, aws, dry_run=dry_run, progress=progress)
        except BootstrapError as error:
            _fail(str(error))
    if as_json:
        typer.echo(json.dumps(dataclasses.asdict(result), indent=2))
        return
    console.print(f"\nAccount {result.account}, region {result.region}. Next:\n")
    for command in result.next_commands:
        console.print(f"  {escape(command)}")
    if result.workload_boundary_arn:
        console.print(f"\nRoles of the program must carry {result.workload_boundary_arn}.")


@app.command()
def clients(
    stack: Stack,
    outputs: OutputsFile = None,
    target: Annotated[
        Path | None, typer.Option("--target", metavar="DIR", help="Where to. Without it: `dist/<stack>/`.")
    ] = None,
) -> None:
    """Write what clients need: page, bookmarks, RPC settings and scripts, certificates.

    Open `dist/<stack>/index.html` afterwards: it says what is for whom. Private keys and passwords are
    readable by you alone. Running it again changes nothing unless the outputs changed; a client
    certificate that left the settings loses its files.
    """
    from ops.clients import write

    name = _stack_name(stack)
    with _one_clear_message():
        directory = target or Path("dist") / name
        written = write(of_stack(name, outputs), directory, stack=name)
    for path in written:
        typer.echo(path)


@app.command(name="preview-report")
def preview_report(
    stack: Stack,
    source: Annotated[
        str, typer.Argument(metavar="FILE|-", help="JSON of `pulumi preview --json`; `-` for standard input.")
    ] = "-",
    errors: Annotated[
        str | None,
        typer.Option(metavar="FILE", help="What the preview wrote to stderr: shown if it printed no JSON."),
    ] = None,
) -> None:
    """Print a preview as the comment of a pull request (Markdown).

    For example: `pulumi preview --json --stack prod | python -m ops preview-report --stack prod`. What is
    replaced or deleted comes first; secrets are masked; never longer than GitHub accepts.
    """
    with _one_clear_message():
        preview = read_preview(source, errors)
        text = render(preview, stack=_stack_name(stack))
    typer.echo(text, nl=False)


@app.command(name="service-sheet")
def service_sheet(
    stack: Stack,
    outputs: OutputsFile = None,
    as_json: Annotated[bool, typer.Option("--json", help="The figures instead of the page.")] = False,
) -> None:
    """Print the service sheet of a stack: one page of Markdown for the customer, or its figures."""
    name = _stack_name(stack)
    with _one_clear_message():
        sheet = of_stack(name, outputs).get(names.SERVICE_SHEET)
        if not isinstance(sheet, Mapping) or "markdown" not in sheet or "data" not in sheet:
            raise OutputsError(
                f"the stack {name} has no output {names.SERVICE_SHEET} with `data` and `markdown`: "
                f"run `pulumi up --stack {name}` with this version first"
            )
    if as_json:
        typer.echo(json.dumps(sheet["data"], indent=2, ensure_ascii=False))
    else:
        typer.echo(str(sheet["markdown"]).rstrip("\n"))


checkpoints.register(app)
databases.register(app)
drills.register(app)
modules.register(app)
releases.register(app)
rotation.register(app)
training.register(app)


def _aws_clients(region: str) -> Callable[[str], Any]:
    """Return service name to boto3 client of `region`; one place, which tests replace."""
    import boto3

    session = boto3.session.Session(region_name=region)
    return lambda service: session.client(service)


def main() -> None:
    """Run the command line."""
    # GitHub's runners and pipes get the same bytes as a terminal.
    if hasattr(sys.stdout, "reconfigure"):
        sys.stdout.reconfigure(encoding="utf-8")
    app(prog_name="python -m ops")


if __name__ == "__main__":
    main()
