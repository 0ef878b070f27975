"""Databases beside ours on the same database server: nobody gets into them through our servers.

Two are made, as copies of the test database, so that administrator and password are the same as there: one of
the servers' own role (a copy that somebody made), one of another role (another customer's).
"""

from __future__ import annotations

import json
import ssl
import xmlrpc.client
from collections.abc import Iterator
from typing import Any

import psycopg
import pytest

from core import outputs as names
from tests.e2e.deployment import Deployment
from tests.e2e.names import resolving
from tests.e2e.people import as_person
from tests.e2e.test_addresses import ask
from tests.load.users import Entrance, Person, RequestFailed

OWN_ROLE, OTHER_ROLE = "openerp_copy", "another_customer"
DATABASES = (OWN_ROLE, OTHER_ROLE)
TERMINATE = (
    "select pg_terminate_backend(pid) from pg_stat_activity "
    "where datname = %s and backend_type = 'client backend'"
)


@pytest.fixture(scope="module", autouse=True)
def others(live: Deployment) -> Iterator[None]:
    """Make the two databases, and remove them again."""
    live.wait_for_test_database()
    outputs = live.outputs()
    master = live.secret(outputs[names.MASTER_SECRET_ARN])
    test = outputs[names.TEST_DATABASE]
    with psycopg.connect(
        host=outputs[names.DATABASE_ADDRESS],
        port=int(outputs[names.DATABASE_PORT]),
        user=master["username"],
        password=master["password"],
        dbname="postgres",
        sslmode="verify-full",
        sslrootcert=str(live.home / "postgres" / "ca.pem"),
        autocommit=True,
    ) as server:
        (owner,) = server.execute(
            "select pg_get_userbyid(datdba) from pg_database where datname = %s", [test]
        ).fetchone() or ("",)
        server.execute("create role another login password 'of-another'")
        server.execute("grant another to current_user")
        try:
            for database, role in ((OWN_ROLE, owner), (OTHER_ROLE, "another")):
                server.execute(f"alter database {test} allow_connections false")
                server.execute(TERMINATE, [test])
                server.execute(f'create database {database} template {test} owner "{role}"')
                server.execute(f"alter database {test} allow_connections true")
            server.execute(f"revoke connect on database {OTHER_ROLE} from public")
            yield
        finally:
            server.execute(f"alter database {test} allow_connections true")
            for database in DATABASES:
                server.execute(f"drop database if exists {database} with (force)")
            server.execute("drop role another")


@pytest.mark.parametrize("database", DATABASES)
def test_the_web_lets_nobody_into_a_database_outside_the_filter(
    live: Deployment, administrator: tuple[str, str], database: str
) -> None:
    user, password = administrator
    body = {"jsonrpc": "2.0", "params": {"db": database, "login": user, "password": password}}
    for port, certificate in ((443, False), (8443, True)):
        _, _, text = ask(
            live, "/web/session/authenticate", port=port, body=json.dumps(body), certificate=certificate
        )
        assert "result" not in json.loads(text)


@pytest.mark.parametrize("database", DATABASES)
def test_a_login_page_that_names_another_database_logs_into_ours(
    live: Deployment, entrance: Entrance, administrator: tuple[str, str], database: str
) -> None:
    async def where(person: Person) -> str:
        await person.request("named", "GET", f"/web/login?db={database}")
        try:
            await person.log_in()
        except RequestFailed:
            return "nowhere"
        return str((await person.call("/web/session/get_session_info"))["db"])

    assert as_person(entrance, administrator, where, log_in=False) in ("nowhere", entrance.database)


@pytest.mark.parametrize("port", [443, 8443])
@pytest.mark.parametrize("database", DATABASES)
def test_xmlrpc_lets_nobody_into_a_database_outside_the_filter(
    live: Deployment, administrator: tuple[str, str], database: str, port: int
) -> None:
    user, password = administrator
    context = ssl.create_default_context(cafile=str(live.clients / "ca.pem"))
    if port != 443:
        (first, *_) = live.rpc["client_certificate"]["certificates"]
        word = (live.clients / first["password_file"]).read_text().strip()
        context.load_cert_chain(live.clients / first["pem"], password=word)
    base = f"https://{live.host}:{port}/xmlrpc/2"
    with (
        resolving(live.hosts),
        xmlrpc.client.ServerProxy(f"{base}/common", context=context) as common,
        xmlrpc.client.ServerProxy(f"{base}/object", context=context) as models,
    ):
        asked: list[tuple[Any, tuple[Any, ...]]] = [
            (common.authenticate, (database, user, password, {})),
            (models.execute_kw, (database, 2, password, "res.partner", "search_count", [[]])),
        ]
        for method, arguments in asked:
            try:
                assert not method(*arguments)
            except xmlrpc.client.Fault as fault:
                assert "Traceback" not in fault.faultString or "AccessDenied" in fault.faultString
                assert live.outputs()[names.DATABASE_ADDRESS] not in fault.faultString


@pytest.mark.parametrize("database", DATABASES)
def test_jsonrpc_lets_nobody_into_a_database_outside_the_filter(
    live: Deployment, administrator: tuple[str, str], database: str
) -> None:
    user, password = administrator
    for service, method, arguments in (
        ("common", "authenticate", [database, user, password, {}]),
        ("object", "execute_kw", [database, 2, password, "res.partner", "search_count", [[]]]),
    ):
        body = {"jsonrpc": "2.0", "params": {"service": service, "method": method, "args": arguments}}
        _, _, text = ask(live, "/jsonrpc", body=json.dumps(body))
        assert not json.loads(text).get("result")


@pytest.mark.parametrize("database", DATABASES)
def test_json2_lets_nobody_into_a_database_outside_the_filter(
    live: Deployment, entrance: Entrance, database: str
) -> None:
    """A key that is wrong tells the two cases apart: only a database that is asked can say so."""
    said = {
        name: ask(
            live,
            "/json/2/res.partner/search_count",
            body="{}",
            headers={"X-Odoo-Database": name, "Authorization": "bearer " + "0" * 40},
        )
        for name in (entrance.database, database)
    }
    assert {name: status for name, (status, _, _) in said.items()} == {entrance.database: 401, database: 404}
