"""Names, ports and other constants that more than one part of the deployment must agree on.

Nothing here decides anything. A number or a name that two modules would otherwise repeat lives here,
so that a security group, a target group, nginx and odoo.conf cannot drift apart.
"""

from __future__ import annotations

import hashlib
from typing import Final

PROJECT: Final = "openerp"
"""Name of the Pulumi project, and with it the configuration namespace (`openerp:release`)."""

# Ports. 8069 and 8072 are Odoo's own defaults (odoo.conf http_port and gevent_port).
HTTPS_PORT: Final = 443
HTTP_PORT: Final = 80
CLIENT_CERTIFICATE_PORT: Final = 8443
ODOO_HTTP_PORT: Final = 8069
ODOO_GEVENT_PORT: Final = 8072
WEB_CLIENT_TARGET_PORT: Final = 8080
"""nginx on a web-client server: what the load balancer's target group reaches."""
APP_TARGET_PORT: Final = ODOO_HTTP_PORT
POSTGRES_PORT: Final = 5432
NFS_PORT: Final = 2049

ODOO_UID: Final = 10001
ODOO_GID: Final = 10001
"""Owner of everything in the file store: the EFS access point enforces it and the servers run as it."""

HEALTH_PATH: Final = "/web/health"
"""Answers without touching the database, so that a database outage does not take every server out."""
RPC_PATHS: Final[tuple[str, ...]] = ("/xmlrpc/*", "/jsonrpc", "/json/2/*")
LOGIN_PATHS: Final[tuple[str, ...]] = ("/web/login",)

APPLICATION_ROLE: Final = "openerp_app"
REPORTING_ROLE: Final = "openerp_reporting"
MASTER_USERNAME: Final = "openerp_admin"


def resource_prefix(stack: str) -> str:
    """Return the start of the few physical names that a person must be able to recognise."""
    return f"{PROJECT}-{stack}"


def tenants_parameter_path(stack: str) -> str:
    """Return the SSM parameter in which the servers find the current tenants."""
    return f"/{PROJECT}/{stack}/tenants"


def checkpoint_snapshot_identifier(stack: str, label: str) -> str:
    """Return the RDS snapshot identifier of the checkpoint `label` of `stack`.

    RDS allows 1 to 255 letters, digits and hyphens, beginning with a letter, with no two hyphens in a
    row and none at the end (RDS API reference, CreateDBSnapshot); `settings.py` refuses labels and
    stack names that would not give such an identifier.
    """
    return f"{PROJECT}-{stack}-{label}"


def final_snapshot_identifier(stack: str) -> str:
    """Return the identifier of the snapshot that RDS takes when the database server is deleted."""
    return f"{PROJECT}-{stack}-final"


def restore_testing_plan(stack: str) -> str:
    """Return the name of the restore testing plan of AWS Backup, which takes letters, digits and `_` only."""
    return f"{PROJECT}_{stack.replace('-', '_')}"


OPERATIONS_NAMESPACE: Final = "OpenERP/Operations"
DRILL_AGE_METRIC: Final = "DaysSinceGoodDrill"
"""Put each day by `ops drills --report-age`, with the dimension `Stack`; an alarm looks at it."""


def told_apart(name: str, mark: str) -> str:
    """Return `name` with eight digits that follow from `mark`, something that is new where the name must be.

    Snapshots outlive their stack, and RDS takes no second one under the same name.
    """
    return f"{name}-{digits_of(mark)}"


def digits_of(mark: str) -> str:
    """Return eight hexadecimal digits that follow from `mark`."""
    return hashlib.sha256(mark.encode()).hexdigest()[:8]


def tenant_database(tenant: str) -> str:
    """Return the database of a tenant."""
    return tenant


def tenant_host(tenant: str, domain: str) -> str:
    """Return the host name of a tenant, which the wildcard certificate and record cover."""
    return f"{tenant}.{domain}"


def tenant_role(tenant: str) -> str:
    """Return the PostgreSQL login role of a tenant's database (one role a tenant keeps RPC apart).

    RPC ignores `dbfilter`: only a role of its own keeps one tenant's users out of another's database.
    """
    return f"{APPLICATION_ROLE}_{tenant.replace('-', '_')}"
