"""Work on several threads that ends as soon as a part of it fails."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from types import TracebackType
from typing import Any

from ops.databases.errors import StoppedError


class Work:
    """A pool of threads, at most `backlog` jobs ahead of them. Left with an error, it stops all of them."""

    def __init__(self, threads: int, stop: threading.Event, backlog: int | None = None) -> None:
        self._pool = ThreadPoolExecutor(max_workers=threads)
        self._stop = stop
        self._room = threading.Semaphore(backlog) if backlog else None
        self._futures: list[Future[Any]] = []

    def do(self, job: Callable[..., Any], *values: Any) -> None:
        """Have `job` done; waits while too much waits already."""
        while self._room is not None and not self._room.acquire(timeout=0.5):
            if self._stop.is_set():
                raise StoppedError
        future = self._pool.submit(job, *values)
        if self._room is not None:
            room = self._room
            future.add_done_callback(lambda _: room.release())
        self._futures.append(future)

    def check(self) -> None:
        """Raise what a finished job raised."""
        for future in [future for future in self._futures if future.done()]:
            self._futures.remove(future)
            future.result()

    def finish(self) -> None:
        """Wait for every job; raise what one raised."""
        for future in list(self._futures):
            future.result()
        self._futures.clear()

    def __enter__(self) -> Work:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is not None:
            self._stop.set()
        self._pool.shutdown(wait=True, cancel_futures=error is not None)
