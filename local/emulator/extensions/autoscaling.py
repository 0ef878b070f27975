"""Auto Scaling: instance refreshes, notifications, instances spread over the zones, the limits of a group.

An instance refresh is begun by its request and goes on by steps that are requests themselves, so that the
journal has them: `launch_one_more`, a termination, `finish`. Whoever runs the servers takes the steps
(`local.nodes`); where nobody does, `complete` takes them all at once (`local.emulator.internal`).
"""

from __future__ import annotations

from typing import Any

from moto.autoscaling import models
from moto.autoscaling.responses import AutoScalingResponse
from moto.core.utils import utcnow
from moto.ec2.models.instances import MetadataOptions
from moto.iam.models import iam_backends
from moto.moto_api._internal import mock_random

from local.emulator.extensions import Context
from local.emulator.extensions.toolkit import Parameters, add, errors, parameters

error = errors("autoscaling")

ACTIVE = ("Pending", "InProgress", "Cancelling")
OLD = "LocalOld"
"""Where a refresh keeps which instances it replaces."""


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


def start_instance_refresh(response: Any, given: Parameters) -> dict[str, Any]:
    """Begins to replace the instances of a group by new ones of its present, or the desired, template."""
    group = _group(response, given)
    if active(group):
        raise error("InstanceRefreshInProgress", "An instance refresh is already in progress")
    desired = given.get("DesiredConfiguration", {})
    if desired.get("LaunchTemplate"):
        group._set_launch_configuration(None, desired["LaunchTemplate"], None)
    row = {
        "InstanceRefreshId": str(mock_random.uuid4()),
        "AutoScalingGroupName": group.name,
        "Status": "InProgress",
        "StartTime": utcnow(),
        "Preferences": given.get("Preferences", {}),
        "Strategy": given.get("Strategy", "Rolling"),
        OLD: _to_replace(group, given.get("Preferences", {})),
    }
    if desired:
        row["DesiredConfiguration"] = desired
    _refreshes(group).insert(0, row)
    return {"InstanceRefreshId": row["InstanceRefreshId"]}


def _to_replace(group: Any, preferences: dict[str, Any]) -> tuple[str, ...]:
    """The instances that a refresh replaces: all of them, or those of another template."""
    template = group.ec2_launch_template
    present = None
    if preferences.get("SkipMatching") and template:
        present = str(template.get_version(group.launch_template_version).number)
    return tuple(
        state.instance.id
        for state in group.instance_states
        if present is None or getattr(state, "local_version", None) != present
    )


def active(group: Any) -> dict[str, Any] | None:
    """The refresh that is under way."""
    return next((row for row in _refreshes(group) if row["Status"] in ACTIVE), None)


def to_go(group: Any) -> list[str]:
    """The instances that the refresh under way has still to replace."""
    row = active(group)
    there = {state.instance.id for state in group.instance_states}
    return [name for name in row[OLD] if name in there] if row else []


def launch_one_more(group: Any) -> None:
    """Launches the instance that is to take over from an old one, unless there is one more already."""
    if active(group) and len(group.active_instances()) <= (group.desired_capacity or 0):
        group.replace_autoscaling_group_instances(1, group.get_propagated_tags())
        group.autoscaling_backend.update_attached_target_groups(group.name)


def finish(group: Any, status: str) -> None:
    """Ends the refresh under way, and goes back to the desired number of instances."""
    row = active(group)
    if row:
        row["Status"] = status
        row["EndTime"] = utcnow()
        group.set_desired_capacity(group.desired_capacity)


def complete(group: Any) -> None:
    """Replaces at once all that the refresh under way has still to replace."""
    old = to_go(group)
    if old:
        group.instance_states = [state for state in group.instance_states if state.instance.id not in old]
        group.autoscaling_backend.ec2_backend.terminate_instances(old)
    finish(group, "Successful")


def _shown(group: Any, row: dict[str, Any]) -> dict[str, Any]:
    """A refresh in the API's form."""
    left = len(to_go(group)) if row["Status"] in ACTIVE else 0
    done = 100 if row["Status"] == "Successful" or not row[OLD] else 100 - 100 * left // len(row[OLD])
    shown = {name: value for name, value in row.items() if name != OLD}
    return {**shown, "PercentageComplete": done, "InstancesToUpdate": left}


def describe_instance_refreshes(response: Any, given: Parameters) -> dict[str, Any]:
    """A group's refreshes, or given ones."""
    wanted = given.get("InstanceRefreshIds")
    group = _group(response, given)
    rows = [row for row in _refreshes(group) if not wanted or row["InstanceRefreshId"] in wanted]
    return {"InstanceRefreshes": [_shown(group, row) for row in rows]}


def cancel_instance_refresh(response: Any, given: Parameters) -> dict[str, Any]:
    """Cancels the refresh under way; what is replaced already stays so."""
    group = _group(response, given)
    row = active(group)
    if row:
        finish(group, "Cancelled")
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
                    follow_template(self.instance_states[-1].instance, version)
        finally:
            self.availability_zones, self.vpc_zone_identifier = zones, identifier

    def set_desired_capacity(self: Any, new_capacity: int | None) -> None:
        before = {id(state): place for place, state in enumerate(self.instance_states)}
        # The one more that a refresh has launched is none of those that the group is to have.
        if new_capacity and to_go(self) and len(self.active_instances()) > (self.desired_capacity or 0):
            set_capacity(self, new_capacity + 1)
            self.desired_capacity = new_capacity
        else:
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


def follow_template(instance: Any, version: Any, given: frozenset[str] = frozenset()) -> None:
    """Gives an instance what moto takes from the default version of its template, or not at all; but not
    what the request that launched it gave itself."""
    data = {name: value for name, value in version.data.items() if name not in given}
    ec2 = instance.ec2_backend
    instance.add_tags({"aws:ec2launchtemplate:version": str(version.number)})
    named = data.get("IamInstanceProfile") or {}
    for profile in iam_backends[ec2.account_id][ec2.partition].instance_profiles.values():
        if named.get("Arn") == profile.arn or named.get("Name") == profile.name:
            instance.iam_instance_profile = {"Arn": profile.arn, "Id": profile.id}
    if data.get("MetadataOptions"):
        instance.metadata_options = MetadataOptions(data["MetadataOptions"])
    if data.get("SecurityGroupIds"):
        found = [ec2.get_security_group_from_id(name) for name in data["SecurityGroupIds"]]
        instance.security_groups = [group for group in found if group is not None]


def _patch_targets() -> None:
    backend = models.AutoScalingBackend
    notify = backend.notify_terminate_instances

    def update_attached_target_groups(self: Any, group_name: str) -> None:
        """Registers what runs, in the order of its launch; moto stumbles over a stopped instance."""
        group = self.autoscaling_groups[group_name]
        running = [state.instance.id for state in group.instance_states if state.instance.is_running()]
        for arn in group.target_group_arns:
            target_group = self.elbv2_backend.target_groups.get(arn)
            if target_group is not None:
                target_group.register([{"Id": name, "Port": target_group.port} for name in running])

    def notify_terminate_instances(self: Any, instance_ids: list[str]) -> None:
        """moto replaces the instances and does not register the new ones."""
        notify(self, instance_ids)
        for name in self.autoscaling_groups:
            self.update_attached_target_groups(name)

    setattr(backend, update_attached_target_groups.__name__, update_attached_target_groups)
    setattr(backend, notify.__name__, notify_terminate_instances)


def install(_context: Context) -> None:
    """Puts the extension in place."""
    _patch_group()
    _patch_targets()
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
