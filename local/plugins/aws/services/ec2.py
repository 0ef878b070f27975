"""EC2: network, security groups, flow logs, launch templates."""

from __future__ import annotations

import zlib
from collections.abc import Mapping
from typing import Any

from local.plugins.aws.clients import ApiError
from local.plugins.aws.context import Context
from local.plugins.aws.row import Call, Name, Row, Step, Values
from local.plugins.aws.services import _tagging as tagging

ARN = "arn:{partition}:ec2:{region}:{account}:"


def _of_vpc(operation: str, result: str, *filters: tuple[str, str]) -> Call:
    conditions = [("vpc-id", "{id}"), *filters]
    return Call(
        operation,
        {"Filters": [{"Name": name, "Values": [value]} for name, value in conditions]},
        result,
        inputs="",
    )


def _attribute(operation: str, resource: str, name: str) -> Step:
    """A setting that ModifyVpcAttribute and its like take one at a time."""
    return Step(name, Call(operation, {resource: "{id}"}, inputs=name))


VPC = Row(
    type="aws:ec2/vpc:Vpc",
    service="ec2",
    inputs="cidrBlock instanceTenancy enableDnsSupport enableDnsHostnames enableNetworkAddressUsageMetrics",
    defaults={"instanceTenancy": "default", "enableDnsSupport": True},
    create=Call("CreateVpc", result="Vpc"),
    id="VpcId",
    read=Call("DescribeVpcs", {"VpcIds": ["{id}"]}, "Vpcs[0]", inputs=""),
    steps=(
        _attribute("ModifyVpcAttribute", "VpcId", "enableDnsSupport"),
        _attribute("ModifyVpcAttribute", "VpcId", "enableDnsHostnames"),
        _attribute("ModifyVpcAttribute", "VpcId", "enableNetworkAddressUsageMetrics"),
    ),
    delete=(Call("DeleteVpc", {"VpcId": "{id}"}, inputs=""),),
    outputs={"arn": ARN + "vpc/{id}", "ownerId": "OwnerId", "dhcpOptionsId": "DhcpOptionsId"},
    lookups={
        "defaultSecurityGroupId": _of_vpc(
            "DescribeSecurityGroups", "SecurityGroups[0].GroupId", ("group-name", "default")
        ),
        "defaultNetworkAclId": _of_vpc(
            "DescribeNetworkAcls", "NetworkAcls[0].NetworkAclId", ("default", "true")
        ),
        "mainRouteTableId": _of_vpc(
            "DescribeRouteTables", "RouteTables[0].RouteTableId", ("association.main", "true")
        ),
        "defaultRouteTableId": _of_vpc(
            "DescribeRouteTables", "RouteTables[0].RouteTableId", ("association.main", "true")
        ),
    },
    replace="cidrBlock",
    tags=tagging.ec2("vpc"),
)

SUBNET = Row(
    type="aws:ec2/subnet:Subnet",
    service="ec2",
    inputs="vpcId cidrBlock availabilityZone availabilityZoneId mapPublicIpOnLaunch "
    "assignIpv6AddressOnCreation",
    create=Call("CreateSubnet", result="Subnet"),
    id="SubnetId",
    read=Call("DescribeSubnets", {"SubnetIds": ["{id}"]}, "Subnets[0]", inputs=""),
    steps=(
        _attribute("ModifySubnetAttribute", "SubnetId", "mapPublicIpOnLaunch"),
        _attribute("ModifySubnetAttribute", "SubnetId", "assignIpv6AddressOnCreation"),
    ),
    delete=(Call("DeleteSubnet", {"SubnetId": "{id}"}, inputs=""),),
    outputs={"arn": ARN + "subnet/{id}", "ownerId": "OwnerId"},
    computed="availabilityZone availabilityZoneId",
    replace="vpcId cidrBlock availabilityZone availabilityZoneId",
    slot="vpcId cidrBlock",
    tags=tagging.ec2("subnet"),
)


def _move_gateway(context: Context) -> None:
    old, new = context.state.get("vpcId"), context.inputs.get("vpcId")
    if old and old != new:
        context.call("DetachInternetGateway", InternetGatewayId=context.id, VpcId=old)
    if new:
        context.call("AttachInternetGateway", InternetGatewayId=context.id, VpcId=new)


def _detach_gateway(context: Context) -> None:
    if vpc := context.value("vpcId"):
        context.call("DetachInternetGateway", InternetGatewayId=context.id, VpcId=vpc)


INTERNET_GATEWAY = Row(
    type="aws:ec2/internetGateway:InternetGateway",
    service="ec2",
    inputs="vpcId",
    create=Call("CreateInternetGateway", result="InternetGateway"),
    id="InternetGatewayId",
    read=Call("DescribeInternetGateways", {"InternetGatewayIds": ["{id}"]}, "InternetGateways[0]", inputs=""),
    steps=(Step("vpcId", _move_gateway),),
    delete=(
        _detach_gateway,
        Call("DeleteInternetGateway", {"InternetGatewayId": "{id}"}, inputs=""),
    ),
    outputs={"arn": ARN + "internet-gateway/{id}", "ownerId": "{account}"},
    reads={"vpcId": "Attachments[0].VpcId"},
    tags=tagging.ec2("internet-gateway"),
)


def _public_name(context: Context) -> Any:
    """AWS's public DNS name of an address, which the emulator does not tell."""
    address = str(context.search("PublicIp", context.thing)).replace(".", "-")
    zone = "compute-1" if context.region == "us-east-1" else f"{context.region}.compute"
    return f"ec2-{address}.{zone}.amazonaws.com"


EIP = Row(
    type="aws:ec2/eip:Eip",
    service="ec2",
    inputs="domain networkBorderGroup publicIpv4Pool",
    create=Call("AllocateAddress"),
    id="AllocationId",
    read=Call("DescribeAddresses", {"AllocationIds": ["{id}"]}, "Addresses[0]", inputs=""),
    delete=(Call("ReleaseAddress", {"AllocationId": "{id}"}, inputs=""),),
    outputs={
        "arn": ARN + "elastic-ip/{id}",
        "allocationId": "AllocationId",
        "publicIp": "PublicIp",
        "associationId": "AssociationId",
        "privateIp": "PrivateIpAddress",
    },
    lookups={"publicDns": _public_name},
    computed="domain networkBorderGroup publicIpv4Pool",
    replace="domain networkBorderGroup publicIpv4Pool",
    tags=tagging.ec2("elastic-ip"),
)

NAT_GATEWAY = Row(
    type="aws:ec2/natGateway:NatGateway",
    service="ec2",
    inputs="subnetId allocationId connectivityType",
    defaults={"connectivityType": "public"},
    create=Call("CreateNatGateway", result="NatGateway"),
    id="NatGatewayId",
    read=Call("DescribeNatGateways", {"NatGatewayIds": ["{id}"]}, "NatGateways[0]", inputs=""),
    gone="contains(['deleted', 'deleting'], State)",
    delete=(Call("DeleteNatGateway", {"NatGatewayId": "{id}"}, inputs=""),),
    outputs={
        "publicIp": "NatGatewayAddresses[0].PublicIp",
        "privateIp": "NatGatewayAddresses[0].PrivateIp",
        "networkInterfaceId": "NatGatewayAddresses[0].NetworkInterfaceId",
        "associationId": "NatGatewayAddresses[0].AssociationId",
    },
    reads={"allocationId": "NatGatewayAddresses[0].AllocationId"},
    replace="subnetId allocationId connectivityType",
    slot="allocationId",
    tags=tagging.ec2("natgateway"),
)

ROUTE_TABLE = Row(
    type="aws:ec2/routeTable:RouteTable",
    service="ec2",
    inputs="vpcId",
    create=Call("CreateRouteTable", result="RouteTable"),
    id="RouteTableId",
    read=Call("DescribeRouteTables", {"RouteTableIds": ["{id}"]}, "RouteTables[0]", inputs=""),
    delete=(Call("DeleteRouteTable", {"RouteTableId": "{id}"}, inputs=""),),
    outputs={"arn": ARN + "route-table/{id}", "ownerId": "OwnerId"},
    replace="vpcId",
    tags=tagging.ec2("route-table"),
)


def _destination(context: Context) -> str:
    names = ("destinationCidrBlock", "destinationIpv6CidrBlock", "destinationPrefixListId")
    return str(next((context.value(name) for name in names if context.value(name)), ""))


def _create_route(context: Context) -> Values:
    context.run(Call("CreateRoute"))
    code = zlib.crc32(_destination(context).encode())
    return {"Id": f"r-{context.value('routeTableId')}{code}"}


def _find_route(context: Context) -> Any:
    answer = context.call("DescribeRouteTables", RouteTableIds=[context.value("routeTableId")])
    wanted = _destination(context)
    keys = ("DestinationCidrBlock", "DestinationIpv6CidrBlock", "DestinationPrefixListId")
    routes = answer["RouteTables"][0]["Routes"] if answer["RouteTables"] else []
    return next((route for route in routes if wanted in [route.get(key) for key in keys]), None)


DESTINATIONS = "destinationCidrBlock destinationIpv6CidrBlock destinationPrefixListId"

ROUTE = Row(
    type="aws:ec2/route:Route",
    service="ec2",
    inputs=f"routeTableId {DESTINATIONS} gatewayId natGatewayId networkInterfaceId transitGatewayId "
    "vpcEndpointId vpcPeeringConnectionId egressOnlyGatewayId",
    rename={"egressOnlyGatewayId": "EgressOnlyInternetGatewayId"},
    create=_create_route,
    id="Id",
    read=_find_route,
    update=Call("ReplaceRoute"),
    delete=(
        Call(
            "DeleteRoute",
            {
                "RouteTableId": "{routeTableId}",
                "DestinationCidrBlock": "{destinationCidrBlock}",
                "DestinationIpv6CidrBlock": "{destinationIpv6CidrBlock}",
                "DestinationPrefixListId": "{destinationPrefixListId}",
            },
            inputs="",
        ),
    ),
    outputs={"origin": "Origin || 'CreateRoute'", "state": "State"},
    replace=f"routeTableId {DESTINATIONS}",
    slot=f"routeTableId {DESTINATIONS}",
)

ROUTE_TABLE_ASSOCIATION = Row(
    type="aws:ec2/routeTableAssociation:RouteTableAssociation",
    service="ec2",
    inputs="routeTableId subnetId gatewayId",
    create=Call("AssociateRouteTable"),
    id="AssociationId",
    read=Call(
        "DescribeRouteTables",
        {"Filters": [{"Name": "association.route-table-association-id", "Values": ["{id}"]}]},
        "RouteTables[].Associations[] | [?RouteTableAssociationId=='{id}'] | [0]",
        inputs="",
    ),
    delete=(Call("DisassociateRouteTable", {"AssociationId": "{id}"}, inputs=""),),
    replace="routeTableId subnetId gatewayId",
    slot="subnetId gatewayId",
)

VPC_ENDPOINT = Row(
    type="aws:ec2/vpcEndpoint:VpcEndpoint",
    service="ec2",
    inputs="vpcId serviceName vpcEndpointType policy routeTableIds subnetIds securityGroupIds "
    "privateDnsEnabled ipAddressType dnsOptions",
    local="autoAccept",
    defaults={"vpcEndpointType": "Gateway"},
    rename={"policy": "PolicyDocument"},
    create=Call("CreateVpcEndpoint", result="VpcEndpoint"),
    id="VpcEndpointId",
    read=Call("DescribeVpcEndpoints", {"VpcEndpointIds": ["{id}"]}, "VpcEndpoints[0]", inputs=""),
    gone="contains(['deleted', 'deleting'], State)",
    update=Call(
        "ModifyVpcEndpoint",
        {
            "VpcEndpointId": "{id}",
            "AddRouteTableIds": "{added.routeTableIds}",
            "RemoveRouteTableIds": "{removed.routeTableIds}",
            "AddSubnetIds": "{added.subnetIds}",
            "RemoveSubnetIds": "{removed.subnetIds}",
            "AddSecurityGroupIds": "{added.securityGroupIds}",
            "RemoveSecurityGroupIds": "{removed.securityGroupIds}",
        },
        changed=True,
    ),
    delete=(Call("DeleteVpcEndpoints", {"VpcEndpointIds": ["{id}"]}, inputs=""),),
    outputs={
        "arn": ARN + "vpc-endpoint/{id}",
        "state": "State",
        "ownerId": "{account}",
        "dnsEntries": "DnsEntries || `[]`",
        "networkInterfaceIds": "NetworkInterfaceIds || `[]`",
        "requesterManaged": "RequesterManaged || `false`",
    },
    lookups={
        "prefixListId": Call(
            "DescribePrefixLists",
            {"Filters": [{"Name": "prefix-list-name", "Values": ["{serviceName}"]}]},
            "PrefixLists[?PrefixListName=='{serviceName}'].PrefixListId | [0]",
            inputs="",
        )
    },
    constants={"cidrBlocks": []},
    computed="policy routeTableIds subnetIds securityGroupIds privateDnsEnabled ipAddressType dnsOptions",
    reads={"securityGroupIds": "Groups[].GroupId", "policy": ""},
    replace="vpcId serviceName vpcEndpointType",
    tags=tagging.ec2("vpc-endpoint"),
)


def _permission(rule: Mapping[str, Any]) -> dict[str, Any]:
    """An inline rule (``ingress``, ``egress``) as an EC2 permission."""
    note = {"Description": rule["description"]} if rule.get("description") else {}
    protocol = str(rule["protocol"])
    permission: dict[str, Any] = {"IpProtocol": "-1" if protocol in ("-1", "all") else protocol}
    if permission["IpProtocol"] != "-1":
        permission |= {"FromPort": int(rule["fromPort"]), "ToPort": int(rule["toPort"])}
    groups = [*(rule.get("securityGroups") or []), *(["{id}"] if rule.get("self") else [])]
    parts = {
        "IpRanges": [{"CidrIp": cidr, **note} for cidr in rule.get("cidrBlocks") or []],
        "Ipv6Ranges": [{"CidrIpv6": cidr, **note} for cidr in rule.get("ipv6CidrBlocks") or []],
        "PrefixListIds": [{"PrefixListId": name, **note} for name in rule.get("prefixListIds") or []],
        "UserIdGroupPairs": [{"GroupId": group, **note} for group in groups],
    }
    return {**permission, **{key: value for key, value in parts.items() if value}}


def _set_rules(direction: str) -> Any:
    """The function that replaces a group's rules of one direction by the inline ones."""
    verb, listed = (
        direction.capitalize(),
        "IpPermissions" if direction == "ingress" else "IpPermissionsEgress",
    )

    def put(context: Context) -> None:
        group = context.call("DescribeSecurityGroups", GroupIds=[context.id])["SecurityGroups"][0]
        if group.get(listed):
            context.call(f"RevokeSecurityGroup{verb}", GroupId=context.id, IpPermissions=group[listed])
        rules = [_permission(rule) for rule in context.inputs.get(direction) or []]
        for rule in rules:
            for pair in rule.get("UserIdGroupPairs", []):
                pair["GroupId"] = context.id if pair["GroupId"] == "{id}" else pair["GroupId"]
        if rules:
            context.call(f"AuthorizeSecurityGroup{verb}", GroupId=context.id, IpPermissions=rules)

    return put


def _create_group(context: Context) -> Any:
    """Makes a group without the rule that lets everything out, as the official provider does."""
    made = context.run(Call("CreateSecurityGroup"))
    context.id = made["GroupId"]
    _set_rules("egress")(context)
    return made


def _rules_told(listed: str) -> Any:
    """The function that gives a group's rules of one direction in the form of inline ones."""
    peers = {
        "cidrBlocks": "IpRanges[].CidrIp",
        "ipv6CidrBlocks": "Ipv6Ranges[].CidrIpv6",
        "prefixListIds": "PrefixListIds[].PrefixListId",
        "securityGroups": "UserIdGroupPairs[].GroupId",
    }

    def told(context: Context) -> list[Values] | None:
        rules = [
            {
                "protocol": permission["IpProtocol"],
                "fromPort": permission.get("FromPort", 0),
                "toPort": permission.get("ToPort", 0),
                **{
                    name: found for name, path in peers.items() if (found := context.search(path, permission))
                },
            }
            for permission in context.search(listed, context.thing) or []
        ]
        return rules or None

    return told


SECURITY_GROUP = Row(
    type="aws:ec2/securityGroup:SecurityGroup",
    service="ec2",
    inputs="name description vpcId ingress egress",
    local="namePrefix revokeRulesOnDelete",
    defaults={"description": "Managed by Pulumi", "revokeRulesOnDelete": False},
    name=Name(longest=255),
    rename={"name": "GroupName"},
    create=_create_group,
    id="GroupId",
    read=Call("DescribeSecurityGroups", {"GroupIds": ["{id}"]}, "SecurityGroups[0]", inputs=""),
    steps=(
        Step("ingress", _set_rules("ingress")),
        Step("egress", _set_rules("egress")),
    ),
    delete=(Call("DeleteSecurityGroup", {"GroupId": "{id}"}, inputs=""),),
    outputs={"arn": ARN + "security-group/{id}", "ownerId": "OwnerId"},
    reads={"ingress": "", "egress": ""},
    computed="vpcId ingress egress",
    replace="name namePrefix description vpcId",
    tags=tagging.ec2("security-group"),
)


def _adopt_default_group(context: Context) -> Any:
    conditions = [
        {"Name": "vpc-id", "Values": [context.inputs["vpcId"]]},
        {"Name": "group-name", "Values": ["default"]},
    ]
    group = context.call("DescribeSecurityGroups", Filters=conditions)["SecurityGroups"][0]
    context.id = group["GroupId"]
    _set_rules("ingress")(context)
    _set_rules("egress")(context)
    return group


DEFAULT_SECURITY_GROUP = Row(
    type="aws:ec2/defaultSecurityGroup:DefaultSecurityGroup",
    service="ec2",
    inputs="vpcId ingress egress",
    local="revokeRulesOnDelete",
    defaults={"revokeRulesOnDelete": False},
    create=_adopt_default_group,
    id="GroupId",
    read=Call("DescribeSecurityGroups", {"GroupIds": ["{id}"]}, "SecurityGroups[0]", inputs=""),
    steps=(
        Step("ingress", _set_rules("ingress"), create=False),
        Step("egress", _set_rules("egress"), create=False),
    ),
    delete=(),
    outputs={
        "arn": ARN + "security-group/{id}",
        "ownerId": "OwnerId",
        "name": "GroupName",
        "description": "Description",
    },
    watched="ingress egress",
    reads={"ingress": _rules_told("IpPermissions"), "egress": _rules_told("IpPermissionsEgress")},
    computed="vpcId",
    replace="vpcId",
    tags=tagging.ec2("security-group"),
)


def _rule_permission(context: Context) -> dict[str, Any]:
    inputs = context.inputs
    note = {"Description": inputs["description"]} if inputs.get("description") else {}
    peers: dict[str, list[dict[str, Any]]] = {}
    if inputs.get("cidrIpv4"):
        peers["IpRanges"] = [{"CidrIp": inputs["cidrIpv4"], **note}]
    if inputs.get("cidrIpv6"):
        peers["Ipv6Ranges"] = [{"CidrIpv6": inputs["cidrIpv6"], **note}]
    if inputs.get("prefixListId"):
        peers["PrefixListIds"] = [{"PrefixListId": inputs["prefixListId"], **note}]
    if inputs.get("referencedSecurityGroupId"):
        peers["UserIdGroupPairs"] = [{"GroupId": inputs["referencedSecurityGroupId"], **note}]
    ports = {
        argument: int(inputs[name])
        for argument, name in (("FromPort", "fromPort"), ("ToPort", "toPort"))
        if inputs.get(name) is not None
    }
    return {"IpProtocol": str(inputs["ipProtocol"]), **ports, **peers}


def _peer_is_single(inputs: Values) -> Mapping[str, str]:
    peers = [
        name
        for name in ("cidrIpv4", "cidrIpv6", "prefixListId", "referencedSecurityGroupId")
        if inputs.get(name) is not None
    ]
    if len(peers) == 1:
        return {}
    return {
        "cidrIpv4": "a rule takes exactly one of cidrIpv4, cidrIpv6, prefixListId and "
        f"referencedSecurityGroupId; it has {', '.join(peers) or 'none'}"
    }


def _modify_rule(context: Context) -> None:
    inputs = context.inputs
    every = -1 if str(inputs["ipProtocol"]) == "-1" else None
    rule = {
        "IpProtocol": str(inputs["ipProtocol"]),
        "FromPort": inputs.get("fromPort", every),
        "ToPort": inputs.get("toPort", every),
        "CidrIpv4": inputs.get("cidrIpv4"),
        "CidrIpv6": inputs.get("cidrIpv6"),
        "PrefixListId": inputs.get("prefixListId"),
        "ReferencedGroupId": inputs.get("referencedSecurityGroupId"),
        "Description": inputs.get("description"),
    }
    given = {key: value for key, value in rule.items() if value is not None}
    context.call(
        "ModifySecurityGroupRules",
        GroupId=inputs["securityGroupId"],
        SecurityGroupRules=[{"SecurityGroupRuleId": context.id, "SecurityGroupRule": given}],
    )


def _group_rule(direction: str) -> Row:
    verb = direction.capitalize()

    def create(context: Context) -> Any:
        tags = [{"Key": key, "Value": value} for key, value in context.tags.items()]
        context.tagged = True
        extra: dict[str, Any] = (
            {"TagSpecifications": [{"ResourceType": "security-group-rule", "Tags": tags}]} if tags else {}
        )
        answer = context.call(
            f"AuthorizeSecurityGroup{verb}",
            GroupId=context.inputs["securityGroupId"],
            IpPermissions=[_rule_permission(context)],
            **extra,
        )
        rules = answer.get("SecurityGroupRules") or []
        if not rules:
            raise ApiError(
                f"ec2.AuthorizeSecurityGroup{verb}", context.name, "InvalidPermission.Duplicate",
                "the group has a rule like this already",
            )  # fmt: skip
        return rules[0]

    return Row(
        type=f"aws:vpc/securityGroup{verb}Rule:SecurityGroup{verb}Rule",
        service="ec2",
        inputs="securityGroupId ipProtocol fromPort toPort cidrIpv4 cidrIpv6 prefixListId "
        "referencedSecurityGroupId description",
        create=create,
        id="SecurityGroupRuleId",
        read=Call(
            "DescribeSecurityGroupRules",
            {"SecurityGroupRuleIds": ["{id}"]},
            "SecurityGroupRules[0]",
            inputs="",
        ),
        update=_modify_rule,
        delete=(
            Call(
                f"RevokeSecurityGroup{verb}",
                {"GroupId": "{securityGroupId}", "SecurityGroupRuleIds": ["{id}"]},
                inputs="",
            ),
        ),
        outputs={"arn": ARN + "security-group-rule/{id}", "securityGroupRuleId": "SecurityGroupRuleId"},
        reads={
            "securityGroupId": "GroupId",
            "referencedSecurityGroupId": "ReferencedGroupInfo.GroupId",
            "cidrIpv4": "CidrIpv4",
            "cidrIpv6": "CidrIpv6",
        },
        replace="securityGroupId",
        check=_peer_is_single,
        tags=tagging.ec2("security-group-rule"),
    )


def _create_flow_log(context: Context) -> Any:
    kind = next((name for name in ("vpcId", "subnetId", "eniId") if context.inputs.get(name)), "vpcId")
    types = {"vpcId": "VPC", "subnetId": "Subnet", "eniId": "NetworkInterface"}
    answer = context.run(
        Call("CreateFlowLogs", {"ResourceIds": ["{" + kind + "}"], "ResourceType": types[kind]})
    )
    refused = answer.get("Unsuccessful") or []
    if refused:
        error = refused[0].get("Error", {})
        raise ApiError("ec2.CreateFlowLogs", context.name, error.get("Code", ""), error.get("Message", ""))
    return answer


FLOW_LOG = Row(
    type="aws:ec2/flowLog:FlowLog",
    service="ec2",
    inputs="vpcId subnetId eniId trafficType logDestination logDestinationType logFormat iamRoleArn "
    "maxAggregationInterval destinationOptions",
    defaults={"logDestinationType": "cloud-watch-logs", "maxAggregationInterval": 600},
    rename={"iamRoleArn": "DeliverLogsPermissionArn"},
    create=_create_flow_log,
    id="FlowLogIds[0]",
    read=Call("DescribeFlowLogs", {"FlowLogIds": ["{id}"]}, "FlowLogs[0]", inputs=""),
    delete=(Call("DeleteFlowLogs", {"FlowLogIds": ["{id}"]}, inputs=""),),
    outputs={"arn": ARN + "vpc-flow-log/{id}"},
    computed="logDestination logFormat",
    reads={"vpcId": "", "subnetId": "", "eniId": ""},
    replace="vpcId subnetId eniId trafficType logDestination logDestinationType logFormat iamRoleArn "
    "maxAggregationInterval destinationOptions",
    tags=tagging.ec2("vpc-flow-log"),
)

TEMPLATE_DATA = (
    "blockDeviceMappings capacityReservationSpecification cpuOptions creditSpecification disableApiStop "
    "disableApiTermination ebsOptimized enclaveOptions hibernationOptions iamInstanceProfile imageId "
    "instanceInitiatedShutdownBehavior instanceMarketOptions instanceRequirements instanceType kernelId "
    "keyName licenseSpecifications maintenanceOptions metadataOptions monitoring networkInterfaces placement "
    "privateDnsNameOptions ramDiskId securityGroupNames tagSpecifications userData vpcSecurityGroupIds"
)
"""The inputs of a launch template that are part of a version."""


def _template_data(context: Context) -> Any:
    shape = context.shape("CreateLaunchTemplateVersion").members["LaunchTemplateData"]
    values = {
        name: context.inputs[name] for name in TEMPLATE_DATA.split() if context.inputs.get(name) is not None
    }
    return context.convert(shape, values)


def _create_template(context: Context) -> Any:
    tags = [{"Key": key, "Value": value} for key, value in context.tags.items()]
    context.tagged = True
    extra: dict[str, Any] = (
        {"TagSpecifications": [{"ResourceType": "launch-template", "Tags": tags}]} if tags else {}
    )
    if context.inputs.get("description"):
        extra["VersionDescription"] = context.inputs["description"]
    return context.call(
        "CreateLaunchTemplate",
        LaunchTemplateName=context.inputs["name"],
        LaunchTemplateData=_template_data(context),
        **extra,
    )["LaunchTemplate"]


def _update_template(context: Context) -> None:
    """A new version for new data; the default version follows if the program says so."""
    latest = context.state.get("latestVersion")
    if context.changed & {*TEMPLATE_DATA.split(), "description"}:
        extra = (
            {"VersionDescription": context.inputs["description"]} if context.inputs.get("description") else {}
        )
        answer = context.call(
            "CreateLaunchTemplateVersion",
            LaunchTemplateId=context.id,
            LaunchTemplateData=_template_data(context),
            **extra,
        )
        latest = answer["LaunchTemplateVersion"]["VersionNumber"]
    default = latest if context.inputs.get("updateDefaultVersion") else context.inputs.get("defaultVersion")
    if default and int(default) != context.state.get("defaultVersion"):
        context.call("ModifyLaunchTemplate", LaunchTemplateId=context.id, DefaultVersion=str(int(default)))


def _find_template(context: Context) -> Any:
    found = context.call("DescribeLaunchTemplates", LaunchTemplateIds=[context.id])["LaunchTemplates"]
    if not found:
        return None
    answer = context.call("DescribeLaunchTemplateVersions", LaunchTemplateId=context.id, Versions=["$Latest"])
    versions = answer["LaunchTemplateVersions"]
    data = versions[0].get("LaunchTemplateData", {}) if versions else {}
    return {**data, **found[0]}


LAUNCH_TEMPLATE = Row(
    type="aws:ec2/launchTemplate:LaunchTemplate",
    service="ec2",
    inputs=f"name description defaultVersion updateDefaultVersion {TEMPLATE_DATA}",
    local="namePrefix",
    name=Name(longest=125),
    rename={
        "vpcSecurityGroupIds": "SecurityGroupIds",
        "securityGroupNames": "SecurityGroups",
        "networkInterfaces.securityGroups": "Groups",
        "networkInterfaces.ipv4Addresses": "PrivateIpAddresses",
        "httpProtocolIpv6": "HttpProtocolIpv6",
        "name": "Name",
    },
    create=_create_template,
    id="LaunchTemplateId",
    read=_find_template,
    update=_update_template,
    delete=(Call("DeleteLaunchTemplate", {"LaunchTemplateId": "{id}"}, inputs=""),),
    outputs={"arn": ARN + "launch-template/{id}", "latestVersion": "LatestVersionNumber"},
    computed="defaultVersion",
    reads={
        "name": "LaunchTemplateName",
        "description": "",
        "tagSpecifications": "TagSpecifications[?ResourceType!='launch-template']",
        "updateDefaultVersion": "",
        "defaultVersion": "DefaultVersionNumber",
        "vpcSecurityGroupIds": "SecurityGroupIds",
    },
    volatile={
        "latestVersion": f"description {TEMPLATE_DATA}",
        "defaultVersion": f"updateDefaultVersion {TEMPLATE_DATA}",
    },
    tags=tagging.ec2("launch-template"),
)

ROWS = (
    VPC,
    SUBNET,
    INTERNET_GATEWAY,
    EIP,
    NAT_GATEWAY,
    ROUTE_TABLE,
    ROUTE,
    ROUTE_TABLE_ASSOCIATION,
    VPC_ENDPOINT,
    SECURITY_GROUP,
    DEFAULT_SECURITY_GROUP,
    _group_rule("ingress"),
    _group_rule("egress"),
    FLOW_LOG,
    LAUNCH_TEMPLATE,
)
