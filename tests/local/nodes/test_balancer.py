"""What a load balancer does with requests, asked of a real HAProxy."""

from __future__ import annotations

import http.client
import json
import re
import socket
import ssl
import subprocess
import urllib.parse
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509

from core.revocation import certificate_revocation_list
from local.nodes import addresses, balancer
from local.nodes.haproxy import Haproxy
from local.nodes.model import (
    Action,
    Certificate,
    Cloud,
    HealthCheck,
    Listener,
    LoadBalancer,
    Rule,
    Target,
    TargetGroup,
    TrustStore,
)
from tests.local.nodes import edge

HOST = "odoo.example.com"


class Bench:
    """A HAProxy without a network namespace: everything is on loopback."""

    def __init__(self, place: Path, stack: ExitStack) -> None:
        self.haproxy = Haproxy(place / "haproxy", place / "files")
        self.files = place / "files"
        self.place = place
        stack.callback(self.haproxy.stop)
        self._stack = stack
        with socket.create_server(("127.0.0.1", 0)) as listener:
            self.port = int(listener.getsockname()[1])
        self.address = addresses.free([self.port])
        self.authority = edge.Authority()

    def group(
        self,
        name: str,
        answers: Callable[[str, dict[str, str]], bytes | None] | None = None,
        *,
        servers: int = 1,
        sticky: int | None = None,
    ) -> TargetGroup:
        """A target group with servers of that name."""
        targets = []
        for number in range(servers):
            label = f"{name}{number}"
            port = self._stack.enter_context(edge.serving(None, ("127.0.0.1", 0), edge.web(label, answers)))
            targets.append(Target(instance_id=label, address="127.0.0.1", port=port))
        return edge.group(name, *targets, sticky=sticky)

    def certificate(self, *names: str) -> Certificate:
        pem, key = self.authority.issue(*names)
        return Certificate(arn=f"cert-{names[0]}", certificate=pem, private_key=key)

    def serve(
        self,
        default: Action,
        *groups: TargetGroup,
        rules: Sequence[Rule] = (),
        certificates: Sequence[Certificate] = (),
        policy: str | None = None,
        trust: TrustStore | None = None,
        healthy: bool = True,
    ) -> None:
        """One listener, with TLS if there are certificates."""
        listener = Listener(
            arn="l",
            port=self.port,
            protocol="HTTPS" if certificates else "HTTP",
            default_action=default,
            rules=tuple(rules),
            certificate_arns=tuple(each.arn for each in certificates),
            tls_policy=policy,
            trust_store_arn=trust.arn if trust else None,
        )
        item, cloud = edge.cloud((listener,), *groups, certificates=tuple(certificates))
        if trust:
            cloud = replace(cloud, trust_stores={trust.arn: trust})
        text = balancer.render(item, cloud, bind=self.address, files=self.files)
        self.haproxy.apply(text, balancer.files(item, cloud))
        while healthy and any(
            state != "healthy" for states in self.haproxy.health().values() for state in states.values()
        ):
            pass

    def ask(
        self, method: str = "GET", path: str = "/", headers: dict[str, str] | None = None
    ) -> tuple[int, dict[str, str], str]:
        connection = http.client.HTTPConnection(self.address, self.port, timeout=10)
        try:
            connection.request(method, path, headers=headers or {})
            return _read(connection)
        finally:
            connection.close()

    def tls(
        self,
        *,
        name: str = HOST,
        client: tuple[str, str] | None = None,
        change: Callable[[ssl.SSLContext], object] = lambda _: None,
        headers: dict[str, str] | None = None,
    ) -> tuple[int, dict[str, str], str, str, str]:
        """Ask by TLS; adds the certificate's name, and version with cipher."""
        context = ssl.create_default_context(cadata=self.authority.pem)
        change(context)
        if client is not None:
            path = self.place / "client.pem"
            path.write_text("".join(client))
            context.load_cert_chain(path)
        connection = http.client.HTTPConnection(name, self.port, timeout=10)
        raw = socket.create_connection((self.address, self.port), timeout=10)
        try:
            sock = context.wrap_socket(raw, server_hostname=name)
            connection.sock = sock
            certificate = sock.getpeercert() or {}
            cipher = sock.cipher()
            connection.request("GET", "/", headers=headers or {})
            status, fields, body = _read(connection)
            subject = json.dumps(certificate.get("subject"))
            return status, fields, body, subject, f"{cipher[1]} {cipher[0]}" if cipher else ""
        finally:
            connection.close()
            raw.close()


def _read(connection: http.client.HTTPConnection) -> tuple[int, dict[str, str], str]:
    response = connection.getresponse()
    fields = {name.lower(): value for name, value in response.getheaders()}
    return response.status, fields, response.read().decode()


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    with ExitStack() as stack:
        yield Bench(tmp_path, stack)


@edge.needs_machine
def test_rules_count_by_priority_and_the_default_last(bench: Bench) -> None:
    one, two, three = bench.group("one"), bench.group("two"), bench.group("three")
    bench.serve(
        edge.forward(one),
        one,
        two,
        three,
        rules=[
            Rule(
                arn="a", priority=10, action=edge.forward(two), paths=("/xmlrpc/*", "/jsonrpc", "/json/?/*")
            ),
            Rule(
                arn="b",
                priority=20,
                action=edge.forward(three),
                hosts=("*.Example.com",),
                methods=("GET",),
                headers={"X-Kind": ("it's *",)},
            ),
        ],
    )

    def server(path: str, **headers: str) -> str:
        return bench.ask("GET", path, {key.replace("_", "-"): value for key, value in headers.items()})[2][
            8:13
        ]

    assert server("/").startswith("one")
    assert server("/xmlrpc/2/common").startswith("two")
    assert server("/XMLRPC/2/common").startswith("one")
    assert server("/jsonrpc").startswith("two")
    assert server("/jsonrpc/").startswith("one")
    assert server("/json/2/res.partner").startswith("two")
    assert server("/json/22/res.partner").startswith("one")
    assert server("/", Host="a.EXAMPLE.com:8443", X_Kind="it's This").startswith("three")
    assert server("/", Host="a.example.org", X_Kind="it's this").startswith("one")
    assert server("/", Host="a.example.com", X_Kind="this").startswith("one")


@edge.needs_machine
def test_http_is_redirected_and_placeholders_are_filled_in(bench: Bench) -> None:
    redirect = {"Protocol": "HTTPS", "Port": "443", "StatusCode": "HTTP_301"}
    full = {**redirect, "Host": "#{host}", "Path": "/#{path}", "Query": "#{query}"}
    other = {**redirect, "Host": "new.#{host}", "Path": "/old/#{path}", "Query": "from=#{port}"}
    bench.serve(
        Action(type="redirect", redirect=full),
        rules=[
            Rule(arn="a", priority=1, paths=("/moved*",), action=Action(type="redirect", redirect=other)),
            Rule(arn="b", priority=2, paths=("/gone",), action=Action(type="fixed-response", status=410)),
            Rule(
                arn="c",
                priority=3,
                paths=("/down",),
                action=Action(
                    type="fixed-response",
                    status=503,
                    content_type="text/html",
                    body="<p>'\"$HOME %[src]\n</p>",
                ),
            ),
        ],
    )
    headers = {"Host": "odoo.example.com:80"}
    status, fields, _ = bench.ask("GET", "/web?a=1&b=%20", headers)
    assert (status, fields["location"]) == (301, "https://odoo.example.com:443/web?a=1&b=%20")
    assert bench.ask("GET", "/", headers)[1]["location"] == "https://odoo.example.com:443/"
    moved = bench.ask("GET", "/moved", headers)[1]["location"]
    assert moved == f"https://new.odoo.example.com:443/old/moved?from={bench.port}"
    assert bench.ask("GET", "/gone")[0] == 410
    status, fields, body = bench.ask("GET", "/down")
    assert (status, fields["content-type"], body) == (503, "text/html", "<p>'\"$HOME %[src]\n</p>")


@edge.needs_machine
def test_a_target_is_told_who_asked_and_by_which_door(bench: Bench) -> None:
    group = bench.group("web")
    bench.serve(edge.forward(group), group)
    sent = {
        "Host": HOST,
        "X-Forwarded-For": "198.51.100.7",
        "X-Forwarded-Proto": "gopher",
        "X-Forwarded-Port": "1",
        "X-Amzn-Mtls-Clientcert-Subject": "CN=liar",
        "X_Bad": "underscore",
    }
    status, fields, body = bench.ask("GET", "/", sent)
    assert status == 200
    assert "x-forwarded-for: 198.51.100.7, 127.0.0.1\n" in body
    assert "x-forwarded-proto: http\n" in body
    assert f"x-forwarded-port: {bench.port}\n" in body
    assert f"host: {HOST}\n" in body
    for absent in ("x-forwarded-host", "liar", "x_bad"):
        assert absent not in body
    assert "server" not in fields
    assert "x-forwarded-for: 127.0.0.1\n" in bench.ask()[2]


@edge.needs_machine
def test_health_is_asked_as_an_alb_asks(bench: Bench) -> None:
    asked: list[tuple[str, dict[str, str]]] = []

    def note(path: str, fields: dict[str, str]) -> bytes:
        asked.append((path, fields))
        return b""

    group = bench.group("web", note)
    bench.serve(edge.forward(group), group)
    path, fields = asked[0]
    assert path == "/web/health"
    assert fields["host"] == f"127.0.0.1:{group.targets[0].port}"
    assert fields["user-agent"] == "ELB-HealthChecker/2.0"


@edge.needs_machine
def test_a_browser_stays_with_its_server(bench: Bench) -> None:
    group = bench.group("web", servers=3, sticky=86400)
    bench.serve(edge.forward(group), group)
    _, fields, body = bench.ask()
    cookie, _, attributes = fields["set-cookie"].partition("; ")
    assert cookie.startswith("AWSALB=")
    assert "web" not in cookie
    assert "Max-Age=86400" in attributes
    assert "Secure" not in attributes
    answers = [bench.ask("GET", "/", {"Cookie": f"session_id=x; {cookie}"}) for _ in range(6)]
    assert {answer[2].split()[1] for answer in answers} == {body.split()[1]}
    assert all("awsalb" not in answer[2].lower() for answer in answers)
    assert all("session_id=x" in answer[2] for answer in answers)


@edge.needs_machine
def test_weights_share_requests_out(bench: Bench) -> None:
    one, two, never = bench.group("one"), bench.group("two"), bench.group("never")
    bench.serve(edge.forward(one, two, never, weights=(3, 1, 0)), one, two, never)
    found = [bench.ask()[2].split()[1] for _ in range(200)]
    assert 110 < found.count("one0") < 190
    assert "never0" not in found


@edge.needs_machine
def test_failures_are_answered_as_by_an_alb(bench: Bench) -> None:
    group = bench.group("web", lambda path, _: None if path == "/dies" else b"")
    bench.serve(edge.forward(group), group)
    status, fields, body = bench.ask("GET", "/dies")
    assert (status, "<h1>502 Bad Gateway</h1>" in body) == (502, True)
    assert not any("local" in name for name in fields)
    slow = replace(group, health_check=replace(group.health_check, interval=60))
    bench.serve(edge.forward(slow), slow)
    gone = replace(slow, targets=(replace(slow.targets[0], port=1),))
    bench.serve(edge.forward(gone), gone, healthy=False)
    status, fields, body = bench.ask()
    assert (status, "<h1>503 Service Temporarily Unavailable</h1>" in body) == (503, True)


@edge.needs_machine
def test_a_target_that_refuses_before_it_is_marked_down_is_a_bad_gateway(bench: Bench) -> None:
    with ExitStack() as stack:
        port = stack.enter_context(edge.serving(None, ("127.0.0.1", 0), edge.web("x")))
        group = edge.group("web", Target(instance_id="i", address="127.0.0.1", port=port), interval=60)
        quick = replace(group, health_check=replace(group.health_check, interval=1))
        bench.serve(edge.forward(quick), quick)
        bench.serve(edge.forward(group), group)
    status, fields, body = bench.ask()
    assert (status, "<h1>502 Bad Gateway</h1>" in body) == (502, True)
    assert not any("local" in name for name in fields)


@edge.needs_machine
def test_the_certificate_is_chosen_by_host_name_and_the_default_is_the_first(bench: Bench) -> None:
    group = bench.group("web")
    certificates = [bench.certificate(HOST), bench.certificate("shop.example.com", "*.shop.example.com")]
    bench.serve(edge.forward(group), group, certificates=certificates)
    assert HOST in bench.tls()[3]
    assert "shop.example.com" in bench.tls(name="a.shop.example.com")[3]

    def unchecked(context: ssl.SSLContext) -> None:
        context.check_hostname = False

    assert HOST in bench.tls(name="unknown.example.org", change=unchecked)[3]
    assert "x-forwarded-proto: https\n" in bench.tls()[2]


@edge.needs_machine
@pytest.mark.parametrize(
    ("policy", "versions", "cbc"),
    [
        ("ELBSecurityPolicy-TLS13-1-2-Res-2021-06", ["TLSv1.2", "TLSv1.3"], False),
        ("ELBSecurityPolicy-TLS13-1-2-2021-06", ["TLSv1.2", "TLSv1.3"], True),
        ("ELBSecurityPolicy-TLS13-1-3-2021-06", ["TLSv1.3"], False),
        ("ELBSecurityPolicy-2016-08", ["TLSv1", "TLSv1.1", "TLSv1.2"], True),
    ],
)
def test_a_policy_decides_over_versions_and_ciphers(
    bench: Bench, policy: str, versions: list[str], cbc: bool
) -> None:
    group = bench.group("web")
    bench.serve(edge.forward(group), group, certificates=[bench.certificate(HOST)], policy=policy)
    taken = []
    for flag, version in (
        ("-tls1", "TLSv1"),
        ("-tls1_1", "TLSv1.1"),
        ("-tls1_2", "TLSv1.2"),
        ("-tls1_3", "TLSv1.3"),
    ):
        if _handshake(bench, flag, "DEFAULT@SECLEVEL=0"):
            taken.append(version)
    assert taken == versions
    assert _handshake(bench, "-tls1_2", "ECDHE-ECDSA-AES128-SHA256") == cbc


def _handshake(bench: Bench, version: str, ciphers: str) -> bool:
    done = subprocess.run(
        ["openssl", "s_client", "-connect", f"{bench.address}:{bench.port}", version, "-cipher", ciphers],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    return "Cipher is (NONE)" not in done.stdout and "Cipher is" in done.stdout


@edge.needs_machine
def test_http_2_is_spoken_in_front(bench: Bench) -> None:
    group = bench.group("web")
    bench.serve(edge.forward(group), group, certificates=[bench.certificate(HOST)])
    done = subprocess.run(
        ["curl", "-sk", "--http2", "-w", "%{http_version}", f"https://{bench.address}:{bench.port}/"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.endswith("2")
    assert "line: GET / HTTP/1.1" in done.stdout


@edge.needs_machine
def test_a_web_socket_goes_through(bench: Bench) -> None:
    with ExitStack() as stack:

        def upgrade(connection: socket.socket) -> None:
            head = b""
            while b"\r\n\r\n" not in head:
                head += connection.recv(65536)
            if b"upgrade: websocket" in head.lower():
                connection.sendall(
                    b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
                    b"Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n"
                )
                connection.sendall(b"echo " + connection.recv(100))
            else:
                connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")

        port = stack.enter_context(edge.serving(None, ("127.0.0.1", 0), upgrade))
        group = edge.group("web", Target(instance_id="i", address="127.0.0.1", port=port))
        bench.serve(edge.forward(group), group)
        with socket.create_connection((bench.address, bench.port), timeout=10) as connection:
            connection.sendall(
                b"GET /websocket HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
                b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
            )
            head = b""
            while b"\r\n\r\n" not in head:
                head += connection.recv(65536)
            assert head.startswith(b"HTTP/1.1 101")
            connection.sendall(b"hello")
            assert connection.recv(100) == b"echo hello"


@edge.needs_machine
def test_only_holders_of_a_certificate_that_is_not_revoked_come_in(bench: Bench) -> None:
    group = bench.group("app")
    clients, others, strangers = (
        edge.Authority("Clients"),
        edge.Authority("Others"),
        edge.Authority("Clients"),
    )
    good, bad, other = clients.issue("Anna Berg"), clients.issue("Bert"), others.issue("Carl")
    now = datetime.now(UTC).replace(microsecond=0)
    serial = str(x509.load_pem_x509_certificate(bad[0].encode()).serial_number)
    revoked = certificate_revocation_list(
        clients.pem, clients.private_key(), [serial], now - timedelta(hours=1), now + timedelta(days=1), 1
    )
    certificates = [bench.certificate(HOST)]
    store = TrustStore(arn="store", certificates=clients.pem + others.pem)
    bench.serve(edge.forward(group), group, certificates=certificates, trust=store)
    assert bench.tls(client=bad)[0] == 200
    bench.serve(
        edge.forward(group),
        group,
        certificates=certificates,
        trust=replace(store, revocation_lists=(revoked,)),
    )
    # The second authority has no list, and is trusted all the same.
    assert bench.tls(client=other)[0] == 200
    for refused in (None, bad, strangers.issue("Anna Berg")):
        with pytest.raises((OSError, http.client.HTTPException)):
            bench.tls(client=refused)
    body = bench.tls(client=good, headers={"X-Amzn-Mtls-Clientcert-Subject": "CN=liar"})[2]
    told = dict(re.findall(r"x-amzn-mtls-clientcert-(\S+): (.*)", body))
    certificate = x509.load_pem_x509_certificate(good[0].encode())
    assert told["subject"] == "CN=Anna Berg"
    assert told["issuer"] == "CN=Clients"
    assert int(told["serial-number"], 16) == certificate.serial_number
    before, after = certificate.not_valid_before_utc, certificate.not_valid_after_utc
    form = "%Y-%m-%dT%H:%M:%SZ"
    assert told["validity"] == f"NotBefore={before.strftime(form)};NotAfter={after.strftime(form)}"
    assert urllib.parse.unquote(told["leaf"]) == good[0]


def _cloud(**changes: Any) -> tuple[LoadBalancer, Cloud]:
    group = TargetGroup(
        arn=f"{edge.ARN}/x/0",
        name="x",
        health_check=HealthCheck(
            path="/", matcher="200", interval=5, timeout=2, healthy_threshold=2, unhealthy_threshold=2
        ),
    )
    listener = Listener(
        arn="l",
        port=443,
        protocol="HTTPS",
        default_action=edge.forward(group),
        certificate_arns=("c",),
        tls_policy="ELBSecurityPolicy-TLS13-1-2-2021-06",
    )
    certificate = Certificate(arn="c", certificate="C\n", private_key="K\n")
    return edge.cloud((replace(listener, **changes),), group, certificates=(certificate,))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"tls_policy": "ELBSecurityPolicy-2099"}, "port 443 has the TLS policy ELBSecurityPolicy-2099"),
        ({"certificate_arns": ()}, "port 443 has no certificate"),
        ({"certificate_arns": ("gone",)}, "no certificate gone"),
        ({"trust_store_arn": "gone"}, "no trust store gone"),
        ({"default_action": Action(type="forward", target_group_arns={"gone": 1})}, "no target group gone"),
        ({"default_action": Action(type="forward")}, "a forward without a target group"),
    ],
    ids=str,
)
def test_what_cannot_be_written_is_said(changes: dict[str, Any], message: str) -> None:
    item, cloud = _cloud(**changes)
    with pytest.raises(balancer.BalancerError, match=message):
        balancer.render(item, cloud, bind="127.0.0.1", files=Path("/files"))


def test_the_text_changes_with_a_certificate_and_holds_no_key() -> None:
    item, cloud = _cloud()
    text = balancer.render(item, cloud, bind="127.0.0.1", files=Path("/files"))
    (name,) = balancer.files(item, cloud)
    assert f"crt /files/{name}" in text
    assert "K" not in name
    other = replace(cloud, certificates={"c": replace(cloud.certificates["c"], private_key="L\n")})
    assert balancer.render(item, other, bind="127.0.0.1", files=Path("/files")) != text
