"""Instance metadata, asked as SDKs and cloud-init ask."""

from __future__ import annotations

import http.client
import json
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from local.nodes.metadata import HEADER, SECONDS, Credentials, MetadataService
from local.nodes.model import Instance
from local.nodes.network import mac_address
from local.nodes.relay import in_namespace
from tests.local.nodes import edge

INSTANCE = Instance(
    id="i-0123456789abcdef0",
    state="running",
    image_name="debian-13",
    instance_type="t3.medium",
    private_ip="10.0.1.10",
    subnet_cidr="10.0.1.0/24",
    availability_zone="eu-central-1a",
    vpc_id="vpc-1",
    role_name="web",
    user_data=b"\x1f\x8b\x00raw",
    group_name=None,
    security_group_ids=("sg-1", "sg-2"),
    tags={"Name": "secret"},
)


def _credentials(role: str) -> Credentials:
    assert role == "web"
    expires = datetime.now(UTC) + timedelta(hours=6)
    return Credentials(access_key_id="ASIA1", secret_access_key="s", token="t", expires=expires)


class Client:
    """Asks from loopback, which stands for the instance."""

    def __init__(self, service: MetadataService) -> None:
        self.service = service

    def ask(
        self, method: str, path: str, headers: Mapping[str, str] | None = None
    ) -> tuple[int, dict[str, str], bytes]:
        connection = http.client.HTTPConnection("127.0.0.1", self.service.port, timeout=5)
        try:
            connection.request(method, path, headers=dict(headers or {}))
            response = connection.getresponse()
            return response.status, {k.lower(): v for k, v in response.getheaders()}, response.read()
        finally:
            connection.close()

    def token(self, seconds: str = "21600") -> str:
        status, fields, body = self.ask("PUT", "/latest/api/token", {SECONDS: seconds})
        assert status == 200
        assert fields[SECONDS.lower()] == seconds
        return body.decode()

    def get(self, path: str) -> bytes:
        status, _, body = self.ask("GET", path, {HEADER: self.token()})
        assert status == 200, path
        return body


@pytest.fixture
def client() -> Iterator[Client]:
    service = MetadataService(
        None, "127.0.0.1", lambda _: INSTANCE, _credentials, region="eu-central-1", port=0
    )
    service.start()
    yield Client(service)
    service.stop()


def test_nothing_is_said_without_a_token(client: Client) -> None:
    assert client.ask("GET", "/latest/meta-data/instance-id")[0] == 401
    assert client.ask("GET", "/latest/meta-data/instance-id", {HEADER: "made-up"})[0] == 401
    assert client.get("/latest/meta-data/instance-id") == INSTANCE.id.encode()


def test_where_tokens_are_optional_the_first_version_works_too(client: Client) -> None:
    optional = replace(INSTANCE, metadata_tokens_required=False)
    client.service.lookup = lambda _: optional
    assert client.ask("GET", "/latest/meta-data/instance-id")[0] == 200
    assert client.ask("GET", "/latest/meta-data/instance-id", {HEADER: "made-up"})[0] == 401


@pytest.mark.parametrize("seconds", ["0", "21601", "-1", "x", ""])
def test_a_token_for_an_impossible_time_is_refused(client: Client, seconds: str) -> None:
    assert client.ask("PUT", "/latest/api/token", {SECONDS: seconds})[0] == 400


def test_a_token_is_not_given_through_a_proxy_and_not_for_ever(client: Client) -> None:
    headers = {SECONDS: "60", "X-Forwarded-For": "10.0.0.1"}
    assert client.ask("PUT", "/latest/api/token", headers)[0] == 403
    assert client.ask("PUT", "/latest/api/token")[0] == 400
    token = client.token("1")
    assert client.ask("GET", "/", {HEADER: token})[0] == 200
    client.service._tokens[token] = ("127.0.0.1", 0.0)
    assert client.ask("GET", "/", {HEADER: token})[0] == 401


def test_a_token_counts_only_from_where_it_was_given(client: Client) -> None:
    token = client.service.new_token("10.0.1.99", 60)
    assert client.ask("GET", "/latest/", {HEADER: token})[0] == 401


def test_other_methods_and_strangers_are_refused(client: Client) -> None:
    assert client.ask("POST", "/latest/api/token")[0] == 405
    assert client.ask("DELETE", "/latest/meta-data/")[0] == 405
    client.service.lookup = lambda _: None
    assert client.ask("PUT", "/latest/api/token", {SECONDS: "60"})[0] == 403
    assert client.ask("GET", "/latest/meta-data/")[0] == 404


def test_what_cloud_init_asks_for_is_there(client: Client) -> None:
    assert b"2021-03-23" in client.get("/").split()
    assert client.get("/latest/") == b"dynamic\nmeta-data\nuser-data"
    seen: dict[str, bytes] = {}

    def crawl(path: str) -> None:
        for name in client.get(path).decode().splitlines():
            child = f"{path}{name}"
            if name.endswith("/"):
                crawl(child)
            else:
                seen[child.removeprefix("/2021-03-23/meta-data/")] = client.get(child)

    crawl("/2021-03-23/meta-data/")
    mac = mac_address(INSTANCE.private_ip)
    assert seen["local-ipv4"] == b"10.0.1.10"
    assert seen["local-hostname"] == b"ip-10-0-1-10.eu-central-1.compute.internal"
    assert seen["placement/availability-zone"] == b"eu-central-1a"
    assert seen["placement/region"] == b"eu-central-1"
    assert seen[f"network/interfaces/macs/{mac}/subnet-ipv4-cidr-block"] == b"10.0.1.0/24"
    assert seen[f"network/interfaces/macs/{mac}/device-number"] == b"0"
    assert seen["security-groups"] == b"sg-1\nsg-2"
    assert not any("tags" in name or b"secret" in value for name, value in seen.items())
    document = json.loads(client.get("/2021-03-23/dynamic/instance-identity/document"))
    assert (document["instanceId"], document["region"]) == (INSTANCE.id, "eu-central-1")


def test_user_data_comes_byte_for_byte_and_404_where_there_is_none(client: Client) -> None:
    assert client.get("/latest/user-data") == INSTANCE.user_data
    bare = replace(INSTANCE, user_data=b"", role_name=None)
    client.service.lookup = lambda _: bare
    for path in ("user-data", "meta-data/iam/info", "meta-data/tags/instance", "nonsense"):
        assert client.ask("GET", f"/latest/{path}", {HEADER: client.token()})[0] == 404
    assert client.ask("GET", "/1999-01-01/meta-data/", {HEADER: client.token()})[0] == 404


def test_the_role_has_credentials(client: Client) -> None:
    assert client.get("/latest/meta-data/iam/security-credentials/") == b"web"
    found = json.loads(client.get("/latest/meta-data/iam/security-credentials/web"))
    assert (found["Code"], found["AccessKeyId"], found["Token"]) == ("Success", "ASIA1", "t")
    assert datetime.fromisoformat(found["Expiration"]) > datetime.now(UTC)
    client.service.credentials = None
    path = "/latest/meta-data/iam/security-credentials/web"
    assert client.ask("GET", path, {HEADER: client.token()})[0] == 500


@edge.needs_machine
@pytest.mark.parametrize(("hops", "answered"), [(1, False), (2, True)])
def test_an_answer_goes_no_further_than_the_hop_limit(hops: int, answered: bool) -> None:
    with ExitStack() as stack:
        router, server, nested = (stack.enter_context(edge.namespace()) for _ in range(3))
        edge.connect(router, server, ("10.0.1.1/24", "10.0.1.10/24"))
        edge.connect(server, nested, ("10.9.0.1/24", "10.9.0.2/24"))
        edge.ip("-n", router, "address", "add", "169.254.169.254/32", "dev", "lo")
        edge.ip("-n", router, "route", "add", "10.9.0.0/24", "via", "10.0.1.10")
        edge.ip("-n", server, "route", "add", "default", "via", "10.0.1.1")
        edge.ip("-n", nested, "route", "add", "default", "via", "10.9.0.1")
        in_namespace(server, _forward)
        found = replace(INSTANCE, metadata_hop_limit=hops)
        service = MetadataService(router, "169.254.169.254", lambda _: found)
        service.start()
        stack.callback(service.stop)

        def ask() -> int:
            connection = http.client.HTTPConnection("169.254.169.254", timeout=1)
            try:
                connection.request("PUT", "/latest/api/token", headers={SECONDS: "60"})
                return connection.getresponse().status
            except TimeoutError:
                return 0
            finally:
                connection.close()

        assert in_namespace(server, ask) == 200
        assert in_namespace(nested, ask) == (200 if answered else 0)


def _forward() -> None:
    """Let the namespace of this thread forward packets."""
    Path("/proc/sys/net/ipv4/ip_forward").write_text("1")
