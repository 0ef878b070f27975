"""The workflows as data: pinned, with least rights, and safe from what a pull request can name.

That GitHub runs them is not proven here; actionlint checks them in `make lint`.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from ops.drill_policies import ENVIRONMENT
from tests.workflows import actionlint

ROOT = Path(__file__).resolve().parents[2]
SCRIPTS = ROOT / ".github" / "scripts"
FILES = actionlint.workflows()
NAMES = [path.name for path in FILES]

both = pytest.mark.parametrize("path", FILES, ids=NAMES)


def load(path: Path) -> dict[str, Any]:
    """Return a workflow; YAML 1.1 reads its key `on` as true, which is put right here."""
    value = yaml.safe_load(path.read_text())
    return {"on" if key is True else key: content for key, content in value.items()}


def steps(path: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    for name, job in load(path)["jobs"].items():
        for step in job["steps"]:
            yield name, step


def test_the_five_workflows_are_there() -> None:
    assert NAMES == ["deploy.yml", "drill.yml", "preview.yml", "tests.yml", "weekly.yml"]


@both
def test_every_action_is_pinned_by_hash_and_says_its_version(path: Path) -> None:
    lines = [line.strip() for line in path.read_text().splitlines() if re.match(r"\s*-?\s*uses:", line)]
    assert lines
    for line in lines:
        assert re.fullmatch(r"-? ?uses: [\w.-]+/[\w.-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+", line), line


def test_one_action_has_one_version_everywhere() -> None:
    used = {
        line.split("uses: ")[1]
        for path in FILES
        for line in path.read_text().splitlines()
        if "uses: " in line
    }
    assert len(used) == len({use.split("@")[0] for use in used})


@both
def test_no_expression_stands_in_a_script(path: Path) -> None:
    """An expression in `run` is pasted into the shell before it is read: a branch name could be a command."""
    for name, step in steps(path):
        assert "${{" not in step.get("run", ""), (name, step.get("name"))


@both
def test_no_text_that_a_stranger_writes_is_used_at_all(path: Path) -> None:
    text = path.read_text()
    for untrusted in (
        "head.ref",
        "head_ref",
        "pull_request.title",
        "pull_request.body",
        "head.label",
        "ref_name",
    ):
        assert untrusted not in text


@both
def test_no_workflow_runs_a_pull_request_with_the_rights_of_the_repository(path: Path) -> None:
    triggers = load(path)["on"]
    assert "pull_request_target" not in triggers
    assert "workflow_run" not in triggers


@both
def test_every_job_names_its_rights_and_none_may_write_contents(path: Path) -> None:
    workflow = load(path)
    for name, job in workflow["jobs"].items():
        rights = job.get("permissions", workflow["permissions"])
        assert rights, name
        assert rights["contents"] == "read"
        assert {key for key, value in rights.items() if value == "write"} <= {"id-token", "pull-requests"}


@both
def test_no_checkout_leaves_its_token_behind(path: Path) -> None:
    checkouts = [step for _, step in steps(path) if "actions/checkout@" in step.get("uses", "")]
    assert checkouts
    assert all(step["with"]["persist-credentials"] is False for step in checkouts)


@both
def test_every_job_ends_by_itself(path: Path) -> None:
    assert all(0 < job["timeout-minutes"] <= 120 for job in load(path)["jobs"].values())


@both
def test_no_long_lived_key_is_used(path: Path) -> None:
    text = path.read_text()
    assert "secrets." not in text
    assert "aws-access-key-id" not in text


def test_the_tests_run_on_every_push_and_with_ci_run() -> None:
    workflow = load(ROOT / ".github" / "workflows" / "tests.yml")
    assert workflow["on"]["push"] is None
    assert workflow["jobs"]["tests"]["steps"][-1]["run"] == "bash .ci/run"


def test_a_pull_request_previews_the_three_stacks_with_a_role_that_reads() -> None:
    job = load(ROOT / ".github" / "workflows" / "preview.yml")["jobs"]["aws"]
    assert job["strategy"]["matrix"]["stack"] == ["dev", "training", "prod"]
    roles = [s["with"]["role-to-assume"] for s in job["steps"] if "role-to-assume" in s.get("with", {})]
    assert roles == ["${{ vars.AWS_PREVIEW_ROLE }}"]


def test_a_fork_and_a_repository_without_account_preview_the_local_stack_with_no_role() -> None:
    job = load(ROOT / ".github" / "workflows" / "preview.yml")["jobs"]["local"]
    assert "id-token" not in job["permissions"]
    assert not [s for s in job["steps"] if "aws-actions/" in s.get("uses", "")]


def test_a_deployment_is_guarded_by_the_environment_of_its_stack() -> None:
    workflow = load(ROOT / ".github" / "workflows" / "deploy.yml")
    assert list(workflow["on"]) == ["workflow_dispatch"]
    assert workflow["jobs"]["deploy"]["environment"] == "${{ inputs.stack }}"
    assert workflow["concurrency"]["cancel-in-progress"] is False


DRILL = ROOT / ".github" / "workflows" / "drill.yml"


def test_a_drill_is_made_each_week_and_its_age_is_told_each_day() -> None:
    workflow = load(DRILL)
    weekly, daily = (entry["cron"] for entry in workflow["on"]["schedule"])
    assert (weekly.split()[2:], daily.split()[2:]) == (["*", "*", "0"], ["*", "*", "*"])
    assert all(minute != "0" for minute in (weekly.split()[0], daily.split()[0])), "GitHub is busy then"
    drill, report = workflow["jobs"]["drill"]["steps"][-2:]
    assert drill["run"] == '.venv/bin/python -m ops drill --stack "$STACK" --yes'
    assert report["run"] == '.venv/bin/python -m ops drills --stack "$STACK" --report-age'
    assert f"github.event.schedule != '{daily}'" in drill["if"], "the daily run makes none"
    assert report["if"] == "${{ !cancelled() }}", "a failed drill must not silence the report"
    assert workflow["jobs"]["drill"]["env"]["STACK"] == "prod"
    assert workflow["concurrency"]["cancel-in-progress"] is False


def test_a_drill_that_nobody_approves_takes_the_role_that_changes_nothing() -> None:
    job = load(DRILL)["jobs"]["drill"]
    assert job["environment"] == ENVIRONMENT
    roles = [s["with"]["role-to-assume"] for s in job["steps"] if "role-to-assume" in s.get("with", {})]
    assert roles == ["${{ vars.AWS_DRILL_ROLE }}"]
    assert job["if"] == "vars.AWS_DRILL_ROLE != ''"
    assert job["timeout-minutes"] * 60 <= 7200, "as long as the role can be held"


def test_the_pulumi_of_the_workflows_is_the_one_of_the_requirements() -> None:
    pinned = re.search(r"^pulumi==(\S+)", (ROOT / "requirements.txt").read_text(), re.MULTILINE)
    assert pinned
    used = {
        step["with"]["pulumi-version"]
        for path in FILES
        for _, step in steps(path)
        if "pulumi-version" in step.get("with", {})
    }
    assert used == {pinned.group(1)}


@pytest.mark.parametrize("script", sorted(SCRIPTS.iterdir()), ids=lambda path: path.name)
def test_every_script_is_valid_and_used(script: Path) -> None:
    assert subprocess.run(["bash", "-n", script], check=False).returncode == 0
    assert any(f".github/scripts/{script.name}" in path.read_text() for path in FILES)


@pytest.fixture
def bin_(tmp_path: Path) -> Path:
    directory = tmp_path / "bin"
    directory.mkdir()
    return directory


def program(directory: Path, name: str, text: str) -> None:
    path = directory / name
    path.write_text(f"#!/bin/bash\n{text}\n")
    path.chmod(0o755)


def script(name: str, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["bash", SCRIPTS / name, *arguments],
        env=os.environ | environment,
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


REPORT = "<!-- openerp-preview:prod -->\n\n### Preview\n"


def comment(tmp_path: Path, bin_: Path, *, found: str = "", report: str = REPORT, **environment: str) -> Any:
    """Run the script with a `gh` that records how it is called and finds the comment `found`."""
    program(
        bin_,
        "gh",
        f'printf "%s\\n" "$*" >> "{tmp_path}/called"; case "$*" in *--paginate*) printf "{found}";; esac',
    )
    (tmp_path / "report.md").write_text(report)
    done = script(
        "comment",
        str(tmp_path / "report.md"),
        PATH=f"{bin_}:{os.environ['PATH']}",
        GITHUB_STEP_SUMMARY=str(tmp_path / "summary"),
        GITHUB_REPOSITORY="acme/openerp",
        PULL_REQUEST="7",
        **environment,
    )
    called = tmp_path / "called"
    return done, called.read_text().splitlines() if called.exists() else []


def test_the_first_report_makes_a_comment(tmp_path: Path, bin_: Path) -> None:
    done, called = comment(tmp_path, bin_)
    assert done.returncode == 0, done.stderr
    assert called[1].startswith(
        "api --silent --method POST repos/acme/openerp/issues/7/comments --field body=@"
    )
    assert (tmp_path / "summary").read_text() == REPORT


def test_a_later_report_edits_the_comment_of_its_stack(tmp_path: Path, bin_: Path) -> None:
    done, called = comment(tmp_path, bin_, found="41\\n42\\n")
    assert done.returncode == 0, done.stderr
    assert 'startswith("<!-- openerp-preview:prod -->")' in called[0]
    assert "github-actions[bot]" in called[0]
    assert called[1].startswith(
        "api --silent --method PATCH repos/acme/openerp/issues/comments/41 --field body=@"
    )


def test_for_a_fork_the_report_goes_to_the_summary_alone(tmp_path: Path, bin_: Path) -> None:
    done, called = comment(tmp_path, bin_, READ_ONLY="true")
    assert done.returncode == 0
    assert called == []
    assert (tmp_path / "summary").read_text() == REPORT
    assert "fork" in done.stdout


@pytest.mark.parametrize("report", ["", "no marker\n", '<!-- openerp-preview:x")) | .id -->\n'])
def test_a_file_that_is_no_report_is_never_posted(tmp_path: Path, bin_: Path, report: str) -> None:
    done, called = comment(tmp_path, bin_, report=report)
    assert done.returncode == 1
    assert called == []


def preview(tmp_path: Path, bin_: Path, pulumi: str) -> tuple[subprocess.CompletedProcess[str], str]:
    program(bin_, "pulumi", pulumi)
    done = script(
        "preview",
        "prod",
        str(tmp_path / "report.md"),
        PATH=f"{bin_}:{os.environ['PATH']}",
        PYTHON=sys.executable,
    )
    return done, (tmp_path / "report.md").read_text()


def test_a_preview_becomes_a_report(tmp_path: Path, bin_: Path) -> None:
    done, report = preview(tmp_path, bin_, 'echo "{\\"changeSummary\\": {\\"same\\": 3}}"')
    assert done.returncode == 0, done.stderr
    assert report.startswith("<!-- openerp-preview:prod -->")
    assert "no changes" in report


def test_a_failed_preview_fails_the_job_and_still_becomes_a_report(tmp_path: Path, bin_: Path) -> None:
    done, report = preview(tmp_path, bin_, 'echo "error: no stack named prod found" >&2; exit 255')
    assert done.returncode == 255
    assert "no stack named prod found" in report
    assert "no stack named prod found" in done.stderr


def test_an_actionlint_of_another_version_is_not_taken(tmp_path: Path, bin_: Path, monkeypatch: Any) -> None:
    monkeypatch.setenv("PATH", str(tmp_path / "nothing"))
    program(bin_, "actionlint", "echo 0.0.1")
    assert actionlint.find([bin_]) is None
    for said in (actionlint.VERSION, f"v{actionlint.VERSION}"):
        program(bin_, "actionlint", f"echo {said}")
        assert actionlint.find([bin_]) == str(bin_ / "actionlint")


def test_where_actionlint_cannot_be_had_it_is_said_and_only_ci_fails(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(actionlint, "find", lambda directories: None)
    monkeypatch.setattr(actionlint, "build", lambda go, target: "no network")
    monkeypatch.setattr(actionlint, "build_with_wheel", lambda target: "no network")
    monkeypatch.delenv("CI", raising=False)
    assert actionlint.main() == 0
    assert "did not check .github/" in capsys.readouterr().err
    monkeypatch.setenv("CI", "true")
    assert actionlint.main() == 1
