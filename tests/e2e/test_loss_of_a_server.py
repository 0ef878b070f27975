"""One of two web-client servers goes, as if its power went, while people work."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass

import pytest

from tests.e2e.deployment import Deployment
from tests.e2e.people import as_person, choose, server_of, two_servers
from tests.e2e.test_certificates import QUICK
from tests.load.crowd import working
from tests.load.users import Entrance, Person, Record, RequestFailed, reasons


@dataclass(frozen=True, kw_only=True)
class Loss:
    """What happened. Times by `time.monotonic`."""

    lost: str
    killed: float
    marked_down: float
    replaced: float
    record: Record
    user_before: int
    user_after: int
    servers: set[str]


@pytest.fixture(scope="module")
def loss(
    two: Deployment, entrance: Entrance, people: list[tuple[str, str]], administrator: tuple[str, str]
) -> Loss:
    """Kill the server that made somebody's session, and follow what becomes of it."""

    async def through_it(person: Person) -> Loss:
        (cookies, _) = await two_servers(person)
        choose(person, entrance.url, cookies)
        await person.log_in()
        lost = await server_of(person, two)
        before = person.user_id
        killed = time.monotonic()
        two.kill(lost)
        await asyncio.to_thread(
            two.wait, "server marked down", lambda: two.health("web-client").get(lost) != "healthy", 60
        )
        marked_down = time.monotonic()
        after = await session_user(person)

        def whole() -> bool:
            healthy = two.healthy("web-client")
            return len(healthy) == 2 and lost not in healthy

        await asyncio.to_thread(two.wait, "replacement of the lost server", whole, 300)
        return Loss(
            lost=lost,
            killed=killed,
            marked_down=marked_down,
            replaced=time.monotonic(),
            record=record,
            user_before=before,
            user_after=after,
            servers=two.healthy("web-client"),
        )

    with working(entrance, people, think=QUICK) as record:
        found = as_person(entrance, administrator, through_it, log_in=False)
        time.sleep(10)
    failed = record.failures(since=found.killed, until=found.marked_down)
    print(
        f"marked down after {found.marked_down - found.killed:.1f} s, replaced after "
        f"{found.replaced - found.killed:.0f} s; {len(failed)} of "
        f"{record.count(since=found.killed, until=found.marked_down)} requests failed in between, "
        f"{len(record.failures(since=found.marked_down))} of {record.count(since=found.marked_down)} after it"
    )
    return found


async def session_user(person: Person) -> int:
    """Who the deployment thinks this is; 0 for nobody."""
    try:
        return int((await person.call("/web/session/get_session_info"))["uid"] or 0)
    except RequestFailed:
        return 0


def test_no_request_fails_after_the_server_is_marked_down(loss: Loss) -> None:
    failures = loss.record.failures(since=loss.marked_down)
    assert loss.record.count(since=loss.marked_down) > 50
    assert not failures, reasons(failures)


def test_no_request_fails_before_the_server_was_killed(loss: Loss) -> None:
    failures = loss.record.failures(until=loss.killed - 0.1)
    assert not [one for one in failures if one.end < loss.killed], reasons(failures)


def test_a_session_survives_the_server_that_made_it(loss: Loss) -> None:
    assert loss.user_before > 0
    assert loss.user_after == loss.user_before


def test_the_lost_server_is_replaced(two: Deployment, loss: Loss) -> None:
    assert len(loss.servers) == 2
    assert loss.lost not in loss.servers
    assert loss.lost not in two.servers("web-client")
