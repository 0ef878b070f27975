"""What servers may reach outside. That packets obey is shown where servers run (tests/e2e)."""

from __future__ import annotations

import pytest

from core.outbound import outbound_ports

MAIL = {465, 587, 993}


@pytest.mark.parametrize("environment", ["development", "production"])
@pytest.mark.parametrize("source", ["debian", "nightly", "image"])
def test_other_environments_reach_the_web_and_mail_servers(environment: str, source: str) -> None:
    ports = set(outbound_ports(environment, source, interface_endpoints=True).values())
    assert ports == {80, 443} | MAIL


@pytest.mark.parametrize("source", ["debian", "nightly", "image"])
@pytest.mark.parametrize("endpoints", [True, False])
def test_training_never_reaches_a_mail_server(source: str, endpoints: bool) -> None:
    ports = set(outbound_ports("training", source, interface_endpoints=endpoints).values())
    assert not ports & MAIL


def test_training_that_needs_nothing_from_outside_reaches_nothing() -> None:
    assert outbound_ports("training", "image", interface_endpoints=True) == {}


@pytest.mark.parametrize(("source", "endpoints"), [("debian", True), ("image", False), ("nightly", False)])
def test_training_that_installs_packages_reaches_the_web(source: str, endpoints: bool) -> None:
    assert set(outbound_ports("training", source, interface_endpoints=endpoints).values()) == {80, 443}
