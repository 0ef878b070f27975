"""What moto lacks or gets wrong and this program needs: one module a service, on moto's own backends.

Each module has ``install(context)``. Responses are added to moto's response classes, so that protocols,
parsing and serialising stay moto's; state is kept on moto's backends, so that it goes where they go.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from local.emulator.files import Files
    from local.emulator.nodes import Nodes
    from local.postgres.supervisor import Supervisor

MODULES = (
    "autoscaling", "backup", "backup_jobs", "budgets", "ec2", "efs", "elbv2", "iam", "images", "logs", "rds",
    "restore_testing", "s3", "ssm",
)  # fmt: skip


@dataclass(frozen=True)
class Context:
    """What an extension may use beside moto."""

    supervisor: Supervisor
    lock: threading.RLock
    """To be taken by background work that changes moto's objects."""
    nodes: Nodes
    files: Files


def install(supervisor: Supervisor, lock: threading.RLock, nodes: Nodes, files: Files) -> None:
    """Puts every extension in place. Once a process, before the first request."""
    context = Context(supervisor, lock, nodes, files)
    for name in MODULES:
        import_module(f"{__name__}.{name}").install(context)
