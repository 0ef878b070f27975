"""What the drill's server does; sent to it by Run Command, and nothing secret with it.

It fetches passwords itself, with the role of the app servers and what the drill's own secret lets it read.
"""

from __future__ import annotations

import http.client
import json
import os
import subprocess
from pathlib import Path
from typing import Any

RESTORED = "aws-backup-restore_*"
"""AWS Backup restores into a folder of that name off the root (AWS Backup guide, "Restore an Amazon EFS file
system")."""
MODULES = """
select name, coalesce(latest_version, '') from public.ir_module_module where state = 'installed' order by name
"""
STORED = """
select count(distinct store_fname) from public.ir_attachment where coalesce(store_fname, '') <> ''
"""


def fences(units: list[str]) -> dict[str, dict[str, list[str]]]:
    """Return which addresses units may reach, as systemd holds them; only units that this server has."""
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
            found[unit] = {key: values[key].split() for key in ("IPAddressDeny", "IPAddressAllow")}
    return found


def place_files(path: str, seconds: int) -> dict[str, str]:
    """Show the restored files where Odoo looks for them, once the file system is there.

    `path`: where they were in the file system that was backed up, as `/odoo`.
    """
    from openerp_server import common

    shared = Path(common.read_server()["shared_dir"])

    def look() -> str:
        if not os.path.ismount(shared):
            raise RuntimeError(f"{shared} is not mounted")
        if (shared / "filestore").is_dir():
            return str(shared)
        found = sorted(shared.glob(f"{RESTORED}/{path.strip('/')}"))
        if len(found) != 1:
            there = ", ".join(sorted(entry.name for entry in shared.iterdir())) or "nothing"
            raise common.StepError(f"the restored file system has no one folder of {path}; in it: {there}")
        if not (found[0] / "filestore").is_dir():
            raise common.StepError(f"there is no file store in {found[0].relative_to(shared)}")
        subprocess.run(["mount", "--bind", str(found[0]), str(shared)], check=True)
        return str(found[0])

    return {"folder": common.keep_trying("restored files", look, seconds=seconds)}


def align(role: str, secret: str, logins: dict[str, str], seconds: int) -> dict[str, list[str]]:
    """Give each login role the password that its secret holds now, which may be newer than the checkpoint.

    `role` and `secret` are the master user's. Returns the roles that are `there`, and those `missing`.
    """
    from openerp_server import common, first_start, secret_values
    from psycopg2.extensions import (  # type: ignore[import-untyped,import-not-found,unused-ignore]
        encrypt_password,
    )

    server = {**common.read_server(), "database_role": role}

    def connect() -> Any:
        return first_start.connect(server, "postgres", secret_values.fetch(server, secret))

    database = common.keep_trying("restored database server", connect, seconds=seconds)
    try:
        there = {name for (name,) in database.rows("select rolname from pg_roles")}
        for login, arn in logins.items():
            if login in there:
                password = secret_values.fetch(server, arn)
                verifier = encrypt_password(password, login, database.connection, "scram-sha-256")
                quoted = login.replace('"', '""')
                database.rows(f'alter role "{quoted}" login password %s', (verifier,))
    finally:
        database.close()
    return {"there": sorted(there & set(logins)), "missing": sorted(set(logins) - there)}


def _as(role: str, secret: str, database: str) -> Any:
    from openerp_server import common, first_start, secret_values

    server = {**common.read_server(), "database_role": role}
    return first_start.connect(server, database, secret_values.fetch(server, secret))


def count(database: str, role: str, secret: str, tables: list[str]) -> dict[str, Any]:
    """Count rows of `tables` (as SQL writes them) and stored files of a database; its modules and uuid."""
    connection = _as(role, secret, database)
    try:
        rows = {
            # The names come from the manifest, quoted by PostgreSQL when the checkpoint was taken.
            table: connection.rows(f"select count(*) from {table}")[0][0]  # noqa: S608
            for table in tables
            if connection.rows("select to_regclass(%s) is not null", (table,)) == [(True,)]
        }
        modules = dict(connection.rows(MODULES)) if connection.has_table("ir_module_module") else {}
        stored = connection.rows(STORED)[0][0] if connection.has_table("ir_attachment") else 0
        uuid = connection.parameter("database.uuid")
    finally:
        connection.close()
    return {"rows": rows, "modules": modules, "uuid": uuid, "attachments": stored}


def release(path: str) -> dict[str, Any]:
    """Let the server serve: the data was compared."""
    Path(path).touch()
    return {}


def _server_of(tenant: str) -> Any:
    from openerp_server import common, first_start

    return first_start.of_tenant(common.read_server(), tenant)[0]


class _Odoo:
    """The Odoo of this server, as a browser would ask it."""

    def __init__(self, server: Any) -> None:
        self.server = server
        host = server["public_host"]
        self.headers = {"Host": host, "X-Forwarded-Host": host, "X-Forwarded-Proto": "https"}

    def ask(self, method: str, path: str, body: Any = None) -> tuple[int, bytes, str]:
        """Return status, content and where it sends on to; cookies are kept."""
        connection = http.client.HTTPConnection("127.0.0.1", self.server["odoo_http_port"], timeout=180)
        try:
            sent = {**self.headers, **({"Content-Type": "application/json"} if body else {})}
            connection.request(method, path, json.dumps(body) if body else None, sent)
            answer = connection.getresponse()
            for cookie in answer.headers.get_all("Set-Cookie") or ():
                if cookie.startswith("session_id="):
                    self.headers["Cookie"] = cookie.split(";")[0]
            return answer.status, answer.read(), answer.getheader("Location") or ""
        finally:
            connection.close()

    def log_in(self, database: str, password: str) -> str:
        """Return `in`, `second factor`, or why not."""
        values = {"db": database, "login": "admin", "password": password}
        call = {"jsonrpc": "2.0", "method": "call", "params": values}
        status, content, _ = self.ask("POST", "/web/session/authenticate", call)
        answer: dict[str, Any] = {"error": {"message": f"status {status}"}}
        if status == 200:
            answer = json.loads(content)
        if "error" in answer:
            error = answer["error"]
            return str((error.get("data") or {}).get("name") or error.get("message"))
        return "in" if (answer.get("result") or {}).get("uid") else "second factor"

    def client(self) -> str:
        """Return `shown` when the web client's page answers, or what came instead."""
        path = "/web"
        for _ in range(3):
            status, content, onward = self.ask("GET", path)
            if status not in (301, 302, 303):
                break
            path = "/" + onward.partition("://")[2].partition("/")[2] if "://" in onward else onward
        shown = status == 200 and b"__session_info__" in content and b"web.assets" in content
        return "shown" if shown else f"{path} is answered with status {status}"


def log_in(database: str, tenant: str, login: dict[str, str], seconds: int) -> dict[str, Any]:
    """Wait until Odoo answers, open a session as the administrator, and ask for the web client.

    `login`: role and secret of the database. The administrator's password in the checkpoint may be older than
    the secret: that of the secret is then written into this copy.
    """
    from openerp_server import common, secret_values

    def ready() -> Any:
        try:
            server = _server_of(tenant)
        except common.StepError as early:  # a tenant's instance is made a while after the server's own
            raise RuntimeError(str(early)) from early
        _Odoo(server).ask("GET", "/web/health")
        return server

    server = common.keep_trying("Odoo", ready, seconds=seconds)
    password = secret_values.fetch(server, server["administrator_secret_arn"])
    browser = _Odoo(server)
    state = browser.log_in(database, password)
    if refused := state.endswith("AccessDenied"):
        _set_password(database, login, password)
        state = browser.log_in(database, password)
    page = browser.client() if state == "in" else ""
    return {"login": state, "rewritten": refused, "client": page}


def _set_password(database: str, login: dict[str, str], password: str) -> None:
    """Write the administrator's password as Odoo would, by SQL: Odoo's own way would send mail of it."""
    from passlib.context import CryptContext  # type: ignore[import-untyped,import-not-found,unused-ignore]

    connection = _as(login["role"], login["secret"], database)
    try:
        connection.rows(
            "update public.res_users set password = %s where id = (select res_id from public.ir_model_data "
            "where module = 'base' and name = 'user_admin' and model = 'res.users')",
            (CryptContext(["pbkdf2_sha512"]).hash(password),),
        )
    finally:
        connection.close()
