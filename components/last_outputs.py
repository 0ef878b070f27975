"""What a stack exported when it was last updated."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pulumi


def last_outputs(stack: str) -> Mapping[str, Any]:
    """Return the outputs of `stack` (of this project) after its last update; empty before the first one.

    Known at once, in a preview too, because they are in the backend and not in the cloud: a decision that
    must fall before anything is declared can rest on them.

    Raises:
        LookupError: there is no such stack, or it cannot be read; the message is the engine's.
    """
    name = f"{pulumi.get_organization()}/{pulumi.get_project()}/{stack}"
    try:
        result = pulumi.runtime.invoke("pulumi:pulumi:readStackOutputs", {"name": name})
    except Exception as refused:  # the SDK has no narrower class for it
        raise LookupError(str(refused)) from None
    value: Mapping[str, Any] = result.value or {}
    return value.get("outputs") or {}
