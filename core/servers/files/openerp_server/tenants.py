"""Tenants of the offer `saas`: one Odoo instance each, with a role and a password of its own.

RPC ignores `dbfilter`, so one instance must not be able to log in to two tenants' databases. The
tenants are read from Parameter Store every minute; no server is replaced for a new one.
"""

from __future__ import annotations

import configparser
import io
import json
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

from . import common, secret_values

if TYPE_CHECKING:
    Tenant = dict[str, Any]

FIRST_PORT = 20000
LAST_PORT = 29999
NAME = re.compile(r"[a-z][a-z0-9-]{0,62}")
HOST = re.compile(r"[a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?")
IDENTIFIER = re.compile(r"[A-Za-z_][A-Za-z0-9_-]{0,62}")


def read_tenant(text: str) -> Tenant:
    """Return the tenant that a parameter describes.

    Raises `ValueError` when it is not JSON with name, database, role, host and both secrets, or when
    one of them could not be written into a configuration file as it is.
    """
    tenant = json.loads(text)
    if not isinstance(tenant, dict):
        raise ValueError("not a JSON object")
    for key, form in (("name", NAME), ("database", IDENTIFIER), ("role", IDENTIFIER), ("host", HOST)):
        if not isinstance(tenant.get(key), str) or not form.fullmatch(tenant[key]):
            raise ValueError(f"{key} is {tenant.get(key)!r}")
    for key in ("secret_arn", "administrator_secret_arn"):
        if not str(tenant.get(key, "")).startswith("arn:"):
            raise ValueError(f"{key} is no ARN")
    return tenant


def fetch_tenants(server: common.Server) -> dict[str, Tenant]:
    """Return the tenants by name; one that is described wrongly is left out and told."""
    import botocore.session

    client = botocore.session.get_session().create_client("ssm", region_name=server["region"])
    pages = client.get_paginator("get_parameters_by_path").paginate(Path=server["tenants_parameter_path"])
    tenants: dict[str, Tenant] = {}
    for page in pages:
        for parameter in page["Parameters"]:
            try:
                tenant = read_tenant(parameter["Value"])
            except ValueError as error:
                common.tell(f"the parameter {parameter['Name']} describes no tenant: {error}")
                continue
            tenants[tenant["name"]] = tenant
    return tenants


def assign_ports(known: dict[str, int], names: set[str]) -> dict[str, int]:
    """Return a port for each name; a tenant keeps its port for as long as it exists."""
    ports = {name: port for name, port in known.items() if name in names}
    free = (port for port in range(FIRST_PORT, LAST_PORT + 1) if port not in set(ports.values()))
    for name in sorted(names - set(ports)):
        ports[name] = next(free)
    return ports


def odoo_configuration(base: str, tenant: Tenant, port: int) -> str:
    """Return the tenant's odoo.conf: the server's own, narrowed to one database, role and process.

    One process with threads serves pages and the websocket: a tenant then costs the memory of one
    worker, not of four.
    """
    parser = configparser.RawConfigParser()
    parser.read_string(base)
    options = parser["options"]
    options["db_user"] = tenant["role"]
    options["db_name"] = tenant["database"]
    options["dbfilter"] = f"^{re.escape(tenant['database'])}$"
    options["http_port"] = str(port)
    options["workers"] = "0"
    options["max_cron_threads"] = str(min(1, int(options["max_cron_threads"])))
    options["logfile"] = options["logfile"].replace("odoo.log", f"tenant-{tenant['name']}.log")
    text = io.StringIO()
    parser.write(text)
    return text.getvalue()


def nginx_configuration(server: common.Server, tenant: Tenant, port: int) -> str:
    """Return the tenant's upstream and server block."""
    name = f"tenant_{tenant['name']}"
    return f"""upstream {name} {{
    server 127.0.0.1:{port} max_fails=0;
}}
server {{
    listen {server["target_port"]};
    server_name {tenant["host"]};
    set $odoo {name};
    set $odoo_websocket {name};
    set $database {tenant["database"]};
    include /etc/openerp/nginx-locations.conf;
}}
"""


def reconcile(server: common.Server) -> None:
    """Make the instances on this server those of the tenants that Parameter Store lists."""
    folder = common.CONFIG_DIR / "tenants"
    secrets = common.RUN_DIR / "tenants"
    secrets.mkdir(mode=0o711, parents=True, exist_ok=True)
    tenants = common.keep_trying("list of tenants", lambda: fetch_tenants(server), seconds=120)
    ports_file = folder / "ports.json"
    known = json.loads(ports_file.read_text()) if ports_file.exists() else {}
    ports = assign_ports(known, set(tenants))
    common.write(ports_file, json.dumps(ports, sort_keys=True))
    base = (common.CONFIG_DIR / "odoo.conf").read_text()
    nginx_changed = False

    for name in sorted(set(known) - set(tenants)):
        units = [f"odoo-tenant@{name}.service", f"openerp-tenant-first-start@{name}.service"]
        common.run(["systemctl", "stop", *units])
        for path in (*folder.glob(f"{name}.*"), secrets / f"{name}.pgpass"):
            path.unlink(missing_ok=True)
        nginx_changed = True
        common.tell(f"tenant {name} is no longer served")

    for name, tenant in sorted(tenants.items()):
        try:
            nginx_changed |= serve(server, tenant, ports[name], folder, secrets, base)
        except Exception as error:
            # One tenant's trouble is not the others'.
            common.tell(f"tenant {name}: {error}")

    if nginx_changed:
        common.run(["systemctl", "reload", "openerp-nginx.service"])


def serve(server: common.Server, tenant: Tenant, port: int, folder: Path, secrets: Path, base: str) -> bool:
    """Write one tenant's files and start its instance; return whether nginx must read its own again."""
    name = tenant["name"]
    narrowed = {
        "database_name": tenant["database"],
        "database_role": tenant["role"],
        "database_secret_arn": tenant["secret_arn"],
        "administrator_secret_arn": tenant["administrator_secret_arn"],
        "public_host": tenant["host"],
        "odoo_http_port": port,
        "odoo_gevent_port": port,
        "password_file": f"tenants/{name}.pgpass",
    }
    password = secret_values.fetch(server, tenant["secret_arn"])
    line = secret_values.pgpass_line(server, tenant["role"], password)
    common.write(secrets / f"{name}.pgpass", line, owner=server["uid"])
    changed = common.write(folder / f"{name}.json", json.dumps(narrowed, sort_keys=True))
    changed |= common.write(folder / f"{name}.conf", odoo_configuration(base, tenant, port))
    unit = f"odoo-tenant@{name}.service"
    common.run(["systemctl", "restart" if changed else "start", "--no-block", unit])
    return common.write(folder / f"{name}.nginx", nginx_configuration(server, tenant, port))
