"""What a training system may be made from."""

from __future__ import annotations

import itertools
from datetime import UTC, datetime
from typing import Any

import pytest

from core.checkpoint import Code, Database, Manifest, RecoveryPoint, Snapshot
from core.training import banner, chosen, strangers, why_not_between, why_not_from

TAKEN = datetime(2026, 11, 28, 10, 12, tzinfo=UTC)
ENVIRONMENTS = ("production", "development", "training")
HASH = "a" * 64


def database(name: str, release: str | None = "19.0") -> Database:
    return Database(
        name=name, release=release, uuid=None, bytes=1, modules={}, rows={}, attachments=(0, 0), files=None
    )


def manifest(**changed: Any) -> Manifest:
    values: dict[str, Any] = {
        "label": "opening",
        "note": "",
        "stack": "prod",
        "environment": "production",
        "offer": "hosted",
        "taken": TAKEN,
        "past": False,
        "completed": TAKEN,
        "by": "anna@desk",
        "snapshot": Snapshot(
            identifier="s", arn="arn:aws:rds:s", region="eu-west-1", engine_version="17.6", storage_gb=20
        ),
        "recovery_point": RecoveryPoint(
            arn="arn:r", vault="v", file_system_id="fs-1", path="/odoo", created=TAKEN, expires=None, bytes=1
        ),
        "databases": (database("openerp"), database("openerp_test", None)),
        "code": Code(
            release="19.0",
            package={},
            server_image=None,
            data_modules=({"name": "prices", "version": "1.0", "sha256": HASH},),
            engine_version="17",
        ),
        "administrator_version": 1,
        "seconds": {},
    }
    return Manifest(**values | changed)


def why_not(taken: Manifest, **changed: Any) -> str | None:
    values: dict[str, Any] = {
        "release": "19.0",
        "engine_version": "17",
        "databases": ["openerp", "openerp_test"],
        "data_modules": [{"name": "prices", "version": "1.0", "sha256": HASH}],
    }
    return why_not_from(taken, **values | changed)


def of_release(release: str) -> Manifest:
    taken = manifest()
    return manifest(code=taken.code.model_copy(update={"release": release}))


@pytest.mark.parametrize(("source", "target"), list(itertools.product(ENVIRONMENTS, ENVIRONMENTS)))
def test_only_a_training_system_is_refreshed_and_production_never(source: str, target: str) -> None:
    reason = why_not_between("a", source, "b", target)
    assert (reason is None) == (target == "training" and source != "training")
    if target == "production":
        assert reason is not None
        assert "b is production" in reason


def test_a_system_is_not_refreshed_from_itself() -> None:
    reason = why_not_between("training", "training", "training", "training")
    assert reason is not None
    assert "cannot be made from itself" in reason


def test_a_checkpoint_that_fits_fits() -> None:
    assert why_not(manifest()) is None
    assert (
        why_not(manifest(), data_modules=[{"name": "prices", "sha256": HASH}, {"name": "x", "sha256": "y"}])
        is None
    )


@pytest.mark.parametrize(
    ("had", "wanted", "fits"),
    [
        *(("19.0", "19.0", True), ("18.0", "19.0", False), ("19.0", "18.0", False)),
        *(("6.0.3", "6.0.4", True), ("6.0.4", "6.0.3", False), ("6.0", "6.1", True)),
    ],
)
def test_a_release_fits_when_an_update_leads_to_it(had: str, wanted: str, fits: bool) -> None:
    reason = why_not(of_release(had), release=wanted)
    assert (reason is None) == fits
    if reason:
        assert f'write `openerp:release: "{had}"` first' in reason


def test_a_database_that_the_checkpoint_does_not_have_is_named() -> None:
    reason = why_not(manifest(), databases=["openerp", "openerp_test", "acme"])
    assert reason is not None
    assert "has no database acme; it has openerp, openerp_test" in reason


def test_a_working_database_without_an_odoo_does_not_fit() -> None:
    assert "has no Odoo" in (
        why_not(manifest(databases=(database("openerp", None), database("openerp_test")))) or ""
    )


@pytest.mark.parametrize("modules", [[], [{"name": "prices", "sha256": "b" * 64}]])
def test_data_modules_of_the_source_are_needed_here_with_the_same_hash(modules: list[dict[str, str]]) -> None:
    assert f"the data module prices with the hash {HASH}" in (why_not(manifest(), data_modules=modules) or "")


@pytest.mark.parametrize(("version", "fits"), [("17", True), ("17.4", True), ("16", False), ("18.1", False)])
def test_a_database_server_of_the_same_major_version_is_needed(version: str, fits: bool) -> None:
    assert (why_not(manifest(), engine_version=version) is None) == fits


CHECKPOINTS = {label: TAKEN.replace(day=day) for label, day in (("b", 2), ("c", 3), ("a", 1))}


@pytest.mark.parametrize(
    ("proven", "wanted", "label", "told"),
    [
        *(({"a", "b"}, None, "b", False), (set(), None, "c", True), ({"a"}, "newest", "c", False)),
        *(({"a"}, "b", "b", False), ({"gone"}, None, "c", True)),
    ],
)
def test_the_newest_proven_checkpoint_is_chosen_unless_a_person_says_which(
    proven: set[str], wanted: str | None, label: str, told: bool
) -> None:
    found, note = chosen(CHECKPOINTS, proven, wanted)
    assert found == label
    assert bool(note) == told


def test_where_there_is_no_checkpoint_none_is_chosen() -> None:
    assert chosen({}, {"a"}, None) == (None, "")


def test_databases_that_came_along_are_known() -> None:
    there = ["openerp", "openerp_test", "postgres", "rdsadmin", "acme", "looking_back"]
    assert strangers(there, ["openerp", "openerp_test"]) == ["acme", "looking_back"]


def test_the_banner_says_what_the_system_is() -> None:
    said = banner("training", "prod", "opening", TAKEN)
    assert (
        said == "TRAINING: training, a copy of prod of 2026-11-28 (checkpoint opening). Nothing here is real."
    )
