"""Subnets of the VPC."""

from __future__ import annotations

import ipaddress
from itertools import combinations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core import subnets
from core.problems import Invalid

ZONES = ["eu-west-1a", "eu-west-1b", "eu-west-1c"]


@st.composite
def vpc_ranges(draw: st.DrawFn) -> str:
    prefix = draw(st.integers(subnets.LARGEST_PREFIX, subnets.SMALLEST_PREFIX))
    private = draw(st.sampled_from(subnets.PRIVATE_RANGES))
    offset = draw(st.integers(0, private.num_addresses - 1))
    address = int(private.network_address) + offset
    return str(ipaddress.IPv4Network((address >> (32 - prefix) << (32 - prefix), prefix)))


@given(vpc_ranges(), st.integers(1, 3))
def test_subnets_lie_in_the_vpc_and_never_overlap(cidr: str, count: int) -> None:
    plan = subnets.plan(cidr, ZONES[:count])
    every = [ipaddress.IPv4Network(c) for c in (*plan.public, *plan.server, *plan.data)]
    assert len(every) == 3 * count
    assert all(network.subnet_of(ipaddress.IPv4Network(cidr)) for network in every)
    assert not any(one.overlaps(other) for one, other in combinations(every, 2))


@given(vpc_ranges())
def test_adding_a_zone_moves_no_subnet(cidr: str) -> None:
    plans = [subnets.plan(cidr, ZONES[:count]).zones for count in (1, 2, 3)]
    assert plans[1][:1] == plans[0]
    assert plans[2][:2] == plans[1]


@given(vpc_ranges())
def test_a_public_subnet_is_large_enough_for_a_load_balancer(cidr: str) -> None:
    for public in subnets.plan(cidr, ZONES).public:
        assert ipaddress.IPv4Network(public).prefixlen <= 27
        assert subnets.usable_addresses(public) >= 8


@given(st.text(max_size=40))
def test_any_text_is_planned_or_refused(text: str) -> None:
    try:
        subnets.plan(text, ZONES)
    except Invalid as invalid:
        assert invalid.right


@pytest.mark.parametrize(
    ("cidr", "why"),
    [
        ("10.20.0.1/16", "host bits"),
        ("8.8.0.0/16", "private"),
        ("10.0.0.0/8", "larger"),
        ("10.0.0.0/24", "too small"),
        ("172.32.0.0/16", "private"),
        ("10.20.0.0", "too small"),
        ("hello", "not an IPv4 range"),
    ],
)
def test_a_range_that_no_vpc_can_have_is_refused(cidr: str, why: str) -> None:
    with pytest.raises(Invalid, match=why):
        subnets.check_vpc_range(cidr)


@pytest.mark.parametrize("zones", [[], ["a"] * 2, ["a", "b", "c", "d"]])
def test_zones_are_one_to_three_and_each_once(zones: list[str]) -> None:
    with pytest.raises(Invalid):
        subnets.plan("10.20.0.0/16", zones)


def test_overlap_and_containment_are_told_apart() -> None:
    company = ["192.168.0.0/16", "10.20.128.0/17"]
    assert subnets.overlapping("10.20.0.0/16", company) == ("10.20.128.0/17",)
    assert subnets.within("192.168.7.0/24", company)
    assert not subnets.within("10.20.0.0/16", company)
