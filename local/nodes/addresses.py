"""An address of this machine's loopback on which a load balancer can have its real ports."""

from __future__ import annotations

import errno
import socket
from collections.abc import Collection, Iterator

SECOND_BYTES = range(1, 256)


class NoAddressError(Exception):
    """No address has all ports free, or they may not be opened at all."""


def candidates() -> Iterator[str]:
    """127.0.0.1, which browsers and certificates know; then one of each network 127.x.0.0."""
    yield "127.0.0.1"
    for second in SECOND_BYTES:
        yield f"127.{second}.0.1"


def free(ports: Collection[int], *, taken: Collection[str] = ()) -> str:
    """Return the first loopback address that is not in `taken` and on which all TCP ports can be opened.

    Raises `NoAddressError`. Another process may be faster; then opening the port says so.
    """
    for address in candidates():
        if address not in taken and all(_can_be_opened(address, port) for port in ports):
            return address
    raise NoAddressError(f"no loopback address has the ports {', '.join(map(str, sorted(ports)))} free")


def _can_be_opened(address: str, port: int) -> bool:
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as attempt:
        # A port on which only connections of the past linger is free.
        attempt.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            attempt.bind((address, port))
            attempt.listen(1)
        except PermissionError:
            raise NoAddressError(f"port {port} may not be opened by this user") from None
        except OSError as error:
            if error.errno in (errno.EADDRINUSE, errno.EADDRNOTAVAIL):
                return False
            raise
    return True
