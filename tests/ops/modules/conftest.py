"""A PostgreSQL over which people work as Odoo's servers do, and the tables that a trial looks at."""

from __future__ import annotations

import itertools
import signal
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import psycopg
import pytest
from psycopg import sql

from local.postgres.cluster import FORCE_TLS, Cluster, Master, copy, template
from local.postgres.processes import Spawner
from ops.databases.connection import Server
from tests.ops.changes.stacks import both, stacks

__all__ = ["both", "stacks"]

PASSWORD = "of-the-test"
OWNER = "openerp_app"
TABLES = """
create table ir_module_module (
    id serial primary key, name text, state text, latest_version text,
    write_date timestamp default now(), write_uid int
);
create table ir_module_module_dependency (id serial primary key, name text, module_id int);
create table ir_model_data (
    id serial primary key, module text, name text, model text, res_id int, noupdate bool default false,
    write_date timestamp default now(), write_uid int
);
create table ir_config_parameter (id serial primary key, key text, value text);
create table ir_attachment (id serial primary key, name text, store_fname text, file_size int);
create table res_partner (
    id serial primary key, name text, email text, active bool default true,
    write_date timestamp default now(), write_uid int
);
create table "Odd ""name" (id serial primary key, "Some text" text);
create table ir_cron_trigger (id serial primary key, cron_id int, call_at timestamp);
create table orm_signaling_registry (id serial primary key, date timestamp default now());
insert into ir_module_module (name, state, latest_version) values
    ('base', 'installed', '19.0.1.3'), ('contacts', 'installed', '19.0.1.0'), ('crm', 'uninstalled', null);
insert into ir_config_parameter (key, value) values ('database.uuid', '6f0e1f1c-0000-4000-8000-000000000001');
insert into res_partner (name, email)
select 'Partner ' || i, i || '@example.com' from generate_series(1, 500) i;
"""
_numbers = itertools.count()


@dataclass(frozen=True)
class Place:
    """A database server, as its master user and as the application sees it."""

    master: Server
    application: Server

    def make(self, name: str | None = None) -> str:
        """Make a database like Odoo's."""
        name = name or f"work{next(_numbers)}"
        with self.master.connect("postgres") as connection:
            connection.execute(
                sql.SQL("create database {} owner {}").format(sql.Identifier(name), sql.Identifier(OWNER))
            )
        with self.application.connect(name) as connection:
            connection.execute(TABLES)
        return name

    def sql(self, database: str, query: str) -> list[Any]:
        with self.application.connect(database) as connection:
            cursor = connection.execute(query)
            return [] if cursor.description is None else cursor.fetchall()

    def databases(self) -> set[str]:
        return {row[0] for row in self.sql("postgres", "select datname from pg_database")}


@pytest.fixture(scope="session")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    home = tmp_path_factory.mktemp("trials")
    copy(template(home / "cache"), home / "servers" / "one")
    cluster = Cluster(home / "servers" / "one", Spawner())
    try:
        cluster.start({"max_connections": "60", FORCE_TLS: "0"})
        cluster.provide(Master("openerp_admin", PASSWORD, None))
        servers = [
            Server(host="127.0.0.1", port=cluster.port or 0, user=user, password=PASSWORD)
            for user in ("openerp_admin", OWNER)
        ]
        with servers[0].connect("postgres") as connection:
            connection.execute(
                sql.SQL("create role {} login createdb password {}").format(
                    sql.Identifier(OWNER), sql.Literal(PASSWORD)
                )
            )
            connection.execute(sql.SQL("grant {} to current_user").format(sql.Identifier(OWNER)))
        yield Place(*servers)
    finally:
        cluster.stop(signal.SIGQUIT)


@dataclass
class Work:
    """What people did, and what went wrong for them."""

    saved: list[str] = field(default_factory=list)
    failed: list[str] = field(default_factory=list)
    longest: float = 0.0


class Person(threading.Thread):
    """Saves again and again on a connection of a pool, which is looked at before it is used, as Odoo does."""

    def __init__(self, server: Server, database: str, pause: float, work: Work) -> None:
        super().__init__(daemon=True)
        self._server, self._database, self._pause, self._work = server, database, pause, work
        self.stopping = threading.Event()
        self._connection: psycopg.Connection[Any] | None = None

    def _borrow(self) -> psycopg.Connection[Any]:
        if self._connection is not None:
            try:
                self._connection.execute("rollback")
                return self._connection
            except psycopg.OperationalError:
                self._connection.close()
        self._connection = self._server.connect(self._database)
        return self._connection

    def run(self) -> None:
        try:
            self._work_until_told()
        finally:
            if self._connection is not None:
                self._connection.close()

    def _work_until_told(self) -> None:
        number = 0
        while not self.stopping.wait(self._pause):
            name = f"{self.name} {number}"
            began = time.monotonic()
            try:
                connection = self._borrow()
                with connection.transaction():
                    connection.execute("insert into res_partner (name) values (%s)", (name,))
                    connection.execute("select count(*) from res_partner")
                self._work.saved.append(name)
            except psycopg.Error as error:
                self._work.failed.append(str(error))
            self._work.longest = max(self._work.longest, time.monotonic() - began)
            number += 1


@dataclass(frozen=True)
class People:
    """Starts people in a database, and ends them."""

    begin: Callable[..., Work]
    end: Callable[[], None]


@pytest.fixture
def people(place: Place) -> Iterator[People]:
    """People who work until they are told, or the test ends."""
    started: list[Person] = []

    def begin(database: str, *pauses: float) -> Work:
        work = Work()
        for pause in pauses:
            person = Person(place.application, database, pause, work)
            started.append(person)
            person.start()
        return work

    def end() -> None:
        for person in started:
            person.stopping.set()
        for person in started:
            person.join()

    yield People(begin, end)
    end()
