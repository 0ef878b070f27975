"""What a trial of a data module proved: imported once, imported again, and nothing changed the second time.

The trial ran in a scratch copy of development's working database. Its evidence is a document in the
operations bucket, also of a trial that failed; a module that is proven is an entry of the ledger besides.
"""

from __future__ import annotations

import itertools
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Annotated, Any, Final, Literal

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, ValidationError, model_validator

from core import sealed
from core.dump_manifest import some

PREFIX: Final = "evidence/modules/"
"""Where the documents are in the operations bucket."""
BOOKKEEPING: Final = frozenset(
    {
        "bus_bus",
        "ir_cron",
        "ir_cron_trigger",
        "ir_logging",
        "ir_module_module",
        "ir_module_module_dependency",
        "ir_module_module_exclusion",
    }
)
"""Tables that Odoo writes to at each import: what it knows of modules, jobs to wake, messages to browsers."""
SIGNALS: Final = "orm_signaling_"
"""Beginning of tables by which Odoo's processes tell each other to forget what they cached."""
ERRORS: Final = 5
"""So many of a log's errors are told."""

Count = Annotated[int, Field(ge=0)]


class EvidenceError(ValueError):
    """A document cannot be used; the message says why."""


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Content(_Frozen):
    """What a table held: rows, and a digest of them without who wrote them last, and when."""

    rows: Count
    digest: str


class Import(_Frozen):
    """One import, by Odoo's own command."""

    seconds: float
    status: int
    """Exit status; 0 also where Odoo took no notice of the module."""
    errors: tuple[str, ...]
    """What its log tells as an error."""
    failure: str
    """The exception that ended it, in one line; empty where none did."""


class Evidence(_Frozen):
    """The document of one trial."""

    format: Literal[1] = 1
    result: Literal["proven", "failed"]
    reason: str
    """Why it failed; empty where it is proven."""
    name: str
    version: str
    files_sha256: str
    """Hash that the module is known by."""
    release: str
    stack: str
    by: str
    verified: AwareDatetime
    updated_from: str | None
    """Version that was installed in the working database, so that the first import was an update of it."""
    created: dict[str, Count]
    """Records that the module owns, by model."""
    owned: str
    """Digest of their external ids and models."""
    tables: dict[str, Content]
    """What the first import wrote to, and what was in it then."""
    changed: tuple[str, ...]
    """What differed after the second import, one sentence each."""
    imports: tuple[Import, ...]
    copy_seconds: float
    """How long the scratch copy took, in which people's new connections waited."""
    log: tuple[str, ...]
    """The last lines of the last import's log."""

    @model_validator(mode="after")
    def _proof(self) -> Evidence:
        proven = self.result == "proven"
        if proven and (self.reason or self.changed or len(self.imports) != 2):
            raise ValueError("what is proven was imported twice, and changed nothing the second time")
        if not proven and not self.reason:
            raise ValueError("a trial that failed says why")
        return self

    def text(self) -> str:
        """Return the document."""
        return sealed.text(self)

    @property
    def key(self) -> str:
        """Where it is in the operations bucket; no two are at the same place."""
        return f"{prefix(self.name)}{self.files_sha256}/{self.verified:%Y%m%d-%H%M%S}.json"

    def entry(self) -> dict[str, Any]:
        """Return the ledger's entry, as the settings hold it."""
        return {
            "name": self.name,
            "version": self.version,
            "sha256": self.files_sha256,
            "release": self.release,
            "created": dict(sorted(self.created.items())),
            "verified": f"{self.verified:%Y-%m-%dT%H:%M:%SZ}",
        }


def prefix(name: str) -> str:
    """Return where the documents of a module are."""
    return f"{PREFIX}{name}/"


def read(text: str | bytes, key: str) -> Evidence:
    """Return the document at `key`. Raises EvidenceError where it is not whole and unaltered."""
    try:
        content = json.loads(text)
    except ValueError as error:
        raise EvidenceError(f"{key} is not whole: it is no JSON") from error
    if not isinstance(content, dict) or content.get("format") != 1:
        raise EvidenceError(f"{key} is no evidence of a data module that this version reads")
    if not sealed.is_whole(content):
        raise EvidenceError(f"{key} was altered: its hash is not that of its content")
    try:
        return Evidence.model_validate(content)
    except ValidationError as error:
        raise EvidenceError(
            f"{key} is no evidence of a data module: {sealed.first_problem(error)}"
        ) from error


def ledger_with(ledger: Iterable[Mapping[str, Any]], entry: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return a ledger, as the settings hold it, with an entry: in place of an older one of the same proof."""
    same = ("name", "sha256", "release")
    kept = [dict(one) for one in ledger if any(one.get(key) != entry[key] for key in same)]
    return [*kept, dict(entry)]


def is_bookkeeping(table: str) -> bool:
    """Return whether Odoo writes to this table (`public.ir_cron`) at every import, whatever it imports."""
    bare = table.rpartition(".")[2].strip('"')
    return bare in BOOKKEEPING or bare.startswith(SIGNALS)


def changes(before: Mapping[str, Content], after: Mapping[str, Content], touched: Iterable[str]) -> list[str]:
    """Return what the second import changed, one sentence a table.

    `before` and `after`: what the tables held that the first import had written to. `touched`: tables to
    which the second one wrote; one that the first had left alone is a change in itself.
    """
    sentences = []
    for table, then in sorted(before.items()):
        now = after.get(table, Content(rows=0, digest=""))
        name = table.removeprefix("public.")
        if now.rows != then.rows:
            kind = "more" if now.rows > then.rows else "fewer"
            sentences.append(
                f"{name}: {abs(now.rows - then.rows):,} rows {kind} ({then.rows:,}, then {now.rows:,})"
            )
        elif now.digest != then.digest:
            sentences.append(f"{name}: other content in the same {now.rows:,} rows")
    new = sorted(table for table in set(touched) - set(before) if not is_bookkeeping(table))
    return [
        *sentences,
        *(f"{table.removeprefix('public.')}: written by the second import alone" for table in new),
    ]


def why_not(imports: Sequence[Import], state: str | None, version: str | None, wanted: str) -> str | None:
    """Return why the last of the imports did not bring the module in as it should; None where it did.

    `state` and `version`: of the module in the database; None where the database does not know it.
    `wanted`: the version as Odoo writes it. Odoo ends with status 0 for a module that it does not find, and
    tells some errors only in its log.
    """
    last = imports[-1]
    if last.failure or last.status != 0:
        return last.failure or "; ".join(last.errors) or f"Odoo ended with status {last.status}"
    if last.errors:
        return "; ".join(last.errors)
    if state is None:
        return "Odoo did not find it on its addons path"
    if state != "installed":
        return f"Odoo ended without an error, and left it {state}"
    if version != wanted:
        return f"version {version} is installed, and not {wanted}"
    return None


def uncounted(before: Mapping[str, int], wanted: Mapping[str, int]) -> str | None:
    """Return how the records that a module owns differ from what was proven; None where they do not."""
    differ = sorted(model for model in {*before, *wanted} if before.get(model, 0) != wanted.get(model, 0))
    if not differ:
        return None
    said = [f"{model} {before.get(model, 0):,} instead of {wanted.get(model, 0):,}" for model in differ]
    return f"it owns other records than were proven: {some(said)}"


# Odoo's log


def failure_in(log: Sequence[str]) -> str:
    """Return the exception that ended Odoo, in one line: Odoo's own message, without its traceback.

    What explains where it came from (PostgreSQL's CONTEXT, a view's error context) is left out; the file that
    was read is told where the message does not.
    """
    start = max((number for number, line in enumerate(log) if line.startswith("Traceback ")), default=None)
    if start is None:
        return ""
    message: list[str] = []
    for line in log[start + 1 :]:
        if _is_record(line):
            break
        if message or (line[:1].strip() and _names_an_exception(line)):
            message.append(line.strip())
    told = list(itertools.takewhile(lambda line: not line.startswith(CONTEXTS), message)) or [""]
    name, _, said = told[0].partition(": ")
    if said and name.rpartition(".")[2] in PLAIN:
        told[0] = said
    text = " ".join(dict.fromkeys(filter(None, told)))
    file = _file_read(log[:start])
    if file and file.rpartition("/")[2] not in text:
        text = f"{file}: {text}"
    return text if len(text) <= LONGEST else f"{text[:LONGEST]}…"


CONTEXTS: Final = ("CONTEXT:", "View error context:", "LINE ", "QUERY:", "[View name:")
PLAIN: Final = frozenset({"Exception", "UserError", "ValidationError", "ParseError", "ValueError"})
"""Exceptions whose name tells an operator nothing that the message does not."""
LONGEST: Final = 1000
"""Characters of a message."""
SQL: Final = "odoo.sql_db:"
"""What it tells as an error is either tried again in another way, or followed by an exception."""
FOLLOWED: Final = ("Failed to load registry", "Failed to initialize database")
LOADING: Final = "odoo.modules.loading:"


def errors_in(log: Iterable[str]) -> tuple[str, ...]:
    """Return what a log tells as an error, the first few; without its end in an exception."""
    found = [
        said[:LONGEST]
        for level, logger, said in filter(None, map(_record, log))
        if level in ("ERROR", "CRITICAL") and logger != SQL and not said.startswith(FOLLOWED)
    ]
    more = len(found) - ERRORS
    return (*found[:ERRORS], f"and {more} errors more") if more > 0 else tuple(found)


def line_named(message: str, content: str) -> int | None:
    """Return the number of the one line of a file that holds a value which the message quotes."""
    lines = content.splitlines()
    for value in re.findall(r"'([^']{2,200})'", message):
        found = [number for number, line in enumerate(lines, 1) if value in line]
        if len(found) == 1 and found[0] > 1:  # the first line holds the names of the columns
            return found[0]
    return None


def _file_read(log: Sequence[str]) -> str:
    """Return the file that was read last, as `data/res.partner.csv`."""
    for level, logger, said in filter(None, map(_record, reversed(log))):
        if level == "INFO" and logger == LOADING and said.startswith("loading ") and "/" in said:
            return said.removeprefix("loading ").partition("/")[2].strip()
    return ""


def _record(line: str) -> tuple[str, str, str] | None:
    """Return level, logger and message of the line that begins a record; None for any other line."""
    parts = line.split(" ", 6)
    if len(parts) < 7 or not _is_record(line):
        return None
    return parts[3], parts[5], parts[6].strip()


def _is_record(line: str) -> bool:
    """Return whether a line begins a record of Odoo's log: `2026-11-28 21:21:59,979 10379 ERROR …`."""
    return RECORD.match(line) is not None


RECORD: Final = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2} [0-9]{2}:[0-9]{2}:[0-9]{2},[0-9]{3} [0-9]+ [A-Z]+ ")


def _names_an_exception(line: str) -> bool:
    name = line.partition(":")[0].strip()
    return bool(name) and all(part.isidentifier() for part in name.split("."))
