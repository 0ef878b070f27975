"""What differs between two property maps of Pulumi, said so that it can be shown to anyone.

The maps are those of `pulumi preview --json`: plain JSON in which a secret is the string `[secret]` or an
object with Pulumi's signature key, and a value that is not known yet is one of a few fixed UUIDs.
"""

from __future__ import annotations

import base64
import binascii
import difflib
import gzip
import json
import re
import zlib
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, TypeGuard

SECRET: Final = "[secret]"  # noqa: S105  (the mask, not a secret)
UNKNOWN: Final = "known after apply"

SIGNATURE_KEY: Final = "4dabf18193072939515e22adb298388d"
"""Key by which Pulumi marks special values (pulumi/sdk/go/common/resource/sig)."""
_SECRET_SIGNATURE: Final = "1b47061264138c4ac30d75fd1eb44270"  # noqa: S105  (a fixed marker)
_OUTPUT_SIGNATURE: Final = "d0e6a833031e9bbcd3f4e8bde6ca49a4"
_ASSET_SIGNATURES: Final = ("c44067f5952c0a294b673a41bacd8c17", "0def7320c3a5731c473e5ecbe6d01bc7")

UNKNOWN_SENTINELS: Final[frozenset[str]] = frozenset(
    {
        "1c4a061d-8072-4f0a-a4cb-0ff528b18fe7",
        "3eeb2bf0-c639-47a8-9e75-3b44932eb421",
        "04da6b54-80e4-46f7-96ec-b56ff0331ba9",
        "6a19a0b0-7e62-4c92-b797-7f8e31da9cc2",
        "030794c1-ac77-496b-92df-f27374a8bd58",
        "e48ece36-62e2-4504-bad9-02848725956a",
        "dd056dcd-154b-4c76-9bd3-c8f88648b5ff",
    }
)
"""How an unknown boolean, number, string, list, asset, archive or object is written
(pulumi/sdk/go/common/resource/plugin/rpc.go)."""

ALWAYS_SECRET: Final[frozenset[str]] = frozenset(
    {
        "authtoken",
        "cleartextpassword",
        "masterpassword",
        "masteruserpassword",
        "passphrase",
        "password",
        "passwordwo",
        "privatekey",
        "privatekeyopenssh",
        "privatekeypem",
        "privatekeypempkcs8",
        "secretbinary",
        "secretkey",
        "secretstring",
        "secretstringwo",
    }
)
"""Property names, in lower case without underscores, masked even where a program forgot to mark them."""

_PRIVATE_KEY: Final = re.compile(r"-----BEGIN [A-Z ]*PRIVATE KEY-----")
_HIDDEN: Final = frozenset({"__defaults", "__internal", "__meta", "__provider"})
_LONGEST_VALUE: Final = 2_000
_LONGEST_TEXT: Final = 120
"""Lines of one text's difference that are shown."""


@dataclass(frozen=True, kw_only=True)
class PropertyChange:
    """One changed property. `old` and `new` are ready for people; None means absent.

    `lines` holds a unified difference where both sides are texts of several lines.
    """

    path: str
    old: str | None
    new: str | None
    lines: tuple[str, ...] = ()


def changes(
    old: Mapping[str, object], new: Mapping[str, object], *, secret_names: Collection[str] = ()
) -> list[PropertyChange]:
    """Return the changed properties, ordered by path; secrets are masked, unknowns said in words.

    `secret_names`: top-level properties to mask beside those that are marked secret themselves
    (Pulumi's additionalSecretOutputs).
    """
    hidden = {_plain(name) for name in secret_names} | ALWAYS_SECRET
    return list(_walk((), old, new, hidden))


def show(value: object, *, limit: int = _LONGEST_VALUE) -> str:
    """Return `value` on one line, masked, at most about `limit` characters."""
    text = _mask(value, ALWAYS_SECRET)
    shown = (
        text if isinstance(text, str) and text in (SECRET, UNKNOWN) else json.dumps(text, ensure_ascii=False)
    )
    return shown if len(shown) <= limit else f"{shown[:limit]}… ({len(shown):,} characters)"


def _plain(name: str) -> str:
    return name.replace("_", "").lower()


def _is_secret(value: object) -> bool:
    if isinstance(value, str):
        return value == SECRET or _PRIVATE_KEY.search(value) is not None
    if isinstance(value, Mapping):
        if value.get(SIGNATURE_KEY) == _SECRET_SIGNATURE:
            return True
        return value.get(SIGNATURE_KEY) == _OUTPUT_SIGNATURE and bool(value.get("secret"))
    return False


def _is_unknown(value: object) -> bool:
    if isinstance(value, Mapping):
        return value.get(SIGNATURE_KEY) == _OUTPUT_SIGNATURE and "value" not in value
    return isinstance(value, str) and any(sentinel in value for sentinel in UNKNOWN_SENTINELS)


def _mask(value: object, hidden: Collection[str]) -> object:
    if _is_secret(value):
        return SECRET
    if _is_unknown(value):
        return UNKNOWN
    if isinstance(value, Mapping):
        if value.get(SIGNATURE_KEY) in _ASSET_SIGNATURES:
            return {
                "file": value.get("path") or value.get("uri") or "in the program",
                "hash": value.get("hash"),
            }
        return {
            str(key): SECRET if _plain(str(key)) in hidden and item is not None else _mask(item, hidden)
            for key, item in value.items()
            if key not in _HIDDEN
        }
    if isinstance(value, str):
        return value
    if isinstance(value, Sequence):
        return [_mask(item, hidden) for item in value]
    return value


def _walk(
    path: tuple[str, ...], old: object, new: object, hidden: Collection[str]
) -> Iterator[PropertyChange]:
    """Yield the differences beneath `path`; the parents of a difference are not repeated."""
    if old == new:
        return
    named_secret = bool(path) and _plain(path[-1].lstrip(".")) in hidden
    if named_secret or _is_secret(old) or _is_secret(new):
        yield PropertyChange(
            path="".join(path).lstrip("."),
            old=None if old is None else SECRET,
            new=None if new is None else SECRET,
        )
    elif isinstance(old, Mapping) and isinstance(new, Mapping) and SIGNATURE_KEY not in (*old, *new):
        for key in sorted({*map(str, old), *map(str, new)} - _HIDDEN):
            step = (
                f".{key}"
                if re.fullmatch(r"[A-Za-z_][\w-]*", key)
                else f"[{json.dumps(key, ensure_ascii=False)}]"
            )
            if _plain(key) in hidden and old.get(key) != new.get(key):
                step = f".{key}"
            yield from _walk((*path, step), old.get(key), new.get(key), hidden)
    elif _is_list(old) and _is_list(new) and len(old) == len(new):
        for index, (before, after) in enumerate(zip(old, new, strict=True)):
            yield from _walk((*path, f"[{index}]"), before, after, hidden)
    else:
        yield _leaf("".join(path).lstrip("."), _mask(old, hidden), _mask(new, hidden))


def _is_list(value: object) -> TypeGuard[Sequence[object]]:
    return isinstance(value, Sequence) and not isinstance(value, str | bytes)


def _leaf(path: str, old: object, new: object) -> PropertyChange:
    before, after = _text(old), _text(new)
    if any(text is not None and _PRIVATE_KEY.search(text) for text in (before, after)):
        return PropertyChange(
            path=path, old=None if old is None else SECRET, new=None if new is None else SECRET
        )
    lines: tuple[str, ...] = ()
    if before is not None and after is not None:
        lines = _text_difference(before, after)
    return PropertyChange(
        path=path,
        old=None if old is None else show(old),
        new=None if new is None else show(new),
        lines=lines,
    )


def _text_difference(before: str, after: str) -> tuple[str, ...]:
    found = [
        line
        for line in difflib.unified_diff(before.splitlines(), after.splitlines(), lineterm="", n=2)
        if not line.startswith(("---", "+++"))
    ]
    left_out = len(found) - _LONGEST_TEXT
    if left_out > 0:
        found = [*found[:_LONGEST_TEXT], f"… and {left_out} more lines"]
    return tuple(found)


def _text(value: object) -> str | None:
    """Return what a person would want to compare by lines: a text, a policy in JSON, or user data."""
    if not isinstance(value, str) or value in (SECRET, UNKNOWN):
        return None
    if "\n" in value:
        return value
    if value[:1] in ("{", "["):
        try:
            return json.dumps(_mask(json.loads(value), ALWAYS_SECRET), indent=2, ensure_ascii=False)
        except ValueError:
            return None
    return _decoded(value)


def _decoded(value: str) -> str | None:
    """Return the text in base64, compressed or not: the user data of a server; None for anything else."""
    if len(value) < 64:
        return None
    try:
        raw = base64.b64decode(value, validate=True)
        if raw[:2] == b"\x1f\x8b":
            raw = gzip.decompress(raw)
        text = raw.decode()
    except (binascii.Error, UnicodeDecodeError, OSError, EOFError, zlib.error):
        return None
    return text if "\n" in text and "\x00" not in text else None
