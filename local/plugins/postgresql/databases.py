"""Databases, and the schemas and extensions in them."""

from __future__ import annotations

from typing import Any

from psycopg import sql

from local.plugins.operation import repeated
from local.plugins.postgresql.server import Server, acting_as, value
from local.plugins.table_provider import Values


def _word(inputs: Values, key: str, clause: str, *, literal: bool) -> sql.Composable | None:
    """A clause of CREATE DATABASE; ``DEFAULT`` is a keyword there."""
    given = inputs.get(key)
    if not given:
        return None
    if given.upper() == "DEFAULT":
        return sql.SQL(f"{clause} default")
    quoted: sql.Composable = sql.Literal(given) if literal else sql.Identifier(given)
    return sql.SQL(f"{clause} ") + quoted


def _read(connection: Any, name: str) -> Values | None:
    row = connection.execute(
        "select pg_get_userbyid(datdba), pg_encoding_to_char(encoding), datcollate, datctype, spcname, "
        "datconnlimit, datallowconn, datistemplate "
        "from pg_database d join pg_tablespace t on t.oid = d.dattablespace where datname = %s",
        [name],
    ).fetchone()
    keys = (
        "owner", "encoding", "lcCollate", "lcCtype", "tablespaceName", "connectionLimit", "allowConnections",
        "isTemplate",
    )  # fmt: skip
    return {"name": name, **dict(zip(keys, row, strict=True))} if row else None


def create_database(server: Server, inputs: Values) -> tuple[str, Values]:
    """The id is the name. Without an owner it is the provider's user, without a template ``template0``.

    A database that exists is refused, unless its creation is repeated after a kill: one statement made it
    whole or not at all.
    """
    name = inputs["name"]
    settings = {"template": "template0", "encoding": "UTF8", **inputs}
    clauses = [
        _word(settings, "owner", "owner", literal=False),
        _word(settings, "template", "template", literal=False),
        _word(settings, "encoding", "encoding", literal=True),
        _word(settings, "lcCollate", "lc_collate", literal=True),
        _word(settings, "lcCtype", "lc_ctype", literal=True),
        _word(settings, "tablespaceName", "tablespace", literal=False),
        sql.SQL("allow_connections {}").format(sql.Literal(bool(settings["allowConnections"]))),
        sql.SQL("connection limit {}").format(sql.Literal(int(settings["connectionLimit"]))),
        sql.SQL("is_template {}").format(sql.Literal(bool(settings.get("isTemplate")))),
    ]
    owners = [settings["owner"]] if settings.get("owner") else []
    with server.statements() as connection, acting_as(connection, owners):
        if not (repeated() and _read(connection, name)):
            options = sql.SQL(" ").join(clause for clause in clauses if clause is not None)
            connection.execute(sql.SQL("create database {} {}").format(sql.Identifier(name), options))
        found = _read(connection, name) or {}
    return name, {**settings, **found, "template": settings["template"]}


def read_database(server: Server, name: str, last: Values) -> tuple[str, Values] | None:
    """The database as it is."""
    with server.transaction() as connection:
        found = _read(connection, name)
    return (name, {**last, **found}) if found else None


def update_database(server: Server, _id: str, old: Values, new: Values) -> Values:
    """Renames, changes owner, tablespace and limits."""
    changed = {key for key in new if old.get(key) != new.get(key)}
    name = sql.Identifier(new["name"])
    with server.statements() as connection:
        if "name" in changed and not (repeated() and _read(connection, new["name"])):
            connection.execute(
                sql.SQL("alter database {} rename to {}").format(sql.Identifier(old["name"]), name)
            )
        if "owner" in changed and new.get("owner"):
            with acting_as(connection, [old["owner"], new["owner"]]):
                connection.execute(
                    sql.SQL("alter database {} owner to {}").format(name, sql.Identifier(new["owner"]))
                )
        if "tablespaceName" in changed and new.get("tablespaceName"):
            space = sql.Identifier(new["tablespaceName"])
            connection.execute(sql.SQL("alter database {} set tablespace {}").format(name, space))
        for key, word in (
            ("connectionLimit", "connection limit"),
            ("allowConnections", "allow_connections"),
            ("isTemplate", "is_template"),
        ):
            if key in changed and new.get(key) is not None:
                query = sql.SQL(f"alter database {{}} with {word} {{}}").format(name, sql.Literal(new[key]))
                connection.execute(query)
    if "owner" in changed and new.get("alterObjectOwnership") and old.get("owner"):
        with (
            server.transaction(new["name"]) as connection,
            acting_as(connection, [old["owner"], new["owner"]]),
        ):
            connection.execute(
                sql.SQL("reassign owned by {} to {}").format(
                    sql.Identifier(old["owner"]), sql.Identifier(new["owner"])
                )
            )
    return new


def delete_database(server: Server, name: str, last: Values) -> None:
    """Drops it with force: who is connected is sent away, as by the official provider."""
    owners = [last["owner"]] if last.get("owner") else []
    with server.statements() as connection, acting_as(connection, owners):
        if last.get("isTemplate"):
            connection.execute(
                sql.SQL("alter database {} with is_template false").format(sql.Identifier(name))
            )
        connection.execute(sql.SQL("drop database if exists {} with (force)").format(sql.Identifier(name)))


def _database_owner(connection: Any) -> str:
    query = "select pg_get_userbyid(datdba) from pg_database where datname = current_database()"
    return str(value(connection, query))


def _has_schema(connection: Any, name: str) -> bool:
    return value(connection, "select 1 from pg_namespace where nspname = %s", name) is not None


def create_schema(server: Server, inputs: Values) -> tuple[str, Values]:
    """The id is database and name."""
    database, name = inputs.get("database") or server.database, inputs["name"]
    there = " if not exists" if inputs.get("ifNotExists") or repeated() else ""
    with server.transaction(database) as connection:
        owners = [_database_owner(connection), *filter(None, [inputs.get("owner")])]
        with acting_as(connection, owners):
            connection.execute(sql.SQL(f"create schema{there} {{}}").format(sql.Identifier(name)))
            if inputs.get("owner"):
                query = sql.SQL("alter schema {} owner to {}")
                connection.execute(query.format(sql.Identifier(name), sql.Identifier(inputs["owner"])))
        query_owner = "select pg_get_userbyid(nspowner) from pg_namespace where nspname = %s"
        owner = value(connection, query_owner, name)
    return f"{database}.{name}", {**inputs, "database": database, "owner": owner}


def update_schema(server: Server, _id: str, old: Values, new: Values) -> Values:
    """Renames, changes the owner."""
    with server.transaction(old["database"]) as connection:
        owners = [_database_owner(connection), *filter(None, [old.get("owner"), new.get("owner")])]
        with acting_as(connection, owners):
            if old["name"] != new["name"] and not (repeated() and _has_schema(connection, new["name"])):
                query = sql.SQL("alter schema {} rename to {}")
                connection.execute(query.format(sql.Identifier(old["name"]), sql.Identifier(new["name"])))
            if new.get("owner") and old.get("owner") != new["owner"]:
                query = sql.SQL("alter schema {} owner to {}")
                connection.execute(query.format(sql.Identifier(new["name"]), sql.Identifier(new["owner"])))
    return new


def delete_schema(server: Server, _id: str, last: Values) -> None:
    """Drops the schema; what it holds keeps it from being dropped unless ``dropCascade`` says otherwise."""
    mode = "cascade" if last.get("dropCascade") else "restrict"
    with server.transaction(last["database"]) as connection:
        owners = [_database_owner(connection), *filter(None, [last.get("owner")])]
        with acting_as(connection, owners):
            query = sql.SQL(f"drop schema if exists {{}} {mode}")
            connection.execute(query.format(sql.Identifier(last["name"])))


def _read_extension(connection: Any, name: str) -> Values:
    row = connection.execute(
        "select extversion, nspname from pg_extension e join pg_namespace n on n.oid = extnamespace "
        "where extname = %s",
        [name],
    ).fetchone()
    return {"version": row[0], "schema": row[1]} if row else {}


def create_extension(server: Server, inputs: Values) -> tuple[str, Values]:
    """The id is database and name."""
    database, name = inputs.get("database") or server.database, inputs["name"]
    parts: list[sql.Composable] = [sql.SQL("create extension if not exists {}").format(sql.Identifier(name))]
    if inputs.get("schema"):
        parts.append(sql.SQL("schema {}").format(sql.Identifier(inputs["schema"])))
    if inputs.get("version"):
        parts.append(sql.SQL("version {}").format(sql.Identifier(inputs["version"])))
    if inputs.get("createCascade"):
        parts.append(sql.SQL("cascade"))
    with server.transaction(database) as connection:
        connection.execute(sql.SQL(" ").join(parts))
        found = _read_extension(connection, name)
    return f"{database}.{name}", {**inputs, "database": database, **found}


def update_extension(server: Server, _id: str, old: Values, new: Values) -> Values:
    """Changes version and schema."""
    name = sql.Identifier(new["name"])
    with server.transaction(old["database"]) as connection:
        if new.get("version") and old.get("version") != new["version"]:
            version = sql.Identifier(new["version"])
            connection.execute(sql.SQL("alter extension {} update to {}").format(name, version))
        if new.get("schema") and old.get("schema") != new["schema"]:
            schema = sql.Identifier(new["schema"])
            connection.execute(sql.SQL("alter extension {} set schema {}").format(name, schema))
    return new


def delete_extension(server: Server, _id: str, last: Values) -> None:
    """Drops the extension; with what depends on it if ``dropCascade`` says so."""
    mode = "cascade" if last.get("dropCascade") else "restrict"
    with server.transaction(last["database"]) as connection:
        query = sql.SQL(f"drop extension if exists {{}} {mode}")
        connection.execute(query.format(sql.Identifier(last["name"])))
