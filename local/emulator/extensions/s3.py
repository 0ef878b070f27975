"""Bucket policies: moto applies a statement without looking at its ``Condition``.

The usual ``Deny`` of unencrypted transport would then refuse everything. A versioned bucket can be emptied:
moto asks the mark of a deleted object to give its content back, which it has not.
"""

from __future__ import annotations

import json
from typing import Any

from moto.iam.access_control import IAMPolicy, PermissionResult
from moto.s3.models import FakeBucket, FakeDeleteMarker

from local.emulator.extensions import Context


def unconditional(policy: dict[str, Any]) -> dict[str, Any]:
    """Return a policy with the statements alone that hold under every condition."""
    statements = policy.get("Statement", [])
    if isinstance(statements, dict):
        statements = [statements]
    return {**policy, "Statement": [s for s in statements if not s.get("Condition")]}


def _get_permission(self: FakeBucket, action: str, resource: str) -> Any:
    if self.policy is None:
        return PermissionResult.NEUTRAL
    policy = unconditional(json.loads(self.policy))
    if not policy["Statement"]:
        return PermissionResult.NEUTRAL
    return IAMPolicy(json.dumps(policy)).is_action_permitted(action, resource)


def install(_context: Context) -> None:
    """Puts the extension in place."""
    setattr(FakeBucket, FakeBucket.get_permission.__name__, _get_permission)
    FakeDeleteMarker.dispose = lambda self, garbage=False: None  # type: ignore[attr-defined]  # moto lacks it
