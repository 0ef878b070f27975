"""The load balancer's graph. That AWS accepts it, and how it answers, is not proven here."""

from __future__ import annotations

import json
from typing import Any

import pulumi_aws as aws
import pytest

from components.load_balancer import LoadBalancer, LoadBalancerArgs, Target
from core.names import LOGIN_PATHS, RPC_PATHS
from tests.components.conftest import ACCOUNT, Deploy, Graph

LISTENER = "aws:lb/listener:Listener"
INGRESS = "aws:vpc/securityGroupIngressRule:SecurityGroupIngressRule"
EGRESS = "aws:vpc/securityGroupEgressRule:SecurityGroupEgressRule"
WEB_ACL = "aws:wafv2/webAcl:WebAcl"
RECORD = "aws:route53/record:Record"

ALWAYS = {
    ("aws:ec2/securityGroup:SecurityGroup", "lb-security-group"),
    (INGRESS, "lb-http-from-0.0.0.0-0"),
    (INGRESS, "lb-https-from-0.0.0.0-0"),
    (EGRESS, "lb-to-app"),
    (INGRESS, "lb-into-app"),
    (EGRESS, "lb-to-web-client"),
    (INGRESS, "lb-into-web-client"),
    ("openerp:index:PrivateBucket", "lb-access-logs"),
    ("aws:lb/loadBalancer:LoadBalancer", "lb-alb"),
    (LISTENER, "lb-http"),
    (LISTENER, "lb-https"),
    ("aws:lb/listenerRule:ListenerRule", "lb-rpc"),
}


def arguments(**changes: Any) -> LoadBalancerArgs:
    values: dict[str, Any] = {
        "vpc_id": "vpc-1",
        "subnet_ids": ["subnet-a", "subnet-b"],
        "account_id": ACCOUNT,
        "internal": False,
        "allowed_cidrs": ["0.0.0.0/0"],
        "domain": "erp.example.com",
        "certificate_arn": "arn:certificate",
        "app": Target(target_group_arn="arn:app", security_group_id="sg-app", port=8069),
        "web_client": Target(target_group_arn="arn:web", security_group_id="sg-web", port=8080),
        "access_log_retention_days": 90,
        **changes,
    }
    return LoadBalancerArgs(**values)


def make(deploy: Deploy, **changes: Any) -> Graph:
    return deploy(lambda: LoadBalancer("lb", arguments(**changes)) and None)


def test_a_plain_load_balancer_has_no_firewall_no_client_certificates_and_no_record(deploy: Deploy) -> None:
    graph = make(deploy)

    assert graph.children("lb") == ALWAYS
    assert graph.of(WEB_ACL) == graph.of(RECORD) == []
    assert graph.outputs_of("lb").get("client_certificate_listener_arn") is None


def test_settings_add_listener_firewall_record_and_wildcard(deploy: Deploy) -> None:
    graph = make(
        deploy,
        trust_store_arn="arn:store",
        waf_login_requests_per_5_minutes=100,
        zone_id="Z1",
        wildcard=True,
        additional_certificate_arns={"tenants": "arn:tenants"},
    )

    certificate = "aws:lb/listenerCertificate:ListenerCertificate"
    assert graph.children("lb") == ALWAYS | {
        (LISTENER, "lb-client-certificate"),
        (INGRESS, "lb-client-certificate-from-0.0.0.0-0"),
        (certificate, "lb-https-certificate-tenants"),
        (certificate, "lb-client-certificate-certificate-tenants"),
        ("openerp:index:WebAcl", "lb-web-acl"),
        (RECORD, "lb-record-erp.example.com"),
        (RECORD, "lb-record-*.erp.example.com"),
    }
    assert graph.children("lb-web-acl") == {
        (WEB_ACL, "lb-web-acl-rules"),
        ("aws:wafv2/webAclAssociation:WebAclAssociation", "lb-web-acl-association"),
    }


def test_only_allowed_networks_come_in_and_only_servers_are_reached(deploy: Deploy) -> None:
    graph = make(deploy, allowed_cidrs=["10.1.0.0/16", "192.0.2.0/24"], trust_store_arn="arn:store")

    own = "lb-security-group-id"
    rules = [r.inputs for r in graph.of(INGRESS)]
    assert {(r["cidrIpv4"], r["fromPort"], r["toPort"]) for r in rules if r["securityGroupId"] == own} == {
        (cidr, port, port) for cidr in ("10.1.0.0/16", "192.0.2.0/24") for port in (80, 443, 8443)
    }
    assert {
        (r["securityGroupId"], r["fromPort"], r["toPort"], r.get("referencedSecurityGroupId"))
        for r in rules
        if r["securityGroupId"] != own
    } == {("sg-app", 8069, 8069, own), ("sg-web", 8080, 8080, own)}
    assert {
        (r.inputs["referencedSecurityGroupId"], r.inputs["fromPort"], r.inputs["toPort"])
        for r in graph.of(EGRESS)
        if r.inputs["securityGroupId"] == own and "cidrIpv4" not in r.inputs
    } == {("sg-app", 8069, 8069), ("sg-web", 8080, 8080)}
    assert len(graph.of(EGRESS)) == 2
    group = graph.one("aws:ec2/securityGroup:SecurityGroup").inputs
    assert "ingress" not in group
    assert "egress" not in group


@pytest.mark.parametrize("internal", [False, True])
def test_the_load_balancer_is_hardened_and_waits_longer_than_nginx(deploy: Deploy, internal: bool) -> None:
    graph = make(deploy, internal=internal, deletion_protection=True)

    balancer = graph.one("aws:lb/loadBalancer:LoadBalancer")
    assert balancer.inputs == {
        "loadBalancerType": "application",
        "internal": internal,
        "subnets": ["subnet-a", "subnet-b"],
        "securityGroups": ["lb-security-group-id"],
        "idleTimeout": 725,
        "dropInvalidHeaderFields": True,
        "desyncMitigationMode": "defensive",
        "enableDeletionProtection": True,
        "accessLogs": {"bucket": "lb-access-logs-bucket-id", "enabled": True},
    }
    assert "lb-access-logs-policy" in balancer.depends_on_names


def test_plain_http_is_redirected_for_good(deploy: Deploy) -> None:
    http = make(deploy).one(LISTENER, "lb-http").inputs
    assert (http["port"], http["protocol"]) == (80, "HTTP")
    assert http["defaultActions"] == [
        {"type": "redirect", "redirect": {"protocol": "HTTPS", "port": "443", "statusCode": "HTTP_301"}}
    ]


def test_rpc_goes_to_the_app_servers_and_everything_else_to_the_web_client_servers(deploy: Deploy) -> None:
    graph = make(deploy)

    https = graph.one(LISTENER, "lb-https").inputs
    assert (https["port"], https["protocol"], https["certificateArn"]) == (443, "HTTPS", "arn:certificate")
    assert https["sslPolicy"].startswith("ELBSecurityPolicy-TLS13-1-2-")
    assert https["defaultActions"] == [{"type": "forward", "targetGroupArn": "arn:web"}]
    assert "mutualAuthentication" not in https
    rule = graph.one("aws:lb/listenerRule:ListenerRule").inputs
    assert rule["conditions"] == [{"pathPattern": {"values": list(RPC_PATHS)}}]
    assert rule["actions"] == [{"type": "forward", "targetGroupArn": "arn:app"}]


def test_the_client_certificate_listener_waits_for_the_store_and_its_revocations(deploy: Deploy) -> None:
    def program() -> None:
        store = aws.ssm.Parameter("store", type="String", value="made")
        LoadBalancer("lb", arguments(trust_store_arn="arn:store", trust_store_after=[store]))

    graph = deploy(program)
    assert "store" in graph.one(LISTENER, "lb-client-certificate").depends_on_names
    assert "store" not in graph.one(LISTENER, "lb-https").depends_on_names


def test_the_client_certificate_listener_verifies_and_leads_to_the_app_servers(deploy: Deploy) -> None:
    listener = make(deploy, trust_store_arn="arn:store").one(LISTENER, "lb-client-certificate").inputs

    assert listener["port"] == 8443
    assert listener["mutualAuthentication"] == {
        "mode": "verify",
        "trustStoreArn": "arn:store",
        "ignoreClientCertificateExpiry": False,
        "advertiseTrustStoreCaNames": "on",
    }
    assert listener["defaultActions"] == [{"type": "forward", "targetGroupArn": "arn:app"}]


@pytest.mark.parametrize("protect", [False, True])
def test_access_logs_are_private_encrypted_written_by_the_load_balancer_alone_and_expire(
    deploy: Deploy, protect: bool
) -> None:
    graph = make(deploy, protect=protect)

    assert graph.children("lb-access-logs") == {
        ("aws:s3/bucket:Bucket", "lb-access-logs-bucket"),
        ("aws:s3/bucketPublicAccessBlock:BucketPublicAccessBlock", "lb-access-logs-public-access"),
        (
            "aws:s3/bucketServerSideEncryptionConfiguration:BucketServerSideEncryptionConfiguration",
            "lb-access-logs-encryption",
        ),
        (
            "aws:s3/bucketLifecycleConfiguration:BucketLifecycleConfiguration",
            "lb-access-logs-lifecycle",
        ),
        ("aws:s3/bucketPolicy:BucketPolicy", "lb-access-logs-policy"),
    }
    assert graph.one("aws:s3/bucket:Bucket").inputs["forceDestroy"] is not protect
    block = graph.one("aws:s3/bucketPublicAccessBlock:BucketPublicAccessBlock").inputs
    assert {value for key, value in block.items() if key != "bucket"} == {True}
    assert len(block) == 5
    (rule,) = graph.one("aws:s3/bucketLifecycleConfiguration:BucketLifecycleConfiguration").inputs["rules"]
    assert rule["expiration"] == {"days": 90}
    statements = json.loads(graph.one("aws:s3/bucketPolicy:BucketPolicy").inputs["policy"])["Statement"]
    assert [s["Effect"] for s in statements] == ["Deny", "Allow"]
    assert statements[0]["Condition"] == {"Bool": {"aws:SecureTransport": "false"}}
    assert statements[1]["Principal"] == {"Service": "logdelivery.elasticloadbalancing.amazonaws.com"}
    assert statements[1]["Action"] == "s3:PutObject"
    assert statements[1]["Resource"].endswith(f":lb-access-logs-bucket/AWSLogs/{ACCOUNT}/*")


def test_records_are_aliases_of_the_load_balancer(deploy: Deploy) -> None:
    graph = make(deploy, zone_id="Z1", wildcard=True)

    assert {r.inputs["name"] for r in graph.of(RECORD)} == {"erp.example.com", "*.erp.example.com"}
    for record in graph.of(RECORD):
        assert (record.inputs["zoneId"], record.inputs["type"]) == ("Z1", "A")
        assert record.inputs["aliases"] == [
            {"name": "lb-alb.eu-west-1.elb.example.com", "zoneId": "Z123", "evaluateTargetHealth": True}
        ]


def test_the_firewall_limits_logins_and_only_counts_what_odoo_does_every_day(deploy: Deploy) -> None:
    graph = make(deploy, waf_login_requests_per_5_minutes=40)

    acl = graph.one(WEB_ACL).inputs
    assert (acl["scope"], acl["defaultAction"]) == ("REGIONAL", {"allow": {}})
    rules = {rule["name"]: rule for rule in acl["rules"]}
    assert sorted(rule["priority"] for rule in acl["rules"]) == list(range(5))

    limit = rules.pop("login-limit")
    assert limit["action"] == {"block": {}}
    statement = limit["statement"]["rateBasedStatement"]
    assert (statement["limit"], statement["evaluationWindowSec"], statement["aggregateKeyType"]) == (
        40,
        300,
        "IP",
    )
    match = statement["scopeDownStatement"]["byteMatchStatement"]
    assert (match["searchString"], match["positionalConstraint"]) == (LOGIN_PATHS[0], "STARTS_WITH")
    assert match["fieldToMatch"] == {"uriPath": {}}

    assert set(rules) == {
        "AWSManagedRulesCommonRuleSet",
        "AWSManagedRulesKnownBadInputsRuleSet",
        "AWSManagedRulesSQLiRuleSet",
        "AWSManagedRulesAmazonIpReputationList",
    }
    assert all(rule["overrideAction"] == {"none": {}} for rule in rules.values())
    common = rules["AWSManagedRulesCommonRuleSet"]["statement"]["managedRuleGroupStatement"]
    assert {o["name"]: o["actionToUse"] for o in common["ruleActionOverrides"]} == {
        "SizeRestrictions_BODY": {"count": {}},
        "CrossSiteScripting_BODY": {"count": {}},
    }
    association = graph.one("aws:wafv2/webAclAssociation:WebAclAssociation").inputs
    assert association["resourceArn"] == graph.outputs_of("lb")["arn"]
