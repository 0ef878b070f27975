"""Route 53: records."""

from __future__ import annotations

from typing import Any

from local.plugins.aws.context import Context
from local.plugins.aws.row import Row


def _full_name(context: Context) -> str:
    """The record's name with the zone's domain, without the final dot."""
    zone = context.call("GetHostedZone", Id=context.value("zoneId"))["HostedZone"]["Name"].rstrip(".")
    name = str(context.value("name")).rstrip(".").lower()
    if not name:
        return str(zone)
    return name if name == zone or name.endswith("." + zone) else f"{name}.{zone}"


def _record_set(context: Context, name: str) -> dict[str, Any]:
    found: dict[str, Any] = {"Name": name, "Type": context.value("type")}
    value = context.value
    if aliases := value("aliases"):
        alias = aliases[0]
        found["AliasTarget"] = {
            "DNSName": alias["name"],
            "HostedZoneId": alias["zoneId"],
            "EvaluateTargetHealth": bool(alias["evaluateTargetHealth"]),
        }
    else:
        found["TTL"] = int(value("ttl") or 0)
        found["ResourceRecords"] = [
            {"Value": _quoted(record) if value("type") in ("TXT", "SPF") else record}
            for record in value("records") or []
        ]
    if value("setIdentifier"):
        found["SetIdentifier"] = value("setIdentifier")
    if value("healthCheckId"):
        found["HealthCheckId"] = value("healthCheckId")
    return found


def _quoted(text: str) -> str:
    return text if text.startswith('"') else f'"{text}"'


def _change(context: Context, action: str) -> dict[str, Any]:
    name = _full_name(context)
    change = {"Action": action, "ResourceRecordSet": _record_set(context, name)}
    context.call(
        "ChangeResourceRecordSets", HostedZoneId=context.value("zoneId"), ChangeBatch={"Changes": [change]}
    )
    parts = [context.value("zoneId"), name, context.value("type"), context.value("setIdentifier")]
    return {"Id": "_".join(str(part) for part in parts if part), "Fqdn": name}


def _create(context: Context) -> Any:
    return _change(context, "UPSERT" if context.inputs.get("allowOverwrite") else "CREATE")


def _find(context: Context) -> Any:
    name = _full_name(context)
    answer = context.call(
        "ListResourceRecordSets",
        HostedZoneId=context.value("zoneId"),
        StartRecordName=name,
        StartRecordType=context.value("type"),
        MaxItems="20",
    )
    for record in answer["ResourceRecordSets"]:
        listed = record["Name"].rstrip(".").replace("\\052", "*").lower()
        same = (listed, record["Type"]) == (name, context.value("type"))
        if same and record.get("SetIdentifier") == context.value("setIdentifier"):
            return {**record, "Fqdn": name}
    return None


def _delete(context: Context) -> None:
    record = _find(context)
    if record is None:
        return
    record.pop("Fqdn")
    context.call(
        "ChangeResourceRecordSets",
        HostedZoneId=context.value("zoneId"),
        ChangeBatch={"Changes": [{"Action": "DELETE", "ResourceRecordSet": record}]},
    )


RECORD = Row(
    type="aws:route53/record:Record",
    service="route53",
    regional=False,
    inputs="zoneId name type ttl records aliases setIdentifier healthCheckId",
    local="allowOverwrite",
    create=_create,
    id="Id",
    read=_find,
    update=lambda context: _change(context, "UPSERT"),
    delete=(_delete,),
    outputs={"fqdn": "Fqdn"},
    reads={"name": "", "zoneId": "", "aliases": "", "records": "ResourceRecords[].Value", "ttl": "TTL"},
    replace="zoneId name type setIdentifier",
    slot="zoneId name type setIdentifier",
)

ROWS = (RECORD,)
