"""Subnets of the VPC: pure arithmetic on its range.

The range is cut into four equal slots, one a zone; the fourth stays free, so that a third zone is added
without moving the first two and there is room for what nobody has thought of. Of its slot a zone's
servers get the first half, its public subnet the third quarter and its data subnet the last quarter:

    10.20.0.0/16 -> zone 0: servers 10.20.0.0/19, public 10.20.32.0/20, data 10.20.48.0/20
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from core.problems import Invalid, printable

MAX_ZONES: Final = 3
LARGEST_PREFIX: Final = 16
SMALLEST_PREFIX: Final = 23
RESERVED_ADDRESSES: Final = 5
"""Addresses that AWS keeps in each subnet (Amazon VPC user guide, "Subnet CIDR blocks")."""
PRIVATE_RANGES: Final = tuple(
    ipaddress.IPv4Network(text) for text in ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16")
)
"""RFC 1918."""


@dataclass(frozen=True, kw_only=True)
class ZoneSubnets:
    """The three subnets of one availability zone, as CIDR texts."""

    zone: str
    public: str
    server: str
    data: str


@dataclass(frozen=True, kw_only=True)
class SubnetPlan:
    """All subnets, in the order of the zones."""

    zones: tuple[ZoneSubnets, ...]

    @property
    def public(self) -> tuple[str, ...]:
        """Return the public subnets in zone order."""
        return tuple(z.public for z in self.zones)

    @property
    def server(self) -> tuple[str, ...]:
        """Return the server subnets in zone order."""
        return tuple(z.server for z in self.zones)

    @property
    def data(self) -> tuple[str, ...]:
        """Return the data subnets in zone order."""
        return tuple(z.data for z in self.zones)


def check_vpc_range(cidr: str) -> None:
    """Check that `cidr` is a private range in which every subnet has the size that AWS asks for.

    Raises:
        Invalid: host bits, not RFC 1918, larger than /16 (limit of a VPC) or smaller than /23, where a
            public subnet would be smaller than the /27 that a load balancer needs.
    """
    try:
        network = ipaddress.IPv4Network(cidr, strict=True)
    except ValueError:
        raise Invalid(
            f"'{printable(cidr)}' is not an IPv4 range without host bits", "For example `10.20.0.0/16`"
        ) from None
    if not any(network.subnet_of(private) for private in PRIVATE_RANGES):
        raise Invalid(
            f"'{cidr}' is not a private range (RFC 1918)",
            "Choose one within `10.0.0.0/8`, `172.16.0.0/12` or `192.168.0.0/16`",
        )
    if network.prefixlen < LARGEST_PREFIX:
        raise Invalid(f"'{cidr}' is larger than a VPC can be", f"Choose a /{LARGEST_PREFIX} or smaller")
    if network.prefixlen > SMALLEST_PREFIX:
        raise Invalid(
            f"'{cidr}' is too small: a load balancer needs a /27 in each zone, and a zone's public subnet "
            "is one sixteenth of the range",
            f"Choose a /{SMALLEST_PREFIX} or larger",
        )


def plan(cidr: str, zones: Sequence[str]) -> SubnetPlan:
    """Cut the VPC's range into public, server and data subnets for `zones`.

    A zone's subnets follow from its place in `zones` alone: a zone added at the end moves nothing.

    Raises:
        Invalid: the range (see `check_vpc_range`), no zone, more than three, or one twice.
    """
    check_vpc_range(cidr)
    if not 1 <= len(zones) <= MAX_ZONES:
        raise Invalid(f"{len(zones)} zones are given", f"Give 1 to {MAX_ZONES}")
    if len(set(zones)) != len(zones):
        raise Invalid("a zone is given twice", "Name each zone once")
    slots = ipaddress.IPv4Network(cidr).subnets(prefixlen_diff=2)
    return SubnetPlan(zones=tuple(_cut(zone, slot) for zone, slot in zip(zones, slots, strict=False)))


def _cut(zone: str, slot: ipaddress.IPv4Network) -> ZoneSubnets:
    server, rest = slot.subnets(prefixlen_diff=1)
    public, data = rest.subnets(prefixlen_diff=1)
    return ZoneSubnets(zone=zone, public=str(public), server=str(server), data=str(data))


def usable_addresses(cidr: str) -> int:
    """Return how many addresses of a subnet AWS hands out."""
    return ipaddress.IPv4Network(cidr).num_addresses - RESERVED_ADDRESSES


def overlapping(cidr: str, others: Iterable[str]) -> tuple[str, ...]:
    """Return those of `others` that share an address with `cidr`."""
    network = ipaddress.IPv4Network(cidr)
    return tuple(other for other in others if network.overlaps(ipaddress.IPv4Network(other)))


def within(cidr: str, others: Iterable[str]) -> bool:
    """Return whether `cidr` lies wholly in one of `others`."""
    network = ipaddress.IPv4Network(cidr)
    return any(network.subnet_of(ipaddress.IPv4Network(other)) for other in others)
