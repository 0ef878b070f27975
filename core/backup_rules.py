"""What the days of a backup rule mean to AWS Backup."""

from __future__ import annotations

COLD_AFTER_DAYS = 30
LEAST_DAYS_IN_COLD_STORAGE = 90
"""AWS Backup refuses a shorter stay in cold storage (developer guide, lifecycle)."""


def lifecycle(retention_days: int) -> tuple[int | None, int]:
    """Return (days until cold storage or None, days until deletion) for a retention in days.

    What is kept for 120 days or more moves to cold storage, at a fifth of the price for the file store,
    after the 30 days in which most restores happen. AWS ignores it for databases, which have none.
    """
    if retention_days < COLD_AFTER_DAYS + LEAST_DAYS_IN_COLD_STORAGE:
        return None, retention_days
    return COLD_AFTER_DAYS, retention_days
