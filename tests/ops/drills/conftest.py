"""A stack on an emulator, as the program would leave it: real PostgreSQL, real files, no servers."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from psycopg import sql

from core import outputs as names
from core.checkpoint import Manifest
from core.servers import ServerConfiguration, user_data_base64
from local.emulator import Emulator
from local.nodes.file_systems import folder
from ops.aws import Aws
from ops.checkpoints import take as taking
from ops.console import Reporter
from ops.databases.connection import Server
from ops.site import Site
from ops.site.databases import Databases
from ops.stack import Stack
from tests.bench_dump import ODOO_TABLES, attach
from tests.core.servers.conftest import VALUES
from tests.local.emulator.conftest import REGION, client, emulator, emulator_home, wait_until

__all__ = ["client", "emulator", "emulator_home"]

STACK = "prod"
ROLE = "openerp_app"
PASSWORD = "it's secret"
DATABASES = ("openerp", "openerp_test")
Clients = Callable[..., Any]


@dataclass(frozen=True)
class Deployment:
    """What was made once for all tests."""

    home: Path
    outputs: dict[str, Any]
    clients: Clients

    @property
    def file_systems(self) -> Path:
        found: Path = folder(self.home)
        return found

    def site(self, directory: Path, reporter: Reporter | None = None, **changed: Any) -> Site:
        """Open the stack as a command would."""
        path = directory / "outputs.json"
        path.write_text(json.dumps({**self.outputs, **changed}))
        (directory / f"Pulumi.{STACK}.yaml").write_text("config: {}\n")
        stack = Stack(STACK, directory=directory, outputs_file=str(path))
        aws = Aws(REGION, make=lambda service, region: self.clients(service, region))
        return Site(
            stack=stack,
            aws=aws,
            databases=Databases(stack=stack, aws=aws, ca=None),
            file_systems=self.file_systems,
            reporter=reporter or Reporter(),
        )

    def server(self, user: str = ROLE, password: str = PASSWORD) -> Server:
        return Server(
            host=self.outputs[names.DATABASE_ADDRESS],
            port=self.outputs[names.DATABASE_PORT],
            user=user,
            password=password,
        )

    def sql(self, database: str, query: str) -> list[Any]:
        with self.server().connect(database) as connection:
            cursor = connection.execute(query)
            return [] if cursor.description is None else list(cursor.fetchall())

    def filestore(self, database: str) -> Path:
        return self.file_systems / str(self.outputs[names.FILE_SYSTEM_ID]) / "odoo" / "filestore" / database


def _group(ec2: Any, vpc: str, name: str) -> str:
    return str(ec2.create_security_group(GroupName=name, Description=name, VpcId=vpc)["GroupId"])


def _tcp(port: int, **peers: Any) -> dict[str, Any]:
    return {"IpProtocol": "tcp", "FromPort": port, "ToPort": port, **peers}


def _network(client: Clients) -> dict[str, Any]:
    ec2 = client("ec2")
    vpc = ec2.create_vpc(CidrBlock="10.20.0.0/16")["Vpc"]["VpcId"]

    def subnet(number: int, zone: str) -> str:
        made = ec2.create_subnet(
            VpcId=vpc, CidrBlock=f"10.20.{number}.0/24", AvailabilityZone=f"{REGION}{zone}"
        )
        return str(made["Subnet"]["SubnetId"])

    database, files, app = (_group(ec2, vpc, name) for name in ("database", "files", "app"))
    office = {"IpRanges": [{"CidrIp": "192.0.2.0/24"}]}
    everywhere = {"IpRanges": [{"CidrIp": "0.0.0.0/0"}]}
    peers = {"UserIdGroupPairs": [{"GroupId": app}]}
    ec2.authorize_security_group_ingress(
        GroupId=database, IpPermissions=[_tcp(5432, **office), _tcp(5432, **peers)]
    )
    default = ec2.describe_security_groups(GroupIds=[app])["SecurityGroups"][0]["IpPermissionsEgress"]
    ec2.revoke_security_group_egress(GroupId=app, IpPermissions=default)
    ways = [_tcp(port, **everywhere) for port in (80, 443, 465, 587)]
    to_database = _tcp(5432, UserIdGroupPairs=[{"GroupId": database}])
    ec2.authorize_security_group_egress(GroupId=app, IpPermissions=[*ways, to_database])
    return {
        names.VPC_ID: vpc,
        names.VPC_CIDR: "10.20.0.0/16",
        names.DATA_SUBNET_IDS: [subnet(1, "a"), subnet(2, "b")],
        names.SERVER_SUBNET_IDS: [subnet(3, "a"), subnet(4, "b")],
        names.DATABASE_SECURITY_GROUP_ID: database,
        names.FILE_STORE_SECURITY_GROUP_ID: files,
        names.APP_SECURITY_GROUP_ID: app,
    }


def _database(client: Clients, network: dict[str, Any]) -> dict[str, Any]:
    rds, secrets = client("rds"), client("secretsmanager")
    key = client("kms").create_key()["KeyMetadata"]["Arn"]
    rds.create_db_subnet_group(
        DBSubnetGroupName="data", DBSubnetGroupDescription="d", SubnetIds=network[names.DATA_SUBNET_IDS]
    )
    rds.create_db_parameter_group(
        DBParameterGroupName="parameters", DBParameterGroupFamily="postgres16", Description="d"
    )
    rds.create_db_instance(
        DBInstanceIdentifier="openerp-prod",
        DBInstanceClass="db.t4g.micro",
        Engine="postgres",
        EngineVersion="16.4",
        AllocatedStorage=20,
        MasterUsername="openerp_admin",
        ManageMasterUserPassword=True,
        MasterUserSecretKmsKeyId=key,
        StorageEncrypted=True,
        KmsKeyId=key,
        DBSubnetGroupName="data",
        DBParameterGroupName="parameters",
        VpcSecurityGroupIds=[network[names.DATABASE_SECURITY_GROUP_ID]],
        DeletionProtection=True,
        MultiAZ=True,
        Tags=[{"Key": "Stack", "Value": STACK}],
    )

    def row() -> Any:
        return rds.describe_db_instances(DBInstanceIdentifier="openerp-prod")["DBInstances"][0]

    wait_until(lambda: row()["DBInstanceStatus"] == "available")
    found = row()
    arns = {
        database: secrets.create_secret(
            Name=f"application-{database}",
            SecretString=json.dumps({"username": ROLE, "password": PASSWORD}),
        )["ARN"]
        for database in DATABASES[:1]
    }
    return {
        names.DATABASE_INSTANCE_IDENTIFIER: "openerp-prod",
        names.DATABASE_ADDRESS: found["Endpoint"]["Address"],
        names.DATABASE_PORT: found["Endpoint"]["Port"],
        names.DATABASE_SUBNET_GROUP_NAME: "data",
        names.DATABASE_PARAMETER_GROUP_NAME: "parameters",
        names.DATABASE_KMS_KEY_ARN: key,
        names.MASTER_SECRET_ARN: found["MasterUserSecret"]["SecretArn"],
        names.APPLICATION_SECRET_ARNS: dict.fromkeys(DATABASES, arns[DATABASES[0]]),
        names.DATABASE_NAMES: list(DATABASES),
        names.WORKING_DATABASE: DATABASES[0],
        names.TEST_DATABASE: DATABASES[1],
        names.TENANTS: {},
    }


def _files(client: Clients, network: dict[str, Any]) -> dict[str, Any]:
    efs, backup = client("efs"), client("backup")
    key = client("kms").create_key()["KeyMetadata"]["Arn"]
    made = efs.create_file_system(CreationToken="openerp-prod", Encrypted=True, KmsKeyId=key)
    point = efs.create_access_point(
        ClientToken="odoo",
        FileSystemId=made["FileSystemId"],
        PosixUser={"Uid": 10001, "Gid": 10001},
        RootDirectory={
            "Path": "/odoo",
            "CreationInfo": {"OwnerUid": 10001, "OwnerGid": 10001, "Permissions": "0750"},
        },
    )
    backup.create_backup_vault(BackupVaultName="vault")
    role = client("iam").create_role(RoleName="backup", AssumeRolePolicyDocument="{}")["Role"]["Arn"]
    plan = backup.create_backup_plan(
        BackupPlan={"BackupPlanName": "p", "Rules": [{"RuleName": "r", "TargetBackupVaultName": "vault"}]}
    )
    return {
        names.FILE_SYSTEM_ID: made["FileSystemId"],
        names.FILE_SYSTEM_PATH: "/odoo",
        names.ACCESS_POINT_ID: point["AccessPointId"],
        names.FILE_STORE_KMS_KEY_ARN: key,
        names.BACKUP_VAULT_NAME: "vault",
        names.BACKUP_ROLE_ARN: role,
        names.BACKUP_PLAN_ID: plan["BackupPlanId"],
    }


def _servers(client: Clients, known: dict[str, Any]) -> dict[str, Any]:
    iam, ec2 = client("iam"), client("ec2")
    iam.create_role(RoleName="app-servers", AssumeRolePolicyDocument="{}")
    profile = iam.create_instance_profile(InstanceProfileName="app-servers")["InstanceProfile"]
    iam.add_role_to_instance_profile(InstanceProfileName="app-servers", RoleName="app-servers")
    configuration = ServerConfiguration(
        **{
            **VALUES,
            "database_host": known[names.DATABASE_ADDRESS],
            "database_port": known[names.DATABASE_PORT],
            "file_system_id": known[names.FILE_SYSTEM_ID],
            "access_point_id": known[names.ACCESS_POINT_ID],
        }
    )
    tags = [{"ResourceType": "instance", "Tags": [{"Key": "Name", "Value": "app"}]}]
    template = ec2.create_launch_template(
        LaunchTemplateName="app",
        LaunchTemplateData={
            "ImageId": ec2.describe_images()["Images"][0]["ImageId"],
            "InstanceType": "t3.micro",
            "IamInstanceProfile": {"Arn": profile["Arn"]},
            "SecurityGroupIds": [known[names.APP_SECURITY_GROUP_ID]],
            "UserData": user_data_base64(configuration),
            "TagSpecifications": tags,
        },
    )["LaunchTemplate"]
    client("autoscaling").create_auto_scaling_group(
        AutoScalingGroupName="app",
        MinSize=1,
        MaxSize=1,
        LaunchTemplate={"LaunchTemplateId": template["LaunchTemplateId"], "Version": "$Latest"},
        VPCZoneIdentifier=",".join(known[names.SERVER_SUBNET_IDS]),
    )
    return {
        names.APP_LAUNCH_TEMPLATE_ID: template["LaunchTemplateId"],
        names.APP_AUTOSCALING_GROUP: "app",
    }


@pytest.fixture(scope="session")
def deployment(emulator: Emulator, emulator_home: Path, client: Clients) -> Deployment:
    """One stack with two databases and their attachments."""
    outputs: dict[str, Any] = {
        names.REGION: REGION,
        names.ENVIRONMENT: "production",
        names.OFFER: "hosted",
        names.RELEASE: "19.0",
        names.PACKAGE: {"source": "debian"},
        names.DATA_MODULES: [],
        names.DATABASE_ENGINE_VERSION: "16",
        names.PASSWORD_VERSIONS: {"application": 1, "reporting": 1, "administrator": 1},
    }
    outputs |= _network(client)
    outputs |= _database(client, outputs)
    outputs |= _files(client, outputs)
    outputs |= _servers(client, outputs)
    client("s3").create_bucket(Bucket="operations", CreateBucketConfiguration={"LocationConstraint": REGION})
    outputs[names.OPERATIONS_BUCKET] = "operations"
    made = Deployment(emulator_home, outputs, client)
    secret = client("secretsmanager").get_secret_value(SecretId=outputs[names.MASTER_SECRET_ARN])
    master = json.loads(secret["SecretString"])
    with made.server(master["username"], master["password"]).connect("postgres") as connection:
        connection.execute(
            sql.SQL("create role {} login password {}").format(sql.Identifier(ROLE), sql.Literal(PASSWORD))
        )
        connection.execute(
            sql.SQL("grant {} to {}").format(sql.Identifier(ROLE), sql.Identifier("openerp_admin"))
        )
        for database in DATABASES:
            connection.execute(
                sql.SQL("create database {} owner {}").format(sql.Identifier(database), sql.Identifier(ROLE))
            )
    for database in DATABASES:
        with made.server().connect(database) as connection:
            connection.execute(ODOO_TABLES)
            connection.execute("create table res_partner (id serial primary key, name text)")
            connection.execute(
                "insert into res_partner (name) select md5(i::text) from generate_series(1, 2000) i"
            )
            made.filestore(database).mkdir(parents=True)
            attach(connection, made.filestore(database), 40, (0, 1, 511, 3000, 100_000))
    return made


def take(site: Site, label: str) -> Manifest:
    """Take a checkpoint."""
    return taking.take(site, label).manifest
