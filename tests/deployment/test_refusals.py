"""Settings that cannot be used: one message, nothing registered, nothing asked of AWS."""

from __future__ import annotations

from typing import Any

import pulumi
import pytest

from tests.components.conftest import Graph
from tests.deployment.program import STACKS, run_stack

WRONG: list[tuple[str, dict[str, Any], list[str]]] = [
    ("dev", {"relaese": "19.0"}, ["openerp:relaese: is not a known key. Did you mean `release`?"]),
    (
        "dev",
        {"database.multiAZ": True},
        ["openerp:database.multiAZ", "multiAz"],
    ),
    ("dev", {"network.availabilityZones": 5}, ["openerp:network.availabilityZones"]),
    ("dev", {"network.cidr": "10.20.0.0/28"}, ["openerp:network.cidr"]),
    ("dev", {"network.companyCidrs": ["10.20.9.0/24"]}, ["openerp:network.cidr", "overlaps"]),
    ("dev", {"database.retentionDays": 36}, ["openerp:database.retentionDays", "35"]),
    ("dev", {"database.storageGb": 10}, ["openerp:database.storageGb", "20"]),
    ("dev", {"database.instanceClass": "db.t9.huge"}, ["openerp:database.instanceClass"]),
    ("dev", {"backup.daily.schedule": "cron(0 25 * * ? *)"}, ["openerp:backup.daily.schedule"]),
    ("dev", {"access.domain": "erp.elsewhere.org"}, ["openerp:access.domain", "example.com"]),
    ("dev", {"offer": "saas", "tenants": [{"name": "acme"}, {"name": "acme"}]}, ["openerp:tenants[1].name"]),
    ("dev", {"tenants": [{"name": "acme"}]}, ["openerp:tenants"]),
    (
        "local",
        {"clientCertificates": [{"number": 1, "name": "a"}, {"number": 1, "name": "b"}]},
        ["openerp:clientCertificates[1].number"],
    ),
    ("local", {"offer": "internal"}, ["openerp:network.companyCidrs"]),
    ("prod", {"release": "6.0"}, ["openerp:release"]),
    ("prod", {"database.deletionProtection": False}, ["openerp:database.deletionProtection"]),
    ("prod", {"protect": False, "backup.copyRegion": None}, ["openerp:protect", "openerp:backup.copyRegion"]),
    ("prod", {"database.adminAccess": {"mode": "tunnel"}}, ["openerp:database.adminAccess.host"]),
]


@pytest.mark.parametrize(("stack", "changes", "said"), WRONG, ids=[w[2][0].partition(":")[2] for w in WRONG])
def test_settings_that_cannot_be_used_register_nothing_and_ask_nothing(
    stack: str, changes: dict[str, Any], said: list[str]
) -> None:
    graph = Graph()
    with pytest.raises(pulumi.RunError) as caught:
        run_stack(stack, changes, graph=graph)
    message = str(caught.value)
    assert all(text in message for text in said), message
    assert message.startswith(f"The settings of stack '{stack}' cannot be used")
    assert graph.registrations == []
    assert graph.invokes == []
    assert caught.value.__suppress_context__


@pytest.mark.parametrize("stack", STACKS)
def test_each_stack_is_refused_without_a_release(stack: str) -> None:
    graph = Graph()
    with pytest.raises(pulumi.RunError, match="openerp:release"):
        run_stack(stack, {"release": None}, graph=graph)
    assert graph.registrations == []


@pytest.mark.parametrize("name", ["seventeen-letters", "Prod", "a_b"])
def test_a_stack_name_that_gives_no_physical_name_is_refused(name: str) -> None:
    graph = Graph()
    with pytest.raises(pulumi.RunError, match="stack name"):
        run_stack("dev", name=name, graph=graph)
    assert graph.registrations == []
