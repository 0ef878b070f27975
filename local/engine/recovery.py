"""Finishes what a killed run had begun, before the next one plans anything.

A creation or an update is carried out again under the name that it had, so that the emulator answers what it
answered then, or does it now; a deletion is carried out again, where what is gone is no error. Then the state
tells the truth, and the run goes on from it as from any other.

Only what this engine wrote can be finished: another one's pending operations do not hold when they began.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from local.engine.errors import EngineError
from local.engine.journal import token
from local.engine.providers import Registry, message_of
from local.engine.state import Operation, Resource, Snapshot, mark_secrets, now
from local.engine.steps import Op, Step
from local.plugins.operation import Unanswered, under_way


def _before(base: Snapshot, item: Operation) -> Resource | None:
    """What the state holds of the resource that an operation is about."""
    resource = item.resource
    return next(
        (
            known
            for known in base.resources
            if known.urn == resource.urn
            and known.delete == resource.delete
            and (item.type == "creating" or known.id == resource.id)
        ),
        None,
    )


def can_finish(base: Snapshot, item: Operation) -> bool:
    """Whether the operation can be carried out again without doing anything twice."""
    if item.type == "creating":
        return bool(item.resource.created)
    old = _before(base, item)
    if item.type == "updating":
        return old is not None and item.resource.modified not in ("", old.modified)
    return item.type == "deleting" and old is not None


def message(base: Snapshot, *, preview: bool = False) -> str:
    """What to say of operations that an interrupted run left, or "" where there are none."""
    if not base.pending:
        return ""
    listed = "\n".join(f"  * {item.resource.urn}, interrupted while {item.type}" for item in base.pending)
    noun = "operation" if len(base.pending) == 1 else "operations"
    text = f"the last run was interrupted with {len(base.pending)} pending {noun}:\n{listed}\n"
    if all(can_finish(base, item) for item in base.pending):
        how = "`up` and `destroy` finish them first" if preview else "They are finished first"
        return text + how + "; nothing is made twice."
    return text + (
        "Another engine began them. A resource interrupted while creating may exist without being in the "
        "state. It is created again now; if that is refused because it exists, delete the one that is left "
        "over (or all that is kept: `make clean`) and run again."
    )


def foresee(base: Snapshot) -> None:
    """For a preview: take the pending deletions as done. What is pending otherwise shows as still to do."""
    for item in base.pending:
        old = _before(base, item) if item.type == "deleting" else None
        if old is not None:
            _forget(base, old)


def _forget(base: Snapshot, old: Resource) -> None:
    """What is gone. A record that others may refer to stays until the program replaces or drops it."""
    if old.delete:
        base.resources.remove(old)
    else:
        old.pending_replacement = True


async def finish(base: Snapshot, registry: Registry, events: Any) -> list[Step]:
    """Carry out the pending operations, and change `base` to what is then; the steps that this took.

    What is refused is given up with a warning: it is as if it had never been begun. Raises EngineError where
    no answer comes, so that `base` stays what it was.
    """
    tasks = [(item, _before(base, item)) for item in base.pending if can_finish(base, item)]
    for item, old in tasks:
        reference = (old or item.resource).provider if item.type == "deleting" else item.resource.provider
        await registry.from_state(reference, base.resources)
    steps = [_step(item, old) for item, old in tasks]
    results = await asyncio.gather(*(_attempt(registry, step, events) for step in steps))
    unanswered = next((result for result in results if isinstance(result, Unanswered)), None)
    if unanswered is not None:
        raise EngineError(message_of(unanswered)) from unanswered
    done = [step for step, result in zip(steps, results, strict=True) if result is None]
    for step in done:
        _record(base, step)
    base.resources = _in_order(base.resources)
    finished = {id(item) for item, _ in tasks}
    base.pending = [item for item in base.pending if id(item) not in finished]
    return done


def _step(item: Operation, old: Resource | None) -> Step:
    urn = item.resource.urn
    if item.type == "deleting":
        return Step(Op.DELETE, urn, old)
    if item.type == "updating":
        return Step(Op.UPDATE, urn, old, item.resource)
    if old is None:
        return Step(Op.CREATE, urn, None, item.resource)
    return Step(Op.CREATE_REPLACEMENT, urn, old, item.resource, replacing=True)


async def _attempt(registry: Registry, step: Step, events: Any) -> Exception | None:
    """Carry out a step; the error if there was one."""
    events.started(step)
    try:
        await _RUN[step.op](registry, step)
    except Exception as error:
        if isinstance(error, Unanswered):
            events.failed(step, message_of(error))
        else:
            kind = "deletion" if step.op is Op.DELETE else "update" if step.op is Op.UPDATE else "creation"
            text = f"its {kind}, which the last run began, was refused and is given up: {message_of(error)}"
            events.log("warning", text, step.urn)
        return error
    events.finished(step)
    return None


async def _create(registry: Registry, step: Step) -> None:
    new = step.after
    plugin = registry.get(new.provider)
    timeout = new.custom_timeouts.get("create", 0.0)
    with under_way(token(new, "creating"), again=True):
        new.id, new.outputs = await plugin.create(new.urn, new.inputs, timeout, False)
    new.created = new.modified = now()
    mark_secrets(new)


async def _update(registry: Registry, step: Step) -> None:
    old, new = step.before, step.after
    plugin = registry.get(new.provider)
    timeout = new.custom_timeouts.get("update", 0.0)
    with under_way(token(new, "updating"), again=True):
        new.outputs = await plugin.update(old, new.inputs, timeout, new.ignore_changes, False)
    mark_secrets(new)


async def _delete(registry: Registry, step: Step) -> None:
    old = step.before
    if not (old.external or old.retain_on_delete):
        await registry.get(old.provider).delete(old, old.custom_timeouts.get("delete", 0.0))


_RUN: dict[Op, Callable[[Registry, Step], Awaitable[None]]] = {
    Op.CREATE: _create,
    Op.CREATE_REPLACEMENT: _create,
    Op.UPDATE: _update,
    Op.DELETE: _delete,
}


def _record(base: Snapshot, step: Step) -> None:
    old, new = step.old, step.new
    if new is None:
        _forget(base, step.before)
        return
    if old is not None and step.op is Op.CREATE_REPLACEMENT and not old.pending_replacement:
        old.delete = True
    elif old is not None:
        base.resources.remove(old)
    base.resources.append(new)


def _in_order(resources: list[Resource]) -> list[Resource]:
    """The resources with each after what it needs, and what is to be deleted after what replaced it; else as
    they were."""
    current: dict[str, Resource] = {}
    for resource in resources:
        if not resource.delete or resource.urn not in current:
            current[resource.urn] = resource
    placed: dict[Resource, None] = {}
    begun: set[Resource] = set()

    def place(resource: Resource) -> None:
        if resource in begun:
            return
        begun.add(resource)
        for urn in (*resource.references(), resource.urn):
            if urn in current:
                place(current[urn])
        placed[resource] = None

    for resource in resources:
        place(resource)
    return list(placed)
