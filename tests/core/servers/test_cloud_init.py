"""The user data as a whole: valid, small enough, without secrets, and the same every time."""

from __future__ import annotations

import base64
import configparser
import gzip
import json
import re
from pathlib import Path
from typing import Any

import jsonschema  # type: ignore[import-untyped]  # no stubs among the pinned packages
import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from core import names
from core.servers import (
    ServerConfiguration,
    UserDataTooLargeError,
    encode_user_data,
    render_user_data,
    user_data_base64,
)
from core.servers.cloud_init import (
    USER_DATA_LIMIT_BYTES,
    UnknownCloudConfigKeyError,
    check_keys,
    cloud_config,
    to_yaml,
)
from tests.core.servers.conftest import MODULES, SAAS, VALUES, WEB_CLIENT, MakeServer

ROOT = Path(__file__).resolve().parents[3]
SCHEMA = json.loads((ROOT / "tests" / "data" / "cloud-init" / "schema-cloud-config-v1.json").read_text())
ROOM_BYTES = 550
SECRET_PATTERNS = (
    r"AKIA[0-9A-Z]{16}",
    r"ASIA[0-9A-Z]{16}",
    r"-----BEGIN [A-Z ]*PRIVATE KEY-----",
    r"(?im)^\s*db_password\s*=",
    r"(?i)(password|secret|token)\s*[=:]\s*[\"']?[A-Za-z0-9+/]{16,}",
)

names_of_databases = st.from_regex(r"[a-z][a-z0-9_-]{0,30}", fullmatch=True)
hosts = st.from_regex(r"[a-z][a-z0-9]{0,30}(\.[a-z][a-z0-9]{0,20}){1,3}", fullmatch=True)


@st.composite
def servers(draw: st.DrawFn) -> ServerConfiguration:
    role = draw(st.sampled_from(["app", "web-client"]))
    nightly = draw(st.booleans())
    return ServerConfiguration(
        **{
            **VALUES,
            "role": role,
            "stack": draw(st.from_regex(r"[a-z][a-z0-9-]{0,20}", fullmatch=True)),
            "environment": draw(st.sampled_from(["development", "training", "production"])),
            "region": draw(st.sampled_from(["eu-west-1", "us-gov-west-1", "cn-north-1", "ap-southeast-7"])),
            "release": draw(st.sampled_from(["16.0", "17.0", "18.0", "19.0", "saas~19.2"])),
            "package_source": "nightly" if nightly else draw(st.sampled_from(["debian", "image"])),
            "package_date": "20261101" if nightly else None,
            "package_sha256": "0" * 64 if nightly else None,
            "modules": tuple(
                draw(st.lists(st.from_regex(r"[a-z][a-z0-9_]{0,20}", fullmatch=True), max_size=8))
            ),
            "workers": draw(st.integers(1, 65)),
            "cron_threads": draw(st.integers(1, 4)) if role == "app" else 0,
            "db_maxconn": draw(st.integers(2, 64)),
            "database_port": draw(st.integers(1, 65535)),
            "database_host": draw(hosts),
            "database_name": draw(names_of_databases),
            "test_database_name": draw(names_of_databases) + ".test",
            "public_host": draw(hosts),
            **draw(st.sampled_from([{}, SAAS, MODULES])),
        }
    )


def files_of(text: str) -> dict[str, str]:
    return {file["path"]: file["content"] for file in yaml.safe_load(text)["write_files"]}


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(servers())
def test_every_valid_configuration_gives_user_data_that_holds_together(server: ServerConfiguration) -> None:
    """It does not prove that cloud-init, systemd or Odoo do with it what is meant: issue 4 boots it."""
    text = render_user_data(server)
    assert text.startswith("#cloud-config\n")
    parsed = yaml.safe_load(text)
    assert parsed == cloud_config(server)
    jsonschema.Draft4Validator(SCHEMA).validate(parsed)
    assert len(encode_user_data(text)) <= USER_DATA_LIMIT_BYTES
    for pattern in SECRET_PATTERNS:
        assert not re.search(pattern, text), pattern
    files = files_of(text)
    odoo_conf = configparser.RawConfigParser(strict=True)
    odoo_conf.read_string(files["/etc/openerp/odoo.conf"])
    options = odoo_conf["options"]
    assert options["db_host"] == server.database_host
    found = re.compile(options["dbfilter"])
    assert found.match(server.database_name)
    assert bool(found.match(server.test_database_name)) == (server.role == "app")
    assert not found.match(server.database_name + "x")
    assert not found.match("x" + server.database_name)
    json.loads(files["/etc/openerp/amazon-cloudwatch-agent.json"])
    assert json.loads(files["/etc/openerp/server.json"])["database_name"] == server.database_name
    for path, content in files.items():
        if path.endswith(".py"):
            compile(content, path, "exec")


def test_the_vendored_schema_is_alive(make_server: MakeServer) -> None:
    config = cloud_config(make_server())
    config["manage_etc_hosts"] = "perhaps"
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.Draft4Validator(SCHEMA).validate(config)


@pytest.mark.parametrize("wrong", ["manage_etc_host", "write_file", "run_cmd"])
def test_a_misspelt_key_is_refused_although_the_schema_accepts_it(
    make_server: MakeServer, wrong: str
) -> None:
    config = {**cloud_config(make_server()), wrong: True}
    with pytest.raises(UnknownCloudConfigKeyError, match=wrong):
        check_keys(config)


def test_a_misspelt_key_of_a_file_is_refused(make_server: MakeServer) -> None:
    config = cloud_config(make_server())
    config["write_files"][0]["permission"] = "0644"
    with pytest.raises(UnknownCloudConfigKeyError, match="write_files: permission"):
        check_keys(config)


def test_the_hosts_file_is_managed_by_cloud_init(server: ServerConfiguration) -> None:
    assert yaml.safe_load(render_user_data(server))["manage_etc_hosts"] is True


def largest(make_server: MakeServer, **changes: Any) -> ServerConfiguration:
    """Return a configuration with every text as long as AWS or our own rules allow."""
    arn = "arn:aws-us-gov:secretsmanager:us-gov-west-1:123456789012:secret:"
    return make_server(
        **{
            **SAAS,
            "stack": "production-of-a-long-name",
            "region": "ap-southeast-7",
            "package_source": "nightly",
            "package_date": "20261101",
            "package_sha256": "0123456789abcdef" * 4,
            "modules": tuple(f"module_number_{number}_of_many" for number in range(40)),
            "workers": 65,
            "database_host": "openerp-" + "h" * 55 + ".c1abcdefghij.ap-southeast-7.rds.amazonaws.com",
            "database_name": "w" * 63,
            "test_database_name": "t" * 63,
            "database_secret_arn": arn + "a1b2c3d4e5f6" * 12 + "-AbCdEf",
            "administrator_secret_arn": arn + "f6e5d4c3b2a1" * 12 + "-GhIjKl",
            "public_host": "erp." + ".".join(["part-of-a-long-domain"] * 8) + ".example.com",
            "tenants_parameter_path": "/openerp/production-of-a-long-name/tenants",
            "log_group_name": "/openerp/production-of-a-long-name/" + "log-group" * 5,
            **changes,
        }
    )


DEBIAN: dict[str, Any] = {"package_source": "debian", "package_date": None, "package_sha256": None}
WITHOUT_TENANTS: dict[str, Any] = {"offer": "hosted", "tenants_parameter_path": None}


@pytest.mark.parametrize("environment", ["production", "training"])
@pytest.mark.parametrize("role", [{}, WEB_CLIENT, DEBIAN, {**DEBIAN, **WITHOUT_TENANTS, **MODULES}])
def test_the_largest_settings_fit_into_what_ec2_accepts(
    make_server: MakeServer, role: dict[str, Any], environment: str
) -> None:
    """With room to spare, so that a small change need not begin with a search for room."""
    server = largest(make_server, **role, environment=environment)
    size = len(encode_user_data(render_user_data(server)))
    assert size <= USER_DATA_LIMIT_BYTES - ROOM_BYTES


def test_user_data_that_does_not_fit_is_refused_with_the_numbers() -> None:
    noise = "".join(
        base64.b64encode(bytes([i % 251, i * 7 % 256, i * i % 253])).decode() for i in range(40000)
    )
    with pytest.raises(UserDataTooLargeError, match="16384"):
        encode_user_data("#cloud-config\n# " + noise)


def test_text_that_fits_stays_readable_and_other_text_is_gzip_without_a_time(make_server: MakeServer) -> None:
    short = "#cloud-config\ntimezone: UTC\n"
    assert encode_user_data(short) == short.encode()
    text = render_user_data(make_server())
    encoded = encode_user_data(text)
    assert gzip.decompress(encoded).decode() == text
    assert encoded[4:8] == b"\0\0\0\0"


def test_the_same_configuration_gives_the_same_launch_template(make_server: MakeServer) -> None:
    assert user_data_base64(make_server()) == user_data_base64(make_server())
    assert base64.b64decode(user_data_base64(make_server()))[:2] == b"\x1f\x8b"


def test_only_servers_with_tenants_carry_what_tenants_need(make_server: MakeServer) -> None:
    without, with_tenants = (
        files_of(render_user_data(server)) for server in (make_server(), make_server(**SAAS))
    )
    more = set(with_tenants) - set(without)
    assert more == {
        "/etc/openerp/tenants/.keep",
        "/usr/local/lib/openerp/openerp_server/tenants.py",
        "/etc/systemd/system/openerp-tenants.service",
        "/etc/systemd/system/openerp-tenants.timer",
        "/etc/systemd/system/openerp-tenant-first-start@.service",
        "/etc/systemd/system/odoo-tenant@.service",
    }


def test_only_servers_with_data_modules_carry_what_fetches_them(make_server: MakeServer) -> None:
    without, with_modules = (
        files_of(render_user_data(server)) for server in (make_server(), make_server(**MODULES))
    )
    assert set(with_modules) - set(without) == {
        "/usr/local/lib/openerp/openerp_server/modules.py",
        "/etc/systemd/system/openerp-modules.service",
    }
    told = json.loads(with_modules["/etc/openerp/server.json"])
    assert told["data_modules"] == dict(MODULES["data_modules"])
    assert told["operations_bucket"] == MODULES["operations_bucket"]
    assert "operations_bucket" not in json.loads(without["/etc/openerp/server.json"])


def test_servers_of_production_do_not_even_have_the_banner(make_server: MakeServer) -> None:
    banner = "/usr/local/lib/openerp/addons/openerp_guard/banner.py"
    assert banner not in files_of(render_user_data(make_server()))
    for environment in ("development", "training"):
        assert banner in files_of(render_user_data(make_server(environment=environment)))


def test_every_file_is_written_as_it_is(server: ServerConfiguration) -> None:
    """One sign outside ASCII, and a whole script travels in quotes: hundreds of bytes."""
    text = render_user_data(server)
    assert [path for path, content in files_of(text).items() if not content.isascii()] == []
    assert set(re.findall(r'\n content: (".*")\n', text)) <= {'""', r'"\n"'}


def test_yaml_of_any_text_reads_back_as_that_text() -> None:
    texts = [
        "a\n",
        " leading\n",
        "trailing \n",
        "tab\there\n",
        "no end",
        "two\n\n",
        "\n",
        "ü\n",
        "# x\n  y\n\nz\n",
        "",
    ]
    config = {"write_files": [{"path": str(i), "content": text} for i, text in enumerate(texts)]}
    assert yaml.safe_load(to_yaml(config)) == config


@pytest.mark.parametrize(
    ("changes", "part"),
    [
        ({"workers": 0}, "workers is 0"),
        ({"role": "web-client"}, "cron_threads is 2"),
        ({"cron_threads": 0}, "cron_threads is 0"),
        ({"database_host": "a b"}, "database_host"),
        ({"database_name": "x;y"}, "database_name"),
        ({"public_host": "erp.example.com; return 200"}, "public_host"),
        ({"modules": ("crm;rm",)}, "modules"),
        ({"package_source": "nightly"}, "package_date"),
        ({"package_source": "nightly", "package_date": "20261101", "package_sha256": "x"}, "package_sha256"),
        ({"offer": "saas"}, "tenants_parameter_path"),
        ({"tenants_parameter_path": "/x"}, "tenants_parameter_path"),
        ({"test_database_name": "openerp"}, "test_database_name"),
        ({"vpc_cidr": "10.20.0.1/16"}, "vpc_cidr"),
        ({"limit_memory_soft_bytes": 3 << 30}, "limit_memory_soft_bytes"),
        ({"database_port": 0}, "database_port"),
        ({"db_maxconn": 1}, "db_maxconn"),
        ({"administrator_secret_arn": "hunter2"}, "administrator_secret_arn"),
        ({**MODULES, "operations_bucket": None}, "operations_bucket"),
        ({**MODULES, "operations_bucket": "a/b"}, "operations_bucket"),
        ({**MODULES, **SAAS}, "data_modules: saas has none"),
        ({**MODULES, "data_modules": (("../x", "a" * 64),)}, "data_modules contains '../x'"),
        (
            {**MODULES, "data_modules": (("openerp_guard", "a" * 64),)},
            "data_modules contains 'openerp_guard'",
        ),
        ({**MODULES, "data_modules": (("colours", "A" * 64),)}, "the hash of colours"),
    ],
)
def test_a_configuration_that_would_break_a_file_is_refused(
    make_server: MakeServer, changes: dict[str, Any], part: str
) -> None:
    with pytest.raises(ValueError, match=part):
        make_server(**changes)


def test_target_ports_and_health_path_are_those_of_the_load_balancer(server: ServerConfiguration) -> None:
    expected = names.APP_TARGET_PORT if server.role == "app" else names.WEB_CLIENT_TARGET_PORT
    assert server.target_port == expected
    assert server.health_path == names.HEALTH_PATH
