"""The files for clients that hold no secret, from the stack outputs: a mapping of name to content."""

from __future__ import annotations

import json
from collections.abc import Mapping
from urllib.parse import urlsplit

from jinja2 import Environment, PackageLoader, StrictUndefined

from core.client_configuration.certificates import CertificateFacts, facts
from core.client_configuration.outputs import ClientOutputs

CA_FILE = "ca.pem"
XMLRPC_DEPRECATED = (
    "deprecated in 19.0 and removed in one of the releases 20 to 22: write new programs on JSON-2"
)


def render(
    outputs: ClientOutputs, *, stack: str, client_certificates: Mapping[int, CertificateFacts] | None = None
) -> dict[str, str]:
    """Return file name to content for `dist/<stack>/`, without the files of client certificates.

    `client_certificates`: number to what that certificate says, for the page. The certificate authority
    must be valid PEM (ValueError).
    """
    known = client_certificates or {}
    ca = facts(outputs.ca_certificate) if outputs.ca_certificate else None
    values: dict[str, object] = {
        "o": outputs,
        "stack": stack,
        "ca": ca,
        "ca_file": CA_FILE if ca else None,
        "clients": [(certificate, known.get(certificate.number)) for certificate in outputs.certificates],
        "web_host": urlsplit(outputs.web_url).hostname,
        "xmlrpc_deprecated": XMLRPC_DEPRECATED,
    }
    files = {
        "index.html": _template("index.html.j2", values),
        "bookmarks.html": _template("bookmarks.html.j2", values),
        "rpc.json": json.dumps(rpc_settings(outputs), indent=2, ensure_ascii=False) + "\n",
        "rpc_xmlrpc.py": _template("rpc_xmlrpc.py.j2", values),
        "rpc_odoorpc.py": _template("rpc_odoorpc.py.j2", values),
        "openerprc": _template("openerprc.j2", values),
    }
    if outputs.has_json2:
        files["rpc_json2.py"] = _template("rpc_json2.py.j2", values)
    if outputs.ca_certificate:
        files[CA_FILE] = outputs.ca_certificate.strip() + "\n"
    return files


def rpc_settings(outputs: ClientOutputs) -> dict[str, object]:
    """Return the content of rpc.json: what a program needs to call the deployment."""
    base = f"https://{outputs.rpc_host}:{outputs.rpc_port}"
    with_certificate = outputs.client_certificate_port is not None and outputs.certificates
    return {
        "host": outputs.rpc_host,
        "port": outputs.rpc_port,
        "protocol": outputs.rpc_protocol,
        "database": outputs.working_database,
        "test_database": outputs.test_database,
        "databases": outputs.database_names,
        "tenants": {name: tenant.model_dump() for name, tenant in outputs.tenants.items()},
        "ca_certificate": CA_FILE if outputs.ca_certificate else None,
        "release": outputs.release,
        "xmlrpc": {
            "common": f"{base}/xmlrpc/2/common",
            "object": f"{base}/xmlrpc/2/object",
            "note": XMLRPC_DEPRECATED if outputs.has_json2 else None,
        },
        "json2": {
            "url": f"{base}/json/2/<model>/<method>",
            "headers": {
                "Authorization": "bearer <API key>",
                "Content-Type": "application/json",
                "X-Odoo-Database": outputs.working_database,
            },
        }
        if outputs.has_json2
        else None,
        "client_certificate": {
            "host": outputs.rpc_host,
            "port": outputs.client_certificate_port,
            "url": outputs.client_certificate_url,
            "certificates": [
                {
                    "number": certificate.number,
                    "name": certificate.name,
                    "p12": f"{certificate.file_stem}.p12",
                    "pem": f"{certificate.file_stem}.pem",
                    "password_file": f"{certificate.file_stem}.password",
                }
                for certificate in outputs.certificates
            ],
        }
        if with_certificate
        else None,
    }


def _template(name: str, values: Mapping[str, object]) -> str:
    environment = Environment(
        loader=PackageLoader("core.client_configuration"),
        autoescape=name.endswith(".html.j2"),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters["python"] = repr
    return environment.get_template(name).render(values)
