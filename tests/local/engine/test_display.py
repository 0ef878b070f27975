"""What a person sees of a run."""

from __future__ import annotations

import io
import time

from hypothesis import given
from hypothesis import strategies as st

from local.display import Lines, Live, Paint, as_tree, counted, describe, label, output_lines
from local.engine.state import Resource
from local.engine.steps import Op, Step, step_changes
from local.engine.values import UNKNOWN, Secret

PREFIX = "urn:pulumi:dev::p::t:m:T::"


def resource(name: str, parent: str = "", **inputs: object) -> Resource:
    return Resource(
        urn=PREFIX + name,
        type="t:m:T",
        custom=True,
        inputs=dict(inputs),
        parent=PREFIX + parent if parent else "",
    )


def create(name: str, parent: str = "") -> Step:
    return Step(Op.CREATE, PREFIX + name, None, resource(name, parent))


PLAIN = Paint(False)


class Terminal(io.StringIO):
    """A stream that takes itself for a terminal."""

    def isatty(self) -> bool:
        return True


@given(st.lists(st.integers(0, 9), max_size=10))
def test_each_step_is_below_its_parent_and_none_is_lost(parents: list[int]) -> None:
    steps = [create(str(i), str(p) if p < i else "") for i, p in enumerate(parents)]
    ordered = as_tree(steps)
    assert sorted(step.urn for _, step in ordered) == sorted(step.urn for step in steps)
    depth = {step.urn: number for number, step in ordered}
    for number, step in ordered:
        parent = step.resource.parent
        assert number == (depth[parent] + 1 if parent else 0)


def test_an_update_shows_old_and_new_and_masks_secrets() -> None:
    old = resource("a", size=1, gone="x", key=Secret("hush"), same=1)
    new = resource("a", size=2, more=UNKNOWN, key=Secret("other"), same=1)
    step = Step(Op.UPDATE, old.urn, old, new, detailed={"key": ("update", True)})
    text = "\n".join(describe([step], details=False, paint=PLAIN))
    assert "~ size: 1 => 2" in text
    assert '- gone: "x"' in text
    assert "+ more: known after apply" in text
    assert "~ key: differs from what is deployed, or is secret" in text
    assert "same" not in text
    assert "hush" not in text and "other" not in text


def test_a_replacement_says_what_forces_it_and_a_retained_deletion_that_it_is_none() -> None:
    old, new = resource("a", kind=1), resource("a", kind=2)
    kept = resource("b")
    kept.retain_on_delete = True
    steps = [
        Step(Op.REPLACE, old.urn, old, new, replace_keys=["kind"]),
        Step(Op.CREATE_REPLACEMENT, old.urn, old, new, replacing=True),
        Step(Op.DELETE, kept.urn, kept),
    ]
    lines = describe(steps, details=False, paint=PLAIN)
    assert lines[0].strip() == "+- t:T a  [kind forces replacement]"
    assert lines[-1].strip() == "-  t:T b  [retained: only forgotten]"
    assert len([line for line in lines if "t:T a" in line]) == 1


def test_the_summary_counts_what_changes() -> None:
    counts = {"create": 2, "update": 1, "same": 5, "read": 1}
    assert counted(counts, preview=True) == "+ 2 to create, ~ 1 to update, 5 unchanged"
    assert counted({"delete": 3}, preview=False) == "- 3 deleted"
    assert counted({"same": 3, "read": 1}, preview=True) == "no changes: 3 resources are as described"
    assert step_changes(counts) == 3


def test_outputs_are_masked_unless_asked_for() -> None:
    outputs = {"b": Secret("hush"), "a": {"x": [1, Secret("psst")]}, "long": "y" * 500, "pem": "one\ntwo"}
    masked = "\n".join(output_lines(outputs, secrets=False, paint=PLAIN))
    assert "hush" not in masked and "psst" not in masked
    assert masked.index(" a ") < masked.index(" b ")
    assert "one …" in masked and "two" not in masked
    assert max(map(len, masked.splitlines())) < 200
    plain = "\n".join(output_lines(outputs, secrets=True, paint=PLAIN))
    assert "hush" in plain and "psst" in plain and "y" * 500 in plain and "two" in plain


def test_lines_name_what_is_done_but_not_what_only_groups_it() -> None:
    stream = io.StringIO()
    display = Lines(stream, preview=False)
    group = Resource(urn=PREFIX + "group", type="t:m:T", custom=False)
    kept = resource("kept")
    kept.retain_on_delete = True
    for step in (
        create("a"),
        Step(Op.DELETE, kept.urn, kept),
        Step(Op.CREATE, group.urn, None, group),
        Step(Op.SAME, PREFIX + "b", group, group),
    ):
        display.started(step)
        display.finished(step)
    failing = create("c")
    display.started(failing)
    display.failed(failing, "because")
    display.log("warning", "two\nlines", PREFIX + "a")
    display.close()
    assert stream.getvalue().splitlines() == [
        " +  t:T a created (0.0 s)",
        " -  t:T kept retained, only forgotten (0.0 s)",
        " x  t:T c creating failed",
        "    warning: t:T a: two",
        "    lines",
    ]


def test_a_terminal_shows_what_is_running_and_takes_it_away_at_the_end() -> None:
    stream = Terminal()
    display = Live(stream, preview=False, title="Bringing up dev")
    steps = [create(f"t{i}") for i in range(9)]
    for step in steps:
        display.started(step)
    time.sleep(0.4)
    display.finished(steps[0])
    display.close()
    text = stream.getvalue()
    assert "Bringing up dev  0 done, 9 running" in text
    assert "t:T t1 creating" in text
    assert "and 3 more" in text
    assert text.endswith("\x1b[J")


def test_labels_leave_out_the_module_path() -> None:
    urn = "urn:pulumi:dev::p::openerp:index:Network$aws:ec2/vpc:Vpc::network-vpc"
    assert label(urn) == "aws:Vpc network-vpc"
