"""What a real account has before the first `up`, and an emulated one has not: a hosted zone."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from typing import Any

from local.engine.errors import EngineError


def hosted_zone(values: Mapping[str, Any], project: str) -> str | None:
    """The Route 53 zone that a stack's configuration expects to exist, if any."""
    access = values.get(f"{project}:access")
    zone = access.get("hostedZone") if isinstance(access, Mapping) else None
    return zone if isinstance(zone, str) and zone else None


def client(service: str, endpoint_url: str, region: str) -> Any:
    """A client that talks to the emulator and to nothing else, and does not try twice."""
    import boto3
    from botocore.config import Config

    return boto3.client(
        service,
        endpoint_url=endpoint_url,
        region_name=region,
        aws_access_key_id="emulator",
        aws_secret_access_key="emulator",  # noqa: S106  good for the emulator only
        config=Config(retries={"total_max_attempts": 1}, connect_timeout=5, read_timeout=15),
    )


def provide_hosted_zone(zone: str, endpoint_url: str, region: str) -> None:
    """Make the hosted zone in the emulator unless it is there. Raises EngineError where that fails."""
    from botocore.exceptions import BotoCoreError, ClientError

    name = zone.rstrip(".") + "."
    try:
        route53 = client("route53", endpoint_url, region)
        found = route53.list_hosted_zones_by_name(DNSName=name)["HostedZones"]
        if not any(item["Name"] == name for item in found):
            route53.create_hosted_zone(Name=name, CallerReference=str(uuid.uuid4()))
    except (BotoCoreError, ClientError) as error:
        raise EngineError(f"the hosted zone {zone} cannot be made in the emulator: {error}") from None
