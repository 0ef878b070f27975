"""How a command reaches the server: TLS, passwords that nobody sees, programs of the right release."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import boto3
import pytest
from moto import mock_aws

from core import outputs as names
from local.postgres.certificates import AUTHORITY
from ops.databases import connection, programs
from ops.databases.access import Way, server
from ops.databases.connection import Server
from ops.databases.dump import dump
from ops.databases.errors import DatabaseError
from ops.databases.folder import Folder
from ops.databases.load import load
from tests.ops.databases.conftest import BINARIES, PASSWORD, Place

NOWHERE = Server(host="db.example.com", port=5432, user="u", password="word")


def way(**changed: Any) -> Way:
    values: dict[str, Any] = dict.fromkeys(
        ("outputs", "host", "port", "user", "password_file", "through", "ca")
    )
    return Way(**values | changed)


def no_client(_service: str, _region: str) -> Any:
    raise AssertionError


def test_a_server_that_nothing_proves_is_refused_unless_it_is_this_machine(tmp_path: Path) -> None:
    with pytest.raises(DatabaseError, match=r"--ca is needed.*global-bundle\.pem"):
        NOWHERE.check()
    with pytest.raises(DatabaseError, match="there is no file"):
        replace(NOWHERE, ca=tmp_path / "none.pem").check()
    replace(NOWHERE, host="localhost").check()
    replace(NOWHERE, address="127.0.0.1").check()
    assert "sslmode='verify-full'" in replace(NOWHERE, ca=Path("a.pem")).conninfo("x")


def test_the_certificate_is_checked_for_the_server_s_own_name_through_a_tunnel_too(place: Place) -> None:
    own = replace(place.server, ca=place.cluster.directory.parent / AUTHORITY)
    with own.connect("postgres") as opened:
        assert opened.info.parameter_status("server_version")
        assert opened.pgconn.ssl_in_use
    rds = f"{place.cluster.directory.name}.rds.amazonaws.com"
    with replace(own, host=rds, address="127.0.0.1").connect("postgres") as opened:
        assert opened.pgconn.ssl_in_use
    with pytest.raises(DatabaseError, match=r"cannot be used: .*does not match host name"):
        replace(own, host="another.example.com", address="127.0.0.1").connect("postgres")


def test_a_wrong_password_is_one_line(place: Place) -> None:
    with pytest.raises(DatabaseError, match="password authentication failed"):
        replace(place.server, password="wrong").connect("postgres")
    with pytest.raises(DatabaseError, match="does not exist"):
        place.server.connect("nowhere")


def test_a_name_cannot_smuggle_parameters_in() -> None:
    from psycopg.conninfo import conninfo_to_dict

    odd = "a' host=evil \\' dbname='x"
    assert conninfo_to_dict(NOWHERE.conninfo(odd))["dbname"] == odd


@pytest.mark.parametrize("memory", [True, False])
def test_the_password_is_in_no_environment_and_its_file_is_gone_afterwards(
    memory: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not memory:
        monkeypatch.delattr(os, "memfd_create", raising=False)
    monkeypatch.setenv("PGPASSWORD", "of another")
    odd = replace(NOWHERE, password="a:b\\c word")
    with odd.environment(work_mem="1MB") as (environment, _descriptors):
        path = Path(environment["PGPASSFILE"])
        assert path.read_text() == "db.example.com:5432:*:u:a\\:b\\\\c word\n"
        assert path.stat().st_mode & 0o077 == 0
        assert "c word" not in " ".join(environment.values())
        assert environment.keys() <= {
            *("PATH", "TMPDIR", "TZ", "LC_ALL", "PGCLIENTENCODING", "PGOPTIONS", "PGPASSFILE")
        }
    assert not path.exists()


def test_the_password_is_in_no_argument_of_a_program(place: Place, tmp_path: Path) -> None:
    seen, bin_ = tmp_path / "seen", tmp_path / "bin"
    bin_.mkdir()
    for program in ("pg_dump", "pg_restore"):
        (bin_ / program).write_text(
            f"#!/bin/sh\n{{ echo \"$@\"; tr '\\0' '\\n' < /proc/$$/environ; }} >> '{seen}'\n"
            f'exec {BINARIES}/{program} "$@"\n'
        )
        (bin_ / program).chmod(0o755)
    name, target = place.make(), place.new_name()
    dump(place.dump_request(name, postgres_bin=str(bin_)), place.server, Folder(tmp_path / "dump"))
    load(place.load_request(target, postgres_bin=str(bin_)), place.server, Folder(tmp_path / "dump"))
    assert "--dbname=" in seen.read_text()
    assert PASSWORD not in seen.read_text()
    assert PASSWORD.replace("\\", "\\\\").replace(":", "\\:") not in seen.read_text()
    assert repr(place.server).count(PASSWORD) == 0


def fake(directory: Path, major: int, *, zstd: bool) -> str:
    directory.mkdir()
    refusal = "" if zstd else 'echo "pg_dump: error: unsupported compress: zstd" >&2; exit 1;'
    for program in ("pg_dump", "pg_restore"):
        (directory / program).write_text(
            f'#!/bin/sh\n[ "$1" = --version ] && echo "{program} (PostgreSQL) {major}.3" && exit\n'
            f'{refusal} echo "could not connect" >&2; exit 1\n'
        )
        (directory / program).chmod(0o755)
    return str(directory)


def test_programs_older_than_the_server_are_refused(tmp_path: Path) -> None:
    old = fake(tmp_path / "old", 15, zstd=True)
    with pytest.raises(DatabaseError, match=r"runs PostgreSQL 17.*15 in .*install postgresql-client-17"):
        programs.find(17, old)
    with pytest.raises(DatabaseError, match="found: none"):
        programs.find(17, str(tmp_path / "empty"))


@pytest.mark.parametrize("zstd", [True, False])
def test_whether_pg_dump_has_zstd_is_asked(tmp_path: Path, zstd: bool) -> None:
    assert programs.find(17, fake(tmp_path / "bin", 17, zstd=zstd)).zstd is zstd


def test_a_dump_that_pg_restore_cannot_decompress_is_refused_before_anything_is_made(
    place: Place, tmp_path: Path
) -> None:
    name, dumped = place.make(), tmp_path / "dump"
    manifest = dump(place.dump_request(name), place.server, Folder(dumped))
    assert manifest.compression == "none"
    zstd = manifest.model_copy(update={"compression": "zstd"})
    (dumped / "manifest.json").write_text(zstd.text())
    with pytest.raises(DatabaseError, match="was built without zstd"):
        load(place.load_request(place.new_name()), place.server, Folder(dumped))
    newer = manifest.model_copy(update={"server_version": "99.1"})
    (dumped / "manifest.json").write_text(newer.text())
    with pytest.raises(DatabaseError, match="the same release or a newer one"):
        load(place.load_request(place.new_name()), place.server, Folder(dumped))


def test_what_a_program_says_becomes_one_line() -> None:
    said = "pg_restore: error: could not execute query: ERROR:  no\nCommand was: x\n"
    assert programs.complaint("pg_restore", said) == "pg_restore: could not execute query: ERROR:  no"
    assert programs.complaint("pg_dump", "") == "pg_dump: it said nothing"
    assert "built without TLS" in programs.complaint("pg_dump", "x: SSL support is not compiled in")


def test_explicit_server_with_its_password_from_a_file(tmp_path: Path) -> None:
    (tmp_path / "word").write_text("secret\n")
    found = server(
        way(host="db", user="me", password_file=str(tmp_path / "word"), through="[::1]:15432"),
        database=None,
        client=no_client,
        ask=lambda _: "asked",
    )
    assert (found.host, found.port, found.address, found.password) == ("db", 15432, "::1", "secret")
    asked = server(way(host="db", user="me"), database=None, client=no_client, ask=lambda _: "asked")
    assert (asked.port, asked.password) == (5432, "asked")


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({}, "which server"),
        ({"host": "db"}, "which server"),
        ({"host": "db", "user": "u", "password_file": "/nowhere"}, "cannot be read"),
        ({"host": "db", "user": "u", "password_file": "/dev/null"}, "is empty"),
        ({"host": "db", "user": "u", "through": "here"}, "not ADDRESS:PORT"),
        ({"outputs": {}, "host": "db"}, "leave --host and --user out"),
        ({"outputs": {}}, "has no output database_address"),
    ],
)
def test_what_does_not_say_which_server_is_refused(changed: dict[str, Any], said: str) -> None:
    with pytest.raises(DatabaseError, match=said):
        server(way(**changed), database=None, client=no_client, ask=lambda _: "x")


@pytest.fixture
def secrets(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"):
        monkeypatch.setenv(name, "testing")
    monkeypatch.delenv("AWS_ENDPOINT_URL", raising=False)
    with mock_aws():
        yield boto3.client("secretsmanager", region_name="eu-west-1")


def test_a_stack_names_the_server_and_the_secrets(secrets: Any) -> None:
    def made(name: str, content: object) -> str:
        return str(secrets.create_secret(Name=name, SecretString=json.dumps(content))["ARN"])

    outputs = {
        names.DATABASE_ADDRESS: "db.example.com",
        names.DATABASE_PORT: 5432,
        names.REGION: "eu-west-1",
        names.MASTER_SECRET_ARN: made("master", {"username": "openerp", "password": "m"}),
        names.APPLICATION_SECRET_ARNS: {
            "working": made("application", {"username": "openerp_app", "password": "a"}),
            "broken": made("broken", {"password": "a"}),
        },
    }

    def found(database: str | None) -> Server:
        return server(
            way(outputs=outputs),
            database=database,
            client=lambda service, region: boto3.client(service, region_name=region),
            ask=lambda _: "x",
        )

    assert (found("working").user, found("working").password) == ("openerp_app", "a")
    assert (found(None).user, found(None).password) == ("openerp", "m")
    with pytest.raises(DatabaseError, match="has no database 'other'; it has: broken, working"):
        found("other")
    with pytest.raises(DatabaseError, match="holds no `username` and `password`"):
        found("broken")
    assert connection.credentials({"username": "u", "password": "p"}, "arn") == ("u", "p")
