"""TLS in front of a local server: RDS speaks it, and PostgreSQL's wheel is built without it.

The front listens where clients connect, answers PostgreSQL's request for TLS, and passes everything on to the
server's own loopback port in the clear. It refuses what is not encrypted in the words of a server whose
``pg_hba.conf`` has ``hostssl`` lines alone, as RDS does with ``rds.force_ssl=1``. To clients it differs from
PostgreSQL's own TLS in three things: it must be asked for first (no ``sslnegotiation=direct``), there is no
channel binding, and ``pg_stat_ssl`` says no.

It is a process of its own, on the standard library alone: in the emulator's process, each query would wait
for whatever request that is at. ``front.py <parent pid> <listener> <server port> <certificate> <key> <1 if
plain connections are refused>``; the listener is an open file descriptor.
"""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import os
import signal
import socket
import ssl
import struct
import sys
from pathlib import Path

SSL_REQUEST, GSS_REQUEST, CANCEL_REQUEST = 80877103, 80877104, 80877102
"""Codes in place of a protocol version (PostgreSQL's src/include/libpq/pqcomm.h)."""
MAXIMUM_STARTUP = 10_000
"""Bytes of a startup packet that PostgreSQL takes."""
PATIENCE = 60.0
"""Seconds for a client to say what it wants, as ``authentication_timeout``."""
BLOCK = 65536
PR_SET_PDEATHSIG = 1
PARENT_CHECK = 1.0
"""Seconds between looks at whether the parent still lives, where the kernel does not tell."""


def _context(certificate: Path, key: Path) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.load_cert_chain(certificate, key)
    return context


def _refusal(startup: bytes) -> bytes:
    """PostgreSQL's error for a client that no line of ``pg_hba.conf`` lets in."""
    words = startup[8:].decode("utf-8", "replace").split("\0")
    asked = dict(zip(words[::2], words[1::2], strict=False))
    user = asked.get("user", "")
    message = (
        f'no pg_hba.conf entry for host "127.0.0.1", user "{user}", '
        f'database "{asked.get("database") or user}", no encryption'
    )
    body = f"SFATAL\0VFATAL\0C28000\0M{message}\0\0".encode()
    return b"E" + struct.pack("!i", len(body) + 4) + body


async def _exactly(client: socket.socket, count: int) -> bytes:
    """``count`` bytes and not one more: what follows may be TLS."""
    data = b""
    while len(data) < count:
        more = await asyncio.get_running_loop().sock_recv(client, count - len(data))
        if not more:
            raise ConnectionResetError
        data += more
    return data


def _size(head: bytes) -> int:
    size = int(struct.unpack("!i", head[:4])[0])
    if not 8 <= size <= MAXIMUM_STARTUP:
        raise ConnectionResetError
    return size


async def _plain_startup(client: socket.socket) -> bytes | None:
    """The first packet of a client that does not encrypt; None where TLS comes next."""
    while True:
        head = await _exactly(client, 8)
        code = struct.unpack("!i", head[4:])[0]
        if code == SSL_REQUEST:
            await asyncio.get_running_loop().sock_sendall(client, b"S")
            return None
        if code != GSS_REQUEST:
            return head + await _exactly(client, _size(head) - 8)
        await asyncio.get_running_loop().sock_sendall(client, b"N")


async def _pass_on(source: asyncio.StreamReader, target: asyncio.StreamWriter) -> None:
    while data := await source.read(BLOCK):
        target.write(data)
        await target.drain()


class Front:
    """The front of the server at ``127.0.0.1:<server>``, listening on ``listener``."""

    def __init__(
        self, listener: socket.socket, server: int, certificate: Path, key: Path, *, forced: bool
    ) -> None:
        self._listener = listener
        self._server = server
        self._context = _context(certificate, key)
        self._forced = forced
        self._tasks: set[asyncio.Task[None]] = set()
        listener.setblocking(False)

    async def run(self) -> None:
        """Serves clients until it is cancelled."""
        while True:
            client, _address = await asyncio.get_running_loop().sock_accept(self._listener)
            task = asyncio.create_task(self._serve(client))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _serve(self, client: socket.socket) -> None:
        with client, contextlib.suppress(OSError, ssl.SSLError, asyncio.IncompleteReadError, TimeoutError):
            client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            startup = await asyncio.wait_for(_plain_startup(client), PATIENCE)
            plain = startup is not None
            loop = asyncio.get_running_loop()
            reader = asyncio.StreamReader()
            protocol = asyncio.StreamReaderProtocol(reader)
            transport, _ = await loop.connect_accepted_socket(
                lambda: protocol, client, ssl=None if plain else self._context
            )
            writer = asyncio.StreamWriter(transport, protocol, reader, loop)
            try:
                if startup is None:
                    head = await asyncio.wait_for(reader.readexactly(8), PATIENCE)
                    startup = head + await asyncio.wait_for(reader.readexactly(_size(head) - 8), PATIENCE)
                cancels = struct.unpack("!i", startup[4:8])[0] == CANCEL_REQUEST
                if plain and self._forced and not cancels:
                    writer.write(_refusal(startup))
                else:
                    await self._connect(startup, reader, writer)
            finally:
                await _close(writer)

    async def _connect(
        self, startup: bytes, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        answers, questions = await asyncio.open_connection("127.0.0.1", self._server)
        try:
            questions.write(startup)
            ways = {
                asyncio.create_task(_pass_on(reader, questions)),
                asyncio.create_task(_pass_on(answers, writer)),
            }
            try:
                await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
            finally:
                for way in ways:
                    way.cancel()
                await asyncio.gather(*ways, return_exceptions=True)
        finally:
            await _close(questions)


async def _close(writer: asyncio.StreamWriter) -> None:
    """Sends what is left and closes, without waiting for a peer that has gone."""
    writer.close()
    try:
        await asyncio.wait_for(writer.wait_closed(), 2)
    except (OSError, ssl.SSLError, TimeoutError):
        # The loop must have forgotten the socket before its number is given to another one.
        writer.transport.abort()
        await asyncio.sleep(0)


async def _until_the_parent_ends(parent: int) -> None:
    while os.getppid() == parent:
        await asyncio.sleep(PARENT_CHECK)


async def _serve_for(parent: int, front: Front) -> None:
    ways = {asyncio.create_task(front.run()), asyncio.create_task(_until_the_parent_ends(parent))}
    await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)


def main() -> None:
    """Serve until the parent ends or SIGTERM comes; every connection is cut then."""
    parent, descriptor, server = (int(argument) for argument in sys.argv[1:4])
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    certificate, key = (Path(argument) for argument in sys.argv[4:6])
    listener = socket.socket(fileno=descriptor)
    front = Front(listener, server, certificate, key, forced=sys.argv[6] == "1")
    asyncio.run(_serve_for(parent, front))


if __name__ == "__main__":
    main()
