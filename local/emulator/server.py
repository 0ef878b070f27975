"""The emulator's process: moto with our extensions behind one loopback port, its history replayed first."""

from __future__ import annotations

import gc
import json
import logging
import os
import signal
import socket
import threading
import time
from importlib import import_module
from pathlib import Path
from typing import Any

from local.processes import identity

log = logging.getLogger("emulator")

SETTINGS = {
    "MOTO_DISABLE_GLOBAL_CORS": "true",
    "MOTO_ACM_VALIDATION_WAIT": "0",
    "AWS_EC2_METADATA_DISABLED": "true",
}
"""What moto reads from the environment when it is imported."""
HOME_CHECK = 2.0
"""Seconds between looks at whether the home is still there: an emulator whose home was deleted, by hand or
with its checkout, could be found and stopped by nobody."""


WARM = (
    ("ec2", "ec2"), ("iam", "iam"), ("kms", "kms"), ("s3", "s3"), ("logs", "logs"), ("rds", "rds"),
    ("secretsmanager", "secretsmanager"), ("efs", "efs"), ("elbv2", "elbv2"), ("acm", "acm"),
    ("autoscaling", "autoscaling"), ("cloudwatch", "cloudwatch"), ("sns", "sns"), ("ssm", "ssm"),
    ("backup", "backup"), ("wafv2", "wafv2"), ("events", "events"), ("route53", "route53"),
    ("budgets", "budgets"),
)  # fmt: skip
"""The services of the program, in about the order in which it needs them: moto's package, botocore's name."""


def _free_port(preferred: int | None) -> int:
    """``preferred`` if it is free, as the endpoint of the last time; else one that the system chooses."""
    for port in [preferred, 0] if preferred else [0]:
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return int(probe.getsockname()[1])
    raise OSError("no free port on 127.0.0.1")


def _last_port(directory: Path) -> int | None:
    try:
        return int((directory / "port").read_text())
    except (FileNotFoundError, ValueError):
        return None


def _read_models_once() -> None:
    """botocore's descriptions of services are read by each session and by moto anew, 0.1 s for EC2's each
    time."""
    from botocore.loaders import JSONFileLoader

    load, loaded = JSONFileLoader.load_file, dict[str, Any]()

    def load_file(self: Any, file_path: str) -> Any:
        if file_path not in loaded:
            loaded[file_path] = load(self, file_path)
        return loaded[file_path]

    JSONFileLoader.load_file = load_file


def _warm_up(stopping: threading.Event, lock: threading.RLock) -> None:
    """Reads what the first request to each service would have to wait for.

    An import draws from the generator that requests draw from: with `lock` it does so between two of them.
    """
    from moto.core.utils import get_service_model

    for package, model in WARM:
        if stopping.is_set():
            return
        with lock:
            import_module(f"moto.{package}.responses")
        get_service_model(model)


def _make_server(port: int, application: Any) -> Any:
    from moto.moto_server.werkzeug_app import MotoRequestHandler
    from werkzeug.serving import make_server

    class Handler(MotoRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True

        def log_request(self, *_: Any) -> None:
            """The application writes its own line."""

    return make_server("127.0.0.1", port, application, threaded=True, request_handler=Handler)


def main(home: Path, fingerprint: str) -> None:
    """Runs until SIGTERM or SIGINT; databases are shut down before it ends."""
    began = time.monotonic()
    gc.disable()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(name)s %(levelname)s %(message)s")
    logging.getLogger("werkzeug").setLevel(logging.WARNING)
    os.environ.update(SETTINGS)
    for name in list(os.environ):
        if name.startswith("AWS_") and name not in SETTINGS:
            del os.environ[name]
    directory = home / "emulator"

    from local.emulator.determinism import Determinism, load_seed
    from local.emulator.files import Files
    from local.postgres.supervisor import Supervisor

    stopping = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stopping.set())

    supervisor, files = Supervisor(home), Files(home)
    determinism = Determinism(load_seed(directory / "seed"))
    _read_models_once()
    determinism.install()

    from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app

    from local.emulator import extensions
    from local.emulator.application import Application
    from local.emulator.internal import Finisher, Internal, make_token
    from local.emulator.journal import Journal
    from local.emulator.nodes import Nodes

    nodes, token = Nodes(home), make_token(directory / "token")
    application = Application(
        DomainDispatcherApplication(create_backend_app),
        determinism,
        Journal(directory / "journal"),
        Internal(nodes),
        token,
    )
    extensions.install(supervisor, application.lock, nodes, files)
    count, failed = application.replay()
    application.refreshed.set()
    log.info("replayed %d requests, %d failed, %.2f s", count, failed, time.monotonic() - began)
    files.attach()
    supervisor.attach()
    log.info("databases are up, %.2f s", time.monotonic() - began)

    port = _free_port(_last_port(directory))
    server = _make_server(port, application)
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
    Finisher(nodes, application.lock, application.refreshed, ("127.0.0.1", port), token).start()
    (directory / "port").write_text(str(port))
    record = {
        "pid": str(os.getpid()),
        "identity": identity(os.getpid()),
        "endpoint_url": f"http://127.0.0.1:{port}",
        "fingerprint": fingerprint,
        "lost": str(failed),
    }
    fresh = directory / "process.json.new"
    fresh.write_text(json.dumps(record))
    fresh.replace(directory / "process.json")
    log.info("ready on port %d after %.2f s", port, time.monotonic() - began)
    _warm_up(stopping, application.lock)
    gc.enable()
    gc.freeze()
    log.info("warm after %.2f s", time.monotonic() - began)
    while not stopping.wait(HOME_CHECK) and (directory / "process.json").exists():
        pass
    log.info("stopping")
    server.shutdown()
    files.close()
    supervisor.close()
    (directory / "process.json").unlink(missing_ok=True)
    logging.shutdown()
    # Idle keep-alive connections have threads that would hold the interpreter up.
    os._exit(0)
