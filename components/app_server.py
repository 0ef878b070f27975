"""The app servers: Odoo with RPC workers and the scheduled jobs."""

from __future__ import annotations

from dataclasses import dataclass

import pulumi

from components.server_group import ServerGroup, ServerGroupArgs, ServerTraits
from core import names


@dataclass(frozen=True, kw_only=True)
class AppServerArgs(ServerGroupArgs):
    """What an `AppServer` is made from; `configure` must give role `app`."""


class AppServer(ServerGroup):
    """Servers for `/xmlrpc/*`, `/jsonrpc` and `/json/2/*`, and for clients with a certificate.

    RPC clients keep no cookies, so nothing keeps them on one server.
    """

    def __init__(self, name: str, args: AppServerArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__(
            "openerp:index:AppServer",
            name,
            args,
            ServerTraits(target_port=names.APP_TARGET_PORT, sticky=False, slow_start_seconds=0),
            opts,
        )
