"""A mark in S3 that says who is at work, so that of two at once one waits: taken on condition, kept by beats.

A holder on this machine is dead when its process is gone; one elsewhere when it gave no sign for a while.
"""

from __future__ import annotations

import contextlib
import getpass
import json
import os
import threading
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from botocore.exceptions import BotoCoreError, ClientError

BEAT: Final = 30.0
"""Seconds between two signs of life."""
STALE: Final = 180.0
"""Seconds without one after which a holder on another machine is taken for dead."""
TAKEN: Final = frozenset({"PreconditionFailed", "ConditionalRequestConflict", "412", "409"})
"""Codes with which S3 says that the condition of a write does not hold."""
ABSENT: Final = frozenset({"NoSuchKey", "404", "NotFound"})
"""Codes with which S3 says that there is no such object."""


class TakenError(Exception):
    """Somebody else holds the mark; `holder` says who."""

    def __init__(self, holder: str) -> None:
        super().__init__(holder)
        self.holder = holder


def _code(error: ClientError) -> str:
    details: Mapping[str, Any] = error.response.get("Error", {})
    return str(details.get("Code", ""))


def identity(process: int) -> str | None:
    """Return what tells a process from a later one with its number; None where none runs."""
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[19]
    except (OSError, IndexError):
        pass
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return None
    except OSError:
        pass
    return "unknown"


@dataclass
class Holder:
    """Who holds the mark, as it says itself."""

    etag: str
    content: Mapping[str, Any]
    age: float

    def is_dead(self) -> bool:
        if self.content.get("host") == os.uname().nodename:
            return identity(int(self.content.get("process", 0))) != self.content.get("identity")
        return self.age > STALE

    @property
    def what(self) -> str:
        """What it does, as `restore opening`."""
        return str(self.content.get("what", ""))

    def __str__(self) -> str:
        who = f"{self.content.get('user', 'somebody')}@{self.content.get('host')}"
        what = self.content.get("what")
        since = f" since {self.content['since']}" if "since" in self.content else ""
        return f"{f'{what} by ' if what else ''}{who}, process {self.content.get('process')}{since}"


class Lease:
    """The mark at one key of a bucket."""

    def __init__(
        self, client: Any, bucket: str, key: str, *, what: str = "", extra: Mapping[str, str] | None = None
    ) -> None:
        """`what`: what the holder does, for the one who waits. `extra`: for each write, as encryption."""
        self._client = client
        self._target = {"Bucket": bucket, "Key": key}
        self._extra = dict(extra or {})
        self._what = what
        self._since = time.strftime("%H:%M:%S UTC", time.gmtime())
        self._etag = ""
        self._ended = threading.Event()
        self._beating: threading.Thread | None = None
        self.lost = threading.Event()
        """Set when another has taken this one for dead."""

    def _holder(self) -> Holder | None:
        try:
            answer = self._client.get_object(**self._target)
        except ClientError as error:
            if _code(error) in ABSENT:
                return None
            raise
        try:
            content = json.loads(answer["Body"].read())
        except ValueError:
            content = {}
        now = answer["ResponseMetadata"]["HTTPHeaders"].get("date")
        age = _seconds_between(answer["LastModified"].timestamp(), now)
        return Holder(etag=answer["ETag"], content=content, age=age)

    def holder(self) -> Holder | None:
        """Return who holds the mark; None where nobody does who lives. Raises what boto3 raises."""
        found = self._holder()
        return None if found is None or found.is_dead() else found

    def _mark(self, **condition: str) -> str:
        process = os.getpid()
        content = {
            "what": self._what,
            "user": _user(),
            "host": os.uname().nodename,
            "process": process,
            "identity": identity(process),
            "since": self._since,
            "beat": time.time_ns(),
        }
        answer = self._client.put_object(
            **self._target, **self._extra, Body=json.dumps(content).encode(), **condition
        )
        return str(answer["ETag"])

    def take(self) -> None:
        """Put the mark on condition that nobody's is there, or that a dead one's is; of two, one wins.

        Raises TakenError, and what boto3 raises.
        """
        try:
            holder = self._holder()
            if holder is None:
                self._etag = self._mark(IfNoneMatch="*")
            elif holder.is_dead():
                self._etag = self._mark(IfMatch=holder.etag)
            else:
                raise TakenError(str(holder))
        except ClientError as error:
            if _code(error) in TAKEN | ABSENT:
                raise TakenError("another that began just now") from None
            raise
        self._beating = threading.Thread(target=self._beat, daemon=True)
        self._beating.start()

    def _beat(self) -> None:
        while not self._ended.wait(BEAT):
            try:
                self._etag = self._mark(IfMatch=self._etag)
            except ClientError as error:
                if _code(error) in TAKEN | ABSENT:
                    self.lost.set()
                    return
            except BotoCoreError:
                continue  # the next sign may come through

    def rest(self) -> None:
        """Give no further sign; the mark stays."""
        self._ended.set()
        if self._beating is not None:
            self._beating.join()

    def remove(self) -> None:
        """Take the mark away, unless it is another's by now."""
        if not self.lost.is_set():
            self._client.delete_object(**self._target)

    @contextlib.contextmanager
    def held(self) -> Iterator[None]:
        """Hold the mark for a while."""
        self.take()
        try:
            yield
        finally:
            self.rest()
            self.remove()


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return str(os.getuid())


def _seconds_between(modified: float, now: str | None) -> float:
    """Return how old something is by S3's own clock, in seconds."""
    from email.utils import parsedate_to_datetime

    return (parsedate_to_datetime(now).timestamp() if now else time.time()) - modified
