"""What a cluster can be brought back to: copies of it, and its write-ahead log since the oldest of them.

It is what RDS calls automated backups. The server copies each finished segment of its log to ``log/``; a
recovery takes the last copy before a moment, and the log from there to the moment.

So that a disk does not fill up, there are two copies at most: when the log since the last one is longer than
that copy, and than ``LOG_LIMIT``, another one is made, and the oldest goes with the log that only it needed.
How far back a recovery can go depends on that. The first copy costs nothing: it is what the cluster was made
from.
"""

from __future__ import annotations

import re
import shlex
import shutil
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from local.postgres.copies import beside, copy, link, link_or_copy, remove

LOG_LIMIT = 512 << 20
"""Bytes of log, at least, before another copy is made."""
KEPT = 2
"""Copies; fewer would leave nothing to go back to when one has just been made."""
SEGMENT = re.compile(r"[0-9A-F]{24}")
SIGNAL, AUTOMATIC = "recovery.signal", "postgresql.auto.conf"
OVERSHOT = "recovery ended before configured recovery target was reached"
"""What PostgreSQL says where nothing was written after the moment that it is to stop at."""


@dataclass(frozen=True)
class Copy:
    """A copy of a cluster."""

    directory: Path
    since: float
    """The first moment that it is good for, in seconds since 1970."""

    def first_segment(self) -> str | None:
        """The oldest segment of the log that a recovery from it needs; None: all there are."""
        label = self.directory / "data" / "backup_label"
        found = (
            re.search(r"START WAL LOCATION: .*\(file ([0-9A-F]{24})\)", label.read_text())
            if (label.exists())
            else None
        )
        return found[1] if found else None

    def size(self) -> int:
        """Bytes."""
        return sum(path.stat().st_size for path in self.directory.rglob("*") if path.is_file())


class Archive:
    """The archive of the cluster in ``cluster``."""

    def __init__(self, cluster: Path) -> None:
        self.directory = cluster / "archive"
        self.log = self.directory / "log"
        self._copies = self.directory / "copies"

    @staticmethod
    def settings() -> dict[str, str]:
        """How the server is told to archive; it runs commands in its data directory."""
        partial, place = shlex.quote("../archive/log/.%f"), shlex.quote("../archive/log/%f")
        # Once more after a kill is no harm: a finished segment does not change.
        return {
            "archive_mode": "on",
            "archive_command": f'cp "%p" {partial} && mv -f {partial} {place}',
        }

    def open(self) -> None:
        """Makes room for what the server archives, and sweeps what a kill left."""
        self.log.mkdir(parents=True, exist_ok=True, mode=0o700)
        for leftover in [*self._copies.glob(".*"), *self.log.glob(".*")]:
            leftover.unlink() if leftover.is_file() else remove(leftover)

    def remove(self) -> None:
        """Forgets everything: what comes after is not archived."""
        remove(self.directory)

    # Copies

    def _places(self) -> list[Path]:
        """The directories of the copies, the oldest first."""
        return sorted(self._copies.glob("[0-9]*"), key=lambda path: int(path.name))

    def copies(self) -> list[Copy]:
        """The copies that are good for something, the oldest first."""
        return [
            Copy(place, float((place / "since").read_text()))
            for place in self._places()
            if (place / "since").exists()
        ]

    def earliest(self) -> float | None:
        """The first moment to which a recovery can go; None: to none yet."""
        found = self.copies()
        return found[0].since if found else None

    def first(self, source: Path) -> None:
        """Takes what a cluster is being made from as its first copy. It is good from the server's start."""
        link(source, self._copies / "1")

    def next_place(self) -> Path:
        """Where the next copy is to be made."""
        places = self._places()
        self._copies.mkdir(parents=True, exist_ok=True, mode=0o700)
        return self._copies / str(int(places[-1].name) + 1 if places else 1)

    def waiting(self) -> Path | None:
        """A copy that nobody has said yet from when it is good."""
        return next((place for place in self._places() if not (place / "since").exists()), None)

    def good_from(self, place: Path, moment: float) -> None:
        """Says of a copy from when it is good, and lets go what is superfluous now."""
        fresh = beside(place / "since")
        fresh.write_text(repr(moment))
        fresh.rename(place / "since")
        self._prune()

    def wants_copy(self) -> bool:
        """Whether so much was written since the last copy that another one is due."""
        found = self.copies()
        if not found or self.waiting():
            return False
        last = found[-1]
        written = sum(
            status.st_size
            for status in (path.stat() for path in self.log.iterdir() if SEGMENT.fullmatch(path.name))
            if status.st_mtime > last.since
        )
        return written > LOG_LIMIT and written > last.size()

    def _prune(self) -> None:
        found = self.copies()
        for old in found[:-KEPT]:
            doomed = beside(old.directory)
            old.directory.rename(doomed)
            remove(doomed)
        needed = found[-KEPT:][0].first_segment()
        if needed:
            for path in self.log.iterdir():
                if SEGMENT.match(path.name) and path.name < needed:
                    path.unlink()

    # Recovery

    def recover(self, cluster: Path, target: Path, until: float, live_log: Path | None) -> None:
        """Makes of a copy and the log a directory in ``target`` whose server recovers to a moment (``inf``:
        the end of the log) when it is started. Raises ``LookupError`` where no copy is old enough.

        ``live_log`` is where the segments are that a server which does not run has not archived.
        """
        good = [found for found in self.copies() if found.since <= until]
        if not good:
            raise LookupError("there is no copy from before that moment")
        partial = beside(target)
        try:
            copy(good[-1].directory, partial)
            (partial / "since").unlink()
            shutil.copy2(cluster / "password", partial / "password")
            kept = partial / "restore"
            kept.mkdir(mode=0o700)
            needed = good[-1].first_segment() or ""
            for place in filter(None, (self.log, live_log)):
                for path in place.iterdir():
                    older = SEGMENT.match(path.name) and path.name < needed
                    if path.is_file() and not path.name.startswith(".") and not older:
                        _keep(path, kept / path.name)
            (partial / "data" / SIGNAL).touch(mode=0o600)
            (partial / "data" / AUTOMATIC).write_text(_instructions(until))
            partial.rename(target)
        finally:
            remove(partial)


def _keep(segment: Path, place: Path) -> None:
    """A segment of the archive does not change any more, and goes when its cluster's last copy does."""
    if not place.exists():
        link_or_copy(str(segment), str(place))


def _instructions(until: float) -> str:
    lines = [
        """restore_command = 'cp "../restore/%f" "%p"'""",
        "recovery_target_action = 'promote'",
        # Nobody is let in before the end; and so nothing in the log about the other server's limits matters.
        "hot_standby = 'off'",
    ]
    if until != float("inf"):
        moment = datetime.fromtimestamp(until, UTC)
        lines.append(f"recovery_target_time = '{moment:%Y-%m-%d %H:%M:%S.%f}+00'")
    return "\n".join(lines) + "\n"


def is_recovering(cluster: Path) -> bool:
    """Whether the server in a directory is being brought to a moment, or a kill came in between."""
    return (cluster / "restore").exists()


def go_to_the_end(cluster: Path) -> bool:
    """Lets a recovery that found nothing after its moment go on to the end of its log, which is the same.
    Says whether that changes anything."""
    file = cluster / "data" / AUTOMATIC
    text = file.read_text()
    fresh = "\n".join(line for line in text.splitlines() if not line.startswith("recovery_target_time"))
    file.write_text(fresh + "\n")
    return fresh.strip() != text.strip()


def finish(cluster: Path) -> None:
    """Forgets how a server came to its data, once it has."""
    (cluster / "data" / AUTOMATIC).write_text("")
    remove(cluster / "restore")
