"""The four stacks as they are in the repository, each run once a process: loading them is what takes time."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.components.conftest import Graph
from tests.deployment.program import STACKS, run_stack

GraphOf = Callable[[str], Graph]


@pytest.fixture(scope="session")
def graph_of() -> GraphOf:
    """`graph_of("prod")` is what `pulumi up --stack prod` registers when the stack is made."""
    made: dict[str, Graph] = {}

    def graph(stack: str) -> Graph:
        if stack not in made:
            made[stack] = run_stack(stack)
        return made[stack]

    return graph


@pytest.fixture(params=STACKS)
def stack(request: pytest.FixtureRequest) -> str:
    """Each of the four stacks in turn."""
    return str(request.param)


@pytest.fixture
def graph(graph_of: GraphOf, stack: str) -> Graph:
    """The graph of that stack."""
    return graph_of(stack)
