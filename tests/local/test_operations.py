"""What `python -m local ops` starts, and with what environment; its `pulumi` is never the real one."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

import local.__main__ as commands
from local import deploy, home
from local.stand_in import is_stand_in, stack_of

ROOT = Path(__file__).resolve().parents[2]


class ReplacedError(Exception):
    """This process would be another program now."""


@pytest.fixture
def executed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> dict[str, Any]:
    """What this process would be replaced by; the emulator is not started."""
    seen: dict[str, Any] = {}

    def execve(path: str, arguments: list[str], environment: dict[str, str]) -> None:
        seen.update(path=path, arguments=arguments, environment=environment)
        raise ReplacedError

    def emulator(stack: str) -> Any:
        seen["stack"] = stack
        return lambda: home.emulator_environment("http://127.0.0.1:4", deploy.region_of(stack))

    monkeypatch.setattr(os, "execve", execve)
    monkeypatch.setattr(deploy, "emulator", emulator)
    monkeypatch.setenv("OPENERP_LOCAL_HOME", str(tmp_path / "home"))
    monkeypatch.delenv("OPENERP_FILE_SYSTEMS", raising=False)
    monkeypatch.setenv("AWS_PROFILE", "real")
    return seen


def call(*arguments: str) -> Any:
    return CliRunner().invoke(commands.application, ["ops", *arguments])


@pytest.mark.parametrize(
    "given",
    [
        ["dump", "--stack", "prod", "--to", "x y", "--", "-z", "--help-me"],
        ["clients", "-sdev"],
        ["preview-report", "-s", "training", "-"],
        ["bootstrap", "--region=eu-west-1", "--dry-run"],
    ],
)
def test_arguments_are_passed_on_as_they_are(executed: dict[str, Any], given: list[str]) -> None:
    assert isinstance(call(*given).exception, ReplacedError)
    assert executed["arguments"] == [sys.executable, "-m", "ops", *given]


def test_ops_finds_the_emulator_where_it_would_find_aws(executed: dict[str, Any], tmp_path: Path) -> None:
    call("dump", "--stack", "prod")
    environment, place = executed["environment"], tmp_path / "home"
    assert executed["stack"] == "prod"
    assert environment["AWS_ENDPOINT_URL"] == "http://127.0.0.1:4"
    assert environment["AWS_REGION"] == environment["AWS_DEFAULT_REGION"] == "eu-central-1"
    assert environment["OPENERP_DATABASE_CA"] == str(place / "postgres" / "ca.pem")
    assert environment["OPENERP_FILE_SYSTEMS"] == str(place / "nodes" / "file-systems")
    assert environment["OPENERP_LOCAL_HOME"] == str(place)
    assert "AWS_PROFILE" not in environment
    found = shutil.which("pulumi", path=environment["PATH"])
    assert found is not None
    assert is_stand_in(Path(found))


def test_help_needs_no_emulator(executed: dict[str, Any]) -> None:
    for given in (["--help"], [], ["dump", "--help"]):
        call(*given)
        assert executed.pop("arguments") == [sys.executable, "-m", "ops", *given]
        assert "stack" not in executed


def test_a_stack_that_has_no_settings_is_one_clear_error(executed: dict[str, Any]) -> None:
    result = call("dump", "--stack", "nowhere")
    assert result.exit_code == 1
    assert result.output.startswith("error: there is no stack nowhere: Pulumi.nowhere.yaml does not exist")
    assert executed == {}


@pytest.mark.parametrize(
    ("line", "stack"),
    [
        ("dump", "local"),
        ("dump --stack dev", "dev"),
        ("--stack=dev dump", "dev"),
        ("dump -s dev", "dev"),
        ("dump -sdev", "dev"),
        ("dump -- --stack dev", "local"),
        ("dump --stack", "local"),
        ("dump --stack-name dev --size -5", "local"),
    ],
)
def test_the_stack_is_the_one_that_the_arguments_name(line: str, stack: str) -> None:
    assert stack_of(line.split(), default="local") == stack


def program(folder: Path, text: str) -> Path:
    folder.mkdir(parents=True)
    path = folder / "pulumi"
    path.write_text(text)
    path.chmod(0o755)
    return path


def test_the_stand_in_is_never_taken_for_the_real_cli(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    copy = shutil.copytree(home.STAND_IN, tmp_path / "another checkout")
    (tmp_path / "linked").mkdir()
    (tmp_path / "linked" / "pulumi").symlink_to(home.STAND_IN / "pulumi")
    folders = [str(home.STAND_IN), str(copy), str(tmp_path / "linked"), str(tmp_path / "nothing")]
    monkeypatch.setenv("PATH", os.pathsep.join(folders))
    assert home.pulumi_on_path() is None
    real = program(tmp_path / "real", "#!/bin/sh\necho v9.9.9\n")
    monkeypatch.setenv("PATH", os.pathsep.join([*folders, str(real.parent)]))
    assert home.pulumi_on_path() == str(real)


def local(*arguments: str, given: str = "", **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "local", *arguments],
        cwd=ROOT,
        env={**os.environ, **environment},
        input=given,
        capture_output=True,
        text=True,
        check=False,
    )


def test_a_real_cli_beyond_the_stand_in_is_the_one_that_runs(tmp_path: Path) -> None:
    real = program(tmp_path / "real", f'#!/bin/sh\necho "$@" > {tmp_path}/asked\necho v9.9.9\n')
    path = os.pathsep.join([str(home.STAND_IN), str(real.parent), os.environ["PATH"]])
    ended = subprocess.run(
        ["pulumi", "version"],
        env={**os.environ, "PATH": path, "OPENERP_PYTHON": sys.executable},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (ended.returncode, ended.stdout, ended.stderr) == (0, "v9.9.9\n", "")
    assert (tmp_path / "asked").read_text() == "version\n"


def test_a_program_that_calls_the_stand_in_again_is_refused(tmp_path: Path) -> None:
    circle = program(tmp_path / "circle", f'#!/bin/sh\nexec {home.STAND_IN}/pulumi "$@"\n')
    ended = subprocess.run(
        [str(home.STAND_IN / "pulumi"), "version"],
        env={
            **os.environ,
            "PATH": f"{circle.parent}{os.pathsep}{os.environ['PATH']}",
            "OPENERP_PYTHON": sys.executable,
        },
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.returncode == 1
    assert "the `pulumi` on PATH leads back to the one that stands for it here" in ended.stderr


def test_input_output_and_status_are_those_of_ops(tmp_path: Path) -> None:
    """The emulator is started here, and nothing else."""
    place = {"OPENERP_LOCAL_HOME": str(tmp_path / "home")}
    try:
        preview = json.dumps({"steps": [], "changeSummary": {"same": 3}})
        ended = local("ops", "preview-report", "--stack", "dev", "-", given=preview, **place)
        assert (ended.returncode, ended.stderr) == (0, "")
        assert ended.stdout.startswith("<!-- openerp-preview:dev -->")
        ended = local("ops", "clients", "--stack", "dev", **place)
        assert ended.returncode == 1
        assert "no stack named 'dev' found" in ended.stderr
        assert "Traceback" not in ended.stderr
        assert local("ops", "no-such-command", **place).returncode == 2
    finally:
        local("down", **place)
