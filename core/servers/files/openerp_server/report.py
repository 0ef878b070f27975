"""Why a unit failed, where an operator looks first: the console output of the instance."""

from __future__ import annotations

import subprocess

from . import common


def report(unit: str) -> None:
    """Write the last lines that `unit` logged to the console."""
    logged = subprocess.run(
        ["journalctl", "--unit", unit, "--lines", "15", "--output", "cat", "--no-pager"],
        capture_output=True,
        text=True,
        check=False,
    ).stdout
    for line in logged.strip().splitlines():
        common.tell(f"{unit}: {line}")
    common.tell(f"{unit} FAILED: this server does not serve and will not join the load balancer")
