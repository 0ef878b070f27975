"""The operations bucket of a stack: what the commands remember, as JSON documents and files by key.

Versioned and never emptied: a document that is written again keeps its earlier versions.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from botocore.exceptions import ClientError

from ops.aws import code, explained
from ops.errors import OpsError
from ops.lease import ABSENT, TAKEN


class AlreadyThereError(OpsError):
    """A document of that key exists, and it is not to be overwritten."""


class Store:
    """Documents and files below keys such as `checkpoints/opening.json`."""

    def __init__(self, client: Any, bucket: str) -> None:
        self.client = client
        self.bucket = bucket

    def _target(self, key: str) -> dict[str, str]:
        return {"Bucket": self.bucket, "Key": key}

    def read_bytes(self, key: str) -> bytes | None:
        """Return an object's content; None where there is none."""
        with explained(f"s3://{self.bucket}/{key}"):
            try:
                content: bytes = self.client.get_object(**self._target(key))["Body"].read()
            except ClientError as error:
                if code(error) in ABSENT:
                    return None
                raise
        return content

    def read(self, key: str) -> dict[str, Any] | None:
        """Return a document; None where there is none. Raises OpsError where it is no JSON object."""
        content = self.read_bytes(key)
        if content is None:
            return None
        try:
            value = json.loads(content)
        except ValueError:
            value = None
        if not isinstance(value, dict):
            raise OpsError(
                f"s3://{self.bucket}/{key} is damaged: it is no JSON; look at its earlier versions"
            )
        return value

    def create(self, key: str, content: Mapping[str, Any] | bytes) -> None:
        """Write a new document. Raises AlreadyThereError where there is another one of that key."""
        body = _bytes(content)
        with explained(f"s3://{self.bucket}/{key}"):
            try:
                self.client.put_object(**self._target(key), Body=body, IfNoneMatch="*")
            except ClientError as error:
                if code(error) not in TAKEN:
                    raise
                # The first of two attempts may have gone through without an answer.
                if self.read_bytes(key) != body:
                    raise AlreadyThereError(
                        f"s3://{self.bucket}/{key} exists, and is not overwritten"
                    ) from None

    def write(self, key: str, content: Mapping[str, Any] | bytes) -> None:
        """Write a document, over an earlier one too."""
        with explained(f"s3://{self.bucket}/{key}"):
            self.client.put_object(**self._target(key), Body=_bytes(content))

    def delete(self, key: str) -> None:
        """Take a document away; its versions stay."""
        with explained(f"s3://{self.bucket}/{key}"):
            self.client.delete_object(**self._target(key))

    def list(self, prefix: str) -> list[str]:
        """Return the keys that begin with `prefix`, sorted."""
        pages = self.client.get_paginator("list_objects_v2")
        with explained(f"s3://{self.bucket}/{prefix}"):
            return [
                item["Key"]
                for page in pages.paginate(Bucket=self.bucket, Prefix=prefix)
                for item in page.get("Contents", ())
            ]

    def upload(self, key: str, path: Path) -> None:
        """Store a file; one of that key that is there already is the same one or is overwritten."""
        with explained(f"s3://{self.bucket}/{key}"), path.open("rb") as file:
            self.client.put_object(**self._target(key), Body=file)


def _bytes(content: Mapping[str, Any] | bytes) -> bytes:
    if isinstance(content, bytes):
        return content
    return (json.dumps(content, indent=1, ensure_ascii=False, default=str) + "\n").encode()
