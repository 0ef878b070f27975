"""Promotion of data modules: training and production take only what development has proven.

The ledger is a setting of the development stack (`openerp:provenModules`, which `ops modules verify` writes)
and one of its outputs. A module is proven by name, version, hash and series of OpenERP together.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Final

from pydantic import ValidationError

from core import outputs
from core import release as releases
from core.problems import Problem, SettingsError, full_key, printable
from core.settings_model import ConfiguredSettings, DataModule, ProvenModule

FROM_KEY: Final = full_key("dataModulesFrom")


def as_outputs(entries: Sequence[DataModule | ProvenModule]) -> list[dict[str, Any]]:
    """Return modules or a ledger as the stack exports them: plain, by name and version."""
    return [
        entry.model_dump(mode="json", by_alias=True)
        for entry in sorted(entries, key=lambda entry: (entry.name, entry.version, entry.sha256))
    ]


def read_ledger(value: object) -> tuple[ProvenModule, ...]:
    """Return the ledger in the output `module_ledger`; none is an empty one.

    Raises:
        ValueError: it was not written by this program.
    """
    if value is None:
        return ()
    if not isinstance(value, list):
        raise ValueError("it is not a list")
    try:
        return tuple(ProvenModule.model_validate(entry) for entry in value)
    except ValidationError as error:
        first = error.errors()[0]
        raise ValueError(f"{'.'.join(map(str, first['loc']))}: {first['msg']}") from None


def why_not_proven(module: DataModule, release: str, ledger: Sequence[ProvenModule]) -> str | None:
    """Return what the ledger has nearest to this module on this release; None when it proves the module."""
    same_name = [entry for entry in ledger if entry.name == module.name]
    same_hash = [entry for entry in same_name if entry.sha256 == module.sha256]
    same = [entry for entry in same_hash if entry.version == module.version]
    if any(_series(entry.release) == _series(release) for entry in same):
        return None
    if same:
        return f"it is proven on {_texts(entry.release for entry in same)}, not on {release}"
    if same_hash:
        return f"this hash is proven as version {_texts(entry.version for entry in same_hash)}"
    same_version = [entry for entry in same_name if entry.version == module.version]
    if same_version:
        return f"this version is proven with the hash {_texts(entry.sha256 for entry in same_version)}"
    if same_name:
        return f"proven of it: {_texts(f'{entry.version} ({entry.sha256})' for entry in same_name)}"
    return "nothing of that name is proven"


def same_series(one: str, other: str) -> bool:
    """Return whether what was proven on one release is proven on the other."""
    return _series(one) == _series(other)


def _series(release: str) -> tuple[int, int, bool]:
    """Return what modules are made for: 19.0, or 5.0 of 5.0.16."""
    parsed = releases.parse(release)
    return parsed.a, parsed.b, parsed.hosted


def _texts(texts: Iterator[str]) -> str:
    return ", ".join(sorted(set(texts)))


def check(
    settings: ConfiguredSettings, outputs_of: Callable[[str], Mapping[str, Any]], *, stack: str
) -> None:
    """Refuse data modules that the development stack of `dataModulesFrom` does not prove.

    `outputs_of` reads the outputs of a stack; it raises LookupError where there is none. Development needs
    no proof.

    Raises:
        SettingsError: all modules that are not proven, each with the nearest thing that is; or that stack
            cannot be read, or is none for development.
    """
    source = settings.data_modules_from
    if settings.environment == "development" or not settings.data_modules or source is None:
        return
    if problems := list(_problems(settings, source, outputs_of)):
        raise SettingsError(problems, stack=stack)


def _problems(
    settings: ConfiguredSettings, source: str, outputs_of: Callable[[str], Mapping[str, Any]]
) -> Iterator[Problem]:
    right = "Name the development stack, of this project in the same backend, on which they were proven"
    try:
        known = outputs_of(source)
    except LookupError as unreadable:
        wrong = f"names stack '{source}', which cannot be read ({printable(str(unreadable), 200)})"
        yield Problem(FROM_KEY, wrong, right)
        return
    environment = known.get(outputs.ENVIRONMENT)
    if environment != "development":
        found = f"is for {environment}" if environment else "was never deployed"
        yield Problem(FROM_KEY, f"names stack '{source}', which {found}", right)
        return
    try:
        ledger = read_ledger(known.get(outputs.MODULE_LEDGER))
    except ValueError as wrong_ledger:
        wrong = (
            f"names stack '{source}', whose output {outputs.MODULE_LEDGER} cannot be read ({wrong_ledger})"
        )
        yield Problem(FROM_KEY, wrong, "Deploy that stack with this version")
        return
    for index, module in enumerate(settings.data_modules):
        reason = why_not_proven(module, settings.release, ledger)
        if reason is not None:
            known_as = f"{module.name} {module.version} ({module.sha256})"
            yield Problem(
                full_key("dataModules", index),
                f"{known_as} is not proven by stack '{source}': {reason}",
                f"Run `python -m ops modules verify {module.name} --stack {source}`, or name what is proven",
            )
