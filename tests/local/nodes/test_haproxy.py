"""HAProxy in front of small servers in a network namespace."""

from __future__ import annotations

import http.client
import socket
import ssl
import stat
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from local.nodes import addresses, balancer
from local.nodes.haproxy import Haproxy, HaproxyError
from local.nodes.model import Certificate, Cloud, Listener, LoadBalancer, Target
from tests.local.nodes import edge

pytestmark = edge.needs_machine


class Bench:
    """A HAProxy, and what its tests do with it."""

    def __init__(self, place: Path, stack: ExitStack) -> None:
        self.namespace = stack.enter_context(edge.namespace())
        self.haproxy = Haproxy(place / "haproxy", place / "files", self.namespace)
        stack.callback(self.haproxy.stop)
        self.files = place / "files"
        self._stack = stack
        with socket.create_server(("127.0.0.1", 0)) as listener:
            self.port = listener.getsockname()[1]
        self.address = addresses.free([self.port])

    def server(
        self, name: str, answers: Callable[[str, dict[str, str]], bytes | None] | None = None
    ) -> Target:
        """A target."""
        port = self._stack.enter_context(
            edge.serving(self.namespace, ("127.0.0.1", 0), edge.web(name, answers))
        )
        return Target(instance_id=name, address="127.0.0.1", port=port)

    def apply(self, pair: tuple[LoadBalancer, Cloud]) -> None:
        """Put a load balancer in force."""
        text = balancer.render(*pair, bind=self.address, files=self.files, machine=self.haproxy.machine)
        self.haproxy.apply(text, balancer.files(*pair))

    def wait(self, arn: str, **states: str) -> float:
        """Until targets are in these states; returns the seconds that it took."""
        wanted = {name.replace("_", "-"): state for name, state in states.items()}
        began = time.monotonic()
        while (found := self.haproxy.health().get(arn)) != wanted:
            assert time.monotonic() - began < 15, found
            time.sleep(0.05)
        return time.monotonic() - began

    def get(
        self, path: str = "/", headers: dict[str, str] | None = None, method: str = "GET"
    ) -> tuple[int, dict[str, str], str]:
        """Ask it by HTTP."""
        connection = http.client.HTTPConnection(self.address, self.port, timeout=10)
        try:
            connection.request(method, path, headers=headers or {})
            response = connection.getresponse()
            fields = {name.lower(): value for name, value in response.getheaders()}
            return response.status, fields, response.read().decode()
        finally:
            connection.close()


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    with ExitStack() as stack:
        yield Bench(tmp_path, stack)


def test_a_new_target_is_initial_until_its_first_check_succeeded(bench: Bench) -> None:
    group = edge.group("web", bench.server("i-1"), Target(instance_id="i-2", address="127.0.0.1", port=1))
    listener = Listener(arn="l", port=bench.port, protocol="HTTP", default_action=edge.forward(group))
    bench.apply(edge.cloud((listener,), group))
    assert bench.get()[0] == 503
    assert bench.haproxy.health()[group.arn]["i-2"] == "initial"
    assert bench.wait(group.arn, i_1="healthy", i_2="initial") < 3
    assert bench.get()[0] == 200


def test_what_was_healthy_stays_so_over_a_reload_and_what_is_new_is_initial(bench: Bench) -> None:
    one, two = bench.server("i-1"), bench.server("i-2")
    group = edge.group("web", one, interval=1)
    listener = Listener(arn="l", port=bench.port, protocol="HTTP", default_action=edge.forward(group))
    pair = edge.cloud((listener,), group)
    bench.apply(pair)
    bench.wait(group.arn, i_1="healthy")
    bench.apply((pair[0], edge.with_groups(pair[1], edge.group("web", one, two, interval=5))))
    assert bench.haproxy.health()[group.arn] == {"i-1": "healthy", "i-2": "initial"}
    assert all("server: i-1" in bench.get()[2] for _ in range(5))
    bench.wait(group.arn, i_1="healthy", i_2="healthy")


def test_a_target_that_fails_its_checks_is_unhealthy_and_comes_back(bench: Bench) -> None:
    well = threading.Event()
    well.set()
    group = edge.group("web", bench.server("i-1", lambda path, _: b"" if well.is_set() else None))
    listener = Listener(arn="l", port=bench.port, protocol="HTTP", default_action=edge.forward(group))
    bench.apply(edge.cloud((listener,), group))
    bench.wait(group.arn, i_1="healthy")
    well.clear()
    bench.wait(group.arn, i_1="unhealthy")
    assert bench.get()[0] == 503
    well.set()
    bench.wait(group.arn, i_1="healthy")


def test_no_request_is_lost_while_it_is_reloaded_again_and_again(bench: Bench) -> None:
    authority = edge.Authority()
    pem, key = authority.issue("odoo.example.com")
    certificate = Certificate(arn="c", certificate=pem, private_key=key)
    one, two = bench.server("i-1"), bench.server("i-2")
    group = edge.group("web", one)
    listener = Listener(
        arn="l",
        port=bench.port,
        protocol="HTTPS",
        certificate_arns=("c",),
        tls_policy="ELBSecurityPolicy-TLS13-1-2-Res-2021-06",
        default_action=edge.forward(group),
    )
    pair = edge.cloud((listener,), group, certificates=(certificate,))
    bench.apply(pair)
    bench.wait(group.arn, i_1="healthy")
    context = ssl.create_default_context(cadata=authority.pem)
    stopping = threading.Event()
    failures: list[str] = []
    counts = [0] * 6

    def work(number: int) -> None:
        connection: http.client.HTTPSConnection | None = None
        while not stopping.is_set():
            try:
                if connection is None:
                    connection = http.client.HTTPSConnection(
                        bench.address, bench.port, context=context, timeout=10
                    )
                    sock = socket.create_connection((bench.address, bench.port), timeout=10)
                    connection.sock = context.wrap_socket(sock, server_hostname="odoo.example.com")
                connection.request("GET", "/", headers={"Host": "odoo.example.com"})
                response = connection.getresponse()
                body = response.read()
                if response.status != 200:
                    failures.append(f"status {response.status} {number} {response.getheaders()} {body!r}")
                counts[number] += 1
                if number % 2 or response.will_close:
                    connection.close()
                    connection = None
            except Exception as error:
                failures.append(repr(error))
                connection = None
        if connection is not None:
            connection.close()

    threads = [threading.Thread(target=work, args=(number,)) for number in range(len(counts))]
    for thread in threads:
        thread.start()
    try:
        for number in range(12):
            # Another certificate, another target: each is a new configuration.
            pem, key = authority.issue("odoo.example.com")
            targets = (one, two) if number % 2 else (one,)
            bench.apply(
                edge.cloud(
                    (listener,),
                    edge.group("web", *targets),
                    certificates=(Certificate(arn="c", certificate=pem, private_key=key),),
                )
            )
            time.sleep(0.1)
    finally:
        stopping.set()
        for thread in threads:
            thread.join()
    assert failures == []
    assert min(counts) > 20


def test_a_configuration_that_is_wrong_changes_nothing_and_says_why(bench: Bench) -> None:
    group = edge.group("web", bench.server("i-1"))
    listener = Listener(arn="l", port=bench.port, protocol="HTTP", default_action=edge.forward(group))
    pair = edge.cloud((listener,), group)
    bench.apply(pair)
    bench.wait(group.arn, i_1="healthy")
    with pytest.raises(HaproxyError, match="unknown keyword 'nonsense'"):
        bench.haproxy.apply("frontend x\n    nonsense\n", {})
    assert bench.get()[0] == 200
    bench.apply(pair)
    assert bench.haproxy.health() == {group.arn: {"i-1": "healthy"}}


def test_a_port_that_is_taken_is_said_and_the_old_configuration_serves_on(bench: Bench) -> None:
    group = edge.group("web", bench.server("i-1"))
    listener = Listener(arn="l", port=bench.port, protocol="HTTP", default_action=edge.forward(group))
    bench.apply(edge.cloud((listener,), group))
    bench.wait(group.arn, i_1="healthy")
    with socket.create_server((bench.address, 0)) as other:
        second = Listener(
            arn="m", port=other.getsockname()[1], protocol="HTTP", default_action=edge.forward(group)
        )
        with pytest.raises(HaproxyError, match=r"in use|cannot bind"):
            bench.apply(edge.cloud((listener, second), group))
        assert bench.get()[0] == 200
        assert bench.haproxy.health() == {group.arn: {"i-1": "healthy"}}
    bench.apply(edge.cloud((listener, second), group))
    assert bench.get()[0] == 200


def test_a_drained_target_gets_nothing_new_and_finishes_what_it_has(bench: Bench) -> None:
    go_on = threading.Event()

    def slowly(path: str, _: dict[str, str]) -> bytes:
        if path == "/slow":
            go_on.wait(10)
        return b""

    group = edge.group("web", bench.server("i-1", slowly), bench.server("i-2", slowly), sticky=60)
    listener = Listener(arn="l", port=bench.port, protocol="HTTP", default_action=edge.forward(group))
    pair = edge.cloud((listener,), group)
    bench.apply(pair)
    bench.wait(group.arn, i_1="healthy", i_2="healthy")
    cookies: dict[str, str] = {}
    while len(cookies) < 2:
        _, fields, body = bench.get()
        cookies[body.split()[1]] = fields["set-cookie"].partition(";")[0]
    results: list[tuple[int, dict[str, str], str]] = []
    mine = {"Cookie": cookies["i-1"]}
    thread = threading.Thread(target=lambda: results.append(bench.get("/slow", mine)))
    thread.start()
    while bench.haproxy.sessions("i-1") != 1:
        time.sleep(0.02)
    bench.haproxy.drain(group.arn, "i-1")
    assert bench.haproxy.health()[group.arn] == {"i-1": "draining", "i-2": "healthy"}
    assert all("server: i-2" in bench.get("/", mine)[2] for _ in range(5))
    # Also over a reload, and when it is not in the configuration any more.
    bench.apply((pair[0], edge.with_groups(pair[1], edge.group("web", *group.targets, sticky=61))))
    assert bench.haproxy.health()[group.arn] == {"i-1": "draining", "i-2": "healthy"}
    bench.apply((pair[0], edge.with_groups(pair[1], edge.group("web", group.targets[1], sticky=61))))
    assert bench.haproxy.sessions("i-1") == 1
    go_on.set()
    thread.join()
    assert results[0][0] == 200
    assert "server: i-1" in results[0][2]
    deadline = time.monotonic() + 5
    while bench.haproxy.sessions("i-1"):
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_keys_are_readable_by_their_owner_alone_and_go_when_they_are_replaced(bench: Bench) -> None:
    group = edge.group("web", bench.server("i-1"))
    listener = Listener(
        arn="l",
        port=bench.port,
        protocol="HTTPS",
        certificate_arns=("c",),
        default_action=edge.forward(group),
    )
    authority = edge.Authority()
    for _ in range(2):
        pem, key = authority.issue("odoo.example.com")
        bench.apply(
            edge.cloud(
                (listener,), group, certificates=(Certificate(arn="c", certificate=pem, private_key=key),)
            )
        )
    (file,) = bench.files.iterdir()
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert stat.S_IMODE(bench.files.stat().st_mode) == 0o700
    assert pem in file.read_text()


def test_it_stops_with_all_its_workers(bench: Bench) -> None:
    group = edge.group("web", bench.server("i-1"))
    listener = Listener(arn="l", port=bench.port, protocol="HTTP", default_action=edge.forward(group))
    bench.apply(edge.cloud((listener,), group))
    bench.haproxy.stop()
    assert bench.haproxy.health() == {}
    with socket.create_server((bench.address, bench.port)):
        pass
