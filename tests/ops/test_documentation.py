"""The pages of the operator's commands name every command, option and file."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import typer.main
from typer.core import TyperGroup

from ops.__main__ import app
from ops.clients import write
from tests.ops.authority import Authority, stack_outputs

DOCS = Path(__file__).resolve().parents[2] / "docs"
PAGES = {
    "bootstrap": "bootstrap.md",
    "checkpoint": "operations.md",
    "checkpoints": "operations.md",
    "clients": "clients.md",
    "drill": "operations.md",
    "drills": "operations.md",
    "dump": "operations.md",
    "load": "operations.md",
    "modules": "operations.md",
    "preview-report": "pull-requests.md",
    "release": "operations.md",
    "restore": "operations.md",
    "rotate": "operations.md",
    "service-sheet": "clients.md",
    "training": "operations.md",
}


def commands() -> TyperGroup:
    group = typer.main.get_command(app)
    assert isinstance(group, TyperGroup)
    return group


def test_every_command_has_its_page() -> None:
    assert set(commands().commands) == set(PAGES)
    for command, page in PAGES.items():
        assert f"python -m ops {command}" in (DOCS / page).read_text()


def test_every_option_of_bootstrap_is_explained() -> None:
    page = (DOCS / "bootstrap.md").read_text()
    for parameter in commands().commands["bootstrap"].params:
        option = parameter.opts[0]
        assert option in page or option in ("--json", "--help"), option


def test_every_file_for_clients_is_explained(tmp_path: Path) -> None:
    page = (DOCS / "clients.md").read_text()
    for path in write(stack_outputs(Authority()), tmp_path / "dev"):
        assert f"`{path.name}`" in page or path.name.startswith("2-"), path.name


@pytest.mark.parametrize("script", ["rpc_xmlrpc.py", "rpc_json2.py", "rpc_odoorpc.py"])
def test_every_variable_that_a_script_reads_is_explained(tmp_path: Path, script: str) -> None:
    page = (DOCS / "clients.md").read_text()
    write(stack_outputs(Authority()), tmp_path / "dev")
    for variable in re.findall(r"OPENERP_[A-Z_]+", (tmp_path / "dev" / script).read_text()):
        assert f"`{variable}`" in page
