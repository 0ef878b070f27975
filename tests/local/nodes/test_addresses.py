"""A free address of loopback."""

from __future__ import annotations

import socket
from contextlib import ExitStack

import pytest

from local.nodes import addresses


def _unused_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


def test_the_first_address_is_the_one_that_browsers_know() -> None:
    assert addresses.free([_unused_port()]) == "127.0.0.1"


def test_an_address_must_have_all_ports_free() -> None:
    one, two = _unused_port(), _unused_port()
    with ExitStack() as stack:
        stack.enter_context(socket.create_server(("127.0.0.1", one)))
        stack.enter_context(socket.create_server(("127.1.0.1", two)))
        assert addresses.free([one, two]) == "127.2.0.1"
        assert addresses.free([two]) == "127.0.0.1"


def test_a_port_on_all_addresses_leaves_none() -> None:
    with socket.create_server(("0.0.0.0", 0)) as listener:
        port = listener.getsockname()[1]
        with pytest.raises(addresses.NoAddressError, match=f"the ports {port} free"):
            addresses.free([port])


def test_an_address_that_another_load_balancer_has_is_passed_over() -> None:
    assert addresses.free([_unused_port()], taken={"127.0.0.1"}) == "127.1.0.1"
