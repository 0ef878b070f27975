"""Runs a Pulumi program under its SDK in a process of its own; started by path, it imports nothing of this
project.

It reads one line of JSON from standard input (`Run` in program.py says what), so that the process can start,
and import the SDK, while the engine is still reading the state. Exit status: 0, or 1 when the program failed;
what failed has then been logged to the engine.
"""

from __future__ import annotations

import gc

# Importing pulumi_aws makes a great many objects that live for ever: collecting garbage meanwhile costs
# 0.3 s.
gc.disable()

import asyncio  # noqa: E402
import importlib  # noqa: E402
import json  # noqa: E402
import logging  # noqa: E402
import os  # noqa: E402
import runpy  # noqa: E402
import sys  # noqa: E402
import sysconfig  # noqa: E402
import traceback  # noqa: E402
from concurrent.futures import ThreadPoolExecutor  # noqa: E402
from contextlib import suppress  # noqa: E402
from pathlib import Path  # noqa: E402
from types import ModuleType  # noqa: E402
from typing import Any  # noqa: E402

import pulumi  # noqa: E402
import pulumi.runtime  # noqa: E402


def import_early(notes: Path) -> None:
    """Import the packages that the program needed the last time, which the file `notes` lists.

    That takes a second, in which the engine starts; a list that is out of date costs time and nothing else.
    """
    try:
        names = notes.read_text().split()
    except OSError:
        return
    for name in names:
        # What is gone, or broken, the program says itself if it needs it.
        with suppress(Exception):
            # A provider's SDK loads its packages when they are first used: asking for a name is such a use.
            getattr(importlib.import_module(name), "_", None)


def note_imports(notes: Path) -> None:
    """List the installed packages that the program used, in their order, for the next time."""
    installed = tuple({sysconfig.get_path("purelib"), sysconfig.get_path("platlib")})
    names = [
        name
        for name, module in list(sys.modules.items())
        # The exact type tells a package that was used from one that only could have been.
        if type(module) is ModuleType
        and name.count(".") < 2
        and hasattr(module, "__path__")
        and str(getattr(module, "__file__", "")).startswith(installed)
    ]
    text = "\n".join(names)
    # Where it cannot be written, the next start is a second slower, that is all.
    with suppress(OSError):
        if not notes.exists() or notes.read_text() != text:
            fresh = notes.with_name(f"{notes.name}.{os.getpid()}")
            fresh.write_text(text)
            fresh.replace(notes)


def main(notes: Path | None) -> int:
    """Run the program that standard input names; the exit status."""
    if notes is not None:
        import_early(notes)
    line = sys.stdin.readline()
    if not line:
        return 1
    run: dict[str, Any] = json.loads(line)
    os.chdir(run["directory"])
    pulumi.runtime.set_all_config(run["config"], run["secret_keys"])
    pulumi.runtime.configure(
        pulumi.runtime.Settings(
            monitor=run["monitor"],
            engine=run["monitor"],
            project=run["project"],
            stack=run["stack"],
            parallel=run["parallel"],
            dry_run=run["preview"],
            organization=run["organization"],
            root_directory=run["root"],
        )
    )
    # Debug messages, some ten a resource and a request each, would be dropped by the engine: not sent.
    pulumi.log.debug = lambda *arguments, **options: None
    sys.argv = [run["program"]]
    # Futures that nobody awaits are how a failed run ends; asyncio need not report each.
    logging.getLogger("asyncio").setLevel(logging.CRITICAL)
    loop = asyncio.new_event_loop()
    asyncio.set_event_loop(loop)
    executor = ThreadPoolExecutor(max_workers=4 * run["parallel"])
    loop.set_default_executor(executor)

    def program() -> None:
        try:
            runpy.run_path(run["program"], run_name="__main__")
        finally:
            gc.freeze()
            gc.enable()

    try:
        loop.run_until_complete(pulumi.runtime.run_in_stack(program))
        if notes is not None:
            note_imports(notes)
    except pulumi.RunError as error:
        _report(str(error))
        return 1
    except SystemExit as error:
        if isinstance(error.code, str):
            _report(error.code)
            return 1
        return 1 if error.code else 0
    except KeyboardInterrupt:
        return 1
    except Exception as error:
        _report(_program_traceback(error, run["program"]))
        return 1
    finally:
        executor.shutdown(wait=True, cancel_futures=True)
        loop.close()
    return 0


def _report(message: str) -> None:
    """Log an error to the engine, or to standard error where the engine no longer answers."""
    try:
        pulumi.log.error(message)
    except Exception:
        print(message, file=sys.stderr)


def _program_traceback(error: BaseException, program: str) -> str:
    """The traceback from the program's own first line on."""
    if str(error).startswith("invoke of "):
        # A provider's answer to a question of the program: it says by itself what is wrong.
        return str(error)
    frames = traceback.extract_tb(error.__traceback__)
    own = os.path.realpath(program)
    for index, frame in enumerate(frames):
        path = os.path.realpath(frame.filename)
        if not frame.filename.startswith("<") and own in (path, str(Path(path).parent)):
            frames = traceback.StackSummary.from_list(frames[index:])
            break
    lines = traceback.format_exception_only(error)
    return "the program failed with an unhandled exception:\n" + "".join([*frames.format(), *lines]).rstrip()


if __name__ == "__main__":
    status = main(Path(sys.argv[1]) if len(sys.argv) > 1 else None)
    sys.stdout.flush()
    sys.stderr.flush()
    # Everything is said and done: taking half a million objects apart would cost another 0.3 s.
    os._exit(status)
