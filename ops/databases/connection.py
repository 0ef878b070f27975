"""Reaching one PostgreSQL server: over TLS, with a password that nobody sees."""

from __future__ import annotations

import contextlib
import ipaddress
import os
import stat
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from ops.databases.errors import DatabaseError

if TYPE_CHECKING:
    import psycopg

AUTHORITIES: Final = "https://truststore.pki.rds.amazonaws.com/global/global-bundle.pem"
"""Amazon's certificate authorities of RDS, for `--ca`."""
PATIENCE: Final = 15
"""Seconds until a connection must stand."""


@dataclass(frozen=True, kw_only=True)
class Server:
    """Where a server is and who asks it. `address`: where it is reached instead, the near end of a tunnel."""

    host: str
    port: int
    user: str
    password: str = field(repr=False)
    address: str | None = None
    ca: Path | None = None
    maintenance: str = "postgres"
    """The database in which other databases are made."""

    def check(self) -> None:
        """Raise DatabaseError where the way to the server would not be safe."""
        if self.ca is not None and not self.ca.is_file():
            raise DatabaseError(f"--ca: there is no file {self.ca}")
        if self.ca is None and not _is_loopback(self.address or self.host):
            raise DatabaseError(
                f"--ca is needed: nothing else proves that {self.host} is the database server. For RDS it is "
                f"the file {AUTHORITIES}"
            )

    def parameters(self, database: str) -> dict[str, str]:
        """Return libpq's parameters, without the password."""
        tls = {"sslmode": "verify-full", "sslrootcert": str(self.ca)} if self.ca else {"sslmode": "prefer"}
        return {
            "host": self.host,
            **({"hostaddr": self.address} if self.address else {}),
            "port": str(self.port),
            "user": self.user,
            "dbname": database,
            "connect_timeout": str(PATIENCE),
            "application_name": "openerp ops",
            "keepalives_idle": "60",
            **tls,
        }

    def conninfo(self, database: str) -> str:
        """Return the parameters as one string, whatever characters are in them."""
        return " ".join(f"{name}={_quoted(value)}" for name, value in self.parameters(database).items())

    def connect(self, database: str, **options: Any) -> psycopg.Connection[Any]:
        """Return a connection in autocommit. Raises DatabaseError in one sentence."""
        import psycopg

        try:
            return psycopg.connect(
                self.conninfo(database), password=self.password, autocommit=True, **options
            )
        except psycopg.OperationalError as error:
            said = str(error).strip().splitlines()[-1].strip()
            raise DatabaseError(f"PostgreSQL at {self.host}:{self.port} cannot be used: {said}") from error

    @contextlib.contextmanager
    def environment(self, **options: str) -> Iterator[tuple[dict[str, str], tuple[int, ...]]]:
        """Give what a PostgreSQL program needs to log in: environment variables and inherited descriptors.

        The password is in neither: libpq reads it from a file in memory that has no name and ends with
        the processes that hold it (Linux), or from a file that only this user can read (elsewhere).
        `options`: PostgreSQL's settings for the session.
        """
        line = ":".join(_escaped(part) for part in (self.host, str(self.port), "*", self.user, self.password))
        passed = {name: os.environ[name] for name in ("PATH", "TMPDIR", "TZ") if name in os.environ}
        base = {**passed, "LC_ALL": "C", "PGCLIENTENCODING": "UTF8"}
        if options:
            base["PGOPTIONS"] = " ".join(f"-c {name}={value}" for name, value in options.items())
        with _hidden(line + "\n") as (path, descriptors):
            yield {**base, "PGPASSFILE": path}, descriptors


def _quoted(value: str) -> str:
    return "'" + value.replace("\\", "\\\\").replace("'", "\\'") + "'"


def _escaped(value: str) -> str:
    return value.replace("\\", "\\\\").replace(":", "\\:")


def _is_loopback(host: str) -> bool:
    if host == "localhost" or host.startswith("/"):
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


@contextlib.contextmanager
def _hidden(content: str) -> Iterator[tuple[str, tuple[int, ...]]]:
    if hasattr(os, "memfd_create") and Path("/proc/self/fd").is_dir():
        descriptor = os.memfd_create("passwords", os.MFD_CLOEXEC)
        try:
            os.fchmod(descriptor, stat.S_IRUSR | stat.S_IWUSR)
            os.write(descriptor, content.encode())
            yield f"/proc/self/fd/{descriptor}", (descriptor,)
        finally:
            os.close(descriptor)
        return
    with tempfile.TemporaryDirectory(prefix="openerp-") as directory:
        path = Path(directory) / "passwords"
        path.touch(mode=0o600)
        path.write_text(content, encoding="utf-8")
        yield str(path), ()


def credentials(secret: Mapping[str, Any], arn: str) -> tuple[str, str]:
    """Return user and password of a secret of RDS or of this program. Raises DatabaseError."""
    user, password = secret.get("username"), secret.get("password")
    if not isinstance(user, str) or not isinstance(password, str):
        raise DatabaseError(f"the secret {arn} holds no `username` and `password`")
    return user, password
