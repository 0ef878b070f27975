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
from local.home import ROOT, config_copies, home, pulumi_on_path, state_directory, without_stand_in
from local.stand_in import BELOW_CLI

PLUGINS: Final = Path(__file__).with_name("plugins") / "bin"
"""Executables `pulumi-resource-<package>` that serve the local plugins."""


def copy_with_salt(
    directory: Path, copies: Path, stack: str, salt: str, config_file: Path | None = None
) -> Path:
    """A copy of a stack's configuration file, or of `config_file`, that holds `salt`, for `--config-file`.

    The committed file stays as it is: the real CLI would otherwise write its salt into it. Raises EngineError
    where there is no such stack.
    """
    committed = config_file or configuration.stack_file(directory, stack)
    data = configuration.load_yaml(committed)
    if configuration.salt_in(committed) is None:
        # A key in AWS KMS is out of reach here: what the emulated stack encrypts, it encrypts by passphrase.
        data = {key: value for key, value in data.items() if key not in ("secretsprovider", "encryptedkey")}
        data["encryptionsalt"] = salt
    copies.mkdir(parents=True, exist_ok=True)
    copy = copies / committed.name
    write_atomically(copy, yaml.safe_dump(data, sort_keys=False, allow_unicode=True, width=1000))
    return copy


def _prepare(stack: str, config_file: Path | None) -> Path:
    """Make sure that the stack exists, with a salt in its state and in the copy of its configuration.

    `config_file`: another configuration in place of the committed one.
    """
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
    if config_file is not None:
        copies = config_copies() / f"given.{os.getpid()}"
        return copy_with_salt(ROOT, copies, stack, salt, config_file)
    return copy_with_salt(ROOT, config_copies(), stack, salt)


def environment() -> dict[str, str]:
    """The environment for the real CLI: this backend, this passphrase, these plugins."""
    variables = dict(os.environ)
    variables["PATH"] = os.pathsep.join([str(PLUGINS), without_stand_in(variables.get("PATH", ""))])
    variables["PULUMI_BACKEND_URL"] = Backend(state_directory(), "").url
    variables["PULUMI_SKIP_UPDATE_CHECK"] = "true"
    variables[BELOW_CLI] = "1"
    variables["PULUMI_DISABLE_AUTOMATIC_PLUGIN_ACQUISITION"] = "true"
    if "PULUMI_CONFIG_PASSPHRASE" not in variables:
        variables["PULUMI_CONFIG_PASSPHRASE_FILE"] = str(passphrase_file(home()))
    return variables


def run(
    stack: str, arguments: list[str], *, capture: bool = False, config_file: Path | None = None
) -> tuple[int, str]:
    """Run `pulumi <arguments>` on a stack; the exit status, and what it printed where that is captured.

    `config_file`: read in place of `Pulumi.<stack>.yaml`.
    """
    executable = pulumi_on_path()
    if executable is None:
        raise EngineError("there is no `pulumi` on PATH: install it, or take --engine offline")
    copy = _prepare(stack, config_file)
    try:
        done = subprocess.run(
            [executable, *arguments, "--stack", stack, "--config-file", str(copy)],
            cwd=ROOT,
            env=environment(),
            stdout=subprocess.PIPE if capture else None,
            text=True,
            check=False,
        )
    finally:
        if config_file is not None:
            shutil.rmtree(copy.parent)
    return done.returncode, done.stdout or ""
