"""nginx of a server: on both roles the only way in from the load balancer."""

from __future__ import annotations

from core.servers.configuration import ServerConfiguration
from core.servers.rendering import render


def render_nginx_conf(server: ServerConfiguration) -> str:
    """Return nginx.conf, complete, which includes the text of `render_nginx_locations`."""
    return render("nginx.conf.j2", server)


def render_nginx_locations(server: ServerConfiguration) -> str:
    """Return what the server blocks of all host names (the stack's and tenants') have in common."""
    return render("nginx-locations.conf.j2", server)
