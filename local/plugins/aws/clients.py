"""Connections to the emulator: one client for each service and region, made when it is first needed.

Only addresses of this machine are accepted, and the credentials are fixed words: this plugin can never reach
an AWS account.
"""

from __future__ import annotations

import os
import re
import threading
from collections.abc import Mapping
from ipaddress import ip_address
from typing import Any
from urllib.parse import urlsplit

from local.plugins.operation import Unanswered, current
from local.plugins.table_provider import PluginError

OPERATION_HEADER = "X-Openerp-Operation"
"""Names a request to the emulator, which carries out only one of each name."""
ENDPOINT_VARIABLE = "AWS_ENDPOINT_URL"
ENDPOINT_NAMES = {
    "logs": ("logs", "cloudwatchlogs"),
    "events": ("events", "eventbridge", "cloudwatchevents"),
    "elbv2": ("elbv2", "elb", "elasticloadbalancingv2"),
}
"""The names that pulumi-aws gives a service in ``endpoints``, where they are not botocore's."""

MISSING = re.compile(r"NotFound|NoSuch|DoesNotExist|Nonexistent|NonExistent|NotAttached|^404$")
MISSING_MESSAGE = re.compile(r"not found|does not exist|cannot be found", re.IGNORECASE)

UNIMPLEMENTED = "NotImplemented"
NO_SUCH_CALL = "the emulator does not implement this call, or failed in it (see its log)"


class ApiError(PluginError):
    """A call that the emulator refused, as one line."""

    def __init__(self, operation: str, resource: str, code: str, message: str) -> None:
        super().__init__(f"{operation} on {resource}: {message}")
        self.code = code
        self.missing = bool(MISSING.search(code)) or (
            code in ("ValidationError", "ValidationException", "400")
            and bool(MISSING_MESSAGE.search(message))
        )
        """Whether the emulator says that the resource is not there."""
        self.unimplemented = code == UNIMPLEMENTED
        """Whether the emulator lacks the call."""


class NoAnswerError(ApiError, Unanswered):
    """A call to which no answer came: the emulator was killed, or hangs."""

    def __init__(self, endpoint: str) -> None:
        PluginError.__init__(
            self,
            f"the emulator at {endpoint} does not answer (any more): run again, which starts it and goes on "
            "with what was under way",
        )
        self.code = "NoAnswer"
        self.missing = self.unimplemented = False


def refuse_unless_loopback(url: str, source: str) -> str:
    """Gives ``url`` back; raises PluginError unless it is an http address of this machine."""
    try:
        parts = urlsplit(url)
        host = parts.hostname or ""
        ours = host == "localhost" or ip_address(host).is_loopback
    except ValueError:
        ours = False
        parts = None
    if not ours or parts is None or parts.scheme not in ("http", "https"):
        raise PluginError(
            f"{source} is {url!r}, which is not an address of this machine: the local aws plugin only "
            "talks to the emulator (http://127.0.0.1:PORT, started by `make up`); for AWS use pulumi-aws"
        )
    return url


def endpoint_from(endpoints: Mapping[str, str]) -> str:
    """The emulator's address from the environment; raises PluginError if there is none or it is elsewhere."""
    for service, url in endpoints.items():
        refuse_unless_loopback(url, f"endpoints.{service}")
    url = os.environ.get(ENDPOINT_VARIABLE, "")
    if not url:
        if endpoints:
            return ""
        raise PluginError(
            f"{ENDPOINT_VARIABLE} is not set: the local aws plugin only talks to the emulator and needs its "
            "address (http://127.0.0.1:PORT, started by `make up`)"
        )
    return refuse_unless_loopback(url, ENDPOINT_VARIABLE)


_session_lock = threading.Lock()
_session: Any = None


def _shared_session() -> Any:
    """One botocore session for the process, so that service models are loaded once."""
    global _session
    with _session_lock:
        if _session is None:
            import botocore.session

            _session = botocore.session.Session()
        return _session


class Clients:
    """The clients of one provider; safe to use from several threads."""

    def __init__(self, endpoint: str, endpoints: Mapping[str, str]) -> None:
        self._endpoint = endpoint
        self._endpoints = dict(endpoints)
        self._clients: dict[tuple[str, str], Any] = {}
        self._locks: dict[tuple[str, str], threading.Lock] = {}
        self._lock = threading.Lock()
        self._account = ""

    def _url(self, service: str) -> str:
        names = ENDPOINT_NAMES.get(service, (service,))
        url = next((self._endpoints[name] for name in names if name in self._endpoints), self._endpoint)
        if not url:
            raise PluginError(
                f"neither {ENDPOINT_VARIABLE} nor the provider's endpoints say where {service} is"
            )
        return url

    def get(self, service: str, region: str) -> Any:
        """The client of ``service`` in ``region``."""
        key = (service, region)
        with self._lock:
            lock = self._locks.setdefault(key, threading.Lock())
        with lock:
            if key not in self._clients:
                self._clients[key] = self._made(service, region)
            return self._clients[key]

    def _made(self, service: str, region: str) -> Any:
        from botocore.config import Config

        client = _shared_session().create_client(
            service,
            region_name=region,
            endpoint_url=self._url(service),
            aws_access_key_id="local",
            aws_secret_access_key="local",  # noqa: S106 - a fixed word for the emulator, which checks none
            config=Config(
                # An unimplemented call answers with status 500, which is not worth a second attempt.
                retries={"total_max_attempts": 1},
                connect_timeout=5,
                read_timeout=120,
                proxies={},
                s3={"addressing_style": "path"},
                max_pool_connections=32,
            ),
        )
        client.meta.events.register("before-call", _name_request)
        client.meta.events.register("after-call", _count_answer)
        return client

    def account(self, region: str) -> str:
        """The account's number, asked once."""
        if not self._account:
            self._account = self.get("sts", region).get_caller_identity()["Account"]
        return self._account


def _call_name(model: Any) -> str:
    return f"{model.service_model.service_name}.{model.name}"


def _name_request(params: dict[str, Any], model: Any, **_: Any) -> None:
    """Names a request after the operation that it is part of; without one it has no name."""
    operation = current()
    if operation is not None:
        params["headers"][OPERATION_HEADER] = operation.key(_call_name(model))


def _count_answer(http_response: Any, model: Any, **_: Any) -> None:
    """Counts what succeeded: what was refused is not remembered, so its name is used again."""
    operation = current()
    if operation is not None and http_response.status_code < 400:
        operation.answered[_call_name(model)] += 1


def call(client: Any, operation: str, resource: str, arguments: Mapping[str, Any]) -> dict[str, Any]:
    """Calls ``operation`` (``CreateVpc``); raises ApiError naming the operation and the resource."""
    from botocore import xform_name
    from botocore.exceptions import BotoCoreError, ClientError, HTTPClientError
    from botocore.exceptions import ConnectionError as NotConnectedError
    from botocore.parsers import ResponseParserError

    where = f"{client.meta.service_model.service_name}.{operation}"
    try:
        answer: dict[str, Any] = getattr(client, xform_name(operation))(**arguments)
    except ClientError as error:
        details = error.response.get("Error", {})
        status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode")
        code, message = str(details.get("Code", "")), " ".join(str(details.get("Message", "")).split())
        if status == 500 and code in ("500", ""):
            code, message = UNIMPLEMENTED, NO_SUCH_CALL
        raise ApiError(where, resource, code, message or code) from error
    except ResponseParserError as error:
        # The emulator's own error page, also for a call that it lacks, is not in the API's format.
        raise ApiError(where, resource, UNIMPLEMENTED, NO_SUCH_CALL) from error
    except (HTTPClientError, NotConnectedError) as error:
        raise NoAnswerError(client.meta.endpoint_url) from error
    except BotoCoreError as error:
        message = " ".join(str(error).split())
        raise ApiError(where, resource, type(error).__name__, message) from error
    return answer
