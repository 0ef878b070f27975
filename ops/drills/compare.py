"""Whether restored data is what the manifest says: looked at by the drill's server, or from here."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Protocol

from core import names as constants
from core import outputs as names
from core.checkpoint import Broken, Found, FoundFiles, Manifest
from core.checkpoint import Database as Claimed
from core.drill_report import Database
from ops.databases import facts
from ops.databases.errors import DatabaseError
from ops.drills import on_server
from ops.errors import OpsError
from ops.site import FileStore, Site, files
from ops.site.databases import JOBS, Databases

HOURS: Final = 3600


class Reach(Protocol):
    """A way to look at restored data."""

    def database(self, claimed: Claimed) -> Found | None:
        """Return rows, modules and how many files attachments name; None where the database is not there."""

    def files(self, claimed: Claimed) -> tuple[FoundFiles, int, int]:
        """Return what the file store of a database holds, with the number and bytes of its files."""


@dataclass(frozen=True, kw_only=True)
class Compared:
    """The outcome."""

    found: Mapping[str, Found]
    databases: tuple[Database, ...]


def compare(manifest: Manifest, reach: Reach, site: Site) -> Compared:
    """Look at every database of a manifest, and read every file that its attachments name."""
    found: dict[str, Found] = {}
    rows: list[Database] = []
    for claimed in manifest.databases:
        site.reporter.step(f"compare {claimed.name} with the checkpoint")
        now = reach.database(claimed)
        if now is None:
            continue
        held, count, size = reach.files(claimed)
        found[claimed.name] = Found(
            rows=now.rows, modules=now.modules, uuid=now.uuid, attachments=now.attachments, files=held
        )
        rows.append(
            Database(
                name=claimed.name,
                tables=len(now.rows or ()),
                rows=sum((now.rows or {}).values()),
                modules=len(now.modules or ()),
                files=count,
                file_bytes=size,
                attachments=now.attachments or 0,
            )
        )
    return Compared(found=found, databases=tuple(rows))


def _files(looked: Mapping[str, Any], checked: Mapping[str, Any]) -> tuple[FoundFiles, int, int]:
    missing, damaged = (
        Broken(count=checked[f"{kind}_count"], names=tuple(checked[kind])) for kind in ("missing", "damaged")
    )
    held = FoundFiles(folders=looked["folders"], missing=missing, damaged=damaged)
    return held, looked["count"], looked["bytes"]


# From here


@dataclass(frozen=True, kw_only=True)
class FromHere:
    """The database over the network, the file store where it is mounted."""

    databases: Databases
    store: FileStore

    def database(self, claimed: Claimed) -> Found | None:
        """See `Reach`."""
        server = self.databases.master()
        with _absent(claimed.name) as absent, server.connect(claimed.name) as connection:
            modules = facts.modules_of(connection)
            stored = len(facts.stored_files(connection))
            uuid = facts.read(connection).database_uuid
        if absent:
            return None
        rows = facts.count(server, claimed.name, claimed.rows, None, JOBS)
        return Found(rows=rows, modules=modules, uuid=uuid, attachments=stored)

    def files(self, claimed: Claimed) -> tuple[FoundFiles, int, int]:
        """See `Reach`."""
        with self.databases.master().connect(claimed.name) as connection:
            wanted = sorted(facts.stored_files(connection))
        return _files(self.store.look(claimed.name), self.store.check(claimed.name, wanted))


@contextmanager
def _absent(database: str) -> Iterator[list[str]]:
    """Note that a database is not there; every other error goes on."""
    said: list[str] = []
    try:
        yield said
    except DatabaseError as error:
        if f'database "{database}" does not exist' not in str(error):
            raise
        said.append(str(error))


# By the drill's server


@dataclass(frozen=True, kw_only=True)
class ByServer:
    """The drill's server, which is the only one that reaches the data."""

    site: Site
    instance: str
    master_secret_arn: str

    def login(self, database: str) -> dict[str, str]:
        """Return role and secret of who owns a database; the master user's where the stack knows none."""
        arns = self.site.stack.output(names.APPLICATION_SECRET_ARNS)
        if database not in arns:
            return {"role": constants.MASTER_USERNAME, "secret": self.master_secret_arn}
        return {"role": self.site.databases.owner(database), "secret": str(arns[database])}

    def call(self, function: str, what: str, **arguments: Any) -> Any:
        """Call a function of `ops.drills.on_server` on the server; those that wait are told for how long."""
        seconds = HOURS + int(arguments.get("seconds", 0))
        return self.site.servers.python(
            self.instance, Path(on_server.__file__), function, arguments, what=what, seconds=seconds
        )

    def database(self, claimed: Claimed) -> Found | None:
        """See `Reach`."""
        tables = sorted(claimed.rows)
        what = f"count the rows of {claimed.name}"
        try:
            now = self.call("count", what, database=claimed.name, tables=tables, **self.login(claimed.name))
        except OpsError as error:
            if f'database "{claimed.name}" does not exist' in str(error):
                return None
            raise
        return Found(
            rows=now["rows"], modules=now["modules"], uuid=now["uuid"], attachments=now["attachments"]
        )

    def files(self, claimed: Claimed) -> tuple[FoundFiles, int, int]:
        """See `Reach`."""
        module, servers = Path(files.__file__), self.site.servers
        looked = servers.python(
            self.instance,
            module,
            "look_on_server",
            {"database": claimed.name},
            what=f"look at the files of {claimed.name}",
            seconds=HOURS,
        )
        checked = servers.python(
            self.instance,
            module,
            "check_on_server",
            {"database": claimed.name, **self.login(claimed.name)},
            what=f"read the files of {claimed.name}",
            seconds=12 * HOURS,
        )
        return _files(looked, checked)
