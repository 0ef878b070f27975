"""Systems Manager: Run Command on the servers that run (`local.nodes`), and which these are.

A command is a shell script for one or more servers (`AWS-RunShellScript`), as their agents take it. Where no
server runs there is none to send to.
"""

from __future__ import annotations

import json
import re
import time
from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, datetime
from typing import Any, Final

from moto.core.utils import utcnow
from moto.ssm.responses import SimpleSystemManagerResponse

from local.emulator.commands import OPEN, Command, Invocation
from local.emulator.extensions import Context
from local.emulator.extensions.toolkit import Parameters, add, errors
from local.emulator.nodes import Nodes

error = errors("ssm")

DOCUMENT: Final = "AWS-RunShellScript"
PLUGIN: Final = "aws:runShellScript"
TAKES: Final = {"commands", "executionTimeout", "workingDirectory"}
"""Parameters of the document."""
LONGEST: Final = 172800
"""Seconds that a command may take (the document's own limit)."""
USUAL: Final = 3600
"""Seconds that it may take, and wait for its server, unless it is said otherwise."""
MOST: Final = 64 * 1024
"""Bytes of a command in all (AWS General Reference, Systems Manager quotas)."""
OUTPUT: Final = 2500
"""Characters of the output that a list of invocations shows."""
PAGE: Final = 50
AGENT: Final = "3.3.0.0"


class _Ssm:
    """The operations; `nodes` knows what runs."""

    def __init__(self, nodes: Nodes) -> None:
        self._nodes = nodes
        self._commands = nodes.commands

    # Commands

    def send_command(self, response: Any, given: Parameters) -> dict[str, Any]:
        """Gives a script to servers."""
        if given["DocumentName"].rpartition("/")[2] != DOCUMENT:
            raise error(
                "InvalidDocument", f"Document {given['DocumentName']} does not exist here: {DOCUMENT}"
            )
        named, targets = given.get("InstanceIds") or [], given.get("Targets") or []
        if bool(named) == bool(targets):
            raise error("ValidationException", "Specify either InstanceIds or Targets")
        online = self._online(response)
        wrong = [name for name in named if name not in online]
        if wrong:
            listed, account = ", ".join(wrong), response.current_account
            raise error(
                "InvalidInstanceId", f"Instances [[{listed}]] not in a valid state for account {account}"
            )
        parameters = given.get("Parameters") or {}
        command = Command(
            region=response.region,
            document=DOCUMENT,
            requested=time.time(),
            delivery=int(given.get("TimeoutSeconds") or USUAL),
            execution=_execution_timeout(parameters),
            comment=given.get("Comment") or "",
            parameters=parameters,
            targets=tuple(targets),
            given=tuple(dict.fromkeys(named)),
        )
        chosen = command.given or [name for name, row in online.items() if _targeted(row, targets)]
        return {"Command": _command(self._commands.send(command, chosen))}

    def cancel_command(self, response: Any, given: Parameters) -> None:
        """Ends a command; what its script has done stays done."""
        command = self._find(response, given["CommandId"])
        self._commands.cancel(command, given.get("InstanceIds") or [*command.invocations])

    def get_command_invocation(self, response: Any, given: Parameters) -> dict[str, Any]:
        """What became of a command on a server."""
        command = self._commands.find(response.region, given["CommandId"])
        row = command.invocations.get(given["InstanceId"]) if command else None
        if command is None or row is None:
            raise error("InvocationDoesNotExist", "An invocation of this command on this server is not known")
        if given.get("PluginName", PLUGIN) != PLUGIN:
            raise error("InvalidPluginName", f"The command has no plugin {given['PluginName']}")
        return {
            "CommandId": command.id,
            "InstanceId": row.instance,
            "Comment": command.comment,
            "DocumentName": command.document,
            "DocumentVersion": "$DEFAULT",
            "PluginName": PLUGIN,
            "ResponseCode": row.code,
            "ExecutionStartDateTime": _text(row.started),
            "ExecutionElapsedTime": _elapsed(row),
            "ExecutionEndDateTime": _text(row.ended),
            "Status": row.status,
            "StatusDetails": row.details,
            "StandardOutputContent": row.stdout,
            "StandardOutputUrl": "",
            "StandardErrorContent": row.stderr,
            "StandardErrorUrl": "",
        }

    def list_commands(self, response: Any, given: Parameters) -> dict[str, Any]:
        """The commands, the newest first."""
        rows = [
            _command(command)
            for command in self._chosen(response, given)
            if given.get("InstanceId") is None or given["InstanceId"] in command.invocations
        ]
        return _page(_filtered(rows, given), given, "Commands")

    def list_command_invocations(self, response: Any, given: Parameters) -> dict[str, Any]:
        """The commands by server, the newest first."""
        rows = [
            self._invocation(response, command, row, details=bool(given.get("Details")))
            for command in self._chosen(response, given)
            for row in command.invocations.values()
            if given.get("InstanceId") in (None, row.instance)
        ]
        return _page(_filtered(rows, given), given, "CommandInvocations")

    def _chosen(self, response: Any, given: Parameters) -> list[Command]:
        if given.get("CommandId"):
            return [self._find(response, given["CommandId"])]
        return self._commands.all(response.region)

    def _find(self, response: Any, identifier: str) -> Command:
        found = self._commands.find(response.region, identifier)
        if found is None:
            raise error("InvalidCommandId", f"The command {identifier} does not exist")
        return found

    def _invocation(
        self, response: Any, command: Command, row: Invocation, *, details: bool
    ) -> dict[str, Any]:
        instance = _instances(response).get(row.instance)
        plugin = {
            "Name": PLUGIN,
            "Status": row.status,
            "StatusDetails": row.details,
            "ResponseCode": row.code,
            "ResponseStartDateTime": row.started,
            "ResponseFinishDateTime": row.ended,
            "Output": (row.stdout + (f"\n----------ERROR-------\n{row.stderr}" if row.stderr else ""))[
                :OUTPUT
            ],
        }
        return {
            "CommandId": command.id,
            "InstanceId": row.instance,
            "InstanceName": _tags(instance).get("Name", "") if instance else "",
            "Comment": command.comment,
            "DocumentName": command.document,
            "DocumentVersion": "$DEFAULT",
            "RequestedDateTime": command.requested,
            "Status": row.status,
            "StatusDetails": row.details,
            "CommandPlugins": [plugin] if details else [],
        }

    # Servers

    def describe_instance_information(self, response: Any, given: Parameters) -> dict[str, Any]:
        """The servers that Run Command reaches."""
        now = utcnow()
        rows = [
            {
                "InstanceId": name,
                "PingStatus": "Online",
                "LastPingDateTime": now,
                "AgentVersion": AGENT,
                "IsLatestVersion": True,
                "PlatformType": "Linux",
                "PlatformName": "Debian GNU/Linux",
                "PlatformVersion": "13",
                "ResourceType": "EC2Instance",
                "IPAddress": instance.private_ip or "",
                "ComputerName": instance.private_dns_name,
                "SourceId": name,
                "SourceType": "AWS::EC2::Instance",
            }
            for name, instance in self._online(response).items()
            if all(_passes(name, instance, key, values) for key, values in _wanted(given))
        ]
        return _page(rows, given, "InstanceInformationList")

    def _online(self, response: Any) -> dict[str, Any]:
        """EC2's instances whose servers take commands."""
        names = self._nodes.online(response.region)
        return {
            name: instance
            for name, instance in _instances(response).items()
            if name in names and instance.state == "running"
        }


def _instances(response: Any) -> dict[str, Any]:
    from moto.ec2.models import ec2_backends

    backend = ec2_backends[response.current_account][response.region]
    return {
        instance.id: instance
        for reservation in backend.reservations.values()
        for instance in reservation.instances
    }


def _tags(instance: Any) -> dict[str, str]:
    return {row["key"]: row["value"] for row in instance.get_tags()}


def _targeted(instance: Any, targets: Iterable[Mapping[str, Any]]) -> bool:
    return all(_passes(instance.id, instance, row["Key"], row.get("Values") or []) for row in targets)


def _passes(name: str, instance: Any, key: str, values: Iterable[str]) -> bool:
    """Whether a filter or target takes an instance."""
    if key.startswith("tag:"):
        return _tags(instance).get(key.removeprefix("tag:"), "") in values
    if key == "tag-key":
        return bool(_tags(instance).keys() & set(values))
    known = {
        "InstanceIds": name,
        "PingStatus": "Online",
        "PlatformTypes": "Linux",
        "ResourceType": "EC2Instance",
        "AgentVersion": AGENT,
        "SourceIds": name,
    }
    if key not in known:
        raise error("InvalidFilterKey", f"The filter {key} is not known here")
    return known[key] in values


def _wanted(given: Parameters) -> Iterator[tuple[str, list[str]]]:
    for row in given.get("Filters") or []:
        yield row["Key"], row["Values"]
    for row in given.get("InstanceInformationFilterList") or []:
        yield row["key"], row["valueSet"]


def _execution_timeout(parameters: Mapping[str, list[str]]) -> int:
    """Check a command's parameters, as the document does; the seconds that it may take."""
    unknown = sorted(parameters.keys() - TAKES)
    if unknown or not parameters.get("commands"):
        what = f"has no parameter {', '.join(unknown)}" if unknown else "needs the parameter commands"
        raise error("InvalidParameters", f"The document {DOCUMENT} {what}")
    if len(json.dumps(parameters).encode()) > MOST:
        raise error("MaxDocumentSizeExceeded", "The size limit of a document is 64 KB")
    given = (parameters.get("executionTimeout") or [str(USUAL)])[0]
    if not re.fullmatch(r"[1-9][0-9]{0,5}", given) or int(given) > LONGEST:
        raise error("InvalidParameters", f"executionTimeout: {given!r} is no number from 1 to {LONGEST}")
    return int(given)


def _command(command: Command) -> dict[str, Any]:
    """A command in the API's form."""
    status, details = command.stands()
    rows = [*command.invocations.values()]
    return {
        "CommandId": command.id,
        "DocumentName": command.document,
        "DocumentVersion": "$DEFAULT",
        "Comment": command.comment,
        "ExpiresAfter": command.requested + command.delivery + command.execution,
        "Parameters": command.parameters,
        "InstanceIds": list(command.given),
        "Targets": list(command.targets),
        "RequestedDateTime": command.requested,
        "Status": status,
        "StatusDetails": details,
        "MaxConcurrency": "50",
        "MaxErrors": "0",
        "TargetCount": len(rows),
        "CompletedCount": sum(not row.open for row in rows),
        "ErrorCount": sum(row.status in ("Failed", "TimedOut") for row in rows),
        "DeliveryTimedOutCount": sum(row.details == "DeliveryTimedOut" for row in rows),
        "TimeoutSeconds": command.delivery,
    }


def _filtered(rows: list[dict[str, Any]], given: Parameters) -> list[dict[str, Any]]:
    for row in given.get("Filters") or []:
        key, value = row["key"], row["value"]
        if key == "Status":
            rows = [item for item in rows if item["Status"] == value]
        elif key == "DocumentName":
            rows = [item for item in rows if item["DocumentName"] == value]
        elif key in ("InvokedAfter", "InvokedBefore"):
            limit = datetime.fromisoformat(value.replace("Z", "+00:00")).timestamp()
            later = key == "InvokedAfter"
            rows = [item for item in rows if (item["RequestedDateTime"] > limit) == later]
        elif key == "ExecutionStage":
            executing = value == "Executing"
            rows = [item for item in rows if (item["Status"] in OPEN) == executing]
        else:
            raise error("InvalidFilterKey", f"The filter {key} is not known here")
    return rows


def _page(rows: list[dict[str, Any]], given: Parameters, name: str) -> dict[str, Any]:
    """A page of rows; the token is where the next one begins."""
    token = given.get("NextToken") or "0"
    if not token.isdecimal():
        raise error("InvalidNextToken", "The specified token is not valid")
    first, size = int(token), int(given.get("MaxResults") or PAGE)
    page: dict[str, Any] = {name: rows[first : first + size]}
    if first + size < len(rows):
        page["NextToken"] = str(first + size)
    return page


def _text(moment: float | None) -> str:
    if moment is None:
        return ""
    return datetime.fromtimestamp(moment, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _elapsed(row: Invocation) -> str:
    if row.started is None or row.ended is None:
        return ""
    return f"PT{row.ended - row.started:.3f}S"


def install(context: Context) -> None:
    """Puts the extension in place."""
    ssm = _Ssm(context.nodes)
    add(
        SimpleSystemManagerResponse,
        ssm.send_command, ssm.cancel_command, ssm.get_command_invocation,
        ssm.list_commands, ssm.list_command_invocations,
        ssm.describe_instance_information,
    )  # fmt: skip
