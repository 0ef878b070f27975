"""The recording monitor itself: a recorder that misses something would make every absence test pass."""

from __future__ import annotations

import pulumi
import pulumi_aws as aws
import pytest

from tests.components.conftest import Deploy


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
