"""Odoo, once its databases are there, ours, and open.

While the database server is away, or an operator has closed a database to change it, this process answers and
not Odoo; the load balancer's health check, too: nothing is wrong with this server, and a new one in its place
would be no better off.
"""

from __future__ import annotations

import os
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread

from . import common, first_start


class Waiting(BaseHTTPRequestHandler):
    """Says that this server is well, and everything else is to be tried again."""

    def do_GET(self) -> None:
        """Answer."""
        self.send_response(200 if self.path == "/web/health" else 503)
        self.send_header("Retry-After", "5")
        self.end_headers()
        self.wfile.write(b"Closed for a moment.\n")

    do_POST = do_GET  # noqa: N815

    def log_request(self, code: int | str = "-", size: int | str = "-") -> None:
        """Keep quiet."""


def banner_of(server: common.Server, name: str) -> str:
    """Return what the pages of the database `name` say of the system.

    Raises `StepError` when it must not be served; another error while it is away or closed.
    """
    database = first_start.connect(server, name)
    try:
        if reason := first_start.why_not_ours(database, name, server["environment"]):
            raise common.StepError(reason)
        # Of this server alone: what was restored from a copy that was taken meanwhile is open.
        if database.state("closed") == f"{server['database_host']}:{server['database_port']}":
            raise RuntimeError(f"{name} is closed")
        return database.state("banner") or f"{server['environment'].upper()} SYSTEM"
    finally:
        database.close()


def wait_for_databases(server: common.Server, names: list[str]) -> str:
    """Return the first database's banner once all answer and are ours; raise `StepError` when one is not."""
    answering: list[ThreadingHTTPServer] = []

    def look() -> str:
        try:
            first, *_ = [banner_of(server, name) for name in names]
            return first
        except common.StepError:
            raise
        except Exception:
            if not answering:
                for port in {server["odoo_gevent_port"], server["odoo_http_port"]}:
                    answering.append(ThreadingHTTPServer(("127.0.0.1", port), Waiting))
                    Thread(target=answering[-1].serve_forever, daemon=True).start()
            raise

    try:
        return common.keep_trying("databases", look, seconds=common.FOREVER)
    finally:
        for waiting in answering:
            waiting.shutdown()
            waiting.server_close()


def serve(server: common.Server, tenant: str = "") -> None:
    """Become Odoo, of this server or of one tenant; never with a database that is not ours."""
    server, configuration = first_start.of_tenant(server, tenant)
    names = [server["database_name"]]
    if not tenant:
        names.append(server["test_database_name"])
    banner = wait_for_databases(server, names)
    os.environ.pop("PYTHONPATH", None)
    if server["environment"] != "production":
        os.environ["OPENERP_BANNER"] = banner
    os.execvp("odoo", ["odoo", "--config", str(configuration)])  # noqa: S606  no shell is wanted
