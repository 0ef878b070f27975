"""What follows from the last run of a stack: release steps and the snapshot to restore from."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from core.continuity import continuity, restore_snapshot
from core.problems import SettingsError

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
