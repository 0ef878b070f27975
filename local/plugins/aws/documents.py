"""JSON documents inside inputs: policies, event patterns, dashboards."""

from __future__ import annotations

import json
from typing import Any


def document(text: Any) -> Any:
    """The data of a JSON object or array in a text; ``None`` for any other text."""
    if not isinstance(text, str) or text.lstrip()[:1] not in ("{", "["):
        return None
    try:
        return json.loads(text)
    except ValueError:
        return None


def _policy(value: Any) -> Any:
    """A policy in one form: one-element lists as scalars, lists of scalars as sets, scalars as text."""
    if isinstance(value, dict):
        return {key: _policy(item) for key, item in value.items()}
    if isinstance(value, list):
        items = [_policy(item) for item in value]
        if len(items) == 1:
            return items[0]
        return items if any(isinstance(item, dict | list) for item in items) else sorted(items)
    return str(value).lower() if isinstance(value, bool) else str(value)


def same_document(old: Any, new: Any) -> bool:
    """Whether two JSON texts say the same; policies also if only the order or form of their lists differs."""
    before, after = document(old), document(new)
    if before is None or after is None:
        return False
    if (
        isinstance(before, dict)
        and isinstance(after, dict)
        and "Statement" in before
        and "Statement" in after
    ):
        return bool(_policy(before) == _policy(after))
    return bool(before == after)
