"""The preview report: what a reviewer of a pull request reads, from the JSON of `pulumi preview --json`."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core.preview_report import COMMENT_LIMIT, DATA_TYPES, losses, marker, planned, render
from core.property_diff import SIGNATURE_KEY, UNKNOWN_SENTINELS, changes

UNKNOWN_STRING = "04da6b54-80e4-46f7-96ec-b56ff0331ba9"


def urn(type_chain: str, name: str) -> str:
    return f"urn:pulumi:dev::openerp::{type_chain}::{name}"


def step(op: str, type_chain: str, name: str, **more: Any) -> dict[str, Any]:
    """A step in the shape that pulumi 3.272 prints (checked against the real CLI)."""
    return {"op": op, "urn": urn(type_chain, name), "detailedDiff": None, **more}


def state(inputs: Mapping[str, object], **more: Any) -> dict[str, Any]:
    return {"custom": True, "inputs": dict(inputs), **more}


def report(*steps: Mapping[str, object], **more: Any) -> str:
    return render({"steps": list(steps), **more}, stack="dev")


INSTANCE = "openerp:index:DatabaseServer$aws:rds/instance:Instance"


def test_the_report_begins_with_the_marker_by_which_its_comment_is_edited_in_place() -> None:
    assert report(changeSummary={"same": 3}).startswith("<!-- openerp-preview:dev -->\n")


def test_a_stack_name_cannot_close_the_hidden_marker() -> None:
    assert marker("--> <b>") == "<!-- openerp-preview:--___b_ -->"


def test_no_changes_reads_as_a_sentence() -> None:
    text = report(changeSummary={"same": 104})
    assert "no changes" in text
    assert "104 resources unchanged" in text


def test_the_headline_counts_each_kind_of_change() -> None:
    text = report(changeSummary={"create": 2, "update": 1, "replace": 1, "delete": 3, "same": 90})
    assert "1 to replace, 3 to delete, 2 to create, 1 to update (90 unchanged)" in text


def test_without_a_summary_the_steps_are_counted() -> None:
    assert "1 to create" in report(step("create", "aws:s3/bucket:Bucket", "b", newState=state({})))


@pytest.mark.parametrize("op", ["replace", "delete"])
@pytest.mark.parametrize("type_", sorted(DATA_TYPES))
def test_whatever_holds_data_and_goes_is_in_a_warning_block(op: str, type_: str) -> None:
    text = report(step(op, type_, "precious", oldState=state({}), newState=state({})))
    warning = text.split("> [!CAUTION]")[1].split("\n\n")[0]
    assert "`precious`" in warning
    assert DATA_TYPES[type_] in warning


def test_a_key_that_is_replaced_raises_the_alarm_and_one_that_goes_with_its_user_does_not() -> None:
    key = "openerp:index:Certificate$tls:index/privateKey:PrivateKey"
    assert "[!CAUTION]" in report(step("replace", key, "ca", oldState=state({}), newState=state({})))
    assert "[!CAUTION]" not in report(step("delete", key, "client-2", oldState=state({})))


def test_the_warning_stands_before_every_other_change() -> None:
    text = report(
        step("create", "openerp:index:Network$aws:ec2/vpc:Vpc", "vpc", newState=state({})),
        step(
            "replace",
            INSTANCE,
            "db",
            oldState=state({"a": 1}),
            newState=state({"a": 2}),
            replaceReasons=["a"],
        ),
    )
    assert text.index("[!CAUTION]") < text.index("Replaced and deleted") < text.index("`vpc`")


def test_a_deleted_resource_without_data_is_listed_but_raises_no_alarm() -> None:
    text = report(step("delete", "aws:ec2/route:Route", "r", oldState=state({})))
    assert "Replaced and deleted" in text
    assert "CAUTION" not in text


def test_a_retained_snapshot_is_said_to_stay_in_the_cloud() -> None:
    text = report(step("delete", "aws:rds/snapshot:Snapshot", "s", oldState=state({}, retainOnDelete=True)))
    assert "kept in the cloud, forgotten by Pulumi" in text
    assert "CAUTION" not in text


def test_a_retained_database_that_is_replaced_still_raises_the_alarm() -> None:
    text = report(
        step("replace", INSTANCE, "db", oldState=state({}, retainOnDelete=True), newState=state({}))
    )
    assert "a new, empty one takes its place" in text


def test_a_restore_is_told_from_a_loss_of_everything() -> None:
    """A protected server may be replaced when the new one is not protected, which is so in that run alone."""
    old = {"protect": True, "retainOnDelete": True}
    snapshot = {"snapshotIdentifier": "openerp-prod-monday"}
    restored = step("replace", INSTANCE, "db", oldState=state({}, **old), newState=state(snapshot))
    read = {"external": True, "id": "fs-00000002"}
    system = "aws:efs/fileSystem:FileSystem"
    files = step("replace", system, "files", oldState=state({}, **old), newState=state({}, **read))
    text = report(restored, files)
    assert "one made from the snapshot `openerp-prod-monday` takes its place; the old one stays" in text
    assert "`fs-00000002`, which exists, takes its place; the old one stays" in text
    assert "Pulumi will refuse" not in text
    assert [loss.protected for loss in losses({"steps": [restored, files]})[0]] == [False, False]
    emptied = step("replace", INSTANCE, "db", oldState=state({}, **old), newState=state({}, protect=True))
    assert "a new, empty one takes its place" in report(emptied)
    assert "Pulumi will refuse" in report(emptied)


def test_losses_are_what_goes_with_data_first_and_the_rest_is_counted() -> None:
    policy = "aws:iam/rolePolicy:RolePolicy"
    preview = {
        "steps": [
            step("replace", policy, "role", oldState=state({}), newState=state({})),
            step("replace", INSTANCE, "db", oldState=state({}, retainOnDelete=True), newState=state({})),
            step("update", policy, "other", oldState=state({}), newState=state({})),
            step("create", policy, "new", newState=state({})),
            step("same", policy, "same", oldState=state({}), newState=state({})),
        ]
    }
    lost, others = losses(preview)
    assert [(loss.name, loss.what, loss.holds_data, loss.stays) for loss in lost] == [
        ("db", "replaced", True, True),
        ("role", "replaced", False, False),
    ]
    assert others == 2
    with pytest.raises(ValueError, match="not the JSON"):
        losses({})


def test_what_resources_of_a_type_are_to_be_can_be_asked() -> None:
    preview = {
        "steps": [
            step("replace", INSTANCE, "db", oldState=state({"size": 1}), newState=state({"size": 2})),
            step("delete", INSTANCE, "old", oldState=state({"size": 3})),
            step("create", "aws:s3/bucket:Bucket", "b", newState=state({"size": 4})),
        ]
    }
    assert planned(preview, "aws:rds/instance:Instance") == [{"size": 2}]
    assert planned({}, "aws:rds/instance:Instance") == []


def test_a_protected_resource_is_said_to_be_refused() -> None:
    text = report(step("delete", INSTANCE, "db", oldState=state({}, protect=True)))
    assert "Pulumi will refuse" in text


def test_the_three_steps_of_one_replacement_are_one_line() -> None:
    text = report(
        step("create-replacement", INSTANCE, "db", oldState=state({"e": 1}), newState=state({"e": 2})),
        step(
            "replace",
            INSTANCE,
            "db",
            oldState=state({"e": 1}),
            newState=state({"e": 2}),
            replaceReasons=["e"],
        ),
        step("delete-replaced", INSTANCE, "db", oldState=state({"e": 1})),
    )
    assert text.count("| ± |") == 1
    assert "1 to replace" in text
    assert "because of" in text
    assert "`e`" in text


def test_resources_are_grouped_by_component() -> None:
    text = report(
        step("create", "openerp:index:Network$aws:ec2/vpc:Vpc", "vpc", newState=state({})),
        step(
            "create",
            "openerp:index:AppServer$openerp:index:ServerGroup$aws:iam/role:Role",
            "r",
            newState=state({}),
        ),
        step("create", "pulumi:providers:aws", "main", newState=state({})),
    )
    assert text.index("**AppServer**") < text.index("**Network**") < text.index("**Providers**")
    assert "**ServerGroup**" not in text


def test_properties_are_shown_old_and_new_in_a_collapsed_block() -> None:
    text = report(
        step(
            "update",
            INSTANCE,
            "db",
            oldState=state({"allocatedStorage": 10, "tags": {"a": "1"}, "same": [1]}),
            newState=state({"allocatedStorage": 20, "tags": {"a": "2"}, "same": [1]}),
            diffReasons=["allocatedStorage", "tags"],
        )
    )
    details = text.split("<details>")[1]
    assert "- allocatedStorage: 10\n+ allocatedStorage: 20" in details
    assert '- tags.a: "1"\n+ tags.a: "2"' in details
    assert "same" not in details
    assert "`allocatedStorage`, `tags`" in text.split("<details>")[0]


def test_the_order_in_which_the_engine_worked_does_not_matter() -> None:
    made = [step("create", "openerp:index:N$a:b/c:C", name, newState=state({"v": name})) for name in "cab"]
    assert report(*made) == report(*reversed(made))


def test_what_causes_replacements_stands_before_what_follows_from_it() -> None:
    def replaced(name: str, key: str, old: str, new: str) -> dict[str, Any]:
        states = {"oldState": state({key: old}), "newState": state({key: new})}
        return step("replace", "a:b/c:C", name, replaceReasons=[key], **states)

    text = report(
        replaced("a-subnet", "vpcId", "vpc-1", UNKNOWN_STRING),
        replaced("vpc", "cidr", "10.0.0.0", "10.1.0.0"),
    )
    assert text.index("| `vpc` |") < text.index("| `a-subnet` |")


def test_empty_defaults_of_a_new_resource_are_not_shown() -> None:
    new = state({"tags": {}, "tagsAll": {"Project": "openerp"}, "rules": [], "size": 1})
    details = report(step("create", "a:b/c:C", "x", newState=new)).split("```diff\n")[1].split("\n```")[0]
    assert details == "+ size: 1"


def test_an_unknown_value_is_said_in_words() -> None:
    for sentinel in UNKNOWN_SENTINELS:
        text = report(step("create", "aws:s3/bucket:Bucket", "b", newState=state({"arn": sentinel})))
        assert "+ arn: known after apply" in text
        assert sentinel not in text


@pytest.mark.parametrize(
    "value",
    [
        "[secret]",
        {SIGNATURE_KEY: "1b47061264138c4ac30d75fd1eb44270", "plaintext": '"hunter2"'},
        {SIGNATURE_KEY: "d0e6a833031e9bbcd3f4e8bde6ca49a4", "value": "hunter2", "secret": True},
        "-----BEGIN EC PRIVATE KEY-----\nhunter2\n-----END EC PRIVATE KEY-----",
        {"inner": {"password": "hunter2"}},
        base64.b64encode(
            b"#cloud-config\nkey: |\n  -----BEGIN PRIVATE KEY-----\n  hunter2\n  -----END PRIVATE KEY-----\n"
        ).decode(),
    ],
)
def test_a_secret_is_masked_in_whatever_form_it_comes(value: object) -> None:
    text = report(
        step("create", "a:b/c:C", "new", newState=state({"x": value})),
        step(
            "update", "a:b/c:C", "changed", oldState=state({"x": "plain\ntext"}), newState=state({"x": value})
        ),
        step(
            "update", "a:b/c:C", "opened", oldState=state({"x": value}), newState=state({"x": "another\none"})
        ),
    )
    assert "hunter2" not in text
    assert base64.b64encode(b"hunter2").decode()[:8] not in text
    assert "[secret]" in text or value not in ("[secret]",)


@pytest.mark.parametrize("name", ["password", "secretString", "privateKeyPem", "master_password"])
def test_a_property_that_is_always_secret_is_masked_though_nobody_marked_it(name: str) -> None:
    text = report(
        step("update", "a:b/c:C", "x", oldState=state({name: "old1"}), newState=state({name: "new2"}))
    )
    assert "old1" not in text
    assert "new2" not in text
    assert f"+ {name}: [secret]" in text


def test_an_output_that_its_provider_declares_secret_is_masked() -> None:
    new = state({"token": "hunter2"}, additionalSecretOutputs=["token"])
    assert "hunter2" not in report(step("create", "a:b/c:C", "x", newState=new))


def test_a_secret_that_changes_its_value_is_seen_to_change() -> None:
    masked = state({"content": "[secret]"})
    text = report(step("update", "a:b/c:C", "x", oldState=masked, newState=masked, diffReasons=["content"]))
    assert "+ content: [secret] (another value)" in text


def test_user_data_is_compared_by_lines() -> None:
    def encoded(workers: int) -> str:
        lines = ["#cloud-config", *(f"line: {n}" for n in range(20)), f"workers: {workers}"]
        return base64.b64encode("\n".join(lines).encode()).decode()

    text = report(
        step(
            "update",
            "a:b/c:C",
            "t",
            oldState=state({"userData": encoded(4)}),
            newState=state({"userData": encoded(6)}),
        )
    )
    assert "-workers: 4\n+workers: 6" in text
    assert encoded(4) not in text


def test_a_policy_is_compared_by_lines() -> None:
    def policy(action: str) -> str:
        return json.dumps({"Statement": [{"Action": [action], "Effect": "Allow"}]})

    text = report(
        step(
            "update",
            "a:b/c:C",
            "p",
            oldState=state({"policy": policy("s3:Get")}),
            newState=state({"policy": policy("s3:Put")}),
        )
    )
    assert '-        "s3:Get"\n+        "s3:Put"' in text


def test_drift_is_shown_from_what_was_found_in_the_cloud() -> None:
    text = report(
        step(
            "update",
            "a:b/c:C",
            "x",
            oldState=state({"size": 10}, outputs={"size": 99}),
            newState=state({"size": 10}),
            detailedDiff={"size": {"kind": "update", "inputDiff": False}},
        )
    )
    assert "- size: 99\n+ size: 10" in text


def test_names_cannot_break_out_of_the_table_or_become_markup() -> None:
    evil = "a|b`c\n@everyone <img src=x> [x](http://y)"
    text = report(step("create", "a:b/c:C", evil, newState=state({})))
    row = next(line for line in text.splitlines() if line.startswith("| + |"))
    assert row.count("|") - row.count("\\|") == 5
    assert "``" in row
    assert "c @everyone" in row


def test_a_value_cannot_close_its_fence() -> None:
    text = report(step("create", "a:b/c:C", "x", newState=state({"v": "```\n# loud", "w": "````"})))
    assert "`````diff" in text


def test_a_failed_preview_says_so_and_shows_the_error() -> None:
    text = report(diagnostics=[{"severity": "error", "message": "openerp:release: 19.1 is hosted-only\n"}])
    assert "failed" in text.splitlines()[2]
    assert "openerp:release: 19.1 is hosted-only" in text


def test_what_the_program_wrote_before_it_failed_is_the_reason_that_is_shown() -> None:
    written = {"severity": "info#err", "message": "openerp:release: 19.1 is hosted-only\n"}
    failed = {"severity": "error", "message": "program exited with non-zero exit code: 1\n"}
    text = report(diagnostics=[written, failed])
    assert text.index("19.1 is hosted-only") < text.index("exit code: 1")
    assert "Warnings" in report(diagnostics=[written], changeSummary={"same": 1})


def test_a_long_report_stays_within_a_comment_and_says_what_it_leaves_out() -> None:
    steps = [
        step("update", "a:b/c:C", f"r{n}", oldState=state({"v": "x" * 900}), newState=state({"v": "y" * 900}))
        for n in range(200)
    ]
    text = report(*steps)
    assert COMMENT_LIMIT * 0.9 < len(text) <= COMMENT_LIMIT
    assert "left out of the details" in text
    assert text.count("<details>") == text.count("</details>") == 1
    assert "`r199`" in text


def test_a_report_of_very_many_resources_still_has_its_warning() -> None:
    steps = [step("create", "a:b/c:C", f"resource-{n:06}", newState=state({"v": n})) for n in range(5000)]
    text = report(*steps, step("delete", INSTANCE, "db", oldState=state({})))
    assert len(text) <= COMMENT_LIMIT
    assert "[!CAUTION]" in text


@pytest.mark.parametrize("preview", [{}, {"resources": []}, {"steps": 3}, {"steps": [{}]}, {"steps": ["x"]}])
def test_something_else_than_a_preview_is_refused_with_a_sentence(preview: Mapping[str, object]) -> None:
    with pytest.raises(ValueError, match="not the JSON of `pulumi preview --json`"):
        render(preview, stack="dev")


json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.text(max_size=30)
    | st.just(UNKNOWN_STRING)
    | st.just("[secret]"),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=12,
)
property_maps = st.dictionaries(st.text(min_size=1, max_size=12), json_values, max_size=5)


@settings(max_examples=60, deadline=None)
@given(
    old=property_maps,
    new=property_maps,
    op=st.sampled_from(["create", "update", "replace", "delete", "same"]),
)
def test_any_properties_give_a_report_whose_fences_are_closed(
    old: dict[str, object], new: dict[str, object], op: str
) -> None:
    text = report(step(op, INSTANCE, "db", oldState=state(old), newState=state(new)))
    assert len(text) <= COMMENT_LIMIT
    assert UNKNOWN_STRING not in text
    fences = [line for line in text.splitlines() if line.startswith("```")]
    assert len(fences) % 2 == 0


@given(value=property_maps)
def test_equal_properties_have_no_changes(value: dict[str, object]) -> None:
    assert changes(value, value) == []
