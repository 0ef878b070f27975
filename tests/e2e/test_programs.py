"""Programs call the deployment with the client configuration exactly as it was generated."""

from __future__ import annotations

import json
import shutil
import ssl
import subprocess
import sys
import urllib.error
import urllib.request
from http.client import HTTPSConnection, RemoteDisconnected
from pathlib import Path

import pytest

from tests.e2e.certificates import authority
from tests.e2e.deployment import Deployment
from tests.e2e.names import resolving, run_with_hosts
from tests.e2e.people import as_person, make_api_key
from tests.load.users import Entrance

SCRIPTS = ("rpc_xmlrpc.py", "rpc_json2.py", "rpc_odoorpc.py")


@pytest.fixture(scope="module")
def credentials(entrance: Entrance, administrator: tuple[str, str]) -> dict[str, str]:
    """What the scripts read from their environment."""
    user, password = administrator
    key = as_person(entrance, administrator, lambda person: make_api_key(person, password))
    return {"OPENERP_USER": user, "OPENERP_PASSWORD": password, "OPENERP_API_KEY": key}


def run(
    live: Deployment, script: Path, credentials: dict[str, str], **more: str
) -> subprocess.CompletedProcess[str]:
    """Run a script of the client configuration, as a developer does."""
    return run_with_hosts(live.hosts, sys.executable, str(script), environment=credentials | more)


@pytest.mark.parametrize("script", SCRIPTS)
def test_a_generated_script_logs_in_and_counts(
    live: Deployment, credentials: dict[str, str], script: str
) -> None:
    ended = run(live, live.clients / script, credentials)
    assert ended.returncode == 0, ended.stderr
    assert "Partners: " in ended.stdout


@pytest.mark.parametrize("script", SCRIPTS)
def test_a_numbered_certificate_lets_a_script_in_on_its_own_port(
    live: Deployment, credentials: dict[str, str], script: str
) -> None:
    (first, *_) = live.rpc["client_certificate"]["certificates"]
    ended = run(
        live,
        live.clients / script,
        credentials,
        OPENERP_CLIENT_CERTIFICATE=str(live.clients / first["pem"]),
    )
    assert ended.returncode == 0, ended.stderr
    assert "Partners: " in ended.stdout


@pytest.mark.parametrize("script", SCRIPTS)
def test_a_script_refuses_a_server_of_another_authority(
    live: Deployment, credentials: dict[str, str], script: str, tmp_path: Path
) -> None:
    copy = shutil.copytree(live.clients, tmp_path / "clients")
    (copy / "ca.pem").write_bytes(authority("Somebody else").certificate_pem)
    ended = run(live, copy / script, credentials)
    assert ended.returncode != 0
    assert "cannot be reached securely" in ended.stderr
    assert "certificate verify failed" in ended.stderr


@pytest.mark.parametrize("shown", ["none", "of another authority"])
def test_the_port_for_client_certificates_refuses_who_shows_no_certificate_of_ours(
    live: Deployment, shown: str, tmp_path: Path
) -> None:
    client = live.rpc["client_certificate"]
    context = ssl.create_default_context(cafile=str(live.clients / "ca.pem"))
    if shown != "none":
        own = tmp_path / "own.pem"
        own.write_bytes(authority("Somebody else").issue("1 accounting-desktop").pem)
        context.load_cert_chain(own)
    connection = HTTPSConnection(client["host"], client["port"], context=context, timeout=10)
    try:
        with resolving(live.hosts), pytest.raises((ssl.SSLError, ConnectionResetError, RemoteDisconnected)):
            connection.request("GET", "/web/login")
            connection.getresponse()
    finally:
        connection.close()


def test_json2_refuses_a_wrong_key(live: Deployment) -> None:
    settings = live.rpc["json2"]
    url = settings["url"].replace("<model>", "res.users").replace("<method>", "context_get")
    headers = settings["headers"] | {"Authorization": "bearer " + "0" * 40}
    request = urllib.request.Request(url, json.dumps({}).encode(), headers, method="POST")
    context = ssl.create_default_context(cafile=str(live.clients / "ca.pem"))
    with resolving(live.hosts), pytest.raises(urllib.error.HTTPError) as refused:
        urllib.request.urlopen(request, context=context, timeout=30)
    refused.value.close()
    assert refused.value.code == 401


def test_rpc_is_answered_by_app_servers_and_pages_by_web_client_servers(
    live: Deployment, credentials: dict[str, str]
) -> None:
    assert live.answered("/json/2/res.partner/search_count") <= set(live.servers("app"))
    assert live.answered("/odoo") <= set(live.servers("web-client"))
