"""One server of a training stack that belongs to no group and no load balancer, for what Odoo itself must do.

It is made from the app servers' template, and refuses the databases as any other would.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from core import outputs as names
from core.names import PROJECT
from ops.aws import explained, wait
from ops.errors import OpsError
from ops.run import Run
from ops.site import Site

TAG: Final = f"{PROJECT}:refresh"
STACK_TAG: Final = "Stack"
BOOT_SECONDS: Final = 2400.0
"""A server installs its packages first."""
OVER: Final = frozenset({"shutting-down", "terminated"})


def there(site: Site) -> dict[str, tuple[str, str]]:
    """Return the servers of refreshes of this stack that are there: run and state by instance."""
    filters = [
        {"Name": "tag-key", "Values": [TAG]},
        {"Name": f"tag:{STACK_TAG}", "Values": [site.name]},
    ]
    found = {}
    with explained(f"the servers of refreshes of {site.name}"):
        for page in site.aws.client("ec2").get_paginator("describe_instances").paginate(Filters=filters):
            for reservation in page["Reservations"]:
                for row in reservation["Instances"]:
                    tags = {tag["Key"]: tag["Value"] for tag in row.get("Tags") or ()}
                    if row["State"]["Name"] not in OVER and tags.get(STACK_TAG) == site.name and TAG in tags:
                        found[row["InstanceId"]] = (tags[TAG], row["State"]["Name"])
    return found


def make(site: Site, run: Run) -> str:
    """Return the server of a refresh; it is made once, also when the command is killed and run again."""
    known = there(site)
    remove(site, [instance for instance, (other, _) in known.items() if other != run["id"]])
    own = [instance for instance, (other, _) in known.items() if other == run["id"]]
    if own:
        return own[0]
    attempt = int(run.get("server_attempt") or 1) + (1 if run.get("server") else 0)
    run.note(server_attempt=attempt)
    values = {
        "Name": f"{PROJECT}-{site.name}-refresh-{run['id']}",
        "Project": PROJECT,
        STACK_TAG: site.name,
        TAG: run["id"],
    }
    tags = [{"Key": key, "Value": value} for key, value in values.items()]
    with explained("the server that updates and neutralises"):
        made = site.aws.client("ec2").run_instances(
            LaunchTemplate={
                "LaunchTemplateId": str(site.stack.output(names.APP_LAUNCH_TEMPLATE_ID)),
                "Version": "$Latest",
            },
            MinCount=1,
            MaxCount=1,
            SubnetId=str(site.stack.output(names.SERVER_SUBNET_IDS)[0]),
            # With the token of one that has ended EC2 would give that one back.
            ClientToken=f"refresh-{run['id']}-{attempt}",
            TagSpecifications=[
                {"ResourceType": kind, "Tags": tags} for kind in ("instance", "volume", "network-interface")
            ],
        )
    instance = str(made["Instances"][0]["InstanceId"])
    run.note(server=instance)
    return instance


def await_reached(site: Site, instance: str) -> None:
    """Wait until Run Command reaches a server. Raises OpsError where it has ended."""

    def look() -> bool | None:
        with explained(f"the server {instance}"):
            found = site.aws.client("ec2").describe_instances(InstanceIds=[instance])
        row: Mapping[str, Any] = found["Reservations"][0]["Instances"][0]
        if row["State"]["Name"] in OVER | {"stopping", "stopped"}:
            why = (row.get("StateReason") or {}).get("Message") or row.get("StateTransitionReason") or ""
            raise OpsError(f"the server {instance} is {row['State']['Name']}{f': {why}' if why else ''}")
        return True if site.servers.reached([instance]) else None

    wait(f"the server {instance}, reached by SSM Run Command", look, site.reporter, seconds=BOOT_SECONDS)


def remove(site: Site, instances: list[str]) -> None:
    """Terminate servers of refreshes."""
    if instances:
        with explained(f"the end of {', '.join(instances)}"):
            site.aws.client("ec2").terminate_instances(InstanceIds=instances)
