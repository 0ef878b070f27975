"""The service sheet: what a deployment offers, on one page for the customer, and as figures.

It follows from the settings and the sizing alone and has no date of its own, so it changes only when the
service does. Targets are targets: a drill measures what a restore really takes.
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Any, Final

from core import release
from core.offers import Offer
from core.settings_model import ConfiguredSettings
from core.sizing import Sizing

DATABASE_RPO_MINUTES: Final = 5
"""RDS saves transaction logs every 5 minutes (RDS user guide, "Restoring to a specified time")."""
FAILOVER_MINUTES: Final = 2
"""A Multi-AZ failover takes 60 to 120 seconds (RDS user guide, "Multi-AZ DB instance deployments")."""
RESTORE_BASE_HOURS: Final = 1
RESTORE_GB_AN_HOUR: Final = 100
"""A restore target: an hour for servers and checks, and one for each 100 GB. Estimate, proven by a drill."""
FILES_RPO_HOURS: Final = 24
"""Files are as old as the last daily recovery point."""

_OFFERS: Final[dict[Offer, str]] = {
    "internal": "Internal: reachable from the company's network only, with its own certificate authority.",
    "hosted": "Hosted: a deployment for one customer; the customer's own modules may be installed.",
    "saas": "Software as a service: a database of its own for each tenant, certified standard modules only.",
}


@dataclass(frozen=True, kw_only=True)
class ServiceSheet:
    """The figures of the sheet. Times in the unit of their name, sizes in GiB."""

    offer: Offer
    environment: str
    release: str
    support_end: str
    region: str
    availability_zones: int
    address: str
    users: int
    simultaneous_users: int
    tenants: int
    web_client_servers: tuple[int, int]
    app_servers: tuple[int, int]
    database_standby: bool
    storage_gib: int
    storage_limit_gib: int
    point_in_time_days: int
    backup_retention_days: dict[str, int]
    second_region: str | None
    backups_locked: bool
    rpo_database_minutes: int | None
    rpo_files_hours: int
    rto_failover_minutes: int | None
    rto_restore_hours: int
    price_per_user: str | None

    def data(self) -> dict[str, Any]:
        """Return the figures as plain values."""
        return asdict(self)

    def markdown(self) -> str:
        """Return the page for the customer."""
        rows = [
            ("Address", self.address),
            ("Release", f"{self.release} (end of support: {self.support_end})"),
            ("Environment", self.environment),
            ("Region", f"{self.region}, {self.availability_zones} availability zones"),
            ("Users", f"{self.users}, of whom {self.simultaneous_users} at the same moment"),
            ("Web-client servers", _range(self.web_client_servers)),
            ("App servers", _range(self.app_servers)),
            ("Database server", "with a standby in a second zone" if self.database_standby else "single"),
            ("Storage", f"{self.storage_gib} GiB, grows to {self.storage_limit_gib} GiB by itself"),
            ("Backups", _backups(self)),
            ("Copy in a second region", self.second_region or "none"),
            ("Backups locked against deletion", "yes" if self.backups_locked else "no"),
            ("Data lost at worst (target)", _rpo(self)),
            ("Time to recover (target)", _rto(self)),
        ]
        if self.offer == "saas":
            rows.insert(4, ("Tenants", str(self.tenants)))
            rows.append(("Price for one user and month", self.price_per_user or "on request"))
        lines = ["# Service sheet", "", _OFFERS[self.offer], "", "| | |", "|---|---|"]
        lines += [f"| {name} | {value} |" for name, value in rows]
        return "\n".join(lines) + "\n"


def describe(settings: ConfiguredSettings, sizing: Sizing, *, region: str) -> ServiceSheet:
    """Return the service sheet of a stack."""
    backup, database = settings.backup, settings.database
    rules = {"daily": backup.daily, "weekly": backup.weekly, "monthly": backup.monthly}
    price = settings.price_per_user
    return ServiceSheet(
        offer=settings.offer,
        environment=settings.environment,
        release=settings.release,
        support_end=release.support_end_text(release.parse(settings.release)),
        region=region,
        availability_zones=settings.network.availability_zones,
        address=f"https://{settings.access.domain}/",
        users=settings.users.total,
        simultaneous_users=settings.users.simultaneous,
        tenants=len(settings.tenants),
        web_client_servers=(sizing.web_client.min_servers, sizing.web_client.max_servers),
        app_servers=(sizing.app.min_servers, sizing.app.max_servers),
        database_standby=database.multi_az,
        storage_gib=sizing.database.allocated_storage_gb,
        storage_limit_gib=sizing.database.max_allocated_storage_gb,
        point_in_time_days=database.retention_days,
        backup_retention_days={name: rule.retention_days for name, rule in rules.items() if rule},
        second_region=backup.copy_region,
        backups_locked=backup.vault_lock is not None,
        rpo_database_minutes=DATABASE_RPO_MINUTES if database.retention_days else None,
        rpo_files_hours=FILES_RPO_HOURS,
        rto_failover_minutes=FAILOVER_MINUTES if database.multi_az else None,
        rto_restore_hours=RESTORE_BASE_HOURS + math.ceil(database.data_size_gb / RESTORE_GB_AN_HOUR),
        price_per_user=f"{price.amount:.2f} {price.currency}" if price else None,
    )


def _range(servers: tuple[int, int]) -> str:
    return str(servers[0]) if servers[0] == servers[1] else f"{servers[0]} to {servers[1]}, by load"


def _days(days: int) -> str:
    return "1 day" if days == 1 else f"{days} days"


def _backups(sheet: ServiceSheet) -> str:
    parts = [f"{name} for {_days(days)}" for name, days in sheet.backup_retention_days.items()]
    if sheet.point_in_time_days:
        parts.append(f"any moment of the last {_days(sheet.point_in_time_days)}")
    return ", ".join(parts)


def _rpo(sheet: ServiceSheet) -> str:
    minutes = sheet.rpo_database_minutes
    database = f"{minutes} minutes" if minutes is not None else f"{sheet.rpo_files_hours} hours"
    return f"database {database}, files {sheet.rpo_files_hours} hours"


def _rto(sheet: ServiceSheet) -> str:
    restore = f"restore from backup {sheet.rto_restore_hours} hours"
    minutes = sheet.rto_failover_minutes
    return (
        restore
        if minutes is None
        else f"loss of the database server or its zone {minutes} minutes, {restore}"
    )
