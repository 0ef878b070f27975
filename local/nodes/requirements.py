"""Whether this machine can be a data centre: each thing that is missing as one line."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Final

from local.home import home as default_home

PROGRAMS: Final = {
    "mmdebstrap": "mmdebstrap",
    "systemd-nspawn": "systemd-container",
    "haproxy": "haproxy",
    "nft": "nftables",
    "ip": "iproute2",
    "nsenter": "util-linux",
    "unshare": "util-linux",
    "setpriv": "util-linux",
    "mount": "mount",
}
"""Programs and Debian's packages that bring them."""
FILES: Final = {"/usr/share/keyrings/debian-archive-keyring.gpg": "debian-archive-keyring"}
TRIALS: Final = (
    (
        "an overlay file system in {directory}",
        'cd "$1"; mkdir l u w m; mount -t overlay o -o lowerdir=l,upperdir=u,workdir=w m; : > m/x; umount m',
    ),
    (
        "network interfaces of its own",
        "ip link add name trial type bridge; ip link add name one type veth peer name two",
    ),
    (
        "stateful packet filters",
        "nft add table inet t; nft 'add chain inet t c { type filter hook input priority 0; }';"
        " nft 'add rule inet t c ct state established accept'",
    ),
)
"""What must work in namespaces of its own, and how it is tried; $1 is a directory for it."""


def _programs(find: Callable[[str], str | None], exists: Callable[[str], bool]) -> Iterable[str]:
    absent = {name: package for name, package in PROGRAMS.items() if not find(name)}
    absent |= {path: package for path, package in FILES.items() if not exists(path)}
    if not absent:
        return
    packages = sorted(set(absent.values()))
    yield f"missing: {', '.join(sorted(absent))} (sudo apt-get install {' '.join(packages)})"


def _nearest(directory: Path) -> Path:
    """`directory`, or the closest one above it that exists."""
    while not directory.is_dir():
        directory = directory.parent
    return directory


def _tried(directory: Path) -> Iterable[str]:
    namespaces = ("--mount", "--pid", "--net", "--ipc", "--uts", "--propagation", "private")
    enter = ["unshare", *namespaces, "--fork", "--kill-child"]

    def works(script: str, *arguments: str) -> str | None:
        done = subprocess.run(
            [*enter, "sh", "-euc", script, "sh", *arguments], capture_output=True, text=True, check=False
        )
        reason = (done.stderr.strip().splitlines() or [f"status {done.returncode}"])[-1]
        return None if done.returncode == 0 else reason

    if reason := works(":"):
        yield f"this machine permits no namespaces: {reason}"
        return
    for what, script in TRIALS:
        with tempfile.TemporaryDirectory(dir=_nearest(directory), prefix=".trial-") as trial:
            if reason := works(script, trial):
                yield f"this machine cannot do {what.format(directory=directory)}: {reason}"


def missing(
    home: Path | None = None,
    *,
    platform: str = sys.platform,
    uid: int | None = None,
    find: Callable[[str], str | None] = shutil.which,
    exists: Callable[[str], bool] = os.path.exists,
) -> list[str]:
    """What keeps this machine from being a data centre, a sentence each; empty: nothing does.

    The later ones are found by trying, so they are looked for only where the earlier ones are in order.
    """
    if platform != "linux":
        return ["servers are systemd containers, which need Linux"]
    if (os.geteuid() if uid is None else uid) != 0:
        return ["servers need root, for containers and networks of their own: sudo make live"]
    if absent := list(_programs(find, exists)):
        return absent
    return list(_tried(home or default_home()))


def main() -> int:
    """Print what is missing in one line; the exit status says whether anything is."""
    found = missing()
    if found:
        print("; ".join(found), file=sys.stderr)
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
