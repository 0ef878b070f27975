"""A stack's servers by SSM Run Command: what must be done where Odoo and the file store are.

Nothing secret goes this way: a command's text and its output are kept by SSM.
"""

from __future__ import annotations

import base64
import json
import shlex
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final, Literal

from botocore.exceptions import ClientError

from core import outputs as names
from ops.aws import Aws, code, explained, wait
from ops.console import Reporter
from ops.errors import OpsError
from ops.stack import Stack

Role = Literal["app", "web-client"]
GROUPS: Final[Mapping[Role, str]] = {
    "app": names.APP_AUTOSCALING_GROUP,
    "web-client": names.WEB_CLIENT_AUTOSCALING_GROUP,
}
OUTPUT_LIMIT: Final = 24_000
"""Characters of a command's output that SSM keeps (API reference, GetCommandInvocation)."""
ENDED: Final = frozenset({"Success", "Failed", "TimedOut", "Cancelled", "Undeliverable", "Terminated"})
PROGRAM: Final = """\
import base64, json, os, sys, zlib
sys.path.insert(0, "/usr/local/lib/openerp")
try:
    with open("/etc/openerp/aws.env") as file:
        os.environ.update(line.strip().split("=", 1) for line in file if "=" in line)
except FileNotFoundError:
    pass
given = json.loads(zlib.decompress(base64.b64decode(sys.stdin.read())))
module = {"__name__": "ops_on_server"}
exec(compile(given["source"], given["name"], "exec"), module)
try:
    answer = module[given["function"]](**given["arguments"])
except Exception as error:
    kind = type(error).__name__
    sys.exit(str(error) if kind == "StepError" else f"{kind}: {error}")
print("\\n" + base64.b64encode(zlib.compress(json.dumps(answer).encode(), 9)).decode())
"""
"""What calls a function on a server: with the server's package `openerp_server` and its environment for AWS
(both as core/servers/ has them), an error as one line, the answer compressed."""


class ServerError(OpsError):
    """A command on a server ended badly; `said` is the end of what it wrote to standard error."""

    def __init__(self, message: str, said: str) -> None:
        super().__init__(message)
        self.said = said


class Servers:
    """The servers of one stack, or one that stands alone."""

    def __init__(self, aws: Aws, stack: Stack, reporter: Reporter | None = None) -> None:
        self._aws = aws
        self._stack = stack
        self.reporter = reporter or Reporter()

    def instances(self, role: Role) -> list[str]:
        """Return the instances of a role's Auto Scaling group, whatever their state."""
        group = self._stack.output(GROUPS[role])
        with explained(f"the servers of {group}"):
            found = self._aws.client("autoscaling").describe_auto_scaling_groups(
                AutoScalingGroupNames=[group]
            )["AutoScalingGroups"]
        return sorted(item["InstanceId"] for row in found for item in row["Instances"])

    def online(self, role: Role = "app") -> list[str]:
        """Return the servers of a role that Run Command reaches at this moment."""
        return self.reached(self.instances(role))

    def reached(self, instances: list[str]) -> list[str]:
        """Return those of `instances` that Run Command reaches at this moment."""
        if not instances:
            return []
        with explained("the servers that Run Command reaches"):
            pages = (
                self._aws.client("ssm")
                .get_paginator("describe_instance_information")
                .paginate(Filters=[{"Key": "InstanceIds", "Values": instances}])
            )
            return sorted(
                row["InstanceId"]
                for page in pages
                for row in page["InstanceInformationList"]
                if row["PingStatus"] == "Online"
            )

    def one(self, role: Role = "app") -> str:
        """Return a server that Run Command reaches. Raises OpsError where there is none."""
        found = self.online(role)
        if not found:
            raise OpsError(
                f"no {role} server of {self._stack.name} is reached by SSM Run Command: are its servers up "
                "(`aws ssm describe-instance-information`)?"
            )
        return found[0]

    def run(self, instance: str, script: str, *, what: str, seconds: int = 600) -> str:
        """Run a shell script as root on a server and return what it printed.

        Raises ServerError with the end of its error output where it fails, OpsError where it is not reached.
        """
        ssm = self._aws.client("ssm")
        with explained(f"{what} on {instance}"):
            sent = ssm.send_command(
                InstanceIds=[instance],
                DocumentName="AWS-RunShellScript",
                Comment=what[:100],
                TimeoutSeconds=60,
                Parameters={"commands": [script], "executionTimeout": [str(seconds)]},
            )["Command"]["CommandId"]

        def look() -> Mapping[str, Any] | None:
            with explained(f"{what} on {instance}"):
                try:
                    found: Mapping[str, Any] = ssm.get_command_invocation(CommandId=sent, InstanceId=instance)
                except ClientError as error:
                    if code(error) == "InvocationDoesNotExist":  # not known everywhere yet
                        return None
                    raise
            return found if found["Status"] in ENDED else None

        try:
            ended = wait(f"{what} on {instance}", look, self.reporter, seconds=seconds + 120, every=2)
        except KeyboardInterrupt:
            with explained(f"{what} on {instance}"):
                ssm.cancel_command(CommandId=sent)
            raise
        if ended["Status"] != "Success":
            said = str(ended.get("StandardErrorContent") or ended.get("StandardOutputContent") or "").strip()
            last = " | ".join(line for line in said.splitlines()[-5:] if line.strip())
            detail = last or f"status {ended['Status']}"
            raise ServerError(f"{what} on {instance} failed: {detail}", said)
        return str(ended["StandardOutputContent"])

    def python(
        self,
        instance: str,
        module: Path,
        function: str,
        arguments: Mapping[str, Any],
        *,
        what: str,
        seconds: int = 600,
    ) -> Any:
        """Call a function of a module of ours on a server, as root, and return what it returns, by JSON.

        The module is sent as it is; it may import the standard library, Debian's packages of the server and
        `openerp_server`. Both ways travel compressed: SSM takes 64 KB, and gives 24,000 characters back.
        """
        packed = base64.b64encode(
            zlib.compress(
                json.dumps(
                    {
                        "source": module.read_text(encoding="utf-8"),
                        "name": module.name,
                        "function": function,
                        "arguments": arguments,
                    }
                ).encode(),
                9,
            )
        ).decode()
        program = shlex.quote(PROGRAM)
        script = f"exec python3 -B -c {program} <<'OPENERP_OPS'\n{packed}\nOPENERP_OPS\n"
        if len(script) > 60_000:
            raise OpsError(f"{what}: {len(script):,} bytes are more than SSM takes in one command")
        printed = self.run(instance, script, what=what, seconds=seconds).rstrip().rpartition("\n")[2]
        try:
            return json.loads(zlib.decompress(base64.b64decode(printed, validate=True)))
        except (ValueError, zlib.error):
            raise OpsError(f"{what} on {instance}: no answer came back, but {printed[:200]!r}") from None
