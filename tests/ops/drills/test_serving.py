"""What a drill makes of its server's answers, and what the server does where that needs no server.

The rest needs real ones: tests/e2e/test_drill.py.
"""

from __future__ import annotations

import functools
import json
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from core.servers.files import openerp_server
from core.servers.files.openerp_server import common, first_start, secret_values
from ops.drills import on_server, serving
from ops.drills.clock import Clock
from ops.errors import OpsError

FENCED = {
    "IPAddressDeny": ["::/0", "0.0.0.0/0"],
    "IPAddressAllow": ["::1/128", "127.0.0.0/8", "10.20.0.0/16"],
}
IN = {"login": "in", "rewritten": False, "client": "shown"}


@dataclass
class Answering:
    """A server of which only the answers are known, by function; for log_in by database."""

    answers: dict[str, Any]
    asked: list[str] = field(default_factory=list)
    site: Any = None

    def call(self, function: str, _what: str, **arguments: Any) -> Any:
        self.asked.append(function)
        answer = self.answers[function]
        if function == "log_in":
            answer = answer[arguments["database"]]
        if isinstance(answer, Exception):
            raise answer
        return answer

    def login(self, database: str) -> dict[str, str]:
        return {"role": f"owner of {database}", "secret": "arn:…"}


def started(logins: dict[str, Any], outputs: dict[str, Any] | None = None) -> serving.Application:
    databases = [SimpleNamespace(name=name, release="19.0") for name in logins]
    manifest: Any = SimpleNamespace(databases=[*databases, SimpleNamespace(name="plain", release=None)])
    reach: Any = Answering({"release": {}, "log_in": logins})
    reach.site = SimpleNamespace(
        stack=SimpleNamespace(
            outputs=lambda: {
                "working_database": "openerp",
                "database_names": ["openerp", "openerp_test"],
                **(outputs or {}),
            }
        )
    )
    return serving.start(reach, manifest, Clock())


@pytest.mark.parametrize(
    ("found", "said"),
    [
        ({}, "has no openerp-odoo.service"),
        ({"openerp-odoo.service": {**FENCED, "IPAddressDeny": ["169.254.169.254/32"]}}, "is not fenced"),
        ({"openerp-odoo.service": {**FENCED, "IPAddressDeny": ["0.0.0.0/0"]}}, "is not fenced"),
        (
            {"openerp-odoo.service": {**FENCED, "IPAddressAllow": [*FENCED["IPAddressAllow"], "0.0.0.0/0"]}},
            "is not fenced",
        ),
        (
            {"openerp-odoo.service": FENCED, "odoo-tenant@drill.service": {**FENCED, "IPAddressDeny": []}},
            "odoo-tenant@drill.service on the drill's server is not fenced",
        ),
    ],
)
def test_nothing_is_started_on_a_server_that_is_not_fenced(found: dict[str, Any], said: str) -> None:
    reach: Any = Answering({"fences": found})
    with pytest.raises(OpsError, match=said):
        serving.check_fence(reach, "10.20.0.0/16")


def test_a_fence_around_every_unit_will_do() -> None:
    reach: Any = Answering(
        {"fences": dict.fromkeys(("openerp-odoo.service", "odoo-tenant@drill.service"), FENCED)}
    )
    serving.check_fence(reach, "10.20.0.0/16")


def test_logins_to_every_database_prove_the_application_the_working_one_first() -> None:
    done = started({"openerp_test": IN, "openerp": IN})
    assert (done.proof, done.note) == ("proven", "the administrator logged in to openerp, openerp_test")
    assert list(done.logins) == ["openerp", "openerp_test"]
    assert done.recovered is not None


def test_a_second_factor_is_a_login_and_a_rewritten_password_is_said() -> None:
    done = started({"openerp": {**IN, "login": "second factor", "client": "", "rewritten": True}})
    assert done.proof == "proven"
    assert done.logins == {"openerp": "in, up to the second factor"}
    assert "the administrator's password was another when the checkpoint was taken" in done.notes[0]


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        ({**IN, "login": "odoo.exceptions.AccessDenied"}, "openerp: odoo.exceptions.AccessDenied"),
        (
            {**IN, "client": "/web is answered with status 500"},
            "the web client does not open: /web is answered",
        ),
        (OpsError("Odoo: 15 minutes are over"), "OpenERP does not answer on it: Odoo: 15 minutes are over"),
    ],
)
def test_what_keeps_the_administrator_out_is_said(answer: Any, said: str) -> None:
    done = started({"openerp": answer})
    assert done.proof == "failed"
    assert said in done.note


def test_a_checkpoint_without_openerp_proves_none() -> None:
    assert started({}).note == "no database of the checkpoint that the stack serves holds OpenERP"


def test_a_tenant_that_has_left_since_is_not_asked_for() -> None:
    assert started({"openerp": IN, "left": OpsError("nobody serves it")}).logins == {"openerp": "in"}


# On the server


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> dict[str, Any]:
    """The settings of a server, whose package is there as on one."""
    values: dict[str, Any] = {"shared_dir": str(tmp_path / "srv"), "public_host": "erp.example.com"}
    monkeypatch.setitem(sys.modules, "openerp_server", openerp_server)
    monkeypatch.setattr(common, "read_server", lambda path=None: dict(values))
    (tmp_path / "srv").mkdir()
    return values


@pytest.fixture
def mounts(monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
    calls: list[list[str]] = []
    monkeypatch.setattr("os.path.ismount", lambda path: True)
    monkeypatch.setattr(subprocess, "run", lambda command, check: calls.append(command))
    return calls


def test_the_restored_folder_is_found_and_put_over_the_root(
    server: dict[str, Any], mounts: list[list[str]]
) -> None:
    shared = Path(server["shared_dir"])
    restored = shared / "aws-backup-restore_2027-01-31T02-00-00-000Z" / "odoo"
    (restored / "filestore").mkdir(parents=True)
    assert on_server.place_files("/odoo", 0) == {"folder": str(restored)}
    assert mounts == [["mount", "--bind", str(restored), str(shared)]]


@pytest.mark.parametrize(
    ("folders", "said"),
    [
        ([], "no one folder of /odoo; in it: nothing"),
        (["aws-backup-restore_1/other"], "no one folder of /odoo; in it: aws-backup-restore_1"),
        (["aws-backup-restore_1/odoo", "aws-backup-restore_2/odoo"], "no one folder of /odoo"),
        (["aws-backup-restore_1/odoo"], "there is no file store in aws-backup-restore_1/odoo"),
    ],
)
def test_other_contents_are_refused_in_a_sentence(
    server: dict[str, Any], mounts: list[list[str]], folders: list[str], said: str
) -> None:
    for folder in folders:
        Path(server["shared_dir"], folder).mkdir(parents=True)
    with pytest.raises(common.StepError, match=said):
        on_server.place_files("/odoo", 0)
    assert mounts == []


class Odoo(BaseHTTPRequestHandler):
    """Answers as Odoo 19 does, as far as a drill asks."""

    def do_POST(self) -> None:
        call = json.loads(self.rfile.read(int(self.headers["Content-Length"])))["params"]
        answer: dict[str, Any] = {"result": {"uid": 2}}
        if call["password"] == "two":
            answer = {"result": {"uid": None}}
        elif call["password"] != "right":
            answer = {"error": {"code": 200, "data": {"name": "odoo.exceptions.AccessDenied"}}}
        self._send(200, json.dumps(answer).encode(), cookie="session_id=abc; Path=/; HttpOnly")

    def do_GET(self) -> None:
        if self.headers.get("Cookie") != "session_id=abc" or self.headers["Host"] != "erp.example.com":
            self._send(303, b"", location="/web/login")
        elif self.path == "/web":
            self._send(303, b"", location="https://erp.example.com/odoo")
        else:
            self._send(200, b"<script>odoo.__session_info__ = {}</script><link href='web.assets_web.css'>")

    def _send(self, status: int, body: bytes, *, location: str = "", cookie: str = "") -> None:
        self.send_response(status)
        for key, value in (("Location", location), ("Set-Cookie", cookie)):
            if value:
                self.send_header(key, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_request(self, code: int | str = "-", size: int | str = "-") -> None: ...


@pytest.fixture
def browser() -> Iterator[on_server._Odoo]:
    service = ThreadingHTTPServer(("127.0.0.1", 0), Odoo)
    threading.Thread(target=service.serve_forever, daemon=True).start()
    yield on_server._Odoo({"public_host": "erp.example.com", "odoo_http_port": service.server_address[1]})
    service.shutdown()
    service.server_close()


def test_a_login_opens_the_web_client_with_its_session(browser: on_server._Odoo) -> None:
    assert browser.client() == "/web/login is answered with status 303"
    assert browser.log_in("openerp", "right") == "in"
    assert browser.client() == "shown"


def test_a_login_waits_for_a_tenants_instance(
    server: dict[str, Any], browser: on_server._Odoo, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The settings of a tenant's instance are written by a timer."""
    found: list[Any] = [common.StepError("the settings of this server cannot be read"), browser.server]

    def of_tenant(_server: Any, tenant: str) -> Any:
        assert tenant == "acme"
        answer = found.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return {**answer, "administrator_secret_arn": "arn:…"}, Path("acme.conf")

    monkeypatch.setattr(first_start, "of_tenant", of_tenant)
    monkeypatch.setattr(secret_values, "fetch", lambda _server, _arn: "right")
    monkeypatch.setattr(common, "keep_trying", functools.partial(common.keep_trying, pause=0))
    answer = on_server.log_in("acme", "acme", {"role": "r", "secret": "s"}, 60)
    assert answer == {"login": "in", "rewritten": False, "client": "shown"}


def test_what_odoo_says_to_a_wrong_password_and_to_a_second_factor(browser: on_server._Odoo) -> None:
    assert browser.log_in("openerp", "wrong") == "odoo.exceptions.AccessDenied"
    assert browser.log_in("openerp", "two") == "second factor"
