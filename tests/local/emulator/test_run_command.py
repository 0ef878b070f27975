"""Run Command between the API and whoever runs servers: here this process does, without containers."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError

from local.emulator import Emulator, running, start, stop
from local.nodes import shell
from local.nodes.cloud import Endpoint
from local.nodes.commands import Commands
from local.processes import identity
from tests.local.emulator.conftest import REGION, make_client, wait_until
from tests.local.emulator.test_nodes import attach, detach

SHELL = "AWS-RunShellScript"
ENDED = ("Success", "Failed", "TimedOut", "Cancelled")


class Place:
    """An emulator with two instances, and a data centre that runs commands on this machine."""

    def __init__(self, home: Path) -> None:
        self.home = home
        start(home)
        ec2 = self.client("ec2")
        subnet = ec2.describe_subnets()["Subnets"][0]["SubnetId"]
        made = ec2.run_instances(MinCount=2, MaxCount=2, ImageId="ami-1", SubnetId=subnet)["Instances"]
        self.first, self.second = (row["InstanceId"] for row in made)
        ec2.create_tags(Resources=[self.first], Tags=[{"Key": "Name", "Value": "app"}])
        self.commands: Commands | None = None

    @property
    def emulator(self) -> Emulator:
        found = running(self.home)
        assert found is not None
        return found

    def client(self, service: str) -> Any:
        return make_client(self.emulator, service)

    @property
    def ssm(self) -> Any:
        return self.client("ssm")

    def open(self, *online: str) -> None:
        """Servers run from now on."""
        attach(self.home)
        self.online(*online)
        self.commands = Commands(self.home, REGION, self.run)
        self.commands.start()

    def online(self, *instances: str) -> None:
        endpoint = Endpoint.of(self.home)
        endpoint.ask("POST", "online", {"region": REGION, "instances": instances})

    @staticmethod
    def run(instance: str, script: shell.Script, cancelled: threading.Event) -> shell.Ended:
        return shell.run([], script, {"PATH": os.environ["PATH"], "SERVER": instance}, cancelled)

    def close(self) -> None:
        if self.commands is not None:
            self.commands.stop()
            self.commands = None

    def send(self, text: str, *instances: str, **more: Any) -> str:
        given = {"InstanceIds": [*(instances or (self.first,))], **more}
        parameters = {"commands": text.split("\n"), **given.pop("Parameters", {})}
        sent = self.ssm.send_command(DocumentName=SHELL, Parameters=parameters, **given)
        return str(sent["Command"]["CommandId"])

    def found(self, command: str, instance: str | None = None) -> dict[str, Any]:
        row: dict[str, Any] = self.ssm.get_command_invocation(
            CommandId=command, InstanceId=instance or self.first
        )
        return row

    def ended(self, command: str, instance: str | None = None) -> dict[str, Any]:
        wait_until(lambda: self.found(command, instance)["Status"] in ENDED, 30)
        return self.found(command, instance)

    def kill_emulator(self) -> None:
        emulator = self.emulator
        os.kill(emulator.pid, signal.SIGKILL)
        wait_until(lambda: identity(emulator.pid) is None)


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    made = Place(tmp_path_factory.mktemp("run-command") / "home")
    made.open(made.first, made.second)
    yield made
    made.close()
    stop(made.home)


@pytest.fixture
def own(tmp_path: Path) -> Iterator[Place]:
    """One that a test may kill."""
    made = Place(tmp_path / "home")
    yield made
    made.close()
    stop(made.home)


def refused(call: Callable[[], object]) -> tuple[str, str]:
    with pytest.raises(ClientError) as caught:
        call()
    error = caught.value.response["Error"]
    return error["Code"], error["Message"]


def test_a_command_runs_and_its_output_comes_back_soon(place: Place) -> None:
    began = time.monotonic()
    command = place.send("echo $SERVER\necho aside >&2", Comment="look")
    row = place.ended(command)
    assert time.monotonic() - began < 5
    assert (row["Status"], row["StatusDetails"], row["ResponseCode"]) == ("Success", "Success", 0)
    assert row["StandardOutputContent"] == f"{place.first}\n"
    assert row["StandardErrorContent"] == "aside\n"
    assert (row["PluginName"], row["Comment"]) == ("aws:runShellScript", "look")
    assert row["ExecutionStartDateTime"] < row["ExecutionEndDateTime"]
    assert row["ExecutionElapsedTime"].startswith("PT")


def test_a_command_that_fails_says_how(place: Place) -> None:
    row = place.ended(place.send("echo no >&2; exit 7"))
    assert (row["Status"], row["ResponseCode"]) == ("Failed", 7)
    assert row["StandardErrorContent"].startswith("no\n")


def test_a_command_is_in_progress_until_it_is_cancelled(place: Place) -> None:
    command = place.send("echo begun; sleep 60")
    wait_until(lambda: place.found(command)["Status"] == "InProgress")
    assert place.found(command)["ResponseCode"] == -1
    place.ssm.cancel_command(CommandId=command)
    row = place.ended(command)
    assert (row["Status"], row["StatusDetails"], row["ResponseCode"]) == ("Cancelled", "Cancelled", 137)
    place.ssm.cancel_command(CommandId=command)
    assert place.found(command)["Status"] == "Cancelled"


def test_a_command_that_takes_longer_than_it_may_has_timed_out(place: Place) -> None:
    command = place.send("sleep 60", Parameters={"executionTimeout": ["1"]}, TimeoutSeconds=30)
    row = place.ended(command)
    assert (row["Status"], row["StatusDetails"]) == ("TimedOut", "ExecutionTimedOut")


def test_a_command_for_two_servers_is_two_invocations_of_one_command(place: Place) -> None:
    command = place.send('test "$SERVER" != ' + place.second, place.first, place.second)
    assert place.ended(command, place.first)["Status"] == "Success"
    assert place.ended(command, place.second)["Status"] == "Failed"
    (listed,) = place.ssm.list_commands(CommandId=command)["Commands"]
    assert (listed["Status"], listed["TargetCount"], listed["CompletedCount"]) == ("Failed", 2, 2)
    assert (listed["ErrorCount"], listed["InstanceIds"]) == (1, [place.first, place.second])
    found = place.ssm.list_command_invocations(CommandId=command, Details=True)["CommandInvocations"]
    assert {row["InstanceId"]: row["Status"] for row in found} == {
        place.first: "Success",
        place.second: "Failed",
    }
    assert found[0]["InstanceName"] == "app"
    assert found[0]["CommandPlugins"][0]["Name"] == "aws:runShellScript"
    one = place.ssm.list_command_invocations(InstanceId=place.second)["CommandInvocations"]
    assert command in {row["CommandId"] for row in one}


def test_servers_may_be_named_by_a_tag(place: Place) -> None:
    sent = place.ssm.send_command(
        DocumentName=SHELL,
        Targets=[{"Key": "tag:Name", "Values": ["app"]}],
        Parameters={"commands": ["echo $SERVER"], "workingDirectory": ["/"]},
    )["Command"]
    assert sent["TargetCount"] == 1
    assert place.ended(sent["CommandId"])["StandardOutputContent"] == f"{place.first}\n"


def test_what_runs_is_listed_and_what_does_not_run_is_refused(place: Place) -> None:
    rows = place.ssm.describe_instance_information()["InstanceInformationList"]
    assert {row["InstanceId"]: row["PingStatus"] for row in rows} == {
        place.first: "Online",
        place.second: "Online",
    }
    assert rows[0]["IPAddress"]
    filters = [{"Key": "InstanceIds", "Values": [place.second, "i-00000000000000000"]}]
    (row,) = place.ssm.describe_instance_information(Filters=filters)["InstanceInformationList"]
    assert row["InstanceId"] == place.second
    try:
        place.online(place.first)
        (row,) = place.ssm.describe_instance_information()["InstanceInformationList"]
        assert row["InstanceId"] == place.first
        code, message = refused(lambda: place.send("true", place.second))
        assert code == "InvalidInstanceId"
        assert message == f"Instances [[{place.second}]] not in a valid state for account 123456789012"
    finally:
        place.online(place.first, place.second)


@pytest.mark.parametrize(
    ("given", "code"),
    [
        ({"DocumentName": "AWS-RunPowerShellScript"}, "InvalidDocument"),
        ({"Parameters": {"commands": ["true"], "timeout": ["1"]}}, "InvalidParameters"),
        ({"Parameters": {}}, "InvalidParameters"),
        ({"Parameters": {"commands": ["true"], "executionTimeout": ["soon"]}}, "InvalidParameters"),
        ({"Parameters": {"commands": ["true"], "executionTimeout": ["172801"]}}, "InvalidParameters"),
        ({"Parameters": {"commands": ["#" * 70_000]}}, "MaxDocumentSizeExceeded"),
        ({"InstanceIds": []}, "ValidationException"),
    ],
)
def test_what_the_document_does_not_take_is_refused(place: Place, given: dict[str, Any], code: str) -> None:
    usual = {
        "DocumentName": SHELL,
        "InstanceIds": [place.first],
        "Parameters": {"commands": ["true"]},
    }
    assert refused(lambda: place.ssm.send_command(**{**usual, **given}))[0] == code


def test_a_command_that_is_not_there_is_an_error(place: Place) -> None:
    nothing = "00000000-0000-0000-0000-000000000000"
    assert refused(lambda: place.found(nothing))[0] == "InvocationDoesNotExist"
    assert refused(lambda: place.ssm.cancel_command(CommandId=nothing))[0] == "InvalidCommandId"
    assert refused(lambda: place.ssm.list_commands(CommandId=nothing))[0] == "InvalidCommandId"


def test_parameters_are_kept_as_before(place: Place) -> None:
    place.ssm.put_parameter(Name="/openerp/x", Value="1", Type="String")
    assert place.ssm.get_parameter(Name="/openerp/x")["Parameter"]["Value"] == "1"


def test_where_no_server_runs_nothing_is_listed_and_every_command_refused(own: Place) -> None:
    assert own.ssm.describe_instance_information()["InstanceInformationList"] == []
    assert refused(lambda: own.send("true"))[0] == "InvalidInstanceId"


def test_a_command_goes_on_through_a_kill_of_the_emulator_and_runs_once(own: Place) -> None:
    own.open(own.first)
    done = own.home.parent / "done"
    quick = own.send("echo quick")
    assert own.ended(quick)["StandardOutputContent"] == "quick\n"
    slow = own.send(f"sleep 3; echo one >> {done}; echo slow")
    wait_until(lambda: own.found(slow)["Status"] == "InProgress")
    own.kill_emulator()
    start(own.home)
    row = own.ended(slow)
    assert (row["Status"], row["StandardOutputContent"]) == ("Success", "slow\n")
    assert done.read_text() == "one\n"
    row = own.ended(quick)
    assert (row["Status"], row["StandardOutputContent"]) == ("Success", "quick\n")


def test_a_command_ends_with_whoever_runs_servers(own: Place) -> None:
    own.open(own.first)
    before = own.send("true")
    assert own.ended(before)["Status"] == "Success"
    lost = own.send("sleep 60")
    wait_until(lambda: own.found(lost)["Status"] == "InProgress")
    own.close()
    detach(own.home)
    row = own.ended(lost)
    assert (row["Status"], row["StatusDetails"], row["ResponseCode"]) == ("Failed", "Undeliverable", -1)
    stop(own.home)
    start(own.home)
    assert own.found(lost)["Status"] == "Failed"
    assert own.found(before)["Status"] == "Success"


def test_a_data_centre_that_was_started_anew_knows_of_no_command(own: Place) -> None:
    own.open(own.first)
    lost = own.send("sleep 60")
    wait_until(lambda: own.found(lost)["Status"] == "InProgress")
    own.close()
    own.open(own.first)
    row = own.ended(lost)
    assert (row["Status"], row["StatusDetails"]) == ("Failed", "Undeliverable")
    assert own.ended(own.send("echo again"))["StandardOutputContent"] == "again\n"


def test_neither_texts_nor_output_of_commands_are_on_the_disk(own: Place) -> None:
    own.open(own.first)
    command = own.send("text=word; echo printed-$text; echo aside-$text >&2")
    assert own.ended(command)["StandardOutputContent"] == "printed-word\n"
    own.close()
    stop(own.home)
    kept = b"".join(path.read_bytes() for path in (own.home / "emulator").rglob("*") if path.is_file())
    assert b"SendCommand" in kept
    assert command.encode() in kept
    for word in (b"text=word", b"printed-", b"aside-"):
        assert word not in kept
    start(own.home)
    (listed,) = own.ssm.list_commands()["Commands"]
    assert (listed["CommandId"], listed.get("Parameters", {})) == (command, {})
