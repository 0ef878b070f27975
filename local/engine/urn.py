"""URNs: the name of a resource, `urn:pulumi:<stack>::<project>::<type chain>::<name>`."""

from __future__ import annotations

from typing import Final

ROOT_STACK_TYPE: Final = "pulumi:pulumi:Stack"
PROVIDER_PREFIX: Final = "pulumi:providers:"


def make(stack: str, project: str, parent: str, type_: str, name: str) -> str:
    """The URN of a resource under `parent` (a URN, or "" for none); the root stack is not part of a type
    chain."""
    chain = type_
    if parent:
        parents = type_chain(parent)
        if parents != ROOT_STACK_TYPE:
            chain = f"{parents}${type_}"
    return f"urn:pulumi:{stack}::{project}::{chain}::{name}"


def _parts(urn: str) -> list[str]:
    parts = urn.split("::", 3)
    if len(parts) != 4 or not urn.startswith("urn:pulumi:"):
        raise ValueError(f"not a URN: {urn!r}")
    return parts


def is_urn(text: str) -> bool:
    """Whether `text` has the four parts of a URN."""
    return text.startswith("urn:pulumi:") and text.count("::") >= 3


def type_chain(urn: str) -> str:
    """The types from the outermost parent to the resource itself, joined by `$`."""
    return _parts(urn)[2]


def type_of(urn: str) -> str:
    """The type of the resource itself."""
    return _parts(urn)[2].rsplit("$", 1)[-1]


def name_of(urn: str) -> str:
    """The name that the program gave the resource."""
    return _parts(urn)[3]


def package_of(type_: str) -> str:
    """The package of a type or function token; of a provider type, the package it provides."""
    if type_.startswith(PROVIDER_PREFIX):
        return type_[len(PROVIDER_PREFIX) :]
    return type_.split(":", 1)[0]


def is_provider_type(type_: str) -> bool:
    """Whether resources of this type are providers."""
    return type_.startswith(PROVIDER_PREFIX)


def is_default_provider(urn: str) -> bool:
    """Whether the engine itself registered this provider."""
    name = name_of(urn)
    return is_provider_type(type_of(urn)) and (name == "default" or name.startswith("default_"))


def is_root_stack(urn: str) -> bool:
    """Whether the URN is the stack itself."""
    return type_chain(urn) == ROOT_STACK_TYPE


def provider_reference(urn: str, id_: str) -> str:
    """How a resource names its provider: `<urn>::<id>`."""
    return f"{urn}::{id_}"


def split_reference(reference: str) -> tuple[str, str]:
    """The URN and the id of a provider reference."""
    urn, separator, id_ = reference.rpartition("::")
    if not separator or not is_urn(urn):
        raise ValueError(f"not a provider reference: {reference!r}")
    return urn, id_
