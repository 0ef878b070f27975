"""A real browser on a client's machine: Chromium, which trusts the deployment's authority and no other."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from playwright.sync_api import Browser, Page, Playwright, expect

ROOT = Path(__file__).resolve().parents[2]
SCREENSHOTS = ROOT / "dist" / "e2e"
CHROMIUM = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
FLAGS = (
    "--no-sandbox",  # root; the only pages it opens are ours
    "--disable-gpu",
    "--disable-quic",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
    "--no-proxy-server",
)


def missing() -> list[str]:
    """What this machine lacks for a browser, as Debian's package names."""
    return [
        package
        for package, found in (
            ("chromium", any(map(shutil.which, CHROMIUM))),
            ("libnss3-tools", shutil.which("certutil")),
        )
        if not found
    ]


def trust(authority: Path, home: Path) -> None:
    """Do what index.html tells a person to do: import the authority, for web sites."""
    store = home / ".pki" / "nssdb"
    store.mkdir(parents=True, exist_ok=True)
    database = f"sql:{store}"
    subprocess.run(["certutil", "-N", "-d", database, "--empty-password"], check=True, capture_output=True)
    subprocess.run(
        ["certutil", "-A", "-d", database, "-n", "openerp", "-t", "C,,", "-i", str(authority)],
        check=True,
        capture_output=True,
    )


@contextmanager
def chromium(driver: Playwright, home: Path, hosts: Mapping[str, str]) -> Iterator[Browser]:
    """A browser whose profile and trusted authorities are in `home`, and that knows these host names."""
    found = next(filter(None, map(shutil.which, CHROMIUM)))
    rules = ",".join(f"MAP {name} {address}" for name, address in hosts.items())
    browser = driver.chromium.launch(
        executable_path=found,
        args=[*FLAGS, f"--host-resolver-rules={rules}"],
        env={"HOME": str(home), "PATH": os.environ["PATH"], "LANG": "C.UTF-8"},
    )
    try:
        yield browser
    finally:
        browser.close()


def open_page(browser: Browser, url: str) -> Page:
    """A page in a session of its own."""
    page = browser.new_context(
        base_url=url, locale="en-US", viewport={"width": 1280, "height": 900}
    ).new_page()
    page.set_default_timeout(30_000)
    return page


def screenshot(page: Page, name: str) -> Path:
    """Keep what the page looks like, in dist/e2e/."""
    SCREENSHOTS.mkdir(parents=True, exist_ok=True)
    path = SCREENSHOTS / f"{name}.png"
    page.screenshot(path=path)
    return path


def log_in(page: Page, user: str, password: str) -> None:
    """Log in with the form, as a person does, until the web client stands."""
    page.goto("/web/login")
    page.get_by_label("Email").fill(user)
    page.get_by_label("Password").fill(password)
    page.get_by_role("button", name="Log in", exact=True).click()
    expect(page.locator(".o_main_navbar")).to_be_visible(timeout=60_000)


def create_contact(page: Page, name: str) -> int:
    """Make a contact in the web client; its number, from the address."""
    page.goto("/odoo/contacts/new")
    page.get_by_placeholder("e.g. Lumber Inc").or_(
        page.get_by_placeholder("e.g. Brandom Freeman")
    ).first.fill(name)
    page.locator(".o_form_button_save").click()
    page.wait_for_url(re.compile(r"/contacts/\d+$"))
    return int(page.url.rsplit("/", 1)[1])


def attach(page: Page, file: Path) -> None:
    """Attach a file to the record that is open, by the paper clip of its chatter."""
    with page.expect_file_chooser() as chooser:
        page.get_by_role("button", name="Attach files").first.click()
    chooser.value.set_files(file)
    expect(page.locator(".o-mail-AttachmentContainer").get_by_text(file.name).first).to_be_visible()
