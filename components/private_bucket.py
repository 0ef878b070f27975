"""An S3 bucket that nobody but its owner and named AWS services can reach, and nobody without TLS."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import pulumi
import pulumi_aws as aws

from components.iam import policy_document

ABANDONED_UPLOAD_DAYS = 7
"""After that the parts of an upload that never ended are deleted."""


@dataclass(frozen=True, kw_only=True)
class Writer:
    """An AWS service that may put objects below a key prefix (no slash at either end)."""

    service: str
    prefix: pulumi.Input[str]


@dataclass(frozen=True, kw_only=True)
class PrivateBucketArgs:
    """What differs from one private bucket to another.

    `expire_after_days` deletes objects of that age; None keeps them. `forget_versions_after_days`: key prefix
    -> days after which versions that are no longer current are deleted; others stay. `force_destroy` lets the
    bucket be deleted with what is in it; `protect` refuses to delete it, and leaves it alone when it is no
    longer in the program.
    """

    versioned: bool = False
    expire_after_days: int | None = None
    forget_versions_after_days: Mapping[str, int] = field(default_factory=dict)
    force_destroy: bool = False
    protect: bool = False
    writers: Sequence[Writer] = ()


class PrivateBucket(pulumi.ComponentResource):
    """Bucket, public access block, encryption (SSE-S3), policy; versioning and expiry by args.

    Encrypted by S3's own keys: load balancers can neither write logs to nor read trust stores from a
    bucket under a KMS key (Elastic Load Balancing user guide, bucket requirements).
    """

    bucket: pulumi.Output[str]
    arn: pulumi.Output[str]
    policy: pulumi.Resource
    """What uses the bucket through a writer waits for this resource."""

    def __init__(
        self, name: str, args: PrivateBucketArgs, opts: pulumi.ResourceOptions | None = None
    ) -> None:
        super().__init__("openerp:index:PrivateBucket", name, {}, opts)
        child = pulumi.ResourceOptions(parent=self)

        bucket = aws.s3.Bucket(
            f"{name}-bucket",
            force_destroy=args.force_destroy,
            opts=pulumi.ResourceOptions(parent=self, protect=args.protect, retain_on_delete=args.protect),
        )
        self.bucket = bucket.id
        self.arn = bucket.arn

        block = aws.s3.BucketPublicAccessBlock(
            f"{name}-public-access",
            bucket=bucket.id,
            block_public_acls=True,
            block_public_policy=True,
            ignore_public_acls=True,
            restrict_public_buckets=True,
            opts=child,
        )
        aws.s3.BucketServerSideEncryptionConfiguration(
            f"{name}-encryption",
            bucket=bucket.id,
            rules=[
                aws.s3.BucketServerSideEncryptionConfigurationRuleArgs(
                    apply_server_side_encryption_by_default=aws.s3.BucketServerSideEncryptionConfigurationRuleApplyServerSideEncryptionByDefaultArgs(
                        sse_algorithm="AES256"
                    )
                )
            ],
            opts=child,
        )
        if args.versioned:
            aws.s3.BucketVersioning(
                f"{name}-versioning",
                bucket=bucket.id,
                versioning_configuration=aws.s3.BucketVersioningVersioningConfigurationArgs(status="Enabled"),
                opts=child,
            )
        if rules := _lifecycle(args):
            aws.s3.BucketLifecycleConfiguration(
                f"{name}-lifecycle", bucket=bucket.id, rules=rules, opts=child
            )
        # S3 takes one change of a bucket's policy or access block at a time: the second gives 409.
        self.policy = aws.s3.BucketPolicy(
            f"{name}-policy",
            bucket=bucket.id,
            policy=policy_document(_statements(bucket.arn, args.writers)),
            opts=pulumi.ResourceOptions(parent=self, depends_on=[block]),
        )
        self.register_outputs({"bucket": self.bucket, "arn": self.arn})


def _lifecycle(args: PrivateBucketArgs) -> list[aws.s3.BucketLifecycleConfigurationRuleArgs]:
    abandoned = aws.s3.BucketLifecycleConfigurationRuleAbortIncompleteMultipartUploadArgs(
        days_after_initiation=ABANDONED_UPLOAD_DAYS
    )
    rules = []
    if args.expire_after_days is not None:
        rules.append(
            aws.s3.BucketLifecycleConfigurationRuleArgs(
                id="expire",
                status="Enabled",
                filter=aws.s3.BucketLifecycleConfigurationRuleFilterArgs(prefix=""),
                expiration=aws.s3.BucketLifecycleConfigurationRuleExpirationArgs(days=args.expire_after_days),
                abort_incomplete_multipart_upload=abandoned,
            )
        )
    for number, (prefix, days) in enumerate(args.forget_versions_after_days.items(), start=1):
        rules.append(
            aws.s3.BucketLifecycleConfigurationRuleArgs(
                id=f"forget-{number}",
                status="Enabled",
                filter=aws.s3.BucketLifecycleConfigurationRuleFilterArgs(prefix=prefix),
                # What was deleted leaves a marker, which goes when it is the last version.
                expiration=aws.s3.BucketLifecycleConfigurationRuleExpirationArgs(
                    expired_object_delete_marker=True
                ),
                noncurrent_version_expiration=aws.s3.BucketLifecycleConfigurationRuleNoncurrentVersionExpirationArgs(
                    noncurrent_days=days
                ),
            )
        )
    return rules


def _statements(arn: pulumi.Output[str], writers: Sequence[Writer]) -> list[dict[str, Any]]:
    refuse_plain_http: dict[str, Any] = {
        "Sid": "OnlyByTls",
        "Effect": "Deny",
        "Principal": "*",
        "Action": "s3:*",
        "Resource": [arn, pulumi.Output.concat(arn, "/*")],
        "Condition": {"Bool": {"aws:SecureTransport": "false"}},
    }
    return [refuse_plain_http] + [
        {
            "Sid": f"Writer{position}",
            "Effect": "Allow",
            "Principal": {"Service": writer.service},
            "Action": "s3:PutObject",
            "Resource": pulumi.Output.concat(arn, "/", writer.prefix, "/*"),
        }
        for position, writer in enumerate(writers, start=1)
    ]
