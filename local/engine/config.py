"""The project (`Pulumi.yaml`) and a stack's configuration (`Pulumi.<stack>.yaml`), by the real CLI's rules.

Rules: pkg/workspace/config.go and sdk/go/common/workspace/project.go of Pulumi 3. A stack's value comes
before the project's `value` or `default`; a project key without either, of the project's own namespace, must
be set.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from local.engine.errors import EngineError


@dataclass(frozen=True)
class ConfigKey:
    """What `Pulumi.yaml` says of one configuration key."""

    name: str
    type: str | None = None
    items: Mapping[str, Any] | None = None
    default: Any = None
    value: Any = None
    secret: bool = False


@dataclass(frozen=True)
class Project:
    """What the engine needs of `Pulumi.yaml`."""

    name: str
    directory: Path
    main: Path
    description: str = ""
    config: tuple[ConfigKey, ...] = ()


@dataclass
class StackConfig:
    """The configuration of a stack as the program gets it: full keys, texts (JSON where structured)."""

    values: dict[str, str] = field(default_factory=dict)
    secret_keys: set[str] = field(default_factory=set)

    def of_package(self, package: str) -> dict[str, tuple[str, bool]]:
        """The values in a package's namespace, for its default provider: name → (text, whether secret)."""
        prefix = f"{package}:"
        return {
            key[len(prefix) :]: (value, key in self.secret_keys)
            for key, value in self.values.items()
            if key.startswith(prefix)
        }


class _Loader(getattr(yaml, "CSafeLoader", yaml.SafeLoader)):  # type: ignore[misc]  # chosen when it runs
    """A safe loader that takes plain words as the real CLI's does: `yes` and `1:20` are texts."""


_Loader.yaml_implicit_resolvers = {
    first: [entry for entry in entries if entry[0] not in ("tag:yaml.org,2002:bool", "tag:yaml.org,2002:int")]
    for first, entries in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
_Loader.add_implicit_resolver("tag:yaml.org,2002:bool", re.compile(r"(?i:true|false)$"), [*"tTfF"])
_Loader.add_implicit_resolver("tag:yaml.org,2002:int", re.compile(r"[-+]?\d+$"), [*"-+0123456789"])


def load_yaml(path: Path) -> dict[str, Any]:
    """The mapping in a YAML file, `{}` of an empty one. Raises EngineError where it is missing or wrong."""
    try:
        data = yaml.load(path.read_text(encoding="utf-8"), Loader=_Loader)  # noqa: S506  a safe one
        # What the program gets is JSON: an anchor that holds itself has no end there.
        json.dumps(data, default=str)
    except FileNotFoundError:
        raise EngineError(f"there is no {path.name} in {path.parent}") from None
    except UnicodeDecodeError as error:
        line = error.object[: error.start].count(b"\n") + 1
        raise EngineError(f"{path.name}, line {line} is not UTF-8: save the file as UTF-8") from None
    except (RecursionError, ValueError):
        raise EngineError(f"{path.name}: an anchor holds itself: write its values out") from None
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f", line {mark.line + 1}" if mark else ""
        raise EngineError(f"{path.name}{where} is not YAML: {getattr(error, 'problem', error)}") from None
    if data is None:
        return {}
    if not isinstance(data, dict):
        raise EngineError(f"{path.name} must be a mapping of keys to values")
    return data


def load_project(directory: Path) -> Project:
    """The project in a directory. Raises EngineError where its `Pulumi.yaml` is missing or wrong."""
    data = load_yaml(directory / "Pulumi.yaml")
    name = data.get("name")
    if not isinstance(name, str) or not name:
        raise EngineError("Pulumi.yaml is missing its `name`")
    runtime = data.get("runtime")
    if isinstance(runtime, dict):
        runtime = runtime.get("name")
    if runtime != "python":
        raise EngineError(f"Pulumi.yaml: the offline engine runs Python programs only, not {runtime!r}")
    keys = []
    for key, raw in (data.get("config") or {}).items():
        if not isinstance(raw, dict):
            # The short form: `key: value` is the key's default.
            keys.append(ConfigKey(name=key, default=raw))
            continue
        if raw.get("default") is not None and raw.get("value") is not None:
            raise EngineError(f"Pulumi.yaml: config {key} cannot have both a `default` and a `value`")
        if ":" in key and not key.startswith(f"{name}:") and raw.get("type") is not None:
            raise EngineError(f"Pulumi.yaml: config {key} is of another namespace and can have no `type`")
        keys.append(
            ConfigKey(
                name=key,
                type=raw.get("type"),
                items=raw.get("items"),
                default=raw.get("default"),
                value=raw.get("value"),
                secret=bool(raw.get("secret")),
            )
        )
    main = directory / (data.get("main") or ".")
    return Project(
        name=name, directory=directory, main=main, description=data.get("description", ""), config=tuple(keys)
    )


def stack_file(directory: Path, stack: str) -> Path:
    """The committed configuration file of a stack."""
    return directory / f"Pulumi.{stack}.yaml"


def refuse_unknown(directory: Path, stack: str) -> None:
    """Raise EngineError where a stack has no settings file; it names those that have one."""
    path = stack_file(directory, stack)
    if not path.exists():
        known = sorted(item.name[len("Pulumi.") : -len(".yaml")] for item in directory.glob("Pulumi.*.yaml"))
        raise EngineError(
            f"there is no stack {stack}: {path.name} does not exist; stacks here: {', '.join(known)}"
        )


def salt_in(path: Path) -> str | None:
    """The `encryptionsalt` of a stack's configuration file, if any."""
    if not path.exists():
        return None
    salt = load_yaml(path).get("encryptionsalt")
    return salt if isinstance(salt, str) else None


def plain_values(path: Path, project: str) -> dict[str, Any]:
    """The values that a stack's file gives in plain, by full key."""
    raw = load_yaml(path).get("config") or {}
    if not isinstance(raw, dict):
        return {}
    return {_full_key(str(key), project, path.name): value for key, value in raw.items()}


def load_stack(
    project: Project, stack: str, decrypt: Callable[[str], str], file: Path | None = None
) -> StackConfig:
    """The configuration of a stack with the project's defaults, checked against the project's types.

    `file` is read in place of the committed one. Raises EngineError that names the key and the file.
    """
    if file is None:
        refuse_unknown(project.directory, stack)
    path = file or stack_file(project.directory, stack)
    data = load_yaml(path)
    raw = data.get("config") or {}
    if not isinstance(raw, dict):
        raise EngineError(f"{path.name}: `config` must be a mapping of keys to values")
    config = StackConfig()
    structured: dict[str, Any] = {}
    for key, value in raw.items():
        full = _full_key(str(key), project.name, path.name)
        plain, secret = _plain(value, full, path.name, decrypt)
        structured[full] = plain
        config.values[full] = _text(plain)
        if secret:
            config.secret_keys.add(full)
    _apply_project(project, path.name, config, structured)
    return config


def _full_key(key: str, project: str, where: str) -> str:
    namespace, separator, name = key.partition(":")
    if not separator:
        return f"{project}:{key}"
    if name.startswith("config:"):
        name = name[len("config:") :]
    if not namespace or not name or ":" in name:
        raise EngineError(f"{where}: {key!r} is no configuration key: expected <namespace>:<name>")
    return f"{namespace}:{name}"


def _plain(value: Any, key: str, where: str, decrypt: Callable[[str], str]) -> tuple[Any, bool]:
    """The value with `secure:` texts decrypted, and whether any was."""
    if isinstance(value, dict):
        if set(value) == {"secure"}:
            if not isinstance(value["secure"], str):
                raise EngineError(f"{where}: {key}: `secure` must hold an encrypted text")
            try:
                return decrypt(value["secure"]), True
            except EngineError:
                raise EngineError(
                    f"{where}: {key} is encrypted with another key than this machine has: "
                    "the passphrase of its `encryptionsalt` is needed"
                ) from None
        pairs = {str(name): _plain(item, f"{key}.{name}", where, decrypt) for name, item in value.items()}
        return {name: item for name, (item, _) in pairs.items()}, any(secret for _, secret in pairs.values())
    if isinstance(value, list):
        items = [_plain(item, f"{key}[{index}]", where, decrypt) for index, item in enumerate(value)]
        return [item for item, _ in items], any(secret for _, secret in items)
    if isinstance(value, float) and value.is_integer() and abs(value) < 1e15:
        # As with the real CLI, an unquoted 19.0 has lost its zero.
        return int(value), False
    return value, False


def _text(value: Any) -> str:
    """A configuration value as the program gets it."""
    if isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "true" if value else "false"
    if value is None:
        return ""
    if isinstance(value, int | float):
        return str(value)
    return json.dumps(value, separators=(",", ":"), sort_keys=True, ensure_ascii=False, default=str)


def _apply_project(project: Project, where: str, config: StackConfig, structured: Mapping[str, Any]) -> None:
    missing = []
    for key in sorted(project.config, key=lambda item: item.name):
        full = _full_key(key.name, project.name, "Pulumi.yaml")
        given = full in config.values
        fallback = key.default if key.default is not None else key.value
        if not given:
            if fallback is not None:
                config.values[full] = _text(fallback)
            elif full.startswith(f"{project.name}:"):
                missing.append(full)
            continue
        if key.secret and full not in config.secret_keys:
            raise EngineError(
                f"{where}: {full} is secret and must be encrypted: pulumi config set --secret {full}"
            )
        if key.type and not _fits(key.type, key.items, structured[full]):
            raise EngineError(f"{where}: {full} must be of type {_type_name(key.type, key.items)}")
    if missing:
        noun = "value" if len(missing) == 1 else "values"
        raise EngineError(f"{where}: missing configuration {noun}: {', '.join(missing)}")


def _fits(type_: str, items: Mapping[str, Any] | None, value: Any) -> bool:
    if type_ == "string":
        return not isinstance(value, dict | list) and value is not None
    if type_ == "integer":
        if isinstance(value, bool):
            return False
        if isinstance(value, str):
            return value.lstrip("+-").isdigit()
        return isinstance(value, int) or (isinstance(value, float) and value.is_integer())
    if type_ == "boolean":
        return isinstance(value, bool) or value in ("true", "false")
    if type_ == "object":
        return isinstance(value, dict)
    if type_ == "array":
        item = items or {}
        return isinstance(value, list) and all(
            _fits(str(item.get("type")), item.get("items"), each) for each in value
        )
    return False


def _type_name(type_: str, items: Mapping[str, Any] | None) -> str:
    if type_ == "array" and items:
        return f"array<{_type_name(str(items.get('type')), items.get('items'))}>"
    return type_
