"""Our server-wide module of Odoo, on a stand-in for Odoo.

On a real one: tests/e2e/test_other_databases.py and tests/e2e/test_banner.py.
"""

from __future__ import annotations

import configparser
import re
import sys
from collections.abc import Callable
from html import unescape
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from core.servers.cloud_init import cloud_config
from tests.core.servers.conftest import MakeServer

GUARD = "/usr/local/lib/openerp/addons/openerp_guard"
REFUSED = 'connection to server at "x" failed: FATAL:  password authentication failed for user "openerp_app"'
PAGE = """<!DOCTYPE html>
<html><head><title>Odoo</title></head><body class='o_web_client'><p>Hello</p></body></html>
"""


class DeniedError(Exception):
    """Stands for Odoo's AccessDenied."""


class OperationalError(Exception):
    """Stands for psycopg2's."""


class Html(str):
    """Stands for Markup, a text that Odoo knows to be HTML."""


class Page:
    """Stands for Odoo's response with a template."""

    html: str = Html(PAGE)

    def render(self) -> str:
        return self.html


class Pool:
    """Stands for Odoo's pool of connections; it fails with what is listed, then succeeds."""

    def __init__(self, *failures: str) -> None:
        self.failures = list(failures)
        self.asked = 0

    def borrow(self, connection_info: dict[str, str]) -> str:
        self.asked += 1
        if self.failures:
            raise OperationalError(self.failures.pop(0))
        return f"connection to {connection_info['database']}"


class Clock:
    """Stands for the module `time`."""

    def __init__(self) -> None:
        self.time = 0.0
        self.pauses: list[float] = []

    def monotonic(self) -> float:
        return self.time

    def sleep(self, seconds: float) -> None:
        self.pauses.append(seconds)
        self.time += seconds


Odoo = ModuleType


@pytest.fixture
def load(make_server: MakeServer, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Odoo]:
    """Load what of our module a server of an environment carries, into a stand-in; which."""

    def module(name: str, **content: Any) -> ModuleType:
        made = ModuleType(name)
        made.__dict__.update(content)
        monkeypatch.setitem(sys.modules, name, made)
        return made

    def loaded(environment: str = "production", banner: str | None = None) -> Odoo:
        carried = cloud_config(make_server(environment=environment))["write_files"]
        files = {Path(file["path"]).name: file for file in carried if file["path"].startswith(GUARD)}
        conf = next(file["content"] for file in carried if file["path"] == "/etc/openerp/odoo.conf")
        parser = configparser.RawConfigParser()
        parser.read_string(conf)
        pattern = re.compile(parser["options"]["dbfilter"])
        if banner is None:
            monkeypatch.delenv("OPENERP_BANNER", raising=False)
        else:
            monkeypatch.setenv("OPENERP_BANNER", banner)

        class OwnPool(Pool):
            """Changed by the module, in this test alone."""

        class OwnPage(Page):
            """As well."""

        def dispatch(method: str, params: list[Any]) -> tuple[Any, ...]:
            return (method, *params)

        module("psycopg2", OperationalError=OperationalError)
        services = {
            name: module(f"odoo.service.{name}", dispatch=dispatch) for name in ("common", "db", "model")
        }
        parts = {
            "http": module(
                "odoo.http",
                db_filter=lambda names, host: [name for name in names if pattern.match(name)],
                _Response=OwnPage,
                Response=object,
            ),
            "exceptions": module("odoo.exceptions", AccessDenied=DeniedError),
            "sql_db": module("odoo.sql_db", ConnectionPool=OwnPool),
            "service": module("odoo.service", **services),
        }
        odoo = module("odoo", **parts)
        monkeypatch.setitem(sys.modules, "time", Clock())
        odoo.clock = sys.modules["time"]  # type: ignore[attr-defined]
        package = module("openerp_guard", __path__=[])
        if banner:
            text = files["banner.py"]["content"]
            exec(compile(text, "banner.py", "exec"), module("openerp_guard.banner").__dict__)
        package.__package__ = "openerp_guard"
        exec(compile(files["__init__.py"]["content"], "__init__.py", "exec"), package.__dict__)
        return odoo

    return loaded


@pytest.mark.parametrize("database", ["openerp_copy", "openerp2", "postgres"])
def test_rpc_reaches_no_database_outside_the_filter(load: Callable[..., Odoo], database: str) -> None:
    service = load().service
    common, model, db = service.common, service.model, service.db
    assert common.dispatch("authenticate", ["openerp", "a"]) == ("authenticate", "openerp", "a")
    assert common.dispatch("version", []) == ("version",)
    assert model.dispatch("execute_kw", ["openerp_test", 2]) == ("execute_kw", "openerp_test", 2)
    assert db.exp_db_exist("openerp")
    assert not db.exp_db_exist(database)
    for call in (common.dispatch, model.dispatch):
        with pytest.raises(DeniedError):
            call("authenticate", [database, "a"])


def test_a_login_that_a_rotated_password_refuses_is_tried_until_it_works(load: Callable[..., Odoo]) -> None:
    odoo = load()
    pool = odoo.sql_db.ConnectionPool(*[REFUSED] * 65)
    assert pool.borrow({"database": "openerp"}) == "connection to openerp"
    assert pool.asked == 66
    assert set(odoo.clock.pauses) == {1}


def test_a_login_that_stays_refused_fails_in_the_end(load: Callable[..., Odoo]) -> None:
    odoo = load()
    pool = odoo.sql_db.ConnectionPool(*[REFUSED] * 1000)
    with pytest.raises(OperationalError, match="password authentication failed"):
        pool.borrow({"database": "openerp"})
    assert 90 <= odoo.clock.time <= 92


def test_no_other_failure_of_a_login_is_waited_for(load: Callable[..., Odoo]) -> None:
    odoo = load()
    for reason in ("Connection refused", 'FATAL:  database "x" does not exist', "too many clients already"):
        pool = odoo.sql_db.ConnectionPool(reason)
        with pytest.raises(OperationalError, match=reason):
            pool.borrow({"database": "openerp"})
        assert pool.asked == 1
    assert odoo.clock.pauses == []


def test_every_page_says_what_system_it_is_of(load: Callable[..., Odoo]) -> None:
    odoo = load("training", "TRAINING SYSTEM - copy of production of 2026-11-28")
    html = odoo.http._Response().render()
    assert html.replace(bar_of(html), "") == PAGE
    assert html.index("<body class='o_web_client'>") + len("<body class='o_web_client'>") == html.index(
        "<div"
    )
    assert "TRAINING SYSTEM - copy of production of 2026-11-28</div><p>Hello" in html
    assert type(html) is Html
    assert not re.search(r"https?:|url\(|src=|href=", bar_of(html)), "nothing comes from elsewhere"


def bar_of(html: str) -> str:
    found = re.search(r'<div id="openerp_banner"[^>]*>([^<]*)</div>', html)
    assert found
    return found[0]


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=30)
@given(st.text(st.characters(min_codepoint=32, codec="utf-8"), min_size=1, max_size=60))
def test_any_banner_is_shown_as_it_is_and_never_run(load: Callable[..., Odoo], banner: str) -> None:
    html = load("development", banner).http._Response().render()
    shown = re.fullmatch(r"<div [^>]*>([^<>]*)</div>", bar_of(html))
    assert shown
    assert unescape(shown[1]) == banner


def test_a_fragment_of_a_page_gets_no_bar(load: Callable[..., Odoo]) -> None:
    odoo = load("training", "TRAINING SYSTEM")
    page = odoo.http._Response()
    page.html = "<p>a part of a page</p>"
    assert page.render() == "<p>a part of a page</p>"


def test_pages_of_production_are_rendered_by_odoo_alone(load: Callable[..., Odoo]) -> None:
    odoo = load("production")
    assert odoo.http._Response.render is Page.render
    assert odoo.http._Response().render() == PAGE
