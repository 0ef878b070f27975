"""The commands of `python -m local`: what they print, and how they end. No emulator and no AWS here."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml
from typer.testing import CliRunner, Result

import local.__main__ as commands
from local import deploy
from local.real_cli import copy_with_salt
from tests.local.engine.world import World, loader

PROGRAM = """
    a = Thing("a", {"value": pulumi.Config().require("value"), "password": Output.secret("hush-hush")})
    pulumi.export("web_url", "https://erp.example")
    pulumi.export("key", Output.secret("hush-hush"))
"""


class Shell:
    """Runs commands in a world that stands where the project would be."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.written: dict[str, Any] = {}

    def __call__(self, *arguments: str, ok: bool = True) -> Result:
        result = CliRunner().invoke(commands.application, list(arguments))
        assert result.exit_code == (0 if ok else 1), result.output
        return result

    def value(self, text: str) -> None:
        """Set the one setting of the program."""
        self.world.config = f"config:\n  aws:region: eu-west-1\n  things:value: {text}\n"
        self.world.write(PROGRAM)


@pytest.fixture
def shell(world: World, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Shell:
    """Commands with the tiny provider, no emulator, and no client configuration on disk."""
    made = Shell(world)

    def write(outputs: Mapping[str, object], target: Path) -> list[Path]:
        made.written = {"outputs": outputs, "target": target}
        return [target / "index.html"]

    monkeypatch.setenv("OPENERP_LOCAL_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("PATH", "/usr/bin:/bin")
    monkeypatch.setattr("local.home.ROOT", world.directory)
    monkeypatch.setattr(deploy, "emulator", lambda *_: dict)
    monkeypatch.setattr("local.plugins.load", loader)
    monkeypatch.setattr("ops.clients.write", write)
    made.value("one")
    return made


def test_up_says_what_it_did_and_masks_secret_outputs(shell: Shell) -> None:
    text = shell("up", "--stack", "dev").output
    assert "+  tiny:Thing a created" in text
    assert "dev: + 2 created in" in text
    assert "web_url  https://erp.example" in text
    assert "hush-hush" not in text
    assert "[secret]" in text
    assert shell.written["outputs"] == {"web_url": "https://erp.example", "key": "hush-hush"}
    assert shell.written["target"] == shell.world.directory / "dist" / "dev"
    assert "no changes: 2 resources" in shell("up", "--stack", "dev").output


def test_preview_shows_old_and_new_and_never_a_secret(shell: Shell) -> None:
    assert "+  tiny:Thing a" in shell("preview", "-s", "dev").output
    shell("up", "-s", "dev")
    shell.value("two")
    text = shell("preview", "-s", "dev").output
    assert '~ value: "one" => "two"' in text
    assert "dev: ~ 1 to update, 1 unchanged" in text
    assert "hush-hush" not in shell("preview", "-s", "dev", "--diff", "--json").output


def test_preview_prints_json_and_markdown_alone(shell: Shell) -> None:
    shell("up", "-s", "dev")
    shell.value("two")
    data = json.loads(shell("preview", "-s", "dev", "--json").stdout)
    assert data["changeSummary"] == {"same": 1, "update": 1}
    assert data["config"]["things:value"] == "two"
    markdown = shell("preview", "-s", "dev", "--markdown").stdout
    assert markdown.startswith("<!-- openerp-preview:dev -->")
    assert "1 to update" in markdown


def test_unexpected_changes_end_with_status_1(shell: Shell) -> None:
    shell("preview", "-s", "dev", "--expect-no-changes", ok=False)
    shell("up", "-s", "dev")
    shell("preview", "-s", "dev", "--expect-no-changes")


def test_output_prints_one_or_all_with_secrets_only_when_asked(shell: Shell) -> None:
    shell("up", "-s", "dev")
    assert shell("output", "web_url", "-s", "dev").stdout == "https://erp.example\n"
    assert shell("output", "key", "-s", "dev").stdout == "[secret]\n"
    assert shell("output", "key", "-s", "dev", "--show-secrets").stdout == "hush-hush\n"
    everything = json.loads(shell("output", "-s", "dev", "--json", "--show-secrets").stdout)
    assert everything == {"web_url": "https://erp.example", "key": "hush-hush"}
    assert "it has: key, web_url" in shell("output", "web", "-s", "dev", ok=False).output


def test_destroy_and_status_say_what_is_left(shell: Shell) -> None:
    assert "stacks    none" in shell("status").output
    shell("up", "-s", "dev")
    assert "stack     dev: 2 resources" in shell("status").output
    assert "dev: - 2 deleted" in shell("destroy", "-s", "dev").output
    assert shell.world.things == {}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            ["up", "-s", "nowhere"],
            "no stack nowhere: Pulumi.nowhere.yaml does not exist; stacks here: dev",
        ),
        (["output", "-s", "dev"], "stack dev was never brought up on this machine: run up first"),
        (["destroy", "-s", "dev"], "there is nothing to destroy"),
        (["preview", "-s", "dev", "--engine", "pulumi"], "there is no `pulumi` on PATH"),
    ],
)
def test_an_error_is_one_line_without_a_traceback(shell: Shell, arguments: list[str], message: str) -> None:
    output = shell(*arguments, ok=False).output
    assert message in output
    assert output.startswith("error: ")
    assert output.count("\n") == 1


def test_a_failed_run_says_why_at_the_end_and_ends_with_status_1(shell: Shell) -> None:
    shell.world.write('Thing("a", {"fails": "create"})')
    lines = shell("up", "-s", "dev", ok=False).output.splitlines()
    assert lines[-2] == "error: tiny:Thing a: the cloud has no room for another thing"
    assert lines[-1].startswith("up failed after")


def test_the_committed_configuration_is_never_written(shell: Shell) -> None:
    path = shell.world.directory / "Pulumi.dev.yaml"
    before = path.read_text()
    shell("up", "-s", "dev")
    shell("preview", "-s", "dev")
    assert path.read_text() == before


def pulumi(shell: Shell, line: str, *more: str, ok: bool = True) -> str:
    """What the stand-in for the real CLI prints on standard output."""
    return shell("pulumi", *line.split(), *more, ok=ok).stdout


def test_the_stand_in_gives_outputs_as_the_real_cli_does(shell: Shell) -> None:
    shell("up", "-s", "dev")
    printed = pulumi(shell, "stack output --json --show-secrets --stack dev")
    assert json.loads(printed) == {"web_url": "https://erp.example", "key": "hush-hush"}
    assert "hush-hush" not in pulumi(shell, "stack output --json --stack=dev")
    (row,) = json.loads(pulumi(shell, "stack ls --json"))
    assert (row["name"], row["current"], row["updateInProgress"]) == ("dev", False, False)
    assert row["resourceCount"] == 3  # the stack itself, a provider, a thing
    assert row["lastUpdate"].endswith("Z")
    said = shell("pulumi", "stack", "output", "--json", "--stack", "prod", ok=False).output
    assert said == "error: no stack named 'prod' found\n"


def test_the_stand_in_says_a_version() -> None:
    text = CliRunner().invoke(commands.application, ["pulumi", "version"], env={"PATH": "/bin"}).stdout
    assert text.startswith("v3.")


def test_the_stand_in_takes_the_settings_from_another_file(shell: Shell, tmp_path: Path) -> None:
    shell("up", "-s", "dev")
    committed = shell.world.directory / "Pulumi.dev.yaml"
    before = committed.read_text()
    other = tmp_path / "other.yaml"
    other.write_text(before.replace("value: one", "value: two"))
    asked = ("--stack", "dev", "--config-file", str(other))
    assert json.loads(pulumi(shell, "preview --json --stack dev"))["changeSummary"] == {"same": 2}
    data = json.loads(pulumi(shell, "preview --json", *asked))
    assert data["changeSummary"] == {"same": 1, "update": 1}
    assert data["config"]["things:value"] == "two"
    assert "tiny:Thing a updated" in pulumi(shell, "up --yes --skip-preview", *asked)
    assert committed.read_text() == before
    assert json.loads(pulumi(shell, "preview --json", *asked))["changeSummary"] == {"same": 2}
    assert json.loads(pulumi(shell, "preview --json -s dev"))["changeSummary"] == {"same": 1, "update": 1}
    other.write_text("config:\n  aws:region: eu-west-1\n")
    said = shell("pulumi", "preview", "--json", *asked, ok=False).output
    assert "things:value" in said
    other.unlink()
    said = shell("pulumi", "preview", "--json", *asked, ok=False).output
    assert said == f"error: there is no other.yaml in {tmp_path}\n"


def test_the_stand_in_s_failed_preview_prints_its_errors_as_json_and_ends_with_status_1(
    shell: Shell,
) -> None:
    shell.world.write('raise ValueError("no such size")')
    data = json.loads(pulumi(shell, "preview --json --stack dev", ok=False))
    assert any("no such size" in row["message"] for row in data["diagnostics"])


def test_the_stand_in_destroys(shell: Shell) -> None:
    shell("up", "-s", "dev")
    pulumi(shell, "destroy --yes --skip-preview --stack dev")
    assert shell.world.things == {}


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("refresh --yes --stack dev", "`pulumi refresh --yes --stack dev`: on this machine"),
        ("stack init dev", "`pulumi stack init dev`: on this machine"),
        ("up --stack dev", "`pulumi up` needs --skip-preview --yes"),
        ("up --yes --skip-preview", "`pulumi up` needs --stack"),
        ("preview --json --diff --stack dev", "`pulumi preview` takes no --diff"),
        ("preview --json=yes --stack dev", "`pulumi preview` takes no --json"),
        ("destroy --yes --skip-preview --stack", "`pulumi destroy`: --stack needs a value"),
        ("", "on this machine"),
    ],
)
def test_whatever_else_the_real_cli_does_is_one_clear_error(shell: Shell, line: str, message: str) -> None:
    output = shell("pulumi", *line.split(), ok=False).output
    assert message in output
    assert output.startswith("error: ")
    assert output.count("\n") == 1


def test_help_tells_what_each_command_is_for() -> None:
    text = CliRunner().invoke(commands.application, ["--help"]).output
    for name in ("up", "preview", "destroy", "output", "status", "down"):
        assert name in text
        assert CliRunner().invoke(commands.application, [name, "--help"]).exit_code == 0


def test_the_copy_for_the_real_cli_has_this_machine_s_salt_and_the_same_values(tmp_path: Path) -> None:
    committed = tmp_path / "Pulumi.dev.yaml"
    committed.write_text(
        "secretsprovider: awskms://alias/x\nencryptedkey: abc\n"
        "config:\n  p:release: \"19.0\"\n  p:list: [1, true, yes, 'no']\n"
    )
    text = committed.read_text()
    copy = yaml.safe_load(copy_with_salt(tmp_path, tmp_path / "copies", "dev", "v1:a:v1:b:c").read_text())
    assert copy == {
        "encryptionsalt": "v1:a:v1:b:c",
        "config": {"p:release": "19.0", "p:list": [1, True, "yes", "no"]},
    }
    assert committed.read_text() == text
    committed.write_text(text + "encryptionsalt: own\n")
    kept = copy_with_salt(tmp_path, tmp_path / "copies", "dev", "v1:a:v1:b:c").read_text()
    assert yaml.safe_load(kept)["encryptionsalt"] == "own"


def test_the_real_cli_gets_settings_from_another_file_with_this_machine_s_salt(tmp_path: Path) -> None:
    (tmp_path / "Pulumi.dev.yaml").write_text('config:\n  p:release: "18.0"\n')
    other = tmp_path / "other.yaml"
    other.write_text('config:\n  p:release: "19.0"\n')
    copy = copy_with_salt(tmp_path, tmp_path / "copies", "dev", "v1:a:v1:b:c", other)
    assert yaml.safe_load(copy.read_text()) == {
        "config": {"p:release": "19.0"},
        "encryptionsalt": "v1:a:v1:b:c",
    }


def test_a_zone_is_provided_where_the_settings_expect_one() -> None:
    from local.account import hosted_zone

    assert hosted_zone({"p:access": {"hostedZone": "example.com"}}, "p") == "example.com"
    assert hosted_zone({"p:access": {"hostedZone": None}}, "p") is None
    assert hosted_zone({}, "p") is None
