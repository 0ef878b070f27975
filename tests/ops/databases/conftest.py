"""A PostgreSQL over TLS, a master user as on RDS, and databases that look like Odoo's."""

from __future__ import annotations

import itertools
import signal
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from local.postgres.binaries import newest
from local.postgres.cluster import FORCE_TLS, Cluster, Master, copy, template
from local.postgres.processes import Spawner
from ops.databases import dump as dumping
from ops.databases import load as loading
from ops.databases.connection import Server
from tests.bench_dump import ODOO_TABLES, attach

PASSWORD = "p: \\ it's"
MASTER = Master("master", PASSWORD, None)
BINARIES = str(newest().directory)
SIZES = (0, 1, 511, 512, 513, 3000, 100_000)
_numbers = itertools.count()


@dataclass(frozen=True)
class Place:
    """What a test works with: a server, and a folder for file stores."""

    cluster: Cluster
    server: Server
    files: Path

    def sql(self, database: str, query: str) -> list[Any]:
        with self.server.connect(database) as connection:
            cursor = connection.execute(query)
            return [] if cursor.description is None else list(cursor.fetchall())

    def databases(self) -> set[str]:
        found = self.sql("postgres", "select datname from pg_database where not datistemplate")
        return {row[0] for row in found}

    def make(self, name: str | None = None, attachments: int = 20, sizes: tuple[int, ...] = SIZES) -> str:
        """Make a database with a file store and return its name."""
        from psycopg import sql

        name = name or f"d{next(_numbers)}"
        with self.server.connect("postgres") as connection:
            connection.execute(sql.SQL("create database {}").format(sql.Identifier(name)))
        with self.server.connect(name) as connection:
            connection.execute(ODOO_TABLES)
            connection.execute(
                "insert into ir_config_parameter (key, value) values ('database.secret', 'old secret')"
            )
            connection.execute('create table "Odd ""name" (id int primary key, "text" text)')
            connection.execute(
                'insert into "Odd ""name" select i, md5(i::text) from generate_series(1, 3000) i'
            )
            attach(connection, self.files / name, attachments, sizes)
        return name

    def dump_request(self, database: str, **changed: Any) -> dumping.Request:
        values: dict[str, Any] = {"database": database, "files": self.files, "postgres_bin": BINARIES}
        return dumping.Request(**values | changed)

    def load_request(self, database: str, **changed: Any) -> loading.Request:
        values: dict[str, Any] = {
            "database": database,
            "files": self.files,
            "new_uuid": True,
            "postgres_bin": BINARIES,
        }
        return loading.Request(**values | changed)

    def new_name(self) -> str:
        return f"n{next(_numbers)}"


@pytest.fixture(scope="session")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    home = tmp_path_factory.mktemp("dumps")
    copy(template(home / "cache"), home / "servers" / "one")
    made = Cluster(home / "servers" / "one", Spawner())
    try:
        # The wheel's pg_dump was built without TLS; the way with TLS is tested by connections alone.
        made.start({"max_connections": "60", FORCE_TLS: "0"})
        made.provide(MASTER)
        yield made
    finally:
        made.stop(signal.SIGQUIT)


@pytest.fixture
def place(cluster: Cluster, tmp_path: Path) -> Place:
    files = tmp_path / "filestore"
    files.mkdir()
    server = Server(
        host="127.0.0.1",
        port=cluster.port or 0,
        user=MASTER.name,
        password=PASSWORD,
    )
    return Place(cluster, server, files)
