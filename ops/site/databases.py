"""The database server of a stack, or one beside it: logins from its secrets, facts, passwords put right."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

from core import names
from core import outputs as output_names
from ops.aws import Aws
from ops.databases import facts
from ops.databases.access import read_secret, tunnel
from ops.databases.connection import Server
from ops.databases.facts import Facts
from ops.errors import OpsError
from ops.stack import Stack

JOBS: Final = 2
"""Connections that count rows at the same time."""


@dataclass(frozen=True, kw_only=True)
class Counted:
    """What one database is and holds at one moment."""

    facts: Facts
    rows: Mapping[str, int]
    """Rows of the largest tables, by `schema.table` as SQL writes it."""
    attachments: int
    """Stored files that attachments name."""


@dataclass(frozen=True, kw_only=True)
class Databases:
    """One database server: the stack's own unless `at` says otherwise."""

    stack: Stack
    aws: Aws
    ca: Path | None
    through: str | None = None
    """`ADDRESS:PORT`, the near end of a tunnel."""
    host: str | None = None
    port: int | None = None
    master_secret_arn: str | None = None

    def at(self, host: str, port: int, master_secret_arn: str) -> Databases:
        """Return another database server of the same network, with the same logins but for the master's."""
        return replace(self, host=host, port=port, master_secret_arn=master_secret_arn)

    def names(self) -> list[str]:
        """Return the logical databases of the stack: working, test, tenants."""
        return [str(name) for name in self.stack.output(output_names.DATABASE_NAMES)]

    def master(self) -> Server:
        """Return the server as its master user sees it."""
        arn = self.master_secret_arn or self.stack.output(output_names.MASTER_SECRET_ARN)
        return self._server(str(arn))

    def application(self, database: str) -> Server:
        """Return the server as the application of a database sees it."""
        arns = self.stack.output(output_names.APPLICATION_SECRET_ARNS)
        if database not in arns:
            raise OpsError(
                f"the stack {self.stack.name} has no database {database!r}: {', '.join(sorted(arns))}"
            )
        return self._server(str(arns[database]))

    def owner(self, database: str) -> str:
        """Return the role that owns a database."""
        return self._secret(str(self.stack.output(output_names.APPLICATION_SECRET_ARNS)[database]))[0]

    def _secret(self, arn: str) -> tuple[str, str]:
        return read_secret(arn, self.aws.region, lambda service, _region: self.aws.client(service))

    def _server(self, arn: str) -> Server:
        user, password = self._secret(arn)
        address, port = tunnel(self.through)
        server = Server(
            host=self.host or str(self.stack.output(output_names.DATABASE_ADDRESS)),
            port=port or self.port or int(self.stack.output(output_names.DATABASE_PORT)),
            user=user,
            password=password,
            address=address,
            ca=self.ca,
        )
        server.check()
        return server

    def count(self, server: Server, database: str) -> Counted:
        """Read what a database is and count what it holds."""
        with server.connect(database) as connection:
            found = facts.read(connection)
            stored = len(facts.stored_files(connection))
        rows = facts.count(server, database, found.largest, None, JOBS)
        return Counted(facts=found, rows=rows, attachments=stored)

    def logins(self) -> dict[str, str]:
        """Return every login role of the stack with its password, from its secrets: for nobody's eyes."""
        arns = {str(arn) for arn in self.stack.output(output_names.APPLICATION_SECRET_ARNS).values()}
        reporting = self.stack.outputs().get(output_names.REPORTING_SECRET_ARN)
        found = dict(self._secret(arn) for arn in sorted(arns))
        if reporting:
            found |= [self._secret(str(reporting))]
        return found

    def align_logins(self) -> list[str]:
        """Give each login role the password of its secret, as after a restore, whose roles have older ones.

        A role that is not there is made, as the program would make it. Returns the roles. Runs as the master
        user; the passwords travel as SCRAM verifiers, so that no log of the server can show them.
        """
        import psycopg
        from psycopg import sql

        logins = self.logins()
        server = self.master()
        with server.connect(server.maintenance) as connection:
            there = {row[0] for row in connection.execute("select rolname from pg_roles").fetchall()}
            for role, password in logins.items():
                verifier = _verifier(connection, role, password)
                word = "alter" if role in there else "create"
                try:
                    connection.execute(
                        sql.SQL(word + " role {} login password {}").format(
                            sql.Identifier(role), sql.Literal(verifier)
                        )
                    )
                    connection.execute(
                        sql.SQL("grant {} to {}").format(
                            sql.Identifier(role), sql.Identifier(names.MASTER_USERNAME)
                        )
                    )
                except psycopg.Error as error:
                    said = str(error).strip().splitlines()[0]
                    raise OpsError(f"the login {role} cannot be given its password: {said}") from error
        return sorted(logins)


def _verifier(connection: Any, role: str, password: str) -> str:
    """Return what PostgreSQL keeps of a password, made on this side."""
    made: bytes = connection.pgconn.encrypt_password(password.encode(), role.encode(), b"scram-sha-256")
    return made.decode()
