"""The drill's server: made, fenced, given the restored data, and asked to serve it.

It is the only one that reaches the restored data. Nothing serves before the data was compared, so that what
OpenERP itself writes is no difference.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from core import names as constants
from core import outputs as names
from core.checkpoint import Manifest
from core.drill_report import Proof
from core.drill_server import FENCED, RELEASE, Restored
from ops.aws import wait
from ops.drills import parts
from ops.drills.clock import Clock
from ops.drills.compare import ByServer
from ops.errors import OpsError
from ops.site import Site

HALF_AN_HOUR: Final = 1800
BOOT_SECONDS: Final = 3600
"""A server that is not made from an image installs OpenERP first."""
EVERYWHERE: Final = frozenset({"0.0.0.0/0", "::/0"})
LOGGED_IN: Final = "in"


def make(
    site: Site, drill: str, at: parts.Place, server: parts.DatabaseServer, file_system: str, group: str
) -> ByServer:
    """Make the server, and wait until Run Command reaches it."""
    access = parts.make_access_point(site, drill, file_system)
    parts.make_mount_targets(site, file_system, at, group)
    parts.open_master_secret(site, at, server)
    wait(
        f"the way into {file_system}",
        lambda: parts.mounted(site, file_system),
        site.reporter,
        seconds=HALF_AN_HOUR,
    )
    restored = Restored(
        database_host=server.address,
        database_port=server.port,
        file_system_id=file_system,
        access_point_id=access,
        vpc_cidr=at.vpc_cidr,
    )
    instance = parts.make_server(site, drill, at, restored, group)

    def reached() -> bool | None:
        parts.check_server(site, instance)
        return True if site.servers.reached([instance]) else None

    wait(f"the drill's server {instance}", reached, site.reporter, seconds=BOOT_SECONDS)
    return ByServer(site=site, instance=instance, master_secret_arn=server.master_secret_arn)


def check_fence(reach: ByServer, vpc_cidr: str) -> None:
    """Raise OpsError where OpenERP on the drill's server could reach anybody outside."""
    units = [unit.replace("@", "@drill") for unit in FENCED]
    found: Mapping[str, Mapping[str, list[str]]] = reach.call("fences", "look at the fence", units=units)
    if FENCED[0] not in found:
        raise OpsError(f"the drill's server has no {FENCED[0]}: it is not started")
    for unit, fence in found.items():
        outside = {address for address in fence["IPAddressAllow"] if not address.startswith(("127.", "::1"))}
        if not set(fence["IPAddressDeny"]) >= EVERYWHERE or outside - {vpc_cidr}:
            raise OpsError(f"{unit} on the drill's server is not fenced ({dict(fence)}): it is not started")


def attach(reach: ByServer, manifest: Manifest) -> list[str]:
    """Let the server see the restored data; return what a person should know."""
    site = reach.site
    arns = site.stack.output(names.APPLICATION_SECRET_ARNS)
    logins = {site.databases.owner(database): str(arns[database]) for database in arns}
    path = manifest.recovery_point.path
    reach.call("place_files", "find the restored files", path=path, seconds=BOOT_SECONDS)
    aligned = reach.call(
        "align",
        "give the restored logins the passwords of today",
        role=constants.MASTER_USERNAME,
        secret=reach.master_secret_arn,
        logins=logins,
        seconds=BOOT_SECONDS,
    )
    missing = ", ".join(aligned["missing"])
    return [f"logins that the checkpoint does not have: {missing}"] if missing else []


@dataclass
class Application:
    """How OpenERP did on the restored data."""

    proof: Proof = "failed"
    note: str = ""
    logins: dict[str, str] = field(default_factory=dict)
    """How the administrator's login to each database ended."""
    notes: list[str] = field(default_factory=list)
    recovered: float | None = None
    """Seconds until the first login was answered."""


def start(reach: ByServer, manifest: Manifest, clock: Clock) -> Application:
    """Start OpenERP and log in to every database that it serves; the working one first."""
    outputs, result = reach.site.stack.outputs(), Application()
    tenants = {str(tenant["database"]): name for name, tenant in (outputs.get(names.TENANTS) or {}).items()}
    # A tenant that has left since is compared, and served by nobody.
    known = set(map(str, outputs.get(names.DATABASE_NAMES) or ()))
    served = [one.name for one in manifest.databases if one.release is not None and one.name in known]
    served.sort(key=lambda name: name != outputs.get(names.WORKING_DATABASE))
    if not served:
        result.note = "no database of the checkpoint that the stack serves holds OpenERP"
        return result
    try:
        with clock.part("OpenERP started, and a login answered"):
            reach.call("release", "let OpenERP start", path=RELEASE)
            _log_in(reach, served[0], tenants.get(served[0], ""), result)
        result.recovered = clock.now()
        for database in served[1:]:
            with clock.part(f"login to {database}"):
                _log_in(reach, database, tenants.get(database, ""), result)
    except OpsError as failure:
        result.note = f"OpenERP does not answer on it: {failure}"
        return result
    wrong = {name: said for name, said in result.logins.items() if not said.startswith(LOGGED_IN)}
    if wrong:
        said = "; ".join(f"{name}: {text}" for name, text in wrong.items())
        result.note = f"the administrator does not get in: {said}"
    else:
        result.proof, result.note = "proven", f"the administrator logged in to {', '.join(result.logins)}"
    return result


def _log_in(reach: ByServer, database: str, tenant: str, result: Application) -> None:
    found: Mapping[str, Any] = reach.call(
        "log_in",
        f"log in to {database}",
        database=database,
        tenant=tenant,
        login=reach.login(database),
        seconds=HALF_AN_HOUR,
    )
    if found["rewritten"]:
        result.notes.append(
            f"{database}: the administrator's password was another when the checkpoint was taken; today's "
            "was written into the copy"
        )
    said = str(found["login"])
    if said == "second factor":
        said = f"{LOGGED_IN}, up to the second factor"
    elif said == LOGGED_IN and found["client"] != "shown":
        said = f"the web client does not open: {found['client']}"
    result.logins[database] = said
