"""`ops modules load`: what development has proven comes to production, or everything is as it was.

What `python -m ops restore` does is shown in its own room; here it is done once.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from core import module_package
from core import outputs as names
from ops.changes import door
from ops.modules.load import KEY, MARK
from tests.ops.changes.stacks import DEVELOPMENT, PARTNERS, PRODUCTION, Stacks

LOAD = ("--stack", PRODUCTION, "--yes")


def settings(stacks: Stacks, stack: str = PRODUCTION) -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load(stacks.settings_file(stack).read_text())["config"]
    return found


MODULES: dict[str, dict[str, Any]] = {
    "acme": {},
    "altered": {},
    "breaks": {},
    "needs_crm": {"depends": "crm"},
    "other_counts": {},
    "killed": {},
    "given_up": {},
    "unreached": {},
    "no_answer": {},
    "while_open": {},
}
NEWER = {"version": "1.1", "csv": f"{PARTNERS}plain_three,Acme Three,True\n"}


def prove(stacks: Stacks, directory: Path, name: str, **how: Any) -> dict[str, Any]:
    """Put a module and its proof where `ops modules verify` puts them (test_verify.py shows that it does)."""
    module = module_package.load(stacks.module(directory, name, **how))
    site = stacks.site(DEVELOPMENT)
    site.store.write(module_package.object_key(name, module.sha256), module.archive())
    entry = {
        "name": name,
        "version": module.version,
        "sha256": module.sha256,
        "release": "19.0",
        "created": {"res.partner": how.get("csv", PARTNERS).count("Acme")},
        "verified": f"2026-11-28T10:12:{len(ledger(stacks)):02}Z",
    }
    site.stack.write_settings({"provenModules": [*ledger(stacks), entry]})
    return entry


def ledger(stacks: Stacks) -> list[dict[str, Any]]:
    return list(stacks.site(DEVELOPMENT).stack.setting("provenModules") or ())


def entry_of(stacks: Stacks, name: str, version: str = "1.0") -> dict[str, Any]:
    (found,) = [one for one in ledger(stacks) if (one["name"], one["version"]) == (name, version)]
    return found


@pytest.fixture(autouse=True)
def proven(stacks: Stacks, tmp_path: Path) -> None:
    """A development whose ledger proves all of them, for the other stacks."""
    if "killed" not in {one["name"] for one in ledger(stacks)}:
        for name, how in MODULES.items():
            prove(stacks, tmp_path / "one", name, **how)
        prove(stacks, tmp_path / "two", "acme", **NEWER)
        stacks.up(DEVELOPMENT)


def run(stacks: Stacks) -> dict[str, Any]:
    found = stacks.store(PRODUCTION).read(KEY)
    assert found is not None
    return found


def state(stacks: Stacks, name: str) -> list[Any]:
    query = f"select state, latest_version from ir_module_module where name = '{name}'"
    return stacks.sql(PRODUCTION, query)


def is_open(stacks: Stacks) -> bool:
    return door.marked(stacks.site(PRODUCTION)) == []


def test_a_proven_module_is_loaded_behind_closed_doors_with_a_checkpoint_before(stacks: Stacks) -> None:
    proof = entry_of(stacks, "acme")
    done = stacks.ops("modules", "load", "acme", "--version", "1.0", "--from", DEVELOPMENT, *LOAD, "--json")
    found = json.loads(done.stdout)
    assert state(stacks, "acme") == [("installed", "19.0.1.0")]
    assert found["created"] == {"res.partner": 2} == proof["created"]
    assert settings(stacks)["openerp:dataModules"] == [
        {"name": "acme", "version": "1.0", "sha256": proof["sha256"]}
    ]
    assert settings(stacks)["openerp:dataModulesFrom"] == DEVELOPMENT
    store = stacks.store(PRODUCTION)
    assert store.list("modules/acme/") == [f"modules/acme/{proof['sha256']}.zip"]
    manifest = store.read(f"checkpoints/{found['label']}.json")
    assert manifest is not None
    assert found["label"].startswith("before-acme-1-0-")
    assert manifest["code"]["data_modules"] == [], "a return is to run what ran before"
    assert "acme" not in manifest["databases"][0]["modules"]
    remembered = run(stacks)
    assert remembered["state"] == "done"
    assert remembered["closed"] <= remembered["opened"]
    assert is_open(stacks)
    # Every server was closed before the import, and opened after it.
    asked = stacks.asked()
    number = len([one for one in asked if one == "restart"])
    assert number >= 2
    assert asked == ["restart"] * number + ["bring_in openerp"] + ["await_open"] * number
    with stacks.site(PRODUCTION).databases.application("openerp").connect("openerp") as connection:
        assert door.read_state(connection, f"{MARK}acme") == proof["sha256"]


def test_what_is_loaded_already_is_left_alone(stacks: Stacks) -> None:
    before = run(stacks)
    done = stacks.ops("modules", "load", "acme", *LOAD)
    assert "acme 1.0 is loaded already" in done.stdout
    assert run(stacks) == before
    assert stacks.asked() == []


def test_a_new_version_is_an_update(stacks: Stacks) -> None:
    said = stacks.fails("modules", "load", "acme", "--version", "1.1", *LOAD)
    assert "has no acme 1.1 among its `dataModules`: add it, or say `--from dev`" in said
    stacks.ops("modules", "load", "acme", "--from", DEVELOPMENT, *LOAD)
    assert state(stacks, "acme") == [("installed", "19.0.1.1")]
    listed = json.loads(stacks.ops("modules", "list", "--stack", PRODUCTION, "--json").stdout)["modules"]
    (row,) = [row for row in listed if row["version"] == "1.1"]
    assert row["on_servers"]
    assert row["installed"] == "19.0.1.1"
    assert row["records"] == 3
    assert row["proven"].startswith("dev, ")


def test_what_development_has_not_proven_is_not_loaded(stacks: Stacks) -> None:
    before = stacks.settings_file(PRODUCTION).read_bytes()
    said = stacks.fails("modules", "load", "never_seen", "--from", DEVELOPMENT, *LOAD)
    assert "dev has not proven never_seen on 19.0, but acme 1.0, acme 1.1" in said
    assert "python -m ops modules verify never_seen --stack dev --up" in said
    said = stacks.fails("modules", "load", "never_seen", *LOAD)
    assert "has no never_seen among its `dataModules`" in said
    assert stacks.settings_file(PRODUCTION).read_bytes() == before
    assert stacks.asked() == []


def test_an_altered_archive_is_refused(stacks: Stacks) -> None:
    proof = entry_of(stacks, "altered")
    store, key = stacks.store(DEVELOPMENT), f"modules/altered/{proof['sha256']}.zip"
    archive = store.read_bytes(key)
    assert archive is not None
    store.write(key, archive.replace(b"Acme One", b"Acme 0ne"))
    said = stacks.fails("modules", "load", "altered", "--from", DEVELOPMENT, *LOAD)
    assert f"s3://{store.bucket}/{key}" in said
    store.delete(key)
    said = stacks.fails("modules", "load", "altered", "--from", DEVELOPMENT, *LOAD)
    assert "is in no operations bucket" in said
    assert stacks.asked() == []


def test_a_failure_that_changed_nothing_takes_code_and_settings_back_and_restores_nothing(
    stacks: Stacks,
) -> None:
    """Production has something that development has not: there the import breaks."""
    before = settings(stacks)
    partners = stacks.sql(PRODUCTION, "select count(*) from res_partner")
    server = stacks.site(PRODUCTION).stack.output(names.DATABASE_ADDRESS)
    port = stacks.site(PRODUCTION).stack.output(names.DATABASE_PORT)
    stacks.behaves(breaks="breaks")
    said = stacks.fails("modules", "load", "breaks", "--from", DEVELOPMENT, *LOAD)
    assert (
        "breaks 1.0 could not be loaded into openerp: data/res.partner.csv: Odoo does not like it here."
        in said
    )
    assert "has its former code again; the data stay: Odoo imports a module in one transaction" in said
    assert settings(stacks) == before
    assert stacks.sql(PRODUCTION, "select count(*) from res_partner") == partners
    site = stacks.site(PRODUCTION)
    assert (site.stack.output(names.DATABASE_ADDRESS), site.stack.output(names.DATABASE_PORT)) == (
        server,
        port,
    )
    assert "breaks" not in {row["name"] for row in site.stack.output(names.DATA_MODULES)}
    assert run(stacks)["state"] == "returned"
    assert is_open(stacks)


def test_a_failure_that_left_something_returns_to_the_checkpoint(stacks: Stacks) -> None:
    """A module that the broken one depends on stays installed: only the checkpoint takes that back."""
    before = settings(stacks)
    modules = stacks.sql(PRODUCTION, "select name, state, latest_version from ir_module_module order by 1")
    stacks.behaves(breaks="needs_crm")
    dry = stacks.ops(
        "modules", "load", "needs_crm", "--from", DEVELOPMENT, "--stack", PRODUCTION, "--dry-run"
    )
    assert "and install crm, on which it depends" in dry.stdout
    said = stacks.fails("modules", "load", "needs_crm", "--from", DEVELOPMENT, *LOAD)
    label = run(stacks)["label"]
    assert f"prod is back at the checkpoint {label}, with the code and the files of then" in said
    found = stacks.sql(PRODUCTION, "select name, state, latest_version from ir_module_module order by 1")
    assert found == modules
    now = settings(stacks)
    for key in ("openerp:dataModules", "openerp:dataModulesFrom", "openerp:package", "openerp:release"):
        assert now.get(key) == before.get(key), key
    assert run(stacks)["state"] == "returned"
    assert is_open(stacks)
    mounted = stacks.site(PRODUCTION).files.mounted
    assert mounted is not None
    assert (mounted / "filestore" / "openerp").is_dir()


def test_records_that_were_not_proven_are_taken_back(stacks: Stacks) -> None:
    """The import went through, and made something else than development had seen."""
    stacks.behaves(**{"makes fewer": "other_counts"})
    said = stacks.fails("modules", "load", "other_counts", "--from", DEVELOPMENT, *LOAD)
    assert "it owns other records than were proven: res.partner 1 instead of 2" in said
    assert "is back at the checkpoint before-other-counts-1-0-" in said
    assert state(stacks, "other_counts") == []


STEPS = (
    "bring the new code",
    "wait for the new servers",
    "close the databases",
    "look at what the databases",
    "take a snapshot",
    "back the file store up",
    "write the manifest",
    "import killed",
    "compare killed",
    "open the databases",
)


def test_a_load_that_is_killed_at_each_of_its_steps_is_finished_in_the_end(stacks: Stacks) -> None:
    done: list[str] = []
    label = None
    for step in STEPS:
        stacks.ops("modules", "load", "killed", "--from", DEVELOPMENT, *LOAD, dies=step)
        found = run(stacks)
        assert found["state"] == "updating"
        assert found["done"][: len(done)] == done, "what is done is done"
        assert label in (None, found["label"])
        done, label = found["done"], found["label"]
    said = stacks.fails("modules", "load", "acme", *LOAD)
    assert "the load of killed 1.0 of prod, begun" in said
    assert "`python -m ops modules load killed --stack prod` goes on" in said
    ended = stacks.ops("modules", "load", "killed", *LOAD)
    assert "goes on with the load of killed 1.0 begun at" in ended.stdout
    assert state(stacks, "killed") == [("installed", "19.0.1.0")]
    assert run(stacks)["state"] == "done"
    labels = [key for key in stacks.store(PRODUCTION).list("checkpoints/before-killed-") if "json" in key]
    assert labels == [f"checkpoints/{label}.json"]
    assert is_open(stacks)


def test_a_load_that_was_killed_after_the_import_is_given_up_by_a_return(stacks: Stacks) -> None:
    stacks.ops("modules", "load", "given_up", "--from", DEVELOPMENT, *LOAD, dies="compare given_up")
    assert state(stacks, "given_up") == [("installed", "19.0.1.0")]
    assert not is_open(stacks)
    said = stacks.fails("modules", "load", "given_up", "--give-up", *LOAD)
    assert "it was given up. prod is back at the checkpoint before-given-up-1-0-" in said
    assert state(stacks, "given_up") == []
    assert is_open(stacks)
    assert "there is nothing to give up" in stacks.fails("modules", "load", "given_up", "--give-up", *LOAD)


def test_where_a_server_is_not_reached_nothing_is_closed_and_the_code_goes_back(stacks: Stacks) -> None:
    before = settings(stacks)
    stacks.behaves(lost="web-client")
    said = stacks.fails("modules", "load", "unreached", "--from", DEVELOPMENT, *LOAD)
    assert "SSM Run Command does not reach i-" in said
    assert "has its former code again; the data stay: nothing had been changed in the databases" in said
    assert settings(stacks) == before
    assert is_open(stacks)


def test_an_answer_that_does_not_come_leaves_the_load_to_be_gone_on_with(stacks: Stacks) -> None:
    stacks.behaves(gone="bring_in")
    said = stacks.fails("modules", "load", "no_answer", "--from", DEVELOPMENT, *LOAD)
    assert "AWS cannot be asked" in said
    assert "The load of no_answer 1.0 of prod is not finished, and its databases are closed" in said
    stacks.behaves()
    stacks.ops("modules", "load", "no_answer", *LOAD)
    assert state(stacks, "no_answer") == [("installed", "19.0.1.0")]


def test_people_can_go_on_working_where_an_operator_says_so(stacks: Stacks) -> None:
    stacks.behaves()
    done = stacks.ops(
        "modules", "load", "while_open", "--from", DEVELOPMENT, "--while-people-work", *LOAD, "--json"
    )
    assert json.loads(done.stdout)["closed_seconds"] is None
    assert stacks.asked() == ["bring_in openerp"]
    assert state(stacks, "while_open") == [("installed", "19.0.1.0")]


def test_development_loads_what_it_has_proven_itself(stacks: Stacks) -> None:
    stacks.ops("modules", "load", "acme", "--stack", DEVELOPMENT, "--yes")
    found = stacks.sql(DEVELOPMENT, "select state, latest_version from ir_module_module where name = 'acme'")
    assert found == [("installed", "19.0.1.1")], "the newest proof"
    assert "openerp:dataModulesFrom" not in settings(stacks, DEVELOPMENT)
    said = stacks.fails("modules", "load", "acme", "--stack", DEVELOPMENT, "--from", PRODUCTION, "--yes")
    assert "dev is for development: its modules are proven there" in said
