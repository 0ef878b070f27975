"""What a server does when passwords are new; sent to it by Run Command, and nothing secret with it.

The server fetches the new passwords itself, with its own role.
"""

from __future__ import annotations

import http.client
import json
import os
import subprocess
from pathlib import Path
from typing import Any

REFRESH = ("openerp-secrets-refresh.service", "openerp-tenants.service")
ADMINISTRATOR = "admin"


def refresh() -> dict[str, Any]:
    """Fetch the databases' passwords now; connections that stand go on as they are."""
    done = []
    for unit in REFRESH:
        if Path("/etc/systemd/system", unit).exists():
            subprocess.run(["systemctl", "start", unit], check=True, capture_output=True)
            done.append(unit)
    return {"units": done}


def _logs_in(server: Any, database: str, password: str) -> bool:
    """Whether the administrator's password opens a session, asked of the Odoo of this server."""
    connection = http.client.HTTPConnection("127.0.0.1", server["odoo_http_port"], timeout=120)
    try:
        connection.request(
            "POST",
            "/web/session/authenticate",
            json.dumps(
                {
                    "jsonrpc": "2.0",
                    "method": "call",
                    "params": {"db": database, "login": ADMINISTRATOR, "password": password},
                }
            ),
            {"Content-Type": "application/json", "Host": server["public_host"]},
        )
        answer = json.loads(connection.getresponse().read())
    finally:
        connection.close()
    return bool((answer.get("result") or {}).get("uid"))


def set_administrator(database: str, tenant: str = "") -> dict[str, Any]:
    """Give the administrator of a database the password of its secret, and see that it logs in.

    A password that logs in already is left as it is: sessions of the administrator go on.
    """
    from openerp_server import common, first_start, secret_values

    server, configuration = first_start.of_tenant(common.read_server(), tenant)
    password = secret_values.fetch(server, server["administrator_secret_arn"])
    if _logs_in(server, database, password):
        return {"database": database, "changed": False}
    os.environ["PGPASSFILE"] = str(first_start.password_file(server))
    script = f"env.ref('base.user_admin').write({{'password': {password!r}}})\nenv.cr.commit()\n"
    # The password goes through standard input: it is in no argument and no file.
    first_start.odoo(server, configuration, ["shell", "--database", database, "--no-http"], script)
    if not _logs_in(server, database, password):
        raise common.StepError(f"the administrator of {database} does not log in with the new password")
    return {"database": database, "changed": True}
