"""What differs between the last state of a resource and its new inputs. No network, plain data only."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

import pulumi
from pulumi.provider.experimental.provider import PropertyDiffKind

from local.plugins.aws.documents import same_document
from local.plugins.aws.row import Row, Values
from local.plugins.aws.shapes import equal
from local.plugins.plain import UNKNOWN

Change = tuple[str, PropertyDiffKind]


def _empty(value: Any) -> bool:
    """Not set: as in the official provider, nothing, ``false``, ``0`` and an empty text are the same."""
    return value is None or (value is not UNKNOWN and value in (False, 0, "", []))


def _asset(value: Any) -> Any:
    return (type(value).__name__, vars(value)) if isinstance(value, pulumi.Asset | pulumi.Archive) else value


def _key(value: Any) -> str:
    return json.dumps(value, sort_keys=True, default=repr)


def _without_empty(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _without_empty(item) for key, item in value.items() if not _empty(item)}
    if isinstance(value, list):
        return [_without_empty(item) for item in value]
    return value


def _step(path: str, key: str) -> str:
    plain = key.isidentifier() or key.replace("-", "_").isidentifier()
    return f"{path}.{key}" if plain else f"{path}[{json.dumps(key)}]"


def changes(path: str, old: Any, new: Any) -> Iterator[Change]:
    """Every difference below ``path``, by property path. Lists are compared as sets first."""
    if new is UNKNOWN:
        yield path, PropertyDiffKind.ADD if old is None else PropertyDiffKind.UPDATE
    elif _empty(old) and _empty(new):
        return
    elif old is None:
        yield path, PropertyDiffKind.ADD
    elif new is None:
        yield path, PropertyDiffKind.DELETE
    elif isinstance(old, Mapping) and isinstance(new, Mapping):
        for key in sorted(old.keys() | new.keys()):
            yield from changes(_step(path, key), old.get(key), new.get(key))
    elif isinstance(old, list) and isinstance(new, list):
        if sorted(map(_key, _without_empty(old))) == sorted(map(_key, _without_empty(new))):
            return
        for index in range(max(len(old), len(new))):
            before = old[index] if index < len(old) else None
            after = new[index] if index < len(new) else None
            yield from changes(f"{path}[{index}]", before, after)
    elif not (equal(_asset(old), _asset(new)) or same_document(old, new)):
        yield path, PropertyDiffKind.UPDATE


def top(path: str) -> str:
    """The top-level property of a property path."""
    return path.replace("[", ".").split(".", 1)[0]


def differences(
    row: Row, old: Values, new: Values, ignored: frozenset[str] = frozenset()
) -> dict[str, PropertyDiffKind]:
    """The kind of each difference by its property path.

    An input that the service chooses when it is not given is compared only while it is given.
    """
    chosen = row.names(row.computed) | ({row.name.property} if row.name else set())
    found: dict[str, PropertyDiffKind] = {}
    for key in sorted(row.accepted | {"tagsAll"}):
        before, after = old.get(key), new.get(key)
        if key in ignored or (key in chosen and after is None):
            continue
        if key == "region" and (before is None or after is None):
            continue
        if key in ("tags", "tagsAll"):
            before, after = before or None, after or None
        found.update(changes(key, before, after))
    return found


REPLACING = {
    PropertyDiffKind.ADD: PropertyDiffKind.ADD_REPLACE,
    PropertyDiffKind.UPDATE: PropertyDiffKind.UPDATE_REPLACE,
    PropertyDiffKind.DELETE: PropertyDiffKind.DELETE_REPLACE,
}
