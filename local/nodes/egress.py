"""The way out for servers that install Debian packages: an HTTP proxy at the VPC's router.

It stands for the NAT gateway and internet gateway: it looks up names and connects from this machine's own
network, to ports 80 and 443 only, and only for instances whose security groups permit that port to any
address. It does not lead to this machine itself nor to its neighbours' link-local addresses.
"""

from __future__ import annotations

import ipaddress
import logging
import select
import socket
import threading
from collections.abc import Callable
from typing import Final
from urllib.parse import urlsplit

from local.nodes.network import PROXIED_PORTS, PROXY_PORT
from local.nodes.relay import in_namespace

CONNECT_SECONDS: Final = 20
IDLE_SECONDS: Final = 300
HEAD_BYTES: Final = 65536
BLOCK: Final = 262144

log = logging.getLogger("nodes")

Permitted = Callable[[str, int], bool]
"""Whether the instance with an address may reach a port of any address."""


class EgressProxy:
    """Listens at `address` in `namespace`; the address must be there already."""

    def __init__(
        self,
        namespace: str | None,
        address: str,
        permitted: Permitted,
        *,
        port: int = PROXY_PORT,
        ports: tuple[int, ...] = PROXIED_PORTS,
        to_this_machine: bool = False,
    ) -> None:
        self._namespace = namespace
        self._address = (address, port)
        self._permitted = permitted
        self._ports = ports
        self._to_this_machine = to_this_machine
        self._listener: socket.socket | None = None

    @property
    def port(self) -> int:
        """Where it listens; known once it has started."""
        return int(self._listener.getsockname()[1]) if self._listener else self._address[1]

    def start(self) -> None:
        """Listen. Raises `OSError`."""
        listener = in_namespace(self._namespace, lambda: socket.create_server(self._address, backlog=128))
        self._listener = listener
        threading.Thread(target=self._serve, args=(listener,), name="egress", daemon=True).start()

    def stop(self) -> None:
        """Close; what is being transferred comes to its end."""
        listener, self._listener = self._listener, None
        if listener is not None:
            listener.shutdown(socket.SHUT_RDWR)
            listener.close()

    def _serve(self, listener: socket.socket) -> None:
        while True:
            try:
                client, (address, _) = listener.accept()
            except OSError:
                return
            threading.Thread(target=self._handle, args=(client, address), daemon=True).start()

    def _handle(self, client: socket.socket, address: str) -> None:
        try:
            with client:
                client.settimeout(IDLE_SECONDS)
                self._proxy(client, address)
        except (OSError, ValueError) as error:
            log.debug("egress of %s: %s", address, error)

    def _proxy(self, client: socket.socket, address: str) -> None:
        """One request; a connection is not used for a second one, which may be for another host."""
        head, rest = _head(client)
        first, _, fields = head.partition("\r\n")
        words = first.split(" ")
        if len(words) != 3:
            _refuse(client, "400 Bad Request")
            return
        method, target, version = words
        parts = urlsplit(f"//{target}" if method == "CONNECT" else target)
        port = parts.port or (443 if method == "CONNECT" else 80)
        if not parts.hostname or (method != "CONNECT" and parts.scheme != "http"):
            _refuse(client, "400 Bad Request")
            return
        if port not in self._ports or not self._permitted(address, port):
            _refuse(client, "403 Forbidden")
            return
        try:
            server = self._connect(parts.hostname, port)
        except PermissionError:
            _refuse(client, "403 Forbidden")
            return
        except OSError:
            _refuse(client, "502 Bad Gateway")
            return
        with server:
            if method == "CONNECT":
                client.sendall(b"HTTP/1.1 200 Connection established\r\n\r\n")
            else:
                path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
                kept = [
                    line
                    for line in fields.split("\r\n")
                    if line and line.partition(":")[0].strip().lower() not in _OF_THE_CONNECTION
                ]
                lines = [f"{method} {path} {version}", *kept, "Connection: close", "", ""]
                server.sendall("\r\n".join(lines).encode("latin-1"))
            server.sendall(rest)
            _both_ways(client, server)

    def _connect(self, host: str, port: int) -> socket.socket:
        """A connection to the first address that answers; `PermissionError`: none may be reached."""
        error: OSError = PermissionError(host)
        for family, kind, protocol, _, address in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM):
            where = ipaddress.ip_address(address[0])
            here = where.is_loopback or where.is_link_local or where.is_unspecified or where.is_multicast
            if here and not self._to_this_machine:
                continue
            server = socket.socket(family, kind, protocol)
            try:
                server.settimeout(CONNECT_SECONDS)
                server.connect(address)
            except OSError as reason:
                server.close()
                error = reason
                continue
            server.settimeout(IDLE_SECONDS)
            return server
        raise error


_OF_THE_CONNECTION: Final = frozenset(
    {"connection", "proxy-connection", "keep-alive", "proxy-authorization", "te", "upgrade"}
)


def _head(client: socket.socket) -> tuple[str, bytes]:
    """The head of a request, and what came after it already."""
    data = b""
    while b"\r\n\r\n" not in data:
        block = client.recv(65536)
        if not block:
            raise ValueError("the client closed before it had asked")
        data += block
        if len(data) > HEAD_BYTES:
            raise ValueError("a request without an end")
    head, _, rest = data.partition(b"\r\n\r\n")
    return head.decode("latin-1"), rest


def _refuse(client: socket.socket, status: str) -> None:
    client.sendall(f"HTTP/1.1 {status}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n".encode())


def _both_ways(one: socket.socket, two: socket.socket) -> None:
    """Copy until both sides have closed, or nothing happens for long."""
    peers = {one: two, two: one}
    open_sides = {one, two}
    while open_sides:
        ready, _, _ = select.select(list(open_sides), [], [], IDLE_SECONDS)
        if not ready:
            return
        for source in ready:
            block = source.recv(BLOCK)
            if block:
                peers[source].sendall(block)
            else:
                open_sides.discard(source)
                peers[source].shutdown(socket.SHUT_WR)
