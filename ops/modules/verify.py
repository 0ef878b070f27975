"""A trial of a data module: imported twice into a scratch copy of development's working database.

What is proven goes into the ledger, which is a setting of the development stack. The trial touches neither
the working database nor the servers' addons path; what it makes is removed whatever happens, and what a
killed one left is removed by the next.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from core import module_evidence, module_package
from core import outputs as names
from core.module_evidence import Content, Evidence, Import
from core.module_package import DataModule, NotADataModuleError
from core.problems import Invalid
from core.servers.rendering import HERE
from ops import run as runs
from ops.changes import on_server as changing
from ops.databases.connection import Server
from ops.errors import OpsError
from ops.lock import held
from ops.modules import content, copy, on_server
from ops.site import Site
from ops.store import AlreadyThereError

FOLDER: Final = "data_modules"
"""Where a module is looked for by its name, in the project's directory."""
IMPORT_SECONDS: Final = 4 * 3600
LOG_LINES: Final = 40
"""Lines of the log that the evidence keeps."""
FETCHING: Final = HERE / "files" / "openerp_server" / "modules.py"


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What a trial will do."""

    module: DataModule
    release: str
    wanted: str
    """The version as Odoo writes it."""
    database: str
    """The working database."""
    updated_from: str | None
    proven: bool
    """Whether the ledger proves it already."""


@dataclass(frozen=True, kw_only=True)
class Result:
    """What a trial proved."""

    evidence: Evidence
    key: str
    exported: bool
    """Whether `pulumi up` has exported the ledger already."""


def find(given: str, directory: Path) -> DataModule:
    """Return the data module at a path, or of a name in `data_modules/`. Raises OpsError."""
    path = Path(given)
    if not path.is_dir() and re.fullmatch(r"[a-z][a-z0-9_]*", given):
        path = directory / FOLDER / given
    if not path.is_dir():
        raise OpsError(f"there is no folder {given}, and no {FOLDER}/{given} in the project")
    try:
        return module_package.load(path)
    except NotADataModuleError as error:
        raise OpsError(str(error)) from None


def plan(site: Site, given: str) -> Plan:
    """Look at a module and at what a trial needs. Raises OpsError where there can be none."""
    environment = site.stack.output(names.ENVIRONMENT)
    if environment != "development":
        raise OpsError(
            f"{site.name} is for {environment}: modules are proven on development, and loaded elsewhere by "
            "`ops modules load`"
        )
    module = find(given, site.stack.directory)
    release, database = (str(site.stack.output(name)) for name in (names.RELEASE, names.WORKING_DATABASE))
    try:
        wanted = module_package.installed_version(module.version, release)
    except Invalid as invalid:
        raise OpsError(f"{module.name}: {invalid.wrong}. {invalid.right}") from None
    with site.databases.application(database).connect(database) as connection:
        known = content.known(connection, module.depends)
        there = content.module(connection, module.name)
    if missing := sorted(set(module.depends) - set(known)):
        raise OpsError(f"{module.name} depends on {', '.join(missing)}, which OpenERP of {site.name} has not")
    same = {"name": module.name, "version": module.version, "sha256": module.sha256, "release": release}
    return Plan(
        module=module,
        release=release,
        wanted=wanted,
        database=database,
        updated_from=there.version if there.state == "installed" else None,
        proven=any(all(entry.get(key) == same[key] for key in same) for entry in ledger(site)),
    )


def ledger(site: Site) -> list[Mapping[str, Any]]:
    """Return the ledger in the settings of a development stack."""
    return list(site.stack.setting("provenModules") or ())


def verify(site: Site, given: str, *, up: bool = False) -> Result:
    """Prove a data module. Raises OpsError where it fails, with Odoo's own words; the evidence says the same.

    `up`: let `pulumi up` export the ledger at once.
    """
    with held(site.store, site.name, f"modules verify {Path(given).name}"):
        site.reporter.step("look at the module and at the working database")
        planned = plan(site, given)
        _upload(site, planned.module)
        evidence = _trial(site, planned)
        site.store.create(evidence.key, evidence.text().encode())
        if evidence.result != "proven":
            raise OpsError(
                f"{planned.module.name} {planned.module.version} is not proven: {evidence.reason} "
                f"(s3://{site.store.bucket}/{evidence.key})"
            )
        site.reporter.step("write it into the ledger")
        changes = {"provenModules": module_evidence.ledger_with(ledger(site), evidence.entry())}
        if up:
            site.stack.apply(changes, site.reporter)
        else:
            site.stack.write_settings(changes)
        return Result(evidence=evidence, key=evidence.key, exported=up)


def _upload(site: Site, module: DataModule) -> None:
    key = module_package.object_key(module.name, module.sha256)
    try:
        site.store.create(key, module.archive())
    except AlreadyThereError:
        # What is there was packed by another version of this program; servers look at the hash of the files.
        site.store.write(key, module.archive())


@contextlib.contextmanager
def _scratch(site: Site, instance: str, planned: Plan) -> Iterator[copy.Copied]:
    """Give a scratch copy for a while; whatever was left of others is removed before, and this one after."""
    master = site.databases.master()
    remove_leftovers(site, master, instance)
    site.reporter.step(f"copy {planned.database}")
    owner = site.databases.owner(planned.database)
    try:
        yield copy.make(master, planned.database, copy.new_name(), owner, site.reporter)
    finally:
        site.reporter.step("remove the copy")
        try:
            remove_leftovers(site, master, instance)
        except OpsError as error:
            site.reporter.warn(f"{error}; the next trial removes what is left")


def remove_leftovers(site: Site, master: Server, instance: str) -> None:
    """Remove scratch copies and their files; the caller holds the stack's mark, so they are nobody's."""
    for database in copy.leftovers(master):
        copy.remove(master, database)
    _call(site, instance, "clear", "remove what trials left", prefix=copy.PREFIX)


def _call(site: Site, instance: str, function: str, what: str, seconds: int = 1800, **arguments: Any) -> Any:
    return site.servers.python(
        instance, Path(on_server.__file__), function, arguments, what=what, seconds=seconds
    )


def bring_in(
    site: Site, instance: str, database: str, name: str, *, update: bool, addons: str = ""
) -> Mapping[str, Any]:
    """Let a server install or update a module in a database, see `ops.changes.on_server.bring_in`."""
    found: Mapping[str, Any] = site.servers.python(
        instance,
        Path(changing.__file__),
        "bring_in",
        {"database": database, "name": name, "update": update, "addons": addons},
        what=f"import {name} into {database}",
        seconds=IMPORT_SECONDS,
    )
    return found


def _trial(site: Site, planned: Plan) -> Evidence:
    """Import the module twice and compare."""
    module, instance = planned.module, site.servers.one("app")
    with _scratch(site, instance, planned) as copied:
        site.reporter.step("bring the module and the files to the copy")
        prepared = _call(
            site,
            instance,
            "prepare",
            f"prepare the trial of {module.name}",
            seconds=IMPORT_SECONDS,
            database=copied.database,
            source_database=planned.database,
            name=module.name,
            sha256=module.sha256,
            bucket=site.store.bucket,
            modules=FETCHING.read_text(encoding="utf-8"),
        )
        trial = _Trial(site, planned, instance, copied, prepared["addons"])
        trial.run()
    return trial.evidence()


class _Trial:
    """Two imports into one scratch copy, and what was seen of them."""

    def __init__(self, site: Site, planned: Plan, instance: str, copied: copy.Copied, addons: str) -> None:
        self._site, self._planned = site, planned
        self._instance, self._copied, self._addons = instance, copied, addons
        self._server = site.databases.application(planned.database)
        self._imports: list[Import] = []
        self._log: list[str] = []
        self._found: content.Module | None = None
        self._tables: dict[str, Content] = {}
        self._changed: list[str] = []
        self._reason = ""

    def run(self) -> None:
        """Import, look, import again, compare; stop at the first thing that is wrong."""
        before = self._written()
        self._bring_in("import it", update=self._planned.updated_from is not None)
        if self._reason:
            return
        first = self._written()
        with self._connect() as connection:
            touched = {table for table, counts in first.items() if before.get(table) != counts}
            self._tables = content.contents(connection, content.told(touched))
            self._found = content.module(connection, self._planned.module.name)
        self._bring_in("import it again", update=True)
        if self._reason:
            return
        second = self._written()
        with self._connect() as connection:
            after = content.contents(connection, self._tables)
        touched = {table for table, counts in second.items() if first.get(table) != counts}
        self._changed = module_evidence.changes(self._tables, after, touched)
        if self._changed:
            self._reason = f"the second import changed what the first had made: {'; '.join(self._changed)}"

    def _connect(self) -> Any:
        return self._server.connect(self._copied.database)

    def _written(self) -> dict[str, tuple[int, int, int]]:
        with self._connect() as connection:
            content.await_end(connection)
            return content.written(connection)

    def _bring_in(self, what: str, *, update: bool) -> None:
        name = self._planned.module.name
        self._site.reporter.step(what)
        found = bring_in(
            self._site, self._instance, self._copied.database, name, update=update, addons=self._addons
        )
        self._log = list(found["log"])
        self._imports.append(told_import(found, self._planned.module.files, self._addons))
        with self._connect() as connection:
            there = content.module(connection, name)
        self._reason = (
            module_evidence.why_not(self._imports, there.state, there.version, self._planned.wanted) or ""
        )

    def evidence(self) -> Evidence:
        """Return what was seen."""
        module, found = self._planned.module, self._found
        return Evidence(
            result="failed" if self._reason else "proven",
            reason=self._reason,
            name=module.name,
            version=module.version,
            files_sha256=module.sha256,
            release=self._planned.release,
            stack=self._site.name,
            by=runs.operator(),
            verified=datetime.now(UTC).replace(microsecond=0),
            updated_from=self._planned.updated_from,
            created=found.created if found else {},
            owned=found.owned if found else "",
            tables=self._tables,
            changed=tuple(self._changed),
            imports=tuple(self._imports),
            copy_seconds=self._copied.seconds,
            log=tuple(self._log[-LOG_LINES:]),
        )


def told_import(found: Mapping[str, Any], files: Mapping[str, bytes], addons: str = "") -> Import:
    """Return an import as Odoo's log tells it.

    `files`: those of the module, to name a line of one. `addons`: where they were on the server, which tells
    nobody anything.
    """
    log, status = list(found["log"]), int(found["status"])
    failure = module_evidence.failure_in(log) if status != 0 else ""
    failure = failure.replace(f"{addons}/", "") if addons else failure
    for path, body in files.items():
        if failure and path in failure and path.endswith(".csv"):
            number = module_evidence.line_named(failure, body.decode(errors="replace"))
            failure += f" (line {number} of {path})" if number else ""
    return Import(
        seconds=float(found["seconds"]),
        status=status,
        errors=module_evidence.errors_in(log),
        failure=failure,
    )
