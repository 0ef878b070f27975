"""Certificates come and go while people work; who holds a bad one is refused, on either side."""

from __future__ import annotations

import shutil
import socket
import ssl
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from http.client import HTTPSConnection
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509

from tests.e2e.certificates import Authority, Issued, authority
from tests.e2e.deployment import Deployment
from tests.e2e.names import resolving, run_with_hosts
from tests.load.crowd import working
from tests.load.users import Entrance, reasons

QUICK = (0.3, 1.5)
"""Think time in seconds of people who are there to notice a failure, not to be like people."""
SHORT_SECONDS = 20
"""How long a certificate is good that is to expire."""


@pytest.fixture(scope="module")
def other() -> Authority:
    return authority("Another authority")


def served_serial(live: Deployment, port: int = 443) -> int:
    """The serial number of the certificate that the load balancer shows."""
    ((host, address),) = live.hosts.items()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE  # what is shown is the question
    with (
        socket.create_connection((address, port), timeout=10) as plain,
        context.wrap_socket(plain, server_hostname=host) as secured,
    ):
        shown = secured.getpeercert(binary_form=True)
    assert shown is not None
    return x509.load_der_x509_certificate(shown).serial_number


def shows(live: Deployment, certificate: Issued) -> bool:
    """Whether the load balancer shows this certificate."""
    return served_serial(live) == certificate.serial


def listener(live: Deployment) -> dict[str, Any]:
    """The listener that people use."""
    elbv2 = live.aws("elbv2")
    (balancer,) = elbv2.describe_load_balancers()["LoadBalancers"]
    found = elbv2.describe_listeners(LoadBalancerArn=balancer["LoadBalancerArn"])["Listeners"]
    (one,) = [each for each in found if each["Port"] == 443]
    return dict(one)


@contextmanager
def showing(live: Deployment, *issued: Issued) -> Iterator[Iterator[Issued]]:
    """Let the load balancer show these certificates one after the other, and its own at the end.

    The first is a new certificate on the listener; each further one is imported in place of it, as a renewal.
    """
    acm, elbv2, one = live.aws("acm"), live.aws("elbv2"), listener(live)
    before = served_serial(live)
    arn: list[str] = []

    def show() -> Iterator[Issued]:
        for certificate in issued:
            given = {"Certificate": certificate.certificate_pem, "PrivateKey": certificate.key_pem}
            if arn:
                acm.import_certificate(CertificateArn=arn[0], **given)
            else:
                arn.append(acm.import_certificate(**given)["CertificateArn"])
                elbv2.modify_listener(
                    ListenerArn=one["ListenerArn"], Certificates=[{"CertificateArn": arn[0]}]
                )
            live.wait("other certificate", partial(shows, live, certificate), 30)
            yield certificate

    try:
        yield show()
    finally:
        elbv2.modify_listener(
            ListenerArn=one["ListenerArn"],
            Certificates=[{"CertificateArn": each["CertificateArn"]} for each in one["Certificates"]],
        )
        live.wait("own certificate again", lambda: served_serial(live) == before, 30)
        if arn:
            acm.delete_certificate(CertificateArn=arn[0])


def test_certificates_are_replaced_while_people_work_and_no_request_fails(
    two: Deployment, entrance: Entrance, people: list[tuple[str, str]], other: Authority, tmp_path: Path
) -> None:
    both = tmp_path / "both.pem"
    both.write_bytes(entrance.authority.read_bytes() + other.certificate_pem)
    trusting = replace(entrance, authority=both)
    new, renewed = other.issue(entrance.host), other.issue(entrance.host)
    with working(trusting, people, think=QUICK) as record:
        with showing(two, new, renewed) as certificates:
            for _ in certificates:
                time.sleep(5)
        time.sleep(5)
    print(f"{record.count()} requests, {record.resent} sent again on a new connection")
    assert record.count() > 50
    assert not record.failures(), reasons(record.failures())


def script(live: Deployment, other: Authority, directory: Path) -> subprocess.CompletedProcess[str]:
    """Run a generated script on a machine that trusts another authority."""
    copy = shutil.copytree(live.clients, directory / "clients", dirs_exist_ok=True)
    (copy / "ca.pem").write_bytes(other.certificate_pem)
    user, password = live.administrator()
    return run_with_hosts(
        live.hosts,
        sys.executable,
        str(copy / "rpc_xmlrpc.py"),
        environment={"OPENERP_USER": user, "OPENERP_PASSWORD": password},
    )


def test_an_expired_or_wrong_certificate_is_refused_by_the_client_configuration(
    live: Deployment, other: Authority, tmp_path: Path
) -> None:
    right, elsewhere = other.issue(live.host), other.issue("elsewhere.openerp.test")
    said = []
    with showing(live, right, elsewhere) as certificates:
        for _ in certificates:
            ended = script(live, other, tmp_path)
            said.append((ended.returncode, ended.stderr))
    # As ACM, the emulator takes no certificate that has expired: this one does so while it is shown.
    short = other.issue(live.host, days=(-1, SHORT_SECONDS / 86400))
    expired = time.monotonic() + SHORT_SECONDS
    with showing(live, short) as certificates:
        for _ in certificates:
            time.sleep(max(0.0, expired + 2 - time.monotonic()))
            ended = script(live, other, tmp_path)
            said.append((ended.returncode, ended.stderr))
    (fine, _), *refused = said
    assert fine == 0
    for (status, text), reason in zip(refused, ("Hostname mismatch", "certificate has expired"), strict=True):
        assert status == 1
        assert reason in text
        assert "Traceback" not in text


def shake_hands(live: Deployment, entry: dict[str, Any], *, directory: Path | None = None) -> int:
    """The status of the login page, asked for with a client certificate; ssl.SSLError where it is refused."""
    place = directory or live.clients
    context = ssl.create_default_context(cafile=str(live.clients / "ca.pem"))
    context.load_cert_chain(
        place / entry["pem"], password=(place / entry["password_file"]).read_text().strip()
    )
    with resolving(live.hosts):
        connection = HTTPSConnection(live.host, 8443, context=context, timeout=15)
        try:
            connection.request("GET", "/web/login")
            return connection.getresponse().status
        finally:
            connection.close()


def test_a_revoked_client_certificate_is_refused_and_the_others_still_get_in(
    live: Deployment, tmp_path: Path
) -> None:
    first, second = live.rpc["client_certificate"]["certificates"]
    kept = shutil.copytree(live.clients, tmp_path / "clients")
    assert shake_hands(live, second, directory=kept) < 400
    removed: list[Any] = []

    def remove(config: dict[str, Any]) -> None:
        wanted = config["openerp:clientCertificates"]
        removed.extend(one for one in wanted if one["number"] == second["number"])
        wanted[:] = [one for one in wanted if one["number"] != second["number"]]

    live.change_settings(remove)
    live.run("up")
    assert removed

    def refused() -> bool:
        try:
            shake_hands(live, second, directory=kept)
        except (ssl.SSLError, ConnectionResetError):
            return True
        return False

    live.wait("refusal of the revoked certificate", refused, 30)
    assert shake_hands(live, first, directory=kept) < 400
    assert not (live.clients / second["p12"]).exists()
