"""Names and outputs: what other programs rely on."""

from __future__ import annotations

import re
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from core import checks, names, outputs
from core.problems import Invalid

ROOT = Path(__file__).resolve().parents[2]


def usable(check: checks.Check, text: str) -> bool:
    try:
        check(text)
    except Invalid:
        return False
    return True


words = st.from_regex(r"[a-z0-9-]{1,64}", fullmatch=True)


@given(words, words)
def test_a_checkpoint_that_is_accepted_is_a_snapshot_identifier(stack: str, label: str) -> None:
    if usable(checks.stack_name, stack) and usable(checks.checkpoint_label, label):
        identifier = names.checkpoint_snapshot_identifier(stack, label)
        assert re.fullmatch(r"[a-z](-?[a-z0-9])*", identifier)
        assert len(identifier) <= 255
        assert identifier != names.final_snapshot_identifier(stack)


@given(words)
def test_a_stack_that_is_accepted_leaves_room_in_a_load_balancers_name(stack: str) -> None:
    if usable(checks.stack_name, stack):
        assert len(names.resource_prefix(stack)) + len("-1a2b3c4") <= 32


@given(words)
def test_a_stack_that_is_accepted_has_a_restore_testing_plan_that_aws_accepts(stack: str) -> None:
    if usable(checks.stack_name, stack):
        assert re.fullmatch(r"[A-Za-z0-9_]{1,50}", names.restore_testing_plan(stack))


@given(words, words)
def test_tenants_have_distinct_roles_that_postgresql_can_hold(one: str, other: str) -> None:
    if usable(checks.tenant_name, one) and usable(checks.tenant_name, other):
        assert re.fullmatch(r"[a-z][a-z0-9_]{1,62}", names.tenant_role(one))
        assert (names.tenant_role(one) == names.tenant_role(other)) == (one == other)


def test_each_output_has_one_description_and_each_constant_an_output() -> None:
    described = [output.name for output in outputs.OUTPUTS]
    constants = [v for k, v in vars(outputs).items() if k.isupper() and isinstance(v, str)]
    assert sorted(described) == sorted(set(constants))
    assert all(re.fullmatch(r"[a-z][a-z0-9_]*", name) for name in described)


def test_private_keys_are_secret_outputs() -> None:
    assert {"client_certificates"} == outputs.SECRET_OUTPUTS


def test_the_page_of_outputs_is_the_one_written_from_the_code() -> None:
    assert (ROOT / "docs" / "outputs.md").read_text() == outputs.outputs_page()
