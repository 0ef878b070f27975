"""What the data centre says about itself, and what people are shown of it."""

from __future__ import annotations

import dataclasses
import io
from pathlib import Path
from typing import Any

import pytest

from local.nodes import NodesError
from local.nodes.live import GAVE_UP, RESOLVED_HERE, _check, address, recipe_of
from local.nodes.progress import Progress, line
from local.nodes.status import BalancerStatus, ServerStatus, Status, last_lines, read, write


def server(**more: Any) -> ServerStatus:
    given: dict[str, Any] = {
        "id": "i-1",
        "name": "app",
        "group": "g",
        "address": "10.0.0.4",
        "phase": "running",
        "seconds": 12.3,
        "age": 40.0,
        "health": {"targets": "healthy"},
    }
    return ServerStatus(**{**given, **more})


def whole(*servers: ServerStatus, **more: Any) -> Status:
    balancer = BalancerStatus(name="lb-1", bind="127.0.0.2", ports=(80, 443))
    return Status(**{"written": 1.0, "servers": servers, "balancers": (balancer,), "wanted": 1, **more})


def test_a_status_reads_back_as_it_was_written(tmp_path: Path) -> None:
    status = whole(server(console=("one", "two")), refreshes=("g",), errors=("x",))
    write(tmp_path / "status.json", status)
    assert read(tmp_path / "status.json") == status


@pytest.mark.parametrize("text", [None, "", "{", "[]", '{"servers": 1}'])
def test_a_status_that_is_not_there_or_broken_is_none(tmp_path: Path, text: str | None) -> None:
    if text is not None:
        (tmp_path / "status.json").write_text(text)
    assert read(tmp_path / "status.json") is None


def test_it_serves_when_every_server_that_is_wanted_answers_and_nothing_is_under_way() -> None:
    assert whole(server()).serving
    assert not whole(server(health={"targets": "initial"})).serving
    assert not whole(server(health={})).serving
    assert not whole(server(phase="booting")).serving
    assert not whole(server(), wanted=2).serving
    assert not whole(server(), refreshes=("g",)).serving
    assert not whole(server(), errors=("load balancer: no",)).serving
    assert not whole(server(), balancers=()).serving
    assert whole(server(), server(id="i-2", phase="draining")).serving


def test_of_several_stacks_each_sees_its_own() -> None:
    other = BalancerStatus(name="lb-1-more", bind="127.0.0.3")
    both = whole(
        server(),
        server(id="i-2", group="other", health={}),
        server(id="i-3", group="", health={}),
        groups={"g": 1, "other": 1},
        wanted=2,
        refreshes=("other",),
        replaced=("i-9 of other: gone", "i-8 of g: old"),
        errors=("i-2: no room",),
        balancers=(BalancerStatus(name="lb-1", bind="127.0.0.2"), other),
    )
    assert not both.serving
    own = both.of({"g"}, "lb-1-7.eu-central-1.elb.amazonaws.com")
    assert own is not None
    assert own.serving
    assert [one.id for one in own.servers] == ["i-1"]
    assert [one.bind for one in own.balancers] == ["127.0.0.2"]
    assert (own.wanted, own.replaced, own.errors) == (1, ("i-8 of g: old",), ())
    theirs = both.of({"other"}, "internal-lb-1-more-7.eu-central-1.elb.amazonaws.com")
    assert theirs is not None
    assert not theirs.serving
    assert theirs.balancers == (other,)
    assert theirs.errors == ("i-2: no room",)
    assert both.of({"g", "third"}, "") is None
    assert not dataclasses.replace(own, errors=("emulator: away",)).serving


def test_a_console_is_shown_without_what_only_a_terminal_understands(tmp_path: Path) -> None:
    path = tmp_path / "console.log"
    path.write_bytes(
        b"first\r\n\x1b[0;1;31m[FAILED]\x1b[0m Failed to \xff start\r\n\r\n\x1b]0;title\x07last\r\n"
    )
    lines = last_lines(path)
    assert lines[0] == "first" and lines[1].startswith("[FAILED] Failed to") and lines[-1].endswith("last")
    assert not any("\x1b" in text for text in lines)
    assert last_lines(tmp_path / "missing") == ()


def test_only_the_end_of_a_long_console_is_read(tmp_path: Path) -> None:
    path = tmp_path / "console.log"
    path.write_text("".join(f"line {number}\n" for number in range(100_000)))
    assert last_lines(path, 2) == ("line 99998", "line 99999")


def test_a_server_that_gave_up_is_an_error_with_the_end_of_its_console(tmp_path: Path) -> None:
    gave_up = server(
        phase="booting", health={}, console=("no password", f"openerp-secrets.service {GAVE_UP}")
    )
    with pytest.raises(
        NodesError, match=r"app 10\.0\.0\.4 failed; its console .*console.log.* ends:\n    no pass"
    ):
        _check(whole(gave_up), (), tmp_path)
    with pytest.raises(NodesError, match="it was too small"):
        _check(whole(server(phase="dead", error="it was too small")), (), tmp_path)
    with pytest.raises(NodesError, match="was replaced: i-9 of g: gone"):
        _check(whole(server(), replaced=("i-8 of g: old", "i-9 of g: gone")), ("i-8 of g: old",), tmp_path)
    _check(whole(server(phase="booting", health={})), (), tmp_path)


def test_without_a_terminal_a_line_is_written_when_something_changes() -> None:
    stream = io.StringIO()
    progress = Progress(stream)
    booting = server(phase="booting", health={"targets": "initial"}, console=("Starting Odoo",))
    for _ in range(5):
        progress.show(whole(booting))
    progress.show(whole(server()))
    progress.close()
    first, second = stream.getvalue().splitlines()
    assert "app 10.0.0.4" in first and "starts" in first and "Starting Odoo" in first
    assert "serves" in second


def test_a_server_that_runs_and_does_not_answer_says_so() -> None:
    assert "runs, unhealthy" in line(server(health={"targets": "unhealthy"}))


def test_the_address_is_that_of_the_stacks_own_load_balancer(tmp_path: Path) -> None:
    (tmp_path / "ca.pem").write_text("")
    outputs = {"web_url": "https://erp.openerp.test/", "load_balancer_dns_name": "lb-1-7.elb.amazonaws.com"}
    found = address(outputs, whole(server()), tmp_path)
    assert (found.bind, found.host, found.resolves) == ("127.0.0.2", "erp.openerp.test", False)
    assert found.curl() == (
        f"curl --resolve erp.openerp.test:443:127.0.0.2 --cacert {tmp_path / 'ca.pem'} "
        "https://erp.openerp.test/web/login"
    )
    with pytest.raises(NodesError, match="no load balancer"):
        address({**outputs, "load_balancer_dns_name": "other"}, whole(server()), tmp_path)


def test_the_image_follows_from_the_settings() -> None:
    assert recipe_of({"p:serverImage": f"{RESOLVED_HERE}openerp-19.0"}, "p") == "openerp-19.0"
    assert recipe_of({"p:serverImage": "ami-0123"}, "p") == recipe_of({}, "p") == "debian-13"


def test_nobody_is_led_to_the_agents_that_cannot_be_had_here(tmp_path: Path) -> None:
    path = tmp_path / "console.log"
    path.write_text(
        "Starting openerp-odoo.service\n"
        "[FAILED] Failed to start openerp-agents.service - OpenERP: agents.\n"
        "openerp-server[7]: openerp: agents failed: no way to the internet\n"
        "See 'systemctl status openerp-agents.service' for details.\n"
    )
    assert last_lines(path) == ("Starting openerp-odoo.service",)


def test_of_a_console_the_last_sentence_of_our_own_is_shown() -> None:
    console = (
        "[7.1] openerp-server[3]: openerp: making the database openerp with base, web",
        "[  OK  ] Started run-p318.scope - " + "odoo " * 50,
    )
    booting = server(phase="booting", health={}, console=console)
    assert line(booting).endswith(": making the database openerp with base, web")
    long = line(dataclasses.replace(booting, console=console[1:]))
    assert long.endswith("…")
    assert len(long) < 160
