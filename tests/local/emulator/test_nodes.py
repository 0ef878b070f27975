"""What the emulator does while servers run for it: health, consoles, and refreshes that go step by step."""

from __future__ import annotations

import base64
import json
import os
import signal
import time
from collections.abc import Iterator
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

import pytest

from local.emulator import Emulator, start, stop
from local.emulator.nodes import LOOK
from local.nodes.cloud import CloudError, Endpoint
from local.processes import identity
from tests.local.emulator.conftest import REGION, make_client, wait_until

DEBIAN = "resolve:ssm:/aws/service/debian/release/13/latest/arm64"
TEMPLATE = {"LaunchTemplateName": "template", "Version": "$Latest"}


def attach(home: Path) -> None:
    """Make the emulator believe that servers run: this process stands for them."""
    (home / "nodes").mkdir(parents=True, exist_ok=True)
    record = {"pid": os.getpid(), "identity": identity(os.getpid()), "fingerprint": "", "region": REGION}
    (home / "nodes" / "process.json").write_text(json.dumps(record))
    time.sleep(LOOK)


def detach(home: Path) -> None:
    (home / "nodes" / "process.json").unlink()


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Path]:
    yield tmp_path / "home"
    stop(tmp_path / "home")


def make_group(emulator: Emulator, desired: int = 2) -> str:
    """A group `g` in a VPC, behind a target group whose ARN it returns."""
    ec2, elbv2, autoscaling, iam = (
        make_client(emulator, name) for name in ("ec2", "elbv2", "autoscaling", "iam")
    )
    vpc = ec2.create_vpc(CidrBlock="10.7.0.0/16")["Vpc"]["VpcId"]
    subnet = ec2.create_subnet(VpcId=vpc, CidrBlock="10.7.0.0/24")["Subnet"]["SubnetId"]
    security = ec2.create_security_group(GroupName="s", Description="s", VpcId=vpc)["GroupId"]
    iam.create_role(RoleName="r", AssumeRolePolicyDocument="{}")
    iam.create_instance_profile(InstanceProfileName="p")
    iam.add_role_to_instance_profile(InstanceProfileName="p", RoleName="r")
    ec2.create_launch_template(
        LaunchTemplateName="template",
        LaunchTemplateData={
            "ImageId": DEBIAN,
            "InstanceType": "t4g.small",
            "UserData": base64.b64encode(b"#cloud-config\n").decode(),
            "IamInstanceProfile": {"Name": "p"},
            "SecurityGroupIds": [security],
            "MetadataOptions": {"HttpTokens": "required", "HttpPutResponseHopLimit": 2},
        },
    )
    arn = str(
        elbv2.create_target_group(Name="targets", Protocol="HTTP", Port=8069, VpcId=vpc)["TargetGroups"][0][
            "TargetGroupArn"
        ]
    )
    autoscaling.create_auto_scaling_group(
        AutoScalingGroupName="g",
        MinSize=0,
        MaxSize=4,
        DesiredCapacity=desired,
        VPCZoneIdentifier=subnet,
        LaunchTemplate=TEMPLATE,
        TargetGroupARNs=[arn],
    )
    return arn


def described(emulator: Emulator) -> Any:
    found = make_client(emulator, "autoscaling").describe_auto_scaling_groups(AutoScalingGroupNames=["g"])
    return found["AutoScalingGroups"][0]


def members(emulator: Emulator) -> list[str]:
    return [row["InstanceId"] for row in described(emulator)["Instances"]]


def targets(emulator: Emulator, arn: str) -> dict[str, str]:
    found = make_client(emulator, "elbv2").describe_target_health(TargetGroupArn=arn)
    return {row["Target"]["Id"]: row["TargetHealth"]["State"] for row in found["TargetHealthDescriptions"]}


def refresh(emulator: Emulator) -> dict[str, Any]:
    found = make_client(emulator, "autoscaling").describe_instance_refreshes(AutoScalingGroupName="g")
    row: dict[str, Any] = found["InstanceRefreshes"][0]
    return row


def terminate(emulator: Emulator, name: str) -> None:
    make_client(emulator, "autoscaling").terminate_instance_in_auto_scaling_group(
        InstanceId=name, ShouldDecrementDesiredCapacity=False
    )


def test_health_is_what_the_servers_report_and_good_where_none_run(home: Path) -> None:
    emulator = start(home)
    arn = make_group(emulator)
    first, second = members(emulator)
    assert targets(emulator, arn) == {first: "healthy", second: "healthy"}
    attach(home)
    assert targets(emulator, arn) == {first: "initial", second: "initial"}
    Endpoint.of(home).ask("POST", "health", {arn: {first: "healthy", second: "unhealthy"}})
    assert targets(emulator, arn) == {first: "healthy", second: "unhealthy"}


def test_what_a_server_wrote_is_its_console_output(home: Path) -> None:
    emulator = start(home)
    make_group(emulator)
    attach(home)
    (name, _) = members(emulator)
    place = home / "nodes" / "instances" / name
    place.mkdir(parents=True)
    (place / "console.log").write_text("Welcome to Debian\n")
    found = make_client(emulator, "ec2").get_console_output(InstanceId=name)
    assert found["Output"] == "Welcome to Debian\n"


def test_private_keys_are_not_given_to_a_server_that_reaches_the_port(home: Path) -> None:
    emulator = start(home)
    endpoint = Endpoint.of(home)
    assert set(endpoint.ask("GET", "read", {"region": REGION})) >= {"certificates", "trust_stores"}
    assert (home / "emulator" / "token").stat().st_mode & 0o777 == 0o600
    with pytest.raises(CloudError, match="403"):
        Endpoint(emulator.endpoint_url, "guessed").ask("GET", "read", {"region": REGION})
    connection = HTTPConnection("127.0.0.1", endpoint.port)
    connection.request("GET", "/_openerp/read")
    assert connection.getresponse().status == 403
    connection.close()
    assert endpoint.token not in (home / "emulator" / "log").read_text()


def test_the_number_of_changes_moves_with_changes_alone(home: Path) -> None:
    emulator = start(home)
    endpoint = Endpoint.of(home)
    before = endpoint.changes()
    make_client(emulator, "ec2").describe_vpcs()
    endpoint.ask("POST", "health", {})
    endpoint.ask("GET", "read", {"region": REGION})
    assert endpoint.changes() == before
    make_client(emulator, "ec2").create_vpc(CidrBlock="10.0.0.0/16")
    assert endpoint.changes() > before


def test_an_instance_has_the_role_groups_and_metadata_options_of_its_template(home: Path) -> None:
    emulator = start(home)
    make_group(emulator, desired=1)
    found = make_client(emulator, "ec2").describe_instances(InstanceIds=members(emulator))
    row = found["Reservations"][0]["Instances"][0]
    assert row["IamInstanceProfile"]["Arn"].endswith(":instance-profile/p")
    assert [group["GroupName"] for group in row["SecurityGroups"]] == ["s"]
    assert row["MetadataOptions"]["HttpTokens"] == "required"
    assert row["MetadataOptions"]["HttpPutResponseHopLimit"] == 2


@pytest.mark.parametrize("how", ["group", "client"])
def test_a_terminated_instance_is_replaced_and_the_new_one_is_registered(home: Path, how: str) -> None:
    emulator = start(home)
    arn = make_group(emulator)
    gone, stays = members(emulator)
    if how == "group":
        terminate(emulator, gone)
    else:
        make_client(emulator, "ec2").terminate_instances(InstanceIds=[gone])
    after = members(emulator)
    assert gone not in after and stays in after and len(after) == 2
    assert set(targets(emulator, arn)) == set(after)


def test_scaling_in_takes_the_targets_with_it(home: Path) -> None:
    emulator = start(home)
    arn = make_group(emulator)
    make_client(emulator, "autoscaling").set_desired_capacity(AutoScalingGroupName="g", DesiredCapacity=1)
    assert list(targets(emulator, arn)) == members(emulator)


def test_a_stopped_instance_does_not_keep_its_group_from_scaling(home: Path) -> None:
    emulator = start(home)
    arn = make_group(emulator)
    stopped, _ = members(emulator)
    make_client(emulator, "ec2").stop_instances(InstanceIds=[stopped])
    make_client(emulator, "autoscaling").set_desired_capacity(AutoScalingGroupName="g", DesiredCapacity=3)
    assert len(members(emulator)) == 3 and len(targets(emulator, arn)) == 3


def test_a_refresh_goes_on_by_steps_and_survives_a_kill_between_any_two(home: Path) -> None:
    """The steps are those that `local.nodes.groups` takes; each is repeated after the kill, to no effect."""
    emulator = start(home)
    arn = make_group(emulator)
    attach(home)
    first, second = members(emulator)
    make_client(emulator, "autoscaling").start_instance_refresh(AutoScalingGroupName="g")
    given = {"region": REGION, "group": "g"}

    def again() -> Emulator:
        os.kill(emulator.pid, signal.SIGKILL)
        wait_until(lambda: identity(emulator.pid) is None)
        before = start(home)
        assert before.lost == 0
        return before

    def reread() -> Any:
        return Endpoint.of(home).ask("GET", "read", {"region": REGION})["refreshes"]["g"]

    assert refresh(emulator)["Status"] == "InProgress" and reread()["old"] == [first, second]
    emulator = again()
    for old in (first, second):
        Endpoint.of(home).ask("POST", "refresh/launch", given)
        Endpoint.of(home).ask("POST", "refresh/launch", given)
        assert len(members(emulator)) == 3 and described(emulator)["DesiredCapacity"] == 2
        before = members(emulator)
        emulator = again()
        assert members(emulator) == before
        assert set(targets(emulator, arn)) == set(before)
        terminate(emulator, old)
        emulator = again()
        assert old not in members(emulator) and len(members(emulator)) == 2
    assert refresh(emulator)["PercentageComplete"] == 100 and reread()["old"] == []
    assert refresh(emulator)["Status"] == "InProgress"
    Endpoint.of(home).ask("POST", "refresh/finish", {**given, "status": "Successful"})
    emulator = again()
    assert refresh(emulator)["Status"] == "Successful"
    assert set(members(emulator)).isdisjoint((first, second)) and len(members(emulator)) == 2


def test_a_refresh_that_the_servers_left_half_done_is_finished_without_them(home: Path) -> None:
    emulator = start(home)
    make_group(emulator)
    attach(home)
    before = members(emulator)
    make_client(emulator, "autoscaling").start_instance_refresh(AutoScalingGroupName="g")
    Endpoint.of(home).ask("POST", "refresh/launch", {"region": REGION, "group": "g"})
    time.sleep(0.5)
    assert refresh(emulator)["Status"] == "InProgress"
    detach(home)
    wait_until(lambda: refresh(emulator)["Status"] == "Successful")
    assert len(members(emulator)) == 2 and set(before).isdisjoint(members(emulator))
    after = members(emulator)
    os.kill(emulator.pid, signal.SIGKILL)
    wait_until(lambda: identity(emulator.pid) is None)
    assert members(start(home)) == after


def test_scaling_during_a_refresh_does_not_count_the_one_more(home: Path) -> None:
    emulator = start(home)
    make_group(emulator, desired=1)
    attach(home)
    autoscaling = make_client(emulator, "autoscaling")
    autoscaling.start_instance_refresh(AutoScalingGroupName="g")
    Endpoint.of(home).ask("POST", "refresh/launch", {"region": REGION, "group": "g"})
    autoscaling.set_desired_capacity(AutoScalingGroupName="g", DesiredCapacity=2)
    assert len(members(emulator)) == 3 and described(emulator)["DesiredCapacity"] == 2
    autoscaling.cancel_instance_refresh(AutoScalingGroupName="g")
    assert len(members(emulator)) == 2 and refresh(emulator)["Status"] == "Cancelled"


def test_a_prepared_image_is_there_from_the_start(home: Path) -> None:
    emulator = start(home)
    ssm, ec2 = make_client(emulator, "ssm"), make_client(emulator, "ec2")
    value = ssm.get_parameter(Name="/openerp/images/openerp-19.0")["Parameter"]["Value"]
    (image,) = ec2.describe_images(ImageIds=[value])["Images"]
    assert (image["Name"], image["Architecture"]) == ("openerp-19.0", "arm64")


def test_a_database_that_is_stopped_and_started_comes_back_on_its_port(home: Path) -> None:
    rds = make_client(start(home), "rds")
    rds.create_db_instance(
        DBInstanceIdentifier="d",
        DBInstanceClass="db.t4g.micro",
        Engine="postgres",
        AllocatedStorage=20,
        MasterUsername="m",
        MasterUserPassword="password-1",
    )

    def row() -> Any:
        return rds.describe_db_instances(DBInstanceIdentifier="d")["DBInstances"][0]

    wait_until(lambda: row()["DBInstanceStatus"] == "available")
    port = row()["Endpoint"]["Port"]
    rds.stop_db_instance(DBInstanceIdentifier="d")
    wait_until(lambda: row()["DBInstanceStatus"] == "stopped")
    rds.start_db_instance(DBInstanceIdentifier="d")
    wait_until(lambda: row()["DBInstanceStatus"] == "available")
    assert row()["Endpoint"]["Port"] == port
