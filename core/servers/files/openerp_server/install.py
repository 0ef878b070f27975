"""Packages, user and certificates: everything that a server needs before its first secret."""

from __future__ import annotations

import contextlib
import grp
import hashlib
import importlib
import os
import pwd
import shutil
import urllib.request
from pathlib import Path
from typing import TYPE_CHECKING

from . import common

if TYPE_CHECKING:
    from collections.abc import Iterator

MARKER = Path("/var/lib/openerp-installed")
CACHE = Path("/var/cache/openerp")
POLICY = Path("/usr/sbin/policy-rc.d")
PACKAGES = (
    "ca-certificates",
    "logrotate",
    "nfs-common",
    "nginx-light",
    "openssl",
    "python3-botocore",
    "python3-psycopg2",
    "rsyslog",
    "stunnel4",
    "unattended-upgrades",
)
PACKAGE_SERVICES = ("odoo", "nginx", "stunnel4", "rpcbind", "rpcbind.socket", "ssh", "ssh.socket")
"""Units that come with packages, or ran already in a prepared image; ours take their place. NFS 4.1 needs no
rpcbind, people come in by Session Manager: no port of theirs stays open."""


def download(url: str, path: Path) -> str:
    """Save `url` as `path` and return the SHA-256 of what came."""
    digest = hashlib.sha256()
    with urllib.request.urlopen(url, timeout=60) as answer, path.open("wb") as file:  # noqa: S310
        while block := answer.read(1 << 20):
            digest.update(block)
            file.write(block)
    return digest.hexdigest()


@contextlib.contextmanager
def no_service_starts() -> Iterator[None]:
    """Keep packages from starting what they bring: our units decide the order (Debian policy 9.3.3)."""
    POLICY.write_text("#!/bin/sh\nexit 101\n")
    POLICY.chmod(0o755)
    try:
        yield
    finally:
        POLICY.unlink(missing_ok=True)


def apt(*arguments: str) -> None:
    """Run apt-get without questions; it waits for other runs of it."""
    common.run(
        ["apt-get", "-q", "-y", "-o", "DPkg::Lock::Timeout=300", *arguments],
        env={**os.environ, "DEBIAN_FRONTEND": "noninteractive"},
    )


def patient_apt(*arguments: str) -> None:
    """Run `apt`, and again for ten minutes at most while a mirror or the way out is not there yet."""

    def attempt() -> None:
        try:
            apt(*arguments)
        except common.StepError as failure:
            raise RuntimeError(str(failure)) from failure

    common.keep_trying(f"apt-get {arguments[0]}", attempt, seconds=600, pause=10)


def check_odoo(server: common.Server) -> None:
    """Raise when Odoo is missing or of another release."""
    program = shutil.which("odoo")
    if program is None:
        raise common.StepError("there is no program odoo: the image or package lacks it")
    version = common.run([program, "--version"]).strip()
    if server["release"] not in version:
        raise common.StepError(f"the setting release says {server['release']}, installed is {version}")


def make_user(server: common.Server) -> None:
    """Create the user that Odoo runs as, with the uid that owns the file store; let nginx read files."""
    name, uid = server["user"], server["uid"]
    try:
        found = pwd.getpwnam(name).pw_uid
    except KeyError:
        common.run(["groupadd", "--gid", str(uid), name])
        common.run(
            [
                *("useradd", "--uid", str(uid), "--gid", str(uid), "--no-create-home"),
                *("--home-dir", server["data_dir"], "--shell", "/usr/sbin/nologin", name),
            ]
        )
    else:
        if found != uid:
            raise common.StepError(f"the user {name} has uid {found}; the file store belongs to uid {uid}")
    if "www-data" not in grp.getgrnam(name).gr_mem:
        common.run(["usermod", "--append", "--groups", name, "www-data"])


def make_folders(server: common.Server) -> None:
    """Create what is local: below the data folder only two links lead to the shared file store.

    `addons` stays a folder of root that nobody fills: Odoo would import modules from it.
    """
    data, shared, logs = (Path(server[key]) for key in ("data_dir", "shared_dir", "log_dir"))
    shared.mkdir(parents=True, exist_ok=True)
    logs.mkdir(mode=0o750, exist_ok=True)
    os.chown(logs, server["uid"], server["uid"])
    (data / "addons" / server["release"]).mkdir(parents=True, exist_ok=True)
    for name in ("filestore", "sessions"):
        link = data / name
        if not link.is_symlink():
            link.symlink_to(shared / name)


def fetch_database_ca(server: common.Server) -> None:
    """Install the CA bundle of the region's databases, unless the image brings one."""
    path = Path(server["database_ca"])
    if path.exists():
        return
    url = server["database_ca_url"]
    new = path.with_suffix(".new")
    common.keep_trying(f"download of {url}", lambda: download(url, new), seconds=600)
    if "-----BEGIN CERTIFICATE-----" not in new.read_text():
        raise common.StepError(f"{url} holds no certificate")
    common.run(["openssl", "x509", "-noout", "-in", str(new)])
    new.replace(path)


def install(server: common.Server) -> None:
    """Bring the packages onto this server, once."""
    if MARKER.exists():
        return
    CACHE.mkdir(parents=True, exist_ok=True)
    with no_service_starts():
        if server["package_source"] != "image":
            patient_apt("update")
            patient_apt("install", "--no-install-recommends", *PACKAGES)
            # A server carries the one of these modules that it needs.
            importlib.import_module(f".from_{server['package_source']}", __package__).install_odoo(server)
        check_odoo(server)
    common.run(["systemctl", "mask", "--now", *PACKAGE_SERVICES])
    make_user(server)
    make_folders(server)
    fetch_database_ca(server)
    with contextlib.suppress(common.StepError):
        common.run(["systemctl", "enable", "--now", "rsyslog.service", "unattended-upgrades.service"])
    MARKER.write_text("")
