"""Bringing a stack up and down on this machine, by either engine: what the commands share."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from enum import StrEnum
from typing import TYPE_CHECKING, Any

import typer

from local import home as places
from local.engine.errors import EngineError

if TYPE_CHECKING:
    from pathlib import Path

    from local.display import Quiet
    from local.engine.run import Result, Target


class EngineName(StrEnum):
    """Which engine runs."""

    AUTO = "auto"
    OFFLINE = "offline"
    PULUMI = "pulumi"


def say(text: str = "") -> None:
    """Print a line."""
    print(text, flush=True)


@contextmanager
def plain_errors() -> Iterator[None]:
    """Turn what a person can put right into one line and exit status 1."""
    from local.emulator import EmulatorError
    from local.nodes import NodesError

    try:
        yield
    except (EngineError, EmulatorError, NodesError) as error:
        print(f"error: {error}", file=sys.stderr)
        raise typer.Exit(1) from None
    except BrokenPipeError:
        raise
    except OSError as error:
        # A home that cannot be written, a full disk: what the system says, and of which file.
        where = f"{error.filename}: " if error.filename else ""
        print(f"error: {where}{error.strerror or error}", file=sys.stderr)
        raise typer.Exit(1) from None
    except KeyboardInterrupt:
        # The second Ctrl-C: what is under way is not waited for. The state is the one last written.
        print("interrupted at once: the next run says what was under way", file=sys.stderr)
        os._exit(130)


def target(stack: str, config_file: Path | None = None) -> Target:
    """Where a stack's files and state are."""
    from local.engine.crypto import passphrase
    from local.engine.run import Target

    return Target(
        directory=places.ROOT,
        stack=stack,
        state=places.state_directory(),
        passphrase=lambda: passphrase(places.home()),
        config_copies=places.config_copies(),
        config_file=config_file,
    )


def plain_config(stack: str, config_file: Path | None = None) -> tuple[str, dict[str, Any]]:
    """The project's name and what a stack's configuration says in plain, with the project's own values."""
    from local.engine import config

    project = config.load_project(places.ROOT)
    path = config_file or config.stack_file(places.ROOT, stack)
    values = {key.name: key.value for key in project.config if key.value is not None}
    if path.exists():
        values |= config.plain_values(path, project.name)
    return project.name, values


def region_of(stack: str, config_file: Path | None = None) -> str:
    """The AWS region of a stack's configuration."""
    region = plain_config(stack, config_file)[1].get("aws:region")
    if not region:
        where = config_file.name if config_file else f"Pulumi.{stack}.yaml"
        raise EngineError(f"{where}: aws:region is missing: say in which AWS region the stack is")
    return str(region)


def refuse_a_forgotten_cloud(stack: str) -> None:
    """Say so when the emulator's folder is gone and the state still lists what was in it.

    Every request would else fail by itself, each with another error about something that does not exist.
    """
    from local.engine import config
    from local.engine.backend import Backend

    home = places.home()
    if (home / "emulator" / "seed").exists():
        return
    backend = Backend(places.state_directory(), config.load_project(places.ROOT).name)
    resources = (backend.read(stack).get("resources") or []) if stack in backend.stacks() else []
    count = sum(bool(item.get("custom")) for item in resources)
    if count:
        raise EngineError(
            f"{home / 'emulator'} is gone, and with it the {count} resources in the state of {stack}: "
            f"put it back, or start afresh by deleting {home}"
        )


def emulator(stack: str, config_file: Path | None = None) -> Callable[[], dict[str, str]]:
    """What starts the emulator, gives it what an account has, and says how to reach it."""

    def begin() -> dict[str, str]:
        from local.account import hosted_zone, provide_hosted_zone
        from local.emulator import start
        from local.plugins import warm_up

        project, values = plain_config(stack, config_file)
        region = region_of(stack, config_file)
        refuse_a_forgotten_cloud(stack)
        running = start(places.home())
        zone = hosted_zone(values, project)
        if zone is not None:
            provide_hosted_zone(zone, running.endpoint_url, region)
        warm_up()
        return places.emulator_environment(running.endpoint_url, region)

    return begin


def uses_real_cli(engine: EngineName) -> bool:
    """Whether this run is the real CLI's."""
    return engine is EngineName.PULUMI or (engine is EngineName.AUTO and places.pulumi_on_path() is not None)


def start_emulator(stack: str) -> None:
    """Start the emulator and let this process's children reach it."""
    os.environ.update(emulator(stack)())


def report(result: Result, *, what: str) -> None:
    """Print what went wrong, and end with exit status 1 if anything did."""
    from local.display import Paint, colours_wanted, error_lines

    if result.succeeded:
        return
    for line in error_lines(result.errors, paint=Paint(colours_wanted(sys.stderr))):
        print(line, file=sys.stderr)
    print(f"{what} failed after {result.seconds:.1f} s", file=sys.stderr)
    raise typer.Exit(1)


def bring_up(
    stack: str,
    engine: EngineName,
    *,
    yes: bool = True,
    quiet: bool = False,
    config_file: Path | None = None,
) -> dict[str, Any]:
    """Create or update the stack, and return its outputs. With `quiet`, only errors are said."""
    if uses_real_cli(engine):
        from local import real_cli

        start_emulator(stack)
        skip = ["--yes", "--skip-preview"] if yes else []
        status, _ = real_cli.run(stack, ["up", *skip], capture=quiet, config_file=config_file)
        if status:
            raise typer.Exit(status)
        from local.engine.run import outputs

        return outputs(target(stack))
    from local.display import Quiet, counted

    result = offline(stack, preview=False, display=Quiet() if quiet else None, config_file=config_file)
    report(result, what="up")
    if not quiet:
        say(f"{stack}: {counted(result.counts, preview=False)} in {result.seconds:.1f} s")
    return result.outputs


def offline(stack: str, *, preview: bool, display: Any = None, config_file: Path | None = None) -> Result:
    """Run the program by this project's own engine."""
    from local.engine.program import Program

    # The child imports the SDK, and what the program needed the last time, while this process starts.
    places.home().mkdir(parents=True, exist_ok=True)
    program = Program(places.home() / "imports")
    try:
        from local.display import progress
        from local.engine.run import update
        from local.plugins import load

        own = display or progress(preview=preview, title="Previewing" if preview else f"Bringing up {stack}")
        try:
            return update(
                target(stack, config_file),
                loader=load,
                events=own,
                preview=preview,
                before=emulator(stack, config_file),
                program=program,
            )
        finally:
            own.close()
    finally:
        program.end()


def show_outputs(outputs: dict[str, Any]) -> None:
    from local.display import Paint, colours_wanted, output_lines

    say("outputs:")
    for line in output_lines(outputs, secrets=False, paint=Paint(colours_wanted(sys.stdout))):
        say(line)


def preview_data(result: Result, quiet: Quiet) -> dict[str, Any]:
    """A preview in the shape of `pulumi preview --json`."""
    from local.engine.preview_json import preview_to_json

    diagnostics = [*quiet.messages, *(("error", message, urn) for urn, message in result.errors)]
    data: dict[str, Any] = preview_to_json(
        result.steps,
        counts=result.counts,
        seconds=result.seconds,
        diagnostics=dict.fromkeys(diagnostics),
        config=result.config,
    )
    return data


def bring_down(stack: str, engine: EngineName) -> None:
    """Delete the stack's resources, and say what outlives it."""
    if uses_real_cli(engine):
        from local import real_cli

        start_emulator(stack)
        status, _ = real_cli.run(stack, ["destroy", "--yes", "--skip-preview"])
        if status:
            raise typer.Exit(status)
    else:
        from local.display import counted, progress
        from local.engine.run import destroy as engine_destroy
        from local.plugins import load

        display = progress(preview=False, title=f"Destroying {stack}")
        try:
            result = engine_destroy(target(stack), loader=load, events=display, before=emulator(stack))
        finally:
            display.close()
        report(result, what="destroy")
        say(f"{stack}: {counted(result.counts, preview=False)} in {result.seconds:.1f} s")
    _say_what_stays(stack)


def _say_what_stays(stack: str) -> None:
    from local.emulator import running
    from local.leftovers import retained

    emulated = running(places.home())
    if emulated is None:
        return
    kept = retained(emulated.endpoint_url, region_of(stack))
    say("what stays in the emulator:" if kept else "nothing stays in the emulator")
    for line in kept:
        say(f"    {line}")
