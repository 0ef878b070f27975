"""A data module: what it may hold, the hash that it is known by, and the archive that servers fetch.

A data module brings records (CSV, XML) and no Python code, so that what was seen of it in development is all
that it does elsewhere. Its hash says what is in its folder and nothing of times, owners or who packed it;
anybody can compute it with Debian's own tools (in a folder without what `is_left_out`):

    cd NAME && find . -type f -printf '%P\\n' | LC_ALL=C sort | xargs -d '\\n' sha256sum | sha256sum
"""

from __future__ import annotations

import ast
import hashlib
import io
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from core import checks, offers
from core.problems import Invalid, printable

GUARD: Final = "openerp_guard"
"""Our own module of Odoo, which lies beside the data modules on a server."""
MANIFEST: Final = "__manifest__.py"
LISTS: Final = ("data", "demo", "init_xml", "update_xml", "demo_xml")
"""Keys of a manifest that list files."""
HOOKS: Final = ("pre_init_hook", "post_init_hook", "uninstall_hook", "post_load")
"""Keys of a manifest that name Python functions."""
CODE: Final = (".py", ".pyw", ".so", ".pyd", ".pth")
EARLIEST: Final = (1980, 1, 1, 0, 0, 0)
"""The first time that a zip archive can hold."""


class NotADataModuleError(ValueError):
    """The folder is no data module; `problems` says why, one sentence each."""

    def __init__(self, name: str, problems: Sequence[str]) -> None:
        super().__init__(f"'{printable(name)}' is not a data module: {'; '.join(problems)}")
        self.problems = tuple(problems)


@dataclass(frozen=True, kw_only=True)
class DataModule:
    """A data module that passed the checks."""

    name: str
    version: str
    """As in its manifest, see `installed_version`."""
    sha256: str
    depends: tuple[str, ...]
    files: Mapping[str, bytes]
    """Content by path, relative and with `/`."""

    def archive(self) -> bytes:
        """Return the zip archive for servers, the same for the same files whoever packs it.

        It is not compressed: what a compressor makes differs from one version of it to the next.
        """
        packed = io.BytesIO()
        with zipfile.ZipFile(packed, "w", zipfile.ZIP_STORED) as archive:
            for path, content in sorted(self.files.items()):
                entry = zipfile.ZipInfo(path, EARLIEST)
                entry.create_system = 3  # Unix, on whichever system it is packed
                entry.external_attr = 0o100644 << 16
                archive.writestr(entry, content)
        return packed.getvalue()


def tree_hash(files: Mapping[str, bytes]) -> str:
    """Return the SHA-256 by which the files (content by path) are known."""
    lines = (f"{hashlib.sha256(content).hexdigest()}  {path}\n" for path, content in sorted(files.items()))
    return hashlib.sha256("".join(lines).encode()).hexdigest()


def is_left_out(name: str) -> bool:
    """Return whether a file or folder of this name is no part of a module: it belongs to a tool."""
    return name.startswith((".", "#")) or name == "__pycache__" or name.endswith(("~", ".pyc", ".pyo"))


def read_folder(folder: Path) -> dict[str, bytes]:
    """Return the files of a module, content by relative path; links are refused.

    Raises:
        NotADataModuleError: no folder, a link, a device, or a name that a list of hashes could not hold.
        OSError: a file cannot be read.
    """
    if not folder.is_dir():
        raise NotADataModuleError(folder.name, [f"{printable(str(folder), 200)} is no folder"])
    files: dict[str, bytes] = {}
    problems: list[str] = []

    def look(inside: Path, before: str) -> None:
        for entry in sorted(inside.iterdir()):
            path = before + entry.name
            if is_left_out(entry.name):
                continue
            if entry.is_symlink():
                problems.append(f"{printable(path, 200)} is a link")
            elif not _can_be_listed(entry.name):
                problems.append(f"{printable(path, 200)} has a name with control characters or `\\`")
            elif entry.is_dir():
                look(entry, f"{path}/")
            elif entry.is_file():
                files[path] = entry.read_bytes()
            else:
                problems.append(f"{path} is neither file nor folder")

    look(folder, "")
    if problems:
        raise NotADataModuleError(folder.name, problems)
    return files


def _can_be_listed(name: str) -> bool:
    return name.isprintable() and "\\" not in name


def load(folder: Path) -> DataModule:
    """Return the data module in `folder`, whose name is the module's.

    Raises:
        NotADataModuleError: everything that is wrong with it.
        OSError: a file cannot be read.
    """
    return data_module(folder.resolve().name, read_folder(folder))


def data_module(name: str, files: Mapping[str, bytes]) -> DataModule:
    """Return the data module `name` with these files (content by relative path); pure.

    Raises:
        NotADataModuleError: everything that is wrong with it.
    """
    manifest = _manifest(name, files)
    problems = [*name_problems(name), *_code(files), *_manifest_problems(manifest, files)]
    if problems:
        raise NotADataModuleError(name, problems)
    return DataModule(
        name=name,
        version=manifest["version"],
        sha256=tree_hash(files),
        depends=tuple(manifest.get("depends") or ("base",)),
        files=dict(files),
    )


def name_problems(name: str) -> Iterator[str]:
    """Yield why a data module cannot have this name."""
    try:
        checks.module_name(name)
    except Invalid as invalid:
        yield f"the folder's name {invalid.wrong}"
    if name == GUARD or offers.is_standard(name):
        yield f"'{name}' is the name of another module, in whose place Odoo would take it"


def installed_version(version: str, release: str) -> str:
    """Return a manifest's version as Odoo of `release` (`19.0`) writes it into the database.

    Odoo puts its own series before a version of two or three numbers (`odoo.modules.module.adapt_version`).

    Raises:
        Invalid: Odoo of that release does not install a module of that version.
    """
    count = version.count(".") + 1
    if 2 <= count <= 3 and not version.startswith(release):
        return f"{release}.{version}"
    if count <= 5 and version.startswith(f"{release}."):
        return version
    raise Invalid(
        f"version '{printable(version)}' is not one that OpenERP {release} installs",
        f"Write `1.0`, `1.0.0`, `{release}.1.0` or `{release}.1.0.0`",
    )


def _manifest(name: str, files: Mapping[str, bytes]) -> dict[str, Any]:
    text = files.get(MANIFEST)
    if text is None:
        raise NotADataModuleError(name, [f"it has no {MANIFEST}"])
    try:
        manifest = ast.literal_eval(text.decode())
    except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError):
        manifest = None
    if not isinstance(manifest, dict):
        raise NotADataModuleError(name, [f"{MANIFEST} is not one dictionary of plain values, in UTF-8"])
    return manifest


def _code(files: Mapping[str, bytes]) -> Iterator[str]:
    for path, content in sorted(files.items()):
        if path == MANIFEST or not path.lower().endswith(CODE):
            continue
        if path.rsplit("/", 1)[-1] != "__init__.py":
            yield f"{path} is code"
        elif not _is_comment(content):
            yield f"{path} holds more than comments"


def _is_comment(source: bytes) -> bool:
    """Return whether Python finds nothing to run, in whatever encoding the first lines say."""
    try:
        return not ast.parse(source).body
    except (ValueError, SyntaxError, MemoryError, RecursionError):
        return False


def _manifest_problems(manifest: Mapping[str, Any], files: Mapping[str, bytes]) -> Iterator[str]:
    if not isinstance(manifest.get("name"), str) or not manifest["name"].strip():
        yield "its manifest has no `name`, without which Odoo makes no database"
    version = manifest.get("version")
    try:
        if not isinstance(version, str):
            raise Invalid("is missing or no text", "")
        checks.module_version(version)
    except Invalid as invalid:
        yield f"its manifest's `version` {invalid.wrong}"
    if manifest.get("installable", True) is not True:
        yield "its manifest says that it is not `installable`"
    if manifest.get("auto_install"):
        yield "its manifest says `auto_install`, and a data module is loaded when an operator says so"
    yield from (f"its manifest names Python code as `{key}`" for key in HOOKS if manifest.get(key))
    depends = manifest.get("depends", [])
    if not _texts(depends):
        yield "its manifest's `depends` is not a list of texts"
    for key in LISTS:
        listed = manifest.get(key, [])
        if not _texts(listed):
            yield f"its manifest's `{key}` is not a list of texts"
            continue
        for path in listed:
            if path not in files:
                yield f"{printable(path, 200)}, which its manifest lists, is not there"


def _texts(value: object) -> bool:
    return isinstance(value, list | tuple) and all(isinstance(one, str) for one in value)


def object_key(name: str, sha256: str) -> str:
    """Return where the archive of a module is in the operations bucket; servers know it, too."""
    return f"modules/{name}/{sha256}.zip"
