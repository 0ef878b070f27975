"""Networks of VPCs: real interfaces in namespaces of the test's own."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path

import pytest

from local.nodes.model import Instance, Vpc
from local.nodes.namespaces import launch, sweep
from local.nodes.network import Network, mac_address, router_address
from local.nodes.requirements import missing
from local.processes import identity

lacking = missing()
needs_machine = pytest.mark.skipif(bool(lacking), reason="; ".join(lacking))
VPC = Vpc(id="vpc-0123456789abcdef0", cidr="10.20.0.0/16")


def instance(number: int, private_ip: str, subnet: str) -> Instance:
    return Instance(
        id=f"i-0123456789abcdef{number}",
        state="running",
        image_name="debian-13",
        instance_type="m7g.large",
        private_ip=private_ip,
        subnet_cidr=subnet,
        availability_zone="eu-central-1a",
        vpc_id=VPC.id,
        role_name=None,
        user_data=b"",
        group_name=None,
    )


FIRST = instance(1, "10.20.1.10", "10.20.1.0/24")
SECOND = instance(2, "10.20.2.10", "10.20.2.0/24")


def inside(namespace: str, *command: str) -> str:
    done = subprocess.run(
        ["ip", "netns", "exec", namespace, *command], capture_output=True, text=True, check=False
    )
    return done.stdout + done.stderr


def talks(listener: str, address: str, client: str) -> str:
    """The address that a TCP connection from one namespace to another has there."""
    serve = "import socket,sys; s=socket.create_server((sys.argv[1],5000)); print(1,flush=True); s.accept()"
    call = "import socket,sys; print(socket.create_connection((sys.argv[1],5000),1).getsockname()[0])"
    server = subprocess.Popen(
        ["ip", "netns", "exec", listener, sys.executable, "-c", serve, address], stdout=subprocess.PIPE
    )
    try:
        assert server.stdout is not None
        server.stdout.readline()
        return inside(client, sys.executable, "-c", call, address).strip()
    finally:
        server.kill()
        server.communicate()


def experiment() -> dict[str, object]:
    """What a network does; runs in namespaces of its own."""
    network = Network(VPC)
    network.create()
    network.create()
    seen: dict[str, object] = {"attached": [network.attach(FIRST), network.attach(SECOND)]}
    seen["again"] = network.attach(FIRST)
    first, second = FIRST.id, SECOND.id
    seen["to the other subnet"] = talks(second, SECOND.private_ip, first)
    seen["to the router"] = talks(network.namespace, router_address(FIRST.subnet_cidr), first)
    seen["to the metadata"] = talks(network.namespace, "169.254.169.254", second)
    seen["to the proxy"] = talks(network.namespace, "169.254.169.252", second)
    seen["from the router to the second"] = talks(second, SECOND.private_ip, network.namespace)
    seen["from the router"] = talks(first, FIRST.private_ip, network.namespace)
    seen["elsewhere"] = inside(
        first, sys.executable, "-c", "import socket; socket.create_connection(('198.51.100.1',80),1)"
    ).splitlines()[-1]
    seen["forwarding"] = inside(network.namespace, "cat", "/proc/sys/net/ipv4/ip_forward").strip()
    seen["addresses"] = inside(first, "ip", "-o", "addr", "show", "dev", "eth0").split()[2:4]
    seen["mac"] = inside(first, "cat", "/sys/class/net/eth0/address").strip()
    seen["IPv6"] = inside(first, "ip", "-6", "-o", "addr", "show", "dev", "eth0")
    network.detach(first)
    network.detach(first)
    seen["without the first"] = sorted(path.name for path in Path("/run/netns").iterdir())
    network.attach(FIRST)
    seen["once more"] = talks(second, SECOND.private_ip, first)
    network.detach(first)
    network.detach(second)
    network.remove()
    seen["left"] = sorted(path.name for path in Path("/run/netns").iterdir())
    return seen


def test_addresses_follow_from_the_subnet() -> None:
    assert router_address("10.20.1.0/24") == "10.20.1.1"
    assert router_address("10.20.1.128/26") == "10.20.1.129"
    assert mac_address("10.20.1.10") == "02:0a:0a:14:01:0a"


@needs_machine
def test_instances_reach_each_other_and_the_router_and_nothing_else(tmp_path: Path) -> None:
    def interfaces() -> list[str]:
        return sorted(path.name for path in Path("/sys/class/net").iterdir())

    before = interfaces()
    code = (
        "import json; from pathlib import Path; from tests.local.nodes.test_network import experiment;"
        f"Path({str(tmp_path / 'seen')!r}).write_text(json.dumps(experiment()))"
    )
    pid = launch([sys.executable, "-c", code], tmp_path, tmp_path / "log")
    while identity(pid):
        assert interfaces() == before
        time.sleep(0.05)
    sweep(tmp_path)
    assert (tmp_path / "log").read_text() == ""
    assert json.loads((tmp_path / "seen").read_text()) == {
        "attached": [FIRST.id, SECOND.id],
        "again": FIRST.id,
        "to the other subnet": "10.20.1.10",
        "to the router": "10.20.1.10",
        "to the metadata": "10.20.2.10",
        "to the proxy": "10.20.2.10",
        "from the router to the second": "10.20.2.1",
        "from the router": "10.20.1.1",
        "elsewhere": "TimeoutError: timed out",
        "forwarding": "0",
        "addresses": ["inet", "10.20.1.10/24"],
        "mac": "02:0a:0a:14:01:0a",
        "IPv6": "",
        "without the first": [SECOND.id, VPC.id],
        "once more": "10.20.1.10",
        "left": [],
    }
