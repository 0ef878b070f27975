"""Property paths, as `ignore_changes` and `replace_on_changes` take them: `a.b[0].c`, `a["b.c"]`, `a[*]`,
`*`.

Rules: sdk/go/common/resource/property_path.go of Pulumi 3.
"""

from __future__ import annotations

import copy
import re
from collections.abc import Sequence
from typing import Final

from local.engine.errors import EngineError
from local.engine.values import Properties, Secret, Value

Path = tuple[str | int, ...]
ANY: Final = "*"

_PART: Final = re.compile(r"""\.?(?:([^.\[\]"]+)|\[(\d+)\]|\[(\*)\]|\["((?:[^"\\]|\\.)*)"\])""")


def parse(text: str) -> Path:
    """The parts of a path. Raises EngineError for what is no path."""
    parts: list[str | int] = []
    position = 0
    while position < len(text):
        match = _PART.match(text, position)
        if match is None:
            raise EngineError(f'{text!r} is not a property path, such as a.b[0] or a["b"]')
        name, index, every, quoted = match.groups()
        if index is not None:
            parts.append(int(index))
        elif quoted is not None:
            parts.append(quoted.replace('\\"', '"').replace("\\\\", "\\"))
        else:
            parts.append(name if name is not None else every)
        position = match.end()
    return tuple(parts)


def contains(path: Path, other: Path) -> bool:
    """Whether `other` is `path` or lies inside it."""
    if len(path) > len(other):
        return False
    return all(mine in (ANY, theirs) for mine, theirs in zip(path, other, strict=False))


def ignore(new: Properties, old: Properties, ignored: Sequence[str]) -> Properties:
    """`new` with the value of each ignored path set back to what it is in `old`."""
    result = new
    for text in ignored:
        path = parse(text)
        if path:
            result = _reset(copy.copy(result), old, path)
    return result


def _reset(new: Value, old: Value, path: Path) -> Value:
    """A copy of `new` that has what `old` has at `path`."""
    if isinstance(new, Secret):
        return Secret(_reset(new.element, old, path))
    if isinstance(old, Secret):
        old = old.element
    head, rest = path[0], path[1:]
    if head == ANY:
        if isinstance(new, dict) and isinstance(old, dict):
            for key in [*old, *(key for key in new if key not in old)]:
                new = _reset(new, old, (key, *rest))
        elif isinstance(new, list) and isinstance(old, list) and len(new) == len(old):
            for index in range(len(new)):
                new = _reset(new, old, (index, *rest))
        return new
    if isinstance(new, dict) and isinstance(old, dict):
        result = dict(new)
        if rest:
            if head in new and head in old:
                result[str(head)] = _reset(new[head], old[head], rest)
        elif head in old:
            result[str(head)] = old[head]
        else:
            result.pop(head, None)
        return result
    if (
        isinstance(new, list)
        and isinstance(old, list)
        and isinstance(head, int)
        and head < min(len(new), len(old))
    ):
        items = list(new)
        items[head] = _reset(new[head], old[head], rest) if rest else old[head]
        return items
    return new
