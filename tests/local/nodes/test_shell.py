"""Scripts as Run Command has servers run them; here on this machine, without a server to enter."""

from __future__ import annotations

import os
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from local.nodes import shell
from local.nodes.shell import Ended, Script


def run(text: str, *, cancelled: threading.Event | None = None, **more: Any) -> Ended:
    given = {"seconds": 30.0, **more}
    environment = {"PATH": os.environ["PATH"], "AWS_SSM_INSTANCE_ID": "i-1"}
    return shell.run([], Script(text=text, **given), environment, cancelled or threading.Event())


def test_a_script_is_of_several_lines_and_its_output_and_status_are_known() -> None:
    ended = run("x=one\necho $x\necho two >&2\necho $AWS_SSM_INSTANCE_ID\n")
    assert (ended.status, ended.details, ended.code) == ("Success", "Success", 0)
    assert (ended.stdout, ended.stderr) == ("one\ni-1\n", "two\n")
    assert ended.started <= ended.ended


def test_a_script_that_fails_says_its_exit_status_as_amazons_agent_does() -> None:
    ended = run("echo bad >&2\nexit 3\n")
    assert (ended.status, ended.details, ended.code) == ("Failed", "Failed", 3)
    assert ended.stderr == "bad\nfailed to run commands: exit status 3"
    ended = run("kill -TERM $$\n")
    assert (ended.status, ended.code) == ("Failed", -1)
    assert "terminated" in ended.stderr


def test_a_script_names_its_own_interpreter_and_its_directory(tmp_path: Path) -> None:
    assert run("#!/bin/cat\nprinted as it is\n").stdout == "#!/bin/cat\nprinted as it is\n"
    assert run("pwd\n", directory=str(tmp_path)).stdout.strip() == str(tmp_path)
    assert run("pwd\n").stdout.strip() == shell.DIRECTORY
    missing = run("echo never\n", directory=str(tmp_path / "missing"))
    assert (missing.status, missing.stdout) == ("Failed", "")
    assert str(tmp_path / "missing") in missing.stderr


def test_a_script_has_no_input() -> None:
    assert run("cat; echo read\n").stdout == "read\n"


def test_output_is_cut_where_ssm_cuts_it_and_the_rest_does_not_stop_the_script() -> None:
    text = "yes ä | head -c 3000000; yes e | head -c 1000000 >&2; echo done > /dev/null\n"
    ended = run(text)
    assert ended.status == "Success"
    assert len(ended.stdout) == 24_000
    assert set(ended.stdout) == {"ä", "\n"}
    assert len(ended.stderr) == 8_000


def children_of(marker: str) -> list[int]:
    """Processes whose command line has a marker."""
    found = []
    for process in Path("/proc").iterdir():
        if process.name.isdecimal():
            try:
                if marker in (process / "cmdline").read_text():
                    found.append(int(process.name))
            except (OSError, UnicodeDecodeError):
                continue
    return found


def test_what_takes_too_long_is_killed_with_all_that_it_started() -> None:
    ended = run("echo begun\nsleep 9731 &\nsleep 9731\n", seconds=1.0)
    assert (ended.status, ended.details, ended.code) == ("TimedOut", "ExecutionTimedOut", 137)
    assert ended.stdout == "begun\n"
    deadline = time.monotonic() + 10
    while children_of("9731") and time.monotonic() < deadline:
        time.sleep(0.02)
    assert children_of("9731") == []


def test_a_cancelled_script_ends() -> None:
    cancelled = threading.Event()
    ends: list[Ended] = []
    thread = threading.Thread(target=lambda: ends.append(run("echo begun; sleep 60\n", cancelled=cancelled)))
    thread.start()
    time.sleep(0.3)
    cancelled.set()
    thread.join(10)
    assert [(each.status, each.details, each.code) for each in ends] == [("Cancelled", "Cancelled", 137)]


@pytest.mark.parametrize("text", ["echo ok > /proc/self/fd/1\n", "sh -c 'echo ok'\n"])
def test_a_script_may_start_others(text: str) -> None:
    assert run(text).stdout == "ok\n"


def test_nothing_of_a_script_is_on_a_disk(tmp_path: Path) -> None:
    ended = run('readlink "$0"\n')
    assert ended.stdout.startswith("/memfd:")
