"""What follows from the last run of a stack: release steps and the snapshot to restore from."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from core.continuity import check_engine_step, check_place, continuity, restore_snapshot
from core.problems import SettingsError
from core.settings_model import ConfiguredSettings

BEFORE = continuity({"checkpoint_snapshots": {"opening": "openerp-dev-opening-1"}})


def refusal(restore_from: str, outputs: Mapping[str, Any] | None = None) -> str:
    def outputs_of(stack: str) -> Mapping[str, Any]:
        if outputs is None:
            raise LookupError(f"unknown stack '{stack}'\nin the backend")
        return outputs

    with pytest.raises(SettingsError) as caught:
        restore_snapshot(restore_from, BEFORE, outputs_of, stack="dev")
    (problem,) = caught.value.problems
    assert problem.key == "openerp:database.restoreFrom"
    return str(problem)


def test_a_stack_that_was_never_up_has_no_past() -> None:
    first = continuity({})
    assert first.release is None
    assert first.issued_client_certificates == first.checkpoints == {}


def test_a_label_is_looked_up_where_it_belongs() -> None:
    def outputs_of(stack: str) -> Mapping[str, Any]:
        return {"checkpoint_snapshots": {"opening": f"openerp-{stack}-opening-2"}}

    def found(restore_from: str | None) -> str | None:
        return restore_snapshot(restore_from, BEFORE, outputs_of, stack="dev")

    assert found(None) is None
    assert found("opening") == "openerp-dev-opening-1"
    assert found("prod/opening") == "openerp-prod-opening-2"
    assert found("snapshot:rds:any-2026") == "rds:any-2026"


def test_a_checkpoint_that_does_not_exist_is_refused_with_those_that_do() -> None:
    assert "stack dev does not have (it has: opening)" in refusal("closing")
    assert "stack prod does not have (it has: none)" in refusal("prod/opening", {})


def test_a_stack_that_cannot_be_read_is_refused_in_one_line() -> None:
    text = refusal("prdo/opening")
    assert "names stack 'prdo', which cannot be read (unknown stack 'prdo'?in the backend)" in text
    assert "snapshot:" in text


def settings_with(**database: Any) -> ConfiguredSettings:
    return ConfiguredSettings.model_validate(
        {
            "environment": "development",
            "release": "19.0",
            "users": {"total": 1, "simultaneous": 1},
            "access": {"domain": "erp.example.com", "certificate": "private"},
            "database": database,
        }
    )


@pytest.mark.parametrize(
    ("before", "database"),
    [
        (None, {"engineVersion": "18"}),
        ("16", {"engineVersion": "16.9"}),
        ("17.9", {"engineVersion": "17.8"}),
        ("16.9", {"engineVersion": "17", "allowMajorVersionUpgrade": True}),
    ],
)
def test_a_step_of_postgresql_that_rds_takes_is_taken(before: str | None, database: dict[str, Any]) -> None:
    past = continuity({"database_engine_version": before})
    check_engine_step(settings_with(**database), past, stack="dev")


@pytest.mark.parametrize(
    ("before", "database", "right"),
    [
        ("16.9", {"engineVersion": "17"}, "allowMajorVersionUpgrade: true"),
        ("17", {"engineVersion": "16"}, 'Write `"17"`'),
        ("17", {"engineVersion": "16", "allowMajorVersionUpgrade": True}, 'Write `"17"`'),
    ],
)
def test_a_step_of_postgresql_that_rds_refuses_is_refused_before_anything_is_touched(
    before: str, database: dict[str, Any], right: str
) -> None:
    with pytest.raises(SettingsError) as caught:
        check_engine_step(
            settings_with(**database), continuity({"database_engine_version": before}), stack="dev"
        )
    (problem,) = caught.value.problems
    assert problem.key == "openerp:database.engineVersion"
    assert right in str(problem)


def test_a_stack_stays_where_its_data_is() -> None:
    first, past = continuity({}), continuity({"region": "eu-west-1", "vpc_cidr": "10.20.0.0/16"})
    settings = settings_with()
    check_place(settings, "eu-central-1", first, stack="dev")
    check_place(settings, "eu-west-1", past, stack="dev")
    moved = settings.model_copy(
        update={"network": settings.network.model_copy(update={"cidr": "10.0.0.0/16"})}
    )
    with pytest.raises(SettingsError) as caught:
        check_place(moved, "eu-central-1", past, stack="dev")
    assert [problem.key for problem in caught.value.problems] == ["aws:region", "openerp:network.cidr"]
    assert "Write `10.20.0.0/16`" in str(caught.value)
