"""One HAProxy process: its configuration taken into force without a lost request, its targets' health."""

from __future__ import annotations

import contextlib
import csv
import itertools
import os
import re
import socket
import subprocess
import threading
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final, Literal

from local.nodes.balancer import target_group_arn
from local.nodes.relay import NAMESPACES

State = Literal["healthy", "unhealthy", "initial", "draining"]

START_SECONDS: Final = 15
"""How long a start or a reload may take; measured: 0.1 s."""
ANSWER_SECONDS: Final = 5
OLD_WORKER_SECONDS: Final = 900
"""A replaced worker process finishes its connections, but not for longer: longer than the longest request."""

GLOBAL: Final = """\
global
    stats socket unix@worker.sock mode 600 level admin expose-fd listeners
    server-state-file {directory}/states
    fd-hard-limit 20000
    hard-stop-after {old}s
    log stdout format raw daemon notice
    tune.ssl.default-dh-param 2048
"""
_STATE_HEADER: Final = (
    "1\n# be_id be_name srv_id srv_name srv_addr srv_op_state srv_admin_state srv_uweight srv_iweight "
    "srv_time_since_last_change srv_check_status srv_check_result srv_check_health srv_check_state "
    "srv_agent_state bk_f_forced_id srv_f_forced_id srv_fqdn srv_port srvrecord srv_use_ssl srv_check_port "
    "srv_check_addr srv_agent_addr srv_agent_port\n"
)
_DOWN: Final = ("0", "0", "1", "1", "0", "1", "0", "0", "6", "0", "0", "0", "-")
"""From srv_op_state (stopped) to srv_fqdn of a server that no check has reached yet."""
_REST: Final = ("-", "0", "0", "-", "-", "0")

_numbers = itertools.count()


class HaproxyError(Exception):
    """HAProxy refused something; the message is its own."""


class Haproxy:
    """HAProxy as master and workers, a child of this process.

    `directory` holds the configuration, two sockets, the log and the state of servers; `files` the
    certificates with their keys, and should be in memory. Both are made, 0700. A target that is new is down
    until it has answered one health check; one that was known stays what it was over any reload.

    It runs in the network namespace `namespace`, that of its targets, and listens in ours, which it knows by
    the name `machine`. The other way round, with `namespace` at each server, does not do: HAProxy closes its
    namespaces when it begins to stop (`netns_sig_stop`), so that what is left to a replaced worker would be
    answered with 503.
    """

    def __init__(self, directory: Path, files: Path, namespace: str | None = None) -> None:
        self._directory = directory
        self._files = files
        self._namespace = namespace
        self.machine = f"machine-{os.getpid()}-{next(_numbers)}" if namespace else None
        for place in (directory, files):
            place.mkdir(mode=0o700, parents=True, exist_ok=True)
            place.chmod(0o700)
        self._process: subprocess.Popen[bytes] | None = None
        self._text: str | None = None
        self._known: set[tuple[str, str]] = set()
        """Backends and servers that were healthy once."""
        self._lock = threading.RLock()

    @property
    def running(self) -> bool:
        """Whether the process is there."""
        return self._process is not None and self._process.poll() is None

    def apply(self, text: str, files: Mapping[str, str]) -> None:
        """Put a configuration in force, if it is another or nothing runs.

        Raises `HaproxyError` if HAProxy does not take it; what ran before runs on.
        """
        with self._lock:
            if self.running and text == self._text:
                return
            for name, content in files.items():
                self._write(self._files / name, content)
            text_file = self._directory / "next.cfg"
            self._write(text_file, text)
            self._write(
                self._directory / "global.cfg",
                GLOBAL.format(directory=self._directory, old=OLD_WORKER_SECONDS),
            )
            self._name_machine()
            self._check()
            self._remember(text)
            before = self._directory / "balancer.cfg"
            old = before.read_text() if before.exists() else None
            text_file.replace(before)
            try:
                if self.running:
                    self._reload()
                else:
                    self._start()
            except HaproxyError:
                if old is not None:
                    self._write(before, old)
                raise
            self._text = text
            for path in self._files.iterdir():
                if path.name not in files:
                    path.unlink()

    def health(self) -> dict[str, dict[str, State]]:
        """How the targets are: ARN of the target group, instance id, state.

        `initial` lasts until the first successful check, however long. Ask it often (each second): a new
        target's first success puts it in service here, without waiting for the healthy threshold, as an ALB
        does.
        """
        if not self.running:
            return {}
        found: dict[str, dict[str, State]] = {}
        for row in self._statistics():
            server = row["svname"]
            if server in ("FRONTEND", "BACKEND"):
                continue
            backend = row["# pxname"]
            answered = row["status"].startswith("DOWN") and row["check_status"] in ("L7OK", "L7OKC")
            if answered and (backend, server) not in self._known:
                self._ask(f"set server {backend}/{server} health up")
                row["status"] = "UP"
            arn, instance = target_group_arn(backend), server.partition(":")[0]
            found.setdefault(arn, {})[instance] = self._state(backend, server, row["status"])
        return found

    def drain(self, target_group: str, instance_id: str) -> None:
        """Send a target nothing new, its own sticky sessions neither; what it works on comes to its end."""
        with self._lock:
            for row in self._statistics():
                backend, server = row["# pxname"], row["svname"]
                if target_group_arn(backend) == target_group and server.partition(":")[0] == instance_id:
                    self._ask(f"set server {backend}/{server} state maint")

    def sessions(self, instance_id: str) -> int:
        """How many requests and WebSockets are on an instance, those of replaced workers too."""
        if not self.running:
            return 0
        count = 0
        for pid in self._workers():
            with contextlib.suppress(OSError):
                for row in _rows(self._ask(f"@!{pid} show stat", "master.sock")):
                    if row["svname"].partition(":")[0] == instance_id:
                        count += int(row["scur"] or 0)
        return count

    def stop(self) -> None:
        """End it at once, with all its workers."""
        with self._lock:
            process, self._process = self._process, None
            self._text = None
            if self.machine is not None and (NAMESPACES / self.machine).exists():
                # Its name only: the namespace stays.
                subprocess.run(["ip", "netns", "delete", self.machine], capture_output=True, check=False)
            if process is None:
                return
            process.terminate()
            try:
                process.wait(ANSWER_SECONDS)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()

    # The process

    def _command(self, *files: str) -> list[str]:
        enter = [f"--net={NAMESPACES / self._namespace}"] if self._namespace else []
        configuration = (word for name in files for word in ("-f", str(self._directory / name)))
        return ["nsenter", *enter, "haproxy", *configuration]

    def _name_machine(self) -> None:
        """Give our own network namespace the name that the configuration has for it."""
        if self.machine is not None and not (NAMESPACES / self.machine).exists():
            command = ["ip", "netns", "attach", self.machine, str(os.getpid())]
            done = subprocess.run(command, capture_output=True, text=True, check=False)
            if done.returncode != 0:
                raise HaproxyError(f"{' '.join(command)}: {done.stderr.strip()}")

    def _check(self) -> None:
        done = subprocess.run(
            [*self._command("global.cfg", "next.cfg"), "-c"],
            cwd=self._directory,
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode != 0:
            raise HaproxyError(_complaint(done.stderr or done.stdout))

    def _start(self) -> None:
        with (self._directory / "haproxy.log").open("wb") as log:
            self._process = subprocess.Popen(
                [*self._command("global.cfg", "balancer.cfg"), "-W", "-S", "unix@master.sock,mode,600"],
                cwd=self._directory,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        self._wait(set(), 0)

    def _reload(self) -> None:
        before = self._current()
        mark = (self._directory / "haproxy.log").stat().st_size
        self._ask("reload", "master.sock")
        self._wait(before, mark)

    def _wait(self, before: set[int], mark: int) -> None:
        """Until another worker is in service; `mark` is where the log was before."""
        deadline = time.monotonic() + START_SECONDS
        while True:
            if not self.running:
                raise HaproxyError(_complaint(self._log(mark)))
            with contextlib.suppress(OSError):
                if self._current() - before:
                    return
                if "Loading failure" in self._log(mark):
                    raise HaproxyError(_complaint(self._log(mark)))
            if time.monotonic() > deadline:
                raise HaproxyError(f"HAProxy did not start in {START_SECONDS} s: {self._log(mark)[-500:]}")
            time.sleep(0.02)

    def _log(self, mark: int) -> str:
        return (self._directory / "haproxy.log").read_bytes()[mark:].decode(errors="replace")

    def _current(self) -> set[int]:
        """The worker in service, as a set of one; empty while none is."""
        return set(self._processes()[0])

    def _workers(self) -> list[int]:
        current, old = self._processes()
        return [*current, *old]

    def _processes(self) -> tuple[list[int], list[int]]:
        """Workers in service, and those that finish what they have."""
        current: list[int] = []
        old: list[int] = []
        which = current
        for line in self._ask("show proc", "master.sock").splitlines():
            if line.startswith("# old workers"):
                which = old
            elif line.startswith("# programs"):
                break
            elif match := re.match(r"(\d+)\s+worker\s", line):
                which.append(int(match[1]))
        return current, old

    # What is told and asked

    def _statistics(self) -> list[dict[str, str]]:
        return list(_rows(self._ask("show stat")))

    def _state(self, backend: str, server: str, status: str) -> State:
        if status.startswith(("MAINT", "DRAIN")):
            return "draining"
        if status.startswith("UP"):
            self._known.add((backend, server))
            return "healthy"
        return "unhealthy" if (backend, server) in self._known else "initial"

    def _remember(self, text: str) -> None:
        """Write down the state of each server of the coming configuration: new ones are down."""
        before: dict[tuple[str, str], list[str]] = {}
        if self.running:
            for line in self._ask("show servers state").splitlines():
                words = line.split()
                if len(words) > 20 and not line.startswith("#"):
                    before[words[1], words[3]] = words
        lines = []
        backend = ""
        for line in text.splitlines():
            words = line.split()
            if words[:1] == ["backend"]:
                backend = words[1]
            elif words[:1] == ["server"]:
                key = (backend, words[1])
                address, _, port = words[2].rpartition(":")
                fields = before.get(key)
                if fields is None or fields[4] != address or fields[18] != port:
                    self._known.discard(key)
                    fields = ["1", backend, "1", words[1], address, *_DOWN, port, *_REST]
                lines.append(" ".join(fields))
        self._write(self._directory / "states", _STATE_HEADER + "".join(f"{line}\n" for line in lines))

    def _ask(self, command: str, name: str = "worker.sock") -> str:
        """Ask by a socket, whose path may be longer than the 107 characters that one may have."""
        place = os.open(self._directory, os.O_PATH | os.O_DIRECTORY)
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
                connection.settimeout(ANSWER_SECONDS)
                connection.connect(f"/proc/self/fd/{place}/{name}")
                connection.sendall(command.encode() + b"\n")
                connection.shutdown(socket.SHUT_WR)
                answer = b"".join(iter(lambda: connection.recv(65536), b""))
        finally:
            os.close(place)
        return answer.decode(errors="replace")

    def _write(self, path: Path, content: str) -> None:
        """Whole or not at all, readable by its owner alone."""
        new = path.with_name(path.name + ".new")
        new.unlink(missing_ok=True)
        new.touch(mode=0o600, exist_ok=False)
        new.write_text(content)
        new.replace(path)


def _rows(text: str) -> Iterator[dict[str, str]]:
    return csv.DictReader(line for line in text.splitlines() if line)


def _complaint(output: str) -> str:
    """The lines of HAProxy's output that say what is wrong, in one."""
    lines = re.findall(r"^\[ALERT\]\s+\(\d+\) : (.*)$", output, re.MULTILINE)
    useful = [line for line in lines if "rror(s) found" not in line and "Fatal errors" not in line]
    return "HAProxy: " + ("; ".join(useful or lines) or output.strip()[-500:] or "ended")
