"""The rules for a copy of production, as data: that they cover what Odoo's own statements touch, and more."""

from __future__ import annotations

import json
import re

import pytest

from core import neutralisation
from core.neutralisation import RULES, Column, UnknownError, chosen, is_secret, secrets_in, tables
from tests.core.neutralize_sql import KNOWN, Touched, touched

MODULES: dict[str, Touched] = json.loads(KNOWN.read_text())
TEXT = Column(type="character varying", required=False)
BASE = ("ir_config_parameter", "ir_mail_server", "ir_cron", "ir_model_data", "openerp_server_state")


def everything() -> dict[str, dict[str, Column]]:
    """Every table and column that a rule names."""
    found: dict[str, dict[str, Column]] = {}
    for rule in RULES:
        for table, columns in rule.needs.items():
            found.setdefault(table, {}).update(dict.fromkeys(columns, TEXT))
    return found


@pytest.mark.parametrize("module", sorted(MODULES))
def test_every_column_that_a_standard_module_neutralises_is_held_by_a_rule(module: str) -> None:
    for name in MODULES[module].get("columns", ()):
        table, column = name.split(".")
        held, _ = chosen({**everything(), table: {**everything().get(table, {}), column: TEXT}})
        assert [rule.name for rule in held if rule.name == name and column in rule.needs[table]], name


@pytest.mark.parametrize("module", sorted(MODULES))
def test_every_table_that_a_standard_module_empties_is_held_by_a_rule(module: str) -> None:
    for table in MODULES[module].get("emptied", ()):
        assert [rule for rule in RULES if rule.name == table and f'delete from "{table}"' in rule.scrub[0]]


@pytest.mark.parametrize("module", sorted(MODULES))
def test_every_parameter_that_a_standard_module_neutralises_is_held_by_a_rule(module: str) -> None:
    """What the rules then do with it is tried on PostgreSQL."""
    secret = re.compile(neutralisation._SECRET_PARAMETER)
    named = {rule.name.removeprefix("parameter ") for rule in RULES}
    for key in MODULES[module].get("parameters", ()):
        blanked = secret.search(key) and key not in neutralisation._NO_SECRET_PARAMETERS
        assert key in named or blanked or key.startswith("cloud_storage_"), key


def test_statements_of_other_kinds_than_those_known_are_noticed() -> None:
    assert touched("-- x\nUPDATE a\n SET b = CASE WHEN c IN ('d', 'e') THEN 1 END, f = 'g' WHERE j;") == {
        "columns": ["a.b", "a.f"]
    }
    with pytest.raises(ValueError, match="alter table a"):
        touched("alter table a drop column b")


def test_a_table_or_a_column_that_a_database_does_not_have_leaves_its_rules_out() -> None:
    there = everything()
    del there["payment_provider"], there["website"]["domain"]
    held, left_out = chosen(there)
    assert "payment_provider.state" in left_out
    assert "website.domain" in left_out
    assert "website.cdn_activated" in {rule.name for rule in held}
    assert {rule.name for rule in held} | set(left_out) >= {rule.name for rule in RULES}


@pytest.mark.parametrize("table", BASE)
def test_a_table_that_every_odoo_has_cannot_be_missing(table: str) -> None:
    there = everything()
    del there[table]
    with pytest.raises(UnknownError, match=f"it has no {table}"):
        chosen(there)


def test_a_column_that_every_odoo_has_cannot_be_missing() -> None:
    there = everything()
    del there["ir_mail_server"]["active"]
    with pytest.raises(UnknownError, match=r"it has no ir_mail_server\.active"):
        chosen(there)


@pytest.mark.parametrize(
    "column",
    [
        *("api_key", "stripe_secret_key", "password", "fetch_password", "client_secret", "refresh_token"),
        *("google_gmail_refresh_token", "totp_secret", "hmac_key", "private_key", "credential", "new_passwd"),
        *("mp_bearer_token", "webhook_secret", "microsoft_calendar_rtoken", "viva_com_api_key"),
    ],
)
def test_a_column_is_a_secret_by_its_name(column: str) -> None:
    assert is_secret(column, "character varying")
    assert not is_secret(column, "boolean")
    assert not is_secret(column, "timestamp without time zone")


@pytest.mark.parametrize(
    "column",
    [
        *(
            "name",
            "login",
            "key",
            "access_token",
            "website_form_key",
            "push_to_talk_key",
            "signature",
            "token_id",
        ),
        *("author_name", "passenger", "secretary_id", "private_email", "invite_token"),
    ],
)
def test_a_column_is_no_secret_by_its_name(column: str) -> None:
    assert not is_secret(column, "character varying")


def test_secrets_of_modules_that_nobody_here_knows_are_found() -> None:
    there = {**everything(), "our_bank": {"id": TEXT, "ebics_password": TEXT, "iban": TEXT}}
    assert "our_bank.ebics_password" in {rule.name for rule in secrets_in(there)}
    assert "our_bank.iban" not in {rule.name for rule in secrets_in(there)}


def test_passwords_of_people_are_kept() -> None:
    there = {**everything(), "res_users": {"id": TEXT, "password": TEXT, "totp_secret": TEXT}}
    names = {rule.name for rule in secrets_in(there)}
    assert "res_users.password" not in names
    assert "res_users.totp_secret" in names


def test_a_secret_that_cannot_be_taken_away_is_no_pass() -> None:
    there = {**everything(), "our_bank": {"api_key": Column(type="jsonb", required=True)}}
    with pytest.raises(UnknownError, match=r"our_bank\.api_key"):
        chosen(there)


def test_a_rule_has_a_name_of_its_own_and_says_what_it_protects_from() -> None:
    names = [rule.name for rule in RULES]
    assert len(names) == len(set(names)) > 100
    assert all(rule.against for rule in RULES)


def test_names_and_texts_are_quoted() -> None:
    there = {**everything(), 'odd "table"': {"it's_api_key": TEXT}}
    [rule] = [rule for rule in secrets_in(there) if "odd" in rule.name]
    assert 'update "odd ""table""" set "it\'s_api_key" = null' in rule.scrub[0]
    assert neutralisation.literal("it's") == "'it''s'"


def test_the_catalogue_gives_tables() -> None:
    rows = [("a", "b", "text", True), ("a", "c", "integer", False)]
    assert tables(rows) == {
        "a": {"b": Column(type="text", required=True), "c": Column(type="integer", required=False)}
    }
