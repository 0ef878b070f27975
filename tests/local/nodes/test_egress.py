"""The way out."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from local.nodes.egress import EgressProxy
from local.nodes.relay import in_namespace
from tests.local.nodes import edge

pytestmark = edge.needs_machine


class Place:
    def __init__(self, stack: ExitStack, *, to_this_machine: bool) -> None:
        self.namespace = stack.enter_context(edge.namespace())
        self.port = stack.enter_context(edge.serving(None, ("127.0.0.1", 0), edge.web("outside")))
        self.permitted = True
        self.asked: list[tuple[str, int]] = []
        self.proxy = EgressProxy(
            self.namespace,
            "127.0.0.1",
            self._permits,
            port=0,
            ports=(self.port,),
            to_this_machine=to_this_machine,
        )
        self.proxy.start()
        stack.callback(self.proxy.stop)

    def _permits(self, address: str, port: int) -> bool:
        self.asked.append((address, port))
        return self.permitted

    def ask(self, text: str, then: str = "") -> str:
        connection = in_namespace(
            self.namespace, lambda: socket.create_connection(("127.0.0.1", self.proxy.port), timeout=10)
        )
        with connection:
            connection.sendall(text.replace("\n", "\r\n").encode())
            found = b""
            if then:
                found = connection.recv(65536)
                connection.sendall(then.replace("\n", "\r\n").encode())
            connection.shutdown(socket.SHUT_WR)
            return (found + b"".join(iter(lambda: connection.recv(65536), b""))).decode()


@pytest.fixture
def place() -> Iterator[Place]:
    with ExitStack() as stack:
        yield Place(stack, to_this_machine=True)


def test_a_page_is_fetched_by_name_from_this_machines_network(place: Place) -> None:
    url = f"http://localhost:{place.port}/debian/?a=b"
    answer = place.ask(f"GET {url} HTTP/1.1\nHost: localhost\nProxy-Connection: keep-alive\n\n")
    assert answer.startswith("HTTP/1.1 200")
    assert "line: GET /debian/?a=b HTTP/1.1" in answer
    assert "host: localhost" in answer
    assert "proxy-connection" not in answer
    assert place.asked == [("127.0.0.1", place.port)]


def test_a_tunnel_carries_anything(place: Place) -> None:
    answer = place.ask(
        f"CONNECT localhost:{place.port} HTTP/1.1\nHost: localhost\n\n", "GET /inside HTTP/1.1\nHost: x\n\n"
    )
    assert answer.startswith("HTTP/1.1 200 Connection established\r\n\r\nHTTP/1.1 200 OK")
    assert "line: GET /inside" in answer


def test_whom_no_security_group_permits_it_is_refused(place: Place) -> None:
    place.permitted = False
    assert place.ask(f"CONNECT localhost:{place.port} HTTP/1.1\n\n").startswith("HTTP/1.1 403")
    assert place.ask(f"GET http://localhost:{place.port}/ HTTP/1.1\n\n").startswith("HTTP/1.1 403")


def test_other_ports_and_nonsense_are_refused(place: Place) -> None:
    assert place.ask("CONNECT localhost:25 HTTP/1.1\n\n").startswith("HTTP/1.1 403")
    assert place.ask("GET /relative HTTP/1.1\n\n").startswith("HTTP/1.1 400")
    assert place.ask(f"GET ftp://localhost:{place.port}/ HTTP/1.1\n\n").startswith("HTTP/1.1 400")
    assert place.ask("nonsense\n\n").startswith("HTTP/1.1 400")
    assert place.ask(f"CONNECT name.invalid:{place.port} HTTP/1.1\n\n").startswith("HTTP/1.1 502")


def test_this_machine_itself_is_not_outside() -> None:
    with ExitStack() as stack:
        place = Place(stack, to_this_machine=False)
        assert place.ask(f"CONNECT localhost:{place.port} HTTP/1.1\n\n").startswith("HTTP/1.1 403")
        assert place.ask(f"CONNECT 127.0.0.1:{place.port} HTTP/1.1\n\n").startswith("HTTP/1.1 403")
