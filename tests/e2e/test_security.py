"""Servers from within: what the processes that run others' code can reach, and what keeps servers well.

What is seen from outside is in test_what_runs_is_closed.py. Not proved here: what a module may do to the
databases that it is served with; that is what it is for.
"""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from subprocess import CompletedProcess

import pytest

from core.servers import ServerConfiguration
from core.servers.systemd import render_units
from tests.core.servers.conftest import VALUES
from tests.e2e.deployment import GROUP_OUTPUTS, Deployment

TOKEN = "http://169.254.169.254/latest/api/token"
ASK = (
    *("curl", "--silent", "--max-time", "3", "--output", "/dev/null", "--write-out", "%{http_code}"),
    *("--request", "PUT", "--header", "X-aws-ec2-metadata-token-ttl-seconds: 60"),
)
OUTSIDE = "198.51.100.7"
"""An address of nobody's (RFC 5737)."""
ODOO, NGINX = "openerp-odoo.service", "openerp-nginx.service"


@pytest.fixture(params=list(GROUP_OUTPUTS))
def server(live: Deployment, request: pytest.FixtureRequest) -> str:
    """One server of each role."""
    return min(live.healthy(request.param))


def shell(live: Deployment, server: str, script: str, *arguments: str) -> CompletedProcess[str]:
    """Run a script in a server, as root."""
    return live.inside(server, "sh", "-c", script, *arguments)


def among(live: Deployment, server: str, unit: str, *command: str) -> CompletedProcess[str]:
    """Run a command in a server among the processes of a unit: the kernel treats it as one of them."""
    join = 'echo $$ > "/sys/fs/cgroup$(systemctl show -P ControlGroup "$0")/cgroup.procs" && exec "$@"'
    return shell(live, server, join, unit, *command)


def as_odoo_sees_it(live: Deployment, server: str, unit: str, user: str, script: str) -> str:
    """Run a script with a unit's view of the file system, as its user; what it printed."""
    enter = 'exec nsenter --target "$(systemctl show -P MainPID "$0")" --mount -- setpriv --reuid "$1"'
    enter += ' --regid "$1" --init-groups sh -c "$2"'
    return shell(live, server, enter, unit, user, script).stdout


def wait_for_odoo(live: Deployment, server: str) -> None:
    port = {"app": 8069, "web-client": 8080}
    role = next(role for role in GROUP_OUTPUTS if server in live.servers(role))
    script = (
        f"curl -s -o /dev/null -w '%{{http_code}}' -H 'Host: {live.host}' 127.0.0.1:{port[role]}/web/login"
    )
    live.wait(
        "login page", lambda: shell(live, server, script).stdout in ("200", "303", "302") or None, seconds=90
    )


def test_odoo_and_nginx_get_no_answer_from_the_metadata_although_the_server_does(
    live: Deployment, server: str
) -> None:
    assert live.inside(server, *ASK, TOKEN).stdout == "200"
    for unit in (ODOO, NGINX):
        refused = among(live, server, unit, *ASK, TOKEN)
        assert refused.returncode != 0, unit
        assert refused.stdout == "000", unit


def test_the_fence_of_training_lets_odoo_reach_the_private_network_alone(
    live: Deployment, server: str
) -> None:
    """The lines are those of a training server's unit, on a unit that was made to try them."""
    unit = render_units(ServerConfiguration(**{**VALUES, "environment": "training"}))[ODOO]
    fence = re.findall(r"^IPAddress(?:Deny|Allow)=.*$", unit, re.MULTILINE)
    assert any("Allow" in line for line in fence)
    private = VALUES["vpc_cidr"].replace("0.0/16", "9.9")
    curl = "/usr/bin/curl -s -m 3 -o /dev/null"
    probe = "\n".join(["[Service]", "Type=oneshot", f"ExecStart={curl} http://%i:8099/", *fence, ""])
    path = "/run/systemd/system/fence@.service"
    script = f"""
        cat > {path}; systemctl daemon-reload
        for address in {OUTSIDE} {private}; do ip address add $address/32 dev lo; done
        cd /srv; python3 -m http.server 8099 >/dev/null 2>&1 & web=$!; sleep 2
        for address in {OUTSIDE} {private}; do
            {curl} http://$address:8099/ && echo root $address
            systemctl start fence@$address && echo odoo $address
            ip address del $address/32 dev lo
        done
        kill $web; systemctl reset-failed 'fence@*'; rm {path}; systemctl daemon-reload
    """
    done = live.inside(server, "bash", "-c", script, given=probe)
    assert done.stdout.split("\n")[:-1] == [f"root {OUTSIDE}", f"root {private}", f"odoo {private}"], (
        done.stderr
    )


def test_odoo_changes_neither_its_code_nor_its_settings(live: Deployment, server: str) -> None:
    places = (
        "/usr/lib/python3/dist-packages/odoo/x.py",
        "/var/lib/openerp/x",
        "/var/lib/openerp/addons/19.0/x",
        "/etc/openerp/odoo.conf",
        "/etc/systemd/system/x.service",
        "/run/openerp/pgpass",
        "/usr/local/lib/openerp/openerp_server/x.py",
    )
    tried = "; ".join(f"(echo >> {place}) 2>/dev/null && echo {place}" for place in places)
    assert as_odoo_sees_it(live, server, ODOO, "openerp", f"{tried}; true") == ""
    proof = "touch /srv/openerp/filestore/.probe && rm /srv/openerp/filestore/.probe && echo written"
    assert as_odoo_sees_it(live, server, ODOO, "openerp", proof) == "written\n"


def test_odoo_finds_no_secret_but_its_own_login(live: Deployment, server: str) -> None:
    readable = (
        "for file in /run/openerp-files/* /var/lib/cloud/instance/user-data.txt /etc/shadow "
        "/run/cloud-init/instance-data-sensitive.json; do "
        "head -c1 $file >/dev/null 2>&1 && echo $file; done; true"
    )
    assert as_odoo_sees_it(live, server, ODOO, "openerp", readable) == ""
    environment = shell(live, server, f'cat "/proc/$(systemctl show -P MainPID {ODOO})/environ"').stdout
    names = {entry.split("=")[0] for entry in environment.split("\0")}
    assert "PGPASSFILE" in names
    assert not {name for name in names if name.startswith("AWS") or name in ("PGPASSWORD", "PYTHONPATH")}


def test_nginx_reads_attachments_and_neither_sessions_nor_passwords(live: Deployment, server: str) -> None:
    tried = (
        "for folder in /srv/openerp/sessions /run/openerp /run/openerp-files; do "
        "ls $folder >/dev/null 2>&1 && echo $folder; done; cat /run/openerp/pgpass 2>/dev/null; true"
    )
    assert as_odoo_sees_it(live, server, NGINX, "www-data", tried) == ""
    assert as_odoo_sees_it(live, server, NGINX, "www-data", "ls -d /srv/openerp/filestore") != ""


def test_logs_rotate_and_both_programs_go_on_in_new_files(live: Deployment, server: str) -> None:
    logs = ("/var/log/openerp/odoo.log", "/var/log/openerp-nginx/access.log")
    port = "$(ss -lntH | grep -oE '0:80(69|80)' | cut -c3-)"
    ask = f"curl -s -o /dev/null -H 'Host: {live.host}' http://127.0.0.1:{port}"
    call = (
        '{"jsonrpc":"2.0","method":"call","params":{"service":"common","method":"authenticate",'
        '"args":["openerp","nobody","x",{}]}}'
    )
    talk = f"{ask}/web/login; {ask}/jsonrpc -H 'Content-Type: application/json' -d '{call}'; sleep 1\n"
    done = shell(live, server, f"{talk} logrotate --force /etc/logrotate.d/openerp && {talk} true")
    assert done.returncode == 0, done.stderr
    for log in logs:
        assert int(live.inside(server, "stat", "--format", "%s", f"{log}.1").stdout) > 0
        assert int(live.inside(server, "stat", "--format", "%s", log).stdout) > 0


def test_security_updates_are_set_up_in_words_that_the_program_understands(
    live: Deployment, server: str
) -> None:
    """Not proved: that an update comes; an image's package lists may be as empty as here."""
    said = live.inside(server, "unattended-upgrade", "--dry-run", "--debug", seconds=120)
    text = said.stdout + said.stderr
    assert re.search(r"Allowed origins are: .*Debian-Security", text), text
    assert re.search(r"Initial blacklist\s*: odoo", text), text
    configured = live.inside(server, "apt-config", "dump").stdout
    assert 'APT::Periodic::Unattended-Upgrade "1";' in configured
    assert (
        live.inside(server, "systemctl", "is-enabled", "apt-daily-upgrade.timer").stdout.strip() == "enabled"
    )


def test_cloud_init_itself_finds_the_user_data_valid(live: Deployment, server: str) -> None:
    said = live.inside(server, "cloud-init", "schema", "--system")
    assert said.returncode == 0, said.stdout + said.stderr
    assert "Valid schema user-data" in said.stdout


def state_of_test_database(live: Deployment, server: str, key: str, value: str) -> None:
    """Write into the state table of the test database, with the server's own login."""
    script = (
        "import json, psycopg2, sys\ns = json.load(open('/etc/openerp/server.json'))\n"
        "c = psycopg2.connect(host=s['database_host'], port=s['database_port'], user=s['database_role'],"
        " dbname=s['test_database_name'], sslmode='verify-full', sslrootcert=s['database_ca'])\n"
        "with c, c.cursor() as k:\n"
        "    k.execute('update openerp_server_state set value = %s where key = %s', sys.argv[1:])\n"
        "    assert k.rowcount == 1\n"
    )
    run = (
        "setpriv --reuid openerp --regid openerp --clear-groups env HOME=/tmp PGPASSFILE=/run/openerp/pgpass"
    )
    done = live.inside(server, "sh", "-c", f'{run} python3 - "$@"', "sh", value, key, given=script)
    assert done.returncode == 0, done.stderr


@pytest.fixture
def made(live: Deployment) -> Iterator[str]:
    """The app server, once its test database is made; afterwards as it was."""
    server = live.wait_for_test_database()
    yield server
    state_of_test_database(live, server, "environment", "development")
    live.inside(server, "systemctl", "restart", ODOO)
    wait_for_odoo(live, server)


def test_odoo_does_not_start_again_on_a_database_of_another_environment(live: Deployment, made: str) -> None:
    state_of_test_database(live, made, "environment", "production")
    live.inside(made, "systemctl", "restart", ODOO)
    live.wait(
        "refusal",
        lambda: live.inside(made, "systemctl", "is-active", ODOO).stdout.strip() == "failed",
        seconds=60,
    )
    time.sleep(6)  # longer than RestartSec
    assert live.inside(made, "systemctl", "is-active", ODOO).stdout.strip() == "failed"
    (console,) = live.home.glob(f"nodes/**/{made}/console.log")
    text = console.read_text(errors="replace")
    assert "openerp_test belongs to production, but this server to development" in text
    assert f"{ODOO} FAILED: this server does not serve" in text
