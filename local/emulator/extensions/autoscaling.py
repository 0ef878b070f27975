"""Auto Scaling: instance refreshes, notifications, instances spread over the zones, the limits of a group.

An instance refresh replaces every instance at once and is over when it is answered.
"""

from __future__ import annotations

from typing import Any

from moto.autoscaling import models
from moto.autoscaling.responses import AutoScalingResponse
from moto.core.utils import utcnow
from moto.moto_api._internal import mock_random

from local.emulator.extensions import Context
from local.emulator.extensions.toolkit import Parameters, add, errors, parameters

error = errors("autoscaling")

ACTIVE = ("Pending", "InProgress", "Cancelling")


def _group(response: Any, given: Parameters) -> Any:
    name = given["AutoScalingGroupName"]
    found = response.autoscaling_backend.autoscaling_groups.get(name)
    if found is None:
        raise error("ValidationError", f"AutoScalingGroup name not found - '{name}' not found")
    return found


def _refreshes(group: Any) -> list[dict[str, Any]]:
    """A group's refreshes, the newest first."""
    if not hasattr(group, "local_refreshes"):
        group.local_refreshes = []
    found: list[dict[str, Any]] = group.local_refreshes
    return found


def _replace_all(group: Any) -> int:
    old = [state.instance.id for state in group.instance_states]
    group.instance_states = []
    if old:
        group.autoscaling_backend.ec2_backend.terminate_instances(old)
    group.set_desired_capacity(group.desired_capacity)
    return len(old)


def start_instance_refresh(response: Any, given: Parameters) -> dict[str, Any]:
    """Replaces the instances of a group with new ones of its present, or the desired, launch template."""
    group = _group(response, given)
    if any(row["Status"] in ACTIVE for row in _refreshes(group)):
        raise error("InstanceRefreshInProgress", "An instance refresh is already in progress")
    desired = given.get("DesiredConfiguration", {})
    if desired.get("LaunchTemplate"):
        group._set_launch_configuration(None, desired["LaunchTemplate"], None)
    started = utcnow()
    _replace_all(group)
    row = {
        "InstanceRefreshId": str(mock_random.uuid4()),
        "AutoScalingGroupName": group.name,
        "Status": "Successful",
        "StartTime": started,
        "EndTime": utcnow(),
        "PercentageComplete": 100,
        "InstancesToUpdate": 0,
        "Preferences": given.get("Preferences", {}),
        "Strategy": given.get("Strategy", "Rolling"),
    }
    if desired:
        row["DesiredConfiguration"] = desired
    _refreshes(group).insert(0, row)
    return {"InstanceRefreshId": row["InstanceRefreshId"]}


def describe_instance_refreshes(response: Any, given: Parameters) -> dict[str, Any]:
    """A group's refreshes, or given ones."""
    wanted = given.get("InstanceRefreshIds")
    rows = _refreshes(_group(response, given))
    return {"InstanceRefreshes": [row for row in rows if not wanted or row["InstanceRefreshId"] in wanted]}


def cancel_instance_refresh(response: Any, given: Parameters) -> dict[str, Any]:
    """Cancels a refresh under way; here there never is one."""
    for row in _refreshes(_group(response, given)):
        if row["Status"] in ACTIVE:
            row["Status"] = "Cancelled"
            return {"InstanceRefreshId": row["InstanceRefreshId"]}
    raise error(
        "ActiveInstanceRefreshNotFound",
        f"No in progress or pending Instance Refresh found for {given['AutoScalingGroupName']}",
    )


def _notifications(response: Any) -> dict[tuple[str, str], list[str]]:
    """The kinds of event that go to a topic, by group and topic."""
    backend = response.autoscaling_backend
    if not hasattr(backend, "local_notifications"):
        backend.local_notifications = {}
    found: dict[tuple[str, str], list[str]] = backend.local_notifications
    return found


def put_notification_configuration(response: Any, given: Parameters) -> None:
    """Sends a group's events to a topic."""
    group = _group(response, given)
    _notifications(response)[group.name, given["TopicARN"]] = list(given["NotificationTypes"])


def describe_notification_configurations(response: Any, given: Parameters) -> dict[str, Any]:
    """Where the events of groups go, one row a kind of event."""
    wanted = given.get("AutoScalingGroupNames")
    rows = [
        {"AutoScalingGroupName": group, "TopicARN": topic, "NotificationType": kind}
        for (group, topic), kinds in _notifications(response).items()
        for kind in kinds
        if not wanted or group in wanted
    ]
    return {"NotificationConfigurations": rows}


def delete_notification_configuration(response: Any, given: Parameters) -> None:
    """Ends the sending of events to a topic."""
    _notifications(response).pop((_group(response, given).name, given["TopicARN"]), None)


def _check_capacity(wanted: int | None, least: int, most: int) -> None:
    if wanted is not None and not least <= wanted <= most:
        raise error(
            "ValidationError",
            f"Desired capacity:{wanted} must be between the specified min size:{least} and max size:{most}",
        )


def _patch_set_desired_capacity() -> None:
    change = AutoScalingResponse.set_desired_capacity

    def set_desired_capacity(response: Any) -> Any:
        given = parameters(response)
        group = _group(response, given)
        _check_capacity(int(given["DesiredCapacity"]), group.min_size, group.max_size)
        return change(response)

    setattr(AutoScalingResponse, change.__name__, set_desired_capacity)


def _patch_group() -> None:
    group = models.FakeAutoScalingGroup
    launch, set_capacity = group.replace_autoscaling_group_instances, group.set_desired_capacity
    update = group.update

    def replace_autoscaling_group_instances(self: Any, count_needed: int, propagated_tags: Any) -> None:
        """One by one, each in the subnet that has the fewest."""
        zones, subnets = list(self.availability_zones), (self.vpc_zone_identifier or "").split(",")
        identifier = self.vpc_zone_identifier
        places = list(zip(zones, subnets if identifier else [None] * len(zones), strict=True))
        try:
            for _ in range(count_needed):
                used = [state.availability_zone for state in self.instance_states]
                zone, subnet = min(places, key=lambda place: used.count(place[0]))
                self.availability_zones, self.vpc_zone_identifier = [zone], subnet
                launch(self, 1, propagated_tags)
                if self.ec2_launch_template:
                    version = self.ec2_launch_template.get_version(self.launch_template_version)
                    self.instance_states[-1].local_version = str(version.number)
        finally:
            self.availability_zones, self.vpc_zone_identifier = zones, identifier

    def set_desired_capacity(self: Any, new_capacity: int | None) -> None:
        before = {id(state): place for place, state in enumerate(self.instance_states)}
        set_capacity(self, new_capacity)
        # moto takes what is left from a set, in an order that differs from process to process.
        self.instance_states.sort(key=lambda state: before.get(id(state), len(before)))

    def update_group(self: Any, *args: Any, **named: Any) -> None:
        if named.get("desired_capacity") is None:
            most, least = named.get("max_size"), named.get("min_size")
            if most is not None and self.desired_capacity > most:
                named["desired_capacity"] = most
            elif least is not None and self.desired_capacity < least:
                named["desired_capacity"] = least
        least, most = named.get("min_size"), named.get("max_size")
        _check_capacity(
            named.get("desired_capacity"),
            self.min_size if least is None else least,
            self.max_size if most is None else most,
        )
        update(self, *args, **named)

    def launch_template(self: Any) -> dict[str, Any] | None:
        """The version that the instance was launched from, which a refresh compares."""
        template = self.auto_scaling_group.ec2_launch_template
        if template is None:
            return None
        own = getattr(self, "local_version", str(template.default_version_number))
        return {"LaunchTemplateId": template.id, "LaunchTemplateName": template.name, "Version": own}

    models.InstanceState.launch_template = property(launch_template)  # type: ignore[assignment,method-assign]
    setattr(group, launch.__name__, replace_autoscaling_group_instances)
    setattr(group, set_capacity.__name__, set_desired_capacity)
    setattr(group, update.__name__, update_group)


def install(_context: Context) -> None:
    """Puts the extension in place."""
    _patch_group()
    _patch_set_desired_capacity()
    add(
        AutoScalingResponse,
        start_instance_refresh,
        describe_instance_refreshes,
        cancel_instance_refresh,
        put_notification_configuration,
        describe_notification_configurations,
        delete_notification_configuration,
    )
