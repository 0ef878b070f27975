"""Scratch copies of a database in which people work."""

from __future__ import annotations

import threading
import time
from typing import Any

import psycopg
import pytest

from ops.console import Reporter
from ops.errors import OpsError
from ops.modules import copy
from tests.ops.modules.conftest import OWNER, People, Place


def make(place: Place, source: str) -> copy.Copied:
    return copy.make(place.master, source, copy.new_name(), OWNER, Reporter())


def test_the_copy_holds_everything_belongs_to_the_application_and_admits_nobody_else(place: Place) -> None:
    source = place.make("we \"quote'")
    made = make(place, source)
    assert place.sql(made.database, "select count(*) from res_partner") == [(500,)]
    assert made.bytes > 0
    (row,) = place.sql(
        "postgres",
        "select pg_get_userbyid(datdba), has_database_privilege('public', oid, 'connect') from pg_database "
        f"where datname = '{made.database}'",
    )
    assert row == (OWNER, False)
    place.sql(made.database, "delete from res_partner")
    assert place.sql(source, "select count(*) from res_partner") == [(500,)]
    copy.remove(place.master, made.database)
    assert made.database not in place.databases()


def test_people_who_work_meanwhile_see_a_pause_and_lose_nothing(place: Place, people: People) -> None:
    source = place.make()
    work = people.begin(source, 0.6, 0.7, 0.8, 1.1, 1.3)
    time.sleep(2)
    for _ in range(3):
        make(place, source)
    time.sleep(1.5)
    people.end()
    assert work.failed == []
    names = {row[0] for row in place.sql(source, "select name from res_partner")}
    assert len(work.saved) > 10
    assert set(work.saved) <= names


def test_whoever_connects_during_the_copy_waits_and_is_not_refused(place: Place) -> None:
    source = place.make()
    results: list[Any] = []
    with place.application.connect(source) as holder:
        holder.execute("select 1")

        def arrive() -> None:
            began = time.monotonic()
            with place.application.connect(source) as connection:
                row = connection.execute("select count(*) from res_partner").fetchone()
                results.append((row, time.monotonic() - began))

        thread = threading.Thread(target=arrive)
        copying = threading.Thread(target=lambda: results.append(make(place, source)))
        holder.execute("begin")
        copying.start()
        # The copy has its lock and waits for the holder, who is in the middle of something.
        waiting = "select count(*) from pg_locks where locktype = 'object' and mode = 'ShareLock' and granted"
        while place.sql("postgres", waiting) == [(0,)]:
            time.sleep(0.01)
        thread.start()
        time.sleep(0.3)
        assert results == []
        holder.execute("commit")
    copying.join()
    thread.join()
    rows = [result for result in results if isinstance(result, tuple)]
    assert [row for row, _ in rows] == [(500,)]
    assert rows[0][1] >= 0.25


def test_a_long_transaction_is_waited_for_and_never_ended(place: Place) -> None:
    source = place.make()
    told: list[str] = []

    class Listening(Reporter):
        def note(self, text: str) -> None:
            told.append(text)

    with place.application.connect(source) as writer:
        writer.execute("begin")
        writer.execute("insert into res_partner (name) values ('in the middle')")
        time.sleep(copy.LONG + 0.1)
        done: list[copy.Copied] = []
        thread = threading.Thread(
            target=lambda: done.append(copy.make(place.master, source, copy.new_name(), OWNER, Listening()))
        )
        thread.start()
        while not told:
            time.sleep(0.01)
        # Nobody is held up while it waits.
        assert place.sql(source, "select 1") == [(1,)]
        writer.execute("commit")
    thread.join()
    assert "1 transactions are under way" in told[0]
    assert place.sql(done[0].database, "select count(*) from res_partner where name = 'in the middle'") == [
        (1,)
    ]


def test_a_database_that_does_not_come_to_rest_is_not_copied(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = place.make()
    monkeypatch.setattr(copy, "TRIES", 1)
    monkeypatch.setattr(copy, "LONG", 3600.0)
    before = place.databases()
    with place.application.connect(source) as busy:
        busy.execute("begin")
        busy.execute("select 1")
        with pytest.raises(OpsError, match=r"cannot be copied: sessions in it do not come to rest .*1 other"):
            make(place, source)
        busy.execute("commit")
    assert place.databases() == before


def test_what_is_left_of_a_killed_run_is_found_and_removed_whoever_is_in_it(place: Place) -> None:
    source = place.make()
    made = [make(place, source), make(place, source)]
    place.make("openerp_trial")  # a name of somebody's own
    assert set(copy.leftovers(place.master)) >= {one.database for one in made}
    with place.application.connect(made[0].database) as inside:
        for database in copy.leftovers(place.master):
            copy.remove(place.master, database)
        with pytest.raises(psycopg.OperationalError):
            inside.execute("select 1")
    assert copy.leftovers(place.master) == []
    assert "openerp_trial" in place.databases()
    with pytest.raises(ValueError, match="no scratch copy"):
        copy.remove(place.master, source)
