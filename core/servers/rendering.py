"""Templates to text: one environment, in which a name that is not there is an error."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Final

import jinja2

from core import names
from core.servers.configuration import ServerConfiguration

HERE: Final = Path(__file__).parent
FILE_STORE_TUNNEL_PORT: Final = 20049
"""Loopback port on which stunnel takes NFS; the first that AWS's own mount helper would take."""

PATHS: Final[dict[str, str | int]] = {
    "config_dir": "/etc/openerp",
    "data_dir": "/var/lib/openerp",
    "shared_dir": "/srv/openerp",
    "addons_dir": "/usr/local/lib/openerp/addons",
    "log_dir": "/var/log/openerp",
    "database_ca": "/etc/openerp/database-ca.pem",
    "user": "openerp",
    "request_seconds": 720,
    # A threaded Odoo measured 140 to 160 MB after load; the limits leave room for a report or an import.
    "tenant_memory_high": "768M",
    "tenant_memory_max": "1G",
}
PORTS: Final[dict[str, int]] = {
    "client_certificate": names.CLIENT_CERTIFICATE_PORT,
    "file_store_tunnel": FILE_STORE_TUNNEL_PORT,
    "nfs": names.NFS_PORT,
}
LOGS: Final[tuple[tuple[str, str, str | None], ...]] = (
    ("odoo", "/var/log/openerp/odoo.log", "^\\d{4}-\\d{2}-\\d{2} "),
    ("tenants", "/var/log/openerp/tenant-*.log", "^\\d{4}-\\d{2}-\\d{2} "),
    ("nginx-access", "/var/log/openerp-nginx/access.log", None),
    ("nginx-error", "/var/log/openerp-nginx/error.log", None),
    ("system", "/var/log/syslog", None),
    ("cloud-init", "/var/log/cloud-init-output.log", None),
)
"""Stream, file and what the first line of an entry looks like, where entries have several lines."""


@cache
def _environment() -> jinja2.Environment:
    return jinja2.Environment(
        loader=jinja2.FileSystemLoader(HERE / "templates"),
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        autoescape=False,  # noqa: S701  configuration files, not HTML
    )


def render(template: str, server: ServerConfiguration) -> str:
    """Return the text of `template` for `server`."""
    return _environment().get_template(template).render(server=server, paths=PATHS, ports=PORTS, logs=LOGS)
