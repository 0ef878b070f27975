"""Roles, and memberships in them."""

from __future__ import annotations

from typing import Any

from psycopg import sql

from local.plugins.operation import repeated
from local.plugins.postgresql.server import Server, acting_as, is_member, value
from local.plugins.table_provider import Values

FLAGS = {
    "superuser": "superuser",
    "createDatabase": "createdb",
    "createRole": "createrole",
    "inherit": "inherit",
    "login": "login",
    "replication": "replication",
    "bypassRowLevelSecurity": "bypassrls",
}
SETTINGS = {
    "statementTimeout": "statement_timeout",
    "idleInTransactionSessionTimeout": "idle_in_transaction_session_timeout",
    "assumeRole": "role",
}


def _password(inputs: Values) -> str | None:
    return inputs.get("password") or inputs.get("passwordWo")


def _attributes(inputs: Values, changed: set[str] | None = None) -> list[sql.Composable]:
    """The options of CREATE ROLE, or those of ALTER ROLE that ``changed`` names."""
    parts: list[sql.Composable] = []
    for key, word in FLAGS.items():
        if changed is None or key in changed:
            parts.append(sql.SQL(word if inputs.get(key) else "no" + word))
    if changed is None or "connectionLimit" in changed:
        parts.append(sql.SQL("connection limit {}").format(sql.Literal(int(inputs["connectionLimit"]))))
    if changed is None or "validUntil" in changed:
        parts.append(sql.SQL("valid until {}").format(sql.Literal(inputs.get("validUntil") or "infinity")))
    if changed is None or {"password", "passwordWoVersion"} & changed:
        password = _password(inputs)
        if password is None or password.upper() == "NULL":
            parts.append(sql.SQL("password null"))
        else:
            parts.append(sql.SQL("password {}").format(sql.Literal(password)))
    return parts


def _set_settings(connection: Any, inputs: Values, changed: set[str] | None = None) -> None:
    name = sql.Identifier(inputs["name"])
    for key, setting in SETTINGS.items():
        if changed is not None and key not in changed:
            continue
        given = inputs.get(key)
        if given:
            query = sql.SQL("alter role {} set {} to {}").format(
                name, sql.SQL(setting), sql.Literal(str(given))
            )
            connection.execute(query)
        elif changed is not None:
            connection.execute(sql.SQL("alter role {} reset {}").format(name, sql.SQL(setting)))
    if changed is None or "searchPaths" in changed:
        paths = [sql.Identifier(path) for path in inputs.get("searchPaths") or ()]
        if paths:
            query = sql.SQL("alter role {} set search_path to {}").format(name, sql.SQL(", ").join(paths))
            connection.execute(query)
        elif changed is not None:
            connection.execute(sql.SQL("alter role {} reset search_path").format(name))


def _set_memberships(connection: Any, name: str, old: list[str], new: list[str]) -> None:
    for role in sorted(set(old) - set(new)):
        connection.execute(sql.SQL("revoke {} from {}").format(sql.Identifier(role), sql.Identifier(name)))
    for role in sorted(set(new) - set(old)):
        connection.execute(sql.SQL("grant {} to {}").format(sql.Identifier(role), sql.Identifier(name)))


def _exists(connection: Any, name: str) -> bool:
    return value(connection, "select 1 from pg_roles where rolname = %s", name) is not None


def create(server: Server, inputs: Values) -> tuple[str, Values]:
    """The id is the name. A role that exists is refused, unless its creation is repeated after a kill: the
    transaction made it whole or not at all."""
    name = inputs["name"]
    with server.transaction() as connection:
        if repeated() and _exists(connection, name):
            return name, inputs
        options = sql.SQL(" ").join(_attributes(inputs))
        connection.execute(sql.SQL("create role {} with {}").format(sql.Identifier(name), options))
        _set_memberships(connection, name, [], inputs.get("roles") or [])
        _set_settings(connection, inputs)
    return name, inputs


def update(server: Server, _id: str, old: Values, new: Values) -> Values:
    """Changes what differs; a rename keeps the password, which the server's hash allows since SCRAM."""
    changed = {key for key in old.keys() | new.keys() if old.get(key) != new.get(key)}
    with server.transaction() as connection:
        if "name" in changed and not (repeated() and _exists(connection, new["name"])):
            connection.execute(
                sql.SQL("alter role {} rename to {}").format(
                    sql.Identifier(old["name"]), sql.Identifier(new["name"])
                )
            )
        options = _attributes(new, changed)
        if options:
            query = sql.SQL("alter role {} with {}").format(
                sql.Identifier(new["name"]), sql.SQL(" ").join(options)
            )
            connection.execute(query)
        _set_memberships(connection, new["name"], old.get("roles") or [], new.get("roles") or [])
        _set_settings(connection, new, changed)
    return new


def read(server: Server, name: str, last: Values) -> tuple[str, Values] | None:
    """The attributes as they are; passwords stay what was written."""
    columns = (
        "rolname", "rolsuper", "rolcreatedb", "rolcreaterole", "rolinherit", "rolcanlogin", "rolreplication",
        "rolbypassrls", "rolconnlimit",
    )  # fmt: skip
    keys = (
        "name", "superuser", "createDatabase", "createRole", "inherit", "login", "replication",
        "bypassRowLevelSecurity", "connectionLimit",
    )  # fmt: skip
    with server.transaction() as connection:
        row = connection.execute(
            sql.SQL("select {} from pg_roles where rolname = %s").format(
                sql.SQL(", ").join(map(sql.Identifier, columns))
            ),
            [name],
        ).fetchone()
        if row is None:
            return None
        roles = value(
            connection,
            "select array_agg(pg_get_userbyid(roleid)::text order by 1) from pg_auth_members "
            "where pg_get_userbyid(member) = %s",
            name,
        )
    found = {**last, **dict(zip(keys, row, strict=True))}
    if roles or last.get("roles"):
        found["roles"] = roles or []
    return name, found


def delete(server: Server, name: str, last: Values) -> None:
    """Gives what the role owns in the provider's database to the master, as the official provider does."""
    with server.transaction() as connection:
        if not _exists(connection, name):
            return
        own = sql.Identifier(name)
        if not last.get("skipReassignOwned"):
            with acting_as(connection, [name]):
                connection.execute(sql.SQL("reassign owned by {} to current_user").format(own))
                connection.execute(sql.SQL("drop owned by {}").format(own))
        if not last.get("skipDropRole"):
            connection.execute(sql.SQL("drop role {}").format(own))


def create_membership(server: Server, inputs: Values) -> tuple[str, Values]:
    """Makes one role a member of another."""
    admin = bool(inputs.get("withAdminOption"))
    query = sql.SQL("grant {} to {}" + (" with admin option" if admin else "")).format(
        sql.Identifier(inputs["grantRole"]), sql.Identifier(inputs["role"])
    )
    with server.transaction() as connection:
        connection.execute(query)
    return f"{inputs['role']}_{inputs['grantRole']}_{str(admin).lower()}", inputs


def read_membership(server: Server, identifier: str, last: Values) -> tuple[str, Values] | None:
    """Whether one role may act as the other. That the maker of a role may administer it is no such
    membership."""
    with server.transaction() as connection:
        return (identifier, last) if is_member(connection, last["grantRole"], last["role"]) else None


def delete_membership(server: Server, _id: str, last: Values) -> None:
    """Ends a membership."""
    with server.transaction() as connection:
        connection.execute(
            sql.SQL("revoke {} from {}").format(
                sql.Identifier(last["grantRole"]), sql.Identifier(last["role"])
            )
        )
