"""The web-client servers: nginx in front of Odoo's HTTP workers and its websocket process."""

from __future__ import annotations

from dataclasses import dataclass

import pulumi

from components.server_group import ServerGroup, ServerGroupArgs, ServerTraits
from core import names


@dataclass(frozen=True, kw_only=True)
class WebClientServerArgs(ServerGroupArgs):
    """What a `WebClientServer` is made from; `configure` must give role `web-client`."""


class WebClientServer(ServerGroup):
    """Servers for people's browsers: everything that is not RPC.

    A browser stays on one server for a day (its caches are warm there); sessions live in the file store,
    so that losing that server loses nobody's session. A new server is given its share over a minute,
    while its workers fill their caches.
    """

    def __init__(
        self, name: str, args: WebClientServerArgs, opts: pulumi.ResourceOptions | None = None
    ) -> None:
        super().__init__(
            "openerp:index:WebClientServer",
            name,
            args,
            ServerTraits(target_port=names.WEB_CLIENT_TARGET_PORT, sticky=True, slow_start_seconds=60),
            opts,
        )
