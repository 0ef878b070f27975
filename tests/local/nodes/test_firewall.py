"""Security groups in force between network namespaces."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass

import pytest

from local.nodes import firewall, network
from local.nodes.model import Cloud, Instance, LoadBalancer, SecurityGroup, SecurityGroupRule
from local.nodes.relay import in_namespace
from tests.local.nodes import edge

ROUTER = "10.0.1.1"


def rule(
    direction: str, port: int, *, cidr: str | None = None, group: str | None = None, protocol: str = "tcp"
) -> SecurityGroupRule:
    return SecurityGroupRule(
        direction="ingress" if direction == "in" else "egress",
        protocol=protocol,
        from_port=port,
        to_port=port,
        cidr=cidr,
        peer_group_id=group,
    )


def instance(name: str, address: str, *groups: str) -> Instance:
    return Instance(
        id=name,
        state="running",
        image_name="debian-13",
        instance_type="t3.medium",
        private_ip=address,
        subnet_cidr="10.0.1.0/24",
        availability_zone="eu-central-1a",
        vpc_id="vpc-1",
        role_name=None,
        user_data=b"",
        group_name=None,
        security_group_ids=groups,
    )


WEB = instance("i-web", "10.0.1.10", "sg-web")
OTHER = instance("i-other", "10.0.1.20", "sg-other")


def cloud(*rules: SecurityGroupRule) -> Cloud:
    """The rules are those of the group of WEB."""
    return Cloud(
        instances=(WEB, OTHER),
        load_balancers=(
            LoadBalancer(arn="lb", name="lb", vpc_id="vpc-1", security_group_ids=("sg-balancer",)),
        ),
        security_groups={
            "sg-web": SecurityGroup(id="sg-web", rules=rules),
            "sg-database": SecurityGroup(
                id="sg-database", rules=(rule("in", 5432, group="sg-web"), rule("in", 22, cidr="0.0.0.0/0"))
            ),
        },
    )


@dataclass
class Place:
    web: str
    other: str
    router: str

    def reaches(self, source: str, address: str, port: int) -> bool:
        """Whether a connection is accepted; a refusal is an answer too, but none of ours."""

        def attempt() -> bool:
            try:
                socket.create_connection((address, port), timeout=0.4).close()
            except TimeoutError:
                return False
            return True

        return in_namespace(source, attempt)


@pytest.fixture
def place() -> Iterator[Place]:
    """WEB, OTHER and a router that has an address of the outside world and those of AWS's services."""
    with ExitStack() as stack:
        web, other, router = (stack.enter_context(edge.namespace()) for _ in range(3))
        edge.ip("-n", router, "link", "add", "vpc", "type", "bridge", "forward_delay", "0")
        edge.ip("-n", router, "link", "set", "vpc", "up")
        outside = ("203.0.113.1", network.METADATA_ADDRESS, network.PROXY_ADDRESS)
        for address in (f"{ROUTER}/24", *(f"{each}/32" for each in outside)):
            edge.ip("-n", router, "address", "add", address, "dev", "vpc")
        for number, (name, address) in enumerate(((web, WEB.private_ip), (other, OTHER.private_ip))):
            device = f"v{number}"
            edge.ip("-n", router, "link", "add", device, "type", "veth", "peer", "eth0", "netns", name)
            edge.ip("-n", router, "link", "set", device, "master", "vpc", "up")
            edge.ip("-n", name, "address", "add", f"{address}/24", "dev", "eth0")
            edge.ip("-n", name, "link", "set", "eth0", "up")
            edge.ip("-n", name, "route", "add", "default", "via", ROUTER)
        for name, port in (
            (web, 8080),
            (web, 8069),
            (other, 9000),
            (router, 443),
            (router, 80),
            (router, 3128),
        ):
            stack.enter_context(edge.serving(name, ("0.0.0.0", port), lambda _: None))
        yield Place(web, other, router)


@edge.needs_machine
def test_only_the_port_that_a_rule_opens_is_reached(place: Place) -> None:
    assert place.reaches(place.other, WEB.private_ip, 8069)
    firewall.apply(place.web, firewall.render(WEB, cloud(rule("in", 8080, cidr="10.0.1.0/24")), ROUTER))
    assert place.reaches(place.other, WEB.private_ip, 8080)
    assert not place.reaches(place.other, WEB.private_ip, 8069)
    assert place.reaches(place.web, "127.0.0.1", 8069)


@edge.needs_machine
def test_a_rule_for_a_group_means_its_members_and_the_load_balancer_is_at_the_router(place: Place) -> None:
    firewall.apply(
        place.web,
        firewall.render(
            WEB, cloud(rule("in", 8080, group="sg-balancer"), rule("in", 8069, group="sg-other")), ROUTER
        ),
    )
    assert place.reaches(place.router, WEB.private_ip, 8080)
    assert not place.reaches(place.router, WEB.private_ip, 8069)
    assert place.reaches(place.other, WEB.private_ip, 8069)
    assert not place.reaches(place.other, WEB.private_ip, 8080)


@edge.needs_machine
def test_a_group_without_a_way_to_any_address_cannot_reach_the_outside(place: Place) -> None:
    """As training with an image that brings everything: the private network's 443, and metadata."""
    fenced = cloud(rule("out", 443, cidr="10.0.0.0/16"))
    firewall.apply(place.web, firewall.render(WEB, fenced, ROUTER))
    assert not place.reaches(place.web, "203.0.113.1", 443)
    assert not place.reaches(place.web, "203.0.113.1", 80)
    assert not place.reaches(place.web, network.PROXY_ADDRESS, network.PROXY_PORT)
    assert not place.reaches(place.web, OTHER.private_ip, 9000)
    assert place.reaches(place.web, ROUTER, 443)
    assert place.reaches(place.web, network.METADATA_ADDRESS, 80)
    assert not place.reaches(place.web, network.METADATA_ADDRESS, 443)


@edge.needs_machine
def test_a_way_to_any_address_opens_its_port_and_the_proxy(place: Place) -> None:
    firewall.apply(place.web, firewall.render(WEB, cloud(rule("out", 443, cidr="0.0.0.0/0")), ROUTER))
    assert place.reaches(place.web, "203.0.113.1", 443)
    assert not place.reaches(place.web, "203.0.113.1", 80)
    assert place.reaches(place.web, network.PROXY_ADDRESS, network.PROXY_PORT)


@edge.needs_machine
def test_other_rules_count_at_once_and_wrong_ones_change_nothing(place: Place) -> None:
    firewall.apply(place.web, firewall.render(WEB, cloud(rule("in", 8080, cidr="0.0.0.0/0")), ROUTER))
    with pytest.raises(firewall.FirewallError, match="syntax error"):
        firewall.apply(place.web, "table inet security_groups\ndelete table inet security_groups\nnonsense")
    assert place.reaches(place.other, WEB.private_ip, 8080)
    assert not place.reaches(place.other, WEB.private_ip, 8069)
    firewall.apply(place.web, firewall.render(WEB, cloud(rule("in", 8069, cidr="0.0.0.0/0")), ROUTER))
    assert not place.reaches(place.other, WEB.private_ip, 8080)
    assert place.reaches(place.other, WEB.private_ip, 8069)


@edge.needs_machine
@pytest.mark.parametrize(
    "given",
    [
        SecurityGroupRule(direction="egress", protocol="-1", from_port=-1, to_port=-1, cidr="0.0.0.0/0"),
        SecurityGroupRule(direction="egress", protocol="-1", from_port=0, to_port=0, cidr="::/0"),
        SecurityGroupRule(direction="ingress", protocol="icmp", from_port=-1, to_port=-1, cidr="10.0.0.0/8"),
        SecurityGroupRule(
            direction="ingress", protocol="udp", from_port=0, to_port=65535, cidr="10.1.2.3/32"
        ),
        SecurityGroupRule(direction="ingress", protocol="tcp", from_port=20, to_port=30, cidr="10.1.2.3/8"),
        SecurityGroupRule(
            direction="ingress", protocol="tcp", from_port=1, to_port=2, peer_group_id="sg-gone"
        ),
    ],
    ids=str,
)
def test_every_kind_of_rule_is_taken_by_the_kernel(given: SecurityGroupRule) -> None:
    with edge.namespace() as name:
        firewall.apply(name, firewall.render(WEB, cloud(given), ROUTER))


def test_a_database_is_reached_only_if_both_sides_permit_it() -> None:
    both = cloud(rule("out", 5432, group="sg-database"))
    assert firewall.permits(both, ("sg-web",), ("sg-database",), 5432)
    assert not firewall.permits(cloud(), ("sg-web",), ("sg-database",), 5432)
    assert not firewall.permits(both, ("sg-other",), ("sg-database",), 5432)
    one_sided = cloud(rule("out", 5432, group="sg-database"), rule("out", 3306, group="sg-database"))
    assert not firewall.permits(one_sided, ("sg-web",), ("sg-database",), 3306)
