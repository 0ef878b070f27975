"""Loading a proven data module where it is wanted: on the servers, then into the working database.

The test database is for trying things, and is left to whoever tries.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from core import module_evidence, module_package
from core import outputs as names
from core.servers.files.openerp_server.first_start import LOCK
from ops.changes import change as changes
from ops.changes import door
from ops.changes.change import Change, FailedError, Work
from ops.databases import facts
from ops.errors import OpsError
from ops.lock import held
from ops.modules import content
from ops.modules import wanted as find
from ops.modules.verify import bring_in, told_import
from ops.run import Run
from ops.site import Site

KEY: Final = "runs/load/current.json"
MARK: Final = "data module "
"""Beginning of a key in the servers' table: the hash of what was loaded, which goes where the data go."""


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What a load will do."""

    name: str
    version: str
    sha256: str
    database: str
    source: str | None
    """Stack whose ledger proves it; None on development without a proof."""
    created: Mapping[str, int] | None
    """Records that it is to own in the end, by model."""
    updated_from: str | None
    installs: tuple[str, ...]
    """Modules that it depends on and that come along."""
    changes: Mapping[str, Any]
    """Settings that change."""
    loaded: bool
    """Whether it is there already."""
    continues: str | None
    """When the load that this one goes on with was begun."""
    seconds: float | None
    """For how long the databases were closed the last time."""


@dataclass
class Result:
    """What a load did."""

    name: str
    version: str
    sha256: str
    database: str
    label: str | None
    """The checkpoint from before."""
    created: Mapping[str, int]
    already: bool
    """Whether it was there, and nothing was done."""
    closed_seconds: float | None
    seconds: Mapping[str, float] = field(default_factory=dict)


class Load(Work):
    """The data of a load."""

    key = KEY

    def __init__(self, name: str) -> None:
        self.command = f"modules load {name}"

    def change(self, site: Site, run: Run) -> None:
        detail = run["detail"]
        name, database = detail["name"], detail["database"]
        if run.get("before") is None:
            run.note(before=_seen(site, database, name))
        before = run["before"]
        site.reporter.step(f"import {name} into {database}")
        found = bring_in(site, site.servers.one("app"), database, name, update=before["state"] == "installed")
        module = find.packed(site.store, name, detail["sha256"])
        done = told_import(found, module.files if module else {})
        now = _seen(site, database, name)
        run.note(log=list(found["log"])[-40:])
        if why := module_evidence.why_not([done], now["state"], now["version"], detail["wanted"]):
            raise FailedError(f"{name} {detail['version']} could not be loaded into {database}: {why}")

    def check(self, site: Site, run: Run) -> None:
        detail = run["detail"]
        name, database = detail["name"], detail["database"]
        site.reporter.step(f"compare {name} with what was proven")
        now = _seen(site, database, name)
        if (now["state"], now["version"]) != ("installed", detail["wanted"]):
            raise FailedError(f"{name} in {database} is {now['state']}, version {now['version']}")
        wrong = module_evidence.uncounted(now["created"], detail["created"] or now["created"])
        if wrong:
            raise FailedError(f"{name} {detail['version']} in {database}: {wrong}")
        with site.databases.application(database).connect(database) as connection:
            door.write_state(connection, MARK + name, detail["sha256"])

    def is_untouched(self, site: Site, run: Run) -> str | None:
        detail, before = run["detail"], run.get("before")
        name, database = detail["name"], detail["database"]
        if before is None:
            return f"nothing had been imported into {database}"
        with site.databases.application(database).connect(database) as connection:
            # An import of a command that was killed may still be under way.
            connection.execute("select pg_advisory_lock(%s)", (LOCK,))
        # Odoo commits a module's records and its version together. The same version proves nothing.
        if before["version"] == detail["wanted"]:
            return None
        # That a module is on the list of those to be had is no data: Odoo lists what is on its disks.
        if {**_seen(site, database, name), "state": None} != {**before, "state": None}:
            return None
        return (
            f"Odoo imports a module in one transaction, and {database} has the modules, and {name} the state "
            "and the records, of before"
        )


def _seen(site: Site, database: str, name: str) -> dict[str, Any]:
    """Return what tells whether a module has come into a database."""
    with site.databases.application(database).connect(database) as connection:
        found = content.module(connection, name)
        modules = facts.modules_of(connection)
    installed = found.state == "installed"
    return {
        "state": "installed" if installed else None if found.state is None else "uninstalled",
        "version": found.version if installed else None,
        "created": found.created,
        "owned": found.owned,
        "modules": modules,
    }


# The command


def plan(
    site: Site,
    name: str,
    *,
    source: str | None = None,
    version: str | None = None,
    known: Plan | None = None,
) -> Plan:
    """Look at everything that a load needs, with a preview of it; changes nothing.

    `known`: what was planned a moment ago; where it is the same, it is not previewed again.
    """
    changes.refuse_others(site, KEY)
    work = Load(name)
    begun = _unfinished(site, work, name)
    if begun is not None:
        detail = begun["detail"]
        return Plan(
            **{key: detail[key] for key in ("name", "version", "sha256", "database", "source", "created")},
            updated_from=detail["updated_from"],
            installs=tuple(detail["installs"]),
            changes=begun["settings"],
            loaded=False,
            continues=str(begun["began"]),
            seconds=_last_closed(site, work),
        )
    chosen = find.wanted(site, name, source, version)
    module = find.module_of(site, chosen)
    database = str(site.stack.output(names.WORKING_DATABASE))
    there = _seen(site, database, name)
    with site.databases.application(database).connect(database) as connection:
        states = content.known(connection, module.depends)
        mark = door.read_state(connection, MARK + name)
    differs = {path: value for path, value in chosen.changes.items() if site.stack.setting(path) != value}
    served = {(one["name"], one["sha256"]) for one in site.stack.outputs().get(names.DATA_MODULES) or ()}
    on_servers = (chosen.name, chosen.sha256) in served
    changed = differs if on_servers else dict(chosen.changes)
    loaded = (
        on_servers
        and not differs
        and mark == chosen.sha256
        and there["version"] == find.installed_version(site, module)
        and module_evidence.uncounted(there["created"], chosen.created or there["created"]) is None
    )
    found = Plan(
        name=name,
        version=chosen.version,
        sha256=chosen.sha256,
        database=database,
        source=chosen.source,
        created=chosen.created,
        updated_from=there["version"],
        installs=tuple(sorted(one for one in module.depends if states.get(one) != "installed")),
        changes=changed,
        loaded=loaded,
        continues=None,
        seconds=_last_closed(site, work),
    )
    if changed and found != known:
        site.stack.preview(changed)
    return found


def _unfinished(site: Site, work: Load, name: str) -> Run | None:
    run = changes.unfinished(site, work)
    if run is not None and run["detail"]["name"] != name:
        raise OpsError(
            f"the {run['what']} of {site.name}, begun {run['began']} by {run['by']}, is not finished: "
            f"`python -m ops modules load {run['detail']['name']} --stack {site.name}` goes on"
        )
    return run


def given_up(site: Site, name: str) -> str:
    """Return what giving up would take back, for a person. Raises OpsError where no load is unfinished."""
    work = Load(name)
    run = _unfinished(site, work, name) or changes.to_give_up(site, work)
    return f"the {run['what']} into {site.name} begun {run['began']} by {run['by']}"


def _last_closed(site: Site, work: Load) -> float | None:
    last = changes.last(site, work)
    return changes.downtime(last) if last else None


def load(
    site: Site,
    name: str,
    *,
    source: str | None = None,
    version: str | None = None,
    while_people_work: bool = False,
    give_up: bool = False,
    agreed: Plan | None = None,
) -> Result:
    """Load a data module. Raises OpsError; ReturnedError when it failed and everything is as it was.

    `give_up`: take back a load that was cut short. `agreed`: what a person agreed to.
    """
    with held(site.store, site.name, f"modules load {name}"):
        changes.refuse_others(site, KEY)
        work = Load(name)
        run = _unfinished(site, work, name)
        if give_up:
            changes.give_back(site, work, changes.to_give_up(site, work))
        if run is None:
            site.reporter.step("look at the module, and at the working database")
            planned = plan(site, name, source=source, version=version, known=agreed)
            if planned.loaded:
                return Result(
                    name=name,
                    version=planned.version,
                    sha256=planned.sha256,
                    database=planned.database,
                    label=None,
                    created=planned.created or {},
                    already=True,
                    closed_seconds=None,
                )
            run = _begin(site, work, planned, while_people_work=while_people_work)
        else:
            site.reporter.say(f"goes on with the {run['what']} begun at {run['began']}")
        changes.carry_out(site, work, run)
        detail = run["detail"]
        return Result(
            name=name,
            version=detail["version"],
            sha256=detail["sha256"],
            database=detail["database"],
            label=run["label"],
            created=_seen(site, detail["database"], name)["created"],
            already=False,
            closed_seconds=changes.downtime(run.content),
            seconds=run.get("seconds") or {},
        )


def _begin(site: Site, work: Load, planned: Plan, *, while_people_work: bool) -> Run:
    chosen = find.Wanted(
        name=planned.name,
        version=planned.version,
        sha256=planned.sha256,
        source=planned.source,
        created=planned.created,
        changes=planned.changes,
    )
    module = find.module_of(site, chosen)
    site.store.write(module_package.object_key(module.name, module.sha256), module.archive())
    return changes.begin(
        site,
        work,
        Change(
            what=f"load of {planned.name} {planned.version}",
            slug=re.sub(r"[^a-z0-9]+", "-", f"{planned.name}-{planned.version}".lower()).strip("-"),
            settings=planned.changes,
            steps=changes.WHILE_PEOPLE_WORK if while_people_work else changes.CODE_FIRST,
            detail={
                "name": planned.name,
                "version": planned.version,
                "sha256": planned.sha256,
                "database": planned.database,
                "source": planned.source,
                "created": dict(planned.created) if planned.created is not None else None,
                "updated_from": planned.updated_from,
                "installs": list(planned.installs),
                "wanted": find.installed_version(site, module),
            },
        ),
    )
