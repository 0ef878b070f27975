"""What a target means for a stack as it is deployed."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, date, datetime
from typing import Any, Final

from core import outputs as names
from core import release_plan
from core.problems import Invalid
from core.release_plan import Figures, Plan, Stack, Target
from ops.changes.change import downtime
from ops.errors import OpsError
from ops.modules.listing import ledger_of
from ops.site import Site

KEY: Final = "runs/update/current.json"
"""Where an update is remembered."""


def target(text: str | None, *, sha256: str | None = None, image: str | None = None) -> Target:
    """Return what a person names. Raises OpsError."""
    from core import checks

    try:
        found = release_plan.parse(text) if text else Target()
        return Target(
            release=found.release,
            date=found.date,
            sha256=str(checks.sha256(sha256)) if sha256 else None,
            image=str(checks.server_image(image)) if image else found.image,
        )
    except Invalid as invalid:
        raise OpsError(f"{invalid.wrong}. {invalid.right}") from None


def plan(site: Site, wanted: Target, *, today: date | None = None) -> Plan:
    """Say what a target means; changes nothing."""
    return release_plan.plan(
        stack_of(site), wanted, today=today or datetime.now(UTC).date(), figures=figures(site)
    )


def stack_of(site: Site) -> Stack:
    """Return the stack as its last outputs and its settings file say."""
    output, setting = site.stack.output, site.stack.setting
    package = dict(output(names.PACKAGE))
    image = package.pop("server_image", None)
    _, ledger = ledger_of(site)
    modules = [(str(one["name"]), str(one["sha256"])) for one in output(names.DATA_MODULES)]
    proven = {
        name: frozenset(entry.release for entry in ledger if (entry.name, entry.sha256) == (name, sha256))
        for name, sha256 in modules
    }
    working = str(output(names.WORKING_DATABASE))
    allowed, named = setting("allowUpgradeTo"), setting("upgradeCheckpoint")
    return Stack(
        name=site.name,
        environment=str(output(names.ENVIRONMENT)),
        release=str(output(names.RELEASE)),
        package=package,
        image=str(image) if image else None,
        checkpoints=frozenset(site.stack.outputs().get(names.CHECKPOINT_SNAPSHOTS) or ()),
        allow_upgrade_to=str(allowed) if allowed else None,
        upgrade_checkpoint=str(named) if named else None,
        allow_unsupported=bool(setting("allowUnsupportedRelease")),
        data_modules=tuple(name for name, _ in modules),
        proven=proven,
        databases=tuple(sorted(site.databases.names(), key=lambda name: name != working)),
    )


def figures(site: Site) -> Figures | None:
    """Return what the parts of the last update of this stack took; None where there was none."""
    found = [content for key in site.store.list("runs/update/") if (content := site.store.read(key))]
    done: list[Mapping[str, Any]] = [
        content for content in found if content["state"] == "done" and downtime(content) is not None
    ]
    if not done:
        return None
    last = max(done, key=lambda content: str(content["began"]))
    return Figures(
        seconds=dict(last.get("seconds") or {}), source=f"the {last['what']} at {str(last['began'])[:10]}"
    )
