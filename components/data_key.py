"""The KMS key of a component that holds data, under an alias that a person recognises."""

from __future__ import annotations

from collections.abc import Mapping

import pulumi
import pulumi_aws as aws

DELETION_WINDOW_DAYS = 30
"""The longest time KMS waits before it deletes a key (KMS API, ScheduleKeyDeletion)."""


def data_key(
    name: str,
    *,
    description: str,
    alias: str,
    tags: Mapping[str, str],
    kept: pulumi.ResourceOptions,
    child: pulumi.ResourceOptions,
) -> aws.kms.Key:
    """Make a key that rotates every year (options `kept`), and `alias/<alias>` for it (options `child`)."""
    key = aws.kms.Key(
        f"{name}-key",
        description=description,
        enable_key_rotation=True,
        deletion_window_in_days=DELETION_WINDOW_DAYS,
        tags=dict(tags),
        opts=kept,
    )
    aws.kms.Alias(f"{name}-key", name=f"alias/{alias}", target_key_id=key.key_id, opts=child)
    return key
