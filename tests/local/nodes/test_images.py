"""How images are kept and from where they are made; making a real one belongs to `make live`."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from core.servers.files.openerp_server.install import PACKAGE_SERVICES, PACKAGES
from local.nodes import images
from local.nodes.images import RECIPES, ImageError, Recipe, ensure, find_archives, path_of
from local.processes import identity

NAME = "debian-13"
ROOT = Path(__file__).resolve().parents[3]


def quiet(_note: str) -> None:
    """Nothing to show."""


def builder(made: list[str]) -> Callable[[str, Recipe, Path, Callable[[str], None]], Path]:
    def build(name: str, recipe: Recipe, beside: Path, progress: Callable[[str], None]) -> Path:
        made.append(name)
        assert list(beside.iterdir()) == []
        (beside / "root").mkdir()
        (beside / "root/file").write_text("complete")
        return beside / "root"

    return build


def test_an_image_is_made_once_and_then_found(tmp_path: Path) -> None:
    made: list[str] = []
    notes: list[str] = []
    first = ensure(NAME, tmp_path, notes.append, builder(made))
    assert ensure(NAME, tmp_path, notes.append, builder(made)) == first == path_of(NAME, tmp_path)
    assert made == [NAME]
    assert (first / "file").read_text() == "complete"
    assert notes == [f"image {NAME}: ready"]


def test_two_that_want_the_same_image_make_it_once(tmp_path: Path) -> None:
    made: list[str] = []
    threads = [threading.Thread(target=ensure, args=(NAME, tmp_path, quiet, builder(made))) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert made == [NAME]


def test_what_a_killed_builder_left_is_removed_and_never_used(tmp_path: Path) -> None:
    script = """
        import os, sys
        from pathlib import Path
        from local.nodes import images
        def build(name, recipe, beside, progress):
            (beside / "root").mkdir()
            (beside / "root/half").touch()
            os.kill(os.getpid(), 9)
        images.ensure(sys.argv[1], Path(sys.argv[2]), print, build)
    """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(script), NAME, str(tmp_path)],
        cwd=images.__file__.partition("/local/")[0],
        check=False,
    )
    assert done.returncode == -9
    assert not path_of(NAME, tmp_path).exists()
    root = ensure(NAME, tmp_path, quiet, builder([]))
    assert [path.name for path in root.iterdir()] == ["file"]
    assert sorted(path.name for path in root.parent.iterdir()) == [root.name, f"{root.name}.lock"]


def test_a_failed_build_leaves_no_image(tmp_path: Path) -> None:
    def build(name: str, recipe: Recipe, beside: Path, progress: Callable[[str], None]) -> Path:
        raise ImageError("no way")

    with pytest.raises(ImageError, match="no way"):
        ensure(NAME, tmp_path, quiet, build)
    assert not path_of(NAME, tmp_path).exists()
    assert ensure(NAME, tmp_path, quiet, builder([])).is_dir()


def test_an_image_that_no_recipe_makes_is_refused_by_name(tmp_path: Path) -> None:
    with pytest.raises(ImageError, match=r"no image debian-12, only debian-13, openerp-19\.0"):
        ensure("debian-12", tmp_path, quiet)


def test_another_recipe_is_another_image() -> None:
    assert len({recipe.key() for recipe in RECIPES.values()}) == len(RECIPES)
    assert Recipe(packages=("a",)).key() != Recipe(packages=("a",), revision=2).key()
    assert Recipe(packages=("a",)).key() != Recipe(packages=("a",), files={"/f": ""}).key()


def test_a_bare_image_has_nothing_of_odoo_and_a_prepared_one_what_a_server_would_install() -> None:
    bare, prepared = RECIPES["debian-13"], RECIPES["openerp-19.0"]
    assert not [name for name in bare.packages if "odoo" in name or "nginx" in name]
    assert not bare.unstable
    assert {"cloud-init", "python3", "systemd"} <= set(bare.packages)
    assert {"odoo-19", "tzdata-legacy", *PACKAGES} <= set(prepared.packages)
    assert set(PACKAGE_SERVICES) <= set(prepared.masked)


def test_the_archive_is_the_first_that_has_the_suite() -> None:
    held = {
        ("http://other/repository", "stable"),
        ("http://mirror/debian", "trixie"),
        ("http://second/debian", "trixie"),
        ("http://mirror/debian-security", "trixie-security"),
    }

    def has(uri: str, suite: str) -> bool:
        return (uri, suite) in held

    candidates = ["http://other/repository", "http://mirror/debian", "http://second/debian"]
    assert find_archives(candidates, has) == ("http://mirror/debian", "http://mirror/debian-security")
    held.remove(("http://mirror/debian-security", "trixie-security"))
    assert find_archives(candidates, has) == ("http://mirror/debian", None)
    with pytest.raises(ImageError, match="OPENERP_DEBIAN_MIRROR"):
        find_archives(candidates[:1], has)


@pytest.mark.skipif(not Path("/usr/lib/apt/apt-helper").exists(), reason="this machine has no apt")
def test_archives_and_options_come_from_this_machines_apt(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    configuration = tmp_path / "apt.conf"
    configuration.write_text(
        f'Dir::Etc "{tmp_path}"; Dir::Etc::sourcelist "sources"; Dir::Etc::sourceparts "-";'
        f'Dir::State::lists "{tmp_path}/lists";'
        'Acquire::http::Proxy "http://proxy.test:3128"; Acquire::Retries "4"; Acquire::Languages "none";'
    )
    (tmp_path / "sources").write_text(
        "deb http://mirror.test/debian trixie main\n"
        "deb http://mirror.test/debian trixie-updates main\n"
        "deb http://mirror.test/debian-security trixie-security main\n"
    )
    monkeypatch.setenv("APT_CONFIG", str(configuration))
    monkeypatch.delenv(images.MIRROR_VARIABLE, raising=False)
    assert images.host_archives() == ["http://mirror.test/debian", "http://mirror.test/debian-security"]
    options = images.host_options().splitlines()
    assert 'Acquire::http::Proxy "http://proxy.test:3128";' in options
    assert 'Acquire::Retries "4";' in options
    assert not [line for line in options if "Languages" in line]
    monkeypatch.setenv(images.MIRROR_VARIABLE, "http://given.test/debian/")
    assert images.host_archives()[0] == "http://given.test/debian"


def test_nothing_of_this_machine_stays_in_an_image(tmp_path: Path) -> None:
    root = tmp_path / "root"
    for name in ("etc/apt/apt.conf.d", "etc/apt/preferences.d", "etc/systemd/system", "var/lib/dbus"):
        (root / name).mkdir(parents=True)
    (root / "etc/apt/sources.list.d").mkdir()
    (root / "etc/apt/sources.list.d/0000all.sources").write_text("sid")
    (root / "etc/apt/apt.conf.d/99mmdebstrap").write_text("Acquire::http::Proxy secret")
    (root / "etc/apt/preferences.d/pins").write_text("sid")
    (root / "etc/hostname").write_text("this-machine")
    (root / "etc/resolv.conf").symlink_to("/run/resolv.conf")
    (root / "etc/machine-id").write_text("0123")
    images._finish(RECIPES["openerp-19.0"], root, "http://mirror.test/debian", None)
    files = {
        str(path.relative_to(root)): "" if path.is_symlink() else path.read_text()
        for path in root.rglob("*")
        if path.is_symlink() or path.is_file()
    }
    assert not [name for name, text in files.items() if "this-machine" in text or "secret" in text]
    assert files["etc/machine-id"] == files["etc/resolv.conf"] == ""
    assert "sid" not in "".join(text for name, text in files.items() if name.startswith("etc/apt/"))
    assert "URIs: http://mirror.test/debian\n" in files["etc/apt/sources.list.d/debian.sources"]
    assert (root / "etc/systemd/system/odoo.service").readlink() == Path("/dev/null")
    assert "169.254.169.252:3128" in files["etc/apt/apt.conf.d/95openerp"]


def test_cloud_init_is_given_valid_python_and_settings() -> None:
    import yaml

    compile(images.DATA_SOURCE, "DataSourceEc2Container.py", "exec")
    settings = yaml.safe_load(images.CLOUD_CONFIG)
    assert settings["datasource_list"] == ["Ec2Container"]
    assert settings["growpart"] == {"mode": "off"}


def test_what_mmdebstrap_says_reaches_people_and_its_errors_the_message(tmp_path: Path) -> None:
    notes: list[str] = []
    said = "I: extracting archives...\\nI: other\\nE: no space\\nI: cleaning\\n"
    with pytest.raises(ImageError, match=r"^mmdebstrap failed: E: no space$"):
        images._run(["sh", "-c", f"printf '{said}' >&2; exit 1"], tmp_path, notes.append)
    assert notes == ["unpacking the essential packages"]
    images._run(["sh", "-c", 'test "$TMPDIR" = "$0"', str(tmp_path)], tmp_path, notes.append)


@pytest.mark.skipif(os.geteuid() != 0 or sys.platform != "linux", reason="namespaces need Linux and root")
def test_a_builder_that_is_killed_leaves_no_process(tmp_path: Path) -> None:
    program = textwrap.dedent(
        """
        import pathlib, sys
        from local.nodes import images
        script = "sleep 1000 & echo 'I: extracting archives...' >&2; wait"
        print("started", flush=True)
        command = [*images.BOUND, "sh", "-c", script]
        images._run(command, pathlib.Path(sys.argv[1]), lambda line: print(line, flush=True))
        """
    )
    with subprocess.Popen(
        [sys.executable, "-c", program, str(tmp_path)], stdout=subprocess.PIPE, text=True, cwd=ROOT
    ) as builder:
        assert builder.stdout is not None
        assert builder.stdout.readline() == "started\n"
        assert builder.stdout.readline() == "unpacking the essential packages\n"
        started = [*_below(builder.pid)]
        assert len(started) >= 3
        builder.kill()
    deadline = time.monotonic() + 10
    while any(identity(pid) is not None for pid in started):
        assert time.monotonic() < deadline
        time.sleep(0.02)


def _below(pid: int) -> Iterator[int]:
    for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split():
        yield int(child)
        yield from _below(int(child))


def test_mmdebstrap_runs_in_namespaces_of_its_own(tmp_path: Path) -> None:
    command = images._command(
        RECIPES["openerp-19.0"], tmp_path / "root", tmp_path, "http://mirror.test/debian", None
    )
    assert tuple(command[: command.index("mmdebstrap")]) == images.BOUND
    assert "Pin: release n=sid" in (tmp_path / "pins").read_text()
    assert "Suites: sid" in (tmp_path / "all.sources").read_text()
    assert not os.access(tmp_path / "root", os.F_OK)
