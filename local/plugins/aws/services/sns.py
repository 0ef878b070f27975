"""SNS: topics, their policies, subscriptions."""

from __future__ import annotations

import json

from local.plugins.aws.context import Context
from local.plugins.aws.row import Action, Call, Name, Row, Step
from local.plugins.aws.services import _tagging as tagging

TOPIC_ATTRIBUTES = {
    "displayName": "DisplayName",
    "kmsMasterKeyId": "KmsMasterKeyId",
    "policy": "Policy",
    "deliveryPolicy": "DeliveryPolicy",
    "signatureVersion": "SignatureVersion",
    "tracingConfig": "TracingConfig",
}
SUBSCRIPTION_ATTRIBUTES = {
    "rawMessageDelivery": "RawMessageDelivery",
    "filterPolicy": "FilterPolicy",
    "filterPolicyScope": "FilterPolicyScope",
    "deliveryPolicy": "DeliveryPolicy",
    "redrivePolicy": "RedrivePolicy",
    "subscriptionRoleArn": "SubscriptionRoleArn",
}


def _attribute(operation: str, resource: str, name: str, attribute: str) -> Step:
    """A setting that SetTopicAttributes or SetSubscriptionAttributes takes, one at a time."""

    def call(value: str) -> Action:
        arguments = {resource: "{id}", "AttributeName": attribute, "AttributeValue": value}
        return Call(operation, arguments, inputs="")

    return Step(name, call("{" + name + "}"), call(""))


TOPIC = Row(
    type="aws:sns/topic:Topic",
    service="sns",
    inputs=f"name fifoTopic contentBasedDeduplication {' '.join(TOPIC_ATTRIBUTES)}",
    local="namePrefix",
    name=Name(longest=256),
    create=lambda context: _create_topic(context),
    id="TopicArn",
    read=Call("GetTopicAttributes", {"TopicArn": "{id}"}, "Attributes", inputs=""),
    steps=tuple(
        _attribute("SetTopicAttributes", "TopicArn", name, attribute)
        for name, attribute in TOPIC_ATTRIBUTES.items()
    ),
    delete=(Call("DeleteTopic", {"TopicArn": "{id}"}, inputs=""),),
    outputs={"arn": "TopicArn", "owner": "Owner"},
    constants={"beginningArchiveTime": ""},
    computed="policy signatureVersion tracingConfig",
    reads={"fifoTopic": "", "contentBasedDeduplication": ""},
    replace="name namePrefix fifoTopic",
    tags=tagging.by_resource("ResourceArn", "{id}"),
)


def _create_topic(context: Context) -> object:
    names = {"fifoTopic": "FifoTopic", "contentBasedDeduplication": "ContentBasedDeduplication"}
    attributes = {argument: "true" for name, argument in names.items() if context.inputs.get(name)}
    return context.run(Call("CreateTopic", {"Attributes": attributes} if attributes else {}))


def _default_policy(context: Context) -> None:
    """Gives the topic the policy back that SNS makes for a new one: its owner may do everything."""
    statement = {
        "Sid": "__default_statement_ID",
        "Effect": "Allow",
        "Principal": {"AWS": "*"},
        "Action": [
            f"SNS:{verb}"
            for verb in (
                "GetTopicAttributes", "SetTopicAttributes", "AddPermission", "RemovePermission",
                "DeleteTopic", "Subscribe", "ListSubscriptionsByTopic", "Publish",
            )
        ],
        "Resource": context.id,
        "Condition": {"StringEquals": {"AWS:SourceOwner": context.value("account")}},
    }  # fmt: skip
    policy = {"Version": "2008-10-17", "Id": "__default_policy_ID", "Statement": [statement]}
    context.call(
        "SetTopicAttributes", TopicArn=context.id, AttributeName="Policy", AttributeValue=json.dumps(policy)
    )


TOPIC_POLICY = Row(
    type="aws:sns/topicPolicy:TopicPolicy",
    service="sns",
    inputs="arn policy",
    create=lambda context: _put_topic_policy(context),
    id="{arn}",
    read=Call("GetTopicAttributes", {"TopicArn": "{id}"}, "Attributes", inputs=""),
    update=lambda context: _put_topic_policy(context),
    delete=(_default_policy,),
    outputs={"owner": "Owner"},
    reads={"arn": "TopicArn"},
    replace="arn",
    slot="arn",
)


def _put_topic_policy(context: Context) -> None:
    context.call(
        "SetTopicAttributes",
        TopicArn=context.inputs["arn"],
        AttributeName="Policy",
        AttributeValue=context.inputs["policy"],
    )


SUBSCRIPTION = Row(
    type="aws:sns/topicSubscription:TopicSubscription",
    service="sns",
    inputs=f"topic protocol endpoint {' '.join(SUBSCRIPTION_ATTRIBUTES)}",
    local="confirmationTimeoutInMinutes endpointAutoConfirms",
    defaults={"confirmationTimeoutInMinutes": 1, "endpointAutoConfirms": False, "rawMessageDelivery": False},
    rename={"topic": "TopicArn"},
    create=Call("Subscribe", {"ReturnSubscriptionArn": True}),
    id="SubscriptionArn",
    read=Call("GetSubscriptionAttributes", {"SubscriptionArn": "{id}"}, "Attributes", inputs=""),
    steps=tuple(
        _attribute("SetSubscriptionAttributes", "SubscriptionArn", name, attribute)
        for name, attribute in SUBSCRIPTION_ATTRIBUTES.items()
    ),
    delete=(Call("Unsubscribe", {"SubscriptionArn": "{id}"}, inputs=""),),
    outputs={
        "arn": "SubscriptionArn",
        "ownerId": "{account}",
        "pendingConfirmation": "PendingConfirmation == 'true'",
        "confirmationWasAuthenticated": "ConfirmationWasAuthenticated == 'true'",
    },
    computed="filterPolicyScope",
    replace="topic protocol endpoint",
)

ROWS = (TOPIC, TOPIC_POLICY, SUBSCRIPTION)
