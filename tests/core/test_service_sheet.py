"""The service sheet says what the settings promise."""

from __future__ import annotations

import json
from datetime import date

from core import service_sheet
from settings import Settings, parse


def read(**changes: object) -> Settings:
    raw: dict[str, object] = {
        "environment": "development",
        "release": "19.0",
        "users": {"total": 20, "simultaneous": 8},
        "access": {"domain": "erp.example.com", "certificate": "private"},
    }
    return parse(raw | changes, stack="dev", region="eu-central-1", today=date(2026, 11, 23))


def sheet(**changes: object) -> service_sheet.ServiceSheet:
    settings = read(**changes)
    return service_sheet.describe(settings, settings.sizing, region=settings.region)


def test_the_sheet_names_users_servers_storage_and_support() -> None:
    page = sheet().markdown()
    assert "20, of whom 8 at the same moment" in page
    assert "19.0 (end of support: 2028-09)" in page
    assert "20 GiB, grows to 100 GiB by itself" in page
    assert "1 to 2, by load" in page


def test_only_saas_has_a_price_and_tenants() -> None:
    saas = sheet(
        offer="saas", pricePerUser={"amount": 12.5}, tenants=[{"name": "acme"}, {"name": "globex"}]
    ).markdown()
    assert "| Price for one user and month | 12.50 EUR |" in saas
    assert "| Tenants | 2 |" in saas
    assert "Price" not in sheet().markdown()
    assert "on request" in sheet(offer="saas").markdown()


def test_a_standby_shortens_the_time_to_recover() -> None:
    assert sheet().rto_failover_minutes is None
    assert sheet(database={"multiAz": True}).rto_failover_minutes == 2


def test_without_point_in_time_recovery_a_day_may_be_lost() -> None:
    assert "database 5 minutes" in sheet().markdown()
    assert "database 24 hours" in sheet(database={"retentionDays": 0}).markdown()


def test_more_data_takes_longer_to_restore() -> None:
    assert sheet().rto_restore_hours == 2
    assert sheet(database={"dataSizeGb": 450}).rto_restore_hours == 6


def test_the_figures_are_plain_data() -> None:
    found = sheet(backup={"weekly": {"schedule": "cron(0 4 ? * SUN *)", "retentionDays": 90}}).data()
    assert json.loads(json.dumps(found))["backup_retention_days"] == {"daily": 35, "weekly": 90}
