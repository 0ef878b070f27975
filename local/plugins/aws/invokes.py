"""Functions of pulumi-aws (data sources) that programs call."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from local.plugins.aws.clients import Clients, call
from local.plugins.aws.row import Values
from local.plugins.aws.shapes import camel
from local.plugins.table_provider import PluginError

Function = Callable[[Clients, str, Values], Values]


def _partition(region: str) -> tuple[str, str]:
    if region.startswith("cn-"):
        return "aws-cn", "amazonaws.com.cn"
    return ("aws-us-gov" if region.startswith("us-gov-") else "aws"), "amazonaws.com"


def get_caller_identity(clients: Clients, region: str, args: Values) -> Values:
    """The emulator's account."""
    answer = call(clients.get("sts", region), "GetCallerIdentity", "getCallerIdentity", {})
    account = answer["Account"]
    return {"accountId": account, "arn": answer["Arn"], "userId": answer["UserId"], "id": account}


def get_region(clients: Clients, region: str, args: Values) -> Values:
    """The provider's region, or the one asked for."""
    name = args.get("name") or region
    return {
        "id": name,
        "name": name,
        "region": name,
        "endpoint": f"ec2.{name}.{_partition(name)[1]}",
        "description": name,
    }


def get_partition(clients: Clients, region: str, args: Values) -> Values:
    """The partition of the provider's region."""
    partition, suffix = _partition(region)
    reverse = ".".join(reversed(suffix.split(".")))
    return {"partition": partition, "id": partition, "dnsSuffix": suffix, "reverseDnsPrefix": reverse}


def get_availability_zones(clients: Clients, region: str, args: Values) -> Values:
    """The zones in the state that is asked for (by default all)."""
    filters = [{"Name": entry["name"], "Values": entry["values"]} for entry in args.get("filters") or []]
    if args.get("state"):
        filters.append({"Name": "state", "Values": [args["state"]]})
    client = clients.get("ec2", region)
    zones = call(client, "DescribeAvailabilityZones", "getAvailabilityZones", {"Filters": filters})
    excluded = set(args.get("excludeNames") or []) | set(args.get("excludeZoneIds") or [])
    found = sorted(
        (zone["ZoneName"], zone["ZoneId"])
        for zone in zones["AvailabilityZones"]
        if not {zone["ZoneName"], zone["ZoneId"]} & excluded
    )
    names = [name for name, _ in found]
    return {
        "id": region,
        "names": names,
        "zoneIds": [zone for _, zone in found],
        "groupNames": [region],
        **args,
    }


def get_zone(clients: Clients, region: str, args: Values) -> Values:
    """The hosted zone by id or name; exactly one must be found."""
    client = clients.get("route53", region)
    wanted = args.get("zoneId")
    name = str(args.get("name") or "").rstrip(".") + "."
    if wanted:
        zones = [call(client, "GetHostedZone", str(wanted), {"Id": wanted})["HostedZone"]]
    else:
        listed = call(client, "ListHostedZones", name, {})["HostedZones"]
        private = bool(args.get("privateZone"))
        zones = [
            zone
            for zone in listed
            if zone["Name"] == name and bool(zone.get("Config", {}).get("PrivateZone")) == private
        ]
    if len(zones) != 1:
        found = "no hosted zone" if not zones else f"{len(zones)} hosted zones"
        raise PluginError(f"route53.getZone: {found} found for {wanted or name}; one is needed")
    zone = zones[0]
    zone_id = zone["Id"].rpartition("/")[2]
    sets = call(client, "GetHostedZone", zone_id, {"Id": zone_id}).get("DelegationSet", {})
    servers = sets.get("NameServers", [])
    return {
        "id": zone_id,
        "zoneId": zone_id,
        "name": zone["Name"].rstrip("."),
        "arn": f"arn:aws:route53:::hostedzone/{zone_id}",
        "callerReference": zone.get("CallerReference", ""),
        "comment": zone.get("Config", {}).get("Comment", ""),
        "privateZone": bool(zone.get("Config", {}).get("PrivateZone")),
        "resourceRecordSetCount": zone.get("ResourceRecordSetCount", 0),
        "nameServers": servers,
        "primaryNameServer": servers[0] if servers else "",
        "tags": {},
    }


def get_secret_version(clients: Clients, region: str, args: Values) -> Values:
    """The value of a secret's version, by default the current one."""
    arguments: dict[str, Any] = {"SecretId": args["secretId"]}
    if args.get("versionId"):
        arguments["VersionId"] = args["versionId"]
    elif args.get("versionStage"):
        arguments["VersionStage"] = args["versionStage"]
    answer = call(clients.get("secretsmanager", region), "GetSecretValue", args["secretId"], arguments)
    return {
        "id": f"{args['secretId']}|{answer['VersionId']}",
        "arn": answer["ARN"],
        "secretId": args["secretId"],
        "secretString": answer.get("SecretString", ""),
        "secretBinary": "",
        "versionId": answer["VersionId"],
        "versionStages": answer.get("VersionStages", []),
        "createdDate": answer["CreatedDate"].isoformat(),
    }


def get_ami(clients: Clients, region: str, args: Values) -> Values:
    """The image that the filters find; with ``mostRecent`` the newest of several."""
    filters = [{"Name": entry["name"], "Values": entry["values"]} for entry in args.get("filters") or []]
    arguments: dict[str, Any] = {"Filters": filters}
    if args.get("owners"):
        arguments["Owners"] = args["owners"]
    images = call(clients.get("ec2", region), "DescribeImages", "getAmi", arguments)["Images"]
    images.sort(key=lambda image: image.get("CreationDate", ""), reverse=True)
    if not images or (len(images) > 1 and not args.get("mostRecent")):
        raise PluginError(
            f"ec2.getAmi: {len(images)} images found for {json.dumps(filters)}; one is needed (mostRecent "
            "takes the newest)"
        )
    image = images[0]
    plain = {camel(key): value for key, value in image.items() if isinstance(value, str | bool | int)}
    arn = f"arn:aws:ec2:{region}::image/{image['ImageId']}"
    return {
        **plain,
        "id": image["ImageId"],
        "imageId": image["ImageId"],
        "arn": arn,
        "filters": args.get("filters"),
    }


def get_parameter(clients: Clients, region: str, args: Values) -> Values:
    """A parameter of Systems Manager."""
    name = args["name"]
    arguments = {"Name": name, "WithDecryption": args.get("withDecryption", True)}
    found = call(clients.get("ssm", region), "GetParameter", name, arguments)["Parameter"]
    return {
        "id": name,
        "name": name,
        "arn": found.get("ARN", ""),
        "type": found["Type"],
        "value": found["Value"],
        "insecureValue": found["Value"] if found["Type"] != "SecureString" else "",
        "version": found["Version"],
    }


INVOKES: dict[str, Function] = {
    "aws:index/getCallerIdentity:getCallerIdentity": get_caller_identity,
    "aws:index/getRegion:getRegion": get_region,
    "aws:index/getPartition:getPartition": get_partition,
    "aws:index/getAvailabilityZones:getAvailabilityZones": get_availability_zones,
    "aws:route53/getZone:getZone": get_zone,
    "aws:secretsmanager/getSecretVersion:getSecretVersion": get_secret_version,
    "aws:ec2/getAmi:getAmi": get_ami,
    "aws:ssm/getParameter:getParameter": get_parameter,
}
"""Every function by its token."""

SECRET_RESULTS = {
    "aws:secretsmanager/getSecretVersion:getSecretVersion": {"secretString", "secretBinary"},
    "aws:ssm/getParameter:getParameter": {"value"},
}
"""What of a function's result is secret."""
