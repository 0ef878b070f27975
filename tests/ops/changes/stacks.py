"""Development and production on one emulator, their databases like Odoo's; `odoo.py` stands for servers."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from local.emulator import stop
from ops.site import Site
from ops.store import Store
from tests.bench_dump import ODOO_TABLES, attach
from tests.ops.changes.odoo import BEHAVIOUR
from tests.ops.training.two_stacks import Both, small, sql

DEVELOPMENT, PRODUCTION = "dev", "prod"
TABLES = f"""
{ODOO_TABLES}
create table res_partner (id serial primary key, name text, write_date timestamp, write_uid int);
create table ir_model_data (
    id serial primary key, module text, name text, model text, res_id int, write_date timestamp, write_uid int
);
insert into res_partner (name) select md5(i::text) from generate_series(1, 500) i;
insert into ir_module_module (name, state, latest_version) values
    ('contacts', 'installed', '19.0.1.0'), ('crm', 'uninstalled', null);
create table openerp_server_state (key text primary key, value text not null);
insert into openerp_server_state values ('first_start', 'done');
"""
PARTNERS = "id,name,is_company\nplain_one,Acme One,True\nplain_two,Acme Two,True\n"
HASHES = {"old": "ab" * 32, "new": "cd" * 32}


class Stacks(Both):
    """Both stacks, and the operator's commands."""

    def __init__(self, directory: Path) -> None:
        super().__init__(directory)
        self.behaviour = directory / "odoo" / "behaviour.json"
        self.behaviour.parent.mkdir()

    @property
    def environment(self) -> dict[str, str]:
        return {**super().environment, BEHAVIOUR: str(self.behaviour), "PYTHONPATH": str(self.root)}

    @property
    def root(self) -> Path:
        return Path(__file__).resolve().parents[3]

    def behaves(self, **how: Any) -> None:
        """Say how servers behave from now on."""
        self.behaviour.write_text(json.dumps(how))
        self.behaviour.with_name("asked").unlink(missing_ok=True)

    def asked(self) -> list[str]:
        """What servers were asked since then."""
        path = self.behaviour.with_name("asked")
        return path.read_text().splitlines() if path.exists() else []

    def ops(
        self, *command: str, status: int = 0, dies: str = "", **environment: str
    ) -> subprocess.CompletedProcess[str]:
        """Run a command; `dies`: it is killed when a step begins with these words."""
        done = subprocess.run(
            [sys.executable, "-m", "tests.ops.changes.odoo", *command],
            cwd=self.project,
            env={
                **os.environ,
                **self.environment,
                "NO_COLOR": "1",
                "OPENERP_TEST_DIES": dies,
                **environment,
            },
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
        )
        wanted = -signal.SIGKILL if dies else status
        assert done.returncode == wanted, f"{' '.join(command)}:\n{done.stdout}{done.stderr}"
        assert "Traceback" not in done.stderr, done.stderr
        return done

    def fails(self, *command: str) -> str:
        """Run a command that fails in one sentence, and return that."""
        error = self.ops(*command, status=1).stderr.strip().splitlines()[-1]
        assert error.startswith("error: "), error
        return error

    def store(self, stack: str) -> Store:
        return self.site(stack).store

    def sql(self, stack: str, query: str, database: str = "openerp") -> list[Any]:
        return sql(self.site(stack), database, query)

    def module(
        self, directory: Path, name: str, csv: str = PARTNERS, version: str = "1.0", depends: str = "contacts"
    ) -> Path:
        """Write a data module."""
        folder = directory / name
        (folder / "data").mkdir(parents=True, exist_ok=True)
        (folder / "__init__.py").touch()
        (folder / "data" / "res.partner.csv").write_text(csv)
        manifest = {
            "name": name,
            "version": version,
            "depends": [depends],
            "data": ["data/res.partner.csv"],
            "license": "LGPL-3",
        }
        (folder / "__manifest__.py").write_text(repr(manifest))
        return folder


def fill(site: Site, database: str) -> None:
    """Make a database look like Odoo's, with some attachments."""
    with site.databases.application(database).connect(database) as connection:
        connection.execute(TABLES)
        assert site.files.mounted is not None
        store = site.files.mounted / "filestore" / database
        store.mkdir(parents=True)
        attach(connection, store, 8, (0, 1, 511, 3000))


def nightly(config: dict[str, Any]) -> None:
    small(config)
    config["openerp:package"] = {"source": "nightly", "date": "20261001", "sha256": HASHES["old"]}


@pytest.fixture(scope="session")
def both(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stacks]:
    made = Stacks(tmp_path_factory.mktemp("changes"))
    try:
        made.configure(DEVELOPMENT, small)
        made.configure(PRODUCTION, nightly)
        for stack in (DEVELOPMENT, PRODUCTION):
            made.up(stack)
        yield made
    finally:
        stop(made.home)


@pytest.fixture
def stacks(both: Stacks, monkeypatch: pytest.MonkeyPatch) -> Stacks:
    """Both stacks, from within their project, filled once; servers do well."""
    monkeypatch.chdir(both.project)
    for name, value in both.environment.items():
        monkeypatch.setenv(name, value)
    both.behaves()
    for stack in (DEVELOPMENT, PRODUCTION):
        site = both.site(stack)
        assert site.files.mounted is not None
        for database in site.databases.names():
            if not (site.files.mounted / "filestore" / database).is_dir():
                fill(site, database)
    return both
