"""What servers may reach outside. That packets obey is shown where servers run (tests/e2e)."""

from __future__ import annotations

import pytest

from core.outbound import outbound_ports, too_wide, ways_out

MAIL = {465, 587, 993}


@pytest.mark.parametrize("environment", ["development", "production"])
@pytest.mark.parametrize("source", ["debian", "nightly", "image"])
def test_other_environments_reach_the_web_and_mail_servers(environment: str, source: str) -> None:
    ports = set(outbound_ports(environment, source, interface_endpoints=True).values())
    assert ports == {80, 443} | MAIL


@pytest.mark.parametrize("source", ["debian", "nightly", "image"])
@pytest.mark.parametrize("endpoints", [True, False])
def test_training_never_reaches_a_mail_server(source: str, endpoints: bool) -> None:
    ports = set(outbound_ports("training", source, interface_endpoints=endpoints).values())
    assert not ports & MAIL


def test_training_that_needs_nothing_from_outside_reaches_nothing() -> None:
    assert outbound_ports("training", "image", interface_endpoints=True) == {}


@pytest.mark.parametrize(("source", "endpoints"), [("debian", True), ("image", False), ("nightly", False)])
def test_training_that_installs_packages_reaches_the_web(source: str, endpoints: bool) -> None:
    assert set(outbound_ports("training", source, interface_endpoints=endpoints).values()) == {80, 443}


VPC = "10.30.0.0/16"


def egress(**peers: object) -> dict[str, object]:
    return {"IpProtocol": "tcp", "FromPort": 443, "ToPort": 443, **peers}


EVERYWHERE = [{"CidrIp": "0.0.0.0/0"}]


def test_ways_out_are_read_as_ec2_gives_them() -> None:
    ways = ways_out(
        [
            egress(IpRanges=EVERYWHERE, Ipv6Ranges=[{"CidrIpv6": "::/0"}]),
            egress(PrefixListIds=[{"PrefixListId": "pl-1"}], UserIdGroupPairs=[{"GroupId": "sg-1"}]),
            {"IpProtocol": "-1", "IpRanges": EVERYWHERE},
            {"IpProtocol": "icmp", "FromPort": -1, "ToPort": -1, "IpRanges": EVERYWHERE},
            {"IpProtocol": "udp", "FromPort": 1, "ToPort": 9, "IpRanges": [{"CidrIp": VPC}]},
        ]
    )
    assert [str(way) for way in ways] == [
        "tcp 443 at 0.0.0.0/0",
        "tcp 443 at ::/0",
        "tcp 443 at pl-1",
        "tcp 443 at sg-1",
        "everything at 0.0.0.0/0",
        "icmp at 0.0.0.0/0",
        f"udp 1 to 9 at {VPC}",
    ]


@pytest.mark.parametrize(
    ("permission", "wide"),
    [
        (egress(IpRanges=[{"CidrIp": VPC}]), False),
        (egress(IpRanges=[{"CidrIp": "10.30.4.0/24"}]), False),
        (egress(IpRanges=[{"CidrIp": "10.0.0.0/8"}]), True),
        (egress(IpRanges=[{"CidrIp": "203.0.113.7/32"}]), True),
        (egress(IpRanges=EVERYWHERE), True),
        (egress(Ipv6Ranges=[{"CidrIpv6": "::/0"}]), True),
        (egress(PrefixListIds=[{"PrefixListId": "pl-1"}]), False),
        (egress(UserIdGroupPairs=[{"GroupId": "sg-1"}]), False),
        ({"IpProtocol": "-1", "IpRanges": EVERYWHERE}, True),
        ({"IpProtocol": "-1", "IpRanges": [{"CidrIp": VPC}]}, False),
    ],
)
def test_where_nothing_is_needed_from_outside_every_way_there_is_too_wide(
    permission: dict[str, object], wide: bool
) -> None:
    assert bool(too_wide(ways_out([permission]), {}, VPC)) == wide


def test_where_packages_are_needed_their_ports_alone_are_open() -> None:
    allowed = outbound_ports("training", "debian", interface_endpoints=False)
    assert not too_wide(ways_out([egress(IpRanges=EVERYWHERE)]), allowed, VPC)
    for first, last, protocol in (
        *((25, 25, "tcp"), (465, 465, "tcp"), (587, 587, "tcp"), (993, 993, "tcp")),
        *((443, 465, "tcp"), (443, 443, "udp"), (0, 65535, "tcp"), (80, 443, "tcp")),
    ):
        way = {"IpProtocol": protocol, "FromPort": first, "ToPort": last, "IpRanges": EVERYWHERE}
        assert too_wide(ways_out([way]), allowed, VPC)
