"""Settings: what is accepted, and one clear message for everything that is not."""

from __future__ import annotations

from datetime import date
from decimal import Decimal
from typing import Any

import pytest
from pydantic import ValidationError

from core.problems import SettingsError
from settings import parse
from tests.settings.conftest import PRODUCTION, SOUND, TODAY, Read, Refuse

SHA = "0123456789abcdef" * 4
MODULE = {"name": "colours", "version": "1.0", "sha256": SHA}
PROOF = {**MODULE, "release": "19.0", "created": {"res.partner": 3}, "verified": "2026-11-28T10:12:00Z"}


def test_the_least_that_must_be_said_is_enough(read: Read) -> None:
    settings = read()
    assert settings.offer == "hosted"
    assert settings.availability_zones == ("eu-central-1a", "eu-central-1b")
    assert settings.subnets.zones[1].zone == "eu-central-1b"
    assert settings.sizing.web_client.workers == 2
    assert settings.client_cidrs == ("0.0.0.0/0",)
    assert settings.backup.daily.retention_days == 35
    assert settings.warnings == ()


def test_settings_do_not_change(read: Read) -> None:
    settings = read()
    with pytest.raises(ValidationError, match="frozen"):
        settings.protect = True  # type: ignore[misc]  # the point of the test
    with pytest.raises(ValidationError, match="frozen"):
        settings.users.total = 3  # type: ignore[misc]  # the point of the test


def test_texts_as_pulumi_hands_them_over_mean_the_same(read: Read) -> None:
    texts = {
        "environment": "development",
        "release": "19.0",
        "users": '{"total":20,"simultaneous":8}',
        "access": '{"domain":"erp.example.com","hostedZone":"example.com"}',
        "protect": "false",
        "modules": "[]",
        "network": "{}",
        "pricePerUser": "{}",
        "allowUpgradeTo": "",
        "serverImage": "",
    }
    assert parse(texts, stack="dev", region="eu-central-1", today=TODAY) == read()


def test_nothing_behind_a_key_means_not_set(read: Read) -> None:
    raw = {**SOUND, "monitoring": {"email": None}, "backup": {"weekly": None}, "network": None}
    assert parse(raw, stack="dev", region="eu-central-1", today=TODAY) == read()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"environment": "produktion"}, "openerp:environment: is 'produktion'. Did you mean `production`?"),
        (
            {"environment": None},
            "openerp:environment: is missing. Give development or training or production.",
        ),
        ({"release": "19"}, "openerp:release: '19' has no second number (YAML turns 19.0 without quotes"),
        ({"release": 19.0}, "openerp:release: is the number 19.0, in which a final zero is lost"),
        ({"release": "saas~19.2"}, "openerp:release: saas~19.2 is a hosted-only release"),
        ({"release": "19.1"}, "openerp:release: 19.1 is a hosted-only release"),
        ({"users": 20}, "openerp:users: is 20. Give {total: number, simultaneous: number}."),
        ({"users": "20"}, "openerp:users: is 20. Give {total: number, simultaneous: number}."),
        ({"users": "twenty"}, "openerp:users: is 'twenty'. Give {total: number, simultaneous: number}."),
        ({"users.total": "many"}, "openerp:users.total: is 'many'. Give a whole number."),
        ({"users.total": 10.5}, "openerp:users.total: is 10.5. Give a whole number."),
        ({"users.total": True}, "openerp:users.total: is true. Give a whole number."),
        (
            {"users.simultaneous": 30},
            "openerp:users.simultaneous: 30 is more than `total`, 20. Give 20 at most.",
        ),
        ({"users.simultaneous": 0}, "openerp:users.simultaneous: is 0. Give at least 1."),
        ({"netwrok": {}}, "openerp:netwrok: is not a known key. Did you mean `network`?"),
        ({"network.cird": "x"}, "openerp:network.cird: is not a known key. Did you mean `cidr`?"),
        (
            {"access.hosted_zone": "x"},
            "openerp:access.hosted_zone: is not a known key. Did you mean `hostedZone`?",
        ),
        ({"network.cidr": "10.20.0.1/16"}, "bits set beyond its prefix. Write `10.20.0.0/16`."),
        ({"network.cidr": "8.8.0.0/16"}, "openerp:network.cidr: '8.8.0.0/16' is not a private range"),
        ({"network.cidr": "10.0.0.0/26"}, "openerp:network.cidr: '10.0.0.0/26' is too small"),
        ({"network.companyCidrs": ["10.20.8.0/24"]}, "10.20.0.0/16 overlaps 10.20.8.0/24 of `companyCidrs`"),
        (
            {"network.companyCidrs": "10.1.0.0/16"},
            "openerp:network.companyCidrs: is '10.1.0.0/16'. Give [text, …].",
        ),
        ({"network.availabilityZones": 1}, "openerp:network.availabilityZones: is 1. Give at least 2."),
        ({"network.availabilityZones": 4}, "openerp:network.availabilityZones: is 4. Give at most 3."),
        ({"network.zones": ["eu-central-1a", "eu-west-1b"]}, "'eu-west-1b' is not a zone of eu-central-1"),
        ({"network.natGateways": "one"}, "openerp:network.natGateways: is 'one'."),
        (
            {"network.flowLogRetentionDays": 31},
            "31 days is not a retention that CloudWatch Logs offers. The nearest",
        ),
        ({"database.engineVersion": 16.1}, "openerp:database.engineVersion: is the number 16.1"),
        ({"database.engineVersion": "15"}, "openerp:database.engineVersion: PostgreSQL 15 is not supported"),
        ({"database.instanceClass": "m7g.large"}, "Write `db.m7g.large`."),
        (
            {"database.instanceClass": "db.m7g.lage"},
            "openerp:database.instanceClass: 'db.m7g.lage' is not an RDS",
        ),
        ({"database.storageGb": 10}, "openerp:database.storageGb: is 10. Give at least 20."),
        ({"database.retentionDays": 36}, "openerp:database.retentionDays: is 36. Give at most 35."),
        ({"database.multiAz": "perhaps"}, "openerp:database.multiAz: is 'perhaps'. Give true or false."),
        ({"database.testName": "openerp"}, "openerp:database.testName: is 'openerp', the working database"),
        ({"database.workingName": "postgres"}, "openerp:database.workingName: 'postgres' is reserved"),
        (
            {"database.workingName": "Main-DB"},
            "openerp:database.workingName: 'Main-DB' is not a database name",
        ),
        (
            {"database.adminAccess": {"mode": "tunnel", "port": 1}},
            "openerp:database.adminAccess.host: is missing",
        ),
        (
            {"database.adminAccess": {"mode": "tunnel", "host": "h"}},
            "openerp:database.adminAccess.port: is missing",
        ),
        ({"database.adminAccess": {"port": 15432}}, "openerp:database.adminAccess.port: is set, and `mode`"),
        (
            {"database.restoreFrom": "prod/opening/x"},
            "openerp:database.restoreFrom: 'prod/opening' is not a usable",
        ),
        (
            {"fileStore.throughput": "elastc"},
            "openerp:fileStore.throughput: is 'elastc'. Did you mean `elastic`?",
        ),
        (
            {"database.restoreFrom": "opening@second time"},
            "openerp:database.restoreFrom: 'second time' is not a mark behind `@`",
        ),
        ({"database.restoreFrom": "opening@"}, "openerp:database.restoreFrom: '' is not a mark behind `@`"),
        (
            {"fileStore.restored": {"fileSystemId": "files", "path": "/odoo"}},
            "openerp:fileStore.restored.fileSystemId: 'files' is not the identifier of an EFS file system",
        ),
        *(
            (
                {"fileStore.restored": {"fileSystemId": "fs-0123456789abcdef0", "path": path}},
                f"openerp:fileStore.restored.path: '{path}' is not a directory of a file system",
            )
            for path in ("odoo", "/", "/odoo/", "/../odoo", "/a/b/c/d/e", "/a b")
        ),
        ({"fileStore.restored": {"path": "/odoo"}}, "openerp:fileStore.restored.fileSystemId: is missing"),
        ({"passwordVersions.application": 0}, "openerp:passwordVersions.application: is 0"),
        (
            {"backup.drill": {"schedule": "cron(0 3 * * * *)"}},
            "openerp:backup.drill.schedule: of day of month and day of week exactly one must be `?`",
        ),
        (
            {"backup.drill": {"schedule": "cron(0 8 ? * SUN *)", "maxAgeDays": 366}},
            "openerp:backup.drill.maxAgeDays: is 366",
        ),
        ({"database.restoreFrom": "prod/final"}, "openerp:database.restoreFrom: the final snapshot is not"),
        ({"database.restoreFrom": "snapshot:a--b"}, "'snapshot:a--b' is not `snapshot:` and an RDS snapshot"),
        ({"appServer.cronThreads": 0}, "openerp:appServer.cronThreads: is 0. Give at least 1."),
        (
            {"appServer.instanceType": "t4g.nano"},
            "openerp:appServer.instanceType: 't4g.nano' is not an instance",
        ),
        (
            {"webClientServer.maxServers": 200},
            "openerp:webClientServer.maxServers: is 200. Give at most 100.",
        ),
        ({"serverImage": "debian-13"}, "openerp:serverImage: 'debian-13' is not an image"),
        (
            {"access.domain": "https://ERP.example.com/"},
            "is not a host name. Did you mean `erp.example.com`?",
        ),
        ({"access.domain": "erp.example.org"}, "'erp.example.org' is not in the hosted zone 'example.com'"),
        ({"access.domain": "notexample.com"}, "'notexample.com' is not in the hosted zone 'example.com'"),
        ({"access.domain": "a" * 60 + ".example.com"}, "has 72 characters; a certificate's name holds 64"),
        ({"access.domain": 7}, "openerp:access.domain: is 7. Give text."),
        (
            {"access.hostedZone": None},
            "openerp:access.hostedZone: is missing; a certificate of `acm` is validated",
        ),
        ({"access.allowedCidrs": []}, "openerp:access.allowedCidrs: is an empty list. Give [text, …]."),
        (
            {"access.allowedCidrs": ["1.2.3.4"]},
            "openerp:access.allowedCidrs[0]: '1.2.3.4' has no prefix length",
        ),
        (
            {"access.loginRequestsPer5Minutes": 9},
            "openerp:access.loginRequestsPer5Minutes: is 9. Give at least 10.",
        ),
        ({"modules": ["Sale"]}, "openerp:modules[0]: 'Sale' is not a module's technical name"),
        (
            {"modules": ["crm", "crm"]},
            "openerp:modules[1]: 'crm' is given twice (first in [0]). Give each once.",
        ),
        (
            {"dataModules": [{"name": "m", "version": "1.0", "sha256": "x"}]},
            "dataModules[0].sha256: 'x' is not a SHA",
        ),
        ({"dataModules": [{"name": "m"}]}, "openerp:dataModules[0].version: is missing. Give text."),
        (
            {"dataModules": [{**MODULE, "name": "sale"}]},
            "openerp:dataModules[0].name: 'sale' is the name of another module, in whose place Odoo would",
        ),
        (
            {"dataModules": [{**MODULE, "name": "openerp_guard"}]},
            "openerp:dataModules[0].name: 'openerp_guard' is the name of another module",
        ),
        (
            {"modules": ["crm", "colours"], "dataModules": [MODULE]},
            "openerp:modules[1]: 'colours' is in `openerp:dataModules`, too. Leave it out here",
        ),
        (
            {"dataModulesFrom": "dev"},
            "openerp:dataModulesFrom: is set, and development is where data modules are proven",
        ),
        ({"provenModules": [{**PROOF, "release": "19"}]}, "provenModules[0].release: '19' has no second"),
        (
            {"provenModules": [{**PROOF, "created": {"res.partner": -1}}]},
            "openerp:provenModules[0].created.res.partner: is -1. Give at least 0.",
        ),
        (
            {"provenModules": [{**PROOF, "created": {"res.partner": "many"}}]},
            "openerp:provenModules[0].created.res.partner: is 'many'. Give a whole number.",
        ),
        (
            {"provenModules": [{**PROOF, "created": 3}]},
            "openerp:provenModules[0].created: is 3. Give {name: number, …}.",
        ),
        (
            {"provenModules": [{**PROOF, "verified": "yesterday"}]},
            "openerp:provenModules[0].verified: 'yesterday' is not a time in UTC",
        ),
        (
            {"provenModules": [PROOF, {**PROOF, "verified": "2026-11-29T10:12:00Z"}]},
            "openerp:provenModules[1]: 'colours",
        ),
        ({"package": {"source": "nightly"}}, "openerp:package.date: is missing; a nightly package is pinned"),
        ({"package": {"sha256": SHA}}, "openerp:package.sha256: is set, and `source` is `debian`"),
        ({"package": {"source": "image"}}, "is `image`, and `openerp:serverImage` is not set"),
        (
            {"package": {"source": "nightly", "date": 20261124, "sha256": SHA}},
            "openerp:package.date: 20261124 is in the future",
        ),
        (
            {"package": {"source": "nightly", "date": "20260231", "sha256": SHA}},
            "openerp:package.date: '20260231' is not a day as YYYYMMDD",
        ),
        (
            {"clientCertificates": [{"number": 0, "name": "a"}]},
            "clientCertificates[0].number: is 0. Give at least 1.",
        ),
        (
            {"clientCertificates": [{"number": 1}]},
            "openerp:clientCertificates[0].name: is missing. Give text.",
        ),
        (
            {"clientCertificates": ["a"]},
            "openerp:clientCertificates[0]: is 'a'. Give {number: number, name: text}.",
        ),
        ({"tenants": [{"name": "acme"}]}, "openerp:tenants: is set, and `openerp:offer` is hosted"),
        ({"pricePerUser": {"amount": 5}}, "openerp:pricePerUser: is set, and `openerp:offer` is hosted"),
        ({"backup.daily": {"retentionDays": 7}}, "openerp:backup.daily.schedule: is missing. Give text."),
        ({"backup.daily": {"schedule": "0 3 * * *", "retentionDays": 7}}, "'0 3 * * *' is not a schedule"),
        (
            {"backup.copyRegion": "eu-central-1"},
            "openerp:backup.copyRegion: eu-central-1 is the stack's own region",
        ),
        ({"backup.copyRegion": "eu-wst-1"}, "Did you mean `eu-west-1`?"),
        ({"backup.copyRegion": "cn-north-1"}, "are in different partitions of AWS"),
        ({"backup.checkpoints": ["a", "b", "a"]}, "openerp:backup.checkpoints[2]: 'a' is given twice"),
        ({"backup.checkpoints": ["a--b"]}, "openerp:backup.checkpoints[0]: 'a--b' is not a checkpoint label"),
        ({"backup.checkpoints": ["final"]}, "'final' is the name of the snapshot that RDS takes at the end"),
        (
            {"backup.vaultLock": {"minRetentionDays": 7}},
            "openerp:backup.vaultLock.maxRetentionDays: is missing",
        ),
        ({"monitoring.email": "me@home"}, "openerp:monitoring.email: 'me@home' is not an e-mail address"),
        (
            {"monitoring.monthlyBudgetUsd": 100},
            "openerp:monitoring.email: is missing; a budget needs somebody",
        ),
        (
            {"monitoring": {"email": "a@b.de", "monthlyBudgetUsd": 0}},
            "monthlyBudgetUsd: is 0. Give more than 0.",
        ),
        ({"allowUpgradeTo": "20.0"}, "openerp:allowUpgradeTo: is 20.0, `openerp:release` is 19.0"),
        ({"upgradeCheckpoint": "x"}, "openerp:upgradeCheckpoint: is set without `openerp:allowUpgradeTo`"),
        (
            {"allowUpgradeTo": "19.0"},
            "openerp:upgradeCheckpoint: is not set, and `openerp:allowUpgradeTo` is",
        ),
        ({"allowUpgradeTo": "19.0", "upgradeCheckpoint": "x"}, "'x' is not in `openerp:backup.checkpoints`"),
    ],
)
def test_a_wrong_value_names_its_key_and_what_would_be_right(
    refuse: Refuse, changes: dict[str, Any], message: str
) -> None:
    problems = refuse(changes)
    assert any(message in problem for problem in problems), problems


def test_a_bad_entry_of_a_list_is_one_problem(refuse: Refuse) -> None:
    assert refuse({"access.allowedCidrs": ["10.0.0.1/8"]}) == [
        "openerp:access.allowedCidrs[0]: '10.0.0.1/8' has bits set beyond its prefix. Write `10.0.0.0/8`."
    ]


@pytest.mark.parametrize(
    ("domain", "right"),
    [
        ("bücher.example.com", "Did you mean `xn--bcher-kva.example.com`?"),
        ("\x1b[31mred.example.com", "like `erp.example.com`"),
        ("a\nb.example.com", "like `erp.example.com`"),
    ],
)
def test_a_host_name_in_other_letters_is_not_cut_to_another_name(
    refuse: Refuse, domain: str, right: str
) -> None:
    assert right in refuse({"access.domain": domain, "access.certificate": "private"})[0]


def test_everything_that_is_wrong_is_reported_at_once(refuse: Refuse) -> None:
    problems = refuse(
        {
            "environment": "prod",
            "netwrok": {},
            "users": 20,
            "access.domain": "erp.example.org",
            "modules": ["crm", "crm"],
            "backup.checkpoints": ["a", "a"],
        },
        stack="Dev",
        region="eu-central-9",
    )
    keys = [problem.split(": ")[0] for problem in problems]
    assert sorted(keys) == [
        "aws:region",
        "openerp:access.domain",
        "openerp:backup.checkpoints[1]",
        "openerp:environment",
        "openerp:modules[1]",
        "openerp:netwrok",
        "openerp:users",
        "stack name",
    ]


def test_the_message_counts_and_lists_the_problems() -> None:
    with pytest.raises(SettingsError) as caught:
        parse({**SOUND, "users": 1, "offer": "x"}, stack="dev", region="eu-central-1", today=TODAY)
    head, *rest = str(caught.value).splitlines()
    assert head == "The settings of stack 'dev' cannot be used: 2 things are wrong. Nothing was touched."
    assert [line[:4] for line in rest] == ["  - ", "  - "]


@pytest.mark.parametrize("region", ["", "eu-central-1a", "mars-north-1"])
def test_the_region_is_checked_without_asking_aws(refuse: Refuse, region: str) -> None:
    (problem,) = refuse(region=region)
    assert problem.startswith("aws:region:")


def test_more_zones_than_the_region_has_are_refused(refuse: Refuse) -> None:
    (problem,) = refuse({"network.availabilityZones": 3}, region="us-west-1")
    assert problem.startswith("openerp:network.availabilityZones: us-west-1 has 2 zones")


def test_zones_can_be_named(read: Read) -> None:
    settings = read({"network.zones": ["eu-central-1c", "eu-central-1a"]})
    assert settings.availability_zones == ("eu-central-1c", "eu-central-1a")


@pytest.mark.parametrize("stack", ["", "Prod", "prod_1", "1prod", "prod-", "pr--od", "a" * 17])
def test_a_stack_name_that_no_physical_name_can_hold_is_refused(refuse: Refuse, stack: str) -> None:
    (problem,) = refuse(stack=stack)
    assert problem.startswith("stack name:")


def test_production_accepts_what_its_rules_ask_for(read: Read, production: dict[str, Any]) -> None:
    settings = read(base=production)
    assert settings.protect
    assert {warning.split(" ")[0] for warning in settings.warnings} == {
        "openerp:appServer.minServers",
        "openerp:webClientServer.minServers",
        "openerp:network.natGateways",
        "openerp:monitoring.email",
        "openerp:backup.drill",
        "openerp:access.waf",
    }


@pytest.mark.parametrize(
    ("changes", "key"),
    [
        ({"protect": None}, "openerp:protect"),
        ({"database.multiAz": None}, "openerp:database.multiAz"),
        ({"database.deletionProtection": None}, "openerp:database.deletionProtection"),
        ({"database.retentionDays": 6}, "openerp:database.retentionDays"),
        ({"backup.vaultLock": None}, "openerp:backup.vaultLock"),
        ({"backup.copyRegion": None}, "openerp:backup.copyRegion"),
        ({"fileStore.backup": False}, "openerp:fileStore.backup"),
        ({"release": "5.1"}, "openerp:release"),
        ({"release": "17.0"}, "openerp:release"),
    ],
)
def test_production_refuses_to_run_unprotected(
    refuse: Refuse, production: dict[str, Any], changes: dict[str, Any], key: str
) -> None:
    (problem,) = refuse(changes, base=production)
    assert problem.startswith(f"{key}: ")


def test_production_runs_an_unsupported_release_only_knowingly(
    read: Read, production: dict[str, Any]
) -> None:
    settings = read({"release": "17.0", "allowUnsupportedRelease": True}, base=production)
    assert any("2026-09-30" in warning for warning in settings.warnings)


def test_the_day_that_is_passed_in_decides_about_support(refuse: Refuse, production: dict[str, Any]) -> None:
    (problem,) = refuse(base=production, today=date(2028, 10, 1))
    assert "support of 19.0 ended on 2028-09-30" in problem


def test_an_upgrade_is_permitted_with_a_checkpoint_that_exists(read: Read) -> None:
    settings = read(
        {"allowUpgradeTo": "19.0", "upgradeCheckpoint": "before", "backup.checkpoints": ["before"]}
    )
    assert settings.upgrade_checkpoint == "before"


@pytest.mark.parametrize(
    ("lock", "key"),
    [
        ({"minRetentionDays": 40, "maxRetentionDays": 400}, "openerp:backup.daily.retentionDays"),
        ({"minRetentionDays": 7, "maxRetentionDays": 30}, "openerp:backup.daily.retentionDays"),
        ({"minRetentionDays": 50, "maxRetentionDays": 30}, "openerp:backup.vaultLock.maxRetentionDays"),
        (
            {"minRetentionDays": 7, "maxRetentionDays": 400, "changeableForDays": 2},
            "openerp:backup.vaultLock.changeableForDays",
        ),
    ],
)
def test_a_lock_that_no_backup_fits_is_refused(refuse: Refuse, lock: dict[str, int], key: str) -> None:
    (problem,) = refuse({"backup.vaultLock": lock})
    assert problem.startswith(f"{key}: ")


def test_a_rarer_backup_is_kept_at_least_as_long(refuse: Refuse) -> None:
    (problem,) = refuse({"backup.weekly": {"schedule": "cron(0 4 ? * SUN *)", "retentionDays": 20}})
    assert problem.startswith("openerp:backup.weekly.retentionDays: 20 days is less than the 35 of `daily`")


def test_saas_takes_tenants_and_a_price(read: Read) -> None:
    settings = read(
        {
            "offer": "saas",
            "tenants": [{"name": "acme"}, {"name": "globex-ltd"}],
            "pricePerUser": {"amount": 19.9},
        }
    )
    assert [tenant.name for tenant in settings.tenants] == ["acme", "globex-ltd"]
    assert settings.price_per_user is not None
    assert settings.price_per_user.amount == Decimal("19.9")


@pytest.mark.parametrize(
    "name",
    [
        *("openerp", "working", "test", "postgres", "template0", "rdsadmin", "www"),
        *("a", "1a", "a_b", "Acme", "acme-", "-acme", "a.b", "a b", "", "a" * 41),
    ],
)
def test_a_tenant_is_a_host_and_a_database_that_is_nobody_elses(refuse: Refuse, name: str) -> None:
    problems = refuse({"offer": "saas", "tenants": [{"name": name}]})
    assert [problem.split(":")[1] for problem in problems] == ["tenants[0].name"]


def test_a_tenant_is_named_once(refuse: Refuse) -> None:
    (problem,) = refuse({"offer": "saas", "tenants": [{"name": "acme"}, {"name": "acme"}]})
    assert problem.startswith("openerp:tenants[1].name: 'acme' is given twice")


def test_a_wildcard_certificates_name_must_fit(refuse: Refuse) -> None:
    domain = "a" * 51 + ".example.com"
    (problem,) = refuse({"offer": "saas", "access.domain": domain})
    assert "has 65 characters; a certificate's name holds 64" in problem


def test_saas_refuses_own_modules(refuse: Refuse) -> None:
    problems = refuse(
        {
            "offer": "saas",
            "modules": ["my_module"],
            "dataModules": [{"name": "mine", "version": "1.0", "sha256": SHA}],
        }
    )
    assert [problem.split(": ")[0] for problem in problems] == ["openerp:dataModules", "openerp:modules[0]"]


def test_training_and_production_name_the_stack_that_proves_their_data_modules(
    read: Read, refuse: Refuse
) -> None:
    for base in ({**SOUND, "environment": "training"}, PRODUCTION):
        (problem,) = refuse({"dataModules": [MODULE]}, base=base, stack="prod")
        assert problem.startswith("openerp:dataModulesFrom: is not set, and `openerp:dataModules` is")
        (problem,) = refuse({"dataModulesFrom": "prod"}, base=base, stack="prod")
        assert problem.startswith("openerp:dataModulesFrom: is this stack itself")
        (problem,) = refuse({"provenModules": [PROOF]}, base=base, stack="prod")
        assert problem.startswith("openerp:provenModules: is set, and `openerp:environment` is")
        settings = read({"dataModules": [MODULE], "dataModulesFrom": "dev"}, base=base, stack="prod")
        assert settings.data_modules[0].name == "colours"


def test_a_ledger_holds_a_module_in_several_versions_and_for_several_releases(read: Read) -> None:
    ledger = [PROOF, {**PROOF, "release": "18.0"}, {**PROOF, "version": "1.1", "sha256": "a" * 64}]
    assert len(read({"provenModules": ledger, "dataModules": [MODULE]}).proven_modules) == 3


def test_internal_is_reachable_from_the_companys_networks_only(read: Read, refuse: Refuse) -> None:
    internal = {"offer": "internal", "access.certificate": "private", "access.hostedZone": None}
    settings = read({**internal, "network.companyCidrs": ["192.168.0.0/16"]})
    assert settings.client_cidrs == ("192.168.0.0/16",)
    (problem,) = refuse(internal)
    assert problem.startswith("openerp:network.companyCidrs: is empty")


def test_two_certificates_share_neither_number_nor_name(refuse: Refuse) -> None:
    problems = refuse({"clientCertificates": [{"number": 1, "name": "a"}, {"number": 1, "name": "a"}]})
    assert [problem.split(": ")[0] for problem in problems] == [
        "openerp:clientCertificates[1].number",
        "openerp:clientCertificates[1].name",
    ]


def test_a_range_without_room_for_the_servers_is_refused(refuse: Refuse) -> None:
    (problem,) = refuse(
        {
            "network.cidr": "10.20.0.0/23",
            "webClientServer.maxServers": 90,
            "appServer.maxServers": 5,
            "database.instanceClass": "db.m7g.16xlarge",
        }
    )
    assert problem.startswith("openerp:network.cidr: 10.20.0.0/23 has room for 86 servers")


def test_sizing_by_hand_is_held_to_the_budget(refuse: Refuse) -> None:
    (problem,) = refuse({"database.instanceClass": "db.t4g.micro"})
    assert problem.startswith("openerp:database.instanceClass: db.t4g.micro carries 70 connections")


def test_leaving_the_logical_databases_out_is_said_aloud(read: Read) -> None:
    (warning,) = read({"database.adminAccess": {"mode": "none"}}).warnings
    assert "are left out" in warning


def test_a_module_that_is_not_known_is_said_aloud(read: Read) -> None:
    (warning,) = read({"modules": ["crm", "my_module"]}).warnings
    assert "my_module" in warning


@pytest.mark.parametrize(
    "origin",
    [
        "opening",
        "prod/opening",
        "snapshot:openerp-prod-final",
        "snapshot:rds:a-1-2",
        "opening@2",
        "prod/opening@second-time",
        "snapshot:openerp-prod-final@20270101T101500Z",
    ],
)
def test_a_database_starts_from_a_checkpoint_or_a_snapshot(read: Read, origin: str) -> None:
    assert read({"database.restoreFrom": origin}).database.restore_from == origin
