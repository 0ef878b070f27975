"""The manifests of checkpoints in a stack's operations bucket."""

from __future__ import annotations

from core import checkpoint
from core.checkpoint import Manifest, ManifestError
from ops.errors import OpsError
from ops.store import Store

NAMED = 10


def find(store: Store, label: str) -> Manifest | None:
    """Return the manifest of a label; None where there is none. Raises OpsError where it is altered."""
    content = store.read_bytes(checkpoint.key(label))
    try:
        return None if content is None else checkpoint.read(content, label)
    except ManifestError as error:
        raise OpsError(
            f"{error}. An earlier version of s3://{store.bucket}/{checkpoint.key(label)} may be whole"
        ) from None


def labels(store: Store) -> list[str]:
    """Return the labels of complete checkpoints."""
    return _labels(store, ".json")


def unfinished(store: Store) -> list[str]:
    """Return the labels of checkpoints that were begun and have no manifest."""
    return sorted({*_labels(store, ".claim")} - {*labels(store)})


def _labels(store: Store, ending: str) -> list[str]:
    keys = store.list(checkpoint.PREFIX)
    found = [key.removeprefix(checkpoint.PREFIX) for key in keys if key.endswith(ending)]
    return [name.removesuffix(ending) for name in found if "/" not in name]


def get(store: Store, stack: str, label: str, *, databases_alone: frozenset[str] = frozenset()) -> Manifest:
    """Return the manifest of a checkpoint of `stack`. Raises OpsError where there is none that can be used.

    `databases_alone`: labels of `backup.checkpoints`, which are snapshots without files.
    """
    manifest = find(store, label)
    if manifest is None:
        raise OpsError(_missing(store, stack, label, databases_alone))
    if manifest.stack != stack:
        raise OpsError(
            f"checkpoint {label} is one of the stack {manifest.stack}, and this is {stack}: nothing of it is "
            "restored here"
        )
    return manifest


def _missing(store: Store, stack: str, label: str, databases_alone: frozenset[str]) -> str:
    if label in unfinished(store):
        return (
            f"checkpoint {label} of {stack} was begun and never completed: `python -m ops checkpoint {label} "
            f"--stack {stack}` goes on with it"
        )
    if label in databases_alone:
        return (
            f"{label} is a label of openerp:backup.checkpoints: a snapshot of the database without files; "
            f"`openerp:database.restoreFrom: {label}` and `pulumi up` restore it"
        )
    known = labels(store)
    there = ", ".join(known[:NAMED]) + (f" and {len(known) - NAMED} more" if len(known) > NAMED else "")
    return f"{stack} has no checkpoint {label}; it has: {there or 'none'}"
