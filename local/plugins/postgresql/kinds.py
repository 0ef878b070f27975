"""The resources of pulumi-postgresql 3.18 as rows: inputs, defaults and ids under the official names."""

from __future__ import annotations

from typing import Any

from local.plugins.plain import UNKNOWN
from local.plugins.table_provider import Failures, Kind, TableProvider, Values

MAXIMUM_NAME_BYTES = 63
"""PostgreSQL cuts longer identifiers off (NAMEDATALEN)."""


def _known(inputs: Values, key: str) -> Any:
    value = inputs.get(key)
    return None if value is UNKNOWN else value


def _name(inputs: Values) -> Failures:
    name = _known(inputs, "name")
    if name is not None and not 0 < len(name.encode()) <= MAXIMUM_NAME_BYTES:
        return [("name", f"name {name!r} must have 1 to {MAXIMUM_NAME_BYTES} bytes")]
    return []


def _limit(inputs: Values) -> Failures:
    limit = _known(inputs, "connectionLimit")
    if limit is not None and (not isinstance(limit, int) or limit < -1):
        return [("connectionLimit", f"connectionLimit is {limit!r}; it must be -1 (none) or more")]
    return []


def _check_role(inputs: Values) -> Failures:
    return [*_name(inputs), *_limit(inputs)]


def _privileges(inputs: Values, types: tuple[str, ...]) -> Failures:
    from local.plugins.postgresql.grants import PRIVILEGES

    kind, asked = _known(inputs, "objectType"), _known(inputs, "privileges")
    if kind is not None and kind not in types:
        return [("objectType", f"objectType is {kind!r}; it must be one of {', '.join(types)}")]
    if kind is None or asked is None:
        return []
    allowed = ("ALL", *PRIVILEGES[kind])
    return [
        ("privileges", f"{word!r} is no privilege on a {kind}; allowed are {', '.join(allowed)}")
        for word in asked
        if word is not UNKNOWN and word not in allowed
    ]


def _check_grant(inputs: Values) -> Failures:
    from local.plugins.postgresql.grants import GRANT_TYPES

    failures = _privileges(inputs, GRANT_TYPES)
    kind = _known(inputs, "objectType")
    if kind not in (None, "database") and not inputs.get("schema"):
        failures.append(("schema", f"schema is required for a grant on a {kind}"))
    if kind in ("database", "schema") and inputs.get("objects"):
        failures.append(("objects", f"objects cannot be given for a grant on a {kind}"))
    return failures


def _check_default(inputs: Values) -> Failures:
    from local.plugins.postgresql.grants import DEFAULT_TYPES

    failures = _privileges(inputs, DEFAULT_TYPES)
    if _known(inputs, "objectType") == "schema" and inputs.get("schema"):
        failures.append(("schema", "schema cannot be given where objectType is schema"))
    if _known(inputs, "role") == "public" and inputs.get("withGrantOption") is True:
        failures.append(("withGrantOption", "withGrantOption cannot be true for the role public"))
    return failures


def _automatic(name: str, suffix: str) -> str:
    return f"{name}-{suffix}"


def _kinds() -> dict[str, Kind]:
    from local.plugins.postgresql import databases, grants, roles

    return {
        "postgresql:index/role:Role": Kind(
            required=frozenset({"name"}),
            optional={
                "assumeRole": None,
                "bypassRowLevelSecurity": False,
                "connectionLimit": -1,
                "createDatabase": False,
                "createRole": False,
                "encrypted": None,
                "encryptedPassword": True,
                "idleInTransactionSessionTimeout": None,
                "inherit": True,
                "login": False,
                "password": None,
                "passwordWo": None,
                "passwordWoVersion": None,
                "replication": False,
                "roles": None,
                "searchPaths": None,
                "skipDropRole": False,
                "skipReassignOwned": False,
                "statementTimeout": None,
                "superuser": False,
                "validUntil": "infinity",
            },
            computed=frozenset(),
            in_place=frozenset(
                {
                    "assumeRole",
                    "bypassRowLevelSecurity",
                    "connectionLimit",
                    "createDatabase",
                    "createRole",
                    "encrypted",
                    "encryptedPassword",
                    "idleInTransactionSessionTimeout",
                    "inherit",
                    "login",
                    "name",
                    "password",
                    "passwordWoVersion",
                    "replication",
                    "roles",
                    "searchPaths",
                    "skipDropRole",
                    "skipReassignOwned",
                    "statementTimeout",
                    "superuser",
                    "validUntil",
                }
            ),
            secrets=frozenset({"password"}),
            write_only=frozenset({"passwordWo"}),
            unordered=frozenset({"roles"}),
            default_name=_automatic,
            validate=_check_role,
            create=roles.create,
            read=roles.read,
            update=roles.update,
            delete=roles.delete,
        ),
        "postgresql:index/grantRole:GrantRole": Kind(
            required=frozenset({"role", "grantRole"}),
            optional={"withAdminOption": False},
            computed=frozenset(),
            delete_before_replace=True,
            create=roles.create_membership,
            read=roles.read_membership,
            delete=roles.delete_membership,
        ),
        "postgresql:index/database:Database": Kind(
            required=frozenset({"name"}),
            optional={
                "allowConnections": True,
                "alterObjectOwnership": False,
                "connectionLimit": -1,
                "encoding": None,
                "isTemplate": None,
                "lcCollate": None,
                "lcCtype": None,
                "owner": None,
                "tablespaceName": None,
                "template": None,
            },
            computed=frozenset(),
            filled_in=frozenset(
                {"encoding", "isTemplate", "lcCollate", "lcCtype", "owner", "tablespaceName", "template"}
            ),
            in_place=frozenset(
                {
                    "allowConnections",
                    "alterObjectOwnership",
                    "connectionLimit",
                    "isTemplate",
                    "name",
                    "owner",
                    "tablespaceName",
                }
            ),
            delete_before_replace=True,
            default_name=_automatic,
            validate=_check_role,
            create=databases.create_database,
            read=databases.read_database,
            update=databases.update_database,
            delete=databases.delete_database,
        ),
        "postgresql:index/schema:Schema": Kind(
            required=frozenset({"name"}),
            optional={"database": None, "dropCascade": False, "ifNotExists": True, "owner": None},
            computed=frozenset(),
            filled_in=frozenset({"database", "owner"}),
            in_place=frozenset({"dropCascade", "ifNotExists", "name", "owner"}),
            delete_before_replace=True,
            default_name=_automatic,
            validate=_name,
            create=databases.create_schema,
            update=databases.update_schema,
            delete=databases.delete_schema,
        ),
        "postgresql:index/extension:Extension": Kind(
            required=frozenset({"name"}),
            optional={
                "createCascade": False,
                "database": None,
                "dropCascade": False,
                "schema": None,
                "version": None,
            },
            computed=frozenset(),
            filled_in=frozenset({"database", "schema", "version"}),
            in_place=frozenset({"createCascade", "dropCascade", "schema", "version"}),
            delete_before_replace=True,
            validate=_name,
            create=databases.create_extension,
            update=databases.update_extension,
            delete=databases.delete_extension,
        ),
        "postgresql:index/grant:Grant": Kind(
            required=frozenset({"database", "objectType", "privileges", "role"}),
            optional={"objects": None, "schema": None, "withGrantOption": False},
            computed=frozenset(),
            in_place=frozenset({"privileges"}),
            unordered=frozenset({"privileges", "objects"}),
            delete_before_replace=True,
            validate=_check_grant,
            create=grants.create_grant,
            read=grants.read_grant,
            update=grants.update_grant,
            delete=grants.delete_grant,
        ),
        "postgresql:index/defaultPrivileges:DefaultPrivileges": Kind(
            required=frozenset({"database", "objectType", "owner", "privileges", "role"}),
            optional={"schema": None, "withGrantOption": False},
            computed=frozenset(),
            in_place=frozenset({"privileges"}),
            unordered=frozenset({"privileges"}),
            delete_before_replace=True,
            validate=_check_default,
            create=grants.create_default,
            read=grants.read_default,
            update=grants.update_default,
            delete=grants.delete_default,
        ),
    }


class PostgresqlProvider(TableProvider):
    """The rows, on the server of the provider's configuration."""

    def __init__(self) -> None:
        super().__init__("postgresql", _kinds())

    def read_config(self, args: Values) -> Any:
        from local.plugins.postgresql.server import Server

        return Server(args)
