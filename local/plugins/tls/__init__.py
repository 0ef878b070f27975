"""The local stand-in for pulumi-tls: keys, requests and certificates, made with ``cryptography``."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pulumi.provider.experimental.provider import Provider

VERSION = "5.6.2"
"""The pulumi-tls release whose resources, names and defaults are followed."""


def provider() -> Provider:
    """The provider, for the engine in this process or for ``python -m local.plugins.tls``."""
    from local.plugins.table_provider import TableProvider
    from local.plugins.tls.kinds import KINDS

    return TableProvider("tls", KINDS)
