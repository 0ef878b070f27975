"""What the commands of one machine take from their environment, and what they say without a place to work."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from local import deploy, home
from local.engine.backend import Backend
from local.engine.errors import EngineError


def test_nothing_that_leads_to_a_real_account_is_passed_on(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AWS_PROFILE", "AWS_SESSION_TOKEN", "AWS_ROLE_ARN", "AWS_ENDPOINT_URL_S3"):
        monkeypatch.setenv(name, "real")
    home.stay_on_this_machine()
    assert [name for name, value in os.environ.items() if value == "real"] == []


@pytest.mark.parametrize("name", ["no_proxy", "NO_PROXY"])
def test_no_proxy_is_asked_for_loopback(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setenv(name, "intra.example.com")
    home.stay_on_this_machine()
    assert os.environ[name] == "intra.example.com,127.0.0.1,localhost"
    monkeypatch.delenv(name)
    home.stay_on_this_machine()
    assert os.environ[name] == "127.0.0.1,localhost"


@pytest.mark.parametrize("command", [["up"], ["preview", "--json"], ["destroy"], ["status"], ["down"]])
def test_a_home_that_is_no_directory_is_one_clear_error(tmp_path: Path, command: list[str]) -> None:
    (tmp_path / "file").write_text("")
    ended = subprocess.run(
        [sys.executable, "-m", "local", *command],
        cwd=home.ROOT,
        env={**os.environ, "OPENERP_LOCAL_HOME": str(tmp_path / "file")},
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.returncode == 1
    assert ended.stderr.startswith("error: ")
    assert str(tmp_path / "file") in ended.stderr
    assert "Traceback" not in ended.stdout + ended.stderr


def test_a_closed_output_is_no_traceback(tmp_path: Path) -> None:
    ended = subprocess.run(
        ["sh", "-c", 'exec "$0" -m local status >&-', sys.executable],
        cwd=home.ROOT,
        env={**os.environ, "OPENERP_LOCAL_HOME": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (ended.returncode, ended.stderr) == (0, "")


def test_an_emulator_that_has_forgotten_what_the_state_lists_is_one_clear_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENERP_LOCAL_HOME", str(tmp_path))
    deploy.refuse_a_forgotten_cloud("local")
    monkeypatch.setattr(Backend, "stacks", lambda self: ["local"])
    monkeypatch.setattr(Backend, "read", lambda self, stack: {"resources": [{"custom": True}, {}]})
    with pytest.raises(EngineError, match="with it the 1 resources in the state of local"):
        deploy.refuse_a_forgotten_cloud("local")
    (tmp_path / "emulator").mkdir()
    (tmp_path / "emulator" / "seed").touch()
    deploy.refuse_a_forgotten_cloud("local")
