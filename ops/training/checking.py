"""`ops training check`: whether a training system is what it says, and can reach nobody."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from core import outputs as names
from core.neutralisation import address
from core.training import strangers
from ops.errors import OpsError
from ops.site import Site
from ops.training import databases, fences
from ops.training.neutralise import Judge, Judged


@dataclass(frozen=True, kw_only=True)
class Found:
    """What a check found; nothing wrong where there are no offences."""

    stack: str
    judged: list[Judged]
    made_here: list[str]
    """Databases that the servers of training made themselves, or will: nothing of production is in them."""
    fences: fences.Fences
    offences: list[str]


def address_of(site: Site, database: str) -> str:
    """Return the address that people open to work in a database."""
    for tenant in (site.stack.outputs().get(names.TENANTS) or {}).values():
        if tenant["database"] == database:
            return str(tenant["url"]).rstrip("/")
    return str(site.stack.output(names.WEB_URL)).rstrip("/")


def judge(site: Site, database: str, connection: Any, *, standing: bool = False) -> Judge:
    """Return the judge of a database of this system, whose links lead to itself; `standing`: see `Judge`."""
    return Judge(connection, database, [address(address_of(site, database))], standing=standing)


def check(site: Site) -> Found:
    """Check every database and every way out, where people may have worked since.

    Raises OpsError where something cannot be judged.
    """
    if site.stack.output(names.ENVIRONMENT) != databases.ENVIRONMENT:
        raise OpsError(
            f"{site.name} is for {site.stack.output(names.ENVIRONMENT)}: only a training system is checked"
        )
    offences: list[str] = []
    judged: list[Judged] = []
    made_here: list[str] = []
    own = site.databases.names()
    for database in own:
        site.reporter.step(f"check the database {database}")
        with databases.opened(site.databases, database) as connection:
            found = databases.state(connection)
            if not databases.has(connection, "ir_module_module") or databases.made_here(found):
                made_here.append(database)
                continue
            judged.append(judge(site, database, connection, standing=True).look())
        offences += [f"{database}: {offence}" for offence in judged[-1].offences]
        offences += [f"{database}: {said}" for said in _belongs(found)]
    site.reporter.step("check what came along")
    offences += [
        f"{database}: it is on the database server, and no database of {site.name}"
        for database in strangers(databases.names_there(site.databases), own)
    ]
    offences += [
        f"the login {login} came along and belongs to nothing of {site.name}"
        for login in databases.other_logins(site.databases)
    ]
    site.reporter.step("check the ways out of the network")
    seen = fences.look(site)
    return Found(
        stack=site.name, judged=judged, made_here=made_here, fences=seen, offences=[*offences, *seen.offences]
    )


def _belongs(found: Mapping[str, str]) -> Iterable[str]:
    environment = found.get("environment")
    if environment != databases.ENVIRONMENT:
        yield f"it belongs to {environment or 'nobody knows what'}, not to training: no server serves it"
    elif not found.get("banner"):
        yield "its pages do not say what system this is: openerp_server_state has no banner"
