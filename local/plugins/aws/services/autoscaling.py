"""Auto Scaling: groups with instance refresh, scaling policies."""

from __future__ import annotations

from typing import Any

from local.plugins.aws.context import Context
from local.plugins.aws.row import Call, Name, Row, Step

PASSED = (
    "name minSize maxSize desiredCapacity desiredCapacityType launchTemplate launchConfiguration "
    "availabilityZones targetGroupArns loadBalancers healthCheckType healthCheckGracePeriod defaultCooldown "
    "defaultInstanceWarmup capacityRebalance maxInstanceLifetime placementGroup protectFromScaleIn "
    "serviceLinkedRoleArn terminationPolicies mixedInstancesPolicy instanceMaintenancePolicy context"
)
REFRESHING = frozenset({"launchTemplate", "launchConfiguration", "mixedInstancesPolicy"})
"""Inputs of which a change starts an instance refresh, if the group has one."""


def _group_tags(context: Context, entries: Any) -> list[dict[str, Any]]:
    return [
        {
            "Key": entry["key"],
            "Value": str(entry["value"]),
            "PropagateAtLaunch": str(entry.get("propagateAtLaunch", False)).lower() == "true",
            "ResourceId": context.value("name"),
            "ResourceType": "auto-scaling-group",
        }
        for entry in entries or []
    ]


def _create_group(context: Context) -> Any:
    arguments: dict[str, Any] = {}
    if tags := _group_tags(context, context.inputs.get("tags")):
        arguments["Tags"] = tags
    if subnets := context.inputs.get("vpcZoneIdentifiers"):
        arguments["VPCZoneIdentifier"] = ",".join(subnets)
    context.run(Call("CreateAutoScalingGroup", arguments, inputs=PASSED))
    return {"AutoScalingGroupName": context.value("name")}


def _update_group(context: Context) -> None:
    arguments: dict[str, Any] = {"AutoScalingGroupName": "{id}"}
    if "vpcZoneIdentifiers" in context.changed:
        arguments["VPCZoneIdentifier"] = ",".join(context.inputs.get("vpcZoneIdentifiers") or [])
    settings = " ".join(name for name in PASSED.split() if name not in ("name", "targetGroupArns"))
    if context.changed & {*settings.split(), "vpcZoneIdentifiers"}:
        context.run(Call("UpdateAutoScalingGroup", arguments, inputs=settings, changed=True))
    _start_refresh(context)


def _start_refresh(context: Context) -> None:
    refresh = context.inputs.get("instanceRefresh")
    if not refresh:
        return
    causes = REFRESHING | set(refresh.get("triggers") or [])
    if "tag" in causes or "tags" in causes:
        causes |= {"tags"}
    if not context.changed & causes:
        return
    shape = context.shape("StartInstanceRefresh").members["Preferences"]
    preferences = {
        key: value for key, value in (refresh.get("preferences") or {}).items() if value is not None
    }
    extra: dict[str, Any] = {"Preferences": context.convert(shape, preferences)} if preferences else {}
    context.call(
        "StartInstanceRefresh",
        AutoScalingGroupName=context.id,
        Strategy=refresh.get("strategy") or "Rolling",
        **extra,
    )


def _set_group_tags(context: Context) -> None:
    old = _group_tags(context, context.state.get("tags"))
    new = _group_tags(context, context.inputs.get("tags"))
    keys = {tag["Key"] for tag in new}
    if gone := [tag for tag in old if tag["Key"] not in keys]:
        context.call("DeleteTags", Tags=gone)
    if new:
        context.call("CreateOrUpdateTags", Tags=new)


def _set_target_groups(context: Context) -> None:
    if gone := context.value("removed.targetGroupArns"):
        context.call("DetachLoadBalancerTargetGroups", AutoScalingGroupName=context.id, TargetGroupARNs=gone)
    if new := context.value("added.targetGroupArns"):
        context.call("AttachLoadBalancerTargetGroups", AutoScalingGroupName=context.id, TargetGroupARNs=new)


def _set_metrics(context: Context) -> None:
    if gone := context.value("removed.enabledMetrics"):
        context.call("DisableMetricsCollection", AutoScalingGroupName=context.id, Metrics=gone)
    if new := context.value("added.enabledMetrics"):
        granularity = context.value("metricsGranularity") or "1Minute"
        context.call(
            "EnableMetricsCollection", AutoScalingGroupName=context.id, Granularity=granularity, Metrics=new
        )


def _set_suspended(context: Context) -> None:
    if gone := context.value("removed.suspendedProcesses"):
        context.call("ResumeProcesses", AutoScalingGroupName=context.id, ScalingProcesses=gone)
    if new := context.value("added.suspendedProcesses"):
        context.call("SuspendProcesses", AutoScalingGroupName=context.id, ScalingProcesses=new)


def _delete_group(context: Context) -> None:
    """Without forceDelete the group is scaled to nothing first, as by the official provider."""
    force = bool(context.state.get("forceDelete")) or context.undoing
    if not force:
        context.call(
            "UpdateAutoScalingGroup",
            AutoScalingGroupName=context.id,
            MinSize=0,
            MaxSize=0,
            DesiredCapacity=0,
        )
    context.call("DeleteAutoScalingGroup", AutoScalingGroupName=context.id, ForceDelete=force)


def _subnets(context: Context) -> list[str]:
    text = str(context.search("VPCZoneIdentifier", context.thing) or "")
    return [part.strip() for part in text.split(",") if part.strip()]


GROUP = Row(
    type="aws:autoscaling/group:Group",
    service="autoscaling",
    inputs=f"{PASSED} vpcZoneIdentifiers tags enabledMetrics suspendedProcesses instanceRefresh",
    local="namePrefix forceDelete forceDeleteWarmPool waitForCapacityTimeout waitForElbCapacity "
    "minElbCapacity ignoreFailedScalingActivities metricsGranularity",
    defaults={
        "forceDelete": False,
        "forceDeleteWarmPool": False,
        "healthCheckGracePeriod": 300,
        "ignoreFailedScalingActivities": False,
        "metricsGranularity": "1Minute",
        "protectFromScaleIn": False,
        "waitForCapacityTimeout": "10m",
    },
    name=Name(longest=255),
    rename={
        "name": "AutoScalingGroupName",
        "launchTemplate.id": "LaunchTemplateId",
        "launchTemplate.name": "LaunchTemplateName",
        "launchConfiguration": "LaunchConfigurationName",
        "loadBalancers": "LoadBalancerNames",
        "protectFromScaleIn": "NewInstancesProtectedFromScaleIn",
        "launchTemplateSpecification.id": "LaunchTemplateId",
    },
    create=_create_group,
    id="AutoScalingGroupName",
    read=Call(
        "DescribeAutoScalingGroups", {"AutoScalingGroupNames": ["{id}"]}, "AutoScalingGroups[0]", inputs=""
    ),
    update=_update_group,
    steps=(
        Step("tags", _set_group_tags, create=False),
        Step("targetGroupArns", _set_target_groups, create=False),
        Step("enabledMetrics", _set_metrics),
        Step("suspendedProcesses", _set_suspended),
    ),
    delete=(_delete_group,),
    outputs={"arn": "AutoScalingGroupARN"},
    constants={"predictedCapacity": 0, "warmPoolSize": 0},
    computed="availabilityZones capacityRebalance defaultCooldown desiredCapacity healthCheckType "
    "launchConfiguration launchTemplate loadBalancers mixedInstancesPolicy serviceLinkedRoleArn "
    "targetGroupArns vpcZoneIdentifiers",
    reads={
        "vpcZoneIdentifiers": _subnets,
        "tags": "",
        "instanceRefresh": "",
        "enabledMetrics": "EnabledMetrics[].Metric",
        "suspendedProcesses": "SuspendedProcesses[].ProcessName",
        # The emulator fills in the name beside the id.
        "launchTemplate": "LaunchTemplate",
        # What scaling policies have made of it is not drift of the program's doing, but is shown.
        "desiredCapacity": "DesiredCapacity",
    },
    replace="name namePrefix",
)

POLICY = Row(
    type="aws:autoscaling/policy:Policy",
    service="autoscaling",
    inputs="name autoscalingGroupName adjustmentType cooldown enabled estimatedInstanceWarmup "
    "metricAggregationType minAdjustmentMagnitude policyType predictiveScalingConfiguration "
    "scalingAdjustment stepAdjustments targetTrackingConfiguration",
    defaults={"enabled": True, "policyType": "SimpleScaling"},
    name=Name(longest=255),
    rename={"name": "PolicyName", "metricDimensions": "Dimensions"},
    create=Call("PutScalingPolicy"),
    id="{name}",
    read=Call(
        "DescribePolicies",
        {"AutoScalingGroupName": "{autoscalingGroupName}", "PolicyNames": ["{id}"]},
        "ScalingPolicies[0]",
        inputs="",
    ),
    update=Call("PutScalingPolicy", {"PolicyName": "{id}"}),
    delete=(
        Call(
            "DeletePolicy",
            {"AutoScalingGroupName": "{autoscalingGroupName}", "PolicyName": "{id}"},
            inputs="",
        ),
    ),
    outputs={"arn": "PolicyARN"},
    computed="metricAggregationType",
    replace="name autoscalingGroupName",
)

ROWS = (GROUP, POLICY)
