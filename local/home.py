"""Where things are on this machine, and what the processes of a run are told in their environment."""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path
from typing import Final

from local.stand_in import is_stand_in

ROOT: Final = Path(__file__).resolve().parent.parent
"""The project's directory, with `Pulumi.yaml`."""
STAND_IN: Final = ROOT / "local" / "stand_in"
"""Holds a `pulumi` that is this machine's engine, for what calls the CLI by name."""

_NOT_PASSED_ON: Final = (
    "AWS_PROFILE",
    "AWS_DEFAULT_PROFILE",
    "AWS_SESSION_TOKEN",
    "AWS_SECURITY_TOKEN",
    "AWS_ROLE_ARN",
    "AWS_WEB_IDENTITY_TOKEN_FILE",
    "AWS_CONTAINER_CREDENTIALS_FULL_URI",
    "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI",
)
"""Variables by which a process could find a real account."""

_ONE_SERVICE: Final = "AWS_ENDPOINT_URL_"
_LOOPBACK: Final = "127.0.0.1,localhost"


def home() -> Path:
    """The directory of everything that runs and is kept here: OPENERP_LOCAL_HOME, else `.local`."""
    given = os.environ.get("OPENERP_LOCAL_HOME")
    return Path(given).resolve() if given else ROOT / ".local"


def cache() -> Path:
    """What can be made again and takes long: OPENERP_LOCAL_CACHE, else `cache` in the home."""
    given = os.environ.get("OPENERP_LOCAL_CACHE")
    return Path(given).resolve() if given else home() / "cache"


def state_directory() -> Path:
    """The root of the Pulumi file backend."""
    return home() / "state"


def config_copies() -> Path:
    """Copies of the stacks' configuration that hold this machine's encryption salt."""
    return home() / "config"


def pulumi_on_path() -> str | None:
    """The path of the `pulumi` executable, or None where there is none on PATH. Never our own stand-in."""
    return shutil.which("pulumi", path=without_stand_in(os.environ.get("PATH", os.defpath)))


def without_stand_in(path: str) -> str:
    """A value of PATH without the folders in which `pulumi` is a stand-in of ours."""
    return os.pathsep.join(part for part in path.split(os.pathsep) if not is_stand_in(Path(part) / "pulumi"))


def operations_environment(endpoint_url: str, region: str) -> dict[str, str]:
    """What `python -m ops` is told on this machine, so that it finds the emulator's cloud as it would AWS."""
    return {
        **emulator_environment(endpoint_url, region),
        "OPENERP_PYTHON": sys.executable,
        "OPENERP_LOCAL_HOME": str(home()),
        "OPENERP_LOCAL_CACHE": str(cache()),
        "OPENERP_DATABASE_CA": str(home() / "postgres" / "ca.pem"),
        "OPENERP_FILE_SYSTEMS": os.environ.get(
            "OPENERP_FILE_SYSTEMS", str(home() / "nodes" / "file-systems")
        ),
        "PATH": os.pathsep.join([str(STAND_IN), without_stand_in(os.environ.get("PATH", os.defpath))]),
    }


def distribution(stack: str) -> Path:
    """Where the client configuration of a stack is written."""
    return ROOT / "dist" / stack


def stay_on_this_machine() -> None:
    """Take out of this process's environment whatever leads to a real AWS account, or around loopback.

    A service's own endpoint (`AWS_ENDPOINT_URL_S3`) comes before the emulator's. A proxy, which the package
    registry may need, is not asked for loopback: it would answer there in place of engine and emulator.
    """
    for name in [name for name in os.environ if name in _NOT_PASSED_ON or name.startswith(_ONE_SERVICE)]:
        del os.environ[name]
    for name in ("no_proxy", "NO_PROXY"):
        os.environ[name] = ",".join(filter(None, [os.environ.get(name, ""), _LOOPBACK]))


def emulator_environment(endpoint_url: str, region: str) -> dict[str, str]:
    """What makes AWS clients talk to the emulator, with credentials that are good for nothing else."""
    return {
        "AWS_ENDPOINT_URL": endpoint_url,
        "AWS_ACCESS_KEY_ID": "emulator",
        "AWS_SECRET_ACCESS_KEY": "emulator",
        "AWS_REGION": region,
        "AWS_DEFAULT_REGION": region,
        "AWS_EC2_METADATA_DISABLED": "true",
        "AWS_CONFIG_FILE": os.devnull,
        "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
    }
