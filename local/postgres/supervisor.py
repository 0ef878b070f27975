"""Keeps one real cluster for each database instance of the emulator, and one copy for each snapshot.

The emulator's history says which there are. While it is replayed nothing here touches a disk; ``attach`` then
starts the clusters that are left in the end, each from its own directory.
"""

from __future__ import annotations

import logging
import queue
import shutil
import threading
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

from local.postgres.cluster import Cluster, ClusterError, Master, copy, template
from local.postgres.processes import Spawner, end_stale

log = logging.getLogger("postgres")

LOOK = 30.0
"""Seconds between two looks at how long archives have grown."""

Done = Callable[[int | None, str | None], None]
"""Called when a job is over: with the port if a server runs now, and with what went wrong if it did."""


@dataclass(frozen=True)
class Wanted:
    """What an instance is to be."""

    key: str
    """The directory's name: identifier and region, unique in a home."""
    master: Master
    parameters: Mapping[str, str] = field(default_factory=dict)
    source: str | None = None
    """The key of the snapshot from which the first data come, if not from an empty cluster."""
    until: float | None = None
    """With it, ``source`` is an instance, and the data are those of this moment: seconds since 1970, or
    ``inf`` for its present ones."""
    archived: bool = False
    """Whether it can be recovered to any moment later."""


def _ignore(_port: int | None, _error: str | None) -> None:
    """Nobody waits for this job."""


class _Worker:
    """Does the jobs of one instance in order, in a thread of its own."""

    def __init__(self, name: str) -> None:
        self._jobs: queue.SimpleQueue[Callable[[], None] | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._work, name=name, daemon=True)
        self._thread.start()

    def _work(self) -> None:
        while (job := self._jobs.get()) is not None:
            try:
                job()
            except Exception:
                log.exception("a job of %s failed", self._thread.name)

    def add(self, job: Callable[[], None] | None) -> None:
        self._jobs.put(job)

    def join(self) -> None:
        self._jobs.put(None)
        self._thread.join(30)


class Supervisor:
    """The clusters of one home. A method that changes something returns at once and reports to ``done``."""

    def __init__(self, home: Path) -> None:
        self.root = home / "postgres"
        self.cache = home / "cache"
        self.live = False
        """Whether requests have effects; not so while the history is replayed."""
        self._spawner = Spawner()
        self._clusters: dict[str, Cluster] = {}
        self._workers: dict[str, _Worker] = {}
        self._attaching: list[tuple[Wanted, Done]] = []
        self._closing = threading.Event()
        self.before_attach: list[Callable[[], None]] = []
        """Called when the replay is over: each asks for what is to run, with ``run``."""

    def cluster(self, key: str) -> Cluster:
        """The cluster of an instance, running or not."""
        if key not in self._clusters:
            self._clusters[key] = Cluster(self.root / key, self._spawner)
        return self._clusters[key]

    def _snapshot(self, key: str) -> Path:
        return self.root / ".snapshots" / key

    def _worker(self, key: str) -> _Worker:
        if key not in self._workers:
            self._workers[key] = _Worker(f"postgres {key}")
        return self._workers[key]

    def _do(self, key: str, job: Callable[[], int | None], done: Done) -> None:
        def work() -> None:
            try:
                port = job()
            except (ClusterError, OSError, RuntimeError) as error:
                log.error("%s: %s", key, error)
                done(None, str(error))
            else:
                done(port, None)

        if self.live:
            self._worker(key).add(work)

    def _fill(self, wanted: Wanted) -> None:
        """Gives an instance its first data."""
        cluster = self.cluster(wanted.key)
        if wanted.source is None:
            source = template(self.cache)
        elif wanted.until is None:
            source = self._snapshot(wanted.source)
        else:
            source = self.cluster(wanted.source).directory
        if not source.exists():
            raise ClusterError(f"{wanted.source} holds no data on this machine")
        if wanted.source is not None and wanted.until is not None:
            self.cluster(wanted.source).recover(cluster.directory, wanted.until)
            return
        copy(source, cluster.directory)
        if wanted.archived:
            cluster.archive.first(source)

    def _start(self, wanted: Wanted) -> int:
        cluster = self.cluster(wanted.key)
        if not cluster.exists:
            self._fill(wanted)
        port = cluster.start(wanted.parameters, archived=wanted.archived)
        cluster.provide(wanted.master)
        if wanted.archived and cluster.archive.earliest() is None:
            # Nobody has to wait for it.
            self._do(wanted.key, cluster.keep_copy, _ignore)
        return port

    def create(self, wanted: Wanted, done: Done) -> None:
        """Makes and starts a cluster. A directory of that name belongs to nobody any more and goes."""

        def job() -> int:
            self.cluster(wanted.key).remove()
            return self._start(wanted)

        self._do(wanted.key, job, done)

    def run(self, wanted: Wanted, done: Done) -> None:
        """After a replay: starts the cluster in its directory; makes it if a kill came before that was
        done."""
        self._attaching.append((wanted, done))

    def restart(self, wanted: Wanted, done: Done) -> None:
        """Stops and starts, with new parameters."""

        def job() -> int:
            self.cluster(wanted.key).stop()
            return self._start(wanted)

        self._do(wanted.key, job, done)

    def provide(self, wanted: Wanted, done: Done) -> None:
        """Gives the master user its password, without a restart; a stopped server gets it with its start."""

        def job() -> int | None:
            cluster = self.cluster(wanted.key)
            if cluster.running:
                cluster.provide(wanted.master)
            return cluster.port

        self._do(wanted.key, job, done)

    def apply(self, wanted: Wanted, done: Done) -> None:
        """Gives a running cluster new parameters; those that need a restart wait for one."""
        self._do(wanted.key, lambda: self.cluster(wanted.key).apply(wanted.parameters), done)

    def rename(self, old: str, wanted: Wanted, done: Done) -> None:
        """Gives a cluster's directory another name; the server is restarted for it."""

        def job() -> int:
            self.cluster(old).stop()
            self.cluster(old).directory.rename(self.cluster(wanted.key).directory)
            return self._start(wanted)

        self._do(old, job, done)

    def stop(self, key: str, done: Done) -> None:
        """Shuts the server down; its data stay."""
        self._do(key, self.cluster(key).stop, done)

    def delete(self, key: str) -> None:
        """Removes the cluster and its data."""
        self._do(key, self.cluster(key).remove, _ignore)

    def snapshot(self, key: str, snapshot: str, done: Done) -> None:
        """Copies the cluster as it is now."""

        def job() -> None:
            shutil.rmtree(self._snapshot(snapshot), ignore_errors=True)
            self.cluster(key).back_up(self._snapshot(snapshot))

        self._do(key, job, done)

    def has_snapshot(self, snapshot: str) -> bool:
        """Whether a snapshot's data are on disk."""
        return self._snapshot(snapshot).exists()

    def copy_snapshot(self, source: str, target: str, done: Done) -> None:
        """Copies one snapshot to another."""

        def job() -> None:
            shutil.rmtree(self._snapshot(target), ignore_errors=True)
            copy(self._snapshot(source), self._snapshot(target))

        self._do(f".snapshots/{target}", job, done)

    def delete_snapshot(self, snapshot: str) -> None:
        """Removes a snapshot's data."""
        self._do(
            f".snapshots/{snapshot}",
            lambda: shutil.rmtree(self._snapshot(snapshot), ignore_errors=True),
            _ignore,
        )

    def earliest(self, key: str) -> float | None:
        """The first moment to which an instance can be recovered, in seconds since 1970; None: to none."""
        return self.cluster(key).archive.earliest()

    def _look_after_archives(self) -> None:
        """Makes copies that are due, so that no archive grows without end."""
        while not self._closing.wait(LOOK):
            for key, cluster in list(self._clusters.items()):
                try:
                    if cluster.running and cluster.archived and cluster.archive.wants_copy():
                        self._do(key, cluster.keep_copy, _ignore)
                except OSError:
                    log.exception("the archive of %s cannot be read", key)

    def attach(self) -> None:
        """Ends what a killed emulator left behind, starts every instance that the history says there is, and
        from here on lets requests have effects. Returns when the servers accept logins or have failed."""
        stale = end_stale(self.root)
        if stale:
            log.warning("ended %d servers of an emulator that was killed", stale)
        for leftover in [*self.root.glob(".*.????????"), *self.root.glob(".*/.*.????????")]:
            shutil.rmtree(leftover, ignore_errors=True)
        self.live = True
        for hook in self.before_attach:
            hook()

        def start(item: tuple[Wanted, Done]) -> None:
            wanted, done = item
            try:
                done(self._start(wanted), None)
            except (ClusterError, OSError, RuntimeError) as error:
                log.error("%s: %s", wanted.key, error)
                done(None, str(error))

        if self._attaching:
            with ThreadPoolExecutor(max_workers=4) as pool:
                list(pool.map(start, self._attaching))
        self._attaching.clear()
        threading.Thread(target=self._look_after_archives, name="archives", daemon=True).start()

    def close(self) -> None:
        """Finishes the jobs under way and shuts every server down."""
        self.live = False
        self._closing.set()
        for worker in self._workers.values():
            worker.join()
        running = [cluster for cluster in self._clusters.values() if cluster.running]
        if running:
            with ThreadPoolExecutor(max_workers=len(running)) as pool:
                list(pool.map(Cluster.stop, running))
