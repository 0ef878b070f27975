"""Decides what to do about each resource that the program registers: Pulumi's step generator.

Rules: pkg/resource/deploy/step_generator.go of Pulumi 3, in its order: aliases, check, recreation, external,
diff (with `replace_on_changes`), replacement in either order, update, same, create; and the deletions at the
end.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable
from dataclasses import replace as copy_with

from local.engine import paths
from local.engine import urn as urns
from local.engine.errors import StepError
from local.engine.graph import Graph, deletion_order
from local.engine.journal import Journal
from local.engine.providers import Changes, Checked, Diff, Registry, message_of
from local.engine.state import Resource, Snapshot
from local.engine.steps import Alias, Goal, Op, Step
from local.engine.values import UNKNOWN, Properties, equal, has_unknown, reveal

Log = Callable[[str, str, str], None]
"""Takes a severity (`warning`, `error`), a message and a URN (or "")."""


class Planner:
    """Plans one run over one stack. Its methods are called one at a time."""

    def __init__(
        self,
        *,
        project: str,
        stack: str,
        base: Snapshot,
        registry: Registry,
        journal: Journal,
        preview: bool,
        log: Log,
    ) -> None:
        self._project = project
        self._stack = stack
        self._base = base
        self._registry = registry
        self._journal = journal
        self._preview = preview
        self._log = log
        self._olds = {item.urn: item for item in base.resources if not item.delete}
        self._graph = Graph(base.resources)
        self._urns: set[str] = set()
        self._aliased: dict[str, str] = {}
        self._aliases: dict[str, str] = {}
        self._operated: set[str] = set()
        self._replaces: set[str] = set()
        self._deletes: set[str] = set()
        self._pending_deletes: set[Resource] = set()
        self._dependent_keys: dict[str, list[str]] = {}
        self._providers: dict[str, Resource] = {}
        self.refused = False
        """Whether a protected resource stands in the way (in a preview, which goes on and shows the rest)."""

    def urn(self, parent: str, type_: str, name: str) -> str:
        """A new URN. Raises StepError where the parent is unknown or the URN was registered before."""
        if parent and parent not in self._urns:
            raise StepError(parent, f"the parent of {name} ({type_}) is not registered: {parent}")
        urn = urns.make(self._stack, self._project, parent, type_, name)
        if urn in self._urns:
            raise StepError(urn, f"two resources have the same type, parent and name: {type_} {name}")
        self._urns.add(urn)
        return urn

    # Registration

    async def register(self, goal: Goal) -> list[Step]:
        """The steps that bring about what the program registers."""
        urn = self.urn(goal.parent, goal.type, goal.name)
        old, alias = self._old(urn, goal)
        new = _resource(urn, goal, old, alias)
        if urns.is_provider_type(goal.type):
            self._providers[urn] = new
        inputs = new.inputs
        if old is not None:
            inputs = paths.ignore(inputs, old.inputs, goal.ignore_changes)
        recreating = urn in self._deletes
        was_external = old is not None and old.external
        seed = secrets.token_bytes(32)
        if goal.custom:
            fresh = recreating or was_external or old is None
            checked = await self._check(
                new,
                {} if fresh or old is None else old.inputs,
                goal.properties if fresh else inputs,
                seed,
            )
            inputs = checked.inputs
        new.inputs = inputs
        if recreating:
            self._deletes.discard(urn)
            self._replaces.add(urn)
            self._operated.add(urn)
            keys = self._dependent_keys.get(urn, [])
            return [
                Step(Op.REPLACE, urn, old, new, replace_keys=keys),
                Step(Op.CREATE_REPLACEMENT, urn, old, new, replace_keys=keys, replacing=True),
            ]
        if old is not None and was_external:
            self._operated.add(urn)
            return [
                Step(Op.CREATE_REPLACEMENT, urn, old, new, replacing=True, pending_delete=True),
                Step(Op.REPLACE, urn, old, new),
            ]
        if old is not None:
            return await self._change(goal, old, new, seed)
        self._operated.add(urn)
        return [Step(Op.CREATE, urn, None, new)]

    async def _check(self, new: Resource, olds: Properties, news: Properties, seed: bytes) -> Checked:
        try:
            if urns.is_provider_type(new.type):
                checked = await self._registry.check(new.urn, olds, news)
            else:
                checked = await self._registry.get(new.provider).check(new.urn, olds, news, seed)
        except Exception as error:
            raise StepError(new.urn, message_of(error)) from error
        if checked.failures:
            reasons = [f"{key}: {reason}" if key else reason for key, reason in checked.failures]
            raise StepError(new.urn, "; ".join(reasons))
        return checked

    def _old(self, urn: str, goal: Goal) -> tuple[Resource | None, str]:
        """What the state knows the resource as: by its own URN first, then by its aliases."""
        if urn in self._aliased:
            raise StepError(urn, f"it was already matched as an alias of {self._aliased[urn]}")
        old = self._olds.get(urn)
        if old is not None:
            return old, ""
        for alias in self._alias_urns(goal):
            old = self._olds.get(alias)
            if old is None:
                continue
            if alias in self._urns:
                raise StepError(urn, f"its alias {alias} is another resource of this program")
            if alias in self._aliased:
                raise StepError(urn, f"its alias {alias} is also an alias of {self._aliased[alias]}")
            self._aliased[alias] = urn
            self._aliases[urn] = alias
            self._journal.rename(alias, urn)
            return old, alias
        return None, ""

    def _alias_urns(self, goal: Goal) -> list[str]:
        own = [self._collapse(goal, alias) for alias in goal.aliases]
        result = list(own)
        inherited = self._aliases.get(goal.parent)
        if inherited is not None:
            parent_name = urns.name_of(goal.parent)
            pairs = [(goal.type, goal.name), *((urns.type_of(item), urns.name_of(item)) for item in own)]
            for type_, name in pairs:
                if name.startswith(parent_name):
                    name = urns.name_of(inherited) + name[len(parent_name) :]
                result.append(urns.make(self._stack, self._project, inherited, type_, name))
        return list(dict.fromkeys(result))

    def _collapse(self, goal: Goal, alias: Alias) -> str:
        if alias.urn:
            return alias.urn
        parent = "" if alias.no_parent else alias.parent or goal.parent
        if alias.parent:
            parent = self._aliases.get(parent, parent)
        return urns.make(
            alias.stack or self._stack,
            alias.project or self._project,
            parent,
            alias.type or goal.type,
            alias.name or goal.name,
        )

    async def _change(self, goal: Goal, old: Resource, new: Resource, seed: bytes) -> list[Step]:
        """The steps for a resource that exists: replace, update or same."""
        urn = new.urn
        triggered = _triggered(old, new)
        if triggered and not self._preview and has_unknown(new.replacement_trigger):
            raise StepError(urn, "its replacement trigger is still unknown")
        if triggered:
            diff = Diff(changes=Changes.SOME)
        else:
            diff = await self._diff(goal, old, new)
        if diff.warning:
            self._log("warning", diff.warning, urn)
        diff = replace_on_changes(diff, goal.replace_on_changes)
        self._operated.add(urn)
        if diff.changes is not Changes.SOME and not old.pending_replacement:
            if old.init_errors:
                return [self._update(goal, old, new, diff)]
            return [Step(Op.SAME, urn, old, new)]
        if not (diff.replace() or triggered or old.pending_replacement):
            return [self._update(goal, old, new, diff)]
        return await self._replace(goal, old, new, diff, seed)

    def _update(self, goal: Goal, old: Resource, new: Resource, diff: Diff) -> Step:
        return Step(
            Op.UPDATE,
            new.urn,
            old,
            new,
            changed_keys=diff.changed_keys,
            detailed=diff.detailed,
            ignore_changes=goal.ignore_changes,
        )

    async def _diff(self, goal: Goal, old: Resource, new: Resource) -> Diff:
        if any(urn in self._replaces for urn in new.replace_with):
            return Diff(changes=Changes.SOME, replace_keys=["replaceWith"])
        if new.deleted_with in self._replaces:
            return Diff(changes=Changes.SOME, replace_keys=["deletedWith"])
        if await self._provider_changed(old, new):
            return Diff(changes=Changes.SOME, replace_keys=["provider"])
        if not new.custom:
            same = equal(old.inputs, new.inputs)
            return Diff(changes=Changes.NONE if same else Changes.SOME)
        return await self._ask_diff(old, new.urn, new.provider, new.inputs, goal.ignore_changes)

    async def _ask_diff(
        self, old: Resource, urn: str, provider: str, inputs: Properties, ignored: list[str]
    ) -> Diff:
        try:
            if urns.is_provider_type(old.type):
                return await self._registry.diff(urn, old, inputs)
            return await self._registry.get(provider).diff(old, inputs, ignored)
        except Exception as error:
            raise StepError(urn, message_of(error)) from error

    async def _provider_changed(self, old: Resource, new: Resource) -> bool:
        if old.provider == new.provider:
            return False
        if not old.provider or not new.provider:
            return True
        old_urn, _ = urns.split_reference(old.provider)
        new_urn, _ = urns.split_reference(new.provider)
        if self._aliased.get(old_urn) == new_urn:
            return False
        before, after = self._olds.get(old_urn), self._providers.get(new_urn)
        if before is None or after is None:
            return True
        diff = await self._registry.get(new.provider).diff_config(
            new_urn, before.id, before.outputs, after.inputs
        )
        return diff.replace()

    # Replacement

    def _refuse(self, urn: str, message: str) -> None:
        """Stop because of protection; a preview notes it and goes on, so that it shows all there is."""
        if not self._preview:
            raise StepError(urn, message)
        self.refused = True
        self._log("error", message, urn)

    async def _replace(self, goal: Goal, old: Resource, new: Resource, diff: Diff, seed: bytes) -> list[Step]:
        urn = new.urn
        if new.protect and old.protect:
            self._refuse(
                urn,
                "it would have to be replaced, but is protected; "
                "to allow it, take `protect` off it in the settings and run up first",
            )
        self._replaces.add(urn)
        if new.custom:
            new.inputs = (await self._check(new, {}, goal.properties, seed)).inputs
        described = Step(
            Op.REPLACE,
            urn,
            old,
            new,
            replace_keys=diff.replace_keys,
            changed_keys=diff.changed_keys,
            detailed=diff.detailed,
        )
        creation = copy_with(described, op=Op.CREATE_REPLACEMENT, replacing=True)
        delete_first = diff.delete_before_replace
        if goal.delete_before_replace is not None:
            delete_first = goal.delete_before_replace
        if not delete_first:
            # What is pending replacement is gone already, its record alone is left.
            creation.pending_delete = not old.pending_replacement
            return [creation, described]
        steps: list[Step] = []
        for dependent, keys in reversed(await self._dependents_to_replace(old)):
            if dependent in self._pending_deletes:
                continue
            self._dependent_keys[dependent.urn] = keys
            if dependent.protect:
                self._refuse(
                    dependent.urn, f"it would have to be replaced because {urn} is, but is protected"
                )
            await self.ensure_provider(dependent.provider)
            steps.append(
                Step(
                    Op.DELETE_REPLACED,
                    dependent.urn,
                    dependent,
                    replacing=True,
                    pending_replacement=not dependent.delete,
                )
            )
            self._deletes.add(dependent.urn)
            self._pending_deletes.add(dependent)
        await self.ensure_provider(old.provider)
        if not old.pending_replacement:
            self._deletes.add(old.urn)
            steps.append(Step(Op.DELETE_REPLACED, urn, old, replacing=True, pending_replacement=True))
        return [*steps, described, creation]

    async def _dependents_to_replace(self, root: Resource) -> list[tuple[Resource, list[str]]]:
        """What must be deleted before `root` can be, because losing `root` replaces it: with the reasons."""
        replaced = {root.urn}
        found: list[tuple[Resource, list[str]]] = []
        for dependent in self._graph.depending_on(root, self._operated):
            keys = await self._replaced_with(dependent, replaced)
            if keys is not None:
                replaced.add(dependent.urn)
                found.append((dependent, keys))
        for other in self._olds.values():
            cascades = root.urn in other.replace_with or other.deleted_with == root.urn
            if cascades and other.urn not in replaced and other.urn not in self._operated:
                replaced.add(other.urn)
                found.append((other, []))
        return found

    async def _replaced_with(self, resource: Resource, replaced: set[str]) -> list[str] | None:
        """Why the resource must be replaced when all of `replaced` are, or None where it need not."""
        if not resource.custom or resource.external:
            return None
        if resource.provider and urns.split_reference(resource.provider)[0] in replaced:
            await self.ensure_provider(resource.provider)
            return []
        if resource.deleted_with in replaced:
            return []
        inputs = dict(resource.inputs)
        touched = False
        for key in inputs:
            if any(urn in replaced for urn in resource.property_dependencies.get(key, [])):
                inputs[key] = UNKNOWN
                touched = True
        if not touched:
            return None
        if not urns.is_provider_type(resource.type):
            await self.ensure_provider(resource.provider)
        diff = await self._ask_diff(
            resource, resource.urn, resource.provider, inputs, resource.ignore_changes
        )
        diff = replace_on_changes(diff, resource.replace_on_changes)
        return diff.replace_keys if diff.replace() else None

    async def ensure_provider(self, reference: str) -> None:
        """Make sure that a provider which the state names is there, configured from the state."""
        if reference:
            await self._registry.from_state(reference, self._base.resources)

    # Reading

    def read(self, goal: Goal, id_: str) -> list[Step]:
        """The steps for a resource that exists already and is only read."""
        urn = self.urn(goal.parent, goal.type, goal.name)
        old, alias = self._old(urn, goal)
        new = _resource(urn, goal, old, alias)
        new.external = True
        new.id = id_
        self._operated.add(urn)
        if old is not None and not old.external and old.id != id_:
            self._replaces.add(urn)
            return [
                Step(Op.READ_REPLACEMENT, urn, old, new, replacing=True, pending_delete=True),
                Step(Op.REPLACE, urn, old, new),
            ]
        return [Step(Op.READ, urn, old, new)]

    # Deletion

    async def deletions(self) -> list[list[Step]]:
        """What the state holds and the program no longer registers: groups of steps, each to finish before
        the next.

        Raises StepError for what is protected, before anything is deleted.
        """
        steps: dict[Resource, Step] = {}
        for resource in self._base.resources:
            if resource.delete:
                if resource in self._pending_deletes:
                    continue
                op = Op.DISCARD_REPLACED if resource.external else Op.DELETE_REPLACED
                steps[resource] = Step(op, resource.urn, resource, replacing=True)
            elif resource.urn in self._operated or resource.urn in self._aliased:
                continue
            elif resource.pending_replacement or resource in self._pending_deletes:
                steps[resource] = Step(Op.REMOVE_PENDING_REPLACE, resource.urn, resource, replacing=True)
            else:
                op = Op.READ_DISCARD if resource.external else Op.DELETE
                steps[resource] = Step(op, resource.urn, resource)
            self._deletes.add(resource.urn)
            if not urns.is_provider_type(resource.type) and resource.custom:
                await self.ensure_provider(resource.provider)
        protected = [step.urn for step in steps.values() if step.op is Op.DELETE and step.resource.protect]
        for urn in protected:
            others = f" (and {len(protected) - 1} more)" if len(protected) > 1 else ""
            self._refuse(
                urn,
                f"it would be deleted, but is protected{others}; "
                "to allow it, take `protect` off it in the settings and run up first",
            )
        groups = deletion_order(steps, self._base.resources)
        return [[steps[resource] for resource in group] for group in groups]

    def deletes(self, urn: str) -> bool:
        """Whether this run deletes the resource."""
        return urn in self._deletes


def _triggered(old: Resource, new: Resource) -> bool:
    """Whether the replacement trigger changed; one that is new, or gone, triggers nothing."""
    if new.replacement_trigger is None or old.replacement_trigger is None:
        return False
    return has_unknown(new.replacement_trigger) or not equal(
        reveal(new.replacement_trigger), reveal(old.replacement_trigger)
    )


def replace_on_changes(diff: Diff, listed: list[str]) -> Diff:
    """The diff with every change inside the listed paths forcing replacement."""
    if diff.changes is not Changes.SOME or not listed:
        return diff
    wanted = [paths.parse(text) for text in listed]

    def forced(text: str) -> bool:
        return any(paths.contains(path, paths.parse(text)) for path in wanted)

    detailed = {
        key: (f"{kind}-replace" if forced(key) and not kind.endswith("-replace") else kind, input_diff)
        for key, (kind, input_diff) in diff.detailed.items()
    }
    keys = dict.fromkeys([*diff.replace_keys, *(key for key in diff.changed_keys if forced(key))])
    return copy_with(diff, detailed=detailed, replace_keys=list(keys))


def _resource(urn: str, goal: Goal, old: Resource | None, alias: str) -> Resource:
    """The state of a resource as far as the program decides it."""
    return Resource(
        urn=urn,
        type=goal.type,
        custom=goal.custom,
        inputs=goal.properties,
        parent=goal.parent,
        protect=bool(goal.protect),
        dependencies=goal.dependencies,
        provider=goal.provider,
        property_dependencies=goal.property_dependencies,
        additional_secret_outputs=goal.additional_secret_outputs,
        alias=alias,
        custom_timeouts=goal.custom_timeouts,
        retain_on_delete=bool(goal.retain_on_delete),
        deleted_with=goal.deleted_with,
        replace_with=goal.replace_with,
        created=old.created if old else "",
        modified=old.modified if old else "",
        source_position=goal.source_position,
        stack_trace=goal.stack_trace,
        ignore_changes=goal.ignore_changes,
        hide_diff=goal.hide_diff,
        replace_on_changes=goal.replace_on_changes,
        replacement_trigger=goal.replacement_trigger,
    )
