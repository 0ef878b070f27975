"""One network namespace for each VPC, with a bridge as its router, and one for each instance.

Interfaces are made inside these namespaces, never in the machine's own. Nothing is forwarded: instances of
a VPC reach each other over the bridge, and everything else ends at the router, where a few services listen
(metadata, egress proxy).
"""

from __future__ import annotations

import ipaddress
import subprocess
from pathlib import Path
from typing import Final

from local.nodes.model import Instance, Vpc

NAMESPACES: Final = Path("/run/netns")
BRIDGE: Final = "vpc"
METADATA_ADDRESS: Final = "169.254.169.254"
"""Of instance metadata, as on EC2."""
PROXY_ADDRESS: Final = "169.254.169.252"
"""Of the egress proxy; from the range in which VPCs keep services of their own."""
PROXY_PORT: Final = 3128
PROXIED_PORTS: Final = (80, 443)
"""The ports of other hosts that the egress proxy connects to."""


class NetworkError(Exception):
    """A network cannot be made; the message is `ip`'s."""


def router_address(subnet_cidr: str) -> str:
    """The VPC router's address in a subnet: the first one, as on AWS."""
    return str(ipaddress.ip_network(subnet_cidr)[1])


def mac_address(private_ip: str) -> str:
    """The MAC address of an instance's interface, from its address: stays the same for a restarted one."""
    packed = ipaddress.IPv4Address(private_ip).packed
    return ":".join(f"{byte:02x}" for byte in (0x02, 0x0A, *packed))


def _run(command: list[str], text: str | None = None) -> None:
    done = subprocess.run(command, input=text, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise NetworkError(f"{' '.join(command)}: {(done.stderr or done.stdout).strip()}")


def _ip(namespace: str, *lines: str) -> None:
    """Run `ip` commands, one a line, in a namespace: all in one process."""
    _run(["ip", "-n", namespace, "-batch", "-"], "\n".join(lines) + "\n")


def _add(namespace: str) -> None:
    """A namespace without forwarding, and without IPv6 but on loopback."""
    _run(["ip", "netns", "add", namespace])
    values = "echo 0 > ipv4/ip_forward; test ! -d ipv6 || echo 1 > ipv6/conf/default/disable_ipv6"
    _run(["ip", "netns", "exec", namespace, "sh", "-ec", f"cd /proc/sys/net; {values}"])
    _ip(namespace, "link set lo up")


def _delete(namespace: str) -> None:
    if (NAMESPACES / namespace).exists():
        _run(["ip", "netns", "delete", namespace])


def _port(instance_id: str) -> str:
    """The bridge's end of an instance's cable; Linux takes 15 characters."""
    return f"v{instance_id.removeprefix('i-')[-14:]}"


class Network:
    """The network of one VPC. Must be used in the mount namespace of `local.nodes.namespaces`."""

    def __init__(self, vpc: Vpc) -> None:
        self.vpc = vpc
        self._subnets: set[str] = set()

    @property
    def namespace(self) -> str:
        """The router's namespace, a name in /run/netns."""
        return self.vpc.id

    def create(self) -> None:
        """Make the router, unless it is there."""
        if (NAMESPACES / self.namespace).exists():
            return
        _add(self.namespace)
        _ip(
            self.namespace,
            f"link add name {BRIDGE} type bridge forward_delay 0",
            f"addr add {METADATA_ADDRESS}/32 dev {BRIDGE}",
            f"addr add {PROXY_ADDRESS}/32 dev {BRIDGE}",
            f"link set {BRIDGE} up",
        )

    def add_subnet(self, subnet_cidr: str) -> None:
        """Give the router its address in a subnet, unless it has it."""
        if subnet_cidr not in self._subnets:
            address = router_address(subnet_cidr)
            # Firewalls of instances know the load balancer by this address.
            _ip(
                self.namespace,
                f"addr replace {address}/32 dev {BRIDGE}",
                f"route replace {subnet_cidr} dev {BRIDGE} src {address}",
            )
            self._subnets.add(subnet_cidr)

    def attach(self, instance: Instance) -> str:
        """Make an instance's namespace with its interface eth0; returns the namespace's name."""
        name = instance.id
        if (NAMESPACES / name).exists():
            return name
        self.add_subnet(instance.subnet_cidr)
        _add(name)
        port, mac = _port(name), mac_address(instance.private_ip)
        try:
            _ip(
                self.namespace,
                f"link add name {port} type veth peer name eth0 address {mac} netns {name}",
                f"link set {port} master {BRIDGE} up",
            )
            prefix = ipaddress.ip_network(instance.subnet_cidr).prefixlen
            router = router_address(instance.subnet_cidr)
            _ip(
                name,
                f"addr add {instance.private_ip}/{prefix} dev eth0",
                "link set eth0 up",
                f"route replace {self.vpc.cidr} dev eth0 src {instance.private_ip}",
                f"route add {METADATA_ADDRESS}/32 dev eth0 src {instance.private_ip}",
                f"route add {PROXY_ADDRESS}/32 dev eth0 src {instance.private_ip}",
                f"route add default via {router} src {instance.private_ip}",
            )
        except NetworkError:
            _delete(name)
            raise
        return name

    def detach(self, instance_id: str) -> None:
        """Pull the cable and remove the namespace, which lasts until its last process has ended."""
        if (NAMESPACES / instance_id).exists():
            # At once, not when the kernel gets round to it: the name is free for the next start.
            _ip(self.namespace, f"link delete {_port(instance_id)}")
            _delete(instance_id)

    def remove(self) -> None:
        """Remove the router; instances must have been detached."""
        _delete(self.namespace)
