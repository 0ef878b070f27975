"""A bare Debian 13 server, the user data unchanged, becomes a server that shows the login page."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from local import nodes
from tests.e2e.deployment import Deployment, deployment
from tests.e2e.test_addresses import ask

MINUTES = 15
DOWN_SECONDS = 300
"""A server that installed everything by itself has a gigabyte of files to be removed."""


@pytest.fixture(scope="module")
def bare(able: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Deployment]:
    """The stack with `package.source: debian` and Debian's own image, and one server: no app server."""

    def change(config: dict[str, Any]) -> None:
        config["openerp:package"] = {"source": "debian"}
        config.pop("openerp:serverImage", None)
        config["openerp:modules"] = ["contacts"]

    def one_server(made: Deployment) -> None:
        made.aws("autoscaling").update_auto_scaling_group(
            AutoScalingGroupName=made.group_name("app"), MinSize=0, DesiredCapacity=0
        )

    directory = tmp_path_factory.mktemp("bare")
    with deployment(directory, change, first=one_server, seconds=MINUTES * 60) as made:
        yield made


def test_a_bare_debian_server_shows_the_login_page(bare: Deployment) -> None:
    status, _, text = ask(bare, "/web/login")
    assert status == 200
    assert 'name="login"' in text


def test_its_odoo_came_from_debian_at_first_boot(bare: Deployment) -> None:
    (server,) = bare.servers("web-client")
    shown = bare.inside(server, "dpkg-query", "--show", "--showformat", "${Version}", "odoo-19")
    assert shown.stdout.startswith("19.0"), shown.stderr


def test_down_leaves_nothing_behind(bare: Deployment) -> None:
    bare.run("down", seconds=DOWN_SECONDS)
    home = str(bare.home)
    commands = []
    for process in Path("/proc").iterdir():
        if process.name.isdecimal():
            try:
                commands.append((process / "cmdline").read_text().replace("\0", " "))
            except OSError:
                continue
    assert not [command for command in commands if home in command]
    assert home not in Path("/proc/mounts").read_text()
    assert nodes.running(bare.home) is None
