"""The stack outputs: an API for clients, for `ops/` and for other stacks (described in core/outputs.py)."""

from __future__ import annotations

from typing import Any

import pulumi

from components.backup_snapshots import BackupSnapshots
from components.monitoring import Monitoring
from components.network import Network
from components.operations_store import OperationsStore
from core import names, outputs, promotion, service_sheet
from deployment.context import Context
from deployment.data import Data
from deployment.entrance import Entrance
from deployment.servers import Servers


def what_clients_read(context: Context, entrance: Entrance) -> dict[str, Any]:
    """Return addresses, ports, certificates and database names."""
    settings, clients = context.settings, entrance.clients
    domain = settings.access.domain
    port = names.CLIENT_CERTIFICATE_PORT
    return {
        outputs.WEB_URL: f"https://{domain}/",
        outputs.RPC_HOST: domain,
        outputs.RPC_PORT: names.HTTPS_PORT,
        outputs.RPC_PROTOCOL: "xmlrpcs",
        outputs.CLIENT_CERTIFICATE_URL: f"https://{domain}:{port}/" if clients else None,
        outputs.CLIENT_CERTIFICATE_PORT: port if clients else None,
        outputs.LOAD_BALANCER_DNS_NAME: entrance.balancer.dns_name,
        outputs.CA_CERTIFICATE: entrance.certificate.ca_certificate_pem,
        outputs.CLIENT_CERTIFICATES: clients.certificates if clients else pulumi.Output.secret({}),
        outputs.ISSUED_CLIENT_CERTIFICATES: clients.issued if clients else {},
        outputs.WORKING_DATABASE: settings.database.working_name,
        outputs.TEST_DATABASE: settings.database.test_name,
        outputs.TENANTS: {
            tenant.name: {
                "database": names.tenant_database(tenant.name),
                "url": f"https://{names.tenant_host(tenant.name, domain)}/",
            }
            for tenant in settings.tenants
        },
    }


def what_operators_read(
    context: Context,
    network: Network,
    data: Data,
    store: OperationsStore,
    servers: Servers,
    backups: BackupSnapshots,
    monitoring: Monitoring,
) -> dict[str, Any]:
    """Return identifiers for day two, and what the stack is."""
    settings = context.settings
    lock, drill = settings.backup.vault_lock, settings.backup.drill
    sheet = service_sheet.describe(settings, settings.sizing, region=settings.region)
    return {
        outputs.DATABASE_NAMES: data.databases.database_names,
        outputs.DATABASE_INSTANCE_IDENTIFIER: data.server.instance_identifier,
        outputs.DATABASE_ADDRESS: data.server.address,
        outputs.DATABASE_PORT: data.server.port,
        outputs.DATABASE_ENGINE_VERSION: settings.database.engine_version,
        outputs.DATABASE_SECURITY_GROUP_ID: data.server.security_group_id,
        outputs.DATABASE_SUBNET_GROUP_NAME: data.server.subnet_group_name,
        outputs.DATABASE_PARAMETER_GROUP_NAME: data.server.parameter_group_name,
        outputs.DATABASE_KMS_KEY_ARN: data.server.kms_key_arn,
        outputs.DATABASE_RESTORED_FROM: context.database_origin.snapshot,
        outputs.DATABASE_RESTORE_MARK: context.database_origin.mark,
        outputs.DATABASES_BROUGHT_BY: context.database_origin.databases_brought_by,
        outputs.MASTER_SECRET_ARN: data.server.master_secret_arn,
        outputs.APPLICATION_SECRET_ARNS: data.databases.application_secret_arns,
        outputs.ADMINISTRATOR_SECRET_ARN: data.databases.administrator_secret_arn,
        outputs.REPORTING_SECRET_ARN: data.databases.reporting_secret_arn,
        outputs.PASSWORD_VERSIONS: context.password_versions,
        outputs.FILE_SYSTEM_ID: data.files.file_system_id,
        outputs.ACCESS_POINT_ID: data.files.access_point_id,
        outputs.FILE_SYSTEM_PATH: data.files.path,
        outputs.FILE_STORE_RESTORED: {
            "file_system_id": context.files_origin.file_system_id,
            "path": context.files_origin.path,
        }
        if context.files_origin
        else None,
        outputs.FILE_STORE_SECURITY_GROUP_ID: data.files.security_group_id,
        outputs.FILE_STORE_KMS_KEY_ARN: data.files.kms_key_arn,
        outputs.APP_AUTOSCALING_GROUP: servers.app.autoscaling_group_name,
        outputs.APP_LAUNCH_TEMPLATE_ID: servers.app.launch_template_id,
        outputs.APP_SECURITY_GROUP_ID: servers.app.security_group_id,
        outputs.WEB_CLIENT_AUTOSCALING_GROUP: servers.web_client.autoscaling_group_name,
        outputs.BACKUP_VAULT_NAME: backups.vault_name,
        outputs.BACKUP_PLAN_ID: backups.plan_id,
        outputs.BACKUP_ROLE_ARN: backups.role_arn,
        outputs.BACKUP_RETENTION_LIMITS: {
            "min_days": lock.min_retention_days,
            "max_days": lock.max_retention_days,
        }
        if lock
        else None,
        outputs.DRILL: {"max_age_days": drill.max_age_days} if drill else None,
        outputs.OPERATIONS_BUCKET: store.bucket,
        outputs.CHECKPOINT_SNAPSHOTS: backups.snapshot_identifiers,
        outputs.ALARM_TOPIC_ARN: monitoring.topic_arn,
        outputs.DASHBOARD_NAME: monitoring.dashboard_name,
        outputs.LOG_GROUPS: {
            "app": servers.app.log_group_name,
            "web_client": servers.web_client.log_group_name,
            "database": data.server.log_group_name,
            "flow_logs": network.flow_log_group_name,
        },
        outputs.VPC_ID: network.vpc_id,
        outputs.VPC_CIDR: settings.network.cidr,
        outputs.DATA_SUBNET_IDS: network.data_subnet_ids,
        outputs.SERVER_SUBNET_IDS: network.server_subnet_ids,
        outputs.REGION: settings.region,
        outputs.RELEASE: settings.release,
        outputs.PACKAGE: {**settings.package.model_dump(), "server_image": settings.server_image},
        outputs.ENVIRONMENT: settings.environment,
        outputs.OFFER: settings.offer,
        outputs.MODULES: list(settings.modules),
        outputs.DATA_MODULES: promotion.as_outputs(settings.data_modules),
        outputs.MODULE_LEDGER: promotion.as_outputs(settings.proven_modules),
        outputs.SERVICE_SHEET: {"data": sheet.data(), "markdown": sheet.markdown()},
    }
