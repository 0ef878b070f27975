"""Addresses: encrypted everywhere, by the public host name, and the database manager nowhere."""

from __future__ import annotations

import http.client
import json
import re
import ssl
import xmlrpc.client
from collections.abc import Mapping

import pytest

from tests.e2e.deployment import Deployment
from tests.e2e.names import resolving
from tests.e2e.people import as_person
from tests.load.users import Entrance, Person

MANAGER = (
    "manager",
    "list",
    "create",
    "duplicate",
    "drop",
    "backup",
    "restore",
    "change_password",
    "static",
)
ABSOLUTE = re.compile(r"https?:(?://|\\/\\/)[A-Za-z0-9.:-]+")


def ask(
    live: Deployment,
    path: str,
    *,
    port: int = 443,
    body: str | None = None,
    certificate: bool = False,
    headers: Mapping[str, str] | None = None,
) -> tuple[int, http.client.HTTPMessage, str]:
    """One request without following redirects: status, headers, text."""
    with resolving(live.hosts):
        if port == 80:
            connection = http.client.HTTPConnection(live.host, port, timeout=30)
        else:
            context = ssl.create_default_context(cafile=str(live.clients / "ca.pem"))
            if certificate:
                (first, *_) = live.rpc["client_certificate"]["certificates"]
                password = (live.clients / first["password_file"]).read_text().strip()
                context.load_cert_chain(live.clients / first["pem"], password=password)
            connection = http.client.HTTPSConnection(live.host, port, timeout=30, context=context)
        try:
            kind = {"Content-Type": "application/json"} if body is not None else {}
            connection.request("GET" if body is None else "POST", path, body, kind | dict(headers or {}))
            answer = connection.getresponse()
            return answer.status, answer.headers, answer.read().decode(errors="replace")
        finally:
            connection.close()


@pytest.mark.parametrize("path", ["/", "/web/login?redirect=%2Fodoo", "/xmlrpc/2/common", "/web/health"])
def test_http_is_redirected_to_https(live: Deployment, path: str) -> None:
    status, headers, _ = ask(live, path, port=80)
    assert status == 301
    assert headers["Location"] in (f"https://{live.host}{path}", f"https://{live.host}:443{path}")


@pytest.mark.parametrize("path", ["/web/login", "/web/reset_password", "/"])
def test_links_in_pages_are_https_with_the_public_host(live: Deployment, path: str) -> None:
    status, headers, text = ask(live, path)
    while status in (302, 303):
        assert headers["Location"].startswith(("/", f"https://{live.host}/"))
        status, headers, text = ask(live, headers["Location"].removeprefix(f"https://{live.host}"))
    assert status == 200
    own = {link for link in ABSOLUTE.findall(text) if live.host in link or "127.0.0.1" in link}
    assert own <= {f"https://{live.host}"}


def test_links_in_mails_are_https_with_the_public_host(
    live: Deployment, entrance: Entrance, administrator: tuple[str, str]
) -> None:
    async def mail(person: Person) -> str:
        user = [["id", "=", person.user_id]]
        (one,) = await person.call_kw("res.users", "search_read", user, ["partner_id"])
        template = await person.call_kw(
            "ir.model.data", "search_read", [["name", "=", "set_password_email"]], ["res_id", "module"]
        )
        assert template
        partner = one["partner_id"][0]
        # Nothing leaves this machine: the message stays in the outgoing queue.
        number = await person.call_kw(
            "mail.template",
            "send_mail",
            [template[0]["res_id"]],
            person.user_id,
            email_values={"recipient_ids": [[6, 0, [partner]]]},
        )
        (sent,) = await person.call_kw("mail.mail", "read", [number], ["body_html"])
        return str(sent["body_html"])

    own = [
        link for link in ABSOLUTE.findall(as_person(entrance, administrator, mail)) if "odoo.com" not in link
    ]
    assert own
    assert set(own) == {f"https://{live.host}"}


@pytest.mark.parametrize("name", MANAGER)
@pytest.mark.parametrize(("port", "certificate"), [(443, False), (8443, True)])
def test_the_database_manager_is_closed(live: Deployment, name: str, port: int, certificate: bool) -> None:
    for body in (None, "{}"):
        status, _, text = ask(live, f"/web/database/{name}", port=port, body=body, certificate=certificate)
        assert status == 404
        assert "openerp" not in text.lower()


def test_the_database_selector_leads_to_the_login_page(live: Deployment) -> None:
    status, headers, _ = ask(live, "/web/database/selector")
    assert status == 303
    assert headers["Location"].startswith(f"https://{live.host}/web/login")


@pytest.mark.parametrize(
    ("method", "arguments"),
    [
        ("list", ()),
        ("create_database", ("", "stolen", False, "en_US", "admin")),
        ("dump", ("", "openerp", "zip")),
        ("drop", ("", "openerp")),
        ("change_admin_password", ("", "mine")),
    ],
)
def test_the_database_service_refuses_by_rpc(
    live: Deployment, method: str, arguments: tuple[object, ...]
) -> None:
    context = ssl.create_default_context(cafile=str(live.clients / "ca.pem"))
    with (
        resolving(live.hosts),
        xmlrpc.client.ServerProxy(f"https://{live.host}/xmlrpc/2/db", context=context) as database,
        pytest.raises((xmlrpc.client.Fault, xmlrpc.client.ProtocolError)),
    ):
        getattr(database, method)(*arguments)
    body = {"jsonrpc": "2.0", "params": {"service": "db", "method": method, "args": arguments}}
    status, _, text = ask(live, "/jsonrpc", body=json.dumps(body))
    assert status != 200 or "error" in json.loads(text)
