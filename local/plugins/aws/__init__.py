"""The `aws` provider for the emulator: a table of resource types and a small interpreter of it."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pulumi.provider.experimental.provider import Provider


def provider() -> Provider:
    """A new provider with a configuration and clients of its own; nothing of boto3 is imported by it."""
    from local.plugins.aws.provider import AwsProvider

    return AwsProvider()
