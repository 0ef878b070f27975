"""One live deployment for all tests of this room, in an order in which what destroys comes last.

`make e2e` runs them; plain `make test` leaves them out. OPENERP_E2E_HOME names a directory where a deployment
is brought up if need be, and left running at the end: the next run is quick.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.e2e import browser as browsers
from tests.e2e.deployment import Deployment, deployment
from tests.load.crowd import prepare
from tests.load.users import Entrance

ORDER = (
    "test_people_in_a_browser",
    "test_banner",
    "test_programs",
    "test_addresses",
    "test_other_databases",
    "test_neutralisation",
    "test_what_runs_is_closed",
    "test_security",
    "test_run_command",
    "test_drill",
    "test_certificates",
    "test_rotation",
    "test_modules",
    "test_training",
    "test_new_launch_template",
    "test_loss_of_a_server",
    "test_database_outage",
    "test_bare_debian",
)
PEOPLE = 6


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Sort by ORDER; the order within a module stays."""
    places = {name: number for number, name in enumerate(ORDER)}
    items.sort(key=lambda item: places.get(item.path.stem, -1))


@pytest.fixture(scope="session")
def able() -> None:
    """Skip everything where this machine cannot run servers or a browser; one line says why."""
    from local.nodes.requirements import missing

    lacking = [*missing(), *browsers.missing()]
    if lacking:
        pytest.skip(f"this machine lacks {', '.join(lacking)}")


@pytest.fixture(scope="session")
def live(able: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Deployment]:
    """The deployment; up to two web-client servers, one app server."""
    given = os.environ.get("OPENERP_E2E_HOME")
    directory = Path(given).resolve() if given else tmp_path_factory.mktemp("e2e")
    with deployment(directory, keep=given is not None) as made:
        yield made


@pytest.fixture(scope="session")
def entrance(live: Deployment) -> Entrance:
    """How people reach it."""
    return live.entrance()


@pytest.fixture(scope="module")
def administrator(live: Deployment) -> tuple[str, str]:
    """The first login; its password is another one after some modules."""
    return live.administrator()


@pytest.fixture(scope="session")
def people(live: Deployment, entrance: Entrance) -> list[tuple[str, str]]:
    """Accounts of a few people, and some hundred contacts for them to work with."""
    with ThreadPoolExecutor(max_workers=1) as thread:
        work = prepare(entrance, *live.administrator(), users=PEOPLE)
        return thread.submit(lambda: asyncio.run(work)).result()


@pytest.fixture(scope="session")
def two(live: Deployment) -> Deployment:
    """The deployment with two web-client servers."""
    live.scale("web-client", 2)
    return live
