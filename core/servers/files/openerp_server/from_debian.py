"""Odoo from Debian's unstable suite, everything else from the suite that the server runs."""

from __future__ import annotations

from pathlib import Path

from . import common, install

APT = Path("/etc/apt")
SID_SOURCE = """Types: deb
URIs: {mirror}
Suites: sid
Components: main
Signed-By: /usr/share/keyrings/debian-archive-keyring.gpg
"""


def mirror() -> str:
    """Return where the machine's own sources get Debian from."""
    listed = common.run(["apt-get", "indextargets", "--format", "$(REPO_URI)", "Component: main"])
    for uri in listed.split():
        if not uri.rstrip("/").endswith("-security"):
            return uri
    raise common.StepError("apt has no source of Debian")


def install_odoo(server: common.Server) -> None:
    """Install Odoo, and of that suite what Odoo needs alone."""
    series = server["release"].split(".")[0]
    names = (f"odoo-{series}", "tzdata-legacy")
    (APT / "sources.list.d" / "openerp-odoo.sources").write_text(SID_SOURCE.format(mirror=mirror()))
    (APT / "preferences.d" / "openerp-odoo").write_text(
        "Package: *\nPin: release n=sid\nPin-Priority: 100\n\n"
        f"Package: {' '.join(names)}\nPin: release n=sid\nPin-Priority: 600\n"
    )
    install.patient_apt("update")
    install.patient_apt("install", "--no-install-recommends", *names)
