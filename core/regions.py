"""AWS regions, their availability zones, and which instance families they lack.

Known statically, so that a wrong region is an error before any call is made. Sources, read in November
2026: zones and EC2 families from AWS's DescribeInstanceTypeOfferings for each zone (as moto 5.2.5 ships it);
RDS families from the RDS price list (as cfn-lint 1.58 ships it). Of the regions that moto does not hold
(ap-east-2, ap-southeast-6, ap-southeast-7, mx-central-1, China, GovCloud) no EC2 family is known to lack.
Zone *names* are mapped for each account: one may lack the first zones of a region (us-west-1).
`network.zones` names others.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

from core.problems import Invalid, nearest, printable


@dataclass(frozen=True, kw_only=True)
class Region:
    """One region: the letters of its zones and the families it does not offer."""

    name: str
    zone_letters: str = "abc"
    missing_families: frozenset[str] = frozenset()
    """EC2 families absent from at least one of the zones."""
    missing_database_families: frozenset[str] = frozenset()
    zone_missing: tuple[tuple[str, frozenset[str]], ...] = field(default=())
    """Families absent from single zones only: (letter, families)."""

    @property
    def zones(self) -> tuple[str, ...]:
        """Return the zones by name, in order."""
        return tuple(f"{self.name}{letter}" for letter in self.zone_letters)

    def lacks(self, family: str, zone: str) -> bool:
        """Return whether `zone` does not offer the EC2 `family`."""
        single = dict(self.zone_missing).get(zone.removeprefix(self.name), frozenset())
        return family in self.missing_families or family in single

    @property
    def partition(self) -> str:
        """Return the partition of the region (`aws`, `aws-cn`, `aws-us-gov`)."""
        if self.name.startswith("cn-"):
            return "aws-cn"
        return "aws-us-gov" if self.name.startswith("us-gov-") else "aws"


def _region(
    name: str, zones: str = "abc", ec2: str = "", rds: str = "", single: dict[str, str] | None = None
) -> Region:
    return Region(
        name=name,
        zone_letters=zones,
        missing_families=frozenset(ec2.split()),
        missing_database_families=frozenset(rds.split()),
        zone_missing=tuple((letter, frozenset(text.split())) for letter, text in (single or {}).items()),
    )


_ALL: Final = (
    _region("af-south-1", rds="m7g r7g r8g m7i"),
    _region("ap-east-1", rds="m7g m7i"),
    _region("ap-east-2", rds="m8g r8g"),
    _region("ap-northeast-1", "acd"),
    _region("ap-northeast-2", "abcd", single={"d": "r8g"}),
    _region("ap-northeast-3", rds="m8g m7i"),
    _region("ap-south-1"),
    _region("ap-south-2", rds="m7i"),
    _region("ap-southeast-1"),
    _region("ap-southeast-2"),
    _region("ap-southeast-3", rds="m8g"),
    _region("ap-southeast-4", ec2="c7g", rds="r7g m8g"),
    _region("ap-southeast-5"),
    _region("ap-southeast-6", rds="m8g r8g"),
    _region("ap-southeast-7", rds="m8g r8g m7i"),
    _region("ca-central-1", "abd", rds="m8g"),
    _region("ca-west-1", ec2="m7g m7i", rds="t4g m7g r8g m7i", single={"c": "m8g c8g r8g c7i"}),
    _region("cn-north-1", rds="m7i"),
    _region("cn-northwest-1", rds="m7i"),
    _region("eu-central-1"),
    _region("eu-central-2", rds="m7i", single={"a": "c7g", "c": "c8g"}),
    _region("eu-north-1"),
    _region("eu-south-1", ec2="m7g", rds="m7g r8g m7i"),
    _region("eu-south-2"),
    _region("eu-west-1"),
    _region("eu-west-2", "abcd"),
    _region("eu-west-3", rds="r7g"),
    _region("il-central-1", ec2="m8g r8g", rds="m8g r8g m7i", single={"b": "c7i"}),
    _region("me-central-1", ec2="t4g c7g c8g t3", rds="r7g m8g r8g m7i"),
    _region("me-south-1", ec2="c8g r8g m7i c7i", rds="m8g r8g m7i"),
    _region("mx-central-1", rds="m8g"),
    _region("sa-east-1"),
    _region("us-east-1", "abcdf"),
    _region("us-east-2"),
    _region("us-gov-east-1", rds="m8g"),
    _region("us-gov-west-1", rds="m7g m8g"),
    _region("us-west-1", "ab"),
    _region("us-west-2", "abcd"),
)
"""us-east-1e is left out: it offers none of today's families."""

REGIONS: Final = {region.name: region for region in _ALL}


def find(name: str) -> Region:
    """Return the region called `name`.

    Raises:
        Invalid: unknown, with the nearest name; or a zone where a region is wanted.
    """
    region = REGIONS.get(name)
    if region:
        return region
    shown = printable(name)
    if name[:-1] in REGIONS:
        raise Invalid(f"'{shown}' is an availability zone", f"The region is `{name[:-1]}`")
    raise Invalid(f"'{shown}' is not a region that this program knows", nearest(shown, REGIONS))


def zones(region: Region, count: int, named: tuple[str, ...] = ()) -> tuple[str, ...]:
    """Return `count` zones of `region`: those `named`, or its first ones.

    Raises:
        Invalid: too few zones in the region, a zone of another region, or one twice.
    """
    if named:
        for zone in named:
            if zone not in region.zones:
                shown = printable(zone)
                raise Invalid(f"'{shown}' is not a zone of {region.name}", nearest(shown, region.zones))
        if len(set(named)) != len(named):
            raise Invalid("a zone is named twice", "Name each zone once")
        if len(named) != count:
            raise Invalid(
                f"{len(named)} zones are named and `availabilityZones` is {count}", "Make the two agree"
            )
        return named
    if count > len(region.zones):
        raise Invalid(
            f"{region.name} has {len(region.zones)} zones, {count} are asked for",
            f"Use {len(region.zones)} or another region",
        )
    return region.zones[:count]
