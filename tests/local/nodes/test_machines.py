"""Containers as servers, with a root of a few files whose first process is a shell script.

What real systemd, cloud-init and Odoo make of it is shown end to end.
"""

from __future__ import annotations

import dataclasses
import gzip
import json
import os
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from hashlib import sha256
from pathlib import Path

import pytest

from local.nodes.file_systems import MountError
from local.nodes.machines import Machine, MachineError
from local.nodes.model import AccessPoint, CreationInfo, Instance
from local.nodes.namespaces import hierarchies, launch, own_group, sweep
from local.nodes.requirements import missing
from local.nodes.shell import Ended, Script
from local.processes import identity

lacking = missing()
needs_machine = pytest.mark.skipif(bool(lacking), reason="; ".join(lacking))
INIT = """#!/bin/sh
echo "up as $(cat /etc/machine-id)"
echo once more >> /var/boots
trap 'echo powering off; exit 0' 37
{extra}
while :; do sleep 0.05; done
"""
STUBBORN = "trap 'echo no' 37"
FILES = "fs-0123456789abcdef0"
STORE = AccessPoint(
    id="fsap-1",
    file_system_id=FILES,
    path="/odoo",
    creation=CreationInfo(uid=10001, gid=10001, permissions=0o750),
)


def instance(user_data: bytes = b"fsap-1", number: int = 1) -> Instance:
    return Instance(
        id=f"i-0123456789abcdef{number}",
        state="running",
        image_name="openerp-19.0",
        instance_type="m7g.large",
        private_ip="10.20.1.10",
        subnet_cidr="10.20.1.0/24",
        availability_zone="eu-central-1a",
        vpc_id="vpc-1",
        role_name=None,
        user_data=user_data,
        group_name=None,
    )


def copied(root: Path, programs: Iterable[str]) -> None:
    """Programs of this machine, with their libraries."""
    for program in programs:
        found = shutil.which(program)
        assert found
        listed = subprocess.run(["ldd", found], capture_output=True, text=True, check=False).stdout
        libraries = [word for word in listed.split() if word.startswith("/")]
        for path in (found, *libraries):
            target = root / path.removeprefix("/")
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(path, target)


def tiny_root(root: Path, extra: str = "") -> Path:
    for name in ("usr/lib", "etc", "proc", "sys", "dev", "run", "tmp", "var", "sbin", "bin"):
        (root / name).mkdir(parents=True)
    copied(root, ("sh", "sleep", "cat", "touch", "stat", "id"))
    (root / "usr/lib/os-release").write_text("ID=tiny\n")
    (root / "etc/machine-id").write_text("")
    (root / "sbin/init").write_text(INIT.format(extra=extra))
    (root / "sbin/init").chmod(0o755)
    if not (root / "bin/sh").exists():
        (root / "bin/sh").symlink_to(str(shutil.which("sh")))
    return root


def machine(
    place: Path,
    root: Path,
    of: Instance,
    access_points: Sequence[AccessPoint] = (STORE,),
    *,
    joined: bool = True,
) -> Machine:
    (place / "ca.pem").write_text("the authority")
    namespace = Path("/run/netns/server")
    if joined and not namespace.exists():
        subprocess.run(["ip", "netns", "add", "server"], check=True)
    return Machine(
        instance=of,
        directory=place / "instances" / of.id,
        root=root,
        namespace="server",
        file_systems=place / "file-systems",
        access_points=access_points,
        database_ca=place / "ca.pem",
        endpoint_port=5000,
    )


def until(condition: Callable[[], object], seconds: float = 10) -> None:
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            raise TimeoutError
        time.sleep(0.02)


def groups(of: Instance) -> list[str]:
    return [str(path) for top in hierarchies() if (path := top / own_group() / of.id).exists()]


def life(place: Path) -> dict[str, object]:
    """A server from its first start to its removal."""
    server = machine(place, tiny_root(place / "image"), instance())
    seen: dict[str, object] = {"before": [server.alive(), server.run("id").returncode]}
    server.stop(1)
    server.start()
    until(lambda: "up as" in server.console.read_text())
    seen["console"] = server.console.read_text().split()[:2]
    seen["groups"] = len(groups(server.instance))
    seen["environment"] = server.run("cat", "/etc/openerp/aws.env").stdout
    seen["authority"] = server.run("cat", "/etc/openerp/database-ca.pem").stdout
    seen["provided"] = server.run("stat", "-c", "%s", "/etc/openerp/file-store-provided").stdout
    seen["store"] = server.run("stat", "-c", "%u:%g %a", "/srv/openerp").stdout
    seen["written"] = server.run("touch", "/srv/openerp/file").returncode
    seen["failing"] = server.run("sh", "-c", "echo bad >&2; exit 3").stderr
    identity_file = server.run("cat", "/etc/machine-id").stdout
    server.start()
    began = time.monotonic()
    server.stop(10)
    seen["clean"] = [server.alive(), "powering off" in server.console.read_text()]
    seen["quick"] = time.monotonic() - began < 9
    seen["groups afterwards"] = groups(server.instance)
    server.start()
    until(lambda: server.run("cat", "/var/boots").stdout.count("\n") == 2)
    seen["same identity"] = server.run("cat", "/etc/machine-id").stdout == identity_file
    server.kill()
    server.kill()
    seen["killed"] = [server.alive(), groups(server.instance)]
    seen["image"] = (place / "image/etc/machine-id").read_text()
    seen["mounts"] = str(place) in Path("/proc/self/mounts").read_text()
    server.remove()
    seen["left"] = [path.name for path in (place / "instances").iterdir()]
    seen["file store"] = [path.name for path in (place / "file-systems" / FILES / "odoo").iterdir()]
    return seen


def scripts(place: Path) -> dict[str, object]:
    """Scripts of Run Command in a server that ends in the midst of one."""
    root = tiny_root(place / "image", "mkdir /run/cloud-init; : > /run/cloud-init/result.json")
    copied(root, ("mkdir",))
    (root / "usr/bin").mkdir(exist_ok=True)
    server = machine(place, root, instance())

    def run(text: str, seconds: float = 30) -> Ended:
        return server.script(Script(text=text, seconds=seconds), threading.Event(), more={"MORE": "more"})

    seen: dict[str, object] = {"off": [server.booted(), run("id").details]}
    server.start()
    until(server.booted)
    seen["on"] = run("id -u; pwd; cat /etc/machine-id; echo $MORE $$ 2>&1").stdout.split()[:4]
    seen["own processes"] = run("test $$ -lt 1000").status
    seen["interpreter"] = run(f"#!{shutil.which('cat')}\nas it is").stdout.splitlines()[1:]
    seen["late"] = run("sleep 60", 0.5).details
    ends: list[Ended] = []
    thread = threading.Thread(target=lambda: ends.append(run("echo begun; sleep 60")))
    thread.start()
    time.sleep(1)
    server.kill()
    thread.join()
    seen["lost"] = [(each.status, each.details, each.code) for each in ends]
    server.remove()
    return seen


def stubborn(place: Path) -> dict[str, object]:
    """A server that takes no notice of a power-off."""
    server = machine(place, tiny_root(place / "image", STUBBORN), instance())
    server.start()
    until(lambda: "up as" in server.console.read_text())
    began = time.monotonic()
    server.stop(0.5)
    return {"took": time.monotonic() - began >= 0.5, "alive": server.alive()}


def ending(place: Path) -> dict[str, object]:
    """A server that ends by itself, one that talks much, and one that cannot start."""
    server = machine(place, tiny_root(place / "image", "exit 0"), instance())
    server.start()
    until(lambda: not server.alive())
    server.start()
    until(lambda: not server.alive())
    server.kill()
    talk = "i=0; line=$(cat /line); while [ $i -lt 1300 ]; do echo $line; i=$((i+1)); done"
    image = tiny_root(place / "talking", talk)
    (image / "line").write_text("x" * 1000)
    talking = machine(place, image, instance(number=2))
    talking.start()
    old = talking.console.with_name("console.log.1")
    until(old.exists)
    talking.kill()
    broken = machine(place, place / "no image", instance(number=3))
    try:
        broken.start()
        message = ""
    except Exception as error:
        message = f"{type(error).__name__} {error}"
    return {
        "boots": server.console.read_text().count("up as"),
        "old": 1_000_000 < old.stat().st_size < 1_100_000,
        "new": talking.console.stat().st_size < 500_000,
        "message": message.splitlines()[0][:36],
    }


def experiment(name: str, place: Path) -> None:
    """Called in namespaces of its own."""
    (place / "seen").write_text(json.dumps(globals()[name](place)))


def seen(name: str, place: Path) -> dict[str, object]:
    code = f"from pathlib import Path; from tests.local.nodes.test_machines import experiment; experiment({name!r}, Path({str(place)!r}))"  # noqa: E501
    pid = launch([sys.executable, "-c", code], place, place / "log")
    until(lambda: identity(pid) is None, 60)
    sweep(place)
    assert (place / "log").read_text() == ""
    found: dict[str, object] = json.loads((place / "seen").read_text())
    return found


@needs_machine
def test_a_server_keeps_its_disk_until_it_is_removed(tmp_path: Path) -> None:
    assert seen("life", tmp_path) == {
        "before": [False, 255],
        "console": ["up", "as"],
        "groups": len(hierarchies()),
        "environment": "AWS_ENDPOINT_URL=http://127.0.0.1:5000\n",
        "authority": "the authority",
        "provided": "0\n",
        "store": "10001:10001 750\n",
        "written": 0,
        "failing": "bad\n",
        "clean": [False, True],
        "quick": True,
        "groups afterwards": [],
        "same identity": True,
        "killed": [False, []],
        "image": "",
        "mounts": False,
        "left": [],
        "file store": ["file"],
    }


@needs_machine
def test_scripts_run_in_a_server_as_root_and_end_with_it(tmp_path: Path) -> None:
    assert seen("scripts", tmp_path) == {
        "off": [False, "Undeliverable"],
        "on": ["0", "/usr/bin", sha256(instance().id.encode()).hexdigest()[:32], "more"],
        "own processes": "Success",
        "interpreter": ["as it is"],
        "late": "ExecutionTimedOut",
        "lost": [["Failed", "Undeliverable", -1]],
    }


@needs_machine
def test_a_server_that_does_not_power_off_in_time_is_killed(tmp_path: Path) -> None:
    assert seen("stubborn", tmp_path) == {"took": True, "alive": False}


@needs_machine
def test_a_server_may_end_by_itself_and_its_console_log_stays_short(tmp_path: Path) -> None:
    assert seen("ending", tmp_path) == {
        "boots": 2,
        "old": True,
        "new": True,
        "message": "MachineError i-0123456789abcdef3: mo",
    }


def mounted(tmp_path: Path, user_data: bytes, *access_points: AccessPoint) -> Path | None:
    made = Machine(
        instance=instance(user_data),
        directory=tmp_path / "server",
        root=tmp_path,
        namespace="server",
        file_systems=tmp_path / "file-systems",
        access_points=access_points,
        database_ca=tmp_path,
        endpoint_port=1,
    )
    return made._file_store()


def test_a_server_mounts_the_access_point_that_its_user_data_name(tmp_path: Path) -> None:
    other = AccessPoint(id="fsap-2", file_system_id="fs-2", path="/")
    text = gzip.compress(f"access_point_id: {STORE.id}".encode())
    store = dataclasses.replace(
        STORE, creation=CreationInfo(uid=os.getuid(), gid=os.getgid(), permissions=0o750)
    )
    assert mounted(tmp_path, text, other, store) == tmp_path / "file-systems" / FILES / "odoo"
    assert mounted(tmp_path, b"", other) is None
    assert mounted(tmp_path, text) is None
    with pytest.raises(MountError, match="more than one access point: fsap-1, fsap-2"):
        mounted(tmp_path, b"fsap-1 fsap-2", store, other)


def test_a_server_whose_access_point_leads_nowhere_does_not_start_and_says_so(tmp_path: Path) -> None:
    access = AccessPoint(id="fsap-3", file_system_id=FILES, path="/not/there")
    made = machine(tmp_path, tmp_path, instance(b"fsap-3"), (access,), joined=False)
    with pytest.raises(MachineError, match=r"fsap-3 cannot be mounted: .* has no directory /not/there"):
        made.start()
    assert not made.alive()
