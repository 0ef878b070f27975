"""RDS: instances, subnet and parameter groups, snapshots, replicated backups."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from local.plugins.aws.clients import ApiError
from local.plugins.aws.context import Context
from local.plugins.aws.row import Call, Name, Row, Step, Values, Wait
from local.plugins.aws.services import _tagging as tagging
from local.plugins.table_provider import PluginError

WAIT_SECONDS = 300
TAGS = tagging.by_resource(
    "ResourceName",
    verbs=("AddTagsToResource", "RemoveTagsFromResource", "ListTagsForResource"),
    listed="TagList",
)


AFTER_RESTORE = frozenset({"manageMasterUserPassword", "masterUserSecretKmsKeyId"})
"""What a restore takes for Oracle alone. PostgreSQL's database and master user come with the snapshot."""


def _create_instance(context: Context) -> Any:
    """A new instance, or one from a snapshot, whose own settings follow when it is there."""
    if not context.inputs.get("snapshotIdentifier"):
        skipped = ("snapshotIdentifier",)
        names = " ".join(name for name in context.row.inputs.split() if name not in skipped)
        return context.run(Call("CreateDBInstance", result="DBInstance", inputs=names))
    _await_snapshot(context, context.inputs["snapshotIdentifier"])
    left_out = {"dbName", "username", *AFTER_RESTORE}
    names = " ".join(name for name in context.row.inputs.split() if name not in left_out)
    made = context.run(Call("RestoreDBInstanceFromDBSnapshot", result="DBInstance", inputs=names))
    context.id = made["DbiResourceId"]
    _settle_restored(context)
    return made


def _settle_restored(context: Context) -> None:
    """Applies what a restore does not take: retention, password, engine version."""
    context.wait()
    taken = context.shape("RestoreDBInstanceFromDBSnapshot").members
    left = [name for name in MODIFIABLE.split() if name in AFTER_RESTORE or not context.argument(taken, name)]
    context.run(
        Call(
            "ModifyDBInstance",
            {"DBInstanceIdentifier": "{identifier}", "ApplyImmediately": True},
            inputs=" ".join(left),
        )
    )


def _find_instance(context: Context) -> Any:
    identifier = context.state.get("identifier") or context.value("identifier") or context.id
    answer = context.call("DescribeDBInstances", DBInstanceIdentifier=identifier)
    return answer["DBInstances"][0] if answer["DBInstances"] else None


def _why_not_delete(state: Values) -> str:
    if state.get("deletionProtection"):
        return "deletionProtection is on: set it to false and apply that before deleting"
    if not state.get("skipFinalSnapshot") and not state.get("finalSnapshotIdentifier"):
        return "finalSnapshotIdentifier is required unless skipFinalSnapshot is true"
    return ""


def _delete_instance(context: Context) -> None:
    """Deletes the instance, by default after a final snapshot, and waits until it is gone."""
    identifier = context.value("identifier")
    arguments: dict[str, Any] = {"DBInstanceIdentifier": identifier, "SkipFinalSnapshot": True}
    if not context.undoing and not context.value("skipFinalSnapshot"):
        arguments |= {
            "SkipFinalSnapshot": False,
            "FinalDBSnapshotIdentifier": context.value("finalSnapshotIdentifier"),
        }
    if context.value("deleteAutomatedBackups") is not None:
        arguments["DeleteAutomatedBackups"] = bool(context.value("deleteAutomatedBackups"))
    context.call("DeleteDBInstance", **arguments)
    _until(context, lambda: not _listed(context, "DBInstance", identifier), f"{identifier} to be gone")
    if snapshot := arguments.get("FinalDBSnapshotIdentifier"):
        _await_snapshot(context, snapshot)


def _listed(context: Context, kind: str, identifier: str) -> list[Any]:
    """Instances or snapshots of that identifier; none is no error."""
    try:
        answer = context.call(f"Describe{kind}s", **{f"{kind}Identifier": identifier})
    except ApiError as error:
        if error.missing:
            return []
        raise
    return list(answer[f"{kind}s"])


def _await_snapshot(context: Context, identifier: str) -> None:
    """Waits until a snapshot can be restored from; a missing one is the restore's to refuse."""

    def ready() -> bool:
        found = _listed(context, "DBSnapshot", identifier)
        return not found or found[0]["Status"] == "available"

    _until(context, ready, f"snapshot {identifier} to be complete")


def _until(context: Context, done: Callable[[], bool], what: str) -> None:
    until = time.monotonic() + WAIT_SECONDS
    while not done():
        if time.monotonic() > until:
            raise PluginError(f"{context.name}: waited {WAIT_SECONDS} s for {what}")
        time.sleep(0.1)


def _modify_instance(context: Context) -> None:
    changed = context.changed & set(MODIFIABLE.split()) | ({"identifier"} & context.changed)
    exports = "enabledCloudwatchLogsExports"
    arguments: dict[str, Any] = {
        "DBInstanceIdentifier": "{old.identifier}",
        "ApplyImmediately": bool(context.inputs.get("applyImmediately")),
    }
    if "identifier" in changed:
        arguments["NewDBInstanceIdentifier"] = "{identifier}"
    if exports in changed:
        arguments["CloudwatchLogsExportConfiguration"] = {
            "EnableLogTypes": f"{{added.{exports}}}",
            "DisableLogTypes": f"{{removed.{exports}}}",
        }
    if "port" in changed:
        arguments["DBPortNumber"] = "{port}"
    if not changed:
        return
    context.run(Call("ModifyDBInstance", arguments, inputs=MODIFIABLE, changed=True))
    if "identifier" in changed:
        context.state["identifier"] = context.inputs["identifier"]


MODIFIABLE = (
    "allocatedStorage allowMajorVersionUpgrade autoMinorVersionUpgrade backupRetentionPeriod backupWindow "
    "caCertIdentifier copyTagsToSnapshot databaseInsightsMode dbSubnetGroupName dedicatedLogVolume "
    "deletionProtection enabledCloudwatchLogsExports engineVersion iamDatabaseAuthenticationEnabled "
    "instanceClass iops maintenanceWindow manageMasterUserPassword masterUserSecretKmsKeyId "
    "maxAllocatedStorage monitoringInterval monitoringRoleArn multiAz networkType optionGroupName "
    "parameterGroupName password performanceInsightsEnabled performanceInsightsKmsKeyId "
    "performanceInsightsRetentionPeriod port publiclyAccessible storageThroughput storageType "
    "vpcSecurityGroupIds"
)

INSTANCE = Row(
    type="aws:rds/instance:Instance",
    service="rds",
    inputs=f"identifier {MODIFIABLE} availabilityZone characterSetName dbName engine engineLifecycleSupport "
    "kmsKeyId licenseModel snapshotIdentifier storageEncrypted timezone username",
    local="identifierPrefix applyImmediately deleteAutomatedBackups finalSnapshotIdentifier "
    "skipFinalSnapshot",
    defaults={
        "applyImmediately": False,
        "autoMinorVersionUpgrade": True,
        "copyTagsToSnapshot": False,
        "deleteAutomatedBackups": True,
        "monitoringInterval": 0,
        "publiclyAccessible": False,
        "skipFinalSnapshot": False,
    },
    name=Name("identifier", longest=63, lower=True, replaces=False),
    rename={
        "identifier": "DBInstanceIdentifier",
        "instanceClass": "DBInstanceClass",
        "snapshotIdentifier": "DBSnapshotIdentifier",
        "parameterGroupName": "DBParameterGroupName",
        "username": "MasterUsername",
        "password": "MasterUserPassword",
        "iamDatabaseAuthenticationEnabled": "EnableIAMDatabaseAuthentication",
        "performanceInsightsEnabled": "EnablePerformanceInsights",
        "enabledCloudwatchLogsExports": "EnableCloudwatchLogsExports",
        "backupWindow": "PreferredBackupWindow",
        "maintenanceWindow": "PreferredMaintenanceWindow",
        "caCertIdentifier": "CACertificateIdentifier",
    },
    create=_create_instance,
    id="DbiResourceId",
    read=_find_instance,
    wait=Wait("DBInstanceStatus == 'available'", "DBInstanceStatus == 'failed'", seconds=300),
    update=_modify_instance,
    delete=(_delete_instance,),
    examine_delete=_why_not_delete,
    outputs={
        "arn": "DBInstanceArn",
        "address": "Endpoint.Address",
        "endpoint": "{@.Endpoint.Address}:{@.Endpoint.Port}",
        "engineVersionActual": "EngineVersion",
        "hostedZoneId": "Endpoint.HostedZoneId",
        "masterUserSecrets": "[MasterUserSecret][?@]",
        "resourceId": "DbiResourceId",
        "status": "DBInstanceStatus",
    },
    constants={"listenerEndpoints": [], "replicas": []},
    computed="allocatedStorage availabilityZone backupRetentionPeriod backupWindow caCertIdentifier "
    "characterSetName databaseInsightsMode dbName dbSubnetGroupName engine engineLifecycleSupport "
    "engineVersion iops kmsKeyId licenseModel maintenanceWindow masterUserSecretKmsKeyId monitoringRoleArn "
    "multiAz networkType optionGroupName parameterGroupName performanceInsightsKmsKeyId "
    "performanceInsightsRetentionPeriod port snapshotIdentifier storageThroughput storageType timezone "
    "username vpcSecurityGroupIds",
    reads={
        "dbSubnetGroupName": "DBSubnetGroup.DBSubnetGroupName",
        "enabledCloudwatchLogsExports": "",
        "engineVersion": "",
        "iamDatabaseAuthenticationEnabled": "IAMDatabaseAuthenticationEnabled",
        "masterUserSecretKmsKeyId": "",
        "optionGroupName": "OptionGroupMemberships[0].OptionGroupName",
        "parameterGroupName": "DBParameterGroups[0].DBParameterGroupName",
        "password": "",
        "port": "Endpoint.Port",
        "snapshotIdentifier": "",
        "vpcSecurityGroupIds": "VpcSecurityGroups[].VpcSecurityGroupId",
    },
    replace="identifierPrefix availabilityZone characterSetName dbName engine kmsKeyId snapshotIdentifier "
    "storageEncrypted timezone username engineLifecycleSupport",
    volatile={"engineVersionActual": "engineVersion", "masterUserSecrets": "manageMasterUserPassword"},
    tags=TAGS,
)

SUBNET_GROUP = Row(
    type="aws:rds/subnetGroup:SubnetGroup",
    service="rds",
    inputs="name description subnetIds",
    local="namePrefix",
    defaults={"description": "Managed by Pulumi"},
    name=Name(longest=255, lower=True),
    rename={"name": "DBSubnetGroupName", "description": "DBSubnetGroupDescription"},
    create=Call("CreateDBSubnetGroup", result="DBSubnetGroup"),
    id="{name}",
    read=Call("DescribeDBSubnetGroups", {"DBSubnetGroupName": "{id}"}, "DBSubnetGroups[0]", inputs=""),
    update=Call("ModifyDBSubnetGroup", {"DBSubnetGroupName": "{id}"}),
    delete=(Call("DeleteDBSubnetGroup", {"DBSubnetGroupName": "{id}"}, inputs=""),),
    outputs={"arn": "DBSubnetGroupArn", "vpcId": "VpcId"},
    constants={"supportedNetworkTypes": ["IPV4"]},
    reads={"subnetIds": "Subnets[].SubnetIdentifier"},
    replace="name namePrefix",
    tags=TAGS,
)


def _batches(parameters: Sequence[Mapping[str, Any]]) -> list[list[dict[str, Any]]]:
    """Parameters in the form of RDS, twenty a call, as RDS takes them."""
    made = [
        {
            "ParameterName": parameter["name"],
            "ParameterValue": str(parameter["value"]),
            "ApplyMethod": parameter.get("applyMethod") or "immediate",
        }
        for parameter in parameters
    ]
    return [made[start : start + 20] for start in range(0, len(made), 20)]


def _set_parameters(context: Context) -> None:
    old = context.state.get("parameters") or []
    new = context.inputs.get("parameters") or []
    for batch in _batches([parameter for parameter in new if parameter not in old]):
        context.call("ModifyDBParameterGroup", DBParameterGroupName=context.id, Parameters=batch)
    kept = {parameter["name"] for parameter in new}
    for batch in _batches([parameter for parameter in old if parameter["name"] not in kept]):
        reset = [{key: item[key] for key in ("ParameterName", "ApplyMethod")} for item in batch]
        context.call("ResetDBParameterGroup", DBParameterGroupName=context.id, Parameters=reset)


PARAMETER_GROUP = Row(
    type="aws:rds/parameterGroup:ParameterGroup",
    service="rds",
    inputs="name family description parameters",
    local="namePrefix skipDestroy",
    defaults={"description": "Managed by Pulumi", "skipDestroy": False},
    name=Name(longest=255, lower=True),
    rename={"name": "DBParameterGroupName", "family": "DBParameterGroupFamily"},
    create=Call("CreateDBParameterGroup", result="DBParameterGroup"),
    id="{name}",
    read=Call(
        "DescribeDBParameterGroups", {"DBParameterGroupName": "{id}"}, "DBParameterGroups[0]", inputs=""
    ),
    steps=(Step("parameters", _set_parameters),),
    delete=(Call("DeleteDBParameterGroup", {"DBParameterGroupName": "{id}"}, inputs=""),),
    outputs={"arn": "DBParameterGroupArn"},
    reads={"parameters": ""},
    replace="name namePrefix family description",
    tags=TAGS,
)

SNAPSHOT = Row(
    type="aws:rds/snapshot:Snapshot",
    service="rds",
    inputs="dbInstanceIdentifier dbSnapshotIdentifier sharedAccounts",
    create=Call("CreateDBSnapshot", result="DBSnapshot"),
    id="DBSnapshotIdentifier",
    read=Call("DescribeDBSnapshots", {"DBSnapshotIdentifier": "{id}"}, "DBSnapshots[0]", inputs=""),
    wait=Wait("Status == 'available'", "Status == 'failed'", seconds=300),
    steps=(
        Step(
            "sharedAccounts",
            Call(
                "ModifyDBSnapshotAttribute",
                {
                    "DBSnapshotIdentifier": "{id}",
                    "AttributeName": "restore",
                    "ValuesToAdd": "{added.sharedAccounts}",
                    "ValuesToRemove": "{removed.sharedAccounts}",
                },
                inputs="",
            ),
        ),
    ),
    delete=(Call("DeleteDBSnapshot", {"DBSnapshotIdentifier": "{id}"}, inputs=""),),
    outputs={
        "allocatedStorage": "AllocatedStorage",
        "availabilityZone": "AvailabilityZone",
        "dbSnapshotArn": "DBSnapshotArn",
        "encrypted": "Encrypted",
        "engine": "Engine",
        "engineVersion": "EngineVersion",
        "iops": "Iops",
        "kmsKeyId": "KmsKeyId",
        "licenseModel": "LicenseModel",
        "optionGroupName": "OptionGroupName",
        "port": "Port",
        "snapshotType": "SnapshotType",
        "sourceDbSnapshotIdentifier": "SourceDBSnapshotIdentifier",
        "sourceRegion": "SourceRegion",
        "status": "Status",
        "storageType": "StorageType",
        "vpcId": "VpcId",
    },
    replace="dbInstanceIdentifier dbSnapshotIdentifier",
    slot="dbSnapshotIdentifier",
    tags=tagging.by_resource(
        "ResourceName",
        "{dbSnapshotArn}",
        verbs=("AddTagsToResource", "RemoveTagsFromResource", "ListTagsForResource"),
        listed="TagList",
    ),
)

AUTOMATED_BACKUPS = Row(
    type="aws:rds/instanceAutomatedBackupsReplication:InstanceAutomatedBackupsReplication",
    service="rds",
    inputs="sourceDbInstanceArn kmsKeyId retentionPeriod preSignedUrl",
    rename={"retentionPeriod": "BackupRetentionPeriod"},
    defaults={"retentionPeriod": 7},
    create=Call("StartDBInstanceAutomatedBackupsReplication", result="DBInstanceAutomatedBackup"),
    id="DBInstanceAutomatedBackupsArn",
    read=Call(
        "DescribeDBInstanceAutomatedBackups",
        {"DBInstanceAutomatedBackupsArn": "{id}"},
        "DBInstanceAutomatedBackups[0]",
        inputs="",
    ),
    delete=(
        Call(
            "StopDBInstanceAutomatedBackupsReplication",
            {"SourceDBInstanceArn": "{sourceDbInstanceArn}"},
            inputs="",
        ),
    ),
    computed="kmsKeyId",
    replace="sourceDbInstanceArn kmsKeyId retentionPeriod preSignedUrl",
    slot="sourceDbInstanceArn",
)

ROWS = (INSTANCE, SUBNET_GROUP, PARAMETER_GROUP, SNAPSHOT, AUTOMATED_BACKUPS)
