"""EFS, Auto Scaling, IAM, budgets, machine images, and what the emulator does not know, over boto3."""

from __future__ import annotations

import base64
import json
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from botocore.exceptions import ClientError

from tests.local.emulator.conftest import wait_until

Clients = Callable[..., Any]
DEBIAN = "/aws/service/debian/release/13/latest/arm64"


def code(caught: pytest.ExceptionInfo[ClientError]) -> str:
    return str(caught.value.response["Error"]["Code"])


def data(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


@pytest.fixture
def group(client: Clients, subnets: list[str], request: pytest.FixtureRequest) -> Iterator[str]:
    name = request.node.name
    ec2, autoscaling = client("ec2"), client("autoscaling")
    ec2.create_launch_template(
        LaunchTemplateName=name,
        LaunchTemplateData={
            "ImageId": f"resolve:ssm:{DEBIAN}",
            "InstanceType": "t4g.small",
            "UserData": data("first"),
        },
    )
    autoscaling.create_auto_scaling_group(
        AutoScalingGroupName=name,
        MinSize=1,
        MaxSize=4,
        DesiredCapacity=3,
        VPCZoneIdentifier=",".join(subnets),
        LaunchTemplate={"LaunchTemplateName": name, "Version": "$Latest"},
    )
    yield name
    autoscaling.delete_auto_scaling_group(AutoScalingGroupName=name, ForceDelete=True)


def described(client: Clients, name: str) -> Any:
    found = client("autoscaling").describe_auto_scaling_groups(AutoScalingGroupNames=[name])
    return found["AutoScalingGroups"][0]


def test_a_file_systems_backup_policy_and_policy_can_be_set_and_taken_away(client: Clients) -> None:
    efs = client("efs")
    name = efs.create_file_system(Encrypted=True)["FileSystemId"]
    with pytest.raises(ClientError) as caught:
        efs.describe_backup_policy(FileSystemId=name)
    assert code(caught) == "PolicyNotFound"
    for status in ("ENABLED", "DISABLED"):
        efs.put_backup_policy(FileSystemId=name, BackupPolicy={"Status": status})
        assert efs.describe_backup_policy(FileSystemId=name)["BackupPolicy"] == {"Status": status}
    efs.put_file_system_policy(FileSystemId=name, Policy='{"Statement":[]}')
    efs.delete_file_system_policy(FileSystemId=name)
    with pytest.raises(ClientError) as caught:
        efs.describe_file_system_policy(FileSystemId=name)
    assert code(caught) == "PolicyNotFound"


def test_instances_are_spread_over_the_zones(client: Clients, group: str) -> None:
    zones = Counter(instance["AvailabilityZone"] for instance in described(client, group)["Instances"])
    assert sorted(zones.values()) == [1, 2]


def test_a_group_refuses_more_than_its_maximum(client: Clients, group: str) -> None:
    with pytest.raises(ClientError) as caught:
        client("autoscaling").set_desired_capacity(AutoScalingGroupName=group, DesiredCapacity=5)
    assert code(caught) == "ValidationError"
    client("autoscaling").update_auto_scaling_group(AutoScalingGroupName=group, MaxSize=2)
    assert len(described(client, group)["Instances"]) == 2


def test_an_instance_refresh_replaces_the_instances_by_those_of_the_latest_version(
    client: Clients, group: str
) -> None:
    ec2, autoscaling = client("ec2"), client("autoscaling")
    before = {instance["InstanceId"] for instance in described(client, group)["Instances"]}
    image = client("ssm").get_parameter(Name=DEBIAN)["Parameter"]["Value"]
    ec2.create_launch_template_version(
        LaunchTemplateName=group,
        LaunchTemplateData={"ImageId": image, "InstanceType": "t4g.small", "UserData": data("second")},
    )
    template = {"LaunchTemplateName": group, "Version": "2"}
    autoscaling.update_auto_scaling_group(AutoScalingGroupName=group, LaunchTemplate=template)
    identifier = autoscaling.start_instance_refresh(
        AutoScalingGroupName=group, Preferences={"MinHealthyPercentage": 90}
    )["InstanceRefreshId"]

    def row() -> Any:
        (found,) = autoscaling.describe_instance_refreshes(AutoScalingGroupName=group)["InstanceRefreshes"]
        return found

    wait_until(lambda: row()["Status"] == "Successful")
    found = row()
    assert (found["InstanceRefreshId"], found["Status"], found["PercentageComplete"]) == (
        identifier,
        "Successful",
        100,
    )
    assert found["Preferences"] == {"MinHealthyPercentage": 90}
    instances = described(client, group)["Instances"]
    assert len(instances) == 3 and before.isdisjoint(instance["InstanceId"] for instance in instances)
    assert {instance["LaunchTemplate"]["Version"] for instance in instances} == {"2"}
    found = ec2.describe_instances(InstanceIds=[instances[0]["InstanceId"]])["Reservations"][0]["Instances"][
        0
    ]
    assert found["ImageId"] == image
    with pytest.raises(ClientError) as caught:
        autoscaling.cancel_instance_refresh(AutoScalingGroupName=group)
    assert code(caught).startswith("ActiveInstanceRefreshNotFound")


def test_notifications_of_a_group_read_back_until_they_are_deleted(client: Clients, group: str) -> None:
    autoscaling = client("autoscaling")
    topic = "arn:aws:sns:eu-west-1:123456789012:t"
    kinds = ["autoscaling:EC2_INSTANCE_LAUNCH_ERROR", "autoscaling:EC2_INSTANCE_TERMINATE_ERROR"]
    autoscaling.put_notification_configuration(
        AutoScalingGroupName=group, TopicARN=topic, NotificationTypes=kinds
    )
    rows = autoscaling.describe_notification_configurations(AutoScalingGroupNames=[group])
    assert [row["NotificationType"] for row in rows["NotificationConfigurations"]] == kinds
    autoscaling.delete_notification_configuration(AutoScalingGroupName=group, TopicARN=topic)
    rows = autoscaling.describe_notification_configurations(AutoScalingGroupNames=[group])
    assert rows["NotificationConfigurations"] == []


@pytest.mark.parametrize(
    "path",
    [
        "/aws/service/debian/release/13/latest/amd64",
        "/aws/service/canonical/ubuntu/server/24.04/stable/current/arm64/hvm/ebs-gp3/ami-id",
        "/aws/service/ami-amazon-linux-latest/al2023-ami-kernel-default-x86_64",
    ],
)
def test_a_public_parameter_names_an_image_that_exists(client: Clients, path: str) -> None:
    image = client("ssm").get_parameter(Name=path)["Parameter"]["Value"]
    (found,) = client("ec2").describe_images(ImageIds=[image])["Images"]
    assert found["State"] == "available"
    assert found["Architecture"] == ("arm64" if "arm64" in path else "x86_64")


def test_debians_own_images_are_found_by_owner_and_name(client: Clients) -> None:
    found = client("ec2").describe_images(
        Owners=["136693071363"], Filters=[{"Name": "name", "Values": ["debian-13-arm64-*"]}]
    )["Images"]
    assert len(found) == 1


def test_policies_that_aws_manages_can_be_attached_and_read(client: Clients) -> None:
    iam = client("iam")
    arn = "arn:aws:iam::aws:policy/AmazonSSMManagedInstanceCore"
    iam.create_role(RoleName="server", AssumeRolePolicyDocument='{"Version":"2012-10-17","Statement":[]}')
    iam.attach_role_policy(RoleName="server", PolicyArn=arn)
    attached = iam.list_attached_role_policies(RoleName="server")["AttachedPolicies"]
    assert [policy["PolicyArn"] for policy in attached] == [arn]
    assert iam.get_policy(PolicyArn=arn)["Policy"]["PolicyName"] == "AmazonSSMManagedInstanceCore"
    statement = {"Effect": "Allow", "Action": "logs:*", "Resource": "*"}
    document = json.dumps({"Version": "2012-10-17", "Statement": [statement]})
    own = iam.create_policy(PolicyName="own", PolicyDocument=document)
    assert own["Policy"]["Arn"] in {policy["Arn"] for policy in iam.list_policies(Scope="Local")["Policies"]}
    with pytest.raises(ClientError) as caught:
        iam.attach_role_policy(RoleName="server", PolicyArn=arn + "Absent")
    assert code(caught) == "NoSuchEntity"


def test_a_budget_with_notifications_reads_back(client: Clients) -> None:
    budgets, account = client("budgets"), "123456789012"
    notification = {
        "NotificationType": "FORECASTED",
        "ComparisonOperator": "GREATER_THAN",
        "Threshold": 100,
        "ThresholdType": "PERCENTAGE",
    }
    subscriber = {"SubscriptionType": "EMAIL", "Address": "a@example.com"}
    budgets.create_budget(
        AccountId=account,
        Budget={
            "BudgetName": "monthly",
            "BudgetType": "COST",
            "TimeUnit": "MONTHLY",
            "BudgetLimit": {"Amount": "100", "Unit": "USD"},
        },
        NotificationsWithSubscribers=[{"Notification": notification, "Subscribers": [subscriber]}],
        ResourceTags=[{"Key": "a", "Value": "b"}],
    )
    named = {"AccountId": account, "BudgetName": "monthly"}
    (found,) = budgets.describe_notifications_for_budget(**named)["Notifications"]
    assert found["Threshold"] == 100
    subscribers = budgets.describe_subscribers_for_notification(**named, Notification=notification)
    assert subscribers["Subscribers"] == [subscriber]
    budgets.update_budget(
        AccountId=account,
        NewBudget={
            "BudgetName": "monthly",
            "BudgetType": "COST",
            "TimeUnit": "MONTHLY",
            "BudgetLimit": {"Amount": "200", "Unit": "USD"},
        },
    )
    assert budgets.describe_budget(**named)["Budget"]["BudgetLimit"]["Amount"] == "200"
    arn = f"arn:aws:budgets::{account}:budget/monthly"
    assert budgets.list_tags_for_resource(ResourceARN=arn)["ResourceTags"] == [{"Key": "a", "Value": "b"}]
    budgets.delete_notification(**named, Notification=notification)
    assert budgets.describe_notifications_for_budget(**named)["Notifications"] == []
    budgets.delete_budget(**named)


@pytest.mark.parametrize(
    ("service", "operation", "arguments"),
    [
        ("ec2", "describe_verified_access_instances", {}),
        ("elbv2", "modify_ip_pools", {"LoadBalancerArn": "x"}),
        ("backup", "list_frameworks", {}),
        ("secretsmanager", "validate_resource_policy", {"ResourcePolicy": "{}"}),
        ("route53", "list_cidr_collections", {}),
        ("efs", "describe_replication_configurations", {}),
    ],
)
def test_an_operation_that_is_not_there_answers_with_an_error_of_its_service(
    client: Clients, service: str, operation: str, arguments: dict[str, Any]
) -> None:
    with pytest.raises(ClientError) as caught:
        getattr(client(service), operation)(**arguments)
    assert code(caught) == "NotImplemented"
    assert caught.value.response["ResponseMetadata"]["HTTPStatusCode"] == 400
    assert "emulator" in caught.value.response["Error"]["Message"]


def test_a_versioned_bucket_in_which_something_was_deleted_can_be_emptied(client: Callable[..., Any]) -> None:
    s3 = client("s3")
    s3.create_bucket(Bucket="versions", CreateBucketConfiguration={"LocationConstraint": "eu-west-1"})
    s3.put_bucket_versioning(Bucket="versions", VersioningConfiguration={"Status": "Enabled"})
    s3.put_object(Bucket="versions", Key="a", Body=b"one")
    s3.delete_object(Bucket="versions", Key="a")
    found = s3.list_object_versions(Bucket="versions")
    rows = [*found["Versions"], *found["DeleteMarkers"]]
    named = [{"Key": row["Key"], "VersionId": row["VersionId"]} for row in rows]
    assert len(named) == 2
    assert "Errors" not in s3.delete_objects(Bucket="versions", Delete={"Objects": named})
    s3.delete_bucket(Bucket="versions")
