"""`load()` under the real SDK: what Pulumi hands over arrives, and an error ends the program readably."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from datetime import date
from pathlib import Path
from typing import Any

import pulumi
import pytest
import yaml
from pulumi.runtime.stack import wait_for_rpcs

import settings
from tests.settings.conftest import SOUND, TODAY

ROOT = Path(__file__).resolve().parents[2]
STACKS = ("dev", "training", "prod", "local")


class NoMocks(pulumi.runtime.Mocks):
    """Reading settings registers nothing and asks nothing."""

    def call(self, args: pulumi.runtime.MockCallArgs) -> Any:
        raise AssertionError(f"called {args.token}")

    def new_resource(self, args: pulumi.runtime.MockResourceArgs) -> Any:
        raise AssertionError(f"registered {args.name}")


def as_pulumi_does(raw: dict[str, Any], namespace: str = "openerp") -> dict[str, str]:
    def text(value: object) -> str:
        return value if isinstance(value, str) else json.dumps(value)

    return {f"{namespace}:{key}": text(value) for key, value in raw.items()}


@pytest.fixture(autouse=True)
def _runtime(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.delenv("PULUMI_CONFIG", raising=False)
    # The SDK wants a current event loop, which another test of this worker may have taken away.
    loop = asyncio.new_event_loop()
    asyncio.set_event_loop(loop)
    pulumi.runtime.set_mocks(NoMocks(), project="openerp", stack="dev", preview=False)
    yield
    pulumi.runtime.set_all_config({})
    loop.run_until_complete(wait_for_rpcs())  # setting the mocks registers the stack
    asyncio.set_event_loop(None)
    loop.close()


def configure(raw: dict[str, Any], region: str | None = "eu-central-1") -> None:
    config = as_pulumi_does(raw)
    if region is not None:
        config["aws:region"] = region
    pulumi.runtime.set_all_config(config)


def test_what_pulumi_hands_over_arrives() -> None:
    configure({**SOUND, "protect": True, "tenants": [], "modules": ["crm"]})
    loaded = settings.load(today=TODAY)
    assert (loaded.stack, loaded.region, loaded.protect) == ("dev", "eu-central-1", True)
    assert loaded.modules == ("crm",)
    assert loaded.users.simultaneous == 8


def test_the_program_ends_readably_when_the_settings_are_wrong() -> None:
    configure({**SOUND, "users": 20, "protekt": True}, region=None)
    with pytest.raises(pulumi.RunError) as caught:
        settings.load(today=TODAY)
    text = str(caught.value)
    assert "The settings of stack 'dev' cannot be used: 3 things are wrong. Nothing was touched." in text
    assert "openerp:protekt: is not a known key. Did you mean `protect`?" in text
    assert "aws:region: is not set. For example `pulumi config set aws:region eu-central-1`" in text
    assert caught.value.__suppress_context__


def test_an_unknown_key_from_the_environment_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    pulumi.runtime.set_all_config({})
    config = {**as_pulumi_does({**SOUND, "relaese": "19.0"}), "aws:region": "eu-central-1"}
    monkeypatch.setenv("PULUMI_CONFIG", json.dumps(config))
    with pytest.raises(
        pulumi.RunError, match=r"openerp:relaese: is not a known key\. Did you mean `release`"
    ):
        settings.load(today=TODAY)


def test_keys_of_other_namespaces_are_left_alone() -> None:
    configure(SOUND)
    pulumi.runtime.set_config("pulumi:tags", "{}")
    pulumi.runtime.set_config("postgresql:sslmode", "verify-full")
    assert settings.load(today=TODAY).release == "19.0"


@pytest.mark.parametrize("stack", STACKS)
def test_the_settings_of_each_stack_are_sound(stack: str) -> None:
    config = yaml.safe_load((ROOT / f"Pulumi.{stack}.yaml").read_text())["config"]
    raw = {key.removeprefix("openerp:"): value for key, value in config.items() if key.startswith("openerp:")}
    loaded = settings.parse(as_texts(raw), stack=stack, region=config["aws:region"], today=TODAY)
    assert loaded.warnings == ()


def as_texts(raw: dict[str, Any]) -> dict[str, str]:
    return {key.removeprefix("openerp:"): value for key, value in as_pulumi_does(raw).items()}


def test_the_stacks_do_not_overlap_and_differ_by_environment() -> None:
    seen: dict[str, tuple[str, str]] = {}
    for stack in STACKS:
        config = yaml.safe_load((ROOT / f"Pulumi.{stack}.yaml").read_text())["config"]
        seen[stack] = config["openerp:environment"], config["openerp:network"]["cidr"]
    assert [environment for environment, _ in seen.values()] == [
        "development",
        "training",
        "production",
        "development",
    ]
    assert len({cidr for _, cidr in seen.values()}) == len(STACKS)


def test_production_is_refused_once_its_release_is_out_of_support() -> None:
    config = yaml.safe_load((ROOT / "Pulumi.prod.yaml").read_text())["config"]
    raw = {key.removeprefix("openerp:"): value for key, value in config.items() if key.startswith("openerp:")}
    with pytest.raises(settings.SettingsError, match="openerp:release"):
        settings.parse(raw, stack="prod", region=config["aws:region"], today=date(2029, 1, 1))
