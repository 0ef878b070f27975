"""Retention in days, as AWS Backup wants it."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from core.backup_rules import LEAST_DAYS_IN_COLD_STORAGE, lifecycle


@given(st.integers(1, 36_500))
def test_what_moves_to_cold_storage_stays_there_for_the_least_time_aws_allows(retention: int) -> None:
    cold_after, delete_after = lifecycle(retention)
    assert delete_after == retention
    if cold_after is None:
        assert retention < 120
    else:
        assert delete_after - cold_after >= LEAST_DAYS_IN_COLD_STORAGE
