"""What a `Network` registers. Not proven: that AWS accepts it, or that packets flow."""

from __future__ import annotations

import json

import pytest

from components.network import INTERFACE_ENDPOINTS, Network, NetworkArgs
from core.subnets import plan
from tests.components.conftest import Deploy, Graph

PLAN = plan("10.20.0.0/16", ["eu-west-1a", "eu-west-1b"])


def network(deploy: Deploy, **changes: object) -> Graph:
    values: dict[str, object] = {"cidr": "10.20.0.0/16", "subnets": PLAN, "region": "eu-west-1", **changes}
    args = NetworkArgs(**values)  # type: ignore[arg-type]  # a test's own changes
    return deploy(lambda: Network("network", args))


def test_a_network_over_two_zones_has_exactly_these_children(deploy: Deploy) -> None:
    graph = network(deploy)
    zones = ("eu-west-1a", "eu-west-1b")
    kinds = ("public", "server", "data")
    assert graph.children("network") == {
        ("aws:ec2/vpc:Vpc", "network-vpc"),
        ("aws:ec2/defaultSecurityGroup:DefaultSecurityGroup", "network-default"),
        ("aws:ec2/internetGateway:InternetGateway", "network-internet"),
        *(("aws:ec2/subnet:Subnet", f"network-{k}-{z}") for k in kinds for z in zones),
        *(
            ("aws:ec2/routeTableAssociation:RouteTableAssociation", f"network-{k}-{z}")
            for k in kinds
            for z in zones
        ),
        ("aws:ec2/routeTable:RouteTable", "network-public"),
        ("aws:ec2/routeTable:RouteTable", "network-data"),
        *(("aws:ec2/routeTable:RouteTable", f"network-server-{z}") for z in zones),
        ("aws:ec2/route:Route", "network-public-internet"),
        *(("aws:ec2/route:Route", f"network-server-{z}-out") for z in zones),
        ("aws:ec2/eip:Eip", "network-nat-eu-west-1a"),
        ("aws:ec2/natGateway:NatGateway", "network-nat-eu-west-1a"),
        ("aws:ec2/vpcEndpoint:VpcEndpoint", "network-endpoint-s3"),
        ("aws:cloudwatch/logGroup:LogGroup", "network-flow-logs"),
        ("aws:iam/role:Role", "network-flow-logs"),
        ("aws:iam/rolePolicy:RolePolicy", "network-flow-logs"),
        ("aws:ec2/flowLog:FlowLog", "network-flow-logs"),
    }
    assert graph.one("openerp:index:Network").name == "network"


def test_data_subnets_have_no_route_out(deploy: Deploy) -> None:
    graph = network(deploy, nat_gateways="one-per-az")
    data_tables = {
        r.inputs["routeTableId"]
        for r in graph.of("aws:ec2/routeTableAssociation:RouteTableAssociation")
        if "-data-" in r.name
    }
    routed = {r.inputs["routeTableId"] for r in graph.of("aws:ec2/route:Route")}
    endpoint = graph.one("aws:ec2/vpcEndpoint:VpcEndpoint").inputs
    assert data_tables == {"network-data-id"}
    assert not data_tables & routed
    assert not data_tables & set(endpoint["routeTableIds"])
    assert "routes" not in graph.one("aws:ec2/routeTable:RouteTable", "network-data").inputs


def test_one_gateway_serves_all_zones_or_each_zone_has_its_own(deploy: Deploy) -> None:
    def ways_out(graph: Graph) -> dict[str, str]:
        return {
            r.name: r.inputs["natGatewayId"]
            for r in graph.of("aws:ec2/route:Route")
            if "natGatewayId" in r.inputs
        }

    assert ways_out(network(deploy)) == {
        "network-server-eu-west-1a-out": "network-nat-eu-west-1a-id",
        "network-server-eu-west-1b-out": "network-nat-eu-west-1a-id",
    }
    assert ways_out(network(deploy, nat_gateways="one-per-az")) == {
        "network-server-eu-west-1a-out": "network-nat-eu-west-1a-id",
        "network-server-eu-west-1b-out": "network-nat-eu-west-1b-id",
    }


def test_a_gateway_waits_for_the_way_to_the_internet(deploy: Deploy) -> None:
    gateway = network(deploy).one("aws:ec2/natGateway:NatGateway")
    assert "network-public-internet" in gateway.depends_on_names


def test_the_default_security_group_admits_nothing(deploy: Deploy) -> None:
    group = network(deploy).one("aws:ec2/defaultSecurityGroup:DefaultSecurityGroup")
    assert group.inputs["ingress"] == []
    assert group.inputs["egress"] == []


@pytest.mark.parametrize("wanted", [False, True])
def test_interface_endpoints_are_made_by_settings_and_admit_https_from_the_vpc_only(
    deploy: Deploy, wanted: bool
) -> None:
    graph = network(deploy, interface_endpoints=wanted)
    interfaces = [
        r for r in graph.of("aws:ec2/vpcEndpoint:VpcEndpoint") if r.inputs["vpcEndpointType"] == "Interface"
    ]
    rules = graph.of("aws:vpc/securityGroupIngressRule:SecurityGroupIngressRule")
    if not wanted:
        assert interfaces == []
        assert rules == []
        return
    assert {r.inputs["serviceName"] for r in interfaces} == {
        f"com.amazonaws.eu-west-1.{service}" for service in INTERFACE_ENDPOINTS
    }
    assert all(r.inputs["privateDnsEnabled"] for r in interfaces)
    assert all(r.inputs["securityGroupIds"] == ["network-endpoints-id"] for r in interfaces)
    assert [(r.inputs["cidrIpv4"], r.inputs["fromPort"], r.inputs["toPort"]) for r in rules] == [
        ("10.20.0.0/16", 443, 443)
    ]


def test_the_role_of_the_flow_logs_writes_to_its_own_log_group_only(deploy: Deploy) -> None:
    graph = network(deploy, flow_log_retention_days=90)
    document = json.loads(graph.one("aws:iam/rolePolicy:RolePolicy").inputs["policy"])
    arn = "arn:aws:cloudwatch:eu-west-1:123456789012:network-flow-logs"
    write = next(s for s in document["Statement"] if "logs:PutLogEvents" in s["Action"])
    assert write["Resource"] == [arn, f"{arn}:*"]
    assert all("*" not in s["Resource"] for s in document["Statement"])
    assert graph.one("aws:cloudwatch/logGroup:LogGroup").inputs["retentionInDays"] == 90
    assert graph.one("aws:ec2/flowLog:FlowLog").inputs["trafficType"] == "ALL"


def test_the_outputs_list_the_subnets_in_the_order_of_the_zones(deploy: Deploy) -> None:
    outputs = network(deploy).outputs_of("network")
    assert outputs == {
        "vpc_id": "network-vpc-id",
        "vpc_cidr": "10.20.0.0/16",
        "public_subnet_ids": ["network-public-eu-west-1a-id", "network-public-eu-west-1b-id"],
        "server_subnet_ids": ["network-server-eu-west-1a-id", "network-server-eu-west-1b-id"],
        "data_subnet_ids": ["network-data-eu-west-1a-id", "network-data-eu-west-1b-id"],
        "flow_log_group_name": "network-flow-logs-1234567",
        "s3_prefix_list_id": "pl-network-endpoint-s3",
    }


def test_a_third_zone_adds_resources_and_renames_none(deploy: Deploy) -> None:
    wider = plan("10.20.0.0/16", ["eu-west-1a", "eu-west-1b", "eu-west-1c"])
    two = network(deploy).children("network")
    three = network(deploy, subnets=wider).children("network")
    assert two < three
    assert all("eu-west-1c" in name for _, name in three - two)
