"""Security groups as nftables rules of each instance's own network namespace.

As on AWS: stateful, what no rule permits is dropped without an answer, in and out; a rule that names a
group means the addresses of the instances in that group. Not filtered, as on AWS: loopback, instance
metadata, and the VPC's DNS and time (VPC User Guide, "Security groups"). The load balancer and the egress
proxy are at the VPC's router: its addresses stand for the load balancer's group, and the proxy, which
reaches any host at ports 80 and 443, may be asked by who may reach one of these anywhere.
"""

from __future__ import annotations

import ipaddress
import subprocess
from collections.abc import Iterable, Iterator
from typing import Final, Literal

from local.nodes.model import Cloud, Instance, SecurityGroupRule
from local.nodes.network import (
    METADATA_ADDRESS,
    PROXIED_PORTS,
    PROXY_ADDRESS,
    PROXY_PORT,
    router_address,
)

DNS_ADDRESS: Final = "169.254.169.253"
TIME_ADDRESS: Final = "169.254.169.123"
ANYWHERE: Final = "0.0.0.0/0"

Direction = Literal["ingress", "egress"]


class FirewallError(Exception):
    """The kernel did not take the rules; the message is `nft`'s."""


def permits(cloud: Cloud, from_groups: Iterable[str], to_groups: Iterable[str], port: int) -> bool:
    """Return whether members of `from_groups` may open TCP connections to `port` of members of `to_groups`.

    For what has no address in the network, such as a database: only rules that name a group, or any
    address at all, count.
    """
    senders, receivers = set(from_groups), set(to_groups)

    def one_way(groups: Iterable[str], direction: Direction, peers: set[str]) -> bool:
        return any(
            _covers(rule, "tcp", port) and (rule.peer_group_id in peers or rule.cidr == ANYWHERE)
            for rule in _rules(cloud, groups, direction)
        )

    return one_way(senders, "egress", receivers) and one_way(receivers, "ingress", senders)


def permits_anywhere(cloud: Cloud, groups: Iterable[str], port: int) -> bool:
    """Return whether members of `groups` may open TCP connections to `port` of any address."""
    return any(
        _covers(rule, "tcp", port) and rule.cidr == ANYWHERE for rule in _rules(cloud, groups, "egress")
    )


def render(instance: Instance, cloud: Cloud, router: str) -> str:
    """Return the rules of an instance; `router` is the VPC router's address in its subnet.

    Loading them replaces those there are, in one step; connections that exist go on.
    """
    groups = instance.security_group_ids
    routers = sorted({router, *_routers(cloud, instance)})
    incoming = list(_statements(cloud, groups, "ingress", instance, routers))
    outgoing = list(_statements(cloud, groups, "egress", instance, routers))
    if any(permits_anywhere(cloud, groups, port) for port in PROXIED_PORTS):
        outgoing.append(f"ip daddr {PROXY_ADDRESS} tcp dport {PROXY_PORT} accept")
    free = [
        f"ip daddr {METADATA_ADDRESS} tcp dport 80 accept",
        f"ip daddr {DNS_ADDRESS} meta l4proto {{ tcp, udp }} th dport 53 accept",
        f"ip daddr {TIME_ADDRESS} udp dport 123 accept",
    ]
    common = ["ct state established,related accept", "ct state invalid drop"]
    return "\n".join(
        [
            "table inet security_groups",
            "delete table inet security_groups",
            "table inet security_groups {",
            "    chain ingress {",
            "        type filter hook input priority filter; policy drop;",
            *(f"        {line}" for line in ['iifname "lo" accept', *common, *incoming]),
            "    }",
            "    chain egress {",
            "        type filter hook output priority filter; policy drop;",
            *(f"        {line}" for line in ['oifname "lo" accept', *common, *free, *outgoing]),
            "    }",
            "}",
            "",
        ]
    )


def apply(namespace: str, text: str) -> None:
    """Put rules in force in a network namespace, all or none. Raises `FirewallError`."""
    done = subprocess.run(
        ["ip", "netns", "exec", namespace, "nft", "-f", "-"],
        input=text,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        raise FirewallError(f"{namespace}: {(done.stderr or done.stdout).strip()}")


def _rules(cloud: Cloud, groups: Iterable[str], direction: Direction) -> Iterator[SecurityGroupRule]:
    for group_id in groups:
        group = cloud.security_groups.get(group_id)
        if group is not None:
            yield from (rule for rule in group.rules if rule.direction == direction)


def _covers(rule: SecurityGroupRule, protocol: str, port: int) -> bool:
    if rule.protocol == "-1":
        return True
    return rule.protocol == protocol and (rule.to_port == -1 or rule.from_port <= port <= rule.to_port)


def _routers(cloud: Cloud, instance: Instance) -> set[str]:
    """The router's addresses in all subnets of the VPC: which one it sends from is the kernel's choice."""
    return {router_address(each.subnet_cidr) for each in cloud.instances if each.vpc_id == instance.vpc_id}


def _statements(
    cloud: Cloud, groups: Iterable[str], direction: Direction, instance: Instance, routers: list[str]
) -> Iterator[str]:
    side = "saddr" if direction == "ingress" else "daddr"
    for rule in _rules(cloud, groups, direction):
        protocol = _protocol(rule)
        if protocol is None:
            continue
        if rule.peer_group_id is not None:
            peers = _members(cloud, rule.peer_group_id, instance, routers)
            if peers:
                yield f"ip {side} {{ {', '.join(peers)} }}{protocol} accept"
        elif rule.cidr is not None:
            version = "ip6" if ":" in rule.cidr else "ip"
            yield f"{version} {side} {ipaddress.ip_network(rule.cidr, strict=False)}{protocol} accept"


def _members(cloud: Cloud, group_id: str, instance: Instance, routers: list[str]) -> list[str]:
    """Addresses of who is in a group; load balancers' are the router's."""
    found = {
        each.private_ip
        for each in cloud.instances
        if each.vpc_id == instance.vpc_id and group_id in each.security_group_ids and each.private_ip
    }
    if any(
        group_id in balancer.security_group_ids and balancer.vpc_id == instance.vpc_id
        for balancer in cloud.load_balancers
    ):
        found |= set(routers)
    return sorted(found, key=ipaddress.ip_address)


def _protocol(rule: SecurityGroupRule) -> str | None:
    """The part of a statement that says protocol and ports; None for a protocol that nothing here speaks."""
    if rule.protocol == "-1":
        return ""
    if rule.protocol in ("icmp", "icmpv6"):
        return f" meta l4proto {'icmp' if rule.protocol == 'icmp' else 'ipv6-icmp'}"
    if rule.protocol not in ("tcp", "udp"):
        return None
    if rule.to_port == -1 or (rule.from_port, rule.to_port) == (0, 65535):
        return f" meta l4proto {rule.protocol}"
    ports = str(rule.from_port) if rule.from_port == rule.to_port else f"{rule.from_port}-{rule.to_port}"
    return f" {rule.protocol} dport {ports}"
