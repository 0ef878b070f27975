"""Budgets: subscribers are listed, a budget is updated, tags and the dates of the JSON protocol read back."""

from __future__ import annotations

from typing import Any

from moto.budgets.responses import BudgetsResponse

from local.emulator.extensions import Context
from local.emulator.extensions.toolkit import Parameters, add, errors

error = errors("budgets")


def _budget(response: Any, given: Parameters) -> Any:
    name = given["BudgetName"]
    found = response.backend.budgets[given["AccountId"]].get(name)
    if found is None:
        raise error("NotFoundException", f"Unable to get budget: {name} - the budget doesn't exist.")
    return found


def _notification(response: Any, given: Parameters, name: str = "Notification") -> Any:
    wanted = _comparable(given[name])
    for notification in _budget(response, given).notifications:
        if _comparable(notification.details) == wanted:
            return notification
    raise error("NotFoundException", "Unable to get the notification - it doesn't exist.")


def _comparable(details: dict[str, Any]) -> dict[str, Any]:
    """AWS compares a notification by what identifies it; a state does not."""
    return {
        "ThresholdType": "PERCENTAGE",
        **{key: value for key, value in details.items() if key != "NotificationState"},
        "Threshold": float(details["Threshold"]),
    }


def update_budget(response: Any, given: Parameters) -> None:
    """Replaces a budget; its notifications stay."""
    new = given["NewBudget"]
    found = _budget(response, {**given, "BudgetName": new["BudgetName"]})
    found.budget = {**new, "TimePeriod": new.get("TimePeriod") or found.budget["TimePeriod"]}
    found.budget.pop("CalculatedSpend", None)


def describe_notifications_for_budget(response: Any, given: Parameters) -> dict[str, Any]:
    """What a budget warns of."""
    rows = [
        {"NotificationState": "OK", "ThresholdType": "PERCENTAGE", **notification.details}
        for notification in _budget(response, given).notifications
    ]
    return {"Notifications": rows}


def update_notification(response: Any, given: Parameters) -> None:
    """Replaces a notification; its subscribers stay."""
    _notification(response, given, "OldNotification").details = given["NewNotification"]


def delete_notification(response: Any, given: Parameters) -> None:
    """Removes a notification and its subscribers."""
    found = _notification(response, given)
    _budget(response, given).notifications.remove(found)


def describe_subscribers_for_notification(response: Any, given: Parameters) -> dict[str, Any]:
    """Who is warned."""
    return {"Subscribers": _notification(response, given).subscribers}


def create_subscriber(response: Any, given: Parameters) -> None:
    """Adds one who is warned."""
    found = _notification(response, given)
    if given["Subscriber"] in found.subscribers:
        raise error("DuplicateRecordException", "The subscriber exists already.")
    found.subscribers.append(given["Subscriber"])


def delete_subscriber(response: Any, given: Parameters) -> None:
    """Removes one who is warned."""
    found = _notification(response, given)
    if given["Subscriber"] not in found.subscribers:
        raise error("NotFoundException", "The subscriber doesn't exist.")
    found.subscribers.remove(given["Subscriber"])


def _tags(response: Any) -> dict[str, dict[str, str]]:
    if not hasattr(response.backend, "local_tags"):
        response.backend.local_tags = {}
    found: dict[str, dict[str, str]] = response.backend.local_tags
    return found


def list_tags_for_resource(response: Any, given: Parameters) -> dict[str, Any]:
    """A budget's tags."""
    own = _tags(response).get(given["ResourceARN"], {})
    return {"ResourceTags": [{"Key": key, "Value": value} for key, value in own.items()]}


def tag_resource(response: Any, given: Parameters) -> None:
    """Adds tags to a budget."""
    own = _tags(response).setdefault(given["ResourceARN"], {})
    own.update({tag["Key"]: tag["Value"] for tag in given["ResourceTags"]})


def untag_resource(response: Any, given: Parameters) -> None:
    """Takes tags from a budget."""
    own = _tags(response).get(given["ResourceARN"], {})
    for key in given["ResourceTagKeys"]:
        own.pop(key, None)


def _patch_create() -> None:
    original = BudgetsResponse.create_budget

    def create_budget(response: Any) -> Any:
        result = original(response)
        tags = response._get_param("ResourceTags", [])
        if tags:
            name = response._get_param("Budget")["BudgetName"]
            arn = f"arn:aws:budgets::{response.current_account}:budget/{name}"
            tag_resource(response, {"ResourceARN": arn, "ResourceTags": tags})
        return result

    setattr(BudgetsResponse, original.__name__, create_budget)


def install(_context: Context) -> None:
    """Puts the extension in place."""
    _patch_create()
    add(
        BudgetsResponse,
        update_budget,
        describe_notifications_for_budget,
        update_notification,
        delete_notification,
        describe_subscribers_for_notification,
        create_subscriber,
        delete_subscriber,
        list_tags_for_resource,
        tag_resource,
        untag_resource,
    )
