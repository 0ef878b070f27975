"""The databases of a training system between the restore and the first server that serves them.

What a database belongs to stands in its table `openerp_server_state` (docs/servers.md). Until every rule
holds in every database it says what production's said, and each server of training refuses it.
"""

# ruff: noqa: S608  (the name of that table is the only thing put into a statement)

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, Final

from core import names as constants
from core.neutralisation import CREATE_STATE, STATE, note_former
from core.training import strangers
from ops.errors import OpsError
from ops.site.databases import Databases

if TYPE_CHECKING:
    import psycopg

    Connection = psycopg.Connection[Any]

ENVIRONMENT: Final = "training"
RUN: Final = "refresh"
"""Key: the refresh that brought the database."""
UNFINISHED: Final = "an unfinished refresh"
"""What a database belongs to that would else be served."""
OURS: Final = """
    select n.nspname || '.' || c.relname from pg_class c join pg_namespace n on n.oid = c.relnamespace
    where c.relkind in ('r', 'p') and n.nspname not in ('pg_catalog', 'information_schema')
      and c.relname <> %s order by 1 limit 3
"""
OTHER_LOGINS: Final = """
    select rolname from pg_roles
    where rolcanlogin and not rolsuper and rolname not like 'rds%%' and rolname <> all (%s) order by 1
"""


@contextlib.contextmanager
def opened(databases: Databases, database: str) -> Iterator[Connection]:
    """Give a connection as the database's owner; what PostgreSQL refuses becomes one sentence."""
    import psycopg

    try:
        with databases.application(database).connect(database) as connection:
            yield connection
    except psycopg.Error as error:
        raise OpsError(f"the database {database}: {str(error).strip().splitlines()[0]}") from error


def has(connection: Connection, table: str) -> bool:
    """Return whether the database has a table."""
    row = connection.execute("select to_regclass(%s) is not null", [f"public.{table}"]).fetchone()
    return row == (True,)


def state(connection: Connection) -> dict[str, str]:
    """Return what the servers' table says; nothing where there is none."""
    if not has(connection, STATE):
        return {}
    return dict(connection.execute(f"select key, value from public.{STATE}").fetchall())


def set_state(connection: Connection, values: Mapping[str, str]) -> None:
    """Write into the servers' table, all or nothing."""
    with connection.transaction():
        connection.execute(CREATE_STATE.encode())
        for key, value in values.items():
            connection.execute(
                f"insert into public.{STATE} (key, value) values (%s, %s) "
                "on conflict (key) do update set value = excluded.value",
                [key, value],
            )


def made_here(found: Mapping[str, str]) -> bool:
    """Return whether the servers of training made a database themselves, by what the servers' table says."""
    return found.get("environment") == found.get("origin") == ENVIRONMENT and RUN not in found


def begin(connection: Connection, database: str, run: str) -> bool:
    """Note, once a refresh, what production's identity in this database is, and see that nobody serves it.

    Returns False for a database without an Odoo: the servers make it as their own. Raises OpsError for one
    that is half made.
    """
    connection.execute("set search_path to public")
    if not has(connection, "ir_module_module"):
        rest = [row[0] for row in connection.execute(OURS, [STATE]).fetchall()]
        if rest:
            raise OpsError(f"the database {database} is half made: it has {', '.join(rest)}, and no Odoo")
        # What production noted of it is not true of the one that will be made here.
        connection.execute(f"drop table if exists public.{STATE}")
        return False
    found = state(connection)
    if found.get("first_start", "done") != "done":
        raise OpsError(
            f"the database {database} was being made when the checkpoint was taken: name one that is later"
        )
    if found.get(RUN) != run:
        with connection.transaction():
            connection.execute(CREATE_STATE.encode())
            connection.execute(note_former().encode())
            values = {RUN: run}
            if found.get("environment") == ENVIRONMENT:
                values["environment"] = UNFINISHED
            set_state(connection, values)
    return True


def give(connection: Connection, values: Mapping[str, str]) -> None:
    """Give a database to the servers of training: from now on they serve it."""
    set_state(connection, {"environment": ENVIRONMENT, "first_start": "done", **values})


def names_there(databases: Databases) -> list[str]:
    """Return every database of the server."""
    server = databases.master()
    with server.connect(server.maintenance) as connection:
        return [
            row[0]
            for row in connection.execute(
                "select datname from pg_database where not datistemplate order by 1"
            ).fetchall()
        ]


def other_logins(databases: Databases) -> list[str]:
    """Return the login roles that came along and belong to no database of the stack."""
    server = databases.master()
    own = [*databases.logins(), constants.MASTER_USERNAME]
    with server.connect(server.maintenance) as connection:
        return [row[0] for row in connection.execute(OTHER_LOGINS, [own]).fetchall()]


def remove_strangers(databases: Databases) -> tuple[list[str], list[str]]:
    """Drop the databases that came along and are none of this system; let their logins in no more.

    They are a copy: the checkpoint and the source have them. Returns databases and logins.
    """
    import psycopg
    from psycopg import sql

    gone = strangers(names_there(databases), databases.names())
    logins = other_logins(databases)
    server = databases.master()
    with server.connect(server.maintenance) as connection:
        try:
            for database in gone:
                row = connection.execute(
                    "select pg_get_userbyid(datdba) from pg_database where datname = %s", [database]
                ).fetchone()
                if row and row[0] != constants.MASTER_USERNAME:
                    connection.execute(
                        sql.SQL("grant {} to {}").format(
                            sql.Identifier(row[0]), sql.Identifier(constants.MASTER_USERNAME)
                        )
                    )
                connection.execute(
                    sql.SQL("drop database if exists {} with (force)").format(sql.Identifier(database))
                )
            for login in logins:
                connection.execute(
                    sql.SQL("alter role {} nologin password null").format(sql.Identifier(login))
                )
        except psycopg.Error as error:
            said = str(error).strip().splitlines()[0]
            raise OpsError(f"what came along and is not of this system cannot be removed: {said}") from error
    return gone, logins
