"""Who depends on whom in a state, and in what order that lets things be deleted.

Rules: pkg/resource/graph/dependency_graph.go and ScheduleDeletes in pkg/resource/deploy/step_generator.go.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence

from local.engine.state import Resource


class Graph:
    """The dependencies among the resources of a state, which come in an order where needs come first."""

    def __init__(self, resources: Sequence[Resource]) -> None:
        self._resources = list(resources)
        self._needs: dict[Resource, set[Resource]] = {}
        self._latest: dict[str, Resource] = {}
        for resource in resources:
            # A URN can occur twice: a replaced resource that is still to be deleted has that of its
            # successor. What refers to it by name means the one that is not marked for deletion.
            self._needs[resource] = self._find(resource.references())
            if not (resource.delete and resource.urn in self._latest):
                self._latest[resource.urn] = resource

    def _find(self, names: Iterable[str]) -> set[Resource]:
        return {self._latest[urn] for urn in names if urn in self._latest}

    def needs(self, resource: Resource) -> set[Resource]:
        """What the resource depends on directly, its parent included."""
        return self._needs.get(resource, set())

    def depending_on(self, root: Resource, ignored: Collection[str] = ()) -> list[Resource]:
        """All that depends on `root` by its data, directly or not, in dependency order; a child alone does
        not.

        Resources with a URN in `ignored` are passed over.
        """
        found: list[Resource] = []
        reached = {root}
        for resource in self._resources:
            if resource is root or resource.urn in ignored:
                continue
            needs = self._needs[resource]
            parent = self._latest.get(resource.parent)
            if parent in needs and resource.parent not in resource.dependencies:
                needs = needs - {parent}
            if needs & reached:
                reached.add(resource)
                found.append(resource)
        return found


def deletion_order(condemned: Iterable[Resource], everything: Sequence[Resource]) -> list[list[Resource]]:
    """The condemned resources in groups: each group can go at once when all before it are gone."""
    graph = Graph(everything)
    left = dict.fromkeys(condemned)
    groups: list[list[Resource]] = []
    while left:
        group = [resource for resource in left if not any(need in left for need in graph.needs(resource))]
        if not group:
            # Only a damaged state has a circle; take the rest at once rather than loop for ever.
            group = list(left)
        for resource in group:
            del left[resource]
        groups.append(group)
    groups.reverse()
    return groups
