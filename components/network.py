"""The VPC: public, server and data subnets over two or three availability zones."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, Literal

import pulumi
import pulumi_aws as aws

from components import iam
from core import names
from core.subnets import SubnetPlan, ZoneSubnets

INTERFACE_ENDPOINTS: Final = ("ssm", "ssmmessages", "ec2messages", "secretsmanager", "logs")
"""What a server calls besides S3: Session Manager (three of them), Secrets Manager and CloudWatch Logs."""


@dataclass(frozen=True, kw_only=True)
class NetworkArgs:
    """What a `Network` is made from."""

    cidr: str
    """Range of the VPC, for example `10.20.0.0/16`. A change replaces the VPC and everything in it."""
    subnets: SubnetPlan
    """From `core.subnets.plan`. Zone names such as `eu-west-1a` are the stable keys of the children."""
    region: str
    nat_gateways: Literal["single", "one-per-az"] = "single"
    """`single` is cheaper; with it the loss of the first zone takes the others' way out."""
    interface_endpoints: bool = False
    """Private endpoints for SSM, Secrets Manager and logs, so that this traffic does not need the NAT."""
    flow_log_retention_days: int = 30
    """One of the values CloudWatch Logs accepts (1, 3, 5, 7, 14, 30, 60, 90, …); 0 keeps them for ever."""
    tags: Mapping[str, str] = field(default_factory=dict)


class Network(pulumi.ComponentResource):
    """VPC, subnets, routes, endpoints and flow logs.

    Public subnets hold the load balancer and the NAT gateways; server subnets reach the internet through
    NAT; data subnets have no route out at all. Security groups live with their users, not here; the
    VPC's default group is emptied, so that whatever forgets its own group gets no traffic.
    """

    vpc_id: pulumi.Output[str]
    vpc_cidr: pulumi.Output[str]
    public_subnet_ids: pulumi.Output[list[str]]
    server_subnet_ids: pulumi.Output[list[str]]
    data_subnet_ids: pulumi.Output[list[str]]
    data_subnets: Mapping[str, pulumi.Output[str]]
    """Each data subnet's id by its zone."""
    flow_log_group_name: pulumi.Output[str]
    s3_prefix_list_id: pulumi.Output[str]
    """Addresses of S3 in the region, which the server subnets reach without leaving AWS's network."""

    def __init__(self, name: str, args: NetworkArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("openerp:index:Network", name, None, opts)
        self._name = name
        self._args = args
        self._child = pulumi.ResourceOptions(parent=self)

        self._vpc = aws.ec2.Vpc(
            f"{name}-vpc",
            cidr_block=args.cidr,
            enable_dns_hostnames=True,  # private DNS of interface endpoints and EFS needs both
            enable_dns_support=True,
            tags=self._tags("vpc"),
            opts=self._child,
        )
        aws.ec2.DefaultSecurityGroup(
            f"{name}-default",
            vpc_id=self._vpc.id,
            # Empty lists, not absent ones: a rule that somebody adds by hand is then a difference.
            ingress=[],
            egress=[],
            tags=self._tags("default-closed"),
            opts=self._child,
        )
        zones = args.subnets.zones
        public = {z.zone: self._subnet("public", z, z.public) for z in zones}
        server = {z.zone: self._subnet("server", z, z.server) for z in zones}
        data = {z.zone: self._subnet("data", z, z.data) for z in zones}

        self._route_public(public)
        server_tables = self._route_servers(server, public)
        self._close_data(data)
        s3 = self._endpoints(server, server_tables)
        flow_logs = self._flow_logs()

        self.vpc_id = self._vpc.id
        self.vpc_cidr = self._vpc.cidr_block
        self.public_subnet_ids = pulumi.Output.all(*(s.id for s in public.values()))
        self.server_subnet_ids = pulumi.Output.all(*(s.id for s in server.values()))
        self.data_subnets = {zone: subnet.id for zone, subnet in data.items()}
        self.data_subnet_ids = pulumi.Output.all(*(s.id for s in data.values()))
        self.flow_log_group_name = flow_logs.name
        self.s3_prefix_list_id = s3.prefix_list_id
        self.register_outputs(
            {
                "vpc_id": self.vpc_id,
                "vpc_cidr": self.vpc_cidr,
                "public_subnet_ids": self.public_subnet_ids,
                "server_subnet_ids": self.server_subnet_ids,
                "data_subnet_ids": self.data_subnet_ids,
                "flow_log_group_name": self.flow_log_group_name,
                "s3_prefix_list_id": self.s3_prefix_list_id,
            }
        )

    def _tags(self, key: str) -> dict[str, str]:
        return {"Name": f"{self._name}-{key}", **self._args.tags}

    def _subnet(self, kind: str, zone: ZoneSubnets, cidr: str) -> aws.ec2.Subnet:
        key = f"{kind}-{zone.zone}"
        return aws.ec2.Subnet(
            f"{self._name}-{key}",
            vpc_id=self._vpc.id,
            availability_zone=zone.zone,
            cidr_block=cidr,
            # NAT gateways and the load balancer bring addresses of their own.
            map_public_ip_on_launch=False,
            tags=self._tags(key),
            opts=self._child,
        )

    def _table(self, key: str) -> aws.ec2.RouteTable:
        return aws.ec2.RouteTable(
            f"{self._name}-{key}", vpc_id=self._vpc.id, tags=self._tags(key), opts=self._child
        )

    def _associate(self, key: str, subnet: aws.ec2.Subnet, table: aws.ec2.RouteTable) -> None:
        aws.ec2.RouteTableAssociation(
            f"{self._name}-{key}", subnet_id=subnet.id, route_table_id=table.id, opts=self._child
        )

    def _route_public(self, public: Mapping[str, aws.ec2.Subnet]) -> None:
        gateway = aws.ec2.InternetGateway(
            f"{self._name}-internet",
            vpc_id=self._vpc.id,
            tags=self._tags("internet"),
            opts=self._child,
        )
        table = self._table("public")
        self._public_route = aws.ec2.Route(
            f"{self._name}-public-internet",
            route_table_id=table.id,
            destination_cidr_block="0.0.0.0/0",
            gateway_id=gateway.id,
            opts=self._child,
        )
        for zone, subnet in public.items():
            self._associate(f"public-{zone}", subnet, table)

    def _route_servers(
        self, server: Mapping[str, aws.ec2.Subnet], public: Mapping[str, aws.ec2.Subnet]
    ) -> list[aws.ec2.RouteTable]:
        first = next(iter(public))
        with_gateway = [first] if self._args.nat_gateways == "single" else list(public)
        gateways = {zone: self._nat_gateway(zone, public[zone]) for zone in with_gateway}
        tables = []
        for zone, subnet in server.items():
            table = self._table(f"server-{zone}")
            aws.ec2.Route(
                f"{self._name}-server-{zone}-out",
                route_table_id=table.id,
                destination_cidr_block="0.0.0.0/0",
                nat_gateway_id=gateways.get(zone, gateways[first]).id,
                opts=self._child,
            )
            self._associate(f"server-{zone}", subnet, table)
            tables.append(table)
        return tables

    def _nat_gateway(self, zone: str, subnet: aws.ec2.Subnet) -> aws.ec2.NatGateway:
        address = aws.ec2.Eip(
            f"{self._name}-nat-{zone}", domain="vpc", tags=self._tags(f"nat-{zone}"), opts=self._child
        )
        return aws.ec2.NatGateway(
            f"{self._name}-nat-{zone}",
            allocation_id=address.allocation_id,
            subnet_id=subnet.id,
            tags=self._tags(f"nat-{zone}"),
            # A NAT gateway in a VPC without a way to the internet fails to start.
            opts=pulumi.ResourceOptions(parent=self, depends_on=[self._public_route]),
        )

    def _close_data(self, data: Mapping[str, aws.ec2.Subnet]) -> None:
        """Give the data subnets a route table of their own with no route in it."""
        table = self._table("data")
        for zone, subnet in data.items():
            self._associate(f"data-{zone}", subnet, table)

    def _endpoints(
        self, server: Mapping[str, aws.ec2.Subnet], server_tables: Sequence[aws.ec2.RouteTable]
    ) -> aws.ec2.VpcEndpoint:
        """Make the endpoints; return that of S3."""
        s3 = aws.ec2.VpcEndpoint(
            f"{self._name}-endpoint-s3",
            vpc_id=self._vpc.id,
            vpc_endpoint_type="Gateway",
            service_name=f"com.amazonaws.{self._args.region}.s3",
            route_table_ids=[table.id for table in server_tables],
            tags=self._tags("endpoint-s3"),
            opts=self._child,
        )
        if not self._args.interface_endpoints:
            return s3
        group = aws.ec2.SecurityGroup(
            f"{self._name}-endpoints",
            description="Private endpoints of AWS services",
            vpc_id=self._vpc.id,
            tags=self._tags("endpoints"),
            opts=self._child,
        )
        aws.vpc.SecurityGroupIngressRule(
            f"{self._name}-endpoints-https",
            security_group_id=group.id,
            description="HTTPS from inside the VPC",
            ip_protocol="tcp",
            from_port=names.HTTPS_PORT,
            to_port=names.HTTPS_PORT,
            cidr_ipv4=self._vpc.cidr_block,
            opts=self._child,
        )
        for service in INTERFACE_ENDPOINTS:
            aws.ec2.VpcEndpoint(
                f"{self._name}-endpoint-{service}",
                vpc_id=self._vpc.id,
                vpc_endpoint_type="Interface",
                service_name=f"com.amazonaws.{self._args.region}.{service}",
                private_dns_enabled=True,
                subnet_ids=[subnet.id for subnet in server.values()],
                security_group_ids=[group.id],
                tags=self._tags(f"endpoint-{service}"),
                opts=self._child,
            )
        return s3

    def _flow_logs(self) -> aws.cloudwatch.LogGroup:
        group = aws.cloudwatch.LogGroup(
            f"{self._name}-flow-logs",
            retention_in_days=self._args.flow_log_retention_days,
            opts=self._child,
        )
        role = aws.iam.Role(
            f"{self._name}-flow-logs",
            description="Lets VPC flow logs write to their log group",
            assume_role_policy=iam.trust_service("vpc-flow-logs.amazonaws.com"),
            opts=self._child,
        )
        policy = aws.iam.RolePolicy(
            f"{self._name}-flow-logs",
            role=role.id,
            policy=iam.policy_document(
                [
                    iam.allow(
                        "Write",
                        ["logs:CreateLogStream", "logs:DescribeLogStreams", "logs:PutLogEvents"],
                        [group.arn, pulumi.Output.concat(group.arn, ":*")],
                    ),
                    iam.allow(
                        "Find",
                        ["logs:DescribeLogGroups"],
                        # This action knows no single group, only the account's groups in the region.
                        [group.arn.apply(lambda arn: iam.sibling_arn(arn, "logs", "log-group:*"))],
                    ),
                ]
            ),
            opts=self._child,
        )
        aws.ec2.FlowLog(
            f"{self._name}-flow-logs",
            vpc_id=self._vpc.id,
            traffic_type="ALL",
            log_destination=group.arn,
            iam_role_arn=role.arn,
            max_aggregation_interval=600,
            tags=self._tags("flow-logs"),
            opts=pulumi.ResourceOptions(parent=self, depends_on=[policy]),
        )
        return group
