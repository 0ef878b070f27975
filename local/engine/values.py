"""Property values: one plain form, and the ways in and out of it.

Inside the engine a value is `None`, `bool`, `int`, `float`, `str`, a list or a dict of these, a `Secret`
around one, or `UNKNOWN`. Assets and resource references stay dicts that carry Pulumi's signature key. The
other forms are the SDK's protobuf structs, a plugin's `PropertyValue`, and the JSON of a checkpoint (with an
encrypter for secrets).

Signatures: sdk/go/common/resource/properties.go and sdk/go/common/resource/plugin/rpc.go of Pulumi 3.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from google.protobuf import struct_pb2

from local.engine.errors import EngineError

SIGNATURE: Final = "4dabf18193072939515e22adb298388d"
SECRET: Final = "1b47061264138c4ac30d75fd1eb44270"  # noqa: S105  a signature, not a secret
ASSET: Final = "c44067f5952c0a294b673a41bacd8c17"
ARCHIVE: Final = "0def7320c3a5731c473e5ecbe6d01bc7"
RESOURCE: Final = "5cf8f73096256a8f31e491e813e4eb8e"
OUTPUT: Final = "d0e6a833031e9bbcd3f4e8bde6ca49a4"
FLOAT: Final = "8ad145fe-0d11-4827-bfd7-1abcbf086f5c"

UNKNOWN_TEXT: Final = "04da6b54-80e4-46f7-96ec-b56ff0331ba9"
UNKNOWN_TEXTS: Final = frozenset(
    {
        UNKNOWN_TEXT,
        "1c4a061d-8072-4f0a-a4cb-0ff528b18fe7",
        "3eeb2bf0-c639-47a8-9e75-3b44932eb421",
        "6a19a0b0-7e62-4c92-b797-7f8e31da9cc2",
        "030794c1-ac77-496b-92df-f27374a8bd58",
        "e48ece36-62e2-4504-bad9-02848725956a",
        "dd056dcd-154b-4c76-9bd3-c8f88648b5ff",
    }
)

Value = Any
"""A value in the plain form (recursive, so `Any` to the type checker)."""
Properties = dict[str, Value]


class _Unknown:
    def __repr__(self) -> str:
        return "UNKNOWN"


UNKNOWN: Final = _Unknown()
"""A value that this preview cannot know yet."""


@dataclass(frozen=True, slots=True, eq=False)
class Secret:
    """A value that is encrypted in state and masked in output."""

    element: Value

    def __repr__(self) -> str:
        return "Secret(…)"


def number(value: float) -> int | float:
    """A whole number as `int`, so that JSON says 5 and not 5.0; everything else as it is."""
    if isinstance(value, float) and value.is_integer() and abs(value) < 2**53:
        return int(value)
    return value


def equal(left: Value, right: Value) -> bool:
    """Deep equality: secrets equal secrets of equal content only, `True` is not 1, unknown equals unknown."""
    if isinstance(left, Secret) or isinstance(right, Secret):
        return isinstance(left, Secret) and isinstance(right, Secret) and equal(left.element, right.element)
    if isinstance(left, dict) and isinstance(right, dict):
        return left.keys() == right.keys() and all(equal(left[key], right[key]) for key in left)
    if isinstance(left, list) and isinstance(right, list):
        return len(left) == len(right) and all(map(equal, left, right))
    if isinstance(left, bool) or isinstance(right, bool):
        return left is right
    return bool(left == right)


def reveal(value: Value) -> Value:
    """The value without any secret marks."""
    if isinstance(value, Secret):
        return reveal(value.element)
    if isinstance(value, dict):
        return {key: reveal(item) for key, item in value.items()}
    if isinstance(value, list):
        return [reveal(item) for item in value]
    return value


def mask(value: Value) -> Value:
    """The value with every secret replaced by the text `[secret]`, as the real CLI shows it."""
    if isinstance(value, Secret):
        return "[secret]"
    if isinstance(value, dict):
        return {key: mask(item) for key, item in value.items()}
    if isinstance(value, list):
        return [mask(item) for item in value]
    return value


def _any(value: Value, test: Callable[[Value], bool]) -> bool:
    if test(value):
        return True
    if isinstance(value, Secret):
        return _any(value.element, test)
    if isinstance(value, dict):
        return any(_any(item, test) for item in value.values())
    if isinstance(value, list):
        return any(_any(item, test) for item in value)
    return False


def has_unknown(value: Value) -> bool:
    """Whether any part of the value is unknown."""
    return _any(value, lambda item: item is UNKNOWN)


def has_secret(value: Value) -> bool:
    """Whether any part of the value is secret."""
    return _any(value, lambda item: isinstance(item, Secret))


def annotate_secrets(outputs: Properties, inputs: Properties) -> Properties:
    """Outputs with the secret marks that `inputs` carry under the same keys (for plugins that accept no
    secrets)."""
    result = dict(outputs)
    for key, given in inputs.items():
        if key not in result:
            continue
        value = result[key]
        if isinstance(value, dict) and isinstance(given, dict):
            result[key] = annotate_secrets(value, given)
        elif not isinstance(value, Secret) and has_secret(given):
            result[key] = Secret(value)
    return result


# Protobuf structs


def from_struct(struct: struct_pb2.Struct, directory: Path | None = None) -> Properties:
    """The properties of a protobuf struct; file assets are hashed relative to `directory`."""
    return {key: from_wire(item, directory) for key, item in struct.fields.items()}


def from_wire(value: struct_pb2.Value, directory: Path | None = None) -> Value:
    """The value of a protobuf value."""
    kind = value.WhichOneof("kind")
    if kind == "string_value":
        text = value.string_value
        return UNKNOWN if text in UNKNOWN_TEXTS else text
    if kind == "struct_value":
        fields = value.struct_value.fields
        if SIGNATURE in fields:
            return _from_signed(fields, directory)
        return {key: from_wire(item, directory) for key, item in fields.items()}
    if kind == "list_value":
        return [from_wire(item, directory) for item in value.list_value.values]
    if kind == "number_value":
        return number(value.number_value)
    if kind == "bool_value":
        return value.bool_value
    return None


def _from_signed(fields: Mapping[str, struct_pb2.Value], directory: Path | None) -> Value:
    signature = fields[SIGNATURE].string_value
    if signature == SECRET:
        return Secret(from_wire(fields["value"], directory))
    if signature == OUTPUT:
        inner = from_wire(fields["value"], directory) if "value" in fields else UNKNOWN
        return Secret(inner) if "secret" in fields and fields["secret"].bool_value else inner
    plain = {key: from_wire(item, directory) for key, item in fields.items()}
    if signature == ASSET:
        return hash_asset(plain, directory)
    if signature == ARCHIVE:
        raise EngineError(
            "the offline engine does not support archives: use single file or text assets, or the Pulumi CLI"
        )
    if signature == RESOURCE:
        plain.setdefault("packageVersion", "")
    return plain


def hash_asset(asset: Properties, directory: Path | None) -> Properties:
    """The asset with the SHA-256 of its content, which is how a change of it is seen."""
    if asset.get("hash") or directory is None:
        return asset
    if "text" in asset:
        content = str(asset["text"]).encode()
    elif "path" in asset:
        path = directory / str(asset["path"])
        try:
            content = path.read_bytes()
        except OSError as error:
            raise EngineError(f"cannot read the file of an asset: {path}: {error.strerror}") from None
    else:
        raise EngineError("the offline engine does not support assets from a URL: use a file or text")
    return {**asset, "hash": hashlib.sha256(content).hexdigest()}


def to_struct(properties: Mapping[str, Value]) -> struct_pb2.Struct:
    """A protobuf struct of the properties."""
    struct = struct_pb2.Struct()
    for key, item in properties.items():
        _fill(struct.fields[key], item)
    return struct


def to_wire(value: Value) -> struct_pb2.Value:
    """A protobuf value of the value."""
    wire = struct_pb2.Value()
    _fill(wire, value)
    return wire


def _fill(wire: struct_pb2.Value, value: Value) -> None:
    if value is None:
        wire.null_value = struct_pb2.NULL_VALUE
    elif value is UNKNOWN:
        wire.string_value = UNKNOWN_TEXT
    elif isinstance(value, bool):
        wire.bool_value = value
    elif isinstance(value, str):
        wire.string_value = value
    elif isinstance(value, int | float):
        wire.number_value = value
    elif isinstance(value, dict):
        wire.struct_value.SetInParent()
        for key, item in value.items():
            _fill(wire.struct_value.fields[key], item)
    elif isinstance(value, list):
        wire.list_value.SetInParent()
        for item in value:
            _fill(wire.list_value.values.add(), item)
    elif isinstance(value, Secret):
        wire.struct_value.fields[SIGNATURE].string_value = SECRET
        _fill(wire.struct_value.fields["value"], value.element)
    else:
        raise TypeError(f"not a property value: {type(value).__name__}")


# A checkpoint's JSON

Encrypt = Callable[[str], str]
Decrypt = Callable[[str], str]


def to_json(value: Value, encrypt: Encrypt | None) -> Any:
    """The checkpoint form of a value; `encrypt` turns the JSON of a secret into its ciphertext.

    Without `encrypt` secrets are written in plain text (`pulumi stack export --show-secrets` does the same).
    """
    if value is UNKNOWN:
        return UNKNOWN_TEXT
    if isinstance(value, Secret):
        plaintext = json.dumps(
            to_json(reveal(value.element), None), separators=(",", ":"), sort_keys=True, ensure_ascii=False
        )
        if encrypt is None:
            return {SIGNATURE: SECRET, "plaintext": plaintext}
        return {SIGNATURE: SECRET, "ciphertext": encrypt(plaintext)}
    if isinstance(value, dict):
        return {key: to_json(value[key], encrypt) for key in sorted(value)}
    if isinstance(value, list):
        return [to_json(item, encrypt) for item in value]
    if isinstance(value, float):
        if not math.isfinite(value):
            return {SIGNATURE: FLOAT, "value": _float_bits(value)}
        return number(value)
    return value


def _float_bits(value: float) -> str:
    import struct

    return struct.pack(">d", value).hex()


def from_json(value: Any, decrypt: Decrypt) -> Value:
    """The value of a checkpoint's JSON."""
    if isinstance(value, str):
        return UNKNOWN if value in UNKNOWN_TEXTS else value
    if isinstance(value, dict):
        signature = value.get(SIGNATURE)
        if signature == SECRET:
            if "plaintext" in value:
                return Secret(from_json(json.loads(value["plaintext"]), decrypt))
            return Secret(from_json(json.loads(decrypt(value["ciphertext"])), decrypt))
        if signature == FLOAT:
            import struct

            return float(struct.unpack(">d", bytes.fromhex(value["value"]))[0])
        return {key: from_json(item, decrypt) for key, item in value.items()}
    if isinstance(value, list):
        return [from_json(item, decrypt) for item in value]
    if isinstance(value, float):
        return number(value)
    return value
