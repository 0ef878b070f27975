"""``python -m local.emulator <home> <fingerprint>``: the emulator's process. It detaches, printing its
pid."""

from __future__ import annotations

import os
import sys
from pathlib import Path

child = os.fork()
if child:
    print(child, flush=True)
    os._exit(0)
os.dup2(2, 1)

from local.emulator.server import main  # noqa: E402 - nothing heavy before the fork

main(Path(sys.argv[1]), sys.argv[2])
