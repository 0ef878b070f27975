"""The house of docs/architecture.md, held by the syntax trees of its files."""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PULUMI = {"pulumi", "pulumi_aws", "pulumi_tls", "pulumi_postgresql"}
ALLOWED: dict[str, set[str]] = {
    "core": {"core", "jinja2", "pydantic", "cryptography"},
    "settings": {"core", "pydantic", "pulumi"},
    "components": {"core", "components"} | PULUMI,
    "deployment": {"core", "settings", "components", "deployment"} | PULUMI,
    "ops": {
        *("core", "ops", "boto3", "botocore", "typer", "rich", "cryptography", "pydantic", "yaml"),
        *("psycopg", "zstandard", "ruamel"),
        # In functions that a server runs, to which Run Command sends them.
        *("openerp_server", "psycopg2", "passlib"),
    },
    "__main__": {"deployment"} | PULUMI,
}


def sources(room: str) -> list[Path]:
    if room in ("settings", "__main__"):
        return [ROOT / f"{room}.py"]
    return sorted((ROOT / room).rglob("*.py"))


def imported_packages(path: Path) -> Iterator[tuple[int, str]]:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name.split(".")[0]) for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
            yield node.lineno, node.module.split(".")[0]


@pytest.mark.parametrize("room", sorted(ALLOWED))
def test_a_room_imports_only_what_it_may(room: str) -> None:
    files = [path for path in sources(room) if "files" not in path.relative_to(ROOT).parts]
    assert files
    wrong = [
        f"{path.relative_to(ROOT)}:{line} imports {package}"
        for path in files
        for line, package in imported_packages(path)
        if package not in ALLOWED[room] and package not in sys.stdlib_module_names
    ]
    assert wrong == []


def test_nothing_above_imports_the_local_room() -> None:
    wrong = [
        f"{path.relative_to(ROOT)}:{line}"
        for room in ALLOWED
        for path in sources(room)
        for line, package in imported_packages(path)
        if package in ("local", "tests")
    ]
    assert wrong == []


def test_the_local_room_does_not_import_components() -> None:
    wrong = [
        f"{path.relative_to(ROOT)}:{line}"
        for path in sources("local")
        for line, package in imported_packages(path)
        if package == "components"
    ]
    assert wrong == []


def test_only_settings_reads_pulumi_config() -> None:
    readers = [
        str(path.relative_to(ROOT))
        for room in ALLOWED
        for path in sources(room)
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Call) and ast.unparse(node.func) in ("pulumi.Config", "pulumi.config.Config")
    ]
    assert set(readers) == {"settings.py"}


def test_main_is_wiring_that_fits_on_a_screen_and_asks_for_no_stack_name() -> None:
    text = (ROOT / "__main__.py").read_text()
    code = [line for line in text.splitlines() if line.strip() and not line.strip().startswith("#")]
    assert len(code) <= 80
    compared = [
        node.lineno
        for node in ast.walk(ast.parse(text))
        if isinstance(node, ast.Compare)
        and any(
            isinstance(part, ast.Constant) and part.value in ("dev", "training", "prod", "local")
            for part in ast.walk(node)
        )
    ]
    assert compared == []


def test_every_python_file_under_tests_is_collected_or_is_a_helper_that_a_test_imports() -> None:
    helpers = {"conftest.py", "__init__.py"}
    imported = {
        name
        for path in (ROOT / "tests").rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        for name in (
            [alias.name for alias in node.names]
            if isinstance(node, ast.Import)
            else [node.module or "", *(f"{node.module}.{alias.name}" for alias in node.names)]
            if isinstance(node, ast.ImportFrom)
            else []
        )
    }
    runners = [*(ROOT / "tests").rglob("test_*.py"), *(ROOT / "tests").rglob("conftest.py")]
    commands = "".join(path.read_text() for path in (ROOT / "Makefile", *runners))
    lost = [
        str(path.relative_to(ROOT))
        for path in (ROOT / "tests").rglob("*.py")
        if not path.name.startswith("test_")
        and path.name not in helpers
        and ".".join(path.relative_to(ROOT).with_suffix("").parts) not in imported
        and "data" not in path.parts
        and ".".join(path.relative_to(ROOT).with_suffix("").parts) not in commands
    ]
    assert lost == []
