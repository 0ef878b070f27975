"""Data modules: hash, checks and archive. The servers' own reading of it: test_server_modules.py."""

from __future__ import annotations

import hashlib
import io
import shutil
import subprocess
import zipfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.module_package import (
    MANIFEST,
    DataModule,
    NotADataModuleError,
    data_module,
    installed_version,
    is_left_out,
    load,
    object_key,
    read_folder,
    tree_hash,
)
from core.problems import Invalid

CSV = b"id,name\ncolour_red,Red\n"
MANIFEST_TEXT = b"""# -*- coding: utf-8 -*-
{'name': 'Colours of our products', 'version': '1.0', 'depends': ['product'], 'data': ['data/colour.csv']}
"""
GOOD: dict[str, bytes] = {
    MANIFEST: MANIFEST_TEXT,
    "__init__.py": b"# Data alone.\n",
    "data/colour.csv": CSV,
}

parts = st.text(st.characters(codec="utf-8", categories=("L", "N")), min_size=1, max_size=6)
paths = st.lists(parts, min_size=1, max_size=3).map("/".join)
trees = st.dictionaries(paths, st.binary(max_size=40), min_size=1, max_size=6).filter(
    lambda files: not any(one != other and other.startswith(f"{one}/") for one in files for other in files)
)


def write(folder: Path, files: dict[str, bytes]) -> Path:
    for path, content in files.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_bytes(content)
    return folder


def manifest(**changes: object) -> dict[str, bytes]:
    """Return a manifest with changes; None takes a key away."""
    values = {"name": "x", "version": "1.0", **changes}
    return {MANIFEST: repr({key: value for key, value in values.items() if value is not None}).encode()}


def why_not(files: dict[str, bytes], name: str = "company_colours") -> str:
    with pytest.raises(NotADataModuleError) as refused:
        data_module(name, files)
    return str(refused.value)


def test_a_data_module_is_known_by_name_version_and_hash(tmp_path: Path) -> None:
    module = load(write(tmp_path / "company_colours", GOOD))
    assert (module.name, module.version, module.depends) == ("company_colours", "1.0", ("product",))
    assert module.sha256 == tree_hash(GOOD)
    assert object_key(module.name, module.sha256) == f"modules/company_colours/{module.sha256}.zip"


@given(trees, st.data())
def test_the_hash_is_that_of_the_files_in_whatever_order_and_of_no_others(
    files: dict[str, bytes], data: st.DataObject
) -> None:
    order = data.draw(st.permutations(sorted(files)))
    assert tree_hash({path: files[path] for path in order}) == tree_hash(files)
    path = data.draw(st.sampled_from(sorted(files)))
    other = dict(files)
    content = other.pop(path)
    assert tree_hash(other) != tree_hash(files)
    assert tree_hash({**other, f"{path}x": content}) != tree_hash(files)
    assert tree_hash({**other, path: content + b"x"}) != tree_hash(files)


@given(trees)
def test_an_archive_is_the_same_each_time_and_gives_the_files_back(files: dict[str, bytes]) -> None:
    module = DataModule(name="m", version="1.0", sha256=tree_hash(files), depends=(), files=files)
    turned = DataModule(
        name="m", version="1.0", sha256=module.sha256, depends=(), files=dict(reversed(list(files.items())))
    )
    assert module.archive() == turned.archive()
    with zipfile.ZipFile(io.BytesIO(module.archive())) as archive:
        entries = archive.infolist()
        assert {entry.filename: archive.read(entry) for entry in entries} == files
    assert [entry.filename for entry in entries] == sorted(files)
    assert {(entry.date_time, entry.external_attr >> 16, entry.create_system) for entry in entries} == {
        ((1980, 1, 1, 0, 0, 0), 0o100644, 3)
    }


@pytest.mark.skipif(shutil.which("sha256sum") is None, reason="no sha256sum on PATH")
def test_the_hash_is_what_debians_own_tools_compute(tmp_path: Path) -> None:
    write(tmp_path, {**GOOD, "data/Über uns.csv": b"x", "data.csv": b"", "data/z/a": b"\0"})
    shown = subprocess.run(
        "find . -type f -printf '%P\\n' | LC_ALL=C sort | xargs -d '\\n' sha256sum | sha256sum",
        shell=True,
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    assert shown.split()[0] == tree_hash(read_folder(tmp_path))


def test_what_belongs_to_tools_is_no_part_of_a_module(tmp_path: Path) -> None:
    tools = (".git/HEAD", ".idea/x.xml", "data/.colour.csv.swp", "data/colour.csv~", "#notes#", "x.pyc")
    write(tmp_path / "m", {**GOOD, **dict.fromkeys((*tools, "__pycache__/__init__.txt"), b"x")})
    (tmp_path / "m" / ".#lock").symlink_to("nobody@nowhere")
    assert read_folder(tmp_path / "m") == GOOD
    assert not is_left_out("readme.md")


def test_links_are_refused_wherever_they_lead(tmp_path: Path) -> None:
    folder = write(tmp_path / "m", GOOD)
    (folder / "data" / "secret.csv").symlink_to("/etc/shadow")
    (folder / "more").symlink_to(tmp_path)
    with pytest.raises(NotADataModuleError, match=r"data/secret.csv is a link; more is a link"):
        read_folder(folder)


def test_a_name_that_a_list_could_not_hold_is_refused(tmp_path: Path) -> None:
    folder = write(tmp_path / "m", {**GOOD, "data/a\nb.csv": b"", "c\\d": b""})
    with pytest.raises(NotADataModuleError, match=r"c\\d has a name with .*; data/a\?b.csv has a name with"):
        read_folder(folder)


def test_a_path_that_is_no_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(NotADataModuleError, match="is no folder"):
        load(tmp_path / "nothing")


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"models.py": b""}, "models.py is code"),
        ({"migrations/1.0/post-x.py": b"# nothing"}, "migrations/1.0/post-x.py is code"),
        ({"lib/fast.so": b""}, "lib/fast.so is code"),
        ({"__init__.py": b"from . import models\n"}, "__init__.py holds more than comments"),
        ({"wizard/__init__.py": b"x = 1"}, "wizard/__init__.py holds more than comments"),
        ({"__init__.py": b"# coding: utf-7\n# +AAo-import os\n"}, "__init__.py holds more than comments"),
        ({"__init__.py": b"\0"}, "__init__.py holds more than comments"),
        ({MANIFEST: b"dict(name='x')"}, "not one dictionary of plain values"),
        ({MANIFEST: b"['x']"}, "not one dictionary of plain values"),
        ({MANIFEST: b"{" * 300}, "not one dictionary of plain values"),
        ({MANIFEST: b"\xff"}, "not one dictionary of plain values"),
        (manifest(name=None), "has no `name`"),
        (manifest(version=None), "`version` is missing or no text"),
        (manifest(version=1.0), "`version` is missing or no text"),
        (manifest(version="1.0-rc"), "`version` '1.0-rc' is not a module version"),
        (manifest(data=["a.csv"]), "a.csv, which its manifest lists"),
        (manifest(demo=["../a.csv"]), "../a.csv, which its manifest"),
        (manifest(data="a.csv"), "`data` is not a list of texts"),
        (manifest(depends=[1]), "`depends` is not a list of texts"),
        (manifest(post_load="f"), "names Python code as `post_load`"),
        (manifest(auto_install=True), "says `auto_install`"),
        (manifest(installable=False), "not `installable`"),
    ],
)
def test_what_is_no_data_module_is_refused_with_the_reason(changes: dict[str, bytes], reason: str) -> None:
    assert reason in why_not({**GOOD, **changes})


@pytest.mark.parametrize("name", ["Company", "1st", "a-b", "", "base", "l10n_de", "openerp_guard"])
def test_a_name_that_is_none_or_that_of_another_module_is_refused(name: str) -> None:
    assert "name" in why_not(GOOD, name)


def test_a_folder_without_a_manifest_is_refused() -> None:
    assert (
        why_not({"__init__.py": b""}) == "'company_colours' is not a data module: it has no __manifest__.py"
    )


def test_everything_that_is_wrong_is_said_at_once() -> None:
    text = why_not({**manifest(name=None, data=["a.csv"]), "models.py": b""}, "base")
    assert text.count(";") == 3


@pytest.mark.parametrize(
    ("version", "written"),
    [("1.0", "19.0.1.0"), ("1.2.3", "19.0.1.2.3"), ("19.0.1.0", "19.0.1.0"), ("19.0.1.0.2", "19.0.1.0.2")],
)
def test_a_version_is_known_as_odoo_writes_it(version: str, written: str) -> None:
    assert installed_version(version, "19.0") == written


@pytest.mark.parametrize("version", ["1", "1.2.3.4", "18.0.1.0", "19.0", "19.0.1.2.3.4", "19.01.1.1"])
def test_a_version_that_odoo_would_not_install_is_refused(version: str) -> None:
    with pytest.raises(Invalid, match=r"not one that OpenERP 19\.0 installs"):
        installed_version(version, "19.0")


@given(trees)
def test_lists_of_hashes_say_what_the_hash_is_made_of(files: dict[str, bytes]) -> None:
    """The same in other words, so that a slip in one of them is seen."""
    digest = hashlib.sha256()
    for path in sorted(files, key=str.encode):
        digest.update(f"{hashlib.sha256(files[path]).hexdigest()}  {path}\n".encode())
    assert digest.hexdigest() == tree_hash(files)
