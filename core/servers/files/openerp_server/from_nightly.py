"""Odoo's official nightly package, pinned by date and hash."""

from __future__ import annotations

from . import common, install


def nightly_url(server: common.Server) -> str:
    """Return the address of the official nightly package of the pinned date."""
    release, date = server["release"], server["package_date"]
    return f"https://nightly.odoo.com/{release}/nightly/deb/odoo_{release}.{date}_all.deb"


def install_odoo(server: common.Server) -> None:
    """Install the package; one of another hash is refused."""
    url = nightly_url(server)
    path = install.CACHE / url.rsplit("/", 1)[1]
    found = common.keep_trying(f"download of {url}", lambda: install.download(url, path), seconds=600)
    if found != server["package_sha256"]:
        path.unlink()
        raise common.StepError(
            f"{url} has SHA-256 {found}, but the setting package.sha256 says {server['package_sha256']}"
        )
    install.patient_apt("install", "--no-install-recommends", str(path))
    path.unlink()
