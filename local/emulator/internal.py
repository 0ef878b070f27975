"""What the servers' side asks of the emulator beyond AWS's API, below the path `/_openerp/`.

Private keys are among it, and the servers themselves reach the emulator's port: every request has to carry
the token that is in the home. What changes something of moto's is journaled as any other request is.
"""

from __future__ import annotations

import json
import logging
import secrets
import threading
from collections.abc import Callable
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

from local.emulator.nodes import Nodes

log = logging.getLogger("emulator")

PREFIX = "/_openerp/"
TOKEN = "X-Openerp-Token"  # noqa: S105  the name of a header
TOKEN_IN_WSGI = "HTTP_X_OPENERP_TOKEN"  # noqa: S105  the same, as WSGI has it
CHANGES = PREFIX + "changes"
LONGEST = 20.0
"""Seconds for which a question for commands may wait for one."""
AGAIN = 1.0
"""Seconds after which it is tried again to finish the instance refreshes that nobody takes care of."""

Answer = tuple[str, list[tuple[str, str]], bytes]
"""Status line, headers, body."""


def make_token(path: Path) -> str:
    """The token of this run of the emulator, written where only its owner can read it."""
    token = secrets.token_hex(16)
    path.unlink(missing_ok=True)
    path.touch(mode=0o600)
    path.write_text(token)
    return token


def answer(data: Any, status: str = "200 OK") -> Answer:
    """JSON in the form of the application's answers."""
    body = json.dumps(data).encode()
    headers = [("Content-Type", "application/json"), ("Content-Length", str(len(body)))]
    return status, headers, body


def _backends(service: str, region: str) -> Any:
    from moto.backends import get_backend
    from moto.core.base_backend import BackendDict
    from moto.core.models import DEFAULT_ACCOUNT_ID

    backends: BackendDict[Any] = get_backend(service)  # type: ignore[call-overload]  # a literal there
    return backends[DEFAULT_ACCOUNT_ID][region]


def _certificates(region: str) -> dict[str, dict[str, str]]:
    from moto.acm.models import AWS_ROOT_CA

    found = {}
    for arn, bundle in _backends("acm", region)._certificates.items():
        chain = bundle.chain.decode().replace(AWS_ROOT_CA.decode(), "").strip()
        found[arn] = {
            "certificate": bundle.cert.decode(),
            "chain": chain,
            "private_key": bundle.key.decode(),
        }
    return found


def _on_group(given: dict[str, Any], step: Callable[[Any], None]) -> Any:
    """Takes a step with the Auto Scaling group that a request names, if it is still there."""
    group = _backends("autoscaling", given["region"]).autoscaling_groups.get(given["group"])
    if group is not None:
        step(group)
    return {}


class Internal:
    """Answers the requests below the prefix. Nothing here is about HTTP but paths and JSON."""

    def __init__(self, nodes: Nodes) -> None:
        self._nodes = nodes

    def at_once(self, path: str, body: bytes) -> Answer | None:
        """Answers what does not wait for other requests, because it touches nothing of moto's; else None."""
        known: dict[str, Callable[[Any], Any]] = {
            "health": self._nodes.report,
            "online": lambda given: self._nodes.report_online(given["region"], given["instances"]),
            "commands/due": self._due,
            "commands/ended": self._nodes.commands.ended,
        }
        handler = known.get(path.removeprefix(PREFIX))
        return None if handler is None else answer(handler(json.loads(body)) or {})

    def _due(self, given: dict[str, Any]) -> Any:
        """The commands that servers are to run; waits for one."""
        running = [(row["command"], row["instance"]) for row in given["running"]]
        return self._nodes.commands.due(given["region"], running, min(LONGEST, given["seconds"]))

    def __call__(self, environ: dict[str, Any], body: bytes) -> Answer:
        """Answers a request; called where moto's objects may be touched."""
        from local.emulator.extensions import autoscaling

        given = json.loads(body or b"{}")
        known: dict[str, Callable[[dict[str, Any]], Any]] = {
            "read": self._read,
            "refresh/launch": lambda given: _on_group(given, autoscaling.launch_one_more),
            "refresh/finish": lambda given: _on_group(
                given, lambda group: autoscaling.finish(group, given["status"])
            ),
            "refresh/complete": lambda given: _on_group(given, autoscaling.complete),
        }
        handler = known.get(str(environ["PATH_INFO"]).removeprefix(PREFIX))
        if handler is None:
            return answer({"message": "there is no such path"}, "404 Not Found")
        return answer(handler(given))

    def _read(self, given: dict[str, Any]) -> Any:
        """What the load balancer has to know and AWS tells nobody; and the refreshes under way."""
        from local.emulator.extensions.autoscaling import active, to_go
        from local.emulator.extensions.elbv2 import trust_store_contents

        region = given["region"]
        groups = _backends("autoscaling", region).autoscaling_groups.values()
        return {
            "certificates": _certificates(region),
            "trust_stores": trust_store_contents(_backends("elbv2", region)),
            "refreshes": {
                group.name: {"id": row["InstanceRefreshId"], "old": to_go(group)}
                for group in groups
                if (row := active(group))
            },
        }


def _groups(backend: Any) -> dict[str, Any]:
    found: dict[str, Any] = backend.autoscaling_groups
    return found


def unattended(lock: threading.RLock) -> list[tuple[str, str]]:
    """The region and name of each group with a refresh under way."""
    from moto.autoscaling.models import autoscaling_backends

    from local.emulator.extensions.autoscaling import active

    with lock:
        return [
            (region, name)
            for _account, region, backend in autoscaling_backends.iter_backends()
            for name, group in _groups(backend).items()
            if active(group)
        ]


class Finisher(threading.Thread):
    """Finishes the instance refreshes of groups whose servers nobody runs."""

    def __init__(
        self,
        nodes: Nodes,
        lock: threading.RLock,
        began: threading.Event,
        address: tuple[str, int],
        token: str,
    ) -> None:
        super().__init__(name="refreshes", daemon=True)
        self._nodes = nodes
        self._lock = lock
        self._began = began
        """Set when a refresh may have begun."""
        self._address = address
        self._token = token

    def run(self) -> None:
        while True:
            self._began.wait()
            self._began.clear()
            while waiting := unattended(self._lock):
                if self._nodes.attached():
                    self._began.wait(AGAIN)
                    continue
                for region, group in waiting:
                    self._complete(region, group)

    def _complete(self, region: str, group: str) -> None:
        connection = HTTPConnection(*self._address, timeout=60)
        try:
            body = json.dumps({"region": region, "group": group})
            headers = {TOKEN: self._token, "Content-Type": "application/json"}
            connection.request("POST", f"{PREFIX}refresh/complete", body, headers)
            connection.getresponse().read()
        except OSError as error:
            log.warning("the refresh of %s is not finished: %s", group, error)
            self._began.wait(AGAIN)
        finally:
            connection.close()
