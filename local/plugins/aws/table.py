"""The whole table: every resource type by its token, one file of rows for each service."""

from __future__ import annotations

from importlib import import_module

from local.plugins.aws.row import Row

SERVICES = (
    "acm",
    "autoscaling",
    "backup",
    "budgets",
    "cloudwatch",
    "ec2",
    "efs",
    "iam",
    "kms",
    "lb",
    "rds",
    "route53",
    "s3",
    "secretsmanager",
    "sns",
    "ssm",
    "wafv2",
)


def load() -> dict[str, Row]:
    """Every row by its type token."""
    rows = [
        row for service in SERVICES for row in import_module(f"local.plugins.aws.services.{service}").ROWS
    ]
    return {row.type: row for row in rows}
