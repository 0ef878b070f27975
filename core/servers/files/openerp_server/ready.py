"""Ready means: the working database's login page is served, or will be as soon as it is open."""

from __future__ import annotations

import http.client

from . import common


def login_page_is_served(server: common.Server, timeout: float = 60) -> None:
    """Raise when Odoo does not answer with the login page of the working database."""
    connection = http.client.HTTPConnection("127.0.0.1", server["odoo_http_port"], timeout=timeout)
    try:
        connection.request(
            "GET",
            f"/web/login?db={server['database_name']}",
            headers={
                "Host": server["public_host"],
                "X-Forwarded-Host": server["public_host"],
                "X-Forwarded-Proto": "https",
            },
        )
        answer = connection.getresponse()
        body = answer.read()
        if answer.getheader("Retry-After"):
            return  # `serve` waits: for the database, or until an operator has done with it
        # A database that was not asked for by name so far: Odoo sets the session and sends back here.
        if answer.status in (302, 303):
            cookie = (answer.getheader("Set-Cookie") or "").split(";")[0]
            connection.request("GET", "/web/login", headers={"Host": server["public_host"], "Cookie": cookie})
            answer = connection.getresponse()
            body = answer.read()
    finally:
        connection.close()
    if answer.status != 200 or b"csrf_token" not in body:
        raise RuntimeError(f"the login page is answered with status {answer.status}")


def wait_until_ready(server: common.Server) -> None:
    """Return once the login page is served; nginx is started only then."""
    common.keep_trying("login page", lambda: login_page_is_served(server), seconds=900)
