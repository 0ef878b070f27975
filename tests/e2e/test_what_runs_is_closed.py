"""What runs, looked at from outside and from within: encryption, headers, ports, files, units.

Not proved here: that the egress of the training environment is fenced, which needs its settings.
"""

from __future__ import annotations

import socket
import ssl
import warnings
from collections.abc import Iterator

import pytest

from core import outputs as names
from tests.e2e.deployment import GROUP_OUTPUTS, Deployment
from tests.e2e.test_addresses import ask

PAGES = ("/web/login", "/web/static/img/favicon.ico", "/nowhere", "/web/database/manager", "/websocket")
SECRET_FILES = ("/run/openerp/pgpass",)
PORTS = {"app": {8069}, "web-client": {8080}}
EXPOSURE_LIMIT = 4.0


def all_servers(live: Deployment) -> Iterator[tuple[str, str]]:
    """Role and id of every server."""
    for role in GROUP_OUTPUTS:
        for server in live.servers(role):
            yield role, server


@pytest.mark.parametrize("port", [443, 8443])
@pytest.mark.parametrize(
    ("lowest", "highest", "ciphers"),
    [
        (ssl.TLSVersion.TLSv1, ssl.TLSVersion.TLSv1_1, "ALL:@SECLEVEL=0"),
        (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_2, "AES256-GCM-SHA384"),
        (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_2, "ECDHE-ECDSA-AES256-SHA384:ECDHE-RSA-AES256-SHA384"),
    ],
    ids=["old versions", "no forward secrecy", "CBC"],
)
def test_weak_encryption_is_refused(
    live: Deployment, port: int, lowest: ssl.TLSVersion, highest: ssl.TLSVersion, ciphers: str
) -> None:
    ((host, address),) = live.hosts.items()
    context = ssl.create_default_context(cafile=str(live.clients / "ca.pem"))
    context.set_ciphers(ciphers)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # of old versions, which is what is asked for
        context.options &= ~(ssl.OP_NO_TLSv1 | ssl.OP_NO_TLSv1_1)
        context.minimum_version, context.maximum_version = lowest, highest
    with (
        socket.create_connection((address, port), timeout=10) as plain,
        pytest.raises(OSError),
        context.wrap_socket(plain, server_hostname=host),
    ):
        pass


@pytest.mark.parametrize("path", PAGES)
def test_headers_protect_the_browser_and_say_no_version(live: Deployment, path: str) -> None:
    _, headers, text = ask(live, path)
    lower = {name.lower(): value for name, value in headers.items()}
    assert "max-age=31536000" in lower["strict-transport-security"]
    assert lower["x-frame-options"] == "SAMEORIGIN"
    assert headers.get_all("x-content-type-options") == ["nosniff"]
    assert lower["referrer-policy"] == "strict-origin-when-cross-origin"
    assert "x-powered-by" not in lower
    assert lower.get("server", "nginx") == "nginx"
    for product in ("nginx/", "werkzeug", "python/", "haproxy"):
        assert product not in text.lower()
        assert not any(product in value.lower() for value in lower.values())


def test_cookies_are_secure_and_closed_to_scripts(live: Deployment) -> None:
    _, headers, _ = ask(live, "/web/login")
    cookies = [value for name, value in headers.items() if name.lower() == "set-cookie"]
    assert any("session_id=" in cookie for cookie in cookies) or cookies
    for cookie in cookies:
        if cookie.startswith("session_id="):
            assert {"secure", "httponly", "samesite=lax"} <= {
                part.strip().lower() for part in cookie.split(";")
            }


def test_servers_of_one_network_reach_each_other_at_no_port(live: Deployment) -> None:
    servers = list(all_servers(live))
    addresses = {
        one["InstanceId"]: one["PrivateIpAddress"]
        for group in live.aws("ec2").describe_instances()["Reservations"]
        for one in group["Instances"]
        if one["State"]["Name"] == "running"
    }
    (_, here), *others = servers
    for role, there in others:
        for port in (22, 80, 443, 5432, 8069, 8070, 8072, 8080, 19531):
            ended = live.inside(
                here, "timeout", "2", "bash", "-c", f"exec 3<>/dev/tcp/{addresses[there]}/{port}"
            )
            assert ended.returncode != 0, f"{role} server answers its neighbour at port {port}"


def test_a_server_listens_to_others_at_the_port_of_its_role_alone(live: Deployment) -> None:
    for role, server in all_servers(live):
        lines = live.inside(
            server, "ss", "--no-header", "--listening", "--tcp", "--numeric"
        ).stdout.splitlines()
        listening = [line.split()[3].rsplit(":", 1) for line in lines]
        reachable = {int(port) for address, port in listening if not address.startswith(("127.", "[::1]"))}
        assert reachable <= PORTS[role], server


def test_secrets_are_read_by_one_user_alone_and_stand_in_memory(live: Deployment) -> None:
    for _, server in all_servers(live):
        for path in SECRET_FILES:
            shown = live.inside(server, "stat", "--format", "%U %a", path)
            assert shown.stdout.split() in (["openerp", "400"], ["openerp", "600"]), shown.stderr
            assert live.inside(server, "stat", "-f", "--format", "%T", path).stdout.strip() == "tmpfs"
            for user in ("www-data", "nobody"):
                assert live.inside(server, "runuser", "-u", user, "--", "cat", path).returncode != 0


def test_no_secret_is_in_user_data_arguments_environment_or_logs(live: Deployment) -> None:
    passwords = [live.administrator()[1]]
    arns = live.outputs()[names.APPLICATION_SECRET_ARNS].values()
    passwords += [str(live.secret(arn)["password"]) for arn in arns]
    places = "/var/log /var/lib/cloud /run/cloud-init /etc"
    processes = "/proc/[0-9]*/cmdline /proc/[0-9]*/environ"
    for _, server in all_servers(live):
        for password in passwords:
            # The pattern comes by standard input: as an argument it would be found in this very search.
            found = live.inside(
                server, "sh", "-c", f"grep -rlaF -f - {places} {processes} 2>/dev/null", given=password
            )
            assert found.stdout == ""


def test_odoo_and_nginx_do_not_reach_the_instance_metadata(live: Deployment) -> None:
    """Its credentials would be the server's."""
    for role, server in all_servers(live):
        for unit in ("openerp-odoo.service", "openerp-nginx.service"):
            shown = live.inside(server, "systemctl", "show", "--property", "IPAddressDeny", unit).stdout
            assert "169.254.169.254" in shown, f"{role}: {unit}"


def test_the_metadata_wants_a_token_and_answers_one_hop_away(live: Deployment) -> None:
    for _, server in all_servers(live):
        base = "http://169.254.169.254/latest"
        curl = ("curl", "--silent", "--max-time", "5", "--output", "/dev/null", "--write-out", "%{http_code}")
        assert live.inside(server, *curl, f"{base}/meta-data/instance-id").stdout == "401"
        token = live.inside(
            server,
            "curl",
            "--silent",
            "--max-time",
            "5",
            "--request",
            "PUT",
            "--header",
            "X-aws-ec2-metadata-token-ttl-seconds: 60",
            f"{base}/api/token",
        ).stdout
        shown = live.inside(
            server,
            "curl",
            "--silent",
            "--header",
            f"X-aws-ec2-metadata-token: {token}",
            f"{base}/meta-data/instance-id",
        )
        assert shown.stdout == server


def test_our_units_are_hardened(live: Deployment) -> None:
    for _, server in all_servers(live):
        units = [
            line.split()[0]
            for line in live.inside(
                server, "systemctl", "list-units", "--all", "--plain", "--no-legend", "openerp-*.service"
            ).stdout.splitlines()
        ]
        assert {"openerp-odoo.service", "openerp-nginx.service"} <= set(units)
        for unit in units:
            shown = live.inside(server, "systemd-analyze", "security", "--no-pager", unit).stdout
            (line,) = [one for one in shown.splitlines() if "Overall exposure level" in one]
            exposure = float(line.split(":")[1].split()[0])
            assert exposure <= EXPOSURE_LIMIT, f"{unit}: {exposure}"


def test_only_the_load_balancer_listens_on_this_machine(live: Deployment) -> None:
    """The servers' ports are in networks of their own; here are the balancer's, on loopback."""
    ((_, address),) = live.hosts.items()
    for port in (22, 8069, 8070, 8072, 8080):
        with pytest.raises(OSError), socket.create_connection((address, port), timeout=2):
            pass
