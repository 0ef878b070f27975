"""Documents that carry a hash of themselves, so that an altered one is noticed."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel, ValidationError


def digest(content: Mapping[str, Any]) -> str:
    """Return the SHA-256 of a JSON object, whatever the order of its keys."""
    canonical = json.dumps(content, sort_keys=True, ensure_ascii=False, separators=(",", ":"))
    return hashlib.sha256(canonical.encode()).hexdigest()


def sealed(content: Mapping[str, Any]) -> dict[str, Any]:
    """Return `content` with its hash as `sha256`."""
    return {**content, "sha256": digest(content)}


def is_whole(content: dict[str, Any]) -> bool:
    """Take `sha256` out of `content` and say whether it is the hash of what is left."""
    stated = content.pop("sha256", None)
    return bool(stated == digest(content))


def first_problem(error: ValidationError) -> str:
    """Return the first thing that a model did not accept: where, and what."""
    first = error.errors()[0]
    where = ".".join(str(part) for part in first["loc"])
    return f"{where}: {first['msg']}" if where else str(first["msg"])


def text(model: BaseModel) -> str:
    """Return a model as the text of its document."""
    return json.dumps(sealed(model.model_dump(mode="json")), indent=1, ensure_ascii=False) + "\n"
