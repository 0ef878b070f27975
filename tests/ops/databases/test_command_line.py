"""`python -m ops dump` and `load`, as an operator types them."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import boto3
import pytest
from moto import mock_aws
from typer.testing import CliRunner, Result

from ops.__main__ import app
from tests.ops.databases.conftest import BINARIES, Place
from tests.ops.databases.test_dump_and_load import ROOT, assert_nothing_of, content


def arguments(place: Place, password: Path) -> list[str]:
    password.write_text(place.server.password + "\n")
    return [
        *("--host", "127.0.0.1", "--port", str(place.server.port), "--user", place.server.user),
        *("--password-file", str(password), "--files", str(place.files), "--postgres-bin", BINARIES),
    ]


def run(*words: str) -> Result:
    return CliRunner().invoke(app, list(words), env={"COLUMNS": "200", "NO_COLOR": "1"})


def assert_one_clear_message(result: Result, said: str) -> None:
    assert result.exit_code == 1
    assert isinstance(result.exception, SystemExit)
    assert result.stderr.startswith("error: ")
    assert len(result.stderr.splitlines()) == 1
    assert said in result.stderr


def test_the_help_teaches_both_commands() -> None:
    assert {"dump", "load"} <= set(run("--help").stdout.split())
    assert "manifest.json" in run("dump", "--help").stdout
    assert "neutralise it before a server" in run("load", "--help").stdout


def test_the_whole_way_for_a_person(place: Place, tmp_path: Path) -> None:
    name, target, dumped = place.make(), place.new_name(), str(tmp_path / "dump")
    way = arguments(place, tmp_path / "word")
    planned = run("dump", name, dumped, *way, "--dry-run")
    assert planned.exit_code == 0, planned.stderr
    assert "compression" in planned.stdout
    assert not Path(dumped).exists()
    made = run("dump", name, dumped, *way)
    assert made.exit_code == 0, made.stderr
    assert f"dumped {name} to {dumped}: release 19.0, 1 modules, 20 files" in made.stdout
    verified = run("load", dumped, target, "--copy", *way, "--dry-run")
    assert "verified, nothing was made" in verified.stdout
    loaded = run("load", dumped, target, "--move", *way)
    assert loaded.exit_code == 0, loaded.stderr
    assert "(kept: stop the original)" in loaded.stdout
    assert content(place, target) == content(place, name)
    assert_one_clear_message(run("load", dumped, target, "--copy", *way), "never goes over one")


def test_the_whole_way_for_a_machine(place: Place, tmp_path: Path) -> None:
    name, target, dumped = place.make(), place.new_name(), str(tmp_path / "dump")
    way = arguments(place, tmp_path / "word")
    planned = json.loads(run("dump", name, dumped, *way, "--dry-run", "--json").stdout)
    assert planned["files"] == 20
    made = json.loads(run("dump", name, dumped, *way, "--json", "--label", "before").stdout)
    assert (made["label"], made["file_count"], made["destination"]) == ("before", 20, dumped)
    loaded = json.loads(run("load", dumped, target, "--copy", *way, "--json").stdout)
    assert loaded["loaded"] == target
    assert loaded["dump"]["label"] == "before"
    assert loaded["database_uuid"] != made["database_uuid"]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("load", "here", "new", "--no-files", "--host", "db", "--user", "u"), "--copy or --move?"),
        (("load", "here", "new", "--copy"), "--files or --no-files?"),
        (("dump", "x", "here"), "--files or --no-files?"),
        (("dump", "x", "here", "--no-files"), "which server?"),
        (("dump", "x", "here", "--no-files", "--stack", "../x"), "no name of a stack"),
        (("dump", "x", "here", "--no-files", "--stack", "x", "--outputs", "/nowhere"), "cannot be read"),
        (
            (
                "dump",
                "x",
                "here",
                "--no-files",
                "--host",
                "db",
                "--user",
                "u",
                "--password-file",
                "/dev/null",
            ),
            "is empty",
        ),
    ],
)
def test_what_is_missing_is_one_clear_line(words: tuple[str, ...], said: str) -> None:
    assert_one_clear_message(run(*words), said)


def test_errors_of_the_server_are_one_clear_line(place: Place, tmp_path: Path) -> None:
    way = arguments(place, tmp_path / "word")
    assert_one_clear_message(
        run("dump", "nowhere", str(tmp_path / "d"), *way), 'database "nowhere" does not exist'
    )
    assert_one_clear_message(run("load", str(tmp_path / "d"), "new", "--copy", *way), "there is no dump at")
    way[3] = "1"
    assert_one_clear_message(run("dump", "x", str(tmp_path / "d"), *way), "cannot be used")


def test_being_told_to_stop_leaves_nothing_and_says_so(place: Place, tmp_path: Path) -> None:
    name, dumped = place.make(attachments=3000, sizes=(20_000,)), tmp_path / "dump"
    target = place.new_name()
    way = arguments(place, tmp_path / "word")
    assert run("dump", name, str(dumped), *way).exit_code == 0
    process = subprocess.Popen(
        [sys.executable, "-m", "ops", "load", str(dumped), target, "--copy", *way],
        cwd=ROOT,
        env=os.environ,
        stderr=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    while process.poll() is None and not list(place.files.glob(".loading*")):
        pass
    process.send_signal(signal.SIGTERM)
    _, said = process.communicate(timeout=60)
    assert process.returncode == 130
    assert said == "stopped: what was made so far was removed\n"
    assert_nothing_of(place, target)


def test_a_stack_names_server_secrets_and_owner(
    place: Place, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    name, target = place.make(), place.new_name()
    with place.cluster.connect() as superuser:
        superuser.execute("create role openerp_app; grant openerp_app to master")
    for variable in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(variable, "testing")
    monkeypatch.delenv("AWS_ENDPOINT_URL", raising=False)
    with mock_aws():
        secret = {"username": place.server.user, "password": place.server.password}
        made = boto3.client("secretsmanager", region_name="eu-west-1").create_secret(
            Name="login", SecretString=json.dumps(secret)
        )
        outputs = {
            "database_address": "127.0.0.1",
            "database_port": place.server.port,
            "region": "eu-west-1",
            "master_secret_arn": made["ARN"],
            "application_secret_arns": {name: made["ARN"]},
        }
        (tmp_path / "outputs.json").write_text(json.dumps(outputs))
        way = [
            *("--stack", "prod", "--outputs", str(tmp_path / "outputs.json"), "--files", str(place.files)),
            *("--postgres-bin", BINARIES),
        ]
        dumped = run("dump", name, str(tmp_path / "dump"), *way)
        assert dumped.exit_code == 0, dumped.stderr
        assert_one_clear_message(run("dump", "other", str(tmp_path / "o"), *way), "has no database 'other'")
        loaded = run("load", str(tmp_path / "dump"), target, "--copy", *way)
        assert loaded.exit_code == 0, loaded.stderr
    owner = "select pg_get_userbyid(datdba) from pg_database where datname = current_database()"
    assert place.sql(target, owner) == [("openerp_app",)]
