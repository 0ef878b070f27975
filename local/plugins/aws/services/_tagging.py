"""How each service writes and tells tags."""

from __future__ import annotations

from local.plugins.aws.row import Call, Tagging


def ec2(kind: str) -> Tagging:
    """EC2 resources by id; ``kind`` is the resource type of ``TagSpecifications``."""
    return Tagging(
        Call("CreateTags", {"Resources": ["{id}"], "Tags": "{tags}"}, inputs=""),
        Call("DeleteTags", {"Resources": ["{id}"], "Tags": "{stale_pairs}"}, inputs=""),
        kind=kind,
    )


def by_resource(
    resource: str,
    value: str = "{arn}",
    *,
    verbs: tuple[str, str, str] = ("TagResource", "UntagResource", "ListTagsForResource"),
    tags: str = "Tags",
    keys: str = "TagKeys",
    listed: str = "Tags",
    kind: tuple[str, str] | None = None,
) -> Tagging:
    """Services with a call each to tag, to untag and to list.

    All take the resource as ``resource``; ``kind`` is one more argument that they need.
    """
    add, remove, read = verbs
    target = {resource: value, **dict([kind] if kind else [])}
    gone = "{stale_pairs}" if keys == "Tags" else "{stale_tags}"
    return Tagging(
        Call(add, {**target, tags: "{tags}"}, inputs=""),
        Call(remove, {**target, keys: gone}, inputs=""),
        Call(read, target, listed, inputs=""),
    )


def iam(kind: str, resource: str) -> Tagging:
    """IAM has calls for each kind (``TagRole``, ``UntagRole``) and tells the tags with the resource."""
    return Tagging(
        Call(f"Tag{kind}", {resource: "{id}", "Tags": "{tags}"}, inputs=""),
        Call(f"Untag{kind}", {resource: "{id}", "TagKeys": "{stale_tags}"}, inputs=""),
    )
