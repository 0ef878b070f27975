"""What a copy of production must not have: rules as data, each with a check and a way to put it right.

Odoo's own neutralisation (`odoo neutralize`) comes first; it knows its modules, and leaves things behind:
`database.uuid`, users' API keys, passwords of mail servers, tokens in system parameters. The rules here hold
for every table that Odoo 19's own statements touch (`tests/core/test_neutralisation.py`), and for what they
leave. A rule whose table or column a database does not have is left out, because the module is not installed.
Nothing else passes: a check that cannot be made is an error.

The statements are for PostgreSQL 13 or later, on the tables of Odoo 16 to 19. An offender is named by a row's
id or key, never by what stands in it.
"""

# ruff: noqa: S105, S608  (names of secrets are none; SQL is put together from this file's words alone)

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Final

CATALOGUE: Final = """
    select c.relname, a.attname, format_type(a.atttypid, null), a.attnotnull
    from pg_attribute a
    join pg_class c on c.oid = a.attrelid
    join pg_namespace n on n.oid = c.relnamespace
    where n.nspname = 'public' and c.relkind in ('r', 'p') and a.attnum > 0 and not a.attisdropped
"""
"""Table, column, type, whether it must have a value."""
FLAG: Final = "database.is_neutralized"
UUID: Final = "database.uuid"
SECRET: Final = "database.secret"
STATE: Final = "openerp_server_state"
"""The servers' own table, see docs/servers.md."""
CREATE_STATE: Final = f"create table if not exists {STATE} (key text primary key, value text not null)"
FORMER: Final = "former "
"""Key in `STATE`, before the name of a parameter: the SHA-256 of the value that production has."""
MARK: Final = "neutralised "
"""What stands, with something unique, where a secret was and a column must have a value."""
NO_MAIL_HOST: Final = "invalid"
"""Host of the mail server that Odoo's neutralisation adds, so that none of a configuration file is taken
instead. RFC 6761 lets nobody have this name."""

TEXT: Final = frozenset({"text", "character varying", "character"})
_SECRET_TYPES: Final = TEXT | {"bytea", "jsonb"}

_SECRET_COLUMN: Final = re.compile(
    r"(^|_)(password|passwd|pwd|secret|credentials?|rtoken|apikey|hashkey|bearer)(_|$)"
    r"|_token$"
    r"|(^|_)(api|secret|private|public|hmac|client|webhook|signature|replacement|transaction|session|website"
    r"|verification|notification|pos|publishable|access|shared|encryption|aade|migration)_key(_|$)"
)
"""Names of columns that hold what opens another system: those of every module of Odoo 19, and of others that
name theirs alike."""
_LINKS: Final = frozenset({"access_token", "invite_token"})
"""Columns with what opens one page of this system."""
_NO_SECRETS: Final = frozenset(
    {
        # People practise with the passwords that they have (ADR 15); they are hashes.
        ("res_users", "password"),
        # Pages of this system that a visitor opens with a password; a hash.
        ("ir_ui_view", "visibility_password"),
        # Has a rule of its own.
        ("iap_account", "account_token"),
    }
)
_SECRET_PARAMETER: Final = (
    "(^|[^a-z])(api)?keys?($|[^a-z])|token|secret|passw|credential|webhook|account_info|account_sid"
)
"""PostgreSQL's regular expression for names of system parameters that hold something secret."""
_NO_SECRET_PARAMETERS: Final = (
    SECRET,  # has a rule of its own
    "auth_password_policy.minlength",
    "auth_signup.reset_password",
    "auth_signup.reset_password.validity.hours",
    "barcode.max_time_between_keys_in_ms",
    "cloud_storage_azure_user_delegation_key_sequence",
    "mail.chat_from_token",
    "microsoft_account.token_endpoint",
    "password.hashing.rounds",
    "portal.allow_api_keys",
)

# What a rule protects from.
_MAIL: Final = "mail to customers and suppliers, or theirs fetched away"
_PEOPLE: Final = "messages to people's phones, browsers and letter boxes"
_MONEY: Final = "payments with real money"
_GOODS: Final = "parcels ordered for real"
_STATE: Final = "documents sent to authorities and trading partners"
_JOBS: Final = "jobs that act for production on their own"
_OTHERS: Final = "calls to and from other systems"
_CALENDARS: Final = "changes in people's real calendars"
_LOGINS: Final = "ways into production, or out of it into here"
_SECRETS: Final = "credentials of production in a place with more readers"
_IDENTITY: Final = "being taken for production"
_FILES: Final = "reading and writing production's files in the cloud"
_VISITORS: Final = "visits of a training system in production's search results and statistics"


@dataclass(frozen=True, kw_only=True)
class Rule:
    """One thing that a copy must not have."""

    name: str
    against: str
    """What it protects from."""
    needs: Mapping[str, frozenset[str]]
    """The columns that its statements name, by table."""
    offenders: str
    """A query of one text column: a row for each offender."""
    scrub: tuple[str, ...] = ()
    """Statements that leave no offender; none where Odoo's own neutralisation alone can do it."""
    required: bool = False
    """Every Odoo has its tables: one that has not is no Odoo, and no pass."""
    once: bool = False
    """It is about what came along: what people add while they practise is their own."""


class UnknownError(ValueError):
    """A database cannot be judged; the message says why."""


@dataclass(frozen=True, kw_only=True)
class Column:
    """A column of a table."""

    type: str
    """As PostgreSQL's `format_type` says it, without a length."""
    required: bool


Tables = Mapping[str, Mapping[str, Column]]


def tables(rows: Iterable[tuple[str, str, str, bool]]) -> Tables:
    """Return the tables of a database from what `CATALOGUE` selects."""
    found: dict[str, dict[str, Column]] = {}
    for table, column, type_, required in rows:
        found.setdefault(table, {})[column] = Column(type=type_, required=required)
    return found


def quoted(name: str) -> str:
    """Return a name as SQL writes it."""
    return '"' + name.replace('"', '""') + '"'


def literal(value: str) -> str:
    """Return a text as SQL writes it."""
    return "'" + value.replace("'", "''") + "'"


def _needs(table: str, *columns: str) -> Mapping[str, frozenset[str]]:
    return {table: frozenset(columns)}


def _fixed(
    against: str,
    table: str,
    values: Mapping[str, str | None],
    where: str = "true",
    where_columns: tuple[str, ...] = (),
    *,
    required: bool = False,
    once: bool = False,
) -> Iterator[Rule]:
    """Rows that match `where` have these values (as SQL writes them; None: no value), each by a rule."""
    for column, value in values.items():
        wanted = "null" if value is None else value
        wrong = f"({where}) and {quoted(column)} is distinct from {wanted}"
        yield Rule(
            name=f"{table}.{column}",
            against=against,
            needs=_needs(table, "id", column, *where_columns),
            offenders=f"select 'id ' || id from {quoted(table)} where {wrong}",
            scrub=(f"update {quoted(table)} set {quoted(column)} = {wanted} where {wrong}",),
            required=required,
            once=once,
        )


def _empty(against: str, table: str, *, once: bool = True) -> Rule:
    """The table has no rows."""
    return Rule(
        name=table,
        against=against,
        needs=_needs(table),
        offenders=f"select count(*) || ' rows' from {quoted(table)} having count(*) > 0",
        scrub=(f"delete from {quoted(table)}",),
        once=once,
    )


def _nulls(against: str, table: str, *columns: str, once: bool = True) -> Iterator[Rule]:
    yield from _fixed(against, table, dict.fromkeys(columns), once=once)


def _parameter(against: str, key: str, value: str, module: str) -> Rule:
    """A system parameter that a module reads has this value; without one the module acts as in production."""
    wrong = (
        f"select {literal(key)} where exists (select 1 from ir_module_module where name = {literal(module)} "
        "and state in ('installed', 'to upgrade', 'to remove')) and not exists (select 1 from "
        f"ir_config_parameter where key = {literal(key)} and value = {literal(value)})"
    )
    return Rule(
        name=f"parameter {key}",
        against=against,
        needs={
            "ir_config_parameter": frozenset({"key", "value"}),
            "ir_module_module": frozenset({"name", "state"}),
        },
        offenders=wrong,
        scrub=(
            f"insert into ir_config_parameter (key, value) select found.key, {literal(value)} "
            f"from ({wrong}) as found(key) on conflict (key) do update set value = excluded.value",
        ),
    )


def _no_parameters(name: str, against: str, where: str, *, once: bool = True) -> Rule:
    """System parameters that match `where` are blank; they stay, because modules may own them."""
    wrong = f"coalesce(value, '') <> '' and ({where})"
    return Rule(
        name=name,
        against=against,
        needs=_needs("ir_config_parameter", "key", "value"),
        offenders=f"select key from ir_config_parameter where {wrong}",
        scrub=(f"update ir_config_parameter set value = '' where {wrong}",),
        required=True,
        once=once,
    )


def _mail() -> Iterator[Rule]:
    in_use = "coalesce(account_token, '') not like '%+disabled' and coalesce(account_token, '') <> ''"
    real = f"smtp_host is distinct from {literal(NO_MAIL_HOST)}"
    yield from _fixed(_MAIL, "ir_mail_server", {"active": "false"}, real, ("smtp_host",), required=True)
    yield Rule(
        name="ir_mail_server of no host",
        against=_MAIL,
        needs=_needs("ir_mail_server", "smtp_host", "active"),
        offenders=(
            "select 'none' where not exists (select 1 from ir_mail_server where active and smtp_host = "
            f"{literal(NO_MAIL_HOST)})"
        ),
        required=True,
    )
    secrets = {"smtp_user": None, "smtp_pass": None, "smtp_ssl_certificate": None}
    yield from _fixed(_SECRETS, "ir_mail_server", secrets, real, ("smtp_host",), once=True)
    yield from _fixed(_MAIL, "fetchmail_server", {"active": "false"})
    yield from _nulls(_SECRETS, "fetchmail_server", "user")
    yield from _fixed(_MAIL, "mail_mail", {"state": "'cancel'"}, "state = 'outgoing'", once=True)
    yield from _nulls(_MAIL, "mail_template", "mail_server_id", once=False)
    yield _empty(_MAIL, "mail_message_schedule")
    yield _empty(_MAIL, "mail_scheduled_message")
    yield from _fixed(
        _MAIL, "mailing_mailing", {"state": "'draft'"}, "state in ('in_queue', 'sending')", once=True
    )
    yield _empty(_PEOPLE, "mail_push")
    yield _empty(_PEOPLE, "mail_push_device")
    yield from _fixed(
        _PEOPLE, "sms_sms", {"state": "'canceled'"}, "state in ('outgoing', 'process')", once=True
    )
    yield from _nulls(_PEOPLE, "res_company", "sms_twilio_account_sid")
    yield from _fixed(_PEOPLE, "snailmail_letter", {"state": "'canceled'"}, "state = 'pending'", once=True)
    yield from _fixed(
        _OTHERS,
        "iap_account",
        {"account_token": "'dummy_value+disabled'"},
        "coalesce(account_token, '') <> ''",
        once=True,
    )
    yield Rule(
        name="iap_account in use",
        against=_OTHERS,
        needs=_needs("iap_account", "id", "account_token"),
        offenders=f"select 'id ' || id from iap_account where {in_use}",
        scrub=(f"update iap_account set account_token = account_token || '+disabled' where {in_use}",),
    )


def _jobs() -> Iterator[Rule]:
    kept = (
        "id not in (select res_id from ir_model_data where model = 'ir.cron' and module = 'base' "
        "and name = 'autovacuum_job' and res_id is not null)"
    )
    for rule in _fixed(_JOBS, "ir_cron", {"active": "false"}, kept, required=True):
        yield Rule(
            **{
                **vars(rule),
                "needs": {
                    **rule.needs,
                    "ir_model_data": frozenset({"res_id", "model", "module", "name"}),
                },
            }
        )
    blank = "coalesce(webhook_url, '') not in ('', 'neutralization - disable webhook')"
    yield from _fixed(_OTHERS, "ir_act_server", {"webhook_url": "null"}, blank)
    yield from _fixed(_OTHERS, "base_automation", {"active": "false"}, "trigger = 'on_webhook'", ("trigger",))


def _money() -> Iterator[Rule]:
    table = "payment_provider"
    yield from _fixed(_MONEY, table, {"state": "'disabled'"}, "state not in ('test', 'disabled')")
    # What identifies the merchant and is no secret by its name.
    yield from _nulls(
        _MONEY,
        table,
        *(
            "adyen_merchant_account",
            "adyen_api_url_prefix",
            "aps_merchant_identifier",
            "aps_access_code",
            "aps_sha_request",
        ),
        *("aps_sha_response", "asiapay_merchant_id", "asiapay_secure_hash_function", "authorize_login"),
        *("dpo_service_ref", "iyzico_key_id", "nuvei_merchant_identifier", "nuvei_site_identifier"),
        *("paypal_email_account", "paypal_client_id", "paypal_webhook_id", "razorpay_key_id"),
        *("razorpay_account_id", "razorpay_access_token_expiry", "redsys_merchant_code"),
        *("redsys_merchant_terminal", "worldline_pspid", "mercado_pago_access_token_expiry"),
        "paypal_access_token_expiry",
    )
    method = "pos_payment_method"
    tests = ("adyen_test_mode", "pine_labs_test_mode", "razorpay_test_mode", "viva_com_test_mode")
    yield from _fixed(_MONEY, method, dict.fromkeys((*tests, "dpopay_test_mode"), "true"))
    yield from _fixed(_MONEY, method, {"glory_websocket_address": "'0.0.0.0'"}, once=True)
    yield from _fixed(_MONEY, method, {"pine_labs_merchant": "'dummymerchant'"}, once=True)


def _goods() -> Iterator[Rule]:
    table = "delivery_carrier"
    yield from _fixed(_GOODS, table, {"prod_environment": "false"})
    own = "delivery_type not in ('fixed', 'base_on_rule')"
    yield from _fixed(_GOODS, table, {"active": "false"}, own, ("delivery_type",))
    yield from _fixed(_GOODS, table, {"mondialrelay_brand": "'BDTEST  '"})


def _authorities() -> Iterator[Rule]:
    proxy = "account_edi_proxy_client_user"
    demo = "case when proxy_type in ('l10n_it_edi', 'peppol', 'nemhandel') then 'demo' else 'test' end"
    foreign = "proxy_type <> 'l10n_my_edi'"
    yield from _fixed(_STATE, proxy, {"edi_mode": demo}, foreign, ("proxy_type",))
    yield from _fixed(_STATE, proxy, {"active": "false"}, "proxy_type = 'l10n_my_edi'", ("proxy_type",))
    yield _parameter(_STATE, "account_peppol.edi.mode", "demo", "account_peppol")
    yield _parameter(_STATE, "l10n_dk_nemhandel.edi.mode", "test", "l10n_dk_nemhandel")
    yield _parameter(_STATE, "l10n_pl_edi_ksef.mode", "test", "l10n_pl_edi")
    company = "res_company"
    on = (
        *("l10n_es_sii_test_env", "l10n_es_tbai_test_env", "l10n_es_edi_verifactu_test_environment"),
        *("l10n_gr_edi_test_env", "l10n_ro_edi_test_env", "l10n_rs_edi_demo_env"),
        *("l10n_tr_nilvera_use_test_env", "l10n_tw_edi_ecpay_staging_mode"),
    )
    yield from _fixed(_STATE, company, dict.fromkeys(on, "true"))
    off = ("l10n_eg_production_env", "l10n_in_edi_production_env", "l10n_it_edi_register")
    yield from _fixed(_STATE, company, dict.fromkeys(off, "false"))
    yield from _fixed(
        _STATE,
        company,
        {
            "l10n_hr_mer_connection_state": "'inactive'",
            "l10n_hr_mer_connection_mode": "'test'",
            "l10n_my_edi_mode": "'test'",
            "l10n_sa_api_mode": "'sandbox'",
        },
    )
    server = "l10n_hu_edi_server_mode"
    yield from _fixed(_STATE, company, {server: "'test'"}, f"{server} = 'production'")
    yield from _nulls(
        _STATE,
        company,
        *("l10n_hr_mer_username", "l10n_hr_mer_company_ident", "l10n_hr_mer_software_ident"),
        *("l10n_hu_edi_username", "l10n_in_edi_username", "l10n_in_edi_token_validity"),
        *("l10n_in_ewaybill_username", "l10n_in_ewaybill_auth_validity", "l10n_jo_edi_client_identifier"),
        *("l10n_ke_cu_proxy_address", "l10n_pl_edi_certificate", "l10n_pl_edi_session_id"),
        *("l10n_pl_edi_session_iv", "l10n_ro_edi_client_id", "l10n_tr_nilvera_purchase_journal_id"),
        *("l10n_vn_edi_username", "l10n_vn_edi_token_expiry"),
    )
    stick = "l10n_eg_edi_thumb_drive"
    yield from _fixed(_SECRETS, stick, {"pin": literal(MARK), "access_token": literal(MARK)}, once=True)


def _calendars() -> Iterator[Rule]:
    stopped = ("google_synchronization_stopped", "microsoft_synchronization_stopped")
    yield from _fixed(_CALENDARS, "res_users_settings", dict.fromkeys(stopped, "true"))
    yield from _nulls(_CALENDARS, "res_users_settings", "microsoft_last_sync_date", once=True)


def _logins() -> Iterator[Rule]:
    yield from _fixed(_LOGINS, "auth_oauth_provider", {"enabled": "false"})
    for table in ("res_users_apikeys", "auth_totp_device", "auth_passkey_key"):
        yield _empty(_LOGINS, table)
    yield _empty(_LOGINS, "res_company_ldap", once=False)
    by_mail = "a second factor by mail, which cannot arrive"
    yield _no_parameters("parameter auth_totp.policy", by_mail, "key = 'auth_totp.policy'")


def _attachments() -> Iterator[Rule]:
    """Most binary fields are attachments: among them the keys that sign official documents."""
    pattern = literal(_SECRET_COLUMN.pattern)
    held = f"res_field ~ {pattern} or (res_model like 'certificate.%' and res_field is not null)"
    yield Rule(
        name="ir_attachment of secrets",
        against=_SECRETS,
        needs=_needs("ir_attachment", "id", "res_model", "res_field"),
        offenders=f"select 'id ' || id from ir_attachment where {held}",
        scrub=(f"delete from ir_attachment where {held}",),
        once=True,
    )


def _parameters() -> Iterator[Rule]:
    plain = ", ".join(map(literal, _NO_SECRET_PARAMETERS))
    yield _no_parameters(
        "secret parameters",
        _SECRETS,
        f"key ~* {literal(_SECRET_PARAMETER)} and key not in ({plain}) and lower(value) not in "
        "('true', 'false')",
    )
    yield _no_parameters("parameters with a login in an address", _SECRETS, "value ~ '://[^/@ ]+:[^/@ ]+@'")
    cloud = "cloud_storage_provider|cloud_storage_azure_|cloud_storage_google_"
    yield _no_parameters("cloud storage", _FILES, f"key ~ {literal(f'^({cloud})')}", once=False)


def _website() -> Iterator[Rule]:
    yield from _nulls(_IDENTITY, "website", "domain", once=False)
    robots = "E'User-agent: *\\nDisallow: /'"
    yield from _fixed(_VISITORS, "website", {"cdn_activated": "false", "robots_txt": robots})
    yield from _nulls(
        _VISITORS,
        "website",
        *("google_analytics_key", "google_search_console", "google_maps_api_key", "google_places_api_key"),
        *("plausible_site", "website_slide_google_app_key"),
        once=False,
    )
    shown = "key in ('web.neutralize_banner', 'website.neutralize_ribbon')"
    yield from _fixed(_IDENTITY, "ir_ui_view", {"active": "true"}, shown, ("key",))


def _identity() -> Iterator[Rule]:
    yield Rule(
        name=f"parameter {FLAG}",
        against="a database that was never neutralised by Odoo",
        needs=_needs("ir_config_parameter", "key", "value"),
        offenders=(
            f"select 'not set' where not exists (select 1 from ir_config_parameter where key = "
            f"{literal(FLAG)} and lower(value) in ('true', '1'))"
        ),
        required=True,
    )
    own = ", ".join(literal(key) for key in (UUID, SECRET))
    digest = "encode(sha256(convert_to(coalesce(p.value, ''), 'UTF8')), 'hex')"
    known = f"(select s.value from {STATE} s where s.key = {literal(FORMER)} || p.key)"
    yield Rule(
        name="database.uuid and database.secret",
        against=_IDENTITY,
        needs={
            "ir_config_parameter": frozenset({"key", "value"}),
            STATE: frozenset({"key", "value"}),
        },
        offenders=(
            f"select wanted.key from (values ({literal(UUID)}), ({literal(SECRET)})) as wanted(key) "
            f"left join ir_config_parameter p on p.key = wanted.key "
            f"where p.key is null or {known} is null or {known} = {digest}"
        ),
        scrub=(
            f"update ir_config_parameter p set value = gen_random_uuid()::text where p.key in ({own}) "
            f"and {known} = {digest}",
        ),
        required=True,
    )


def note_former() -> str:
    """Return the statement that notes what production's identity is, right after a restore.

    Only with it can be told later whether a copy has one of its own.
    """
    return (
        f"insert into {STATE} (key, value) select {literal(FORMER)} || key, "
        "encode(sha256(convert_to(coalesce(value, ''), 'UTF8')), 'hex') from ir_config_parameter "
        f"where key in ({literal(UUID)}, {literal(SECRET)}) "
        "on conflict (key) do update set value = excluded.value"
    )


def address(url: str) -> Rule:
    """Return the rule that links in the copy lead to `url`."""
    wanted = {"web.base.url": url, "web.base.url.freeze": "True"}
    rows = ", ".join(f"({literal(key)}, {literal(value)})" for key, value in wanted.items())
    return Rule(
        name="web.base.url",
        against="links that lead to production",
        needs=_needs("ir_config_parameter", "key", "value"),
        offenders=(
            f"select wanted.key from (values {rows}) as wanted(key, value) left join ir_config_parameter p "
            "on p.key = wanted.key where p.value is distinct from wanted.value"
        ),
        scrub=(
            f"insert into ir_config_parameter (key, value) values {rows} "
            "on conflict (key) do update set value = excluded.value",
        ),
        required=True,
    )


RULES: Final[tuple[Rule, ...]] = (
    *_identity(),
    *_mail(),
    *_jobs(),
    *_money(),
    *_goods(),
    *_authorities(),
    *_calendars(),
    *_logins(),
    *_attachments(),
    *_parameters(),
    *_website(),
)
"""The rules that name their tables."""


def secrets_in(found: Tables) -> tuple[Rule, ...]:
    """Return a rule for each column whose name says that it holds a secret, of any module.

    Raises UnknownError for one that must have a value and is no text.
    """
    own = {(table, column) for rule in RULES for table in rule.needs for column in _judged(rule, table)}
    rules = []
    for table in sorted(found):
        for column, of in sorted(found[table].items()):
            if (table, column) in _NO_SECRETS | own or not is_secret(column, of.type):
                continue
            rules.append(_secret(table, column, of))
    return tuple(rules)


def _judged(rule: Rule, table: str) -> Iterator[str]:
    name, _, column = rule.name.partition(".")
    if name == table and column in rule.needs[table]:
        yield column


def is_secret(column: str, type_: str) -> bool:
    """Return whether a column of this name and type holds what opens another system."""
    return type_ in _SECRET_TYPES and column not in _LINKS and _SECRET_COLUMN.search(column) is not None


def _secret(table: str, column: str, of: Column) -> Rule:
    name, blank = quoted(column), "null"
    if of.required:
        if of.type not in TEXT:
            raise UnknownError(
                f"{table}.{column} looks like a secret, must have a value, and is {of.type}: say in "
                "core/neutralisation.py what is to stand there"
            )
        # As unique as what it replaces, where that had to be.
        blank = f"{literal(MARK)} || gen_random_uuid()"
    marked = f"starts_with({name}::text, {literal(MARK)})"
    wrong = f"coalesce({name}::text, '') not in ('', '\\x') and not {marked}"
    return Rule(
        name=f"{table}.{column}",
        against=_SECRETS,
        needs=_needs(table, column),
        offenders=(f"select count(*) || ' rows' from {quoted(table)} where {wrong} having count(*) > 0"),
        scrub=(f"update {quoted(table)} set {name} = {blank} where {wrong}",),
        once=True,
    )


def chosen(found: Tables) -> tuple[tuple[Rule, ...], tuple[str, ...]]:
    """Return the rules for a database with these tables, and the names of those that it has no place for.

    Raises UnknownError where a table is missing that every Odoo has.
    """
    held, left_out = [], []
    for rule in RULES:
        lacking = [
            f"{table}.{column}" if table in found else table
            for table, columns in rule.needs.items()
            for column in sorted(columns)
            if column not in found.get(table, {})
        ] or [table for table in rule.needs if table not in found]
        if not lacking:
            held.append(rule)
        elif rule.required:
            raise UnknownError(f"it has no {lacking[0]}, which every Odoo has: {rule.name} cannot be judged")
        else:
            left_out.append(rule.name)
    return (*held, *secrets_in(found)), tuple(left_out)
