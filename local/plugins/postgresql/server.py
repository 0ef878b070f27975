"""The server that the provider's configuration names: connections, transactions, borrowed memberships."""

from __future__ import annotations

import threading
import time
from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from ipaddress import ip_address
from typing import TYPE_CHECKING, Any

from local.home import home
from local.plugins.operation import Unanswered
from local.plugins.plain import UNKNOWN
from local.plugins.table_provider import PluginError, Values

if TYPE_CHECKING:
    import psycopg

PATIENCE = 15.0
"""Seconds to wait for a server that does not listen yet or is starting up."""

SSL_MODES = ("disable", "require", "verify-ca", "verify-full")
"""Of the official provider's driver."""

_locks: defaultdict[tuple[str, int], threading.Lock] = defaultdict(threading.Lock)
"""One change at a time for one server: concurrent grants on one object fail («tuple concurrently
updated»)."""


class NoAnswerError(PluginError, Unanswered):
    """The server cannot be reached, or went away in the middle."""


def is_loopback(host: str) -> bool:
    """Whether a host is this machine's own."""
    if host == "localhost":
        return True
    try:
        return ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


def _whole(args: Values, name: str, default: int) -> int:
    given = args.get(name, default)
    try:
        return int(given)
    except (TypeError, ValueError):
        raise PluginError(f"postgresql provider: {name} is {given!r}; it must be a whole number") from None


@dataclass(frozen=True)
class Server:
    """The configuration of a provider; nothing is connected to before something is to be done."""

    args: Values

    @property
    def database(self) -> str:
        """The database for what belongs to none."""
        return str(self.args.get("database") or "postgres")

    @property
    def address(self) -> tuple[str, int]:
        """Host and port; refuses every host but this machine's own."""
        host = self.args.get("host") or ""
        if host is UNKNOWN or self.args.get("port") is UNKNOWN:
            raise PluginError("postgresql provider: the host or port is not known yet")
        if not is_loopback(host):
            raise PluginError(
                "postgresql provider: this is the stand-in for one machine and connects to 127.0.0.1 alone, "
                f"not to {host!r}; for a server elsewhere, use the pulumi CLI with the official provider"
            )
        return host, _whole(self.args, "port", 5432)

    @property
    def encryption(self) -> dict[str, Any]:
        """How libpq is to encrypt. As with the official provider, TLS is required unless something else is
        said, and a mode that falls back is refused. A server is verified with the local clusters' authority
        unless another is named; for RDS, the machine that runs the engine has to trust RDS's own."""
        mode = self.args.get("sslmode") or "require"
        if mode not in SSL_MODES:
            raise PluginError(
                f"postgresql provider: sslmode is {mode!r}; it must be one of {', '.join(SSL_MODES)}"
            )
        given = self.args.get("sslrootcert")
        if given is None and mode.startswith("verify"):
            given = str(home() / "postgres" / "ca.pem")
        return {"sslmode": mode, **({"sslrootcert": given} if given else {})}

    def _open(self, database: str) -> psycopg.Connection[Any]:
        import psycopg

        host, port = self.address
        deadline = time.monotonic() + PATIENCE
        while True:
            try:
                return psycopg.connect(
                    host=host,
                    port=port,
                    user=self.args.get("username") or "postgres",
                    password=self.args.get("password") or None,
                    dbname=database,
                    connect_timeout=max(2, min(_whole(self.args, "connectTimeout", 180), 10)),
                    **self.encryption,
                    application_name="pulumi-postgresql (local)",
                )
            except psycopg.OperationalError as error:
                said = str(error).strip()
                waiting = any(word in said for word in ("Connection refused", "starting up", "shutting down"))
                if waiting and time.monotonic() < deadline:
                    time.sleep(0.1)
                    continue
                kind = NoAnswerError if waiting else PluginError
                raise kind(
                    f"postgresql provider: no connection to {host}:{port}/{database}: {said}"
                ) from None

    @contextmanager
    def transaction(self, database: str | None = None) -> Iterator[psycopg.Connection[Any]]:
        """A transaction that is committed at the end, or undone by an exception."""
        import psycopg

        with _locks[self.address], self._open(database or self.database) as connection:
            try:
                yield connection
            except psycopg.Error as error:
                kind = NoAnswerError if connection.broken else PluginError
                raise kind(_said(error)) from None

    @contextmanager
    def statements(self, database: str | None = None) -> Iterator[psycopg.Connection[Any]]:
        """Single statements, for what cannot run in a transaction."""
        with self.transaction(database) as connection:
            connection.rollback()
            connection.autocommit = True
            yield connection


def _said(error: psycopg.Error) -> str:
    """The server's message with its detail and hint."""
    parts = [error.diag.message_primary or str(error), error.diag.message_detail, error.diag.message_hint]
    return "PostgreSQL: " + "; ".join(part.strip() for part in parts if part)


def value(connection: psycopg.Connection[Any], query: Any, *args: Any) -> Any:
    """The first column of the first row, or ``None``."""
    row = connection.execute(query, args).fetchone()
    return row[0] if row else None


def is_member(connection: psycopg.Connection[Any], role: str, member: str) -> bool:
    """Whether ``member`` may act as ``role``. Making a role gives a membership that does not allow it."""
    query = (
        "select 1 from pg_auth_members where pg_get_userbyid(roleid) = %s and pg_get_userbyid(member) = %s "
        "and set_option"
    )
    return value(connection, query, role, member) is not None


@contextmanager
def acting_as(connection: psycopg.Connection[Any], roles: Sequence[str]) -> Iterator[None]:
    """Borrows memberships, as the official provider does: a master that is no superuser (RDS) may only
    change what belongs to a role that it is a member of. The memberships are given back at the end."""
    from psycopg import sql

    me = str(value(connection, "select current_user"))
    borrowed: list[str] = []
    if not value(connection, "select rolsuper from pg_roles where rolname = current_user"):
        for role in dict.fromkeys(roles):
            superuser = value(connection, "select rolsuper from pg_roles where rolname = %s", role)
            if role != me and superuser is False and not is_member(connection, role, me):
                connection.execute(sql.SQL("grant {} to {}").format(sql.Identifier(role), sql.Identifier(me)))
                borrowed.append(role)
    try:
        yield
    finally:
        if connection.info.transaction_status.name != "INERROR":
            for role in borrowed:
                if value(connection, "select 1 from pg_roles where rolname = %s", role):
                    connection.execute(
                        sql.SQL("revoke {} from {}").format(sql.Identifier(role), sql.Identifier(me))
                    )
