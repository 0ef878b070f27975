"""One emulator for the tests of a worker, and clients that speak to it."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.config import Config

from local.emulator import Emulator, start, stop

REGION = "eu-west-1"
SETTINGS = Config(retries={"mode": "standard", "total_max_attempts": 1})


def make_client(emulator: Emulator, service: str, region: str = REGION) -> Any:
    return boto3.client(
        service,
        region_name=region,
        endpoint_url=emulator.endpoint_url,
        aws_access_key_id="local",
        aws_secret_access_key="local",
        config=SETTINGS,
    )


def wait_until(check: Callable[[], bool], seconds: float = 60) -> None:
    """Polls until ``check`` holds; a test that waits for nothing in vain fails here."""
    deadline = time.monotonic() + seconds
    while not check():
        assert time.monotonic() < deadline, "what was waited for did not happen"
        time.sleep(0.02)


@pytest.fixture(scope="session")
def emulator_home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("emulator-home")


@pytest.fixture(scope="session")
def emulator(emulator_home: Path) -> Iterator[Emulator]:
    running = start(emulator_home)
    yield running
    stop(emulator_home)


@pytest.fixture(scope="session")
def client(emulator: Emulator) -> Callable[..., Any]:
    made: dict[tuple[str, str], Any] = {}

    def get(service: str, region: str = REGION) -> Any:
        if (service, region) not in made:
            made[service, region] = make_client(emulator, service, region)
        return made[service, region]

    return get


@pytest.fixture(scope="session")
def subnets(client: Callable[..., Any]) -> list[str]:
    """A VPC's two subnets, in two zones."""
    ec2 = client("ec2")
    vpc = ec2.create_vpc(CidrBlock="10.9.0.0/16")["Vpc"]["VpcId"]
    return [
        ec2.create_subnet(VpcId=vpc, CidrBlock=f"10.9.{number}.0/24", AvailabilityZone=f"{REGION}{zone}")[
            "Subnet"
        ]["SubnetId"]
        for number, zone in enumerate("ab")
    ]
