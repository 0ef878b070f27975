"""Real keys and certificates for graph tests: what the tls plugin would make from the recorded inputs."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from local.plugins.tls.kinds import KINDS


def _answer(token: str) -> Callable[[str, dict[str, Any]], Mapping[str, Any]]:
    kind = KINDS[token]

    def make(_name: str, inputs: dict[str, Any]) -> Mapping[str, Any]:
        _, state = kind.create(None, kind.with_defaults(inputs))
        return {key: value for key, value in state.items() if key in kind.computed}

    return make


TLS_ANSWERS = {token: _answer(token) for token in KINDS}
"""For the argument `outputs` of `deploy`."""
