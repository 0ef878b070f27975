"""Root file systems of servers, made once from Debian's packages and kept in the cache.

`debian-13` stands for Debian's cloud image; `openerp-19.0` also has what a server installs at its first
start, Odoo included. Packages come from where this machine's own apt gets Debian from, through its proxies.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import re
import shlex
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import Final

from core.servers.files.openerp_server.install import PACKAGE_SERVICES, PACKAGES
from local.nodes.network import PROXY_ADDRESS, PROXY_PORT

SUITE: Final = "trixie"
KEYRING: Final = "/usr/share/keyrings/debian-archive-keyring.gpg"
MIRROR_VARIABLE: Final = "OPENERP_DEBIAN_MIRROR"
"""Environment variable that names the Debian archive where this machine's apt knows none (Ubuntu)."""

BASE: Final = (
    "apt-utils",
    "ca-certificates",
    "cloud-init",
    "curl",
    "dbus",
    "iproute2",
    "locales",
    "logrotate",
    "netbase",
    "procps",
    "python3",
    "sudo",
    "systemd",
    "systemd-sysv",
    "systemd-timesyncd",
    "tzdata",
    "unattended-upgrades",
)
"""What a server finds in Debian's cloud image, without kernel, boot loader, and SSH, which nobody uses."""
ODOO: Final = ("odoo-19", "tzdata-legacy")
"""From unstable: Debian 13 has no Odoo."""
MASKED: Final = (
    # A container's network, clock and terminal are given.
    "console-getty.service",
    "systemd-networkd.service",
    "systemd-networkd.socket",
    "systemd-networkd-wait-online.service",
    "systemd-timesyncd.service",
    # NFS belongs to the kernel, and the file store is provided.
    "nfs-client.target",
    "run-rpc_pipefs.mount",
)
"""Units for what these servers do not do themselves."""

CLOUD_CONFIG: Final = """\
# A container: its disk and its network are given, and nobody comes by SSH.
ssh_genkeytypes: []
growpart: {mode: "off"}
resize_rootfs: false
network: {config: disabled}
datasource_list: [Ec2Container]
datasource: {Ec2: {metadata_urls: ["http://169.254.169.254"], timeout: 5, max_wait: 120}}
"""
DATA_SOURCE: Final = '''\
"""EC2's metadata in a container, where no firmware says that this is EC2 and the network is given."""

from cloudinit import sources
from cloudinit.sources.DataSourceEc2 import CloudNames, DataSourceEc2


class DataSourceEc2Container(DataSourceEc2):
    def _get_cloud_name(self):
        return CloudNames.AWS


def get_datasource_list(depends):
    return sources.list_from_depends(depends, [(DataSourceEc2Container, (sources.DEP_FILESYSTEM,))])
'''
"""cloud-init's own EC2 source, which otherwise would not use tokens (IMDSv2)."""
APT_PROXY: Final = f"""\
// The one way out of the VPC.
Acquire::http::Proxy "http://{PROXY_ADDRESS}:{PROXY_PORT}";
Acquire::https::Proxy "http://{PROXY_ADDRESS}:{PROXY_PORT}";
// A mirror may be kept as it was on a day that is past.
Acquire::Check-Valid-Until "false";
"""
SOURCE: Final = """\
Types: deb
URIs: {uri}
Suites: {suites}
Components: main
Signed-By: {keyring}
"""
NOTES: Final[Mapping[str, str]] = {
    "I: downloading packages with apt...": "fetching packages",
    "I: extracting archives...": "unpacking the essential packages",
    "I: installing essential packages...": "installing the essential packages",
    "I: installing remaining packages inside the chroot...": "installing the other packages",
}
"""What mmdebstrap says, in words for people who wait."""


class ImageError(Exception):
    """An image cannot be made; the message says why and what to do."""


BOUND: Final = (
    *("setpriv", "--pdeathsig", "KILL"),
    *("unshare", "--mount", "--pid", "--ipc", "--fork", "--kill-child", "--mount-proc"),
)
"""What runs behind this ends with the thread that started it, and with it all that it started."""


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """What an image is made from. Images are kept under a hash of it."""

    packages: tuple[str, ...]
    unstable: tuple[str, ...] = ()
    """Packages that come from unstable."""
    masked: tuple[str, ...] = MASKED
    files: Mapping[str, str] = field(default_factory=dict)
    """Texts by absolute path."""
    revision: int = 1
    """Counted up where this module makes something else of the same recipe."""

    def key(self) -> str:
        """The same for the same image."""
        return sha256(json.dumps(asdict(self), sort_keys=True).encode()).hexdigest()[:12]


_FILES: Final = {
    "/etc/cloud/cloud.cfg.d/95-openerp.cfg": CLOUD_CONFIG,
    "/usr/lib/python3/dist-packages/cloudinit/sources/DataSourceEc2Container.py": DATA_SOURCE,
    "/etc/apt/apt.conf.d/95openerp": APT_PROXY,
}
RECIPES: Final[Mapping[str, Recipe]] = {
    "debian-13": Recipe(packages=BASE, files=_FILES),
    "openerp-19.0": Recipe(
        packages=(*BASE, *PACKAGES, *ODOO, "postgresql-client"),
        unstable=ODOO,
        masked=(*MASKED, *PACKAGE_SERVICES),
        files=_FILES,
    ),
}


def _apt(command: Sequence[str]) -> str:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise ImageError(f"{' '.join(command[:2])}: {done.stderr.strip()}")
    return done.stdout


def host_archives() -> list[str]:
    """Where this machine's own apt sources are, Debian's or not, in their order, each once."""
    given = os.environ.get(MIRROR_VARIABLE)
    # The files that it would fetch, which needs no lists that it fetched before.
    listed = _apt(["apt-get", "--print-uris", "update"])
    found = re.findall(r"^'(\S+?)/dists/\S+'", listed, re.MULTILINE)
    return list(dict.fromkeys(uri.rstrip("/") for uri in ([given] if given else []) + found))


def host_options() -> str:
    """This machine's own settings for fetching packages (proxies, certificates, dates), for an apt.conf."""
    wanted = ("Acquire::http", "Acquire::https", "Acquire::Check-", "Acquire::Retries", "Acquire::ForceIPv4")
    lines = _apt(["apt-config", "dump"]).splitlines()
    return "".join(f"{line}\n" for line in lines if line.startswith(wanted) and not line.endswith('"";'))


def has_suite(archive: str, suite: str) -> bool:
    """Whether `archive` has the suite of Debian; asked by this machine's own apt."""
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory) / "InRelease"
        done = subprocess.run(
            ["/usr/lib/apt/apt-helper", "download-file", f"{archive}/dists/{suite}/InRelease", str(path)],
            capture_output=True,
            check=False,
        )
        return done.returncode == 0 and "\nOrigin: Debian\n" in path.read_text(errors="replace")


def find_archives(
    candidates: Sequence[str], has: Callable[[str, str], bool] = has_suite
) -> tuple[str, str | None]:
    """The archive of Debian 13, and that of its security updates if it can be reached. Raises ImageError."""
    security = f"{SUITE}-security"
    main = [uri for uri in candidates if not uri.endswith("-security")]
    found = next((uri for uri in main if has(uri, SUITE)), None)
    if found is None:
        raise ImageError(
            f"apt on this machine knows no Debian archive with {SUITE}: name one in {MIRROR_VARIABLE}"
        )
    near = [*candidates, f"{found}-security"]
    others = [uri for uri in dict.fromkeys(near) if uri.endswith("-security")]
    return found, next((uri for uri in others if has(uri, security)), None)


def _sources(main: str, security: str | None) -> str:
    text = SOURCE.format(uri=main, suites=SUITE, keyring=KEYRING)
    if security:
        text += "\n" + SOURCE.format(uri=security, suites=f"{SUITE}-security", keyring=KEYRING)
    return text


def _pins(names: Sequence[str]) -> str:
    return (
        "Package: *\nPin: release n=sid\nPin-Priority: 100\n\n"
        f"Package: {' '.join(names)}\nPin: release n=sid\nPin-Priority: 600\n"
    )


def _command(recipe: Recipe, root: Path, beside: Path, main: str, security: str | None) -> list[str]:
    """mmdebstrap in namespaces of its own, so that no mount of it outlives it, however it ends."""
    sources = _sources(main, security)
    hooks = []
    if recipe.unstable:
        sources += "\n" + SOURCE.format(uri=main, suites="sid", keyring=KEYRING)
        (beside / "pins").write_text(_pins(recipe.unstable))
        folder = '"$1/etc/apt/preferences.d"'
        hooks = [f"--setup-hook=mkdir -p {folder} && cp {shlex.quote(str(beside / 'pins'))} {folder}"]
    (beside / "all.sources").write_text(sources)
    (beside / "options").write_text(f'{host_options()}Acquire::Check-Valid-Until "false";\n')
    return [
        *BOUND,
        *("mmdebstrap", "--mode=root", "--variant=minbase", "--format=directory"),
        f"--include={','.join(dict.fromkeys(recipe.packages))}",
        f"--aptopt={beside / 'options'}",
        '--aptopt=APT::Install-Recommends "false"',
        *(f"--dpkgopt=path-exclude={path}" for path in ("/usr/share/man/*", "/usr/share/doc/*/*.gz")),
        *hooks,
        *(SUITE, str(root), str(beside / "all.sources")),
    ]


def _finish(recipe: Recipe, root: Path, main: str, security: str | None) -> None:
    """Turn a fresh root into an image: its own sources, no identity, nothing of this machine."""
    apt = root / "etc/apt"
    for leftover in (apt / "sources.list", apt / "apt.conf.d/99mmdebstrap", apt / "preferences.d/pins"):
        leftover.unlink(missing_ok=True)
    shutil.rmtree(apt / "sources.list.d", ignore_errors=True)
    (apt / "sources.list.d").mkdir()
    (apt / "sources.list.d/debian.sources").write_text(_sources(main, security))
    for path, text in recipe.files.items():
        target = root / path.removeprefix("/")
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text)
    for unit in recipe.masked:
        mask = root / "etc/systemd/system" / (unit if "." in unit else f"{unit}.service")
        mask.unlink(missing_ok=True)
        mask.symlink_to("/dev/null")
    for identity in ("etc/hostname", "etc/resolv.conf", "etc/machine-id", "var/lib/dbus/machine-id"):
        (root / identity).unlink(missing_ok=True)
    (root / "etc/resolv.conf").write_text("")
    (root / "etc/machine-id").write_text("")
    # systemd would update caches that are as new as the packages.
    for updated in ("etc/.updated", "var/.updated"):
        (root / updated).write_text("")


@contextlib.contextmanager
def _alone(path: Path) -> Iterator[None]:
    """One builder of an image at a time; a killed one leaves no lock."""
    with path.open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _remove(directory: Path) -> None:
    subprocess.run(["rm", "-rf", "--one-file-system", str(directory)], check=True)


def _run(command: Sequence[str], beside: Path, tell: Callable[[str], None]) -> None:
    said: list[str] = []
    with subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        errors="replace",
        env={**os.environ, "TMPDIR": str(beside), "LC_ALL": "C.UTF-8", "DEBIAN_FRONTEND": "noninteractive"},
    ) as process:
        for line in process.stderr or ():
            said = [*said[-20:], line.strip()]
            if note := NOTES.get(line.strip()):
                tell(note)
    if process.returncode != 0:
        errors = [line for line in said if line.startswith(("E:", "Err:"))] or said[-3:]
        raise ImageError(f"mmdebstrap failed: {' | '.join(errors)}")


def _build(name: str, recipe: Recipe, beside: Path, progress: Callable[[str], None]) -> Path:
    def tell(note: str) -> None:
        progress(f"image {name}: {note}")

    tell("looking for Debian's archive")
    main, security = find_archives(host_archives())
    root = beside / "root"
    _run(_command(recipe, root, beside, main, security), beside, tell)
    _finish(recipe, root, main, security)
    return root


def path_of(name: str, cache: Path) -> Path:
    """Where the image is, or will be. Raises ImageError for a name that no recipe has."""
    try:
        recipe = RECIPES[name]
    except KeyError:
        raise ImageError(f"there is no image {name}, only {', '.join(sorted(RECIPES))}") from None
    return cache / "images" / f"{name}-{recipe.key()}"


def ensure(
    recipe: str,
    cache: Path,
    progress: Callable[[str], None],
    build: Callable[[str, Recipe, Path, Callable[[str], None]], Path] = _build,
) -> Path:
    """The root directory of an image, made now if it is not in the cache. Raises ImageError.

    It appears there complete or not at all. Two that want the same one make it once.
    """
    made = path_of(recipe, cache)
    if made.is_dir():
        return made
    made.parent.mkdir(parents=True, exist_ok=True)
    with _alone(made.with_name(f"{made.name}.lock")):
        if made.is_dir():
            return made
        beside = made.with_name(f"{made.name}.new")
        _remove(beside)
        beside.mkdir()
        build(recipe, RECIPES[recipe], beside, progress).rename(made)
        _remove(beside)
        progress(f"image {recipe}: ready")
    return made
