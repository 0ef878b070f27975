"""A request that names itself is carried out once, however often it comes, also after a kill."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError

from local.emulator import Emulator, start, stop
from local.processes import identity
from tests.local.emulator.conftest import make_client, wait_until


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Path]:
    yield tmp_path / "home"
    stop(tmp_path / "home")


def named(emulator: Emulator, service: str, name: str | None) -> Any:
    """A client whose requests all have one name, or none."""
    client = make_client(emulator, service)

    def add(params: dict[str, Any], **_: Any) -> None:
        if name is not None:
            params["headers"]["X-Openerp-Operation"] = name

    client.meta.events.register("before-call", add)
    return client


def test_a_named_request_gets_its_first_answer_again_and_is_not_carried_out_again(home: Path) -> None:
    emulator = start(home)
    first = named(emulator, "ec2", "a").create_vpc(CidrBlock="10.0.0.0/16")["Vpc"]
    assert named(emulator, "ec2", "a").create_vpc(CidrBlock="10.0.0.0/16")["Vpc"] == first
    other = named(emulator, "ec2", "b").create_vpc(CidrBlock="10.0.0.0/16")["Vpc"]["VpcId"]
    unnamed = {make_client(emulator, "ec2").create_vpc(CidrBlock="10.0.0.0/16")["Vpc"]["VpcId"] for _ in "ab"}

    os.kill(emulator.pid, signal.SIGKILL)
    wait_until(lambda: identity(emulator.pid) is None)
    emulator = start(home)
    assert emulator.lost == 0
    again = named(emulator, "ec2", "a").create_vpc(CidrBlock="10.0.0.0/16")["Vpc"]
    assert again["VpcId"] == first["VpcId"]
    vpcs = make_client(emulator, "ec2").describe_vpcs()["Vpcs"]
    assert {vpc["VpcId"] for vpc in vpcs if not vpc["IsDefault"]} == {first["VpcId"], other, *unnamed}


def test_a_named_request_that_was_refused_may_be_asked_for_again(home: Path) -> None:
    emulator = start(home)
    client = named(emulator, "iam", "attach")
    asked = {"RoleName": "late", "PolicyArn": "arn:aws:iam::aws:policy/ReadOnlyAccess"}
    with pytest.raises(ClientError, match="late"):
        client.attach_role_policy(**asked)
    make_client(emulator, "iam").create_role(RoleName="late", AssumeRolePolicyDocument="{}")
    client.attach_role_policy(**asked)
    attached = client.list_attached_role_policies(RoleName="late")["AttachedPolicies"]
    assert len(attached) == 1


def test_reading_is_never_answered_from_memory(home: Path) -> None:
    emulator = start(home)
    client = named(emulator, "sns", "read")
    assert client.list_topics()["Topics"] == []
    make_client(emulator, "sns").create_topic(Name="t")
    assert len(client.list_topics()["Topics"]) == 1
