"""The manifest of a dump."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.dump_manifest import Loaded, Locale, Manifest, ManifestError, Piece, differences, read, some


def manifest(**changed: Any) -> Manifest:
    values: dict[str, Any] = {
        "label": "before",
        "database": 'My "odd" Näme',
        "taken": datetime(2027, 1, 31, 12, tzinfo=UTC),
        "release": "19.0",
        "server_version": "17.6",
        "database_uuid": "u",
        "locale": Locale(collate="C", ctype="C"),
        "immutable_unaccent": False,
        "modules": {"base": "19.0.1.3"},
        "rows": {"public.res_users": 5},
        "compression": "zstd",
        "with_files": True,
        "file_count": 2,
        "file_bytes": 30,
        "missing_files": ("aa/gone",),
        "damaged_files": ("bb/bad",),
        "pieces": (
            Piece(name="database-000001.tar.zst", bytes=10, unpacked=99, files=3, sha256="0" * 64),
            Piece(name="files-000001.tar.zst", bytes=20, unpacked=30, files=2, sha256="1" * 64),
        ),
    }
    return Manifest(**values | changed)


def loaded(**changed: Any) -> Loaded:
    values: dict[str, Any] = {
        "rows": {"public.res_users": 5},
        "modules": {"base": "19.0.1.3"},
        "file_count": 2,
        "file_bytes": 30,
        "missing_files": ["aa/gone"],
        "damaged_files": ["bb/bad"],
    }
    return Loaded(**values | changed)


def test_a_manifest_is_read_as_it_was_written() -> None:
    assert read(manifest().text()) == manifest()
    assert manifest().bytes == 30
    assert manifest().database_bytes == 99


@given(st.text(max_size=20), st.dictionaries(st.text(max_size=9), st.integers(0, 2**60), max_size=3))
def test_every_label_and_every_table_comes_back(label: str, rows: dict[str, int]) -> None:
    made = manifest(label=label, rows=rows)
    assert read(made.text().encode()) == made


@given(st.data())
def test_a_manifest_that_is_cut_or_changed_anywhere_is_refused(data: st.DataObject) -> None:
    text = manifest().text()
    place = data.draw(st.integers(0, len(text.rstrip()) - 1))
    changed = data.draw(
        st.sampled_from([text[:place], text[:place] + chr(ord(text[place]) ^ 1) + text[place + 1 :]])
    )
    try:
        if json.loads(changed) == json.loads(text):
            return  # a space became another
    except ValueError:
        pass
    with pytest.raises(ManifestError):
        read(changed)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("", "it is no JSON"),
        ("[]", "not one of a dump"),
        ("{}", "not one of a dump"),
        ('{"format": 2}', "this version reads format 1"),
        ('{"format": 1, "label": "x"}', "was altered"),
    ],
)
def test_what_is_no_manifest_is_said_plainly(content: str, said: str) -> None:
    with pytest.raises(ManifestError, match=said):
        read(content)


@pytest.mark.parametrize("name", ["../x", "files-1.tar.zst", "/etc/passwd", "files-000001.tar.zst\n"])
def test_a_piece_has_a_plain_name(name: str) -> None:
    with pytest.raises(ValueError, match="name"):
        Piece(name=name, bytes=1, unpacked=1, files=1, sha256="0" * 64)


def test_a_piece_is_named_once() -> None:
    piece = manifest().pieces[0]
    with pytest.raises(ManifestError, match="twice"):
        read(manifest(pieces=(piece, piece)).text())


def test_what_was_dumped_and_loaded_does_not_differ() -> None:
    assert differences(manifest(), loaded()) == []
    assert differences(manifest(), loaded(missing_files=[], damaged_files=[])) == []
    without = loaded(file_count=None, file_bytes=None, missing_files=["cc/x"])
    assert differences(manifest(), without) == []


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"rows": {"public.res_users": 4}}, "table public.res_users: 4, in the dump 5 rows"),
        ({"rows": {}}, "table public.res_users: not there"),
        ({"modules": {}}, "modules that differ: base"),
        ({"modules": {"base": "19.0.1.3", "crm": "1"}}, "modules that differ: crm"),
        ({"file_count": 1}, "files: 1 of 30 bytes, in the dump 2 of 30 bytes"),
        ({"missing_files": ["cc/x"]}, "attachments without their stored file: cc/x"),
        ({"damaged_files": ["cc/x"]}, "whose SHA-1 is not their name: cc/x"),
    ],
)
def test_every_difference_is_named(changed: dict[str, Any], said: str) -> None:
    (found,) = differences(manifest(), loaded(**changed))
    assert said in found


def test_many_names_are_counted() -> None:
    assert some([str(number) for number in range(12)]).endswith("9 and 2 more")
