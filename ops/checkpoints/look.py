"""What databases and their file stores hold: counted before and after a snapshot, and after a restore."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Final

from core import checkpoint
from core import outputs as names
from core.checkpoint import Broken, Database, Files, Found, FoundFiles, Manifest
from ops.databases import facts
from ops.databases.connection import Server
from ops.errors import OpsError
from ops.site import FileStore, Site
from ops.site.databases import JOBS, Databases

ATTACHMENTS: Final = "public.ir_attachment"


@dataclass(frozen=True, kw_only=True)
class Access:
    """A database server, and the file store of its databases where it can be looked at."""

    databases: Databases
    files: FileStore | None


def is_mounted(store: FileStore) -> bool:
    """Whether a file store is there on this machine."""
    return store.mounted is not None and store.mounted.is_dir()


def access(site: Site) -> Access:
    """Return the stack's own; without the file store where neither a mount here nor a server reaches it."""
    store = site.files
    if is_mounted(store):
        return Access(databases=site.databases, files=store)
    if site.servers.online():
        return Access(databases=site.databases, files=replace(store, mounted=None))
    # A folder that should be there is missed as soon as an attachment names a file in it.
    return Access(databases=site.databases, files=store if site.file_systems else None)


def there(databases: Databases) -> tuple[list[str], list[str]]:
    """Return the stack's databases that are on the server, and those that are not."""
    server = databases.master()
    with server.connect(server.maintenance) as connection:
        found = {row[0] for row in connection.execute("select datname from pg_database").fetchall()}
    wanted = databases.names()
    return [name for name in wanted if name in found], [name for name in wanted if name not in found]


# Before and after a snapshot. What is returned is plain data, which outlives a kill in the claim.


def before(access: Access, database: str) -> dict[str, Any]:
    """Return what a database is and holds before a snapshot."""
    server = access.databases.application(database)
    with server.connect(database) as connection:
        written = facts.written(connection)
        found = facts.read(connection)
        attachments = facts.stored_files(connection)
    return {
        "release": found.release,
        "uuid": found.database_uuid,
        "bytes": found.size,
        "modules": found.modules,
        "rows": facts.count(server, database, found.largest, None, JOBS),
        "written": {table: written[table] for table in (*found.largest, ATTACHMENTS) if table in written},
        "attachments": len(attachments),
        "files": _looked(access.files, database, len(attachments)),
    }


def after(access: Access, database: str, tables: list[str]) -> dict[str, Any]:
    """Return what is counted again when the snapshot is complete."""
    server = access.databases.application(database)
    rows = facts.count(server, database, tables, None, JOBS)
    with server.connect(database) as connection:
        attachments = facts.stored_files(connection)
        modules = facts.modules_of(connection)
        written = facts.written(connection)
    return {
        "rows": rows,
        "written": written,
        "attachments": len(attachments),
        "modules": modules,
        "files": _looked(access.files, database, len(attachments)),
    }


def _looked(store: FileStore | None, database: str, attachments: int) -> dict[str, Any] | None:
    if store is None:
        return None
    _is_mounted(store, attachments)
    return store.look(database)


def _is_mounted(store: FileStore, attachments: int) -> None:
    """Refuse to take a folder in which nothing is mounted for a file store that holds nothing."""
    if attachments and store.mounted is not None and not store.mounted.is_dir():
        raise OpsError(
            f"attachments name {attachments:,} stored files, and there is no folder {store.mounted}: is "
            f"{store.file_system_id} mounted where --file-systems says?"
        )


def read_files(access: Access, database: str) -> dict[str, Any] | None:
    """Read every file that attachments name, and return which are missing or damaged."""
    if access.files is None:
        return None
    with access.databases.application(database).connect(database) as connection:
        wanted = sorted(facts.stored_files(connection))
    _is_mounted(access.files, len(wanted))
    role, secret = access.databases.owner(database), _secret(access.databases, database)
    return access.files.check(database, wanted, role, secret)


def _secret(databases: Databases, database: str) -> str:
    return str(databases.stack.output(names.APPLICATION_SECRET_ARNS)[database])


def missing_files(access: Access, database: str) -> dict[str, Any] | None:
    """Return which files that attachments name are missing, without reading them; None where not mounted."""
    if access.files is None or access.files.mounted is None:
        return None
    with access.databases.application(database).connect(database) as connection:
        wanted = sorted(facts.stored_files(connection))
    _is_mounted(access.files, len(wanted))
    folder = access.files.mounted / "filestore" / database
    gone = [name for name in wanted if not (folder / name).is_file()]
    return {"missing": gone[: checkpoint.NAMED], "missing_count": len(gone)}


def _broken(checked: Mapping[str, Any], kind: str) -> Broken:
    return Broken(count=checked[f"{kind}_count"], names=tuple(checked[kind]))


def claimed(
    database: str, then: Mapping[str, Any], now: Mapping[str, Any], checked: Mapping[str, Any] | None
) -> Database:
    """Return what a manifest claims of a database, from what was counted twice.

    `checked`: what is known of missing files, and of damaged ones where they were read.
    """
    modules: dict[str, str] = then["modules"]
    changing = {
        name
        for name in modules.keys() | now["modules"].keys()
        if modules.get(name) != now["modules"].get(name)
    }
    return Database(
        name=database,
        release=then["release"],
        uuid=then["uuid"],
        bytes=then["bytes"],
        modules={name: version for name, version in modules.items() if name not in changing},
        changing=tuple(sorted(changing)),
        rows={
            table: checkpoint.span(count, now["rows"].get(table, 0), *_changes(then, now, table))
            for table, count in then["rows"].items()
        },
        attachments=checkpoint.span(
            then["attachments"], now["attachments"], *_changes(then, now, ATTACHMENTS, updates=True)
        ),
        files=_files(then["files"], now["files"], checked),
    )


def _changes(
    then: Mapping[str, Any], now: Mapping[str, Any], table: str, *, updates: bool = False
) -> tuple[int, int]:
    """Return how many rows came and went between two looks, as the server counts them."""
    zero = (0, 0, 0)
    first, last = then["written"].get(table, zero), now["written"].get(table, zero)
    # A server that was killed counts from nothing again.
    inserted, deleted, updated = (
        later - earlier if later >= earlier else later for earlier, later in zip(first, last, strict=True)
    )
    return (inserted + updated, deleted + updated) if updates else (inserted, deleted)


def _files(
    then: Mapping[str, Any] | None, now: Mapping[str, Any] | None, checked: Mapping[str, Any] | None
) -> Files | None:
    if then is None or now is None or checked is None:
        return None
    return checkpoint.files_between(
        then,
        now,
        missing=_broken(checked, "missing"),
        damaged=_broken(checked, "damaged") if "damaged" in checked else None,
    )


# After a restore


def found_databases(databases: Databases, manifest: Manifest) -> dict[str, Found]:
    """Return what the databases of a manifest are and hold now."""
    here, _ = there(databases)
    found = {}
    for claim in manifest.databases:
        if claim.name in here:
            found[claim.name] = _found(databases.application(claim.name), claim)
    return found


def _found(server: Server, claim: Database) -> Found:
    rows = facts.count(server, claim.name, claim.rows, None, JOBS)
    with server.connect(claim.name) as connection:
        known = facts.read(connection)
        return Found(
            rows=rows,
            modules=known.modules,
            uuid=known.database_uuid,
            attachments=len(facts.stored_files(connection)),
        )


def found_files(access: Access, database: str, *, folders: bool) -> FoundFiles | None:
    """Return what a file store holds now; every file that attachments name is read.

    `folders`: whether nobody works with it yet.
    """
    checked = read_files(access, database)
    if access.files is None or checked is None:
        return None
    return FoundFiles(
        folders=access.files.look(database)["folders"] if folders else None,
        missing=_broken(checked, "missing"),
        damaged=_broken(checked, "damaged"),
    )
