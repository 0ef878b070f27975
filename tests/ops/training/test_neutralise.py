"""Every rule on a real PostgreSQL: an offender is found, the scrub removes it, unknown is no pass."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Any

import psycopg
import pytest

from core.neutralisation import RULES, Rule, address, note_former
from ops.databases.connection import Server
from ops.errors import OpsError
from ops.training import on_server
from ops.training.neutralise import Judge, only_odoo
from tests.ops.training import tables
from tests.ops.training.conftest import Connection

_numbers = itertools.count()


def make(server: Server) -> str:
    name = f"d{next(_numbers)}"
    with server.connect("postgres") as connection:
        connection.execute(f"create database {name}")
    with server.connect(name) as connection:
        tables.create(connection)
        connection.execute(tables.CLEAN)
    return name


@pytest.fixture(scope="module")
def shared(server: Server) -> Iterator[Connection]:
    """A database in which nothing offends."""
    with server.connect(make(server)) as connected:
        connected.execute(tables.RENEW)
        connected.execute("create role reader; grant reader to current_user")
        yield connected


@pytest.fixture
def clean(shared: Connection) -> Connection:
    """The same, as the tests before have not changed it but for rows, which are as in the beginning."""
    shared.execute("reset role")
    shared.execute("set search_path to public")
    shared.execute("grant select, insert, update, delete on all tables in schema public to reader")
    shared.execute("select renew()")
    shared.execute(tables.CLEAN)
    return shared


@pytest.fixture
def own(server: Server) -> Iterator[Connection]:
    """A database of the test's own, which is clean, for what changes tables."""
    with server.connect(make(server)) as connected:
        yield connected


def offending(connection: Connection) -> dict[str, int]:
    return {offence.rule: offence.count for offence in Judge(connection, "copy").look().offences}


def only(connection: Connection, rule: str) -> Judge:
    """A judge of one rule."""
    judge = Judge(connection, "copy")
    judge.rules = tuple(each for each in judge.rules if each.name == rule)
    return judge


def test_a_neutralised_database_passes_and_says_what_it_has_no_place_for(clean: Connection) -> None:
    judged = Judge(clean, "copy").look()
    assert [str(offence) for offence in judged.offences] == []
    assert judged.rules == len(RULES) + len(tables.SECRET_COLUMNS)
    assert judged.left_out == ()


@pytest.mark.parametrize("rule", [*(rule.name for rule in RULES), *tables.SECRET_COLUMNS])
def test_what_offends_a_rule_is_found_and_removed(clean: Connection, rule: str) -> None:
    clean.execute(tables.offender(rule))
    [offence] = only(clean, rule).look().offences
    assert offence.count >= len(offence.named) > 0
    judge = Judge(clean, "copy")
    judge.scrub()
    left = judge.look().offences  # nor does what the scrub did offend another rule
    assert list(left) == only_odoo(left)
    assert bool(left) == (rule in ("parameter database.is_neutralized", "ir_mail_server of no host"))


def test_what_is_no_offender_is_left_as_it_is(clean: Connection) -> None:
    for rule in ("mail_mail.state", "sms_sms.state", "snailmail_letter.state", "ir_attachment of secrets"):
        clean.execute(tables.offender(rule))
    Judge(clean, "copy").scrub()

    def texts(query: str) -> list[str]:
        return [row[0] for row in clean.execute(query).fetchall()]

    assert texts("select state from mail_mail order by 1") == ["cancel", "sent"]
    assert texts("select state from sms_sms order by 1") == ["canceled", "canceled", "sent"]
    assert texts("select state from snailmail_letter order by 1") == ["canceled", "sent"]
    assert texts("select res_model from ir_attachment") == ["res.partner"]
    assert texts("select password from res_users") == ["$pbkdf2-sha512$x"]
    assert texts("select value from ir_config_parameter where key = 'auth_password_policy.minlength'") == [
        "8"
    ]
    assert clean.execute("select id from ir_cron where active").fetchall() == [(1,)]


def test_the_vacuum_of_another_module_is_a_job_like_any_other(clean: Connection) -> None:
    clean.execute("update ir_cron set active = true")
    assert offending(clean) == {"ir_cron.active": 2}


def test_an_offender_is_named_and_what_stands_in_it_is_not(clean: Connection) -> None:
    clean.execute(tables.offender("secret parameters"))
    clean.execute(tables.offender("payment_provider.stripe_secret_key"))
    clean.execute("insert into mail_mail (state) select 'outgoing' from generate_series(1, 12)")
    said = {offence.rule: str(offence) for offence in Judge(clean, "copy").look().offences}
    assert "mail.web_push_vapid_private_key, our_bank.password" in said["secret parameters"]
    assert "https://x" not in said["secret parameters"]
    assert "sk_live" not in said["payment_provider.stripe_secret_key"]
    assert said["mail_mail.state"].startswith(
        "mail_mail.state (id 1, id 10, id 11, id 12, id 2 and 7 more): "
    )


def test_a_secret_that_must_have_a_value_gets_one_that_opens_nothing(clean: Connection) -> None:
    clean.execute("""insert into "our bank" ("the_api_key") values ('one'), ('two')""")
    Judge(clean, "copy").scrub()
    left = {row[0] for row in clean.execute('select the_api_key from "our bank"').fetchall()}
    assert len(left) == 2
    assert all(value.startswith("neutralised ") for value in left)
    assert offending(clean) == {}


@pytest.mark.parametrize(
    "rule", [rule for rule in RULES if not rule.required], ids=lambda rule: str(rule.name)
)
def test_a_table_that_is_not_there_is_left_out(clean: Connection, rule: Rule) -> None:
    with clean.transaction(force_rollback=True):
        for table in set(rule.needs) - {"ir_config_parameter", "openerp_server_state"}:
            if any(table in each.needs for each in RULES if each.required):
                for column in rule.needs[table] - {"id", "active", "smtp_host"}:
                    clean.execute(f'alter table {table} drop column "{column}"')
            else:
                clean.execute(f"drop table {table}")
        assert rule.name in Judge(clean, "copy").left_out


@pytest.mark.parametrize(
    "table", ["ir_mail_server", "ir_cron", "ir_config_parameter", "openerp_server_state"]
)
def test_a_database_without_what_every_odoo_has_is_no_pass(clean: Connection, table: str) -> None:
    with clean.transaction(force_rollback=True):
        clean.execute(f"drop table {table}")
        with pytest.raises(OpsError, match=f"the database copy cannot be judged: it has no {table}"):
            Judge(clean, "copy")


@pytest.mark.parametrize("rule", [*(rule.name for rule in RULES), *tables.SECRET_COLUMNS])
def test_a_check_that_fails_fails_the_whole(clean: Connection, rule: str) -> None:
    judge = only(clean, rule)
    [found] = judge.rules
    clean.execute(f'revoke all on "{next(iter(found.needs))}" from reader')
    clean.execute("set role reader")
    with pytest.raises(
        OpsError, match=r"the database copy cannot be judged: .*: permission denied for table"
    ):
        judge.look()
    if found.scrub:
        with pytest.raises(OpsError, match=r"the database copy cannot be judged: .*: permission denied"):
            judge.scrub()


def test_a_scrub_is_all_or_nothing(own: Connection) -> None:
    own.execute(tables.offender("mail_mail.state"))
    own.execute(tables.offender("website.domain"))
    own.execute("alter table website add constraint has_domain check (domain is not null)")
    with pytest.raises(OpsError, match=r"website\.domain: .*has_domain"):
        Judge(own, "copy").scrub()
    assert {"mail_mail.state", "website.domain"} <= set(offending(own))


def test_a_copy_gets_an_identity_of_its_own_once(clean: Connection) -> None:
    clean.execute("delete from openerp_server_state where key like 'former %'")
    clean.execute("update ir_config_parameter set value = 'of production' where key = 'database.uuid'")
    Judge(clean, "copy").scrub()
    # Nobody noted what production's was: no scrub can tell, and no check passes.
    assert offending(clean) == {"database.uuid and database.secret": 2}
    clean.execute(note_former())
    assert offending(clean) == {"database.uuid and database.secret": 2}
    Judge(clean, "copy").scrub()
    assert offending(clean) == {}
    query = (
        "select value from ir_config_parameter where key in ('database.uuid', 'database.secret') order by key"
    )
    made = clean.execute(query).fetchall()
    assert "of production" not in {value for (value,) in made}
    Judge(clean, "copy").scrub()
    assert clean.execute(query).fetchall() == made


def test_links_lead_to_the_copy(clean: Connection) -> None:
    clean.execute(
        "insert into ir_config_parameter (key, value) values ('web.base.url', 'https://erp.example.com')"
    )
    judge = Judge(clean, "copy", [address("https://training.example.com")])
    [offence] = judge.look().offences
    assert offence.rule == "web.base.url"
    assert offence.named == ("web.base.url", "web.base.url.freeze")
    judge.scrub()
    assert judge.look().offences == ()


def test_tables_in_another_schema_are_not_taken_for_odoos(own: Connection) -> None:
    own.execute("create schema master; create table master.mail_mail (state text)")
    own.execute("insert into public.mail_mail (state) values ('outgoing')")
    assert offending(own) == {"mail_mail.state": 1}


def test_the_server_refuses_to_write_while_it_judges(own: Connection) -> None:
    """A rule whose check changed something would fail."""
    judge = Judge(own, "copy", [Rule(name="x", against="x", needs={}, offenders="select nextval('x')::text")])
    own.execute("create sequence x")
    with pytest.raises(OpsError, match=r"x: cannot execute nextval\(\) in a read-only transaction"):
        judge.look()
    with pytest.raises(psycopg.Error):
        own.execute("select currval('x')")


class Rows:
    """A connection as the servers' own code has it."""

    def __init__(self, connection: Connection) -> None:
        self.connection = connection

    def rows(self, statement: str) -> list[Any]:
        cursor = self.connection.execute(statement)
        return [] if cursor.description is None else list(cursor.fetchall())


def columns(connection: Connection, table: str) -> set[str]:
    query = "select column_name from information_schema.columns where table_name = %s"
    return {row[0] for row in connection.execute(query, [table]).fetchall()}


def test_odoos_statements_are_run_though_they_name_columns_that_are_not_there(clean: Connection) -> None:
    """As those for Polish invoices do in Odoo 19."""
    before = columns(clean, "website"), columns(clean, "mail_mail")
    clean.execute(tables.offender("website.domain"))
    on_server.apply(
        Rows(clean),
        "BEGIN; update website set domain = null, session_key = null; "
        "update mail_mail set another = null; update website set robots_txt = 'x%'; COMMIT;",
    )
    assert clean.execute("select domain, robots_txt from website").fetchall() == [(None, "x%")]
    assert (columns(clean, "website"), columns(clean, "mail_mail")) == before


@pytest.mark.parametrize("wrong", ["update no_table set x = 1", "update website set cdn_activated = 'odd'"])
def test_odoos_statements_are_run_all_or_none(clean: Connection, wrong: str) -> None:
    before = columns(clean, "website")
    clean.execute(tables.offender("website.domain"))
    with pytest.raises(psycopg.Error):
        on_server.apply(
            Rows(clean), f"BEGIN; update website set domain = null, session_key = null; {wrong}; COMMIT;"
        )
    assert clean.execute("select domain from website").fetchall() == [("of production",)]
    assert columns(clean, "website") == before
