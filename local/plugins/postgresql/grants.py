"""Privileges on what exists, and on what will be made.

The role ``public`` is everybody; quoted or not, PostgreSQL reads it as the keyword. No privileges at all
means that those which are there are taken away.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from psycopg import sql

from local.plugins.postgresql.server import Server, acting_as, value
from local.plugins.table_provider import Values

PRIVILEGES = {
    "database": ("CREATE", "CONNECT", "TEMPORARY"),
    "table": ("SELECT", "INSERT", "UPDATE", "DELETE", "TRUNCATE", "REFERENCES", "TRIGGER", "MAINTAIN"),
    "sequence": ("USAGE", "SELECT", "UPDATE"),
    "schema": ("CREATE", "USAGE"),
    "function": ("EXECUTE",),
    "procedure": ("EXECUTE",),
    "routine": ("EXECUTE",),
    "type": ("USAGE",),
}
GRANT_TYPES = ("database", "function", "procedure", "routine", "schema", "sequence", "table")
DEFAULT_TYPES = ("table", "sequence", "function", "routine", "type", "schema")
DEFAULT_CODES = {"table": "r", "sequence": "S", "function": "f", "routine": "f", "type": "T", "schema": "n"}
"""``pg_default_acl.defaclobjtype``."""


def _words(privileges: Sequence[str]) -> sql.Composable:
    """The privileges as keywords; check has compared them with ``PRIVILEGES``."""
    return sql.SQL(", ").join(sql.SQL(word) for word in sorted(privileges))


def _target(inputs: Values) -> sql.Composable:
    kind = inputs["objectType"]
    if kind == "database":
        return sql.SQL("database {}").format(sql.Identifier(inputs["database"]))
    if kind == "schema":
        return sql.SQL("schema {}").format(sql.Identifier(inputs["schema"]))
    objects = inputs.get("objects") or ()
    if objects:
        names = [sql.Identifier(inputs["schema"], name) for name in sorted(objects)]
        return sql.SQL(kind + " ") + sql.SQL(", ").join(names)
    return sql.SQL(f"all {kind}s in schema {{}}").format(sql.Identifier(inputs["schema"]))


def _owners(connection: Any, inputs: Values) -> list[str]:
    """Whose memberships a change needs: those of the schema's and its tables' owners; none for a database."""
    if inputs["objectType"] == "database":
        return []
    owners: list[str] = []
    if inputs["objectType"] != "schema":
        rows = connection.execute(
            "select distinct tableowner from pg_tables where schemaname = %s order by 1", [inputs["schema"]]
        )
        owners = [row[0] for row in rows]
    query = "select pg_get_userbyid(nspowner) from pg_namespace where nspname = %s"
    owners.append(str(value(connection, query, inputs["schema"])))
    if "pg_database_owner" in owners:
        query = "select pg_get_userbyid(datdba) from pg_database where datname = current_database()"
        real = str(value(connection, query))
        owners = [real if owner == "pg_database_owner" else owner for owner in owners]
    return owners


def _revoke(connection: Any, inputs: Values) -> None:
    connection.execute(
        sql.SQL("revoke all privileges on {} from {}").format(_target(inputs), sql.Identifier(inputs["role"]))
    )


def _apply(server: Server, inputs: Values) -> None:
    option = " with grant option" if inputs.get("withGrantOption") else ""
    with server.transaction(inputs["database"]) as connection:
        owners = _owners(connection, inputs)
        with acting_as(connection, owners):
            # First everything is taken away, so that fewer privileges than before are fewer.
            _revoke(connection, inputs)
            if inputs["privileges"]:
                query = sql.SQL("grant {} on {} to {}" + option)
                role = sql.Identifier(inputs["role"])
                connection.execute(query.format(_words(inputs["privileges"]), _target(inputs), role))


def create_grant(server: Server, inputs: Values) -> tuple[str, Values]:
    """The id names role, database, schema, type and objects.

    The privileges are those in force: a master who does not act for a database's owner grants and revokes
    nothing there, and PostgreSQL only warns. The next preview shows it, as with the official provider.
    """
    _apply(server, inputs)
    parts = [inputs["role"], inputs["database"]]
    if inputs["objectType"] != "database":
        parts.append(inputs["schema"])
    identifier = "_".join([*parts, inputs["objectType"], *sorted(inputs.get("objects") or ())])
    with server.transaction(inputs["database"]) as connection:
        return identifier, {**inputs, "privileges": _in_force(connection, inputs)}


def update_grant(server: Server, _id: str, _old: Values, new: Values) -> Values:
    """Takes the old privileges away and grants the new."""
    _apply(server, new)
    with server.transaction(new["database"]) as connection:
        return {**new, "privileges": _in_force(connection, new)}


def delete_grant(server: Server, _id: str, last: Values) -> None:
    """Takes the privileges away."""
    with server.transaction(last["database"]) as connection:
        if not _still_there(connection, last):
            return
        with acting_as(connection, _owners(connection, last)):
            _revoke(connection, last)


def _still_there(connection: Any, last: Values) -> bool:
    """Whether the role and the schema exist, without which there is nothing to take away."""
    role, schema = last["role"], last.get("schema")
    if role != "public" and value(connection, "select 1 from pg_roles where rolname = %s", role) is None:
        return False
    return (
        not schema or value(connection, "select 1 from pg_namespace where nspname = %s", schema) is not None
    )


def _granted(connection: Any, acl: str, source: str, where: str, args: list[Any], role: str) -> list[str]:
    grantee = (
        0 if role == "public" else value(connection, "select oid from pg_roles where rolname = %s", role)
    )
    given = f"select (aclexplode({acl})).* from {source} where {where}"  # noqa: S608 - the module's own words
    query = f"select distinct privilege_type from ({given}) as given where grantee = %s order by 1"  # noqa: S608
    return [row[0] for row in connection.execute(query, [*args, grantee])]


def _as_asked(found: list[str], asked: list[str], kind: str) -> list[str]:
    """``ALL`` stays ``ALL`` where everything is granted."""
    if sorted(found) == sorted(asked) or ("ALL" in asked and set(PRIVILEGES[kind]) <= {*found, "MAINTAIN"}):
        return asked
    return found


def _on_objects(connection: Any, last: Values) -> dict[str, list[str]]:
    """What a role was granted on each object of one type in a schema, by the object's name."""
    kind, role = last["objectType"], last["role"]
    relations = {"table": "r", "sequence": "S"}
    if kind in relations:
        source, name, acl, schema = "pg_class", "relname", "relacl", "relnamespace"
        only: sql.Composable = sql.SQL("and relkind = {}").format(sql.Literal(relations[kind]))
    else:
        source, name, acl, schema = "pg_proc", "proname", "proacl", "pronamespace"
        only = sql.SQL("")
    query = sql.SQL(
        "select {name}, array(select distinct privilege_type::text from aclexplode({acl}) where grantee = "
        "coalesce((select oid from pg_roles where rolname = {role}), 0)) from {source} "
        "where {schema} = (select oid from pg_namespace where nspname = {given}) {only} order by 1"
    ).format(
        name=sql.Identifier(name),
        acl=sql.Identifier(acl),
        role=sql.Literal(None if role == "public" else role),
        source=sql.Identifier(source),
        schema=sql.Identifier(schema),
        given=sql.Literal(last["schema"]),
        only=only,
    )
    wanted = last.get("objects") or ()
    return {row[0]: row[1] for row in connection.execute(query) if not wanted or row[0] in wanted}


def _in_force(connection: Any, last: Values) -> list[str]:
    """The privileges as asked for if they hold, else those of the first object where they do not."""
    kind, role, asked = last["objectType"], last["role"], last["privileges"]
    if kind == "database":
        found = [_granted(connection, "datacl", "pg_database", "datname = %s", [last["database"]], role)]
    elif kind == "schema":
        found = [_granted(connection, "nspacl", "pg_namespace", "nspname = %s", [last["schema"]], role)]
    else:
        found = list(_on_objects(connection, last).values())
    shown = (_as_asked(privileges, asked, kind) for privileges in found)
    return next((privileges for privileges in shown if privileges is not asked), asked)


def read_grant(server: Server, identifier: str, last: Values) -> tuple[str, Values] | None:
    """What is granted; on many objects, the first that differs speaks for all, as by the official
    provider."""
    with server.transaction() as connection:
        if value(connection, "select 1 from pg_database where datname = %s", last["database"]) is None:
            return None
    with server.transaction(last["database"]) as connection:
        if not _still_there(connection, last):
            return None
        return identifier, {**last, "privileges": _in_force(connection, last)}


def _default_clause(inputs: Values) -> sql.Composable:
    clause = sql.SQL("alter default privileges for role {}").format(sql.Identifier(inputs["owner"]))
    if inputs.get("schema"):
        return clause + sql.SQL(" in schema {}").format(sql.Identifier(inputs["schema"]))
    return clause


def _apply_default(server: Server, inputs: Values, *, grant: bool) -> None:
    kind, role = sql.SQL(inputs["objectType"] + "s"), sql.Identifier(inputs["role"])
    with server.transaction(inputs["database"]) as connection:
        if not grant and not (_still_there(connection, inputs)):
            return
        with acting_as(connection, [inputs["owner"]]):
            connection.execute(
                _default_clause(inputs) + sql.SQL(" revoke all on {} from {}").format(kind, role)
            )
            if grant and inputs["privileges"]:
                option = " with grant option" if inputs.get("withGrantOption") else ""
                query = sql.SQL(" grant {} on {} to {}" + option)
                connection.execute(
                    _default_clause(inputs) + query.format(_words(inputs["privileges"]), kind, role)
                )


def create_default(server: Server, inputs: Values) -> tuple[str, Values]:
    """The id names role, database, schema, owner and type."""
    _apply_default(server, inputs, grant=True)
    parts = [inputs["role"], inputs["database"], inputs.get("schema") or "noschema", inputs["owner"]]
    return "_".join([*parts, inputs["objectType"]]), inputs


def update_default(server: Server, _id: str, _old: Values, new: Values) -> Values:
    """Takes the old defaults away and sets the new."""
    _apply_default(server, new, grant=True)
    return new


def delete_default(server: Server, _id: str, last: Values) -> None:
    """Takes the defaults away."""
    _apply_default(server, last, grant=False)


def read_default(server: Server, identifier: str, last: Values) -> tuple[str, Values] | None:
    """The defaults as they are; none is gone, unless none were asked for."""
    with server.transaction() as connection:
        if value(connection, "select 1 from pg_database where datname = %s", last["database"]) is None:
            return None
    where = "defaclobjtype = %s and pg_get_userbyid(defaclrole) = %s and "
    args: list[Any] = [DEFAULT_CODES[last["objectType"]], last["owner"]]
    if last.get("schema"):
        where += "defaclnamespace = (select oid from pg_namespace where nspname = %s)"
        args.append(last["schema"])
    else:
        where += "defaclnamespace = 0"
    with server.transaction(last["database"]) as connection:
        if not _still_there(connection, last):
            return None
        found = _granted(connection, "defaclacl", "pg_default_acl", where, args, last["role"])
    if not found and last["privileges"]:
        return None
    return identifier, {**last, "privileges": _as_asked(found, last["privileges"], last["objectType"])}
