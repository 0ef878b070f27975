"""State: the checkpoint's form, the file backend, locks."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from local.engine import state
from local.engine.backend import Backend, write_atomically
from local.engine.errors import EngineError
from local.engine.state import Resource

URN = "urn:pulumi:dev::p::t:m:T::"


def resource(name: str, **fields: Any) -> Resource:
    return Resource(urn=f"{URN}{name}", type="t:m:T", custom=True, id=name, **fields)


NAMES = st.text("abc", min_size=1, max_size=3)


@given(
    inputs=st.dictionaries(NAMES, st.integers() | NAMES | st.lists(st.booleans(), max_size=2), max_size=3),
    protect=st.booleans(),
    ignore=st.lists(NAMES, max_size=2),
    timeouts=st.dictionaries(st.sampled_from(["create", "delete"]), st.floats(1, 100), max_size=2),
    trigger=st.none() | st.integers(),
)
def test_a_resource_survives_the_checkpoint(
    inputs: dict[str, Any], protect: bool, ignore: list[str], timeouts: dict[str, float], trigger: int | None
) -> None:
    before = resource(
        "a",
        inputs=inputs,
        outputs={**inputs, "id": "x"},
        protect=protect,
        ignore_changes=ignore,
        custom_timeouts=timeouts,
        replacement_trigger=trigger,
        stack_trace=["project:///__main__.py#1", ""],
        property_dependencies={key: [] for key in inputs},
    )
    written = json.loads(json.dumps(state.resource_to_json(before, None)))
    after = state.resource_from_json(written, None)
    assert state.resource_to_json(after, None) == written
    assert not [key for key, value in written.items() if value in (None, "", [], {}) or value is False]


def test_a_state_in_which_something_is_missing_is_refused() -> None:
    child = resource("b", dependencies=[f"{URN}a"])
    state.verify([resource("a"), child], "here")
    with pytest.raises(EngineError, match=r"here is damaged: .*::b needs .*::a"):
        state.verify([child, resource("a")], "here")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "not a Pulumi checkpoint"),
        ("[]", "not a Pulumi checkpoint"),
        ('{"version": 2, "checkpoint": {}}', "has version 2"),
        ('{"version": 4, "features": ["views"], "checkpoint": {}}', "uses the features views"),
    ],
)
def test_a_checkpoint_of_another_kind_is_refused_in_words(text: str, message: str) -> None:
    with pytest.raises(EngineError, match=message):
        state.parse_checkpoint(text, "here")


def test_another_secrets_provider_is_refused_in_words() -> None:
    with pytest.raises(EngineError, match="passphrases only"):
        state.salt_of({"secrets_providers": {"type": "cloud", "state": {}}}, "here")


def test_a_write_replaces_the_whole_file_and_the_one_before_can_be_kept(tmp_path: Path) -> None:
    backend = Backend(tmp_path, "p")
    backend.create("dev", None)
    first = backend.path("dev").read_text()
    backend.write("dev", "second")
    backend.back_up("dev")
    backend.write("dev", "third")
    names = sorted(path.name for path in backend.path("dev").parent.iterdir())
    assert names == ["dev.json", "dev.json.bak"]
    assert backend.path("dev").read_text() == "third"
    assert backend.path("dev").with_name("dev.json.bak").read_text() == "second"
    assert json.loads(first)["checkpoint"]["stack"] == "organization/p/dev"


def test_a_write_that_fails_leaves_the_file_as_it_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "file"
    path.write_text("before")

    def fail(self: Path, target: Path) -> Path:
        raise OSError("no space left")

    monkeypatch.setattr(Path, "replace", fail)
    with pytest.raises(OSError, match="no space left"):
        write_atomically(path, "after")
    assert path.read_text() == "before"


def test_a_second_run_is_refused_while_the_first_one_lives(tmp_path: Path) -> None:
    backend = Backend(tmp_path, "p")
    with (
        backend.lock("dev"),
        pytest.raises(EngineError, match=f"locked by .* \\(pid {os.getpid()}\\)"),
        backend.lock("dev"),
    ):
        pass
    with backend.lock("dev") as notes:
        assert notes == []


def test_the_lock_of_a_dead_process_is_removed(tmp_path: Path) -> None:
    child = subprocess.run(
        [sys.executable, "-c", "import os; print(os.getpid())"], capture_output=True, check=True
    )
    pid = int(child.stdout)
    backend = Backend(tmp_path, "p")
    locks = tmp_path / ".pulumi" / "locks" / "organization" / "p" / "dev"
    locks.mkdir(parents=True)
    content = {
        "pid": pid,
        "username": "u",
        "hostname": socket.gethostname(),
        "timestamp": "2026-01-01T00:00:00Z",
    }
    (locks / "x.json").write_text(json.dumps(content))
    with backend.lock("dev") as notes:
        assert notes == [f"removed the lock of process {pid}, which no longer runs"]


def test_the_lock_of_a_pid_that_another_process_has_now_is_removed(tmp_path: Path) -> None:
    backend = Backend(tmp_path, "p")
    locks = tmp_path / ".pulumi" / "locks" / "organization" / "p" / "dev"
    locks.mkdir(parents=True)
    content = {
        "pid": os.getpid(),
        "hostname": socket.gethostname(),
        "timestamp": "2001-01-01T00:00:00.123456789Z",
    }
    (locks / "x.json").write_text(json.dumps(content))
    with backend.lock("dev") as notes:
        assert len(notes) == 1


def test_the_lock_of_another_machine_is_respected(tmp_path: Path) -> None:
    backend = Backend(tmp_path, "p")
    locks = tmp_path / ".pulumi" / "locks" / "organization" / "p" / "dev"
    locks.mkdir(parents=True)
    (locks / "x.json").write_text(json.dumps({"pid": 1, "hostname": "elsewhere.example", "username": "u"}))
    with pytest.raises(EngineError, match=r"u@elsewhere\.example"), backend.lock("dev"):
        pass
