"""`ops rotate` on a stack as the program makes it, with real PostgreSQL; no servers run.

What servers do with a new password is shown by tests/e2e/test_rotation.py.
"""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from core import outputs as names
from ops.databases.connection import Server
from ops.databases.errors import DatabaseError
from tests.e2e.deployment import Deployment

KILLER = """
import os, signal, sys
from ops.console import Reporter
from ops.rotation.rotate import rotate
from ops.site import open_site

class Dies(Reporter):
    def __init__(self, steps):
        self.left = steps
    def step(self, sentence):
        self.left -= 1
        if self.left < 0:
            os.kill(os.getpid(), signal.SIGKILL)

from pathlib import Path
site = open_site("local", Dies(int(sys.argv[1])), ca=Path(os.environ["OPENERP_DATABASE_CA"]))
rotate(site, ["application", "reporting", "master"])
"""
"""Rotates, and is killed when so many steps have begun."""


@pytest.fixture(scope="module")
def machine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Deployment]:
    made = Deployment(tmp_path_factory.mktemp("rotation"))
    made.copy_project()
    made.run("up")
    yield made
    made.run("down")


def passwords(machine: Deployment) -> dict[str, str]:
    outputs = machine.outputs()
    arns = {
        "application": outputs[names.APPLICATION_SECRET_ARNS][outputs[names.WORKING_DATABASE]],
        "reporting": outputs[names.REPORTING_SECRET_ARN],
        "administrator": outputs[names.ADMINISTRATOR_SECRET_ARN],
        "master": outputs[names.MASTER_SECRET_ARN],
    }
    return {kind: str(machine.secret(arn)["password"]) for kind, arn in arns.items()}


def log_in(machine: Deployment, kind: str, password: str) -> None:
    outputs = machine.outputs()
    users = {"application": "openerp_app", "reporting": "openerp_reporting", "master": "openerp_admin"}
    server = Server(
        host=outputs[names.DATABASE_ADDRESS],
        port=int(outputs[names.DATABASE_PORT]),
        user=users[kind],
        password=password,
        ca=machine.home / "postgres" / "ca.pem",
    )
    server.connect(outputs[names.WORKING_DATABASE] if kind != "master" else "postgres").close()


def rotate(machine: Deployment, *arguments: str) -> subprocess.CompletedProcess[str]:
    return machine.ops("rotate", *arguments, "--stack", "local")


def test_new_passwords_let_in_and_old_ones_do_not(machine: Deployment) -> None:
    before = passwords(machine)
    done = rotate(machine, "application", "reporting", "master", "--yes", "--json")
    assert done.returncode == 0, done.stderr
    after = passwords(machine)
    for kind in ("application", "reporting", "master"):
        assert before[kind] != after[kind]
        log_in(machine, kind, after[kind])
        with pytest.raises(DatabaseError, match="password authentication failed"):
            log_in(machine, kind, before[kind])
    assert before["administrator"] == after["administrator"]
    versions = machine.settings()["openerp:passwordVersions"]
    assert versions == {"application": 2, "reporting": 2}
    result = json.loads(done.stdout)
    assert result["kinds"] == ["application", "reporting", "master"]
    for password in (*before.values(), *after.values()):
        assert password not in done.stdout + done.stderr
        assert password not in machine.settings_file.read_text()


def test_a_connection_that_stands_goes_on(machine: Deployment) -> None:
    outputs = machine.outputs()
    server = Server(
        host=outputs[names.DATABASE_ADDRESS],
        port=int(outputs[names.DATABASE_PORT]),
        user="openerp_app",
        password=passwords(machine)["application"],
        ca=machine.home / "postgres" / "ca.pem",
    )
    with server.connect(outputs[names.WORKING_DATABASE]) as connection:
        assert rotate(machine, "application", "--yes").returncode == 0
        assert connection.execute("select 1").fetchone() == (1,)


def test_a_dry_run_changes_nothing(machine: Deployment) -> None:
    before, settings = passwords(machine), machine.settings()
    done = rotate(machine, "application", "--dry-run", "--json")
    assert done.returncode == 0, done.stderr
    now = settings.get("openerp:passwordVersions", {}).get("application", 1)
    assert json.loads(done.stdout)["versions"] == {"application": now + 1}
    assert (passwords(machine), machine.settings()) == (before, settings)


def test_the_administrator_needs_a_server_and_nothing_is_begun_without(machine: Deployment) -> None:
    before, settings = passwords(machine), machine.settings()
    done = rotate(machine, "--yes")
    assert done.returncode == 1
    assert "SSM Run Command reaches none of local" in done.stderr
    assert (passwords(machine), machine.settings()) == (before, settings)


def test_what_is_no_kind_of_password_is_named(machine: Deployment) -> None:
    done = rotate(machine, "root", "--yes")
    assert done.returncode == 1
    assert "'root' has no password here" in done.stderr


def test_nobody_is_asked_where_nobody_can_answer(machine: Deployment) -> None:
    done = rotate(machine, "application")
    assert done.returncode == 1
    assert "say --yes" in done.stderr


def _killed(machine: Deployment, step: int) -> int:
    """Run a rotation in the environment of `local ops` that is killed at a step; its exit status."""
    wrapper = machine.project / "killer.py"
    wrapper.write_text(KILLER)
    from local import home as places
    from local.emulator import running

    emulator = running(machine.home)
    assert emulator is not None
    environment = {
        **machine.environment,
        **places.operations_environment(emulator.endpoint_url, str(machine.outputs()[names.REGION])),
    }
    for name, value in {
        "OPENERP_LOCAL_HOME": machine.home,
        "OPENERP_DATABASE_CA": machine.home / "postgres" / "ca.pem",
        "OPENERP_FILE_SYSTEMS": machine.home / "nodes" / "file-systems",
        "PATH": f"{machine.project / 'local' / 'stand_in'}:{machine.environment['PATH']}",
        "PYTHONPATH": machine.project,
    }.items():
        environment[name] = str(value)
    return subprocess.run(
        [sys.executable, str(wrapper), str(step)],
        cwd=machine.project,
        env=environment,
        capture_output=True,
        timeout=300,
    ).returncode


@pytest.mark.parametrize("step", range(4))
def test_one_that_was_killed_goes_on_with_the_same_passwords(machine: Deployment, step: int) -> None:
    before = passwords(machine)
    version = machine.settings()["openerp:passwordVersions"]["application"]
    assert _killed(machine, step) == -signal.SIGKILL
    machine._outputs.clear()
    done = rotate(machine, "application", "--yes")
    assert done.returncode == 0, done.stderr
    assert "goes on with the rotation of application, reporting, master" in done.stdout
    after = passwords(machine)
    for kind in ("application", "reporting", "master"):
        assert after[kind] != before[kind]
        log_in(machine, kind, after[kind])
    assert machine.settings()["openerp:passwordVersions"]["application"] == version + 1


def test_two_operators_are_kept_apart(machine: Deployment) -> None:
    from ops.store import Store

    store = Store(machine.aws("s3"), str(machine.outputs()[names.OPERATIONS_BUCKET]))
    mark: dict[str, Any] = {"host": "another", "process": 1, "identity": "1", "user": "anna", "what": "drill"}
    store.write("locks/operation.json", mark)
    try:
        done = rotate(machine, "application", "--yes")
        assert done.returncode == 1
        assert "another command is at work on local: drill by anna@another" in done.stderr
    finally:
        store.delete("locks/operation.json")


def test_the_help_teaches(machine: Deployment) -> None:
    done = machine.ops("rotate", "--help")
    assert done.returncode == 0
    assert "while people work" in done.stdout
    assert "--dry-run" in done.stdout


def test_no_password_is_in_what_the_machine_keeps(machine: Deployment) -> None:
    """Secrets Manager itself, which the emulator stands for, has them."""
    found = []
    for password in passwords(machine).values():
        for path in [*machine.project.rglob("*.yaml"), *Path(machine.home / "state").rglob("*")]:
            if path.is_file() and password.encode() in path.read_bytes():
                found.append(path)
    assert found == []
