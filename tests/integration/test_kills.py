"""The whole deployment on one machine, killed again and again: nothing is made twice, nothing is lost.

When each kill comes is drawn from a seed (OPENERP_TEST_SEED; a failure names it), by progress: after so many
lines of the display, and up to a third of a second later. Not proved here: kills at every point of a single
creation, which tests/local/engine/test_recovery.py does with a small provider.
"""

from __future__ import annotations

import json
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from local.emulator import running, stop
from tests.local.emulator.conftest import make_client

ROOT = Path(__file__).resolve().parents[2]
COPIED = ("local", "core", "components", "deployment", "ops")
REGION = "eu-central-1"
SEED = int(os.environ.get("OPENERP_TEST_SEED", "20261101"))
DONE = re.compile(r" (created|updated|deleted) \(\d")


class Machine:
    """A copy of the project with a home of its own."""

    def __init__(self, directory: Path) -> None:
        self.project, self.home = directory / "project", directory / "home"
        for name in COPIED:
            shutil.copytree(ROOT / name, self.project / name, ignore=shutil.ignore_patterns("__pycache__"))
        for path in [*ROOT.glob("*.py"), *ROOT.glob("Pulumi*.yaml")]:
            shutil.copy(path, self.project)
        self.random = random.Random(SEED)

    def begin(self, *command: str) -> subprocess.Popen[str]:
        """Start a command in a process group of its own."""
        return subprocess.Popen(
            [sys.executable, "-m", "local", *command, "--engine", "offline"],
            cwd=self.project,
            env={**os.environ, "OPENERP_LOCAL_HOME": str(self.home)},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )

    def run(self, *command: str, status: int = 0) -> str:
        """Run a command to its end; what it printed."""
        process = self.begin(*command)
        try:
            printed, _ = process.communicate(timeout=120)
        finally:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
        assert process.returncode == status, f"{' '.join(command)}, seed {SEED}:\n{printed}"
        return printed

    def until(self, done: int, *command: str) -> tuple[subprocess.Popen[str], list[str]]:
        """Start a command, and return shortly after it has done so many things."""
        process = self.begin(*command)
        assert process.stdout is not None
        watchdog = threading.Timer(120, os.killpg, (process.pid, signal.SIGKILL))
        watchdog.start()
        lines: list[str] = []
        for line in process.stdout:
            lines.append(line)
            done -= bool(DONE.search(line))
            if done <= 0:
                break
        watchdog.cancel()
        if done > 0:
            process.communicate()
            pytest.fail(f"{' '.join(command)} ended too early, seed {SEED}:\n{''.join(lines)}")
        time.sleep(self.random.uniform(0, 0.3))
        return process, lines

    def killed(self, done: int, *command: str) -> None:
        """Kill a command, and all of its processes but the emulator, after it has done so many things."""
        process, _ = self.until(done, *command)
        os.killpg(process.pid, signal.SIGKILL)
        process.communicate()

    def emulator_killed(self, done: int, *command: str) -> str:
        """Kill the emulator under a command; what the command says at its end."""
        process, lines = self.until(done, *command)
        emulator = running(self.home)
        assert emulator is not None
        os.kill(emulator.pid, signal.SIGKILL)
        printed, _ = process.communicate(timeout=120)
        assert process.returncode == 1, f"seed {SEED}:\n{printed}"
        return "".join(lines) + printed

    def set(self, old: str, new: str) -> None:
        """Change the stack's settings."""
        path = self.project / "Pulumi.local.yaml"
        text = path.read_text()
        assert text.count(old) == 1
        path.write_text(text.replace(old, new))

    def client(self, service: str) -> Any:
        """A client of the emulator."""
        emulator = running(self.home)
        assert emulator is not None
        return make_client(emulator, service, REGION)

    def recorded(self) -> Counter[str]:
        """How many resources of each type the state holds."""
        path = self.home / "state" / ".pulumi" / "stacks" / "openerp" / "local.json"
        latest = json.loads(path.read_text())["checkpoint"]["latest"]
        assert "pending_operations" not in latest
        return Counter(item["type"] for item in latest.get("resources", []))

    def found(self) -> dict[str, int]:
        """How many things of each kind the emulator has that are none of its own."""
        ec2, kms, efs, elbv2 = (self.client(name) for name in ("ec2", "kms", "efs", "elbv2"))
        keys = [kms.describe_key(KeyId=key["KeyId"])["KeyMetadata"] for key in kms.list_keys()["Keys"]]
        vpcs = [vpc["VpcId"] for vpc in ec2.describe_vpcs()["Vpcs"] if not vpc["IsDefault"]]
        inside = [{"Name": "vpc-id", "Values": vpcs or ["none"]}]
        groups = ec2.describe_security_groups(Filters=inside)["SecurityGroups"]
        gateways = ec2.describe_nat_gateways()["NatGateways"]
        systems = efs.describe_file_systems()["FileSystems"]
        mounts = [efs.describe_mount_targets(FileSystemId=each["FileSystemId"]) for each in systems]
        backups = self.client("backup").list_backup_plans()["BackupPlansList"]
        scaling = self.client("autoscaling").describe_auto_scaling_groups()
        return {
            "aws:ec2/vpc:Vpc": len(vpcs),
            "aws:ec2/subnet:Subnet": len(ec2.describe_subnets(Filters=inside)["Subnets"]),
            "aws:ec2/eip:Eip": len(ec2.describe_addresses()["Addresses"]),
            "aws:ec2/natGateway:NatGateway": sum(each["State"] == "available" for each in gateways),
            "aws:ec2/internetGateway:InternetGateway": len(
                ec2.describe_internet_gateways()["InternetGateways"]
            ),
            "aws:ec2/securityGroup:SecurityGroup": sum(each["GroupName"] != "default" for each in groups),
            "aws:ec2/launchTemplate:LaunchTemplate": len(ec2.describe_launch_templates()["LaunchTemplates"]),
            "aws:kms/key:Key": sum(
                # AWS's own key for EBS comes with the first volume.
                key["KeyState"] == "Enabled" and not key["Description"].startswith("Default master key")
                for key in keys
            ),
            "aws:rds/instance:Instance": len(self.client("rds").describe_db_instances()["DBInstances"]),
            "aws:efs/fileSystem:FileSystem": len(systems),
            "aws:efs/mountTarget:MountTarget": sum(len(each["MountTargets"]) for each in mounts),
            "aws:lb/loadBalancer:LoadBalancer": len(elbv2.describe_load_balancers()["LoadBalancers"]),
            "aws:lb/targetGroup:TargetGroup": len(elbv2.describe_target_groups()["TargetGroups"]),
            "aws:lb/trustStore:TrustStore": len(elbv2.describe_trust_stores()["TrustStores"]),
            "aws:autoscaling/group:Group": len(scaling["AutoScalingGroups"]),
            "aws:iam/role:Role": len(self.client("iam").list_roles()["Roles"]),
            "aws:s3/bucket:Bucket": len(self.client("s3").list_buckets()["Buckets"]),
            "aws:sns/topic:Topic": len(self.client("sns").list_topics()["Topics"]),
            "aws:cloudwatch/logGroup:LogGroup": len(self.client("logs").describe_log_groups()["logGroups"]),
            "aws:acm/certificate:Certificate": len(
                self.client("acm").list_certificates()["CertificateSummaryList"]
            ),
            "aws:backup/plan:Plan": len(backups),
        }

    def agrees(self) -> None:
        """State, emulator and settings say the same."""
        recorded, found = self.recorded(), self.found()
        assert found == {kind: recorded[kind] for kind in found}, f"seed {SEED}"
        self.run("preview", "--expect-no-changes")


@pytest.fixture
def machine(tmp_path: Path) -> Iterator[Machine]:
    made = Machine(tmp_path)
    try:
        yield made
    finally:
        stop(made.home)


def test_a_deployment_that_is_killed_again_and_again_is_whole_in_the_end(machine: Machine) -> None:
    draw = machine.random.randint
    for _ in range(2):
        machine.killed(draw(1, 45), "up")
    said = machine.emulator_killed(draw(5, 25), "up")
    errors = [line for line in said.splitlines() if line.startswith("error")]
    assert len(errors) == 1, said
    assert "Traceback" not in said
    machine.run("up")
    machine.agrees()
    found = machine.found()
    assert found["aws:ec2/vpc:Vpc"] == found["aws:rds/instance:Instance"] == 1
    assert found["aws:ec2/eip:Eip"] == 1
    assert found["aws:efs/mountTarget:MountTarget"] == 2

    machine.set("simultaneous: 8", "simultaneous: 16")
    machine.set("cidr: 10.50.0.0/16", "cidr: 10.50.0.0/16\n    flowLogRetentionDays: 14")
    machine.set("name: webshop-integration", "name: webshop-integration\n    - number: 3\n      name: till")
    machine.killed(draw(1, 4), "up")
    machine.run("up")
    machine.agrees()

    for _ in range(2):
        machine.killed(draw(2, 60), "destroy")
    machine.run("destroy")
    assert not machine.recorded()
    left = {kind: count for kind, count in machine.found().items() if count}
    assert left == {"aws:kms/key:Key": 3, "aws:efs/fileSystem:FileSystem": 1}, f"seed {SEED}"
    snapshots = machine.client("rds").describe_db_snapshots()["DBSnapshots"]
    assert snapshots
    assert {snapshot["Status"] for snapshot in snapshots} == {"available"}
