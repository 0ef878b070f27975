"""An update: new code, then the modules of every database, looked at before anybody works again."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from core import module_evidence, release_plan
from core import outputs as names
from core.dump_manifest import some
from core.release_plan import Plan, Target
from core.servers.files.openerp_server.first_start import LOCK
from ops.changes import change as changes
from ops.changes import door, on_server
from ops.changes.change import Change, FailedError, Work
from ops.databases import facts
from ops.errors import OpsError
from ops.lock import held
from ops.releases.planning import KEY, plan
from ops.run import Run
from ops.site import Site

UPDATE_SECONDS: Final = 8 * 3600
LOGIN_SECONDS: Final = 900
ALL: Final = ("all",)


@dataclass
class Result:
    """What an update did."""

    what: str
    label: str
    """The checkpoint from before."""
    databases: dict[str, int]
    """Modules of each database."""
    closed_seconds: float | None
    warnings: list[str] = field(default_factory=list)
    seconds: Mapping[str, float] = field(default_factory=dict)


class Update(Work):
    """The data of an update."""

    key = KEY
    command = "release update"

    def change(self, site: Site, run: Run) -> None:
        detail = run["detail"]
        if run.get("before") is None:
            run.note(before={name: _modules(site, name) for name in detail["databases"]})
        server = site.servers.one("app")
        for database in detail["databases"]:
            if database not in (run.get("updated") or {}):
                site.reporter.step(f"update the modules of {database}")
                self._update(site, run, server, database)

    def _update(self, site: Site, run: Run, server: str, database: str) -> None:
        found = _call(
            site,
            server,
            "update",
            f"update the modules of {database}",
            UPDATE_SECONDS,
            database=database,
            modules=list(run["detail"]["modules"]),
            run=run["id"],
            tenant=_tenant(site, database),
        )
        run.note(log=list(found["log"])[-40:])
        if why := _why_not(found):
            if database == site.stack.output(names.TEST_DATABASE):
                # Whatever was tried there must not keep everybody else from the update.
                _warn(site, run, f"the modules of the test database {database} were not updated: {why}")
            else:
                raise FailedError(f"the modules of {database} could not be updated: {why}")
        run.note(updated={**(run.get("updated") or {}), database: found["modules"]})

    def check(self, site: Site, run: Run) -> None:
        detail = run["detail"]
        server = site.servers.one("app")
        for database in detail["databases"]:
            site.reporter.step(f"look at {database}, and log in")
            problem = self._problem(site, run, server, database)
            if problem is None:
                continue
            if database != site.stack.output(names.TEST_DATABASE):
                raise FailedError(f"{database}: {problem}")
            _warn(site, run, f"the test database {database}: {problem}")

    def _problem(self, site: Site, run: Run, server: str, database: str) -> str | None:
        tenant = _tenant(site, database)
        found: Mapping[str, list[str]] = _call(
            site,
            server,
            "versions",
            f"look at the modules of {database}",
            900,
            database=database,
            tenant=tenant,
        )
        wanted = None if tuple(run["detail"]["modules"]) == ALL else set(run["detail"]["modules"])
        wrong = [
            f"{name} is {state}" if state != "installed" else f"{name} is {installed}, on disk {there}"
            for name, (state, installed, there) in sorted(found.items())
            if (wanted is None or name in wanted) and (state != "installed" or installed != there)
        ]
        gone = sorted(set(run["before"][database]) - set(found))
        if wrong or gone:
            return some([*wrong, *(f"{name} is gone" for name in gone)])
        login = self._log_in(site, server, database, tenant)
        was = (run["detail"].get("logins") or {}).get(database)
        if login == "in" or login == was:
            if login != "in":
                _warn(site, run, f"{database}: nobody logged in ({login}, as before the update)")
            return None
        return f"the administrator's login was `{was}` before, and is `{login}` now"

    @staticmethod
    def _log_in(site: Site, server: str, database: str, tenant: str) -> str:
        try:
            found = _call(
                site,
                server,
                "log_in",
                f"log in to {database}",
                LOGIN_SECONDS + 120,
                database=database,
                tenant=tenant,
                patience=LOGIN_SECONDS,
            )
        except OpsError as error:
            if server not in site.servers.reached([server]):
                raise
            raise FailedError(f"OpenERP does not serve {database}: {error}") from error
        return str(found["login"])

    def is_untouched(self, site: Site, run: Run) -> str | None:
        # Odoo updates one module after the other, each in a transaction of its own, `base` first.
        if run.get("before") is None:
            return "no module had been updated"
        for database in run["detail"]["databases"]:
            with site.databases.application(database).connect(database) as connection:
                connection.execute("select pg_advisory_lock(%s)", (LOCK,))
        return None


def _call(site: Site, server: str, function: str, what: str, seconds: int, **arguments: Any) -> Any:
    return site.servers.python(
        server, Path(on_server.__file__), function, arguments, what=what, seconds=seconds
    )


def _tenant(site: Site, database: str) -> str:
    tenants = site.stack.outputs().get(names.TENANTS) or {}
    return next((name for name, row in tenants.items() if row["database"] == database), "")


def _why_not(found: Mapping[str, Any]) -> str | None:
    log = list(found["log"])
    if found["status"] != 0:
        told = module_evidence.failure_in(log) or "; ".join(module_evidence.errors_in(log))
        return told or f"Odoo ended with status {found['status']}"
    if found["left"]:
        return f"{some(found['left'])} are not installed any more"
    return None


def _warn(site: Site, run: Run, text: str) -> None:
    site.reporter.warn(text)
    run.note(warnings=[*(run.get("warnings") or []), text])


def _modules(site: Site, database: str) -> dict[str, str]:
    with site.databases.application(database).connect(database) as connection:
        return facts.modules_of(connection)


# The command


def given_up(site: Site) -> str:
    """Return what giving up would take back, for a person. Raises OpsError where no update is unfinished."""
    run = changes.to_give_up(site, Update())
    return f"the {run['what']} of {site.name} begun {run['began']} by {run['by']}"


def unfinished(site: Site) -> str | None:
    """Return what goes on with an update that was cut short, as a question; None where there is none."""
    run = changes.unfinished(site, Update())
    if run is None:
        return None
    doing = "taking back" if run["state"] == changes.RETURNING else "going on with"
    return f"The {run['what']} of {site.name}, begun {run['began']}, is not finished: {doing} it. Go on?"


def planned(site: Site, target: Target, modules: Sequence[str], *, known: Plan | None = None) -> Plan:
    """Return what an update will do. Raises OpsError where it is none, or cannot be carried out.

    `known`: what was planned a moment ago; where it is the same, it is not previewed again.
    """
    changes.refuse_others(site, KEY)
    found = plan(site, target)
    if found.kind == "refused":
        raise OpsError(found.says)
    if found.kind == "upgrade":
        unmet = "; ".join(need.what for need in found.needs if not need.met)
        raise OpsError(
            f"{found.says} `python -m ops release plan {target.release} --stack {site.name}` says the steps"
            f"{f'; missing: {unmet}' if unmet else ''}"
        )
    if needed := [need.what for need in found.needs if not need.met]:
        raise OpsError(f"the update to {target} needs {'; '.join(needed)}")
    working = str(site.stack.output(names.WORKING_DATABASE))
    if strange := sorted(set(modules) - {*ALL, *_modules(site, working)}):
        raise OpsError(f"{', '.join(strange)} of --modules is not installed in {working}")
    if found.settings and found != known:
        site.stack.preview(found.settings)
    return found


def update(
    site: Site,
    target: Target,
    *,
    modules: Sequence[str] = ALL,
    give_up: bool = False,
    test_too: bool = True,
    agreed: Plan | None = None,
) -> Result:
    """Update a stack. Raises OpsError; ReturnedError when it failed and everything is as it was.

    `give_up`: take back an update that was cut short. `test_too`: the test database as well. `agreed`: what a
    person agreed to.
    """
    with held(site.store, site.name, "release update"):
        changes.refuse_others(site, KEY)
        work = Update()
        run = changes.unfinished(site, work)
        if give_up:
            changes.give_back(site, work, changes.to_give_up(site, work))
        if run is None:
            run = _begin(site, work, target, modules, test_too=test_too, agreed=agreed)
        else:
            _same(site, run, target)
            site.reporter.say(f"goes on with the {run['what']} begun at {run['began']}")
        changes.carry_out(site, work, run)
        return Result(
            what=run["what"],
            label=run["label"],
            databases=dict(run.get("updated") or {}),
            closed_seconds=changes.downtime(run.content),
            warnings=list(run.get("warnings") or ()),
            seconds=run.get("seconds") or {},
        )


def _same(site: Site, run: Run, target: Target) -> None:
    """Refuse another target than that of the run that is unfinished."""
    if target != Target() and str(target) != run["detail"]["target"]:
        raise OpsError(
            f"the {run['what']} of {site.name}, begun {run['began']} by {run['by']}, is not finished: "
            f"`python -m ops release update --stack {site.name}` goes on with it, with --give-up it goes back"
        )


def _begin(
    site: Site, work: Update, target: Target, modules: Sequence[str], *, test_too: bool, agreed: Plan | None
) -> Run:
    site.reporter.step("look at what the update means, and at who logs in now")
    found = planned(site, target, modules, known=agreed)
    test = str(site.stack.output(names.TEST_DATABASE))
    databases = [name for name in door.databases(site) if _modules(site, name)]
    # The test database last: what is wrong in it stops nothing.
    databases = [name for name in databases if name != test] + [
        name for name in databases if name == test and test_too
    ]
    server = site.servers.one("app")
    logins = {name: work._log_in(site, server, name, _tenant(site, name)) for name in databases}
    code_first = "release" not in found.settings
    what = f"update to {target}" if found.settings else "update of the modules"
    slug = release_plan.slug(target) if found.settings else "update"
    return changes.begin(
        site,
        work,
        Change(
            what=what,
            slug=slug,
            settings=found.settings,
            steps=changes.CODE_FIRST if code_first else changes.CLOSED_FIRST,
            detail={
                "target": str(target),
                "modules": list(modules),
                "databases": databases,
                "logins": logins,
            },
        ),
    )
