"""A training system made anew from the running one, by real Odoo; killed on the way, it lets nobody in.

The source is the development stack of this room: what protects does not ask which environment it was.
"""

from __future__ import annotations

import json
import os
import signal
import time
from collections.abc import Iterator
from typing import Any

import psycopg
import pytest

from core import outputs as names
from core.servers.files.openerp_server import first_start
from tests.e2e.deployment import GROUP_OUTPUTS, STACK, Deployment, on_this_machine
from tests.e2e.people import as_person
from tests.load.users import Person
from tests.ops.training.two_stacks import Asked

TRAINING = "training"
LABEL = "before-the-course"
MINUTES = 15 * 60
REFRESH = ("training", "refresh", "--stack", TRAINING, "--from", STACK, "--checkpoint", LABEL, "--yes")
KILLED = (
    ("make a server that no load balancer knows", 0.0),
    ("update the modules of openerp", 4.0),
    ("neutralise by Odoo: openerp", 1.0),
    ("scrub what Odoo's own neutralisation leaves", 0.0),
    ("verify every rule in every database", 0.0),
)
"""When a refresh is killed: so many seconds after a step began."""


def small(config: dict[str, Any]) -> None:
    on_this_machine(config)
    config["openerp:modules"] = ["contacts", "crm"]
    config["openerp:users"] = {"total": 5, "simultaneous": 2}
    config["openerp:network"] |= {"availabilityZones": 2, "interfaceEndpoints": True}
    config["openerp:database"]["dataSizeGb"] = 5


@pytest.fixture(scope="module")
def training(live: Deployment) -> Iterator[Deployment]:
    """A training stack beside the one of the room, and a checkpoint of that."""
    live.wait_for_test_database()
    made = live.of(TRAINING)
    made.change_settings(small)
    made.live(seconds=MINUTES)
    done = live.ops("checkpoint", LABEL, "--stack", STACK, seconds=MINUTES)
    assert done.returncode == 0, done.stderr
    yield made
    for role in GROUP_OUTPUTS:
        made.aws("autoscaling").update_auto_scaling_group(
            AutoScalingGroupName=made.group_name(role), MinSize=0, DesiredCapacity=0
        )


def refusals(stack: Deployment) -> list[str | None]:
    """Why servers of training refuse each database of the stack: asked of their own code."""
    outputs, found = stack.outputs(), []
    for database, arn in outputs[names.APPLICATION_SECRET_ARNS].items():
        secret = stack.secret(arn)
        with psycopg.connect(
            host=outputs[names.DATABASE_ADDRESS],
            port=int(outputs[names.DATABASE_PORT]),
            user=secret["username"],
            password=secret["password"],
            dbname=database,
            sslmode="verify-full",
            sslrootcert=str(stack.home / "postgres" / "ca.pem"),
            autocommit=True,
        ) as connection:
            found.append(first_start.why_not_ours(Asked(connection), database, TRAINING))
    return found


def killed(stack: Deployment, step: str, seconds: float) -> None:
    """Kill a refresh when a step has begun, with everything that it has begun on this machine."""
    process = stack.start_ops(*REFRESH)
    assert process.stdout is not None
    said = []
    for line in process.stdout:
        said.append(line)
        if line.strip() == step:
            break
    else:
        errors = process.stderr.read() if process.stderr else ""
        pytest.fail(f"it never came to {step!r}:\n{''.join(said)}{errors}")
    time.sleep(seconds)
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate()


def test_killed_at_each_step_of_odoos_nobody_gets_in(training: Deployment) -> None:
    for step, seconds in KILLED:
        killed(training, step, seconds)
        assert None not in refusals(training), step
        for role in GROUP_OUTPUTS:
            assert training.servers(role) == [], step


def test_the_same_command_goes_on_and_ends_with_a_system_to_practise_on(
    training: Deployment, live: Deployment
) -> None:
    done = training.ops(*REFRESH, "--json", seconds=2 * MINUTES)
    print(done.stderr, flush=True)
    assert done.returncode == 0, f"{done.stderr}\n{training.consoles(30)}"
    result = json.loads(done.stdout)
    assert result["served"] is True
    assert result["judged"]
    assert not any(judged["offences"] for judged in result["judged"])
    assert refusals(training) == [None, None]
    assert training.healthy("app")
    assert training.healthy("web-client")
    servers = [
        instance
        for reservation in training.aws("ec2").describe_instances()["Reservations"]
        for instance in reservation["Instances"]
        if instance["State"]["Name"] not in ("terminated", "shutting-down")
        and any(tag["Key"] == "openerp:refresh" for tag in instance.get("Tags") or ())
    ]
    assert servers == []


def test_the_administrator_logs_in_with_the_password_of_training_and_every_page_says_what_it_is(
    training: Deployment, live: Deployment
) -> None:
    async def page(person: Person) -> str:
        _status, body = await person.request("page", "GET", "/odoo")
        return body.decode(errors="replace")

    shown = as_person(training.entrance(), training.administrator(), page)
    assert f"TRAINING: {TRAINING}, a copy of {STACK}" in shown
    assert training.administrator() != live.administrator()


def test_it_is_seen_to_be_neutralised_and_fenced_and_the_source_is_as_it_was(
    training: Deployment, live: Deployment
) -> None:
    done = training.ops("training", "check", "--stack", TRAINING)
    assert done.returncode == 0, done.stderr
    assert "training is neutralised, and its servers reach nobody" in done.stdout
    assert live.healthy("app")
    assert live.healthy("web-client")


def test_a_server_whose_unit_lost_its_fence_is_found(training: Deployment) -> None:
    server = min(training.healthy("app"))
    set_ = ("systemctl", "set-property", "--runtime", "openerp-odoo.service")
    assert training.inside(server, *set_, "IPAddressAllow=203.0.113.0/24").returncode == 0
    try:
        done = training.ops("training", "check", "--stack", TRAINING)
        assert done.returncode == 1
        assert f"openerp-odoo.service on {server} may reach 203.0.113.0/24" in done.stderr
    finally:
        training.inside(server, "systemctl", "revert", "openerp-odoo.service")
