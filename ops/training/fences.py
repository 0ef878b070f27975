"""Whether the servers of a training system can reach anybody: security groups as EC2 has them, and units."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from core import outputs as names
from core.outbound import outbound_ports, too_wide, ways_out
from ops.aws import explained
from ops.errors import OpsError
from ops.site import Site
from ops.site.servers import GROUPS, Role
from ops.training import on_server

UNITS: Final = ("openerp-odoo.service", "odoo-tenant@any.service")
"""What runs Odoo; one of a tenant stands for all, which are made from one template."""
ANY: Final = frozenset({"0.0.0.0/0", "::/0"})
"""What systemd makes of `IPAddressDeny=any`."""


@dataclass(frozen=True, kw_only=True)
class Fences:
    """What was seen of them."""

    groups: dict[str, list[str]]
    """What each security group lets servers reach."""
    offences: list[str]
    notes: list[str]


def look(site: Site) -> Fences:
    """Look at the security groups of both kinds of servers, by their templates and by what runs.

    Where servers fetch packages, HTTP and HTTPS are open to them; Odoo itself is then confined by its unit,
    which is looked at on every server that Run Command reaches.
    """
    network = str(site.stack.output(names.VPC_CIDR))
    allowed = outbound_ports(
        str(site.stack.output(names.ENVIRONMENT)),
        str(site.stack.output(names.PACKAGE)["source"]),
        interface_endpoints=bool(site.stack.setting("network.interfaceEndpoints")),
    )
    groups: dict[str, list[str]] = {}
    offences, notes = [], []
    for role in GROUPS:
        for group, row in _groups(site, role).items():
            if group in groups:
                continue
            ways = ways_out(row["IpPermissionsEgress"])
            groups[group] = [str(way) for way in ways]
            offences += [
                f"security group {group} of the {role} servers lets them reach {way}"
                for way in too_wide(ways, allowed, network)
            ]
    if allowed:
        notes.append(
            f"servers may reach TCP {', '.join(map(str, sorted(allowed.values())))} outside, where they get "
            "packages and AWS's services: with `package.source: image` and `network.interfaceEndpoints` they "
            "need neither, and reach nothing; Odoo is confined by its unit either way"
        )
    units, unseen = _units(site)
    offences += units
    notes += unseen
    return Fences(groups=groups, offences=offences, notes=notes)


def _groups(site: Site, role: Role) -> dict[str, Mapping[str, Any]]:
    """Return the security groups of a role's servers: of its template, and of what runs now."""
    ec2 = site.aws.client("ec2")
    group = str(site.stack.output(GROUPS[role]))
    with explained(f"the servers of {group}"):
        found = site.aws.client("autoscaling").describe_auto_scaling_groups(AutoScalingGroupNames=[group])
        rows = found["AutoScalingGroups"]
        if not rows:
            raise OpsError(f"there is no Auto Scaling group {group}")
        template = rows[0]["LaunchTemplate"]
        data = ec2.describe_launch_template_versions(
            LaunchTemplateId=template["LaunchTemplateId"],
            Versions=[str(template.get("Version") or "$Default")],
        )["LaunchTemplateVersions"][0]["LaunchTemplateData"]
        wanted = set(data.get("SecurityGroupIds") or ())
        wanted |= {
            one for row in data.get("NetworkInterfaces") or () for one in row.get("Groups") or ()
        }  # fmt: skip
        running = [row["InstanceId"] for row in rows[0]["Instances"]]
        if running:
            for page in ec2.get_paginator("describe_instances").paginate(InstanceIds=running):
                for reservation in page["Reservations"]:
                    for instance in reservation["Instances"]:
                        wanted |= {one["GroupId"] for one in instance.get("SecurityGroups") or ()}
        if not wanted:
            raise OpsError(f"the launch template {template['LaunchTemplateId']} names no security group")
        rows = ec2.describe_security_groups(GroupIds=sorted(wanted))["SecurityGroups"]
    return {row["GroupId"]: row for row in rows}


def _units(site: Site) -> tuple[list[str], list[str]]:
    network = str(site.stack.output(names.VPC_CIDR))
    offences, reached = [], 0
    for role in GROUPS:
        for instance in site.servers.online(role):
            reached += 1
            shown = site.servers.python(
                instance, Path(on_server.__file__), "fence", {"units": list(UNITS)}, what="look at the fence"
            )
            for unit, addresses in shown.items():
                if not set(addresses["IPAddressDeny"]) >= ANY:
                    offences.append(f"{unit} on {instance} may reach every address: its unit has no fence")
                beyond = set(addresses["IPAddressAllow"]) - {network, "127.0.0.0/8", "::1/128", "localhost"}
                if beyond:
                    offences.append(f"{unit} on {instance} may reach {', '.join(sorted(beyond))}")
    if not reached:
        return offences, ["no server is reached by SSM Run Command: the fence of its units was not looked at"]
    return offences, []
