"""The public host name, which no resolver here knows, leads to the load balancer: for a process alone.

What is shown is the client configuration as it was generated, so nothing in it may be changed for the test.
"""

from __future__ import annotations

import os
import socket
import subprocess
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

ENVIRONMENT_OF_OTHERS = (
    "REQUESTS_CA_BUNDLE",
    "CURL_CA_BUNDLE",
    "SSL_CERT_FILE",
    "SSL_CERT_DIR",
    "http_proxy",
    "https_proxy",
    "all_proxy",
    "HTTP_PROXY",
    "HTTPS_PROXY",
    "ALL_PROXY",
)
"""Variables of this machine that would change what a client trusts, or lead it elsewhere."""


def client_environment(**more: str) -> dict[str, str]:
    """The environment of a client's machine: ours, without what would help or hinder it."""
    kept = {name: value for name, value in os.environ.items() if name not in ENVIRONMENT_OF_OTHERS}
    return kept | more


@contextmanager
def resolving(hosts: Mapping[str, str]) -> Iterator[None]:
    """In this process, let these names resolve to these addresses."""
    real = socket.getaddrinfo

    def resolve(host: Any, *arguments: Any, **named: Any) -> Any:
        return real(hosts.get(host, host) if isinstance(host, str) else host, *arguments, **named)

    socket.getaddrinfo = resolve
    try:
        yield
    finally:
        socket.getaddrinfo = real


def run_with_hosts(
    hosts: Mapping[str, str],
    *command: str,
    environment: Mapping[str, str] | None = None,
    directory: Path | None = None,
    seconds: float = 60,
) -> subprocess.CompletedProcess[str]:
    """Run a command in a mount namespace of its own, whose /etc/hosts holds these names too."""
    with tempfile.NamedTemporaryFile("w", prefix="hosts-", suffix=".txt") as file:
        file.write(Path("/etc/hosts").read_text())
        file.writelines(f"{address} {name}\n" for name, address in hosts.items())
        file.flush()
        script = 'mount --bind "$0" /etc/hosts && exec "$@"'
        return subprocess.run(
            ["unshare", "--mount", "--propagation", "private", "sh", "-c", script, file.name, *command],
            env=client_environment(**(environment or {})),
            cwd=directory,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=seconds,
        )
