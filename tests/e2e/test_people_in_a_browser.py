"""A person works in Chromium, which trusts the deployment's authority as the client configuration says."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Error, Page, Playwright, expect, sync_playwright

from tests.e2e.browser import attach, chromium, create_contact, log_in, open_page, screenshot, trust
from tests.e2e.deployment import Deployment
from tests.e2e.people import as_person, choose, general_channel, post, receive, server_of, two_servers
from tests.load.users import Entrance, Person

CONTENT = b"what stands in the file\n"


@pytest.fixture(scope="module")
def driver() -> Iterator[Playwright]:
    with sync_playwright() as started:
        yield started


@pytest.fixture(scope="module")
def browser(
    live: Deployment, driver: Playwright, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Browser]:
    home = tmp_path_factory.mktemp("browser")
    trust(live.clients / "ca.pem", home)
    with chromium(driver, home, live.hosts) as started:
        yield started


@pytest.fixture(scope="module")
def page(browser: Browser, entrance: Entrance, administrator: tuple[str, str]) -> Page:
    """A person who has logged in."""
    opened = open_page(browser, entrance.url)
    log_in(opened, *administrator)
    return opened


@pytest.fixture(scope="module")
def attachment(page: Page, tmp_path_factory: pytest.TempPathFactory) -> str:
    """A contact and a file on it, made in the browser; the file's name."""
    file = tmp_path_factory.mktemp("desk") / f"notes-{uuid.uuid4().hex[:8]}.txt"
    file.write_bytes(CONTENT)
    create_contact(page, f"Ada of {file.stem}")
    attach(page, file)
    screenshot(page, "contact-with-attachment")
    return file.name


@pytest.fixture(scope="module")
def channel(entrance: Entrance, administrator: tuple[str, str]) -> int:
    """The channel that everybody is in."""
    return as_person(entrance, administrator, general_channel)


def test_the_first_login_opens_the_web_client(page: Page, entrance: Entrance) -> None:
    screenshot(page, "after-login")
    assert page.url.startswith(f"{entrance.url}/odoo")


def test_a_browser_that_does_not_trust_the_authority_refuses_the_page(
    live: Deployment, driver: Playwright, entrance: Entrance, tmp_path: Path
) -> None:
    with (
        chromium(driver, tmp_path, live.hosts) as stranger,
        pytest.raises(Error, match="ERR_CERT_AUTHORITY_INVALID"),
    ):
        open_page(stranger, entrance.url).goto("/web/login")


def test_a_contact_made_in_the_browser_is_in_the_database(
    attachment: str, entrance: Entrance, administrator: tuple[str, str]
) -> None:
    async def count(person: Person) -> int:
        name = f"Ada of {Path(attachment).stem}"
        return int(await person.call_kw("res.partner", "search_count", [["name", "=", name]]))

    assert as_person(entrance, administrator, count) == 1


def test_a_file_attached_in_the_browser_is_read_through_both_servers(
    two: Deployment, attachment: str, entrance: Entrance, administrator: tuple[str, str]
) -> None:
    async def read(person: Person) -> list[bytes]:
        (found,) = await person.call_kw("ir.attachment", "search_read", [["name", "=", attachment]], ["id"])
        contents: list[bytes] = []
        servers: list[str] = []
        for cookies in await two_servers(person):
            choose(person, entrance.url, cookies)
            servers.append(await server_of(person, two))
            _, content = await person.request("read", "GET", f"/web/content/{found['id']}?download=true")
            contents.append(content)
        assert len(set(servers)) == 2
        return contents

    assert as_person(entrance, administrator, read) == [CONTENT, CONTENT]


def test_a_session_made_on_one_server_is_known_on_the_other(
    two: Deployment, entrance: Entrance, administrator: tuple[str, str]
) -> None:
    async def names(person: Person) -> list[str]:
        said = []
        for cookies in await two_servers(person):
            choose(person, entrance.url, cookies)
            said.append((await person.call("/web/session/get_session_info"))["username"])
        return said

    assert as_person(entrance, administrator, names) == ["admin", "admin"]


def test_a_message_of_somebody_else_appears_in_the_browser(
    page: Page, channel: int, entrance: Entrance, people: list[tuple[str, str]]
) -> None:
    text = f"heard you {uuid.uuid4().hex[:8]}"
    page.goto(f"/odoo/discuss?active_id=discuss.channel_{channel}")
    expect(page.locator(".o-mail-Composer").first).to_be_visible()
    as_person(entrance, people[0], lambda person: post(person, channel, text))
    expect(page.locator(".o-mail-Message").get_by_text(text)).to_be_visible(timeout=15_000)
    screenshot(page, "message-by-websocket")


def test_a_message_comes_through_a_websocket_of_either_server(
    two: Deployment, channel: int, entrance: Entrance, people: list[tuple[str, str]]
) -> None:
    async def heard(person: Person) -> list[bool]:
        results = []
        for cookies in await two_servers(person):
            choose(person, entrance.url, cookies)
            text = f"across {uuid.uuid4().hex[:8]}"
            said = await receive(person, entrance.url, text, partial(post, person, channel, text))
            results.append(text in said)
        return results

    assert as_person(entrance, people[1], heard) == [True, True]
