"""AWS schedule expressions."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core import schedule
from core.problems import Invalid


@pytest.mark.parametrize(
    "expression",
    [
        "cron(0 3 * * ? *)",
        "cron(0 4 ? * SUN *)",
        "cron(0 5 1 * ? *)",
        "cron(15 * ? * * *)",
        "cron(0 8 L * ? *)",
        "cron(0 8 15W * ? *)",
        "cron(0 8 ? * 6#3 *)",
        "cron(0/15 8-17 ? JAN-JUN MON-FRI 2026-2030)",
        "cron(0,30 8 ? * 2,4 *)",
        "rate(1 day)",
        "rate(12 hours)",
    ],
)
def test_an_expression_of_the_aws_reference_is_accepted(expression: str) -> None:
    schedule.check(expression)


@pytest.mark.parametrize(
    ("expression", "why"),
    [
        ("0 3 * * *", "not a schedule"),
        ("0 3 * * ? *", "not a schedule"),
        ("cron(0 3 * * *)", "5 fields"),
        ("cron(60 3 * * ? *)", "minutes is '60'"),
        ("cron(0 24 * * ? *)", "hours is '24'"),
        ("cron(0 3 0 * ? *)", "day of month is '0'"),
        ("cron(0 3 * 13 ? *)", "month is '13'"),
        ("cron(0 3 ? * 8 *)", "day of week is '8'"),
        ("cron(0 3 ? * 0 *)", "day of week is '0'"),
        ("cron(0 3 * * ? 1969)", "year is '1969'"),
        ("cron(0 3 * * * *)", "exactly one must be"),
        ("cron(0 3 ? * ? *)", "both are"),
        ("cron(0 3 1 * MON *)", "exactly one"),
        ("cron(0 17-8 * * ? *)", "hours is '17-8'"),
        ("cron(0 3 L,5 * ? *)", "mixes 'L'"),
        ("cron(? 3 * * ? *)", r"minutes is '\?'"),
        ("rate(1 days)", "not a rate"),
        ("rate(2 day)", "not a rate"),
        ("rate(0 days)", "not a rate"),
    ],
)
def test_a_wrong_expression_names_the_field(expression: str, why: str) -> None:
    with pytest.raises(Invalid, match=why):
        schedule.check(expression)


@pytest.mark.parametrize(
    "expression", ["cron(0/15 3 * * ? *)", "cron(* 3 * * ? *)", "rate(1 day)", "cron(0,30 3 * * ? *)"]
)
def test_a_backup_starts_at_most_once_an_hour(expression: str) -> None:
    schedule.check(expression)
    with pytest.raises(Invalid):
        schedule.check_backup(expression)


@given(
    st.integers(0, 59), st.integers(0, 23), st.integers(1, 31), st.integers(1, 12), st.integers(1970, 2199)
)
def test_every_single_moment_can_be_written(minute: int, hour: int, day: int, month: int, year: int) -> None:
    schedule.check_backup(f"cron({minute} {hour} {day} {month} ? {year})")


@given(
    st.one_of(st.text(max_size=40), st.text("0123456789*?/,-LW# ", max_size=30).map(lambda t: f"cron({t})"))
)
def test_any_text_is_accepted_or_refused(text: str) -> None:
    try:
        schedule.check_backup(text)
    except Invalid as invalid:
        assert invalid.wrong
        assert invalid.right
