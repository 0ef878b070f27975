"""What stays in the emulator after a stack is destroyed: what is meant to outlive it."""

from __future__ import annotations


def retained(endpoint_url: str, region: str) -> list[str]:
    """What data is kept in the emulator, a line for each: snapshots, file systems, vaults, backups, keys."""
    from botocore.exceptions import BotoCoreError, ClientError

    from local.account import client

    found: list[str] = []
    try:
        for snapshot in client("rds", endpoint_url, region).describe_db_snapshots()["DBSnapshots"]:
            size = snapshot.get("AllocatedStorage")
            found.append(
                f"database snapshot {snapshot['DBSnapshotIdentifier']} "
                f"(of {snapshot.get('DBInstanceIdentifier')}, {size} GB)"
            )
    except (BotoCoreError, ClientError) as error:
        found.append(f"database snapshots: cannot be listed ({error})")
    try:
        for system in client("efs", endpoint_url, region).describe_file_systems()["FileSystems"]:
            found.append(f"file system {system['FileSystemId']} ({system.get('Name') or 'without a name'})")
    except (BotoCoreError, ClientError) as error:
        found.append(f"file systems: cannot be listed ({error})")
    try:
        backup = client("backup", endpoint_url, region)
        for vault in backup.list_backup_vaults()["BackupVaultList"]:
            name = vault["BackupVaultName"]
            points = backup.list_recovery_points_by_backup_vault(BackupVaultName=name)["RecoveryPoints"]
            found.append(f"backup vault {name}, with {len(points)} recovery points")
            found += [f"recovery point {point['RecoveryPointArn']} in vault {name}" for point in points]
    except (BotoCoreError, ClientError) as error:
        found.append(f"recovery points: cannot be listed ({error})")
    try:
        kms = client("kms", endpoint_url, region)
        keys = [kms.describe_key(KeyId=key["KeyId"])["KeyMetadata"] for key in kms.list_keys()["Keys"]]
        aliases = kms.list_aliases()["Aliases"]
        of_aws = {a.get("TargetKeyId") for a in aliases if a["AliasName"].startswith("alias/aws/")}
        found += [
            f"KMS key {key['KeyId']} ({key.get('Description')})"
            for key in keys
            if key["KeyState"] == "Enabled" and key["KeyId"] not in of_aws
        ]
    except (BotoCoreError, ClientError) as error:
        found.append(f"KMS keys: cannot be listed ({error})")
    return found
