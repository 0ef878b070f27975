"""The whole table: every resource type by its token, one file of rows for each service."""

from __future__ import annotations

from importlib import import_module

from local.plugins.aws.row import Row

SERVICES = (
    "cloudwatch",
    "ec2",
    "iam",
    "kms",
    "s3",
    "secretsmanager",
)


def load() -> dict[str, Row]:
    """Every row by its type token."""
    rows = [
        row for service in SERVICES for row in import_module(f"local.plugins.aws.services.{service}").ROWS
    ]
    return {row.type: row for row in rows}
