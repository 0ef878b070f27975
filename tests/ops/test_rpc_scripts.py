"""The RPC scripts of `dist/<stack>/`, run as processes against a TLS server that answers like OpenERP.

The server is the standard library's: that the scripts work with a real OpenERP is not proven here.
"""

from __future__ import annotations

import http.server
import json
import os
import ssl
import subprocess
import sys
import threading
import xmlrpc.client
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from ops.clients import write
from tests.ops.authority import Authority, stack_outputs

KEY = "0123456789abcdef"


class OpenErp(http.server.BaseHTTPRequestHandler):
    """Version, authenticate, execute_kw and JSON-2, for the user `admin` with the password `KEY`."""

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        if self.path.startswith("/json/2/"):
            known = (
                self.headers["Authorization"] == f"bearer {KEY}"
                and self.headers["X-Odoo-Database"] == "openerp"
            )
            answer: object = {"lang": "en_US"} if self.path.endswith("context_get") else 42
            refusal = {"name": "werkzeug.exceptions.Unauthorized", "message": "Invalid apikey"}
            self._send(200 if known else 401, json.dumps(answer if known else refusal).encode())
            return
        arguments, method = xmlrpc.client.loads(body)
        result: Any = {"version": {"server_version": "19.0"}, "execute_kw": 42}.get(str(method))
        if method == "authenticate":
            result = 2 if arguments[:3] == ("openerp", "admin", KEY) else False
        self._send(200, xmlrpc.client.dumps((result,), methodresponse=True).encode())

    def _send(self, status: int, body: bytes) -> None:
        self.send_response(status)
        self.send_header(
            "Content-Type", "text/xml" if self.path.startswith("/xmlrpc") else "application/json"
        )
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing: the test's output is for failures."""


class QuietServer(http.server.ThreadingHTTPServer):
    """A handshake that a client ends is part of these tests, not an error to print."""

    def handle_error(self, request: object, client_address: object) -> None:
        assert isinstance(sys.exc_info()[1], OSError)


@contextmanager
def serving(authority: Authority, directory: Path, *, client_certificates: bool) -> Iterator[int]:
    certificate, key = authority.issue("localhost", server=True)
    (directory / "server.pem").write_text(certificate + key)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(directory / "server.pem")
    if client_certificates:
        context.load_verify_locations(cadata=authority.clients.pem)
        context.verify_mode = ssl.CERT_REQUIRED
    with QuietServer(("127.0.0.1", 0), OpenErp) as server:
        server.socket = context.wrap_socket(server.socket, server_side=True)
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        try:
            yield server.server_port
        finally:
            server.shutdown()
            thread.join()


@pytest.fixture(scope="module")
def authority() -> Authority:
    return Authority()


def run(script: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    clean = {name: value for name, value in os.environ.items() if not name.startswith("OPENERP_")}
    return subprocess.run(
        [sys.executable, "-W", "error", script],
        env=clean | {"OPENERP_USER": "admin", "OPENERP_PASSWORD": KEY, "OPENERP_API_KEY": KEY} | environment,
        capture_output=True,
        text=True,
        stdin=subprocess.DEVNULL,
        timeout=60,
        check=False,
    )


@pytest.mark.parametrize("script", ["rpc_xmlrpc.py", "rpc_json2.py"])
def test_a_script_logs_in_over_tls_that_it_verifies(
    authority: Authority, tmp_path: Path, script: str
) -> None:
    with serving(authority, tmp_path, client_certificates=False) as port:
        write(stack_outputs(authority, rpc_host="localhost", rpc_port=port), tmp_path / "dev")
        done = run(tmp_path / "dev" / script)
    assert done.stderr == ""
    assert "Partners: 42" in done.stdout
    assert done.returncode == 0


@pytest.mark.parametrize("script", ["rpc_xmlrpc.py", "rpc_json2.py"])
def test_a_script_shows_its_client_certificate_with_the_password_kept_beside_it(
    authority: Authority, tmp_path: Path, script: str
) -> None:
    with serving(authority, tmp_path, client_certificates=True) as port:
        outputs = stack_outputs(authority, rpc_host="localhost", rpc_port=1, client_certificate_port=port)
        write(outputs, tmp_path / "dev")
        done = run(
            tmp_path / "dev" / script,
            OPENERP_CLIENT_CERTIFICATE=str(tmp_path / "dev" / "2-warehouse-scanner.pem"),
        )
    assert done.stderr == ""
    assert "Partners: 42" in done.stdout


@pytest.mark.parametrize("script", ["rpc_xmlrpc.py", "rpc_json2.py"])
def test_without_a_client_certificate_that_port_lets_nobody_in(
    authority: Authority, tmp_path: Path, script: str
) -> None:
    with serving(authority, tmp_path, client_certificates=True) as port:
        write(stack_outputs(authority, rpc_host="localhost", rpc_port=port), tmp_path / "dev")
        done = run(tmp_path / "dev" / script)
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    assert "Partners" not in done.stdout


@pytest.mark.parametrize("script", ["rpc_xmlrpc.py", "rpc_json2.py"])
def test_a_server_of_another_authority_is_sent_nothing(
    authority: Authority, tmp_path: Path, script: str
) -> None:
    with serving(Authority("impostor"), tmp_path, client_certificates=False) as port:
        write(stack_outputs(authority, rpc_host="localhost", rpc_port=port), tmp_path / "dev")
        done = run(tmp_path / "dev" / script)
    assert done.returncode == 1
    assert "secure" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("script", "said"), [("rpc_xmlrpc.py", "refused 'admin'"), ("rpc_json2.py", "401: Invalid apikey")]
)
def test_a_wrong_password_is_said_in_one_line(
    authority: Authority, tmp_path: Path, script: str, said: str
) -> None:
    with serving(authority, tmp_path, client_certificates=False) as port:
        write(stack_outputs(authority, rpc_host="localhost", rpc_port=port), tmp_path / "dev")
        done = run(tmp_path / "dev" / script, OPENERP_PASSWORD="wrong", OPENERP_API_KEY="wrong")
    assert done.returncode == 1
    assert said in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_nothing_that_listens_is_said_in_one_line(authority: Authority, tmp_path: Path) -> None:
    write(stack_outputs(authority, rpc_host="localhost", rpc_port=1), tmp_path / "dev")
    for script in ("rpc_xmlrpc.py", "rpc_json2.py"):
        done = run(tmp_path / "dev" / script)
        assert done.returncode == 1
        assert "localhost:1 cannot be reached" in done.stderr
        assert len(done.stderr.splitlines()) == 1


def test_without_odoorpc_its_script_says_what_to_install(authority: Authority, tmp_path: Path) -> None:
    write(stack_outputs(authority), tmp_path / "dev")
    hidden = tmp_path / "hidden"
    hidden.mkdir()
    (hidden / "odoorpc.py").write_text("raise ImportError")
    done = run(tmp_path / "dev" / "rpc_odoorpc.py", PYTHONPATH=str(hidden))
    assert done.returncode == 1
    assert done.stderr == "OdooRPC is not installed: pip install OdooRPC\n"
