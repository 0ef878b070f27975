"""Networks and machines under the names that the data centre's loop has for them."""

from __future__ import annotations

import logging
import threading
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

from core.names import POSTGRES_PORT
from local.account import client
from local.home import cache
from local.nodes import directory, file_systems, firewall, images
from local.nodes.cloud import Endpoint
from local.nodes.egress import EgressProxy
from local.nodes.machines import Machine
from local.nodes.metadata import ACCOUNT, Credentials, MetadataService
from local.nodes.model import Cloud, Instance, Vpc
from local.nodes.network import METADATA_ADDRESS, PROXIED_PORTS, PROXY_ADDRESS, Network, router_address
from local.nodes.reconcile import Settings
from local.nodes.relay import Relay
from local.nodes.shell import Ended, Script, undeliverable
from local.nodes.status import last_lines

log = logging.getLogger("nodes")

BARE = "debian-13"
"""The recipe of an image that has nothing of OpenERP: what Debian publishes for clouds."""
PREPARED = "openerp-"
"""How the names of images begin that a recipe of the same name makes."""
LASTING, LEFT = timedelta(hours=6), timedelta(hours=1)
"""How long credentials of a role last, and how long they do at least when they are handed out; as EC2's."""


def recipe(image_name: str) -> str:
    """The recipe of an image, by the name that it has in the emulator."""
    return image_name if image_name.startswith(PREPARED) else BARE


@dataclass
class Running:
    """What there is of one server."""

    instance: Instance
    machine: Machine
    namespace: str
    endpoint: Relay
    databases: dict[int, Relay] = field(default_factory=dict)
    outside: frozenset[int] = frozenset()


class Roles:
    """Credentials of roles from the emulator's STS, kept while they last."""

    def __init__(self, home: Path, region: str) -> None:
        self._home = home
        self._region = region
        self._known: dict[str, Credentials] = {}
        self._lock = threading.Lock()

    def credentials(self, role: str) -> Credentials:
        """Those of the role of this name, good for an hour at least. Raises where the emulator is away."""
        with self._lock:
            known = self._known.get(role)
            if known is None or known.expires - datetime.now(UTC) < LEFT:
                known = self._known[role] = self._assume(role)
            return known

    def _assume(self, role: str) -> Credentials:
        endpoint = Endpoint.of(self._home)
        found = client("sts", endpoint.url, self._region).assume_role(
            RoleArn=f"arn:aws:iam::{ACCOUNT}:role/{role}",
            RoleSessionName="server",
            DurationSeconds=int(LASTING.total_seconds()),
        )["Credentials"]
        return Credentials(
            access_key_id=found["AccessKeyId"],
            secret_access_key=found["SecretAccessKey"],
            token=found["SessionToken"],
            expires=found["Expiration"],
        )


class Hardware:
    """The machines and networks of a home."""

    def __init__(self, home: Path, region: str) -> None:
        self._home = home
        self._region = region
        self.directory = directory(home)
        self._networks: dict[str, Network] = {}
        self._metadata: dict[str, MetadataService] = {}
        self._egress: dict[str, EgressProxy] = {}
        self._running: dict[str, Running] = {}
        self._by_address: dict[tuple[str, str], Instance] = {}
        self._building = threading.Lock()
        self._endpoint_port = 0
        self._roles = Roles(home, region)

    def endpoint_moved(self, port: int) -> None:
        """The emulator answers at another port of this machine than before."""
        if port != self._endpoint_port:
            self._endpoint_port = port
            for running in self._running.values():
                running.endpoint.connect = ("127.0.0.1", port)

    # Networks

    def networks(self) -> frozenset[str]:
        """The VPCs that have a network."""
        return frozenset(self._networks)

    def namespace(self, vpc_id: str) -> str | None:
        """The network namespace from which a VPC's load balancer reaches its targets, once it is made."""
        network = self._networks.get(vpc_id)
        return None if network is None else network.namespace

    def create_network(self, vpc: Vpc) -> None:
        """Make a VPC's network, with the metadata service in it."""
        network = Network(vpc)
        network.create()
        service = MetadataService(
            network.namespace,
            METADATA_ADDRESS,
            lambda address: self._by_address.get((vpc.id, address)),
            self._roles.credentials,
            region=self._region,
        )
        service.start()
        self._metadata[vpc.id] = service
        proxy = EgressProxy(
            network.namespace, PROXY_ADDRESS, lambda address, port: self._permitted(vpc.id, address, port)
        )
        proxy.start()
        self._egress[vpc.id] = proxy
        self._networks[vpc.id] = network

    def remove_network(self, vpc_id: str) -> None:
        """Take it away; there is no server in it any more."""
        self._egress.pop(vpc_id).stop()
        self._metadata.pop(vpc_id).stop()
        self._networks.pop(vpc_id).remove()

    def _permitted(self, vpc_id: str, address: str, port: int) -> bool:
        """Whether the server with an address may reach a port of any address."""
        instance = self._by_address.get((vpc_id, address))
        running = self._running.get(instance.id) if instance is not None else None
        return running is not None and port in running.outside

    # Servers

    def image(self, instance: Instance) -> Path:
        """The root of an instance's image; made if it is not there, one image at a time."""
        with self._building:
            return images.ensure(recipe(instance.image_name), cache(), log.info)

    def settings(self, instance: Instance, cloud: Cloud) -> Settings:
        """What security groups permit an instance."""
        return Settings(
            firewall=firewall.render(instance, cloud, router_address(instance.subnet_cidr)),
            databases=frozenset(
                database.port
                for database in cloud.databases
                if database.port
                and firewall.permits(
                    cloud, instance.security_group_ids, database.security_group_ids, POSTGRES_PORT
                )
            ),
            outside=frozenset(
                port
                for port in PROXIED_PORTS
                if firewall.permits_anywhere(cloud, instance.security_group_ids, port)
            ),
        )

    def boot(self, instance: Instance, root: Path, settings: Settings, cloud: Cloud) -> None:
        """Start a server, from its disk if it has one."""
        network = self._networks[instance.vpc_id]
        namespace = network.attach(instance)
        firewall.apply(namespace, settings.firewall)
        self._by_address[instance.vpc_id, instance.private_ip] = instance
        endpoint = self._relay(namespace, self._endpoint_port)
        machine = Machine(
            instance=instance,
            directory=self._directory(instance.id),
            root=root,
            namespace=namespace,
            file_systems=file_systems.folder(self._home),
            access_points=cloud.access_points,
            database_ca=self._home / "postgres" / "ca.pem",
            endpoint_port=self._endpoint_port,
        )
        running = Running(instance, machine, namespace, endpoint, outside=settings.outside)
        self._running[instance.id] = running
        self._set_databases(running, settings.databases)
        machine.start()

    def configure(self, name: str, settings: Settings) -> None:
        """Give a running server other rules."""
        running = self._running[name]
        firewall.apply(running.namespace, settings.firewall)
        self._set_databases(running, settings.databases)
        running.outside = settings.outside

    def alive(self, name: str) -> bool:
        """Whether a server runs."""
        running = self._running.get(name)
        return running is not None and running.machine.alive()

    def booted(self, name: str) -> bool:
        """Whether a server takes commands."""
        running = self._running.get(name)
        return running is not None and running.machine.booted()

    def script(self, name: str, script: Script, cancelled: threading.Event) -> Ended:
        """Run a script of Run Command in a server."""
        running = self._running.get(name)
        if running is None:
            return undeliverable()
        more = {"AWS_SSM_INSTANCE_ID": name, "AWS_SSM_REGION_NAME": self._region}
        return running.machine.script(script, cancelled, more=more)

    def power_off(self, name: str, seconds: float) -> None:
        """Shut a server down, and take its network away; its disk stays."""
        running = self._running.get(name)
        if running is None:
            return
        running.machine.stop(seconds)
        for relay in (running.endpoint, *running.databases.values()):
            relay.stop()
        running.databases.clear()
        self._by_address.pop((running.instance.vpc_id, running.instance.private_ip), None)
        self._networks[running.instance.vpc_id].detach(name)

    def remove(self, name: str) -> None:
        """Forget a server, its disk too."""
        self.power_off(name, 0)
        running = self._running.pop(name, None)
        if running is not None:
            running.machine.remove()

    def console(self, name: str) -> tuple[str, ...]:
        """The last lines that a server wrote."""
        return last_lines(self._directory(name) / "console.log")

    def _directory(self, name: str) -> Path:
        return self.directory / "instances" / name

    def _relay(self, namespace: str, port: int) -> Relay:
        relay = Relay(namespace, ("127.0.0.1", port), ("127.0.0.1", port))
        relay.start()
        return relay

    def _set_databases(self, running: Running, ports: frozenset[int]) -> None:
        for port in running.databases.keys() - ports:
            running.databases.pop(port).stop()
        for port in ports - running.databases.keys():
            running.databases[port] = self._relay(running.namespace, port)
