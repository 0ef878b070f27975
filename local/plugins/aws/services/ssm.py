"""Systems Manager: parameters."""

from __future__ import annotations

from typing import Any

from local.plugins.aws.context import Context
from local.plugins.aws.row import Call, Name, Row
from local.plugins.aws.services import _tagging as tagging

PASSED = "name type description tier keyId allowedPattern dataType"


def _put(context: Context) -> Any:
    # By name: a value that holds braces, such as JSON, is not to be read as a template.
    given = "insecureValue" if context.inputs.get("value") is None else "value"
    arguments: dict[str, Any] = {"Name": "{name}", "Value": f"{{{given}}}"}
    if not context.creating or context.inputs.get("overwrite"):
        arguments["Overwrite"] = True
        context.tagged = False
    context.run(Call("PutParameter", arguments, inputs=PASSED))
    return {"Name": context.value("name")}


PARAMETER = Row(
    type="aws:ssm/parameter:Parameter",
    service="ssm",
    inputs=f"{PASSED} value insecureValue",
    local="overwrite",
    name=Name(longest=1011),
    create=_put,
    id="Name",
    read=Call("GetParameter", {"Name": "{id}", "WithDecryption": True}, "Parameter", inputs=""),
    update=_put,
    delete=(Call("DeleteParameter", {"Name": "{id}"}, inputs=""),),
    outputs={
        "arn": "ARN",
        "version": "Version",
    },
    computed="tier dataType keyId",
    reads={"insecureValue": "", "keyId": "", "tier": "", "description": ""},
    replace="name",
    volatile={"version": "value insecureValue type description"},
    tags=tagging.by_resource(
        "ResourceId",
        "{id}",
        verbs=("AddTagsToResource", "RemoveTagsFromResource", "ListTagsForResource"),
        listed="TagList",
        kind=("ResourceType", "Parameter"),
    ),
)

ROWS = (PARAMETER,)
