"""What drills left behind, and its removal."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from ops.aws import explained
from ops.drills.own import Own
from ops.lease import Lease, TakenError
from ops.site import Site

KEPT: Final = "kept"
RUNS: Final = "runs/drill/"


def mark(site: Site, drill: str, what: str) -> Lease:
    """Return the mark of a drill."""
    return Lease(site.store.client, site.store.bucket, f"locks/drill-{drill}.json", what=what)


def remember(site: Site, drill: str, **more: Any) -> None:
    """Write down what a later removal must know of a drill."""
    path = f"{RUNS}{drill}.json"
    site.store.write(path, {"drill": drill, **(site.store.read(path) or {}), **more})


@dataclass(frozen=True, kw_only=True)
class Removal:
    """What was found of an earlier drill, and what of it could not be removed."""

    drill: str
    found: list[str]
    left: list[str]


def leftovers(site: Site, *, kept_too: bool) -> dict[str, list[str]]:
    """Return what drills that are over left behind, by drill; none that is under way."""
    there = {
        drill: found.sentences() for drill, found in Own(site.stack, site.aws, site.reporter).look().items()
    }
    for path in site.store.list(RUNS):
        drill = path.removeprefix(RUNS).removesuffix(".json")
        state = (site.store.read(path) or {}).get("state")
        if state == "begun":
            there.setdefault(drill, [])
        elif state == KEPT and not kept_too:
            there.pop(drill, None)
    with explained("the marks of drills"):
        return {drill: there[drill] for drill in sorted(there) if mark(site, drill, "").holder() is None}


def clean(site: Site, *, kept_too: bool) -> list[Removal]:
    """Remove what drills that are over left behind."""
    removals = []
    for drill, found in leftovers(site, kept_too=kept_too).items():
        lease = mark(site, drill, f"removal of drill {drill}")
        with explained(f"the mark of drill {drill}"):
            try:
                lease.take()
            except TakenError:
                continue  # another removes it
        try:
            site.reporter.step(f"remove what drill {drill} left behind")
            left = remove(site, drill)
        finally:
            lease.rest()
            with explained(f"the mark of drill {drill}"):
                lease.remove()
        removals.append(Removal(drill=drill, found=found, left=left))
    return removals


def remove(site: Site, drill: str) -> list[str]:
    """Remove what a drill made; return what could not be removed."""
    job = (site.store.read(f"{RUNS}{drill}.json") or {}).get("restore_job")
    left = Own(site.stack, site.aws, site.reporter).remove(drill, job=job)
    if not left:
        remember(site, drill, state="removed")
    return left
