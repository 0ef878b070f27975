"""CloudWatch: log groups and metric filters, alarms, dashboards, event rules and targets."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from local.plugins.aws.clients import ApiError
from local.plugins.aws.context import Context
from local.plugins.aws.row import Call, Name, Row, Step
from local.plugins.aws.services import _tagging as tagging
from local.plugins.operation import random_hex

LOG_GROUP = Row(
    type="aws:cloudwatch/logGroup:LogGroup",
    service="logs",
    inputs="name kmsKeyId logGroupClass retentionInDays",
    local="namePrefix skipDestroy",
    defaults={"retentionInDays": 0, "skipDestroy": False},
    name=Name(longest=512),
    rename={"name": "logGroupName"},
    create=Call("CreateLogGroup"),
    id="{name}",
    read=Call(
        "DescribeLogGroups",
        {"logGroupNamePrefix": "{id}"},
        "logGroups[?logGroupName=='{id}'] | [0]",
        inputs="",
    ),
    steps=(Step("retentionInDays", lambda context: _set_retention(context)),),
    update=Call("AssociateKmsKey", {"logGroupName": "{id}"}, inputs="kmsKeyId"),
    delete=(lambda context: _delete_log_group(context),),
    outputs={"arn": "arn:{partition}:logs:{region}:{account}:log-group:{id}"},
    computed="logGroupClass",
    replace="name namePrefix logGroupClass",
    tags=tagging.by_resource("resourceArn", tags="tags", keys="tagKeys", listed="tags"),
)


def _set_retention(context: Context) -> None:
    """Days to keep; 0 keeps for ever."""
    days = int(context.inputs.get("retentionInDays") or 0)
    if days:
        context.call("PutRetentionPolicy", logGroupName=context.id, retentionInDays=days)
    elif not context.creating:
        context.call("DeleteRetentionPolicy", logGroupName=context.id)


def _delete_log_group(context: Context) -> None:
    if not context.state.get("skipDestroy"):
        context.call("DeleteLogGroup", logGroupName=context.id)


LOG_METRIC_FILTER = Row(
    type="aws:cloudwatch/logMetricFilter:LogMetricFilter",
    service="logs",
    inputs="name logGroupName pattern metricTransformation",
    name=Name(longest=512),
    rename={
        "name": "filterName",
        "pattern": "filterPattern",
        "metricTransformation": "metricTransformations",
        "metricTransformation.name": "metricName",
        "metricTransformation.namespace": "metricNamespace",
        "metricTransformation.value": "metricValue",
    },
    create=Call("PutMetricFilter"),
    id="{name}",
    read=Call(
        "DescribeMetricFilters",
        {"logGroupName": "{logGroupName}", "filterNamePrefix": "{id}"},
        "metricFilters[?filterName=='{id}'] | [-1]",
        inputs="",
    ),
    update=Call("PutMetricFilter", {"filterName": "{id}"}),
    delete=(Call("DeleteMetricFilter", {"logGroupName": "{logGroupName}", "filterName": "{id}"}, inputs=""),),
    replace="name logGroupName",
)


def _metric_queries(queries: Any) -> list[dict[str, Any]]:
    """Pulumi's metric queries in the form of CloudWatch: the metric's figures lie one level deeper there."""
    found = []
    for query in queries or []:
        made = {
            "Id": query["id"],
            "ReturnData": str(query.get("returnData", False)).lower() == "true",
            **{name.capitalize(): query[name] for name in ("expression", "label") if query.get(name)},
            **({"Period": int(query["period"])} if query.get("period") else {}),
        }
        metric = query.get("metric")
        if metric:
            dimensions = metric.get("dimensions") or {}
            made["MetricStat"] = {
                "Metric": {
                    "MetricName": metric["metricName"],
                    "Namespace": metric.get("namespace"),
                    "Dimensions": [{"Name": key, "Value": str(item)} for key, item in dimensions.items()],
                },
                "Period": int(metric["period"]),
                "Stat": metric["stat"],
                **({"Unit": metric["unit"]} if metric.get("unit") else {}),
            }
        found.append(made)
    return found


def _put_alarm(context: Context) -> Any:
    queries = _metric_queries(context.inputs.get("metricQueries"))
    arguments: Mapping[str, Any] = {"Metrics": queries} if queries else {}
    names = " ".join(name for name in ALARM.inputs.split() if name != "metricQueries")
    context.run(Call("PutMetricAlarm", arguments, inputs=names))
    return {"AlarmName": context.value("name")}


ALARM = Row(
    type="aws:cloudwatch/metricAlarm:MetricAlarm",
    service="cloudwatch",
    inputs="name alarmDescription actionsEnabled alarmActions okActions insufficientDataActions metricName "
    "namespace statistic extendedStatistic dimensions period unit evaluationPeriods datapointsToAlarm "
    "threshold comparisonOperator treatMissingData evaluateLowSampleCountPercentiles metricQueries "
    "thresholdMetricId",
    defaults={"actionsEnabled": True, "treatMissingData": "missing"},
    name=Name(longest=255),
    rename={
        "name": "AlarmName",
        "evaluateLowSampleCountPercentiles": "EvaluateLowSampleCountPercentile",
        "metricQueries": "Metrics",
    },
    create=_put_alarm,
    id="AlarmName",
    read=Call("DescribeAlarms", {"AlarmNames": ["{id}"]}, "MetricAlarms[0]", inputs=""),
    update=_put_alarm,
    delete=(Call("DeleteAlarms", {"AlarmNames": ["{id}"]}, inputs=""),),
    outputs={"arn": "AlarmArn"},
    reads={"metricQueries": ""},
    computed="evaluateLowSampleCountPercentiles",
    replace="name",
    tags=tagging.by_resource("ResourceARN"),
)

DASHBOARD = Row(
    type="aws:cloudwatch/dashboard:Dashboard",
    service="cloudwatch",
    inputs="dashboardName dashboardBody",
    create=Call("PutDashboard"),
    id="{dashboardName}",
    read=Call("GetDashboard", {"DashboardName": "{id}"}, inputs=""),
    update=Call("PutDashboard"),
    delete=(Call("DeleteDashboards", {"DashboardNames": ["{id}"]}, inputs=""),),
    outputs={"dashboardArn": "DashboardArn"},
    replace="dashboardName",
    slot="dashboardName",
)


def _remove_targets(context: Context) -> None:
    """With forceDestroy, targets go first; without it a rule that still has targets is refused by AWS."""
    if context.state.get("forceDestroy"):
        bus = context.state.get("eventBusName") or "default"
        targets = context.call("ListTargetsByRule", Rule=context.value("name"), EventBusName=bus)["Targets"]
        if targets:
            context.call(
                "RemoveTargets",
                Rule=context.value("name"),
                EventBusName=bus,
                Ids=[target["Id"] for target in targets],
            )


EVENT_RULE = Row(
    type="aws:cloudwatch/eventRule:EventRule",
    service="events",
    inputs="name description eventBusName eventPattern scheduleExpression roleArn state",
    local="namePrefix forceDestroy",
    defaults={"eventBusName": "default", "forceDestroy": False, "state": "ENABLED"},
    name=Name(longest=64),
    create=Call("PutRule"),
    id="{name}",
    read=Call("DescribeRule", {"Name": "{name}", "EventBusName": "{eventBusName}"}, inputs=""),
    update=Call("PutRule", {"Name": "{name}"}),
    delete=(
        _remove_targets,
        Call("DeleteRule", {"Name": "{name}", "EventBusName": "{eventBusName}"}, inputs=""),
    ),
    outputs={"arn": "Arn"},
    reads={"name": "Name"},
    replace="name namePrefix eventBusName",
    tags=tagging.by_resource("ResourceARN"),
)


def _put_target(context: Context) -> Any:
    automatic = f"{context.row.type.rpartition(':')[2]}-{random_hex(4, 'targetId')}"
    target_id = context.value("targetId") or automatic
    shape = context.shape("PutTargets").members["Targets"].member
    names = (
        "arn",
        "roleArn",
        "input",
        "inputPath",
        "inputTransformer",
        "deadLetterConfig",
        "retryPolicy",
        "sqsTarget",
    )
    values = {name: context.inputs[name] for name in names if context.inputs.get(name) is not None}
    bus = context.value("eventBusName") or "default"
    answer = context.call(
        "PutTargets",
        Rule=context.value("rule"),
        EventBusName=bus,
        Targets=[{"Id": target_id, **context.convert(shape, values)}],
    )
    for entry in answer.get("FailedEntries") or []:
        raise ApiError("events.PutTargets", context.name, entry["ErrorCode"], entry["ErrorMessage"])
    return {"Id": target_id}


EVENT_TARGET = Row(
    type="aws:cloudwatch/eventTarget:EventTarget",
    service="events",
    inputs="rule arn targetId eventBusName roleArn input inputPath inputTransformer deadLetterConfig "
    "retryPolicy sqsTarget",
    local="forceDestroy",
    defaults={"eventBusName": "default", "forceDestroy": False},
    rename={"targetId": "Id", "sqsTarget": "SqsParameters", "inputPaths": "InputPathsMap"},
    create=_put_target,
    id="{rule}-{@.Id}",
    read=Call(
        "ListTargetsByRule",
        {"Rule": "{rule}", "EventBusName": "{eventBusName}"},
        "Targets[?join('-', ['{rule}', Id])=='{id}'] | [0]",
        inputs="",
    ),
    update=_put_target,
    delete=(
        Call(
            "RemoveTargets",
            {"Rule": "{rule}", "EventBusName": "{eventBusName}", "Ids": ["{targetId}"]},
            inputs="",
        ),
    ),
    computed="targetId",
    reads={"targetId": "Id"},
    replace="rule targetId eventBusName",
    slot="rule targetId",
)

ROWS = (LOG_GROUP, LOG_METRIC_FILTER, ALARM, DASHBOARD, EVENT_RULE, EVENT_TARGET)
