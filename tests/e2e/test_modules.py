"""Data modules and updates with real Odoo: proven in a scratch copy, loaded, updated, and taken back.

What is killed, refused or gone on with is shown without servers, in tests/ops/modules and tests/ops/releases.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from pathlib import Path
from typing import Any

import psycopg
import pytest

from core import outputs as names
from tests.e2e.deployment import STACK, Deployment
from tests.e2e.people import as_person
from tests.e2e.test_certificates import QUICK
from tests.load.crowd import working
from tests.load.users import Entrance, Person, reasons

TERMS = b"terms and conditions\n"
NAME = "e2e_partners"
COUNT = 60
GOOD = "".join(f"p{number},Acme {number},acme{number}@example.com,wholesale\n" for number in range(COUNT))
ATTACHMENT = """\
<odoo>
    <record id="terms" model="ir.attachment">
        <field name="name">e2e terms.txt</field>
        <field name="datas" type="base64" file="{name}/data/terms.txt"/>
    </record>
</odoo>
"""


def write(
    directory: Path, name: str, *, last: str = "", version: str = "1.0", header: str = "id,", rows: str = GOOD
) -> Path:
    """Write a data module: categories, partners and an attachment."""
    folder = directory / name
    (folder / "data").mkdir(parents=True)
    (folder / "__init__.py").touch()
    (folder / "data" / "terms.txt").write_bytes(TERMS)
    (folder / "data" / "attachment.xml").write_text(ATTACHMENT.format(name=name))
    (folder / "data" / "res.partner.category.csv").write_text("id,name\nwholesale,Wholesale of Acme\n")
    (folder / "data" / "res.partner.csv").write_text(f"{header}name,email,category_id:id\n{rows}{last}")
    (folder / "__manifest__.py").write_text(
        repr(
            {
                "name": "Partners of Acme",
                "version": version,
                "depends": ["contacts"],
                "data": ["data/res.partner.category.csv", "data/res.partner.csv", "data/attachment.xml"],
                "license": "LGPL-3",
            }
        )
    )
    return folder


def rows(live: Deployment, query: str, database: str | None = None) -> list[Any]:
    """Ask a database as its application."""
    outputs = live.outputs()
    working_database = str(outputs[names.WORKING_DATABASE])
    login = live.secret(outputs[names.APPLICATION_SECRET_ARNS][working_database])
    with psycopg.connect(
        host=outputs[names.DATABASE_ADDRESS],
        port=int(outputs[names.DATABASE_PORT]),
        user=login["username"],
        password=login["password"],
        dbname=database or working_database,
        sslmode="verify-full",
        sslrootcert=str(live.home / "postgres" / "ca.pem"),
        autocommit=True,
    ) as connection:
        cursor = connection.execute(query)
        return [] if cursor.description is None else cursor.fetchall()


def filestores(live: Deployment) -> list[str]:
    """The databases that have files."""
    outputs = live.outputs()
    root = live.home / "nodes" / "file-systems" / str(outputs[names.FILE_SYSTEM_ID])
    store = root / str(outputs[names.FILE_SYSTEM_PATH]).strip("/") / "filestore"
    return sorted(path.name for path in store.iterdir())


def nothing_is_left(live: Deployment) -> None:
    assert rows(live, "select datname from pg_database where datname like 'openerp_trial%'") == []
    assert [name for name in filestores(live) if name.startswith("openerp_trial")] == []
    for server in live.servers("app"):
        assert live.inside(server, "test", "-e", "/var/lib/openerp-trials").returncode == 1


def ops(live: Deployment, *arguments: str) -> subprocess.CompletedProcess[str]:
    done = live.ops(*arguments, "--stack", STACK, seconds=1800)
    print("$", " ".join(arguments), done.stdout, done.stderr, sep="\n", flush=True)
    assert "Traceback" not in done.stderr
    return done


def succeeds(live: Deployment, *arguments: str) -> dict[str, Any]:
    done = ops(live, *arguments, "--json")
    assert done.returncode == 0
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def fails(live: Deployment, *arguments: str) -> str:
    done = ops(live, *arguments)
    assert done.returncode == 1
    return done.stderr.strip().splitlines()[-1]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("data-modules")


def test_a_module_is_proven_while_people_work_and_none_of_their_requests_fails(
    live: Deployment, entrance: Entrance, people: list[tuple[str, str]], folder: Path
) -> None:
    live.wait_for_test_database()
    with working(entrance, people, think=QUICK) as record:
        found = succeeds(live, "modules", "verify", str(write(folder, NAME)))
    print(f"{record.count()} requests; new connections waited for {found['copy_seconds']} s")
    assert not record.failures(), reasons(record.failures())
    assert found["created"] == {"res.partner": COUNT, "res.partner.category": 1, "ir.attachment": 1}
    (entry,) = live.settings()["openerp:provenModules"]
    assert entry["sha256"] == found["sha256"]
    assert rows(live, f"select * from ir_module_module where name = '{NAME}'") == []
    nothing_is_left(live)


def test_a_module_that_is_broken_in_its_last_line_is_told_in_odoos_words(
    live: Deployment, folder: Path
) -> None:
    module = write(folder, "e2e_broken", last="plast,Last,last@example.com,no_such_category\n")
    said = fails(live, "modules", "verify", str(module))
    assert "No matching record found for external id 'no_such_category' in field 'Tags'" in said
    assert f"(line {COUNT + 2} of data/res.partner.csv)" in said
    assert len(live.settings()["openerp:provenModules"]) == 1
    nothing_is_left(live)


def test_a_module_whose_second_import_is_another_one_is_refused(live: Deployment, folder: Path) -> None:
    without = write(folder, "e2e_without_ids", header="", rows="Anna,anna@example.com,wholesale\n")
    assert "Import specification does not contain 'id'" in fails(live, "modules", "verify", str(without))
    # A user who is written again gets a mail of it, again.
    again = write(folder, "e2e_users")
    (again / "data" / "res.partner.csv").rename(again / "data" / "res.users.csv")
    (again / "data" / "res.users.csv").write_text("id,name,login,email\nu1,Una,una,una@example.com\n")
    manifest = (again / "__manifest__.py").read_text().replace("data/res.partner.csv", "data/res.users.csv")
    (again / "__manifest__.py").write_text(manifest)
    said = fails(live, "modules", "verify", str(again))
    assert "the second import changed what the first had made: mail_message: 1 rows more" in said
    nothing_is_left(live)


def test_what_a_killed_trial_left_the_next_one_removes(live: Deployment, folder: Path) -> None:
    module = write(folder, "e2e_killed", rows="p1,Alone,alone@example.com,wholesale\n")
    begun = live.start_ops("modules", "verify", str(module), "--stack", STACK)
    live.wait(
        "import that is under way",
        lambda: (
            any(
                live.inside(server, "pgrep", "-f", "openerp_trial_.*--init").returncode == 0
                for server in live.servers("app")
            )
            or None
        ),
        120,
    )
    os.killpg(begun.pid, signal.SIGKILL)
    begun.communicate()
    assert len(rows(live, "select datname from pg_database where datname like 'openerp_trial%'")) == 1
    succeeds(live, "modules", "verify", str(module))
    nothing_is_left(live)


def test_the_proven_module_is_loaded_and_its_attachment_is_read(live: Deployment, entrance: Entrance) -> None:
    live.run("up")
    found = succeeds(live, "modules", "load", NAME, "--yes")
    print(f"closed for {found['closed_seconds']} s")
    assert found["created"] == {"res.partner": COUNT, "res.partner.category": 1, "ir.attachment": 1}

    async def look(person: Person) -> tuple[int, bytes]:
        count = await person.call_kw("res.partner", "search_count", [["name", "=like", "Acme %"]])
        [document] = await person.call_kw("ir.attachment", "search", [["name", "=", "e2e terms.txt"]])
        async with person.session.get(f"{entrance.url}/web/content/{document}") as answer:
            return int(count), await answer.read()

    assert as_person(entrance, live.administrator(), look) == (COUNT, TERMS)
    (state,) = rows(live, f"select state, latest_version from ir_module_module where name = '{NAME}'")
    assert state == ("installed", "19.0.1.0")
    for role in ("app", "web-client"):
        for server in live.servers(role):
            addons = f"/usr/local/lib/openerp/addons/{NAME}/__manifest__.py"
            assert live.inside(server, "test", "-f", addons).returncode == 0
    again = ops(live, "modules", "load", NAME, "--yes")
    assert "is loaded already" in again.stdout


def test_an_update_that_breaks_returns_to_its_checkpoint_by_itself(
    live: Deployment, entrance: Entrance
) -> None:
    """Somebody forbade in the database what the module writes: Odoo's update ends with an exception."""

    async def make(person: Person) -> int:
        return int(await person.call_kw("res.partner", "create", {"name": "made before the update"}))

    partner = as_person(entrance, live.administrator(), make)
    rows(
        live,
        "alter table res_partner_category add constraint e2e_forbidden "
        "check (name->>'en_US' <> 'Wholesale of Acme') not valid",
    )
    before = live.outputs()[names.DATABASE_PORT]
    begin = time.monotonic()
    said = fails(live, "release", "update", "--modules", NAME, "--yes")
    print(f"returned after {time.monotonic() - begin:.0f} s")
    assert 'violates check constraint "e2e_forbidden"' in said
    assert "local is back at the checkpoint before-update-" in said
    assert live.outputs()[names.DATABASE_PORT] != before, "another database server, made from the checkpoint"
    assert rows(live, f"select name from res_partner where id = {partner}") == [("made before the update",)]

    async def look(person: Person) -> int:
        return int(await person.call_kw("res.partner", "search_count", [["name", "=like", "Acme %"]]))

    assert as_person(entrance, live.administrator(), look) == COUNT
    rows(live, "alter table res_partner_category drop constraint e2e_forbidden")


def test_people_who_come_during_an_update_are_asked_for_patience_and_work_again_afterwards(
    live: Deployment, entrance: Entrance
) -> None:
    begun = live.start_ops(
        "release", "update", "--modules", NAME, "--without-test", "--yes", "--json", "--stack", STACK
    )
    server = live.servers("web-client")[0]
    status = ("curl", "--silent", "--output", "/dev/null", "--write-out", "%{http_code}")
    page = (*status, "--header", f"Host: {live.host}", "http://127.0.0.1:8080/web/login")
    live.wait("page that asks for patience", lambda: live.inside(server, *page).stdout == "503" or None, 240)
    assert live.healthy("web-client") == set(live.servers("web-client")), "no server is replaced for it"
    out, error = begun.communicate(timeout=900)
    assert begun.returncode == 0, error
    found = json.loads(out)
    print(f"closed for {found['closed_seconds']} s: {found['seconds']}")
    assert found["warnings"] == []

    async def look(person: Person) -> int:
        return int(await person.call_kw("res.partner", "search_count", []))

    assert as_person(entrance, live.administrator(), look) > COUNT
