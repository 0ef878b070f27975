"""What a training server does to databases that it refuses to serve; sent to it by Run Command.

Nothing secret is sent with it: the server fetches what it needs with its own role. Odoo runs here behind a
fence that lets it reach its network alone, and no job of a database is run.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable

SERVED = ("openerp-odoo.service", "openerp-nginx.service")
FLAG = "database.is_neutralized"
DONE = "refresh updated"
"""Key in the servers' table: the refresh whose update of the modules is done."""
MISSING = re.compile(r'column "([^"]+)" of relation "([^"]+)" does not exist')
ADMINISTRATOR = """
select u.id, u.login, u.active from public.res_users u join public.ir_model_data d on d.res_id = u.id
where d.module = 'base' and d.name = 'user_admin' and d.model = 'res.users'
"""


def _connect(login: dict[str, str], database: str) -> Any:
    from openerp_server import common, first_start, secret_values

    server = {**common.read_server(), "database_role": login["role"]}
    return first_start.connect(server, database, secret_values.fetch(server, login["secret"]))


def refusals(logins: dict[str, dict[str, str]]) -> dict[str, Any]:
    """Return why this server refuses each database (None: it does not), and which units of it serve.

    `logins`: role and secret by database.
    """
    from openerp_server import common, first_start

    environment = common.read_server()["environment"]
    why = {}
    for database, login in logins.items():
        connection = _connect(login, database)
        try:
            why[database] = first_start.why_not_ours(connection, database, environment)
        finally:
            connection.close()
    serving = [
        unit
        for unit in SERVED
        if subprocess.run(["systemctl", "is-active", "--quiet", unit], check=False).returncode == 0
    ]
    return {"environment": environment, "refused": why, "serving": serving}


def _fenced(server: Any, arguments: list[str], login: dict[str, str], database: str, network: str) -> str:
    """Run Odoo as its user, able to reach this machine and `network` alone; return what it printed."""
    from openerp_server import common, secret_values

    user, role = server["user"], login["role"]
    passwords = common.RUN_DIR / f"refresh-{role}.pgpass"
    line = secret_values.pgpass_line(server, role, secret_values.fetch(server, login["secret"]))
    common.write(passwords, line, owner=server["uid"])
    try:
        printed: str = common.run(
            [
                *("systemd-run", "--scope", "--quiet", "--collect", "--property=IPAddressDeny=any"),
                f"--property=IPAddressAllow=127.0.0.0/8 ::1/128 {network}",
                *("setpriv", "--reuid", user, "--regid", user, "--clear-groups", "--pdeathsig", "KILL"),
                *("odoo", *arguments, "--database", database, "--db_user", role),
                *("--config", str(common.CONFIG_DIR / "odoo.conf"), "--logfile", ""),
            ],
            umask=0o027,
            env={
                "PATH": "/usr/bin:/bin",
                "HOME": server["data_dir"],
                "LANG": "C.UTF-8",
                "PGSSLROOTCERT": server["database_ca"],
                "PGPASSFILE": str(passwords),
            },
        )
    finally:
        passwords.unlink(missing_ok=True)
    return printed


def _states(connection: Any) -> dict[str, str]:
    return dict(connection.rows("select name, state from public.ir_module_module"))


def _installed(states: dict[str, str]) -> set[str]:
    return {name for name, state in states.items() if state in ("installed", "to upgrade", "to remove")}


def update(run: str, database: str, login: dict[str, str], network: str) -> dict[str, Any]:
    """Update every module of a database, once a refresh (`run`).

    A second call waits for one that goes on, as after a command that was killed.
    """
    from openerp_server import common, first_start

    server = common.read_server()
    connection = _connect(login, database)
    try:
        connection.rows("select pg_advisory_lock(%s)", (first_start.LOCK,))
        _refuse_what_is_served(connection, database, server)
        before = _installed(_states(connection))
        if connection.state(DONE) == run:
            return {"modules": len(before), "updated": False}
        _fenced(
            server,
            [
                *("server", "--update", "all", "--stop-after-init", "--no-http"),
                *("--max-cron-threads", "0", "--workers", "0"),
            ],
            login,
            database,
            network,
        )
        # Odoo ends with status 0 for a module that it does not find.
        after = _states(connection)
        left = sorted(before - {name for name, state in after.items() if state == "installed"})
        if left:
            raise common.StepError(f"these modules of {database} could not be updated: {', '.join(left)}")
        connection.set_state(DONE, run)
        return {"modules": len(before), "updated": True}
    finally:
        connection.close()


def neutralise(database: str, login: dict[str, str], network: str) -> dict[str, Any]:
    """Let Odoo neutralise a database, unless it has: each time it adds one more mail server of no host."""
    from openerp_server import common, first_start

    server = common.read_server()
    connection = _connect(login, database)
    try:
        connection.rows("select pg_advisory_lock(%s)", (first_start.LOCK,))
        _refuse_what_is_served(connection, database, server)
        if connection.parameter(FLAG) in ("True", "true", "1"):
            return {"neutralised": False}
        apply(connection, _fenced(server, ["neutralize", "--stdout"], login, database, network))
        if connection.parameter(FLAG) not in ("True", "true", "1"):
            raise common.StepError(f"Odoo did not neutralise {database}")
        return {"neutralised": True}
    finally:
        connection.close()


def apply(connection: Any, statements: str) -> None:
    """Run what Odoo's own neutralisation consists of, as one transaction.

    A column that is not there is there for as long as that takes: Odoo 19's statements for Polish invoices
    name one whose model keeps it as an attachment, and would else neutralise nothing.
    """
    added: list[str] = []
    try:
        while True:
            try:
                connection.rows(statements)
                return
            except Exception as error:
                connection.rows("rollback")
                missing = MISSING.search(str(error))
                if missing is None or len(added) > 20:
                    raise
                column, table = missing.groups()
                connection.rows(f'alter table public."{table}" add column "{column}" text')
                added.append(f'alter table public."{table}" drop column "{column}"')
    finally:
        for removal in added:
            connection.rows(removal)


def _refuse_what_is_served(connection: Any, database: str, server: Any) -> None:
    from openerp_server import common, first_start

    if first_start.why_not_ours(connection, database, server["environment"]) is None:
        raise common.StepError(f"{database} is served by the servers: it is not touched")


def set_administrator(database: str, login: dict[str, str], tenant: str = "") -> dict[str, str]:
    """Give the first administrator the password of this system's secret, as Odoo keeps it, by SQL.

    Odoo's own way would write mail of it. The administrator is active and called as it was.
    """
    from openerp_server import common, secret_values
    from passlib.context import CryptContext  # type: ignore[import-untyped,import-not-found,unused-ignore]

    server = common.read_server()
    secret = server["administrator_secret_arn"]
    if tenant:
        from openerp_server import tenants

        secret = tenants.fetch_tenants(server)[tenant]["administrator_secret_arn"]
    password = secret_values.fetch(server, secret)
    connection = _connect(login, database)
    try:
        found = connection.rows(ADMINISTRATOR)
        if not found:
            raise common.StepError(f"{database} has no first administrator (base.user_admin)")
        [(identifier, name, _active)] = found
        connection.rows(
            "update public.res_users set password = %s, active = true where id = %s",
            (CryptContext(["pbkdf2_sha512"]).hash(password), identifier),
        )
    finally:
        connection.close()
    return {"login": str(name)}


def clear_sessions() -> dict[str, int]:
    """Remove the sessions that came along with the file store."""
    from openerp_server import common

    folder = Path(common.read_server()["shared_dir"]) / "sessions"
    return {"removed": empty(folder)}


def empty(folder: Path) -> int:
    """Remove what is in a folder; return how many entries that were."""
    entries: Iterable[os.DirEntry[str]] = ()
    try:
        entries = list(os.scandir(folder))
    except FileNotFoundError:
        return 0
    count = 0
    for entry in entries:
        if entry.is_dir(follow_symlinks=False):
            shutil.rmtree(entry.path)
        else:
            Path(entry.path).unlink()
        count += 1
    return count


def fence(units: list[str]) -> dict[str, dict[str, list[str]]]:
    """Return which addresses the units that run Odoo may reach, as systemd holds them."""
    found = {}
    for unit in units:
        shown = subprocess.run(
            ["systemctl", "show", unit, "--property=LoadState,IPAddressDeny,IPAddressAllow"],
            check=True,
            capture_output=True,
            text=True,
        ).stdout
        values = dict(line.split("=", 1) for line in shown.splitlines() if "=" in line)
        if values.get("LoadState") == "loaded":
            found[unit] = {key: values.get(key, "").split() for key in ("IPAddressDeny", "IPAddressAllow")}
    return found
