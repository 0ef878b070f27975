"""The network, and what holds the company's data: database server, databases, file store."""

from __future__ import annotations

from dataclasses import dataclass

from components.database_server import DatabaseServer, DatabaseServerArgs
from components.databases import Databases, DatabasesArgs, TenantDatabase
from components.file_store import FileStore, FileStoreArgs, RestoredFiles
from components.network import Network, NetworkArgs
from core import names, origins
from deployment.context import Context


@dataclass(frozen=True, kw_only=True)
class Data:
    """The database server, the databases on it, and the file store beside it."""

    server: DatabaseServer
    databases: Databases
    files: FileStore


def network(context: Context) -> Network:
    """Make the network."""
    settings = context.settings
    return Network(
        "network",
        NetworkArgs(
            cidr=settings.network.cidr,
            subnets=settings.subnets,
            region=settings.region,
            nat_gateways=settings.network.nat_gateways,
            interface_endpoints=settings.network.interface_endpoints,
            flow_log_retention_days=settings.network.flow_log_retention_days,
        ),
        context.opts,
    )


def data(context: Context, network: Network) -> Data:
    """Make everything that is backed up."""
    server = _server(context, network)
    return Data(server=server, databases=_databases(context, server), files=_files(context, network))


def _server(context: Context, network: Network) -> DatabaseServer:
    settings, wanted = context.settings, context.settings.database
    size, origin = settings.sizing.database, context.database_origin
    return DatabaseServer(
        "database",
        DatabaseServerArgs(
            vpc_id=network.vpc_id,
            subnet_ids=network.data_subnet_ids,
            admin_cidrs=settings.network.company_cidrs,
            key_alias=f"{context.prefix}-database",
            engine_version=wanted.engine_version,
            allow_major_version_upgrade=wanted.allow_major_version_upgrade,
            instance_class=size.instance_class,
            allocated_storage_gb=size.allocated_storage_gb,
            max_allocated_storage_gb=size.max_allocated_storage_gb,
            multi_az=wanted.multi_az,
            retention_days=wanted.retention_days,
            deletion_protection=wanted.deletion_protection,
            protect=settings.protect,
            performance_insights=wanted.performance_insights,
            parameters=size.parameters,
            apply_immediately=not context.production,
            snapshot_identifier=origin.snapshot,
            restore_mark=origin.mark,
            snapshot_remembered=origin.remembered,
            restores=origin.replaces,
            final_snapshot_identifier=names.final_snapshot_identifier(settings.stack),
        ),
        context.opts,
    )


def _databases(context: Context, server: DatabaseServer) -> Databases:
    settings, wanted = context.settings, context.settings.database
    return Databases(
        "databases",
        DatabasesArgs(
            server_host=server.address,
            server_port=server.port,
            admin_host=wanted.admin_access.host,
            admin_port=wanted.admin_access.port,
            master_secret_arn=server.master_secret_arn,
            engine_version=wanted.engine_version,
            kms_key_arn=server.kms_key_arn,
            working_database=wanted.working_name,
            test_database=wanted.test_name,
            tenants=[
                TenantDatabase(
                    name=tenant.name,
                    database=names.tenant_database(tenant.name),
                    role=names.tenant_role(tenant.name),
                    host=names.tenant_host(tenant.name, settings.access.domain),
                )
                for tenant in settings.tenants
            ],
            tenants_parameter_path=context.tenants_path,
            may_create_databases=settings.environment == "development",
            left_out_because=origins.databases_left_out_because(settings, context.database_origin),
            secret_recovery_days=30 if context.production else 0,
            secret_versions=context.password_versions,
            protect=settings.protect,
        ),
        context.opts,
    )


def _files(context: Context, network: Network) -> FileStore:
    settings, origin = context.settings, context.files_origin
    return FileStore(
        "file-store",
        FileStoreArgs(
            vpc_id=network.vpc_id,
            subnet_ids=network.data_subnets,
            key_alias=f"{context.prefix}-file-store",
            throughput=settings.file_store.throughput,
            backup=settings.file_store.backup,
            restored=RestoredFiles(file_system_id=origin.file_system_id, path=origin.path)
            if origin
            else None,
            protect=settings.protect,
        ),
        context.opts,
    )
