"""Clouds, certificates, network namespaces and small servers for the tests of what surrounds servers."""

from __future__ import annotations

import os
import secrets
import shutil
import socket
import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from local.nodes.model import (
    Action,
    Certificate,
    Cloud,
    HealthCheck,
    Listener,
    LoadBalancer,
    Target,
    TargetGroup,
)
from local.nodes.relay import in_namespace


def _missing() -> str:
    if os.geteuid() != 0:
        return "needs root"
    for program in ("ip", "nft", "haproxy"):
        if shutil.which(program) is None:
            return f"needs {program}"
    done = subprocess.run(["unshare", "--net", "true"], capture_output=True, check=False)
    return "" if done.returncode == 0 else "needs network namespaces"


needs_machine = pytest.mark.skipif(bool(_missing()), reason=_missing())

ARN = "arn:aws:elasticloadbalancing:eu-central-1:123456789012:targetgroup"


def ip(*words: str) -> None:
    """Run `ip`."""
    subprocess.run(["ip", *words], check=True, capture_output=True)


@contextmanager
def namespace() -> Iterator[str]:
    """A network namespace of its own with loopback."""
    name = f"t-{secrets.token_hex(4)}"
    ip("netns", "add", name)
    try:
        ip("-n", name, "link", "set", "lo", "up")
        yield name
    finally:
        ip("netns", "delete", name)


def connect(left: str, right: str, addresses: tuple[str, str]) -> None:
    """A cable between two namespaces; addresses with their prefix length."""
    one, two = f"e{secrets.token_hex(4)}", f"e{secrets.token_hex(4)}"
    ip("-n", left, "link", "add", one, "type", "veth", "peer", "name", two, "netns", right)
    for name, device, address in ((left, one, addresses[0]), (right, two, addresses[1])):
        ip("-n", name, "address", "add", address, "dev", device)
        ip("-n", name, "link", "set", device, "up")


@contextmanager
def serving(
    where: str | None, address: tuple[str, int], handle: Callable[[socket.socket], None]
) -> Iterator[int]:
    """A server that calls `handle` with each connection in a thread; gives its port."""
    listener = in_namespace(where, lambda: socket.create_server(address, backlog=128))

    def answer(connection: socket.socket) -> None:
        with connection, suppress(OSError):
            handle(connection)

    def work() -> None:
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            threading.Thread(target=answer, args=(connection,), daemon=True).start()

    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    try:
        yield listener.getsockname()[1]
    finally:
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        thread.join(5)


def web(
    name: str, answers: Callable[[str, dict[str, str]], bytes | None] | None = None
) -> Callable[[socket.socket], None]:
    """A handler that speaks HTTP/1.1 and says its name and what it was asked."""

    def handle(connection: socket.socket) -> None:
        with connection.makefile("rb") as reader:
            while True:
                first = reader.readline().decode()
                if not first:
                    return
                fields: dict[str, str] = {}
                while (line := reader.readline().decode().strip()) != "":
                    key, _, value = line.partition(": ")
                    fields[key.lower()] = value
                body = answers(first.split()[1], fields) if answers else b""
                if body is None:
                    return
                shown = "".join(f"{key}: {value}\n" for key, value in fields.items())
                content = body or f"server: {name}\nline: {first.strip()}\n{shown}".encode()
                head = f"HTTP/1.1 200 OK\r\nContent-Length: {len(content)}\r\n\r\n"
                connection.sendall(head.encode() + content)

    return handle


class Authority:
    """A certificate authority."""

    def __init__(self, name: str = "Test CA") -> None:
        self.key = ec.generate_private_key(ec.SECP256R1())
        self.name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        self.pem = self._sign(self.name, self.key, x509.BasicConstraints(ca=True, path_length=None))

    def _sign(
        self, subject: x509.Name, key: ec.EllipticCurvePrivateKey, *extensions: x509.ExtensionType
    ) -> str:
        now = datetime.now(UTC)
        builder = (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(self.name)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - timedelta(hours=1))
            .not_valid_after(now + timedelta(days=1))
        )
        for extension in extensions:
            builder = builder.add_extension(extension, critical=isinstance(extension, x509.BasicConstraints))
        return builder.sign(self.key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM).decode()

    def issue(self, *names: str) -> tuple[str, str]:
        """A certificate and its key."""
        key = ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, names[0])])
        alternative = x509.SubjectAlternativeName([x509.DNSName(name.replace(" ", "-")) for name in names])
        return self._sign(subject, key, alternative), _pem(key)

    def private_key(self) -> str:
        """Its own key."""
        return _pem(self.key)


def _pem(key: ec.EllipticCurvePrivateKey) -> str:
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    ).decode()


def group(
    name: str,
    *targets: Target,
    sticky: int | None = None,
    interval: int = 1,
    healthy: int = 2,
    unhealthy: int = 2,
) -> TargetGroup:
    """A target group whose health is looked at each second."""
    return TargetGroup(
        arn=f"{ARN}/{name}/0123456789abcdef",
        name=name,
        health_check=HealthCheck(
            path="/web/health",
            matcher="200",
            interval=interval,
            timeout=1,
            healthy_threshold=healthy,
            unhealthy_threshold=unhealthy,
        ),
        targets=targets,
        sticky_seconds=sticky,
    )


def forward(*groups: TargetGroup, weights: tuple[int, ...] = ()) -> Action:
    """An action that forwards."""
    return Action(
        type="forward",
        target_group_arns=dict(zip([each.arn for each in groups], weights or [1] * len(groups), strict=True)),
    )


def cloud(
    listeners: tuple[Listener, ...], *groups: TargetGroup, certificates: tuple[Certificate, ...] = ()
) -> tuple[LoadBalancer, Cloud]:
    """A load balancer and the cloud around it."""
    balancer = LoadBalancer(arn="arn:balancer", name="test", vpc_id="vpc-1", listeners=listeners)
    return balancer, Cloud(
        load_balancers=(balancer,),
        target_groups={each.arn: each for each in groups},
        certificates={each.arn: each for each in certificates},
    )


def with_groups(given: Cloud, *groups: TargetGroup) -> Cloud:
    """The cloud with some target groups replaced."""
    return replace(given, target_groups={**given.target_groups, **{each.arn: each for each in groups}})
