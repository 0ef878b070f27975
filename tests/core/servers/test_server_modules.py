"""Data modules on a server: fetched, verified, put in place; a bucket is a dictionary here.

That servers fetch with the instance's role is shown on booted ones.
"""

from __future__ import annotations

import functools
import io
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given

from core import module_package
from core.servers.cloud_init import server_settings
from core.servers.files.openerp_server import __main__ as program
from core.servers.files.openerp_server import common, modules
from tests.core.servers.conftest import MakeServer
from tests.core.test_module_package import GOOD, trees, write

NAME = "company_colours"
HASH = module_package.tree_hash(GOOD)


def archive(files: dict[str, bytes]) -> bytes:
    """Return what `ops` uploads."""
    return module_package.DataModule(name=NAME, version="1.0", sha256="", depends=(), files=files).archive()


def zipped(*entries: tuple[str, bytes]) -> bytes:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as opened:
        for name, content in entries:
            opened.writestr(name, content)
    return packed.getvalue()


@pytest.fixture
def addons(tmp_path: Path) -> Path:
    folder = tmp_path / "addons"
    write(folder / "openerp_guard", {"__init__.py": b"# ours"})
    return folder


@pytest.fixture
def settings(make_server: MakeServer, addons: Path) -> common.Server:
    server = make_server(data_modules=((NAME, HASH),), operations_bucket="operations")
    return {**server_settings(server), "addons_dir": str(addons)}


Bucket = Callable[..., list[str]]


@pytest.fixture
def bucket(monkeypatch: pytest.MonkeyPatch) -> Bucket:
    """`bucket(answers…)`: what it answers, one after another, the last for good; gives what is asked."""

    def holding(*answers: bytes | Exception) -> list[str]:
        asked: list[str] = []
        left = list(answers)

        def fetch(server: common.Server, name: str, wanted: str) -> dict[str, bytes]:
            asked.append(f"{server['operations_bucket']}/{name}/{wanted}")
            answer = left.pop(0) if len(left) > 1 else left[0]
            if isinstance(answer, Exception):
                raise answer
            return modules.unpack(answer, name, wanted)

        clock = [0.0]
        monkeypatch.setattr(modules, "fetch", fetch)
        monkeypatch.setattr(
            common,
            "keep_trying",
            functools.partial(
                common.keep_trying,
                sleep=lambda pause: clock.__setitem__(0, clock[0] + pause),
                now=lambda: clock[0],
            ),
        )
        return asked

    return holding


@given(trees)
def test_a_server_knows_a_module_by_the_same_hash(files: dict[str, bytes]) -> None:
    sha256 = module_package.tree_hash(files)
    assert modules.tree_hash(files) == sha256
    assert modules.unpack(archive(files), "m", sha256) == files


def test_a_module_is_put_on_the_addons_path_once(
    settings: common.Server, addons: Path, bucket: Bucket, capsys: pytest.CaptureFixture[str]
) -> None:
    asked = bucket(archive(GOOD))
    for _ in range(2):
        modules.fetch_modules(settings)
    assert asked == [f"operations/{NAME}/{HASH}"]
    assert module_package.read_folder(addons / NAME) == GOOD
    assert sorted(path.name for path in addons.iterdir()) == [NAME, "openerp_guard"]
    assert capsys.readouterr().err == f"openerp: the data module {NAME} is on the addons path\n"


@pytest.mark.parametrize("left", ["whole", "beside"])
def test_what_was_changed_or_left_half_done_is_replaced(
    settings: common.Server, addons: Path, bucket: Bucket, left: str
) -> None:
    bucket(archive(GOOD))
    folder = addons / (NAME if left == "whole" else f".{NAME}")
    write(folder, {"data/colour.csv": b"changed", "models.py": b"import os"})
    modules.fetch_modules(settings)
    assert module_package.read_folder(addons / NAME) == GOOD
    assert sorted(path.name for path in addons.iterdir()) == [NAME, "openerp_guard"]


def test_a_module_that_is_there_needs_no_bucket(
    settings: common.Server, addons: Path, bucket: Bucket
) -> None:
    """Odoo's restarts in an outage look at modules, too."""
    write(addons / NAME, GOOD)
    asked = bucket(OSError("no route"))
    modules.fetch_modules(settings)
    assert asked == []


def test_a_module_that_comes_late_is_waited_for(
    settings: common.Server, addons: Path, bucket: Bucket
) -> None:
    asked = bucket(OSError("NoSuchKey"), zipped()[:9], archive(GOOD))
    modules.fetch_modules(settings)
    assert len(asked) == 3
    assert (addons / NAME / "data" / "colour.csv").read_bytes() == GOOD["data/colour.csv"]


def test_a_module_that_never_comes_fails_the_start_with_its_name(
    settings: common.Server, bucket: Bucket
) -> None:
    asked = bucket(OSError("NoSuchKey"))
    with pytest.raises(common.StepError, match=f"^data module {NAME}: OSError: NoSuchKey$"):
        modules.fetch_modules(settings)
    assert len(asked) > 100


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (
            archive({**GOOD, "models.py": b"import os"}),
            f"has the hash [0-9a-f]{{64}}, but dataModules says {HASH}",
        ),
        (archive({**GOOD, "data/colour.csv": b"other"}), "has the hash"),
        (zipped(), "has the hash"),
        (zipped(("../other/models.py", b"x")), r"holds the path '\.\./other/models\.py'"),
        (zipped(("a/../../x", b"x")), "holds the path"),
        (zipped(("/etc/passwd", b"x")), "holds the path '/etc/passwd'"),
        (zipped(("a/./b", b"x")), "holds the path"),
        (zipped(("a/", b"")), "holds the path"),
    ],
)
def test_what_is_not_the_module_is_refused_at_once_and_nothing_is_written(
    settings: common.Server, addons: Path, bucket: Bucket, content: bytes, reason: str
) -> None:
    asked = bucket(content)
    with pytest.raises(common.StepError, match=reason):
        modules.fetch_modules(settings)
    assert len(asked) == 1
    assert [path.name for path in addons.iterdir()] == ["openerp_guard"]


def test_the_step_says_what_is_wrong_on_the_console(
    settings: common.Server,
    bucket: Bucket,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    bucket(zipped())
    monkeypatch.setattr(common, "read_server", lambda: settings)
    assert program.main(["modules"]) == program.FINAL
    assert capsys.readouterr().err.startswith(f"openerp: modules failed: the data module {NAME} has the hash")
