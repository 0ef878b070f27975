"""`python -m local ops`: the day-2 commands against this machine's cloud, and the `pulumi` that they call.

The commands know nothing of this machine. They ask AWS, which the environment leads to the emulator, and a
`pulumi` on PATH, which is the one below: the few calls that they make (`local.stand_in`), in the real CLI's
words.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import typer

from local import deploy
from local import home as places
from local.engine.errors import EngineError
from local.stand_in import BELOW_CLI, Request, listed, parse, stack_of, version

UNTOUCHED = {
    "allow_extra_args": True,
    "allow_interspersed_args": False,
    "help_option_names": [],
    "ignore_unknown_options": True,
}
"""Every argument is for the command that is called, `--help` too."""


def register(application: typer.Typer) -> None:
    """Add the commands to `application`."""
    application.command(context_settings=UNTOUCHED)(ops)
    application.command(context_settings=UNTOUCHED, hidden=True)(pulumi)


def ops(context: typer.Context) -> None:
    """Run a day-2 command of `python -m ops` against this machine's cloud: `ops clients --stack local`.

    Starts the emulator unless it runs. `ops --help` lists the commands; every argument is theirs.
    """
    from local.engine import config

    places.stay_on_this_machine()
    arguments = context.args
    environment = dict(os.environ)
    if arguments and "--help" not in arguments:
        with deploy.plain_errors():
            stack = stack_of(arguments, default="local")
            config.refuse_unknown(places.ROOT, stack)
            started = deploy.emulator(stack)()
            environment |= places.operations_environment(started["AWS_ENDPOINT_URL"], started["AWS_REGION"])
            # File systems that nothing has mounted yet are empty, not unreachable.
            Path(environment["OPENERP_FILE_SYSTEMS"]).mkdir(parents=True, exist_ok=True)
    path = [str(places.ROOT), environment.get("PYTHONPATH", "")]
    environment["PYTHONPATH"] = os.pathsep.join(filter(None, path))
    sys.stdout.flush()
    os.execve(sys.executable, [sys.executable, "-m", "ops", *arguments], environment)  # noqa: S606  no shell


def pulumi(context: typer.Context) -> None:
    """What `ops` calls as `pulumi`."""
    places.stay_on_this_machine()
    with deploy.plain_errors():
        if os.environ.get(BELOW_CLI):
            raise EngineError(
                "the `pulumi` on PATH leads back to the one that stands for it here: take it off PATH"
            )
        request = parse(context.args)
        known: dict[str, Callable[[Request], int]] = {
            "version": _version,
            "stack ls": _list,
            "stack output": _output,
            "preview": _preview,
            "up": _up,
            "destroy": _destroy,
        }
        raise typer.Exit(known[request.command](request))


def _version(_request: Request) -> int:
    real = places.pulumi_on_path()
    if real is not None:
        return subprocess.run([real, "version"], check=False, env={**os.environ, BELOW_CLI: "1"}).returncode
    print(version())
    return 0


def _list(_request: Request) -> int:
    backend = _backend()
    _print([listed(stack, backend.read(stack)) for stack in backend.stacks()])
    return 0


def _output(request: Request) -> int:
    from local.engine.run import outputs
    from local.engine.values import mask, reveal

    if not _backend().exists(request.stack):
        raise EngineError(f"no stack named '{request.stack}' found")
    values = outputs(deploy.target(request.stack))
    _print(reveal(values) if request.show_secrets else mask(values))
    return 0


def _preview(request: Request) -> int:
    if places.pulumi_on_path() is not None:
        from local import real_cli

        deploy.start_emulator(request.stack)
        return real_cli.run(request.stack, ["preview", "--json"], config_file=request.config_file)[0]
    from local.display import Quiet

    quiet = Quiet()
    result = deploy.offline(request.stack, preview=True, display=quiet, config_file=request.config_file)
    print(json.dumps(deploy.preview_data(result, quiet), indent=4, ensure_ascii=False), flush=True)
    deploy.report(result, what="the preview")
    return 0


def _up(request: Request) -> int:
    values = deploy.bring_up(request.stack, deploy.EngineName.AUTO, config_file=request.config_file)
    if places.pulumi_on_path() is None:
        deploy.show_outputs(values)
    return 0


def _destroy(request: Request) -> int:
    deploy.bring_down(request.stack, deploy.EngineName.AUTO)
    return 0


def _backend() -> Any:
    from local.engine import config
    from local.engine.backend import Backend

    return Backend(places.state_directory(), config.load_project(places.ROOT).name)


def _print(data: Any) -> None:
    """As the real CLI prints JSON."""
    print(json.dumps(data, indent=2, sort_keys=isinstance(data, dict), ensure_ascii=False))
