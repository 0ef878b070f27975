"""Servers: systemd containers that boot an image. cloud-init in them asks the metadata service for the rest.

Everything of a server is in its directory: `upper` (what it wrote to its disk, kept from run to run),
`console.log` and `console.log.1`. Must be used below `local.nodes.namespaces.launch`.
"""

from __future__ import annotations

import contextlib
import gzip
import os
import shutil
import signal
import subprocess
import threading
import time
from collections.abc import Mapping, Sequence
from hashlib import sha256
from pathlib import Path
from subprocess import CompletedProcess
from typing import Final

from local.nodes import namespaces, shell
from local.nodes.file_systems import MountError, provide
from local.nodes.model import AccessPoint, Instance
from local.processes import identity

CONSOLE_BYTES: Final = 1_000_000
"""How long a console log grows before it is put aside; one old log is kept."""
FILE_STORE: Final = "srv/openerp"
STAMPS: Final = ("apt-daily", "apt-daily-upgrade", "dpkg-db-backup", "logrotate", "fstrim", "e2scrub_all")
"""Timers that catch up on a missed run: without a stamp they would all run at the first boot."""
CAPABILITIES: Final = ("CAP_BPF", "CAP_IPC_LOCK", "CAP_NET_ADMIN", "CAP_PERFMON")
"""What systemd needs inside, besides nspawn's defaults, to fence units in (IPAddressDeny) as on a machine."""
SYSTEM_CALLS: Final = ("bpf",)
AFTER_KILL: Final = 10.0
"""Seconds for the kernel to end what was killed."""
BOOTED: Final = "run/cloud-init/result.json"
"""What cloud-init leaves at the end of a boot, when all that user data name is there."""
ENVIRONMENT: Final = {
    "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
    "LANG": "C.UTF-8",
}
"""Of commands inside."""
GOING: Final = 0.5
"""Seconds in which it shows whether a command was killed because its server ended."""


class MachineError(Exception):
    """A server cannot be started; the message says why."""


def _children(pid: int) -> list[int]:
    try:
        return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    except (FileNotFoundError, ProcessLookupError):
        return []


def _enter(leader: int) -> list[str]:
    """What comes before a command that is to be run inside."""
    namespaces_of_it = ("--mount", "--uts", "--ipc", "--net", "--pid", "--cgroup")
    return ["nsenter", "--target", str(leader), *namespaces_of_it, "--root", "--wd", "--"]


def _plain(user_data: bytes) -> bytes:
    """User data without its compression."""
    return gzip.decompress(user_data) if user_data.startswith(b"\x1f\x8b") else user_data


class Machine:
    """One server."""

    def __init__(
        self,
        *,
        instance: Instance,
        directory: Path,
        root: Path,
        namespace: str,
        file_systems: Path,
        access_points: Sequence[AccessPoint],
        database_ca: Path,
        endpoint_port: int,
    ) -> None:
        """`root` is its image, `namespace` a name in /run/netns; `file_systems` has a folder for each id.

        It mounts the access point that its user data name; nothing where they name none.
        """
        self.instance = instance
        self.directory = directory
        self.console = directory / "console.log"
        self._image = root
        self._namespace = namespace
        self._file_systems = file_systems
        self._access_points = access_points
        self._database_ca = database_ca
        self._endpoint_port = endpoint_port
        self._root = directory / "root"
        self._process: subprocess.Popen[bytes] | None = None
        self._reader: threading.Thread | None = None

    # Start

    def start(self) -> None:
        """Boot it, for the first time or again with the disk that it had. Raises MachineError."""
        if self.alive():
            return
        try:
            store = self._file_store()
            self._mount()
            self._write_files()
        except MountError as error:
            raise MachineError(f"{self.instance.id}: {error}") from None
        except (OSError, subprocess.CalledProcessError) as error:
            detail = getattr(error, "stderr", None)
            raise MachineError(f"{self.instance.id}: {detail.strip() if detail else error}") from None
        groups = namespaces.make_groups(namespaces.own_group(), self.instance.id)
        self.console.touch()
        end, console = os.pipe()
        self._process = subprocess.Popen(
            namespaces.joined(groups, self._command(store)),
            stdin=subprocess.DEVNULL,
            stdout=console,
            stderr=subprocess.STDOUT,
            # Control groups of version 2 alone inside, as a virtual machine has.
            env={"PATH": os.environ.get("PATH", os.defpath), "UNIFIED_CGROUP_HIERARCHY": "1"},
            start_new_session=True,
        )
        os.close(console)
        name = f"console {self.instance.id}"
        self._reader = threading.Thread(target=self._keep_console, args=(end,), name=name, daemon=True)
        self._reader.start()

    def _mount(self) -> None:
        """Its disk: what it wrote, above an image that nobody changes."""
        upper, work = self.directory / "upper", self.directory / "work"
        image = self.directory / "image"
        if image.exists() and Path(image.read_text()).is_dir():
            self._image = Path(image.read_text())
        else:
            # A disk is worth nothing without the image that it was begun on.
            shutil.rmtree(upper, ignore_errors=True)
        for directory in (upper, work, self._root):
            directory.mkdir(parents=True, exist_ok=True)
        image.write_text(str(self._image))
        if self._root.is_mount():
            return
        upper.chmod(0o755)
        options = f"lowerdir={self._image},upperdir={upper},workdir={work}"
        subprocess.run(
            ["mount", "-t", "overlay", "overlay", "-o", options, str(self._root)],
            check=True,
            capture_output=True,
            text=True,
        )

    def _write(self, path: str, content: bytes | str) -> None:
        target = self._root / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(content.encode() if isinstance(content, str) else content)
        target.chmod(0o644)

    def _write_files(self) -> None:
        endpoint = f"http://127.0.0.1:{self._endpoint_port}"
        self._write("etc/openerp/file-store-provided", "")
        self._write("etc/openerp/database-ca.pem", self._database_ca.read_bytes())
        # No credentials: they come from the instance's metadata.
        self._write("etc/openerp/aws.env", f"AWS_ENDPOINT_URL={endpoint}\n")
        (self._root / FILE_STORE).mkdir(parents=True, exist_ok=True)
        identity = self._root / "etc/machine-id"
        if not identity.exists() or not identity.read_text().strip():
            self._write("etc/machine-id", sha256(self.instance.id.encode()).hexdigest()[:32] + "\n")
            for stamp in STAMPS:
                self._write(f"var/lib/systemd/timers/stamp-{stamp}.timer", "")

    def _file_store(self) -> Path | None:
        """What is mounted as the file store."""
        text = _plain(self.instance.user_data)
        named = [access for access in self._access_points if access.id.encode() in text]
        if len(named) > 1:
            names = ", ".join(access.id for access in named)
            raise MountError(f"the user data name more than one access point: {names}")
        return provide(self._file_systems, named[0]) if named else None

    def _command(self, store: Path | None) -> list[str]:
        command = [
            *("systemd-nspawn", "--quiet", "--boot", "--register=no", "--keep-unit", "--console=read-only"),
            *("--resolv-conf=off", "--timezone=off", "--link-journal=no", "--private-users=no"),
            f"--capability={','.join(CAPABILITIES)}",
            f"--system-call-filter={' '.join(SYSTEM_CALLS)}",
            f"--directory={self._root}",
            f"--machine={self.instance.id}",
            f"--network-namespace-path=/run/netns/{self._namespace}",
        ]
        if store is not None:
            command.append(f"--bind={store}:/{FILE_STORE}")
        return command

    def _keep_console(self, stream: int) -> None:
        """Write what the console says to its log, which is put aside when it is long."""
        old = self.console.with_name(f"{self.console.name}.1")
        log = self.console.open("ab", buffering=0)
        try:
            while block := os.read(stream, 65536):
                log.write(block)
                if log.tell() > CONSOLE_BYTES:
                    log.close()
                    self.console.replace(old)
                    log = self.console.open("ab", buffering=0)
        finally:
            log.close()
            os.close(stream)

    # While it runs

    def alive(self) -> bool:
        """Whether it runs: from its start until the container has ended."""
        return self._process is not None and self._process.poll() is None

    def _leader(self) -> int | None:
        """The container's first process, as seen here."""
        if self._process is None or not self.alive():
            return None
        found = _children(self._process.pid)
        return found[-1] if found else None

    def booted(self) -> bool:
        """Whether its first process is done with what the user data say; services may still start."""
        leader = self._leader()
        # A link of the server's own making: it is not followed.
        return leader is not None and os.path.lexists(f"/proc/{leader}/root/{BOOTED}")

    def run(self, *command: str) -> CompletedProcess[str]:
        """Run a command inside, as root, and return what became of it."""
        leader = self._leader()
        if leader is None:
            return CompletedProcess(command, 255, "", f"{self.instance.id} does not run")
        return subprocess.run(
            [*_enter(leader), *command],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            env=ENVIRONMENT,
            check=False,
        )

    def script(
        self, script: shell.Script, cancelled: threading.Event, *, more: Mapping[str, str]
    ) -> shell.Ended:
        """Run a script inside, as root, as Run Command does; `more` is added to its environment."""
        leader = self._leader()
        known = identity(leader) if leader is not None else None
        if leader is None or known is None:
            return shell.undeliverable()
        ended = shell.run(_enter(leader), script, {**ENVIRONMENT, **more}, cancelled)
        until = time.monotonic() + GOING
        while ended.code < 0 and time.monotonic() < until:
            if identity(leader) != known:
                return shell.undeliverable(ended.started)
            time.sleep(0.02)
        return ended

    # End

    def stop(self, seconds: float) -> None:
        """Shut it down in order; what has not ended after `seconds` is killed."""
        if self._process is not None and self.alive():
            # nspawn passes it on as SIGRTMIN+3, systemd's word for halt.
            self._process.send_signal(signal.SIGTERM)
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(seconds)
        self.kill()

    def kill(self) -> None:
        """End it at once, as if the power went."""
        if self._process is not None:
            leader = self._leader()
            for pid in (leader, self._process.pid):
                if pid is not None and self._process.poll() is None:
                    with contextlib.suppress(ProcessLookupError):
                        os.kill(pid, signal.SIGKILL)
            self._process.wait(AFTER_KILL)
            if self._reader is not None:
                self._reader.join(AFTER_KILL)
            self._process = self._reader = None
        self._unmount()

    def _unmount(self) -> None:
        namespaces.remove_groups(namespaces.own_group(), self.instance.id, AFTER_KILL)
        deadline = time.monotonic() + AFTER_KILL
        while self._root.is_mount():
            done = subprocess.run(["umount", str(self._root)], capture_output=True, text=True, check=False)
            if done.returncode != 0:
                if time.monotonic() > deadline:
                    raise MachineError(f"{self.instance.id}: {done.stderr.strip()}")
                time.sleep(0.05)

    def remove(self) -> None:
        """End it and remove its disk."""
        self.kill()
        shutil.rmtree(self.directory, ignore_errors=True)
