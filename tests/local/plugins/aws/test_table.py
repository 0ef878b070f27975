"""Every row of the table against a plain moto server: create, read back, compare, update, delete."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from local.plugins.aws import table
from tests.local.plugins.aws.harness import Engine, Resource, unwrap
from tests.local.plugins.aws.samples import SAMPLES, World

TOKENS = sorted(token for token, sample in SAMPLES.items() if not sample.extended)
"""What plain moto can do; ``test_extended`` has the rest."""
UPDATED = [token for token in TOKENS if SAMPLES[token].update and not SAMPLES[token].extended_update]
REPLACED = [token for token in TOKENS if SAMPLES[token].replace]


@pytest.fixture(scope="module")
def world(emulator: str) -> Iterator[World]:
    with pytest.MonkeyPatch.context() as patch:
        for name, value in {
            "AWS_ENDPOINT_URL": emulator,
            "AWS_ACCESS_KEY_ID": "local",
            "AWS_SECRET_ACCESS_KEY": "local",
            "AWS_DEFAULT_REGION": "eu-west-1",
        }.items():
            patch.setenv(name, value)
        yield World(Engine(tags={"Stack": "local"}))


@pytest.fixture
def made(request: pytest.FixtureRequest, world: World) -> Iterator[Resource]:
    """The sample of the type, made; deleted afterwards."""
    token: str = request.param
    inputs = SAMPLES[token].inputs(world)
    resource = world.engine.create(token, "sample", inputs)
    resource.given = inputs
    yield resource
    resource.delete()


def assert_settled(resource: Resource) -> None:
    """The same inputs are no change, neither to the state nor to what the emulator tells."""
    assert resource.diff(resource.given).diffs == []
    refreshed = resource.refreshed()
    assert refreshed is not None
    assert unwrap(refreshed.inputs) == unwrap(resource.inputs)
    told = refreshed.diff(resource.given)
    assert told.diffs == [], {
        key: (resource.values.get(key), refreshed.values.get(key)) for key in told.diffs
    }


def test_every_type_has_a_sample() -> None:
    assert set(SAMPLES) == set(table.load())


@pytest.mark.parametrize("made", TOKENS, indirect=True)
def test_a_created_resource_is_found_again_and_differs_in_nothing(made: Resource) -> None:
    assert made.id
    assert_settled(made)
    missing = [name for name in made.row.outputs if name not in made.values]
    allowed = {
        "associationId", "privateIp", "privateDnsEnabled", "hostedZoneId", "iops", "optionGroupName",
        "sourceDbSnapshotIdentifier", "sourceRegion", "kmsKeyId", "availabilityZoneId", "name", "notAfter",
        "licenseModel", "versionId", "state", "vpcId", "availabilityZone", "storageType",
    }  # fmt: skip
    assert set(missing) <= allowed


@pytest.mark.parametrize("made", UPDATED, indirect=True)
def test_an_update_in_place_is_applied_and_differs_in_nothing_afterwards(
    made: Resource, world: World
) -> None:
    sample = SAMPLES[made.token]
    assert sample.update is not None
    changes = sample.update(world)
    inputs = {**made.given, **changes}
    difference = made.diff(inputs)
    assert difference.changes and not difference.replaces
    assert set(difference.diffs) - {"tagsAll"} == set(changes)
    updated = made.update(inputs)
    updated.given = inputs
    assert_settled(updated)


@pytest.mark.parametrize("made", REPLACED, indirect=True)
def test_an_input_that_cannot_change_asks_for_a_replacement(made: Resource, world: World) -> None:
    sample = SAMPLES[made.token]
    assert sample.replace is not None
    changes = sample.replace(world)
    difference = made.diff({**made.given, **changes})
    assert set(difference.replaces) == set(changes)


@pytest.mark.parametrize("token", TOKENS)
def test_a_deleted_resource_is_gone_and_deleting_it_again_is_no_error(token: str, world: World) -> None:
    sample = SAMPLES[token]
    resource = world.engine.create(token, "deleted", sample.inputs(world))
    resource.delete()
    if not sample.stays:
        assert resource.read().resource_id is None
    resource.delete()
