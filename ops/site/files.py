"""What a file store holds, looked at where it is mounted. Standard library alone: servers run it too.

Odoo names a stored file by its SHA-1, below a folder of its first two digits (`ab/ab12…`).
"""

from __future__ import annotations

import hashlib
import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

STORED = frozenset("0123456789abcdef")
NAMED = 1000
"""So many missing or damaged files are named; the rest is counted."""
NAMED_BY_SERVER = 200
"""What a server names: SSM keeps 24,000 characters of an answer."""
STORED_FILES = "select distinct store_fname from public.ir_attachment where coalesce(store_fname, '') <> ''"


def _is_folder(name: str) -> bool:
    return len(name) == 2 and set(name) <= STORED


def look(store: str) -> dict[str, Any]:
    """Return `count`, `bytes` and `folders`: a SHA-256 for each folder, over its sorted names and sizes.

    `store`: the folder of one database (`…/filestore/<database>`). One that is not there holds nothing.
    """
    folders: dict[str, str] = {}
    count = total = 0
    try:
        names = sorted(path.name for path in Path(store).iterdir() if _is_folder(path.name))
    except FileNotFoundError:
        names = []
    for folder in names:
        rows = []
        with os.scandir(Path(store) / folder) as entries:
            for entry in entries:
                if entry.is_file(follow_symlinks=False):
                    size = entry.stat(follow_symlinks=False).st_size
                    rows.append(f"{folder}/{entry.name} {size}\n")
                    count += 1
                    total += size
        if rows:
            folders[folder] = hashlib.sha256("".join(sorted(rows)).encode()).hexdigest()[:16]
    return {"count": count, "bytes": total, "folders": folders}


def _state(store: str, name: str) -> str:
    digest = hashlib.sha1(usedforsecurity=False)
    try:
        with (Path(store) / name).open("rb") as file:
            while block := file.read(1 << 20):
                digest.update(block)
    except (FileNotFoundError, IsADirectoryError, NotADirectoryError):
        return "missing"
    return "whole" if digest.hexdigest() == name.rpartition("/")[2] else "damaged"


def check(store: str, wanted: list[str], jobs: int = 4) -> dict[str, Any]:
    """Read every file of `wanted` (`ab/ab12…`) and return which are `missing` or `damaged`.

    Damaged: its SHA-1 is not its name. At most 1,000 of each are named; `missing_count` and `damaged_count`
    count all.
    """
    with ThreadPoolExecutor(max_workers=jobs) as pool:
        states = dict(
            zip(wanted, pool.map(lambda name: _state(store, name), wanted, chunksize=64), strict=True)
        )
    found: dict[str, Any] = {"checked": len(wanted)}
    for kind in ("missing", "damaged"):
        names = sorted(name for name, state in states.items() if state == kind)
        found[kind] = names[:NAMED]
        found[f"{kind}_count"] = len(names)
    return found


def check_on_server(database: str, role: str = "", secret: str = "") -> dict[str, Any]:
    """On a server: check every file that attachments of `database` name, in the server's own file store.

    `role` with the password in `secret` asks the database; without, the server's own role.
    """
    from openerp_server import common, first_start, secret_values  # on servers only

    server = common.read_server()
    os.environ["PGPASSFILE"] = str(first_start.password_file(server))
    if role:
        password = secret_values.fetch(server, secret)
        connection = first_start.connect({**server, "database_role": role}, database, password)
    else:
        connection = first_start.connect(server, database)
    try:
        rows = connection.rows(STORED_FILES) if connection.has_table("ir_attachment") else []
    finally:
        connection.close()
    store = Path(server["shared_dir"]) / "filestore" / database
    found = check(str(store), sorted(name for (name,) in rows))
    return {**found, **{kind: found[kind][:NAMED_BY_SERVER] for kind in ("missing", "damaged")}}


def look_on_server(database: str) -> dict[str, Any]:
    """On a server: look at the server's own file store of `database`."""
    from openerp_server import common

    return look(str(Path(common.read_server()["shared_dir"]) / "filestore" / database))
