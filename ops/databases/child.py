"""Runs one PostgreSQL program that ends when its parent does: `child.py <parent pid> <program> [argument …]`.

It stands between the command and the program for the length of an exec, on the standard library alone. The
kernel's signal at a parent's death is Linux's; elsewhere the program just runs.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys

PR_SET_PDEATHSIG = 1

if __name__ == "__main__":
    parent, program = int(sys.argv[1]), sys.argv[2:]
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        sys.exit(1)
    os.execv(program[0], program)  # noqa: S606 (no shell is wanted)
