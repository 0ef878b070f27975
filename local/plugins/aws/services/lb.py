"""Elastic Load Balancing: load balancers, target groups, listeners, rules, trust stores."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from local.plugins.aws.context import Context
from local.plugins.aws.row import Call, Name, Row, Step, Values
from local.plugins.aws.services import _tagging as tagging

TAGS = tagging.by_resource("ResourceArns", "{id}", verbs=("AddTags", "RemoveTags", "DescribeTags"),
                           listed="TagDescriptions[0].Tags")  # fmt: skip

BALANCER_ATTRIBUTES = {
    "clientKeepAlive": "client_keep_alive.seconds",
    "desyncMitigationMode": "routing.http.desync_mitigation_mode",
    "dropInvalidHeaderFields": "routing.http.drop_invalid_header_fields.enabled",
    "enableCrossZoneLoadBalancing": "load_balancing.cross_zone.enabled",
    "enableDeletionProtection": "deletion_protection.enabled",
    "enableHttp2": "routing.http2.enabled",
    "enableTlsVersionAndCipherSuiteHeaders": "routing.http.x_amzn_tls_version_and_cipher_suite.enabled",
    "enableWafFailOpen": "waf.fail_open.enabled",
    "enableXffClientPort": "routing.http.xff_client_port.enabled",
    "enableZonalShift": "zonal_shift.config.enabled",
    "idleTimeout": "idle_timeout.timeout_seconds",
    "preserveHostHeader": "routing.http.preserve_host_header.enabled",
    "xffHeaderProcessingMode": "routing.http.xff_header_processing.mode",
}
LOG_ATTRIBUTES = {"accessLogs": "access_logs.s3", "connectionLogs": "connection_logs.s3"}

GROUP_ATTRIBUTES = {
    "connectionTermination": "deregistration_delay.connection_termination.enabled",
    "deregistrationDelay": "deregistration_delay.timeout_seconds",
    "lambdaMultiValueHeadersEnabled": "lambda.multi_value_headers.enabled",
    "loadBalancingAlgorithmType": "load_balancing.algorithm.type",
    "loadBalancingAnomalyMitigation": "load_balancing.algorithm.anomaly_mitigation",
    "loadBalancingCrossZoneEnabled": "load_balancing.cross_zone.enabled",
    "preserveClientIp": "preserve_client_ip.enabled",
    "proxyProtocolV2": "proxy_protocol_v2.enabled",
    "slowStart": "slow_start.duration_seconds",
}


def _text(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _pairs(attributes: Mapping[str, Any]) -> list[dict[str, str]]:
    return [{"Key": key, "Value": _text(value)} for key, value in attributes.items() if value is not None]


def _log_attributes(context: Context) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, prefix in LOG_ATTRIBUTES.items():
        logs = context.inputs.get(name)
        if logs is None and name in context.changed:
            found[f"{prefix}.enabled"] = False
        elif logs is not None and (context.creating or name in context.changed):
            enabled = logs.get("enabled", False)
            found[f"{prefix}.enabled"] = enabled
            if enabled:
                found |= {f"{prefix}.bucket": logs["bucket"], f"{prefix}.prefix": logs.get("prefix") or ""}
    return found


def _given(context: Context, attributes: Mapping[str, str]) -> dict[str, Any]:
    """Attributes to set: all that are given at creation, those that changed at an update."""
    return {
        attribute: context.inputs.get(name)
        for name, attribute in attributes.items()
        if context.inputs.get(name) is not None and (context.creating or name in context.changed)
    }


def _set_balancer_attributes(context: Context) -> None:
    pairs = _pairs({**_given(context, BALANCER_ATTRIBUTES), **_log_attributes(context)})
    if pairs:
        context.call("ModifyLoadBalancerAttributes", LoadBalancerArn=context.id, Attributes=pairs)


def _create_balancer(context: Context) -> Any:
    scheme = "internal" if context.inputs.get("internal") else "internet-facing"
    names = "name subnets subnetMappings securityGroups ipAddressType customerOwnedIpv4Pool"
    return context.run(
        Call(
            "CreateLoadBalancer",
            {"Scheme": scheme, "Type": "{loadBalancerType}"},
            "LoadBalancers[0]",
            inputs=names,
        )
    )


def _protected(state: Values) -> str:
    if state.get("enableDeletionProtection"):
        return "enableDeletionProtection is on: set it to false and apply that before deleting"
    return ""


def _suffix(marker: str) -> Any:
    """The function that gives the part of the ARN that CloudWatch uses as a dimension."""

    def suffix(context: Context) -> str:
        return str(context.id).partition(marker)[2]

    return suffix


LOAD_BALANCER = Row(
    type="aws:lb/loadBalancer:LoadBalancer",
    service="elbv2",
    inputs="name internal loadBalancerType subnets subnetMappings securityGroups ipAddressType "
    f"customerOwnedIpv4Pool {' '.join(BALANCER_ATTRIBUTES)} {' '.join(LOG_ATTRIBUTES)}",
    local="namePrefix",
    defaults={
        "clientKeepAlive": 3600,
        "desyncMitigationMode": "defensive",
        "dropInvalidHeaderFields": False,
        "enableDeletionProtection": False,
        "enableHttp2": True,
        "enableTlsVersionAndCipherSuiteHeaders": False,
        "enableWafFailOpen": False,
        "enableXffClientPort": False,
        "enableZonalShift": False,
        "idleTimeout": 60,
        "loadBalancerType": "application",
        "preserveHostHeader": False,
        "xffHeaderProcessingMode": "append",
    },
    name=Name(longest=32),
    create=_create_balancer,
    id="LoadBalancerArn",
    read=Call("DescribeLoadBalancers", {"LoadBalancerArns": ["{id}"]}, "LoadBalancers[0]", inputs=""),
    steps=(
        Step(" ".join([*BALANCER_ATTRIBUTES, *LOG_ATTRIBUTES]), _set_balancer_attributes),
        Step("subnets", Call("SetSubnets", {"LoadBalancerArn": "{id}"}, inputs="subnets"), create=False),
        Step(
            "securityGroups",
            Call("SetSecurityGroups", {"LoadBalancerArn": "{id}"}, inputs="securityGroups"),
            create=False,
        ),
        Step(
            "ipAddressType",
            Call("SetIpAddressType", {"LoadBalancerArn": "{id}"}, inputs="ipAddressType"),
            create=False,
        ),
    ),
    delete=(Call("DeleteLoadBalancer", {"LoadBalancerArn": "{id}"}, inputs=""),),
    examine_delete=_protected,
    outputs={
        "arn": "LoadBalancerArn",
        "dnsName": "DNSName",
        "vpcId": "VpcId",
        "zoneId": "CanonicalHostedZoneId",
    },
    lookups={"arnSuffix": _suffix(":loadbalancer/")},
    computed="internal ipAddressType securityGroups subnets",
    reads={
        "internal": "Scheme == 'internal'",
        "subnets": "AvailabilityZones[].SubnetId",
        "loadBalancerType": "Type",
        "subnetMappings": "",
    },
    replace="name namePrefix internal loadBalancerType customerOwnedIpv4Pool subnetMappings",
    tags=TAGS,
)

HEALTH_CHECK = {
    "HealthCheckEnabled": "{healthCheck.enabled}",
    "HealthCheckIntervalSeconds": "{healthCheck.interval}",
    "HealthCheckPath": "{healthCheck.path}",
    "HealthCheckPort": "{healthCheck.port}",
    "HealthCheckProtocol": "{healthCheck.protocol}",
    "HealthCheckTimeoutSeconds": "{healthCheck.timeout}",
    "HealthyThresholdCount": "{healthCheck.healthyThreshold}",
    "UnhealthyThresholdCount": "{healthCheck.unhealthyThreshold}",
    "Matcher": {"HttpCode": "{healthCheck.matcher}"},
}
HEALTH_CHECK_READ = {
    "enabled": "HealthCheckEnabled",
    "interval": "HealthCheckIntervalSeconds",
    "path": "HealthCheckPath",
    "port": "HealthCheckPort",
    "protocol": "HealthCheckProtocol",
    "timeout": "HealthCheckTimeoutSeconds",
    "healthyThreshold": "HealthyThresholdCount",
    "unhealthyThreshold": "UnhealthyThresholdCount",
    "matcher": "Matcher.HttpCode",
}


def _health_check(context: Context) -> dict[str, Any]:
    return {name: context.search(path, context.thing) for name, path in HEALTH_CHECK_READ.items()}


def _set_group_attributes(context: Context) -> None:
    attributes = _given(context, GROUP_ATTRIBUTES)
    stickiness = context.inputs.get("stickiness")
    if stickiness and (context.creating or "stickiness" in context.changed):
        kind = stickiness["type"]
        attributes |= {
            "stickiness.enabled": stickiness.get("enabled", True),
            "stickiness.type": kind,
        }
        if kind in ("lb_cookie", "app_cookie"):
            attributes[f"stickiness.{kind}.duration_seconds"] = int(stickiness.get("cookieDuration") or 86400)
        if kind == "app_cookie":
            attributes["stickiness.app_cookie.cookie_name"] = stickiness.get("cookieName")
    elif "stickiness" in context.changed:
        attributes["stickiness.enabled"] = False
    if pairs := _pairs(attributes):
        context.call("ModifyTargetGroupAttributes", TargetGroupArn=context.id, Attributes=pairs)


TARGET_GROUP = Row(
    type="aws:lb/targetGroup:TargetGroup",
    service="elbv2",
    inputs="name port protocol protocolVersion targetType vpcId ipAddressType healthCheck stickiness "
    f"{' '.join(GROUP_ATTRIBUTES)}",
    local="namePrefix",
    defaults={
        "deregistrationDelay": 300,
        "lambdaMultiValueHeadersEnabled": False,
        "proxyProtocolV2": False,
        "slowStart": 0,
        "targetType": "instance",
    },
    name=Name(longest=32),
    create=lambda context: context.run(
        Call(
            "CreateTargetGroup",
            HEALTH_CHECK,
            "TargetGroups[0]",
            inputs="name port protocol protocolVersion targetType vpcId ipAddressType",
        )
    ),
    id="TargetGroupArn",
    read=Call("DescribeTargetGroups", {"TargetGroupArns": ["{id}"]}, "TargetGroups[0]", inputs=""),
    steps=(
        Step(
            "healthCheck",
            Call("ModifyTargetGroup", {"TargetGroupArn": "{id}", **HEALTH_CHECK}, inputs=""),
            create=False,
        ),
        Step(f"stickiness {' '.join(GROUP_ATTRIBUTES)}", _set_group_attributes),
    ),
    delete=(Call("DeleteTargetGroup", {"TargetGroupArn": "{id}"}, inputs=""),),
    outputs={"arn": "TargetGroupArn", "loadBalancerArns": "LoadBalancerArns || `[]`"},
    lookups={"arnSuffix": lambda context: "targetgroup/" + _suffix(":targetgroup/")(context)},
    computed="ipAddressType healthCheck stickiness protocolVersion loadBalancingAlgorithmType "
    "loadBalancingAnomalyMitigation loadBalancingCrossZoneEnabled preserveClientIp connectionTermination",
    reads={"healthCheck": _health_check, "stickiness": "", "protocolVersion": "ProtocolVersion"},
    replace="name namePrefix port protocol protocolVersion targetType vpcId ipAddressType",
    tags=TAGS,
)

ACTION_NAMES = {
    "redirect": "RedirectConfig",
    "fixedResponse": "FixedResponseConfig",
    "forward": "ForwardConfig",
    "targetGroups.arn": "TargetGroupArn",
    "forward.stickiness": "TargetGroupStickinessConfig",
    "stickiness.duration": "DurationSeconds",
    "authenticateOidc": "AuthenticateOidcConfig",
    "authenticateCognito": "AuthenticateCognitoConfig",
}
"""Where the actions of listeners and rules are named differently."""

LISTENER_ARGUMENTS: dict[str, Any] = {"Certificates": [{"CertificateArn": "{certificateArn}"}]}

LISTENER = Row(
    type="aws:lb/listener:Listener",
    service="elbv2",
    inputs="loadBalancerArn port protocol sslPolicy certificateArn defaultActions alpnPolicy "
    "mutualAuthentication",
    rename=ACTION_NAMES,
    create=Call("CreateListener", LISTENER_ARGUMENTS, "Listeners[0]"),
    id="ListenerArn",
    read=Call("DescribeListeners", {"ListenerArns": ["{id}"]}, "Listeners[0]", inputs=""),
    update=Call("ModifyListener", {"ListenerArn": "{id}", **LISTENER_ARGUMENTS}),
    unset={"mutualAuthentication": {"mode": "off"}},
    delete=(Call("DeleteListener", {"ListenerArn": "{id}"}, inputs=""),),
    outputs={"arn": "ListenerArn"},
    computed="protocol sslPolicy",
    reads={
        "certificateArn": "Certificates[0].CertificateArn",
        "defaultActions": lambda context: _actions(context, "DefaultActions"),
    },
    replace="loadBalancerArn",
    slot="loadBalancerArn port",
    tags=TAGS,
)


def _actions(context: Context, key: str) -> list[Any]:
    """Actions as the program wrote them: a forward to one group comes back in two forms."""
    actions = []
    for action in context.search(key, context.thing) or []:
        groups = (action.get("ForwardConfig") or {}).get("TargetGroups") or []
        if len(groups) == 1 and "TargetGroupArn" not in action:
            action = {**action, "TargetGroupArn": groups[0]["TargetGroupArn"]}
        actions.append(action)
    return actions


CONDITIONS = {
    "hostHeader": ("host-header", "HostHeaderConfig"),
    "httpHeader": ("http-header", "HttpHeaderConfig"),
    "httpRequestMethod": ("http-request-method", "HttpRequestMethodConfig"),
    "pathPattern": ("path-pattern", "PathPatternConfig"),
    "queryStrings": ("query-string", "QueryStringConfig"),
    "sourceIp": ("source-ip", "SourceIpConfig"),
}


def _conditions(context: Context) -> list[dict[str, Any]]:
    made = []
    for entry in context.inputs.get("conditions") or []:
        for name, value in entry.items():
            if value is None:
                continue
            field, key = CONDITIONS[name]
            config = dict(value) if isinstance(value, Mapping) else {"values": value}
            parts = {part[:1].upper() + part[1:]: item for part, item in config.items() if item}
            made.append({"Field": field, key: parts})
    return made


def _conditions_told(context: Context) -> list[dict[str, Any]]:
    names = {field: (name, key) for name, (field, key) in CONDITIONS.items()}
    told = []
    for condition in context.search("Conditions", context.thing) or []:
        name, key = names[condition["Field"]]
        config = condition.get(key) or {"Values": condition.get("Values", [])}
        told.append({name: {part[:1].lower() + part[1:]: item for part, item in config.items()}})
    return told


def _create_rule(context: Context) -> Any:
    priority = context.inputs.get("priority")
    if priority is None:
        rules = context.call("DescribeRules", ListenerArn=context.inputs["listenerArn"])["Rules"]
        priority = 1 + max([int(rule["Priority"]) for rule in rules if rule["Priority"].isdigit()], default=0)
    arguments = {"Conditions": _conditions(context), "Priority": int(priority)}
    return context.run(Call("CreateRule", arguments, "Rules[0]", inputs="listenerArn actions"))


def _update_rule(context: Context) -> None:
    context.run(Call("ModifyRule", {"RuleArn": "{id}", "Conditions": _conditions(context)}, inputs="actions"))


LISTENER_RULE = Row(
    type="aws:lb/listenerRule:ListenerRule",
    service="elbv2",
    inputs="listenerArn priority actions conditions",
    rename=ACTION_NAMES,
    create=_create_rule,
    id="RuleArn",
    read=Call("DescribeRules", {"RuleArns": ["{id}"]}, "Rules[0]", inputs=""),
    update=_update_rule,
    steps=(
        Step(
            "priority",
            Call(
                "SetRulePriorities",
                {"RulePriorities": [{"RuleArn": "{id}", "Priority": "{priority}"}]},
                inputs="",
            ),
            create=False,
        ),
    ),
    delete=(Call("DeleteRule", {"RuleArn": "{id}"}, inputs=""),),
    outputs={"arn": "RuleArn"},
    computed="priority",
    reads={
        "listenerArn": "",
        "actions": lambda context: _actions(context, "Actions"),
        "conditions": _conditions_told,
    },
    replace="listenerArn",
    slot="listenerArn priority",
    tags=TAGS,
)

CERTIFICATE = [{"CertificateArn": "{certificateArn}"}]

LISTENER_CERTIFICATE = Row(
    type="aws:lb/listenerCertificate:ListenerCertificate",
    service="elbv2",
    inputs="listenerArn certificateArn",
    create=Call("AddListenerCertificates", {"Certificates": CERTIFICATE}, inputs="listenerArn"),
    id="{listenerArn}_{certificateArn}",
    read=Call(
        "DescribeListenerCertificates",
        {"ListenerArn": "{listenerArn}"},
        "Certificates[?CertificateArn=='{certificateArn}'] | [0]",
        inputs="",
    ),
    delete=(
        Call(
            "RemoveListenerCertificates",
            {"ListenerArn": "{listenerArn}", "Certificates": CERTIFICATE},
            inputs="",
        ),
    ),
    replace="listenerArn certificateArn",
    slot="listenerArn certificateArn",
)

BUNDLE = "caCertificatesBundleS3Bucket caCertificatesBundleS3Key caCertificatesBundleS3ObjectVersion"

TRUST_STORE = Row(
    type="aws:lb/trustStore:TrustStore",
    service="elbv2",
    inputs=f"name {BUNDLE}",
    local="namePrefix",
    name=Name(longest=32),
    create=Call("CreateTrustStore", result="TrustStores[0]"),
    id="TrustStoreArn",
    read=Call("DescribeTrustStores", {"TrustStoreArns": ["{id}"]}, "TrustStores[0]", inputs=""),
    update=Call("ModifyTrustStore", {"TrustStoreArn": "{id}"}, inputs=BUNDLE),
    delete=(Call("DeleteTrustStore", {"TrustStoreArn": "{id}"}, inputs=""),),
    outputs={"arn": "TrustStoreArn"},
    lookups={"arnSuffix": _suffix(":")},
    replace="name namePrefix",
    tags=TAGS,
)

TRUST_STORE_REVOCATION = Row(
    type="aws:lb/trustStoreRevocation:TrustStoreRevocation",
    service="elbv2",
    inputs="trustStoreArn revocationsS3Bucket revocationsS3Key revocationsS3ObjectVersion",
    create=Call(
        "AddTrustStoreRevocations",
        {
            "TrustStoreArn": "{trustStoreArn}",
            "RevocationContents": [
                {
                    "S3Bucket": "{revocationsS3Bucket}",
                    "S3Key": "{revocationsS3Key}",
                    "S3ObjectVersion": "{revocationsS3ObjectVersion}",
                    "RevocationType": "CRL",
                }
            ],
        },
        "TrustStoreRevocations[0]",
        inputs="",
    ),
    id="{trustStoreArn},{@.RevocationId}",
    read=lambda context: _find_revocation(context),
    delete=(lambda context: _remove_revocation(context),),
    outputs={"revocationId": "RevocationId"},
    reads={"trustStoreArn": ""},
    replace="trustStoreArn revocationsS3Bucket revocationsS3Key revocationsS3ObjectVersion",
)


def _find_revocation(context: Context) -> Any:
    store, _, number = context.id.rpartition(",")
    answer = context.call("DescribeTrustStoreRevocations", TrustStoreArn=store, RevocationIds=[int(number)])
    return next(iter(answer["TrustStoreRevocations"]), None)


def _remove_revocation(context: Context) -> None:
    store, _, number = context.id.rpartition(",")
    context.call("RemoveTrustStoreRevocations", TrustStoreArn=store, RevocationIds=[int(number)])


ROWS = (
    LOAD_BALANCER,
    TARGET_GROUP,
    LISTENER,
    LISTENER_RULE,
    LISTENER_CERTIFICATE,
    TRUST_STORE,
    TRUST_STORE_REVOCATION,
)
