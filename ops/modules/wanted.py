"""Which data module is to be loaded, by the settings or by a ledger, and its archive from a bucket."""

from __future__ import annotations

import io
import re
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from core import module_package, promotion
from core import outputs as names
from core.module_package import DataModule, NotADataModuleError
from core.problems import Invalid
from core.settings_model import ProvenModule
from ops.errors import OpsError
from ops.modules.listing import read_ledger
from ops.site import Site
from ops.stack import Stack
from ops.store import Store


@dataclass(frozen=True, kw_only=True)
class Wanted:
    """A data module as the settings, or a ledger, name it."""

    name: str
    version: str
    sha256: str
    source: str | None
    """Stack whose ledger proves it; None on development without a proof."""
    created: Mapping[str, int] | None
    """Records that it is to own, by model; None without a proof."""
    changes: Mapping[str, Any]
    """What the settings are to say."""


def wanted(site: Site, name: str, source: str | None, version: str | None) -> Wanted:
    """Return the module that the settings name, or that a ledger proves where `source` says which."""
    if not re.fullmatch(r"[a-z][a-z0-9_]*", name):
        raise OpsError(f"{name!r} is no name of a module")
    release = str(site.stack.output(names.RELEASE))
    development = site.stack.output(names.ENVIRONMENT) == "development"
    if development and source not in (None, site.name):
        raise OpsError(
            f"{site.name} is for development: its modules are proven there, by `ops modules verify`"
        )
    configured = [dict(one) for one in site.stack.setting("dataModules") or ()]
    named = next((one for one in configured if one["name"] == name), None)
    ledger_of = source or (site.name if development else site.stack.setting("dataModulesFrom"))
    if ledger_of is None:
        raise OpsError(
            f"{site.stack.settings_file.name} names no `dataModulesFrom`: say `--from STACK`, the "
            "development stack that has proven the module"
        )
    ledger = _ledger(site, str(ledger_of))
    if source is None and named is not None and version in (None, named["version"]):
        chosen = {key: str(named[key]) for key in ("name", "version", "sha256")}
    elif source is None and not development:
        raise OpsError(
            f"{site.stack.settings_file.name} has no {name}{f' {version}' if version else ''} among its "
            f"`dataModules`: add it, or say `--from {ledger_of}` to take what is proven there"
        )
    else:
        chosen = _newest(ledger, name, version, release, str(ledger_of))
    proof = _proof(ledger, chosen, release)
    if proof is None and not development:
        raise OpsError(f"{name} {chosen['version']} ({chosen['sha256']}) is not proven by {ledger_of}")
    others = [one for one in configured if one["name"] != name]
    changed: dict[str, Any] = {"dataModules": sorted([*others, chosen], key=lambda one: str(one["name"]))}
    if named == chosen:
        changed = {"dataModules": configured}
    if not development:
        changed["dataModulesFrom"] = str(ledger_of)
    return Wanted(
        **chosen,
        source=str(ledger_of) if proof else None,
        created=dict(proof.created) if proof else None,
        changes=changed,
    )


def _ledger(site: Site, source: str) -> tuple[ProvenModule, ...]:
    if source == site.name:
        return read_ledger(source, site.stack.setting("provenModules"))
    return read_ledger(source, _other(site, source).outputs().get(names.MODULE_LEDGER))


def _other(site: Site, name: str) -> Stack:
    return Stack(name, directory=site.stack.directory)


def _newest(
    ledger: Sequence[ProvenModule], name: str, version: str | None, release: str, source: str
) -> dict[str, str]:
    """Return the newest proof of a module on a release."""
    fitting = [
        entry
        for entry in ledger
        if entry.name == name
        and version in (None, entry.version)
        and _proves(entry, {"name": name, "version": entry.version, "sha256": entry.sha256}, release)
    ]
    if not fitting:
        known = sorted({f"{entry.name} {entry.version}" for entry in ledger}) or ["nothing"]
        raise OpsError(
            f"{source} has not proven {name}{f' {version}' if version else ''} on {release}, but "
            f"{', '.join(known)}: run `python -m ops modules verify {name} --stack {source} --up`"
        )
    entry = max(fitting, key=lambda one: one.verified)
    return {"name": entry.name, "version": entry.version, "sha256": entry.sha256}


def _proof(ledger: Sequence[ProvenModule], chosen: Mapping[str, str], release: str) -> ProvenModule | None:
    fitting = [entry for entry in ledger if _proves(entry, chosen, release)]
    return max(fitting, key=lambda one: one.verified, default=None)


def _proves(entry: ProvenModule, chosen: Mapping[str, str], release: str) -> bool:
    same = all(getattr(entry, key) == chosen[key] for key in ("name", "version", "sha256"))
    return same and promotion.same_series(entry.release, release)


# Its archive


def unpack(archive: bytes) -> dict[str, bytes]:
    """Return the files in the archive of a module."""
    with zipfile.ZipFile(io.BytesIO(archive)) as opened:
        return {entry.filename: opened.read(entry) for entry in opened.infolist()}


def packed(store: Store, name: str, sha256: str) -> DataModule | None:
    """Return the module in a bucket; None where it is not there. Raises OpsError where it is another."""
    key = module_package.object_key(name, sha256)
    archive = store.read_bytes(key)
    if archive is None:
        return None
    try:
        module = module_package.data_module(name, unpack(archive))
    except (NotADataModuleError, zipfile.BadZipFile) as error:
        raise OpsError(f"s3://{store.bucket}/{key}: {error}") from None
    if module.sha256 != sha256:
        raise OpsError(f"s3://{store.bucket}/{key} was altered: its hash is {module.sha256}")
    return module


def module_of(site: Site, chosen: Wanted) -> DataModule:
    """Return the module from this stack's bucket, or from that of the stack that has proven it."""
    module = packed(site.store, chosen.name, chosen.sha256)
    if module is None and chosen.source not in (None, site.name):
        outputs = _other(site, str(chosen.source)).outputs()
        client = site.aws.client("s3", str(outputs[names.REGION]))
        there = Store(client, str(outputs[names.OPERATIONS_BUCKET]))
        module = packed(there, chosen.name, chosen.sha256)
    if module is None:
        raise OpsError(
            f"{chosen.name} {chosen.version} ({chosen.sha256}) is in no operations bucket: run "
            f"`python -m ops modules verify {chosen.name} --stack {chosen.source or site.name}`"
        )
    if module.version != chosen.version:
        raise OpsError(f"{chosen.name} with that hash is version {module.version}, not {chosen.version}")
    return module


def installed_version(site: Site, module: DataModule) -> str:
    """Return a module's version as Odoo of this stack writes it. Raises OpsError where it takes none such."""
    try:
        return module_package.installed_version(module.version, str(site.stack.output(names.RELEASE)))
    except Invalid as invalid:
        raise OpsError(f"{module.name}: {invalid.wrong}. {invalid.right}") from None
