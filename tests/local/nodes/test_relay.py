"""Ways out of a network namespace."""

from __future__ import annotations

import contextlib
import os
import socket
import statistics
import threading
import time
from collections.abc import Iterator

import pytest

from local.nodes.relay import Relay, in_namespace
from tests.local.nodes import edge

pytestmark = edge.needs_machine


@pytest.fixture
def namespace() -> Iterator[str]:
    with edge.namespace() as name:
        yield name


def _echo(connection: socket.socket) -> None:
    while block := connection.recv(65536):
        connection.sendall(block)
    connection.sendall(b"end")


def _connect(namespace: str, address: tuple[str, int]) -> socket.socket:
    return in_namespace(namespace, lambda: socket.create_connection(address, timeout=10))


def _rest(connection: socket.socket) -> bytes:
    return b"".join(iter(lambda: connection.recv(65536), b""))


def test_a_server_reaches_what_is_on_this_machine_by_its_own_loopback(namespace: str) -> None:
    with edge.serving(None, ("127.0.0.1", 0), _echo) as port:
        relay = Relay(namespace, ("127.0.0.1", port), ("127.0.0.1", port))
        relay.start()
        try:
            assert relay.alive()
            with _connect(namespace, ("127.0.0.1", port)) as connection:
                connection.sendall(b"hello")
                # Half closed: the answer to the end still comes.
                connection.shutdown(socket.SHUT_WR)
                assert _rest(connection) == b"helloend"
        finally:
            relay.stop()
        with pytest.raises(ConnectionRefusedError):
            _connect(namespace, ("127.0.0.1", port))
        assert not relay.alive()


def test_much_data_comes_whole(namespace: str) -> None:
    data = os.urandom(8_000_000)
    with edge.serving(None, ("127.0.0.1", 0), _echo) as port:
        relay = Relay(namespace, ("127.0.0.1", 0), ("127.0.0.1", port))
        relay.start()
        try:
            with _connect(namespace, relay.address) as connection:

                def send() -> None:
                    connection.sendall(data)
                    connection.shutdown(socket.SHUT_WR)

                sender = threading.Thread(target=send)
                sender.start()
                assert _rest(connection) == data + b"end"
                sender.join()
        finally:
            relay.stop()


def test_it_can_lead_elsewhere_and_a_connection_is_closed_where_nobody_answers(namespace: str) -> None:
    def one(connection: socket.socket) -> None:
        connection.sendall(b"one")

    def two(connection: socket.socket) -> None:
        connection.sendall(b"two")

    with (
        edge.serving(None, ("127.0.0.1", 0), one) as first,
        edge.serving(None, ("127.0.0.1", 0), two) as second,
    ):
        relay = Relay(namespace, ("127.0.0.1", 0), ("127.0.0.1", first))
        relay.start()
        try:
            with _connect(namespace, relay.address) as connection:
                assert _rest(connection) == b"one"
            relay.connect = ("127.0.0.1", second)
            with _connect(namespace, relay.address) as connection:
                assert _rest(connection) == b"two"
            relay.connect = ("127.0.0.1", 1)
            with _connect(namespace, relay.address) as connection, contextlib.suppress(ConnectionResetError):
                assert _rest(connection) == b""
        finally:
            relay.stop()


def test_a_port_that_is_taken_is_said_at_once(namespace: str) -> None:
    with edge.serving(namespace, ("127.0.0.1", 0), _echo) as port, pytest.raises(OSError, match="in use"):
        Relay(namespace, ("127.0.0.1", port), ("127.0.0.1", port)).start()


def test_it_costs_little(namespace: str) -> None:
    """A round trip through it takes less than 1 ms more than without; the figures are printed."""
    with edge.serving(None, ("127.0.0.1", 0), _echo) as port:
        relay = Relay(namespace, ("127.0.0.1", 0), ("127.0.0.1", port))
        relay.start()
        try:
            with (
                socket.create_connection(("127.0.0.1", port)) as direct,
                _connect(namespace, relay.address) as relayed,
            ):
                times: dict[str, list[float]] = {"direct": [], "relayed": []}
                for number in range(1000):
                    pair = [("direct", direct), ("relayed", relayed)]
                    for name, connection in pair if number % 2 else reversed(pair):
                        began = time.perf_counter()
                        connection.sendall(b"x" * 100)
                        connection.recv(1000)
                        times[name].append(time.perf_counter() - began)
            medians = {name: statistics.median(values) * 1e6 for name, values in times.items()}
            print(medians)
            assert medians["relayed"] - medians["direct"] < 1000
        finally:
            relay.stop()


def test_a_namespace_that_does_not_exist_is_said() -> None:
    with pytest.raises(FileNotFoundError):
        in_namespace("no-such-namespace", lambda: None)
