"""`python -m local`: the whole deployment on one machine, against the emulator."""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Annotated, Any

import typer

from local import home as places
from local import operations
from local.deploy import (
    EngineName,
    bring_down,
    bring_up,
    offline,
    plain_config,
    plain_errors,
    preview_data,
    region_of,
    report,
    say,
    show_outputs,
    start_emulator,
    target,
    uses_real_cli,
)
from local.engine.errors import EngineError

if TYPE_CHECKING:
    from local.engine.run import Result
    from local.nodes.live import Address
    from local.nodes.status import Status

ADMINISTRATOR = "admin"
"""The login of OpenERP's first administrator, which its installation makes."""

application = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    help=(
        "Brings the deployment up on this machine: the same program and components as on AWS, against an AWS "
        "emulator and a real PostgreSQL. State, emulator and databases live in .local/ "
        "(OPENERP_LOCAL_HOME names another place)."
    ),
    epilog=(
        "A first round: `up`, open dist/local/index.html, change a setting in Pulumi.local.yaml, `preview`, "
        "`up`, and at the end `destroy` and `down`. On Linux as root, `live` in place of `up` also runs the "
        "servers: log in at the address that it prints."
    ),
)


Stack = Annotated[
    str, typer.Option("--stack", "-s", help="Stack: local, dev, training or prod (all against the emulator).")
]
Engine = Annotated[
    EngineName,
    typer.Option(
        "--engine",
        help="offline: the engine in this project. pulumi: the real CLI, on the same state with the same "
        "plugins. auto: pulumi where it is on PATH, else offline.",
    ),
]


@application.command()
def up(
    stack: Stack = "local",
    engine: Engine = EngineName.AUTO,
    yes: Annotated[
        bool, typer.Option("--yes/--ask", help="--ask shows the preview first and waits for a yes.")
    ] = True,
) -> None:
    """Create or update the stack, and write the client configuration to dist/<stack>/.

    Starts the emulator unless it runs. An interrupted `up` is continued by the next one.
    """
    places.stay_on_this_machine()
    with plain_errors():
        if not yes and not uses_real_cli(engine):
            result = offline(stack, preview=True)
            report(result, what="the preview")
            _show_preview(result, stack, details=False)
            typer.confirm("Go on?", abort=True)
        outputs = bring_up(stack, engine, yes=yes)
        show_outputs(outputs)
        _write_clients(stack, outputs, say)


def _write_clients(stack: str, outputs: dict[str, Any], tell: Callable[[str], None]) -> None:
    """Write the client configuration from a stack's outputs."""
    from core.client_configuration import ClientConfigurationError
    from local.engine.values import reveal
    from ops import clients

    directory = places.distribution(stack)
    try:
        files = clients.write(reveal(outputs), directory)
    except ClientConfigurationError as error:
        raise EngineError(f"the client configuration cannot be written: {error}") from None
    tell(f"client configuration: {len(files)} files in {directory} (start with index.html)")


@application.command()
def live(
    stack: Stack = "local",
    engine: Engine = EngineName.AUTO,
    as_json: Annotated[
        bool,
        typer.Option("--json", help="Print where it is served as JSON; progress goes to standard error."),
    ] = False,
    show_secrets: Annotated[
        bool, typer.Option("--show-secrets", help="Print the first login's password too.")
    ] = False,
    wait: Annotated[
        int, typer.Option("--wait", min=1, help="Seconds to wait until every server serves.")
    ] = 1500,
) -> None:
    """Bring the stack up with servers that serve: `up`, and then this machine is the data centre.

    Each instance of an Auto Scaling group boots as a systemd container with its own network and user data,
    the load balancer is an HAProxy on a loopback address with the real ports, the database is a real
    PostgreSQL. What changes in the emulator takes effect while it runs: scaling, an instance refresh, a
    listener.

    Needs Linux, root, and a few packages; says in one line what is missing, before anything is changed. The
    first time it makes the servers' image from Debian's packages (minutes); OPENERP_LOCAL_CACHE names where
    images are kept. Repeat it as often as you like. `status` shows the servers, `down` stops everything.
    """
    places.stay_on_this_machine()
    with plain_errors(), interruptible():
        from local import nodes
        from local.nodes import live as watching
        from local.nodes.progress import Progress

        began = time.monotonic()
        watching.require()
        project, values = plain_config(stack)
        region = region_of(stack)
        nodes.refuse_another_region(places.home(), region)
        image = watching.Image(watching.recipe_of(values, project), places.cache())
        image.start()
        outputs = bring_up(stack, engine, quiet=as_json)
        deployed = time.monotonic()
        progress = Progress(sys.stderr if as_json else sys.stdout)
        try:
            _write_clients(stack, outputs, progress.say)
            image.wait(progress)
            imaged = time.monotonic()
            nodes.start(places.home(), region)
            status = watching.wait(places.home(), watching.Own.of(outputs), progress, wait)
        finally:
            progress.close()
        served = time.monotonic()
        seconds = {
            "up": deployed - began,
            "image": image.seconds,
            "servers": served - imaged,
            "total": served - began,
        }
        place = watching.address(reveal_outputs(outputs), status, places.distribution(stack))
        login = _administrator(stack) if show_secrets else None
        if as_json:
            _print_live_json(stack, place, status, seconds, login)
        else:
            _print_live(stack, place, status, seconds, login)


@contextmanager
def interruptible() -> Iterator[None]:
    """Ctrl-C while servers start: they go on starting."""
    try:
        yield
    except KeyboardInterrupt:
        print(
            "interrupted: what runs goes on; `live` again waits for it, `status` shows it, `down` stops it",
            file=sys.stderr,
        )
        raise typer.Exit(130) from None


def reveal_outputs(outputs: dict[str, Any]) -> dict[str, Any]:
    """A stack's outputs in plain."""
    from local.engine.values import reveal

    shown: dict[str, Any] = reveal(outputs)
    return shown


def _administrator(stack: str) -> dict[str, str]:
    """The first login of OpenERP: `username` and `password`."""
    from botocore.exceptions import BotoCoreError, ClientError

    from local.account import client
    from local.emulator import running
    from local.engine.run import outputs

    emulated = running(places.home())
    if emulated is None:
        raise EngineError("the emulator, which holds the password, does not run: `up` starts it")
    arn = outputs(target(stack)).get("administrator_secret_arn")
    if not arn:
        raise EngineError(f"stack {stack} has no administrator yet: `up` makes one")
    try:
        manager = client("secretsmanager", emulated.endpoint_url, region_of(stack))
        content = json.loads(manager.get_secret_value(SecretId=arn)["SecretString"])
    except (BotoCoreError, ClientError) as error:
        raise EngineError(f"the administrator's password cannot be read: {error}") from None
    return {"username": content["username"], "password": content["password"]}


def _how(command: str, stack: str) -> str:
    """How a person calls a command for this stack."""
    return f"{os.path.relpath(sys.executable)} -m local {command}" + (
        "" if stack == "local" else f" --stack {stack}"
    )


def _print_live_json(
    stack: str, place: Address, status: Status, seconds: dict[str, float], login: dict[str, str] | None
) -> None:
    data = {
        "url": place.url,
        "host": place.host,
        "address": place.bind,
        "ports": place.ports,
        "resolves": place.resolves,
        "ca": str(place.ca) if place.ca else None,
        "login": login or {"username": ADMINISTRATOR},
        "servers": [
            {"id": server.id, "name": server.name, "address": server.address} for server in status.servers
        ],
        "logs": str(places.home() / "nodes"),
        "seconds": {name: round(value, 1) for name, value in seconds.items()},
    }
    say(json.dumps(data, indent=2))


def _print_live(
    stack: str, place: Address, status: Status, seconds: dict[str, float], login: dict[str, str] | None
) -> None:
    count = len(status.servers)
    say(
        f"{stack} is served after {seconds['total']:.0f} s (up {seconds['up']:.0f} s, image "
        f"{seconds['image']:.0f} s, {count} servers {seconds['servers']:.0f} s)"
    )
    say(f"    address   {place.url} (on {place.bind}, ports {', '.join(map(str, place.ports))})")
    if not place.resolves:
        say(f"    name      add this line to /etc/hosts: {place.bind} {place.host}")
    say(f"    try it    {place.curl()}")
    if place.ca:
        say(f"    trust     {place.ca} (import it into the browser)")
    shown = login["password"] if login else _how("password", stack)
    say(f"    login     {ADMINISTRATOR}, password: {shown}")
    say(f"    consoles  {places.home() / 'nodes' / 'instances'}/*/console.log")
    say(f"    log       {places.home() / 'nodes' / 'log'}")
    say(f"    stop      {_how('down', 'local')}")


@application.command()
def password(stack: Stack = "local") -> None:
    """Print the password of OpenERP's first administrator, from the emulator's Secrets Manager.

    It is the one that the first start has set; OpenERP does not follow later versions of the secret.
    """
    with plain_errors():
        say(_administrator(stack)["password"])


@application.command()
def preview(
    stack: Stack = "local",
    engine: Engine = EngineName.AUTO,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print the preview in the shape of `pulumi preview --json`.")
    ] = False,
    markdown: Annotated[
        bool, typer.Option("--markdown", help="Print the preview as a comment for a pull request.")
    ] = False,
    diff: Annotated[bool, typer.Option("--diff", help="Show the properties of new resources too.")] = False,
    expect_no_changes: Annotated[
        bool, typer.Option("--expect-no-changes", help="End with status 1 if anything would change.")
    ] = False,
) -> None:
    """Show what `up` would change; nothing is changed. The stack need not exist yet."""
    places.stay_on_this_machine()
    with plain_errors():
        if uses_real_cli(engine):
            _real_preview(stack, as_json=as_json, markdown=markdown, diff=diff, expect=expect_no_changes)
            return
        from local.display import Quiet

        quiet = Quiet() if as_json or markdown else None
        result = offline(stack, preview=True, display=quiet)
        if quiet is not None:
            _print_preview(preview_data(result, quiet), stack, markdown=markdown)
        elif result.steps:
            _show_preview(result, stack, details=diff)
        report(result, what="the preview")
        if expect_no_changes and _changes(result.counts):
            print("error: there are changes, and none were expected", file=sys.stderr)
            raise typer.Exit(1)


def _changes(counts: dict[str, int]) -> int:
    from local.engine.steps import step_changes

    return step_changes(counts)


def _print_preview(data: dict[str, Any], stack: str, *, markdown: bool) -> None:
    if markdown:
        from core.preview_report import render

        say(render(data, stack=stack))
    else:
        say(json.dumps(data, indent=4, ensure_ascii=False))


def _show_preview(result: Result, stack: str, *, details: bool) -> None:
    from local.display import Paint, colours_wanted, counted, describe

    for line in describe(result.steps, details=details, paint=Paint(colours_wanted(sys.stdout))):
        say(line)
    if result.succeeded:
        say(f"{stack}: {counted(result.counts, preview=True)} ({result.seconds:.1f} s)")


def _real_preview(stack: str, *, as_json: bool, markdown: bool, diff: bool, expect: bool) -> None:
    from local import real_cli

    start_emulator(stack)
    arguments = ["preview"]
    arguments += ["--diff"] if diff else []
    arguments += ["--expect-no-changes"] if expect else []
    arguments += ["--json"] if as_json or markdown else []
    status, text = real_cli.run(stack, arguments, capture=markdown)
    if markdown and text:
        _print_preview(json.loads(text), stack, markdown=True)
    if status:
        raise typer.Exit(status)


@application.command()
def destroy(
    stack: Stack = "local",
    engine: Engine = EngineName.AUTO,
    yes: Annotated[bool, typer.Option("--yes/--ask", help="--ask waits for a yes.")] = True,
) -> None:
    """Delete the stack's resources; says which snapshots outlive it."""
    places.stay_on_this_machine()
    with plain_errors():
        if not yes:
            typer.confirm(f"Delete every resource of {stack}?", abort=True)
        bring_down(stack, engine)


@application.command()
def output(
    stack: Stack = "local",
    name: Annotated[str | None, typer.Argument(help="One output; all of them without.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
    show_secrets: Annotated[
        bool, typer.Option("--show-secrets", help="Print secret outputs in plain.")
    ] = False,
) -> None:
    """Print the stack's outputs, from its state."""
    with plain_errors():
        from local.engine.run import outputs
        from local.engine.values import mask, reveal

        values = outputs(target(stack))
        if name is not None:
            if name not in values:
                raise EngineError(f"stack {stack} has no output {name}; it has: {', '.join(sorted(values))}")
            value = reveal(values[name]) if show_secrets else mask(values[name])
            say(
                json.dumps(value, indent=2, ensure_ascii=False)
                if as_json or not isinstance(value, str)
                else value
            )
            return
        if as_json:
            shown = reveal(values) if show_secrets else mask(values)
            say(json.dumps(shown, indent=2, sort_keys=True, ensure_ascii=False))
            return
        from local.display import Paint, colours_wanted, output_lines

        for line in output_lines(values, secrets=show_secrets, paint=Paint(colours_wanted(sys.stdout))):
            say(line)


@application.command()
def status() -> None:
    """Say what runs on this machine, and which stacks its state holds."""
    with plain_errors():
        from local.emulator import running
        from local.engine import config
        from local.engine.backend import Backend

        say(f"home      {places.home()}")
        emulated = running(places.home())
        say(
            f"emulator  {emulated.endpoint_url} (pid {emulated.pid})" if emulated else "emulator  not running"
        )
        backend = Backend(places.state_directory(), config.load_project(places.ROOT).name)
        stacks = backend.stacks()
        if not stacks:
            say("stacks    none: `up` makes one")
        for stack in stacks:
            deployment = backend.read(stack)
            resources = [item for item in deployment.get("resources") or [] if item.get("custom")]
            when = (deployment.get("manifest") or {}).get("time", "")[:19].replace("T", " ")
            interrupted = len(deployment.get("pending_operations") or [])
            note = f", {interrupted} interrupted operations" if interrupted else ""
            say(f"stack     {stack}: {len(resources)} resources, last written {when} UTC{note}")
        _say_servers()


def _say_servers() -> None:
    from local import nodes
    from local.nodes.progress import line
    from local.nodes.status import read

    found = nodes.running(places.home())
    if found is None:
        say("servers   none: `live` runs them")
        return
    status = read(nodes.directory(places.home()) / "status.json")
    if status is None:
        say(f"servers   starting (pid {found.pid})")
        return
    serving = sum(server.serving for server in status.servers)
    say(f"servers   {serving} of {status.wanted} serve (pid {found.pid})")
    for server in status.servers:
        health = ", ".join(sorted(set(server.health.values()))) or "in no target group"
        say(f"    {line(server)} [{', '.join(filter(None, (server.stack, server.id, health)))}]")
    for balancer in status.balancers:
        ports = ", ".join(map(str, balancer.ports))
        say(f"    load balancer {balancer.name}: {balancer.bind}, ports {ports} {balancer.error}".rstrip())
    for group in status.refreshes:
        say(f"    instance refresh of {group} is under way")
    for text in (*status.replaced, *status.errors):
        say(f"    {text}")


@application.command()
def down() -> None:
    """Stop servers, emulator and databases; what databases, file systems and emulator hold stays for `up`.

    It removes what a crash has left behind too.
    """
    with plain_errors():
        from local import nodes
        from local.emulator import running, stop

        if nodes.stop(places.home()):
            say("the servers are stopped")
        was = running(places.home())
        stop(places.home())
        say("the emulator is stopped" if was else "the emulator was not running")


operations.register(application)


def main() -> None:
    """Run one command, and leave at once."""
    status: int | str | None = 0
    try:
        application()
    except SystemExit as ended:
        status = ended.code
    if isinstance(status, str):
        print(status, file=sys.stderr)
    # Whoever read the output, such as `head`, may have seen enough.
    for stream in (sys.stdout, sys.stderr):
        if stream is not None:  # closed by whoever started this
            with suppress(BrokenPipeError):
                stream.flush()
    # All is written and every child has ended: taking the imported packages apart would cost 0.5 s.
    os._exit(status if isinstance(status, int) else int(status is not None))


if __name__ == "__main__":
    main()
