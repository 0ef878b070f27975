"""Live deployments: a copy of the project with a home of its own, its stacks, commands, servers and cloud."""

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
FOR_A_STACK = ("up", "live", "preview", "destroy", "output", "password")
"""Commands that take --stack."""
Role = Literal["app", "web-client"]
PORTS: Mapping[Role, int] = {"app": 8069, "web-client": 8080}
"""Where each role of server answers HTTP itself."""
GROUP_OUTPUTS: Mapping[Role, str] = {
    "app": names.APP_AUTOSCALING_GROUP,
    "web-client": names.WEB_CLIENT_AUTOSCALING_GROUP,
}
AWS_SETTINGS = Config(retries={"mode": "standard", "total_max_attempts": 2})
_T = TypeVar("_T")


class DeploymentError(AssertionError):
    """A command failed, or what was waited for did not happen; the message holds what is known."""


def on_this_machine(config: dict[str, Any]) -> None:
    """Change settings that are for AWS so that servers boot here: an image that can be made here, and
    certificates of an authority that clients can be told to trust."""
    config["openerp:package"] = {"source": "image"}
    config["openerp:serverImage"] = "resolve:ssm:/openerp/images/openerp-19.0"
    config["openerp:access"] |= {"certificate": "private", "domain": _local_domain(config)}
    config["openerp:access"].pop("hostedZone", None)


def _local_domain(config: Mapping[str, Any]) -> str:
    host = str(config["openerp:access"]["domain"]).partition(".")[0]
    return f"{host}.openerp.test"


class Deployment:
    """A stack in a directory of its own, under which everything is: `local`, and by `of` any other one.

    The copy has its own settings, which tests change, and its own `dist/`. Images of servers come from the
    cache that all deployments on this machine share.
    """

    def __init__(self, directory: Path, stack: str = STACK) -> None:
        self.directory, self.stack = directory, stack
        self.project, self.home = directory / "project", directory / "home"
        self._outputs: dict[str, dict[str, Any]] = {}
        """By stack; those of all stacks may change with any command."""

    def of(self, stack: str | None) -> Deployment:
        """Another stack of the same copy and home; None: this one."""
        if stack in (None, self.stack):
            return self
        other = Deployment(self.directory, str(stack))
        other._outputs = self._outputs
        return other

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

    @property
    def settings_file(self) -> Path:
        """The copy's settings of the stack."""
        return self.project / f"Pulumi.{self.stack}.yaml"

    def settings(self) -> dict[str, Any]:
        """The stack's settings as they are now. Keys are as in the file."""
        config: dict[str, Any] = yaml.safe_load(self.settings_file.read_text())["config"]
        return config

    def change_settings(self, change: Callable[[dict[str, Any]], None], *, stack: str | None = None) -> None:
        """Change the stack's settings; `up` or `live` makes it so. Keys are as in the file."""
        path = self.of(stack).settings_file
        document = yaml.safe_load(path.read_text())
        change(document["config"])
        path.write_text(yaml.safe_dump(document, sort_keys=False))

    # Commands.

    @property
    def environment(self) -> dict[str, str]:
        """Of the commands below: this home, the images of all homes."""
        return os.environ | {
            "OPENERP_LOCAL_HOME": str(self.home),
            "OPENERP_LOCAL_CACHE": os.environ.get("OPENERP_LOCAL_CACHE", str(ROOT / ".local" / "cache")),
        }

    def run(self, *command: str, seconds: float = 120, stack: str | None = None) -> str:
        """Run a command of `python -m local` to its end; what it printed. It is for this stack, or another
        one."""
        if command[0] in FOR_A_STACK and "--stack" not in command:
            command = (*command, "--stack", self.of(stack).stack)
        ended = self._run(command, "", seconds)
        if ended.returncode:
            raise DeploymentError(
                f"{' '.join(command)} failed:\n{ended.stdout[-6000:]}{ended.stderr[-6000:]}"
            )
        return ended.stdout

    def live(self, *, stack: str | None = None, seconds: float = 600) -> str:
        """Bring the stack up with servers that serve; what was printed."""
        try:
            return self.run("live", seconds=seconds, stack=stack)
        except DeploymentError:
            print(self.consoles(60), flush=True)
            raise

    def ops(self, *arguments: str, given: str = "", seconds: float = 600) -> subprocess.CompletedProcess[str]:
        """Run `python -m local ops` with these arguments and this on its standard input, to whatever end.

        They name the stack themselves.
        """
        return self._run(("ops", *arguments), given, seconds)

    def start_ops(self, *arguments: str) -> subprocess.Popen[str]:
        """Begin `python -m local ops`, in a process group of its own: for a test that kills it."""
        self._outputs.clear()
        return subprocess.Popen(
            [sys.executable, "-m", "local", "ops", *arguments],
            cwd=self.project,
            env=self.environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            process_group=0,
        )

    def _run(self, command: tuple[str, ...], given: str, seconds: float) -> subprocess.CompletedProcess[str]:
        if command[0] not in ("output", "password", "status"):
            self._outputs.clear()
        try:
            return subprocess.run(
                [sys.executable, "-m", "local", *command],
                cwd=self.project,
                env=self.environment,
                input=given,
                capture_output=True,
                text=True,
                timeout=seconds,
            )
        except subprocess.TimeoutExpired as late:
            said = b"".join(text for text in (late.stdout, late.stderr) if text).decode(errors="replace")
            raise DeploymentError(f"{' '.join(command)} took over {seconds} s:\n{said[-4000:]}") from None

    def outputs(self, *, stack: str | None = None) -> dict[str, Any]:
        """The stack's outputs, secrets in plain."""
        name = self.of(stack).stack
        if name not in self._outputs:
            self._outputs[name] = json.loads(self.run("output", "--json", "--show-secrets", stack=name))
        return self._outputs[name]

    def status(self) -> Status:
        """What the data centre says of itself: of the servers of all stacks."""
        found = status.read(nodes.directory(self.home) / "status.json")
        if found is None:
            raise DeploymentError("no server runs")
        return found

    # Reaching it.

    @property
    def clients(self) -> Path:
        """The generated client configuration."""
        return self.project / "dist" / self.stack

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
        name = str(self.outputs()[names.LOAD_BALANCER_DNS_NAME])
        (balancer,) = (one for one in self.status().balancers if one.answers_to(name))
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

    def serves(self, role: Role, server: str) -> bool:
        """Whether a server shows the login page; asked from within, so that no other one answers for it."""
        page = (f"Host: {self.host}", f"http://127.0.0.1:{PORTS[role]}/web/login")
        curl = ("curl", "--silent", "--output", "/dev/null", "--write-out", "%{http_code}")
        return self.inside(server, *curl, "--header", *page).stdout in ("200", "303")

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
    stack: str = STACK,
) -> Iterator[Deployment]:
    """Bring a deployment of a stack up in a directory; with `keep`, leave it running at the end.

    `first` is done when the stack is up and no server runs yet.
    """
    places.stay_on_this_machine()
    made = Deployment(directory, stack)
    made.copy_project(change)
    try:
        if first is not None:
            made.run("up")
            first(made)
        begin = time.monotonic()
        print(made.live(seconds=seconds), flush=True)
        print(f"live after {time.monotonic() - begin:.0f} s", flush=True)
        yield made
    finally:
        if not keep:
            made.run("down", seconds=300)
