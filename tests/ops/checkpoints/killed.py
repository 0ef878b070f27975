"""A command of the room that kills itself: run as a program by its tests.

`python -m tests.ops.checkpoints.killed checkpoint LABEL --seen FILE`: after the first request that changes
something in AWS and that no run of the same file has made; `… --step "SENTENCE"`: when a step begins. It ends
by itself where it does not come so far.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
from pathlib import Path
from typing import Any

from ops.aws import Aws, boto3_client
from ops.checkpoints import past, restore, take
from ops.console import Reporter
from ops.lock import held
from ops.site import Site, open_site
from tests.ops.checkpoints.conftest import REGION, STACK

CHANGES = ("Create", "Delete", "Modify", "Put", "Resume", "Start", "Suspend", "Tag", "Update")


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


class Dying(Reporter):
    """Kills the process when a step begins."""

    def __init__(self, sentence: str | None) -> None:
        self.sentence = sentence

    def step(self, sentence: str) -> None:
        print(sentence, flush=True)
        if sentence == self.sentence:
            die()


class Calls:
    """Kills the process after the first request of its kind, when the answer is there."""

    def __init__(self, seen: Path | None) -> None:
        self.seen = seen
        self.kind = ""

    def client(self, service: str, region: str | None) -> Any:
        made = boto3_client(service, region)
        if self.seen is not None:
            made.meta.events.register("before-parameter-build", self.asks)
            made.meta.events.register("after-call", self.answered)
        return made

    def asks(self, params: dict[str, Any], model: Any, **_more: Any) -> None:
        self.kind = f"{model.name} {params.get('Key', '')}".strip()
        if str(params.get("Key", "")).endswith(".claim") and "Body" in params:
            body = params["Body"]
            content = json.loads(body if isinstance(body, bytes) else body.getvalue())
            self.kind += f" with {', '.join(sorted(content))}"

    def answered(self, model: Any, **_more: Any) -> None:
        assert self.seen is not None
        known = self.seen.read_text().splitlines() if self.seen.exists() else []
        if model.name.startswith(CHANGES) and self.kind not in known:
            with self.seen.open("a") as file:
                file.write(f"{self.kind}\n")
            die()


def main() -> None:
    options = argparse.ArgumentParser()
    options.add_argument("command", choices=("checkpoint", "past", "restore"))
    options.add_argument("label")
    options.add_argument("--seen", type=Path)
    options.add_argument("--step")
    given = options.parse_args()
    calls = Calls(given.seen)
    site: Site = open_site(
        STACK,
        Dying(given.step),
        ca=Path(os.environ["OPENERP_DATABASE_CA"]),
        file_systems=Path(os.environ["OPENERP_FILE_SYSTEMS"]),
        aws=Aws(REGION, make=calls.client),
    )
    if given.command == "restore":
        restore.restore(site, given.label, restore.Choices())
    elif given.command == "past":
        with held(site.store, site.name, "restore"):
            past.make(site, past.find(site, given.label))
    else:
        with held(site.store, site.name, f"checkpoint {given.label}"):
            take.take(site, given.label)
    print("done", flush=True)


if __name__ == "__main__":
    main()
