"""The local stand-in for pulumi-postgresql: roles, databases, schemas, extensions, grants, on psycopg."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pulumi.provider.experimental.provider import Provider

VERSION = "3.18.2"
"""The pulumi-postgresql release whose resources, names and defaults are followed."""


def provider() -> Provider:
    """The provider, for the engine in this process or for ``python -m local.plugins.postgresql``."""
    from local.plugins.postgresql.kinds import PostgresqlProvider

    return PostgresqlProvider()
