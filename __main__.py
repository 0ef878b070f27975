"""OpenERP (Odoo) on AWS: one stack an environment.

Wiring only: settings.py reads, core/ decides, components/ make, and the outputs go to clients and operators.
"""

from __future__ import annotations

from functools import partial
from typing import Any

import pulumi
import pulumi_aws as aws

import settings as stack_settings
from components.app_server import AppServer, AppServerArgs
from components.backup_snapshots import BackupRule, BackupSnapshots, BackupSnapshotsArgs, VaultLock
from components.certificate import Certificate, CertificateArgs
from components.client_certificates import ClientCertificates, ClientCertificatesArgs
from components.database_server import DatabaseServer, DatabaseServerArgs
from components.databases import Databases, DatabasesArgs, TenantDatabase
from components.file_store import FileStore, FileStoreArgs
from components.last_outputs import last_outputs
from components.load_balancer import LoadBalancer, LoadBalancerArgs, Target
from components.monitoring import MonitoredDatabase, MonitoredServers, Monitoring, MonitoringArgs
from components.network import Network, NetworkArgs
from components.server_group import DatabaseAccess, FileStoreAccess, SecretAccess
from components.web_client_server import WebClientServer, WebClientServerArgs
from core import continuity, names, outputs, service_sheet
from core.servers import ServerConfiguration
from core.servers.configuration import ServerRole
from core.sizing import ServerSizing

stack = pulumi.get_stack()
settings = stack_settings.load()
before = continuity.continuity(last_outputs(stack))
with stack_settings.refusing():
    continuity.check_release_step(settings, before, stack=stack)
    restored = continuity.restore_snapshot(settings.database.restore_from, before, last_outputs, stack=stack)

sizing, access, database, backup = settings.sizing, settings.access, settings.database, settings.backup
production = settings.environment == "production"
saas = settings.offer == "saas"
prefix = names.resource_prefix(stack)
tenants_path = names.tenants_parameter_path(stack) if saas else None
tags = {"Project": names.PROJECT, "Stack": stack, "Environment": settings.environment}
provider = aws.Provider("aws", region=settings.region, default_tags={"tags": tags})
opts = pulumi.ResourceOptions(providers=[provider])
asked = pulumi.InvokeOptions(provider=provider)
account_id = aws.get_caller_identity(opts=asked).account_id
zone_id = aws.route53.get_zone(name=access.hosted_zone, opts=asked).zone_id if access.hosted_zone else None

network = Network(
    "network",
    NetworkArgs(
        cidr=settings.network.cidr,
        subnets=settings.subnets,
        region=settings.region,
        nat_gateways=settings.network.nat_gateways,
        interface_endpoints=settings.network.interface_endpoints,
        flow_log_retention_days=settings.network.flow_log_retention_days,
    ),
    opts,
)
server = DatabaseServer(
    "database",
    DatabaseServerArgs(
        vpc_id=network.vpc_id,
        subnet_ids=network.data_subnet_ids,
        admin_cidrs=settings.network.company_cidrs,
        key_alias=f"{prefix}-database",
        engine_version=database.engine_version,
        instance_class=sizing.database.instance_class,
        allocated_storage_gb=sizing.database.allocated_storage_gb,
        max_allocated_storage_gb=sizing.database.max_allocated_storage_gb,
        multi_az=database.multi_az,
        retention_days=database.retention_days,
        deletion_protection=database.deletion_protection,
        protect=settings.protect,
        performance_insights=database.performance_insights,
        parameters=sizing.database.parameters,
        apply_immediately=not production,
        snapshot_identifier=restored,
        final_snapshot_identifier=names.final_snapshot_identifier(stack),
    ),
    opts,
)
logical = Databases(
    "databases",
    DatabasesArgs(
        server_host=server.address,
        server_port=server.port,
        admin_host=database.admin_access.host,
        admin_port=database.admin_access.port,
        master_secret_arn=server.master_secret_arn,
        engine_version=database.engine_version,
        kms_key_arn=server.kms_key_arn,
        working_database=database.working_name,
        test_database=database.test_name,
        tenants=[
            TenantDatabase(
                name=tenant.name,
                database=tenant.name,
                role=names.tenant_role(tenant.name),
                host=f"{tenant.name}.{access.domain}",
            )
            for tenant in settings.tenants
        ],
        tenants_parameter_path=tenants_path,
        may_create_databases=settings.environment == "development",
        left_out_because=settings.databases_left_out_because,
        secret_recovery_days=30 if production else 0,
        protect=settings.protect,
    ),
    opts,
)
files = FileStore(
    "file-store",
    FileStoreArgs(
        vpc_id=network.vpc_id,
        availability_zones=settings.availability_zones,
        subnet_ids=network.data_subnet_ids,
        key_alias=f"{prefix}-file-store",
        throughput=settings.file_store.throughput,
        backup=settings.file_store.backup,
        protect=settings.protect,
    ),
    opts,
)


def servers(role: ServerRole, size: ServerSizing) -> dict[str, Any]:
    """Return the arguments of one group of servers; the two groups differ by role and size alone."""
    configure = partial(
        ServerConfiguration,
        role=role,
        stack=stack,
        environment=settings.environment,
        offer=settings.offer,
        region=settings.region,
        release=settings.release,
        package_source=settings.package.source,
        package_date=settings.package.date,
        package_sha256=settings.package.sha256,
        modules=settings.modules,
        workers=size.workers,
        cron_threads=size.cron_threads,
        db_maxconn=size.db_maxconn,
        db_maxconn_gevent=size.db_maxconn_gevent,
        limit_memory_soft_bytes=size.limit_memory_soft,
        limit_memory_hard_bytes=size.limit_memory_hard,
        database_name=database.working_name,
        test_database_name=database.test_name,
        public_host=access.domain,
        vpc_cidr=settings.network.cidr,
        tenants_parameter_path=tenants_path,
    )
    return {
        "vpc_id": network.vpc_id,
        "subnet_ids": network.server_subnet_ids,
        "region": settings.region,
        "configure": configure,
        "database": database_access,
        "file_store": file_store_access,
        "secrets": secret_access,
        "tenants_parameter_path": tenants_path,
        "instance_type": size.instance_type,
        "image_id": settings.server_image_for(size.architecture),
        "min_servers": size.min_servers,
        "max_servers": size.max_servers,
        "tags": tags,
    }


database_access = DatabaseAccess(
    host=server.address, port=server.port, security_group_id=server.security_group_id
)
file_store_access = FileStoreAccess(
    file_system_id=files.file_system_id,
    file_system_arn=files.file_system_arn,
    access_point_id=files.access_point_id,
    access_point_arn=files.access_point_arn,
    security_group_id=files.security_group_id,
)
secret_access = SecretAccess(
    database_secret_arn=logical.application_secret_arn,
    administrator_secret_arn=logical.administrator_secret_arn,
    tenant_secret_arns=logical.tenant_secret_arns,
    kms_key_arn=server.kms_key_arn,
)
# A server that starts before its databases stand would wait for them: let it start afterwards.
after_databases = pulumi.ResourceOptions(providers=[provider], depends_on=[logical])
app = AppServer("app", AppServerArgs(**servers("app", sizing.app)), after_databases)
web_client = WebClientServer(
    "web-client", WebClientServerArgs(**servers("web-client", sizing.web_client)), after_databases
)

certificate = Certificate(
    "certificate",
    CertificateArgs(domain=access.domain, kind=access.certificate, wildcard=saas, zone_id=zone_id),
    opts,
)
# Once anybody was admitted by certificate the listener stays, so that who has left is refused by it.
clients = None
if settings.client_certificates or before.issued_client_certificates:
    clients = ClientCertificates(
        "client-certificates",
        ClientCertificatesArgs(
            certificates={c.number: c.name for c in settings.client_certificates},
            issued_before=before.issued_client_certificates,
            domain=access.domain,
            trust_store_name=f"{prefix}-clients",
        ),
        opts,
    )
balancer = LoadBalancer(
    "load-balancer",
    LoadBalancerArgs(
        vpc_id=network.vpc_id,
        subnet_ids=network.server_subnet_ids if settings.offer == "internal" else network.public_subnet_ids,
        account_id=account_id,
        internal=settings.offer == "internal",
        allowed_cidrs=settings.client_cidrs,
        domain=access.domain,
        certificate_arn=certificate.certificate_arn,
        app=Target(
            target_group_arn=app.target_group_arn,
            security_group_id=app.security_group_id,
            port=names.APP_TARGET_PORT,
        ),
        web_client=Target(
            target_group_arn=web_client.target_group_arn,
            security_group_id=web_client.security_group_id,
            port=names.WEB_CLIENT_TARGET_PORT,
        ),
        trust_store_arn=clients.trust_store_arn if clients else None,
        access_log_retention_days=access.access_log_retention_days,
        waf_login_requests_per_5_minutes=access.login_requests_per5_minutes if access.waf else None,
        zone_id=zone_id,
        wildcard=saas,
        deletion_protection=database.deletion_protection,
        protect=settings.protect,
    ),
    opts,
)

rules = {"daily": backup.daily, "weekly": backup.weekly, "monthly": backup.monthly}
copies = backup.copy_region and aws.Provider(
    "aws-copies", region=backup.copy_region, default_tags={"tags": tags}
)
snapshots = BackupSnapshots(
    "backup",
    BackupSnapshotsArgs(
        stack=stack,
        rules={
            key: BackupRule(schedule=rule.schedule, retention_days=rule.retention_days)
            for key, rule in rules.items()
            if rule
        },
        database_instance_identifier=server.instance_identifier,
        database_arn=server.instance_arn,
        file_system_arn=files.file_system_arn,
        checkpoints=backup.checkpoints,
        checkpoints_after=[logical],
        vault_lock=VaultLock(**backup.vault_lock.model_dump()) if backup.vault_lock else None,
        copy_provider=copies or None,
        protect=settings.protect,
    ),
    opts,
)
watch = Monitoring(
    "monitoring",
    MonitoringArgs(
        account_id=account_id,
        region=settings.region,
        dashboard_name=prefix,
        database=MonitoredDatabase(
            instance_identifier=server.instance_identifier,
            burstable=sizing.database.burstable,
            allocated_storage_gb=sizing.database.allocated_storage_gb,
            connection_budget=sizing.database.connection_budget,
        ),
        load_balancer_arn=balancer.arn,
        servers={
            "app": MonitoredServers(
                autoscaling_group_name=app.autoscaling_group_name,
                target_group_arn=app.target_group_arn,
                burstable=sizing.app.burstable,
            ),
            "web-client": MonitoredServers(
                autoscaling_group_name=web_client.autoscaling_group_name,
                target_group_arn=web_client.target_group_arn,
                burstable=sizing.web_client.burstable,
            ),
        },
        certificate_arns={"server": certificate.certificate_arn},
        file_system_id=files.file_system_id,
        file_system_throughput=settings.file_store.throughput,
        backup_vault_name=snapshots.vault_name,
        backup_vault_arn=snapshots.vault_arn,
        copies=backup.copy_region is not None,
        email=settings.monitoring.email,
        monthly_budget_usd=settings.monitoring.monthly_budget_usd,
    ),
    opts,
)

sheet = service_sheet.describe(settings, sizing, region=settings.region)

exported: dict[str, Any] = {
    outputs.WEB_URL: f"https://{access.domain}/",
    outputs.RPC_HOST: access.domain,
    outputs.RPC_PORT: names.HTTPS_PORT,
    outputs.RPC_PROTOCOL: "xmlrpcs",
    outputs.CLIENT_CERTIFICATE_URL: (
        f"https://{access.domain}:{names.CLIENT_CERTIFICATE_PORT}/" if clients else None
    ),
    outputs.CLIENT_CERTIFICATE_PORT: names.CLIENT_CERTIFICATE_PORT if clients else None,
    outputs.LOAD_BALANCER_DNS_NAME: balancer.dns_name,
    outputs.CA_CERTIFICATE: certificate.ca_certificate_pem,
    outputs.CLIENT_CERTIFICATES: clients.certificates if clients else pulumi.Output.secret({}),
    outputs.ISSUED_CLIENT_CERTIFICATES: clients.issued if clients else {},
    outputs.DATABASE_NAMES: logical.database_names,
    outputs.WORKING_DATABASE: database.working_name,
    outputs.TEST_DATABASE: database.test_name,
    outputs.TENANTS: {
        t.name: {"database": t.name, "url": f"https://{t.name}.{access.domain}/"} for t in settings.tenants
    },
    outputs.DATABASE_INSTANCE_IDENTIFIER: server.instance_identifier,
    outputs.DATABASE_ADDRESS: server.address,
    outputs.DATABASE_PORT: server.port,
    outputs.MASTER_SECRET_ARN: server.master_secret_arn,
    outputs.APPLICATION_SECRET_ARNS: logical.application_secret_arns,
    outputs.ADMINISTRATOR_SECRET_ARN: logical.administrator_secret_arn,
    outputs.REPORTING_SECRET_ARN: logical.reporting_secret_arn,
    outputs.FILE_SYSTEM_ID: files.file_system_id,
    outputs.ACCESS_POINT_ID: files.access_point_id,
    outputs.APP_AUTOSCALING_GROUP: app.autoscaling_group_name,
    outputs.WEB_CLIENT_AUTOSCALING_GROUP: web_client.autoscaling_group_name,
    outputs.BACKUP_VAULT_NAME: snapshots.vault_name,
    outputs.BACKUP_PLAN_ID: snapshots.plan_id,
    outputs.CHECKPOINT_SNAPSHOTS: snapshots.snapshot_identifiers,
    outputs.ALARM_TOPIC_ARN: watch.topic_arn,
    outputs.DASHBOARD_NAME: watch.dashboard_name,
    outputs.LOG_GROUPS: {
        "app": app.log_group_name,
        "web_client": web_client.log_group_name,
        "database": server.log_group_name,
        "flow_logs": network.flow_log_group_name,
    },
    outputs.VPC_ID: network.vpc_id,
    outputs.REGION: settings.region,
    outputs.RELEASE: settings.release,
    outputs.ENVIRONMENT: settings.environment,
    outputs.OFFER: settings.offer,
    outputs.SERVICE_SHEET: {"data": sheet.data(), "markdown": sheet.markdown()},
}
for output, value in exported.items():
    pulumi.export(output, value)
