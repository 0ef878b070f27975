"""Many simulated people at once, in a thread of their own beside the test that disturbs them."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from tests.load.users import THINK_SECONDS, Entrance, Person, Record

AT_ONCE = 10
"""Accounts made in one call: their passwords are hashed one by one."""
PARTNERS = 300
"""Contacts in the database, so that lists have several pages."""
GROUPS = ("base.group_user", "base.group_partner_manager", "sales_team.group_sale_salesman")
"""What people may do; the last because the web client shows the number of opportunities (crm)."""


async def prepare(
    entrance: Entrance, administrator: str, password: str, *, users: int
) -> list[tuple[str, str]]:
    """Make contacts and the people's accounts, unless they are there; their names and passwords.

    Logging in costs a server about half a second of pure computing (pbkdf2, 600,000 rounds), as it should.
    """
    boss = Person(entrance, administrator, password, record=Record(), seed=0)
    try:
        await boss.log_in()
        there = await boss.call_kw("res.partner", "search_count", [["ref", "=like", "load-%"]])
        missing = [
            {"name": f"{word} {number} Ltd", "ref": f"load-{number}", "email": f"{word}@example.com"}
            for number, word in enumerate(_words(PARTNERS))
        ][there:]
        if missing:
            await boss.call_kw("res.partner", "create", missing)
        accounts = [(f"worker{number}", f"Worker-{number}-of-many") for number in range(users)]
        lines = await boss.call_kw("res.users", "search_read", [["login", "=like", "worker%"]], ["login"])
        known = {line["login"]: line["id"] for line in lines}
        groups = [[6, 0, [await _number(boss, name) for name in GROUPS]]]
        new = [
            {"name": login, "login": login, "password": word, "group_ids": groups}
            for login, word in accounts
            if login not in known
        ]
        for first in range(0, len(new), AT_ONCE):
            some = new[first : first + AT_ONCE]
            await boss.call_kw("res.users", "create", some, context={"no_reset_password": True})
        return accounts
    finally:
        await boss.close()


async def _number(boss: Person, name: str) -> int:
    """The number of the record that modules call by this name."""
    module, _, rest = name.partition(".")
    found = await boss.call_kw(
        "ir.model.data", "search_read", [["module", "=", module], ["name", "=", rest]], ["res_id"]
    )
    return int(found[0]["res_id"])


def _words(number: int) -> list[str]:
    return [f"{first}{second}{third}" for first in "abcdefgh" for second in "aeiou" for third in "bcdfghkl"][
        :number
    ]


async def _run(
    entrance: Entrance,
    accounts: list[tuple[str, str]],
    record: Record,
    think: tuple[float, float],
    started: threading.Event,
    until: asyncio.Event,
) -> None:
    people = [
        Person(entrance, name, word, record=record, seed=number)
        for number, (name, word) in enumerate(accounts)
    ]
    try:
        for one in people:
            await one.log_in()
        started.set()
        await asyncio.gather(*(one.work(think, until) for one in people))
    finally:
        started.set()
        await asyncio.gather(*(one.close() for one in people))


@contextmanager
def working(
    entrance: Entrance, accounts: list[tuple[str, str]], *, think: tuple[float, float] = THINK_SECONDS
) -> Iterator[Record]:
    """Let these people work for as long as the block runs; the block begins when all have logged in."""
    record, started, loop, until = Record(), threading.Event(), asyncio.new_event_loop(), asyncio.Event()
    problem: list[BaseException] = []

    def run() -> None:
        try:
            loop.run_until_complete(_run(entrance, accounts, record, think, started, until))
        except BaseException as failed:
            problem.append(failed)
        finally:
            started.set()

    thread = threading.Thread(target=run, name="crowd")
    thread.start()
    try:
        started.wait()
        if problem:
            raise problem[0]
        yield record
    finally:
        loop.call_soon_threadsafe(until.set)
        thread.join()
        loop.close()
    if problem:
        raise problem[0]
