"""The interpreter of one row for one resource: fills in calls, makes them, reads outputs from answers."""

from __future__ import annotations

import re
import time
from collections.abc import Mapping
from typing import Any

from local.plugins.aws.clients import ApiError, Clients, call
from local.plugins.aws.row import Action, Call, Row, Values
from local.plugins.aws.shapes import Rename, ShapeError, from_api, match, to_api
from local.plugins.operation import Unanswered, random_hex
from local.plugins.table_provider import PluginError

PLACEHOLDER = re.compile(r"\{([^{}]+)\}")


class Context:
    """One resource during one operation of the engine."""

    def __init__(
        self,
        row: Row,
        name: str,
        clients: Clients,
        *,
        region: str,
        inputs: Values,
        state: Values | None = None,
        resource_id: str = "",
        changed: frozenset[str] = frozenset(),
    ) -> None:
        self.row = row
        self.name = name
        self.clients = clients
        self.region = region
        self.inputs = inputs
        self.state = state or {}
        self.id = resource_id
        self.changed = changed
        self.thing: Any = None
        self.creating = state is None
        self.tagged = False
        self.undoing = False

    # -- values --------------------------------------------------------------------------------------------

    @property
    def partition(self) -> str:
        """``aws``, ``aws-cn`` or ``aws-us-gov``, by the region."""
        if self.region.startswith("cn-"):
            return "aws-cn"
        return "aws-us-gov" if self.region.startswith("us-gov-") else "aws"

    @property
    def tags(self) -> dict[str, str]:
        """The resource's own tags over the provider's default tags."""
        return {key: str(value) for key, value in (self.inputs.get("tagsAll") or {}).items()}

    def value(self, name: str) -> Any:
        """What a placeholder stands for, or ``None``."""
        if name.startswith("@."):
            return self.search(name[2:], self.thing)
        head, _, rest = name.partition(".")
        if head == "old" and rest:
            return self.state.get(rest)
        if head in ("added", "removed") and rest:
            before, after = self.state.get(rest) or [], self.inputs.get(rest) or []
            return (
                [item for item in after if item not in before]
                if head == "added"
                else [item for item in before if item not in after]
            )
        if name in ("id", "region", "partition", "tags", "stale_tags", "stale_pairs"):
            return getattr(self, name)
        if name == "account":
            return self.clients.account(self.region)
        if rest:
            return self.search(name, {**self.state, **self.inputs})
        found = self.inputs.get(name)
        return self.state.get(name) if found is None else found

    def filled(self, template: Any) -> Any:
        """A template with its placeholders filled in; what has no value is ``None`` and left out."""
        if isinstance(template, str):
            whole = PLACEHOLDER.fullmatch(template)
            if whole:
                return self.value(whole[1])
            values = {name: self.value(name) for name in PLACEHOLDER.findall(template)}
            if any(value is None for value in values.values()):
                return None
            return PLACEHOLDER.sub(lambda found: str(values[found[1]]), template)
        if isinstance(template, Mapping):
            items = {key: self.filled(item) for key, item in template.items()}
            return {key: item for key, item in items.items() if item is not None} or None
        if isinstance(template, list):
            return [item for item in map(self.filled, template) if item is not None] or None
        return template

    def search(self, path: str, data: Any) -> Any:
        """The value at a JMESPath; placeholders in the path are filled in first."""
        import jmespath  # type: ignore[import-untyped]  # the library ships no types

        return jmespath.search(self.filled(path) if "{" in path else path, data)

    def expression(self, text: str) -> Any:
        """A row's expression for an output: a template if it has placeholders, else a JMESPath."""
        return self.filled(text) if "{" in text else self.search(text, self.thing)

    # -- calls ---------------------------------------------------------------------------------------------

    def call(self, operation: str, *, service: str | None = None, **arguments: Any) -> dict[str, Any]:
        """One API call with the arguments as they are."""
        client = self.clients.get(service or self.row.service, self.region)
        return call(client, operation, self.name, arguments)

    def shape(self, operation: str, service: str | None = None) -> Any:
        """The input shape of an operation."""
        client = self.clients.get(service or self.row.service, self.region)
        return client.meta.service_model.operation_model(operation).input_shape

    def convert(self, shape: Any, values: Any, rename: Rename | None = None) -> Any:
        """Pulumi's values as an API structure of ``shape``."""
        try:
            return to_api(shape, values, self.row.rename if rename is None else rename)
        except ShapeError as error:
            raise PluginError(f"{self.row.type} {self.name}: {error}") from error

    def argument(self, members: Mapping[str, Any], name: str) -> str | None:
        """The API's name of an input among ``members``, or ``None``."""
        return match(members, name, self.row.rename)

    def _arguments(self, action: Call) -> dict[str, Any]:
        shape = self.shape(action.operation, action.service)
        members = shape.members if shape is not None else {}
        arguments = {
            key: self.convert(members[key], value)
            for key, value in ((key, self.filled(item)) for key, item in action.arguments.items())
            if value is not None
        }
        names = self.row.inputs if action.inputs is None else action.inputs
        for name in names.split():
            if action.changed and name not in self.changed:
                continue
            value = self.inputs.get(name)
            if value is None and name in self.changed:
                value = self.row.unset.get(name)
            member = match(members, name, self.row.rename)
            if value is not None and member is not None and member not in arguments:
                arguments[member] = self._converted(members[member], value, name)
        if self.creating and not self.tagged and self.row.tags:
            self._add_tags(members, arguments)
        return arguments

    def _converted(self, shape: Any, value: Any, name: str) -> Any:
        try:
            return to_api(shape, value, self.row.rename, name)
        except (ShapeError, TypeError, AttributeError) as error:
            raise PluginError(f"{self.row.type} {self.name}: {name}: {error}") from error

    def _add_tags(self, members: Mapping[str, Any], arguments: dict[str, Any]) -> None:
        tags = self.row.tags
        if tags and tags.kind and "TagSpecifications" in members:
            self.tagged = True
            if self.tags:
                pairs = [{"Key": key, "Value": value} for key, value in self.tags.items()]
                arguments["TagSpecifications"] = [{"ResourceType": tags.kind, "Tags": pairs}]
            return
        member = match(members, "tagsAll", {"tagsAll": "Tags", **self.row.rename})
        if member is not None and member not in arguments:
            self.tagged = True
            if self.tags:
                arguments[member] = self._converted(members[member], self.tags, "tags")

    def run(self, action: Action) -> Any:
        """Makes a row's call, or runs its function."""
        if not isinstance(action, Call):
            return action(self)
        answer = self.call(action.operation, service=action.service, **self._arguments(action))
        return self.search(action.result, answer)

    # -- the operations ------------------------------------------------------------------------------------

    def find(self) -> Any:
        """What exists, kept as ``thing``; ``None`` if the resource is gone."""
        try:
            thing = self.run(self.row.read)
        except ApiError as error:
            if error.missing:
                return None
            raise
        if not thing or self.search(self.row.gone, thing):
            return None
        self.thing = thing
        return thing

    def wait(self) -> None:
        """Waits for what the row waits for; raises PluginError when it fails or takes too long."""
        wait = self.row.wait
        if wait is None:
            return
        until = time.monotonic() + wait.seconds
        pause = 0.05
        while True:
            thing = self.find()
            if thing is None:
                raise PluginError(f"{self.name} disappeared while it was waited for")
            if self.search(wait.until, thing):
                return
            if self.search(wait.failed, thing):
                raise PluginError(f"{self.name} failed in the emulator, whose log says why")
            if time.monotonic() > until:
                raise PluginError(f"{self.name} did not become ready in {wait.seconds:.0f} s")
            time.sleep(pause)
            pause = min(pause * 1.5, 0.5)

    def outputs(self, *, lookups: bool) -> Values:
        """The computed outputs of what was read last."""
        row = self.row
        found: Values = dict(row.constants)
        if row.regional:
            found["region"] = self.region
        for name, text in row.outputs.items():
            value = self.expression(text)
            found[name] = from_api(value, None, {})
            self.state.setdefault(name, found[name])
        for name in row.names(row.computed) - found.keys():
            if self.inputs.get(name) is None:
                found[name] = self.read_back(name, None)
        for name, lookup in row.lookups.items():
            renewed = self.changed & row.names(row.volatile.get(name, ""))
            found[name] = self.run(lookup) if lookups or renewed else self.state.get(name)
        return {name: value for name, value in found.items() if value is not None}

    def read_back(self, name: str, like: Any) -> Any:
        """An input as the service tells it, in the form of ``like``, which is given back if it does not."""
        row = self.row
        if name in row.reads:
            path = row.reads[name]
            if not path:
                return like
            told = self.search(path, self.thing) if isinstance(path, str) else path(self)
            return from_api(told, like, row.rename, name)
        if not isinstance(self.thing, Mapping):
            return like
        member = match(self.thing, name, row.rename)
        if member is None:
            return like
        return from_api(self.thing[member], like, row.rename, name)

    def create(self) -> Values:
        """Makes the resource with all its settings; what was made is removed again if a later call fails."""
        row = self.row
        name = row.name.property if row.name else ""
        if name and self.inputs.get(name) is None and self.inputs.get(name + "Prefix"):
            self.inputs[name] = self.inputs[name + "Prefix"] + random_hex(8, name)
        try:
            self.thing = self.run(row.create)
            self.id = str(self.expression(row.id))
            self.state["id"] = self.id
            return self._completed()
        except Unanswered:
            # What was made is found again when the creation is repeated.
            raise
        except BaseException:
            # A row's function sets the id as soon as there is something to remove.
            if self.id:
                self._undo()
            raise

    def _completed(self) -> Values:
        row = self.row
        for step in row.steps:
            if step.create and any(self.inputs.get(name) is not None for name in step.inputs.split()):
                self.run(step.put)
        if row.tags and not self.tagged and self.tags:
            self.creating = False
            self.run(row.tags.add)
        self.creating = False
        self.wait()
        if not row.wait and self.find() is None:
            raise PluginError(f"{self.name} cannot be found after its creation")
        outputs = self.outputs(lookups=True)
        if row.name and self.inputs.get(row.name.property) is not None:
            outputs.setdefault(row.name.property, self.inputs[row.name.property])
        return outputs

    def _undo(self) -> None:
        self.creating, self.undoing = False, True
        try:
            self.delete()
        except Unanswered:
            raise
        except PluginError as error:
            raise PluginError(
                f"{self.name} ({self.id}) was half made and could not be removed: {error}"
            ) from error

    def update(self) -> Values:
        """Applies the changed inputs."""
        row = self.row
        with_step = frozenset().union(*(row.names(step.inputs) for step in row.steps))
        by_update = self.changed - with_step - row.names(row.local) - {"tags", "tagsAll"}
        if row.update and by_update:
            self.run(row.update)
        for step in row.steps:
            names = row.names(step.inputs)
            if self.changed & names:
                given = any(self.inputs.get(name) is not None for name in names)
                action = step.put if given or step.remove is None else step.remove
                self.run(action)
        if row.tags and "tagsAll" in self.changed:
            self._retag()
        self.wait()
        if not row.wait and self.find() is None:
            raise PluginError(f"{self.name} ({self.id}) is gone: refresh the state")
        return self.outputs(lookups=False)

    def _retag(self) -> None:
        tagging = self.row.tags
        if tagging is None:
            return
        old = self.state.get("tagsAll") or {}
        if set(old) - set(self.tags):
            self.run(tagging.remove)
        if self.tags:
            self.run(tagging.add)

    @property
    def stale_tags(self) -> list[str]:
        """The keys of tags that are to be removed."""
        return sorted(set(self.state.get("tagsAll") or {}) - set(self.tags))

    @property
    def stale_pairs(self) -> list[dict[str, str]]:
        """The same in the form of EC2."""
        return [{"Key": key} for key in self.stale_tags]

    def delete(self) -> None:
        """Deletes the resource; that it is gone already is no error."""
        for action in self.row.delete:
            try:
                self.run(action)
            except ApiError as error:
                if not error.missing:
                    raise
