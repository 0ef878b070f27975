"""The postgresql plugin on a real PostgreSQL, as a master that is no superuser, which is what RDS gives.

Ids, names and defaults are those of pulumi-postgresql 3.18.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

import psycopg
import pytest
from pulumi.provider.experimental import provider as rpc

from local.plugins.operation import under_way
from local.plugins.plain import UNKNOWN, plain_map, property_map
from local.plugins.postgresql import provider
from local.plugins.table_provider import PluginError
from local.postgres.certificates import provide
from local.postgres.cluster import Cluster, Master, copy, template
from local.postgres.processes import Spawner

ROLE = "postgresql:index/role:Role"
DATABASE = "postgresql:index/database:Database"
GRANT = "postgresql:index/grant:Grant"
DEFAULTS = "postgresql:index/defaultPrivileges:DefaultPrivileges"
SCHEMA = "postgresql:index/schema:Schema"
EXTENSION = "postgresql:index/extension:Extension"
MEMBERSHIP = "postgresql:index/grantRole:GrantRole"
MASTER = Master("openerp_admin", "pass\"word'with; quotes", None)


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    home = tmp_path_factory.mktemp("postgres-home")
    copy(template(home / "cache"), home / "postgres" / "server")
    made = Cluster(home / "postgres" / "server", Spawner())
    made.start({"max_connections": "40"})
    made.provide(MASTER)
    yield made
    made.remove()


def urn(token: str) -> str:
    return f"urn:pulumi:local::openerp::openerp:index:Databases${token}::thing"


class Plugin:
    """The plugin behind one configured provider."""

    def __init__(self, **config: Any) -> None:
        self.provider = provider()
        request = rpc.ConfigureRequest({}, property_map(config, ["password"]), True, True)
        asyncio.run(self.provider.configure(request))

    def create(
        self, token: str, inputs: dict[str, Any], *, preview: bool = False
    ) -> tuple[str, dict[str, Any]]:
        checked = asyncio.run(
            self.provider.check(rpc.CheckRequest(urn(token), {}, property_map(inputs), b"\x01" * 8))
        )
        assert checked.inputs is not None and not checked.failures
        response = asyncio.run(
            self.provider.create(rpc.CreateRequest(urn(token), checked.inputs, 0, preview))
        )
        return response.resource_id or "", plain_map(response.properties)

    def failures(self, token: str, inputs: dict[str, Any]) -> dict[str, str]:
        request = rpc.CheckRequest(urn(token), {}, property_map(inputs), b"\x01" * 8)
        response = asyncio.run(self.provider.check(request))
        return {failure.property: failure.reason for failure in response.failures or []}

    def diff(self, token: str, old: dict[str, Any], new: dict[str, Any]) -> rpc.DiffResponse:
        request = rpc.DiffRequest(urn(token), "id", property_map(old), property_map(new), [])
        return asyncio.run(self.provider.diff(request))

    def update(self, token: str, name: str, old: dict[str, Any], new: dict[str, Any]) -> dict[str, Any]:
        request = rpc.UpdateRequest(urn(token), name, property_map(old), property_map(new), 0, [], False)
        return plain_map(asyncio.run(self.provider.update(request)).properties)

    def read(self, token: str, name: str, last: dict[str, Any]) -> tuple[str | None, dict[str, Any]]:
        request = rpc.ReadRequest(urn(token), name, property_map(last), property_map(last))
        response = asyncio.run(self.provider.read(request))
        return response.resource_id, plain_map(response.properties)

    def delete(self, token: str, name: str, last: dict[str, Any]) -> None:
        asyncio.run(self.provider.delete(rpc.DeleteRequest(urn(token), name, property_map(last), 0)))


@pytest.fixture(scope="module")
def plugin(cluster: Cluster) -> Plugin:
    return Plugin(
        host="127.0.0.1",
        port=str(cluster.port),
        username=MASTER.name,
        password=MASTER.password,
        superuser=False,
        sslmode="require",
    )


def one(cluster: Cluster, query: str, *args: Any, database: str = "postgres") -> Any:
    with cluster.connect(database) as connection:
        row = connection.execute(query, args).fetchone()
    return row[0] if row else None


def login(cluster: Cluster, user: str, password: str, database: str) -> psycopg.Connection[Any]:
    return psycopg.connect(
        host="127.0.0.1", port=cluster.port, user=user, password=password, dbname=database, autocommit=True
    )


def test_a_role_is_made_changed_read_and_dropped(plugin: Plugin, cluster: Cluster) -> None:
    name = 'odd "name'
    inputs = {"name": name, "login": True, "password": "s3'cret", "statementTimeout": 5000}
    identifier, state = plugin.create(ROLE, inputs)
    assert identifier == name
    assert (state["connectionLimit"], state["inherit"], state["validUntil"]) == (-1, True, "infinity")
    with login(cluster, name, "s3'cret", "postgres") as connection:
        assert connection.execute("show statement_timeout").fetchone() == ("5s",)
    changed = {
        **inputs,
        "password": "other",
        "connectionLimit": 7,
        "createDatabase": True,
        "statementTimeout": None,
    }
    assert plugin.diff(ROLE, state, changed).replaces == []
    state = plugin.update(
        ROLE, name, state, {key: value for key, value in changed.items() if value is not None}
    )
    with login(cluster, name, "other", "postgres") as connection:
        assert connection.execute("show statement_timeout").fetchone() == ("0",)
    found, read = plugin.read(ROLE, name, state)
    assert found == name and read == state
    assert one(cluster, "select rolcreatedb and rolconnlimit = 7 from pg_roles where rolname = %s", name)
    plugin.delete(ROLE, name, state)
    assert plugin.read(ROLE, name, state) == (None, {})


def test_a_roles_password_is_a_secret_output(plugin: Plugin) -> None:
    request = rpc.CreateRequest(urn(ROLE), property_map({"name": "hidden", "password": "x"}), 0, False)
    response = asyncio.run(plugin.provider.create(request))
    assert response.properties["password"].is_secret
    assert not response.properties["name"].is_secret
    plugin.delete(ROLE, "hidden", {"name": "hidden"})


def test_memberships_follow_the_roles_of_a_role(plugin: Plugin, cluster: Cluster) -> None:
    plugin.create(ROLE, {"name": "readers"})
    _, state = plugin.create(ROLE, {"name": "member", "roles": ["readers"]})
    query = "select pg_has_role('member', 'readers', 'member')"
    assert one(cluster, query)
    plugin.update(ROLE, "member", state, {"name": "member", "roles": []})
    assert not one(cluster, query)
    identifier, granted = plugin.create(MEMBERSHIP, {"role": "member", "grantRole": "readers"})
    assert identifier == "member_readers_false"
    assert one(cluster, query)
    plugin.delete(MEMBERSHIP, identifier, granted)
    for name in ("member", "readers"):
        plugin.delete(ROLE, name, {"name": name})


def test_a_database_belongs_to_its_owner_and_is_dropped_from_under_a_connection(
    plugin: Plugin, cluster: Cluster
) -> None:
    plugin.create(ROLE, {"name": "owner", "login": True, "password": "p"})
    identifier, state = plugin.create(
        DATABASE,
        {"name": "work-db", "owner": "owner", "encoding": "UTF8", "lcCollate": "C", "template": "template0"},
    )
    assert (identifier, state["owner"], state["tablespaceName"]) == ("work-db", "owner", "pg_default")
    assert plugin.read(DATABASE, "work-db", state) == ("work-db", state)
    assert not one(
        cluster, "select 1 from pg_auth_members where set_option and pg_get_userbyid(roleid) = 'owner'"
    )
    unchanged = {"name": "work-db", "owner": "owner"}
    assert plugin.diff(DATABASE, state, unchanged).changes is False
    assert plugin.diff(DATABASE, state, {**unchanged, "encoding": "LATIN1"}).replaces == ["encoding"]
    with login(cluster, "owner", "p", "work-db") as connection:
        plugin.delete(DATABASE, "work-db", state)
        with pytest.raises(psycopg.OperationalError):
            connection.execute("select 1")
    assert plugin.read(DATABASE, "work-db", state) == (None, {})
    plugin.delete(ROLE, "owner", {"name": "owner"})


def test_a_database_without_an_owner_belongs_to_the_master(plugin: Plugin) -> None:
    _, state = plugin.create(DATABASE, {"name": "masters"})
    assert (state["owner"], state["encoding"], state["template"]) == (MASTER.name, "UTF8", "template0")
    state = plugin.update(DATABASE, "masters", state, {"name": "masters", "connectionLimit": 9})
    assert (state["connectionLimit"], state["encoding"]) == (9, "UTF8")
    assert plugin.read(DATABASE, "masters", state) == ("masters", state)
    plugin.delete(DATABASE, "masters", state)


def test_nobody_but_those_who_are_granted_it_may_use_a_database(plugin: Plugin, cluster: Cluster) -> None:
    for name in ("app", "reporting"):
        plugin.create(ROLE, {"name": name, "login": True, "password": "p"})
    _, database = plugin.create(DATABASE, {"name": "shared"})
    public, state = plugin.create(
        GRANT, {"database": "shared", "role": "public", "objectType": "database", "privileges": []}
    )
    assert public == "public_shared_database"
    with pytest.raises(psycopg.OperationalError, match="permission denied"):
        login(cluster, "app", "p", "shared")
    assert plugin.read(GRANT, public, state) == (public, state)

    wanted = {
        "database": "shared",
        "role": "app",
        "objectType": "database",
        "privileges": ["CONNECT", "CREATE"],
    }
    use, granted = plugin.create(GRANT, wanted)
    schema, schema_state = plugin.create(
        GRANT,
        {
            "database": "shared",
            "schema": "public",
            "role": "app",
            "objectType": "schema",
            "privileges": ["ALL"],
        },
    )
    assert (use, schema) == ("app_shared_database", "app_shared_public_schema")
    assert plugin.read(GRANT, schema, schema_state) == (schema, schema_state)
    reordered = {**wanted, "privileges": ["CREATE", "CONNECT"]}
    assert plugin.diff(GRANT, granted, reordered).changes is False
    assert plugin.diff(GRANT, granted, {**wanted, "role": "reporting"}).replaces == ["role"]

    defaults, default_state = plugin.create(
        DEFAULTS,
        {
            "database": "shared",
            "schema": "public",
            "role": "reporting",
            "owner": "app",
            "objectType": "table",
            "privileges": ["SELECT"],
        },
    )
    assert defaults == "reporting_shared_public_app_table"
    assert plugin.read(DEFAULTS, defaults, default_state) == (defaults, default_state)
    plugin.create(
        GRANT,
        {"database": "shared", "role": "reporting", "objectType": "database", "privileges": ["CONNECT"]},
    )
    plugin.create(
        GRANT,
        {
            "database": "shared",
            "schema": "public",
            "role": "reporting",
            "objectType": "schema",
            "privileges": ["USAGE"],
        },
    )
    with login(cluster, "app", "p", "shared") as connection:
        connection.execute("create table made (a int)")
    with login(cluster, "reporting", "p", "shared") as connection:
        assert connection.execute("select * from made").fetchall() == []
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            connection.execute("insert into made values (1)")

    tables, tables_state = plugin.create(
        GRANT,
        {
            "database": "shared",
            "schema": "public",
            "role": "reporting",
            "objectType": "table",
            "objects": ["made"],
            "privileges": ["SELECT", "INSERT"],
        },
    )
    assert tables == "reporting_shared_public_table_made"
    with login(cluster, "reporting", "p", "shared") as connection:
        connection.execute("insert into made values (1)")
    plugin.update(GRANT, tables, tables_state, {**tables_state, "privileges": ["SELECT"]})
    with (
        login(cluster, "reporting", "p", "shared") as connection,
        pytest.raises(psycopg.errors.InsufficientPrivilege),
    ):
        connection.execute("insert into made values (1)")

    plugin.delete(DEFAULTS, defaults, default_state)
    assert plugin.read(DEFAULTS, defaults, default_state) == (None, {})
    plugin.delete(GRANT, use, granted)
    plugin.delete(DATABASE, "shared", database)
    assert plugin.read(GRANT, public, state) == (None, {})
    for name in ("app", "reporting"):
        plugin.delete(ROLE, name, {"name": name})


def test_who_may_use_a_database_is_its_owners_to_say_and_what_is_read_is_what_holds(
    plugin: Plugin, cluster: Cluster
) -> None:
    for name in ("holder", "reader"):
        plugin.create(ROLE, {"name": name, "login": True, "password": "p"})
    _, database = plugin.create(DATABASE, {"name": "held", "owner": "holder"})
    shut = {"database": "held", "role": "public", "objectType": "database", "privileges": []}
    identifier, state = plugin.create(GRANT, shut)
    assert state["privileges"] == ["CONNECT", "TEMPORARY"], "PostgreSQL ignored the revocation"
    assert plugin.diff(GRANT, state, shut).changes is True

    membership, acting = plugin.create(MEMBERSHIP, {"role": MASTER.name, "grantRole": "holder"})
    assert plugin.read(MEMBERSHIP, membership, acting) == (membership, acting)
    state = plugin.update(GRANT, identifier, state, shut)
    assert state["privileges"] == []
    connect = {"database": "held", "role": "reader", "objectType": "database", "privileges": ["CONNECT"]}
    assert plugin.create(GRANT, connect)[1]["privileges"] == ["CONNECT"]
    everything = {"database": "held", "role": "holder", "objectType": "database", "privileges": ["ALL"]}
    assert plugin.create(GRANT, everything)[1]["privileges"] == ["ALL"]

    tables = {"database": "held", "schema": "public", "role": "reader", "objectType": "table"}
    identifier, state = plugin.create(GRANT, {**tables, "privileges": ["SELECT"]})
    assert state["privileges"] == ["SELECT"]
    with login(cluster, "holder", "p", "held") as connection:
        connection.execute("create table later (a int)")
    assert plugin.read(GRANT, identifier, state)[1]["privileges"] == []
    state = plugin.update(GRANT, identifier, state, {**tables, "privileges": ["SELECT"]})
    assert plugin.read(GRANT, identifier, state) == (identifier, state)

    plugin.delete(DATABASE, "held", database)
    plugin.delete(MEMBERSHIP, membership, acting)
    assert plugin.read(MEMBERSHIP, membership, acting) == (None, {})
    for name in ("holder", "reader"):
        plugin.delete(ROLE, name, {"name": name})


def test_a_schema_and_a_trusted_extension_live_in_their_database(plugin: Plugin, cluster: Cluster) -> None:
    _, database = plugin.create(DATABASE, {"name": "extended"})
    identifier, schema = plugin.create(SCHEMA, {"name": "own", "database": "extended"})
    assert (identifier, schema["owner"]) == ("extended.own", MASTER.name)
    identifier, extension = plugin.create(
        EXTENSION, {"name": "unaccent", "database": "extended", "schema": "own"}
    )
    assert (identifier, extension["schema"]) == ("extended.unaccent", "own")
    assert one(cluster, "select own.unaccent('é')", database="extended") == "e"
    with pytest.raises(PluginError, match="cannot drop schema own because other objects depend on it"):
        plugin.delete(SCHEMA, "extended.own", schema)
    plugin.delete(EXTENSION, identifier, extension)
    plugin.delete(SCHEMA, "extended.own", schema)
    plugin.delete(DATABASE, "extended", database)


def test_the_servers_refusal_is_one_message(plugin: Plugin) -> None:
    plugin.create(ROLE, {"name": "twice"})
    with pytest.raises(PluginError, match=r'^PostgreSQL: role "twice" already exists$'):
        plugin.create(ROLE, {"name": "twice"})
    plugin.delete(ROLE, "twice", {"name": "twice"})
    plugin.delete(ROLE, "twice", {"name": "twice"})


@pytest.mark.parametrize("host", ["db.example.com", "10.0.0.5", "", "0.0.0.0"])
def test_a_host_that_is_not_this_machine_is_refused(host: str) -> None:
    with pytest.raises(PluginError, match=r"connects to 127\.0\.0\.1 alone"):
        Plugin(host=host, port=5432).create(ROLE, {"name": "never"})


def test_the_server_is_verified_if_that_is_asked_for_and_never_reached_without_tls(
    plugin: Plugin, cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = {
        "host": "127.0.0.1", "port": cluster.port, "username": MASTER.name, "password": MASTER.password,
    }  # fmt: skip
    home = cluster.directory.parents[1]
    monkeypatch.setenv("OPENERP_LOCAL_HOME", str(home))
    Plugin(**config).create(ROLE, {"name": "by_default"})
    Plugin(**config, sslmode="verify-full").create(ROLE, {"name": "verified"})
    stranger = home / "elsewhere"
    stranger.mkdir()
    provide(stranger, stranger, "x")
    for config_of_stranger, complaint in (
        ({"sslmode": "verify-ca", "sslrootcert": str(stranger / "ca.pem")}, "certificate verify failed"),
        ({"sslmode": "disable"}, "no encryption"),
        ({"sslmode": "prefer"}, "it must be one of disable, require, verify-ca, verify-full"),
    ):
        with pytest.raises(PluginError, match=complaint):
            Plugin(**config, **config_of_stranger).create(ROLE, {"name": "never"})
    for name in ("by_default", "verified"):
        plugin.delete(ROLE, name, {"name": name})


def test_a_preview_needs_no_server_and_no_known_configuration() -> None:
    plugin = Plugin(host=UNKNOWN, port=UNKNOWN, username="x", password=UNKNOWN)
    _, state = plugin.create(ROLE, {"name": "later", "password": UNKNOWN}, preview=True)
    assert state["password"] is UNKNOWN and state["login"] is False
    _, state = plugin.create(DATABASE, {"name": "later"}, preview=True)
    assert state["owner"] is UNKNOWN
    assert plugin.diff(ROLE, state, {"name": "later"}).replaces == []


def test_a_server_that_does_not_answer_is_named_in_the_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("local.plugins.postgresql.server.PATIENCE", 0)
    with pytest.raises(PluginError, match=r"no connection to 127\.0\.0\.1:1/postgres"):
        Plugin(host="127.0.0.1", port=1).create(ROLE, {"name": "never"})


@pytest.mark.parametrize(
    ("token", "inputs", "key"),
    [
        (ROLE, {"name": "x" * 64}, "name"),
        (ROLE, {"name": "x", "connectionLimit": -2}, "connectionLimit"),
        (ROLE, {"name": "x", "createdb": True}, "createdb"),
        (GRANT, {"database": "d", "role": "r", "objectType": "view", "privileges": []}, "objectType"),
        (GRANT, {"database": "d", "role": "r", "objectType": "table", "privileges": ["SELECT"]}, "schema"),
        (
            GRANT,
            {"database": "d", "role": "r", "objectType": "database", "privileges": ["SELECT"]},
            "privileges",
        ),
        (
            GRANT,
            {"database": "d", "role": "r", "objectType": "database", "privileges": ["x; drop"]},
            "privileges",
        ),
        (
            DEFAULTS,
            {"database": "d", "role": "r", "owner": "o", "objectType": "database", "privileges": []},
            "objectType",
        ),
    ],
)
def test_a_wrong_input_fails_the_check(token: str, inputs: dict[str, Any], key: str) -> None:
    assert key in Plugin().failures(token, inputs)


def test_a_creation_or_rename_that_is_repeated_after_a_kill_takes_what_is_there(plugin: Plugin) -> None:
    role = {"name": "repeated", "login": True, "password": "first", "connectionLimit": 3}
    database = {"name": "repeated_db"}
    with under_way("once"):
        made = plugin.create(ROLE, role), plugin.create(DATABASE, database)
    for token, inputs in ((ROLE, role), (DATABASE, database)):
        with under_way("other"), pytest.raises(PluginError, match="exists"):
            plugin.create(token, inputs)
    with under_way("once", again=True):
        assert (plugin.create(ROLE, role), plugin.create(DATABASE, database)) == made
        assert plugin.create(ROLE, {"name": "never_made"})[0] == "never_made"
    for token, (name, old) in zip((ROLE, DATABASE), made, strict=True):
        new = {**old, "name": f"{name}_later"}
        with under_way("rename"):
            assert plugin.update(token, name, old, new)["name"] == new["name"]
        with under_way("rename", again=True):
            assert plugin.update(token, name, old, new)["name"] == new["name"]


def test_a_resource_without_a_name_gets_one_from_its_logical_name() -> None:
    request = rpc.CheckRequest(urn(ROLE), {}, {}, b"\xab" * 8)
    response = asyncio.run(Plugin().provider.check(request))
    assert plain_map(response.inputs or {})["name"] == "thing-abababa"
