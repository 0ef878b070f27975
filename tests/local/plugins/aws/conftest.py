from __future__ import annotations

from collections.abc import Iterator

import boto3
import pytest
from moto.server import ThreadedMotoServer


@pytest.fixture(scope="session")
def emulator() -> Iterator[str]:
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    try:
        yield f"http://{host}:{port}"
    finally:
        server.stop()


@pytest.fixture(autouse=True)
def environment(emulator: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", emulator)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "local")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "local")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "eu-west-1")
    monkeypatch.delenv("AWS_PROFILE", raising=False)


@pytest.fixture(scope="session")
def aws(emulator: str) -> type[Aws]:
    Aws.endpoint = emulator
    return Aws


class Aws:
    """Clients beside the provider: what another hand does to the account."""

    endpoint = ""

    @classmethod
    def client(cls, service: str, region: str = "eu-west-1") -> object:
        return boto3.client(
            service,
            region_name=region,
            endpoint_url=cls.endpoint,
            aws_access_key_id="local",
            aws_secret_access_key="local",
        )
