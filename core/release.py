"""Release policy: how release numbers are read, which may run where, and which step is allowed.

Two schemes. Up to 7 a release is `A.B.C`: A is a major functional change, B fixes and new functionality,
C limited fixes; an odd B is a development version (6.1 was stable, the one exception). From 8 on `X.0`
is for own installations; `X.1` to `X.4` and `saas~X.Y` run on the maker's own hosting only.
"""

from __future__ import annotations

import re
from collections.abc import Collection
from dataclasses import dataclass
from datetime import date
from enum import Enum
from typing import Final

from core.problems import Invalid, printable

LAST_OLD_SERIES: Final = 7
STABLE_EXCEPTIONS: Final = frozenset({(6, 1)})


class Kind(Enum):
    """What a release is meant for."""

    STABLE = "stable"
    DEVELOPMENT = "development"
    HOSTED_ONLY = "hosted-only"


class Step(Enum):
    """What a change of release is."""

    SAME = "same"
    UPDATE = "update"
    UPGRADE = "upgrade"


@dataclass(frozen=True, order=True)
class Release:
    """One release; `hosted` marks the `saas~` series. Ordered by number."""

    a: int
    b: int
    c: int = 0
    hosted: bool = False

    def __str__(self) -> str:
        if self.hosted:
            return f"saas~{self.a}.{self.b}"
        return f"{self.a}.{self.b}.{self.c}" if self.c else f"{self.a}.{self.b}"

    @property
    def kind(self) -> Kind:
        """Return what the release is meant for."""
        if self.hosted or (self.a > LAST_OLD_SERIES and self.b):
            return Kind.HOSTED_ONLY
        if self.b % 2 and (self.a, self.b) not in STABLE_EXCEPTIONS:
            return Kind.DEVELOPMENT
        return Kind.STABLE


_SUPPORT_ENDS: Final = {
    17: date(2026, 9, 30),
    18: date(2027, 9, 30),
    19: date(2028, 9, 30),
}
"""Series -> last day of support. Source: Odoo documentation, "Supported versions" (the month is theirs; the
last day of it is taken)."""


@dataclass(frozen=True, kw_only=True)
class Support:
    """Whether a release is still supported on a given day. `end` is None where it is not known."""

    supported: bool
    end: date | None
    text: str


def parse(text: str) -> Release:
    """Read `19.0`, `6.1`, `5.0.16`, `saas~19.2` or `saas-19.2`.

    Raises:
        Invalid: the text is not a release; the message says what one looks like.
    """
    right = 'Write for example `"19.0"`'
    hosted = re.fullmatch(r"saas[~-]([0-9]{1,3})(?:\.([0-9]{1,3}))?", text, re.ASCII)
    if hosted:
        return Release(int(hosted[1]), int(hosted[2] or 0), hosted=True)
    match = re.fullmatch(r"([0-9]{1,3})(?:\.([0-9]{1,3}))?(?:\.([0-9]{1,4}))?", text, re.ASCII)
    if not match:
        raise Invalid(f"'{printable(text)}' is not a release", right)
    if match[2] is None:
        raise Invalid(
            f"'{text}' has no second number (YAML turns 19.0 without quotes into 19)",
            f'Write it in quotes: `"{int(match[1])}.0"`',
        )
    a, b, c = int(match[1]), int(match[2]), int(match[3] or 0)
    if a < 1:
        raise Invalid(f"'{text}' is not a release", right)
    if a > LAST_OLD_SERIES and match[3] is not None:
        raise Invalid(
            f"'{text}' has three numbers; releases have two since {LAST_OLD_SERIES + 1}.0",
            f'Write `"{a}.{b}"`; the day of the package is `package.date`',
        )
    return Release(a, b, c)


def support(release: Release, today: date) -> Support:
    """Return whether `release` is supported on `today`."""
    if release.a > max(_SUPPORT_ENDS):
        return Support(
            supported=True, end=None, text=f"the end of support of {release} is not known to this program"
        )
    end = _SUPPORT_ENDS.get(release.a)
    if end is None:
        return Support(
            supported=False,
            end=None,
            text=f"{release} is older than the three supported series and has been out of support for years",
        )
    if today > end:
        return Support(supported=False, end=end, text=f"support of {release} ended on {end.isoformat()}")
    return Support(supported=True, end=end, text=f"{release} is supported until {end.isoformat()}")


def check(release: Release, *, environment: str, today: date, allow_unsupported: bool) -> tuple[str, ...]:
    """Apply the policy for one environment.

    Returns:
        Warnings: sentences for the operator.

    Raises:
        Invalid: the release may not run there; the message says which may.
    """
    if release.kind is Kind.HOSTED_ONLY:
        raise Invalid(
            f"{release} is a hosted-only release: its maker runs it on its own hosting, and there is no "
            "package for own installations",
            f'Own installations use `"{max(release.a, 8)}.0"` or the next `X.0`',
        )
    warnings = []
    if release.kind is Kind.DEVELOPMENT:
        if environment == "production":
            raise Invalid(
                f"{release} is a development version (odd second number); production runs stable ones",
                f"Use the stable `{release.a}.{release.b - 1}` or, when out, `{release.a}.{release.b + 1}`",
            )
        warnings.append(f"{release} is a development version; production will refuse it.")
    status = support(release, today)
    if not status.supported:
        if environment == "production" and not allow_unsupported:
            raise Invalid(
                f"{status.text}; production runs supported releases",
                "Upgrade, or set `openerp:allowUnsupportedRelease: true` to take the risk knowingly",
            )
        warnings.append(f"{status.text[0].upper()}{status.text[1:]}: no fixes, no security fixes.")
    elif status.end is None:
        warnings.append(f"{status.text[0].upper()}{status.text[1:]}.")
    elif (status.end - today).days <= 180:
        warnings.append(f"Support of {release} ends on {status.end.isoformat()}: plan the upgrade.")
    return tuple(warnings)


def transition(
    old: Release,
    new: Release,
    *,
    allow_upgrade_to: Release | None,
    checkpoint: str | None,
    checkpoints: Collection[str],
) -> Step:
    """Decide whether a running deployment may go from `old` to `new`.

    Same, or a step in B or C (an update), needs nothing. A step in A (an upgrade) needs `allow_upgrade_to`
    equal to `new` and a `checkpoint` that is among `checkpoints`, the labels in `backup.checkpoints`.

    Raises:
        Invalid: a downgrade, or an upgrade that was not permitted or has no way back.
    """
    if new == old:
        return Step.SAME
    if new < old:
        raise Invalid(
            f"{new} is older than {old}, which is running; no database can be taken back to an older release",
            f"Keep `{old}`, or restore a checkpoint of {new} with `database.restoreFrom` in the same update",
        )
    if new.a == old.a:
        return Step.UPDATE
    if allow_upgrade_to != new:
        given = "is not set" if allow_upgrade_to is None else f"names {allow_upgrade_to}"
        raise Invalid(
            f"{old} to {new} is an upgrade, and `openerp:allowUpgradeTo` {given}",
            f'Make a checkpoint, prove the upgrade on a copy, then set `openerp:allowUpgradeTo: "{new}"` '
            "and `openerp:upgradeCheckpoint`",
        )
    if checkpoint is None or checkpoint not in checkpoints:
        given = (
            "no checkpoint is named" if checkpoint is None else f"checkpoint '{checkpoint}' does not exist"
        )
        raise Invalid(
            f"{old} to {new} is an upgrade, and {given}",
            "Add a label to `openerp:backup.checkpoints`, deploy, then set `openerp:upgradeCheckpoint` to it",
        )
    return Step.UPGRADE


def support_end_text(release: Release) -> str:
    """Return the end of support for a person: `September 2028`, `ended`, or `not known`."""
    end = _SUPPORT_ENDS.get(release.a)
    if end is None:
        return "not known" if release.a > max(_SUPPORT_ENDS) else "ended"
    return end.strftime("%Y-%m")


def supported_series(today: date) -> tuple[str, ...]:
    """Return the series supported on `today`, newest first, as far as this program knows."""
    return tuple(f"{a}.0" for a, end in sorted(_SUPPORT_ENDS.items(), reverse=True) if today <= end)
