"""`ops modules verify`: a ledger that holds what was proven, and nothing else left."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import yaml

from core import outputs as names
from ops.modules import copy
from ops.site import Site
from tests.ops.changes.stacks import DEVELOPMENT, PARTNERS, PRODUCTION, Stacks


def verify(stacks: Stacks, *arguments: str, status: int = 0) -> subprocess.CompletedProcess[str]:
    return stacks.ops("modules", "verify", *arguments, "--stack", DEVELOPMENT, status=status)


def ledger(stacks: Stacks) -> list[dict[str, object]]:
    config = yaml.safe_load(stacks.settings_file(DEVELOPMENT).read_text())["config"]
    found: list[dict[str, object]] = config.get("openerp:provenModules") or []
    return found


def nothing_is_left(site: Site) -> None:
    assert copy.leftovers(site.databases.master()) == []


def test_a_good_module_is_proven_counted_and_written_into_the_ledger(stacks: Stacks, tmp_path: Path) -> None:
    module = stacks.module(tmp_path, "plain_partners")
    before = stacks.sql(DEVELOPMENT, "select count(*) from res_partner")
    done = verify(stacks, str(module), "--json")
    found = json.loads(done.stdout)
    (entry,) = [row for row in ledger(stacks) if row["name"] == "plain_partners"]
    assert entry == {key: found[key] for key in entry}
    assert entry["created"] == {"res.partner": 2}
    assert entry["release"] == "19.0"
    assert stacks.sql(DEVELOPMENT, "select count(*) from res_partner") == before
    assert stacks.sql(DEVELOPMENT, "select * from ir_module_module where name = 'plain_partners'") == []
    nothing_is_left(stacks.site(DEVELOPMENT))
    evidence = stacks.store(DEVELOPMENT).read(found["evidence"])
    assert evidence is not None
    assert evidence["result"] == "proven"
    assert evidence["tables"].keys() >= {"public.res_partner", "public.ir_model_data"}
    assert "in provenModules of Pulumi.dev.yaml" in verify(stacks, str(module)).stdout
    assert len([row for row in ledger(stacks) if row["name"] == "plain_partners"]) == 1


def test_up_exports_the_ledger_at_once(stacks: Stacks, tmp_path: Path) -> None:
    verify(stacks, str(stacks.module(tmp_path, "exported")), "--up")
    exported = stacks.site(DEVELOPMENT).stack.output(names.MODULE_LEDGER)
    assert "exported" in {entry["name"] for entry in exported}


def test_a_csv_that_is_broken_in_its_last_line_is_told_in_odoos_words_and_proves_nothing(
    stacks: Stacks, tmp_path: Path
) -> None:
    module = stacks.module(tmp_path, "broken", PARTNERS + "plain_three,Acme Three,perhaps\n")
    before = ledger(stacks)
    said = stacks.fails("modules", "verify", str(module), "--stack", DEVELOPMENT)
    assert "Unknown value 'perhaps' for boolean field 'Is a Company' (line 4 of data/res.partner.csv)" in said
    assert "evidence/modules/broken/" in said
    assert ledger(stacks) == before
    nothing_is_left(stacks.site(DEVELOPMENT))
    (key,) = stacks.store(DEVELOPMENT).list("evidence/modules/broken/")
    evidence = stacks.store(DEVELOPMENT).read(key)
    assert evidence is not None
    assert evidence["result"] == "failed"
    assert any("Traceback" in line for line in evidence["log"])


def test_what_a_second_import_makes_anew_is_refused(stacks: Stacks, tmp_path: Path) -> None:
    again = stacks.module(tmp_path, "again", "id,name,again\na,Anna,yes\nb,Bert,\n")
    ((there,),) = stacks.sql(DEVELOPMENT, "select count(*) from res_partner")
    said = stacks.fails("modules", "verify", str(again), "--stack", DEVELOPMENT)
    assert (
        "the second import changed what the first had made: "
        f"res_partner: 1 rows more ({there + 2}, then {there + 3})" in said
    )
    without = stacks.module(tmp_path, "without_ids", "name,is_company\nAnna,True\n")
    said = stacks.fails("modules", "verify", str(without), "--stack", DEVELOPMENT)
    assert "does not contain 'id'" in said
    nothing_is_left(stacks.site(DEVELOPMENT))


def test_a_module_that_odoo_does_not_take_is_not_proven_by_status_0(stacks: Stacks, tmp_path: Path) -> None:
    odd = stacks.module(tmp_path, "odd_version", version="7.0.0.0")
    said = stacks.fails("modules", "verify", str(odd), "--stack", DEVELOPMENT)
    assert "version '7.0.0.0' is not one that OpenERP 19.0 installs" in said
    alone = stacks.module(tmp_path, "alone", depends="nothing_of_that_name")
    said = stacks.fails("modules", "verify", str(alone), "--stack", DEVELOPMENT)
    assert "depends on nothing_of_that_name, which OpenERP of dev has not" in said


def test_modules_are_proven_on_development_alone(stacks: Stacks, tmp_path: Path) -> None:
    module = str(stacks.module(tmp_path, "plain_partners"))
    said = stacks.fails("modules", "verify", module, "--stack", PRODUCTION)
    assert "prod is for production: modules are proven on development" in said
    assert stacks.asked() == []


def test_what_is_no_data_module_is_refused_before_anything_is_made(stacks: Stacks, tmp_path: Path) -> None:
    module = stacks.module(tmp_path, "with_code")
    (module / "models.py").write_text("import os\n")
    assert "models.py is code" in stacks.fails("modules", "verify", str(module), "--stack", DEVELOPMENT)
    said = stacks.fails("modules", "verify", "nowhere", "--stack", DEVELOPMENT)
    assert "there is no folder nowhere, and no data_modules/nowhere in the project" in said
    assert stacks.asked() == []


def test_what_a_killed_trial_leaves_is_removed_by_the_next(stacks: Stacks, tmp_path: Path) -> None:
    module = str(stacks.module(tmp_path, "killed_trial"))
    before = ledger(stacks)
    for step in ("bring the module", "import it", "import it again"):
        stacks.ops("modules", "verify", module, "--stack", DEVELOPMENT, dies=step)
        assert len(copy.leftovers(stacks.site(DEVELOPMENT).databases.master())) == 1
        assert ledger(stacks) == before
    verify(stacks, module)
    nothing_is_left(stacks.site(DEVELOPMENT))
    assert len(ledger(stacks)) == len(before) + 1


def test_a_dry_run_says_the_hash_and_changes_nothing(stacks: Stacks, tmp_path: Path) -> None:
    module = str(stacks.module(tmp_path, "dry"))
    before = stacks.settings_file(DEVELOPMENT).read_bytes()
    found = json.loads(verify(stacks, module, "--dry-run", "--json").stdout)
    assert len(found["sha256"]) == 64
    assert not found["proven"]
    assert stacks.settings_file(DEVELOPMENT).read_bytes() == before
    assert stacks.store(DEVELOPMENT).list("modules/dry/") == []


def test_two_trials_at_once_are_kept_apart(stacks: Stacks, tmp_path: Path) -> None:
    mark = {
        "host": "another",
        "process": 1,
        "identity": "1",
        "user": "anna",
        "what": "modules verify colours",
    }
    store = stacks.store(DEVELOPMENT)
    store.write("locks/operation.json", mark)
    try:
        module = str(stacks.module(tmp_path, "plain_partners"))
        said = stacks.fails("modules", "verify", module, "--stack", DEVELOPMENT)
        assert "another command is at work on dev: modules verify colours by anna@another" in said
    finally:
        store.delete("locks/operation.json")
