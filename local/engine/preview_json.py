"""A preview as `pulumi preview --json` writes it (pkg/display/json.go, pkg/backend/display/json.go of
Pulumi 3)."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import Any

from local.engine import urn as urns
from local.engine.state import Resource, resource_to_json
from local.engine.steps import Op, Step
from local.engine.values import mask


def _old_state(resource: Resource) -> dict[str, Any]:
    return resource_to_json(
        replace(resource, inputs=mask(resource.inputs), outputs=mask(resource.outputs)), None
    )


def _new_state(resource: Resource) -> dict[str, Any]:
    """A resource as it is planned: before the provider is asked, so without an id and outputs."""
    id_ = resource.id if resource.external else ""
    planned = replace(resource, inputs=mask(resource.inputs), outputs={}, id=id_, created="", modified="")
    return resource_to_json(planned, None)


def shown(step: Step) -> bool:
    """Whether a preview lists the step: what changes (a replacement as one step), and the stack itself."""
    if urns.is_root_stack(step.urn):
        return True
    if step.op is Op.SAME:
        # Protection alone is no difference to the provider, but it is one to people.
        return step.before.protect != step.after.protect
    return step.logical and not urns.is_default_provider(step.urn)


def step_to_json(step: Step) -> dict[str, Any]:
    """One step in the shape of `PreviewStep`, every secret masked."""
    data: dict[str, Any] = {"op": step.op.value, "urn": step.urn}
    if step.resource.provider:
        data["provider"] = step.resource.provider
    if step.old is not None:
        data["oldState"] = _old_state(step.old)
    if step.new is not None:
        data["newState"] = _new_state(step.new)
    if step.changed_keys:
        data["diffReasons"] = step.changed_keys
    if step.replace_keys:
        data["replaceReasons"] = step.replace_keys
    data["detailedDiff"] = None
    if step.detailed is not None:
        data["detailedDiff"] = {
            path: {"kind": kind, "inputDiff": input_diff}
            for path, (kind, input_diff) in sorted(step.detailed.items())
        }
    return data


def preview_to_json(
    steps: Iterable[Step],
    *,
    counts: dict[str, int],
    seconds: float,
    diagnostics: Iterable[tuple[str, str, str]] = (),
    config: dict[str, str] | None = None,
) -> dict[str, Any]:
    """A whole preview in the shape of `PreviewDigest`.

    `diagnostics` are (severity, message, URN or ""). The duration is in nanoseconds, as Go writes it.
    """
    data: dict[str, Any] = {}
    if config:
        data["config"] = dict(sorted(config.items()))
    data["steps"] = [step_to_json(step) for step in steps if shown(step)]
    listed = [
        {key: value for key, value in (("urn", urn), ("message", message), ("severity", severity)) if value}
        for severity, message, urn in diagnostics
    ]
    if listed:
        data["diagnostics"] = listed
    data["duration"] = int(seconds * 1e9)
    data["changeSummary"] = counts
    return data
