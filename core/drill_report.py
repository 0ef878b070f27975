"""What a drill says of itself: what was proven, how long it took, what would be lost; as data and as a page.

A drill is good when the data is whole and the application answered a login on it. Where a stack's servers
cannot be commanded (no servers on this machine) it is good for the data, and says that the application is
not proven.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Any, Final, Literal

FORMAT: Final = 1
PREFIX: Final = "drills/"
"""Where reports are in the operations bucket: `<time>.json` and `<time>.md`."""
NAMED: Final = 20
"""So many differences stand on the page; the document has all."""
DAY: Final = 86400.0

Proof = Literal["proven", "not proven", "failed"]


@dataclass(frozen=True, kw_only=True)
class Part:
    """One part of a drill; `began` in seconds after the restore began, `took` in seconds."""

    name: str
    began: float
    took: float
    waits_only_here: bool = False
    """Whether the application waited for it in the drill, as it does not in a restore."""


@dataclass(frozen=True, kw_only=True)
class Database:
    """What was compared of one database."""

    name: str
    tables: int
    rows: int
    """Of the tables that were counted."""
    modules: int
    attachments: int
    """Stored files that attachments name; each was read."""
    files: int
    """Stored files that are there."""
    file_bytes: int
    login: str | None = None
    """How the administrator's login ended; None where it was not tried."""


@dataclass(frozen=True, kw_only=True)
class Loss:
    """How old what can be restored was when the drill began, in seconds; None where there is nothing."""

    checkpoint: float
    database_backup: float | None = None
    """The newest recovery point of the plan."""
    files_backup: float | None = None
    point_in_time: float | None = None
    """The last moment to which the database can be taken back."""


@dataclass(frozen=True, kw_only=True)
class Report:
    """One drill."""

    stack: str
    drill: str
    """Its id, which is in the names and tags of what it made."""
    checkpoint: str
    taken: datetime
    """When the checkpoint was taken."""
    release: str | None
    started: datetime
    finished: datetime
    parts: tuple[Part, ...] = ()
    recovered: float | None = None
    """Seconds from the beginning of the restore until the application answered a login (or, where no servers
    run, until the data was there)."""
    loss: Loss
    databases: tuple[Database, ...] = ()
    differences: tuple[str, ...] | None = None
    """How the restored data differs from the manifest; None where the drill did not come that far."""
    application: Proof = "not proven"
    application_note: str = ""
    error: str | None = None
    """What ended the drill before it was done."""
    notes: tuple[str, ...] = ()
    target_hours: float | None = None
    """Time to recover that the service sheet promises."""
    kept: bool = False
    """Whether what was made was left there."""
    not_removed: tuple[str, ...] = ()

    @property
    def data(self) -> Proof:
        """Whether the data is what the manifest says."""
        if self.differences is None:
            return "not proven"
        return "failed" if self.differences else "proven"

    @property
    def ok(self) -> bool:
        """Whether the drill is good."""
        return self.error is None and self.data == "proven" and self.application != "failed"

    @property
    def waited(self) -> float:
        """Seconds in which the application waited for what only a drill does."""
        return sum(part.took for part in self.parts if part.waits_only_here)

    @property
    def rto(self) -> float | None:
        """Seconds that a restore of this checkpoint takes, as measured."""
        return None if self.recovered is None else max(0.0, self.recovered - self.waited)

    def document(self) -> dict[str, Any]:
        """Return what is kept as JSON; times as ISO 8601, durations in seconds."""
        content = asdict(self)
        for name in ("taken", "started", "finished"):
            content[name] = content[name].isoformat(timespec="seconds")
        return {
            "format": FORMAT,
            "ok": self.ok,
            "data": self.data,
            "rto": self.rto,
            **content,
            "differences": None if self.differences is None else list(self.differences),
        }


def key(started: datetime, drill: str) -> str:
    """Return the key of a drill's report without its ending; later drills sort behind earlier ones."""
    return f"{PREFIX}{started.astimezone(UTC):%Y-%m-%dT%H%M%SZ}-{drill.rpartition('-')[2]}"


def duration(seconds: float | None) -> str:
    """Return a length of time as a person says it: `4 s`, `12 min 5 s`, `3 h 20 min`, `12 d 4 h`."""
    if seconds is None:
        return "unknown"
    whole = max(0, round(seconds))
    for size, unit, smaller, small in ((86400, "d", 3600, "h"), (3600, "h", 60, "min"), (60, "min", 1, "s")):
        if whole >= size:
            rest = whole % size // smaller
            return f"{whole // size} {unit}" + (f" {rest} {small}" if rest else "")
    return f"{whole} s" if whole or not seconds else f"{seconds:.1f} s"


def verdict(report: Report) -> str:
    """Return the outcome in one sentence."""
    if report.error:
        return f"NOT GOOD: {report.error}"
    if report.data == "not proven":
        return "NOT GOOD: the data was not compared"
    if report.data == "failed":
        count = len(report.differences or ())
        return f"NOT GOOD: the restored data differs from the manifest in {count} points"
    if report.application == "failed":
        return f"NOT GOOD: the data is whole, but {report.application_note}"
    if report.application == "not proven":
        return f"good for the data; the application is not proven: {report.application_note}"
    return f"good: the data is whole, and {report.application_note}"


def markdown(report: Report) -> str:
    """Return the page."""
    lines = [
        f"# Drill of {report.stack}, {report.started:%Y-%m-%d %H:%M} UTC",
        "",
        f"**{_cell(verdict(report))}.**",
        "",
        f"Checkpoint `{report.checkpoint}` of {report.taken:%Y-%m-%d %H:%M} UTC"
        + (f", release {report.release}" if report.release else "")
        + f", restored beside the running system as drill `{report.drill}`.",
        "",
        "| | |",
        "|---|---|",
        f"| Time to recover (RTO) | {_rto(report)} |",
        f"| Data lost by this checkpoint (RPO) | {duration(report.loss.checkpoint)}, its age |",
        f"| Last backup of the plan | {_backups(report.loss)} |",
    ]
    if report.loss.point_in_time is not None:
        lines.append(f"| Database, to a point in time | lost: {duration(report.loss.point_in_time)} |")
    lines += _databases(report)
    if report.differences:
        lines += ["", "## Differences", ""]
        lines += [f"- {_cell(text)}" for text in report.differences[:NAMED]]
        if (more := len(report.differences) - NAMED) > 0:
            lines.append(f"- and {more} more, which the JSON report has")
    if report.parts:
        lines += ["", "## Times", "", "| part | began after | took |", "|---|---|---|"]
        lines += [
            f"| {_cell(part.name)}{' (not in a restore)' if part.waits_only_here else ''} | "
            f"{duration(part.began)} | {duration(part.took)} |"
            for part in report.parts
        ]
    closing = [_cell(note) for note in report.notes]
    if report.kept:
        closing.append("What the drill made was kept, and is billed until it is removed.")
    closing += [f"Not removed: {_cell(text)}" for text in report.not_removed]
    if closing:
        lines += ["", "## Notes", "", *(f"- {text}" for text in closing)]
    return "\n".join(lines) + "\n"


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")


def _rto(report: Report) -> str:
    if report.rto is None:
        return "not measured: the drill did not come that far"
    until = "until a login" if report.application == "proven" else "until the data was there"
    target = ""
    if report.target_hours is not None and report.application == "proven":
        kept = "kept" if report.rto <= report.target_hours * 3600 else "MISSED"
        target = f"; the service sheet's {report.target_hours:g} h are {kept}"
    return f"{duration(report.rto)} {until}{target}"


def _backups(loss: Loss) -> str:
    def one(what: str, seconds: float | None) -> str:
        return f"{what} {'none' if seconds is None else duration(seconds) + ' old'}"

    return f"{one('database', loss.database_backup)}, {one('file store', loss.files_backup)}"


def _databases(report: Report) -> list[str]:
    if not report.databases:
        return []
    lines = [
        "",
        "## What was compared",
        "",
        "| database | rows | modules | files of attachments | file store | login |",
        "|---|---|---|---|---|---|",
    ]
    return lines + [
        f"| `{_cell(one.name)}` | {one.rows:,} in {one.tables} tables | {one.modules} | "
        f"{one.attachments:,}, each read | {one.files:,} files of {one.file_bytes:,} bytes | "
        f"{one.login or 'not tried'} |"
        for one in report.databases
    ]


@dataclass(frozen=True, kw_only=True)
class Past:
    """What is asked of an earlier drill's document."""

    drill: str
    checkpoint: str
    ok: bool
    started: datetime
    finished: datetime
    data: str = ""
    application: str = ""
    rto: float | None = None
    rpo: float | None = None
    error: str | None = None
    differences: int = 0

    def age(self, now: datetime) -> float:
        """Seconds since it ended."""
        return max(0.0, (now - self.finished).total_seconds())


def read(document: Mapping[str, Any]) -> Past | None:
    """Return the drill of a document; None where it is none, as one of a later format."""
    try:
        return Past(
            drill=str(document["drill"]),
            checkpoint=str(document["checkpoint"]),
            ok=document["ok"] is True,
            started=_moment(document["started"]),
            finished=_moment(document["finished"]),
            data=str(document.get("data", "")),
            application=str(document.get("application", "")),
            rto=_number(document.get("rto")),
            rpo=_number((document.get("loss") or {}).get("checkpoint")),
            error=document.get("error"),
            differences=len(document.get("differences") or ()),
        )
    except (KeyError, TypeError, ValueError, AttributeError):
        return None


def _moment(text: object) -> datetime:
    moment = datetime.fromisoformat(str(text))
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def _number(value: object) -> float | None:
    return float(value) if isinstance(value, int | float) else None


def last_good(drills: Iterable[Past]) -> Past | None:
    """Return the good drill that ended last."""
    return max((drill for drill in drills if drill.ok), key=lambda drill: drill.finished, default=None)


def days_since_good(drills: Sequence[Past], now: datetime, *, since: datetime | None) -> float | None:
    """Return how many days ago the last good drill ended.

    Without one the days `since` the stack can have had one count: an alarm must come for a stack that was
    never drilled. None where not even that is known.
    """
    good = last_good(drills)
    if good is not None:
        return good.age(now) / DAY
    if since is None:
        return None
    return max(0.0, (now - since).total_seconds()) / DAY
