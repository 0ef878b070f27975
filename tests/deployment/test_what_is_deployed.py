"""What each part of the deployment consists of, stack by stack, as the description of the product says it.

The components' own tests try each of their arguments; here stands that the settings of the four stacks
reach them, and that nothing else is made.
"""

from __future__ import annotations

import json
from collections import Counter
from typing import Any

import pytest

from core import names
from tests.components.conftest import Graph
from tests.deployment.conftest import GraphOf
from tests.deployment.looking import (
    ALARM,
    BALANCER,
    GRANT,
    GROUP,
    INGRESS,
    INSTANCE,
    LISTENER,
    LOCK,
    RECORD,
    SNAPSHOT,
    TEMPLATE,
    VAULT,
    by_name,
    component,
)
from tests.deployment.looking import names as names_of
from tests.deployment.program import STACKS, stack_settings

CERTIFICATES = {"dev": 0, "training": 0, "prod": 2, "local": 2}
ZONES = {"dev": 2, "training": 2, "prod": 3, "local": 2}
GATEWAYS = {"dev": 1, "training": 1, "prod": 3, "local": 1}
CHECKPOINTS = {"dev": [], "training": ["course-start"], "prod": ["opening"], "local": ["baseline"]}


def network(stack: str) -> dict[str, int]:
    zones, gateways = ZONES[stack], GATEWAYS[stack]
    interfaces = 5 if stack in ("prod", "local") else 0
    return {
        "aws:ec2/vpc:Vpc": 1,
        "aws:ec2/defaultSecurityGroup:DefaultSecurityGroup": 1,
        "aws:ec2/subnet:Subnet": 3 * zones,
        "aws:ec2/internetGateway:InternetGateway": 1,
        "aws:ec2/eip:Eip": gateways,
        "aws:ec2/natGateway:NatGateway": gateways,
        "aws:ec2/routeTable:RouteTable": zones + 2,
        "aws:ec2/route:Route": zones + 1,
        "aws:ec2/routeTableAssociation:RouteTableAssociation": 3 * zones,
        "aws:ec2/vpcEndpoint:VpcEndpoint": 1 + interfaces,
        "aws:ec2/securityGroup:SecurityGroup": 1 if interfaces else 0,
        INGRESS: 1 if interfaces else 0,
        "aws:cloudwatch/logGroup:LogGroup": 1,
        "aws:iam/role:Role": 1,
        "aws:iam/rolePolicy:RolePolicy": 1,
        "aws:ec2/flowLog:FlowLog": 1,
    }


DATABASE_SERVER = {
    "aws:kms/key:Key": 1,
    "aws:kms/alias:Alias": 1,
    "aws:ec2/securityGroup:SecurityGroup": 1,
    "aws:rds/subnetGroup:SubnetGroup": 1,
    "aws:rds/parameterGroup:ParameterGroup": 1,
    INSTANCE: 1,
}
DATABASES = {
    "tls:index/privateKey:PrivateKey": 1,
    "pulumi:providers:postgresql": 1,
    "aws:secretsmanager/secret:Secret": 3,
    "aws:secretsmanager/secretVersion:SecretVersion": 3,
    "postgresql:index/role:Role": 2,
    "postgresql:index/grantRole:GrantRole": 1,
    "postgresql:index/database:Database": 2,
    GRANT: 10,
    "postgresql:index/defaultPrivileges:DefaultPrivileges": 2,
}
EGRESS = "aws:vpc/securityGroupEgressRule:SecurityGroupEgressRule"
SERVERS = {
    "aws:cloudwatch/logGroup:LogGroup": 1,
    "aws:lb/targetGroup:TargetGroup": 1,
    "aws:ec2/securityGroup:SecurityGroup": 1,
    EGRESS: 7,
    INGRESS: 2,
    "aws:iam/role:Role": 1,
    "aws:iam/rolePolicy:RolePolicy": 1,
    "aws:iam/rolePolicyAttachment:RolePolicyAttachment": 1,
    "aws:iam/instanceProfile:InstanceProfile": 1,
    TEMPLATE: 1,
    GROUP: 1,
    "aws:autoscaling/policy:Policy": 1,
}


def servers(stack: str) -> dict[str, int]:
    # The three mail ports are closed in training.
    return SERVERS | ({EGRESS: 4} if stack == "training" else {})


def file_store(stack: str) -> dict[str, int]:
    return {
        "aws:kms/key:Key": 1,
        "aws:kms/alias:Alias": 1,
        "aws:efs/fileSystem:FileSystem": 1,
        "aws:ec2/securityGroup:SecurityGroup": 1,
        "aws:efs/mountTarget:MountTarget": ZONES[stack],
        "aws:efs/accessPoint:AccessPoint": 1,
        "aws:efs/backupPolicy:BackupPolicy": 1,
        "aws:efs/fileSystemPolicy:FileSystemPolicy": 1,
    }


def load_balancer(stack: str) -> dict[str, int]:
    listeners = 3 if CERTIFICATES[stack] else 2
    return {
        "aws:ec2/securityGroup:SecurityGroup": 1,
        INGRESS: listeners + 2,
        "aws:vpc/securityGroupEgressRule:SecurityGroupEgressRule": 2,
        component("PrivateBucket"): 1,
        BALANCER: 1,
        LISTENER: listeners,
        "aws:lb/listenerRule:ListenerRule": 1,
        component("WebAcl"): 1 if stack == "prod" else 0,
        RECORD: 0 if stack == "local" else 1,
    }


def certificate(stack: str) -> dict[str, int]:
    if stack == "local":
        return {
            component("Authority"): 1,
            "tls:index/privateKey:PrivateKey": 1,
            "tls:index/certRequest:CertRequest": 1,
            "tls:index/locallySignedCert:LocallySignedCert": 1,
            "aws:acm/certificate:Certificate": 1,
        }
    return {
        "aws:acm/certificate:Certificate": 1,
        RECORD: 1,
        "aws:acm/certificateValidation:CertificateValidation": 1,
    }


def client_certificates(stack: str) -> dict[str, int]:
    issued = CERTIFICATES[stack]
    if not issued:
        return {}
    return {
        component("Authority"): 1,
        component("PrivateBucket"): 1,
        "tls:index/privateKey:PrivateKey": issued,
        "tls:index/certRequest:CertRequest": issued,
        "tls:index/locallySignedCert:LocallySignedCert": issued,
        "aws:s3/bucketObjectv2:BucketObjectv2": 1,
        "aws:lb/trustStore:TrustStore": 1,
    }


def backup(stack: str) -> dict[str, int]:
    vaults = 2 if stack == "prod" else 1
    return {
        "aws:kms/key:Key": vaults,
        VAULT: vaults,
        LOCK: vaults if stack == "prod" else 0,
        "aws:backup/plan:Plan": 1,
        "aws:backup/selection:Selection": 1,
        "aws:iam/role:Role": 1,
        "aws:iam/rolePolicyAttachment:RolePolicyAttachment": 2,
        "aws:backup/restoreTestingPlan:RestoreTestingPlan": 1 if stack == "prod" else 0,
        "aws:backup/restoreTestingSelection:RestoreTestingSelection": 2 if stack == "prod" else 0,
        SNAPSHOT: len(CHECKPOINTS[stack]),
        "tls:index/privateKey:PrivateKey": len(CHECKPOINTS[stack]),  # tells its name
    }


def monitoring(stack: str) -> dict[str, int]:
    told = stack in ("prod", "local")
    events = 3 if stack == "prod" else 2
    return {
        "aws:sns/topic:Topic": 1,
        "aws:sns/topicPolicy:TopicPolicy": 1,
        "aws:sns/topicSubscription:TopicSubscription": 1 if told else 0,
        # Two of the database, one of the load balancer, three of each group, one of the certificate; and
        # one for each of database and groups that has CPU credits to use up.
        # Production has one more, of its drills.
        ALARM: 10 + BURSTABLE[stack] + (1 if stack == "prod" else 0),
        "aws:cloudwatch/eventRule:EventRule": events,
        "aws:cloudwatch/eventTarget:EventTarget": events,
        "aws:cloudwatch/dashboard:Dashboard": 1,
        "aws:budgets/budget:Budget": 1 if told else 0,
    }


BURSTABLE = {"dev": 3, "training": 3, "prod": 0, "local": 3}


def expected_children(stack: str) -> dict[str, dict[str, int]]:
    return {
        "network": network(stack),
        "database": DATABASE_SERVER,
        "databases": DATABASES,
        "file-store": file_store(stack),
        "app": servers(stack),
        "web-client": servers(stack),
        "load-balancer": load_balancer(stack),
        "certificate": certificate(stack),
        "client-certificates": client_certificates(stack),
        "backup": backup(stack),
        "monitoring": monitoring(stack),
    }


def test_each_part_has_exactly_these_children(graph: Graph, stack: str) -> None:
    for part, expected in expected_children(stack).items():
        found = Counter(type_ for type_, _ in graph.children(part))
        assert dict(found) == {type_: count for type_, count in expected.items() if count}, part


def test_the_shared_parts_have_exactly_these_children(graph: Graph) -> None:
    for bucket in graph.of(component("PrivateBucket")):
        own = {
            "aws:s3/bucket:Bucket",
            "aws:s3/bucketPublicAccessBlock:BucketPublicAccessBlock",
            "aws:s3/bucketServerSideEncryptionConfiguration:BucketServerSideEncryptionConfiguration",
            "aws:s3/bucketPolicy:BucketPolicy",
        }
        if "logs" not in bucket.name:
            own.add("aws:s3/bucketVersioning:BucketVersioning")
        if "trust" not in bucket.name:
            own.add("aws:s3/bucketLifecycleConfiguration:BucketLifecycleConfiguration")
        found = {type_ for type_, _ in graph.children(bucket.name)}
        assert found - {component("PrivateBucket")} == own
    for authority in graph.of(component("Authority")):
        assert graph.children(authority.name) == {
            ("tls:index/privateKey:PrivateKey", f"{authority.name}-key"),
            ("tls:index/selfSignedCert:SelfSignedCert", f"{authority.name}-certificate"),
        }


def test_subnets_of_three_kinds_lie_in_every_zone_and_inside_the_network(graph: Graph, stack: str) -> None:
    subnets = by_name(graph, "aws:ec2/subnet:Subnet")
    zones = {f"eu-central-1{letter}" for letter in "abc"[: ZONES[stack]]}
    kinds = ("public", "server", "data")
    assert set(subnets) == {f"network-{kind}-{zone}" for kind in kinds for zone in zones}
    assert len({s["cidrBlock"] for s in subnets.values()}) == len(subnets)


def test_a_gateway_serves_the_zones_that_the_settings_say(graph: Graph, stack: str) -> None:
    routes = by_name(graph, "aws:ec2/route:Route")
    used = {name: r["natGatewayId"] for name, r in routes.items() if "natGatewayId" in r}
    zones = [f"eu-central-1{letter}" for letter in "abc"[: ZONES[stack]]]
    of = {zone: zone if GATEWAYS[stack] > 1 else zones[0] for zone in zones}
    assert used == {f"network-server-{zone}-out": f"network-nat-{of[zone]}-id" for zone in zones}
    tables = {r.inputs["routeTableId"] for r in graph.of("aws:ec2/route:Route")}
    assert "network-data-id" not in tables


def test_private_endpoints_are_there_where_the_settings_say(graph: Graph, stack: str) -> None:
    found = {
        (e.inputs["vpcEndpointType"], e.inputs["serviceName"].removeprefix("com.amazonaws.eu-central-1."))
        for e in graph.of("aws:ec2/vpcEndpoint:VpcEndpoint")
    }
    private = ("ssm", "ssmmessages", "ec2messages", "secretsmanager", "logs")
    wanted = {("Interface", service) for service in private} if stack in ("prod", "local") else set()
    assert found == {("Gateway", "s3")} | wanted


def test_the_database_server_is_what_the_settings_say(graph: Graph, stack: str) -> None:
    own = stack_settings(stack)[0]["database"]
    instance = graph.one(INSTANCE).inputs
    production = stack == "prod"
    assert instance["engine"] == "postgres"
    assert instance["engineVersion"] == "16"
    assert instance["multiAz"] is production
    assert instance["deletionProtection"] is production
    assert instance["backupRetentionPeriod"] == own["retentionDays"]
    assert instance["applyImmediately"] is not production
    assert instance["deleteAutomatedBackups"] is not production
    assert instance["storageType"] == "gp3"
    assert instance["allocatedStorage"] >= max(20, own["dataSizeGb"])
    assert instance["maxAllocatedStorage"] > instance["allocatedStorage"]
    assert instance["manageMasterUserPassword"] is True
    assert "password" not in instance
    assert instance["enabledCloudwatchLogsExports"] == ["postgresql", "upgrade"]
    assert instance["performanceInsightsEnabled"] is True
    assert instance["skipFinalSnapshot"] is False
    assert instance["finalSnapshotIdentifier"].startswith(f"openerp-{stack}-final-")
    assert "snapshotIdentifier" not in instance
    parameters = graph.one("aws:rds/parameterGroup:ParameterGroup").inputs
    assert parameters["family"] == "postgres16"
    values = {p["name"]: p["value"] for p in parameters["parameters"]}
    assert values["rds.force_ssl"] == "1"
    assert int(values["log_min_duration_statement"]) > 0
    assert {"max_connections", "shared_buffers", "work_mem"} <= set(values)


def test_the_public_is_shut_out_of_every_database(graph: Graph) -> None:
    for database in ("openerp", "openerp_test"):
        shut = {
            g.inputs["objectType"]
            for g in graph.of(GRANT)
            if (g.inputs["database"], g.inputs["role"], g.inputs["privileges"]) == (database, "public", [])
        }
        assert shut == {"database", "schema"}
    reading = {
        (g.inputs["objectType"], *g.inputs["privileges"])
        for g in graph.of(GRANT)
        if g.inputs["role"] == names.REPORTING_ROLE
    }
    assert reading == {("database", "CONNECT"), ("schema", "USAGE"), ("table", "SELECT")}


def test_the_file_store_is_mounted_as_odoo_in_every_zone(graph: Graph, stack: str) -> None:
    files = graph.one("aws:efs/fileSystem:FileSystem").inputs
    assert files["throughputMode"] == "elastic"
    point = graph.one("aws:efs/accessPoint:AccessPoint").inputs
    assert point["posixUser"] == {"uid": names.ODOO_UID, "gid": names.ODOO_GID}
    targets = {t.inputs["subnetId"] for t in graph.of("aws:efs/mountTarget:MountTarget")}
    assert len(targets) == ZONES[stack]
    backups = graph.one("aws:efs/backupPolicy:BackupPolicy").inputs
    assert backups["backupPolicy"] == {"status": "ENABLED"}


@pytest.mark.parametrize(("part", "role"), [("app", "app"), ("web-client", "web-client")])
def test_a_group_of_servers_refreshes_by_turns_scales_and_reads_its_own_secrets_only(
    graph: Graph, stack: str, part: str, role: str
) -> None:
    group = graph.one(GROUP, f"{part}-servers").inputs
    assert group["instanceRefresh"]["strategy"] == "Rolling"
    assert group["launchTemplate"] == {"id": f"{part}-servers-id", "version": "3"}
    assert len(group["vpcZoneIdentifiers"]) == ZONES[stack]
    assert group["minSize"] == (2 if stack == "prod" else 1)
    assert group["maxSize"] >= group["minSize"]
    assert "desiredCapacity" not in group
    policy = graph.one("aws:autoscaling/policy:Policy", f"{part}-cpu").inputs
    assert policy["policyType"] == "TargetTrackingScaling"
    target = graph.one("aws:lb/targetGroup:TargetGroup", f"{part}-http").inputs
    assert target["healthCheck"]["path"] == names.HEALTH_PATH
    document = json.loads(graph.one("aws:iam/rolePolicy:RolePolicy", f"{part}-servers").inputs["policy"])
    allowed = {s["Sid"]: (set(s["Action"]), s["Resource"]) for s in document["Statement"]}
    assert set(allowed) == {
        "ReadOwnSecrets",
        "OpenOwnSecrets",
        "WriteOwnLogs",
        "MountThroughTheAccessPoint",
        "FetchModules",
    }
    assert allowed["FetchModules"][1][0].endswith(":operations-store-bucket/modules/*")
    stored = graph.stack_outputs
    assert allowed["ReadOwnSecrets"][1] == [
        stored["application_secret_arns"]["openerp"],
        stored["administrator_secret_arn"],
    ]
    for actions, resources in allowed.values():
        assert "*" not in resources
        assert not any("*" in action for action in actions)


def test_the_load_balancer_redirects_and_routes_rpc_to_the_app_servers(graph: Graph, stack: str) -> None:
    balancer = graph.one(BALANCER).inputs
    assert balancer["internal"] is False
    assert balancer["dropInvalidHeaderFields"] is True
    assert balancer["accessLogs"]["enabled"] is True
    assert balancer["enableDeletionProtection"] is (stack == "prod")
    listeners = by_name(graph, LISTENER)
    (redirect,) = listeners["load-balancer-http"]["defaultActions"]
    assert redirect["redirect"] == {"protocol": "HTTPS", "port": "443", "statusCode": "HTTP_301"}
    app, web = "targetgroup/app-http/", "targetgroup/web-client-http/"
    https = listeners["load-balancer-https"]
    assert https["sslPolicy"].startswith("ELBSecurityPolicy-TLS13-1-2-")
    assert web in https["defaultActions"][0]["targetGroupArn"]
    rule = graph.one("aws:lb/listenerRule:ListenerRule").inputs
    assert rule["conditions"] == [{"pathPattern": {"values": list(names.RPC_PATHS)}}]
    assert app in rule["actions"][0]["targetGroupArn"]
    if CERTIFICATES[stack]:
        mutual = listeners["load-balancer-client-certificate"]
        assert mutual["port"] == names.CLIENT_CERTIFICATE_PORT
        assert mutual["mutualAuthentication"]["mode"] == "verify"
        assert mutual["mutualAuthentication"]["trustStoreArn"].endswith("client-certificates-store")
        assert app in mutual["defaultActions"][0]["targetGroupArn"]


def test_access_logs_are_kept_as_long_as_the_settings_say(graph: Graph, stack: str) -> None:
    days = stack_settings(stack)[0]["access"].get("accessLogRetentionDays", 90)
    lifecycle = "aws:s3/bucketLifecycleConfiguration:BucketLifecycleConfiguration"
    (rule,) = graph.one(lifecycle, "load-balancer-access-logs-lifecycle").inputs["rules"]
    assert rule["expiration"] == {"days": days}


def test_the_firewall_limits_the_login_page_and_has_the_managed_rules(graph_of: GraphOf) -> None:
    graph = graph_of("prod")
    rules = {r["name"]: r for r in graph.one("aws:wafv2/webAcl:WebAcl").inputs["rules"]}
    limit = rules.pop("login-limit")["statement"]["rateBasedStatement"]
    assert limit["limit"] == 100
    assert limit["scopeDownStatement"]["byteMatchStatement"]["searchString"] == names.LOGIN_PATHS[0]
    assert all(name.startswith("AWSManagedRules") for name in rules)
    assert len(rules) == 4
    association = graph.one("aws:wafv2/webAclAssociation:WebAclAssociation").inputs
    assert ":loadbalancer/app/load-balancer-alb/" in association["resourceArn"]


def test_a_public_domain_has_an_alias_record_and_a_validated_certificate(graph: Graph, stack: str) -> None:
    domain = stack_settings(stack)[0]["access"]["domain"]
    aliases = [r.inputs for r in graph.of(RECORD) if r.inputs["type"] == "A"]
    validations = [r.inputs for r in graph.of(RECORD) if r.inputs["type"] == "CNAME"]
    listener = graph.one(LISTENER, "load-balancer-https")
    made = graph.one("aws:acm/certificate:Certificate").inputs
    if stack == "local":
        assert aliases == validations == []
        assert "privateKey" in made
        return
    assert [a["name"] for a in aliases] == [domain]
    assert aliases[0]["aliases"][0]["name"] == graph.stack_outputs["load_balancer_dns_name"]
    assert [v["name"] for v in validations] == [f"_validation.{domain}."]
    assert made == {"domainName": domain, "validationMethod": "DNS"}
    validated = graph.one("aws:acm/certificateValidation:CertificateValidation")
    assert listener.inputs["certificateArn"] == validated.inputs["certificateArn"]


def test_the_numbered_certificates_are_outputs_with_their_keys(graph: Graph, stack: str) -> None:
    issued = graph.stack_outputs["client_certificates"]
    own = {str(c["number"]): c["name"] for c in stack_settings(stack)[0].get("clientCertificates", [])}
    assert {number: c["name"] for number, c in issued.items()} == own
    for certificate in issued.values():
        assert set(certificate) == {"name", "certificate_pem", "private_key_pem", "serial"}
    assert graph.stack_outputs["issued_client_certificates"] == {
        certificate["serial"]: f"{number} {certificate['name']}" for number, certificate in issued.items()
    }


def test_the_backup_plan_has_the_rules_of_the_settings_and_covers_database_and_files(
    graph: Graph, stack: str
) -> None:
    own: dict[str, Any] = stack_settings(stack)[0]["backup"]
    rules = graph.one("aws:backup/plan:Plan").inputs["rules"]
    wanted = {
        key: (own[key]["schedule"], own[key]["retentionDays"])
        for key in ("daily", "weekly", "monthly")
        if key in own
    }
    assert {r["ruleName"]: (r["schedule"], r["lifecycle"]["deleteAfter"]) for r in rules} == wanted
    assert all(("copyActions" in rule) is (stack == "prod") for rule in rules)
    selected = graph.one("aws:backup/selection:Selection").inputs["resources"]
    assert [arn.rpartition(":")[2] for arn in selected] == ["database-instance", "file-store-files"]


def test_each_checkpoint_is_a_labelled_snapshot_that_outlives_the_stack(graph: Graph, stack: str) -> None:
    labels = CHECKPOINTS[stack]
    assert names_of(graph, SNAPSHOT) == {f"backup-checkpoint-{label}" for label in labels}
    for snapshot in graph.of(SNAPSHOT):
        assert snapshot.retain_on_delete
        assert not snapshot.protect
    identifiers = graph.stack_outputs["checkpoint_snapshots"]
    assert set(identifiers) == set(labels)
    assert all(identifiers[label].startswith(f"openerp-{stack}-{label}-") for label in labels)


def test_alarms_tell_the_topic_what_an_operator_must_act_on(graph: Graph, stack: str) -> None:
    expected = {
        "database-free-storage",
        "database-connections",
        "load-balancer-5xx",
        "app-unhealthy",
        "app-none-healthy",
        "app-5xx",
        "web-client-unhealthy",
        "web-client-none-healthy",
        "web-client-5xx",
        "certificate-server-expires",
    }
    if BURSTABLE[stack]:
        expected |= {"database-cpu-credits", "app-cpu-credits", "web-client-cpu-credits"}
    if stack == "prod":
        expected.add("drill-too-old")
    assert names_of(graph, ALARM) == {f"monitoring-{alarm}" for alarm in expected}
    topic = graph.stack_outputs["alarm_topic_arn"]
    assert all(a.inputs["alarmActions"] == [topic] for a in graph.of(ALARM))
    targets = graph.of("aws:cloudwatch/eventTarget:EventTarget")
    assert {t.inputs["arn"] for t in targets} == {topic}
    failed = {"monitoring-backup-failed", "monitoring-restore-failed"}
    failed |= {"monitoring-copy-failed"} if stack == "prod" else set()
    assert names_of(graph, "aws:cloudwatch/eventRule:EventRule") == failed


def test_the_address_of_the_settings_is_told_and_the_budget_is_theirs(graph_of: GraphOf) -> None:
    for stack, budget in (("prod", "1500"), ("local", "500")):
        graph = graph_of(stack)
        subscription = graph.one("aws:sns/topicSubscription:TopicSubscription").inputs
        assert (subscription["protocol"], subscription["endpoint"]) == ("email", "operations@example.com")
        assert graph.one("aws:budgets/budget:Budget").inputs["limitAmount"] == budget


def test_the_table_covers_every_stack() -> None:
    for table in (CERTIFICATES, ZONES, GATEWAYS, CHECKPOINTS, BURSTABLE):
        assert set(table) == set(STACKS)
