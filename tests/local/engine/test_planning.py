"""Names, paths, order of deletion, configuration: the engine's pure decisions."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from local.engine import config, paths, urn
from local.engine.errors import EngineError
from local.engine.graph import Graph, deletion_order
from local.engine.monitor import seconds
from local.engine.planner import replace_on_changes
from local.engine.providers import Changes, Diff, version_name
from local.engine.state import Resource
from local.engine.values import Secret


def named(name: str, *needs: str, parent: str = "") -> Resource:
    prefix = "urn:pulumi:s::p::t:m:T::"
    return Resource(
        urn=prefix + name,
        type="t:m:T",
        custom=True,
        dependencies=[prefix + need for need in needs],
        parent=prefix + parent if parent else "",
    )


@st.composite
def states(draw: st.DrawFn) -> list[Resource]:
    resources: list[Resource] = []
    for index in range(draw(st.integers(0, 12))):
        earlier = [str(number) for number in range(index)]
        needs = draw(st.lists(st.sampled_from(earlier), unique=True, max_size=3)) if earlier else []
        parent = draw(st.sampled_from(["", *earlier]))
        resources.append(named(str(index), *needs, parent=parent))
    return resources


@given(resources=states(), data=st.data())
def test_nothing_is_deleted_before_what_needs_it(resources: list[Resource], data: st.DataObject) -> None:
    condemned = [item for item in resources if data.draw(st.booleans())]
    groups = deletion_order(condemned, resources)
    assert sorted(item.urn for group in groups for item in group) == sorted(item.urn for item in condemned)
    gone: set[str] = set()
    for group in groups:
        for item in group:
            users = [other.urn for other in condemned if item.urn in other.references()]
            assert set(users) <= gone
        gone |= {item.urn for item in group}


def test_a_child_alone_does_not_depend_on_its_parent_s_data() -> None:
    parent, child, user = named("parent"), named("child", parent="parent"), named("user", "child")
    graph = Graph([parent, child, user])
    assert graph.depending_on(parent) == []
    assert graph.depending_on(child) == [user]
    assert deletion_order([parent, child], [parent, child, user]) == [[child], [parent]]


def test_a_urn_holds_the_types_of_the_parents_but_not_the_stack() -> None:
    root = urn.make("dev", "p", "", urn.ROOT_STACK_TYPE, "p-dev")
    outer = urn.make("dev", "p", root, "a:b:C", "outer")
    inner = urn.make("dev", "p", outer, "d:e:F", "in::ner")
    assert root == "urn:pulumi:dev::p::pulumi:pulumi:Stack::p-dev"
    assert inner == "urn:pulumi:dev::p::a:b:C$d:e:F::in::ner"
    assert (urn.type_of(inner), urn.name_of(inner)) == ("d:e:F", "in::ner")


def test_a_default_provider_is_named_after_its_version() -> None:
    assert version_name("7.51.1") == "default_7_51_1"
    assert version_name("") == "default"
    assert urn.is_default_provider("urn:pulumi:s::p::pulumi:providers:aws::default_7_51_1")
    assert not urn.is_default_provider("urn:pulumi:s::p::pulumi:providers:aws::other")


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("a", ("a",)),
        ("a.b[0].c", ("a", "b", 0, "c")),
        ('a["b.c"]["d\\"e"]', ("a", "b.c", 'd"e')),
        ("a[*].b", ("a", "*", "b")),
        ("*", ("*",)),
    ],
)
def test_property_paths_are_read_as_pulumi_reads_them(text: str, parts: tuple[str | int, ...]) -> None:
    assert paths.parse(text) == parts


@pytest.mark.parametrize("text", ["a[", "a[x]", '["a', "a..b"])
def test_what_is_no_path_is_refused(text: str) -> None:
    with pytest.raises(EngineError, match="not a property path"):
        paths.parse(text)


@pytest.mark.parametrize(
    ("ignored", "expected"),
    [
        (["a"], {"a": 1, "b": {"c": 20, "d": 30}}),
        (["b.c"], {"a": 10, "b": {"c": 2, "d": 30}}),
        (["b.d"], {"a": 10, "b": {"c": 20}}),
        (["b"], {"a": 10, "b": {"c": 2}}),
        (["*"], {"a": 1, "b": {"c": 2}}),
        (["missing"], {"a": 10, "b": {"c": 20, "d": 30}}),
    ],
)
def test_ignored_paths_keep_what_they_were(ignored: list[str], expected: dict[str, Any]) -> None:
    new = {"a": 10, "b": {"c": 20, "d": 30}}
    assert paths.ignore(new, {"a": 1, "b": {"c": 2}}, ignored) == expected
    assert new == {"a": 10, "b": {"c": 20, "d": 30}}


def test_ignored_paths_reach_into_secrets() -> None:
    result = paths.ignore({"a": Secret({"b": 2})}, {"a": Secret({"b": 1})}, ["a.b"])
    assert result["a"].element == {"b": 1}


def test_replace_on_changes_needs_a_change_inside_its_path() -> None:
    diff = Diff(changes=Changes.SOME, changed_keys=["a"], detailed={"a.b": ("update", True)})
    assert replace_on_changes(diff, ["a.c"]).replace() is False
    assert replace_on_changes(diff, ["a.b"]).detailed["a.b"] == ("update-replace", True)
    assert replace_on_changes(diff, ["a"]).replace_keys == ["a"]
    assert not replace_on_changes(Diff(), ["*"]).replace()


def test_durations_are_go_s() -> None:
    assert seconds("1h30m") == 5400
    assert seconds("1.5s") == 1.5
    for text in ("", "5", "5 m", "m5"):
        with pytest.raises(EngineError, match="is not a duration"):
            seconds(text)


# Configuration


def project(directory: Path, schema: str) -> config.Project:
    (directory / "Pulumi.yaml").write_text(f"name: p\nruntime: python\nconfig:\n{schema}")
    return config.load_project(directory)


def load(directory: Path, schema: str, stack: str) -> config.StackConfig:
    (directory / "Pulumi.dev.yaml").write_text(f"config:\n{stack}")
    return config.load_stack(project(directory, schema), "dev", lambda text: f"opened {text}")


def test_a_stack_s_value_comes_before_the_project_s(tmp_path: Path) -> None:
    schema = (
        "  a: {type: string, default: one}\n  b: {type: integer, default: 2}\n  aws:region: {value: eu}\n"
    )
    assert load(tmp_path, schema, "  p:a: two\n").values == {"p:a": "two", "p:b": "2", "aws:region": "eu"}


def test_structured_values_are_json_texts(tmp_path: Path) -> None:
    loaded = load(tmp_path, "  a: {type: object}\n", "  p:a: {b: [1, true, yes, 2.0], a: x}\n  p:c: false\n")
    assert loaded.values == {"p:a": '{"a":"x","b":[1,true,"yes",2]}', "p:c": "false"}


def test_encrypted_values_are_decrypted_and_marked(tmp_path: Path) -> None:
    loaded = load(tmp_path, "", "  p:a: {secure: x}\n  p:b: {c: {secure: y}}\n  p:d: z\n")
    assert loaded.values == {"p:a": "opened x", "p:b": '{"c":"opened y"}', "p:d": "z"}
    assert loaded.secret_keys == {"p:a", "p:b"}


@pytest.mark.parametrize(
    ("schema", "stack", "message"),
    [
        ("  a: {type: string}\n", "", "missing configuration value: p:a"),
        ("  a: {type: integer}\n", "  p:a: many\n", "p:a must be of type integer"),
        ("  a: {type: boolean}\n", "  p:a: 1\n", "p:a must be of type boolean"),
        ("  a: {type: object}\n", "  p:a: []\n", "p:a must be of type object"),
        (
            "  a: {type: array, items: {type: integer}}\n",
            "  p:a: [x]\n",
            "of type array<integer>",
        ),
        ("  a: {type: string, secret: true}\n", "  p:a: x\n", "p:a is secret and must be encrypted"),
        ("", "  p:a:b:c: x\n", "no configuration key"),
        ("", "  - x\n", "must be a mapping"),
    ],
)
def test_wrong_configuration_is_one_clear_error(
    tmp_path: Path, schema: str, stack: str, message: str
) -> None:
    with pytest.raises(EngineError, match=message):
        load(tmp_path, schema or "  {}\n", stack or "  {}\n")


def test_a_stack_that_does_not_exist_is_told_which_do(tmp_path: Path) -> None:
    (tmp_path / "Pulumi.prod.yaml").write_text("")
    with pytest.raises(EngineError, match=r"Pulumi\.dev\.yaml does not exist; stacks here: prod"):
        config.load_stack(project(tmp_path, "  {}\n"), "dev", str)


def test_broken_yaml_is_told_with_its_line(tmp_path: Path) -> None:
    (tmp_path / "Pulumi.yaml").write_text("name: p\nruntime: [\n")
    with pytest.raises(EngineError, match=r"Pulumi\.yaml, line \d+ is not YAML"):
        config.load_project(tmp_path)
