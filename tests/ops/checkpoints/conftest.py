"""One stack for the room: a copy of the project on an emulator, its data looking like Odoo's.

Everything is reached as the commands reach it: `pulumi` on PATH is the offline engine, AWS is the emulator,
PostgreSQL and the file systems are real. No servers run: their groups have instances that nobody boots.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from core import outputs as names
from local.emulator import running, stop
from ops.aws import Aws
from ops.checkpoints.take import Taken, take
from ops.console import Reporter
from ops.lock import held
from ops.site import Site, open_site
from tests.bench_dump import ODOO_TABLES, attach
from tests.local.emulator.conftest import make_client

ROOT = Path(__file__).resolve().parents[3]
COPIED = ("local", "core", "components", "deployment", "ops")
STACK = "local"
REGION = "eu-central-1"
PULUMI = """\
#!/bin/sh
# Stands for the pulumi CLI, and fails at the update when a test says so.
if [ "$1" = up ] && [ -e "{here}/fails" ]; then echo "error: AWS has none of these left" >&2; exit 255; fi
exec "{stand_in}/pulumi" "$@"
"""


class Deployment:
    """The stack `local` of a copy of the project."""

    def __init__(self, directory: Path) -> None:
        self.project, self.home, self.bin = directory / "project", directory / "home", directory / "bin"
        for name in COPIED:
            shutil.copytree(ROOT / name, self.project / name, ignore=shutil.ignore_patterns("__pycache__"))
        for path in [*ROOT.glob("*.py"), *ROOT.glob("Pulumi*.yaml")]:
            shutil.copy(path, self.project)
        self.bin.mkdir()
        program = self.bin / "pulumi"
        program.write_text(PULUMI.format(here=self.bin, stand_in=self.project / "local" / "stand_in"))
        program.chmod(0o755)

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
            "PATH": os.pathsep.join([str(self.bin), os.environ["PATH"]]),
        }

    def up(self) -> None:
        done = subprocess.run(
            [sys.executable, "-m", "local", "up", "--engine", "offline"],
            cwd=self.project,
            env={**os.environ, "OPENERP_LOCAL_HOME": str(self.home)},
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, done.stdout + done.stderr

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

    def ops(self, *command: str, status: int = 0) -> subprocess.CompletedProcess[str]:
        return self.run("ops", *command, "--stack", STACK, status=status)

    def fails(self, said: str, *command: str) -> str:
        """Run a command that is refused in one sentence, and return that."""
        error = self.ops(*command, status=1).stderr.strip()
        assert error.startswith("error: "), error
        assert len(error.splitlines()) == 1, error
        assert said in error, error
        return error

    def killed(self, *command: str) -> bool:
        """Run a command that kills itself (`killed.py`); whether it came so far."""
        done = subprocess.run(
            [sys.executable, "-m", "tests.ops.checkpoints.killed", *command],
            cwd=self.project,
            env={**os.environ, **self.environment, "PYTHONPATH": str(ROOT)},
            capture_output=True,
            text=True,
        )
        assert done.returncode in (0, -signal.SIGKILL), done.stderr
        return done.returncode != 0

    def pulumi_fails(self, fails: bool) -> None:
        """Have the next `pulumi up` fail at once, or not any more."""
        marker = self.bin / "fails"
        if fails:
            marker.touch()
        else:
            marker.unlink(missing_ok=True)

    def site(self, reporter: Reporter | None = None) -> Site:
        """Open the stack in this process; its environment is that of `environment`."""
        return open_site(
            STACK,
            reporter or Reporter(),
            ca=Path(os.environ["OPENERP_DATABASE_CA"]),
            file_systems=Path(os.environ["OPENERP_FILE_SYSTEMS"]),
            aws=Aws(REGION),
        )

    def client(self, service: str) -> Any:
        emulator = running(self.home)
        assert emulator is not None
        return make_client(emulator, service, REGION)

    @property
    def settings_file(self) -> Path:
        return self.project / f"Pulumi.{STACK}.yaml"

    def configure(self, change: Callable[[dict[str, Any]], None]) -> None:
        document = yaml.safe_load(self.settings_file.read_text())
        change(document["config"])
        self.settings_file.write_text(yaml.safe_dump(document, sort_keys=False))

    def settings(self) -> dict[str, Any]:
        found: dict[str, Any] = yaml.safe_load(self.settings_file.read_text())["config"]
        return found


def sql(site: Site, database: str, query: str) -> list[Any]:
    """Ask a database as its application does."""
    with site.databases.application(database).connect(database) as connection:
        cursor = connection.execute(query)
        return [] if cursor.description is None else list(cursor.fetchall())


def filestore(site: Site, database: str) -> Path:
    """The folder of a database's files now."""
    assert site.files.mounted is not None
    return site.files.mounted / "filestore" / database


def store_file(site: Site, database: str, content: bytes) -> str:
    """Make an attachment, the file first, as Odoo does."""
    digest = hashlib.sha1(content, usedforsecurity=False).hexdigest()
    name = f"{digest[:2]}/{digest}"
    path = filestore(site, database) / name
    path.parent.mkdir(exist_ok=True, parents=True)
    path.write_bytes(content)
    sql(
        site,
        database,
        f"insert into ir_attachment (name, type, store_fname) values ('n', 'binary', '{name}')",
    )
    return name


def fill(site: Site, database: str) -> None:
    """Make a database look like Odoo's, with attachments and a table whose name needs quoting."""
    with site.databases.application(database).connect(database) as connection:
        connection.execute(ODOO_TABLES)
        connection.execute("create table res_partner (id serial primary key, name text)")
        connection.execute(
            "insert into res_partner (name) select md5(i::text) from generate_series(1, 2000) i"
        )
        connection.execute('create table "Odd ""name" (id int primary key, "text" text)')
        connection.execute('insert into "Odd ""name" select i, i::text from generate_series(1, 300) i')
        store = filestore(site, database)
        store.mkdir(parents=True)
        attach(connection, store, 30, (0, 1, 511, 3000, 100_000))


@pytest.fixture(scope="session")
def made(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Deployment]:
    deployment = Deployment(tmp_path_factory.mktemp("checkpoints"))
    try:
        deployment.up()
        (deployment.home / "nodes" / "file-systems").mkdir(parents=True)
        yield deployment
    finally:
        stop(deployment.home)


@pytest.fixture
def deployment(made: Deployment, monkeypatch: pytest.MonkeyPatch) -> Deployment:
    """The stack, from within its project, filled once."""
    monkeypatch.chdir(made.project)
    for name, value in made.environment.items():
        monkeypatch.setenv(name, value)
    made.pulumi_fails(False)
    site = made.site()
    for database in site.databases.names():
        if not filestore(site, database).is_dir():
            fill(site, database)
    return made


@pytest.fixture
def site(deployment: Deployment) -> Site:
    return deployment.site()


def checkpoint(site: Site, label: str, **options: Any) -> Taken:
    """Take a checkpoint in this process."""
    with held(site.store, site.name, f"checkpoint {label}"):
        return take(site, label, **options)


def servers(deployment: Deployment) -> int:
    """How many instances both groups have."""
    site = deployment.site()
    groups = [
        str(site.stack.output(name))
        for name in (names.APP_AUTOSCALING_GROUP, names.WEB_CLIENT_AUTOSCALING_GROUP)
    ]
    found = deployment.client("autoscaling").describe_auto_scaling_groups(AutoScalingGroupNames=groups)
    return sum(len(group["Instances"]) for group in found["AutoScalingGroups"])


def document(site: Site, label: str) -> dict[str, Any]:
    """A manifest's document."""
    content = site.store.read_bytes(f"checkpoints/{label}.json")
    assert content is not None
    value: dict[str, Any] = json.loads(content)
    return value
