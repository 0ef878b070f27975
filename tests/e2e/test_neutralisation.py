"""The rules for a copy of production on real Odoo: the standard modules with a neutralisation of their own
that this image can install, with what they hold in production, neutralised as a refresh does it.
"""

from __future__ import annotations

import json
import textwrap
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest

from core import outputs as names
from core.neutralisation import note_former
from ops.aws import Aws
from ops.site.servers import Servers
from ops.stack import Stack
from ops.training import databases, on_server
from ops.training.neutralise import Judge, only_odoo
from tests.core.neutralize_sql import KNOWN, touched
from tests.e2e.deployment import Deployment

COPY = "neutralisation"
CONNECT = "alter database {} allow_connections {}"
TERMINATE = (
    "select pg_terminate_backend(pid) from pg_stat_activity "
    "where datname = %s and backend_type = 'client backend'"
)
LIKE_PRODUCTION = (
    *(
        "crm",
        "calendar",
        "contacts",
        "sale_management",
        "purchase",
        "stock",
        "website_sale",
        "base_automation",
    ),
    *("auth_totp", "auth_totp_mail", "auth_passkey", "auth_ldap", "google_gmail", "microsoft_outlook"),
    *("mass_mailing", "snailmail", "sms", "survey", "hr", "point_of_sale"),
)
"""Besides those with a neutralisation of their own."""

OFFENDERS = r"""
model = env["ir.model"]._get("res.partner")
env["ir.mail_server"].create({"name": "real", "smtp_host": "smtp.example.com", "smtp_user": "anna",
    "smtp_pass": "of production"})
env["fetchmail.server"].create({"name": "real", "server": "imap.example.com", "user": "anna",
    "password": "of production"})
env.cr.execute("update fetchmail_server set active = true, state = 'done'")
mail = env["mail.mail"].create({"subject": "x", "email_to": "customer@example.com", "body_html": "x"})
env["ir.config_parameter"].set_param("mail.web_push_vapid_private_key", "of production")
env["ir.config_parameter"].set_param("our_bank.api_key", "of production")
env["ir.config_parameter"].set_param("our_bank.address", "https://anna:word@bank.example.com/x")
env["ir.config_parameter"].set_param("auth_totp.policy", "all_required")
env["ir.config_parameter"].set_param("cloud_storage_provider", "azure")
env["ir.actions.server"].create({"name": "hook", "model_id": model.id, "state": "webhook",
    "webhook_url": "https://example.com/hook"})
env["base.automation"].create({"name": "in", "model_id": model.id, "trigger": "on_webhook"})
env["res.users.apikeys"].with_user(2).sudo(False)._generate("rpc", "of production", None)
env.cr.execute("update res_users set totp_secret = 'of production' where id = 2")
env.cr.execute("insert into auth_passkey_key (name, credential_identifier, public_key, create_uid) "
    "values ('x', 'x', 'x', 2)")
env["auth.oauth.provider"].search([]).write({"enabled": True})
if "res.company.ldap" in env:
    env["res.company.ldap"].create({"company": 1, "ldap_server": "ldap.example.com", "ldap_filter": "x=%s",
    "ldap_base": "x", "ldap_password": "of production"})
settings = env["res.users.settings"]._find_or_create_for_user(env.ref("base.user_admin"))
env.cr.execute("update res_users_settings set google_calendar_rtoken = 'x', "
    "google_synchronization_stopped = false")
env.cr.execute("update res_users set microsoft_calendar_token = 'x', oauth_access_token = 'x' where id = 2")
env.cr.execute("update ir_cron set active = true")
env.cr.execute("insert into mail_push_device (partner_id, endpoint, keys) "
    "select id, 'https://push.example.com', '{}' from res_partner limit 1")
env.cr.execute("insert into iap_account (service_id, account_token) "
    "select id, 'of production' from iap_service limit 1")
env["sms.sms"].create({"number": "+3212345678", "body": "x"})
env["certificate.key"].create({"name": "x", "content": b"eA==", "password": "of production"})
env["delivery.carrier"].create({"name": "x", "delivery_type": "fixed", "prod_environment": True,
    "product_id": env["product.product"].create({"name": "x"}).id})
env.cr.execute("update website set domain = 'https://shop.example.com', google_analytics_key = 'G-1'")
env.cr.execute("insert into account_edi_proxy_client_user (active, id_client, company_id, "
    "edi_identification, proxy_type, edi_mode, refresh_token, private_key_id) "
    "select true, 'x', 1, 'x', 'peppol', 'prod', 'x', id from certificate_key limit 1")
env["pos.payment.method"].create({"name": "x"})
env.flush_all()
# Every column of payments, companies and methods that may hold something of production's does.
for table in ("payment_provider", "res_company", "pos_payment_method", "ir_mail_server", "fetchmail_server"):
    env.cr.execute("select column_name from information_schema.columns where table_name = %s and "
        "data_type in ('character varying', 'text') and column_name ~ "
        "'(^|_)(key|secret|token|password|pass|login|id|account|user|identifier|username)(_|$)' "
        "and column_name not in ('name', 'code')", [table])
    for [column] in env.cr.fetchall():
        try:
            with env.cr.savepoint():
                env.cr.execute(f'update {table} set "{column}" = $$of production$$')
        except Exception as error:
            print("left out", table, column, str(error).splitlines()[0])
env.cr.execute("update payment_provider set state = 'enabled'")
env.cr.commit()
print("OFFENDERS MADE")
"""
"""What production has, by Odoo's own models where they let it, else by SQL."""

EXPECTED = {
    *(
        "ir_mail_server.active",
        "ir_mail_server.smtp_pass",
        "ir_mail_server of no host",
        "fetchmail_server.active",
    ),
    *(
        "fetchmail_server.user",
        "fetchmail_server.password",
        "mail_mail.state",
        "mail_push_device",
        "ir_cron.active",
    ),
    *("ir_act_server.webhook_url", "base_automation.active", "res_users_apikeys", "auth_passkey_key"),
    *(
        "res_users.totp_secret",
        "res_users.oauth_access_token",
        "iap_account.account_token",
    ),
    *("res_users.microsoft_calendar_token", "res_users_settings.google_calendar_rtoken", "sms_sms.state"),
    *("res_users_settings.google_synchronization_stopped", "auth_oauth_provider.enabled", "website.domain"),
    *("website.google_analytics_key", "secret parameters", "parameters with a login in an address"),
    *(
        "parameter auth_totp.policy",
        "cloud storage",
        "payment_provider.state",
        "delivery_carrier.prod_environment",
    ),
    *("payment_provider.stripe_secret_key", "payment_provider.adyen_api_key", "certificate_key.password"),
    *(
        "payment_provider.paypal_client_id",
        "account_edi_proxy_client_user.edi_mode",
        "ir_attachment of secrets",
    ),
    *(
        "account_edi_proxy_client_user.refresh_token",
        "res_company.sms_twilio_auth_token",
        "ir_ui_view.active",
    ),
    *(
        "parameter database.is_neutralized",
        "database.uuid and database.secret",
        "pos_payment_method.adyen_test_mode",
    ),
}


class Copy:
    """A database like production's, beside those that are served."""

    def __init__(self, live: Deployment, folder: Path) -> None:
        self.live, self.outputs = live, live.outputs()
        self.server = live.wait_for_test_database()
        arn = self.outputs[names.APPLICATION_SECRET_ARNS][self.outputs[names.TEST_DATABASE]]
        self.secret = live.secret(arn)
        self.login = {"role": str(self.secret["username"]), "secret": str(arn)}
        known = folder / "outputs.json"
        known.write_text(json.dumps(self.outputs))
        aws = Aws(str(self.outputs[names.REGION]), lambda service, _region: live.aws(service))
        stack = Stack("local", directory=live.project, outputs_file=str(known))
        self.servers = Servers(aws, stack)

    def connect(self, database: str, secret: dict[str, Any]) -> psycopg.Connection[Any]:
        return psycopg.connect(
            host=self.outputs[names.DATABASE_ADDRESS],
            port=int(self.outputs[names.DATABASE_PORT]),
            user=secret["username"],
            password=secret["password"],
            dbname=database,
            sslmode="verify-full",
            sslrootcert=str(self.live.home / "postgres" / "ca.pem"),
            autocommit=True,
        )

    def own(self) -> psycopg.Connection[Any]:
        return self.connect(COPY, self.secret)

    def master(self) -> psycopg.Connection[Any]:
        return self.connect("postgres", self.live.secret(self.outputs[names.MASTER_SECRET_ARN]))

    def odoo(self, *arguments: str, given: str = "", seconds: float = 3600) -> str:
        """Run Odoo on the copy, in the server."""
        done = self.live.inside(
            self.server,
            *("setpriv", "--reuid", "openerp", "--regid", "openerp", "--clear-groups", "env"),
            *("PGPASSFILE=/run/openerp/pgpass", "HOME=/var/lib/openerp"),
            *("PGSSLROOTCERT=/etc/openerp/database-ca.pem", "odoo", *arguments, "--database", COPY),
            *("--config", "/etc/openerp/odoo.conf", "--logfile", "", "--no-http"),
            given=given,
            seconds=seconds,
        )
        assert done.returncode == 0, done.stderr[-4000:]
        return done.stdout + done.stderr

    def call(self, function: str, seconds: int = 3600, **arguments: Any) -> Any:
        """Call a function of a refresh on the server, by Run Command."""
        return self.servers.python(
            self.server, Path(on_server.__file__), function, arguments, what=function, seconds=seconds
        )

    def judged(self) -> set[str]:
        with self.own() as connection:
            return {offence.rule for offence in Judge(connection, COPY).look().offences}


LOOK = r"""
import ast, functools, importlib.util, json, pathlib
addons = pathlib.Path("/usr/lib/python3/dist-packages/odoo/addons")
names = {"python-ldap": "ldap", "PyPDF2": "PyPDF2", "google-auth": "google.auth", "cn2an": "cn2an"}

@functools.cache
def manifest(module):
    try:
        return ast.literal_eval((addons / module / "__manifest__.py").read_text())
    except OSError:
        return None

def there(package):
    try:
        return importlib.util.find_spec(names.get(package, package)) is not None
    except ImportError:
        return False

@functools.cache
def able(module):
    known = manifest(module)
    return (known is not None
        and all(there(package) for package in known.get("external_dependencies", {}).get("python", ()))
        and all(able(other) for other in known.get("depends", ())))

print(json.dumps({
    "statements": {path.parts[-3]: path.read_text() for path in addons.glob("*/data/neutralize.sql")},
    "able": sorted(path.name for path in addons.iterdir() if able(path.name)),
}))
"""


def look(copy: Copy) -> Any:
    """The statements of every module in the server, and the modules that it can install."""
    done = copy.live.inside(copy.server, "python3", "-", given=LOOK)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.fixture(scope="module")
def copy(live: Deployment, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Copy]:
    made = Copy(live, tmp_path_factory.mktemp("neutralisation"))
    test = str(made.outputs[names.TEST_DATABASE])
    with made.master() as server:
        server.execute(f"drop database if exists {COPY} with (force)")
        try:
            server.execute(CONNECT.format(test, "false"))
            server.execute(TERMINATE, [test])
            server.execute(f'create database {COPY} template {test} owner "{made.login["role"]}"')
        finally:
            server.execute(CONNECT.format(test, "true"))
    try:
        with made.own() as connection:
            databases.set_state(connection, {"environment": "production", "origin": "production"})
        yield made
    finally:
        with made.master() as server:
            server.execute(f"drop database if exists {COPY} with (force)")


@pytest.fixture(scope="module")
def like_production(copy: Copy) -> set[str]:
    """The modules that the copy has, with what production holds in them."""
    known = look(copy)
    wanted = sorted(({*known["statements"]} | {*LIKE_PRODUCTION}) & {*known["able"]})
    print("this image cannot install:", sorted({*known["statements"]} - {*known["able"]}))
    copy.odoo(
        *("server", "--init", ",".join(wanted), "--stop-after-init"),
        *("--max-cron-threads", "0", "--workers", "0"),
    )
    with copy.own() as connection:
        states = dict(connection.execute("select name, state from ir_module_module").fetchall())
    print("not installed:", sorted(name for name in wanted if states[name] != "installed"))
    assert "OFFENDERS MADE" in copy.odoo("shell", given=OFFENDERS)
    return {name for name in wanted if states[name] == "installed"}


def test_what_odoos_modules_neutralise_is_what_is_known_here(copy: Copy) -> None:
    """A new release of Odoo that neutralises more is noticed here."""
    found = {module: touched(text) for module, text in look(copy)["statements"].items()}
    assert found == json.loads(KNOWN.read_text())


def test_nearly_every_module_with_a_neutralisation_is_in_the_copy(like_production: set[str]) -> None:
    """Some need Python packages that the image does not have."""
    known = set(json.loads(KNOWN.read_text()))
    assert len(known & like_production) > 0.8 * len(known), sorted(known - like_production)


def test_what_production_holds_offends(copy: Copy, like_production: set[str]) -> None:
    with copy.own() as connection:
        assert "database.uuid and database.secret" in copy.judged()  # nobody noted what production's are
        connection.execute(note_former())
    missing = EXPECTED - copy.judged()
    assert missing == set()


def test_a_server_of_another_environment_refuses_it(copy: Copy, like_production: set[str]) -> None:
    said = copy.call("refusals", logins={COPY: copy.login})
    assert "belongs to production" in said["refused"][COPY]


def test_odoos_own_neutralisation_leaves_things_behind(copy: Copy, like_production: set[str]) -> None:
    """Its statements for Polish invoices name a column that is not there: by itself it would do nothing."""
    network = str(copy.outputs[names.VPC_CIDR])
    said = copy.call("neutralise", database=COPY, login=copy.login, network=network)
    assert said == {"neutralised": True}
    assert copy.call("neutralise", database=COPY, login=copy.login, network=network) == {"neutralised": False}
    left = copy.judged()
    assert {"res_users_apikeys", "ir_mail_server.smtp_pass", "database.uuid and database.secret"} <= left
    assert "ir_mail_server.active" not in left
    assert "parameter database.is_neutralized" not in left


def test_after_the_scrub_nothing_offends_and_odoo_still_works(copy: Copy, like_production: set[str]) -> None:
    with copy.own() as connection:
        Judge(connection, COPY).scrub()
        judged = Judge(connection, COPY).look()
        assert [str(offence) for offence in judged.offences] == []
        assert only_odoo(judged.offences) == []
        print(f"{judged.rules} rules hold; left out: {', '.join(judged.left_out)}")
    network = str(copy.outputs[names.VPC_CIDR])
    # An update is what production's data would be given: what was scrubbed must not stop it.
    said = copy.call("update", run="again", database=COPY, login=copy.login, network=network)
    assert said["updated"] is True
    again = copy.call("update", run="again", database=COPY, login=copy.login, network=network)
    assert again["updated"] is False
    # Some jobs are active in their modules' own data, which an update writes anew: it comes before.
    assert copy.judged() <= {"ir_cron.active"}


def test_the_administrator_has_the_password_of_this_system(
    copy: Copy, like_production: set[str], administrator: tuple[str, str]
) -> None:
    with copy.own() as connection:
        connection.execute("update res_users set password = 'of production', active = false where id = 2")
    assert copy.call("set_administrator", database=COPY, login=copy.login) == {"login": "admin"}
    check = f"""
        env["res.users"].with_user(2)._check_credentials(
            {{"type": "password", "password": {administrator[1]!r}}}, {{"interactive": True}})
        print("LOGGED IN")
    """
    assert "LOGGED IN" in copy.odoo("shell", given=textwrap.dedent(check))


def test_a_served_database_is_not_touched(copy: Copy) -> None:
    working = str(copy.outputs[names.WORKING_DATABASE])
    network = str(copy.outputs[names.VPC_CIDR])
    calls: list[Callable[[], Any]] = [
        lambda: copy.call("neutralise", database=working, login=copy.login, network=network),
        lambda: copy.call("update", run="x", database=working, login=copy.login, network=network),
    ]
    for call in calls:
        with pytest.raises(Exception, match="is served by the servers: it is not touched"):
            call()


def test_odoo_behind_the_fence_reaches_its_network_alone(copy: Copy, like_production: set[str]) -> None:
    """The address is one that this machine answers, so that it is the fence that nobody gets through."""
    script = """
        import socket
        for host in ("169.254.169.254", "203.0.113.7"):
            try:
                socket.create_connection((host, 80), timeout=3)
                print("REACHED", host)
            except OSError as error:
                print("NOT REACHED", host, error)
    """
    done = copy.live.inside(
        copy.server,
        *("systemd-run", "--scope", "--quiet", "--collect", "--property=IPAddressDeny=any"),
        f"--property=IPAddressAllow=127.0.0.0/8 ::1/128 {copy.outputs[names.VPC_CIDR]}",
        *("python3", "-"),
        given=textwrap.dedent(script),
    )
    assert "NOT REACHED 169.254.169.254" in done.stdout
    open_ = copy.live.inside(copy.server, "python3", "-", given=textwrap.dedent(script))
    assert "\nREACHED 169.254.169.254" in f"\n{open_.stdout}"
