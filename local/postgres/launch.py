"""Runs one PostgreSQL program: ``launch.py <parent pid or 0> <directory> <program> [argument …]``.

It stands between the emulator and PostgreSQL for the length of an exec, on the standard library alone.

* With a parent pid, the program gets SIGQUIT (an immediate, crash-safe shutdown) when the thread that started
  it ends, so that a killed emulator leaves no orphan. Linux only; elsewhere pid files are swept at the next
  start.
* PostgreSQL refuses to run as root. Root therefore runs it in a user namespace in which uid 0 of the outside
  has an ordinary id, which needs no user on the host and changes no owner of a file. Where namespaces are
  forbidden (many containers), it runs as an ordinary system user that keeps the capability to pass
  directories closed to it; ``directory`` then belongs to that user.
"""

from __future__ import annotations

import ctypes
import os
import pwd
import sys
from pathlib import Path

CLONE_NEWUSER = 0x10000000
PR_SET_PDEATHSIG, PR_SET_KEEPCAPS, PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE = 1, 8, 47, 2
SIGQUIT = 3
CAP_DAC_OVERRIDE, CAP_DAC_READ_SEARCH = 1, 2
CAPABILITY_VERSION_3 = 0x20080522
CANDIDATES = ("postgres", "daemon", "nobody")


def _ordinary_user() -> pwd.struct_passwd:
    """initdb wants an id that has a name."""
    entries = {entry.pw_name: entry for entry in pwd.getpwall() if entry.pw_uid != 0}
    for name in CANDIDATES:
        if name in entries:
            return entries[name]
    if not entries:
        sys.exit("PostgreSQL cannot run as root, and this machine's passwd file names no other user")
    return next(iter(entries.values()))


def _own(directory: str, uid: int, gid: int) -> None:
    """Gives the tree to ``uid`` if it is another's, e.g. because the last run could make no namespace."""
    if directory == "-" or Path(directory).stat().st_uid == uid:
        return
    for path, _directories, files in os.walk(directory):
        os.chown(path, uid, gid)
        for name in files:
            os.chown(os.path.join(path, name), uid, gid, follow_symlinks=False)  # noqa: PTH118


def _enter_namespace(libc: ctypes.CDLL, user: pwd.struct_passwd) -> bool:
    if os.environ.get("OPENERP_NO_USER_NAMESPACE") or libc.unshare(CLONE_NEWUSER) != 0:
        return False
    Path("/proc/self/setgroups").write_text("deny")
    Path("/proc/self/uid_map").write_text(f"{user.pw_uid} 0 1")
    Path("/proc/self/gid_map").write_text(f"{user.pw_gid} 0 1")
    return True


def _become(libc: ctypes.CDLL, user: pwd.struct_passwd) -> None:
    """Changes to ``user``, keeping the capability to read and pass what belongs to others."""
    linux = sys.platform == "linux"
    if linux:
        libc.prctl(PR_SET_KEEPCAPS, 1, 0, 0, 0)
    os.setgroups([])
    os.setgid(user.pw_gid)
    os.setuid(user.pw_uid)
    if linux:
        wanted = 1 << CAP_DAC_OVERRIDE | 1 << CAP_DAC_READ_SEARCH
        header = (ctypes.c_uint32 * 2)(CAPABILITY_VERSION_3, 0)
        for bits in (wanted, 1 << CAP_DAC_OVERRIDE):
            if libc.capset(header, (ctypes.c_uint32 * 6)(bits, bits, bits, 0, 0, 0)) == 0:
                break
        for capability in (CAP_DAC_OVERRIDE, CAP_DAC_READ_SEARCH):
            libc.prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, capability, 0, 0)


def main() -> None:
    parent, directory, program = int(sys.argv[1]), sys.argv[2], sys.argv[3]
    libc = ctypes.CDLL(None, use_errno=True)
    linux = sys.platform == "linux"
    if os.geteuid() == 0:
        user = _ordinary_user()
        if linux and _may_make_namespace():
            _own(directory, 0, 0)
            _enter_namespace(libc, user)
        else:
            _own(directory, user.pw_uid, user.pw_gid)
            _become(libc, user)
    if parent and linux:
        libc.prctl(PR_SET_PDEATHSIG, SIGQUIT, 0, 0, 0)
        if os.getppid() != parent:
            sys.exit("the emulator ended while PostgreSQL was being started")
    os.execv(program, sys.argv[3:])  # noqa: S606


def _may_make_namespace() -> bool:
    """Tried in a child, because entering one cannot be undone."""
    if os.environ.get("OPENERP_NO_USER_NAMESPACE"):
        return False
    child = os.fork()
    if child == 0:
        try:
            done = _enter_namespace(ctypes.CDLL(None), _ordinary_user())
        except OSError:
            done = False
        os._exit(0 if done else 1)
    return os.waitpid(child, 0)[1] == 0


if __name__ == "__main__":
    main()
