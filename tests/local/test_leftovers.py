"""What `destroy` says stays, asked of a real emulator."""

from __future__ import annotations

from pathlib import Path

from local.account import client
from local.emulator import start, stop
from local.leftovers import retained

REGION = "eu-central-1"


def test_keys_and_files_that_stay_are_named_and_keys_on_their_way_out_are_not(tmp_path: Path) -> None:
    emulator = start(tmp_path / "home")
    try:
        assert retained(emulator.endpoint_url, REGION) == []
        kms = client("kms", emulator.endpoint_url, REGION)
        kept = kms.create_key(Description="database")["KeyMetadata"]["KeyId"]
        gone = kms.create_key(Description="backups")["KeyMetadata"]["KeyId"]
        kms.schedule_key_deletion(KeyId=gone, PendingWindowInDays=7)
        assert retained(emulator.endpoint_url, REGION) == [f"KMS key {kept} (database)"]
        efs = client("efs", emulator.endpoint_url, REGION)
        files = efs.create_file_system(CreationToken="files", Tags=[{"Key": "Name", "Value": "files"}])
        assert f"file system {files['FileSystemId']} (files)" in retained(emulator.endpoint_url, REGION)
    finally:
        stop(tmp_path / "home")
