"""What Odoo does otherwise on our servers: a server-wide module, imported before the first request.

RPC reaches the databases of this server's filter and no others, as browsers do: Odoo applies `dbfilter` to
browsers alone. XML-RPC and JSON-RPC would let a person into any database that this server's role may open.

A rotated password loses no request: the password file follows within a minute or so, and a login that is
refused meanwhile is tried again.

Where `serve` gives a banner, every page shows it.
"""

import os
import time
from typing import TYPE_CHECKING

import psycopg2  # type: ignore[import-untyped,import-not-found,unused-ignore]  # Odoo's own
from odoo import http, sql_db
from odoo.exceptions import AccessDenied
from odoo.service import common, db, model

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    Dispatch = Callable[[str, Any], Any]

PATIENCE = 90
"""Seconds; the timer of openerp-secrets-refresh looks every minute."""


def ours(name: str) -> bool:
    """Whether a database passes the filter."""
    return bool(http.db_filter([name], host=""))


def guarded(dispatch: "Dispatch") -> "Dispatch":
    """Refuse calls whose first parameter is another database."""

    def call(method: str, params: "Any") -> "Any":
        if method not in ("version", "about", "set_loglevel") and not ours(params[0]):
            raise AccessDenied
        return dispatch(method, params)

    return call


def patient(borrow: "Callable[..., Any]") -> "Callable[..., Any]":
    """Try a login again that is refused for its password; libpq reads the password file each time.

    Around the pool's method, not around `psycopg2.connect` in it: between two attempts the pool is not
    locked, and who has a connection can give it back.
    """

    def call(*arguments: "Any") -> "Any":
        end = time.monotonic() + PATIENCE
        while True:
            try:
                return borrow(*arguments)
            except psycopg2.OperationalError as error:
                if "password authentication failed" not in str(error) or time.monotonic() > end:
                    raise
            time.sleep(1)

    return call


common.dispatch = guarded(common.dispatch)
model.dispatch = guarded(model.dispatch)
db.exp_db_exist = ours
sql_db.ConnectionPool.borrow = patient(sql_db.ConnectionPool.borrow)
if os.environ.get("OPENERP_BANNER"):
    from . import banner  # noqa: F401  servers of production do not have it
