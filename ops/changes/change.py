"""A change of code and data that goes through, or goes back by itself; never something in between.

New code first, while people work: the servers are replaced one after the other. Then the databases are
closed, and a checkpoint is taken that nobody works after; then the data are changed, looked at, opened. So
a return to the checkpoint loses nothing (docs/adr/0016-how-a-change-returns.md). How far a change came is
written to the operations bucket at each step: killed anywhere, the same command goes on.
"""

from __future__ import annotations

import secrets
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Final

from core import checkpoint
from core.checkpoint import Code
from ops import run as runs
from ops.changes import door, fleet
from ops.checkpoints import restore as restoring
from ops.checkpoints import take
from ops.errors import OpsError
from ops.run import Run
from ops.site import Site

UPDATING: Final = "updating"
RETURNING: Final = "returning"
DONE: Final = "done"
RETURNED: Final = "returned"
UNFINISHED: Final = frozenset({UPDATING, RETURNING})
WHILE_PEOPLE_WORK: Final = ("code", "checkpoint", "data", "check")
CODE_FIRST: Final = ("code", "close", "checkpoint", "data", "check", "open")
CLOSED_FIRST: Final = ("close", "checkpoint", "code", "data", "check", "open")
"""Where the new code cannot work on the data as they are."""


COMMANDS: Final[Mapping[str, str]] = {
    "runs/load/current.json": "modules load NAME",
    "runs/update/current.json": "release update",
}
"""Where runs are remembered, and what goes on with them."""


class FailedError(OpsError):
    """The change itself failed: trying it again would fail again."""


class ReturnedError(OpsError):
    """The change failed, and everything is as it was before."""


@dataclass(frozen=True, kw_only=True)
class Change:
    """What is to be changed."""

    what: str
    """For a person: `update to 19.0 of 2026-11-01`."""
    slug: str
    """For the checkpoint's label: `19-0-20261101`."""
    settings: Mapping[str, Any]
    """Dotted path -> new value; None takes the setting out."""
    steps: Sequence[str] = CODE_FIRST
    detail: Mapping[str, Any] = field(default_factory=dict)
    """What the command needs to know when it goes on."""


class Work(ABC):
    """What one command does with the data: `ops release update`, `ops modules load`."""

    key: str
    """Where its run is remembered."""
    command: str
    """How it is called: `release update`."""

    @abstractmethod
    def change(self, site: Site, run: Run) -> None:
        """Change the data. Raises FailedError where it cannot be done; the same call again does no harm."""

    @abstractmethod
    def check(self, site: Site, run: Run) -> None:
        """Look at what came of it. Raises FailedError where it is not as it should be."""

    @abstractmethod
    def is_untouched(self, site: Site, run: Run) -> str | None:
        """Return what proves that a failed change left the data as they were; None where nothing does."""


# The run


def unfinished(site: Site, work: Work) -> Run | None:
    """Return the run that was cut short."""
    content = site.store.read(work.key)
    if content is None or content["state"] not in UNFINISHED:
        return None
    return Run(site.store, work.key, content)


def to_give_up(site: Site, work: Work) -> Run:
    """Return the run that was cut short. Raises OpsError where there is none."""
    run = unfinished(site, work)
    if run is None:
        raise OpsError(f"no {work.command} is unfinished on {site.name}: there is nothing to give up")
    return run


def last(site: Site, work: Work) -> Mapping[str, Any] | None:
    """Return what is remembered of the newest run."""
    return site.store.read(work.key)


def refuse_others(site: Site, key: str) -> None:
    """Raise OpsError where another command's run is unfinished: two changes are not carried out at once."""
    for other, command in COMMANDS.items():
        content = site.store.read(other) if other != key else None
        if content is not None and content["state"] in UNFINISHED:
            raise OpsError(
                f"the {content['what']} of {site.name}, begun {content['began']} by {content['by']}, is not "
                f"finished: `python -m ops {command} --stack {site.name}` goes on with it"
            )


def label_of(slug: str, now: datetime) -> str:
    """Return the label of the checkpoint that is taken before a change."""
    return checkpoint.label_before(slug, now)


def begin(site: Site, work: Work, change: Change) -> Run:
    """Remember a new run; the caller holds the stack's mark and knows that none is unfinished."""
    earlier = site.store.read(work.key)
    if earlier is not None:
        site.store.write(f"{work.key.rpartition('/')[0]}/{earlier['id']}.json", earlier)
    now = datetime.now(UTC)
    content: dict[str, Any] = {
        "id": f"{now:%y%m%d%H%M%S}-{secrets.token_hex(2)}",
        "what": change.what,
        "state": UPDATING,
        "label": label_of(change.slug, now),
        "steps": list(change.steps),
        "done": [],
        "settings": dict(change.settings),
        "former": {path: site.stack.setting(path) for path in change.settings},
        "code": take.code_of(site).model_dump(mode="json"),
        "detail": dict(change.detail),
        "began": runs.now(),
        "by": runs.operator(),
    }
    site.store.write(work.key, content)
    return Run(site.store, work.key, content)


def carry_out(site: Site, work: Work, run: Run) -> None:
    """Go through the steps that are left. Raises ReturnedError when the change failed and was taken back.

    Any other OpsError leaves the run unfinished: the same command goes on.
    """
    steps: dict[str, Callable[[], None]] = {
        "code": lambda: _code(site, run),
        "close": lambda: _close(site, run),
        "checkpoint": lambda: _checkpoint(site, run),
        "data": lambda: _data(site, work, run),
        "check": lambda: _look(site, work, run),
        "open": lambda: _open(site, run),
    }
    try:
        for name in run["steps"]:
            if run["state"] == RETURNING:
                break
            if name not in run["done"]:
                with run.timed(name):
                    steps[name]()
                run.note(done=[*run["done"], name])
    except FailedError as error:
        run.note(state=RETURNING, reason=str(error))
    except OpsError as error:
        if run.get("changing"):
            told = str(error).rstrip(".")
            raise OpsError(f"{told}. {_state(site, run)}; {_ways(work, site)}") from error
        # Nothing of the data was changed yet: back is the shorter way, also from a passing trouble.
        run.note(state=RETURNING, reason=str(error))
    except KeyboardInterrupt:
        site.reporter.warn(f"{_state(site, run)}; {_ways(work, site)}")
        raise
    if run["state"] == RETURNING:
        give_back(site, work, run)
    run.note(state=DONE, ended=runs.now())


def give_back(site: Site, work: Work, run: Run) -> None:
    """Return code and data to what they were, and raise ReturnedError.

    Any other OpsError leaves the run unfinished: the same command goes on going back.
    """
    run.note(state=RETURNING, reason=run.get("reason") or "it was given up")
    try:
        with run.timed("return"):
            how = _return(site, work, run)
    except KeyboardInterrupt:
        site.reporter.warn(f"{_state(site, run)}; {_ways(work, site)}")
        raise
    except OpsError as error:
        reason = str(run["reason"]).rstrip(".")
        raise OpsError(
            f"{reason}. It could not be taken back: {error}. {_state(site, run)}; {_ways(work, site)}"
        ) from error
    run.note(state=RETURNED, ended=runs.now(), returned=how)
    raise ReturnedError(f"{str(run['reason']).rstrip('.')}. {how}")


# Steps


def _code(site: Site, run: Run) -> None:
    if run["settings"]:
        site.reporter.step("bring the new code to the servers (pulumi up)")
        site.stack.apply(run["settings"], site.reporter)
    site.reporter.step("wait for the new servers")
    fleet.await_new(site)


def _close(site: Site, run: Run) -> None:
    site.reporter.step("close the databases")
    # Before the first mark is put: whoever goes on after a kill must know.
    run.note(closed=run.get("closed") or runs.now())
    door.close(site)


def _checkpoint(site: Site, run: Run) -> None:
    take.take(
        site,
        run["label"],
        note=f"before the {run['what']}",
        keep_days=take.KEEP_DAYS_BEFORE,
        read_files=False,
        code=Code.model_validate(run["code"]),
    )


def _data(site: Site, work: Work, run: Run) -> None:
    run.note(changing=True)
    work.change(site, run)


def _look(site: Site, work: Work, run: Run) -> None:
    work.check(site, run)


def _open(site: Site, run: Run) -> None:
    site.reporter.step("open the databases")
    door.open_again(site)
    _note_open(run)


def _note_open(run: Run) -> None:
    closed = run.get("closed")
    if closed and not run.get("opened"):
        run.note(opened=runs.now())


# The way back


def _return(site: Site, work: Work, run: Run) -> str:
    site.reporter.say(f"it failed: {run['reason']}")
    untouched = None
    if not run.get("changing"):
        untouched = "nothing had been changed in the databases"
    elif not run.get("restoring"):
        site.reporter.step("look whether it left the databases as they were")
        untouched = work.is_untouched(site, run)
    if untouched is None:
        _restore(site, run)
    _former_code(site, run)
    if run.get("closed"):
        site.reporter.step("open the databases")
        door.open_again(site)
        _note_open(run)
    if untouched is None:
        return f"{site.name} is back at the checkpoint {run['label']}, with the code and the files of then"
    return f"{site.name} has its former code again; the data stay: {untouched}"


def _restore(site: Site, run: Run) -> None:
    """Return to the checkpoint, once."""
    run.note(restoring=run.get("restoring") or runs.now())
    current = site.store.read(restoring.CURRENT)
    if (
        current is not None
        and current["label"] == run["label"]
        and current["state"] == "done"
        and current["began"] >= run["restoring"]
    ):
        return
    # Where the databases were closed, nobody has worked since the checkpoint.
    choices = restoring.Choices(keep_present=run.get("closed") is None)
    restoring.restore_held(site, run["label"], choices)


def _former_code(site: Site, run: Run) -> None:
    """Return settings and servers to what they were, where they are not."""
    former = run["former"]
    different = {path: value for path, value in former.items() if site.stack.setting(path) != value}
    # Also without a difference: whoever wrote them may have been killed before `pulumi up` had ended. A
    # restore ends with an update of its own.
    if different or (former and not run.get("restoring")):
        site.reporter.step("bring the former code back to the servers (pulumi up)")
        site.stack.apply(different, site.reporter)
        site.reporter.step("wait for the former servers")
        fleet.await_new(site)


# What a person is told


def _state(site: Site, run: Run) -> str:
    closed = run.get("closed") and not run.get("opened")
    doors = "its databases are closed" if closed else "its databases are open"
    doing = "is being taken back" if run["state"] == RETURNING else "is not finished"
    return f"The {run['what']} of {site.name} {doing}, and {doors}"


def _ways(work: Work, site: Site) -> str:
    return (
        f"`python -m ops {work.command} --stack {site.name}` goes on, with --give-up it goes back to what was"
    )


def downtime(run: Mapping[str, Any]) -> float | None:
    """Return for how many seconds the databases of a run were closed."""
    closed, opened = run.get("closed"), run.get("opened")
    if not closed or not opened:
        return None
    first, second = (datetime.fromisoformat(text) for text in (closed, opened))
    return (second - first).total_seconds()
