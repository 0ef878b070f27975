"""Pulumi's input values as API arguments, and API answers as Pulumi's values.

Names are compared without regard to case and plural: Pulumi writes ``subnetIds`` where one API says
``SubnetIds`` and another ``SubnetId``. The types come from botocore's own service models, so a row of the
table says only where the two differ. Nothing here imports botocore: shapes are handed in.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from functools import lru_cache
from typing import Any

from local.plugins.aws.documents import document, same_document

Rename = Mapping[str, str]
"""From a Pulumi name, or ``parent.name`` where one name means different things, to the API's name."""

PAIRS = (("key", "value"), ("tagkey", "tagvalue"), ("name", "value"))
"""The member names of a list of pairs that stands for a map: tags, dimensions."""


class ShapeError(ValueError):
    """An input that has no place in the API's argument."""


@lru_cache(maxsize=8192)
def normal(name: str) -> str:
    """A name without case, separators and plural, for comparing the names of Pulumi and of an API."""
    word = name.replace("_", "").replace("-", "").lower()
    if word.endswith("ies"):
        return word[:-3] + "y"
    if word.endswith("s") and not word.endswith("ss"):
        return word[:-1]
    return word


def camel(name: str) -> str:
    """An API's member name as Pulumi writes it: ``VpcId`` is ``vpcId``, ``DBName`` ``dbName``."""
    run = len(name) - len(name.lstrip("ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"))
    if run <= 1 or run == len(name):
        return name.lower() if run == len(name) else name[:1].lower() + name[1:]
    return name[: run - 1].lower() + name[run - 1 :]


def match(members: Iterable[str], name: str, rename: Rename, parent: str = "") -> str | None:
    """The member that ``name`` stands for, or ``None``."""
    wanted = rename.get(f"{parent}.{name}") or rename.get(name) or name
    names = list(members)
    if wanted in names:
        return wanted
    return next((member for member in names if normal(member) == normal(wanted)), None)


def _pair(shape: Any) -> tuple[str, str] | None:
    """The two member names when a structure is a pair of a map written as a list."""
    if shape.type_name != "structure" or len(shape.members) != 2:
        return None
    names = tuple(shape.members)
    for first, second in PAIRS:
        if (names[0].lower(), names[1].lower()) == (first, second):
            return names[0], names[1]
    return None


def _structure(shape: Any, value: Any, rename: Rename, parent: str) -> Any:
    if isinstance(value, list) and len(value) <= 1:
        value = value[0] if value else {}
    if not isinstance(value, Mapping):
        if len(shape.members) == 1:
            member, inner = next(iter(shape.members.items()))
            return {member: to_api(inner, value, rename, parent)}
        raise ShapeError(f"{parent} must be an object")
    arguments = {}
    for key, item in value.items():
        if item is None:
            continue
        member = match(shape.members, key, rename, parent)
        if member is None:
            raise ShapeError(f"{parent}.{key} has no place in {shape.name}")
        arguments[member] = to_api(shape.members[member], item, rename, key)
    return arguments


def _sequence(shape: Any, value: Any, rename: Rename, parent: str) -> Any:
    pair = _pair(shape.member)
    if (
        pair
        and isinstance(value, Mapping)
        and {normal(key) for key in value} != {normal(key) for key in pair}
    ):
        return [{pair[0]: key, pair[1]: str(item)} for key, item in value.items()]
    items = value if isinstance(value, list | tuple) else [value]
    return [to_api(shape.member, item, rename, parent) for item in items if item is not None]


def _text(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    return str(value)


def to_api(shape: Any, value: Any, rename: Rename, parent: str = "") -> Any:
    """``value`` in the form of ``shape`` (a botocore shape).

    Raises ShapeError for a key that the shape does not have.
    """
    kind = shape.type_name
    if kind == "structure":
        return _structure(shape, value, rename, parent)
    if kind == "list":
        return _sequence(shape, value, rename, parent)
    if kind == "map":
        return {
            key: to_api(shape.value, item, rename, key) for key, item in value.items() if item is not None
        }
    if kind == "boolean":
        return value.lower() == "true" if isinstance(value, str) else bool(value)
    if kind in ("integer", "long"):
        return int(value)
    if kind in ("float", "double"):
        return float(value)
    if kind == "string":
        return _text(value)
    if kind == "blob":
        return value.encode() if isinstance(value, str) else value
    return value


def equal(old: Any, new: Any) -> bool:
    """Whether two scalars mean the same: ``5432`` and ``"5432"``, ``True`` and ``"true"``."""
    if isinstance(old, bytes):
        old = old.decode(errors="replace")
    if isinstance(old, Mapping | list) or isinstance(new, Mapping | list):
        return bool(old == new)
    return old == new or (old is not None and new is not None and _text(old) == _text(new))


def pairs_as_map(value: Any) -> Any:
    """A list of pairs (``[{"Key": k, "Value": v}]``) as a map; anything else unchanged."""
    if not isinstance(value, list) or not all(isinstance(item, Mapping) and len(item) == 2 for item in value):
        return value
    found = {}
    for item in value:
        lower = {key.lower(): key for key in item}
        pair = next((names for names in PAIRS if set(names) == set(lower)), None)
        if pair is None:
            return value
        found[item[lower[pair[0]]]] = item[lower[pair[1]]]
    return found


def _found_mapping(value: Any, like: Mapping[str, Any], rename: Rename, parent: str) -> Any:
    value = pairs_as_map(value)
    if isinstance(value, list) and len(value) == 1:
        value = value[0]
    if not isinstance(value, Mapping):
        return next(iter(like)) and {next(iter(like)): value} if len(like) == 1 else None
    shown = {}
    for key, item in like.items():
        member = match(value, key, rename, parent)
        shown[key] = item if member is None and item in (None, "", [], {}) else None
        if member is not None:
            shown[key] = from_api(value[member], item, rename, key)
    return shown


def _paired(item: Any, likes: list[Any], rename: Rename, parent: str) -> Any:
    """An item that differs from all of ``likes`` in the form of the first that is left."""
    return from_api(item, likes.pop(0) if likes else None, rename, parent)


def _found_sequence(value: Any, like: list[Any], rename: Rename, parent: str) -> Any:
    items = value if isinstance(value, list) else [value]
    rest, kept, missed = list(items), [], []
    for wanted in like:
        same = next((item for item in rest if from_api(item, wanted, rename, parent) == wanted), None)
        if same is None:
            missed.append(wanted)
        else:
            rest.remove(same)
            kept.append(wanted)
    if not rest and not missed:
        return like
    return kept + [_paired(item, missed, rename, parent) for item in rest]


def from_api(value: Any, like: Any, rename: Rename, parent: str = "") -> Any:
    """What an API says (``value``) in the form of ``like``, the value that Pulumi knows.

    Only keys that ``like`` has are shown: what an API adds by itself is no drift. Without a ``like``,
    everything is shown, its names in Pulumi's writing. A value that means the same is given back as ``like``.
    """
    if value is None:
        return like if like in (None, "", [], {}) else None
    if like is None:
        if isinstance(value, Mapping):
            return {camel(key): from_api(item, None, rename, key) for key, item in value.items()}
        if isinstance(value, list):
            return [from_api(item, None, rename, parent) for item in value]
        return value.isoformat() if hasattr(value, "isoformat") else value
    if isinstance(like, Mapping):
        return _found_mapping(value, like, rename, parent) if like else like
    if isinstance(like, list):
        return _found_sequence(value, like, rename, parent)
    if isinstance(value, Mapping):
        if document(like) is None and len(value) == 1:
            value = next(iter(value.values()))
        else:
            value = json.dumps(value)
    if same_document(like, value):
        return like
    return like if equal(value, like) else from_api(value, None, rename, parent)
