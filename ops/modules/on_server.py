"""What an app server prepares for a trial of a data module, and clears away; sent to it by Run Command.

The server fetches the module from the operations bucket with its own role, as it does for those of the
settings. Nothing secret is sent with it.
"""

from __future__ import annotations

import shutil
import time
import types
from pathlib import Path
from typing import Any

TRIALS = Path("/var/lib/openerp-trials")
"""Addons folders of trials; the real one is never touched."""
AT_A_TIME = "8"


def _modules(source: str) -> Any:
    """Return the server's own way to fetch modules; one that has none of the settings was made without it."""
    module: Any = types.ModuleType("openerp_server.modules")
    module.__package__ = "openerp_server"
    exec(compile(source, "modules.py", "exec"), module.__dict__)  # noqa: S102
    return module


def _filestore(server: Any, database: str) -> Path:
    return Path(server["shared_dir"]) / "filestore" / database


def clear(prefix: str) -> dict[str, list[str]]:
    """Remove what trials left here: addons folders, and file stores of databases that begin with `prefix`."""
    from openerp_server import common

    server = common.read_server()
    shutil.rmtree(TRIALS, ignore_errors=True)
    stores = sorted(path for path in _filestore(server, "").glob(f"{prefix}*") if path.is_dir())
    for store in stores:
        shutil.rmtree(store)
    return {"removed": [store.name for store in stores]}


def prepare(
    database: str, source_database: str, name: str, sha256: str, bucket: str, modules: str
) -> dict[str, Any]:
    """Bring the module onto a trial's addons path, and the files of the database to its scratch copy.

    Files are linked, not copied: Odoo never changes a stored file, and removes its own link alone.
    """
    from openerp_server import common

    server = common.read_server()
    fetching = _modules(modules)
    files = fetching.fetch({**server, "operations_bucket": bucket}, name, sha256)
    target = TRIALS / database / name
    fetching.place(files, target)
    for path in (TRIALS, target.parent):
        path.chmod(0o755)
    began = time.monotonic()
    store, copy = _filestore(server, source_database), _filestore(server, database)
    folders = sorted(path.name for path in store.iterdir()) if store.is_dir() else []
    as_odoo = {"user": server["user"], "group": server["user"], "extra_groups": []}
    common.run(["mkdir", "--mode", "0750", str(copy)], **as_odoo)
    common.run(
        [
            *("xargs", "--null", "--no-run-if-empty", "--max-procs", AT_A_TIME, "-I{}"),
            *("cp", "--archive", "--link", f"{store}/{{}}", str(copy)),
        ],
        text="".join(f"{folder}\0" for folder in folders),
        **as_odoo,
    )
    return {"addons": str(target.parent), "link_seconds": round(time.monotonic() - began, 2)}
