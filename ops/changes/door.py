"""Closing the databases of a running deployment, and opening them again.

A mark in each database makes every server wait instead of serving it, new ones too, while the load balancer
finds them well (core/servers/files/openerp_server/serve.py). The mark names the database server, so that what
is restored from a copy of the database is open. Requests that are under way end first.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from core import outputs as names
from ops.aws import wait
from ops.changes import fleet, on_server
from ops.errors import OpsError
from ops.site import Site
from ops.site.servers import GROUPS

if TYPE_CHECKING:
    import psycopg

KEY: Final = "closed"
OURS: Final = ("openerp ops", "openerp-server")
"""Names by which our own programs are known to PostgreSQL; Odoo's are others."""
LEAVE_SECONDS: Final = 180.0
"""Odoo gets 60 s to end its requests (core/servers/templates/units/_odoo.j2)."""
OPEN_SECONDS: Final = 900


def place(site: Site) -> str:
    """Return the database server as the servers know it."""
    return f"{site.stack.output(names.DATABASE_ADDRESS)}:{site.stack.output(names.DATABASE_PORT)}"


def databases(site: Site) -> list[str]:
    """Return the databases of the stack that are there, the working one first."""
    master = site.databases.master()
    with master.connect(master.maintenance) as connection:
        there = {row[0] for row in connection.execute("select datname from pg_database").fetchall()}
    working = site.stack.output(names.WORKING_DATABASE)
    wanted = sorted(site.databases.names(), key=lambda name: name != working)
    return [name for name in wanted if name in there]


def marked(site: Site) -> list[str]:
    """Return the databases that are closed."""
    closed = []
    for database in databases(site):
        with site.databases.application(database).connect(database) as connection:
            if read_state(connection, KEY) == place(site):
                closed.append(database)
    return closed


# The servers' own table (core/servers/files/openerp_server/first_start.py)


def _has_table(connection: psycopg.Connection[Any]) -> bool:
    query = "select to_regclass('public.openerp_server_state') is not null"
    return bool(connection.execute(query).fetchall()[0][0])


def read_state(connection: psycopg.Connection[Any], key: str) -> str | None:
    """Return what the servers' table holds for a key."""
    if not _has_table(connection):
        return None
    row = connection.execute(
        "select value from public.openerp_server_state where key = %s", (key,)
    ).fetchone()
    return str(row[0]) if row else None


def write_state(connection: psycopg.Connection[Any], key: str, value: str) -> None:
    """Write a value into the servers' table."""
    connection.execute(
        "create table if not exists public.openerp_server_state (key text primary key, value text not null)"
    )
    connection.execute(
        "insert into public.openerp_server_state values (%s, %s) "
        "on conflict (key) do update set value = excluded.value",
        (key, value),
    )


# Closing and opening


def close(site: Site) -> None:
    """Close every database, and return when nobody is in one. Raises OpsError; what was marked stays so."""
    servers = fleet.all_reached(site)
    for database in databases(site):
        with site.databases.application(database).connect(database) as connection:
            write_state(connection, KEY, place(site))
    for instance in servers:
        _call(site, instance, "restart", "let OpenERP end its requests and wait", seconds=600)
    wait("the last of OpenERP's sessions to end", lambda: _left(site), site.reporter, seconds=LEAVE_SECONDS)


def _left(site: Site) -> bool | None:
    """Return True when no session of OpenERP is in one of the databases."""
    master = site.databases.master()
    roles = sorted({site.databases.owner(database) for database in databases(site)})
    with master.connect(master.maintenance) as connection:
        rows = connection.execute(
            "select datname, count(*) from pg_stat_activity where datname = any(%s) and usename = any(%s) "
            "and application_name <> all(%s) group by 1 order by 1",
            (databases(site), roles, list(OURS)),
        ).fetchall()
    if rows:
        site.reporter.note(", ".join(f"{count} in {database}" for database, count in rows))
        return None
    return True


def open_again(site: Site) -> None:
    """Open every database, and return when every server that is reached serves."""
    for database in databases(site):
        with site.databases.application(database).connect(database) as connection:
            if _has_table(connection):
                connection.execute("delete from public.openerp_server_state where key = %s", (KEY,))
    for instance in [server for role in GROUPS for server in site.servers.online(role)]:
        _call(
            site,
            instance,
            "await_open",
            "wait until OpenERP serves",
            seconds=OPEN_SECONDS + 60,
            patience=OPEN_SECONDS,
        )


def _call(site: Site, instance: str, function: str, what: str, seconds: int, **arguments: Any) -> Any:
    try:
        return site.servers.python(
            instance, Path(on_server.__file__), function, arguments, what=what, seconds=seconds
        )
    except OpsError as error:
        if instance in site.servers.reached([instance]):
            raise
        site.reporter.warn(f"{instance} has ended meanwhile: {error}")
        return None
