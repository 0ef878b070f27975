"""odoo.conf of a server."""

from __future__ import annotations

from core.servers.configuration import ServerConfiguration
from core.servers.rendering import render


def render_odoo_conf(server: ServerConfiguration) -> str:
    """Return odoo.conf; it holds no password (libpq reads a file in memory)."""
    return render("odoo.conf.j2", server)
