"""From pydantic's errors to sentences: the key, what is wrong with its value, and what would be right."""

from __future__ import annotations

import types
from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Annotated, Any, Final, Literal, Union, get_args, get_origin

from pydantic import BaseModel, ValidationError
from pydantic.fields import FieldInfo

from core.checks import show
from core.problems import Invalid, Problem, full_key, nearest

_LIMITS: Final = {
    "greater_than_equal": ("ge", "at least"),
    "greater_than": ("gt", "more than"),
    "less_than_equal": ("le", "at most"),
    "less_than": ("lt", "less than"),
}


def problems(error: ValidationError, model: type[BaseModel]) -> list[Problem]:
    """Return one problem for each error of `model`'s validation.

    A list with a bad entry is not called empty as well, which pydantic does: the good entries it has left are
    none.
    """
    entries = error.errors(include_url=False)
    bad_inside = {entry["loc"][:-1] for entry in entries}
    return [
        _problem(dict(entry), model)
        for entry in entries
        if not (entry["type"] == "too_short" and entry["loc"] in bad_inside)
    ]


def shape(annotation: Any) -> str:
    """Return what a value of `annotation` looks like: `{total: number, simultaneous: number}`."""
    kind = plain(annotation)
    if isinstance(kind, type) and issubclass(kind, BaseModel):
        fields = kind.model_fields.values()
        required = [f for f in fields if f.is_required()] or list(fields)[:2]
        rest = ", …" if len(required) < len(kind.model_fields) else ""
        return "{" + ", ".join(f"{f.alias}: {shape(f.annotation)}" for f in required) + rest + "}"
    if get_origin(kind) is tuple:
        return f"[{shape(get_args(kind)[0])}, …]"
    if get_origin(kind) is dict:
        return f"{{name: {shape(get_args(kind)[1])}, …}}"
    if get_origin(kind) is Literal:
        return " or ".join(str(choice) for choice in get_args(kind))
    return {bool: "true or false", int: "number", Decimal: "number", str: "text"}.get(kind, "value")


def _one(annotation: Any) -> str:
    """Return the shape of a single value, as a sentence has it."""
    text = "whole number" if plain(annotation) is int else shape(annotation)
    return f"a {text}" if text.endswith("number") else text


def plain(annotation: Any) -> Any:
    """Return `annotation` without `Annotated` and `| None`."""
    while True:
        if get_origin(annotation) is Annotated:
            annotation = get_args(annotation)[0]
        elif get_origin(annotation) in (Union, types.UnionType):
            annotation = next(a for a in get_args(annotation) if a is not type(None))
        else:
            return annotation


def _at(model: type[BaseModel], path: Sequence[str | int]) -> Any:
    """Return the annotation that `path` leads to; None where it leads nowhere."""
    annotation: Any = model
    for part in path:
        annotation = plain(annotation)
        if isinstance(part, int):
            annotation = get_args(annotation)[0] if get_origin(annotation) is tuple else None
        elif isinstance(annotation, type) and issubclass(annotation, BaseModel):
            field = _fields(annotation).get(part)
            annotation = field.annotation if field else None
        elif get_origin(annotation) is dict:
            annotation = get_args(annotation)[1]
        else:
            return None
    return plain(annotation)


def _fields(model: type[BaseModel]) -> Mapping[str, FieldInfo]:
    return {field.alias or name: field for name, field in model.model_fields.items()}


def _value(entry: Mapping[str, Any]) -> str:
    value = entry.get("input")
    if isinstance(value, dict):
        return "an object"
    if isinstance(value, list | tuple):
        return "a list"
    return "empty" if value is None else show(str(value).lower() if isinstance(value, bool) else value)


def _problem(entry: Mapping[str, Any], model: type[BaseModel]) -> Problem:
    path: tuple[str | int, ...] = tuple(entry["loc"])
    kind = entry["type"]
    context = entry.get("ctx", {})
    key = full_key(*path)
    if kind == "extra_forbidden":
        parent = _at(model, path[:-1])
        known = list(_fields(parent)) if isinstance(parent, type) else []
        return Problem(key=key, wrong="is not a known key", right=nearest(str(path[-1]), known))
    if kind == "missing":
        return Problem(key=key, wrong="is missing", right=f"Give {_one(_at(model, path))}")
    cause = context.get("error")
    if isinstance(cause, Invalid):
        return Problem(key=key, wrong=cause.wrong, right=cause.right)
    annotation = _at(model, path)
    if kind in _LIMITS:
        name, words = _LIMITS[kind]
        return Problem(key=key, wrong=f"is {_value(entry)}", right=f"Give {words} {context[name]}")
    if get_origin(annotation) is Literal:
        return Problem(
            key=key,
            wrong=f"is {_value(entry)}",
            right=nearest(show(entry.get("input")).strip("'"), [str(c) for c in get_args(annotation)]),
        )
    if kind == "decimal_max_places":
        return Problem(
            key=key,
            wrong=f"is {_value(entry)}",
            right=f"Give at most {context['decimal_places']} decimal places",
        )
    if kind == "too_long":
        return Problem(
            key=key,
            wrong=f"has {context['actual_length']} entries",
            right=f"Give at most {context['max_length']}",
        )
    if kind == "too_short":
        return Problem(key=key, wrong="is an empty list", right=f"Give {_one(annotation)}")
    return Problem(key=key, wrong=f"is {_value(entry)}", right=f"Give {_one(annotation)}")
