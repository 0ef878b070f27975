"""What an app server does for a data module; sent to it by Run Command, and nothing secret with it.

The server fetches the module from the operations bucket with its own role, as it does for those of the
settings. Odoo runs as its own user and reaches nobody but the database server: what an import writes mail for
gets none.
"""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import time
import types
import zlib
from pathlib import Path
from typing import Any

TRIALS = Path("/var/lib/openerp-trials")
"""Addons folders of trials; the real one is never touched."""
LOG_LINES = 400
LINE = 2000
LOG_BYTES = 12_000
"""So much of the end of a log comes back: lines, characters of a line, bytes of all when compressed."""
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
    return {"files": len(files), "folders": len(folders), "seconds": round(time.monotonic() - began, 2)}


def _fenced(server: Any, command: list[str], options: dict[str, Any]) -> tuple[list[str], dict[str, Any]]:
    """Let a command of Odoo reach the database server, by its address, and nothing else."""
    found = socket.getaddrinfo(server["database_host"], server["database_port"], type=socket.SOCK_STREAM)
    address = found[0][4][0]
    fence = ["--property=IPAddressDeny=any", f"--property=IPAddressAllow=127.0.0.0/8 ::1/128 {address}"]
    inside = command.index("setpriv")
    env = {**options["env"], "PGHOSTADDR": address}
    return [*command[:inside], *fence, *command[inside:]], {**options, "env": env}


def _command(server: Any, configuration: Path, arguments: list[str]) -> tuple[list[str], dict[str, Any]]:
    from openerp_server import first_start

    user = server["user"]
    return (
        [
            *("systemd-run", "--scope", "--quiet", "--collect"),
            "--property=IPAddressDeny=169.254.169.254/32 fd00:ec2::254/128",
            *("setpriv", "--reuid", user, "--regid", user, "--clear-groups", "--pdeathsig", "KILL"),
            *("odoo", *arguments, "--config", str(configuration), "--logfile", ""),
        ],
        {
            "umask": 0o027,
            "env": {
                "PATH": "/usr/bin:/bin",
                "HOME": server["data_dir"],
                "LANG": "C.UTF-8",
                "PGSSLROOTCERT": server["database_ca"],
                "PGPASSFILE": str(first_start.password_file(server)),
            },
        },
    )


def bring_in(database: str, name: str, update: bool, trial: bool) -> dict[str, Any]:
    """Install or update a module in a database, and return how Odoo ended and the end of its log.

    A second call waits for one that goes on, as after a command that was killed. `trial`: from a trial's
    addons path, behind a fence.
    """
    from openerp_server import common, first_start

    server = common.read_server()
    configuration = common.CONFIG_DIR / "odoo.conf"
    os.environ["PGPASSFILE"] = str(first_start.password_file(server))
    arguments = [
        *("server", "--database", database, "--update" if update else "--init", name, "--stop-after-init"),
        *("--no-http", "--max-cron-threads", "0", "--workers", "0"),
    ]
    if trial:
        own = next(
            line.partition("=")[2].strip()
            for line in configuration.read_text().splitlines()
            if line.partition("=")[0].strip() == "addons_path"
        )
        arguments += ["--addons-path", f"{TRIALS / database},{own}"]
    command, options = _command(server, configuration, arguments)
    if trial:
        command, options = _fenced(server, command, options)
    connection = first_start.connect(server, database)
    try:
        connection.rows("select pg_advisory_lock(%s)", (first_start.LOCK,))
        began = time.monotonic()
        done = subprocess.run(
            command, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False, **options
        )
        seconds = time.monotonic() - began
    finally:
        connection.close()
    return {"status": done.returncode, "seconds": round(seconds, 2), "log": end_of(done.stderr)}


def end_of(log: str) -> list[str]:
    """Return as much of the end of a log as SSM gives back."""
    lines = [line[:LINE] for line in log.splitlines()[-LOG_LINES:]]
    while len(zlib.compress("\n".join(lines).encode(), 9)) > LOG_BYTES:
        lines = lines[len(lines) // 2 or 1 :]
    return lines
