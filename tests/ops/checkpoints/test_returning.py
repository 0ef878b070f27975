"""Returning a stack: real PostgreSQL, real files, the program and its engine as they are.

Not proved here: that AWS takes these requests, servers that run, and looking into a new file system by way of
a server.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from core import outputs as names
from core.checkpoint import Manifest, key
from ops import stack_outputs
from ops.__main__ import app
from ops.checkpoints import closing, manifests, restore
from ops.checkpoints.restore import CURRENT, Choices
from ops.console import Reporter
from ops.errors import OpsError
from ops.run import Run
from ops.site import Site
from tests.ops.checkpoints.conftest import (
    STACK,
    Deployment,
    checkpoint,
    filestore,
    servers,
    sql,
    store_file,
)

UPDATE = "make the database server anew, and go on with the restored files (pulumi up)"
STEPS = (
    "restore the files to a new file system",
    "put the restored files in their place",
    "let the servers end",
    "take a snapshot of the database server",
    "write the manifest",
    UPDATE,
    "give the logins the passwords of the stack's secrets",
    "read every file that attachments name",
    "bring the servers back",
    "protect the stack again (pulumi up)",
)


@pytest.fixture
def opening(deployment: Deployment, site: Site) -> Manifest:
    """A checkpoint that all tests return to; it is taken once."""
    found = manifests.find(site.store, "opening")
    return found or checkpoint(site, "opening").manifest


def partners(deployment: Deployment) -> int:
    site = deployment.site()
    return int(sql(site, "openerp", "select count(*) from res_partner")[0][0])


def whole(deployment: Deployment, manifest: Manifest) -> None:
    """The stack has the data of a checkpoint, its servers, and nothing is under way."""
    site = deployment.site()
    claim = manifest.database("openerp")
    assert claim is not None
    assert partners(deployment) == claim.rows["public.res_partner"][0]
    assert claim.files is not None
    count = sum(path.is_file() for path in filestore(site, "openerp").rglob("*"))
    assert count == claim.files.count[0]
    assert servers(deployment) == 2
    assert (site.store.read(CURRENT) or {})["state"] == "done"
    assert site.stack.preview()["changeSummary"].keys() <= {"same", "read"}


def break_it(deployment: Deployment) -> str:
    """Lose rows and a file, and make a file; returns the attachment that is new."""
    site = deployment.site()
    sql(site, "openerp", "delete from res_partner where id % 2 = 0")
    next(path for path in filestore(site, "openerp").rglob("*") if path.is_file()).unlink()
    return store_file(site, "openerp", b"made after the checkpoint")


def test_a_stack_returns_with_database_and_files_and_the_present_is_kept(
    deployment: Deployment, opening: Manifest
) -> None:
    before = deployment.site().stack.outputs()
    new = break_it(deployment)
    broken, current = partners(deployment), deployment.site().store.read(CURRENT)

    shown = deployment.ops("restore", "opening", "--dry-run").stdout
    assert "± database-instance (aws:rds/instance:Instance): replaced" in shown
    assert f"the present file system {before[names.FILE_SYSTEM_ID]} stays" in shown
    assert "nothing was changed" in shown
    assert partners(deployment) == broken
    assert deployment.site().store.read(CURRENT) == current

    said = json.loads(deployment.ops("restore", "opening", "--yes", "--json").stdout)

    whole(deployment, opening)
    assert said["differences"] == []
    after = deployment.site()
    assert after.stack.output(names.FILE_SYSTEM_ID) != before[names.FILE_SYSTEM_ID]
    assert after.stack.output(names.FILE_SYSTEM_PATH) == "/odoo", "no deeper than it was"
    assert not (filestore(after, "openerp") / new).exists()
    assert (deployment.home / "nodes" / "file-systems" / before[names.FILE_SYSTEM_ID]).is_dir()
    kept = manifests.get(after.store, STACK, said["present"])
    claim = kept.database("openerp")
    assert claim is not None
    assert claim.rows["public.res_partner"] == (broken, broken)
    assert claim.files is not None
    assert claim.files.missing is not None
    assert claim.files.missing.count == 1, "the file that was lost before"
    assert (deployment.settings_file.read_text()).count("restoreFrom: snapshot:openerp-local-opening-") == 1

    # There and back again: what was kept can be returned to.
    back = json.loads(deployment.ops("restore", said["present"], "--yes", "--json").stdout)
    assert back["differences"] == []
    assert partners(deployment) == broken
    assert (filestore(deployment.site(), "openerp") / new).is_file()


def test_a_restore_that_is_killed_at_each_of_its_steps_goes_on_and_makes_nothing_twice(
    deployment: Deployment, opening: Manifest
) -> None:
    break_it(deployment)
    labels = {*manifests.labels(deployment.site().store)}
    systems = {*(deployment.home / "nodes" / "file-systems").iterdir()}
    for step in STEPS:
        assert deployment.killed("restore", "opening", "--step", step), step
        if step == UPDATE:
            assert servers(deployment) == 0
    said = deployment.ops("restore", "opening", "--yes").stdout
    assert "goes on with what was begun" in said
    whole(deployment, opening)
    made = {*manifests.labels(deployment.site().store)} - labels
    assert [label.startswith("before-opening-") for label in made] == [True], made
    assert len({*(deployment.home / "nodes" / "file-systems").iterdir()} - systems) == 1
    assert not {*manifests.unfinished(deployment.site().store)} & made


def test_an_update_that_fails_says_what_state_everything_is_in_and_goes_on(
    deployment: Deployment, opening: Manifest
) -> None:
    break_it(deployment)
    deployment.pulumi_fails(True)
    said = deployment.fails("AWS has none of these left", "restore", "opening", "--yes")
    present = str((deployment.site().store.read(CURRENT) or {})["present"])
    assert "The update of local was begun" in said
    assert "its servers have ended" in said
    assert "`python -m ops restore opening --stack local` goes on" in said
    assert f"`python -m ops restore {present} --stack local` goes back" in said
    assert servers(deployment) == 0
    deployment.pulumi_fails(False)

    result = json.loads(deployment.ops("restore", present, "--yes", "--json").stdout)

    assert result["present"] is None, "nobody has worked since it was kept"
    assert servers(deployment) == 2
    assert partners(deployment) < 2000


class Breaking(Reporter):
    """Changes something when a step begins."""

    def __init__(self, sentence: str, action: Any) -> None:
        self.sentence, self.action = sentence, action

    def step(self, sentence: str) -> None:
        if sentence == self.sentence:
            self.action()


def test_what_fails_before_anything_is_replaced_brings_the_servers_back(
    deployment: Deployment, opening: Manifest
) -> None:
    """AWS Backup can keep no files of the present: the vault's lock permits nothing of that length."""
    site = deployment.site()
    instance = site.stack.output(names.DATABASE_INSTANCE_IDENTIFIER)
    backup, vault = deployment.client("backup"), str(site.stack.output(names.BACKUP_VAULT_NAME))

    def lock() -> None:
        assert servers(deployment) == 0
        backup.put_backup_vault_lock_configuration(BackupVaultName=vault, MinRetentionDays=3000)

    breaking = deployment.site(Breaking("look at what the databases and the file store hold", lock))
    try:
        with pytest.raises(OpsError) as raised:
            restore.restore(breaking, "opening", Choices())
    finally:
        backup.delete_backup_vault_lock_configuration(BackupVaultName=vault)
    said = str(raised.value)
    assert "the present can be given up with --no-checkpoint" in said
    assert "Nothing of local was replaced, and its servers come back" in said
    assert servers(deployment) == 2
    assert deployment.site().stack.output(names.DATABASE_INSTANCE_IDENTIFIER) == instance
    current = deployment.site().store.read(CURRENT) or {}
    assert "present" not in current, "what people do now belongs to another one"

    # Without it, the restored files that are there already are gone on with.
    deployment.ops("restore", "opening", "--yes", "--no-checkpoint")
    whole(deployment, opening)
    assert (deployment.site().store.read(CURRENT) or {})["files"] == current["files"]


def points(deployment: Deployment) -> Path:
    return deployment.home / "nodes" / "recovery-points"


def test_files_that_are_not_those_of_the_checkpoint_are_refused_before_anything_is_touched(
    deployment: Deployment, site: Site
) -> None:
    """Not what AWS Backup does; what a person who altered the recovery point, or a bad disk, would."""
    made = checkpoint(site, "rotten").manifest
    folder = points(deployment) / made.recovery_point.arn.rpartition(":")[2]
    lost, damaged = sorted(
        path
        for path in (folder / "odoo/filestore/openerp").rglob("*")
        if path.is_file() and path.stat().st_size
    )[:2]
    lost.unlink()
    damaged.write_bytes(bytes(damaged.stat().st_size))
    instance = site.stack.output(names.DATABASE_INSTANCE_IDENTIFIER)

    said = deployment.fails("differs from the checkpoint", "restore", "rotten", "--yes")

    assert "folders of the file store that hold something else" in said
    assert "Nothing of local was changed" in said
    assert "--accept-differences" in said
    assert deployment.site().stack.output(names.DATABASE_INSTANCE_IDENTIFIER) == instance
    assert servers(deployment) == 2

    done = json.loads(deployment.ops("restore", "rotten", "--yes", "--accept-differences", "--json").stdout)
    told = " ".join(done["differences"])
    assert f"1 attachments are without their stored file: {lost.parent.name}/{lost.name}" in told
    assert f"1 stored files are damaged (their SHA-1 is not their name): {damaged.parent.name}/" in told
    (filestore(deployment.site(), "openerp") / damaged.parent.name / damaged.name).unlink()


def rewritten(site: Site, label: str, source: Manifest, **changed: Any) -> None:
    """Put a manifest like another one, whole, into the store."""
    made = source.model_copy(update={"label": label, **changed})
    site.store.write(key(label), made.text().encode())


def test_what_cannot_be_restored_is_refused_in_one_sentence(
    deployment: Deployment, site: Site, opening: Manifest
) -> None:
    point = opening.recovery_point.model_copy(update={"arn": f"{opening.recovery_point.arn}0"})
    snapshot = opening.snapshot.model_copy(update={"identifier": "openerp-local-nothing"})
    large = opening.snapshot.model_copy(update={"storage_gb": 500})
    rewritten(site, "no-files", opening, recovery_point=point)
    rewritten(site, "no-snapshot", opening, snapshot=snapshot)
    rewritten(site, "foreign", opening, stack="prod")
    rewritten(site, "large", opening, snapshot=large)
    before = (site.store.read(CURRENT), deployment.settings())

    deployment.fails("has no checkpoint nothing; it has: ", "restore", "nothing", "--yes")
    deployment.fails("is a label of openerp:backup.checkpoints", "restore", "baseline", "--yes")
    deployment.fails("its recovery point", "restore", "no-files", "--yes")
    deployment.fails("is missing in RDS; nothing was touched", "restore", "no-snapshot", "--yes")
    deployment.fails("is one of the stack prod, and this is local", "restore", "foreign", "--yes")
    deployment.fails("to what?", "restore")
    # What sizing decides follows; what the settings say is refused, with both numbers.
    assert "openerp:database.storageGb: 500" in deployment.ops("restore", "large", "--dry-run").stdout
    deployment.configure(lambda settings: settings["openerp:database"].update(storageGb=30))
    try:
        said = deployment.fails("cannot be restored", "restore", "large", "--yes")
    finally:
        deployment.configure(lambda settings: settings["openerp:database"].pop("storageGb"))
    assert "30 GiB" in said
    assert "500 GiB" in said
    assert (site.store.read(CURRENT), deployment.settings()) == before
    assert servers(deployment) == 2


def test_the_servers_run_again_what_they_ran(deployment: Deployment, site: Site, opening: Manifest) -> None:
    """As after an update that was undone: the settings say something newer than the checkpoint does."""
    other = "resolve:ssm:/openerp/images/openerp-19.0-new"
    image = deployment.settings()["openerp:serverImage"]
    deployment.configure(lambda settings: settings.update({"openerp:serverImage": other}))
    try:
        plan = restore.plan(deployment.site(), restore.target_of(opening), Choices())
    finally:
        deployment.configure(lambda settings: settings.update({"openerp:serverImage": image}))
    assert plan.settings == {"serverImage": image}


def test_production_wants_its_name_typed(
    deployment: Deployment, opening: Manifest, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = stack_outputs.of_stack
    production = {names.ENVIRONMENT: "production"}
    monkeypatch.setattr("ops.stack.of_stack", lambda *given: {**real(*given), **production})

    def refused(*more: str) -> str:
        result = CliRunner().invoke(app, ["restore", "opening", "--stack", STACK, "--yes", *more])
        assert result.exit_code == 1
        return result.stderr

    before = deployment.settings()
    assert "type the stack's name as --confirm local" in refused()
    assert "'prod' is not 'local': nothing was changed" in refused("--confirm", "prod")
    assert deployment.settings() == before
    assert servers(deployment) == 2


def test_a_stack_without_servers_is_returned_without_waiting_for_any(
    deployment: Deployment, opening: Manifest
) -> None:
    site = deployment.site()
    run = Run(site.store, "runs/test.json", {"id": "x"})
    closing.close(site, run)
    sizes = run["sizes"]
    try:
        result = restore.restore(deployment.site(), "opening", Choices(keep_present=False))
        assert "no servers were brought back: none ran before" in result.warnings
        assert result.present is None
    finally:
        closing.reopen(deployment.site(), run)
    assert sizes == {role: {"least": 1, "wished": 1} for role in ("app", "web-client")}
    whole(deployment, opening)


def test_a_file_system_that_is_not_there_is_not_taken_for_an_empty_one(
    deployment: Deployment, opening: Manifest
) -> None:
    """Neither a mount here nor a server that could look into what AWS Backup makes."""
    site = deployment.site()
    blind = Site(
        stack=site.stack,
        aws=site.aws,
        databases=site.databases,
        file_systems=None,
        reporter=site.reporter,
    )
    with pytest.raises(OpsError, match="nobody could find what AWS Backup restores; nothing was touched"):
        restore.plan(blind, restore.target_of(opening), Choices())
