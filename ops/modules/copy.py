"""A scratch copy of a database, beside the one that people work in.

PostgreSQL copies a database that nobody is connected to, at the speed of its disk. It takes a lock first: who
wants to connect waits from then on, and is not refused. Sessions that have been idle for a while are ended,
which Odoo's pool of connections does not mind: it looks at each before it uses it. Those in the middle of
something are waited for, and never ended. So people see a pause, and no request fails.
"""

from __future__ import annotations

import secrets
import threading
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from ops.aws import wait
from ops.console import Reporter
from ops.databases.connection import Server
from ops.errors import OpsError

if TYPE_CHECKING:
    import psycopg

PREFIX: Final = "openerp_trial_"
"""Every database that begins so is scratch: whoever finds one that is left over removes it."""
PATIENCE: Final = 600.0
"""Seconds for people's long transactions to end."""
LONG: Final = 1.0
"""Seconds after which a transaction is a long one: no copy is tried while there is one."""
IDLE: Final = 0.5
"""Seconds after which a session is one that waits in a pool. Odoo looks whether such a session still stands
before it uses it, and opens another where it does not; in the middle of a request none rests that long."""
LARGE: Final = 256 << 20
"""Bytes from which a database is copied file by file, with a checkpoint of the server before and after, and
not block by block through its log. Measured: 1.1 GB in 3 s in place of 13 s; 33 MB in 2 to 3 s either way."""
TRIES: Final = 60
"""Tries of the copy; each makes new connections wait for up to five seconds (PostgreSQL's own patience)."""


RESTING: Final = (
    "from pg_stat_activity where datname = %s and state = 'idle' "
    "and clock_timestamp() - state_change > make_interval(secs => %s)"
)


@dataclass(frozen=True, kw_only=True)
class Copied:
    """A scratch copy."""

    database: str
    seconds: float
    """How long people's new connections waited, in all tries together."""
    bytes: int


def new_name() -> str:
    """Return a name for a scratch copy that no earlier run used."""
    return f"{PREFIX}{time.strftime('%Y%m%d%H%M%S', time.gmtime())}_{secrets.token_hex(2)}"


def leftovers(server: Server) -> list[str]:
    """Return the scratch copies on the server."""
    with server.connect(server.maintenance) as connection:
        rows = connection.execute(
            "select datname from pg_database where starts_with(datname, %s) order by 1", (PREFIX,)
        )
        return [row[0] for row in rows.fetchall()]


def remove(server: Server, database: str) -> None:
    """Drop a scratch copy, whoever is in it. Raises OpsError where it cannot be dropped."""
    import psycopg
    from psycopg import sql

    if not database.startswith(PREFIX):
        raise ValueError(f"{database} is no scratch copy")
    with server.connect(server.maintenance) as connection:
        try:
            connection.execute(
                sql.SQL("drop database if exists {} with (force)").format(sql.Identifier(database))
            )
        except psycopg.Error as error:
            raise OpsError(f"the scratch copy {database} cannot be dropped: {_said(error)}") from error


def make(server: Server, source: str, target: str, owner: str, reporter: Reporter) -> Copied:
    """Copy `source` as `target`. Raises OpsError; nothing is left of the copy then.

    `server`: as its master user.
    """
    waited = 0.0
    for number in range(TRIES):
        _await_quiet(server, source, reporter)
        began = time.monotonic()
        busy = _try(server, source, target, owner)
        waited += time.monotonic() - began
        if busy is None:
            return Copied(database=target, seconds=round(waited, 2), bytes=_close_to_others(server, target))
        reporter.note(f"try {number + 2}: {busy}")
    raise OpsError(
        f"{source} cannot be copied: sessions in it do not come to rest ({busy}); try again at a quieter hour"
    )


def _await_quiet(server: Server, database: str, reporter: Reporter) -> None:
    """Wait until no transaction is a long one, without holding anybody up."""
    with server.connect(server.maintenance) as connection:

        def look() -> bool | None:
            row = connection.execute(
                "select count(*), coalesce(max(age), 0)::float from (select extract(epoch from "
                "clock_timestamp() - xact_start) as age from pg_stat_activity where datname = %s and "
                "state <> 'idle') a where age > %s",
                (database, LONG),
            ).fetchone()
            if row is None or row[0] == 0:
                return True
            reporter.note(f"{row[0]} transactions are under way, the longest since {row[1]:.0f} s")
            return None

        wait(f"a moment without long transactions in {database}", look, reporter, seconds=PATIENCE, every=2)


def _try(server: Server, source: str, target: str, owner: str) -> str | None:
    """Copy once; return who stood in the way, None where the copy is made."""
    import psycopg
    from psycopg import sql

    ended = threading.Event()
    aside = threading.Thread(target=_end_idle, args=(server, source, ended), daemon=True)
    with server.connect(server.maintenance) as connection:
        size = connection.execute("select pg_database_size(%s)", (source,)).fetchall()[0][0]
        aside.start()
        try:
            connection.execute(
                sql.SQL("create database {} owner {} template {} strategy {}").format(
                    sql.Identifier(target),
                    sql.Identifier(owner),
                    sql.Identifier(source),
                    sql.SQL("file_copy" if size > LARGE else "wal_log"),
                )
            )
        except psycopg.errors.ObjectInUse as error:
            return str(error.diag.message_detail or _said(error))
        except psycopg.Error as error:
            raise OpsError(f"{source} cannot be copied as {target}: {_said(error)}") from error
        finally:
            ended.set()
            aside.join()
    return None


def _end_idle(server: Server, database: str, ended: threading.Event) -> None:
    """End sessions that do nothing, each looked at once more at the moment when it is ended."""
    import psycopg

    with server.connect(server.maintenance) as connection:
        while not ended.wait(0.05):
            rows = connection.execute(f"select pid {RESTING}", (database, IDLE)).fetchall()
            for (process,) in rows:
                try:
                    connection.execute(
                        f"select pg_terminate_backend(pid) {RESTING} and pid = %s",
                        (database, IDLE, process),
                    )
                except psycopg.errors.InsufficientPrivilege:
                    continue  # the copy says who stands in the way


def _close_to_others(server: Server, database: str) -> int:
    """Let nobody but its owner into the copy; return its size."""
    from psycopg import sql

    with server.connect(server.maintenance) as connection:
        connection.execute(sql.SQL("revoke all on database {} from public").format(sql.Identifier(database)))
        row = connection.execute("select pg_database_size(%s)", (database,)).fetchone()
    return int(row[0]) if row else 0


def _said(error: psycopg.Error) -> str:
    return str(error.diag.message_primary or error).strip().splitlines()[0]
