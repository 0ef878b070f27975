"""EC2 instance types and RDS instance classes: vCPU, memory, architecture.

Sources, read in November 2026: AWS's DescribeInstanceTypes for EC2 (as moto 5.2.5 ships it); RDS classes are
the same hardware behind `db.`, and which sizes RDS for PostgreSQL offers is in the RDS price list (as
cfn-lint 1.58 ships it). Memory within a family grows with the vCPU: it is stored as MiB for each vCPU.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

from core.problems import Invalid, nearest, printable

Architecture = Literal["arm64", "x86_64"]

_VCPU: Final = {
    "medium": 1, "large": 2, "xlarge": 4, "2xlarge": 8, "4xlarge": 16, "8xlarge": 32,
    "12xlarge": 48, "16xlarge": 64, "24xlarge": 96, "48xlarge": 192,
}  # fmt: skip
_MIB_FOR_EACH_VCPU: Final = {"c": 2048, "m": 4096, "r": 8192}
_BURSTABLE: Final = {
    "micro": (2, 1024), "small": (2, 2048), "medium": (2, 4096),
    "large": (2, 8192), "xlarge": (4, 16384), "2xlarge": (8, 32768),
}  # fmt: skip
"""t3 and t4g: vCPU and MiB."""
_GRAVITON_3_SIZES: Final = tuple(size for size, vcpu in _VCPU.items() if vcpu <= 64)
_GRAVITON_4_SIZES: Final = tuple(_VCPU)
_INTEL_SIZES: Final = tuple(size for size in _VCPU if size not in ("medium",))
_FAMILIES: Final[dict[str, tuple[Architecture, tuple[str, ...]]]] = {
    "t4g": ("arm64", tuple(_BURSTABLE)),
    "m7g": ("arm64", _GRAVITON_3_SIZES),
    "m8g": ("arm64", _GRAVITON_4_SIZES),
    "c7g": ("arm64", _GRAVITON_3_SIZES),
    "c8g": ("arm64", _GRAVITON_4_SIZES),
    "r7g": ("arm64", _GRAVITON_3_SIZES),
    "r8g": ("arm64", _GRAVITON_4_SIZES),
    "t3": ("x86_64", tuple(_BURSTABLE)),
    "m7i": ("x86_64", _INTEL_SIZES),
    "c7i": ("x86_64", _INTEL_SIZES),
}
_DATABASE_FAMILIES: Final = ("t4g", "m7g", "m8g", "r7g", "r8g", "t3", "m7i")


@dataclass(frozen=True, kw_only=True)
class InstanceType:
    """One EC2 instance type or, with `db.` before its name, one RDS instance class."""

    name: str
    vcpu: int
    memory_mib: int
    architecture: Architecture

    @property
    def family(self) -> str:
        """Return the family: `m7g` of `m7g.large` and of `db.m7g.large`."""
        return self.name.removeprefix("db.").split(".")[0]

    @property
    def burstable(self) -> bool:
        """Return whether the type lives on CPU credits."""
        return self.family.startswith("t")


def _type(family: str, size: str, *, prefix: str = "") -> InstanceType:
    if family.startswith("t"):
        vcpu, memory = _BURSTABLE[size]
    else:
        vcpu = _VCPU[size]
        memory = vcpu * _MIB_FOR_EACH_VCPU[family[0]]
    return InstanceType(
        name=f"{prefix}{family}.{size}", vcpu=vcpu, memory_mib=memory, architecture=_FAMILIES[family][0]
    )


SERVER_TYPES: Final = {
    kind.name: kind
    for family, (_, sizes) in _FAMILIES.items()
    for kind in (_type(family, size) for size in sizes)
}
"""EC2 types a server may have."""

DATABASE_CLASSES: Final = {
    kind.name: kind
    for family in _DATABASE_FAMILIES
    for kind in (
        _type(family, size, prefix="db.")
        for size in _FAMILIES[family][1]
        if size != "medium" or family.startswith("t")
    )
}
"""RDS classes a database server may have. RDS offers no `medium` of the m and r families."""


def server_type(name: str) -> InstanceType:
    """Return the EC2 type called `name`.

    Raises:
        Invalid: unknown, with the nearest name.
    """
    return _find(name, SERVER_TYPES, "an instance type that this program knows")


def database_class(name: str) -> InstanceType:
    """Return the RDS class called `name`.

    Raises:
        Invalid: unknown, with the nearest name (also where only `db.` was forgotten).
    """
    if f"db.{name}" in DATABASE_CLASSES:
        raise Invalid(f"'{name}' is an instance type of servers", f"Write `db.{name}`")
    return _find(name, DATABASE_CLASSES, "an RDS instance class that this program knows")


def _find(name: str, table: dict[str, InstanceType], what: str) -> InstanceType:
    found = table.get(name)
    if found:
        return found
    shown = printable(name)
    families = dict.fromkeys(kind.name.rpartition(".")[0] for kind in table.values())
    family = name.rpartition(".")[0]
    if family in families:
        sizes = [
            kind.name.rpartition(".")[2] for kind in table.values() if kind.name.startswith(f"{family}.")
        ]
        raise Invalid(f"'{shown}' is not {what}", f"Sizes of {family}: " + ", ".join(sizes))
    hint = nearest(shown, table)
    if not hint.startswith("Did"):
        hint = "Families: " + ", ".join(families)
    raise Invalid(f"'{shown}' is not {what}", hint)
