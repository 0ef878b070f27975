"""What servers do while a change is carried out; sent to them by Run Command, and nothing secret with it.

Odoo runs as its own user. What is under way is waited for: a command that was killed and is run again finds
the first one's work done, not half of it.
"""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import socket
import subprocess
import time
import zlib
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

SERVED = ("openerp-odoo.service", "odoo-tenant@*.service")
ONCE = ("--stop-after-init", "--no-http", "--max-cron-threads", "0", "--workers", "0")
LOG_LINES = 400
LINE = 2000
LOG_BYTES = 12_000
"""So much of the end of a log comes back: lines, characters of a line, bytes of all when compressed."""
UPDATED = "updated by"
"""Key in the servers' table: the run whose update of the modules is done."""
ADMINISTRATOR = """
select u.login from public.res_users u join public.ir_model_data d on d.res_id = u.id
where d.module = 'base' and d.name = 'user_admin' and d.model = 'res.users' and u.active
"""
VERSIONS = """
import json
rows = env['ir.module.module'].search([('state', 'not in', ('uninstalled', 'uninstallable'))])
print('\\nVERSIONS ' + json.dumps([[m.name, m.state, m.latest_version, m.installed_version] for m in rows]))
"""


# Closing and opening


def restart() -> dict[str, Any]:
    """Let every OpenERP on this server end its requests and look at its databases again."""
    for unit in SERVED:
        subprocess.run(["systemctl", "try-restart", unit], check=True, capture_output=True)
    return {}


def await_open(patience: int) -> dict[str, Any]:
    """Return when this server shows the login page of the working database."""
    from openerp_server import common

    server = common.read_server()

    def look() -> None:
        status, _ = _ask(server, server["odoo_http_port"], f"/web/login?db={server['database_name']}")
        if status not in (200, 302, 303):
            raise RuntimeError(f"the login page is answered with status {status}")

    common.keep_trying("login page", look, seconds=patience, pause=1)
    return {}


def _ask(server: Any, port: int, path: str, body: Any = None) -> tuple[int, bytes]:
    host = server["public_host"]
    headers = {"Host": host, "X-Forwarded-Host": host, "X-Forwarded-Proto": "https"}
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=120)
    try:
        if body is None:
            connection.request("GET", path, headers=headers)
        else:
            headers["Content-Type"] = "application/json"
            connection.request("POST", path, json.dumps(body), headers)
        answer = connection.getresponse()
        return answer.status, answer.read()
    finally:
        connection.close()


# Odoo's commands


def _opened(tenant: str) -> tuple[Any, Path]:
    from openerp_server import common, first_start

    server, configuration = first_start.of_tenant(common.read_server(), tenant)
    os.environ["PGPASSFILE"] = str(first_start.password_file(server))
    return server, configuration


def _command(server: Any, configuration: Path, arguments: list[str]) -> tuple[list[str], dict[str, Any]]:
    """Return the command that runs Odoo as its user, and the options of `subprocess` for it."""
    user = server["user"]
    return (
        [
            # Modules run code, which must not have the role's credentials.
            *("systemd-run", "--scope", "--quiet", "--collect"),
            "--property=IPAddressDeny=169.254.169.254/32 fd00:ec2::254/128",
            # Nothing goes on under a lock that ended with this process.
            *("setpriv", "--reuid", user, "--regid", user, "--clear-groups", "--pdeathsig", "KILL"),
            *("odoo", *arguments, "--config", str(configuration), "--logfile", ""),
        ],
        {
            "umask": 0o027,
            "env": {
                "PATH": "/usr/bin:/bin",
                "HOME": server["data_dir"],
                "LANG": "C.UTF-8",
                "PGSSLROOTCERT": server["database_ca"],
                "PGPASSFILE": os.environ["PGPASSFILE"],
            },
        },
    )


def _fenced(server: Any, command: list[str], options: dict[str, Any]) -> tuple[list[str], dict[str, Any]]:
    """Let a command of Odoo reach the database server, by its address, and nothing else."""
    found = socket.getaddrinfo(server["database_host"], server["database_port"], type=socket.SOCK_STREAM)
    address = found[0][4][0]
    fence = ["--property=IPAddressDeny=any", f"--property=IPAddressAllow=127.0.0.0/8 ::1/128 {address}"]
    inside = command.index("setpriv")
    env = {**options["env"], "PGHOSTADDR": address}
    return [*command[:inside], *fence, *command[inside:]], {**options, "env": env}


@contextlib.contextmanager
def _alone(server: Any, database: str) -> Iterator[Any]:
    """Give a connection to a database, when nobody else makes or changes it."""
    from openerp_server import first_start

    connection = first_start.connect(server, database)
    try:
        connection.rows("select pg_advisory_lock(%s)", (first_start.LOCK,))
        yield connection
    finally:
        connection.close()


def _run(command: list[str], options: dict[str, Any]) -> dict[str, Any]:
    began = time.monotonic()
    done = subprocess.run(
        command, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False, **options
    )
    seconds = round(time.monotonic() - began, 2)
    return {"status": done.returncode, "seconds": seconds, "log": end_of(done.stderr)}


def end_of(log: str) -> list[str]:
    """Return as much of the end of a log as SSM gives back."""
    lines = [line[:LINE] for line in log.splitlines()[-LOG_LINES:]]
    while len(zlib.compress("\n".join(lines).encode(), 9)) > LOG_BYTES:
        lines = lines[len(lines) // 2 or 1 :]
    return lines


def bring_in(database: str, name: str, update: bool, addons: str = "") -> dict[str, Any]:
    """Install or update a module in a database, and return how Odoo ended and the end of its log.

    `addons`: where the module is in a trial, whose Odoo then reaches nobody but the database server.
    """
    server, configuration = _opened("")
    arguments = ["server", "--database", database, "--update" if update else "--init", name, *ONCE]
    if addons:
        own = next(
            line.partition("=")[2].strip()
            for line in configuration.read_text().splitlines()
            if line.partition("=")[0].strip() == "addons_path"
        )
        arguments += ["--addons-path", f"{addons},{own}"]
    command, options = _command(server, configuration, arguments)
    if addons:
        command, options = _fenced(server, command, options)
    with _alone(server, database):
        return _run(command, options)


def update(database: str, modules: list[str], run: str, tenant: str) -> dict[str, Any]:
    """Update modules of a database (`["all"]`: each), once a run; return how Odoo ended, and what is left.

    `left`: modules that were installed before and are not now.
    """
    server, configuration = _opened(tenant)
    arguments = ["server", "--database", database, "--update", ",".join(modules), *ONCE]
    with _alone(server, database) as connection:
        states = dict(connection.rows("select name, state from public.ir_module_module"))
        before = {name for name, state in states.items() if state in ("installed", "to upgrade")}
        if connection.state(UPDATED) == run:
            return {"status": 0, "seconds": 0.0, "log": [], "left": [], "modules": len(before)}
        found = _run(*_command(server, configuration, arguments))
        after = dict(connection.rows("select name, state from public.ir_module_module"))
        left = sorted(name for name in before if after.get(name) != "installed")
        if found["status"] == 0 and not left:
            connection.set_state(UPDATED, run)
    return {**found, "left": left, "modules": len(before)}


def versions(database: str, tenant: str) -> dict[str, list[str]]:
    """Return, of each module that is not uninstalled: state, version in the database, version on disk."""
    from openerp_server import common

    server, configuration = _opened(tenant)
    arguments = ["shell", "--database", database, "--no-http"]
    command, options = _command(server, configuration, arguments)
    printed = common.run(command, text=VERSIONS, **options)
    rows = json.loads(printed.rpartition("\nVERSIONS ")[2].splitlines()[0])
    return {name: [state, installed or "", there or ""] for name, state, installed, there in rows}


def log_in(database: str, tenant: str, patience: int) -> dict[str, str]:
    """Start an Odoo of its own that only this server reaches, and log in to a database as its administrator.

    Returns how it ended: `in`, `refused`, or `nobody` where there is no first administrator.
    """
    from openerp_server import common, first_start, secret_values

    server, configuration = _opened(tenant)
    connection = first_start.connect(server, database)
    try:
        found = connection.rows(ADMINISTRATOR)
    finally:
        connection.close()
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    arguments = [
        *("server", "--database", database, "--http-port", str(port)),
        *("--workers", "0", "--max-cron-threads", "0"),
    ]
    command, options = _command(server, configuration, arguments)
    with subprocess.Popen(
        command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, **options
    ) as odoo:
        try:

            def look() -> None:
                if odoo.poll() is not None:
                    raise common.StepError(f"Odoo ends on {database} with status {odoo.returncode}")
                status, body = _ask(server, port, "/web/health")
                if status != 200:
                    raise RuntimeError(f"it answers with status {status}: {body[:200]!r}")

            common.keep_trying(f"Odoo on {database}", look, seconds=patience, pause=1)
            if not found:
                return {"login": "nobody"}
            password = secret_values.fetch(server, server["administrator_secret_arn"])
            params = {"db": database, "login": found[0][0], "password": password}
            body = {"jsonrpc": "2.0", "method": "call", "params": params}
            status, answer = _ask(server, port, "/web/session/authenticate", body)
            if status != 200:
                raise common.StepError(f"a login to {database} is answered with status {status}")
            result = json.loads(answer).get("result") or {}
            # With a second factor there is no uid, and the first one was right.
            return {"login": "in" if "uid" in result else "refused"}
        finally:
            odoo.terminate()
            try:
                odoo.wait(30)
            except subprocess.TimeoutExpired:
                odoo.kill()
