"""What a server does with a file system that AWS Backup has just made; sent to it by Run Command.

The functions that look at folders run where file systems are mounted, too.
"""

from __future__ import annotations

import contextlib
import re
import subprocess
import tempfile
import time
from pathlib import Path

RESTORED = "aws-backup-restore_*"
"""AWS Backup restores into a folder of that name off the root (AWS Backup guide, "Restore an Amazon EFS file
system")."""
HOME = "odoo"
"""Where a stack's own file systems have what the servers see."""
PORT = 20499
"""Near end of the tunnel to the new file system, beside the one that the server has."""
MOUNTED = "vers=4.1,rsize=1048576,wsize=1048576,hard,timeo=600,retrans=2,noresvport,nodev,nosuid,noexec"


def settle(root: str, path: str) -> str:
    """Move what was restored to where a stack has it, and return the directory, as `/odoo`.

    `path`: where it was in the file system that was backed up. Without the move each restore would be a
    folder deeper than the last, and EFS takes four. Called again it finds what it has done.
    """
    home, folders = Path(root) / HOME, sorted(Path(root).glob(RESTORED))
    found = [folder / path.strip("/") for folder in folders if (folder / path.strip("/")).is_dir()]
    if home.is_dir() and not found:
        return f"/{HOME}"
    if len(found) != 1:
        there = ", ".join(sorted(entry.name for entry in Path(root).iterdir())) or "nothing"
        raise RuntimeError(f"the restored file system has no one folder of {path}; in it: {there}")
    try:
        found[0].rename(home)
    except OSError:
        # Mounted by one who may not write there: it is served from where it is.
        return f"/{found[0].relative_to(root)}"
    empty = found[0].parent
    while empty != Path(root):
        with contextlib.suppress(OSError):
            empty.rmdir()
        empty = empty.parent
    return f"/{HOME}"


def settle_on_server(file_system: str, address: str, path: str, seconds: int) -> str:
    """On a server: mount the new file system at its root, over TLS, and put what was restored in its place.

    It has no policy yet, so that no access point and no permission is needed; the next update gives it one.
    """
    from openerp_server import common

    own = common.read_server()["file_system_id"]
    text = (common.CONFIG_DIR / "stunnel.conf").read_text()
    with tempfile.TemporaryDirectory(prefix="openerp-restored-") as folder:
        place, configuration = Path(folder, "files"), Path(folder, "stunnel.conf")
        place.mkdir()
        configuration.write_text(tunnel(text, own, file_system, address))
        with subprocess.Popen(["stunnel4", str(configuration)]) as process:
            try:
                end = time.monotonic() + seconds
                command = ["mount", "-t", "nfs4", "-o", f"{MOUNTED},port={PORT}", "127.0.0.1:/", str(place)]
                while subprocess.run(command, check=False, capture_output=True, timeout=120).returncode:
                    if time.monotonic() > end:
                        raise RuntimeError(f"{file_system} cannot be mounted by way of {address}")
                    time.sleep(2)
                try:
                    return settle(str(place), path)
                finally:
                    subprocess.run(["umount", str(place)], check=True)
            finally:
                process.terminate()


def tunnel(text: str, own: str, file_system: str, address: str) -> str:
    """Return the configuration of a tunnel to another file system, from that of the server's own."""
    text = text.replace(own, file_system)
    for pattern, line in (
        (r"accept = .*", f"accept = 127.0.0.1:{PORT}"),
        (r"connect = .*", f"connect = {address}:2049"),
        (r"cert = .*\n", ""),
        (r"key = .*\n", ""),
    ):
        text, times = re.subn(rf"^{pattern}", line, text, flags=re.MULTILINE)
        if times != 1:
            raise RuntimeError(f"stunnel.conf has {pattern.partition(' ')[0]!r} {times} times")
    return text
