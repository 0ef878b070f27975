"""Drills of the past: their reports, and how old the last good one is."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime

from core import names as constants
from core import outputs as names
from core.drill_report import PREFIX, Past, days_since_good, read
from ops.aws import explained
from ops.errors import OpsError
from ops.site import Site


def drills(site: Site) -> list[Past]:
    """Return the drills of a stack, the newest first; what is no report of one is left out."""
    found = []
    for path in site.store.list(PREFIX):
        if path.endswith(".json"):
            document = site.store.read(path)
            drill = read(document) if document is not None else None
            if drill is None:
                site.reporter.warn(f"{path} is no report of a drill that this version reads")
            else:
                found.append(drill)
    return sorted(found, key=lambda drill: drill.started, reverse=True)


def age(site: Site, found: Sequence[Past]) -> float:
    """Return the days since the last good drill; of a stack that never had one, since its backup plan."""
    plan = str(site.stack.output(names.BACKUP_PLAN_ID))
    with explained(f"the backup plan {plan}"):
        created = site.aws.client("backup").get_backup_plan(BackupPlanId=plan)["CreationDate"]
    days = days_since_good(found, datetime.now(UTC), since=created.astimezone(UTC))
    if days is None:
        raise OpsError(f"the age of the last drill of {site.name} is not known")
    return days


def tell(site: Site, days: float | None = None) -> float:
    """Put the age of the last good drill where the alarm looks for it; return it."""
    value = age(site, drills(site)) if days is None else days
    with explained(f"the metric {constants.DRILL_AGE_METRIC}"):
        site.aws.client("cloudwatch").put_metric_data(
            Namespace=constants.OPERATIONS_NAMESPACE,
            MetricData=[
                {
                    "MetricName": constants.DRILL_AGE_METRIC,
                    "Dimensions": [{"Name": "Stack", "Value": site.name}],
                    "Value": round(value, 3),
                    "Unit": "None",
                }
            ],
        )
    return value
