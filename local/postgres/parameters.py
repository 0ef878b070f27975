"""Which values of an RDS parameter group a PostgreSQL on this machine runs with."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from pathlib import Path

from local.postgres.binaries import Binaries
from local.postgres.processes import run

OURS = frozenset(
    {
        "listen_addresses", "port", "unix_socket_directories", "data_directory", "hba_file", "ident_file",
        "config_file", "external_pid_file", "log_directory", "log_filename", "logging_collector",
        "log_destination",
        "ssl", "ssl_ca_file", "ssl_cert_file", "ssl_key_file", "ssl_crl_file", "ssl_crl_dir",
        "fsync", "archive_mode", "archive_command", "archive_library", "restore_command", "huge_pages",
        "shared_memory_type", "dynamic_shared_memory_type", "wal_level", "max_wal_senders",
    }
)  # fmt: skip
"""Where the server listens, logs and archives is this machine's business, not the parameter group's."""

MAXIMUM_SHARED_BUFFERS = 16384
"""In blocks of 8 KiB: 128 MiB. A group sized for a database server would reserve a workstation's memory."""


def _value(name: str, value: str) -> str:
    if name == "shared_buffers" and value.isdigit():
        return str(min(int(value), MAXIMUM_SHARED_BUFFERS))
    return value


def _accepted(binaries: Binaries, data: Path, values: Mapping[str, str]) -> bool:
    """Whether the server reads its configuration with ``values``: it is asked for its port and exits."""
    options = [part for name, value in values.items() for part in ("-c", f"{name}={value}")]
    asked = [binaries.path("postgres"), "-D", str(data), *options, "-C", "port"]
    try:
        run(data, asked)
    except RuntimeError:
        return False
    return True


@cache
def known_names(binaries: Binaries) -> frozenset[str]:
    """Every parameter of this release."""
    shown = run(None, [binaries.path("postgres"), "--describe-config"]).stdout
    return frozenset(line.split("\t")[0] for line in shown.splitlines())


def applicable(binaries: Binaries, data: Path, wanted: Mapping[str, str]) -> dict[str, str]:
    """What of ``wanted`` applies: known to this release, not this machine's business, and accepted.

    Names of RDS alone (``rds.log_retention_period``) and formulas (``{DBInstanceClassMemory/8192}``) do not.
    """
    known = known_names(binaries) - OURS if wanted else frozenset()
    chosen = {
        name: _value(name, value)
        for name, value in sorted(wanted.items())
        if name in known and "{" not in value
    }
    if not chosen or _accepted(binaries, data, chosen):
        return chosen
    return {name: value for name, value in chosen.items() if _accepted(binaries, data, {name: value})}
