"""One drill: restore beside the running system, compare, start the application, measure, remove.

The stack's own mark is not taken: a drill changes nothing that others read. Each drill holds a mark of its
own, by which another sees that it is under way and leaves alone what it made.
"""

from __future__ import annotations

import time
from dataclasses import replace
from datetime import UTC, datetime
from typing import Final

from core import outputs as names
from core.checkpoint import differences
from core.drill_report import Loss, Report, key, markdown
from ops.aws import explained, wait
from ops.checkpoints.parts import check_point, check_snapshot, rows
from ops.drills import own, parts, past, serving
from ops.drills.clock import Clock
from ops.drills.compare import ByServer, FromHere, compare
from ops.drills.leftovers import KEPT, clean, mark, remember, remove
from ops.drills.plan import Plan
from ops.errors import OpsError
from ops.site import Site

RESTORE_SECONDS: Final = 24 * 3600
"""A database server is there in minutes, a file store of terabytes in hours."""


def drill(site: Site, work: Plan, *, keep: bool = False) -> Report:
    """Run a drill and return its report, which is in the store by then, good or not.

    Raises OpsError where it could not begin. What it made is removed, however it ends, unless `keep`.
    """
    at = parts.place(site, with_server=work.application is None)
    for removal in clean(site, kept_too=False):
        for text in removal.left:
            site.reporter.warn(f"drill {removal.drill} left behind, and it cannot be removed: {text}")
    return Drill(site, work, at, keep=keep).run()


class Drill:
    """A drill under way."""

    def __init__(self, site: Site, work: Plan, at: parts.Place, *, keep: bool) -> None:
        self.site = site
        self.work = work
        self.manifest = work.manifest
        self.at = at
        self.keep = keep
        self.started = datetime.now(UTC)
        self.id = own.new_identifier(self.started)
        self.clock = Clock()
        self.notes: list[str] = []
        self.report = Report(
            stack=site.name,
            drill=self.id,
            checkpoint=self.manifest.label,
            taken=self.manifest.taken,
            release=self.manifest.release,
            started=self.started,
            finished=self.started,
            loss=Loss(checkpoint=max(0.0, (self.started - self.manifest.taken).total_seconds())),
            application_note=work.application or "the drill did not come that far",
            target_hours=_target(site),
        )

    def run(self) -> Report:
        """Run it."""
        lease = mark(self.site, self.id, f"drill of {self.manifest.label}")
        with explained(f"the mark of drill {self.id}"):
            lease.take()
        try:
            self._run()
        finally:
            lease.rest()
            with explained(f"the mark of drill {self.id}"):
                lease.remove()
        return self.report

    def _run(self) -> None:
        remember(
            self.site,
            self.id,
            state="begun",
            checkpoint=self.manifest.label,
            began=self.started.isoformat(timespec="seconds"),
        )
        kept = False
        try:
            error = None
            try:
                self._prove()
            except OpsError as failure:
                error = str(failure)
            kept = self.keep
            self._finish(error)
        finally:
            if kept:
                remember(self.site, self.id, state=KEPT)
            else:
                self.site.reporter.step("remove what the drill made")
                if left := remove(self.site, self.id):
                    self.report = replace(self.report, not_removed=tuple(left))
                    self._write()

    def _finish(self, error: str | None) -> None:
        """Write the report, and tell the alarm."""
        if self.keep:
            self.notes.append(_kept(self.site, self.id, self.at, with_server=self.work.application is None))
        self.report = replace(
            self.report,
            finished=datetime.now(UTC),
            parts=tuple(self.clock.parts),
            error=error,
            notes=tuple(self.notes),
            kept=self.keep,
        )
        self._write()
        try:
            past.tell(self.site)
        except OpsError as failure:
            self.site.reporter.warn(str(failure))

    def _write(self) -> None:
        start = key(self.started, self.id)
        self.site.store.write(f"{start}.json", self.report.document())
        self.site.store.write(f"{start}.md", markdown(self.report).encode())

    def _loss(self) -> Loss:
        def age(moment: datetime | None) -> float | None:
            return None if moment is None else max(0.0, (self.started - moment).total_seconds())

        _, partition, _, region, account, *_ = self.at.database_arn.split(":")
        file_system = self.site.stack.output(names.FILE_SYSTEM_ID)
        files = f"arn:{partition}:elasticfilesystem:{region}:{account}:file-system/{file_system}"
        return replace(
            self.report.loss,
            database_backup=age(self._last_backup(self.at.database_arn)),
            files_backup=age(self._last_backup(files)),
            point_in_time=age(self.at.latest_restorable),
        )

    def _last_backup(self, arn: str) -> datetime | None:
        """Return when the plan's newest recovery point of a resource was made; others do not count."""
        vault = str(self.site.stack.output(names.BACKUP_VAULT_NAME))
        plan = str(self.site.stack.output(names.BACKUP_PLAN_ID))
        found = rows(
            self.site.aws,
            "backup",
            "list_recovery_points_by_backup_vault",
            "RecoveryPoints",
            BackupVaultName=vault,
            ByResourceArn=arn,
            ByBackupPlanId=plan,
        )
        return max(
            (
                row["CreationDate"].astimezone(UTC)
                for row in found
                if row["Status"] in ("COMPLETED", "AVAILABLE")
                and (row.get("CreatedBy") or {}).get("BackupPlanId") == plan
            ),
            default=None,
        )

    # What is proven

    def _prove(self) -> None:
        site, step, at, alone = self.site, self.site.reporter.step, self.at, self.work.application is not None
        self.report = replace(self.report, loss=self._loss())
        check_snapshot(site.aws, self.manifest.snapshot, self.manifest.label)
        check_point(site.aws, self.manifest.recovery_point, self.manifest.label)
        step(f"make a place of its own for drill {self.id}")
        group = parts.make_group(site, self.id, at, admit_operators=alone)
        step(f"restore {self.manifest.label} beside {site.name}")
        server, file_system = self._restore(group)
        if alone:
            self.report = replace(self.report, recovered=self.clock.now())
            self._compare_from_here(server, file_system)
            return
        step("make the drill's server")
        with self.clock.part("server made"):
            reach = serving.make(site, self.id, at, server, file_system, group)
        step("let it see the restored data")
        with self.clock.part("data attached"):
            serving.check_fence(reach, at.vpc_cidr)
            self.notes += serving.attach(reach, self.manifest)
        self._compare(reach)
        step("start OpenERP on the restored data")
        done = serving.start(reach, self.manifest, self.clock)
        self.notes += done.notes
        databases = (replace(one, login=done.logins.get(one.name)) for one in self.report.databases)
        self.report = replace(
            self.report,
            application=done.proof,
            application_note=done.note,
            recovered=done.recovered,
            databases=tuple(databases),
        )

    def _restore(self, group: str) -> tuple[parts.DatabaseServer, str]:
        site, manifest, clock = self.site, self.manifest, self.clock
        point = manifest.recovery_point
        clock.began = time.monotonic()
        self.notes += parts.restore_database(site, self.id, self.at, manifest.snapshot.identifier, group)
        job = parts.restore_files(site, self.id, point.arn, point.file_system_id)
        remember(site, self.id, restore_job=job)
        server: parts.DatabaseServer | None = None
        files: str | None = None

        def look() -> tuple[parts.DatabaseServer, str] | None:
            nonlocal server, files
            if server is None and (server := parts.database(site, self.id)) is not None:
                clock.ended("database server restored", 0)
            if files is None and (files := parts.files(site, self.id, job)) is not None:
                clock.ended("files restored", 0)
            return None if server is None or files is None else (server, files)

        return wait("the restored data", look, site.reporter, seconds=RESTORE_SECONDS)

    def _compare_from_here(self, server: parts.DatabaseServer, file_system: str) -> None:
        databases = replace(
            self.site.databases.at(server.address, server.port, server.master_secret_arn), through=None
        )
        path = self._mounted_path(file_system)
        reach = FromHere(databases=databases, store=self.site.files_at(file_system, path))
        self._compare(reach)

    def _mounted_path(self, file_system: str) -> str:
        """Return where in a restored file system that is mounted here the servers' directory is."""
        wanted = self.manifest.recovery_point.path.strip("/")
        if self.site.file_systems is None:
            raise OpsError(
                f"no server looks at the restored files in {file_system}, and they are not mounted here: say "
                "with --file-systems where file systems are mounted"
            )
        root = self.site.file_systems / file_system
        found = sorted(path for path in root.glob(f"aws-backup-restore_*/{wanted}") if path.is_dir())
        if len(found) != 1:
            raise OpsError(f"{root} holds no one folder aws-backup-restore_…/{wanted}: is it mounted?")
        return f"/{found[0].relative_to(root)}"

    def _compare(self, reach: FromHere | ByServer) -> None:
        with self.clock.part("compared with the checkpoint", waits_only_here=isinstance(reach, ByServer)):
            compared = compare(self.manifest, reach, self.site)
        self.report = replace(
            self.report,
            databases=compared.databases,
            differences=tuple(differences(self.manifest, compared.found)),
        )


def _target(site: Site) -> float | None:
    """Return the hours in which the service sheet promises to recover."""
    sheet = site.stack.outputs().get(names.SERVICE_SHEET)
    hours = sheet.get("data", {}).get("rto_restore_hours") if isinstance(sheet, dict) else None
    return float(hours) if isinstance(hours, int | float) else None


def _kept(site: Site, drill: str, at: parts.Place, *, with_server: bool) -> str:
    """Say what stays, that it costs, and how it is removed."""
    server = " and an app server of the stack's type," if with_server else ""
    return (
        f"kept, and billed by the hour until it is removed: a database server {at.instance_class} with "
        f"{at.storage_gb} GiB,{server} and by the GiB a file system with a copy of all files; remove it with "
        f"`python -m ops drill --clean --stack {site.name}` (drill {drill})"
    )
