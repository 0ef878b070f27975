"""The files for clients, as pure text from stack outputs."""

from __future__ import annotations

import configparser
import html.parser
import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from core import outputs as output_names
from core.client_configuration import (
    ClientCertificate,
    ClientConfigurationError,
    ClientOutputs,
    facts,
    refuse_unusable,
    render,
)
from tests.ops.authority import Authority, stack_outputs


@pytest.fixture(scope="module")
def authority() -> Authority:
    return Authority()


def files(authority: Authority, **changed: Any) -> dict[str, str]:
    outputs = ClientOutputs.read(stack_outputs(authority, **changed))
    known = {c.number: facts(c.certificate_pem) for c in outputs.certificates}
    return render(outputs, stack="dev", client_certificates=known)


class Page(html.parser.HTMLParser):
    """Collects a page's text, links and the balance of its tags."""

    VOID = frozenset({"meta", "br", "link", "img", "hr", "input"})

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.links: list[str] = []
        self.tags: set[str] = set()
        self.said: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.links += [value for name, value in attrs if name in ("href", "src") and value]
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.said.append(data)


def test_every_output_that_clients_read_is_one_that_the_stack_exports() -> None:
    assert set(ClientOutputs.model_fields) <= {output.name for output in output_names.OUTPUTS}


def test_the_page_is_well_formed_and_loads_nothing_from_elsewhere(authority: Authority) -> None:
    page = Page(files(authority)["index.html"])
    assert page.open == []
    assert page.tags.isdisjoint({"script", "img", "link", "iframe"})
    assert {link for link in page.links if "://" in link} == {
        "https://erp.example.com/",
        "https://erp.example.com:8443/",
    }


def test_every_file_the_page_links_to_exists(authority: Authority) -> None:
    variants: list[dict[str, Any]] = [
        {},
        {"ca_certificate": None, "client_certificates": {}},
        {"release": "17.0"},
    ]
    for changed in variants:
        made = files(authority, **changed)
        linked = {link for link in Page(made["index.html"]).links if "://" not in link}
        assert linked <= set(made)


def test_the_page_tells_addresses_databases_and_the_fingerprint_of_the_authority(
    authority: Authority,
) -> None:
    text = " ".join(Page(files(authority)["index.html"]).said)
    for expected in (
        "https://erp.example.com/",
        "openerp_test",
        "1-anna.p12",
        "2-warehouse-scanner.p12",
        facts(authority.pem).fingerprint,
    ):
        assert expected in text


def test_no_file_without_protection_holds_a_private_key(authority: Authority) -> None:
    outputs = stack_outputs(authority)
    made = files(authority)
    for certificate in outputs["client_certificates"].values():
        secret = certificate["private_key_pem"].splitlines()[1]
        assert all(secret not in text for text in made.values())


def test_a_public_certificate_needs_no_ca_file_and_no_instructions_to_trust_it(authority: Authority) -> None:
    made = files(authority, ca_certificate=None)
    assert "ca.pem" not in made
    assert "trust this deployment" not in made["index.html"]
    assert json.loads(made["rpc.json"])["ca_certificate"] is None


def test_names_are_escaped_in_the_page(authority: Authority) -> None:
    outputs = stack_outputs(authority)
    outputs["client_certificates"]["1"]["name"] = "<script>alert(1)</script>"
    made = render(ClientOutputs.read(outputs), stack="dev")
    assert "<script>" not in made["index.html"]


def test_tenants_have_their_addresses_on_the_page_in_the_bookmarks_and_in_the_settings(
    authority: Authority,
) -> None:
    tenants = {"acme": {"database": "acme", "url": "https://acme.erp.example.com/"}}
    made = files(authority, tenants=tenants, offer="saas")
    assert "https://acme.erp.example.com/" in made["index.html"]
    assert 'HREF="https://acme.erp.example.com/"' in made["bookmarks.html"]
    assert json.loads(made["rpc.json"])["tenants"] == tenants


def test_rpc_settings_hold_what_a_program_needs(authority: Authority) -> None:
    settings = json.loads(files(authority)["rpc.json"])
    assert settings["host"] == "erp.example.com"
    assert settings["port"] == 443
    assert settings["protocol"] == "xmlrpcs"
    assert settings["database"] == "openerp"
    assert settings["xmlrpc"]["object"] == "https://erp.example.com:443/xmlrpc/2/object"
    assert settings["json2"]["headers"]["X-Odoo-Database"] == "openerp"
    assert settings["client_certificate"]["port"] == 8443
    assert settings["client_certificate"]["certificates"][1]["p12"] == "2-warehouse-scanner.p12"


@pytest.mark.parametrize(
    ("release", "offered"), [("17.0", False), ("18.0", False), ("19.0", True), ("saas~19.1", True)]
)
def test_json2_is_offered_from_release_19_on(authority: Authority, release: str, offered: bool) -> None:
    made = files(authority, release=release)
    assert ("rpc_json2.py" in made) is offered
    assert (json.loads(made["rpc.json"])["json2"] is not None) is offered
    assert ("rpc_json2.py" in made["index.html"]) is offered


def test_the_desktop_client_reads_its_own_keys(authority: Authority) -> None:
    parser = configparser.RawConfigParser()
    parser.read_string(files(authority)["openerprc"])
    assert dict(parser["login"]) == {
        "server": "erp.example.com",
        "port": "443",
        "protocol": "https://",
        "db": "openerp",
        "login": "admin",
    }


def test_the_scripts_are_valid_python_with_the_addresses_in_them(authority: Authority) -> None:
    for name, text in files(authority).items():
        if name.endswith(".py"):
            compile(text, name, "exec")
            assert "HOST = 'erp.example.com'" in text
            assert "PORT = 443" in text


def test_the_same_outputs_give_the_same_bytes(authority: Authority) -> None:
    outputs = ClientOutputs.read(stack_outputs(authority))
    assert render(outputs, stack="dev") == render(outputs, stack="dev")


@pytest.mark.parametrize("masked", ["[secret]", {"1": "[secret]"}])
def test_masked_outputs_are_refused_with_the_command_that_shows_them(
    authority: Authority, masked: object
) -> None:
    with pytest.raises(ClientConfigurationError, match="--show-secrets"):
        ClientOutputs.read(stack_outputs(authority, client_certificates=masked))


def test_a_missing_output_is_named(authority: Authority) -> None:
    outputs = stack_outputs(authority)
    del outputs["rpc_host"]
    with pytest.raises(ClientConfigurationError, match="rpc_host: field required"):
        ClientOutputs.read(outputs)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("web_url", "http://erp.example.com/"),
        ("web_url", 'https://x"><script>'),
        ("rpc_port", 0),
        ("rpc_port", 443.5),
        ("rpc_host", "a b"),
        ("client_certificates", [1]),
        ("client_certificates", {"1": {"name": "anna"}}),
        ("client_certificates", {"one": {"name": "a", "certificate_pem": "x", "private_key_pem": "hunter2"}}),
    ],
)
def test_an_output_of_another_form_is_refused_by_name_without_its_value(
    authority: Authority, name: str, value: object
) -> None:
    with pytest.raises(ClientConfigurationError, match=name) as caught:
        ClientOutputs.read(stack_outputs(authority, **{name: value}))
    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize(
    ("name", "stem"),
    [
        ("../../etc/passwd", "1-etc-passwd"),
        ("Zoë / Büro", "1-Zo-B-ro"),
        ("..", "1-client"),
        ("x" * 200, "1-" + "x" * 60),
    ],
)
def test_a_name_cannot_lead_out_of_the_directory(name: str, stem: str) -> None:
    assert ClientCertificate(number=1, name=name, certificate_pem="", private_key_pem="").file_stem == stem


def certificate(authority: Authority, **how: Any) -> ClientCertificate:
    pem, key = authority.issue("anna", **how)
    return ClientCertificate(number=7, name="anna", certificate_pem=pem, private_key_pem=key)


def test_a_valid_certificate_tells_when_it_ends(authority: Authority) -> None:
    now = datetime.now(UTC)
    assert refuse_unusable(certificate(authority, days=90), now=now).valid_until > now


def test_an_expired_certificate_is_refused_with_number_name_and_date(authority: Authority) -> None:
    start = datetime(2024, 1, 1, tzinfo=UTC)
    with pytest.raises(
        ClientConfigurationError, match=r"client certificate 7 \(anna\) expired on 2024-01-31"
    ):
        refuse_unusable(certificate(authority, start=start, days=30), now=datetime.now(UTC))


def test_a_certificate_from_the_future_points_to_the_clock(authority: Authority) -> None:
    start = datetime.now(UTC) + timedelta(days=3)
    with pytest.raises(
        ClientConfigurationError, match=r"client certificate 7 \(anna\) is not valid before .*clock"
    ):
        refuse_unusable(certificate(authority, start=start), now=datetime.now(UTC))


def test_a_key_of_another_certificate_is_refused(authority: Authority) -> None:
    mixed = certificate(authority).model_copy(update={"private_key_pem": authority.issue("b")[1]})
    with pytest.raises(ClientConfigurationError, match="another certificate"):
        refuse_unusable(mixed, now=datetime.now(UTC))


def test_something_that_is_no_certificate_is_refused(authority: Authority) -> None:
    broken = certificate(authority).model_copy(update={"certificate_pem": "nothing"})
    with pytest.raises(ClientConfigurationError, match="not PEM"):
        refuse_unusable(broken, now=datetime.now(UTC))
