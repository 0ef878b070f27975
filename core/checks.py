"""Checks of single values: each takes what the configuration holds and returns it, or raises `Invalid`.

Limits are AWS's own; the docstring of each check names where the limit is documented. A value of the
wrong type is handed on unchanged, so that the type check that follows can say what was expected.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable
from datetime import date, datetime
from typing import Final

from core import release as releases
from core import schedule
from core.problems import Invalid, nearest, printable

Check = Callable[[object], object]

RESERVED_DATABASE_NAMES: Final = frozenset(
    {
        "postgres",
        "template0",
        "template1",
        "rdsadmin",
        "rdsrepladmin",
        "openerp_app",
        "openerp_reporting",
        "openerp_admin",
    }
)
"""Databases and roles that PostgreSQL, RDS or this program own."""

LOG_RETENTION_DAYS: Final = (
    1, 3, 5, 7, 14, 30, 60, 90, 120, 150, 180, 365, 400, 545, 731,
    1096, 1827, 2192, 2557, 2922, 3288, 3653,
)  # fmt: skip
"""Values that CloudWatch Logs accepts (API reference, PutRetentionPolicy)."""

ENGINE_MAJOR_VERSIONS: Final = ("16", "17", "18")
"""Major versions of RDS for PostgreSQL that this program supports (cfn-lint lists what RDS has)."""


def optional(check: Check) -> Check:
    """Return `check`, letting None and the empty text (Pulumi's way of "not set") through as None."""

    def checked(value: object) -> object:
        return None if value is None or value == "" else check(value)

    return checked


def _matches(pattern: str, what: str, example: str) -> Check:
    compiled = re.compile(pattern)

    def checked(value: object) -> object:
        if isinstance(value, str) and not compiled.fullmatch(value):
            raise Invalid(f"{show(value)} is not {what}", f"For example `{example}`")
        return value

    return checked


def show(value: object) -> str:
    """Return `value` as an operator wrote it, cut to a readable length."""
    if isinstance(value, int) and abs(value) >= 10**20:
        return "a number of more than 20 digits"  # Python itself refuses to print the largest
    text = f"'{value}'" if isinstance(value, str) else str(value)
    return printable(text, 80) if len(text) <= 80 else printable(text, 76) + "…'"


sha256: Check = _matches(
    r"[0-9a-f]{64}", "a SHA-256 in 64 lower-case hexadecimal digits", "3f79bb7b435b0532…"
)
module_name: Check = _matches(
    r"[a-z][a-z0-9_]{0,62}",
    "a module's technical name (lower-case letters, digits and `_`)",
    "sale_management",
)
_module_version = _matches(
    r"[0-9]{1,5}(\.[0-9]{1,9}){0,5}", "a module version (numbers and dots)", "19.0.1.0.0"
)
currency: Check = _matches(r"[A-Z]{3}", "an ISO 4217 currency", "EUR")
certificate_name: Check = _matches(
    r"[A-Za-z0-9]([A-Za-z0-9 ._@-]{0,62}[A-Za-z0-9])?",
    "a certificate name (up to 64 letters, digits, spaces and `._@-`, with a letter or digit at both ends)",
    "accounting-desktop",
)
"""64 characters is the limit of a common name in X.509 (RFC 5280, ub-common-name)."""
email: Check = _matches(
    r"(?=.{3,254}$)[A-Za-z0-9.!#$%&'*+/=?^_`{|}~-]{1,64}@"
    r"[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?(\.[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?)+",
    "an e-mail address",
    "operations@example.com",
)
server_image: Check = _matches(
    r"ami-([0-9a-f]{8}|[0-9a-f]{17})|resolve:ssm:/?[A-Za-z0-9_.-]+(/[A-Za-z0-9_.-]+)*(:[A-Za-z0-9_.-]+)?",
    "an image (`ami-…`) or an SSM parameter that names one (`resolve:ssm:/…`)",
    "ami-0123456789abcdef0",
)


def module_version(value: object) -> object:
    """Check a manifest version; accepts a whole number for the like of `1`."""
    if isinstance(value, float):
        raise Invalid(f"is the number {value}, in which a final zero is lost", "Write it in quotes")
    if isinstance(value, int) and not isinstance(value, bool):
        value = str(value) if abs(value) < 10**9 else value
    return _module_version(value)


def utc_time(value: object) -> object:
    """Check a moment in UTC to the second, as `2026-11-28T10:12:00Z`."""
    if not isinstance(value, str):
        return value
    try:
        datetime.strptime(value, "%Y-%m-%dT%H:%M:%SZ")
    except ValueError:
        raise Invalid(f"{show(value)} is not a time in UTC", "For example `2026-11-28T10:12:00Z`") from None
    return value


def package_date(value: object) -> object:
    """Check the YYYYMMDD of a nightly package; that it is not in the future is checked with today's date."""
    if isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 10**9:
        value = str(value)
    if not isinstance(value, str):
        return value
    if re.fullmatch(r"[0-9]{8}", value):
        try:
            date(int(value[:4]), int(value[4:6]), int(value[6:]))
        except ValueError:
            pass
        else:
            return value
    raise Invalid(f"{show(value)} is not a day as YYYYMMDD", "For example `20261101`")


def cidr(value: object) -> object:
    """Check an IPv4 range in CIDR notation without host bits."""
    if not isinstance(value, str):
        return value
    try:
        ipaddress.IPv4Network(value, strict=True)
    except ValueError:
        pass
    else:
        if "/" in value and re.fullmatch(r"[0-9.]+/[0-9]{1,2}", value):
            return value
        raise Invalid(
            f"{show(value)} has no prefix length", "For one address write `/32` behind it"
        ) from None
    try:
        loose = ipaddress.IPv4Network(value, strict=False)
    except ValueError:
        raise Invalid(f"{show(value)} is not an IPv4 range", "For example `10.20.0.0/16`") from None
    raise Invalid(f"{show(value)} has bits set beyond its prefix", f"Write `{loose}`")


def vpc_cidr(value: object) -> object:
    """Check the range of a VPC: private, /16 to /23.

    A VPC is /16 to /28 (Amazon VPC quotas and "VPC CIDR blocks"); below /23 the public subnets would be
    smaller than the /27 that a load balancer needs (Application Load Balancer guide, "Subnets").
    """
    from core import subnets

    value = cidr(value)
    if isinstance(value, str):
        subnets.check_vpc_range(value)
    return value


def log_retention(value: object) -> object:
    """Check a retention in days against the list of CloudWatch Logs (PutRetentionPolicy)."""
    number: object = value
    if isinstance(value, str) and re.fullmatch(r"[0-9]{1,6}", value):
        number = int(value)
    if isinstance(number, int) and not isinstance(number, bool) and number not in LOG_RETENTION_DAYS:
        near = min(LOG_RETENTION_DAYS, key=lambda days: (abs(days - number), days))
        raise Invalid(
            f"{show(number)} days is not a retention that CloudWatch Logs offers", f"The nearest is `{near}`"
        )
    return value


def host(value: object) -> object:
    """Check a host name or IP address, without port or scheme."""
    return _host(value)


_host = _matches(
    r"(?=.{1,253}$)[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?(\.[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?)*",
    "a host name or address without port or scheme",
    "127.0.0.1",
)

_LABEL = r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?"
_DOMAIN = re.compile(rf"(?=.{{1,253}}$){_LABEL}(\.{_LABEL})*\.[a-z]([a-z0-9-]{{0,61}}[a-z0-9])")


def domain_or_zone(value: object) -> object:
    """Check the name of a hosted zone; a final dot, as Route 53 prints it, is taken off."""
    return domain(value.removesuffix(".") if isinstance(value, str) else value, limit=253)


def _in_ascii(host: str) -> str:
    """Return the form that DNS has of a name with other letters (`bücher`: `xn--bcher-kva`), or nothing."""
    if host.isascii():
        return host if host.isprintable() else ""
    try:
        return host.encode("idna").decode()
    except UnicodeError:
        return ""


def domain(value: object, *, limit: int = 64) -> object:
    """Check a full host name in lower case.

    A certificate's common name holds 64 characters (ACM API reference, RequestCertificate, DomainName;
    RFC 5280, ub-common-name).
    """
    if not isinstance(value, str):
        return value
    if not _DOMAIN.fullmatch(value):
        right = "Write a full host name in lower case, without scheme, port or path, like `erp.example.com`"
        found = re.search(_DOMAIN.pattern.replace("(?=.{1,253}$)", ""), _in_ascii(value[:300].lower()))
        if found and len(found.group()) <= limit and _DOMAIN.fullmatch(found.group()):
            right = f"Did you mean `{found.group()}`?"
        raise Invalid(f"{show(value)} is not a host name", right)
    if len(value) > limit:
        raise Invalid(
            f"{show(value)} has {len(value)} characters; a certificate's name holds {limit}",
            "Choose a shorter host name",
        )
    return value


def release(value: object) -> object:
    """Check that the release can be read; policy is checked with the environment (core/release.py)."""
    if isinstance(value, int | float) and not isinstance(value, bool):
        raise Invalid(f"is the number {value}, in which a final zero is lost", 'Write it in quotes: `"19.0"`')
    if isinstance(value, str):
        releases.parse(value)
    return value


def engine_version(value: object) -> object:
    """Check a version of RDS for PostgreSQL: a supported major version, with or without minor version."""
    if isinstance(value, int) and not isinstance(value, bool):
        value = show(value)
    if not isinstance(value, str):
        return value
    if not re.fullmatch(r"[0-9]{1,2}(\.[0-9]{1,2})?", value):
        raise Invalid(f"{show(value)} is not a PostgreSQL version", "For example `16` or `16.9`")
    if value.split(".")[0] not in ENGINE_MAJOR_VERSIONS:
        raise Invalid(
            f"PostgreSQL {value} is not supported",
            "Choose " + ", ".join(f"`{v}`" for v in ENGINE_MAJOR_VERSIONS),
        )
    return value


_database_name = _matches(
    r"[a-z][a-z0-9_]{1,62}",
    "a database name (2 to 63 lower-case letters, digits and `_`, beginning with a letter)",
    "openerp",
)


def database_name(value: object) -> object:
    """Check a PostgreSQL identifier (63 bytes: NAMEDATALEN - 1) that nothing else owns."""
    if isinstance(value, str) and value in RESERVED_DATABASE_NAMES:
        raise Invalid(f"{show(value)} is reserved", "Choose another name, for example `openerp`")
    return _database_name(value)


_tenant_name = _matches(
    r"[a-z]([a-z0-9-]{0,38}[a-z0-9])",
    "a tenant name (2 to 40 lower-case letters, digits and hyphens, beginning with a letter, not ending "
    "with a hyphen)",
    "acme",
)


def tenant_name(value: object) -> object:
    """Check a tenant: one DNS label (RFC 1123) that is a database and, behind `openerp_app_`, a role.

    40 characters leave room for that prefix within PostgreSQL's 63.
    """
    if isinstance(value, str) and value.replace("-", "_") in RESERVED_DATABASE_NAMES | {"www"}:
        raise Invalid(f"{show(value)} is reserved", "Choose another name, for example `acme`")
    return _tenant_name(value)


_label = _matches(
    r"[a-z0-9]+(-[a-z0-9]+)*",
    "a checkpoint label (lower-case letters, digits and single hyphens between them)",
    "before-upgrade-2026",
)


def checkpoint_label(value: object) -> object:
    """Check a checkpoint's label: behind `openerp-<stack>-` it is an RDS snapshot identifier.

    Letters, digits and single hyphens, 1 to 255 characters (RDS API reference, CreateDBSnapshot); 63 is
    this program's own limit, for a label that can be said aloud.
    """
    if isinstance(value, str) and len(value) > 63:
        raise Invalid(f"{show(value)} has {len(value)} characters", "A label has 63 at most")
    if value == "final":
        raise Invalid("'final' is the name of the snapshot that RDS takes at the end", "Choose another label")
    return _label(value)


_snapshot = _matches(
    r"snapshot:(?=.{1,255}$)(rds:)?[A-Za-z](-?[A-Za-z0-9])*",
    "`snapshot:` and an RDS snapshot identifier",
    "snapshot:openerp-prod-final",
)


_restore_mark = _matches(
    r"[A-Za-z0-9](-?[A-Za-z0-9]){0,39}",
    "a mark behind `@` (1 to 40 letters, digits and single hyphens)",
    "course-start@monday",
)

file_system_id: Check = _matches(
    r"fs-([0-9a-f]{8}|[0-9a-f]{17})", "the identifier of an EFS file system", "fs-0123456789abcdef0"
)
file_system_path: Check = _matches(
    r"(?=.{1,100}$)(/(?!\.)[^/$#<>;`|&?{}^*\s]+){1,4}",
    "a directory of a file system (absolute, at most four deep and 100 characters)",
    "/odoo",
)
"""What EFS takes as an access point's root directory (EFS API reference, RootDirectory), without spaces."""


def restore_from(value: object) -> object:
    """Check `label`, `stack/label`, or `snapshot:` and an RDS snapshot identifier; `@` and a mark may follow.

    An identifier has 1 to 255 letters, digits and single hyphens and begins with a letter; RDS's own begin
    with `rds:` (RDS API reference, CreateDBSnapshot).
    """
    if not isinstance(value, str):
        return value
    source, marked, mark = value.partition("@")
    if marked:
        _restore_mark(mark)
    if source.startswith("snapshot:"):
        _snapshot(source)
        return value
    stack, _, label = source.rpartition("/")
    if "/" in source:
        stack_name(stack)
    if label == "final":
        raise Invalid(
            "the final snapshot is not a checkpoint", "Name it as `snapshot:` and its identifier in RDS"
        )
    checkpoint_label(label)
    return value


_stack_name = _matches(
    r"(?=.{1,16}$)[a-z][a-z0-9]*(-[a-z0-9]+)*",
    "a usable stack name (up to 16 lower-case letters, digits and single hyphens, beginning with a letter)",
    "prod",
)


def stack_name(value: object) -> object:
    """Check a stack's name, which is part of physical names.

    `openerp-<stack>` and the 8 characters that Pulumi's auto-naming adds stay within the 32 characters of
    a load balancer's and a target group's name (Elastic Load Balancing API reference).
    """
    return _stack_name(value)


def backup_schedule(value: object) -> object:
    """Check the schedule of a backup rule: a cron expression, at most hourly (AWS Backup guide)."""
    if isinstance(value, str):
        schedule.check_backup(value)
    return value


def one_of(value: str, known: tuple[str, ...], what: str) -> None:
    """Raise `Invalid`, with the nearest known word, when `value` is not `known`."""
    if value not in known:
        raise Invalid(f"{show(value)} is not {what}", nearest(value, known))
