"""The drill's server is the app server's user data with exact changes, tried on the real rendered text."""

from __future__ import annotations

import base64
import configparser
import json
import re
from typing import Any

import pytest
import yaml

from core.drill_server import (
    RELEASE,
    DrillServerError,
    Restored,
    decode_user_data,
    drill_config,
    drill_user_data,
)
from core.servers import ServerConfiguration, encode_user_data, render_user_data, user_data_base64
from core.servers.cloud_init import USER_DATA_LIMIT_BYTES
from tests.core.servers.conftest import SAAS, VALUES

RESTORED = Restored(
    database_host="openerp-prod-drill-20270131t020000-1a2b.abc.eu-west-1.rds.amazonaws.com",
    database_port=15432,
    file_system_id="fs-0fedcba9876543210",
    access_point_id="fsap-0fedcba9876543210",
    vpc_cidr="10.20.0.0/16",
)


def app(**changes: Any) -> ServerConfiguration:
    return ServerConfiguration(**{**VALUES, **changes})


@pytest.fixture(
    params=[
        {},
        SAAS,
        {"environment": "training"},
        {"package_source": "image", **SAAS, "environment": "training"},
        {"package_source": "nightly", "package_date": "20270101", "package_sha256": "a" * 64},
        # What the emulator gives: the address of nginx and of Odoo is the database's, too.
        {"database_host": "127.0.0.1", "database_port": 34567},
    ],
    ids=["hosted", "saas", "training", "image", "nightly", "emulator"],
)
def server(request: pytest.FixtureRequest) -> ServerConfiguration:
    return app(**request.param)


def files(text: str) -> dict[str, dict[str, Any]]:
    config = yaml.safe_load(text)
    found = {entry["path"]: entry for entry in config["write_files"]}
    assert len(found) == len(config["write_files"]), "a file is written twice"
    return found


def drilled(server: ServerConfiguration) -> str:
    return drill_config(render_user_data(server), RESTORED)


def test_the_settings_lead_to_the_restored_data_and_say_all_else_as_before(
    server: ServerConfiguration,
) -> None:
    path = "/etc/openerp/server.json"
    before = json.loads(files(render_user_data(server))[path]["content"])
    after = json.loads(files(drilled(server))[path]["content"])
    assert after == {
        **before,
        "database_host": RESTORED.database_host,
        "database_port": RESTORED.database_port,
        "file_system_id": RESTORED.file_system_id,
        "access_point_id": RESTORED.access_point_id,
    }


def test_odoo_is_told_of_the_restored_database_and_runs_no_scheduled_job(
    server: ServerConfiguration,
) -> None:
    def options(text: str) -> dict[str, str]:
        parser = configparser.RawConfigParser()
        parser.read_string(files(text)["/etc/openerp/odoo.conf"]["content"])
        return dict(parser["options"])

    assert options(drilled(server)) == {
        **options(render_user_data(server)),
        "db_host": RESTORED.database_host,
        "db_port": str(RESTORED.database_port),
        "max_cron_threads": "0",
    }


def test_nothing_but_the_named_files_differs(server: ServerConfiguration) -> None:
    before, after = files(render_user_data(server)), files(drilled(server))
    new = set(after) - set(before)
    assert {path.rsplit("/", 1)[1] for path in new} == {"drill.conf"}
    changed = {path for path in before if before[path] != after[path]}
    assert changed == {
        "/etc/openerp/server.json",
        "/etc/openerp/odoo.conf",
        "/etc/openerp/stunnel.conf",
    }
    rest = {key: value for key, value in yaml.safe_load(drilled(server)).items() if key != "write_files"}
    own = yaml.safe_load(render_user_data(server))
    assert rest == {key: value for key, value in own.items() if key != "write_files"}


def test_no_trace_of_the_stacks_own_data_stays(server: ServerConfiguration) -> None:
    text = drilled(server)
    assert server.file_system_id not in text.replace(RESTORED.file_system_id, "")
    assert server.access_point_id not in text
    if server.database_host != "127.0.0.1":
        assert server.database_host not in text
    stunnel = files(text)["/etc/openerp/stunnel.conf"]["content"]
    assert f"connect = {RESTORED.file_system_id}.efs.eu-west-1.amazonaws.com:2049\n" in stunnel
    assert f"checkHost = {RESTORED.file_system_id}.efs.eu-west-1.amazonaws.com\n" in stunnel


def test_every_unit_that_runs_odoo_is_fenced_in(server: ServerConfiguration) -> None:
    found = files(drilled(server))
    units = [
        path
        for path, file in found.items()
        if path.endswith(".service") and "openerp-server serve" in file["content"]
    ]
    assert units
    for unit in units:
        lines = found[f"{unit}.d/drill.conf"]["content"].splitlines()
        assert lines == ["[Service]", "IPAddressDeny=any", "IPAddressAllow=localhost 10.20.0.0/16"]
    fences = [path for path in found if path.endswith("drill.conf") and "first-start" not in path]
    assert len(fences) == len(units)


def test_nothing_touches_a_database_before_the_drill_says_so(server: ServerConfiguration) -> None:
    found = files(drilled(server))
    gate = "/etc/systemd/system/openerp-first-start.service"
    content = found[f"{gate}.d/drill.conf"]["content"]
    assert f"test -e {RELEASE}" in content
    units = {
        path.rpartition("/")[2]: file["content"] for path, file in found.items() if path.endswith(".service")
    }
    waiting = {"openerp-first-start.service"}
    for _ in units:
        waiting |= {
            name
            for name, text in units.items()
            for other in waiting
            if f"Requires={other}\n" in text.replace("@%i", "@")
        }
    steps = ("serve", "ready", "test-database", "tenants", "first-start")
    touching = {
        name
        for name, text in units.items()
        if re.search(rf"^ExecStart=\S+/openerp-server ({'|'.join(steps)})\b", text, re.MULTILINE)
    }
    assert {"openerp-odoo.service", "openerp-first-start.service"} <= touching <= waiting


def test_it_fits_into_what_ec2_takes_and_cloud_init_reads_it_back(server: ServerConfiguration) -> None:
    encoded = drill_user_data(user_data_base64(server), RESTORED)
    assert len(encoded) <= USER_DATA_LIMIT_BYTES
    assert decode_user_data(base64.b64encode(encoded).decode()) == drilled(server)


def test_user_data_that_were_not_compressed_are_read_as_well() -> None:
    text = "#cloud-config\nfinal_message: short\n"
    assert decode_user_data(base64.b64encode(encode_user_data(text)).decode()) == text


@pytest.mark.parametrize(
    ("user_data", "said"),
    [
        (b"\x1f\x8b broken", "cannot be read"),
        (b"\xff\xfe", "cannot be read"),
        (b"#!/bin/sh\n", "is no cloud-config"),
    ],
)
def test_other_user_data_are_refused_in_a_sentence(user_data: bytes, said: str) -> None:
    with pytest.raises(DrillServerError, match=said):
        decode_user_data(base64.b64encode(user_data).decode())


@pytest.mark.parametrize(
    ("there", "instead", "named"),
    [
        ("max_cron_threads = 2\n", "", "max_cron_threads 0 times"),
        ("db_host = ", "db_host_too = ", "db_host 0 times"),
        ('"database_port":5432', '"database_port":5432,\n   "database_port":5432', "database_port"),
        ('"access_point_id":', '"access_point":', "access_point_id"),
        ("write_files:\n", "files:\n", "write_files 0 times"),
        ('openerp-first-start.service"\n', 'openerp-start.service"\n', "openerp-first-start.service"),
    ],
)
def test_a_server_of_another_version_is_refused_rather_than_half_changed(
    there: str, instead: str, named: str
) -> None:
    text = render_user_data(app())
    assert there in text
    with pytest.raises(DrillServerError, match=named):
        drill_config(text.replace(there, instead, 1), RESTORED)


@pytest.mark.parametrize("field", ["database_host", "file_system_id", "access_point_id"])
def test_what_would_break_a_file_is_refused(field: str) -> None:
    wrong = Restored(**{**vars(RESTORED), field: 'x"\nlog_level = debug'})
    with pytest.raises(DrillServerError, match="the restored"):
        drill_config(render_user_data(app()), wrong)
