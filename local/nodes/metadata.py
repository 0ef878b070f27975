"""The EC2 instance metadata service, version 2, for the instances of one VPC.

Listens inside the VPC router's network namespace and knows an instance by its address. Answers what
cloud-init's data source (`DataSourceEc2`) and the SDKs ask for, as "Instance metadata categories" and
"Use the Instance Metadata Service" of the EC2 User Guide describe it.
"""

from __future__ import annotations

import json
import secrets
import socket
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Final

from local.nodes.model import Instance
from local.nodes.network import mac_address
from local.nodes.relay import in_namespace

PORT: Final = 80
ACCOUNT: Final = "123456789012"
"""The emulator's."""
LONGEST: Final = 21600
"""Seconds that a token may last."""
VERSIONS: Final = ("1.0", "2009-04-04", "2016-09-02", "2018-09-24", "2021-03-23", "latest")
HEADER: Final = "X-aws-ec2-metadata-token"
SECONDS: Final = "X-aws-ec2-metadata-token-ttl-seconds"

Tree = Mapping[str, Any]
"""A folder; its values are folders, text or bytes."""


@dataclass(frozen=True, kw_only=True)
class Credentials:
    """Of a role, for some time."""

    access_key_id: str
    secret_access_key: str
    token: str
    expires: datetime


Lookup = Callable[[str], Instance | None]
"""The instance that has an address."""
RoleCredentials = Callable[[str], Credentials]
"""Credentials of the role of this name; raises if there are none."""


class MetadataService:
    """Instance metadata at `address` in `namespace`. The address must be there already."""

    def __init__(
        self,
        namespace: str | None,
        address: str,
        lookup: Lookup,
        credentials: RoleCredentials | None = None,
        *,
        region: str = "us-east-1",
        account: str = ACCOUNT,
        port: int = PORT,
    ) -> None:
        self._namespace = namespace
        self._address = (address, port)
        self.lookup = lookup
        self.credentials = credentials
        self.region = region
        self.account = account
        self._tokens: dict[str, tuple[str, float]] = {}
        self._lock = threading.Lock()
        self._server: _Server | None = None
        self._thread: threading.Thread | None = None

    @property
    def port(self) -> int:
        """Where it listens; known once it has started."""
        return int(self._server.server_address[1]) if self._server else self._address[1]

    def start(self) -> None:
        """Listen. Raises `OSError`."""
        self._server = in_namespace(self._namespace, lambda: _Server(self._address, self))
        self._thread = threading.Thread(
            target=self._server.serve_forever, args=(0.1,), name="metadata", daemon=True
        )
        self._thread.start()

    def stop(self) -> None:
        """Close."""
        server, self._server = self._server, None
        if server is not None:
            server.shutdown()
            server.server_close()
        if self._thread is not None:
            self._thread.join()

    def new_token(self, address: str, seconds: int) -> str:
        """A token that counts from this address only."""
        token = secrets.token_urlsafe(40) + "=="
        now = time.monotonic()
        with self._lock:
            self._tokens = {name: entry for name, entry in self._tokens.items() if entry[1] > now}
            self._tokens[token] = (address, now + seconds)
        return token

    def valid(self, address: str, token: str) -> bool:
        """Whether a token counts from this address and now."""
        with self._lock:
            owner, until = self._tokens.get(token, ("", 0.0))
        return owner == address and until > time.monotonic()

    def tree(self, instance: Instance) -> Tree:
        """Everything below a version, for an instance; credentials are made only when they are read."""
        mac = mac_address(instance.private_ip)
        host = f"ip-{instance.private_ip.replace('.', '-')}.{self.region}.compute.internal"
        interface = {
            "device-number": "0",
            "interface-id": f"eni-{instance.id.removeprefix('i-')}",
            "local-hostname": host,
            "local-ipv4s": instance.private_ip,
            "mac": mac,
            "owner-id": self.account,
            "security-group-ids": "\n".join(instance.security_group_ids),
            "security-groups": "\n".join(instance.security_group_ids),
            "subnet-ipv4-cidr-block": instance.subnet_cidr,
            "vpc-id": instance.vpc_id,
        }
        zone = instance.availability_zone
        data: dict[str, Any] = {
            "ami-id": instance.image_name,
            "ami-launch-index": "0",
            "hostname": host,
            "instance-action": "none",
            "instance-id": instance.id,
            "instance-life-cycle": "on-demand",
            "instance-type": instance.instance_type,
            "local-hostname": host,
            "local-ipv4": instance.private_ip,
            "mac": mac,
            "network": {"interfaces": {"macs": {mac: interface}}},
            "placement": {"availability-zone": zone, "region": self.region},
            "profile": "default-hvm",
            "reservation-id": f"r-{instance.id.removeprefix('i-')}",
            "security-groups": "\n".join(instance.security_group_ids),
            "services": {"domain": "amazonaws.com", "partition": "aws"},
        }
        if instance.role_name is not None:
            role = instance.role_name
            profile = f"arn:aws:iam::{self.account}:instance-profile/{role}"
            data["iam"] = {
                "info": _json({"Code": "Success", "InstanceProfileArn": profile, "InstanceProfileId": role}),
                "security-credentials": {role: lambda: self._credentials(role)},
            }
        document = {
            "accountId": self.account,
            "architecture": "x86_64",
            "availabilityZone": zone,
            "imageId": instance.image_name,
            "instanceId": instance.id,
            "instanceType": instance.instance_type,
            "privateIp": instance.private_ip,
            "region": self.region,
            "version": "2017-09-30",
        }
        found: dict[str, Any] = {
            "dynamic": {"instance-identity": {"document": _json(document)}},
            "meta-data": data,
        }
        if instance.user_data:
            found["user-data"] = instance.user_data
        return found

    def _credentials(self, role: str) -> str:
        if self.credentials is None:
            raise LookupError(role)
        found = self.credentials(role)
        return _json(
            {
                "Code": "Success",
                "LastUpdated": _time(datetime.now(UTC)),
                "Type": "AWS-HMAC",
                "AccessKeyId": found.access_key_id,
                "SecretAccessKey": found.secret_access_key,
                "Token": found.token,
                "Expiration": _time(found.expires),
            }
        )


def _json(value: Mapping[str, Any]) -> str:
    return json.dumps(value, indent=2)


def _time(moment: datetime) -> str:
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def find(tree: Tree, path: str) -> bytes | None:
    """What is at a path: a value, or a folder's names; None: nothing."""
    found: Any = tree
    parts = [part for part in path.split("/") if part]
    for part in parts:
        if not isinstance(found, Mapping) or part not in found:
            return None
        found = found[part]
    if callable(found):
        found = found()
    if isinstance(found, Mapping):
        # As there, folders have a slash at their end, but not the topmost.
        slash = "/" if parts else ""
        names = (f"{name}{slash}" if isinstance(value, Mapping) else name for name, value in found.items())
        return "\n".join(names).encode()
    if path.endswith("/") and parts:
        return None
    return found if isinstance(found, bytes) else str(found).encode()


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128

    def __init__(self, address: tuple[str, int], service: MetadataService) -> None:
        self.service = service
        super().__init__(address, _Handler)

    def server_bind(self) -> None:
        # Without the name that HTTPServer looks up.
        socket.socket.bind(self.socket, self.server_address)
        self.server_address = self.socket.getsockname()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that went away is none of ours."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    timeout = 60
    disable_nagle_algorithm = True
    wbufsize = -1
    server: _Server

    def setup(self) -> None:
        self.instance = self.server.service.lookup(self.client_address[0])
        if self.instance is not None:
            hops = max(1, min(64, self.instance.metadata_hop_limit))
            self.request.setsockopt(socket.IPPROTO_IP, socket.IP_TTL, hops)
        super().setup()

    def version_string(self) -> str:
        return "EC2ws"

    def log_message(self, format: str, *args: Any) -> None:
        """Nothing: what is asked is not of interest, and may hold tokens."""

    def do_PUT(self) -> None:
        self._discard_body()
        if self.instance is None or self.path.rstrip("/") != "/latest/api/token":
            self._answer(404 if self.path.rstrip("/") != "/latest/api/token" else 403)
        elif self.headers.get("X-Forwarded-For") is not None:
            self._answer(403)
        else:
            given = self.headers.get(SECONDS, "")
            if not given.isdecimal() or not 1 <= int(given) <= LONGEST:
                self._answer(400)
                return
            token = self.server.service.new_token(self.client_address[0], int(given))
            self._answer(200, token.encode(), {SECONDS: given})

    def do_GET(self) -> None:
        service, instance = self.server.service, self.instance
        if instance is None:
            self._answer(404)
            return
        token = self.headers.get(HEADER)
        if token is None and instance.metadata_tokens_required:
            self._answer(401)
            return
        if token is not None and not service.valid(self.client_address[0], token):
            self._answer(401)
            return
        path = self.path.partition("?")[0]
        version, _, rest = path.lstrip("/").partition("/")
        if not version:
            self._answer(200, "\n".join(VERSIONS).encode())
        elif version not in VERSIONS:
            self._answer(404)
        else:
            try:
                found = find(service.tree(instance), rest)
            except Exception:
                # Credentials that cannot be had now; SDKs try again.
                self._answer(500)
                return
            if found is None:
                self._answer(404)
            else:
                kind = "application/octet-stream" if rest.rstrip("/") == "user-data" else "text/plain"
                self._answer(200, found, {"Content-Type": kind})

    def do_HEAD(self) -> None:
        self.do_GET()

    def do_POST(self) -> None:
        self._discard_body()
        self._answer(405, b"", {"Allow": "OPTIONS, GET, HEAD, PUT"})

    def do_DELETE(self) -> None:
        self.do_POST()

    def do_PATCH(self) -> None:
        self.do_POST()

    def _discard_body(self) -> None:
        self.close_connection = self.close_connection or "Transfer-Encoding" in self.headers
        length = self.headers.get("Content-Length", "0")
        if length.isdecimal() and int(length) < 65536:
            self.rfile.read(int(length))
        else:
            self.close_connection = True

    def _answer(self, status: int, body: bytes = b"", fields: Mapping[str, str] | None = None) -> None:
        self.send_response(status)
        for name, value in {"Content-Type": "text/plain", **(fields or {})}.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        if self.close_connection:
            self.send_header("Connection", "close")
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)
        self.wfile.flush()
