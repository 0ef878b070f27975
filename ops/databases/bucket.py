"""A dump below a prefix of an S3 bucket, written in parts and encrypted by the service."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import threading
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from botocore.exceptions import BotoCoreError, ClientError

from core import dump_manifest
from ops.databases.archive import Stream
from ops.databases.errors import DatabaseError
from ops.databases.place import CLAIM, Stored, Writer

PART: Final = 16 << 20
"""Bytes of a part at first; parts grow with their number, so that 10,000 of them (S3's most) hold 880 GB."""
BEAT: Final = 30.0
"""Seconds between two signs of life of a dump."""
STALE: Final = 180.0
"""Seconds without one after which a dump on another machine is taken for dead."""
_TAKEN: Final = frozenset({"PreconditionFailed", "ConditionalRequestConflict", "412", "409"})
_ABSENT: Final = frozenset({"NoSuchKey", "404", "NotFound"})


def _code(error: ClientError) -> str:
    details: Mapping[str, Any] = error.response.get("Error", {})
    return str(details.get("Code", ""))


@contextlib.contextmanager
def explained(what: str) -> Iterator[None]:
    """Turn what boto3 raises into one sentence."""
    try:
        yield
    except ClientError as error:
        said = error.response.get("Error", {}).get("Message", "")
        raise DatabaseError(f"{what}: AWS refused {error.operation_name}: {_code(error)}: {said}") from error
    except BotoCoreError as error:
        raise DatabaseError(f"{what}: AWS cannot be asked: {error}") from error


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
class _Holder:
    """Who holds the place, as its mark says."""

    etag: str
    content: Mapping[str, Any]
    age: float

    def is_dead(self) -> bool:
        if self.content.get("host") == os.uname().nodename:
            return identity(int(self.content.get("process", 0))) != self.content.get("identity")
        return self.age > STALE

    def __str__(self) -> str:
        return f"process {self.content.get('process')} on {self.content.get('host')}"


class _ObjectWriter:
    """One object: in one request if it is small, else in parts as they fill."""

    def __init__(self, client: Any, target: Mapping[str, str], encryption: Mapping[str, str]) -> None:
        self._client, self._target, self._encryption = client, target, encryption
        self._digest = hashlib.sha256()
        self._pending = bytearray()
        self._count = 0
        self._upload: str | None = None
        self._parts: list[dict[str, Any]] = []

    def write(self, data: bytes, /) -> None:
        self._digest.update(data)
        self._pending += data
        self._count += len(data)
        size = PART * (1 + len(self._parts) // 1000)
        while len(self._pending) >= size:
            self._send(bytes(self._pending[:size]))
            del self._pending[:size]

    def _send(self, data: bytes) -> None:
        if self._upload is None:
            self._upload = self._client.create_multipart_upload(**self._target, **self._encryption)[
                "UploadId"
            ]
        number = len(self._parts) + 1
        sent = self._client.upload_part(**self._target, UploadId=self._upload, PartNumber=number, Body=data)
        self._parts.append({"ETag": sent["ETag"], "PartNumber": number})

    def finish(self) -> Stored:
        if self._upload is None:
            self._client.put_object(**self._target, **self._encryption, Body=bytes(self._pending))
        else:
            if self._pending:
                self._send(bytes(self._pending))
            self._client.complete_multipart_upload(
                **self._target,
                UploadId=self._upload,
                MultipartUpload={"Parts": self._parts},
            )
            self._upload = None
        return Stored(bytes=self._count, sha256=self._digest.hexdigest())

    def give_up(self) -> None:
        if self._upload is not None:
            with contextlib.suppress(ClientError, BotoCoreError):
                self._client.abort_multipart_upload(**self._target, UploadId=self._upload)


class Bucket:
    """Everything below `prefix/` of a bucket."""

    def __init__(self, client: Any, bucket: str, prefix: str, kms_key: str | None) -> None:
        self._client, self._bucket, self._prefix = client, bucket, prefix
        # Without a key, S3 encrypts with the bucket's default.
        self._encryption = {"ServerSideEncryption": "aws:kms", "SSEKMSKeyId": kms_key} if kms_key else {}
        self._lost = threading.Event()
        """Set when another dump has taken this one for dead."""

    @property
    def name(self) -> str:
        return f"s3://{self._bucket}/{self._prefix}"

    @property
    def label(self) -> str:
        return self._prefix.rpartition("/")[2]

    @property
    def scratch(self) -> Path | None:
        return None

    def _target(self, name: str) -> dict[str, str]:
        return {"Bucket": self._bucket, "Key": f"{self._prefix}/{name}"}

    def entries(self) -> list[str]:
        pages = self._client.get_paginator("list_objects_v2")
        with explained(self.name):
            return [
                item["Key"].removeprefix(f"{self._prefix}/")
                for page in pages.paginate(Bucket=self._bucket, Prefix=f"{self._prefix}/")
                for item in page.get("Contents", ())
            ]

    def _holder(self) -> _Holder | None:
        try:
            answer = self._client.get_object(**self._target(CLAIM))
        except ClientError as error:
            if _code(error) in _ABSENT:
                return None
            raise
        try:
            content = json.loads(answer["Body"].read())
        except ValueError:
            content = {}
        now = answer["ResponseMetadata"]["HTTPHeaders"].get("date")
        age = _seconds_between(answer["LastModified"].timestamp(), now)
        return _Holder(etag=answer["ETag"], content=content, age=age)

    def _mark(self, **condition: str) -> str:
        process = os.getpid()
        content = {
            "host": os.uname().nodename,
            "process": process,
            "identity": identity(process),
            "beat": time.time_ns(),
        }
        answer = self._client.put_object(
            **self._target(CLAIM), **self._encryption, Body=json.dumps(content).encode(), **condition
        )
        return str(answer["ETag"])

    @contextlib.contextmanager
    def claim(self) -> Iterator[None]:
        """Put the mark on condition that nobody's is there, or that a dead one's is; of two, one wins."""
        entries = self.entries()
        if entries and CLAIM not in entries:
            yield  # not this program's to claim: what is there says so
            return
        with explained(self.name):
            try:
                holder = self._holder()
                if holder is None:
                    etag = self._mark(IfNoneMatch="*")
                elif holder.is_dead():
                    etag = self._mark(IfMatch=holder.etag)
                else:
                    raise DatabaseError(
                        f"another dump writes to {self.name} at this moment ({holder}): wait for it, or name "
                        f"another place; a dead one is taken for dead after {STALE:.0f} seconds"
                    )
            except ClientError as error:
                if _code(error) in _TAKEN:
                    raise DatabaseError(f"another dump began to write to {self.name} just now") from None
                raise
        ended = threading.Event()
        beating = threading.Thread(target=self._beat, args=(etag, ended), daemon=True)
        beating.start()
        try:
            yield
        finally:
            ended.set()
            beating.join()
            with explained(self.name):
                entries = self.entries()
                if not self._lost.is_set() and (dump_manifest.NAME in entries or entries == [CLAIM]):
                    self._client.delete_object(**self._target(CLAIM))

    def _check_hold(self) -> None:
        if self._lost.is_set():
            raise DatabaseError(f"another dump took {self.name} over: this one could give no sign of life")

    def _beat(self, etag: str, ended: threading.Event) -> None:
        while not ended.wait(BEAT):
            try:
                etag = self._mark(IfMatch=etag)
            except ClientError as error:
                if _code(error) in _TAKEN | _ABSENT:
                    self._lost.set()
                    return
            except BotoCoreError:
                continue  # the next sign may come through

    @contextlib.contextmanager
    def writer(self, name: str) -> Iterator[Writer]:
        self._check_hold()
        opened = _ObjectWriter(self._client, self._target(name), self._encryption)
        with explained(self.name):
            try:
                yield opened
            finally:
                opened.give_up()

    @contextlib.contextmanager
    def reader(self, name: str) -> Iterator[Stream]:
        with explained(self.name):
            try:
                body = self._client.get_object(**self._target(name))["Body"]
            except ClientError as error:
                if _code(error) in _ABSENT:
                    raise DatabaseError(f"{name} is missing in {self.name}; nothing was loaded") from error
                raise
            with contextlib.closing(body):
                yield body

    def manifest(self) -> bytes | None:
        with explained(self.name):
            try:
                body: bytes = self._client.get_object(**self._target(dump_manifest.NAME))["Body"].read()
            except ClientError as error:
                if _code(error) in _ABSENT:
                    return None
                raise
        return body

    def publish(self, manifest: bytes) -> None:
        self._check_hold()
        with explained(self.name):
            try:
                self._client.put_object(
                    **self._target(dump_manifest.NAME), **self._encryption, Body=manifest, IfNoneMatch="*"
                )
            except ClientError as error:
                if _code(error) not in _TAKEN:
                    raise
                # The first of two attempts may have gone through without an answer.
                if self.manifest() != manifest:
                    raise DatabaseError(
                        f"{self.name} holds a complete dump meanwhile, which is not overwritten"
                    ) from None

    def remove(self, names: list[str]) -> None:
        with explained(self.name):
            for name in names:
                self._client.delete_object(**self._target(name))
            pages = self._client.get_paginator("list_multipart_uploads")
            for page in pages.paginate(Bucket=self._bucket, Prefix=f"{self._prefix}/"):
                for upload in page.get("Uploads", ()):
                    self._client.abort_multipart_upload(
                        Bucket=self._bucket, Key=upload["Key"], UploadId=upload["UploadId"]
                    )


def _seconds_between(modified: float, now: str | None) -> float:
    """Return how old something is by S3's own clock, in seconds."""
    from email.utils import parsedate_to_datetime

    return (parsedate_to_datetime(now).timestamp() if now else time.time()) - modified
