"""The stack outputs: their names, what they hold, and which are secret.

The names are an API. Client configuration, the day-2 commands and other stacks read them; a name is
never changed or given another meaning without a line in the changelog.
"""

# ruff: noqa: S105  (ARNs of secrets are names, not secrets)
from __future__ import annotations

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, kw_only=True)
class OutputDescription:
    """What one stack output holds."""

    name: str
    type: str
    text: str
    secret: bool = False


WEB_URL: Final = "web_url"
RPC_HOST: Final = "rpc_host"
RPC_PORT: Final = "rpc_port"
RPC_PROTOCOL: Final = "rpc_protocol"
CLIENT_CERTIFICATE_URL: Final = "client_certificate_url"
CLIENT_CERTIFICATE_PORT: Final = "client_certificate_port"
LOAD_BALANCER_DNS_NAME: Final = "load_balancer_dns_name"
CA_CERTIFICATE: Final = "ca_certificate"
CLIENT_CERTIFICATES: Final = "client_certificates"
ISSUED_CLIENT_CERTIFICATES: Final = "issued_client_certificates"
DATABASE_NAMES: Final = "database_names"
WORKING_DATABASE: Final = "working_database"
TEST_DATABASE: Final = "test_database"
TENANTS: Final = "tenants"
DATABASE_INSTANCE_IDENTIFIER: Final = "database_instance_identifier"
DATABASE_ADDRESS: Final = "database_address"
DATABASE_PORT: Final = "database_port"
DATABASE_ENGINE_VERSION: Final = "database_engine_version"
DATABASE_SECURITY_GROUP_ID: Final = "database_security_group_id"
DATABASE_SUBNET_GROUP_NAME: Final = "database_subnet_group_name"
DATABASE_PARAMETER_GROUP_NAME: Final = "database_parameter_group_name"
DATABASE_KMS_KEY_ARN: Final = "database_kms_key_arn"
DATABASE_RESTORED_FROM: Final = "database_restored_from"
DATABASE_RESTORE_MARK: Final = "database_restore_mark"
DATABASES_BROUGHT_BY: Final = "databases_brought_by"
MASTER_SECRET_ARN: Final = "master_secret_arn"
APPLICATION_SECRET_ARNS: Final = "application_secret_arns"
ADMINISTRATOR_SECRET_ARN: Final = "administrator_secret_arn"
REPORTING_SECRET_ARN: Final = "reporting_secret_arn"
PASSWORD_VERSIONS: Final = "password_versions"
FILE_SYSTEM_ID: Final = "file_system_id"
ACCESS_POINT_ID: Final = "access_point_id"
FILE_SYSTEM_PATH: Final = "file_system_path"
FILE_STORE_RESTORED: Final = "file_store_restored"
FILE_STORE_SECURITY_GROUP_ID: Final = "file_store_security_group_id"
FILE_STORE_KMS_KEY_ARN: Final = "file_store_kms_key_arn"
APP_AUTOSCALING_GROUP: Final = "app_autoscaling_group"
APP_LAUNCH_TEMPLATE_ID: Final = "app_launch_template_id"
APP_SECURITY_GROUP_ID: Final = "app_security_group_id"
WEB_CLIENT_AUTOSCALING_GROUP: Final = "web_client_autoscaling_group"
BACKUP_VAULT_NAME: Final = "backup_vault_name"
BACKUP_PLAN_ID: Final = "backup_plan_id"
BACKUP_ROLE_ARN: Final = "backup_role_arn"
BACKUP_RETENTION_LIMITS: Final = "backup_retention_limits"
CHECKPOINT_SNAPSHOTS: Final = "checkpoint_snapshots"
DRILL: Final = "drill"
OPERATIONS_BUCKET: Final = "operations_bucket"
ALARM_TOPIC_ARN: Final = "alarm_topic_arn"
DASHBOARD_NAME: Final = "dashboard_name"
LOG_GROUPS: Final = "log_groups"
VPC_ID: Final = "vpc_id"
VPC_CIDR: Final = "vpc_cidr"
DATA_SUBNET_IDS: Final = "data_subnet_ids"
SERVER_SUBNET_IDS: Final = "server_subnet_ids"
REGION: Final = "region"
RELEASE: Final = "release"
PACKAGE: Final = "package"
ENVIRONMENT: Final = "environment"
OFFER: Final = "offer"
MODULES: Final = "modules"
DATA_MODULES: Final = "data_modules"
MODULE_LEDGER: Final = "module_ledger"
SERVICE_SHEET: Final = "service_sheet"


def _o(name: str, type_: str, text: str, *, secret: bool = False) -> OutputDescription:
    return OutputDescription(name=name, type=type_, text=text, secret=secret)


OUTPUTS: Final[tuple[OutputDescription, ...]] = (
    _o(WEB_URL, "string", "Address people open in a browser, for example `https://erp.example.com/`."),
    _o(RPC_HOST, "string", "Host name for XML-RPC and JSON-2 clients."),
    _o(RPC_PORT, "number", "TCP port for RPC clients without a client certificate."),
    _o(RPC_PROTOCOL, "string", "Protocol of RPC clients: `xmlrpcs`, the secure one; there is no other."),
    _o(
        CLIENT_CERTIFICATE_URL,
        "string or null",
        "Address that asks for a client certificate; null when no certificate is configured.",
    ),
    _o(
        CLIENT_CERTIFICATE_PORT,
        "number or null",
        "TCP port of that address; null when no certificate is configured.",
    ),
    _o(LOAD_BALANCER_DNS_NAME, "string", "The load balancer's own DNS name, the target of the alias record."),
    _o(
        CA_CERTIFICATE,
        "string (PEM) or null",
        "Certificate authority that clients must trust; null with `access.certificate: acm`, "
        "whose authority every client knows already.",
    ),
    _o(
        CLIENT_CERTIFICATES,
        "map of number to {name, certificate_pem, private_key_pem, serial}",
        "The numbered client certificates with their private keys.",
        secret=True,
    ),
    _o(
        ISSUED_CLIENT_CERTIFICATES,
        'map of serial to "number name"',
        "Ledger of every client certificate ever issued by this stack, by decimal serial number. One that "
        'has left the settings reads "revoked: number name": its serial is on the revocation list.',
    ),
    _o(DATABASE_NAMES, "list of strings", "All logical databases: working, test, and one a tenant."),
    _o(WORKING_DATABASE, "string", "The database people work in."),
    _o(TEST_DATABASE, "string", "The database to try things in."),
    _o(TENANTS, "map of name to {database, url}", "Tenants of the offer `saas`; empty for other offers."),
    _o(DATABASE_INSTANCE_IDENTIFIER, "string", "RDS identifier of the database server."),
    _o(DATABASE_ADDRESS, "string", "Host name of the database server, reachable from inside the VPC."),
    _o(DATABASE_PORT, "number", "TCP port of the database server."),
    _o(DATABASE_ENGINE_VERSION, "string", "PostgreSQL version of the settings: `16`, or `16.9`."),
    _o(DATABASE_SECURITY_GROUP_ID, "string", "Security group of the database server."),
    _o(DATABASE_SUBNET_GROUP_NAME, "string", "RDS subnet group over the data subnets."),
    _o(DATABASE_PARAMETER_GROUP_NAME, "string", "RDS parameter group of the database server."),
    _o(
        DATABASE_KMS_KEY_ARN,
        "string",
        "KMS key of the stack's database server, its snapshots and its secrets. A server that was made from "
        "another stack's snapshot keeps that one's key.",
    ),
    _o(
        DATABASE_RESTORED_FROM,
        "string or null",
        "RDS snapshot that the database server was made from; null for one that began empty. The next run "
        "decides by it whether `database.restoreFrom` asks for something new.",
    ),
    _o(
        DATABASE_RESTORE_MARK,
        "string or null",
        "What `database.restoreFrom` had behind `@`: it tells one restore of a snapshot from an earlier one.",
    ),
    _o(
        DATABASES_BROUGHT_BY,
        "string or null",
        "RDS snapshot that brought databases and roles which this stack's state does not know, and so leaves "
        "alone; null when it makes them itself.",
    ),
    _o(MASTER_SECRET_ARN, "string", "Secrets Manager secret, managed by RDS, of the master user."),
    _o(
        APPLICATION_SECRET_ARNS,
        "map of database to string",
        "Secrets Manager secret of the application's login role for each database.",
    ),
    _o(
        ADMINISTRATOR_SECRET_ARN,
        "string",
        "Secrets Manager secret with the first administrator's password of OpenERP.",
    ),
    _o(
        REPORTING_SECRET_ARN,
        "string or null",
        "Secrets Manager secret of the read-only reporting role; null when "
        "`database.adminAccess.mode` is `none` and when `databases_brought_by` is not null.",
    ),
    _o(
        PASSWORD_VERSIONS,
        "map of purpose to number",
        "`passwordVersions` of the settings: `application`, `reporting`, `administrator`.",
    ),
    _o(FILE_SYSTEM_ID, "string", "EFS file system with attachments and sessions."),
    _o(ACCESS_POINT_ID, "string", "EFS access point the servers mount."),
    _o(
        FILE_SYSTEM_PATH,
        "string",
        "Directory of the file system that the access point shows to the servers as the root: `/odoo`, or "
        "where a restore put it.",
    ),
    _o(
        FILE_STORE_RESTORED,
        "{file_system_id, path} or null",
        "`fileStore.restored`, remembered: the file system that the stack goes on with in place of its own.",
    ),
    _o(FILE_STORE_SECURITY_GROUP_ID, "string", "Security group of the file system's mount targets."),
    _o(FILE_STORE_KMS_KEY_ARN, "string", "KMS key of the stack's file store."),
    _o(APP_AUTOSCALING_GROUP, "string", "Auto Scaling group of the app servers."),
    _o(APP_LAUNCH_TEMPLATE_ID, "string", "Launch template of the app servers."),
    _o(APP_SECURITY_GROUP_ID, "string", "Security group of the app servers."),
    _o(WEB_CLIENT_AUTOSCALING_GROUP, "string", "Auto Scaling group of the web-client servers."),
    _o(BACKUP_VAULT_NAME, "string", "AWS Backup vault with the recovery points."),
    _o(BACKUP_PLAN_ID, "string", "AWS Backup plan."),
    _o(BACKUP_ROLE_ARN, "string", "Role that backup and restore jobs run as."),
    _o(
        BACKUP_RETENTION_LIMITS,
        "{min_days, max_days} or null",
        "Days for which the locked vault takes recovery points; null without `backup.vaultLock`.",
    ),
    _o(
        CHECKPOINT_SNAPSHOTS,
        "map of label to string",
        "RDS snapshot identifier of each checkpoint in `backup.checkpoints`. They outlive the stack.",
    ),
    _o(
        DRILL,
        "{max_age_days} or null",
        "How old the last good drill may be before an alarm tells; null without `backup.drill`.",
    ),
    _o(
        OPERATIONS_BUCKET,
        "string",
        "S3 bucket of the day-2 commands: manifests of checkpoints, evidence, packages of data modules, "
        "reports, locks.",
    ),
    _o(ALARM_TOPIC_ARN, "string", "SNS topic that alarms are sent to."),
    _o(DASHBOARD_NAME, "string", "CloudWatch dashboard."),
    _o(LOG_GROUPS, "map of name to string", "CloudWatch log groups, by what writes to them."),
    _o(VPC_ID, "string", "The VPC, for peering or a VPN."),
    _o(VPC_CIDR, "string", "IPv4 range of the VPC."),
    _o(DATA_SUBNET_IDS, "list of strings", "Subnets of the database server and the file store, one a zone."),
    _o(SERVER_SUBNET_IDS, "list of strings", "Subnets of the servers, one a zone."),
    _o(REGION, "string", "AWS region of the stack."),
    _o(RELEASE, "string", "Release of OpenERP that the servers install."),
    _o(
        PACKAGE,
        "{source, date, sha256, server_image}",
        "Where they get it from: `package` and `serverImage` of the settings. A checkpoint remembers it.",
    ),
    _o(ENVIRONMENT, "string", "`development`, `training` or `production`."),
    _o(OFFER, "string", "`internal`, `hosted` or `saas`."),
    _o(
        MODULES,
        "list of strings",
        "Standard modules that a new database is made with, besides `base` and `web`.",
    ),
    _o(
        DATA_MODULES,
        "list of {name, version, sha256}",
        "Data modules that the servers have on their addons path.",
    ),
    _o(
        MODULE_LEDGER,
        "list of {name, version, sha256, release, created, verified}",
        "Data modules that this development stack has proven; training and production accept no other. "
        "`created`: records it made, by model.",
    ),
    _o(
        SERVICE_SHEET,
        "object",
        "The service sheet: `data`, its figures, and `markdown`, the page to give to a customer.",
    ),
)
"""Every output of a stack, in the order in which it is exported."""

SECRET_OUTPUTS: Final[frozenset[str]] = frozenset(o.name for o in OUTPUTS if o.secret)


def outputs_page() -> str:
    """Return docs/outputs.md, so that the page cannot say something else than this module."""
    lines = [
        "# Stack outputs",
        "",
        "`pulumi stack output` prints them; `--json --show-secrets` gives clients and scripts all of them.",
        "The names are an API: one is never renamed without a line in the changelog.",
        "An output that is null is not among them: Pulumi leaves it out.",
        "This page is written from `core/outputs.py`.",
        "",
        "| output | type | secret | what it holds |",
        "|---|---|---|---|",
    ]
    lines += [f"| `{o.name}` | {o.type} | {'yes' if o.secret else 'no'} | {o.text} |" for o in OUTPUTS]
    return "\n".join(lines) + "\n"
