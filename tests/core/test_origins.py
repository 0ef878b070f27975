"""What the data of a stack was made from: decided from the settings and the outputs of the last run."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core import outputs
from core.continuity import check_engine_step, check_password_versions, check_release_step, continuity
from core.origins import (
    DatabaseOrigin,
    FilesOrigin,
    database_origin,
    databases_left_out_because,
    files_origin,
)
from core.problems import SettingsError
from core.settings_model import ConfiguredSettings

UP = {
    outputs.OPERATIONS_BUCKET: "operations",
    outputs.DATABASE_INSTANCE_IDENTIFIER: "database-instance-1234567",
    outputs.REPORTING_SECRET_ARN: "arn:reporting",
    outputs.CHECKPOINT_SNAPSHOTS: {"opening": "openerp-dev-opening-1"},
    outputs.FILE_SYSTEM_ID: "fs-00000001",
}
OWN = "snapshot:openerp-dev-before-20270101"
FOREIGN = "snapshot:openerp-prod-opening-2"
SAAS = {outputs.DATABASES_BROUGHT_BY: "openerp-prod-opening-2", outputs.REPORTING_SECRET_ARN: None}


def settings_with(*, protect: bool = False, **more: Any) -> ConfiguredSettings:
    return ConfiguredSettings.model_validate(
        {
            "environment": "development",
            "release": "19.0",
            "users": {"total": 1, "simultaneous": 1},
            "access": {"domain": "erp.example.com", "certificate": "private"},
            "protect": protect,
            **more,
        }
    )


def origin(
    restore_from: str | None,
    before: Mapping[str, Any],
    *,
    protect: bool = False,
    others: Mapping[str, Any] | None = None,
) -> DatabaseOrigin:
    database = {"restoreFrom": restore_from} if restore_from else {}
    return database_origin(
        settings_with(protect=protect, database=database),
        continuity({key: value for key, value in before.items() if value is not None}),
        lambda stack: others or {},
        stack="dev",
    )


def after(found: DatabaseOrigin, before: Mapping[str, Any]) -> dict[str, Any]:
    """Return the outputs that a run with this origin leaves."""
    return {
        **before,
        **UP,
        outputs.DATABASE_RESTORED_FROM: found.snapshot,
        outputs.DATABASE_RESTORE_MARK: found.mark,
        outputs.DATABASES_BROUGHT_BY: found.databases_brought_by,
        outputs.REPORTING_SECRET_ARN: None if found.databases_brought_by else "arn:reporting",
    }


def test_a_stack_that_was_never_restored_has_no_origin() -> None:
    for before in ({}, UP):
        found = origin(None, before)
        assert (found.snapshot, found.replaces, found.databases_brought_by) == (None, False, None)


def test_another_snapshot_than_before_replaces_the_server() -> None:
    found = origin(OWN, UP)
    assert found.snapshot == "openerp-dev-before-20270101"
    assert found.replaces
    assert not found.remembered
    again = origin("opening", after(found, UP))
    assert again.snapshot == "openerp-dev-opening-1"
    assert again.replaces


def test_what_was_restored_is_remembered_with_and_without_the_setting() -> None:
    first = origin(f"{OWN}@monday", UP)
    for said in (f"{OWN}@monday", OWN, None):
        found = origin(said, after(first, UP))
        assert (found.snapshot, found.mark) == ("openerp-dev-before-20270101", "monday")
        assert found.remembered
        assert not found.replaces


def test_another_mark_restores_the_same_snapshot_again() -> None:
    before = after(origin(OWN, UP), UP)
    found = origin(f"{OWN}@tuesday", before)
    assert found.replaces
    assert (found.snapshot, found.mark) == ("openerp-dev-before-20270101", "tuesday")
    assert origin("opening@tuesday", before).snapshot == "openerp-dev-opening-1"


def test_a_first_run_from_a_snapshot_replaces_nothing() -> None:
    found = origin(FOREIGN, {})
    assert not found.replaces
    assert not found.remembered
    assert found.snapshot == "openerp-prod-opening-2"


def test_the_first_run_of_this_version_takes_what_the_settings_say_for_done() -> None:
    """The server of an older version was made from it; engine and RDS see that nothing differs."""
    older = {key: value for key, value in UP.items() if key != outputs.OPERATIONS_BUCKET}
    found = origin("opening", older)
    assert not found.replaces
    assert not found.remembered
    assert found.databases_brought_by is None


@pytest.mark.parametrize(
    "source", ["opening", OWN, "dev/opening", "snapshot:rds:database-instance-1234567-2027-01-01"]
)
def test_databases_of_the_stacks_own_snapshots_stay_in_the_program(source: str) -> None:
    found = origin(source, UP, others=UP, protect=True)
    assert found.databases_brought_by is None
    assert databases_left_out_because(settings_with(), found) is None


@pytest.mark.parametrize(
    "source",
    [FOREIGN, "prod/opening", "snapshot:openerp-development-final", "snapshot:rds:database-instance-7-1"],
)
def test_those_of_another_stacks_snapshot_leave_it_and_stay_out(source: str) -> None:
    found = origin(source, UP, others={outputs.CHECKPOINT_SNAPSHOTS: {"opening": "openerp-prod-opening-2"}})
    assert found.databases_brought_by == found.snapshot
    settings = settings_with(database={"restoreFrom": source})
    assert f"({source}) brings its own" in (databases_left_out_because(settings, found) or "")
    later = origin(None, after(found, UP))
    assert later.databases_brought_by == found.snapshot
    assert f"({found.snapshot}) brought its own" in (databases_left_out_because(settings_with(), later) or "")


def test_a_stack_that_left_its_databases_out_never_takes_them_in_by_a_restore() -> None:
    """Its own snapshots hold databases that the state does not know: making them would fail."""
    found = origin(OWN, {**UP, **SAAS})
    assert found.databases_brought_by == "openerp-dev-before-20270101"


def test_a_new_stack_from_the_last_snapshot_of_one_of_its_name_leaves_them_out() -> None:
    found = origin("snapshot:openerp-dev-final-12345678", {})
    assert found.databases_brought_by == "openerp-dev-final-12345678"


def test_a_protected_stack_is_not_made_anew_from_another_stacks_snapshot() -> None:
    with pytest.raises(SettingsError, match="snapshot of another stack") as caught:
        origin(FOREIGN, UP, protect=True)
    assert [problem.key for problem in caught.value.problems] == ["openerp:database.restoreFrom"]
    assert origin(FOREIGN, {**UP, **SAAS}, protect=True).replaces
    assert not origin(FOREIGN, {}, protect=True).replaces


def test_without_access_to_the_server_that_is_the_reason() -> None:
    settings = settings_with(database={"adminAccess": {"mode": "none"}})
    assert "adminAccess.mode" in (databases_left_out_because(settings, origin(FOREIGN, {})) or "")


def test_a_label_that_is_gone_can_be_taken_out_of_the_settings() -> None:
    with pytest.raises(SettingsError, match="it has: opening"):
        origin("closing", UP)
    with pytest.raises(SettingsError, match="or take it out: what the server was made from is remembered"):
        origin("closing", after(origin(OWN, UP), UP))


sources = st.sampled_from(
    [None, "opening", OWN, f"{OWN}@a", f"{OWN}@b", FOREIGN, "prod/opening", "prod/opening@c"]
)


@given(st.lists(sources, min_size=1, max_size=6))
def test_no_run_without_a_new_wish_replaces_a_server(wishes: list[str | None]) -> None:
    """Whatever was restored before: the same settings again, or none at all, find the server as it is."""
    before: dict[str, Any] = dict(UP)
    others = {outputs.CHECKPOINT_SNAPSHOTS: {"opening": "openerp-prod-opening-2"}}
    for wish in wishes:
        found = origin(wish, before, others=others)
        before = after(found, before)
        for same in (wish, None):
            again = origin(same, before, others=others)
            assert again.remembered
            assert not again.replaces
            assert (again.snapshot, again.mark) == (found.snapshot, found.mark)
            assert again.databases_brought_by == found.databases_brought_by


FILES = {"fileSystemId": "fs-00000002", "path": "/aws-backup-restore_2027-01-01T10-00-00-00Z/odoo"}


def files(restored: Mapping[str, str] | None, before: Mapping[str, Any]) -> FilesOrigin | None:
    file_store = {"restored": dict(restored)} if restored else {}
    return files_origin(settings_with(fileStore=file_store), continuity(before), stack="dev")


def test_a_restored_file_system_is_remembered() -> None:
    assert files(None, UP) is None
    found = files(FILES, UP)
    assert found == FilesOrigin(file_system_id="fs-00000002", path=FILES["path"])
    assert found is not None
    kept = {outputs.FILE_STORE_RESTORED: {"file_system_id": found.file_system_id, "path": found.path}}
    assert files(None, {**UP, **kept}) == found
    other = {"fileSystemId": "fs-00000001", "path": "/odoo"}
    assert files(other, {**UP, **kept}) == FilesOrigin(file_system_id="fs-00000001", path="/odoo")


def test_no_file_system_is_given_up_that_the_last_run_would_not_keep() -> None:
    older = {outputs.FILE_SYSTEM_ID: "fs-00000001"}
    with pytest.raises(SettingsError, match="would delete the former file system") as caught:
        files(FILES, older)
    assert [problem.key for problem in caught.value.problems] == ["openerp:fileStore.restored"]
    assert files(FILES, {}) is not None


def test_a_release_goes_back_only_with_the_database() -> None:
    newer = continuity({outputs.RELEASE: "20.0"})
    with pytest.raises(SettingsError, match="is older than"):
        check_release_step(settings_with(), newer, stack="dev")
    check_release_step(settings_with(), newer, stack="dev", restores=True)
    older = continuity({outputs.RELEASE: "18.0"})
    with pytest.raises(SettingsError, match="is an upgrade"):
        check_release_step(settings_with(), older, stack="dev", restores=True)


def test_postgresql_goes_back_only_with_the_database() -> None:
    before = continuity({outputs.DATABASE_ENGINE_VERSION: "17"})
    with pytest.raises(SettingsError, match="another major version"):
        check_engine_step(settings_with(), before, stack="dev")
    check_engine_step(settings_with(), before, stack="dev", restores=True)


def test_no_old_password_comes_back() -> None:
    before = continuity({outputs.PASSWORD_VERSIONS: {"application": 3, "reporting": 1, "administrator": 2}})
    for wanted in ({"application": 3, "administrator": 2}, {"application": 4, "administrator": 2}):
        check_password_versions(settings_with(passwordVersions=wanted), before, stack="dev")
    check_password_versions(settings_with(), continuity({}), stack="dev")
    with pytest.raises(SettingsError) as caught:
        check_password_versions(settings_with(passwordVersions={"application": 2}), before, stack="dev")
    assert [problem.key for problem in caught.value.problems] == [
        "openerp:passwordVersions.application",
        "openerp:passwordVersions.administrator",
    ]
    assert "is 2, and was 3" in str(caught.value)
