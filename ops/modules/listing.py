"""Which data modules a stack has, proven, on its servers, and in its working database."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any

from core import module_package, promotion
from core import outputs as names
from core.problems import Invalid
from core.settings_model import ProvenModule
from ops.errors import OpsError
from ops.modules import content
from ops.site import Site
from ops.stack import Stack


@dataclass(frozen=True, kw_only=True)
class Row:
    """One data module, by its hash."""

    name: str
    version: str
    sha256: str
    proven: str | None
    """Where and when, as `dev, 2026-11-28`; None where nothing proves it on this stack's release."""
    on_servers: bool
    installed: str | None
    """Version in the working database, where it is the one of this row."""
    records: int | None
    """Records that it owns there."""

    def document(self) -> dict[str, Any]:
        """Return it for machines."""
        return dataclasses.asdict(self)


def rows(site: Site) -> list[Row]:
    """Return the data modules of a stack: those of its settings, of its servers, and of its ledger."""
    release = str(site.stack.output(names.RELEASE))
    served = _known(site.stack.outputs().get(names.DATA_MODULES))
    wanted = _known(site.stack.setting("dataModules"))
    source, ledger = ledger_of(site)
    known = {**served, **wanted}
    if source == site.name:
        known |= {(entry.name, entry.version, entry.sha256): None for entry in ledger}
    there = _installed(site, {name for name, _, _ in known})
    return [
        Row(
            name=name,
            version=version,
            sha256=sha256,
            proven=_proven(source, ledger, release, name, version, sha256),
            on_servers=(name, version, sha256) in served,
            installed=_version(there.get(name), version, release),
            records=sum(there[name].created.values())
            if _version(there.get(name), version, release)
            else None,
        )
        for name, version, sha256 in sorted(known)
    ]


def _known(value: Any) -> dict[tuple[str, str, str], None]:
    return {(str(one["name"]), str(one["version"]), str(one["sha256"])): None for one in value or ()}


def ledger_of(site: Site) -> tuple[str, tuple[ProvenModule, ...]]:
    """Return the ledger that counts for a stack, and of which stack it is: its own, or the one it names."""
    if site.stack.output(names.ENVIRONMENT) == "development":
        return site.name, read_ledger(site.name, site.stack.setting("provenModules"))
    source = site.stack.setting("dataModulesFrom")
    if source is None:
        return "", ()
    outputs = Stack(str(source), directory=site.stack.directory).outputs()
    return str(source), read_ledger(str(source), outputs.get(names.MODULE_LEDGER))


def read_ledger(stack: str, value: Any) -> tuple[ProvenModule, ...]:
    """Return the ledger of a stack. Raises OpsError where it cannot be read."""
    try:
        return promotion.read_ledger(value)
    except ValueError as error:
        raise OpsError(f"the ledger of {stack} cannot be read: {error}") from None


def _proven(
    source: str, ledger: tuple[ProvenModule, ...], release: str, name: str, version: str, sha256: str
) -> str | None:
    for entry in ledger:
        if (entry.name, entry.version, entry.sha256) == (name, version, sha256) and entry.release == release:
            return f"{source}, {entry.verified[:10]}"
    return None


def _installed(site: Site, wanted: set[str]) -> dict[str, content.Module]:
    database = str(site.stack.output(names.WORKING_DATABASE))
    if not wanted:
        return {}
    with site.databases.application(database).connect(database) as connection:
        found = {name: content.module(connection, name) for name in wanted}
    return {name: module for name, module in found.items() if module.state == "installed"}


def _version(found: content.Module | None, version: str, release: str) -> str | None:
    """Return the installed version where it is the one that `version` becomes."""
    try:
        wanted = module_package.installed_version(version, release)
    except Invalid:
        return None
    return found.version if found is not None and found.version == wanted else None
