"""AWS schedule expressions: `cron(…)` with six fields, and `rate(…)`.

Source of fields, ranges and wildcards: Amazon EventBridge user guide, "Cron expressions reference"; AWS
Backup plans take the same cron expressions, in UTC, at most one an hour (AWS Backup developer guide).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from core.problems import Invalid, printable

EXAMPLE: Final = "For example `cron(0 3 * * ? *)`, every day at 03:00 UTC"
_MONTHS: Final = {
    name: number
    for number, name in enumerate(
        ("JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC"), start=1
    )
}
_DAYS: Final = {
    name: number for number, name in enumerate(("SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT"), start=1)
}


@dataclass(frozen=True, kw_only=True)
class _Field:
    name: str
    low: int
    high: int
    names: Mapping[str, int] = field(default_factory=dict)
    special: str = ""
    """Pattern of values that only this field knows (`L`, `15W`, `6#3`, `?`)."""


_FIELDS: Final = (
    _Field(name="minutes", low=0, high=59),
    _Field(name="hours", low=0, high=23),
    _Field(name="day of month", low=1, high=31, special=r"\?|L|LW|([1-9]|[12][0-9]|3[01])W"),
    _Field(name="month", low=1, high=12, names=_MONTHS),
    _Field(
        name="day of week",
        low=1,
        high=7,
        names=_DAYS,
        special=r"\?|L|([1-7]|SUN|MON|TUE|WED|THU|FRI|SAT)(L|#[1-5])",
    ),
    _Field(name="year", low=1970, high=2199),
)


def check(expression: str) -> None:
    """Check `cron(…)` or `rate(…)`.

    Raises:
        Invalid: the message names the field, its value and what it may be.
    """
    shown = printable(expression)
    cron = re.fullmatch(r"cron\((.*)\)", expression, re.DOTALL)
    rate = re.fullmatch(r"rate\((.*)\)", expression, re.DOTALL)
    if cron:
        _check_cron(cron[1], shown)
    elif rate:
        _check_rate(rate[1], shown)
    else:
        right = EXAMPLE
        words = expression.split()
        if len(words) == 5:
            right = (
                "AWS wants `cron(…)` around six fields, the last one the year, and `?` for one of the days. "
                + EXAMPLE
            )
        elif len(words) == 6:
            right = f"Write `cron({shown})`"
        raise Invalid(f"'{shown}' is not a schedule", right)


def check_backup(expression: str) -> None:
    """Check the schedule of a backup rule: a cron expression that comes at most once an hour.

    Raises:
        Invalid: not a cron expression, or more often than AWS Backup allows.
    """
    check(expression)
    if expression.startswith("rate"):
        raise Invalid("a backup rule takes no rate, it takes a time of day", EXAMPLE)
    minutes = expression[len("cron(") :].split()[0]
    if not minutes.isdecimal():
        raise Invalid(
            f"minutes are '{minutes}': AWS Backup starts at most once an hour", "Write one minute. " + EXAMPLE
        )


def _check_rate(body: str, shown: str) -> None:
    match = re.fullmatch(r"([1-9][0-9]{0,5}) (minute|hour|day)(s?)", body)
    if not match or (match[1] == "1") == bool(match[3]):
        raise Invalid(f"'{shown}' is not a rate", "For example `rate(1 day)` or `rate(12 hours)`")


def _check_cron(body: str, shown: str) -> None:
    values = body.split()
    if len(values) != len(_FIELDS):
        raise Invalid(
            f"'{shown}' has {len(values)} fields, a schedule has 6: minutes, hours, day of month, month, "
            "day of week, year",
            EXAMPLE,
        )
    for spec, value in zip(_FIELDS, values, strict=True):
        _check_field(spec, value)
    by_month, by_week = values[2], values[4]
    if (by_month == "?") == (by_week == "?"):
        how = "both are `?`" if by_month == "?" else f"both '{by_month[:20]}' and '{by_week[:20]}' are given"
        raise Invalid(
            f"of day of month and day of week exactly one must be `?`; {how}",
            EXAMPLE,
        )


def _check_field(spec: _Field, value: str) -> None:
    for part in value.split(","):
        if spec.special and re.fullmatch(spec.special, part, re.ASCII):
            if "," in value:
                raise Invalid(f"{spec.name} mixes '{part}' with other values", f"Use '{part}' alone")
            continue
        base, slash, step = part.partition("/")
        first, dash, last = base.partition("-")
        ok = base == "*" or (_number(spec, first) is not None and (not dash or _in_order(spec, first, last)))
        if slash:
            ok = ok and bool(re.fullmatch(r"[1-9][0-9]{0,3}", step, re.ASCII)) and int(step) <= spec.high
        if not ok:
            raise Invalid(
                f"{spec.name} is '{part[:30]}'",
                f"It may be {spec.low}–{spec.high}"
                + (f" or {next(iter(spec.names))}–{list(spec.names)[-1]}" if spec.names else "")
                + ", a range, a list, a step or `*`",
            )


def _number(spec: _Field, text: str) -> int | None:
    number = spec.names.get(text)
    if number is None and re.fullmatch(r"[0-9]{1,4}", text, re.ASCII):
        number = int(text)
    return number if number is not None and spec.low <= number <= spec.high else None


def _in_order(spec: _Field, first: str, last: str) -> bool:
    low, high = _number(spec, first), _number(spec, last)
    return low is not None and high is not None and low <= high
