"""IAM policy documents, written down once so that each component says only who may do what to which."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

import pulumi

VERSION = "2012-10-17"


def trust_service(service: str) -> str:
    """Return the trust policy that lets one AWS service (for example `ec2.amazonaws.com`) take the role."""
    return json.dumps(
        {
            "Version": VERSION,
            "Statement": [
                {"Effect": "Allow", "Principal": {"Service": service}, "Action": "sts:AssumeRole"},
            ],
        }
    )


def allow(
    sid: str,
    actions: Sequence[str],
    resources: Sequence[pulumi.Input[str]] | pulumi.Output[list[str]],
    *,
    condition: Mapping[str, Mapping[str, pulumi.Input[str]]] | None = None,
) -> dict[str, Any]:
    """Return one statement; `condition` is in IAM's own form, `{operator: {key: value}}`."""
    statement: dict[str, Any] = {
        "Sid": sid,
        "Effect": "Allow",
        "Action": list(actions),
        "Resource": resources if isinstance(resources, pulumi.Output) else list(resources),
    }
    if condition:
        statement["Condition"] = {operator: dict(keys) for operator, keys in condition.items()}
    return statement


def policy_document(statements: Sequence[Mapping[str, Any]]) -> pulumi.Output[str]:
    """Return the JSON of a policy; values inside may be outputs of other resources."""
    return pulumi.Output.json_dumps({"Version": VERSION, "Statement": [dict(s) for s in statements]})


def sibling_arn(arn: str, service: str, resource: str) -> str:
    """Return the ARN of `resource` of `service` in the account and region of `arn`."""
    _, partition, _, region, account, *_ = arn.split(":")
    return f"arn:{partition}:{service}:{region}:{account}:{resource}"
