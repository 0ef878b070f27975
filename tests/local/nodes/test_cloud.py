"""What the emulator holds arrives as plain data: servers, groups, load balancers, and what AWS tells none."""

from __future__ import annotations

import base64
import dataclasses
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

from local.emulator import start, stop
from local.nodes.cloud import CloudError, Endpoint, Reader
from local.nodes.model import AccessPoint, Cloud, CreationInfo, SecurityGroupRule

REGION = "eu-central-1"


def authority() -> tuple[str, str, str]:
    """A certificate, its key, and a revocation list that it has signed."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "erp.example.com")])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=30))
        .sign(key, hashes.SHA256())
    )
    revoked = (
        x509.CertificateRevocationListBuilder()
        .issuer_name(name)
        .last_update(now)
        .next_update(now + timedelta(days=30))
        .sign(key, hashes.SHA256())
    )
    return (
        certificate.public_bytes(Encoding.PEM).decode(),
        key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode(),
        revoked.public_bytes(Encoding.PEM).decode(),
    )


@dataclasses.dataclass
class Made:
    """What the fixture made, by the names that the emulator gave it."""

    reader: Reader
    cloud: Cloud
    balancer: str
    certificate: str
    pem: str
    key: str
    store: str
    crl: str
    targets: str
    servers: str
    database: str


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Made]:
    home = tmp_path_factory.mktemp("cloud")
    start(home)
    reader = Reader(Endpoint.of(home), REGION)
    try:
        yield make(reader)
    finally:
        stop(home)


def make(reader: Reader) -> Made:
    from local.account import client

    def get(service: str) -> Any:
        return client(service, reader.endpoint.url, REGION)

    ec2, elbv2, iam, s3 = get("ec2"), get("elbv2"), get("iam"), get("s3")
    pem, key, crl = authority()
    vpc = ec2.create_vpc(CidrBlock="10.8.0.0/16")["Vpc"]["VpcId"]
    ec2.create_vpc(CidrBlock="10.9.0.0/16")
    subnets = [
        ec2.create_subnet(VpcId=vpc, CidrBlock=f"10.8.{n}.0/24", AvailabilityZone=f"{REGION}{zone}")[
            "Subnet"
        ]["SubnetId"]
        for n, zone in enumerate("ab")
    ]
    servers = ec2.create_security_group(GroupName="servers", Description="s", VpcId=vpc)["GroupId"]
    database = ec2.create_security_group(GroupName="database", Description="d", VpcId=vpc)["GroupId"]
    ec2.authorize_security_group_ingress(
        GroupId=database,
        IpPermissions=[
            {
                "IpProtocol": "tcp",
                "FromPort": 5432,
                "ToPort": 5432,
                "UserIdGroupPairs": [{"GroupId": servers}],
            }
        ],
    )
    iam.create_role(RoleName="role", AssumeRolePolicyDocument="{}")
    iam.create_instance_profile(InstanceProfileName="profile")
    iam.add_role_to_instance_profile(InstanceProfileName="profile", RoleName="role")
    ec2.create_launch_template(
        LaunchTemplateName="template",
        LaunchTemplateData={
            "ImageId": "resolve:ssm:/openerp/images/openerp-19.0",
            "InstanceType": "t4g.small",
            "UserData": base64.b64encode(b"#cloud-config\n\x00").decode(),
            "IamInstanceProfile": {"Name": "profile"},
            "SecurityGroupIds": [servers],
            "MetadataOptions": {"HttpTokens": "required", "HttpPutResponseHopLimit": 1},
            "TagSpecifications": [{"ResourceType": "instance", "Tags": [{"Key": "Name", "Value": "app"}]}],
        },
    )
    group = elbv2.create_target_group(
        Name="targets",
        Protocol="HTTP",
        Port=8069,
        VpcId=vpc,
        HealthCheckPath="/web/health",
        HealthCheckIntervalSeconds=15,
        HealthCheckTimeoutSeconds=5,
        HealthyThresholdCount=2,
        UnhealthyThresholdCount=4,
        Matcher={"HttpCode": "200-299"},
    )["TargetGroups"][0]["TargetGroupArn"]
    elbv2.modify_target_group_attributes(
        TargetGroupArn=group,
        Attributes=[
            {"Key": "stickiness.enabled", "Value": "true"},
            {"Key": "stickiness.type", "Value": "lb_cookie"},
            {"Key": "stickiness.lb_cookie.duration_seconds", "Value": "600"},
            {"Key": "deregistration_delay.timeout_seconds", "Value": "120"},
            {"Key": "slow_start.duration_seconds", "Value": "60"},
        ],
    )
    get("autoscaling").create_auto_scaling_group(
        AutoScalingGroupName="group",
        MinSize=0,
        MaxSize=4,
        DesiredCapacity=2,
        VPCZoneIdentifier=",".join(subnets),
        LaunchTemplate={"LaunchTemplateName": "template", "Version": "$Latest"},
        TargetGroupARNs=[group],
        HealthCheckType="ELB",
        HealthCheckGracePeriod=900,
    )
    certificate = get("acm").import_certificate(Certificate=pem, PrivateKey=key)["CertificateArn"]
    s3.create_bucket(Bucket="trust", CreateBucketConfiguration={"LocationConstraint": REGION})
    s3.put_object(Bucket="trust", Key="a/ca.pem", Body=pem.encode())
    s3.put_object(Bucket="trust", Key="a/crl.pem", Body=crl.encode())
    store = elbv2.create_trust_store(
        Name="store", CaCertificatesBundleS3Bucket="trust", CaCertificatesBundleS3Key="a/ca.pem"
    )["TrustStores"][0]["TrustStoreArn"]
    elbv2.add_trust_store_revocations(
        TrustStoreArn=store, RevocationContents=[{"S3Bucket": "trust", "S3Key": "a/crl.pem"}]
    )
    balancer = elbv2.create_load_balancer(Name="balancer", Subnets=subnets, SecurityGroups=[servers])[
        "LoadBalancers"
    ][0]["LoadBalancerArn"]
    elbv2.modify_load_balancer_attributes(
        LoadBalancerArn=balancer, Attributes=[{"Key": "idle_timeout.timeout_seconds", "Value": "725"}]
    )
    elbv2.create_listener(
        LoadBalancerArn=balancer,
        Protocol="HTTP",
        Port=80,
        DefaultActions=[
            {
                "Type": "redirect",
                "RedirectConfig": {"Protocol": "HTTPS", "Port": "443", "StatusCode": "HTTP_301"},
            }
        ],
    )
    listener = elbv2.create_listener(
        LoadBalancerArn=balancer,
        Protocol="HTTPS",
        Port=443,
        SslPolicy="ELBSecurityPolicy-TLS13-1-2-Res-2021-06",
        Certificates=[{"CertificateArn": certificate}],
        DefaultActions=[{"Type": "forward", "TargetGroupArn": group}],
        MutualAuthentication={"Mode": "verify", "TrustStoreArn": store},
    )["Listeners"][0]["ListenerArn"]
    conditions = [
        {"Field": "path-pattern", "PathPatternConfig": {"Values": ["/xmlrpc/*", "/jsonrpc"]}},
        {"Field": "host-header", "HostHeaderConfig": {"Values": ["*.example.com"]}},
    ]
    for priority, condition in enumerate(conditions, 1):
        elbv2.create_rule(
            ListenerArn=listener,
            Priority=priority,
            Conditions=[condition],
            Actions=[
                {
                    "Type": "fixed-response",
                    "FixedResponseConfig": {
                        "StatusCode": "404",
                        "MessageBody": "no",
                        "ContentType": "text/plain",
                    },
                }
            ],
        )
    return Made(reader, reader.read(), balancer, certificate, pem, key, store, crl, group, servers, database)


def test_servers_are_what_their_template_made_them(made: Made) -> None:
    first, second = made.cloud.instances
    assert {first.subnet_cidr, second.subnet_cidr} == {"10.8.0.0/24", "10.8.1.0/24"}
    assert first.private_ip.startswith("10.8.") and first.private_ip != second.private_ip
    assert (first.image_name, first.role_name, first.group_name) == ("openerp-19.0", "role", "group")
    assert (first.user_data, first.tags["Name"]) == (b"#cloud-config\n\x00", "app")
    assert first.security_group_ids == (made.servers,)
    assert (first.metadata_tokens_required, first.metadata_hop_limit) == (True, 1)
    assert (first.state, first.launch_template_version) == ("running", "1")


def test_a_server_of_no_group_follows_the_template_but_for_what_its_launch_says(made: Made) -> None:
    first = made.cloud.instances[0]
    ec2 = made.reader.clients["ec2"]
    subnet = ec2.describe_subnets(Filters=[{"Name": "cidr-block", "Values": [first.subnet_cidr]}])
    wanted = {
        "MinCount": 1,
        "MaxCount": 1,
        "LaunchTemplate": {"LaunchTemplateName": "template", "Version": "$Latest"},
        "UserData": b"\x1f\x8bnot the template's",
        "SecurityGroupIds": [made.database],
        "SubnetId": subnet["Subnets"][0]["SubnetId"],
        "TagSpecifications": [{"ResourceType": "instance", "Tags": [{"Key": "Drill", "Value": "7"}]}],
        "ClientToken": "drill-7",
    }
    name = ec2.run_instances(**wanted)["Instances"][0]["InstanceId"]
    assert ec2.run_instances(**wanted)["Instances"][0]["InstanceId"] == name
    (found,) = (item for item in made.reader.read().instances if item.id == name)
    assert (found.group_name, found.image_name, found.role_name) == (None, "openerp-19.0", "role")
    assert (found.user_data, found.security_group_ids) == (wanted["UserData"], (made.database,))
    assert (found.subnet_cidr, found.instance_type) == (first.subnet_cidr, "t4g.small")
    assert (found.metadata_tokens_required, found.metadata_hop_limit) == (True, 1)
    assert (found.tags["Name"], found.tags["Drill"]) == ("app", "7")
    ec2.terminate_instances(InstanceIds=[name])
    assert name not in {item.id for item in made.reader.read().instances}
    assert {item.id for item in made.cloud.instances} == {item.id for item in made.reader.read().instances}


def test_an_access_point_says_where_it_leads_and_how_that_is_made(made: Made) -> None:
    efs = made.reader.clients["efs"]
    files = efs.create_file_system()["FileSystemId"]
    creation = {"OwnerUid": 10001, "OwnerGid": 10002, "Permissions": "0750"}
    paths: tuple[dict[str, Any], ...] = (
        {"Path": "/odoo", "CreationInfo": creation},
        {"Path": "/restored/odoo"},
        {},
    )
    names = [
        efs.create_access_point(FileSystemId=files, RootDirectory=root)["AccessPointId"] for root in paths
    ]
    assert made.reader.read().access_points == (
        AccessPoint(
            id=names[0],
            file_system_id=files,
            path="/odoo",
            creation=CreationInfo(uid=10001, gid=10002, permissions=0o750),
        ),
        AccessPoint(id=names[1], file_system_id=files, path="/restored/odoo"),
        AccessPoint(id=names[2], file_system_id=files, path="/"),
    )


def test_only_networks_in_use_are_there(made: Made) -> None:
    assert [vpc.cidr for vpc in made.cloud.vpcs] == ["10.8.0.0/16"]


def test_a_group_knows_its_servers_and_its_wishes(made: Made) -> None:
    (group,) = made.cloud.groups
    assert set(group.instance_ids) == {instance.id for instance in made.cloud.instances}
    assert (group.desired, group.health_check_type, group.grace_seconds) == (2, "ELB", 900)
    assert (group.target_group_arns, group.refresh_id) == ((made.targets,), None)


def test_a_target_group_has_its_check_its_targets_and_its_times(made: Made) -> None:
    group = made.cloud.target_groups[made.targets]
    assert dataclasses.astuple(group.health_check) == ("/web/health", "200-299", 15, 5, 2, 4)
    assert {(target.instance_id, target.address, target.port) for target in group.targets} == {
        (instance.id, instance.private_ip, 8069) for instance in made.cloud.instances
    }
    assert (group.sticky_seconds, group.deregistration_delay, group.slow_start) == (600, 120, 60)


def test_a_load_balancer_has_its_listeners_and_rules_in_order(made: Made) -> None:
    (balancer,) = made.cloud.load_balancers
    assert (balancer.arn, balancer.idle_timeout) == (made.balancer, 725)
    plain, secure = balancer.listeners
    assert (plain.port, plain.protocol, plain.default_action.type) == (80, "HTTP", "redirect")
    assert plain.default_action.redirect["StatusCode"] == "HTTP_301"
    assert (secure.port, secure.tls_policy) == (443, "ELBSecurityPolicy-TLS13-1-2-Res-2021-06")
    assert dict(secure.default_action.target_group_arns) == {made.targets: 1}
    assert (secure.certificate_arns, secure.trust_store_arn) == ((made.certificate,), made.store)
    paths, hosts = secure.rules
    assert (paths.priority, paths.paths, paths.hosts) == (1, ("/xmlrpc/*", "/jsonrpc"), ())
    assert (hosts.priority, hosts.hosts) == (2, ("*.example.com",))
    assert (hosts.action.type, hosts.action.status, hosts.action.body) == ("fixed-response", 404, "no")


def test_private_keys_and_trust_stores_come_by_the_internal_way(made: Made) -> None:
    certificate = made.cloud.certificates[made.certificate]
    assert (certificate.certificate.strip(), certificate.private_key.strip()) == (
        made.pem.strip(),
        made.key.strip(),
    )
    assert certificate.chain == "" and made.key not in repr(made.cloud)
    store = made.cloud.trust_stores[made.store]
    assert (store.certificates, store.revocation_lists) == (made.pem, (made.crl,))


def test_rules_between_security_groups_keep_their_peer(made: Made) -> None:
    assert made.cloud.security_groups[made.database].rules[0] == SecurityGroupRule(
        direction="ingress", protocol="tcp", from_port=5432, to_port=5432, peer_group_id=made.servers
    )


def test_an_emulator_that_does_not_run_is_an_error_in_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(CloudError, match="does not run"):
        Endpoint.of(tmp_path)
    with pytest.raises(CloudError, match="no answer"):
        Endpoint("http://127.0.0.1:1", "token").changes()
