"""Data modules: fetched from the operations bucket, known by the hash of their files, and never installed.

The hash is that of `core/module_package.py`. What is on the addons path with the right hash stays, so that
Odoo's restarts need neither the bucket nor the network.
"""

from __future__ import annotations

import io
import shutil
import zipfile
from functools import partial
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING

from . import common

if TYPE_CHECKING:
    Files = dict[str, bytes]


def tree_hash(files: Files) -> str:
    """Return the hash of files, content by path."""
    lines = (f"{sha256(content).hexdigest()}  {path}\n" for path, content in sorted(files.items()))
    return sha256("".join(lines).encode()).hexdigest()


def read_tree(folder: Path) -> Files:
    """Return what is in `folder`, links as what they lead to."""
    return {
        str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if not path.is_dir()
    }


def unpack(archive: bytes, name: str, wanted: str) -> Files:
    """Return the files in a module's archive; raise `StepError` when they are not the `wanted` ones."""
    with zipfile.ZipFile(io.BytesIO(archive)) as opened:
        files = {entry.filename: opened.read(entry) for entry in opened.infolist()}
    for path in files:
        if {"", ".", ".."} & set(path.split("/")):
            raise common.StepError(f"the archive of the data module {name} holds the path {path!r}")
    if (found := tree_hash(files)) != wanted:
        raise common.StepError(f"the data module {name} has the hash {found}, but dataModules says {wanted}")
    return files


def place(files: Files, target: Path) -> None:
    """Write the files beside `target`, then put them there all at once."""
    beside = target.with_name(f".{target.name}")
    shutil.rmtree(beside, ignore_errors=True)
    for path, content in files.items():
        (beside / path).parent.mkdir(parents=True, exist_ok=True)
        (beside / path).write_bytes(content)
    shutil.rmtree(target, ignore_errors=True)
    beside.rename(target)


def fetch(server: common.Server, name: str, wanted: str) -> Files:
    """Return the files of a module from the operations bucket."""
    import botocore.session

    client = botocore.session.get_session().create_client("s3", region_name=server["region"])
    answer = client.get_object(Bucket=server["operations_bucket"], Key=f"modules/{name}/{wanted}.zip")
    return unpack(answer["Body"].read(), name, wanted)


def fetch_modules(server: common.Server) -> None:
    """Put each data module on the addons path, unless it is there."""
    for name, wanted in server["data_modules"].items():
        target = Path(server["addons_dir"]) / name
        if tree_hash(read_tree(target)) != wanted:
            files = common.keep_trying(
                f"data module {name}", partial(fetch, server, name, wanted), seconds=600
            )
            place(files, target)
            common.tell(f"the data module {name} is on the addons path")
