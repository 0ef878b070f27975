"""`ops training refresh`: production's data into a training system, served only when it is proven harmless.

What protects is the order. The restored databases say of themselves that they belong to production, so that
every server of training refuses them. They are updated, neutralised and scrubbed meanwhile by one server that
no load balancer knows, and given to training when every rule holds in every one of them. Killed anywhere, the
same command goes on; and until then nobody is let in.
"""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from core import outputs as names
from core import returning
from core import training as rules
from core.checkpoint import Found, Manifest, differences
from ops import run as runs
from ops.checkpoints import check, closing, files, look
from ops.checkpoints.look import Access
from ops.errors import OpsError
from ops.lock import held
from ops.run import Run
from ops.site import Site
from ops.training import databases, on_server, server
from ops.training.checking import judge
from ops.training.neutralise import Judged, only_odoo
from ops.training.plan import CURRENT, Choices, Plan, begun, is_applied, plan, refuse_wrong

UPDATE_SECONDS: Final = 6 * 3600
"""For the modules of one database."""
SHORT_SECONDS: Final = 900


@dataclass
class Result:
    """What a refresh did."""

    stack: str
    source: str
    label: str
    taken: datetime
    served: bool = False
    """Whether people can work with it."""
    databases: list[str] = field(default_factory=list)
    made_here: list[str] = field(default_factory=list)
    """Databases that the servers make themselves: there was no Odoo in them."""
    removed: list[str] = field(default_factory=list)
    """Databases that came along and are none of this system."""
    logins: list[str] = field(default_factory=list)
    """Logins that came along, which let nobody in any more."""
    judged: list[Judged] = field(default_factory=list)
    administrators: dict[str, str] = field(default_factory=dict)
    """Login name of the first administrator, by database; the password is in the stack's secret."""
    differences: list[str] = field(default_factory=list)
    """How the data differed from the checkpoint before anything was changed in it; accepted."""
    warnings: list[str] = field(default_factory=list)
    seconds: dict[str, float] = field(default_factory=dict)
    report: str = ""
    """Key of the report in the operations bucket."""


def _begin(site: Site, agreed: Plan) -> Run:
    run = begun(site, agreed.source, agreed.label)
    if run is not None:
        run.note(settings=dict(agreed.settings))
        return run
    content: dict[str, Any] = {
        "id": f"{datetime.now(UTC):%y%m%d%H%M%S}-{secrets.token_hex(2)}",
        "source": agreed.source,
        "label": agreed.label,
        "state": "begun",
        "began": runs.now(),
        "by": runs.operator(),
        "settings": dict(agreed.settings),
    }
    other = site.store.read(CURRENT)
    if other is not None:
        site.store.write(f"runs/training-refresh/{other['id']}.json", other)
        if other["state"] == "begun" and "sizes" in other:
            # The servers that an unfinished refresh took away are to come back after this one.
            content["sizes"] = other["sizes"]
    site.store.write(CURRENT, content)
    return Run(site.store, CURRENT, content)


def refresh(site: Site, source: Site, choices: Choices) -> Result:
    """Bring a checkpoint of `source` to the training system `site`.

    Raises OpsError, which says what state everything is in. The same call again goes on.
    """
    refuse_wrong(site, source)
    with held(site.store, site.name, f"training refresh from {source.name}"):
        site.reporter.step(f"look at the checkpoints of {source.name}, and preview the refresh")
        wanted, manifest = plan(site, source, choices)
        choices.agree(wanted)
        run = _begin(site, wanted)
        try:
            return _Refresh(site, source, manifest, run, wanted, choices).done()
        except OpsError as error:
            raise OpsError(_told(site, source, run, str(error))) from error


class _Refresh:
    """One refresh, from the restore to the report."""

    def __init__(
        self, site: Site, source: Site, manifest: Manifest, run: Run, wanted: Plan, choices: Choices
    ) -> None:
        own = site.databases.names()
        self.site, self.source, self.run, self.choices = site, source, run, choices
        # What the system does not have itself is removed: nothing is claimed of it.
        kept = tuple(database for database in manifest.databases if database.name in own)
        self.manifest = manifest.model_copy(update={"databases": kept})
        self.result = Result(
            stack=site.name,
            source=source.name,
            label=manifest.label,
            taken=manifest.taken,
            warnings=list(wanted.warnings),
            differences=list(run.get("differences") or ()),
        )

    def done(self) -> Result:
        run, result = self.run, self.result
        if run.get("proven"):
            result.databases, result.made_here = list(run["databases"]), list(run["made_here"])
            result.judged = [Judged(**judged) for judged in run["judged"]]
            if not run.get("given"):
                self._give(self._server())
            return self._served()
        if not is_applied(self.site, run):
            self._restore()
        closing.close(self.site, run)  # also where `pulumi up` has brought servers back
        self._take_over()
        if not self.choices.by_odoo:
            return self._without_odoo()
        instance = self._server()
        self._prepare(instance)
        self._give(instance)
        return self._served()

    # Restored

    def _restore(self) -> None:
        site, run = self.site, self.run
        with run.timed("restore files"):
            restored = files.restore_files(site, self.manifest, run)
        self._accept(check.restored_files(site, self.manifest, restored) or [])
        with run.timed("close"):
            site.reporter.step("let the servers end")
            closing.close(site, run)
        site.reporter.step("make the database server anew, and go on with the restored files (pulumi up)")
        run.note(applying=True)
        with run.timed("pulumi up"):
            data = returning.data_changes(
                self.manifest.snapshot.identifier, run["id"], restored.file_system_id, restored.path
            )
            site.stack.apply({**run["settings"], **data}, site.reporter)

    def _accept(self, found: list[str]) -> None:
        if found and not self.choices.accept_differences:
            raise OpsError(
                f"what was restored differs from the checkpoint in {len(found)} points: "
                f"{'; '.join(found[:3])}{' …' if len(found) > 3 else ''} (--accept-differences goes on "
                "nevertheless)"
            )
        self.result.differences += found
        self.run.note(differences=self.result.differences)

    # Nobody's

    def _take_over(self) -> None:
        """Take the databases from production: its logins, what else came along, its identity."""
        site, run, result = self.site, self.run, self.result
        site.reporter.step("give the logins the passwords of the stack's secrets")
        site.databases.align_logins()
        if not run.get("compared"):
            with run.timed("compare"):
                self._accept(check.databases(site, self.manifest))
                run.note(compared=True)
        site.reporter.step("remove what came along and is none of this system")
        removed, logins = databases.remove_strangers(site.databases)
        result.removed = sorted({*(run.get("removed") or ()), *removed})
        result.logins = sorted({*(run.get("logins") or ()), *logins})
        run.note(removed=result.removed, logins=result.logins)
        for database in site.databases.names():
            with databases.opened(site.databases, database) as connection:
                brought = databases.begin(connection, database, run["id"])
            (result.databases if brought else result.made_here).append(database)
        run.note(databases=result.databases, made_here=result.made_here)
        if (mounted := site.files.mounted) is not None:
            on_server.empty(mounted / "sessions")

    def _scrub(self) -> None:
        self.site.reporter.step("scrub what Odoo's own neutralisation leaves")
        for database in self.result.databases:
            with databases.opened(self.site.databases, database) as connection:
                judge(self.site, database, connection).scrub()

    def _verify(self) -> None:
        self.site.reporter.step("verify every rule in every database")
        self.result.judged = []
        for number, database in enumerate(self.result.databases):
            self.site.reporter.progress(number, len(self.result.databases))
            with databases.opened(self.site.databases, database) as connection:
                self.result.judged.append(judge(self.site, database, connection).look())

    def _refuse_offences(self, *, but_odoos: bool = False) -> None:
        """Raise OpsError for what was found; `but_odoos`: but for what only Odoo itself can put right."""
        said = [
            f"{judged.database}: {offence}"
            for judged in self.result.judged
            for offence in judged.offences
            if not (but_odoos and offence in only_odoo(judged.offences))
        ]
        if said:
            raise OpsError(
                f"the data is not harmless: {'; '.join(said[:3])}"
                f"{f' and {len(said) - 3} more' if len(said) > 3 else ''}"
            )

    # Without a server: as far as it is honest

    def _without_odoo(self) -> Result:
        with self.run.timed("scrub"):
            self._scrub()
            self._verify()
        self._refuse_offences(but_odoos=True)
        self.result.warnings.append(
            f"{self.site.name} is closed: Odoo itself has not updated and neutralised its databases, every "
            "server refuses them, and none was brought back; the same command without --no-servers goes on"
        )
        return self._reported(closed=True)

    # With one

    def _server(self) -> str:
        self.site.reporter.step("make a server that no load balancer knows")
        with self.run.timed("server"):
            instance = server.make(self.site, self.run)
            server.await_reached(self.site, instance)
        return instance

    def _give(self, instance: str) -> None:
        """Give the databases, every one of which is proven, to the servers of training."""
        site, result = self.site, self.result
        site.reporter.step("give the databases to training")
        text = rules.banner(site.name, result.source, result.label, result.taken)
        for database in result.databases:
            with databases.opened(site.databases, database) as connection:
                databases.give(connection, {"banner": text, "refreshed": runs.now()})
        self._refusals(instance, served=True)
        self.run.note(given=True)

    def _served(self) -> Result:
        site, run, result = self.site, self.run, self.result
        result.administrators = dict(run.get("administrators") or {})
        server.remove(site, list(server.there(site)))
        with run.timed("servers"):
            site.reporter.step("bring the servers back, and to the load balancer")
            if closing.reopen(site, run):
                closing.await_servers(site, run)
            else:
                result.warnings.append("no servers were brought back: none ran before")
        site.reporter.step("protect the stack again (pulumi up)")
        with run.timed("protect"):
            site.stack.apply({}, site.reporter)
        result.served = True
        return self._reported(closed=False)

    def _prepare(self, instance: str) -> None:
        """Update, neutralise, scrub and verify: nothing is given away before all of it is done."""
        site, run, result = self.site, self.run, self.result
        self._refusals(instance, served=False)
        self._read_files(instance)
        network = str(site.stack.output(names.VPC_CIDR))
        for what, function, seconds in (
            ("update the modules", "update", UPDATE_SECONDS),
            ("neutralise by Odoo", "neutralise", SHORT_SECONDS),
        ):
            with run.timed(function):
                for database in result.databases:
                    site.reporter.step(
                        f"{what} of {database}" if function == "update" else f"{what}: {database}"
                    )
                    more = {"run": run["id"]} if function == "update" else {}
                    self._call(
                        instance,
                        function,
                        f"{what} of {database}",
                        seconds,
                        database=database,
                        login=self._login(database),
                        network=network,
                        **more,
                    )
        with run.timed("scrub"):
            self._scrub()
        site.reporter.step("give the administrator the password of this system, and end all sessions")
        for database in result.databases:
            said = self._call(
                instance,
                "set_administrator",
                f"the administrator of {database}",
                SHORT_SECONDS,
                database=database,
                login=self._login(database),
                tenant=self._tenant(database),
            )
            result.administrators[database] = said["login"]
        self._call(instance, "clear_sessions", "the end of all sessions", SHORT_SECONDS)
        with run.timed("verify"):
            self._verify()
        self._refuse_offences()
        run.note(
            proven=True,
            judged=[asdict(judged) for judged in result.judged],
            administrators=result.administrators,
        )

    def _call(self, instance: str, function: str, what: str, seconds: int, **arguments: Any) -> Any:
        return self.site.servers.python(
            instance, Path(on_server.__file__), function, arguments, what=what, seconds=seconds
        )

    def _login(self, database: str) -> dict[str, str]:
        secret = self.site.stack.output(names.APPLICATION_SECRET_ARNS)[database]
        return {"role": self.site.databases.owner(database), "secret": str(secret)}

    def _tenant(self, database: str) -> str:
        tenants: Mapping[str, Mapping[str, str]] = self.site.stack.outputs().get(names.TENANTS) or {}
        return next((name for name, one in tenants.items() if one["database"] == database), "")

    def _refusals(self, instance: str, *, served: bool) -> None:
        """Ask the server itself whether it would serve: not before all is proven, and then for certain."""
        said = self._call(
            instance,
            "refusals",
            "what the server refuses",
            SHORT_SECONDS,
            logins={database: self._login(database) for database in self.result.databases},
        )
        for database, why in said["refused"].items():
            if served and why is not None:
                raise OpsError(f"the servers would not serve {database}: {why}")
            if not served and why is None:
                raise OpsError(
                    f"the servers would serve {database}, which is not neutralised: nothing goes on"
                )
        if not served and said["serving"]:
            raise OpsError(f"{', '.join(said['serving'])} runs on {instance} before the databases are proven")

    def _read_files(self, instance: str) -> None:
        """Compare the stored files with the checkpoint, unless that was done."""
        if self.run.get("read"):
            return
        self.site.reporter.step("read every file that attachments name")
        store = self.site.files
        if store.mounted is None:
            store = replace(store, instance=instance)
        access = Access(databases=self.site.databases, files=store)
        found = {
            claim.name: Found(files=look.found_files(access, claim.name, folders=True))
            for claim in self.manifest.databases
            if claim.release is not None
        }
        with self.run.timed("read files"):
            self._accept(_of_files(self.manifest, found))
        self.run.note(read=True)

    # What is kept of it

    def _reported(self, *, closed: bool) -> Result:
        site, run, result = self.site, self.run, self.result
        result.seconds = dict(run.get("seconds") or {})
        result.report = f"{rules.PREFIX}{datetime.now(UTC):%Y-%m-%dT%H%M%SZ}.json"
        site.store.create(
            result.report,
            {"format": 1, "refresh": run["id"], "began": run["began"], "by": run["by"], **asdict(result)},
        )
        if not closed:
            run.note(state="done", ended=runs.now())
        return result


def _of_files(manifest: Manifest, found: Mapping[str, Found]) -> list[str]:
    looked = tuple(database for database in manifest.databases if database.name in found)
    return differences(manifest.model_copy(update={"databases": looked}), found)


def _told(site: Site, source: Site, run: Run, said: str) -> str:
    """Say what state everything is in after a failure, and how to go on."""
    again = f"`python -m ops training refresh --stack {site.name} --from {source.name}`"
    if run.get("given"):
        return f"{said}. The databases of {site.name} are proven and given to its servers; {again} goes on"
    if is_applied(site, run):
        return (
            f"{said}. {site.name} has the data of {run['label']} and no servers, each of which would refuse "
            f"it; {again} goes on"
        )
    if run.get("applying"):
        return (
            f"{said}. The servers of {site.name} have ended, and `pulumi preview --stack {site.name}` shows "
            f"how far the update came; {again} goes on"
        )
    if run.get("sizes") is None:
        return f"{said}. Nothing of {site.name} was changed; {again} tries again"
    return f"{said}. Nothing of {site.name} was replaced, and its servers have ended; {again} goes on"
