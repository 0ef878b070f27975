"""What belongs to drills: how it is named and marked, how it is found again, and how it is removed.

Nothing is touched that does not carry the mark of a drill of this stack: the tag, or, for a file system that
AWS Backup is still making and that has no tags yet, the creation token that only a drill gives.
"""

from __future__ import annotations

import re
import secrets
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Final

from botocore.exceptions import ClientError

from core.names import PROJECT
from ops.aws import Aws, code, explained
from ops.console import Reporter
from ops.stack import Stack

TAG: Final = "openerp:drill"
STACK_TAG: Final = "Stack"
IDENTIFIER: Final = r"[0-9]{12}-[0-9a-f]{4}"
PATIENCE: Final = 3600.0
"""Seconds in which everything must be gone: RDS deletes no server while it is still making it."""
LOOK: Final = 5.0


def new_identifier(now: datetime) -> str:
    """Return what tells a drill from every other."""
    return f"{now.astimezone(UTC):%y%m%d%H%M%S}-{secrets.token_hex(2)}"


def name(stack: str, drill: str) -> str:
    """Return the name of everything that a drill makes."""
    return f"{PROJECT}-{stack}-drill-{drill}"


def tags(stack: str, drill: str) -> list[dict[str, str]]:
    """Return the tags of everything that a drill makes."""
    values = {"Name": name(stack, drill), "Project": PROJECT, STACK_TAG: stack, TAG: drill}
    return [{"Key": key, "Value": value} for key, value in values.items()]


@dataclass
class Found:
    """What is there of one drill; by id, with the state that AWS gives."""

    servers: dict[str, str] = field(default_factory=dict)
    databases: dict[str, str] = field(default_factory=dict)
    file_systems: dict[str, str] = field(default_factory=dict)
    groups: dict[str, str] = field(default_factory=dict)

    def __bool__(self) -> bool:
        return bool(self.servers or self.databases or self.file_systems or self.groups)

    def sentences(self, refused: Mapping[str, str] | None = None) -> list[str]:
        """Name everything, with why it could not be removed."""
        rows = [
            *((key, f"server {key} ({state})") for key, state in sorted(self.servers.items())),
            *((key, f"database server {key} ({state})") for key, state in sorted(self.databases.items())),
            *((key, f"file system {key} ({state})") for key, state in sorted(self.file_systems.items())),
            *((key, f"security group {key}") for key in sorted(self.groups)),
        ]
        why = refused or {}
        return [f"{text}: {why[key]}" if key in why else text for key, text in rows]


def _values(found: Iterable[Mapping[str, str]] | None) -> dict[str, str]:
    return {tag["Key"]: tag["Value"] for tag in found or ()}


def _drill_of(found: Iterable[Mapping[str, str]] | None, stack: str) -> str | None:
    """Return the drill of this stack to which tags say that something belongs."""
    values = _values(found)
    drill = values.get(TAG, "")
    if values.get(STACK_TAG) != stack or not re.fullmatch(IDENTIFIER, drill):
        return None
    return drill


class Own:
    """What drills of one stack have made and not removed."""

    def __init__(self, stack: Stack, aws: Aws, reporter: Reporter) -> None:
        self._stack = stack.name
        self._aws = aws
        self._reporter = reporter

    def look(self) -> dict[str, Found]:
        """Return what is there, by drill."""
        found: dict[str, Found] = {}

        def of(drill: str) -> Found:
            return found.setdefault(drill, Found())

        with explained(f"what drills of {self._stack} left behind"):
            for row in self._instances():
                if drill := _drill_of(row.get("Tags"), self._stack):
                    of(drill).servers[row["InstanceId"]] = row["State"]["Name"]
            for row in self._pages("rds", "describe_db_instances", "DBInstances"):
                drill = _drill_of(row.get("TagList"), self._stack)
                if drill and row["DBInstanceIdentifier"] == name(self._stack, drill):
                    of(drill).databases[row["DBInstanceIdentifier"]] = row["DBInstanceStatus"]
            for row in self._pages("efs", "describe_file_systems", "FileSystems"):
                if drill := _drill_of(row.get("Tags"), self._stack) or self._token(row):
                    of(drill).file_systems[row["FileSystemId"]] = row["LifeCycleState"]
            for row in self._pages("ec2", "describe_security_groups", "SecurityGroups", self._tagged()):
                if drill := _drill_of(row.get("Tags"), self._stack):
                    of(drill).groups[row["GroupId"]] = row["GroupName"]
        return found

    def _pages(
        self, service: str, operation: str, key: str, options: Mapping[str, Any] | None = None
    ) -> Iterable[Mapping[str, Any]]:
        for page in self._aws.client(service).get_paginator(operation).paginate(**(options or {})):
            yield from page[key]

    def _tagged(self) -> dict[str, Any]:
        return {
            "Filters": [
                {"Name": "tag-key", "Values": [TAG]},
                {"Name": f"tag:{STACK_TAG}", "Values": [self._stack]},
            ]
        }

    def _instances(self) -> Iterable[Mapping[str, Any]]:
        for reservation in self._pages("ec2", "describe_instances", "Reservations", self._tagged()):
            for row in reservation["Instances"]:
                if row["State"]["Name"] != "terminated":
                    yield row

    def _token(self, row: Mapping[str, Any]) -> str | None:
        """Return the drill for which AWS Backup made a file system that nobody has tagged yet."""
        if row.get("Tags"):
            return None
        start = re.escape(name(self._stack, ""))
        match = re.fullmatch(rf"{start}({IDENTIFIER})", str(row.get("CreationToken", "")))
        return match[1] if match else None

    def remove(self, drill: str, *, job: str | None = None, seconds: float = PATIENCE) -> list[str]:
        """Remove everything of one drill, whatever state it is in; return what could not be removed.

        `job`: the restore of its files, which cannot be called off: what it makes is waited for. What
        something else depends on goes last: each look removes what can go by then.
        """
        end = time.monotonic() + seconds
        pause = 0.2
        while True:
            refused: dict[str, str] = {}
            restoring = job is not None and self._restoring(drill, job)
            found = self.look().get(drill, Found())
            if not found and not restoring:
                return []
            self._pass(found, refused)
            if time.monotonic() > end:
                late = [f"a file system that the restore job {job} is making"] if restoring else []
                return [*self.look().get(drill, Found()).sentences(refused), *late]
            self._reporter.note(", ".join(found.sentences()) or f"restore job {job}")
            time.sleep(pause)
            pause = min(LOOK, pause * 1.5)

    def _restoring(self, drill: str, job: str) -> bool:
        """Mark the file system that a restore job has made; return whether it may still make one."""
        with explained(f"the restore job {job}"):
            try:
                row = self._aws.client("backup").describe_restore_job(RestoreJobId=job)
            except ClientError as error:
                if code(error) == "ResourceNotFoundException":
                    return False
                raise
        if made := row.get("CreatedResourceArn"):
            mark_file_system(self._aws, str(made).rpartition("/")[2], self._stack, drill)
            return False
        return row["Status"] in ("PENDING", "RUNNING")

    def _pass(self, found: Found, refused: dict[str, str]) -> None:
        for key, state in found.servers.items():
            if state not in ("shutting-down", "terminated"):
                self._try(refused, key, "ec2", "terminate_instances", InstanceIds=[key])
        for key, state in found.databases.items():
            if state not in ("deleting", "creating"):
                self._try(
                    refused, key, "rds", "delete_db_instance",
                    DBInstanceIdentifier=key, SkipFinalSnapshot=True, DeleteAutomatedBackups=True,
                )  # fmt: skip
        for key, state in found.file_systems.items():
            if state not in ("creating", "deleting", "deleted"):
                self._remove_file_system(refused, key)
        if not (found.servers or found.databases or found.file_systems):
            for key in found.groups:
                self._try(refused, key, "ec2", "delete_security_group", GroupId=key)

    def _remove_file_system(self, refused: dict[str, str], file_system: str) -> None:
        with explained(f"the file system {file_system}"):
            try:
                points = list(
                    self._pages(
                        "efs", "describe_access_points", "AccessPoints", {"FileSystemId": file_system}
                    )
                )
                targets = list(
                    self._pages(
                        "efs", "describe_mount_targets", "MountTargets", {"FileSystemId": file_system}
                    )
                )
            except ClientError as error:
                if code(error) == "FileSystemNotFound":
                    return
                raise
        for row in points:
            if row.get("LifeCycleState") != "deleting":
                self._try(
                    refused, file_system, "efs", "delete_access_point", AccessPointId=row["AccessPointId"]
                )
        for row in targets:
            if row["LifeCycleState"] not in ("creating", "deleting", "deleted"):
                self._try(
                    refused, file_system, "efs", "delete_mount_target", MountTargetId=row["MountTargetId"]
                )
        if not targets:
            self._try(refused, file_system, "efs", "delete_file_system", FileSystemId=file_system)

    def _try(self, refused: dict[str, str], key: str, service: str, operation: str, **options: Any) -> None:
        """Ask for a removal; AWS refuses it for as long as something depends on it."""
        try:
            getattr(self._aws.client(service), operation)(**options)
        except ClientError as error:
            if not code(error).endswith(("NotFound", "NotFoundFault")):
                refused[key] = f"{code(error)}: {error.response.get('Error', {}).get('Message', '')}"


def mark_file_system(aws: Aws, file_system: str, stack: str, drill: str) -> None:
    """Give a file system that a drill's own restore job made the tags of that drill."""
    with explained(f"the file system {file_system}"):
        try:
            aws.client("efs").tag_resource(ResourceId=file_system, Tags=tags(stack, drill))
        except ClientError as error:
            if code(error) != "FileSystemNotFound":  # removed already
                raise
