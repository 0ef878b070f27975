"""What a trial of a data module proves, and how Odoo's log is read. The logs are Odoo 19's own."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from core.module_evidence import (
    ERRORS,
    Content,
    Evidence,
    EvidenceError,
    Import,
    changes,
    errors_in,
    failure_in,
    is_bookkeeping,
    ledger_with,
    line_named,
    read,
    uncounted,
    why_not,
)
from core.settings_model import ProvenModule

BROKEN_CSV = """\
2026-11-28 21:21:59,377 10379 INFO trial odoo.modules.loading: loading bad/data/res.partner.category.csv \n\
2026-11-28 21:21:59,417 10379 INFO trial odoo.modules.loading: loading bad/data/res.partner.csv \n\
2026-11-28 21:21:59,979 10379 WARNING trial odoo.modules.loading: Transient module states were reset \n\
2026-11-28 21:21:59,979 10379 ERROR trial odoo.registry: Failed to load registry \n\
2026-11-28 21:21:59,979 10379 CRITICAL trial odoo.service.server: Failed to initialize database `trial`. \n\
Traceback (most recent call last):
  File "/usr/lib/python3/dist-packages/odoo/service/server.py", line 1510, in preload_registries
    registry = Registry.new(dbname, update_module=update_module, install_modules=config['init'])
  File "/usr/lib/python3/dist-packages/odoo/tools/convert.py", line 754, in convert_csv_import
    raise Exception(env._(
    ...<4 lines>...
    ))
Exception: Module loading bad failed: file bad/data/res.partner.csv could not be processed:
No matching record found for external id 'cat_zzz' in field 'Tags'
No matching record found for external id 'cat_zzz' in field 'Tags'
2026-11-28 21:21:59,982 10379 INFO trial odoo.service.server: Initiating shutdown \n\
"""
BROKEN_VIEW = """\
2026-11-28 21:24:01,113 1 INFO trial odoo.modules.loading: loading wrong/data/v.xml \n\
2026-11-28 21:24:01,118 1 CRITICAL trial odoo.service.server: Failed to initialize database `trial`. \n\
Traceback (most recent call last):
  File "/usr/lib/python3/dist-packages/odoo/tools/convert.py", line 560, in _tag_root
    f(rec)
odoo.exceptions.ValidationError: first

During handling of the above exception, another exception occurred:

Traceback (most recent call last):
  File "/usr/lib/python3/dist-packages/odoo/tools/convert.py", line 616, in _tag_root
    raise ParseError(msg) from None
odoo.tools.convert.ParseError: while parsing /var/lib/x/wrong/data/v.xml:1
Error while parsing or validating view:

Element '<field name="nofield">' cannot be located in parent view

View error context:
{'file': '/var/lib/x/wrong/data/v.xml',
 'line': 1}
2026-11-28 21:24:01,119 1 INFO trial odoo.service.server: Initiating shutdown \n\
"""
NO_COLUMN = """\
2026-11-28 21:26:51,018 7 INFO trial odoo.modules.loading: loading e/data/res.partner.csv \n\
2026-11-28 21:26:51,020 7 CRITICAL trial odoo.service.server: Failed to initialize database `trial`. \n\
Traceback (most recent call last):
  File "/usr/lib/python3/dist-packages/odoo/orm/models.py", line 1, in load
    raise ValueError(f"Invalid field name '{name}'")
ValueError: Invalid field name 'nocolumn'
"""
FROM_POSTGRES = """\
2026-11-28 21:26:51,018 7 ERROR trial odoo.sql_db: bad query: b'INSERT INTO "res_lang" …' \n\
ERROR: duplicate key value violates unique constraint "res_lang_code_uniq"
2026-11-28 21:26:51,020 7 CRITICAL trial odoo.service.server: Failed to initialize database `trial`. \n\
Traceback (most recent call last):
  File "/usr/lib/python3/dist-packages/odoo/sql_db.py", line 1, in execute
    self._obj.execute(query, params)
psycopg2.errors.UniqueViolation: duplicate key value violates unique constraint "res_lang_code_uniq"
DETAIL:  Key (code)=(en_US) already exists.
CONTEXT:  SQL statement "insert into other"
"""
NO_ID = """\
2026-11-28 21:23:27,826 9 INFO trial odoo.modules.loading: loading noid/data/res.partner.csv \n\
2026-11-28 21:23:27,827 9 ERROR trial odoo.tools.convert: Import specification does not contain 'id' and we \
are in init mode, Cannot continue. \n\
2026-11-28 21:23:28,000 9 INFO trial odoo.modules.loading: Modules loaded. \n\
"""
HASH = "ab" * 32


def evidence(**changed: Any) -> Evidence:
    fine = Import(seconds=12.5, status=0, errors=(), failure="")
    values: dict[str, Any] = {
        "result": "proven",
        "reason": "",
        "name": "colours",
        "version": "1.0",
        "files_sha256": HASH,
        "release": "19.0",
        "stack": "dev",
        "by": "anna@host",
        "verified": datetime(2026, 11, 28, 10, 12, tzinfo=UTC),
        "updated_from": None,
        "created": {"res.partner": 200, "res.partner.category": 2},
        "owned": "cd" * 32,
        "tables": {"public.res_partner": Content(rows=205, digest="ef")},
        "changed": (),
        "imports": (fine, fine),
        "copy_seconds": 2.1,
        "log": ("Modules loaded.",),
    }
    return Evidence(**{**values, **changed})


def test_the_document_is_read_back_as_it_was_written_and_an_altered_one_is_refused() -> None:
    written = evidence()
    assert read(written.text(), written.key) == written
    assert written.key == f"evidence/modules/colours/{HASH}/20261128-101200.json"
    altered = written.text().replace('"rows": 205', '"rows": 206')
    with pytest.raises(EvidenceError, match=r"20261128-101200\.json was altered"):
        read(altered, written.key)
    with pytest.raises(EvidenceError, match="it is no JSON"):
        read(written.text()[:-20], "x")
    with pytest.raises(EvidenceError, match="no evidence of a data module that this version reads"):
        read(json.dumps({"format": 2}), "x")


def test_the_ledgers_entry_is_one_that_the_settings_take() -> None:
    entry = ProvenModule.model_validate(evidence().entry())
    assert (entry.name, entry.version, entry.sha256, entry.release) == ("colours", "1.0", HASH, "19.0")
    assert entry.created == {"res.partner": 200, "res.partner.category": 2}
    assert entry.verified == "2026-11-28T10:12:00Z"


@pytest.mark.parametrize(
    "wrong",
    [
        {"reason": "it broke"},
        {"changed": ("res_partner: 1 rows more",)},
        {"imports": (Import(seconds=1, status=0, errors=(), failure=""),)},
        {"result": "failed"},
    ],
)
def test_nothing_is_proven_that_was_not(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        evidence(**wrong)


def test_a_new_proof_takes_the_place_of_an_older_one_of_the_same_and_of_no_other() -> None:
    entry = evidence().entry()
    older = {**entry, "verified": "2025-01-01T00:00:00Z"}
    others = [{**entry, "release": "18.0"}, {**entry, "sha256": "00" * 32}, {**entry, "name": "prices"}]
    assert ledger_with([older, *others], entry) == [*others, entry]
    assert ledger_with([], entry) == [entry]


# What the second import changed


def test_more_rows_fewer_rows_and_other_content_are_told_by_table() -> None:
    before = {
        "public.res_partner": Content(rows=10, digest="a"),
        "public.res_users": Content(rows=4, digest="b"),
        "public.crm_lead": Content(rows=2, digest="c"),
        "public.crm_stage": Content(rows=2, digest="d"),
    }
    after = {
        **before,
        "public.res_partner": Content(rows=12, digest="e"),
        "public.res_users": Content(rows=3, digest="f"),
        "public.crm_lead": Content(rows=2, digest="g"),
    }
    assert changes(before, after, before) == [
        "crm_lead: other content in the same 2 rows",
        "res_partner: 2 rows more (10, then 12)",
        "res_users: 1 rows fewer (4, then 3)",
    ]
    assert changes(before, before, before) == []


def test_a_table_that_the_second_import_alone_writes_to_is_a_change_unless_odoo_always_does() -> None:
    touched = ["public.mail_mail", "public.ir_cron_trigger", "public.orm_signaling_registry"]
    assert changes({}, {}, touched) == ["mail_mail: written by the second import alone"]


@given(st.text(alphabet="abc_", min_size=1, max_size=8))
def test_only_the_tables_of_odoos_own_bookkeeping_are_left_out(name: str) -> None:
    assert not is_bookkeeping(f"public.x{name}")
    assert is_bookkeeping("public.bus_bus")
    assert is_bookkeeping('public."ir_module_module"')


# Odoo's log


def test_the_reason_is_odoos_exception_once_without_traceback() -> None:
    assert failure_in(BROKEN_CSV.splitlines()) == (
        "Module loading bad failed: file bad/data/res.partner.csv could not be processed: "
        "No matching record found for external id 'cat_zzz' in field 'Tags'"
    )
    assert errors_in(BROKEN_CSV.splitlines()) == ()


def test_of_several_exceptions_the_last_is_told_without_what_explains_where_it_came_from() -> None:
    assert failure_in(BROKEN_VIEW.splitlines()) == (
        "while parsing /var/lib/x/wrong/data/v.xml:1 Error while parsing or validating view: "
        "Element '<field name=\"nofield\">' cannot be located in parent view"
    )
    said = failure_in(FROM_POSTGRES.splitlines())
    assert said.startswith("psycopg2.errors.UniqueViolation: duplicate key value violates unique")
    assert said.endswith("already exists.")
    assert "CONTEXT" not in said


def test_the_file_is_named_where_the_exception_does_not_name_it() -> None:
    assert failure_in(NO_COLUMN.splitlines()) == "data/res.partner.csv: Invalid field name 'nocolumn'"


def test_an_error_that_ends_nothing_is_told_too() -> None:
    assert failure_in(NO_ID.splitlines()) == ""
    (said,) = errors_in(NO_ID.splitlines())
    assert said.startswith("Import specification does not contain 'id'")
    assert errors_in(FROM_POSTGRES.splitlines()) == (), "what SQL could not do is tried in another way"
    many = NO_ID.splitlines()[1:2] * (ERRORS + 2)
    assert errors_in(many)[-1] == "and 2 errors more"


@given(st.lists(st.text(max_size=60), max_size=20))
def test_any_log_can_be_read(lines: list[str]) -> None:
    assert isinstance(failure_in(["Traceback (most recent call last):", *lines]), str)
    assert isinstance(errors_in(lines), tuple)


def test_the_line_of_a_value_is_named_where_only_one_has_it() -> None:
    csv = "id,name,category_id:id\np1,Anna,cat_a\np2,Bert,cat_a\np3,Last,cat_zzz\n"
    assert line_named("No matching record found for external id 'cat_zzz' in field 'Tags'", csv) == 4
    assert line_named("No matching record found for external id 'cat_a' in field 'Tags'", csv) is None
    assert line_named("Invalid field name 'name'", csv) is None
    assert line_named("nothing quoted", csv) is None


# Whether a module came in


def came(status: int = 0, errors: tuple[str, ...] = (), failure: str = "") -> list[Import]:
    return [Import(seconds=1, status=status, errors=errors, failure=failure)]


def test_a_module_is_in_when_odoo_says_so_and_the_database_does() -> None:
    assert why_not(came(), "installed", "19.0.1.0", "19.0.1.0") is None


@pytest.mark.parametrize(
    ("imports", "state", "version", "said"),
    [
        (came(255, failure="it broke"), "uninstalled", None, "it broke"),
        (came(255), "uninstalled", None, "Odoo ended with status 255"),
        (came(errors=("no id",)), "installed", "19.0.1.0", "no id"),
        (came(), None, None, "Odoo did not find it on its addons path"),
        (came(), "uninstalled", None, "Odoo ended without an error, and left it uninstalled"),
        (came(), "installed", "19.0.0.9", "version 19.0.0.9 is installed, and not 19.0.1.0"),
    ],
)
def test_exit_status_0_is_not_enough(
    imports: list[Import], state: str | None, version: str | None, said: str
) -> None:
    assert why_not(imports, state, version, "19.0.1.0") == said


def test_records_that_were_not_proven_are_told() -> None:
    proven = {"res.partner": 200, "res.country": 1}
    assert uncounted(proven, proven) is None
    assert uncounted({"res.partner": 199}, proven) == (
        "it owns other records than were proven: res.country 0 instead of 1, res.partner 199 instead of 200"
    )
