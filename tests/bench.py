"""`make bench`: how long the main job takes, each command as a whole process, on a home of its own.

Prints the median and the range of several rounds, and what they are of the goals: 15 s for `up` from nothing
and 3 s for the preview of an unchanged stack, on two cores. For orientation: terraform with its AWS provider
needs 190 s to create 96 resources on the same emulator, and 20 s for a plan (measured with
terraform-provider-aws 5.100; most of it is waits built into the provider).
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
ROUNDS = int(os.environ.get("BENCH_ROUNDS", "3"))
GOALS = {"up from nothing": 15.0, "preview, unchanged": 3.0}
TERRAFORM = {"up from nothing": 190.0, "preview, unchanged": 20.0}


def timed(home: Path, *arguments: str) -> float:
    """Run one command of `python -m local` with its state in `home`; return the seconds of the process."""
    command = [sys.executable, "-m", "local", *arguments]
    begin = time.monotonic()
    ended = subprocess.run(
        command, cwd=ROOT, env=os.environ | {"OPENERP_LOCAL_HOME": str(home)}, capture_output=True, text=True
    )
    seconds = time.monotonic() - begin
    if ended.returncode:
        sys.exit(f"{' '.join(arguments)} failed:\n{ended.stdout[-2000:]}{ended.stderr[-2000:]}")
    return seconds


def one_round(figures: dict[str, list[float]]) -> None:
    """Bring the stack up from nothing, look at it unchanged, and take it away."""
    with tempfile.TemporaryDirectory(prefix="openerp-bench-") as place:
        home = Path(place)
        try:
            figures["up from nothing"].append(timed(home, "up"))
            figures["up, unchanged"].append(timed(home, "up"))
            for _ in range(3):
                figures["preview, unchanged"].append(timed(home, "preview", "--expect-no-changes"))
            figures["destroy"].append(timed(home, "destroy"))
        finally:
            timed(home, "down")


def main() -> None:
    """Run the rounds and print the table."""
    figures: dict[str, list[float]] = defaultdict(list)
    for number in range(ROUNDS):
        print(f"round {number + 1} of {ROUNDS} …", file=sys.stderr, flush=True)
        one_round(figures)
    print(f"{os.cpu_count()} cores, {ROUNDS} rounds; seconds of the whole process")
    print(f"{'':22}{'min':>8}{'median':>8}{'max':>8}{'goal':>8}{'terraform':>11}")
    for name, seconds in figures.items():
        median = statistics.median(seconds)
        goal = f"{median / GOALS[name]:.2f} x" if name in GOALS else ""
        against = f"{median / TERRAFORM[name]:.2f} x" if name in TERRAFORM else ""
        print(
            f"{name:22}{min(seconds):8.1f}{median:8.1f}{max(seconds):8.1f}{goal:>8}{against:>11}", flush=True
        )


if __name__ == "__main__":
    main()
