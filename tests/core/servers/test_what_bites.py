"""Each thing that is known to bite in a split Odoo, held on the rendered text.

These tests prove the text. That the servers behave so is proven on booted ones (issue 4).
"""

from __future__ import annotations

import ast
import configparser
import json
import re
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest

from components.load_balancer import IDLE_TIMEOUT_SECONDS
from core import names
from core.servers import ServerConfiguration
from core.servers.cloud_init import cloud_config
from tests.core.servers.conftest import MODULES, SAAS, WEB_CLIENT, MakeServer

LOCAL_UNITS = ("openerp", "odoo", "srv-openerp")


def files(server: ServerConfiguration) -> dict[str, str]:
    return {file["path"]: file["content"] for file in cloud_config(server)["write_files"]}


def odoo_conf(server: ServerConfiguration) -> configparser.SectionProxy:
    parser = configparser.RawConfigParser(strict=True)
    parser.read_string(files(server)["/etc/openerp/odoo.conf"])
    return parser["options"]


def units(server: ServerConfiguration) -> dict[str, str]:
    folder = "/etc/systemd/system/"
    return {
        path.removeprefix(folder): text for path, text in files(server).items() if path.startswith(folder)
    }


def services(server: ServerConfiguration) -> dict[str, str]:
    return {name: text for name, text in units(server).items() if name.endswith(".service")}


def directives(text: str, key: str) -> list[str]:
    return re.findall(rf"^{re.escape(key)}=(.*)$", text, flags=re.MULTILINE)


def test_files_and_sessions_are_shared_and_the_addons_folder_is_not(server: ServerConfiguration) -> None:
    assert odoo_conf(server)["data_dir"] == "/var/lib/openerp"
    written = {
        path
        for text in services(server).values()
        for path in " ".join(directives(text, "ReadWritePaths")).split()
    }
    assert "/srv/openerp" in written
    assert "/var/lib/openerp" not in written
    odoo = units(server)["openerp-odoo.service"]
    assert directives(odoo, "ProtectSystem") == ["strict"]
    assert directives(odoo, "ReadWritePaths") == ["/srv/openerp"]
    assert directives(odoo, "ReadOnlyPaths") == ["/run/openerp"]


def test_odoo_comes_back_after_a_database_outage_however_long(server: ServerConfiguration) -> None:
    for name in (
        "openerp-odoo.service",
        *(["odoo-tenant@.service"] if server.tenants_parameter_path else []),
    ):
        text = units(server)[name]
        assert directives(text, "Restart") == ["always"]
        assert directives(text, "RestartSec") == ["5"]
        assert directives(text, "RestartMode") == ["direct"]
        assert directives(text, "StartLimitIntervalSec") == ["0"]


def test_odoo_is_started_by_what_looks_at_the_databases_first(server: ServerConfiguration) -> None:
    """`openerp-server serve` becomes Odoo; its status for a database that is not ours is final."""
    tenants = {"odoo-tenant@.service": " %i"} if server.tenants_parameter_path else {}
    for name, argument in {"openerp-odoo.service": "", **tenants}.items():
        text = units(server)[name]
        assert directives(text, "ExecStart") == [f"/usr/local/sbin/openerp-server serve{argument}"]
        assert directives(text, "RestartPreventExitStatus") == ["78"]
        assert directives(text, "OnFailure") == ["openerp-failed@%n.service"]


def test_what_our_scripts_say_reaches_the_console(server: ServerConfiguration) -> None:
    for name, text in services(server).items():
        if "openerp-server" in text:
            assert directives(text, "StandardError") == ["journal+console"], name


def test_nginx_keeps_connections_longer_than_the_load_balancer_does(server: ServerConfiguration) -> None:
    """Otherwise the load balancer sends a request on a connection that just ended: a 502 now and then."""
    text = files(server)["/etc/openerp/nginx.conf"]
    found = re.search(r"^keepalive_timeout (\d+)s;$", text, re.MULTILINE)
    assert found
    assert int(found[1]) > IDLE_TIMEOUT_SECONDS
    assert "keepalive_requests 1000000;" in text


def test_health_does_not_wait_for_a_free_worker(server: ServerConfiguration) -> None:
    text = files(server)["/etc/openerp/nginx.conf"]
    health = text.split(f"location = {server.health_path} {{")[1].split("}")[0]
    assert "proxy_pass http://odoo_websocket;" in health


def test_agents_that_cannot_be_had_are_tried_less_and_less(server: ServerConfiguration) -> None:
    text = units(server)["openerp-agents.service"]
    assert directives(text, "Restart") == ["on-failure"]
    assert directives(text, "RestartSteps") == ["5"]
    assert directives(text, "RestartMaxDelaySec") == ["1h"]


def test_nginx_stops_before_odoo_and_finishes_what_it_began(server: ServerConfiguration) -> None:
    """Units stop in the opposite order of their `After=`."""
    nginx, odoo = units(server)["openerp-nginx.service"], units(server)["openerp-odoo.service"]
    assert directives(nginx, "KillSignal") == ["SIGQUIT"]
    assert "openerp-ready.service" in directives(nginx, "After")[0]
    assert "openerp-odoo.service" in directives(units(server)["openerp-ready.service"], "After")[0]
    assert "srv-openerp.mount" in directives(units(server)["openerp-first-start.service"], "After")[0]
    assert directives(odoo, "KillMode") == ["mixed"]
    assert int(directives(nginx, "TimeoutStopSec")[0]) >= 60
    assert int(directives(odoo, "TimeoutStopSec")[0]) >= 60


def test_the_database_manager_is_closed_twice(server: ServerConfiguration) -> None:
    options = odoo_conf(server)
    assert options["list_db"] == "False"
    assert options["admin_passwd"] == ""
    assert (
        "location ~ ^/web/database(/|$) {\nreturn 404;" in files(server)["/etc/openerp/nginx-locations.conf"]
    )


def test_the_database_is_reached_over_verified_tls_and_the_password_is_in_no_file_of_ours(
    server: ServerConfiguration,
) -> None:
    options = odoo_conf(server)
    assert options["db_sslmode"] == "verify-full"
    assert "db_password" not in options
    for name in ("openerp-odoo.service", "openerp-first-start.service"):
        assert "PGSSLROOTCERT=/etc/openerp/database-ca.pem" in directives(units(server)[name], "Environment")
    environment = " ".join(" ".join(directives(text, "Environment")) for text in units(server).values())
    assert "PGPASSWORD" not in environment
    assert "PGPASSFILE=/run/openerp/pgpass" in environment


def test_scheduled_jobs_run_on_app_servers_alone(make_server: MakeServer) -> None:
    assert odoo_conf(make_server())["max_cron_threads"] == "2"
    assert odoo_conf(make_server(**WEB_CLIENT))["max_cron_threads"] == "0"


def test_jobs_of_the_test_database_are_not_run_beside_those_of_the_working_one(
    make_server: MakeServer,
) -> None:
    assert odoo_conf(make_server())["db_name"] == "openerp"


def test_browsers_are_given_one_database_unless_the_test_database_is_asked_for(
    make_server: MakeServer,
) -> None:
    assert odoo_conf(make_server(**WEB_CLIENT))["dbfilter"] == "^(?:openerp)$"
    asked = make_server(**WEB_CLIENT, test_database_in_browser=True)
    assert odoo_conf(asked)["dbfilter"] == "^(?:openerp|openerp_test)$"


def test_odoo_listens_on_loopback_and_nginx_on_the_target_port(server: ServerConfiguration) -> None:
    options = odoo_conf(server)
    assert options["http_interface"] == "127.0.0.1"
    assert int(options["http_port"]) not in (names.APP_TARGET_PORT, names.WEB_CLIENT_TARGET_PORT)
    assert options["gevent_port"] == str(names.ODOO_GEVENT_PORT)
    listens = set(re.findall(r"listen (\S+?)[; ]", files(server)["/etc/openerp/nginx.conf"]))
    assert listens == {str(server.target_port)}


def test_all_servers_agree_on_the_port_that_the_database_holds(make_server: MakeServer) -> None:
    assert make_server().odoo_http_port == make_server(**WEB_CLIENT).odoo_http_port


def test_server_wide_modules_and_proxy_mode_are_set(server: ServerConfiguration) -> None:
    options = odoo_conf(server)
    assert options["server_wide_modules"] == "base,rpc,web,openerp_guard"
    assert options["proxy_mode"] == "True"
    assert options["x_sendfile"] == "True"


@pytest.mark.parametrize(("release", "line"), [("19.0", "with_demo = False"), ("18.0", "without_demo = all")])
def test_no_release_installs_demo_data(make_server: MakeServer, release: str, line: str) -> None:
    assert line in files(make_server(release=release))["/etc/openerp/odoo.conf"]


def test_nginx_sends_the_header_without_which_odoo_ignores_proxy_mode(server: ServerConfiguration) -> None:
    text = files(server)["/etc/openerp/nginx-locations.conf"]
    for header in (
        "X-Forwarded-Host $public_host",
        "X-Forwarded-For $remote_addr",
        "X-Forwarded-Proto https",
    ):
        # Twice: a location with proxy_set_header of its own inherits none, and the websocket has some.
        assert text.count(f"proxy_set_header {header};") == 2, header


def test_only_the_network_of_the_load_balancer_is_believed_about_clients(server: ServerConfiguration) -> None:
    assert re.findall(r"set_real_ip_from (.*);", files(server)["/etc/openerp/nginx.conf"]) == [
        server.vpc_cidr
    ]


def test_nginx_hides_versions_sets_headers_and_guards_cookies(server: ServerConfiguration) -> None:
    assert "server_tokens off;" in files(server)["/etc/openerp/nginx.conf"]
    text = files(server)["/etc/openerp/nginx-locations.conf"]
    for header in (
        "Strict-Transport-Security",
        "X-Frame-Options",
        "X-Content-Type-Options",
        "Referrer-Policy",
        "Permissions-Policy",
    ):
        assert re.search(
            rf"^add_header {header} .* always;$|^add_header {header} .*;$", text, re.MULTILINE
        ), header
    assert "proxy_cookie_flags ~ secure httponly samesite=lax;" in text
    inside = re.findall(r"location [^{]*\{([^}]*)\}", text)
    assert not any("add_header" in part for part in inside), (
        "a location's own add_header would drop all others"
    )


def test_answers_say_which_environment_they_are_of_but_for_production(server: ServerConfiguration) -> None:
    for environment in ("development", "training", "production"):
        text = files(replace(server, environment=environment))["/etc/openerp/nginx-locations.conf"]
        wanted = f"add_header X-OpenERP-Environment {environment} always;"
        assert (wanted in text) is (environment != "production")
        assert text.count("X-OpenERP-Environment") == int(environment != "production")


def test_no_location_lets_headers_through_that_are_hidden_elsewhere(server: ServerConfiguration) -> None:
    # A list of a location's own replaces the outer one: static files once had X-Content-Type-Options twice.
    text = files(server)["/etc/openerp/nginx-locations.conf"]
    hidden = set(re.findall(r"^proxy_hide_header (.*);$", text, re.MULTILINE))
    assert "X-Content-Type-Options" in hidden
    for part in re.findall(r"location [^{]*\{([^}]*)\}", text):
        own = set(re.findall(r"proxy_hide_header (.*);", part))
        assert not own or own >= hidden


def test_long_requests_are_given_their_time(server: ServerConfiguration) -> None:
    text = files(server)["/etc/openerp/nginx-locations.conf"]
    for name in ("proxy_read_timeout", "proxy_send_timeout", "proxy_connect_timeout"):
        assert f"{name} 720s;" in text
    assert odoo_conf(server)["limit_time_real"] == "720"


def test_query_strings_which_hold_tokens_are_not_logged(server: ServerConfiguration) -> None:
    found = re.search(r"log_format openerp (.*?);", files(server)["/etc/openerp/nginx.conf"], re.DOTALL)
    assert found
    assert "$request " not in found[1]
    assert "$uri" in found[1]
    assert "args" not in found[1]
    assert "werkzeug:WARNING" in odoo_conf(server)["log_handler"]


def test_nginx_starts_only_after_the_login_page_was_served(server: ServerConfiguration) -> None:
    needed = {
        "openerp-nginx": "openerp-ready",
        "openerp-ready": "openerp-first-start",
        "openerp-odoo": "openerp-first-start",
        "openerp-first-start": "openerp-secrets",
        "openerp-secrets": "openerp-install",
    }
    for later, earlier in needed.items():
        text = units(server)[f"{later}.service"]
        assert f"{earlier}.service" in " ".join(directives(text, "Requires")), later
        assert f"{earlier}.service" in " ".join(directives(text, "After")), later


def test_data_modules_are_looked_at_each_time_before_odoo_runs(make_server: MakeServer) -> None:
    """Not `RemainAfterExit`: each start of Odoo's unit starts this one again."""
    there = units(make_server(**MODULES))
    modules = there["openerp-modules.service"]
    assert directives(modules, "ReadWritePaths") == ["/usr/local/lib/openerp/addons"]
    assert directives(modules, "RemainAfterExit") == []
    assert directives(modules, "Type") == ["oneshot"]
    for name in ("openerp-first-start.service", "openerp-odoo.service"):
        for key in ("Requires", "After"):
            assert "openerp-modules.service" in directives(there[name], key)
    assert "openerp-modules" not in "".join(units(make_server()).values())


def test_odoo_cannot_change_what_is_on_its_addons_path(server: ServerConfiguration) -> None:
    for name, text in services(server).items():
        if name not in ("openerp-install.service", "openerp-agents.service", "openerp-modules.service"):
            assert directives(text, "ProtectSystem") == ["strict"], name
            assert "/usr" not in " ".join(directives(text, "ReadWritePaths")), name


def test_a_restart_of_odoo_does_not_stop_nginx(server: ServerConfiguration) -> None:
    """With `Requires` systemd would stop nginx at each of them, and give up with the waiting unit."""
    ready = units(server)["openerp-ready.service"]
    assert directives(ready, "Wants") == ["openerp-odoo.service"]
    assert "openerp-odoo.service" in directives(ready, "After")[0]
    assert "openerp-odoo.service" not in directives(ready, "Requires")[0]


def test_a_failed_boot_step_is_said_on_the_console(server: ServerConfiguration) -> None:
    for name in ("install", "secrets", "first-start", "ready", "files-certificate"):
        assert directives(units(server)[f"openerp-{name}.service"], "OnFailure") == [
            "openerp-failed@%n.service"
        ]


def test_services_that_serve_clients_cannot_reach_the_instance_metadata(server: ServerConfiguration) -> None:
    for name in ("openerp-odoo.service", "openerp-nginx.service"):
        assert "169.254.169.254/32" in " ".join(directives(units(server)[name], "IPAddressDeny"))


def test_every_unit_that_another_names_is_there(server: ServerConfiguration) -> None:
    known = set(units(server))
    for name, text in units(server).items():
        for key in ("Requires", "Wants", "After", "OnFailure"):
            for unit in " ".join(directives(text, key)).split():
                if unit.startswith(LOCAL_UNITS):
                    unit = re.sub(r"@[^.]*\.", "@.", unit)
                    assert unit in known, f"{name} {key}={unit}"


def test_the_file_store_is_entered_by_tls_with_its_name_checked(server: ServerConfiguration) -> None:
    text = files(server)["/etc/openerp/stunnel.conf"]
    host = "fs-0123456789abcdef0.efs.eu-west-1.amazonaws.com"
    assert f"checkHost = {host}" in text
    assert f"connect = {host}:{names.NFS_PORT}" in text
    assert "verifyChain = yes" in text
    port = re.search(r"accept = 127\.0\.0\.1:(\d+)", text)
    assert port
    mount = units(server)["srv-openerp.mount"]
    assert directives(mount, "What") == ["127.0.0.1:/"]
    assert f"port={port[1]}," in directives(mount, "Options")[0]
    assert {"hard", "noresvport", "nosuid", "nodev", "noexec"} <= set(
        directives(mount, "Options")[0].split(",")
    )


def test_every_log_is_shipped_and_rotated(server: ServerConfiguration) -> None:
    agent = json.loads(files(server)["/etc/openerp/amazon-cloudwatch-agent.json"])
    shipped = agent["logs"]["logs_collected"]["files"]["collect_list"]
    assert {entry["log_group_name"] for entry in shipped} == {server.log_group_name}
    assert odoo_conf(server)["logfile"] in {entry["file_path"] for entry in shipped}
    assert len({entry["log_stream_name"] for entry in shipped}) == len(shipped)
    rotated = files(server)["/etc/logrotate.d/openerp"]
    assert "/var/log/openerp/*.log" in rotated
    assert "/var/log/openerp-nginx/*.log" in rotated


def test_security_updates_install_themselves_and_never_odoo(server: ServerConfiguration) -> None:
    text = files(server)["/etc/apt/apt.conf.d/52openerp"]
    assert 'APT::Periodic::Unattended-Upgrade "1";' in text
    assert '"odoo' in text


def write(server: ServerConfiguration, folder: Path) -> None:
    for path, text in files(server).items():
        target = folder / path.lstrip("/")
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text)


@pytest.mark.skipif(
    shutil.which("nginx") is None, reason="no nginx on PATH: its configuration is not checked here"
)
def test_nginx_itself_accepts_the_configuration(server: ServerConfiguration, tmp_path: Path) -> None:
    write(server, tmp_path)
    folder = tmp_path / "etc" / "openerp"
    for file in folder.glob("nginx*.conf"):
        text = file.read_text()
        for place in (
            "/etc/openerp",
            "/var/cache/openerp-nginx",
            "/var/log/openerp-nginx",
            "/run/openerp-nginx",
        ):
            text = text.replace(place, str(tmp_path / place.lstrip("/")))
        file.write_text(text)
    for place in ("var/cache/openerp-nginx", "var/log/openerp-nginx", "run/openerp-nginx"):
        (tmp_path / place).mkdir(parents=True)
    checked = subprocess.run(
        ["nginx", "-t", "-c", str(folder / "nginx.conf"), "-e", str(tmp_path / "error.log")],
        capture_output=True,
        text=True,
        check=False,
    )
    assert checked.returncode == 0, checked.stderr


@pytest.mark.skipif(
    shutil.which("systemd-analyze") is None, reason="no systemd-analyze on PATH: units not checked"
)
def test_systemd_finds_our_services_well_fenced(make_server: MakeServer, tmp_path: Path) -> None:
    """The goal is an exposure of 4.0 at most; `--offline` looks at the file, not at a running system."""
    exposures: dict[str, float] = {}
    found_in = services(make_server(**SAAS)) | services(make_server(**MODULES))
    for name, text in found_in.items():
        path = tmp_path / name.replace("@.", "@x.")
        path.write_text(text)
        done = subprocess.run(
            ["systemd-analyze", "security", "--offline=true", "--no-pager", str(path)],
            capture_output=True,
            text=True,
            check=False,
        )
        found = re.search(r"Overall exposure level for \S+: ([0-9.]+)", done.stdout)
        if found is None:
            pytest.skip(f"this systemd-analyze does not check files: {done.stderr.strip()[:100]}")
        exposures[name] = float(found[1])
    assert {name: value for name, value in exposures.items() if value > 4.0} == {}


def test_odoo_in_training_reaches_the_private_network_alone(server: ServerConfiguration) -> None:
    for environment in ("development", "training", "production"):
        unit = units(replace(server, environment=environment))["openerp-odoo.service"]
        assert ("any" in directives(unit, "IPAddressDeny")) is (environment == "training")
        allowed = " ".join(directives(unit, "IPAddressAllow")).split()
        assert allowed == (["localhost", server.vpc_cidr] if environment == "training" else [])


def test_our_module_of_odoo_has_what_odoo_writes_into_a_new_database(server: ServerConfiguration) -> None:
    """Odoo lists every module that it finds when it makes a database; one without a name ends that."""
    manifest = ast.literal_eval(
        files(server)["/usr/local/lib/openerp/addons/openerp_guard/__manifest__.py"].strip()
    )
    assert manifest["name"]
    assert manifest["license"]


def test_a_test_database_whose_making_was_interrupted_is_made_in_the_end(server: ServerConfiguration) -> None:
    unit = units(server)["openerp-test-database.service"]
    assert directives(unit, "Restart") == ["on-failure"]
    assert directives(unit, "StartLimitIntervalSec") == ["0"]
