"""Tables like those of Odoo 19 with the modules that the rules are about, and what offends each rule.

Every column that a rule names is there, of the type that Odoo gives it. Real Odoo is asked in
`tests/e2e/test_neutralisation.py`.
"""

from __future__ import annotations

import re
from typing import Any, Final

from core.neutralisation import RULES, Rule

TYPES: Final[dict[str, str]] = {
    **dict.fromkeys(
        (
            *("active", "enabled", "cdn_activated", "prod_environment", "google_synchronization_stopped"),
            *("microsoft_synchronization_stopped", "l10n_es_sii_test_env", "l10n_es_tbai_test_env"),
            *("l10n_es_edi_verifactu_test_environment", "l10n_gr_edi_test_env", "l10n_ro_edi_test_env"),
            *("l10n_rs_edi_demo_env", "l10n_tr_nilvera_use_test_env", "l10n_tw_edi_ecpay_staging_mode"),
            *("l10n_eg_production_env", "l10n_in_edi_production_env", "l10n_it_edi_register"),
            *("adyen_test_mode", "pine_labs_test_mode", "razorpay_test_mode", "viva_com_test_mode"),
            "dpopay_test_mode",
        ),
        "boolean",
    ),
    **dict.fromkeys(
        ("mail_server_id", "res_id", "l10n_pl_edi_certificate", "l10n_tr_nilvera_purchase_journal_id"),
        "integer",
    ),
    **dict.fromkeys(
        (
            *("microsoft_last_sync_date", "razorpay_access_token_expiry", "l10n_in_edi_token_validity"),
            *("l10n_in_ewaybill_auth_validity", "l10n_vn_edi_token_expiry", "paypal_access_token_expiry"),
            "mercado_pago_access_token_expiry",
        ),
        "timestamp",
    ),
    "smtp_ssl_certificate": "bytea",
}
RENEW: Final = """
    create function renew() returns void language plpgsql as $$
    declare name text;
    begin
        for name in select quote_ident(tablename) from pg_tables where schemaname = 'public' loop
            execute 'delete from ' || name;
            perform setval(pg_get_serial_sequence(name, 'id'), 1, false);
        end loop;
    end $$
"""
"""Makes `renew()`, which leaves the tables as they were made."""
SECRETS: Final = """
    alter table ir_mail_server add smtp_ssl_private_key bytea, add google_gmail_refresh_token varchar;
    alter table fetchmail_server add password varchar;
    alter table payment_provider add stripe_secret_key varchar, add adyen_api_key varchar;
    alter table res_company add l10n_hu_edi_password varchar, add by_company_api_key jsonb;
    create table res_users (id serial primary key, login varchar, password varchar, totp_secret varchar,
        oauth_access_token varchar);
    create table "our bank" (id serial primary key, "the_api_key" varchar not null unique);
"""
SECRET_COLUMNS: Final = {
    "ir_mail_server.smtp_ssl_private_key": r"'\x2d2d'",
    "ir_mail_server.google_gmail_refresh_token": "'1//x'",
    "fetchmail_server.password": "'x'",
    "payment_provider.stripe_secret_key": "'sk_live_x'",
    "payment_provider.adyen_api_key": "'x'",
    "res_company.l10n_hu_edi_password": "'x'",
    "res_company.by_company_api_key": '\'{"1": "x"}\'',
    "res_users.totp_secret": "'x'",
    "res_users.oauth_access_token": "'x'",
    "our bank.the_api_key": "'x'",
}
"""A rule for each is found in the catalogue alone, by the column's name."""

CLEAN: Final = """
    insert into ir_config_parameter (key, value) values ('database.is_neutralized', 'true'),
        ('database.uuid', 'new'), ('database.secret', 'new too'), ('auth_signup.invitation_scope', 'b2b'),
        ('auth_password_policy.minlength', '8'), ('google_recaptcha_site_key', 'False');
    insert into openerp_server_state (key, value) values ('former database.uuid', 'another'),
        ('former database.secret', 'another'), ('environment', 'production');
    insert into ir_mail_server (active, smtp_host) values (true, 'invalid');
    insert into ir_model_data (model, module, name, res_id) values
        ('ir.cron', 'base', 'autovacuum_job', 1), ('ir.cron', 'crm', 'autovacuum_job', 2);
    insert into ir_cron (id, active) values (1, true), (2, false), (3, false);
    insert into payment_provider (state) values ('test'), ('disabled');
    insert into res_users (login, password) values ('anna', '$pbkdf2-sha512$x');
    insert into delivery_carrier (prod_environment, active, delivery_type, mondialrelay_brand)
        values (false, true, 'fixed', 'BDTEST  ');
"""
"""What a neutralised database has; nothing in it offends."""

OFFENDERS: Final[dict[str, str]] = {
    "parameter database.is_neutralized": (
        "delete from ir_config_parameter where key = 'database.is_neutralized'"
    ),
    "database.uuid and database.secret": (
        "update openerp_server_state set value = encode(sha256('new'), 'hex') "
        "where key = 'former database.uuid'"
    ),
    "ir_mail_server of no host": "delete from ir_mail_server",
    "ir_mail_server.active": (
        "insert into ir_mail_server (active, smtp_host) values (true, 'smtp.example.com')"
    ),
    "ir_mail_server.smtp_ssl_certificate": (
        r"insert into ir_mail_server (active, smtp_ssl_certificate) values (false, '\x2d')"
    ),
    "mail_mail.state": "insert into mail_mail (state) values ('outgoing'), ('sent')",
    "mailing_mailing.state": "insert into mailing_mailing (state) values ('in_queue'), ('sending'), ('done')",
    "sms_sms.state": "insert into sms_sms (state) values ('outgoing'), ('process'), ('sent')",
    "snailmail_letter.state": "insert into snailmail_letter (state) values ('pending'), ('sent')",
    "ir_cron.active": "update ir_cron set active = true where id in (2, 3)",
    "ir_act_server.webhook_url": "insert into ir_act_server (webhook_url) values ('https://example.com/hook')",
    "base_automation.active": "insert into base_automation (active, trigger) values (true, 'on_webhook')",
    "payment_provider.state": "insert into payment_provider (state) values ('enabled')",
    "delivery_carrier.active": (
        "insert into delivery_carrier (prod_environment, active, delivery_type, mondialrelay_brand) "
        "values (false, true, 'dhl', 'BDTEST  ')"
    ),
    "account_edi_proxy_client_user.edi_mode": (
        "insert into account_edi_proxy_client_user (edi_mode, proxy_type, active) values "
        "('prod', 'peppol', true), ('prod', 'l10n_es', true)"
    ),
    "account_edi_proxy_client_user.active": (
        "insert into account_edi_proxy_client_user (edi_mode, proxy_type, active) values "
        "('prod', 'l10n_my_edi', true)"
    ),
    "res_company.l10n_hu_edi_server_mode": (
        "insert into res_company (l10n_hu_edi_server_mode) values ('production')"
    ),
    "ir_ui_view.active": "insert into ir_ui_view (key, active) values ('web.neutralize_banner', false)",
    "ir_attachment of secrets": (
        "insert into ir_attachment (res_model, res_field) values ('certificate.key', 'content'), "
        "('res.company', 'l10n_xx_private_key'), ('res.partner', 'image_1920')"
    ),
    "secret parameters": (
        "insert into ir_config_parameter (key, value) values ('unsplash.access_key', 'x'), "
        "('mail.web_push_vapid_private_key', 'x'), ('our_bank.password', 'x'), ('slack.webhook', 'https://x')"
    ),
    "parameters with a login in an address": (
        "insert into ir_config_parameter (key, value) values ('our.endpoint', 'https://a:b@c.example')"
    ),
    "cloud storage": (
        "insert into ir_config_parameter (key, value) values ('cloud_storage_provider', 'azure')"
    ),
    "iap_account in use": "insert into iap_account (account_token) values ('of production')",
    "parameter auth_totp.policy": (
        "insert into ir_config_parameter (key, value) values ('auth_totp.policy', 'all_required')"
    ),
    **{
        f"parameter {key}": (
            f"insert into ir_module_module (name, state) values ('{module}', 'installed'); "
            f"insert into ir_config_parameter (key, value) values ('{key}', 'prod')"
        )
        for key, module in (
            ("account_peppol.edi.mode", "account_peppol"),
            ("l10n_dk_nemhandel.edi.mode", "l10n_dk_nemhandel"),
            ("l10n_pl_edi_ksef.mode", "l10n_pl_edi"),
        )
    },
    **{
        f"{table}.{column}": f'insert into "{table}" ("{column}") values ({value})'
        for name, value in SECRET_COLUMNS.items()
        for table, column in [name.split(".")]
    },
}
"""What makes a clean database offend a rule; the others are made by `offender`."""


def offender(rule: str) -> str:
    """The statements after which a clean database offends a rule."""
    if rule in OFFENDERS:
        return OFFENDERS[rule]
    table, _, column = rule.partition(".")
    if not column:
        return f"insert into {table} default values"
    kind = TYPES.get(column, "varchar")
    values = {"integer": "7", "timestamp": "now()", "varchar": "'of production'"}
    wanted = next(each for each in RULES if each.name == rule).scrub[0]
    value = values.get(kind) or ("false" if re.search(rf'"{column}" = true', wanted) else "true")
    condition = ", delivery_type" if table == "delivery_carrier" else ""
    return (
        f"""insert into {table} ("{column}"{condition}) values ({value}{", 'fixed'" if condition else ""})"""
    )


def create(connection: Any) -> None:
    """Make the tables, without rows."""
    for table, columns in sorted(_columns().items()):
        own = ", ".join(f'"{column}" {TYPES.get(column, "varchar")}' for column in sorted(columns - {"id"}))
        unique = ", unique (key)" if table in ("ir_config_parameter", "openerp_server_state") else ""
        connection.execute(f"create table {table} (id serial primary key{', ' if own else ''}{own}{unique})")
    connection.execute(SECRETS)


def _columns() -> dict[str, set[str]]:
    found: dict[str, set[str]] = {}
    for rule in RULES:
        for table, columns in rule.needs.items():
            found.setdefault(table, set()).update(columns)
    return found


def rule_of(name: str) -> Rule:
    """A rule by its name."""
    return next(rule for rule in RULES if rule.name == name)
