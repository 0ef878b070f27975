"""``python -m local.nodes <home> <region>``: the data centre's process, within namespaces of its own."""

from __future__ import annotations

import logging
import signal
import sys
import threading
from pathlib import Path


def main(home: Path, region: str) -> None:
    """Run until SIGTERM, or until the home is deleted."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(name)s %(levelname)s %(message)s")
    logging.getLogger("botocore").setLevel(logging.WARNING)
    stopping = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stopping.set())

    from local.nodes.balancers import Balancers
    from local.nodes.centre import Centre
    from local.nodes.hardware import Hardware

    hardware = Hardware(home, region)
    centre = Centre(home, region, hardware, Balancers(home, hardware.namespace))
    try:
        centre.run(stopping)
    finally:
        centre.close()


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2])
