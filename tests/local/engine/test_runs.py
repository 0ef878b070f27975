"""Whole runs of small programs under the engine: what is created, changed and deleted, in what order."""

from __future__ import annotations

import json
from pathlib import Path

from local.display import Quiet
from local.engine import run
from local.engine.program import Program
from local.engine.values import UNKNOWN, Secret, reveal
from tests.local.engine.world import World, error_of, loader

CHAIN = """
    a = Thing("a", {"value": 1})
    b = Thing("b", {"value": a.serial})
    c = Thing("c", {"value": "x"}, Options(depends_on=[b]))
    pulumi.export("serial", b.serial)
"""


def test_a_program_is_created_in_order_of_dependency(world: World) -> None:
    result = world.up(CHAIN)
    assert result.succeeded
    assert world.done == [("create", "a"), ("create", "b"), ("create", "c")]
    assert result.counts == {"create": 4}
    assert len(world.things) == 3
    assert result.outputs["serial"] in {thing["serial"] for thing in world.things.values()}


def test_a_second_run_changes_nothing(world: World) -> None:
    world.up(CHAIN)
    before = world.deployment["resources"]
    result = world.up()
    assert result.counts == {"same": 4}
    assert world.done == []
    assert sorted(map(str, world.deployment["resources"])) == sorted(map(str, before))


def test_a_preview_creates_nothing_and_knows_what_it_cannot_know(world: World) -> None:
    result = world.preview(CHAIN)
    assert result.counts == {"create": 4}
    assert result.outputs == {"serial": UNKNOWN}
    assert world.things == {}
    assert not world.checkpoint.exists()
    assert not list(world.state.rglob("*.json"))


def test_what_is_gone_from_the_program_is_deleted_in_reverse_order(world: World) -> None:
    world.up(CHAIN)
    result = world.up("pulumi.export('x', 1)")
    assert world.done == [("delete", "c"), ("delete", "b"), ("delete", "a")]
    assert result.counts == {"delete": 3, "same": 1}
    assert world.things == {}
    assert list(world.resources) == ["things-dev"]


def test_destroy_deletes_everything_in_reverse_order_and_keeps_the_stack(world: World) -> None:
    world.up(CHAIN)
    result = world.destroy()
    assert result.succeeded
    assert world.done == [("delete", "c"), ("delete", "b"), ("delete", "a")]
    assert world.things == {}
    assert world.resources == {}
    assert world.checkpoint.exists()


def test_children_are_deleted_before_their_component(world: World) -> None:
    world.up("""
        group = Group("group")
        Thing("child", {}, Options(parent=group))
        Thing("after", {}, Options(depends_on=[group]))
    """)
    assert "child" in world.resources["after"]["dependencies"][0]
    assert world.destroy().succeeded
    assert [name for _, name in world.done] == ["after", "child", "group"]


def test_a_change_updates_in_place_and_keeps_the_rest(world: World) -> None:
    world.up(CHAIN)
    id_before = world.resources["a"]["id"]
    result = world.up(CHAIN.replace('"value": 1', '"value": 2'))
    assert world.done == [("update", "a")]
    assert result.counts == {"update": 1, "same": 3}
    assert world.resources["a"]["id"] == id_before
    assert world.resources["a"]["inputs"] == {"value": 2}


def test_a_replacement_is_created_before_the_old_one_is_deleted(world: World) -> None:
    program = 'a = Thing("a", {"kind": "K"})\nThing("b", {"value": a.id})\n'
    world.up(program.replace("K", "one"))
    result = world.up(program.replace("K", "two"))
    assert world.done == [("create-replacement", "a"), ("update", "b"), ("delete-replaced", "a")]
    assert result.counts == {"replace": 1, "update": 1, "same": 1}
    assert len(world.things) == 2
    assert "delete" not in world.resources["a"]


def test_a_fixed_name_is_deleted_before_it_is_created_again(world: World) -> None:
    program = 'Thing("a", {"fixed": "name", "kind": "K"})\n'
    world.up(program.replace("K", "one").replace("name", "first"))
    world.up(program.replace("K", "one").replace("name", "second"))
    assert world.done == [("delete-replaced", "a"), ("create-replacement", "a")]
    assert list(world.things) == ["thing-second"]


def test_delete_before_replace_takes_along_what_the_loss_replaces(world: World) -> None:
    program = """
        a = Thing("a", {"fixed": "NAME"})
        b = Thing("b", {"kind": a.serial})
        c = Thing("c", {"value": a.serial})
    """
    world.up(program.replace("NAME", "one"))
    result = world.up(program.replace("NAME", "two"))
    assert result.succeeded
    assert world.done[:3] == [("delete-replaced", "b"), ("delete-replaced", "a"), ("create-replacement", "a")]
    assert sorted(world.done[3:]) == [("create-replacement", "b"), ("update", "c")]
    assert result.counts == {"replace": 2, "update": 1, "same": 1}
    assert len(world.things) == 3


def test_the_option_delete_before_replace_turns_the_order_round(world: World) -> None:
    program = 'Thing("a", {"kind": "K"}, Options(delete_before_replace=True))\n'
    world.up(program.replace("K", "one"))
    world.up(program.replace("K", "two"))
    assert world.done == [("delete-replaced", "a"), ("create-replacement", "a")]


def test_replace_on_changes_replaces_what_would_be_updated(world: World) -> None:
    program = 'Thing("a", {"value": {"x": "V", "y": 1}}, Options(replace_on_changes=["value.x", "value"]))\n'
    world.up(program.replace("V", "one"))
    world.up(program.replace("V", "two"))
    assert world.done == [("create-replacement", "a"), ("delete-replaced", "a")]


def test_ignored_changes_are_ignored(world: World) -> None:
    program = """
        ignored = ["value", "list[1].x"]
        Thing("a", {"value": "V", "list": [1, {"x": "V"}]}, Options(ignore_changes=ignored))
    """
    world.up(program.replace("V", "one"))
    result = world.up(program.replace("V", "two"))
    assert result.counts == {"same": 2}
    assert world.resources["a"]["inputs"] == {"value": "one", "list": [1, {"x": "one"}]}


def test_a_protected_resource_is_not_deleted_and_nothing_else_either(world: World) -> None:
    world.up('Thing("a", {}, Options(protect=True))\nThing("b")\n')
    assert "protected" in error_of(world.up("pulumi.export('x', 1)"))
    assert len(world.things) == 2
    assert "protected" in error_of(world.destroy())
    assert len(world.things) == 2


def test_a_protected_resource_is_not_replaced(world: World) -> None:
    program = 'Thing("a", {"kind": "K"}, Options(protect=True))\n'
    world.up(program.replace("K", "one"))
    things = world.things
    assert "protected" in error_of(world.preview(program.replace("K", "two")))
    assert "protected" in error_of(world.up())
    assert world.things == things


def test_a_child_inherits_protection(world: World) -> None:
    world.up('group = Group("g", Options(protect=True))\nThing("a", {}, Options(parent=group))\n')
    assert world.resources["a"]["protect"] is True


def test_a_retained_resource_is_forgotten_and_stays(world: World) -> None:
    world.up('Thing("a", {}, Options(retain_on_delete=True))\n')
    assert world.destroy().succeeded
    assert world.resources == {}
    assert len(world.things) == 1


def test_an_explicit_provider_manages_its_resources(world: World) -> None:
    world.config = "config:\n  tiny:prefix: by-default\n"
    world.up("""
        first = Thing("first")
        other = Tiny("other", {"prefix": first.id})
        Thing("second", {}, Options(provider=other))
        group = Group("group", Options(providers=[other]))
        Thing("third", {}, Options(parent=group))
    """)
    ids = {name: item.get("id", "") for name, item in world.resources.items()}
    assert ids["first"].startswith("by-default-")
    assert ids["second"].startswith(ids["first"] + "-")
    assert ids["third"].startswith(ids["first"] + "-")
    assert world.resources["second"]["provider"].endswith("::other::" + ids["other"])
    default = world.resources["default_1_2_3"]
    assert default["inputs"] == {"prefix": "by-default", "version": "1.2.3", "__internal": {}}
    assert world.up().counts["same"] == 6
    assert world.destroy().succeeded
    assert world.things == {}


def test_secrets_are_encrypted_in_state_and_stay_secret(world: World) -> None:
    result = world.up("""
        a = Thing("a", {"value": Output.secret("hush-hush"), "plain": 1})
        b = Thing("b", {"value": a.serial}, Options(additional_secret_outputs=["serial"]))
        pulumi.export("deep", {"list": [Output.secret("hush-hush")]})
        pulumi.export("serial", b.serial)
    """)
    text = "".join(path.read_text() for path in world.state.rglob("*") if path.is_file())
    assert "hush-hush" not in text
    assert result.outputs["serial"].__class__ is Secret
    assert reveal(result.outputs["deep"]) == {"list": ["hush-hush"]}
    assert reveal(run.outputs(world.target)) == reveal(result.outputs)
    written = world.checkpoint.read_text()
    ciphertexts = [part.split('"')[0] for part in written.split('"ciphertext":"')[1:]]
    world.up()
    again = [part.split('"')[0] for part in world.checkpoint.read_text().split('"ciphertext":"')[1:]]
    assert sorted(ciphertexts) == sorted(again)


def test_a_wrong_passphrase_is_one_clear_error(world: World) -> None:
    world.up('pulumi.export("x", Output.secret("y"))')
    world.passphrase = "wrong"
    try:
        world.up()
    except Exception as error:
        assert "incorrect passphrase" in str(error)
    else:
        raise AssertionError("the wrong passphrase was accepted")


def test_a_resource_that_moves_keeps_its_id_by_alias(world: World) -> None:
    world.up('a = Thing("a", {"value": 1})\nThing("b", {"value": a.id})\n')
    id_before = world.resources["a"]["id"]
    result = world.up("""
        group = Group("group")
        a = Thing("new", {"value": 1}, Options(parent=group, aliases=[pulumi.Alias(name="a", parent=None)]))
        Thing("b", {"value": a.id})
    """)
    assert result.counts == {"create": 1, "same": 3}
    assert world.resources["new"]["id"] == id_before
    assert "a" not in world.resources
    assert world.resources["b"]["dependencies"] == [world.resources["new"]["urn"]]
    assert "aliases" not in world.resources["new"]


def test_a_failed_step_stops_what_depends_on_it_and_keeps_the_rest(world: World) -> None:
    result = world.up("""
        good = Thing("good")
        bad = Thing("bad", {"fails": "create"}, Options(depends_on=[good]))
        Thing("after", {"value": bad.serial})
    """)
    assert error_of(result) == "the cloud has no room for another thing"
    assert result.errors[0][0].endswith("::bad")
    assert set(world.resources) >= {"good", "things-dev"}
    assert "bad" not in world.resources and "after" not in world.resources
    assert "pending_operations" not in world.deployment
    assert world.up('good = Thing("good")\nThing("bad", {}, Options(depends_on=[good]))\n').succeeded


def test_a_failed_update_leaves_the_old_state(world: World) -> None:
    world.up('Thing("a", {"value": 1})')
    assert "resists" in error_of(world.up('Thing("a", {"value": 2, "fails": "update"})'))
    assert world.resources["a"]["inputs"] == {"value": 1}


def test_a_failed_deletion_keeps_the_resource_and_what_it_needs(world: World) -> None:
    world.up('a = Thing("a")\nThing("b", {"fails": "delete", "value": a.id})\n')
    assert "clings" in error_of(world.destroy())
    assert set(world.resources) >= {"a", "b"}
    assert len(world.things) == 2


def test_refused_inputs_say_which_property_and_why(world: World) -> None:
    message = error_of(world.preview('Thing("a", {"refused": True})'))
    assert message == "refused: a thing cannot have this; leave it out"


def test_an_error_raised_for_people_is_shown_without_a_traceback(world: World) -> None:
    message = error_of(world.up("raise pulumi.RunError('openerp:users: too many')"))
    assert message == "openerp:users: too many"
    message = error_of(world.up("raise SystemExit('openerp:users: far too many')"))
    assert message == "openerp:users: far too many"


def test_a_fault_of_the_program_shows_where_it_is(world: World) -> None:
    message = error_of(world.up("def inner():\n    return 1 / 0\ninner()\n"))
    assert "ZeroDivisionError" in message
    assert "__main__.py" in message
    assert "runpy" not in message


def test_a_package_without_a_plugin_is_one_clear_error(world: World) -> None:
    message = error_of(world.up('pulumi.CustomResource("other:index:Thing", "x", {})'))
    assert "no local plugin for the package 'other'" in message


def test_two_resources_of_one_name_are_refused(world: World) -> None:
    assert "same type, parent and name" in error_of(world.up('Thing("a")\nThing("a")\n'))


def test_invokes_answer_and_wait_for_what_they_depend_on(world: World) -> None:
    program = """
        a = Thing("a")
        plain = pulumi.runtime.invoke("tiny:index:count", {}, pulumi.InvokeOptions(version="1.2.3")).value
        later = pulumi.runtime.invoke_output(
            "tiny:index:count", {}, pulumi.InvokeOutputOptions(depends_on=[a], version="1.2.3")
        )
        pulumi.export("plain", plain["count"])
        pulumi.export("later", later)
    """
    assert world.preview(program).outputs == {"plain": 0, "later": UNKNOWN}
    assert world.up().outputs["later"] == {"count": 1}
    assert world.preview().outputs == {"plain": 1, "later": {"count": 1}}


def test_an_invoke_that_fails_says_so(world: World) -> None:
    message = error_of(world.up('pulumi.runtime.invoke("tiny:index:nothing", {})'))
    assert "there is no function tiny:index:nothing" in message


def test_the_outputs_of_the_last_run_can_be_read_before_any_resource(world: World) -> None:
    program = """
        last = pulumi.runtime.invoke(
            "pulumi:pulumi:readStackOutputs", {"name": "organization/things/dev"}
        ).value["outputs"]
        pulumi.export("runs", last.get("runs", 0) + 1)
    """
    assert world.preview(program).outputs == {"runs": 1}
    assert world.up().outputs == {"runs": 1}
    assert world.up().outputs == {"runs": 2}


def test_a_reference_to_another_stack_reads_its_outputs(world: World) -> None:
    world.up('pulumi.export("open", 1)\npulumi.export("hidden", Output.secret("psst"))\n')
    other = world.checkpoint.with_name("other.json")
    world.checkpoint.rename(other)
    result = world.up("""
        other = pulumi.StackReference("organization/things/other")
        pulumi.export("open", other.get_output("open"))
        pulumi.export("hidden", other.get_output("hidden"))
    """)
    assert result.outputs["open"] == 1
    assert isinstance(result.outputs["hidden"], Secret)
    assert reveal(result.outputs["hidden"]) == "psst"
    assert "unknown stack 'missing'" in error_of(world.up('pulumi.StackReference("missing")'))


def test_configuration_reaches_the_program_as_the_real_cli_gives_it(world: World) -> None:
    world.project += "config:\n  colour: {type: string, default: red}\n  sizes: {type: object}\n"
    world.config = "config:\n  things:sizes: {b: 2, a: [1, true]}\n  things:count: 3\n"
    result = world.up("""
        config = pulumi.Config()
        pulumi.export("colour", config.require("colour"))
        pulumi.export("sizes", config.require_object("sizes"))
        pulumi.export("count", config.require_int("count"))
    """)
    assert result.outputs == {"colour": "red", "sizes": {"b": 2, "a": [1, True]}, "count": 3}


def test_transforms_and_hooks_are_refused_in_words(world: World) -> None:
    message = error_of(world.up('Thing("a", {}, Options(transforms=[lambda args: None]))'))
    assert "does not support transforms" in message
    message = error_of(
        world.up(
            'h = pulumi.ResourceHook("h", lambda args: None)\n'
            'Thing("a", {}, Options(hooks=pulumi.ResourceHookBinding(before_create=[h])))\n'
        )
    )
    assert "hooks" in message


def test_independent_things_are_created_side_by_side(world: World) -> None:
    result = world.up('for i in range(12):\n    Thing(f"t{i}", {"slow": 0.4})\n')
    assert result.succeeded
    # One after the other it would take 4.8 s; the program's own start is in the time as well.
    assert result.seconds < 3.5


def test_a_read_resource_is_forgotten_not_deleted(world: World) -> None:
    (world.cloud / "found").write_text(json.dumps({"serial": "s1"}))
    program = """
        found = Thing.__new__(Thing)
        pulumi.CustomResource.__init__(
            found, "tiny:index:Thing", "found", {"serial": None}, Options(id="found", version="1.2.3")
        )
        pulumi.export("serial", found.serial)
    """
    assert world.up(program).outputs == {"serial": "s1"}
    assert world.resources["found"]["external"] is True
    assert world.destroy().succeeded
    assert "found" in world.things


def test_what_the_program_prints_is_passed_on(world: World) -> None:
    world.up('print("hello")\npulumi.log.warn("mind the gap")\n')
    assert ("info", "hello", "") in world.watch.messages
    assert ("warning", "mind the gap", "") in world.watch.messages


def test_history_records_each_run(world: World) -> None:
    world.up('Thing("a")')
    world.destroy()
    entries = sorted((world.state / ".pulumi" / "history" / "things" / "dev").glob("*.history.json"))
    kinds = [json.loads(path.read_text())["kind"] for path in entries]
    assert kinds == ["update", "destroy"]
    assert len(list(entries[0].parent.glob("*.checkpoint.json"))) == 2


def test_an_asset_reaches_the_provider_and_its_change_is_seen(world: World) -> None:
    program = 'Thing("a", {"text": pulumi.StringAsset("TEXT")})\n'
    world.up(program.replace("TEXT", "one"))
    assert [thing["text"] for thing in world.things.values()] == ["one"]
    assert world.up().counts == {"same": 2}
    assert world.up(program.replace("TEXT", "two")).counts == {"same": 1, "update": 1}


def test_a_program_starts_with_what_it_needed_the_last_time(world: World, tmp_path: Path) -> None:
    notes = tmp_path / "imports"
    notes.write_text("no_such_package\n../evil")
    world.write('import yaml\npulumi.export("x", 1)\n')
    for _ in range(2):
        result = run.update(world.target, loader=loader, events=Quiet(), preview=True, program=Program(notes))
        assert result.outputs == {"x": 1}
        assert {"pulumi", "yaml"} <= set(notes.read_text().split())
