"""Simulated people: they log in by the form, think, and make the calls that the web client makes for them.

The calls were recorded from the web client of Odoo 19.0 (modules contacts and crm) in Chromium; the fields
that it asks for are in contacts.json. Static files are left out: a browser keeps them.

Think time is uniform, 5 to 15 s. For comparison, the standard TPC-C (revision 5.11, clause 5.2.5.7) wants a
mean think time of 5 to 12 s after 2 to 18 s of typing, depending on the transaction: these people are quick.
The mix is this project's own estimate of office work: mostly looking, some searching, every sixth action a
change, few files.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import math
import random
import re
import socket
import ssl
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Final

import aiohttp
from aiohttp.abc import AbstractResolver, ResolveResult

THINK_SECONDS: Final = (5.0, 15.0)
MIX: Final = {"list": 30, "form": 35, "search": 15, "write": 15, "attachment": 5}
"""Share of each kind of action in percent."""
TIMEOUT_SECONDS: Final = 60.0
"""What takes longer counts as failed."""
ATTACHMENT_BYTES: Final = 100_000
PAGE_SIZE: Final = 80
"""Lines in one page of a list (Odoo's own default)."""
SEARCHED: Final = ("complete_name", "ref", "email", "vat", "company_registry")
FIELDS: Final[dict[str, dict[str, object]]] = json.loads(
    (Path(__file__).parent / "contacts.json").read_text()
)
TOKEN: Final = re.compile(r'csrf_token: "([^"]+)"')
USER: Final = re.compile(r'"uid": (\d+)')


@dataclass(frozen=True, kw_only=True)
class Entrance:
    """How people reach the deployment: what they type, where it is, whom they trust, and the database."""

    url: str
    """`https://<host>`, without a slash at the end."""
    host: str
    address: str
    authority: Path
    database: str

    def context(self) -> ssl.SSLContext:
        """TLS that verifies the server, by this authority alone."""
        return ssl.create_default_context(cafile=str(self.authority))


@dataclass(frozen=True, kw_only=True)
class Sample:
    """One request or one action. Times by `time.monotonic`, in seconds."""

    kind: str
    begin: float
    end: float
    error: str | None = None

    @property
    def seconds(self) -> float:
        """How long it took."""
        return self.end - self.begin


@dataclass
class Record:
    """Everything that was measured."""

    requests: list[Sample] = field(default_factory=list)
    actions: list[Sample] = field(default_factory=list)
    resent: int = 0
    """Requests sent once more because a kept connection was found closed, as browsers do (Chromium:
    `HttpNetworkTransaction::ShouldResendRequest`)."""

    def failures(self, *, since: float = -math.inf, until: float = math.inf) -> list[Sample]:
        """Requests that failed and had begun in that time."""
        return [one for one in self.requests if one.error and since <= one.begin < until]

    def count(self, *, since: float = -math.inf, until: float = math.inf) -> int:
        """How many requests had begun in that time."""
        return sum(since <= one.begin < until for one in self.requests)


def percentile(seconds: Sequence[float], share: float) -> float:
    """The smallest value that at least `share` of all do not exceed (nearest rank); NaN of nothing."""
    if not seconds:
        return math.nan
    return sorted(seconds)[max(0, math.ceil(share * len(seconds)) - 1)]


def times(samples: Iterable[Sample], *, since: float = -math.inf) -> list[float]:
    """Seconds of those that succeeded and had begun by then or later."""
    return [one.seconds for one in samples if one.error is None and one.begin >= since]


class RequestFailed(Exception):  # noqa: N818  (a finding, not an error of this program)
    """A request that a person would have seen fail."""


class OneAddress(AbstractResolver):
    """Resolves the public host name to the load balancer, and nothing else."""

    def __init__(self, entrance: Entrance) -> None:
        self._entrance = entrance

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        """Answer for the one name."""
        if host != self._entrance.host:
            raise OSError(f"{host} is not the deployment")
        return [
            ResolveResult(
                hostname=host,
                host=self._entrance.address,
                port=port,
                family=socket.AF_INET,
                proto=0,
                flags=socket.AI_NUMERICHOST,
            )
        ]

    async def close(self) -> None:
        """Nothing is open."""


def _noting_kept_connections() -> aiohttp.TraceConfig:
    async def kept(_session: object, context: SimpleNamespace, _parameters: object) -> None:
        if context.trace_request_ctx is not None:
            context.trace_request_ctx.kept = True

    trace = aiohttp.TraceConfig()
    trace.on_connection_reuseconn.append(kept)
    return trace


class Person:
    """One browser with its cookies and its kept connections."""

    def __init__(self, entrance: Entrance, user: str, password: str, *, record: Record, seed: int) -> None:
        self.entrance, self._user, self._password, self._record = entrance, user, password, record
        self._random = random.Random(seed)
        self._numbers = itertools.count()
        self._partners: list[int] = []
        self._token = ""
        self.user_id = 0
        self.session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(
                resolver=OneAddress(entrance), ssl=entrance.context(), limit=6, use_dns_cache=False
            ),
            cookie_jar=aiohttp.CookieJar(),
            timeout=aiohttp.ClientTimeout(total=TIMEOUT_SECONDS),
            trace_configs=[_noting_kept_connections()],
        )

    async def close(self) -> None:
        """Close the browser."""
        await self.session.close()
        # aiohttp documents it so ("Graceful Shutdown"): TLS connections need some rounds of the loop.
        await asyncio.sleep(0.25)

    # Requests.

    async def request(self, kind: str, method: str, path: str, **options: Any) -> tuple[int, bytes]:
        """Make one request and record it; RequestFailed for what a person would see as an error."""
        begin = time.monotonic()
        error: str | None = None
        try:
            status, body = await self._sent(method, path, options)
            if status >= 400:
                error = f"{path}: {status} {body[:200]!r}"
        except (aiohttp.ClientError, TimeoutError, OSError) as failed:
            error = f"{path}: {type(failed).__name__} {failed}"
        self._record.requests.append(Sample(kind=kind, begin=begin, end=time.monotonic(), error=error))
        if error is not None:
            raise RequestFailed(error)
        return status, body

    async def _sent(self, method: str, path: str, options: dict[str, Any]) -> tuple[int, bytes]:
        for last in (False, True):
            seen = SimpleNamespace(kept=False)
            try:
                async with self.session.request(
                    method, self.entrance.url + path, trace_request_ctx=seen, **options
                ) as answer:
                    return answer.status, await answer.read()
            except (aiohttp.ServerDisconnectedError, ConnectionResetError, BrokenPipeError):
                if last or not seen.kept:
                    raise
                self._record.resent += 1
        raise AssertionError("unreachable")

    async def call(self, path: str, **params: Any) -> Any:
        """Make one JSON-RPC call as the web client does; its result."""
        kind = path.rsplit("/", 1)[1] if path.startswith("/web/dataset/") else path
        body = {"id": next(self._numbers), "jsonrpc": "2.0", "method": "call", "params": params}
        begin = time.monotonic()
        _, text = await self.request(kind, "POST", path, json=body)
        answer = json.loads(text)
        if "error" in answer:
            error = f"{path}: {answer['error'].get('data', {}).get('message') or answer['error']}"
            self._record.requests[-1] = Sample(kind=kind, begin=begin, end=time.monotonic(), error=error)
            raise RequestFailed(error)
        return answer["result"]

    async def call_kw(self, model: str, method: str, *arguments: Any, **options: Any) -> Any:
        """Call a method of a model, in this person's context."""
        context = {"lang": "en_US", "tz": "UTC", "uid": self.user_id, "allowed_company_ids": [1]}
        return await self.call(
            f"/web/dataset/call_kw/{model}/{method}",
            model=model,
            method=method,
            args=list(arguments),
            kwargs={"context": context | options.pop("context", {}), **options},
        )

    # What a person does.

    async def log_in(self) -> None:
        """Log in by the form, and open the web client."""
        _, page = await self.request("login page", "GET", "/web/login")
        form = {
            "csrf_token": _found(TOKEN, page),
            "login": self._user,
            "password": self._password,
            "redirect": "",
        }
        await self.request("login", "POST", "/web/login", data=form, allow_redirects=False)
        _, page = await self.request("web client", "GET", "/odoo")
        if b"odoo.__session_info__" not in page:
            raise RequestFailed(f"{self._user} was not let in")
        self._token = _found(TOKEN, page)
        self.user_id = int(_found(USER, page))
        await self.request("menus", "GET", "/web/webclient/load_menus")
        await self.call("/mail/data", fetch_params=["failures", "systray_get_activities", "init_messaging"])
        await self.look_at_list()

    async def look_at_list(self) -> None:
        """Open a page of the contacts, anywhere in the list; those of users are not theirs to change."""
        offset = self._random.randrange(3) * PAGE_SIZE
        others = [["user_ids", "=", False]]
        found = await self._search_read(others, offset=offset) or await self._search_read(others)
        self._partners = found

    async def search(self) -> None:
        """Search contacts by a few letters."""
        letters = "".join(self._random.choice("abcdefgh") for _ in range(2))
        domain: list[Any] = ["|"] * (len(SEARCHED) - 1)
        await self._search_read([*domain, *([name, "ilike", letters] for name in SEARCHED)])

    async def _search_read(self, domain: list[Any], *, offset: int = 0) -> list[int]:
        result = await self.call_kw(
            "res.partner",
            "web_search_read",
            specification=FIELDS["list"],
            domain=domain,
            offset=offset,
            order="",
            limit=PAGE_SIZE,
            count_limit=10001,
            context={"bin_size": True, "default_is_company": True},
        )
        return [line["id"] for line in result["records"]]

    async def look_at_form(self) -> None:
        """Open one contact, with its messages."""
        partner = self._random.choice(self._partners)
        await self.call_kw(
            "res.partner", "web_read", [partner], specification=FIELDS["form"], context={"bin_size": True}
        )
        about = {"thread_id": partner, "thread_model": "res.partner"}
        wanted = ["activities", "attachments", "contact_fields", "followers", "scheduledMessages"]
        details = {"access_params": {}, "request_list": [*wanted, "suggestedRecipients"], **about}
        await asyncio.gather(
            self.call("/mail/thread/messages", fetch_params={"limit": 30}, **about),
            self.call("/mail/data", fetch_params=[["mail.thread", details]]),
        )

    async def write(self) -> None:
        """Change a contact and save it."""
        city = self._random.choice(("Wien", "Genova", "Porto", "Gent", "Turku", "Brno"))
        await self.call_kw(
            "res.partner",
            "web_save",
            [self._random.choice(self._partners)],
            {"city": city},
            specification=FIELDS["form"],
        )

    async def attach(self) -> None:
        """Attach a file to a contact, and open it."""
        content = self._random.randbytes(ATTACHMENT_BYTES)
        form = aiohttp.FormData()
        form.add_field("thread_id", str(self._random.choice(self._partners)))
        form.add_field("thread_model", "res.partner")
        form.add_field("is_pending", "false")
        form.add_field("csrf_token", self._token)
        form.add_field("ufile", content, filename="notes.bin", content_type="application/octet-stream")
        whole = form()  # once: a form cannot be sent twice
        assert isinstance(whole, aiohttp.MultipartWriter)
        _, said = await self.request("upload", "POST", "/mail/attachment/upload", data=whole)
        number = json.loads(said)["data"]["attachment_id"]
        _, read = await self.request("download", "GET", f"/web/content/{number}?download=true")
        if read != content:
            raise RequestFailed(f"attachment {number} came back as {len(read)} other bytes")

    async def work(self, think: tuple[float, float], until: asyncio.Event) -> None:
        """Think and act until the event; what fails is recorded, and the person tries something else."""
        does: dict[str, Callable[[], Awaitable[None]]] = {
            "list": self.look_at_list,
            "form": self.look_at_form,
            "search": self.search,
            "write": self.write,
            "attachment": self.attach,
        }
        while not await _happened(until, self._random.uniform(*think)):
            kind = self._random.choices(list(MIX), weights=list(MIX.values()))[0]
            begin, error = time.monotonic(), None
            try:
                await does[kind]()
            except RequestFailed as failed:
                error = str(failed)
            self._record.actions.append(Sample(kind=kind, begin=begin, end=time.monotonic(), error=error))


def _found(wanted: re.Pattern[str], page: bytes) -> str:
    found = wanted.search(page.decode())
    if not found:
        raise RequestFailed(f"the page holds nothing like {wanted.pattern}")
    return found[1]


async def _happened(event: asyncio.Event, seconds: float) -> bool:
    """Wait for the event so many seconds at most; whether it happened."""
    try:
        await asyncio.wait_for(event.wait(), seconds)
    except TimeoutError:
        return False
    return True


def reasons(failures: Iterable[Sample]) -> str:
    """What failed how often, for a message."""
    counted = Counter((one.kind, (one.error or "")[:160]) for one in failures)
    return "\n".join(f"{number} x {kind}: {error}" for (kind, error), number in counted.most_common(8))
