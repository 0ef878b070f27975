"""What one server must know: plain data from which its user data is rendered.

Fields marked **output** may come from other resources: build the configuration inside
`pulumi.Output.all(...).apply(...)`. All other fields are known before anything is deployed. No field
ever holds a secret: servers get ARNs and fetch the values at boot with their own role.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final, Literal

from core import names

ServerRole = Literal["app", "web-client"]
PackageSource = Literal["nightly", "debian", "image"]

MEBIBYTE: Final = 1024 * 1024
MODULE: Final = r"[a-z][a-z0-9_]*"
OURS: Final = ("openerp_guard",)
"""Our own server-wide modules of Odoo."""
FORMS: Final[dict[str, str]] = {
    "role": "app|web-client",
    "stack": r"[A-Za-z0-9][A-Za-z0-9_.-]*",
    "environment": "development|training|production",
    "offer": "internal|hosted|saas",
    "package_source": "nightly|debian|image",
    "region": r"[a-z]{2}(-[a-z]+)+-[0-9]+",
    "release": r"(saas~)?[0-9]{1,2}\.[0-9]{1,2}",
    "database_host": r"[A-Za-z0-9]([A-Za-z0-9.-]*[A-Za-z0-9])?",
    "database_name": r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,62}",
    "test_database_name": r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,62}",
    "database_role": r"[A-Za-z_][A-Za-z0-9_-]{0,62}",
    "database_secret_arn": r"arn:[A-Za-z0-9_+=,.@:/!-]+",
    "administrator_secret_arn": r"arn:[A-Za-z0-9_+=,.@:/!-]+",
    "file_system_id": r"fs-[0-9a-z]+",
    "access_point_id": r"fsap-[0-9a-z]+",
    "public_host": r"[A-Za-z0-9]([A-Za-z0-9.-]{0,251}[A-Za-z0-9])?",
    "log_group_name": r"[A-Za-z0-9_/.#-]{1,512}",
}
"""What each text must look like: each of them ends up in a configuration file."""


class InvalidServerConfigurationError(ValueError):
    """A field of `ServerConfiguration` cannot be right; the text names it and says what would be."""


@dataclass(frozen=True, kw_only=True)
class ServerConfiguration:
    """Everything that `render_user_data` needs, for one role of one stack.

    `__post_init__` raises `InvalidServerConfigurationError` for values that would break a rendered file.
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
    data_modules: tuple[tuple[str, str], ...] = ()
    """Name and SHA-256 of each data module that is put on the addons path; none of them is installed."""
    operations_bucket: str | None = None
    """**output** Bucket with the archives of data modules; only with `data_modules`."""

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
    test_database_in_browser: bool = False
    """Whether browsers may open it (`/web/login?db=…`); no page without a login works then."""
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

    def __post_init__(self) -> None:
        """Refuse what would break a rendered file or contradicts itself."""
        for problem in self._problems():
            raise InvalidServerConfigurationError(f"{self.role} server of stack {self.stack}: {problem}")

    def _problems(self) -> Iterator[str]:
        for name, form in FORMS.items():
            value = getattr(self, name)
            if not re.fullmatch(form, value):
                yield f"{name} is {value!r}, which is not of the form {form}"
        for module in self.modules:
            if not re.fullmatch(MODULE, module):
                yield f"modules contains {module!r}, which is not the name of a module"
        for module, sha256 in self.data_modules:
            if not re.fullmatch(MODULE, module) or module in OURS:
                yield f"data_modules contains {module!r}, which is not the name of a data module"
            if not re.fullmatch(r"[0-9a-f]{64}", sha256):
                yield f"data_modules: the hash of {module} is {sha256!r}, not 64 hex digits"
        if self.data_modules:
            if self.offer == "saas":
                yield "data_modules: saas has none"
            if not re.fullmatch(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]", self.operations_bucket or ""):
                yield f"operations_bucket is {self.operations_bucket!r}, which is not the name of a bucket"
        if self.workers < 1:
            yield f"workers is {self.workers}: without worker processes there is no websocket process"
        if self.role == "web-client" and self.cron_threads != 0:
            yield f"cron_threads is {self.cron_threads}: scheduled jobs run on app servers, so 0 is right"
        if self.role == "app" and self.cron_threads < 1:
            yield "cron_threads is 0: scheduled jobs run on app servers, so at least 1 is right"
        if min(self.db_maxconn, self.db_maxconn_gevent) < 2:
            yield "db_maxconn and db_maxconn_gevent are at least 2: a request may need two connections"
        if not 0 < self.limit_memory_soft_bytes <= self.limit_memory_hard_bytes:
            yield "limit_memory_soft_bytes is above limit_memory_hard_bytes, or not above 0"
        if not 0 < self.database_port < 65536:
            yield f"database_port is {self.database_port}"
        if self.database_name == self.test_database_name:
            yield f"test_database_name is the working database, {self.database_name}"
        if self.package_source == "nightly":
            if not re.fullmatch(r"20[0-9]{6}", self.package_date or ""):
                yield f"package_date is {self.package_date!r}; a nightly build needs its date, as YYYYMMDD"
            if not re.fullmatch(r"[0-9a-f]{64}", self.package_sha256 or ""):
                yield f"package_sha256 is {self.package_sha256!r}; a nightly build needs 64 hex digits"
        if (self.offer == "saas") != (self.tenants_parameter_path is not None):
            yield "tenants_parameter_path is for the offer saas, and saas needs it"
        if not re.fullmatch(r"(/[A-Za-z0-9_.-]+)+", self.tenants_parameter_path or "/x"):
            yield f"tenants_parameter_path is {self.tenants_parameter_path!r}, not a path such as /a/b"
        try:
            ipaddress.ip_network(self.vpc_cidr)
        except ValueError as error:
            yield f"vpc_cidr: {error}"

    @property
    def release_major(self) -> int:
        """19 for `19.0` and for `saas~19.2`."""
        return int(self.release.removeprefix("saas~").split(".")[0])

    @property
    def odoo_http_port(self) -> int:
        """Loopback port of Odoo: not 8069, which is nginx's on an app server.

        It is the same on both roles because the database holds it (`report.url`) for all servers.
        """
        return names.ODOO_HTTP_PORT + 1

    @property
    def odoo_gevent_port(self) -> int:
        """Loopback port of Odoo's websocket process."""
        return names.ODOO_GEVENT_PORT

    @property
    def partition_suffix(self) -> str:
        """Domain of AWS's services in this region's partition."""
        return "amazonaws.com.cn" if self.region.startswith("cn-") else "amazonaws.com"

    @property
    def file_store_host(self) -> str:
        """Name that resolves to the mount target of the server's own availability zone."""
        return f"{self.file_system_id}.efs.{self.region}.{self.partition_suffix}"

    @property
    def database_ca_url(self) -> str:
        """CA bundle of the region's databases (RDS user guide, "Using SSL/TLS to encrypt a connection")."""
        host = "truststore.pki.rds.amazonaws.com" + (".cn" if self.region.startswith("cn-") else "")
        return f"https://{host}/{self.region}/{self.region}-bundle.pem"

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
        """Odoo's `dbfilter`: the working database, and the test database where `_databases` says so."""
        return f"^(?:{'|'.join(re.escape(name) for name in self._databases)})$"

    @property
    def _databases(self) -> tuple[str, ...]:
        """What this server serves.

        RPC names its database with each call. A browser without a session names none: only where one
        database passes the filter do customers' portal links, web pages and the live chat work.
        """
        if self.role == "app" or self.test_database_in_browser:
            return self.database_name, self.test_database_name
        return (self.database_name,)
