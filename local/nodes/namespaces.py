"""A room of its own for the data centre: PID and mount namespaces, and control groups.

The kernel clears up. When the first process of a PID namespace ends, in any way, every process in it is
killed; mounts and network namespaces go with the last process that uses them. What can remain are empty
control groups, which `sweep` removes.

`python -m local.nodes.namespaces <group> <program> [argument …]` makes the namespaces and prints the pid of
the first process in them, as the caller sees it. That process does nothing but start the program, pass
SIGTERM on to it, and collect what dies.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from hashlib import sha256
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).resolve().parents[2]
GROUP: Final = "OPENERP_NODES_GROUP"
"""Environment variable that tells the daemon the name of its control group."""
SWEEP_TIMEOUT: Final = 5.0
"""Seconds for processes that were killed to leave their control groups."""

# linux/sched.h, sys/mount.h
CLONE_NEWNS, CLONE_NEWPID = 0x00020000, 0x20000000
MS_NOSUID, MS_NODEV, MS_NOEXEC, MS_BIND, MS_REC, MS_PRIVATE = 2, 4, 8, 4096, 16384, 1 << 18
KEPT_IN_RUN: Final = ("systemd/resolve", "NetworkManager", "resolvconf", "connman")
"""Where /etc/resolv.conf may lead to: the egress proxy asks for names as this machine does."""
CONTROLLERS: Final = ("cpu", "io", "memory", "pids")


class NamespaceError(Exception):
    """The namespaces cannot be made; the message says why."""


def group_of(home: Path) -> str:
    """The name of the control group of everything that runs for `home`."""
    return f"openerp-{sha256(str(home.resolve()).encode()).hexdigest()[:12]}"


def own_group() -> str:
    """The name of the control group that this process was launched for."""
    try:
        return os.environ[GROUP]
    except KeyError:
        raise NamespaceError("this process was not started by local.nodes.namespaces.launch") from None


def hierarchies(mounts: Path = Path("/proc/self/mounts")) -> list[Path]:
    """Where control groups are mounted that systemd uses: version 2, and version 1's own of systemd."""
    found = []
    for line in mounts.read_text().splitlines():
        _device, path, kind, options = line.split(" ")[:4]
        if kind == "cgroup2" or (kind == "cgroup" and "name=systemd" in options.split(",")):
            found.append(Path(path))
    return found


def make_groups(group: str, name: str) -> list[Path]:
    """Make the control group `name` below `group` in every hierarchy; returns their directories."""
    made = []
    for hierarchy in hierarchies():
        directory = hierarchy / group / name
        directory.mkdir(parents=True, exist_ok=True)
        for controller in CONTROLLERS:
            # Version 1 has no such file, and a machine may keep a controller to itself.
            with contextlib.suppress(OSError):
                (hierarchy / group / "cgroup.subtree_control").write_text(f"+{controller}")
        made.append(directory)
    return made


def joined(directories: Sequence[Path], command: Sequence[str]) -> list[str]:
    """`command`, run inside the control groups `directories`."""
    script = 'until [ "$1" = -- ]; do echo 0 > "$1/cgroup.procs"; shift; done; shift; exec "$@"'
    return ["sh", "-euc", script, "sh", *map(str, directories), "--", *command]


def _remove_tree(directory: Path) -> None:
    for path, _directories, _files in os.walk(directory, topdown=False):
        Path(path).rmdir()


def remove_groups(group: str, name: str = ".", timeout: float = SWEEP_TIMEOUT) -> None:
    """Remove control groups once no process is in them; raises NamespaceError after `timeout` seconds."""
    deadline = time.monotonic() + timeout
    for hierarchy in hierarchies():
        directory = hierarchy / group / name
        while directory.is_dir():
            try:
                _remove_tree(directory)
            except FileNotFoundError:
                continue
            except OSError as error:
                if error.errno not in (errno.EBUSY, errno.ENOTEMPTY) or time.monotonic() > deadline:
                    raise NamespaceError(f"the control group {directory} stays: {error.strerror}") from None
                time.sleep(0.02)


def sweep(home: Path) -> None:
    """Remove the control groups that the data centre of `home` left behind. It must have ended."""
    remove_groups(group_of(home))


def launch(argv: Sequence[str], home: Path, log: Path) -> int:
    """Start `argv` detached in namespaces of its own; its output goes to `log`.

    Returns the pid, as seen here, of the namespace's first process: SIGTERM to it reaches `argv`, SIGKILL
    ends everything at once. Raises NamespaceError.
    """
    group = group_of(home)
    search = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH", "")]))
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("ab") as output:
        started = subprocess.run(
            [sys.executable, "-m", "local.nodes.namespaces", group, *argv],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=output,
            cwd="/",
            env={**os.environ, "PYTHONPATH": search, GROUP: group},
            start_new_session=True,
            check=False,
        )
    answer = started.stdout.decode().strip()
    if started.returncode != 0 or not answer.isdigit():
        raise NamespaceError(answer or f"the namespaces could not be made; {log} says why")
    return int(answer)


# Inside the process that launch starts


def _check(result: int, what: str) -> None:
    if result != 0:
        number = ctypes.get_errno()
        raise NamespaceError(f"{what}: {os.strerror(number)}")


def _libc() -> ctypes.CDLL:
    return ctypes.CDLL(None, use_errno=True)


def _mount(source: str, target: str, kind: str | None, flags: int, data: str | None = None) -> None:
    arguments = [None if text is None else text.encode() for text in (source, target, kind, data)]
    _check(_libc().mount(*arguments[:3], ctypes.c_ulong(flags), arguments[3]), f"mount of {target}")


@contextlib.contextmanager
def _kept(directory: Path) -> Iterator[list[tuple[int, str]]]:
    """Open what is to be seen again after something was mounted above it."""
    opened = []
    for name in KEPT_IN_RUN:
        with contextlib.suppress(OSError):
            opened.append((os.open(directory / name, os.O_PATH | os.O_DIRECTORY), name))
    try:
        yield opened
    finally:
        for descriptor, _name in opened:
            os.close(descriptor)


def _private_mounts() -> None:
    """No mount goes in or out; /proc shows this namespace, and /run is empty but for the way to DNS."""
    _mount("none", "/", None, MS_REC | MS_PRIVATE)
    _mount("proc", "/proc", "proc", MS_NOSUID | MS_NODEV | MS_NOEXEC)
    run = Path("/run")
    with _kept(run) as kept:
        _mount("tmpfs", str(run), "tmpfs", MS_NOSUID | MS_NODEV, "mode=755")
        for descriptor, name in kept:
            (run / name).mkdir(parents=True)
            _mount(f"/proc/self/fd/{descriptor}", str(run / name), None, MS_BIND | MS_REC)
    (run / "netns").mkdir()


def _collect(program: int) -> int:
    """Wait for `program`, collecting whatever else dies; returns its exit status as a shell would."""
    while True:
        pid, status = os.wait()
        if pid == program:
            code = os.waitstatus_to_exitcode(status)
            return code if code >= 0 else 128 - code


def _first_process(group: str, argv: Sequence[str], ready: int) -> int:
    try:
        _private_mounts()
        for directory in make_groups(group, "control"):
            (directory / "cgroup.procs").write_text("0")
    except (NamespaceError, OSError) as error:
        os.write(ready, str(error).encode())
        return 1
    os.write(ready, b"ready")
    os.close(ready)
    os.dup2(2, 1)
    # Blocked until there is someone to pass it on to: the first process has no default for signals.
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
    program = os.fork()
    if program == 0:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGTERM})
        try:
            os.execvp(argv[0], list(argv))  # noqa: S606
        except OSError as error:
            os.write(2, f"{argv[0]}: {error.strerror}\n".encode())
            os._exit(127)
    signal.signal(signal.SIGTERM, lambda _number, _frame: os.kill(program, signal.SIGTERM))
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGTERM})
    return _collect(program)


def main(arguments: Sequence[str]) -> int:
    """Make the namespaces and start what `arguments` say; prints a pid, or a sentence and status 1."""
    group, *argv = arguments
    answer, ready = os.pipe()
    try:
        _check(_libc().unshare(CLONE_NEWNS | CLONE_NEWPID), "making PID and mount namespaces")
    except NamespaceError as error:
        print(error)
        return 1
    first = os.fork()
    if first == 0:
        os.close(answer)
        os._exit(_first_process(group, argv, ready))
    os.close(ready)
    said = b""
    while block := os.read(answer, 4096):
        said += block
    if said != b"ready":
        print(said.decode() or "the first process of the namespaces was killed")
        return 1
    print(first)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
