"""What is told to a person whose machine cannot be a data centre."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from local.nodes import requirements
from local.nodes.requirements import PROGRAMS, missing


def test_another_system_and_another_user_are_told_at_once() -> None:
    assert missing(platform="darwin") == ["servers are systemd containers, which need Linux"]
    (sentence,) = missing(platform="linux", uid=1000)
    assert "need root" in sentence
    assert "sudo make live" in sentence


def test_programs_that_are_missing_are_named_with_the_command_that_brings_them() -> None:
    absent = {"haproxy", "systemd-nspawn"}
    found = missing(platform="linux", uid=0, find=lambda name: None if name in absent else "/x", exists=bool)
    assert found == ["missing: haproxy, systemd-nspawn (sudo apt-get install haproxy systemd-container)"]


def test_each_package_is_named_once() -> None:
    (sentence,) = missing(platform="linux", uid=0, find=lambda name: None, exists=lambda path: False)
    command = sentence.partition("apt-get install ")[2].rstrip(")").split()
    assert sorted(set(PROGRAMS.values()) | {"debian-archive-keyring"}) == command


needs_root = pytest.mark.skipif(os.geteuid() != 0 or sys.platform != "linux", reason="root on Linux tries it")


@needs_root
def test_what_this_machine_cannot_do_is_found_by_trying(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(requirements, "TRIALS", (("that", 'test -d "$1"; echo why >&2; exit 3'),))
    (sentence,) = missing(tmp_path, find=lambda name: "/x", exists=bool)
    assert sentence == "this machine cannot do that: why" or "permits no namespaces" in sentence
    assert list(tmp_path.iterdir()) == []


@needs_root
def test_trying_leaves_nothing_behind(tmp_path: Path) -> None:
    before = Path("/proc/self/mounts").read_text()
    missing(tmp_path / "home that is not there yet")
    assert list(tmp_path.iterdir()) == []
    assert Path("/proc/self/mounts").read_text() == before


def test_the_command_prints_one_line_at_most() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "local.nodes.requirements"],
        cwd=Path(requirements.__file__).parents[2],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stdout == ""
    assert (done.returncode, done.stderr.count("\n")) in ((0, 0), (1, 1))
