"""Clusters that are brought back to a moment, from copies and the archived log."""

from __future__ import annotations

import math
import os
import shutil
import signal
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest

from local.postgres import archive
from local.postgres.archive import Archive, is_recovering
from local.postgres.cluster import Cluster, ClusterError, Master, copy, template
from local.postgres.processes import Spawner
from local.postgres.supervisor import Supervisor, Wanted

MASTER = Master("master", "secret", None)
LATEST = math.inf
Make = Callable[..., Cluster]


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cache")


@pytest.fixture
def make(cache: Path, tmp_path: Path) -> Iterator[Make]:
    """Gives a cluster of a name: one that is there, or one made from a template or a snapshot and started."""
    made: dict[str, Cluster] = {}

    def get(name: str, source: Path | None = None, *, fresh: bool = True, **parameters: str) -> Cluster:
        cluster = made.setdefault(name, Cluster(tmp_path / name, Spawner()))
        if fresh:
            copy(source or template(cache), cluster.directory)
            cluster.archive.first(source or template(cache))
        cluster.start(parameters, archived=True)
        return cluster

    yield get
    for cluster in made.values():
        cluster.remove()


def write(cluster: Cluster, number: int) -> float:
    """Writes a number, and gives the moment after that."""
    with cluster.connect() as connection:
        connection.execute("create table if not exists t (number int)")
        connection.execute("insert into t values (%s)", [number])
        connection.execute("select pg_sleep(0.002)")
    return cluster.moment()


def numbers(cluster: Cluster) -> list[int]:
    with cluster.connect() as connection:
        return [row[0] for row in connection.execute("select number from t order by 1")]


def recovered(make: Make, source: Cluster, name: str, until: float, **parameters: str) -> list[int]:
    """What is in a cluster of that name that is recovered from another."""
    source.recover(source.directory.with_name(name), until)
    cluster = make(name, fresh=False, **parameters)
    assert not is_recovering(cluster.directory)
    with cluster.connect() as connection:
        assert connection.execute("select pg_is_in_recovery()").fetchone() == (False,)
        connection.execute("insert into t values (1000)")
        connection.execute("delete from t where number = 1000")
    return numbers(cluster)


def test_a_moment_has_what_was_there_and_nothing_later(make: Make) -> None:
    source = make("source")
    moments = [write(source, number) for number in range(4)]
    assert recovered(make, source, "early", moments[0]) == [0]
    # What is running now is not disturbed, and the log of later is no matter.
    moments.append(write(source, 4))
    assert recovered(make, source, "middle", moments[2]) == [0, 1, 2]
    assert recovered(make, source, "after the last", source.moment()) == [0, 1, 2, 3, 4]
    assert recovered(make, source, "latest", LATEST) == [0, 1, 2, 3, 4]
    assert numbers(source) == [0, 1, 2, 3, 4]


def test_nothing_leads_back_before_the_first_copy(make: Make) -> None:
    source = make("source")
    found = source.archive.earliest()
    assert found is not None and found <= source.moment()
    with pytest.raises(ClusterError, match="no copy from before that moment"):
        source.recover(source.directory.with_name("never"), found - 1)
    assert not source.directory.with_name("never").exists()


def test_a_dropped_database_comes_back(make: Make) -> None:
    source = make("source")
    with source.connect() as connection:
        connection.execute("create database precious")
    with source.connect("precious") as connection:
        connection.execute("create table t as select generate_series(1, 1000) as number")
    before = source.moment()
    # PostgreSQL stops before the first commit after the moment. Were it that of the drop, the files of the
    # database would be gone by then.
    write(source, 1)
    with source.connect() as connection:
        connection.execute("drop database precious")
    source.recover(source.directory.with_name("back"), before)
    back = make("back", fresh=False)
    with back.connect("precious") as connection:
        assert connection.execute("select sum(number) from t").fetchone() == (500_500,)


def test_a_stopped_server_and_a_killed_one_can_be_recovered_too(make: Make) -> None:
    source = make("source")
    first = write(source, 1)
    write(source, 2)
    source.stop()
    assert recovered(make, source, "of the stopped", first) == [1]
    source.start({}, archived=True)
    write(source, 3)
    assert source._process is not None
    os.kill(source._process.pid, signal.SIGKILL)
    source._process.wait()
    assert not source.running
    assert recovered(make, source, "of the killed", LATEST) == [1, 2, 3]
    source.stop()
    source.start({}, archived=True)
    last = write(source, 4)
    write(source, 5)
    assert recovered(make, source, "of the restarted", last) == [1, 2, 3, 4]


def test_what_is_made_from_a_snapshot_of_a_running_server_can_be_recovered(
    make: Make, tmp_path: Path
) -> None:
    source = make("source")
    write(source, 1)
    source.back_up(tmp_path / "snapshot")
    write(source, 2)
    other = make("other", tmp_path / "snapshot")
    moment = write(other, 3)
    write(other, 4)
    shutil.rmtree(tmp_path / "snapshot")
    assert recovered(make, other, "third", moment) == [1, 3]
    assert recovered(make, other, "fourth", LATEST) == [1, 3, 4]


def test_a_recovered_server_can_be_recovered_again_once_it_has_a_copy_of_its_own(make: Make) -> None:
    source = make("source")
    moment = write(source, 1)
    write(source, 2)
    assert recovered(make, source, "second", moment) == [1]
    second = make("second", fresh=False)
    assert second.archive.earliest() is None
    second.keep_copy()
    moment = write(second, 3)
    write(second, 4)
    source.remove()
    assert recovered(make, second, "third", moment) == [1, 3]
    third = make("third", fresh=False)
    third.keep_copy()
    write(third, 5)
    assert recovered(make, third, "fourth", LATEST) == [1, 3, 5]


def test_the_limits_of_the_first_server_are_none_of_the_second(make: Make) -> None:
    source = make("source", max_connections="300")
    write(source, 1)
    assert recovered(make, source, "small", LATEST, max_connections="20") == [1]


def test_a_recovery_goes_on_after_a_kill_in_the_middle_and_at_the_end(make: Make) -> None:
    source = make("source")
    moment = write(source, 1)
    write(source, 2)
    target = source.directory.with_name("back")
    source.recover(target, moment)
    back = make("back", fresh=False)
    back.stop(how=signal.SIGQUIT)
    # As if the kill had come between the promotion and its note.
    (target / "restore").mkdir()
    (target / "data" / archive.AUTOMATIC).write_text("restore_command = 'false'\n")
    assert make("back", fresh=False) is back
    assert numbers(back) == [1] and not is_recovering(target)
    assert (target / "data" / archive.AUTOMATIC).read_text() == ""


def test_a_path_of_any_characters_is_no_obstacle(make: Make) -> None:
    source = make('it\'s 100 %f "quoted" $HOME')
    moment = write(source, 1)
    write(source, 2)
    assert recovered(make, source, "and 'another' %p", moment) == [1]


def test_an_archive_does_not_grow_without_end(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(archive, "LOG_LIMIT", 1)
    monkeypatch.setattr(archive.Copy, "size", lambda self: 6 << 20)
    source = make("source")
    assert not source.archive.wants_copy()
    moments, wanted = [], []
    for number in range(4):
        moments.append(write(source, number))
        for _ in range(2):
            with source.connect() as connection:
                connection.execute("create table filling as select generate_series(1, 100000)")
                connection.execute("drop table filling")
            source._flush()
        wanted.append(source.archive.wants_copy())
        source.keep_copy()
        assert not source.archive.wants_copy()
    assert wanted == [True] * 4
    kept = source.archive.copies()
    assert len(kept) == archive.KEPT
    assert source.archive.earliest() == kept[0].since > moments[2]
    needed = kept[0].first_segment()
    assert needed is not None
    assert min(path.name for path in source.archive.log.iterdir()) >= needed
    for moment in moments[:3]:
        with pytest.raises(ClusterError):
            source.recover(source.directory.with_name("never"), moment)
    assert recovered(make, source, "last", moments[3]) == [0, 1, 2, 3]
    write(source, 4)
    assert recovered(make, source, "later", LATEST) == [0, 1, 2, 3, 4]


def test_without_backups_nothing_of_the_past_is_kept(make: Make) -> None:
    source = make("source")
    write(source, 1)
    assert source.archive.directory.exists()
    source.stop()
    source.start({})
    assert not source.archive.directory.exists()
    with source.connect() as connection:
        assert connection.execute("show archive_mode").fetchone() == ("off",)
    source.keep_copy()
    assert source.archive.earliest() is None


def test_the_first_copy_shares_its_files_with_what_the_cluster_was_made_from(make: Make, cache: Path) -> None:
    source = make("source")
    (first,) = source.archive.copies()
    for name in ("global/pg_control", "PG_VERSION"):
        kept = (first.directory / "data" / name).stat()
        assert kept.st_ino == (template(cache) / "data" / name).stat().st_ino
        assert kept.st_ino != (source.data / name).stat().st_ino


def test_what_a_kill_left_in_an_archive_is_swept_and_half_a_copy_is_none(tmp_path: Path) -> None:
    found = Archive(tmp_path)
    found.open()
    (tmp_path / "archive/copies/.2.00000000/data").mkdir(parents=True)
    (tmp_path / "archive/log/.000000010000000000000001").touch()
    (tmp_path / "archive/copies/1").mkdir()
    assert found.copies() == [] and found.waiting() == tmp_path / "archive/copies/1"
    found.open()
    assert [path.name for path in (tmp_path / "archive/copies").iterdir()] == ["1"]
    assert list(found.log.iterdir()) == []
    assert found.next_place().name == "2"


def ended(supervisor: Supervisor, begin: Callable[..., None], *arguments: Any) -> str | None:
    """Begins a job, and gives what went wrong with it when it is over."""
    over, failures = threading.Event(), list[str | None]()

    def done(_port: int | None, failure: str | None) -> None:
        failures.append(failure)
        over.set()

    begin(*arguments, done)
    assert over.wait(60)
    return failures[0]


def test_a_supervisor_recovers_instances_and_gives_each_a_copy(tmp_path: Path) -> None:
    supervisor = Supervisor(tmp_path)
    supervisor.attach()
    try:
        assert ended(supervisor, supervisor.create, Wanted("a.r", MASTER, archived=True)) is None
        source = supervisor.cluster("a.r")
        earliest = supervisor.earliest("a.r")
        assert earliest is not None
        moment = write(source, 1)
        write(source, 2)
        wanted = Wanted("b.r", MASTER, source="a.r", until=moment, archived=True)
        assert ended(supervisor, supervisor.create, wanted) is None
        assert numbers(supervisor.cluster("b.r")) == [1]
        # Jobs of an instance are done in order: its own first copy is one of them.
        assert ended(supervisor, supervisor.apply, wanted) is None
        assert supervisor.earliest("b.r") is not None
        too_early = Wanted("c.r", MASTER, source="a.r", until=earliest - 1)
        failure = ended(supervisor, supervisor.create, too_early)
        assert failure == "a.r cannot be recovered: there is no copy from before that moment"
        nothing = Wanted("d.r", MASTER, source="none.r", until=moment)
        assert "holds no data" in str(ended(supervisor, supervisor.create, nothing))
    finally:
        supervisor.close()
    with pytest.raises(psycopg.OperationalError):
        source.connect()
