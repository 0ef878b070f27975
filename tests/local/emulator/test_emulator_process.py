"""The emulator's process: it starts once, answers, ends, and comes back after a kill with the same state."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest

from local.emulator import Emulator, EmulatorError, running, start, stop
from local.processes import identity
from tests.local.emulator.conftest import make_client, wait_until


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Path]:
    yield tmp_path / "home"
    stop(tmp_path / "home")


def kill(emulator: Emulator) -> None:
    os.kill(emulator.pid, signal.SIGKILL)
    wait_until(lambda: identity(emulator.pid) is None)


def test_importing_it_imports_nothing_heavy() -> None:
    shown = subprocess.run(
        [sys.executable, "-c", "import sys, local.emulator; print(*sys.modules)"],
        capture_output=True,
        text=True,
        check=True,
        cwd=Path(__file__).parents[3],
    ).stdout.split()
    assert not {"moto", "boto3", "botocore", "flask", "psycopg", "pulumi", "asyncio"} & set(shown)


def test_it_starts_once_however_often_it_is_asked_for(home: Path) -> None:
    found: list[Emulator] = []
    threads = [threading.Thread(target=lambda: found.append(start(home))) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 3 and len(set(found)) == 1
    assert running(home) == found[0]
    assert found[0].endpoint_url.startswith("http://127.0.0.1:")
    stop(home)
    assert running(home) is None
    assert identity(found[0].pid) is None
    stop(home)


def test_a_recycled_pid_is_not_taken_for_the_emulator_and_not_killed(home: Path) -> None:
    stranger = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
    try:
        (home / "emulator").mkdir(parents=True)
        record = {
            "pid": str(stranger.pid),
            "identity": "another boot 1",
            "endpoint_url": "x",
            "fingerprint": "y",
        }
        (home / "emulator" / "process.json").write_text(json.dumps(record))
        assert running(home) is None
        stop(home)
        assert stranger.poll() is None
    finally:
        stranger.kill()
        stranger.wait()


def test_an_emulator_of_older_code_is_replaced_with_its_state(home: Path) -> None:
    first = start(home)
    vpc = make_client(first, "ec2").create_vpc(CidrBlock="10.0.0.0/16")["Vpc"]["VpcId"]
    path = home / "emulator" / "process.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "fingerprint": "older"}))
    second = start(home)
    assert second.pid != first.pid
    assert identity(first.pid) is None
    assert second.endpoint_url == first.endpoint_url
    make_client(second, "ec2").describe_vpcs(VpcIds=[vpc])


def test_an_emulator_ends_by_itself_when_its_home_is_deleted(tmp_path: Path) -> None:
    """Nobody could find it any more to stop it: its pid is in the home."""
    home = tmp_path / "deleted"
    emulator = start(home)
    mark = identity(emulator.pid)
    shutil.rmtree(home)
    wait_until(lambda: identity(emulator.pid) != mark)


def test_a_home_that_cannot_be_written_to_is_an_error_that_names_it(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(EmulatorError, match="cannot be used for the emulator"):
        start(tmp_path / "file")


def make_things(emulator: Emulator) -> None:
    """One of many kinds; reads in between, and a request that fails, as a real run has them."""
    ec2, iam, kms = (make_client(emulator, name) for name in ("ec2", "iam", "kms"))
    ec2.describe_vpcs()
    vpc = ec2.create_vpc(CidrBlock="10.0.0.0/16")["Vpc"]["VpcId"]
    subnets = [
        ec2.create_subnet(VpcId=vpc, CidrBlock=f"10.0.{n}.0/24", AvailabilityZone=f"eu-west-1{zone}")[
            "Subnet"
        ]
        for n, zone in enumerate("ab")
    ]
    with pytest.raises(ec2.exceptions.ClientError):
        ec2.create_subnet(VpcId=vpc, CidrBlock="192.168.0.0/24")
    group = ec2.create_security_group(GroupName="g", Description="d", VpcId=vpc)["GroupId"]
    rule = {"IpProtocol": "tcp", "FromPort": 443, "ToPort": 443, "IpRanges": [{"CidrIp": "0.0.0.0/0"}]}
    ec2.authorize_security_group_ingress(GroupId=group, IpPermissions=[rule])
    gateway = ec2.create_internet_gateway()["InternetGateway"]["InternetGatewayId"]
    ec2.attach_internet_gateway(InternetGatewayId=gateway, VpcId=vpc)
    iam.create_role(RoleName="r", AssumeRolePolicyDocument='{"Version":"2012-10-17","Statement":[]}')
    key = kms.create_key()["KeyMetadata"]["Arn"]
    kms.create_alias(AliasName="alias/a", TargetKeyId=key)
    make_client(emulator, "secretsmanager").create_secret(Name="s", SecretString="hidden")
    make_client(emulator, "efs").create_file_system(Encrypted=True)
    make_client(emulator, "sns").create_topic(Name="t")
    s3 = make_client(emulator, "s3")
    s3.create_bucket(Bucket="things", CreateBucketConfiguration={"LocationConstraint": "eu-west-1"})
    s3.put_bucket_versioning(Bucket="things", VersioningConfiguration={"Status": "Enabled"})
    s3.put_object(Bucket="things", Key="päth/with space", Body=b"\x00\xff content")
    certificate = make_client(emulator, "acm").request_certificate(DomainName="a.example")["CertificateArn"]
    elbv2 = make_client(emulator, "elbv2")
    balancer = elbv2.create_load_balancer(Name="lb", Subnets=[s["SubnetId"] for s in subnets])[
        "LoadBalancers"
    ][0]
    target = elbv2.create_target_group(Name="tg", Protocol="HTTP", Port=80, VpcId=vpc)["TargetGroups"][0]
    elbv2.create_listener(
        LoadBalancerArn=balancer["LoadBalancerArn"],
        Protocol="HTTPS",
        Port=443,
        Certificates=[{"CertificateArn": certificate}],
        DefaultActions=[{"Type": "forward", "TargetGroupArn": target["TargetGroupArn"]}],
    )
    ec2.create_launch_template(
        LaunchTemplateName="template", LaunchTemplateData={"ImageId": "ami-1", "InstanceType": "t4g.small"}
    )
    make_client(emulator, "autoscaling").create_auto_scaling_group(
        AutoScalingGroupName="asg",
        MinSize=1,
        MaxSize=3,
        DesiredCapacity=3,
        VPCZoneIdentifier=",".join(s["SubnetId"] for s in subnets),
        LaunchTemplate={"LaunchTemplateName": "template"},
    )
    backup = make_client(emulator, "backup")
    backup.create_backup_vault(BackupVaultName="v")
    rules = [{"RuleName": "r", "TargetBackupVaultName": "v"}]
    plan = backup.create_backup_plan(BackupPlan={"BackupPlanName": "p", "Rules": rules})["BackupPlanId"]
    backup.create_backup_selection(
        BackupPlanId=plan, BackupSelection={"SelectionName": "s", "IamRoleArn": "arn:aws:iam::1:role/r"}
    )
    make_client(emulator, "route53").create_hosted_zone(Name="example.com", CallerReference="1")
    make_client(emulator, "wafv2").create_web_acl(
        Name="w",
        Scope="REGIONAL",
        DefaultAction={"Allow": {}},
        VisibilityConfig={
            "SampledRequestsEnabled": True,
            "CloudWatchMetricsEnabled": True,
            "MetricName": "m",
        },
    )


def seen(emulator: Emulator) -> dict[str, Any]:
    """What the API says of all these things, without what is told anew each time."""
    ec2, s3, secrets = (make_client(emulator, name) for name in ("ec2", "s3", "secretsmanager"))
    elbv2, backup = make_client(emulator, "elbv2"), make_client(emulator, "backup")
    arns = [balancer["LoadBalancerArn"] for balancer in elbv2.describe_load_balancers()["LoadBalancers"]]
    plans = backup.list_backup_plans()["BackupPlansList"]
    return {
        "vpcs": ec2.describe_vpcs()["Vpcs"],
        "subnets": ec2.describe_subnets()["Subnets"],
        "groups": ec2.describe_security_groups()["SecurityGroups"],
        "rules": ec2.describe_security_group_rules()["SecurityGroupRules"],
        "gateways": ec2.describe_internet_gateways()["InternetGateways"],
        "templates": ec2.describe_launch_templates()["LaunchTemplates"],
        "roles": make_client(emulator, "iam").list_roles()["Roles"],
        "keys": make_client(emulator, "kms").list_keys()["Keys"],
        "secrets": secrets.list_secrets()["SecretList"],
        "secret": secrets.get_secret_value(SecretId="s")["VersionId"],
        "file systems": [
            {key: value for key, value in row.items() if key != "SizeInBytes"}
            for row in make_client(emulator, "efs").describe_file_systems()["FileSystems"]
        ],
        "topics": make_client(emulator, "sns").list_topics()["Topics"],
        "object": s3.get_object(Bucket="things", Key="päth/with space")["Body"].read(),
        "versions": s3.list_object_versions(Bucket="things")["Versions"],
        "certificates": make_client(emulator, "acm").list_certificates()["CertificateSummaryList"],
        "balancers": elbv2.describe_load_balancers()["LoadBalancers"],
        "listeners": [elbv2.describe_listeners(LoadBalancerArn=arn)["Listeners"] for arn in arns],
        "targets": elbv2.describe_target_groups()["TargetGroups"],
        "scaling": make_client(emulator, "autoscaling").describe_auto_scaling_groups()["AutoScalingGroups"],
        "plans": plans,
        "selections": [
            backup.list_backup_selections(BackupPlanId=plan["BackupPlanId"])["BackupSelectionsList"]
            for plan in plans
        ],
        "zones": make_client(emulator, "route53").list_hosted_zones()["HostedZones"],
        "acls": make_client(emulator, "wafv2").list_web_acls(Scope="REGIONAL")["WebACLs"],
    }


def test_everything_has_the_same_ids_and_dates_after_a_kill(home: Path) -> None:
    first = start(home)
    make_things(first)
    before = seen(first)
    kill(first)
    assert running(home) is None
    second = start(home)
    assert second.endpoint_url == first.endpoint_url
    assert seen(second) == before
    extra = make_client(second, "ec2").create_vpc(CidrBlock="10.1.0.0/16")["Vpc"]["VpcId"]
    assert extra not in {vpc["VpcId"] for vpc in before["vpcs"]}
    stop(home)
    third = start(home)
    after = seen(third)
    assert {vpc["VpcId"] for vpc in after["vpcs"]} == {extra, *(vpc["VpcId"] for vpc in before["vpcs"])}


def test_a_request_whose_record_was_cut_short_by_a_kill_is_forgotten(home: Path) -> None:
    emulator = start(home)
    ec2 = make_client(emulator, "ec2")
    kept = ec2.create_vpc(CidrBlock="10.0.0.0/16")["Vpc"]["VpcId"]
    lost = ec2.create_vpc(CidrBlock="10.1.0.0/16")["Vpc"]["VpcId"]
    kill(emulator)
    journal = home / "emulator" / "journal"
    journal.write_bytes(journal.read_bytes()[:-10])
    emulator = start(home)
    ec2 = make_client(emulator, "ec2")
    later = ec2.create_vpc(CidrBlock="10.2.0.0/16")["Vpc"]["VpcId"]
    kill(emulator)
    ec2 = make_client(start(home), "ec2")
    found = {vpc["VpcId"] for vpc in ec2.describe_vpcs()["Vpcs"]}
    assert {kept, later} <= found
    assert lost == later or lost not in found


def instance(rds: Any, name: str) -> Any:
    return rds.describe_db_instances(DBInstanceIdentifier=name)["DBInstances"][0]


def test_a_database_is_attached_again_after_a_kill_and_no_server_is_left_behind(home: Path) -> None:
    first = start(home)
    rds, secrets = make_client(first, "rds"), make_client(first, "secretsmanager")
    rds.create_db_instance(
        DBInstanceIdentifier="kept",
        DBInstanceClass="db.t4g.micro",
        Engine="postgres",
        AllocatedStorage=20,
        MasterUsername="master",
        ManageMasterUserPassword=True,
    )
    wait_until(lambda: instance(rds, "kept")["DBInstanceStatus"] == "available")
    before = instance(rds, "kept")
    arn = before["MasterUserSecret"]["SecretArn"]
    secret = secrets.get_secret_value(SecretId=arn)["SecretString"]
    login = {
        "host": before["Endpoint"]["Address"],
        "port": before["Endpoint"]["Port"],
        "user": "master",
        "password": json.loads(secret)["password"],
        "dbname": "postgres",
        "autocommit": True,
    }
    with psycopg.connect(**login) as connection:
        connection.execute("create table t as select 42 as a")
    server = json.loads(next((home / "postgres").glob("*/process.json")).read_text())
    kill(first)
    wait_until(lambda: identity(server["pid"]) is None, 10)

    second = start(home)
    rds, secrets = make_client(second, "rds"), make_client(second, "secretsmanager")
    after = instance(rds, "kept")
    for field in ("DBInstanceStatus", "Endpoint", "DbiResourceId", "DBInstanceArn", "InstanceCreateTime"):
        assert after[field] == before[field]
    assert secrets.get_secret_value(SecretId=arn)["SecretString"] == secret
    with psycopg.connect(**login) as connection:
        assert connection.execute("select a from t").fetchone() == (42,)
    rds.delete_db_instance(DBInstanceIdentifier="kept", SkipFinalSnapshot=True)
    wait_until(lambda: not list((home / "postgres").glob("*kept*")))
    started = time.monotonic()
    stop(home)
    assert time.monotonic() - started < 15
