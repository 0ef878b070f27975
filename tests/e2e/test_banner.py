"""Nobody takes another system for production: every page says what it is, and the screenshots show it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from functools import partial

import pytest
from playwright.sync_api import Browser, Page, expect, sync_playwright

from core import outputs as names
from tests.e2e.browser import chromium, log_in, open_page, screenshot, trust
from tests.e2e.deployment import Deployment
from tests.e2e.test_addresses import ask
from tests.load.users import Entrance

BAR = "#openerp_banner"
OWN = "DEVELOPMENT SYSTEM"
COPY = "TRAINING SYSTEM - copy of production of 2026-11-28 <b>&</b>"
SET_BANNER = """
import json, os, sys
sys.path.insert(0, "/usr/local/lib/openerp")
os.environ["PGPASSFILE"] = "/run/openerp/pgpass"
from openerp_server import common, first_start
server = common.read_server()
database = first_start.connect(server, server["database_name"])
banner = json.load(sys.stdin)
if banner is None:
    database.rows("delete from openerp_server_state where key = 'banner'")
else:
    database.set_state("banner", banner)
database.close()
"""


@pytest.fixture(scope="module")
def browser(live: Deployment, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    home = tmp_path_factory.mktemp("browser")
    trust(live.clients / "ca.pem", home)
    with sync_playwright() as driver, chromium(driver, home, live.hosts) as started:
        yield started


@pytest.fixture(scope="module")
def page(browser: Browser, entrance: Entrance) -> Page:
    return open_page(browser, entrance.url)


def set_banner(live: Deployment, text: str | None) -> None:
    """Write the banner into the working database, and let Odoo begin anew on every web-client server."""
    servers = sorted(live.healthy("web-client"))
    done = live.inside(servers[0], "python3", "-c", SET_BANNER, given=json.dumps(text))
    assert done.returncode == 0, done.stderr
    for server in servers:
        done = live.inside(server, "systemctl", "restart", "openerp-odoo.service")
        assert done.returncode == 0, done.stderr
    for server in servers:
        live.wait(f"login page of {server}", partial(live.serves, "web-client", server), 60)


def see_bar(page: Page, text: str) -> None:
    """It is there once, whole, at the top, and stays when a long page is moved."""
    page.evaluate("window.scrollTo(0, document.documentElement.scrollHeight)")
    bar = page.locator(BAR)
    expect(bar).to_have_count(1)
    expect(bar).to_be_in_viewport(ratio=1)
    expect(bar).to_have_text(text)
    place = bar.bounding_box()
    assert place
    assert (place["x"], place["y"]) == (0, 0)
    assert place["width"] == page.evaluate("document.documentElement.clientWidth")
    assert 15 < place["height"] < 40


def test_the_login_page_says_what_system_it_is(page: Page) -> None:
    page.goto("/web/login")
    expect(page.get_by_label("Password")).to_be_visible()
    see_bar(page, OWN)
    screenshot(page, "banner-login")


def test_the_web_client_says_so_too_and_nothing_is_covered(
    page: Page, administrator: tuple[str, str]
) -> None:
    log_in(page, *administrator)
    for place in ("/odoo/contacts", "/odoo/discuss", "/odoo/settings"):
        page.goto(place)
        menu = page.locator(".o_main_navbar")
        expect(page.locator(".o_action_manager > *").first).to_be_visible()
        see_bar(page, OWN)
        bar, below = page.locator(BAR).bounding_box(), menu.bounding_box()
        assert bar
        assert below
        assert below["y"] >= bar["y"] + bar["height"]
        # A bar that made the page longer would push something out of sight.
        lowest = page.locator(".o_web_client > .o_action_manager").bounding_box()
        assert lowest
        assert lowest["y"] + lowest["height"] <= page.evaluate("window.innerHeight") + 0.5
    screenshot(page, "banner-web-client")


def test_every_answer_names_the_environment(live: Deployment) -> None:
    for path in ("/web/login", "/web/static/img/favicon.ico", "/nowhere", "/web/health"):
        _, headers, _ = ask(live, path)
        assert headers.get_all("X-OpenERP-Environment") == [live.outputs()[names.ENVIRONMENT]]


def test_answers_that_are_no_pages_are_left_alone(live: Deployment) -> None:
    _, _, text = ask(live, "/web/health")
    assert json.loads(text) == {"status": "pass"}
    for path in ("/web/webclient/version_info", "/web/manifest.webmanifest"):
        _, _, text = ask(live, path)
        assert "openerp_banner" not in text


def test_a_copy_says_of_what_and_when_as_it_stands_in_its_database(live: Deployment, page: Page) -> None:
    """`ops` writes the text when it makes the copy; Odoo reads it when it starts."""
    set_banner(live, COPY)
    try:
        page.goto("/odoo/contacts")
        expect(page.locator(".o_action_manager > *").first).to_be_visible()
        see_bar(page, COPY)
        screenshot(page, "banner-copy")
    finally:
        set_banner(live, None)
    page.goto("/web/login")
    see_bar(page, OWN)
