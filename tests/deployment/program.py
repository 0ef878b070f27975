"""The real `__main__.py` of a stack under the recording monitor, with answers of the form AWS gives."""

from __future__ import annotations

import copy
import functools
import hashlib
import json
import runpy
import uuid
from collections.abc import Mapping
from datetime import date
from pathlib import Path
from typing import Any, Final
from unittest import mock

import pulumi
import yaml

import settings
from tests.components.conftest import ACCOUNT, Graph, Invoke, InvokeRefused, Outputs, run_program
from tests.components.tls_answers import TLS_ANSWERS
from tests.settings.conftest import merged

ROOT: Final = Path(__file__).resolve().parents[2]
STACKS: Final = ("dev", "training", "prod", "local")
TODAY: Final = date(2026, 11, 23)
"""The day of the runs: support of a release ends on a day, and these tests do not."""
REGION: Final = "eu-central-1"

Settings = dict[str, Any]
Plain = Mapping[str, Any]


def _hex(name: str, digits: int) -> str:
    return hashlib.sha256(name.encode()).hexdigest()[:digits]


def _key(name: str, inputs: dict[str, Any]) -> Plain:
    key_id = str(uuid.uuid5(uuid.NAMESPACE_OID, name))
    return {"id": key_id, "keyId": key_id, "arn": f"arn:aws:kms:{REGION}:{ACCOUNT}:key/{key_id}"}


def _certificate(name: str, inputs: dict[str, Any]) -> Plain:
    domain = inputs.get("domainName")
    option = {
        "domainName": domain,
        "resourceRecordName": f"_validation.{domain}.",
        "resourceRecordType": "CNAME",
        "resourceRecordValue": "_value.acm-validations.aws.",
    }
    return {"domainValidationOptions": [option] if domain else []}


def _always_the_same(answer: Outputs) -> Outputs:
    """Return `answer` with a memory, as a state is one: a key is not made anew in the next run."""
    given: dict[str, Plain] = {}

    def remembered(name: str, inputs: dict[str, Any]) -> Plain:
        asked = json.dumps([name, inputs], sort_keys=True)
        if asked not in given:
            given[asked] = answer(name, inputs)
        return given[asked]

    return remembered


ANSWERS: Final[dict[str, Outputs]] = {
    **{token: _always_the_same(answer) for token, answer in TLS_ANSWERS.items()},
    "aws:kms/key:Key": _key,
    "aws:acm/certificate:Certificate": _certificate,
    "aws:efs/fileSystem:FileSystem": lambda n, i: {"id": f"fs-{_hex(n, 17)}"},
    "aws:efs/accessPoint:AccessPoint": lambda n, i: {"id": f"fsap-{_hex(n, 17)}"},
    "aws:s3/bucketObjectv2:BucketObjectv2": lambda n, i: {"versionId": _hex(n, 8)},
    "aws:lb/loadBalancer:LoadBalancer": lambda n, i: {
        "arn": f"arn:aws:elasticloadbalancing:{REGION}:{ACCOUNT}:loadbalancer/app/{n}/0123456789abcdef",
        "dnsName": f"{n}.{REGION}.elb.amazonaws.com",
        "zoneId": "Z215JYRZR1TBD5",
    },
    "aws:lb/targetGroup:TargetGroup": lambda n, i: {
        "arn": f"arn:aws:elasticloadbalancing:{REGION}:{ACCOUNT}:targetgroup/{n}/0123456789abcdef",
    },
}


def _zone(arguments: dict[str, Any]) -> Plain:
    return {"zoneId": "Z0123456789", "name": arguments["name"]}


def project_defaults() -> Settings:
    """What Pulumi takes from Pulumi.yaml where a stack says nothing; mocks do not."""
    project = yaml.safe_load((ROOT / "Pulumi.yaml").read_text())
    return {key: entry["default"] for key, entry in project["config"].items() if "default" in entry}


def stack_settings(stack: str) -> tuple[Settings, dict[str, str]]:
    """Return the settings in Pulumi.<stack>.yaml without their namespace, and the rest of the file."""
    config = yaml.safe_load((ROOT / f"Pulumi.{stack}.yaml").read_text())["config"]
    own = {key.removeprefix("openerp:"): v for key, v in config.items() if key.startswith("openerp:")}
    return own, {key: v for key, v in config.items() if not key.startswith("openerp:")}


def configuration(stack: str, changes: Settings) -> dict[str, str]:
    """Return the configuration as Pulumi hands it over: texts, and structures as JSON."""
    own, rest = stack_settings(stack)
    values = merged({**project_defaults(), **copy.deepcopy(own)}, changes)
    configured = {f"openerp:{key}": value for key, value in values.items()} | rest
    return {key: value if isinstance(value, str) else json.dumps(value) for key, value in configured.items()}


def run_stack(
    stack: str,
    changes: Settings | None = None,
    *,
    name: str | None = None,
    before: Plain | None = None,
    others: Mapping[str, Plain] | None = None,
    outputs: Mapping[str, Outputs] | None = None,
    invokes: Mapping[str, Invoke] | None = None,
    preview: bool = False,
    graph: Graph | None = None,
) -> Graph:
    """Run the program with the settings of `stack` and `changes` to them (dotted keys, None takes away).

    `name` is another name for the stack; `before` its outputs after the last run, none for a first one;
    `others` the outputs of other stacks by name; `outputs` and `invokes` are further answers.
    """
    called = name or stack
    known = {called: before or {}, **(others or {})}

    def last_outputs(arguments: dict[str, Any]) -> Plain:
        organization, project, asked = str(arguments["name"]).split("/")
        assert (organization, project) == ("organization", "openerp")
        if asked not in known:
            raise InvokeRefused(f"unknown stack {asked!r}")
        return {"name": arguments["name"], "outputs": dict(known[asked]), "secretOutputNames": []}

    answers: dict[str, Invoke] = {
        "pulumi:pulumi:readStackOutputs": last_outputs,
        "aws:route53/getZone:getZone": _zone,
        **(invokes or {}),
    }

    def program() -> None:
        pulumi.runtime.set_all_config(configuration(stack, changes or {}))
        with mock.patch.object(settings, "load", functools.partial(settings.load, today=TODAY)):
            runpy.run_path(str(ROOT / "__main__.py"), run_name="__main__")

    return run_program(
        program,
        stack=called,
        preview=preview,
        outputs={**ANSWERS, **(outputs or {})},
        invokes=answers,
        graph=graph,
    )
