"""A web application firewall in front of the load balancer: managed rules, and patience with the login."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import pulumi
import pulumi_aws as aws

from core.names import LOGIN_PATHS

COUNTED_RULES: dict[str, tuple[str, ...]] = {
    "AWSManagedRulesCommonRuleSet": (
        # Odoo's uploads and imports are larger than the 8 KB that this rule allows a body.
        "SizeRestrictions_BODY",
        # People write HTML into mail, notes and web pages; Odoo sanitizes it itself.
        "CrossSiteScripting_BODY",
    ),
    "AWSManagedRulesAmazonIpReputationList": (),
    "AWSManagedRulesKnownBadInputsRuleSet": (),
    "AWSManagedRulesSQLiRuleSet": (),
}
"""AWS managed rule groups in the order of evaluation -> rules that only count, because Odoo's ordinary
work sets them off. Together 1,125 capacity units of the 1,500 in the price (WAF developer guide)."""
LOGIN_WINDOW_SECONDS = 300


@dataclass(frozen=True, kw_only=True)
class WebAclArgs:
    """`login_requests_per_5_minutes` is for each client address; AWS allows 10 to 2,000,000,000."""

    resource_arn: pulumi.Input[str]
    login_requests_per_5_minutes: int


class WebAcl(pulumi.ComponentResource):
    """The rules and their association with the load balancer."""

    arn: pulumi.Output[str]

    def __init__(self, name: str, args: WebAclArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("openerp:index:WebAcl", name, {}, opts)
        child = pulumi.ResourceOptions(parent=self)
        acl = aws.wafv2.WebAcl(
            f"{name}-rules",
            description="OpenERP: AWS managed rules and a limit on login attempts",
            scope="REGIONAL",
            default_action=aws.wafv2.WebAclDefaultActionArgs(allow=aws.wafv2.WebAclDefaultActionAllowArgs()),
            visibility_config=_visibility(name),
            rules=[
                _login_limit(args.login_requests_per_5_minutes, LOGIN_PATHS),
                *(
                    _managed_group(group, priority, counted)
                    for priority, (group, counted) in enumerate(COUNTED_RULES.items(), start=1)
                ),
            ],
            opts=child,
        )
        aws.wafv2.WebAclAssociation(
            f"{name}-association", resource_arn=args.resource_arn, web_acl_arn=acl.arn, opts=child
        )
        self.arn = acl.arn
        self.register_outputs({"arn": self.arn})


def _visibility(metric: str) -> Any:
    return {"cloudwatch_metrics_enabled": True, "metric_name": metric, "sampled_requests_enabled": True}


def _managed_group(group: str, priority: int, counted: Sequence[str]) -> Any:
    statement: dict[str, Any] = {"vendor_name": "AWS", "name": group}
    if counted:
        statement["rule_action_overrides"] = [
            {"name": rule, "action_to_use": {"count": {}}} for rule in counted
        ]
    return {
        "name": group,
        "priority": priority,
        "override_action": {"none": {}},
        "statement": {"managed_rule_group_statement": statement},
        "visibility_config": _visibility(group),
    }


def _login_limit(requests: int, paths: Sequence[str]) -> Any:
    """Block a client address that asks for a login page more often than people do, until it calms down."""
    return {
        "name": "login-limit",
        "priority": 0,
        "action": {"block": {}},
        "statement": {
            "rate_based_statement": {
                "aggregate_key_type": "IP",
                "limit": requests,
                "evaluation_window_sec": LOGIN_WINDOW_SECONDS,
                "scope_down_statement": _path_begins_with_one_of(paths),
            }
        },
        "visibility_config": _visibility("login-limit"),
    }


def _path_begins_with_one_of(paths: Sequence[str]) -> dict[str, Any]:
    statements: list[dict[str, Any]] = [
        {
            "byte_match_statement": {
                "search_string": path,
                "positional_constraint": "STARTS_WITH",
                "field_to_match": {"uri_path": {}},
                "text_transformations": [{"priority": 0, "type": "LOWERCASE"}],
            }
        }
        for path in paths
    ]
    # AWS refuses an "or" of one.
    return statements[0] if len(statements) == 1 else {"or_statement": {"statements": statements}}
