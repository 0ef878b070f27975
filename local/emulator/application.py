"""The WSGI application of the emulator: moto's, one request at a time, recorded, with clean errors."""

from __future__ import annotations

import hmac
import json
import logging
import threading
import time
from collections.abc import Callable, Iterable
from io import BytesIO
from typing import Any
from xml.sax.saxutils import escape

import time_machine

from local.emulator.determinism import Determinism
from local.emulator.internal import CHANGES, PREFIX, TOKEN_IN_WSGI, Answer, Internal, answer
from local.emulator.journal import (
    Entry,
    Journal,
    changes_something,
    momentary,
    operation,
    replayable,
)

log = logging.getLogger("emulator")

OPERATION = "HTTP_X_OPENERP_OPERATION"
"""Where WSGI has the header by which a client names a request that it may have to repeat."""


def _service(environ: dict[str, Any]) -> str:
    scope = str(environ.get("HTTP_AUTHORIZATION", "")).partition("Credential=")[2].split(",")[0].split("/")
    return scope[3] if len(scope) > 3 else "s3"


def error_answer(environ: dict[str, Any], body: bytes, code: str, message: str) -> Answer:
    """An error in the protocol of the request's service, with a status that SDKs do not retry."""
    if environ.get("HTTP_X_AMZ_TARGET"):
        payload = json.dumps({"__type": code, "message": message})
        headers = [("Content-Type", "application/x-amz-json-1.1"), ("x-amzn-ErrorType", code)]
    elif operation(environ, body) != environ["REQUEST_METHOD"]:
        inner = f"<Error><Code>{code}</Code><Message>{escape(message)}</Message></Error>"
        if _service(environ) == "ec2":
            payload = f"<Response><Errors>{inner}</Errors><RequestID>0</RequestID></Response>"
        else:
            payload = f"<ErrorResponse>{inner}<RequestId>0</RequestId></ErrorResponse>"
        headers = [("Content-Type", "text/xml")]
    elif _service(environ) in {"s3", "route53", "cloudfront"}:
        inner = f"<Code>{code}</Code><Message>{escape(message)}</Message>"
        payload = f"<Error>{inner}</Error>"
        if _service(environ) != "s3":
            payload = f"<ErrorResponse>{payload}</ErrorResponse>"
        headers = [("Content-Type", "application/xml")]
    else:
        payload = json.dumps({"message": message, "code": code})
        headers = [("Content-Type", "application/json"), ("x-amzn-ErrorType", code)]
    data = payload.encode()
    return "400 Bad Request", [*headers, ("Content-Length", str(len(data)))], data


def _read_body(environ: dict[str, Any]) -> bytes:
    stream = environ["wsgi.input"]
    if environ.get("wsgi.input_terminated"):
        return bytes(stream.read())
    return bytes(stream.read(int(environ.get("CONTENT_LENGTH") or 0)))


def _run(application: Any, environ: dict[str, Any]) -> Answer:
    started: list[Any] = []

    def start_response(
        status: str, headers: list[tuple[str, str]], _exc: Any = None
    ) -> Callable[[bytes], Any]:
        started[:] = [status, headers]
        return lambda _data: None

    result = application(environ, start_response)
    try:
        data = b"".join(result)
    finally:
        if hasattr(result, "close"):
            result.close()
    return started[0], started[1], data


class Application:
    """Wraps moto's dispatcher. ``ready`` is called by the server after the replay."""

    def __init__(
        self, inner: Any, determinism: Determinism, journal: Journal, internal: Internal, token: str
    ) -> None:
        self._inner = inner
        self._determinism = determinism
        self._journal = journal
        self._internal = internal
        self._token = token
        self.refreshed = threading.Event()
        """Set by each request that may have begun an instance refresh."""
        self.lock = threading.RLock()
        """Held while a request is handled; background work takes it to change moto's objects."""
        self._number = 0
        self._answers: dict[str, Answer] = {}
        """What was answered to each request that named itself."""

    def _answer(self, environ: dict[str, Any], body: bytes) -> Answer:
        name = f"{_service(environ)} {operation(environ, body)} {environ.get('PATH_INFO', '')}"
        try:
            if str(environ.get("PATH_INFO")).startswith(PREFIX):
                return self._internal(environ, body)
            status, headers, data = _run(self._inner, environ)
        except NotImplementedError as error:
            log.warning("%s: not implemented: %s", name, error)
            return error_answer(
                environ, body, "NotImplemented", f"the emulator does not know {name}: {error}"
            )
        except Exception as error:
            log.exception("%s failed", name)
            kind = type(error).__name__
            return error_answer(
                environ, body, "InternalFailure", f"the emulator failed at {name}: {kind}: {error}"
            )
        kind = next((value for key, value in headers if key.lower() == "content-type"), "")
        # werkzeug's own pages for a path or method that no moto service has registered.
        if status[:3] in {"404", "405"} and kind.startswith("text/html") and b"<!doctype html>" in data:
            log.warning("%s: no such path", name)
            return error_answer(environ, body, "NotImplemented", f"the emulator does not know {name}")
        return status, headers, data

    def _change(self, entry: Entry, environ: dict[str, Any]) -> Answer:
        """Handles a request that changes something; its result follows from the state and ``entry`` alone.

        The clock stands still meanwhile, so that a date is the same in a replay, however long either takes.
        """
        with time_machine.travel(entry.time, tick=False), self._determinism.of(f"request {entry.number}"):
            return self._answer(environ, entry.body)

    def replay(self) -> tuple[int, int]:
        """Handles again what was recorded, each at its own time; gives how many, and how many failed."""
        count = failed = 0
        for entry in self._journal.entries():
            count += 1
            self._number = max(self._number, entry.number)
            status, headers, data = self._change(entry, replayable(entry))
            if int(status[:3]) < 400:
                self._remember(entry.environ, (status, headers, data))
            else:
                failed += 1
                log.error("request %d was not replayed: %s %s", entry.number, status, data[:500])
        return count, failed

    def _remember(self, environ: dict[str, Any], answer: Answer) -> None:
        name = environ.get(OPERATION)
        if name:
            self._answers[name] = answer

    def _handle(self, environ: dict[str, Any], body: bytes) -> Answer:
        """Handles a request that changes something, unless it was handled before: one of that name gets the
        same answer again. What was refused may be asked for again."""
        known = self._answers.get(environ.get(OPERATION, ""))
        if known is not None:
            log.info("%s %s was answered before", _service(environ), operation(environ, body))
            return known
        self._number += 1
        entry = Entry(self._number, time.time(), dict(environ), body)
        answer = self._change(entry, environ)
        if int(answer[0][:3]) < 400:
            self._journal.append(entry)
            self._remember(environ, answer)
            if operation(environ, body) == "StartInstanceRefresh":
                self.refreshed.set()
        return answer

    def _at_once(self, environ: dict[str, Any], body: bytes) -> Answer | None:
        """The answer to an internal request that is refused, or needs nothing of moto's; else None."""
        path = str(environ.get("PATH_INFO", ""))
        if not path.startswith(PREFIX):
            return None
        if not hmac.compare_digest(environ.pop(TOKEN_IN_WSGI, ""), self._token):
            return answer({"message": "the token is missing or wrong"}, "403 Forbidden")
        if path == CHANGES:
            return answer({"changes": self._number})
        return self._internal.at_once(path, body)

    def __call__(self, environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        body = _read_body(environ)
        environ["wsgi.input"] = BytesIO(body)
        environ["CONTENT_LENGTH"] = str(len(body))
        environ.pop("HTTP_TRANSFER_ENCODING", None)
        environ.pop("wsgi.input_terminated", None)
        at_once = self._at_once(environ, body)
        if at_once is not None:
            start_response(*at_once[:2])
            return [at_once[2]]
        changing = changes_something(environ, body)
        with self.lock:
            began = time.time()
            if momentary(environ):
                status, headers, data = self._answer(environ, body)
            elif changing:
                status, headers, data = self._handle(environ, body)
            else:
                with self._determinism.of(f"read {self._number}"):
                    status, headers, data = self._answer(environ, body)
        log.log(
            logging.INFO if changing else logging.DEBUG,
            "%s %s %s: %s, %d ms",
            _service(environ), operation(environ, body), environ.get("PATH_INFO"), status[:3],
            (time.time() - began) * 1000,
        )  # fmt: skip
        start_response(status, headers)
        return [data]
