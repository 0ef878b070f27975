"""Run Command on real servers, day-2 commands against this machine's cloud, and a second stack beside it."""

from __future__ import annotations

import json
import os
import signal
import ssl
from collections.abc import Iterator
from http.client import HTTPSConnection
from typing import Any

import pytest
from botocore.exceptions import ClientError

from core import outputs as names
from local.emulator import running
from tests.e2e.deployment import Deployment, on_this_machine
from tests.e2e.names import resolving

SECOND, ABSENT = "training", "prod"
ENDED = ("Success", "Failed", "TimedOut", "Cancelled")


def send(live: Deployment, server: str, *lines: str, **parameters: str) -> str:
    """Have a server run a script; the command's number."""
    sent = live.aws("ssm").send_command(
        InstanceIds=[server],
        DocumentName="AWS-RunShellScript",
        Parameters={"commands": [*lines], **{name: [value] for name, value in parameters.items()}},
    )
    return str(sent["Command"]["CommandId"])


def look(live: Deployment, server: str, command: str) -> dict[str, Any]:
    """How a command stands."""
    found: dict[str, Any] = live.aws("ssm").get_command_invocation(CommandId=command, InstanceId=server)
    return found


def ended(live: Deployment, server: str, command: str, seconds: float = 60) -> dict[str, Any]:
    """What became of a command."""

    def over() -> dict[str, Any] | None:
        found = look(live, server, command)
        return found if found["Status"] in ENDED else None

    return live.wait("end of the command", over, seconds)


@pytest.fixture(scope="module")
def server(live: Deployment) -> str:
    """The app server."""
    return min(live.healthy("app"))


def test_every_server_that_serves_is_reached(live: Deployment) -> None:
    rows = live.aws("ssm").describe_instance_information()["InstanceInformationList"]
    assert {row["InstanceId"] for row in rows} >= live.healthy("app") | live.healthy("web-client")
    assert {row["PingStatus"] for row in rows} == {"Online"}


def test_a_script_runs_as_root_with_the_servers_own_package(live: Deployment, server: str) -> None:
    command = send(
        live,
        server,
        "#!/usr/bin/python3",
        "import json, os, sys",
        "sys.path.insert(0, '/usr/local/lib/openerp')",
        "from openerp_server import common",
        "host, own = common.read_server()['public_host'], os.environ['AWS_SSM_INSTANCE_ID']",
        "print(json.dumps([os.getuid(), host, own]))",
        workingDirectory="/srv/openerp",
    )
    row = ended(live, server, command)
    assert (row["Status"], row["StandardErrorContent"]) == ("Success", "")
    assert json.loads(row["StandardOutputContent"]) == [0, live.host, server]


def test_a_script_may_start_units_of_the_server(live: Deployment, server: str) -> None:
    command = send(live, server, "systemd-run --wait --pipe --quiet -p User=odoo id -un; exit 4")
    row = ended(live, server, command)
    assert (row["Status"], row["ResponseCode"], row["StandardOutputContent"]) == ("Failed", 4, "odoo\n")


def test_a_cancelled_script_leaves_nothing_running_in_the_server(live: Deployment, server: str) -> None:
    command = send(live, server, "sleep 8642 & sleep 8642")

    def there() -> bool:
        return live.inside(server, "pgrep", "-f", "^sleep 8642").returncode == 0

    live.wait("process of the script", there, 30)
    live.aws("ssm").cancel_command(CommandId=command)
    assert ended(live, server, command)["Status"] == "Cancelled"
    live.wait("end of the process", lambda: not there(), 30)


def test_a_script_goes_on_while_the_emulator_is_killed_and_runs_once(live: Deployment, server: str) -> None:
    mark = "/var/tmp/ran"
    command = send(live, server, f"sleep 5; echo once >> {mark}; cat {mark}; rm {mark}")
    live.wait("start of the command", lambda: look(live, server, command)["Status"] == "InProgress", 30)
    emulator = running(live.home)
    assert emulator is not None
    os.kill(emulator.pid, signal.SIGKILL)
    live.run("preview")  # which starts it again
    row = ended(live, server, command)
    assert (row["Status"], row["StandardOutputContent"]) == ("Success", "once\n")
    everyone = live.healthy("app") | live.healthy("web-client")
    live.wait("servers that are reached", lambda: everyone <= reached(live), 30)


def reached(live: Deployment) -> set[str]:
    """The servers that Run Command reaches."""
    rows = live.aws("ssm").describe_instance_information()["InstanceInformationList"]
    return {row["InstanceId"] for row in rows}


def test_ops_finds_the_stack_by_its_own_pulumi(live: Deployment) -> None:
    done = live.ops("service-sheet", "--stack", live.stack, "--json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == live.outputs()[names.SERVICE_SHEET]["data"]
    done = live.ops("service-sheet", "--stack", ABSENT)
    assert done.returncode == 1
    assert f"no stack named '{ABSENT}' found" in done.stderr


@pytest.fixture(scope="module")
def second(live: Deployment) -> Iterator[Deployment]:
    """Another stack on the same machine, with servers of its own."""
    other = live.of(SECOND)
    other.change_settings(on_this_machine)
    print(other.live(), flush=True)
    yield other
    other.run("destroy", seconds=300)
    other.wait("end of its servers", lambda: len(live.status().balancers) == 1, 60)


def login_page(stack: Deployment) -> int:
    """The status of the login page."""
    context = ssl.create_default_context(cafile=str(stack.clients / "ca.pem"))
    with resolving(stack.hosts):
        connection = HTTPSConnection(stack.host, 443, context=context, timeout=30)
        try:
            connection.request("GET", "/web/login")
            return connection.getresponse().status
        finally:
            connection.close()


def test_two_stacks_serve_at_the_same_time_at_addresses_of_their_own(
    live: Deployment, second: Deployment
) -> None:
    assert live.hosts.keys().isdisjoint(second.hosts)
    assert set(live.hosts.values()).isdisjoint(second.hosts.values())
    for stack in (live, second):
        assert login_page(stack) in (200, 303)
        assert stack.run("password").strip() == stack.administrator()[1]
    servers = [stack.healthy("app") | stack.healthy("web-client") for stack in (live, second)]
    assert servers[0].isdisjoint(servers[1])
    assert reached(live) >= servers[0] | servers[1]


def test_a_server_cannot_reach_the_database_of_another_stack(live: Deployment, second: Deployment) -> None:
    """Each reaches its own, at its port of this machine."""
    for stack, other in ((live, second), (second, live)):
        server = min(stack.healthy("app"))
        for owner, expected in ((stack, "0"), (other, "2")):
            port = owner.outputs()[names.DATABASE_PORT]
            command = send(
                stack, server, f"pg_isready -q -h 127.0.0.1 -p {port}; echo $?", executionTimeout="30"
            )
            assert ended(stack, server, command)["StandardOutputContent"] == f"{expected}\n"


def test_an_instance_that_does_not_run_is_refused(live: Deployment) -> None:
    with pytest.raises(ClientError, match="not in a valid state for account") as refused:
        send(live, "i-0123456789abcdef0", "true")
    assert refused.value.response["Error"]["Code"] == "InvalidInstanceId"
