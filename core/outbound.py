"""Which ports servers may reach outside their network.

A training system holds a copy of production's data and must reach nobody: its mail ports are closed, its
Odoo is confined to the private network by its own unit (`core/servers/templates/units/_odoo.j2`), and where
its servers need nothing from outside to start, so are they.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from core import names

WEB: Final[Mapping[str, int]] = {
    "https": names.HTTPS_PORT,
    "http": names.HTTP_PORT,  # Debian's package servers
}
MAIL: Final[Mapping[str, int]] = {"smtps": 465, "submission": 587, "imaps": 993}


def outbound_ports(environment: str, package_source: str, *, interface_endpoints: bool) -> Mapping[str, int]:
    """Return the TCP ports, by name, that servers may reach on the internet.

    None of them in training when the image brings every package (`package_source` is `image`) and AWS is
    called inside the VPC (`interface_endpoints`).
    """
    if environment != "training":
        return {**WEB, **MAIL}
    if package_source == "image" and interface_endpoints:
        return {}
    return WEB


@dataclass(frozen=True, kw_only=True)
class Way:
    """Something that a security group lets its servers reach."""

    protocol: str
    """`tcp`, `udp`, … or `-1` for all."""
    first: int | None
    last: int | None
    """Ports; None with protocols that have none."""
    to: str
    """A range of addresses, or the id of a prefix list or of a security group."""

    def __str__(self) -> str:
        if self.protocol == "-1":
            return f"everything at {self.to}"
        ports = "" if self.first is None else f" {self.first}"
        if self.last != self.first:
            ports += f" to {self.last}"
        return f"{self.protocol}{ports} at {self.to}"


def ways_out(permissions: Iterable[Mapping[str, Any]]) -> tuple[Way, ...]:
    """Return the ways in a security group's `IpPermissionsEgress`, as EC2 gives it."""
    found = []
    for permission in permissions:
        targets = [
            *(row["CidrIp"] for row in permission.get("IpRanges") or ()),
            *(row["CidrIpv6"] for row in permission.get("Ipv6Ranges") or ()),
            *(row["PrefixListId"] for row in permission.get("PrefixListIds") or ()),
            *(row["GroupId"] for row in permission.get("UserIdGroupPairs") or ()),
        ]
        first, last = permission.get("FromPort"), permission.get("ToPort")
        if first == -1:
            first = last = None
        found += [
            Way(protocol=str(permission["IpProtocol"]), first=first, last=last, to=target)
            for target in targets
        ]
    return tuple(found)


def leads_outside(way: Way, vpc_cidr: str) -> bool:
    """Return whether a way leads to addresses beyond the network.

    Security groups are of the network. A prefix list is of AWS's services: S3, by its gateway endpoint.
    """
    if "/" not in way.to:
        return False
    wide = ipaddress.ip_network(way.to)
    network = ipaddress.ip_network(vpc_cidr)
    return isinstance(wide, ipaddress.IPv6Network) or not wide.subnet_of(network)  # type: ignore[arg-type]


def too_wide(ways: Iterable[Way], allowed: Mapping[str, int], vpc_cidr: str) -> list[Way]:
    """Return the ways outside that are not those to `allowed`, see `outbound_ports`."""
    ports = set(allowed.values())
    return [
        way
        for way in ways
        if leads_outside(way, vpc_cidr)
        and not (way.protocol == "tcp" and way.first == way.last and way.first in ports)
    ]
