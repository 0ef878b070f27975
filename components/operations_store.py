"""Where the day-2 commands keep what must outlive the data it tells of: manifests, evidence, reports."""

from __future__ import annotations

from dataclasses import dataclass

import pulumi

from components.private_bucket import PrivateBucket, PrivateBucketArgs

LOCKS_PREFIX = "locks/"
"""Leases of commands under way: written every few seconds, and of no use when they are over."""
MODULES_PREFIX = "modules/"
"""Packages of data modules, which the servers fetch."""


@dataclass(frozen=True, kw_only=True)
class OperationsStoreArgs:
    """What an `OperationsStore` is made from."""

    protect: bool = False
    """Pulumi refuses to delete the bucket, and leaves it alone when its component is removed; else it goes
    with all that is in it."""


class OperationsStore(pulumi.ComponentResource):
    """One private, versioned bucket in which nothing expires but former versions of locks."""

    bucket: pulumi.Output[str]
    arn: pulumi.Output[str]

    def __init__(
        self, name: str, args: OperationsStoreArgs, opts: pulumi.ResourceOptions | None = None
    ) -> None:
        super().__init__("openerp:index:OperationsStore", name, {}, opts)
        store = PrivateBucket(
            name,
            PrivateBucketArgs(
                versioned=True,
                force_destroy=not args.protect,
                protect=args.protect,
                forget_versions_after_days={LOCKS_PREFIX: 1},
            ),
            pulumi.ResourceOptions(parent=self),
        )
        self.bucket = store.bucket
        self.arn = store.arn
        self.register_outputs({"bucket": self.bucket, "arn": self.arn})
