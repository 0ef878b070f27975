"""What keeps it safe and tells when something is wrong: the operations store, backups and monitoring."""

from __future__ import annotations

from components.backup_snapshots import (
    BackupRule,
    BackupSnapshots,
    BackupSnapshotsArgs,
    RestoreTests,
    VaultLock,
)
from components.monitoring import MonitoredDatabase, MonitoredServers, Monitoring, MonitoringArgs
from components.operations_store import OperationsStore, OperationsStoreArgs
from components.server_group import ServerGroup
from core import names
from core.sizing import ServerSizing
from deployment.context import Context
from deployment.data import Data
from deployment.entrance import Entrance
from deployment.servers import Servers


def store(context: Context) -> OperationsStore:
    """Make the bucket of the day-2 commands."""
    return OperationsStore(
        "operations-store", OperationsStoreArgs(protect=context.settings.protect), context.opts
    )


def backups(context: Context, data: Data) -> BackupSnapshots:
    """Make the backup plan and the labelled checkpoints."""
    wanted, server = context.settings.backup, data.server
    rules = {"daily": wanted.daily, "weekly": wanted.weekly, "monthly": wanted.monthly}
    lock, drill = wanted.vault_lock, wanted.drill
    return BackupSnapshots(
        "backup",
        BackupSnapshotsArgs(
            stack=context.settings.stack,
            rules={
                key: BackupRule(schedule=rule.schedule, retention_days=rule.retention_days)
                for key, rule in rules.items()
                if rule
            },
            database_instance_identifier=server.instance_identifier,
            database_arn=server.instance_arn,
            file_system_arn=data.files.file_system_arn,
            checkpoints=wanted.checkpoints,
            checkpoints_after=[data.databases],
            vault_lock=VaultLock(
                min_retention_days=lock.min_retention_days,
                max_retention_days=lock.max_retention_days,
                changeable_for_days=lock.changeable_for_days,
            )
            if lock
            else None,
            copy_provider=context.copies,
            tests=RestoreTests(
                plan_name=names.restore_testing_plan(context.settings.stack),
                schedule=drill.schedule,
                database_subnet_group_name=server.subnet_group_name,
                file_store_kms_key_arn=data.files.kms_key_arn,
            )
            if drill
            else None,
            protect=context.settings.protect,
        ),
        context.opts,
    )


def monitoring(
    context: Context, data: Data, servers: Servers, entrance: Entrance, backups: BackupSnapshots
) -> Monitoring:
    """Make the alarms, the dashboard and the budget."""
    settings, size, drill = context.settings, context.settings.sizing, context.settings.backup.drill
    return Monitoring(
        "monitoring",
        MonitoringArgs(
            account_id=context.account_id,
            region=settings.region,
            stack=settings.stack,
            dashboard_name=context.prefix,
            database=MonitoredDatabase(
                instance_identifier=data.server.instance_identifier,
                burstable=size.database.burstable,
                allocated_storage_gb=size.database.allocated_storage_gb,
                connection_budget=size.database.connection_budget,
            ),
            load_balancer_arn=entrance.balancer.arn,
            servers={
                "app": _watched(servers.app, size.app),
                "web-client": _watched(servers.web_client, size.web_client),
            },
            certificate_arns={"server": entrance.certificate.certificate_arn},
            file_system_id=data.files.file_system_id,
            file_system_throughput=settings.file_store.throughput,
            backup_vault_name=backups.vault_name,
            backup_vault_arn=backups.vault_arn,
            backup_role_arn=backups.role_arn,
            copies=context.copies is not None,
            drill_max_age_days=drill.max_age_days if drill else None,
            email=settings.monitoring.email,
            monthly_budget_usd=settings.monitoring.monthly_budget_usd,
        ),
        context.opts,
    )


def _watched(group: ServerGroup, size: ServerSizing) -> MonitoredServers:
    return MonitoredServers(
        autoscaling_group_name=group.autoscaling_group_name,
        target_group_arn=group.target_group_arn,
        burstable=size.burstable,
    )
