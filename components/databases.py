"""The logical part of the database server: databases, login roles, grants, and the secrets of the roles."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Literal

import pulumi
import pulumi_aws as aws
import pulumi_postgresql as postgresql

from components import iam
from components.generated_secret import GeneratedSecret, SecretPlace, generated_secret, password_seed
from core import names

SCHEMA: Final = "public"
MAINTENANCE_DATABASE: Final = "postgres"
ADMINISTRATOR: Final = "admin"
"""Login of Odoo's first user."""


@dataclass(frozen=True, kw_only=True)
class TenantDatabase:
    """One tenant of the offer `saas`."""

    name: str
    """Stable key, and the last part of the tenant's parameter."""
    database: str
    role: str
    host: str
    """Host name under which people reach the tenant."""


@dataclass(frozen=True, kw_only=True)
class DatabasesArgs:
    """What `Databases` are made from."""

    server_host: pulumi.Input[str]
    """Address that the servers use; it is what the secrets name."""
    server_port: pulumi.Input[int]
    admin_host: pulumi.Input[str] | None = None
    """Near end of a tunnel; left out, the engine reaches `server_host` itself."""
    admin_port: pulumi.Input[int] | None = None
    master_secret_arn: pulumi.Input[str]
    engine_version: str
    ssl_mode: Literal["require", "verify-full"] = "require"
    """`verify-full` needs RDS's certificate authority in the runner's trust store, and no tunnel."""
    kms_key_arn: pulumi.Input[str]
    working_database: str
    test_database: str
    tenants: Sequence[TenantDatabase] = ()
    tenants_parameter_path: str | None = None
    """SSM path below which each tenant is listed; required when there are tenants."""
    may_create_databases: bool = False
    """Whether the application's role may make databases: for scratch copies in development only."""
    left_out_because: str | None = None
    """Why databases, roles and grants are not made (the engine cannot reach the server, or a snapshot of
    another stack brought its own). The secrets are made nevertheless; the reason is printed."""
    secret_recovery_days: int = 0
    """7 to 30 days, or 0: deleted secrets are gone at once."""
    secret_versions: Mapping[str, int] = field(default_factory=dict)
    """Version of a password by purpose (`application`, `reporting`, `administrator`, `tenant/acme`,
    `administrator/acme`); 1 where nothing is said. A higher one makes a new password."""
    protect: bool = False
    """Pulumi refuses to delete the databases and the seed of the passwords."""
    tags: Mapping[str, str] = field(default_factory=dict)


class Databases(pulumi.ComponentResource):
    """Databases, roles, grants and secrets.

    Nothing here is dropped when it leaves the program (`retain_on_delete`): the final snapshot of a
    destroyed server would else be empty, a restored server would lose what the snapshot brought, and one
    deleted line of settings would delete a tenant's data. What is no longer wanted is dropped by hand.
    """

    database_names: pulumi.Output[list[str]]
    application_secret_arn: pulumi.Output[str]
    application_secret_arns: pulumi.Output[dict[str, str]]
    administrator_secret_arn: pulumi.Output[str]
    reporting_secret_arn: pulumi.Output[str | None]
    tenant_secret_arns: pulumi.Output[list[str]]
    """Patterns that match the secrets of all tenants, present and to come; empty without tenants."""

    def __init__(self, name: str, args: DatabasesArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("openerp:index:Databases", name, None, opts)
        if args.tenants and args.tenants_parameter_path is None:
            raise ValueError("tenants_parameter_path is needed when there are tenants")
        self._name = name
        self._args = args
        self._child = pulumi.ResourceOptions(parent=self)
        self._place = SecretPlace(
            kms_key_arn=args.kms_key_arn,
            recovery_window_days=args.secret_recovery_days,
            tags=args.tags,
        )
        self._seed = password_seed(f"{name}-seed", pulumi.ResourceOptions(parent=self, protect=args.protect))
        reachable = args.left_out_because is None
        if not reachable:
            pulumi.log.warn(
                f"Databases, roles and grants are left out: {args.left_out_because}", resource=self
            )
        provider = self._admin_provider() if reachable else None

        application = self._role_secret(
            "application",
            names.APPLICATION_ROLE,
            args.working_database,
            "Login of OpenERP's servers to their databases",
        )
        administrator = self._administrator_secret("administrator")
        reporting: GeneratedSecret | None = None
        if provider is not None:
            reporting = self._role_secret(
                "reporting", names.REPORTING_ROLE, args.working_database, "Read-only login for reports"
            )
            self._shared_databases(provider, application, reporting)
        tenant_secrets = {t.database: self._tenant(t, provider).arn for t in args.tenants}

        self.database_names = pulumi.Output.from_input(
            [args.working_database, args.test_database, *(t.database for t in args.tenants)]
        )
        self.application_secret_arn = application.arn
        self.application_secret_arns = pulumi.Output.all(
            **{
                args.working_database: application.arn,
                args.test_database: application.arn,
                **tenant_secrets,
            }
        )
        self.administrator_secret_arn = administrator.arn
        self.reporting_secret_arn = pulumi.Output.from_input(reporting.arn if reporting else None)
        self.tenant_secret_arns = application.arn.apply(
            lambda arn: (
                [
                    iam.sibling_arn(arn, "secretsmanager", f"secret:{name}-tenant-*"),
                    iam.sibling_arn(arn, "secretsmanager", f"secret:{name}-administrator-*"),
                ]
                if args.tenants_parameter_path is not None
                else []
            )
        )
        self.register_outputs(
            {
                "database_names": self.database_names,
                "application_secret_arn": self.application_secret_arn,
                "application_secret_arns": self.application_secret_arns,
                "administrator_secret_arn": self.administrator_secret_arn,
                "reporting_secret_arn": self.reporting_secret_arn,
                "tenant_secret_arns": self.tenant_secret_arns,
            }
        )

    def _admin_provider(self) -> postgresql.Provider:
        args = self._args
        master = aws.secretsmanager.get_secret_version_output(
            secret_id=args.master_secret_arn, opts=pulumi.InvokeOutputOptions(parent=self)
        )
        password: pulumi.Output[str] = pulumi.Output.secret(master.secret_string.apply(_password_in))
        return postgresql.Provider(
            f"{self._name}-admin",
            host=args.server_host if args.admin_host is None else args.admin_host,
            port=args.server_port if args.admin_port is None else args.admin_port,
            database=MAINTENANCE_DATABASE,
            username=names.MASTER_USERNAME,
            password=password,
            sslmode=args.ssl_mode,
            # RDS's master user may make roles and databases, but is no superuser.
            superuser=False,
            expected_version=args.engine_version,
            opts=self._child,
        )

    def _password_version(self, purpose: str) -> int:
        return self._args.secret_versions.get(purpose, 1)

    def _role_secret(self, purpose: str, role: str, database: str, description: str) -> GeneratedSecret:
        return generated_secret(
            f"{self._name}-{purpose.replace('/', '-')}",
            seed=self._seed,
            purpose=purpose,
            version=self._password_version(purpose),
            description=description,
            fields={
                "engine": "postgres",
                "username": role,
                "host": self._args.server_host,
                "port": self._args.server_port,
                "dbname": database,
            },
            place=self._place,
            opts=self._child,
        )

    def _administrator_secret(self, purpose: str) -> GeneratedSecret:
        return generated_secret(
            f"{self._name}-{purpose.replace('/', '-')}",
            seed=self._seed,
            purpose=purpose,
            version=self._password_version(purpose),
            description="First password of OpenERP's administrator; OpenERP does not follow later versions",
            fields={"username": ADMINISTRATOR},
            place=self._place,
            opts=self._child,
        )

    def _logical(
        self,
        provider: postgresql.Provider,
        *depends_on: pulumi.Resource,
        protect: bool | None = None,
    ) -> pulumi.ResourceOptions:
        return pulumi.ResourceOptions(
            parent=self,
            provider=provider,
            depends_on=list(depends_on),
            protect=protect,
            retain_on_delete=True,
        )

    def _role(
        self, provider: postgresql.Provider, key: str, role: str, secret: GeneratedSecret, *, creates: bool
    ) -> postgresql.Role:
        return postgresql.Role(
            f"{self._name}-{key}",
            name=role,
            login=True,
            password=secret.password,
            superuser=False,
            create_role=False,
            create_database=creates,
            replication=False,
            opts=self._logical(provider),
        )

    def _act_for(
        self, provider: postgresql.Provider, key: str, role: postgresql.Role
    ) -> postgresql.GrantRole:
        """Let the master user act for `role`, for good.

        Only its owner changes who may use a database. To others, RDS's master user among them, PostgreSQL
        answers a grant or revocation with a warning, and nothing changes; the provider borrows the owner's
        membership for what is in a database, but not for the database itself.
        """
        return postgresql.GrantRole(
            f"{self._name}-{key}-master",
            role=names.MASTER_USERNAME,
            grant_role=role.name,
            # Who makes a role may administer it; the provider reads back that older membership.
            opts=pulumi.ResourceOptions.merge(
                self._logical(provider), pulumi.ResourceOptions(ignore_changes=["withAdminOption"])
            ),
        )

    def _database(
        self,
        provider: postgresql.Provider,
        key: str,
        database: str,
        role: postgresql.Role,
        master: postgresql.GrantRole,
    ) -> tuple[postgresql.Database, pulumi.Resource]:
        """Make a database that `role` owns, and that no one else may use; return it and its last grant.

        Odoo sees no database but those that its login owns (`list_dbs` asks for `datdba`). Grants of one
        database follow each other, because PostgreSQL refuses two changes of the same permissions at once.
        """
        made = postgresql.Database(
            f"{self._name}-{key}",
            name=database,
            owner=role.name,
            encoding="UTF8",
            # As Odoo makes its own: sorting by bytes. Character classes stay those of the server.
            template="template0",
            lc_collate="C",
            opts=self._logical(provider, role, master, protect=self._args.protect),
        )
        last: pulumi.Resource = master
        for object_type, more in (("database", {}), ("schema", {"schema": SCHEMA})):
            last = self._grant(
                provider, f"{key}-public-{object_type}", made, "public", object_type, [], [last], more
            )
        return made, last

    def _grant(
        self,
        provider: postgresql.Provider,
        key: str,
        database: postgresql.Database,
        role: pulumi.Input[str],
        object_type: str,
        privileges: Sequence[str],
        after: Sequence[pulumi.Resource],
        more: Mapping[str, Any],
    ) -> postgresql.Grant:
        return postgresql.Grant(
            f"{self._name}-{key}",
            database=database.name,
            role=role,
            object_type=object_type,
            privileges=list(privileges),
            opts=self._logical(provider, *after),
            **more,
        )

    def _shared_databases(
        self, provider: postgresql.Provider, application: GeneratedSecret, reporting: GeneratedSecret
    ) -> None:
        args = self._args
        role = self._role(
            provider,
            "application",
            names.APPLICATION_ROLE,
            application,
            creates=args.may_create_databases,
        )
        reader = self._role(provider, "reporting", names.REPORTING_ROLE, reporting, creates=False)
        master = self._act_for(provider, "application", role)
        for key, database in (("working", args.working_database), ("test", args.test_database)):
            made, last = self._database(provider, key, database, role, master)
            self._let_read(provider, key, made, role, reader, last)

    def _let_read(
        self,
        provider: postgresql.Provider,
        key: str,
        database: postgresql.Database,
        owner: postgresql.Role,
        reader: postgresql.Role,
        after: pulumi.Resource,
    ) -> None:
        """Let `reader` select from what is in the database, and from what `owner` will make in it."""
        last = after
        for grant, object_type, privilege, more in (
            ("read-database", "database", "CONNECT", {}),
            ("read-schema", "schema", "USAGE", {"schema": SCHEMA}),
            ("read-tables", "table", "SELECT", {"schema": SCHEMA}),
        ):
            last = self._grant(
                provider, f"{key}-{grant}", database, reader.name, object_type, [privilege], [last], more
            )
        postgresql.DefaultPrivileges(
            f"{self._name}-{key}-read-new-tables",
            database=database.name,
            schema=SCHEMA,
            owner=owner.name,
            role=reader.name,
            object_type="table",
            privileges=["SELECT"],
            opts=self._logical(provider, last),
        )

    def _tenant(self, tenant: TenantDatabase, provider: postgresql.Provider | None) -> GeneratedSecret:
        """Make a tenant's secrets, list it for the servers, and make its role and database.

        A role of its own, because RPC ignores `dbfilter`; an administrator's password of its own, because
        it is handed to the tenant.
        """
        key = f"tenant-{tenant.name}"
        secret = self._role_secret(
            f"tenant/{tenant.name}",
            tenant.role,
            tenant.database,
            f"Login of the tenant {tenant.name} to its database",
        )
        administrator = self._administrator_secret(f"administrator/{tenant.name}")
        needed: list[pulumi.Resource] = []
        if provider is not None:
            role = self._role(provider, key, tenant.role, secret, creates=False)
            master = self._act_for(provider, key, role)
            needed = list(self._database(provider, key, tenant.database, role, master))
        aws.ssm.Parameter(
            f"{self._name}-{key}",
            name=f"{self._args.tenants_parameter_path}/{tenant.name}",
            description=f"Tenant {tenant.name}: read by the servers every minute",
            type="String",
            value=pulumi.Output.all(secret_arn=secret.arn, administrator_secret_arn=administrator.arn).apply(
                lambda arns: json.dumps(
                    {
                        "name": tenant.name,
                        "database": tenant.database,
                        "role": tenant.role,
                        "host": tenant.host,
                        **arns,
                    },
                    sort_keys=True,
                )
            ),
            tags=dict(self._args.tags),
            # Servers start an instance for what is listed here: the database is to be there by then.
            opts=pulumi.ResourceOptions(parent=self, depends_on=needed),
        )
        return secret


def _password_in(secret_string: str) -> str:
    """Return the password in the secret that RDS keeps for its master user."""
    password = json.loads(secret_string).get("password")
    if not isinstance(password, str):
        raise ValueError("the secret of the database server's master user holds no password")
    return password
