"""Returning to a moment: RDS's point-in-time recovery is PostgreSQL's own here, the files are real.

Not proved here: how long AWS takes, and its limits on what a restore may be given.
"""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta

import pytest

from core import outputs as names
from ops.checkpoints import manifests, past
from ops.errors import OpsError
from ops.lock import held
from ops.site import Site
from tests.ops.checkpoints.conftest import (
    STACK,
    Deployment,
    checkpoint,
    filestore,
    sql,
    store_file,
)


def now() -> datetime:
    """A moment that is over by the second."""
    found = datetime.now(UTC).replace(microsecond=0) + timedelta(seconds=1)
    time.sleep(max(0.0, (found - datetime.now(UTC)).total_seconds()) + 0.2)
    return found


def restorable(deployment: Deployment, moment: datetime) -> None:
    """Wait until RDS can give a moment back."""
    site = deployment.site()
    for _ in range(600):
        try:
            past.find(site, moment.isoformat())
            return
        except OpsError as error:
            assert "wait a little" in str(error)
            sql(site, "openerp", "update ir_config_parameter set value = value")
            time.sleep(0.2)
    pytest.fail("the moment never came")


def instances(deployment: Deployment) -> set[str]:
    found = deployment.client("rds").describe_db_instances()["DBInstances"]
    return {row["DBInstanceIdentifier"] for row in found}


def test_a_stack_returns_to_a_moment_with_the_files_of_the_first_backup_after_it(
    deployment: Deployment, site: Site
) -> None:
    kept = store_file(site, "openerp", b"before the moment")
    sql(site, "openerp", "insert into res_partner (name) values ('before the moment')")
    moment = now()
    sql(site, "openerp", "insert into res_partner (name) values ('after the moment')")
    first = checkpoint(site, "first-after").manifest
    checkpoint(site, "second-after", read_files=False)
    sql(site, "openerp", "delete from res_partner")
    (filestore(site, "openerp") / kept).unlink()
    restorable(deployment, moment)
    own = instances(deployment)
    at = moment.isoformat()

    shown = deployment.ops("restore", "--at", at, "--dry-run").stdout
    assert f"database of {moment:%Y-%m-%d %H:%M:%S} UTC, files of " in shown
    assert "nothing was changed" in shown
    assert instances(deployment) == own

    label = past.find(deployment.site(), at).label
    for step in ("take a snapshot of it", "write the manifest"):
        killed = deployment.killed("past", at, "--step", step)
        assert killed, step
        assert instances(deployment) == own | {f"openerp-{STACK}-{label}"}
    said = deployment.ops("restore", "--at", at, "--yes").stdout

    assert f"restored {STACK} to {label}" in said
    after = deployment.site()
    found = sql(after, "openerp", "select name from res_partner where name like '% the moment'")
    assert found == [("before the moment",)]
    assert (filestore(after, "openerp") / kept).read_bytes() == b"before the moment"
    made = manifests.get(after.store, STACK, label)
    assert made.past
    assert made.taken == moment
    assert made.recovery_point.arn == first.recovery_point.arn, "the first at or after it"
    assert instances(deployment) == {after.stack.output(names.DATABASE_INSTANCE_IDENTIFIER)}
    snapshots = deployment.client("rds").describe_db_snapshots(SnapshotType="manual")["DBSnapshots"]
    prefix = f"openerp-{STACK}-{label}-"
    assert sum(row["DBSnapshotIdentifier"].startswith(prefix) for row in snapshots) == 1


def test_without_a_later_backup_the_files_of_now_go_with_a_moment(deployment: Deployment, site: Site) -> None:
    moment = now()
    later = store_file(site, "openerp", b"made after the moment")
    restorable(deployment, moment)
    found = past.find(deployment.site(), moment.isoformat())
    assert found.point is None
    assert "files of now" in found.pair
    own = instances(deployment)
    with held(site.store, STACK, "restore"):
        made = past.make(deployment.site(), found)
    assert made.recovery_point.created >= moment
    assert made.code.release == "19.0"
    claim = made.database("openerp")
    assert claim is not None
    low, high = claim.attachments
    query = "select count(distinct store_fname) from ir_attachment"
    (attachments,) = sql(site, "openerp", query)[0]
    assert low == high == attachments - 1, f"without {later}"
    assert instances(deployment) == own
    # It is made already: nothing is made again.
    again = past.find(deployment.site(), moment.isoformat())
    assert again.manifest == made


@pytest.mark.parametrize(
    ("at", "said"),
    [
        ("yesterday", "is no time"),
        ("2090-01-01T00:00:00", "has not come yet"),
        ("2020-01-01T00:00:00", "can be taken back to any moment from "),
    ],
)
def test_a_moment_that_cannot_be_had_is_refused_in_one_sentence(
    deployment: Deployment, at: str, said: str
) -> None:
    deployment.fails(said, "restore", "--at", at, "--yes")


def test_a_moment_cannot_be_had_by_a_tunnel_to_one_server(deployment: Deployment) -> None:
    deployment.fails("--through leads to one", "restore", "--at", "1 minute ago", "--through", "127.0.0.1:5")


def test_a_moment_of_another_release_is_not_returned_to_without_knowing_its_code(
    deployment: Deployment, site: Site
) -> None:
    """As if the moment was before an upgrade, and no checkpoint from before says what the servers ran."""
    sql(site, "openerp", "update ir_module_module set latest_version = '18.0.1.3' where name = 'base'")
    moment = now()
    sql(site, "openerp", "update ir_module_module set latest_version = '19.0.1.3' where name = 'base'")
    restorable(deployment, moment)
    found = past.find(deployment.site(), moment.isoformat())
    own = instances(deployment)
    with held(site.store, STACK, "restore"), pytest.raises(OpsError, match=r"is of release 18\.0"):
        past.make(deployment.site(), found)
    assert instances(deployment) == own
    assert manifests.find(site.store, found.label) is None
    assert found.label not in manifests.unfinished(site.store)
    snapshots = deployment.client("rds").describe_db_snapshots(SnapshotType="manual")["DBSnapshots"]
    assert not any(f"-{found.label}-" in row["DBSnapshotIdentifier"] for row in snapshots)
