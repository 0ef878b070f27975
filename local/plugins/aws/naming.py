"""Automatic physical names, as pulumi-aws gives them: ``<logical name>-<7 hex digits>``."""

from __future__ import annotations

import hashlib
import secrets

from local.plugins.aws.row import Name

DIGITS = 7


def suffix(seed: bytes, urn: str) -> str:
    """Seven hex digits, the same for the same seed of the engine and URN; random without a seed."""
    if not seed:
        return secrets.token_hex(4)[:DIGITS]
    return hashlib.sha256(seed + urn.encode()).hexdigest()[:DIGITS]


def automatic_name(name: Name, logical: str, seed: bytes, urn: str) -> str:
    """The physical name; the logical name is cut so that the whole is not longer than the service takes."""
    room = name.longest - len(name.prefix) - DIGITS - 1
    stem = logical[:room].rstrip("-")
    text = f"{name.prefix}{stem}-{suffix(seed, urn)}"
    return text.lower() if name.lower else text
