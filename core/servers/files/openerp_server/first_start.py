"""The databases: made once, by whichever server comes first, and never served when they are not ours.

A table of our own, `openerp_server_state`, holds how far the making came, which environment the database
belongs to, and for which it was made. A database that holds an Odoo but no such table came from somewhere
else: it is not touched and not served until its environment was written down (`docs/servers.md`).
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from . import common, secret_values

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

LOCK = 7_106_469_853
"""Any number, as long as every server takes the same («openerp» has no meaning to PostgreSQL)."""
CREATE_STATE = """
create table if not exists openerp_server_state (key text primary key, value text not null)
"""


class Database:
    """One connection, on which the advisory lock lives until `close`."""

    def __init__(self, connection: Any) -> None:
        self.connection = connection
        connection.autocommit = True

    def rows(self, statement: str, values: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        """Return what `statement` selects; without `values` a percent sign in it is one."""
        with self.connection.cursor() as cursor:
            cursor.execute(statement, values or None)
            return list(cursor.fetchall()) if cursor.description else []

    def has_table(self, name: str) -> bool:
        """Return whether the database has the table `name`."""
        return self.rows("select to_regclass(%s) is not null", (name,)) == [(True,)]

    def state(self, key: str) -> str | None:
        """Return what our table holds for `key`."""
        if not self.has_table("openerp_server_state"):
            return None
        found = self.rows("select value from openerp_server_state where key = %s", (key,))
        return str(found[0][0]) if found else None

    def set_state(self, key: str, value: str) -> None:
        """Write `value` for `key` into our table."""
        self.rows(CREATE_STATE)
        self.rows(
            "insert into openerp_server_state values (%s, %s)"
            " on conflict (key) do update set value = excluded.value",
            (key, value),
        )

    def parameter(self, key: str) -> str | None:
        """Return Odoo's system parameter `key`."""
        if not self.has_table("ir_config_parameter"):
            return None
        found = self.rows("select value from ir_config_parameter where key = %s", (key,))
        return str(found[0][0]) if found else None

    def missing_modules(self, wanted: Iterable[str]) -> list[str]:
        """Return which of `wanted` are not installed: Odoo ends with status 0 for one that is not there."""
        if not self.has_table("ir_module_module"):
            return sorted(wanted)
        installed = self.rows("select name from ir_module_module where state = 'installed'")
        return sorted(set(wanted) - {name for (name,) in installed})

    def close(self) -> None:
        """End the connection, and with it the lock."""
        self.connection.close()


def connect(server: common.Server, name: str, password: str | None = None) -> Database:
    """Log in to the database `name` over TLS, with the server's certificate verified.

    Without `password` libpq takes it from the file that `PGPASSFILE` names.
    """
    import psycopg2  # type: ignore[import-untyped,import-not-found,unused-ignore]  # Debian's, on servers only

    return Database(
        psycopg2.connect(
            host=server["database_host"],
            port=server["database_port"],
            dbname=name,
            user=server["database_role"],
            password=password,
            sslmode="verify-full",
            sslrootcert=server["database_ca"],
            connect_timeout=10,
            application_name="openerp-server",
        )
    )


def why_not_ours(database: Database, name: str, environment: str) -> str | None:
    """Return why a server of `environment` must not serve this database; `None` when it may."""
    marked = database.state("environment")
    neutralised = database.parameter("database.is_neutralized") in ("True", "true", "1")
    if marked is None and database.has_table("ir_module_module"):
        return (
            f"the database {name} holds an Odoo that says nothing of its environment; if it belongs to "
            f"{environment}, write that into its table openerp_server_state"
        )
    if marked is not None and marked != environment:
        return f"the database {name} belongs to {marked}, but this server to {environment}"
    if environment == "production" and neutralised:
        return f"the database {name} is a neutralised copy: not for production"
    origin = database.state("origin") or "elsewhere"
    if marked is not None and environment not in ("production", origin) and not neutralised:
        return f"the database {name} is a copy from {origin} that was never neutralised"
    return None


def odoo(server: common.Server, configuration: Path, arguments: list[str], text: str | None = None) -> None:
    """Run an Odoo command as Odoo's user, with `text` on its standard input."""
    user = server["user"]
    common.run(
        [
            # Modules run code while they are installed, and must not have the role's credentials either.
            *("systemd-run", "--scope", "--quiet", "--collect"),
            "--property=IPAddressDeny=169.254.169.254/32 fd00:ec2::254/128",
            # Nothing goes on under a lock that ended with this process.
            *("setpriv", "--reuid", user, "--regid", user, "--clear-groups", "--pdeathsig", "KILL"),
            # Its log to standard error, so that a failure can say why.
            *("odoo", *arguments, "--config", str(configuration), "--logfile", ""),
        ],
        text=text,
        umask=0o027,
        env={
            "PATH": "/usr/bin:/bin",
            "HOME": server["data_dir"],
            "LANG": "C.UTF-8",
            "PGSSLROOTCERT": server["database_ca"],
            "PGPASSFILE": str(password_file(server)),
        },
    )


def password_file(server: common.Server) -> Path:
    """Return where the password of the database's role is."""
    return common.RUN_DIR / str(server.get("password_file", secret_values.PASSWORD_FILE))


def settings_script(server: common.Server, password: str) -> str:
    """Return what `odoo shell` reads from its standard input, because the password is in it."""
    values = {
        "auth_signup.invitation_scope": "b2b",
        "web.base.url": f"https://{server['public_host']}",
        "web.base.url.freeze": "True",
    }
    # wkhtmltopdf reads style sheets from here. A tenant's port differs from server to server.
    if "password_file" not in server:
        values["report.url"] = f"http://127.0.0.1:{server['odoo_http_port']}"
    return (
        f"env.ref('base.user_admin').write({{'password': {password!r}}})\n"
        f"for key, value in {values!r}.items():\n"
        "    env['ir.config_parameter'].set_param(key, value)\n"
        "\n"
        "env.cr.commit()\n"
    )


def initialise(server: common.Server, configuration: Path, database: Database, name: str) -> None:
    """Make the database `name`: modules, password, safe settings; the last step marks it as done."""
    wanted = ["base", "web", *server["modules"]]
    common.tell(f"making the database {name} with {', '.join(wanted)}")
    for key in ("environment", "origin"):
        database.set_state(key, server["environment"])
    database.set_state("first_start", "begun")
    odoo(
        server,
        configuration,
        ["server", "--database", name, "--init", ",".join(wanted), "--stop-after-init", "--no-http",
         "--max-cron-threads", "0", "--workers", "0"],
    )  # fmt: skip
    if missing := database.missing_modules(wanted):
        raise common.StepError(f"these modules could not be installed in {name}: {', '.join(missing)}")
    password = common.keep_trying(
        "administrator's password",
        lambda: secret_values.fetch(server, server["administrator_secret_arn"]),
        seconds=600,
    )
    odoo(server, configuration, ["shell", "--database", name, "--no-http"], settings_script(server, password))
    if database.parameter("auth_signup.invitation_scope") != "b2b":
        raise common.StepError(f"the settings of {name} could not be written")
    database.set_state("release", server["release"])
    database.set_state("first_start", "done")
    common.tell(f"the database {name} is made")


def prepare(server: common.Server, configuration: Path, database: Database, name: str) -> None:
    """Make the database if that was not done, and refuse one that is not ours. One server at a time."""
    database.rows("select pg_advisory_lock(%s)", (LOCK,))
    if reason := why_not_ours(database, name, server["environment"]):
        raise common.StepError(reason)
    if database.state("first_start") == "done" or (
        database.state("first_start") is None and database.has_table("ir_module_module")
    ):
        return
    initialise(server, configuration, database, name)


def make_shared_folders(server: common.Server) -> None:
    """Create the shared folders as Odoo's user; session files are for nobody else."""
    for name, mode in (("filestore", "0750"), ("sessions", "0700")):
        path = Path(server["shared_dir"]) / name
        common.run(
            ["mkdir", "--parents", "--mode", mode, str(path)],
            user=server["user"],
            group=server["user"],
            extra_groups=[],
        )


def check_file_store(server: common.Server) -> None:
    """Raise when the shared folder is not a mounted file system: files written there would be lost."""
    if not os.path.ismount(server["shared_dir"]):
        raise common.StepError(f"the file store is not mounted at {server['shared_dir']}")


def of_tenant(server: common.Server, tenant: str) -> tuple[common.Server, Path]:
    """Return the settings and the odoo.conf of a tenant's instance; of the server itself without a tenant."""
    if not tenant:
        return server, common.CONFIG_DIR / "odoo.conf"
    folder = common.CONFIG_DIR / "tenants"
    return {**server, **common.read_server(folder / f"{tenant}.json")}, folder / f"{tenant}.conf"


def make_database(server: common.Server, configuration: Path, name: str) -> None:
    """Make the database `name` ready, or wait until another server has."""

    def log_in() -> Database:
        return connect(server, name, secret_values.fetch(server, server["database_secret_arn"]))

    # A real login, not pg_isready, which answers before the role exists.
    database = common.keep_trying(f"login to the database {name}", log_in, seconds=1800)
    try:
        prepare(server, configuration, database, name)
    finally:
        database.close()


def first_start(server: common.Server, tenant: str = "") -> None:
    """Make ready what this server, or one tenant's instance on it, needs to serve."""
    server, configuration = of_tenant(server, tenant)
    check_file_store(server)
    make_shared_folders(server)
    make_database(server, configuration, server["database_name"])


def test_database(server: common.Server) -> None:
    """Make the test database, while the working one is served already."""
    make_database(server, common.CONFIG_DIR / "odoo.conf", server["test_database_name"])
