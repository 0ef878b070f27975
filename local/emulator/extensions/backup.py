"""AWS Backup: selections, vault policies and notifications, tags. Jobs are in ``backup_jobs``."""

from __future__ import annotations

from typing import Any

from moto.backup import models, urls
from moto.backup.responses import BackupResponse
from moto.core.utils import unix_time
from moto.moto_api._internal import mock_random

from local.emulator.extensions import Context
from local.emulator.extensions.toolkit import Parameters, add, errors, route_all

error = errors("backup")


class Store:
    """What this extension keeps for a region; on moto's backend."""

    def __init__(self) -> None:
        self.selections: dict[str, dict[str, Any]] = {}


def store(backend: Any) -> Store:
    """The extension's state of a region."""
    if not hasattr(backend, "local_store"):
        backend.local_store = Store()
    found: Store = backend.local_store
    return found


def missing(what: str, name: str) -> Exception:
    """The error of something that is not there."""
    return error("ResourceNotFoundException", f"{what} {name} not found")


def vault_of(backend: Any, name: str) -> Any:
    """A vault by its name."""
    if name not in backend.vaults:
        raise missing("Backup vault", name)
    return backend.vaults[name]


def _plan(backend: Any, identifier: str) -> Any:
    if identifier not in backend.plans:
        raise missing("Backup plan", identifier)
    return backend.plans[identifier]


# Plans and selections


def update_backup_plan(response: Any, given: Parameters) -> dict[str, Any]:
    """Replaces the document; the plan gets a new version."""
    backend = response.backup_backend
    plan = _plan(backend, given["BackupPlanId"])
    fresh = models.Plan(given["BackupPlan"], plan.creator_request_id, backend)
    plan.backup_plan, plan.version_id = fresh.backup_plan, fresh.version_id
    plan.advanced_backup_settings = fresh.advanced_backup_settings
    return dict(plan.to_dict())


def create_backup_selection(response: Any, given: Parameters) -> dict[str, Any]:
    """Assigns resources to a plan."""
    backend = response.backup_backend
    plan, selection = _plan(backend, given["BackupPlanId"]), given["BackupSelection"]
    own = [row for row in store(backend).selections.values() if row["BackupPlanId"] == plan.backup_plan_id]
    if any(row["BackupSelection"]["SelectionName"] == selection["SelectionName"] for row in own):
        raise error("AlreadyExistsException", f"Backup selection {selection['SelectionName']} already exists")
    row = {
        "BackupPlanId": plan.backup_plan_id,
        "SelectionId": str(mock_random.uuid4()),
        "CreationDate": unix_time(),
        "CreatorRequestId": given.get("CreatorRequestId"),
        "BackupSelection": selection,
    }
    store(backend).selections[row["SelectionId"]] = row
    return {key: row[key] for key in ("BackupPlanId", "SelectionId", "CreationDate")}


def _selection(response: Any, given: Parameters) -> dict[str, Any]:
    found = store(response.backup_backend).selections.get(given["SelectionId"])
    if found is None or found["BackupPlanId"] != given["BackupPlanId"]:
        raise missing("Backup selection", given["SelectionId"])
    return found


def get_backup_selection(response: Any, given: Parameters) -> dict[str, Any]:
    """One selection."""
    return _selection(response, given)


def list_backup_selections(response: Any, given: Parameters) -> dict[str, Any]:
    """The selections of a plan."""
    backend = response.backup_backend
    plan = _plan(backend, given["BackupPlanId"]).backup_plan_id
    rows = [row for row in store(backend).selections.values() if row["BackupPlanId"] == plan]
    names = ("SelectionName", "IamRoleArn")
    return {
        "BackupSelectionsList": [
            {**{key: row["BackupSelection"].get(key) for key in names}, **row} for row in rows
        ]
    }


def delete_backup_selection(response: Any, given: Parameters) -> None:
    """Takes resources from a plan."""
    del store(response.backup_backend).selections[_selection(response, given)["SelectionId"]]


def delete_backup_plan(response: Any, given: Parameters) -> dict[str, Any]:
    """Deletes a plan that has no selections."""
    backend = response.backup_backend
    plan = _plan(backend, given["BackupPlanId"])
    if any(row["BackupPlanId"] == plan.backup_plan_id for row in store(backend).selections.values()):
        raise error(
            "InvalidRequestException",
            "Related backup plan selections must be deleted prior to backup plan deletion",
        )
    del backend.plans[plan.backup_plan_id]
    return {
        "BackupPlanId": plan.backup_plan_id,
        "BackupPlanArn": plan.backup_plan_arn,
        "DeletionDate": unix_time(),
        "VersionId": plan.version_id,
    }


# Vaults


def delete_backup_vault(response: Any, given: Parameters) -> None:
    """Deletes an empty vault."""
    backend = response.backup_backend
    vault = vault_of(backend, given["BackupVaultName"])
    if vault.num_of_recovery_points:
        raise error(
            "InvalidRequestException",
            f"Backup vault cannot be deleted: it contains {vault.num_of_recovery_points} recovery points",
        )
    del backend.vaults[vault.backup_vault_name]


def put_backup_vault_access_policy(response: Any, given: Parameters) -> None:
    """Sets the resource policy."""
    vault_of(response.backup_backend, given["BackupVaultName"]).local_policy = given.get("Policy")


def get_backup_vault_access_policy(response: Any, given: Parameters) -> dict[str, Any]:
    """The resource policy."""
    vault = vault_of(response.backup_backend, given["BackupVaultName"])
    policy = getattr(vault, "local_policy", None)
    if policy is None:
        raise missing("The access policy of vault", vault.backup_vault_name)
    return {
        "BackupVaultName": vault.backup_vault_name,
        "BackupVaultArn": vault.backup_vault_arn,
        "Policy": policy,
    }


def delete_backup_vault_access_policy(response: Any, given: Parameters) -> None:
    """Takes the resource policy away."""
    vault_of(response.backup_backend, given["BackupVaultName"]).local_policy = None


def put_backup_vault_notifications(response: Any, given: Parameters) -> None:
    """Sends a vault's events to a topic."""
    vault = vault_of(response.backup_backend, given["BackupVaultName"])
    vault.local_notifications = {key: given[key] for key in ("SNSTopicArn", "BackupVaultEvents")}


def get_backup_vault_notifications(response: Any, given: Parameters) -> dict[str, Any]:
    """Where a vault's events go."""
    vault = vault_of(response.backup_backend, given["BackupVaultName"])
    found = getattr(vault, "local_notifications", None)
    if found is None:
        raise missing("The notifications of vault", vault.backup_vault_name)
    names = {"BackupVaultName": vault.backup_vault_name, "BackupVaultArn": vault.backup_vault_arn}
    return {**names, **found}


def delete_backup_vault_notifications(response: Any, given: Parameters) -> None:
    """Ends the sending of events."""
    vault_of(response.backup_backend, given["BackupVaultName"]).local_notifications = None


# Tags


def list_tags(response: Any, given: Parameters) -> dict[str, Any]:
    """A resource's tags."""
    return {"Tags": response.backup_backend.list_tags(given["ResourceArn"])}


def tag_resource(response: Any, given: Parameters) -> None:
    """Adds tags."""
    response.backup_backend.tag_resource(given["ResourceArn"], given["Tags"])


def untag_resource(response: Any, given: Parameters) -> None:
    """Takes tags away."""
    response.backup_backend.untag_resource(given["ResourceArn"], given["TagKeyList"])


def install(_context: Context) -> None:
    """Puts the extension in place."""
    route_all(urls)
    add(
        BackupResponse,
        update_backup_plan, delete_backup_plan,
        create_backup_selection, get_backup_selection, list_backup_selections, delete_backup_selection,
        delete_backup_vault,
        put_backup_vault_access_policy, get_backup_vault_access_policy, delete_backup_vault_access_policy,
        put_backup_vault_notifications, get_backup_vault_notifications, delete_backup_vault_notifications,
        list_tags, tag_resource, untag_resource,
    )  # fmt: skip
