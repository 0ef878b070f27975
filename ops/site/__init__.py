"""Everything that a command needs of one stack, opened in one place."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any

import typer

from core import outputs as names
from ops.aws import Aws
from ops.console import Reporter
from ops.errors import OpsError
from ops.site import files
from ops.site.databases import Databases
from ops.site.servers import Servers
from ops.stack import Stack
from ops.store import Store

StackName = Annotated[
    str, typer.Option("--stack", "-s", help="Stack: `dev`, `training`, `prod`, or one of your own.")
]
Authority = Annotated[
    Path | None,
    typer.Option(
        "--ca",
        metavar="FILE",
        envvar="OPENERP_DATABASE_CA",
        help="Certificate authority of the database server (RDS: Amazon's global bundle).",
    ),
]
Through = Annotated[
    str | None,
    typer.Option("--through", metavar="ADDRESS:PORT", help="Near end of a tunnel to the database server."),
]
FileSystems = Annotated[
    Path | None,
    typer.Option(
        "--file-systems",
        metavar="DIR",
        envvar="OPENERP_FILE_SYSTEMS",
        help="Where EFS file systems are mounted here, each at its root in a folder of its id. Without it a "
        "server looks at them, by SSM Run Command.",
    ),
]


@dataclass(frozen=True, kw_only=True)
class FileStore:
    """One file store: where it is mounted here, or the server that has it mounted."""

    file_system_id: str
    mounted: Path | None
    """The access point's root directory on this machine."""
    servers: Servers
    instance: str | None = None
    """The server to ask, where it is not mounted here; None: any app server."""

    def _folder(self, database: str) -> str:
        if self.mounted is None:
            raise OpsError(f"{self.file_system_id} is not mounted here")
        return str(self.mounted / "filestore" / database)

    def look(self, database: str) -> dict[str, Any]:
        """Return count, bytes and a digest a folder, see `ops.site.files.look`."""
        if self.mounted is not None:
            return files.look(self._folder(database))
        return self._ask("look_on_server", database, "look at the file store")

    def check(self, database: str, wanted: list[str], role: str = "", secret: str = "") -> dict[str, Any]:
        """Read every stored file that attachments name, see `ops.site.files.check`.

        A server takes the names from the database itself: as `role`, with the password in the secret of that
        ARN, or as the role that it serves with.
        """
        if self.mounted is not None:
            return files.check(self._folder(database), wanted)
        return self._ask("check_on_server", database, "check the file store", role=role, secret=secret)

    def _ask(self, function: str, database: str, what: str, **more: str) -> dict[str, Any]:
        instance = self.instance or self.servers.one()
        found: dict[str, Any] = self.servers.python(
            instance, Path(files.__file__), function, {"database": database, **more}, what=what, seconds=3600
        )
        return found


@dataclass(frozen=True, kw_only=True)
class Site:
    """One stack and the ways to it."""

    stack: Stack
    aws: Aws
    databases: Databases
    file_systems: Path | None
    reporter: Reporter

    @property
    def name(self) -> str:
        """The stack's name."""
        return self.stack.name

    @property
    def production(self) -> bool:
        """Whether the stack is for production."""
        return bool(self.stack.output(names.ENVIRONMENT) == "production")

    @cached_property
    def store(self) -> Store:
        """The stack's operations bucket."""
        return Store(self.aws.client("s3"), str(self.stack.output(names.OPERATIONS_BUCKET)))

    @property
    def servers(self) -> Servers:
        """The stack's servers."""
        return Servers(self.aws, self.stack, self.reporter)

    @property
    def files(self) -> FileStore:
        """The stack's file store."""
        file_system, path = (self.stack.output(key) for key in (names.FILE_SYSTEM_ID, names.FILE_SYSTEM_PATH))
        return self.files_at(str(file_system), str(path))

    def files_at(self, file_system_id: str, path: str, instance: str | None = None) -> FileStore:
        """Return another file store; `path` is the root directory of its access point."""
        mounted = None
        if self.file_systems is not None:
            mounted = self.file_systems / file_system_id / path.strip("/")
        return FileStore(
            file_system_id=file_system_id, mounted=mounted, servers=self.servers, instance=instance
        )


def open_site(
    stack: str,
    reporter: Reporter,
    *,
    ca: Path | None = None,
    through: str | None = None,
    file_systems: Path | None = None,
    aws: Aws | None = None,
) -> Site:
    """Open a stack. `aws`: clients of a test. Raises OpsError where it has no outputs yet."""
    opened = Stack(stack)
    clients = aws or Aws(str(opened.output(names.REGION)))
    if file_systems is not None and not file_systems.is_dir():
        raise OpsError(f"--file-systems: there is no folder {file_systems}")
    return Site(
        stack=opened,
        aws=clients,
        databases=Databases(stack=opened, aws=clients, ca=ca, through=through),
        file_systems=file_systems,
        reporter=reporter,
    )
