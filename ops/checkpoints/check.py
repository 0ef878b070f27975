"""Whether a stack is what a checkpoint says, after a return to it."""

from __future__ import annotations

from pathlib import Path

from core.checkpoint import NONE, Found, FoundFiles, Manifest, differences
from ops.checkpoints import look
from ops.checkpoints.files import Restored
from ops.site import Site
from ops.site import files as file_stores


def restored_files(site: Site, manifest: Manifest, restored: Restored) -> list[str] | None:
    """Return how restored files differ by name and size, while nothing uses them; None where not mounted."""
    root = None if site.file_systems is None else site.file_systems / restored.file_system_id
    if root is None or not root.is_dir():
        return None
    found = {}
    for claim in manifest.databases:
        folder = Path(root, restored.path.strip("/"), "filestore", claim.name)
        seen = file_stores.look(str(folder))
        files = FoundFiles(folders=seen["folders"], missing=NONE, damaged=NONE)
        found[claim.name] = Found(files=files)
    return differences(manifest, found)


def databases(site: Site, manifest: Manifest) -> list[str]:
    """Return how the databases differ: rows within their range, modules, number of attachments."""
    site.reporter.step("compare the databases with the checkpoint")
    return differences(manifest, look.found_databases(site.databases, manifest))


def files(site: Site, manifest: Manifest, *, closed: bool) -> list[str] | None:
    """Read every file that attachments name and return how they differ; None where nobody can look.

    `closed`: nobody works with them yet.
    """
    access = look.access(site)
    if access.files is None:
        return None
    site.reporter.step("read every file that attachments name")
    here, _ = look.there(access.databases)
    found = {}
    for number, claim in enumerate(manifest.databases):
        site.reporter.progress(number, len(manifest.databases))
        held = look.found_files(access, claim.name, folders=closed) if claim.name in here else None
        # A database that is not there is told by `databases`.
        found[claim.name] = Found(files=held)
    return differences(manifest, found)
