"""What a stack was before this run, from its own last outputs, and what follows from it.

A first run has no outputs: everything here is then empty, and nothing is refused.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from core import outputs, release
from core.problems import Invalid, Problem, SettingsError, printable
from core.settings_model import ConfiguredSettings

RESTORE_KEY: Final = "openerp:database.restoreFrom"
SNAPSHOT_PREFIX: Final = "snapshot:"
"""`database.restoreFrom: snapshot:<identifier>` is for when no stack is left to ask."""


@dataclass(frozen=True, kw_only=True)
class Continuity:
    """The last run of a stack."""

    release: str | None
    issued_client_certificates: Mapping[str, str]
    """Ledger of client certificates, see `core.revocation`."""
    region: str | None
    vpc_cidr: str | None
    engine_version: str | None
    """PostgreSQL version, `16` or `16.9`."""
    checkpoints: Mapping[str, str]
    """Label -> RDS snapshot identifier of the checkpoints that exist."""
    remembers: bool
    """Whether that run was one of a version that says in its outputs what the data was made from."""
    instance_identifier: str | None
    """The database server."""
    restored_from: str | None
    """RDS snapshot that the database server was made from."""
    restore_mark: str | None
    """What told that restore from an earlier one of the same snapshot."""
    databases_brought_by: str | None
    """Snapshot that brought databases which the state does not know."""
    manages_databases: bool
    """Whether databases and roles are in the state."""
    file_system_id: str | None
    file_store_restored: Mapping[str, str] | None
    """`file_system_id` and `path`, where the stack goes on with another file system than its own."""
    password_versions: Mapping[str, int]
    """Purpose -> version."""


def continuity(last_outputs: Mapping[str, Any]) -> Continuity:
    """Read the outputs of a stack's last run; what is missing is empty."""
    return Continuity(
        release=last_outputs.get(outputs.RELEASE),
        issued_client_certificates=dict(last_outputs.get(outputs.ISSUED_CLIENT_CERTIFICATES) or {}),
        region=last_outputs.get(outputs.REGION),
        vpc_cidr=last_outputs.get(outputs.VPC_CIDR),
        engine_version=last_outputs.get(outputs.DATABASE_ENGINE_VERSION),
        checkpoints=dict(last_outputs.get(outputs.CHECKPOINT_SNAPSHOTS) or {}),
        remembers=outputs.OPERATIONS_BUCKET in last_outputs,
        instance_identifier=last_outputs.get(outputs.DATABASE_INSTANCE_IDENTIFIER),
        restored_from=last_outputs.get(outputs.DATABASE_RESTORED_FROM),
        restore_mark=last_outputs.get(outputs.DATABASE_RESTORE_MARK),
        databases_brought_by=last_outputs.get(outputs.DATABASES_BROUGHT_BY),
        # The reporting role's secret is made with the databases, and only then.
        manages_databases=last_outputs.get(outputs.REPORTING_SECRET_ARN) is not None,
        file_system_id=last_outputs.get(outputs.FILE_SYSTEM_ID),
        file_store_restored=last_outputs.get(outputs.FILE_STORE_RESTORED),
        password_versions={
            purpose: int(version)
            for purpose, version in (last_outputs.get(outputs.PASSWORD_VERSIONS) or {}).items()
        },
    )


def check_release_step(
    settings: ConfiguredSettings, before: Continuity, *, stack: str, restores: bool = False
) -> None:
    """Refuse a downgrade, and an upgrade that is not permitted or whose checkpoint does not exist yet.

    With `restores`, the database goes back in this run, and the release may go back with it.

    Raises:
        SettingsError: names `openerp:release`.
    """
    if before.release is None:
        return
    if restores and release.parse(settings.release) < release.parse(before.release):
        return
    allowed = settings.allow_upgrade_to
    try:
        release.transition(
            release.parse(before.release),
            release.parse(settings.release),
            allow_upgrade_to=release.parse(allowed) if allowed else None,
            checkpoint=settings.upgrade_checkpoint,
            checkpoints=before.checkpoints,
        )
    except Invalid as refused:
        raise SettingsError([Problem("openerp:release", refused.wrong, refused.right)], stack=stack) from None


def check_place(settings: ConfiguredSettings, region: str, before: Continuity, *, stack: str) -> None:
    """Refuse another region or network for a stack that is there: its data cannot move.

    AWS refuses a database server in another VPC (RDS user guide, "Working with a DB instance in a VPC"), and
    does so in the middle of an update, when half of the network is another already.

    Raises:
        SettingsError: names `aws:region` and `openerp:network.cidr`.
    """
    places = (
        ("aws:region", before.region, region),
        ("openerp:network.cidr", before.vpc_cidr, settings.network.cidr),
    )
    problems = [
        Problem(
            key,
            f"is {now}, and this stack is in {then}, which holds its data",
            f"Write `{then}`, or bring up a new stack there from a checkpoint",
        )
        for key, then, now in places
        if then is not None and then != now
    ]
    if problems:
        raise SettingsError(problems, stack=stack)


def check_engine_step(
    settings: ConfiguredSettings, before: Continuity, *, stack: str, restores: bool = False
) -> None:
    """Refuse a step between major versions of PostgreSQL that RDS would refuse in the middle of an update.

    With `restores`, the server is made anew in this run, and may be an older one than before.

    Raises:
        SettingsError: names `openerp:database.engineVersion`.
    """
    database = settings.database
    if before.engine_version is None or restores:
        return
    old, new = (int(version.split(".")[0]) for version in (before.engine_version, database.engine_version))
    wrong = f"PostgreSQL {database.engine_version} is another major version than {before.engine_version}"
    if new < old:
        right = f'Write `"{before.engine_version}"`: a server never goes back; its checkpoints do'
    elif new > old and not database.allow_major_version_upgrade:
        right = "Name a checkpoint in `openerp:backup.checkpoints`, deploy it, then set "
        right += "`openerp:database.allowMajorVersionUpgrade: true`: there is no other way back"
    else:
        return
    raise SettingsError([Problem("openerp:database.engineVersion", wrong, right)], stack=stack)


def check_password_versions(settings: ConfiguredSettings, before: Continuity, *, stack: str) -> None:
    """Refuse a lower version of a password: it would bring back one that was given up.

    Raises:
        SettingsError: names the versions that are lower.
    """
    now: dict[str, int] = settings.password_versions.model_dump()
    problems = [
        Problem(
            f"openerp:passwordVersions.{purpose}",
            f"is {version}, and was {before.password_versions[purpose]}: an old password would come back",
            f"Write {before.password_versions[purpose]}, or more for a new one",
        )
        for purpose, version in now.items()
        if version < before.password_versions.get(purpose, 1)
    ]
    if problems:
        raise SettingsError(problems, stack=stack)


def restore_snapshot(
    restore_from: str | None,
    before: Continuity,
    outputs_of: Callable[[str], Mapping[str, Any]],
    *,
    stack: str,
) -> str | None:
    """Return the RDS snapshot identifier behind `database.restoreFrom` (without its mark), None for None.

    `label` is a checkpoint of this stack, `stack/label` one of another (whose outputs `outputs_of` reads;
    it raises LookupError where there is none), `snapshot:<identifier>` a snapshot of the region.

    Raises:
        SettingsError: no such checkpoint, whose message names those that there are; or no such stack.
    """
    if restore_from is None:
        return None
    if restore_from.startswith(SNAPSHOT_PREFIX):
        return restore_from.removeprefix(SNAPSHOT_PREFIX)
    other, _, label = restore_from.rpartition("/")
    forget = ", or take it out: what the server was made from is remembered" if before.restored_from else ""
    try:
        known = continuity(outputs_of(other)).checkpoints if other else before.checkpoints
    except LookupError as unreadable:
        problem = Problem(
            RESTORE_KEY,
            f"names stack '{other}', which cannot be read ({printable(str(unreadable), 200)})",
            "Name a stack of this project in the same backend, or a snapshot itself as "
            "`snapshot:<RDS snapshot identifier>`" + forget,
        )
        raise SettingsError([problem], stack=stack) from None
    if label in known:
        return known[label]
    there = ", ".join(sorted(known)) or "none"
    problem = Problem(
        RESTORE_KEY,
        f"names checkpoint '{label}', which stack {other or stack} does not have (it has: {there})",
        "Name one of these, or a snapshot itself as `snapshot:<RDS snapshot identifier>`" + forget,
    )
    raise SettingsError([problem], stack=stack)
