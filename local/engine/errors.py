"""Errors of the engine that a person reads."""

from __future__ import annotations


class EngineError(Exception):
    """Something that a person can put right; the message says what is wrong, where, and what would be
    right."""


class StepError(EngineError):
    """An operation on one resource failed; `urn` names the resource."""

    def __init__(self, urn: str, message: str) -> None:
        super().__init__(message)
        self.urn = urn
