"""Nothing that people use is missing from the pages, and no command in them is one that does not exist."""

from __future__ import annotations

import ast
import re
import shlex
import subprocess
from pathlib import Path

import pytest
import typer.main
import yaml
from typer.core import TyperGroup

from core import outputs
from core.settings_page import keys
from local.__main__ import application
from ops.__main__ import app
from tests.docs.pages import DOCS, PAGES, ROOT, everything, name, shell_lines

GROUPS: dict[str, TyperGroup] = {}
for room, typed in (("local", application), ("ops", app)):
    made = typer.main.get_command(typed)
    assert isinstance(made, TyperGroup)
    GROUPS[room] = made
MODULES = {path.stem: ast.parse(path.read_text()) for path in (ROOT / "components").glob("*.py")}
CLASSES = {
    (node.name, module): node
    for module, tree in MODULES.items()
    for node in tree.body
    if isinstance(node, ast.ClassDef)
}
COMPONENTS = sorted(
    (component, module)
    for (component, module), node in CLASSES.items()
    if {ast.unparse(base) for base in node.bases} & {"pulumi.ComponentResource", "ServerGroup"}
)

INNER = {"Authority", "PrivateBucket", "WebAcl", "ServerGroup"}
"""What other components are made from: their pages say what it does, not each of its arguments."""


def make_targets() -> list[str]:
    listed = subprocess.run(["make", "-s", "help"], cwd=ROOT, capture_output=True, text=True, check=True)
    return re.findall(r"^ {2}make ([a-z0-9-]+)", listed.stdout, re.MULTILINE)


def missing(words: list[str], text: str | None = None) -> list[str]:
    text = everything() if text is None else text
    return [word for word in words if word not in text]


def test_every_setting_is_documented_with_its_full_key() -> None:
    assert missing([f"`{key}`" for key in keys()]) == []


def test_every_key_of_the_project_file_is_documented() -> None:
    declared = yaml.safe_load((ROOT / "Pulumi.yaml").read_text())["config"]
    assert missing([f"`openerp:{key}`" for key in declared]) == []


def test_every_output_is_documented() -> None:
    assert missing([f"`{output.name}`" for output in outputs.OUTPUTS]) == []


def test_every_make_target_is_in_the_readme_or_the_docs() -> None:
    targets = make_targets()
    assert {"up", "preview", "destroy", "down", "test", "lint", "bench"} <= set(targets)
    assert missing([f"`make {target}`" for target in targets if target != "help"]) == []


def test_every_make_target_that_the_pages_name_exists() -> None:
    known = {*make_targets()}
    command = re.compile(r"`(?:[A-Z]+=\S+ )*make ([a-z0-9-]+)[^`]*`")
    named = {(name(page), target) for page in PAGES for target in command.findall(page.read_text())}
    for page in PAGES:
        lines = (re.match(r"(?:[A-Z]+=\S+ )*make ([a-z0-9-]+)", line) for line in shell_lines(page))
        named |= {(name(page), found[1]) for found in lines if found}
    assert len(named) > 10
    assert {(page, target) for page, target in named if target not in known} == set()


def test_every_command_of_ops_is_documented() -> None:
    assert missing([f"python -m ops {command}" for command in GROUPS["ops"].commands]) == []


def test_every_command_and_option_of_local_is_on_its_page() -> None:
    page = (DOCS / "local.md").read_text()
    assert "`python -m local`" in page
    for command_name, command in GROUPS["local"].commands.items():
        assert re.search(rf"`(python -m local )?{command_name}[ `]", page), command_name
        options = [p.opts[0] for p in command.params if p.opts[0].startswith("--")]
        assert missing([option for option in options if option != "--help"], page) == [], command_name


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_every_python_command_on_a_page_is_one_that_the_program_takes(page: Path) -> None:
    """What the command then does is tried elsewhere; here its name, options and arguments are."""
    for line in shell_lines(page):
        found = re.search(r"python3? -m (local|ops)\b([^|>;&]*)", line)
        if not found:
            continue
        room, rest = found.groups()
        command_name, *arguments = shlex.split(rest) or ["--help"]
        if command_name.startswith("-"):
            continue
        command = GROUPS[room].commands.get(command_name)
        assert command is not None, line
        given = [re.sub(r"^<.*>$", "x", argument) for argument in arguments]
        try:
            command.make_context(command_name, given)
        except Exception as refused:  # click's own classes are typer's, in a module of its own
            pytest.fail(f"{name(page)}: {line}: {refused!r} {refused}")


def test_there_are_components_to_document() -> None:
    names = {component for component, _ in COMPONENTS}
    assert {"Network", "DatabaseServer", "FileStore", "AppServer", "WebClientServer"} <= names
    assert {"LoadBalancer", "BackupSnapshots", "Monitoring", "Databases"} <= names


@pytest.mark.parametrize(("component", "module"), COMPONENTS)
def test_every_component_has_a_page_that_names_its_source(component: str, module: str) -> None:
    pages = [page.read_text() for page in (DOCS / "components").glob("*.md")]
    assert any(f"`components/{module}.py`" in page or f"`{module}.py`" in page for page in pages)


def arguments_of(component: str, module: str) -> list[str]:
    node = CLASSES.get((f"{component}Args", module))
    fields = [] if node is None else node.body
    return [ast.unparse(field.target) for field in fields if isinstance(field, ast.AnnAssign)]


@pytest.mark.parametrize(("component", "module"), [c for c in COMPONENTS if c[0] not in INNER])
def test_every_argument_of_a_component_is_on_a_page_about_it(component: str, module: str) -> None:
    pages = [page.read_text() for page in (DOCS / "components").glob("*.md")]
    shared = [] if arguments_of(component, module) else ["server_group"]
    about = "\n".join(t for t in pages if any(f"{source}.py`" in t for source in [module, *shared]))
    arguments = arguments_of(component, module) or arguments_of("ServerGroup", "server_group")
    assert [argument for argument in arguments if f"`{argument}`" not in about] == []
