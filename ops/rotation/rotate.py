"""New passwords without downtime.

The passwords of the application, of reporting and of OpenERP's administrator follow from a seed in the
state and a version in the settings (ADR 3): a rotation is a higher version, an ordinary `pulumi up`, and
servers that are told to fetch theirs at once. Connections that stand go on; a login in the second between is
tried again by the servers themselves. The master user's password is RDS's own to make.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Literal

from core import outputs as names
from ops.aws import explained, wait
from ops.databases.errors import DatabaseError
from ops.errors import OpsError
from ops.lock import held
from ops.rotation import on_server
from ops.site import Site
from ops.store import Store

Kind = Literal["application", "reporting", "administrator", "master"]
KINDS: Final[tuple[Kind, ...]] = ("application", "reporting", "administrator", "master")
VERSIONED: Final = frozenset({"application", "reporting", "administrator"})
RUN: Final = "runs/rotate/current.json"


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What a rotation will do."""

    kinds: tuple[Kind, ...]
    versions: dict[str, int]
    """New version of each password that the settings hold."""
    continues: bool
    """Whether an earlier rotation was interrupted and is finished first."""
    began: str


@dataclass
class Result:
    """What a rotation did."""

    kinds: tuple[Kind, ...]
    versions: dict[str, int]
    servers: list[str] = field(default_factory=list)
    """Servers that fetched the new passwords at once; others do within a minute."""
    administrators: list[str] = field(default_factory=list)
    """Databases whose administrator has the new password."""
    warnings: list[str] = field(default_factory=list)


def plan(site: Site, kinds: Sequence[Kind]) -> Plan:
    """Say what a rotation of `kinds` means; one that was interrupted is what is to be finished."""
    begun = site.store.read(RUN)
    if begun is not None and begun.get("state") == "begun":
        return Plan(
            kinds=tuple(begun["kinds"]), versions=begun["versions"], continues=True, began=begun["began"]
        )
    versions: dict[str, int] = {
        kind: int(site.stack.setting(f"passwordVersions.{kind}") or 1) + 1
        for kind in kinds
        if kind in VERSIONED
    }
    now = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    return Plan(kinds=tuple(kinds), versions=versions, continues=False, began=now)


def _check(site: Site, kinds: Sequence[Kind]) -> None:
    """Refuse what could be begun and not be finished."""
    if "reporting" in kinds and not site.stack.outputs().get(names.REPORTING_SECRET_ARN):
        raise OpsError(f"{site.name} has no reporting login: its databases are left out of the program")
    if "administrator" in kinds and not site.servers.online("app"):
        raise OpsError(
            "OpenERP's administrator is given a new password by an app server, and SSM Run Command reaches "
            f"none of {site.name}; rotate the others by name, or bring the servers up"
        )


def rotate(site: Site, kinds: Sequence[Kind]) -> Result:
    """Rotate the passwords of `kinds`; finishes an earlier rotation that was interrupted first.

    Raises OpsError; the same command again goes on.
    """
    with held(site.store, site.name, f"rotate {', '.join(kinds)}"):
        work = plan(site, kinds)
        _check(site, work.kinds)
        if work.continues:
            site.reporter.say(f"goes on with the rotation of {', '.join(work.kinds)} begun at {work.began}")
        _note(site.store, work, "begun")
        result = Result(kinds=work.kinds, versions=work.versions)
        if work.versions:
            site.reporter.step("make new passwords (pulumi up)")
            _raise_versions(site, work.versions)
        if "application" in work.kinds:
            site.reporter.step("let the servers fetch theirs")
            _refresh(site, result)
        if "administrator" in work.kinds:
            site.reporter.step("give OpenERP's administrator the new password")
            _administrators(site, result)
        if "master" in work.kinds:
            site.reporter.step("let RDS make a new password for the master user")
            _master(site, work)
        site.reporter.step("log in with each of them")
        _verify(site, work.kinds)
        _note(site.store, work, "done")
        return result


def _note(store: Store, work: Plan, state: str) -> None:
    kept = (store.read(RUN) or {}) if work.continues else {}
    own = {"kinds": list(work.kinds), "versions": work.versions, "began": work.began, "state": state}
    store.write(RUN, {**kept, **own})


def _raise_versions(site: Site, versions: dict[str, int]) -> None:
    changes = {
        f"passwordVersions.{kind}": version
        for kind, version in versions.items()
        if site.stack.setting(f"passwordVersions.{kind}") != version
    }
    # Also without a change: whoever wrote the settings may have been killed before `pulumi up` ended.
    site.stack.apply(changes, site.reporter)
    if site.stack.outputs().get(names.REPORTING_SECRET_ARN) is None:
        # Databases and roles are not the program's here: it has changed the secrets, and nobody the roles.
        site.databases.align_logins()


def _everywhere(site: Site) -> list[str]:
    return sorted({*site.servers.online("app"), *site.servers.online("web-client")})


def _call(site: Site, instance: str, function: str, what: str, **arguments: str) -> Any:
    return site.servers.python(
        instance, Path(on_server.__file__), function, arguments, what=what, seconds=900
    )


def _refresh(site: Site, result: Result) -> None:
    for instance in _everywhere(site):
        try:
            _call(site, instance, "refresh", "fetch the new passwords")
        except OpsError as error:
            result.warnings.append(f"{error}; it fetches them by itself within a minute")
        else:
            result.servers.append(instance)
    if not result.servers:
        result.warnings.append("no server was reached: running servers fetch the new passwords in a minute")


def _administrators(site: Site, result: Result) -> None:
    server = site.servers.one("app")
    outputs = site.stack.outputs()
    for name in (names.WORKING_DATABASE, names.TEST_DATABASE):
        database = str(outputs[name])
        _call(site, server, "set_administrator", f"administrator of {database}", database=database)
        result.administrators.append(database)
    for tenant, described in sorted(outputs.get(names.TENANTS, {}).items()):
        database = str(described["database"])
        _call(
            site, server, "set_administrator", f"administrator of {tenant}", database=database, tenant=tenant
        )
        result.administrators.append(database)


def _master(site: Site, work: Plan) -> None:
    rds = site.aws.client("rds")
    identifier = str(site.stack.output(names.DATABASE_INSTANCE_IDENTIFIER))
    secrets = site.aws.client("secretsmanager")
    arn = str(site.stack.output(names.MASTER_SECRET_ARN))

    def current() -> str:
        with explained("the master user's secret"):
            return str(secrets.get_secret_value(SecretId=arn)["VersionId"])

    before = current()
    begun = site.store.read(RUN) or {}
    if begun.get("master_before") not in (None, before):
        return  # rotated by the run that was interrupted
    site.store.write(RUN, {**begun, "master_before": before})
    with explained(f"a new password for the master user of {identifier}"):
        rds.modify_db_instance(
            DBInstanceIdentifier=identifier, RotateMasterUserPassword=True, ApplyImmediately=True
        )

    def rotated() -> bool | None:
        with explained(identifier):
            row = rds.describe_db_instances(DBInstanceIdentifier=identifier)["DBInstances"][0]
        return True if row["DBInstanceStatus"] == "available" and current() != before else None

    wait("the master user's new password", rotated, site.reporter, seconds=900)


def _verify(site: Site, kinds: Sequence[Kind]) -> None:
    """Log in with what the secrets say now."""
    databases = site.databases
    tries: list[tuple[str, Callable[[], Any]]] = []
    if {"application", "reporting"} & set(kinds):
        working = str(site.stack.output(names.WORKING_DATABASE))
        tries.append(("application", lambda: databases.application(working).connect(working).close()))
    if "master" in kinds:
        tries.append(("master", lambda: databases.master().connect("postgres").close()))
    for what, attempt in tries:

        def look(attempt: Callable[[], Any] = attempt) -> bool | None:
            try:
                attempt()
            except DatabaseError as error:
                if "password authentication failed" in str(error):
                    return None
                raise
            return True

        wait(f"a login of {what} with its new password", look, site.reporter, seconds=120, every=2)
