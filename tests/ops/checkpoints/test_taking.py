"""Taking checkpoints: real PostgreSQL, real files, the AWS of the emulator.

Not proved here: how long RDS and AWS Backup take, and looking at files by way of a server.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections import Counter
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from core import outputs as names
from core.checkpoint import claim_key, key
from ops.checkpoints import listing, manifests, take
from ops.console import Reporter
from ops.errors import OpsError
from ops.lock import held
from ops.site import Site
from tests.ops.checkpoints.conftest import (
    STACK,
    Deployment,
    checkpoint,
    document,
    filestore,
    sql,
    store_file,
)

ODD = 'acme-"co" 1'


def made_for(deployment: Deployment, label: str) -> Counter[str]:
    """What there is of a label in AWS."""
    snapshots = deployment.client("rds").describe_db_snapshots()["DBSnapshots"]
    backup = deployment.client("backup")
    points = [
        point
        for vault in backup.list_backup_vaults()["BackupVaultList"]
        for point in backup.list_recovery_points_by_backup_vault(BackupVaultName=vault["BackupVaultName"])[
            "RecoveryPoints"
        ]
    ]
    tagged = [backup.list_tags(ResourceArn=point["RecoveryPointArn"])["Tags"] for point in points]
    return Counter(
        snapshots=sum(f"-{STACK}-{label}-" in row["DBSnapshotIdentifier"] for row in snapshots),
        points=sum(tags.get("openerp:checkpoint") == label for tags in tagged),
    )


def test_a_checkpoint_is_a_snapshot_then_files_then_a_manifest_of_what_both_held(
    deployment: Deployment, site: Site
) -> None:
    before = datetime.now(UTC) - timedelta(seconds=2)
    said = deployment.ops("checkpoint", "taken", "--note", "before the inventory").stdout.splitlines()
    assert said[-3].startswith("checkpoint taken of local: ")
    assert said[-2].startswith("took ")
    assert said[-1].startswith("its files are kept until ")

    found = manifests.get(site.store, STACK, "taken")
    assert before < found.taken <= found.recovery_point.created <= found.completed
    assert found.snapshot.identifier.startswith("openerp-local-taken-")
    assert (found.note, found.release, found.environment) == (
        "before the inventory",
        "19.0",
        "development",
    )
    assert found.code.server_image == "resolve:ssm:/openerp/images/openerp-19.0"
    working = found.database("openerp")
    assert working is not None
    assert working.rows['public."Odd ""name"'] == (300, 300)
    (partners,) = sql(site, "openerp", "select count(*) from res_partner")[0]
    assert working.rows["public.res_partner"] == (partners, partners)
    query = "select count(distinct store_fname) from ir_attachment"
    (attachments,) = sql(site, "openerp", query)[0]
    assert working.attachments == (attachments, attachments)
    assert working.modules == {"base": "19.0.1.3"}
    assert working.files is not None
    count = sum(path.is_file() for path in filestore(site, "openerp").glob("??/*"))
    assert working.files.count == (count, count)
    assert not working.files.moving
    assert made_for(deployment, "taken") == {"snapshots": 1, "points": 1}
    assert site.store.list(claim_key("taken")) == []
    assert set(found.seconds) == {"snapshot", "files", "count"}


def test_a_label_is_never_used_twice(deployment: Deployment, site: Site) -> None:
    if manifests.find(site.store, "taken") is None:
        checkpoint(site, "taken")
    before = document(site, "taken")
    deployment.fails("a label is never used twice", "checkpoint", "taken")
    deployment.fails("a label is never used twice", "checkpoint", "taken", "--dry-run")
    assert document(site, "taken") == before
    assert made_for(deployment, "taken") == {"snapshots": 1, "points": 1}


@pytest.mark.parametrize("label", ["Opening", "a--b", "final", "x" * 64])
def test_what_is_no_label_is_refused(deployment: Deployment, site: Site, label: str) -> None:
    before = made_for(deployment, label)
    with pytest.raises(OpsError):
        checkpoint(site, label)
    assert made_for(deployment, label) == before
    assert label not in manifests.unfinished(site.store)


def test_a_dry_run_changes_nothing(deployment: Deployment, site: Site) -> None:
    before = site.store.list("")
    said = deployment.ops("checkpoint", "dry", "--dry-run").stdout
    assert "databases      openerp, openerp_test" in said
    assert site.store.list("") == before
    assert made_for(deployment, "dry") == Counter(snapshots=0, points=0)


def test_of_two_operators_at_once_one_takes_it_and_the_other_is_told(
    deployment: Deployment, site: Site
) -> None:
    environment = {**os.environ, "NO_COLOR": "1"}
    both = [
        subprocess.Popen(
            [sys.executable, "-m", "ops", "checkpoint", "twin", "--stack", STACK],
            cwd=deployment.project,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for _ in range(2)
    ]
    said = [process.communicate()[1] for process in both]
    assert sorted(process.returncode for process in both) == [0, 1], said
    (refused,) = (text for process, text in zip(both, said, strict=True) if process.returncode)
    assert "another command is at work on local" in refused or "never used twice" in refused
    assert made_for(deployment, "twin") == {"snapshots": 1, "points": 1}
    assert manifests.find(site.store, "twin") is not None


def test_a_checkpoint_that_is_killed_after_each_of_its_requests_is_whole_in_the_end(
    deployment: Deployment, site: Site, tmp_path: Path
) -> None:
    """Each run comes one request further than the one before it."""
    seen = tmp_path / "seen"
    deaths: list[str] = []
    while "DeleteObject checkpoints/killed.claim" not in deaths:
        assert deployment.killed("checkpoint", "killed", "--seen", str(seen))
        deaths = seen.read_text().splitlines()
    assert {"CreateDBSnapshot", "StartBackupJob", "PutObject checkpoints/killed.json"} <= set(deaths)
    deployment.fails("a label is never used twice", "checkpoint", "killed")
    assert made_for(deployment, "killed") == {"snapshots": 1, "points": 1}
    found = manifests.get(site.store, STACK, "killed")
    assert found.recovery_point.created >= found.taken
    assert "killed" not in manifests.unfinished(site.store)


class Working(Reporter):
    """People who work while a checkpoint is taken."""

    def __init__(self, site: Site) -> None:
        self.site = site

    def step(self, sentence: str) -> None:
        if sentence == "take a snapshot of the database server":
            self._work(b"between the look and the snapshot")
        if sentence == "back the file store up":
            self._work(b"between the snapshot and the backup")

    def _work(self, content: bytes) -> None:
        store_file(self.site, "openerp", content)
        sql(self.site, "openerp", "insert into res_partner (name) values ('new')")
        sql(self.site, "openerp", "delete from res_partner where id = (select min(id) from res_partner)")


def test_while_people_work_the_manifest_holds_ranges_that_the_snapshot_is_in(
    deployment: Deployment, site: Site
) -> None:
    (rows,) = sql(site, "openerp", "select count(*) from res_partner")[0]
    found = checkpoint(deployment.site(Working(site)), "busy").manifest
    working = found.database("openerp")
    assert working is not None
    assert working.files is not None
    low, high = working.rows["public.res_partner"]
    assert low <= rows <= high
    assert low < high, "as many came as went, and the server counted both"
    assert working.attachments[1] - working.attachments[0] >= 2
    assert working.files.moving
    assert working.files.count[1] - working.files.count[0] == 2


def test_what_is_missing_or_damaged_already_is_said_and_remembered(
    deployment: Deployment, site: Site
) -> None:
    missing, damaged = (store_file(site, "openerp_test", text) for text in (b"to be lost", b"to be damaged"))
    store = filestore(site, "openerp_test")
    (store / missing).unlink()
    (store / damaged).write_bytes(b"something else")
    try:
        taken = checkpoint(site, "broken")
        quick = checkpoint(site, "broken-quick", read_files=False)
    finally:
        sql(
            site, "openerp_test", f"delete from ir_attachment where store_fname in ('{missing}', '{damaged}')"
        )
        (store / damaged).unlink()
    said = " ".join(taken.warnings)
    assert f"1 attachments had no stored file already: {missing}" in said
    assert f"1 stored files were damaged already: {damaged}" in said
    held_quick = quick.manifest.database("openerp_test")
    assert held_quick is not None
    assert held_quick.files is not None
    assert held_quick.files.damaged is None, "nobody read them"
    assert held_quick.files.missing is not None
    assert held_quick.files.missing.names == (missing,)


def with_outputs(site: Site, **changed: Any) -> Site:
    """The stack with other outputs."""
    site.stack._outputs = {**site.stack.outputs(), **changed}
    return site


def test_a_database_whose_name_needs_quoting_is_in_it_like_any_other(
    deployment: Deployment, site: Site
) -> None:
    from psycopg import sql as quoted

    arns = site.stack.output(names.APPLICATION_SECRET_ARNS)
    with site.databases.master().connect("postgres") as connection:
        connection.execute(
            quoted.SQL("create database {} owner {}").format(
                quoted.Identifier(ODD), quoted.Identifier("openerp_app")
            )
        )
    try:
        named = with_outputs(
            deployment.site(),
            **{
                names.DATABASE_NAMES: [*site.databases.names(), ODD],
                names.APPLICATION_SECRET_ARNS: {**arns, ODD: arns["openerp"]},
            },
        )
        sql(named, ODD, 'create table "select" (id int); insert into "select" values (1), (2)')
        found = checkpoint(named, "odd").manifest.database(ODD)
    finally:
        with site.databases.master().connect("postgres") as connection:
            connection.execute(quoted.SQL("drop database {}").format(quoted.Identifier(ODD)))
    assert found is not None
    assert found.rows == {'public."select"': (2, 2)}


def test_a_database_that_is_not_there_is_said_and_left_out(deployment: Deployment, site: Site) -> None:
    arns = site.stack.output(names.APPLICATION_SECRET_ARNS)
    more = with_outputs(
        deployment.site(),
        **{
            names.DATABASE_NAMES: [*site.databases.names(), "gone"],
            names.APPLICATION_SECRET_ARNS: {**arns, "gone": arns["openerp"]},
        },
    )
    taken = checkpoint(more, "without", read_files=False)
    assert "the database gone is not on the server, and not in the checkpoint" in taken.warnings
    assert taken.manifest.database("gone") is None


def test_a_file_system_that_is_not_mounted_where_it_should_be_is_no_empty_one(
    deployment: Deployment, site: Site
) -> None:
    elsewhere = with_outputs(deployment.site(), **{names.FILE_SYSTEM_PATH: "/elsewhere"})
    with pytest.raises(OpsError, match=r"there is no folder .*/elsewhere: is fs-\w+ mounted"):
        checkpoint(elsewhere, "unmounted")
    assert made_for(deployment, "unmounted") == Counter(snapshots=0, points=0)


@pytest.mark.parametrize(("asked", "kept"), [(5, 30), (100, 100), (9000, 400)])
def test_files_are_kept_as_long_as_the_vaults_lock_permits(
    deployment: Deployment, asked: int, kept: int
) -> None:
    limits = {names.BACKUP_RETENTION_LIMITS: {"min_days": 30, "max_days": 400}}
    assert take.plan(with_outputs(deployment.site(), **limits), "kept", keep_days=asked).keep_days == kept


def test_a_backup_that_fails_is_tried_anew_by_the_same_command(deployment: Deployment, site: Site) -> None:
    """The vault's lock permits nothing of that length: AWS Backup's job fails."""
    backup, vault = deployment.client("backup"), str(site.stack.output(names.BACKUP_VAULT_NAME))
    backup.put_backup_vault_lock_configuration(BackupVaultName=vault, MinRetentionDays=3000)
    try:
        with pytest.raises(OpsError, match=r"could not back the file store up.*the same command tries again"):
            checkpoint(site, "second-try")
    finally:
        backup.delete_backup_vault_lock_configuration(BackupVaultName=vault)
    deployment.fails("was begun and never completed", "restore", "second-try", "--yes")
    (row,) = (row for row in listing.rows(site) if row.label == "second-try")
    assert row.problems == ("it was begun and not completed",)
    taken = checkpoint(site, "second-try")
    assert taken.continued
    assert made_for(deployment, "second-try") == {"snapshots": 1, "points": 1}


def test_the_list_says_what_each_checkpoint_is_good_for(deployment: Deployment, site: Site) -> None:
    for label in ("good", "without-snapshot", "altered"):
        checkpoint(site, label, note=f"the {label} one", read_files=False)
    lost = manifests.get(site.store, STACK, "without-snapshot").snapshot.identifier
    deployment.client("rds").delete_db_snapshot(DBSnapshotIdentifier=lost)
    content = site.store.read_bytes(key("altered")) or b""
    site.store.write(key("altered"), content.replace(b"2000", b"2001"))
    site.store.write(
        "drills/2026-11-28T101200Z-abcd.json",
        {
            "drill": "261128101200-abcd",
            "checkpoint": "good",
            "ok": True,
            "started": "2026-11-28T10:12:00+00:00",
            "finished": "2026-11-28T10:42:00+00:00",
        },
    )

    printed = deployment.ops("checkpoints").stdout.splitlines()

    def line(label: str) -> str:
        (found,) = (line for line in printed if line.startswith(f"{label} "))
        return found

    assert "proven 2026-11-28" in line("good")
    assert "the good one" in line("good")
    assert "its snapshot is missing" in line("without-snapshot")
    assert "was altered" in line("altered")
    deployment.fails("was altered", "restore", "altered", "--yes")
    deployment.fails("is missing in RDS; nothing was touched", "restore", "without-snapshot", "--yes")


def test_nobody_takes_a_checkpoint_while_another_command_is_at_work(
    deployment: Deployment, site: Site
) -> None:
    with held(site.store, STACK, "restore opening"):
        deployment.fails("at work on local: restore opening by ", "checkpoint", "blocked")
    assert site.store.list(claim_key("blocked")) == []
