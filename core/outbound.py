"""Which ports servers may reach outside their network.

A training system holds a copy of production's data and must reach nobody: its mail ports are closed, its
Odoo is confined to the private network by its own unit (`core/servers/templates/units/_odoo.j2`), and where
its servers need nothing from outside to start, so are they.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from core import names

WEB: Final[Mapping[str, int]] = {
    "https": names.HTTPS_PORT,
    "http": names.HTTP_PORT,  # Debian's package servers
}
MAIL: Final[Mapping[str, int]] = {"smtps": 465, "submission": 587, "imaps": 993}


def outbound_ports(environment: str, package_source: str, *, interface_endpoints: bool) -> Mapping[str, int]:
    """Return the TCP ports, by name, that servers may reach on the internet.

    None of them in training when the image brings every package (`package_source` is `image`) and AWS is
    called inside the VPC (`interface_endpoints`).
    """
    if environment != "training":
        return {**WEB, **MAIL}
    if package_source == "image" and interface_endpoints:
        return {}
    return WEB
