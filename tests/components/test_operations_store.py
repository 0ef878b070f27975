"""What an `OperationsStore` registers. That S3 keeps what is put there is not proven here."""

from __future__ import annotations

import json

import pytest

from components.operations_store import LOCKS_PREFIX, OperationsStore, OperationsStoreArgs
from tests.components.conftest import Deploy, Graph

BUCKET = "aws:s3/bucket:Bucket"


def store(deploy: Deploy, *, protect: bool = False) -> Graph:
    return deploy(lambda: OperationsStore("store", OperationsStoreArgs(protect=protect)))


def test_it_is_one_private_bucket_that_keeps_every_version(deploy: Deploy) -> None:
    graph = store(deploy)
    assert graph.children("store") == {
        ("openerp:index:PrivateBucket", "store"),
        (BUCKET, "store-bucket"),
        ("aws:s3/bucketPublicAccessBlock:BucketPublicAccessBlock", "store-public-access"),
        (
            "aws:s3/bucketServerSideEncryptionConfiguration:BucketServerSideEncryptionConfiguration",
            "store-encryption",
        ),
        ("aws:s3/bucketVersioning:BucketVersioning", "store-versioning"),
        ("aws:s3/bucketLifecycleConfiguration:BucketLifecycleConfiguration", "store-lifecycle"),
        ("aws:s3/bucketPolicy:BucketPolicy", "store-policy"),
    }
    versioning = graph.one("aws:s3/bucketVersioning:BucketVersioning").inputs
    assert versioning["versioningConfiguration"] == {"status": "Enabled"}


def test_nothing_in_it_expires_but_former_versions_of_locks(deploy: Deploy) -> None:
    lifecycle = store(deploy).one("aws:s3/bucketLifecycleConfiguration:BucketLifecycleConfiguration")
    (rule,) = lifecycle.inputs["rules"]
    assert rule["filter"] == {"prefix": LOCKS_PREFIX}
    assert rule["noncurrentVersionExpiration"] == {"noncurrentDays": 1}
    assert rule["expiration"] == {"expiredObjectDeleteMarker": True}
    assert rule["status"] == "Enabled"


def test_nobody_is_let_in_by_its_policy(deploy: Deploy) -> None:
    (statement,) = json.loads(store(deploy).one("aws:s3/bucketPolicy:BucketPolicy").inputs["policy"])[
        "Statement"
    ]
    assert statement["Effect"] == "Deny"


@pytest.mark.parametrize("protect", [False, True])
def test_a_protected_store_stays_with_what_is_in_it(deploy: Deploy, protect: bool) -> None:
    bucket = store(deploy, protect=protect).one(BUCKET)
    assert bucket.protect is protect
    assert bucket.retain_on_delete is protect
    assert bucket.inputs["forceDestroy"] is not protect


def test_its_outputs_are_its_name_and_arn(deploy: Deploy) -> None:
    bucket = next(
        values
        for urn, values in store(deploy).outputs_by_urn.items()
        if "openerp:index:OperationsStore::" in urn
    )
    assert bucket == {"bucket": "store-bucket-id", "arn": "arn:aws:s3:eu-west-1:123456789012:store-bucket"}
