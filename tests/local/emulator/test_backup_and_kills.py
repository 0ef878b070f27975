"""Backups of file systems, when the emulator is killed under them."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from local.emulator import Emulator, start, stop
from local.processes import identity
from tests.local.emulator.conftest import make_client, wait_until
from tests.local.emulator.test_backup import ROLE

FILES = 8_000
"""So many that a copy of them takes longer than a kill."""


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Path]:
    yield tmp_path / "home"
    stop(tmp_path / "home")


def told(answer: Any) -> dict[str, Any]:
    """An answer without what is of the request."""
    return {key: value for key, value in answer.items() if key != "ResponseMetadata"}


def restarted(home: Path, emulator: Emulator) -> Any:
    """A client of the emulator that was started after a kill, in which nothing of the history was lost."""
    os.kill(emulator.pid, signal.SIGKILL)
    wait_until(lambda: identity(emulator.pid) is None)
    again = start(home)
    assert again.lost == 0
    return again


def test_an_unfinished_copy_has_failed_after_a_kill_and_a_finished_one_is_there(home: Path) -> None:
    emulator = start(home)
    backup, efs = make_client(emulator, "backup"), make_client(emulator, "efs")
    made = efs.create_file_system(Encrypted=True)
    gone = efs.create_file_system(Encrypted=True)["FileSystemId"]
    place = home / "nodes/file-systems" / made["FileSystemId"] / "odoo"
    place.mkdir(parents=True)
    (home / "nodes/file-systems" / gone).mkdir()
    for number in range(FILES):
        (place / str(number)).write_bytes(b"content")
    for name in ("vault", "other"):
        backup.create_backup_vault(BackupVaultName=name)

    def back_up(vault: str = "vault") -> Any:
        return backup.start_backup_job(
            BackupVaultName=vault, ResourceArn=made["FileSystemArn"], IamRoleArn=ROLE
        )

    def job(name: str) -> dict[str, Any]:
        return told(backup.describe_backup_job(BackupJobId=name))

    def restored(name: str) -> dict[str, Any]:
        return told(backup.describe_restore_job(RestoreJobId=name))

    def restore(point: str) -> str:
        return str(
            backup.start_restore_job(
                RecoveryPointArn=point, Metadata={"newFileSystem": "true"}, IamRoleArn=ROLE
            )["RestoreJobId"]
        )

    first = back_up()
    wait_until(lambda: job(first["BackupJobId"])["State"] == "COMPLETED")
    before = job(first["BackupJobId"])
    assert before["BackupSizeInBytes"] == FILES * 7
    # Deleted, and killed before anything of it is removed: it is queued behind a copy.
    second = back_up("other")
    efs.delete_file_system(FileSystemId=gone)
    emulator = restarted(home, emulator)

    backup, efs = make_client(emulator, "backup"), make_client(emulator, "efs")
    assert job(first["BackupJobId"]) == before
    failed = job(second["BackupJobId"])
    assert (failed["State"], failed["StatusMessage"]) == (
        "FAILED",
        "the emulator ended before the copy was complete",
    )
    assert backup.list_recovery_points_by_backup_vault(BackupVaultName="other")["RecoveryPoints"] == []
    backup.delete_backup_vault(BackupVaultName="other")
    wait_until(lambda: len(list((home / "nodes/recovery-points").iterdir())) == 1)
    wait_until(lambda: not (home / "nodes/file-systems" / gone).exists())
    unfinished = restore(first["RecoveryPointArn"])
    emulator = restarted(home, emulator)

    backup, efs = make_client(emulator, "backup"), make_client(emulator, "efs")
    found = restored(unfinished)
    assert found["Status"] == "FAILED"
    fresh = home / "nodes/file-systems" / found["CreatedResourceArn"].rpartition("/")[2]
    assert not fresh.exists() or list(fresh.iterdir()) == []
    finished = restore(first["RecoveryPointArn"])
    wait_until(lambda: restored(finished)["Status"] == "COMPLETED")
    found = restored(finished)
    emulator = restarted(home, emulator)

    backup = make_client(emulator, "backup")
    assert restored(finished) == found
    fresh = home / "nodes/file-systems" / found["CreatedResourceArn"].rpartition("/")[2]
    assert len(list(fresh.glob("aws-backup-restore_*/odoo/*"))) == FILES
    backup.delete_recovery_point(BackupVaultName="vault", RecoveryPointArn=first["RecoveryPointArn"])
    backup.delete_backup_vault(BackupVaultName="vault")
    wait_until(lambda: list((home / "nodes/recovery-points").iterdir()) == [])
    restarted(home, emulator)
