"""Whatever the data centre starts, mounts and names ends with it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from local.nodes import namespaces
from local.nodes.namespaces import NamespaceError, group_of, hierarchies, launch, sweep
from local.nodes.requirements import missing
from local.processes import identity

lacking = missing()
needs_machine = pytest.mark.skipif(bool(lacking), reason="; ".join(lacking))


def wait(until: Callable[[], object], seconds: float = 10) -> None:
    end = time.monotonic() + seconds
    while not until():
        assert time.monotonic() < end
        time.sleep(0.01)


def mounts() -> str:
    return Path("/proc/self/mounts").read_text()


def groups(home: Path) -> list[Path]:
    return [path for hierarchy in hierarchies() if (path := hierarchy / group_of(home)).exists()]


def named(marker: str) -> list[int]:
    """Processes of this machine that have `marker` among their arguments."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            if marker.encode() in path.read_bytes() and int(path.parent.name) != os.getpid():
                found.append(int(path.parent.name))
        except OSError:
            continue
    return found


def run(tmp_path: Path, script: str, *arguments: str) -> tuple[int, Path]:
    log = tmp_path / "log"
    return launch([sys.executable, "-c", textwrap.dedent(script), *arguments], tmp_path, log), log


def ended(pid: int) -> bool:
    return identity(pid) is None


BUSY = """
    import os, subprocess, sys, time
    from pathlib import Path
    from local.nodes import namespaces
    here = Path(sys.argv[1])
    (here / "mounted").mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "tmpfs", here / "mounted"], check=True)
    subprocess.run(["ip", "netns", "add", here.name], check=True)
    groups = namespaces.make_groups(namespaces.own_group(), "server")
    stubborn = "trap '' TERM HUP; sleep 1000 & echo $! > $1; wait"
    command = ["setsid", "sh", "-c", stubborn, str(here), str(here / "pid")]
    subprocess.Popen(namespaces.joined(groups, command))
    while not (here / "pid").exists() or not (here / "pid").read_text():
        time.sleep(0.01)
    print("processes", sorted(int(p.name) for p in Path("/proc").glob("[0-9]*")), flush=True)
    (here / "up").touch()
    time.sleep(1000)
"""


@needs_machine
@pytest.mark.parametrize("victim", ["the first process", "the program"])
def test_after_kill_9_nothing_is_left_but_empty_control_groups_which_sweep_removes(
    tmp_path: Path, victim: str
) -> None:
    before = mounts()
    pid, log = run(tmp_path, BUSY, str(tmp_path))
    try:
        wait((tmp_path / "up").exists)
        assert mounts() == before
        assert not Path("/run/netns", tmp_path.name).exists()
        assert "processes [1, 2," in log.read_text()
        assert groups(tmp_path)
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
        os.kill(pid if victim == "the first process" else int(children[0]), signal.SIGKILL)
        wait(lambda: ended(pid))
    finally:
        if not ended(pid):
            os.kill(pid, signal.SIGKILL)
    sweep(tmp_path)
    assert named(str(tmp_path)) == []
    assert mounts() == before
    assert list((tmp_path / "mounted").iterdir()) == []
    assert not Path("/run/netns", tmp_path.name).exists()
    assert groups(tmp_path) == []


@needs_machine
def test_sigterm_reaches_the_program_and_its_end_is_the_end_of_all(tmp_path: Path) -> None:
    script = """
        import pathlib, signal, subprocess, sys, time
        def stop(*_):
            print("asked to stop", flush=True)
            raise SystemExit(0)
        signal.signal(signal.SIGTERM, stop)
        subprocess.Popen(["sleep", "1000"])
        pathlib.Path(sys.argv[1], "up").touch()
        time.sleep(1000)
    """
    pid, log = run(tmp_path, script, str(tmp_path))
    wait((tmp_path / "up").exists)
    os.kill(pid, signal.SIGTERM)
    wait(lambda: ended(pid))
    assert "asked to stop" in log.read_text()
    sweep(tmp_path)
    assert groups(tmp_path) == []


@needs_machine
def test_orphans_are_collected(tmp_path: Path) -> None:
    script = """
        import pathlib, subprocess, sys, time
        for _ in range(5):
            subprocess.run(["sh", "-c", "sleep 0.05 & exit 0"])
        time.sleep(0.3)
        texts = [path.read_text() for path in pathlib.Path("/proc").glob("[0-9]*/stat")]
        print("zombies", sum(text.rpartition(")")[2].split()[0] == "Z" for text in texts), flush=True)
    """
    pid, log = run(tmp_path, script)
    wait(lambda: ended(pid))
    assert "zombies 0" in log.read_text()
    sweep(tmp_path)


@needs_machine
def test_the_program_finds_an_empty_run_directory_and_the_way_to_name_servers(tmp_path: Path) -> None:
    script = """
        import pathlib
        print("run", sorted(p.name for p in pathlib.Path("/run").iterdir()), flush=True)
        print("names", pathlib.Path("/etc/resolv.conf").exists(), flush=True)
    """
    pid, log = run(tmp_path, script)
    wait(lambda: ended(pid))
    seen = log.read_text()
    assert "'netns'" in seen
    assert "lock" not in seen
    assert f"names {Path('/etc/resolv.conf').exists()}" in seen
    sweep(tmp_path)


@needs_machine
def test_sweep_refuses_while_something_runs_and_does_nothing_where_nothing_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sweep(tmp_path)
    pid, _log = run(tmp_path, "import time; time.sleep(1000)")
    try:
        with pytest.raises(NamespaceError, match=group_of(tmp_path)):
            namespaces.remove_groups(group_of(tmp_path), timeout=0.05)
    finally:
        os.kill(pid, signal.SIGKILL)
    wait(lambda: ended(pid))
    sweep(tmp_path)


@needs_machine
def test_a_program_that_does_not_exist_is_named_in_the_log(tmp_path: Path) -> None:
    pid = launch(["/no/such/program"], tmp_path, tmp_path / "log")
    wait(lambda: ended(pid))
    assert (tmp_path / "log").read_text() == "/no/such/program: No such file or directory\n"
    sweep(tmp_path)


@needs_machine
def test_where_namespaces_are_forbidden_the_reason_is_told_in_one_line(tmp_path: Path) -> None:
    done = subprocess.run(
        ["setpriv", "--bounding-set=-sys_admin", sys.executable, "-m", "local.nodes.namespaces", "g", "true"],
        capture_output=True,
        text=True,
        cwd=namespaces.ROOT,
        check=False,
    )
    assert (done.returncode, done.stdout, done.stderr) == (
        1,
        "making PID and mount namespaces: Operation not permitted\n",
        "",
    )


def test_both_versions_of_control_groups_are_found(tmp_path: Path) -> None:
    table = tmp_path / "mounts"
    table.write_text(
        "tmpfs /sys/fs/cgroup tmpfs rw 0 0\n"
        "cgroup /sys/fs/cgroup/memory cgroup rw,memory 0 0\n"
        "cgroup /sys/fs/cgroup/systemd cgroup rw,xattr,name=systemd 0 0\n"
        "cgroup2 /sys/fs/cgroup/unified cgroup2 rw 0 0\n"
    )
    assert hierarchies(table) == [Path("/sys/fs/cgroup/systemd"), Path("/sys/fs/cgroup/unified")]
    table.write_text("cgroup2 /sys/fs/cgroup cgroup2 rw,nsdelegate 0 0\n")
    assert hierarchies(table) == [Path("/sys/fs/cgroup")]


def test_two_homes_have_groups_of_their_own(tmp_path: Path) -> None:
    assert group_of(tmp_path / "a") != group_of(tmp_path / "b")
    assert group_of(tmp_path / "a") == group_of(tmp_path / "b" / ".." / "a")
