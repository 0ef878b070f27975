"""The rows that need what local.emulator adds to moto, against the whole emulator."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import boto3
import pytest

from local import emulator
from tests.local.plugins.aws.harness import Engine, Resource
from tests.local.plugins.aws.samples import SAMPLES, World, group_inputs
from tests.local.plugins.aws.test_table import assert_settled

EXTENDED = sorted(token for token, sample in SAMPLES.items() if sample.extended)
UPDATED = sorted(
    token
    for token, sample in SAMPLES.items()
    if sample.update and (sample.extended or sample.extended_update)
)


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    home = Path(tmp_path_factory.mktemp("home"))
    running = emulator.start(home)
    with pytest.MonkeyPatch.context() as patch:
        for name, value in {
            "AWS_ENDPOINT_URL": running.endpoint_url,
            "AWS_ACCESS_KEY_ID": "local",
            "AWS_SECRET_ACCESS_KEY": "local",
            "AWS_DEFAULT_REGION": "eu-west-1",
        }.items():
            patch.setenv(name, value)
        try:
            yield World(Engine(tags={"Stack": "local"}))
        finally:
            emulator.stop(home)


@pytest.fixture(autouse=True)
def environment(world: World) -> None:
    """Takes the place of the fixture that points everything at plain moto."""


@pytest.fixture
def made(request: pytest.FixtureRequest, world: World) -> Iterator[Resource]:
    inputs = SAMPLES[request.param].inputs(world)
    resource = world.engine.create(request.param, "sample", inputs)
    resource.given = inputs
    yield resource
    resource.delete()


@pytest.mark.parametrize("made", EXTENDED, indirect=True)
def test_a_created_resource_is_found_again_and_differs_in_nothing(made: Resource) -> None:
    assert made.id
    assert_settled(made)


@pytest.mark.parametrize("made", UPDATED, indirect=True)
def test_an_update_in_place_is_applied_and_differs_in_nothing_afterwards(
    made: Resource, world: World
) -> None:
    update = SAMPLES[made.token].update
    assert update is not None
    inputs = {**made.given, **update(world)}
    updated = made.update(inputs)
    updated.given = inputs
    assert_settled(updated)


@pytest.mark.parametrize("token", EXTENDED)
def test_a_deleted_resource_is_gone_and_deleting_it_again_is_no_error(token: str, world: World) -> None:
    resource = world.engine.create(token, "deleted", SAMPLES[token].inputs(world))
    resource.delete()
    if not SAMPLES[token].stays:
        assert resource.read().resource_id is None
    resource.delete()


def test_a_new_version_of_the_launch_template_starts_an_instance_refresh(world: World) -> None:
    inputs = group_inputs(world)
    group = world.engine.create("aws:autoscaling/group:Group", "refreshed", inputs)
    template = world.template
    changed = template.update({"imageId": "ami-12c6146b", "instanceType": "t3.small", "userData": "I2Nsb3Vk"})
    latest = str(int(changed.values["latestVersion"]))
    group = group.update({**inputs, "launchTemplate": {"id": template.id, "version": latest}})
    client = boto3.client("autoscaling", endpoint_url=os.environ["AWS_ENDPOINT_URL"])
    refreshes = client.describe_instance_refreshes(AutoScalingGroupName=group.id)["InstanceRefreshes"]
    assert len(refreshes) == 1
    group.delete()


def test_a_database_comes_back_from_its_final_snapshot(world: World) -> None:
    inputs = {
        "engine": "postgres",
        "engineVersion": "16",
        "instanceClass": "db.t4g.micro",
        "allocatedStorage": 20,
        "username": "openerp_admin",
        "manageMasterUserPassword": True,
        "dbSubnetGroupName": world.subnet_group,
        "finalSnapshotIdentifier": "the-last",
    }
    first = world.engine.create("aws:rds/instance:Instance", "first", inputs)
    assert first.values["masterUserSecrets"][0]["secretArn"]
    assert first.values["endpoint"] == f"{first.values['address']}:{int(first.values['port'])}"
    first.delete()
    restored = world.engine.create(
        "aws:rds/instance:Instance",
        "second",
        {
            **inputs,
            "snapshotIdentifier": "the-last",
            "skipFinalSnapshot": True,
            "backupRetentionPeriod": 9,
        },
    )
    assert restored.id != first.id
    assert restored.values["status"] == "available"
    refreshed = restored.refreshed()
    assert refreshed is not None
    assert refreshed.values["backupRetentionPeriod"] == 9
    restored.delete()
