"""The scripts that run on servers, each alone: no network, no database, no root."""

from __future__ import annotations

import ast
import configparser
import contextlib
import functools
import hashlib
import http.server
import json
import os
import shutil
import socket
import stat
import subprocess
import threading
import urllib.error
import urllib.request
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from cryptography import x509
from hypothesis import given
from hypothesis import strategies as st

from core import names
from core.servers import ServerConfiguration
from core.servers.bare_source import bare_source
from core.servers.cloud_init import cloud_config, server_settings
from core.servers.files.openerp_server import (
    __main__ as program,
)
from core.servers.files.openerp_server import (
    agents,
    common,
    file_store,
    first_start,
    from_debian,
    from_nightly,
    install,
    ready,
    secret_values,
    serve,
    tenants,
)
from tests.core.servers.conftest import SAAS, MakeServer

FOLDER = Path(file_store.__file__).parent
# Runs of certificate_utils.py of AWS's efs-utils 3.2.0 with the same input gave these.
SIGNATURE_WITH_TOKEN = "09b81b36e5b1144194a525a575eb35220f337ce487580db0367e3100cd0996b2"
SIGNATURE_WITHOUT_TOKEN = "8672bf2302da434b36820b5fed63438770c64f7a32bc96b23517dd2d3a0dad97"
TOKEN = "IQoJb3JpZ2luX2VjEX//token+with/odd=chars=="


@pytest.fixture
def settings(make_server: MakeServer) -> common.Server:
    return server_settings(make_server())


class Clock:
    def __init__(self) -> None:
        self.time = 0.0

    def sleep(self, seconds: float) -> None:
        self.time += seconds

    def now(self) -> float:
        return self.time


# Patience and errors.


def test_what_fails_at_first_is_tried_again_and_said_once(capsys: pytest.CaptureFixture[str]) -> None:
    clock, results = Clock(), [OSError("no route"), OSError("no route"), None]

    def action() -> str:
        result = results.pop(0)
        if result:
            raise result
        return "here"

    assert common.keep_trying("secret", action, seconds=60, sleep=clock.sleep, now=clock.now) == "here"
    assert capsys.readouterr().err.count("no route") == 1


def test_patience_ends_with_the_last_reason() -> None:
    clock = Clock()

    def action() -> None:
        raise OSError("no route")

    with pytest.raises(common.StepError, match=r"^secret: OSError: no route$"):
        common.keep_trying("secret", action, seconds=60, sleep=clock.sleep, now=clock.now)
    assert clock.time <= 60


def test_a_final_reason_is_not_tried_again() -> None:
    clock = Clock()

    def action() -> None:
        raise common.StepError("wrong environment")

    with pytest.raises(common.StepError, match="wrong environment"):
        common.keep_trying("database", action, seconds=60, sleep=clock.sleep, now=clock.now)
    assert clock.time == 0


def test_a_failed_command_says_why_and_never_what_it_was_told_in_secret() -> None:
    with pytest.raises(common.StepError) as failure:
        common.run(["sh", "-c", "cat >/dev/null; echo broken >&2; exit 3"], text="the-password")
    assert "status 3: broken" in str(failure.value)
    assert "the-password" not in str(failure.value)


def test_a_step_that_fails_ends_with_one_sentence_on_the_console(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(common, "CONFIG_DIR", tmp_path)
    assert program.main(["install"]) == program.FINAL
    text = capsys.readouterr().err
    assert text.startswith("openerp: install failed: the settings of this server cannot be read")
    assert "Traceback" not in text


# Secrets.


@pytest.mark.parametrize("value", ['{"username": "x", "password": "p:w\\\\d"}', "p:w\\d"])
def test_a_password_is_read_from_json_or_taken_as_it_is(value: str) -> None:
    assert secret_values.password_in(value) == "p:w\\d"


def test_json_without_a_password_is_refused_without_being_shown() -> None:
    with pytest.raises(common.StepError) as failure:
        secret_values.password_in('{"pass": "hunter2"}')
    assert "hunter2" not in str(failure.value)


@given(st.text(st.characters(min_codepoint=32, max_codepoint=126), min_size=1))
def test_any_password_survives_the_form_of_the_password_file(password: str) -> None:
    settings = {"database_host": "h", "database_port": 5432}
    line = secret_values.pgpass_line(settings, "role", password).removesuffix("\n")
    fields, field, escaped = [], "", False
    for letter in line:
        if escaped:
            field, escaped = field + letter, False
        elif letter == "\\":
            escaped = True
        elif letter == ":":
            fields.append(field)
            field = ""
        else:
            field += letter
    assert [*fields, field] == ["h", "5432", "*", "role", password]


def test_a_secret_file_is_its_owners_alone_and_written_only_when_it_changes(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    owners: list[tuple[int, int]] = []
    monkeypatch.setattr(os, "fchown", lambda handle, uid, gid: owners.append((uid, gid)))
    path = tmp_path / "pgpass"
    assert common.write(path, "one\n", owner=names.ODOO_UID)
    assert not common.write(path, "one\n", owner=names.ODOO_UID)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert owners == [(names.ODOO_UID, names.ODOO_UID)]
    assert [entry.name for entry in tmp_path.iterdir() if entry.name.endswith(".new")] == []


# File store.


@pytest.mark.parametrize(
    ("token", "expected"), [(TOKEN, SIGNATURE_WITH_TOKEN), (None, SIGNATURE_WITHOUT_TOKEN)]
)
def test_the_signature_is_what_aws_own_helper_computes(token: str | None, expected: str) -> None:
    credentials = SimpleNamespace(
        access_key="ASIAEXAMPLEEXAMPLE00", secret_key="secret/access+key", token=token
    )
    found = file_store.signature(
        {"file_system_id": "fs-0123456789abcdef0", "region": "eu-west-1"},
        "0123456789abcdef0123456789abcdef01234567",
        credentials,
        datetime(2026, 11, 23, 2, 30, tzinfo=UTC),
    )
    assert found == expected


@pytest.mark.skipif(shutil.which("openssl") is None, reason="no openssl on PATH: no certificate is made here")
def test_the_certificate_names_access_point_file_system_and_caller(
    settings: common.Server, tmp_path: Path
) -> None:
    credentials = SimpleNamespace(access_key="ASIAEXAMPLEEXAMPLE00", secret_key="very-secret", token=TOKEN)
    now = datetime.now(UTC).replace(microsecond=0)
    for _ in range(2):  # renewing keeps the key
        file_store.make_certificate(settings, tmp_path, credentials, now)
    certificate = x509.load_pem_x509_certificate((tmp_path / "certificate.pem").read_bytes())
    extensions = {extension.oid.dotted_string: extension.value for extension in certificate.extensions}
    texts = {
        key: value.value for key, value in extensions.items() if isinstance(value, x509.UnrecognizedExtension)
    }
    assert texts["1.3.6.1.4.1.4843.7.1"].endswith(settings["access_point_id"].encode())
    assert texts["1.3.6.1.4.1.4843.7.3"].endswith(settings["file_system_id"].encode())
    assert b"ASIAEXAMPLEEXAMPLE00" in texts["1.3.6.1.4.1.4843.7.2"]
    assert certificate.not_valid_before_utc < now < certificate.not_valid_after_utc
    assert certificate.not_valid_after_utc - now == file_store.VALID
    left = b"".join(path.read_bytes() for path in tmp_path.iterdir())
    assert b"very-secret" not in left
    identifier = extensions["2.5.29.14"]
    assert isinstance(identifier, x509.SubjectKeyIdentifier)
    assert identifier.digest == hashlib.sha1((tmp_path / "public.der").read_bytes()).digest()


# Installation.


def test_a_package_of_another_hash_is_refused_and_not_installed(
    make_server: MakeServer, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    settings = server_settings(
        make_server(package_source="nightly", package_date="20261101", package_sha256="a" * 64)
    )
    monkeypatch.setattr(install, "CACHE", tmp_path)
    monkeypatch.setattr(install, "patient_apt", lambda *arguments: pytest.fail("apt was called"))

    def download(url: str, path: Path) -> str:
        assert url == "https://nightly.odoo.com/19.0/nightly/deb/odoo_19.0.20261101_all.deb"
        path.write_text("something else")
        return "b" * 64

    monkeypatch.setattr(install, "download", download)
    with pytest.raises(
        common.StepError, match=r"has SHA-256 b{64}, but the setting package\.sha256 says a{64}"
    ):
        from_nightly.install_odoo(settings)
    assert list(tmp_path.glob("*.deb")) == []


@pytest.fixture
def package_server(tmp_path: Path) -> Iterator[str]:
    """An HTTP server of one folder; its address."""
    folder = tmp_path / "served"
    folder.mkdir()

    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *arguments: Any) -> None:
            pass

    with http.server.ThreadingHTTPServer(
        ("127.0.0.1", 0), functools.partial(Quiet, directory=folder)
    ) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


@pytest.mark.parametrize("right", [True, False])
def test_a_nightly_package_comes_by_http_and_is_installed_when_its_hash_is_right(
    make_server: MakeServer, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, package_server: str, right: bool
) -> None:
    package = b"package of that night" * 100_000
    (tmp_path / "served" / "odoo.deb").write_bytes(package)
    settings = server_settings(
        make_server(
            package_source="nightly",
            package_date="20261101",
            package_sha256=hashlib.sha256(package if right else b"another").hexdigest(),
        )
    )
    installed: list[bytes] = []
    monkeypatch.setattr(from_nightly, "nightly_url", lambda server: f"{package_server}/odoo.deb")
    monkeypatch.setattr(install, "CACHE", tmp_path)
    monkeypatch.setattr(
        install, "patient_apt", lambda *arguments: installed.append(Path(arguments[-1]).read_bytes())
    )
    if right:
        from_nightly.install_odoo(settings)
        assert installed == [package]
    else:
        with pytest.raises(common.StepError, match=r"but the setting package\.sha256 says"):
            from_nightly.install_odoo(settings)
        assert installed == []
    assert list(tmp_path.glob("*.deb")) == []


def test_a_server_carries_the_source_of_its_own_package_alone(make_server: MakeServer) -> None:
    def carried(**changes: Any) -> set[str]:
        paths = (file["path"] for file in cloud_config(make_server(**changes))["write_files"])
        return {path.rsplit("/", 1)[1] for path in paths if "/from_" in path}

    nightly = {"package_source": "nightly", "package_date": "20261101", "package_sha256": "a" * 64}
    assert carried(**nightly) == {"from_nightly.py"}
    assert carried(package_source="debian") == {"from_debian.py"}
    assert carried(package_source="image") == set()


def test_a_download_is_hashed_as_it_comes(tmp_path: Path) -> None:
    (tmp_path / "from").write_bytes(b"package")
    found = install.download((tmp_path / "from").as_uri(), tmp_path / "to")
    assert found == hashlib.sha256(b"package").hexdigest()
    assert (tmp_path / "to").read_bytes() == b"package"


def test_packages_start_no_service_while_they_are_installed(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(install, "POLICY", tmp_path / "policy-rc.d")
    with pytest.raises(RuntimeError), install.no_service_starts():
        policy = tmp_path / "policy-rc.d"
        assert subprocess.run([str(policy)], check=False).returncode == 101
        raise RuntimeError
    assert not (tmp_path / "policy-rc.d").exists()


@pytest.mark.parametrize(
    ("version", "fits"), [("Odoo Server 19.0-20261101", True), ("Odoo Server 18.0", False)]
)
def test_an_odoo_of_another_release_is_refused(
    settings: common.Server, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, version: str, fits: bool
) -> None:
    program_file = tmp_path / "odoo"
    program_file.write_text(f"#!/bin/sh\necho '{version}'\n")
    program_file.chmod(0o755)
    monkeypatch.setattr(shutil, "which", lambda name: str(program_file))
    if fits:
        install.check_odoo(settings)
    else:
        with pytest.raises(common.StepError, match=r"release says 19\.0"):
            install.check_odoo(settings)


def test_the_addons_folder_is_local_and_only_files_and_sessions_are_shared(
    settings: common.Server, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(os, "chown", lambda path, uid, gid: None)
    places = {key: str(tmp_path / key) for key in ("data_dir", "shared_dir", "log_dir")}
    for _ in range(2):
        install.make_folders({**settings, **places})
    data = tmp_path / "data_dir"
    assert (data / "filestore").readlink() == tmp_path / "shared_dir" / "filestore"
    assert (data / "sessions").readlink() == tmp_path / "shared_dir" / "sessions"
    assert (data / "addons" / "19.0").is_dir()
    assert not (data / "addons").is_symlink()


def test_agents_come_from_the_region_itself(settings: common.Server) -> None:
    for url in agents.package_urls(settings, "arm64").values():
        assert url.startswith("https://")
        assert "eu-west-1" in url
        assert "arm64" in url
        urllib.request.Request(url)


# First start.


@pytest.mark.parametrize(("values", "passed"), [((), None), (("a",), ("a",))])
def test_a_percent_sign_in_a_statement_without_values_is_one(values: Any, passed: Any) -> None:
    """psycopg2 looks for places of values in every statement that comes with some, be it none."""
    seen: list[Any] = []

    class Cursor:
        description = None

        def __enter__(self) -> Cursor:
            return self

        def __exit__(self, *_: object) -> None: ...

        def execute(self, *arguments: Any) -> None:
            seen.append(arguments)

    class Connection:
        autocommit = False

        def cursor(self) -> Cursor:
            return Cursor()

    database = first_start.Database(Connection())
    assert database.rows("select 'x%'", values) == []
    assert seen == [("select 'x%'", passed)]


class FakeDatabase(first_start.Database):
    """A database as far as the first start looks at it; it keeps what is written."""

    def __init__(self, tables: set[str], state: dict[str, str], parameters: dict[str, str]) -> None:
        self.tables, self.kept, self.parameters = tables, state, parameters
        self.installed: set[str] = set()
        self.statements: list[str] = []

    def rows(self, statement: str, values: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        self.statements.append(statement)
        return []

    def has_table(self, name: str) -> bool:
        return name in self.tables

    def state(self, key: str) -> str | None:
        return self.kept.get(key)

    def set_state(self, key: str, value: str) -> None:
        self.kept[key] = value

    def parameter(self, key: str) -> str | None:
        return self.parameters.get(key)

    def missing_modules(self, wanted: Any) -> list[str]:
        return sorted(set(wanted) - self.installed)


@pytest.fixture
def commands(monkeypatch: pytest.MonkeyPatch) -> list[tuple[list[str], str | None]]:
    """Odoo commands as they would run, with what they would read."""
    ran: list[tuple[list[str], str | None]] = []
    monkeypatch.setattr(
        first_start, "odoo", lambda server, conf, arguments, text=None: ran.append((arguments, text))
    )
    monkeypatch.setattr(secret_values, "fetch", lambda server, arn: "it's\\secret")
    return ran


def prepare(settings: common.Server, database: FakeDatabase) -> None:
    first_start.prepare(settings, Path("odoo.conf"), database, "openerp")


def test_an_empty_database_is_made_once_under_the_lock(
    settings: common.Server, commands: list[tuple[list[str], str | None]]
) -> None:
    database = FakeDatabase(set(), {}, {"auth_signup.invitation_scope": "b2b"})
    database.installed = {"base", "web", *settings["modules"]}
    prepare(settings, database)
    assert "pg_advisory_lock" in database.statements[0]
    assert [arguments[0] for arguments, _ in commands] == ["server", "shell"]
    assert database.kept == {
        "environment": "production",
        "origin": "production",
        "release": "19.0",
        "first_start": "done",
    }
    prepare(settings, database)
    assert len(commands) == 2


def test_the_administrators_password_goes_through_standard_input_alone(
    settings: common.Server, commands: list[tuple[list[str], str | None]], capsys: pytest.CaptureFixture[str]
) -> None:
    database = FakeDatabase(set(), {}, {"auth_signup.invitation_scope": "b2b"})
    database.installed = {"base", "web", *settings["modules"]}
    prepare(settings, database)
    assert all("secret" not in " ".join(arguments) for arguments, _ in commands)
    assert "secret" not in capsys.readouterr().err
    script = commands[1][1]
    assert script
    found = [node.value for node in ast.walk(ast.parse(script)) if isinstance(node, ast.Constant)]
    assert "it's\\secret" in found
    assert "b2b" in found


def test_a_module_that_does_not_exist_fails_the_first_start_although_odoo_says_0(
    settings: common.Server, commands: list[tuple[list[str], str | None]]
) -> None:
    database = FakeDatabase(set(), {}, {})
    database.installed = {"base", "web", "crm"}
    with pytest.raises(common.StepError, match="could not be installed in openerp: sale_management"):
        prepare(settings, database)
    assert database.kept["first_start"] == "begun"
    assert len(commands) == 1


def test_a_making_that_was_cut_short_is_taken_up_again(
    settings: common.Server, commands: list[tuple[list[str], str | None]]
) -> None:
    state = {"environment": "production", "first_start": "begun"}
    database = FakeDatabase({"ir_module_module"}, state, {"auth_signup.invitation_scope": "b2b"})
    database.installed = {"base", "web", *settings["modules"]}
    prepare(settings, database)
    assert database.kept["first_start"] == "done"


@pytest.mark.parametrize(
    ("environment", "state", "parameters", "reason"),
    [
        ("training", {"environment": "production"}, {}, "belongs to production, but this server to training"),
        ("production", {"environment": "training"}, {}, "belongs to training"),
        (
            "production",
            {"environment": "production"},
            {"database.is_neutralized": "True"},
            "neutralised copy",
        ),
        (
            "training",
            {"environment": "training", "origin": "production"},
            {},
            "a copy from production that was never neutralised",
        ),
        ("development", {"environment": "development"}, {}, "from elsewhere that was never neutralised"),
        ("production", {}, {}, "says nothing of its environment"),
        ("development", {}, {}, "says nothing of its environment"),
    ],
)
def test_a_database_that_is_not_ours_is_neither_changed_nor_served(
    settings: common.Server,
    commands: list[tuple[list[str], str | None]],
    environment: str,
    state: dict[str, str],
    parameters: dict[str, str],
    reason: str,
) -> None:
    before = dict(state)
    database = FakeDatabase({"ir_module_module"}, state, parameters)
    with pytest.raises(common.StepError, match=reason):
        prepare({**settings, "environment": environment}, database)
    assert commands == []
    assert database.kept == before


@pytest.mark.parametrize(
    ("environment", "origin", "neutralised"),
    [
        ("production", "production", False),
        ("development", "development", False),
        ("training", "training", False),
        ("training", "production", True),
        ("development", "elsewhere", True),
        ("production", "development", False),
    ],
)
def test_a_database_is_served_where_it_was_made_and_elsewhere_when_neutralised(
    environment: str, origin: str, neutralised: bool
) -> None:
    state = {"environment": environment, "origin": origin, "first_start": "done"}
    parameters = {"database.is_neutralized": "true"} if neutralised else {}
    database = FakeDatabase({"ir_module_module"}, state, parameters)
    assert first_start.why_not_ours(database, "openerp", environment) is None


def get(port: int, path: str) -> int:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=5) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as refused:
        return refused.code


def free_ports(number: int) -> list[int]:
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(number)]
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [int(one.getsockname()[1]) for one in sockets]


def test_a_server_without_its_database_is_well_and_asks_for_patience(
    settings: common.Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    port, pages = free_ports(2)
    server = {**settings, "odoo_gevent_port": port, "odoo_http_port": pages}
    answers: list[tuple[int, ...]] = []
    closed: list[str] = []
    database = FakeDatabase({"ir_module_module"}, {"environment": "production", "origin": "production"}, {})
    monkeypatch.setattr(database, "close", lambda: closed.append("x"), raising=False)

    def connect(server: common.Server, name: str) -> FakeDatabase:
        if len(answers) < 2:
            raise OSError("no route to the database")
        return database

    def sleep(seconds: float) -> None:
        answers.append((get(port, "/web/health"), get(port, "/web/login"), get(pages, "/xmlrpc/2/common")))
        ready.login_page_is_served(server)

    monkeypatch.setattr(first_start, "connect", connect)
    monkeypatch.setattr(
        common, "keep_trying", functools.partial(common.keep_trying, sleep=sleep, now=lambda: 0.0)
    )
    serve.wait_for_databases(server, ["openerp", "openerp_test"])
    assert answers == [(200, 503, 503), (200, 503, 503)]
    assert len(closed) == 2
    for freed in (port, pages):
        with socket.socket() as again:
            again.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            again.bind(("127.0.0.1", freed))


def test_a_database_that_an_operator_has_closed_is_not_served_until_it_is_open(
    settings: common.Server, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    port, pages = free_ports(2)
    server = {**settings, "odoo_gevent_port": port, "odoo_http_port": pages}
    place = f"{settings['database_host']}:{settings['database_port']}"
    kept = {"environment": "production", "origin": "production", "closed": place}
    database = FakeDatabase({"ir_module_module"}, kept, {})
    monkeypatch.setattr(database, "close", lambda: None, raising=False)
    monkeypatch.setattr(first_start, "connect", lambda server, name: database)
    answers: list[tuple[int, str | None]] = []

    def sleep(seconds: float) -> None:
        request = urllib.request.Request(f"http://127.0.0.1:{pages}/jsonrpc", data=b"{}", method="POST")
        try:
            urllib.request.urlopen(request, timeout=5)
        except urllib.error.HTTPError as refused:
            answers.append((refused.code, refused.headers["Retry-After"]))
            assert b"Closed for a moment" in refused.read()
        if len(answers) == 2:
            del kept["closed"]

    monkeypatch.setattr(
        common, "keep_trying", functools.partial(common.keep_trying, sleep=sleep, now=lambda: 0.0)
    )
    serve.wait_for_databases(server, ["openerp"])
    assert answers == [(503, "5"), (503, "5")]
    assert "openerp is closed" in capsys.readouterr().err


def test_what_was_restored_from_a_copy_of_a_closed_database_is_open(
    settings: common.Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept = {"environment": "production", "origin": "production", "closed": "another.host:5432"}
    database = FakeDatabase({"ir_module_module"}, kept, {})
    monkeypatch.setattr(database, "close", lambda: None, raising=False)
    monkeypatch.setattr(first_start, "connect", lambda server, name: database)
    assert serve.banner_of(settings, "openerp") == "PRODUCTION SYSTEM"


def test_odoo_is_not_started_on_a_database_that_is_not_ours(
    settings: common.Server,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
) -> None:
    ours = FakeDatabase({"ir_module_module"}, {"environment": "production"}, {})
    copied = FakeDatabase({"ir_module_module"}, {"environment": "training"}, {})
    for database in (ours, copied):
        monkeypatch.setattr(database, "close", lambda: None, raising=False)
    monkeypatch.setattr(common, "CONFIG_DIR", tmp_path)
    (tmp_path / "server.json").write_text(json.dumps(settings))
    started: list[list[str]] = []
    monkeypatch.setattr(os, "execvp", lambda file, arguments: started.append(arguments))
    monkeypatch.setattr(
        first_start, "connect", lambda server, name: copied if name == "openerp_test" else ours
    )
    assert program.main(["serve"]) == 78
    assert started == []
    assert "openerp_test belongs to training, but this server to production" in capsys.readouterr().err
    copied.kept["environment"] = "production"
    assert program.main(["serve"]) == 0
    assert started == [["odoo", "--config", str(tmp_path / "odoo.conf")]]


def test_a_tenants_instance_looks_at_its_own_database_with_its_own_role(
    settings: common.Server, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(common, "CONFIG_DIR", tmp_path)
    (tmp_path / "tenants").mkdir()
    (tmp_path / "tenants" / "acme.json").write_text(
        json.dumps({"database_name": "acme", "database_role": "openerp_app_acme"})
    )
    seen: list[tuple[str, list[str]]] = []

    def wait(server: common.Server, names: list[str]) -> str:
        seen.append((server["database_role"], names))
        return ""

    monkeypatch.setattr(serve, "wait_for_databases", wait)
    monkeypatch.setattr(os, "execvp", lambda file, arguments: seen.append((file, arguments)))
    serve.serve(settings, "acme")
    assert seen == [
        ("openerp_app_acme", ["acme"]),
        ("odoo", ["odoo", "--config", str(tmp_path / "tenants" / "acme.conf")]),
    ]


@pytest.mark.parametrize(
    ("environment", "banner", "shown"),
    [
        ("production", None, None),
        ("training", None, "TRAINING SYSTEM"),
        ("development", None, "DEVELOPMENT SYSTEM"),
        ("training", "TRAINING SYSTEM - copy of production", "TRAINING SYSTEM - copy of production"),
        ("production", "anything", None),
    ],
)
def test_odoo_is_told_what_its_pages_say_of_the_system(
    settings: common.Server,
    monkeypatch: pytest.MonkeyPatch,
    environment: str,
    banner: str | None,
    shown: str | None,
) -> None:
    state = {"environment": environment, "origin": environment, **({"banner": banner} if banner else {})}
    database = FakeDatabase({"ir_module_module"}, state, {})
    monkeypatch.setattr(database, "close", lambda: None, raising=False)
    monkeypatch.setattr(first_start, "connect", lambda server, name: database)
    told: list[str | None] = []
    monkeypatch.setattr(os, "environ", dict(os.environ))
    monkeypatch.setattr(os, "execvp", lambda file, arguments: told.append(os.environ.get("OPENERP_BANNER")))
    serve.serve({**settings, "environment": environment})
    assert told == [shown]


def test_a_file_store_that_is_not_mounted_stops_the_first_start(
    settings: common.Server, tmp_path: Path
) -> None:
    with pytest.raises(common.StepError, match="not mounted"):
        first_start.check_file_store({**settings, "shared_dir": str(tmp_path)})


# Tenants.


TENANT = {
    "name": "acme",
    "database": "acme",
    "role": "openerp_app_acme",
    "host": "acme.example.com",
    "secret_arn": "arn:aws:secretsmanager:eu-west-1:123456789012:secret:acme-AbCdEf",
    "administrator_secret_arn": "arn:aws:secretsmanager:eu-west-1:123456789012:secret:admin-AbCdEf",
}


def test_a_tenant_that_would_break_a_file_is_refused() -> None:
    assert tenants.read_tenant(json.dumps(TENANT)) == TENANT
    for key, value in (
        ("name", "../x"),
        ("host", "x;\nserver"),
        ("database", "a b"),
        ("role", ""),
        ("secret_arn", "hunter2"),
        ("administrator_secret_arn", ""),
    ):
        with pytest.raises(ValueError, match=key):
            tenants.read_tenant(json.dumps({**TENANT, key: value}))
    with pytest.raises(ValueError, match="not a JSON object"):
        tenants.read_tenant("[]")


@given(st.sets(st.text("abc", min_size=1, max_size=3)), st.sets(st.text("abc", min_size=1, max_size=3)))
def test_a_tenant_keeps_its_port_and_no_two_share_one(before: set[str], after: set[str]) -> None:
    first = tenants.assign_ports({}, before)
    second = tenants.assign_ports(first, after)
    assert set(second) == after
    assert len(set(second.values())) == len(after)
    assert all(second[name] == first[name] for name in before & after)


def test_a_tenants_instance_reaches_one_database_with_its_own_role(make_server: MakeServer) -> None:
    server = make_server(**SAAS)
    base = next(
        file["content"]
        for file in cloud_config(server)["write_files"]
        if file["path"] == "/etc/openerp/odoo.conf"
    )
    parser = configparser.RawConfigParser()
    parser.read_string(tenants.odoo_configuration(base, TENANT, 20007))
    options = parser["options"]
    assert options["db_user"] == "openerp_app_acme"
    assert options["db_name"] == "acme"
    assert options["dbfilter"] == "^acme$"
    assert options["http_port"] == "20007"
    assert options["workers"] == "0"
    assert options["max_cron_threads"] == "1"
    assert options["list_db"] == "False"
    assert options["admin_passwd"] == ""
    assert options["db_sslmode"] == "verify-full"


def test_nginx_serves_a_tenant_by_its_host_name_alone(make_server: MakeServer) -> None:
    text = tenants.nginx_configuration(server_settings(make_server(**SAAS)), TENANT, 20007)
    assert "server_name acme.example.com;" in text
    assert f"listen {names.APP_TARGET_PORT};" in text
    assert "server 127.0.0.1:20007" in text


def test_new_tenants_start_and_removed_ones_stop(
    make_server: MakeServer, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(common, "CONFIG_DIR", tmp_path)
    monkeypatch.setattr(common, "RUN_DIR", tmp_path / "run")
    monkeypatch.setattr(os, "fchown", lambda *arguments: None)
    monkeypatch.setattr(secret_values, "fetch", lambda server, arn: "pw")
    ran: list[str] = []
    monkeypatch.setattr(common, "run", lambda command, **options: ran.append(" ".join(command)))
    server = make_server(**SAAS)
    (tmp_path / "tenants").mkdir()
    base = next(f["content"] for f in cloud_config(server)["write_files"] if f["path"].endswith("odoo.conf"))
    (tmp_path / "odoo.conf").write_text(base)
    settings = server_settings(server)

    monkeypatch.setattr(tenants, "fetch_tenants", lambda server: {"acme": TENANT})
    tenants.reconcile(settings)
    assert ran == [
        "systemctl restart --no-block odoo-tenant@acme.service",
        "systemctl reload openerp-nginx.service",
    ]
    ran.clear()
    tenants.reconcile(settings)
    assert ran == ["systemctl start --no-block odoo-tenant@acme.service"]

    ran.clear()
    monkeypatch.setattr(tenants, "fetch_tenants", lambda server: {})
    tenants.reconcile(settings)
    assert ran[0].startswith("systemctl stop odoo-tenant@acme.service")
    assert ran[-1] == "systemctl reload openerp-nginx.service"
    assert [path.name for path in (tmp_path / "tenants").iterdir()] == ["ports.json"]
    assert list((tmp_path / "run" / "tenants").iterdir()) == []


# What travels.


def without_annotation(part: Any) -> Any:
    """Return `x = 1` for `x: int = 1`."""
    if isinstance(part, ast.AnnAssign) and part.value:
        return ast.Assign(targets=[part.target], value=part.value, type_comment=None)
    return part


def what_runs(source: str) -> str:
    """Return the syntax of `source` less docstrings, annotations and what only type checkers read."""
    tree = ast.parse(source)
    tree.body = [
        part
        for part in tree.body
        if not (isinstance(part, ast.If) and ast.unparse(part.test) == "TYPE_CHECKING")
    ]
    for node in ast.walk(tree):
        for name, value in ast.iter_fields(node):
            if isinstance(value, list):
                plain = [without_annotation(part) for part in value]
                setattr(node, name, plain)
        if isinstance(node, ast.arg):
            node.annotation = None
        if isinstance(node, ast.FunctionDef):
            node.returns = None
        body = getattr(node, "body", None)
        if isinstance(body, list):
            kept = [
                part
                for part in body
                if not (isinstance(part, ast.Expr) and isinstance(part.value, ast.Constant))
            ]
            node.body = kept or ([] if isinstance(node, ast.Module) else [ast.Pass()])  # type: ignore[attr-defined]  # every node with a body
    used = {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)}
    for part in tree.body:
        if isinstance(part, ast.Import | ast.ImportFrom):
            part.names = [name for name in part.names if (name.asname or name.name).split(".")[0] in used]
    tree.body = [part for part in tree.body if getattr(part, "names", True)]
    return ast.dump(tree)


@pytest.mark.parametrize(
    "path", sorted(FOLDER.parent.glob("*/*.py")), ids=lambda path: f"{path.parent.name}/{path.name}"
)
def test_scripts_travel_without_comments_and_do_the_same(path: Path) -> None:
    source = path.read_text()
    bare = bare_source(source)
    assert what_runs(bare) == what_runs(source)
    assert len(bare) < len(source)


def test_bare_source_keeps_what_only_looks_like_a_comment() -> None:
    source = (
        'def f(a: int = 1) -> str:\n    """Doc."""\n    # gone\n    return f"""# kept\n\n  {a}"""  # gone\n'
    )
    bare = bare_source(source)
    assert bare == 'def f(a=1):\n\treturn f"""# kept\n\n  {a}"""\n'


def test_bare_source_closes_up_what_stands_apart_for_people_alone() -> None:
    source = """\
def f(
    *values,
    name="a",
):
    result: list[str] = [
        f"{ name !r} of "
        f"{len( values )}",
        "x" "y",
        "" "z",
        1 if not values else - 1,
    ]
    return result if values is not None and "a" in values else lambda x : x
"""
    bare = bare_source(source)
    assert bare == (
        'def f(*values,name="a",):\n'
        '\tresult=[f"{ name !r} of "f"{len( values )}","x" "y","" "z",1 if not values else-1,]\n'
        '\treturn result if values is not None and"a"in values else lambda x:x\n'
    )
    results: list[Any] = []
    for text in (source, bare):
        names: dict[str, Any] = {}
        exec(text, names)
        results.append(names["f"]("a", "b"))
    assert results[0] == results[1]


def test_bare_source_keeps_the_imports_that_run_and_no_others() -> None:
    source = (
        "from __future__ import annotations\nimport os.path, sys\nfrom typing import TYPE_CHECKING, Any\n"
        "if TYPE_CHECKING:\n    from x import y\ndef f(a: Any) -> y:\n    if a:\n        return os.path.sep\n"
    )
    assert bare_source(source) == "import os.path\ndef f(a):\n\tif a:\n\t\treturn os.path.sep\n"


@pytest.mark.skipif(
    shutil.which("shellcheck") is None, reason="no shellcheck on PATH: the launcher is not checked"
)
def test_the_launcher_is_clean_shell() -> None:
    subprocess.run(["shellcheck", str(FOLDER.parent / "openerp-server")], check=True)


def test_every_step_that_a_unit_runs_exists(server: ServerConfiguration) -> None:
    wanted = {
        line.split()[1]
        for file in cloud_config(server)["write_files"]
        for line in file["content"].splitlines()
        if line.startswith("ExecStart=/usr/local/sbin/openerp-server")
    }
    assert wanted <= {*program.STEPS, "tenants", "modules"}


def test_odoo_comes_from_the_mirror_that_the_machine_is_set_up_with(monkeypatch: pytest.MonkeyPatch) -> None:
    listed = "https://mirror.example/debian-security/\nhttps://mirror.example/debian/\n"
    monkeypatch.setattr(common, "run", lambda command, **_: listed)
    assert from_debian.mirror() == "https://mirror.example/debian/"
    assert from_debian.mirror() in from_debian.SID_SOURCE.format(mirror=from_debian.mirror())
    monkeypatch.setattr(common, "run", lambda command, **_: "")
    with pytest.raises(common.StepError, match="no source of Debian"):
        from_debian.mirror()
