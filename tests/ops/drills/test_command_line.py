"""`ops drill` and `ops drills` as an operator types them, each a process of its own."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from core.checkpoint import Manifest
from local.emulator import Emulator
from ops.console import Reporter
from ops.drills import leftovers, own
from ops.site import Site
from tests.ops.drills.conftest import STACK, Deployment, take

ROOT = Path(__file__).parents[3]
Ops = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture(scope="module")
def evening(deployment: Deployment, tmp_path_factory: pytest.TempPathFactory) -> Manifest:
    return take(deployment.site(tmp_path_factory.mktemp("evening")), "evening")


@pytest.fixture
def site(deployment: Deployment, tmp_path: Path) -> Iterator[Site]:
    made = deployment.site(tmp_path)
    yield made
    leftovers.clean(made, kept_too=True)


@pytest.fixture
def environment(deployment: Deployment, site: Site, emulator: Emulator, tmp_path: Path) -> dict[str, str]:
    """A project whose `pulumi` gives the stack's outputs."""
    (tmp_path / "Pulumi.yaml").write_text("name: openerp\n")
    program = tmp_path / "bin" / "pulumi"
    program.parent.mkdir()
    program.write_text(f"#!/bin/sh\nexec cat {tmp_path}/outputs.json\n")
    program.chmod(0o755)
    return {
        "PATH": f"{program.parent}:{os.environ['PATH']}",
        "PYTHONPATH": str(ROOT),
        "AWS_ENDPOINT_URL": emulator.endpoint_url,
        "AWS_ACCESS_KEY_ID": "local",
        "AWS_SECRET_ACCESS_KEY": "local",
        "OPENERP_FILE_SYSTEMS": str(deployment.file_systems),
        "NO_COLOR": "1",
    }


@pytest.fixture
def ops(environment: dict[str, str], tmp_path: Path) -> Ops:
    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "ops", *arguments, "--stack", STACK],
            cwd=tmp_path,
            env=environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )

    return run


def there(site: Site) -> dict[str, Any]:
    return own.Own(site.stack, site.aws, Reporter()).look()


def test_a_drill_prints_its_report_and_puts_it_where_it_is_told(
    ops: Ops, site: Site, evening: Manifest, tmp_path: Path
) -> None:
    done = ops("drill", "evening", "--yes", "--output", str(tmp_path / "reports"))
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith(f"restore evening beside {STACK}") or "# Drill of prod" in done.stdout
    (page,) = (tmp_path / "reports").glob("*.md")
    (document,) = (tmp_path / "reports").glob("*.json")
    assert page.read_text() in done.stdout
    kept = json.loads(document.read_text())
    assert kept["ok"] is True
    assert (site.store.read_bytes(f"drills/{page.name}") or b"").decode() == page.read_text()
    assert site.store.read(f"drills/{document.name}") == kept
    assert there(site) == {}


def test_machines_get_json_alone_on_standard_output(ops: Ops, evening: Manifest) -> None:
    done = ops("drill", "evening", "--yes", "--json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["checkpoint"] == "evening"
    assert "restore evening beside prod" in done.stderr


def test_a_drill_that_is_not_good_ends_with_status_1_and_its_report(
    ops: Ops, site: Site, evening: Manifest
) -> None:
    gone = evening.model_copy(
        update={"label": "gone", "snapshot": evening.snapshot.model_copy(update={"identifier": "gone-2"})}
    )
    site.store.write("checkpoints/gone.json", gone.text().encode())
    done = ops("drill", "gone", "--yes")
    assert done.returncode == 1
    assert "**NOT GOOD: checkpoint gone cannot be restored" in done.stdout
    assert done.stderr == ""


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("nothing", "--yes"), "prod has no checkpoint nothing"),
        (("evening",), "Nobody can be asked here: say --yes"),
        (("evening", "--file-systems", "/nowhere", "--yes"), "there is no folder /nowhere"),
    ],
)
def test_what_cannot_begin_is_one_sentence(
    ops: Ops, site: Site, evening: Manifest, arguments: tuple[str, ...], said: str
) -> None:
    done = ops("drill", *arguments)
    assert done.returncode == 1
    (line,) = done.stderr.splitlines()
    assert line.startswith("error: ")
    assert said in line
    assert there(site) == {}


def test_a_dry_run_says_what_it_would_do_and_does_nothing(ops: Ops, site: Site, evening: Manifest) -> None:
    drills = site.store.list("drills/")
    done = ops("drill", "evening", "--dry-run")
    assert done.returncode == 0, done.stderr
    assert f"snapshot         {evening.snapshot.identifier}\n" in done.stdout
    assert "application      not started: no servers here" in done.stdout
    assert "removes first    nothing\n" in done.stdout
    assert site.store.list("drills/") == drills
    assert there(site) == {}


def test_what_was_kept_is_removed_on_demand(ops: Ops, site: Site, evening: Manifest) -> None:
    done = ops("drill", "evening", "--yes", "--keep")
    assert done.returncode == 0, done.stderr
    assert "python -m ops drill --clean --stack prod" in done.stdout
    (drill,) = there(site)
    would = ops("drill", "--clean", "--dry-run", "--json")
    assert json.loads(would.stdout)["drills"][0]["drill"] == drill
    assert list(there(site)) == [drill]
    cleaned = ops("drill", "--clean")
    assert cleaned.stdout.splitlines()[-1].startswith(f"drill {drill}: removed database server")
    assert there(site) == {}
    assert ops("drill", "--clean").stdout == "no drill of prod left anything behind\n"


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_stopped_drill_removes_what_it_made(
    environment: dict[str, str], site: Site, evening: Manifest, tmp_path: Path, number: int
) -> None:
    process = subprocess.Popen(
        [sys.executable, "-m", "ops", "drill", "evening", "--yes", "--stack", STACK],
        cwd=tmp_path,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    while not any(found.databases for found in there(site).values()):
        assert process.poll() is None
        time.sleep(0.05)
    process.send_signal(number)
    said, errors = process.communicate(timeout=120)
    assert process.returncode == 130
    assert "remove what the drill made" in said
    assert errors.startswith("stopped")
    assert there(site) == {}


def test_drills_are_listed_and_their_age_decides_the_status(ops: Ops, evening: Manifest) -> None:
    assert ops("drill", "evening", "--yes").returncode == 0
    listed = ops("drills", "--max-age", "1")
    assert listed.returncode == 0, listed.stderr
    assert "evening" in listed.stdout
    assert "the last good drill ended" in listed.stdout.splitlines()[-1]
    late = ops("drills", "--max-age", "0", "--json")
    assert late.returncode == 1
    found = json.loads(late.stdout)
    assert found["too_old"] is True
    assert 0 <= found["days_since_good"] < 0.1
    assert found["drills"][0]["checkpoint"] == "evening"
    assert found["drills"][0]["ok"] is True


def test_the_age_is_reported_to_the_alarm(ops: Ops, evening: Manifest, deployment: Deployment) -> None:
    def metrics() -> int:
        found = deployment.clients("cloudwatch").list_metrics(Namespace="OpenERP/Operations")["Metrics"]
        return len(found)

    before = metrics()
    assert ops("drills", "--report-age").returncode == 0
    assert metrics() >= max(before, 1)
