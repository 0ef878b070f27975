"""Rules over several settings, the stack's name, its region and today's date.

Each rule names the top-level keys it reads. It runs when these could be read, so that one wrong key hides
no problem of another.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import date
from itertools import pairwise
from typing import Final

from core import checks, module_package, offers, regions, release, subnets
from core.problems import Invalid, Problem, full_key
from core.settings_model import ConfiguredSettings
from core.sizing import Sizing


@dataclass(frozen=True, kw_only=True)
class Context:
    """What a rule may know besides the settings."""

    stack: str
    region: str
    today: date


Rule = Callable[[ConfiguredSettings, Context], Iterator[Problem]]
_RULES: Final[list[tuple[tuple[str, ...], Rule]]] = []


def _rule(*fields: str) -> Callable[[Rule], Rule]:
    def register(rule: Rule) -> Rule:
        _RULES.append((fields, rule))
        return rule

    return register


def problems(settings: ConfiguredSettings, context: Context, unreadable: Iterable[str]) -> Iterator[Problem]:
    """Yield what the rules find; those that read an `unreadable` field (snake_case) are left out."""
    skip = frozenset(unreadable)
    for fields, rule in _RULES:
        if skip.isdisjoint(fields):
            yield from rule(settings, context)
    if "environment" not in skip and settings.environment == "production":
        yield from _production(settings, skip)


def _problem(key: Sequence[str | int], wrong: str, right: str) -> Problem:
    return Problem(key=full_key(*key), wrong=wrong, right=right)


def _duplicates(values: Sequence[object], key: Callable[[int], Sequence[str | int]]) -> Iterator[Problem]:
    first: dict[object, int] = {}
    for index, value in enumerate(values):
        if value in first:
            yield _problem(
                key(index),
                f"{checks.show(value)} is given twice (first in [{first[value]}])",
                "Give each once",
            )
        else:
            first[value] = index


@_rule("release", "environment", "allow_unsupported_release")
def _release_policy(s: ConfiguredSettings, c: Context) -> Iterator[Problem]:
    try:
        release.check(
            release.parse(s.release),
            environment=s.environment,
            today=c.today,
            allow_unsupported=s.allow_unsupported_release,
        )
    except Invalid as invalid:
        yield _problem(["release"], invalid.wrong, invalid.right)


@_rule("release", "allow_upgrade_to", "upgrade_checkpoint", "backup")
def _upgrade(s: ConfiguredSettings, c: Context) -> Iterator[Problem]:
    if s.allow_upgrade_to is not None:
        if release.parse(s.allow_upgrade_to) != release.parse(s.release):
            yield _problem(
                ["allowUpgradeTo"],
                f"is {s.allow_upgrade_to}, `openerp:release` is {s.release}",
                "Make the two agree, or leave `allowUpgradeTo` out when no upgrade is meant",
            )
        if s.upgrade_checkpoint is None:
            yield _problem(
                ["upgradeCheckpoint"],
                "is not set, and `openerp:allowUpgradeTo` is",
                "Name the checkpoint to go back to, one of `openerp:backup.checkpoints`",
            )
    elif s.upgrade_checkpoint is not None:
        yield _problem(
            ["upgradeCheckpoint"],
            "is set without `openerp:allowUpgradeTo`",
            "Set both for an upgrade, or neither",
        )
    if s.upgrade_checkpoint is not None and s.upgrade_checkpoint not in s.backup.checkpoints:
        yield _problem(
            ["upgradeCheckpoint"],
            f"{checks.show(s.upgrade_checkpoint)} is not in `openerp:backup.checkpoints`",
            "Add the label there, deploy, and upgrade afterwards",
        )


@_rule("package", "server_image")
def _package(s: ConfiguredSettings, c: Context) -> Iterator[Problem]:
    package = s.package
    for name, value in (("date", package.date), ("sha256", package.sha256)):
        if package.source == "nightly" and value is None:
            yield _problem(
                ["package", name],
                "is missing; a nightly package is pinned by date and hash",
                "Set both `date` and `sha256`",
            )
        if package.source != "nightly" and value is not None:
            yield _problem(
                ["package", name],
                f"is set, and `source` is `{package.source}`",
                "Leave it out, or set `source: nightly`",
            )
    if package.date is not None and package.date > c.today.strftime("%Y%m%d"):
        yield _problem(
            ["package", "date"], f"{package.date} is in the future", "Name a day that has been published"
        )
    if package.source == "image" and s.server_image is None:
        yield _problem(
            ["package", "source"],
            "is `image`, and `openerp:serverImage` is not set",
            "Name the image that OpenERP is installed in",
        )


@_rule("users")
def _users(s: ConfiguredSettings, c: Context) -> Iterator[Problem]:
    if s.users.simultaneous > s.users.total:
        yield _problem(
            ["users", "simultaneous"],
            f"{s.users.simultaneous} is more than `total`, {s.users.total}",
            f"Give {s.users.total} at most",
        )


@_rule("network")
def _network(s: ConfiguredSettings, c: Context) -> Iterator[Problem]:
    for other in subnets.overlapping(s.network.cidr, s.network.company_cidrs):
        yield _problem(
            ["network", "cidr"],
            f"{s.network.cidr} overlaps {other} of `companyCidrs`",
            "Choose a range that the company does not use",
        )
    yield from _duplicates(s.network.company_cidrs, lambda i: ["network", "companyCidrs", i])


@_rule("database")
def _database(s: ConfiguredSettings, c: Context) -> Iterator[Problem]:
    database = s.database
    if database.working_name == database.test_name:
        yield _problem(
            ["database", "testName"],
            f"is {checks.show(database.test_name)}, the working database",
            "Give the test database a name of its own",
        )
    access = database.admin_access
    for name, value in (("host", access.host), ("port", access.port)):
        if access.mode == "tunnel" and value is None:
            yield _problem(
                ["database", "adminAccess", name],
                "is missing with `mode: tunnel`",
                "Give the near end of the tunnel that you opened, for example `127.0.0.1` and `15432`",
            )
        if access.mode != "tunnel" and value is not None:
            yield _problem(
                ["database", "adminAccess", name],
                f"is set, and `mode` is `{access.mode}`",
                "Leave it out, or set `mode: tunnel`",
            )


@_rule("access", "offer", "network", "tenants")
def _access(s: ConfiguredSettings, c: Context) -> Iterator[Problem]:
    access = s.access
    if access.hosted_zone is None:
        if access.certificate == "acm":
            yield _problem(
                ["access", "hostedZone"],
                "is missing; a certificate of `acm` is validated in DNS",
                f"Name the Route 53 zone that holds {access.domain}, or set `certificate: private`",
            )
    elif access.domain != access.hosted_zone and not access.domain.endswith(f".{access.hosted_zone}"):
        yield _problem(
            ["access", "domain"],
            f"{checks.show(access.domain)} is not in the hosted zone {checks.show(access.hosted_zone)}",
            f"Use a host like `erp.{access.hosted_zone}`, or name the zone that holds it",
        )
    if s.offer == "saas" and len(access.domain) > 62:
        yield _problem(
            ["access", "domain"],
            f"`*.{access.domain}` has {len(access.domain) + 2} characters; a certificate's name holds 64",
            "Choose a shorter host name",
        )
    for index, tenant in enumerate(s.tenants):
        host = f"{tenant.name}.{access.domain}"
        if len(host) > 253:
            yield _problem(
                ["tenants", index, "name"], f"{host} is over 253 characters", "Choose a shorter name"
            )
    yield from _duplicates(access.allowed_cidrs, lambda i: ["access", "allowedCidrs", i])


@_rule("offer", "access", "network", "tenants", "data_modules", "modules", "price_per_user", "database")
def _offer(s: ConfiguredSettings, c: Context) -> Iterator[Problem]:
    request = offers.OfferRequest(
        offer=s.offer,
        certificate=s.access.certificate,
        company_cidrs=s.network.company_cidrs,
        allowed_cidrs=s.access.allowed_cidrs,
        tenants=tuple(t.name for t in s.tenants),
        modules=s.modules,
        data_modules=tuple(m.name for m in s.data_modules),
        priced=s.price_per_user is not None,
        admin_access=s.database.admin_access.mode,
    )
    yield from offers.problems(request)


@_rule("tenants", "database")
def _tenants(s: ConfiguredSettings, c: Context) -> Iterator[Problem]:
    yield from _duplicates([t.name for t in s.tenants], lambda i: ["tenants", i, "name"])
    own = {s.database.working_name: "working", s.database.test_name: "test"}
    for index, tenant in enumerate(s.tenants):
        if tenant.name in own or tenant.name in ("working", "test"):
            which = own.get(tenant.name, tenant.name)
            yield _problem(
                ["tenants", index, "name"],
                f"{checks.show(tenant.name)} is the {which} database",
                "Choose another name for the tenant",
            )


@_rule("modules", "data_modules")
def _modules(s: ConfiguredSettings, c: Context) -> Iterator[Problem]:
    yield from _duplicates(s.modules, lambda i: ["modules", i])
    yield from _duplicates([m.name for m in s.data_modules], lambda i: ["dataModules", i, "name"])
    for index, module in enumerate(s.data_modules):
        for wrong in module_package.name_problems(module.name):
            yield _problem(["dataModules", index, "name"], wrong, "Give the module a name of its own")
        if module.name in s.modules:
            yield _problem(
                ["modules", s.modules.index(module.name)],
                f"{checks.show(module.name)} is in `openerp:dataModules`, too",
                "Leave it out here: a data module is installed by `ops modules load`",
            )


@_rule("environment", "data_modules", "data_modules_from", "proven_modules")
def _promotion(s: ConfiguredSettings, c: Context) -> Iterator[Problem]:
    """Where proof must come from; `core.promotion` looks at the proof itself."""
    source = s.data_modules_from
    if s.environment == "development":
        if source is not None:
            yield _problem(
                ["dataModulesFrom"],
                "is set, and development is where data modules are proven",
                "Leave it out",
            )
    else:
        if s.proven_modules:
            yield _problem(
                ["provenModules"],
                f"is set, and `openerp:environment` is {s.environment}: modules are proven in development",
                "Leave it out, and name the development stack as `openerp:dataModulesFrom`",
            )
        if s.data_modules and source is None:
            yield _problem(
                ["dataModulesFrom"],
                "is not set, and `openerp:dataModules` is",
                "Name the development stack whose ledger proves them",
            )
    if source is not None and source == c.stack:
        yield _problem(["dataModulesFrom"], "is this stack itself", "Name a development stack")
    yield from _duplicates(
        [f"{m.name} {m.sha256} {m.release}" for m in s.proven_modules], lambda i: ["provenModules", i]
    )


@_rule("client_certificates")
def _client_certificates(s: ConfiguredSettings, c: Context) -> Iterator[Problem]:
    found = s.client_certificates
    yield from _duplicates([e.number for e in found], lambda i: ["clientCertificates", i, "number"])
    yield from _duplicates([e.name for e in found], lambda i: ["clientCertificates", i, "name"])


@_rule("backup")
def _backup(s: ConfiguredSettings, c: Context) -> Iterator[Problem]:
    backup = s.backup
    yield from _duplicates(backup.checkpoints, lambda i: ["backup", "checkpoints", i])
    rules = [
        (name, rule)
        for name, rule in (("daily", backup.daily), ("weekly", backup.weekly), ("monthly", backup.monthly))
        if rule is not None
    ]
    for (short_name, short), (long_name, long) in pairwise(rules):
        if long.retention_days < short.retention_days:
            yield _problem(
                ["backup", long_name, "retentionDays"],
                f"{long.retention_days} days is less than the {short.retention_days} of `{short_name}`: the "
                "rule adds nothing",
                f"Give {short.retention_days} or more",
            )
    lock = backup.vault_lock
    if lock is None:
        return
    if lock.max_retention_days < lock.min_retention_days:
        yield _problem(
            ["backup", "vaultLock", "maxRetentionDays"],
            f"{lock.max_retention_days} is below `minRetentionDays`, {lock.min_retention_days}",
            "Make it the larger of the two",
        )
        return
    for name, rule in rules:
        if not lock.min_retention_days <= rule.retention_days <= lock.max_retention_days:
            yield _problem(
                ["backup", name, "retentionDays"],
                f"{rule.retention_days} days is outside the vault lock, {lock.min_retention_days} to "
                f"{lock.max_retention_days} days; AWS Backup would fail every job",
                "Change the retention or the lock",
            )


@_rule("monitoring")
def _monitoring(s: ConfiguredSettings, c: Context) -> Iterator[Problem]:
    if s.monitoring.monthly_budget_usd is not None and s.monitoring.email is None:
        yield _problem(
            ["monitoring", "email"],
            "is missing; a budget needs somebody to tell",
            "Set it, or leave `monthlyBudgetUsd` out",
        )


_PRODUCTION: Final[
    tuple[tuple[tuple[str, ...], str, Callable[[ConfiguredSettings], bool], str, str], ...]
] = (
    (("protect",), "protect", lambda s: s.protect, "is false", "Set `true`"),
    (
        ("database", "deletionProtection"),
        "database",
        lambda s: s.database.deletion_protection,
        "is false",
        "Set `true`",
    ),
    (("database", "multiAz"), "database", lambda s: s.database.multi_az, "is false", "Set `true`"),
    (
        ("database", "retentionDays"),
        "database",
        lambda s: s.database.retention_days >= 7,
        "is below 7 days",
        "Give 7 to 35",
    ),
    (("fileStore", "backup"), "file_store", lambda s: s.file_store.backup, "is false", "Set `true`"),
    (
        ("backup", "vaultLock"),
        "backup",
        lambda s: s.backup.vault_lock is not None,
        "is not set",
        "Set it, for example `{minRetentionDays: 7, maxRetentionDays: 400}`",
    ),
    (
        ("backup", "copyRegion"),
        "backup",
        lambda s: s.backup.copy_region is not None,
        "is not set",
        "Name a second region for copies of the backups",
    ),
)


def _production(s: ConfiguredSettings, skip: frozenset[str]) -> Iterator[Problem]:
    """Yield what production demands and the settings do not have."""
    for key, needs, fulfilled, wrong, right in _PRODUCTION:
        if needs not in skip and not fulfilled(s):
            yield _problem(key, f"{wrong}, and `openerp:environment` is production", right)


@_rule("backup")
def _copy_region(s: ConfiguredSettings, c: Context) -> Iterator[Problem]:
    copy = s.backup.copy_region
    if copy is None:
        return
    try:
        second = regions.find(copy)
    except Invalid as invalid:
        yield _problem(["backup", "copyRegion"], invalid.wrong, invalid.right)
        return
    first = regions.REGIONS.get(c.region)
    if copy == c.region:
        yield _problem(["backup", "copyRegion"], f"{copy} is the stack's own region", "Name another one")
    elif first and first.partition != second.partition:
        yield _problem(
            ["backup", "copyRegion"],
            f"{copy} and {c.region} are in different partitions of AWS, between which nothing is copied",
            "Name a region of the same partition",
        )


def address_problems(cidr: str, zones: Sequence[str], decided: Sizing) -> Iterator[Problem]:
    """Yield a problem when the server subnets have fewer addresses than there may be servers.

    Interface endpoints, EFS mount targets and what else lives there are given 16 addresses a zone.
    """
    plan = subnets.plan(cidr, zones)
    room = sum(max(0, subnets.usable_addresses(subnet) - 16) for subnet in plan.server)
    needed = decided.app.most_servers + decided.web_client.most_servers
    if needed > room:
        yield _problem(
            ["network", "cidr"],
            f"{cidr} has room for {room} servers; the two groups may hold {needed} during a rolling refresh",
            "Choose a larger range, or lower `maxServers` of the groups",
        )


def warnings(s: ConfiguredSettings, c: Context) -> tuple[str, ...]:
    """Return sentences for the operator about settings that are allowed and worth a thought."""
    found = list(
        release.check(
            release.parse(s.release),
            environment=s.environment,
            today=c.today,
            allow_unsupported=s.allow_unsupported_release,
        )
    )
    if s.database.admin_access.mode == "none":
        found.append(
            "openerp:database.adminAccess.mode is none: logical databases, roles and grants are left out."
        )
    if s.environment == "production":
        for key, group in (("appServer", s.app_server), ("webClientServer", s.web_client_server)):
            if group.min_servers < 2:
                found.append(f"openerp:{key}.minServers is 1: the loss of one server interrupts the service.")
        if s.network.nat_gateways == "single":
            found.append("openerp:network.natGateways is single: the loss of its zone cuts every server off.")
        if s.monitoring.email is None:
            found.append("openerp:monitoring.email is not set: nobody is told of an alarm.")
        if s.backup.drill is None:
            found.append(
                "openerp:backup.drill is not set: nobody proves that the backups can be restored, and nobody "
                "is told when that was last done."
            )
        if s.offer != "internal" and not s.access.waf and "0.0.0.0/0" in s.access.allowed_cidrs:
            found.append(
                "openerp:access.waf is false: the login page is open to the internet without a limit."
            )
    unknown = [m for m in s.modules if not offers.is_standard(m)]
    if unknown:
        found.append(
            "openerp:modules names modules that are not among the standard ones known to this program: "
            + ", ".join(unknown)
            + "."
        )
    return tuple(found)
