"""What a database is asked, before a dump and after a load."""

from __future__ import annotations

from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from core.dump_manifest import Locale
from ops.databases.connection import Server
from ops.databases.errors import DatabaseError

if TYPE_CHECKING:
    import psycopg

COUNTED: Final = 20
"""So many of the largest tables have their rows counted."""

_LARGEST: Final = """
    select quote_ident(n.nspname) || '.' || quote_ident(c.relname)
    from pg_class c join pg_namespace n on n.oid = c.relnamespace
    where c.relkind = 'r' and c.relpersistence = 'p'
      and n.nspname not in ('pg_catalog', 'information_schema')
      and has_table_privilege(c.oid, 'select')
    order by pg_total_relation_size(c.oid) desc, 1
    limit %s
"""
_UNACCENT: Final = """
    select coalesce(bool_or(p.provolatile = 'i'), false)
    from pg_proc p
    join pg_depend d on d.classid = 'pg_proc'::regclass and d.objid = p.oid and d.deptype = 'e'
    join pg_extension e on e.oid = d.refobjid
    where e.extname = 'unaccent' and p.proname = 'unaccent'
"""


@dataclass(frozen=True, kw_only=True)
class Facts:
    """What a dump's manifest says of the database itself."""

    locale: Locale
    size: int
    """Bytes that it takes on the server."""
    immutable_unaccent: bool
    release: str | None
    database_uuid: str | None
    modules: dict[str, str]
    largest: tuple[str, ...]


def _one(connection: psycopg.Connection[Any], query: str, *values: object) -> Any:
    row = connection.execute(query, values).fetchone()
    if row is None:
        raise DatabaseError(f"PostgreSQL gave no answer to {query.split()[0]}")
    return row[0]


def version(connection: psycopg.Connection[Any]) -> tuple[int, str]:
    """Return a server's major release, and its version as `17.6`."""
    number = int(_one(connection, "show server_version_num"))
    return number // 10000, f"{number // 10000}.{number % 10000}"


def shared_buffers(connection: psycopg.Connection[Any]) -> int:
    """Return the bytes that a server keeps of its tables in memory."""
    return int(_one(connection, "select pg_size_bytes(current_setting('shared_buffers'))"))


def _has(connection: psycopg.Connection[Any], table: str) -> bool:
    return _one(connection, "select to_regclass(%s)", f"public.{table}") is not None


def read(connection: psycopg.Connection[Any]) -> Facts:
    """Ask the database that `connection` is in."""
    row = connection.execute(
        "select pg_encoding_to_char(encoding), datcollate, datctype, pg_database_size(oid) from pg_database "
        "where datname = current_database()"
    ).fetchone()
    if row is None or row[0] != "UTF8":
        raise DatabaseError(f"the database's encoding is {row and row[0]}: Odoo's is UTF8")
    modules = modules_of(connection)
    uuid = None
    if _has(connection, "ir_config_parameter"):
        found = connection.execute(
            "select value from public.ir_config_parameter where key = 'database.uuid'"
        ).fetchone()
        uuid = found[0] if found else None
    base = modules.get("base", "")
    return Facts(
        locale=Locale(collate=row[1], ctype=row[2]),
        size=row[3],
        immutable_unaccent=_one(connection, _UNACCENT),
        release=".".join(base.split(".")[:2]) or None,
        database_uuid=uuid,
        modules=modules,
        largest=tuple(row[0] for row in connection.execute(_LARGEST, [COUNTED])),
    )


def modules_of(connection: psycopg.Connection[Any]) -> dict[str, str]:
    """Return the installed modules of Odoo and their versions."""
    if not _has(connection, "ir_module_module"):
        return {}
    rows = connection.execute(
        "select name, coalesce(latest_version, '') from public.ir_module_module "
        "where state = 'installed' order by name"
    )
    return dict(rows.fetchall())


def stored_files(connection: psycopg.Connection[Any]) -> set[str]:
    """Return the names of the files that attachments have in the file store."""
    if not _has(connection, "ir_attachment"):
        return set()
    rows = connection.execute(
        "select distinct store_fname from public.ir_attachment where coalesce(store_fname, '') <> ''"
    )
    return {row[0] for row in rows}


def rows_of(connection: psycopg.Connection[Any], table: str) -> int | None:
    """Count a table's rows; None where there is no such table. `table`: as SQL writes it."""
    if _one(connection, "select to_regclass(%s)", table) is None:
        return None
    counted: int = _one(connection, f"select count(*) from {table}")  # noqa: S608  (quoted by PostgreSQL)
    return counted


def written(connection: psycopg.Connection[Any]) -> dict[str, tuple[int, int, int]]:
    """Return how many rows were inserted, deleted and updated in each table since the server counts them.

    By `schema.table` as SQL writes it. What ended in the last seconds may not be among them yet.
    """
    rows = connection.execute(
        "select quote_ident(schemaname) || '.' || quote_ident(relname), n_tup_ins, n_tup_del, n_tup_upd "
        "from pg_stat_user_tables"
    )
    return {table: (inserted, deleted, updated) for table, inserted, deleted, updated in rows}


def count(
    server: Server, database: str, tables: Iterable[str], role: str | None, jobs: int
) -> dict[str, int]:
    """Count the rows of `tables` on `jobs` connections; a table that is not there is left out."""
    names = list(tables)

    def one(share: list[str]) -> dict[str, int | None]:
        with server.connect(database) as connection:
            act_as(connection, role)
            return {table: rows_of(connection, table) for table in share}

    shares = [share for number in range(jobs) if (share := names[number::jobs])]
    with ThreadPoolExecutor(max_workers=jobs) as pool:
        found = [item for part in pool.map(one, shares) for item in part.items()]
    return {table: rows for table, rows in found if rows is not None}


def act_as(connection: psycopg.Connection[Any], role: str | None) -> None:
    """Let the session be `role` from now on."""
    from psycopg import sql

    if role is not None:
        connection.execute(sql.SQL("set role {}").format(sql.Identifier(role)))
