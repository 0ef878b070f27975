"""What a database holds of a module, and what an import wrote: read with SQL, after Odoo has ended."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from core.module_evidence import Content, is_bookkeeping
from ops.databases import facts
from ops.errors import OpsError

if TYPE_CHECKING:
    import psycopg

LAST_WRITTEN: Final = ("write_date", "write_uid")
"""Columns that Odoo changes with every write, also of the same values."""
PATIENCE: Final = 120.0
"""Seconds for the sessions of a process that has ended to end as well."""


@dataclass(frozen=True, kw_only=True)
class Module:
    """A module as a database knows it."""

    state: str | None
    """None where the database does not know it."""
    version: str | None
    """As installed."""
    created: dict[str, int]
    """Records that it owns, by model."""
    owned: str
    """Digest of their external ids and models; the same in every database that has the same of them."""


def module(connection: psycopg.Connection[Any], name: str) -> Module:
    """Return what the database knows of a module."""
    row = connection.execute(
        "select state, latest_version from public.ir_module_module where name = %s", (name,)
    ).fetchone()
    rows = connection.execute(
        "select model, name from public.ir_model_data where module = %s", (name,)
    ).fetchall()
    created: dict[str, int] = {}
    for model, _ in rows:
        created[model] = created.get(model, 0) + 1
    listed = "".join(f"{model} {identifier}\n" for model, identifier in sorted(rows))
    return Module(
        state=row[0] if row else None,
        version=row[1] if row else None,
        created=created,
        owned=hashlib.sha256(listed.encode()).hexdigest(),
    )


def known(connection: psycopg.Connection[Any], names: Iterable[str]) -> dict[str, str]:
    """Return the state of each of these modules that the database knows."""
    rows = connection.execute(
        "select name, state from public.ir_module_module where name = any(%s)", (list(names),)
    )
    return dict(rows.fetchall())


def await_end(connection: psycopg.Connection[Any]) -> None:
    """Wait until nobody else is in the database: then the server has counted all that was written."""
    deadline = time.monotonic() + PATIENCE
    while True:
        row = connection.execute(
            "select count(*) from pg_stat_activity where datname = current_database() "
            "and pid <> pg_backend_pid() and backend_type = 'client backend'"
        ).fetchone()
        if row is not None and row[0] == 0:
            return
        if time.monotonic() > deadline:
            raise OpsError(f"sessions in {connection.info.dbname} do not end: what was written is not known")
        time.sleep(0.1)


def written(connection: psycopg.Connection[Any]) -> dict[str, tuple[int, int, int]]:
    """Return what was written to each table so far: rows inserted, deleted, updated."""
    return {table: counts for table, counts in facts.written(connection).items() if any(counts)}


def contents(connection: psycopg.Connection[Any], tables: Iterable[str]) -> dict[str, Content]:
    """Return what is in tables (as SQL writes them); one that is not there is left out."""
    found = {}
    for table in tables:
        columns = [
            row[0]
            for row in connection.execute(
                "select quote_ident(attname) from pg_attribute where attrelid = to_regclass(%s) "
                "and attnum > 0 and not attisdropped and attname <> all(%s) order by attnum",
                (table, list(LAST_WRITTEN)),
            )
        ]
        if columns:
            found[table] = _content(connection, table, columns)
    return found


def _content(connection: psycopg.Connection[Any], table: str, columns: list[str]) -> Content:
    """Count and digest rows in whatever order; two hashes of 64 bits each, summed."""
    # The names were quoted by PostgreSQL.
    query = (
        "select count(*), coalesce(sum(hashtextextended(r::text, 0)), 0), "  # noqa: S608
        f"coalesce(sum(hashtextextended(r::text, 1)), 0) from (select {', '.join(columns)} from {table}) r"
    )
    rows, first, second = connection.execute(query).fetchall()[0]
    return Content(rows=rows, digest=hashlib.sha256(f"{rows} {first} {second}".encode()).hexdigest()[:32])


def told(counts: Iterable[str]) -> list[str]:
    """Return those tables that tell what an import did."""
    return sorted(table for table in counts if not is_bookkeeping(table))
