"""One operator at a time: whoever changes a stack's data holds the stack's mark."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Final

from ops.aws import explained
from ops.errors import OpsError
from ops.lease import STALE, Lease, TakenError
from ops.store import Store

KEY: Final = "locks/operation.json"


@contextlib.contextmanager
def held(store: Store, stack: str, what: str) -> Iterator[Lease]:
    """Hold the mark of `stack` while `what` is done, as `checkpoint opening`.

    Raises OpsError where another command holds it; one that was killed on this machine does not stand in the
    way, one on another machine no longer than three minutes.
    """
    lease = Lease(store.client, store.bucket, KEY, what=what)
    with explained(f"s3://{store.bucket}/{KEY}"):
        try:
            lease.take()
        except TakenError as taken:
            raise OpsError(
                f"another command is at work on {stack}: {taken.holder}; wait for it (one that died "
                f"elsewhere is taken for dead after {STALE:.0f} s)"
            ) from None
    try:
        yield lease
    finally:
        lease.rest()
        with explained(f"s3://{store.bucket}/{KEY}"):
            lease.remove()
