"""`python -m ops`, as an operator types it."""

from __future__ import annotations

import json
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from moto import mock_aws
from typer.testing import CliRunner, Result

from ops.__main__ import app
from tests.ops.authority import Authority, stack_outputs


@pytest.fixture(scope="module")
def authority() -> Authority:
    return Authority()


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty working directory, and a PATH with no `pulumi` on it."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "bin").mkdir()
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    return tmp_path


def run(*arguments: str, given: str | None = None) -> Result:
    return CliRunner().invoke(app, list(arguments), input=given, env={"COLUMNS": "200", "NO_COLOR": "1"})


def assert_one_clear_message(result: Result, said: str) -> None:
    assert result.exit_code == 1
    assert isinstance(result.exception, SystemExit)
    assert result.stderr.startswith("error: ")
    assert len(result.stderr.splitlines()) == 1
    assert said in result.stderr


def pulumi_on_path(here: Path, script: str) -> None:
    path = here / "bin" / "pulumi"
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)


def test_the_help_names_every_command() -> None:
    text = run("--help").stdout
    assert all(name in text for name in ("bootstrap", "clients", "preview-report", "service-sheet"))


def test_every_command_explains_itself_and_its_options() -> None:
    for name in ("bootstrap", "clients", "preview-report", "service-sheet"):
        result = run(name, "--help")
        assert result.exit_code == 0
        assert "--" in result.stdout


def test_clients_writes_the_folder_of_the_stack_from_a_file(here: Path, authority: Authority) -> None:
    (here / "outputs.json").write_text(json.dumps(stack_outputs(authority)))
    result = run("clients", "--stack", "dev", "--outputs", "outputs.json")
    assert result.exit_code == 0
    assert "dist/dev/index.html" in result.stdout.splitlines()
    assert stat.S_IMODE((here / "dist" / "dev").stat().st_mode) == 0o700
    assert "(dev)" in (here / "dist" / "dev" / "index.html").read_text()


def test_clients_reads_standard_input_and_writes_where_it_is_told(here: Path, authority: Authority) -> None:
    given = json.dumps(stack_outputs(authority))
    result = run("clients", "--stack", "dev", "--outputs", "-", "--target", "elsewhere", given=given)
    assert result.exit_code == 0
    assert "(dev)" in (here / "elsewhere" / "index.html").read_text()


def test_clients_asks_pulumi_on_the_path(here: Path, authority: Authority) -> None:
    (here / "outputs.json").write_text(json.dumps(stack_outputs(authority)))
    printed = f'while read -r line; do echo "$line"; done < "{here}/outputs.json"; printf "%s" "$line"'
    pulumi_on_path(here, f'echo "$@" > "{here}/asked"; {printed}')
    result = run("clients", "--stack", "dev")
    assert result.exit_code == 0, result.stderr
    asked = (here / "asked").read_text()
    assert asked == "stack output --json --show-secrets --stack dev\n"


def test_without_pulumi_and_outputs_the_message_says_how_to_go_on(here: Path) -> None:
    assert_one_clear_message(run("clients", "--stack", "dev"), "--outputs")


def test_what_pulumi_says_is_passed_on(here: Path) -> None:
    pulumi_on_path(here, 'echo "no stack named dev found" >&2; exit 255')
    assert_one_clear_message(run("clients", "--stack", "dev"), "no stack named dev found")


def test_a_stack_that_was_never_brought_up_is_said_to_be(here: Path) -> None:
    pulumi_on_path(here, "echo '{}'")
    assert_one_clear_message(run("clients", "--stack", "dev"), "pulumi up --stack dev")


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (None, "cannot be read"),
        ("", "it is empty"),
        ("[1]", "no JSON object"),
        ("{", "holds no JSON"),
        ("{}", "not the outputs of a stack"),
        (b"\xff\xfe", "not a text file"),
    ],
)
def test_outputs_that_cannot_be_used_are_one_clear_message(here: Path, content: Any, said: str) -> None:
    if content is not None:
        data = content if isinstance(content, bytes) else content.encode()
        (here / "outputs.json").write_bytes(data)
    assert_one_clear_message(run("clients", "--stack", "dev", "--outputs", "outputs.json"), said)


@pytest.mark.parametrize("stack", ["../up", "a/b", "", "..", "a b"])
def test_a_stack_name_that_is_no_directory_name_is_refused(here: Path, stack: str) -> None:
    assert_one_clear_message(run("clients", "--stack", stack, "--outputs", "x"), "--stack")


def test_an_expired_certificate_is_one_clear_message(here: Path, authority: Authority) -> None:
    from datetime import UTC, datetime

    outputs = stack_outputs(authority)
    certificate, key = authority.issue("anna", start=datetime(2020, 1, 1, tzinfo=UTC))
    outputs["client_certificates"]["1"] |= {"certificate_pem": certificate, "private_key_pem": key}
    given = json.dumps(outputs)
    assert_one_clear_message(
        run("clients", "--stack", "dev", "--outputs", "-", given=given), "(anna) expired"
    )
    assert not (here / "dist").exists()


def test_the_preview_report_reads_standard_input_by_itself() -> None:
    result = run("preview-report", "--stack", "prod", given=json.dumps({"changeSummary": {"same": 7}}))
    assert result.stdout.startswith("<!-- openerp-preview:prod -->\n")
    assert "no changes" in result.stdout


def test_a_preview_report_of_something_else_is_one_clear_message() -> None:
    assert_one_clear_message(run("preview-report", "--stack", "prod", given="{}"), "pulumi preview --json")


def test_the_service_sheet_prints_the_page_or_its_figures(here: Path) -> None:
    outputs = {"service_sheet": {"data": {"users": 50}, "markdown": "# Service sheet\n\n50 users\n"}}
    (here / "o.json").write_text(json.dumps(outputs))
    page = run("service-sheet", "--stack", "dev", "--outputs", "o.json")
    assert page.stdout == "# Service sheet\n\n50 users\n"
    figures = run("service-sheet", "--stack", "dev", "--outputs", "o.json", "--json")
    assert json.loads(figures.stdout) == {"users": 50}


def test_a_stack_without_a_service_sheet_is_one_clear_message(here: Path) -> None:
    (here / "o.json").write_text("{}")
    assert_one_clear_message(run("service-sheet", "--stack", "dev", "--outputs", "o.json"), "service_sheet")


@pytest.fixture
def aws(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"):
        monkeypatch.setenv(name, "testing")
    for name in ("AWS_PROFILE", "AWS_ENDPOINT_URL"):
        monkeypatch.delenv(name, raising=False)
    with mock_aws():
        yield


def test_bootstrap_tells_each_step_and_the_next_commands(aws: None) -> None:
    result = run("bootstrap", "--region", "eu-west-1", "--github", "acme/openerp")
    assert result.exit_code == 0
    assert "created" in result.stdout
    assert (
        "pulumi login 's3://openerp-state-123456789012-eu-west-1?region=eu-west-1&awssdk=v2'" in result.stdout
    )
    assert "pulumi stack init dev --secrets-provider='awskms://alias/openerp-state" in result.stdout


def test_bootstrap_gives_json_on_standard_output_alone(aws: None) -> None:
    result = run("bootstrap", "--region", "eu-west-1", "--environment", "dev", "--dry-run", "--json")
    answer = json.loads(result.stdout)
    assert {action["state"] for action in answer["actions"]} == {"would be created"}
    assert len(answer["next_commands"]) == 2
    assert "would be created" in result.stderr


def test_bootstrap_without_credentials_is_one_clear_message(
    here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(here / "none"))
    monkeypatch.setenv("AWS_CONFIG_FILE", str(here / "none"))
    assert_one_clear_message(run("bootstrap", "--region", "eu-west-1"), "no AWS credentials")


def test_bootstrap_with_a_profile_that_does_not_exist_is_one_clear_message(
    here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_PROFILE", "nobody")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(here / "none"))
    monkeypatch.setenv("AWS_CONFIG_FILE", str(here / "none"))
    assert_one_clear_message(run("bootstrap", "--region", "eu-west-1"), "nobody")


def test_bootstrap_with_a_wrong_option_is_one_clear_message(aws: None) -> None:
    assert_one_clear_message(run("bootstrap", "--region", "Ireland"), "--region")


def test_a_preview_that_stopped_early_is_reported_by_what_it_wrote_to_stderr(here: Path) -> None:
    (here / "preview.json").write_text("")
    (here / "errors").write_text("error: no stack named 'prod' found\n")
    result = run("preview-report", "--stack", "prod", "--errors", "errors", "preview.json")
    assert result.exit_code == 0
    assert "failed" in result.stdout
    assert "error: no stack named 'prod' found" in result.stdout


def test_without_json_and_without_errors_there_is_nothing_to_report(here: Path) -> None:
    (here / "preview.json").write_text("")
    (here / "errors").write_text("")
    result = run("preview-report", "--stack", "prod", "--errors", "errors", "preview.json")
    assert_one_clear_message(result, "it is empty")
