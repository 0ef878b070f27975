"""The real Pulumi CLI on the same state, with the same plugins, where it is installed."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path
from typing import Final

import yaml

from local.engine import config as configuration
from local.engine import state as states
from local.engine.backend import Backend, write_atomically
from local.engine.crypto import Crypter, passphrase, passphrase_file
from local.engine.errors import EngineError
from local.home import ROOT, config_copies, home, state_directory

PLUGINS: Final = Path(__file__).with_name("plugins") / "bin"
"""Executables `pulumi-resource-<package>` that serve the local plugins."""


def installed() -> str | None:
    """The path of the `pulumi` executable, or None where there is none on PATH."""
    return shutil.which("pulumi")


def copy_with_salt(directory: Path, copies: Path, stack: str, salt: str) -> Path:
    """A copy of a stack's configuration file that holds `salt`, for `--config-file`.

    The committed file stays as it is: the real CLI would otherwise write its salt into it.
    """
    committed = configuration.stack_file(directory, stack)
    if not committed.exists():
        raise EngineError(f"there is no stack {stack}: {committed.name} does not exist")
    copies.mkdir(parents=True, exist_ok=True)
    copy = copies / committed.name
    if configuration.salt_in(committed) is not None:
        text = committed.read_text(encoding="utf-8")
    else:
        text = committed.read_text(encoding="utf-8").rstrip("\n")
        text += "\n" + yaml.safe_dump({"encryptionsalt": salt}, width=1000)
    write_atomically(copy, text)
    return copy


def _prepare(stack: str) -> Path:
    """Make sure that the stack exists, with a salt in its state and in the copy of its configuration."""
    project = configuration.load_project(ROOT)
    backend = Backend(state_directory(), project.name)
    deployment = backend.read(stack)
    where = str(backend.path(stack))
    salt = (
        states.salt_of(deployment, where)
        or configuration.salt_in(configuration.stack_file(ROOT, stack))
        or configuration.salt_in(config_copies() / f"Pulumi.{stack}.yaml")
    )
    if salt is None:
        salt = Crypter(passphrase(home())).state
    else:
        passphrase(home())
    backend.create(stack, salt)
    return copy_with_salt(ROOT, config_copies(), stack, salt)


def environment() -> dict[str, str]:
    """The environment for the real CLI: this backend, this passphrase, these plugins."""
    variables = dict(os.environ)
    variables["PATH"] = os.pathsep.join([str(PLUGINS), variables.get("PATH", "")])
    variables["PULUMI_BACKEND_URL"] = Backend(state_directory(), "").url
    variables["PULUMI_SKIP_UPDATE_CHECK"] = "true"
    variables["PULUMI_DISABLE_AUTOMATIC_PLUGIN_ACQUISITION"] = "true"
    if "PULUMI_CONFIG_PASSPHRASE" not in variables:
        variables["PULUMI_CONFIG_PASSPHRASE_FILE"] = str(passphrase_file(home()))
    return variables


def run(stack: str, arguments: list[str], *, capture: bool = False) -> tuple[int, str]:
    """Run `pulumi <arguments>` on a stack; the exit status, and what it printed where that is captured."""
    executable = installed()
    if executable is None:
        raise EngineError("there is no `pulumi` on PATH: install it, or take --engine offline")
    copy = _prepare(stack)
    done = subprocess.run(
        [executable, *arguments, "--stack", stack, "--config-file", str(copy)],
        cwd=ROOT,
        env=environment(),
        stdout=subprocess.PIPE if capture else None,
        text=True,
        check=False,
    )
    return done.returncode, done.stdout or ""
