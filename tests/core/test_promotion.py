"""What the ledger of a development stack proves to the others."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core import outputs
from core.problems import SettingsError
from core.promotion import as_outputs, check, read_ledger, why_not_proven
from core.settings_model import ConfiguredSettings, DataModule, ProvenModule
from tests.settings.conftest import SOUND

HASHES = ("a" * 64, "b" * 64, "c" * 64)

modules = st.builds(
    lambda name, version, sha256: DataModule.model_validate(
        {"name": name, "version": version, "sha256": sha256}
    ),
    st.sampled_from(["colours", "prices", "partners"]),
    st.sampled_from(["1.0", "1.1", "19.0.1.0"]),
    st.sampled_from(HASHES),
)
releases = st.sampled_from(["18.0", "19.0", "5.0.16", "5.0.4"])


def proof(module: DataModule, release: str, **changes: Any) -> ProvenModule:
    return ProvenModule.model_validate(
        {
            **module.model_dump(by_alias=True),
            "release": release,
            "created": {"res.partner": 3},
            "verified": "2026-11-28T10:12:00Z",
            **changes,
        }
    )


ledgers = st.lists(st.builds(proof, modules, releases), max_size=8)


def settings(**changes: Any) -> ConfiguredSettings:
    return ConfiguredSettings.model_validate({**SOUND, "environment": "training", **changes})


def module(**changes: Any) -> dict[str, Any]:
    return {"name": "colours", "version": "1.0", "sha256": HASHES[0], **changes}


def refused(configured: ConfiguredSettings, stacks: Mapping[str, Mapping[str, Any]]) -> list[str]:
    def outputs_of(stack: str) -> Mapping[str, Any]:
        if stack not in stacks:
            raise LookupError(f"no stack named '{stack}' found")
        return stacks[stack]

    try:
        check(configured, outputs_of, stack="training")
    except SettingsError as error:
        return [str(problem) for problem in error.problems]
    return []


def dev(*ledger: ProvenModule) -> dict[str, dict[str, Any]]:
    return {"dev": {outputs.ENVIRONMENT: "development", outputs.MODULE_LEDGER: as_outputs(ledger)}}


@given(modules, ledgers)
def test_a_module_is_proven_by_name_version_hash_and_release_together(
    wanted: DataModule, ledger: list[ProvenModule]
) -> None:
    there = (wanted.name, wanted.version, wanted.sha256, "19.0") in {
        (entry.name, entry.version, entry.sha256, entry.release) for entry in ledger
    }
    assert (why_not_proven(wanted, "19.0", ledger) is None) is there


@given(modules, ledgers, releases)
def test_the_reason_names_something_of_that_name_that_is_proven(
    wanted: DataModule, ledger: list[ProvenModule], release: str
) -> None:
    reason = why_not_proven(wanted, release, ledger)
    if reason is None:
        return
    same_name = [entry for entry in ledger if entry.name == wanted.name]
    if not same_name:
        assert reason == "nothing of that name is proven"
    else:
        assert any(
            entry.sha256 in reason or entry.version in reason or entry.release in reason
            for entry in same_name
        )


@given(ledgers)
def test_a_ledger_comes_back_from_the_output_of_another_stack(ledger: list[ProvenModule]) -> None:
    assert sorted(map(repr, read_ledger(as_outputs(ledger)))) == sorted(map(repr, ledger))


def test_limited_fixes_of_an_old_release_are_of_its_series() -> None:
    wanted = DataModule.model_validate(module())
    assert why_not_proven(wanted, "5.0.16", [proof(wanted, "5.0.4")]) is None
    assert why_not_proven(wanted, "5.2", [proof(wanted, "5.0.4")]) == "it is proven on 5.0.4, not on 5.2"


@pytest.mark.parametrize(
    ("entry", "reason"),
    [
        ({"release": "18.0"}, "it is proven on 18.0, not on 19.0"),
        ({"version": "1.1"}, "this hash is proven as version 1.1"),
        ({"sha256": HASHES[1]}, f"this version is proven with the hash {HASHES[1]}"),
        ({"version": "2.0", "sha256": HASHES[1]}, f"proven of it: 2.0 ({HASHES[1]})"),
        ({"name": "prices"}, "nothing of that name is proven"),
    ],
)
def test_the_nearest_thing_that_is_proven_is_said(entry: dict[str, Any], reason: str) -> None:
    wanted = DataModule.model_validate(module())
    (problem,) = refused(
        settings(dataModules=[module()], dataModulesFrom="dev"),
        dev(proof(wanted, **{"release": "19.0", **entry})),
    )
    assert problem.startswith(
        f"openerp:dataModules[0]: colours 1.0 ({HASHES[0]}) is not proven by stack 'dev': {reason}. "
        "Run `python -m ops modules verify colours --stack dev`"
    )


def test_all_modules_that_are_not_proven_are_in_one_message() -> None:
    wanted = [module(), module(name="prices"), module(name="partners")]
    ledger = dev(proof(DataModule.model_validate(wanted[1]), "19.0"))
    problems = refused(settings(dataModules=wanted, dataModulesFrom="dev"), ledger)
    assert [problem.split(":")[1] for problem in problems] == ["dataModules[0]", "dataModules[2]"]


@pytest.mark.parametrize("environment", ["training", "production"])
def test_what_is_proven_is_taken_elsewhere(environment: str) -> None:
    wanted = settings(environment=environment, dataModules=[module()], dataModulesFrom="dev")
    assert refused(wanted, dev(proof(wanted.data_modules[0], "19.0"))) == []


def test_development_needs_no_proof_and_asks_no_stack() -> None:
    assert refused(settings(environment="development", dataModules=[module()]), {}) == []
    assert refused(settings(dataModulesFrom="dev"), {}) == []


@pytest.mark.parametrize(
    ("stacks", "said"),
    [
        ({}, "cannot be read (no stack named 'dev' found)"),
        ({"dev": {}}, "which was never deployed"),
        ({"dev": {outputs.ENVIRONMENT: "production"}}, "which is for production"),
        (
            {"dev": {outputs.ENVIRONMENT: "development", outputs.MODULE_LEDGER: [{"name": "x"}]}},
            "whose output module_ledger cannot be read (version: Field required)",
        ),
        ({"dev": {outputs.ENVIRONMENT: "development", outputs.MODULE_LEDGER: "x"}}, "it is not a list"),
        ({"dev": {outputs.ENVIRONMENT: "development"}}, "nothing of that name is proven"),
    ],
)
def test_a_stack_that_can_prove_nothing_is_refused_with_the_reason(
    stacks: dict[str, dict[str, Any]], said: str
) -> None:
    (problem,) = refused(settings(dataModules=[module()], dataModulesFrom="dev"), stacks)
    assert said in problem
