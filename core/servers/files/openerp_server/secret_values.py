"""Secrets, fetched with the role of the instance (IMDSv2) and kept in memory only."""

from __future__ import annotations

import json

from . import common

PASSWORD_FILE = "pgpass"  # noqa: S105


def password_in(value: str) -> str:
    """Return the password in a secret's value: JSON with the key `password`, or the bare password."""
    try:
        decoded = json.loads(value)
    except ValueError:
        return value
    if isinstance(decoded, dict):
        password = decoded.get("password")
        if not isinstance(password, str):
            raise common.StepError("the secret is JSON but has no text under the key password")
        return password
    return value


def fetch(server: common.Server, arn: str) -> str:
    """Return the password in the secret `arn`."""
    import botocore.session

    client = botocore.session.get_session().create_client("secretsmanager", region_name=server["region"])
    answer = client.get_secret_value(SecretId=arn)
    return password_in(str(answer["SecretString"]))


def pgpass_line(server: common.Server, role: str, password: str) -> str:
    """Return the line from which libpq takes the password (PostgreSQL manual, "The Password File")."""

    def escaped(part: str) -> str:
        return part.replace("\\", "\\\\").replace(":", "\\:")

    if "\n" in password:
        raise common.StepError("the password in the secret has more than one line")
    return f"{escaped(server['database_host'])}:{server['database_port']}:*:{role}:{escaped(password)}\n"


def fetch_database_password(server: common.Server, once: str = "") -> None:
    """Write the password file of the application's role; with `once` an error is not tried again."""

    def refresh() -> None:
        line = pgpass_line(server, server["database_role"], fetch(server, server["database_secret_arn"]))
        path = common.RUN_DIR / PASSWORD_FILE
        if common.write(path, line, owner=server["uid"]) and once:
            common.tell("the database password was rotated")

    common.keep_trying("database password", refresh, seconds=0 if once else 600)
