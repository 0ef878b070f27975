"""A checkpoint of the past: the database server as it was at a moment, and the files that go with it.

RDS makes a temporary server of that moment, a snapshot is taken of it, and what it holds is counted there;
then it is deleted. The files are those of the first recovery point at or after the moment, or of now. From
then on it is a checkpoint like any other, and there is one way back for all.
"""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

from botocore.exceptions import ClientError

from core import checkpoint
from core import names as constants
from core import outputs as names
from core.checkpoint import Code, Database, Manifest, ManifestError
from ops import run as runs
from ops.aws import code as aws_code
from ops.aws import explained, wait
from ops.checkpoints import look, manifests, parts, take
from ops.checkpoints.look import Access
from ops.checkpoints.parts import Point
from ops.checkpoints.restore import Target
from ops.errors import OpsError
from ops.run import Run
from ops.site import Site

SECONDS: Final = 12 * 3600.0


@dataclass(frozen=True, kw_only=True)
class Past:
    """A moment of a stack that can be returned to."""

    label: str
    moment: datetime
    instance: str
    """The stack's database server."""
    temporary: str
    """Name of the server that is made for a while."""
    storage_gb: int
    point: Point | None
    """The recovery point of the files; None: one of now is made."""
    manifest: Manifest | None
    """The checkpoint of that moment, where it was made already."""

    @property
    def pair(self) -> str:
        """Say which database goes with which files, and why."""
        if self.manifest is not None:
            return checkpoint.gap(self.manifest.taken, self.manifest.recovery_point.created)
        if self.point is not None:
            return checkpoint.gap(self.moment, self.point.created)
        return (
            f"database of {self.moment:%Y-%m-%d %H:%M:%S} UTC, files of now, since no backup of them is that "
            "young: what the database names is there, but for what was deleted since"
        )

    def target(self) -> Target:
        """Return it as something to return to."""
        return Target(
            label=self.label,
            taken=self.moment,
            snapshot=self.temporary,
            storage_gb=self.storage_gb,
            code=None,
            databases=None,
            files=self.pair,
            administrator_version=None,
        )


def find(site: Site, text: str) -> Past:
    """Look up the moment that a person means. Raises OpsError where the stack cannot be taken back to it."""
    now = datetime.now(UTC)
    try:
        moment = checkpoint.moment(text, now)
    except ManifestError as error:
        raise OpsError(str(error)) from None
    label = checkpoint.label_past(moment)
    instance = str(site.stack.output(names.DATABASE_INSTANCE_IDENTIFIER))
    row = parts.instance(site.aws, instance)
    if row is None:
        raise OpsError(f"there is no database server {instance} in RDS: restore a checkpoint")
    if site.databases.through:
        raise OpsError(
            "--at makes a second database server, and --through leads to one: run it where both are reached"
        )
    manifest = manifests.find(site.store, label)
    if manifest is None:
        _check_window(site, instance, moment)
    return Past(
        label=label,
        moment=moment,
        instance=instance,
        temporary=f"{constants.resource_prefix(site.name)}-{label}",
        storage_gb=int(row["AllocatedStorage"]),
        point=checkpoint.choose_files(moment, parts.points(site)),
        manifest=manifest,
    )


def _check_window(site: Site, instance: str, moment: datetime) -> None:
    """Refuse a moment that RDS cannot give back."""
    with explained(f"the automated backups of {instance}"):
        found = site.aws.client("rds").describe_db_instance_automated_backups(DBInstanceIdentifier=instance)
    windows = [
        row["RestoreWindow"] for row in found["DBInstanceAutomatedBackups"] if row.get("RestoreWindow")
    ]
    if not windows:
        raise OpsError(
            f"{site.name} cannot be taken back to a moment: point-in-time recovery of {instance} is off "
            "(openerp:database.retentionDays)"
        )
    earliest, latest = (windows[0][key].astimezone(UTC) for key in ("EarliestTime", "LatestTime"))
    if not earliest <= moment <= latest:
        raise OpsError(
            f"{site.name} can be taken back to any moment from {earliest:%Y-%m-%d %H:%M:%S} to "
            f"{latest:%Y-%m-%d %H:%M:%S} UTC, and not to {moment:%Y-%m-%d %H:%M:%S}"
            + ("; RDS saves every five minutes, wait a little" if moment > latest else "")
        )


def make(site: Site, past: Past) -> Manifest:
    """Make the checkpoint of a past moment; the caller holds the stack's mark. Goes on after a kill.

    Nothing of the stack is changed by it.
    """
    run, _ = Run.claim(site.store, checkpoint.claim_key(past.label), _claim(site, past))
    complete = manifests.find(site.store, past.label)
    if complete is None:
        complete = _make(site, past, run)
    _delete(site, past.temporary)
    run.forget()
    return complete


def _claim(site: Site, past: Past) -> dict[str, Any]:
    identifier = constants.told_apart(past.temporary, secrets.token_hex(16))
    return {
        "label": past.label,
        "stack": site.name,
        "identifier": identifier,
        "note": f"as of {past.moment:%Y-%m-%d %H:%M:%S} UTC",
        "keep_days": parts.kept_days(site, take.KEEP_DAYS),
        "by": runs.operator(),
        "began": runs.now(),
    }


def _make(site: Site, past: Past, run: Run) -> Manifest:
    identifier = str(run["identifier"])
    with run.timed("files"):
        # First, so that nobody deletes meanwhile what the database names.
        if run.get("point") is None and run.get("job") is None and past.point is not None:
            run.note(point=past.point.arn)
        if run.get("point") is None:
            site.reporter.step("back the file store up")
            take.backup(site, run)
    with run.timed("database server"):
        access = _server(site, past)
    with run.timed("snapshot"):
        site.reporter.step("take a snapshot of it")
        parts.begin_snapshot(site.aws, past.temporary, identifier, site.name, past.label)
        row = parts.await_snapshot(site.aws, identifier, site.reporter)
    with run.timed("count"):
        site.reporter.step("count what it holds")
        databases = tuple(_counted(access, name) for name in look.there(access.databases)[0])
    code = _code(site, past, run, databases)
    with run.timed("files"):
        site.reporter.step("look at the files that go with it")
        point = _point(site, run)
    site.reporter.step("write the manifest")
    return take.write(
        site,
        run,
        code=code,
        taken=past.moment,
        past=True,
        snapshot=parts.described_snapshot(site.aws, row),
        point=point,
        databases=databases,
    )


def _server(site: Site, past: Past) -> Access:
    """Have RDS make the temporary server, and return the way to it."""
    site.reporter.step(f"make a database server of {past.moment:%Y-%m-%d %H:%M:%S} UTC for a while")
    rds, output = site.aws.client("rds"), site.stack.output
    own = parts.instance(site.aws, past.instance) or {}
    if parts.instance(site.aws, past.temporary) is None:
        with explained(f"a database server of {past.moment:%Y-%m-%d %H:%M:%S} UTC"):
            rds.restore_db_instance_to_point_in_time(
                SourceDBInstanceIdentifier=past.instance,
                TargetDBInstanceIdentifier=past.temporary,
                RestoreTime=past.moment,
                DBInstanceClass=own["DBInstanceClass"],
                DBSubnetGroupName=str(output(names.DATABASE_SUBNET_GROUP_NAME)),
                DBParameterGroupName=str(output(names.DATABASE_PARAMETER_GROUP_NAME)),
                VpcSecurityGroupIds=[str(output(names.DATABASE_SECURITY_GROUP_ID))],
                MultiAZ=False,
                PubliclyAccessible=False,
                AutoMinorVersionUpgrade=False,
                CopyTagsToSnapshot=False,
                DeletionProtection=False,
                Tags=parts.as_list({"Name": past.temporary, **parts.tags(site.name, past.label)}),
            )
    row = parts.await_instance(site.aws, past.temporary, site.reporter)
    if not (row.get("MasterUserSecret") or {}).get("SecretArn"):
        # A restore takes this for Oracle alone (RDS API reference, RestoreDBInstanceToPointInTime).
        with explained(f"a password for the master user of {past.temporary}"):
            rds.modify_db_instance(
                DBInstanceIdentifier=past.temporary,
                ManageMasterUserPassword=True,
                MasterUserSecretKmsKeyId=str(output(names.DATABASE_KMS_KEY_ARN)),
                ApplyImmediately=True,
            )
    row = wait(
        f"the master user of {past.temporary}",
        lambda: _with_secret(site, past.temporary),
        site.reporter,
        seconds=3600,
    )
    endpoint, secret = row["Endpoint"], row["MasterUserSecret"]["SecretArn"]
    databases = site.databases.at(endpoint["Address"], int(endpoint["Port"]), secret)
    # The logins had other passwords then, perhaps.
    databases.align_logins()
    return Access(databases=databases, files=None)


def _with_secret(site: Site, identifier: str) -> Mapping[str, Any] | None:
    row = parts.await_instance(site.aws, identifier, site.reporter)
    secret = row.get("MasterUserSecret") or {}
    return row if secret.get("SecretArn") and secret.get("SecretStatus", "active") == "active" else None


def _counted(access: Access, name: str) -> Database:
    then = look.before(access, name)
    # Nobody writes there: what was counted once is what it holds.
    return look.claimed(name, then, then, None)


def _code(site: Site, past: Past, run: Run, databases: tuple[Database, ...]) -> Code:
    """Return what the servers ran then: what they run now, or what the last checkpoint before it says."""
    now = take.code_of(site)
    working = str(site.stack.output(names.WORKING_DATABASE))
    release = next((one.release for one in databases if one.name == working), None)
    if release is None or now.release.startswith(release):
        return now
    known = [manifests.find(site.store, label) for label in manifests.labels(site.store)]
    before = [one for one in known if one and one.taken <= past.moment and one.release.startswith(release)]
    if not before:
        _abandon(site, past, run)
        raise OpsError(
            f"the database of that moment is of release {release}, the servers run {now.release}, and no "
            "checkpoint from before says what they ran then: it is not returned to"
        )
    return max(before, key=lambda one: one.taken).code


def _point(site: Site, run: Run) -> Any:
    if run.get("point") is None:
        return take.await_backup(site, run)
    vault = str(site.stack.output(names.BACKUP_VAULT_NAME))
    found = parts.point(site.aws, vault, run["point"])
    if found is None:
        run.note(point=None)
        raise OpsError(f"the recovery point {run['point']} is gone; the same command looks for another")
    return parts.described_point(site, found)


def _abandon(site: Site, past: Past, run: Run) -> None:
    """Remove what was made for a checkpoint that cannot be one."""
    _delete(site, past.temporary)
    with explained(f"the removal of the snapshot {run['identifier']}"):
        site.aws.client("rds").delete_db_snapshot(DBSnapshotIdentifier=run["identifier"])
    run.forget()


def _delete(site: Site, identifier: str) -> None:
    """Remove the temporary server; its snapshot stays."""
    if parts.instance(site.aws, identifier) is None:
        return
    site.reporter.step("remove the database server that was made for a while")
    with explained(f"the removal of {identifier}"):
        try:
            site.aws.client("rds").delete_db_instance(
                DBInstanceIdentifier=identifier, SkipFinalSnapshot=True, DeleteAutomatedBackups=True
            )
        except ClientError as error:
            if aws_code(error) not in ("DBInstanceNotFound", "InvalidDBInstanceState"):
                raise
