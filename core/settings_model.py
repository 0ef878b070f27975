"""The shape of the settings: every key of the configuration, its type, default and meaning.

Frozen pydantic models. Python names are snake_case, configuration keys camelCase. Rules that need more
than the one value (or the stack, the region, today's date) are in `core/settings_rules.py`.

Each field carries what docs/settings.md prints: `description`, and where they apply `unit` and `refused`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from decimal import Decimal
from typing import Annotated, Any, Final, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field
from pydantic.alias_generators import to_camel

from core import checks
from core.problems import Invalid

DEFAULT_SERVER_IMAGE: Final = "resolve:ssm:/aws/service/debian/release/13/latest/{architecture}"
"""Debian's own images by SSM (`arm64`, `amd64`): wiki.debian.org/Cloud/AmazonEC2Image."""


def _whole_number(value: object) -> object:
    if isinstance(value, bool):
        raise Invalid(f"is {json.dumps(value)}", "Give a whole number")
    return value


def _text_of_whole_number(value: object) -> object:
    """Accept 16 for "16"; refuse 16.10, which YAML has already turned into 16.1."""
    if isinstance(value, bool):
        return value
    if isinstance(value, int) and abs(value) < 10**15:
        return str(value)
    if isinstance(value, float):
        raise Invalid(f"is the number {value}, in which a final zero is lost", "Write it in quotes")
    return value


Int = Annotated[int, BeforeValidator(_whole_number)]
NumberText = Annotated[str, BeforeValidator(_text_of_whole_number)]


def _field(
    default: Any,
    description: str,
    *,
    unit: str = "",
    refused: str = "",
    **constraints: Any,
) -> Any:
    extra: dict[str, Any] = {}
    if unit:
        extra["unit"] = unit
    if refused:
        extra["refused"] = refused
    return Field(default, description=description, json_schema_extra=extra, **constraints)


class Section(BaseModel):
    """Common to all models: frozen, camelCase keys, no unknown key, defaults checked as well."""

    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        alias_generator=to_camel,
        populate_by_name=False,
        validate_default=True,
        allow_inf_nan=False,
    )


class Package(Section):
    """Where the servers get OpenERP from."""

    source: Literal["nightly", "debian", "image"] = _field(
        "debian",
        "`debian`: the distribution's package. `nightly`: the official package of one day, pinned by date "
        "and hash. `image`: already installed in `serverImage`.",
        refused="`image` without `serverImage`",
    )
    date: Annotated[NumberText | None, BeforeValidator(checks.optional(checks.package_date))] = _field(
        None,
        "Day of the nightly package, as in its file name.",
        unit="YYYYMMDD",
        refused="a day that does not exist or is in the future; required with `nightly`, refused otherwise",
    )
    sha256: Annotated[str | None, BeforeValidator(checks.optional(checks.sha256))] = _field(
        None,
        "SHA-256 of the nightly package.",
        unit="64 hexadecimal digits",
        refused="anything else; required with `nightly`, refused otherwise",
    )


class DataModule(Section):
    """A data module that the servers get, known by its hash."""

    name: Annotated[str, BeforeValidator(checks.module_name)] = _field(
        ..., "Technical name of the module.", refused="not `[a-z][a-z0-9_]*`; twice; a standard module's"
    )
    version: Annotated[NumberText, BeforeValidator(checks.module_version)] = _field(
        ..., "Version in the module's manifest.", refused="anything but numbers and dots"
    )
    sha256: Annotated[str, BeforeValidator(checks.sha256)] = _field(
        ...,
        "SHA-256 of the module's files, as `ops modules verify` prints it.",
        unit="64 hexadecimal digits",
        refused="anything else",
    )


class ProvenModule(Section):
    """An entry of the ledger: a data module that `ops modules verify` has proven on development."""

    name: Annotated[str, BeforeValidator(checks.module_name)] = _field(
        ..., "Technical name of the module.", refused="not `[a-z][a-z0-9_]*`"
    )
    version: Annotated[NumberText, BeforeValidator(checks.module_version)] = _field(
        ..., "Version in the module's manifest.", refused="anything but numbers and dots"
    )
    sha256: Annotated[str, BeforeValidator(checks.sha256)] = _field(
        ...,
        "SHA-256 of the module's files.",
        unit="64 hexadecimal digits",
        refused="anything else; the same module, hash and release twice",
    )
    release: Annotated[str, BeforeValidator(checks.release)] = _field(
        ..., "Release of OpenERP that it was proven on.", refused="not a release"
    )
    created: dict[str, Annotated[Int, Field(ge=0)]] = _field(
        ..., "How many records it made, by model.", refused="a negative number"
    )
    verified: Annotated[str, BeforeValidator(checks.utc_time)] = _field(
        ..., "When it was proven.", unit="UTC, as `2026-11-28T10:12:00Z`", refused="anything else"
    )


class Users(Section):
    """How many people the deployment is for; sizing starts here."""

    total: Int = _field(..., "People with an account.", unit="people", refused="below 1", ge=1, le=1_000_000)
    simultaneous: Int = _field(
        ...,
        "People who work at the same moment.",
        unit="people",
        refused="below 1; more than `total`",
        ge=1,
        le=1_000_000,
    )


class Network(Section):
    """The VPC and its subnets."""

    cidr: Annotated[str, BeforeValidator(checks.vpc_cidr)] = _field(
        "10.20.0.0/16",
        "Range of the VPC.",
        unit="CIDR",
        refused="host bits set; not private (RFC 1918); larger than /16 or smaller than /23; overlaps "
        "`companyCidrs`",
    )
    availability_zones: Int = _field(
        2,
        "Number of availability zones.",
        unit="zones",
        refused="other than 2 or 3; more than the region has",
        ge=2,
        le=3,
    )
    zones: tuple[str, ...] = _field(
        (),
        "The zones by name (`[us-west-1a, us-west-1c]`), for an account without the region's first "
        "ones. Only ever add at the end: a zone's subnets follow its place in the list.",
        refused="not a zone of the region; twice; other in number than `availabilityZones`",
    )
    nat_gateways: Literal["single", "one-per-az"] = _field(
        "single", "One NAT gateway for all zones (cheaper), or one a zone (survives the loss of a zone)."
    )
    interface_endpoints: bool = _field(
        False,
        "Interface endpoints for SSM, Secrets Manager and logs, so that these stay off the NAT gateway.",
    )
    flow_log_retention_days: Annotated[Int, BeforeValidator(checks.log_retention)] = _field(
        30,
        "How long flow logs are kept.",
        unit="days",
        refused="a number that CloudWatch Logs does not offer (1, 3, 5, 7, 14, 30, 60, 90, 120, 180, 365, …)",
    )
    company_cidrs: tuple[Annotated[str, BeforeValidator(checks.cidr)], ...] = _field(
        (),
        "The company's own networks, reached by VPN or Direct Connect. Offer `internal` is reachable from "
        "these only.",
        unit="CIDR",
        refused="host bits set; overlaps `cidr`; empty with offer `internal`",
    )


class AdminAccess(Section):
    """How the engine reaches the private database server for logical databases and roles."""

    mode: Literal["direct", "tunnel", "none"] = _field(
        "direct",
        "`direct`: the runner is in the VPC or on the VPN. `tunnel`: through a port-forward that you open "
        "(docs/components/database-server.md). `none`: databases, roles and grants are left out, with a "
        "warning.",
        refused="`none` with tenants",
    )
    host: Annotated[str | None, BeforeValidator(checks.optional(checks.host))] = _field(
        None, "Near end of the tunnel.", refused="missing with `tunnel`; given with another mode"
    )
    port: Int | None = _field(
        None,
        "Port of the near end of the tunnel.",
        unit="TCP port",
        refused="missing with `tunnel`; given with another mode; not 1–65535",
        ge=1,
        le=65535,
    )


class Database(Section):
    """The database server (RDS PostgreSQL) and its databases."""

    engine_version: Annotated[NumberText, BeforeValidator(checks.engine_version)] = _field(
        "16",
        "PostgreSQL version, `16` (RDS picks the minor version) or `16.9`.",
        refused="below 16 or a major version that RDS does not offer; a lower major version than before; a "
        "higher one without `allowMajorVersionUpgrade`",
    )
    allow_major_version_upgrade: bool = _field(
        False,
        "Permit that the server goes to another major version: minutes to hours, and no way back but a "
        "checkpoint. Take it out again afterwards.",
    )
    data_size_gb: Int = _field(
        10, "Expected size of the data; sizing starts here.", unit="GB", refused="below 1", ge=1, le=60_000
    )
    instance_class: str | None = _field(
        None,
        "RDS instance class. Left out: sizing decides.",
        refused="unknown class; not offered in the region; too small for the connection budget",
    )
    multi_az: bool = _field(
        False, "A standby in a second zone, with automatic failover.", refused="`false` in production"
    )
    storage_gb: Int | None = _field(
        None,
        "Storage at the start. Left out: sizing decides.",
        unit="GiB",
        refused="below 20 (minimum of gp3) or below the data size; above 65536",
        ge=20,
        le=65_536,
    )
    max_storage_gb: Int | None = _field(
        None,
        "Limit of storage autoscaling. Left out: sizing decides.",
        unit="GiB",
        refused="less than 10 % above the storage; above 65536",
        ge=20,
        le=65_536,
    )
    retention_days: Int = _field(
        7,
        "How far back point-in-time recovery reaches.",
        unit="days",
        refused="outside 0–35 (limit of RDS); below 7 in production",
        ge=0,
        le=35,
    )
    deletion_protection: bool = _field(
        False, "RDS refuses to delete the server.", refused="`false` in production"
    )
    performance_insights: bool = _field(True, "Performance Insights, kept for 7 days (free).")
    admin_access: AdminAccess = _field({}, "How the engine reaches the server: see below.")
    restore_from: Annotated[str | None, BeforeValidator(checks.optional(checks.restore_from))] = _field(
        None,
        "Make the server anew from a checkpoint: `label` of this stack, `stack/label` of another one, or an "
        "RDS snapshot by its identifier as `snapshot:<identifier>`. `@` and a mark behind it restore the "
        "same one again: `course-start@monday`. It is remembered: taking it out again changes nothing.",
        refused="none of these; a checkpoint that does not exist; another stack's snapshot for a protected "
        "stack with databases of its own",
    )
    working_name: Annotated[str, BeforeValidator(checks.database_name)] = _field(
        "openerp",
        "Name of the working database.",
        refused="not a PostgreSQL identifier of lower-case letters, digits and `_`; a reserved name",
    )
    test_name: Annotated[str, BeforeValidator(checks.database_name)] = _field(
        "openerp_test", "Name of the test database.", refused="as `workingName`; the same as `workingName`"
    )


class RestoredFiles(Section):
    """A file system that exists, which the stack goes on with in place of its own: what a restore brings."""

    file_system_id: Annotated[str, BeforeValidator(checks.file_system_id)] = _field(
        ...,
        "The EFS file system. The former one stays, with everything in it.",
        refused="not `fs-…`; in the stack's first run with a version of this program that keeps file systems",
    )
    path: Annotated[str, BeforeValidator(checks.file_system_path)] = _field(
        ...,
        "Directory in it that holds `filestore/` and `sessions/`. A restore by AWS Backup makes "
        "`/aws-backup-restore_<time>/odoo`; the stack's own file systems have `/odoo`.",
        refused="not absolute; over 100 characters or four directories; a directory that begins with a dot",
    )


class FileStore(Section):
    """The shared file system (EFS) for attachments and sessions."""

    throughput: Literal["elastic", "bursting"] = _field(
        "elastic", "`elastic`: paid by use, no limit to plan for. `bursting`: grows with the stored size."
    )
    backup: bool = _field(True, "EFS's own daily backup, beside the plan.", refused="`false` in production")
    restored: RestoredFiles | None = _field(
        None,
        "Go on with another file system: see below. `ops restore` writes it. It is remembered: taking it out "
        "again changes nothing.",
    )


class Servers(Section):
    """One group of servers."""

    instance_type: str | None = _field(
        None,
        "EC2 instance type. Left out: sizing decides.",
        refused="unknown type; not offered in the region's zones; too little memory for the workers",
    )
    min_servers: Int = _field(
        1, "Servers that always run.", unit="servers", refused="below 1; above `maxServers`", ge=1, le=100
    )
    max_servers: Int | None = _field(
        None,
        "Servers at most. Left out: sizing decides.",
        unit="servers",
        refused="below `minServers`; more than PostgreSQL has connections for",
        ge=1,
        le=100,
    )
    workers: Int | None = _field(
        None,
        "Odoo worker processes a server. Left out: sizing decides.",
        unit="processes",
        refused="more than vCPU x 2 + 1, or than fit the memory; fewer than the users need at `maxServers`",
        ge=1,
        le=1000,
    )


class AppServers(Servers):
    """The app servers: RPC and scheduled jobs."""

    cron_threads: Int = _field(
        2, "Scheduled-job threads a server.", unit="threads", refused="outside 1–16", ge=1, le=16
    )


class WebClientServers(Servers):
    """The web-client servers: nginx, HTTP workers and the websocket process."""


class Access(Section):
    """How clients reach the deployment."""

    domain: Annotated[str, BeforeValidator(checks.domain)] = _field(
        ...,
        "Host name of the deployment; with offer `saas` each tenant is a host below it.",
        refused="not a full host name in lower case; over 64 characters; not in `hostedZone`",
    )
    hosted_zone: Annotated[str | None, BeforeValidator(checks.optional(checks.domain_or_zone))] = _field(
        None,
        "Public Route 53 zone that holds `domain`, by name.",
        refused="missing with certificate `acm`; does not hold `domain`",
    )
    certificate: Literal["acm", "private"] = _field(
        "acm",
        "`acm`: public certificate, validated by DNS. `private`: this stack's own certificate authority.",
        refused="`acm` with offer `internal`",
    )
    allowed_cidrs: tuple[Annotated[str, BeforeValidator(checks.cidr)], ...] = _field(
        ("0.0.0.0/0",),
        "Networks that may connect. With offer `internal` the default means `network.companyCidrs`.",
        unit="CIDR",
        refused="empty; host bits set; outside `companyCidrs` with offer `internal`",
        min_length=1,
    )
    waf: bool = _field(False, "AWS WAF with managed rules and a rate limit on the login page.")
    login_requests_per5_minutes: Int = _field(
        100,
        "Requests to the login page that one address may make in five minutes.",
        unit="requests",
        refused="outside 10–2000000000 (limits of AWS WAF)",
        ge=10,
        le=2_000_000_000,
        alias="loginRequestsPer5Minutes",
    )
    access_log_retention_days: Int = _field(
        90,
        "How long the load balancer's access logs are kept.",
        unit="days",
        refused="below 1",
        ge=1,
        le=3650,
    )


class ClientCertificate(Section):
    """One numbered client certificate."""

    number: Int = _field(..., "Number of the certificate.", refused="below 1; twice", ge=1, le=999_999)
    name: Annotated[str, BeforeValidator(checks.certificate_name)] = _field(
        ...,
        "Whom or what it is for. Remove the entry to revoke the certificate.",
        refused="over 64 characters or outside letters, digits, space and `._@-`; twice",
    )


class Tenant(Section):
    """One tenant of the offer `saas`."""

    name: Annotated[str, BeforeValidator(checks.tenant_name)] = _field(
        ...,
        "Name of the tenant: its host below `access.domain`, and its database.",
        refused="not a DNS label of 2–40 lower-case letters, digits and hyphens; a reserved name; twice",
    )


class BackupRule(Section):
    """One rule of the backup plan."""

    schedule: Annotated[str, BeforeValidator(checks.backup_schedule)] = _field(
        ...,
        "When, as an AWS cron expression in UTC: `cron(0 3 * * ? *)`.",
        unit="UTC",
        refused="not six valid fields; more often than hourly",
    )
    retention_days: Int = _field(
        ...,
        "How long a recovery point is kept.",
        unit="days",
        refused="outside 1–36500; outside `vaultLock`; a longer interval kept shorter than a shorter one",
        ge=1,
        le=36_500,
    )


class VaultLock(Section):
    """Vault lock in compliance mode: after `changeableForDays` nobody can shorten or delete anything."""

    min_retention_days: Int = _field(
        ..., "Shortest retention a rule may have.", unit="days", refused="below 1", ge=1, le=36_500
    )
    max_retention_days: Int = _field(
        ...,
        "Longest retention a rule may have.",
        unit="days",
        refused="below `minRetentionDays`; above 36500",
        ge=1,
        le=36_500,
    )
    changeable_for_days: Int = _field(
        3,
        "Days in which the lock can still be taken off.",
        unit="days",
        refused="outside 3–36500 (AWS Backup's cooling-off period)",
        ge=3,
        le=36_500,
    )


class Drill(Section):
    """Proof, at intervals, that what was backed up can be restored."""

    schedule: Annotated[str, BeforeValidator(checks.backup_schedule)] = _field(
        ...,
        "When AWS Backup restores the newest recovery points next to the running system and deletes them "
        "again: `cron(0 8 ? * SUN *)`.",
        unit="UTC",
        refused="not six valid fields; more often than hourly",
    )
    max_age_days: Int = _field(
        35,
        "An alarm tells when the last good `ops drill` is older.",
        unit="days",
        refused="outside 1–365",
        ge=1,
        le=365,
    )


class Backup(Section):
    """The backup plan, its vault and the labelled checkpoints."""

    daily: BackupRule = _field(
        {"schedule": "cron(0 3 * * ? *)", "retentionDays": 35}, "Daily recovery point of database and files."
    )
    weekly: BackupRule | None = _field(None, "Weekly recovery point.", refused="kept shorter than `daily`")
    monthly: BackupRule | None = _field(None, "Monthly recovery point.", refused="kept shorter than `weekly`")
    copy_region: str | None = _field(
        None,
        "Second region that receives a copy of each recovery point.",
        refused="unknown; the stack's own region; missing in production",
    )
    vault_lock: VaultLock | None = _field(
        None, "Locks the vault: nobody, not even root, can delete a backup.", refused="missing in production"
    )
    drill: Drill | None = _field(None, "Drills of the restore: see below. A warning in production without.")
    checkpoints: tuple[Annotated[str, BeforeValidator(checks.checkpoint_label)], ...] = _field(
        (),
        "Labels of points to keep: one snapshot each, which outlives the stack. Removing a label forgets the "
        "snapshot, it does not delete it.",
        refused="not lower-case letters, digits and single hyphens; over 63 characters; `final`; twice",
    )


class PasswordVersions(Section):
    """Which password each login has: a higher number makes a new one, and `ops rotate` counts up."""

    application: Int = _field(
        1, "The servers' login to the databases.", refused="below 1; lower than before", ge=1, le=1_000_000
    )
    reporting: Int = _field(1, "The read-only login.", refused="as `application`", ge=1, le=1_000_000)
    administrator: Int = _field(
        1, "OpenERP's first administrator.", refused="as `application`", ge=1, le=1_000_000
    )


class Monitoring(Section):
    """Alarms and budget."""

    email: Annotated[str | None, BeforeValidator(checks.optional(checks.email))] = _field(
        None, "Address that alarms are sent to.", refused="not an e-mail address"
    )
    monthly_budget_usd: Decimal | None = _field(
        None,
        "Monthly budget; a message is sent when it is nearly used up.",
        unit="USD",
        refused="not above 0; without `email`",
        gt=0,
        le=100_000_000,
        decimal_places=2,
    )


class PricePerUser(Section):
    """Price on the service sheet."""

    amount: Decimal = _field(
        ..., "Price for one user and month.", refused="negative", ge=0, le=1_000_000, decimal_places=2
    )
    currency: Annotated[str, BeforeValidator(checks.currency)] = _field(
        "EUR", "Currency.", unit="ISO 4217", refused="not three capital letters"
    )


class ConfiguredSettings(Section):
    """Every top-level key of the namespace `openerp`."""

    environment: Literal["development", "training", "production"] = _field(
        ..., "What the stack is for. Rules for production are stricter."
    )
    offer: Literal["internal", "hosted", "saas"] = _field(
        "hosted",
        "`internal`: the company's own network only. `hosted`: one customer, own modules allowed. `saas`: "
        "many tenants, certified standard modules only.",
    )
    release: Annotated[str, BeforeValidator(checks.release)] = _field(
        ...,
        'Release of OpenERP: `"19.0"` (in quotes), or `A.B.C` of the old series.',
        refused="hosted-only series (`saas~`, X.1–X.4); in production a development version or one past "
        "its end of support; a downgrade",
    )
    allow_upgrade_to: Annotated[str | None, BeforeValidator(checks.optional(checks.release))] = _field(
        None,
        "Permits the upgrade to this release (a step in A).",
        refused="another release than `release`; without `upgradeCheckpoint`",
    )
    upgrade_checkpoint: Annotated[str | None, BeforeValidator(checks.optional(checks.checkpoint_label))] = (
        _field(
            None,
            "Checkpoint to go back to if the upgrade fails.",
            refused="not in `backup.checkpoints`; without `allowUpgradeTo`",
        )
    )
    allow_unsupported_release: bool = _field(
        False, "Permits a release past its end of support in production."
    )
    package: Package = _field({}, "Where the servers get OpenERP from: see below.")
    modules: tuple[Annotated[str, BeforeValidator(checks.module_name)], ...] = _field(
        (),
        "Standard modules installed at the first start.",
        refused="not `[a-z][a-z0-9_]*`; twice; not certified with offer `saas`",
    )
    data_modules: tuple[DataModule, ...] = _field(
        (),
        "Data modules that the servers get: see below.",
        refused="with offer `saas`; in training and production: not proven by the stack that "
        "`dataModulesFrom` names",
    )
    data_modules_from: Annotated[str | None, BeforeValidator(checks.optional(checks.stack_name))] = _field(
        None,
        "Development stack whose ledger must prove each of `dataModules`.",
        refused="missing with `dataModules` in training and production; in development; this stack; one that "
        "is not for development",
    )
    proven_modules: tuple[ProvenModule, ...] = _field(
        (),
        "The ledger of data modules, which `ops modules verify` writes: see below.",
        refused="in training and production",
    )
    users: Users = _field(..., "How many people the deployment is for: see below.")
    network: Network = _field({}, "The VPC: see below.")
    database: Database = _field({}, "The database server: see below.")
    file_store: FileStore = _field({}, "The shared file system: see below.")
    app_server: AppServers = _field({}, "The app servers: see below.")
    web_client_server: WebClientServers = _field({}, "The web-client servers: see below.")
    server_image: Annotated[str | None, BeforeValidator(checks.optional(checks.server_image))] = _field(
        None,
        "Image of the servers: `ami-…` or `resolve:ssm:/…`. Left out: Debian 13's own image for the "
        "instance type's architecture.",
        refused="anything else",
    )
    access: Access = _field(..., "How clients reach the deployment: see below.")
    client_certificates: tuple[ClientCertificate, ...] = _field(
        (), "Numbered client certificates: see below.", max_length=500
    )
    tenants: tuple[Tenant, ...] = _field(
        (), "Tenants of the offer `saas`: see below.", refused="with another offer", max_length=2000
    )
    password_versions: PasswordVersions = _field({}, "Rotation of passwords: see below.")
    price_per_user: PricePerUser | None = _field(
        None, "Price on the service sheet of the offer `saas`: see below.", refused="with another offer"
    )
    backup: Backup = _field({}, "Backups and checkpoints: see below.")
    monitoring: Monitoring = _field({}, "Alarms and budget: see below.")
    protect: bool = _field(
        False,
        "Pulumi refuses to delete or replace what holds data, and retains it on destroy.",
        refused="`false` in production",
    )


TOP_LEVEL_KEYS: Final[Mapping[str, str]] = {
    (field.alias or name): name for name, field in ConfiguredSettings.model_fields.items()
}
"""Configuration key -> field name."""
