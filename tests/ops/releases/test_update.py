"""`ops release`: what a target means, updates that go through, and updates that go back.

Servers stand in (`tests/ops/changes/odoo.py`); the program, its engine, PostgreSQL and files are real.
"""

from __future__ import annotations

import json
import subprocess
from typing import Any

import yaml

from core import outputs as names
from ops.changes import door
from ops.releases.planning import KEY
from tests.ops.changes.stacks import HASHES, PRODUCTION, Stacks

NEW_DAY = ("--date", "20261101", "--sha256", HASHES["new"])
LABELS = "checkpoints/before-update-"


def update(stacks: Stacks, *arguments: str, **how: Any) -> subprocess.CompletedProcess[str]:
    return stacks.ops("release", "update", "--stack", PRODUCTION, "--yes", *arguments, **how)


def fails(stacks: Stacks, *arguments: str) -> str:
    return stacks.fails("release", "update", "--stack", PRODUCTION, "--yes", *arguments)


def run(stacks: Stacks) -> dict[str, Any]:
    found = stacks.store(PRODUCTION).read(KEY)
    assert found is not None
    return found


def package(stacks: Stacks) -> dict[str, Any]:
    config = yaml.safe_load(stacks.settings_file(PRODUCTION).read_text())["config"]
    found: dict[str, Any] = config["openerp:package"]
    return found


def base(stacks: Stacks, database: str = "openerp") -> str:
    query = "select latest_version from ir_module_module where name = 'base'"
    return str(stacks.sql(PRODUCTION, query, database)[0][0])


def is_open(stacks: Stacks) -> bool:
    return door.marked(stacks.site(PRODUCTION)) == []


def test_a_broken_update_returns_code_database_and_files_to_the_checkpoint(stacks: Stacks) -> None:
    before = base(stacks)
    text = package(stacks)
    stacks.sql(PRODUCTION, "insert into res_partner (name) values ('made before the update')")
    stacks.behaves(**{"update breaks": "openerp"})
    said = fails(stacks, *NEW_DAY)
    label = run(stacks)["label"]
    assert "the modules of openerp could not be updated: " in said
    assert "column crm_lead.nothing does not exist" in said
    assert f"prod is back at the checkpoint {label}, with the code and the files of then" in said
    assert base(stacks) == before
    assert package(stacks) == text
    site = stacks.site(PRODUCTION)
    assert site.stack.output(names.PACKAGE)["date"] == text["date"]
    assert site.stack.output(names.DATABASE_RESTORED_FROM)
    partners = "select count(*) from res_partner where name = 'made before the update'"
    assert stacks.sql(PRODUCTION, partners) == [(1,)]
    found = run(stacks)
    assert found["state"] == "returned"
    assert found["closed"] <= found["opened"]
    assert is_open(stacks)
    manifest = site.store.read(f"checkpoints/{label}.json")
    assert manifest is not None
    assert manifest["code"]["package"]["date"] == text["date"], "the code of before, not the new one"


def test_an_update_brings_code_and_modules_and_says_how_long_it_was_closed(stacks: Stacks) -> None:
    planned = stacks.ops("release", "plan", "20261101", "--sha256", HASHES["new"], "--stack", PRODUCTION)
    assert "update: the package of 2026-11-01 is an update of 19.0" in planned.stdout
    assert "measured on one machine of two cores" in planned.stdout
    stacks.behaves()
    done = json.loads(update(stacks, *NEW_DAY, "--json").stdout)
    assert done["databases"] == {"openerp": 2, "openerp_test": 2}
    assert package(stacks) == {"source": "nightly", "date": "20261101", "sha256": HASHES["new"]}
    assert (base(stacks), base(stacks, "openerp_test")) == ("19.0.1.4", "19.0.1.4")
    asked = stacks.asked()
    assert asked.index("restart") < asked.index("update openerp") < asked.index("update openerp_test")
    assert asked.index("update openerp_test") < asked.index("versions openerp") < asked.index("await_open")
    assert run(stacks)["state"] == "done"
    again = json.loads(stacks.ops("release", "plan", "19.0", "--stack", PRODUCTION, "--json").stdout)
    assert again["kind"] == "modules"
    assert "the update to the package of 2026-11-01 at 2026" in again["downtime"]


def test_a_login_that_worked_before_and_does_not_now_takes_the_update_back(stacks: Stacks) -> None:
    stacks.behaves(login={"before": "in", "after": "refused"})
    said = fails(stacks)
    assert "the administrator's login was `in` before, and is `refused` now" in said
    assert "is back at the checkpoint before-update-" in said


def test_modules_that_are_not_of_the_version_on_disk_take_the_update_back(stacks: Stacks) -> None:
    stacks.behaves(**{"on disk": {"contacts": "19.0.2.0"}})
    said = fails(stacks)
    assert "openerp: contacts is 19.0.1.0, on disk 19.0.2.0" in said
    assert run(stacks)["state"] == "returned"


def test_a_test_database_that_cannot_be_updated_stops_nobody(stacks: Stacks) -> None:
    stacks.behaves(**{"update breaks": "openerp_test"})
    done = json.loads(update(stacks, "--json").stdout)
    assert "the modules of the test database openerp_test were not updated" in done["warnings"][0]
    assert run(stacks)["state"] == "done"
    assert is_open(stacks)


STEPS = (
    "wait for the new servers",
    "close the databases",
    "look at what the databases",
    "take a snapshot",
    "back the file store up",
    "count again",
    "write the manifest",
    "update the modules of openerp",
    "update the modules of openerp_test",
    "look at openerp,",
    "look at openerp_test",
    "open the databases",
)


def test_an_update_that_is_killed_at_each_of_its_steps_is_finished_in_the_end(stacks: Stacks) -> None:
    labels = len(stacks.store(PRODUCTION).list(LABELS))
    for step in STEPS:
        update(stacks, dies=step)
        assert run(stacks)["state"] == "updating"
    done = update(stacks)
    assert "goes on with the update of the modules begun at" in done.stdout
    assert run(stacks)["state"] == "done"
    assert len(stacks.store(PRODUCTION).list(LABELS)) == labels + 1
    assert is_open(stacks)


def test_a_return_that_is_killed_goes_on_returning(stacks: Stacks) -> None:
    before = base(stacks)
    stacks.sql(PRODUCTION, "update ir_module_module set latest_version = '19.0.1.3' where name = 'base'")
    stacks.behaves(**{"update breaks": "openerp"})
    for step in (
        "look whether it left",
        "restore the files",
        "make the database server anew",
        "give the logins",
        "bring the servers back",
        "open the databases",
    ):
        update(stacks, dies=step)
        assert run(stacks)["state"] == "returning"
    said = fails(stacks)
    assert "the modules of openerp could not be updated" in said
    assert "is back at the checkpoint" in said
    assert run(stacks)["state"] == "returned"
    assert base(stacks) == "19.0.1.3" != before
    assert is_open(stacks)


def test_another_target_waits_for_the_update_that_is_not_finished(stacks: Stacks) -> None:
    update(stacks, dies="close the databases")
    said = fails(stacks, "--date", "20261115", "--sha256", HASHES["old"])
    assert "the update of the modules of prod, begun" in said
    assert "with --give-up it goes back" in said
    said = stacks.fails("modules", "load", "acme", "--from", "dev", "--stack", PRODUCTION, "--yes")
    assert "`python -m ops release update --stack prod` goes on with it" in said
    said = fails(stacks, "--give-up")
    assert "it was given up. prod has its former code again; the data stay: nothing had been changed" in said
    assert run(stacks)["state"] == "returned"


def test_new_servers_that_do_not_come_up_leave_the_old_code_and_all_data(stacks: Stacks) -> None:
    text = package(stacks)
    stacks.behaves(**{"pulumi fails": True})
    said = fails(stacks, "--date", "20261115", "--sha256", HASHES["old"])
    assert "pulumi up of prod failed" in said
    assert "has its former code again; the data stay" in said
    assert package(stacks) == text
    assert run(stacks)["state"] == "returned"
    assert "restart" not in stacks.asked()


def test_an_upgrade_is_planned_and_never_carried_out(stacks: Stacks) -> None:
    planned = stacks.ops("release", "plan", "20.0", "--stack", PRODUCTION)
    assert "upgrade: 19.0 to 20.0 is an upgrade (a step in A)" in planned.stdout
    assert 'needed: `openerp:allowUpgradeTo: "20.0"` in the settings (missing)' in planned.stdout
    stacks.behaves()
    said = fails(stacks, "--release", "20.0")
    assert "Odoo's upgrade service changes the database" in said
    assert "missing: a checkpoint `before-20`" in said
    assert stacks.asked() == []


def test_what_cannot_be_is_refused_before_anything_is_touched(stacks: Stacks) -> None:
    stacks.behaves()
    assert "18.0 is older than 19.0, which is running" in fails(stacks, "--release", "18.0")
    assert "needs the SHA-256 of the package of 2026-11-20" in fails(stacks, "--date", "20261120")
    assert "nothing_such of --modules is not installed in openerp" in fails(
        stacks, "--modules", "nothing_such"
    )
    assert "'newest' is no target" in stacks.fails("release", "plan", "newest", "--stack", PRODUCTION)
    assert stacks.asked() == []


def test_two_operators_are_kept_apart(stacks: Stacks) -> None:
    mark = {"host": "another", "process": 1, "identity": "1", "user": "anna", "what": "restore opening"}
    store = stacks.store(PRODUCTION)
    store.write("locks/operation.json", mark)
    try:
        assert "another command is at work on prod: restore opening by anna@another" in fails(stacks)
    finally:
        store.delete("locks/operation.json")


def test_a_dry_run_says_the_plan_and_changes_nothing(stacks: Stacks) -> None:
    before = run(stacks)
    stacks.behaves()
    done = update(stacks, "--date", "20261120", "--sha256", HASHES["old"], "--dry-run")
    assert "setting: package" in done.stdout
    assert "expected downtime: about" in done.stdout
    assert run(stacks) == before
    assert stacks.asked() == []
