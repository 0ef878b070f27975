"""Two tenants on a real PostgreSQL, as the program deploys them: neither reaches the other's database.

RPC ignores `dbfilter`, so this is what keeps tenants apart; that each instance of Odoo logs in with its
tenant's role is held in tests/core/servers/test_server_scripts.py.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest
import yaml

from core.servers.files.openerp_server import tenants
from local.emulator import stop
from tests.integration.test_kills import Machine


@pytest.fixture(scope="module")
def machine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Machine]:
    """The stack `local` as an offer for many tenants, brought up."""
    made = Machine(tmp_path_factory.mktemp("tenants"))
    path = made.project / "Pulumi.local.yaml"
    settings = yaml.safe_load(path.read_text())
    settings["config"] |= {
        "openerp:offer": "saas",
        "openerp:tenants": [{"name": "acme"}, {"name": "globex"}],
        "openerp:pricePerUser": {"amount": 24.5, "currency": "EUR"},
    }
    path.write_text(yaml.safe_dump(settings))
    made.run("up")
    yield made
    stop(made.home)


@pytest.fixture(scope="module")
def outputs(machine: Machine) -> dict[str, Any]:
    printed = subprocess.run(
        [sys.executable, "-m", "local", "output", "--json", "--show-secrets"],
        cwd=machine.project,
        env={**os.environ, "OPENERP_LOCAL_HOME": str(machine.home)},
        capture_output=True,
        check=True,
    ).stdout
    values: dict[str, Any] = json.loads(printed)
    return values


@pytest.fixture(scope="module")
def described(machine: Machine) -> dict[str, dict[str, str]]:
    """The tenants as the servers read them."""
    found = machine.client("ssm").get_parameters_by_path(Path="/openerp/local/tenants", Recursive=True)
    return {
        tenant["name"]: tenant
        for tenant in (tenants.read_tenant(each["Value"]) for each in found["Parameters"])
    }


def log_in(machine: Machine, outputs: dict[str, Any], secret_arn: str, role: str, database: str) -> set[str]:
    """Log in as a server does, TLS verified; return the databases that Odoo would offer this login."""
    value = machine.client("secretsmanager").get_secret_value(SecretId=secret_arn)["SecretString"]
    with psycopg.connect(
        host=outputs["database_address"],
        port=int(outputs["database_port"]),
        dbname=database,
        user=role,
        password=json.loads(value)["password"],
        sslmode="verify-full",
        sslrootcert=str(Path(machine.home) / "postgres" / "ca.pem"),
    ) as connection:
        # Odoo's `list_dbs`.
        rows = connection.execute(
            "select datname from pg_database d join pg_user u on d.datdba = u.usesysid"
            " where u.usename = current_user"
        )
        return {name for (name,) in rows.fetchall()}


def test_a_tenants_login_opens_its_own_database_alone(
    machine: Machine, outputs: dict[str, Any], described: dict[str, dict[str, str]]
) -> None:
    assert set(described) == {"acme", "globex"}
    databases = {*outputs["database_names"], outputs["working_database"], outputs["test_database"]}
    for tenant in described.values():
        login = tenant["secret_arn"], tenant["role"]
        assert log_in(machine, outputs, *login, tenant["database"]) == {tenant["database"]}
        for other in databases - {tenant["database"]}:
            with pytest.raises(psycopg.OperationalError, match="permission denied for database"):
                log_in(machine, outputs, *login, other)


def test_the_servers_own_login_opens_no_tenants_database(
    machine: Machine, outputs: dict[str, Any], described: dict[str, dict[str, str]]
) -> None:
    arn = outputs["application_secret_arns"][outputs["working_database"]]
    assert log_in(machine, outputs, arn, "openerp_app", outputs["working_database"]) == {
        outputs["working_database"],
        outputs["test_database"],
    }
    for tenant in described.values():
        with pytest.raises(psycopg.OperationalError, match="permission denied for database"):
            log_in(machine, outputs, arn, "openerp_app", tenant["database"])


def test_each_tenant_has_an_administrators_password_of_its_own(
    machine: Machine, outputs: dict[str, Any], described: dict[str, dict[str, str]]
) -> None:
    secrets = machine.client("secretsmanager")
    arns = [
        outputs["administrator_secret_arn"],
        *(each["administrator_secret_arn"] for each in described.values()),
    ]
    passwords = {secrets.get_secret_value(SecretId=arn)["SecretString"] for arn in arns}
    assert len(passwords) == 3
