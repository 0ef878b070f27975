"""Names and values between Pulumi and the APIs, with properties over generated ones."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import botocore.session
import pytest
from hypothesis import given
from hypothesis import strategies as st

from local.plugins.aws.provider import rows
from local.plugins.aws.row import Call, Row
from local.plugins.aws.shapes import ShapeError, camel, equal, from_api, match, normal, to_api

WORDS = st.lists(st.from_regex(r"[A-Z][a-z]{1,6}", fullmatch=True), min_size=1, max_size=4)
SESSION = botocore.session.Session()


def shape(service: str, operation: str) -> Any:
    return SESSION.get_service_model(service).operation_model(operation).input_shape


@given(WORDS)
def test_a_name_in_camel_case_finds_the_same_words_in_pascal_case(words: list[str]) -> None:
    pascal = "".join(words)
    assert camel(pascal) == pascal[0].lower() + pascal[1:]
    assert match([pascal], camel(pascal), {}) == pascal


@given(WORDS)
def test_plural_and_singular_are_one_name(words: list[str]) -> None:
    name = camel("".join(words))
    assert normal(name.rstrip("s") + "s") == normal(name.rstrip("s"))


def test_a_run_of_capitals_is_one_word() -> None:
    assert [camel(name) for name in ("DBName", "ARN", "VpcId", "SSEKMSKeyId")] == [
        "dbName",
        "arn",
        "vpcId",
        "ssekmsKeyId",
    ]


@given(st.dictionaries(st.text(min_size=1, max_size=8), st.text(max_size=8), min_size=1, max_size=5))
def test_tags_survive_the_way_to_a_list_of_pairs_and_back(tags: dict[str, str]) -> None:
    tag_list = shape("rds", "CreateDBSubnetGroup").members["Tags"]
    pairs = to_api(tag_list, tags, {})
    if {key.lower() for key in tags} != {"key", "value"}:
        assert pairs == [{"Key": key, "Value": value} for key, value in tags.items()]
        assert from_api(pairs, tags, {}) == tags


@given(st.integers(0, 10**9))
def test_a_number_and_its_text_are_equal(number: int) -> None:
    assert equal(number, str(number)) and equal(str(number), number)


@given(st.recursive(st.text(max_size=5) | st.integers(), lambda inner: st.lists(inner, max_size=3)))
def test_a_value_that_is_told_as_it_is_known_is_no_drift(value: Any) -> None:
    assert from_api(value, value, {}) == value


def test_what_an_api_adds_by_itself_is_not_shown() -> None:
    told = {"Path": "/health", "Port": "traffic-port", "Matcher": {"HttpCode": "200"}}
    assert from_api(told, {"path": "/health"}, {}) == {"path": "/health"}
    assert from_api(told, {"path": "/web"}, {}) == {"path": "/health"}


def test_a_list_in_another_order_is_given_back_as_it_is_known() -> None:
    assert from_api(["b", "a"], ["a", "b"], {}) == ["a", "b"]
    assert from_api(["b", "c"], ["a", "b"], {}) == ["b", "c"]


def test_an_input_without_a_place_is_refused() -> None:
    with pytest.raises(ShapeError, match=r"posixUser\.name has no place"):
        user = shape("efs", "CreateAccessPoint").members["PosixUser"]
        to_api(user, {"uid": 1, "gid": 1, "name": "odoo"}, {}, "posixUser")


def test_values_take_the_type_of_the_api() -> None:
    target = shape("ec2", "CreateLaunchTemplate").members["LaunchTemplateData"]
    given = {
        "blockDeviceMappings": [{"ebs": {"encrypted": "true", "volumeSize": "20"}}],
        "ebsOptimized": "false",
    }
    assert to_api(target, given, {}) == {
        "BlockDeviceMappings": [{"Ebs": {"Encrypted": True, "VolumeSize": 20}}],
        "EbsOptimized": False,
    }


def calls(row: Row) -> Iterator[Call]:
    actions = [row.create, row.read, row.update, *row.delete, *row.lookups.values()]
    actions += [action for step in row.steps for action in (step.put, step.remove)]
    if row.tags:
        actions += [row.tags.add, row.tags.remove, row.tags.read]
    yield from (action for action in actions if isinstance(action, Call))


@pytest.mark.parametrize("token", sorted(rows()))
def test_every_call_of_a_row_exists_with_its_arguments(token: str) -> None:
    row = rows()[token]
    for call in calls(row):
        target = shape(call.service or row.service, call.operation)
        assert set(call.arguments) <= set(target.members), call.operation


@pytest.mark.parametrize("token", sorted(rows()))
def test_a_row_speaks_only_of_its_own_inputs(token: str) -> None:
    row = rows()[token]
    own = row.accepted
    for name in ("computed", "replace", "slot"):
        assert row.names(getattr(row, name)) <= own, name
    assert set(row.defaults) | set(row.unset) <= own
    assert set(row.reads) <= own | set(row.outputs)
    for step in row.steps:
        assert row.names(step.inputs) <= own


@pytest.mark.parametrize(
    "token", sorted(token for token, row in rows().items() if isinstance(row.create, Call))
)
def test_every_input_of_a_row_made_by_one_call_reaches_an_argument(token: str) -> None:
    """Says nothing about rows whose creation is a function: their samples do."""
    row = rows()[token]
    used = "".join(repr(call.arguments) + (call.result or "") for call in calls(row))
    by_step = frozenset().union(*(row.names(step.inputs) for step in row.steps))
    members = set()
    for call in calls(row):
        members |= set(shape(call.service or row.service, call.operation).members)
    lost = [
        name
        for name in row.names(row.inputs) - by_step
        if match(members, name, row.rename) is None and f"{{{name}" not in used
    ]
    assert lost == [], f"{token}: {lost}"
