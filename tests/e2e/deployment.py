"""One live deployment: a copy of the project with a home of its own, its commands, servers and cloud."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal, TypeVar

import boto3
import yaml
from botocore.config import Config

from core import outputs as names
from local import home as places
from local import nodes
from local.emulator import running
from local.nodes import status
from local.nodes.status import Status
from tests.load.users import Entrance

ROOT = Path(__file__).resolve().parents[2]
COPIED = ("local", "core", "components", "deployment", "ops")
STACK = "local"
Role = Literal["app", "web-client"]
GROUP_OUTPUTS: Mapping[Role, str] = {
    "app": names.APP_AUTOSCALING_GROUP,
    "web-client": names.WEB_CLIENT_AUTOSCALING_GROUP,
}
AWS_SETTINGS = Config(retries={"mode": "standard", "total_max_attempts": 2})
_T = TypeVar("_T")


class DeploymentError(AssertionError):
    """A command failed, or what was waited for did not happen; the message holds what is known."""


class Deployment:
    """The stack `local` in a directory of its own, under which everything is.

    The copy has its own settings, which tests change, and its own `dist/`. Images of servers come from the
    cache that all deployments on this machine share.
    """

    def __init__(self, directory: Path) -> None:
        self.project, self.home = directory / "project", directory / "home"
        self._outputs: dict[str, Any] | None = None

    def copy_project(self, change: Callable[[dict[str, Any]], None] | None = None) -> None:
        """Copy the code as it is now, and the settings with a change."""
        for name in COPIED:
            shutil.copytree(
                ROOT / name,
                self.project / name,
                ignore=shutil.ignore_patterns("__pycache__"),
                dirs_exist_ok=True,
            )
        for path in [*ROOT.glob("*.py"), *ROOT.glob("Pulumi*.yaml")]:
            shutil.copy(path, self.project)
        if change is not None:
            self.change_settings(change)

    def change_settings(self, change: Callable[[dict[str, Any]], None]) -> None:
        """Change the stack's settings; `up` or `live` makes it so. Keys are as in the file."""
        path = self.project / f"Pulumi.{STACK}.yaml"
        document = yaml.safe_load(path.read_text())
        change(document["config"])
        path.write_text(yaml.safe_dump(document, sort_keys=False))

    # Commands.

    def run(self, *command: str, seconds: float = 120) -> str:
        """Run a command of `python -m local` to its end; what it printed."""
        environment = os.environ | {
            "OPENERP_LOCAL_HOME": str(self.home),
            "OPENERP_LOCAL_CACHE": os.environ.get("OPENERP_LOCAL_CACHE", str(ROOT / ".local" / "cache")),
        }
        try:
            ended = subprocess.run(
                [sys.executable, "-m", "local", *command],
                cwd=self.project,
                env=environment,
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                timeout=seconds,
            )
        except subprocess.TimeoutExpired as late:
            said = (late.stdout or b"").decode(errors="replace")
            raise DeploymentError(f"{' '.join(command)} took over {seconds} s:\n{said[-4000:]}") from None
        if ended.returncode:
            raise DeploymentError(
                f"{' '.join(command)} failed:\n{ended.stdout[-6000:]}{ended.stderr[-6000:]}"
            )
        self._outputs = None
        return ended.stdout

    def outputs(self) -> dict[str, Any]:
        """The stack's outputs, secrets in plain."""
        if self._outputs is None:
            self._outputs = json.loads(self.run("output", "--json", "--show-secrets"))
        return self._outputs

    def status(self) -> Status:
        """What the data centre says of itself."""
        found = status.read(nodes.directory(self.home) / "status.json")
        if found is None:
            raise DeploymentError("no server runs")
        return found

    # Reaching it.

    @property
    def clients(self) -> Path:
        """The generated client configuration."""
        return self.project / "dist" / STACK

    @property
    def rpc(self) -> dict[str, Any]:
        """The generated rpc.json."""
        value: dict[str, Any] = json.loads((self.clients / "rpc.json").read_text())
        return value

    @property
    def host(self) -> str:
        """The public host name."""
        return str(self.outputs()[names.RPC_HOST])

    @property
    def hosts(self) -> dict[str, str]:
        """The public host name and the loopback address that it leads to."""
        (balancer,) = self.status().balancers
        return {self.host: balancer.bind}

    def entrance(self) -> Entrance:
        """How simulated people reach it."""
        ((host, address),) = self.hosts.items()
        return Entrance(
            url=f"https://{host}",
            host=host,
            address=address,
            authority=self.clients / "ca.pem",
            database=str(self.outputs()[names.WORKING_DATABASE]),
        )

    def administrator(self) -> tuple[str, str]:
        """The first login: user and password."""
        return "admin", str(self.secret(self.outputs()[names.ADMINISTRATOR_SECRET_ARN])["password"])

    def secret(self, arn: str) -> dict[str, Any]:
        """A secret's value."""
        text = self.aws("secretsmanager").get_secret_value(SecretId=arn)["SecretString"]
        value: dict[str, Any] = json.loads(text)
        return value

    # The cloud.

    def aws(self, service: str) -> Any:
        """A client of the emulator."""
        emulator = running(self.home)
        if emulator is None:
            raise DeploymentError("the emulator does not run")
        return boto3.client(
            service,
            region_name=str(self.outputs()[names.REGION]),
            endpoint_url=emulator.endpoint_url,
            aws_access_key_id="local",
            aws_secret_access_key="local",
            config=AWS_SETTINGS,
        )

    def group_name(self, role: Role) -> str:
        """The Auto Scaling group of a role."""
        return str(self.outputs()[GROUP_OUTPUTS[role]])

    def group(self, role: Role) -> dict[str, Any]:
        """What Auto Scaling says of it."""
        found = self.aws("autoscaling").describe_auto_scaling_groups(
            AutoScalingGroupNames=[self.group_name(role)]
        )
        group: dict[str, Any] = found["AutoScalingGroups"][0]
        return group

    def servers(self, role: Role) -> list[str]:
        """The instances of a role."""
        return [one["InstanceId"] for one in self.group(role)["Instances"]]

    def health(self, role: Role) -> dict[str, str]:
        """What the load balancer says of each registered server: `healthy`, `unhealthy`, `draining` …"""
        elbv2 = self.aws("elbv2")
        return {
            one["Target"]["Id"]: one["TargetHealth"]["State"]
            for arn in self.group(role)["TargetGroupARNs"]
            for one in elbv2.describe_target_health(TargetGroupArn=arn)["TargetHealthDescriptions"]
        }

    def healthy(self, role: Role) -> set[str]:
        """The servers that the load balancer sends requests to."""
        return {instance for instance, state in self.health(role).items() if state == "healthy"}

    def scale(self, role: Role, servers: int, *, seconds: float = 240) -> set[str]:
        """Wish for so many servers, and wait until exactly so many are healthy; which."""
        self.aws("autoscaling").set_desired_capacity(
            AutoScalingGroupName=self.group_name(role), DesiredCapacity=servers, HonorCooldown=False
        )
        return self.wait(
            f"{servers} healthy {role} servers",
            lambda: ids if len(ids := self.healthy(role)) == servers == len(self.servers(role)) else None,
            seconds,
        )

    def wait(self, what: str, check: Callable[[], _T | None], seconds: float) -> _T:
        """Wait until `check` gives something, and return that."""
        deadline = time.monotonic() + seconds
        while True:
            found = check()
            if found:
                return found
            if time.monotonic() > deadline:
                raise DeploymentError(f"no {what} after {seconds:.0f} s\n{self.situation()}")
            time.sleep(0.5)

    def wait_for_test_database(self) -> str:
        """Wait until the test database is made, which goes on while the working one is served; gives the
        app server that looked."""
        server = min(self.healthy("app"))
        unit = "openerp-test-database"
        self.wait(
            "test database",
            lambda: self.inside(server, "systemctl", "is-active", unit).stdout.strip() == "active" or None,
            seconds=240,
        )
        return server

    def situation(self) -> str:
        """Groups, health and the last console lines, for the message of a failure."""
        lines = []
        for role in GROUP_OUTPUTS:
            group = self.group(role)
            states = {one["InstanceId"]: one["LifecycleState"] for one in group["Instances"]}
            lines.append(f"{role}: wants {group['DesiredCapacity']}, {states}, health {self.health(role)}")
        return "\n".join([*lines, self.consoles(8)])

    def consoles(self, number: int) -> str:
        """The last lines of every server's console."""
        lines = []
        for console in sorted(self.home.glob("nodes/instances/*/console.log")):
            lines.append(f"--- {console.parent.name}")
            lines += console.read_text(errors="replace").splitlines()[-number:]
        return "\n".join(lines)

    # Inside a server.

    def leader(self, instance: str) -> int:
        """The process that is PID 1 of a server, by its number on this machine."""
        for process in Path("/proc").iterdir():
            if not process.name.isdecimal():
                continue
            try:
                arguments = (process / "cmdline").read_text().split("\0")
                children = (process / "task" / process.name / "children").read_text().split()
            except (OSError, UnicodeDecodeError):
                continue
            if Path(arguments[0]).name == "systemd-nspawn" and children:
                text = " ".join(arguments)
                if instance in text and str(self.home) in text:
                    return int(children[0])
        raise DeploymentError(f"{instance} does not run")

    def inside(
        self, instance: str, *command: str, given: str = "", seconds: float = 60
    ) -> subprocess.CompletedProcess[str]:
        """Run a command in a server, as root, with this on its standard input."""
        return subprocess.run(
            ["nsenter", "--target", str(self.leader(instance)), "--all", "--", *command],
            env={"PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "LANG": "C.UTF-8"},
            input=given,
            capture_output=True,
            text=True,
            timeout=seconds,
        )

    def kill(self, instance: str) -> None:
        """Take a server down as if its power went."""
        os.kill(self.leader(instance), signal.SIGKILL)

    def answered(self, path: str) -> set[str]:
        """The servers whose nginx has seen a request for this path."""
        log = "/var/log/openerp-nginx/access.log"
        return {
            instance
            for role in GROUP_OUTPUTS
            for instance in self.healthy(role)
            if self.inside(instance, "grep", "-q", f' {path}" ', log).returncode == 0
        }


@contextmanager
def deployment(
    directory: Path,
    change: Callable[[dict[str, Any]], None] | None = None,
    *,
    first: Callable[[Deployment], None] | None = None,
    seconds: float = 600,
    keep: bool = False,
) -> Iterator[Deployment]:
    """Bring a deployment up in a directory; with `keep`, leave it running at the end.

    `first` is done when the stack is up and no server runs yet.
    """
    places.stay_on_this_machine()
    made = Deployment(directory)
    made.copy_project(change)
    try:
        if first is not None:
            made.run("up")
            first(made)
        begin = time.monotonic()
        try:
            print(made.run("live", seconds=seconds), flush=True)
        except DeploymentError:
            print(made.consoles(60), flush=True)
            raise
        print(f"live after {time.monotonic() - begin:.0f} s", flush=True)
        yield made
    finally:
        if not keep:
            made.run("down", seconds=300)
