"""What a person does beside the browser, as short calls for tests."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from yarl import URL

from tests.e2e.deployment import Deployment
from tests.load.users import Entrance, Person, Record

_T = TypeVar("_T")


def as_person(
    entrance: Entrance,
    login: tuple[str, str],
    does: Callable[[Person], Awaitable[_T]],
    *,
    log_in: bool = True,
) -> _T:
    """Let a person do something in a session of their own.

    In a thread of its own: this one may have an event loop already, which is the browser's.
    """

    async def run() -> _T:
        person = Person(entrance, *login, record=Record(), seed=1)
        try:
            if log_in:
                await person.log_in()
            return await does(person)
        finally:
            await person.close()

    with ThreadPoolExecutor(max_workers=1) as thread:
        return thread.submit(lambda: asyncio.run(run())).result()


async def make_api_key(person: Person, password: str) -> str:
    """Make an API key as under Preferences, Account Security: it asks for the password once more."""
    wizard = await person.call_kw("res.users.apikeys.description", "create", {"name": "e2e", "duration": "1"})
    shown = await person.call_kw("res.users.apikeys.description", "make_key", [wizard])
    if shown["res_model"] == "res.users.identitycheck":
        shown = await person.call_kw(
            "res.users.identitycheck", "run_check", [shown["res_id"]], context={"password": password}
        )
    return str(shown["context"]["default_key"])


def balancer_cookies(person: Person) -> dict[str, str]:
    """The cookies by which the load balancer keeps this person with one server."""
    return {one.key: one.value for one in person.session.cookie_jar if one.key.startswith("AWSALB")}


async def two_servers(person: Person, *, tries: int = 40) -> list[dict[str, str]]:
    """Balancer cookies of two different servers: ask without such a cookie until there were two."""
    seen: list[dict[str, str]] = []
    for _ in range(tries):
        person.session.cookie_jar.clear(lambda one: one.key.startswith("AWSALB"))
        await person.request("page", "GET", "/web/health")
        cookies = balancer_cookies(person)
        assert cookies, "the load balancer set no cookie"
        if cookies not in seen:
            seen.append(cookies)
        if len(seen) == 2:
            return seen
    raise AssertionError(f"only one server answers after {tries} requests")


def choose(person: Person, url: str, cookies: dict[str, str]) -> None:
    """Go to the server of these balancer cookies from now on."""
    person.session.cookie_jar.clear(lambda one: one.key.startswith("AWSALB"))
    person.session.cookie_jar.update_cookies(cookies, URL(url))


async def server_of(person: Person, live: Deployment) -> str:
    """The server that this person's requests go to, by its nginx's log."""
    path = f"/e2e-{uuid.uuid4().hex}"
    async with person.session.get(person.entrance.url + path) as answer:
        assert answer.status == 404
    (server,) = live.answered(path)
    return server


async def receive(person: Person, url: str, expected: str, trigger: Callable[[], Awaitable[object]]) -> str:
    """Listen on the websocket as the web client does, let something happen, and return what says so."""
    version = "19.0-2"
    address = f"{url.replace('https', 'wss')}/websocket?version={version}"
    async with person.session.ws_connect(address, origin=url) as socket:
        await socket.send_json({"event_name": "subscribe", "data": {"channels": [], "last": 0}})
        await asyncio.sleep(1)  # a subscription is not answered
        await trigger()
        async with asyncio.timeout(20):
            async for message in socket:
                if expected in message.data:
                    return str(message.data)
    raise AssertionError("the websocket was closed")


async def general_channel(person: Person) -> int:
    """The number of the channel that everybody is in."""
    found = await person.call_kw(
        "ir.model.data",
        "search_read",
        [["module", "=", "mail"], ["name", "=", "channel_all_employees"]],
        ["res_id"],
    )
    return int(found[0]["res_id"])


async def post(person: Person, channel: int, text: str) -> None:
    """Write a message to a channel."""
    await person.call(
        "/mail/message/post",
        thread_model="discuss.channel",
        thread_id=channel,
        post_data={"body": text, "message_type": "comment", "subtype_xmlid": "mail.mt_comment"},
    )
