"""The offers `internal` and `saas`, which no committed stack uses: variants of those that there are."""

from __future__ import annotations

import json
from itertools import pairwise
from typing import Any

import pytest

from core import names, outputs
from tests.components.conftest import Graph
from tests.deployment.looking import (
    BALANCER,
    DATABASE,
    GROUP,
    INGRESS,
    LISTENER,
    RECORD,
    ROLE,
    TEMPLATE,
    by_name,
    component,
    shape,
    user_data,
)
from tests.deployment.program import run_stack

COMPANY = ["172.16.0.0/16", "192.168.7.0/24"]
INTERNAL: dict[str, Any] = {"offer": "internal", "network.companyCidrs": COMPANY}
PARAMETER = "aws:ssm/parameter:Parameter"
NAMES = ("acme", "globex", "initech")


def saas(tenants: int, stack: str = "dev", **changes: Any) -> Graph:
    wanted = [{"name": name} for name in NAMES[:tenants]]
    return run_stack(stack, {"offer": "saas", "tenants": wanted, **changes})


@pytest.fixture(scope="module")
def internal() -> Graph:
    return run_stack("local", INTERNAL)


@pytest.fixture(scope="module")
def one_tenant() -> Graph:
    return saas(1)


@pytest.fixture(scope="module")
def two_tenants() -> Graph:
    return saas(2)


def test_internal_is_reached_from_the_companys_networks_only(internal: Graph) -> None:
    balancer = internal.one(BALANCER).inputs
    assert balancer["internal"] is True
    assert all("-server-" in subnet for subnet in balancer["subnets"])
    ranges = {
        (r.inputs["cidrIpv4"], r.inputs["fromPort"])
        for r in internal.of(INGRESS)
        if r.inputs["securityGroupId"] == "load-balancer-security-group-id"
    }
    assert ranges == {(cidr, port) for cidr in COMPANY for port in (80, 443, 8443)}
    assert all("0.0.0.0/0" not in r.inputs.values() for r in internal.of(INGRESS))


def test_internal_has_a_private_authority_and_no_public_record(internal: Graph) -> None:
    assert internal.one(component("Authority"), "certificate-ca")
    assert internal.of(RECORD) == []
    assert internal.stack_outputs[outputs.CA_CERTIFICATE].startswith("-----BEGIN CERTIFICATE-----")
    assert "privateKey" in internal.one("aws:acm/certificate:Certificate").secret_inputs


def test_the_companys_runners_reach_internals_database_server(internal: Graph) -> None:
    admitted = {
        r.inputs["cidrIpv4"]
        for r in internal.of(INGRESS)
        if r.inputs["securityGroupId"] == "database-access-id" and "cidrIpv4" in r.inputs
    }
    assert admitted == set(COMPANY)


def test_internal_narrows_further_to_allowed_networks() -> None:
    graph = run_stack("local", {**INTERNAL, "access.allowedCidrs": ["192.168.7.0/24"]})
    admitted = {
        r.inputs["cidrIpv4"]
        for r in graph.of(INGRESS)
        if r.inputs["securityGroupId"] == "load-balancer-security-group-id"
    }
    assert admitted == {"192.168.7.0/24"}


def test_a_tenant_has_a_database_a_role_secrets_a_host_name_and_is_listed(one_tenant: Graph) -> None:
    role, database = by_name(one_tenant, ROLE), by_name(one_tenant, DATABASE)
    assert role["databases-tenant-acme"]["name"] == names.tenant_role("acme")
    assert role["databases-tenant-acme"]["createDatabase"] is False
    assert database["databases-tenant-acme"]["name"] == "acme"
    parameter = one_tenant.one(PARAMETER).inputs
    assert parameter["name"] == "/openerp/dev/tenants/acme"
    listed = json.loads(parameter["value"])
    assert listed == {
        "name": "acme",
        "database": "acme",
        "role": names.tenant_role("acme"),
        "host": "acme.erp-dev.example.com",
        "secret_arn": one_tenant.stack_outputs[outputs.APPLICATION_SECRET_ARNS]["acme"],
        "administrator_secret_arn": listed["administrator_secret_arn"],
    }
    assert one_tenant.stack_outputs[outputs.TENANTS] == {
        "acme": {"database": "acme", "url": "https://acme.erp-dev.example.com/"}
    }
    assert one_tenant.stack_outputs[outputs.DATABASE_NAMES] == ["openerp", "openerp_test", "acme"]


def test_tenants_are_hosts_below_the_domain_under_a_wildcard_certificate(one_tenant: Graph) -> None:
    certificate = one_tenant.one("aws:acm/certificate:Certificate").inputs
    assert certificate["subjectAlternativeNames"] == ["*.erp-dev.example.com"]
    hosts = {r.inputs["name"] for r in one_tenant.of(RECORD) if r.inputs["type"] == "A"}
    assert hosts == {"erp-dev.example.com", "*.erp-dev.example.com"}


def test_a_tenant_is_listed_only_when_its_database_stands(one_tenant: Graph) -> None:
    parameter = one_tenant.one(PARAMETER)
    needed = {r.urn for r in one_tenant.of(DATABASE) if r.name == "databases-tenant-acme"}
    assert needed <= parameter.depends_on


def test_servers_may_read_the_tenants_and_no_other_parameter(one_tenant: Graph) -> None:
    for part in ("app", "web-client"):
        policy = one_tenant.one("aws:iam/rolePolicy:RolePolicy", f"{part}-servers").inputs["policy"]
        (statement,) = [s for s in json.loads(policy)["Statement"] if s["Sid"] == "ReadTenants"]
        paths = {arn.partition(":parameter")[2] for arn in statement["Resource"]}
        assert paths == {"/openerp/dev/tenants", "/openerp/dev/tenants/*"}
        assert "/openerp/dev/tenants" in user_data(one_tenant.one(TEMPLATE, f"{part}-servers"))


def test_one_more_tenant_adds_a_constant_number_of_resources(one_tenant: Graph, two_tenants: Graph) -> None:
    counts = [len(saas(0).registrations), len(one_tenant.registrations), len(two_tenants.registrations)]
    counts.append(len(saas(3).registrations))
    steps = {after - before for before, after in pairwise(counts)}
    assert len(steps) == 1
    assert steps.pop() <= 12


def test_one_more_tenant_changes_nothing_that_is_there_and_makes_no_server(
    one_tenant: Graph, two_tenants: Graph
) -> None:
    before, after = shape(one_tenant), shape(two_tenants)
    assert {urn for urn in before if before[urn] != after.get(urn)} == set()
    added = {urn.split("::")[2].rpartition("$")[2] for urn in after.keys() - before.keys()}
    assert added == {
        "aws:secretsmanager/secret:Secret",
        "aws:secretsmanager/secretVersion:SecretVersion",
        PARAMETER,
        ROLE,
        DATABASE,
        "postgresql:index/grant:Grant",
        "postgresql:index/grantRole:GrantRole",
    }
    for type_ in (TEMPLATE, GROUP, LISTENER, "aws:acm/certificate:Certificate", RECORD):
        assert by_name(one_tenant, type_) == by_name(two_tenants, type_)


def test_a_removed_tenant_keeps_its_data(two_tenants: Graph) -> None:
    """What is retained is dropped by hand: one deleted line must not delete a customer's data."""
    for type_ in (DATABASE, ROLE):
        (tenant,) = [r for r in two_tenants.of(type_) if r.name == "databases-tenant-globex"]
        assert tenant.retain_on_delete


def test_other_offers_have_no_tenants_and_no_wildcard() -> None:
    graph = run_stack("dev")
    assert graph.of(PARAMETER) == []
    assert "subjectAlternativeNames" not in graph.one("aws:acm/certificate:Certificate").inputs
    for template in graph.of(TEMPLATE):
        assert "/openerp/dev/tenants" not in user_data(template)
