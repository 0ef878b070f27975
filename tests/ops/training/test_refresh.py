"""A refresh on an emulator: production's data restored, scrubbed, and closed until Odoo has neutralised it.

Not proved here: what a server does (tests/e2e), and that people work with it afterwards.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from core import outputs as names
from core.neutralisation import STATE
from local.emulator import stop
from ops.lock import held
from ops.site import Site
from ops.training import databases, plan
from tests.ops.training import two_stacks
from tests.ops.training.two_stacks import PRODUCTION, TRAINING, Both, refusals, servers, sql


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Both]:
    both = Both(tmp_path_factory.mktemp("training"))
    try:
        for stack in (PRODUCTION, TRAINING):
            both.configure(stack, two_stacks.small)
            both.up(stack)
        yield both
    finally:
        stop(both.home)


@pytest.fixture
def both(made: Both, monkeypatch: pytest.MonkeyPatch) -> Both:
    """Both stacks, from within their project; production has a checkpoint of what it holds."""
    monkeypatch.chdir(made.project)
    for name, value in made.environment.items():
        monkeypatch.setenv(name, value)
    production = made.site(PRODUCTION)
    if not production.store.list("checkpoints/"):
        for database in production.databases.names():
            two_stacks.like_production(production, database)
        server = production.databases.master()
        with server.connect("postgres") as connection:
            connection.execute("create database looking_back owner openerp_app")
            connection.execute("create role of_a_former_tenant login password 'of-production'")
        two_stacks.checkpoint(production, "opening")
    return made


@pytest.fixture
def training(both: Both) -> Site:
    return both.site(TRAINING)


def documents(site: Site) -> list[dict[str, Any]]:
    return [site.store.read(key) or {} for key in site.store.list("refreshes/")]


def test_production_is_refused_as_a_target_whatever_is_said(both: Both) -> None:
    before = both.settings_file(PRODUCTION).read_text()
    for options in ([], ["--yes"], ["--yes", "--no-servers", "--accept-differences"], ["--dry-run"]):
        done = both.run(
            *("ops", "training", "refresh", "--stack", PRODUCTION, "--from", TRAINING, *options), status=1
        )
        assert "error: prod is production: a training refresh would put a neutralised copy" in done.stderr
        assert "nothing was touched" in done.stderr
    assert both.settings_file(PRODUCTION).read_text() == before
    assert both.site(PRODUCTION).store.list("locks/") == []


def test_the_same_stack_and_an_unknown_checkpoint_are_refused(both: Both) -> None:
    same = both.run("ops", "training", "refresh", "-s", TRAINING, "--from", TRAINING, "-y", status=1)
    assert "cannot be made from itself" in same.stderr
    unknown = both.refresh("--checkpoint", "closing", "--yes", status=1)
    assert "error: prod has no checkpoint closing; it has: opening" in unknown.stderr


def test_a_dry_run_says_what_is_replaced_and_kept_and_changes_nothing(both: Both, training: Site) -> None:
    before = both.settings_file(TRAINING).read_text(), training.store.list("")
    said = both.refresh("--dry-run").stdout
    assert "training gets the data of prod: checkpoint opening of " in said
    assert "replaced: database-instance (aws:rds/instance:Instance): replaced" in said
    assert "no drill has proven a checkpoint yet" in said
    assert "a last snapshot (openerp-training-final-" in said
    assert (both.settings_file(TRAINING).read_text(), training.store.list("")) == before


def test_two_operators_are_kept_apart(both: Both, training: Site) -> None:
    with held(training.store, TRAINING, "restore course-start"):
        said = both.refresh("--yes", status=1).stderr
    assert "error: another command is at work on training: restore course-start by " in said


@dataclass(frozen=True)
class Killed:
    """A run of a refresh that may have killed itself."""

    died: bool
    steps: list[str]


def killed(*options: str) -> Killed:
    """Run a refresh that kills itself."""
    done = subprocess.run(
        [sys.executable, "-m", "tests.ops.training.killed", *options],
        env={**os.environ, "PYTHONPATH": str(two_stacks.ROOT)},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
    )
    assert done.returncode in (0, -9), done.stdout + done.stderr
    lines = done.stdout.splitlines()
    return Killed(
        died=done.returncode != 0,
        steps=[line.removeprefix("step: ") for line in lines if line.startswith("step: ")],
    )


def check_closed(both: Both) -> None:
    """Whatever is there now of production, no server of training serves it."""
    training = both.site(TRAINING)
    restored = training.stack.outputs().get(names.DATABASE_RESTORED_FROM)
    if not restored:
        return
    try:
        training.databases.align_logins()
    except Exception:  # the server is being replaced: there is none to serve from
        return
    for database, why in refusals(training, "training").items():
        assert why is not None, database


def test_killed_at_each_step_nobody_gets_in_and_the_same_command_goes_on(both: Both) -> None:
    """Each run is killed where the next step begins, and the next one goes on."""
    seen: list[str] = []
    while True:
        done = killed("--after", *seen)
        check_closed(both)
        new = [step for step in done.steps if step not in seen]
        if not done.died:
            break
        seen += new[-1:]
        assert len(seen) < 20, seen
    assert "make the database server anew, and go on with the restored files (pulumi up)" in seen
    assert seen[-1] == "verify every rule in every database"
    assert len(both.site(TRAINING).store.list("refreshes/")) == 1


def test_killed_after_requests_nobody_gets_in_and_the_same_command_goes_on(both: Both) -> None:
    """Each run is killed after some more requests to AWS than the one before."""
    both.site(TRAINING).store.delete(plan.CURRENT)  # from the beginning
    number, runs = 2, 0
    while killed("--call", str(number)).died:
        check_closed(both)
        number, runs = number + 4, runs + 1
    check_closed(both)
    assert runs > 3


def test_a_refresh_without_servers_ends_closed_and_scrubbed(both: Both, training: Site) -> None:
    result = json.loads(both.refresh("--yes", "--json").stdout)
    training = both.site(TRAINING)
    assert result["served"] is False
    assert result["removed"] == ["looking_back"]
    # The reporting login is production's too: a stack whose databases were brought has none of its own.
    assert result["logins"] == ["of_a_former_tenant", "openerp_reporting"]
    assert [judged["database"] for judged in result["judged"]] == training.databases.names()
    for judged in result["judged"]:
        assert {offence["rule"] for offence in judged["offences"]} == {
            "parameter database.is_neutralized",
            "ir_mail_server of no host",
        }
    assert set(refusals(training, "training").values()) == {
        f"the database {database} belongs to production, but this server to training"
        for database in training.databases.names()
    }
    assert servers(training) == 0
    assert "is closed: Odoo itself has not updated and neutralised" in " ".join(result["warnings"])


def test_production_is_untouched(both: Both) -> None:
    production = both.site(PRODUCTION)
    for database in production.databases.names():
        assert sql(production, database, "select count(*) from res_users_apikeys") == [(1,)]
        uuid = "select value from ir_config_parameter where key = 'database.uuid'"
        assert sql(production, database, uuid) == [(two_stacks.UUID,)]
    assert set(refusals(production, "production").values()) == {None}
    assert production.store.list("locks/") == []
    assert production.store.list("runs/training-refresh/") == []


def test_what_people_log_in_with_stays_and_all_else_is_gone(both: Both, training: Site) -> None:
    for database in training.databases.names():
        assert (
            sql(training, database, "select password, totp_secret from res_users order by id")[0][0]
            == "$pbkdf2-sha512$x"
        )
        assert sql(training, database, "select count(*) from res_users_apikeys") == [(0,)]
        identity = "select value from ir_config_parameter where key in ('database.uuid', 'database.secret')"
        assert not {value for (value,) in sql(training, database, identity)} & {
            two_stacks.UUID,
            two_stacks.SECRET,
        }
        address = "select value from ir_config_parameter where key = 'web.base.url'"
        assert sql(training, database, address) == [(str(training.stack.output(names.WEB_URL)).rstrip("/"),)]
    assert training.files.mounted is not None
    assert list((training.files.mounted / "sessions").iterdir()) == []


def test_attachments_came_along(both: Both, training: Site) -> None:
    assert training.files.mounted is not None
    for database in training.databases.names():
        stored = sql(
            training, database, "select store_fname from ir_attachment where store_fname is not null"
        )
        assert len(stored) == 12
        for (name,) in stored:
            assert (training.files.mounted / "filestore" / database / name).is_file()


def test_a_closed_system_is_no_pass_of_the_check(both: Both, training: Site) -> None:
    done = both.run("ops", "training", "check", "--stack", TRAINING, status=1)
    assert "it belongs to production, not to training: no server serves it" in done.stderr
    assert "parameter database.is_neutralized (not set)" in done.stderr


def as_odoo_would(site: Site) -> None:
    """What Odoo's own neutralisation adds, and the marks that a refresh with servers ends with."""
    for database in site.databases.names():
        with site.databases.application(database).connect(database) as connection:
            connection.execute(
                "insert into ir_config_parameter (key, value) values ('database.is_neutralized', 'true') "
                "on conflict (key) do update set value = 'true'; delete from ir_mail_server; "
                "insert into ir_mail_server (active, smtp_host) values (true, 'invalid')"
            )
            databases.give(connection, {"banner": "TRAINING"})


def test_the_check_passes_and_finds_what_people_add_that_acts(both: Both, training: Site) -> None:
    as_odoo_would(training)
    said = both.run("ops", "training", "check", "--stack", TRAINING).stdout
    assert "training is neutralised, and its servers reach nobody" in said
    working = training.databases.names()[0]
    # Theirs: an API key, a message that waits for a mail server that there is none of.
    sql(training, working, "insert into res_users_apikeys default values")
    sql(training, working, "insert into mail_mail (state) values ('outgoing')")
    both.run("ops", "training", "check", "--stack", TRAINING)
    # Not theirs to decide: what acts.
    sql(training, working, "update ir_cron set active = true where id = 2")
    sql(training, working, "insert into ir_mail_server (active, smtp_host) values (true, 'smtp.example.com')")
    done = both.run("ops", "training", "check", "--stack", TRAINING, "--json", status=1)
    assert f"✗ {working}: ir_cron.active (id 2): jobs that act for production on their own" in done.stderr
    assert "ir_mail_server.active" in done.stderr
    found = json.loads(done.stdout)
    assert len(found["offences"]) == 2


def test_a_way_out_of_the_network_is_found_as_ec2_has_it(both: Both, training: Site) -> None:
    ec2, group = both.client("ec2"), str(training.stack.output(names.APP_SECURITY_GROUP_ID))
    mail = [{"IpProtocol": "tcp", "FromPort": 465, "ToPort": 465, "IpRanges": [{"CidrIp": "0.0.0.0/0"}]}]
    ec2.authorize_security_group_egress(GroupId=group, IpPermissions=mail)
    try:
        done = both.run("ops", "training", "check", "--stack", TRAINING, status=1)
        assert (
            f"security group {group} of the app servers lets them reach tcp 465 at 0.0.0.0/0" in done.stderr
        )
    finally:
        ec2.revoke_security_group_egress(GroupId=group, IpPermissions=mail)


def test_only_a_training_system_is_checked(both: Both) -> None:
    done = both.run("ops", "training", "check", "--stack", PRODUCTION, status=1)
    assert "error: prod is for production: only a training system is checked" in done.stderr


def test_what_offends_after_the_scrub_keeps_the_system_closed(both: Both, training: Site) -> None:
    """A trigger of a module that puts back what was taken away."""
    production = both.site(PRODUCTION)
    working = production.databases.names()[0]
    sql(
        production,
        working,
        """
        create function back() returns trigger language plpgsql as
            $$ begin new.active = true; return new; end $$;
        create trigger back before update on fetchmail_server for each row execute function back();
        update fetchmail_server set active = true
    """,
    )
    two_stacks.checkpoint(production, "with-a-trigger")
    said = both.refresh("--checkpoint", "with-a-trigger", "--yes", status=1).stderr
    assert "error: the data is not harmless: openerp: fetchmail_server.active (id " in said
    assert "each of which would refuse it" in said
    assert None not in refusals(both.site(TRAINING), "training").values()


def test_a_check_that_cannot_be_made_keeps_the_system_closed(both: Both, training: Site) -> None:
    """It fails for another reason than absence: here a column of another type."""
    working = training.databases.names()[0]
    sql(training, working, "drop trigger back on fetchmail_server")
    sql(training, working, "alter table website drop column cdn_activated, add cdn_activated json")
    said = both.refresh("--yes", status=1).stderr
    assert f"error: the database {working} cannot be judged: website.cdn_activated: " in said
    assert "each of which would refuse it" in said
    assert None not in refusals(both.site(TRAINING), "training").values()


def test_what_a_drill_has_proven_is_preferred(both: Both) -> None:
    production = both.site(PRODUCTION)
    assert plan.choose(production, None)[0].label == "with-a-trigger"
    moment = "2026-11-28T10:00:00+00:00"
    for number, (label, ok) in enumerate((("opening", True), ("with-a-trigger", False))):
        drill = {"drill": str(number), "checkpoint": label, "ok": ok, "started": moment, "finished": moment}
        production.store.write(f"drills/{number}.json", drill)
    assert plan.choose(production, None)[0].label == "opening"
    assert plan.choose(production, "newest")[0].label == "with-a-trigger"


def test_another_checkpoint_puts_an_end_to_the_unfinished_refresh(both: Both, training: Site) -> None:
    result = json.loads(both.refresh("--checkpoint", "opening", "--yes", "--json").stdout)
    assert result["label"] == "opening"
    assert len(documents(both.site(TRAINING))) >= 2
    assert {document["label"] for document in documents(both.site(TRAINING))} == {"opening"}


def test_the_servers_table_keeps_where_the_data_came_from(both: Both, training: Site) -> None:
    for database in training.databases.names():
        found = dict(sql(training, database, f"select key, value from {STATE}"))
        assert found["origin"] == "production"
        assert found["environment"] == "production"


def test_a_missing_snapshot_is_told_before_anything_is_touched(both: Both, training: Site) -> None:
    production = both.site(PRODUCTION)
    two_stacks.checkpoint(production, "without-a-snapshot")
    manifest = json.loads(production.store.read_bytes("checkpoints/without-a-snapshot.json") or b"")
    both.client("rds").delete_db_snapshot(DBSnapshotIdentifier=manifest["snapshot"]["identifier"])
    said = both.refresh("--checkpoint", "without-a-snapshot", "--yes", status=1).stderr
    assert "its snapshot " in said
    assert "is missing in RDS; nothing was touched" in said


def test_an_altered_manifest_is_refused(both: Both, training: Site) -> None:
    production = both.site(PRODUCTION)
    content = (production.store.read_bytes("checkpoints/opening.json") or b"").replace(b'"19.0"', b'"18.0"')
    production.store.write("checkpoints/altered.json", content)
    said = both.refresh("--checkpoint", "altered", "--yes", status=1).stderr
    assert "the manifest of checkpoint altered was altered" in said
    production.store.delete("checkpoints/altered.json")


def test_no_secret_is_in_the_bucket_or_the_settings(both: Both, training: Site, tmp_path: Path) -> None:
    secrets = [*training.databases.logins().values()]
    texts = [both.settings_file(TRAINING).read_text()]
    texts += [
        (training.store.read_bytes(key) or b"").decode(errors="replace") for key in training.store.list("")
    ]
    assert not [secret for secret in secrets for text in texts if secret in text]
