"""Pulumi.yaml: every key is declared, with a type, a description and the program's own default."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any, get_origin

import pytest
import yaml
from pydantic.fields import FieldInfo

from core import release, sizing
from core.problems import NAMESPACE
from core.settings_errors import plain
from core.settings_model import TOP_LEVEL_KEYS, ConfiguredSettings
from core.settings_page import keys, settings_page
from settings import parse
from tests.settings.conftest import SOUND, TODAY

ROOT = Path(__file__).resolve().parents[2]
PROJECT: dict[str, Any] = yaml.safe_load((ROOT / "Pulumi.yaml").read_text())
STACKS = ("dev", "training", "prod", "local")


def pulumi_type(field: FieldInfo) -> str:
    kind = plain(field.annotation)
    if get_origin(kind) is tuple:
        return "array"
    return {bool: "boolean", int: "integer"}.get(
        kind, "object" if hasattr(kind, "model_fields") else "string"
    )


def test_the_project_is_called_what_the_namespace_is() -> None:
    assert PROJECT["name"] == NAMESPACE
    assert PROJECT["runtime"]["options"]["virtualenv"] == ".venv"


def test_every_key_is_declared_with_its_type_and_description() -> None:
    declared = PROJECT["config"]
    assert list(declared) == list(TOP_LEVEL_KEYS)
    for key, name in TOP_LEVEL_KEYS.items():
        field = ConfiguredSettings.model_fields[name]
        assert declared[key]["type"] == pulumi_type(field), key
        assert declared[key]["description"], key
        assert declared[key]["secret"] is False, key
        assert "default" in declared[key], "or Pulumi stops before settings.py can explain"
        assert not field.is_required() or not declared[key]["default"], key


def test_a_description_names_every_part_of_its_object() -> None:
    for key in keys():
        top, _, rest = key.removeprefix("openerp:").partition(".")
        part = rest.split(".")[-1]
        if rest.count(".") == 0 and part:
            assert re.search(rf"\b{part}\b", PROJECT["config"][top.removesuffix("[]")]["description"]), key


def test_the_projects_defaults_are_the_programs_own() -> None:
    defaults = {key: entry["default"] for key, entry in PROJECT["config"].items()}
    with_defaults = parse({**defaults, **SOUND}, stack="dev", region="eu-central-1", today=TODAY)
    assert with_defaults == parse(SOUND, stack="dev", region="eu-central-1", today=TODAY)


@pytest.mark.parametrize("stack", STACKS)
def test_each_stack_sets_only_known_keys_and_all_required_ones(stack: str) -> None:
    config = yaml.safe_load((ROOT / f"Pulumi.{stack}.yaml").read_text())["config"]
    own = {key.removeprefix("openerp:") for key in config if key.startswith("openerp:")}
    required = {
        key for key, name in TOP_LEVEL_KEYS.items() if ConfiguredSettings.model_fields[name].is_required()
    }
    assert required <= own <= set(TOP_LEVEL_KEYS)


def test_the_page_of_settings_is_the_one_written_from_the_code() -> None:
    """To write it: `python -c 'from core.settings_page import *; print(settings_page(), end="")'`."""
    assert (ROOT / "docs" / "settings.md").read_text() == settings_page()


def test_every_key_is_on_the_page_of_settings() -> None:
    page = (ROOT / "docs" / "settings.md").read_text()
    assert len(set(keys())) > 80
    for key in keys():
        assert f"| `{key}` |" in page, key


def test_each_number_on_the_page_of_rules_is_the_programs_own() -> None:
    ends = {a: release.support_end_text(release.parse(f"{a}.0")) for a in (17, 18, 19)}
    page = (ROOT / "docs" / "rules.md").read_text()
    for said in (
        f"simultaneous users / {sizing.USERS_FOR_EACH_WORKER}, at least {sizing.MIN_WORKERS}",
        f"+ {sizing.GEVENT_MIB} (websocket) + {sizing.SYSTEM_MIB} (system) MiB",
        f"soft {sizing.SOFT_LIMIT_MIB[0]} to {sizing.SOFT_LIMIT_MIB[1]} MiB, "
        f"hard {sizing.HARD_OVER_SOFT} x soft",
        f"as many as {sizing.PREFERRED_WORKERS} workers each",
        f"{sizing.TENANT_MIB} MiB for each tenant's instance",
        f"{sizing.FIRST_TENANTS}, {sizing.tenant_room(11)}, {sizing.tenant_room(21)} …",
        f"x {sizing.DB_MAXCONN} + {sizing.DB_MAXCONN_GEVENT} (websocket)",
        f"and {sizing.CONNECTION_RESERVE} in reserve",
        f"(memory - {sizing.DATABASE_KEPT_MIB} MiB) / {sizing.BYTES_FOR_EACH_CONNECTION} bytes, "
        f"at most {sizing.MAX_CONNECTIONS}",
        f"busy workers / {sizing.WORKERS_FOR_EACH_DATABASE_VCPU}, at least 2",
        f"at least {sizing.MIN_STORAGE_GIB} GiB",
        f"burstable types below {sizing.SUSTAINED_FROM} simultaneous users",
        *(f"{end[5:]}/{end[:4]} for {a}.0" for a, end in ends.items()),
    ):
        assert said in page, said
    assert sizing.MEMORY_FOR_DATA == 1 / 8


@pytest.mark.skipif(shutil.which("pulumi") is None, reason="no Pulumi CLI on PATH")
@pytest.mark.parametrize("stack", STACKS)
def test_the_real_cli_accepts_the_project_and_its_stacks(stack: str, tmp_path: Path) -> None:
    """Proves the schema and the types that the CLI checks, nothing about resources."""
    work = tmp_path / "work"
    work.mkdir()
    (tmp_path / "state").mkdir()
    for name in ("Pulumi.yaml", f"Pulumi.{stack}.yaml"):
        shutil.copy(ROOT / name, work)
    environment = {
        **os.environ,
        "PULUMI_BACKEND_URL": f"file://{tmp_path / 'state'}",
        "PULUMI_CONFIG_PASSPHRASE": "x",
        "PULUMI_SKIP_UPDATE_CHECK": "true",
        "PULUMI_HOME": str(tmp_path / "home"),
    }

    def pulumi(*arguments: str) -> str:
        done = subprocess.run(
            ["pulumi", *arguments, "--non-interactive"],
            cwd=work,
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    pulumi("stack", "init", stack)
    config = json.loads(pulumi("config", "--json", "--stack", stack))
    assert {key for key in config if key.startswith("openerp:")} == {
        f"openerp:{key}" for key in TOP_LEVEL_KEYS
    }
    raw = {key.removeprefix("openerp:"): entry["value"] for key, entry in config.items()}
    region = raw.pop("aws:region")
    assert parse(raw, stack=stack, region=region, today=TODAY).region == region
