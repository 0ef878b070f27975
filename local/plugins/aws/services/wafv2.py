"""WAF: web ACLs and what they protect."""

from __future__ import annotations

from typing import Any

from local.plugins.aws.context import Context
from local.plugins.aws.row import Call, Name, Row
from local.plugins.aws.services import _tagging as tagging

KEYS = {"Name": "{name}", "Scope": "{scope}", "Id": "{id}"}


def _find(context: Context) -> Any:
    answer = context.call(
        "GetWebACL", Name=context.value("name"), Scope=context.value("scope"), Id=context.id
    )
    return {**answer["WebACL"], "LockToken": answer["LockToken"]}


def _lock_token(context: Context) -> str:
    return str(_find(context)["LockToken"])


def _update(context: Context) -> None:
    context.run(Call("UpdateWebACL", {"Id": "{id}", "Name": "{name}", "LockToken": _lock_token(context)}))


def _delete(context: Context) -> None:
    context.run(Call("DeleteWebACL", {**KEYS, "LockToken": _lock_token(context)}, inputs=""))


WEB_ACL = Row(
    type="aws:wafv2/webAcl:WebAcl",
    service="wafv2",
    inputs="name scope description defaultAction rules visibilityConfig customResponseBodies captchaConfig "
    "challengeConfig tokenDomains associationConfig",
    local="namePrefix",
    name=Name(longest=128),
    create=Call("CreateWebACL", result="Summary"),
    id="Id",
    read=_find,
    update=_update,
    delete=(_delete,),
    outputs={
        "arn": "ARN",
        "capacity": "Capacity",
        "lockToken": "LockToken",
        "applicationIntegrationUrl": "ApplicationIntegrationURL || ''",
    },
    reads={"scope": ""},
    replace="name namePrefix scope",
    volatile={
        "lockToken": "description defaultAction rules visibilityConfig customResponseBodies captchaConfig "
        "challengeConfig tokenDomains associationConfig",
        "capacity": "rules",
    },
    tags=tagging.by_resource("ResourceARN", listed="TagInfoForResource.TagList"),
)

ASSOCIATION = Row(
    type="aws:wafv2/webAclAssociation:WebAclAssociation",
    service="wafv2",
    inputs="resourceArn webAclArn",
    create=Call("AssociateWebACL"),
    id="{webAclArn},{resourceArn}",
    read=Call("GetWebACLForResource", {"ResourceArn": "{resourceArn}"}, "WebACL", inputs=""),
    gone="ARN != '{webAclArn}'",
    delete=(Call("DisassociateWebACL", {"ResourceArn": "{resourceArn}"}, inputs=""),),
    replace="resourceArn webAclArn",
    slot="resourceArn",
)

ROWS = (WEB_ACL, ASSOCIATION)
