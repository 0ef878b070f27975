"""What a drill's report says, as data and as a page."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.drill_report import (
    Database,
    Loss,
    Part,
    Past,
    Report,
    days_since_good,
    duration,
    key,
    last_good,
    markdown,
    read,
    verdict,
)

START = datetime(2027, 1, 31, 2, 0, tzinfo=UTC)
GOOD = Report(
    stack="prod",
    drill="20270131t020000-1a2b",
    checkpoint="january",
    taken=START - timedelta(hours=6),
    release="19.0",
    started=START,
    finished=START + timedelta(minutes=31),
    parts=(
        Part(name="database server restored", began=0, took=600),
        Part(name="files restored", began=0, took=900),
        Part(name="compared", began=1200, took=300, waits_only_here=True),
        Part(name="first login", began=1500, took=60),
    ),
    recovered=1560,
    loss=Loss(checkpoint=21600, database_backup=18000, files_backup=18060, point_in_time=240),
    databases=(
        Database(
            name="openerp",
            tables=20,
            rows=1234567,
            modules=61,
            attachments=1842,
            files=1850,
            file_bytes=47511860,
            login="in",
        ),
    ),
    differences=(),
    application="proven",
    application_note="the administrator logged in to openerp",
    target_hours=2,
)


def test_a_good_drill_says_so_and_what_was_measured() -> None:
    assert GOOD.ok
    page = markdown(GOOD)
    assert "**good: the data is whole, and the administrator logged in to openerp.**" in page
    # 26 minutes until the login, of which 5 were spent on comparing.
    assert GOOD.rto == 1260
    assert "| Time to recover (RTO) | 21 min until a login; the service sheet's 2 h are kept |" in page
    assert "| Data lost by this checkpoint (RPO) | 6 h, its age |" in page
    assert "| Last backup of the plan | database 5 h old, file store 5 h 1 min old |" in page
    assert "| compared (not in a restore) | 20 min | 5 min |" in page
    assert "| 1,842, each read | 1,850 files of 47,511,860 bytes | in |" in page


def test_a_missed_target_is_said() -> None:
    assert "the service sheet's 0.25 h are MISSED" in markdown(replace(GOOD, target_hours=0.25))


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"error": "the snapshot is gone"}, "NOT GOOD: the snapshot is gone"),
        ({"differences": None}, "NOT GOOD: the data was not compared"),
        (
            {"differences": ("one", "two")},
            "NOT GOOD: the restored data differs from the manifest in 2 points",
        ),
        ({"application": "failed", "application_note": "nobody logs in"}, "NOT GOOD: the data is whole, but"),
    ],
)
def test_what_is_not_proven_is_not_good(change: dict[str, Any], said: str) -> None:
    report = replace(GOOD, **change)
    assert not report.ok
    assert verdict(report).startswith(said)
    assert f"**{verdict(report)}.**" in markdown(report)


def test_without_servers_the_data_is_proven_and_the_application_is_said_not_to_be() -> None:
    report = replace(
        GOOD, application="not proven", application_note="not started: no servers here", recovered=900
    )
    assert report.ok
    assert "the application is not proven: not started: no servers here" in verdict(report)
    assert "until the data was there" in markdown(report)
    assert "service sheet" not in markdown(report)


def test_differences_are_listed_and_a_flood_of_them_is_counted() -> None:
    report = replace(GOOD, differences=tuple(f"table t{number}: 1 row" for number in range(50)))
    page = markdown(report)
    assert "- table t19: 1 row\n- and 30 more, which the JSON report has\n" in page
    assert len(report.document()["differences"]) == 50


def test_text_from_elsewhere_cannot_break_the_page() -> None:
    page = markdown(replace(GOOD, error="a | b\n\n# c", databases=(replace(GOOD.databases[0], name="x|y"),)))
    assert "a \\| b # c" in page
    assert "| `x\\|y` |" in page


def test_what_was_kept_or_not_removed_is_said() -> None:
    page = markdown(replace(GOOD, kept=True, not_removed=("file system fs-1: in use",)))
    assert "was kept, and is billed until it is removed" in page
    assert "Not removed: file system fs-1: in use" in page


def test_the_document_is_json_and_is_read_back() -> None:
    document = json.loads(json.dumps(GOOD.document()))
    assert {"checkpoint": "january", "ok": True, "finished": "2027-01-31T02:31:00+00:00"}.items() <= (
        document.items()
    )
    past = read(document)
    assert past is not None
    assert (past.drill, past.ok, past.rto, past.rpo) == (GOOD.drill, True, 1260, 21600)
    assert past.finished == GOOD.finished


@pytest.mark.parametrize(
    "document",
    [{}, {"ok": True}, {**GOOD.document(), "finished": "yesterday"}, {**GOOD.document(), "loss": 3}],
)
def test_a_document_that_is_no_drill_is_left_out(document: dict[str, Any]) -> None:
    assert read(document) is None


def past(ok: bool, finished: datetime) -> Past:
    return Past(drill="d", checkpoint="c", ok=ok, started=finished, finished=finished)


def test_only_good_drills_make_the_age_younger() -> None:
    drills = [
        past(True, START),
        past(False, START + timedelta(days=9)),
        past(True, START - timedelta(days=3)),
    ]
    assert last_good(drills) == drills[0]
    assert days_since_good(drills, START + timedelta(days=10, hours=12), since=None) == 10.5


def test_a_stack_that_was_never_drilled_gets_older_from_its_beginning() -> None:
    assert days_since_good([past(False, START)], START + timedelta(days=4), since=START) == 4
    assert days_since_good([], START, since=None) is None


def test_reports_sort_by_time() -> None:
    later = START + timedelta(seconds=1)
    assert key(START, "20270131t020000-1a2b") == "drills/2027-01-31T020000Z-1a2b"
    assert key(START, "20270131t020000-ffff") < key(later, "20270131t020001-0000")


@pytest.mark.parametrize(
    ("seconds", "said"),
    [
        (0, "0 s"), (0.31, "0.3 s"), (4.4, "4 s"), (60, "1 min"), (725, "12 min 5 s"), (3600, "1 h"),
        (12000, "3 h 20 min"), (90000, "1 d 1 h"), (None, "unknown"),
    ],
)  # fmt: skip
def test_durations_read_as_a_person_says_them(seconds: float | None, said: str) -> None:
    assert duration(seconds) == said


@given(st.floats(min_value=0, max_value=1e8))
def test_every_duration_is_short(seconds: float) -> None:
    assert len(duration(seconds)) <= 13
