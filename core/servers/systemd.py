"""The units of a server, by file name."""

from __future__ import annotations

from typing import Final

from core.servers.configuration import ServerConfiguration
from core.servers.rendering import render

UNITS: Final[tuple[str, ...]] = (
    "openerp.target",
    "openerp-install.service",
    "openerp-secrets.service",
    "openerp-secrets-refresh.service",
    "openerp-secrets-refresh.timer",
    "openerp-files-certificate.service",
    "openerp-files-certificate.timer",
    "openerp-files-tunnel.service",
    "srv-openerp.mount",
    "openerp-first-start.service",
    "openerp-odoo.service",
    "openerp-ready.service",
    "openerp-nginx.service",
    "openerp-test-database.service",
    "openerp-agents.service",
    "openerp-failed@.service",
)
MODULE_UNITS: Final[tuple[str, ...]] = ("openerp-modules.service",)
TENANT_UNITS: Final[tuple[str, ...]] = (
    "openerp-tenants.service",
    "openerp-tenants.timer",
    "openerp-tenant-first-start@.service",
    "odoo-tenant@.service",
)


def render_units(server: ServerConfiguration) -> dict[str, str]:
    """Return each unit's text by its file name; those for tenants and data modules where there are some."""
    wanted = UNITS + (TENANT_UNITS if server.tenants_parameter_path else ())
    wanted += MODULE_UNITS if server.data_modules else ()
    return {name: render(f"units/{name}.j2", server) for name in wanted}
