"""The user data of a drill's server: an app server's own, turned towards restored data and fenced.

A drill proves what a restore would give, so its server is an app server to the last file but for what is
changed here: where the data is, that no scheduled job runs, that nothing leaves the network, and that nothing
serves before it is told to. Each change must be found exactly as often as it is expected, so that a server
of a later version is not half changed.
"""

from __future__ import annotations

import base64
import binascii
import re
import zlib
from dataclasses import dataclass
from typing import Final

from core.servers import encode_user_data
from core.servers.cloud_init import to_yaml

RELEASE: Final = "/run/openerp-drill"
"""The drill makes this file when the data was compared: only then does the server serve it."""
FENCED: Final[tuple[str, ...]] = ("openerp-odoo.service", "odoo-tenant@.service")
"""Units that run Odoo."""
GATE: Final = "openerp-first-start.service"
"""The unit that all others that touch the databases wait for."""
UNITS: Final = "/etc/systemd/system"
DROP_IN: Final = "drill.conf"

_ID = re.compile(r"[A-Za-z0-9-]+")
_HOST = re.compile(r"[A-Za-z0-9][A-Za-z0-9.-]*")


class DrillServerError(ValueError):
    """User data of an app server in which something is not where it is expected; the message says what."""


@dataclass(frozen=True, kw_only=True)
class Restored:
    """Where the restored data is."""

    database_host: str
    database_port: int
    file_system_id: str
    access_point_id: str
    vpc_cidr: str
    """All that Odoo may reach: the restored data is in there, too."""


def decode_user_data(encoded: str) -> str:
    """Return the cloud-config in the `UserData` of a launch template. Raises DrillServerError."""
    try:
        raw = base64.b64decode(encoded, validate=True)
        if raw[:2] == b"\x1f\x8b":
            raw = zlib.decompress(raw, 16 + zlib.MAX_WBITS)
        text = raw.decode()
    except (binascii.Error, zlib.error, UnicodeDecodeError) as error:
        raise DrillServerError(
            f"the user data of the app servers' launch template cannot be read: {error}"
        ) from error
    if not text.startswith("#cloud-config\n"):
        raise DrillServerError("the user data of the app servers' launch template is no cloud-config")
    return text


def drill_user_data(encoded: str, restored: Restored) -> bytes:
    """Return the user data of the drill's server, as EC2 is to have them: see `drill_config`.

    `encoded`: base64, as in the launch template. Raises DrillServerError, and UserDataTooLargeError.
    """
    return encode_user_data(drill_config(decode_user_data(encoded), restored))


def drill_config(text: str, restored: Restored) -> str:
    """Return the cloud-config `text` of an app server as that of a drill's server."""
    for name, value, form in (
        ("database host", restored.database_host, _HOST),
        ("file system", restored.file_system_id, _ID),
        ("access point", restored.access_point_id, _ID),
    ):
        if not form.fullmatch(value):
            raise DrillServerError(f"the restored {name} is {value!r}")
    own = _quoted(text, "file_system_id"), _quoted(text, "access_point_id")
    text = _exactly(text, r'"database_host":"[^"\n]*"', f'"database_host":"{restored.database_host}"')
    text = _exactly(text, r'"database_port":[0-9]+', f'"database_port":{restored.database_port}')
    text = _exactly(text, r"db_host = .*", f"db_host = {restored.database_host}")
    text = _exactly(text, r"db_port = [0-9]+", f"db_port = {restored.database_port}")
    text = _exactly(text, r"max_cron_threads = [0-9]+", "max_cron_threads = 0")
    # The file system is named in the settings and in the tunnel to it; no trace of the stack's own may stay.
    for old, new in zip(own, (restored.file_system_id, restored.access_point_id), strict=True):
        text = re.sub(rf"(?<![A-Za-z0-9-]){re.escape(old)}(?![A-Za-z0-9-])", new, text)
    return _with_files(text, _drop_ins(text, restored.vpc_cidr))


def _quoted(text: str, key: str) -> str:
    found = re.findall(rf'^ *"{key}":"([A-Za-z0-9-]+)"', text, re.MULTILINE)
    if len(found) != 1:
        raise _unexpected(f'"{key}"', len(found))
    return str(found[0])


def _exactly(text: str, pattern: str, replacement: str) -> str:
    changed, times = re.subn(
        rf"^( *){pattern}(?=,?$)", lambda match: match[1] + replacement, text, flags=re.MULTILINE
    )
    if times != 1:
        raise _unexpected(replacement.split(":")[0].split(" =")[0], times)
    return changed


def _unexpected(what: str, times: int) -> DrillServerError:
    return DrillServerError(
        f"the user data of the app servers' launch template has {what} {times} times where it was expected "
        "once: is the stack of another version than these commands?"
    )


def _drop_ins(text: str, vpc_cidr: str) -> dict[str, str]:
    """Return the files that fence Odoo and hold it back, by path."""
    for unit in (FENCED[0], GATE):
        if f'"{UNITS}/{unit}"' not in text:
            raise _unexpected(unit, 0)
    fence = f"[Service]\nIPAddressDeny=any\nIPAddressAllow=localhost {vpc_cidr}\n"
    wait = f"/bin/sh -c 'until test -e {RELEASE}; do sleep 1; done'"
    files = {f"{UNITS}/{unit}.d/{DROP_IN}": fence for unit in FENCED if f'"{UNITS}/{unit}"' in text}
    return {**files, f"{UNITS}/{GATE}.d/{DROP_IN}": f"[Service]\nExecStartPre={wait}\nTimeoutStartSec=1d\n"}


def _with_files(text: str, files: dict[str, str]) -> str:
    start = "\nwrite_files:\n"
    if text.count(start) != 1:
        raise _unexpected("write_files", text.count(start))
    entries = to_yaml({"write_files": [{"path": path, "content": files[path]} for path in sorted(files)]})
    return text.replace(start, f"\n{entries}")
