"""A drill with real servers: Odoo itself starts on the restored data, and the running system notices nothing.

What AWS's own restores take is not proven here, nor that its permissions are enough.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from core import outputs as names
from local.emulator.files import Files
from ops.drills import own
from tests.e2e.deployment import STACK, Deployment
from tests.e2e.test_certificates import QUICK
from tests.load.crowd import working
from tests.load.users import Entrance, reasons

LABEL = "drilled"
MINUTES = 15 * 60


@pytest.fixture(scope="module")
def checkpoint(live: Deployment) -> str:
    """A checkpoint from before the servers' password was changed."""
    live.wait_for_test_database()
    done = live.ops("checkpoint", LABEL, "--stack", STACK, seconds=MINUTES)
    assert done.returncode == 0, done.stderr
    rotated = live.ops("rotate", "application", "--stack", STACK, "--yes", seconds=MINUTES)
    assert rotated.returncode == 0, rotated.stderr
    return LABEL


def drill(live: Deployment, *arguments: str) -> tuple[int, dict[str, Any]]:
    done = live.ops("drill", *arguments, "--stack", STACK, "--yes", "--json", seconds=MINUTES)
    print(done.stderr, flush=True)
    assert done.stdout, f"{done.stderr}\n{live.consoles(30)}"
    report: dict[str, Any] = json.loads(done.stdout)
    return done.returncode, report


def there(live: Deployment) -> dict[str, list[str]]:
    """What the cloud has of each kind that a drill makes."""
    ec2 = live.aws("ec2")
    return {
        "servers": [
            instance["InstanceId"]
            for reservation in ec2.describe_instances()["Reservations"]
            for instance in reservation["Instances"]
            if instance["State"]["Name"] not in ("terminated", "shutting-down")
        ],
        "databases": [
            row["DBInstanceIdentifier"] for row in live.aws("rds").describe_db_instances()["DBInstances"]
        ],
        "files": [row["FileSystemId"] for row in live.aws("efs").describe_file_systems()["FileSystems"]],
        "groups": [row["GroupId"] for row in ec2.describe_security_groups()["SecurityGroups"]],
    }


def test_odoo_starts_on_the_restored_data_while_people_work_and_nothing_stays(
    live: Deployment, checkpoint: str, entrance: Entrance, people: list[tuple[str, str]]
) -> None:
    before = there(live)
    with working(entrance, people, think=QUICK) as record:
        status, report = drill(live, checkpoint)
    assert status == 0, report
    assert report["ok"] is True
    assert (report["data"], report["application"]) == ("proven", "proven")
    assert report["differences"] == []
    outputs = live.outputs()
    logins = {one["name"]: one["login"] for one in report["databases"]}
    assert logins == {outputs[names.WORKING_DATABASE]: "in", outputs[names.TEST_DATABASE]: "in"}
    assert 0 < report["rto"] < MINUTES
    assert report["rto"] < report["recovered"], "what was compared meanwhile does not count"
    assert not record.failures(), reasons(record.failures())
    assert there(live) == before
    listed = live.ops("checkpoints", "--stack", STACK, "--json")
    assert checkpoint in listed.stdout


@contextmanager
def damaged(live: Deployment) -> Iterator[str]:
    """Damage a file of the newest recovery point, as a disk would; its size stays. Gives its name."""
    points = Files(live.home).points
    newest = max((path for path in points.iterdir() if path.is_dir()), key=lambda path: path.stat().st_mtime)
    database = str(live.outputs()[names.WORKING_DATABASE])
    folders = newest.glob(f"odoo/filestore/{database}/??/*")
    path = min(file for file in folders if file.stat().st_size > 10)
    whole = path.read_bytes()
    path.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
    try:
        yield f"{path.parent.name}/{path.name}"
    finally:
        path.write_bytes(whole)


def test_a_damaged_file_is_found_by_the_drills_server_which_nobody_else_reaches(
    live: Deployment, checkpoint: str
) -> None:
    before = there(live)
    with damaged(live) as name:
        status, report = drill(live, checkpoint, "--keep")
    try:
        assert status == 1
        database = live.outputs()[names.WORKING_DATABASE]
        (difference,) = report["differences"]
        assert difference.startswith(f"{database}: 1 stored files are damaged")
        assert difference.endswith(name)
        # Odoo starts nevertheless: whoever looks at it sees how it would be.
        assert report["application"] == "proven"
        _look_around(live, report["drill"])
    finally:
        cleaned = live.ops("drill", "--clean", "--stack", STACK, seconds=MINUTES)
    assert cleaned.returncode == 0, cleaned.stderr
    assert there(live) == before


def _look_around(live: Deployment, drill: str) -> None:
    """On a drill that was kept: who reaches whom."""
    title = own.name(STACK, drill)
    row = live.aws("rds").describe_db_instances(DBInstanceIdentifier=title)["DBInstances"][0]
    restored = f"{row['Endpoint']['Address']}:{row['Endpoint']['Port']}"
    filters = [{"Name": f"tag:{own.TAG}", "Values": [drill]}]
    (reservation,) = live.aws("ec2").describe_instances(Filters=filters)["Reservations"]
    server = reservation["Instances"][0]["InstanceId"]
    outputs = live.outputs()
    production = f"{outputs[names.DATABASE_ADDRESS]}:{outputs[names.DATABASE_PORT]}"
    assert restored != production

    def reaches(instance: str, address: str) -> bool:
        host, _, port = address.rpartition(":")
        program = f"import socket; socket.create_connection(({host!r}, {port}), 3)"
        return live.inside(instance, "python3", "-c", program).returncode == 0

    app = live.servers("app")[0]
    assert reaches(app, production)
    assert reaches(server, restored)
    assert not reaches(app, restored)
    assert not reaches(server, production)
    # It serves nobody but itself, and runs no scheduled job.
    assert server not in live.health("app")
    conf = live.inside(server, "cat", "/etc/openerp/odoo.conf").stdout
    assert "max_cron_threads = 0" in conf
    shown = live.inside(server, "systemctl", "show", "openerp-odoo.service", "-p", "IPAddressDeny").stdout
    assert "0.0.0.0/0" in shown


def test_what_was_said_of_drills_can_be_listed(live: Deployment, checkpoint: str) -> None:
    done = live.ops("drills", "--stack", STACK, "--max-age", "1")
    assert done.returncode == 0, done.stderr
    assert "NOT GOOD" in done.stdout
    assert "the last good drill ended" in done.stdout
