"""What a file store is looked at for, on real files."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ops.site import files


def put(store: Path, content: bytes) -> str:
    digest = hashlib.sha1(content, usedforsecurity=False).hexdigest()
    name = f"{digest[:2]}/{digest}"
    (store / name).parent.mkdir(exist_ok=True, parents=True)
    (store / name).write_bytes(content)
    return name


def test_a_file_store_that_is_not_there_holds_nothing(tmp_path: Path) -> None:
    assert files.look(str(tmp_path / "none")) == {"count": 0, "bytes": 0, "folders": {}}
    found = files.check(str(tmp_path / "none"), ["ab/ab12"])
    assert (found["missing"], found["missing_count"]) == (["ab/ab12"], 1)


def test_missing_and_damaged_files_are_told_apart_and_named(tmp_path: Path) -> None:
    whole, damaged, missing = (put(tmp_path, text) for text in (b"whole", b"damaged", b"missing"))
    (tmp_path / damaged).write_bytes(b"Damaged")
    (tmp_path / missing).unlink()
    found = files.check(str(tmp_path), [whole, damaged, missing])
    assert found == {
        "checked": 3,
        "missing": [missing],
        "missing_count": 1,
        "damaged": [damaged],
        "damaged_count": 1,
    }


def test_only_the_folders_of_attachments_count(tmp_path: Path) -> None:
    put(tmp_path, b"one")
    (tmp_path / "checklist").mkdir()
    (tmp_path / "checklist" / "ab").write_text("")
    assert files.look(str(tmp_path))["count"] == 1


@pytest.mark.parametrize("change", ["remove", "add", "grow"])
def test_a_folders_digest_tells_of_every_change(tmp_path: Path, change: str) -> None:
    name = put(tmp_path, b"content")
    put(tmp_path, b"other content")
    before = files.look(str(tmp_path))
    folder = name[:2]
    if change == "remove":
        (tmp_path / name).unlink()
    elif change == "add":
        (tmp_path / folder / ("0" * 40)).write_bytes(b"")
    else:
        (tmp_path / name).write_bytes(b"content and more")
    after = files.look(str(tmp_path))
    assert after["folders"].get(folder) != before["folders"][folder]


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(contents=st.sets(st.binary(max_size=40), max_size=12))
def test_what_is_looked_at_does_not_depend_on_the_order_of_making(
    tmp_path_factory: pytest.TempPathFactory, contents: set[bytes]
) -> None:
    one, two = tmp_path_factory.mktemp("one"), tmp_path_factory.mktemp("two")
    for content in sorted(contents):
        put(one, content)
    for content in sorted(contents, reverse=True):
        put(two, content)
    found = files.look(str(one))
    assert found == files.look(str(two))
    assert (found["count"], found["bytes"]) == (len(contents), sum(map(len, contents)))
