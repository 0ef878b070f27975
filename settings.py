"""The settings of a stack: the only module that reads `pulumi.Config`.

`load()` reads the configuration; `parse()` is the pure part behind it: any input gives `Settings` or a
`SettingsError` that lists every problem at once, each with its key, what is wrong and what would be right.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import date
from typing import Any, Final, TypeVar, get_origin

import pulumi
from pydantic import ValidationError

from core import checks, offers, regions, settings_errors, settings_rules, sizing, subnets
from core.problems import NAMESPACE, Invalid, Problem, SettingsError, full_key, nearest, printable
from core.settings_model import DEFAULT_SERVER_IMAGE, TOP_LEVEL_KEYS, ConfiguredSettings
from core.sizing import ServerRequest, Sizing, SizingRefused, SizingRequest
from core.subnets import SubnetPlan

__all__ = ["Settings", "SettingsError", "load", "parse", "refusing"]

_T = TypeVar("_T")
_MAX_DEPTH: Final = 20
_STAND_IN: Final[Mapping[str, object]] = {
    "environment": "development",
    "release": "19.0",
    "users": {"total": 1, "simultaneous": 1},
    "access": {"domain": "erp.example.com", "certificate": "private"},
}
"""Takes the place of a required key that cannot be read, so that the others are still checked."""


class Settings(ConfiguredSettings):
    """The settings of one stack, checked, and what follows from them alone."""

    stack: str
    region: str
    availability_zones: tuple[str, ...]
    subnets: SubnetPlan
    sizing: Sizing
    client_cidrs: tuple[str, ...]
    """Networks that may connect to the load balancer."""
    warnings: tuple[str, ...]

    def server_image_for(self, architecture: str) -> str:
        """Return the image that servers of an `architecture` (`arm64`, `x86_64`) start from."""
        debian = {"arm64": "arm64", "x86_64": "amd64"}[architecture]
        return self.server_image or DEFAULT_SERVER_IMAGE.format(architecture=debian)


def load(*, today: date | None = None) -> Settings:
    """Read the settings of the current stack, and log their warnings.

    Raises:
        pulumi.RunError: the settings cannot be used; the message lists every problem. Pulumi prints it
            without a traceback and ends with an error.
    """
    config = pulumi.Config(NAMESPACE)
    raw = {key: config.get(key) for key in sorted({*TOP_LEVEL_KEYS, *_configured_keys()})}
    with refusing():
        settings = parse(
            raw,
            stack=pulumi.get_stack(),
            region=pulumi.Config("aws").get("region") or "",
            today=today or date.today(),
        )
    for warning in settings.warnings:
        pulumi.log.warn(warning)
    return settings


@contextmanager
def refusing() -> Iterator[None]:
    """Turn a `SettingsError` into what Pulumi prints without a traceback."""
    try:
        yield
    except SettingsError as error:
        raise pulumi.RunError(str(error)) from None


def _configured_keys() -> Iterator[str]:
    """Yield every key of this project's namespace, known or not, so that a typo is found."""
    for key in (*pulumi.runtime.config.CONFIG.get(), *pulumi.runtime.get_config_env()):
        namespace, _, name = key.partition(":")
        if namespace == NAMESPACE:
            yield name


def parse(raw: Mapping[str, object], *, stack: str, region: str, today: date) -> Settings:
    """Turn raw configuration into settings; pure.

    Args:
        raw: top-level key without namespace -> what Pulumi hands over (texts, structures as JSON), or the
            structure itself. None and the empty text mean that the key is not set.
        stack: name of the stack, part of physical names.
        region: AWS region, from `aws:region`.
        today: the day, for the end of support and package dates.

    Raises:
        SettingsError: one or more problems; all of them are in it.
    """
    problems: list[Problem] = []
    _checked(problems, "stack name", lambda: checks.stack_name(stack))
    model, unreadable = _model(raw, problems)
    place = _checked(problems, "aws:region", lambda: _region(region))
    zones = _zones(model, place, unreadable, problems)
    context = settings_rules.Context(stack=stack, region=region, today=today)
    problems += settings_rules.problems(model, context, unreadable)
    decided = _size(model, place, zones, unreadable, problems)
    if problems or decided is None:
        raise SettingsError(tuple(dict.fromkeys(problems)), stack=printable(stack))
    return Settings.model_construct(
        **{name: getattr(model, name) for name in TOP_LEVEL_KEYS.values()},
        stack=stack,
        region=region,
        availability_zones=zones,
        subnets=subnets.plan(model.network.cidr, zones),
        sizing=decided,
        client_cidrs=offers.client_cidrs(
            model.offer, model.access.allowed_cidrs, model.network.company_cidrs
        ),
        warnings=settings_rules.warnings(model, context),
    )


def _checked(problems: list[Problem], key: str, check: Callable[[], _T]) -> _T | None:
    try:
        return check()
    except Invalid as invalid:
        problems.append(Problem(key=key, wrong=invalid.wrong, right=invalid.right))
        return None


def _region(name: str) -> regions.Region:
    if not name:
        raise Invalid("is not set", "For example `pulumi config set aws:region eu-central-1`")
    return regions.find(name)


def _model(raw: Mapping[str, object], problems: list[Problem]) -> tuple[ConfiguredSettings, set[str]]:
    """Return the settings as far as they can be read, and the names of the fields that cannot."""
    values: dict[str, object] = {}
    unreadable: set[str] = set()
    for key, value in raw.items():
        if key not in TOP_LEVEL_KEYS:
            problems.append(
                Problem(
                    key=f"{NAMESPACE}:{printable(str(key))}",
                    wrong="is not a known key",
                    right=nearest(printable(str(key)), TOP_LEVEL_KEYS),
                )
            )
        elif value is not None and value != "" and not (_is_empty_object(value) and key not in _STAND_IN):
            try:
                values[key] = _structure(key, value)
            except Invalid as invalid:
                unreadable.add(key)
                problems.append(Problem(key=full_key(key), wrong=invalid.wrong, right=invalid.right))
    try:
        return ConfiguredSettings.model_validate(_sound(values, unreadable)), {
            TOP_LEVEL_KEYS[k] for k in unreadable
        }
    except ValidationError as error:
        problems += settings_errors.problems(error, ConfiguredSettings)
        unreadable |= {str(entry["loc"][0]) for entry in error.errors(include_url=False, include_input=False)}
    return ConfiguredSettings.model_validate(_sound(values, unreadable)), {
        TOP_LEVEL_KEYS[k] for k in unreadable
    }


def _is_empty_object(value: object) -> bool:
    """Return whether `value` is `{}`, which Pulumi.yaml gives as the default of what is not set."""
    return value == {} or (isinstance(value, str) and value.strip() == "{}")


def _sound(values: Mapping[str, object], unreadable: set[str]) -> dict[str, object]:
    """Return `values` with a stand-in, or the default, for each key that cannot be read."""
    kept = {key: value for key, value in values.items() if key not in unreadable}
    return kept | {key: value for key, value in _STAND_IN.items() if key in unreadable}


def _structure(key: str, value: object) -> object:
    """Return the value of a top-level key: structures arrive from Pulumi as JSON texts."""
    annotation = ConfiguredSettings.model_fields[TOP_LEVEL_KEYS[key]].annotation
    structured = get_origin(annotation) is tuple or "{" in settings_errors.shape(annotation)
    if structured and isinstance(value, str):
        try:
            value = json.loads(value)
        except (ValueError, RecursionError):
            raise Invalid(f"is {checks.show(value)}", f"Give {settings_errors.shape(annotation)}") from None
    return _without_nulls(value, 0)


def _without_nulls(value: object, depth: int) -> Any:
    """Drop keys that hold null: in a settings file `key:` with nothing behind it means "not set"."""
    if depth > _MAX_DEPTH:
        raise Invalid("is nested too deeply", "See docs/settings.md for its shape")
    if isinstance(value, Mapping):
        return {str(k): _without_nulls(v, depth + 1) for k, v in value.items() if v is not None}
    if isinstance(value, list | tuple):
        return [_without_nulls(v, depth + 1) for v in value]
    return value


def _zones(
    model: ConfiguredSettings, place: regions.Region | None, unreadable: set[str], problems: list[Problem]
) -> tuple[str, ...]:
    if place is None or "network" in unreadable:
        return ()
    network = model.network
    key = full_key("network", "zones" if network.zones else "availabilityZones")
    return (
        _checked(problems, key, lambda: regions.zones(place, network.availability_zones, network.zones)) or ()
    )


def _size(
    model: ConfiguredSettings,
    place: regions.Region | None,
    zones: tuple[str, ...],
    unreadable: set[str],
    problems: list[Problem],
) -> Sizing | None:
    needed = {"users", "network", "database", "app_server", "web_client_server", "offer", "tenants"}
    if place is None or not zones or needed & unreadable:
        return None
    app, web, database = model.app_server, model.web_client_server, model.database
    request = SizingRequest(
        users=model.users.total,
        simultaneous=model.users.simultaneous,
        data_size_gb=database.data_size_gb,
        region=place,
        zones=zones,
        tenants=len(model.tenants) if model.offer == "saas" else None,
        app=ServerRequest(
            instance_type=app.instance_type,
            min_servers=app.min_servers,
            max_servers=app.max_servers,
            workers=app.workers,
        ),
        cron_threads=app.cron_threads,
        web_client=ServerRequest(
            instance_type=web.instance_type,
            min_servers=web.min_servers,
            max_servers=web.max_servers,
            workers=web.workers,
        ),
        instance_class=database.instance_class,
        storage_gb=database.storage_gb,
        max_storage_gb=database.max_storage_gb,
    )
    try:
        decided = sizing.size(request)
    except SizingRefused as refused:
        problems += refused.problems
        return None
    problems += settings_rules.address_problems(model.network.cidr, zones, decided)
    return decided
