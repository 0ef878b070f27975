"""docs/settings.md, written from the models, so that the page cannot say something else than the program."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any, Final, get_args, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from core.settings_errors import plain, shape
from core.settings_model import ConfiguredSettings

_HEAD: Final = """\
# Settings

A stack's settings are in `Pulumi.<stack>.yaml` under the namespace `openerp`; the region is `aws:region`.
All of them are checked before anything is touched. What is wrong is reported at once, in one message: the
key, what is wrong, what would be right. A key that does not exist is an error with the nearest one that does.

- Numbers that are names go in quotes: `openerp:release: "19.0"`, `engineVersion: "16.10"`. YAML would turn
  16.10 into 16.1.
- `key:` with nothing behind it means "not set".
- A stack's name is part of physical names: up to 16 lower-case letters, digits and single hyphens.

This page is written from `core/settings_model.py`; the rules behind it are in [rules.md](rules.md).
"""


def settings_page() -> str:
    """Return the page: a table of the top-level keys, then one for each object."""
    lines = [_HEAD, *_section("Top level", ConfiguredSettings, "")]
    for path, model in _objects(ConfiguredSettings, ""):
        lines += ["", *_section(f"`openerp:{path}`", model, path)]
    return "\n".join(lines) + "\n"


def keys(model: type[BaseModel] = ConfiguredSettings, path: str = "") -> Iterator[str]:
    """Yield the full key of every setting; an entry of a list is written `tenants[].name`."""
    for field in model.model_fields.values():
        key = f"{path}.{field.alias}" if path else str(field.alias)
        yield f"openerp:{key}"
        inner, suffix = _object(field)
        if inner is not None:
            yield from keys(inner, key + suffix)


def _object(field: FieldInfo) -> tuple[type[BaseModel] | None, str]:
    """Return the model behind a field and the suffix of its entries, or None for a plain value."""
    kind, suffix = plain(field.annotation), ""
    if get_origin(kind) is tuple:
        kind, suffix = plain(get_args(kind)[0]), "[]"
    return (kind, suffix) if isinstance(kind, type) and issubclass(kind, BaseModel) else (None, "")


def _objects(model: type[BaseModel], path: str) -> Iterator[tuple[str, type[BaseModel]]]:
    for field in model.model_fields.values():
        inner, suffix = _object(field)
        if inner is not None:
            key = f"{path}.{field.alias}{suffix}" if path else f"{field.alias}{suffix}"
            yield key, inner
            yield from _objects(inner, key)


def _section(title: str, model: type[BaseModel], path: str) -> list[str]:
    rows = [
        f"## {title}",
        "",
        "| key | type | unit | default | what it does | refused |",
        "|---|---|---|---|---|---|",
    ]
    for field in model.model_fields.values():
        key = f"{path}.{field.alias}" if path else str(field.alias)
        extra: dict[str, Any] = field.json_schema_extra if isinstance(field.json_schema_extra, dict) else {}
        cells = [
            f"`openerp:{key}`",
            _type(field),
            str(extra.get("unit", "")),
            _default(field),
            field.description or "",
            str(extra.get("refused", "")),
        ]
        rows.append("| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |")
    return rows


def _type(field: FieldInfo) -> str:
    inner, suffix = _object(field)
    if inner is not None:
        return "list of objects" if suffix else "object"
    return shape(field.annotation).replace("[text, …]", "list of texts")


def _default(field: FieldInfo) -> str:
    if field.is_required():
        return "required"
    value = field.default
    if value is None or value == {}:
        return "not set" if value is None else "all of its defaults"
    if isinstance(value, tuple):
        return f"`{json.dumps(list(value))}`"
    return f"`{json.dumps(value)}`" if isinstance(value, dict | bool) else f"`{value}`"
