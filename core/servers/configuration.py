"""What one server must know: plain data from which its user data is rendered.

Fields marked **output** may come from other resources: build the configuration inside
`pulumi.Output.all(...).apply(...)`. All other fields are known before anything is deployed. No field
ever holds a secret: servers get ARNs and fetch the values at boot with their own role.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final, Literal

from core import names

ServerRole = Literal["app", "web-client"]
PackageSource = Literal["nightly", "debian", "image"]

MEBIBYTE: Final = 1024 * 1024


class InvalidServerConfiguration(ValueError):
    """A field of `ServerConfiguration` cannot be right; the text names it and says what would be."""


@dataclass(frozen=True, kw_only=True)
class ServerConfiguration:
    """Everything that `render_user_data` needs, for one role of one stack.

    `__post_init__` raises `InvalidServerConfiguration` for values that would break a rendered file.
    """

    # What and where.
    role: ServerRole
    stack: str
    environment: Literal["development", "training", "production"]
    offer: Literal["internal", "hosted", "saas"]
    region: str
    release: str
    """Release series, such as `19.0`."""

    # Where Odoo comes from.
    package_source: PackageSource = "debian"
    package_date: str | None = None
    """`YYYYMMDD` of the nightly build; required for `nightly`, ignored otherwise."""
    package_sha256: str | None = None
    """Hash of the nightly build's .deb; required for `nightly`."""
    modules: tuple[str, ...] = ()
    """Standard modules installed when a database is first made."""

    # Sizes (from core.sizing).
    workers: int
    """Odoo HTTP worker processes; at least 1."""
    cron_threads: int = 0
    """Cron threads; must be 0 on a web-client server."""
    db_maxconn: int = 8
    """Connections a process may hold at most."""
    db_maxconn_gevent: int = 8
    limit_memory_soft_bytes: int = 2048 * MEBIBYTE
    """A worker above this is replaced after its request (Odoo's own default: 2 GiB)."""
    limit_memory_hard_bytes: int = 2560 * MEBIBYTE
    """A worker above this fails its request (Odoo's own default: 2.5 GiB)."""

    # Database.
    database_host: str
    """**output** Address of the database server."""
    database_port: int = names.POSTGRES_PORT
    """**output** (a port only the emulator chooses)"""
    database_name: str
    """The working database."""
    test_database_name: str
    database_role: str = names.APPLICATION_ROLE
    database_secret_arn: str
    """**output** Secrets Manager ARN; the value is JSON with `password`, or the bare password."""
    administrator_secret_arn: str
    """**output** Secret with the first administrator's password, in the same two forms."""

    # File store.
    file_system_id: str
    """**output** `fs-…`"""
    access_point_id: str
    """**output** `fsap-…`"""

    # How clients reach it.
    public_host: str
    """Host name that people type; in `saas` tenants have host names of their own."""
    vpc_cidr: str
    """The only range whose `X-Forwarded-For` is believed: the load balancer lives there."""

    # Operation.
    log_group_name: str
    """**output** CloudWatch log group that exists already."""
    tenants_parameter_path: str | None = None
    """SSM path below which each tenant has one parameter; required for `saas`, `None` otherwise."""

    @property
    def target_port(self) -> int:
        """Port that the load balancer's target group reaches on this server."""
        return names.APP_TARGET_PORT if self.role == "app" else names.WEB_CLIENT_TARGET_PORT

    @property
    def health_path(self) -> str:
        """Path of the target group's health check on `target_port`; success is status 200."""
        return names.HEALTH_PATH

    @property
    def database_filter(self) -> str:
        """Odoo's `dbfilter`: exactly the working and the test database."""
        return f"^(?:{re.escape(self.database_name)}|{re.escape(self.test_database_name)})$"
