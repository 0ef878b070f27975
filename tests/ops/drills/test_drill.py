"""Whole drills against the emulator: real PostgreSQL and real files, and no servers."""

from __future__ import annotations

import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from core import names as constants
from core import outputs as names
from core.checkpoint import Manifest
from core.drill_report import Report, key
from ops.console import Reporter
from ops.drills import drill as drilling
from ops.drills import leftovers, own, parts, past
from ops.drills.plan import plan
from ops.errors import OpsError
from ops.lock import held
from ops.site import Site
from tests.ops.drills.conftest import DATABASES, STACK, Clients, Deployment, take


@pytest.fixture(scope="module")
def opening(deployment: Deployment, tmp_path_factory: pytest.TempPathFactory) -> Manifest:
    return take(deployment.site(tmp_path_factory.mktemp("opening")), "opening")


@pytest.fixture
def site(deployment: Deployment, tmp_path: Path) -> Iterator[Site]:
    made = deployment.site(tmp_path)
    yield made
    leftovers.clean(made, kept_too=True)


def run(site: Site, label: str | None = None, **options: Any) -> Report:
    return drilling.drill(site, plan(site, label, data_only=False), **options)


def there(site: Site) -> dict[str, Any]:
    return own.Own(site.stack, site.aws, Reporter()).look()


def document(site: Site, report: Report) -> dict[str, Any]:
    found = site.store.read(f"{key(report.started, report.drill)}.json")
    assert found is not None
    return found


def page(site: Site, report: Report) -> str:
    return (site.store.read_bytes(f"{key(report.started, report.drill)}.md") or b"").decode()


def age(client: Clients) -> float:
    found = client("cloudwatch").get_metric_statistics(
        Namespace=constants.OPERATIONS_NAMESPACE,
        MetricName=constants.DRILL_AGE_METRIC,
        Dimensions=[{"Name": "Stack", "Value": STACK}],
        StartTime=datetime.now(UTC) - timedelta(hours=1),
        EndTime=datetime.now(UTC) + timedelta(hours=1),
        Period=86400,
        Statistics=["Minimum"],
    )["Datapoints"]
    return float(min(point["Minimum"] for point in found))


def test_a_good_drill_proves_the_data_measures_and_leaves_nothing(
    site: Site, opening: Manifest, client: Clients, deployment: Deployment
) -> None:
    before = client("ec2").describe_security_groups()["SecurityGroups"]
    # What people do after the checkpoint is no difference.
    deployment.sql("openerp", "insert into res_partner (name) values ('later')")
    report = run(site)
    deployment.sql("openerp", "delete from res_partner where name = 'later'")

    assert report.ok
    assert report.error is None
    assert report.differences == ()
    assert report.checkpoint == "opening"
    assert report.application == "not proven"
    assert "no servers here" in report.application_note
    assert {one.name for one in report.databases} == set(DATABASES)
    assert all(one.attachments == 40 and one.files == 40 for one in report.databases)
    assert [part.name for part in report.parts][-1] == "compared with the checkpoint"
    assert {part.name for part in report.parts} >= {"database server restored", "files restored"}
    assert report.rto is not None
    assert 0 < report.rto < 600
    assert 0 <= report.loss.checkpoint < 600
    # The checkpoint's own recovery point is not one of the plan.
    assert report.loss.files_backup is None

    kept = document(site, report)
    assert {"checkpoint": "opening", "ok": True, "data": "proven"}.items() <= kept.items()
    assert kept["finished"]
    assert "good for the data; the application is not proven: not started: no servers here" in page(
        site, report
    )
    assert age(client) < 0.01

    assert there(site) == {}
    assert client("ec2").describe_security_groups()["SecurityGroups"] == before
    state = site.store.read(f"{leftovers.RUNS}{report.drill}.json") or {}
    assert state["state"] == "removed"
    assert site.store.list("locks/") == []


def test_a_damaged_file_of_the_backup_is_found_and_named(site: Site, deployment: Deployment) -> None:
    name = deployment.sql("openerp", "select store_fname from ir_attachment order by id limit 1")[0][0]
    path = deployment.filestore("openerp") / name
    whole = path.read_bytes()
    healthy = take(site, "healthy")
    path.write_bytes(whole[:-1] + b"?")  # of the same size: only reading it shows it
    try:
        damaged = take(site, "damaged")
    finally:
        path.write_bytes(whole)
    # The manifest says what was there before the damage.
    claimed = damaged.model_copy(update={"databases": healthy.databases})
    site.store.write("checkpoints/damaged.json", claimed.text().encode())

    report = run(site, "damaged")
    assert not report.ok
    assert report.differences == (
        f"openerp: 1 stored files are damaged (their SHA-1 is not their name): {name}",
    )
    assert "NOT GOOD" in page(site, report)
    assert document(site, report)["ok"] is False
    assert there(site) == {}


def test_missing_rows_modules_and_files_are_found(
    site: Site, deployment: Deployment, opening: Manifest
) -> None:
    database = opening.databases[0]
    more = database.model_copy(
        update={
            "rows": {**database.rows, "public.res_partner": (2500, 2600), "public.gone": (1, 1)},
            "modules": {**database.modules, "crm": "19.0.1.8"},
            "attachments": (41, 41),
        }
    )
    nowhere = database.model_copy(update={"name": "nowhere"})
    wrong = opening.model_copy(
        update={"label": "wrong", "databases": (more, *opening.databases[1:], nowhere)}
    )
    site.store.write("checkpoints/wrong.json", wrong.text().encode())
    report = run(site, "wrong")
    assert not report.ok
    said = "\n".join(report.differences or ())
    assert "openerp: table public.res_partner has 2,000 rows, in the checkpoint 2,500 to 2,600" in said
    assert "openerp: table public.gone is not there" in said
    assert "openerp: modules that differ: crm" in said
    assert "openerp: attachments name 40 files, in the checkpoint 41" in said
    assert "nowhere: the database is not there" in said
    assert "openerp_test" not in said


@pytest.mark.parametrize(
    ("part", "said"),
    [
        ("snapshot", r"its snapshot gone-1 is missing in RDS"),
        ("recovery_point", r"recovery point .*:gone\S* is missing in the vault"),
    ],
)
def test_a_checkpoint_whose_parts_are_gone_makes_a_drill_that_is_not_good(
    site: Site, opening: Manifest, part: str, said: str
) -> None:
    values = {
        "snapshot": opening.snapshot.model_copy(update={"identifier": "gone-1"}),
        "recovery_point": opening.recovery_point.model_copy(
            update={"arn": "arn:aws:backup:eu-west-1:123456789012:recovery-point:gone"}
        ),
    }
    label = f"gone-{part.replace('_', '-')}"
    broken = opening.model_copy(update={"label": label, part: values[part]})
    site.store.write(f"checkpoints/{label}.json", broken.text().encode())
    report = run(site, label)
    assert not report.ok
    assert re.search(said, report.error or "")
    assert report.data == "not proven"
    assert report.rto is None
    assert document(site, report)["error"] == report.error
    assert there(site) == {}


def test_the_newest_checkpoint_is_drilled_and_an_altered_one_is_left_out(
    site: Site, opening: Manifest
) -> None:
    older = opening.model_copy(update={"label": "older", "taken": opening.taken - timedelta(days=9)})
    site.store.write("checkpoints/older.json", older.text().encode())
    altered = opening.model_copy(update={"label": "altered", "taken": opening.taken + timedelta(days=1)})
    site.store.write("checkpoints/altered.json", altered.text().replace(opening.by, "a thief").encode())
    try:
        assert plan(site, None, data_only=False).manifest.label not in ("older", "altered")
        with pytest.raises(OpsError, match="was altered"):
            plan(site, "altered", data_only=False)
    finally:
        site.store.delete("checkpoints/altered.json")
        site.store.delete("checkpoints/older.json")


def test_no_drill_beside_a_restore_but_beside_a_checkpoint(site: Site, opening: Manifest) -> None:
    with held(site.store, STACK, "restore opening"), pytest.raises(OpsError, match="no drill beside another"):
        plan(site, None, data_only=False)
    with held(site.store, STACK, "checkpoint evening"):
        assert plan(site, "opening", data_only=False).manifest.label == "opening"


def test_a_second_drill_does_not_touch_the_first(site: Site, opening: Manifest) -> None:
    """While one is under way, with everything made, another runs from its beginning to its end."""
    work = plan(site, "opening", data_only=False)
    at = parts.place(site, with_server=False)
    first = drilling.Drill(site, work, at, keep=False)
    seen: list[Any] = []
    compare = first._compare

    def meanwhile(reach: Any) -> None:
        before = there(site)[first.id]
        second = run(site, "opening")
        assert second.ok
        assert second.drill != first.id
        assert there(site) == {first.id: before}
        seen.append(before)
        compare(reach)

    first._compare = meanwhile  # type: ignore[method-assign]
    assert first.run().ok
    assert len(seen) == 1
    assert there(site) == {}


def test_what_is_kept_stays_until_it_is_asked_for(site: Site, opening: Manifest) -> None:
    report = run(site, "opening", keep=True)
    assert report.ok
    assert report.kept
    assert any("billed by the hour until it is removed" in note for note in report.notes)
    found = there(site)[report.drill]
    assert len(found.databases) == len(found.file_systems) == len(found.groups) == 1
    assert run(site, "opening").ok  # the next drill leaves it alone
    assert report.drill in there(site)
    assert report.drill not in leftovers.leftovers(site, kept_too=False)
    (removal,) = leftovers.clean(site, kept_too=True)
    assert (removal.drill, removal.left) == (report.drill, [])
    assert there(site) == {}


class Interrupted(Reporter):
    """Ends a drill at a step, as Ctrl-C does."""

    def __init__(self, at: str) -> None:
        self.at = at
        self.steps: list[str] = []

    def step(self, sentence: str) -> None:
        self.steps.append(sentence)
        if sentence.startswith(self.at):
            raise KeyboardInterrupt


@pytest.mark.parametrize("at", ["make a place", "restore", "compare"])
def test_ctrl_c_removes_what_was_made(
    deployment: Deployment, tmp_path: Path, opening: Manifest, at: str
) -> None:
    reporter = Interrupted(at)
    site = deployment.site(tmp_path, reporter)
    with pytest.raises(KeyboardInterrupt):
        run(site, "opening")
    assert reporter.steps[-1] == "remove what the drill made"
    assert there(site) == {}
    assert site.store.list("locks/") == []


# Killed

KILLED = """
import os, sys
from pathlib import Path
sys.path.insert(0, {root!r})
import boto3
from botocore.config import Config
from ops.aws import Aws
from ops.console import Reporter
from ops.drills import drill as drilling
from ops.drills.plan import plan
from ops.site import Site
from ops.site.databases import Databases
from ops.stack import Stack

class Fatal(Reporter):
    def step(self, sentence):
        print(sentence, flush=True)
        if sentence.startswith({at!r}):
            os.kill(os.getpid(), 9)

def client(service, region):
    return boto3.client(service, region_name=region, endpoint_url={endpoint!r},
        aws_access_key_id="local", aws_secret_access_key="local",
        config=Config(retries={{"total_max_attempts": 1}}))

stack = Stack({stack!r}, directory=Path({directory!r}), outputs_file={outputs!r})
aws = Aws({region!r}, make=client)
site = Site(stack=stack, aws=aws, databases=Databases(stack=stack, aws=aws, ca=None),
    file_systems=Path({file_systems!r}), reporter=Fatal())
drilling.drill(site, plan(site, "opening", data_only=False))
"""


def killed(deployment: Deployment, site: Site, directory: Path, emulator: Any, at: str) -> str:
    from tests.local.emulator.conftest import REGION

    program = KILLED.format(
        root=str(Path(__file__).parents[3]),
        at=at,
        endpoint=emulator.endpoint_url,
        stack=STACK,
        directory=str(directory),
        outputs=str(directory / "outputs.json"),
        region=REGION,
        file_systems=str(deployment.file_systems),
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=False, cwd=directory
    )
    assert done.returncode == -signal.SIGKILL, done.stderr
    return done.stdout


@pytest.mark.parametrize(
    ("at", "left"),
    [
        ("make a place", []),
        ("restore opening", ["groups"]),
        ("compare openerp_test", ["databases", "file_systems", "groups"]),
        ("remove what", ["databases", "file_systems", "groups"]),
    ],
)
def test_what_a_killed_drill_leaves_the_next_one_removes(
    deployment: Deployment,
    tmp_path: Path,
    site: Site,
    opening: Manifest,
    emulator: Any,
    at: str,
    left: list[str],
) -> None:
    killed(deployment, site, tmp_path, emulator, at)
    found = there(site)
    kinds = {kind for parts_of in found.values() for kind, values in vars(parts_of).items() if values}
    assert kinds == set(left)
    assert len(leftovers.leftovers(site, kept_too=False)) == 1, "its record says that it was begun"
    report = run(site, "opening")
    assert report.ok
    assert there(site) == {}
    assert leftovers.leftovers(site, kept_too=True) == {}


def test_a_file_system_that_aws_backup_was_still_filling_goes_too(
    deployment: Deployment, site: Site, opening: Manifest
) -> None:
    """A drill that was killed the moment after it had asked for the files: nothing has its tags yet."""
    drill = own.new_identifier(datetime.now(UTC))
    job = parts.restore_files(site, drill, opening.recovery_point.arn, opening.recovery_point.file_system_id)
    leftovers.remember(site, drill, state="begun", restore_job=job)
    (removal,) = leftovers.clean(site, kept_too=False)
    assert (removal.drill, removal.left) == (drill, [])
    systems = site.aws.client("efs").describe_file_systems()["FileSystems"]
    assert [row["FileSystemId"] for row in systems] == [deployment.outputs[names.FILE_SYSTEM_ID]]


def test_a_drill_that_is_alive_on_another_machine_is_left_alone(site: Site, opening: Manifest) -> None:
    drill = own.new_identifier(datetime.now(UTC))
    parts.make_group(site, drill, parts.place(site, with_server=False), admit_operators=False)
    leftovers.remember(site, drill, state="begun")
    path = f"locks/drill-{drill}.json"
    site.store.write(path, {"host": "elsewhere", "process": 1, "identity": "1"})
    assert leftovers.clean(site, kept_too=True) == []
    assert drill in there(site)
    site.store.delete(path)
    assert [removal.drill for removal in leftovers.clean(site, kept_too=False)] == [drill]


# What is known of drills afterwards


def test_the_age_of_the_last_good_drill(site: Site, opening: Manifest, client: Clients) -> None:
    good = run(site, "opening")
    found = past.drills(site)
    assert found[0].drill == good.drill
    assert past.age(site, found) < 0.01
    bad = [replace(one, ok=False) for one in found]
    # Never a good one: as old as the backup plan.
    assert 0 <= past.age(site, bad) < 0.1
    site.store.write("drills/0000-nonsense.json", {"hello": "world"})
    try:
        assert len(past.drills(site)) == len(found)
    finally:
        site.store.delete("drills/0000-nonsense.json")
