"""A restore by settings on one machine: real PostgreSQL, the program as it is, the offline engine.

Not proved here: what AWS says to it, and that files come back (a file system of the emulator is a folder that
`ops restore` fills).
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest
import yaml

from local.emulator import stop
from tests.integration.test_kills import Machine

SNAPSHOT = "openerp-local-before-the-mistake"


class Stack(Machine):
    """The stack `local`, its settings as a mapping, and its working database."""

    def configure(self, changes: dict[str, Any]) -> None:
        """Change settings by dotted key; None takes one out."""
        path = self.project / "Pulumi.local.yaml"
        settings = yaml.safe_load(path.read_text())
        for dotted, value in changes.items():
            first, *rest = dotted.split(".")
            key = f"openerp:{first}"
            if rest:
                place = settings["config"].setdefault(key, {})
                place.pop(rest[0], None)
                if value is not None:
                    place[rest[0]] = value
            else:
                settings["config"][key] = value
        path.write_text(yaml.safe_dump(settings))

    def outputs(self) -> dict[str, Any]:
        printed = subprocess.run(
            [sys.executable, "-m", "local", "output", "--json", "--show-secrets"],
            cwd=self.project,
            env={**os.environ, "OPENERP_LOCAL_HOME": str(self.home)},
            capture_output=True,
            check=True,
        ).stdout
        values: dict[str, Any] = json.loads(printed)
        return values

    def sql(self, statement: str) -> list[Any]:
        """Run a statement as the application does, with the login that the stack's secrets hold."""
        outputs = self.outputs()
        arn = outputs["application_secret_arns"]["openerp"]
        secret = self.client("secretsmanager").get_secret_value(SecretId=arn)["SecretString"]
        with psycopg.connect(
            host=outputs["database_address"],
            port=int(outputs["database_port"]),
            dbname="openerp",
            user="openerp_app",
            password=json.loads(secret)["password"],
            sslmode="verify-full",
            sslrootcert=str(Path(self.home) / "postgres" / "ca.pem"),
        ) as connection:
            cursor = connection.execute(statement)
            return cursor.fetchall() if cursor.description else []

    def notes(self) -> list[str]:
        return [text for (text,) in self.sql("select text from notes order by text")]

    def instances(self) -> set[str]:
        found = self.client("rds").describe_db_instances()["DBInstances"]
        return {each["DBInstanceIdentifier"] for each in found}

    def final_snapshots(self) -> set[str]:
        found = self.client("rds").describe_db_snapshots()["DBSnapshots"]
        return {s["DBSnapshotIdentifier"] for s in found if "-final-" in s["DBSnapshotIdentifier"]}

    def killed_after(self, said: str, *command: str) -> None:
        """Kill a command when its display has said something."""
        process = self.begin(*command)
        assert process.stdout is not None
        lines = []
        for line in process.stdout:
            lines.append(line)
            if said in line:
                os.killpg(process.pid, signal.SIGKILL)
                break
        process.communicate()
        assert process.returncode == -signal.SIGKILL, "".join(lines)

    def in_state(self, kind: str) -> list[dict[str, Any]]:
        path = self.home / "state" / ".pulumi" / "stacks" / "openerp" / "local.json"
        resources = json.loads(path.read_text())["checkpoint"]["latest"]["resources"]
        return [item for item in resources if item["type"] == kind]


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """The stack, brought up, with something in its database, a snapshot of that, and a mistake since."""
    made = Stack(tmp_path_factory.mktemp("restores"))
    try:
        made.run("up")
        made.sql("create table notes (text text)")
        made.sql("insert into notes values ('kept')")
        rds = made.client("rds")
        rds.create_db_snapshot(
            DBInstanceIdentifier=made.outputs()["database_instance_identifier"], DBSnapshotIdentifier=SNAPSHOT
        )
        rds.get_waiter("db_snapshot_available").wait(
            DBSnapshotIdentifier=SNAPSHOT, WaiterConfig={"Delay": 1, "MaxAttempts": 60}
        )
        made.sql("insert into notes values ('mistake')")
        yield made
    finally:
        stop(made.home)


def test_a_stack_goes_back_to_a_snapshot_and_stays_there(stack: Stack) -> None:
    before = stack.outputs()
    assert stack.notes() == ["kept", "mistake"]
    stack.configure({"database.restoreFrom": f"snapshot:{SNAPSHOT}"})

    stack.run("up")

    after = stack.outputs()
    assert stack.notes() == ["kept"]
    assert stack.instances() == {after["database_instance_identifier"]}
    assert after["database_instance_identifier"] != before["database_instance_identifier"]
    assert len(stack.final_snapshots()) == 1, "the former server left its last snapshot"
    stack.sql("insert into notes values ('since')")
    stack.run("preview", "--expect-no-changes")
    stack.configure({"database.restoreFrom": None})
    stack.run("preview", "--expect-no-changes")
    stack.run("up")
    assert stack.notes() == ["kept", "since"]
    assert stack.outputs() == after


def test_a_protected_stack_goes_back_too_killed_or_not_and_loses_nothing(stack: Stack) -> None:
    stack.configure({"protect": True, "database.deletionProtection": True})
    stack.run("up")
    before = stack.outputs()
    other = stack.client("efs").create_file_system(CreationToken="restored")["FileSystemId"]
    path = "/aws-backup-restore_2027-01-01T10-11-12Z/odoo"
    stack.configure(
        {
            "database.restoreFrom": f"snapshot:{SNAPSHOT}@once-more",
            "fileStore.restored": {"fileSystemId": other, "path": path},
        }
    )

    report = stack.run("preview", "--markdown")
    assert f"one made from the snapshot `{SNAPSHOT}` takes its place; the old one stays" in report
    assert f"`{other}`, which exists, takes its place; the old one stays" in report
    assert "Pulumi will refuse" not in report
    stack.killed_after("database-instance replacement created", "up")
    stack.run("up")

    after = stack.outputs()
    assert stack.notes() == ["kept"]
    assert stack.instances() == {
        before["database_instance_identifier"],
        after["database_instance_identifier"],
    }, "the former server stays"
    efs = stack.client("efs")
    systems = {each["FileSystemId"] for each in efs.describe_file_systems()["FileSystems"]}
    assert systems == {before["file_system_id"], other}, "so does the former file system"
    assert after["file_system_id"] == other
    (point,) = efs.describe_access_points(FileSystemId=other)["AccessPoints"]
    assert point["RootDirectory"]["Path"] == path
    assert efs.describe_access_points(FileSystemId=before["file_system_id"])["AccessPoints"] == []
    assert len(efs.describe_mount_targets(FileSystemId=other)["MountTargets"]) == 2
    assert len(stack.in_state("postgresql:index/database:Database")) == 2
    (instance,) = stack.in_state("aws:rds/instance:Instance")
    assert not instance.get("protect")

    stack.run("up")

    (instance,) = stack.in_state("aws:rds/instance:Instance")
    assert instance["protect"]
    stack.configure({"database.restoreFrom": None, "fileStore.restored": None})
    stack.run("preview", "--expect-no-changes")
    assert stack.outputs() == after


def test_a_restore_that_was_cut_short_is_given_up_without_another_replacement(stack: Stack) -> None:
    """The new server is there, and the run that made it never said so in the stack's outputs."""
    stack.configure({"protect": False, "database.deletionProtection": False})
    stack.run("up")
    before = stack.outputs()["database_instance_identifier"]
    stack.configure({"database.restoreFrom": f"snapshot:{SNAPSHOT}@cut-short"})
    stack.killed_after("database-instance replacement created", "up")
    assert stack.outputs()["database_instance_identifier"] == before
    named = {item["outputs"]["identifier"] for item in stack.in_state("aws:rds/instance:Instance")}
    (made,) = named - {before}

    stack.configure({"database.restoreFrom": None})
    stack.run("up")

    assert stack.outputs()["database_instance_identifier"] == made
    stack.run("preview", "--expect-no-changes")
