"""RPC reaches the databases of this server's filter and no others, as browsers do.

Odoo applies `dbfilter` to browsers alone: XML-RPC and JSON-RPC would let a person into any database that
this server's role may open. This is a server-wide module of Odoo, imported before the first request.
"""

from typing import TYPE_CHECKING

from odoo import http
from odoo.exceptions import AccessDenied
from odoo.service import common, db, model

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    Dispatch = Callable[[str, Any], Any]


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


common.dispatch = guarded(common.dispatch)
model.dispatch = guarded(model.dispatch)
db.exp_db_exist = ours
