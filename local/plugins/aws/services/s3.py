"""S3: buckets and the side resources that hold their settings, objects."""

from __future__ import annotations

import base64
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pulumi

from local.plugins.aws.context import Context
from local.plugins.aws.row import Action, Call, Name, Row, Tagging

HOSTED_ZONES = {
    "eu-west-1": "Z1BKCTXD74EZPE",
    "eu-central-1": "Z21DNDUVLTQW6Q",
    "eu-west-2": "Z3GKZC51ZF0DB4",
    "eu-west-3": "Z3R1K369G5AVDG",
    "eu-north-1": "Z3BAZG2TWCNX0D",
    "us-east-1": "Z3AQBSTGFYJSTF",
    "us-east-2": "Z2O1EMRO9K5GLX",
    "us-west-2": "Z3BJ6K6RIION7M",
}
"""The hosted zones of S3 website endpoints (AWS General Reference, «Amazon S3 endpoints and quotas»)."""


def _create_bucket(context: Context) -> Any:
    arguments: dict[str, Any] = {"Bucket": context.inputs["bucket"]}
    if context.region != "us-east-1":
        arguments["CreateBucketConfiguration"] = {"LocationConstraint": context.region}
    if context.inputs.get("objectLockEnabled"):
        arguments["ObjectLockEnabledForBucket"] = True
    context.call("CreateBucket", **arguments)
    return arguments


def _set_bucket_tags(context: Context) -> None:
    if context.tags:
        pairs = [{"Key": key, "Value": value} for key, value in context.tags.items()]
        context.call("PutBucketTagging", Bucket=context.id, Tagging={"TagSet": pairs})
    else:
        context.call("DeleteBucketTagging", Bucket=context.id)


def _empty_bucket(context: Context) -> None:
    """With forceDestroy, removes every version of every object first."""
    if not context.state.get("forceDestroy"):
        return
    while True:
        listed = context.call("ListObjectVersions", Bucket=context.id, MaxKeys=1000)
        found = [
            {"Key": item["Key"], "VersionId": item["VersionId"]}
            for item in [*listed.get("Versions", []), *listed.get("DeleteMarkers", [])]
        ]
        if not found:
            return
        context.call("DeleteObjects", Bucket=context.id, Delete={"Objects": found, "Quiet": True})


def _hosted_zone(context: Context) -> str | None:
    return HOSTED_ZONES.get(context.region)


BUCKET = Row(
    type="aws:s3/bucket:Bucket",
    service="s3",
    inputs="bucket objectLockEnabled",
    local="bucketPrefix forceDestroy",
    defaults={"forceDestroy": False},
    name=Name("bucket", longest=63, lower=True),
    create=_create_bucket,
    id="Bucket",
    read=Call("HeadBucket", {"Bucket": "{id}"}, inputs=""),
    delete=(_empty_bucket, Call("DeleteBucket", {"Bucket": "{id}"}, inputs="")),
    outputs={
        "arn": "arn:{partition}:s3:::{id}",
        "bucketDomainName": "{id}.s3.amazonaws.com",
        "bucketRegionalDomainName": "{id}.s3.{region}.amazonaws.com",
        "bucketRegion": "{region}",
    },
    lookups={"hostedZoneId": _hosted_zone},
    computed="objectLockEnabled",
    reads={"bucket": "", "objectLockEnabled": ""},
    replace="bucket bucketPrefix objectLockEnabled",
    tags=Tagging(
        _set_bucket_tags,
        _set_bucket_tags,
        Call("GetBucketTagging", {"Bucket": "{id}"}, "TagSet", inputs=""),
    ),
)


def _setting(
    token: str,
    inputs: str,
    put: Action,
    read: Action,
    remove: Action,
    **more: Any,
) -> Row:
    """A setting of a bucket: one in each bucket, whose id is the bucket's name."""
    return Row(
        type=f"aws:s3/{token[:1].lower()}{token[1:]}:{token}",
        service="s3",
        inputs=f"bucket {inputs}",
        create=put,
        id="{bucket}",
        read=read,
        update=put,
        delete=(remove,),
        replace="bucket",
        slot="bucket",
        **more,
    )


def _of_bucket(operation: str, arguments: dict[str, Any] | None = None, result: str = "@") -> Call:
    return Call(operation, {"Bucket": "{bucket}", **(arguments or {})}, result, inputs="")


def _put_lifecycle(context: Context) -> None:
    """S3 wants a filter in every rule; the official provider sends an empty prefix where none is given."""
    shape = context.shape("PutBucketLifecycleConfiguration").members["LifecycleConfiguration"]
    rules = [
        rule if rule.get("filter") or rule.get("prefix") is not None else {**rule, "filter": {"prefix": ""}}
        for rule in context.inputs.get("rules") or []
    ]
    context.call(
        "PutBucketLifecycleConfiguration",
        Bucket=context.inputs["bucket"],
        LifecycleConfiguration=context.convert(shape, {"rules": rules}),
    )


SETTINGS = (
    _setting(
        "BucketVersioning",
        "versioningConfiguration",
        _of_bucket("PutBucketVersioning", {"VersioningConfiguration": "{versioningConfiguration}"}),
        _of_bucket("GetBucketVersioning"),
        _of_bucket("PutBucketVersioning", {"VersioningConfiguration": {"Status": "Suspended"}}),
        local="expectedBucketOwner mfa",
        reads={"versioningConfiguration": "@", "bucket": ""},
        rename={"mfaDelete": "MFADelete"},
    ),
    _setting(
        "BucketServerSideEncryptionConfiguration",
        "rules",
        _of_bucket("PutBucketEncryption", {"ServerSideEncryptionConfiguration": {"Rules": "{rules}"}}),
        _of_bucket("GetBucketEncryption", result="ServerSideEncryptionConfiguration"),
        _of_bucket("DeleteBucketEncryption"),
        local="expectedBucketOwner",
    ),
    _setting(
        "BucketPublicAccessBlock",
        "blockPublicAcls blockPublicPolicy ignorePublicAcls restrictPublicBuckets",
        _of_bucket(
            "PutPublicAccessBlock",
            {
                "PublicAccessBlockConfiguration": {
                    "BlockPublicAcls": "{blockPublicAcls}",
                    "BlockPublicPolicy": "{blockPublicPolicy}",
                    "IgnorePublicAcls": "{ignorePublicAcls}",
                    "RestrictPublicBuckets": "{restrictPublicBuckets}",
                }
            },
        ),
        _of_bucket("GetPublicAccessBlock", result="PublicAccessBlockConfiguration"),
        _of_bucket("DeletePublicAccessBlock"),
        local="skipDestroy",
    ),
    _setting(
        "BucketOwnershipControls",
        "rule",
        _of_bucket("PutBucketOwnershipControls", {"OwnershipControls": {"Rules": ["{rule}"]}}),
        _of_bucket("GetBucketOwnershipControls", result="OwnershipControls"),
        _of_bucket("DeleteBucketOwnershipControls"),
    ),
    _setting(
        "BucketLifecycleConfiguration",
        "rules",
        _put_lifecycle,
        _of_bucket("GetBucketLifecycleConfiguration"),
        _of_bucket("DeleteBucketLifecycle"),
        local="expectedBucketOwner transitionDefaultMinimumObjectSize",
        rename={"rules.id": "ID"},
    ),
    _setting(
        "BucketPolicy",
        "policy",
        _of_bucket("PutBucketPolicy", {"Policy": "{policy}"}),
        _of_bucket("GetBucketPolicy"),
        _of_bucket("DeleteBucketPolicy"),
    ),
)


def _body(context: Context) -> bytes:
    inputs = context.inputs
    if inputs.get("contentBase64") is not None:
        return base64.b64decode(inputs["contentBase64"])
    source = inputs.get("source")
    if isinstance(source, pulumi.FileAsset):
        return Path(source.path).read_bytes()
    if isinstance(source, pulumi.StringAsset):
        return source.text.encode()
    return str(inputs.get("content") or "").encode()


OBJECT_NAMES = (
    "bucket key acl cacheControl contentDisposition contentEncoding contentLanguage contentType "
    "serverSideEncryption storageClass metadata"
)


def _put_object(context: Context) -> Any:
    tags = {"Tagging": urlencode(context.tags)} if context.tags else {}
    context.tagged = True
    context.run(
        Call("PutObject", {"Body": _body(context), "SSEKMSKeyId": "{kmsKeyId}", **tags}, inputs=OBJECT_NAMES)
    )
    return {"Key": context.value("key")}


def _set_object_tags(context: Context) -> None:
    pairs = [{"Key": key, "Value": value} for key, value in context.tags.items()]
    context.call(
        "PutObjectTagging",
        Bucket=context.value("bucket"),
        Key=context.value("key"),
        Tagging={"TagSet": pairs},
    )


def _delete_object(context: Context) -> None:
    """Every version goes, as with the official provider."""
    bucket, key = context.value("bucket"), context.value("key")
    listed = context.call("ListObjectVersions", Bucket=bucket, Prefix=key)
    for item in [*listed.get("Versions", []), *listed.get("DeleteMarkers", [])]:
        if item["Key"] == key:
            context.call("DeleteObject", Bucket=bucket, Key=key, VersionId=item["VersionId"])


CONTENT = "content contentBase64 source sourceHash"

OBJECT = Row(
    type="aws:s3/bucketObjectv2:BucketObjectv2",
    service="s3",
    inputs=f"{OBJECT_NAMES} {CONTENT} kmsKeyId",
    local="forceDestroy etag",
    defaults={"forceDestroy": False},
    rename={"key": "Key"},
    create=_put_object,
    id="{key}",
    read=Call("HeadObject", {"Bucket": "{bucket}", "Key": "{key}"}, inputs=""),
    update=_put_object,
    delete=(_delete_object,),
    outputs={
        "arn": "arn:{partition}:s3:::{bucket}/{key}",
        "versionId": "VersionId",
    },
    lookups={"etag": lambda context: str(context.thing.get("ETag", "")).strip('"')},
    computed="contentType storageClass serverSideEncryption kmsKeyId acl etag",
    reads={"bucket": "", "key": "", "kmsKeyId": "SSEKMSKeyId", "storageClass": "StorageClass || 'STANDARD'"}
    | dict.fromkeys(CONTENT.split(), ""),
    replace="bucket key",
    slot="bucket key",
    volatile=dict.fromkeys(("etag", "versionId"), CONTENT),
    tags=Tagging(
        _set_object_tags,
        _set_object_tags,
        Call("GetObjectTagging", {"Bucket": "{bucket}", "Key": "{key}"}, "TagSet", inputs=""),
    ),
)

ROWS = (BUCKET, *SETTINGS, OBJECT)
