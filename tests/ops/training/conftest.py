"""A PostgreSQL with tables like Odoo's."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from typing import Any

import pytest

from local.postgres.cluster import Cluster, Master, copy, template
from local.postgres.processes import Spawner
from ops.databases.connection import Server

PASSWORD = "of-the-test"
MASTER = Master("master", PASSWORD, None)
Connection = Any


@pytest.fixture(scope="session")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    home = tmp_path_factory.mktemp("training")
    copy(template(home / "cache"), home / "servers" / "one")
    made = Cluster(home / "servers" / "one", Spawner())
    try:
        made.start({"max_connections": "40", "fsync": "off", "synchronous_commit": "off"})
        made.provide(MASTER)
        yield made
    finally:
        made.stop(signal.SIGQUIT)


@pytest.fixture(scope="session")
def server(cluster: Cluster) -> Server:
    return Server(host="127.0.0.1", port=cluster.port or 0, user=MASTER.name, password=PASSWORD)
