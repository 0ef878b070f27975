"""Physical names, for the longest stack name that settings accept, against the limits of AWS.

Numbers: API reference of each service. Names that Pulumi makes are the resource's and eight characters.
"""

from __future__ import annotations

import re

import pytest

from core import outputs
from tests.components.conftest import Graph
from tests.deployment.program import run_stack

LONGEST = "sixteen-letters1"
AUTOMATIC = 8
GROUP_TEXT = r"[A-Za-z0-9 ._:/()#,@\[\]+=&;{}!$*-]{0,255}"
LABEL = "l" * 63
TENANT = "t" * 40
LIMITS: dict[str, tuple[str, int, str]] = {
    "aws:lb/loadBalancer:LoadBalancer": ("name", 32, r"[A-Za-z0-9]([A-Za-z0-9-]*[A-Za-z0-9])?"),
    "aws:lb/targetGroup:TargetGroup": ("name", 32, r"[A-Za-z0-9]([A-Za-z0-9-]*[A-Za-z0-9])?"),
    "aws:lb/trustStore:TrustStore": ("name", 32, r"[A-Za-z0-9]([A-Za-z0-9-]*[A-Za-z0-9])?"),
    "aws:iam/role:Role": ("name", 64, r"[\w+=,.@-]+"),
    "aws:iam/rolePolicy:RolePolicy": ("name", 128, r"[\w+=,.@-]+"),
    "aws:iam/instanceProfile:InstanceProfile": ("name", 128, r"[\w+=,.@-]+"),
    "aws:rds/instance:Instance": ("identifier", 63, r"[a-z](-?[a-z0-9])*"),
    "aws:rds/subnetGroup:SubnetGroup": ("name", 255, r"[a-z0-9._ -]+"),
    "aws:rds/parameterGroup:ParameterGroup": ("name", 255, r"[a-z](-?[a-z0-9])*"),
    "aws:rds/snapshot:Snapshot": ("dbSnapshotIdentifier", 255, r"[A-Za-z](-?[A-Za-z0-9])*"),
    "aws:s3/bucket:Bucket": ("bucket", 63, r"[a-z0-9][a-z0-9.-]*[a-z0-9]"),
    "aws:kms/alias:Alias": ("name", 256, r"alias/[A-Za-z0-9/_-]+"),
    "aws:backup/vault:Vault": ("name", 50, r"[A-Za-z0-9_-]+"),
    "aws:backup/plan:Plan": ("name", 50, r"[A-Za-z0-9_.-]+"),
    "aws:backup/selection:Selection": ("name", 50, r"[A-Za-z0-9_.-]+"),
    "aws:sns/topic:Topic": ("name", 256, r"[A-Za-z0-9_-]+"),
    "aws:cloudwatch/metricAlarm:MetricAlarm": ("name", 255, r"[ -~]+"),
    "aws:cloudwatch/eventRule:EventRule": ("name", 64, r"[A-Za-z0-9_.-]+"),
    "aws:cloudwatch/logGroup:LogGroup": ("name", 512, r"[A-Za-z0-9_/.#-]+"),
    "aws:cloudwatch/dashboard:Dashboard": ("dashboardName", 255, r"[A-Za-z0-9_-]+"),
    "aws:ec2/securityGroup:SecurityGroup": ("name", 255, r"(?!sg-)[A-Za-z0-9 ._:/()#,@\[\]+=&;{}!$*-]+"),
    "aws:ec2/launchTemplate:LaunchTemplate": ("name", 128, r"[A-Za-z0-9().\-/_]{3,}"),
    "aws:autoscaling/group:Group": ("name", 255, r"[^:]+"),
    "aws:autoscaling/policy:Policy": ("name", 255, r"[^:]+"),
    "aws:wafv2/webAcl:WebAcl": ("name", 128, r"[A-Za-z0-9_-]+"),
    "aws:secretsmanager/secret:Secret": ("name", 512, r"[A-Za-z0-9/_+=.@-]+"),
    "aws:ssm/parameter:Parameter": ("name", 1011, r"[A-Za-z0-9_./-]+"),
    "aws:budgets/budget:Budget": ("name", 100, r"[^:\\]+"),
    "aws:backup/restoreTestingPlan:RestoreTestingPlan": ("name", 50, r"[A-Za-z0-9_]+"),
    "aws:backup/restoreTestingSelection:RestoreTestingSelection": ("name", 50, r"[A-Za-z0-9_]+"),
}
"""Type -> input that holds the name, longest name, and its form."""
NAMELESS = {
    "aws:acm/certificate:Certificate",
    "aws:acm/certificateValidation:CertificateValidation",
    "aws:backup/vaultLockConfiguration:VaultLockConfiguration",
    "aws:cloudwatch/eventTarget:EventTarget",
    "aws:ec2/defaultSecurityGroup:DefaultSecurityGroup",
    "aws:ec2/eip:Eip",
    "aws:ec2/flowLog:FlowLog",
    "aws:ec2/internetGateway:InternetGateway",
    "aws:ec2/natGateway:NatGateway",
    "aws:ec2/route:Route",
    "aws:ec2/routeTable:RouteTable",
    "aws:ec2/routeTableAssociation:RouteTableAssociation",
    "aws:ec2/subnet:Subnet",
    "aws:ec2/vpc:Vpc",
    "aws:ec2/vpcEndpoint:VpcEndpoint",
    "aws:efs/accessPoint:AccessPoint",
    "aws:efs/backupPolicy:BackupPolicy",
    "aws:efs/fileSystem:FileSystem",
    "aws:efs/fileSystemPolicy:FileSystemPolicy",
    "aws:efs/mountTarget:MountTarget",
    "aws:iam/rolePolicyAttachment:RolePolicyAttachment",
    "aws:kms/key:Key",
    "aws:lb/listener:Listener",
    "aws:lb/listenerRule:ListenerRule",
    "aws:lb/trustStoreRevocation:TrustStoreRevocation",
    "aws:route53/record:Record",
    "aws:s3/bucketLifecycleConfiguration:BucketLifecycleConfiguration",
    "aws:s3/bucketObjectv2:BucketObjectv2",
    "aws:s3/bucketPolicy:BucketPolicy",
    "aws:s3/bucketPublicAccessBlock:BucketPublicAccessBlock",
    "aws:s3/bucketServerSideEncryptionConfiguration:BucketServerSideEncryptionConfiguration",
    "aws:s3/bucketVersioning:BucketVersioning",
    "aws:secretsmanager/secretVersion:SecretVersion",
    "aws:sns/topicPolicy:TopicPolicy",
    "aws:sns/topicSubscription:TopicSubscription",
    "aws:vpc/securityGroupEgressRule:SecurityGroupEgressRule",
    "aws:vpc/securityGroupIngressRule:SecurityGroupIngressRule",
    "aws:wafv2/webAclAssociation:WebAclAssociation",
}
"""Types whose resources AWS names itself, or that are a property of another resource."""


@pytest.fixture(scope="module")
def graphs() -> list[Graph]:
    """Production under the longest name, with the longest label; and a tenant with the longest name."""
    production = run_stack("prod", {"backup.checkpoints": [LABEL]}, name=LONGEST)
    saas = run_stack("dev", {"offer": "saas", "tenants": [{"name": TENANT}]}, name=LONGEST)
    return [production, saas]


def test_every_physical_name_fits_its_service(graphs: list[Graph]) -> None:
    wrong = []
    for graph in graphs:
        for resource in graph.registrations:
            if resource.type not in LIMITS:
                continue
            key, longest, form = LIMITS[resource.type]
            name = resource.inputs.get(key) or resource.name + "-" + "0" * (AUTOMATIC - 1)
            if len(name) > longest or not re.fullmatch(form, name):
                wrong.append((resource.type, name))
    assert wrong == []


def test_every_type_of_aws_resource_is_in_one_of_the_two_lists(graphs: list[Graph]) -> None:
    found = {r.type for graph in graphs for r in graph.registrations if r.type.startswith("aws:")}
    assert found - LIMITS.keys() - NAMELESS == set()


def test_names_that_people_must_know_begin_with_the_stacks(graphs: list[Graph]) -> None:
    production = graphs[0]
    known = {a.inputs["name"] for a in production.of("aws:kms/alias:Alias")}
    assert known == {f"alias/openerp-{LONGEST}-database", f"alias/openerp-{LONGEST}-file-store"}
    store = production.one("aws:lb/trustStore:TrustStore").inputs["name"]
    assert store == f"openerp-{LONGEST}-clients"
    assert production.stack_outputs[outputs.DASHBOARD_NAME] == f"openerp-{LONGEST}"
    final = production.one("aws:rds/instance:Instance").inputs["finalSnapshotIdentifier"]
    assert re.fullmatch(rf"openerp-{LONGEST}-final-[0-9a-f]{{8}}", final)


def test_a_tenants_role_and_host_fit_postgresql_and_dns(graphs: list[Graph]) -> None:
    role = graphs[1].one("postgresql:index/role:Role", f"databases-tenant-{TENANT}").inputs["name"]
    assert len(role) <= 63
    url = graphs[1].stack_outputs[outputs.TENANTS][TENANT]["url"]
    assert all(len(part) <= 63 for part in url.removeprefix("https://").rstrip("/").split("."))


def test_descriptions_are_in_the_letters_that_aws_takes(graphs: list[Graph]) -> None:
    allowed = {
        "aws:ec2/securityGroup:SecurityGroup": GROUP_TEXT,
        "aws:vpc/securityGroupIngressRule:SecurityGroupIngressRule": GROUP_TEXT,
        "aws:vpc/securityGroupEgressRule:SecurityGroupEgressRule": GROUP_TEXT,
        "aws:iam/role:Role": r"[\t\n\r -~¡-ÿ]{0,1000}",
        "aws:cloudwatch/metricAlarm:MetricAlarm": r"[ -~]{0,1024}",
        "aws:wafv2/webAcl:WebAcl": r"[\w+=:#@/\-,.][\w+=:#@/\-,.\s]+[\w+=:#@/\-,.]",
    }
    wrong = [
        (r.type, r.name)
        for graph in graphs
        for r in graph.registrations
        if r.type in allowed
        and not re.fullmatch(
            allowed[r.type], r.inputs.get("description", r.inputs.get("alarmDescription", "none"))
        )
    ]
    assert wrong == []
