"""Which place a person names: a folder, or a prefix of a bucket."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ops.databases.bucket import Bucket
from ops.databases.errors import DatabaseError
from ops.databases.folder import Folder
from ops.databases.place import Place


def open_place(where: str, *, kms_key: str | None, client: Callable[[], Any]) -> Place:
    """Return the place that `where` names: a folder, or `s3://bucket/prefix`. `client` gives boto3's S3."""
    if where.startswith("s3://"):
        bucket, _, prefix = where.removeprefix("s3://").partition("/")
        prefix = prefix.strip("/")
        if not bucket or not prefix:
            raise DatabaseError(f"{where}: a dump in S3 needs a name of its own, as s3://bucket/dumps/name")
        return Bucket(client(), bucket, prefix, kms_key)
    if re.match(r"[a-z][a-z0-9+.-]*://", where):
        raise DatabaseError(f"{where}: a dump goes to a folder or to s3://bucket/prefix")
    if kms_key:
        raise DatabaseError("--kms-key is for s3://: a folder is as encrypted as its disk")
    return Folder(Path(where))
