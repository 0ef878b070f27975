"""Carries out what the planner decides: calls the plugins, keeps the state, tells the display.

Registrations run side by side; planning is one at a time. When a step fails, what is under way is finished
and recorded, nothing new is begun, and the program's open requests are refused
(pkg/resource/deploy/step_executor.go).
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, nullcontext
from dataclasses import dataclass, field
from typing import Protocol

from local.engine import urn as urns
from local.engine.builtins import Builtins
from local.engine.config import StackConfig
from local.engine.errors import EngineError, StepError
from local.engine.journal import Journal, token
from local.engine.planner import Planner
from local.engine.providers import Registry, default_inputs, message_of, version_name
from local.engine.state import Resource, Snapshot, mark_secrets, now
from local.engine.steps import Goal, Op, Step
from local.engine.values import UNKNOWN_TEXT, Properties, equal
from local.plugins import operation


class Stopped(EngineError):  # noqa: N818  it is no error, it follows one
    """The run has failed; nothing new is begun."""


class Events(Protocol):
    """Who watches a run."""

    def started(self, step: Step) -> None:
        """A step begins."""

    def finished(self, step: Step) -> None:
        """A step is done."""

    def failed(self, step: Step, message: str) -> None:
        """A step failed."""

    def outputs(self, step: Step) -> None:
        """A component or the stack has its outputs."""

    def log(self, severity: str, message: str, urn: str) -> None:
        """A message: severity `info`, `warning` or `error`."""


@dataclass
class Registered:
    """What a registration came to, as the program is told."""

    urn: str
    id: str
    outputs: Properties


@dataclass
class _Settled:
    """What the program has registered so far, for invokes that wait for resources."""

    pending: set[str] = field(default_factory=set)
    children: dict[str, set[str]] = field(default_factory=dict)

    def unresolved(self, roots: list[str]) -> bool:
        """Whether any of the resources, or a resource inside one, does not exist yet."""
        stack, seen = list(roots), set()
        while stack:
            urn = stack.pop()
            if urn in self.pending:
                return True
            if urn not in seen:
                seen.add(urn)
                stack.extend(self.children.get(urn, ()))
        return False


def must_write(old: Resource, new: Resource) -> bool:
    """Whether an unchanged resource is recorded differently all the same (pkg/backend/snapshot.go)."""
    plain = (
        "urn", "type", "custom", "custom_timeouts", "retain_on_delete", "provider", "parent", "deleted_with",
        "replace_with", "protect",
    )  # fmt: skip
    return (
        any(getattr(old, name) != getattr(new, name) for name in plain)
        or not equal(old.inputs, new.inputs)
        or not equal(old.outputs, new.outputs)
        or sorted(old.dependencies) != sorted(new.dependencies)
        or not equal(old.replacement_trigger, new.replacement_trigger)
    )


class Deployment:
    """One run over one stack."""

    def __init__(
        self,
        *,
        project: str,
        stack: str,
        base: Snapshot,
        config: StackConfig,
        registry: Registry,
        builtins: Builtins,
        journal: Journal,
        preview: bool,
        events: Events,
    ) -> None:
        self.preview = preview
        self.failure: StepError | None = None
        """The first step that failed."""
        self.steps: list[Step] = []
        """Every step that was begun, in order."""
        self._config = config
        self._registry = registry
        self._builtins = builtins
        self._journal = journal
        self._events = events
        self._planner = Planner(
            project=project,
            stack=stack,
            base=base,
            registry=registry,
            journal=journal,
            preview=preview,
            log=events.log,
        )
        self._planning = asyncio.Lock()
        self._defaults: dict[tuple[str, str], asyncio.Task[str]] = {}
        self._goals: dict[str, Goal] = {}
        self._component_providers: dict[str, dict[str, str]] = {}
        self._settled = _Settled()
        self._registered: dict[str, Step] = {}
        self._states: dict[str, Resource] = {}
        self._stack_outputs: tuple[Step, Properties] | None = None
        self._active = 0
        self._idle = asyncio.Event()
        self._idle.set()
        self.stopped = asyncio.Event()

    @property
    def refused(self) -> bool:
        """Whether a protected resource stands in the way."""
        return self._planner.refused

    # What the program asks for

    def goal_of(self, urn: str) -> Goal | None:
        """What the program registered under a URN."""
        return self._goals.get(urn)

    def component_providers(self, urn: str) -> dict[str, str]:
        """The providers that a component passes on to its children, by package."""
        return self._component_providers.get(urn, {})

    def fail(self, error: StepError) -> None:
        """Stop the run because of a step."""
        if self.failure is None:
            self.failure = error
        self.stopped.set()

    def stop(self) -> None:
        """Begin nothing new (Ctrl-C)."""
        self.stopped.set()

    @asynccontextmanager
    async def _work(self) -> AsyncIterator[None]:
        """Counts what is under way, and turns a failed step into the end of the run."""
        if self.stopped.is_set():
            raise Stopped("the run has ended")
        self._active += 1
        self._idle.clear()
        try:
            yield
        except StepError as error:
            self.fail(error)
            raise Stopped("the run has ended") from error
        finally:
            self._active -= 1
            if self._active == 0:
                self._idle.set()

    async def idle(self) -> None:
        """Wait until no step is under way."""
        await self._idle.wait()

    async def default_provider(self, package: str, version: str) -> str:
        """The reference of a package's default provider, which is registered when first asked for."""
        key = (package, version)
        if key not in self._defaults:
            goal = Goal(
                type=f"{urns.PROVIDER_PREFIX}{package}",
                name=version_name(version),
                custom=True,
                properties=default_inputs(self._config.of_package(package), version),
            )
            self._defaults[key] = asyncio.create_task(self._register_provider(goal))
        return await asyncio.shield(self._defaults[key])

    async def _register_provider(self, goal: Goal) -> str:
        registered = await self.register(goal, {})
        return urns.provider_reference(registered.urn, registered.id)

    async def register(self, goal: Goal, providers: dict[str, str]) -> Registered:
        """Bring about a resource. Raises Stopped when the run has failed, here or elsewhere."""
        async with self._work():
            async with self._planning:
                if self.stopped.is_set():
                    raise Stopped("the run has ended")
                steps = await self._planner.register(goal)
            for step in steps:
                await self._execute(step)
            state = next(step.new for step in steps if step.new is not None)
            self._goals[state.urn] = goal
            if not goal.custom:
                self._component_providers[state.urn] = providers
            self._settle(state, goal.parent)
            if self.stopped.is_set() and self.failure is not None:
                raise Stopped("the run has ended")
            return Registered(state.urn, state.id, state.outputs if goal.custom else {})

    def _settle(self, state: Resource, parent: str) -> None:
        self._states[state.urn] = state
        self._settled.children.setdefault(parent, set()).add(state.urn)
        if state.custom and (not state.id or state.id == UNKNOWN_TEXT):
            self._settled.pending.add(state.urn)

    async def read(self, goal: Goal, id_: str) -> Registered:
        """Read a resource that exists already."""
        async with self._work():
            async with self._planning:
                steps = self._planner.read(goal, id_)
            for step in steps:
                await self._execute(step)
            state = next(step.new for step in steps if step.new is not None)
            self._settle(state, goal.parent)
            return Registered(state.urn, state.id, state.outputs)

    async def register_outputs(self, urn: str, outputs: Properties) -> None:
        """Record the outputs of a component; those of the stack when the run ends."""
        async with self._work():
            step = self._registered.get(urn)
            if step is None or step.new is None:
                raise StepError(urn, "outputs were registered for a resource that is not")
            if urns.is_root_stack(urn):
                self._stack_outputs = (step, outputs)
                return
            self._set_outputs(step, outputs)
            if step.old is None or not equal(step.old.outputs, outputs):
                await self._journal.save()

    def _set_outputs(self, step: Step, outputs: Properties) -> None:
        step.resource.outputs = outputs
        self._journal.changed(step.resource)
        self._events.outputs(step)

    def finish_outputs(self, *, succeeded: bool) -> None:
        """Record the stack's outputs; after a failure, those of before stay where the program set none."""
        if self._stack_outputs is None:
            return
        step, outputs = self._stack_outputs
        if not succeeded and step.old is not None:
            outputs = {**step.old.outputs, **outputs}
        self._set_outputs(step, outputs)

    async def invoke(
        self, token: str, arguments: Properties, provider: str, version: str, depends_on: list[str]
    ) -> tuple[Properties, list[tuple[str, str]]] | None:
        """The result of a function, or None where it waits for a resource that does not exist yet."""
        if self.stopped.is_set():
            raise Stopped("the run has ended")
        package = urns.package_of(token)
        if package == "pulumi":
            await self.default_provider("pulumi", "")
            if token == "pulumi:pulumi:getResource":  # noqa: S105
                return self._get_resource(str(arguments.get("urn"))), []
            return self._builtins.invoke(token, arguments), []
        reference = provider or await self.default_provider(package, version)
        if self._settled.unresolved(depends_on):
            return None
        return await self._registry.get(reference).invoke(token, arguments)

    def _get_resource(self, urn: str) -> Properties:
        state = self._states.get(urn)
        if state is None:
            raise EngineError(f"unknown resource {urn}")
        return {"urn": state.urn, "id": state.id, "state": dict(state.outputs)}

    # Steps

    async def _execute(self, step: Step) -> None:
        if self.stopped.is_set():
            raise Stopped("the run has ended")
        self.steps.append(step)
        self._events.started(step)
        try:
            await _RUN[step.op](self, step)
        except StepError as error:
            self._events.failed(step, str(error))
            raise
        except Exception as error:
            message = message_of(error)
            self._events.failed(step, message)
            raise StepError(step.urn, message) from error
        if step.new is not None and step.op is not Op.REPLACE:
            self._registered[step.urn] = step
        self._events.finished(step)

    async def _same(self, step: Step) -> None:
        old, new = step.before, step.after
        new.id = old.id
        new.outputs = dict(old.outputs)
        if urns.is_provider_type(new.type):
            await self._registry.same(new.urn, new.id, old.inputs)
        mark_secrets(new)
        self._journal.remove(old)
        self._journal.add(new)
        if must_write(old, new):
            await self._journal.save()

    @asynccontextmanager
    async def _pending(self, state: Resource, kind: str) -> AsyncIterator[None]:
        """While something outside the state is worked on, the state says so; and after that, where nobody
        knows whether it was done. The plugin learns the name of what must not be done twice."""
        if not _outside(state):
            yield
            return
        await self._journal.begin(state, kind)
        try:
            with operation.under_way(token(state, kind)) if kind != "deleting" else nullcontext():
                yield
        except Exception as error:
            if not isinstance(error, operation.Unanswered):
                self._journal.end(state)
                await self._journal.save()
            raise

    async def _create(self, step: Step) -> None:
        new, old = step.after, step.old
        new.created = now()
        async with self._pending(new, "creating"):
            if urns.is_provider_type(new.type):
                new.id, new.outputs = await self._registry.create(new.urn, new.inputs, self.preview)
            elif new.custom:
                timeout = new.custom_timeouts.get("create", 0.0)
                if urns.package_of(new.type) == "pulumi":
                    new.id, new.outputs = self._builtins.create(new.type, new.inputs, self.preview)
                else:
                    plugin = self._registry.get(new.provider)
                    new.id, new.outputs = await plugin.create(new.urn, new.inputs, timeout, self.preview)
                if not new.id and not self.preview:
                    raise StepError(new.urn, "the provider returned no id for what it created")
        new.created = new.modified = now()
        mark_secrets(new)
        self._journal.end(new)
        self._journal.add(new)
        if old is not None:
            if step.pending_delete:
                old.delete = True
                self._journal.changed(old)
            if old.pending_replacement:
                self._journal.remove(old)
        await self._journal.save()

    async def _update(self, step: Step) -> None:
        old, new = step.before, step.after
        new.id, new.created = old.id, old.created
        new.modified = now() if new.custom else old.modified
        async with self._pending(new, "updating"):
            if urns.is_provider_type(new.type):
                new.outputs = await self._registry.update(new.urn, new.id, new.inputs)
            elif new.custom:
                plugin = self._registry.get(new.provider)
                timeout = new.custom_timeouts.get("update", 0.0)
                new.outputs = await plugin.update(old, new.inputs, timeout, step.ignore_changes, self.preview)
        if new.custom:
            new.modified = now()
        mark_secrets(new)
        self._journal.end(new)
        self._journal.remove(old)
        self._journal.add(new)
        await self._journal.save()

    async def _replace(self, step: Step) -> None:
        """A replacement is a creation and a deletion; this step only says that they belong together."""

    async def _delete(self, step: Step) -> None:
        old = step.before
        if self.preview:
            old.pending_replacement = step.pending_replacement
            return
        async with self._pending(old, "deleting"):
            by_another = old.deleted_with and self._planner.deletes(old.deleted_with)
            if _outside(old) and not (old.external or old.retain_on_delete or by_another):
                timeout = old.custom_timeouts.get("delete", 0.0)
                await self._registry.get(old.provider).delete(old, timeout)
        self._journal.end(old)
        if step.pending_replacement:
            old.pending_replacement = True
            self._journal.changed(old)
        else:
            self._journal.remove(old)
        await self._journal.save()

    async def _read(self, step: Step) -> None:
        old, new = step.old, step.after
        if new.id == UNKNOWN_TEXT:
            new.outputs = {}
        elif urns.package_of(new.type) == "pulumi":
            new.outputs = self._builtins.read(new.type, new.inputs)
        else:
            found = await self._registry.get(new.provider).read(new.urn, new.id, new.inputs)
            if found is None:
                raise StepError(new.urn, f"there is no such resource: {new.id}")
            new.id, new.outputs = found
        mark_secrets(new)
        if old is None:
            new.modified = new.created = ""
        elif not equal(old.inputs, new.inputs) or not equal(old.outputs, new.outputs):
            new.modified = now()
        if old is not None:
            if step.pending_delete:
                old.delete = True
                self._journal.changed(old)
            else:
                self._journal.remove(old)
        self._journal.add(new)
        await self._journal.save()

    async def _forget(self, step: Step) -> None:
        self._journal.remove(step.before)
        await self._journal.save()

    # The end of a run

    async def delete_rest(self) -> None:
        """Delete what the state holds and the program did not register. Raises StepError when a deletion
        fails."""
        async with self._planning:
            groups = await self._planner.deletions()
        for group in groups:
            results = await asyncio.gather(*map(self._execute, group), return_exceptions=True)
            for result in results:
                if isinstance(result, BaseException):
                    raise result


def _outside(state: Resource) -> bool:
    """Whether the resource is something outside the state, which an interrupted operation could leave half
    done."""
    ours = urns.is_provider_type(state.type) or urns.package_of(state.type) == "pulumi"
    return state.custom and not ours


_RUN: dict[Op, Callable[[Deployment, Step], Awaitable[None]]] = {
    Op.SAME: Deployment._same,
    Op.CREATE: Deployment._create,
    Op.CREATE_REPLACEMENT: Deployment._create,
    Op.UPDATE: Deployment._update,
    Op.REPLACE: Deployment._replace,
    Op.DELETE: Deployment._delete,
    Op.DELETE_REPLACED: Deployment._delete,
    Op.READ_DISCARD: Deployment._delete,
    Op.DISCARD_REPLACED: Deployment._delete,
    Op.READ: Deployment._read,
    Op.READ_REPLACEMENT: Deployment._read,
    Op.REMOVE_PENDING_REPLACE: Deployment._forget,
}
