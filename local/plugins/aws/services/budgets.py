"""Budgets of the account."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from local.plugins.aws.context import Context
from local.plugins.aws.row import Call, Name, Row, Step
from local.plugins.aws.services import _tagging as tagging

PASSED = "budgetType timeUnit costTypes costFilters limitAmount limitUnit timePeriodStart timePeriodEnd"
DEFAULT_END = "2087-06-15_00:00"
"""The end that AWS gives a budget without one."""


def _moment(text: str) -> datetime:
    return datetime.strptime(text, "%Y-%m-%d_%H:%M").replace(tzinfo=UTC)


def _budget(context: Context) -> dict[str, Any]:
    inputs = context.inputs
    budget: dict[str, Any] = {
        "BudgetName": context.value("name"),
        "BudgetType": inputs["budgetType"],
        "TimeUnit": inputs["timeUnit"],
        "CostFilters": {entry["name"]: entry["values"] for entry in inputs.get("costFilters") or []},
    }
    if inputs.get("limitAmount") is not None:
        budget["BudgetLimit"] = {
            "Amount": str(inputs["limitAmount"]),
            "Unit": inputs.get("limitUnit") or "USD",
        }
    if inputs.get("costTypes"):
        shape = context.shape("CreateBudget").members["Budget"].members["CostTypes"]
        budget["CostTypes"] = context.convert(shape, inputs["costTypes"])
    if inputs.get("timePeriodStart"):
        end = inputs.get("timePeriodEnd") or DEFAULT_END
        budget["TimePeriod"] = {"Start": _moment(inputs["timePeriodStart"]), "End": _moment(end)}
    return budget


def _create_budget(context: Context) -> Any:
    context.run(Call("CreateBudget", {"AccountId": "{account}", "Budget": _budget(context)}, inputs=""))
    return {"BudgetName": context.value("name")}


def _update_budget(context: Context) -> None:
    context.run(Call("UpdateBudget", {"AccountId": "{account}", "NewBudget": _budget(context)}, inputs=""))


def _notification(entry: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "NotificationType": entry["notificationType"],
        "ComparisonOperator": entry["comparisonOperator"],
        "Threshold": float(entry["threshold"]),
        "ThresholdType": entry["thresholdType"],
    }


def _subscribers(entry: Mapping[str, Any]) -> list[dict[str, str]]:
    kinds = (("subscriberEmailAddresses", "EMAIL"), ("subscriberSnsTopicArns", "SNS"))
    return [
        {"SubscriptionType": kind, "Address": address}
        for key, kind in kinds
        for address in entry.get(key) or []
    ]


def _set_notifications(context: Context) -> None:
    name, account = context.value("name"), context.value("account")
    for entry in context.value("removed.notifications"):
        context.call(
            "DeleteNotification", AccountId=account, BudgetName=name, Notification=_notification(entry)
        )
    for entry in context.value("added.notifications"):
        context.call(
            "CreateNotification",
            AccountId=account,
            BudgetName=name,
            Notification=_notification(entry),
            Subscribers=_subscribers(entry),
        )


BUDGET = Row(
    type="aws:budgets/budget:Budget",
    service="budgets",
    regional=False,
    inputs=f"name {PASSED} notifications",
    local="namePrefix accountId",
    name=Name(longest=100),
    create=_create_budget,
    id="{account}:{name}",
    read=Call("DescribeBudget", {"AccountId": "{account}", "BudgetName": "{name}"}, "Budget", inputs=""),
    update=_update_budget,
    steps=(Step("notifications", _set_notifications),),
    delete=(Call("DeleteBudget", {"AccountId": "{account}", "BudgetName": "{name}"}, inputs=""),),
    outputs={"arn": "arn:{partition}:budgets::{account}:budget/{name}"},
    computed="accountId costTypes costFilters limitAmount limitUnit timePeriodStart timePeriodEnd",
    reads={
        "name": "BudgetName",
        "limitAmount": lambda context: _amount(context),
        "limitUnit": "BudgetLimit.Unit",
        "timePeriodStart": "",
        "timePeriodEnd": "",
        "costFilters": "",
        "costTypes": "",
        "notifications": "",
        "accountId": "",
    },
    replace="name namePrefix accountId",
    tags=tagging.by_resource(
        "ResourceARN", tags="ResourceTags", keys="ResourceTagKeys", listed="ResourceTags"
    ),
    rename={"tagsAll": "ResourceTags"},
)


def _amount(context: Context) -> str | None:
    """The limit as a number without trailing zeros, which AWS adds."""
    amount = context.search("BudgetLimit.Amount", context.thing)
    return None if amount is None else f"{float(amount):g}"


ROWS = (BUDGET,)
