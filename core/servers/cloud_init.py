"""User data: a cloud-config for Debian 13, and its encoding for a launch template."""

from __future__ import annotations

import base64
import json
import re
import struct
import zlib
from collections.abc import Mapping
from functools import cache
from typing import Any, Final

from core import names
from core.servers.bare_source import bare_source
from core.servers.configuration import OURS, ServerConfiguration
from core.servers.nginx import render_nginx_conf, render_nginx_locations
from core.servers.odoo_conf import render_odoo_conf
from core.servers.rendering import HERE, PATHS, render
from core.servers.systemd import render_units

USER_DATA_LIMIT_BYTES: Final = 16384
"""EC2 accepts 16 KB of user data, counted before base64 (EC2 user guide, "Run commands at launch")."""

# cloud-init's own schema accepts unknown keys at the top level, so a misspelt one would be ignored.
TOP_LEVEL_KEYS: Final = frozenset(
    {"manage_etc_hosts", "timezone", "disable_root", "ssh_pwauth", "write_files", "runcmd", "final_message"}
)
FILE_KEYS: Final = frozenset({"path", "content", "permissions", "owner"})


class UserDataTooLargeError(ValueError):
    """The user data exceeds EC2's limit even when compressed."""


class UnknownCloudConfigKeyError(ValueError):
    """A key that cloud-init would ignore without a word."""


def server_settings(server: ServerConfiguration) -> dict[str, Any]:
    """Return what the scripts on the server read (`/etc/openerp/server.json`); no secret is in it."""
    fetched = {"data_modules": dict(server.data_modules), "operations_bucket": server.operations_bucket}
    return {
        "environment": server.environment,
        "region": server.region,
        "release": server.release,
        "package_source": server.package_source,
        "package_date": server.package_date,
        "package_sha256": server.package_sha256,
        "modules": list(server.modules),
        "database_host": server.database_host,
        "database_port": server.database_port,
        "database_name": server.database_name,
        "test_database_name": server.test_database_name,
        "database_role": server.database_role,
        "database_secret_arn": server.database_secret_arn,
        "database_ca": PATHS["database_ca"],
        "database_ca_url": server.database_ca_url,
        "administrator_secret_arn": server.administrator_secret_arn,
        "file_system_id": server.file_system_id,
        "access_point_id": server.access_point_id,
        "public_host": server.public_host,
        "target_port": server.target_port,
        "odoo_http_port": server.odoo_http_port,
        "odoo_gevent_port": server.odoo_gevent_port,
        "tenants_parameter_path": server.tenants_parameter_path,
        "user": PATHS["user"],
        "uid": names.ODOO_UID,
        "data_dir": PATHS["data_dir"],
        "shared_dir": PATHS["shared_dir"],
        "log_dir": PATHS["log_dir"],
        **({**fetched, "addons_dir": PATHS["addons_dir"]} if server.data_modules else {}),
    }


@cache
def server_scripts() -> Mapping[str, str]:
    """Return the text of each script by its path on the server, without comments."""
    files = HERE / "files"
    launcher = (files / "openerp-server").read_text(encoding="utf-8")
    scripts = {"/usr/local/sbin/openerp-server": re.sub(r"(?m)^# .*\n", "", launcher)}
    for path in sorted((files / "openerp_server").glob("*.py")):
        scripts[f"/usr/local/lib/openerp/openerp_server/{path.name}"] = bare_source(
            path.read_text(encoding="utf-8")
        )
    for module in OURS:
        for path in sorted((files / module).glob("*.py")):
            text = bare_source(path.read_text(encoding="utf-8"))
            scripts[f"{PATHS['addons_dir']}/{module}/{path.name}"] = text
    return scripts


def flush_left(text: str) -> str:
    """Return `text` without indentation and blank lines, which none of our configuration files needs."""
    return "".join(f"{line.strip()}\n" for line in text.splitlines() if line.strip())


def cloud_config(server: ServerConfiguration) -> dict[str, Any]:
    """Return the cloud-config as data."""
    config_dir = PATHS["config_dir"]
    texts = {
        f"{config_dir}/server.json": json.dumps(server_settings(server), indent=0, separators=(",", ":"))
        + "\n",
        f"{config_dir}/odoo.conf": render_odoo_conf(server),
        f"{config_dir}/nginx.conf": render_nginx_conf(server),
        f"{config_dir}/nginx-locations.conf": render_nginx_locations(server),
        f"{config_dir}/stunnel.conf": render("stunnel.conf.j2", server),
        f"{config_dir}/amazon-cloudwatch-agent.json": render("amazon-cloudwatch-agent.json.j2", server),
        "/etc/logrotate.d/openerp": render("logrotate.j2", server),
        "/etc/apt/apt.conf.d/52openerp": render("apt.conf.j2", server),
        **{f"/etc/systemd/system/{name}": text for name, text in render_units(server).items()},
    }
    texts = {path: flush_left(text) for path, text in texts.items()}
    if server.tenants_parameter_path:
        texts[f"{config_dir}/tenants/.keep"] = "\n"
    left_out = {f"from_{source}.py" for source in ("nightly", "debian") if source != server.package_source}
    if not server.tenants_parameter_path:
        left_out.add("tenants.py")
    if not server.data_modules:
        left_out.add("modules.py")
    if server.environment == "production":
        left_out.add("banner.py")
    texts |= {path: text for path, text in server_scripts().items() if path.rsplit("/", 1)[1] not in left_out}
    # 0644 is cloud-init's own default.
    files = [
        {"path": path, **({"permissions": "0755"} if "/sbin/" in path else {}), "content": texts[path]}
        # Like beside like compresses best: one kind, and of that what ends alike.
        for path in sorted(
            texts, key=lambda path: (path.rsplit(".")[-1][::-1], texts[path][-40:], path), reverse=True
        )
    ]
    return {
        "manage_etc_hosts": True,
        "timezone": "UTC",
        "disable_root": True,
        "ssh_pwauth": False,
        "write_files": files,
        "runcmd": [
            ["systemctl", "daemon-reload"],
            ["systemctl", "enable", "openerp.target"],
            ["systemctl", "start", "--no-block", "openerp.target"],
        ],
        "final_message": f"openerp: {server.role} server of stack {server.stack}: systemd goes on from here",
    }


def check_keys(config: Mapping[str, Any]) -> None:
    """Raise `UnknownCloudConfigKeyError` for a key that this program never means to write."""
    wrong = [key for key in config if key not in TOP_LEVEL_KEYS]
    wrong += [f"write_files: {key}" for file in config["write_files"] for key in file if key not in FILE_KEYS]
    if wrong:
        raise UnknownCloudConfigKeyError(f"cloud-init would ignore {', '.join(wrong)}")


def _block(text: str, indent: str) -> str:
    """Return `text` as a YAML literal block when it can be one, so that people can read user data."""
    if not re.fullmatch(r"[!-~][\t\n -~]*[!-~]\n", text) or re.search(r"[ \t]\n", text):
        return json.dumps(text)
    return "\n".join(["|", *(indent + line if line else "" for line in text[:-1].split("\n"))])


def to_yaml(config: Mapping[str, Any]) -> str:
    """Return `config` as YAML: JSON, which YAML includes, but a line for each entry and blocks for texts."""
    lines = []
    for key, value in config.items():
        if not isinstance(value, list):
            lines.append(f"{key}: {json.dumps(value)}")
            continue
        lines.append(f"{key}:")
        for entry in value:
            if not isinstance(entry, dict):
                lines.append(f"- {json.dumps(entry)}")
                continue
            lines.append("-")
            for name, part in entry.items():
                shown = _block(part, "  ") if name == "content" else json.dumps(part)
                lines.append(f" {name}: {shown}")
    return "\n".join(lines) + "\n"


def render_user_data(server: ServerConfiguration) -> str:
    """Return the cloud-config of `server` as readable text (it may exceed EC2's limit uncompressed)."""
    config = cloud_config(server)
    check_keys(config)
    return "#cloud-config\n" + to_yaml(config)


def _deflated(raw: bytes, memory: int) -> bytes:
    compressor = zlib.compressobj(9, zlib.DEFLATED, -zlib.MAX_WBITS, memory)
    return compressor.compress(raw) + compressor.flush()


def encode_user_data(text: str) -> bytes:
    """Return `text` as it goes to EC2: as it is when it fits into 16 KB, else gzip, which cloud-init reads.

    The gzip header is written by hand: no time stamp, so that the same text always gives the same bytes.
    Raises `UserDataTooLargeError` when even the compressed form does not fit.
    """
    raw = text.encode()
    if len(raw) <= USER_DATA_LIMIT_BYTES:
        return raw
    body = min((_deflated(raw, level) for level in range(5, 10)), key=len)
    header = b"\x1f\x8b\x08\x00" + b"\x00" * 4 + b"\x02\xff"
    encoded = header + body + struct.pack("<II", zlib.crc32(raw), len(raw) & 0xFFFFFFFF)
    if len(encoded) > USER_DATA_LIMIT_BYTES:
        raise UserDataTooLargeError(
            f"user data of {len(encoded)} bytes exceeds EC2's limit of {USER_DATA_LIMIT_BYTES} bytes"
        )
    return encoded


def user_data_base64(server: ServerConfiguration) -> str:
    """Return what `user_data` of a launch template takes: base64 of the encoded cloud-config."""
    return base64.b64encode(encode_user_data(render_user_data(server))).decode("ascii")
