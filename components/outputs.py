"""Many outputs as one."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeVar

import pulumi

T = TypeVar("T")


def all_of(values: Mapping[str, pulumi.Output[T]]) -> pulumi.Output[dict[str, T]]:
    """Return one output of all `values` by key; of none, an empty map (where `Output.all()` gives a list)."""
    if not values:
        return pulumi.Output.from_input({})
    return pulumi.Output.all(**values).apply(lambda known: dict(known))
