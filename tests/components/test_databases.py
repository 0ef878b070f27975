"""What `Databases` register. Not proven: that PostgreSQL grants it (see tests of the local stack)."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from components.databases import Databases, DatabasesArgs, TenantDatabase
from components.generated_secret import derive_password
from tests.components.conftest import Deploy, Graph

GRANT = "postgresql:index/grant:Grant"
DATABASE = "postgresql:index/database:Database"
ROLE = "postgresql:index/role:Role"
MEMBERSHIP = "postgresql:index/grantRole:GrantRole"
SECRET = "aws:secretsmanager/secret:Secret"
VERSION = "aws:secretsmanager/secretVersion:SecretVersion"
PARAMETER = "aws:ssm/parameter:Parameter"
LOGICAL = (GRANT, DATABASE, ROLE, MEMBERSHIP, "postgresql:index/defaultPrivileges:DefaultPrivileges")
ACME = TenantDatabase(name="acme", database="acme", role="openerp_app_acme", host="acme.erp.example.com")


def values(**changes: Any) -> dict[str, Any]:
    return {
        "server_host": "db.example.internal",
        "server_port": 5432,
        "master_secret_arn": "arn:aws:secretsmanager:eu-west-1:123456789012:secret:rds-master",
        "engine_version": "16",
        "kms_key_arn": "arn:aws:kms:eu-west-1:123456789012:key/1",
        "working_database": "openerp",
        "test_database": "openerp_test",
        **changes,
    }


def databases(deploy: Deploy, *, preview: bool = False, **changes: Any) -> Graph:
    args = DatabasesArgs(**values(**changes))
    return deploy(lambda: Databases("databases", args), preview=preview)


def saas(deploy: Deploy, *tenants: TenantDatabase) -> Graph:
    return databases(deploy, tenants=tenants, tenants_parameter_path="/openerp/test/tenants")


def secret_value(graph: Graph, name: str) -> dict[str, Any]:
    version = graph.one(VERSION, name)
    assert "secretString" in version.secret_inputs
    value: dict[str, Any] = json.loads(version.inputs["secretString"])
    return value


def passwords(graph: Graph) -> set[str]:
    return {json.loads(v.inputs["secretString"])["password"] for v in graph.of(VERSION)}


def test_databases_have_exactly_these_children(deploy: Deploy) -> None:
    graph = databases(deploy)
    grants = ("public-database", "public-schema")
    reads = ("read-database", "read-schema", "read-tables")
    assert graph.children("databases") == {
        ("tls:index/privateKey:PrivateKey", "databases-seed"),
        ("pulumi:providers:postgresql", "databases-admin"),
        *(
            (type_, f"databases-{key}")
            for type_ in (SECRET, VERSION)
            for key in ("application", "reporting", "administrator")
        ),
        *((ROLE, f"databases-{key}") for key in ("application", "reporting")),
        (MEMBERSHIP, "databases-application-master"),
        *((DATABASE, f"databases-{key}") for key in ("working", "test")),
        *((GRANT, f"databases-{d}-{g}") for d in ("working", "test") for g in (*grants, *reads)),
        *(
            ("postgresql:index/defaultPrivileges:DefaultPrivileges", f"databases-{d}-read-new-tables")
            for d in ("working", "test")
        ),
    }


def test_the_engine_logs_in_as_the_master_user_over_tls_with_rdss_own_password(deploy: Deploy) -> None:
    provider = databases(deploy).one("pulumi:providers:postgresql")
    assert provider.inputs["host"] == "db.example.internal"
    assert provider.inputs["username"] == "openerp_admin"
    assert provider.inputs["password"] == "mock-master-password"
    assert "password" in provider.secret_inputs
    assert provider.inputs["sslmode"] == "require"
    assert provider.inputs["superuser"] in (False, "false")


def test_through_a_tunnel_only_the_engine_takes_the_detour(deploy: Deploy) -> None:
    graph = databases(deploy, admin_host="127.0.0.1", admin_port=15432)
    provider = graph.one("pulumi:providers:postgresql").inputs
    assert (provider["host"], int(provider["port"])) == ("127.0.0.1", 15432)
    assert secret_value(graph, "databases-application")["host"] == "db.example.internal"


def test_all_logical_resources_use_the_explicit_provider(deploy: Deploy) -> None:
    graph = saas(deploy, ACME)
    logical = [r for r in graph.registrations if r.type in LOGICAL]
    assert logical
    assert {r.provider_name for r in logical} == {"databases-admin"}


def test_no_role_is_more_than_it_must_be(deploy: Deploy) -> None:
    for role in saas(deploy, ACME).of(ROLE):
        assert role.inputs["superuser"] is False
        assert role.inputs["createRole"] is False
        assert role.inputs["createDatabase"] is False
        assert "password" in role.secret_inputs


def test_only_the_application_of_a_development_environment_makes_databases(deploy: Deploy) -> None:
    graph = databases(deploy, may_create_databases=True)
    assert {r.name for r in graph.of(ROLE) if r.inputs["createDatabase"]} == {"databases-application"}


def test_public_loses_every_permission_before_anyone_gets_one(deploy: Deploy) -> None:
    graph = saas(deploy, ACME)
    for key in ("working", "test", "tenant-acme"):
        database = graph.one(GRANT, f"databases-{key}-public-database")
        schema = graph.one(GRANT, f"databases-{key}-public-schema")
        for grant in (database, schema):
            assert grant.inputs["role"] == "public"
            assert grant.inputs["privileges"] == []
        assert database.name in schema.depends_on_names
        later = {g.name for g in graph.of(GRANT) if g.name.startswith(f"databases-{key}-read")}
        first = f"databases-{key}-read-database"
        assert first not in later or schema.name in graph.one(GRANT, first).depends_on_names


def test_each_login_owns_its_databases_because_odoo_sees_no_other(deploy: Deploy) -> None:
    graph = saas(deploy, ACME)
    assert {r.inputs["name"]: r.inputs["owner"] for r in graph.of(DATABASE)} == {
        "openerp": "openerp_app",
        "openerp_test": "openerp_app",
        "acme": "openerp_app_acme",
    }


def test_the_master_acts_for_each_owner_first_because_only_owners_grant_a_database(deploy: Deploy) -> None:
    graph = saas(deploy, ACME)
    owner = {r.inputs["grantRole"]: r for r in graph.of(MEMBERSHIP)}
    assert {r.inputs["role"] for r in owner.values()} == {"openerp_admin"}
    for database in graph.of(DATABASE):
        assert owner[database.inputs["owner"]].name in database.depends_on_names


def test_the_reporting_role_reads_and_does_nothing_else(deploy: Deploy) -> None:
    graph = databases(deploy)
    given = {
        (r.inputs["objectType"], tuple(r.inputs["privileges"]))
        for r in graph.of(GRANT)
        if r.inputs["role"] == "openerp_reporting"
    }
    assert given == {("database", ("CONNECT",)), ("schema", ("USAGE",)), ("table", ("SELECT",))}
    for rule in graph.of("postgresql:index/defaultPrivileges:DefaultPrivileges"):
        assert rule.inputs["role"] == "openerp_reporting"
        assert rule.inputs["owner"] == "openerp_app"
        assert rule.inputs["privileges"] == ["SELECT"]


@pytest.mark.parametrize("protect", [False, True])
def test_databases_are_protected_by_settings_and_never_dropped_with_the_stack(
    deploy: Deploy, protect: bool
) -> None:
    graph = databases(deploy, protect=protect)
    assert all(r.protect is protect for r in graph.of(DATABASE))
    assert all(r.retain_on_delete for r in graph.registrations if r.type in LOGICAL)
    assert graph.one("tls:index/privateKey:PrivateKey").protect is protect


def test_secrets_have_the_usual_form_and_a_key_of_ours(deploy: Deploy) -> None:
    graph = databases(deploy, secret_recovery_days=30)
    value = secret_value(graph, "databases-application")
    assert {k: v for k, v in value.items() if k != "password"} == {
        "engine": "postgres",
        "username": "openerp_app",
        "host": "db.example.internal",
        "port": 5432,
        "dbname": "openerp",
    }
    assert value["password"] == graph.one(ROLE, "databases-application").inputs["password"]
    assert secret_value(graph, "databases-administrator")["username"] == "admin"
    for secret in graph.of(SECRET):
        assert secret.inputs["kmsKeyId"] == "arn:aws:kms:eu-west-1:123456789012:key/1"
        assert secret.inputs["recoveryWindowInDays"] == 30
        assert "name" not in secret.inputs


def test_each_purpose_has_a_password_of_its_own(deploy: Deploy) -> None:
    graph = saas(deploy, ACME)
    assert len(passwords(graph)) == len(graph.of(VERSION)) == 5


def test_a_higher_version_changes_one_password_only(deploy: Deploy) -> None:
    before = databases(deploy)
    after = databases(deploy, secret_versions={"application": 2})
    changed = {
        v.name
        for v in before.of(VERSION)
        if v.inputs["secretString"] != after.one(VERSION, v.name).inputs["secretString"]
    }
    assert changed == {"databases-application"}


def test_no_password_is_in_any_plain_input_or_output(deploy: Deploy) -> None:
    graph = saas(deploy, ACME)
    hidden = passwords(graph) | {"mock-master-password"}
    plain = json.dumps(
        [{k: v for k, v in r.inputs.items() if k not in r.secret_inputs} for r in graph.registrations]
    ) + json.dumps(graph.outputs_of("databases"))
    assert len(hidden) == 6
    assert not any(password in plain for password in hidden)


def test_a_tenant_is_a_constant_number_of_resources_and_touches_nobody_else(deploy: Deploy) -> None:
    others = [
        TenantDatabase(name=n, database=n, role=f"openerp_app_{n}", host=f"{n}.erp.example.com")
        for n in ("bolt", "core")
    ]
    one, two, three = (saas(deploy, *([ACME, *others][:n])) for n in (1, 2, 3))
    first = {(r.type, r.name) for r in two.registrations} - {(r.type, r.name) for r in one.registrations}
    second = {(r.type, r.name) for r in three.registrations} - {(r.type, r.name) for r in two.registrations}
    assert len(first) == len(second) == 10
    assert all("bolt" in name for _, name in first)
    before = {r.urn: r.inputs for r in one.registrations}
    assert all(before[r.urn] == r.inputs for r in two.registrations if r.urn in before)


def test_a_tenant_is_listed_for_the_servers_after_its_database_stands(deploy: Deploy) -> None:
    parameter = saas(deploy, ACME).one(PARAMETER)
    listed = json.loads(parameter.inputs["value"])
    assert parameter.inputs["name"] == "/openerp/test/tenants/acme"
    assert {k: listed[k] for k in ("name", "database", "role", "host")} == {
        "name": "acme",
        "database": "acme",
        "role": "openerp_app_acme",
        "host": "acme.erp.example.com",
    }
    assert listed["secret_arn"].startswith("arn:")
    assert {"databases-tenant-acme", "databases-tenant-acme-public-schema"} <= parameter.depends_on_names


def test_the_role_of_one_tenant_has_no_permission_in_the_database_of_another(deploy: Deploy) -> None:
    bolt = TenantDatabase(name="bolt", database="bolt", role="openerp_app_bolt", host="bolt.example.com")
    graph = saas(deploy, ACME, bolt)
    for grant in graph.of(GRANT):
        if grant.inputs["role"].startswith("openerp_app_"):
            assert grant.inputs["role"] == f"openerp_app_{grant.inputs['database']}"


def test_without_access_the_logical_part_is_left_out_with_a_reason(deploy: Deploy) -> None:
    graph = databases(deploy, left_out_because="`database.adminAccess.mode` is `none`")
    assert [r.name for r in graph.registrations if r.type in LOGICAL] == []
    assert graph.of("pulumi:providers:postgresql") == []
    assert graph.invokes == []
    assert {s.name for s in graph.of(SECRET)} == {"databases-application", "databases-administrator"}
    assert graph.outputs_of("databases").get("reporting_secret_arn") is None
    assert graph.warnings == [
        "Databases, roles and grants are left out: `database.adminAccess.mode` is `none`"
    ]


def test_the_outputs_name_databases_and_secrets(deploy: Deploy) -> None:
    outputs = saas(deploy, ACME).outputs_of("databases")
    assert outputs["database_names"] == ["openerp", "openerp_test", "acme"]
    arns = outputs["application_secret_arns"]
    assert arns["openerp"] == arns["openerp_test"] == outputs["application_secret_arn"]
    assert arns["acme"] != arns["openerp"]
    assert outputs["reporting_secret_arn"].endswith(":databases-reporting")
    assert [arn.rpartition(":")[2] for arn in outputs["tenant_secret_arns"]] == [
        "databases-tenant-*",
        "databases-administrator-*",
    ]


def test_without_tenants_servers_get_no_pattern(deploy: Deploy) -> None:
    assert databases(deploy).outputs_of("databases")["tenant_secret_arns"] == []


def test_a_first_preview_knows_neither_address_nor_password(deploy: Deploy) -> None:
    assert databases(deploy, preview=True).of(DATABASE)


@given(seed=st.text(min_size=1).filter(str.strip), purpose=st.text(), version=st.integers(1, 10**6))
def test_a_password_is_long_safe_in_a_url_and_always_the_same(seed: str, purpose: str, version: int) -> None:
    password = derive_password(seed, purpose, version)
    assert password == derive_password(seed, purpose, version)
    assert len(password) == 43
    assert len(base64.urlsafe_b64decode(password + "=")) == 32
    assert password != derive_password(seed, purpose, version + 1)
    assert password != derive_password(seed + "x", purpose, version)


@pytest.mark.parametrize(("seed", "version"), [("", 1), (" \n", 1), ("seed", 0)])
def test_a_password_from_nothing_is_refused(seed: str, version: int) -> None:
    with pytest.raises(ValueError):
        derive_password(seed, "application", version)
