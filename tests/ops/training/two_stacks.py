"""Production and training on one emulator: a copy of the project, real PostgreSQL, real files, no servers.

Everything is reached as the commands reach it. What a server refuses is asked of the servers' own code.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import yaml

from core import outputs as names
from core.servers.files.openerp_server import first_start
from local.emulator import running
from ops.aws import Aws
from ops.checkpoints.take import take
from ops.console import Reporter
from ops.lock import held
from ops.site import Site, open_site
from tests.bench_dump import attach
from tests.local.emulator.conftest import make_client
from tests.ops.training import tables

ROOT = Path(__file__).resolve().parents[3]
COPIED = ("local", "core", "components", "deployment", "ops")
REGION = "eu-central-1"
PRODUCTION, TRAINING = "prod", "training"
UUID, SECRET = "11111111-of-production", "22222222-of-production"


OFFENDED = (
    *("ir_mail_server.active", "fetchmail_server.password", "mail_mail.state", "ir_cron.active"),
    *("payment_provider.stripe_secret_key", "payment_provider.state", "res_users_apikeys"),
    *("secret parameters", "ir_act_server.webhook_url", "res_users.totp_secret"),
)
LIKE_PRODUCTION = f"""
    alter table ir_attachment add name text, add type text, add store_fname text, add file_size int,
        add checksum text;
    alter table ir_module_module add latest_version text;
    {tables.CLEAN}
    delete from openerp_server_state;
    insert into openerp_server_state (key, value) values ('environment', 'production'),
        ('origin', 'production'), ('first_start', 'done'), ('release', '19.0');
    update ir_config_parameter set value = '{UUID}' where key = 'database.uuid';
    update ir_config_parameter set value = '{SECRET}' where key = 'database.secret';
    delete from ir_config_parameter where key = 'database.is_neutralized';
    delete from ir_mail_server;
    insert into ir_module_module (name, state, latest_version) values ('base', 'installed', '19.0.1.3');
"""


def small(config: dict[str, Any]) -> None:
    """Settings with which a stack is up in seconds."""
    config["aws:region"] = REGION
    config["openerp:access"] = {"domain": config["openerp:access"]["domain"], "certificate": "private"}
    config.pop("openerp:dataModules", None)
    config.pop("openerp:dataModulesFrom", None)


class Both:
    """Two stacks of one project."""

    def __init__(self, directory: Path) -> None:
        self.project, self.home = directory / "project", directory / "home"
        for name in COPIED:
            shutil.copytree(ROOT / name, self.project / name, ignore=shutil.ignore_patterns("__pycache__"))
        for path in [*ROOT.glob("*.py"), *ROOT.glob("Pulumi*.yaml")]:
            shutil.copy(path, self.project)
        (self.home / "nodes" / "file-systems").mkdir(parents=True)

    def settings_file(self, stack: str) -> Path:
        return self.project / f"Pulumi.{stack}.yaml"

    def configure(self, stack: str, change: Callable[[dict[str, Any]], None]) -> None:
        document = yaml.safe_load(self.settings_file(stack).read_text())
        change(document["config"])
        self.settings_file(stack).write_text(yaml.safe_dump(document, sort_keys=False))

    def up(self, stack: str) -> None:
        done = subprocess.run(
            [sys.executable, "-m", "local", "up", "--stack", stack, "--engine", "offline"],
            cwd=self.project,
            env={**os.environ, "OPENERP_LOCAL_HOME": str(self.home)},
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, done.stdout + done.stderr

    @property
    def environment(self) -> dict[str, str]:
        """What `python -m ops` is told on this machine."""
        emulator = running(self.home)
        assert emulator is not None
        return {
            "AWS_ENDPOINT_URL": emulator.endpoint_url,
            "AWS_ACCESS_KEY_ID": "local",
            "AWS_SECRET_ACCESS_KEY": "local",
            "AWS_EC2_METADATA_DISABLED": "true",
            "OPENERP_LOCAL_HOME": str(self.home),
            "OPENERP_PYTHON": sys.executable,
            "OPENERP_DATABASE_CA": str(self.home / "postgres" / "ca.pem"),
            "OPENERP_FILE_SYSTEMS": str(self.home / "nodes" / "file-systems"),
            "PATH": os.pathsep.join([str(self.project / "local" / "stand_in"), os.environ["PATH"]]),
        }

    def run(self, *command: str, status: int = 0) -> subprocess.CompletedProcess[str]:
        """Run a command as an operator does."""
        done = subprocess.run(
            [sys.executable, "-m", *command],
            cwd=self.project,
            env={**os.environ, **self.environment, "NO_COLOR": "1"},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
        )
        assert done.returncode == status, f"{' '.join(command)}:\n{done.stdout}{done.stderr}"
        assert "Traceback" not in done.stderr, done.stderr
        return done

    def refresh(self, *options: str, status: int = 0) -> subprocess.CompletedProcess[str]:
        command = ("ops", "training", "refresh", "--stack", TRAINING, "--from", PRODUCTION, "--no-servers")
        return self.run(*command, *options, status=status)

    def site(self, stack: str, reporter: Reporter | None = None, aws: Aws | None = None) -> Site:
        """Open a stack in this process; its environment is that of `environment`."""
        return open_site(
            stack,
            reporter or Reporter(),
            ca=Path(os.environ["OPENERP_DATABASE_CA"]),
            file_systems=Path(os.environ["OPENERP_FILE_SYSTEMS"]),
            aws=aws or Aws(REGION),
        )

    def client(self, service: str) -> Any:
        emulator = running(self.home)
        assert emulator is not None
        return make_client(emulator, service, REGION)


def sql(site: Site, database: str, query: str) -> list[Any]:
    """Ask a database as its application does."""
    with site.databases.application(database).connect(database) as connection:
        cursor = connection.execute(query)
        return [] if cursor.description is None else list(cursor.fetchall())


def like_production(site: Site, database: str) -> None:
    """Make a database of production: what offends each rule is in it, people's passwords, attachments."""
    with site.databases.application(database).connect(database) as connection:
        tables.create(connection)
        connection.execute(LIKE_PRODUCTION)
        for rule in OFFENDED:
            connection.execute(tables.offender(rule))
        assert site.files.mounted is not None
        store = site.files.mounted / "filestore" / database
        store.mkdir(parents=True)
        attach(connection, store, 12, (0, 1, 511, 3000))
        sessions = site.files.mounted / "sessions" / "ab"
        sessions.mkdir(parents=True, exist_ok=True)
        (sessions / f"of-{database}").write_text("{}")


def checkpoint(site: Site, label: str) -> None:
    with held(site.store, site.name, f"checkpoint {label}"):
        take(site, label)


class Asked(first_start.Database):
    """A database as the servers' own code asks it."""

    def __init__(self, connection: Any) -> None:
        self.connection = connection

    def rows(self, statement: str, values: Any = ()) -> list[Any]:
        return list(self.connection.execute(statement, values).fetchall())


def refusals(site: Site, environment: str) -> dict[str, str | None]:
    """Why servers of an environment refuse each database of a stack; None: they serve it."""
    found = {}
    for database in site.databases.names():
        with site.databases.application(database).connect(database) as connection:
            found[database] = first_start.why_not_ours(Asked(connection), database, environment)
    return found


def servers(site: Site) -> int:
    """How many instances both groups have."""
    groups = [
        str(site.stack.output(name))
        for name in (names.APP_AUTOSCALING_GROUP, names.WEB_CLIENT_AUTOSCALING_GROUP)
    ]
    found = site.aws.client("autoscaling").describe_auto_scaling_groups(AutoScalingGroupNames=groups)
    return sum(len(group["Instances"]) for group in found["AutoScalingGroups"])
