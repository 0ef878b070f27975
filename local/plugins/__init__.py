"""Provider plugins for the emulator: `aws`, `tls` and `postgresql`, in the engine's process or by gRPC."""

from __future__ import annotations

from functools import cache
from importlib import import_module
from typing import TYPE_CHECKING, Final, cast

if TYPE_CHECKING:
    from collections.abc import Callable

    from pulumi.provider.experimental.provider import Provider

PACKAGES: Final = ("aws", "postgresql", "tls")
"""The packages that have a plugin here."""


@cache
def _factory(package: str) -> Callable[[], Provider]:
    """What makes plugins of a package, looked up once: a submodule of the same name would hide it later."""
    return cast("Callable[[], Provider]", import_module(f"local.plugins.{package}").provider)


def load(package: str) -> Provider:
    """A new plugin of `package`, not configured yet. Raises LookupError for a package that has none here."""
    if package not in PACKAGES:
        raise LookupError(
            f"there is no local plugin for the package {package!r} (there are: {', '.join(PACKAGES)}); "
            "resources of it need the Pulumi CLI and a real account"
        )
    return _factory(package)()


def warm_up() -> None:
    """Import every plugin and what it decides by, while there is nothing else to do."""
    for package in PACKAGES:
        _factory(package)()
    import_module("local.plugins.aws.provider").rows()
