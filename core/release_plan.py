"""What a new release means for a stack: update or upgrade, what is needed, the steps in order, the downtime.

An update (a step in B or C, or another day's package) is carried out by `ops release update`. An upgrade (a
step in A) changes the database by Odoo's own upgrade service, which is outside; the plan says when and what.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import date
from typing import Any, Final, Literal

from core import checks
from core import release as releases
from core.problems import Invalid
from core.release import Release

Kind = Literal["modules", "update", "upgrade", "refused"]
SERVICE: Final = "https://upgrade.odoo.com"
REFERENCE: Final[Mapping[str, float]] = {"close": 8, "checkpoint": 45, "data": 60, "check": 40, "open": 20}
REFERENCE_SOURCE: Final = (
    "measured on one machine of two cores with contacts and crm in two databases, without AWS: RDS's "
    "snapshot and AWS Backup take minutes, and more modules take more"
)
"""Seconds of the parts of an update in which the databases are closed, and where they are from."""
CLOSED: Final = tuple(REFERENCE)
"""The parts of a change in which people wait."""


@dataclass(frozen=True, kw_only=True)
class Target:
    """Where a stack is to go. None: as it is."""

    release: str | None = None
    date: str | None = None
    """Day of a nightly package, `YYYYMMDD`."""
    sha256: str | None = None
    image: str | None = None

    def __str__(self) -> str:
        package = f"{self.release or 'the package'} of {_day(self.date)}" if self.date else self.release
        image = f"the image {self.image}" if self.image else None
        return " with ".join(part for part in (package, image) if part) or "the same release"


@dataclass(frozen=True, kw_only=True)
class Stack:
    """A stack as it is."""

    name: str
    environment: str
    release: str
    package: Mapping[str, Any]
    """`source`, `date`, `sha256`."""
    image: str | None
    checkpoints: frozenset[str]
    """Labels of `backup.checkpoints` that exist."""
    allow_upgrade_to: str | None
    upgrade_checkpoint: str | None
    allow_unsupported: bool
    data_modules: tuple[str, ...]
    proven: Mapping[str, frozenset[str]]
    """Releases on which each data module is proven, in the version that is loaded."""
    databases: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class Figures:
    """What the parts of a change took, and where that was measured."""

    seconds: Mapping[str, float]
    source: str


@dataclass(frozen=True, kw_only=True)
class Need:
    """Something without which a step is refused."""

    what: str
    met: bool


@dataclass(frozen=True, kw_only=True)
class Step:
    """One step, for a person."""

    what: str
    command: str | None = None
    closed: bool = False
    """Whether people wait meanwhile."""


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What a target means."""

    kind: Kind
    says: str
    """In one sentence."""
    support: str
    settings: Mapping[str, Any] = field(default_factory=dict)
    """Dotted path -> value."""
    needs: tuple[Need, ...] = ()
    steps: tuple[Step, ...] = ()
    downtime_seconds: float | None = None
    """Expected; None where nothing was measured."""
    downtime: str = "none"
    warnings: tuple[str, ...] = ()


def parse(text: str) -> Target:
    """Read `19.0`, `20.0`, `20261101`, `19.0.20261101`, or an image (`ami-…`, `resolve:ssm:/…`).

    Raises:
        Invalid: it is none of these.
    """
    text = text.strip()
    if text.startswith(("ami-", "resolve:")):
        return Target(image=str(checks.server_image(text)))
    day = re.fullmatch(r"(?:([0-9]{1,3}\.[0-9]{1,3})\.)?(20[0-9]{6})", text)
    if day:
        return Target(release=day[1], date=str(checks.package_date(day[2])))
    try:
        return Target(release=str(releases.parse(text)))
    except Invalid as invalid:
        raise Invalid(
            f"'{text}' is no target", "Write a release (`19.0`), a day (`20261101`), both, or an image"
        ) from invalid


def slug(target: Target) -> str:
    """Return what a target is called in a checkpoint's label: `19-0-20261101`."""
    image = target.image.rpartition("/")[2] if target.image else None
    text = "-".join(part for part in (target.release, target.date, image) if part) or "update"
    return re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")


def plan(stack: Stack, target: Target, *, today: date, figures: Figures | None = None) -> Plan:
    """Say what `target` means for `stack`."""
    old = releases.parse(stack.release)
    new = releases.parse(target.release) if target.release else old
    support = releases.support(new, today).text
    try:
        warnings = releases.check(
            new, environment=stack.environment, today=today, allow_unsupported=stack.allow_unsupported
        )
    except Invalid as invalid:
        return Plan(kind="refused", says=f"{invalid.wrong}. {invalid.right}.", support=support)
    if new < old:
        says = f"{new} is older than {old}, which is running: no database can be taken back to it. "
        says += "`python -m ops restore` returns to a checkpoint of that time."
        return Plan(kind="refused", says=says, support=support)
    settings = _settings(stack, target, new)
    if new.a != old.a:
        return _upgrade(stack, old, new, support, warnings, settings)
    return _update(stack, target, new, support, warnings, settings, figures)


def _settings(stack: Stack, target: Target, new: Release) -> dict[str, Any]:
    changes: dict[str, Any] = {}
    if str(new) != stack.release:
        changes["release"] = str(new)
    package = {key: value for key, value in stack.package.items() if value is not None}
    wanted = dict(package)
    if target.date is not None:
        wanted |= {"source": "nightly", "date": target.date}
        if target.sha256 is not None:
            wanted["sha256"] = target.sha256
        elif target.date != package.get("date"):
            wanted.pop("sha256", None)
    if target.image is not None and target.image != stack.image:
        changes["serverImage"] = target.image
    if wanted != package:
        changes["package"] = wanted
    return changes


def _package_needs(stack: Stack, target: Target, settings: Mapping[str, Any]) -> list[Need]:
    package = settings.get("package", stack.package)
    needs = []
    if package.get("source") == "nightly" and ("release" in settings or "package" in settings):
        known = target.sha256 or (package.get("sha256") if "release" not in settings else None)
        needs.append(
            Need(
                what=f"the SHA-256 of the package of {_day(package.get('date'))}: `--sha256`, computed from "
                "the file that was tried",
                met=known is not None,
            )
        )
    return needs


def _update(
    stack: Stack,
    target: Target,
    new: Release,
    support: str,
    warnings: Iterable[str],
    settings: Mapping[str, Any],
    figures: Figures | None,
) -> Plan:
    told = list(warnings)
    if target.date and stack.package.get("date") and target.date < str(stack.package["date"]):
        told.append(
            f"{_day(target.date)} is before {_day(str(stack.package['date']))}, which is running: older code "
            "on newer data is what nobody has tried"
        )
    if "package" in settings and settings["package"].get("source") != stack.package.get("source"):
        told.append(
            f"the servers get OpenERP from elsewhere: `package.source` was {stack.package.get('source')}"
        )
    kind: Kind = "update" if settings else "modules"
    says = (
        f"{target} is an update of {stack.release}: code and modules, the database stays of its series."
        if settings
        else f"{stack.name} runs {stack.release} already: what is left is to update the modules."
    )
    # What the new code needs of the data comes with the update of the modules.
    code_first = str(new) == stack.release
    code = Step(
        what="the servers get the new code, one after the other, while people work"
        if code_first
        else "the servers get the new code, one after the other",
        closed=not code_first,
    )
    closing = [
        Step(what="the databases are closed: requests end, new ones get 503 with Retry-After", closed=True),
        Step(what="a checkpoint of everything, which nobody works after", closed=True),
    ]
    doing = [
        Step(what=f"every module is updated in {', '.join(stack.databases)}", closed=True),
        Step(what="versions are compared, the administrator logs in", closed=True),
        Step(what="the databases are opened"),
    ]
    before = [code, *closing] if code_first else [*closing, code]
    command = f"python -m ops release update --stack {stack.name}{_options(target)}"
    steps = [
        Step(what="look at it once more", command=f"{command} --dry-run"),
        Step(
            what="carry it out; a failure returns code, database and files to the checkpoint", command=command
        ),
        *(before if settings else closing),
        *doing,
    ]
    known = figures or Figures(seconds=REFERENCE, source=REFERENCE_SOURCE)
    seconds = sum(known.seconds.get(part, 0.0) for part in CLOSED)
    if not code_first:
        seconds += known.seconds.get("code", 0.0)
    return Plan(
        kind=kind,
        says=says,
        support=support,
        settings=settings,
        needs=tuple(_package_needs(stack, target, settings)),
        steps=tuple(steps),
        downtime_seconds=round(seconds, 1),
        downtime=f"about {_length(seconds)} ({known.source})",
        warnings=tuple(told),
    )


def _options(target: Target) -> str:
    given = {
        "--release": target.release,
        "--date": target.date,
        "--sha256": target.sha256,
        "--image": target.image,
    }
    return "".join(f" {name} {value}" for name, value in given.items() if value)


def _upgrade(
    stack: Stack,
    old: Release,
    new: Release,
    support: str,
    warnings: Iterable[str],
    settings: Mapping[str, Any],
) -> Plan:
    label = stack.upgrade_checkpoint or f"before-{new.a}"
    unproven = [name for name in stack.data_modules if str(new) not in stack.proven.get(name, frozenset())]
    needs = [
        Need(
            what=f"a checkpoint `{label}` in `openerp:backup.checkpoints`, deployed",
            met=label in stack.checkpoints,
        ),
        Need(
            what=f'`openerp:allowUpgradeTo: "{new}"` in the settings',
            met=stack.allow_upgrade_to is not None and releases.parse(stack.allow_upgrade_to) == new,
        ),
        Need(
            what=f"`openerp:upgradeCheckpoint: {label}` in the settings",
            met=stack.upgrade_checkpoint in stack.checkpoints and stack.upgrade_checkpoint is not None,
        ),
        *(Need(what=f"data module {name} proven on {new}", met=False) for name in unproven),
    ]
    working = stack.databases[0]
    steps = (
        Step(what=f"prove every data module on a development stack of {new}"),
        Step(
            what=f"keep the present: add `{label}` to `openerp:backup.checkpoints`",
            command=f"pulumi up --stack {stack.name}",
        ),
        Step(
            what="keep database and files together",
            command=f"python -m ops checkpoint {label}-files --stack {stack.name}",
        ),
        Step(
            what="dump the database", command=f"python -m ops dump {working} ./{label} --stack {stack.name} …"
        ),
        Step(
            what=f"have a copy of it upgraded as a test by Odoo's upgrade service ({SERVICE}), and try that"
        ),
        Step(
            what=f"for good, people out: dump again, have it upgraded, load it as the database of {new}",
            command=f"python -m ops load ./{label}-upgraded {working}_{new.a} --move --stack {stack.name} …",
            closed=True,
        ),
        Step(
            what=f'set `release: "{new}"`, `allowUpgradeTo`, `upgradeCheckpoint` and the name of the working '
            "database, deploy, and take the two permissions out again",
            command=f"pulumi up --stack {stack.name}",
            closed=True,
        ),
    )
    return Plan(
        kind="upgrade",
        says=f"{old} to {new} is an upgrade (a step in A): Odoo's upgrade service changes the database, and "
        "`ops release update` does not.",
        support=support,
        settings=settings,
        needs=tuple(needs),
        steps=steps,
        downtime=f"hours: from the last dump until what the upgrade service returns is loaded; its test run "
        f"says how long ({SERVICE})",
        warnings=tuple(warnings),
    )


def _day(text: object) -> str:
    """Return `2026-11-01` for `20261101`."""
    day = str(text)
    return f"{day[:4]}-{day[4:6]}-{day[6:]}" if len(day) == 8 else day


def _length(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds < 120 else f"{seconds / 60:.0f} minutes"
