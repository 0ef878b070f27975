"""What the tests of the whole graph ask of it again and again."""

from __future__ import annotations

import base64
import gzip
import json
from collections.abc import Iterator
from typing import Any, Final

from tests.components.conftest import Graph, Registration

INGRESS: Final = "aws:vpc/securityGroupIngressRule:SecurityGroupIngressRule"
EGRESS: Final = "aws:vpc/securityGroupEgressRule:SecurityGroupEgressRule"
TEMPLATE: Final = "aws:ec2/launchTemplate:LaunchTemplate"
GROUP: Final = "aws:autoscaling/group:Group"
INSTANCE: Final = "aws:rds/instance:Instance"
LISTENER: Final = "aws:lb/listener:Listener"
BALANCER: Final = "aws:lb/loadBalancer:LoadBalancer"
ALARM: Final = "aws:cloudwatch/metricAlarm:MetricAlarm"
SNAPSHOT: Final = "aws:rds/snapshot:Snapshot"
SECRET: Final = "aws:secretsmanager/secret:Secret"
VAULT: Final = "aws:backup/vault:Vault"
LOCK: Final = "aws:backup/vaultLockConfiguration:VaultLockConfiguration"
KEY: Final = "aws:kms/key:Key"
RECORD: Final = "aws:route53/record:Record"
DATABASE: Final = "postgresql:index/database:Database"
ROLE: Final = "postgresql:index/role:Role"
GRANT: Final = "postgresql:index/grant:Grant"
AWS_PROVIDER: Final = "pulumi:providers:aws"


def component(name: str) -> str:
    return f"openerp:index:{name}"


def user_data(template: Registration) -> str:
    """Return the cloud-config in a launch template, as cloud-init will read it."""
    raw = base64.b64decode(template.inputs["userData"], validate=True)
    return (gzip.decompress(raw) if raw.startswith(b"\x1f\x8b") else raw).decode()


def names(graph: Graph, type_: str) -> set[str]:
    return {resource.name for resource in graph.of(type_)}


def by_name(graph: Graph, type_: str) -> dict[str, dict[str, Any]]:
    return {resource.name: resource.inputs for resource in graph.of(type_)}


def shape(graph: Graph) -> dict[str, dict[str, Any]]:
    """Return every resource by its URN: what a diff between two graphs goes by."""
    return {resource.urn: resource.inputs for resource in graph.registrations if resource.custom}


def texts(value: Any) -> Iterator[str]:
    """Yield every text in a value, those in JSON documents within texts too."""
    if isinstance(value, str):
        yield value
        if value[:1] in "{[":
            try:
                yield from texts(json.loads(value))
            except ValueError:
                return
    elif isinstance(value, dict):
        for key, inner in value.items():
            yield str(key)
            yield from texts(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from texts(inner)
