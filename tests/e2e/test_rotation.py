"""Passwords are changed while somebody works, and no request fails."""

from __future__ import annotations

import json
import ssl
import threading
import xmlrpc.client

from core import outputs as names
from tests.e2e.deployment import Deployment
from tests.e2e.names import resolving


class Work(threading.Thread):
    """Somebody who asks again and again until told to stop."""

    def __init__(self, live: Deployment, database: str, user: str, password: str) -> None:
        super().__init__(daemon=True)
        self._context = ssl.create_default_context(cafile=str(live.clients / "ca.pem"))
        self._url = f"https://{live.host}/xmlrpc/2"
        self._login = (database, user, password)
        self.over = threading.Event()
        self.answers = 0
        self.failures: list[str] = []

    def run(self) -> None:
        database, user, password = self._login
        while not self.over.wait(0.1):
            try:
                with xmlrpc.client.ServerProxy(f"{self._url}/common", context=self._context) as common:
                    number = common.authenticate(database, user, password, {})
                with xmlrpc.client.ServerProxy(f"{self._url}/object", context=self._context) as objects:
                    objects.execute_kw(database, number, password, "res.partner", "search_count", [[]])
            except Exception as error:
                self.failures.append(f"{type(error).__name__}: {error}")
            else:
                self.answers += 1


def _logs_in(live: Deployment, database: str, password: str) -> bool:
    context = ssl.create_default_context(cafile=str(live.clients / "ca.pem"))
    with xmlrpc.client.ServerProxy(f"https://{live.host}/xmlrpc/2/common", context=context) as common:
        return bool(common.authenticate(database, "admin", password, {}))


def test_passwords_change_while_somebody_works(live: Deployment, people: list[tuple[str, str]]) -> None:
    live.wait_for_test_database()
    outputs = live.outputs()
    databases = [outputs[names.WORKING_DATABASE], outputs[names.TEST_DATABASE]]
    application = outputs[names.APPLICATION_SECRET_ARNS][databases[0]]
    before = live.administrator()[1], live.secret(application)["password"]
    with resolving(live.hosts):
        work = Work(live, databases[0], *people[0])
        work.start()
        done = live.ops("rotate", "--stack", live.stack, "--yes", "--json")
        work.over.set()
        work.join(60)
        assert done.returncode == 0, done.stderr
        after = live.administrator()[1], live.secret(application)["password"]
        assert before[0] != after[0]
        assert before[1] != after[1]
        for database in databases:
            assert _logs_in(live, database, after[0])
            assert not _logs_in(live, database, before[0])
    assert work.failures == []
    assert work.answers > 10
    result = json.loads(done.stdout)
    assert set(result["servers"]) == {*live.servers("app"), *live.servers("web-client")}
    assert result["administrators"] == databases
    for password in (*before, *after):
        assert password not in done.stdout + done.stderr
