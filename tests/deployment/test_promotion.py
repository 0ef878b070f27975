"""Data modules on their way from development to training and production: the stacks' own outputs decide."""

from __future__ import annotations

import json
from typing import Any

import pulumi
import pytest
import yaml

from core import outputs
from tests.components.conftest import Graph
from tests.deployment.looking import TEMPLATE, user_data
from tests.deployment.program import run_stack

COLOURS = {"name": "company_colours", "version": "1.0", "sha256": "a" * 64}
PRICES = {"name": "company_prices", "version": "2.1", "sha256": "b" * 64}
PROOF = {"release": "19.0", "created": {"product.template": 12}, "verified": "2026-11-28T10:12:00Z"}
LISTED = {"dataModules": [COLOURS, PRICES], "dataModulesFrom": "dev"}


def development(*proofs: dict[str, Any]) -> dict[str, Any]:
    """Return the outputs of a development stack with this ledger, as its own program exports them."""
    return dict(run_stack("dev", {"provenModules": list(proofs)}).stack_outputs)


def test_development_exports_its_ledger_and_needs_no_proof() -> None:
    graph = run_stack("dev", {"dataModules": [PRICES, COLOURS], "provenModules": [{**COLOURS, **PROOF}]})
    assert graph.stack_outputs[outputs.DATA_MODULES] == [COLOURS, PRICES]
    assert graph.stack_outputs[outputs.MODULE_LEDGER] == [{**COLOURS, **PROOF}]
    asked = [arguments for token, arguments in graph.invokes if token.endswith("readStackOutputs")]
    assert asked == [{"name": "organization/openerp/dev"}]


@pytest.mark.parametrize("stack", ["training", "prod"])
def test_what_development_has_proven_is_taken(stack: str) -> None:
    ledger = development({**COLOURS, **PROOF}, {**PRICES, **PROOF})
    graph = run_stack(stack, LISTED, others={"dev": ledger})
    assert graph.stack_outputs[outputs.DATA_MODULES] == [COLOURS, PRICES]
    assert graph.stack_outputs[outputs.MODULE_LEDGER] == []
    assert "crm" in graph.stack_outputs[outputs.MODULES]
    for template in graph.of(TEMPLATE):
        files = {file["path"]: file["content"] for file in yaml.safe_load(user_data(template))["write_files"]}
        told = json.loads(files["/etc/openerp/server.json"])
        assert told["data_modules"] == {COLOURS["name"]: COLOURS["sha256"], PRICES["name"]: PRICES["sha256"]}
        assert told["operations_bucket"] == graph.stack_outputs[outputs.OPERATIONS_BUCKET]
        assert not {COLOURS["name"], PRICES["name"]} & set(told["modules"]), "a first start installs none"


@pytest.mark.parametrize("stack", ["training", "prod"])
def test_what_is_not_proven_is_refused_at_once_and_all_of_it(stack: str) -> None:
    ledger = development({**COLOURS, **PROOF, "sha256": "c" * 64}, {**PRICES, **PROOF, "release": "18.0"})
    graph = Graph()
    with pytest.raises(pulumi.RunError) as caught:
        run_stack(stack, LISTED, others={"dev": ledger}, graph=graph, preview=True)
    message = str(caught.value)
    assert message.startswith(f"The settings of stack '{stack}' cannot be used: 2 things are wrong.")
    assert f"this version is proven with the hash {'c' * 64}" in message
    assert "it is proven on 18.0, not on 19.0" in message
    assert graph.registrations == []


def test_a_development_stack_that_is_not_there_is_said_in_plain_words() -> None:
    with pytest.raises(pulumi.RunError, match="openerp:dataModulesFrom: names stack 'dev', which cannot be"):
        run_stack("prod", LISTED)
