"""A stack's settings file and `pulumi`, which a small program on PATH stands in for.

That the real CLI takes these arguments is proven by whoever runs the commands with it on PATH.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

import pytest

from ops.console import Reporter
from ops.errors import OpsError
from ops.stack import Stack

SETTINGS = """\
# Production, as we want it.
config:
  aws:region: eu-central-1
  openerp:release: "19.0"  # in quotes
  # People.
  openerp:users:
    total: 150
    simultaneous: 60
  openerp:modules:
    - contacts
    - crm
"""
PULUMI = """\
#!{python}
import json, os, sys
from pathlib import Path
here = Path(__file__).parent
with (here / "calls").open("a") as calls:
    calls.write(json.dumps(sys.argv[1:]) + "\\n")
if "--config-file" in sys.argv:
    (here / "previewed").write_text(Path(sys.argv[sys.argv.index("--config-file") + 1]).read_text())
answer = json.loads((here / "answer").read_text())
sys.stdout.write(answer["out"])
sys.stderr.write(answer["err"])
sys.exit(answer["status"])
"""


class Project:
    """A folder of the project, and the stand-in."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory / "project"
        self.bin = directory / "bin"
        for made in (self.directory, self.bin):
            made.mkdir()
        (self.directory / "Pulumi.yaml").write_text("name: openerp\n")
        self.settings = self.directory / "Pulumi.prod.yaml"
        self.settings.write_text(SETTINGS)
        program = self.bin / "pulumi"
        program.write_text(PULUMI.format(python=sys.executable))
        program.chmod(0o755)
        self.answers("{}")

    def answers(self, out: str, err: str = "", status: int = 0) -> None:
        answer = {"out": out, "err": err, "status": status}
        (self.bin / "answer").write_text(json.dumps(answer))

    def calls(self) -> list[list[str]]:
        return [json.loads(line) for line in (self.bin / "calls").read_text().splitlines()]


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Project:
    made = Project(tmp_path)
    monkeypatch.setenv("PATH", f"{made.bin}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.chdir(made.directory)
    return made


def test_a_change_of_settings_keeps_comments_order_and_everything_else(project: Project) -> None:
    stack = Stack("prod")
    stack.write_settings({"database.restoreFrom": "snapshot:openerp-prod-x-12345678", "users.total": 160})
    text = project.settings.read_text()
    assert text == SETTINGS.replace("total: 150", "total: 160") + (
        "  openerp:database:\n    restoreFrom: snapshot:openerp-prod-x-12345678\n"
    )
    stack.write_settings({"database.restoreFrom": None, "users.total": 150})
    assert stack.settings()["database"] == {}
    assert project.settings.read_text().startswith(SETTINGS)


def test_settings_are_read_without_their_namespace(project: Project) -> None:
    stack = Stack("prod")
    assert stack.setting("users.total") == 150
    assert stack.setting("users.nothing") is None
    assert stack.setting("nothing.at.all") is None
    assert "aws:region" not in stack.settings()


def test_a_settings_file_that_is_no_yaml_is_named(project: Project) -> None:
    project.settings.write_text("config: [")
    with pytest.raises(OpsError, match=r"Pulumi\.prod\.yaml is no YAML"):
        Stack("prod").settings()


def test_a_preview_of_changes_leaves_the_file_alone(project: Project) -> None:
    project.answers(json.dumps({"steps": [], "changeSummary": {"same": 3}}))
    found = Stack("prod").preview({"users.total": 170})
    assert found["changeSummary"] == {"same": 3}
    assert project.settings.read_text() == SETTINGS
    assert "total: 170" in (project.bin / "previewed").read_text()
    assert "# in quotes" in (project.bin / "previewed").read_text()
    (call,) = project.calls()
    assert call[:3] == ["preview", "--json", "--config-file"]
    assert call[-2:] == ["--stack", "prod"]
    assert not Path(call[3]).exists()


def test_a_preview_that_is_refused_says_what_pulumi_says(project: Project) -> None:
    refused = {"diagnostics": [{"severity": "error", "message": "openerp:release: no downgrade\n"}]}
    project.answers(json.dumps(refused), status=1)
    with pytest.raises(OpsError, match="preview of prod failed: openerp:release: no downgrade"):
        Stack("prod").preview()
    project.answers("", err="error: no stack named 'prod'\n", status=1)
    with pytest.raises(OpsError, match="no stack named"):
        Stack("prod").preview()


def test_applying_writes_the_settings_first_and_asks_for_the_outputs_anew(project: Project) -> None:
    stack = Stack("prod")
    project.answers(json.dumps({"release": "19.0"}))
    assert stack.output("release") == "19.0"
    stack.apply({"users.total": 151}, Reporter())
    assert "total: 151" in project.settings.read_text()
    project.answers(json.dumps({"release": "20.0"}))
    assert stack.output("release") == "20.0"
    assert [call[0] for call in project.calls()] == ["stack", "up", "stack"]


def test_an_update_that_fails_is_one_sentence(project: Project) -> None:
    project.answers("", err="noise\nerror: the database is protected\n", status=255)
    with pytest.raises(OpsError, match="pulumi up of prod failed: error: the database is protected"):
        Stack("prod").apply({}, Reporter())


def test_a_command_that_is_stopped_lets_pulumi_end_by_itself(project: Project) -> None:
    """Ctrl-C, and what a terminal does with it, are those of tests of the commands."""
    (project.bin / "pulumi").write_text(
        f"#!{sys.executable}\n"
        "import os, signal, sys, time\n"
        "def end(number, frame):\n"
        "    time.sleep(0.5)\n"
        "    open('ended', 'w').close()\n"
        "    sys.exit(1)\n"
        "signal.signal(signal.SIGINT, end)\n"
        f"os.kill({os.getpid()}, signal.SIGINT)\n"
        "time.sleep(60)\n"
    )
    with pytest.raises(KeyboardInterrupt):
        Stack("prod").apply({}, Reporter())
    assert (project.directory / "ended").exists()


def test_an_output_that_is_not_there_is_named_with_what_to_do(project: Project) -> None:
    project.answers(json.dumps({"release": "19.0"}))
    with pytest.raises(OpsError, match=r"prod has no output operations_bucket: run `pulumi up --stack prod`"):
        Stack("prod").output("operations_bucket")


@pytest.mark.parametrize("name", ["", "..", "a b", "../prod", "x" * 101])
def test_what_is_no_name_of_a_stack_is_refused(project: Project, name: str) -> None:
    with pytest.raises(OpsError, match="is no name of a stack"):
        Stack(name)


def test_outside_the_project_one_sentence_says_so(
    project: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(OpsError, match="is not in the project"):
        Stack("prod")
