"""One `up` in a process that a test can kill: `python -m tests.local.engine.runner <directory>`."""

from __future__ import annotations

import sys
from pathlib import Path

from local.engine import crypto, run
from tests.local.engine.world import Watch, loader


def main(directory: Path) -> int:
    """Run up in the world at `directory`; 0 when it succeeded, 1 when not."""
    crypto.ITERATIONS = 10  # type: ignore[misc]  # a test's key may be weak
    target = run.Target(directory / "project", "dev", directory / "state", lambda: "correct horse")
    result = run.update(target, loader=loader, events=Watch(), preview=False)
    for _, message in result.errors:
        print(message)
    return 0 if result.succeeded else 1


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
