"""`python -m local ops`: the day-2 commands against this machine's cloud, and the `pulumi` that they call.

The commands know nothing of this machine. They ask AWS, which the environment leads to the emulator, and a
`pulumi` on PATH, which is the one below: the few calls that they make, in the real CLI's words.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import typer

from local import home as places

UNTOUCHED = {"ignore_unknown_options": True, "allow_extra_args": True, "help_option_names": []}
"""Every argument is for the command that is called, `--help` too."""


def register(application: typer.Typer) -> None:
    """Add the commands to `application`."""
    application.command(context_settings=UNTOUCHED)(ops)
    application.command(context_settings=UNTOUCHED, hidden=True)(pulumi)


def stack_in(arguments: Sequence[str]) -> str:
    """The stack that the arguments of a command name; `local` where they name none."""
    for position, word in enumerate(arguments):
        if word in ("--stack", "-s") and position + 1 < len(arguments):
            return arguments[position + 1]
        if word.startswith("--stack="):
            return word.partition("=")[2]
        if word.startswith("-s") and len(word) > 2:
            return word[2:]
    return "local"


def ops(context: typer.Context) -> None:
    """Run a day-2 command of `python -m ops` against this machine's cloud: `ops checkpoint opening -s local`.

    Starts the emulator unless it runs. `ops --help` lists the commands.
    """
    from local.__main__ import emulator, plain_errors

    places.stay_on_this_machine()
    arguments = context.args
    environment = dict(os.environ)
    if arguments and not {"--help", "-h"} & set(arguments):
        with plain_errors():
            started = emulator(stack_in(arguments))()
        environment |= places.operations_environment(started["AWS_ENDPOINT_URL"], started["AWS_REGION"])
    sys.stdout.flush()
    os.chdir(places.ROOT)
    os.execve(sys.executable, [sys.executable, "-m", "ops", *arguments], environment)  # noqa: S606  no shell


def pulumi(context: typer.Context) -> None:
    """What `ops` calls as `pulumi`."""
    from local.__main__ import plain_errors

    places.stay_on_this_machine()
    with plain_errors():
        raise typer.Exit(_pulumi(context.args))


def _pulumi(arguments: list[str]) -> int:
    from local.engine.errors import EngineError

    words, options = _sorted(arguments)
    stack = options.get("--stack", "local")
    file = Path(options["--config-file"]) if "--config-file" in options else None
    known: dict[tuple[str, ...], Callable[[], int]] = {
        ("stack", "output"): lambda: _output(stack),
        ("stack", "ls"): _list,
        ("preview",): lambda: _preview(stack, file),
        ("up",): lambda: _up(stack, file),
        ("destroy",): lambda: _destroy(stack),
    }
    action = known.get(tuple(words))
    if action is None:
        raise EngineError(f"pulumi {' '.join(arguments)}: this machine's stand-in does not know that")
    return action()


VALUED = ("--stack", "--config-file")
FLAGS = ("--json", "--show-secrets", "--yes", "--skip-preview")


def _sorted(arguments: list[str]) -> tuple[list[str], dict[str, str]]:
    """The words of a call and its options with values. Raises EngineError for an option that is not known."""
    from local.engine.errors import EngineError

    words: list[str] = []
    options: dict[str, str] = {}
    rest = iter(arguments)
    for word in rest:
        name, given, value = word.partition("=")
        if name in VALUED:
            options[name] = value if given else next(rest, "")
        elif not word.startswith("-"):
            words.append(word)
        elif word not in FLAGS:
            raise EngineError(f"pulumi {word}: this machine's stand-in does not know that option")
    return words, options


def _output(stack: str) -> int:
    from local.__main__ import reveal_outputs, target
    from local.engine.run import outputs

    print(json.dumps(reveal_outputs(outputs(target(stack))), indent=2, sort_keys=True, ensure_ascii=False))
    return 0


def _list() -> int:
    from local.engine import config
    from local.engine.backend import Backend

    backend = Backend(places.state_directory(), config.load_project(places.ROOT).name)
    print(json.dumps([{"name": stack} for stack in backend.stacks()]))
    return 0


def _preview(stack: str, file: Path | None) -> int:
    if places.pulumi_on_path() is not None:
        from local import real_cli
        from local.__main__ import start_emulator

        start_emulator(stack)
        return real_cli.run(stack, ["preview", "--json"], config_file=file)[0]
    from local.__main__ import offline, preview_data
    from local.display import Quiet

    quiet = Quiet()
    result = offline(stack, preview=True, display=quiet, config_file=file)
    print(json.dumps(preview_data(result, quiet), indent=4, ensure_ascii=False))
    return 0 if result.succeeded else 1


def _up(stack: str, file: Path | None) -> int:
    if places.pulumi_on_path() is not None:
        from local import real_cli
        from local.__main__ import start_emulator

        start_emulator(stack)
        return real_cli.run(stack, ["up", "--yes", "--skip-preview"], config_file=file)[0]
    from local.__main__ import offline, report

    report(offline(stack, preview=False, config_file=file), what="up")
    return 0


def _destroy(stack: str) -> int:
    from local.__main__ import destroy

    destroy(stack)
    return 0
