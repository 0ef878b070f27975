"""What stays in the emulator after a stack is destroyed: what is meant to outlive it."""

from __future__ import annotations

from typing import Any


def retained(endpoint_url: str, region: str) -> list[str]:
    """The database snapshots and recovery points that the emulator holds, each as one line for people."""
    import boto3
    from botocore.config import Config
    from botocore.exceptions import BotoCoreError, ClientError

    config = Config(retries={"total_max_attempts": 1}, connect_timeout=5, read_timeout=15)

    def client(service: str) -> Any:
        return boto3.client(
            service,
            endpoint_url=endpoint_url,
            region_name=region,
            aws_access_key_id="emulator",
            aws_secret_access_key="emulator",  # noqa: S106  good for the emulator only
            config=config,
        )

    found: list[str] = []
    try:
        for snapshot in client("rds").describe_db_snapshots()["DBSnapshots"]:
            size = snapshot.get("AllocatedStorage")
            found.append(
                f"database snapshot {snapshot['DBSnapshotIdentifier']} "
                f"(of {snapshot.get('DBInstanceIdentifier')}, {size} GB)"
            )
    except (BotoCoreError, ClientError) as error:
        found.append(f"database snapshots: cannot be listed ({error})")
    try:
        backup = client("backup")
        for vault in backup.list_backup_vaults()["BackupVaultList"]:
            name = vault["BackupVaultName"]
            points = backup.list_recovery_points_by_backup_vault(BackupVaultName=name)["RecoveryPoints"]
            found += [f"recovery point {point['RecoveryPointArn']} in vault {name}" for point in points]
    except (BotoCoreError, ClientError) as error:
        found.append(f"recovery points: cannot be listed ({error})")
    return found
