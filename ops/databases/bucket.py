"""A dump below a prefix of an S3 bucket, written in parts and encrypted by the service."""

from __future__ import annotations

import contextlib
import hashlib
import threading
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

from botocore.exceptions import BotoCoreError, ClientError

from core import dump_manifest
from ops.aws import code
from ops.aws import explained as aws_explained
from ops.databases.archive import Stream
from ops.databases.errors import DatabaseError
from ops.databases.place import CLAIM, Stored, Writer
from ops.errors import OpsError
from ops.lease import ABSENT, STALE, TAKEN, Lease, TakenError

PART: Final = 16 << 20
"""Bytes of a part at first; parts grow with their number, so that 10,000 of them (S3's most) hold 880 GB."""


@contextlib.contextmanager
def explained(what: str) -> Iterator[None]:
    """Turn what boto3 raises into one sentence, as a DatabaseError."""
    try:
        with aws_explained(what):
            yield
    except DatabaseError:
        raise
    except OpsError as error:
        raise DatabaseError(str(error)) from error.__cause__


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

    @contextlib.contextmanager
    def claim(self) -> Iterator[None]:
        """Put the mark on condition that nobody's is there, or that a dead one's is; of two, one wins."""
        entries = self.entries()
        if entries and CLAIM not in entries:
            yield  # not this program's to claim: what is there says so
            return
        target = self._target(CLAIM)
        lease = Lease(self._client, target["Bucket"], target["Key"], what="a dump", extra=self._encryption)
        with explained(self.name):
            try:
                lease.take()
            except TakenError as taken:
                raise DatabaseError(
                    f"another dump writes to {self.name} at this moment ({taken.holder}): wait for it, or "
                    f"name another place; a dead one is taken for dead after {STALE:.0f} seconds"
                ) from None
        self._lost = lease.lost
        try:
            yield
        finally:
            lease.rest()
            with explained(self.name):
                entries = self.entries()
                if dump_manifest.NAME in entries or entries == [CLAIM]:
                    lease.remove()

    def _check_hold(self) -> None:
        if self._lost.is_set():
            raise DatabaseError(f"another dump took {self.name} over: this one could give no sign of life")

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
                if code(error) in ABSENT:
                    raise DatabaseError(f"{name} is missing in {self.name}; nothing was loaded") from error
                raise
            with contextlib.closing(body):
                yield body

    def manifest(self) -> bytes | None:
        with explained(self.name):
            try:
                body: bytes = self._client.get_object(**self._target(dump_manifest.NAME))["Body"].read()
            except ClientError as error:
                if code(error) in ABSENT:
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
                if code(error) not in TAKEN:
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
