"""The manifest of a checkpoint: what it claims, and what differs from it."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core import checkpoint
from core.checkpoint import (
    NONE,
    Broken,
    Code,
    Database,
    Files,
    Found,
    FoundFiles,
    Manifest,
    ManifestError,
    RecoveryPoint,
    Snapshot,
    choose_files,
    differences,
    files_between,
    read,
    span,
)

NOON = datetime(2026, 11, 28, 12, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
COUNTS = st.integers(0, 10**6)


def files(**changed: Any) -> Files:
    values: dict[str, Any] = {
        "count": (3, 4),
        "bytes": (30, 40),
        "folders": {"aa": "1", "bb": "2"},
        "moving": ("cc",),
        "missing": Broken(count=1, names=("aa/gone",)),
        "damaged": Broken(count=1, names=("bb/bad",)),
    }
    return Files(**values | changed)


def database(**changed: Any) -> Database:
    values: dict[str, Any] = {
        "name": "openerp",
        "release": "19.0",
        "uuid": "u",
        "bytes": 100,
        "modules": {"base": "19.0.1.3"},
        "rows": {'public."Odd ""name"""': (5, 5), "public.bus_bus": (10, 20)},
        "attachments": (2, 3),
        "files": files(),
    }
    return Database(**values | changed)


def manifest(**changed: Any) -> Manifest:
    values: dict[str, Any] = {
        "label": "opening",
        "note": "",
        "stack": "prod",
        "environment": "production",
        "offer": "hosted",
        "taken": NOON,
        "past": False,
        "completed": NOON + 9 * MINUTE,
        "by": "anna@host",
        "snapshot": Snapshot(
            identifier="s", arn="arn", region="eu-west-1", engine_version="16.4", storage_gb=20
        ),
        "recovery_point": RecoveryPoint(
            arn="point",
            vault="vault",
            file_system_id="fs-1",
            path="/odoo",
            created=NOON + MINUTE,
            expires=None,
            bytes=99,
        ),
        "databases": (database(),),
        "code": Code(
            release="19.0",
            package={"source": "debian"},
            server_image=None,
            data_modules=(),
            engine_version="16",
        ),
        "administrator_version": 1,
        "seconds": {"snapshot": 1.5},
    }
    return Manifest(**values | changed)


def found(**changed: Any) -> Found:
    values: dict[str, Any] = {
        "rows": {'public."Odd ""name"""': 5, "public.bus_bus": 15},
        "modules": {"base": "19.0.1.3"},
        "uuid": "u",
        "attachments": 2,
        "files": FoundFiles(
            folders={"aa": "1", "bb": "2", "cc": "whatever"},
            missing=Broken(count=1, names=("aa/gone",)),
            damaged=Broken(count=1, names=("bb/bad",)),
        ),
    }
    return Found(**values | changed)


def of(**changed: Any) -> list[str]:
    return differences(manifest(), {"openerp": found(**changed)})


def of_files(**changed: Any) -> list[str]:
    values: dict[str, Any] = {"folders": {"aa": "1", "bb": "2"}, "missing": NONE, "damaged": NONE}
    return of(files=FoundFiles(**values | changed))


# The document


def test_a_manifest_is_read_as_it_was_written() -> None:
    assert read(manifest().text(), "opening") == manifest()
    assert manifest().database_bytes == 100
    assert manifest().release == "19.0"


@given(st.text(max_size=20), st.dictionaries(st.text(max_size=9), st.tuples(COUNTS, COUNTS), max_size=3))
def test_every_note_and_every_table_comes_back(note: str, rows: dict[str, tuple[int, int]]) -> None:
    ordered = {name: (min(pair), max(pair)) for name, pair in rows.items()}
    made = manifest(note=note, databases=(database(rows=ordered),))
    assert read(made.text().encode(), "opening") == made


@given(st.data())
def test_a_manifest_that_is_cut_or_changed_anywhere_is_refused(data: st.DataObject) -> None:
    text = manifest().text()
    place = data.draw(st.integers(0, len(text.rstrip()) - 1))
    changed = data.draw(
        st.sampled_from([text[:place], text[:place] + chr(ord(text[place]) ^ 1) + text[place + 1 :]])
    )
    try:
        if json.loads(changed) == json.loads(text):
            return  # a space became another
    except ValueError:
        pass
    with pytest.raises(ManifestError):
        read(changed, "opening")


def test_a_manifest_under_another_name_is_refused() -> None:
    with pytest.raises(ManifestError, match="is that of opening"):
        read(manifest().text(), "closing")


@pytest.mark.parametrize(("text", "said"), [("{", "no JSON"), ("[]", "not one of"), ('{"format": 2}', "2")])
def test_what_is_no_manifest_is_said_to_be_none(text: str, said: str) -> None:
    with pytest.raises(ManifestError, match=said):
        read(text, "opening")


def test_files_older_than_the_database_are_no_checkpoint() -> None:
    point = manifest().recovery_point.model_copy(update={"created": NOON - MINUTE})
    with pytest.raises(ValueError, match="older than the database"):
        manifest(recovery_point=point)
    document = json.loads(manifest().text())
    document["recovery_point"]["created"] = (NOON - MINUTE).isoformat()
    del document["sha256"]
    from core.sealed import sealed

    with pytest.raises(ManifestError, match="older than the database"):
        read(json.dumps(sealed(document)), "opening")


# Ranges


@given(st.lists(st.tuples(st.booleans(), st.integers(0, 50)), max_size=20), COUNTS, st.data())
def test_a_range_holds_every_moment_between_two_counts(
    changes: list[tuple[bool, int]], start: int, data: st.DataObject
) -> None:
    """Whatever came and went, and whenever the snapshot was: its count is in the range."""
    moments, inserted, deleted = [start], 0, 0
    for adds, number in changes:
        number = number if adds else min(number, moments[-1])
        moments.append(moments[-1] + (number if adds else -number))
        inserted, deleted = inserted + (number if adds else 0), deleted + (0 if adds else number)
    low, high = span(moments[0], moments[-1], inserted, deleted)
    assert all(low <= moment <= high for moment in moments)
    if not inserted and not deleted:
        assert low == high


@given(COUNTS, COUNTS, COUNTS, COUNTS)
def test_a_range_is_in_order(before: int, after: int, inserted: int, deleted: int) -> None:
    low, high = span(before, after, inserted, deleted)
    assert 0 <= low <= min(before, after) <= max(before, after) <= high


def test_a_folder_is_claimed_only_where_nothing_changed_meanwhile() -> None:
    before = {"count": 5, "bytes": 50, "folders": {"aa": "1", "bb": "2", "dd": "4"}}
    after = {"count": 6, "bytes": 45, "folders": {"aa": "1", "bb": "9", "cc": "3"}}
    made = files_between(before, after, missing=NONE, damaged=None)
    assert made.folders == {"aa": "1"}
    assert made.moving == ("bb", "cc", "dd")
    assert (made.count, made.bytes) == ((5, 6), (45, 50))


# Differences


def test_what_is_as_it_was_differs_in_nothing() -> None:
    assert of() == []


@given(st.integers(0, 30))
def test_rows_within_the_range_are_right_and_others_are_not(rows: int) -> None:
    said = of(rows={'public."Odd ""name"""': 5, "public.bus_bus": rows})
    if 10 <= rows <= 20:
        assert said == []
    else:
        assert said == [f"openerp: table public.bus_bus has {rows} rows, in the checkpoint 10 to 20"]


def test_each_difference_is_a_sentence_that_names_the_database() -> None:
    assert differences(manifest(), {}) == ["openerp: the database is not there"]
    assert of(rows={"public.bus_bus": 10}) == ['openerp: table public."Odd ""name""" is not there']
    assert of(modules={"base": "19.0.1.4", "crm": "1"}) == ["openerp: modules that differ: base, crm"]
    assert of(uuid="v") == ["openerp: database.uuid is v, in the checkpoint u"]
    assert of(attachments=4) == ["openerp: attachments name 4 files, in the checkpoint 2 to 3"]


def test_nothing_is_claimed_of_modules_that_were_installed_meanwhile() -> None:
    changing = manifest().databases[0].model_copy(update={"changing": ("crm",)})
    claimed = manifest(databases=(changing,))
    for modules in ({"base": "19.0.1.3"}, {"base": "19.0.1.3", "crm": "1"}):
        assert differences(claimed, {"openerp": found(modules=modules)}) == []
    broken = {"openerp": found(modules={"base": "19.0.1.4", "crm": "1"})}
    assert differences(claimed, broken) == ["openerp: modules that differ: base"]


def test_what_was_not_looked_at_is_not_compared() -> None:
    assert differences(manifest(), {"openerp": Found()}) == []
    unseen = manifest(databases=(database(files=None),))
    assert (
        differences(unseen, {"openerp": found(files=FoundFiles(folders={}, missing=NONE, damaged=NONE))})
        == []
    )


def test_files_that_were_missing_or_damaged_before_are_no_difference() -> None:
    assert of_files() == []
    said = of_files(missing=Broken(count=2, names=("aa/gone", "aa/new")))
    assert said == ["openerp: 1 attachments are without their stored file: aa/new"]
    (said_damaged,) = of_files(damaged=Broken(count=1, names=("aa/rotten",)))
    assert said_damaged == ("openerp: 1 stored files are damaged (their SHA-1 is not their name): aa/rotten")


def test_damage_that_nobody_looked_for_before_is_said_to_be_that() -> None:
    unread = manifest(databases=(database(files=files(damaged=None)),))
    now = FoundFiles(folders=None, missing=NONE, damaged=Broken(count=1, names=("aa/rotten",)))
    (said,) = differences(unread, {"openerp": Found(files=now)})
    assert said.endswith("(whether it was so when the checkpoint was taken is not known)")


@given(st.integers(0, 5000), st.integers(0, 5000))
def test_more_broken_files_than_can_be_named_are_told_by_their_number(then: int, now: int) -> None:
    def broken(count: int) -> Broken:
        return Broken(count=count, names=tuple(f"aa/{n:05}" for n in range(min(count, checkpoint.NAMED))))

    made = manifest(databases=(database(files=files(missing=broken(then))),))
    said = differences(
        made, {"openerp": Found(files=FoundFiles(folders=None, missing=broken(now), damaged=NONE))}
    )
    assert bool(said) == (now > then)


def test_a_steady_folder_that_holds_something_else_is_a_difference_and_a_moving_one_is_not() -> None:
    assert of_files(folders={"aa": "1", "bb": "2", "cc": "9"}) == []
    assert of_files(folders={"aa": "1"}) == [
        "openerp: folders of the file store that hold something else: bb"
    ]
    assert "dd" in of_files(folders={"aa": "1", "bb": "2", "dd": "5"})[0]
    assert of_files(folders=None) == []


# Labels and moments


@given(st.from_regex(r"[a-z0-9]+(-[a-z0-9]+)*", fullmatch=True).filter(lambda label: len(label) <= 63))
def test_the_label_before_a_return_is_a_label(label: str) -> None:
    assert checkpoint.check_label(checkpoint.label_before(label, NOON)).startswith("before-")


@given(st.datetimes(min_value=datetime(2000, 1, 1), timezones=st.just(UTC)))
def test_the_label_of_a_past_moment_is_a_label(moment: datetime) -> None:
    assert checkpoint.check_label(checkpoint.label_past(moment)).startswith("at-")


@pytest.mark.parametrize("label", ["", "Opening", "a--b", "-a", "a_b", "final", "x" * 64, "../a"])
def test_what_is_no_label_is_refused(label: str) -> None:
    with pytest.raises(ManifestError):
        checkpoint.check_label(label)


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("2026-11-28T10:12:00", datetime(2026, 11, 28, 10, 12, tzinfo=UTC)),
        ("2026-11-28 10:12", datetime(2026, 11, 28, 10, 12, tzinfo=UTC)),
        ("2026-11-28T10:12:00Z", datetime(2026, 11, 28, 10, 12, tzinfo=UTC)),
        ("2026-11-28T10:12:00+01:00", datetime(2026, 11, 28, 9, 12, tzinfo=UTC)),
        ("10 minutes ago", NOON - 10 * MINUTE),
        ("1 day ago", NOON - timedelta(days=1)),
    ],
)
def test_a_moment_is_read_as_a_person_writes_it(text: str, moment: datetime) -> None:
    assert checkpoint.moment(text, NOON) == moment


@pytest.mark.parametrize("text", ["", "yesterday", "2026-13-01", "2026-11-28T13:00:00", "99999 days ago ago"])
def test_what_is_no_past_moment_is_refused(text: str) -> None:
    with pytest.raises(ManifestError, match=r"is no time|has not come yet"):
        checkpoint.moment(text, NOON)


@given(st.text(max_size=30))
def test_whatever_is_written_is_a_past_moment_or_refused(text: str) -> None:
    try:
        found = checkpoint.moment(text, NOON)
    except ManifestError as refused:
        found = NOON - MINUTE
        assert str(refused)
    assert found < NOON


@dataclass(frozen=True)
class Point:
    created: datetime


@given(st.lists(st.integers(-100, 100), max_size=20), st.integers(-100, 100))
def test_the_files_of_a_pair_are_the_first_at_or_after_the_database(times: list[int], at: int) -> None:
    points = [Point(NOON + minutes * MINUTE) for minutes in times]
    chosen = choose_files(NOON + at * MINUTE, points)
    later = sorted(minutes for minutes in times if minutes >= at)
    assert (chosen and chosen.created) == (NOON + later[0] * MINUTE if later else None)


def test_a_pair_says_why_it_is_consistent() -> None:
    said = checkpoint.gap(NOON.astimezone(timezone(timedelta(hours=1))), NOON + timedelta(hours=15))
    assert said.startswith(
        "database of 2026-11-28 12:00:00 UTC, files of 2026-11-29 03:00:00 UTC, 15 h later"
    )
