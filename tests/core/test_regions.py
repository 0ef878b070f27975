"""Regions, zones and instance types: known without a call."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import moto
import pytest
from hypothesis import given
from hypothesis import strategies as st

from core import instance_classes, regions
from core.problems import Invalid


def test_every_region_has_at_least_two_zones_with_its_own_name() -> None:
    for region in regions.REGIONS.values():
        assert len(region.zones) >= 2
        assert len(set(region.zones)) == len(region.zones)
        assert all(zone.startswith(region.name) for zone in region.zones)


def test_every_region_offers_a_graviton_family_for_servers_and_databases() -> None:
    for region in regions.REGIONS.values():
        assert not {"m7g", "m8g", "r7g"} <= region.missing_families
        assert not {"m7g", "m8g", "r7g"} <= region.missing_database_families


def test_an_unknown_region_is_answered_with_the_nearest() -> None:
    with pytest.raises(Invalid) as caught:
        regions.find("eu-wset-1")
    assert "`eu-west-1`" in caught.value.right


def test_a_zone_is_not_a_region() -> None:
    with pytest.raises(Invalid, match="availability zone"):
        regions.find("eu-west-1a")


def test_more_zones_than_the_region_has_are_refused() -> None:
    with pytest.raises(Invalid, match="has 2 zones"):
        regions.zones(regions.find("us-west-1"), 3)


def test_zones_named_by_hand_must_be_the_regions_own_and_each_once() -> None:
    oregon = regions.find("us-west-2")
    assert regions.zones(oregon, 2, ("us-west-2d", "us-west-2b")) == ("us-west-2d", "us-west-2b")
    for named in (("us-west-2a",), ("us-west-2a", "us-west-2a"), ("us-west-2a", "eu-west-1a")):
        with pytest.raises(Invalid):
            regions.zones(oregon, 2, named)


@given(st.sampled_from(sorted(regions.REGIONS)), st.integers(1, 3))
def test_one_zone_more_keeps_the_first_ones(name: str, count: int) -> None:
    region = regions.find(name)
    if count < len(region.zones):
        assert regions.zones(region, count + 1)[:count] == regions.zones(region, count)


@given(st.text(max_size=30))
def test_any_text_is_a_region_or_refused(text: str) -> None:
    try:
        assert regions.find(text).name == text
    except Invalid as invalid:
        assert invalid.right


@given(st.text(max_size=30))
def test_any_text_is_an_instance_type_or_refused(text: str) -> None:
    for find in (instance_classes.server_type, instance_classes.database_class):
        try:
            assert find(text).name == text
        except Invalid as invalid:
            assert invalid.right


def test_a_database_class_without_its_prefix_is_told_to_add_it() -> None:
    with pytest.raises(Invalid) as caught:
        instance_classes.database_class("m7g.large")
    assert "`db.m7g.large`" in caught.value.right


def test_a_size_that_the_family_does_not_have_lists_its_sizes() -> None:
    with pytest.raises(Invalid) as caught:
        instance_classes.server_type("m7g.huge")
    assert "2xlarge" in caught.value.right


def test_memory_and_vcpu_agree_with_the_hardware() -> None:
    expected = {
        "t4g.small": (2, 2048), "t4g.xlarge": (4, 16384), "m7g.large": (2, 8192), "c7g.2xlarge": (8, 16384),
        "r7g.16xlarge": (64, 524288), "m8g.48xlarge": (192, 786432), "t3.micro": (2, 1024),
    }  # fmt: skip
    for name, (vcpu, memory) in expected.items():
        kind = instance_classes.SERVER_TYPES[name]
        assert (kind.vcpu, kind.memory_mib) == (vcpu, memory)
        assert kind.architecture == ("x86_64" if name.startswith("t3") else "arm64")


def test_the_tables_agree_with_what_the_emulator_has_from_aws() -> None:
    """Compares with AWS's own answers as moto ships them; proves nothing about regions moto does not hold."""
    resources = Path(moto.__file__).parent / "ec2" / "resources"
    types = json.loads(gzip.decompress((resources / "instance_types.json.gz").read_bytes()))
    for kind in instance_classes.SERVER_TYPES.values():
        found = types[kind.name]
        assert found["VCpuInfo"]["DefaultVCpus"] == kind.vcpu
        assert found["MemoryInfo"]["SizeInMiB"] == kind.memory_mib
        assert kind.architecture in found["ProcessorInfo"]["SupportedArchitectures"]
    families = {kind.family for kind in instance_classes.SERVER_TYPES.values()}
    for path in (resources / "instance_type_offerings" / "availability-zone").glob("*.json.gz"):
        region = regions.REGIONS[path.name.removesuffix(".json.gz")]
        offered: dict[str, set[str]] = {}
        for entry in json.loads(gzip.decompress(path.read_bytes())):
            offered.setdefault(entry["Location"], set()).add(entry["InstanceType"].split(".")[0])
        for zone in region.zones:
            lacking = {family for family in families if family not in offered[zone]}
            assert lacking <= {family for family in families if region.lacks(family, zone)}, zone
