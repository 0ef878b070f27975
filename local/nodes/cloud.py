"""Reads what the emulator holds into `local.nodes.model`: by AWS's API, and where that has no answer
(private keys, contents of trust stores) by the emulator's internal paths.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from local.nodes.model import (
    AccessPoint,
    Action,
    AutoScalingGroup,
    Certificate,
    Cloud,
    CreationInfo,
    Database,
    HealthCheck,
    Instance,
    Listener,
    LoadBalancer,
    Rule,
    SecurityGroup,
    SecurityGroupRule,
    Target,
    TargetGroup,
    TrustStore,
    Vpc,
)

Answer = Mapping[str, Any]
SERVICES = ("ec2", "autoscaling", "elbv2", "rds", "efs", "iam")
TIMEOUT = 30.0
"""Seconds: the emulator answers one request after the other."""


class CloudError(Exception):
    """The emulator gives no answer, or not the one that was asked for."""


@dataclass(frozen=True)
class Endpoint:
    """How the emulator of a home is reached, from its own files: it may have been started anew meanwhile."""

    url: str
    token: str = field(repr=False)

    @classmethod
    def of(cls, home: Path) -> Endpoint:
        """Raises CloudError where no emulator has said that it runs."""
        directory = home / "emulator"
        try:
            url = json.loads((directory / "process.json").read_text())["endpoint_url"]
            return cls(url, (directory / "token").read_text())
        except (OSError, ValueError, KeyError) as error:
            raise CloudError(f"the emulator does not run: {error}") from None

    @property
    def port(self) -> int:
        """The port on 127.0.0.1."""
        return urlsplit(self.url).port or 80

    def ask(self, method: str, path: str, data: Any = None) -> Any:
        """Asks the emulator beyond AWS's API (`local.emulator.internal`). Raises CloudError."""
        connection = HTTPConnection("127.0.0.1", self.port, timeout=TIMEOUT)
        try:
            headers = {"X-Openerp-Token": self.token, "Content-Type": "application/json"}
            connection.request(method, f"/_openerp/{path}", json.dumps(data or {}), headers)
            response = connection.getresponse()
            body = response.read()
        except (OSError, HTTPException) as error:
            raise CloudError(f"the emulator gives no answer: {error}") from None
        finally:
            connection.close()
        if response.status != 200:
            raise CloudError(f"the emulator refuses {path}: {response.status} {body[:200]!r}")
        return json.loads(body)

    def changes(self) -> int:
        """A number that is another one after each change."""
        return int(self.ask("GET", "changes")["changes"])


class Reader:
    """Reads a region again and again, with what can be kept between: clients, and user data by instance."""

    def __init__(self, endpoint: Endpoint, region: str) -> None:
        self.endpoint = endpoint
        self.region = region
        self._user_data: dict[str, bytes] = {}
        self._images: dict[str, str] = {}

    @cached_property
    def clients(self) -> Mapping[str, Any]:
        """A client for each service that is read."""
        from local.account import client

        return {name: client(name, self.endpoint.url, self.region) for name in SERVICES}

    def read(self) -> Cloud:
        """Everything at this moment, terminated instances left out. Raises CloudError."""
        from botocore.exceptions import BotoCoreError, ClientError

        try:
            return self._read()
        except (BotoCoreError, ClientError) as error:
            raise CloudError(f"the emulator cannot be read: {error}") from None

    def _read(self) -> Cloud:
        ec2, elbv2 = self.clients["ec2"], self.clients["elbv2"]
        extra = self.endpoint.ask("GET", "read", {"region": self.region})
        subnets = {row["SubnetId"]: row for row in ec2.describe_subnets()["Subnets"]}
        groups = tuple(_groups(self.clients["autoscaling"], extra["refreshes"]))
        versions = {name: (group, version) for group, version, name in _members(groups)}
        described = [
            row
            for page in ec2.get_paginator("describe_instances").paginate()
            for reservation in page["Reservations"]
            for row in reservation["Instances"]
        ]
        addresses = {row["InstanceId"]: row.get("PrivateIpAddress", "") for row in described}
        instances = tuple(
            self._instance(row, subnets, versions)
            for row in described
            if row["State"]["Name"] != "terminated" and row.get("SubnetId") in subnets
        )
        used = {instance.vpc_id for instance in instances}
        balancers = tuple(
            _load_balancer(elbv2, row) for row in _all(elbv2, "describe_load_balancers", "LoadBalancers")
        )
        used |= {balancer.vpc_id for balancer in balancers}
        return Cloud(
            vpcs=tuple(
                Vpc(id=row["VpcId"], cidr=row["CidrBlock"])
                for row in ec2.describe_vpcs()["Vpcs"]
                if row["VpcId"] in used
            ),
            instances=instances,
            groups=groups,
            load_balancers=balancers,
            target_groups={
                row["TargetGroupArn"]: _target_group(elbv2, row, addresses)
                for row in _all(elbv2, "describe_target_groups", "TargetGroups")
            },
            certificates={arn: Certificate(arn=arn, **row) for arn, row in extra["certificates"].items()},
            trust_stores={
                arn: TrustStore(
                    arn=arn,
                    certificates=row["certificates"],
                    revocation_lists=tuple(row["revocation_lists"]),
                )
                for arn, row in extra["trust_stores"].items()
            },
            security_groups={
                row["GroupId"]: SecurityGroup(id=row["GroupId"], rules=tuple(_rules_of_group(row)))
                for row in ec2.describe_security_groups()["SecurityGroups"]
            },
            databases=tuple(
                _database(row) for row in self.clients["rds"].describe_db_instances()["DBInstances"]
            ),
            access_points=tuple(
                _access_point(row)
                for row in _all(self.clients["efs"], "describe_access_points", "AccessPoints")
            ),
        )

    def _instance(
        self,
        row: Answer,
        subnets: Mapping[str, Answer],
        versions: Mapping[str, tuple[str, str | None]],
    ) -> Instance:
        name = row["InstanceId"]
        group, version = versions.get(name, (None, None))
        options = row.get("MetadataOptions", {})
        return Instance(
            id=name,
            state=row["State"]["Name"],
            image_name=self._image(row["ImageId"]),
            instance_type=row["InstanceType"],
            private_ip=row.get("PrivateIpAddress", ""),
            subnet_cidr=subnets[row["SubnetId"]]["CidrBlock"],
            availability_zone=row["Placement"]["AvailabilityZone"],
            vpc_id=row["VpcId"],
            role_name=self._role(row.get("IamInstanceProfile")),
            user_data=self._data(name),
            group_name=group,
            launch_template_version=version,
            security_group_ids=tuple(sorted(item["GroupId"] for item in row.get("SecurityGroups", []))),
            metadata_hop_limit=int(options.get("HttpPutResponseHopLimit", 1)),
            metadata_tokens_required=options.get("HttpTokens") == "required",
            tags={item["Key"]: item["Value"] for item in row.get("Tags", [])},
        )

    def _image(self, identifier: str) -> str:
        if identifier not in self._images:
            wanted = [{"Name": "image-id", "Values": [identifier]}]
            images = self.clients["ec2"].describe_images(Filters=wanted)["Images"]
            self._images[identifier] = images[0].get("Name", identifier) if images else identifier
        return self._images[identifier]

    def _role(self, profile: Answer | None) -> str | None:
        if not profile:
            return None
        name = profile["Arn"].rpartition("/")[2]
        iam = self.clients["iam"]
        try:
            roles = iam.get_instance_profile(InstanceProfileName=name)["InstanceProfile"]["Roles"]
        except iam.exceptions.NoSuchEntityException:
            return None
        return str(roles[0]["RoleName"]) if roles else None

    def _data(self, instance: str) -> bytes:
        if instance not in self._user_data:
            ec2 = self.clients["ec2"]
            found = ec2.describe_instance_attribute(InstanceId=instance, Attribute="userData")
            self._user_data[instance] = base64.b64decode(found.get("UserData", {}).get("Value", ""))
        return self._user_data[instance]


def _all(client: Any, operation: str, key: str) -> list[Any]:
    return [row for page in client.get_paginator(operation).paginate() for row in page[key]]


def _groups(autoscaling: Any, refreshes: Mapping[str, Answer]) -> Iterable[AutoScalingGroup]:
    for page in autoscaling.get_paginator("describe_auto_scaling_groups").paginate():
        for row in page["AutoScalingGroups"]:
            refresh = refreshes.get(row["AutoScalingGroupName"], {})
            yield AutoScalingGroup(
                name=row["AutoScalingGroupName"],
                desired=row["DesiredCapacity"],
                instance_ids=tuple(item["InstanceId"] for item in row["Instances"]),
                instance_versions={
                    item["InstanceId"]: (item.get("LaunchTemplate") or {}).get("Version")
                    for item in row["Instances"]
                },
                target_group_arns=tuple(row.get("TargetGroupARNs", [])),
                launch_template_version=(row.get("LaunchTemplate") or {}).get("Version"),
                health_check_type=row.get("HealthCheckType", "EC2"),
                grace_seconds=int(row.get("HealthCheckGracePeriod") or 0),
                refresh_id=refresh.get("id"),
                refresh_old_ids=tuple(refresh.get("old", ())),
            )


def _members(groups: Iterable[AutoScalingGroup]) -> Iterable[tuple[str, str | None, str]]:
    for group in groups:
        for name in group.instance_ids:
            yield group.name, group.instance_versions.get(name), name


def _load_balancer(elbv2: Any, row: Answer) -> LoadBalancer:
    arn = row["LoadBalancerArn"]
    attributes = {
        item["Key"]: item["Value"]
        for item in elbv2.describe_load_balancer_attributes(LoadBalancerArn=arn)["Attributes"]
    }
    listeners = elbv2.describe_listeners(LoadBalancerArn=arn)["Listeners"]
    return LoadBalancer(
        arn=arn,
        name=row["LoadBalancerName"],
        vpc_id=row["VpcId"],
        listeners=tuple(
            _listener(elbv2, item) for item in sorted(listeners, key=lambda item: int(item["Port"]))
        ),
        security_group_ids=tuple(row.get("SecurityGroups", [])),
        idle_timeout=int(attributes.get("idle_timeout.timeout_seconds", 60)),
    )


def _listener(elbv2: Any, row: Answer) -> Listener:
    arn = row["ListenerArn"]
    default = [item["CertificateArn"] for item in row.get("Certificates", [])]
    more = []
    if row["Protocol"] == "HTTPS":
        found = elbv2.describe_listener_certificates(ListenerArn=arn)["Certificates"]
        more = [item["CertificateArn"] for item in found]
    rules = [
        _rule(item)
        for item in elbv2.describe_rules(ListenerArn=arn)["Rules"]
        if not item.get("IsDefault") and item["Priority"] != "default"
    ]
    mutual = row.get("MutualAuthentication") or {}
    return Listener(
        arn=arn,
        port=int(row["Port"]),
        protocol=row["Protocol"],
        default_action=_action(row["DefaultActions"]),
        rules=tuple(sorted(rules, key=lambda rule: rule.priority)),
        tls_policy=row.get("SslPolicy"),
        certificate_arns=tuple(dict.fromkeys([*default, *more])),
        trust_store_arn=mutual.get("TrustStoreArn") if mutual.get("Mode") == "verify" else None,
    )


def _rule(row: Answer) -> Rule:
    values: dict[str, list[str]] = {}
    headers: dict[str, tuple[str, ...]] = {}
    for condition in row["Conditions"]:
        kind = condition["Field"]
        config: Answer = next(
            (value for name, value in condition.items() if name.endswith("Config") and value), {}
        )
        found = config.get("Values") or condition.get("Values") or []
        if kind == "http-header":
            headers[config["HttpHeaderName"]] = tuple(found)
        elif kind in ("path-pattern", "host-header", "http-request-method"):
            values.setdefault(kind, []).extend(found)
        else:
            raise CloudError(f"rule {row['RuleArn']}: conditions of the kind {kind} are not known here")
    return Rule(
        arn=row["RuleArn"],
        priority=int(row["Priority"]),
        action=_action(row["Actions"]),
        paths=tuple(values.get("path-pattern", ())),
        hosts=tuple(values.get("host-header", ())),
        methods=tuple(values.get("http-request-method", ())),
        headers=headers,
    )


def _action(rows: list[Answer]) -> Action:
    """The last action decides; what comes before it (a login) is not made here."""
    row = rows[-1]
    kind = row["Type"]
    if kind == "forward":
        config = row.get("ForwardConfig") or {}
        groups = config.get("TargetGroups") or [{"TargetGroupArn": row["TargetGroupArn"]}]
        return Action(
            type="forward",
            target_group_arns={item["TargetGroupArn"]: int(item.get("Weight", 1)) for item in groups},
        )
    if kind == "redirect":
        config = row["RedirectConfig"]
        return Action(type="redirect", redirect={name: str(value) for name, value in config.items()})
    if kind == "fixed-response":
        config = row["FixedResponseConfig"]
        return Action(
            type="fixed-response",
            status=int(config["StatusCode"]),
            content_type=config.get("ContentType") or "text/plain",
            body=config.get("MessageBody") or "",
        )
    raise CloudError(f"listener actions of the kind {kind} are not known here")


def _target_group(elbv2: Any, row: Answer, addresses: Mapping[str, str]) -> TargetGroup:
    arn = row["TargetGroupArn"]
    attributes = {
        item["Key"]: item["Value"]
        for item in elbv2.describe_target_group_attributes(TargetGroupArn=arn)["Attributes"]
    }
    sticky = attributes.get("stickiness.enabled") == "true"
    seconds = int(attributes.get("stickiness.lb_cookie.duration_seconds", 86400))
    registered = elbv2.describe_target_health(TargetGroupArn=arn)["TargetHealthDescriptions"]
    targets = [
        Target(
            instance_id=item["Target"]["Id"],
            address=addresses[item["Target"]["Id"]],
            port=int(item["Target"]["Port"]),
        )
        for item in registered
        if addresses.get(item["Target"]["Id"])
    ]
    return TargetGroup(
        arn=arn,
        name=row["TargetGroupName"],
        health_check=HealthCheck(
            path=row.get("HealthCheckPath") or "/",
            matcher=(row.get("Matcher") or {}).get("HttpCode") or "200",
            interval=int(row.get("HealthCheckIntervalSeconds") or 30),
            timeout=int(row.get("HealthCheckTimeoutSeconds") or 5),
            healthy_threshold=int(row.get("HealthyThresholdCount") or 5),
            unhealthy_threshold=int(row.get("UnhealthyThresholdCount") or 2),
        ),
        targets=tuple(sorted(targets, key=lambda target: target.instance_id)),
        sticky_seconds=seconds if sticky else None,
        deregistration_delay=int(attributes.get("deregistration_delay.timeout_seconds", 300)),
        slow_start=int(attributes.get("slow_start.duration_seconds", 0)),
    )


def _rules_of_group(row: Answer) -> Iterable[SecurityGroupRule]:
    for direction, permissions in (("ingress", "IpPermissions"), ("egress", "IpPermissionsEgress")):
        for item in row.get(permissions, []):
            common: dict[str, Any] = {
                "direction": direction,
                "protocol": item["IpProtocol"],
                "from_port": int(item.get("FromPort", -1)),
                "to_port": int(item.get("ToPort", -1)),
            }
            for block in item.get("IpRanges", []):
                yield SecurityGroupRule(**common, cidr=block["CidrIp"])
            for peer in item.get("UserIdGroupPairs", []):
                yield SecurityGroupRule(**common, peer_group_id=peer["GroupId"])


def _database(row: Answer) -> Database:
    endpoint = row.get("Endpoint") or {}
    return Database(
        identifier=row["DBInstanceIdentifier"],
        status=row["DBInstanceStatus"],
        host=endpoint.get("Address", ""),
        port=int(endpoint.get("Port") or 0),
        security_group_ids=tuple(
            sorted(item["VpcSecurityGroupId"] for item in row.get("VpcSecurityGroups", []))
        ),
    )


def _access_point(row: Answer) -> AccessPoint:
    root = row.get("RootDirectory") or {}
    made = root.get("CreationInfo")
    return AccessPoint(
        id=row["AccessPointId"],
        file_system_id=row["FileSystemId"],
        path=root.get("Path") or "/",
        creation=CreationInfo(
            uid=int(made["OwnerUid"]), gid=int(made["OwnerGid"]), permissions=int(made["Permissions"], 8)
        )
        if made
        else None,
    )
