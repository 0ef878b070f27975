"""What a drill will do, and whether it may begin."""

from __future__ import annotations

from dataclasses import dataclass

from core.checkpoint import Manifest
from ops.aws import explained
from ops.checkpoints import manifests
from ops.errors import OpsError
from ops.lease import Lease
from ops.lock import KEY as OPERATION
from ops.site import Site


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What a drill will do."""

    manifest: Manifest
    application: str | None
    """Why the application is not started; None where it is."""


def choose(site: Site, label: str | None) -> Manifest:
    """Return the manifest of a checkpoint, the newest without a label. Raises OpsError."""
    if label is not None:
        return manifests.get(site.store, site.name, label)
    found = []
    for name in manifests.labels(site.store):
        try:
            found.append(manifests.get(site.store, site.name, name))
        except OpsError as error:
            site.reporter.warn(str(error))
    if not found:
        raise OpsError(
            f"{site.name} has no checkpoint to drill with: take one with "
            f"`python -m ops checkpoint LABEL --stack {site.name}`"
        )
    return max(found, key=lambda manifest: manifest.taken)


def plan(site: Site, label: str | None, *, data_only: bool) -> Plan:
    """Say what a drill will do. Raises OpsError where it cannot be begun."""
    with explained("the mark of the command at work"):
        holder = Lease(site.store.client, site.store.bucket, OPERATION).holder()
    if holder is not None and not holder.what.startswith("checkpoint"):
        raise OpsError(
            f"no drill beside another command that changes {site.name}: {holder}; begin it when that is done"
        )
    manifest = choose(site, label)
    return Plan(manifest=manifest, application=_without_servers(site, data_only=data_only))


def _without_servers(site: Site, *, data_only: bool) -> str | None:
    """Return why no server is made for the drill.

    Where the stack has servers and Run Command reaches none of them, it would not reach the drill's either.
    """
    if data_only:
        return "not started: the drill was asked for the data alone"
    instances = site.servers.instances("app")
    if instances and not site.servers.reached(instances):
        return (
            f"not started: no servers here (Run Command reaches none of the {len(instances)} app servers of "
            f"{site.name})"
        )
    return None
