"""A refresh that kills itself: run as a program by its tests.

`python -m tests.ops.training.killed --call N`: after so many requests that change something in AWS;
`… --after STEP…`: when a step begins that is none of these. It ends by itself where it comes to an end.
"""

from __future__ import annotations

import argparse
import os
import signal
from pathlib import Path
from typing import Any

from ops.aws import Aws, boto3_client
from ops.console import Reporter
from ops.site import open_site
from ops.training import refresh
from ops.training.plan import Choices
from tests.ops.training.two_stacks import PRODUCTION, REGION, TRAINING

CHANGES = ("Create", "Delete", "Modify", "Put", "Resume", "Start", "Suspend", "Tag", "Update")


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


class Dying(Reporter):
    """Kills the process when a new step begins."""

    def __init__(self, known: list[str] | None) -> None:
        self.known = known

    def step(self, sentence: str) -> None:
        print(f"step: {sentence}", flush=True)
        if self.known is not None and sentence not in self.known:
            die()


class Calls:
    """Kills the process after so many requests that change something, when the answer is there."""

    def __init__(self, left: int | None) -> None:
        self.left = left

    def client(self, service: str, region: str | None) -> Any:
        made = boto3_client(service, region)
        made.meta.events.register("after-call", self.heard)
        return made

    def heard(self, model: Any, **_more: Any) -> None:
        if self.left is None or not model.name.startswith(CHANGES):
            return
        self.left -= 1
        if self.left == 0:
            print(f"after {model.name}", flush=True)
            die()


def main() -> None:
    options = argparse.ArgumentParser()
    options.add_argument("--call", type=int)
    options.add_argument("--after", nargs="*")
    given = options.parse_args()
    reporter = Dying(given.after)
    target, source = (
        open_site(
            stack,
            reporter,
            ca=Path(os.environ["OPENERP_DATABASE_CA"]),
            file_systems=Path(os.environ["OPENERP_FILE_SYSTEMS"]),
            aws=Aws(REGION, make=Calls(given.call).client if stack == TRAINING else None),
        )
        for stack in (TRAINING, PRODUCTION)
    )
    refresh.refresh(target, source, Choices(by_odoo=False))
    print("done", flush=True)


if __name__ == "__main__":
    main()
