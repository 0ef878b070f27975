"""The whole story of docs/operations.md, told by an operator's commands on three stacks with real Odoo.

Development is configured, checkpointed, broken and brought back; a data module is proven there and promoted;
production is checkpointed, training refreshed from it, seen to be neutralised and fenced; a broken update
returns to its checkpoint; a drill restores the checkpoint beside production, and its report is right.

The tests below are its chapters, in order; each needs those before it.
"""

from __future__ import annotations

import base64
import json
import ssl
import subprocess
import xmlrpc.client
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest

from core import outputs as names
from tests.e2e.deployment import Deployment, on_this_machine
from tests.e2e.names import resolving

DEVELOPMENT, TRAINING, PRODUCTION = "dev", "training", "prod"
MODULE, VERSION = "acme_partners", "19.0.1.0.0"
CONTENT = b"the contract, as it was signed"


def small(config: dict[str, Any]) -> None:
    """Settings with which three stacks fit on one machine."""
    on_this_machine(config)
    config["openerp:modules"] = ["contacts"]
    config["openerp:users"] = {"total": 5, "simultaneous": 2}
    config["openerp:appServer"] = {"minServers": 1, "maxServers": 1}
    config["openerp:webClientServer"] = {"minServers": 1, "maxServers": 1}
    config["openerp:network"] |= {"availabilityZones": 2, "interfaceEndpoints": True}
    config["openerp:network"].pop("natGateways", None)
    config["openerp:database"]["dataSizeGb"] = 5
    config.pop("openerp:clientCertificates", None)


class Person:
    """The administrator of a stack, by XML-RPC through the load balancer."""

    def __init__(self, stack: Deployment) -> None:
        self.stack = stack
        self.database = str(stack.outputs()[names.WORKING_DATABASE])
        self.password = stack.administrator()[1]

    def __call__(self, model: str, method: str, *arguments: Any, **named: Any) -> Any:
        context = ssl.create_default_context(cafile=str(self.stack.clients / "ca.pem"))
        url = f"https://{self.stack.host}/xmlrpc/2"
        with resolving(self.stack.hosts):
            with xmlrpc.client.ServerProxy(f"{url}/common", context=context) as common:
                user = common.authenticate(self.database, "admin", self.password, {})
            assert user, "the administrator does not log in"
            with xmlrpc.client.ServerProxy(f"{url}/object", context=context, allow_none=True) as objects:
                return objects.execute_kw(
                    self.database, user, self.password, model, method, list(arguments), named
                )


def rows(stack: Deployment, query: str) -> list[tuple[Any, ...]]:
    """Ask the working database, as the master user."""
    outputs = stack.outputs()
    master = stack.secret(outputs[names.MASTER_SECRET_ARN])
    with psycopg.connect(
        host=outputs[names.DATABASE_ADDRESS],
        port=int(outputs[names.DATABASE_PORT]),
        user=master["username"],
        password=master["password"],
        dbname=outputs[names.WORKING_DATABASE],
        sslmode="verify-full",
        sslrootcert=str(stack.home / "postgres" / "ca.pem"),
    ) as connection:
        connection.execute("set role openerp_app")
        cursor = connection.execute(query)
        return [] if cursor.description is None else list(cursor.fetchall())


def ops(stack: Deployment, *arguments: str, seconds: float = 1500) -> dict[str, Any]:
    """Run a command to its good end; its result."""
    done = stack.ops(*arguments, "--stack", stack.stack, "--json", seconds=seconds)
    said(done)
    assert done.returncode == 0, done.stderr[-3000:]
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def said(done: subprocess.CompletedProcess[str]) -> None:
    """Show what a command said, for whoever reads the log of a run."""
    print("$", " ".join(map(str, done.args)), done.stderr, done.stdout[-2000:], sep="\n", flush=True)


def write_module(directory: Path, *, last_line: str) -> Path:
    """Write a data module: a category, and a few partners of which the last is `last_line`."""
    module = directory / MODULE
    (module / "data").mkdir(parents=True)
    (module / "__init__.py").touch()
    manifest = {
        "name": "Partners of Acme",
        "version": VERSION,
        "depends": ["contacts"],
        "data": ["data/res.partner.category.csv", "data/res.partner.csv"],
        "license": "LGPL-3",
    }
    (module / "__manifest__.py").write_text(repr(manifest))
    (module / "data" / "res.partner.category.csv").write_text("id,name\nwholesale,Wholesale of Acme\n")
    (module / "data" / "res.partner.csv").write_text(
        f"id,name,is_company\npartner_one,Acme One,True\npartner_two,Acme Two,True\n{last_line}\n"
    )
    return module


GOOD, BROKEN = "partner_three,Acme Three,True", "partner_three,Acme Three,perhaps"


@pytest.fixture(scope="module")
def dev(able: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Deployment]:
    made = Deployment(tmp_path_factory.mktemp("story"), DEVELOPMENT)
    made.copy_project()
    for stack in (DEVELOPMENT, TRAINING, PRODUCTION):
        made.change_settings(small, stack=stack)
    try:
        made.live(seconds=900)
        yield made
    finally:
        made.run("down", seconds=300)


@pytest.fixture(scope="module")
def prod(dev: Deployment) -> Deployment:
    made = dev.of(PRODUCTION)
    made.live(seconds=900)
    return made


@pytest.fixture(scope="module")
def training(dev: Deployment) -> Deployment:
    """It takes the data module first, as production did: a copy needs the code of its original."""
    made = dev.of(TRAINING)
    made.live(seconds=900)
    ops(made, "modules", "load", MODULE, "--from", DEVELOPMENT, "--yes")
    return made


def test_development_is_configured_checkpointed_broken_and_brought_back(dev: Deployment) -> None:
    person = Person(dev)
    partner = person("res.partner", "create", {"name": "Azure Interior"})
    document = person(
        "ir.attachment",
        "create",
        {
            "name": "contract.txt",
            "res_model": "res.partner",
            "res_id": partner,
            "datas": base64.b64encode(CONTENT).decode(),
        },
    )
    dev.wait_for_test_database()
    taken = ops(dev, "checkpoint", "configured")
    assert taken["label"] == "configured"
    listed = ops(dev, "checkpoints")
    assert [row["label"] for row in listed["checkpoints"]] == ["configured"]

    ((stored,),) = rows(dev, f"select store_fname from ir_attachment where id = {document}")
    person("res.partner", "unlink", [partner])
    file_system = dev.home / "nodes" / "file-systems" / str(dev.outputs()[names.FILE_SYSTEM_ID])
    (file_system / "odoo" / "filestore" / person.database / stored).unlink(missing_ok=True)
    assert person("res.partner", "search", [("name", "=", "Azure Interior")]) == []

    ops(dev, "restore", "configured", "--yes")
    back = Person(dev)
    assert back("res.partner", "search", [("name", "=", "Azure Interior")]) == [partner]
    (read,) = back("ir.attachment", "read", [document], ["datas"])
    assert base64.b64decode(read["datas"]) == CONTENT


def test_a_broken_data_module_proves_nothing(dev: Deployment, tmp_path: Path) -> None:
    module = write_module(tmp_path, last_line=BROKEN)
    done = dev.ops("modules", "verify", str(module), "--stack", DEVELOPMENT, seconds=900)
    said(done)
    assert done.returncode == 1
    assert "perhaps" in done.stderr
    assert "openerp:provenModules" not in dev.settings()


def test_a_data_module_is_proven_in_development(dev: Deployment, tmp_path: Path) -> None:
    module = write_module(tmp_path, last_line=GOOD)
    ops(dev, "modules", "verify", str(module), "--up")
    (entry,) = dev.outputs()[names.MODULE_LEDGER]
    assert (entry["name"], entry["version"]) == (MODULE, VERSION)
    assert rows(dev, f"select state from ir_module_module where name = '{MODULE}'") == []


def test_production_refuses_what_was_not_proven(dev: Deployment, prod: Deployment) -> None:
    entry = dict(dev.outputs()[names.MODULE_LEDGER][0])
    wanted = {"name": MODULE, "version": entry["version"], "sha256": "0" * 64}

    def ask(config: dict[str, Any]) -> None:
        config["openerp:dataModules"] = [wanted]
        config["openerp:dataModulesFrom"] = DEVELOPMENT

    before = prod.settings_file.read_text()
    prod.change_settings(ask)
    done = prod._run(("preview", "--stack", PRODUCTION), "", 120)
    prod.settings_file.write_text(before)
    assert done.returncode == 1
    assert MODULE in done.stderr
    assert entry["sha256"][:12] in done.stderr


def test_production_takes_the_proven_module(prod: Deployment) -> None:
    ops(prod, "modules", "load", MODULE, "--from", DEVELOPMENT, "--yes")
    assert Person(prod)("res.partner", "search_count", [("name", "like", "Acme")]) == 3


def test_training_is_refreshed_from_productions_checkpoint(prod: Deployment, training: Deployment) -> None:
    person = Person(prod)
    person(
        "ir.mail_server", "create", {"name": "relay", "smtp_host": "mail.acme.test", "smtp_pass": "s3cret"}
    )
    ops(prod, "checkpoint", "opening")
    ops(training, "training", "refresh", "--from", PRODUCTION, "--checkpoint", "opening", "--yes")
    trainee = Person(training)
    assert trainee("res.partner", "search_count", [("name", "like", "Acme")]) == 3
    # Odoo's neutralisation adds one of a host that nobody has, so that none of a configuration file is taken.
    real = [("active", "=", True), ("smtp_host", "!=", "invalid")]
    assert trainee("ir.mail_server", "search_count", real) == 0
    assert trainee("ir.config_parameter", "get_param", "database.is_neutralized")
    assert rows(training, "select count(*) from ir_mail_server where coalesce(smtp_pass, '') <> ''") == [(0,)]
    # Production goes on as it was.
    assert person("ir.mail_server", "search_count", [("active", "=", True)]) >= 1
    assert not person("ir.config_parameter", "get_param", "database.is_neutralized")


def test_training_is_seen_to_be_neutralised_and_fenced(training: Deployment) -> None:
    ops(training, "training", "check")
    ec2 = training.aws("ec2")
    for role in ("app", "web-client"):
        for instance in training.servers(role):
            found = ec2.describe_instances(InstanceIds=[instance])["Reservations"][0]["Instances"][0]
            groups = [group["GroupId"] for group in found["SecurityGroups"]]
            outside = [
                address["CidrIp"]
                for group in ec2.describe_security_groups(GroupIds=groups)["SecurityGroups"]
                for rule in group["IpPermissionsEgress"]
                for address in rule["IpRanges"]
                if not address["CidrIp"].startswith("10.")
            ]
            assert outside == []


def test_a_broken_update_returns_to_its_checkpoint(prod: Deployment) -> None:
    """Somebody forbade in the database what the module writes: Odoo's update ends with an exception."""
    person = Person(prod)
    partner = person("res.partner", "create", {"name": "made before the update"})
    rows(
        prod,
        "alter table res_partner_category add constraint forbidden "
        "check (name->>'en_US' <> 'Wholesale of Acme') not valid",
    )
    before, settings = prod.outputs(), prod.settings()
    update = ("release", "update", "--modules", MODULE, "--without-test", "--yes")
    done = prod.ops(*update, "--stack", PRODUCTION, seconds=1500)
    said(done)
    assert done.returncode == 1
    assert 'violates check constraint "forbidden"' in done.stderr
    assert "prod is back at the checkpoint before-update-" in done.stderr
    assert prod.outputs()[names.DATABASE_PORT] != before[names.DATABASE_PORT], "another server, made from it"
    version = f"select state, latest_version from ir_module_module where name = '{MODULE}'"
    assert rows(prod, version) == [("installed", VERSION)]
    assert prod.settings()["openerp:dataModules"] == settings["openerp:dataModules"]
    assert Person(prod)("res.partner", "read", [partner], ["name"])[0]["name"] == "made before the update"
    # With the cause gone, the same command goes through.
    rows(prod, "alter table res_partner_category drop constraint forbidden")
    updated = ops(prod, *update)
    assert list(updated["databases"]) == [str(before[names.WORKING_DATABASE])]
    assert Person(prod)("res.partner", "search_count", [("name", "like", "Acme")]) == 3


def test_the_drills_report_is_right(prod: Deployment) -> None:
    people = rows(prod, "select count(*) from res_partner")[0][0]
    report = ops(prod, "drill", "opening", "--yes")
    assert report["ok"] is True
    assert report["checkpoint"] == "opening"
    listed = {row["label"]: row for row in ops(prod, "checkpoints")["checkpoints"]}
    assert listed["opening"]["drill"]["ok"] is True
    assert listed["opening"]["drill"]["drill"] == report["drill"]
    # No drill has tried the others.
    assert [row["drill"] for label, row in listed.items() if label != "opening"] == [None] * (len(listed) - 1)
    # What was restored beside production is gone, and production is as it was.
    identifiers = [
        row["DBInstanceIdentifier"] for row in prod.aws("rds").describe_db_instances()["DBInstances"]
    ]
    assert not [name for name in identifiers if "drill" in name]
    assert rows(prod, "select count(*) from res_partner")[0][0] == people
