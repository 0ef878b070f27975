"""What servers with Odoo would do, on real PostgreSQL: imports commit or roll back as Odoo's do.

It stands for `Servers.python` alone: what is sent, when, and what is made of the answer is the commands' own.
Real Odoo is asked by tests/e2e/test_modules.py. `behaviour.json` beside it says what goes wrong, and who is
killed: `{"die": "bring_in"}` kills the command when the server is asked that, `{"die after": …}` when it has
answered.
"""

from __future__ import annotations

import ast
import csv
import io
import json
import os
import signal
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from core import outputs as names
from core.module_package import object_key
from ops.changes import door
from ops.errors import OpsError
from ops.modules.wanted import unpack
from ops.site import Site
from ops.site.servers import Role, Servers
from ops.stack import Stack

BEHAVIOUR = "OPENERP_TEST_BEHAVIOUR"
LINE = "2026-11-28 21:23:27,827 9"
FAILED = """\
2026-11-28 21:21:59,417 1 INFO x odoo.modules.loading: loading {name}/data/res.partner.csv \n\
2026-11-28 21:21:59,979 1 CRITICAL x odoo.service.server: Failed to initialize database `x`. \n\
Traceback (most recent call last):
  File "convert.py", line 754, in convert_csv_import
Exception: {said}
"""


def behaviour() -> dict[str, Any]:
    path = Path(os.environ[BEHAVIOUR])
    found: dict[str, Any] = json.loads(path.read_text()) if path.exists() else {}
    return found


def asked(what: str) -> None:
    """Remember what servers were asked."""
    with Path(os.environ[BEHAVIOUR]).with_name("asked").open("a") as file:
        file.write(f"{what}\n")


class BrokenImportError(Exception):
    """Odoo ends with an exception, and rolls the module back."""


class Odoo:
    """The servers of a site."""

    def __init__(self, site: Site) -> None:
        self.site = site
        self.folder = Path(os.environ[BEHAVIOUR]).parent

    def _connect(self, database: str) -> Any:
        working = str(self.site.stack.output(names.WORKING_DATABASE))
        known = self.site.databases.names()
        return self.site.databases.application(database if database in known else working).connect(database)

    # ops/changes/on_server.py

    def restart(self) -> dict[str, Any]:
        return {}

    def await_open(self, patience: int) -> dict[str, Any]:
        if door.marked(self.site):
            raise OpsError("the login page is answered with status 503")
        return {}

    def bring_in(self, database: str, name: str, update: bool, addons: str) -> dict[str, Any]:
        with self._connect(database) as connection:
            connection.execute("select pg_advisory_lock(7106469853)")
            try:
                log = self._import(connection, name, self._files(name, addons), update=update)
            except BrokenImportError as broken:
                said = FAILED.format(name=name, said=broken)
                return {"status": 255, "seconds": 1.0, "log": said.splitlines()}
        return {"status": 0, "seconds": 1.0, "log": log}

    def _import(self, connection: Any, name: str, files: dict[str, str] | None, *, update: bool) -> list[str]:
        if files is None:
            return [f"{LINE} WARNING x odoo.modules.loading: invalid module names, ignored: {name}"]
        manifest = ast.literal_eval(files["__manifest__.py"])
        known = dict(connection.execute("select name, state from ir_module_module").fetchall())
        for needed in manifest["depends"]:
            if known.get(needed) == "uninstalled":  # committed before the module itself is begun
                connection.execute(
                    "update ir_module_module set state = 'installed', latest_version = '19.0.1.0' "
                    "where name = %s",
                    (needed,),
                )
        if name not in known:
            connection.execute(
                "insert into ir_module_module (name, state) values (%s, 'uninstalled')", (name,)
            )
        if update and known.get(name) != "installed":
            return []
        rows = list(csv.DictReader(io.StringIO(files["data/res.partner.csv"])))
        if update and rows and "id" not in rows[0]:
            return [f"{LINE} ERROR x odoo.tools.convert: Import specification does not contain 'id'"]
        if behaviour().get("makes fewer") == name:
            del rows[-1]
        with connection.transaction():
            for row in rows:
                if behaviour().get("breaks") == name:
                    raise BrokenImportError("Odoo does not like it here")
                if row.get("is_company") == "perhaps":
                    raise BrokenImportError(
                        f"Module loading {name} failed: file {name}/data/res.partner.csv could not be "
                        "processed:\nUnknown value 'perhaps' for boolean field 'Is a Company'"
                    )
                self._record(connection, name, row)
            connection.execute(
                "update ir_module_module set state = 'installed', latest_version = %s where name = %s",
                (f"19.0.{manifest['version']}", name),
            )
        return [f"{LINE} INFO x odoo.modules.loading: Modules loaded."]

    @staticmethod
    def _record(connection: Any, name: str, row: Mapping[str, str]) -> None:
        found = connection.execute(
            "select res_id from ir_model_data where module = %s and name = %s", (name, row.get("id"))
        ).fetchone()
        # What has no external id, or says so, is made anew each time.
        if found is None or row.get("again"):
            made = connection.execute(
                "insert into res_partner (name) values (%s) returning id", (row["name"],)
            ).fetchone()
            if found is None and row.get("id"):
                connection.execute(
                    "insert into ir_model_data (module, name, model, res_id) values (%s, %s, %s, %s)",
                    (name, row["id"], "res.partner", made[0]),
                )
        else:
            connection.execute(
                "update res_partner set name = %s, write_date = now() where id = %s", (row["name"], found[0])
            )

    def _files(self, name: str, addons: str) -> dict[str, str] | None:
        """The module where the servers have it: a trial's folder, or their own, which `pulumi up` fills."""
        if addons:
            sha256 = json.loads((self.folder / "trial.json").read_text())[name]
        else:
            served = {row["name"]: row["sha256"] for row in self.site.stack.output(names.DATA_MODULES)}
            if name not in served:
                return None
            sha256 = served[name]
        archive = self.site.store.read_bytes(object_key(name, sha256))
        assert archive is not None
        return {path: content.decode() for path, content in unpack(archive).items()}

    def update(self, database: str, modules: list[str], run: str, tenant: str) -> dict[str, Any]:
        breaks = behaviour().get("update breaks")
        with self._connect(database) as connection:
            before = connection.execute(
                "select count(*) from ir_module_module where state = 'installed'"
            ).fetchone()[0]
            connection.execute("update ir_module_module set latest_version = '19.0.1.4' where name = 'base'")
        found = {"status": 0, "seconds": 2.0, "log": [], "left": [], "modules": before}
        if breaks == database:
            said = FAILED.format(name="crm", said="column crm_lead.nothing does not exist")
            return {**found, "status": 255, "log": said.splitlines()}
        return found

    def versions(self, database: str, tenant: str) -> dict[str, list[str]]:
        with self._connect(database) as connection:
            rows = connection.execute(
                "select name, state, latest_version from ir_module_module where state <> 'uninstalled'"
            ).fetchall()
        on_disk = behaviour().get("on disk", {})
        return {name: [state, version, on_disk.get(name, version)] for name, state, version in rows}

    def log_in(self, database: str, tenant: str, patience: int) -> dict[str, str]:
        login = behaviour().get("login", "in")
        if isinstance(login, dict):
            login = login["after" if door.marked(self.site) else "before"]
        return {"login": login}

    # ops/modules/on_server.py

    def clear(self, prefix: str) -> dict[str, list[str]]:
        return {"removed": []}

    def prepare(self, database: str, name: str, sha256: str, **_more: Any) -> dict[str, Any]:
        (self.folder / "trial.json").write_text(json.dumps({name: sha256}))
        return {"addons": f"/trials/{database}"}


def take_over() -> None:
    """Let every site of this process be served by this Odoo."""
    here: dict[str, Odoo] = {}

    def reached(self: Servers, instances: list[str]) -> list[str]:
        lost = behaviour().get("lost")
        away = self.instances(lost) if lost else []
        return [instance for instance in instances if instance not in away]

    def online(self: Servers, role: Role = "app") -> list[str]:
        return reached(self, self.instances(role))

    def python(
        self: Servers,
        instance: str,
        module: Path,
        function: str,
        arguments: Mapping[str, Any],
        *,
        what: str,
        seconds: int = 600,
    ) -> Any:
        asked(f"{function} {arguments.get('database', '')}".strip())
        json.dumps(arguments)
        if behaviour().get("die") == function:
            os.kill(os.getpid(), signal.SIGKILL)
        if behaviour().get("gone") == function:
            raise OpsError(f"{what} on {instance}: AWS cannot be asked")
        answer = getattr(here[self._stack.name], function)(**arguments)
        if behaviour().get("die after") == function:
            os.kill(os.getpid(), signal.SIGKILL)
        return json.loads(json.dumps(answer))

    made = Site.servers.fget  # type: ignore[attr-defined]

    def servers(self: Site) -> Servers:
        here[self.name] = Odoo(self)
        found: Servers = made(self)
        return found

    pulumi = Stack._pulumi

    def failing(self: Stack, *arguments: str) -> subprocess.CompletedProcess[str]:
        # Once: the way back is to go through.
        marker = Path(os.environ[BEHAVIOUR]).with_name("failed")
        if arguments[0] == "up" and behaviour().get("pulumi fails") and not marker.exists():
            marker.touch()
            return subprocess.CompletedProcess(arguments, 255, "", "error: AWS has none of these left")
        return pulumi(self, *arguments)

    Stack._pulumi = failing  # type: ignore[method-assign]
    Servers.reached, Servers.online, Servers.python = reached, online, python  # type: ignore[method-assign]
    Site.servers = property(servers)  # type: ignore[assignment,method-assign]


def main() -> None:
    """Run `python -m ops …` with this Odoo; with OPENERP_TEST_DIES a command dies when that step begins."""
    from ops import console
    from ops.__main__ import app

    take_over()
    dies = os.environ.get("OPENERP_TEST_DIES")
    step = console.Shown.step

    def stepping(self: console.Shown, sentence: str) -> None:
        if dies and sentence.startswith(dies):
            os.kill(os.getpid(), signal.SIGKILL)
        step(self, sentence)

    console.Shown.step = stepping  # type: ignore[method-assign]
    sys.argv[0] = "ops"
    app(prog_name="python -m ops")


if __name__ == "__main__":
    main()
