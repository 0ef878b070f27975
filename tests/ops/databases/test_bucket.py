"""A dump in S3, which moto stands in for, beside a real PostgreSQL.

What KMS and S3 do with the key is not proven here: that it is asked for with each object is.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from typing import Any

import boto3
import pytest
from moto import mock_aws

from ops import lease
from ops.databases import bucket as buckets
from ops.databases.bucket import Bucket
from ops.databases.dump import dump
from ops.databases.errors import DatabaseError
from ops.databases.load import load
from ops.databases.place import CLAIM
from ops.databases.places import open_place
from tests.ops.databases.conftest import Place
from tests.ops.databases.test_dump_and_load import At, assert_nothing_of, content, tree

KEY = "arn:aws:kms:eu-west-1:123456789012:key/11111111-2222-3333-4444-555555555555"


@pytest.fixture
def s3(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"):
        monkeypatch.setenv(name, "testing")
    for name in ("AWS_PROFILE", "AWS_ENDPOINT_URL"):
        monkeypatch.delenv(name, raising=False)
    with mock_aws():
        client = boto3.client("s3", region_name="eu-west-1")
        client.create_bucket(Bucket="dumps", CreateBucketConfiguration={"LocationConstraint": "eu-west-1"})
        yield client


def keys(s3: Any) -> list[str]:
    return [item["Key"] for item in s3.list_objects_v2(Bucket="dumps").get("Contents", ())]


def test_a_dump_goes_to_s3_encrypted_with_the_key_and_comes_back(place: Place, s3: Any) -> None:
    name, target = place.make(), place.new_name()
    there = Bucket(s3, "dumps", "year/one", KEY)
    dump(place.dump_request(name), place.server, there)
    assert keys(s3) == [
        "year/one/database-000001.tar.zst",
        "year/one/files-000001.tar.zst",
        "year/one/manifest.json",
    ]
    for key in keys(s3):
        head = s3.head_object(Bucket="dumps", Key=key)
        assert (head["ServerSideEncryption"], head["SSEKMSKeyId"]) == ("aws:kms", KEY)
    load(place.load_request(target), place.server, Bucket(s3, "dumps", "year/one", None))
    assert content(place, target) == content(place, name)
    assert tree(place.files / target) == tree(place.files / name)
    with pytest.raises(DatabaseError, match="never overwritten"):
        dump(place.dump_request(name), place.server, there)


def test_a_large_archive_goes_in_parts(place: Place, s3: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(buckets, "PART", 5 << 20)
    name, target = place.make(attachments=5, sizes=(6_000_000,)), place.new_name()
    dump(place.dump_request(name), place.server, Bucket(s3, "dumps", "large", KEY))
    head = s3.head_object(Bucket="dumps", Key="large/files-000001.tar.zst")
    assert head["ContentLength"] > 20_000_000
    assert head["ETag"].rstrip('"').endswith("-5")
    assert head["ServerSideEncryption"] == "aws:kms"
    load(place.load_request(target), place.server, Bucket(s3, "dumps", "large", None))
    assert tree(place.files / target) == tree(place.files / name)


def test_leftovers_of_a_dead_dump_are_removed_and_the_uploads_it_began_too(place: Place, s3: Any) -> None:
    name = place.make()
    s3.put_object(Bucket="dumps", Key="one/files-000007.tar.zst", Body=b"half")
    s3.create_multipart_upload(Bucket="dumps", Key="one/files-000008.tar.zst")
    mark = {"host": "another", "process": 1, "identity": "1"}
    s3.put_object(Bucket="dumps", Key=f"one/{CLAIM}", Body=json.dumps(mark).encode())
    with pytest.raises(DatabaseError, match="another dump writes to s3://dumps/one at this moment"):
        dump(place.dump_request(name), place.server, Bucket(s3, "dumps", "one", None))
    here = mark | {"host": os.uname().nodename, "process": 2**22 + 1}
    s3.put_object(Bucket="dumps", Key=f"one/{CLAIM}", Body=json.dumps(here).encode())
    dump(place.dump_request(name), place.server, Bucket(s3, "dumps", "one", None))
    assert len(keys(s3)) == 3
    assert "Uploads" not in s3.list_multipart_uploads(Bucket="dumps")


def test_a_dump_elsewhere_is_taken_for_dead_when_it_gives_no_sign(
    place: Place, s3: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = place.make()
    mark = {"host": "another", "process": 1, "identity": "1"}
    s3.put_object(Bucket="dumps", Key=f"one/{CLAIM}", Body=json.dumps(mark).encode())
    monkeypatch.setattr(lease, "STALE", -5.0)
    dump(place.dump_request(name), place.server, Bucket(s3, "dumps", "one", None))
    assert len(keys(s3)) == 3


def test_two_operators_at_once_are_kept_apart(place: Place, s3: Any) -> None:
    name = place.make()
    refused = []

    def second() -> None:
        with pytest.raises(DatabaseError) as error:
            dump(place.dump_request(name), place.server, Bucket(s3, "dumps", "one", None))
        refused.append(str(error.value))

    dump(place.dump_request(name), place.server, Bucket(s3, "dumps", "one", None), At("pack files", second))
    assert "another dump writes to s3://dumps/one at this moment" in refused[0]
    assert len(keys(s3)) == 3


def test_a_dump_that_was_taken_for_dead_publishes_nothing(
    place: Place, s3: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = place.make()
    monkeypatch.setattr(lease, "BEAT", 0.05)
    there = Bucket(s3, "dumps", "one", None)

    def taken() -> None:
        s3.put_object(Bucket="dumps", Key=f"one/{CLAIM}", Body=b"{}")
        assert there._lost.wait(20)

    with pytest.raises(DatabaseError, match="took s3://dumps/one over"):
        dump(place.dump_request(name), place.server, there, At("write manifest", taken))
    assert "one/manifest.json" not in keys(s3)


@pytest.mark.parametrize("piece", ["database", "files"])
def test_an_altered_object_is_refused(place: Place, s3: Any, piece: str) -> None:
    name, target = place.make(), place.new_name()
    dump(place.dump_request(name), place.server, Bucket(s3, "dumps", "one", None))
    key = f"one/{piece}-000001.tar.zst"
    data = s3.get_object(Bucket="dumps", Key=key)["Body"].read()
    s3.put_object(Bucket="dumps", Key=key, Body=data[:-9])
    with pytest.raises(DatabaseError, match=f"{piece}-000001.tar.zst is truncated"):
        load(place.load_request(target), place.server, Bucket(s3, "dumps", "one", None))
    assert_nothing_of(place, target)


def test_what_is_not_a_dump_is_left_alone(place: Place, s3: Any) -> None:
    s3.put_object(Bucket="dumps", Key="one/letter", Body=b"mine")
    with pytest.raises(DatabaseError, match="letter is there"):
        dump(place.dump_request(place.make()), place.server, Bucket(s3, "dumps", "one", None))
    with pytest.raises(DatabaseError, match="NoSuchBucket"):
        dump(place.dump_request(place.make()), place.server, Bucket(s3, "nowhere", "one", None))
    assert keys(s3) == ["one/letter"]


@pytest.mark.parametrize(
    ("where", "said"),
    [
        ("s3://dumps", "needs a name of its own"),
        ("s3://dumps/", "needs a name of its own"),
        ("gs://dumps/x", "a folder or to s3"),
    ],
)
def test_a_place_that_is_none_is_refused(where: str, said: str) -> None:
    with pytest.raises(DatabaseError, match=said):
        open_place(where, kms_key=None, client=lambda: None)
    with pytest.raises(DatabaseError, match="--kms-key is for s3"):
        open_place("folder", kms_key=KEY, client=lambda: None)
