"""The recording monitor itself: a recorder that misses something would make every absence test pass."""

from __future__ import annotations

import gc
import sys

import pulumi
import pulumi_aws as aws
import pytest

from tests.components.conftest import Deploy, Graph


def test_resources_made_late_by_slow_outputs_are_recorded_with_their_options(deploy: Deploy) -> None:
    def program() -> None:
        key = aws.kms.Key("key", description="a key")
        topic = aws.sns.Topic(
            "topic",
            kms_master_key_id=key.arn.apply(lambda arn: arn.upper()),
            opts=pulumi.ResourceOptions(
                protect=True,
                retain_on_delete=True,
                ignore_changes=["displayName"],
                depends_on=[key],
                aliases=[pulumi.Alias(name="old")],
            ),
        )
        aws.ssm.Parameter("secret", type="SecureString", value=pulumi.Output.secret("hidden"))
        pulumi.export("topic", topic.arn)
        pulumi.export("hidden", pulumi.Output.secret("value"))

    graph = deploy(program)

    topic = graph.one("aws:sns/topic:Topic")
    assert topic.inputs["kmsMasterKeyId"] == "ARN:AWS:KMS:EU-WEST-1:123456789012:KEY"
    assert topic.protect
    assert topic.retain_on_delete
    assert topic.ignore_changes == ("displayName",)
    assert topic.depends_on_names == {"key"}
    assert topic.aliases == ("old",)
    parameter = graph.one("aws:ssm/parameter:Parameter")
    assert parameter.inputs["value"] == "hidden"
    assert parameter.secret_inputs == {"value"}
    assert graph.stack_outputs["topic"].endswith(":topic")
    assert graph.secret_stack_outputs == {"hidden"}


def test_an_error_inside_an_apply_fails_the_program(deploy: Deploy) -> None:
    def fail(arn: str) -> str:
        raise ValueError(f"no use for {arn}")

    def program() -> None:
        aws.sns.Topic("second", display_name=aws.sns.Topic("first").arn.apply(fail))

    with pytest.raises(ValueError, match="no use for"):
        deploy(program)


def test_a_preview_does_not_know_what_only_a_provider_knows(deploy: Deploy) -> None:
    seen: list[str] = []

    def program() -> None:
        aws.sns.Topic("first").arn.apply(seen.append)

    deploy(program, preview=True)
    assert seen == []


def test_what_a_failed_program_leaves_behind_disturbs_no_later_test(
    deploy: Deploy, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(arn: str) -> str:
        raise ValueError(f"no use for {arn}")

    def program() -> None:
        first = aws.sns.Topic("first")
        for number in range(20):
            broken = aws.sns.Topic(f"broken-{number}", display_name=first.arn.apply(fail))
            after = aws.sns.Topic(f"after-{number}", display_name=broken.arn)
            pulumi.export(f"arn-{number}", pulumi.Output.all(broken.arn, after.arn))

    gc.collect()
    disturbances: list[object] = []
    monkeypatch.setattr(sys, "unraisablehook", disturbances.append)
    for _ in range(3):
        with pytest.raises(ValueError, match="no use for"):
            deploy(program)
    gc.collect()

    assert disturbances == []
    assert [record.message for record in caplog.records if record.name == "asyncio"] == []


def test_what_was_registered_before_an_error_can_be_looked_at(deploy: Deploy) -> None:
    graph = Graph()

    def program() -> None:
        aws.sns.Topic("first")
        pulumi.log.warn("one topic is enough")
        raise pulumi.RunError("no more")

    with pytest.raises(pulumi.RunError, match="no more"):
        deploy(program, graph=graph)

    assert [r.name for r in graph.registrations] == ["first"]
    assert graph.warnings == ["one topic is enough"]


def test_an_answer_may_say_what_the_id_of_a_resource_is(deploy: Deploy) -> None:
    def program() -> None:
        pulumi.export("id", aws.sns.Topic("first").id)

    answers = {"aws:sns/topic:Topic": lambda name, inputs: {"id": f"topic:{name}"}}
    assert deploy(program, outputs=answers).stack_outputs == {"id": "topic:first"}
