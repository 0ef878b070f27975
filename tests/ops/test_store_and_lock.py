"""The operations bucket and its mark, on the S3 of moto."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from typing import Any

import boto3
import pytest
from moto import mock_aws

from ops import lease
from ops.errors import OpsError
from ops.lock import KEY, held
from ops.store import AlreadyThereError, Store


@pytest.fixture
def store(monkeypatch: pytest.MonkeyPatch) -> Iterator[Store]:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"):
        monkeypatch.setenv(name, "testing")
    for name in ("AWS_PROFILE", "AWS_ENDPOINT_URL"):
        monkeypatch.delenv(name, raising=False)
    with mock_aws():
        client = boto3.client("s3", region_name="eu-west-1")
        client.create_bucket(Bucket="ops", CreateBucketConfiguration={"LocationConstraint": "eu-west-1"})
        yield Store(client, "ops")


def test_a_new_document_never_goes_over_another_one(store: Store) -> None:
    store.create("checkpoints/one.json", {"label": "one"})
    store.create("checkpoints/one.json", {"label": "one"})  # the same again: an answer was lost
    with pytest.raises(AlreadyThereError, match="is not overwritten"):
        store.create("checkpoints/one.json", {"label": "another"})
    assert store.read("checkpoints/one.json") == {"label": "one"}
    assert store.list("checkpoints/") == ["checkpoints/one.json"]
    assert store.read("checkpoints/two.json") is None


def test_a_damaged_document_is_named(store: Store) -> None:
    store.write("runs/x.json", b"{half")
    with pytest.raises(OpsError, match=r"s3://ops/runs/x\.json is damaged"):
        store.read("runs/x.json")


def test_of_two_operators_the_second_is_told_who_is_at_work(store: Store) -> None:
    with held(store, "prod", "checkpoint opening"):
        mark = store.read(KEY) or {}
        assert mark["process"] == os.getpid()
        with (
            pytest.raises(
                OpsError, match=r"at work on prod: checkpoint opening by \S+@\S+, process \d+ since"
            ),
            held(store, "prod", "restore opening"),
        ):
            pytest.fail("both hold it")
    assert store.read(KEY) is None


def _mark(store: Store, **content: Any) -> None:
    store.write(KEY, json.dumps(content).encode())


def test_a_command_that_was_killed_here_does_not_stand_in_the_way(store: Store) -> None:
    _mark(store, host=os.uname().nodename, process=2**22 + 1, identity="1")
    with held(store, "prod", "restore opening"):
        assert (store.read(KEY) or {})["what"] == "restore opening"


def test_one_elsewhere_stands_in_the_way_until_it_gives_no_sign(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    _mark(store, host="another", process=1, identity="1", user="anna", what="drill")
    with pytest.raises(OpsError, match="drill by anna@another"), held(store, "prod", "restore opening"):
        pytest.fail("a living one was taken for dead")
    monkeypatch.setattr(lease, "STALE", -5.0)
    with held(store, "prod", "restore opening"):
        pass


def test_a_holder_that_was_taken_for_dead_leaves_the_other_ones_mark_alone(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lease, "BEAT", 0.05)
    with held(store, "prod", "checkpoint one") as mine:
        _mark(store, host="another", process=1, identity="1")
        assert mine.lost.wait(20)
    assert (store.read(KEY) or {})["host"] == "another"


def test_who_is_at_work_can_be_asked_without_waiting(store: Store) -> None:
    mark = lease.Lease(store.client, store.bucket, KEY)
    assert mark.holder() is None
    with held(store, "prod", "restore opening"):
        holder = mark.holder()
        assert holder is not None
        assert holder.what == "restore opening"
        assert str(os.getpid()) in str(holder)
    store.write(KEY, {"what": "restore opening", "host": os.uname().nodename, "process": 0, "identity": "x"})
    assert mark.holder() is None, "its process is gone"
