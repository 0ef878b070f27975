"""Which server, and as whom: from a stack's outputs and its secrets, or from what the operator says."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from core import outputs as names
from ops.databases.connection import Server, credentials
from ops.databases.errors import DatabaseError


@dataclass(frozen=True, kw_only=True)
class Way:
    """What the command line says about the way to the server."""

    outputs: Mapping[str, object] | None
    host: str | None
    port: int | None
    user: str | None
    password_file: str | None
    """A file, or `-` for standard input; None asks at the terminal."""
    through: str | None
    """`ADDRESS:PORT`, the near end of a tunnel."""
    ca: Path | None
    maintenance: str = "postgres"


def server(
    way: Way, *, database: str | None, client: Callable[[str, str], Any], ask: Callable[[str], str]
) -> Server:
    """Return the server. `database`: whose application's login is used; None for the master user's.

    `client`: service and region to a boto3 client, for the secret. `ask`: asks for a password at the
    terminal.
    """
    address, tunnel_port = tunnel(way.through)
    if way.outputs is not None:
        if way.host or way.user:
            raise DatabaseError("--stack says which server and which user: leave --host and --user out")
        host = str(_output(way.outputs, names.DATABASE_ADDRESS))
        port = int(str(_output(way.outputs, names.DATABASE_PORT)))
        user, password = _secret(way.outputs, database, client)
    else:
        if not way.host or not way.user:
            raise DatabaseError("which server? give --stack, or --host and --user")
        host, port, user = way.host, way.port or 5432, way.user
        password = _password(way.password_file, user, ask)
    return Server(
        host=host,
        port=tunnel_port or port,
        user=user,
        password=password,
        address=address,
        ca=way.ca,
        maintenance=way.maintenance,
    )


def _output(outputs: Mapping[str, object], name: str) -> object:
    if name not in outputs:
        raise DatabaseError(f"the stack has no output {name}: run `pulumi up` with this version first")
    return outputs[name]


def _secret(
    outputs: Mapping[str, object], database: str | None, client: Callable[[str, str], Any]
) -> tuple[str, str]:
    arn = _output(outputs, names.MASTER_SECRET_ARN)
    if database is not None:
        arns = _output(outputs, names.APPLICATION_SECRET_ARNS)
        if not isinstance(arns, Mapping) or database not in arns:
            known = ", ".join(sorted(arns)) if isinstance(arns, Mapping) else "none"
            raise DatabaseError(f"the stack has no database {database!r}; it has: {known}")
        arn = arns[database]
    return read_secret(str(arn), str(_output(outputs, names.REGION)), client)


def read_secret(arn: str, region: str, client: Callable[[str, str], Any]) -> tuple[str, str]:
    """Return user and password of a secret."""
    from ops.databases.bucket import explained

    with explained(f"the secret {arn}"):
        text = client("secretsmanager", region).get_secret_value(SecretId=arn)["SecretString"]
    try:
        content = json.loads(text)
    except ValueError:
        content = None
    return credentials(content if isinstance(content, Mapping) else {}, arn)


def _password(source: str | None, user: str, ask: Callable[[str], str]) -> str:
    if source is None:
        return ask(f"Password of {user}")
    try:
        text = sys.stdin.readline() if source == "-" else Path(source).read_text(encoding="utf-8")
    except OSError as error:
        raise DatabaseError(f"--password-file: {source} cannot be read: {error.strerror}") from error
    password = text.splitlines()[0] if text else ""
    if not password:
        raise DatabaseError(f"--password-file: {source} is empty")
    return password


def tunnel(through: str | None) -> tuple[str | None, int | None]:
    """Return address and port of the near end of a tunnel, from `ADDRESS:PORT`."""
    if through is None:
        return None, None
    found = re.fullmatch(r"\[?([0-9a-fA-F.:]+?)\]?:(\d{1,5})", through)
    if not found:
        raise DatabaseError(f"--through: {through!r} is not ADDRESS:PORT, as 127.0.0.1:15432")
    return found[1], int(found[2])
