"""Pulumi's property values as plain Python data, and back.

The provider plugins decide on plain data: ``str``, ``int``, ``float``, ``bool``, ``None``, lists, dicts, and
``UNKNOWN`` for a value that a preview does not know yet.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final

from pulumi.provider.experimental.property_value import Computed, PropertyValue


class _Unknown:
    def __repr__(self) -> str:
        return "UNKNOWN"


UNKNOWN: Final = _Unknown()


def plain(value: PropertyValue) -> Any:
    """The plain data of one property value; whole numbers become ``int``; secretness is dropped."""
    inner = value.value
    if isinstance(inner, Computed):
        return UNKNOWN
    if isinstance(inner, float) and inner.is_integer():
        return int(inner)
    if isinstance(inner, Mapping):
        return {key: plain(item) for key, item in inner.items()}
    if isinstance(inner, tuple):
        return [plain(item) for item in inner]
    return inner


def plain_map(values: Mapping[str, PropertyValue]) -> dict[str, Any]:
    """The plain data of a property map, without null values and without keys internal to Pulumi (``__…``)."""
    return {
        key: plain(value)
        for key, value in values.items()
        if value.value is not None and not key.startswith("__")
    }


def property_value(value: Any, *, secret: bool = False) -> PropertyValue:
    """A property value from plain data."""
    if value is UNKNOWN:
        return PropertyValue(Computed(), is_secret=secret)
    if isinstance(value, int) and not isinstance(value, bool):
        return PropertyValue(float(value), is_secret=secret)
    if isinstance(value, Mapping):
        return PropertyValue({key: property_value(item) for key, item in value.items()}, is_secret=secret)
    if isinstance(value, list | tuple):
        return PropertyValue([property_value(item) for item in value], is_secret=secret)
    return PropertyValue(value, is_secret=secret)


def property_map(values: Mapping[str, Any], secrets: Iterable[str] = ()) -> dict[str, PropertyValue]:
    """A property map from plain data; the keys in ``secrets`` become secret."""
    hidden = frozenset(secrets)
    return {key: property_value(value, secret=key in hidden) for key, value in values.items()}


def has_unknown(value: Any) -> bool:
    """Whether plain data holds ``UNKNOWN`` at any depth."""
    if isinstance(value, Mapping):
        return any(has_unknown(item) for item in value.values())
    if isinstance(value, list | tuple):
        return any(has_unknown(item) for item in value)
    return value is UNKNOWN
