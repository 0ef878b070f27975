"""AWS Backup's restore testing: plans and selections, as records. What they would start is not started."""

from __future__ import annotations

import re
from typing import Any

from moto.backup.responses import BackupResponse
from moto.core.utils import unix_time

from local.emulator.extensions import Context
from local.emulator.extensions.toolkit import Parameters, add, errors

error = errors("backup")

NAME = re.compile(r"[A-Za-z0-9_]{1,50}")
DEFAULTS = {"StartWindowHours": 24, "ScheduleExpressionTimezone": "Etc/UTC"}
SELECTION_WINDOW_DAYS = 30
"""The recovery points of so many days are considered unless a plan says otherwise."""
ALGORITHMS = ("LATEST_WITHIN_WINDOW", "RANDOM_WITHIN_WINDOW")
POINT_TYPES = ("CONTINUOUS", "SNAPSHOT")
WINDOW_HOURS = range(1, 169)


class Store:
    """The plans of a region by name, and their selections by the plan's and their own name."""

    def __init__(self) -> None:
        self.plans: dict[str, dict[str, Any]] = {}
        self.selections: dict[tuple[str, str], dict[str, Any]] = {}


def _store(response: Any) -> Store:
    backend = response.backup_backend
    if not hasattr(backend, "local_restore_testing"):
        backend.local_restore_testing = Store()
    found: Store = backend.local_restore_testing
    return found


def _plan(response: Any, given: Parameters) -> dict[str, Any]:
    name = given["RestoreTestingPlanName"]
    found = _store(response).plans.get(name)
    if found is None:
        raise error("ResourceNotFoundException", f"Restore testing plan {name} not found")
    return found


def _check_name(name: str) -> None:
    if not NAME.fullmatch(name):
        raise error(
            "InvalidParameterValueException",
            f"The name {name} must have 1 to 50 letters, digits and underscores and nothing else",
        )


def _within(document: dict[str, Any], name: str, allowed: range) -> None:
    value = document.get(name)
    if value is not None and value not in allowed:
        raise error(
            "InvalidParameterValueException", f"{name} must be between {allowed[0]} and {allowed[-1]}"
        )


def _checked_plan(document: dict[str, Any]) -> dict[str, Any]:
    """A plan's document with what AWS fills in."""
    chosen = document["RecoveryPointSelection"]
    for name, allowed in (("Algorithm", ALGORITHMS), ("RecoveryPointTypes", POINT_TYPES)):
        values = chosen.get(name)
        for value in values if isinstance(values, list) else [values]:
            if value not in allowed:
                raise error("InvalidParameterValueException", f"{name} must be of {', '.join(allowed)}")
    if not chosen.get("IncludeVaults"):
        raise error("InvalidParameterValueException", "IncludeVaults must name vaults, or * for all")
    _within(document, "StartWindowHours", WINDOW_HOURS)
    _within(chosen, "SelectionWindowDays", range(1, 366))
    selection = {"ExcludeVaults": [], "SelectionWindowDays": SELECTION_WINDOW_DAYS, **chosen}
    return {**DEFAULTS, **document, "RecoveryPointSelection": selection}


def create_restore_testing_plan(response: Any, given: Parameters) -> dict[str, Any]:
    """Makes a plan."""
    backend, document = response.backup_backend, given["RestoreTestingPlan"]
    name, now = document["RestoreTestingPlanName"], unix_time()
    _check_name(name)
    plans = _store(response).plans
    if name in plans:
        raise error("AlreadyExistsException", f"Restore testing plan {name} already exists")
    prefix = f"arn:{backend.partition}:backup:{backend.region_name}:{backend.account_id}"
    row = {
        **_checked_plan(document),
        "RestoreTestingPlanArn": f"{prefix}:restore-testing-plan:{name}",
        "CreationTime": now,
        "CreatorRequestId": given.get("CreatorRequestId"),
    }
    plans[name] = row
    if given.get("Tags"):
        backend.tag_resource(row["RestoreTestingPlanArn"], given["Tags"])
    return {key: row[key] for key in ("CreationTime", "RestoreTestingPlanArn", "RestoreTestingPlanName")}


def _shown(row: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in row.items() if value is not None}


def get_restore_testing_plan(response: Any, given: Parameters) -> dict[str, Any]:
    """One plan."""
    return {"RestoreTestingPlan": _shown(_plan(response, given))}


def list_restore_testing_plans(response: Any, _given: Parameters) -> dict[str, Any]:
    """The plans of a region."""
    return {"RestoreTestingPlans": [_shown(row) for row in _store(response).plans.values()]}


def update_restore_testing_plan(response: Any, given: Parameters) -> dict[str, Any]:
    """Changes what the request names and leaves the rest."""
    row = _plan(response, given)
    change = given["RestoreTestingPlan"]
    chosen = {**row["RecoveryPointSelection"], **change.get("RecoveryPointSelection", {})}
    row.update(_checked_plan({**row, **change, "RecoveryPointSelection": chosen}))
    row["LastUpdateTime"] = unix_time()
    names = ("CreationTime", "RestoreTestingPlanArn", "RestoreTestingPlanName")
    return {**{key: row[key] for key in names}, "UpdateTime": row["LastUpdateTime"]}


def delete_restore_testing_plan(response: Any, given: Parameters) -> None:
    """Deletes a plan that has no selections."""
    store, name = _store(response), given["RestoreTestingPlanName"]
    if any(plan == name for plan, _ in store.selections):
        raise error(
            "InvalidRequestException",
            f"The selections of restore testing plan {name} must be deleted before it",
        )
    # AWS has no error for one that is not there.
    store.plans.pop(name, None)


def _checked_selection(document: dict[str, Any]) -> dict[str, Any]:
    arns, conditions = document.get("ProtectedResourceArns"), document.get("ProtectedResourceConditions")
    if bool(arns) == bool(conditions and any(conditions.values())):
        raise error(
            "InvalidParameterValueException",
            "Exactly one of ProtectedResourceArns and ProtectedResourceConditions must say what is tested",
        )
    _within(document, "ValidationWindowHours", range(169))
    return {"ValidationWindowHours": 0, **document}


def create_restore_testing_selection(response: Any, given: Parameters) -> dict[str, Any]:
    """Adds resources to a plan."""
    plan, document = _plan(response, given), given["RestoreTestingSelection"]
    name = document["RestoreTestingSelectionName"]
    _check_name(name)
    key = (plan["RestoreTestingPlanName"], name)
    selections = _store(response).selections
    if key in selections:
        raise error("AlreadyExistsException", f"Restore testing selection {name} already exists")
    selections[key] = {
        **_checked_selection(document),
        "RestoreTestingPlanName": key[0],
        "CreationTime": unix_time(),
        "CreatorRequestId": given.get("CreatorRequestId"),
    }
    return _named(plan, selections[key])


def _named(plan: dict[str, Any], row: dict[str, Any]) -> dict[str, Any]:
    names = ("CreationTime", "RestoreTestingPlanName", "RestoreTestingSelectionName")
    return {
        **{key: row[key] for key in names},
        "RestoreTestingPlanArn": plan["RestoreTestingPlanArn"],
    }


def _selection(response: Any, given: Parameters) -> dict[str, Any]:
    key = (given["RestoreTestingPlanName"], given["RestoreTestingSelectionName"])
    found = _store(response).selections.get(key)
    if found is None:
        raise error("ResourceNotFoundException", f"Restore testing selection {key[1]} not found")
    return found


def get_restore_testing_selection(response: Any, given: Parameters) -> dict[str, Any]:
    """One selection."""
    return {"RestoreTestingSelection": _shown(_selection(response, given))}


def list_restore_testing_selections(response: Any, given: Parameters) -> dict[str, Any]:
    """The selections of a plan."""
    plan = _plan(response, given)["RestoreTestingPlanName"]
    rows = [row for (own, _), row in _store(response).selections.items() if own == plan]
    return {"RestoreTestingSelections": [_shown(row) for row in rows]}


def update_restore_testing_selection(response: Any, given: Parameters) -> dict[str, Any]:
    """Changes what the request names and leaves the rest."""
    row = _selection(response, given)
    row.update(_checked_selection({**row, **given["RestoreTestingSelection"]}))
    return {**_named(_plan(response, given), row), "UpdateTime": unix_time()}


def delete_restore_testing_selection(response: Any, given: Parameters) -> None:
    """Takes resources from a plan."""
    row = _selection(response, given)
    del _store(response).selections[row["RestoreTestingPlanName"], row["RestoreTestingSelectionName"]]


def install(_context: Context) -> None:
    """Puts the extension in place; the paths are those of ``backup``."""
    add(
        BackupResponse,
        create_restore_testing_plan, get_restore_testing_plan, list_restore_testing_plans,
        update_restore_testing_plan, delete_restore_testing_plan,
        create_restore_testing_selection, get_restore_testing_selection, list_restore_testing_selections,
        update_restore_testing_selection, delete_restore_testing_selection,
    )  # fmt: skip
