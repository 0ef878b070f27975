"""For each resource type: inputs as a program gives them, and changes to them."""

from __future__ import annotations

import datetime
import json
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from tests.local.plugins.aws.harness import Engine, Resource

ASSUME = json.dumps(
    {
        "Version": "2012-10-17",
        "Statement": [
            {
                "Effect": "Allow",
                "Action": "sts:AssumeRole",
                "Principal": {"Service": ["ec2.amazonaws.com", "backup.amazonaws.com"]},
            }
        ],
    }
)


def allow(action: str, resource: str = "*") -> str:
    statement = {"Effect": "Allow", "Action": [action], "Resource": resource}
    return json.dumps({"Version": "2012-10-17", "Statement": [statement]})


def certificate(common_name: str) -> tuple[str, str]:
    """A self-signed certificate and its key, both PEM."""
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import rsa

    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, common_name)])
    now = datetime.datetime.now(datetime.UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now)
        .not_valid_after(now + datetime.timedelta(days=30))
        .sign(key, hashes.SHA256())
    )
    private = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.TraditionalOpenSSL,
        serialization.NoEncryption(),
    )
    return made.public_bytes(serialization.Encoding.PEM).decode(), private.decode()


def revocation_list() -> str:
    """An empty revocation list of a CA that nobody knows, PEM."""
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    now = datetime.datetime.now(datetime.UTC)
    made = (
        x509.CertificateRevocationListBuilder()
        .issuer_name(x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "Clients CA")]))
        .last_update(now)
        .next_update(now + datetime.timedelta(days=30))
        .sign(ec.generate_private_key(ec.SECP256R1()), hashes.SHA256())
    )
    return made.public_bytes(serialization.Encoding.PEM).decode()


@dataclass
class World:
    """What a sample can refer to, made with the provider itself when it is first needed."""

    engine: Engine
    count: int = 0
    made: list[Resource] = field(default_factory=list)

    def make(self, token: str, **inputs: Any) -> Resource:
        self.count += 1
        resource = self.engine.create(token, f"world-{self.count}", inputs)
        self.made.append(resource)
        return resource

    @cached_property
    def vpc(self) -> Resource:
        return self.make("aws:ec2/vpc:Vpc", cidrBlock="10.7.0.0/16")

    @cached_property
    def subnets(self) -> list[str]:
        return [
            self.make(
                "aws:ec2/subnet:Subnet",
                vpcId=self.vpc.id,
                cidrBlock=f"10.7.{index}.0/24",
                availabilityZone=f"eu-west-1{zone}",
            ).id
            for index, zone in enumerate("ab")
        ]

    @cached_property
    def gateway(self) -> str:
        return self.make("aws:ec2/internetGateway:InternetGateway", vpcId=self.vpc.id).id

    @cached_property
    def route_tables(self) -> list[str]:
        return [self.make("aws:ec2/routeTable:RouteTable", vpcId=self.vpc.id).id for _ in range(2)]

    @cached_property
    def groups(self) -> list[str]:
        return [self.make("aws:ec2/securityGroup:SecurityGroup", vpcId=self.vpc.id).id for _ in range(2)]

    @cached_property
    def role(self) -> Resource:
        return self.make("aws:iam/role:Role", assumeRolePolicy=ASSUME)

    @cached_property
    def key(self) -> Resource:
        return self.make("aws:kms/key:Key", description="of the tests")

    @cached_property
    def log_group(self) -> Resource:
        return self.make("aws:cloudwatch/logGroup:LogGroup")

    @cached_property
    def bucket(self) -> str:
        made = self.make("aws:s3/bucket:Bucket", forceDestroy=True)
        self.make(
            "aws:s3/bucketVersioning:BucketVersioning",
            bucket=made.id,
            versioningConfiguration={"status": "Enabled"},
        )
        return made.id

    @cached_property
    def topic(self) -> str:
        return self.make("aws:sns/topic:Topic").id

    @cached_property
    def secret(self) -> str:
        return self.make("aws:secretsmanager/secret:Secret", recoveryWindowInDays=0).id

    @cached_property
    def file_system(self) -> str:
        return self.make("aws:efs/fileSystem:FileSystem", encrypted=True).id

    @cached_property
    def subnet_group(self) -> str:
        return self.make("aws:rds/subnetGroup:SubnetGroup", subnetIds=self.subnets).id

    @cached_property
    def database(self) -> Resource:
        return self.make(
            "aws:rds/instance:Instance",
            engine="postgres",
            engineVersion="16",
            instanceClass="db.t4g.micro",
            allocatedStorage=20,
            username="openerp_admin",
            manageMasterUserPassword=True,
            dbSubnetGroupName=self.subnet_group,
            skipFinalSnapshot=True,
        )

    @cached_property
    def template(self) -> Resource:
        image = "ami-12c6146b"
        return self.make("aws:ec2/launchTemplate:LaunchTemplate", imageId=image, instanceType="t3.micro")

    @cached_property
    def scaling_group(self) -> str:
        return self.make(
            "aws:autoscaling/group:Group",
            minSize=0,
            maxSize=0,
            vpcZoneIdentifiers=self.subnets,
            launchTemplate={"id": self.template.id, "version": "1"},
        ).id

    @cached_property
    def balancer(self) -> str:
        return self.make(
            "aws:lb/loadBalancer:LoadBalancer", subnets=self.subnets, securityGroups=self.groups[:1]
        ).id

    @cached_property
    def target_groups(self) -> list[str]:
        return [
            self.make("aws:lb/targetGroup:TargetGroup", port=8069, protocol="HTTP", vpcId=self.vpc.id).id
            for _ in range(2)
        ]

    @cached_property
    def certificates(self) -> list[str]:
        arns = []
        for name in ("one.example.com", "two.example.com"):
            body, key = certificate(name)
            made = self.make("aws:acm/certificate:Certificate", certificateBody=body, privateKey=key)
            arns.append(made.id)
        return arns

    @cached_property
    def listener(self) -> str:
        return self.make(
            "aws:lb/listener:Listener",
            loadBalancerArn=self.balancer,
            port=8443,
            protocol="HTTPS",
            certificateArn=self.certificates[0],
            defaultActions=[{"type": "forward", "targetGroupArn": self.target_groups[0]}],
        ).id

    @cached_property
    def bundle(self) -> Resource:
        body, _ = certificate("Clients CA")
        return self.make(
            "aws:s3/bucketObjectv2:BucketObjectv2", bucket=self.bucket, key="ca.pem", content=body
        )

    @cached_property
    def revocations(self) -> str:
        return self.make(
            "aws:s3/bucketObjectv2:BucketObjectv2",
            bucket=self.bucket,
            key="ca.crl",
            content=revocation_list(),
        ).id

    @cached_property
    def trust_store(self) -> str:
        return self.make(
            "aws:lb/trustStore:TrustStore",
            caCertificatesBundleS3Bucket=self.bucket,
            caCertificatesBundleS3Key=self.bundle.id,
        ).id

    @cached_property
    def zone(self) -> str:
        import boto3

        answer = boto3.client("route53").create_hosted_zone(Name="example.org.", CallerReference="tests")
        return str(answer["HostedZone"]["Id"]).rpartition("/")[2]

    @cached_property
    def web_acl(self) -> Resource:
        return self.make("aws:wafv2/webAcl:WebAcl", **web_acl_inputs("allow"))

    @cached_property
    def made_vault(self) -> Resource:
        return self.make("aws:backup/vault:Vault")

    @property
    def vault(self) -> str:
        return self.made_vault.id

    @property
    def vault_arn(self) -> str:
        return str(self.made_vault.values["arn"])

    @cached_property
    def testing_plan(self) -> str:
        return self.make(
            "aws:backup/restoreTestingPlan:RestoreTestingPlan",
            name="of_the_world",
            scheduleExpression="cron(0 5 1 * ? *)",
            recoveryPointSelection=testing_points("*", 30),
        ).id

    @cached_property
    def plan(self) -> str:
        return self.make("aws:backup/plan:Plan", rules=[plan_rule(self.vault, 35)]).id

    @cached_property
    def rule(self) -> str:
        return self.make("aws:cloudwatch/eventRule:EventRule", scheduleExpression="rate(1 day)").id


def testing_points(vault: str, days: int) -> dict[str, Any]:
    """Which recovery points a restore testing plan takes."""
    return {
        "algorithm": "LATEST_WITHIN_WINDOW",
        "includeVaults": [vault],
        "recoveryPointTypes": ["SNAPSHOT"],
        "selectionWindowDays": days,
    }


def plan_rule(vault: str, days: int) -> dict[str, Any]:
    return {
        "ruleName": "daily",
        "targetVaultName": vault,
        "schedule": "cron(0 3 * * ? *)",
        "startWindow": 60,
        "completionWindow": 180,
        "lifecycle": {"deleteAfter": days},
        "copyActions": [
            {
                "destinationVaultArn": "arn:aws:backup:eu-central-1:123456789012:backup-vault:copy",
                "lifecycle": {"deleteAfter": days},
            }
        ],
    }


def web_acl_inputs(default: str) -> dict[str, Any]:
    visibility = {"cloudwatchMetricsEnabled": True, "metricName": "acl", "sampledRequestsEnabled": True}
    return {
        "scope": "REGIONAL",
        "defaultAction": {default: {}},
        "visibilityConfig": visibility,
        "rules": [
            {
                "name": "managed",
                "priority": 1,
                "overrideAction": {"none": {}},
                "statement": {
                    "managedRuleGroupStatement": {
                        "vendorName": "AWS",
                        "name": "AWSManagedRulesCommonRuleSet",
                        "ruleActionOverrides": [
                            {"name": "SizeRestrictions_BODY", "actionToUse": {"count": {}}}
                        ],
                    }
                },
                "visibilityConfig": visibility,
            },
            {
                "name": "login",
                "priority": 2,
                "action": {"block": {}},
                "statement": {
                    "rateBasedStatement": {
                        "limit": 100,
                        "aggregateKeyType": "IP",
                        "evaluationWindowSec": 300,
                        "scopeDownStatement": {
                            "byteMatchStatement": {
                                "searchString": "/web/login",
                                "positionalConstraint": "STARTS_WITH",
                                "fieldToMatch": {"uriPath": {}},
                                "textTransformations": [{"priority": 0, "type": "NONE"}],
                            }
                        },
                    }
                },
                "visibilityConfig": visibility,
            },
        ],
    }


Inputs = dict[str, Any]


@dataclass(frozen=True)
class Sample:
    """Inputs for a type. ``update`` is laid over them: an update in place changes just that."""

    inputs: Callable[[World], Inputs]
    update: Callable[[World], Inputs] | None = None
    replace: Callable[[World], Inputs] | None = None
    """Laid over the inputs: needs a replacement."""
    extended: bool = False
    """Needs calls that only ``local.emulator`` adds to moto."""
    extended_update: bool = False
    """The same, for the update alone."""
    stays: bool = False
    """The resource stays readable after its deletion: it was adopted, or a setting has no other state."""


def s(
    inputs: Callable[[World], Inputs],
    update: Callable[[World], Inputs] | None = None,
    replace: Callable[[World], Inputs] | None = None,
    **more: bool,
) -> Sample:
    return Sample(inputs, update, replace, **more)


TAGS = {"tags": {"Name": "sample", "Owner": "tests"}}
RETAGGED: Callable[[World], Inputs] = lambda _world: {"tags": {"Name": "other"}}  # noqa: E731

ALARM = {
    "metricName": "CPUUtilization",
    "namespace": "AWS/RDS",
    "statistic": "Average",
    "period": 60,
    "evaluationPeriods": 2,
    "threshold": 80,
    "comparisonOperator": "GreaterThanThreshold",
    "dimensions": {"DBInstanceIdentifier": "db"},
    "alarmActions": ["arn:aws:sns:eu-west-1:123456789012:topic"],
}

NOTIFICATION = {
    "comparisonOperator": "GREATER_THAN",
    "notificationType": "ACTUAL",
    "threshold": 80,
    "thresholdType": "PERCENTAGE",
    "subscriberEmailAddresses": ["somebody@example.org"],
}


def setting(
    name: str, inputs: Inputs, update: Inputs | None = None, *, stays: bool = False
) -> tuple[str, Sample]:
    token = f"aws:s3/{name[:1].lower()}{name[1:]}:{name}"
    change = None if update is None else (lambda _world: update)
    return token, s(lambda world: {"bucket": world.bucket, **inputs}, change, stays=stays)


def instance_inputs(world: World) -> Inputs:
    return {
        "engine": "postgres",
        "engineVersion": "16",
        "instanceClass": "db.t4g.micro",
        "allocatedStorage": 20,
        "maxAllocatedStorage": 100,
        "storageType": "gp3",
        "storageEncrypted": True,
        "kmsKeyId": world.key.values["arn"],
        "username": "openerp_admin",
        "manageMasterUserPassword": True,
        "dbSubnetGroupName": world.subnet_group,
        "vpcSecurityGroupIds": world.groups[:1],
        "backupRetentionPeriod": 7,
        "backupWindow": "01:00-02:00",
        "maintenanceWindow": "sun:03:00-sun:04:00",
        "enabledCloudwatchLogsExports": ["postgresql", "upgrade"],
        "performanceInsightsEnabled": True,
        "skipFinalSnapshot": True,
        **TAGS,
    }


def group_inputs(world: World) -> Inputs:
    return {
        "minSize": 0,
        "maxSize": 1,
        "desiredCapacity": 0,
        "vpcZoneIdentifiers": world.subnets,
        "launchTemplate": {"id": world.template.id, "version": "1"},
        "targetGroupArns": world.target_groups[:1],
        "healthCheckType": "ELB",
        "healthCheckGracePeriod": 600,
        "instanceRefresh": {"strategy": "Rolling", "preferences": {"minHealthyPercentage": 50}},
        "tags": [{"key": "Name", "value": "server", "propagateAtLaunch": True}],
        "forceDelete": True,
    }


def template_inputs(world: World) -> Inputs:
    return {
        "imageId": "ami-12c6146b",
        "instanceType": "t4g.small",
        "userData": "I2Nsb3VkLWNvbmZpZwo=",
        "vpcSecurityGroupIds": world.groups[:1],
        "metadataOptions": {
            "httpTokens": "required",
            "httpEndpoint": "enabled",
            "httpPutResponseHopLimit": 1,
        },
        "monitoring": {"enabled": True},
        "blockDeviceMappings": [
            {
                "deviceName": "/dev/xvda",
                "ebs": {
                    "encrypted": "true",
                    "volumeSize": 20,
                    "volumeType": "gp3",
                    "deleteOnTermination": "true",
                },
            }
        ],
        "tagSpecifications": [{"resourceType": "instance", "tags": {"Name": "server"}}],
        "updateDefaultVersion": True,
        **TAGS,
    }


def listener_inputs(world: World) -> Inputs:
    return {
        "loadBalancerArn": world.balancer,
        "port": 443,
        "protocol": "HTTPS",
        "sslPolicy": "ELBSecurityPolicy-TLS13-1-2-2021-06",
        "certificateArn": world.certificates[0],
        "defaultActions": [{"type": "forward", "targetGroupArn": world.target_groups[0]}],
    }


def imported_certificate() -> Inputs:
    body, key = certificate("imported.example.com")
    return {"certificateBody": body, "privateKey": key}


SAMPLES: dict[str, Sample] = {
    "aws:ec2/vpc:Vpc": s(
        lambda w: {"cidrBlock": "10.8.0.0/16", "enableDnsHostnames": True, **TAGS},
        lambda w: {"enableDnsHostnames": False},
        lambda w: {"cidrBlock": "10.9.0.0/16"},
    ),
    "aws:ec2/subnet:Subnet": s(
        lambda w: {
            "vpcId": w.vpc.id,
            "cidrBlock": "10.7.100.0/24",
            "availabilityZone": "eu-west-1a",
            "mapPublicIpOnLaunch": True,
            **TAGS,
        },
        lambda w: {"mapPublicIpOnLaunch": False},
        lambda w: {"availabilityZone": "eu-west-1b"},
    ),
    "aws:ec2/internetGateway:InternetGateway": s(
        lambda w: {"vpcId": w.make("aws:ec2/vpc:Vpc", cidrBlock="10.11.0.0/16").id, **TAGS}, RETAGGED
    ),
    "aws:ec2/eip:Eip": s(lambda w: {"domain": "vpc", **TAGS}, RETAGGED),
    "aws:ec2/natGateway:NatGateway": s(
        lambda w: {
            "subnetId": w.subnets[0],
            "allocationId": w.make("aws:ec2/eip:Eip", domain="vpc").id,
            **TAGS,
        },
        RETAGGED,
        lambda w: {"subnetId": w.subnets[1]},
    ),
    "aws:ec2/routeTable:RouteTable": s(lambda w: {"vpcId": w.vpc.id, **TAGS}, RETAGGED),
    "aws:ec2/route:Route": s(
        lambda w: {
            "routeTableId": w.route_tables[0],
            "destinationCidrBlock": "0.0.0.0/0",
            "gatewayId": w.gateway,
        },
        None,
        lambda w: {"destinationCidrBlock": "10.99.0.0/16"},
    ),
    "aws:ec2/routeTableAssociation:RouteTableAssociation": s(
        lambda w: {"routeTableId": w.route_tables[0], "subnetId": w.subnets[0]},
        None,
        lambda w: {"routeTableId": w.route_tables[1]},
    ),
    "aws:ec2/vpcEndpoint:VpcEndpoint": s(
        lambda w: {
            "vpcId": w.vpc.id,
            "serviceName": "com.amazonaws.eu-west-1.s3",
            "routeTableIds": w.route_tables[:1],
            **TAGS,
        },
        lambda w: {"routeTableIds": w.route_tables},
        lambda w: {"serviceName": "com.amazonaws.eu-west-1.dynamodb"},
    ),
    "aws:ec2/securityGroup:SecurityGroup": s(
        lambda w: {
            "vpcId": w.vpc.id,
            "description": "sample",
            "ingress": [{"protocol": "tcp", "fromPort": 80, "toPort": 80, "cidrBlocks": ["10.0.0.0/8"]}],
            **TAGS,
        },
        lambda w: {"ingress": [{"protocol": "tcp", "fromPort": 81, "toPort": 81, "self": True}]},
        lambda w: {"description": "another"},
    ),
    "aws:ec2/defaultSecurityGroup:DefaultSecurityGroup": s(
        lambda w: {"vpcId": w.vpc.id, "ingress": [], "egress": [], **TAGS}, RETAGGED, stays=True
    ),
    "aws:vpc/securityGroupIngressRule:SecurityGroupIngressRule": s(
        lambda w: {
            "securityGroupId": w.groups[0],
            "ipProtocol": "tcp",
            "fromPort": 8069,
            "toPort": 8069,
            "referencedSecurityGroupId": w.groups[1],
            "description": "sample",
            **TAGS,
        },
        lambda w: {"description": "another"},
        lambda w: {"securityGroupId": w.groups[1]},
    ),
    "aws:vpc/securityGroupEgressRule:SecurityGroupEgressRule": s(
        lambda w: {"securityGroupId": w.groups[0], "ipProtocol": "-1", "cidrIpv4": "0.0.0.0/0", **TAGS},
        lambda w: {"cidrIpv4": "10.0.0.0/8"},
    ),
    "aws:ec2/flowLog:FlowLog": s(
        lambda w: {
            "vpcId": w.vpc.id,
            "trafficType": "ALL",
            "iamRoleArn": w.role.values["arn"],
            "logDestination": w.log_group.values["arn"],
            **TAGS,
        },
        RETAGGED,
        lambda w: {"trafficType": "REJECT"},
    ),
    "aws:ec2/launchTemplate:LaunchTemplate": s(template_inputs, lambda w: {"instanceType": "t4g.medium"}),
    "aws:rds/instance:Instance": s(
        instance_inputs,
        lambda w: {
            "backupRetentionPeriod": 14,
            "multiAz": True,
            "enabledCloudwatchLogsExports": ["postgresql"],
        },
        lambda w: {"username": "another"},
    ),
    "aws:rds/subnetGroup:SubnetGroup": s(
        lambda w: {"subnetIds": w.subnets, "description": "sample", **TAGS},
        lambda w: {"description": "another"},
        extended_update=True,
    ),
    "aws:rds/parameterGroup:ParameterGroup": s(
        lambda w: {
            "family": "postgres16",
            "parameters": [
                {"name": "rds.force_ssl", "value": "1"},
                {"name": "max_connections", "value": "100", "applyMethod": "pending-reboot"},
            ],
            **TAGS,
        },
        lambda w: {
            "parameters": [
                {"name": "rds.force_ssl", "value": "1"},
                {"name": "max_connections", "value": "200", "applyMethod": "pending-reboot"},
            ]
        },
        lambda w: {"family": "postgres17"},
    ),
    "aws:rds/snapshot:Snapshot": s(
        lambda w: {
            "dbInstanceIdentifier": w.database.values["identifier"],
            "dbSnapshotIdentifier": "checkpoint",
            **TAGS,
        },
        RETAGGED,
        lambda w: {"dbSnapshotIdentifier": "another"},
    ),
    "aws:rds/instanceAutomatedBackupsReplication:InstanceAutomatedBackupsReplication": s(
        lambda w: {"sourceDbInstanceArn": w.database.values["arn"], "retentionPeriod": 14}, extended=True
    ),
    "aws:kms/key:Key": s(
        lambda w: {"description": "d", "enableKeyRotation": True, "deletionWindowInDays": 7, **TAGS},
        lambda w: {"description": "e", "enableKeyRotation": False},
        lambda w: {"multiRegion": True},
    ),
    "aws:kms/alias:Alias": s(
        lambda w: {"targetKeyId": w.key.id},
        lambda w: {"targetKeyId": w.make("aws:kms/key:Key").id},
        lambda w: {"name": "alias/another"},
    ),
    "aws:iam/role:Role": s(
        lambda w: {
            "assumeRolePolicy": ASSUME,
            "description": "sample",
            "inlinePolicies": [{"name": "one", "policy": allow("s3:GetObject")}],
            **TAGS,
        },
        lambda w: {
            "description": "another",
            "assumeRolePolicy": ASSUME.replace("ec2", "lambda"),
            "inlinePolicies": [{"name": "two", "policy": allow("s3:PutObject")}],
        },
        lambda w: {"path": "/servers/"},
    ),
    "aws:iam/rolePolicy:RolePolicy": s(
        lambda w: {"role": w.role.id, "policy": allow("s3:GetObject")},
        lambda w: {"policy": allow("s3:PutObject")},
        lambda w: {"role": w.make("aws:iam/role:Role", assumeRolePolicy=ASSUME).id},
    ),
    "aws:iam/rolePolicyAttachment:RolePolicyAttachment": s(
        lambda w: {
            "role": w.role.id,
            "policyArn": w.make("aws:iam/policy:Policy", policy=allow("s3:ListBucket")).id,
        },
        None,
        lambda w: {"policyArn": w.make("aws:iam/policy:Policy", policy=allow("s3:GetObject")).id},
    ),
    "aws:iam/instanceProfile:InstanceProfile": s(
        lambda w: {"role": w.role.id, **TAGS},
        lambda w: {"role": w.make("aws:iam/role:Role", assumeRolePolicy=ASSUME).id},
    ),
    "aws:iam/policy:Policy": s(
        lambda w: {"policy": allow("s3:GetObject"), **TAGS}, lambda w: {"policy": allow("s3:PutObject")}
    ),
    "aws:cloudwatch/logGroup:LogGroup": s(
        lambda w: {"retentionInDays": 30, **TAGS},
        lambda w: {"retentionInDays": 90},
        lambda w: {"name": "/another"},
    ),
    "aws:cloudwatch/logMetricFilter:LogMetricFilter": s(
        lambda w: {
            "logGroupName": w.log_group.id,
            "pattern": "ERROR",
            "metricTransformation": {"name": "errors", "namespace": "openerp", "value": "1"},
        },
        lambda w: {"pattern": "CRITICAL"},
    ),
    "aws:cloudwatch/metricAlarm:MetricAlarm": s(
        lambda w: {**ALARM, **TAGS}, lambda w: {"threshold": 90}, lambda w: {"name": "another"}
    ),
    "aws:cloudwatch/dashboard:Dashboard": s(
        lambda w: {"dashboardName": "sample", "dashboardBody": json.dumps({"widgets": []})},
        lambda w: {"dashboardBody": json.dumps({"widgets": [{"type": "text", "properties": {}}]})},
        lambda w: {"dashboardName": "another"},
    ),
    "aws:cloudwatch/eventRule:EventRule": s(
        lambda w: {"eventPattern": json.dumps({"source": ["aws.backup"]}), **TAGS},
        lambda w: {"eventPattern": json.dumps({"source": ["aws.rds"]}), "description": "another"},
    ),
    "aws:cloudwatch/eventTarget:EventTarget": s(
        lambda w: {"rule": w.rule, "arn": w.topic},
        lambda w: {"input": json.dumps({"text": "hello"})},
        lambda w: {"targetId": "another"},
    ),
    "aws:efs/fileSystem:FileSystem": s(
        lambda w: {
            "encrypted": True,
            "kmsKeyId": w.key.values["arn"],
            "throughputMode": "elastic",
            "lifecyclePolicies": [{"transitionToIa": "AFTER_30_DAYS"}],
            **TAGS,
        },
        lambda w: {"lifecyclePolicies": [{"transitionToIa": "AFTER_60_DAYS"}]},
        lambda w: {"encrypted": False},
    ),
    "aws:efs/mountTarget:MountTarget": s(
        lambda w: {
            "fileSystemId": w.file_system,
            "subnetId": w.subnets[0],
            "securityGroups": w.groups[:1],
        },
        lambda w: {"securityGroups": w.groups[1:]},
        lambda w: {"subnetId": w.subnets[1]},
    ),
    "aws:efs/accessPoint:AccessPoint": s(
        lambda w: {
            "fileSystemId": w.file_system,
            "posixUser": {"uid": 10001, "gid": 10001},
            "rootDirectory": {
                "path": "/odoo",
                "creationInfo": {"ownerUid": 10001, "ownerGid": 10001, "permissions": "0750"},
            },
            **TAGS,
        },
        RETAGGED,
        lambda w: {"posixUser": {"uid": 10002, "gid": 10001}},
    ),
    "aws:efs/backupPolicy:BackupPolicy": s(
        lambda w: {"fileSystemId": w.file_system, "backupPolicy": {"status": "ENABLED"}},
        lambda w: {"backupPolicy": {"status": "DISABLED"}},
        extended=True,
        stays=True,
    ),
    "aws:efs/fileSystemPolicy:FileSystemPolicy": s(
        lambda w: {"fileSystemId": w.file_system, "policy": allow("elasticfilesystem:ClientMount")},
        lambda w: {"policy": allow("elasticfilesystem:ClientWrite")},
        extended=True,
    ),
    "aws:autoscaling/group:Group": s(
        group_inputs,
        lambda w: {
            "healthCheckGracePeriod": 300,
            "targetGroupArns": w.target_groups[1:],
            "tags": [{"key": "Role", "value": "server", "propagateAtLaunch": False}],
        },
        lambda w: {"name": "another"},
    ),
    "aws:autoscaling/policy:Policy": s(
        lambda w: {
            "autoscalingGroupName": w.scaling_group,
            "policyType": "TargetTrackingScaling",
            "targetTrackingConfiguration": {
                "targetValue": 50,
                "predefinedMetricSpecification": {"predefinedMetricType": "ASGAverageCPUUtilization"},
            },
        },
        lambda w: {
            "targetTrackingConfiguration": {
                "targetValue": 60,
                "predefinedMetricSpecification": {"predefinedMetricType": "ASGAverageCPUUtilization"},
            },
        },
    ),
    "aws:lb/loadBalancer:LoadBalancer": s(
        lambda w: {
            "subnets": w.subnets,
            "securityGroups": w.groups[:1],
            "internal": False,
            "dropInvalidHeaderFields": True,
            "accessLogs": {"bucket": w.bucket, "enabled": True, "prefix": "alb"},
            **TAGS,
        },
        lambda w: {"idleTimeout": 120, "securityGroups": w.groups, "accessLogs": None},
        lambda w: {"internal": True},
    ),
    "aws:lb/targetGroup:TargetGroup": s(
        lambda w: {
            "port": 8069,
            "protocol": "HTTP",
            "vpcId": w.vpc.id,
            "deregistrationDelay": 60,
            "healthCheck": {"path": "/web/health", "matcher": "200", "interval": 15, "healthyThreshold": 2},
            "stickiness": {"type": "lb_cookie", "cookieDuration": 3600, "enabled": True},
            **TAGS,
        },
        lambda w: {"deregistrationDelay": 30, "healthCheck": {"path": "/health", "matcher": "200-299"}},
        lambda w: {"port": 8080},
    ),
    "aws:lb/listener:Listener": s(
        listener_inputs,
        lambda w: {
            "defaultActions": [
                {
                    "type": "fixed-response",
                    "fixedResponse": {"contentType": "text/plain", "statusCode": "503", "messageBody": "no"},
                }
            ]
        },
    ),
    "aws:lb/listenerRule:ListenerRule": s(
        lambda w: {
            "listenerArn": w.listener,
            "priority": 10,
            "conditions": [{"pathPattern": {"values": ["/xmlrpc/*", "/jsonrpc"]}}],
            "actions": [{"type": "forward", "targetGroupArn": w.target_groups[0]}],
            **TAGS,
        },
        lambda w: {"actions": [{"type": "forward", "targetGroupArn": w.target_groups[1]}]},
    ),
    "aws:lb/listenerCertificate:ListenerCertificate": s(
        lambda w: {"listenerArn": w.listener, "certificateArn": w.certificates[1]},
        None,
        lambda w: {"certificateArn": w.certificates[0]},
    ),
    "aws:lb/trustStore:TrustStore": s(
        lambda w: {
            "caCertificatesBundleS3Bucket": w.bucket,
            "caCertificatesBundleS3Key": w.bundle.id,
            **TAGS,
        },
        lambda w: {"caCertificatesBundleS3ObjectVersion": w.bundle.values["versionId"]},
        lambda w: {"name": "another"},
        extended=True,
    ),
    "aws:lb/trustStoreRevocation:TrustStoreRevocation": s(
        lambda w: {
            "trustStoreArn": w.trust_store,
            "revocationsS3Bucket": w.bucket,
            "revocationsS3Key": w.revocations,
        },
        extended=True,
    ),
    "aws:acm/certificate:Certificate": s(
        lambda w: {**imported_certificate(), **TAGS}, lambda w: imported_certificate()
    ),
    "aws:acm/certificateValidation:CertificateValidation": s(
        lambda w: {"certificateArn": w.certificates[0]}, stays=True
    ),
    "aws:route53/record:Record": s(
        lambda w: {"zoneId": w.zone, "name": "www", "type": "A", "ttl": 300, "records": ["192.0.2.1"]},
        lambda w: {"records": ["192.0.2.2", "192.0.2.3"]},
        lambda w: {"name": "other"},
    ),
    "aws:s3/bucket:Bucket": s(
        lambda w: {"forceDestroy": True, **TAGS}, RETAGGED, lambda w: {"bucket": "another-bucket-of-tests"}
    ),
    "aws:s3/bucketObjectv2:BucketObjectv2": s(
        lambda w: {
            "bucket": w.bucket,
            "key": "a/b.txt",
            "content": "hello",
            "contentType": "text/plain",
            **TAGS,
        },
        lambda w: {"content": "hello again"},
        lambda w: {"key": "a/c.txt"},
    ),
    **dict(
        [
            setting(
                "BucketVersioning",
                {"versioningConfiguration": {"status": "Enabled"}},
                {"versioningConfiguration": {"status": "Suspended"}},
                stays=True,
            ),
            setting(
                "BucketServerSideEncryptionConfiguration",
                {"rules": [{"applyServerSideEncryptionByDefault": {"sseAlgorithm": "AES256"}}]},
                {"rules": [{"applyServerSideEncryptionByDefault": {"sseAlgorithm": "aws:kms"}}]},
                stays=True,
            ),
            setting(
                "BucketPublicAccessBlock",
                {"blockPublicAcls": True, "blockPublicPolicy": True},
                {"ignorePublicAcls": True},
            ),
            setting(
                "BucketOwnershipControls",
                {"rule": {"objectOwnership": "BucketOwnerEnforced"}},
                {"rule": {"objectOwnership": "BucketOwnerPreferred"}},
            ),
            setting(
                "BucketLifecycleConfiguration",
                {
                    "rules": [
                        {"id": "old", "status": "Enabled", "expiration": {"days": 30}},
                        {
                            "id": "parts",
                            "status": "Enabled",
                            "filter": {"prefix": "a/"},
                            "noncurrentVersionExpiration": {"noncurrentDays": 3},
                            "abortIncompleteMultipartUpload": {"daysAfterInitiation": 1},
                        },
                    ]
                },
                {"rules": [{"id": "old", "status": "Enabled", "expiration": {"days": 60}}]},
            ),
            setting("BucketPolicy", {"policy": allow("s3:GetObject")}, {"policy": allow("s3:PutObject")}),
        ]
    ),
    "aws:wafv2/webAcl:WebAcl": s(
        lambda w: {**web_acl_inputs("allow"), **TAGS},
        lambda w: {"defaultAction": {"block": {}}},
        lambda w: {"name": "another"},
    ),
    "aws:wafv2/webAclAssociation:WebAclAssociation": s(
        lambda w: {"webAclArn": w.web_acl.values["arn"], "resourceArn": w.balancer}
    ),
    "aws:backup/vault:Vault": s(
        lambda w: {"kmsKeyArn": w.key.values["arn"], **TAGS}, RETAGGED, lambda w: {"name": "another"}
    ),
    "aws:backup/vaultLockConfiguration:VaultLockConfiguration": s(
        lambda w: {
            "backupVaultName": w.make("aws:backup/vault:Vault").id,
            "minRetentionDays": 7,
            "maxRetentionDays": 365,
            "changeableForDays": 3,
        },
        None,
        lambda w: {"minRetentionDays": 14},
    ),
    "aws:backup/vaultNotifications:VaultNotifications": s(
        lambda w: {
            "backupVaultName": w.vault,
            "snsTopicArn": w.topic,
            "backupVaultEvents": ["BACKUP_JOB_FAILED"],
        },
        None,
        lambda w: {"backupVaultEvents": ["COPY_JOB_FAILED"]},
        extended=True,
    ),
    "aws:backup/plan:Plan": s(
        lambda w: {"rules": [plan_rule(w.vault, 35)], **TAGS},
        lambda w: {"rules": [plan_rule(w.vault, 70)]},
        lambda w: {"name": "another"},
        extended_update=True,
    ),
    "aws:backup/selection:Selection": s(
        lambda w: {
            "planId": w.plan,
            "iamRoleArn": w.role.values["arn"],
            "resources": [w.database.values["arn"]],
            "selectionTags": [{"type": "STRINGEQUALS", "key": "Backup", "value": "yes"}],
        },
        None,
        lambda w: {"resources": ["*"]},
        extended=True,
    ),
    "aws:backup/restoreTestingPlan:RestoreTestingPlan": s(
        lambda w: {
            "name": "monthly_drill",
            "scheduleExpression": "cron(0 5 1 * ? *)",
            "recoveryPointSelection": testing_points(w.vault_arn, 7),
            "startWindowHours": 4,
            **TAGS,
        },
        lambda w: {"scheduleExpression": "cron(0 6 1 * ? *)", "startWindowHours": 8},
        lambda w: {"name": "another"},
        extended=True,
    ),
    "aws:backup/restoreTestingSelection:RestoreTestingSelection": s(
        lambda w: {
            "name": "database",
            "restoreTestingPlanName": w.testing_plan,
            "iamRoleArn": w.role.values["arn"],
            "protectedResourceType": "RDS",
            "protectedResourceArns": [w.database.values["arn"]],
            "restoreMetadataOverrides": {"dbSubnetGroupName": w.subnet_group},
            "validationWindowHours": 2,
        },
        lambda w: {"protectedResourceArns": ["*"], "validationWindowHours": 3},
        lambda w: {"name": "another"},
        extended=True,
    ),
    "aws:sns/topic:Topic": s(
        lambda w: {"displayName": "sample", **TAGS},
        lambda w: {"displayName": "another"},
        lambda w: {"name": "other"},
    ),
    "aws:sns/topicPolicy:TopicPolicy": s(
        lambda w: {"arn": w.topic, "policy": allow("sns:Publish", "arn:aws:sns:eu-west-1:123456789012:one")},
        lambda w: {"policy": allow("sns:Publish", "arn:aws:sns:eu-west-1:123456789012:two")},
        stays=True,
    ),
    "aws:sns/topicSubscription:TopicSubscription": s(
        lambda w: {"topic": w.topic, "protocol": "email", "endpoint": "somebody@example.org"},
        lambda w: {"rawMessageDelivery": True},
        lambda w: {"endpoint": "another@example.org"},
    ),
    "aws:budgets/budget:Budget": s(
        lambda w: {
            "budgetType": "COST",
            "timeUnit": "MONTHLY",
            "limitAmount": "200",
            "limitUnit": "USD",
            "notifications": [NOTIFICATION],
        },
        lambda w: {"notifications": [{**NOTIFICATION, "threshold": 100}]},
        lambda w: {"name": "another"},
    ),
    "aws:secretsmanager/secret:Secret": s(
        lambda w: {"description": "sample", "recoveryWindowInDays": 0, **TAGS},
        lambda w: {"description": "another"},
        lambda w: {"name": "other"},
    ),
    "aws:secretsmanager/secretVersion:SecretVersion": s(
        lambda w: {"secretId": w.secret, "secretString": "sesame"},
        None,
        lambda w: {"secretString": "open sesame"},
        stays=True,
    ),
    "aws:ssm/parameter:Parameter": s(
        lambda w: {"name": "/openerp/sample", "type": "String", "value": '{"a": "{b}"}', **TAGS},
        lambda w: {"value": '{"host": "{not} a: template"}'},
        lambda w: {"name": "/openerp/other"},
    ),
}
