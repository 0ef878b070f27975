"""The two groups of servers, which differ by role and size alone."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import TypeVar

import pulumi

from components.app_server import AppServer, AppServerArgs
from components.network import Network
from components.operations_store import OperationsStore
from components.server_group import (
    DatabaseAccess,
    FileStoreAccess,
    ModulesAccess,
    SecretAccess,
    ServerGroupArgs,
)
from components.web_client_server import WebClientServer, WebClientServerArgs
from core.outbound import outbound_ports
from core.servers import ServerConfiguration
from core.servers.configuration import ServerRole
from core.sizing import ServerSizing
from deployment.context import Context
from deployment.data import Data

Args = TypeVar("Args", bound=ServerGroupArgs)


@dataclass(frozen=True, kw_only=True)
class Servers:
    """Both groups."""

    app: AppServer
    web_client: WebClientServer


def servers(context: Context, network: Network, data: Data, store: OperationsStore) -> Servers:
    """Make the servers, once their databases stand."""
    sizing = context.settings.sizing
    opts = pulumi.ResourceOptions.merge(context.opts, pulumi.ResourceOptions(depends_on=[data.databases]))
    make = partial(_arguments, context, network, data, store)
    return Servers(
        app=AppServer("app", make(AppServerArgs, "app", sizing.app), opts),
        web_client=WebClientServer(
            "web-client", make(WebClientServerArgs, "web-client", sizing.web_client), opts
        ),
    )


def _arguments(
    context: Context,
    network: Network,
    data: Data,
    store: OperationsStore,
    kind: type[Args],
    role: ServerRole,
    size: ServerSizing,
) -> Args:
    server, files, databases = data.server, data.files, data.databases
    outbound = outbound_ports(
        context.settings.environment,
        context.settings.package.source,
        interface_endpoints=context.settings.network.interface_endpoints,
    )
    fetches = bool(context.settings.data_modules)
    return kind(
        vpc_id=network.vpc_id,
        subnet_ids=network.server_subnet_ids,
        region=context.settings.region,
        vpc_cidr=context.settings.network.cidr,
        outbound_ports=outbound,
        configure=_configure(context, role, size),
        database=DatabaseAccess(
            host=server.address, port=server.port, security_group_id=server.security_group_id
        ),
        file_store=FileStoreAccess(
            file_system_id=files.file_system_id,
            file_system_arn=files.file_system_arn,
            access_point_id=files.access_point_id,
            access_point_arn=files.access_point_arn,
            security_group_id=files.security_group_id,
        ),
        secrets=SecretAccess(
            database_secret_arn=databases.application_secret_arn,
            administrator_secret_arn=databases.administrator_secret_arn,
            tenant_secret_arns=databases.tenant_secret_arns,
            kms_key_arn=server.kms_key_arn,
        ),
        modules=ModulesAccess(
            bucket=store.bucket,
            bucket_arn=store.arn,
            s3_prefix_list_id=network.s3_prefix_list_id if fetches and "https" not in outbound else None,
        ),
        tenants_parameter_path=context.tenants_path,
        instance_type=size.instance_type,
        image_id=context.settings.server_image_for(size.architecture),
        min_servers=size.min_servers,
        max_servers=size.max_servers,
        tags=context.tags,
    )


def _configure(context: Context, role: ServerRole, size: ServerSizing) -> partial[ServerConfiguration]:
    settings = context.settings
    return partial(
        ServerConfiguration,
        role=role,
        stack=settings.stack,
        environment=settings.environment,
        offer=settings.offer,
        region=settings.region,
        release=settings.release,
        package_source=settings.package.source,
        package_date=settings.package.date,
        package_sha256=settings.package.sha256,
        modules=settings.modules,
        data_modules=tuple((module.name, module.sha256) for module in settings.data_modules),
        workers=size.workers,
        cron_threads=size.cron_threads,
        db_maxconn=size.db_maxconn,
        db_maxconn_gevent=size.db_maxconn_gevent,
        limit_memory_soft_bytes=size.limit_memory_soft,
        limit_memory_hard_bytes=size.limit_memory_hard,
        database_name=settings.database.working_name,
        test_database_name=settings.database.test_name,
        public_host=settings.access.domain,
        vpc_cidr=settings.network.cidr,
        tenants_parameter_path=context.tenants_path,
    )
