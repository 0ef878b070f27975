"""The database is gone for a minute: every server recovers by itself, and is the same one afterwards."""

from __future__ import annotations

import time

import pytest

from core import outputs as names
from tests.e2e.deployment import GROUP_OUTPUTS, Deployment
from tests.e2e.people import as_person
from tests.load.users import Entrance, Person, RequestFailed

OUTAGE_SECONDS = 60
RECOVERY_SECONDS = 60
"""Odoo is started again every 5 s and needs about 5 s itself, more where cores are shared."""


@pytest.fixture(scope="module")
def processes(two: Deployment) -> tuple[dict[str, int], dict[str, int], float]:
    """PID 1 of every server before and after, and the seconds until all were healthy again."""
    database, rds = two.outputs()[names.DATABASE_INSTANCE_IDENTIFIER], two.aws("rds")

    def running() -> dict[str, int]:
        return {one: two.leader(one) for role in GROUP_OUTPUTS for one in two.servers(role)}

    def status() -> str:
        found = rds.describe_db_instances(DBInstanceIdentifier=database)["DBInstances"]
        return str(found[0]["DBInstanceStatus"])

    before = running()
    rds.stop_db_instance(DBInstanceIdentifier=database)
    two.wait("stopped database", lambda: status() == "stopped", 30)
    time.sleep(OUTAGE_SECONDS)
    rds.start_db_instance(DBInstanceIdentifier=database)
    two.wait("started database", lambda: status() == "available", 60)
    begin = time.monotonic()

    def recovered() -> bool:
        return all(two.serves(role, one) for role in GROUP_OUTPUTS for one in two.servers(role))

    two.wait("recovery of every server", recovered, RECOVERY_SECONDS)
    seconds = time.monotonic() - begin
    print(f"every server served again {seconds:.1f} s after the database was back")
    return before, running(), seconds


def test_every_server_is_the_one_it_was_and_was_not_restarted(
    processes: tuple[dict[str, int], dict[str, int], float],
) -> None:
    before, after, _ = processes
    assert len(before) == 3
    assert after == before


def test_people_work_again(
    two: Deployment,
    processes: tuple[dict[str, int], dict[str, int], float],
    entrance: Entrance,
    administrator: tuple[str, str],
) -> None:
    async def count(person: Person) -> int:
        return int(await person.call_kw("res.partner", "search_count", []))

    def works() -> int | None:
        try:
            return as_person(entrance, administrator, count)
        except RequestFailed:
            return None

    assert two.wait("person who gets in", works, 30) > 0


def test_every_server_serves_and_gets_requests(
    two: Deployment, processes: tuple[dict[str, int], dict[str, int], float]
) -> None:
    for role in GROUP_OUTPUTS:
        assert two.healthy(role) == set(two.servers(role))
        assert all(two.serves(role, one) for one in two.servers(role))
