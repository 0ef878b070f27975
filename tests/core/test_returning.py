"""Which settings a return changes."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.checkpoint import Code
from core.returning import code_changes, data_changes, storage

SHA = "a" * 64
MODULE = {"name": "acme", "version": "19.0.1.0.0", "sha256": SHA}


def code(**changed: Any) -> Code:
    values: dict[str, Any] = {
        "release": "19.0",
        "package": {"source": "debian"},
        "server_image": None,
        "data_modules": (MODULE,),
        "engine_version": "16",
    }
    return Code(**values | changed)


def settings(**changed: Any) -> dict[str, Any]:
    return {"release": "19.0", "dataModules": [dict(MODULE)], "database": {"engineVersion": "16.9"}} | changed


def test_what_is_the_same_changes_nothing_however_it_is_written() -> None:
    assert code_changes(code(), settings()) == {}
    assert code_changes(code(), settings(package={"source": "debian"}, serverImage="", database=None)) == {}
    assert code_changes(code(data_modules=()), settings(dataModules=None)) == {}


@pytest.mark.parametrize(
    ("now", "changes"),
    [
        ({"release": "20.0"}, {"release": "19.0"}),
        ({"serverImage": "ami-12345678"}, {"serverImage": None}),
        (
            {"package": {"source": "nightly", "date": "20261101", "sha256": SHA}},
            {"package": {"source": "debian"}},
        ),
        ({"package": "broken"}, {"package": {"source": "debian"}}),
        ({"dataModules": []}, {"dataModules": [MODULE]}),
        ({"dataModules": [{**MODULE, "sha256": "b" * 64}]}, {"dataModules": [MODULE]}),
        ({"database": {"engineVersion": 17}}, {"database.engineVersion": "16"}),
        (
            {"release": "20.0", "allowUpgradeTo": "20.0", "upgradeCheckpoint": "before"},
            {"release": "19.0", "allowUpgradeTo": None, "upgradeCheckpoint": None},
        ),
    ],
)
def test_what_differs_goes_back(now: dict[str, Any], changes: dict[str, Any]) -> None:
    assert code_changes(code(), settings(**now)) == changes


def test_modules_that_came_since_go() -> None:
    assert code_changes(code(data_modules=()), settings()) == {"dataModules": None}


def test_data_come_from_a_snapshot_and_another_file_system_each_time_anew() -> None:
    assert data_changes("openerp-prod-x-12345678", "261128-ab", "fs-12345678", "/odoo") == {
        "database.restoreFrom": "snapshot:openerp-prod-x-12345678@261128-ab",
        "fileStore.restored": {"fileSystemId": "fs-12345678", "path": "/odoo"},
    }


@given(st.integers(20, 65_536), st.integers(20, 65_536))
def test_a_smaller_disk_is_refused_with_both_numbers(asked: int, least: int) -> None:
    said = storage(asked, least)
    assert (said is None) == (asked >= least)
    if said is not None:
        assert f"{asked} GiB" in said
        assert f"{least} GiB" in said


@pytest.mark.parametrize("asked", [None, "many", True])
def test_a_disk_of_no_known_size_is_not_refused_here(asked: object) -> None:
    assert storage(asked, 20) is None
